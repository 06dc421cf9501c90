package traigo_test

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo"
)

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
				stuck := itself[*traigo.StuckError](t, err)
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
		_ = itself[*traigo.StuckError](t, outcome(t, err).Err)
		require.Equal(t, traigo.MasterEnded, itself[*traigo.Cancellation](t, cause).Kind)
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
		assert.Equal(t, "hangs", itself[*traigo.TaskError](t, e.Err).Task)
		require.ErrorIs(t, e.Err, context.DeadlineExceeded)
		require.Len(t, e.Others, 1)
		_ = itself[*traigo.StuckError](t, e.Others[0])
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

func TestGivenUpTaskIsInTheSnapshotOfTheRootUntilItEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fn, release := hanging(t)
		release = sync.OnceFunc(release)
		defer release()
		root := traigo.New(t.Context(), traigo.Name("root"), traigo.CancelTimeout(time.Second), discard())
		fork := root.Fork(traigo.Name("fork"))
		fork.Spawn(fn, traigo.Name("deaf"))
		require.Error(t, fork.Close())
		shot := root.Snapshot()
		require.Len(t, shot.Tasks, 1)
		assert.Equal(t, "given up", shot.Tasks[0].State)
		assert.Equal(t, "root/fork/deaf", shot.Tasks[0].Path)
		release()
		assert.Empty(t, root.Snapshot().Tasks)
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
				var book logbook
				release := make(chan struct{})
				s := traigo.New(t.Context(), traigo.CancelTimeout(time.Second), book.logger())
				s.Spawn(func(context.Context) error { <-release; return row.end() })
				require.NotErrorIs(t, s.Close(), errLate)
				close(release)
				synctest.Wait()
				assert.Equal(t, 1, book.count(row.level, "late"))
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
