// Package errgroup runs groups of functions. It has the API and the behavior of
// golang.org/x/sync/errgroup, and is built on [traigo.Scope].
//
// # Migration
//
// Change the import path:
//
//	import "github.com/traigo/traigo/errgroup" // was "golang.org/x/sync/errgroup"
//
// No other line has to change; the section Differences lists where the behavior
// differs. Each group then is a scope named "errgroup" in the tree, below the scope
// that the context given to [WithContext] carries. Each function is a task, named
// after the function. Observers and loggers of that tree also get the events of the
// group, and [traigo.Current] returns the scope of the group for the context that
// [WithContext] returns. [Group.Scope] returns that scope, for everything that a group
// cannot do.
//
// # Differences
//
// All of them are deliberate.
//
//	                             x/sync                    here
//	a function panics            the process crashes       the context is canceled; when all functions
//	                                                       have ended, Wait panics with a
//	                                                       *traigo.PanicError; Go runs no more functions,
//	                                                       unless the context was canceled before
//	a function calls             counts as success         fails with traigo.ErrGoexit
//	runtime.Goexit, as
//	t.FailNow does
//	the context is canceled      the functions can see     the scope of the group is canceled too, and
//	                             it                        what else runs in it; functions that Go
//	                                                       starts later run in another scope
//	the context is canceled      Go waits until it can     Go returns, and does not run the function;
//	while Go is blocked by       run the function          if no function fails, Wait returns an error
//	the limit                                              that wraps traigo.ErrRefused
//	a function goes on when      Wait waits                Wait waits, and a warning is logged after
//	the context is canceled                                10 s; if a scope above has a CancelTimeout,
//	                                                       the function is given up after that time,
//	                                                       and Wait returns a *traigo.StuckError, or
//	                                                       logs it if a function has failed
//	the context given to         contexts derived from     soon after, by another goroutine, unless the
//	WithContext is canceled      the group's are, at once  context belongs to a scope
//	f is nil                     crashes in a goroutine    Go and TryGo panic
//	goroutines                   one for each function     functions that end soon share goroutines:
//	                                                       see traigo.Dedicated
//	pprof labels                 those of the caller       those of the context
//	                             of Go
//	nobody calls Wait            the context is leaked,    the error that has canceled the context is
//	                             and the error lost        logged after 10 s; a scope above cancels and
//	                                                       joins the group when it ends
//
// Under a scope with [traigo.PanicAsError] a panic is an error like any other.
package errgroup

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"

	"github.com/traigo/traigo"
)

// A Group is a set of functions that run at the same time and are waited for
// together. The zero Group is ready to use. It has no limit and no context, so a
// function that fails does not stop the others. A Group must not be copied after
// first use.
type Group struct {
	// The functions of a group with a context run in its first scope, and bubble there: the
	// first failure cancels the scope, and so the context. Which of several failures is the
	// first is thus decided in one place, by the scope; Wait and context.Cause look there.
	//
	// Like x/sync, a group runs functions after its context is done: those run in a later
	// scope. There, and in a group without a context, no function bubbles.

	// Set by WithContext, then read-only. Both are nil in the zero Group.
	outer  context.Context //nolint:containedctx // the parameter of WithContext
	origin *traigo.Scope   // the first scope; the context of the group is done when that of origin is, and only then

	// The scope in which functions run once origin has refused one or, in the zero Group, from
	// the first on; nil before. It is replaced only after it has refused a function that is to
	// run nevertheless: see goesOnAfter.
	later atomic.Pointer[traigo.Scope]

	// Holds an element for each running function that was started under the limit; nil: no
	// limit.
	limit atomic.Pointer[chan struct{}]

	end    atomic.Pointer[end]      // what the end of origin means; nil until that is asked for
	failed atomic.Pointer[failures] // what has failed; nil if nothing has
}

// WithContext returns a new Group and a context derived from ctx. The context is
// canceled as soon as a function of the group fails, and otherwise when Wait
// returns. Its [context.Cause] is the first error of a function, as the function
// returned it. If ctx ends before a function fails, it is the cause of ctx; if Wait
// returns nil, it is [context.Canceled]. If the scope of the group is canceled
// otherwise (see [Group.Scope]), it is a [*traigo.Cancellation], and after a panic a
// [*traigo.PanicError]. WithContext panics if ctx is nil.
func WithContext(ctx context.Context) (*Group, context.Context) {
	g := &Group{outer: ctx, origin: traigo.New(ctx, scopeName)}
	return g, (*groupContext)(g)
}

