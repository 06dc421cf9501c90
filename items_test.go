package traigo_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"runtime"
	"runtime/pprof"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo"
)

// What the joins over an iterator have in common. What is peculiar to one of them is in
// join_test.go and stream_test.go.

// overItems is a join over an iterator, without results. It returns the errors that the
// join tells of.
type overItems func(ctx context.Context, in iter.Seq[int], fn func(context.Context, int) error, opts ...traigo.ScopeOption) error

var itemJoins = map[string]overItems{
	"Map": func(ctx context.Context, in iter.Seq[int], fn func(context.Context, int) error, opts ...traigo.ScopeOption) error {
		_, err := traigo.Map(ctx, in, echo(fn), opts...)
		return err
	},
	"ForEach":     traigo.ForEach[int],
	"AsCompleted": errorsOf(traigo.AsCompleted[int, int]),
	"Ordered":     errorsOf(traigo.Ordered[int, int]),
}

// A stream is AsCompleted or Ordered.
type stream func(ctx context.Context, in iter.Seq[int], fn func(context.Context, int) (int, error), opts ...traigo.ScopeOption) iter.Seq2[int, error]

func errorsOf(s stream) overItems {
	return func(ctx context.Context, in iter.Seq[int], fn func(context.Context, int) error, opts ...traigo.ScopeOption) error {
		var errs []error
		for _, err := range s(ctx, in, echo(fn), opts...) {
			errs = append(errs, err)
		}
		return errors.Join(errs...)
	}
}

// echo makes fn return its item.
func echo(fn func(context.Context, int) error) func(context.Context, int) (int, error) {
	return func(ctx context.Context, i int) (int, error) { return i, fn(ctx, i) }
}

// onItemJoins runs a test of all joins over an iterator, each in a bubble.
func onItemJoins(t *testing.T, test func(t *testing.T, join overItems)) {
	t.Helper()
	onThese(t, itemJoins, test)
}

func onThese[J any](t *testing.T, joins map[string]J, test func(t *testing.T, join J)) {
	t.Helper()
	for name, join := range joins {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { test(t, join) })
		})
	}
}

// upTo yields 0, 1 and so on, n items in all.
func upTo(n int) iter.Seq[int] {
	return func(yield func(int) bool) {
		for i := 0; i < n && yield(i); i++ {
		}
	}
}

// index is the last part of the name of an item, "[17]" for example.
func index(name string) string { return name[max(0, strings.LastIndexByte(name, '[')):] }

// meeting returns a function that succeeds when n calls of it are running. It fails if
// there are fewer for an hour.
func meeting(n int) func() error {
	var here atomic.Int32
	all := make(chan struct{})
	return func() error {
		if here.Add(1) == int32(n) {
			close(all)
		}
		select {
		case <-all:
			return nil
		case <-time.After(time.Hour):
			return errors.New("alone")
		}
	}
}

// When items start.

func TestItemsStartWithoutWaitingForOthersToEnd(t *testing.T) {
	onItemJoins(t, func(t *testing.T, join overItems) {
		for _, n := range []int{1, 2, 8} {
			meet := meeting(n)
			require.NoError(t, join(t.Context(), upTo(n), func(context.Context, int) error { return meet() }, traigo.Limit(n)))
		}
	})
}

// Before the items that wait for each other come short ones, for which goroutines come and go.
func TestStressItemsThatWaitForEachOtherAfterShortOnes(t *testing.T) {
	onItemJoins(t, func(t *testing.T, join overItems) {
		for range 300 {
			for _, limit := range []int{2, 3} {
				meet := meeting(limit)
				require.NoError(t, join(t.Context(), upTo(20+limit), func(_ context.Context, i int) error {
					if i < 20 {
						return nil
					}
					return meet()
				}, traigo.Limit(limit)))
			}
		}
	})
}

// The Err of a slowContext takes two seconds when it is called first after isSlow was set.
type slowContext struct {
	context.Context //nolint:containedctx // it is one
	isSlow          atomic.Bool
}

func (c *slowContext) Err() error {
	if c.isSlow.CompareAndSwap(true, false) {
		time.Sleep(2 * time.Second)
	}
	return c.Context.Err()
}

// Item 1 has ended while the iterator looks for the next item, so that its goroutine is not
// needed and ends. That takes it until items 2 and 3 are there, which need two goroutines.
func TestItemsDoNotMissAGoroutineThatEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := &slowContext{Context: t.Context()}
		meet := meeting(2)
		in := func(yield func(int) bool) {
			for i := range 4 {
				yield(i)
				if i == 1 {
					time.Sleep(time.Second)
				}
			}
		}
		require.NoError(t, traigo.ForEach(ctx, in, func(_ context.Context, i int) error {
			switch i {
			case 0:
				return nil
			case 1:
				time.Sleep(time.Millisecond)
				ctx.isSlow.Store(true)
				return nil
			default:
				return meet()
			}
		}, traigo.Limit(2)))
		assert.False(t, ctx.isSlow.Load(), "otherwise nothing is tested")
	})
}

