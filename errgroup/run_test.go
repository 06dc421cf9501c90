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

func TestFunctionsRunAfterTheCancellation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
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

// A function that is added while Wait decides that all have ended is not lost.
func TestStressGoInsideWhileManyWait(t *testing.T) {
	for range 50 {
		synctest.Test(t, func(t *testing.T) {
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
	synctest.Test(t, func(t *testing.T) {
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

func TestPanicRefusesABlockedGo(t *testing.T) {
	for range 20 { // the order of the goroutines must not matter
		synctest.Test(t, func(t *testing.T) {
			var g errgroup.Group
			g.SetLimit(1)
			g.Go(func() error {
				time.Sleep(time.Second)
				panic("ouch")
			})
			g.Go(mustNotRun(t))
			p := raised(t, &g)
			require.NotNil(t, p)
			assert.Equal(t, "ouch", p.Recovered.Value)
			g.SetLimit(2) // no slot is lost
		})
	}
}

func TestPanicAfterTheCancellation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
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
	synctest.Test(t, func(t *testing.T) {
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
	synctest.Test(t, func(t *testing.T) {
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
	synctest.Test(t, func(t *testing.T) {
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
	synctest.Test(t, func(t *testing.T) {
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

func TestLimitHolds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
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

func TestNothingRunsBelowAScopeThatHasClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
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

// The scope above is canceled, but the body that uses the group has not returned.
func TestFunctionsRunBelowAScopeThatIsCanceled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
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

func TestStuckFunctionIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
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

func TestFailureRefusesABlockedGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
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

func TestOuterContextRefusesABlockedGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
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
	synctest.Test(t, func(t *testing.T) {
		outer, cancel := context.WithCancel(t.Context())
		g, ctx := errgroup.WithContext(outer)
		g.SetLimit(1)
		g.Go(func() error { <-ctx.Done(); time.Sleep(time.Second); return ctx.Err() })
		time.AfterFunc(time.Second, cancel)
		g.Go(mustNotRun(t))
		assert.Equal(t, context.Canceled, g.Wait())
	})
}

func TestFailureWithoutAContextRefusesNoBlockedGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g errgroup.Group
		g.SetLimit(1)
		g.Go(after(time.Second, errBoom))
		ran := false
		g.Go(func() error { ran = true; return nil })
		assert.Same(t, errBoom, g.Wait())
		assert.True(t, ran)
	})
}

func TestWaitRefusesNoBlockedGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
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
		cancel(errOuter) // refuses it
		synctest.Wait()
		assert.True(t, returned)
		require.ErrorIs(t, g.Wait(), errOuter)
	})
}

func TestGroupIsUsedAgainWithALimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
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

// A call of Wait may close the scope between the moment at which Go has looked for a
// scope and the moment at which it spawns the function there, and so may the next call.
func TestStressGoWhileManyWait(t *testing.T) {
	var g errgroup.Group
	var all sync.WaitGroup
	var stop atomic.Bool
	for range 8 {
		all.Go(func() {
			for !stop.Load() {
				_ = g.Wait()
			}
		})
	}
	var ran atomic.Int32
	for range 5000 {
		g.Go(func() error { ran.Add(1); return nil })
	}
	stop.Store(true)
	all.Wait()
	require.NoError(t, g.Wait())
	require.EqualValues(t, 5000, ran.Load())
}

type uncomparable struct {
	context.Context //nolint:containedctx // it is one

	_ []int
}

func TestBlockedGoIsRefusedUnderAnyContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		outer, cancel := context.WithCancel(t.Context())
		defer cancel()
		g, _ := errgroup.WithContext(uncomparable{Context: outer})
		g.SetLimit(1)
		require.NoError(t, g.Wait())
		g.Go(func() error { time.Sleep(time.Minute); return nil })
		time.AfterFunc(time.Second, cancel)
		g.Go(mustNotRun(t))
		require.ErrorIs(t, g.Wait(), traigo.ErrRefused)
	})
}
