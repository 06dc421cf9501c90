package actor

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"google.golang.org/grpc/mem"

	"github.com/traigo/traigo"
)

// A call is one that is under way, at the side that asks.
type call struct {
	link  *link
	actor *Actor
	id    uint64
	name  string

	stream   context.Context
	abort    context.CancelFunc
	deadline time.Time // of the caller, when it began; zero if there is none

	over chan struct{} // closed when it is known how it has ended

	mu       sync.Mutex
	asked    bool        // its cancellation
	cause    error       // for which
	patience *timer      // until it is given up
	delayed  *time.Timer // until the actor is asked; nil if it was at once
	isOver   bool
	how      response
	result   []byte
	stuck    *traigo.StuckError // it was given up
	began    time.Time
	onEnd    func() // called once, when over is closed

	onLeave func()    // of the side that asks
	parts   *parts    // of a Stream
	judged  sync.Once // guards err
	err     error     // for the caller
}

// begin begins a call, unless the actor has ended.
func (a *Actor) begin(name string) (*call, error) {
	l := a.link
	c := &call{link: l, actor: a, name: name, over: make(chan struct{}), began: time.Now()}
	c.stream, c.abort = context.WithCancel(context.Background())
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.isOver {
		c.abort()
		return c, errConnection
	}
	l.lastID++
	c.id = l.lastID
	l.calls[c.id] = c
	return c, nil
}

// leave is called when nobody waits for the call any more.
func (c *call) leave() {
	c.mu.Lock()
	if c.asked {
		c.patience.stop()
		if c.delayed != nil {
			c.delayed.Stop()
		}
		if c.stuck == nil { // otherwise the call may still come
			c.link.outbox.post(forgetCall, c.id, nil)
		}
	}
	c.mu.Unlock()
	if c.onLeave != nil {
		c.onLeave()
	}
	c.abort()
	c.link.forget(c)
}

// forget is called when nobody waits for a call any more, or for nothing but the end of the actor.
func (l *link) forget(c *call) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.calls, c.id)
	if len(l.calls) == 0 && l.idle != nil {
		close(l.idle)
		l.idle = nil
	}
}

// cancel asks that the function is canceled, and gives it up if it has not returned within
// the actor's Grace. The first cause counts.
func (c *call) cancel(cause error) {
	c.request(cause, 0)
	c.link.outbox.signal()
}

// cancelAfter cancels the call when ctx is done, and then calls f.
func (c *call) cancelAfter(ctx context.Context, f func()) (stop func() bool) {
	c.deadline, _ = ctx.Deadline()
	return context.AfterFunc(ctx, func() {
		c.cancelFor(ctx)
		f()
		c.link.outbox.flush() // nobody waits for this goroutine: it may block
	})
}

// expiry is how long the deadline of a function may take to pass after that of its caller: as
// long as the request has been under way.
const expiry = time.Second

// cancelFor is cancel for the end of ctx, but for the sending. If that is the deadline which the
// actor was told, the function is about to have it, too, and is to see that one; it is canceled
// if it does not end.
func (c *call) cancelFor(ctx context.Context) {
	var d time.Duration
	if ctx.Err() == context.DeadlineExceeded && !c.deadline.IsZero() && !time.Now().Before(c.deadline) {
		d = min(expiry, c.actor.grace/2)
	}
	c.request(context.Cause(ctx), d)
}

// request asks for the cancellation, when d has passed. It is not sent yet.
func (c *call) request(cause error, d time.Duration) {
	frame := controlFrame(cancelCall, c.id, appendError(nil, asRemote(here.explain(cause))))
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.asked || c.isOver {
		return
	}
	c.asked, c.cause = true, cause
	c.patience = here.clock.after(c.actor.grace, c.giveUp)
	if d == 0 {
		c.link.outbox.enqueue(frame) // before leave says to forget it
		return
	}
	c.delayed = time.AfterFunc(d, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if !c.isOver {
			c.link.outbox.enqueue(frame)
			c.link.outbox.signal()
		}
	})
}