// Go runs f in a task of the group. If a limit is set and that many functions are
// running, Go blocks until one of them has ended. If the context is canceled
// meanwhile, Go returns and f is never run; Wait then returns an error that wraps
// [traigo.ErrRefused], unless a function has failed.
//
// The error of f belongs to the group. The first error cancels the context and is
// returned by Wait; later errors are dropped. Once the context is canceled Go does not
// block: it runs f if there is room, and does not otherwise.
//
// A function of the group may call Go. If the limit is reached, it waits for another
// function to end; if all running functions do so, they block for ever. Go panics if
// f is nil.
func (g *Group) Go(f func() error) {
	mustHaveFunc("Go", f)
	slots := g.slots()
	err := g.acquire(slots)
	if err == nil {
		err = g.spawn(f, slots)
	}
	if err != nil {
		g.failures().refuse(err)
	}
}

// TryGo is like Go but never blocks. It reports whether f is run, which it is not if
// the limit is reached, or if the scope of the group was canceled, by a panic say.
// TryGo panics if f is nil.
func (g *Group) TryGo(f func() error) bool {
	mustHaveFunc("TryGo", f)
	slots := g.slots()
	return tryAcquire(slots) && g.spawn(f, slots) == nil
}

func mustHaveFunc(call string, f func() error) {
	if f == nil {
		panic("errgroup: " + call + ": nil function")
	}
}

// SetLimit lets at most n functions of the group run at the same time. With n = 0 no
// function can start: Go blocks and TryGo returns false. A negative n removes the
// limit. SetLimit panics if n is not negative and a function is running that was
// started under a limit.
func (g *Group) SetLimit(n int) {
	if n < 0 {
		g.limit.Store(nil)
		return
	}
	if active := len(g.slots()); active > 0 {
		panic(fmt.Errorf("errgroup: SetLimit(%d) while %d goroutines in the group are still active", n, active))
	}
	slots := make(chan struct{}, n)
	g.limit.Store(&slots)
}

// Wait waits until all functions of the group have ended, and everything else that
// runs in its scope. Then it cancels the context and returns the first error of a
// function. If no function failed, it returns an error if a function was not run
// (see Go) or the scope failed, and nil otherwise. If a function panicked, Wait
// panics with a [*traigo.PanicError]. If the scope failed but Wait returns another
// error, the error of the scope is logged at level ERROR to [slog.Default], unless it
// holds only later errors of functions.
//
// Wait may be called by several goroutines and more than once, and the group may be
// used again afterwards; an error that Wait has returned is returned again each
// time. A function of the group must not call Wait: it would wait for itself.
func (g *Group) Wait() error {
	panicked, first := join(g.origin)
	last := g.later.Load() // not before origin has closed: a function there may have called Go
	value, later := join(last)
	if panicked == nil {
		panicked = value
	}
	if first == nil && later == nil && panicked == nil && g.failed.Load() == nil {
		return nil
	}
	unsaid, err := g.failures().conclude(first, later, last, panicked != nil)
	for _, outcome := range unsaid {
		slog.Error("traigo: errgroup: an error in the scope of a group, behind the one that Wait returns", "err", outcome)
	}
	if panicked != nil {
		panic(panicked)
	}
	return err
}

// join waits for s, which may be nil. It returns the outcome, or the value with which
// s.Wait panics.
func join(s *traigo.Scope) (panicked any, outcome error) {
	if s == nil {
		return nil, nil
	}
	returned := false
	defer func() {
		if !returned {
			panicked = recover()
		}
	}()
	outcome = s.Wait()
	returned = true
	return nil, outcome
}

// Scope returns the scope in which the next function of the group will run. It is opened
// when it is first needed, and closed by Wait. The first Go after Wait opens another one,
// and so does the first Go after a failing function, or the end of the context given to
// [WithContext], has canceled the scope. A task that is spawned by the methods of the scope
// follows the rules of package traigo, and Wait waits for it. If it fails, or the scope is
// canceled otherwise, so is the context of the group, and Go runs no more functions.
func (g *Group) Scope() *traigo.Scope {
	s := g.later.Load()
	if s == nil {
		s = g.origin
	}
	if s == nil {
		s = g.openAfter(nil)
	}
	return s
}
