package serve

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"reflect"
	"sync"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/internal/inplace"
)

// HTTP serves requests on l as a task of s, named "http", and returns the task. Each request
// runs as a task of a scope "requests" below that task. It is named after the pattern of
// its route, "GET /orders/{id}", where srv.Handler is an http.ServeMux or has the method
// Handler of one, as a type has that embeds it; otherwise after its method and path.
//
// The context of a request is that of its task. It has the values of the context that
// package net/http made for the request, and ends when the client has gone, when the task is
// canceled, and when s is: context.Cause says which of them it was. The current scope in
// it is the scope of all requests. A task that a handler spawns there outlives the request,
// but not the server, and its failure ends all requests unless it has another owner; for
// work that belongs to one request open a scope with [traigo.Run] or [traigo.Scope.Fork].
//
// When [traigo.Stopping] is closed, that is when s or a scope above is shut down, the
// listener is closed, requests that run may end, and the task returns nil when they, and
// all that they have left in their scope, have ended. A handler that streams must return at
// Stopping. A connection without a request is closed, at the latest when the last response
// is written. When s is canceled, the contexts of the requests end with the cause. A
// connection is closed when the handler has returned and its response is written, or when the
// CancelTimeout of s, or the one among opts, is over: without one, a handler is waited for that
// reads from a client which sends nothing, or writes to one which does not read.
//
// If the listener fails, that is the error of the task, and all requests are canceled. If
// the program calls Shutdown or Close of srv, the task returns nil when the requests have
// ended; one that arrives after that is answered with status 503.
//
// A panic of a handler is handled by package net/http: it is logged to srv.ErrorLog, with
// the stack of the handler, and ends the connection. So does http.ErrAbortHandler, which
// is not logged. Either is the error of the request's task, which has no other owner.
//
// All fields of srv apply, but Addr. If srv.TLSConfig has a certificate, and l is not
// a listener of crypto/tls, connections are served with TLS, as by srv.ServeTLS. HTTP
// replaces Handler, ConnState and ConnContext of srv by functions that call the given ones, so
// srv must not be in use, and serves one listener. HTTP closes l, also if the task is
// refused. It panics if s, srv or l is nil, and if it has been called with srv before.
func HTTP(s *traigo.Scope, srv *http.Server, l net.Listener, opts ...traigo.TaskOption) *traigo.Task {
	mustHave("HTTP", s != nil, "*Scope", "open one with Run or New")
	mustHave("HTTP", srv != nil, "*http.Server", "pass one with a Handler")
	mustHave("HTTP", l != nil, "net.Listener", "net.Listen makes one")
	h := newServer(srv, l, opts)
	task := s.Spawn(h.run, append([]traigo.TaskOption{traigo.Name("http")}, opts...)...)
	if errors.Is(task.Err(), traigo.ErrRefused) {
		_ = l.Close() // nobody else does
	}
	return task
}

// RequestScope returns the current scope of r's context, which is the scope of all
// requests, or the one that the handler has opened around r. It returns nil if r does not
// come from [HTTP].
func RequestScope(r *http.Request) *traigo.Scope { return traigo.Current(r.Context()) }

// A server is the handler that an http.Server has while HTTP serves it.
type server struct {
	srv      *http.Server
	listener net.Listener
	opts     []traigo.ScopeOption // of the scope "requests"
	handler  http.Handler         // what the http.Server had
	routes   router               // the handler, if it can tell the pattern of a request

	requests *traigo.Scope // set before the first connection is accepted
	conns    conns
}

// A router is an http.ServeMux, or has its method.
type router interface {
	Handler(r *http.Request) (h http.Handler, pattern string)
}

