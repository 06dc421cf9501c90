package traigo_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo"
)

func TestScopesKnowWhatTheyHangOn(t *testing.T) {
	err := traigo.Run(t.Context(), func(ctx context.Context, root *traigo.Scope) error {
		assert.Nil(t, root.Parent())
		assert.Nil(t, root.Task())
		fork := root.Fork()
		assert.Same(t, root, fork.Parent())
		assert.Nil(t, fork.Task(), "a fork is opened by whoever calls Fork, not under a context")
		fork.Finalize()

		task := root.Spawn(func(ctx context.Context) error {
			return traigo.Run(ctx, func(inner context.Context, s *traigo.Scope) error {
				assert.Same(t, root, s.Parent())
				assert.Same(t, traigo.CurrentTask(ctx), s.Task())
				made := traigo.New(ctx)
				assert.Same(t, traigo.CurrentTask(ctx), made.Task())
				below := traigo.New(inner)
				assert.Same(t, s, below.Parent())
				assert.Nil(t, below.Task(), "its parent's body, which is in a task further up")
				return errors.Join(made.Close(), below.Close())
			})
		})
		return task.Wait(ctx)
	})
	require.NoError(t, err)
}

func TestScopeSaysWhichTaskEndedIt(t *testing.T) {
	boom := errors.New("boom")
	for _, row := range []struct {
		name string
		end  func(s *traigo.Scope) *traigo.Task
	}{
		{"failure", func(s *traigo.Scope) *traigo.Task { return s.Spawn(func(context.Context) error { return boom }) }},
		{"panic", func(s *traigo.Scope) *traigo.Task { return s.Spawn(func(context.Context) error { panic(boom) }) }},
		{"master", func(s *traigo.Scope) *traigo.Task {
			return s.Spawn(func(context.Context) error { return nil }, traigo.Master(true))
		}},
		{"cancel", func(s *traigo.Scope) *traigo.Task { s.Cancel(boom); return nil }},
		{"complete", func(s *traigo.Scope) *traigo.Task { s.Finalize(); return nil }},
	} {
		synctest.Test(t, func(t *testing.T) {
			s := traigo.New(t.Context(), traigo.PanicAsError())
			assert.Nil(t, s.CanceledBy())
			below := s.Fork()
			below.Finalize()
			task := row.end(s)
			synctest.Wait()
			_ = s.Close()
			assert.Equal(t, task, s.CanceledBy(), row.name)
			assert.Nil(t, below.CanceledBy(), row.name)
		})
	}
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

func TestDumpHasTheStacks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		free := make(chan struct{})
		err := traigo.Run(t.Context(), func(ctx context.Context, s *traigo.Scope) error {
			s.Spawn(func(context.Context) error { deepIn(free); return nil })
			s.Spawn(func(ctx context.Context) error {
				return traigo.Run(ctx, func(context.Context, *traigo.Scope) error { <-free; return nil })
			})
			synctest.Wait()
			dump, shot := s.Dump(), s.Snapshot()
			close(free)
			assert.Contains(t, dump.Stack, "TestDumpHasTheStacks")
			require.Len(t, dump.Tasks, 2)
			assert.Contains(t, dump.Tasks[0].Stack, ".deepIn(")
			assert.NotContains(t, dump.Tasks[1].Stack, ".deepIn(")
			require.Len(t, dump.Scopes, 1)
			assert.Contains(t, dump.Scopes[0].Stack, "chan receive")
			assert.Equal(t, dump.Tasks[1].ID, dump.Scopes[0].Task, "the task that opened it")
			assert.Empty(t, shot.Tasks[0].Stack, "a mere Snapshot has none")
			return nil
		})
		require.NoError(t, err)
	})
}

//go:noinline
func deepIn(free chan struct{}) { <-free }
