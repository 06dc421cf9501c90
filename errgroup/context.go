package errgroup

import (
	"context"
	"time"
)

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