func TestItemsWithoutALimitAllRunAtOnce(t *testing.T) {
	onItemJoins(t, func(t *testing.T, join overItems) {
		n := 1000
		if strings.HasSuffix(t.Name(), "/Ordered") {
			n = runtime.GOMAXPROCS(0)
		}
		meet := meeting(n)
		require.NoError(t, join(t.Context(), upTo(n), func(context.Context, int) error { return meet() }))
	})
}

func TestItemIsPulledOnlyWhenItCanRun(t *testing.T) {
	const limit = 3
	onItemJoins(t, func(t *testing.T, join overItems) {
		var running, most atomic.Int32
		in := func(yield func(int) bool) {
			for i := 0; i < 100 && yield(i); i++ {
				assert.Less(t, running.Load(), int32(limit), "asked for item %d", i+1)
			}
		}
		require.NoError(t, join(t.Context(), in, func(_ context.Context, i int) error {
			most.Store(max(most.Load(), running.Add(1)))
			time.Sleep(time.Duration(i%7) * time.Second)
			running.Add(-1)
			return nil
		}, traigo.Limit(limit)))
		assert.EqualValues(t, limit, most.Load())
	})
}

func TestNothingIsPulledOnceTheContextIsDone(t *testing.T) {
	for name, end := range map[string]func(context.Context) error{"looks": context.Context.Err, "does not look": succeed} {
		t.Run(name, func(t *testing.T) {
			onItemJoins(t, func(t *testing.T, join overItems) {
				ctx, cancel := context.WithCancelCause(t.Context())
				defer cancel(nil)
				in := func(yield func(int) bool) { assert.False(t, yield(0), "asked for another item") }
				require.ErrorIs(t, join(ctx, in, func(ctx context.Context, _ int) error {
					cancel(errOuter)
					return end(ctx)
				}, traigo.Limit(1)), errOuter)
			})
		})
	}
}

func TestItemThatIsPulledAsTheContextEndsDoesNotRun(t *testing.T) {
	onItemJoins(t, func(t *testing.T, join overItems) {
		ctx, cancel := context.WithCancelCause(t.Context())
		defer cancel(nil)
		in := func(yield func(int) bool) {
			cancel(errOuter)
			assert.False(t, yield(0), "asked for another item")
		}
		require.ErrorIs(t, join(ctx, in, func(context.Context, int) error {
			assert.Fail(t, "ran")
			return nil
		}), errOuter)
	})
}

// Items as tasks. As long as nobody looks at them they share one.

// looks are the ways in which an item may use its context. Each returns a function that
// reports whether the context is done.
var looks = map[string]func(ctx context.Context) (isDone func() bool){
	"Done":     func(ctx context.Context) func() bool { done := ctx.Done(); return func() bool { return closed(done) } },
	"Err":      func(ctx context.Context) func() bool { _ = ctx.Err(); return hasErr(ctx) },
	"Value":    func(ctx context.Context) func() bool { _ = ctx.Value(0); return hasErr(ctx) },
	"Deadline": func(ctx context.Context) func() bool { _, _ = ctx.Deadline(); return hasErr(ctx) },
	"String":   func(ctx context.Context) func() bool { _ = fmt.Sprint(ctx); return hasErr(ctx) },
	"Current":  func(ctx context.Context) func() bool { traigo.Current(ctx); return hasErr(ctx) },
	"CurrentTask": func(ctx context.Context) func() bool {
		task := traigo.CurrentTask(ctx)
		return func() bool { return closed(task.Done()) }
	},
	"Run": func(ctx context.Context) func() bool { _ = traigo.Run(ctx, emptyBody); return hasErr(ctx) },
	"AfterFunc": func(ctx context.Context) func() bool {
		var called atomic.Bool
		context.AfterFunc(ctx, func() { called.Store(true) })
		return called.Load
	},
	"AfterFunc, its own": func(ctx context.Context) func() bool {
		var called atomic.Bool
		ctx.(interface{ AfterFunc(func()) func() bool }).AfterFunc(func() { called.Store(true) })
		return called.Load
	},
	"WithCancel": func(ctx context.Context) func() bool {
		ctx, cancel := context.WithCancel(ctx)
		context.AfterFunc(ctx, cancel)
		return hasErr(ctx)
	},
}

func hasErr(ctx context.Context) func() bool { return func() bool { return ctx.Err() != nil } }

