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

// The contexts of scopes and tasks, and package context: docs/adr/0003.

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
		assert.True(t, closed(watched), "Done of the context of a task is closed when the task has ended")
		assert.Equal(t, context.Canceled, ctx.Err())
		c := as[*traigo.Cancellation](t, context.Cause(ctx))
		assert.Equal(t, traigo.Completed, c.Kind)
		assert.Equal(t, task.Path(), c.Task)
		derived, cancel := context.WithCancel(ctx)
		defer cancel()
		assert.Error(t, derived.Err())
		s.Cancel(errBoom)
		assert.Equal(t, c, context.Cause(ctx), "a later cancellation of the scope changes nothing")
		require.ErrorIs(t, s.Close(), errBoom)
	})
}

// Contexts derived from that of a task end with the task, in whatever way they have been
// derived. So the scope holds nothing of a task that has ended.
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
					context.AfterFunc(s.Context(), cancel) // which is long after the end of the task
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

// Scopes opened under the context of a task that has ended are canceled from the start.
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

// A task may end before or after the cancellation of its scope has reached it. A context
// derived from the task's is canceled by one of the two.
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

// Package context names a derived context after its parent, so these texts are in what it
// prints. A context without a String method of its own would be named by its type.
func TestContextSaysWhatItIs(t *testing.T) {
	derived := func(ctx context.Context) string { return fmt.Sprint(context.WithoutCancel(ctx)) }
	require.NoError(t, traigo.Run(t.Context(), func(ctx context.Context, s *traigo.Scope) error {
		assert.Equal(t, `traigo.Scope("main")`, fmt.Sprint(ctx))
		assert.Equal(t, `traigo.Scope("main").WithoutCancel`, derived(ctx))
		return s.Spawn(func(ctx context.Context) error {
			assert.Equal(t, `traigo.Task("main/work \"1\"")`, fmt.Sprint(ctx))
			assert.Equal(t, `traigo.Task("main/work \"1\"").WithoutCancel`, derived(ctx))
			return nil
		}, traigo.Name(`work "1"`)).Wait(ctx)
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

// The outer context has a deadline, but does not end when it has passed: then it has none,
// and only the deadline of the scope counts. Package context is given a moment to end a
// context of its own.
func TestContextThatBreaksItsDeadlineDoesNotStopTheClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		outer := &customContext{Context: t.Context(), done: make(chan struct{}), deadline: begin.Add(time.Second)}
		err := traigo.Run(outer, func(ctx context.Context, s *traigo.Scope) error {
			task := s.Spawn(untilCanceled, traigo.Timeout(2*time.Second))
			assert.ErrorIs(t, task.Wait(context.Background()), context.DeadlineExceeded)
			return nil
		}, traigo.Timeout(2*time.Second))
		first := outcome(t, err).Err
		assert.Same(t, first, as[*traigo.TimeoutError](t, first))
		assert.Less(t, time.Since(begin)-2*time.Second, time.Microsecond)
	})
}

// counting is a context that counts the functions registered by AfterFunc.
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

// A scope that has closed is registered with its context no more, also if it has closed
// before New returned.
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

// The outer context ends without telling the scope. What the context of a task has said
// before the task ends, it says after that too.
func TestContextOfATaskDoesNotChangeItsMind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		outer := &silent{customContext{Context: t.Context(), done: make(chan struct{})}}
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

// silent is a customContext that calls no function when it ends.
type silent struct{ customContext }

func (*silent) AfterFunc(func()) (stop func() bool) { return func() bool { return true } }

// The end of a task ends its context. Code that sees Done closed at the earliest moment
// finds Err set, and may derive a context from it: package context panics for a parent
// that is done and has no error.
func TestStressContextOfATaskThatIsDoneHasAnError(t *testing.T) {
	if runtime.GOMAXPROCS(0) == 1 {
		t.Skip("with one P no goroutine looks while a task ends")
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

// Scopes that complete share one ending until somebody asks one of them for its cause.
// Code that asks while the end is being decided gets no cause, or one that names the
// scope, and never the shared one.
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
		assert.Equal(t, "value", s.Fork().Context().Value(key{}), "also in a fork")
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

// Contexts that are used a second time: Done is closed, and Err is nil again.

// usedAgain is a context whose Err tells of its end left times, and then is nil.
type usedAgain struct {
	context.Context //nolint:containedctx // it is one
	done            chan struct{}
	left            atomic.Int32
}

func newUsedAgain(left int32) *usedAgain {
	c := &usedAgain{Context: context.Background(), done: make(chan struct{})}
	c.left.Store(left)
	return c
}

func (c *usedAgain) Done() <-chan struct{} { return c.done }

func (c *usedAgain) Err() error {
	if closed(c.done) && c.left.Add(-1) >= 0 {
		return context.Canceled
	}
	return nil
}

// usedAgainWithHooks is one that package context lets call functions at its end.
type usedAgainWithHooks struct{ *usedAgain }

func (c usedAgainWithHooks) AfterFunc(f func()) (stop func() bool) {
	go func() { <-c.done; f() }()
	return func() bool { return true }
}

func TestContextWhoseErrIsNilAgainIsCanceled(t *testing.T) {
	later := func(ctx *usedAgain) { time.AfterFunc(time.Second, func() { close(ctx.done) }) }
	forever := traigo.Blocking(func() error { time.Sleep(time.Minute); return nil })
	for name, use := range map[string]func(t *testing.T, ctx *usedAgain, s *traigo.Scope) error{
		"Run": func(_ *testing.T, ctx *usedAgain, _ *traigo.Scope) error {
			later(ctx)
			return traigo.Run(ctx, func(ctx context.Context, _ *traigo.Scope) error { return untilCanceled(ctx) })
		},
		"Run of a done one": func(_ *testing.T, ctx *usedAgain, _ *traigo.Scope) error {
			close(ctx.done)
			return traigo.Run(ctx, func(ctx context.Context, _ *traigo.Scope) error { return untilCanceled(ctx) })
		},
		"New": func(t *testing.T, ctx *usedAgain, _ *traigo.Scope) error {
			s := traigo.New(ctx)
			later(ctx)
			<-s.Context().Done()
			assert.Equal(t, context.Canceled, s.Context().Err())
			derived, cancel := context.WithCancel(s.Context())
			defer cancel()
			assert.Equal(t, context.Canceled, derived.Err())
			return s.Wait()
		},
		"New, with hooks": func(t *testing.T, ctx *usedAgain, _ *traigo.Scope) error {
			s := traigo.New(usedAgainWithHooks{ctx})
			later(ctx)
			<-s.Context().Done()
			assert.Equal(t, context.Canceled, s.Context().Err())
			return s.Wait()
		},
		"Wait": func(_ *testing.T, ctx *usedAgain, s *traigo.Scope) error {
			later(ctx)
			return s.Spawn(untilCanceled).Wait(ctx)
		},
		"Await": func(_ *testing.T, ctx *usedAgain, s *traigo.Scope) error {
			later(ctx)
			_, err := traigo.Async(s, func(ctx context.Context) (int, error) { return 0, untilCanceled(ctx) }).Await(ctx)
			return err
		},
		"Start": func(_ *testing.T, ctx *usedAgain, s *traigo.Scope) error {
			later(ctx)
			_, err := s.Start(ctx, func(ctx context.Context, _ func()) error { return untilCanceled(ctx) })
			return err
		},
		"Shutdown": func(_ *testing.T, ctx *usedAgain, s *traigo.Scope) error {
			later(ctx)
			s.Spawn(untilCanceled)
			return s.Shutdown(ctx)
		},
		"AdmitBefore": func(_ *testing.T, ctx *usedAgain, s *traigo.Scope) error {
			s = s.Fork(traigo.Limit(1))
			hold := s.Spawn(untilCanceled)
			defer hold.Cancel(nil)
			later(ctx)
			return s.Spawn(succeed, traigo.AdmitBefore(ctx)).Err()
		},
		"Blocking": func(_ *testing.T, ctx *usedAgain, _ *traigo.Scope) error { later(ctx); return forever(ctx) },
		"Sleep": func(_ *testing.T, ctx *usedAgain, _ *traigo.Scope) error {
			later(ctx)
			return traigo.Sleep(ctx, time.Hour)
		},
		"FailAfter": func(_ *testing.T, ctx *usedAgain, _ *traigo.Scope) error {
			later(ctx)
			return traigo.FailAfter(ctx, time.Hour, untilCanceled)
		},
	} {
		for _, left := range []int32{0, 1} {
			t.Run(fmt.Sprintf("%s/%d", name, left), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					s := traigo.New(t.Context())
					require.ErrorIs(t, use(t, newUsedAgain(left), s), context.Canceled)
					s.Cancel(nil)
					<-s.Done()
					time.Sleep(time.Hour) // what was abandoned
				})
			})
		}
	}
}

