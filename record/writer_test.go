package record_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/record"
)

// Each line is written within 100 ms.
func TestLinesAreWrittenSoon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out memory
		rec := record.New(&out)
		synctest.Wait() // the header is written
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

// Urgent events are written before Observe returns.
func TestWhatMattersIsWrittenAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out memory
		rec := record.New(&out)
		has := func(kind string) bool { return bytes.Contains(out.log(), []byte(`"k":"`+kind+`"`)) }
		root := traigo.New(context.Background(), traigo.Name("root"), traigo.Observe(rec))

		_ = root.Spawn(fail, traigo.Bubble(false)).Wait(context.Background())
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

// A stuck writer delays the program once, by 50 ms.
func TestStuckWriterDelaysOnce(t *testing.T) {
	silent(t)
	synctest.Test(t, func(t *testing.T) {
		free := make(chan struct{})
		var out memory
		rec := record.New(writing(func(p []byte) (int, error) {
			<-free
			return out.Write(p)
		}), record.Buffer(4096))
		var observed counting
		s := traigo.New(context.Background(), traigo.Name("s"), traigo.Observe(rec), traigo.Observe(&observed))
		began := time.Now()
		for range 100 {
			s.Spawn(fail, traigo.Bubble(false))
		}
		synctest.Wait()
		require.NoError(t, s.Wait())
		assert.LessOrEqual(t, time.Since(began), 50*time.Millisecond)
		close(free)
		require.ErrorContains(t, rec.Close(), "too slow")
		h := whole(t, out.log(), observed.Load())
		assert.NotZero(t, h.Lost())
	})
}

// Close does not wait for ever for a stuck writer.
func TestCloseGivesUpOnAStuckWriter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		free := make(chan struct{})
		rec := record.New(writing(func(p []byte) (int, error) {
			<-free
			return len(p), nil
		}))
		began := time.Now()
		require.ErrorIs(t, rec.Close(), os.ErrDeadlineExceeded)
		assert.Equal(t, 10*time.Second, time.Since(began))
		close(free)
	})
}

// It does not with Durable either, when a goroutine of the program is stuck in a write.
func TestCloseGivesUpOnAStuckDurableWriter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		free := make(chan struct{})
		var out memory
		rec := record.New(writing(func(p []byte) (int, error) {
			if len(out.log()) > 0 {
				<-free
			}
			return out.Write(p)
		}), record.Durable())
		ended := make(chan error)
		go func() {
			ended <- traigo.Run(context.Background(), emptyBody, traigo.Observe(rec))
		}()
		synctest.Wait()
		began := time.Now()
		require.ErrorIs(t, rec.Close(), os.ErrDeadlineExceeded)
		assert.Equal(t, 10*time.Second, time.Since(began))
		close(free)
		require.NoError(t, <-ended)
		require.NoError(t, rec.Close())
		assert.True(t, read(t, out.log()).Closed)
	})
}

// In a bubble time passes while tasks wait for another one's write.
func TestDurableWriterThatSleepsInABubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out memory
		rec := record.New(writing(func(p []byte) (int, error) {
			time.Sleep(time.Millisecond)
			return out.Write(p)
		}), record.Durable())
		var observed counting
		s := traigo.New(context.Background(), traigo.Observe(rec), traigo.Observe(&observed))
		for range 10 {
			s.Spawn(nop)
		}
		require.NoError(t, s.Wait())
		require.NoError(t, rec.Close())
		whole(t, out.log(), observed.Load())
	})
}

// A panic of the writer does not reach the program.
func TestWriterThatPanics(t *testing.T) {
	silent(t)
	synctest.Test(t, func(t *testing.T) {
		rec := record.New(writing(func([]byte) (int, error) { panic("no") }), record.Durable())
		require.NoError(t, traigo.Run(context.Background(), emptyBody, traigo.Observe(rec)))
		require.ErrorContains(t, rec.Close(), "panicked: no")
	})
}

func TestWriterThatCallsGoexit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rec := record.New(writing(func([]byte) (int, error) { runtime.Goexit(); return 0, nil }))
		s := traigo.New(context.Background(), traigo.Observe(rec))
		s.Spawn(fail)
		require.Error(t, s.Wait())
		require.ErrorContains(t, rec.Close(), "Goexit")
	})
}

// Whenever the writer calls Goexit, no event waits for it afterwards.
func TestWriterThatCallsGoexitLater(t *testing.T) {
	silent(t)
	fails := func(context.Context, *traigo.Scope) error { return errors.New("no") }
	for fatal := range 3 {
		synctest.Test(t, func(t *testing.T) {
			n := 0
			rec := record.New(writing(func(p []byte) (int, error) {
				if n++; n > fatal {
					runtime.Goexit()
				}
				return len(p), nil
			}))
			began := time.Now()
			for range 3 {
				require.Error(t, traigo.Run(context.Background(), fails, traigo.Observe(rec)))
			}
			assert.Less(t, time.Since(began), 100*time.Millisecond)
			require.ErrorContains(t, rec.Close(), "Goexit")
		})
	}
}

// With Durable the last lines are written by a goroutine of the recorder: Close returns,
// and so does an Observe that comes later.
func TestDurableWriterThatCallsGoexitInClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out memory
		rec := record.New(writing(func(p []byte) (int, error) {
			if bytes.Contains(p, []byte(`"bye"`)) {
				runtime.Goexit()
			}
			return out.Write(p)
		}), record.Durable())
		require.NoError(t, traigo.Run(context.Background(), oneTask, traigo.Observe(rec)))
		require.ErrorContains(t, rec.Close(), "Goexit")
		require.NoError(t, traigo.Run(context.Background(), oneTask, traigo.Observe(rec)))
		h := read(t, out.log())
		assert.Len(t, h.Scopes, 1)
		assert.Empty(t, unfinished(h))
	})
}
