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

var streams = map[string]stream{
	"AsCompleted": traigo.AsCompleted[int, int],
	"Ordered":     traigo.Ordered[int, int],
}

// onStreams runs a test of AsCompleted and of Ordered, each in a bubble.
func onStreams(t *testing.T, test func(t *testing.T, s stream)) {
	t.Helper()
	onThese(t, streams, test)
}

// napping is a function for items: each takes as many seconds as its number.
func napping(ctx context.Context, n int) (int, error) {
	if err := traigo.Sleep(ctx, time.Duration(n)*time.Second); err != nil {
		return 0, err
	}
	return n, nil
}

// failingAt fails for one item, which it returns all the same.
func failingAt(bad int, fn func(context.Context, int) (int, error)) func(context.Context, int) (int, error) {
	return func(ctx context.Context, n int) (int, error) {
		if v, err := fn(ctx, n); err != nil || n != bad {
			return v, err
		}
		return n, errBoom
	}
}

// instantly returns its item.
func instantly(_ context.Context, n int) (int, error) { return n, nil }

func TestAsCompletedYieldsInTheOrderOfCompletion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		requireTime(t, 9*time.Second, func() {
			var values []int
			var errs []error
			for v, err := range traigo.AsCompleted(t.Context(), slices.Values([]int{9, 1, 5, 3}), failingAt(3, napping)) {
				values, errs = append(values, v), append(errs, err)
			}
			assert.Equal(t, []int{1, 3, 5, 9}, values, "the value comes with the error, which cancels nothing")
			assert.Equal(t, []error{nil, errBoom, nil, nil}, errs)
		})
	})
}

// Each result comes as soon as it is there and those before it have been yielded.
func TestOrderedYieldsInTheOrderOfTheItems(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		var values []int
		var errs []error
		var times []time.Duration
		for v, err := range traigo.Ordered(t.Context(), slices.Values([]int{2, 9, 5, 3, 20}), failingAt(5, napping), traigo.Limit(5)) {
			values, errs, times = append(values, v), append(errs, err), append(times, time.Since(begin)/time.Second)
		}
		assert.Equal(t, []int{2, 9, 5, 3, 20}, values)
		assert.Equal(t, []error{nil, nil, errBoom, nil, nil}, errs, "in its turn, and it cancels nothing")
		assert.Equal(t, []time.Duration{2, 9, 9, 9, 20}, times)
	})
}

// The first item takes an hour. The others are done at once, and wait for their turn.
func TestOrderedIsNoFurtherAheadThanItsLimit(t *testing.T) {
	for limit, opts := range map[int][]traigo.ScopeOption{5: {traigo.Limit(5)}, runtime.GOMAXPROCS(0): nil} {
		synctest.Test(t, func(t *testing.T) {
			var pulled atomic.Int32
			go func() {
				time.Sleep(time.Minute)
				assert.EqualValues(t, limit, pulled.Load())
			}()
			n, err := next(traigo.Ordered(t.Context(), naturals(&pulled), func(ctx context.Context, n int) (int, error) {
				if n == 0 {
					time.Sleep(time.Hour)
				}
				return n, nil
			}, opts...))
			require.NoError(t, err)
			require.Zero(t, n)
		})
	}
}

// A result counts for the limit until it has been yielded: with AsCompleted until the loop
// body is called, with Ordered until that has returned. So a slow loop slows down the pulling
// of items.
func TestStreamWaitsForItsConsumer(t *testing.T) {
	const limit = 3
	for name, yielded := range map[string]int32{"AsCompleted": 0, "Ordered": -1} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var pulled atomic.Int32
				turns := int32(0)
				for _, err := range streams[name](t.Context(), naturals(&pulled), instantly, traigo.Limit(limit)) {
					assert.NoError(t, err)
					turns++
					time.Sleep(time.Hour)
					synctest.Wait()
					assert.Equal(t, turns+yielded+limit, pulled.Load(), "turn %d", turns)
					if turns == 10 {
						break
					}
				}
			})
		})
	}
}

