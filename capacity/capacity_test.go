package capacity_test

import (
	"context"
	"fmt"
	"math"
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
	"github.com/traigo/traigo/capacity"
	"github.com/traigo/traigo/internal/hold"
	"github.com/traigo/traigo/internal/limits"
)

func TestLimiterIsSharedByScopes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := capacity.New(3)
		var use gauge
		requireTime(t, 4*time.Second, func() {
			require.NoError(t, traigo.Run(t.Context(), func(_ context.Context, s *traigo.Scope) error {
				for range 4 {
					f := s.Fork()
					for range 3 {
						f.Spawn(func(ctx context.Context) error {
							return l.Do(ctx, 1, func(context.Context) error {
								use.during(1, func() { time.Sleep(time.Second) })
								return nil
							})
						})
					}
					f.Finalize()
				}
				return nil
			}))
		})
		assert.EqualValues(t, 3, use.most.Load())
		assert.Equal(t, capacity.Stats{Limit: 3}, l.Stats(), "all units have been released")
	})
}

// A task holds nothing while it waits for its children, so one unit is enough for a tree of
// any depth.
func TestLimiterServesTasksThatWaitForTheirOwnKind(t *testing.T) {
	for _, limit := range []int{1, 2, 5} {
		t.Run(fmt.Sprint(limit), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := capacity.New(limit)
				var use gauge
				var ran atomic.Int32
				var node func(depth int) func(ctx context.Context) error
				node = func(depth int) func(ctx context.Context) error {
					return func(ctx context.Context) error {
						if err := l.Do(ctx, 1, func(context.Context) error {
							use.during(1, func() { time.Sleep(time.Second) })
							ran.Add(1)
							return nil
						}); err != nil || depth == 0 {
							return err
						}
						return traigo.Run(ctx, func(_ context.Context, s *traigo.Scope) error {
							s.Spawn(node(depth - 1))
							s.Spawn(node(depth - 1))
							return nil
						})
					}
				}
				require.NoError(t, node(5)(t.Context()))
				assert.EqualValues(t, 63, ran.Load())
				assert.EqualValues(t, limit, use.most.Load())
				assert.Equal(t, capacity.Stats{Limit: limit}, l.Stats())
			})
		})
	}
}

func TestAcquireCountsUnits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := capacity.New(5)
		three, two := acquire(t, l, 3), acquire(t, l, 2)
		require.True(t, three.holds() && two.holds())
		five := acquire(t, l, 5)
		assert.True(t, five.waits())
		assert.Equal(t, capacity.Stats{Limit: 5, InUse: 5, Waiting: 1, Unnamed: 2}, l.Stats())
		three.release()
		assert.True(t, five.waits())
		two.release()
		assert.True(t, five.holds())
		five.release()
		assert.Equal(t, capacity.Stats{Limit: 5}, l.Stats())
	})
}

// Otherwise a caller that wants many units could wait for ever.
func TestAcquireIsFirstComeFirstServed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := capacity.New(2)
		release := taken(t, l, 1)
		large, small := acquire(t, l, 2), acquire(t, l, 1)
		assert.True(t, large.waits())
		assert.True(t, small.waits(), "a unit is free, but the large one came first")
		_, ok := l.TryAcquire(1)
		assert.False(t, ok)

		release()
		assert.True(t, large.holds())
		assert.True(t, small.waits())
		large.release()
		assert.True(t, small.holds())
		small.release()
	})
}

func TestAcquireOfMoreThanTheLimitWaitsForSetLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		defaultLog(t)
		l := capacity.New(3)
		four, huge := acquire(t, l, 4), acquire(t, l, math.MaxInt)
		time.Sleep(time.Hour)
		assert.True(t, four.waits())
		l.SetLimit(4)
		assert.True(t, four.holds())
		l.SetLimit(math.MaxInt)
		assert.True(t, huge.waits(), "four are in use: the sum does not overflow")
		four.release()
		assert.True(t, huge.holds())
		one := acquire(t, l, 1)
		assert.True(t, one.waits())
		huge.release()
		assert.True(t, one.holds())
		one.release()
		assert.Equal(t, capacity.Stats{Limit: math.MaxInt}, l.Stats())
	})
}

