package traigo_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"weak"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo"
)

// stuckTasks lists what every StuckError in err's tree names.
func stuckTasks(err error) (tasks []traigo.StuckTask) {
	switch e := err.(type) { //nolint:errorlint // it walks the tree itself
	case *traigo.StuckError:
		return e.Tasks
	case interface{ Unwrap() error }:
		return stuckTasks(e.Unwrap())
	case interface{ Unwrap() []error }:
		for _, err := range e.Unwrap() {
			tasks = append(tasks, stuckTasks(err)...)
		}
	}
	return tasks
}

func TestStuckTaskIsGivenUp(t *testing.T) {
	ends := map[string]func(*traigo.Scope) error{
		"quiet": (*traigo.Scope).Close,
		"failing": func(s *traigo.Scope) error {
			s.Cancel(errBoom)
			return s.Wait()
		},
	}
	for name, end := range ends {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				release, free := newRelease()
				defer free()
				seen := new(story)
				s := traigo.New(t.Context(), traigo.Name("s"), traigo.CancelTimeout(2*time.Second), traigo.Observe(seen), discard())
				task := s.Spawn(deaf(release), traigo.Name("stuck"))
				s.Spawn(cleaning(time.Second, nil), traigo.Name("slow"))
				time.Sleep(5 * time.Second)

				start := time.Now()
				err := end(s)
				assert.Equal(t, 2*time.Second, time.Since(start))
				assert.Equal(t, traigo.Closed, s.State())
				if name == "failing" {
					require.ErrorIs(t, err, errBoom, "the first cause stays")
				}

				stuck := stuckTasks(err)
				require.Len(t, stuck, 1, "%v", err)
				assert.Equal(t, "s/stuck", stuck[0].Path)
				assert.Equal(t, 7*time.Second, stuck[0].Age)
				assert.Contains(t, stuck[0].Stack, "deafTo")
				assert.True(t, mentions(err.Error(), "s/stuck", "7s"), err.Error())
				assert.NotContains(t, err.Error(), "\n")
				assert.True(t, mentions(fmt.Sprintf("%+v", err), "s/stuck", "7s", "deafTo"), "%+v", err)

				events := seen.events(traigo.TaskStuck)
				require.Len(t, events, 1)
				assert.Same(t, task, events[0].Task)
				assert.Same(t, s, events[0].Scope)
				assert.Equal(t, start.Add(2*time.Second), events[0].Time)
			})
		})
	}
}

// Not in a bubble, whose clock is so early that the sum does not overflow.
func TestTaskIsNotGivenUpBeforeTheLongestCancelTimeout(t *testing.T) {
	s := traigo.New(t.Context(), traigo.CancelTimeout(math.MaxInt64))
	s.Spawn(cleaning(50*time.Millisecond, nil))
	s.Spawn(func(ctx context.Context) error {
		<-ctx.Done()
		_ = traigo.Run(context.WithoutCancel(ctx), emptyBody) // after which the scope looks for stuck tasks
		return nil
	})
	require.NoError(t, s.Close())
}

func TestStuckTasksAreAllNamed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release, free := newRelease()
		defer free()
		s := traigo.New(t.Context(), traigo.Name("s"), traigo.CancelTimeout(time.Second), discard())
		s.Spawn(deaf(release), traigo.Name("a"))
		s.Spawn(deaf(release), traigo.Name("b"))
		s.Spawn(deaf(release), traigo.Name("c"), traigo.CancelTimeout(2*time.Second))
		synctest.Wait()
		var paths []string
		for _, stuck := range stuckTasks(s.Close()) {
			paths = append(paths, stuck.Path)
			assert.Contains(t, stuck.Stack, "deafTo")
		}
		assert.ElementsMatch(t, []string{"s/a", "s/b", "s/c"}, paths)
	})
}

func TestStuckTaskIsGivenUpAfterTheFirstCancelTimeoutFromIt(t *testing.T) {
	const second = time.Second
	rows := map[string]struct{ task, fork, parent, want time.Duration }{
		"the task's, shorter":    {task: 1 * second, fork: 5 * second, want: 1 * second},
		"the task's, longer":     {task: 5 * second, fork: 1 * second, want: 5 * second},
		"its scope's":            {fork: 3 * second, want: 3 * second},
		"its scope's, shorter":   {fork: 1 * second, parent: 3 * second, want: 1 * second},
		"its scope's, longer":    {fork: 3 * second, parent: 1 * second, want: 3 * second},
		"inherited":              {parent: 3 * second, want: 3 * second},
		"the task's, only there": {task: 3 * second, want: 3 * second},
	}
	for name, row := range rows {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				release, free := newRelease()
				defer free()
				var parent, fork []traigo.ScopeOption
				var task []traigo.TaskOption
				if row.parent > 0 {
					parent = append(parent, traigo.CancelTimeout(row.parent))
				}
				if row.fork > 0 {
					fork = append(fork, traigo.CancelTimeout(row.fork))
				}
				if row.task > 0 {
					task = append(task, traigo.CancelTimeout(row.task))
				}
				grand := traigo.New(t.Context(), append(parent, traigo.Name("a"), discard())...)
				child := grand.Fork(traigo.Name("b")).Fork(append(fork, traigo.Name("c"))...)
				child.Spawn(deaf(release), append(task, traigo.Name("stuck"))...)
				synctest.Wait()

				start := time.Now()
				_ = grand.Close()
				assert.Equal(t, row.want, time.Since(start))
				stuck := stuckTasks(child.Err())
				require.Len(t, stuck, 1, "%v", child.Err())
				assert.Equal(t, "a/b/c/stuck", stuck[0].Path)
			})
		})
	}
}

