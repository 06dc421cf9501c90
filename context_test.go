package traigo_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo"
)

// How our contexts get on with package context: docs/adr/0003.

func TestContextOfATaskEndsWithIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := traigo.New(t.Context())
		var ctx context.Context
		watched := make(chan struct{})
		task := s.Spawn(func(own context.Context) error {
			ctx = own //nolint:fatcontext // to be looked at when the task has ended
			go func() { <-own.Done(); close(watched) }()
			synctest.Wait()
			return nil
		})
		require.NoError(t, task.Wait(t.Context()))
		synctest.Wait()
		assert.True(t, closed(watched), "who watches the context of a task goes home with it")
		assert.Equal(t, context.Canceled, ctx.Err())
		c := as[*traigo.Cancellation](t, context.Cause(ctx))
		assert.Equal(t, traigo.Completed, c.Kind)
		assert.Equal(t, task.Path(), c.Task)
		derived, cancel := context.WithCancel(ctx)
		defer cancel()
		assert.Error(t, derived.Err())
		s.Cancel(errBoom)
		assert.Equal(t, c, context.Cause(ctx), "and stays as it was")
		require.ErrorIs(t, s.Close(), errBoom)
	})
}

// What was derived from it ends too, however it was derived: nothing of a task
// that has ended is left in its scope.
func TestContextDerivedInATaskEndsWithIt(t *testing.T) {
	type key struct{}
	synctest.Test(t, func(t *testing.T) {
		s := traigo.New(t.Context())
		defer s.Close()
		var derived []context.Context
		called := false
		task := s.Spawn(func(ctx context.Context) error {
			for _, parent := range []context.Context{ctx, context.WithValue(ctx, key{}, 1), &customContext{Context: ctx}} {
				if parent.Done() != nil {
					child, cancel := context.WithCancel(parent)
					context.AfterFunc(s.Context(), cancel) // not before
					derived = append(derived, child)
				}
			}
			context.AfterFunc(ctx, func() { called = true })
			return nil
		})
		require.NoError(t, task.Wait(t.Context()))
		synctest.Wait()
		require.Len(t, derived, 2)
		for _, ctx := range derived {
			assert.Equal(t, context.Canceled, ctx.Err())
			assert.Equal(t, task.Path(), as[*traigo.Cancellation](t, context.Cause(ctx)).Task)
		}
		assert.True(t, called)
	})
}

// The context of a task that has ended is a done context like any other.
func TestContextOfAnEndedTaskIsDoneForScopesToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := traigo.New(t.Context(), discard())
		defer s.Close()
		var ctx context.Context
		task := s.Spawn(func(own context.Context) error {
			ctx = own //nolint:fatcontext // to be used when the task has ended
			return nil
		})
		require.NoError(t, task.Wait(t.Context()))
		err := traigo.Run(ctx, func(ctx context.Context, _ *traigo.Scope) error {
			assert.Equal(t, context.Canceled, ctx.Err())
			return nil
		})
		assert.Equal(t, traigo.ParentCanceled, as[*traigo.Cancellation](t, outcome(t, err).Err).Kind)
		assert.Equal(t, traigo.Closed, traigo.New(ctx).State())
	})
}

// Whether a task ends before the news of the cancellation has come to it, or
// after: what was derived from its context hears of one of them.
func TestStressDerivedContextsHearOfTheEnd(t *testing.T) {
	for range 300 {
		s := traigo.New(context.Background())
		var heard sync.WaitGroup
		for range 100 {
			heard.Add(1)
			s.Spawn(func(ctx context.Context) error {
				context.AfterFunc(ctx, heard.Done)
				return nil
			})
		}
		s.Cancel(nil)
		require.NoError(t, s.Wait())
		heard.Wait()
	}
}

func TestContextAfterFuncCanBeStopped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := traigo.New(t.Context())
		var called sync.Map
		set := func(name string) func() { return func() { called.Store(name, true) } }
		stop := context.AfterFunc(s.Context(), set("stopped"))
		context.AfterFunc(s.Context(), set("first"))
		context.AfterFunc(s.Context(), set("second"))
		assert.True(t, stop())
		assert.False(t, stop())
		require.NoError(t, s.Close())
		synctest.Wait()
		assert.False(t, context.AfterFunc(s.Context(), set("late"))())
		synctest.Wait()
		for name, want := range map[string]bool{"stopped": false, "first": true, "second": true, "late": true} {
			_, got := called.Load(name)
			assert.Equal(t, want, got, name)
		}
	})
}

