//go:build linux

package proc_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/proc"
)

// P10: sources.

// A sourceIn is what a source is to yield: N items of Size bytes, and then what How says. It
// writes the number of each item to File before it yields it.
type sourceIn struct {
	N, Size   int
	How, File string
}

type sourceItem struct {
	I    int
	Pad  []byte
	Pid  int
	Text string
}

var (
	sourceCount = proc.Source("source.count", sourceCounting)
	sourceAny   = proc.Source("source.any", sourceMixing)
	sourceNil   = proc.Source("source.nil", func(context.Context, *sourceItem) iter.Seq2[*sourceItem, error] {
		return func(yield func(*sourceItem, error) bool) {
			_ = yield(nil, nil) && yield(&sourceItem{I: 1}, nil) && yield(nil, errCallRegistered) && yield(nil, nil)
		}
	})
	sourceEmpty = proc.Source("source.empty", func(context.Context, none) iter.Seq2[none, error] {
		return func(yield func(none, error) bool) {
			if yield(none{}, nil) {
				yield(none{}, nil)
			}
		}
	})
	sourceNoIter = proc.Source("source.no iterator", func(context.Context, none) iter.Seq2[none, error] { return nil })
)

func sourceCounting(ctx context.Context, in sourceIn) iter.Seq2[sourceItem, error] {
	return func(yield func(sourceItem, error) bool) {
		callBegin(in.File)
		if in.File != "" {
			defer write(in.File, "end")
		}
		for i := range in.N {
			if in.File != "" {
				write(in.File, fmt.Sprint("i", i))
			}
			if !yield(sourceItem{I: i, Pad: bytes.Repeat([]byte{1}, in.Size), Pid: os.Getpid()}, nil) {
				if in.File != "" {
					write(in.File, "left")
				}
				return
			}
		}
		if in.File != "" {
			write(in.File, "all")
		}
		switch in.How {
		case "waits":
			<-ctx.Done()
			write(in.File, "cause:"+strings.ReplaceAll(context.Cause(ctx).Error(), " ", "-"))
		case "spins":
			callSpinning()
		case "exits":
			os.Exit(3)
		case "panics":
			callPanicHere("on purpose")
		case "Goexit":
			runtime.Goexit()
		case "too large":
			yield(sourceItem{I: in.N, Pad: make([]byte, 64<<20+1)}, nil)
			write(in.File, "after")
		case "errors":
			_ = yield(sourceItem{I: -1}, errCallRegistered) && yield(sourceItem{I: -2}, nil) && yield(sourceItem{}, errors.New("last"))
		case "task fails":
			traigo.Current(ctx).Spawn(func(context.Context) error { return errCallTask })
		case "task is slow":
			traigo.Current(ctx).Spawn(func(context.Context) error {
				for range 100 {
					runtime.Gosched()
				}
				write(in.File, "task")
				return nil
			})
		case "goes on for ever":
			for i := in.N; yield(sourceItem{I: i}, nil); i++ {
			}
		case "ignores that it was left":
			for i := in.N; ; i++ {
				yield(sourceItem{I: i}, nil)
			}
		}
	}
}

// sourceMixing yields values of the named types.
func sourceMixing(_ context.Context, types []string) iter.Seq2[any, error] {
	return func(yield func(any, error) bool) {
		for _, t := range types {
			var v any
			switch t {
			case "part":
				v = functionPart{1, 2}
			case "other":
				v = functionOther{"c"}
			case "square":
				v = functionSquare{2}
			case "nil":
			case "half":
				v = []any{functionPart{1, 2}, functionOther{"c"}, functionAlien{"d"}}
			case "chan":
				v = make(chan int)
			case "picky":
				v = functionPicky{"cannot be decoded there", os.Getpid()}
			}
			if !yield(v, nil) {
				return
			}
		}
	}
}

// sourceAll collects what a sequence yields; errs has an error for each item.
func sourceAll[T any](seq iter.Seq2[T, error]) (items []T, errs []error) {
	for item, err := range seq {
		items, errs = append(items, item), append(errs, err)
	}
	return items, errs
}

