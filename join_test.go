package traigo_test

import (
	"context"
	"fmt"
	"iter"
	"log/slog"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo"
)

// after returns value and err after d, unless it is canceled before that.
func after[T any](d time.Duration, value T, err error) func(context.Context) (T, error) {
	return func(ctx context.Context) (T, error) {
		if canceled := traigo.Sleep(ctx, d); canceled != nil {
			var none T
			return none, canceled
		}
		return value, err
	}
}

// stubborn returns value and err after d, canceled or not.
func stubborn[T any](d time.Duration, value T, err error) func(context.Context) (T, error) {
	return func(context.Context) (T, error) {
		time.Sleep(d)
		return value, err
	}
}

// requireTime checks that f takes d on the clock of the bubble.
func requireTime(t *testing.T, d time.Duration, f func()) {
	t.Helper()
	begin := time.Now()
	f()
	require.Equal(t, d, time.Since(begin))
}

func TestAllReturnsResultsInTheOrderOfTheArguments(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		requireTime(t, 3*time.Second, func() {
			all, err := traigo.All(t.Context(), after(3*time.Second, "a", nil), after(time.Second, "b", nil), after(2*time.Second, "c", nil))
			require.NoError(t, err)
			require.Equal(t, []string{"a", "b", "c"}, all)
		})
	})
}

func TestAllOfNothingIsNothing(t *testing.T) {
	all, err := traigo.All[int](t.Context())
	require.NoError(t, err)
	require.Empty(t, all)
	require.Empty(t, traigo.Settle[int](t.Context()))
}

func TestAllIsCanceledByTheFirstFailureAndJoinsTheRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		requireTime(t, 3*time.Second, func() {
			all, err := traigo.All(t.Context(),
				after(time.Hour, 1, nil), after(time.Second, 2, errBoom), stubborn(3*time.Second, 3, errLate))
			require.Nil(t, all)
			failed := outcome(t, err)
			assert.Equal(t, "All", failed.Scope)
			assert.Equal(t, errBoom, as[*traigo.TaskError](t, failed.Err).Err)
			assert.Contains(t, as[*traigo.TaskError](t, failed.Err).Task, "[1]", "the place of the function")
			require.Len(t, failed.Others, 1, "nothing is lost")
			require.ErrorIs(t, failed.Others[0], errLate)
		})
	})
}

func TestSettleCancelsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		requireTime(t, 2*time.Second, func() {
			results := traigo.Settle(t.Context(), after(0, 1, errBoom), after(2*time.Second, 2, nil), after(time.Second, 3, errLate))
			assert.Equal(t, []traigo.Result[int]{{1, errBoom}, {2, nil}, {3, errLate}}, results)
		})
	})
}

func TestSettleOfManyFailuresLosesNoneAndSaysNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		book := newRecords()
		require.NoError(t, traigo.Run(t.Context(), func(ctx context.Context, _ *traigo.Scope) error {
			var fns []func(context.Context) (int, error)
			for i := range 100 {
				fns = append(fns, stubborn(0, i, fmt.Errorf("%d", i)))
			}
			for i, r := range traigo.Settle(ctx, fns...) {
				assert.Equal(t, i, r.Value)
				assert.EqualError(t, r.Err, fmt.Sprint(i))
			}
			return nil
		}, traigo.Logger(book.logger())))
		assert.Empty(t, book.from(slog.LevelWarn))
	})
}

func TestSettleSaysWhatBecameOfEach(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release, free := newRelease()
		defer free()
		ctx, cancel := context.WithCancelCause(t.Context())
		defer cancel(nil)
		s := traigo.New(ctx, traigo.CancelTimeout(time.Second), discard())
		go func() {
			time.Sleep(time.Second)
			cancel(errOuter)
		}()
		results := traigo.Settle(s.Context(),
			stubborn(0, "ended before", nil),
			stubborn(1500*time.Millisecond, "ended after", nil),
			after(time.Hour, "canceled", nil),
			func(context.Context) (string, error) { deafTo(release); return "stuck", nil },
			func(context.Context) (string, error) { runtime.Goexit(); return "gone", nil },
		)
		assert.Equal(t, traigo.Result[string]{Value: "ended before"}, results[0])
		assert.Equal(t, traigo.Result[string]{Value: "ended after"}, results[1])
		require.ErrorIs(t, results[2].Err, errOuter)
		assert.Len(t, as[*traigo.StuckError](t, results[3].Err).Tasks, 1)
		require.ErrorIs(t, results[4].Err, traigo.ErrGoexit)

		for _, r := range traigo.Settle(s.Context(), after(0, "refused", nil)) {
			require.ErrorIs(t, r.Err, traigo.ErrRefused)
			require.ErrorIs(t, r.Err, errOuter)
		}
		_ = s.Close()
	})
}

