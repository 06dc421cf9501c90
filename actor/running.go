package actor

import (
	"context"
	"errors"
	"sync"
	"time"

	"google.golang.org/grpc/mem"

	"github.com/traigo/traigo"
)

// A running is one call.
type running struct {
	session  *session
	request  request
	fn       Exposable
	canceled chan struct{} // closed when the context of the function is done
	answered chan struct{} // closed when how it has ended was said
	admitted context.Context
	refuse   context.CancelFunc

	mu          sync.Mutex
	task        *traigo.Task
	cause       error // of a cancellation that has come before task was set
	wasCalled   bool
	hasReturned bool // the function has; it may be given up before
	result      mem.Buffer
	err         error
	hasExpired  bool
	why         error // context.Cause of the function's context; nil if that is not done
}

// spawn starts the task of the call in the scope of the host.
func (r *running) spawn(ctx context.Context, p *parts) {
	opts := []traigo.TaskOption{traigo.Name(r.request.name), traigo.Bubble(false), traigo.AdmitBefore(r.admitted)}
	if r.session.host != here.host.Load() { // whoever Listens learns from ctx who has asked
		opts = append(opts, traigo.Values(ctx))
	}
	t := r.session.host.scope.Spawn(func(ctx context.Context) error { return r.call(ctx, p) }, opts...)
	r.mu.Lock()
	r.task = t
	cause := r.cause
	r.mu.Unlock()
	if cause != nil {
		r.cancelTask(cause)
	}
}

// cancel cancels the call for a cause of the asker.
func (r *running) cancel(cause error) {
	r.mu.Lock()
	started := r.task != nil
	if !started {
		r.cause = cause
	}
	r.mu.Unlock()
	if started {
		r.cancelTask(cause)
	}
	r.refuse()
}

func (r *running) cancelTask(cause error) {
	r.task.Cancel(&Canceled{Actor: Self(), By: r.session.asker(), Err: cause})
}

// call is the task.
func (r *running) call(ctx context.Context, p *parts) error {
	if r.request.left == 0 {
		return r.callFunction(ctx, ctx, p)
	}
	expired, err := traigo.MoveOnAfter(ctx, max(r.request.left, 0), func(limited context.Context) error { return r.callFunction(limited, ctx, p) })
	r.mu.Lock()
	defer r.mu.Unlock()
	r.hasExpired = expired && err == nil
	return err
}

// callFunction calls the function, in a context that may have a deadline, of a task.
func (r *running) callFunction(limited, task context.Context, p *parts) error {
	ctx := newFunctionContext(limited, r.canceled, func(cause error) error {
		if task.Err() == nil { // the time that the asker has given is over
			return &Canceled{Actor: Self(), By: r.session.asker(), Err: cause}
		}
		return r.session.host.explain(cause)
	})
	r.mu.Lock()
	r.wasCalled = true
	r.mu.Unlock()
	if p != nil {
		p.ctx = ctx
	}
	var result mem.Buffer
	err, hasReturned := error(nil), false
	defer func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.result, r.err, r.hasReturned = result, err, hasReturned
		if ctx.Err() != nil {
			r.why = context.Cause(ctx)
		}
		ctx.release()
	}()
	result, err = r.fn.run(ctx, r.request.argument, p)
	hasReturned = true
	return err
}

// response is what is said of the call when its task has ended.
func (r *running) response() *response {
	r.mu.Lock()
	defer r.mu.Unlock()
	err := r.task.Err()
	by, _ := foundIn[*Canceled](r.why)
	switch {
	case !r.wasCalled && errors.Is(err, traigo.ErrRefused):
		return &response{verdict: over}
	case r.hasReturned && r.err == nil:
		return &response{verdict: succeeded, result: r.result}
	case r.hasExpired:
		return &response{verdict: expired, err: asRemote(r.err), result: r.result}
	case r.task.Failed() || r.why == nil:
		if r.hasReturned {
			err = r.err
		}
		how := failure(err)
		how.result = r.result
		if _, panicked := err.(*traigo.PanicError); panicked && !r.hasReturned {
			how.verdict = actorFailed
		}
		return how
	case by != nil && (!by.isOwn || !hasFailure(by.Err)):
		return &response{verdict: canceled, err: asRemote(by), result: r.result}
	case by != nil:
		return &response{verdict: actorFailed, err: asRemote(by.Err)}
	default:
		return failure(r.why)
	}
}

// A functionContext is the context of a function: that of its task, with a cause that says
// who has canceled it.
type functionContext struct {
	context.Context
	task context.Context
	end  context.CancelCauseFunc
	done chan struct{} // another channel than that of Context: contexts derived from this one then get its Err
	stop func() bool
}

// newFunctionContext returns the context of a function that runs in a task. canceled is closed when
// it is done before release, with what explain returns of its cause.
func newFunctionContext(task context.Context, canceled chan<- struct{}, explain func(cause error) error) *functionContext {
	c := &functionContext{task: task, done: make(chan struct{})}
	c.Context, c.end = context.WithCancelCause(context.WithoutCancel(task))
	c.stop = afterFunc(task, func() {
		c.end(explain(context.Cause(task)))
		close(c.done)
		close(canceled)
	})
	return c
}

// afterFunc is context.AfterFunc, but for the goroutine of its own that f gets there: a context
// of traigo calls f on that of who cancels. f must not block.
func afterFunc(ctx context.Context, f func()) (stop func() bool) {
	if c, ok := ctx.(interface{ AfterFunc(f func()) func() bool }); ok {
		return c.AfterFunc(f)
	}
	return context.AfterFunc(ctx, f)
}

func (c *functionContext) Deadline() (time.Time, bool) { return c.task.Deadline() }
func (c *functionContext) Done() <-chan struct{}       { return c.done }

func (c *functionContext) Err() error {
	if err := c.Context.Err(); err == nil || c.task.Err() == nil {
		return err
	}
	return c.task.Err()
}

// AfterFunc is called by package context, which would start a goroutine otherwise.
func (c *functionContext) AfterFunc(f func()) func() bool { return context.AfterFunc(c.Context, f) }

// release ends the context when the function has returned.
func (c *functionContext) release() {
	if c.stop() {
		c.end(nil)
		close(c.done)
	}
}
