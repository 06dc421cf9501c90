package traigo_test

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo"
)

// gauge tells how much was in use at most.
type gauge struct{ now, most atomic.Int64 }

func (g *gauge) during(n int, f func()) {
	now := g.now.Add(int64(n))
	for most := g.most.Load(); most < now && !g.most.CompareAndSwap(most, now); most = g.most.Load() {
	}
	f()
	g.now.Add(int64(-n))
}

func TestLimiterIsSharedByScopes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		limiter := traigo.NewLimiter(3)
		var use gauge
		requireTime(t, 4*time.Second, func() {
			require.NoError(t, traigo.Run(t.Context(), func(ctx context.Context, s *traigo.Scope) error {
				for range 4 {
					f := s.Fork(traigo.LimitedBy(limiter))
					go func() {
						for range 3 {
							f.Spawn(func(context.Context) error {
								use.during(1, func() { time.Sleep(time.Second) })
								return nil
							})
						}
						f.Finalize()
					}()
				}
				return nil
			}))
		})
		assert.EqualValues(t, 3, use.most.Load())
		assert.Equal(t, traigo.LimiterStats{Limit: 3}, limiter.Stats(), "all is given back")
	})
}

func TestLimiterCountsWeights(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		limiter := traigo.NewLimiter(5)
		var use gauge
		s := traigo.New(t.Context(), traigo.LimitedBy(limiter))
		weigh := func(n int) *traigo.Task {
			return s.Spawn(func(context.Context) error {
				use.during(n, func() { time.Sleep(time.Second) })
				return nil
			}, traigo.Weight(n))
		}
		first, second := weigh(3), weigh(2)
		assert.Equal(t, traigo.LimiterStats{Limit: 5, InUse: 5, Tasks: []string{first.Path(), second.Path()}}, limiter.Stats())
		requireTime(t, time.Second, func() { weigh(5) })
		requireTime(t, time.Second, func() { weigh(1) })
		require.NoError(t, s.Wait())
		assert.EqualValues(t, 5, use.most.Load())
	})
}

// Or those who need much would wait for ever.
func TestLimiterServesWhoComesFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		limiter := traigo.NewLimiter(2)
		s := traigo.New(t.Context(), traigo.LimitedBy(limiter))
		s.Spawn(lasting(time.Second))
		var order []string
		spawned := func(name string, n int) {
			s.Spawn(func(context.Context) error {
				order = append(order, name)
				return traigo.Sleep(t.Context(), time.Second)
			}, traigo.Weight(n))
		}
		go spawned("large", 2)
		synctest.Wait()
		_, ok := s.TrySpawn(succeed)
		assert.False(t, ok, "there is room, but somebody waits for it")
		assert.Equal(t, 1, limiter.Stats().Waiting)
		spawned("small", 1)
		require.NoError(t, s.Wait())
		assert.Equal(t, []string{"large", "small"}, order)
	})
}

func TestLimiterChangesWhileItRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		limiter := traigo.NewLimiter(0)
		s := traigo.New(t.Context(), traigo.LimitedBy(limiter))
		for range 10 {
			go s.Spawn(lasting(time.Hour))
		}
		running := func() int { synctest.Wait(); return len(s.Snapshot().Tasks) }
		assert.Zero(t, running(), "none may run")
		assert.Equal(t, 10, s.Snapshot().Waiting)
		limiter.SetLimit(4)
		assert.Equal(t, 4, running())
		limiter.SetLimit(7)
		assert.Equal(t, 7, running())
		limiter.SetLimit(2)
		assert.Equal(t, 7, running(), "nobody is stopped")
		assert.Equal(t, 7, limiter.Stats().InUse)
		time.Sleep(time.Hour)
		assert.Equal(t, 2, running())
		require.NoError(t, s.Close())
		synctest.Wait()
		assert.Equal(t, traigo.LimiterStats{Limit: 2}, limiter.Stats())
	})
}

func TestLimiterStandsBesideOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		narrow, wide := traigo.NewLimiter(2), traigo.NewLimiter(3)
		a := traigo.New(t.Context(), traigo.LimitedBy(wide), traigo.LimitedBy(narrow), traigo.Limit(9), traigo.LimitedBy(wide))
		b := traigo.New(t.Context(), traigo.LimitedBy(narrow), traigo.LimitedBy(wide), traigo.Limit(1))
		var inA, inB, all gauge
		use := func(g *gauge) func(context.Context) error {
			return func(context.Context) error {
				g.during(1, func() { all.during(1, func() { time.Sleep(time.Second) }) })
				return nil
			}
		}
		go func() {
			for range 10 {
				b.Spawn(use(&inB))
			}
			b.Finalize()
		}()
		for range 10 {
			a.Spawn(use(&inA))
		}
		require.NoError(t, a.Wait())
		<-b.Done()
		require.NoError(t, b.Err())
		assert.LessOrEqual(t, inA.most.Load(), int64(2))
		assert.EqualValues(t, 1, inB.most.Load())
		assert.EqualValues(t, 2, all.most.Load())
		assert.Zero(t, narrow.Stats().InUse+wide.Stats().InUse)
	})
}

func TestLimiterRefusesWhoIsBlockedWhenTheScopeIsCanceled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		limiter := traigo.NewLimiter(1)
		other := traigo.New(t.Context(), traigo.LimitedBy(limiter))
		other.Spawn(lasting(time.Hour))
		s := traigo.New(t.Context(), traigo.LimitedBy(limiter), traigo.Limit(5))
		refused := make(chan error)
		go func() { refused <- s.Spawn(succeed).Err() }()
		synctest.Wait()
		s.Cancel(errBoom)
		err := <-refused
		require.ErrorIs(t, err, traigo.ErrRefused)
		require.ErrorIs(t, err, errBoom)
		require.ErrorIs(t, s.Wait(), errBoom)
		_, ok := other.TrySpawn(succeed)
		assert.False(t, ok)
		require.NoError(t, other.Close())
		assert.Zero(t, limiter.Stats().InUse)
		assert.Zero(t, limiter.Stats().Waiting)
	})
}

func TestLimiterRefusesWhatCanNeverFit(t *testing.T) {
	s := traigo.New(t.Context(), traigo.Limit(3))
	requireMisuse(t, func() { s.Spawn(succeed, traigo.Weight(4)) })
	requireMisuse(t, func() { s.TrySpawn(succeed, traigo.Weight(4)) })
	requireMisuse(t, func() {
		_, _ = s.Start(t.Context(), func(context.Context, func()) error { return nil }, traigo.Weight(4))
	})
	require.NoError(t, s.Close())
}

// It may come to fit.
func TestLimiterLetsInWhatIsTooHeavyWhenItGrows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		book := newRecords()
		limiter := traigo.NewLimiter(3)
		s := traigo.New(t.Context(), traigo.LimitedBy(limiter), traigo.Logger(book.logger()))
		go func() {
			time.Sleep(time.Minute)
			limiter.SetLimit(4)
		}()
		requireTime(t, time.Minute, func() { require.NoError(t, s.Spawn(succeed, traigo.Weight(4)).Wait(t.Context())) })
		require.NoError(t, s.Close())
		warned := book.from(slog.LevelWarn)
		require.Len(t, warned, 1)
		assert.Contains(t, warned[0].Text, "a weight of 4 is more than the limit of 3, only SetLimit can let it in")
	})
}

// A finalizing scope stays for those who wait for room in it.
func TestLimiterKeepsAScopeForWhoIsBlocked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		limiter := traigo.NewLimiter(1)
		other := traigo.New(t.Context(), traigo.LimitedBy(limiter))
		other.Spawn(lasting(time.Minute))
		s := traigo.New(t.Context(), traigo.LimitedBy(limiter))
		go s.Spawn(lasting(time.Minute))
		synctest.Wait()
		requireTime(t, 2*time.Minute, func() { require.NoError(t, s.Wait()) })
		require.NoError(t, other.Wait())
	})
}

func TestLimiterGetsBackWhatAStuckTaskHas(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release, free := newRelease()
		limiter := traigo.NewLimiter(2)
		s := traigo.New(t.Context(), traigo.LimitedBy(limiter), traigo.CancelTimeout(time.Second), discard())
		s.Spawn(deaf(release), traigo.Weight(2))
		synctest.Wait()
		require.Len(t, stuckTasks(s.Close()), 1)
		assert.Zero(t, limiter.Stats().InUse)
		free()
		synctest.Wait()
		assert.Zero(t, limiter.Stats().InUse, "not twice")
	})
}

