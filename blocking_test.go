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