func TestRaceIsWonByTheFirstSuccess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		requireTime(t, 2*time.Second, func() {
			value, err := traigo.Race(t.Context(),
				after(time.Hour, "slow", nil), after(time.Second, "broken", errBoom), after(2*time.Second, "quick", nil))
			require.NoError(t, err)
			require.Equal(t, "quick", value)
		})
		requireTime(t, 5*time.Second, func() {
			value, err := traigo.Race(t.Context(), stubborn(5*time.Second, "late", nil), after(time.Second, "first", nil))
			require.NoError(t, err)
			require.Equal(t, "first", value, "the other one is joined, and too late")
		})
	})
}

func TestRaceOfFailuresReturnsAllOfThem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 40
		var fns []func(context.Context) (int, error)
		var errs []error
		for i := range n {
			errs = append(errs, fmt.Errorf("number %d", i))
			fns = append(fns, after(time.Duration(n-i)*time.Second, 0, errs[i]))
		}
		_, err := traigo.Race(t.Context(), fns...)
		failed := outcome(t, err)
		require.Len(t, failed.Others, n-1)
		for i, err := range failed.Unwrap() {
			require.ErrorIs(t, err, errs[i], "in the order of the arguments")
			require.Contains(t, as[*traigo.TaskError](t, err).Task, fmt.Sprintf("[%d]", i))
		}
		assert.Equal(t, "Race", failed.Scope)
	})
}

// context.Canceled from a function that was not canceled is an error like any other.
func TestRaceReturnsContextCanceledOfWhoWasNot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, err := traigo.Race(t.Context(), stubborn(0, 0, context.Canceled), stubborn(0, 0, errBoom))
		require.ErrorIs(t, err, context.Canceled)
		require.ErrorIs(t, err, errBoom)
	})
}

func TestRaceOfNobodyIsAnError(t *testing.T) {
	_, err := traigo.Race[int](t.Context())
	require.ErrorContains(t, err, "traigo: Race: no functions")
}

func TestRaceThatIsCanceledSaysSoAndWhatHadFailed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancelCause(t.Context())
		go func() {
			time.Sleep(2 * time.Second)
			cancel(errOuter)
		}()
		value, err := traigo.Race(ctx, after(time.Second, "failed", errBoom), after(time.Hour, "canceled", nil))
		assert.Empty(t, value)
		failed := outcome(t, err)
		require.ErrorIs(t, failed.Err, errOuter)
		require.ErrorIs(t, failed.Err, context.Canceled)
		require.Len(t, failed.Others, 1, "a consequence of the cancellation is left out")
		require.ErrorIs(t, failed.Others[0], errBoom)

		_, err = traigo.Race(ctx, after(0, "refused", nil))
		require.ErrorIs(t, outcome(t, err).Err, errOuter)
	})
}

func TestRaceTellsOfALoserThatDoesNotEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release, free := newRelease()
		defer free()
		s := traigo.New(t.Context(), traigo.CancelTimeout(time.Second), discard())
		value, err := traigo.Race(s.Context(),
			func(context.Context) (string, error) { deafTo(release); return "stuck", nil }, after(time.Second, "winner", nil))
		assert.Equal(t, "winner", value, "it comes with the error")
		require.Len(t, stuckTasks(err), 1)
		require.NoError(t, s.Close())
	})
}