// A Run passes its time on to what is below it: when that is given up, Run
// returns at once, and so does the task that called it. Both clocks are due at
// one instant, and it is the innermost that is stuck.
func TestStuckTaskBelowARunIsTheOneThatIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release, free := newRelease()
		defer free()
		var inner error
		s := traigo.New(t.Context(), traigo.Name("outer"), traigo.CancelTimeout(time.Second), discard())
		caller := s.Spawn(func(ctx context.Context) error {
			inner = traigo.Run(ctx, func(_ context.Context, s *traigo.Scope) error {
				s.Spawn(deaf(release), traigo.Name("stuck"))
				return nil
			}, traigo.Name("inner"))
			return nil
		}, traigo.Name("caller"))
		synctest.Wait()
		start := time.Now()
		err := s.Close()
		assert.Equal(t, time.Second, time.Since(start))
		assert.Empty(t, stuckTasks(err))
		<-caller.Done()
		stuck := stuckTasks(inner)
		require.Len(t, stuck, 1)
		assert.Equal(t, "outer/inner/stuck", stuck[0].Path)
	})
}

func TestStuckTaskCanceledAloneIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release, free := newRelease()
		defer free()
		s := traigo.New(t.Context(), traigo.Name("s"), discard())
		task := s.Spawn(deaf(release), traigo.Name("stuck"), traigo.CancelTimeout(time.Second))
		synctest.Wait()
		start := time.Now()
		task.Cancel(nil)
		err := s.Wait()
		assert.Equal(t, time.Second, time.Since(start))
		require.Len(t, stuckTasks(err), 1, "%v", err)
	})
}

func TestStuckTaskThatEndsAfterAllChangesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release, free := newRelease()
		defer free()
		s := traigo.New(t.Context(), traigo.CancelTimeout(time.Second), discard())
		s.Spawn(func(context.Context) error {
			deafTo(release)
			return errBoom
		})
		synctest.Wait()
		err := s.Close()
		text := err.Error()
		free()
		synctest.Wait()
		assert.Same(t, err, s.Err())
		assert.Equal(t, text, s.Err().Error())
		assert.Equal(t, traigo.Closed, s.State())
	})
}

func TestStuckTaskInTimeIsNotGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		seen := new(story)
		s := traigo.New(t.Context(), traigo.CancelTimeout(time.Second), traigo.Observe(seen))
		s.Spawn(lasting(time.Minute), traigo.Name("long, but not canceled"))
		require.NoError(t, s.Wait())

		s = traigo.New(t.Context(), traigo.CancelTimeout(time.Second), traigo.Observe(seen))
		s.Spawn(cleaning(time.Second-1, nil))
		synctest.Wait()
		require.NoError(t, s.Close())
		assert.Empty(t, seen.events(traigo.TaskStuck))
	})
}

func TestStuckTaskIsWaitedForButLoggedOnce(t *testing.T) {
	rows := map[string]func(t *testing.T) (*records, []traigo.ScopeOption){
		"Logger": func(*testing.T) (*records, []traigo.ScopeOption) {
			book := newRecords()
			return book, []traigo.ScopeOption{traigo.Logger(book.logger())}
		},
		"default": func(t *testing.T) (*records, []traigo.ScopeOption) { return defaultLog(t), nil },
	}
	for name, row := range rows {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				book, opts := row(t)
				release, free := newRelease()
				defer free()
				s := traigo.New(t.Context(), append(opts, traigo.Name("s"))...)
				s.Spawn(deaf(release), traigo.Name("stuck"))
				s.Spawn(lasting(25 * time.Second))
				time.Sleep(20 * time.Second) // age alone is nothing to warn of
				s.Cancel(nil)
				time.Sleep(10*time.Second - time.Nanosecond)
				synctest.Wait()
				assert.Empty(t, book.from(slog.LevelWarn))
				time.Sleep(time.Nanosecond)
				synctest.Wait()
				require.Len(t, book.from(slog.LevelWarn), 1)
				time.Sleep(time.Hour)
				synctest.Wait()
				warned := book.from(slog.LevelWarn)
				require.Len(t, warned, 1, "once")
				assert.Equal(t, slog.LevelWarn, warned[0].Level)
				assert.True(t, mentions(warned[0].Text, "s/stuck", "deafTo"), warned[0].Text)

				assert.Equal(t, traigo.Canceling, s.State(), "it waits for ever")
				free()
				require.NoError(t, s.Wait())
			})
		})
	}
}

func TestStuckTasksAreEachLoggedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		book := newRecords()
		release, free := newRelease()
		defer free()
		s := traigo.New(t.Context(), traigo.Name("s"), traigo.Logger(book.logger()))
		first := s.Spawn(deaf(release), traigo.Name("first"))
		s.Spawn(deaf(release), traigo.Name("second"))
		synctest.Wait()
		first.Cancel(nil)
		time.Sleep(5 * time.Second)
		s.Cancel(nil)
		time.Sleep(time.Hour)
		synctest.Wait()
		var tasks []string
		for _, r := range book.from(slog.LevelWarn) {
			tasks = append(tasks, r.Attrs["task"])
		}
		assert.Equal(t, []string{"s/first", "s/second"}, tasks)
		free()
		require.NoError(t, s.Wait())
	})
}

// What follows from the end of a task follows when it is given up:
// docs/adr/0004.

// hanging is a task function that only the returned release ends.
func hanging(t *testing.T) (fn func(context.Context) error, release func()) {
	t.Helper()
	c := make(chan struct{})
	return func(context.Context) error { <-c; return nil }, func() { close(c); synctest.Wait() }
}

func TestGivenUpTaskReleasesThoseWhoWaitForIt(t *testing.T) {
	for name, wait := range map[string]func(ctx context.Context, s *traigo.Scope, fn func(context.Context) error) error{
		"Wait": func(ctx context.Context, s *traigo.Scope, fn func(context.Context) error) error {
			task := s.Spawn(fn)
			s.Spawn(succeed).Cancel(nil)
			time.AfterFunc(time.Second, func() { task.Cancel(nil) })
			return task.Wait(ctx)
		},
		"Wait after": func(ctx context.Context, s *traigo.Scope, fn func(context.Context) error) error {
			task := s.Spawn(fn)
			task.Cancel(nil)
			time.Sleep(3 * time.Second)
			return task.Wait(ctx)
		},
		"Await": func(ctx context.Context, s *traigo.Scope, fn func(context.Context) error) error {
			f := traigo.Async(s, func(ctx context.Context) (int, error) { return 1, fn(ctx) })
			f.Task().Cancel(nil)
			n, err := f.Await(ctx)
			assert.Zero(t, n)
			return err
		},
		"Start": func(ctx context.Context, s *traigo.Scope, fn func(context.Context) error) error {
			task, err := s.Start(ctx, func(ctx context.Context, _ func()) error { return fn(ctx) },
				traigo.Timeout(time.Second))
			assert.Nil(t, task)
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				fn, release := hanging(t)
				defer release()
				s := traigo.New(t.Context(), traigo.CancelTimeout(time.Second), discard())
				err := wait(t.Context(), s, fn)
				stuck := as[*traigo.StuckError](t, err)
				require.Len(t, stuck.Tasks, 1)
				assert.Contains(t, stuck.Tasks[0].Stack, "hanging.func1")
				require.ErrorContains(t, s.Close(), "1 task did not end after cancel")
			})
		})
	}
}

func TestGivenUpStartIsReportedToACallerWhoHasGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fn, release := hanging(t)
		defer release()
		s := traigo.New(t.Context(), traigo.CancelTimeout(time.Second), discard())
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, errOuter)
		defer cancel()
		begin := time.Now()
		_, err := s.Start(ctx, func(ctx context.Context, _ func()) error { return fn(ctx) })
		assert.Equal(t, 2*time.Second, time.Since(begin))
		require.ErrorIs(t, err, errOuter)
		_, ok := errors.AsType[*traigo.StuckError](err)
		require.True(t, ok)
		require.Error(t, s.Close())
	})
}

func TestGivenUpMasterEndsItsScope(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fn, release := hanging(t)
		defer release()
		var cause error
		err := traigo.Run(t.Context(), func(_ context.Context, s *traigo.Scope) error {
			s.Spawn(fn, traigo.Master(true), traigo.CancelTimeout(time.Second)).Cancel(nil)
			s.Spawn(func(ctx context.Context) error { <-ctx.Done(); cause = context.Cause(ctx); return nil })
			return nil
		}, discard())
		_ = as[*traigo.StuckError](t, outcome(t, err).Err)
		require.Equal(t, traigo.MasterEnded, as[*traigo.Cancellation](t, cause).Kind)
	})
}

func TestGivenUpAfterItsOwnTimeoutATaskHasFailed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fn, release := hanging(t)
		defer release()
		begin := time.Now()
		err := traigo.Run(t.Context(), func(_ context.Context, s *traigo.Scope) error {
			s.Spawn(fn, traigo.Name("hangs"), traigo.Timeout(time.Second))
			s.Spawn(untilCanceled)
			return nil
		}, traigo.CancelTimeout(time.Second), discard())
		assert.Equal(t, 2*time.Second, time.Since(begin))
		e := outcome(t, err)
		assert.Equal(t, "hangs", as[*traigo.TaskError](t, e.Err).Task)
		require.ErrorIs(t, e.Err, context.DeadlineExceeded)
		require.Len(t, e.Others, 1)
		_ = as[*traigo.StuckError](t, e.Others[0])
	})
}

func TestGivenUpTaskGivesItsSlotBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fn, release := hanging(t)
		defer release()
		s := traigo.New(t.Context(), traigo.Limit(1), traigo.CancelTimeout(time.Second), discard())
		s.Spawn(fn).Cancel(nil)
		begin := time.Now()
		require.NoError(t, s.Spawn(succeed).Wait(t.Context()))
		assert.Equal(t, time.Second, time.Since(begin))
		require.Error(t, s.Close())
	})
}

