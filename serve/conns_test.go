package serve_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/serve"
)

// hijack takes the connection over, as a server of websockets does.
func hijack(t *testing.T, w http.ResponseWriter) (net.Conn, *bufio.ReadWriter) {
	conn, buf, err := http.NewResponseController(w).Hijack()
	if !assert.NoError(t, err) {
		panic(http.ErrAbortHandler)
	}
	_, err = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
	assert.NoError(t, err)
	return conn, buf
}

// upgraded sends a request for an upgrade and reads the response.
func (x *site) upgraded() *talk {
	x.t.Helper()
	c := x.dial()
	c.say("GET /echo HTTP/1.1", "Host: a", "Connection: Upgrade", "Upgrade: echo", "")
	require.Equal(x.t, "HTTP/1.1 101 Switching Protocols", c.line())
	for c.line() != "" {
	}
	return c
}

// echo answers each line until the connection ends.
func echo(conn net.Conn, in *bufio.Reader) error {
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return err
		}
		if _, err := io.WriteString(conn, line); err != nil {
			return err
		}
	}
}

func TestHijackedConnectionIsTheHandlers(t *testing.T) {
	x := serving(t, func(w http.ResponseWriter, r *http.Request) {
		conn, buf := hijack(t, w)
		defer conn.Close()
		stop := context.AfterFunc(r.Context(), func() { _ = conn.Close() })
		defer stop()
		assert.Error(t, echo(conn, buf.Reader))
		assert.ErrorIs(t, context.Cause(r.Context()), errBoom)
	})
	c := x.upgraded()
	c.say("ping")
	assert.Equal(t, "ping", c.line())
	assert.Equal(t, []string{"GET /echo"}, x.names())
	x.scope.Cancel(errBoom)
	assert.Empty(t, c.closed())
	received(t, x.scope.Done(), "the end of the scope")
	require.ErrorIs(t, x.scope.Err(), errBoom)
}

func TestHijackedConnectionIsWaitedForByShutdown(t *testing.T) {
	x := serving(t, func(w http.ResponseWriter, r *http.Request) {
		conn, buf := hijack(t, w)
		defer conn.Close()
		<-traigo.Stopping(r.Context())
		line, err := buf.ReadString('\n')
		assert.NoError(t, err)
		_, err = io.WriteString(conn, line)
		assert.NoError(t, err)
	})
	c := x.upgraded()
	ended := make(chan error, 1)
	go func() { ended <- x.scope.Shutdown(context.Background()) }()
	until(t, "the end of the listener", func() bool { return refusesConnections(x.addr) })
	c.say("bye")
	assert.Equal(t, "bye", c.line())
	assert.Empty(t, c.closed())
	require.NoError(t, received(t, ended, "the end of Shutdown"))
}

func TestHijackedConnectionMayOutliveItsHandler(t *testing.T) {
	for name, end := range map[string]func(t *testing.T, x *site){
		"Shutdown": func(t *testing.T, x *site) { require.NoError(t, x.scope.Shutdown(t.Context())) },
		"Cancel":   func(t *testing.T, x *site) { x.scope.Cancel(nil); require.NoError(t, x.scope.Wait()) },
	} {
		t.Run(name, func(t *testing.T) {
			x := serving(t, func(w http.ResponseWriter, r *http.Request) {
				conn, buf := hijack(t, w)
				serve.RequestScope(r).Spawn(func(ctx context.Context) error {
					defer conn.Close()
					go func() { _ = echo(conn, buf.Reader) }() // until the connection is closed
					select {
					case <-traigo.Stopping(ctx):
						_, err := io.WriteString(conn, "bye\n")
						assert.NoError(t, err, "the server has not closed the connection")
						return err
					case <-ctx.Done():
						return ctx.Err()
					}
				}, traigo.Name("echo"))
			})
			c := x.upgraded()
			until(t, "the end of the handler", func() bool { return fmt.Sprint(x.names()) == "[echo]" })
			c.say("ping")
			assert.Equal(t, "ping", c.line())
			end(t, x)
			assert.Contains(t, []string{"bye\n", ""}, c.closed())
		})
	}
}

