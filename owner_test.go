package traigo_test

import (
	"context"
	"log/slog"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo"
)

func TestFailureOfASpawnedTaskIsTheScopes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		s := traigo.New(t.Context(), traigo.Name("server"))
		sibling := s.Spawn(untilCanceled)
		task := s.Spawn(func(context.Context) error {
			time.Sleep(time.Second)
			return errBoom
		}, traigo.Name("read"))
		assert.Equal(t, errBoom, task.Wait(t.Context()), "Wait returns it too")

		<-s.Done()
		assert.Equal(t, time.Second, time.Since(start), "the failure cancels the scope, open as it is")
		require.ErrorIs(t, sibling.Err(), context.Canceled)
		e := outcome(t, s.Err())
		assert.Equal(t, "server", e.Scope)
		assert.Equal(t, &traigo.TaskError{Task: "read", Err: errBoom}, e.Err)
		assert.Empty(t, e.Others)
		assert.Equal(t, s.Err(), s.Wait())
		assert.Equal(t, s.Err(), s.Close())
	})
}

func TestWaitingDoesNotTakeAFailureFromTheScope(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		err := traigo.Run(t.Context(), func(ctx context.Context, s *traigo.Scope) error {
			assert.Equal(t, errBoom, s.Spawn(fail).Wait(context.WithoutCancel(ctx)))
			return nil
		})
		require.ErrorIs(t, err, errBoom)
	})
}

func TestFailureOfATaskThatDoesNotBubbleIsIgnored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var (
			st   story
			book logbook
			task *traigo.Task
		)
		require.NoError(t, traigo.Run(t.Context(), func(ctx context.Context, s *traigo.Scope) error {
			task = s.Spawn(fail, traigo.Bubble(false))
			assert.Equal(t, errBoom, task.Wait(ctx))
			synctest.Wait()
			assert.Equal(t, traigo.Open, s.State())
			assert.NoError(t, ctx.Err())
			return nil
		}, traigo.Observe(&st), book.logger()))
		assert.Equal(t, errBoom, task.Err())
		assert.Equal(t, []error{errBoom}, st.ended(task))
		assert.Positive(t, book.count(slog.LevelDebug, "boom"))
		for _, level := range []slog.Level{slog.LevelInfo, slog.LevelWarn, slog.LevelError} {
			assert.Zero(t, book.count(level, ""), "at %v", level)
		}
	})
}

func TestFailureOfATaskWithOnDoneIsTheCallbacks(t *testing.T) {
	rows := []struct {
		name    string
		opts    []traigo.TaskOption
		bubbles bool
	}{
		{"alone", nil, false},
		{"Bubble(false)", []traigo.TaskOption{traigo.Bubble(false)}, false},
		{"Bubble(true)", []traigo.TaskOption{traigo.Bubble(true)}, true},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var got []error
				callback := traigo.OnDone(func(err error) { got = append(got, err) })
				err := traigo.Run(t.Context(), func(ctx context.Context, s *traigo.Scope) error {
					// In either order: what is given is what counts.
					s.Spawn(fail, append([]traigo.TaskOption{callback}, row.opts...)...)
					synctest.Wait()
					assert.Equal(t, row.bubbles, ctx.Err() != nil)
					return nil
				})
				assert.Equal(t, []error{errBoom}, got)
				if row.bubbles {
					require.ErrorIs(t, err, errBoom)
				} else {
					require.NoError(t, err)
				}

				err = traigo.Run(t.Context(), func(_ context.Context, s *traigo.Scope) error {
					s.Spawn(fail, append(row.opts, callback)...)
					return nil
				})
				assert.Equal(t, row.bubbles, err != nil, "the other way round")
			})
		})
	}
}

func TestOnDoneHearsOfEveryEndOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var success, canceled []error
		s := traigo.New(t.Context())
		s.Spawn(succeed, traigo.OnDone(func(err error) { success = append(success, err) }))
		s.Spawn(untilCanceled, traigo.OnDone(func(err error) { canceled = append(canceled, err) }))
		synctest.Wait()
		require.NoError(t, s.Close())
		assert.Equal(t, []error{nil}, success)
		assert.Equal(t, []error{context.Canceled}, canceled)
	})
}

func TestTasksOwnCancelIsNoFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		require.NoError(t, traigo.Run(t.Context(), func(ctx context.Context, s *traigo.Scope) error {
			sibling := s.Spawn(func(ctx context.Context) error { return traigo.Sleep(ctx, 2*time.Second) })
			task := s.Spawn(untilCanceled)
			time.Sleep(time.Second)
			task.Cancel(errBoom)
			assert.Equal(t, context.Canceled, task.Wait(ctx), "what the function returned")
			assert.NoError(t, sibling.Wait(ctx), "nobody else is canceled")
			assert.Equal(t, traigo.Open, s.State())
			return nil
		}))
		assert.Equal(t, 2*time.Second, time.Since(start))
	})
}

func TestTasksOwnCancelNamesTheTask(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := traigo.New(t.Context(), traigo.Name("server"))
		for _, cause := range []error{errBoom, nil} {
			contexts := make(chan context.Context, 2)
			task := s.Spawn(func(ctx context.Context) error {
				derived, cancel := context.WithTimeout(ctx, time.Hour)
				defer cancel()
				<-derived.Done()
				contexts <- ctx
				contexts <- derived
				close(contexts)
				return nil
			}, traigo.Name("read"))
			synctest.Wait()
			task.Cancel(cause)
			task.Cancel(errLate) // the first one counts
			require.NoError(t, task.Wait(t.Context()))
			for ctx := range contexts {
				assert.Equal(t, context.Canceled, ctx.Err())
				why := cancellation(context.Cause(ctx), traigo.Requested)
				require.NotNil(t, why, "%v", context.Cause(ctx))
				assert.Equal(t, "server/read", why.Task)
				require.ErrorIs(t, context.Cause(ctx), context.Canceled)
				require.NotErrorIs(t, context.Cause(ctx), errLate)
				if cause != nil {
					require.ErrorIs(t, context.Cause(ctx), cause)
				}
			}
		}
		require.NoError(t, s.Wait())
	})
}

func TestTaskMayCancelItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		require.NoError(t, traigo.Run(t.Context(), func(_ context.Context, s *traigo.Scope) error {
			s.Spawn(func(ctx context.Context) error {
				traigo.CurrentTask(ctx).Cancel(errBoom)
				assert.True(t, closed(ctx.Done()))
				return errBoom
			})
			return nil
		}))
	})
}

func TestTaskCanceledBeforeItStartsRunsAndIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := traigo.New(t.Context(), traigo.Name("server"))
		for range 100 {
			task := s.Spawn(func(ctx context.Context) error {
				<-ctx.Done()
				assert.NotNil(t, cancellation(context.Cause(ctx), traigo.Requested))
				return ctx.Err()
			})
			task.Cancel(nil)
			require.Equal(t, context.Canceled, task.Wait(t.Context()))
		}
		require.NoError(t, s.Wait())
	})
}

func TestCancelOfAnEndedTaskChangesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := traigo.New(t.Context())
		task := s.Spawn(succeed)
		require.NoError(t, task.Wait(t.Context()))
		task.Cancel(errBoom)
		require.NoError(t, task.Err())
		require.NoError(t, s.Wait())
	})
}

func TestTasksOwnTimeoutIsAFailure(t *testing.T) {
	rows := []struct {
		name    string
		returns func(ctx context.Context) error
		fails   bool
		also    error
	}{
		{"ctx.Err()", context.Context.Err, true, nil},
		{"the cause", context.Cause, true, nil},
		{"a real error", fail, true, errBoom},
		{"nil", succeed, false, nil},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				s := traigo.New(t.Context(), traigo.Name("server"))
				task := s.Spawn(func(ctx context.Context) error {
					at, _ := ctx.Deadline()
					assert.Equal(t, start.Add(time.Second), at)
					<-ctx.Done()
					assert.Equal(t, context.DeadlineExceeded, ctx.Err())
					return row.returns(ctx)
				}, traigo.Timeout(time.Second), traigo.Name("read"))
				sibling := s.Spawn(func(ctx context.Context) error {
					time.Sleep(time.Second)
					synctest.Wait()
					return ctx.Err()
				})
				<-task.Done()
				<-sibling.Done()
				assert.Equal(t, time.Second, time.Since(start))
				if !row.fails {
					require.NoError(t, task.Err())
					require.NoError(t, sibling.Err())
					require.NoError(t, s.Wait())
					return
				}
				require.ErrorIs(t, sibling.Err(), context.Canceled)
				e := outcome(t, s.Wait())
				assert.Empty(t, e.Others)
				_ = itself[*traigo.TaskError](t, e.Err)
				for _, err := range []error{task.Err(), e.Err} {
					var timeout *traigo.TimeoutError
					require.ErrorAs(t, err, &timeout)
					assert.Equal(t, &traigo.TimeoutError{Scope: "server/read", After: time.Second}, timeout)
					require.ErrorIs(t, err, context.DeadlineExceeded)
					if row.also != nil {
						require.ErrorIs(t, err, row.also)
					}
				}
			})
		})
	}
}

