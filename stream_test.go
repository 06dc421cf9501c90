package traigo_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo"
)

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

// A result keeps its slot until the loop has taken it. So a slow loop slows down the
// pulling of items.
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

// A result is yielded also while the iterator has not yielded the next item.
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
		require.NotEmpty(t, book.at(slog.LevelDebug, "ignored", "loop was left", "late"), "nobody wants it")
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

// The task of an item that was canceled alone has not failed. Its error is yielded all the
// same, as there is one result for each item.
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
				deafTo(release) // until it is given up
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

// A task has panicked before the loop panics.
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

// What the items had failed with when the loop panics is in no result.
func TestAsCompletedLogsTheFailuresThatThePanicOfItsLoopHides(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		book := newRecords()
		require.Equal(t, "of the loop", raised(func() {
			for _, err := range traigo.AsCompleted(t.Context(), slices.Values([]int{1, 2, 3}), func(_ context.Context, n int) (int, error) {
				return n, fmt.Errorf("lost <%d>", n)
			}, traigo.Logger(book.logger())) {
				assert.Error(t, err)
				synctest.Wait()
				panic("of the loop")
			}
		}))
		logged := 0
		for _, r := range book.from(slog.LevelWarn) {
			for n := range 4 {
				logged += strings.Count(r.Text, fmt.Sprintf("lost <%d>", n))
			}
		}
		assert.Equal(t, 2, logged, "all but the one that the loop had got")
	})
}
