package actor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"sync/atomic"

	"google.golang.org/grpc/mem"
)

// A Conversation is a function in an actor that talks with who runs it. See [Dialog].
type Conversation[In, First, Down, Up, Out any] struct {
	name  string
	fn    func(ctx context.Context, in In, started Started[First, Down, Up]) (Out, error)
	in    codec[In]
	first codec[First]
	down  codec[Down]
	up    codec[Up]
	out   codec[Out]
}

// Started begins the dialog, from the side of the function: first is what the opener gets before
// anything else. It is to be called once; a second call is an error.
type Started[First, Send, Recv any] func(first First) (*Peer[Send, Recv], error)

// Dialog is [Func] for a function that, while it runs, sends items of type Down to who runs it
// and receives items of type Up. There is no Peer before the function has called started, and
// the body of the opener does not run before.
func Dialog[In, First, Down, Up, Out any](name string, fn func(ctx context.Context, in In, started Started[First, Down, Up]) (Out, error)) *Conversation[In, First, Down, Up, Out] {
	where := mustBeRegistrable("Dialog", name, fn != nil)
	d := &Conversation[In, First, Down, Up, Out]{
		name, fn, codecOf[In](where, "the argument", name), codecOf[First](where, "the first value", name),
		codecOf[Down](where, "an item down", name), codecOf[Up](where, "an item up", name), codecOf[Out](where, "the result", name),
	}
	register(where, d)
	return d
}

// Name returns the name that was given to [Dialog].
func (d *Conversation[In, First, Down, Up, Out]) Name() string { return d.name }

// Run runs the function in the actor and, when that has called started, body here. It returns
// when both have returned, with the result of the function.
//
// If body returns nil, the function's Recv gives io.EOF when it has read what was sent, and what
// it still sends is dropped. If body returns an error, the function is canceled with it, and Run
// returns it, joined with what the function has failed with by itself. A panic or Goexit of body
// goes on after that.
//
// If the function fails first, the context of body is canceled with its error, and Run returns
// that, joined with what body has failed with by itself. If it returns nil first, body goes on.
// If it has not called started, body does not run, and Run returns the function's error or
// [ErrNotStarted]. Otherwise Run is like [Function.Run].
func (d *Conversation[In, First, Down, Up, Out]) Run(ctx context.Context, a *Actor, in In,
	body func(ctx context.Context, first First, p *Peer[Up, Down]) error, opts ...StreamOption) (out Out, err error) {
	mustHave("Run", d.name, ctx, a)
	if body == nil {
		panic(fmt.Sprintf("traigo: actor: Run of %q: the body is nil", d.name))
	}
	if ctx.Err() != nil {
		return out, context.Cause(ctx)
	}
	argument, err := d.in.encode(in)
	if err != nil {
		return out, err
	}
	c, err := a.open(ctx, d.name, argument)
	if err != nil {
		return out, err
	}
	defer c.leave()
	first, err := d.begin(c)
	if err == errNoStart {
		data, failure := c.wait(ctx)
		if failure == nil {
			failure = &Error{From: a.ID(), Path: []ID{a.ID()}, Err: fmt.Errorf("%q: %w", d.name, ErrNotStarted)}
		}
		return resultOf(&d.out, data, failure)
	}
	if err != nil {
		return out, c.failFor(ctx, err)
	}
	bodyErr := c.talk(ctx, overrunOf(opts), func(ctx context.Context, p *parts, items func(context.Context) (inbound, error)) error {
		return body(ctx, first, &Peer[Up, Down]{parts: p, ctx: ctx, items: items, send: d.up, recv: d.down, name: d.name})
	})
	data, failure := c.wait(ctx)
	out, failure = resultOf(&d.out, data, failure)
	switch {
	case bodyErr == nil, failure != nil && isOnly(bodyErr, failure):
		return out, failure // also if that is a mere cancellation: it is the cause
	case failure == nil || isOnly(failure, bodyErr):
		return out, bodyErr
	default:
		return out, errors.Join(bodyErr, failure)
	}
}

