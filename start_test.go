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
		seen := new(story)
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

// A context that has ended wins over everything: fn is not run.
func TestStartUnderAnEndedContextStartsNothing(t *testing.T) {
	for name, fn := range map[string]func(ctx context.Context, ready func()) error{
		"ready": func(ctx context.Context, ready func()) error { ready(); return untilCanceled(ctx) },
		"fails": func(context.Context, func()) error { return errBoom },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := traigo.New(t.Context())
				ctx, cancel := context.WithCancelCause(t.Context())
				cancel(errOuter)
				for range 20 {
					task, err := s.Start(ctx, func(ctx context.Context, ready func()) error {
						assert.Fail(t, "it ran")
						return fn(ctx, ready)
					})
					require.Equal(t, errOuter, err)
					require.Nil(t, task)
				}
				synctest.Wait()
				assert.Empty(t, s.Snapshot().Tasks)
				require.NoError(t, s.Close())
			})
		})
	}
}

// The caller has left: a ready that comes after that is none, and what the task
// has to say besides its cancellation is told with the cause.
func TestStartIsNotReadyAfterItsCallerHasLeft(t *testing.T) {
	for name, row := range map[string]struct {
		end  error
		want []error
	}{
		"canceled": {nil, []error{errOuter}},
		"fails":    {errBoom, []error{errOuter, errBoom}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				seen := new(story)
				s := traigo.New(t.Context(), traigo.Observe(seen))
				ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, errOuter)
				defer cancel()
				task, err := s.Start(ctx, func(ctx context.Context, ready func()) error {
					<-ctx.Done()
					ready()
					if row.end != nil {
						return row.end
					}
					return ctx.Err()
				})
				assert.Nil(t, task)
				for _, want := range row.want {
					require.ErrorIs(t, err, want)
				}
				if row.end == nil {
					assert.Equal(t, errOuter, err)
				}
				assert.Empty(t, seen.events(traigo.TaskReady))
				require.NoError(t, s.Close(), "it is the caller's")
			})
		})
	}
}
