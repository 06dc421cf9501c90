package supervise_test

import (
	"context"
	"errors"
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

// numbered returns a function and the number of its calls. The function returns errs one
// after the other, and then nil, and beside each of them the number of the call.
func numbered(errs ...error) (func(context.Context) (int, error), *atomic.Int32) {
	fn, calls := failing(errs...)
	return func(ctx context.Context) (int, error) {
		err := fn(ctx)
		return int(calls.Load()), err
	}, calls
}

func TestRetryCallsAgainWhatThePolicySays(t *testing.T) {
	inside := fmt.Errorf("config: %w", supervise.Permanent(errBoom))
	stop := supervise.Backoff(func() backoff.BackOff { return &countdown{left: 1} })
	rows := []struct {
		name string
		errs []error
		opts []supervise.Option
		last int // the value: the number of the last call
		took time.Duration
		want error
	}{
		{"a success at once", nil, nil, 1, 0, nil},
		{"after failures", []error{errBoom, errBang}, nil, 3, 2 * time.Second, nil},
		{"on failure", []error{errBoom}, []supervise.Option{supervise.When(supervise.OnFailure)}, 2, time.Second, nil},
		{"never", []error{errBoom}, []supervise.Option{supervise.When(supervise.Never)}, 1, 0, errBoom},
		{"not after a permanent error", []error{errBoom, supervise.Permanent(errBang)}, nil, 2, time.Second, errBang},
		{"not after one inside another", []error{inside}, nil, 1, 0, inside},
		{"at the limit of Intensity", []error{errBoom, errBoom, errBoom},
			[]supervise.Option{supervise.Intensity(2, time.Hour)}, 3, 2 * time.Second,
			&supervise.RestartError{Restarts: 2, Within: time.Hour, Err: errBoom}},
		{"three attempts", []error{errBoom, errBang, errBoom},
			[]supervise.Option{supervise.Attempts(3)}, 3, 2 * time.Second,
			&supervise.RestartError{Restarts: 2, Within: 2 * time.Second, Stopped: true, Err: errBoom}},
		{"three attempts, of which one succeeds", []error{errBoom, errBang}, []supervise.Option{supervise.Attempts(3)}, 3, 2 * time.Second, nil},
		{"one attempt", []error{errBoom}, []supervise.Option{supervise.Attempts(1)}, 1, 0, errBoom},
		{"until the backoff stops", []error{errBoom, errBang}, []supervise.Option{stop}, 2, time.Second,
			&supervise.RestartError{Restarts: 1, Within: time.Second, Stopped: true, Err: errBang}},
		{"when the server says", []error{backoff.RetryAfter(30)}, nil, 2, 30 * time.Second, nil},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				fn, calls := numbered(row.errs...)
				value, err := supervise.Retry(t.Context(), fn, append([]supervise.Option{quiet(), every(time.Second)}, row.opts...)...)
				assert.Equal(t, row.want, err)
				assert.Equal(t, row.last, value)
				assert.Equal(t, int32(row.last), calls.Load())
				assert.Equal(t, row.took, time.Since(start))
			})
		})
	}
}

// A delay of the default policy is at most one and a half times a minute.
func TestRetryNeverGivesUpByDefault(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		value, err := supervise.Retry(t.Context(), func(context.Context) (string, error) {
			if time.Since(start) < time.Hour {
				return "", errBoom
			}
			return "there", nil
		}, quiet())
		require.NoError(t, err)
		assert.Equal(t, "there", value)
		assert.LessOrEqual(t, time.Since(start), time.Hour+90*time.Second)
	})
}

func TestRetryIsReported(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log book
		var seen opened
		var events []supervise.Event
		fn, _ := numbered(errBoom, errBang)
		require.NoError(t, spawned(t.Context(), func(ctx context.Context) error {
			value, err := supervise.Retry(ctx, fn, log.logger(), every(time.Second),
				supervise.OnRestart(func(e supervise.Event) { events = append(events, e) }))
			assert.Equal(t, 3, value)
			return err
		}, traigo.Observe(&seen)))
		assert.Equal(t, []supervise.Event{
			{Attempt: 1, Err: errBoom, Delay: time.Second},
			{Attempt: 2, Err: errBang, Delay: time.Second},
		}, events)
		assert.Equal(t, []string{
			`level=WARN msg="traigo: the call has failed and is to be retried" scope=app task=app/job err=boom attempt=1 delay=1s`,
			`level=WARN msg="traigo: the call has failed and is to be retried" scope=app task=app/job err=bang attempt=2 delay=1s`,
		}, log.lines())
		assert.Equal(t, []string{"app", "app/job attempt 1", "app/job attempt 2", "app/job attempt 3"}, seen.read())
	})
}