// tree runs a task that waits, in one of the ways there are, for two of its own,
// which do the same.
func TestLimiterIsLentByWhoWaitsForItsOwn(t *testing.T) {
	type ways = func(ctx context.Context, limiter *traigo.Limiter, below func(context.Context) error) error
	for name, way := range map[string]ways{
		"Run": func(ctx context.Context, limiter *traigo.Limiter, below func(context.Context) error) error {
			return traigo.Run(ctx, func(_ context.Context, s *traigo.Scope) error {
				s.Spawn(below)
				s.Spawn(below)
				return nil
			}, traigo.LimitedBy(limiter))
		},
		"Fork and Wait": func(ctx context.Context, limiter *traigo.Limiter, below func(context.Context) error) error {
			f := traigo.Current(ctx).Fork(traigo.LimitedBy(limiter))
			f.Spawn(below)
			f.Spawn(below)
			return f.Wait()
		},
		"Task.Wait": func(ctx context.Context, limiter *traigo.Limiter, below func(context.Context) error) error {
			f := traigo.Current(ctx).Fork(traigo.LimitedBy(limiter))
			defer f.Finalize()
			if err := f.Spawn(below).Wait(ctx); err != nil {
				return err
			}
			return traigo.Current(ctx).Spawn(below).Wait(ctx)
		},
		"Await, in New and Close": func(ctx context.Context, limiter *traigo.Limiter, below func(context.Context) error) error {
			s := traigo.New(ctx, traigo.LimitedBy(limiter))
			value := func(ctx context.Context) (int, error) { return 0, below(ctx) }
			_, err := traigo.Async(s, value).Await(ctx)
			_, again := traigo.Async(s, value).Await(ctx)
			return errors.Join(err, again, s.Close())
		},
		"Start and Shutdown": func(ctx context.Context, limiter *traigo.Limiter, below func(context.Context) error) error {
			s := traigo.New(ctx, traigo.LimitedBy(limiter))
			for range 2 {
				if _, err := s.Start(ctx, func(ctx context.Context, ready func()) error { defer ready(); return below(ctx) }); err != nil {
					return err
				}
			}
			return s.Shutdown(context.Background())
		},
		"AsCompleted": func(ctx context.Context, limiter *traigo.Limiter, below func(context.Context) error) error {
			for _, err := range traigo.AsCompleted(ctx, slices.Values([]int{1, 2}), func(ctx context.Context, _ int) (int, error) {
				return 0, below(ctx)
			}, traigo.LimitedBy(limiter)) {
				if err != nil {
					return err
				}
			}
			return nil
		},
		"Run, with a limit of its own": func(ctx context.Context, limiter *traigo.Limiter, below func(context.Context) error) error {
			return traigo.Run(ctx, func(_ context.Context, s *traigo.Scope) error {
				s.Spawn(below)
				s.Spawn(below)
				return nil
			}, traigo.LimitedBy(limiter), traigo.Limit(1))
		},
		"Map, with a limit of its own": func(ctx context.Context, limiter *traigo.Limiter, below func(context.Context) error) error {
			_, err := traigo.Map(ctx, slices.Values([]int{1, 2}), func(ctx context.Context, _ int) (int, error) {
				return 0, below(ctx)
			}, traigo.LimitedBy(limiter), traigo.Limit(1))
			return err
		},
		"Map": func(ctx context.Context, limiter *traigo.Limiter, below func(context.Context) error) error {
			_, err := traigo.Map(ctx, slices.Values([]int{1, 2}), func(ctx context.Context, _ int) (int, error) {
				return 0, below(ctx)
			}, traigo.LimitedBy(limiter))
			return err
		},
	} {
		for _, limit := range []int{1, 2, 5} {
			t.Run(name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					limiter := traigo.NewLimiter(limit)
					var leaves gauge
					var ran atomic.Int32
					var node func(depth int) func(context.Context) error
					node = func(depth int) func(context.Context) error {
						return func(ctx context.Context) error {
							if depth == 0 {
								leaves.during(1, func() { time.Sleep(time.Second) })
								ran.Add(1)
								return nil
							}
							return way(ctx, limiter, node(depth-1))
						}
					}
					s := traigo.New(t.Context(), traigo.LimitedBy(limiter))
					s.Spawn(node(5))
					require.NoError(t, s.Wait())
					assert.EqualValues(t, 32, ran.Load())
					assert.LessOrEqual(t, leaves.most.Load(), int64(limit))
					assert.Zero(t, limiter.Stats().InUse)
				})
			})
		}
	}
}

