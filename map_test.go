package traigo_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"runtime"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo"
)

// naturals counts up for ever, and in pulled how far it has come.
func naturals(pulled *atomic.Int32) iter.Seq[int] {
	return func(yield func(int) bool) {
		for i := 0; ; i++ {
			pulled.Add(1)
			if !yield(i) {
				return
			}
		}
	}
}

func TestMapKeepsTheOrderOfTheItems(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		requireTime(t, 9*time.Second, func() {
			squares, err := traigo.Map(t.Context(), slices.Values([]int{9, 1, 5, 3}), func(ctx context.Context, n int) (int, error) {
				return n * n, traigo.Sleep(ctx, time.Duration(n)*time.Second)
			})
			require.NoError(t, err)
			require.Equal(t, []int{81, 1, 25, 9}, squares)
		})
	})
	empty, err := traigo.Map(t.Context(), slices.Values([]int{}), func(context.Context, int) (int, error) { return 0, nil })
	require.NoError(t, err)
	require.Empty(t, empty)
}

func TestMapPullsOnlyWhatItHasRoomFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var pulled, started, ended, most atomic.Int32
		_, err := traigo.Map(t.Context(), naturals(&pulled), func(ctx context.Context, n int) (int, error) {
			defer ended.Add(1)
			most.Store(max(most.Load(), started.Add(1)-ended.Load()))
			if err := traigo.Sleep(ctx, time.Second); err != nil {
				return 0, err
			}
			seen := pulled.Load() // before what has ended is looked at
			assert.LessOrEqual(t, seen, ended.Load()+8)
			if n == 100 {
				return 0, errBoom
			}
			return n, nil
		}, traigo.Limit(8), traigo.Name("numbers"))
		failed := outcome(t, err)
		require.ErrorIs(t, failed.Err, errBoom)
		assert.Equal(t, "numbers", failed.Scope)
		assert.Contains(t, as[*traigo.TaskError](t, failed.Err).Task, "[100]")
		assert.LessOrEqual(t, most.Load(), int32(8))
		assert.LessOrEqual(t, pulled.Load(), int32(116), "nothing is pulled after the failure")
	})
}

func TestMapEndsWithItsTimeoutAlsoWhileItPulls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		requireTime(t, 3*time.Second, func() {
			slow := func(yield func(int) bool) {
				for yield(0) {
					time.Sleep(time.Second)
				}
			}
			_, err := traigo.Map(t.Context(), slow, func(context.Context, int) (int, error) { return 0, nil }, traigo.Timeout(2500*time.Millisecond))
			require.ErrorIs(t, err, context.DeadlineExceeded)
		})
	})
}

func TestMapLetsThePanicOfItsItemsThrough(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		items := func(yield func(int) bool) {
			yield(1)
			panic(errBoom)
		}
		require.Equal(t, errBoom, raised(func() {
			_, _ = traigo.Map(t.Context(), items, func(ctx context.Context, _ int) (int, error) { return 0, untilCanceled(ctx) })
		}))
	})
}

func TestAsCompletedYieldsInTheOrderOfCompletion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		requireTime(t, 9*time.Second, func() {
			var values []int
			var errs []error
			for v, err := range traigo.AsCompleted(t.Context(), slices.Values([]int{9, 1, 5, 3}), func(ctx context.Context, n int) (int, error) {
				if err := traigo.Sleep(ctx, time.Duration(n)*time.Second); err != nil {
					return 0, err
				}
				if n == 3 {
					return n, errBoom
				}
				return n, nil
			}) {
				values, errs = append(values, v), append(errs, err)
			}
			assert.Equal(t, []int{1, 3, 5, 9}, values, "the value comes with the error, which cancels nothing")
			assert.Equal(t, []error{nil, errBoom, nil, nil}, errs)
		})
	})
}

func TestAsCompletedWithALimitAndABreakLeavesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var pulled, ended atomic.Int32
		begin, turns := time.Now(), 0
		for _, err := range traigo.AsCompleted(t.Context(), naturals(&pulled), func(ctx context.Context, n int) (int, error) {
			defer ended.Add(1)
			if n < 20 {
				return n, traigo.Sleep(ctx, time.Second)
			}
			<-ctx.Done()
			time.Sleep(time.Minute)
			return 0, ctx.Err()
		}, traigo.Limit(8)) {
			assert.NoError(t, err)
			if turns++; turns == 20 {
				break
			}
		}
		assert.Equal(t, 63*time.Second, time.Since(begin), "the rest is joined")
		assert.LessOrEqual(t, pulled.Load()-ended.Load(), int32(1), "one may have been pulled as the loop was left")
		assert.LessOrEqual(t, pulled.Load(), int32(28))
	})
}