// The items come one after the other, so that they could share a task.
func TestContextOfAnItemIsDoneWhenItHasReturned(t *testing.T) {
	for name, look := range looks {
		for _, asks := range []bool{false, true} { // to ask whether the context is done is to look once more
			t.Run(fmt.Sprintf("%s, asks %t", name, asks), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					var before []func() bool
					require.NoError(t, traigo.ForEach(t.Context(), upTo(4), func(ctx context.Context, i int) error {
						synctest.Wait()
						for j, isDone := range before {
							assert.True(t, isDone(), "item %d has returned before item %d has begun", j, i)
						}
						isDone := look(ctx)
						before = append(before, isDone)
						synctest.Wait()
						assert.False(t, asks && isDone(), "item %d has not returned", i)
						return nil
					}, traigo.Limit(1)))
				})
			})
		}
	}
}

func TestContextOfAnItemOutlivesThatOfAnother(t *testing.T) {
	onItemJoins(t, func(t *testing.T, join overItems) {
		var done [2]<-chan struct{}
		require.NoError(t, join(t.Context(), upTo(2), func(ctx context.Context, i int) error {
			done[i] = ctx.Done()
			time.Sleep(time.Duration(1+i) * time.Second)
			synctest.Wait()
			assert.Equal(t, i == 1, closed(done[0]), "%d", i)
			assert.False(t, closed(done[1]))
			return nil
		}, traigo.Limit(2)))
	})
}

// Short items at which nobody looks run before and after them, in the same tasks.
func TestItemsThatLookAreTasksOfTheirOwn(t *testing.T) {
	onItemJoins(t, func(t *testing.T, join overItems) {
		const n = 200
		var ids sync.Map
		require.NoError(t, join(t.Context(), upTo(n), func(ctx context.Context, i int) error {
			if i%3 == 0 {
				task := traigo.CurrentTask(ctx)
				other, isTaken := ids.LoadOrStore(task.ID(), i)
				assert.False(t, isTaken, "items %v and %d are the same task", other, i)
				assert.Equal(t, fmt.Sprintf("[%d]", i), index(task.Name()))
			}
			return nil
		}, traigo.Limit(3)))
	})
}

func TestItemThatFailsIsNamedByItsIndex(t *testing.T) {
	for _, name := range []string{"Map", "ForEach"} {
		err := itemJoins[name](t.Context(), upTo(100), func(_ context.Context, i int) error {
			if i == 17 {
				return errBoom
			}
			return nil
		}, traigo.Limit(1))
		assert.Equal(t, "[17]", index(as[*traigo.TaskError](t, outcome(t, err).Err).Task))
	}
}

func TestItemThatIsCanceledAloneCancelsNoOther(t *testing.T) {
	onItemJoins(t, func(t *testing.T, join overItems) {
		const n = 12
		var succeeded atomic.Int32
		err := join(t.Context(), upTo(n), func(ctx context.Context, i int) error {
			if i%3 == 1 { // the others look as well, or do not
				task := traigo.CurrentTask(ctx)
				if i == 4 {
					task.Cancel(errBoom)
					<-ctx.Done()
					assert.ErrorIs(t, context.Cause(ctx), errBoom)
					return ctx.Err()
				}
				time.Sleep(time.Second)
				assert.NoError(t, ctx.Err())
			}
			succeeded.Add(1)
			return nil
		}, traigo.Limit(4))
		require.ErrorIs(t, err, context.Canceled)
		assert.EqualValues(t, n-1, succeeded.Load())
	})
}

func TestObserversSeeEachItemAsATask(t *testing.T) {
	for name, opts := range map[string][]traigo.ScopeOption{"limit": {traigo.Limit(3)}, "no limit": nil} {
		t.Run(name, func(t *testing.T) {
			onItemJoins(t, func(t *testing.T, join overItems) {
				const n = 100
				seen, tr := new(story), newTrace()
				require.NoError(t, join(t.Context(), upTo(n), func(context.Context, int) error { return nil },
					append(opts, traigo.Observe(seen), traigo.Observe(tr))...))
				require.Empty(t, tr.check())
				for _, kind := range []traigo.EventKind{traigo.TaskSpawned, traigo.TaskStarted, traigo.TaskEnded} {
					ids, indexes := map[uint64]bool{}, map[string]bool{}
					for _, e := range seen.events(kind) {
						ids[e.Task.ID()], indexes[index(e.Task.Name())] = true, true
					}
					assert.Len(t, seen.events(kind), n, kind)
					assert.Len(t, ids, n, kind)
					for i := range n {
						assert.Contains(t, indexes, fmt.Sprintf("[%d]", i))
					}
				}
			})
		})
	}
}

