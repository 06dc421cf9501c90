package supervise_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/supervise"
)

func TestMisusePanicsAtTheCall(t *testing.T) {
	succeed := func(context.Context) error { return nil }
	ctx := t.Context()
	rows := []struct {
		name string
		call func()
		text string
	}{
		{"Restart without a function", func() { supervise.Restart(nil) }, "supervise.Restart: nil function"},
		{"Restart with a nil option", func() { supervise.Restart(succeed, nil) }, "supervise.Restart: nil option"},
		{"Retry without a context", func() {
			_, _ = supervise.Retry(nil, func(context.Context) (int, error) { return 0, nil }) //nolint:staticcheck // which is the point
		}, "supervise.Retry: nil context"},
		{"Retry without a function", func() { _, _ = supervise.Retry[int](ctx, nil) }, "supervise.Retry: nil function"},
		{"Retry with a nil option", func() {
			_, _ = supervise.Retry(ctx, func(context.Context) (int, error) { return 0, nil }, nil)
		}, "supervise.Retry: nil option"},
		{"Retry of what has succeeded", func() {
			_, _ = supervise.Retry(ctx, func(context.Context) (int, error) {
				assert.Fail(t, "called")
				return 0, nil
			}, supervise.When(supervise.Always))
		}, "supervise.Retry: When(Always) would drop the result"},
		{"Every without an interval", func() { supervise.Every(0, succeed) }, "supervise.Every: 0s is not a positive duration"},
		{"Every with a negative interval", func() { supervise.Every(-1, succeed) }, "supervise.Every: -1ns"},
		{"Every without a function", func() { supervise.Every(1, nil) }, "supervise.Every: nil function"},
		{"When", func() { supervise.When(3) }, "supervise.When(3)"},
		{"Backoff", func() { supervise.Backoff(nil) }, "supervise.Backoff: nil function"},
		{"Backoff that makes none", func() {
			_ = supervise.Restart(func(context.Context) error { return errBoom }, quiet(),
				supervise.Backoff(func() backoff.BackOff { return nil }))(ctx)
		}, "supervise.Backoff: nil policy"},
		{"ResetAfter", func() { supervise.ResetAfter(0) }, "supervise.ResetAfter"},
		{"Attempts of none", func() { supervise.Attempts(0) }, "supervise.Attempts(0"},
		{"Intensity of none", func() { supervise.Intensity(0, 1) }, "supervise.Intensity(0"},
		{"Intensity without a window", func() { supervise.Intensity(1, 0) }, "supervise.Intensity"},
		{"Intensity with a negative window", func() { supervise.Intensity(1, -1) }, "supervise.Intensity"},
		{"OnRestart", func() { supervise.OnRestart(nil) }, "supervise.OnRestart: nil function"},
		{"Logger", func() { supervise.Logger(nil) }, "supervise.Logger: nil *slog.Logger"},
		{"Run without a body", func() { _ = supervise.Run(ctx, nil) }, "supervise.Run: nil function"},
		{"Run with a nil option", func() {
			_ = supervise.Run(ctx, func(context.Context, *supervise.Siblings) error { return nil }, nil)
		}, "nil option"},
		{"sibling without a function", func() {
			_ = supervise.Run(ctx, func(_ context.Context, s *supervise.Siblings) error { s.Spawn(nil); return nil })
		}, "supervise.Siblings.Spawn: nil function"},
		{"sibling with a nil option", func() {
			_ = supervise.Run(ctx, func(_ context.Context, s *supervise.Siblings) error { s.Spawn(succeed, nil); return nil })
		}, "nil option"},
		{"WithServices without a body", func() { _ = supervise.WithServices(ctx, nil) }, "supervise.WithServices: nil function"},
		{"WithServices with a nil option", func() {
			_ = supervise.WithServices(ctx, func(context.Context, *traigo.Scope, *supervise.Services) error { return nil }, nil)
		}, "nil option"},
		{"service without a function", func() {
			_ = supervise.WithServices(ctx, func(_ context.Context, _ *traigo.Scope, s *supervise.Services) error {
				s.Spawn(nil)
				return nil
			})
		}, "supervise.Services.Spawn: nil function"},
		{"service without a function to start", func() {
			_ = supervise.WithServices(ctx, func(ctx context.Context, _ *traigo.Scope, s *supervise.Services) error {
				_, err := s.Start(ctx, nil)
				return err
			})
		}, "supervise.Services.Start: nil function"},
		{"service with a nil option", func() {
			_ = supervise.WithServices(ctx, func(_ context.Context, _ *traigo.Scope, s *supervise.Services) error {
				s.Spawn(succeed, nil)
				return nil
			})
		}, "nil option"},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			text, ok := raised(t, row.call).(string)
			require.True(t, ok)
			assert.True(t, strings.HasPrefix(text, "traigo: "), text)
			assert.Contains(t, text, row.text)
		})
	}
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

