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
//	                                                       *traigo.PanicError; Go runs no more functions
//	a function calls             counts as success         fails with traigo.ErrGoexit
//	runtime.Goexit, as
//	t.FailNow does
//	the context is canceled      Go waits until it can     Go returns, and does not run the function;
//	while Go is blocked by       run the function          if no function fails, Wait returns an error
//	the limit                                              that wraps traigo.ErrRefused
//	a function goes on when      Wait waits                Wait waits, and a warning is logged after
//	the context is canceled                                10 s; if a scope above has a CancelTimeout,
//	                                                       the function is given up after that time,
//	                                                       and Wait returns a *traigo.StuckError, or
//	                                                       logs it if a function has failed
//	f is nil                     crashes in a goroutine    Go and TryGo panic
//	goroutines                   one for each function     functions that end soon share goroutines:
//	                                                       see traigo.Dedicated
//	pprof labels                 those of the caller       those of the context
//	                             of Go
//	nobody calls Wait            the context is leaked     a scope above cancels and joins the group
//	                                                       when it ends; without one, as in x/sync
//
// Under a scope with [traigo.PanicAsError] a panic is an error like any other.
package errgroup

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/traigo/traigo"
)

// A Group is a set of functions that run at the same time and are waited for
// together. The zero Group is ready to use. It has no limit and no context, so a
// function that fails does not stop the others. A Group must not be copied after
// first use.
type Group struct {
	// Set by WithContext, then read-only. All are nil in the zero Group.
	outer, ctx context.Context //nolint:containedctx // the parameter and the result of WithContext
	cancel     context.CancelCauseFunc
	stopOuter  func() bool   // removes cancelRunning from outer; nil if outer never ends
	origin     *traigo.Scope // the first scope, which traigo.Current finds in ctx

	watching sync.Once

	// mu is a leaf: nothing foreign is called while it is held.
	mu       sync.Mutex
	scope    *traigo.Scope // the scope for the next function, unless Wait has closed it; nil before the first
	slots    chan struct{} // holds an element for each running function; nil: no limit
	running  map[*traigo.Task]struct{}
	waited   bool          // Wait has returned, and so has canceled ctx
	reported *traigo.Scope // the last scope whose outcome a Wait has returned or logged
	err      error         // the first error; never replaced
	refused  error         // of the first function that was not run; Wait prefers err
}

// WithContext returns a new Group and a context derived from ctx. The context is
// canceled as soon as a function of the group fails, and otherwise when Wait
// returns. Its [context.Cause] is the first error of a function, as the function
// returned it. If ctx ends before a function fails, it is the cause of ctx; if Wait
// returns nil, it is [context.Canceled]. WithContext panics if ctx is nil.
func WithContext(ctx context.Context) (*Group, context.Context) {
	g := &Group{outer: ctx, running: map[*traigo.Task]struct{}{}}
	s := g.open()
	g.origin = s
	g.ctx, g.cancel = context.WithCancelCause((*groupContext)(g))
	if ctx.Done() != nil {
		g.stopOuter = context.AfterFunc(ctx, g.cancelRunning)
	}
	if traigo.Current(ctx) != nil {
		g.watchScope() // the scope above may cancel this one
	}
	return g, g.ctx
}

// Go runs f in a task of the group. If a limit is set and that many functions are
// running, Go blocks until one of them has ended. If the context is canceled
// meanwhile, Go returns and f is never run; Wait then returns an error that wraps
// [traigo.ErrRefused], unless a function has failed.
//
// The error of f belongs to the group. The first error cancels the context and is
// returned by Wait; later errors are dropped.
//
// A function of the group may call Go. If the limit is reached, it waits for another
// function to end; if all running functions do so, they block for ever. Go panics if
// f is nil.
func (g *Group) Go(f func() error) {
	if slots, ok := g.acquire("Go", f, true); ok {
		if err := g.spawn(f, slots); err != nil {
			g.refuse(err)
		}
	}
}

// TryGo is like Go but never blocks. It reports whether f is run, which it is not if
// the limit is reached, or if the scope of the group was canceled, by a panic say.
// TryGo panics if f is nil.
func (g *Group) TryGo(f func() error) bool {
	slots, ok := g.acquire("TryGo", f, false)
	return ok && g.spawn(f, slots) == nil
}

// SetLimit lets at most n functions of the group run at the same time. With n = 0 no
// function can start: Go blocks and TryGo returns false. A negative n removes the
// limit. SetLimit panics if n is not negative and a function is running that was
// started under a limit.
func (g *Group) SetLimit(n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if n < 0 {
		g.slots = nil
		return
	}
	if active := len(g.slots); active > 0 {
		panic(fmt.Errorf("errgroup: SetLimit(%d) while %d goroutines in the group are still active", n, active))
	}
	g.slots = make(chan struct{}, n)
}

