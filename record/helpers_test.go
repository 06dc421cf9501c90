package record_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/record"
	"github.com/traigo/traigo/record/history"
)

func nop(context.Context) error { return nil }

func fail(context.Context) error { return errors.New("no") }

func emptyBody(context.Context, *traigo.Scope) error { return nil }

// oneTask is the body of a scope with one task.
func oneTask(_ context.Context, s *traigo.Scope) error {
	s.Spawn(nop)
	return nil
}

// modes are the options of a recorder with a writer goroutine, and of one without.
var modes = [][]record.Option{nil, {record.Durable()}}

// heap returns the number of bytes of live objects.
func heap() float64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc)
}

// untilCanceled is a task that ends with its scope.
func untilCanceled(ctx context.Context) error {
	<-ctx.Done()
	return ctx.Err()
}

// observing makes an observer of a function.
type observing func(traigo.Event)

func (f observing) Observe(e traigo.Event) { f(e) }

// counting counts events. Each becomes one line.
type counting struct{ atomic.Uint64 }

func (c *counting) Observe(traigo.Event) { c.Add(1) }

// events returns the events of n tasks that run one after the other and return nil.
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

// eventLines counts the lines of a log that are events. The lines of a census are not.
func eventLines(log []byte) (n uint64) {
	left := uint64(0)
	for line := range strings.Lines(string(log)) {
		kind := kindOf(line)
		switch {
		case kind == "live":
			left = numberOf(line)
		case left > 0:
			left--
		case kind == "" || notes[kind] || !strings.HasSuffix(line, "}\n"):
		default:
			n++
		}
	}
	return n
}

// notes are the kinds of lines that are no event.
var notes = map[string]bool{"lost": true, "bye": true, "beat": true, "stacks": true, "group": true}

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

// unfinished returns the paths of all scopes and tasks that have not ended.
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

// memory is a buffer that may be read while it is written.
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

// writing makes a writer of a function.
type writing func(p []byte) (int, error)

func (f writing) Write(p []byte) (int, error) { return f(p) }

var _ io.Writer = writing(nil)

// silent drops what is logged to slog.Default: the warning of the first loss.
func silent(t *testing.T) {
	t.Helper()
	was := slog.Default()
	slog.SetDefault(slog.New(slog.DiscardHandler))
	t.Cleanup(func() { slog.SetDefault(was) })
}

// program runs a random tree of scopes and tasks, some of which fail, until all have ended.
func program(rnd *rand.Rand, observers ...traigo.ScopeOption) {
	seed := func() *rand.Rand { return rand.New(rand.NewPCG(rnd.Uint64(), 1)) }
	var body func(rnd *rand.Rand, depth int) func(context.Context, *traigo.Scope) error
	body = func(rnd *rand.Rand, depth int) func(context.Context, *traigo.Scope) error {
		return func(ctx context.Context, s *traigo.Scope) error {
			for range 2 + rnd.IntN(12) {
				pause, fate, inner := time.Duration(rnd.IntN(40))*time.Millisecond, rnd.IntN(20), rand.New(rand.NewPCG(rnd.Uint64(), 2))
				s.Spawn(func(ctx context.Context) error {
					if pause > 0 {
						time.Sleep(pause)
					}
					switch {
					case fate == 0:
						return errors.New("no")
					case fate == 1:
						panic("no")
					case fate < 6 && depth > 0:
						return traigo.Run(ctx, body(inner, depth-1))
					case fate < 8:
						_ = traigo.Sleep(ctx, time.Duration(fate)*50*time.Millisecond)
					}
					return nil
				}, traigo.Bubble(fate%2 == 0))
			}
			return nil
		}
	}
	_ = traigo.Run(context.Background(), body(seed(), 3), append(observers, traigo.PanicAsError(), traigo.Name("root"))...)
}

// whole checks the log of a closed recorder and a program that has ended: each observed event
// is in it or reported as lost.
func whole(t *testing.T, log []byte, observed uint64) *record.History {
	t.Helper()
	h := read(t, log)
	assert.Equal(t, observed, h.Lost()+eventLines(log), "lines that are there, and lines that are said to be missing")
	assert.Empty(t, unfinished(h))
	assert.True(t, h.Closed)
	assert.Zero(t, h.Damaged)
	assert.False(t, h.Truncated)
	return h
}

// segments returns the files of a rotated log, the oldest first.
func segments(t *testing.T, path string) (all [][]byte) {
	t.Helper()
	for i := 1; ; i++ {
		log, err := os.ReadFile(fmt.Sprintf("%s.%d", path, i))
		if errors.Is(err, os.ErrNotExist) {
			break
		}
		require.NoError(t, err)
		all = append([][]byte{log}, all...)
	}
	log, err := os.ReadFile(path)
	require.NoError(t, err)
	return append(all, log)
}

// flush makes the recorder write, by an urgent event. It waits for the write, but not for
// one that takes long.
func flush(s *traigo.Scope) *traigo.Task {
	t := s.Spawn(func(context.Context) error { return errors.New("flush") }, traigo.Name("flush"), traigo.Bubble(false))
	<-t.Done()
	return t
}

// flushed calls flush until its event is in the file at path.
func flushed(t *testing.T, s *traigo.Scope, path string) {
	t.Helper()
	for range 10_000 {
		last := flush(s)
		log, _ := os.ReadFile(path)
		if bytes.Contains(log, fmt.Appendf(nil, `"k":"end","s":%d,"id":%d,`, s.ID(), last.ID())) {
			return
		}
	}
	t.Fatal("the writer does not come back")
}

// chat runs a program with events of nearly all kinds, in a fixed order.
func chat(o traigo.Observer) (server, conn uint64) {
	step := func() { time.Sleep(time.Millisecond) }
	_ = traigo.Run(context.Background(), func(ctx context.Context, s *traigo.Scope) error {
		server = s.ID()
		s.Spawn(func(ctx context.Context) error {
			_ = traigo.Run(ctx, func(ctx context.Context, s *traigo.Scope) error {
				conn = s.ID()
				s.Spawn(func(ctx context.Context) error {
					<-ctx.Done()
					step()
					return ctx.Err()
				}, traigo.Name("read"), traigo.Master(true))
				step()
				return nil
			}, traigo.Name("conn"), traigo.Timeout(5*time.Second))
			step()
			return errors.New("accept: too many open files")
		}, traigo.Name("accept"))
		step()
		step()
		s.Spawn(func(ctx context.Context) error {
			<-ctx.Done()
			step()
			panic("tick")
		}, traigo.Name("tick"), traigo.Bubble(false), traigo.Awaited(false))
		<-ctx.Done()
		step()
		step()
		return nil
	}, traigo.Name("server"), traigo.Observe(o), traigo.PanicAsError())
	return server, conn
}

// badError is an error whose Error method is a function.
type badError func() string

func (e badError) Error() string { return e() }
