package serve_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/serve"
)

func TestRequestIsATaskBelowTheServer(t *testing.T) {
	var scope, task, path, byRequest string
	x := open(t, &http.Server{Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		s := traigo.Current(r.Context())
		scope, task = s.Path(), traigo.CurrentTask(r.Context()).Path()
		path, byRequest = s.Opener().Path(), serve.RequestScope(r).Path()
		assert.Equal(t, traigo.TaskFlags{Awaited: true}, traigo.CurrentTask(r.Context()).Flags())
	})}, nil)
	status, _ := x.get("/a")
	assert.Equal(t, http.StatusOK, status)
	assert.Equal(t, "site/requests", scope)
	assert.Equal(t, "site/requests", byRequest)
	assert.Equal(t, "site/requests/GET /a", task)
	assert.Equal(t, "site/http", path)
	assert.Equal(t, "http", x.task.Name())
}

func TestRequestScopeOfAnotherRequestIsNil(t *testing.T) {
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "/", http.NoBody)
	require.NoError(t, err)
	assert.Nil(t, serve.RequestScope(r))
}

func TestHandlerOpensAScopeOfItsOwn(t *testing.T) {
	x := serving(t, func(w http.ResponseWriter, r *http.Request) {
		sums, err := traigo.All(r.Context(),
			func(context.Context) (int, error) { return 20, nil },
			func(context.Context) (int, error) { return 22, nil })
		assert.NoError(t, err)

		fork := serve.RequestScope(r).Fork(traigo.Name("fork"))
		late := traigo.Async(fork, func(ctx context.Context) (string, error) { return traigo.CurrentTask(ctx).Path(), nil }, traigo.Name("late"))
		path, err := late.Await(r.Context())
		assert.NoError(t, err)
		assert.NoError(t, fork.Wait())

		err = traigo.Run(r.Context(), func(ctx context.Context, s *traigo.Scope) error {
			assert.Equal(t, "site/requests/inner", s.Path())
			assert.Equal(t, "GET /sum", s.Opener().Name())
			assert.Same(t, s, serve.RequestScope(r.WithContext(ctx)))
			s.Spawn(func(context.Context) error { return errBoom }, traigo.Name("part"))
			return nil
		}, traigo.Name("inner"))
		assert.ErrorIs(t, err, errBoom)
		fmt.Fprint(w, sums[0]+sums[1], " ", path)
	})
	status, body := x.get("/sum")
	assert.Equal(t, http.StatusOK, status)
	assert.Equal(t, "42 site/requests/fork/late", body)
}

func TestWhatAHandlerLeavesBehindOutlivesItsRequestAndNotTheServer(t *testing.T) {
	left, release := make(chan *traigo.Task, 1), make(chan struct{})
	x := serving(t, func(_ http.ResponseWriter, r *http.Request) {
		left <- serve.RequestScope(r).Spawn(func(ctx context.Context) error {
			<-release
			return ctx.Err()
		}, traigo.Name("mail"))
	})
	status, _ := x.get("/")
	assert.Equal(t, http.StatusOK, status)
	mail := received(t, left, "the task")
	until(t, "the end of the request", func() bool { return fmt.Sprint(x.names()) == "[mail]" })

	ended := make(chan error, 1)
	go func() { ended <- x.scope.Shutdown(context.Background()) }()
	until(t, "the end of the listener", func() bool { return refusesConnections(x.addr) })
	assert.Equal(t, traigo.Running, mail.State())
	assert.NoError(t, x.task.Err())
	assert.Equal(t, traigo.Running, x.task.State())
	close(release)
	require.NoError(t, received(t, ended, "the end of Shutdown"))
	assert.Equal(t, traigo.Ended, mail.State())
	assert.NoError(t, mail.Err())
}

func refusesConnections(addr string) bool {
	conn, err := net.DialTimeout("tcp", addr, time.Second)
	if err == nil {
		_ = conn.Close()
	}
	return err != nil
}

func TestFailureOfWhatAHandlerLeavesBehindEndsAll(t *testing.T) {
	other := make(chan error, 1)
	x := serving(t, func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/wait" {
			<-r.Context().Done()
			other <- context.Cause(r.Context())
			return
		}
		serve.RequestScope(r).Spawn(func(context.Context) error { return errBoom }, traigo.Name("mail"))
	})
	waiting := x.send("/wait")
	until(t, "a request", func() bool { return len(x.names()) == 1 })
	x.send("/fail")
	require.ErrorIs(t, received(t, other, "the end of the other request"), errBoom)
	received(t, x.scope.Done(), "the end of the scope")
	require.ErrorIs(t, x.scope.Err(), errBoom)
	assert.ErrorIs(t, x.task.Err(), errBoom)
	assert.Equal(t, `scope "site/requests": task "mail": boom`, x.scope.Err().Error())
	received(t, waiting, "the other response")
}