// Who has lent its units and is canceled goes on without them, and has nothing to
// give back.
func TestLimiterIsNotWaitedForByWhoIsCanceled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		limiter := traigo.NewLimiter(1)
		s := traigo.New(t.Context(), traigo.LimitedBy(limiter))
		f := s.Fork(traigo.LimitedBy(limiter))
		s.Spawn(func(ctx context.Context) error {
			_ = f.Spawn(cleaning(time.Hour, nil)).Wait(ctx)
			return ctx.Err()
		})
		synctest.Wait()
		requireTime(t, time.Hour, func() { require.NoError(t, s.Close()) })
		assert.Equal(t, traigo.LimiterStats{Limit: 1}, limiter.Stats())
	})
}

// It lends all it has: what it kept, somebody might wait for who has got the rest.
func TestLimiterIsLentWithAllOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := traigo.NewLimiter(1), traigo.NewLimiter(1)
		below := func(l *traigo.Limiter) func(context.Context) error {
			return func(ctx context.Context) error {
				return traigo.Run(ctx, func(_ context.Context, s *traigo.Scope) error {
					s.Spawn(lasting(time.Second))
					return nil
				}, traigo.LimitedBy(l))
			}
		}
		both := traigo.New(t.Context(), traigo.LimitedBy(a), traigo.LimitedBy(b))
		onlyA := traigo.New(t.Context(), traigo.LimitedBy(a))
		both.Spawn(func(ctx context.Context) error { time.Sleep(time.Second); return below(a)(ctx) })
		go onlyA.Spawn(below(b))
		time.Sleep(time.Minute)
		assert.Zero(t, a.Stats().InUse+b.Stats().InUse)
		require.NoError(t, both.Wait())
		require.NoError(t, onlyA.Wait())
	})
}

// Whoever stops waiting goes on, and may be the one who frees what it has lent.
func TestLimiterIsNotWaitedForByWhoStopsWaiting(t *testing.T) {
	soon := func(ctx context.Context) (context.Context, context.CancelFunc) {
		return context.WithTimeout(ctx, time.Second)
	}
	for name, wait := range map[string]func(ctx context.Context, other *traigo.Scope){
		"Shutdown": func(ctx context.Context, other *traigo.Scope) {
			other.Spawn(untilCanceled)
			go other.Spawn(untilCanceled)
			synctest.Wait()
			soft, cancel := soon(context.WithoutCancel(ctx))
			defer cancel()
			_ = other.Shutdown(soft)
		},
		"Start": func(ctx context.Context, other *traigo.Scope) {
			other.Spawn(untilCanceled)
			soft, cancel := soon(ctx)
			defer cancel()
			_, err := other.Start(soft, func(ctx context.Context, _ func()) error { return untilCanceled(ctx) })
			assert.ErrorIs(t, err, context.DeadlineExceeded)
		},
		"Wait": func(ctx context.Context, other *traigo.Scope) {
			task := other.Spawn(untilCanceled)
			go other.Spawn(untilCanceled)
			synctest.Wait()
			soft, cancel := soon(ctx)
			defer cancel()
			assert.ErrorIs(t, task.Wait(soft), context.DeadlineExceeded)
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				limiter := traigo.NewLimiter(2)
				s := traigo.New(t.Context(), traigo.LimitedBy(limiter))
				other := traigo.New(t.Context(), traigo.LimitedBy(limiter))
				begin := time.Now()
				s.Spawn(func(ctx context.Context) error {
					wait(ctx, other)
					assert.Equal(t, time.Second, time.Since(begin))
					return nil
				})
				time.Sleep(time.Minute)
				_ = other.Close()
				require.NoError(t, s.Wait())
				assert.Zero(t, limiter.Stats().InUse)
			})
		})
	}
}

