package traigo_test

import (
	"context"
	"errors"
	"fmt"
	"os"
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
	"github.com/traigo/traigo/internal/inplace"
)

// Short tasks share goroutines. No task may be able to tell.

// Each task waits for one that is spawned later. If any of them had to wait for another
// to end before it could start, all would wait for ever: the bubble then reports a
// deadlock, which is how this test fails.
func TestTaskStartsWithoutWaitingForAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 2000
		var ring [n + 1]chan struct{}
		for i := range ring {
			ring[i] = make(chan struct{})
		}
		require.NoError(t, traigo.Run(t.Context(), func(_ context.Context, s *traigo.Scope) error {
			for i := range n {
				s.Spawn(func(context.Context) error {
					<-ring[i+1]
					close(ring[i])
					return nil
				})
			}
			close(ring[n])
			<-ring[0]
			return nil
		}))
	})
}

func TestTaskStartsWhileItsSpawnerRunsOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		require.NoError(t, traigo.Run(t.Context(), func(_ context.Context, s *traigo.Scope) error {
			s.Spawn(func(context.Context) error {
				for range 3 {
					started := make(chan struct{})
					s.Spawn(func(context.Context) error { close(started); return nil })
					<-started
				}
				return nil
			})
			return nil
		}))
	})
}

// The tasks that compute occupy all processors until the last task has run. If that one
// waited for their goroutines, only the timer would end them, and the test would fail.
func TestTaskThatComputesHoldsNobodyUp(t *testing.T) {
	var enough, tooLate atomic.Bool
	guard := time.AfterFunc(30*time.Second, func() { tooLate.Store(true); enough.Store(true) })
	defer guard.Stop()
	require.NoError(t, traigo.Run(t.Context(), func(_ context.Context, s *traigo.Scope) error {
		for range runtime.GOMAXPROCS(0) {
			s.Spawn(func(context.Context) error {
				for !enough.Load() { // no call, so that the goroutine never yields by itself
				}
				return nil
			})
		}
		s.Spawn(func(context.Context) error { enough.Store(true); return nil })
		return nil
	}))
	assert.False(t, tooLate.Load(), "the last task has not started within 30 s")
}

func TestTaskInASystemCallHoldsNobodyUp(t *testing.T) {
	r, w, err := os.Pipe()
	require.NoError(t, err)
	defer r.Close()
	_ = r.Fd() // from now on Read blocks its thread, and not just its goroutine
	require.NoError(t, traigo.Run(t.Context(), func(_ context.Context, s *traigo.Scope) error {
		s.Spawn(func(context.Context) error {
			_, err := r.Read(make([]byte, 1))
			return err
		})
		s.Spawn(func(context.Context) error {
			_, err := w.Write([]byte{1})
			return errors.Join(err, w.Close())
		})
		return nil
	}))
}

func TestTasksThatTakeTheirGoroutineAwayStrandNobody(t *testing.T) {
	goexit, panics := func(int) { runtime.Goexit() }, func(int) { panic("gone") }
	for name, leave := range map[string]func(i int){
		"runtime.Goexit": goexit,
		"panic":          panics,
		"both in turn": func(i int) {
			if i%2 == 0 {
				goexit(i)
			}
			panics(i)
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const n = 1000
				var runs [n]atomic.Int32
				s := traigo.New(t.Context(), traigo.PanicAsError())
				for i := range n {
					// The error belongs to OnDone, so that it does not cancel the scope.
					s.Spawn(func(context.Context) error {
						runs[i].Add(1)
						if i%3 == 0 {
							leave(i)
						}
						return nil
					}, traigo.OnDone(func(error) {}))
				}
				_ = s.Wait()
				for i := range runs {
					assert.EqualValues(t, 1, runs[i].Load(), "task %d", i)
				}
			})
		})
	}
}