func TestReleaseHasNoEffectTheSecondTime(t *testing.T) {
	l := capacity.New(4)
	acquired, err := l.Acquire(t.Context(), 1)
	require.NoError(t, err)
	tried := taken(t, l, 1)
	taken(t, l, 2)
	var callers sync.WaitGroup
	for range 8 {
		callers.Go(acquired)
		callers.Go(tried)
	}
	callers.Wait()
	assert.Equal(t, capacity.Stats{Limit: 4, InUse: 2, Unnamed: 1}, l.Stats())
}

func TestAcquireHearsItsContext(t *testing.T) {
	for name, end := range map[string]struct {
		cause error
		ended func(ctx context.Context) (context.Context, func())
	}{
		"cancel": {errBoom, func(ctx context.Context) (context.Context, func()) {
			ctx, cancel := context.WithCancelCause(ctx)
			time.AfterFunc(time.Second, func() { cancel(errBoom) })
			return ctx, func() { cancel(nil) }
		}},
		"deadline": {errBoom, func(ctx context.Context) (context.Context, func()) {
			return context.WithTimeoutCause(ctx, time.Second, errBoom)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := capacity.New(1)
				release := taken(t, l, 1)
				ctx, cancel := end.ended(t.Context())
				defer cancel()
				requireTime(t, time.Second, func() {
					got, err := l.Acquire(ctx, 1)
					assert.Equal(t, end.cause, err)
					assert.Nil(t, got)
				})
				requireTime(t, 0, func() {
					assert.Equal(t, end.cause, l.Do(ctx, 1, func(context.Context) error { t.Error("called"); return nil }))
				})
				assert.Equal(t, capacity.Stats{Limit: 1, InUse: 1, Unnamed: 1}, l.Stats())
				release()
				assert.Equal(t, capacity.Stats{Limit: 1}, l.Stats())
			})
		})
	}
}

func TestAcquireTakesNothingIfItsContextIsDone(t *testing.T) {
	l := capacity.New(1)
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errBoom)
	release, err := l.Acquire(ctx, 1)
	assert.Equal(t, errBoom, err, "though a unit is free")
	assert.Nil(t, release)
	assert.Equal(t, errBoom, l.Do(ctx, 1, func(context.Context) error { t.Error("called"); return nil }))
	assert.Equal(t, capacity.Stats{Limit: 1}, l.Stats())
}

// The error tells the task what has canceled it.
func TestAcquireInATaskReturnsItsCancellation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := capacity.New(0)
		s := traigo.New(t.Context(), traigo.Name("s"))
		task := s.Spawn(func(ctx context.Context) error {
			_, err := l.Acquire(ctx, 1)
			return err
		}, traigo.Name("waits"))
		synctest.Wait()
		assert.Equal(t, 1, l.Stats().Waiting)
		s.Cancel(errBoom)
		require.ErrorIs(t, s.Wait(), errBoom)
		var c *traigo.Cancellation
		require.ErrorAs(t, task.Err(), &c)
		assert.Equal(t, traigo.Requested, c.Kind)
		assert.Equal(t, capacity.Stats{}, l.Stats())
	})
}

func TestAcquireThatIsCanceledLetsInWhoWaitsBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := capacity.New(3)
		taken(t, l, 1)
		large, small, large2, small2 := acquire(t, l, 3), acquire(t, l, 1), acquire(t, l, 2), acquire(t, l, 1)
		require.Equal(t, 4, l.Stats().Waiting)
		large2.cancel(errBoom)
		assert.False(t, large2.waits())
		assert.True(t, small.waits() && small2.waits(), "the first still waits")
		large.cancel(errBoom)
		assert.True(t, small.holds() && small2.holds())
		assert.Equal(t, errBoom, large.err)
		assert.Equal(t, errBoom, large2.err)
		assert.Equal(t, capacity.Stats{Limit: 3, InUse: 3, Unnamed: 3}, l.Stats())
	})
}

// A lateContext ends without closing a Done channel: only its Err tells.
type lateContext struct {
	context.Context //nolint:containedctx // it is one
	err             atomic.Pointer[error]
}

func (c *lateContext) Err() error {
	if err := c.err.Load(); err != nil {
		return *err
	}
	return nil
}