// A result that nobody has taken keeps its place: so a slow consumer slows
// everything down.
func TestAsCompletedWaitsForItsConsumer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var pulled atomic.Int32
		turns := int32(0)
		for _, err := range traigo.AsCompleted(t.Context(), naturals(&pulled), func(context.Context, int) (int, error) { return 0, nil }, traigo.Limit(3)) {
			assert.NoError(t, err)
			turns++
			time.Sleep(time.Hour)
			synctest.Wait()
			assert.LessOrEqual(t, pulled.Load(), turns+3)
			if turns == 10 {
				break
			}
		}
	})
}

// Results are there while the next item is not.
func TestAsCompletedDoesNotWaitForItsItems(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		slow := func(yield func(int) bool) {
			for i := range 3 {
				if !yield(i) {
					return
				}
				time.Sleep(time.Hour)
			}
		}
		for n, err := range traigo.AsCompleted(t.Context(), slow, func(ctx context.Context, n int) (int, error) {
			return n, traigo.Sleep(ctx, time.Second)
		}) {
			assert.NoError(t, err)
			assert.Equal(t, time.Duration(n)*time.Hour+time.Second, time.Since(begin))
		}
		assert.Equal(t, 3*time.Hour, time.Since(begin))
	})
}

func TestAsCompletedYieldsWhatEndedItLast(t *testing.T) {
	one := func(ctx context.Context, n int) (int, error) {
		return n, traigo.Sleep(ctx, time.Duration(n)*time.Second)
	}
	for name, row := range map[string]struct {
		opts []traigo.ScopeOption
		end  func(context.CancelCauseFunc)
		want error
	}{
		"timeout": {[]traigo.ScopeOption{traigo.Timeout(90 * time.Second)}, nil, context.DeadlineExceeded},
		"outer":   {nil, func(cancel context.CancelCauseFunc) { time.Sleep(90 * time.Second); cancel(errOuter) }, errOuter},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancelCause(t.Context())
				defer cancel(nil)
				if row.end != nil {
					go row.end(cancel)
				}
				var errs []error
				for n, err := range traigo.AsCompleted(ctx, slices.Values([]int{3600, 60, 7200}), one, row.opts...) {
					if err == nil {
						assert.Equal(t, 60, n)
					}
					errs = append(errs, err)
				}
				require.Len(t, errs, 2)
				require.NoError(t, errs[0])
				require.ErrorIs(t, outcome(t, errs[1]).Err, row.want)
			})
		})
	}
}

func TestAsCompletedYieldsGoexitAsTheErrorOfItsItem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var errs []error
		for _, err := range traigo.AsCompleted(t.Context(), slices.Values([]int{1, 2, 3, 4}), func(_ context.Context, n int) (int, error) {
			switch n {
			case 2:
				runtime.Goexit()
			case 3:
				panicOnPurpose(errBoom)
			}
			return n, nil
		}, traigo.PanicAsError(), traigo.Limit(1)) {
			errs = append(errs, err)
		}
		require.Len(t, errs, 4)
		require.NoError(t, errs[0])
		require.ErrorIs(t, errs[1], traigo.ErrGoexit)
		require.ErrorIs(t, errs[2], errBoom)
		require.NoError(t, errs[3])
	})
}

func TestAsCompletedLogsWhatComesAfterTheLoopWasLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release, free := newRelease()
		defer free()
		book := newRecords()
		for _, err := range traigo.AsCompleted(t.Context(), slices.Values([]int{1, 2, 3}), func(ctx context.Context, n int) (int, error) {
			switch n {
			case 2:
				<-ctx.Done()
				return 0, errLate
			case 3:
				deafTo(release)
			}
			return 0, nil
		}, traigo.Logger(book.logger()), traigo.CancelTimeout(time.Second)) {
			assert.NoError(t, err)
			synctest.Wait()
			break
		}
		late := func(r logRecord) bool { return mentions(r.Text, "ignored", "loop was left", "late") }
		require.True(t, slices.ContainsFunc(book.at(slog.LevelDebug), late), "nobody wants it")
		said := book.from(slog.LevelError)
		require.Len(t, said, 1, "but a goroutine that is left behind is no error of an item")
		require.True(t, mentions(said[0].Text, "loop was left", "did not end"), said)
	})
}

