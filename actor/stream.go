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
// and the stream ends: here at once, if the actor has begun to answer. Before that the request
// may be under way. If it were lost with the stream, nobody would answer. The caller must call
// leave.
func (a *Actor) open(ctx context.Context, name string, argument mem.Buffer) (*call, error) {
	c, err := a.begin(name)
	if err != nil {
		return nil, a.gone(ctx)
	}
	c.parts = &parts{ctx: ctx, sending: make(chan struct{}, 1), receiving: make(chan struct{}, 1)}
	stop := c.cancelAfter(ctx, func() {
		if c.parts.hasHeard.Load() {
			c.abort()
		}
	})
	c.onLeave = func() { stop() }
	stream, err := a.link.conn.NewStream(c.stream, &serviceDesc.Streams[0], streamMethod)
	if err == nil {
		req := request{id: c.id, left: left(ctx), name: name}
		out := req.frame(argument)
		err = stream.SendMsg(&out)
	}
	if err != nil && !errors.Is(err, io.EOF) { // io.EOF: the function has returned already, or the connection has ended
		c.lose()
		defer c.leave()
		_, err = c.wait(ctx)
		return nil, err
	}
	c.parts.stream = stream
	return c, nil
}

// items returns a function that returns one item after the other, and io.EOF when the stream has
// ended, however: how is known by wait then.
func (c *call) items(ctx context.Context, overrun int) func(context.Context) (inbound, error) {
	p := c.parts
	p.ctx = context.WithoutCancel(ctx) // the end of the stream is enough
	p.onError = func() error { return io.EOF }
	if overrun > 0 {
		return newAhead(overrun, p, c.overrun).take
	}
	return p.receive
}

// overrun is called when too many items have come. Those that come when the body has returned
// are dropped.
func (c *call) overrun() {
	c.parts.mu.Lock()
	isClosed := c.parts.isClosed
	c.parts.mu.Unlock()
	if isClosed {
		return
	}
	c.cancel(ErrOverrun)
	c.abort()
}

// decodePart returns the value of a part. That has to be freed: gRPC reads many small ones into
// one buffer of 16 KiB, which it uses again only then.
func decodePart[T any](c *codec[T], in inbound) (T, error) {
	defer in.free()
	data := in.data()
	return c.decode(data[:len(data)-1])
}

// talk calls body with the stream, and waits until the function has ended as well. If it panics
// or calls Goexit, that goes on after that.
func (c *call) talk(ctx context.Context, overrun int, body func(context.Context, *parts, func(context.Context) (inbound, error)) error) (err error) {
	inside, end := context.WithCancelCause(ctx)
	defer end(nil)
	p := c.parts
	p.ctx = inside
	p.onError = func() error { return c.ended(ctx, inside) }
	items := p.receive
	if overrun > 0 {
		items = newAhead(overrun, p, c.overrun).take
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
		switch {
		case ctx.Err() != nil: // which the body may have learned before open has
			c.cancelFor(ctx)
			c.link.outbox.signal()
		case hasReturned:
			c.cancel(err)
		default:
			c.cancel(errBodyPanicked)
		}
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
	said := make(chan struct{})
	go func() { // it may block until the function reads, which may not be before it has sent
		defer close(said)
		if !saidAll {
			p.sending <- struct{}{}
			p.out = outbound{end}
			_ = p.stream.SendMsg(&p.out)
			<-p.sending
		}
	}()
	p.receiving <- struct{}{} // what the body has left running ends first
	for {
		in, err := p.read(context.Background())
		if err != nil {
			break
		}
		in.free()
	}
	<-p.receiving
	<-c.over
	<-said
}

// An ahead takes items as they come, and keeps up to n of them.
type ahead struct {
	n       int
	overrun func()

	mu   sync.Mutex
	kept []inbound
	err  error         // what comes after them
	wake chan struct{} // holds at most one value
}

func newAhead(n int, p *parts, overrun func()) *ahead {
	a := &ahead{n: n, overrun: overrun, wake: make(chan struct{}, 1)}
	go a.run(p)
	return a
}

func (a *ahead) run(p *parts) {
	for {
		in, err := p.receive(p.ctx)
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
			a.kept = append(a.kept, in)
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
func (a *ahead) take(ctx context.Context) (in inbound, err error) {
	for {
		a.mu.Lock()
		if len(a.kept) > 0 {
			in = a.kept[0]
			a.kept[0] = inbound{}
			a.kept = a.kept[1:]
			a.mu.Unlock()
			return in, nil
		}
		err = a.err
		a.mu.Unlock()
		if err != nil {
			a.signal()
			return in, err
		}
		select {
		case <-a.wake:
		case <-ctx.Done():
			return in, context.Cause(ctx)
		}
	}
}

func (a *ahead) signal() {
	select {
	case a.wake <- struct{}{}:
	default:
	}
}