// A scope of New outlives the task that has opened it, and forgets its deadline and end.
func TestContextOfANewOutlivesItsOpenerInAllItSays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := traigo.New(t.Context(), discard())
		var own *traigo.Scope
		task := s.Spawn(func(ctx context.Context) error {
			own = traigo.New(ctx, traigo.Timeout(5*time.Second))
			return nil
		}, traigo.Timeout(time.Second))
		<-task.Done()
		start := time.Now()
		time.Sleep(2 * time.Second)
		ctx := own.Context()
		require.NoError(t, ctx.Err())
		require.NoError(t, context.Cause(ctx), "of a living context")
		deadline, ok := ctx.Deadline()
		assert.True(t, ok)
		assert.Equal(t, start.Add(5*time.Second), deadline)
		derived, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		time.Sleep(2 * time.Second)
		require.Error(t, derived.Err())
		<-own.Done()
		assert.Equal(t, 5*time.Second, time.Since(start))
		_ = s.Close()
	})
}

// pausing is a customContext whose Err calls a function once, before it answers.
type pausing struct {
	customContext

	pause atomic.Pointer[func()]
}

func (c *pausing) Err() error {
	if f := c.pause.Swap(nil); f != nil {
		(*f)()
	}
	return c.customContext.Err()
}

// While the context of a task is asking the outer one, its scope is canceled, the outer one
// ends otherwise, and perhaps the task ends.
func TestContextOfATaskDoesNotChangeItsMindWhileItIsAsked(t *testing.T) {
	for _, ends := range []bool{true, false} {
		t.Run(fmt.Sprint(ends), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				outer := &pausing{customContext: customContext{Context: context.Background(), done: make(chan struct{})}}
				s := traigo.New(outer, discard())
				contexts := make(chan context.Context, 1)
				release, free := newRelease()
				free = sync.OnceFunc(free)
				s.Spawn(func(ctx context.Context) error { contexts <- ctx; deafTo(release); return nil })
				ctx := <-contexts
				synctest.Wait()
				pause := func() {
					if ends {
						free()
					}
					synctest.Wait()
					s.Cancel(errBoom)
					outer.end(context.DeadlineExceeded)
				}
				outer.pause.Store(&pause)
				first := ctx.Err()
				assert.Equal(t, first, ctx.Err())
				free()
				_ = s.Close()
				if first != nil {
					assert.Equal(t, first, ctx.Err())
				}
			})
		})
	}
}

