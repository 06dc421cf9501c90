//go:build linux

package proc_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/proc"
)

// P3: which pool.

// poolCalls makes a call under ctx and returns the number of the pool that has served it, -1
// if none has.
func poolCalls(t *testing.T, ctx context.Context, pools ...*proc.Pool) int {
	t.Helper()
	before := make([]uint64, len(pools))
	for i, p := range pools {
		before[i] = p.Stats().Calls
	}
	_, err := getPid.Run(ctx, none{})
	require.NoError(t, err)
	for i, p := range pools {
		if p.Stats().Calls != before[i] {
			return i
		}
	}
	return -1
}

func TestTheNearestScopeWithAPoolCounts(t *testing.T) {
	noneLeft(t)
	require.NoError(t, traigo.Run(t.Context(), func(ctx context.Context, s *traigo.Scope) error {
		assert.Equal(t, -1, poolCalls(t, ctx))
		outer := proc.Open(s, quiet())
		assert.Equal(t, 0, poolCalls(t, ctx, outer), "also with a context that is older than the pool")
		return traigo.Run(ctx, func(ctx context.Context, below *traigo.Scope) error {
			assert.Equal(t, 0, poolCalls(t, ctx, outer), "a scope below")
			inner := proc.Open(below, quiet())
			assert.Equal(t, 1, poolCalls(t, ctx, outer, inner))
			last := proc.Open(below, quiet())
			assert.Equal(t, 2, poolCalls(t, ctx, outer, inner, last), "the last one opened in it")
			assert.Equal(t, 0, poolCalls(t, s.Context(), outer, inner, last))
			fork := below.Fork()
			defer fork.Finalize()
			assert.Equal(t, 2, poolCalls(t, fork.Context(), outer, inner, last))
			_, err := traigo.MoveOnAfter(ctx, time.Minute, func(ctx context.Context) error {
				assert.Equal(t, 2, poolCalls(t, ctx, outer, inner, last))
				return nil
			})
			return err
		})
	}))
}

func TestATaskUsesThePoolOfTheScopeItRunsIn(t *testing.T) {
	noneLeft(t)
	require.NoError(t, traigo.Run(t.Context(), func(ctx context.Context, s *traigo.Scope) error {
		outer := proc.Open(s, quiet())
		return traigo.Run(ctx, func(ctx context.Context, below *traigo.Scope) error {
			inner := proc.Open(below, quiet())
			used := func(of *traigo.Scope) int {
				got, err := traigo.Async(of, func(ctx context.Context) (int, error) {
					return poolCalls(t, ctx, outer, inner), nil
				}).Await(ctx)
				require.NoError(t, err)
				return got
			}
			assert.Equal(t, 1, used(below))
			assert.Equal(t, 0, used(s), "spawned from below")

			before := outer.Stats().Calls
			_, err := functionEcho.Async(s, "x").Await(ctx)
			require.NoError(t, err)
			assert.Equal(t, before+1, outer.Stats().Calls, "Async likewise")
			return nil
		})
	}))
}

func TestWithCountsAsOpenedInsideTheScope(t *testing.T) {
	noneLeft(t)
	require.NoError(t, traigo.Run(t.Context(), func(ctx context.Context, s *traigo.Scope) error {
		chosen, own := proc.Open(s, quiet()), proc.Open(s, quiet())
		assert.Equal(t, 1, poolCalls(t, ctx, chosen, own))
		with := proc.With(ctx, chosen)
		assert.Equal(t, 0, poolCalls(t, with, chosen, own), "it outdoes the pools of the scope")
		assert.Equal(t, 1, poolCalls(t, proc.With(with, own), chosen, own), "the last one counts")
		assert.Equal(t, 1, poolCalls(t, ctx, chosen, own), "the context it was derived from is as it was")

		later := proc.Open(s, quiet())
		assert.Equal(t, 0, poolCalls(t, with, chosen, own, later), "it is just inside the scope")
		return traigo.Run(with, func(ctx context.Context, below *traigo.Scope) error {
			assert.Equal(t, 0, poolCalls(t, ctx, chosen, own), "a scope further in without a pool")
			inner := proc.Open(below, quiet())
			assert.Equal(t, 2, poolCalls(t, ctx, chosen, own, inner), "a pool opened further in outdoes it")
			assert.Equal(t, 1, poolCalls(t, proc.With(ctx, own), chosen, own, inner))
			return nil
		})
	}))
}

func TestWithAloneCountsWhereThereIsNoScope(t *testing.T) {
	noneLeft(t)
	withPool(t, func(ctx context.Context, p *proc.Pool) {
		foreign := proc.With(t.Context(), p)
		assert.Nil(t, traigo.Current(foreign))
		assert.Equal(t, 0, poolCalls(t, foreign, p))
		require.NoError(t, traigo.Run(foreign, func(foreign context.Context, s *traigo.Scope) error {
			assert.Equal(t, 0, poolCalls(t, foreign, p), "a tree that is opened under it")
			other := proc.Open(s, quiet())
			assert.Equal(t, 1, poolCalls(t, foreign, p, other), "a pool opened further in outdoes it")
			return nil
		}))
		assert.Equal(t, -1, poolCalls(t, t.Context(), p))
	})
}

func TestWithoutAPoolEachCallHasAWorkerOfItsOwn(t *testing.T) {
	noneLeft(t)
	var pids []int
	for range 3 {
		pids = append(pids, pid(t.Context(), t))
		assert.Empty(t, others(), "it is gone when the call returns")
	}
	slices.Sort(pids)
	assert.Len(t, slices.Compact(pids), 3)
	n, err := callCount.Run(t.Context(), none{})
	require.NoError(t, err)
	again, err := callCount.Run(t.Context(), none{})
	require.NoError(t, err)
	assert.Equal(t, n, again, "no state is shared")
}

func TestWithoutAPoolAtMostGOMAXPROCSWorkersRun(t *testing.T) {
	noneLeft(t)
	most := runtime.GOMAXPROCS(0)
	file, release := callFile(t, "file"), callFile(t, "release")
	var calls []<-chan callResult[int]
	for range most + 4 {
		calls = append(calls, callGo(t.Context(), callWait, callHow{release, file}))
	}
	waitUntil(t, func() bool { return len(read(file)) == most })
	assert.Never(t, func() bool { return len(others()) > most }, 300*time.Millisecond, 10*time.Millisecond)
	canceled, cancel := context.WithCancelCause(t.Context())
	waits := callGo(canceled, callCount, none{})
	time.AfterFunc(10*time.Millisecond, func() { cancel(errCallCause) })
	assert.Same(t, errCallCause, (<-waits).err, "waiting hears ctx")
	write(release, "now")
	for _, c := range calls {
		require.NoError(t, (<-c).err)
	}
	assert.Empty(t, others())
}

