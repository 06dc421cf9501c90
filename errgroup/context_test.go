package errgroup_test

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/errgroup"
)

// A failure cancels the scope of the group, and so what else is in it.
func TestAFailureCancelsWhatIsInTheScope(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, ctx := errgroup.WithContext(t.Context())
		task := g.Scope().Spawn(func(ctx context.Context) error { <-ctx.Done(); return context.Cause(ctx) })
		fork := g.Scope().Fork()
		below := traigo.New(ctx)
		g.Go(func() error {
			return traigo.Run(ctx, func(ctx context.Context, _ *traigo.Scope) error { <-ctx.Done(); return nil })
		})
		g.Go(after(time.Second, errBoom))
		assert.Same(t, errBoom, g.Wait())
		var c *traigo.Cancellation
		require.ErrorAs(t, task.Err(), &c)
		assert.Equal(t, traigo.TaskFailed, c.Kind)
		assert.Same(t, errBoom, c.Err)
		require.ErrorIs(t, fork.Wait(), errBoom)
		require.ErrorIs(t, below.Wait(), errBoom)
	})
}

// What a context says of the end, in x/sync's words, it says to derived contexts too.
func TestContextSaysWhatXSyncSays(t *testing.T) {
	type key struct{}
	for name, row := range map[string]struct {
		end    func(g *errgroup.Group, cancel context.CancelCauseFunc)
		want   error
		ctxErr error
	}{
		"a failure": {func(g *errgroup.Group, _ context.CancelCauseFunc) { g.Go(after(time.Second, errBoom)) }, errBoom, context.Canceled},
		"the outer": {func(_ *errgroup.Group, cancel context.CancelCauseFunc) { cancel(errOuter) }, errOuter, context.Canceled},
		"a Wait":    {func(g *errgroup.Group, _ context.CancelCauseFunc) { _ = g.Wait() }, context.Canceled, context.Canceled},
		"time": {func(*errgroup.Group, context.CancelCauseFunc) { time.Sleep(time.Hour) },
			context.DeadlineExceeded, context.DeadlineExceeded},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				outer, cancel := context.WithCancelCause(context.WithValue(t.Context(), key{}, name))
				defer cancel(nil)
				outer, cancelTimer := context.WithTimeout(outer, time.Hour)
				defer cancelTimer()
				deadline, _ := outer.Deadline()
				g, ctx := errgroup.WithContext(outer)
				before, cancelBefore := context.WithCancel(ctx)
				defer cancelBefore()
				var called error
				context.AfterFunc(ctx, func() { called = context.Cause(ctx) })
				require.NoError(t, context.Cause(ctx))

				row.end(g, cancel)
				<-ctx.Done()
				synctest.Wait()
				afterwards, cancelAfter := context.WithCancel(ctx)
				defer cancelAfter()
				for _, ctx := range []context.Context{ctx, before, afterwards, context.WithValue(ctx, key{}, name)} {
					assert.Equal(t, row.ctxErr, ctx.Err())
					assert.Equal(t, row.want, context.Cause(ctx))
					assert.Equal(t, name, ctx.Value(key{}))
					at, ok := ctx.Deadline()
					assert.True(t, ok)
					assert.Equal(t, deadline, at)
					<-ctx.Done()
				}
				assert.Equal(t, row.want, called)
				assert.Equal(t, `errgroup.Group("errgroup")`, fmt.Sprint(ctx))
				_ = g.Wait()
				assert.Equal(t, row.want, context.Cause(ctx), "it does not change its mind")
			})
		})
	}
}

// The context is done as soon as the outer one is, for whoever asks then.
func TestContextIsDoneAtOnce(t *testing.T) {
	outer, cancel := context.WithCancelCause(t.Context())
	g, ctx := errgroup.WithContext(outer)
	done := ctx.Done()
	cancel(errOuter)
	require.Error(t, ctx.Err())
	select {
	case <-ctx.Done():
	default:
		assert.Fail(t, "not closed")
	}
	<-done
	require.NoError(t, g.Wait(), "nothing has failed")
	assert.Same(t, errOuter, context.Cause(ctx))
}

// Below a scope, contexts that are derived from the group's end with the scope as well.
func TestDerivedContextsEndWithTheScopeAbove(t *testing.T) {
	for range 100 {
		_ = traigo.Run(t.Context(), func(ctx context.Context, s *traigo.Scope) error {
			g, ctx := errgroup.WithContext(ctx)
			derived, cancel := context.WithCancel(ctx)
			defer cancel()
			s.Cancel(errOuter)
			require.Error(t, derived.Err())
			require.ErrorIs(t, context.Cause(derived), errOuter)
			return g.Wait()
		})
	}
}

