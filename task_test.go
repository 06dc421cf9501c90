package traigo_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo"
)

func TestAwaitReturnsTheResultAnyNumberOfTimes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		require.NoError(t, traigo.Run(t.Context(), func(ctx context.Context, s *traigo.Scope) error {
			good := traigo.Async(s, func(ctx context.Context) (int, error) { return 42, traigo.Sleep(ctx, time.Second) })
			bad := traigo.Async(s, func(ctx context.Context) (int, error) {
				_ = traigo.Sleep(ctx, time.Second)
				return 7, errBoom
			})
			var wg sync.WaitGroup
			for range 10 {
				wg.Go(func() {
					for range 2 {
						value, err := good.Await(ctx)
						assert.NoError(t, err)
						assert.Equal(t, 42, value)
						_, err = bad.Await(ctx)
						assert.Equal(t, errBoom, err)
					}
				})
			}
			wg.Wait()
			return nil
		}))
	})
}

func TestFailureOfAFutureGoesToWhoAwaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		book := newRecords()
		require.NoError(t, traigo.Run(t.Context(), func(ctx context.Context, s *traigo.Scope) error {
			future := traigo.Async(s, noAnswer)
			synctest.Wait()
			assert.NoError(t, ctx.Err(), "it does not bubble")
			assert.Equal(t, traigo.Open, s.State())
			assert.Equal(t, errBoom, future.Task().Err())
			_, err := future.Await(ctx)
			assert.Equal(t, errBoom, err)
			return nil
		}, traigo.Logger(book.logger())))
		assert.Empty(t, book.at(slog.LevelWarn))
	})
}

func TestFutureThatBubblesFailsTheScopeOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := traigo.New(t.Context())
		future := traigo.Async(s, noAnswer, traigo.Bubble(true), traigo.Name("ask"))
		<-s.Done()
		_, err := future.Await(t.Context())
		assert.Equal(t, errBoom, err)
		e := outcome(t, s.Err())
		assert.Equal(t, &traigo.TaskError{Task: "ask", Err: errBoom}, e.Err)
		assert.Empty(t, e.Others)
	})
}

func TestFailureOfAFutureThatNobodyReceivedJoinsTheOutcome(t *testing.T) {
	rows := []struct {
		name  string
		end   func(ctx context.Context, s *traigo.Scope) error // the body's, after the future failed
		first error                                            // Err of the outcome, when it is not the future's
	}{
		{"nothing left", func(context.Context, *traigo.Scope) error { return nil }, nil},
		{"Cancel(nil)", func(_ context.Context, s *traigo.Scope) error { s.Cancel(nil); return nil }, nil},
		{"master", func(ctx context.Context, s *traigo.Scope) error {
			s.Spawn(succeed, traigo.Master(true))
			<-ctx.Done()
			return nil
		}, nil},
		{"body's error", func(context.Context, *traigo.Scope) error { return errLate }, errLate},
		{"Cancel(err)", func(_ context.Context, s *traigo.Scope) error { s.Cancel(errLate); return nil }, errLate},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := outcome(t, traigo.Run(t.Context(), func(ctx context.Context, s *traigo.Scope) error {
					<-traigo.Async(s, noAnswer, traigo.Name("ask")).Task().Done()
					return row.end(ctx, s)
				}))
				want := []error{&traigo.TaskError{Task: "ask", Err: errBoom}}
				if row.first != nil {
					want = []error{row.first, want[0]}
				}
				assert.Equal(t, want, e.Unwrap())
			})
		})
	}
}

// The end was decided at 1 s; who receives the error after that is late.
func TestFailureOfAFutureThatWasReceivedTooLateJoinsTheOutcome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := traigo.New(t.Context())
		s.Spawn(func(ctx context.Context) error {
			<-ctx.Done()
			time.Sleep(time.Second)
			return nil
		})
		future := traigo.Async(s, noAnswer)
		time.Sleep(time.Second)
		s.Cancel(nil)
		_, err := future.Await(t.Context())
		assert.Equal(t, errBoom, err)
		require.ErrorIs(t, s.Wait(), errBoom)
	})
}

func TestFailureOfAFutureThatComesAfterTheEndIsLogged(t *testing.T) {
	rows := []struct {
		name  string
		cause error
	}{
		{"quiet end", nil},
		{"failing end", errOuter},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				book := newRecords()
				s := traigo.New(t.Context(), traigo.Logger(book.logger()))
				future := traigo.Async(s, func(ctx context.Context) (int, error) {
					<-ctx.Done()
					return 0, errBoom
				})
				synctest.Wait()
				s.Cancel(row.cause)
				err := s.Wait()
				require.NotErrorIs(t, err, errBoom)
				require.Equal(t, row.cause != nil, err != nil)
				assert.Len(t, book.at(slog.LevelWarn, "boom"), 1)
				_, err = future.Await(t.Context())
				assert.Equal(t, errBoom, err, "it can still be received")
			})
		})
	}
}

func TestCanceledFutureHasNotFailed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		book := newRecords()
		s := traigo.New(t.Context(), traigo.Logger(book.logger()))
		wait := func(ctx context.Context) (int, error) { return 0, untilCanceled(ctx) }
		alone := traigo.Async(s, wait)
		alone.Task().Cancel(errBoom)
		<-alone.Task().Done()
		traigo.Async(s, wait)
		synctest.Wait()
		require.NoError(t, s.Close())
		assert.Empty(t, book.at(slog.LevelWarn))
	})
}

func TestAwaitThatGaveUpHasReceivedNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		err := traigo.Run(t.Context(), func(ctx context.Context, s *traigo.Scope) error {
			future := traigo.Async(s, func(ctx context.Context) (int, error) {
				_ = traigo.Sleep(ctx, time.Minute)
				return 0, errBoom
			})
			impatient, cancel := context.WithTimeout(ctx, time.Second)
			defer cancel()
			_, err := future.Await(impatient)
			assert.Equal(t, context.DeadlineExceeded, err)
			return nil
		})
		require.ErrorIs(t, err, errBoom)
	})
}

// The last task of the scope ends while somebody outside awaits it: whoever of
// the two goroutines is the quicker, the error has found its owner.
func TestAwaitThatIsWaitingReceives(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for range 20 {
			s := traigo.New(t.Context(), discard())
			future := traigo.Async(s, func(context.Context) (int, error) {
				time.Sleep(time.Second)
				return 0, errBoom
			})
			var (
				received error
				wg       sync.WaitGroup
			)
			wg.Go(func() { _, received = future.Await(t.Context()) })
			synctest.Wait()
			require.NoError(t, s.Wait())
			wg.Wait()
			require.Equal(t, errBoom, received)
		}
	})
}

func TestAtMost16UnreceivedFailuresAreKept(t *testing.T) {
	const n = 20
	failures := make([]error, n)
	for i := range failures {
		failures[i] = fmt.Errorf("failure %d", i)
	}
	spawnAll := func(s *traigo.Scope) []*traigo.Future[int] {
		futures := make([]*traigo.Future[int], n)
		for i := range futures {
			futures[i] = traigo.Async(s, func(context.Context) (int, error) { return 0, failures[i] })
			<-futures[i].Task().Done()
		}
		return futures
	}
	found := func(err error) (n int) {
		for _, failure := range failures {
			if errors.Is(err, failure) {
				n++
			}
		}
		return n
	}
	t.Run("none received", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := traigo.New(t.Context())
			spawnAll(s)
			err := s.Wait()
			assert.Equal(t, 16, found(err))
			require.ErrorContains(t, err, "and 4 more")
		})
	})
	t.Run("all received", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := traigo.New(t.Context(), discard())
			for i, future := range spawnAll(s) {
				_, err := future.Await(t.Context())
				assert.Equal(t, failures[i], err)
			}
			require.NoError(t, s.Wait())
		})
	})
	t.Run("all but the last received", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := traigo.New(t.Context(), discard())
			for _, future := range spawnAll(s)[:n-1] {
				_, _ = future.Await(t.Context())
			}
			e := outcome(t, s.Wait()) // at least the count is left
			for _, failure := range failures[:n-1] {
				require.NotErrorIs(t, e, failure)
			}
		})
	})
}

func TestFutureCountsAsAParticipant(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		require.NoError(t, traigo.Run(t.Context(), func(_ context.Context, s *traigo.Scope) error {
			traigo.Async(s, func(ctx context.Context) (int, error) { return 0, traigo.Sleep(ctx, time.Second) })
			return nil
		}))
		assert.Equal(t, time.Second, time.Since(start))
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

func namedBody(_ context.Context, s *traigo.Scope) error {
	if s.Name() != "namedBody" {
		return fmt.Errorf("Run is named %q", s.Name())
	}
	return nil
}

func TestDefaultNameIsTheFunctions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		require.NoError(t, traigo.Run(t.Context(), namedBody))
		s := traigo.New(t.Context())
		assert.Equal(t, "succeed", s.Spawn(succeed).Name())
		tried, _ := s.TrySpawn(succeed)
		assert.Equal(t, "succeed", tried.Name())
		assert.Equal(t, "answer", traigo.Async(s, answer).Task().Name())
		closure := s.Spawn(func(context.Context) error { return nil }).Name()
		assert.Regexp(t, `^TestDefaultNameIsTheFunctions\.func`, closure)
		require.NoError(t, s.Wait())
		assert.Equal(t, "succeed", s.Spawn(succeed).Name(), "a refused task has a name")
	})
}

func TestTaskSaysWhetherItHasFailed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		boom := errors.New("boom")
		var seen []bool
		s := traigo.New(t.Context(), traigo.PanicAsError(), traigo.Observe(seeing(func(e traigo.Event) {
			if e.Kind == traigo.TaskEnded {
				seen = append(seen, e.Task.Failed())
			}
		})))
		ended := func(fn func(context.Context) error, then func(*traigo.Task)) *traigo.Task {
			task := s.Spawn(fn, traigo.Bubble(false))
			synctest.Wait()
			then(task)
			<-task.Done()
			return task
		}
		nothing := func(*traigo.Task) {}
		cancel := func(task *traigo.Task) { task.Cancel(nil) }
		fails := func(context.Context) error { return boom }
		waits := func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }

		assert.False(t, ended(func(context.Context) error { return nil }, nothing).Failed())
		assert.True(t, ended(fails, nothing).Failed())
		assert.False(t, ended(waits, cancel).Failed(), "its cancellation explains it")
		assert.True(t, ended(func(ctx context.Context) error { <-ctx.Done(); return boom }, cancel).Failed())
		assert.True(t, ended(func(context.Context) error { panic(boom) }, nothing).Failed())
		require.NoError(t, s.Close())
		assert.False(t, s.Spawn(fails).Failed(), "refused: it never ran")
		assert.Equal(t, []bool{false, true, false, true, true}, seen, "observers know")
	})
}