// giveUp is called when the function has not heard of its cancellation for too long.
func (c *call) giveUp() {
	c.settle(func() {
		path := c.actor.ID().Path + "/" + c.name
		c.stuck = &traigo.StuckError{Tasks: []traigo.StuckTask{{Path: path, Age: time.Since(c.began)}}}
	})
	c.abort()
}

func (c *call) finish(how response, result []byte) {
	c.settle(func() { c.how, c.result = how, result })
}

// lose is called when the connection has ended.
func (c *call) lose() { c.settle(func() {}) }

// settle decides how the call has ended. The first one counts.
func (c *call) settle(decide func()) {
	c.mu.Lock()
	if c.isOver {
		c.mu.Unlock()
		return
	}
	c.isOver = true
	decide()
	onEnd := c.onEnd
	isAnswered := c.how.verdict == succeeded || c.how.verdict == failed || c.how.verdict == actorFailed
	c.mu.Unlock()
	if !isAnswered { // what is left of its stream is of no use, and it may wait until the actor has ended
		c.link.forget(c)
	}
	close(c.over)
	if onEnd != nil {
		onEnd()
	}
}

// wait returns the result of the call when it is over, and the error that it has for a caller
// whose context is ctx.
func (c *call) wait(ctx context.Context) ([]byte, error) {
	<-c.over
	c.judged.Do(func() { c.err = c.judge(ctx) }) // each time the same error
	return c.result, c.err
}

func (c *call) judge(ctx context.Context) error {
	c.mu.Lock()
	how, asked, cause, stuck := c.how, c.asked, c.cause, c.stuck
	c.mu.Unlock()
	id := c.actor.ID()
	switch {
	case stuck != nil:
		return errors.Join(cause, stuck)
	case how.verdict == succeeded:
		return nil
	case how.verdict == failed, how.verdict == actorFailed:
		return failedIn(id, how.err)
	case how.verdict == notExposed:
		return &Error{From: id, Path: []ID{id}, Err: fmt.Errorf("%q: %w", c.name, ErrNotExposed)}
	case how.verdict == expired:
		return c.outOfTime(ctx, how)
	case asked && (how.verdict == canceled || how.verdict == over):
		return cause
	case how.verdict == canceled:
		return canceledBy(how.err)
	default:
		return c.actor.gone(ctx)
	}
}

// failFor cancels a call for an error on this side, and returns that, joined with what the function
// has failed with by itself.
func (c *call) failFor(ctx context.Context, err error) error {
	c.cancel(err)
	c.abort()
	if _, failure := c.wait(ctx); failure != nil && !isOnly(failure, err) {
		return errors.Join(err, failure)
	}
	return err
}

// outOfTime returns the error of a call whose deadline has passed there first. It is that of
// ctx, if that has the same deadline; it was moved otherwise.
func (c *call) outOfTime(ctx context.Context, how response) error {
	if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) < time.Second {
		<-ctx.Done()
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return failedIn(c.actor.ID(), how.err)
}

// canceledBy returns the *Canceled that an actor has sent.
func canceledBy(remote *traigo.RemoteError) error {
	if by, ok := errors.AsType[*Canceled](remote); ok {
		return by
	}
	return remote
}

// left is the time that a function has, of a context.
func left(ctx context.Context) time.Duration {
	deadline, ok := ctx.Deadline()
	if !ok {
		return 0
	}
	return max(time.Until(deadline), 1)
}

// call calls a Function. The error is that for the caller.
func (a *Actor) call(ctx context.Context, name string, argument mem.Buffer) ([]byte, error) {
	c, err := a.begin(name)
	if err != nil {
		return nil, a.gone(ctx)
	}
	defer c.leave()
	stop := c.cancelAfter(ctx, func() {})
	defer stop()
	return c.invoke(ctx, argument)
}

func (c *call) invoke(ctx context.Context, argument mem.Buffer) ([]byte, error) {
	req := request{id: c.id, left: left(ctx), name: c.name}
	var in inbound
	out := req.frame(argument)
	if err := c.link.conn.Invoke(c.stream, callMethod, &out, &in); err != nil {
		c.lose() // unless it was given up
	} else if how, result, err := parseResponse(in.data()); err != nil {
		c.finish(*failure(err), nil)
	} else {
		c.finish(how, result)
	}
	return c.wait(ctx)
}
