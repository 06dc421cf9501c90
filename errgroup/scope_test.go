package errgroup_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/errgroup"
)

// What a group has from its scope.

type eventLog struct {
	mu   sync.Mutex
	seen []traigo.Event
}

func (l *eventLog) Observe(e traigo.Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.seen = append(l.seen, e)
}

func (l *eventLog) last(path string, kind traigo.EventKind) traigo.Event {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range slices.Backward(l.seen) {
		if e.Scope.Path() == path && e.Kind == kind {
			return e
		}
	}
	return traigo.Event{}
}

func sleepy() error {
	time.Sleep(time.Second)
	return errBoom
}

func lazy() error {
	time.Sleep(time.Second / 2)
	return nil
}

func TestGroupIsInTheTree(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		events := new(eventLog)
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
		}, traigo.Name("load"), traigo.Observe(events))
		require.NoError(t, err)
		assert.ErrorIs(t, events.last("load/errgroup", traigo.TaskEnded).Err, errBoom)
	})
}

func TestScopeAboveJoinsAGroupNobodyWaitsFor(t *testing.T) {
	inBubble(t, func(t *testing.T) {
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

// Also where the context says nothing about the end of the scope above.
func TestScopeAboveEndsAShieldedGroup(t *testing.T) {
	inBubble(t, func(t *testing.T) {
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

func TestNothingRunsBelowAScopeThatHasClosed(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		var g *errgroup.Group
		_ = traigo.Run(t.Context(), func(ctx context.Context, _ *traigo.Scope) error {
			g, _ = errgroup.WithContext(ctx)
			return nil
		})
		g.SetLimit(1)
		g.Go(mustNotRun(t))
		assert.False(t, g.TryGo(mustNotRun(t)))
		g.SetLimit(1) // no slot is lost
		assert.ErrorIs(t, g.Wait(), traigo.ErrRefused)
	})
}

// The scope above is canceled, but the task that has the group lives on.
func TestFunctionsRunBelowAScopeThatIsCanceled(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		runs := 0
		_ = traigo.Run(t.Context(), func(ctx context.Context, s *traigo.Scope) error {
			g, ctx := errgroup.WithContext(ctx)
			s.Cancel(errOuter)
			require.Error(t, ctx.Err(), "at once")
			assert.Equal(t, context.Cause(s.Context()), context.Cause(ctx))
			for range 3 {
				g.Go(func() error { runs++; return ctx.Err() })
				synctest.Wait()
			}
			assert.Same(t, s.Context().Err(), g.Wait())
			return nil
		})
		assert.Equal(t, 3, runs)
	})
}

func TestCancelOfTheScopeIsHeardByTheFunctions(t *testing.T) {
	inBubble(t, func(t *testing.T) {
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
	inBubble(t, func(t *testing.T) {
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

func TestStuckFunctionIsGivenUp(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		release := make(chan struct{})
		_ = traigo.Run(t.Context(), func(ctx context.Context, _ *traigo.Scope) error {
			outer, cancel := context.WithCancel(ctx)
			g, _ := errgroup.WithContext(outer)
			g.Go(func() error { <-release; return nil })
			cancel()
			_, ok := errors.AsType[*traigo.StuckError](g.Wait())
			assert.True(t, ok)
			close(release)
			return nil
		}, traigo.CancelTimeout(time.Second))
	})
}

func TestZeroGroupHasAScope(t *testing.T) {
	inBubble(t, func(t *testing.T) {
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

// Scopes are opened without a lock: of many that are opened at once, one stays.
func TestScopesInExcessAreClosed(t *testing.T) {
	inBubble(t, func(t *testing.T) {
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
		inBubble(t, func(t *testing.T) {
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