// The goroutine of a task that has ended calls the observers. Tasks that are accepted
// after it start on another goroutine, and do not wait until the observers return.
func TestObserverThatTakesItsTimeHoldsNoTaskUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var later *traigo.Task
		var tooLate func()
		s := traigo.New(t.Context(), traigo.Observe(seeing(func(e traigo.Event) {
			if e.Kind == traigo.ScopeCanceled {
				<-later.Done()
				tooLate()
			}
		})))
		_, launch := traigo.SpawnLater(s, func(context.Context) error {
			later, tooLate = traigo.SpawnLater(s, succeed, traigo.Awaited(false))
			return nil
		})
		s.Finalize()
		launch()
		require.NoError(t, s.Wait())
	})
}

// goroutineID returns the number with which a stack trace of this goroutine begins.
func goroutineID() string {
	var head [64]byte
	return strings.Fields(string(head[:runtime.Stack(head[:], false)]))[1]
}

// Other short tasks share goroutines. No other task runs on the goroutine of a
// dedicated one.
func TestDedicatedTaskHasAGoroutineToItself(t *testing.T) {
	const tasks = 200
	var mu sync.Mutex
	used := map[string]int{}
	note := func(context.Context) error {
		mu.Lock()
		defer mu.Unlock()
		used[goroutineID()]++
		return nil
	}
	require.NoError(t, traigo.Run(t.Context(), func(_ context.Context, s *traigo.Scope) error {
		for range tasks {
			s.Spawn(note, traigo.Dedicated())
		}
		return nil
	}))
	assert.Len(t, used, tasks)
	clear(used)
	require.NoError(t, traigo.Run(t.Context(), func(ctx context.Context, s *traigo.Scope) error {
		for range tasks {
			_ = s.Spawn(note).Wait(ctx) // one after the other
		}
		var dedicated string
		_ = s.Spawn(func(context.Context) error { dedicated = goroutineID(); return nil }, traigo.Dedicated()).Wait(ctx)
		for range tasks {
			_ = s.Spawn(note).Wait(ctx)
		}
		mu.Lock()
		defer mu.Unlock()
		assert.NotContains(t, used, dedicated)
		return nil
	}))
}

func parkForLabels(release <-chan struct{}) { <-release }

// parkedLabels counts the goroutines that are in parkForLabels, by their labels.
func parkedLabels(t *testing.T) map[string]int {
	t.Helper()
	var profile strings.Builder
	require.NoError(t, pprof.Lookup("goroutine").WriteTo(&profile, 1))
	counts := map[string]int{}
	for record := range strings.SplitSeq(profile.String(), "\n\n") {
		if !strings.Contains(record, ".parkForLabels+") {
			continue
		}
		n, labels := 0, ""
		for line := range strings.Lines(record) {
			if rest, ok := strings.CutPrefix(line, "# labels: "); ok {
				labels = strings.TrimSpace(rest)
			} else if strings.Contains(line, " @ ") {
				_, err := fmt.Sscanf(line, "%d @", &n)
				require.NoError(t, err)
			}
		}
		counts[labels] += n
	}
	return counts
}

// labeled is a context with a label, or without any.
func labeled(who string) context.Context {
	if who == "" {
		return context.Background()
	}
	return pprof.WithLabels(context.Background(), pprof.Labels("who", who))
}

