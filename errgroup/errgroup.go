// Package errgroup runs functions in groups, with the API and the behavior of
// golang.org/x/sync/errgroup, on a [traigo.Scope].
//
// # Migration
//
// Change the import path:
//
//	import "github.com/traigo/traigo/errgroup" // was "golang.org/x/sync/errgroup"
//
// Nothing else has to change, but see Differences below. From there [Group.Scope] opens the rest: the group is
// a scope in the tree, named "errgroup", below the one that the context carries. Its
// functions are tasks with names; what observes and logs that tree hears of them;
// [traigo.Current] finds the scope in the context of [WithContext].
//
// # Differences
//
// All are deliberate.
//
//	                             x/sync                    here
//	a function panics            the process crashes       the context is canceled; Wait, when
//	                                                       all have ended, panics with a
//	                                                       *traigo.PanicError; Go runs nothing more
//	a function calls Goexit,     counts as success         fails with traigo.ErrGoexit
//	as t.FailNow does
//	Go is blocked on the limit,  waits for room, then      returns, and the function is not run:
//	and ctx is canceled          runs the function         Wait returns an error that wraps
//	                                                       traigo.ErrRefused, unless one has failed
//	a function does not end      Wait waits                so it does here, and says so in the log,
//	                                                       unless a scope above has a CancelTimeout:
//	                                                       then it is given up, and Wait returns a
//	                                                       *traigo.StuckError, or logs it if a function
//	                                                       has failed
//	nil function                 crashes in a goroutine    Go and TryGo panic
//	goroutines                   one for each function     short functions share them: see
//	                                                       traigo.Dedicated
//	pprof labels                 those of Go's caller      those of the context
//	nobody calls Wait            the context leaks         a scope above joins the group at its
//	                                                       end; without one, as x/sync
//
// Under a scope with [traigo.PanicAsError] a panic is a failure like any other.
package errgroup

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/traigo/traigo"
)

// A Group is a set of functions that are waited for together. The zero Group is
// ready: it has no limit and no context, and a failure does not disturb the
// others. It must not be copied after first use.
type Group struct {
	// Of WithContext, then read-only; the zero Group has none of them.
	outer, ctx context.Context //nolint:containedctx // what WithContext was given, and has returned
	cancel     context.CancelCauseFunc
	unhear     func() bool   // the end of outer cancels nothing any more; nil if it has none
	origin     *traigo.Scope // the first scope, which is the current one in ctx

	listening sync.Once
	label     atomic.Pointer[label]

	// mu is a leaf: nothing foreign is called under it.
	mu      sync.Mutex
	scope   *traigo.Scope // takes the next function, unless Wait has closed it; nil before the first
	slots   chan struct{} // one for each running function; nil: no limit
	running map[*traigo.Task]struct{}
	waited  bool          // Wait has returned, and canceled ctx
	told    *traigo.Scope // whose outcome a Wait has returned or logged
	err     error         // the first; for ever
	refused error         // of a function that was not run: failures come before it
}

// WithContext returns a Group and a context for its functions, derived from ctx.
// That is canceled by the first failure, with the error itself as its
// [context.Cause], and at the latest when Wait returns.
func WithContext(ctx context.Context) (*Group, context.Context) {
	g := &Group{outer: ctx, running: map[*traigo.Task]struct{}{}}
	s := g.open()
	g.origin = s
	g.ctx, g.cancel = context.WithCancelCause((*groupContext)(g))
	if ctx.Done() != nil {
		g.unhear = context.AfterFunc(ctx, g.cancelRunning)
	}
	if traigo.Current(ctx) != nil {
		g.listen() // the scope above may end this one
	}
	return g, g.ctx
}

// Go runs f in the group, on another goroutine. With a limit it blocks until
// there is room, or the context is canceled: then f is not run. The error of f is
// the group's: if it is the first one, it cancels the context, and Wait returns it.
//
// Go may be called from functions of the group; if the group is full, such a call
// waits for others, or for ever. It panics if f is nil.
func (g *Group) Go(f func() error) {
	if slots, ok := g.enter("Go", f, true); ok {
		if err := g.spawn(f, slots); err != nil {
			g.refuse(err)
		}
	}
}

// TryGo is Go for those who do not want to block: it reports whether f was
// started, which it was not if the limit is reached. It panics if f is nil.
func (g *Group) TryGo(f func() error) bool {
	slots, ok := g.enter("TryGo", f, false)
	return ok && g.spawn(f, slots) == nil
}