// errNoStart says that the stream has ended before it began.
var errNoStart = errors.New("the function has not called started")

// begin waits until the function has called started.
func (d *Conversation[In, First, Down, Up, Out]) begin(c *call) (first First, err error) {
	var in inbound
	if err := c.parts.stream.RecvMsg(&in); err != nil {
		return first, errNoStart
	}
	c.parts.hasHeard.Store(true)
	if in.kind() != partStarted {
		return first, fmt.Errorf("%w: a dialog does not begin with started", errFrame)
	}
	return decodePart(&d.first, in)
}

func (d *Conversation[In, First, Down, Up, Out]) isStream() bool { return true }
func (d *Conversation[In, First, Down, Up, Out]) isNil() bool    { return d == nil }

func (d *Conversation[In, First, Down, Up, Out]) run(ctx context.Context, argument []byte, p *parts) (mem.Buffer, error) {
	in, err := d.in.decode(argument)
	if err != nil {
		return nil, err
	}
	var hasStarted atomic.Bool
	out, err := d.fn(ctx, in, func(first First) (*Peer[Down, Up], error) {
		if hasStarted.Swap(true) {
			return nil, fmt.Errorf("traigo: actor: %q has called started before, or has returned", d.name)
		}
		value, err := d.first.encode(first, partStarted)
		if err != nil {
			return nil, err
		}
		if err := p.send(ctx, partStarted, value); err != nil {
			return nil, err
		}
		return &Peer[Down, Up]{parts: p, ctx: ctx, items: p.receive, send: d.down, recv: d.up, name: d.name}, nil
	})
	hasStarted.Store(true) // what the function has left behind must not begin the dialog now
	return encodeResult(&d.out, out, err)
}

// A Peer is one's own end of a dialog. Its methods may be called from any goroutine, until the
// function or the body returns. A Send or Recv that blocks ends when the context of that is
// done, with its cause.
type Peer[Send, Recv any] struct {
	parts *parts
	ctx   context.Context // that of the parts, or of With
	items func(context.Context) (inbound, error)
	send  codec[Send]
	recv  codec[Recv]
	name  string
}

// With returns the same end, whose Send and Recv also end when ctx is done: for a task, say, that
// is canceled while the function goes on. An item that Recv was waiting for then comes out of the
// next Recv; whether one that Send was sending arrives is not known. With panics if ctx is nil.
func (p *Peer[Send, Recv]) With(ctx context.Context) *Peer[Send, Recv] {
	if ctx == nil {
		panic(fmt.Sprintf("traigo: actor: With of a Peer of %q: ctx is nil", p.name))
	}
	other := *p
	other.ctx = ctx
	return &other
}

// Send sends an item. It blocks while the other side does not read: at most 4 MiB, and one item
// more, are under way. It returns an error after CloseSend, and in the body if the function has
// returned.
func (p *Peer[Send, Recv]) Send(v Send) error {
	value, err := p.send.encode(v, partItem)
	if err != nil {
		return err
	}
	return p.parts.send(p.ctx, partItem, value)
}

// Recv returns the next item. It returns io.EOF when the other side has said all.
func (p *Peer[Send, Recv]) Recv() (v Recv, err error) {
	in, err := p.items(p.ctx)
	if err != nil {
		return v, err
	}
	return decodePart(&p.recv, in)
}

// Items calls Recv until that returns io.EOF, which is not yielded. It ends after another error.
func (p *Peer[Send, Recv]) Items() iter.Seq2[Recv, error] {
	return func(yield func(Recv, error) bool) {
		for {
			v, err := p.Recv()
			if err == io.EOF {
				return
			}
			if !yield(v, err) || err != nil {
				return
			}
		}
	}
}

// CloseSend says that there is nothing more to send. Reading goes on.
func (p *Peer[Send, Recv]) CloseSend() error { return p.parts.send(p.ctx, partEnd, end) }