// The units are granted, and before the caller runs again its context has ended. Acquire
// prefers the cause, and the units go to the next caller.
func TestAcquireHandsUnitsOnThatComeAtTheEndOfItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := capacity.New(1)
		release := taken(t, l, 1)
		late := &lateContext{Context: context.Background()}
		ends, next := acquireWith(late, nil, l, 1), acquire(t, l, 1)
		late.err.Store(&errBoom)
		require.True(t, ends.waits())
		release()
		assert.False(t, ends.waits())
		assert.Equal(t, late.Err(), ends.err)
		assert.Nil(t, ends.release)
		assert.True(t, next.holds())
		next.release()
		assert.Equal(t, capacity.Stats{Limit: 1}, l.Stats())
	})
}

// The end of the context and the grant are both ready, and select chooses at random.
func TestAcquireAlwaysReturnsTheCauseIfItsContextEndedFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for range 100 {
			l := capacity.New(1)
			release := taken(t, l, 1)
			ends, next := acquire(t, l, 1), acquire(t, l, 1)
			ends.cancel(errBoom)
			release()
			require.True(t, next.holds())
			require.Equal(t, errBoom, ends.err)
			next.release()
			require.Equal(t, capacity.Stats{Limit: 1}, l.Stats())
		}
	})
}

// Here either result is right, but in both cases the next caller gets the unit.
func TestAcquireLosesNothingIfUnitsComeJustBeforeItsContextEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for range 100 {
			l := capacity.New(1)
			release := taken(t, l, 1)
			ends, next := acquire(t, l, 1), acquire(t, l, 1)
			release()
			ends.cancel(errBoom)
			if ends.holds() {
				require.True(t, next.waits())
				ends.release()
			}
			require.True(t, next.holds())
			next.release()
			require.Equal(t, capacity.Stats{Limit: 1}, l.Stats())
		}
	})
}

// A forgetfulContext closes its Done channel, and its Err stays nil.
type forgetfulContext struct {
	context.Context //nolint:containedctx // it is one
	done            chan struct{}
}

func (c forgetfulContext) Done() <-chan struct{} { return c.done }

func TestAcquireFailsIfAContextForgetsItsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := capacity.New(0)
		ctx := forgetfulContext{context.Background(), make(chan struct{})}
		c := acquireWith(ctx, nil, l, 1)
		close(ctx.done)
		assert.False(t, c.waits())
		assert.Equal(t, context.Canceled, c.err)
		assert.Equal(t, capacity.Stats{}, l.Stats())
	})
}

func TestTryAcquireDoesNotWait(t *testing.T) {
	l := capacity.New(2)
	release := taken(t, l, 2)
	again, ok := l.TryAcquire(1)
	assert.False(t, ok)
	assert.Nil(t, again)
	release()
	_, ok = l.TryAcquire(3)
	assert.False(t, ok)
	assert.Equal(t, capacity.Stats{Limit: 2}, l.Stats(), "who has not got units does not wait for them")
}

func TestDoReturnsTheErrorOfItsFunction(t *testing.T) {
	l := capacity.New(2)
	type key struct{}
	ctx := context.WithValue(t.Context(), key{}, "value")
	err := l.Do(ctx, 2, func(ctx context.Context) error {
		assert.Equal(t, capacity.Stats{Limit: 2, InUse: 2, Unnamed: 1}, l.Stats())
		assert.Equal(t, "value", ctx.Value(key{}))
		return errBoom
	})
	assert.Equal(t, errBoom, err)
	assert.Equal(t, capacity.Stats{Limit: 2}, l.Stats())
}

func TestDoReleasesIfItsFunctionDoesNotReturn(t *testing.T) {
	l := capacity.New(1)
	assert.Equal(t, errBoom, raised(func() {
		_ = l.Do(t.Context(), 1, func(context.Context) error { panic(errBoom) })
	}))
	assert.Equal(t, capacity.Stats{Limit: 1}, l.Stats())

	var exits sync.WaitGroup
	exits.Go(func() {
		_ = l.Do(context.Background(), 1, func(context.Context) error { runtime.Goexit(); return nil })
	})
	exits.Wait()
	assert.Equal(t, capacity.Stats{Limit: 1}, l.Stats())
}