func TestJoinsRaiseAPanicWhenAllHaveEnded(t *testing.T) {
	boom := func(context.Context) (int, error) { panicOnPurpose("oops"); return 0, nil }
	joins := map[string]func(ctx context.Context, rest func(context.Context) (int, error)){
		"All": func(ctx context.Context, rest func(context.Context) (int, error)) { _, _ = traigo.All(ctx, rest, boom) },
		"Race": func(ctx context.Context, rest func(context.Context) (int, error)) {
			_, _ = traigo.Race(ctx, rest, boom)
		},
		"Settle": func(ctx context.Context, rest func(context.Context) (int, error)) { traigo.Settle(ctx, rest, boom) },
	}
	for name, join := range itemJoins {
		joins[name] = func(ctx context.Context, rest func(context.Context) (int, error)) {
			begun := make(chan struct{}) // the panic ends the scope, in which item 0 must be by then
			_ = join(ctx, upTo(2), func(ctx context.Context, i int) (err error) {
				if i == 0 {
					close(begun)
					_, err = rest(ctx)
				} else {
					<-begun
					_, err = boom(ctx)
				}
				return err
			}, traigo.Limit(2))
		}
	}
	onThese(t, joins, func(t *testing.T, join func(ctx context.Context, rest func(context.Context) (int, error))) {
		requireTime(t, time.Second, func() {
			ended := false
			value := raised(func() {
				join(t.Context(), func(ctx context.Context) (int, error) {
					<-ctx.Done()
					time.Sleep(time.Second)
					ended = true
					return 0, nil
				})
			})
			p, ok := value.(*traigo.PanicError)
			require.True(t, ok, "%v", value)
			assert.Contains(t, p.Error(), "panicOnPurpose")
			assert.True(t, ended)
		})
	})
}

func TestJoinsAreScopesInTheTree(t *testing.T) {
	park := after(time.Hour, 0, nil)
	joins := map[string]func(ctx context.Context){
		"All":    func(ctx context.Context) { _, _ = traigo.All(ctx, park, park) },
		"Race":   func(ctx context.Context) { _, _ = traigo.Race(ctx, park, park) },
		"Settle": func(ctx context.Context) { traigo.Settle(ctx, park, park) },
	}
	for name, join := range itemJoins {
		joins[name] = func(ctx context.Context) {
			_ = join(ctx, upTo(2), func(ctx context.Context, _ int) error { return untilCanceled(ctx) }, traigo.Limit(2))
		}
	}
	for name, join := range joins {
		synctest.Test(t, func(t *testing.T) {
			s := traigo.New(t.Context(), traigo.Name("root"))
			s.Spawn(func(ctx context.Context) error { join(ctx); return nil })
			synctest.Wait()
			shot := s.Snapshot()
			require.Len(t, shot.Scopes, 1, name)
			assert.Equal(t, "root/"+name, shot.Scopes[0].Path)
			assert.Len(t, shot.Scopes[0].Tasks, 2, name)
			require.NoError(t, s.Close())
		})
	}
}

// next leaves a loop after its first turn.
func next[K, V any](seq func(yield func(K, V) bool)) (k K, v V) {
	for k, v = range seq {
		break
	}
	return k, v
}

func TestJoinsOfACanceledContextStartNothing(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errOuter)
	never := func(context.Context) (int, error) { assert.Fail(t, "started"); return 0, nil }
	_, err := traigo.All(ctx, never)
	require.ErrorIs(t, err, errOuter)
	_, err = traigo.Race(ctx, never)
	require.ErrorIs(t, err, errOuter)
	require.ErrorIs(t, traigo.Settle(ctx, never)[0].Err, errOuter)
	for name, join := range itemJoins {
		in := func(func(int) bool) { assert.Fail(t, "asked for an item", name) }
		require.ErrorIs(t, join(ctx, in, func(ctx context.Context, _ int) error { _, err := never(ctx); return err }), errOuter)
	}
	for name, s := range streams {
		count := 0
		for n, err := range s(ctx, upTo(3), func(ctx context.Context, _ int) (int, error) { return never(ctx) }) {
			count++
			require.Zero(t, n)
			require.ErrorIs(t, outcome(t, err), errOuter)
		}
		assert.Equal(t, 1, count, name)
	}
}

