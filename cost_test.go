package traigo_test

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo"
)

// Allocations and sizes, which are the same on every machine; times are measured in bench.
// The race detector changes some of them, so `make test` runs the tests whose names begin
// with TestCost once more without it.

// Spawn allocates once. Most options cost no allocation.
func TestCostSpawnAllocatesOnce(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	nop := func(context.Context) error { return nil }
	done := make(chan struct{})
	signal := func(context.Context) error { done <- struct{}{}; return nil }
	name := traigo.Name("named")
	for _, row := range []struct {
		name  string
		scope []traigo.ScopeOption
		task  []traigo.TaskOption
	}{
		{"plain", nil, nil},
		{"flags", nil, []traigo.TaskOption{traigo.Bubble(false), traigo.Awaited(false)}},
		{"a name", nil, []traigo.TaskOption{name}},
		{"a limit", []traigo.ScopeOption{traigo.Limit(3)}, nil},
		{"an observer", []traigo.ScopeOption{traigo.Observe(seeing(func(traigo.Event) {}))}, nil},
		{"a logger at WARN", []traigo.ScopeOption{traigo.Logger(slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})))}, nil},
	} {
		s := traigo.New(context.Background(), row.scope...)
		times := testing.AllocsPerRun(2000, func() {
			s.Spawn(nop, row.task...)
			s.Spawn(signal, row.task...)
			<-done
		}) / 2
		assert.InDelta(t, 1, times, 0.05, row.name)
		require.NoError(t, s.Close())
	}
}

// A scope without wrappers pays nothing for them, and one with a wrapper the two
// functions that the wrapper is given and that counts its calls.
func TestCostOfAWrapperIsTwoAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	nop := func(context.Context) error { return nil }
	done := make(chan struct{})
	signal := func(context.Context) error { done <- struct{}{}; return nil }
	through := traigo.Wrap(func(ctx context.Context, next func(context.Context) error) error { return next(ctx) })
	for want, opts := range map[float64][]traigo.ScopeOption{1: nil, 3: {through}, 5: {through, through}} {
		s := traigo.New(context.Background(), opts...)
		assert.InDelta(t, want, testing.AllocsPerRun(2000, func() {
			s.Spawn(nop)
			s.Spawn(signal)
			<-done
		})/2, 0.05, "%d wrappers", len(opts))
		require.NoError(t, s.Close())
	}
}

// A scope with a task allocates the scope, the task, and the function of a goroutine.
func TestCostScopeWithATaskAllocatesLittle(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	nop := func(context.Context) error { return nil }
	bg := context.Background()
	parent := traigo.New(bg)
	defer parent.Close()
	assert.LessOrEqual(t, testing.AllocsPerRun(2000, func() {
		_ = traigo.Run(bg, func(_ context.Context, s *traigo.Scope) error { s.Spawn(nop); return nil })
	}), 4.0, "Run")
	assert.LessOrEqual(t, testing.AllocsPerRun(2000, func() {
		f := parent.Fork()
		f.Spawn(nop)
		_ = f.Wait()
	}), 5.0, "Fork: a Wait that comes late needs a channel")
}

// Three functions wait for their context, and the fourth fails: a channel for each that waits,
// the errors, and what a group costs in any case.
func TestCostAGroupThatFailsAllocatesLittle(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	bg := context.Background()
	got := testing.AllocsPerRun(2000, func() {
		_ = traigo.Run(bg, func(_ context.Context, s *traigo.Scope) error {
			for range 3 {
				s.Spawn(untilCanceled)
			}
			s.Spawn(fail)
			return nil
		})
	})
	assert.LessOrEqual(t, got, 20.0)
	t.Logf("%.0f", got)
}

// Where a Cancel was called is found out only for an observer.
func TestCostCancelWithoutAnObserverWalksNoStack(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	bg := context.Background()
	assert.LessOrEqual(t, testing.AllocsPerRun(2000, func() {
		s := traigo.New(bg)
		s.Cancel(nil)
		_ = s.Wait()
	}), 2.0, "the scope, and the reason")
}

// A Spawn that has to wait for a slot allocates nothing for that.
func TestCostManyTasksUnderALimitAllocateOneEach(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	const n = 1000
	bg := context.Background()
	yields := func(context.Context) error { runtime.Gosched(); return nil }
	assert.InDelta(t, 1, testing.AllocsPerRun(50, func() {
		_ = traigo.Run(bg, func(_ context.Context, s *traigo.Scope) error {
			for range n {
				s.Spawn(yields)
			}
			return nil
		}, traigo.Limit(8))
	})/n, 0.05)
}