// P11: the end of a pool.

func TestTheEndOfAPool(t *testing.T) {
	noneLeft(t)
	ends := map[string]func(s *traigo.Scope){
		"Finalize":          (*traigo.Scope).Finalize,
		"Cancel":            func(s *traigo.Scope) { s.Cancel(nil) },
		"Cancel with cause": func(s *traigo.Scope) { s.Cancel(errCallCause) },
		"Close":             func(s *traigo.Scope) { go func() { _ = s.Close() }() },
	}
	for how, end := range ends {
		t.Run(how, func(t *testing.T) {
			require.NoError(t, traigo.Run(t.Context(), func(ctx context.Context, s *traigo.Scope) error {
				fork := s.Fork()
				p := proc.Open(fork, quiet(), proc.Limit(2), proc.KillAfter(0))
				outside := proc.With(t.Context(), p)

				idle := callGo(outside, getPid, none{})
				require.NoError(t, (<-idle).err)
				file, release := callFile(t, "file"), callFile(t, "release")
				var running []<-chan callResult[int]
				for i := range 2 {
					running = append(running, callGo(outside, callWait, callHow{release, file}))
					callBegun(t, file, i+1)
				}
				waiting := callGo(outside, callCount, none{})
				waitUntil(t, func() bool { return p.Stats().Waiting == 1 })

				end(fork)
				assert.ErrorIs(t, (<-waiting).err, traigo.ErrRefused, "a call that waits")
				_, err := callCount.Run(outside, none{})
				assert.ErrorIs(t, err, traigo.ErrRefused, "a call that comes later")
				assert.ErrorContains(t, err, "pool")
				for _, c := range running {
					assert.False(t, callHasEnded(c), "calls that run go on")
				}
				select {
				case <-fork.Done():
					assert.Fail(t, "the scope waits for the calls that run")
				default:
				}
				assert.NoError(t, ctx.Err())
				write(release, "now")
				for _, c := range running {
					assert.NoError(t, (<-c).err)
				}
				_ = fork.Wait()
				assert.Empty(t, others(), "when the scope is closed none of its processes exists")
				_, err = callCount.Run(outside, none{})
				assert.ErrorIs(t, err, traigo.ErrRefused)
				stats := p.Stats()
				assert.Zero(t, stats.Busy)
				assert.Zero(t, stats.Waiting)
				assert.Zero(t, stats.Idle)
				assert.Empty(t, stats.Workers)
				assert.EqualValues(t, 2, stats.Started)
				assert.EqualValues(t, 2, stats.Retired)
				assert.Zero(t, stats.Killed)
				assert.Zero(t, stats.Broken)
				return nil
			}))
		})
	}
}

func TestTasksOfAFinalizingScopeStillCall(t *testing.T) {
	noneLeft(t)
	var p *proc.Pool
	require.NoError(t, traigo.Run(t.Context(), func(_ context.Context, s *traigo.Scope) error {
		p = proc.Open(s, quiet())
		s.Spawn(func(ctx context.Context) error {
			for s.State() == traigo.Open {
				runtime.Gosched()
			}
			for range 3 {
				if _, err := getPid.Run(ctx, none{}); err != nil {
					return err
				}
			}
			return nil
		})
		return nil
	}))
	assert.EqualValues(t, 3, p.Stats().Calls)
	assert.Empty(t, others())
}

func TestIdleWorkersDoNotKeepAFinalizingScope(t *testing.T) {
	noneLeft(t)
	require.NoError(t, traigo.Run(t.Context(), func(ctx context.Context, s *traigo.Scope) error {
		proc.Open(s, proc.IdleTimeout(0))
		assert.NotZero(t, pid(ctx, t))
		return nil
	}))
	assert.Empty(t, others())
}

func TestTheEndOfAPoolThatHasNeverStartedAWorker(t *testing.T) {
	noneLeft(t)
	var p *proc.Pool
	require.NoError(t, traigo.Run(t.Context(), func(_ context.Context, s *traigo.Scope) error {
		p = proc.Open(s, quiet())
		return nil
	}))
	assert.Zero(t, p.Stats().Started)
	_, err := getPid.Run(proc.With(t.Context(), p), none{})
	require.ErrorIs(t, err, traigo.ErrRefused)
}

func TestAPoolOpenedInAScopeThatHasEndedRefuses(t *testing.T) {
	noneLeft(t)
	s := traigo.New(t.Context())
	require.NoError(t, s.Close())
	p := proc.Open(s, quiet())
	_, err := getPid.Run(proc.With(t.Context(), p), none{})
	require.ErrorIs(t, err, traigo.ErrRefused)
	assert.Zero(t, p.Stats().Started)
}

func TestCallsOfTheScopeItselfAreCanceledWithIt(t *testing.T) {
	noneLeft(t)
	file := callFile(t, "file")
	s := traigo.New(t.Context())
	p := proc.Open(s, proc.KillAfter(0))
	f := callSpin.Async(s, file)
	running := callBegun(t, file)
	s.Cancel(errCallCause)
	_, err := f.Await(t.Context())
	require.ErrorIs(t, err, errCallCause)
	require.ErrorIs(t, s.Wait(), errCallCause)
	assert.True(t, isGone(running))
	assert.EqualValues(t, 1, p.Stats().Killed)
	assert.Empty(t, others())
}

func TestACancelTimeoutOfTheScopeDoesNotGiveUpWorkersAtWork(t *testing.T) {
	noneLeft(t)
	file, release := callFile(t, "file"), callFile(t, "release")
	s := traigo.New(t.Context(), traigo.CancelTimeout(10*time.Millisecond))
	outside := proc.With(t.Context(), proc.Open(s, quiet()))
	c := callGo(outside, callWait, callHow{release, file})
	callBegun(t, file)
	s.Cancel(nil)
	assert.Never(t, func() bool { return s.State() == traigo.Closed }, 200*time.Millisecond, 10*time.Millisecond)
	write(release, "now")
	require.NoError(t, (<-c).err)
	require.NoError(t, s.Wait())
	assert.Empty(t, others())
}

