package bench

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	theirs "golang.org/x/sync/errgroup"

	ours "github.com/traigo/traigo/errgroup"
)

// Package errgroup replaces golang.org/x/sync/errgroup, so the same programs run with both
// packages and must leave the same traces. The deliberate differences are tested in package
// errgroup itself.

// A group has the methods that both packages have.
type group interface {
	Go(f func() error)
	TryGo(f func() error) bool
	SetLimit(n int)
	Wait() error
}

type implementation struct {
	zero        func() group
	withContext func(context.Context) (group, context.Context)
}

var (
	xsync = implementation{
		zero:        func() group { return new(theirs.Group) },
		withContext: func(ctx context.Context) (group, context.Context) { return theirs.WithContext(ctx) },
	}
	onScopes = implementation{
		zero:        func() group { return new(ours.Group) },
		withContext: func(ctx context.Context) (group, context.Context) { return ours.WithContext(ctx) },
	}
)

var (
	errOne = errors.New("one")
	errTwo = errors.New("two")
	errOut = errors.New("from outside")
)

// A trace has a line, with its time, for each event of a program. Events of the same
// instant may come in any order, so the lines are sorted before they are compared.
type trace struct {
	start time.Time
	mu    sync.Mutex
	lines []string
}

func (r *trace) add(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lines = append(r.lines, fmt.Sprintf("%8d ms: ", time.Since(r.start).Milliseconds())+fmt.Sprintf(format, args...))
}

func (r *trace) wait(g group) { r.add("Wait: %s", identity(g.Wait())) }

func (r *trace) context(what string, ctx context.Context) {
	done := false
	select {
	case <-ctx.Done():
		done = true
	default:
	}
	deadline, _ := ctx.Deadline()
	r.add("%s: done %t, err %s, cause %s, deadline %v, value %v", what, done,
		identity(ctx.Err()), identity(context.Cause(ctx)), deadline.UTC(), ctx.Value(key{}))
}

type key struct{}

// identity returns the name of a known error. It compares with ==, so an error that wraps
// a known one has no name.
func identity(err error) string {
	for _, known := range []error{nil, errOne, errTwo, errOut, context.Canceled, context.DeadlineExceeded} {
		if err == known { //nolint:errorlint // identity is what is compared
			return fmt.Sprintf("<%v>", known)
		}
	}
	return fmt.Sprintf("%T: %v", err, err)
}

// fails returns a function that sleeps for d, adds a line, and returns err.
func (r *trace) fails(name string, d time.Duration, err error) func() error {
	return func() error {
		time.Sleep(d)
		r.add("%s runs", name)
		return err
	}
}

func (r *trace) panics(what string, f func()) {
	defer func() {
		value := recover()
		_, isError := value.(error)
		r.add("%s: panic %t, with an error %t", what, value != nil, isError)
	}()
	f()
}

const ms = time.Millisecond

