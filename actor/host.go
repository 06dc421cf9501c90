package actor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/mem"

	"github.com/traigo/traigo"
)

// A host is a place where functions run: an actor, or a process that Listens. Whoever asks
// has a session of its own.
type host struct {
	scope   *traigo.Scope
	exposed map[string]Exposable
	control func(s *session, kind control, id uint64, payload []byte) // what is said beside calls; on the goroutine that receives

	mu       sync.Mutex
	sessions map[*session]struct{}
	isOver   bool // no new sessions
}

// Exposable is what actors can be asked for: a [Function], a [Sequence] or a [Conversation].
type Exposable interface {
	// Name returns the name that it is registered with.
	Name() string

	// run runs it here. parts is nil if it is called as a Function.
	run(ctx context.Context, argument []byte, parts *parts) (result mem.Buffer, err error)
	isStream() bool
	isNil() bool
}

func exposed(fns []Exposable) map[string]Exposable {
	all := make(map[string]Exposable, len(fns))
	for _, fn := range fns {
		all[fn.Name()] = fn
	}
	return all
}

// A session is what one asker does here, by one connection.
type session struct {
	host   *host
	server *grpc.Server
	conn   *watchedConn
	outbox *outbox
	isOurs bool // the asker is the parent: it may say more than others

	refusal error // why the actor cannot begin; of the goroutine that receives

	gone chan struct{} // closed when the connection has ended

	mu      sync.Mutex
	peer    ID
	greeted bool
	calls   map[uint64]*running
	early   map[uint64]error // causes of cancellations that have overtaken their calls
	isGone  bool
}

// serve serves a connection until it ends.
func (h *host) serve(conn net.Conn, isOurs bool, opts ...grpc.ServerOption) *session {
	s := &session{
		host: h, isOurs: isOurs, outbox: newOutbox(), gone: make(chan struct{}),
		calls: map[uint64]*running{}, early: map[uint64]error{},
	}
	l := &oneConn{conn: make(chan net.Conn, 1), addr: conn.LocalAddr(), closed: make(chan struct{})}
	s.conn = &watchedConn{Conn: conn, ended: l.closed}
	s.server = grpc.NewServer(append(serverOptions(), opts...)...)
	s.server.RegisterService(&serviceDesc, s)
	h.mu.Lock()
	isOver := h.isOver
	if !isOver {
		if h.sessions == nil {
			h.sessions = map[*session]struct{}{}
		}
		h.sessions[s] = struct{}{}
	}
	h.mu.Unlock()
	if isOver {
		_ = conn.Close()
		close(s.gone)
		return s
	}
	l.conn <- s.conn
	go func() {
		_ = s.server.Serve(l) // until the connection ends
		s.server.Stop()
		s.end()
	}()
	return s
}

// end is called when the connection has ended. What still runs for it is canceled.
func (s *session) end() {
	s.outbox.close()
	s.mu.Lock()
	s.isGone = true
	peer := s.peer
	s.mu.Unlock()
	for _, r := range s.running() {
		r.cancel(&GoneError{Actor: peer, Err: errConnection})
	}
	s.host.mu.Lock()
	delete(s.host.sessions, s)
	s.host.mu.Unlock()
	close(s.gone)
}

var errConnection = registered("the connection has ended")

// tell says to all who ask here how the host has ended, and waits until they have closed
// their connections, which they do when all their calls are answered. It does not wait for
// longer than within: some may be stopped.
func (h *host) tell(how ending, within time.Duration, but *session) {
	h.mu.Lock()
	h.isOver = true
	var all []*session
	for s := range h.sessions {
		if s != but {
			all = append(all, s)
		}
	}
	h.mu.Unlock()
	late := time.NewTimer(within)
	defer late.Stop()
	for _, s := range all {
		s.outbox.post(ended, 0, how)
	}
	for _, s := range all {
		select {
		case <-s.gone:
		case <-late.C:
			late.Reset(0)
			_ = s.conn.Close() // Stop would wait for a handshake, or for the connection to end
			<-s.gone
		}
	}
}