func TestGroupUnderAContextThatIsDone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		outer, cancel := context.WithCancelCause(t.Context())
		cancel(errOuter)
		g, ctx := errgroup.WithContext(outer)
		assert.Same(t, errOuter, context.Cause(ctx))
		g.Go(func() error { return ctx.Err() })
		assert.Equal(t, context.Canceled, g.Wait())
	})
}

// Functions that are started after the end of the context are joined, and their scope
// knows that they are canceled: it warns of one that goes on, and can give it up.
func TestLateFunctionsAreSeen(t *testing.T) {
	for name, end := range map[string]func(g *errgroup.Group, cancel context.CancelFunc){
		"a failure": func(g *errgroup.Group, _ context.CancelFunc) { g.Go(after(0, errBoom)) },
		"the outer": func(_ *errgroup.Group, cancel context.CancelFunc) { cancel() },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				log := logged(t, slog.LevelWarn)
				outer, cancel := context.WithCancel(t.Context())
				defer cancel()
				g, ctx := errgroup.WithContext(outer)
				end(g, cancel)
				<-ctx.Done()
				ended := false
				g.Go(func() error {
					time.Sleep(time.Minute)
					ended = true
					return nil
				})
				_ = g.Wait()
				assert.True(t, ended)
				assert.Equal(t, 1, strings.Count(log.String(), "has not ended 10s after"), log)
			})
			synctest.Test(t, func(t *testing.T) {
				release := make(chan struct{})
				_ = traigo.Run(t.Context(), func(ctx context.Context, _ *traigo.Scope) error {
					outer, cancel := context.WithCancel(ctx)
					defer cancel()
					g, ctx := errgroup.WithContext(outer)
					end(g, cancel)
					<-ctx.Done()
					g.Go(func() error { <-release; return nil })
					start := time.Now()
					require.Error(t, g.Wait())
					assert.Equal(t, time.Second, time.Since(start))
					return nil
				}, traigo.CancelTimeout(time.Second))
				close(release)
				synctest.Wait()
			})
		})
	}
}

// A Wait has canceled the context, but nothing is to end because of that.
func TestNothingIsCanceledInAGroupThatIsUsedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := logged(t, slog.LevelWarn)
		_ = traigo.Run(t.Context(), func(ctx context.Context, _ *traigo.Scope) error {
			g, _ := errgroup.WithContext(ctx)
			for range 3 {
				ended := false
				g.Go(func() error {
					time.Sleep(time.Minute)
					ended = true
					return nil
				})
				require.NoError(t, g.Wait())
				assert.True(t, ended)
			}
			return nil
		}, traigo.CancelTimeout(time.Second))
		assert.Empty(t, log.String())
	})
}

// Below a scope a group that nobody waits for is joined, and its error is not lost. Without
// one it is logged as well.
func TestNobodyWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := logged(t, slog.LevelError)
		ended := false
		require.NoError(t, traigo.Run(t.Context(), func(ctx context.Context, _ *traigo.Scope) error {
			g, ctx := errgroup.WithContext(ctx)
			g.Go(func() error {
				<-ctx.Done()
				time.Sleep(time.Second)
				ended = true
				return nil
			})
			g.Go(after(0, errBoom))
			<-ctx.Done()
			return nil
		}))
		assert.True(t, ended)
		assert.Contains(t, log.String(), "boom")
	})
	synctest.Test(t, func(t *testing.T) {
		log := logged(t, slog.LevelError)
		g, _ := errgroup.WithContext(t.Context())
		g.Go(after(0, errBoom))
		time.Sleep(time.Minute)
		assert.Contains(t, log.String(), "boom")
	})
}

// The scope of a group in a group is canceled with the other, and says what that says.
func TestGroupsInGroups(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, ctx := errgroup.WithContext(t.Context())
		assert.Equal(t, `errgroup.Group("errgroup")`, fmt.Sprint(ctx))
		inner, innermost := errgroup.WithContext(ctx)
		assert.Equal(t, `errgroup.Group("errgroup/errgroup")`, fmt.Sprint(innermost))
		inner.Go(func() error { <-innermost.Done(); return context.Cause(innermost) })
		g.Go(inner.Wait)
		g.Go(after(time.Second, errBoom))
		assert.Same(t, errBoom, g.Wait())
		assert.Same(t, errBoom, inner.Wait())
		assert.Same(t, errBoom, context.Cause(innermost))
	})
}
