package traigo_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"runtime"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo"
)

func TestLoggingGivesEveryStepAtDebug(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		type who struct{ scope, task string }
		book, seen := newRecords(), new(story)
		require.NoError(t, traigo.Run(t.Context(), func(ctx context.Context, s *traigo.Scope) error {
			s.Spawn(lasting(time.Second), traigo.Name("work"))
			_, err := s.Start(ctx, func(_ context.Context, ready func()) error { ready(); return nil }, traigo.Name("server"))
			assert.NoError(t, err)
			child := s.Fork(traigo.Name("child"))
			child.Spawn(lasting(time.Second), traigo.Name("below"))
			return child.Wait()
		}, traigo.Name("s"), traigo.Logger(book.logger()), traigo.Observe(seen)))

		steps, logged := map[who]int{}, map[who]int{}
		for _, e := range seen.events() {
			w := who{scope: e.Scope.Path()}
			if e.Task != nil {
				w.task = e.Task.Path()
			}
			steps[w]++
		}
		for _, r := range book.at(slog.LevelDebug) {
			logged[who{r.Attrs["scope"], r.Attrs["task"]}]++
		}
		require.Len(t, steps, 5, "two scopes, three tasks")
		assert.Equal(t, steps, logged, "scope and task by their paths")
		assert.Empty(t, book.from(slog.LevelDebug+1), "nothing went wrong")
	})
}

func TestLoggingGivesTimeoutsAtInfo(t *testing.T) {
	opts := map[string]struct {
		scope []traigo.ScopeOption
		task  []traigo.TaskOption
		path  string
	}{
		"of a scope": {scope: []traigo.ScopeOption{traigo.Timeout(time.Second)}, path: "s"},
		"of a task":  {task: []traigo.TaskOption{traigo.Timeout(time.Second), traigo.Bubble(false)}, path: "s/work"},
	}
	for name, row := range opts {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				book := newRecords()
				s := traigo.New(t.Context(), append(row.scope, traigo.Name("s"), traigo.Logger(book.logger()))...)
				s.Spawn(untilCanceled, append(row.task, traigo.Name("work"))...)
				_ = s.Wait()
				infos := book.at(slog.LevelInfo)
				require.Len(t, infos, 1)
				assert.Contains(t, []string{infos[0].Attrs["scope"], infos[0].Attrs["task"]}, row.path)
				assert.Empty(t, book.from(slog.LevelWarn), "the outcome has it")
			})
		})
	}
}

func TestLoggingGivesSuppressedErrorsAtWarn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		book := newRecords()
		s := traigo.New(t.Context(), traigo.Name("s"), traigo.Logger(book.logger()))
		s.Spawn(cleaning(time.Second, errBoom), traigo.Name("late"))
		s.Spawn(untilCanceled, traigo.Name("canceled"))
		synctest.Wait()
		require.NoError(t, s.Close(), "a quiet end stays quiet")
		warned := book.from(slog.LevelWarn)
		require.Len(t, warned, 1, "a consequence of the end is no error")
		assert.Equal(t, slog.LevelWarn, warned[0].Level)
		assert.Equal(t, "s", warned[0].Attrs["scope"])
		assert.Equal(t, "s/late", warned[0].Attrs["task"])
		assert.Contains(t, warned[0].Text, "boom")
	})
}

func TestLoggingGivesLostErrorsAtErrorLevel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		book := newRecords()
		s := traigo.New(t.Context(), traigo.Name("s"), traigo.Logger(book.logger()))
		forkThatEnds(s, "child", failing(0, errBoom))
		require.NoError(t, s.Wait())
		lost := book.from(slog.LevelWarn)
		require.Len(t, lost, 1)
		assert.Equal(t, slog.LevelError, lost[0].Level)
		assert.Equal(t, "s/child", lost[0].Attrs["scope"])
	})
}

func TestLoggingOfIgnoredFailuresIsForDebugging(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		book := newRecords()
		s := traigo.New(t.Context(), traigo.Logger(book.logger()))
		s.Spawn(failing(0, errBoom), traigo.Bubble(false))
		require.NoError(t, s.Wait())
		assert.NotEmpty(t, book.at(slog.LevelDebug, "boom"))
		assert.Empty(t, book.from(slog.LevelDebug+1))
	})
}

func TestLoggingByDefaultIsForWarningsOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		book := defaultLog(t)
		s := traigo.New(t.Context(), traigo.Name("s"))
		s.Spawn(untilCanceled, traigo.Timeout(time.Second), traigo.Bubble(false))
		s.Spawn(cleaning(time.Second, errBoom), traigo.Name("late"))
		forkThatEnds(s, "child", failing(0, errBoom))
		time.Sleep(time.Minute)
		require.NoError(t, s.Close())
		var levels []slog.Level
		for _, r := range book.from(slog.LevelDebug) {
			levels = append(levels, r.Level)
		}
		assert.ElementsMatch(t, []slog.Level{slog.LevelWarn, slog.LevelError}, levels)
	})
}

func TestInheritedObserversAddUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		top, one, two := new(story), new(story), new(story)
		// With several observers at the top, the children might append to one array.
		s := traigo.New(t.Context(), traigo.Name("s"), traigo.Observe(top), traigo.Observe(new(story)), traigo.Observe(new(story)))
		children := []*traigo.Scope{
			s.Fork(traigo.Name("one"), traigo.Observe(one)),
			s.Fork(traigo.Name("two"), traigo.Observe(two)),
		}
		for _, child := range children {
			child.Spawn(func(ctx context.Context) error {
				return traigo.Run(ctx, emptyBody, traigo.Name("below"))
			})
			require.NoError(t, child.Wait())
		}
		require.NoError(t, s.Wait())

		closings := func(w *story) (paths []string) {
			for _, e := range w.events(traigo.ScopeClosed) {
				paths = append(paths, e.Scope.Path())
			}
			return paths
		}
		assert.ElementsMatch(t, []string{"s/one/below", "s/one"}, closings(one))
		assert.ElementsMatch(t, []string{"s/two/below", "s/two"}, closings(two))
		assert.ElementsMatch(t, append(append([]string{"s"}, closings(one)...), closings(two)...), closings(top))
	})
}

func TestInheritedLoggersAreReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		top, own := newRecords(), newRecords()
		s := traigo.New(t.Context(), traigo.Name("s"), traigo.Logger(top.logger()))
		replaced := s.Fork(traigo.Name("replaced"), traigo.Logger(own.logger()))
		inherited := s.Fork(traigo.Name("inherited"))
		for _, child := range []*traigo.Scope{replaced, inherited} {
			child.Spawn(lasting(0))
			require.NoError(t, child.Wait())
		}
		require.NoError(t, s.Wait())

		scopes := func(b *records) map[string]bool {
			set := map[string]bool{}
			for _, r := range b.from(slog.LevelDebug) {
				set[r.Attrs["scope"]] = true
			}
			return set
		}
		assert.Equal(t, map[string]bool{"s": true, "s/inherited": true}, scopes(top))
		assert.Equal(t, map[string]bool{"s/replaced": true}, scopes(own))
	})
}

func TestLoggingOfABlockedSpawn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		book := newRecords()
		s := traigo.New(t.Context(), traigo.Name("crowded"), traigo.Limit(1), traigo.Logger(book.logger()))
		s.Spawn(func(context.Context) error {
			s.Spawn(lasting(0)) // waits for itself
			return nil
		})
		requireOneWarning(t, book, "crowded")
		require.NoError(t, s.Close(), "the cancellation ends the blocked Spawn")
	})
}

func TestLoggingOfASpawnThatHadToWaitABit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		book := newRecords()
		s := traigo.New(t.Context(), traigo.Limit(1), traigo.Logger(book.logger()))
		for range 5 {
			s.Spawn(lasting(9 * time.Second))
		}
		require.NoError(t, s.Wait())
		assert.Empty(t, book.from(slog.LevelWarn))
	})
}

// A trace is an Observer that checks each event: the events of a scope have to be a path
// through the state table, and those of a task have to come in the order of its life.
type trace struct {
	mu     sync.Mutex
	scopes map[*traigo.Scope]traigo.State
	tasks  map[*traigo.Task]traigo.EventKind
	faults []error
	done   bool
}

