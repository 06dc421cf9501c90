package record_test

import (
	"bytes"
	"context"
	"io"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/record"
	"github.com/traigo/traigo/record/history"
)

// hugeError has a long text, made anew by each call of Error.
type hugeError struct{}

func (hugeError) Error() string { return strings.Repeat("x", 8<<20) }

// The recorder keeps little of what is alive, however long the cause of a cancellation, and
// releases it at the end.
func TestAliveAreSmall(t *testing.T) {
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

// A task that was given up is in each census until it ends, also after its scope has closed.
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
			require.NoError(t, traigo.Run(context.Background(), emptyBody, traigo.Observe(rec)))
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

// After a loss the log has the names and parents of all that is alive.
func TestCensusFollowsALoss(t *testing.T) {
	silent(t)
	synctest.Test(t, func(t *testing.T) {
		var out memory
		var broken atomic.Bool
		broken.Store(true)
		rec := record.New(writing(func(p []byte) (int, error) {
			if broken.Load() && len(out.log()) > 0 {
				return 0, syscall.ENOSPC
			}
			return out.Write(p)
		}))
		synctest.Wait()
		s := traigo.New(context.Background(), traigo.Name("s"), traigo.Observe(rec))
		s.Spawn(untilCanceled, traigo.Name("task"))
		inner := traigo.New(s.Context(), traigo.Name("inner"))
		inner.Spawn(untilCanceled, traigo.Name("below"))
		over := s.Fork(traigo.Name("over"))
		require.NoError(t, over.Close())
		time.Sleep(time.Minute)
		broken.Store(false)
		time.Sleep(time.Minute)
		h := read(t, out.log())
		assert.NotZero(t, h.Lost())
		assert.Contains(t, h.Losses[0].Why, "no space left")
		assert.Equal(t, []string{"s", "s/task", "s/inner", "s/inner/below"}, unfinished(h))
		assert.Equal(t, history.TaskRunning, taskOf(h, "s/task").State)
		require.NoError(t, s.Close())
		require.ErrorIs(t, rec.Close(), syscall.ENOSPC)
		assert.Empty(t, unfinished(read(t, out.log())))
	})
}

// A scope of New may outlive the task that opened it. A census with the scope does not list
// the task.
func TestCensusHasNoTasksThatHaveEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := tempLog(t)
		rec, err := record.Create(path, record.MaxAge(time.Minute))
		require.NoError(t, err)
		s := traigo.New(context.Background(), traigo.Name("s"), traigo.Observe(rec))
		s.Spawn(func(ctx context.Context) error {
			time.Sleep(time.Second)
			_ = traigo.New(ctx, traigo.Name("visitor"))
			return nil
		}, traigo.Name("over"))
		s.Spawn(func(ctx context.Context) error {
			return traigo.Run(ctx, func(ctx context.Context, _ *traigo.Scope) error { return untilCanceled(ctx) }, traigo.Name("run"))
		}, traigo.Name("alive"))
		time.Sleep(time.Hour)
		flush(s)
		h, _ := readFile(t, path)
		assert.Equal(t, []string{"s", "s/alive", "s/run", "s/visitor"}, unfinished(h))
		assert.Equal(t, "s/alive", h.Scopes[1].By.Path())
		assert.Len(t, h.Scopes[0].Tasks, 1, "only the one that is alive")
		s.Cancel(nil)
		_ = s.Wait()
		require.NoError(t, rec.Close())
	})
}