func TestContextSaysWhatItIs(t *testing.T) {
	require.NoError(t, traigo.Run(t.Context(), func(ctx context.Context, s *traigo.Scope) error {
		assert.Equal(t, `traigo.Scope("main")`, ctx.(interface{ String() string }).String())
		return s.Spawn(func(ctx context.Context) error {
			assert.Equal(t, `traigo.Task("main/work")`, ctx.(interface{ String() string }).String())
			return nil
		}, traigo.Name("work")).Wait(ctx)
	}, traigo.Name("main")))
}

func TestContextOfAForeignMakeEndsTheScope(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		outer := &customContext{Context: t.Context(), done: make(chan struct{})}
		s := traigo.New(outer)
		task := s.Spawn(untilCanceled)
		outer.end(errOuter)
		require.ErrorIs(t, s.Wait(), errOuter)
		require.ErrorIs(t, task.Err(), errOuter, "Err of the contexts is the outer one's")
	})
}

// A context that announces a deadline and does not keep it puts off the scope's
// own deadline by a second, and not for ever.
func TestContextThatBreaksItsDeadlineDoesNotStopTheClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		outer := &customContext{Context: t.Context(), done: make(chan struct{}), deadline: begin.Add(time.Second)}
		err := traigo.Run(outer, func(ctx context.Context, s *traigo.Scope) error {
			task := s.Spawn(untilCanceled, traigo.Timeout(2*time.Second))
			assert.ErrorIs(t, task.Wait(context.Background()), context.DeadlineExceeded)
			assert.Equal(t, 3*time.Second, time.Since(begin))
			return nil
		}, traigo.Timeout(2*time.Second))
		require.ErrorIs(t, err, context.DeadlineExceeded)
		assert.Equal(t, 3*time.Second, time.Since(begin))
	})
}

// counting counts who wants to hear of its end.
type counting struct {
	context.Context //nolint:containedctx // it is one
	done            chan struct{}
	hooks           *atomic.Int32
}

func (c counting) Done() <-chan struct{} { return c.done }

func (c counting) AfterFunc(func()) (stop func() bool) {
	c.hooks.Add(1)
	return sync.OnceValue(func() bool { c.hooks.Add(-1); return true })
}

// It is closed before New returns: then too it lets go of its context.
func TestContextIsLeftAloneByAScopeThatIsBornClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		parent := traigo.New(t.Context())
		outer := counting{context.WithoutCancel(parent.Context()), make(chan struct{}), new(atomic.Int32)}
		require.NoError(t, parent.Close())
		for range 10 {
			<-traigo.New(outer).Done()
		}
		assert.Zero(t, outer.hooks.Load())
	})
}

// Nobody has brought the scope the news when the task ends: what its context has
// said stands.
func TestContextOfATaskDoesNotChangeItsMind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		outer := &slow{customContext{Context: t.Context(), done: make(chan struct{})}}
		s := traigo.New(outer)
		contexts, end := make(chan context.Context), make(chan struct{})
		s.Spawn(func(ctx context.Context) error { contexts <- ctx; <-end; return nil })
		ctx := <-contexts
		outer.end(context.DeadlineExceeded)
		require.ErrorIs(t, ctx.Err(), context.DeadlineExceeded)
		close(end)
		synctest.Wait()
		require.ErrorIs(t, ctx.Err(), context.DeadlineExceeded)
		assert.True(t, closed(ctx.Done()))
		require.ErrorIs(t, s.Close(), context.DeadlineExceeded)
	})
}

// slow is odd and tells nobody that it has ended.
type slow struct{ customContext }

func (*slow) AfterFunc(func()) (stop func() bool) { return func() bool { return true } }

// The end of a task ends its context. Whoever sees Done closed, as early as can
// be, finds Err set and may derive from it: package context panics for a context
// that is done without an error.
func TestStressContextOfATaskThatIsDoneHasAnError(t *testing.T) {
	if runtime.GOMAXPROCS(0) == 1 {
		t.Skip("with one P nobody looks while a task ends")
	}
	s := traigo.New(context.Background())
	for range 1000 {
		contexts, end := make(chan context.Context), make(chan struct{})
		s.Spawn(func(ctx context.Context) error { contexts <- ctx; <-end; return nil })
		ctx := <-contexts
		done := ctx.Done()
		close(end)
		for !closed(done) {
			_, cancel := context.WithCancel(ctx)
			cancel()
		}
		require.Error(t, ctx.Err())
		require.Error(t, context.Cause(ctx))
	}
	require.NoError(t, s.Close())
}