func newTrace() *trace {
	return &trace{scopes: map[*traigo.Scope]traigo.State{}, tasks: map[*traigo.Task]traigo.EventKind{}}
}

var stateAfter = map[traigo.EventKind]traigo.State{
	traigo.ScopeFinalized: traigo.Finalizing,
	traigo.ScopeCanceled:  traigo.Canceling,
	traigo.ScopeClosed:    traigo.Closed,
}

func (tr *trace) Observe(e traigo.Event) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	at, known := tr.scopes[e.Scope]
	switch to, isState := stateAfter[e.Kind]; {
	case tr.done:
		tr.fault(e, "after Run has returned")
	case e.Kind == traigo.ScopeOpened:
		if known {
			tr.fault(e, "twice")
		}
		tr.scopes[e.Scope] = traigo.Open
	case !known:
		tr.fault(e, "before the scope was opened")
	case at == traigo.Closed:
		tr.fault(e, "after the scope was closed")
	case isState:
		if !leads(at, to) {
			tr.fault(e, "from "+at.String())
		}
		tr.scopes[e.Scope] = to
	default:
		tr.task(e)
	}
}

// leads reports whether the table has an arrow from one state to another.
func leads(from, to traigo.State) bool {
	_, inputs, next := traigo.StateTable()
	for in := range inputs {
		if from != to && next(from, in) == to {
			return true
		}
	}
	return false
}

func (tr *trace) task(e traigo.Event) {
	last, known := tr.tasks[e.Task]
	ok := false
	switch e.Kind {
	case traigo.TaskSpawned:
		ok = !known
	case traigo.TaskStarted:
		ok = known && last == traigo.TaskSpawned
	case traigo.TaskReady, traigo.TaskAbandoned, traigo.TaskStuck:
		ok = known && (last == traigo.TaskStarted || last == traigo.TaskReady)
	case traigo.TaskEnded:
		ok = known && last != traigo.TaskEnded && last != traigo.TaskSpawned
	}
	if !ok {
		tr.fault(e, fmt.Sprintf("after %v", last))
	}
	tr.tasks[e.Task] = e.Kind
}

func (tr *trace) fault(e traigo.Event, what string) {
	tr.faults = append(tr.faults, fmt.Errorf("scope %d: %v %s", e.Scope.ID(), e.Kind, what))
}

// check is called when Run has returned, and checks that the events are complete.
func (tr *trace) check() []error {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	tr.done = true
	for s, at := range tr.scopes {
		if at != traigo.Closed {
			tr.faults = append(tr.faults, fmt.Errorf("the story of scope %d ends in %v", s.ID(), at))
		}
	}
	for t, last := range tr.tasks {
		if last != traigo.TaskEnded {
			tr.faults = append(tr.faults, fmt.Errorf("the story of task %d of scope %d ends with %v", t.ID(), t.Scope().ID(), last))
		}
	}
	return tr.faults
}

// For any program, the events that an observer receives are a path through the state
// table, and complete when Run returns. A race is rare here: effects that were applied in
// another order than decided have been seen in one of some 20,000 runs.
func TestObserverHearsAPathOfTheStateTable(t *testing.T) {
	runs := 20_000
	if testing.Short() {
		runs = 2_000
	}
	quiet := traigo.Logger(slog.New(slog.DiscardHandler))
	for seed := range runs {
		synctest.Test(t, func(t *testing.T) {
			p, tr := newProgram(uint64(seed), 20), newTrace()
			_ = p.run(context.Background(), quiet, traigo.Observe(tr))
			story := tr.check()
			require.NoError(t, p.check(), "seed %d, story: %v", seed, story)
			require.Empty(t, story, "seed %d", seed)
		})
	}
}

func TestEventKindsAreWordsInJSON(t *testing.T) {
	text, err := json.Marshal(map[string]any{"event": traigo.TaskEnded, "cause": traigo.TimedOut})
	require.NoError(t, err)
	assert.JSONEq(t, `{"event": "task ended", "cause": "timeout"}`, string(text))
}

