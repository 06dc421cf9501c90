package traigo_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/internal/processes"
)

// tree opens a scope with two tasks and a fork. In the fork are a Run in a task, and a
// New.
func tree(t *testing.T) *traigo.Scope {
	t.Helper()
	root := traigo.New(t.Context(), traigo.Name("root"))
	root.Spawn(untilCanceled, traigo.Name("plain"))
	root.Spawn(untilCanceled, traigo.Name("special"), traigo.Bubble(false), traigo.Master(true), traigo.Awaited(false))
	fork := root.Fork(traigo.Name("fork"))
	fork.Spawn(func(ctx context.Context) error {
		return traigo.Run(ctx, func(ctx context.Context, _ *traigo.Scope) error { return untilCanceled(ctx) }, traigo.Name("nested"))
	}, traigo.Name("caller"))
	traigo.New(fork.Context(), traigo.Name("side")).Spawn(untilCanceled, traigo.Name("deep"))
	synctest.Wait()
	t.Cleanup(func() { _ = root.Close() })
	return root
}

// paths lists the scopes and tasks of a snapshot.
func paths(snap traigo.Snapshot) (all []string) {
	all = append(all, snap.Path)
	for _, task := range snap.Tasks {
		all = append(all, "task "+task.Path)
	}
	for _, scope := range snap.Scopes {
		all = append(all, paths(scope)...)
	}
	return all
}

func taskNamed(t *testing.T, snap traigo.Snapshot, name string) traigo.TaskSnapshot {
	t.Helper()
	for _, task := range snap.Tasks {
		if task.Name == name {
			return task
		}
	}
	require.Fail(t, "no such task", name)
	return traigo.TaskSnapshot{}
}

func TestSnapshotIsTheTreeBelow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		root := tree(t)
		assert.ElementsMatch(t, []string{
			"root", "task root/plain", "task root/special",
			"root/fork", "task root/fork/caller",
			"root/fork/nested", "root/fork/side", "task root/fork/side/deep",
		}, paths(root.Snapshot()))
	})
}

func TestSnapshotOfAScope(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		s := traigo.New(t.Context(), traigo.Name("s"))
		time.Sleep(time.Second)
		child := s.Fork(traigo.Name("child"), traigo.Timeout(time.Minute))

		snap := s.Snapshot()
		require.Len(t, snap.Scopes, 1)
		for scope, snap := range map[*traigo.Scope]traigo.Snapshot{s: snap, child: snap.Scopes[0]} {
			assert.Equal(t, scope.ID(), snap.ID)
			assert.Equal(t, scope.Name(), snap.Name)
			assert.Equal(t, scope.Path(), snap.Path)
			assert.Equal(t, scope.State(), snap.State)
			assert.Empty(t, snap.Cause)
		}
		assert.True(t, snap.Opened.Equal(start), "%v", snap.Opened)
		assert.True(t, snap.Scopes[0].Opened.Equal(start.Add(time.Second)), "%v", snap.Scopes[0].Opened)
		assert.Zero(t, snap.Deadline)
		assert.True(t, snap.Scopes[0].Deadline.Equal(start.Add(time.Minute+time.Second)), "%v", snap.Scopes[0].Deadline)

		child.Spawn(cleaning(time.Second, nil))
		child.Cancel(errBoom)
		snap = s.Snapshot()
		require.Len(t, snap.Scopes, 1)
		assert.Equal(t, traigo.Canceling, snap.Scopes[0].State)
		assert.Contains(t, snap.Scopes[0].Cause, "boom")
		require.ErrorIs(t, child.Wait(), errBoom)
		synctest.Wait()
		assert.Empty(t, s.Snapshot().Scopes, "what has ended is gone")

		s.Finalize()
		<-s.Done()
		snap = s.Snapshot()
		assert.Equal(t, traigo.Closed, snap.State)
		assert.Equal(t, "s", snap.Path)
		assert.Empty(t, snap.Tasks)
	})
}

