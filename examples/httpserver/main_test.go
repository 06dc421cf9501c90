package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo"
)

// patience bounds each wait of a test. A test that reaches it has failed.
const patience = 30 * time.Second

var (
	errDown   = errors.New("down")
	errEnough = errors.New("enough")
)

// A running is a server, with its log and a client.
type running struct {
	t     *testing.T
	scope *traigo.Scope
	ln    net.Listener
	log   *record
	web   *http.Client
}

func start(t *testing.T, sh *shop) *running {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	return startOn(t, sh, ln)
}

func startOn(t *testing.T, sh *shop, ln net.Listener) *running {
	t.Helper()
	log := &record{}
	sh.log = slog.New(slog.NewTextHandler(log, nil))
	if sh.patience == 0 {
		sh.patience = patience
	}
	sh.tick = time.Microsecond
	scope := traigo.New(t.Context(), append(options, traigo.Logger(sh.log))...)
	sh.open(scope, ln)
	run := &running{t: t, ln: ln, log: log, scope: scope}
	// A connection for each request: then one that is made after the shutdown is refused.
	run.web = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: patience}
	t.Cleanup(func() {
		_ = run.scope.Close()
		run.assertNothingIsLeft()
		t.Log(log)
	})
	return run
}

// stop shuts the server down, and lets all requests finish.
func (run *running) stop() error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	return run.scope.Shutdown(ctx)
}

// beginStop begins a shutdown, and returns when Stopping is closed. A call of cutOff ends
// the grace period.
func (run *running) beginStop() (cutOff context.CancelCauseFunc, ended <-chan error) {
	ctx, cutOff := context.WithCancelCause(context.Background())
	run.t.Cleanup(func() { cutOff(nil) })
	outcome := make(chan error, 1)
	go func() { outcome <- run.scope.Shutdown(ctx) }()
	<-traigo.Stopping(run.scope.Context())
	return cutOff, outcome
}

type answer struct {
	status int
	body   string
	err    error
}

func (run *running) do(ctx context.Context, method, path string) answer {
	req, err := http.NewRequestWithContext(ctx, method, "http://"+run.ln.Addr().String()+path, nil)
	if err != nil {
		return answer{err: err}
	}
	resp, err := run.web.Do(req)
	if err != nil {
		return answer{err: err}
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return answer{resp.StatusCode, strings.TrimSuffix(string(body), "\n"), err}
}

// begin calls do on another goroutine.
func (run *running) begin(ctx context.Context, method, path string) <-chan answer {
	answers := make(chan answer, 1)
	go func() { answers <- run.do(ctx, method, path) }()
	return answers
}

// assertNothingIsLeft looks for tasks, and for goroutines that are no tasks. Those of net/http,
// and a handler that was given up, may end a little later than the scope, so it looks more than
// once.
func (run *running) assertNothingIsLeft() {
	run.t.Helper()
	assert.Equal(run.t, traigo.Closed, run.scope.State())
	assert.Eventually(run.t, func() bool {
		left := run.scope.Snapshot()
		stacks := make([]byte, 1<<20)
		stacks = stacks[:runtime.Stack(stacks, true)]
		return len(left.Tasks) == 0 && len(left.Scopes) == 0 &&
			!bytes.Contains(stacks, []byte("httpserver.(*shop).")) && !bytes.Contains(stacks, []byte("net/http.(*conn).serve"))
	}, patience, time.Millisecond)
}

// A record keeps the text that was logged.
type record struct {
	mu   sync.Mutex
	text strings.Builder
}

func (r *record) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.Write(p)
}

func (r *record) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.String()
}

// hanging is a backend that answers when release is closed. It sends to asked when it is
// called, and to stopped the cause if its context ends first.
type hanging struct {
	asked   chan struct{}
	release chan struct{}
	stopped chan error
}

func newHanging() *hanging {
	return &hanging{make(chan struct{}, 1), make(chan struct{}), make(chan error, 1)}
}

func (h *hanging) send(ctx context.Context, _ string) error {
	h.asked <- struct{}{}
	select {
	case <-h.release:
		return nil
	case <-ctx.Done():
		h.stopped <- context.Cause(ctx)
		return context.Cause(ctx)
	}
}

func (h *hanging) answer(ctx context.Context, item string) (string, error) {
	return "from a slow backend", h.send(ctx, item)
}

func prompt(text string) backend {
	return func(context.Context, string) (string, error) { return text, nil }
}