// Package net/http has nothing to do with a hijacked connection any more; a handler that reads
// from it ends when it is closed.
func TestHijackedConnectionIsClosedWhenItsHandlerIsGivenUp(t *testing.T) {
	noGoroutineIsLeft(t)
	returned := make(chan error, 1)
	x := serving(t, func(w http.ResponseWriter, _ *http.Request) {
		conn, buf := hijack(t, w)
		returned <- echo(conn, buf.Reader)
	}, traigo.CancelTimeout(20*time.Millisecond))
	c := x.upgraded()
	x.scope.Cancel(nil)
	require.ErrorIs(t, received(t, returned, "the end of the handler"), net.ErrClosed)
	assert.Empty(t, c.closed())
	received(t, x.scope.Done(), "the end of the scope")
	var stuck *traigo.StuckError
	require.ErrorAs(t, x.scope.Err(), &stuck)
	assert.Equal(t, "site/requests/GET /echo", stuck.Tasks[0].Path)
}

// A slowConn takes long to write what a handler has left to be written.
type slowConn struct {
	net.Conn
	slow *atomic.Bool
	wait time.Duration
}

func (c slowConn) Write(p []byte) (int, error) {
	if c.slow.Load() {
		time.Sleep(c.wait)
	}
	return c.Conn.Write(p)
}

type slowListener struct {
	net.Listener
	slow *atomic.Bool
	wait time.Duration
}

func (l slowListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	return slowConn{conn, l.slow, l.wait}, err
}

// The response is in a buffer of package net/http when its handler returns, and takes longer to
// be written than the other handler has time to end. That handler, which has hijacked its
// connection, is not taken for the one of the response.
func TestResponseIsWrittenAtACancellation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var slow atomic.Bool
		release := make(chan struct{})
		s := traigo.New(t.Context(), traigo.Name("site"), traigo.CancelTimeout(150*time.Millisecond), traigo.Logger(quiet()))
		l := newPipes()
		serve.HTTP(s, &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/echo" {
				hijack(t, w)
				deaf(release)
				return
			}
			<-r.Context().Done()
			slow.Store(true)
			http.Error(w, "going down", http.StatusServiceUnavailable)
		})}, slowListener{l, &slow, 250 * time.Millisecond})
		dial := func() *talk {
			conn := l.dial()
			return &talk{t, conn, bufio.NewReader(conn)}
		}
		hijacked, answered := dial(), dial()
		hijacked.ask("GET", "/echo")
		for hijacked.line() != "" { // its response
		}
		answered.ask("GET", "/")
		synctest.Wait()
		s.Cancel(nil)
		status, body := answered.response()
		assert.Equal(t, http.StatusServiceUnavailable, status)
		assert.Equal(t, "going down\n", body)
		assert.Empty(t, hijacked.closed())
		<-s.Done()
		require.Error(t, s.Err())
		close(release)
	})
}

// A client that sends half a request, or does not read its response, holds up the end for
// a moment only.
func TestEndDoesNotWaitForAClientThatIsSlow(t *testing.T) {
	x := serving(t, hello)
	half := x.dial()
	_, err := io.WriteString(half.conn, "POST / HTTP/1.1\r\nHost: a\r\nContent-Le")
	require.NoError(t, err)
	x.get("/") // so that the other connection has been accepted
	x.scope.Cancel(nil)
	received(t, x.scope.Done(), "the end of the scope")
	assert.Empty(t, half.closed())
}

func TestConnContextMustNotReturnNil(t *testing.T) {
	noGoroutineIsLeft(t)
	s := traigo.New(t.Context(), traigo.PanicAsError())
	l := listen(t)
	serve.HTTP(s, &http.Server{ConnContext: func(context.Context, net.Conn) context.Context { return nil }}, l)
	conn, err := net.Dial("tcp", l.Addr().String())
	require.NoError(t, err)
	defer conn.Close()
	received(t, s.Done(), "the end of the scope")
	require.ErrorContains(t, s.Err(), "ConnContext returned nil", "as package net/http says")
	assert.True(t, refusesConnections(l.Addr().String()))
}
