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

// failing returns a function that returns errs one after the other, and then nil,
// and how often it has been called.
func failing(errs ...error) (func(context.Context) error, *atomic.Int32) {
	var calls atomic.Int32
	return func(context.Context) error {
		if n := int(calls.Add(1)); n <= len(errs) {
			return errs[n-1]
		}
		return nil
	}, &calls
}

func always(err error) func(context.Context) error {
	return func(context.Context) error { return err }
}

func TestRestartRunsAgainWhatThePolicySays(t *testing.T) {
	rows := []struct {
		name  string
		when  []supervise.Option
		errs  []error
		calls int32
		err   error
	}{
		{"by default after a failure", nil, []error{errBoom, errBoom}, 3, nil},
		{"on failure, not after success", []supervise.Option{supervise.When(supervise.OnFailure)}, nil, 1, nil},
		{"never", []supervise.Option{supervise.When(supervise.Never)}, []error{errBoom}, 1, errBoom},
		{"always, after success too", []supervise.Option{supervise.When(supervise.Always)},
			[]error{nil, errBoom, nil, supervise.Permanent(errBang)}, 4, errBang},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				fn, calls := failing(row.errs...)
				err := supervise.Restart(fn, append(row.when, quiet(), every(time.Second))...)(t.Context())
				assert.Equal(t, row.err, err)
				assert.Equal(t, row.calls, calls.Load())
			})
		})
	}
}

func TestRestartWaitsAsTheBackoffSays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		var at []time.Duration
		var delays []time.Duration
		newPolicy := func() backoff.BackOff {
			b := backoff.NewExponentialBackOff()
			b.InitialInterval, b.Multiplier, b.RandomizationFactor = time.Second, 2, 0
			return b
		}
		restarted := supervise.Restart(func(context.Context) error {
			at = append(at, time.Since(start))
			if len(at)%4 == 0 {
				return nil
			}
			return errBoom
		}, quiet(), supervise.Backoff(newPolicy),
			supervise.OnRestart(func(e supervise.Event) { delays = append(delays, e.Delay) }))

		require.NoError(t, restarted(t.Context()))
		assert.Equal(t, []time.Duration{0, time.Second, 3 * time.Second, 7 * time.Second}, at)
		require.NoError(t, restarted(t.Context()), "a second call")
		assert.Equal(t, []time.Duration{
			time.Second, 2 * time.Second, 4 * time.Second,
			time.Second, 2 * time.Second, 4 * time.Second,
		}, delays, "each call has a policy of its own")
	})
}

func TestRestartBeginsWithShortDelaysAfterALongRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var delays []time.Duration
		runs := []time.Duration{0, 0, time.Minute - 1, time.Minute, 0}
		calls := 0
		require.NoError(t, supervise.Restart(func(ctx context.Context) error {
			if calls++; calls > len(runs) {
				return nil
			}
			assert.NoError(t, traigo.Sleep(ctx, runs[calls-1]))
			return errBoom
		}, quiet(), supervise.ResetAfter(time.Minute), supervise.Backoff(func() backoff.BackOff {
			b := backoff.NewExponentialBackOff()
			b.InitialInterval, b.Multiplier, b.RandomizationFactor = time.Second, 2, 0
			return b
		}), supervise.OnRestart(func(e supervise.Event) { delays = append(delays, e.Delay) }))(t.Context()))
		const s = time.Second
		assert.Equal(t, []time.Duration{s, 2 * s, 4 * s, s, 2 * s}, delays)
	})
}

func TestRestartHasJitterByDefault(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		delays := map[time.Duration]bool{}
		for range 20 {
			fn, _ := failing(errBoom)
			require.NoError(t, supervise.Restart(fn, quiet(), supervise.OnRestart(func(e supervise.Event) {
				delays[e.Delay] = true
				assert.GreaterOrEqual(t, e.Delay, 250*time.Millisecond)
				assert.LessOrEqual(t, e.Delay, 750*time.Millisecond)
			}))(t.Context()))
		}
		assert.Greater(t, len(delays), 10)
	})
}