func TestAnOfferAsksBothBackendsAtOnce(t *testing.T) {
	price, stock := make(chan struct{}), make(chan struct{})
	meet := func(text string, here, there chan struct{}) backend {
		return func(ctx context.Context, item string) (string, error) {
			close(here)
			select {
			case <-there:
				return text + " " + item, nil
			case <-ctx.Done():
				return "", context.Cause(ctx)
			}
		}
	}
	run := start(t, &shop{price: meet("a price of", price, stock), stock: meet("a stock of", stock, price)})
	assert.Equal(t, answer{status: 200, body: "tea: a price of tea, a stock of tea"}, run.do(t.Context(), "GET", "/offer/tea"))
	assert.NoError(t, run.stop())
}

func TestRequestsAreNamedAfterTheirRoutes(t *testing.T) {
	stock := newHanging()
	run := start(t, &shop{price: prompt("1.00"), stock: stock.answer})
	answers := run.begin(t.Context(), "GET", "/offer/tea")
	<-stock.asked
	requests := run.scope.Snapshot().Scopes[0]
	assert.Equal(t, "server/requests", requests.Path)
	assert.Equal(t, "GET /offer/{item}", requests.Tasks[0].Name)
	close(stock.release)
	<-answers
	assert.NoError(t, run.stop())
}

func TestABackendThatFailsCancelsTheOther(t *testing.T) {
	stock := newHanging()
	price := func(context.Context, string) (string, error) {
		<-stock.asked
		return "", errDown
	}
	run := start(t, &shop{price: price, stock: stock.answer})
	assert.Equal(t, answer{status: 502, body: "no offer"}, run.do(t.Context(), "GET", "/offer/tea"))

	var why *traigo.Cancellation
	require.ErrorAs(t, <-stock.stopped, &why)
	assert.Equal(t, traigo.TaskFailed, why.Kind)
	assert.ErrorIs(t, why, errDown)
	assert.NoError(t, run.stop())
	assert.Contains(t, run.log.String(), `task \"price\": down`)
}

func TestASlowBackendIsNotWaitedForLong(t *testing.T) {
	stock := newHanging()
	run := start(t, &shop{price: prompt("1.00"), stock: stock.answer, patience: time.Millisecond})
	assert.Equal(t, answer{status: 504, body: "too slow"}, run.do(t.Context(), "GET", "/offer/tea"))
	assert.NoError(t, run.stop())
}

func TestAClientThatHangsUpCancelsItsRequest(t *testing.T) {
	stock := newHanging()
	run := start(t, &shop{price: prompt("1.00"), stock: stock.answer})
	ctx, hangUp := context.WithCancel(t.Context())
	answers := run.begin(ctx, "GET", "/offer/tea")
	<-stock.asked
	hangUp()

	assert.ErrorIs(t, <-stock.stopped, context.Canceled)
	assert.ErrorIs(t, (<-answers).err, context.Canceled)
	assert.Equal(t, traigo.Open, run.scope.State(), "nobody else has noticed")
	assert.NoError(t, run.stop())
	assert.Contains(t, run.log.String(), `msg="cut off" id=1 request="GET /offer/tea"`)
	assert.Contains(t, run.log.String(), "the client has gone")
}

func TestMailOutlivesItsRequestButNotTheServer(t *testing.T) {
	mail := newHanging()
	run := start(t, &shop{send: mail.send})
	assert.Equal(t, answer{status: 202}, run.do(t.Context(), "POST", "/mail/ann"))
	<-mail.asked

	_, ended := run.beginStop()
	assert.Equal(t, traigo.Finalizing, run.scope.State())
	select {
	case err := <-ended:
		assert.Fail(t, "the server did not wait for the mail", err)
	default:
	}
	assert.NotContains(t, run.log.String(), "mail sent")
	close(mail.release)
	assert.NoError(t, <-ended)
	assert.Contains(t, run.log.String(), `msg="mail sent" id=1 to=ann`)
}

func TestAMailThatFailsHarmsNobodyElse(t *testing.T) {
	run := start(t, &shop{price: prompt("1.00"), stock: prompt("plenty"), send: func(_ context.Context, to string) error {
		if to == "bob" {
			panic("what a bug")
		}
		return errDown
	}})
	assert.Equal(t, answer{status: 202}, run.do(t.Context(), "POST", "/mail/ann"))
	assert.Equal(t, answer{status: 202}, run.do(t.Context(), "POST", "/mail/bob"))
	assert.Equal(t, answer{status: 200, body: "tea: 1.00, plenty"}, run.do(t.Context(), "GET", "/offer/tea"))
	assert.NoError(t, run.stop())
	assert.Contains(t, run.log.String(), `msg="mail not sent" id=1 to=ann err=down`)
	assert.Contains(t, run.log.String(), `what a bug`)
}

