package traigo_test

import (
	"context"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

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
				assert.True(t, mentions(err.Error(), "s/stuck", "7s", "deafTo"), err.Error())

				events := seen.events(traigo.TaskStuck)
				require.Len(t, events, 1)
				assert.Same(t, task, events[0].Task)
				assert.Same(t, s, events[0].Scope)
				assert.Equal(t, start.Add(2*time.Second), events[0].Time)
			})
		})
	}
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

func TestBlockingGivesTheCallsError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		seen := new(story)
		s := traigo.New(t.Context(), traigo.Observe(seen))
		s.Spawn(traigo.Blocking(func() error {
			time.Sleep(time.Second)
			return errBoom
		}), traigo.Name("call"))
		err := s.Wait()
		require.ErrorIs(t, err, errBoom)
		assert.Equal(t, "call", as[*traigo.TaskError](t, err).Task)
		assert.Empty(t, seen.events(traigo.TaskAbandoned))
	})
}

func TestBlockingNeedsNoScope(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		require.ErrorIs(t, traigo.Blocking(func() error { return errBoom })(t.Context()), errBoom)

		release, free := newRelease()
		defer free()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		require.ErrorIs(t, traigo.Blocking(func() error { deafTo(release); return nil })(ctx), context.DeadlineExceeded)
		assert.Equal(t, time.Second, time.Since(start))
	})
}

func TestBlockingIsAbandonedOnCancel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		seen := new(story)
		release, free := newRelease()
		defer free()
		s := traigo.New(t.Context(), traigo.Name("s"), traigo.Observe(seen))
		task := s.Spawn(traigo.Blocking(func() error { deafTo(release); return nil }), traigo.Name("call"))
		synctest.Wait()
		require.Len(t, s.Snapshot().Tasks, 1)
		assert.Equal(t, "running", s.Snapshot().Tasks[0].State)

		start := time.Now()
		task.Cancel(nil)
		<-task.Done()
		synctest.Wait()
		assert.Zero(t, time.Since(start), "the caller does not wait")
		assert.Equal(t, traigo.Open, s.State())

		abandoned := seen.events(traigo.TaskAbandoned)
		require.Len(t, abandoned, 1)
		assert.Same(t, task, abandoned[0].Task)

		time.Sleep(time.Hour)
		tasks := s.Snapshot().Tasks
		require.Len(t, tasks, 1, "reported until it ends")
		assert.Equal(t, "abandoned", tasks[0].State)
		assert.Equal(t, "s/call", tasks[0].Path)

		free()
		synctest.Wait()
		assert.Empty(t, s.Snapshot().Tasks)
		require.NoError(t, s.Close())
	})
}

func TestBlockingDoesNotHoldUpTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		seen := new(story)
		release, free := newRelease()
		defer free()
		s := traigo.New(t.Context(), traigo.Observe(seen))
		s.Spawn(traigo.Blocking(func() error { deafTo(release); return nil }))
		synctest.Wait()
		start := time.Now()
		require.NoError(t, s.Close())
		assert.Zero(t, time.Since(start))
		assert.Len(t, seen.events(traigo.TaskAbandoned), 1)
		tasks := s.Snapshot().Tasks
		require.Len(t, tasks, 1, "it is still there, and must be seen")
		assert.Equal(t, "abandoned", tasks[0].State)
		free()
		synctest.Wait()
		assert.Empty(t, s.Snapshot().Tasks)
	})
}

func TestBlockingRefusesNil(t *testing.T) {
	requireMisuse(t, func() { traigo.Blocking(nil) })
}