// An observer may call methods of the scope whose event it receives.
func TestObserverMayCallBackIntoTheScope(t *testing.T) {
	for kind := traigo.ScopeOpened; kind <= traigo.TaskEnded; kind++ {
		if kind == traigo.TaskReady {
			continue // of Start only
		}
		t.Run(kind.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				calls := 0
				var lateTasks []*traigo.Task
				back := seeing(func(e traigo.Event) {
					if e.Kind != kind || calls > 0 {
						return
					}
					calls++
					s := e.Scope
					assert.NotEmpty(t, s.Snapshot().String())
					s.SetTimeout(time.Hour)
					fork := s.Fork()
					fork.Finalize()
					lateTasks = append(lateTasks, s.Spawn(untilCanceled), s.Spawn(succeed), fork.Spawn(succeed))
					s.Finalize()
					s.Cancel(nil)
				})
				s := traigo.New(t.Context(), traigo.Observe(back))
				s.Spawn(succeed)
				synctest.Wait()
				require.NoError(t, s.Wait())
				require.NoError(t, s.CheckInvariants())
				assert.Equal(t, 1, calls)
				for _, task := range lateTasks {
					assert.True(t, closed(task.Done()))
				}
			})
		})
	}
}

// notes are what wrappers have noted. The body of All ends while its functions run.
type notes struct {
	mu  sync.Mutex
	all []string
}

func (n *notes) add(note string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.all = append(n.all, note)
}

// noting is a wrapper that notes its name and the function that it is called around.
func noting(n *notes, name string) traigo.ScopeOption {
	return traigo.Wrap(func(ctx context.Context, next func(context.Context) error) error {
		what := "body of " + traigo.Current(ctx).Name()
		if task := traigo.CurrentTask(ctx); task != nil && task.Scope() == traigo.Current(ctx) {
			what = "task " + task.Name()
		}
		n.add(name + ": " + what)
		defer func() { n.add(name + ": end of " + what) }()
		return next(ctx)
	})
}

func TestWrapIsCalledAroundTasksAndBodies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var n notes
		err := traigo.Run(t.Context(), func(ctx context.Context, s *traigo.Scope) error {
			return s.Spawn(func(ctx context.Context) error {
				return traigo.Run(ctx, emptyBody, traigo.Name("inner"), noting(&n, "B"), noting(&n, "C"))
			}, traigo.Name("work")).Wait(ctx)
		}, traigo.Name("outer"), noting(&n, "A"))
		require.NoError(t, err)
		assert.Equal(t, []string{
			"A: body of outer",
			"A: task work",
			"A: body of inner", "B: body of inner", "C: body of inner",
			"C: end of body of inner", "B: end of body of inner", "A: end of body of inner",
			"A: end of task work",
			"A: end of body of outer",
		}, n.all)
	})
}

func TestWrapIsCalledAroundEveryKindOfTask(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var n notes
		s := traigo.New(t.Context(), noting(&n, "A"))
		fork := s.Fork()
		for _, wait := range []func(){
			func() { require.NoError(t, s.Spawn(succeed).Wait(t.Context())) },
			func() { require.NoError(t, fork.Spawn(succeed).Wait(t.Context())) },
			func() { _, _ = traigo.Async(s, answer).Await(t.Context()) },
			func() { require.NoError(t, s.Spawn(succeed, traigo.Dedicated()).Wait(t.Context())) },
			func() { task, ok := s.TrySpawn(succeed); assert.True(t, ok); <-task.Done() },
			func() {
				_, err := s.Start(t.Context(), func(_ context.Context, ready func()) error { ready(); return nil })
				require.NoError(t, err)
			},
			func() { _, _ = traigo.All(s.Context(), answer) }, // the body of All, and its function
		} {
			wait()
			synctest.Wait()
		}
		assert.Len(t, n.all, 2*8)
		require.NoError(t, s.Close())
	})
}

