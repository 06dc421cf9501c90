package serve_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"os"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/serve"
)

// A router of the user's, with the method by which a request is named.
type userRouter struct{}

func (userRouter) Handler(r *http.Request) (h http.Handler, pattern string) {
	return http.HandlerFunc(tellName), "/user/" + r.Method
}

func (userRouter) ServeHTTP(w http.ResponseWriter, r *http.Request) { tellName(w, r) }

// A wrappedMux is middleware that has the method Handler of the mux that it embeds.
type wrappedMux struct{ *http.ServeMux }

func (m wrappedMux) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Name", traigo.CurrentTask(r.Context()).Name())
	m.ServeMux.ServeHTTP(w, r)
}

// tellName answers with the name of the request's task.
func tellName(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Name", traigo.CurrentTask(r.Context()).Name())
}

// named is middleware that answers so also where a mux calls no handler of the user's.
func named(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		tellName(w, r)
		h.ServeHTTP(w, r)
	})
}

func orders() *http.ServeMux {
	mux := http.NewServeMux()
	for _, pattern := range []string{
		"GET /orders/{id}", "POST /orders", "/files/", "admin.example/panel", "DELETE admin.example/panel/{$}", "/exact/{$}",
	} {
		mux.HandleFunc(pattern, tellName)
	}
	return mux
}

func TestRequestIsNamedAfterItsRoute(t *testing.T) {
	for _, row := range []struct {
		method, host, target string
		want                 string
	}{
		{"GET", "", "/orders/17", "GET /orders/{id}"},
		{"HEAD", "", "/orders/17", "GET /orders/{id}"},
		{"GET", "", "/orders/17?x=1", "GET /orders/{id}"},
		{"GET", "", "/orders/a%2Fb", "GET /orders/{id}"},
		{"POST", "", "/orders", "POST /orders"},
		{"PUT", "", "/files/a/b", "PUT /files/"},
		{"GET", "", "/files", "GET /files/"},
		{"GET", "", "/exact/", "GET /exact/{$}"},
		{"GET", "admin.example", "/panel", "GET admin.example/panel"},
		{"GET", "admin.example:8080", "/panel", "GET admin.example/panel"},
		{"DELETE", "admin.example", "/panel/", "DELETE admin.example/panel/{$}"},
		{"GET", "", "/panel", "GET /panel"},                      // 404
		{"GET", "", "/no/such%20path", "GET /no/such%20path"},    // 404
		{"DELETE", "", "/orders", "DELETE /orders"},              // 405
		{"GET", "", "//orders/../orders/17", "GET /orders/{id}"}, // redirected
		{"GET", "", "http://other.example/orders/17", "GET /orders/{id}"},
		{"GET", "", "/" + strings.Repeat("long/", 200), "GET /" + strings.Repeat("long/", 19) + "long…"},
		{strings.Repeat("M", 1000), "", "/none", strings.Repeat("M", 100) + "… /none"},
		{strings.Repeat("M", 1000), "", "/files/", strings.Repeat("M", 100) + "… /files/"},
	} {
		t.Run(row.method[:min(9, len(row.method))]+" "+row.host+row.target[:min(40, len(row.target))], func(t *testing.T) {
			seen := observing(traigo.TaskEnded)
			x := open(t, &http.Server{Handler: orders()}, []traigo.ScopeOption{traigo.Observe(seen)})
			host := row.host
			if host == "" {
				host = "site.example"
			}
			c := x.dial()
			c.say(row.method+" "+row.target+" HTTP/1.1", "Host: "+host, "Connection: close", "")
			c.closed()
			assert.Equal(t, row.want, seen.endOf(t).Task.Name())
		})
	}
}

func TestRequestIsNamedByWhatItsHandlerKnows(t *testing.T) {
	var none *http.ServeMux
	for name, row := range map[string]struct {
		handler http.Handler
		want    string
	}{
		"no mux":                  {http.HandlerFunc(tellName), "GET /orders/17"},
		"a mux behind middleware": {named(orders()), "GET /orders/17"},
		"middleware with Handler": {wrappedMux{orders()}, "GET /orders/{id}"},
		"a router of the user's":  {userRouter{}, "GET /user/GET"},
		"a mux":                   {orders(), "GET /orders/{id}"},
		"a nil mux":               {none, "GET /orders/17"},
	} {
		t.Run(name, func(t *testing.T) {
			seen := observing(traigo.TaskEnded)
			x := open(t, &http.Server{Handler: row.handler}, []traigo.ScopeOption{traigo.Observe(seen)})
			res, err := x.client.Get(x.url + "/orders/17")
			if name == "a nil mux" {
				require.Error(t, err, "package net/http panics for it as well")
				return
			}
			require.NoError(t, err)
			require.NoError(t, res.Body.Close())
			assert.Equal(t, row.want, res.Header.Get("Name"))
			assert.Equal(t, row.want, seen.endOf(t).Task.Name())
		})
	}
}