func TestALongRunResetsTheBackoff(t *testing.T) {
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

func TestRestartEndsAtTheLimitOfIntensity(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start, calls := time.Now(), 0
		err := spawned(t.Context(), supervise.Restart(func(context.Context) error {
			calls++
			return errBoom
		}, quiet(), every(time.Second), supervise.Intensity(3, 10*time.Second)))
		require.EqualError(t, err, `scope "app": task "job": gave up: 3 restarts within 10s are allowed, and it failed again: boom`)
		require.ErrorIs(t, err, errBoom)
		var last *supervise.RestartError
		require.ErrorAs(t, err, &last)
		assert.Equal(t, &supervise.RestartError{Restarts: 3, Within: 10 * time.Second, Err: errBoom}, last)
		assert.Equal(t, 4, calls)
		assert.Equal(t, 3*time.Second, time.Since(start))
	})
}

// The restarts come at 5, 10 and 15 seconds. At 15 the one at 5 is no longer within the
// last ten seconds.
func TestIntensityCountsOnlyRestartsWithinTheWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, row := range []struct {
			n    int
			ends bool
		}{{2, false}, {1, true}} {
			fn, calls := failing(errBoom, errBoom, errBoom, errBoom, errBoom)
			err := supervise.Restart(fn, quiet(), every(5*time.Second), supervise.Intensity(row.n, 10*time.Second))(t.Context())
			if row.ends {
				require.EqualError(t, err, "gave up: 1 restart within 10s is allowed, and it failed again: boom")
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
		require.EqualError(t, err, "gave up: 2 restarts within 1s are allowed, and it ended again, without an error")
	})
}

func TestRestartEndsWhenTheBackoffStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stopAfter := func(n int) supervise.Option {
			return supervise.Backoff(func() backoff.BackOff { return &countdown{left: n} })
		}
		err := supervise.Restart(always(errBoom), quiet(), stopAfter(2))(t.Context())
		require.EqualError(t, err, "gave up after 2 restarts in 2s: boom")
		assert.Equal(t, &supervise.RestartError{Restarts: 2, Within: 2 * time.Second, Stopped: true, Err: errBoom}, err)
		require.EqualError(t, supervise.Restart(always(nil), quiet(), stopAfter(2), supervise.When(supervise.Always),
			supervise.Intensity(5, time.Hour))(t.Context()), "gave up after 2 restarts in 2s: the last run returned no error")
		assert.Equal(t, errBoom, supervise.Restart(always(errBoom), quiet(), stopAfter(0))(t.Context()))
		require.NoError(t, supervise.Restart(always(nil), quiet(), stopAfter(0), supervise.When(supervise.Always))(t.Context()))
	})
}

// countdown is a policy that allows a number of restarts, with a delay of one second.
type countdown struct{ left int }

func (*countdown) Reset() {}

func (c *countdown) NextBackOff() time.Duration {
	if c.left--; c.left < 0 {
		return backoff.Stop
	}
	return time.Second
}
