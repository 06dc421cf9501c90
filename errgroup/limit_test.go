package errgroup_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/errgroup"
)

// A Go that is blocked hears of a cancellation; what the user sees of it is below.

func mustNotRun(t *testing.T) func() error {
	return func() error {
		assert.Fail(t, "it has been run")
		return nil
	}
}

func TestBlockedGoIsTurnedAwayByAFailure(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		g, ctx := errgroup.WithContext(t.Context())
		g.SetLimit(2)
		g.Go(after(time.Second, errBoom))
		g.Go(func() error { <-ctx.Done(); time.Sleep(time.Minute); return nil })
		start := time.Now()
		g.Go(mustNotRun(t))
		assert.Equal(t, time.Second, time.Since(start))
		synctest.Wait()
		ran := false
		g.Go(func() error { ran = true; return nil })
		assert.Same(t, errBoom, g.Wait(), "that is the reason")
		assert.True(t, ran, "there was room")
	})
}

func TestBlockedGoIsTurnedAwayFromOutside(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		outer, cancel := context.WithCancelCause(t.Context())
		g, ctx := errgroup.WithContext(outer)
		g.SetLimit(1)
		g.Go(func() error { <-ctx.Done(); return nil })
		time.AfterFunc(time.Second, func() { cancel(errOuter) })
		g.Go(mustNotRun(t))
		assert.Same(t, traigo.Current(ctx), g.Scope(), "no other has been opened for it")
		err := g.Wait()
		require.ErrorIs(t, err, traigo.ErrRefused, "nobody has failed, but something was not done")
		require.ErrorIs(t, err, errOuter)
		require.ErrorIs(t, err, context.Canceled)
		assert.Same(t, errOuter, context.Cause(ctx))
	})
}

func TestFailureComesBeforeARefusal(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		outer, cancel := context.WithCancel(t.Context())
		g, ctx := errgroup.WithContext(outer)
		g.SetLimit(1)
		g.Go(func() error { <-ctx.Done(); time.Sleep(time.Second); return ctx.Err() })
		time.AfterFunc(time.Second, cancel)
		g.Go(mustNotRun(t))
		assert.Equal(t, context.Canceled, g.Wait())
	})
}

func TestBlockedGoIsNotTurnedAwayByAFailureWithoutAContext(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		var g errgroup.Group
		g.SetLimit(1)
		g.Go(after(time.Second, errBoom))
		ran := false
		g.Go(func() error { ran = true; return nil })
		assert.Same(t, errBoom, g.Wait())
		assert.True(t, ran)
	})
}

func TestBlockedGoIsNotTurnedAwayByAWait(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		outer, cancel := context.WithCancelCause(t.Context())
		g, ctx := errgroup.WithContext(outer)
		g.SetLimit(0)
		returned := false
		go func() {
			g.Go(mustNotRun(t))
			returned = true
		}()
		synctest.Wait()
		require.NoError(t, g.Wait())
		assert.Equal(t, context.Canceled, context.Cause(ctx))
		synctest.Wait()
		assert.False(t, returned)
		cancel(errOuter) // that is one
		synctest.Wait()
		assert.True(t, returned)
		require.ErrorIs(t, g.Wait(), errOuter)
	})
}

func TestGroupIsUsedAgainWithALimit(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		g, _ := errgroup.WithContext(t.Context())
		g.SetLimit(1)
		runs := 0
		for range 3 {
			for range 3 {
				g.Go(func() error { runs++; time.Sleep(time.Second); return nil })
			}
			require.NoError(t, g.Wait(), "its context is done, but not because of a cancellation")
		}
		assert.Equal(t, 9, runs)
	})
}
