package live_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
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

func readAll(t *testing.T, r io.Reader) string {
	t.Helper()
	text, err := io.ReadAll(r)
	require.NoError(t, err)
	return string(text)
}

func loggerTo(w io.Writer) *slog.Logger { return slog.New(slog.NewTextHandler(w, nil)) }

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
		assert.True(t, live.IsForgetful(h), "nothing is kept")
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
		before := live.Looks(h)
		time.Sleep(10 * time.Second)
		assert.LessOrEqual(t, live.Looks(h)-before, uint64(41), "four a second")
		assert.GreaterOrEqual(t, live.Looks(h)-before, uint64(10))
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

// Nothing is as old as the question, and nobody waits longer than for the next look.
func TestAnAnswerIsNewerThanItsQuestion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		root := opened(t)
		h := live.Handler(root)
		for i := range 10 {
			root.Spawn(untilCanceled, traigo.Name(fmt.Sprint("task ", i)))
			begin := time.Now()
			assert.Contains(t, get(h, "/").Body.String(), fmt.Sprint("task ", i))
			assert.LessOrEqual(t, time.Since(begin), 250*time.Millisecond)
		}
		assert.Equal(t, uint64(10), live.Looks(h))
	})
}

func TestAClientThatLeavesIsNotWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := live.Handler(opened(t))
		get(h, "/")
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		w := httptest.NewRecorder()
		begin := time.Now()
		h.ServeHTTP(w, httptest.NewRequestWithContext(ctx, http.MethodGet, "/", http.NoBody))
		assert.Equal(t, 10*time.Millisecond, time.Since(begin))
		assert.Equal(t, http.StatusServiceUnavailable, w.Code)
		assert.True(t, live.IsForgetful(h))
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
