package record_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"
	"weak"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/record"
	"github.com/traigo/traigo/record/history"
)

func TestBadValuesPanicAtTheCall(t *testing.T) {
	for says, call := range map[string]func(){
		"Buffer(0)":           func() { record.Buffer(0) },
		"MaxSize(-1)":         func() { record.MaxSize(-1) },
		"MaxAge(0s)":          func() { record.MaxAge(0) },
		"Keep(-1)":            func() { record.Keep(-1) },
		"an Option is nil":    func() { record.New(io.Discard, nil) },
		"New: the writer":     func() { record.New(nil) },
		"PrintTree: the":      func() { record.PrintTree(nil) },
		"need a file":         func() { record.New(io.Discard, record.Keep(1)) },
		"need a file that":    func() { record.New(io.Discard, record.MaxSize(1)) },
		"file that can be re": func() { record.New(io.Discard, record.MaxAge(1)) },
	} {
		func() {
			defer func() {
				value := fmt.Sprint(recover())
				assert.True(t, strings.HasPrefix(value, "record: "), value)
				assert.Contains(t, value, says)
			}()
			call()
			t.Error("no panic")
		}()
	}
	_, err := record.Create(filepath.Join(t.TempDir(), "no", "such", "place"))
	require.ErrorIs(t, err, os.ErrNotExist)
	require.ErrorContains(t, err, "record: ")
}

// Everything is written 100 ms after it has happened.
func TestLinesAreWrittenSoon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out memory
		rec := record.New(&out)
		synctest.Wait() // for the first line
		s := traigo.New(context.Background(), traigo.Name("s"), traigo.Observe(rec))
		synctest.Wait()
		assert.Zero(t, eventLines(out.log()))
		for i := range 10 {
			s.Spawn(untilCanceled)
			time.Sleep(100 * time.Millisecond)
			assert.EqualValues(t, 3+2*i, eventLines(out.log()))
		}
		require.NoError(t, s.Close())
		assert.Empty(t, unfinished(read(t, out.log())), "the close of a root")
		require.NoError(t, rec.Close())
	})
}

// What must not get lost is written before the program goes on.
func TestWhatMattersIsWrittenAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out memory
		rec := record.New(&out)
		has := func(kind string) bool { return bytes.Contains(out.log(), []byte(`"k":"`+kind+`"`)) }
		root := traigo.New(context.Background(), traigo.Name("root"), traigo.Observe(rec))

		_ = root.Spawn(func(context.Context) error { return errors.New("no") }, traigo.Bubble(false)).Wait(context.Background())
		assert.True(t, has("end"))
		inner := root.Fork()
		require.NoError(t, inner.Wait())
		assert.False(t, has("close"), "a scope that ends normally, below another")
		inner = root.Fork()
		inner.Cancel(nil)
		assert.True(t, has("cancel"))
		require.NoError(t, inner.Wait())
		stuck := root.Fork(traigo.CancelTimeout(time.Second))
		free := make(chan struct{})
		stuck.Spawn(func(context.Context) error { <-free; return nil })
		require.Error(t, stuck.Close())
		assert.True(t, has("stuck"))
		close(free)
		before := bytes.Count(out.log(), []byte(`"close"`))
		require.NoError(t, root.Wait())
		assert.Equal(t, before+1, bytes.Count(out.log(), []byte(`"close"`)))
		require.NoError(t, rec.Close())
	})
}

func TestTwoRecordersOfOneScope(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var one, two, below memory
		a, b, c := record.New(&one), record.New(&two, record.Durable()), record.New(&below)
		s := traigo.New(context.Background(), traigo.Name("s"), traigo.Observe(a), traigo.Observe(b))
		child := s.Fork(traigo.Name("child"), traigo.Observe(c))
		child.Spawn(nop, traigo.Name("task"))
		require.NoError(t, child.Wait())
		closed := read(t, below.log())
		assert.Empty(t, unfinished(closed), "for its recorder it is a root")
		require.NoError(t, s.Wait())
		for _, rec := range []*record.Recorder{a, b, c} {
			require.NoError(t, rec.Close())
		}
		cut := func(log []byte) string { return string(log[bytes.IndexByte(log, '\n'):]) }
		assert.Equal(t, cut(one.log()), cut(two.log()))
		h := read(t, below.log())
		require.Len(t, h.Roots(), 1)
		assert.Equal(t, "child", h.Roots()[0].Name)
		assert.NotNil(t, taskOf(h, "child/task"))
	})
}