// A canceled task that returns what its context says costs no more than one that returns nil.
func TestCostOfTheErrorOfACanceledTaskIsNothing(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	const n = 1000
	group := func(task func(context.Context) error) float64 {
		return testing.AllocsPerRun(20, func() {
			s := traigo.New(context.Background())
			for range n {
				s.Spawn(task)
			}
			_ = s.Close()
		}) / n
	}
	without := group(func(ctx context.Context) error { <-ctx.Done(); return nil })
	assert.InDelta(t, without, group(untilCanceled), 0.05)
}

// A program that is looked at all the time has a snapshot taken every second.
func TestCostSnapshotTakesLittleMemory(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	synctest.Test(t, func(t *testing.T) {
		const n = 100_000
		s := traigo.New(t.Context())
		defer s.Close()
		for range n {
			s.Spawn(untilCanceled)
		}
		synctest.Wait()
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		shot := s.Snapshot()
		runtime.ReadMemStats(&after)
		require.Len(t, shot.Tasks, n)
		assert.LessOrEqual(t, (after.TotalAlloc-before.TotalAlloc)/n, uint64(200), "bytes per task")
		assert.LessOrEqual(t, after.Mallocs-before.Mallocs, uint64(n/10), "allocations")
	})
}

// A join of functions allocates their tasks together. One over an iterator allocates a task
// for each of its goroutines, and none for an item that nobody looks at.
func TestCostJoinsAllocateLittle(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	ctx := context.Background()
	fn := func(context.Context) (int, error) { return 1, nil }
	item := func(context.Context, int) (int, error) { return 1, nil }
	fns := slices.Repeat([]func(context.Context) (int, error){fn}, 100)
	items := slices.Values(make([]int, 100))
	for _, row := range []struct {
		name string
		join func()
		most float64 // for all of the hundred
	}{
		{"All", func() { _, _ = traigo.All(ctx, fns...) }, 10},
		{"Settle", func() { traigo.Settle(ctx, fns...) }, 10},
		{"Race", func() { _, _ = traigo.Race(ctx, fns...) }, 20},
		{"Map", func() { _, _ = traigo.Map(ctx, items, item, traigo.Limit(8)) }, 70},
		{"ForEach", func() {
			_ = traigo.ForEach(ctx, items, func(context.Context, int) error { return nil }, traigo.Limit(8))
		}, 70},
		{"AsCompleted", func() {
			for _, err := range traigo.AsCompleted(ctx, items, item, traigo.Limit(8)) {
				_ = err
			}
		}, 100},
		{"Ordered", func() {
			for _, err := range traigo.Ordered(ctx, items, item, traigo.Limit(8)) {
				_ = err
			}
		}, 100},
	} {
		got := testing.AllocsPerRun(50, row.join)
		assert.LessOrEqual(t, got, row.most, row.name)
		t.Logf("%s: %.0f", row.name, got)
	}
}

// Programs allocate many of both. A change that makes one larger changes the number here,
// and gives the reason.
func TestTasksAndScopesAreSmall(t *testing.T) {
	task, scope := traigo.Sizes()
	assert.LessOrEqual(t, task, uintptr(80), "bytes of a Task")
	assert.LessOrEqual(t, scope, uintptr(320), "bytes of a Scope")
}

// A goroutine begins with two KiB of stack. To grow the stack costs more than a short
// task, so the functions that run and end a task have small frames, and so have those that
// end a scope. The test runs them in a process in which no stack may grow beyond two KiB.
func TestCostTasksFitTheFirstStack(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector needs a larger stack")
	}
	nop := func(context.Context) error { return nil }
	bg := context.Background()
	parent := traigo.New(bg)
	programs := map[string]func(){
		"short tasks": func() {
			_ = traigo.Run(bg, func(ctx context.Context, s *traigo.Scope) error {
				for range 1000 {
					s.Spawn(nop)
				}
				return nil
			})
		},
		"a fork": func() {
			f := parent.Fork()
			f.Spawn(nop)
			_ = f.Wait()
		},
		"a limit": func() {
			_ = traigo.Run(bg, func(ctx context.Context, s *traigo.Scope) error {
				for range 100 {
					s.Spawn(nop)
				}
				return nil
			}, traigo.Limit(3))
		},
		"a group that fails": func() {
			_ = traigo.Run(bg, func(ctx context.Context, s *traigo.Scope) error {
				for range 3 {
					s.Spawn(untilCanceled)
				}
				s.Spawn(func(context.Context) error { return errBoom })
				return nil
			})
		},
		"a race": func() {
			succeed := func(context.Context) (int, error) { return 1, nil }
			obey := func(ctx context.Context) (int, error) { return 0, untilCanceled(ctx) }
			_, _ = traigo.Race(bg, obey, succeed, obey)
		},
	}
	const variable = "TRAIGO_TEST_SMALL_STACK"
	if name := os.Getenv(variable); name != "" {
		debug.SetGCPercent(-1) // the collector shrinks stacks, and changes the size that they begin with
		programs[name]()       // the first time the runtime makes method tables
		needStack(100)         // grows the stack of this goroutine, while it may
		debug.SetMaxStack(2048)
		for range 3 {
			programs[name]()
		}
		os.Exit(0) // package testing would need larger stacks
	}
	self, err := os.Executable()
	require.NoError(t, err)
	for name := range programs {
		cmd := exec.CommandContext(t.Context(), self, "-test.run=^TestCostTasksFitTheFirstStack$")
		cmd.Env = append(os.Environ(), variable+"="+name, "GODEBUG=", "GOMAXPROCS=1") // a contended lock allocates
		out, err := cmd.CombinedOutput()
		assert.NoError(t, err, "%s: %s", name, out)
	}
}

