package traigo

import (
	"context"
	"log/slog"
	"sync/atomic"
)

// Blocking makes a task function of a call that knows no context. When the
// context is done the task stops waiting for the call and ends; the call itself
// cannot be stopped. It is then reported as abandoned, to observers and in every
// Snapshot, until it ends; an error it has then is logged. It panics if fn is
// nil.
//
// Work that must be stoppable belongs in a process of its own.
func Blocking(fn func() error) func(ctx context.Context) error {
	mustHaveFunc("Blocking", fn != nil, "the call that blocks")
	return func(ctx context.Context) error {
		c := &call{fn: fn, done: make(chan struct{}), err: ErrGoexit}
		c.scope, c.task = place(ctx)
		go c.run()
		select {
		case <-c.done:
			return c.result()
		case <-ctx.Done():
		}
		if !c.settled.CompareAndSwap(false, true) {
			<-c.done
			return c.result()
		}
		c.abandon()
		return context.Cause(ctx)
	}
}

// A call is a blocking function under way.
type call struct {
	fn      func() error
	scope   *Scope // where it is called; nil for none
	task    *Task
	settled atomic.Bool   // set by whoever is first: the function that ends, or the caller that leaves
	done    chan struct{} // closed when the function has ended
	err     error         // read after done
}

// run is on the stack of the call, by which a Dump finds it: see Task.call.
//
//go:noinline
func (c *call) run() {
	defer func() {
		if value := recover(); value != nil {
			name := ""
			if c.task != nil {
				name = c.task.Path()
			}
			c.err = newPanicError(name, value)
		}
		abandoned := !c.settled.CompareAndSwap(false, true)
		close(c.done)
		if abandoned {
			c.reportLate()
		}
	}()
	c.err = c.fn()
}

// result is what the task makes of the end of the call: a panic is its panic.
func (c *call) result() error {
	if p, ok := c.err.(*PanicError); ok {
		panic(p)
	}
	return c.err
}

// abandon reports that the call goes on without its task.
func (c *call) abandon() {
	if s := c.scope; s != nil {
		s.Root().remember(c, stray{scope: s, task: c.task, call: c, state: "abandoned", since: now()})
		s.emit(TaskAbandoned, c.task, nil)
	}
}

// reportLate sees to it that the error of an abandoned call is not lost.
func (c *call) reportLate() {
	if c.scope != nil {
		c.scope.Root().forget(c)
	}
	switch _, panicked := c.err.(*PanicError); {
	case panicked:
		c.scope.log(slog.LevelError, "panic of an abandoned call", c.task, c.err)
	case c.err != nil:
		c.scope.log(slog.LevelWarn, "error of an abandoned call", c.task, c.err)
	default:
		c.scope.log(slog.LevelDebug, "abandoned call ended", c.task, nil)
	}
}