func TestAsCompletedJoinsWhenItsLoopPanics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ended := false
		require.Equal(t, errBoom, raised(func() {
			for _, err := range traigo.AsCompleted(t.Context(), slices.Values([]int{0, 1}), func(ctx context.Context, n int) (int, error) {
				if n == 1 {
					<-ctx.Done()
					time.Sleep(time.Minute)
					ended = true
				}
				return n, nil
			}) {
				assert.NoError(t, err)
				synctest.Wait()
				panic(errBoom)
			}
		}))
		assert.True(t, ended)
	})
}

func TestAsCompletedMayBeRangedOverAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		seq := traigo.AsCompleted(t.Context(), slices.Values([]int{1, 2}), func(_ context.Context, n int) (int, error) { return n, nil }, traigo.Limit(1))
		for range 2 {
			var got []int
			for n, err := range seq {
				require.NoError(t, err)
				got = append(got, n)
			}
			require.Equal(t, []int{1, 2}, got)
		}
	})
}

func TestStressAsCompletedLosesNothing(t *testing.T) {
	for limit := range 4 {
		opts := []traigo.ScopeOption{discard()}
		if limit > 0 {
			opts = append(opts, traigo.Limit(limit))
		}
		for _, stop := range []int{1, 7, 500} {
			turns := 0
			for n, err := range traigo.AsCompleted(t.Context(), naturals(new(atomic.Int32)), func(_ context.Context, n int) (int, error) {
				if n%3 == 0 {
					return n, fmt.Errorf("third: %w", errBoom)
				}
				return n, nil
			}, opts...) {
				require.Equal(t, n%3 == 0, errors.Is(err, errBoom))
				if turns++; turns == stop {
					break
				}
			}
			require.Equal(t, stop, turns)
		}
	}
}

// It has not failed, but it is an item, and there is something to yield for it.
func TestAsCompletedYieldsAnItemThatWasCanceledAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release, free := newRelease()
		defer free()
		var errs []error
		for _, err := range traigo.AsCompleted(t.Context(), slices.Values([]int{0, 1, 2, 3}), func(ctx context.Context, n int) (int, error) {
			switch n {
			case 1:
				traigo.CurrentTask(ctx).Cancel(errBoom)
				return 0, ctx.Err()
			case 2:
				traigo.CurrentTask(ctx).Cancel(nil)
				deafTo(release) // and is given up
			}
			return n, nil
		}, traigo.CancelTimeout(time.Second), traigo.Limit(1), discard()) {
			errs = append(errs, err)
		}
		require.Len(t, errs, 4)
		require.NoError(t, errs[0])
		require.ErrorIs(t, errs[1], context.Canceled)
		require.NoError(t, errs[2])
		require.Len(t, stuckTasks(errs[3]), 1, "the outcome")
	})
}

func TestAsCompletedLeavesThePanicOfItsLoopAsItIs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		require.Equal(t, errBoom, raised(func() {
			for _, err := range traigo.AsCompleted(t.Context(), slices.Values([]int{0, 1}), func(_ context.Context, n int) (int, error) {
				return n, nil
			}, traigo.PanicAsError()) {
				assert.NoError(t, err)
				panic(errBoom)
			}
		}))
	})
}

// Also where a task has panicked before it.
func TestAsCompletedTellsThePanicOfItsLoopFromOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		inLoop, enter := newRelease()
		defer enter()
		require.Equal(t, errBoom, raised(func() {
			for _, err := range traigo.AsCompleted(t.Context(), slices.Values([]int{0}), func(ctx context.Context, _ int) (int, error) {
				traigo.Current(ctx).Spawn(func(context.Context) error { <-inLoop; panic("of a task") })
				return 0, nil
			}, traigo.PanicAsError()) {
				assert.NoError(t, err)
				enter()
				synctest.Wait()
				panic(errBoom)
			}
		}))
	})
}

func TestAsCompletedIsSilentWhenItIsLeftAsItsContextEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		book := newRecords()
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		for _, err := range traigo.AsCompleted(ctx, slices.Values([]int{0, 1}), func(_ context.Context, n int) (int, error) {
			return n, nil
		}, traigo.Logger(book.logger())) {
			assert.NoError(t, err)
			cancel()
			break
		}
		assert.Empty(t, book.from(slog.LevelWarn))
	})
}
