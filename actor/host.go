package actor

import (
	"context"
	"errors"
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

	canceled atomic.Pointer[Canceled] // the first cancellation of the scope by an asker or a signal

	mu       sync.Mutex
	sessions map[*session]struct{}
	isOver   bool // no new sessions
}

// explain returns the cause of the end of something in the scope with a *Canceled of this actor in
// it. It has one if a call was canceled, or the scope was because of a failure elsewhere. It has
// none if the scope was to end quietly, which is no failure of it, or has failed by itself.
func (h *host) explain(cause error) error {
	self := Self()
	if by, ok := foundIn[*Canceled](cause); ok && by.Actor == self {
		return cause
	}
	if by := h.canceled.Load(); by != nil && !hasFailure(cause) {
		return by
	}
	return &Canceled{Actor: self, By: self, Err: cause, isOwn: true}
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