func TestManyPoolsOpenedAndClosedWhileCallsCome(t *testing.T) {
	noneLeft(t)
	callNoLeak(t)
	for range 15 {
		s := traigo.New(t.Context())
		p := proc.Open(s, quiet(), proc.Limit(3), proc.KillAfter(0))
		outside := proc.With(t.Context(), p)
		var wg sync.WaitGroup
		for range 6 {
			wg.Go(func() {
				for {
					if _, err := getPid.Run(outside, none{}); err != nil {
						assert.ErrorIs(t, err, traigo.ErrRefused)
						return
					}
				}
			})
		}
		time.Sleep(rand.N(60 * time.Millisecond))
		require.NoError(t, s.Close())
		assert.Empty(t, others())
		wg.Wait()
	}
}

// poolEnd is how a task has ended.
type poolEnd struct {
	name string
	err  error
}

// poolEnds records the tasks of all pools below the scope that has the option.
func poolEnds() (traigo.ScopeOption, func() []poolEnd) {
	var mu sync.Mutex
	var ends []poolEnd
	observe := traigo.Observe(poolObserver(func(e traigo.Event) {
		if e.Kind == traigo.TaskEnded && e.Task.Scope().Name() == "pool" {
			mu.Lock()
			defer mu.Unlock()
			ends = append(ends, poolEnd{e.Task.Name(), e.Err})
		}
	}))
	return observe, func() []poolEnd {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(ends)
	}
}

type poolObserver func(e traigo.Event)

func (f poolObserver) Observe(e traigo.Event) { f(e) }

// P12: Init. The functions that workers begin with:

type poolInitIn struct{ How, File string }

var (
	poolInit    = proc.Func("pool.init", poolInitializing)
	poolInits   = proc.Func("pool.inits", func(context.Context, none) ([]string, error) { return poolInited, nil })
	poolHold    = proc.Func("pool.hold", callWaiting)
	poolAny     = proc.Func("pool.init any", func(context.Context, any) (none, error) { return none{}, nil })
	poolMemory  = proc.Func("pool.memory", poolAllocating)
	poolInited  []string
	errPoolInit = errors.New("the worker is not to begin")
	_           = func() bool { traigo.RegisterError(errPoolInit); return true }()
)

func poolInitializing(ctx context.Context, in poolInitIn) (none, error) {
	poolInited = append(poolInited, in.How)
	if in.File != "" {
		write(in.File, fmt.Sprint("init:", os.Getpid()))
	}
	s := traigo.Current(ctx)
	switch in.How {
	case "background":
		s.Spawn(func(ctx context.Context) error {
			<-ctx.Done()
			write(in.File, fmt.Sprint("left:", os.Getpid()))
			return nil
		}, traigo.Name("background"))
	case "background that counts":
		s.Spawn(func(ctx context.Context) error {
			for ctx.Err() == nil {
				write(in.File, "tick")
				_ = traigo.Sleep(ctx, 5*time.Millisecond)
			}
			return nil
		})
	case "background that does not hear":
		s.Spawn(func(context.Context) error {
			for {
				time.Sleep(time.Hour)
			}
		})
	case "background that fails":
		s.Spawn(func(ctx context.Context) error {
			for {
				if _, err := os.Stat(in.File + " fail"); err == nil {
					return errPoolInit
				}
				if err := traigo.Sleep(ctx, 2*time.Millisecond); err != nil {
					return err
				}
			}
		})
	case "background that panics":
		s.Spawn(func(ctx context.Context) error {
			for {
				if _, err := os.Stat(in.File + " fail"); err == nil {
					callPanicHere("in the background")
				}
				if err := traigo.Sleep(ctx, 2*time.Millisecond); err != nil {
					return err
				}
			}
		})
	case "panics when it leaves":
		s.Spawn(func(ctx context.Context) error { <-ctx.Done(); panic("when it leaves") })
	case "fails":
		return none{}, fmt.Errorf("init: %w", errPoolInit)
	case "panics":
		callPanicHere("in Init")
	case "Goexit":
		runtime.Goexit()
	case "exits":
		os.Exit(5)
	case "hangs":
		select {}
	case "spins":
		callSpinning()
	case "is slow":
		time.Sleep(30 * time.Millisecond)
	}
	return none{}, nil
}

func TestInitIsCalledOnceInEachNewWorkerBeforeItsFirstJob(t *testing.T) {
	noneLeft(t)
	file := callFile(t, "file")
	withPool(t, func(ctx context.Context, p *proc.Pool) {
		for range 3 {
			got, err := poolInits.Run(ctx, none{})
			require.NoError(t, err)
			assert.Equal(t, []string{"is slow"}, got)
		}
		assert.Len(t, read(file), 1)
		held, release := callFile(t, "held"), callFile(t, "release")
		var calls []<-chan callResult[int]
		for i := range 3 {
			calls = append(calls, callGo(ctx, poolHold, callHow{release, held}))
			callBegun(t, held, i+1)
		}
		write(release, "now")
		for _, c := range calls {
			require.NoError(t, (<-c).err)
		}
		lines := read(file)
		slices.Sort(lines)
		assert.Len(t, slices.Compact(lines), 3, "once in each of three workers")
		assert.Len(t, read(file), 3)
		assert.EqualValues(t, 6, p.Stats().Calls, "it is no job")
	}, proc.Limit(3), proc.Init(poolInit, poolInitIn{"is slow", file}))
}

func TestTheScopeOfInitLivesAsLongAsTheWorker(t *testing.T) {
	noneLeft(t)
	file := callFile(t, "file")
	var worker int
	withPool(t, func(ctx context.Context, _ *proc.Pool) {
		worker = pid(ctx, t)
		assert.Equal(t, worker, pid(ctx, t))
		assert.Equal(t, []string{fmt.Sprint("init:", worker)}, read(file))
	}, proc.Init(poolInit, poolInitIn{"background", file}))
	assert.Equal(t, []string{fmt.Sprint("init:", worker), fmt.Sprint("left:", worker)}, read(file),
		"what it spawned was canceled and joined when the worker left")

	file = callFile(t, "ticks")
	withPool(t, func(ctx context.Context, _ *proc.Pool) {
		_ = pid(ctx, t)
		n := len(read(file))
		waitUntil(t, func() bool { return len(read(file)) > n+3 }, "it goes on while the worker is idle")
	}, proc.Init(poolInit, poolInitIn{"background that counts", file}))
}