// The item cannot be pulled while somebody further up, who waits for the loop, has
// what it needs. Nobody knows that, so it is said, once.
func TestLimiterNamesWhoHasItWhenNothingIsPulled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		book := newRecords()
		limiter := traigo.NewLimiter(1)
		s := traigo.New(t.Context(), traigo.Name("above"), traigo.LimitedBy(limiter), traigo.Logger(book.logger()))
		s.Spawn(func(ctx context.Context) error {
			return traigo.Run(ctx, func(_ context.Context, between *traigo.Scope) error {
				between.Spawn(func(ctx context.Context) error {
					_, err := traigo.Map(ctx, slices.Values([]int{1}), func(context.Context, int) (int, error) { return 0, nil }, traigo.LimitedBy(limiter))
					return err
				})
				return nil
			})
		}, traigo.Name("holder"))
		time.Sleep(time.Hour)
		warned := book.from(slog.LevelWarn)
		require.Len(t, warned, 1)
		assert.True(t, mentions(warned[0].Text, "the limit of 1 is reached", `"above/holder"`), warned[0].Text)
		require.NoError(t, s.Close())
	})
}

// What cannot be lent is said.
func TestLimiterNamesWhoHasItWhenThatTakesLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		book := newRecords()
		limiter := traigo.NewLimiter(1)
		s := traigo.New(t.Context(), traigo.Name("crowded"), traigo.LimitedBy(limiter), traigo.Logger(book.logger()))
		s.Spawn(lasting(time.Minute), traigo.Name("greedy"))
		s.Spawn(succeed)
		require.NoError(t, s.Wait())
		warned := book.from(slog.LevelWarn)
		require.Len(t, warned, 1)
		assert.True(t, mentions(warned[0].Text, "blocked for 10s", "the limit of 1 is reached", `"crowded/greedy"`), warned[0].Text)
	})
}

func TestLimiterRefusesBadInput(t *testing.T) {
	requireMisuse(t, func() { traigo.NewLimiter(-1) })
	requireMisuse(t, func() { traigo.NewLimiter(1).SetLimit(-1) })
	requireMisuse(t, func() { traigo.LimitedBy(nil) })
	requireMisuse(t, func() { traigo.LimitedBy(new(traigo.Limiter)) })
	requireMisuse(t, func() { new(traigo.Limiter).SetLimit(1) })
	requireMisuse(t, func() { new(traigo.Limiter).Stats() })
	requireMisuse(t, func() { traigo.Weight(0) })
}

// It has lent its units, and is given up while it waits: it has none to take back.
func TestLimiterOwesNothingToWhoWasGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release, free := newRelease()
		limiter := traigo.NewLimiter(1)
		other := traigo.New(t.Context(), traigo.LimitedBy(limiter))
		s := traigo.New(t.Context(), traigo.LimitedBy(limiter), traigo.CancelTimeout(time.Second), discard())
		s.Spawn(func(context.Context) error {
			return other.Spawn(deaf(release)).Wait(context.Background())
		})
		synctest.Wait()
		require.Len(t, stuckTasks(s.Close()), 1)
		assert.Equal(t, 1, limiter.Stats().InUse, "by the other")
		free()
		synctest.Wait()
		assert.Zero(t, limiter.Stats().InUse)
		require.NoError(t, other.Close())
	})
}

// Who stood behind somebody that wanted too much is let in when that one leaves.
func TestLimiterLetsInWhoStoodBehindWhoLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := traigo.New(t.Context(), traigo.LimitedBy(traigo.NewLimiter(2)))
		s.Spawn(untilCanceled)
		begin := time.Now()
		left := make(chan error, 1)
		go func() {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			_, err := s.Start(ctx, func(context.Context, func()) error { return nil }, traigo.Weight(2))
			left <- err
		}()
		synctest.Wait()
		require.NoError(t, s.Spawn(succeed).Wait(t.Context()))
		assert.Equal(t, time.Second, time.Since(begin))
		require.ErrorIs(t, <-left, context.DeadlineExceeded)
		require.NoError(t, s.Close())
	})
}
