package traigo_test

import (
	"context"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo"
)

func TestStartReturnsWhenReady(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		seen := new(witness)
		s := traigo.New(t.Context(), traigo.Name("s"), traigo.Observe(seen))
		task, err := s.Start(t.Context(), func(_ context.Context, ready func()) error {
			time.Sleep(time.Second)
			ready()
			ready() // again: no effect
			time.Sleep(time.Second)
			ready()
			return nil
		}, traigo.Name("server"))
		require.NoError(t, err)
		assert.Equal(t, time.Second, time.Since(start))
		assert.Equal(t, "s/server", task.Path())
		assert.False(t, closed(task.Done()), "it runs on")
		require.NoError(t, s.Wait())
		require.NoError(t, task.Err())
		assert.Equal(t, 2*time.Second, time.Since(start))

		events := seen.events(traigo.TaskReady)
		require.Len(t, events, 1)
		assert.Same(t, task, events[0].Task)
		assert.Equal(t, start.Add(time.Second), events[0].Time)
	})
}

func TestStartErrorAfterReadyBubbles(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := traigo.New(t.Context())
		task, err := s.Start(t.Context(), func(_ context.Context, ready func()) error {
			ready()
			time.Sleep(time.Second)
			return errBoom
		})
		require.NoError(t, err)
		require.ErrorIs(t, s.Wait(), errBoom)
		require.ErrorIs(t, task.Err(), errBoom)
	})
}

func TestStartErrorBeforeReadyIsTheCallers(t *testing.T) {
	rows := map[string]struct {
		fn   func(context.Context, func()) error
		want error
	}{
		"error":   {func(context.Context, func()) error { return errBoom }, errBoom},
		"nothing": {func(context.Context, func()) error { return nil }, traigo.ErrNotReady},
		"Goexit":  {func(context.Context, func()) error { runtime.Goexit(); return nil }, traigo.ErrGoexit},
	}
	for name, row := range rows {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := traigo.New(t.Context())
				sibling := s.Spawn(func(ctx context.Context) error { return traigo.Sleep(ctx, time.Minute) })
				task, err := s.Start(t.Context(), row.fn)
				require.ErrorIs(t, err, row.want)
				assert.Nil(t, task)
				assert.Equal(t, traigo.Open, s.State())
				require.NoError(t, s.Wait(), "it does not bubble")
				require.NoError(t, sibling.Err())
			})
		})
	}
}

func TestStartPanicBeforeReadyIsRaisedByTheScope(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := traigo.New(t.Context())
		_, err := s.Start(t.Context(), func(context.Context, func()) error {
			panicOnPurpose(errBoom)
			return nil
		}, traigo.Name("work"))
		_ = as[*traigo.PanicError](t, err)
		_ = requirePanic(t, "work", func() { _ = s.Wait() })
	})
}

func TestStartCancelsAndJoinsWhenItsCallerGoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		s := traigo.New(t.Context())
		sibling := s.Spawn(func(ctx context.Context) error { return traigo.Sleep(ctx, time.Minute) })
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, errBoom)
		defer cancel()
		canceled, ended := time.Duration(0), false
		task, err := s.Start(ctx, func(ctx context.Context, _ func()) error {
			<-ctx.Done()
			canceled = time.Since(start)
			time.Sleep(2 * time.Second)
			ended = true
			return ctx.Err()
		})
		require.ErrorIs(t, err, errBoom, "waiting with a ctx that ends gives its cause")
		assert.Nil(t, task)
		assert.Equal(t, time.Second, canceled)
		assert.True(t, ended, "joined")
		assert.Equal(t, 3*time.Second, time.Since(start))
		require.NoError(t, s.Wait())
		require.NoError(t, sibling.Err())
	})
}

func TestStartThatIsReadyIsNoLongerItsCallers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		s := traigo.New(t.Context())
		ctx, cancel := context.WithCancel(t.Context())
		task, err := s.Start(ctx, func(ctx context.Context, ready func()) error {
			ready()
			return traigo.Sleep(ctx, time.Minute)
		})
		require.NoError(t, err)
		cancel()
		require.NoError(t, task.Wait(t.Context()))
		assert.Equal(t, time.Minute, time.Since(start))
		require.NoError(t, s.Wait())
	})
}

func TestStartEndsWithItsScope(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := traigo.New(t.Context())
		time.AfterFunc(time.Second, func() { s.Cancel(nil) })
		task, err := s.Start(t.Context(), func(ctx context.Context, _ func()) error { return untilCanceled(ctx) })
		require.ErrorIs(t, err, context.Canceled)
		assert.Nil(t, task)
		require.NoError(t, s.Wait())
	})
}

func TestStartOnAnEndedScopeIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := traigo.New(t.Context())
		s.Cancel(errBoom)
		task, err := s.Start(t.Context(), func(context.Context, func()) error {
			assert.Fail(t, "a refused task ran")
			return nil
		})
		require.ErrorIs(t, err, traigo.ErrRefused)
		require.ErrorIs(t, err, errBoom)
		assert.Nil(t, task)
		require.ErrorIs(t, s.Wait(), errBoom)
	})
}

func TestStartRefusesNil(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := traigo.New(t.Context())
		requireMisuse(t, func() { _, _ = s.Start(t.Context(), nil) })
		require.NoError(t, s.Close())
	})
}
