package serve

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/sourcegraph/conc/panics"

	"github.com/traigo/traigo"
)

// A request is one call of the handler. It is the inplace.Task that is made a task.
type request struct {
	server   *server
	w        http.ResponseWriter
	r        *http.Request // as package net/http has made it
	inner    http.Request  // what the handler gets: r with the context ctx; here to save an allocation
	isCalled bool
	panicked any // what ServeHTTP is to panic with
	ctx      requestContext

	name                        string // "": to be found by the http.ServeMux
	method, host, path, rawPath string // what it is found by; the handler may change r
}

func newRequest(h *server, w http.ResponseWriter, r *http.Request) *request {
	q := &request{server: h, w: w, r: r, method: r.Method, host: r.Host, path: r.URL.Path, rawPath: r.URL.RawPath}
	if mux, ok := h.routes.(*http.ServeMux); h.routes != nil && (!ok || mux == nil) {
		_, pattern := h.routes.Handler(r)
		q.name = q.named(pattern)
	}
	return q
}

// Name returns the name of the task. An http.ServeMux is asked for the route when the name is
// needed, since that takes as long as half of what a task costs.
func (q *request) Name() string {
	if q.name != "" {
		return q.name
	}
	pattern := ""
	if q.server.routes != nil {
		_, pattern = q.server.routes.Handler(&http.Request{Method: q.method, Host: q.host, URL: &url.URL{Path: q.path, RawPath: q.rawPath}})
	}
	return q.named(pattern)
}

// longestPart bounds the method, and the path, in a name: a client has sent them.
const longestPart = 100

func bounded(part string) string {
	if len(part) > longestPart {
		return part[:longestPart] + "…"
	}
	return part
}

func (q *request) named(pattern string) string {
	switch {
	case strings.ContainsAny(pattern, " \t"): // it begins with a method
		return pattern
	case pattern != "":
		return bounded(q.method) + " " + pattern
	}
	path := (&url.URL{Path: q.path, RawPath: q.rawPath}).EscapedPath()
	if path == "" {
		path = q.host // of CONNECT
	}
	return bounded(q.method) + " " + bounded(path)
}

// Values returns the context of package net/http.
func (q *request) Values() context.Context { return q.r.Context() }

// Run is the function of the task.
func (q *request) Run(ctx context.Context) (err error) {
	q.isCalled = true
	q.server.conns.handlerBegins(q.r)
	defer q.server.conns.handlerEnded(q.r)
	q.ctx.begin(ctx, q.r.Context())
	defer q.ctx.end()
	defer func() {
		if v := recover(); v != nil {
			q.panicked, err = afterPanic(ctx, v)
		}
	}()
	q.inner = *q.r.WithContext(&q.ctx)
	// Package net/http removes the files of a form when it knows of the form.
	defer func() { q.r.MultipartForm = q.inner.MultipartForm }()
	q.server.handler.ServeHTTP(q.w, &q.inner)
	return nil
}

// afterPanic returns what ServeHTTP is to panic with when the handler has panicked with v: a
// text that has the stack of the handler. It also returns the error of the task.
func afterPanic(ctx context.Context, v any) (again any, err error) {
	if v == http.ErrAbortHandler { //nolint:errorlint // package net/http compares as well
		return v, http.ErrAbortHandler
	}
	p, ok := v.(*traigo.PanicError) // of a scope below, with the stack of that task
	if !ok {
		recovered := panics.NewRecovered(1, v)
		p = &traigo.PanicError{Task: traigo.CurrentTask(ctx).Path(), Recovered: &recovered}
	}
	// Package net/http adds the stack of its own call of ServeHTTP.
	return fmt.Sprintf("%+v\n", p), p
}
