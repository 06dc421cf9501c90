package bench

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/traigo/traigo"
)

// The works of what users do all day: each way does the whole work.

func TestEveryTeamRunsAllOfItsTasks(t *testing.T) {
	for _, team := range teams {
		t.Run(team.name, func(t *testing.T) {
			var runs atomic.Int32
			run := team.team(100, jobOf(func() { runs.Add(1) }))
			under(true, run)(2)
			assert.EqualValues(t, 200, runs.Load())
		})
	}
}

// A gauge knows how many functions run, and how many ran at most.
type gauge struct{ running, most, all atomic.Int32 }

func (g *gauge) run() {
	n := g.running.Add(1)
	for old := g.most.Load(); n > old && !g.most.CompareAndSwap(old, n); old = g.most.Load() {
	}
	g.all.Add(1)
	time.Sleep(time.Millisecond)
	g.running.Add(-1)
}

func (g *gauge) fn(_ context.Context, item int) (int, error) {
	g.run()
	return -item, nil
}

func TestEveryLimitIsKept(t *testing.T) {
	for _, l := range limitings {
		t.Run(l.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var g gauge
				l.limiting(20, 4, jobOf(g.run))
				assert.EqualValues(t, 20, g.all.Load())
				assert.EqualValues(t, 4, g.most.Load())
			})
		})
	}
}

// The groups wait for their tasks, so those that are idle have been canceled.
func TestEveryFailureIsReturned(t *testing.T) {
	for _, f := range failures {
		t.Run(f.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				assert.ErrorIs(t, f.failure(4)(), errFailed)
			})
		})
	}
}

// after returns a function that returns these results after some milliseconds, or the
// error of its context before.
func after(milliseconds int, value int, err error) function {
	return func(ctx context.Context) (int, error) {
		select {
		case <-time.After(time.Duration(milliseconds) * time.Millisecond):
			return value, err
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
}

func TestEveryAllCollects(t *testing.T) {
	for _, a := range alls {
		t.Run(a.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				got, err := a.all(t.Context(), after(3, 1, nil), after(2, 2, nil), after(1, 3, nil))
				assert.NoError(t, err)
				assert.Equal(t, []int{1, 2, 3}, got)

				begin := time.Now()
				got, err = a.all(t.Context(), after(3, 1, nil), after(1, 2, errFailed))
				assert.ErrorIs(t, err, errFailed)
				assert.Empty(t, got)
				assert.Equal(t, time.Millisecond, time.Since(begin), "the other one is canceled")
			})
		})
	}
}

func TestEveryRaceHasAWinner(t *testing.T) {
	for _, r := range races {
		t.Run(r.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				begin := time.Now()
				got, err := r.race(t.Context(), after(9, 1, nil), after(2, 2, nil), after(1, 3, errFailed))
				assert.NoError(t, err)
				assert.Equal(t, 2, got)
				assert.Equal(t, 2*time.Millisecond, time.Since(begin), "the loser is canceled")

				other := errors.New("other")
				_, err = r.race(t.Context(), after(1, 0, errFailed), after(2, 0, other))
				assert.ErrorIs(t, err, errFailed)
				assert.ErrorIs(t, err, other)
			})
		})
	}
}

func TestEveryRaceJoinsTheLosers(t *testing.T) {
	for _, r := range races {
		t.Run(r.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ended := false
				_, err := r.race(t.Context(), succeeds, func(context.Context) (int, error) {
					time.Sleep(time.Second)
					ended = true
					return 0, nil
				})
				assert.NoError(t, err)
				assert.True(t, ended)
			})
		})
	}
}

func TestEveryMapKeepsOrderAndLimit(t *testing.T) {
	for _, m := range maps {
		t.Run(m.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var g gauge
				got, err := m.each(t.Context(), numbers(20), g.fn, 4)
				assert.NoError(t, err)
				assert.Len(t, got, 20)
				assert.Equal(t, []int{-1, -2, -3}, got[:3])
				assert.EqualValues(t, 4, g.most.Load())

				_, err = m.each(t.Context(), numbers(20), func(_ context.Context, item int) (int, error) {
					if item == 7 {
						return 0, errFailed
					}
					return item, nil
				}, 4)
				assert.ErrorIs(t, err, errFailed)
			})
		})
	}
}

func TestEveryStreamPassesAllResultsOn(t *testing.T) {
	for _, s := range streams {
		t.Run(s.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var g gauge
				var got []int
				s.each(t.Context(), numbers(20), g.fn, 4, func(value int, err error) bool {
					assert.NoError(t, err)
					got = append(got, -value)
					return true
				})
				slices.Sort(got)
				assert.Equal(t, numbers(20), got)
				assert.EqualValues(t, 4, g.most.Load())
			})
		})
	}
}

// A goroutine that is left behind would fail the test.
func TestEveryStreamCanBeLeft(t *testing.T) {
	for _, s := range streams {
		t.Run(s.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var g gauge
				uses := 0
				s.each(t.Context(), numbers(100), g.fn, 4, func(int, error) bool {
					uses++
					return uses < 3
				})
				assert.Equal(t, 3, uses)
				assert.Zero(t, g.running.Load())
				assert.Less(t, g.all.Load(), int32(50))
			})
		})
	}
}

func TestEveryTimeoutExpires(t *testing.T) {
	for _, c := range timeouts {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				slow := func(ctx context.Context) error { return traigo.Sleep(ctx, time.Minute) }
				expired, err := c.call(t.Context(), time.Second, slow)
				assert.True(t, expired)
				assert.NoError(t, err)

				expired, err = c.call(t.Context(), time.Second, fails)
				assert.False(t, expired)
				assert.ErrorIs(t, err, errFailed)

				outer, cancel := context.WithCancel(t.Context())
				cancel()
				expired, err = c.call(outer, time.Second, slow)
				assert.False(t, expired)
				assert.ErrorIs(t, err, context.Canceled)
			})
		})
	}
}

func TestEveryKindOfTaskIsWaitedFor(t *testing.T) {
	for _, k := range kinds {
		t.Run(k.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				assert.NoError(t, k.bare(t.Context()))
				assert.NoError(t, traigo.Run(t.Context(), func(ctx context.Context, s *traigo.Scope) error {
					assert.NoError(t, k.task(ctx, s))
					assert.Empty(t, s.Snapshot().Tasks, "the task has ended")
					return nil
				}))
			})
		})
	}
}

func TestStallsAreMeasuredWhileAFunctionRuns(t *testing.T) {
	assert.NoError(t, traigo.Run(t.Context(), func(_ context.Context, s *traigo.Scope) error {
		called := false
		assert.GreaterOrEqual(t, longestStall(s, func() { called = true }), 0.0)
		assert.True(t, called)
		return nil
	}))
}

func TestHandOversEnd(t *testing.T) {
	synctest.Test(t, func(*testing.T) { handOvers(4)() })
}