func TestShutdownLetsASlowRequestFinish(t *testing.T) {
	stock := newHanging()
	run := start(t, &shop{price: prompt("1.00"), stock: stock.answer})
	answers := run.begin(t.Context(), "GET", "/offer/tea")
	<-stock.asked
	_, ended := run.beginStop()
	assert.Eventually(t, func() bool { return run.do(t.Context(), "GET", "/nothing").err != nil }, patience, time.Millisecond,
		"nobody new comes in")
	close(stock.release)
	assert.Equal(t, answer{status: 200, body: "tea: 1.00, from a slow backend"}, <-answers)
	assert.NoError(t, <-ended)
}

func TestStreamsEndAtAShutdown(t *testing.T) {
	run := start(t, &shop{})
	resp, err := run.web.Get("http://" + run.ln.Addr().String() + "/clock")
	require.NoError(t, err)
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	for range 3 {
		require.True(t, lines.Scan())
		assert.Regexp(t, `^\d\d:\d\d:\d\d$`, lines.Text())
	}
	_, ended := run.beginStop()
	var last string
	for lines.Scan() {
		last = lines.Text()
	}
	assert.NoError(t, lines.Err(), "the stream has a proper end")
	assert.Equal(t, "the server stops", last)
	assert.NoError(t, <-ended)
}

func TestWhatIsCutOffIsLogged(t *testing.T) {
	stock, mail := newHanging(), newHanging()
	run := start(t, &shop{price: prompt("1.00"), stock: stock.answer, send: mail.send})
	assert.Equal(t, answer{status: 202}, run.do(t.Context(), "POST", "/mail/ann"))
	<-mail.asked
	answers := run.begin(t.Context(), "GET", "/offer/tea")
	<-stock.asked

	cutOff, ended := run.beginStop()
	cutOff(errEnough)
	assert.ErrorIs(t, <-stock.stopped, errEnough)
	assert.ErrorIs(t, <-mail.stopped, errEnough)
	err := <-ended
	assert.ErrorIs(t, err, errEnough)
	assert.EqualError(t, err, `scope "server": enough`, "and nothing has failed besides")
	if got := <-answers; got.err == nil { // a busy machine may not write it in the time that serve.HTTP allows
		assert.Equal(t, answer{status: 503, body: "cut off"}, got)
	}
	assert.Contains(t, run.log.String(), `msg="cut off" id=3 request="GET /offer/tea"`)
	assert.Contains(t, run.log.String(), `msg="mail not sent" id=1 to=ann`)
	assert.Equal(t, 1, strings.Count(run.log.String(), `msg="cut off"`))
}

// A handler that is blocked in a write notices only the end of the connection, which
// comes with the CancelTimeout.
func TestAClientThatDoesNotReadIsNotWaitedForLonger(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	full := &fullConn{writing: make(chan struct{}), closed: make(chan struct{})}
	run := startOn(t, &shop{}, fullListener{ln, full})
	run.begin(t.Context(), "GET", "/clock")
	<-full.writing
	cutOff, ended := run.beginStop()
	cutOff(errEnough)
	err = <-ended
	assert.ErrorIs(t, err, errEnough)
	var stuck *traigo.StuckError
	require.ErrorAs(t, err, &stuck)
	require.Len(t, stuck.Tasks, 1)
	assert.Equal(t, "server/requests/GET /clock", stuck.Tasks[0].Path)
}

type fullListener struct {
	net.Listener
	conn *fullConn
}

func (l fullListener) Accept() (conn net.Conn, err error) {
	conn, err = l.Listener.Accept()
	if err == nil {
		l.conn.Conn, conn = conn, l.conn
	}
	return conn, err
}

// fullConn is a connection whose client does not read.
type fullConn struct {
	net.Conn
	writing, closed  chan struct{}
	wrote, wasClosed sync.Once
}

func (c *fullConn) Write([]byte) (int, error) {
	c.wrote.Do(func() { close(c.writing) })
	<-c.closed
	return 0, net.ErrClosed
}

func (c *fullConn) Close() error {
	c.wasClosed.Do(func() { close(c.closed) })
	return c.Conn.Close()
}

func TestAListenerThatFailsEndsTheServer(t *testing.T) {
	stock := newHanging()
	run := start(t, &shop{price: prompt("1.00"), stock: stock.answer})
	answers := run.begin(t.Context(), "GET", "/offer/tea")
	<-stock.asked
	require.NoError(t, run.ln.Close())
	<-run.scope.Done()
	assert.ErrorIs(t, run.scope.Err(), net.ErrClosed)
	assert.ErrorContains(t, run.scope.Err(), `scope "server/requests": accept tcp `)
	assert.Error(t, <-stock.stopped)
	<-answers
	assert.Contains(t, run.log.String(), `msg="cut off" id=1`, "requests end with it")
}

func TestAShutdownMayComeBeforeAnythingElse(t *testing.T) {
	for range 20 {
		run := start(t, &shop{})
		assert.NoError(t, run.stop())
	}
}