// Ages are exact in a bubble.
func TestSnapshotShowsTheItemThatRuns(t *testing.T) {
	onItemJoins(t, func(t *testing.T, join overItems) {
		s := traigo.New(t.Context())
		s.Spawn(func(ctx context.Context) error {
			return join(ctx, upTo(20), func(_ context.Context, i int) error {
				if i >= 17 {
					time.Sleep(time.Hour)
				} else if i == 16 {
					time.Sleep(time.Minute)
				}
				return nil
			}, traigo.Limit(1))
		})
		time.Sleep(time.Minute + time.Second)
		for i := 17; i < 20; i++ { // after the first of them somebody has looked
			shot := s.Snapshot().Scopes[0]
			require.Len(t, shot.Tasks, 1)
			assert.Equal(t, fmt.Sprintf("[%d]", i), index(shot.Tasks[0].Path))
			assert.Equal(t, time.Second, shot.Tasks[0].Age)
			assert.Equal(t, "running", shot.Tasks[0].State)
			time.Sleep(time.Hour)
		}
		require.NoError(t, s.Wait())
	})
}

func TestSnapshotShowsNoTaskBetweenTwoItems(t *testing.T) {
	onItemJoins(t, func(t *testing.T, join overItems) {
		s := traigo.New(t.Context())
		s.Spawn(func(ctx context.Context) error {
			return join(ctx, func(yield func(int) bool) {
				for i := range 2 {
					time.Sleep(time.Hour)
					yield(i)
				}
				time.Sleep(time.Hour)
			}, func(context.Context, int) error { time.Sleep(time.Minute); return nil }, traigo.Limit(1))
		})
		for _, want := range []string{"", "[0]", "", "[1]", ""} {
			synctest.Wait()
			shot := s.Snapshot().Scopes[0]
			if want == "" {
				assert.Empty(t, shot.Tasks)
				time.Sleep(time.Hour)
			} else {
				require.Len(t, shot.Tasks, 1)
				assert.Equal(t, want, index(shot.Tasks[0].Name))
				time.Sleep(time.Minute)
			}
		}
		require.NoError(t, s.Wait())
	})
}

func TestWrapIsCalledAroundEachItem(t *testing.T) {
	type key struct{}
	onItemJoins(t, func(t *testing.T, join overItems) {
		const n = 20
		var calls atomic.Int32
		require.NoError(t, join(t.Context(), upTo(n), func(ctx context.Context, i int) error {
			name, _ := ctx.Value(key{}).(string)
			assert.Equal(t, fmt.Sprintf("[%d]", i), index(name))
			return nil
		}, traigo.Limit(2), traigo.Wrap(func(ctx context.Context, next func(context.Context) error) error {
			task := traigo.CurrentTask(ctx)
			if task == nil { // the body
				return next(ctx)
			}
			calls.Add(1)
			return next(context.WithValue(ctx, key{}, task.Name()))
		})))
		assert.EqualValues(t, n, calls.Load())
	})
}

func TestItemBeginsWithTheLabelsOfItsContext(t *testing.T) {
	for name, row := range map[string]struct {
		ctx  context.Context //nolint:containedctx // it is the row
		want string
	}{
		"no labels":    {context.Background(), ""},
		"the caller's": {labeled("caller"), `{"who":"caller"}`},
	} {
		t.Run(name, func(t *testing.T) {
			onItemJoins(t, func(t *testing.T, join overItems) {
				var goroutines []string
				release, free := newRelease()
				ended := make(chan error, 1)
				go func() {
					ended <- join(row.ctx, upTo(3), func(_ context.Context, i int) error {
						goroutines = append(goroutines, goroutineID())
						if i == 2 {
							parkForLabels(release)
						}
						pprof.SetGoroutineLabels(labeled("another item"))
						return nil
					}, traigo.Limit(1))
				}()
				synctest.Wait()
				assert.Equal(t, map[string]int{row.want: 1}, parkedLabels(t))
				free()
				require.NoError(t, <-ended)
				assert.Equal(t, []string{goroutines[0], goroutines[0], goroutines[0]}, goroutines, "otherwise nothing is tested")
			})
		})
	}
}