func TestWrapMayAddValuesAndReplaceTheError(t *testing.T) {
	type key struct{}
	synctest.Test(t, func(t *testing.T) {
		var got any
		s := traigo.New(t.Context(), traigo.Wrap(func(ctx context.Context, next func(context.Context) error) error {
			return errors.Join(next(context.WithValue(ctx, key{}, "value")), errLate)
		}))
		task := s.Spawn(func(ctx context.Context) error {
			got = ctx.Value(key{})
			assert.Same(t, s, traigo.Current(ctx))
			return traigo.Run(ctx, func(_ context.Context, below *traigo.Scope) error {
				assert.Same(t, s, below.Parent())
				assert.Same(t, traigo.CurrentTask(ctx), below.Opener())
				return errBoom
			})
		})
		err := s.Wait()
		assert.Equal(t, "value", got)
		require.ErrorIs(t, err, errLate)
		require.ErrorIs(t, err, errBoom)
		require.ErrorIs(t, task.Err(), errLate)
	})
}

func TestWrapDoesNotHideACancellation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		type key struct{}
		s := traigo.New(t.Context(), traigo.Wrap(func(ctx context.Context, next func(context.Context) error) error {
			return next(context.WithValue(ctx, key{}, 1))
		}))
		s.Spawn(untilCanceled)
		inner := make(chan error, 1)
		s.Spawn(func(ctx context.Context) error {
			inner <- traigo.Run(ctx, func(ctx context.Context, _ *traigo.Scope) error { return untilCanceled(ctx) })
			return nil
		})
		synctest.Wait()
		s.Cancel(errBoom)
		require.ErrorIs(t, s.Wait(), errBoom)
		assert.NotNil(t, cancellation(<-inner, traigo.ParentCanceled))
	})
}

func TestWrapSeesPanicAndGoexitByDefer(t *testing.T) {
	for name, leave := range map[string]func(){"panic": func() { panicOnPurpose("oops") }, "Goexit": runtime.Goexit} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ended := 0
				s := traigo.New(t.Context(), discard(), traigo.Wrap(func(ctx context.Context, next func(context.Context) error) error {
					defer func() { ended++ }()
					return next(ctx)
				}))
				s.Spawn(func(context.Context) error { leave(); return nil }, traigo.Name("work"))
				if name == "panic" {
					_ = requirePanic(t, "work", func() { _ = s.Wait() })
				} else {
					require.ErrorIs(t, s.Wait(), traigo.ErrGoexit)
				}
				assert.Equal(t, 1, ended)
			})
		})
	}
}

// The function runs at most once, and never unseen.
func TestWrapThatDoesNotCallNextOnceFailsTheTask(t *testing.T) {
	rows := map[string]struct {
		wrapper traigo.Wrapper
		runs    int
		says    string
	}{
		"never": {func(context.Context, func(context.Context) error) error { return nil }, 0, "has not called next"},
		"twice": {func(ctx context.Context, next func(context.Context) error) error {
			return errors.Join(next(ctx), next(ctx))
		}, 1, "a second time"},
		"twice, and silent": {func(ctx context.Context, next func(context.Context) error) error {
			_ = next(ctx)
			_ = next(ctx)
			return nil
		}, 1, "a second time"},
		"leaves early": {func(ctx context.Context, next func(context.Context) error) error {
			go func() { _ = next(ctx) }()
			synctest.Wait()
			return nil
		}, 1, "returned before next"},
		"after it has returned": {func(ctx context.Context, next func(context.Context) error) error {
			go func() {
				<-ctx.Done()
				_ = next(ctx)
			}()
			return nil
		}, 0, "has not called next"},
	}
	for name, row := range rows {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				runs := 0
				release, free := newRelease()
				defer free()
				s := traigo.New(t.Context(), traigo.Wrap(row.wrapper))
				s.Spawn(func(context.Context) error {
					runs++
					if name == "leaves early" {
						<-release
					}
					return nil
				}, traigo.Name("work"))
				err := s.Wait()
				require.ErrorContains(t, err, row.says)
				require.ErrorContains(t, err, "traigo: a Wrapper")
				free()
				synctest.Wait()
				assert.Equal(t, row.runs, runs)
			})
		})
	}
}

func TestWrapThatPassesNoContextPanics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := traigo.New(t.Context(), discard(), traigo.Wrap(func(_ context.Context, next func(context.Context) error) error {
			var none context.Context
			return next(none)
		}))
		s.Spawn(succeed)
		value := raised(func() { _ = s.Wait() })
		require.NotNil(t, value)
		assert.Contains(t, value.(error).Error(), "traigo: next of a Wrapper: nil context")
	})
}

