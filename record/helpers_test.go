package record_test

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/record"
	"github.com/traigo/traigo/record/history"
)

func nop(context.Context) error { return nil }

// untilCanceled is a task that ends with its scope.
func untilCanceled(ctx context.Context) error {
	<-ctx.Done()
	return ctx.Err()
}

// observing is an observer made of a function.
type observing func(traigo.Event)

func (f observing) Observe(e traigo.Event) { f(e) }

// counting counts events: each is a line.
type counting struct{ atomic.Uint64 }

func (c *counting) Observe(traigo.Event) { c.Add(1) }

// events are those of n tasks that end without an error, in order.
func events(t testing.TB, n int) (all []traigo.Event) {
	t.Helper()
	s := traigo.New(context.Background(), traigo.Observe(observing(func(e traigo.Event) {
		if e.Task != nil {
			all = append(all, e)
		}
	})))
	for range n {
		require.NoError(t, s.Spawn(nop).Wait(context.Background()))
	}
	require.NoError(t, s.Wait())
	return all
}

// eventLines counts the lines of a log that are events, by their kinds. Those of a census
// are none.
func eventLines(log []byte) (n uint64) {
	left := uint64(0)
	for line := range strings.Lines(string(log)) {
		kind := kindOf(line)
		switch {
		case kind == "live":
			left = numberOf(line)
		case left > 0:
			left--
		case kind == "" || kind == "lost" || kind == "bye" || !strings.HasSuffix(line, "}\n"):
		default:
			n++
		}
	}
	return n
}

func kindOf(line string) string {
	_, rest, _ := strings.Cut(line, `"k":"`)
	kind, _, _ := strings.Cut(rest, `"`)
	return kind
}

func numberOf(line string) (n uint64) {
	_, rest, _ := strings.Cut(line, `"n":`)
	for _, c := range rest {
		if c < '0' || c > '9' {
			break
		}
		n = n*10 + uint64(c-'0')
	}
	return n
}

func read(t testing.TB, log []byte) *record.History {
	t.Helper()
	h, err := record.Read(bytes.NewReader(log))
	require.NoError(t, err, "%s", log)
	return h
}

func readFile(t testing.TB, path string) (*record.History, []byte) {
	t.Helper()
	log, err := os.ReadFile(path)
	require.NoError(t, err)
	return read(t, log), log
}

// unfinished are the paths of what has not ended.
func unfinished(h *record.History) (paths []string) {
	for _, s := range h.Scopes {
		if s.Closed == history.Never {
			paths = append(paths, s.Path())
		}
		for _, t := range s.Tasks {
			if t.Unfinished() {
				paths = append(paths, t.Path())
			}
		}
	}
	return paths
}

func taskOf(h *record.History, path string) *history.Task {
	for _, s := range h.Scopes {
		for _, t := range s.Tasks {
			if t.Path() == path {
				return t
			}
		}
	}
	return nil
}

func tempLog(t testing.TB) string { return filepath.Join(t.TempDir(), "run.jsonl") }

// memory is a writer that may be read at any time.
type memory struct {
	mu sync.Mutex
	bytes.Buffer
}

func (m *memory) Write(p []byte) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.Buffer.Write(p)
}

func (m *memory) log() []byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	return bytes.Clone(m.Bytes())
}

// writing is a writer made of a function.
type writing func(p []byte) (int, error)

func (f writing) Write(p []byte) (int, error) { return f(p) }

var _ io.Writer = writing(nil)
