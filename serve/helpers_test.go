package serve_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"runtime/pprof"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/serve"
)

// What the tests share.
//
//	errBoom        an error of a failure
//	errOuter       an error of something outside the server
//	site, serving  a server on the loopback interface, with a client; the test fails if it leaks goroutines
//	talk           a connection to a site, for a client that does what no http.Client does
//	until          waits for a condition, on the goroutine of the test
//	received       receives from a channel, or fails the test
//	raised         the value that a function panics with
//	certified      a certificate for the loopback interface, and a client's configuration that trusts it

var (
	errBoom  = errors.New("boom")
	errOuter = errors.New("outer")
)

// patience is how long a test waits for what must happen. It never waits that long for
// what must not.
const patience = 60 * time.Second

// A site is a server on the loopback interface with a client of its own.
type site struct {
	t      *testing.T
	scope  *traigo.Scope
	task   *traigo.Task
	srv    *http.Server
	addr   string
	url    string
	client *http.Client
	errors *lines // what package net/http has logged
}

// serving starts a server with this handler in a scope of its own.
func serving(t *testing.T, handler http.HandlerFunc, opts ...traigo.TaskOption) *site {
	t.Helper()
	return open(t, &http.Server{Handler: handler}, nil, opts...)
}

// open starts srv in a scope with scopeOpts. When the test ends, the scope is canceled, and has
// to leave no goroutine behind.
func open(t *testing.T, srv *http.Server, scopeOpts []traigo.ScopeOption, opts ...traigo.TaskOption) *site {
	t.Helper()
	noGoroutineIsLeft(t)
	l := listen(t)
	x := &site{t: t, srv: srv, addr: l.Addr().String(), errors: &lines{}}
	x.url = "http://" + x.addr
	srv.ErrorLog = logTo(x.errors)
	x.client = &http.Client{Transport: &http.Transport{}, Timeout: patience}
	x.start(l, scopeOpts, opts)
	return x
}

// start opens the scope, and the server in it.
func (x *site) start(l net.Listener, scopeOpts []traigo.ScopeOption, opts []traigo.TaskOption) {
	x.scope = traigo.New(x.t.Context(), append([]traigo.ScopeOption{traigo.Name("site")}, scopeOpts...)...)
	x.task = serve.HTTP(x.scope, x.srv, l, opts...)
	x.t.Cleanup(func() {
		x.scope.Cancel(nil)
		x.client.CloseIdleConnections()
		received(x.t, x.scope.Done(), "the end of the scope")
		_ = x.scope.Err() // which the tests that look at it have done before
	})
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	return l
}

// noGoroutineIsLeft fails the test if more goroutines run after its other cleanups than at
// this call.
func noGoroutineIsLeft(t *testing.T) {
	t.Helper()
	before := runtime.NumGoroutine()
	t.Cleanup(func() {
		if t.Failed() {
			return
		}
		for deadline := time.Now().Add(patience); runtime.NumGoroutine() > before; time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				var all strings.Builder
				_ = pprof.Lookup("goroutine").WriteTo(&all, 1)
				t.Errorf("%d goroutines before, %d after:\n%s", before, runtime.NumGoroutine(), all.String())
				return
			}
		}
	})
}

// get returns the status and the body of a response.
func (x *site) get(path string) (status int, body string) {
	x.t.Helper()
	return x.do(http.MethodGet, path, nil)
}

func (x *site) do(method, path string, body io.Reader) (status int, text string) {
	x.t.Helper()
	req, err := http.NewRequestWithContext(x.t.Context(), method, x.url+path, body)
	require.NoError(x.t, err)
	res, err := x.client.Do(req)
	require.NoError(x.t, err)
	defer res.Body.Close()
	all, err := io.ReadAll(res.Body)
	require.NoError(x.t, err)
	return res.StatusCode, string(all)
}

// An answer is what came of a request that was sent on another goroutine.
type answer struct {
	status int
	body   string
	err    error
}

// send sends a request for path on another goroutine.
func (x *site) send(path string) <-chan answer {
	return x.sendWith(x.t.Context(), path)
}

func (x *site) sendWith(ctx context.Context, path string) <-chan answer {
	answers := make(chan answer, 1)
	go func() {
		var a answer
		defer func() { answers <- a }()
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, x.url+path, http.NoBody)
		if err != nil {
			a.err = err
			return
		}
		res, err := x.client.Do(req)
		if err != nil {
			a.err = err
			return
		}
		defer res.Body.Close()
		all, err := io.ReadAll(res.Body)
		a = answer{res.StatusCode, string(all), err}
	}()
	return answers
}

// requests returns the scope of the requests as a snapshot, and false if there is none.
func (x *site) requests() (traigo.Snapshot, bool) {
	for _, shot := range x.scope.Snapshot().Scopes {
		if shot.Name == "requests" {
			return shot, true
		}
	}
	return traigo.Snapshot{}, false
}