func TestAWorkerWithoutAPoolAlsoLeavesByItsScope(t *testing.T) {
	noneLeft(t)
	file := callFile(t, "file")
	withPool(t, func(ctx context.Context, _ *proc.Pool) {
		for i := range 3 {
			_ = pid(ctx, t)
			waitUntil(t, func() bool { return len(read(file)) == 2*(i+1) }, "each retired worker has joined its background task")
		}
	}, proc.Init(poolInit, poolInitIn{"background", file}), proc.Retire(func(proc.Worker) bool { return true }))
}

func TestAnInitThatFailsIsTheErrorOfTheCallThatStartedTheWorker(t *testing.T) {
	noneLeft(t)
	tests := map[string]func(t *testing.T, e *proc.BrokenWorkerError){
		"fails": func(t *testing.T, e *proc.BrokenWorkerError) {
			require.ErrorIs(t, e.Err, errPoolInit)
			assert.Contains(t, e.Error(), "init: the worker is not to begin")
			assert.Equal(t, 1, e.State.ExitCode())
		},
		"panics": func(t *testing.T, e *proc.BrokenWorkerError) { assert.Contains(t, e.Error(), "in Init") },
		"Goexit": func(t *testing.T, e *proc.BrokenWorkerError) { require.ErrorIs(t, e, traigo.ErrGoexit) },
		"exits":  func(t *testing.T, e *proc.BrokenWorkerError) { assert.Equal(t, 5, e.State.ExitCode()) },
	}
	for how, check := range tests {
		t.Run(how, func(t *testing.T) {
			file := callFile(t, "file")
			withPool(t, func(ctx context.Context, p *proc.Pool) {
				for i := range 3 {
					_, err := getPid.Run(ctx, none{})
					var broken *proc.BrokenWorkerError
					require.ErrorAs(t, err, &broken)
					assert.Equal(t, getPid.Name(), broken.Func)
					assert.Equal(t, fmt.Sprint("init:", broken.Pid), read(file)[i])
					require.NotNil(t, broken.State)
					check(t, broken)
					assert.Empty(t, others(), "the worker has ended")
				}
				waitUntil(t, func() bool { return p.Stats().Broken == 3 })
				assert.EqualValues(t, 3, p.Stats().Started)
			}, proc.Init(poolInit, poolInitIn{how, file}))
		})
	}
}

func TestAnInitThatHangsIsKilledWhenTheCallIsCanceled(t *testing.T) {
	noneLeft(t)
	for _, how := range []string{"hangs", "spins"} {
		for _, after := range []time.Duration{0, 30 * time.Millisecond} {
			t.Run(fmt.Sprint(how, ", killed after ", after), func(t *testing.T) {
				file := callFile(t, "file")
				withPool(t, func(ctx context.Context, p *proc.Pool) {
					inner, cancel := context.WithCancelCause(ctx)
					c := callGo(inner, getPid, none{})
					waitUntil(t, func() bool { return len(read(file)) == 1 })
					cancel(errCallCause)
					assert.Same(t, errCallCause, (<-c).err)
					assert.Empty(t, others())
					assert.EqualValues(t, 1, p.Stats().Killed)
				}, proc.Init(poolInit, poolInitIn{how, file}), proc.KillAfter(after))
			})
		}
	}
}

func TestAnInitWithAnArgumentThatCannotBeEncoded(t *testing.T) {
	noneLeft(t)
	withPool(t, func(ctx context.Context, p *proc.Pool) {
		for range 2 {
			_, err := getPid.Run(ctx, none{})
			require.ErrorContains(t, err, poolAny.Name())
		}
		waitUntil(t, func() bool { return len(others()) == 0 }, "no worker without its Init is kept")
		assert.Zero(t, p.Stats().Calls)
	}, proc.Init(poolAny, any(functionAlien{"d"})))
}

// Whatever keeps the first call of a new worker from its job does not keep the worker from
// its Init.
func TestNoWorkerServesWithoutItsInit(t *testing.T) {
	noneLeft(t)
	tests := map[string]func(t *testing.T, ctx context.Context){
		"the first call is canceled when it has its worker": func(t *testing.T, ctx context.Context) {
			_, err := functionEcho.Run(ctx, "cancel me")
			require.Same(t, errCallCause, err)
		},
		"the first argument cannot be encoded": func(t *testing.T, ctx context.Context) {
			_, err := functionAny.Run(ctx, functionAlien{"d"})
			require.ErrorContains(t, err, functionAny.Name())
		},
	}
	for name, first := range tests {
		t.Run(name, func(t *testing.T) {
			outer, stop := context.WithCancelCause(t.Context())
			defer stop(nil)
			canceler := func(ctx context.Context, next func(context.Context) error) error {
				if strings.HasPrefix(traigo.Current(ctx).Name(), functionEcho.Name()+"[") {
					stop(errCallCause)
					waitUntil(t, func() bool { return ctx.Err() != nil })
				}
				return next(ctx)
			}
			withPool(t, func(ctx context.Context, p *proc.Pool) {
				_ = traigo.Run(proc.With(outer, p), func(ctx context.Context, _ *traigo.Scope) error {
					first(t, ctx)
					return nil
				}, traigo.Wrap(canceler))
				for range 2 {
					got, err := poolInits.Run(ctx, none{})
					require.NoError(t, err)
					assert.Equal(t, []string{"is slow"}, got)
				}
			}, proc.Init(poolInit, poolInitIn{How: "is slow"}), proc.KillAfter(time.Minute))
		})
	}
}

func TestCancelsWhileWorkersStartLoseNoInit(t *testing.T) {
	noneLeft(t)
	withPool(t, func(ctx context.Context, p *proc.Pool) {
		for range 40 {
			inner, cancel := context.WithCancelCause(ctx)
			time.AfterFunc(rand.N(40*time.Millisecond), func() { cancel(errCallCause) })
			if _, err := getPid.Run(inner, none{}); err != nil {
				require.Same(t, errCallCause, err)
			}
			got, err := poolInits.Run(ctx, none{})
			require.NoError(t, err)
			require.Equal(t, []string{""}, got)
			cancel(nil)
		}
	}, proc.Init(poolInit, poolInitIn{}), proc.KillAfter(time.Minute), proc.Retire(func(w proc.Worker) bool { return w.Calls%2 == 0 }))
}