func TestShutdownLetsRequestsEndAndAcceptsNoOther(t *testing.T) {
	const body = 1 << 20
	release := make(chan struct{})
	x := serving(t, func(w http.ResponseWriter, r *http.Request) {
		assert.NoError(t, r.Context().Err())
		<-traigo.Stopping(r.Context())
		assert.NoError(t, r.Context().Err(), "only asked to stop")
		<-release
		_, _ = io.WriteString(w, strings.Repeat("x", body))
	})
	const n = 5
	var waiting []<-chan answer
	for range n {
		waiting = append(waiting, x.send("/"))
	}
	idle := x.dial() // a connection on which nothing is asked
	idle.ask("OPTIONS", "*")
	status, _ := idle.response()
	require.Equal(t, http.StatusOK, status)
	until(t, "all requests", func() bool { return len(x.names()) == n })

	ended := make(chan error, 1)
	go func() { ended <- x.scope.Shutdown(context.Background()) }()
	until(t, "the end of the listener", func() bool { return refusesConnections(x.addr) })
	assert.Empty(t, idle.closed())
	select {
	case err := <-ended:
		t.Fatal("ended before the requests:", err)
	default:
	}
	close(release)
	for _, w := range waiting {
		a := received(t, w, "a response")
		require.NoError(t, a.err)
		assert.Len(t, a.body, body)
	}
	require.NoError(t, received(t, ended, "the end of Shutdown"))
	assert.NoError(t, x.task.Err())
	assert.Empty(t, x.errors.String())
}

func TestStreamHearsStopping(t *testing.T) {
	x := serving(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		out := http.NewResponseController(w)
		_, _ = io.WriteString(w, "data: hello\n\n")
		assert.NoError(t, out.Flush())
		<-traigo.Stopping(r.Context())
		_, _ = io.WriteString(w, "data: goodbye\n\n")
	})
	res, err := x.client.Get(x.url)
	require.NoError(t, err)
	defer res.Body.Close()
	first := make([]byte, len("data: hello\n\n"))
	_, err = io.ReadFull(res.Body, first)
	require.NoError(t, err)
	ended := make(chan error, 1)
	go func() { ended <- x.scope.Shutdown(context.Background()) }()
	rest, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	assert.Equal(t, "data: goodbye\n\n", string(rest))
	require.NoError(t, received(t, ended, "the end of Shutdown"))
}

func TestCancellationReachesTheRequests(t *testing.T) {
	causes := make(chan error, 1)
	x := serving(t, func(w http.ResponseWriter, r *http.Request) {
		<-r.Context().Done()
		causes <- context.Cause(r.Context())
		http.Error(w, "going down", http.StatusServiceUnavailable)
	})
	waiting := x.send("/")
	until(t, "a request", func() bool { return len(x.names()) == 1 })
	x.scope.Cancel(errBoom)
	assert.ErrorIs(t, received(t, causes, "the cause"), errBoom)
	a := received(t, waiting, "the response")
	require.NoError(t, a.err)
	assert.Equal(t, http.StatusServiceUnavailable, a.status)
	assert.Equal(t, "going down\n", a.body)
	received(t, x.scope.Done(), "the end of the scope")
	require.ErrorIs(t, x.scope.Err(), errBoom)
	assert.Equal(t, `scope "site": boom`, x.scope.Err().Error())
	assert.True(t, refusesConnections(x.addr))
}

func TestTaskOfTheServerIsCanceledAlone(t *testing.T) {
	causes := make(chan error, 1)
	x := serving(t, func(_ http.ResponseWriter, r *http.Request) {
		<-r.Context().Done()
		causes <- context.Cause(r.Context())
	})
	waiting := x.send("/")
	until(t, "a request", func() bool { return len(x.names()) == 1 })
	x.task.Cancel(errBoom)
	assert.ErrorIs(t, received(t, causes, "the cause"), errBoom)
	received(t, x.task.Done(), "the end of the task")
	assert.False(t, x.task.Failed())
	assert.Equal(t, traigo.Open, x.scope.State())
	received(t, waiting, "the response")
}

func TestHandlerThatNeverListensIsGivenUp(t *testing.T) {
	for name, limit := range map[string]struct {
		scope []traigo.ScopeOption
		task  []traigo.TaskOption
	}{
		"CancelTimeout of the scope":  {scope: []traigo.ScopeOption{traigo.CancelTimeout(20 * time.Millisecond)}},
		"CancelTimeout of the server": {task: []traigo.TaskOption{traigo.CancelTimeout(20 * time.Millisecond)}},
	} {
		t.Run(name, func(t *testing.T) {
			noGoroutineIsLeft(t)
			release := make(chan struct{})
			x := open(t, &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				deaf(release)
				_, _ = io.WriteString(w, "too late")
			})}, limit.scope, limit.task...)
			t.Cleanup(func() { close(release) })
			c := x.dial()
			c.ask("GET", "/deaf")
			until(t, "a request", func() bool { return len(x.names()) == 1 })
			x.scope.Cancel(errBoom)
			received(t, x.scope.Done(), "the end of the scope")

			err := x.scope.Err()
			require.ErrorIs(t, err, errBoom)
			assert.Regexp(t, `^scope "site": boom; also: 1 task did not end after cancel: task "site/requests/GET /deaf", age \S+$`, err.Error())
			stuck, ok := errors.AsType[*traigo.StuckError](err)
			require.True(t, ok, err)
			require.Len(t, stuck.Tasks, 1)
			assert.Equal(t, "site/requests/GET /deaf", stuck.Tasks[0].Path)
			assert.Contains(t, stuck.Tasks[0].Stack, "serve_test.deaf(", "where it hangs")
			text := fmt.Sprintf("%+v", err)
			assert.Contains(t, text, "serve_test.deaf(")
			assert.NotContains(t, text, "/inplace.", "the frames of the library are folded")
			assert.NotContains(t, text, "/serve.(")
			assert.Empty(t, c.closed(), "the connection is closed, and there is no response")
		})
	}
}

