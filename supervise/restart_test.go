package supervise_test

import (
	"context"
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/supervise"
)

func TestPermanentErrorEndsAtOnce(t *testing.T) {
	inside := fmt.Errorf("config: %w", supervise.Permanent(errBoom))
	rows := []struct {
		name      string
		err, want error
	}{
		{"of this package", supervise.Permanent(errBoom), errBoom},
		{"of backoff", backoff.Permanent(errBoom), errBoom},
		{"inside another: nothing gets lost", inside, inside},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				fn, calls := failing(row.err)
				assert.Equal(t, row.want, supervise.Restart(fn, quiet())(t.Context()))
				assert.Equal(t, int32(1), calls.Load())
			})
		})
	}
	require.NoError(t, supervise.Permanent(nil))
}

func TestRestartIsReported(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log book
		var events []supervise.Event
		fn, _ := failing(errBoom, nil, supervise.Permanent(errBang))
		require.ErrorIs(t, spawned(t.Context(), supervise.Restart(fn, log.logger(), every(time.Second),
			supervise.When(supervise.Always),
			supervise.OnRestart(func(e supervise.Event) { events = append(events, e) }))), errBang)
		assert.Equal(t, []supervise.Event{
			{Attempt: 1, Err: errBoom, Delay: time.Second},
			{Attempt: 2, Err: nil, Delay: time.Second},
		}, events)
		assert.Equal(t, []string{
			`level=WARN msg="traigo: the task has failed and is to be restarted" scope=app task=app/job err=boom attempt=1 delay=1s`,
			`level=WARN msg="traigo: the task has failed and is to be restarted" scope=app task=app/job attempt=2 delay=1s`,
		}, log.lines())
	})
}

func TestEveryAttemptIsAScope(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var seen opened
		fn, _ := failing(errBoom)
		require.NoError(t, spawned(t.Context(), supervise.Restart(fn, quiet()), traigo.Observe(&seen)))
		assert.Equal(t, []string{"app", "app/job attempt 1", "app/job attempt 2"}, seen.read())

		seen = opened{}
		fn, _ = failing()
		require.NoError(t, traigo.Run(t.Context(), func(ctx context.Context, _ *traigo.Scope) error {
			return supervise.Restart(fn)(ctx)
		}, traigo.Name("body"), traigo.Observe(&seen)))
		assert.Equal(t, []string{"body", "body/attempt 1"}, seen.read(), "where there is no task")
	})
}

func TestWhatAnAttemptHasSpawnedEndsBeforeTheNext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var running, calls atomic.Int32
		require.NoError(t, supervise.Restart(func(ctx context.Context) error {
			assert.Zero(t, running.Load())
			if calls.Add(1) == 3 {
				return nil
			}
			running.Add(1)
			traigo.Current(ctx).Spawn(func(ctx context.Context) error {
				defer running.Add(-1)
				<-ctx.Done()
				time.Sleep(time.Second)
				return nil
			})
			return errBoom
		}, quiet(), every(0))(t.Context()))
	})
}

func TestRestartKeepsOtherErrorsOfTheLastAttempt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		err := spawned(t.Context(), supervise.Restart(func(ctx context.Context) error {
			traigo.Current(ctx).Spawn(func(ctx context.Context) error {
				<-ctx.Done()
				return errBang
			}, traigo.Name("part"))
			return supervise.Permanent(errBoom)
		}))
		require.EqualError(t, err, `scope "app/job attempt 1": boom; also: task "part": bang`)
	})
}

// A part of the attempt still runs, so another one would run beside it.
func TestStuckAttemptIsNotFollowedByAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		end, calls := make(chan struct{}), 0
		err := spawned(t.Context(), supervise.Restart(func(ctx context.Context) error {
			calls++
			traigo.Current(ctx).Spawn(func(context.Context) error { <-end; return nil })
			return errBoom
		}, quiet()), traigo.CancelTimeout(time.Second))
		require.ErrorIs(t, err, errBoom)
		var stuck *traigo.StuckError
		require.ErrorAs(t, err, &stuck)
		assert.Equal(t, 1, calls)
		close(end)
	})
}

func TestCancellationEndsTheWaitForARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancelCause(t.Context())
		start := time.Now()
		time.AfterFunc(time.Second, func() { cancel(errOuter) })
		fn, calls := failing(errBoom)
		assert.Equal(t, errOuter, supervise.Restart(fn, quiet(), every(time.Hour))(ctx))
		assert.Equal(t, time.Second, time.Since(start))
		assert.Equal(t, int32(1), calls.Load())
	})
}

func TestCancellationComesBeforeARestartThatIsDue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, delay := range []time.Duration{0, time.Second} {
			ctx, cancel := context.WithCancelCause(t.Context())
			fn, calls := failing(errBoom)
			assert.Equal(t, errOuter, supervise.Restart(fn, quiet(), every(delay), supervise.OnRestart(func(supervise.Event) {
				cancel(errOuter)
			}))(ctx))
			assert.Equal(t, int32(1), calls.Load())
		}
	})
}

