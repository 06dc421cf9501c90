package traigo

import (
	"context"
	"log/slog"
	"slices"
	"sync"

	"github.com/traigo/traigo/internal/hold"
)

// Blocking returns a task function that calls fn, a function without a context, on a new
// goroutine, and returns its error. A panic of fn is a panic of the task. If the context
// is done first, the task function abandons fn, which cannot be stopped: it returns the
// cause at once. Observers get the event [TaskAbandoned], and snapshots list the call
// until fn returns. Until then the slot of the task under a [Limit] is not released. An
// error that an abandoned fn returns is logged at WARN, a panic at ERROR. If the context
// is done at the start, fn is not called. Blocking panics if fn is nil.
//
// To be able to stop such work, run it in another process.
func Blocking(fn func() error) func(ctx context.Context) error {
	mustHaveFunc("Blocking", fn != nil, "the call that blocks")
	return func(ctx context.Context) error {
		if ctx.Err() != nil || isDone(ctx.Done()) {
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

// A call is a running call of the function passed to Blocking.
type call struct {
	fn    func() error
	scope *Scope // the scope of the caller's context; nil if it carries none
	task  *Task  // the task of the caller's context, which may be in a scope above; nil if it carries none
	done  chan struct{}
	err   error // written before done is closed, read afterwards

	// mu decides whether the call ends first or is abandoned first. It points to scope.mu
	// or, if scope is nil, to own.
	mu          *sync.Mutex
	own         sync.Mutex
	hasEnded    bool
	isAbandoned bool
	since       stamp  // when the call was abandoned
	release     func() // releases what hold.Keep has kept for the call; set when the call is abandoned
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

// run calls the function. Its frame in a goroutine dump shows the address of c: see
// Task.call.
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

// result returns the error of the call, or panics if the call has panicked. It is called
// on the goroutine of the task.
func (c *call) result() error {
	if p, ok := c.err.(*PanicError); ok {
		panic(p)
	}
	return c.err
}

// abandon marks the call as abandoned, so that the caller can return. It reports false if
// the call has ended meanwhile. Units that the caller has acquired for the call, such as
// those of a capacity.Limiter, stay acquired until the call ends: hold.Keep is called
// before the caller can release them.
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

// end records that the call has ended, releases what it kept if it was abandoned, and
// reports whether it was.
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

// countAbandoned adds n to the number of abandoned calls of t that are running. If t has
// ended and the number becomes 0, the slot of t is released. t may be nil.
func (t *Task) countAbandoned(n int32) {
	if t == nil {
		return
	}
	s := t.scope
	s.lock()
	x := t.ownExt()
	x.abandoned += n
	if t.has(hasEnded | givenUp) {
		s.releaseSlotLocked(t)
		s.startLocked()
	}
	s.settle()
}

// reportLate logs the result of an abandoned call.
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