func TestRequestOfCONNECTIsNamedAfterItsHost(t *testing.T) {
	seen := observing(traigo.TaskEnded)
	x := open(t, &http.Server{Handler: http.HandlerFunc(hello)}, []traigo.ScopeOption{traigo.Observe(seen)})
	c := x.dial()
	c.say("CONNECT other.example:443 HTTP/1.1", "Host: other.example:443", "")
	status, _ := c.response()
	assert.Equal(t, http.StatusOK, status)
	assert.Equal(t, "CONNECT other.example:443", seen.endOf(t).Task.Name())
}

// http.StripPrefix makes a copy of the URL, others change it.
func TestHandlerMayChangeTheRequestWhileItIsNamed(t *testing.T) {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /orders/{id}", func(_ http.ResponseWriter, r *http.Request) {
		for i := range 2000 {
			r.URL.Path, r.URL.RawPath, r.Method, r.Host = fmt.Sprint("/other/", i), "", http.MethodPut, "elsewhere"
			*r.URL = *r.URL.JoinPath("more")
			r.URL.Path = "/"
		}
	})
	x := open(t, &http.Server{Handler: mux}, nil)
	waiting := x.send("/orders/17")
	for len(waiting) == 0 {
		for _, name := range x.names() {
			assert.Equal(t, "GET /orders/{id}", name)
		}
		_ = x.scope.Dump().String()
	}
	require.NoError(t, received(t, waiting, "the response").err)
}

func TestPanicOfAHandlerIsThatOfNetHTTP(t *testing.T) {
	seen := observing(traigo.TaskEnded)
	x := open(t, &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/panic" {
			handlerThatPanics(fmt.Errorf("no order: %w", errBoom))
		}
		hello(w, r)
	})}, []traigo.ScopeOption{traigo.Observe(seen)})
	c := x.dial()
	c.ask("GET", "/panic")
	assert.Empty(t, c.closed(), "the connection is closed, without a response")

	ended := seen.endOf(t)
	panicked, ok := errors.AsType[*traigo.PanicError](ended.Err)
	require.True(t, ok, ended.Err)
	assert.Same(t, panicked, ended.Task.Err())
	assert.True(t, ended.Task.Failed())
	assert.Equal(t, "site/requests/GET /panic", panicked.Task)
	require.ErrorIs(t, panicked, errBoom)

	until(t, "the log", func() bool { return x.errors.String() != "" })
	logged := x.errors.String()
	assert.Equal(t, 1, strings.Count(logged, "handlerThatPanics("), "the stack of the handler, once:\n%s", logged)
	assert.Equal(t, 1, strings.Count(logged, `http: panic serving 127.0.0.1:`), logged)
	assert.Contains(t, logged, `task "site/requests/GET /panic" panicked: no order: boom`)

	_, body := x.get("/")
	assert.Equal(t, "hello", body, "the server goes on")
	require.NoError(t, x.scope.Shutdown(t.Context()))
}

//go:noinline
func handlerThatPanics(value any) { panic(value) }

func TestPanicOfAScopeInAHandlerKeepsItsStack(t *testing.T) {
	seen := observing(traigo.TaskEnded)
	x := open(t, &http.Server{Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_ = traigo.Run(r.Context(), func(_ context.Context, s *traigo.Scope) error {
			s.Spawn(func(context.Context) error { handlerThatPanics(errBoom); return nil }, traigo.Name("part"))
			return nil
		}, traigo.Name("inner"))
	})}, []traigo.ScopeOption{traigo.Observe(seen), traigo.Logger(quiet())})
	c := x.dial()
	c.ask("GET", "/")
	assert.Empty(t, c.closed())
	until(t, "the log", func() bool { return x.errors.String() != "" })
	logged := x.errors.String()
	assert.Equal(t, 1, strings.Count(logged, "handlerThatPanics("), "the stack of the task, once, on lines of its own:\n%s", logged)
	assert.Contains(t, logged, `task "site/requests/inner/part" panicked: boom`)
	for _, e := range seen.ofRequests() {
		panicked, ok := errors.AsType[*traigo.PanicError](e.Err)
		require.True(t, ok)
		assert.Equal(t, "site/requests/inner/part", panicked.Task, "not wrapped again")
	}
	require.NoError(t, x.scope.Shutdown(t.Context()))
}