// Short items keep coming, and the tasks in which they run hold all slots.
func TestSpawnIntoTheScopeOfAJoinIsNotStarvedByItsItems(t *testing.T) {
	for _, limit := range []int{1, 2, 5} {
		t.Run(fmt.Sprint(limit), func(t *testing.T) {
			onItemJoins(t, func(t *testing.T, join overItems) {
				var ran atomic.Bool
				in := func(yield func(int) bool) {
					for i := 0; i < 200_000 && !ran.Load() && yield(i); i++ {
					}
				}
				spawn := func(s *traigo.Scope) { s.Spawn(func(context.Context) error { ran.Store(true); return nil }) }
				require.NoError(t, join(t.Context(), in, func(ctx context.Context, i int) error {
					switch {
					case i == 0 && limit == 1:
						go spawn(traigo.Current(ctx)) // the item itself would wait for its own slot
					case i == 0:
						spawn(traigo.Current(ctx))
					default:
						runtime.Gosched()
					}
					return nil
				}, traigo.Limit(limit), traigo.Timeout(time.Hour)))
				assert.True(t, ran.Load())
			})
		})
	}
}

// Nothing runs while the iterator looks for an item, so that all slots are free.
func TestIteratorThatBlocksHoldsNoSlot(t *testing.T) {
	onItemJoins(t, func(t *testing.T, join overItems) {
		var s *traigo.Scope
		in := func(yield func(int) bool) {
			upTo(3)(yield)
			time.Sleep(time.Second)
			_, ok := s.TrySpawn(succeed)
			assert.True(t, ok)
			soon, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			assert.NoError(t, s.Spawn(succeed, traigo.AdmitBefore(soon)).Wait(t.Context()))
		}
		require.NoError(t, join(t.Context(), in, func(ctx context.Context, i int) error {
			if i == 0 {
				s = traigo.Current(ctx)
			}
			return nil
		}, traigo.Limit(1)))
	})
}

// Nothing but item 0 runs while the others wait for their turn.
func TestOrderedHoldsNoSlotForItemsThatWaitForTheirTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		require.NoError(t, itemJoins["Ordered"](t.Context(), upTo(10), func(ctx context.Context, i int) error {
			if i > 0 {
				return nil
			}
			time.Sleep(time.Second)
			soon, cancel := context.WithTimeout(ctx, time.Second)
			defer cancel()
			return traigo.Current(ctx).Spawn(succeed, traigo.AdmitBefore(soon)).Wait(ctx)
		}, traigo.Limit(2)))
	})
}

// How items end.

// An item that was pulled, and refused because the scope was canceled before there was a slot
// for it, has no result.
func TestJoinOfWhichAnItemWasRefusedHasNotSucceeded(t *testing.T) {
	onItemJoins(t, func(t *testing.T, join overItems) {
		isFull := make(chan struct{})
		in := func(yield func(int) bool) {
			yield(0)
			<-isFull
			yield(1)
		}
		require.Error(t, join(t.Context(), in, func(ctx context.Context, i int) error {
			assert.Zero(t, i, "refused")
			s := traigo.Current(ctx)
			s.Spawn(untilCanceled)
			s.Spawn(untilCanceled)
			close(isFull)
			time.Sleep(time.Second) // until the iterator has ended
			s.Cancel(nil)
			return nil
		}, traigo.Limit(3)))
	})
}

func TestGoexitOfAnItemEndsItAlone(t *testing.T) {
	for name, opts := range map[string][]traigo.ScopeOption{"limit": {traigo.Limit(1)}, "no limit": nil} {
		t.Run(name, func(t *testing.T) {
			onItemJoins(t, func(t *testing.T, join overItems) {
				var ran atomic.Int32
				err := join(t.Context(), upTo(9), func(_ context.Context, i int) error {
					ran.Add(1)
					if i%3 == 2 {
						runtime.Goexit()
					}
					return nil
				}, opts...)
				require.ErrorIs(t, err, traigo.ErrGoexit)
				if _, cancels := errors.AsType[*traigo.Error](err); !cancels {
					assert.EqualValues(t, 9, ran.Load(), "a stream goes on")
				}
			})
		})
	}
}

// The iterator.

func TestIteratorIsNeverCalledConcurrently(t *testing.T) {
	onItemJoins(t, func(t *testing.T, join overItems) {
		var inside atomic.Int32
		in := func(yield func(int) bool) {
			for i := range 2000 {
				assert.EqualValues(t, 1, inside.Add(1))
				runtime.Gosched()
				inside.Add(-1)
				yield(i)
			}
		}
		require.NoError(t, join(t.Context(), in, func(context.Context, int) error { runtime.Gosched(); return nil }))
	})
}

// Two items run when the iterator has no more, and need a second to end.
func twoThenEnd(end func()) (in iter.Seq[int], fn func(context.Context, int) error, returned *atomic.Int32) {
	returned = new(atomic.Int32)
	in = func(yield func(int) bool) {
		yield(0)
		yield(1)
		synctest.Wait()
		end()
	}
	return in, func(ctx context.Context, _ int) error {
		defer returned.Add(1)
		<-ctx.Done()
		time.Sleep(time.Second)
		return ctx.Err()
	}, returned
}