func TestSnapshotOfATask(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		root := tree(t)
		time.Sleep(90 * time.Second)
		task := root.Spawn(untilCanceled, traigo.Name("young"), traigo.Timeout(time.Hour))
		start := time.Now()
		time.Sleep(time.Second)

		snap := root.Snapshot()
		plain, special, young := taskNamed(t, snap, "plain"), taskNamed(t, snap, "special"), taskNamed(t, snap, "young")
		assert.Equal(t, task.ID(), young.ID)
		assert.Equal(t, task.Path(), young.Path)
		assert.InDelta(t, 91*time.Second, plain.Age, float64(10*time.Millisecond))
		assert.InDelta(t, time.Second, young.Age, float64(10*time.Millisecond))
		assert.WithinDuration(t, start, young.Spawned, 10*time.Millisecond)
		assert.True(t, young.Deadline.Equal(start.Add(time.Hour)), "%v", young.Deadline)
		assert.Equal(t, "running", young.State)
		assert.Equal(t, [3]bool{true, false, true}, [3]bool{plain.Bubble, plain.Master, plain.Awaited})
		assert.Equal(t, [3]bool{false, true, false}, [3]bool{special.Bubble, special.Master, special.Awaited})
	})
}

func TestSnapshotOfATaskThatIsToStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := traigo.New(t.Context())
		task := s.Spawn(cleaning(time.Second, nil), traigo.Name("work"))
		synctest.Wait()
		task.Cancel(errBoom)
		snap := taskNamed(t, s.Snapshot(), "work")
		assert.Equal(t, "canceling", snap.State)
		assert.Contains(t, snap.Cause, "boom")
		<-task.Done()
		synctest.Wait()
		assert.Empty(t, s.Snapshot().Tasks, "what has ended is gone")
		require.NoError(t, s.Close())
	})
}

func TestSnapshotTellsWhoIsReady(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := traigo.New(t.Context())
		_, err := s.Start(t.Context(), func(ctx context.Context, ready func()) error {
			assert.False(t, taskNamed(t, s.Snapshot(), "server").Ready)
			ready()
			assert.True(t, taskNamed(t, s.Snapshot(), "server").Ready)
			return untilCanceled(ctx)
		}, traigo.Name("server"))
		require.NoError(t, err)
		require.NoError(t, s.Close())
	})
}

func TestSnapshotOfAGivenUpTask(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release, free := newRelease()
		defer free()
		s := traigo.New(t.Context(), discard())
		task := s.Spawn(deaf(release), traigo.Name("stuck"), traigo.CancelTimeout(time.Second))
		synctest.Wait()
		task.Cancel(nil)
		time.Sleep(time.Minute)
		assert.Equal(t, "given up", taskNamed(t, s.Snapshot(), "stuck").State)
		free()
		synctest.Wait()
		assert.Empty(t, s.Snapshot().Tasks)
		_ = s.Close()
	})
}

func TestSnapshotEncodesAsJSON(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		root := tree(t)
		text, err := json.Marshal(root.Snapshot())
		require.NoError(t, err)
		for _, path := range paths(root.Snapshot()) {
			assert.Contains(t, string(text), `"`+strings.TrimPrefix(path, "task ")+`"`)
		}
		assert.Contains(t, string(text), `"open"`, "states by their names")
		assert.Contains(t, string(text), `"running"`)
	})
}

func TestSnapshotDrawsTheTree(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		root := tree(t)
		time.Sleep(90 * time.Second)
		text := root.Snapshot().String()
		lines := strings.Split(text, "\n")
		// at returns the line and the column of the name. The column counts letters, since
		// the lines of the drawing are not ASCII.
		at := func(name string) (line, column int) {
			for i, line := range lines {
				if before, _, found := strings.Cut(line, name); found {
					return i, len([]rune(before))
				}
			}
			require.Fail(t, "not drawn", "%s in:\n%s", name, text)
			return 0, 0
		}
		for child, parent := range map[string]string{
			"plain": "root", "special": "root", "fork": "root",
			"caller": "fork", "nested": "fork", "side": "fork", "deep": "side",
		} {
			line, column := at(child)
			parentLine, parentColumn := at(parent)
			assert.Greater(t, line, parentLine, "%s comes below %s:\n%s", child, parent, text)
			assert.Greater(t, column, parentColumn, "%s is further in than %s:\n%s", child, parent, text)
		}
		assert.Contains(t, text, "1m30s", "ages")
	})
}

