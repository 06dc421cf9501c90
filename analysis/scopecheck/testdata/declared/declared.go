package declared

import (
	"context"
	"slices"
	"time"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/supervise"
)

func work(ctx context.Context) error { return ctx.Err() }
func play()                          {}

type player struct{}

func start(ctx context.Context, p *player) error {
	return traigo.Run(ctx, func(ctx context.Context, s *traigo.Scope) error {
		s.Spawn(leaks)
		s.Spawn((leaks), traigo.Name("again"))
		s.Spawn(p.leaks)
		s.Spawn(supervise.Restart(detached))
		_, _ = traigo.Map(ctx, slices.Values([]int{1}), generic[int])
		s.Spawn(waits)
		s.Spawn(supervise.Every(time.Second, ticks))
		_, _ = traigo.MoveOnAfter(ctx, time.Second, both)
		s.Spawn(both)
		return traigo.Run(ctx, body)
	})
}

func leaks(ctx context.Context) error {
	go play() // want `the goroutine that leaks, the function given to Spawn, starts is not part of the scope`
	done := make(chan struct{})
	go func() { defer close(done); play() }()
	<-done
	return work(ctx)
}

func (p *player) leaks(context.Context) error {
	go play()                         // want `the goroutine that leaks, the function given to Spawn, starts`
	return work(context.Background()) // want `context.Background in leaks, the function given to Spawn, is not canceled`
}

func detached(ctx context.Context) error {
	if err := work(context.TODO()); err != nil { // want `context.TODO in detached, the function given to Restart,`
		short, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		return work(short)
	}
	return nil
}

func generic[T any](ctx context.Context, of T) (T, error) {
	return of, work(context.Background()) // want `context.Background in generic, the function given to Map,`
}

func waits(ctx context.Context) error {
	s := traigo.Current(ctx)
	_ = s.Close()                     // want `Close in waits, the function given to Spawn, waits for the scope that it is a part of, .* by traigo.Current\(ctx\).Cancel or Finalize`
	return traigo.Current(ctx).Wait() // want `Wait in waits`
}

func body(ctx context.Context, s *traigo.Scope) error {
	go func() { // want `the goroutine that body, the body of Run, starts`
		_ = work(ctx)
	}()
	_ = traigo.Current(ctx).Wait() // want `Wait in body, the body of Run, waits`
	return s.Wait()                // want `Wait in body, the body of Run, waits .* by s.Cancel`
}

func literals(s *traigo.Scope) {
	s.Spawn(func(ctx context.Context) error {
		_, _ = traigo.MoveOnAfter(ctx, time.Second, func(context.Context) error {
			return traigo.Current(ctx).Close() // want `Close in the function given to Spawn waits`
		})
		return traigo.Current(ctx).Wait() // want `Wait in the function given to Spawn waits`
	})
}

func current(ctx context.Context) {
	s := traigo.Current(ctx)
	s.Spawn(func(context.Context) error { return s.Wait() }) // want `Wait in the function given to Spawn waits .* by s.Cancel`
}

// What follows is right.

// The caller may have the context of a scope that neither is a task of.
func ticks(ctx context.Context) error { return traigo.Current(ctx).Wait() }
func both(ctx context.Context) error  { return traigo.Current(ctx).Wait() }

func others(ctx context.Context, s *traigo.Scope) {
	s.Spawn(func(own context.Context) error {
		go func() { _ = traigo.Current(own).Shutdown(own) }()
		own = ctx
		return traigo.Current(own).Wait()
	})
	s.Spawn(func(context.Context) error { return traigo.Current(ctx).Fork().Wait() })
}

type worker interface {
	viaInterface(ctx context.Context) error
}

var stored = keeps

func elsewhere(s *traigo.Scope, p *player) (func(context.Context) error, error) {
	s.Spawn(calledToo)
	s.Spawn(Exported)
	s.Spawn(p.Exported)
	s.Spawn(p.viaInterface)
	s.Spawn(p.methodExpression)
	s.Spawn(keeps)
	s.Spawn(passed)
	s.Spawn(returned)
	s.Spawn(stored)
	takes(passed)
	_ = (*player).methodExpression(p, nil)
	return returned, calledToo(nil)
}

func takes(func(context.Context) error) {}

func calledToo(context.Context) error { go play(); return nil }

func Exported(context.Context) error {
	go play()
	return work(context.Background())
}

func (p *player) Exported(context.Context) error { go play(); return nil }

func (p *player) viaInterface(context.Context) error { go play(); return nil }

func (p *player) methodExpression(context.Context) error { go play(); return nil }

func keeps(context.Context) error { go play(); return nil }

func passed(context.Context) error { go play(); return nil }

func returned(context.Context) error { go play(); return nil }

// Nothing calls it.
func unused(context.Context) error { go play(); return nil }