func newServer(srv *http.Server, l net.Listener, opts []traigo.TaskOption) *server {
	if _, ok := srv.Handler.(*server); ok {
		panic("traigo: serve.HTTP: this http.Server has been passed to HTTP before; make one for each listener")
	}
	h := &server{srv: srv, listener: l, handler: srv.Handler}
	if h.handler == nil {
		h.handler = http.DefaultServeMux
	}
	h.routes, _ = h.handler.(router)
	for _, o := range opts { // a CancelTimeout is meant for the requests, too
		if o, ok := o.(traigo.ScopeOption); ok {
			h.opts = append(h.opts, o)
		}
	}
	h.opts = append(h.opts, traigo.Name("requests"))
	srv.Handler = h
	h.conns.watch(srv)
	return h
}

// run is the function of the task that HTTP spawns.
func (h *server) run(ctx context.Context) error {
	// What is left then belongs to handlers that were given up, or has not been read by its
	// client.
	defer func() {
		h.conns.flush()
		_ = h.srv.Close()
		h.conns.closeHijacked()
	}()
	return traigo.Run(ctx, h.accept, h.opts...)
}

// accept is the body of the scope "requests", so that the scope takes requests as long as it
// runs.
func (h *server) accept(ctx context.Context, requests *traigo.Scope) error {
	h.requests = requests
	// Of the scope that HTTP was given: the channels of the scopes below are closed later, and
	// another task of that scope may close the listener meanwhile.
	stopping := traigo.Stopping(requests.Parent().Context())
	err := h.serveUntil(ctx, stopping)
	if errors.Is(err, http.ErrServerClosed) { // serveUntil, or the program, has shut it down
		return nil
	}
	_ = h.listener.Close() // ServeTLS has not, if the TLSConfig is one that it does not take
	if isClosed(stopping) || isClosed(ctx.Done()) {
		return nil
	}
	return err
}

// serveUntil serves the listener. When stopping is closed, or ctx is done, it shuts the
// http.Server down, and returns when all connections are idle or quiet, or ctx is done.
func (h *server) serveUntil(ctx context.Context, stopping <-chan struct{}) error {
	returned := make(chan struct{})
	var shutdown sync.WaitGroup
	defer shutdown.Wait()
	defer close(returned)
	shutdown.Go(func() {
		select {
		case <-stopping:
		case <-ctx.Done():
		case <-returned:
		}
		if isClosed(stopping) || isClosed(ctx.Done()) {
			ctx, cancel := context.WithCancel(ctx)
			defer cancel()
			h.conns.whenQuiet(cancel)
			_ = h.srv.Shutdown(ctx) // its error is that of ctx
		}
	})
	if h.wantsTLS() {
		return h.srv.ServeTLS(h.listener, "", "")
	}
	return h.srv.Serve(h.listener)
}

var tlsListener = reflect.TypeOf(tls.NewListener(nil, nil))

// wantsTLS reports whether ServeTLS can serve the listener without the names of files.
func (h *server) wantsTLS() bool {
	c := h.srv.TLSConfig
	return c != nil && (len(c.Certificates) > 0 || c.GetCertificate != nil || c.GetConfigForClient != nil) &&
		reflect.TypeOf(h.listener) != tlsListener
}

// ServeHTTP runs the handler for r in a task. It is called on a goroutine of package
// net/http, which writes the end of the response, or closes the connection, when ServeHTTP
// has returned or panicked. The task runs on that goroutine.
func (h *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	q := newRequest(h, w, r)
	if h.requests == nil || !inplace.Run(h.requests, q) {
		refuse(w)
		return
	}
	switch {
	case q.panicked != nil:
		panic(q.panicked)
	case !q.isCalled: // by a Wrapper, and the task has failed
		http.Error(w, http.StatusText(http.StatusInternalServerError), http.StatusInternalServerError)
	}
}

// refuse answers a request for which there is no scope any more.
func refuse(w http.ResponseWriter) {
	w.Header().Set("Connection", "close")
	http.Error(w, "the server is stopping", http.StatusServiceUnavailable)
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// As in package traigo, a wrong argument panics in the call that has it.
func mustHave(call string, there bool, what, instead string) {
	if !there {
		panic("traigo: serve." + call + ": nil " + what + "; " + instead)
	}
}
