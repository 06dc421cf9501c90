package errgroup

import (
	"context"
	"fmt"
	"time"

	"github.com/traigo/traigo"
)

// The context of a group, what its end means, and the scopes that come after the first.

// A groupContext is the context that WithContext returns: that of origin with another
// cause. A scope tells a cause that says who has canceled it; x/sync promises the bare
// error of the function, and context.Canceled after a Wait.
type groupContext Group

func (c *groupContext) Deadline() (time.Time, bool) { return c.origin.Context().Deadline() }
func (c *groupContext) Err() error                  { return c.origin.Context().Err() }
func (c *groupContext) String() string              { return fmt.Sprintf("errgroup.Group(%q)", c.origin.Path()) }

// Done returns the channel of origin. If outer does not belong to a scope, package context
// tells origin of its end on another goroutine. The channel is to be closed nevertheless
// for a caller that asks after that end. So Done has origin look: a scope that is to be
// canceled for any reason, here none, and finds that its outer context is done, is canceled
// for that.
func (c *groupContext) Done() <-chan struct{} {
	done := c.origin.Context().Done()
	if c.outer.Err() != nil && !isClosed(done) {
		c.origin.Cancel(nil)
	}
	return done
}

// AfterFunc is called by package context when a context is derived from c: no goroutine
// has to wait for Done.
func (c *groupContext) AfterFunc(f func()) (stop func() bool) {
	ctx, _ := c.origin.Context().(interface{ AfterFunc(f func()) func() bool })
	return ctx.AfterFunc(f)
}

// Value has origin answer, and so leads traigo.Current to it. Once c is done, the private
// keys by which package context looks for a cause are answered by a context of its own that
// was canceled with it, and has no other values.
func (c *groupContext) Value(key any) any {
	if key == (groupKey{}) {
		return (*Group)(c)
	}
	if e := (*Group)(c).ended(); e != nil {
		if v := e.standard.Value(key); v != nil {
			return v
		}
	}
	return c.origin.Context().Value(key)
}

// An end says what the end of origin means for the group.
type end struct {
	standard context.Context //nolint:containedctx // made by package context, and canceled with the cause of the group's context
	isNormal bool            // Wait has ended it, and nothing was canceled
	goesOn   bool            // functions still run, in a later scope, as they do in x/sync
}

// ended returns what the end of origin means; nil if it has not ended, or there is none.
func (g *Group) ended() *end {
	if g.origin == nil {
		return nil
	}
	if e := g.end.Load(); e != nil || g.origin.Context().Err() == nil {
		return e
	}
	e, cause := g.explain()
	ctx, cancel := context.WithCancelCause(context.Background())
	cancel(cause)
	e.standard = ctx
	g.end.CompareAndSwap(nil, e)
	return g.end.Load()
}

func (g *Group) explain() (e *end, cause error) {
	cause = context.Cause(g.origin.Context())
	own := ownCancellation(g.origin)
	switch {
	case own == nil: // canceled from above
		if up := context.Cause(g.outer); up != nil {
			cause = up // if outer belongs to another group, it differs from that of the scope
		}
		return &end{goesOn: true}, cause
	case own.Kind == traigo.Completed:
		return &end{isNormal: true, goesOn: true}, context.Canceled
	case own.Kind == traigo.TaskFailed && g.failures().haveCanceled():
		return &end{goesOn: true}, own.Err
	case own.Kind == traigo.Panicked:
		return &end{}, own.Err
	default:
		return &end{}, own
	}
}

// ownCancellation returns the cause of a scope that has ended; nil if the cause is not that
// of s itself, but of what lies above.
func ownCancellation(s *traigo.Scope) *traigo.Cancellation {
	c, _ := context.Cause(s.Context()).(*traigo.Cancellation) //nolint:errorlint // the cause itself
	if c == nil || c.Scope != s.Path() {
		return nil
	}
	return c
}

// goesOnAfter reports whether a function that s has refused is to run in another scope.
func (g *Group) goesOnAfter(s *traigo.Scope) bool {
	if s == g.origin {
		return g.ended().goesOn
	}
	own := ownCancellation(s)
	return own != nil && own.Kind == traigo.Completed // by a Wait
}

// groupKey is the key for which the context of a group returns the innermost group.
type groupKey struct{}

// outermost returns the context around g that belongs to no group: a later scope is not opened
// below that of another group, which may have failed and be closed.
func (g *Group) outermost() context.Context {
	for {
		above, ok := g.outer.Value(groupKey{}).(*Group)
		if !ok {
			return g.outer
		}
		g = above
	}
}

// openAfter opens the scope that comes after s, which may be nil, unless another goroutine
// has done so, and returns it. New calls observers, so no lock is held: of two that are
// opened at the same time one is kept, and the other closed.
func (g *Group) openAfter(s *traigo.Scope) *traigo.Scope {
	under := context.Background()
	if g.outer != nil {
		under = context.WithoutCancel(g.outermost()) // which may be done already
	}
	opened := traigo.New(under, scopeName)
	if s == g.origin {
		s = nil // it is not in g.later
	}
	if g.later.CompareAndSwap(s, opened) {
		return opened
	}
	_ = opened.Close()
	return g.later.Load()
}
