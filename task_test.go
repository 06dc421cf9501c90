package traigo_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strconv"
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
		end   func(ctx context.Context, s *traigo.Scope) error // what the body does after the future has failed
		first error                                            // Err of the outcome, if it is not the future's
	}{
		{"nothing left", emptyBody, nil},
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

// The end of the scope is decided at 1 s. An Await after that receives the error too
// late to keep it out of the outcome.
func TestFailureOfAFutureThatWasReceivedTooLateJoinsTheOutcome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := traigo.New(t.Context())
		s.Spawn(cleaning(time.Second, nil))
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

// The last task of the scope ends while a goroutine outside awaits it. The error belongs
// to that goroutine, also if the scope closes before Await has returned.
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

		assert.False(t, ended(succeed, nothing).Failed())
		assert.True(t, ended(fail, nothing).Failed())
		assert.False(t, ended(untilCanceled, cancel).Failed(), "its error is a consequence of its cancellation")
		assert.True(t, ended(cleaning(0, errBoom), cancel).Failed())
		assert.True(t, ended(panicking("oops"), nothing).Failed())
		require.NoError(t, s.Close())
		assert.False(t, s.Spawn(fail).Failed(), "it was refused, so it never ran")
		assert.Equal(t, []bool{false, true, false, true, true}, seen, "at TaskEnded observers see the same")
	})
}

// The state of a task, by its name, is what a Snapshot shows while it lists the task.
func TestStateOfATask(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release, free := newRelease()
		defer free()
		s := traigo.New(t.Context(), traigo.CancelTimeout(time.Second), discard())
		is := func(want traigo.TaskState, task *traigo.Task) {
			t.Helper()
			synctest.Wait()
			assert.Equal(t, want, task.State())
			shown := "ended"
			for _, snap := range s.Snapshot().Tasks {
				if snap.ID == task.ID() {
					shown = snap.State
				}
			}
			assert.Equal(t, want.String(), shown)
		}

		task, launch := traigo.SpawnLater(s, cleaning(time.Second/2, nil))
		is(traigo.Queued, task)
		launch()
		is(traigo.Running, task)
		task.Cancel(nil)
		is(traigo.TaskCanceling, task)
		<-task.Done()
		is(traigo.Ended, task)

		late, launch := traigo.SpawnLater(s, cleaning(time.Second/2, nil))
		late.Cancel(nil)
		is(traigo.Queued, late)
		launch()
		is(traigo.TaskCanceling, late)
		<-late.Done()
		is(traigo.Ended, late)

		stuck, following := s.Spawn(deaf(release)), s.Spawn(cleaning(time.Second/2, nil))
		s.Cancel(nil)
		is(traigo.TaskCanceling, stuck)
		is(traigo.TaskCanceling, following)
		is(traigo.Ended, s.Spawn(succeed)) // it was refused
		time.Sleep(time.Second)
		is(traigo.Ended, following)
		is(traigo.GivenUp, stuck)
		assert.Equal(t, traigo.Closed, s.State())
		free()
		is(traigo.Ended, stuck)
	})
}

func TestStatesOfTasksAreWordsInJSON(t *testing.T) {
	for i, want := range []string{"queued", "running", "canceling", "ended", "given up", "abandoned"} {
		text, err := json.Marshal(traigo.TaskState(i))
		require.NoError(t, err)
		assert.Equal(t, strconv.Quote(want), string(text))
		var got traigo.TaskState
		require.NoError(t, json.Unmarshal(text, &got))
		assert.Equal(t, traigo.TaskState(i), got)
	}
	assert.Equal(t, "TaskState(99)", traigo.TaskState(99).String())
}