func TestTasksTimeoutThatDoesNotExpireIsNoFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := traigo.New(t.Context())
		task := s.Spawn(untilCanceled, traigo.Timeout(time.Minute))
		synctest.Wait()
		require.NoError(t, s.Close())
		assert.Equal(t, context.Canceled, task.Err())
	})
}

func TestWaitingEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := traigo.New(t.Context())
		work := func(ctx context.Context) (int, error) { return 42, traigo.Sleep(ctx, time.Minute) }
		future := traigo.Async(s, work)
		waits := []func(context.Context) error{
			future.Task().Wait,
			func(ctx context.Context) error {
				value, err := future.Await(ctx)
				assert.Zero(t, value)
				return err
			},
		}
		for _, wait := range waits {
			canceled, cancel := context.WithCancelCause(t.Context())
			time.AfterFunc(time.Second, func() { cancel(errOuter) })
			start := time.Now()
			assert.Equal(t, errOuter, wait(canceled))
			assert.Equal(t, time.Second, time.Since(start))

			late, stop := context.WithTimeout(t.Context(), time.Second)
			defer stop()
			assert.Equal(t, context.DeadlineExceeded, wait(late))
			assert.False(t, closed(future.Task().Done()), "the task is not touched")
		}
		value, err := future.Await(t.Context())
		require.NoError(t, err)
		assert.Equal(t, 42, value)
		require.NoError(t, s.Wait())
	})
}

func TestWaitingForOneselfIsAnError(t *testing.T) {
	type key struct{}
	rows := []struct {
		name string
		wait func(ctx context.Context, self *traigo.Future[int]) error
	}{
		{"Wait", func(ctx context.Context, self *traigo.Future[int]) error { return self.Task().Wait(ctx) }},
		{"Await", func(ctx context.Context, self *traigo.Future[int]) error {
			_, err := self.Await(ctx)
			return err
		}},
		{"derived context", func(ctx context.Context, self *traigo.Future[int]) error {
			ctx, cancel := context.WithTimeout(context.WithValue(ctx, key{}, 1), time.Hour)
			defer cancel()
			return self.Task().Wait(ctx)
		}},
		{"body of Run in the task", func(ctx context.Context, self *traigo.Future[int]) error {
			return traigo.Run(ctx, func(ctx context.Context, _ *traigo.Scope) error { return self.Task().Wait(ctx) })
		}},
		{"task of a Run in the task", func(ctx context.Context, self *traigo.Future[int]) error {
			return traigo.Run(ctx, func(_ context.Context, s *traigo.Scope) error {
				s.Spawn(func(ctx context.Context) error { return self.Task().Wait(ctx) })
				return nil
			})
		}},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				s := traigo.New(t.Context())
				var (
					self  *traigo.Future[int]
					ready = make(chan struct{})
				)
				self = traigo.Async(s, func(ctx context.Context) (int, error) {
					<-ready
					assert.Error(t, row.wait(ctx, self))
					return 42, nil
				})
				close(ready)
				value, err := self.Await(t.Context())
				require.NoError(t, err)
				assert.Equal(t, 42, value)
				assert.Zero(t, time.Since(start))
				require.NoError(t, s.Wait())
			})
		})
	}
}

func TestTaskHasNoErrorBeforeItHasEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var returned atomic.Bool
		s := traigo.New(t.Context())
		task := s.Spawn(func(context.Context) error {
			defer returned.Store(true)
			time.Sleep(time.Second)
			return errBoom
		})
		require.NoError(t, task.Err())
		assert.False(t, closed(task.Done()))
		<-task.Done()
		assert.True(t, returned.Load())
		assert.Equal(t, errBoom, task.Err())
		require.ErrorIs(t, s.Close(), errBoom)
	})
}