// A failure of Async is in the Snapshot until somebody has received it, or the scope has
// ended and has it in its outcome.
func TestSnapshotNamesFailuresThatNobodyHasAwaited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := traigo.New(t.Context(), traigo.Name("s"))
		size := traigo.Async(s, noAnswer, traigo.Name("size"))
		synctest.Wait() // or the other might fail first
		traigo.Async(s, noAnswer, traigo.Name("sum"))
		traigo.Async(s, answer, traigo.Name("fine"))
		synctest.Wait()
		assert.Equal(t, []string{"size", "sum"}, s.Snapshot().Unawaited)
		assert.Contains(t, s.Snapshot().String(), "s (open, 0s, failed and not awaited: size, sum)")

		_, err := size.Await(t.Context())
		require.ErrorIs(t, err, errBoom)
		assert.Equal(t, []string{"sum"}, s.Snapshot().Unawaited)
		require.ErrorIs(t, s.Wait(), errBoom)
		assert.Empty(t, s.Snapshot().Unawaited)
	})
}

// A Snapshot leaves nothing allocated in the scopes. It once left 384 bytes in each.
func TestSnapshotLeavesNothingBehind(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	const n = 10_000
	root := traigo.New(context.Background())
	for range n {
		root.Fork(traigo.Name("fork"))
	}
	before := heap()
	_ = root.Snapshot()
	assert.Less(t, (heap()-before)/n, int64(50), "bytes a scope")
	assert.NoError(t, root.Close())
}

// A task that was given up is in the snapshot of its scope, and so are the scopes that it
// has opened, until they have ended.
func TestSnapshotShowsTheScopesOfATaskThatWasGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		root := traigo.New(context.Background(), traigo.Name("root"), discard())
		end, again := make(chan struct{}), make(chan struct{})
		fork := root.Fork(traigo.Name("fork"), traigo.CancelTimeout(time.Second))
		task := fork.Spawn(func(ctx context.Context) error {
			run := func(name string, until chan struct{}) error {
				return traigo.Run(ctx, func(_ context.Context, s *traigo.Scope) error {
					s.Spawn(func(context.Context) error { <-until; return nil }, traigo.Name("inner"))
					<-until
					return nil
				}, traigo.Name(name), traigo.CancelTimeout(time.Hour))
			}
			return errors.Join(run("first", end), run("second", again))
		}, traigo.Name("outer"))
		synctest.Wait()
		fork.Cancel(nil)
		_ = fork.Wait()

		below := func() traigo.Snapshot {
			shot := root.Snapshot()
			require.Len(t, shot.Scopes, 1)
			assert.Equal(t, traigo.Closed, shot.Scopes[0].State)
			return shot.Scopes[0]
		}
		shot := below()
		assert.Equal(t, "given up", shot.Tasks[0].State)
		require.Len(t, shot.Scopes, 1)
		assert.Equal(t, "root/fork/first", shot.Scopes[0].Path)
		assert.Equal(t, "inner", shot.Scopes[0].Tasks[0].Name)
		assert.Equal(t, [2]uint64{fork.ID(), task.ID()}, [2]uint64{shot.Scopes[0].Parent, shot.Scopes[0].Task})

		close(end)
		synctest.Wait()
		shot = below()
		require.Len(t, shot.Scopes, 1, "it goes on opening scopes where its own has closed")
		assert.Equal(t, "root/fork/second", shot.Scopes[0].Path)

		close(again)
		synctest.Wait()
		assert.Empty(t, root.Snapshot().Scopes)
		assert.Empty(t, root.Snapshot().Tasks)
		_ = root.Close()
	})
}

func TestDumpHasTheStacks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		free := make(chan struct{})
		err := traigo.Run(t.Context(), func(ctx context.Context, s *traigo.Scope) error {
			s.Spawn(func(context.Context) error { deepIn(free); return nil })
			s.Spawn(func(ctx context.Context) error {
				return traigo.Run(ctx, func(context.Context, *traigo.Scope) error { <-free; return nil })
			})
			synctest.Wait()
			dump, shot := s.Dump(), s.Snapshot()
			close(free)
			assert.Contains(t, dump.Stack, "TestDumpHasTheStacks")
			require.Len(t, dump.Tasks, 2)
			assert.Contains(t, dump.Tasks[0].Stack, ".deepIn(")
			assert.NotContains(t, dump.Tasks[1].Stack, ".deepIn(")
			require.Len(t, dump.Scopes, 1)
			assert.Contains(t, dump.Scopes[0].Stack, "chan receive")
			assert.Equal(t, dump.Tasks[1].ID, dump.Scopes[0].Task, "the task that opened it")
			assert.Empty(t, shot.Tasks[0].Stack, "a mere Snapshot has none")
			return nil
		})
		require.NoError(t, err)
	})
}

