package actor

import (
	"context"
	"errors"
	"io"
	"sync"

	"google.golang.org/grpc/mem"
)

// The stream of a call, at the side that asks.

// open begins a call of a Sequence or Conversation. When ctx is done, the function is canceled,
// and the stream ends. The caller must call leave.
func (a *Actor) open(ctx context.Context, name string, argument mem.Buffer) (*call, error) {
	c, err := a.begin(name)
	if err != nil {
		return nil, a.gone(ctx)
	}
	stop := context.AfterFunc(ctx, func() {
		c.cancel(context.Cause(ctx))
		c.abort()
	})
	c.onLeave = func() { stop() }
	stream, err := a.link.conn.NewStream(c.stream, &serviceDesc.Streams[0], streamMethod)
	if err == nil {
		req := request{id: c.id, left: left(ctx), name: name}
		err = stream.SendMsg(req.frame(argument))
	}
	if err != nil && !errors.Is(err, io.EOF) { // io.EOF: the function has returned already, or the connection has ended
		c.lose()
		defer c.leave()
		_, err = c.wait(ctx)
		return nil, err
	}
	c.parts = &parts{stream: stream, ctx: ctx, sending: make(chan struct{}, 1), receiving: make(chan struct{}, 1)}
	return c, nil
}

// items returns a function that returns one item after the other, and io.EOF when the stream has
// ended, however: how is known by wait then.
func (c *call) items(ctx context.Context, overrun int) func() ([]byte, error) {
	p := c.parts
	p.ctx = context.WithoutCancel(ctx) // the end of the stream is enough
	p.onError = func() error { return io.EOF }
	if overrun > 0 {
		return newAhead(overrun, p.next, c.overrun).take
	}
	return p.next
}

// overrun is called when too many items have come.
func (c *call) overrun() {
	c.cancel(ErrOverrun)
	c.abort()
}

// next returns the next item.
func (p *parts) next() ([]byte, error) {
	in, err := p.receive()
	if err != nil {
		return nil, err
	}
	return in.data()[1:], nil
}

// talk calls body with the stream, and waits until the function has ended as well. If it panics
// or calls Goexit, that goes on after that.
func (c *call) talk(ctx context.Context, overrun int, body func(context.Context, *parts, func() ([]byte, error)) error) (err error) {
	inside, end := context.WithCancelCause(ctx)
	defer end(nil)
	p := c.parts
	p.ctx = inside
	p.onError = func() error { return c.ended(ctx, inside) }
	items := p.next
	if overrun > 0 {
		items = newAhead(overrun, p.next, c.overrun).take
	}
	c.watch(func() {
		if _, err := c.wait(ctx); err != nil { // also if items are unread
			end(err)
			c.abort()
		}
	})
	hasReturned := false
	defer func() {
		p.close()
		if hasReturned && err == nil {
			c.finishReading()
			return
		}
		cause := err
		if !hasReturned {
			cause = errBodyPanicked
		}
		c.cancel(cause)
		c.abort()
		<-c.over
	}()
	err = body(inside, p, items)
	hasReturned = true
	return err
}

var errBodyPanicked = registered("traigo: the body of the dialog has panicked")

// watch has f called on a goroutine of its own when the call is over.
func (c *call) watch(f func()) {
	c.mu.Lock()
	isOver := c.isOver
	c.onEnd = func() { go f() }
	c.mu.Unlock()
	if isOver {
		go f()
	}
}

// ended returns what a Send or Recv of the body gets when the stream has ended: the cause of the
// body's context, if the function has failed, or else io.EOF.
func (c *call) ended(ctx, inside context.Context) error {
	select {
	case <-c.over:
	case <-inside.Done():
		return context.Cause(inside)
	}
	if _, err := c.wait(ctx); err != nil {
		<-inside.Done()
		return context.Cause(inside)
	}
	if err := c.cutOff(inside); err != nil {
		return err
	}
	return io.EOF
}

// cutOff returns the error of a stream whose function has returned nil, if not all that the function
// has sent has come: ctx has ended, or the connection has.
func (c *call) cutOff(ctx context.Context) error {
	p := c.parts
	p.mu.Lock()
	isCut := p.isCut
	p.mu.Unlock()
	switch {
	case !isCut:
		return nil
	case ctx.Err() != nil:
		return context.Cause(ctx)
	default:
		return &GoneError{Actor: c.actor.ID(), Err: errConnection}
	}
}

// finishReading says that the body has returned, and drops what the function still sends until
// that has returned, too.
func (c *call) finishReading() {
	p := c.parts
	p.mu.Lock()
	saidAll := p.saidAll
	p.saidAll = true
	p.mu.Unlock()
	if !saidAll {
		p.sending <- struct{}{}
		_ = p.stream.SendMsg(outbound{heads[partEnd]})
		<-p.sending
	}
	p.receiving <- struct{}{} // what the body has left running ends first
	for {
		var in inbound
		if p.stream.RecvMsg(&in) != nil {
			break
		}
		in.free()
	}
	<-p.receiving
	<-c.over
}

// An ahead takes items as they come, and keeps up to n of them.
type ahead struct {
	n       int
	overrun func()

	mu   sync.Mutex
	kept [][]byte
	err  error         // what comes after them
	wake chan struct{} // holds at most one value
}

func newAhead(n int, next func() ([]byte, error), overrun func()) *ahead {
	a := &ahead{n: n, overrun: overrun, wake: make(chan struct{}, 1)}
	go a.run(next)
	return a
}

func (a *ahead) run(next func() ([]byte, error)) {
	for {
		data, err := next()
		a.mu.Lock()
		switch {
		case err != nil:
			if a.err == nil {
				a.err = err
			}
		case a.err != nil:
		case len(a.kept) == a.n:
			a.err = ErrOverrun
		default:
			a.kept = append(a.kept, data)
		}
		isOverrun := a.err == ErrOverrun
		a.mu.Unlock()
		a.signal()
		if isOverrun {
			a.overrun()
		}
		if err != nil {
			return
		}
	}
}

// take returns the next item, and then what has ended the stream.
func (a *ahead) take() ([]byte, error) {
	for {
		a.mu.Lock()
		if len(a.kept) > 0 {
			data := a.kept[0]
			a.kept[0] = nil
			a.kept = a.kept[1:]
			a.mu.Unlock()
			return data, nil
		}
		err := a.err
		a.mu.Unlock()
		if err != nil {
			a.signal()
			return nil, err
		}
		<-a.wake
	}
}

func (a *ahead) signal() {
	select {
	case a.wake <- struct{}{}:
	default:
	}
}
