package errgroup_test

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/errgroup"
)

func TestWaitReturnsTheVeryErrorThatCameFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, ctx := errgroup.WithContext(t.Context())
		g.Go(after(2*time.Second, errLater))
		g.Go(after(time.Second, errBoom))
		assert.Same(t, errBoom, g.Wait())
		assert.Same(t, errBoom, context.Cause(ctx))
		assert.Equal(t, context.Canceled, ctx.Err())
		assert.Same(t, errBoom, g.Wait(), "and again")
	})
}

func TestSuccessCancelsTheContextInWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, ctx := errgroup.WithContext(t.Context())
		g.Go(after(time.Second, nil))
		time.Sleep(2 * time.Second)
		require.NoError(t, ctx.Err(), "not before")
		require.NoError(t, g.Wait())
		assert.Equal(t, context.Canceled, context.Cause(ctx))

		g, ctx = errgroup.WithContext(t.Context())
		_ = g.Scope() // code outside of the group may cancel the scope now
		g.Go(after(time.Second, nil))
		require.NoError(t, g.Wait())
		assert.Equal(t, context.Canceled, context.Cause(ctx))
	})
}

func TestZeroGroupDisturbsNobodyAndIsUsedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g errgroup.Group
		require.NoError(t, g.Wait(), "nothing was started")
		g.Go(after(0, nil))
		require.NoError(t, g.Wait())
		ended := false
		g.Go(after(time.Second, errBoom))
		g.Go(func() error {
			time.Sleep(time.Minute)
			ended = true
			return errLater
		})
		assert.Same(t, errBoom, g.Wait())
		assert.True(t, ended)
		g.Go(after(time.Second, nil))
		assert.Same(t, errBoom, g.Wait(), "the first stays the first")
		assert.NoError(t, g.Scope().Err(), "but it is no error of this scope")
	})
}

// A function that was started before the outer context ended may call Go after that.
// Wait waits for the new function, also if every function that was started after the
// end has returned already, and if Wait was called before the new function came.
func TestWaitWaitsForWhatComesOfEarlierFunctions(t *testing.T) {
	for name, endsAfter := range map[string]time.Duration{"before Wait": 0, "during Wait": time.Second} {
		synctest.Test(t, func(t *testing.T) {
			outer, cancel := context.WithCancel(t.Context())
			g, _ := errgroup.WithContext(outer)
			ended := false
			g.Go(func() error {
				time.Sleep(5 * time.Second)
				g.Go(func() error {
					time.Sleep(5 * time.Second)
					ended = true
					return nil
				})
				return nil
			})
			synctest.Wait()
			time.AfterFunc(endsAfter, cancel)
			if endsAfter == 0 {
				<-outer.Done()
				g.Go(after(time.Second, nil))
			}
			require.NoError(t, g.Wait(), name)
			assert.True(t, ended, name)
		})
	}
}

func TestSetLimitPanicsWhileTheLimitIsInUse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g errgroup.Group
		g.Go(after(time.Second, nil))
		g.SetLimit(2) // a function that was started without a limit does not count
		g.Go(after(time.Second, nil))
		g.Go(after(time.Second, nil))
		for _, n := range []int{0, 1, 3} {
			func() {
				defer func() {
					err, _ := recover().(error)
					assert.ErrorContains(t, err, "2 goroutines in the group are still active")
				}()
				g.SetLimit(n)
			}()
		}
		assert.False(t, g.TryGo(after(0, errBoom)))
		g.SetLimit(-1)
		assert.True(t, g.TryGo(after(0, nil)))
		require.NoError(t, g.Wait())
		g.SetLimit(0)
		assert.False(t, g.TryGo(after(0, errBoom)))
		require.NoError(t, g.Wait())
	})
}

func TestGroupIsInTheTree(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var ended sync.Map // errors by the paths of tasks
		err := traigo.Run(t.Context(), func(ctx context.Context, s *traigo.Scope) error {
			g, ctx := errgroup.WithContext(ctx)
			assert.Same(t, g.Scope(), traigo.Current(ctx))
			g.Go(sleepy)
			g.Go(lazy)
			synctest.Wait()
			shot := s.Snapshot()
			require.Len(t, shot.Scopes, 1)
			require.Len(t, shot.Scopes[0].Tasks, 2)
			assert.Equal(t, "load/errgroup/sleepy", shot.Scopes[0].Tasks[0].Path)
			assert.Equal(t, "load/errgroup/lazy", shot.Scopes[0].Tasks[1].Path)
			assert.Same(t, errBoom, g.Wait())
			assert.Empty(t, s.Snapshot().Scopes, "Wait has closed it")
			return nil
		}, traigo.Name("load"), traigo.Observe(observerFunc(func(e traigo.Event) {
			if e.Kind == traigo.TaskEnded {
				ended.Store(e.Task.Path(), e.Err)
			}
		})))
		require.NoError(t, err)
		got, _ := ended.Load("load/errgroup/sleepy")
		assert.Same(t, errBoom, got)
	})
}

