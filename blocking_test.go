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

func TestBlockingCallThatPanicsAfterItWasAbandonedIsLogged(t *testing.T) {
	for name, row := range map[string]struct {
		end   func() error
		level slog.Level
	}{
		"panic": {func() error { panic(errLate) }, slog.LevelError},
		"error": {func() error { return errLate }, slog.LevelWarn},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				book := newRecords()
				release := make(chan struct{})
				s := traigo.New(t.Context(), traigo.Logger(book.logger()))
				s.Spawn(traigo.Blocking(func() error { <-release; return row.end() }))
				synctest.Wait()
				require.NoError(t, s.Close())
				close(release)
				synctest.Wait()
				assert.Len(t, book.at(row.level, "late"), 1)
			})
		})
	}
}

func TestBlockingDoesNotBeginUnderAContextThatIsDone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := traigo.New(t.Context())
		begun := 0
		call := traigo.Blocking(func() error { begun++; return nil })
		task := s.Spawn(func(ctx context.Context) error {
			<-ctx.Done()
			return call(ctx)
		})
		synctest.Wait()
		s.Cancel(errBoom)
		require.ErrorIs(t, s.Wait(), errBoom)
		require.ErrorIs(t, task.Err(), errBoom, "the cause")
		canceled, cancel := context.WithCancelCause(t.Context())
		cancel(errOuter)
		assert.Equal(t, errOuter, call(canceled), "outside of any scope")
		synctest.Wait()
		assert.Zero(t, begun)
	})
}

// Otherwise more calls would run at once than the limit says.
func TestBlockingKeepsTheSlotOfItsTaskUntilTheCallHasEnded(t *testing.T) {
	inside := map[string]func(call func(context.Context) error) func(context.Context) error{
		"in the task": func(call func(context.Context) error) func(context.Context) error { return call },
		"in a Run of the task": func(call func(context.Context) error) func(context.Context) error {
			return func(ctx context.Context) error {
				return traigo.Run(ctx, func(ctx context.Context, _ *traigo.Scope) error { return call(ctx) })
			}
		},
	}
	for name, wrapped := range inside {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				release, free := newRelease()
				defer free()
				s := traigo.New(t.Context(), traigo.Limit(1))
				task := s.Spawn(wrapped(traigo.Blocking(func() error { deafTo(release); return nil })))
				synctest.Wait()
				task.Cancel(nil)
				synctest.Wait()
				assert.Error(t, task.Err(), "the task has ended")
				assert.Equal(t, traigo.Abandoned, task.State())
				_, ok := s.TrySpawn(succeed)
				assert.False(t, ok, "and its call still runs")
				assert.Equal(t, 1, s.Snapshot().Limit)

				spawned := make(chan *traigo.Task, 1)
				go func() { spawned <- s.Spawn(succeed) }()
				synctest.Wait()
				assert.Empty(t, spawned)
				free()
				require.NoError(t, (<-spawned).Wait(t.Context()))
				assert.Equal(t, traigo.Ended, task.State())
				require.NoError(t, s.Wait())
				require.NoError(t, s.CheckInvariants())
			})
		})
	}
}

// A closed scope stays in the snapshot of its parent as long as a call of it runs.
func TestBlockingThatIsAbandonedIsInTheSnapshotOfItsOwnScope(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release, free := newRelease()
		defer free()
		root := traigo.New(t.Context(), traigo.Name("root"))
		middle := root.Fork(traigo.Name("middle"))
		below := middle.Fork(traigo.Name("below"))
		below.Spawn(traigo.Blocking(func() error { deafTo(release); return nil }), traigo.Name("call"))
		synctest.Wait()
		require.NoError(t, middle.Close())

		shot := root.Snapshot()
		require.Len(t, shot.Scopes, 1)
		require.Len(t, shot.Scopes[0].Scopes, 1, "%s", shot)
		assert.Equal(t, traigo.Closed, shot.Scopes[0].State)
		shot = shot.Scopes[0].Scopes[0]
		assert.Equal(t, traigo.Closed, shot.State)
		require.Len(t, shot.Tasks, 1)
		assert.Equal(t, "abandoned", shot.Tasks[0].State)
		assert.Equal(t, "root/middle/below/call", shot.Tasks[0].Path)

		free()
		synctest.Wait()
		assert.Empty(t, root.Snapshot().Scopes)
		require.NoError(t, root.Wait())
	})
}