// The second call would find a task of the first one still running.
func TestRetryJoinsEachCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var running atomic.Int32
		calls := 0
		value, err := supervise.Retry(t.Context(), func(ctx context.Context) (int, error) {
			assert.Zero(t, running.Load())
			running.Add(1)
			traigo.Current(ctx).Spawn(func(ctx context.Context) error {
				defer running.Add(-1)
				return traigo.Sleep(ctx, time.Second)
			})
			if calls++; calls < 3 {
				return 0, errBoom
			}
			return calls, nil
		}, quiet(), every(0))
		require.NoError(t, err)
		assert.Equal(t, 3, value)
		assert.Zero(t, running.Load())
	})
}

func TestFailureOfATaskIsThatOfTheCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fail, _ := failing(errBoom)
		calls := 0
		call := func(ctx context.Context) (int, error) {
			calls++
			traigo.Current(ctx).Spawn(fail, traigo.Name("part"))
			return calls, nil
		}
		value, err := supervise.Retry(t.Context(), call, quiet())
		require.NoError(t, err)
		assert.Equal(t, 2, value)

		fail = always(errBang)
		value, err = supervise.Retry(t.Context(), call, supervise.When(supervise.Never))
		require.EqualError(t, err, `task "part": bang`)
		assert.Equal(t, 3, value, "fn has returned it, so the caller can release it")
	})
}

func TestRetryEndsWithItsContext(t *testing.T) {
	rows := []struct {
		name  string
		fn    func(ctx context.Context) (int, error)
		value int
		text  string
		is    []error
		isNot []error
	}{
		{"while it waits", func(context.Context) (int, error) { return 7, errBoom }, 7,
			"outer; the last attempt failed: boom", []error{errOuter}, []error{errBoom}},
		{"in a call that says so", func(ctx context.Context) (int, error) { return 7, untilCanceled(ctx) }, 7,
			"outer", []error{errOuter}, nil},
		{"in a call that fails otherwise", func(ctx context.Context) (int, error) { <-ctx.Done(); return 7, errBang }, 7,
			"bang", []error{errBang}, nil},
		{"in a call that succeeds", func(ctx context.Context) (int, error) { <-ctx.Done(); return 7, nil }, 7, "", nil, nil},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancelCause(t.Context())
				start := time.Now()
				time.AfterFunc(time.Second, func() { cancel(errOuter) })
				calls := 0
				value, err := supervise.Retry(ctx, func(ctx context.Context) (int, error) {
					calls++
					return row.fn(ctx)
				}, quiet(), every(time.Hour))
				assert.Equal(t, time.Second, time.Since(start))
				assert.Equal(t, 1, calls)
				assert.Equal(t, row.value, value)
				if row.text == "" {
					require.NoError(t, err)
					return
				}
				assert.Contains(t, err.Error(), row.text)
				for _, target := range row.is {
					require.ErrorIs(t, err, target)
				}
				for _, target := range row.isNot {
					require.NotErrorIs(t, err, target)
				}
			})
		})
	}
}

// As with Restart: fn sees a context that is done.
func TestRetryUnderAContextThatIsDone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(errOuter)
		for _, result := range []error{nil, context.Canceled, errBoom} {
			fn, restarted := failing(result)
			want := supervise.Restart(fn, quiet())(ctx)
			call, calls := numbered(result)
			value, err := supervise.Retry(ctx, call, quiet())
			assert.Equal(t, want, err)
			assert.Equal(t, 1, value)
			assert.Equal(t, int32(1), calls.Load())
			assert.Equal(t, int32(1), restarted.Load())
		}
	})
}

// It makes no difference to a scope whether the cancellation comes while a call runs or
// between two of them.
func TestRetryThatIsCanceledWhileItWaitsHasNotFailed(t *testing.T) {
	retry := func(ctx context.Context) error {
		_, err := supervise.Retry(ctx, func(context.Context) (int, error) { return 0, errBoom }, quiet(), every(time.Hour))
		return err
	}
	t.Run("its task is canceled", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			require.NoError(t, traigo.Run(t.Context(), func(_ context.Context, s *traigo.Scope) error {
				task := s.Spawn(retry)
				synctest.Wait()
				task.Cancel(nil)
				<-task.Done()
				assert.False(t, task.Failed())
				require.ErrorContains(t, task.Err(), "the last attempt failed: boom")
				return nil
			}))
		})
	})
	t.Run("its scope fails", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			err := traigo.Run(t.Context(), func(ctx context.Context, s *traigo.Scope) error {
				s.Spawn(retry)
				s.Spawn(after(time.Second, errBang), traigo.Name("other"))
				return nil
			}, traigo.Name("app"))
			require.EqualError(t, err, `scope "app": task "other": bang`)
		})
	})
	t.Run("one moves on", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			expired, err := traigo.MoveOnAfter(t.Context(), time.Second, retry)
			require.NoError(t, err)
			assert.True(t, expired)
		})
	})
	t.Run("its time is over", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			err := retry(ctx)
			require.ErrorIs(t, err, context.DeadlineExceeded)
			require.EqualError(t, err, "context deadline exceeded; the last attempt failed: boom")
		})
	})
}