func TestTaskBeginsWithTheLabelsOfItsContext(t *testing.T) {
	rows := []struct {
		name  string
		scope string // label of its context
		opts  []traigo.TaskOption
		want  string
	}{
		{"no labels", "", nil, ""},
		{"the scope's", "scope", nil, `{"who":"scope"}`},
		{"Values'", "scope", []traigo.TaskOption{traigo.Values(labeled("values"))}, `{"who":"values"}`},
		{"Values' in a scope without", "", []traigo.TaskOption{traigo.Values(labeled("values"))}, `{"who":"values"}`},
		{"Values without", "scope", []traigo.TaskOption{traigo.Values(labeled(""))}, ""},
		{"a goroutine's own", "scope", []traigo.TaskOption{traigo.Dedicated()}, `{"who":"scope"}`},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const n = 30
				// A goroutine that a go statement starts inherits these.
				pprof.SetGoroutineLabels(labeled("spawner"))
				defer pprof.SetGoroutineLabels(context.Background())

				s := traigo.New(labeled(row.scope))
				stain := func(context.Context) error { pprof.SetGoroutineLabels(labeled("another task")); return nil }
				release := make(chan struct{})
				park := func(context.Context) error { parkForLabels(release); return nil }
				for range n {
					s.Spawn(stain, row.opts...)
				}
				synctest.Wait()
				for range n {
					s.Spawn(stain, row.opts...)
					s.Spawn(park, row.opts...)
				}
				// Spawned by a task, whose goroutine may run the new task itself.
				for range n {
					s.Spawn(func(ctx context.Context) error {
						s.Spawn(park, row.opts...)
						return stain(ctx)
					}, row.opts...)
				}
				synctest.Wait()
				assert.Equal(t, map[string]int{row.want: 2 * n}, parkedLabels(t))
				close(release)
				require.NoError(t, s.Wait())
			})
		})
	}
}

// A call is a task that runs in place.
type call struct {
	run    func(ctx context.Context) error
	values context.Context //nolint:containedctx // what Values returns
}

func (c call) Name() string                  { return "call" }
func (c call) Run(ctx context.Context) error { return c.run(ctx) }
func (c call) Values() context.Context {
	if c.values == nil {
		return context.Background()
	}
	return c.values
}

func TestTaskInPlaceRunsOnTheGoroutineOfItsCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		type key struct{}
		st := &story{}
		s := traigo.New(t.Context(), traigo.Name("s"), traigo.Observe(st))
		values, leave := context.WithCancel(context.WithValue(t.Context(), key{}, 1))
		leave()
		var task *traigo.Task
		here, there := goroutineID(), ""
		assert.True(t, inplace.Run(s, call{func(ctx context.Context) error {
			there, task = goroutineID(), traigo.CurrentTask(ctx)
			assert.Equal(t, "s/call", task.Path())
			assert.Equal(t, traigo.TaskFlags{Awaited: true}, task.Flags())
			assert.Equal(t, traigo.Running, task.State())
			assert.Equal(t, 1, ctx.Value(key{}))
			assert.NoError(t, ctx.Err(), "the values are taken, not the end")
			assert.Len(t, s.Snapshot().Tasks, 1)
			return errBoom
		}, values}))
		assert.Equal(t, here, there)
		require.ErrorIs(t, task.Err(), errBoom)
		assert.True(t, task.Failed())
		assert.Equal(t, traigo.Open, s.State(), "it does not bubble")
		var kinds []traigo.EventKind
		for _, e := range st.events() {
			if e.Task == task {
				kinds = append(kinds, e.Kind)
			}
		}
		assert.Equal(t, []traigo.EventKind{traigo.TaskSpawned, traigo.TaskStarted, traigo.TaskEnded}, kinds)
		assert.Empty(t, s.Snapshot().Tasks)
		require.NoError(t, s.Wait())
		assert.False(t, inplace.Run(s, call{run: fail}), "the scope is closed")
	})
}

func TestTaskInPlaceIsWaitedForAndCanceled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := traigo.New(t.Context(), traigo.Name("s"))
		errs := make(chan error, 2)
		for range 2 {
			go inplace.Run(s, call{run: func(ctx context.Context) error {
				<-ctx.Done()
				errs <- context.Cause(ctx)
				return ctx.Err()
			}})
		}
		synctest.Wait()
		s.Finalize()
		synctest.Wait()
		assert.Equal(t, traigo.Finalizing, s.State())
		s.Cancel(errBoom)
		require.ErrorIs(t, s.Wait(), errBoom)
		require.ErrorIs(t, <-errs, errBoom)
		require.ErrorIs(t, <-errs, errBoom)
	})
}