func TestGivenUpTaskIsInTheSnapshotOfItsScopeUntilItEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fn, release := hanging(t)
		release = sync.OnceFunc(release)
		defer release()
		root := traigo.New(t.Context(), traigo.Name("root"), traigo.CancelTimeout(time.Second), discard())
		fork := root.Fork(traigo.Name("fork"))
		fork.Spawn(fn, traigo.Name("deaf"))
		require.Error(t, fork.Close())
		shot := root.Snapshot()
		require.Len(t, shot.Scopes, 1)
		assert.Equal(t, traigo.Closed, shot.Scopes[0].State)
		require.Len(t, shot.Scopes[0].Tasks, 1)
		assert.Equal(t, "given up", shot.Scopes[0].Tasks[0].State)
		assert.Equal(t, "root/fork/deaf", shot.Scopes[0].Tasks[0].Path)
		release()
		assert.Empty(t, root.Snapshot().Scopes)
		require.NoError(t, root.Close())
	})
}

func TestGivenUpTaskThatFailsAfterAllIsLogged(t *testing.T) {
	for name, row := range map[string]struct {
		end   func() error
		level slog.Level
	}{
		"error": {func() error { return errLate }, slog.LevelWarn},
		"panic": {func() error { panic(errLate) }, slog.LevelError},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				book := newRecords()
				release := make(chan struct{})
				s := traigo.New(t.Context(), traigo.CancelTimeout(time.Second), traigo.Logger(book.logger()))
				s.Spawn(func(context.Context) error { <-release; return row.end() })
				require.NotErrorIs(t, s.Close(), errLate)
				close(release)
				synctest.Wait()
				assert.Len(t, book.at(row.level, "late"), 1)
			})
		})
	}
}

// A CancelTimeout of 0 is none, also under a parent that has one.
func TestCancelTimeoutOfZeroWaitsForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fn, release := hanging(t)
		time.AfterFunc(time.Hour, release)
		begin := time.Now()
		require.NoError(t, traigo.Run(t.Context(), func(_ context.Context, s *traigo.Scope) error {
			s.Spawn(fn, traigo.CancelTimeout(0))
			s.Cancel(nil)
			return nil
		}, traigo.CancelTimeout(time.Second), discard()))
		assert.Equal(t, time.Hour, time.Since(begin))
	})
}

// Who is given up, who hears of it, and what it costs.

// A task that has not been started has not had its chance to end.
func TestTaskThatHasNotStartedIsNotGivenUp(t *testing.T) {
	for name, cancel := range map[string]func(s *traigo.Scope, first *traigo.Task){
		"scope":     func(s *traigo.Scope, _ *traigo.Task) { s.Cancel(nil) },
		"one alone": func(_ *traigo.Scope, first *traigo.Task) { first.Cancel(nil) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := traigo.New(t.Context(), traigo.CancelTimeout(time.Second), discard())
				ran := make([]bool, 3)
				first, launch := traigo.SpawnLater(s, func(context.Context) error { ran[0] = true; return nil })
				for i := range ran[1:] {
					traigo.SpawnLater(s, func(context.Context) error { ran[1+i] = true; return nil })
				}
				cancel(s, first)
				time.Sleep(time.Minute)
				require.NoError(t, s.CheckInvariants())
				launch()
				require.NoError(t, s.Wait())
				assert.Equal(t, []bool{true, true, true}, ran)
			})
		})
	}
}

// Once it has started it has as long as any other.
func TestTaskThatStartedLateIsGivenUpAllTheSame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release, free := newRelease()
		defer free()
		s := traigo.New(t.Context(), traigo.CancelTimeout(time.Second), discard())
		_, launch := traigo.SpawnLater(s, deaf(release), traigo.Name("late"))
		s.Cancel(nil)
		time.Sleep(time.Minute)
		launch()
		stuck := as[*traigo.StuckError](t, s.Wait())
		require.Len(t, stuck.Tasks, 1)
		assert.Contains(t, stuck.Tasks[0].Path, "/late")
	})
}

// However many are stuck, and however long it takes to say so, those who only
// wait for them are not among them.
func TestTasksThatWaitForStuckOnesAreNotGivenUp(t *testing.T) {
	for _, n := range []int{1, 100} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				release, free := newRelease()
				defer free()
				slow := seeing(func(e traigo.Event) {
					if e.Kind == traigo.TaskStuck {
						time.Sleep(5 * time.Millisecond)
					}
				})
				s := traigo.New(t.Context(), traigo.CancelTimeout(time.Second), traigo.Observe(slow), discard())
				var mu sync.Mutex
				var inner []error
				for range 3 {
					s.Spawn(func(ctx context.Context) error {
						err := traigo.Run(ctx, func(_ context.Context, s *traigo.Scope) error {
							for range n {
								s.Spawn(deaf(release))
							}
							return nil
						})
						mu.Lock()
						defer mu.Unlock()
						inner = append(inner, err)
						return nil
					})
				}
				synctest.Wait()
				require.NoError(t, s.Close(), "the tasks that wait in Run are given the time of the scope below")
				require.Len(t, inner, 3)
				for _, err := range inner {
					assert.Len(t, as[*traigo.StuckError](t, err).Tasks, n)
				}
			})
		})
	}
}