func TestStreamThatIsLeftLeavesNothing(t *testing.T) {
	onStreams(t, func(t *testing.T, s stream) {
		var pulled, ended atomic.Int32
		begin, turns := time.Now(), 0
		for _, err := range s(t.Context(), naturals(&pulled), func(ctx context.Context, n int) (int, error) {
			defer ended.Add(1)
			if n < 20 {
				return n, traigo.Sleep(ctx, time.Second)
			}
			<-ctx.Done()
			time.Sleep(time.Second)
			return 0, ctx.Err()
		}, traigo.Limit(8)) {
			assert.NoError(t, err)
			if turns++; turns == 20 {
				synctest.Wait() // until what was pulled runs
				break
			}
		}
		assert.Equal(t, 4*time.Second, time.Since(begin), "the rest is joined")
		assert.LessOrEqual(t, pulled.Load()-ended.Load(), int32(1), "one may have been pulled as the loop was left")
		assert.LessOrEqual(t, pulled.Load(), int32(28))
	})
}

// A result is yielded also while the iterator has not yielded the next item.
func TestStreamDoesNotWaitForItsItems(t *testing.T) {
	onStreams(t, func(t *testing.T, s stream) {
		begin := time.Now()
		slow := func(yield func(int) bool) {
			for i := range 3 {
				if !yield(i) {
					return
				}
				time.Sleep(time.Hour)
			}
		}
		for n, err := range s(t.Context(), slow, func(ctx context.Context, n int) (int, error) {
			return n, traigo.Sleep(ctx, time.Second)
		}, traigo.Limit(2)) {
			assert.NoError(t, err)
			assert.Equal(t, time.Duration(n)*time.Hour+time.Second, time.Since(begin))
		}
		assert.Equal(t, 3*time.Hour, time.Since(begin))
	})
}

func TestStreamYieldsWhatEndedItLast(t *testing.T) {
	for name, row := range map[string]struct {
		opts []traigo.ScopeOption
		end  func(context.CancelCauseFunc)
		want error
	}{
		"timeout": {[]traigo.ScopeOption{traigo.Timeout(90 * time.Second)}, nil, context.DeadlineExceeded},
		"outer":   {nil, func(cancel context.CancelCauseFunc) { time.Sleep(90 * time.Second); cancel(errOuter) }, errOuter},
	} {
		t.Run(name, func(t *testing.T) {
			onStreams(t, func(t *testing.T, s stream) {
				ctx, cancel := context.WithCancelCause(t.Context())
				defer cancel(nil)
				if row.end != nil {
					go row.end(cancel)
				}
				var values []int
				var errs []error
				for n, err := range s(ctx, slices.Values([]int{60, 3600, 7200}), napping, row.opts...) {
					values, errs = append(values, n), append(errs, err)
				}
				require.Equal(t, []int{60, 0}, values)
				require.NoError(t, errs[0])
				require.ErrorIs(t, outcome(t, errs[1]).Err, row.want)
			})
		})
	}
}