// sourceFirst takes the first item of a sequence, and leaves its loop.
func sourceFirst[T any](t *testing.T, seq iter.Seq2[T, error]) (item T) {
	t.Helper()
	for item, err := range seq {
		require.NoError(t, err)
		return item
	}
	require.Fail(t, "there is no item")
	return item
}

func sourceNumbers(items []sourceItem) (numbers []int) {
	for _, item := range items {
		numbers = append(numbers, item.I)
	}
	return numbers
}

func TestItemsAreYieldedInOrderAndTheWorkerIsKept(t *testing.T) {
	noneLeft(t)
	withPool(t, func(ctx context.Context, p *proc.Pool) {
		before := pid(ctx, t)
		items, errs := sourceAll(sourceCount.Run(ctx, sourceIn{N: 500}))
		require.Len(t, items, 500)
		for i, item := range items {
			require.NoError(t, errs[i])
			require.Equal(t, i, item.I)
			require.Equal(t, before, item.Pid)
		}
		items, _ = sourceAll(sourceCount.Run(ctx, sourceIn{N: 0}))
		assert.Empty(t, items)
		assert.Equal(t, before, pid(ctx, t))
		assert.EqualValues(t, 4, p.Stats().Calls)
	})
}

func TestRunStartsNothingBeforeTheLoopAndEachLoopIsACall(t *testing.T) {
	noneLeft(t)
	withPool(t, func(ctx context.Context, p *proc.Pool) {
		seq := sourceCount.Run(ctx, sourceIn{N: 3})
		assert.Zero(t, p.Stats().Started)
		assert.Empty(t, others())
		for range 2 {
			items, _ := sourceAll(seq)
			assert.Equal(t, []int{0, 1, 2}, sourceNumbers(items))
		}
		assert.EqualValues(t, 2, p.Stats().Calls)
	})
}

func TestItemsComeWhileTheSourceRuns(t *testing.T) {
	noneLeft(t)
	withPool(t, func(ctx context.Context, p *proc.Pool) {
		before := pid(ctx, t)
		file := callFile(t, "file")
		n := 0
		for item, err := range sourceCount.Run(ctx, sourceIn{N: 3, How: "waits", File: file}) {
			require.NoError(t, err)
			assert.Equal(t, n, item.I)
			if n++; n == 3 {
				waitUntil(t, func() bool { return slices.Contains(read(file), "all") })
				assert.NotContains(t, read(file), "end", "it runs")
				break
			}
		}
		lines := read(file)
		assert.Equal(t, "end", lines[len(lines)-1], "leaving the loop waits for its end")
		assert.True(t, strings.HasPrefix(lines[len(lines)-2], "cause:"), "leaving the loop cancels it: %v", lines)
		assert.Equal(t, before, pid(ctx, t), "a worker that answers is kept")
		assert.Zero(t, p.Stats().Killed)
	}, proc.KillAfter(time.Minute))
}

func TestTheWorkerIsNotFarAheadOfTheLoop(t *testing.T) {
	noneLeft(t)
	withPool(t, func(ctx context.Context, _ *proc.Pool) {
		file := callFile(t, "file")
		const size, most = 64 << 10, 64 // 4 MiB is more than any socket holds
		n := 0
		for item, err := range sourceCount.Run(ctx, sourceIn{N: 400, Size: size, File: file}) {
			require.NoError(t, err)
			require.Len(t, item.Pad, size)
			n++
			if n%100 == 1 {
				upTo := n + most // not n itself: Never does not wait for the last call of its function
				assert.Never(t, func() bool { return len(read(file)) > upTo }, 300*time.Millisecond, 20*time.Millisecond)
			} else if n%20 == 0 {
				require.LessOrEqual(t, len(read(file)), n+most)
			}
		}
		assert.Equal(t, 400, n)
	})
}