// A oneConn is a listener that accepts one connection, and ends with it.
type oneConn struct {
	conn   chan net.Conn
	addr   net.Addr
	closed chan struct{}
}

func (l *oneConn) Accept() (net.Conn, error) {
	select {
	case c := <-l.conn:
		return c, nil
	case <-l.closed:
		return nil, io.EOF // net.ErrClosed calls itself temporary, and gRPC would try again
	}
}

func (l *oneConn) Close() error   { return nil }
func (l *oneConn) Addr() net.Addr { return l.addr }

// A watchedConn tells of its end.
type watchedConn struct {
	net.Conn
	once  sync.Once
	ended chan struct{}
}

func (c *watchedConn) Close() error {
	err := c.Conn.Close()
	c.once.Do(func() { close(c.ended) })
	return err
}

var serviceDesc = grpc.ServiceDesc{
	ServiceName: serviceName,
	HandlerType: (*any)(nil),
	Methods: []grpc.MethodDesc{{
		MethodName: "Call",
		Handler: func(srv any, ctx context.Context, read func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
			return srv.(*session).serveCall(ctx, read)
		},
	}},
	Streams: []grpc.StreamDesc{
		{StreamName: "Stream", ServerStreams: true, ClientStreams: true, Handler: func(srv any, stream grpc.ServerStream) error {
			return srv.(*session).serveStream(stream)
		}},
		{StreamName: "Control", ServerStreams: true, ClientStreams: true, Handler: func(srv any, stream grpc.ServerStream) error {
			return srv.(*session).serveControl(stream)
		}},
	},
}

// serveControl receives what the asker says beside its calls, until the connection ends.
func (s *session) serveControl(stream grpc.ServerStream) error {
	go s.outbox.send(stream)
	for {
		var in inbound
		if err := stream.RecvMsg(&in); err != nil {
			return nil //nolint:nilerr // the connection has ended, or is about to
		}
		kind, id, payload, err := parseControl(in.data())
		if err != nil {
			return err
		}
		switch kind {
		case cancelCall:
			cause, err := parseError(payload)
			if err != nil {
				return err
			}
			s.cancelCall(id, cause)
		case forgetCall:
			s.mu.Lock()
			delete(s.early, id)
			s.mu.Unlock()
		case sayHello:
			if err := s.greet(payload); err != nil {
				return err
			}
		default:
			s.host.control(s, kind, id, payload)
		}
		in.free()
	}
}

// greet answers a hello.
func (s *session) greet(payload []byte) error {
	var h hello
	if err := decodeJSON(payload, &h); err != nil {
		return err
	}
	w := welcome{Version: protocol}
	if h.Version == protocol {
		s.mu.Lock()
		s.peer = h.From
		s.mu.Unlock()
		if s.isOurs {
			s.host.control(s, sayHello, 0, payload)
		}
		s.mu.Lock()
		s.greeted = true
		s.mu.Unlock()
		w.ID = Self()
		if s.refusal != nil {
			w.Err = asRemote(s.refusal)
		}
	}
	s.outbox.post(sayWelcome, 0, w)
	return nil
}

func (s *session) asker() ID {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.peer
}

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

// begin registers a call. From now on it can be canceled. If it cannot be run, how says why.
func (s *session) begin(req request, isStream bool) (r *running, how *response) {
	r = &running{session: s, request: req, canceled: make(chan struct{}), answered: make(chan struct{})}
	r.admitted, r.refuse = context.WithCancel(context.Background())
	s.mu.Lock()
	defer s.mu.Unlock()
	fn := s.host.exposed[req.name]
	r.fn = fn
	switch {
	case !s.greeted:
		return r, failure(errors.New("traigo: actor: a call before the connection has begun"))
	case fn == nil || fn.isStream() != isStream:
		return r, &response{verdict: notExposed}
	case s.isGone:
		return r, &response{verdict: over}
	}
	if cause, ok := s.early[req.id]; ok {
		r.cause = cause
		delete(s.early, req.id)
	}
	s.calls[req.id] = r
	return r, nil
}