//go:noinline
func deepIn(free chan struct{}) { <-free }

func TestSnapshotDrawsAScopeBelowTheTaskThatOpenedIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := traigo.New(t.Context(), traigo.Name("server"))
		s.Spawn(func(ctx context.Context) error {
			return traigo.Run(ctx, func(_ context.Context, below *traigo.Scope) error {
				below.Spawn(untilCanceled, traigo.Name("read"), traigo.Bubble(false))
				return nil
			}, traigo.Name("conn"))
		}, traigo.Name("accept"))
		s.Spawn(untilCanceled, traigo.Name("evil\x1b[31m\u202e"))
		s.Fork(traigo.Name("fork"))
		synctest.Wait()
		assert.Equal(t, strings.Join([]string{
			"server (open, 0s)",
			"├─ • accept (running, 0s)",
			"│  └─ conn (finalizing, 0s)",
			"│     └─ • read (running, 0s, no bubble)",
			`├─ • evil\x1b[31m\u202e (running, 0s)`,
			"└─ fork (open, 0s)",
			"",
		}, "\n"), s.Snapshot().String())
		require.NoError(t, s.Close())
	})
}

// On the real clock the dates are worked out from a monotonic one, and must not move.
func TestSnapshotTellsTheSameDatesEachTime(t *testing.T) {
	s := traigo.New(t.Context())
	s.Spawn(untilCanceled)
	first := s.Snapshot()
	for range 100 {
		again := s.Snapshot()
		require.Equal(t, first.Opened, again.Opened)
		require.Equal(t, first.Tasks[0].Spawned, again.Tasks[0].Spawned)
	}
	assert.WithinDuration(t, time.Now(), first.Opened, time.Minute)
	require.NoError(t, s.Close())
}

// A worker is a process in which scopes live, for the tests of what Snapshot shows of it. It
// answers after a delay.
type worker struct {
	ctx     context.Context //nolint:containedctx // of the last question
	pid     int
	delay   time.Duration
	asked   int
	stacks  bool
	gaveUp  bool
	respond func() any // nil: with its scopes
}

func (w *worker) ask(ctx context.Context, stacks bool) any {
	w.asked++
	w.ctx, w.stacks = ctx, stacks
	if traigo.Sleep(ctx, w.delay) != nil {
		w.gaveUp = true
		return nil
	}
	if w.respond != nil {
		return w.respond()
	}
	inner := traigo.Snapshot{ID: 2, Task: 1, Pid: w.pid, Name: "inner"}
	return []traigo.Snapshot{{ID: 1, Parent: 7, Task: 1, Pid: w.pid, Name: "job", Scopes: []traigo.Snapshot{inner}, Tasks: []traigo.TaskSnapshot{{ID: 1, Name: "t", State: "running", Bubble: true, Awaited: true}}}}
}

func (w *worker) option() traigo.ScopeOption { return processes.Option(w.ask).(traigo.ScopeOption) }

// foreign lists the processes of a snapshot's scopes.
func foreign(shot traigo.Snapshot) (pids []int) {
	for _, c := range shot.Scopes {
		if pids = append(pids, foreign(c)...); c.Pid != 0 && c.Pid != shot.Pid {
			pids = append(pids, c.Pid)
		}
	}
	return pids
}

