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

// stream is a ResponseWriter for a client that reads everything at once.
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

// listen opens a stream, which ends with the test.
func listen(t *testing.T, h http.Handler, target string, headers ...string) (s *stream, done <-chan struct{}) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	r := httptest.NewRequestWithContext(ctx, http.MethodGet, target, http.NoBody)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	s = &stream{ResponseRecorder: httptest.NewRecorder()}
	over := make(chan struct{})
	go func() {
		defer close(over)
		h.ServeHTTP(s, r)
	}()
	t.Cleanup(func() {
		cancel()
		<-over
	})
	synctest.Wait()
	return s, over
}

func TestAStreamSendsWhatChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		root := opened(t)
		h := live.Handler(root)
		s, _ := listen(t, h, "/events")
		assert.Equal(t, "text/event-stream", s.Header().Get("Content-Type"))
		assert.Regexp(t, `^retry: 1000\n\nevent: now\ndata: 946684800000\n\nevent: state\nid: \w+\ndata: \{"version":1,"scopes":1,.*\}\n\n$`, s.text())

		time.Sleep(4 * time.Second)
		assert.Equal(t, 1, strings.Count(s.text(), "event: state"), "ages are the page's to count")
		assert.Equal(t, 1, strings.Count(s.text(), "event: now"))
		time.Sleep(2 * time.Second)
		assert.Equal(t, 2, strings.Count(s.text(), "event: now"), "a sign of life")

		time.Sleep(100 * time.Millisecond) // between two looks: none is to see it queued
		root.Spawn(untilCanceled, traigo.Name("reader"))
		synctest.Wait()
		time.Sleep(time.Second)
		assert.Equal(t, 2, strings.Count(s.text(), "event: state"))
		assert.Contains(t, s.text(), `"name":"reader"`)
	})
}

// Who comes back with what it knows is not sent it again.
func TestAStreamGoesOnWhereItWas(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := live.Handler(opened(t))
		s, _ := listen(t, h, "/events")
		_, after, _ := strings.Cut(s.text(), "id: ")
		id, _, _ := strings.Cut(after, "\n")
		again, _ := listen(t, h, "/events", "Last-Event-ID", id)
		time.Sleep(time.Second)
		assert.Contains(t, again.text(), "event: now")
		assert.NotContains(t, again.text(), "event: state")
	})
}

func TestAStreamShowsAPart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		root := opened(t)
		conn := root.Fork(traigo.Name("conn"))
		s, _ := listen(t, live.Handler(root), fmt.Sprintf("/events?scope=%d", conn.ID()))
		assert.Contains(t, s.text(), `"roots":[{"key":"s`)
		assert.NotContains(t, s.text(), `"name":"server"`)
		require.NoError(t, conn.Close())
		time.Sleep(time.Second)
		assert.Contains(t, s.text(), `"roots":[]`)
	})
}

// For http.Server.Shutdown, behind which there may be another handler.
func TestAStreamEndsAfterAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := live.Handler(opened(t))
		s, done := listen(t, h, "/events")
		time.Sleep(59 * time.Second)
		assert.Equal(t, 1, live.Streams(h))
		time.Sleep(2 * time.Second)
		<-done
		assert.True(t, strings.HasSuffix(s.text(), "event: bye\ndata: 1\n\n"))
		assert.Zero(t, live.Streams(h))
		assert.False(t, live.KeepsSnapshot(h), "nothing is kept")
	})
}

func TestManyStreamsShareTheirLooks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		root := opened(t)
		h := live.Handler(root)
		var streams []*stream
		for range 50 {
			s, _ := listen(t, h, "/events")
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

func TestThereAreNotTooManyStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := live.Handler(opened(t))
		for range 100 {
			listen(t, h, "/events")
		}
		w := get(h, "/events")
		assert.Equal(t, http.StatusServiceUnavailable, w.Code)
		assert.NotEmpty(t, w.Header().Get("Retry-After"))
		assert.Equal(t, http.StatusOK, get(h, "/").Code, "text is for all")
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

// From here on there are a real server and real connections.

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

func TestFiftyClientsOverTheNetwork(t *testing.T) {
	root := opened(t)
	h := live.Handler(root)
	server := httptest.NewServer(h)
	defer server.Close()
	var clients sync.WaitGroup
	for range 50 {
		resp, err := http.Get(server.URL + "/events")
		require.NoError(t, err)
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

// The kernel's buffers fill up, then the write deadline passes: that takes 10 s on the
// real clock, so the deadline is set by a ResponseWriter that tells when it was.
func TestAClientThatDoesNotReadIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		root := opened(t)
		h := live.Handler(root)
		server, client := net.Pipe()
		defer client.Close()
		done := make(chan struct{})
		go func() {
			defer close(done)
			h.ServeHTTP(&pipeWriter{Conn: server, header: http.Header{}}, httptest.NewRequest(http.MethodGet, "/events", http.NoBody))
		}()
		synctest.Wait()
		assert.Equal(t, 1, live.Streams(h))
		begin := time.Now()
		<-done
		assert.Equal(t, 10*time.Second, time.Since(begin))
		assert.Zero(t, live.Streams(h))
	})
}

// pipeWriter writes to a connection that has no buffer at all.
type pipeWriter struct {
	net.Conn
	header http.Header
}

func (w *pipeWriter) Header() http.Header { return w.header }
func (w *pipeWriter) WriteHeader(int)     {}
func (w *pipeWriter) FlushError() error   { return nil }

// A request for a stream may be under way when Shutdown begins.
func TestAStreamThatIsOpenedDuringShutdownDoesNotHoldItUp(t *testing.T) {
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
			runtime.Gosched() // the others are called at the same time
		}
		close(goOn)
	}()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	assert.NoError(t, server.Config.Shutdown(ctx))
	server.CloseClientConnections()
	<-over
}

// deadlineWriter remembers the last write deadline.
type deadlineWriter struct {
	stream
	last time.Time
}

func (w *deadlineWriter) SetWriteDeadline(at time.Time) error { w.last = at; return nil }

// HTTP/2 resets a stream when its deadline passes, also if nothing is written then: where
// a look takes seconds there may be more than 10 between two events.
func TestTheDeadlineOfAnEventIsNotThatOfTheNext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := live.Handler(opened(t))
		ctx, cancel := context.WithCancel(t.Context())
		w := &deadlineWriter{stream: stream{ResponseRecorder: httptest.NewRecorder()}}
		done := make(chan struct{})
		go func() {
			defer close(done)
			h.ServeHTTP(w, httptest.NewRequestWithContext(ctx, http.MethodGet, "/events", http.NoBody))
		}()
		synctest.Wait()
		assert.Contains(t, w.text(), "retry")
		assert.Zero(t, w.last, "while it waits")
		cancel()
		<-done
		assert.Equal(t, time.Now().Add(10*time.Second), w.last, "for what net/http writes at the end")
	})
}