// cancelCall cancels a call, which may not have come yet.
func (s *session) cancelCall(id uint64, cause error) {
	s.mu.Lock()
	r := s.calls[id]
	if r == nil {
		s.early[id] = cause // until it comes, or the asker says that it has been answered
	}
	s.mu.Unlock()
	if r != nil {
		r.cancel(cause)
	}
}

func (s *session) finish(r *running) {
	s.mu.Lock()
	delete(s.calls, r.request.id)
	s.mu.Unlock()
	r.refuse()
	close(r.answered)
}

func (s *session) running() (all []*running) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.calls {
		all = append(all, r)
	}
	return all
}

func failure(err error) *response {
	return &response{verdict: failed, err: asRemote(err)}
}

func (s *session) serveCall(ctx context.Context, read func(any) error) (any, error) {
	var in inbound
	if err := read(&in); err != nil {
		return nil, err
	}
	req, err := parseRequest(in.data())
	if err != nil {
		return nil, err
	}
	r, how := s.begin(req, false)
	if how == nil {
		r.spawn(ctx, nil)
		<-r.task.Done()
		how = r.response()
		s.finish(r)
	}
	out := how.frame()
	return &out, nil
}

// serveStream serves a Sequence or a Conversation. When the context of the function is done
// the stream ends, which is what ends a Send or Recv that blocks; the function may take longer.
func (s *session) serveStream(stream grpc.ServerStream) error {
	var in inbound
	if err := stream.RecvMsg(&in); err != nil {
		return err
	}
	req, err := parseRequest(in.data())
	if err != nil {
		return err
	}
	r, how := s.begin(req, true)
	if how != nil {
		s.answer(r, how)
		s.outbox.flush()
		return nil
	}
	p := &parts{stream: stream, sending: make(chan struct{}, 1), receiving: make(chan struct{}, 1)}
	r.spawn(stream.Context(), p)
	conclude := func() {
		<-r.task.Done()
		p.close()
		s.answer(r, r.response())
		s.finish(r)
		s.outbox.flush()
	}
	select {
	case <-r.task.Done():
		conclude()
	case <-r.canceled:
		go conclude()
	}
	return nil
}

func (s *session) answer(r *running, how *response) {
	s.outbox.enqueue(append(controlFrame(returned, r.request.id, nil), how.frame()...))
}

// spawn starts the task of the call in the scope of the host.
func (r *running) spawn(ctx context.Context, p *parts) {
	opts := []traigo.TaskOption{traigo.Name(r.request.name), traigo.Bubble(false), traigo.AdmitBefore(r.admitted)}
	if !here.isActor.Load() { // whoever Listens learns from ctx who has asked
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
		return r.callFunction(ctx, p)
	}
	expired, err := traigo.MoveOnAfter(ctx, max(r.request.left, 0), func(ctx context.Context) error { return r.callFunction(ctx, p) })
	r.mu.Lock()
	defer r.mu.Unlock()
	r.hasExpired = expired && err == nil
	return err
}

func (r *running) callFunction(task context.Context, p *parts) error {
	ctx := newFunctionContext(task, r.canceled)
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
	case !r.wasCalled: // the task was refused
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
		return how
	case by != nil && (!by.isOwn || !hasFailure(by.Err)):
		return &response{verdict: canceled, err: asRemote(by), result: r.result}
	case by != nil:
		return failure(by.Err)
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

// newFunctionContext returns the context of a function that runs in a task. canceled is closed
// when it is done before release.
func newFunctionContext(task context.Context, canceled chan<- struct{}) *functionContext {
	c := &functionContext{task: task, done: make(chan struct{})}
	c.Context, c.end = context.WithCancelCause(context.WithoutCancel(task))
	c.stop = afterFunc(task, func() {
		cause := context.Cause(task)
		if by, ok := foundIn[*Canceled](cause); !ok || by.Actor != Self() {
			self := Self()
			cause = &Canceled{Actor: self, By: self, Err: cause, isOwn: true}
		}
		c.end(cause)
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

func decodeJSON(data []byte, to any) error {
	p := parser{}
	p.json(data, to)
	return p.err
}

// asError returns e as an error, nil if it is nil.
func asError(e *traigo.RemoteError) error {
	if e == nil {
		return nil
	}
	return e
}

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