// The goroutine that has ended the last task applies the effects of that.
func TestTaskInPlaceMayBeTheLast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := traigo.New(t.Context())
		inplace.Run(s, call{run: func(context.Context) error {
			s.Finalize()
			return nil
		}})
		assert.Equal(t, traigo.Closed, s.State())
		require.NoError(t, s.Err())
	})
}

func TestTaskInPlaceIsRefusedWhereTheScopeIsFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := traigo.New(t.Context(), traigo.Limit(1))
		assert.True(t, inplace.Run(s, call{run: func(context.Context) error {
			assert.False(t, inplace.Run(s, call{run: fail}))
			return nil
		}}))
		assert.True(t, inplace.Run(s, call{run: succeed}), "the slot is free again")
		require.NoError(t, s.Wait())
	})
}

// Goexit ends the goroutine of the caller, and other tasks start.
func TestTaskInPlaceThatCallsGoexit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := &story{}
		s := traigo.New(t.Context(), traigo.Observe(st))
		returned, ended := false, make(chan struct{})
		var task *traigo.Task
		go func() {
			defer close(ended)
			inplace.Run(s, call{run: func(ctx context.Context) error {
				task = traigo.CurrentTask(ctx)
				s.Spawn(succeed)
				runtime.Goexit()
				return nil
			}})
			returned = true
		}()
		<-ended
		assert.False(t, returned)
		require.ErrorIs(t, task.Err(), traigo.ErrGoexit)
		require.NoError(t, s.Wait())
	})
}

func TestTaskInPlaceThatPanicsEndsTheScope(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := traigo.New(t.Context(), traigo.Name("s"), discard(), traigo.Wrap(
			func(ctx context.Context, next func(context.Context) error) error {
				panicOnPurpose("a Wrapper")
				return next(ctx)
			}))
		assert.True(t, inplace.Run(s, call{run: succeed}), "the caller goes on")
		_ = requirePanic(t, "call", func() { _ = s.Wait() })
	})
}

func TestTaskInPlaceIsGivenUpWithItsStack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release, free := newRelease()
		defer free()
		s := traigo.New(t.Context(), traigo.Name("s"), traigo.CancelTimeout(time.Second))
		go inplace.Run(s, call{run: deaf(release)})
		synctest.Wait()
		require.Len(t, s.Dump().Tasks, 1)
		assert.Contains(t, s.Dump().Tasks[0].Stack, ".deafTo(")
		s.Cancel(nil)
		stuck := as[*traigo.StuckError](t, s.Wait())
		require.Len(t, stuck.Tasks, 1)
		assert.Equal(t, "s/call", stuck.Tasks[0].Path)
		assert.Contains(t, stuck.Tasks[0].Stack, ".deafTo(")
	})
}

// Its goroutine is not one of the scope, so its labels remain.
func TestTaskInPlaceLeavesLabelsAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := traigo.New(labeled("scope"))
		release := make(chan struct{})
		go func() {
			pprof.SetGoroutineLabels(labeled("caller"))
			inplace.Run(s, call{run: succeed, values: labeled("values")})
			inplace.Run(s, call{run: func(context.Context) error { parkForLabels(release); return nil }, values: labeled("values")})
		}()
		synctest.Wait()
		assert.Equal(t, map[string]int{`{"who":"caller"}`: 1}, parkedLabels(t))
		close(release)
		require.NoError(t, s.Wait())
	})
}

// Tasks of the scope and tasks in place share its list, from many goroutines.
func TestStressTasksInPlace(t *testing.T) {
	const callers, each = 8, 2000
	var runs atomic.Int32
	s := traigo.New(t.Context())
	count := func(context.Context) error { runs.Add(1); return nil }
	var all sync.WaitGroup
	for range callers {
		all.Go(func() {
			for i := range each {
				assert.True(t, inplace.Run(s, call{run: count}))
				if i%4 == 0 {
					s.Spawn(count)
				}
			}
		})
	}
	all.Wait()
	require.NoError(t, s.Wait())
	assert.EqualValues(t, callers*each*5/4, runs.Load())
	assert.Empty(t, s.Snapshot().Tasks)
}