// The ending that most scopes have is one for all of them until somebody asks.
// Whoever asks while it is being decided gets none or that of the scope, with a
// cause that names it: never the one for all.
func TestStressCauseOfAScopeThatIsCompletingNamesIt(t *testing.T) {
	type key struct{}
	rounds := 30_000
	if testing.Short() {
		rounds = 3000
	}
	var current atomic.Pointer[traigo.Scope]
	var stop atomic.Bool
	look := func() (wrong string) {
		for !stop.Load() {
			s := current.Load()
			ctx := s.Context()
			_ = ctx.Value(key{})
			if ctx.Err() == nil {
				continue
			}
			var c *traigo.Cancellation
			if cause := context.Cause(ctx); !errors.As(cause, &c) || c.Kind != traigo.Completed || c.Scope != s.Path() {
				return fmt.Sprintf("%s: %v", s.Path(), cause)
			}
		}
		return ""
	}
	current.Store(traigo.New(context.Background()))
	wrong := make(chan string)
	for range 2 {
		go func() { wrong <- look() }()
	}
	for range rounds {
		s := traigo.New(context.Background())
		current.Store(s)
		s.Finalize()
	}
	stop.Store(true)
	assert.Empty(t, <-wrong)
	assert.Empty(t, <-wrong)
}

func TestTaskContextIsTheScopes(t *testing.T) {
	type key struct{}
	synctest.Test(t, func(t *testing.T) {
		deadline := time.Now().Add(time.Minute)
		outer := context.WithValue(t.Context(), key{}, "value")
		s := traigo.New(outer, traigo.Timeout(time.Minute))
		var task *traigo.Task
		spawned := make(chan struct{})
		task = s.Spawn(func(ctx context.Context) error {
			<-spawned
			assert.Equal(t, "value", ctx.Value(key{}))
			at, ok := ctx.Deadline()
			assert.True(t, ok)
			assert.Equal(t, deadline, at)
			assert.Same(t, s, traigo.Current(ctx))
			assert.Same(t, task, traigo.CurrentTask(ctx))
			assert.NoError(t, ctx.Err())
			<-ctx.Done()
			assert.ErrorIs(t, context.Cause(ctx), errBoom)
			return nil
		})
		close(spawned)
		assert.Equal(t, "value", s.Fork(traigo.Timeout(1)).Context().Value(key{}), "also in a fork")
		time.Sleep(time.Second)
		s.Cancel(errBoom)
		require.ErrorIs(t, s.Wait(), errBoom)
		assert.Nil(t, traigo.Current(outer))
		assert.Nil(t, traigo.CurrentTask(outer))
	})
}

func TestValuesAreTakenAndCancellationIsNot(t *testing.T) {
	type key struct{}
	synctest.Test(t, func(t *testing.T) {
		other := traigo.New(context.WithValue(t.Context(), key{}, "request"), traigo.Timeout(time.Second), discard())
		got := make(chan context.Context, 1)
		other.Spawn(func(ctx context.Context) error { got <- ctx; return nil })
		otherCtx, cancel := context.WithTimeout(<-got, time.Second)
		defer cancel()
		other.Cancel(errBoom)
		<-other.Done()
		require.Error(t, otherCtx.Err())

		type scopeKey struct{}
		s := traigo.New(context.WithValue(context.WithValue(t.Context(), key{}, "scope"), scopeKey{}, "scope"), traigo.Name("here"))
		task := s.Spawn(func(ctx context.Context) error {
			assert.Equal(t, "request", ctx.Value(key{}))
			assert.Equal(t, "scope", ctx.Value(scopeKey{}), "what the other has no value for")
			assert.NoError(t, ctx.Err())
			assert.False(t, closed(ctx.Done()))
			_, ok := ctx.Deadline()
			assert.False(t, ok, "a deadline is cancellation too")
			assert.Same(t, s, traigo.Current(ctx))
			assert.Equal(t, "here/work", traigo.CurrentTask(ctx).Path())

			derived, cancel := context.WithTimeout(ctx, time.Hour)
			defer cancel()
			assert.NoError(t, derived.Err())
			<-derived.Done()
			assert.ErrorIs(t, context.Cause(derived), errOuter)
			return nil
		}, traigo.Values(otherCtx), traigo.Name("work"))
		synctest.Wait()
		s.Cancel(errOuter)
		require.NoError(t, task.Wait(t.Context()))
		require.ErrorIs(t, s.Wait(), errOuter)
	})
}
