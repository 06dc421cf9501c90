package goroutine

import (
	"context"
	"sync"

	"github.com/traigo/traigo"
)

func work(ctx context.Context) error { return ctx.Err() }
func play()                          {}

func body(ctx context.Context) error {
	return traigo.Run(ctx, func(ctx context.Context, s *traigo.Scope) error {
		go func() { // want `the goroutine that the body of Run starts is not part of the scope: .* spawn a task instead`
			play()
		}()
		go func() { // want `the goroutine that the body of Run starts`
			if err := work(ctx); err != nil {
				return
			}
			for {
				func() { return }()
				play()
			}
		}()
		go func(n int) { play() }(1) // want `the goroutine that`
		go play()                    // want `the goroutine that`
		return nil
	})
}

func task(s *traigo.Scope) {
	s.Spawn(func(own context.Context) error {
		go func() { _ = work(own) }() // want `the goroutine that the function given to Spawn starts`
		return nil
	})
	traigo.Current(nil).Spawn(func(own context.Context) error {
		go func() { _ = work(own) }() // want `the goroutine that the function given to Spawn starts`
		return nil
	})
}

// What follows is right.

func joined(s *traigo.Scope, items []int) {
	s.Spawn(func(ctx context.Context) error {
		var wg sync.WaitGroup
		for range items {
			wg.Add(1)
			go func() { defer wg.Done(); play() }()
		}
		wg.Wait()
		done := make(chan struct{})
		go func() { defer close(done); play() }()
		select {
		case <-done:
		case <-ctx.Done():
		}
		results := make(chan int)
		go produce(results)
		for range results {
		}
		return nil
	})
}

func produce(c chan<- int) { close(c) }

func ends(ctx context.Context) error {
	return traigo.Run(ctx, func(ctx context.Context, s *traigo.Scope) error {
		go func() { _ = s.Shutdown(ctx) }()
		_, cancel := context.WithCancel(ctx)
		go cancel()
		return nil
	})
}

func outside(s *traigo.Scope) {
	go play()
	go func() { s.Spawn(work) }()
}