func TestDoKeepsTheUnitsOfACallThatIsAbandoned(t *testing.T) {
	for name, inside := range map[string]func(ctx context.Context, blocks func(context.Context) error) error{
		"directly": func(ctx context.Context, blocks func(context.Context) error) error { return blocks(ctx) },
		"in a scope": func(ctx context.Context, blocks func(context.Context) error) error {
			return traigo.Run(ctx, func(_ context.Context, s *traigo.Scope) error { s.Spawn(blocks); return nil })
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := capacity.New(2)
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				start := time.Now()
				err := l.Do(ctx, 2, func(ctx context.Context) error {
					return inside(ctx, traigo.Blocking(func() error { time.Sleep(time.Minute); return nil }))
				})
				require.ErrorIs(t, err, context.DeadlineExceeded)
				assert.Equal(t, time.Second, time.Since(start))
				assert.Equal(t, capacity.Stats{Limit: 2, InUse: 2, Unnamed: 1}, l.Stats())

				require.NoError(t, l.Do(t.Context(), 1, func(context.Context) error { return nil }))
				assert.Equal(t, time.Minute, time.Since(start))
				assert.Equal(t, capacity.Stats{Limit: 2}, l.Stats())
			})
		})
	}
}

func TestDoKeepsTheUnitsOfAllLimitersAndForAllCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		outer, inner, elsewhere := capacity.New(1), capacity.New(1), capacity.New(1)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		lasts := func(d time.Duration) func(context.Context) error {
			return traigo.Blocking(func() error { time.Sleep(d); return nil })
		}
		inUse := func() []int { return []int{outer.Stats().InUse, inner.Stats().InUse, elsewhere.Stats().InUse} }
		_ = outer.Do(ctx, 1, func(ctx context.Context) error {
			_ = elsewhere.Do(ctx, 1, func(context.Context) error { return nil })
			_ = inner.Do(ctx, 1, lasts(time.Minute))
			return lasts(time.Hour)(context.WithoutCancel(ctx))
		})
		assert.Equal(t, []int{0, 0, 0}, inUse(), "the first call has ended meanwhile")

		start := time.Now()
		ctx, cancel = context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_ = outer.Do(ctx, 1, func(ctx context.Context) error {
			return traigo.Run(ctx, func(_ context.Context, s *traigo.Scope) error {
				s.Spawn(func(ctx context.Context) error { return inner.Do(ctx, 1, lasts(time.Minute)) })
				s.Spawn(lasts(time.Hour))
				return nil
			})
		})
		require.Equal(t, time.Second, time.Since(start))
		assert.Equal(t, []int{1, 1, 0}, inUse())
		time.Sleep(time.Minute)
		assert.Equal(t, []int{1, 0, 0}, inUse())
		time.Sleep(time.Hour)
		assert.Equal(t, []int{0, 0, 0}, inUse())
	})
}

// The call ends in the moment in which it would be abandoned.
func TestDoReleasesAtOnceIfTheCallHasEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := capacity.New(1)
		for range 100 {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			_ = l.Do(ctx, 1, traigo.Blocking(func() error { time.Sleep(time.Second); return nil }))
			synctest.Wait()
			require.Equal(t, capacity.Stats{Limit: 1}, l.Stats())
			cancel()
		}
	})
}

// The function of Do has stored its context, which is used after the release.
func TestDoKeepsNothingOnceItHasReleased(t *testing.T) {
	l := capacity.New(2)
	var left context.Context
	require.NoError(t, l.Do(t.Context(), 2, func(ctx context.Context) error {
		left = ctx //nolint:fatcontext // to be used when Do has returned
		return nil
	}))
	release := hold.Keep(left)
	assert.Equal(t, capacity.Stats{Limit: 2}, l.Stats(), "there is nothing to keep")
	taken(t, l, 2)
	release()
	release()
	assert.Equal(t, 2, l.Stats().InUse, "the units are those of another")
}