func TestSnapshotShowsTheScopesOfOtherProcesses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &worker{pid: 4711}
		root := traigo.New(t.Context(), traigo.Name("root"))
		call := traigo.New(root.Context(), traigo.Name("call"), w.option())
		call.Spawn(untilCanceled, traigo.Name("local"))
		call.Fork(traigo.Name("fork"))
		synctest.Wait()

		shot := root.Snapshot()
		assert.False(t, w.stacks)
		require.Len(t, shot.Scopes, 1)
		require.Len(t, shot.Scopes[0].Scopes, 2, "a fork does not inherit the option")
		job := shot.Scopes[0].Scopes[1]
		assert.Equal(t, []any{4711, uint64(1), call.ID(), uint64(0)}, []any{job.Pid, job.ID, job.Parent, job.Task})
		assert.Equal(t, strings.Join([]string{
			"root (open, 0s)",
			"└─ call (open, 0s)",
			"   ├─ • local (running, 0s)",
			"   ├─ fork (open, 0s)",
			"   └─ job (open, 0s, process 4711)",
			"      └─ • t (running, 0s)",
			"         └─ inner (open, 0s, process 4711)",
			"",
		}, "\n"), shot.String())
		shot.Scopes[0].Scopes[1].Task = shot.Scopes[0].Tasks[0].ID // which stands for an actor
		assert.Contains(t, shot.String(), strings.Join([]string{
			"   ├─ • local (running, 0s)",
			"   │  └─ job (open, 0s, process 4711)",
		}, "\n"))
		text, err := json.Marshal(shot)
		require.NoError(t, err)
		assert.Equal(t, 2, strings.Count(string(text), `"pid":4711`))
		assert.Equal(t, 2, strings.Count(string(text), `"pid"`))

		assert.Equal(t, []int{4711}, foreign(root.Dump()))
		assert.True(t, w.stacks)
		assert.Empty(t, foreign(call.Fork().Snapshot()))
		assert.Equal(t, 2, w.asked, "once for each")
		assert.Error(t, w.ctx.Err(), "it is over")
		require.NoError(t, root.Close())
		assert.Empty(t, foreign(call.Snapshot()))
		assert.Equal(t, 2, w.asked, "a closed scope has none")
	})
}

func TestSnapshotAsksAllProcessesAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		root := traigo.New(t.Context())
		var want []int
		for i := range 50 {
			fork := root.Fork()
			fork.Fork((&worker{pid: 100 + i, delay: 99 * time.Millisecond}).option())
			want = append(want, 100+i)
		}
		requireTime(t, 99*time.Millisecond, func() { assert.Equal(t, want, foreign(root.Snapshot())) })

		slow, never := &worker{pid: 1, delay: 101 * time.Millisecond}, &worker{pid: 2, delay: time.Hour}
		first, second := root.Fork(slow.option()), root.Fork(never.option())
		requireTime(t, 100*time.Millisecond, func() { assert.Equal(t, want, foreign(root.Snapshot())) })
		synctest.Wait()
		assert.True(t, slow.gaveUp && never.gaveUp, "who asks is told")
		assert.Zero(t, len(first.Snapshot().Scopes)+len(second.Snapshot().Scopes))
		require.NoError(t, root.Close())
	})
}

// What has come is shown, whoever else is waited for.
func TestSnapshotHasWhatHasComeInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		root := traigo.New(t.Context())
		var want []int
		for i := range 20 {
			root.Fork((&worker{pid: 1, delay: time.Hour}).option())
			root.Fork((&worker{pid: 100 + i}).option())
			want = append(want, 100+i)
		}
		assert.Equal(t, want, foreign(root.Snapshot()))
		require.NoError(t, root.Close())
	})
}

func TestSnapshotSurvivesWhoAsksOtherProcesses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		book := newRecords()
		root := traigo.New(t.Context(), traigo.Logger(book.logger()))
		var call *traigo.Scope
		for i, respond := range []func() any{
			func() any { panic("asking panics") },
			func() any { return "no scopes" },
			func() any { return nil },
			func() any { runtime.Goexit(); return nil },
			func() any { return []traigo.Snapshot{{Pid: 5, State: call.State(), Name: call.Path()}} }, // no lock is held
		} {
			call = root.Fork(traigo.Name(fmt.Sprint("call ", i)), (&worker{respond: respond}).option())
		}
		requireTime(t, 0, func() { assert.Equal(t, []int{5}, foreign(root.Snapshot())) })
		require.Len(t, book.from(slog.LevelWarn), 1)
		require.Len(t, book.at(slog.LevelError, "asks another process", "call 0", "asking panics"), 1)
		require.NoError(t, root.Close())
	})
}