func TestAnErrorOfAnItemIsYieldedWithItAndEndsNothing(t *testing.T) {
	noneLeft(t)
	withPool(t, func(ctx context.Context, p *proc.Pool) {
		items, errs := sourceAll(sourceCount.Run(ctx, sourceIn{N: 1, How: "errors"}))
		assert.Equal(t, []int{0, -1, -2, 0}, sourceNumbers(items))
		assert.NoError(t, errs[0])
		require.ErrorIs(t, errs[1], errCallRegistered)
		var remote *traigo.RemoteError
		require.ErrorAs(t, errs[1], &remote)
		assert.NoError(t, errs[2])
		require.EqualError(t, errs[3], "last")
		assert.NotZero(t, pid(ctx, t))
		assert.EqualValues(t, 1, p.Stats().Started)
	})
}

func TestNilPointersEmptyStructsAndInterfacesAreItems(t *testing.T) {
	noneLeft(t)
	withPool(t, func(ctx context.Context, p *proc.Pool) {
		items, errs := sourceAll(sourceNil.Run(ctx, nil))
		assert.Equal(t, []*sourceItem{nil, {I: 1}, nil, nil}, items)
		assert.Equal(t, []bool{false, false, true, false}, sourceFailed(errs))
		empty, errs := sourceAll(sourceEmpty.Run(ctx, none{}))
		assert.Len(t, empty, 2)
		assert.Equal(t, []bool{false, false}, sourceFailed(errs))
		mixed, errs := sourceAll(sourceAny.Run(ctx, []string{"nil", "part", "nil", "square"}))
		assert.Equal(t, []any{nil, functionPart{1, 2}, nil, functionSquare{2}}, mixed)
		assert.Equal(t, []bool{false, false, false, false}, sourceFailed(errs))
		assert.EqualValues(t, 1, p.Stats().Started)
	})
}

func sourceFailed(errs []error) (failed []bool) {
	for _, err := range errs {
		failed = append(failed, err != nil)
	}
	return failed
}

func TestASourceThatDoesNotHearThatItsLoopWasLeftIsKilled(t *testing.T) {
	noneLeft(t)
	for _, after := range []time.Duration{0, 30 * time.Millisecond} {
		t.Run(fmt.Sprint("after ", after), func(t *testing.T) {
			withPool(t, func(ctx context.Context, p *proc.Pool) {
				file := callFile(t, "file")
				for _, err := range sourceCount.Run(ctx, sourceIn{N: 1, How: "spins", File: file}) {
					require.NoError(t, err)
					waitUntil(t, func() bool { return slices.Contains(read(file), "all") })
					break
				}
				assert.EqualValues(t, 1, p.Stats().Killed)
				assert.Empty(t, others(), "it is reaped when the loop is over")
				assert.NotZero(t, pid(ctx, t))
			}, proc.KillAfter(after))
		})
	}
}

func TestASourceThatYieldsAfterItsLoopWasLeftPanics(t *testing.T) {
	noneLeft(t)
	withPool(t, func(ctx context.Context, p *proc.Pool) {
		value := recovered(func() { sourceFirst(t, sourceCount.Run(ctx, sourceIn{How: "ignores that it was left"})) })
		require.IsType(t, (*traigo.PanicError)(nil), value, "as it does in a loop without proc")
		assert.Contains(t, value.(*traigo.PanicError).Error(), "continued iteration")
		assert.NotZero(t, pid(ctx, t))
		assert.Zero(t, p.Stats().Killed)
	}, proc.KillAfter(time.Minute))
}

func TestLeavingTheLoopEndsASourceThatYieldsForEver(t *testing.T) {
	noneLeft(t)
	withPool(t, func(ctx context.Context, p *proc.Pool) {
		before := pid(ctx, t)
		for range 20 {
			n := 0
			for item, err := range sourceCount.Run(ctx, sourceIn{N: 0, How: "goes on for ever"}) {
				require.NoError(t, err)
				require.Equal(t, n, item.I)
				if n++; n == 50 {
					break
				}
			}
			assert.Equal(t, before, pid(ctx, t), "its worker is kept")
		}
		assert.Zero(t, p.Stats().Killed)
	}, proc.KillAfter(time.Minute))
}