// slowToTell is a context that takes a second to say what it carries.
type slowToTell struct{ context.Context } //nolint:containedctx // it is one

func (c slowToTell) Value(key any) any {
	time.Sleep(time.Second)
	return c.Context.Value(key)
}

// The task is given up between a look at it and the wait for it: 0.5 s after
// Wait was called, which only then knows who is asking.
func TestWaiterThatComesAsTheTaskIsGivenUpHearsOfIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release, free := newRelease()
		defer free()
		s := traigo.New(t.Context(), traigo.CancelTimeout(500*time.Millisecond), discard())
		task := s.Spawn(deaf(release))
		synctest.Wait()
		s.Cancel(nil)
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		begin := time.Now()
		_ = as[*traigo.StuckError](t, task.Wait(slowToTell{ctx}))
		assert.Equal(t, time.Second, time.Since(begin))
		require.Error(t, s.Wait())
	})
}

// A quiet end silences errors of tasks, but not that goroutines are left behind,
// also where that was found out further down.
func TestStuckErrorSurvivesAQuietEnd(t *testing.T) {
	for name, end := range map[string]func(s *traigo.Scope){
		"Cancel(nil)":  func(s *traigo.Scope) { s.Cancel(nil) },
		"master":       func(s *traigo.Scope) { s.Spawn(succeed, traigo.Master(true)) },
		"nothing left": func(s *traigo.Scope) { s.Finalize() },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				release, free := newRelease()
				defer free()
				s := traigo.New(t.Context(), traigo.Name("outer"), traigo.CancelTimeout(time.Second), discard())
				s.Spawn(func(ctx context.Context) error {
					return traigo.Run(ctx, func(_ context.Context, s *traigo.Scope) error {
						s.Spawn(deaf(release), traigo.Name("stuck"))
						return nil
					}, traigo.Name("inner"))
				}, traigo.Name("caller"), traigo.Awaited(false))
				s.Spawn(cleaning(500*time.Millisecond, errLate), traigo.Awaited(false)) // which is silenced
				synctest.Wait()
				end(s)
				e := outcome(t, s.Wait())
				assert.Equal(t, "caller", as[*traigo.TaskError](t, e.Err).Task)
				assert.Empty(t, e.Others)
				stuck := as[*traigo.StuckError](t, e)
				require.Len(t, stuck.Tasks, 1)
				assert.Equal(t, "outer/inner/stuck", stuck.Tasks[0].Path)
			})
		})
	}
}

func TestStuckErrorNamesAThousandAndCountsTheRest(t *testing.T) {
	const n = 1003
	synctest.Test(t, func(t *testing.T) {
		release, free := newRelease()
		defer free()
		s := traigo.New(t.Context(), traigo.CancelTimeout(time.Second), discard())
		for range n {
			s.Spawn(deaf(release))
		}
		synctest.Wait()
		stuck := as[*traigo.StuckError](t, s.Close())
		assert.Len(t, stuck.Tasks, 1000)
		require.ErrorContains(t, stuck, "1003 tasks did not end after cancel")
	})
}

// What has been left behind is forgotten when it ends, and not only when
// somebody looks.
func TestWhatWasLeftBehindIsForgottenWhenItEnds(t *testing.T) {
	type payload [1 << 10]byte
	for name, leave := range map[string]func(call func()) func(context.Context) error{
		"abandoned": func(call func()) func(context.Context) error {
			return traigo.Blocking(func() error { call(); return nil })
		},
		"given up": func(call func()) func(context.Context) error {
			return func(context.Context) error { call(); return nil }
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				release, free := newRelease()
				defer free()
				s := traigo.New(t.Context(), traigo.CancelTimeout(time.Second), discard())
				var held []weak.Pointer[payload]
				for range 20 {
					p := new(payload)
					held = append(held, weak.Make(p))
					task := s.Spawn(leave(func() { <-release; runtime.KeepAlive(p) }))
					synctest.Wait()
					task.Cancel(nil)
				}
				time.Sleep(time.Minute)
				require.Len(t, s.Snapshot().Tasks, 20)
				free()
				synctest.Wait()
				runtime.GC()
				kept := 0
				for _, p := range held {
					if p.Value() != nil {
						kept++
					}
				}
				assert.LessOrEqual(t, kept, 1, "the last may still be in a register")
				_ = s.Close()
			})
		})
	}
}