func TestRestartHonorsRetryAfter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		fn, _ := failing(fmt.Errorf("busy: %w", backoff.RetryAfter(30)))
		require.NoError(t, supervise.Restart(fn, quiet())(t.Context()))
		assert.Equal(t, 30*time.Second, time.Since(start))
	})
}

func TestRestartEndsWhenTheIntensityIsTooHigh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start, calls := time.Now(), 0
		err := spawned(t.Context(), supervise.Restart(func(context.Context) error {
			calls++
			return errBoom
		}, quiet(), every(time.Second), supervise.Intensity(3, 10*time.Second)))
		require.EqualError(t, err, `scope "app": task "job": gave up after 3 restarts in 10s: boom`)
		require.ErrorIs(t, err, errBoom)
		var last *supervise.RestartError
		require.ErrorAs(t, err, &last)
		assert.Equal(t, &supervise.RestartError{Restarts: 3, Within: 10 * time.Second, Err: errBoom}, last)
		assert.Equal(t, 4, calls)
		assert.Equal(t, 3*time.Second, time.Since(start))
	})
}

// The restarts of a run of three in ten seconds are at 5, 10 and 15: at 15 the first
// is out of the window.
func TestIntensityCountsOnlyWhatIsInTheWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, row := range []struct {
			n    int
			ends bool
		}{{2, false}, {1, true}} {
			fn, calls := failing(errBoom, errBoom, errBoom, errBoom, errBoom)
			err := supervise.Restart(fn, quiet(), every(5*time.Second), supervise.Intensity(row.n, 10*time.Second))(t.Context())
			if row.ends {
				require.EqualError(t, err, "gave up after 1 restart in 10s: boom")
				continue
			}
			require.NoError(t, err)
			assert.Equal(t, int32(6), calls.Load())
		}
	})
}

func TestRestartThatNeverFailsIsLimitedToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		err := supervise.Restart(always(nil), quiet(), every(0), supervise.When(supervise.Always),
			supervise.Intensity(2, time.Second))(t.Context())
		require.EqualError(t, err, "gave up after 2 restarts in 1s: the last run returned no error")
	})
}

func TestRestartEndsWhenTheBackoffStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stopAfter := func(n int) supervise.Option {
			return supervise.Backoff(func() backoff.BackOff { return &countdown{left: n} })
		}
		require.EqualError(t, supervise.Restart(always(errBoom), quiet(), stopAfter(2))(t.Context()),
			"gave up after 2 restarts in 2s: boom")
		assert.Equal(t, errBoom, supervise.Restart(always(errBoom), quiet(), stopAfter(0))(t.Context()))
		require.NoError(t, supervise.Restart(always(nil), quiet(), stopAfter(0), supervise.When(supervise.Always))(t.Context()))
	})
}

// countdown is a policy that allows some restarts, a second apart.
type countdown struct{ left int }

func (*countdown) Reset() {}

func (c *countdown) NextBackOff() time.Duration {
	if c.left--; c.left < 0 {
		return backoff.Stop
	}
	return time.Second
}

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

func TestRestartKeepsWhatFailedBesides(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		err := spawned(t.Context(), supervise.Restart(func(ctx context.Context) error {
			traigo.Current(ctx).Spawn(func(ctx context.Context) error {
				<-ctx.Done()
				return errBang
			}, traigo.Name("part"))
			return supervise.Permanent(errBoom)
		}))
		require.EqualError(t, err, `scope "app": task "job": scope "app/job attempt 1": boom; also: task "part": bang`)
	})
}

// What does not end cannot be begun again.
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

// A function may return the cancellation of another scope: it is an error of its
// own then, and must not be taken for that of ctx.
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
					assert.EqualError(t, err, "gave up after 3 restarts in 1h0m0s: boom")
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
		require.EqualError(t, err, "gave up after 2 restarts in 1h0m0s: gave up after 1 restart in 1h0m0s: boom")
		assert.Equal(t, 6, calls)
	})
}