var errgroupPrograms = []struct {
	name    string
	program func(r *trace, i implementation)
}{
	{"zero, nothing", func(r *trace, i implementation) { r.wait(i.zero()) }},
	{"zero, successes", func(r *trace, i implementation) {
		g := i.zero()
		g.Go(r.fails("a", 2*ms, nil))
		g.Go(r.fails("b", 1*ms, nil))
		r.wait(g)
	}},
	{"zero, a failure disturbs nobody", func(r *trace, i implementation) {
		g := i.zero()
		g.Go(r.fails("a", 1*ms, errOne))
		g.Go(r.fails("b", 3*ms, nil))
		g.Go(r.fails("c", 2*ms, errTwo))
		r.wait(g)
	}},
	{"zero, the first by time", func(r *trace, i implementation) {
		g := i.zero()
		g.Go(r.fails("a", 2*ms, errOne))
		g.Go(r.fails("b", 1*ms, errTwo))
		r.wait(g)
	}},
	{"zero, used again", func(r *trace, i implementation) {
		g := i.zero()
		for _, err := range []error{nil, nil, errOne, nil, errTwo} {
			g.Go(r.fails("a", ms, err))
			r.wait(g)
			r.wait(g)
		}
	}},
	{"zero, used again with a limit", func(r *trace, i implementation) {
		g := i.zero()
		for n := range 3 {
			g.SetLimit(n + 1)
			for range 5 {
				g.Go(r.fails("a", ms, nil))
			}
			r.wait(g)
		}
	}},
	{"zero, goes on after a failure", func(r *trace, i implementation) {
		g := i.zero()
		g.Go(r.fails("a", 0, errOne))
		time.Sleep(ms)
		g.Go(r.fails("b", 0, nil))
		r.add("TryGo: %t", g.TryGo(r.fails("c", ms, errTwo)))
		r.wait(g)
	}},
	{"a function calls Go", func(r *trace, i implementation) {
		g := i.zero()
		g.Go(func() error {
			time.Sleep(ms)
			g.Go(func() error {
				time.Sleep(ms)
				g.Go(r.fails("inner", ms, errOne))
				return nil
			})
			return nil
		})
		r.wait(g)
	}},
	{"several wait", func(r *trace, i implementation) {
		g, ctx := i.withContext(context.Background())
		g.Go(r.fails("a", 2*ms, errOne))
		var all sync.WaitGroup
		for range 3 {
			all.Go(func() { r.wait(g) })
		}
		all.Wait()
		r.context("after", ctx)
	}},
	{"context, nothing", func(r *trace, i implementation) {
		g, ctx := i.withContext(context.Background())
		r.context("before", ctx)
		r.wait(g)
		r.context("after", ctx)
		r.wait(g)
	}},
	{"context, success", func(r *trace, i implementation) {
		g, ctx := i.withContext(context.Background())
		g.Go(r.fails("a", ms, nil))
		synctest.Wait()
		r.context("during", ctx)
		time.Sleep(2 * ms)
		r.context("ended, not waited for", ctx)
		r.wait(g)
		r.context("after", ctx)
	}},
	{"context, the first failure cancels", func(r *trace, i implementation) {
		g, ctx := i.withContext(context.Background())
		g.Go(r.fails("a", ms, errOne))
		g.Go(func() error {
			<-ctx.Done()
			r.context("inside", ctx)
			return ctx.Err()
		})
		r.wait(g)
		r.context("after", ctx)
	}},
	{"context, what comes after the failure runs", func(r *trace, i implementation) {
		g, ctx := i.withContext(context.Background())
		g.Go(r.fails("a", 0, errOne))
		<-ctx.Done()
		g.Go(r.fails("b", ms, nil))
		synctest.Wait()
		r.add("TryGo: %t", g.TryGo(r.fails("c", 2*ms, errTwo)))
		r.wait(g)
		r.context("after", ctx)
	}},
	{"context, used again", func(r *trace, i implementation) {
		g, ctx := i.withContext(context.Background())
		g.Go(r.fails("a", ms, nil))
		r.wait(g)
		g.Go(r.fails("b", ms, errOne))
		r.wait(g)
		r.context("after", ctx)
		g.SetLimit(1)
		g.Go(r.fails("c", ms, errTwo))
		g.Go(r.fails("d", ms, nil))
		r.wait(g)
		r.context("at last", ctx)
	}},
	{"context canceled from outside", func(r *trace, i implementation) {
		outer, cancel := context.WithCancelCause(context.Background())
		g, ctx := i.withContext(outer)
		g.Go(func() error { <-ctx.Done(); return ctx.Err() })
		cancel(errOut)
		r.context("at once", ctx)
		r.wait(g)
		r.context("after", ctx)
	}},
	{"context canceled from outside, nobody minds", func(r *trace, i implementation) {
		outer, cancel := context.WithCancelCause(context.Background())
		g, ctx := i.withContext(outer)
		g.Go(func() error { <-ctx.Done(); return nil })
		cancel(errOut)
		r.wait(g)
		r.context("after", ctx)
	}},
	{"context canceled from outside, what comes after runs", func(r *trace, i implementation) {
		outer, cancel := context.WithCancel(context.Background())
		g, ctx := i.withContext(outer)
		g.Go(r.fails("a", 3*ms, nil))
		cancel()
		synctest.Wait()
		for n := range 4 {
			g.Go(r.fails("late", time.Duration(n)*ms, nil))
		}
		g.Go(func() error {
			time.Sleep(5 * ms)
			g.Go(r.fails("later", ms, ctx.Err()))
			return nil
		})
		r.wait(g)
		g.Go(r.fails("again", ms, errTwo))
		r.wait(g)
		r.context("after", ctx)
	}},
	{"context canceled before", func(r *trace, i implementation) {
		outer, cancel := context.WithCancelCause(context.Background())
		cancel(errOut)
		g, ctx := i.withContext(outer)
		r.context("before", ctx)
		g.Go(func() error { return ctx.Err() })
		r.add("TryGo: %t", g.TryGo(r.fails("b", ms, nil)))
		r.wait(g)
	}},
	{"context canceled before, and nothing fails", func(r *trace, i implementation) {
		outer, cancel := context.WithCancel(context.Background())
		cancel()
		g, _ := i.withContext(outer)
		g.Go(r.fails("a", ms, nil))
		r.wait(g)
	}},
	{"deadline, values", func(r *trace, i implementation) {
		outer, cancel := context.WithTimeout(context.WithValue(context.Background(), key{}, "value"), time.Hour)
		defer cancel()
		g, ctx := i.withContext(outer)
		r.context("before", ctx)
		g.Go(func() error { <-ctx.Done(); return ctx.Err() })
		r.wait(g)
		r.context("after", ctx)
	}},
	{"groups in groups", func(r *trace, i implementation) {
		g, ctx := i.withContext(context.Background())
		g.Go(func() error {
			inner, ctx := i.withContext(ctx)
			inner.Go(func() error { <-ctx.Done(); r.context("inner", ctx); return ctx.Err() })
			err := inner.Wait()
			r.add("inner: %s", identity(err))
			return err
		})
		g.Go(r.fails("a", ms, errOne))
		r.wait(g)
		r.context("after", ctx)
	}},
	{"derived contexts", func(r *trace, i implementation) {
		g, ctx := i.withContext(context.WithValue(context.Background(), key{}, 1))
		below, cancel := context.WithCancel(context.WithValue(ctx, key{}, 2))
		defer cancel()
		g.Go(func() error { <-below.Done(); r.context("below", below); return nil })
		g.Go(r.fails("a", ms, errOne))
		r.wait(g)
		r.context("after", below)
	}},
	{"limit", func(r *trace, i implementation) {
		g := i.zero()
		g.SetLimit(2)
		for n := range 6 {
			g.Go(r.fails("a", ms, nil))
			r.add("Go %d returned", n)
		}
		r.add("TryGo: %t", g.TryGo(r.fails("b", ms, nil)))
		r.wait(g)
		r.add("TryGo: %t", g.TryGo(r.fails("b", ms, nil)))
		r.wait(g)
	}},
	{"limit, a failure and no context", func(r *trace, i implementation) {
		g := i.zero()
		g.SetLimit(1)
		for n := range 3 {
			g.Go(r.fails(fmt.Sprint(n), ms, []error{nil, errOne, errTwo}[n]))
		}
		r.wait(g)
	}},
	{"no room at all", func(r *trace, i implementation) {
		g := i.zero()
		g.SetLimit(0)
		for range 3 {
			r.add("TryGo: %t", g.TryGo(r.fails("a", ms, nil)))
		}
		r.wait(g)
		g.SetLimit(-1)
		g.Go(r.fails("b", ms, nil))
		r.wait(g)
	}},
	{"the limit is changed", func(r *trace, i implementation) {
		g := i.zero()
		r.panics("at first", func() { g.SetLimit(1) })
		r.panics("again", func() { g.SetLimit(3) })
		g.Go(r.fails("a", ms, nil))
		r.panics("in use", func() { g.SetLimit(2) })
		r.panics("to nothing, in use", func() { g.SetLimit(0) })
		r.wait(g)
		r.panics("after Wait", func() { g.SetLimit(2) })
		r.panics("away", func() { g.SetLimit(-1) })
	}},
	{"the limit is taken away in use", func(r *trace, i implementation) {
		g := i.zero()
		g.SetLimit(1)
		g.Go(r.fails("a", 2*ms, nil))
		r.panics("away", func() { g.SetLimit(-1) })
		g.Go(r.fails("b", ms, nil))
		r.wait(g)
	}},
	{"the limit and a failure", func(r *trace, i implementation) {
		g := i.zero()
		g.SetLimit(1)
		g.Go(r.fails("a", 0, errOne))
		synctest.Wait()
		r.panics("when it has ended", func() { g.SetLimit(2) })
		r.wait(g)
	}},
}

func TestErrgroupBehavesAsXSync(t *testing.T) {
	run := func(t *testing.T, program func(*trace, implementation), i implementation) (lines []string) {
		synctest.Test(t, func(*testing.T) {
			r := &trace{start: time.Now()}
			program(r, i)
			lines = r.lines
		})
		slices.Sort(lines)
		return lines
	}
	for _, row := range errgroupPrograms {
		t.Run(row.name, func(t *testing.T) {
			want := run(t, row.program, xsync)
			assert.NotEmpty(t, want)
			assert.Equal(t, want, run(t, row.program, onScopes))
		})
	}
}