//go:noinline
func deaf(release <-chan struct{}) { <-release }

// Package net/http would wait 5 s for it.
func TestShutdownDoesNotWaitForAConnectionWithoutARequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newPipes()
		s := traigo.New(t.Context(), traigo.Name("site"))
		serve.HTTP(s, &http.Server{Handler: http.HandlerFunc(hello)}, l)
		silent, half := l.dial(), l.dial()
		_, _ = io.WriteString(half, "GET / HTTP/1.1\r\nHo")
		synctest.Wait()
		begin := time.Now()
		require.NoError(t, s.Shutdown(context.Background()))
		assert.Zero(t, time.Since(begin))
		for _, c := range []net.Conn{silent, half} {
			_, err := c.Read(make([]byte, 1))
			assert.ErrorIs(t, err, io.EOF)
		}
	})
}

// The handlers have returned, but the clients have not read: what a pipe does not take is in
// buffers of package net/http.
func TestShutdownWaitsForResponsesThatAreBeingWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newPipes()
		s := traigo.New(t.Context(), traigo.Name("site"))
		const body = 3000
		serve.HTTP(s, &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, strings.Repeat("x", body))
		})}, l)
		var slow []net.Conn
		for range 3 {
			c := l.dial()
			_, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
			require.NoError(t, err)
			slow = append(slow, c)
		}
		silent := l.dial()
		synctest.Wait()
		ended := make(chan error, 1)
		go func() { ended <- s.Shutdown(context.Background()) }()
		time.Sleep(time.Minute)
		assert.Empty(t, ended)
		for _, c := range slow {
			res, err := http.ReadResponse(bufio.NewReader(c), nil)
			require.NoError(t, err)
			all, err := io.ReadAll(res.Body)
			require.NoError(t, err)
			assert.Len(t, all, body)
		}
		require.NoError(t, <-ended)
		_, err := silent.Read(make([]byte, 1))
		assert.ErrorIs(t, err, io.EOF)
	})
}

// pipes is a listener whose connections are pipes: what is written is taken when it is read.
type pipes struct {
	accepts chan net.Conn
	closed  chan struct{}
}

func newPipes() *pipes { return &pipes{make(chan net.Conn), make(chan struct{})} }

func (p *pipes) dial() net.Conn {
	client, server := net.Pipe()
	p.accepts <- server
	return client
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.accepts:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	close(p.closed)
	return nil
}

func (*pipes) Addr() net.Addr { return &net.TCPAddr{} }

func TestShutdownWhoseTimeIsOverCancels(t *testing.T) {
	causes := make(chan error, 1)
	x := serving(t, func(_ http.ResponseWriter, r *http.Request) {
		<-r.Context().Done()
		causes <- context.Cause(r.Context())
	})
	waiting := x.send("/")
	until(t, "a request", func() bool { return len(x.names()) == 1 })
	ctx, cancel := context.WithCancelCause(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- x.scope.Shutdown(ctx) }()
	until(t, "the end of the listener", func() bool { return refusesConnections(x.addr) })
	cancel(errBoom)
	require.ErrorIs(t, received(t, causes, "the cause"), errBoom)
	require.ErrorIs(t, received(t, ended, "the end of Shutdown"), errBoom)
	received(t, waiting, "the response")
}

// A brokenListener fails after some connections.
type brokenListener struct {
	net.Listener
	accepts atomic.Int32
	failAt  int32
	err     error
	closed  atomic.Int32
}

func (l *brokenListener) Accept() (net.Conn, error) {
	if l.accepts.Add(1) == l.failAt {
		return nil, l.err
	}
	return l.Listener.Accept()
}

func (l *brokenListener) Close() error {
	l.closed.Add(1)
	return l.Listener.Close()
}

func TestFailureOfTheListenerIsThatOfTheServer(t *testing.T) {
	noGoroutineIsLeft(t)
	causes := make(chan error, 1)
	l := &brokenListener{Listener: listen(t), failAt: 2, err: errBoom}
	s := traigo.New(t.Context(), traigo.Name("site"))
	task := serve.HTTP(s, &http.Server{Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		<-r.Context().Done()
		causes <- context.Cause(r.Context())
	})}, l)
	conn, err := net.Dial("tcp", l.Addr().String())
	require.NoError(t, err)
	defer conn.Close()
	// The second Accept fails at once, so this request may be too early or too late.
	_, _ = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	received(t, s.Done(), "the end of the scope")
	require.ErrorIs(t, s.Err(), errBoom)
	require.ErrorIs(t, task.Err(), errBoom)
	assert.True(t, task.Failed())
	assert.True(t, refusesConnections(l.Addr().String()))
	select {
	case cause := <-causes:
		assert.ErrorIs(t, cause, errBoom)
	default:
	}
}