// A function cancels the scope of the join without an error. The others then have no
// results, so the join has not succeeded.
func TestJoinsSayThatTheirScopeWasEndedFromWithin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		end := func(ctx context.Context) (int, error) { traigo.Current(ctx).Cancel(nil); return 1, nil }
		obey := func(ctx context.Context) (int, error) { <-ctx.Done(); return 0, ctx.Err() }

		all, err := traigo.All(t.Context(), end, obey)
		assert.Nil(t, all)
		require.ErrorIs(t, outcome(t, err).Err, context.Canceled)

		_, err = traigo.Race(t.Context(), func(ctx context.Context) (int, error) { _, _ = end(ctx); return obey(ctx) })
		require.ErrorIs(t, outcome(t, err).Err, context.Canceled)

		_, err = traigo.Race(t.Context(), func(ctx context.Context) (int, error) {
			traigo.CurrentTask(ctx).Cancel(nil)
			return obey(ctx)
		})
		require.ErrorIs(t, outcome(t, err).Err, context.Canceled)

		some, err := traigo.Map(t.Context(), naturals(new(atomic.Int32)), func(ctx context.Context, _ int) (int, error) { return end(ctx) }, traigo.Limit(1))
		assert.Equal(t, []int{1}, some, "what has succeeded")
		require.ErrorContains(t, err, "not all items were pulled")
	})
}

func TestSettleLogsWhatNoResultHas(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		book := newRecords()
		s := traigo.New(t.Context(), traigo.Logger(book.logger()))
		results := traigo.Settle(s.Context(), func(ctx context.Context) (int, error) {
			traigo.Current(ctx).Spawn(failing(time.Second, errBoom), traigo.Name("stranger"))
			return 1, nil
		})
		assert.Equal(t, []traigo.Result[int]{{Value: 1}}, results)
		said := book.from(slog.LevelError)
		require.Len(t, said, 1)
		assert.True(t, mentions(said[0].Text, "stranger", "boom"), said[0].Text)
		require.NoError(t, s.Close())
	})
}

// A function that was given up succeeds just as its scope closes. Race must not read the
// result while the function writes it: the race detector sees that.
func TestStressRaceIsNotWonByWhoIsGivenUp(t *testing.T) {
	for range 300 {
		release := make(chan struct{})
		s := traigo.New(t.Context(), traigo.CancelTimeout(time.Microsecond), discard(), traigo.Observe(seeing(func(e traigo.Event) {
			if e.Kind == traigo.ScopeClosed && e.Scope.Name() == "Race" {
				close(release)
				runtime.Gosched()
			}
		})))
		ctx, cancel := context.WithCancel(s.Context())
		time.AfterFunc(10*time.Microsecond, cancel)
		_, _ = traigo.Race(ctx, func(context.Context) ([64]int, error) { <-release; return [64]int{1, 63: 1}, nil })
		_ = s.Close()
	}
}

// naturals yields 0, 1, 2 and so on for ever, and counts in pulled how many it has yielded.
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
}

// Results are kept in chunks of 16, 32, 64 and so on.
func TestMapReturnsAllResultsOfAnyNumberOfItems(t *testing.T) {
	for _, n := range []int{0, 1, 15, 16, 17, 47, 48, 49, 111, 112, 113, 1000} {
		for name, opts := range map[string][]traigo.ScopeOption{"limit": {traigo.Limit(3)}, "no limit": nil} {
			all, err := traigo.Map(t.Context(), upTo(n), func(ctx context.Context, i int) (string, error) {
				if i%5 == 0 {
					return fmt.Sprint(i), ctx.Err() // which is to look
				}
				return fmt.Sprint(i), nil
			}, opts...)
			require.NoError(t, err)
			require.Len(t, all, n, name)
			require.NotNil(t, all)
			for i, v := range all {
				require.Equal(t, fmt.Sprint(i), v, name)
			}
		}
	}
}

func TestMapThatFailsReturnsWhatHasSucceeded(t *testing.T) {
	for _, bad := range []int{0, 7, 15, 16, 50, 112, 200} {
		for name, opts := range map[string][]traigo.ScopeOption{"limit": {traigo.Limit(1)}, "no limit": nil} {
			synctest.Test(t, func(t *testing.T) {
				const n = 201
				all, err := traigo.Map(t.Context(), upTo(n), func(_ context.Context, i int) (int, error) {
					if i == bad {
						time.Sleep(time.Second)
						return -1, errBoom
					}
					return 1 + i, nil
				}, opts...)
				failed := as[*traigo.TaskError](t, outcome(t, err).Err)
				assert.Equal(t, errBoom, failed.Err)
				assert.Equal(t, fmt.Sprintf("[%d]", bad), index(failed.Task))

				want := slices.Collect(upTo(n + 1))[1:]
				want[bad] = 0
				if name == "limit" {
					want = want[:bad+1] // no more were pulled
				}
				require.Equal(t, want, all)
			})
		}
	}
}