// A process that is asked itself answers before the one that asks has given up.
func TestSnapshotForAnotherProcessIsInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		there := traigo.New(t.Context(), traigo.Name("there"))
		there.Fork((&worker{pid: 3, delay: time.Hour}).option())
		there.Fork((&worker{pid: 4}).option())
		here := traigo.New(t.Context(), processes.Option(func(ctx context.Context, stacks bool) any {
			deadline, ok := ctx.Deadline()
			assert.True(t, ok)
			ctx, cancel := context.WithTimeout(ctx, time.Until(deadline)/2)
			defer cancel()
			shot := processes.Snapshot(ctx, there, stacks).(traigo.Snapshot)
			shot.Pid = 2
			return []traigo.Snapshot{shot}
		}).(traigo.ScopeOption))
		requireTime(t, 50*time.Millisecond, func() { assert.Equal(t, []int{4, 2}, foreign(here.Snapshot())) })
		require.NoError(t, errors.Join(here.Close(), there.Close()))
	})
}

func TestSnapshotWithoutOtherProcessesAllocatesNothingForThem(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	s := traigo.New(context.Background(), traigo.Name("s"))
	assert.Zero(t, testing.AllocsPerRun(100, func() { _ = s.Snapshot() }))
	require.NoError(t, s.Close())
}

// A Dump says what each task waits for, and where.
func TestDumpSaysWhatTasksWaitFor(t *testing.T) {
	var mu sync.Mutex
	mu.Lock()
	hold := make(chan struct{})
	locking := func(context.Context) error { mu.Lock(); defer mu.Unlock(); return nil }
	receiving := func(context.Context) error { <-hold; return nil }
	waiting := func(ctx context.Context) error { <-ctx.Done(); return nil }
	full := func(ctx context.Context) error {
		return traigo.Run(ctx, func(_ context.Context, s *traigo.Scope) error {
			s.Spawn(receiving, traigo.Name("holder"))
			s.Spawn(receiving, traigo.Name("waiter"))
			return nil
		}, traigo.Name("full"), traigo.Limit(1))
	}
	s := traigo.New(t.Context(), traigo.Name("root"))
	s.Spawn(locking, traigo.Name("lock"))
	s.Spawn(receiving, traigo.Name("receive"))
	s.Spawn(waiting, traigo.Name("wait"), traigo.Awaited(false))
	s.Spawn(full, traigo.Name("spawner"))
	line := func(fn func(context.Context) error) string {
		pc := reflect.ValueOf(fn).Pointer()
		_, line := runtime.FuncForPC(pc).FileLine(pc)
		return fmt.Sprintf("snapshot_test.go:%d", line)
	}
	places := func(shot traigo.Snapshot) map[string]string {
		found := make(map[string]string)
		for _, task := range shot.Tasks {
			found[task.Name] = task.Waits + " " + task.At
		}
		return found
	}
	want := map[string]string{
		"lock":    "sync.Mutex.Lock " + line(locking),
		"receive": "chan receive " + line(receiving),
		"wait":    "chan receive " + line(waiting),
	}
	assert.EventuallyWithT(t, func(c *assert.CollectT) {
		shot := s.Dump()
		got := places(shot)
		for name, place := range want {
			assert.Equal(c, place, got[name])
		}
		if assert.Len(c, shot.Scopes, 1) {
			below := shot.Scopes[0]
			assert.Equal(c, 1, below.Waiting)
			assert.Equal(c, []string{"root/spawner"}, below.Blocked)
			assert.Contains(c, below.At, "snapshot_test.go:")
		}
	}, time.Minute, time.Millisecond)
	assert.Empty(t, s.Snapshot().Tasks[0].Waits, "a Snapshot has no stacks")
	assert.Contains(t, s.Dump().String(), want["lock"])
	mu.Unlock()
	close(hold)
	s.Finalize()
	require.NoError(t, s.Close())
}

// A task in Blocking waits for what its call waits for.
func TestDumpLooksThroughBlocking(t *testing.T) {
	var mu sync.Mutex
	mu.Lock()
	locking := func() error { mu.Lock(); defer mu.Unlock(); return nil }
	s := traigo.New(t.Context(), traigo.Name("root"))
	s.Spawn(traigo.Blocking(locking), traigo.Name("lock"))
	pc := reflect.ValueOf(locking).Pointer()
	_, line := runtime.FuncForPC(pc).FileLine(pc)
	assert.EventuallyWithT(t, func(c *assert.CollectT) {
		task := s.Dump().Tasks[0]
		assert.Equal(c, "sync.Mutex.Lock", task.Waits)
		assert.Equal(c, fmt.Sprintf("snapshot_test.go:%d", line), task.At)
	}, time.Minute, time.Millisecond)
	mu.Unlock()
	s.Finalize()
	require.NoError(t, s.Wait())
}