// A busyError is a temporary one, as that of a process with too many open files.
type busyError struct{}

func (busyError) Error() string   { return "too many open files" }
func (busyError) Timeout() bool   { return false }
func (busyError) Temporary() bool { return true }

func TestTemporaryFailureOfTheListenerDoesNoHarm(t *testing.T) {
	noGoroutineIsLeft(t)
	l := &brokenListener{Listener: listen(t), failAt: 1, err: busyError{}}
	s := traigo.New(t.Context())
	logged := &lines{}
	serve.HTTP(s, &http.Server{Handler: http.HandlerFunc(hello), ErrorLog: logTo(logged)}, l)
	client := &http.Client{Transport: &http.Transport{}}
	res, err := client.Get("http://" + l.Addr().String())
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	assert.Contains(t, logged.String(), "too many open files")
	client.CloseIdleConnections()
	require.NoError(t, s.Shutdown(t.Context()))
}

// A strictListener panics if it is closed a second time, as one may that is made from a
// channel.
type strictListener struct {
	net.Listener
	t      *testing.T
	closed atomic.Int32
}

func (l *strictListener) Close() error {
	if l.closed.Add(1) > 1 {
		l.t.Error("closed twice")
	}
	return l.Listener.Close()
}

func TestListenerIsClosedOnce(t *testing.T) {
	for name, end := range map[string]func(t *testing.T, s *traigo.Scope, srv *http.Server){
		"Shutdown of the scope":  func(t *testing.T, s *traigo.Scope, _ *http.Server) { require.NoError(t, s.Shutdown(t.Context())) },
		"Close of the scope":     func(t *testing.T, s *traigo.Scope, _ *http.Server) { require.NoError(t, s.Close()) },
		"Shutdown of the server": func(t *testing.T, _ *traigo.Scope, srv *http.Server) { require.NoError(t, srv.Shutdown(t.Context())) },
		"Close of the server":    func(t *testing.T, _ *traigo.Scope, srv *http.Server) { require.NoError(t, srv.Close()) },
	} {
		t.Run(name, func(t *testing.T) {
			noGoroutineIsLeft(t)
			l := &strictListener{Listener: listen(t), t: t}
			s := traigo.New(t.Context())
			srv := &http.Server{Handler: http.HandlerFunc(hello)}
			task := serve.HTTP(s, srv, l)
			client := &http.Client{Transport: &http.Transport{}}
			res, err := client.Get("http://" + l.Addr().String())
			require.NoError(t, err)
			require.NoError(t, res.Body.Close())
			client.CloseIdleConnections()
			end(t, s, srv)
			received(t, task.Done(), "the end of the server")
			assert.False(t, task.Failed())
			require.NoError(t, s.Wait())
			assert.EqualValues(t, 1, l.closed.Load())
		})
	}
}

func hello(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") }

func TestRefusedServerClosesItsListener(t *testing.T) {
	noGoroutineIsLeft(t)
	s := traigo.New(t.Context())
	s.Cancel(nil)
	l := listen(t)
	task := serve.HTTP(s, &http.Server{}, l)
	require.ErrorIs(t, task.Err(), traigo.ErrRefused)
	assert.True(t, refusesConnections(l.Addr().String()))
	require.NoError(t, s.Wait())
}

func TestServerInACanceledContextClosesItsListener(t *testing.T) {
	noGoroutineIsLeft(t)
	for range 50 {
		ctx, cancel := context.WithCancel(t.Context())
		s := traigo.New(ctx)
		l := listen(t)
		task := serve.HTTP(s, &http.Server{}, l)
		cancel() // before the server has begun to serve, or after that
		_ = s.Wait()
		assert.True(t, refusesConnections(l.Addr().String()))
		assert.Equal(t, traigo.Ended, task.State())
	}
}

func TestServerWhoseTLSConfigIsWrongClosesItsListener(t *testing.T) {
	noGoroutineIsLeft(t)
	config, _ := certified(t)
	config.CipherSuites = []uint16{tls.TLS_RSA_WITH_AES_128_CBC_SHA} // HTTP/2 needs another
	s := traigo.New(t.Context())
	l := listen(t)
	task := serve.HTTP(s, &http.Server{TLSConfig: config}, l)
	received(t, task.Done(), "the end of the server")
	require.Error(t, task.Err())
	assert.Contains(t, task.Err().Error(), "CipherSuites")
	assert.True(t, refusesConnections(l.Addr().String()))
	require.Error(t, s.Wait())
}

func TestServerTakesTheOptionsOfATask(t *testing.T) {
	t.Run("Name", func(t *testing.T) {
		x := serving(t, hello, traigo.Name("api"))
		x.get("/")
		shot, ok := x.requests()
		require.True(t, ok, "the scope keeps its name")
		assert.Equal(t, "site/requests", shot.Path)
		assert.Equal(t, "api", x.task.Name())
	})
	t.Run("Master", func(t *testing.T) {
		x := serving(t, hello, traigo.Master(true))
		x.get("/")
		require.NoError(t, x.srv.Close())
		received(t, x.scope.Done(), "the end of the scope")
		require.NoError(t, x.scope.Err())
	})
	t.Run("Awaited", func(t *testing.T) {
		x := serving(t, hello, traigo.Awaited(false))
		x.get("/")
		require.NoError(t, x.scope.Wait(), "which does not wait for the server")
		assert.Equal(t, traigo.Ended, x.task.State())
	})
	t.Run("Timeout", func(t *testing.T) {
		causes := make(chan error, 1)
		x := serving(t, func(_ http.ResponseWriter, r *http.Request) {
			<-r.Context().Done()
			causes <- context.Cause(r.Context())
		}, traigo.Timeout(100*time.Millisecond))
		waiting := x.send("/")
		received(t, x.task.Done(), "the end of the server")
		timeout, ok := errors.AsType[*traigo.TimeoutError](x.task.Err())
		require.True(t, ok, x.task.Err())
		assert.Equal(t, "site/http", timeout.Scope)
		received(t, x.scope.Done(), "the end of the scope")
		select {
		case cause := <-causes:
			require.ErrorIs(t, cause, context.DeadlineExceeded)
		default: // the request was too late
		}
		received(t, waiting, "the response, or an error")
	})
	t.Run("Limit of the scope", func(t *testing.T) {
		release := make(chan struct{})
		x := open(t, &http.Server{Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release })},
			[]traigo.ScopeOption{traigo.Limit(1)})
		a, b := x.send("/a"), x.send("/b")
		until(t, "both requests, since the server alone takes a slot", func() bool { return len(x.names()) == 2 })
		_, ok := x.scope.TrySpawn(func(context.Context) error { return nil })
		assert.False(t, ok)
		close(release)
		require.NoError(t, received(t, a, "a response").err)
		require.NoError(t, received(t, b, "a response").err)
	})
}