func TestOneRecorderOfManyRoots(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out memory
		rec := record.New(&out)
		for i := range 5 {
			open := traigo.New(context.Background(), traigo.Name("open"), traigo.Observe(rec))
			require.NoError(t, traigo.Run(context.Background(), func(_ context.Context, s *traigo.Scope) error {
				s.Spawn(nop)
				return nil
			}, traigo.Observe(rec)))
			assert.Len(t, unfinished(read(t, out.log())), 1)
			require.NoError(t, open.Wait())
			assert.Len(t, read(t, out.log()).Roots(), 2*i+2)
		}
		require.NoError(t, rec.Close())
	})
}

func TestManyRootsLeaveNothingBehind(t *testing.T) {
	rec := record.New(io.Discard)
	run := func(n int) {
		for range n {
			_ = traigo.Run(context.Background(), func(_ context.Context, s *traigo.Scope) error {
				s.Spawn(nop)
				return nil
			}, traigo.Observe(rec))
		}
	}
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	run(1000)
	before := heap()
	run(10_000)
	assert.Less(t, float64(heap())-float64(before), 200_000.0)
	require.NoError(t, rec.Close())
}

// hugeError has a text that nobody else keeps.
type hugeError struct{}

func (hugeError) Error() string { return strings.Repeat("x", 8<<20) }

// What is kept of the alive is small, whatever has canceled them, and is given back.
func TestAliveAreSmall(t *testing.T) {
	heap := func() float64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return float64(m.HeapAlloc)
	}
	silent(t)
	rec := record.New(io.Discard, record.Buffer(1<<16))
	root := traigo.New(context.Background(), traigo.Observe(rec))
	free := make(chan struct{})
	before := heap()
	growsLess := func(than float64) {
		assert.Eventually(t, func() bool { return heap()-before < than }, 10*time.Second, 10*time.Millisecond)
	}
	for range 10 {
		s := root.Fork(traigo.Name("canceled"))
		s.Spawn(func(context.Context) error { <-free; return nil })
		s.Cancel(hugeError{})
	}
	growsLess(8e6)
	close(free)
	for range 40_000 {
		_ = root.Fork()
	}
	_ = root.Close()
	growsLess(2e6)
	_ = rec.Close()
}

// What was alive when the recorder was closed is not kept by it: the scope that still has it
// as an observer may live for long.
func TestClosedRecorderKeepsNothing(t *testing.T) {
	for _, opts := range [][]record.Option{nil, {record.Durable()}} {
		rec := record.New(io.Discard, opts...)
		root := traigo.New(context.Background(), traigo.Observe(rec))
		free := make(chan struct{})
		task := weak.Make(root.Spawn(func(context.Context) error { <-free; return nil }))
		scope := weak.Make(root.Fork())
		require.NoError(t, rec.Close())
		close(free)
		require.NoError(t, task.Value().Wait(context.Background()))
		require.NoError(t, scope.Value().Wait())
		assert.Eventually(t, func() bool {
			runtime.GC()
			return task.Value() == nil && scope.Value() == nil
		}, 10*time.Second, time.Millisecond)
		require.NoError(t, root.Wait())
	}
}

// A recorder may be older than the bubble in which it is used.
func TestRecorderFromOutsideTheBubble(t *testing.T) {
	for _, opts := range [][]record.Option{nil, {record.Durable()}} {
		var out memory
		rec := record.New(&out, opts...)
		synctest.Test(t, func(t *testing.T) {
			chat(rec)
			time.Sleep(time.Second)
		})
		require.NoError(t, traigo.Run(context.Background(), func(context.Context, *traigo.Scope) error { return nil }, traigo.Observe(rec)))
		require.NoError(t, rec.Close())
		h := read(t, out.log())
		assert.Len(t, h.Roots(), 2)
		assert.Empty(t, unfinished(h))
	}
}

// A recorder that is not told anything waits for nothing, so that a bubble in which all
// are stuck is found out.
func TestIdleRecorderHasNoClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rec := record.New(io.Discard)
		s := traigo.New(context.Background(), traigo.Observe(rec))
		began := time.Now()
		go func() {
			time.Sleep(1000 * time.Hour)
			s.Cancel(nil)
		}()
		<-s.Done()
		assert.Equal(t, 1000*time.Hour, time.Since(began))
		require.NoError(t, rec.Close())
	})
}