func TestItemsThatNobodyWantedLeaveTheStreamGood(t *testing.T) {
	noneLeft(t)
	withPool(t, func(ctx context.Context, p *proc.Pool) {
		before := pid(ctx, t)
		sourceFirst(t, sourceAny.Run(ctx, []string{"nil", "part", "other", "square"})) // the others are on their way
		got, err := functionGive.Run(ctx, "a part")
		require.NoError(t, err)
		assert.Equal(t, functionPart{1, 2}, got)
		items, errs := sourceAll(sourceAny.Run(ctx, []string{"square", "part", "other"}))
		assert.Equal(t, []any{functionSquare{2}, functionPart{1, 2}, functionOther{"c"}}, items)
		assert.Equal(t, []bool{false, false, false}, sourceFailed(errs))
		for range 30 {
			sourceFirst(t, sourceAny.Run(ctx, slices.Repeat([]string{"part", "other", "square"}, 5)))
			requireEcho(ctx, t, functionAny, any([]any{functionSquare{3}, functionOther{"x"}}))
		}
		assert.Equal(t, before, pid(ctx, t))
		assert.EqualValues(t, 1, p.Stats().Started)
	}, proc.KillAfter(time.Minute))
}

func TestACancelIsYieldedLast(t *testing.T) {
	noneLeft(t)
	for _, how := range []string{"waits", "spins"} {
		after := time.Minute
		if how == "spins" {
			after = 0
		}
		t.Run(how, func(t *testing.T) {
			withPool(t, func(ctx context.Context, p *proc.Pool) {
				inner, cancel := context.WithCancelCause(ctx)
				var numbers []int
				var last error
				for item, err := range sourceCount.Run(inner, sourceIn{N: 3, How: how, File: callFile(t, "file")}) {
					require.NoError(t, last, "nothing comes after it")
					if last = err; err != nil {
						assert.Zero(t, item)
						continue
					}
					if numbers = append(numbers, item.I); len(numbers) == 3 {
						cancel(errCallCause)
					}
				}
				assert.Equal(t, []int{0, 1, 2}, numbers)
				assert.Same(t, errCallCause, last)
				assert.NotZero(t, pid(ctx, t))
				cancel(nil)
			}, proc.KillAfter(after))
		})
	}
}

func TestWhatElseEndsASourceIsYieldedLastAndNoItemIsLost(t *testing.T) {
	noneLeft(t)
	const n = 300 // more than the socket holds
	tests := []struct {
		how   string
		check func(t *testing.T, err error)
		lives bool
	}{
		{"exits", func(t *testing.T, err error) {
			var broken *proc.BrokenWorkerError
			require.ErrorAs(t, err, &broken)
			assert.Equal(t, "source.count", broken.Func)
			assert.Equal(t, 3, broken.State.ExitCode())
		}, false},
		{"too large", func(t *testing.T, err error) {
			require.ErrorIs(t, err, proc.ErrTooLarge)
			assert.Contains(t, err.Error(), "source.count")
		}, true},
		{"task fails", func(t *testing.T, err error) { require.ErrorIs(t, err, errCallTask) }, true},
		{"Goexit", func(t *testing.T, err error) { require.ErrorIs(t, err, traigo.ErrGoexit) }, false},
	}
	for _, test := range tests {
		t.Run(test.how, func(t *testing.T) {
			withPool(t, func(ctx context.Context, p *proc.Pool) {
				before := pid(ctx, t)
				items, errs := sourceAll(sourceCount.Run(ctx, sourceIn{N: n, Size: 2000, How: test.how, File: callFile(t, "file")}))
				require.Len(t, items, n+1)
				for i := range n {
					require.NoError(t, errs[i])
					require.Equal(t, i, items[i].I)
				}
				assert.Zero(t, items[n])
				test.check(t, errs[n])
				after := pid(ctx, t)
				if test.lives {
					assert.Equal(t, before, after, "the worker lives")
				}
			})
		})
	}
}

func TestWhatASourceSpawnsIsJoinedBeforeTheLoopIsOver(t *testing.T) {
	noneLeft(t)
	withPool(t, func(ctx context.Context, _ *proc.Pool) {
		file := callFile(t, "file")
		items, errs := sourceAll(sourceCount.Run(ctx, sourceIn{N: 2, How: "task is slow", File: file}))
		assert.Equal(t, []int{0, 1}, sourceNumbers(items))
		assert.Equal(t, []bool{false, false}, sourceFailed(errs))
		assert.Contains(t, read(file), "task")
	})
}

