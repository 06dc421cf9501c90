package traigo_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo"
)

func TestCurrentIsNilWithoutAScope(t *testing.T) {
	assert.Nil(t, traigo.Current(t.Context()))
	assert.Nil(t, traigo.CurrentTask(t.Context()))
}

func TestCurrentInBodyAndTask(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		require.NoError(t, traigo.Run(t.Context(), func(ctx context.Context, s *traigo.Scope) error {
			assert.Same(t, s, traigo.Current(ctx))
			assert.Same(t, s, traigo.Current(s.Context()))
			assert.Nil(t, traigo.CurrentTask(ctx), "a body is no task")

			tasks := make(chan *traigo.Task, 1)
			task := s.Spawn(func(ctx context.Context) error {
				assert.Same(t, s, traigo.Current(ctx))
				tasks <- traigo.CurrentTask(ctx)
				return nil
			})
			assert.Same(t, task, <-tasks)
			assert.Same(t, s, task.Scope())

			future := traigo.Async(s, func(ctx context.Context) (*traigo.Task, error) {
				assert.Same(t, s, traigo.Current(ctx))
				return traigo.CurrentTask(ctx), nil
			})
			got, err := future.Await(ctx)
			assert.NoError(t, err)
			assert.Same(t, future.Task(), got)

			task, err = s.Start(ctx, func(ctx context.Context, ready func()) error {
				tasks <- traigo.CurrentTask(ctx)
				ready()
				return nil
			})
			assert.NoError(t, err)
			assert.Same(t, task, <-tasks)
			return nil
		}))
	})
}

func TestCurrentInANestedRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := traigo.New(t.Context(), traigo.Name("outer"))
		s.Spawn(func(ctx context.Context) error {
			caller := traigo.CurrentTask(ctx)
			err := traigo.Run(ctx, func(ctx context.Context, inner *traigo.Scope) error {
				assert.Same(t, inner, traigo.Current(ctx))
				assert.NotSame(t, s, inner)
				assert.Same(t, caller, traigo.CurrentTask(ctx), "Run is part of the task that calls it")
				inner.Spawn(func(ctx context.Context) error {
					assert.Same(t, inner, traigo.Current(ctx))
					assert.Equal(t, "outer/inner/work", traigo.CurrentTask(ctx).Path())
					return nil
				}, traigo.Name("work"))
				return nil
			}, traigo.Name("inner"))
			assert.Same(t, s, traigo.Current(ctx), "the outer context is what it was")
			assert.Same(t, caller, traigo.CurrentTask(ctx))
			return err
		})
		require.NoError(t, s.Wait())
	})
}

func TestCurrentInAForkAndInANew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := traigo.New(t.Context())
		for name, open := range map[string]func() *traigo.Scope{
			"Fork": func() *traigo.Scope { return s.Fork() },
			"New":  func() *traigo.Scope { return traigo.New(s.Context()) },
		} {
			child := open()
			assert.Same(t, child, traigo.Current(child.Context()), name)
			assert.Nil(t, traigo.CurrentTask(child.Context()), name)
			tasks := make(chan *traigo.Task, 1)
			task := child.Spawn(func(ctx context.Context) error {
				assert.Same(t, child, traigo.Current(ctx), name)
				tasks <- traigo.CurrentTask(ctx)
				return nil
			})
			assert.Same(t, task, <-tasks, name)
			require.NoError(t, child.Wait(), name)
		}
		require.NoError(t, s.Wait())
	})
}

// The context of a fork carries the fork, and not the task that has called Fork.
func TestCurrentTaskOfAForkIsNotItsOpener(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := traigo.New(t.Context())
		s.Spawn(func(ctx context.Context) error {
			child := traigo.Current(ctx).Fork()
			assert.Nil(t, traigo.CurrentTask(child.Context()))
			return child.Wait()
		})
		require.NoError(t, s.Wait())
	})
}

func TestCurrentIsFoundInDerivedContexts(t *testing.T) {
	type key struct{}
	synctest.Test(t, func(t *testing.T) {
		s := traigo.New(t.Context())
		s.Spawn(func(ctx context.Context) error {
			task := traigo.CurrentTask(ctx)
			cancelable, cancel := context.WithCancel(ctx)
			defer cancel()
			timed, cancel := context.WithTimeout(ctx, time.Second)
			defer cancel()
			for name, derived := range map[string]context.Context{
				"WithCancel":    cancelable,
				"WithTimeout":   timed,
				"WithValue":     context.WithValue(ctx, key{}, 1),
				"WithoutCancel": context.WithoutCancel(ctx),
			} {
				assert.Same(t, s, traigo.Current(derived), name)
				assert.Same(t, task, traigo.CurrentTask(derived), name)
				assert.NoError(t, traigo.Run(derived, func(_ context.Context, nested *traigo.Scope) error {
					assert.Equal(t, s.Path()+"/nested", nested.Path(), name)
					return nil
				}, traigo.Name("nested")), name)
			}
			return nil
		})
		require.NoError(t, s.Wait())
	})
}
