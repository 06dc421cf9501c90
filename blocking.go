package traigo

import (
	"context"
	"log/slog"
	"slices"
	"sync"

	"github.com/traigo/traigo/internal/hold"
)

// Blocking makes a task function of a call that knows no context. When the
// context is done the task stops waiting for the call and returns the cause; the
// call itself cannot be stopped. It is then reported as abandoned, to observers and in
// every Snapshot, until it ends. Until then it also keeps the slot that its task has under
// a [Limit]. An error that it then has is logged at WARN, a panic at ERROR. If the context
// is done before the call begins, the call does not begin. Blocking panics if fn is nil.
//
// Work that must be stoppable belongs in a process of its own.
func Blocking(fn func() error) func(ctx context.Context) error {
	mustHaveFunc("Blocking", fn != nil, "the call that blocks")
	return func(ctx context.Context) error {
		if ctx.Err() != nil {
			return causeOf(ctx)
		}
		c := newCall(ctx, fn)
		go c.run()
		select {
		case <-c.done:
			return c.result()
		case <-ctx.Done():
		}
		if !c.abandon(ctx) {
			<-c.done
			return c.result()
		}
		if c.scope != nil {
			c.scope.emit(TaskAbandoned, c.task, nil)
		}
		return causeOf(ctx)
	}
}

// A call is a blocking function under way.
type call struct {
	fn    func() error
	scope *Scope // where it is called; nil for none
	task  *Task  // likewise: in scope, or in a scope further out
	done  chan struct{}
	err   error // written before done is closed, read after

	// The call and its caller agree under mu who of them is first. It is the mu of scope,
	// and own where there is none.
	mu          *sync.Mutex
	own         sync.Mutex
	hasEnded    bool
	isAbandoned bool
	since       stamp  // when it was abandoned
	release     func() // gives back what it holds for its caller; set when it is abandoned
}

func newCall(ctx context.Context, fn func() error) *call {
	c := &call{fn: fn, done: make(chan struct{}), err: ErrGoexit}
	c.scope, c.task = where(ctx)
	c.mu = &c.own
	if c.scope != nil {
		c.mu = &c.scope.mu
	}
	return c
}

// run is on the stack of the call, and a Dump finds it there: see Task.call.
//
//go:noinline
func (c *call) run() {
	defer func() {
		if value := recover(); value != nil {
			path := ""
			if c.task != nil {
				path = c.task.Path()
			}
			c.err = newPanicError(path, value)
		}
		abandoned := c.end()
		close(c.done)
		if abandoned {
			c.reportLate()
		}
	}()
	c.err = c.fn()
}

// result is what the task makes of the end of the call: a panic of the call is a panic
// of the task.
func (c *call) result() error {
	if p, ok := c.err.(*PanicError); ok {
		panic(p)
	}
	return c.err
}

// abandon lets the call go on without its caller. It reports false if the call has ended
// after all. What the caller holds for the time of the call it goes on holding, from
// before the caller returns.
func (c *call) abandon(ctx context.Context) bool {
	release := hold.Keep(ctx)
	c.task.countAbandoned(+1)
	c.mu.Lock()
	if c.hasEnded {
		c.mu.Unlock()
		c.task.countAbandoned(-1)
		release()
		return false
	}
	c.isAbandoned, c.since, c.release = true, now(), release
	if c.scope != nil {
		x := c.scope.ownExtLocked()
		x.calls = append(x.calls, c)
	}
	c.mu.Unlock()
	return true
}

// end reports whether the call had been abandoned.
func (c *call) end() bool {
	c.mu.Lock()
	c.hasEnded = true
	abandoned := c.isAbandoned
	if abandoned && c.scope != nil {
		x := c.scope.ownExtLocked()
		x.calls = slices.DeleteFunc(x.calls, func(other *call) bool { return other == c })
		c.scope.settle()
	} else {
		c.mu.Unlock()
	}
	if abandoned {
		c.task.countAbandoned(-1)
		c.release()
	}
	return abandoned
}

// countAbandoned counts the calls that t, if there is one, has abandoned and that still
// run. With the last of them a task that has ended gives its slot back.
func (t *Task) countAbandoned(n int32) {
	if t == nil {
		return
	}
	s := t.scope
	s.mu.Lock()
	x := t.ownExt()
	x.abandoned += n
	if t.has(hasEnded | givenUp) {
		s.releaseSlotLocked(t)
	}
	s.mu.Unlock()
}

// reportLate logs how an abandoned call has ended.
func (c *call) reportLate() {
	switch _, panicked := c.err.(*PanicError); {
	case panicked:
		c.scope.log(slog.LevelError, "panic of an abandoned call", c.task, c.err)
	case c.err != nil:
		c.scope.log(slog.LevelWarn, "error of an abandoned call", c.task, c.err)
	default:
		c.scope.log(slog.LevelDebug, "abandoned call ended", c.task, nil)
	}
}
