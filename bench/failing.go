package bench

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sync/errgroup"

	"github.com/traigo/traigo"
	dropin "github.com/traigo/traigo/errgroup"
)

// errFailed is the error of a task that fails.
var errFailed = errors.New("failed")

func fails(context.Context) error { return errFailed }

// waits is a task that is idle until it is canceled.
func waits(ctx context.Context) error {
	<-ctx.Done()
	return ctx.Err()
}

// A failure returns a function that runs n tasks, of which the last one fails and the
// others wait until they are canceled, and that returns the error of the group.
type failure func(n int) func() error

var failures = []struct {
	name    string
	failure failure
}{
	{"traigo", runFailure},
	{"dropin", dropinFailure},
	{"errgroup", errgroupFailure},
}

func runFailure(n int) func() error {
	body := spawnsOneThatFails(n)
	return func() error { return traigo.Run(context.Background(), body) }
}

func spawnsOneThatFails(n int) func(context.Context, *traigo.Scope) error {
	return func(_ context.Context, s *traigo.Scope) error {
		for range n - 1 {
			s.Spawn(waits)
		}
		s.Spawn(fails)
		return nil
	}
}

func dropinFailure(n int) func() error {
	return func() error {
		g, ctx := dropin.WithContext(context.Background())
		for range n - 1 {
			g.Go(func() error { return waits(ctx) })
		}
		g.Go(func() error { return errFailed })
		return g.Wait()
	}
}

func errgroupFailure(n int) func() error {
	return func() error {
		g, ctx := errgroup.WithContext(context.Background())
		for range n - 1 {
			g.Go(func() error { return waits(ctx) })
		}
		g.Go(func() error { return errFailed })
		return g.Wait()
	}
}

// Failing is a group of n tasks of which one fails, whereupon the others are canceled.
func Failing(n int) Work {
	w := Work{Name: fmt.Sprintf("Failing/tasks=%d", n), Units: n, Unit: "task"}
	for _, f := range failures {
		run := f.failure(n)
		w.Ways = append(w.Ways, Way{f.name, timed(func() {
			if err := run(); !errors.Is(err, errFailed) {
				panic(fmt.Sprintf("bench: the group ended with %v", err))
			}
		})})
	}
	return w
}