func TestWrapOfARunThatFailsIsTheBodysFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		err := traigo.Run(t.Context(), emptyBody, traigo.Wrap(func(ctx context.Context, next func(context.Context) error) error {
			return errors.Join(next(ctx), errBoom)
		}))
		assert.ErrorIs(t, outcome(t, err).Err, errBoom)
	})
}

// What an observer hears of a cancellation says where it was asked for.
func TestCancellationSaysWhereItWasRequested(t *testing.T) {
	here := func() int { _, _, line, _ := runtime.Caller(1); return line }
	errStop := errors.New("stop")
	var line int
	fails := func(context.Context, *traigo.Scope) error { return errStop }
	for name, row := range map[string]struct {
		program func(ctx context.Context, watch traigo.ScopeOption)
		at      func() string
	}{
		"Cancel": {func(ctx context.Context, watch traigo.ScopeOption) {
			s := traigo.New(ctx, watch)
			line = here() + 1
			s.Cancel(errStop)
			_ = s.Wait()
		}, func() string { return fmt.Sprintf("observe_test.go:%d", line) }},
		"Close": {func(ctx context.Context, watch traigo.ScopeOption) {
			s := traigo.New(ctx, watch)
			line = here() + 1
			_ = s.Close()
		}, func() string { return fmt.Sprintf("observe_test.go:%d", line) }},
		"a loop that is left": {func(ctx context.Context, watch traigo.ScopeOption) {
			echo := func(_ context.Context, n int) (int, error) { return n, nil }
			line = here() + 1
			for _, err := range traigo.AsCompleted(ctx, slices.Values([]int{1, 2, 3}), echo, watch) {
				assert.NoError(t, err)
				break
			}
		}, func() string { return fmt.Sprintf("observe_test.go:%d", line) }},
		"body": {func(ctx context.Context, watch traigo.ScopeOption) {
			_ = traigo.Run(ctx, fails, watch)
		}, func() string {
			pc := reflect.ValueOf(fails).Pointer()
			_, line := runtime.FuncForPC(pc).FileLine(pc)
			return fmt.Sprintf("observe_test.go:%d", line)
		}},
		"panic": {func(ctx context.Context, watch traigo.ScopeOption) {
			defer func() { assert.NotNil(t, recover()) }()
			_ = traigo.Run(ctx, func(ctx context.Context, _ *traigo.Scope) error {
				return traigo.Run(ctx, func(_ context.Context, s *traigo.Scope) error {
					s.Spawn(func(context.Context) error {
						line = here() + 1
						panic("boom")
					})
					return nil
				})
			}, watch, discard())
		}, func() string { return fmt.Sprintf("observe_test.go:%d", line) }},
		"task": {func(ctx context.Context, watch traigo.ScopeOption) {
			_ = traigo.Run(ctx, func(_ context.Context, s *traigo.Scope) error {
				s.Spawn(func(context.Context) error { return errStop })
				return nil
			}, watch)
		}, func() string { return "" }},
	} {
		t.Run(name, func(t *testing.T) {
			var at []string
			row.program(t.Context(), traigo.Observe(seeing(func(e traigo.Event) {
				if c, is := errors.AsType[*traigo.Cancellation](e.Err); e.Kind == traigo.ScopeCanceled && is {
					at = append(at, c.At)
				}
			})))
			assert.Equal(t, row.at(), at[0])
		})
	}
}

func TestTaskCanceledAloneSaysWhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var line int
		var at string
		watch := traigo.Observe(seeing(func(e traigo.Event) {
			if c, is := errors.AsType[*traigo.Cancellation](e.Err); e.Kind == traigo.TaskEnded && is {
				at = c.At
			}
		}))
		require.NoError(t, traigo.Run(t.Context(), func(_ context.Context, s *traigo.Scope) error {
			task := s.Spawn(func(ctx context.Context) error { <-ctx.Done(); return context.Cause(ctx) })
			synctest.Wait()
			_, _, line, _ = runtime.Caller(0)
			task.Cancel(nil)
			return nil
		}, watch))
		assert.Equal(t, fmt.Sprintf("observe_test.go:%d", line+1), at)
	})
}