func TestAbortedHandlerIsNotLogged(t *testing.T) {
	seen := observing(traigo.TaskEnded)
	x := open(t, &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "half")
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	})}, []traigo.ScopeOption{traigo.Observe(seen)})
	c := x.dial()
	c.ask("GET", "/")
	assert.Contains(t, c.closed(), "half")
	assert.Equal(t, http.ErrAbortHandler, seen.endOf(t).Err)
	require.NoError(t, x.scope.Shutdown(t.Context()))
	assert.Empty(t, x.errors.String())
}

func TestGoexitOfAHandlerEndsItsConnection(t *testing.T) {
	seen := observing(traigo.TaskEnded)
	x := open(t, &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/exit" {
			runtime.Goexit()
		}
		hello(w, r)
	})}, []traigo.ScopeOption{traigo.Observe(seen)})
	c := x.dial()
	c.ask("GET", "/exit")
	assert.Empty(t, c.closed())
	assert.Equal(t, traigo.ErrGoexit, seen.endOf(t).Err)
	_, body := x.get("/")
	assert.Equal(t, "hello", body)
	until(t, "the end of the requests", x.isQuiet)
	require.NoError(t, x.scope.Shutdown(t.Context()))
}

// A Wrapper around a request sees what a task's function would return.
func TestWrapperIsCalledAroundARequest(t *testing.T) {
	type key struct{}
	errs := make(chan error, 1)
	wrapper := func(ctx context.Context, next func(context.Context) error) error {
		if task := traigo.CurrentTask(ctx); task == nil || task.Scope().Name() != "requests" {
			return next(ctx)
		}
		err := next(context.WithValue(ctx, key{}, "wrapped"))
		errs <- err
		return err
	}
	x := open(t, &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithCancel(r.Context())
		defer cancel()
		fmt.Fprint(w, ctx.Value(key{}))
		if r.URL.Path == "/panic" {
			panic(errBoom)
		}
		traigo.CurrentTask(ctx).Cancel(errOuter)
		<-ctx.Done()
		assert.ErrorIs(t, context.Cause(ctx), errOuter)
	})}, []traigo.ScopeOption{traigo.Wrap(wrapper)})
	_, body := x.get("/")
	assert.Equal(t, "wrapped", body)
	require.NoError(t, received(t, errs, "an error"))
	x.send("/panic")
	require.ErrorIs(t, received(t, errs, "an error"), errBoom)
	require.NoError(t, x.scope.Shutdown(t.Context()))
}

func TestWrapperThatDoesNotCallTheHandlerAnswersForIt(t *testing.T) {
	seen := observing(traigo.TaskEnded)
	x := open(t, &http.Server{Handler: http.HandlerFunc(hello)}, []traigo.ScopeOption{traigo.Observe(seen), traigo.Wrap(
		func(ctx context.Context, next func(context.Context) error) error {
			if task := traigo.CurrentTask(ctx); task != nil && task.Scope().Name() == "requests" {
				return errBoom
			}
			return next(ctx)
		})})
	status, _ := x.get("/")
	assert.Equal(t, http.StatusInternalServerError, status)
	require.ErrorIs(t, seen.endOf(t).Err, errBoom)
	require.NoError(t, x.scope.Shutdown(t.Context()))
}

// A Wrapper is part of the program, not of a request: its panic is that of any task.
func TestPanicOfAWrapperEndsTheServer(t *testing.T) {
	x := open(t, &http.Server{Handler: http.HandlerFunc(hello)}, []traigo.ScopeOption{traigo.Logger(quiet()), traigo.Wrap(
		func(ctx context.Context, next func(context.Context) error) error {
			if task := traigo.CurrentTask(ctx); task != nil && task.Scope().Name() == "requests" {
				panic(errBoom)
			}
			return next(ctx)
		})})
	a := received(t, x.send("/"), "the response")
	require.NoError(t, a.err)
	assert.Equal(t, http.StatusInternalServerError, a.status)
	panicked, ok := raised(func() { _ = x.scope.Wait() }).(*traigo.PanicError)
	require.True(t, ok)
	assert.Equal(t, "site/requests/GET /", panicked.Task)
	require.ErrorIs(t, panicked, errBoom)
}