// What an item that is canceled returns without an error is a result as well.
func TestMapReturnsWhatHasSucceededThoughItWasCanceled(t *testing.T) {
	for name, row := range map[string]struct {
		end  func(ctx context.Context) error
		want error
	}{
		"by a failure":         {fail, errBoom},
		"from within":          {func(ctx context.Context) error { traigo.Current(ctx).Cancel(nil); return ctx.Err() }, context.Canceled},
		"from within by error": {func(ctx context.Context) error { traigo.Current(ctx).Cancel(errLate); return ctx.Err() }, errLate},
		"by a panic as error":  {func(context.Context) error { panic(errBoom) }, errBoom},
		"by Goexit":            {func(context.Context) error { runtime.Goexit(); return nil }, traigo.ErrGoexit},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				all, err := traigo.Map(t.Context(), upTo(5), func(ctx context.Context, i int) (string, error) {
					switch i {
					case 1:
						return "well done", nil
					case 2:
						time.Sleep(time.Second)
						return "failed", row.end(ctx)
					case 3:
						<-ctx.Done()
						return "after all", nil
					default:
						return "canceled", untilCanceled(ctx)
					}
				}, traigo.PanicAsError())
				require.ErrorIs(t, outcome(t, err), row.want)
				require.Equal(t, []string{"", "well done", "", "after all", ""}, all)
			})
		})
	}
}

// The results are as many as the items that were pulled, also if the last one came too late to
// run.
func TestMapCountsAnItemThatWasPulledAsItFailed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in := func(yield func(int) bool) {
			yield(0)
			yield(1)
			time.Sleep(2 * time.Second) // while item 1 fails
			yield(2)
		}
		all, err := traigo.Map(t.Context(), in, func(_ context.Context, i int) (int, error) {
			time.Sleep(time.Duration(i) * time.Second)
			if i == 1 {
				return 7, errBoom
			}
			return 7, nil
		})
		require.ErrorIs(t, err, errBoom)
		assert.Equal(t, []int{7, 0, 0}, all)
	})
}

// Of items that were canceled alone, and so have not failed, the error names the first one,
// whichever ended first.
func TestMapNamesTheFirstOfTheItemsThatHaveNoResult(t *testing.T) {
	for _, name := range []string{"Map", "ForEach"} {
		for _, last := range []int{1, 2} {
			synctest.Test(t, func(t *testing.T) {
				err := itemJoins[name](t.Context(), upTo(4), func(ctx context.Context, i int) error {
					switch i {
					case 1, 2:
						if i == last {
							time.Sleep(time.Second)
						}
						traigo.CurrentTask(ctx).Cancel(nil)
						return ctx.Err()
					default:
						return nil
					}
				})
				failed := outcome(t, err)
				require.ErrorIs(t, failed, context.Canceled)
				assert.Equal(t, "[1]", index(as[*traigo.TaskError](t, failed.Err).Task))
			})
		}
	}
}

// Its function returns a result when Map has returned. The race detector sees a late write.
func TestMapLeavesTheResultOfAnItemThatWasGivenUpAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release, free := newRelease()
		defer free()
		all, err := traigo.Map(t.Context(), upTo(40), func(ctx context.Context, i int) ([64]int, error) {
			if i == 20 {
				traigo.CurrentTask(ctx).Cancel(nil)
				deafTo(release)
			}
			return [64]int{63: i}, nil
		}, traigo.Limit(1), traigo.CancelTimeout(time.Second), discard())
		stuck := stuckTasks(outcome(t, err))
		require.Len(t, stuck, 1)
		assert.Equal(t, "[20]", index(stuck[0].Path))
		assert.Equal(t, time.Second, stuck[0].Age)
		require.Len(t, all, 40, "the others go on")
		free()
		for i := range all {
			if i == 20 {
				assert.Zero(t, all[i])
			} else {
				assert.Equal(t, i, all[i][63])
			}
			all[i] = [64]int{}
		}
	})
}