func TestScopeAboveJoinsAGroupNobodyWaitsFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ended := false
		err := traigo.Run(t.Context(), func(ctx context.Context, _ *traigo.Scope) error {
			g, ctx := errgroup.WithContext(ctx)
			g.Go(func() error {
				<-ctx.Done()
				time.Sleep(time.Second)
				ended = true
				return nil
			})
			return nil
		})
		require.NoError(t, err)
		assert.True(t, ended)
	})
}

// The outer context does not end with the scope above, but the group has to.
func TestScopeAboveEndsAShieldedGroup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g *errgroup.Group
		err := traigo.Run(t.Context(), func(ctx context.Context, _ *traigo.Scope) error {
			g, ctx = errgroup.WithContext(context.WithoutCancel(ctx))
			g.Go(func() error { <-ctx.Done(); return nil })
			return nil
		})
		require.NoError(t, err)
		g.Go(mustNotRun(t))
		assert.False(t, g.TryGo(mustNotRun(t)))
		assert.ErrorIs(t, g.Wait(), traigo.ErrRefused)
	})
}

func TestCancelOfTheScopeCancelsTheContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, scopeOf := range map[string]func(*errgroup.Group, context.Context) *traigo.Scope{
			"Scope":   func(g *errgroup.Group, _ context.Context) *traigo.Scope { return g.Scope() },
			"Current": func(_ *errgroup.Group, ctx context.Context) *traigo.Scope { return traigo.Current(ctx) },
		} {
			g, ctx := errgroup.WithContext(t.Context())
			g.Go(func() error { <-ctx.Done(); return nil })
			scopeOf(g, ctx).Cancel(errBoom)
			assert.ErrorIs(t, context.Cause(ctx), errBoom, name)
			g.Go(mustNotRun(t))
			assert.ErrorIs(t, g.Wait(), errBoom, name)
		}
	})
}

func TestWaitJoinsWhatElseIsInTheScope(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, ctx := errgroup.WithContext(t.Context())
		g.Go(after(time.Second, nil))
		g.Scope().Spawn(func(own context.Context) error {
			time.Sleep(time.Minute)
			assert.NoError(t, ctx.Err(), "not before Wait returns")
			return errors.Join(own.Err(), errBoom)
		}, traigo.Name("extra"))
		err := g.Wait()
		require.ErrorIs(t, err, errBoom)
		assert.EqualError(t, err, `scope "errgroup": task "extra": boom`)
		assert.ErrorIs(t, context.Cause(ctx), errBoom)
	})
}

func TestZeroGroupHasAScope(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g errgroup.Group
		s := g.Scope()
		g.Go(after(0, nil))
		assert.Same(t, s, g.Scope())
		require.NoError(t, g.Wait())
		assert.Equal(t, traigo.Closed, g.Scope().State())
		g.Go(after(0, nil))
		assert.NotSame(t, s, g.Scope())
		require.NoError(t, g.Wait())
	})
}

// The group holds no lock while it opens a scope. Of several that are opened at the
// same time it keeps one.
func TestScopesInExcessAreClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := observerFunc(func(e traigo.Event) {
			if e.Kind == traigo.ScopeOpened {
				time.Sleep(time.Second)
			}
		})
		_ = traigo.Run(t.Context(), func(ctx context.Context, s *traigo.Scope) error {
			g, _ := errgroup.WithContext(ctx)
			require.NoError(t, g.Wait())
			for range 5 {
				go g.Go(after(time.Minute, nil))
			}
			time.Sleep(10 * time.Second)
			require.Len(t, s.Snapshot().Scopes, 1)
			assert.Len(t, s.Snapshot().Scopes[0].Tasks, 5)
			return g.Wait()
		}, traigo.Observe(slow))
	})
}

func TestStressFirstUseFromManyGoroutines(t *testing.T) {
	for range 100 {
		synctest.Test(t, func(t *testing.T) {
			var g errgroup.Group
			var all sync.WaitGroup
			for range 8 {
				all.Go(func() { g.Go(after(time.Second, nil)) })
			}
			all.Wait()
			assert.Len(t, g.Scope().Snapshot().Tasks, 8)
			assert.NoError(t, g.Wait())
		})
	}
}

func TestGroupThatPanickedLeavesNothingInItsContext(t *testing.T) {
	outer, cancel := context.WithCancel(t.Context())
	defer cancel()
	var gone atomic.Bool
	func() {
		defer func() { _ = recover() }()
		g, _ := errgroup.WithContext(outer)
		runtime.AddCleanup(g, func(*atomic.Bool) { gone.Store(true) }, &gone)
		g.Go(func() error { panic("oops") })
		_ = g.Wait()
	}()
	for !gone.Load() {
		require.NoError(t, t.Context().Err())
		runtime.GC()
		runtime.Gosched()
	}
}
