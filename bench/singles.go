package bench

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/traigo/traigo"
)

// Works with one task, in a scope that is there already, or with one call.

// kinds are the ways to start a task, each beside a goroutine that is started and waited
// for in the same manner. ctx is the context of the scope.
var kinds = []struct {
	name string
	task func(ctx context.Context, s *traigo.Scope) error
	bare func(ctx context.Context) error
}{
	{"Spawn", func(ctx context.Context, s *traigo.Scope) error {
		return s.Spawn(short.ctx).Wait(ctx)
	}, bareTask},
	{"TrySpawn", func(ctx context.Context, s *traigo.Scope) error {
		t, _ := s.TrySpawn(short.ctx)
		return t.Wait(ctx)
	}, bareTask},
	{"Async", func(_ context.Context, s *traigo.Scope) error {
		_, err := traigo.Async(s, succeeds).Await(context.Background())
		return err
	}, bareFuture},
	{"AsyncSelect", func(ctx context.Context, s *traigo.Scope) error {
		_, err := traigo.Async(s, succeeds).Await(ctx)
		return err
	}, bareFutureOrDone},
	{"Start", func(ctx context.Context, s *traigo.Scope) error {
		t, err := s.Start(ctx, getsReady)
		if err != nil {
			return err
		}
		return t.Wait(ctx)
	}, bareStart},
}

func bareTask(ctx context.Context) error {
	ended := make(chan error, 1)
	go func() { ended <- short.ctx(ctx) }()
	return <-ended
}

func bareFuture(ctx context.Context) error {
	ended := make(chan outcome, 1)
	go func() {
		value, err := succeeds(ctx)
		ended <- outcome{value, err}
	}()
	o := <-ended
	return o.err
}

func bareFutureOrDone(ctx context.Context) error {
	ended := make(chan outcome, 1)
	go func() {
		value, err := succeeds(ctx)
		ended <- outcome{value, err}
	}()
	select {
	case o := <-ended:
		return o.err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func getsReady(_ context.Context, ready func()) error {
	ready()
	return nil
}

func bareStart(ctx context.Context) error {
	ready, ended := make(chan struct{}), make(chan error, 1)
	go func() { ended <- getsReady(ctx, func() { close(ready) }) }()
	select {
	case <-ready:
		return <-ended
	case err := <-ended:
		return err
	}
}

// Single is to start one task by the function that is named, and to wait for it.
func Single(kind string) Work {
	w := Work{Name: fmt.Sprintf("Single/kind=%s", kind), Units: 1, Unit: "task"}
	for _, k := range kinds {
		if k.name == kind {
			w.Ways = []Way{
				{"traigo", inScope(k.task)},
				{"go", inScope(func(ctx context.Context, _ *traigo.Scope) error { return k.bare(ctx) })},
			}
		}
	}
	return w
}

// inScope returns an operation that calls f with an open scope and its context.
func inScope(f func(context.Context, *traigo.Scope) error) func(n int) time.Duration {
	return func(n int) (took time.Duration) {
		must(traigo.Run(context.Background(), func(ctx context.Context, s *traigo.Scope) error {
			took = timed(func() { must(f(ctx, s)) })(n)
			return nil
		}))
		return took
	}
}

// timeouts call a function with a context that expires after d, and return whether it has
// expired when the function returns, and the error of the function if that says more.
var timeouts = []struct {
	name string
	call func(ctx context.Context, d time.Duration, fn func(context.Context) error) (expired bool, err error)
}{
	{"traigo", traigo.MoveOnAfter},
	{"context", callByContext},
}

func callByContext(ctx context.Context, d time.Duration, fn func(context.Context) error) (expired bool, err error) {
	limited, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	err = fn(limited)
	expired = limited.Err() != nil && ctx.Err() == nil
	if expired && errors.Is(err, context.DeadlineExceeded) {
		err = nil
	}
	return expired, err
}

// MoveOnAfter is to call a short function with a timeout that does not expire.
func MoveOnAfter() Work {
	w := Work{Name: "MoveOnAfter", Units: 1, Unit: "call"}
	for _, t := range timeouts {
		w.Ways = append(w.Ways, Way{t.name, timed(func() {
			_, err := t.call(context.Background(), time.Minute, short.ctx)
			must(err)
		})})
	}
	return w
}