func TestAFailureOfTheScopeOfInitEndsTheWorker(t *testing.T) {
	noneLeft(t)
	for how, code := range map[string]int{"background that fails": 1, "background that panics": 2} {
		t.Run(how+", idle", func(t *testing.T) {
			file := callFile(t, "file")
			observe, ends := poolEnds()
			require.NoError(t, traigo.Run(t.Context(), func(ctx context.Context, s *traigo.Scope) error {
				p := proc.Open(s, proc.Limit(1), proc.Init(poolInit, poolInitIn{how, file}), quiet())
				before := pid(ctx, t)
				write(file+" fail", "now")
				waitUntil(t, func() bool { return p.Stats().Broken == 1 })
				assert.NoError(t, os.Remove(file+" fail"))
				assert.NotEqual(t, before, pid(ctx, t), "it is nobody's error")
				waitUntil(t, func() bool { return len(ends()) > 0 })
				var broken *proc.BrokenWorkerError
				require.ErrorAs(t, ends()[0].err, &broken, "but its task's")
				assert.Equal(t, fmt.Sprint("worker ", before), ends()[0].name)
				assert.Equal(t, code, broken.State.ExitCode())
				return nil
			}, observe))
		})
		t.Run(how+", at work", func(t *testing.T) {
			file := callFile(t, "file")
			withPool(t, func(ctx context.Context, p *proc.Pool) {
				held := callFile(t, "held")
				c := callGo(ctx, poolHold, callHow{"nothing", held})
				running := callBegun(t, held)
				write(file+" fail", "now")
				var broken *proc.BrokenWorkerError
				require.ErrorAs(t, (<-c).err, &broken)
				assert.Equal(t, running, broken.Pid)
				assert.Equal(t, code, broken.State.ExitCode())
				assert.Equal(t, poolHold.Name(), broken.Func)
			}, proc.Init(poolInit, poolInitIn{how, file}))
		})
	}
}

func TestAWorkerThatDoesNotLeaveIsKilledAfterItsGrace(t *testing.T) {
	noneLeft(t)
	for how, grace := range map[string]time.Duration{"background that does not hear": 50 * time.Millisecond, "panics when it leaves": time.Minute} {
		t.Run(how, func(t *testing.T) {
			observe, ends := poolEnds()
			require.NoError(t, traigo.Run(t.Context(), func(ctx context.Context, s *traigo.Scope) error {
				proc.Open(s, proc.Limit(1), proc.Grace(grace), proc.Init(poolInit, poolInitIn{How: how}), quiet())
				_ = pid(ctx, t)
				return nil
			}, observe), "nobody's error")
			assert.Empty(t, others())
			require.Len(t, ends(), 1)
			var broken *proc.BrokenWorkerError
			require.ErrorAs(t, ends()[0].err, &broken, "its task reports it")
			if how == "panics when it leaves" {
				assert.Equal(t, 2, broken.State.ExitCode())
			} else {
				assert.Equal(t, syscall.SIGKILL, broken.State.Sys().(syscall.WaitStatus).Signal())
			}
		})
	}
}

func TestWithoutGraceWorkersAreKilledAtOnce(t *testing.T) {
	noneLeft(t)
	file := callFile(t, "file")
	withPool(t, func(ctx context.Context, _ *proc.Pool) { _ = pid(ctx, t) },
		proc.Grace(0), proc.Init(poolInit, poolInitIn{"background that does not hear", file}))
	assert.Empty(t, others())
}

func TestAWorkerThatLeavesSaysNothing(t *testing.T) {
	noneLeft(t)
	var said strings.Builder
	var mu sync.Mutex
	withPool(t, func(ctx context.Context, _ *proc.Pool) {
		for range 3 {
			_ = pid(ctx, t)
		}
	}, proc.Command(func(cmd *exec.Cmd) { cmd.Stderr = &poolWriter{mu: &mu, to: &said} }),
		proc.Init(poolInit, poolInitIn{"background", callFile(t, "file")}),
		proc.Retire(func(w proc.Worker) bool { return w.Calls == 2 }))
	mu.Lock()
	defer mu.Unlock()
	assert.Empty(t, said.String())
}

type poolWriter struct {
	mu *sync.Mutex
	to io.Writer
}

func (w *poolWriter) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.to.Write(p)
}

// IdleTimeout and Retire.

func TestAnIdleWorkerLeavesAfterItsTimeout(t *testing.T) {
	noneLeft(t)
	withPool(t, func(ctx context.Context, p *proc.Pool) {
		before := pid(ctx, t)
		waitUntil(t, func() bool { return p.Stats().Idle == 0 && len(p.Stats().Workers) == 0 })
		assert.Empty(t, others())
		assert.EqualValues(t, 1, p.Stats().Retired)
		assert.NotEqual(t, before, pid(ctx, t))
		assert.Zero(t, p.Stats().Broken)
	}, proc.IdleTimeout(30*time.Millisecond))
}

func TestWithoutAnIdleTimeoutWorkersStay(t *testing.T) {
	noneLeft(t)
	withPool(t, func(ctx context.Context, p *proc.Pool) {
		before := pid(ctx, t)
		assert.Never(t, func() bool { return p.Stats().Idle != 1 }, 200*time.Millisecond, 10*time.Millisecond)
		assert.Equal(t, before, pid(ctx, t))
	}, proc.IdleTimeout(0))
}

func TestAnIdleTimeoutDoesNotHitAWorkerAtWork(t *testing.T) {
	noneLeft(t)
	withPool(t, func(ctx context.Context, p *proc.Pool) {
		release := callFile(t, "release")
		time.AfterFunc(200*time.Millisecond, func() { write(release, "now") })
		_, err := callWait.Run(ctx, callHow{How: release})
		require.NoError(t, err)
		for range 100 { // calls that meet the timeout
			_, err := callCount.Run(ctx, none{})
			require.NoError(t, err)
			time.Sleep(time.Millisecond + rand.N(200*time.Microsecond) - 100*time.Microsecond)
		}
		waitUntil(t, func() bool { s := p.Stats(); return s.Started == s.Retired+uint64(len(s.Workers)) })
		assert.Zero(t, p.Stats().Broken)
	}, proc.IdleTimeout(time.Millisecond))
}

func TestRetireIsAskedAfterEachJob(t *testing.T) {
	noneLeft(t)
	var asked []proc.Worker
	began := time.Now()
	withPool(t, func(ctx context.Context, p *proc.Pool) {
		var pids []int
		for range 9 {
			pids = append(pids, pid(ctx, t))
		}
		require.Len(t, asked, 9, "in the process that calls, before the call returns")
		for i, w := range asked {
			assert.Equal(t, pids[i], w.Pid)
			assert.Equal(t, i%3+1, w.Calls)
			assert.Positive(t, w.RSS)
			assert.False(t, w.Started.Before(began))
		}
		for i := range 9 {
			assert.Equal(t, i%3 != 0, i > 0 && pids[i] == pids[i-1], "call %d", i)
		}
		stats := p.Stats()
		assert.EqualValues(t, 3, stats.Started)
		assert.EqualValues(t, 3, stats.Retired)
		waitUntil(t, func() bool { return len(others()) == 0 })
		assert.Zero(t, p.Stats().Broken)
	}, proc.Retire(func(w proc.Worker) bool { asked = append(asked, w); return w.Calls == 3 }))
}

