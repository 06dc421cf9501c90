package record_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"runtime"
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

// silent keeps the warning of a first loss out of the output of the tests.
func silent(t *testing.T) {
	t.Helper()
	was := slog.Default()
	slog.SetDefault(slog.New(slog.DiscardHandler))
	t.Cleanup(func() { slog.SetDefault(was) })
}

// program is a random tree of scopes and tasks, of which some fail. It ends.
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

// whole checks that a log of a program that has ended, and whose recorder was closed,
// accounts for all that has been observed.
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

// Whatever is lost on the way: the log says how much, and nothing that has ended looks as
// if it had not.
func TestStressLossesAreTold(t *testing.T) {
	silent(t)
	losses := uint64(0)
	for range 25 {
		seed := rand.Uint64()
		synctest.Test(t, func(t *testing.T) {
			rnd := rand.New(rand.NewPCG(seed, 0))
			var out memory
			slow := writing(func(p []byte) (int, error) {
				time.Sleep(time.Duration(rand.IntN(60)) * time.Millisecond)
				return out.Write(p)
			})
			var observed counting
			rec := record.New(slow, record.Buffer(1<<(7+rnd.IntN(6))))
			for range 1 + rnd.IntN(3) {
				program(rnd, traigo.Observe(rec), traigo.Observe(&observed))
			}
			err := rec.Close()
			h := whole(t, out.log(), observed.Load())
			if h.Lost() > 0 {
				require.ErrorContains(t, err, "too slow")
			} else {
				require.NoError(t, err)
			}
			losses += h.Lost()
			if t.Failed() {
				t.Logf("seed %d", seed)
			}
		})
	}
	assert.NotZero(t, losses, "the test has tested nothing")
}

// flaky is a writer that fails for a while, now and then, having taken a part.
type flaky struct {
	memory
	rnd    *rand.Rand // of the one that writes
	fail   int
	healed atomic.Bool
}

func (f *flaky) Write(p []byte) (int, error) {
	if f.healed.Load() {
		return f.memory.Write(p)
	}
	if f.fail == 0 && f.rnd.IntN(6) == 0 {
		f.fail = 1 + f.rnd.IntN(4)
	}
	if f.fail == 0 {
		return f.memory.Write(p)
	}
	f.fail--
	n, _ := f.memory.Write(p[:f.rnd.IntN(len(p))])
	if f.rnd.IntN(4) == 0 {
		return n, nil // it does not even say so
	}
	return n, syscall.EIO
}

func TestStressWriterThatFailsAndRecovers(t *testing.T) {
	silent(t)
	losses := uint64(0)
	for range 40 {
		seed := rand.Uint64()
		synctest.Test(t, func(t *testing.T) {
			rnd := rand.New(rand.NewPCG(seed, 0))
			out := &flaky{rnd: rand.New(rand.NewPCG(seed, 1))}
			var observed counting
			opts := []record.Option{record.Buffer(1 << (7 + rnd.IntN(8)))}
			if rnd.IntN(2) == 0 {
				opts = append(opts, record.Durable())
			}
			rec := record.New(out, opts...)
			program(rnd, traigo.Observe(rec), traigo.Observe(&observed))
			if rnd.IntN(2) == 0 {
				time.Sleep(20 * time.Second) // the loss is told also when nothing else comes
			}
			out.healed.Store(true)
			err := rec.Close()
			h := whole(t, out.log(), observed.Load())
			if h.Lost() > 0 {
				require.Error(t, err)
			} else {
				require.NoError(t, err)
			}
			losses += h.Lost()
			if t.Failed() {
				t.Logf("seed %d", seed)
			}
		})
		if t.Failed() {
			return
		}
	}
	assert.NotZero(t, losses, "the test has tested nothing")
}

// After a loss comes what is alive. While that is written, which takes its time, nothing
// more gets lost: or it would never end.
func TestLossAmongManyIsOne(t *testing.T) {
	silent(t)
	synctest.Test(t, func(t *testing.T) {
		var out memory
		var slow, hiccup atomic.Bool
		rec := record.New(writing(func(p []byte) (int, error) {
			if hiccup.Swap(false) {
				time.Sleep(time.Second)
			}
			if slow.Load() {
				time.Sleep(time.Duration(len(p)) * time.Microsecond)
			}
			return out.Write(p)
		}), record.Buffer(8<<10))
		var observed counting
		s := traigo.New(context.Background(), traigo.Observe(rec), traigo.Observe(&observed))
		for range 2_000 {
			s.Spawn(untilCanceled, traigo.Awaited(false))
			synctest.Wait()
		}
		slow.Store(true)
		hiccup.Store(true)
		for range 3_000 {
			_ = s.Spawn(nop).Wait(context.Background())
			time.Sleep(time.Millisecond)
		}
		slow.Store(false)
		time.Sleep(time.Second)
		_ = s.Close()
		_ = rec.Close()
		h := whole(t, out.log(), observed.Load())
		during := 0
		for _, l := range h.Losses {
			if l.At > 0 && l.At < 3*time.Second {
				during++
			}
		}
		assert.Equal(t, 1, during, "%v", h.Losses)
	})
}

// A stuck writer delays a failing task once, for 50 ms, and nothing else.
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
			s.Spawn(func(context.Context) error { return errors.New("no") }, traigo.Bubble(false))
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

// Close does not wait for ever.
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

// Nor where the program itself writes, and some of it is stuck.
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
			ended <- traigo.Run(context.Background(), func(context.Context, *traigo.Scope) error { return nil }, traigo.Observe(rec))
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

// In a bubble time passes while the program waits for a slow writer.
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

func TestCloseSaysWhatIsMissingAndWhy(t *testing.T) {
	silent(t)
	for _, row := range []struct {
		name string
		fail error
		opts []record.Option
	}{
		{"default", os.ErrClosed, nil},
		{"durable", io.ErrClosedPipe, []record.Option{record.Durable()}},
	} {
		synctest.Test(t, func(t *testing.T) {
			rec := record.New(writing(func([]byte) (int, error) { return 0, row.fail }), row.opts...)
			var observed counting
			require.NoError(t, traigo.Run(context.Background(), func(context.Context, *traigo.Scope) error { return nil },
				traigo.Observe(rec), traigo.Observe(&observed)))
			err := rec.Close()
			require.ErrorIs(t, err, row.fail)
			require.ErrorContains(t, err, "record: 4 lines of")
			assert.EqualValues(t, 4, observed.Load())
			assert.Equal(t, err, rec.Close())
		})
	}
}

// Of a writer that panics the program does not hear.
func TestWriterThatPanics(t *testing.T) {
	silent(t)
	synctest.Test(t, func(t *testing.T) {
		rec := record.New(writing(func([]byte) (int, error) { panic("no") }), record.Durable())
		require.NoError(t, traigo.Run(context.Background(), func(context.Context, *traigo.Scope) error { return nil }, traigo.Observe(rec)))
		require.ErrorContains(t, rec.Close(), "panicked: no")
	})
}

func TestWriterThatCallsGoexit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rec := record.New(writing(func([]byte) (int, error) { runtime.Goexit(); return 0, nil }))
		s := traigo.New(context.Background(), traigo.Observe(rec))
		s.Spawn(func(context.Context) error { return errors.New("no") })
		require.Error(t, s.Wait())
		require.ErrorContains(t, rec.Close(), "Goexit")
	})
}

// Whenever it does so, nobody waits for it.
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

// Of one that a program calls itself it ends the goroutine, as it says, and no more.
func TestDurableWriterThatCallsGoexit(t *testing.T) {
	silent(t)
	synctest.Test(t, func(t *testing.T) {
		var out memory
		var observed counting
		fatal := true
		rec := record.New(writing(func(p []byte) (int, error) {
			if fatal && bytes.Contains(p, []byte(`"start"`)) {
				fatal = false
				runtime.Goexit()
			}
			return out.Write(p)
		}), record.Durable())
		s := traigo.New(context.Background(), traigo.Observe(rec), traigo.Observe(&observed))
		for range 3 {
			s.Spawn(nop)
		}
		_ = s.Wait()
		require.ErrorContains(t, rec.Close(), "1 lines")
		h := whole(t, out.log(), observed.Load()+1) // it has not been shown that one
		assert.EqualValues(t, 1, h.Lost())
	})
}

// The first loss is logged, and no other.
func TestFirstLossIsLogged(t *testing.T) {
	var out memory
	was := slog.Default()
	slog.SetDefault(slog.New(slog.NewTextHandler(&out, nil)))
	defer slog.SetDefault(was)
	synctest.Test(t, func(t *testing.T) {
		rec := record.New(writing(func([]byte) (int, error) { return 0, syscall.ENOSPC }))
		for range 10 {
			require.NoError(t, traigo.Run(context.Background(), func(context.Context, *traigo.Scope) error { return nil }, traigo.Observe(rec)))
		}
		require.ErrorIs(t, rec.Close(), syscall.ENOSPC)
	})
	assert.Equal(t, 1, strings.Count(string(out.log()), "WARN"))
}

// What is alive when lines are lost is known after it, by name and in its place.
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