func TestProgramEndsTheServerItself(t *testing.T) {
	t.Run("Shutdown", func(t *testing.T) {
		release := make(chan struct{})
		x := serving(t, func(w http.ResponseWriter, r *http.Request) {
			<-release
			assert.NoError(t, r.Context().Err())
			hello(w, r)
		})
		waiting := x.send("/")
		until(t, "a request", func() bool { return len(x.names()) == 1 })
		ended := make(chan error, 1)
		go func() { ended <- x.srv.Shutdown(context.Background()) }()
		until(t, "the end of the listener", func() bool { return refusesConnections(x.addr) })
		close(release)
		a := received(t, waiting, "the response")
		require.NoError(t, a.err)
		assert.Equal(t, "hello", a.body)
		require.NoError(t, received(t, ended, "the end of Shutdown"))
		received(t, x.task.Done(), "the end of the server")
		require.NoError(t, x.task.Err())
		assert.Equal(t, traigo.Open, x.scope.State())
	})
	t.Run("Close", func(t *testing.T) {
		causes := make(chan error, 1)
		x := serving(t, func(_ http.ResponseWriter, r *http.Request) {
			<-r.Context().Done()
			causes <- context.Cause(r.Context())
		})
		waiting := x.send("/")
		until(t, "a request", func() bool { return len(x.names()) == 1 })
		require.NoError(t, x.srv.Close())
		assert.ErrorContains(t, received(t, causes, "the cause"), "the client has gone")
		received(t, x.task.Done(), "the end of the server")
		require.NoError(t, x.task.Err())
		require.Error(t, received(t, waiting, "the response").err)
	})
}

// Code from before may close the listener itself. At a shutdown that is no failure of the server.
func TestProgramClosesTheListenerAtAShutdown(t *testing.T) {
	noGoroutineIsLeft(t)
	for range 50 {
		s, l := traigo.New(t.Context()), listen(t)
		serve.HTTP(s, &http.Server{Handler: http.HandlerFunc(hello)}, l)
		s.Spawn(func(ctx context.Context) error { <-traigo.Stopping(ctx); return l.Close() }, traigo.Bubble(false))
		require.NoError(t, s.Shutdown(t.Context()))
	}
}

// Shutdown of package net/http calls these functions each time.
func TestFunctionsOfRegisterOnShutdownAreCalledOnce(t *testing.T) {
	var calls atomic.Int32
	x := serving(t, hello)
	x.srv.RegisterOnShutdown(func() { calls.Add(1) })
	x.get("/")
	require.NoError(t, x.scope.Shutdown(t.Context()))
	until(t, "a call", func() bool { return calls.Load() > 0 })
	assert.EqualValues(t, 1, calls.Load())
}