func TestEventsOfARequest(t *testing.T) {
	seen := observing(traigo.TaskSpawned, traigo.TaskStarted, traigo.TaskEnded)
	x := open(t, &http.Server{Handler: orders()}, []traigo.ScopeOption{traigo.Observe(seen)})
	x.get("/orders/17")
	until(t, "the events", func() bool { return len(seen.ofRequests()) == 3 })
	var story []string
	for _, e := range seen.ofRequests() {
		story = append(story, fmt.Sprint(e.Kind, " ", e.Task.Name(), " ", e.Err))
	}
	assert.Equal(t, []string{
		"task spawned GET /orders/{id} <nil>", "task started GET /orders/{id} <nil>", "task ended GET /orders/{id} <nil>",
	}, story)
}

func TestDumpFindsTheStackOfARequest(t *testing.T) {
	release := make(chan struct{})
	x := serving(t, func(http.ResponseWriter, *http.Request) { deaf(release) })
	waiting := x.send("/")
	find := func() (found traigo.TaskSnapshot) {
		for _, shot := range x.scope.Dump().Scopes {
			for _, task := range shot.Tasks {
				found = task
			}
		}
		return found
	}
	until(t, "a request that waits", func() bool { return strings.Contains(find().Stack, "serve_test.deaf(") })
	shot := find()
	assert.Equal(t, "GET /", shot.Name)
	assert.Equal(t, traigo.Running.String(), fmt.Sprint(shot.State))
	close(release)
	require.NoError(t, received(t, waiting, "the response").err)
}

func TestBodyOfARequest(t *testing.T) {
	x := serving(t, func(w http.ResponseWriter, r *http.Request) {
		n, err := io.Copy(w, r.Body)
		assert.NoError(t, err)
		assert.EqualValues(t, 1<<20, n)
	})
	for range 3 { // on one connection
		status, body := x.do(http.MethodPost, "/", strings.NewReader(strings.Repeat("b", 1<<20)))
		assert.Equal(t, http.StatusOK, status)
		assert.Len(t, body, 1<<20)
	}
}

func TestClientMayWaitUntilItsBodyIsWanted(t *testing.T) {
	x := serving(t, func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		assert.NoError(t, err)
		_, _ = w.Write(body)
	})
	c := x.dial()
	c.say("POST / HTTP/1.1", "Host: a", "Content-Length: 4", "Expect: 100-continue", "")
	assert.Equal(t, "HTTP/1.1 100 Continue", c.line())
	assert.Empty(t, c.line())
	_, err := io.WriteString(c.conn, "body")
	require.NoError(t, err)
	status, body := c.response()
	assert.Equal(t, http.StatusOK, status)
	assert.Equal(t, "body", body)
}

func TestTrailersOfARequest(t *testing.T) {
	x := serving(t, func(w http.ResponseWriter, r *http.Request) {
		_, err := io.Copy(io.Discard, r.Body)
		assert.NoError(t, err)
		fmt.Fprint(w, r.Trailer.Get("Sum"))
	})
	c := x.dial()
	c.say("POST / HTTP/1.1", "Host: a", "Transfer-Encoding: chunked", "Trailer: Sum", "", "4", "body", "0", "Sum: 42", "")
	_, body := c.response()
	assert.Equal(t, "42", body)
}

// Package net/http removes the files of a form after the request.
func TestFilesOfAFormAreRemoved(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	var name atomic.Value
	x := serving(t, func(_ http.ResponseWriter, r *http.Request) {
		assert.NoError(t, r.ParseMultipartForm(1)) //nolint:gosec // the limit is what makes it a file
		f, err := r.MultipartForm.File["f"][0].Open()
		if assert.NoError(t, err) {
			defer f.Close()
			file, ok := f.(*os.File)
			assert.True(t, ok, "%T", f)
			name.Store(file.Name())
			assert.FileExists(t, file.Name())
		}
	})
	var form bytes.Buffer
	w := multipart.NewWriter(&form)
	part, err := w.CreateFormFile("f", "f.txt")
	require.NoError(t, err)
	_, err = io.WriteString(part, strings.Repeat("f", 11<<20))
	require.NoError(t, err)
	require.NoError(t, w.Close())
	res, err := x.client.Post(x.url, w.FormDataContentType(), &form)
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	require.Equal(t, http.StatusOK, res.StatusCode)
	until(t, "the end of the file", func() bool { _, err := os.Stat(name.Load().(string)); return os.IsNotExist(err) })
}