func TestPanicOfAnIteratorIsRaisedWhenAllCallsHaveReturned(t *testing.T) {
	onItemJoins(t, func(t *testing.T, join overItems) {
		book := newRecords()
		in, fn, returned := twoThenEnd(func() { panicOnPurpose(errBoom) })
		requireTime(t, time.Second, func() {
			go func() {
				time.Sleep(time.Millisecond)
				said := book.from(slog.LevelError)
				assert.Len(t, said, 1, "at once")
				assert.True(t, mentions(said[0].Text, "boom", "panicOnPurpose", "iterator"), said[0].Text)
			}()
			require.Equal(t, errBoom, raised(func() { _ = join(t.Context(), in, fn, traigo.Limit(3), traigo.Logger(book.logger())) }))
		})
		assert.EqualValues(t, 2, returned.Load())
		assert.Len(t, book.from(slog.LevelWarn), 1, "once")
	})
}

func TestPanicOfAnIteratorMayBeAnError(t *testing.T) {
	onItemJoins(t, func(t *testing.T, join overItems) {
		in, fn, returned := twoThenEnd(func() { panicOnPurpose(errBoom) })
		err := join(t.Context(), in, fn, traigo.Limit(3), traigo.PanicAsError(), discard())
		require.ErrorIs(t, err, errBoom)
		assert.Equal(t, errBoom, as[*traigo.PanicError](t, err).Recovered.Value)
		assert.Empty(t, as[*traigo.Error](t, err).Others)
		assert.EqualValues(t, 2, returned.Load())
	})
}

// Like the panic of a body.
func TestPanicOfAnIteratorIsTheCauseForItsItems(t *testing.T) {
	onItemJoins(t, func(t *testing.T, join overItems) {
		in := func(yield func(int) bool) {
			yield(0)
			panicOnPurpose(errBoom)
		}
		raised(func() {
			_ = join(t.Context(), in, func(ctx context.Context, _ int) error {
				<-ctx.Done()
				assert.NotNil(t, cancellation(context.Cause(ctx), traigo.Panicked))
				assert.ErrorIs(t, context.Cause(ctx), errBoom)
				return nil
			}, traigo.Limit(2), discard())
		})
	})
}

func TestGoexitOfAnIteratorEndsTheCallerWhenAllCallsHaveReturned(t *testing.T) {
	onItemJoins(t, func(t *testing.T, join overItems) {
		in, fn, returned := twoThenEnd(runtime.Goexit)
		requireTime(t, time.Second, func() {
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				_ = join(t.Context(), in, fn, traigo.Limit(3), discard())
				assert.Fail(t, "returned")
			}()
			<-ended
		})
		assert.EqualValues(t, 2, returned.Load())
	})
}

// What the panic or the Goexit hides is logged: here an item has failed before.
func TestEndOfAnIteratorHidesNoOtherError(t *testing.T) {
	for name, end := range map[string]func(){"panic": func() { panicOnPurpose(errLate) }, "Goexit": runtime.Goexit} {
		t.Run(name, func(t *testing.T) {
			for _, join := range []string{"Map", "ForEach"} { // to the others an item's error is a result
				synctest.Test(t, func(t *testing.T) {
					book := newRecords()
					in := func(yield func(int) bool) {
						yield(0)
						time.Sleep(time.Second)
						end()
					}
					ended := make(chan any)
					go func() {
						var value any
						defer func() { ended <- value }()
						value = raised(func() {
							_ = itemJoins[join](t.Context(), in, failItem, traigo.Limit(2), traigo.Logger(book.logger()))
							assert.Fail(t, "returned")
						})
					}()
					if value := <-ended; name == "panic" {
						assert.Equal(t, errLate, value)
					}
					assert.Len(t, book.at(slog.LevelError, "hidden", "boom"), 1)
				})
			}
		})
	}
}

func failItem(context.Context, int) error { return errBoom }

// Not even one that looks like a consequence of what has ended the scope.
func TestPanicOfAnIteratorThatIsAnErrorIsNotLost(t *testing.T) {
	onItemJoins(t, func(t *testing.T, join overItems) {
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		in := func(yield func(int) bool) {
			yield(0)
			<-ctx.Done()
			panicOnPurpose(ctx.Err())
		}
		err := join(ctx, in, func(ctx context.Context, _ int) error { return untilCanceled(ctx) }, traigo.Limit(2), traigo.PanicAsError(), discard())
		assert.NotNil(t, cancellation(err, traigo.ParentCanceled))
		assert.Equal(t, context.Canceled, as[*traigo.PanicError](t, err).Recovered.Value)
	})
}

