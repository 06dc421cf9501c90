package traio_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo"
)

// traioSpawnLong is the body of a scope with one long task.
func traioSpawnLong(_ context.Context, s *traigo.Scope) error {
	s.Spawn(traioLong)
	return nil
}

func TestTraioNestedUnrelated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		var inner error
		err := traigo.Run(t.Context(), func(ctx context.Context, _ *traigo.Scope) error {
			inner = traigo.Run(ctx, traioSpawnLong, traigo.Timeout(500*ms))
			return inner
		}, traigo.Timeout(200*ms))

		requireParentCanceled(t, inner, context.DeadlineExceeded)
		requireTimedOut(t, err, 200*ms)
		assertOthers(t, err)
		assertTook(t, 200*ms, start)
	})
}

func TestTraioNestedForkTimeoutParent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		var inner error
		err := traigo.Run(t.Context(), func(ctx context.Context, parent *traigo.Scope) error {
			inner = traigo.Run(ctx, func(ctx context.Context, s *traigo.Scope) error {
				assert.Equal(t, parent.Path()+"/inner", s.Path())
				return traioSpawnLong(ctx, s)
			}, traigo.Name("inner"))
			return inner
		}, traigo.Timeout(100*ms))

		requireParentCanceled(t, inner, context.DeadlineExceeded)
		requireTimedOut(t, err, 100*ms)
		assertTook(t, 100*ms, start)
	})
}

func TestTraioNestedForkTimeoutParentNoEnv(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		var inner *traigo.Scope
		err := traigo.Run(t.Context(), func(_ context.Context, parent *traigo.Scope) error {
			inner = parent.Fork()
			inner.Spawn(traioLong)
			return inner.Wait()
		}, traigo.Timeout(100*ms))

		requireParentCanceled(t, inner.Err(), context.DeadlineExceeded)
		requireTimedOut(t, err, 100*ms)
		assertTook(t, 100*ms, start)
	})
}

func TestTraioNestedForkTimeoutInner(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		var inner error
		err := traigo.Run(t.Context(), func(ctx context.Context, parent *traigo.Scope) error {
			parent.Spawn(traioLong)
			inner = traigo.Run(ctx, traioSpawnLong, traigo.Timeout(100*ms))
			return inner
		})

		requireTimedOut(t, inner, 100*ms)
		assert.Equal(t, inner, requireOutcome(t, err).Err, "the body's error, as it is")
		assertOthers(t, err)
		assertTook(t, 100*ms, start)
	})
}

func TestTraioNestedForkDead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := traigo.New(t.Context())
		require.NoError(t, s.Wait())

		fork := s.Fork()
		assert.Equal(t, traigo.Closed, fork.State())
		assert.ErrorIs(t, fork.Wait(), traigo.ErrRefused)
		task := fork.Spawn(func(context.Context) error {
			t.Error("run all the same")
			return nil
		})
		assert.ErrorIs(t, task.Wait(t.Context()), traigo.ErrRefused)
	})
}

func TestTraioNestedForkTimeoutSibling(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		forkMyParent := func(timeout time.Duration) func(context.Context) error {
			return func(ctx context.Context) error {
				inner := traigo.Current(ctx).Fork(traigo.Timeout(timeout))
				inner.Spawn(traioLong)
				return inner.Wait()
			}
		}
		var sibling, late *traigo.Task
		err := traigo.Run(t.Context(), func(_ context.Context, parent *traigo.Scope) error {
			parent.Spawn(traioLong)
			sibling = parent.Spawn(forkMyParent(0))
			late = parent.Spawn(forkMyParent(100 * ms))
			return nil
		})

		requireTimedOut(t, late.Err(), 100*ms)
		requireTaskFailed(t, err, late.Err())
		requireParentCanceled(t, sibling.Err(), late.Err())
		assertTook(t, 100*ms, start)
	})
}

func TestTraioNestedForkRaisesCatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		err := traigo.Run(t.Context(), func(_ context.Context, parent *traigo.Scope) error {
			parent.Spawn(traioLong)
			inner := parent.Fork()
			inner.Spawn(traioFail(200 * ms))
			assertTaskError(t, inner.Wait(), errTraio)
			assertTook(t, 200*ms, start)
			return nil
		}, traigo.Timeout(500*ms))

		requireTimedOut(t, err, 500*ms)
		assertOthers(t, err)
		assertTook(t, 500*ms, start)
	})
}

func TestTraioNestedCancelJoin(t *testing.T) {
	eachWait(t, func(t *testing.T, wait func(*traigo.Scope) error) {
		start := time.Now()
		parent := traigo.New(t.Context())
		child := parent.Fork()
		child.Spawn(traioLong)
		time.Sleep(100 * ms)

		child.Cancel(nil)
		parent.Cancel(nil)
		assert.NoError(t, wait(parent))
		assert.NoError(t, child.Err(), "it ended quietly, before the parent did")
		assertTook(t, 100*ms, start)
	})
}

// A caller that stops waiting for a scope does not cancel it. traio needs a shield for
// that.
func TestTraioNestedCancelWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		parent := traigo.New(t.Context())
		child := parent.Fork()
		child.Spawn(traioLong)
		assert.Equal(t, context.DeadlineExceeded, waitWithin(parent, 100*ms))
		assert.Equal(t, traigo.Open, parent.State())

		child.Cancel(nil)
		parent.Cancel(nil)
		assert.NoError(t, waitWithin(parent, time.Second))
		assertTook(t, 100*ms, start)
	})
}

func TestTraioNestedContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		assert.Nil(t, traigo.Current(t.Context()), "no scope")

		outer := traigo.New(t.Context())
		assert.Nil(t, traigo.Current(t.Context()), "opening a scope does not enter it")
		assert.Same(t, outer, traigo.Current(outer.Context()), "set by hand")
		isCurrent := func(want *traigo.Scope, msg string) func(context.Context) error {
			return func(ctx context.Context) error {
				assert.Same(t, want, traigo.Current(ctx), msg)
				return nil
			}
		}

		err := traigo.Run(outer.Context(), func(ctx context.Context, s *traigo.Scope) error {
			assert.Same(t, s, traigo.Current(ctx), "in the body")
			s.Spawn(func(ctx context.Context) error {
				assert.Same(t, s, traigo.Current(ctx), "in a task")
				err := traigo.Run(ctx, func(inside context.Context, nested *traigo.Scope) error {
					assert.Same(t, nested, traigo.Current(inside), "in a nested body")
					assert.Same(t, s, traigo.Current(ctx), "the outer context is what it was")
					plain := make(chan error)
					go func() { plain <- isCurrent(nested, "in a goroutine of no scope")(inside) }()
					nested.Spawn(isCurrent(nested, "in a task of the nested scope"))
					s.Spawn(isCurrent(s, "spawned from within another scope"))
					return <-plain
				})
				assert.Same(t, s, traigo.Current(ctx), "after the nested scope")
				return err
			})
			return nil
		})
		assert.NoError(t, err)
		assert.NoError(t, outer.Wait())
	})
}
