package record_test

import (
	"bytes"
	"context"
	"io"
	"os"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"weak"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/record"
)

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
			require.NoError(t, traigo.Run(context.Background(), oneTask, traigo.Observe(rec)))
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
			_ = traigo.Run(context.Background(), oneTask, traigo.Observe(rec))
		}
	}
	run(1000)
	before := heap()
	run(10_000)
	assert.Less(t, heap()-before, 200_000.0)
	require.NoError(t, rec.Close())
}

// A closed recorder keeps no scopes and tasks: a long-lived scope may keep the recorder.
func TestClosedRecorderKeepsNothing(t *testing.T) {
	for _, opts := range modes {
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

// A recorder created outside of a bubble may be used in it.
func TestRecorderFromOutsideTheBubble(t *testing.T) {
	for _, opts := range modes {
		var out memory
		rec := record.New(&out, opts...)
		synctest.Test(t, func(t *testing.T) {
			chat(rec)
			time.Sleep(time.Second)
		})
		require.NoError(t, traigo.Run(context.Background(), emptyBody, traigo.Observe(rec)))
		require.NoError(t, rec.Close())
		h := read(t, out.log())
		assert.Len(t, h.Roots(), 2)
		assert.Empty(t, unfinished(h))
	}
}

func TestEventsAfterCloseAreIgnored(t *testing.T) {
	for _, opts := range modes {
		synctest.Test(t, func(t *testing.T) {
			var out memory
			rec := record.New(&out, opts...)
			s := traigo.New(context.Background(), traigo.Name("s"), traigo.Observe(rec))
			require.NoError(t, rec.Close())
			require.NoError(t, rec.Close())
			n := len(out.log())
			s.Spawn(fail)
			require.Error(t, s.Wait())
			assert.Len(t, out.log(), n)
			h := read(t, out.log())
			assert.True(t, h.Closed)
			assert.Equal(t, []string{"s"}, unfinished(h), "it was open when the log ended")
		})
	}
}

func TestManyGoroutinesAndADeadCloser(t *testing.T) {
	for _, opts := range modes {
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

// A program that is restarted after a crash does not overwrite the recording of the crash.
func TestCreateKeepsTheRecordingThatIsThere(t *testing.T) {
	path := tempLog(t)
	begin := func(opts ...record.Option) string {
		rec, err := record.Create(path, opts...)
		require.NoError(t, err)
		require.NoError(t, rec.Close())
		h, _ := readFile(t, path)
		return h.Run
	}
	runs := make([]string, 5)
	for i := range runs {
		runs[i] = begin(record.Keep(3))
	}
	for i, suffix := range []string{"", ".1", ".2", ".3"} {
		h, _ := readFile(t, path+suffix)
		assert.Equal(t, runs[len(runs)-1-i], h.Run, "the newest has no number, the oldest the highest")
	}
	assert.NoFileExists(t, path+".4")

	last := begin(record.Keep(0))
	h, _ := readFile(t, path+".1")
	assert.Equal(t, runs[3], h.Run, "nothing was moved")
	assert.NotEqual(t, runs[4], last)
}

func TestCreateMovesNothingThatIsNoRecording(t *testing.T) {
	path := tempLog(t)
	require.NoError(t, os.WriteFile(path, nil, 0o600))
	rec, err := record.Create(path)
	require.NoError(t, err)
	require.NoError(t, rec.Close())
	assert.NoFileExists(t, path+".1", "it was empty, as one of os.CreateTemp is")

	rec, err = record.Create(os.DevNull)
	require.NoError(t, err)
	require.NoError(t, rec.Close())
	assert.NoFileExists(t, os.DevNull+".1")
}

// A second recorder renames the file of the first, which goes on writing to it.
func TestTwoRecordersOfOnePathDoNotMix(t *testing.T) {
	path := tempLog(t)
	first, err := record.Create(path)
	require.NoError(t, err)
	second, err := record.Create(path)
	require.NoError(t, err)
	for name, rec := range map[string]*record.Recorder{"first": first, "second": second} {
		s := traigo.New(context.Background(), traigo.Name(name), traigo.Observe(rec))
		require.NoError(t, s.Close())
		require.NoError(t, rec.Close())
	}
	for name, file := range map[string]string{"first": path + ".1", "second": path} {
		h, _ := readFile(t, file)
		require.Len(t, h.Scopes, 1)
		assert.Equal(t, name, h.Scopes[0].Name)
		assert.True(t, h.Closed)
	}
}