// While one call keeps the units, another can keep them too, also after the return of Do.
func TestDoKeepsAfterItHasReturnedWhatIsStillHeld(t *testing.T) {
	l := capacity.New(2)
	var left context.Context
	var first func()
	require.NoError(t, l.Do(t.Context(), 2, func(ctx context.Context) error {
		left = ctx //nolint:fatcontext // to be used when Do has returned
		first = hold.Keep(ctx)
		return nil
	}))
	second := hold.Keep(left)
	first()
	first()
	assert.Equal(t, 2, l.Stats().InUse, "a second call of the first release has no effect")
	second()
	assert.Equal(t, capacity.Stats{Limit: 2}, l.Stats())
	hold.Keep(left)()
	assert.Equal(t, capacity.Stats{Limit: 2}, l.Stats())
}

func TestAcquireKeepsNothingForCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := capacity.New(1)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		release, err := l.Acquire(ctx, 1)
		require.NoError(t, err)
		require.Error(t, traigo.Blocking(func() error { time.Sleep(time.Minute); return nil })(ctx))
		release()
		assert.Equal(t, capacity.Stats{Limit: 1}, l.Stats())
		time.Sleep(time.Minute)
	})
}

func TestSetLimitLetsInAtOnceAndStopsNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := capacity.New(0)
		var calls []*call
		for range 10 {
			calls = append(calls, acquire(t, l, 1))
		}
		holding := func() (n int) {
			for _, c := range calls {
				if c.holds() {
					n++
				}
			}
			return n
		}
		assert.Equal(t, 0, holding())
		assert.Equal(t, capacity.Stats{Waiting: 10}, l.Stats())
		l.SetLimit(4)
		assert.Equal(t, 4, holding())
		l.SetLimit(7)
		assert.Equal(t, 7, holding())
		l.SetLimit(2)
		assert.Equal(t, 7, holding())
		assert.Equal(t, capacity.Stats{Limit: 2, InUse: 7, Waiting: 3, Unnamed: 7}, l.Stats())
		for _, c := range calls[:5] {
			c.release()
		}
		assert.True(t, calls[7].waits(), "two are in use")
		_, ok := l.TryAcquire(1)
		assert.False(t, ok)
		calls[5].release()
		assert.True(t, calls[7].holds())
		assert.True(t, calls[8].waits())
		l.SetLimit(0)
		calls[6].release()
		calls[7].release()
		assert.True(t, calls[8].waits())
		assert.Equal(t, capacity.Stats{Waiting: 2}, l.Stats())
	})
}

func TestZeroLimiterHasNoUnits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l capacity.Limiter
		assert.Equal(t, capacity.Stats{}, l.Stats())
		_, ok := l.TryAcquire(1)
		assert.False(t, ok)
		c := acquire(t, &l, 1)
		assert.True(t, c.waits())
		l.SetLimit(1)
		assert.True(t, c.holds())
		c.release()
	})
}

func TestStatsNameTheHolders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := capacity.New(6)
		taken(t, l, 1)
		takes := func(ctx context.Context) {
			_, err := l.Acquire(ctx, 1)
			assert.NoError(t, err)
		}
		require.NoError(t, traigo.Run(t.Context(), func(ctx context.Context, s *traigo.Scope) error {
			takes(ctx)
			return s.Spawn(func(ctx context.Context) error {
				takes(ctx)
				takes(ctx)
				return traigo.Run(ctx, func(ctx context.Context, _ *traigo.Scope) error { takes(ctx); return nil }, traigo.Name("inner"))
			}, traigo.Name("task")).Wait(ctx)
		}, traigo.Name("app")))
		takes(t.Context())
		assert.Equal(t, capacity.Stats{
			Limit: 6, InUse: 6,
			Holders: []string{"app", "app/task", "app/task", "app/task"},
			Unnamed: 2,
		}, l.Stats())
	})
}

// The order of Holders is not that of the calls.
func TestStatsNameHoldersInTheOrderInWhichTheyGotTheirUnits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := capacity.New(1)
		s := traigo.New(t.Context(), traigo.Name("s"))
		spawn := func(name string, n int, d time.Duration) {
			s.Spawn(func(ctx context.Context) error {
				return l.Do(ctx, n, func(context.Context) error { time.Sleep(d); return nil })
			}, traigo.Name(name))
			synctest.Wait()
		}
		spawn("a", 1, 2*time.Second)
		spawn("b", 1, time.Second)
		spawn("c", 2, time.Second)
		assert.Equal(t, []string{"s/a"}, l.Stats().Holders)
		l.SetLimit(3)
		assert.Equal(t, []string{"s/a", "s/b"}, l.Stats().Holders)
		time.Sleep(time.Second)
		synctest.Wait()
		assert.Equal(t, []string{"s/a", "s/c"}, l.Stats().Holders)
		require.NoError(t, s.Wait())
		assert.Empty(t, l.Stats().Holders)
	})
}