// Four times as many cost about four times as much; what is quadratic costs
// sixteen times as much. A machine that has other things to do may spoil a
// measurement, but not all.
func TestCostOfLeavingManyBehindIsNotQuadratic(t *testing.T) {
	for name, row := range map[string]struct {
		n     int
		leave func(call func()) func(context.Context) error
	}{
		"abandoned": {2000, func(call func()) func(context.Context) error {
			return traigo.Blocking(func() error { call(); return nil })
		}},
		"given up": {500, func(call func()) func(context.Context) error {
			return func(context.Context) error { call(); return nil }
		}},
	} {
		t.Run(name, func(t *testing.T) {
			cost := func(n int) time.Duration {
				begin := time.Now() // the clock outside the bubble
				synctest.Test(t, func(t *testing.T) {
					release, free := newRelease()
					s := traigo.New(t.Context(), traigo.CancelTimeout(time.Second), discard())
					for range n {
						s.Spawn(row.leave(func() { <-release }))
					}
					synctest.Wait()
					_ = s.Close()
					free()
				})
				return time.Since(begin)
			}
			var ratios []float64
			for range 5 {
				ratio := float64(cost(4*row.n)) / float64(cost(row.n))
				if ratio < 9 {
					return
				}
				ratios = append(ratios, ratio)
			}
			require.Fail(t, "four times as many cost too much", "%v", ratios)
		})
	}
}

// The time of the scope below applies to a task that waits for it in Run, however much
// longer it is; but not to one that is busy in the body.
func TestTaskThatWaitsInRunHasTheTimeOfTheScopeBelow(t *testing.T) {
	for name, row := range map[string]struct {
		body  func(release <-chan struct{}) error
		after time.Duration
		stuck string
	}{
		"waits in Run":     {func(<-chan struct{}) error { return nil }, 5 * time.Second, "outer/caller/deep"},
		"busy in the body": {func(release <-chan struct{}) error { deafTo(release); return nil }, time.Second, "outer/caller"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				release, free := newRelease()
				defer free()
				var inner error
				s := traigo.New(t.Context(), traigo.Name("outer"), traigo.CancelTimeout(time.Second), discard())
				s.Spawn(func(ctx context.Context) error {
					inner = traigo.Run(ctx, func(_ context.Context, s *traigo.Scope) error {
						s.Spawn(deaf(release), traigo.Name("deep"), traigo.CancelTimeout(5*time.Second))
						return row.body(release)
					}, traigo.Name("caller"))
					return nil
				}, traigo.Name("caller"))
				synctest.Wait()
				start := time.Now()
				err := s.Close()
				assert.Equal(t, row.after, time.Since(start))
				synctest.Wait()
				stuck := append(stuckTasks(err), stuckTasks(inner)...)
				require.Len(t, stuck, 1)
				assert.Equal(t, row.stuck, stuck[0].Path)
			})
		})
	}
}

// The owner of an error decides also when the task is given up: here its own time is up.
func TestGivenUpTaskLeavesItsErrorToItsOwner(t *testing.T) {
	late := []traigo.TaskOption{traigo.Timeout(time.Second), traigo.CancelTimeout(time.Second)}
	rows := map[string]struct {
		spawn func(s *traigo.Scope, fn func(context.Context) error, heard *[]error)
		heard int
	}{
		"OnDone": {func(s *traigo.Scope, fn func(context.Context) error, heard *[]error) {
			s.Spawn(fn, append(late, traigo.OnDone(func(err error) { *heard = append(*heard, err) }))...)
		}, 1},
		"Async": {func(s *traigo.Scope, fn func(context.Context) error, heard *[]error) {
			f := traigo.Async(s, func(ctx context.Context) (int, error) { return 0, fn(ctx) }, late...)
			go func() {
				_, err := f.Await(context.Background())
				*heard = append(*heard, err)
			}()
		}, 1},
		"nobody": {func(s *traigo.Scope, fn func(context.Context) error, _ *[]error) {
			s.Spawn(fn, append(late, traigo.Bubble(false))...)
		}, 0},
	}
	for name, row := range rows {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				release, free := newRelease()
				defer free()
				s := traigo.New(t.Context(), discard())
				var heard []error
				row.spawn(s, deaf(release), &heard)
				sibling := s.Spawn(lasting(time.Minute))
				time.Sleep(10 * time.Second)
				synctest.Wait()
				assert.Equal(t, traigo.Open, s.State(), "the scope is not canceled")
				require.Len(t, heard, row.heard)
				for _, err := range heard {
					require.NotEmpty(t, stuckTasks(err))
				}
				free()
				synctest.Wait()
				assert.Len(t, heard, row.heard, "once")
				err := s.Wait()
				require.Len(t, stuckTasks(err), 1, "the outcome names it all the same")
				require.NoError(t, sibling.Err())
			})
		})
	}
}

func TestGivenUpTaskThatPanicsWhileItsScopeIsOpenIsRaised(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := traigo.New(t.Context(), traigo.CancelTimeout(time.Second), discard())
		task := s.Spawn(func(context.Context) error {
			time.Sleep(10 * time.Second)
			panicOnPurpose("late")
			return nil
		}, traigo.Name("work"))
		synctest.Wait()
		task.Cancel(nil)
		time.Sleep(5 * time.Second)
		assert.Equal(t, traigo.GivenUp, task.State())
		time.Sleep(6 * time.Second)
		assert.Equal(t, traigo.Ended, task.State())
		_ = requirePanic(t, "work", func() { _ = s.Wait() })
	})
}