func TestHooksOfTheServerAreCalled(t *testing.T) {
	type key string
	var mu sync.Mutex
	states := map[http.ConnState]int{}
	srv := &http.Server{
		ReadHeaderTimeout: patience,
		BaseContext: func(l net.Listener) context.Context {
			assert.IsType(t, (*net.TCPListener)(nil), l)
			return context.WithValue(t.Context(), key("base"), "b")
		},
		ConnContext: func(ctx context.Context, conn net.Conn) context.Context {
			assert.NotNil(t, conn.RemoteAddr())
			return context.WithValue(ctx, key("conn"), "c")
		},
		ConnState: func(_ net.Conn, state http.ConnState) {
			mu.Lock()
			defer mu.Unlock()
			states[state]++
		},
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			ctx := r.Context()
			assert.IsType(t, (*http.Server)(nil), ctx.Value(http.ServerContextKey))
			assert.IsType(t, (*net.TCPAddr)(nil), ctx.Value(http.LocalAddrContextKey))
			fmt.Fprint(w, ctx.Value(key("base")), ctx.Value(key("conn")), ctx.Value(key("none")))
		}),
	}
	x := open(t, srv, nil)
	for range 3 { // on one connection
		_, body := x.get("/")
		assert.Equal(t, "bc<nil>", body)
	}
	x.client.CloseIdleConnections()
	require.NoError(t, x.scope.Shutdown(t.Context()))
	closed := func() bool {
		mu.Lock()
		defer mu.Unlock()
		return states[http.StateClosed] > 0
	}
	until(t, "the end of the connection", closed)
	assert.Equal(t, map[http.ConnState]int{http.StateNew: 1, http.StateActive: 3, http.StateIdle: 3, http.StateClosed: 1}, states)
}

func TestReadHeaderTimeoutEndsASlowClient(t *testing.T) {
	x := open(t, &http.Server{Handler: http.HandlerFunc(hello), ReadHeaderTimeout: 20 * time.Millisecond}, nil)
	c := x.dial()
	c.say("GET / HTTP/1.1")
	c.closed()
}

var handleByDefault = sync.OnceFunc(func() { http.HandleFunc("GET /default/{test}", hello) })

func TestServerWithoutAHandlerServesTheDefaultOne(t *testing.T) {
	handleByDefault()
	x := open(t, &http.Server{}, nil)
	_, body := x.get("/default/serve")
	assert.Equal(t, "hello", body)
}

// secured starts a server with TLS. Its client speaks HTTP/2 if it may.
func secured(t *testing.T, handler http.Handler, byListener bool, protocol string) *site {
	t.Helper()
	noGoroutineIsLeft(t)
	serverConfig, clientConfig := certified(t)
	srv := &http.Server{Handler: handler}
	x := &site{t: t, srv: srv, errors: &lines{}}
	srv.ErrorLog = logTo(x.errors)
	l := listen(t)
	if byListener {
		serverConfig.NextProtos = []string{protocol}
		srv.TLSConfig = serverConfig.Clone()
		l = tls.NewListener(l, serverConfig)
	} else {
		srv.TLSConfig = serverConfig
	}
	x.addr = l.Addr().String()
	x.url = "https://" + x.addr
	var protocols http.Protocols
	protocols.SetHTTP1(protocol == "http/1.1")
	protocols.SetHTTP2(protocol == "h2")
	x.client = &http.Client{Transport: &http.Transport{TLSClientConfig: clientConfig, Protocols: &protocols}, Timeout: patience}
	x.start(l, nil, nil)
	return x
}

func TestTLS(t *testing.T) {
	for _, protocol := range []string{"http/1.1", "h2"} {
		for name, byListener := range map[string]bool{"srv.TLSConfig": false, "tls.NewListener": true} {
			t.Run(protocol+" by "+name, func(t *testing.T) {
				var protocols atomic.Value
				x := secured(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					protocols.Store(r.Proto)
					assert.NotNil(t, r.TLS)
					assert.Equal(t, "site/requests/GET /secret", traigo.CurrentTask(r.Context()).Path())
					hello(w, r)
				}), byListener, protocol)
				for range 3 {
					_, body := x.get("/secret")
					assert.Equal(t, "hello", body)
				}
				assert.Equal(t, map[string]string{"http/1.1": "HTTP/1.1", "h2": "HTTP/2.0"}[protocol], protocols.Load())
				require.NoError(t, x.scope.Shutdown(t.Context()))
				assert.Empty(t, x.errors.String())
			})
		}
	}
}

func TestTLSWithACertificateForEachClient(t *testing.T) {
	for name, change := range map[string]func(c *tls.Config){
		"GetCertificate": func(c *tls.Config) {
			certificate := c.Certificates[0]
			c.Certificates = nil
			c.GetCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return &certificate, nil }
		},
		"GetConfigForClient": func(c *tls.Config) {
			inner := c.Clone()
			c.Certificates = nil
			c.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) { return inner, nil }
		},
	} {
		t.Run(name, func(t *testing.T) {
			serverConfig, clientConfig := certified(t)
			change(serverConfig)
			x := open(t, &http.Server{Handler: http.HandlerFunc(hello), TLSConfig: serverConfig}, nil)
			x.url = "https://" + x.addr
			x.client.Transport = &http.Transport{TLSClientConfig: clientConfig}
			_, body := x.get("/")
			assert.Equal(t, "hello", body)
		})
	}
}

// A TLSConfig without a certificate may be there for other reasons.
func TestServerWithoutACertificateServesPlainly(t *testing.T) {
	x := open(t, &http.Server{Handler: http.HandlerFunc(hello), TLSConfig: &tls.Config{MinVersion: tls.VersionTLS13}}, nil)
	_, body := x.get("/")
	assert.Equal(t, "hello", body)
}