func TestItemsThatCannotBeEncoded(t *testing.T) {
	noneLeft(t)
	for _, how := range []string{"half", "chan"} {
		t.Run(how, func(t *testing.T) {
			withPool(t, func(ctx context.Context, p *proc.Pool) {
				before := pid(ctx, t)
				items, errs := sourceAll(sourceAny.Run(ctx, []string{"square", how}))
				require.Len(t, items, 2)
				assert.Equal(t, functionSquare{2}, items[0])
				assert.NoError(t, errs[0])
				require.ErrorContains(t, errs[1], "source.any")
				assert.Nil(t, items[1])
				for range 2 {
					items, errs = sourceAll(sourceAny.Run(ctx, []string{"part", "other", "square"}))
					assert.Equal(t, []any{functionPart{1, 2}, functionOther{"c"}, functionSquare{2}}, items)
					assert.Equal(t, []bool{false, false, false}, sourceFailed(errs))
				}
				assert.Equal(t, before, pid(ctx, t))
				assert.EqualValues(t, 1, p.Stats().Started)
			})
		})
	}
}

func TestAnItemThatCannotBeDecodedLosesNoOther(t *testing.T) {
	noneLeft(t)
	withPool(t, func(ctx context.Context, p *proc.Pool) {
		items, errs := sourceAll(sourceAny.Run(ctx, []string{"square", "picky", "part", "square"}))
		require.GreaterOrEqual(t, len(items), 2)
		assert.Equal(t, functionSquare{2}, items[0])
		require.ErrorContains(t, errs[1], "source.any")
		assert.Nil(t, items[1])
		for i := 2; i < len(items); i++ {
			assert.True(t, errs[i] != nil || items[i] != nil, "no item is silently another one")
		}
		items, errs = sourceAll(sourceAny.Run(ctx, []string{"part", "other", "square"}))
		assert.Equal(t, []any{functionPart{1, 2}, functionOther{"c"}, functionSquare{2}}, items)
		assert.Equal(t, []bool{false, false, false}, sourceFailed(errs))
		assert.EqualValues(t, 1, p.Stats().Started)
	})
}

func TestAnUnencodableArgumentOfASourceIsYielded(t *testing.T) {
	noneLeft(t)
	withPool(t, func(ctx context.Context, p *proc.Pool) {
		before := pid(ctx, t)
		items, errs := sourceAll(sourceChan.Run(ctx, make(chan int)))
		require.Len(t, items, 1)
		require.ErrorContains(t, errs[0], "source.chan")
		assert.Equal(t, before, pid(ctx, t))
		assert.EqualValues(t, 1, p.Stats().Started)
	})
}

var sourceChan = proc.Source("source.chan", func(context.Context, chan int) iter.Seq2[int, error] { return func(func(int, error) bool) {} })

func TestAPanicOfASourceContinuesFromTheLoop(t *testing.T) {
	noneLeft(t)
	withPool(t, func(ctx context.Context, p *proc.Pool) {
		var numbers []int
		value := recovered(func() {
			for item, err := range sourceCount.Run(ctx, sourceIn{N: 5, How: "panics"}) {
				assert.NoError(t, err)
				numbers = append(numbers, item.I)
			}
		})
		assert.Equal(t, []int{0, 1, 2, 3, 4}, numbers, "items before are not lost")
		require.IsType(t, (*traigo.PanicError)(nil), value)
		text := value.(*traigo.PanicError).Error()
		assert.Contains(t, text, "source.count")
		assert.Equal(t, 1, strings.Count(text, "callPanicHere"), "%s", text)
		assert.NotZero(t, pid(ctx, t))

		value = recovered(func() {
			_, errs := sourceAll(sourceNoIter.Run(ctx, none{}))
			assert.Empty(t, errs, "of no iterator")
		})
		require.IsType(t, (*traigo.PanicError)(nil), value, "a nil iterator")
		assert.NotZero(t, pid(ctx, t))
	})
}