// The same, if the functions have not looked at their contexts and share a task.
func TestMapLeavesResultsThatComeTooLateAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release, free := newRelease()
		defer free()
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(time.Second, func() { cancel(errOuter) })
		all, err := traigo.Map(ctx, upTo(40), func(_ context.Context, i int) ([64]int, error) {
			if i == 20 {
				deafTo(release)
			}
			return [64]int{63: 1 + i}, nil
		}, traigo.Limit(1), traigo.CancelTimeout(time.Second), discard())
		require.ErrorIs(t, err, errOuter)
		require.Len(t, stuckTasks(outcome(t, err)), 1)
		free()
		require.Len(t, all, 21)
		for i := range all {
			if i == 20 {
				assert.Zero(t, all[i])
			} else {
				assert.Equal(t, 1+i, all[i][63])
			}
		}
	})
}

func TestForEachIsMapWithoutResults(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sum := 0
		require.NoError(t, traigo.ForEach(t.Context(), upTo(100), func(_ context.Context, i int) error { sum += i; return nil }, traigo.Limit(1)))
		assert.Equal(t, 4950, sum)

		failed := outcome(t, traigo.ForEach(t.Context(), upTo(3), itemOne))
		assert.Equal(t, "ForEach", failed.Scope)
		assert.Equal(t, &traigo.TaskError{Task: "itemOne[1]", Err: errBoom}, failed.Err, "the name is that of the user's function")
	})
}

// itemOne fails for item 1, and waits for that otherwise.
func itemOne(ctx context.Context, i int) error {
	if i == 1 {
		return errBoom
	}
	return untilCanceled(ctx)
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
			seen := pulled.Load() // before the load of ended
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

// A Wrapper that does not call next keeps the functions of a join from running: the join
// fails with what the Wrapper has returned, or with its panic.
func TestJoinsUnderAWrapperThatDoesNotCallNext(t *testing.T) {
	one := func(context.Context) (int, error) { return 1, nil }
	joins := map[string]func(ctx context.Context) error{
		"All":    func(ctx context.Context) error { _, err := traigo.All(ctx, one); return err },
		"Race":   func(ctx context.Context) error { _, err := traigo.Race(ctx, one); return err },
		"Settle": func(ctx context.Context) error { return traigo.Settle(ctx, one)[0].Err },
	}
	for name, join := range itemJoins {
		joins[name] = func(ctx context.Context) error {
			return join(ctx, upTo(1), func(context.Context, int) error { return nil })
		}
	}
	onThese(t, joins, func(t *testing.T, join func(ctx context.Context) error) {
		s := traigo.New(t.Context(), traigo.Wrap(func(context.Context, func(context.Context) error) error { return errBoom }), discard())
		require.ErrorIs(t, join(s.Context()), errBoom)
		require.NoError(t, s.Close())

		s = traigo.New(t.Context(), traigo.PanicAsError(), discard(), traigo.Wrap(func(context.Context, func(context.Context) error) error {
			panic("of the wrapper")
		}))
		var err error
		require.Nil(t, raised(func() { err = join(s.Context()) }))
		require.ErrorContains(t, err, "of the wrapper")
		require.NoError(t, s.Close())
	})
}

// Several goroutines open their first join below one scope at once.
func TestStressJoinsOfManyTasks(t *testing.T) {
	rounds := 300
	if testing.Short() {
		rounds = 50
	}
	for range rounds {
		s := traigo.New(context.Background(), discard())
		var begun sync.WaitGroup
		for range 4 {
			begun.Add(1)
			s.Spawn(func(ctx context.Context) error {
				begun.Done()
				for ctx.Err() == nil {
					_, _ = traigo.Map(ctx, slices.Values([]int{1}), func(context.Context, int) (int, error) { return 0, nil })
				}
				return nil
			})
		}
		begun.Wait()
		require.NoError(t, s.Close())
	}
}

// A Wrapper ought to pass the context on. One that does not hides the task from its function,
// and no more.
func TestJoinsUnderAWrapperThatHidesTheTask(t *testing.T) {
	hide := traigo.Wrap(func(_ context.Context, next func(context.Context) error) error { return next(context.Background()) })
	one := func(context.Context) (int, error) { return 1, nil }
	require.NoError(t, traigo.Run(t.Context(), func(ctx context.Context, s *traigo.Scope) error {
		all, err := traigo.All(s.Context(), one, one)
		assert.Equal(t, []int{1, 1}, all)
		return err
	}, hide))
}