func TestShutdownEndsRetrying(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := traigo.New(t.Context(), traigo.Name("app"))
		start := time.Now()
		s.Spawn(func(ctx context.Context) error {
			fn, _ := numbered(errBoom)
			value, err := supervise.Retry(ctx, fn, quiet(), every(time.Hour))
			assert.Equal(t, 1, value)
			return err
		}, traigo.Name("waits"), traigo.OnDone(func(err error) { assert.Equal(t, errBoom, err) }))
		s.Spawn(func(ctx context.Context) error {
			value, err := supervise.Retry(ctx, func(ctx context.Context) (int, error) { <-traigo.Stopping(ctx); return 7, errBang }, quiet())
			assert.Equal(t, 7, value)
			return err
		}, traigo.Name("runs"), traigo.OnDone(func(err error) { assert.Equal(t, errBang, err) }))
		synctest.Wait()
		require.NoError(t, s.Shutdown(t.Context()))
		assert.Zero(t, time.Since(start))
	})
}

// What must be done before the end is tried again, also after a soft stop has begun.
func TestRetryInAScopeUnderAShieldGoesOnAfterStopping(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := traigo.New(t.Context())
		s.Spawn(func(ctx context.Context) error {
			<-traigo.Stopping(ctx)
			return traigo.Shield(ctx, time.Minute, func(ctx context.Context) error {
				return traigo.Run(ctx, func(ctx context.Context, _ *traigo.Scope) error {
					fn, _ := numbered(errBoom, errBoom)
					value, err := supervise.Retry(ctx, fn, quiet(), every(time.Second))
					assert.Equal(t, 3, value)
					return err
				})
			})
		})
		synctest.Wait()
		require.NoError(t, s.Shutdown(t.Context()))
	})
}

func TestPanicOfACallIsRaised(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		calls := 0
		call := func(opts ...supervise.Option) (int, error) {
			calls = 0
			return supervise.Retry(t.Context(), func(context.Context) (int, error) {
				switch calls++; calls {
				case 1:
					return 7, errBang
				case 2:
					panic(errBoom)
				default:
					return calls, nil
				}
			}, append(opts, quiet(), every(0))...)
		}
		assert.Equal(t, errBoom, raised(t, func() { _, _ = call() }))
		assert.Equal(t, 2, calls)

		value, err := call(supervise.PanicAsError())
		require.NoError(t, err)
		assert.Equal(t, 3, value)

		value, err = call(supervise.PanicAsError(), supervise.Intensity(1, time.Hour))
		_, panicked := errors.AsType[*traigo.PanicError](err)
		assert.True(t, panicked, "%v", err)
		assert.Zero(t, value, "not that of the call before")
	})
}

func TestGoexitOfACallIsThatOfTheCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		calls := 0
		err := spawned(t.Context(), func(ctx context.Context) error {
			_, err := supervise.Retry(ctx, func(context.Context) (int, error) { calls++; runtime.Goexit(); return 0, nil },
				quiet(), supervise.PanicAsError())
			assert.Fail(t, "Retry has returned")
			return err
		})
		require.ErrorIs(t, err, traigo.ErrGoexit)
		assert.Equal(t, 1, calls)
	})
}

func TestStuckCallIsNotFollowedByAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		end, calls := make(chan struct{}), 0
		err := spawned(t.Context(), func(ctx context.Context) error {
			value, err := supervise.Retry(ctx, func(ctx context.Context) (int, error) {
				calls++
				traigo.Current(ctx).Spawn(func(context.Context) error { <-end; return nil })
				return 7, errBoom
			}, quiet())
			assert.Equal(t, 7, value)
			return err
		}, traigo.CancelTimeout(time.Second))
		require.ErrorIs(t, err, errBoom)
		_, stuck := errors.AsType[*traigo.StuckError](err)
		assert.True(t, stuck)
		assert.Equal(t, 1, calls)
		close(end)
	})
}
