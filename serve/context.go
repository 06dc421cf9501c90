package serve

import (
	"context"
	"errors"
	"sync/atomic"

	"github.com/traigo/traigo"
)

// A requestContext is the context of a request: that of its task, which is canceled when the
// context of package net/http ends, because the client has gone. To be told of that costs more
// than a short request, and few handlers ask: so the task is canceled when somebody
// looks at its context and the other one has ended, and package context is asked to tell only
// when somebody waits.
type requestContext struct {
	context.Context                 //nolint:containedctx // that of the task, which this one is
	outer           context.Context //nolint:containedctx // that of package net/http
	stop            atomic.Pointer[func() bool]
}

func (c *requestContext) begin(task, outer context.Context) { c.Context, c.outer = task, outer }

// look cancels the task if the client has gone. After the handler has returned, when package
// net/http ends outer in any case, that has no effect.
func (c *requestContext) look() {
	if c.outer.Err() != nil {
		traigo.CurrentTask(c.Context).Cancel(whyGone(c.outer))
	}
}

// listen makes the end of outer cancel the task.
func (c *requestContext) listen() {
	if c.stop.Load() != nil {
		return
	}
	stop := context.AfterFunc(c.outer, c.look)
	if !c.stop.CompareAndSwap(nil, &stop) {
		stop() // another goroutine was first
	}
}

// end is called when the handler has returned: package net/http would start a goroutine for
// each call of AfterFunc otherwise.
func (c *requestContext) end() {
	if stop := c.stop.Swap(&ended); stop != nil {
		(*stop)()
	}
}

var ended = func() bool { return false }

func (c *requestContext) Done() <-chan struct{} {
	c.listen()
	return c.Context.Done()
}

func (c *requestContext) Err() error {
	c.look()
	return c.Context.Err()
}

// Value looks, since context.Cause asks by Value.
func (c *requestContext) Value(key any) any {
	c.look()
	return c.Context.Value(key)
}

// AfterFunc is an optional method, by which package context attaches contexts that derive
// from c. That of the task needs no goroutine; a Wrapper may have hidden it.
func (c *requestContext) AfterFunc(f func()) (stop func() bool) {
	c.listen()
	if task, ok := c.Context.(interface{ AfterFunc(f func()) func() bool }); ok {
		return task.AfterFunc(f)
	}
	return context.AfterFunc(c.Context, f)
}

// ErrClientGone is what the context of a request is canceled with when the client has closed
// its connection or, with HTTP/2, has reset the stream. It is found by errors.Is in
// context.Cause, where it tells a client that hung up from a server that was canceled.
var ErrClientGone = errors.New("the client has gone")

// whyGone returns why the context of package net/http has ended. It gives no cause when
// the connection, or the stream of HTTP/2, has ended.
func whyGone(outer context.Context) error {
	if cause := context.Cause(outer); cause != context.Canceled { //nolint:errorlint // what wraps it says more
		return cause
	}
	return ErrClientGone
}