// If a task panics as well, that panic is raised, as after the Goexit of a body.
func TestPanicOfATaskTakesPrecedenceOverTheGoexitOfAnIterator(t *testing.T) {
	onItemJoins(t, func(t *testing.T, join overItems) {
		in := func(yield func(int) bool) {
			yield(0)
			synctest.Wait()
			runtime.Goexit()
		}
		value := raised(func() {
			_ = join(t.Context(), in, func(ctx context.Context, _ int) error {
				<-ctx.Done()
				panicOnPurpose(errBoom)
				return nil
			}, traigo.Limit(2), discard())
		})
		require.ErrorIs(t, value.(error), errBoom)
	})
}

// It may also end while another goroutine than its first is asking it.
func TestIteratorMayEndInAnyWayAfterShortItems(t *testing.T) {
	for name, end := range map[string]func(){"panic": func() { panicOnPurpose(errBoom) }, "Goexit": runtime.Goexit} {
		t.Run(name, func(t *testing.T) {
			onItemJoins(t, func(t *testing.T, join overItems) {
				var ran atomic.Int32
				ended := make(chan any)
				go func() {
					var value any
					defer func() { ended <- value }()
					value = raised(func() {
						_ = join(t.Context(), func(yield func(int) bool) {
							upTo(10)(yield)
							synctest.Wait()
							end()
						}, func(context.Context, int) error { ran.Add(1); return nil }, traigo.Limit(2), discard())
						assert.Fail(t, "returned")
					})
				}()
				if value := <-ended; name == "panic" {
					assert.Equal(t, errBoom, value)
				}
				assert.EqualValues(t, 10, ran.Load())
			})
		})
	}
}

// An iterator that blocks, and does not know of the context, holds up the end of the join
// and nothing else.
func TestIteratorThatBlocksHoldsNoCancellationUp(t *testing.T) {
	blocked := func(yield func(int) bool) {
		yield(0)
		yield(1)
		time.Sleep(5 * time.Second)
	}
	// Item 0 waits to be canceled, and item 1 returns err after a second.
	items := func(t *testing.T, err error) func(ctx context.Context, i int) error {
		begin := time.Now()
		return func(ctx context.Context, i int) error {
			if i == 1 {
				time.Sleep(time.Second)
				return err
			}
			<-ctx.Done()
			assert.Equal(t, time.Second, time.Since(begin))
			return nil
		}
	}
	t.Run("timeout", func(t *testing.T) {
		onItemJoins(t, func(t *testing.T, join overItems) {
			requireTime(t, 5*time.Second, func() {
				require.ErrorIs(t, join(t.Context(), blocked, items(t, nil), traigo.Timeout(time.Second), traigo.Limit(3)), context.DeadlineExceeded)
			})
		})
	})
	t.Run("failure", func(t *testing.T) {
		for _, name := range []string{"Map", "ForEach"} {
			synctest.Test(t, func(t *testing.T) {
				requireTime(t, 5*time.Second, func() {
					require.ErrorIs(t, itemJoins[name](t.Context(), blocked, items(t, errBoom)), errBoom)
				})
			})
		}
	})
	t.Run("break", func(t *testing.T) {
		onStreams(t, func(t *testing.T, s stream) {
			requireTime(t, 5*time.Second, func() {
				backwards := func(yield func(int) bool) { // so that Ordered yields the one that returns
					blocked(func(i int) bool { return yield(1 - i) })
				}
				for i, err := range s(t.Context(), backwards, echo(items(t, nil)), traigo.Limit(3)) {
					require.NoError(t, err)
					require.Equal(t, 1, i)
					break
				}
			})
		})
	})
}

// What is logged after 10 s is that the body has not returned. The items have ended.
func TestIteratorThatBlocksIsNoItemThatHasNotEnded(t *testing.T) {
	onItemJoins(t, func(t *testing.T, join overItems) {
		book := defaultLog(t)
		in := func(yield func(int) bool) {
			upTo(3)(yield)
			time.Sleep(time.Minute)
		}
		require.Error(t, join(t.Context(), in, func(context.Context, int) error { return nil }, traigo.Limit(1), traigo.Timeout(time.Second)))
		said := book.from(slog.LevelWarn)
		require.Len(t, said, 1)
		assert.True(t, mentions(said[0].Text, "the body has not returned 10s after"), said[0].Text)
	})
}

// Nor has one of them called runtime.Goexit.
func TestGoexitOfAnIteratorIsThatOfNoItem(t *testing.T) {
	onItemJoins(t, func(t *testing.T, join overItems) {
		book := defaultLog(t)
		in := func(yield func(int) bool) {
			upTo(3)(yield)
			time.Sleep(2 * time.Second)
			runtime.Goexit()
		}
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			_ = join(t.Context(), in, func(context.Context, int) error { return nil }, traigo.Limit(1), traigo.Timeout(time.Second))
		}()
		<-ended
		for _, r := range book.from(slog.LevelDebug) {
			assert.NotContains(t, r.Text, "[2]")
		}
	})
}

