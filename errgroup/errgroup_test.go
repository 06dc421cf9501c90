package errgroup_test

import (
	"context"
	"errors"
	"runtime"
	"strings"
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

// That the group does what the one of x/sync does is tested in bench, with both side
// by side. Here is what it does differently, and what it can do besides; and the
// essence once more, so that this package stands alone.

var (
	errBoom  = errors.New("boom")
	errLater = errors.New("later")
	errOuter = errors.New("outer")
)

func after(d time.Duration, err error) func() error {
	return func() error {
		time.Sleep(d)
		return err
	}
}

type observerFunc func(traigo.Event)

func (f observerFunc) Observe(e traigo.Event) { f(e) }

// inBubble runs a test in which time is not real, and nothing may be left over.
func inBubble(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	synctest.Test(t, f)
}

// raised returns what Wait panics with, which has to be a *traigo.PanicError.
func raised(t *testing.T, g *errgroup.Group) (p *traigo.PanicError) {
	t.Helper()
	defer func() { p, _ = recover().(*traigo.PanicError) }()
	err := g.Wait()
	assert.Fail(t, "Wait has returned", "%v", err)
	return nil
}

func TestWaitReturnsTheVeryErrorThatCameFirst(t *testing.T) {
	inBubble(t, func(t *testing.T) {
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
	inBubble(t, func(t *testing.T) {
		g, ctx := errgroup.WithContext(t.Context())
		g.Go(after(time.Second, nil))
		time.Sleep(2 * time.Second)
		require.NoError(t, ctx.Err(), "not before")
		require.NoError(t, g.Wait())
		assert.Equal(t, context.Canceled, context.Cause(ctx))

		g, ctx = errgroup.WithContext(t.Context())
		_ = g.Scope() // somebody else knows of the scope
		g.Go(after(time.Second, nil))
		require.NoError(t, g.Wait())
		assert.Equal(t, context.Canceled, context.Cause(ctx))
	})
}

func TestZeroGroupDisturbsNobodyAndIsUsedAgain(t *testing.T) {
	inBubble(t, func(t *testing.T) {
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

func TestFunctionsRunAfterTheCancellation(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		outer, cancel := context.WithCancelCause(t.Context())
		g, ctx := errgroup.WithContext(outer)
		var runs atomic.Int32
		run := func() error {
			runs.Add(1)
			time.Sleep(time.Second)
			return nil
		}
		g.Go(after(0, errBoom))
		<-ctx.Done()
		g.Go(run)
		assert.True(t, g.TryGo(run))
		cancel(errOuter)
		g.Go(run)
		assert.True(t, g.TryGo(run))
		assert.Same(t, errBoom, g.Wait())
		assert.EqualValues(t, 4, runs.Load())
	})
}

// A function from before the end of the outer context may bring others, which run in
// another scope: also when all functions from after it have long ended, and when Wait
// has begun to wait for the scope that was there first.
func TestWaitWaitsForWhatComesOfEarlierFunctions(t *testing.T) {
	for name, endsAfter := range map[string]time.Duration{"before Wait": 0, "during Wait": time.Second} {
		inBubble(t, func(t *testing.T) {
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

// Nobody is let in while Wait decides that all have ended.
func TestStressGoInsideWhileManyWait(t *testing.T) {
	for range 50 {
		inBubble(t, func(t *testing.T) {
			g, ctx := errgroup.WithContext(t.Context())
			g.SetLimit(3)
			var runs atomic.Int32
			var nest func(depth int) func() error
			nest = func(depth int) func() error {
				return func() error {
					runs.Add(1)
					if depth > 0 && !g.TryGo(nest(depth-1)) {
						return nest(depth - 1)()
					}
					return nil
				}
			}
			for range 20 {
				g.Go(nest(5))
			}
			var waiters sync.WaitGroup
			for range 4 {
				waiters.Go(func() { assert.NoError(t, g.Wait()) })
			}
			waiters.Wait()
			assert.EqualValues(t, 120, runs.Load())
			assert.Equal(t, context.Canceled, context.Cause(ctx))
		})
	}
}

func TestPanicCancelsTheGroupAndIsRaisedByWait(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		g, ctx := errgroup.WithContext(t.Context())
		ended := false
		g.Go(func() error {
			<-ctx.Done()
			time.Sleep(time.Second)
			ended = true
			return ctx.Err()
		})
		g.Go(func() error { panic(errBoom) })
		p := raised(t, g)
		require.NotNil(t, p)
		assert.True(t, ended, "only when all have ended")
		require.ErrorIs(t, p, errBoom)
		assert.Contains(t, p.Task, "TestPanicCancels")
		assert.Contains(t, p.Error(), "TestPanicCancelsTheGroupAndIsRaisedByWait.func1.2(", "the stack of the panic")
		assert.Equal(t, 1, strings.Count(p.Error(), "[running"), "once")
		require.ErrorIs(t, context.Cause(ctx), p)

		g.Go(func() error { panic("not run") })
		assert.False(t, g.TryGo(func() error { panic("not run") }))
		assert.Same(t, p, raised(t, g), "it is for ever")
	})
}

func TestPanicTurnsAwayWhoIsBlocked(t *testing.T) {
	for range 20 { // whatever the scheduler does
		inBubble(t, func(t *testing.T) {
			var g errgroup.Group
			g.SetLimit(1)
			g.Go(func() error {
				time.Sleep(time.Second)
				panic("ouch")
			})
			g.Go(func() error {
				assert.Fail(t, "it has been let in")
				return nil
			})
			p := raised(t, &g)
			require.NotNil(t, p)
			assert.Equal(t, "ouch", p.Recovered.Value)
			g.SetLimit(2) // no slot is lost
		})
	}
}

func TestPanicAfterTheCancellation(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		outer, cancel := context.WithCancel(t.Context())
		g, ctx := errgroup.WithContext(outer)
		g.SetLimit(1)
		g.Go(func() error {
			<-ctx.Done()
			panic("ouch")
		})
		cancel()
		require.NotNil(t, raised(t, g))
		g.SetLimit(1) // no slot is lost
	})
}

func TestNothingRunsAfterAPanicWhateverElseEnds(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		outer, cancel := context.WithCancel(t.Context())
		g, _ := errgroup.WithContext(outer)
		g.Go(func() error { panic("ouch") })
		synctest.Wait()
		cancel()
		g.Go(mustNotRun(t))
		assert.False(t, g.TryGo(mustNotRun(t)))
		assert.NotNil(t, raised(t, g))
	})
}

func TestPanicOfAGroupInAGroupStaysTheOneItWas(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		var outer, inner errgroup.Group
		outer.Go(func() error {
			inner.Go(func() error { panic("ouch") })
			return inner.Wait()
		})
		p := raised(t, &outer)
		assert.Same(t, p, raised(t, &inner))
		assert.Equal(t, "errgroup/TestPanicOfAGroupInAGroupStaysTheOneItWas.func1.1.1", p.Task)
		assert.Equal(t, 1, strings.Count(p.Error(), "[running"))
	})
}