// plain2 starts a server of HTTP/2 without TLS, and a client of it.
func plain2(t *testing.T, handler http.HandlerFunc, opts ...traigo.TaskOption) *site {
	t.Helper()
	var protocols http.Protocols
	protocols.SetUnencryptedHTTP2(true)
	x := open(t, &http.Server{Handler: handler, Protocols: &protocols}, nil, opts...)
	x.client.Transport = &http.Transport{Protocols: &protocols}
	return x
}

func onHTTP2(t *testing.T, test func(t *testing.T, start func(http.HandlerFunc) *site)) {
	t.Helper()
	t.Run("with TLS", func(t *testing.T) {
		test(t, func(h http.HandlerFunc) *site { return secured(t, h, false, "h2") })
	})
	t.Run("without TLS", func(t *testing.T) {
		test(t, func(h http.HandlerFunc) *site { return plain2(t, h) })
	})
}

func TestStreamsOfHTTP2AreTasks(t *testing.T) {
	onHTTP2(t, func(t *testing.T, start func(http.HandlerFunc) *site) {
		const n = 20
		release := make(chan struct{})
		var addrs sync.Map
		x := start(func(w http.ResponseWriter, r *http.Request) {
			assert.Equal(t, 2, r.ProtoMajor)
			addrs.Store(r.RemoteAddr, true)
			if r.URL.Path != "/first" {
				<-release
			}
			_, _ = io.WriteString(w, strings.Repeat("x", 100_000))
		})
		x.get("/first") // so that the client has a connection, and opens no other
		var waiting []<-chan answer
		for range n {
			waiting = append(waiting, x.send("/stream"))
		}
		until(t, "all requests", func() bool { return len(x.names()) == n })
		ended := make(chan error, 1)
		go func() { ended <- x.scope.Shutdown(context.Background()) }()
		until(t, "the end of the listener", func() bool { return refusesConnections(x.addr) })
		close(release)
		for _, w := range waiting {
			a := received(t, w, "a response")
			require.NoError(t, a.err)
			assert.Len(t, a.body, 100_000)
		}
		require.NoError(t, received(t, ended, "the end of Shutdown"))
		connections := 0
		addrs.Range(func(any, any) bool { connections++; return true })
		assert.Equal(t, 1, connections)
	})
}

func TestPanicOfAStreamEndsNoOther(t *testing.T) {
	onHTTP2(t, func(t *testing.T, start func(http.HandlerFunc) *site) {
		release := make(chan struct{})
		x := start(func(w http.ResponseWriter, r *http.Request) {
			switch r.URL.Path {
			case "/panic":
				handlerThatPanics(errBoom)
			case "/abort":
				panic(http.ErrAbortHandler)
			case "/exit":
				runtime.Goexit()
			case "/wait":
				<-release
			}
			assert.NoError(t, r.Context().Err())
			hello(w, r)
		})
		x.get("/first")
		waiting := x.send("/wait")
		until(t, "a request", func() bool { return len(x.names()) == 1 })
		for _, path := range []string{"/panic", "/abort", "/exit"} {
			require.ErrorContains(t, received(t, x.send(path), "the response").err, "stream error", path)
		}
		close(release)
		a := received(t, waiting, "the other response")
		require.NoError(t, a.err)
		assert.Equal(t, "hello", a.body)
		until(t, "the log", func() bool { return x.errors.String() != "" })
		logged := x.errors.String()
		assert.Equal(t, 1, strings.Count(logged, "handlerThatPanics("), logged)
		assert.Equal(t, 1, strings.Count(logged, "panic serving"), logged)
		require.NoError(t, x.scope.Shutdown(t.Context()))
	})
}

func TestStreamThatIsResetEndsItsContext(t *testing.T) {
	onHTTP2(t, func(t *testing.T, start func(http.HandlerFunc) *site) {
		causes := make(chan error, 1)
		x := start(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/reset" {
				<-r.Context().Done()
				causes <- context.Cause(r.Context())
				return
			}
			hello(w, r)
		})
		x.get("/first")
		ctx, cancel := context.WithCancel(t.Context())
		waiting := x.sendWith(ctx, "/reset")
		until(t, "a request", func() bool { return len(x.names()) == 1 })
		cancel()
		cause := received(t, causes, "the cause")
		require.ErrorContains(t, cause, "the client has gone")
		require.ErrorIs(t, cause, context.Canceled)
		require.Error(t, received(t, waiting, "the response").err)
		_, body := x.get("/other")
		assert.Equal(t, "hello", body)
	})
}

func TestCancellationReachesStreams(t *testing.T) {
	onHTTP2(t, func(t *testing.T, start func(http.HandlerFunc) *site) {
		const n = 10
		x := start(func(w http.ResponseWriter, r *http.Request) {
			<-r.Context().Done()
			assert.ErrorIs(t, context.Cause(r.Context()), errBoom)
			http.Error(w, "going down", http.StatusServiceUnavailable)
		})
		var waiting []<-chan answer
		for range n {
			waiting = append(waiting, x.send("/"))
		}
		until(t, "all requests", func() bool { return len(x.names()) == n })
		x.scope.Cancel(errBoom)
		for _, w := range waiting {
			a := received(t, w, "a response")
			require.NoError(t, a.err)
			assert.Equal(t, http.StatusServiceUnavailable, a.status)
			assert.Equal(t, "going down\n", a.body)
		}
		received(t, x.scope.Done(), "the end of the scope")
	})
}

