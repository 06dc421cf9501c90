package traio_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo"
)

func traioThree(ctx context.Context) (int, error) { return 3, traigo.Sleep(ctx, 200*ms) }

func traioRaiser(ctx context.Context) (int, error) { return 0, traioFail(100 * ms)(ctx) }

// traioCanceled is a task that returns why it was canceled.
func traioCanceled(ctx context.Context) (int, error) {
	<-ctx.Done()
	return 0, context.Cause(ctx)
}

// assertCanceledAlone wants the error of a task that was ended by its Cancel.
func assertCanceledAlone(t *testing.T, task *traigo.Task, err error) {
	t.Helper()
	assert.ErrorIs(t, err, context.Canceled)
	var why *traigo.Cancellation
	if assert.ErrorAs(t, err, &why) {
		assert.Equal(t, traigo.Requested, why.Kind)
		assert.Equal(t, task.Path(), why.Task)
		assert.NoError(t, why.Err)
	}
}

func TestTraioJoinTask(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		err := traigo.Run(t.Context(), func(ctx context.Context, s *traigo.Scope) error {
			for range 2 {
				three := traigo.Async(s, traioThree)
				for range 2 {
					n, err := three.Await(ctx)
					assert.NoError(t, err)
					assert.Equal(t, 3, n, "every Await has the result")
				}
			}
			s.Cancel(nil)
			return nil
		}, traigo.Timeout(500*ms))
		assert.NoError(t, err)
		assertTook(t, 400*ms, start)
	})
}

func TestTraioJoinTaskCancelled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		err := traigo.Run(t.Context(), func(ctx context.Context, s *traigo.Scope) error {
			f := traigo.Async(s, traioCanceled)
			f.Task().Cancel(nil)
			_, err := f.Await(ctx)
			assertCanceledAlone(t, f.Task(), err)
			assert.NoError(t, ctx.Err(), "the scope is not concerned")
			return nil
		}, traigo.Timeout(time.Second))
		assert.NoError(t, err)
		assertTook(t, 0, start)
	})
}

func TestTraioJoinTaskCancelledNoEnv(t *testing.T) {
	for name, wait := range map[string]func(*traigo.Scope) error{
		"wait":        (*traigo.Scope).Wait,
		"wait within": func(s *traigo.Scope) error { s.Finalize(); return waitWithin(s, 2*time.Second) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				s := traigo.New(t.Context(), traigo.Timeout(time.Second))
				f := traigo.Async(s, traioCanceled)
				f.Task().Cancel(nil)
				_, err := f.Await(t.Context())
				assertCanceledAlone(t, f.Task(), err)
				assert.Equal(t, traigo.Open, s.State())

				assert.NoError(t, wait(s))
				assertTook(t, 0, start)
			})
		})
	}
}

func TestTraioJoinTaskRaises(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		err := traigo.Run(t.Context(), func(ctx context.Context, s *traigo.Scope) error {
			_, err := traigo.Async(s, traioRaiser).Await(ctx)
			assert.Equal(t, errTraio, err)
			return nil
		}, traigo.Timeout(time.Second))
		assert.NoError(t, err, "the error was the waiter's")
		assertTook(t, 100*ms, start)
	})
}

// When the time of a waiter is over, the task runs on, and its error is not lost.
func TestTraioJoinTaskRaisesWaitFor(t *testing.T) {
	for _, row := range []struct {
		patience time.Duration
		received error
		lost     bool
	}{
		{patience: 500 * ms, received: errTraio},
		{patience: 50 * ms, received: context.DeadlineExceeded, lost: true},
	} {
		t.Run(row.patience.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				err := traigo.Run(t.Context(), func(ctx context.Context, s *traigo.Scope) error {
					ctx, cancel := context.WithTimeout(ctx, row.patience)
					defer cancel()
					_, err := traigo.Async(s, traioRaiser).Await(ctx)
					assert.Equal(t, row.received, err)
					return nil
				}, traigo.Timeout(time.Second))

				if row.lost {
					requireTaskFailed(t, err, errTraio)
				} else {
					assert.NoError(t, err)
				}
				assertTook(t, 100*ms, start)
			})
		})
	}
}

func TestTraioJoinTaskRaisesNoEnv(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		s := traigo.New(t.Context(), traigo.Timeout(time.Second))
		_, err := traigo.Async(s, traioRaiser).Await(t.Context())
		assert.Equal(t, errTraio, err)
		assert.NoError(t, s.Wait())
		assertTook(t, 100*ms, start)
	})
}

func TestTraioJoinThenNew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		err := traigo.Run(t.Context(), func(ctx context.Context, s *traigo.Scope) error {
			assert.NoError(t, s.Spawn(traioSleep(200*ms)).Wait(ctx))
			assertTook(t, 200*ms, start)
			assert.Equal(t, traigo.Open, s.State())
			s.Spawn(traioSleep(200 * ms))
			return nil
		}, traigo.Timeout(time.Second))
		assert.NoError(t, err)
		assertTook(t, 400*ms, start)
	})
}