func TestPanicAsErrorIsAFailure(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		_ = traigo.Run(t.Context(), func(ctx context.Context, _ *traigo.Scope) error {
			g, ctx := errgroup.WithContext(ctx)
			g.SetLimit(1)
			g.Go(func() error { panic(errBoom) })
			<-ctx.Done()
			synctest.Wait()
			ran := false
			g.Go(func() error { ran = true; return nil })
			err := g.Wait()
			p, ok := errors.AsType[*traigo.PanicError](err)
			assert.True(t, ok)
			assert.True(t, ran, "the slot was given back")
			assert.Same(t, p, err)
			assert.Same(t, p, context.Cause(ctx))
			return nil
		}, traigo.PanicAsError())
	})
}

func TestGoexitIsAFailure(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		g, ctx := errgroup.WithContext(t.Context())
		g.SetLimit(1)
		g.Go(func() error {
			runtime.Goexit()
			return nil
		})
		<-ctx.Done()
		synctest.Wait()
		ran := false
		g.Go(func() error { ran = true; return nil })
		assert.Equal(t, traigo.ErrGoexit, g.Wait())
		assert.Equal(t, traigo.ErrGoexit, context.Cause(ctx))
		assert.True(t, ran, "the slot was given back")
	})
}

func TestNilFunctionPanicsAtTheCall(t *testing.T) {
	var g errgroup.Group
	assert.PanicsWithValue(t, "errgroup: Go: nil function", func() { g.Go(nil) })
	assert.PanicsWithValue(t, "errgroup: TryGo: nil function", func() { g.TryGo(nil) })
	require.NoError(t, g.Wait())
	assert.Panics(t, func() { errgroup.WithContext(nil) }) //nolint:staticcheck // that is the point
}

func TestSetLimitPanicsWhileTheLimitIsInUse(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		var g errgroup.Group
		g.Go(after(time.Second, nil))
		g.SetLimit(2) // what runs without a limit does not count
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

func TestLimitHolds(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		var g errgroup.Group
		g.SetLimit(3)
		var now atomic.Int32
		start := time.Now()
		for range 9 {
			g.Go(func() error {
				defer now.Add(-1)
				assert.LessOrEqual(t, now.Add(1), int32(3))
				time.Sleep(time.Second)
				return nil
			})
		}
		require.NoError(t, g.Wait())
		assert.Equal(t, 3*time.Second, time.Since(start), "and is made use of")
	})
}