func TestStreamThatIsGivenUpEndsWithItsConnection(t *testing.T) {
	noGoroutineIsLeft(t)
	release := make(chan struct{})
	x := plain2(t, func(http.ResponseWriter, *http.Request) { deaf(release) }, traigo.CancelTimeout(20*time.Millisecond))
	t.Cleanup(func() { close(release) })
	waiting := x.send("/")
	until(t, "a request", func() bool { return len(x.names()) == 1 })
	x.scope.Cancel(nil)
	require.Error(t, received(t, waiting, "the response").err)
	received(t, x.scope.Done(), "the end of the scope")
	var stuck *traigo.StuckError
	require.ErrorAs(t, x.scope.Err(), &stuck)
}

func TestTwoServersInOneScope(t *testing.T) {
	noGoroutineIsLeft(t)
	s := traigo.New(t.Context(), traigo.Name("both"))
	client := &http.Client{Transport: &http.Transport{}}
	for _, name := range []string{"public", "admin"} {
		l := listen(t)
		serve.HTTP(s, &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprint(w, serve.RequestScope(r).Opener().Name())
		})}, l, traigo.Name(name))
		res, err := client.Get("http://" + l.Addr().String())
		require.NoError(t, err)
		body, err := io.ReadAll(res.Body)
		require.NoError(t, err)
		require.NoError(t, res.Body.Close())
		assert.Equal(t, name, string(body))
	}
	client.CloseIdleConnections()
	require.NoError(t, s.Shutdown(t.Context()))
}

func TestHTTPRefusesWrongArguments(t *testing.T) {
	s := traigo.New(t.Context())
	defer s.Close()
	l := listen(t)
	defer l.Close()
	requireMisuse(t, func() { serve.HTTP(nil, &http.Server{}, l) }, "serve.HTTP", "nil *Scope", "Run or New")
	requireMisuse(t, func() { serve.HTTP(s, nil, l) }, "serve.HTTP", "nil *http.Server")
	requireMisuse(t, func() { serve.HTTP(s, &http.Server{}, nil) }, "serve.HTTP", "nil net.Listener", "net.Listen")
	requireMisuse(t, func() { serve.HTTP(s, &http.Server{}, l, nil) }, "option")

	srv := &http.Server{}
	serve.HTTP(s, srv, listen(t))
	requireMisuse(t, func() { serve.HTTP(s, srv, l) }, "serve.HTTP", "before", "one for each listener")
}

func TestRequestsLeaveNothingBehind(t *testing.T) {
	requests := 100_000
	if raceEnabled || testing.Short() {
		requests = 10_000
	}
	x := serving(t, hello)
	c := x.dial()
	ask := func(n int) {
		for range n {
			c.ask("GET", "/")
			status, _ := c.response()
			if status != http.StatusOK {
				t.Fatal(status)
			}
			if n%5000 == 0 {
				require.NoError(t, c.conn.SetDeadline(time.Now().Add(patience)))
			}
		}
	}
	ask(1000)
	until(t, "the end of the requests", x.isQuiet)
	before, goroutines := heap(), runtime.NumGoroutine()
	ask(requests)
	until(t, "the end of the requests", x.isQuiet)
	assert.Less(t, heap()-before, int64(256<<10), "bytes in use, more than before %d requests", requests)
	assert.LessOrEqual(t, runtime.NumGoroutine(), goroutines)
	shot, _ := x.requests()
	assert.Empty(t, shot.Tasks)
	assert.Empty(t, shot.Scopes)
}

// heap returns the bytes in use after a garbage collection.
func heap() int64 {
	runtime.GC()
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return int64(stats.HeapAlloc)
}

// Requests, shutdowns and cancellations in all orders: what is answered is whole, and nothing
// is left.
func TestStressServerEndsAtAnyMoment(t *testing.T) {
	for i := range 60 {
		t.Run("", func(t *testing.T) {
			x := serving(t, func(w http.ResponseWriter, r *http.Request) {
				serve.RequestScope(r).TrySpawn(func(ctx context.Context) error { return traigo.Sleep(ctx, time.Millisecond) })
				hello(w, r)
			})
			var asking sync.WaitGroup
			for range 4 {
				asking.Go(func() {
					for {
						res, err := x.client.Get(x.url)
						if err != nil {
							return // the end of the server
						}
						body, err := io.ReadAll(res.Body)
						_ = res.Body.Close()
						switch {
						case err != nil:
							t.Error("half a response:", err)
							return
						case res.StatusCode == http.StatusServiceUnavailable:
							return
						default:
							assert.Equal(t, "hello", string(body))
						}
					}
				})
			}
			until(t, "requests", func() bool {
				shot, ok := x.requests()
				return ok && shot.Opened.Before(time.Now().Add(-time.Duration(i/3)*time.Millisecond))
			})
			switch i % 3 {
			case 0:
				assert.NoError(t, x.scope.Shutdown(context.Background()))
			case 1:
				assert.NoError(t, x.scope.Close())
			case 2:
				assert.NoError(t, x.srv.Shutdown(context.Background()))
				assert.NoError(t, x.scope.Wait())
			}
			asking.Wait()
		})
	}
}