func TestCanceledRunIsNotRestarted(t *testing.T) {
	rows := []struct {
		name string
		fn   func(context.Context) error
		want error
	}{
		{"that says so", untilCanceled, errOuter},
		{"that ends well", func(ctx context.Context) error { <-ctx.Done(); return nil }, nil},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancelCause(t.Context())
				time.AfterFunc(time.Second, func() { cancel(errOuter) })
				restarted := supervise.Restart(row.fn, supervise.When(supervise.Always), supervise.OnRestart(func(supervise.Event) {
					assert.Fail(t, "restarted")
				}))
				assert.Equal(t, row.want, restarted(ctx))
			})
		})
	}
}

func TestRealErrorOfACanceledRunIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(time.Second, func() { cancel(errOuter) })
		err := supervise.Restart(func(ctx context.Context) error { <-ctx.Done(); return errBoom }, quiet())(ctx)
		require.ErrorIs(t, err, errBoom)
	})
}

// A function may return the Cancellation of another scope. That is an error like any
// other, and must not be mistaken for the cancellation of ctx.
func TestForeignCancellationIsAFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		foreign := &traigo.Cancellation{Kind: traigo.ParentCanceled, Scope: "other"}
		assert.Equal(t, foreign, supervise.Restart(always(foreign), supervise.When(supervise.Never))(t.Context()))
		fn, calls := failing(foreign)
		require.NoError(t, supervise.Restart(fn, quiet())(t.Context()))
		assert.Equal(t, int32(2), calls.Load())
	})
}

func TestTimeoutOfTheTaskIsItsFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		err := traigo.Run(t.Context(), func(_ context.Context, s *traigo.Scope) error {
			s.Spawn(supervise.Restart(untilCanceled), traigo.Name("job"), traigo.Timeout(time.Minute))
			return nil
		}, traigo.Name("app"))
		require.EqualError(t, err, `scope "app": task "job": timed out after 1m0s`)
	})
}

func TestShutdownEndsRestarting(t *testing.T) {
	rows := []struct {
		name string
		fn   func(context.Context) error
		want error
	}{
		{"that waits for a restart, whose error has been reported", always(errBoom), nil},
		{"that runs, and ends well", func(ctx context.Context) error { <-traigo.Stopping(ctx); return nil }, nil},
		{"that runs, and fails", func(ctx context.Context) error { <-traigo.Stopping(ctx); return errBang }, errBang},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := traigo.New(t.Context())
				start := time.Now()
				s.Spawn(supervise.Restart(row.fn, quiet(), every(time.Hour), supervise.When(supervise.Always)))
				synctest.Wait()
				err := s.Shutdown(t.Context())
				if row.want == nil {
					require.NoError(t, err)
				} else {
					require.ErrorIs(t, err, row.want)
				}
				assert.Zero(t, time.Since(start))
			})
		})
	}
}

func TestPanicOfAnAttemptIsRaised(t *testing.T) {
	rows := []struct {
		name string
		fn   func(context.Context) error
	}{
		{"of the function", func(context.Context) error { panic(errBoom) }},
		{"of a task of it", func(ctx context.Context) error {
			traigo.Current(ctx).Spawn(func(context.Context) error { panic(errBoom) })
			return nil
		}},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var calls atomic.Int32
				fn := func(ctx context.Context) error {
					if calls.Add(1) > 1 {
						return nil
					}
					return row.fn(ctx)
				}
				value := raised(t, func() { _ = spawned(t.Context(), supervise.Restart(fn, quiet())) })
				p, ok := value.(*traigo.PanicError)
				require.True(t, ok, "%v", value)
				require.ErrorIs(t, p, errBoom)
				assert.Equal(t, int32(1), calls.Load())

				calls.Store(0)
				require.NoError(t, spawned(t.Context(), supervise.Restart(fn, quiet(), supervise.PanicAsError())))
				assert.Equal(t, int32(2), calls.Load())

				calls.Store(0)
				require.NoError(t, spawned(t.Context(), supervise.Restart(fn, quiet()), traigo.PanicAsError()), "inherited")
				assert.Equal(t, int32(2), calls.Load())
			})
		})
	}
}

func TestGoexitInAnAttemptIsTheEndOfTheTask(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		calls := 0
		err := spawned(t.Context(), supervise.Restart(func(context.Context) error {
			calls++
			runtime.Goexit()
			return nil
		}, quiet(), supervise.PanicAsError()))
		require.ErrorIs(t, err, traigo.ErrGoexit)
		assert.Equal(t, 1, calls)
	})
}

func TestRestartedFunctionMayRunInSeveralTasks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		restarted := supervise.Restart(always(errBoom), quiet(), every(time.Second), supervise.Intensity(3, time.Hour))
		require.NoError(t, traigo.Run(t.Context(), func(_ context.Context, s *traigo.Scope) error {
			for range 3 {
				s.Spawn(restarted, traigo.OnDone(func(err error) {
					assert.EqualError(t, err, "gave up: 3 restarts within 1h0m0s are allowed, and it failed again: boom")
				}))
			}
			return nil
		}))
	})
}

func TestRestartOfARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		calls := 0
		inner := supervise.Restart(func(context.Context) error { calls++; return errBoom },
			quiet(), every(time.Second), supervise.Intensity(1, time.Hour))
		err := supervise.Restart(inner, quiet(), every(time.Second), supervise.Intensity(2, time.Hour))(t.Context())
		require.EqualError(t, err, "gave up: 2 restarts within 1h0m0s are allowed, and it failed again: "+
			"gave up: 1 restart within 1h0m0s is allowed, and it failed again: boom")
		assert.Equal(t, 6, calls)
	})
}