//go:noinline
func needStack(n int) (sum byte) {
	var frame [1024]byte
	frame[n] = 1
	if n > 0 {
		sum = needStack(n - 1)
	}
	return sum + frame[0]
}

// While tasks wait to start, the clock is read for one task in sixteen. So ages are exact
// to the time in which sixteen tasks are spawned.
func TestCostAgesInACrowdAreExactToSixteenSpawns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := traigo.New(t.Context())
		defer s.Close()
		var launches []func()
		for range 100 {
			_, launch := traigo.SpawnLater(s, untilCanceled) // so that all are in the queue while time passes
			launches = append(launches, launch)
			time.Sleep(time.Millisecond)
		}
		for i, task := range s.Snapshot().Tasks {
			exact := time.Duration(100-i) * time.Millisecond
			assert.GreaterOrEqual(t, task.Age, exact)
			assert.Less(t, task.Age, exact+16*time.Millisecond)
		}
		for _, launch := range launches {
			launch()
		}
	})
}

// One goroutine at a time starts short tasks. When many tasks block, more and more
// goroutines start them, so that they start on all processors.
func TestCostCrowdThatParksIsStartedByMany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := traigo.New(t.Context())
		defer s.Close()
		var most atomic.Int32
		for range 1000 {
			s.Spawn(func(ctx context.Context) error {
				for n := traigo.Starting(s); ; {
					if m := most.Load(); m >= n || most.CompareAndSwap(m, n) {
						break
					}
				}
				<-ctx.Done()
				return nil
			})
		}
		synctest.Wait()
		assert.EqualValues(t, 32, most.Load())
	})
}

// A scope keeps memory for tasks and forks that run, and none for those that have ended.
func TestScopeMemoryFollowsWhatRuns(t *testing.T) {
	tasks, forks := 10_000_000, 100_000
	if testing.Short() || raceEnabled {
		tasks, forks = 200_000, 10_000
	}
	bg := context.Background()
	errIgnored := errors.New("ignored")
	s := traigo.New(bg, traigo.Logger(slog.New(slog.DiscardHandler)))
	defer s.Close()

	round := func(tasks, forks int) {
		for i := range tasks {
			switch i % 1000 {
			case 0:
				s.Spawn(func(ctx context.Context) error { ctx.Done(); return errIgnored }, traigo.Bubble(false))
			case 1:
				s.Spawn(func(ctx context.Context) error {
					ctx, cancel := context.WithCancel(ctx)
					defer cancel()
					return traigo.Run(ctx, func(context.Context, *traigo.Scope) error { return nil })
				})
			case 2:
				_, _ = traigo.Async(s, func(context.Context) (int, error) { return 1, errIgnored }).Await(bg)
			case 3:
				s.Spawn(func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }).Cancel(nil)
			case 4:
				_ = s.Spawn(func(context.Context) error { return nil }).Wait(bg)
			default:
				s.Spawn(func(context.Context) error { return nil })
			}
		}
		for i := range forks {
			f := s.Fork()
			f.Spawn(func(context.Context) error { return errIgnored })
			if i%2 == 0 {
				f.Cancel(nil)
			}
			_ = f.Wait()
		}
		for len(s.Snapshot().Tasks) > 0 {
			runtime.Gosched()
		}
	}
	round(10_000, 1000)
	before := heap()
	round(tasks, forks)
	require.Less(t, heap()-before, int64(256<<10), "bytes more after %d tasks and %d forks", tasks, forks)
}
