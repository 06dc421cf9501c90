package bench

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/sourcegraph/conc/pool"
	"golang.org/x/sync/errgroup"

	"github.com/traigo/traigo"
)

// Works that need a context, to cancel tasks together.

// A field starts n tasks with a context, calls between with the function that cancels the
// context, and returns when all tasks have ended.
type field func(n int, f func(context.Context) error, between func(cancel func()))

var fields = []struct {
	name  string
	field field
}{
	{"traigo", traigoField},
	{"go", goField},
	{"errgroup", errgroupField},
	{"conc-pool", concPoolField},
}

func traigoField(n int, f func(context.Context) error, between func(func())) {
	must(traigo.Run(context.Background(), func(_ context.Context, s *traigo.Scope) error {
		for range n {
			s.Spawn(f)
		}
		between(func() { s.Cancel(nil) })
		return nil
	}))
}

func goField(n int, f func(context.Context) error, between func(func())) {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	for range n {
		wg.Add(1)
		go func() {
			defer wg.Done()
			_ = f(ctx)
		}()
	}
	between(cancel)
	wg.Wait()
}

func errgroupField(n int, f func(context.Context) error, between func(func())) {
	ctx, cancel := context.WithCancel(context.Background())
	g, ctx := errgroup.WithContext(ctx)
	task := func() error { return f(ctx) }
	for range n {
		g.Go(task)
	}
	between(cancel)
	must(g.Wait())
}

func concPoolField(n int, f func(context.Context) error, between func(func())) {
	ctx, cancel := context.WithCancel(context.Background())
	p := pool.New().WithContext(ctx)
	for range n {
		p.Go(f)
	}
	between(cancel)
	must(p.Wait())
}

// ParkDone is n tasks that are all parked on ctx.Done() when they are canceled.
func ParkDone(n int) Work {
	return fielded(fmt.Sprintf("ParkDone/tasks=%d", n), n, func(f field) func(int) time.Duration {
		return timed(func() { parkDone(f, n) })
	})
}

// Cancel is the part of ParkDone from the cancellation on.
func Cancel(n int) Work {
	return fielded(fmt.Sprintf("Cancel/tasks=%d", n), n, func(f field) func(int) time.Duration {
		return summed(func() time.Duration {
			begin := parkDone(f, n)
			return time.Since(begin)
		})
	})
}

// parkDone returns the time at which it canceled the tasks.
func parkDone(f field, n int) (canceled time.Time) {
	l := newLot(n)
	f(n, func(ctx context.Context) error {
		l.arrive()
		<-ctx.Done()
		return nil
	}, func(cancel func()) {
		<-l.full
		canceled = time.Now()
		cancel()
	})
	return canceled
}

func fielded(name string, n int, op func(field) func(int) time.Duration) Work {
	w := Work{Name: name, Units: n, Unit: "task"}
	for _, f := range fields {
		w.Ways = append(w.Ways, Way{f.name, op(f.field)})
	}
	return w
}
