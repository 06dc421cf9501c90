package traio_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo"
)

func TestTraioCancelTaskCatchesCancel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		release := make(chan struct{})
		defer close(release)
		err := traigo.Run(t.Context(), func(_ context.Context, s *traigo.Scope) error {
			s.Spawn(func(context.Context) error {
				<-release
				return nil
			}, traigo.Name("deaf"), traigo.CancelTimeout(500*ms))
			return nil
		}, traigo.Name("scope"), traigo.Timeout(100*ms))

		assertTook(t, 600*ms, start)
		requireTimedOut(t, err, 100*ms)
		var stuck *traigo.StuckError
		require.ErrorAs(t, err, &stuck)
		require.Len(t, stuck.Tasks, 1)
		assert.Equal(t, "scope/deaf", stuck.Tasks[0].Path)
		assert.Equal(t, 600*ms, stuck.Tasks[0].Age)
		assert.Contains(t, stuck.Tasks[0].Stack, "TestTraioCancelTaskCatchesCancel")
	})
}

func TestTraioCancelExternalCancel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(100*ms, func() { cancel(errTraio) })

		err := traigo.Run(ctx, func(_ context.Context, s *traigo.Scope) error {
			s.Spawn(traioLong)
			return nil
		})

		requireParentCanceled(t, err, context.Canceled)
		assert.ErrorIs(t, err, errTraio, "the cause is known")
		assertOthers(t, err)
		assertTook(t, 100*ms, start)
	})
}

func TestTraioCancelExternalCancelNasty(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), 100*ms)
		defer cancel()

		err := traigo.Run(ctx, func(_ context.Context, s *traigo.Scope) error {
			s.Spawn(traioNasty)
			return nil
		})

		requireParentCanceled(t, err, context.DeadlineExceeded)
		assertOthers(t, err, errTraio)
		assertTook(t, 100*ms, start)
	})
}

func TestTraioCancelInternalCancel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		err := traigo.Run(t.Context(), func(ctx context.Context, s *traigo.Scope) error {
			s.Spawn(traioLong)
			assert.NoError(t, traigo.Sleep(ctx, 200*ms))
			s.Cancel(nil)
			return nil
		})
		assert.NoError(t, err)
		assertTook(t, 200*ms, start)
	})
}

func TestTraioCancelCancellingGoingBad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		err := traigo.Run(t.Context(), func(_ context.Context, s *traigo.Scope) error {
			s.Spawn(traioNasty)
			return nil
		}, traigo.Timeout(500*ms))

		requireTimedOut(t, err, 500*ms)
		assertOthers(t, err, errTraio)
		assertTook(t, 500*ms, start)
	})
}

func TestTraioCancelJoinCancel(t *testing.T) {
	eachWait(t, func(t *testing.T, wait func(*traigo.Scope) error) {
		start := time.Now()
		s := traigo.New(t.Context())
		s.Spawn(traioLong)
		time.Sleep(100 * ms)
		s.Cancel(nil)
		assert.NoError(t, wait(s))
		assertTook(t, 100*ms, start)
	})
}

func TestTraioCancelNotJoinedYet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		err := traigo.Run(t.Context(), func(ctx context.Context, s *traigo.Scope) error {
			s.Spawn(func(ctx context.Context) error {
				time.Sleep(200 * ms)
				traigo.Current(ctx).Cancel(nil)
				return traioLong(ctx)
			})
			if err := traigo.Sleep(ctx, time.Second); err != nil {
				return err
			}
			return errors.New("the body was not interrupted")
		})
		assert.NoError(t, err)
		assertTook(t, 200*ms, start)
	})
}

func TestTraioCancelDouble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		s := traigo.New(t.Context())
		s.Spawn(traioLong)
		time.AfterFunc(200*ms, func() {
			s.Cancel(nil)
			s.Cancel(nil)
		})
		assert.NoError(t, s.Wait())
		assert.NoError(t, s.Err())
		assert.Equal(t, traigo.Closed, s.State())
		assertTook(t, 200*ms, start)
	})
}

func TestTraioCancelDoubleException(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		s := traigo.New(t.Context())
		s.Spawn(traioLong)
		time.AfterFunc(200*ms, func() {
			s.Cancel(errTraio)
			s.Cancel(errors.New("too late"))
		})
		err := s.Wait()
		assert.Equal(t, errTraio, requireOutcome(t, err).Err)
		assertOthers(t, err) // only what ends a scope first counts
		assert.Equal(t, err, s.Err())
		assertTook(t, 200*ms, start)
	})
}

func TestTraioCancelDoubleInternal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		err := traigo.Run(t.Context(), func(_ context.Context, s *traigo.Scope) error {
			s.Spawn(traioCancelTwice(nil, nil))
			return nil
		})
		assert.NoError(t, err)
		assertTook(t, 200*ms, start)
	})
}

func TestTraioCancelDoubleInternalException(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		err := traigo.Run(t.Context(), func(_ context.Context, s *traigo.Scope) error {
			s.Spawn(traioCancelTwice(errTraio, errors.New("too late")))
			return nil
		})
		assert.Equal(t, errTraio, requireOutcome(t, err).Err)
		assertOthers(t, err)
		assertTook(t, 200*ms, start)
	})
}

// traioCancelTwice is a task that cancels the scope it runs in, twice.
func traioCancelTwice(first, second error) func(context.Context) error {
	return func(ctx context.Context) error {
		time.Sleep(200 * ms)
		traigo.Current(ctx).Cancel(first)
		traigo.Current(ctx).Cancel(second)
		return nil
	}
}

func TestTraioCancelFinallyCancel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		s := traigo.New(t.Context())
		s.Spawn(traioFail(200 * ms))

		err := s.Wait()
		requireTaskFailed(t, err, errTraio)
		s.Cancel(nil)
		s.Cancel(errors.New("too late"))
		assert.Equal(t, err, s.Close(), "the outcome stands")
		assertTook(t, 200*ms, start)
	})
}