func TestTraioJoinThenNewNoEnv(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		s := traigo.New(t.Context(), traigo.Timeout(time.Second))
		require.NoError(t, s.Spawn(traioSleep(200*ms)).Wait(t.Context()))
		assertTook(t, 200*ms, start)
		assert.Equal(t, traigo.Open, s.State())
		s.Spawn(traioSleep(200 * ms))
		assert.NoError(t, s.Wait())
		assertTook(t, 400*ms, start)
	})
}

func TestTraioJoinForever(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		s := traigo.New(t.Context(), traigo.Timeout(500*ms))
		s.Spawn(traioSleep(200 * ms))
		<-s.Done() // without Finalize an idle scope stays open
		requireTimedOut(t, s.Err(), 500*ms)
		assertTook(t, 500*ms, start)
	})
}

func TestTraioJoinCleanup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		done := false
		s := traigo.New(t.Context())
		s.Spawn(traioCleanUp(&done))
		time.Sleep(100 * ms)
		s.Cancel(nil)
		assert.NoError(t, s.Wait())
		assert.True(t, done)
		assertTook(t, 100*ms, start)
	})
}

func TestTraioJoinCleanupFast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		var done [10]bool
		s := traigo.New(t.Context())
		for i := range done {
			s.Spawn(func(ctx context.Context) error {
				<-ctx.Done()
				return traigo.Shield(ctx, time.Second, func(ctx context.Context) error {
					err := traigo.Sleep(ctx, 200*ms)
					done[i] = true
					return err
				})
			})
		}
		time.Sleep(100 * ms)
		assert.NoError(t, s.Close())
		assert.NotContains(t, done[:], false)
		assertTook(t, 300*ms, start)
	})
}

func TestTraioJoinCleanupExternal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		done := false
		s := traigo.New(t.Context())
		s.Spawn(traioCleanUp(&done))
		time.AfterFunc(200*ms, func() { s.Cancel(nil) })
		assert.NoError(t, s.Wait())
		assert.True(t, done)
		assertTook(t, 200*ms, start)
	})
}

func TestTraioJoinCleanupExternal2(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		done := false
		s := traigo.New(t.Context())
		s.Spawn(traioCleanUp(&done))
		runner := make(chan error)
		go func() { runner <- s.Wait() }()

		time.Sleep(200 * ms)
		assert.Equal(t, traigo.Finalizing, s.State(), "somebody waits")
		s.Cancel(nil)
		assert.NoError(t, s.Wait())
		assert.True(t, done)
		assert.NoError(t, <-runner)
		assertTook(t, 200*ms, start)
	})
}

func TestTraioJoinNotWaitedAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		err := traigo.Run(t.Context(), func(_ context.Context, s *traigo.Scope) error {
			s.Spawn(traioLong, traigo.Awaited(false))
			return nil
		})
		assert.NoError(t, err)
		assertTook(t, 0, start)
	})
}

func TestTraioJoinNotWaitedWithTask(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		err := traigo.Run(t.Context(), func(_ context.Context, s *traigo.Scope) error {
			s.Spawn(traioLong, traigo.Awaited(false))
			s.Spawn(traioSleep(200 * ms))
			return nil
		})
		assert.NoError(t, err)
		assertTook(t, 200*ms, start)
	})
}

func TestTraioJoinNotWaitedWithTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		err := traigo.Run(t.Context(), func(_ context.Context, s *traigo.Scope) error {
			s.Spawn(traioLong, traigo.Awaited(false))
			s.Spawn(traioLong)
			return nil
		}, traigo.Timeout(200*ms))
		requireTimedOut(t, err, 200*ms)
		assertTook(t, 200*ms, start)
	})
}

// In traio the task ends at the very moment of the timeout. Here there is a row for each order.
func TestTraioJoinNotWaitedButClean(t *testing.T) {
	for _, row := range []struct {
		name       string
		work, took time.Duration
		timesOut   bool
	}{
		{name: "work first", work: 100 * ms, took: 100 * ms},
		{name: "timeout first", work: 300 * ms, took: 200 * ms, timesOut: true},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				done := false
				err := traigo.Run(t.Context(), func(_ context.Context, s *traigo.Scope) error {
					s.Spawn(traioCleanUp(&done), traigo.Awaited(false))
					s.Spawn(traioSleep(row.work))
					return nil
				}, traigo.Timeout(200*ms))

				if row.timesOut {
					requireTimedOut(t, err, 200*ms)
				} else {
					assert.NoError(t, err)
				}
				assert.True(t, done, "canceled, and joined")
				assertTook(t, row.took, start)
			})
		})
	}
}