func TestIteratorHasCleanedUpWhenTheJoinReturns(t *testing.T) {
	for name, err := range map[string]error{"success": nil, "failure": errBoom} {
		t.Run(name, func(t *testing.T) {
			onItemJoins(t, func(t *testing.T, join overItems) {
				isClean := false
				in := func(yield func(int) bool) {
					defer func() {
						time.Sleep(time.Second)
						isClean = true
					}()
					upTo(10)(yield)
				}
				require.ErrorIs(t, join(t.Context(), in, func(context.Context, int) error { return err }, traigo.Limit(2)), err)
				assert.True(t, isClean)
			})
		})
	}
	t.Run("break", func(t *testing.T) {
		onStreams(t, func(t *testing.T, s stream) {
			isClean := false
			_, err := next(s(t.Context(), func(yield func(int) bool) {
				defer func() { isClean = true }()
				naturals(new(atomic.Int32))(yield)
			}, echo(func(context.Context, int) error { return nil }), traigo.Limit(2)))
			require.NoError(t, err)
			assert.True(t, isClean)
		})
	})
}

// A context that is first used when its item has ended is not that of a later item.
func TestContextThatIsUsedLateIsThatOfAnItemThatHasEnded(t *testing.T) {
	onItemJoins(t, func(t *testing.T, join overItems) {
		require.NoError(t, join(t.Context(), upTo(2), func(ctx context.Context, i int) error {
			if i == 1 {
				time.Sleep(2 * time.Second)
				return context.Cause(ctx)
			}
			go func() {
				time.Sleep(time.Second)
				task := traigo.CurrentTask(ctx)
				assert.Equal(t, "[0]", index(task.Name()))
				assert.Equal(t, traigo.Ended, task.State())
				task.Cancel(errBoom)
				<-ctx.Done()
				assert.ErrorIs(t, ctx.Err(), context.Canceled)
				assert.NotErrorIs(t, context.Cause(ctx), errBoom)
			}()
			return nil
		}, traigo.Limit(1)))
	})
}

// The age of an item is that of no item before it.
func TestAgeOfAnItemIsItsOwn(t *testing.T) {
	onItemJoins(t, func(t *testing.T, join overItems) {
		s := traigo.New(t.Context())
		s.Spawn(func(ctx context.Context) error {
			return join(ctx, upTo(20), func(context.Context, int) error { time.Sleep(time.Second); return nil }, traigo.Limit(1))
		})
		time.Sleep(10500 * time.Millisecond)
		item := s.Snapshot().Scopes[0].Tasks[0]
		assert.Equal(t, "[10]", index(item.Name))
		assert.Equal(t, time.Second/2, item.Age)
		require.NoError(t, s.Wait())
	})
}

// A join may be called on a goroutine that is locked to its thread.
func TestJoinIsCalledOnALockedThread(t *testing.T) {
	onThese(t, itemJoins, func(t *testing.T, join overItems) {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		require.NoError(t, join(t.Context(), upTo(100), func(context.Context, int) error { return nil }, traigo.Limit(4)))
		require.ErrorIs(t, join(t.Context(), upTo(100), func(_ context.Context, i int) error {
			if i == 10 {
				return errBoom
			}
			return nil
		}, traigo.Limit(4)), errBoom)
	})
}

// A task that has called a join waits in Run: the CancelTimeout of the items counts first.
func TestTaskInAJoinHasTheTimeOfItsItems(t *testing.T) {
	onItemJoins(t, func(t *testing.T, join overItems) {
		err := traigo.Run(t.Context(), func(ctx context.Context, s *traigo.Scope) error {
			s.Spawn(func(ctx context.Context) error {
				return join(ctx, upTo(1), func(context.Context, int) error {
					time.Sleep(5 * time.Second)
					return nil
				}, traigo.CancelTimeout(10*time.Second))
			})
			time.Sleep(time.Second / 2)
			s.Cancel(nil)
			return nil
		}, traigo.CancelTimeout(time.Second))
		var stuck *traigo.StuckError
		assert.NotErrorAs(t, err, &stuck)
	})
}

func TestJoinsUnderAnImmenseLimit(t *testing.T) {
	onItemJoins(t, func(t *testing.T, join overItems) {
		for _, n := range []int{1 << 20, 1<<31 + 1, 1 << 40} {
			require.NoError(t, join(t.Context(), upTo(3), func(context.Context, int) error { return nil }, traigo.Limit(n)))
		}
	})
}