func TestAPanicOfRetireLosesNeitherPlaceNorWorker(t *testing.T) {
	noneLeft(t)
	withPool(t, func(ctx context.Context, p *proc.Pool) {
		for range 2 {
			_ = recovered(func() { _, _ = getPid.Run(ctx, none{}) })
			assert.Zero(t, p.Stats().Busy)
		}
	}, proc.Retire(func(proc.Worker) bool { panic("of Retire") }))
}

// P13: memory.

type poolMemoryIn struct {
	How  string
	Size int64
}

var poolKept [][]byte

func poolAllocating(_ context.Context, in poolMemoryIn) (int64, error) {
	const step = 4 << 20
	touch := func(b []byte) {
		for i := 0; i < len(b); i += 4096 {
			b[i] = 1
		}
	}
	for done := int64(0); done < in.Size; done += step {
		switch in.How {
		case "keeps":
			b := make([]byte, step)
			touch(b)
			poolKept = append(poolKept, b)
		case "drops":
			b := make([]byte, step)
			touch(b)
			runtime.KeepAlive(b)
		case "maps":
			b, err := syscall.Mmap(-1, 0, step, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
			if err != nil {
				return 0, err
			}
			touch(b)
		}
	}
	if in.How != "drops" {
		time.Sleep(30 * time.Second) // the parent looks
	}
	return debug.SetMemoryLimit(-1), nil
}

func TestAWorkerWithMoreMemoryThanAllowedIsKilled(t *testing.T) {
	noneLeft(t)
	const limit = 400 << 20
	for _, how := range []string{"keeps", "maps"} {
		t.Run(how, func(t *testing.T) {
			withPool(t, func(ctx context.Context, p *proc.Pool) {
				before := pid(ctx, t)
				_, err := poolMemory.Run(ctx, poolMemoryIn{how, 2 * limit})
				var broken *proc.BrokenWorkerError
				require.ErrorAs(t, err, &broken)
				require.ErrorIs(t, err, proc.ErrMemory)
				assert.Equal(t, proc.ErrMemory, broken.Err)
				assert.Equal(t, before, broken.Pid)
				assert.Equal(t, "pool.memory", broken.Func)
				assert.Equal(t, syscall.SIGKILL, broken.State.Sys().(syscall.WaitStatus).Signal())
				assert.True(t, isGone(before))
				assert.NotEqual(t, before, pid(ctx, t), "the pool goes on")
				assert.Zero(t, p.Stats().Killed, "not for a cancellation")
			}, proc.Memory(limit))
		})
	}
}

func TestAWorkerThatStaysBelowItsLimitLives(t *testing.T) {
	noneLeft(t)
	const limit = 400 << 20
	withPool(t, func(ctx context.Context, p *proc.Pool) {
		before := pid(ctx, t)
		got, err := poolMemory.Run(ctx, poolMemoryIn{"drops", 4 * limit})
		require.NoError(t, err)
		assert.InDelta(t, 0.9*limit, got, 0.01*limit, "the runtime has a soft limit of 90 %")
		assert.Equal(t, before, pid(ctx, t))
		assert.EqualValues(t, 1, p.Stats().Started)
	}, proc.Memory(limit))
}

// Stats.

func TestStatsTellsWhatThePoolDoes(t *testing.T) {
	noneLeft(t)
	withPool(t, func(ctx context.Context, p *proc.Pool) {
		assert.Equal(t, proc.Stats{Limit: 2}, p.Stats())
		began := time.Now()
		first := pid(ctx, t)
		stats := p.Stats()
		assert.Equal(t, 1, stats.Idle)
		assert.EqualValues(t, 1, stats.Calls)
		require.Len(t, stats.Workers, 1)
		w := stats.Workers[0]
		assert.Equal(t, first, w.Pid)
		assert.Empty(t, w.Func)
		assert.Equal(t, 1, w.Calls)
		assert.Positive(t, w.RSS)
		assert.False(t, w.Started.Before(began) || w.Started.After(time.Now()))

		file, release := callFile(t, "file"), callFile(t, "release")
		var calls []<-chan callResult[int]
		for range 5 {
			calls = append(calls, callGo(ctx, callWait, callHow{release, file}))
		}
		waitUntil(t, func() bool { return len(read(file)) == 2 && p.Stats().Waiting == 3 })
		stats = p.Stats()
		assert.Equal(t, 2, stats.Limit)
		assert.Equal(t, 2, stats.Busy)
		assert.Zero(t, stats.Idle)
		assert.EqualValues(t, 2, stats.Started)
		require.Len(t, stats.Workers, 2)
		for _, w := range stats.Workers {
			assert.Equal(t, callWait.Name(), w.Func)
			assert.Contains(t, read(file), strconv.Itoa(w.Pid))
		}
		write(release, "now")
		for _, c := range calls {
			require.NoError(t, (<-c).err)
		}
		stats = p.Stats()
		assert.Zero(t, stats.Waiting)
		assert.EqualValues(t, 6, stats.Calls)
		assert.Equal(t, 2, stats.Idle)
		assert.Zero(t, stats.Retired)
		assert.Zero(t, stats.Broken)
		assert.Zero(t, stats.Killed)

		_, err := callEnd.Run(ctx, callHow{How: "exit 0"})
		require.Error(t, err)
		stats = p.Stats()
		assert.EqualValues(t, 6, stats.Calls, "it was not answered")
		waitUntil(t, func() bool { return p.Stats().Broken == 1 })
	}, proc.Limit(2))
}

func TestAllBrokenWorkersAreCounted(t *testing.T) {
	noneLeft(t)
	withPool(t, func(ctx context.Context, p *proc.Pool) {
		const n = 25
		_, _ = traigo.Map(ctx, slices.Values(make([]none, n)), func(ctx context.Context, _ none) (none, error) {
			_, err := callEnd.Run(ctx, callHow{How: "exit 3"})
			assert.Error(t, err)
			return none{}, nil
		})
		waitUntil(t, func() bool { s := p.Stats(); return s.Broken+s.Retired+s.Killed == n && len(s.Workers) == 0 })
		assert.EqualValues(t, n, p.Stats().Broken)
	}, proc.Limit(4))
}

func TestTheDefaultLimitIsGOMAXPROCS(t *testing.T) {
	noneLeft(t)
	require.NoError(t, traigo.Run(t.Context(), func(_ context.Context, s *traigo.Scope) error {
		assert.Equal(t, runtime.GOMAXPROCS(0), proc.Open(s).Stats().Limit)
		return nil
	}))
}

func TestStatsWhileThePoolIsAtWork(t *testing.T) {
	noneLeft(t)
	withPool(t, func(ctx context.Context, p *proc.Pool) {
		var isOver atomic.Bool
		var wg sync.WaitGroup
		wg.Go(func() {
			for !isOver.Load() {
				s := p.Stats()
				assert.LessOrEqual(t, s.Busy, 3)
				assert.LessOrEqual(t, s.Idle, 3)
				assert.LessOrEqual(t, uint64(len(s.Workers)), s.Started)
				runtime.Gosched()
			}
		})
		_, err := traigo.Map(ctx, slices.Values(make([]none, 100)), getPid.Run)
		assert.NoError(t, err)
		isOver.Store(true)
		wg.Wait()
	}, proc.Limit(3), proc.Retire(func(w proc.Worker) bool { return w.Calls == 10 }))
}

// P17: in the tree.

// poolFind returns the snapshots in the tree for which is says so.
func poolFind(s traigo.Snapshot, is func(traigo.Snapshot) bool) (found []traigo.Snapshot) {
	if is(s) {
		found = append(found, s)
	}
	for _, below := range s.Scopes {
		found = append(found, poolFind(below, is)...)
	}
	return found
}

func poolNamed(name string) func(traigo.Snapshot) bool {
	return func(s traigo.Snapshot) bool { return s.Name == name }
}

func TestAPoolItsProcessesAndItsCallsAreInTheTree(t *testing.T) {
	noneLeft(t)
	require.NoError(t, traigo.Run(t.Context(), func(ctx context.Context, s *traigo.Scope) error {
		p := proc.Open(s, proc.Limit(2))
		idle := pid(ctx, t)
		file, release := callFile(t, "file"), callFile(t, "release")
		f := callWait.Async(s, callHow{release, file}, traigo.Name("caller"))
		running := callBegun(t, file)
		assert.Equal(t, idle, running)

		shot := s.Snapshot()
		pools := poolFind(shot, poolNamed("pool"))
		require.Len(t, pools, 1)
		assert.Equal(t, s.Path()+"/pool", pools[0].Path)
		require.Len(t, pools[0].Tasks, 1)
		assert.Equal(t, fmt.Sprint("worker ", running), pools[0].Tasks[0].Name)
		assert.Zero(t, pools[0].Pid, "it lives here")

		calls := poolFind(shot, poolNamed(fmt.Sprintf("call.wait[%d]", running)))
		require.Len(t, calls, 1)
		assert.Equal(t, f.Task().ID(), calls[0].Task, "below the task that calls")
		assert.Zero(t, calls[0].Pid)

		write(release, "now")
		_, err := f.Await(ctx)
		require.NoError(t, err)
		require.NoError(t, syscall.Kill(running, syscall.SIGKILL))
		waitUntil(t, func() bool { return len(poolFind(s.Snapshot(), poolNamed("pool"))[0].Tasks) == 0 }, "as long as it lives")
		assert.Empty(t, poolFind(s.Snapshot(), poolNamed(fmt.Sprintf("call.wait[%d]", running))))
		assert.Empty(t, p.Stats().Workers)
		return nil
	}, traigo.Name("root")))
}

var poolTree = proc.Func("pool.tree", func(ctx context.Context, in callHow) (none, error) {
	return none{}, traigo.Run(ctx, func(ctx context.Context, s *traigo.Scope) error {
		s.Spawn(func(ctx context.Context) error { <-ctx.Done(); return nil }, traigo.Name("beside"), traigo.Awaited(false))
		_, err := callWaiting(ctx, in)
		return err
	}, traigo.Name("below"))
})

func TestSnapshotShowsWhatLivesInTheWorkers(t *testing.T) {
	noneLeft(t)
	require.NoError(t, traigo.Run(t.Context(), func(ctx context.Context, s *traigo.Scope) error {
		proc.Open(s, proc.Limit(2), proc.Init(poolInit, poolInitIn{"background", callFile(t, "init")}))
		release := callFile(t, "release")
		var futures []*traigo.Future[none]
		var pids []int
		for i := range 2 {
			file := callFile(t, fmt.Sprint("file", i))
			futures = append(futures, poolTree.Async(s, callHow{release, file}))
			pids = append(pids, callBegun(t, file))
		}
		for i, pid := range pids {
			var call, job, below traigo.Snapshot
			waitUntil(t, func() bool { // on a busy machine a worker may need more than its 100 ms
				calls := poolFind(s.Snapshot(), poolNamed(fmt.Sprintf("pool.tree[%d]", pid)))
				if len(calls) != 1 {
					return false
				}
				call = calls[0]
				jobs := poolFind(call, poolNamed("pool.tree"))
				if len(jobs) != 1 {
					return false
				}
				job = jobs[0]
				if found := poolFind(job, poolNamed("below")); len(found) == 1 {
					below = found[0]
				}
				return below.Name != ""
			})
			assert.Equal(t, s.Path()+"/"+call.Name, call.Path, "call %d", i)
			assert.Equal(t, pid, job.Pid)
			assert.Equal(t, call.Path+"/pool.tree", job.Path, "as if it were here")
			assert.Equal(t, pid, below.Pid)
			assert.Equal(t, job.Path+"/below", below.Path)
			require.Len(t, below.Tasks, 1)
			assert.Equal(t, below.Path+"/beside", below.Tasks[0].Path)

			// What Init has spawned lives in the worker too.
			own := poolFind(call, func(s traigo.Snapshot) bool {
				return s.Pid == pid && slices.ContainsFunc(s.Tasks, func(t traigo.TaskSnapshot) bool { return t.Name == "background" })
			})
			require.Len(t, own, 1)
			assert.True(t, strings.HasPrefix(own[0].Path, call.Path+"/"), "%q", own[0].Path)

			text, err := json.Marshal(job)
			require.NoError(t, err)
			assert.Contains(t, string(text), fmt.Sprintf(`"pid":%d`, pid))
			text, err = json.Marshal(s.Snapshot().Tasks)
			require.NoError(t, err)
			assert.NotContains(t, string(text), `"pid"`)
		}
		assert.Contains(t, s.Snapshot().String(), "beside", "also in the drawing")
		dump := poolFind(s.Dump(), poolNamed("below"))
		for range 100 {
			if len(dump) == 2 {
				break
			}
			dump = poolFind(s.Dump(), poolNamed("below"))
		}
		require.Len(t, dump, 2)
		assert.Contains(t, dump[0].Stack, "callWaiting", "a Dump has the stacks there")
		write(release, "now")
		for _, f := range futures {
			_, err := f.Await(ctx)
			require.NoError(t, err)
		}
		return nil
	}, traigo.Name("root")))
}

// poolFull waits in Spawn for a slot of its own scope, until the first of its tasks has ended.
var poolFull = proc.Func("pool.full", func(ctx context.Context, in callHow) (none, error) {
	return none{}, traigo.Run(ctx, func(_ context.Context, s *traigo.Scope) error {
		for range 2 {
			s.Spawn(func(ctx context.Context) error { _, err := callWaiting(ctx, in); return err })
		}
		return nil
	}, traigo.Name("full"), traigo.Limit(1))
})

func TestDumpSaysWhatWaitsForASlotInAWorker(t *testing.T) {
	noneLeft(t)
	require.NoError(t, traigo.Run(t.Context(), func(ctx context.Context, s *traigo.Scope) error {
		release, file := callFile(t, "release"), callFile(t, "file")
		proc.Open(s, proc.Limit(1))
		f := poolFull.Async(s, callHow{release, file})
		callBegun(t, file)
		var full traigo.Snapshot
		waitUntil(t, func() bool {
			if found := poolFind(s.Dump(), poolNamed("full")); len(found) == 1 {
				full = found[0]
			}
			return len(full.Blocked) > 0
		})
		require.Len(t, full.Blocked, 1)
		assert.True(t, strings.HasPrefix(full.Blocked[0], s.Path()+"/"), "%q: as if it were here", full.Blocked[0])
		assert.Contains(t, full.At, "pool_test.go:")
		write(release, "now")
		_, err := f.Await(ctx)
		return err
	}, traigo.Name("root")))
}

func TestSnapshotDoesNotWaitForWorkersThatAreStopped(t *testing.T) {
	noneLeft(t)
	const n = 16
	err := traigo.Run(t.Context(), func(ctx context.Context, s *traigo.Scope) error {
		proc.Open(s, proc.Limit(n), proc.KillAfter(0))
		file := callFile(t, "file")
		for range n {
			s.Spawn(func(ctx context.Context) error {
				_, err := callStubborn.Run(ctx, callHow{"is stopped", file})
				return err
			})
		}
		waitUntil(t, func() bool { return len(read(file)) == n })
		for _, line := range read(file) {
			pid, err := strconv.Atoi(line)
			require.NoError(t, err)
			waitUntil(t, func() bool { return callState(pid) == "T" })
		}
		// One after the other they would take 1.6 s. The best of some counts: the machine may be busy.
		best := time.Hour
		for range 5 {
			began := time.Now()
			shot := s.Snapshot()
			best = min(best, time.Since(began))
			calls := poolFind(shot, func(s traigo.Snapshot) bool { return strings.HasPrefix(s.Name, "call.stubborn[") })
			assert.Len(t, calls, n, "they are shown without")
			for _, call := range calls {
				assert.Empty(t, call.Scopes)
			}
		}
		assert.Less(t, best, n*100*time.Millisecond)
		s.Cancel(nil)
		return nil
	}, traigo.Name("root"))
	require.NoError(t, err)
	assert.Empty(t, others())
}

func TestSnapshotsDoNotDisturbCalls(t *testing.T) {
	noneLeft(t)
	callNoLeak(t)
	withPool(t, func(ctx context.Context, p *proc.Pool) {
		s := traigo.Current(ctx)
		var isOver atomic.Bool
		var wg sync.WaitGroup
		for range 2 {
			wg.Go(func() {
				for !isOver.Load() {
					_ = s.Snapshot()
				}
			})
		}
		for range 100 {
			got, err := callEcho.Run(ctx, []byte("x"))
			require.NoError(t, err)
			require.Equal(t, []byte("x"), got)
		}
		n := 0
		for item, err := range sourceCount.Run(ctx, sourceIn{N: 500, Size: 1000}) {
			require.NoError(t, err)
			require.Equal(t, n, item.I)
			n++
		}
		assert.Equal(t, 500, n)
		for range 10 {
			_, err := callEnd.Run(ctx, callHow{How: "exit 3"})
			require.Error(t, err)
			_, _ = traigo.Race(ctx, func(ctx context.Context) (none, error) { return callSpin.Run(ctx, "") },
				func(context.Context) (none, error) { time.Sleep(rand.N(20 * time.Millisecond)); return none{}, nil })
		}
		isOver.Store(true)
		wg.Wait()
	}, proc.KillAfter(0))
}

func TestObserversSeeCallsAndNotWhatRunsInside(t *testing.T) {
	noneLeft(t)
	var mu sync.Mutex
	var scopes, tasks []string
	observe := traigo.Observe(poolObserver(func(e traigo.Event) {
		mu.Lock()
		defer mu.Unlock()
		switch e.Kind {
		case traigo.ScopeOpened:
			scopes = append(scopes, e.Scope.Path())
		case traigo.TaskStarted:
			tasks = append(tasks, e.Task.Path())
		}
	}))
	var worker int
	release := callFile(t, "release")
	write(release, "now")
	require.NoError(t, traigo.Run(t.Context(), func(ctx context.Context, s *traigo.Scope) error {
		proc.Open(s, proc.Limit(1))
		_, err := poolTree.Run(ctx, callHow{How: release})
		worker = pid(ctx, t)
		return err
	}, observe, traigo.Name("root")))
	mu.Lock()
	defer mu.Unlock()
	assert.Contains(t, scopes, "root/pool")
	assert.Contains(t, scopes, fmt.Sprintf("root/pool.tree[%d]", worker))
	assert.Contains(t, scopes, fmt.Sprintf("root/function.pid[%d]", worker))
	assert.Contains(t, tasks, fmt.Sprintf("root/pool/worker %d", worker))
	for _, path := range slices.Concat(scopes, tasks) {
		assert.NotContains(t, []string{"below", "beside"}, filepath.Base(path))
	}
}