func TestAPanicOrGoexitInTheLoopCancelsTheSourceAndContinues(t *testing.T) {
	noneLeft(t)
	withPool(t, func(ctx context.Context, p *proc.Pool) {
		before := pid(ctx, t)
		for _, how := range []string{"panic", "Goexit"} {
			file := callFile(t, "file")
			var value any
			isOver := make(chan bool)
			go func() {
				returned := false
				defer func() {
					value = recover()
					assert.False(t, returned)
					close(isOver)
				}()
				for _, err := range sourceCount.Run(ctx, sourceIn{N: 3, How: "waits", File: file}) {
					assert.NoError(t, err)
					if how == "Goexit" {
						runtime.Goexit()
					}
					panic("of the loop")
				}
				returned = true
			}()
			<-isOver
			if how == "panic" {
				assert.Equal(t, "of the loop", value, "its own value")
			} else {
				assert.Nil(t, value)
			}
			assert.Contains(t, read(file), "end", "the source was joined")
			assert.Equal(t, before, pid(ctx, t), "a worker that answers is kept")
		}
		assert.Zero(t, p.Stats().Busy)
	}, proc.KillAfter(time.Minute))
}

func TestPullOfASource(t *testing.T) {
	noneLeft(t)
	withPool(t, func(ctx context.Context, p *proc.Pool) {
		before := pid(ctx, t)
		file := callFile(t, "file")
		next, stop := iter.Pull2(sourceCount.Run(ctx, sourceIn{N: 5, How: "waits", File: file}))
		for i := range 2 {
			item, err, ok := next()
			require.True(t, ok)
			require.NoError(t, err)
			assert.Equal(t, i, item.I)
		}
		stop()
		assert.Contains(t, read(file), "end")
		assert.Equal(t, before, pid(ctx, t))
		assert.Zero(t, p.Stats().Busy)
	}, proc.KillAfter(time.Minute))
}

func TestSourcesAtOnceAndCallsInsideOfLoops(t *testing.T) {
	noneLeft(t)
	withPool(t, func(ctx context.Context, p *proc.Pool) {
		n := 0
		for a, err := range sourceCount.Run(ctx, sourceIn{N: 4}) {
			require.NoError(t, err)
			for b, err := range sourceCount.Run(ctx, sourceIn{N: 4}) {
				require.NoError(t, err)
				got, err := functionEcho.Run(ctx, strconv.Itoa(a.I*b.I))
				require.NoError(t, err)
				assert.Equal(t, strconv.Itoa(a.I*b.I), got)
				n++
			}
		}
		assert.Equal(t, 16, n)
		var wg sync.WaitGroup
		for range 12 {
			wg.Go(func() {
				items, errs := sourceAll(sourceCount.Run(ctx, sourceIn{N: 200, Size: 100}))
				assert.Len(t, items, 200)
				assert.NotContains(t, sourceFailed(errs), true)
			})
		}
		wg.Wait()
		assert.LessOrEqual(t, p.Stats().Started, uint64(3))
	}, proc.Limit(3))
}

func TestASourceIsRefusedWhereThePoolHasEnded(t *testing.T) {
	noneLeft(t)
	s := traigo.New(t.Context())
	p := proc.Open(s)
	require.NoError(t, s.Close())
	items, errs := sourceAll(sourceCount.Run(proc.With(t.Context(), p), sourceIn{N: 1}))
	require.Len(t, items, 1)
	require.ErrorIs(t, errs[0], traigo.ErrRefused)
}

func TestASourceWithoutAPoolHasAWorkerOfItsOwn(t *testing.T) {
	noneLeft(t)
	items, errs := sourceAll(sourceCount.Run(t.Context(), sourceIn{N: 3}))
	assert.Equal(t, []int{0, 1, 2}, sourceNumbers(items))
	assert.Equal(t, []bool{false, false, false}, sourceFailed(errs))
	assert.Empty(t, others())
	sourceFirst(t, sourceCount.Run(t.Context(), sourceIn{N: 3, How: "goes on for ever"}))
	assert.Empty(t, others())
}
