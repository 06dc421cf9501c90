package live_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/live"
)

// A stream is the ResponseWriter of a client that reads at once what is sent.
type stream struct {
	*httptest.ResponseRecorder
	mu sync.Mutex
}

func (s *stream) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ResponseRecorder.Write(b)
}

func (s *stream) text() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.Body.String()
}

// connect opens a stream, which ends with the test if it has not ended before; then done is
// closed.
func connect(t *testing.T, h http.Handler, target string, headers ...string) (s *stream, done <-chan struct{}) {
	t.Helper()
	s = &stream{ResponseRecorder: httptest.NewRecorder()}
	done, _ = serveInBackground(t, h, s, target, headers...)
	return s, done
}

// serveInBackground serves a request until the end of the test, or until disconnect is
// called.
func serveInBackground(t *testing.T, h http.Handler, w http.ResponseWriter, target string, headers ...string) (done <-chan struct{}, disconnect func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan struct{})
	r := request(ctx, http.MethodGet, target, headers...)
	r.RemoteAddr = fmt.Sprintf("192.0.2.%d:1234", live.StreamsOf(h)%200) // one client may have 20
	go func() {
		defer close(served)
		h.ServeHTTP(w, r)
	}()
	disconnect = func() {
		cancel()
		<-served
	}
	t.Cleanup(disconnect)
	synctest.Wait()
	return served, disconnect
}

func TestAStreamSendsWhatChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		root := opened(t)
		h := live.Handler(root)
		s, _ := connect(t, h, "/events")
		assert.Equal(t, "text/event-stream", s.Header().Get("Content-Type"))
		assert.Regexp(t, `^retry: 1000\n\nevent: now\ndata: 946684800000\n\nevent: state\nid: \w+\ndata: \{"version":1,"scopes":1,.*\}\n\n$`, s.text())

		time.Sleep(4 * time.Second)
		assert.Equal(t, 1, strings.Count(s.text(), "event: state"), "the page computes the ages")
		assert.Equal(t, 1, strings.Count(s.text(), "event: now"))
		time.Sleep(2 * time.Second)
		assert.Equal(t, 2, strings.Count(s.text(), "event: now"), "a heartbeat")

		time.Sleep(100 * time.Millisecond) // between two snapshots, so that none has the task queued
		root.Spawn(untilCanceled, traigo.Name("reader"))
		synctest.Wait()
		time.Sleep(time.Second)
		assert.Equal(t, 3, strings.Count(s.text(), "event: state"), "with the task, and with what it waits for")
		assert.Contains(t, s.text(), `"name":"reader"`)
		assert.Contains(t, s.text(), `"waits":"chan receive","at":"helpers_test.go:`)
	})
}

// How long tasks have waited changes all the time, but since when does not.
func TestAStreamIsQuietWhenNothingMoves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		root := opened(t)
		for range 100 {
			root.Spawn(untilCanceled)
			time.Sleep(100 * time.Millisecond)
		}
		h := live.Handler(root)
		s, _ := connect(t, h, "/events")
		time.Sleep(70 * time.Second)
		before := strings.Count(s.text(), "event: state")
		assert.LessOrEqual(t, before, 20)
		for range 5 {
			time.Sleep(time.Minute)
			s, _ = connect(t, h, "/events") // each ends after a minute
		}
		time.Sleep(59 * time.Second)
		assert.Equal(t, 1, strings.Count(s.text(), "event: state"))
		assert.Contains(t, s.text(), `"standing":[{"waits":"chan receive","at":"helpers_test.go:`)
		assert.Contains(t, s.text(), `,"from":"2000-01-01T`)
		assert.NotContains(t, s.text(), `"for":`)
	})
}

// A client that connects again has the last state already.
func TestAStreamGoesOnWhereItWas(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := live.Handler(opened(t))
		s, _ := connect(t, h, "/events")
		_, after, _ := strings.Cut(s.text(), "id: ")
		id, _, _ := strings.Cut(after, "\n")
		again, _ := connect(t, h, "/events", "Last-Event-ID", id)
		time.Sleep(time.Second)
		assert.Contains(t, again.text(), "event: now")
		assert.NotContains(t, again.text(), "event: state")
	})
}

func TestAStreamShowsAPart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		root := opened(t)
		conn := root.Fork(traigo.Name("conn"))
		s, _ := connect(t, live.Handler(root), fmt.Sprintf("/events?scope=%d", conn.ID()))
		assert.Contains(t, s.text(), `"roots":[{"key":"s`)
		assert.NotContains(t, s.text(), `"name":"server"`)
		require.NoError(t, conn.Close())
		time.Sleep(time.Second)
		assert.Contains(t, s.text(), `"roots":[]`)
	})
}

// The server may be behind another handler, so that its Shutdown is not noticed.
func TestAStreamEndsAfterAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := live.Handler(opened(t))
		s, done := connect(t, h, "/events")
		time.Sleep(59 * time.Second)
		assert.Equal(t, 1, live.Streams(h))
		time.Sleep(2 * time.Second)
		<-done
		assert.True(t, strings.HasSuffix(s.text(), "event: bye\ndata: 1\n\n"))
		assert.Zero(t, live.Streams(h))
		assert.False(t, live.KeepsSnapshot(h), "nothing is kept for clients to come")
	})
}