func TestEventsAfterCloseAreIgnored(t *testing.T) {
	for _, opts := range [][]record.Option{nil, {record.Durable()}} {
		synctest.Test(t, func(t *testing.T) {
			var out memory
			rec := record.New(&out, opts...)
			s := traigo.New(context.Background(), traigo.Name("s"), traigo.Observe(rec))
			require.NoError(t, rec.Close())
			require.NoError(t, rec.Close())
			n := len(out.log())
			s.Spawn(func(context.Context) error { return errors.New("no") })
			require.Error(t, s.Wait())
			assert.Len(t, out.log(), n)
			h := read(t, out.log())
			assert.True(t, h.Closed)
			assert.Equal(t, []string{"s"}, unfinished(h), "it was open when the log ended")
		})
	}
}

// badError is an error whose text does what it likes.
type badError func() string

func (e badError) Error() string { return e() }

func TestErrorsThatMisbehave(t *testing.T) {
	for _, opts := range [][]record.Option{nil, {record.Durable()}} {
		synctest.Test(t, func(t *testing.T) {
			var out memory
			rec := record.New(&out, opts...)
			s := traigo.New(context.Background(), traigo.Name("s"), traigo.Observe(rec))
			alone := traigo.Bubble(false)
			free := make(chan struct{})
			s.Spawn(func(context.Context) error { return badError(func() string { panic("in Error") }) }, traigo.Name("panics"), alone)
			s.Spawn(func(context.Context) error { return badError(func() string { <-free; return "freed" }) }, traigo.Name("blocks"), alone)
			s.Spawn(func(context.Context) error {
				return badError(func() string { _ = s.Fork().Close(); return "called back" })
			}, traigo.Name("calls back"), alone)
			s.Spawn(func(context.Context) error { return (*traigo.Error)(nil) }, traigo.Name("nil pointer"), alone)
			s.Spawn(func(context.Context) error { return badError(func() string { runtime.Goexit(); return "" }) }, traigo.Name("exits"), alone)
			time.Sleep(time.Second)
			assert.Equal(t, history.TaskFailed, taskOf(read(t, out.log()), "s/panics").State, "though another blocks")
			close(free)
			require.NoError(t, s.Wait())
			require.NoError(t, rec.Close())
			h := read(t, out.log())
			assert.Empty(t, unfinished(h))
			assert.Contains(t, taskOf(h, "s/panics").Err, "panicked: in Error")
			assert.Equal(t, "freed", taskOf(h, "s/blocks").Err)
			assert.Equal(t, "called back", taskOf(h, "s/calls back").Err)
			assert.Equal(t, history.TaskFailed, taskOf(h, "s/nil pointer").State)
			assert.Equal(t, history.TaskFailed, taskOf(h, "s/exits").State)
		})
	}
}

// A task that was given up may outlive its scope: it is in each census until it ends.
func TestCensusHasTasksThatWereGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := tempLog(t)
		rec, err := record.Create(path, record.MaxAge(time.Minute))
		require.NoError(t, err)
		free := make(chan struct{})
		s := traigo.New(context.Background(), traigo.Name("s"), traigo.Observe(rec), traigo.CancelTimeout(time.Second))
		s.Spawn(func(context.Context) error { <-free; return nil }, traigo.Name("deaf"))
		require.Error(t, s.Close())
		time.Sleep(time.Hour)
		for range 3 {
			require.NoError(t, traigo.Run(context.Background(), func(context.Context, *traigo.Scope) error { return nil }, traigo.Observe(rec)))
			time.Sleep(time.Minute)
		}
		h, _ := readFile(t, path)
		deaf := taskOf(h, "s/deaf")
		require.NotNil(t, deaf)
		assert.Equal(t, history.TaskStuck, deaf.State)
		assert.Equal(t, history.ScopeLost, deaf.Scope.State, "nobody knows when")
		assert.Equal(t, []string{"s/deaf"}, unfinished(h))
		close(free)
		time.Sleep(time.Second)
		require.NoError(t, rec.Close())
		h, _ = readFile(t, path)
		assert.Empty(t, unfinished(h))
		all := read(t, bytes.Join(segments(t, path), nil))
		assert.Empty(t, unfinished(all))
		assert.NotEmpty(t, taskOf(all, "s/deaf").Scope.Err)
	})
}

