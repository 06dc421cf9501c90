package actor

import (
	"context"
	"fmt"
	"io"
	"sync"
	"sync/atomic"

	"google.golang.org/grpc/mem"
)

// parts are the stream of a call, at either end. A part ends with a byte that says what it is:
// it costs less than at the beginning, where it would be a buffer of its own.
type parts struct {
	stream interface {
		SendMsg(m any) error
		RecvMsg(m any) error
	}
	ctx     context.Context
	onError func() error // what has ended the stream, when it was not ctx; nil in the function

	sending   chan struct{} // holds one while SendMsg is called, which gRPC allows once at a time
	receiving chan struct{} // likewise, for RecvMsg and pending
	pending   chan received // the part that a Recv was waiting for when its context has ended; nil if there is none
	out       outbound      // what is sent, while sending holds one: gRPC gets a pointer to it
	in        inbound       // likewise, what has come

	hasHeard atomic.Bool // something has come

	mu       sync.Mutex
	isClosed bool // the function, or the body, has returned
	saidAll  bool
	heardAll bool
	isCut    bool // the stream was ended before all that was sent had come
}

const (
	partStarted = 's'
	partItem    = 'i'
	partEnd     = 'e' // there is no other item
)

var (
	end = mem.Buffer(mem.SliceBuffer{partEnd})

	errSaidAll = registered("traigo: actor: Send after CloseSend")
	errClosed  = registered("traigo: actor: the dialog is over")

	errReturned = registered("traigo: actor: the function on the other side has returned")
)

func (p *parts) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.isClosed = true
}

// A received is what RecvMsg has returned.
type received struct {
	in  inbound
	err error
}

// lock puts a value into one of the channels that hold one, unless a context ends before.
func (p *parts) lock(ctx context.Context, c chan<- struct{}) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	select {
	case c <- struct{}{}:
		return nil
	default: // a select of three takes long
	}
	select {
	case c <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-p.ctx.Done():
		return context.Cause(p.ctx)
	}
}

// send sends a part, and blocks while the other side does not read.
func (p *parts) send(ctx context.Context, kind byte, value mem.Buffer) error {
	if err := p.lock(ctx, p.sending); err != nil {
		return err
	}
	if ctx == p.ctx {
		defer func() { <-p.sending }()
		return p.sendLocked(kind, value)
	}
	sent := make(chan error, 1) // only the end of the stream interrupts SendMsg
	go func() {
		defer func() { <-p.sending }()
		sent <- p.sendLocked(kind, value)
	}()
	select {
	case err := <-sent:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (p *parts) sendLocked(kind byte, value mem.Buffer) error {
	p.mu.Lock()
	isClosed, saidAll := p.isClosed, p.saidAll
	p.saidAll = saidAll || kind == partEnd
	p.mu.Unlock()
	switch {
	case isClosed:
		return errClosed
	case p.ctx.Err() != nil:
		return context.Cause(p.ctx)
	case saidAll && kind == partEnd:
		return nil
	case saidAll:
		return errSaidAll
	}
	p.out = outbound{value}
	if p.stream.SendMsg(&p.out) == nil {
		return nil
	}
	if err := p.broken(); err != io.EOF {
		return err
	}
	return errReturned
}

// receive returns the next item, or io.EOF when there is no other one. The caller frees it.
func (p *parts) receive(ctx context.Context) (in inbound, err error) {
	if err := p.lock(ctx, p.receiving); err != nil {
		return in, err
	}
	defer func() { <-p.receiving }()
	p.mu.Lock()
	isClosed, heardAll := p.isClosed, p.heardAll
	p.mu.Unlock()
	switch {
	case isClosed:
		return in, errClosed
	case heardAll:
		return in, io.EOF
	case p.ctx.Err() != nil:
		return in, context.Cause(p.ctx)
	}
	if in, err = p.read(ctx); err != nil {
		if ctx.Err() != nil {
			return in, context.Cause(ctx)
		}
		if err != io.EOF {
			p.mu.Lock()
			p.isCut = true
			p.mu.Unlock()
		}
		return in, p.broken()
	}
	p.hasHeard.Store(true)
	switch in.kind() {
	case 0:
		return in, fmt.Errorf("%w: an empty part", errFrame)
	case partEnd:
		in.free()
		p.mu.Lock()
		p.heardAll = true
		p.mu.Unlock()
		return in, io.EOF
	}
	return in, nil
}

// read reads a part. If ctx, which may be another one than that of the stream, ends before, the
// part is kept for the next call.
func (p *parts) read(ctx context.Context) (in inbound, err error) {
	if p.pending == nil && (ctx == p.ctx || ctx.Done() == nil) {
		err = p.stream.RecvMsg(&p.in)
		in, p.in = p.in, inbound{}
		return in, err
	}
	if p.pending == nil {
		pending := make(chan received, 1)
		p.pending = pending
		go func() {
			var r received
			r.err = p.stream.RecvMsg(&r.in)
			pending <- r
		}()
	}
	select {
	case r := <-p.pending:
		p.pending = nil
		return r.in, r.err
	case <-ctx.Done():
		return in, context.Cause(ctx)
	}
}

// broken returns why the stream has ended. In a function that is the end of its context, which
// may come a moment later.
func (p *parts) broken() error {
	if p.onError != nil {
		return p.onError()
	}
	<-p.ctx.Done()
	return context.Cause(p.ctx)
}