func TestWaitIsLoggedOnceWithTheHolders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := defaultLog(t)
		l := capacity.New(3)
		s := traigo.New(t.Context(), traigo.Name("app"))
		taken(t, l, 1)
		for _, name := range []string{"a", "b"} {
			s.Spawn(func(ctx context.Context) error {
				return l.Do(ctx, 1, func(ctx context.Context) error { return traigo.Sleep(ctx, time.Hour) })
			}, traigo.Name(name))
			synctest.Wait()
		}
		s.Spawn(func(ctx context.Context) error {
			return l.Do(ctx, 2, func(context.Context) error { return nil })
		}, traigo.Name("waits"))
		time.Sleep(10*time.Second - 1)
		assert.Empty(t, log.lines())
		time.Sleep(time.Minute)
		assert.Equal(t, []string{
			`level=WARN msg="traigo: capacity: a caller has waited 10s for units" waiter=app/waits units=2 limit=3 in_use=3 holders="[app/a app/b 1 not named]"`,
		}, log.lines())

		acquire(t, l, 7).cancel(nil)
		c := acquire(t, l, 7)
		time.Sleep(10 * time.Second)
		assert.True(t, c.waits())
		require.Len(t, log.lines(), 2, "another caller; who was canceled before is not logged")
		assert.Contains(t, log.lines()[1], "waiter=unknown units=7 limit=3")
		require.NoError(t, s.Close())
	})
}

func TestWaitIsLoggedWithSomeOfManyHolders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := defaultLog(t)
		l := capacity.New(1000)
		s := traigo.New(t.Context(), traigo.Name("app"))
		for i := range 1000 {
			s.Spawn(func(ctx context.Context) error {
				return l.Do(ctx, 1, func(ctx context.Context) error { return traigo.Sleep(ctx, time.Hour) })
			}, traigo.Name(fmt.Sprint(i)))
		}
		synctest.Wait()
		acquire(t, l, 1)
		time.Sleep(10 * time.Second)
		synctest.Wait()
		require.Len(t, log.lines(), 1)
		assert.Equal(t, 16, strings.Count(log.lines()[0], "app/"))
		assert.Contains(t, log.lines()[0], "984 not named]")
		require.NoError(t, s.Close())
	})
}

// foreignContext calls f in each of its methods.
type foreignContext struct {
	context.Context //nolint:containedctx // it is one
	f               func()
}

func (c foreignContext) Done() <-chan struct{} { c.f(); return c.Context.Done() }
func (c foreignContext) Err() error            { c.f(); return c.Context.Err() }
func (c foreignContext) Value(key any) any     { c.f(); return c.Context.Value(key) }

func TestNothingForeignIsCalledUnderTheLock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := capacity.New(1)
		var looked atomic.Int32
		look := func() { looked.Add(1); l.Stats() } // waits for ever under the lock
		setDefaultLog(t, handler(look))
		ctx := foreignContext{t.Context(), look}
		require.NoError(t, l.Do(ctx, 1, func(ctx context.Context) error {
			c := acquireWith(foreignContext{t.Context(), look}, nil, l, 1)
			before := looked.Load()
			time.Sleep(time.Minute)
			assert.Greater(t, looked.Load(), before, "it was logged")
			time.AfterFunc(time.Second, func() { <-c.returned; c.release() })
			return ctx.Err()
		}))
		time.Sleep(time.Minute)
		assert.Equal(t, capacity.Stats{Limit: 1}, l.Stats())
	})
}

func TestWaitSurvivesALogHandlerThatPanics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		setDefaultLog(t, handler(func() { panic(errBoom) }))
		l := capacity.New(0)
		c := acquire(t, l, 1)
		time.Sleep(time.Minute)
		assert.True(t, c.waits())
		l.SetLimit(1)
		assert.True(t, c.holds())
		c.release()
	})
}