// Why a scope was canceled is said once: where it comes from outside of what is recorded,
// it is said there.
func TestCauseIsWrittenWhereItComesFrom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out memory
		rec := record.New(&out)
		cause := errors.New("outside")
		causeOf := func(name string) string {
			for _, s := range read(t, out.log()).Scopes {
				if s.Name == name {
					return s.Cause.Kind + ": " + s.Cause.Err
				}
			}
			return ""
		}
		wait := func(ctx context.Context, _ *traigo.Scope) error {
			<-ctx.Done()
			return nil
		}
		ctx, cancel := context.WithCancelCause(context.Background())
		root := traigo.New(ctx, traigo.Name("root"), traigo.Observe(rec))
		root.Fork(traigo.Name("below"))
		alone := root.Spawn(func(ctx context.Context) error { return traigo.Run(ctx, wait, traigo.Name("of a task")) })
		root.Spawn(func(ctx context.Context) error {
			ctx, cancel := context.WithCancelCause(ctx)
			cancel(errors.New("between"))
			return traigo.Run(ctx, wait, traigo.Name("of a context"))
		}, traigo.Bubble(false))
		synctest.Wait()
		alone.Cancel(errors.New("alone"))
		_ = alone.Wait(context.Background())
		cancel(cause)
		require.Error(t, root.Wait())
		require.NoError(t, rec.Close())
		assert.Equal(t, "parent canceled: outside", causeOf("root"))
		assert.Equal(t, "parent canceled: between", causeOf("of a context"))
		assert.Contains(t, causeOf("of a task"), "alone")
		assert.Contains(t, causeOf("below"), "parent canceled: ")
	})
}

func TestManyGoroutinesAndADeadCloser(t *testing.T) {
	for _, opts := range [][]record.Option{nil, {record.Durable()}} {
		rec := record.New(io.Discard, opts...)
		s := traigo.New(context.Background(), traigo.Observe(rec))
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				for range 500 {
					s.Spawn(nop)
				}
			})
			wg.Go(func() { assert.NoError(t, rec.Close()) })
		}
		wg.Wait()
		require.NoError(t, s.Wait())
	}
}

// names as somebody may give them who means no good.
var hostile = []string{
	"plain", `quotes " and \ back`, "line\nbreak\r\ttab", "\x00\x01\x1f\x7f", "\xff\xfe not UTF-8 \xc3(", "half \xe2\x82",
	"\u2028 and \u2029", "日本語 🙂", "</script><script>", "\ufffd is itself", "{\"k\":\"bye\"}\n",
	strings.Repeat("x", 10_000), strings.Repeat("日", 5_000), strings.Repeat("\xff", 5_000), strings.Repeat("\n", 4_096),
}

func TestNamesComeBackAsTheyWere(t *testing.T) {
	for _, name := range hostile {
		checkName(t, name)
	}
}

func FuzzNames(f *testing.F) {
	for _, name := range hostile {
		f.Add(name)
	}
	f.Fuzz(checkName)
}

// checkName gives a name to all that has one, and looks at what comes back.
func checkName(t *testing.T, name string) {
	t.Helper()
	if name == "" {
		return // there is a default
	}
	synctest.Test(t, func(t *testing.T) {
		var out memory
		rec := record.New(&out)
		_ = traigo.Run(context.Background(), func(_ context.Context, s *traigo.Scope) error {
			s.Spawn(func(context.Context) error { return errors.New(name) }, traigo.Name(name))
			return nil
		}, traigo.Name(name), traigo.Observe(rec))
		require.NoError(t, rec.Close())
		for line := range bytes.Lines(out.log()) {
			require.True(t, json.Valid(line), "%q", line)
			require.True(t, utf8.Valid(line), "%q", line)
			require.NotContains(t, string(line), "\u2028")
		}
		h := read(t, out.log())
		assert.Zero(t, h.Damaged)
		require.Len(t, h.Scopes, 1)
		for _, text := range []string{h.Scopes[0].Name, h.Scopes[0].Tasks[0].Name, h.Scopes[0].Tasks[0].Err} {
			if len(name) <= 4096 {
				// As the standard library would have it: each byte that is not UTF-8 is replaced.
				assert.Equal(t, string([]rune(name)), text)
				continue
			}
			kept, rest, cut := strings.Cut(text, "… (")
			var more int
			_, err := fmt.Sscanf(rest, "%d bytes more)", &more)
			require.NoError(t, err)
			assert.True(t, cut)
			assert.Equal(t, string([]rune(name[:len(name)-more])), kept)
			assert.LessOrEqual(t, len(name)-more, 4096)
			assert.Greater(t, len(name)-more, 4096-utf8.UTFMax)
		}
	})
}