func TestManyStreamsShareSnapshots(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		root := opened(t)
		h := live.Handler(root)
		var streams []*stream
		for range 50 {
			s, _ := connect(t, h, "/events")
			streams = append(streams, s)
		}
		time.Sleep(time.Second)
		before := live.SnapshotsTaken(h)
		time.Sleep(10 * time.Second)
		assert.LessOrEqual(t, live.SnapshotsTaken(h)-before, uint64(41), "four a second")
		assert.GreaterOrEqual(t, live.SnapshotsTaken(h)-before, uint64(10))
		root.Spawn(untilCanceled, traigo.Name("reader"))
		time.Sleep(time.Second)
		for _, s := range streams {
			assert.Contains(t, s.text(), `"name":"reader"`)
		}
	})
}

func TestAStreamNeedsAWriterThatFlushes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := http.TimeoutHandler(live.Handler(opened(t)), time.Minute, "")
		w := get(h, "/events")
		assert.Equal(t, http.StatusInternalServerError, w.Code)
		assert.Contains(t, w.Body.String(), "can flush")
	})
}

// The next three tests have a real server and real connections.

func TestShutdownOfTheServerEndsTheStreams(t *testing.T) {
	root := opened(t)
	h := live.Handler(root)
	server := httptest.NewServer(h)
	defer server.Close()
	resp, err := http.Get(server.URL + "/events")
	require.NoError(t, err)
	defer resp.Body.Close()
	events := bufio.NewReader(resp.Body)
	line, err := events.ReadString('\n')
	require.NoError(t, err)
	assert.Equal(t, "retry: 1000\n", line)

	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	require.NoError(t, server.Config.Shutdown(ctx))
	require.NoError(t, server.Config.Shutdown(ctx), "again")
	assert.True(t, strings.HasSuffix(readAll(t, events), "event: bye\ndata: 1\n\n"))
	assert.Zero(t, live.Streams(h))
}

// A request for a stream may be under way when Shutdown begins.
func TestAStreamThatIsOpenedDuringShutdownDoesNotDelayIt(t *testing.T) {
	h := live.Handler(opened(t))
	arrived, goOn := make(chan struct{}), make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/events" {
			close(arrived)
			<-goOn
		}
		h.ServeHTTP(w, r)
	}))
	resp, err := http.Get(server.URL + "/?format=html")
	require.NoError(t, err)
	resp.Body.Close()
	over := make(chan struct{})
	go func() {
		defer close(over)
		if resp, err := http.Get(server.URL + "/events"); err == nil {
			_, _ = io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
		}
	}()
	<-arrived
	began := make(chan struct{})
	server.Config.RegisterOnShutdown(func() { close(began) })
	go func() {
		<-began
		for range 1000 {
			runtime.Gosched() // so that the handler's function, which runs at the same time, has run
		}
		close(goOn)
	}()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	assert.NoError(t, server.Config.Shutdown(ctx))
	server.CloseClientConnections()
	<-over
}

func TestClientsOverTheNetwork(t *testing.T) {
	root := opened(t)
	h := live.Handler(root)
	server := httptest.NewServer(h)
	defer server.Close()
	var clients sync.WaitGroup
	for range 20 {
		resp, err := http.Get(server.URL + "/events")
		require.NoError(t, err)
		require.Equal(t, http.StatusOK, resp.StatusCode)
		clients.Go(func() {
			defer resp.Body.Close()
			lines := bufio.NewScanner(resp.Body)
			for lines.Scan() && !strings.Contains(lines.Text(), `"name":"reader"`) {
			}
			assert.NoError(t, lines.Err())
		})
	}
	root.Spawn(untilCanceled, traigo.Name("reader"))
	clients.Wait()
}

// The connection is a pipe without buffers. On a real one the buffers of the kernel would
// have to fill up first, and the deadline would take 10 s of the real clock.
func TestAClientThatDoesNotReadIsDisconnected(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		root := opened(t)
		h := live.Handler(root)
		server, client := net.Pipe()
		defer client.Close()
		done, _ := serveInBackground(t, h, &pipeWriter{Conn: server, header: http.Header{}}, "/events")
		assert.Equal(t, 1, live.Streams(h))
		begin := time.Now()
		<-done
		assert.Equal(t, 10*time.Second, time.Since(begin))
		assert.Zero(t, live.Streams(h))
	})
}

// A pipeWriter is a ResponseWriter that writes to a connection without buffers.
type pipeWriter struct {
	net.Conn
	header http.Header
}

func (w *pipeWriter) Header() http.Header { return w.header }
func (w *pipeWriter) WriteHeader(int)     {}
func (w *pipeWriter) FlushError() error   { return nil }

// A deadlineWriter remembers the last write deadline.
type deadlineWriter struct {
	stream
	last time.Time
}

func (w *deadlineWriter) SetWriteDeadline(at time.Time) error { w.last = at; return nil }

// HTTP/2 resets a stream when its deadline passes even if nothing is being written. Where a
// snapshot takes seconds there may be more than 10 s between two events.
func TestADeadlineEndsWithItsEvent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := live.Handler(opened(t))
		w := &deadlineWriter{stream: stream{ResponseRecorder: httptest.NewRecorder()}}
		_, disconnect := serveInBackground(t, h, w, "/events")
		assert.Contains(t, w.text(), "retry")
		assert.Zero(t, w.last, "no deadline between two events")
		disconnect()
		assert.Equal(t, time.Now().Add(10*time.Second), w.last, "for the end of the body, which net/http writes")
	})
}