func TestHandlersOfNetHTTP(t *testing.T) {
	t.Run("TimeoutHandler", func(t *testing.T) {
		causes := make(chan error, 1)
		slow := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			assert.Equal(t, "requests", serve.RequestScope(r).Name())
			<-r.Context().Done()
			causes <- context.Cause(r.Context())
		})
		x := open(t, &http.Server{Handler: http.TimeoutHandler(slow, 20*time.Millisecond, "slow")}, nil)
		status, body := x.get("/")
		assert.Equal(t, http.StatusServiceUnavailable, status)
		assert.Equal(t, "slow", body)
		require.ErrorIs(t, received(t, causes, "the cause"), context.DeadlineExceeded)
	})
	t.Run("MaxBytesHandler", func(t *testing.T) {
		x := open(t, &http.Server{Handler: http.MaxBytesHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, err := io.ReadAll(r.Body)
			var tooLarge *http.MaxBytesError
			assert.ErrorAs(t, err, &tooLarge)
			http.Error(w, "too large", http.StatusRequestEntityTooLarge)
		}), 10)}, nil)
		c := x.dial()
		c.say("POST / HTTP/1.1", "Host: a", "Content-Length: 20", "", strings.Repeat("x", 18))
		res := c.closed()
		assert.Contains(t, res, "413 Request Entity Too Large")
		assert.Contains(t, res, "Connection: close", "package net/http is told that the body is too large")
	})
	t.Run("ResponseController", func(t *testing.T) {
		x := serving(t, func(w http.ResponseWriter, r *http.Request) {
			c := http.NewResponseController(w)
			assert.NoError(t, c.SetReadDeadline(time.Now().Add(patience)))
			assert.NoError(t, c.SetWriteDeadline(time.Now().Add(patience)))
			assert.NoError(t, c.EnableFullDuplex())
			_, err := io.ReadAll(r.Body)
			assert.NoError(t, err)
			hello(w, r)
			assert.NoError(t, c.Flush())
		})
		_, body := x.do(http.MethodPost, "/", strings.NewReader("ping"))
		assert.Equal(t, "hello", body)
	})
	t.Run("FileServer", func(t *testing.T) {
		x := open(t, &http.Server{Handler: http.FileServerFS(os.DirFS("."))}, nil)
		_, body := x.get("/doc.go")
		assert.Contains(t, body, "package serve")
	})
}

func TestRequestAfterTheEndIsRefused(t *testing.T) {
	release := make(chan struct{})
	x := serving(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/long" {
			<-release
		}
		hello(w, r)
	})
	first, second := x.dial(), x.dial()
	first.ask("GET", "/long")
	second.ask("GET", "/")
	status, _ := second.response()
	require.Equal(t, http.StatusOK, status)
	until(t, "a request", func() bool { return len(x.names()) == 1 })
	x.scope.Cancel(nil)
	// The server waits for the first request; the second connection is idle, and closed.
	assert.Empty(t, second.closed())
	close(release)
	status, body := first.response()
	assert.Equal(t, http.StatusOK, status)
	assert.Equal(t, "hello", body)
	received(t, x.scope.Done(), "the end of the scope")
}

// The request is half sent when the scope is canceled, and the rest comes while another
// request is still running.
func TestRequestThatComesLateIsAnswered503(t *testing.T) {
	release := make(chan struct{})
	x := serving(t, func(_ http.ResponseWriter, _ *http.Request) { <-release })
	long, late := x.dial(), x.dial()
	long.ask("GET", "/long")
	_, err := io.WriteString(late.conn, "GET /late HTTP/1.1\r\n")
	require.NoError(t, err)
	until(t, "a request", func() bool { return len(x.names()) == 1 })
	x.scope.Cancel(nil)
	until(t, "the end of the listener", func() bool { return refusesConnections(x.addr) })
	late.say("Host: a", "")
	got := late.closed()
	if got != "" { // empty: the connection was still new, and closed with the listener
		assert.Contains(t, got, "503 Service Unavailable")
		assert.Contains(t, got, "the server is stopping")
	}
	close(release)
	long.response()
}