// The task may end before or after its scope is canceled: whichever Cause tells first, it
// tells again.
func TestStressCauseOfATaskIsTheSameWhenAskedAgain(t *testing.T) {
	rounds := 5000
	if testing.Short() {
		rounds = 500
	}
	for range rounds {
		s := traigo.New(context.Background(), discard())
		end, contexts := make(chan struct{}), make(chan context.Context, 1)
		s.Spawn(func(ctx context.Context) error { contexts <- ctx; <-end; return nil })
		ctx := <-contexts
		var asking sync.WaitGroup
		for range 4 {
			asking.Go(func() {
				for {
					if cause := context.Cause(ctx); cause != nil {
						assert.Equal(t, cause, context.Cause(ctx))
						return
					}
					runtime.Gosched()
				}
			})
		}
		close(end)
		s.Cancel(nil) // a failure that is asked for later leaves a timer for 10 s
		asking.Wait()
		require.NoError(t, s.Wait())
	}
}

// When a scope has closed, every context that was derived in it is done.
func TestStressContextsDerivedInAClosedScopeAreDone(t *testing.T) {
	const tasks = 8
	rounds := 5000
	if testing.Short() {
		rounds = 500
	}
	derive := func(s *traigo.Scope, derived []context.Context, started, end chan struct{}) {
		for i := range tasks {
			s.Spawn(func(ctx context.Context) error {
				here, cancel := context.WithCancel(ctx)
				context.AfterFunc(here, cancel) // which is not called before that
				derived[i] = here               //nolint:fatcontext // to be used when the scope has closed
				started <- struct{}{}
				<-end
				return nil
			})
		}
		for range tasks {
			<-started
		}
		close(end)
	}
	for name, end := range map[string]func(s *traigo.Scope) error{"Close": (*traigo.Scope).Close, "Wait": (*traigo.Scope).Wait} {
		t.Run(name, func(t *testing.T) {
			for range rounds {
				s := traigo.New(context.Background())
				derived := make([]context.Context, tasks)
				derive(s, derived, make(chan struct{}, tasks), make(chan struct{}))
				require.NoError(t, end(s))
				for _, ctx := range derived {
					require.Error(t, ctx.Err())
				}
			}
		})
	}
}