func TestStreamYieldsGoexitAsTheErrorOfItsItem(t *testing.T) {
	onStreams(t, func(t *testing.T, s stream) {
		var errs []error
		for _, err := range s(t.Context(), slices.Values([]int{1, 2, 3, 4}), func(_ context.Context, n int) (int, error) {
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

func TestStreamLogsWhatComesAfterTheLoopWasLeft(t *testing.T) {
	onStreams(t, func(t *testing.T, s stream) {
		release, free := newRelease()
		defer free()
		book := newRecords()
		for _, err := range s(t.Context(), slices.Values([]int{1, 2, 3}), func(ctx context.Context, n int) (int, error) {
			switch n {
			case 2:
				<-ctx.Done()
				return 0, errLate
			case 3:
				deafTo(release)
			}
			return 0, nil
		}, traigo.Limit(4), traigo.Logger(book.logger()), traigo.CancelTimeout(time.Second)) {
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

// A loop is left by a panic or a Goexit as by a break: the rest is canceled and joined.
func TestStreamJoinsWhenItsLoopPanicsOrExits(t *testing.T) {
	for name, leave := range map[string]func(){"panic": func() { panic(errBoom) }, "Goexit": runtime.Goexit} {
		t.Run(name, func(t *testing.T) {
			onStreams(t, func(t *testing.T, s stream) {
				joined := false
				ended := make(chan any)
				go func() {
					var value any
					defer func() { ended <- value }()
					value = raised(func() {
						for _, err := range s(t.Context(), slices.Values([]int{0, 1}), func(ctx context.Context, n int) (int, error) {
							if n == 1 {
								<-ctx.Done()
								time.Sleep(time.Second)
								joined = true
							}
							return n, nil
						}, traigo.Limit(2)) {
							assert.NoError(t, err)
							synctest.Wait()
							leave()
						}
						assert.Fail(t, "went on")
					})
				}()
				if value := <-ended; name == "panic" {
					assert.Equal(t, errBoom, value)
				}
				assert.True(t, joined)
			})
		})
	}
}

func TestStreamMayBeRangedOverAgain(t *testing.T) {
	onStreams(t, func(t *testing.T, s stream) {
		seq := s(t.Context(), upTo(20), instantly, traigo.Limit(2))
		for range 2 {
			_, err := next(seq) // which is left early
			require.NoError(t, err)
			var got []int
			for n, err := range seq {
				require.NoError(t, err)
				got = append(got, n)
			}
			require.ElementsMatch(t, slices.Collect(upTo(20)), got)
		}
	})
}

func TestStressStreamLosesNothing(t *testing.T) {
	for name, s := range streams {
		for limit := range 4 {
			opts := []traigo.ScopeOption{discard()}
			if limit > 0 {
				opts = append(opts, traigo.Limit(limit))
			}
			for _, stop := range []int{1, 7, 500} {
				turns := 0
				for n, err := range s(t.Context(), naturals(new(atomic.Int32)), func(_ context.Context, n int) (int, error) {
					if n%3 == 0 {
						return n, fmt.Errorf("third: %w", errBoom)
					}
					return n, nil
				}, opts...) {
					require.Equal(t, n%3 == 0, errors.Is(err, errBoom))
					require.True(t, n == turns || name != "Ordered", "%d in turn %d", n, turns)
					if turns++; turns == stop {
						break
					}
				}
				require.Equal(t, stop, turns)
			}
		}
	}
}

// The task of an item that was canceled alone has not failed. Its error is yielded all the
// same, as there is one result for each item. One that is given up is in the outcome; Ordered
// yields it in its turn as well.
func TestStreamYieldsAnItemThatWasCanceledAlone(t *testing.T) {
	for name, turns := range map[string]int{"AsCompleted": 3, "Ordered": 4} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				release, free := newRelease()
				defer free()
				var values []int
				var errs []error
				for n, err := range streams[name](t.Context(), upTo(4), func(ctx context.Context, n int) (int, error) {
					switch n {
					case 1:
						traigo.CurrentTask(ctx).Cancel(errBoom)
						return n, ctx.Err()
					case 2:
						traigo.CurrentTask(ctx).Cancel(nil)
						deafTo(release) // until it is given up
					}
					return n, nil
				}, traigo.CancelTimeout(time.Second), traigo.Limit(1), discard()) {
					values, errs = append(values, n), append(errs, err)
				}
				require.Len(t, errs, turns+1)
				require.NoError(t, errs[0])
				require.ErrorIs(t, errs[1], context.Canceled)
				require.NoError(t, errs[turns-1])
				require.Len(t, stuckTasks(outcome(t, errs[turns])), 1)
				if name == "Ordered" {
					assert.Equal(t, []int{0, 1, 0, 3, 0}, values)
					require.Equal(t, "[2]", index(as[*traigo.StuckError](t, errs[2]).Tasks[0].Path))
				}
			})
		})
	}
}

func TestStreamLeavesThePanicOfItsLoopAsItIs(t *testing.T) {
	onStreams(t, func(t *testing.T, s stream) {
		require.Equal(t, errBoom, raised(func() {
			for _, err := range s(t.Context(), upTo(2), instantly, traigo.PanicAsError()) {
				assert.NoError(t, err)
				panic(errBoom)
			}
		}))
	})
}

// A task has panicked before the loop panics.
func TestStreamTellsThePanicOfItsLoopFromOthers(t *testing.T) {
	onStreams(t, func(t *testing.T, s stream) {
		inLoop, enter := newRelease()
		defer enter()
		require.Equal(t, errBoom, raised(func() {
			for _, err := range s(t.Context(), slices.Values([]int{0}), func(ctx context.Context, _ int) (int, error) {
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

func TestStreamIsSilentWhenItIsLeftAsItsContextEnds(t *testing.T) {
	onStreams(t, func(t *testing.T, s stream) {
		book := newRecords()
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		for _, err := range s(ctx, upTo(2), instantly, traigo.Logger(book.logger())) {
			assert.NoError(t, err)
			cancel()
			break
		}
		assert.Empty(t, book.from(slog.LevelWarn))
	})
}

// What the items had failed with when the loop panics is in no result.
func TestStreamLogsTheFailuresThatThePanicOfItsLoopHides(t *testing.T) {
	onStreams(t, func(t *testing.T, s stream) {
		book := newRecords()
		require.Equal(t, "of the loop", raised(func() {
			for _, err := range s(t.Context(), slices.Values([]int{1, 2, 3}), func(_ context.Context, n int) (int, error) {
				return n, fmt.Errorf("lost <%d>", n)
			}, traigo.Limit(4), traigo.Logger(book.logger())) {
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

// All items have failed when ctx ends in the first turn of the loop.
func TestStreamTellsTheErrorsThatWereNotYieldedWithItsOutcome(t *testing.T) {
	onStreams(t, func(t *testing.T, s stream) {
		ctx, cancel := context.WithCancelCause(t.Context())
		defer cancel(nil)
		var errs []error
		for n, err := range s(ctx, upTo(30), func(_ context.Context, n int) (int, error) {
			return n, fmt.Errorf("failure %d", n)
		}, traigo.Limit(40)) {
			if errs = append(errs, err); len(errs) == 1 {
				synctest.Wait()
				cancel(errOuter)
				continue
			}
			assert.Zero(t, n)
		}
		require.Len(t, errs, 2)
		require.ErrorContains(t, errs[0], "failure ")
		failed := outcome(t, errs[1])
		require.ErrorIs(t, failed.Err, errOuter)
		require.Len(t, failed.Others, 16)
		assert.Equal(t, 13, failed.More, "and the first one was yielded")
		assert.NotContains(t, failed.Error(), errs[0].Error()+";")
		require.ErrorContains(t, as[*traigo.TaskError](t, failed.Others[0]), "failure ")
	})
}

// It is logged when it happens, and raised at the end.
func TestPanicOfAnItemThatTheLoopHasNotTakenIsLoggedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newRecords()
		value := raised(func() {
			for _, err := range traigo.Ordered(t.Context(), slices.Values([]int{0, 1}), func(ctx context.Context, i int) (int, error) {
				if i == 1 {
					panic(errBoom)
				}
				<-ctx.Done() // canceled by the panic
				return 0, ctx.Err()
			}, traigo.Logger(log.logger())) {
				assert.Error(t, err, "the first item is canceled, and the outcome raised")
			}
		})
		require.NotNil(t, value)
		assert.Len(t, log.at(slog.LevelError), 1)
		assert.Empty(t, log.at(slog.LevelWarn))
	})
}