// A task that is in a Run as its time is up is given that one's time, and is given up when
// it does not end after that.
func TestTaskThatWaitedInARunIsGivenUpAllTheSame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release, free := newRelease()
		defer free()
		s := traigo.New(t.Context(), traigo.CancelTimeout(time.Second), discard())
		task := s.Spawn(func(ctx context.Context) error {
			<-ctx.Done()
			time.Sleep(time.Millisecond)
			_ = traigo.Shield(ctx, time.Minute, func(ctx context.Context) error {
				return traigo.Run(ctx, func(_ context.Context, s *traigo.Scope) error {
					s.Spawn(lasting(2 * time.Second))
					return nil
				})
			})
			deafTo(release)
			return nil
		})
		synctest.Wait()
		start := time.Now()
		require.Len(t, stuckTasks(s.Close()), 1)
		assert.Equal(t, traigo.GivenUp, task.State())
		assert.Less(t, time.Since(start), time.Minute)
	})
}

// A task of a fork that waits in a Run for longer does not hold up those that wait for nothing.
func TestTaskIsGivenUpWhateverTheTimeOfAForkBesideIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release, free := newRelease()
		defer free()
		s := traigo.New(t.Context(), traigo.CancelTimeout(time.Second), discard())
		task := s.Spawn(deaf(release))
		s.Fork().Spawn(func(ctx context.Context) error {
			return traigo.Run(ctx, func(_ context.Context, s *traigo.Scope) error {
				s.Spawn(deaf(release))
				return nil
			}, traigo.CancelTimeout(time.Hour))
		})
		synctest.Wait()
		start := time.Now()
		s.Cancel(nil)
		require.Error(t, task.Wait(t.Context()))
		assert.Equal(t, time.Second, time.Since(start))
		assert.Equal(t, traigo.GivenUp, task.State())
		require.Len(t, stuckTasks(s.Close()), 1)
		assert.Equal(t, time.Hour, time.Since(start))
	})
}

// Only the one at the bottom is named, however many Runs lie above, one in the body of another.
func TestStuckTaskBelowRunsInBodiesIsTheOneThatIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release, free := newRelease()
		defer free()
		s := traigo.New(t.Context(), traigo.Name("s"), traigo.CancelTimeout(time.Second), discard())
		s.Spawn(func(ctx context.Context) error {
			return traigo.Run(ctx, func(ctx context.Context, _ *traigo.Scope) error {
				return traigo.Run(ctx, func(_ context.Context, s *traigo.Scope) error {
					s.Spawn(deaf(release), traigo.Name("deaf"))
					return nil
				}, traigo.Name("b"))
			}, traigo.Name("a"), traigo.CancelTimeout(5*time.Second))
		})
		synctest.Wait()
		start := time.Now()
		stuck := stuckTasks(s.Close())
		require.Len(t, stuck, 1)
		assert.Equal(t, "s/a/b/deaf", stuck[0].Path)
		assert.Equal(t, 5*time.Second, time.Since(start))
	})
}

// The TimeoutError of a task that is given up is not lost, whoever owns its error.
func TestGivenUpAfterItsOwnTimeoutATaskTellsOfBoth(t *testing.T) {
	late := []traigo.TaskOption{traigo.Name("hangs"), traigo.Timeout(time.Second), traigo.CancelTimeout(time.Second)}
	for name, spawn := range map[string]func(s *traigo.Scope, fn func(context.Context) error) error{
		"the scope": func(s *traigo.Scope, fn func(context.Context) error) error { s.Spawn(fn, late...); return nil },
		"a master": func(s *traigo.Scope, fn func(context.Context) error) error {
			s.Spawn(fn, append(late, traigo.Master(true))...)
			return nil
		},
		"OnDone": func(s *traigo.Scope, fn func(context.Context) error) (heard error) {
			_ = s.Spawn(fn, append(late, traigo.OnDone(func(err error) { heard = err }))...).Wait(context.Background())
			synctest.Wait()
			return heard
		},
		"Async": func(s *traigo.Scope, fn func(context.Context) error) error {
			_, err := traigo.Async(s, func(ctx context.Context) (int, error) { return 0, fn(ctx) }, late...).Await(context.Background())
			return err
		},
		"Start": func(s *traigo.Scope, fn func(context.Context) error) error {
			_, err := s.Start(context.Background(), func(ctx context.Context, _ func()) error { return fn(ctx) }, late...)
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				release, free := newRelease()
				defer free()
				s := traigo.New(t.Context(), discard())
				told := spawn(s, deaf(release))
				all := errors.Join(told, s.Wait())
				require.ErrorIs(t, all, context.DeadlineExceeded)
				assert.Equal(t, s.Path()+"/hangs", as[*traigo.TimeoutError](t, all).Scope)
				assert.NotEmpty(t, stuckTasks(all))
			})
		})
	}
}

// A master that is given up after its own timeout ends its scope with that.
func TestGivenUpMasterFailsItsScopeWithItsTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release, free := newRelease()
		defer free()
		err := traigo.Run(t.Context(), func(_ context.Context, s *traigo.Scope) error {
			s.Spawn(deaf(release), traigo.Name("hangs"), traigo.Master(true), traigo.Timeout(time.Second), traigo.CancelTimeout(time.Second))
			return nil
		}, discard())
		e := outcome(t, err)
		require.ErrorIs(t, e.Err, context.DeadlineExceeded, "the first cause")
		assert.Equal(t, time.Second, as[*traigo.TimeoutError](t, e.Err).After)
		require.Len(t, e.Others, 1)
		require.Len(t, stuckTasks(e.Others[0]), 1)
	})
}

