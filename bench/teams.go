package bench

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/sourcegraph/conc/pool"
	"golang.org/x/sync/errgroup"

	"github.com/traigo/traigo"
	dropin "github.com/traigo/traigo/errgroup"
)

// Works that open a scope, or a group with a context, for some tasks, and wait for them.

// A team returns a function that opens a scope (or a group), runs n tasks in it, and returns
// when all have ended. The scope is opened under ctx, or as a fork of a parent that is under
// ctx. What does not change from one call to the next is made before.
type team func(n int, j job) func(ctx context.Context, parent *traigo.Scope)

var teams = []struct {
	name string
	team team
}{
	{"traigo", runTeam},
	{"traigo-fork", forkTeam},
	{"dropin", dropinTeam},
	{"go", goTeam},
	{"errgroup", errgroupTeam},
	{"conc-pool", concPoolTeam},
}

// short is the job of a task that returns at once.
var short = jobOf(func() {})

func runTeam(n int, j job) func(context.Context, *traigo.Scope) {
	body := spawns(n, j.ctx)
	return func(ctx context.Context, _ *traigo.Scope) { must(traigo.Run(ctx, body)) }
}

// spawns returns the body of a scope with n tasks.
func spawns(n int, f func(context.Context) error) func(context.Context, *traigo.Scope) error {
	return func(_ context.Context, s *traigo.Scope) error {
		for range n {
			s.Spawn(f)
		}
		return nil
	}
}

func forkTeam(n int, j job) func(context.Context, *traigo.Scope) {
	return func(_ context.Context, parent *traigo.Scope) {
		s := parent.Fork()
		for range n {
			s.Spawn(j.ctx)
		}
		must(s.Wait())
	}
}

func dropinTeam(n int, j job) func(context.Context, *traigo.Scope) {
	return func(ctx context.Context, _ *traigo.Scope) {
		g, _ := dropin.WithContext(ctx)
		for range n {
			g.Go(j.err)
		}
		must(g.Wait())
	}
}

func goTeam(n int, j job) func(context.Context, *traigo.Scope) {
	return func(ctx context.Context, _ *traigo.Scope) {
		ctx, cancel := context.WithCancelCause(ctx)
		var wg sync.WaitGroup
		for range n {
			wg.Add(1)
			go func() {
				defer wg.Done()
				_ = j.ctx(ctx)
			}()
		}
		wg.Wait()
		cancel(nil)
	}
}

func errgroupTeam(n int, j job) func(context.Context, *traigo.Scope) {
	return func(ctx context.Context, _ *traigo.Scope) {
		g, _ := errgroup.WithContext(ctx)
		for range n {
			g.Go(j.err)
		}
		must(g.Wait())
	}
}

func concPoolTeam(n int, j job) func(context.Context, *traigo.Scope) {
	return func(ctx context.Context, _ *traigo.Scope) {
		p := pool.New().WithContext(ctx)
		for range n {
			p.Go(j.ctx)
		}
		must(p.Wait())
	}
}

// One is a team of one, under a context that can be canceled or one that cannot.
func One(cancelable bool) Work {
	return teamed(fmt.Sprintf("One/cancelable=%v", cancelable), 1, "scope", cancelable)
}

// Team is a team of n, under a context that cannot be canceled.
func Team(n int) Work { return teamed(fmt.Sprintf("Team/tasks=%d", n), n, "task", false) }

func teamed(name string, n int, unit string, cancelable bool) Work {
	w := Work{Name: name, Units: n, Unit: unit}
	for _, t := range teams {
		w.Ways = append(w.Ways, Way{t.name, under(cancelable, t.team(n, short))})
	}
	return w
}

// under returns an operation that calls f with a context, and with an open scope below it.
func under(cancelable bool, f func(context.Context, *traigo.Scope)) func(n int) time.Duration {
	return func(n int) time.Duration {
		ctx := context.Background()
		if cancelable {
			cancelable, cancel := context.WithCancel(ctx)
			defer cancel()
			ctx = cancelable
		}
		parent := traigo.New(ctx)
		defer parent.Close()
		return timed(func() { f(ctx, parent) })(n)
	}
}

// A limiting runs n tasks, of which at most limit exist at a time, and returns when all have
// ended.
type limiting func(n, limit int, j job)

var limitings = []struct {
	name     string
	limiting limiting
}{
	{"traigo", runLimited},
	{"dropin", dropinLimited},
	{"errgroup", errgroupLimited},
	{"conc-pool", concPoolLimited},
}

func runLimited(n, limit int, j job) {
	must(traigo.Run(context.Background(), spawns(n, j.ctx), traigo.Limit(limit)))
}

func dropinLimited(n, limit int, j job) {
	g, _ := dropin.WithContext(context.Background())
	g.SetLimit(limit)
	for range n {
		g.Go(j.err)
	}
	must(g.Wait())
}

func errgroupLimited(n, limit int, j job) {
	g, _ := errgroup.WithContext(context.Background())
	g.SetLimit(limit)
	for range n {
		g.Go(j.err)
	}
	must(g.Wait())
}

func concPoolLimited(n, limit int, j job) {
	p := pool.New().WithContext(context.Background()).WithMaxGoroutines(limit)
	for range n {
		p.Go(j.ctx)
	}
	must(p.Wait())
}

// Limited is n short tasks of which at most limit exist at a time.
func Limited(n, limit int) Work {
	w := Work{Name: fmt.Sprintf("Limited/tasks=%d/limit=%d", n, limit), Units: n, Unit: "task"}
	for _, l := range limitings {
		w.Ways = append(w.Ways, Way{l.name, timed(func() { l.limiting(n, limit, short) })})
	}
	return w
}