// SetLimit lets at most n functions of the group run at once. With a limit of 0
// none is started any more: Go blocks, TryGo reports false. A negative n removes
// the limit. SetLimit panics if functions are running that were started under
// another limit.
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

// Wait returns when all functions of the group have ended, and whatever else runs
// in its scope: with the error that came first, nil if there was none. The
// context is canceled then. If a function panicked, Wait panics with a
// [*traigo.PanicError].
//
// Wait may be called from several goroutines and more than once, and the group may be
// used again afterwards; a first error stays the first. A function of the group must
// not call it: it would wait for itself.
func (g *Group) Wait() error {
	g.mu.Lock()
	s := g.scope
	g.mu.Unlock()
	var err error
	if g.unhear != nil {
		defer g.unhear() // also where it panics
	}
	if s != nil {
		err = s.Wait() // of the functions it knows only the panics: see ended
	}
	g.mu.Lock()
	g.waited = true
	for _, err := range []error{g.refused, err} {
		if g.err == nil {
			g.err = err
		}
	}
	first, told := g.err, g.told == s
	g.told = s
	g.mu.Unlock()
	if g.cancel != nil {
		g.cancel(first)
	}
	if err != nil && !told && !isFirst(first, err) {
		slog.Error("traigo: errgroup: an error in the scope of a group, behind the one that Wait returns", "err", err)
	}
	return first
}

// Scope returns the scope that the functions of the group run in. It is opened when
// it is first needed and closed by Wait; a Go after that opens another. What is
// spawned in it by its own methods follows the rules of traigo, and is joined by
// Wait. If the scope fails, or is canceled, the context of [WithContext] is
// canceled too; the other way round it is not so.
func (g *Group) Scope() *traigo.Scope {
	g.listen()
	return g.open()
}

func (g *Group) open() *traigo.Scope {
	g.mu.Lock()
	s := g.scope
	g.mu.Unlock()
	if s != nil {
		return s
	}
	under := context.Background()
	if g.outer != nil {
		// It does not hear of the end of outer: functions of a group that has been
		// canceled still run, and are told by their context.
		under = context.WithoutCancel(g.outer)
	}
	opened := traigo.New(under, scopeName) // without the lock: observers hear of it
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

// isFirst reports that the outcome of a scope has nothing to say beside the error
// that Wait returns: it is that, or only the news that the scope above has ended.
func isFirst(first, outcome error) bool {
	e, _ := errors.AsType[*traigo.Error](outcome)
	if e == nil || len(e.Others) > 0 {
		return false
	}
	c, _ := e.Err.(*traigo.Cancellation) //nolint:errorlint // the ending itself
	return c != nil && c.Kind == traigo.ParentCanceled || errors.Is(first, outcome)
}

var scopeName = traigo.Name("errgroup")

// A groupContext is what the context of WithContext is derived from: it ends with
// the outer one, and at the same moment, and has the values of the first scope's. The
// scope's own context would not do: it ends when the scope completes, with a cause
// of its own.
type groupContext Group

func (c *groupContext) Deadline() (time.Time, bool) { return c.outer.Deadline() }
func (c *groupContext) Done() <-chan struct{}       { return c.outer.Done() }
func (c *groupContext) Err() error                  { return c.outer.Err() }

// Value gives the scope to whoever looks for it: from then on it may be canceled by
// others than its group.
func (c *groupContext) Value(key any) any {
	v := c.origin.Context().Value(key)
	if v == nil {
		return c.outer.Value(key)
	}
	if v == c.origin {
		(*Group)(c).listen()
	}
	return v
}

// AfterFunc lets what is derived hear of the end at once where outer comes from a scope.
func (c *groupContext) AfterFunc(f func()) (stop func() bool) { return afterFunc(c.outer, f) }

// afterFunc is context.AfterFunc, but without its goroutine where ctx offers that, as
// those of scopes and tasks do.
func afterFunc(ctx context.Context, f func()) (stop func() bool) {
	if ctx, ok := ctx.(interface{ AfterFunc(f func()) func() bool }); ok {
		return ctx.AfterFunc(f)
	}
	return context.AfterFunc(ctx, f)
}

// listen makes the end of the scope end the context, unless it is a Wait, which does
// that itself. It is left out as long as nobody but the group can end the scope: it
// costs as much as the rest of a small group.
func (g *Group) listen() {
	if g.origin == nil {
		return
	}
	g.listening.Do(func() {
		afterFunc(g.origin.Context(), func() {
			if !endedByWait(g.origin) {
				g.cancel(context.Cause(g.origin.Context()))
			}
		})
	})
}