// Its own time is up first, and then the scope fails, before the task is given up.
func TestGivenUpTaskKeepsItsTimeoutWhenItsScopeFailsMeanwhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release, free := newRelease()
		defer free()
		s := traigo.New(t.Context(), traigo.CancelTimeout(5*time.Second), discard())
		s.Spawn(deaf(release), traigo.Timeout(time.Second))
		time.Sleep(2 * time.Second)
		s.Cancel(errBoom)
		e := outcome(t, s.Wait())
		assert.Equal(t, errBoom, e.Err)
		_ = as[*traigo.TimeoutError](t, e)
		assert.Len(t, stuckTasks(e), 1)
	})
}

// Those whose errors come after it included.
func TestStuckErrorIsTheLastOfTheOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release, free := newRelease()
		defer free()
		s := traigo.New(t.Context(), discard())
		s.Spawn(deaf(release), traigo.CancelTimeout(time.Second))
		s.Spawn(cleaning(0, errLate))
		s.Spawn(cleaning(time.Minute, errLate))
		synctest.Wait()
		s.Cancel(errBoom)
		e := outcome(t, s.Wait())
		assert.Equal(t, errBoom, e.Err)
		require.Len(t, e.Others, 3)
		for _, err := range e.Others[:2] {
			require.ErrorIs(t, err, errLate)
		}
		require.Same(t, e.Others[2], as[*traigo.StuckError](t, e.Others[2]))
	})
}

// A StuckError from a scope below is raised after a quiet end whoever owns the error that
// holds it, if nobody has received it.
func TestStuckErrorOfAFutureSurvivesAQuietEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release, free := newRelease()
		defer free()
		s := traigo.New(t.Context(), discard())
		traigo.Async(s, func(ctx context.Context) (int, error) {
			return 0, traigo.Run(ctx, func(_ context.Context, s *traigo.Scope) error {
				s.Spawn(deaf(release))
				return nil
			}, traigo.CancelTimeout(time.Second))
		})
		synctest.Wait()
		require.Len(t, stuckTasks(s.Close()), 1)
	})
}

// The task ends while observers are being told that it was given up.
func TestTaskThatEndsAsItIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release, free := newRelease()
		free = sync.OnceFunc(free)
		s := traigo.New(t.Context(), discard(), traigo.CancelTimeout(time.Second), traigo.Observe(seeing(func(e traigo.Event) {
			if e.Kind == traigo.TaskStuck {
				free()
				time.Sleep(time.Second)
			}
		})))
		task := s.Spawn(func(context.Context) error { deafTo(release); return errLate })
		synctest.Wait()
		s.Cancel(nil)
		require.Len(t, stuckTasks(s.Wait()), 1)
		require.ErrorIs(t, task.Err(), errLate, "what it returned after all")
		require.NoError(t, s.CheckInvariants())
	})
}

// A task may wait for a scope below by its handle too: that is told from its stack.
func TestTaskThatWaitsForAScopeBelowHasTheTimeOfThat(t *testing.T) {
	opens := map[string]func(ctx context.Context, s *traigo.Scope) *traigo.Scope{
		"New": func(ctx context.Context, _ *traigo.Scope) *traigo.Scope {
			return traigo.New(ctx, traigo.Name("n"), traigo.CancelTimeout(5*time.Second))
		},
		"Fork": func(_ context.Context, s *traigo.Scope) *traigo.Scope {
			return s.Fork(traigo.Name("n"), traigo.CancelTimeout(5*time.Second))
		},
	}
	for name, open := range opens {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				release, free := newRelease()
				defer free()
				var inner error
				s := traigo.New(t.Context(), traigo.Name("s"), traigo.CancelTimeout(time.Second), discard())
				s.Spawn(func(ctx context.Context) error {
					n := open(ctx, s)
					n.Spawn(deaf(release), traigo.Name("deaf"))
					inner = n.Wait()
					return nil
				}, traigo.Name("outer"))
				synctest.Wait()
				err := s.Close()
				stuck := append(stuckTasks(err), stuckTasks(inner)...)
				require.Len(t, stuck, 1)
				assert.Equal(t, "s/n/deaf", stuck[0].Path)
			})
		})
	}
}

// Hundreds of scopes that warn at the same moment share a dump of the goroutines: with one each, the
// program would stand still for most of a minute.
func TestWarningsShareADump(t *testing.T) {
	const n = 300
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		var before, after runtime.MemStats
		_ = traigo.Run(t.Context(), func(ctx context.Context, s *traigo.Scope) error {
			for range n {
				s.Spawn(func(ctx context.Context) error {
					return traigo.Run(ctx, func(context.Context, *traigo.Scope) error { <-release; return nil })
				})
			}
			synctest.Wait()
			runtime.ReadMemStats(&before)
			s.Cancel(nil)
			time.Sleep(11 * time.Second)
			synctest.Wait()
			runtime.ReadMemStats(&after)
			close(release)
			return nil
		}, discard())
		const dump = 2 * n << 10 // of the goroutines of that many tasks, at least
		require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(n*dump), "as much as a dump for each scope")
	})
}