// A goroutine that exits or panics inside Acquire leaves no claim behind, to which units
// would be granted that are never released.
func TestWaitLeavesNothingBehindIfItDoesNotReturn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		setDefaultLog(t, handler(runtime.Goexit))
		l := capacity.New(0)
		exits := acquire(t, l, 1)
		time.Sleep(time.Minute)
		assert.False(t, exits.waits())
		assert.Nil(t, exits.release)

		var waits atomic.Bool
		panicked := make(chan any)
		go func() {
			panicked <- raised(func() {
				_, _ = l.Acquire(foreignContext{t.Context(), func() {
					if waits.Load() {
						panic(errOuter)
					}
				}}, 1)
			})
		}()
		synctest.Wait()
		require.Equal(t, 1, l.Stats().Waiting)
		waits.Store(true)
		l.SetLimit(1)
		assert.Equal(t, errOuter, <-panicked)
		assert.Equal(t, capacity.Stats{Limit: 1}, l.Stats())
	})
}

func TestMisuseIsSaid(t *testing.T) {
	var none *capacity.Limiter
	var noContext context.Context
	l := capacity.New(1)
	nothing := func(context.Context) error { return nil }
	for says, f := range map[string]func(){
		"capacity.New(-1)":                              func() { capacity.New(-1) },
		"capacity.Limiter.SetLimit(-1)":                 func() { l.SetLimit(-1) },
		"capacity.Limiter.Acquire of 0 units":           func() { _, _ = l.Acquire(t.Context(), 0) },
		"capacity.Limiter.TryAcquire of 0 units":        func() { _, _ = l.TryAcquire(0) },
		"capacity.Limiter.Do of -7 units":               func() { _ = l.Do(t.Context(), -7, nothing) },
		"capacity.Limiter.Acquire: nil context":         func() { _, _ = l.Acquire(noContext, 1) },
		"capacity.Limiter.Do: nil context":              func() { _ = l.Do(noContext, 1, nothing) },
		"capacity.Limiter.Do: nil function":             func() { _ = l.Do(t.Context(), 1, nil) },
		"capacity.Limiter.Acquire on a nil *Limiter":    func() { _, _ = none.Acquire(t.Context(), 1) },
		"capacity.Limiter.TryAcquire on a nil *Limiter": func() { _, _ = none.TryAcquire(1) },
		"capacity.Limiter.Do on a nil *Limiter":         func() { _ = none.Do(t.Context(), 1, nothing) },
		"capacity.Limiter.SetLimit on a nil *Limiter":   func() { none.SetLimit(1) },
		"capacity.Limiter.Stats on a nil *Limiter":      func() { none.Stats() },
	} {
		assertMisuse(t, says, f)
	}
	assert.Equal(t, capacity.Stats{Limit: 1}, l.Stats())
}

// Package live finds there who holds units and who waits for them.
func TestALimiterIsKnownWhileACallerWaitsForLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := capacity.New(2)
		s := traigo.New(t.Context(), traigo.Name("server"))
		for _, name := range []string{"a", "b", "c", "d"} {
			s.Spawn(func(ctx context.Context) error {
				return l.Do(ctx, 1, func(ctx context.Context) error { return traigo.Sleep(ctx, time.Second) })
			}, traigo.Name(name))
			synctest.Wait()
		}
		assert.Empty(t, limits.States(10, 5), "most waits are short")
		time.Sleep(200 * time.Millisecond)
		assert.Equal(t, []limits.State{{
			Limit: 2, InUse: 2, Holders: []string{"server/a", "server/b"}, Waiting: 2, Waiters: []string{"server/c", "server/d"},
		}}, limits.States(10, 5))
		assert.Equal(t, []string{"server/a"}, limits.States(10, 1)[0].Holders)
		time.Sleep(time.Second)
		synctest.Wait()
		assert.Empty(t, limits.States(10, 5))
		time.Sleep(time.Second)
		_, ok := l.TryAcquire(2)
		assert.True(t, ok)
		assert.True(t, acquire(t, l, 1).waits())
		assert.Empty(t, limits.States(10, 5), "it is forgotten, though somebody waits for a moment")
		require.NoError(t, s.Wait())
	})
}
