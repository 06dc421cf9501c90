package selfwait

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/errgroup"
	"github.com/traigo/traigo/traigotest"
)

func work(ctx context.Context) error { return ctx.Err() }

func body(ctx context.Context) error {
	return traigo.Run(ctx, func(ctx context.Context, s *traigo.Scope) error {
		defer s.Close() // want `Close in the body of Run waits for the scope that it is a part of, forever`
		s.Spawn(func(ctx context.Context) error {
			return s.Shutdown(ctx) // want `Shutdown in the function given to Spawn waits for the scope`
		})
		_, _ = traigo.MoveOnAfter(ctx, time.Second, func(context.Context) error {
			return (*traigo.Scope).Wait(s) // want `Wait in the body of Run waits for the scope`
		})
		_ = traigo.ForEach(ctx, slices.Values([]int{1}), func(context.Context, int) error {
			return s.Wait() // want `Wait in the body of Run`
		})
		_ = traigo.Run(ctx, func(context.Context, *traigo.Scope) error {
			return s.Wait() // want `Wait in the body of Run`
		})
		wait := s.Wait
		_ = wait()      // want `Wait in the body of Run`
		return s.Wait() // want `Wait in the body of Run .* by s.Cancel or s.Finalize`
	})
}

func inATest(t *testing.T) {
	traigotest.Run(t, func(ctx context.Context, s *traigo.Scope) {
		_ = s.Wait() // want `Wait in the body of Run`
	})
}

func task(ctx context.Context) error {
	s := traigo.New(ctx)
	fn := func(context.Context) error { return s.Wait() } // want `Wait in the function given to Spawn`
	s.Spawn(fn)
	f := traigo.Async(s, func(context.Context) (int, error) { return 1, s.Close() }) // want `Close in the function given to Async`
	_, _ = f.Await(ctx)
	return s.Wait()
}

func itself(s *traigo.Scope) {
	var t *traigo.Task
	t = s.Spawn(func(ctx context.Context) error {
		return t.Wait(ctx) // want `Wait in the function given to Spawn waits for the task that it is called by`
	})
	var f *traigo.Future[int]
	f = traigo.Async(s, func(ctx context.Context) (int, error) {
		return f.Await(ctx) // want `Await in the function given to Async waits for the task`
	})
}

func group(ctx context.Context) error {
	g, _ := errgroup.WithContext(ctx)
	g.Go(func() error { return g.Wait() }) // want `Wait in a function of the group waits for itself`
	return g.Wait()
}

// What follows is right.

func outside(ctx context.Context) error {
	s, other := traigo.New(ctx), traigo.New(ctx)
	other.Spawn(func(context.Context) error { return s.Wait() })
	s.Spawn(work)
	a := s.Spawn(work)
	s.Spawn(func(ctx context.Context) error { return a.Wait(ctx) })
	return other.Wait()
}

func goroutine(ctx context.Context) error {
	return traigo.Run(ctx, func(ctx context.Context, s *traigo.Scope) error {
		go func() { _ = s.Shutdown(ctx) }()
		time.AfterFunc(time.Second, func() { _ = s.Close() })
		f := s.Fork()
		f.Spawn(work)
		return f.Wait()
	})
}

func inner(ctx context.Context) error {
	return traigo.Run(ctx, func(ctx context.Context, s *traigo.Scope) error {
		f := s.Fork()
		s.Spawn(func(context.Context) error { return f.Wait() })
		g, _ := errgroup.WithContext(ctx)
		g.Go(func() error { return nil })
		s.Spawn(func(context.Context) error { return g.Wait() })
		return nil
	})
}

func replaced(ctx context.Context) error {
	return traigo.Run(ctx, func(ctx context.Context, s *traigo.Scope) error {
		s = s.Fork()
		s.Spawn(work)
		return s.Wait()
	})
}