func TestCauseOfATaskIsTheCauseOfItsContext(t *testing.T) {
	for name, row := range map[string]struct {
		opts   []traigo.TaskOption
		cancel func(task *traigo.Task, s *traigo.Scope, outer context.CancelCauseFunc)
		want   error
	}{
		"its own Cancel": {nil, func(task *traigo.Task, _ *traigo.Scope, _ context.CancelCauseFunc) {
			task.Cancel(errBoom)
		}, errBoom},
		"its own timeout": {[]traigo.TaskOption{traigo.Timeout(time.Second)}, func(*traigo.Task, *traigo.Scope, context.CancelCauseFunc) {
			time.Sleep(time.Second)
		}, context.DeadlineExceeded},
		"Cancel of the scope": {nil, func(_ *traigo.Task, s *traigo.Scope, _ context.CancelCauseFunc) {
			s.Cancel(errBoom)
		}, errBoom},
		"timeout of the scope": {nil, func(_ *traigo.Task, s *traigo.Scope, _ context.CancelCauseFunc) {
			s.SetTimeout(time.Second)
			time.Sleep(time.Second)
		}, context.DeadlineExceeded},
		"Cancel of the parent": {nil, func(_ *traigo.Task, s *traigo.Scope, _ context.CancelCauseFunc) {
			s.Parent().Cancel(errBoom)
		}, errBoom},
		"nothing else left": {[]traigo.TaskOption{traigo.Awaited(false)}, func(_ *traigo.Task, s *traigo.Scope, _ context.CancelCauseFunc) {
			s.Finalize()
		}, context.Canceled},
		"an outer context": {nil, func(_ *traigo.Task, _ *traigo.Scope, outer context.CancelCauseFunc) {
			outer(errBoom)
		}, errBoom},
	} {
		for when, asksEarly := range map[string]bool{"asked at any time": true, "asked after the end": false} {
			t.Run(name+"/"+when, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					outer, cancel := context.WithCancelCause(t.Context())
					s := traigo.New(outer, discard()).Fork()
					var inside error
					task := s.Spawn(func(ctx context.Context) error {
						<-ctx.Done()
						inside = context.Cause(ctx)
						time.Sleep(time.Second)
						return nil
					}, row.opts...)
					synctest.Wait()
					if asksEarly {
						require.NoError(t, task.Cause(), "not canceled yet")
					}
					row.cancel(task, s, cancel)
					synctest.Wait()
					require.ErrorIs(t, inside, row.want)
					if asksEarly {
						assert.Equal(t, inside, task.Cause())
					}
					<-task.Done()
					s.Cancel(errLate)
					assert.Equal(t, inside, task.Cause(), "a later cancellation of the scope changes nothing")
					_ = s.Parent().Close()
					assert.Equal(t, inside, task.Cause())
				})
			})
		}
	}
}

func TestCauseOfATaskThatEndedByItselfIsNil(t *testing.T) {
	for name, fn := range map[string]func(context.Context) error{
		"success": succeed,
		"failure": fail,
		"its context was used": func(ctx context.Context) error {
			derived, cancel := context.WithCancel(ctx)
			defer cancel()
			return derived.Err()
		},
	} {
		for when, asksEarly := range map[string]bool{"asked at any time": true, "asked after the scope has ended": false} {
			t.Run(name+"/"+when, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					s := traigo.New(t.Context())
					task := s.Spawn(fn, traigo.Bubble(false))
					<-task.Done()
					if asksEarly {
						require.NoError(t, task.Cause())
					}
					s.Cancel(errBoom)
					require.NoError(t, task.Cause())
					require.ErrorIs(t, s.Wait(), errBoom)
					require.NoError(t, task.Cause())
				})
			})
		}
	}
}

func TestFlagsOfATask(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := traigo.New(t.Context())
		onDone := traigo.OnDone(func(error) {})
		spawn := func(opts ...traigo.TaskOption) *traigo.Task { return s.Spawn(succeed, opts...) }
		async := func(opts ...traigo.TaskOption) *traigo.Task { return traigo.Async(s, answer, opts...).Task() }
		for _, row := range []struct {
			name string
			task *traigo.Task
			want traigo.TaskFlags
		}{
			{"Spawn", spawn(), traigo.TaskFlags{Bubble: true, Awaited: true}},
			{"Bubble(false)", spawn(traigo.Bubble(false)), traigo.TaskFlags{Awaited: true}},
			{"Awaited(false)", spawn(traigo.Awaited(false)), traigo.TaskFlags{Bubble: true}},
			{"OnDone", spawn(onDone), traigo.TaskFlags{Awaited: true}},
			{"OnDone, Bubble(true)", spawn(onDone, traigo.Bubble(true)), traigo.TaskFlags{Bubble: true, Awaited: true}},
			{"the last one counts", spawn(traigo.Master(true), traigo.Bubble(false), traigo.Master(false), traigo.Bubble(true)),
				traigo.TaskFlags{Bubble: true, Awaited: true}},
			{"Async", async(), traigo.TaskFlags{Awaited: true}},
			{"Async, Bubble(true)", async(traigo.Bubble(true)), traigo.TaskFlags{Bubble: true, Awaited: true}},
			{"Master(true)", spawn(traigo.Master(true)), traigo.TaskFlags{Bubble: true, Master: true, Awaited: true}},
		} {
			assert.Equal(t, row.want, row.task.Flags(), row.name)
		}
		<-s.Done()
		assert.Equal(t, traigo.TaskFlags{Awaited: true}, spawn(traigo.Bubble(false)).Flags(), "also of a task that was refused")
	})
}