// names returns the names of the requests that run.
func (x *site) names() (names []string) {
	shot, _ := x.requests()
	for _, task := range shot.Tasks {
		names = append(names, task.Name)
	}
	return names
}

// isQuiet reports whether no request runs.
func (x *site) isQuiet() bool { return len(x.names()) == 0 }

// A talk is a connection to a server.
type talk struct {
	t    *testing.T
	conn net.Conn
	in   *bufio.Reader
}

func (x *site) dial() *talk {
	x.t.Helper()
	var d net.Dialer
	conn, err := d.DialContext(x.t.Context(), "tcp", x.addr)
	require.NoError(x.t, err)
	x.t.Cleanup(func() { _ = conn.Close() })
	require.NoError(x.t, conn.SetDeadline(time.Now().Add(patience)))
	return &talk{x.t, conn, bufio.NewReader(conn)}
}

// say sends lines, each with the end of a line in HTTP.
func (c *talk) say(lines ...string) {
	c.t.Helper()
	_, err := io.WriteString(c.conn, strings.Join(lines, "\r\n")+"\r\n")
	require.NoError(c.t, err)
}

// ask sends a request without a body.
func (c *talk) ask(method, target string) {
	c.t.Helper()
	c.say(method+" "+target+" HTTP/1.1", "Host: site.example", "")
}

// response reads a response and its body.
func (c *talk) response() (status int, body string) {
	c.t.Helper()
	res, err := http.ReadResponse(c.in, nil)
	require.NoError(c.t, err)
	defer res.Body.Close()
	all, err := io.ReadAll(res.Body)
	require.NoError(c.t, err)
	return res.StatusCode, string(all)
}

// line reads one line.
func (c *talk) line() string {
	c.t.Helper()
	line, err := c.in.ReadString('\n')
	require.NoError(c.t, err)
	return strings.TrimRight(line, "\r\n")
}

// closed waits until the server has closed the connection, and returns what it had sent
// before that.
func (c *talk) closed() string {
	c.t.Helper()
	rest, err := io.ReadAll(c.in)
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		require.NoError(c.t, err, "the connection is still open")
	}
	return string(rest)
}

// until waits until is returns true. It looks again and again, on the goroutine of the test.
func until(t *testing.T, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !is(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("has not happened within %v: %s", patience, what)
		}
	}
}

// received receives from a channel.
func received[T any](t *testing.T, ch <-chan T, what string) (value T) {
	t.Helper()
	select {
	case value = <-ch:
	case <-time.After(patience):
		var all strings.Builder
		_ = pprof.Lookup("goroutine").WriteTo(&all, 1)
		t.Fatalf("has not come within %v: %s\n%s", patience, what, all.String())
	}
	return value
}

// raised returns the value that f panics with, nil if it does not panic.
func raised(f func()) (value any) {
	defer func() { value = recover() }()
	f()
	return nil
}

// requireMisuse checks that f panics as a wrong call does.
func requireMisuse(t *testing.T, f func(), words ...string) {
	t.Helper()
	value := raised(f)
	require.NotNil(t, value, "did not panic")
	text := fmt.Sprint(value)
	assert.True(t, strings.HasPrefix(text, "traigo: "), text)
	for _, word := range words {
		assert.Contains(t, text, word)
	}
}

// lines is a text that several goroutines write and read.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// events is an Observer that keeps the events of some kinds.
type events struct {
	kinds map[traigo.EventKind]bool
	mu    sync.Mutex
	all   []traigo.Event
}

func observing(kinds ...traigo.EventKind) *events {
	o := &events{kinds: map[traigo.EventKind]bool{}}
	for _, kind := range kinds {
		o.kinds[kind] = true
	}
	return o
}

func (o *events) Observe(e traigo.Event) {
	if !o.kinds[e.Kind] {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.all = append(o.all, e)
}

// ofRequests returns the events of tasks in the scope "requests".
func (o *events) ofRequests() (found []traigo.Event) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, e := range o.all {
		if e.Task != nil && e.Scope.Name() == "requests" {
			found = append(found, e)
		}
	}
	return found
}

// endOf waits for the end of the first request, and returns its event.
func (o *events) endOf(t *testing.T) traigo.Event {
	t.Helper()
	until(t, "the end of a request", func() bool { return len(o.ofRequests()) > 0 })
	return o.ofRequests()[0]
}

// certified returns the configurations of a server whose certificate is for the loopback
// interface, and of a client that trusts it.
func certified(t *testing.T) (server, client *tls.Config) {
	t.Helper()
	known := httptest.NewTLSServer(http.NotFoundHandler())
	defer known.Close()
	roots := x509.NewCertPool()
	roots.AddCert(known.Certificate())
	return &tls.Config{Certificates: known.TLS.Certificates, MinVersion: tls.VersionTLS12},
		&tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
}

func logTo(out io.Writer) *log.Logger { return log.New(out, "", 0) }

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }
