package supervise_test

import (
	"context"
	"math"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/supervise"
)

func TestEveryCallsAtMultiplesOfItsInterval(t *testing.T) {
	const s = time.Second
	rows := []struct {
		name  string
		lasts []time.Duration // how long each call takes
		at    []time.Duration // when it begins
	}{
		{"short calls", []time.Duration{0, 0, 0}, []time.Duration{s, 2 * s, 3 * s}},
		{"calls that take a part of it", []time.Duration{s / 2, s - 1, 1}, []time.Duration{s, 2 * s, 3 * s}},
		{"a call until the next is due", []time.Duration{s, s, 0}, []time.Duration{s, 2 * s, 3 * s}},
		{"a call that is late by a moment", []time.Duration{s + 1, 0}, []time.Duration{s, 3 * s}},
		{"long calls", []time.Duration{5 * s / 2, 3 * s / 2, 0, 0}, []time.Duration{s, 4 * s, 6 * s, 7 * s}},
		{"a call until one of those that are due", []time.Duration{3 * s, 2*s + 1, 0}, []time.Duration{s, 4 * s, 7 * s}},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				var at []time.Duration
				var running atomic.Int32
				err := supervise.Every(s, func(context.Context) error {
					assert.Equal(t, int32(1), running.Add(1))
					defer running.Add(-1)
					at = append(at, time.Since(start))
					time.Sleep(row.lasts[len(at)-1])
					if len(at) == len(row.lasts) {
						return errBoom
					}
					return nil
				})(t.Context())
				assert.Equal(t, errBoom, err)
				assert.Equal(t, row.at, at)
			})
		})
	}
}

func TestEveryEndsWithItsContext(t *testing.T) {
	rows := []struct {
		name  string
		end   time.Duration // when ctx is canceled
		fn    func(context.Context) error
		calls int32
		want  error
	}{
		{"before it begins", 0, always(nil), 0, errOuter},
		{"before a call", time.Second / 2, always(nil), 0, errOuter},
		{"between two calls", 5 * time.Second / 2, always(nil), 2, errOuter},
		{"in a call that ends well", 3 * time.Second / 2, after(time.Second, nil), 1, errOuter},
		{"in a call after which another is due", 3 * time.Second / 2, after(2*time.Second, nil), 1, errOuter},
		{"in a call that fails", 3 * time.Second / 2, after(time.Second, errBoom), 1, errBoom},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancelCause(t.Context())
				if row.end == 0 {
					cancel(errOuter)
				}
				time.AfterFunc(row.end, func() { cancel(errOuter) })
				var calls atomic.Int32
				assert.Equal(t, row.want, supervise.Every(time.Second, func(ctx context.Context) error {
					calls.Add(1)
					return row.fn(ctx)
				})(ctx))
				assert.Equal(t, row.calls, calls.Load())
			})
		})
	}
}

// A select would choose at random between the two.
func TestEveryCallsNothingThatIsDueOnceItsContextIsDone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for range 100 {
			ctx, cancel := context.WithCancel(t.Context())
			require.ErrorIs(t, supervise.Every(time.Second, func(ctx context.Context) error {
				assert.NoError(t, ctx.Err())
				cancel()
				time.Sleep(time.Second) // now the next call is due
				return nil
			})(ctx), context.Canceled)
		}
	})
}

func TestEveryInABackgroundTaskEndsWithTheRest(t *testing.T) {
	beats := func(s *traigo.Scope) (*traigo.Task, *atomic.Int32) {
		var calls atomic.Int32
		beat := func(context.Context) error { calls.Add(1); return nil }
		return s.Spawn(supervise.Every(time.Second, beat), traigo.NameOf(beat), traigo.Awaited(false)), &calls
	}
	t.Run("finalized", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			var task *traigo.Task
			var calls *atomic.Int32
			require.NoError(t, traigo.Run(t.Context(), func(_ context.Context, s *traigo.Scope) error {
				task, calls = beats(s)
				s.Spawn(after(5*time.Second/2, nil))
				return nil
			}))
			assert.Equal(t, int32(2), calls.Load())
			assert.False(t, task.Failed())
		})
	})
	t.Run("shut down", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := traigo.New(t.Context())
			_, calls := beats(s)
			s.Spawn(func(ctx context.Context) error {
				<-traigo.Stopping(ctx)
				time.Sleep(5 * time.Second / 2)
				return nil
			})
			synctest.Wait()
			require.NoError(t, s.Shutdown(t.Context()))
			assert.Equal(t, int32(2), calls.Load(), "it goes on until the rest has ended")
		})
	})
}

func TestFailureOfEveryIsThatOfItsTask(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		require.EqualError(t, spawned(t.Context(), supervise.Every(time.Second, always(errBoom))),
			`scope "app": task "job": boom`)
		require.ErrorIs(t, spawned(t.Context(), supervise.Every(time.Second, func(context.Context) error {
			runtime.Goexit()
			return nil
		})), traigo.ErrGoexit)
		p, ok := raised(t, func() {
			_ = spawned(t.Context(), supervise.Every(time.Second, func(context.Context) error { panic(errBoom) }))
		}).(*traigo.PanicError)
		require.True(t, ok)
		require.ErrorIs(t, p, errBoom)
	})
}

func TestEveryInSeveralTasks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int32
		tick := supervise.Every(time.Second, func(context.Context) error { calls.Add(1); return nil })
		start := time.Now()
		err := traigo.Run(t.Context(), func(_ context.Context, s *traigo.Scope) error {
			for i := range 3 {
				time.Sleep(time.Duration(i) * 100 * time.Millisecond) // each has a beginning of its own
				s.Spawn(tick)
			}
			return nil
		}, traigo.Timeout(2250*time.Millisecond))
		require.ErrorIs(t, err, context.DeadlineExceeded)
		assert.Equal(t, 2250*time.Millisecond, time.Since(start))
		assert.Equal(t, int32(5), calls.Load())
	})
}

func TestEveryHundredYears(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		require.ErrorIs(t, supervise.Every(math.MaxInt64, always(errBoom))(ctx), context.DeadlineExceeded)
	})
}