// Wait waits until all functions of the group have ended, and everything else that
// runs in its scope. Then it cancels the context and returns the first error of a
// function. If no function failed, it returns an error if a function was not run
// (see Go) or the scope failed, and nil otherwise. If a function panicked, Wait
// panics with a [*traigo.PanicError]. If the scope failed but Wait returns another
// error, the error of the scope is logged at level ERROR to [slog.Default].
//
// Wait may be called by several goroutines and more than once, and the group may be
// used again afterwards; an error that Wait has returned is returned again each
// time. A function of the group must not call Wait: it would wait for itself.
func (g *Group) Wait() error {
	g.mu.Lock()
	s := g.scope
	g.mu.Unlock()
	var err error
	if g.stopOuter != nil {
		defer g.stopOuter() // also if s.Wait panics
	}
	if s != nil {
		err = s.Wait() // of the functions' errors it has only the panics: see noBubble
	}
	g.mu.Lock()
	g.waited = true
	for _, err := range []error{g.refused, err} {
		if g.err == nil {
			g.err = err
		}
	}
	first, reported := g.err, g.reported == s
	g.reported = s
	g.mu.Unlock()
	if g.cancel != nil {
		g.cancel(first)
	}
	if err != nil && !reported && !addsNothing(err, first) {
		slog.Error("traigo: errgroup: an error in the scope of a group, behind the one that Wait returns", "err", err)
	}
	return first
}

// addsNothing reports whether the outcome of a scope says nothing beside the first
// error, which Wait returns: it is that error, or says only that the scope above has
// ended.
func addsNothing(outcome, first error) bool {
	e, _ := errors.AsType[*traigo.Error](outcome)
	if e == nil || len(e.Others) > 0 {
		return false
	}
	c, _ := e.Err.(*traigo.Cancellation) //nolint:errorlint // the ending itself
	return c != nil && c.Kind == traigo.ParentCanceled || errors.Is(first, outcome)
}

// Scope returns the scope in which the functions of the group run. It is opened when
// it is first needed, and closed by Wait; the first Go after Wait opens another one.
// A task that is spawned by the methods of the scope follows the rules of package
// traigo, and Wait waits for it. If the scope fails or is canceled, the context of
// [WithContext] is canceled as well. The reverse does not hold: canceling the context
// does not cancel the scope.
func (g *Group) Scope() *traigo.Scope {
	g.watchScope()
	return g.open()
}

var scopeName = traigo.Name("errgroup")

func (g *Group) open() *traigo.Scope {
	g.mu.Lock()
	s := g.scope
	g.mu.Unlock()
	if s != nil {
		return s
	}
	under := context.Background()
	if g.outer != nil {
		// The scope must not end with outer: as in x/sync, a group whose context is
		// canceled still runs functions, and they learn of it from that context.
		under = context.WithoutCancel(g.outer)
	}
	// New calls observers, so mu is not held. If two goroutines open a scope at the
	// same time, the first one to store it wins, and the other scope is closed.
	opened := traigo.New(under, scopeName)
	g.mu.Lock()
	if g.scope == nil {
		g.scope = opened
	}
	s = g.scope
	g.mu.Unlock()
	if s != opened {
		_ = opened.Close()
	}
	return s
}

// A groupContext is the parent of the context that WithContext returns. It ends with
// outer, at the same moment, and has the values of the first scope. The context of
// that scope cannot be the parent: it also ends when the scope completes, with a
// cause of its own, whereas x/sync promises context.Canceled.
type groupContext Group

func (c *groupContext) Deadline() (time.Time, bool) { return c.outer.Deadline() }
func (c *groupContext) Done() <-chan struct{}       { return c.outer.Done() }
func (c *groupContext) Err() error                  { return c.outer.Err() }

// Value returns the scope to a caller that looks for the current scope. That caller
// may cancel the scope, so from then on the end of the scope ends the context.
func (c *groupContext) Value(key any) any {
	v := c.origin.Context().Value(key)
	if v == nil {
		return c.outer.Value(key)
	}
	if v == c.origin {
		(*Group)(c).watchScope()
	}
	return v
}

// AfterFunc is called by package context when a context is derived from c. If outer
// belongs to a scope or task, the derived context then is canceled before the call that
// cancels outer returns, and not by a goroutine some time later.
func (c *groupContext) AfterFunc(f func()) (stop func() bool) { return afterFunc(c.outer, f) }

// afterFunc is context.AfterFunc without a goroutine for f, if ctx has an AfterFunc
// method, as the contexts of scopes and tasks have.
func afterFunc(ctx context.Context, f func()) (stop func() bool) {
	if ctx, ok := ctx.(interface{ AfterFunc(f func()) func() bool }); ok {
		return ctx.AfterFunc(f)
	}
	return context.AfterFunc(ctx, f)
}

// watchScope makes the end of the first scope cancel the group's context, unless Wait
// has ended the scope; Wait cancels the context itself. It is called only when code
// outside of the group can cancel the scope, since it costs as much as the rest of a
// small group.
func (g *Group) watchScope() {
	if g.origin == nil {
		return
	}
	g.watching.Do(func() {
		afterFunc(g.origin.Context(), func() {
			if !endedByWait(g.origin) {
				g.cancel(context.Cause(g.origin.Context()))
			}
		})
	})
}

// endedByWait reports whether s has come to its normal end, as it does in Wait.
func endedByWait(s *traigo.Scope) bool {
	c, ok := errors.AsType[*traigo.Cancellation](context.Cause(s.Context()))
	return ok && c.Kind == traigo.Completed && c.Scope == s.Path() // of s itself, not of a scope above
}
