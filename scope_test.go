package traigo_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
	"weak"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo"
)

func TestStateOnlyGoesForward(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var st story
		s := traigo.New(t.Context(), traigo.Observe(&st))
		release := make(chan struct{})
		s.Spawn(func(context.Context) error { <-release; return nil })
		assert.Equal(t, traigo.Open, s.State())

		s.Finalize()
		s.Finalize()
		assert.Equal(t, traigo.Finalizing, s.State())

		s.Cancel(nil)
		assert.Equal(t, traigo.Canceling, s.State())
		s.Finalize()
		assert.Equal(t, traigo.Canceling, s.State())

		close(release)
		require.NoError(t, s.Wait())
		assert.Equal(t, traigo.Closed, s.State())
		s.Finalize()
		s.Cancel(errBoom)
		assert.Equal(t, traigo.Closed, s.State())
		require.NoError(t, s.Close())

		assert.Equal(t, []traigo.EventKind{
			traigo.ScopeOpened, traigo.ScopeFinalized, traigo.ScopeCanceled, traigo.ScopeClosed,
		}, st.ofScope(s))
	})
}

func TestOpenScopeNeverEndsByItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := traigo.New(t.Context())
		require.NoError(t, s.Spawn(succeed).Wait(t.Context()))
		time.Sleep(1000 * time.Hour)
		assert.Equal(t, traigo.Open, s.State())
		assert.False(t, closed(s.Done()))
		require.NoError(t, s.Context().Err())
		require.NoError(t, s.Spawn(succeed).Wait(t.Context()), "an open scope accepts")
		require.NoError(t, s.Close())
	})
}

func TestFinalizingScopeWaitsForEveryParticipant(t *testing.T) {
	second := lasting(time.Second)
	rows := []struct {
		name string
		body func(s *traigo.Scope)
	}{
		{"task", func(s *traigo.Scope) {
			s.Spawn(second)
			s.Spawn(lasting(2 * time.Second))
		}},
		{"task spawned meanwhile", func(s *traigo.Scope) {
			s.Spawn(func(ctx context.Context) error {
				_ = second(ctx)
				s.Spawn(second)
				return nil
			})
		}},
		{"task of a forked scope", func(s *traigo.Scope) {
			child := s.Fork()
			child.Spawn(func(ctx context.Context) error { _ = second(ctx); return second(ctx) })
			child.Finalize()
		}},
		{"forked scope that is open", func(s *traigo.Scope) {
			child := s.Fork()
			time.AfterFunc(2*time.Second, child.Finalize)
		}},
		{"scope forked meanwhile", func(s *traigo.Scope) {
			s.Spawn(func(ctx context.Context) error {
				_ = second(ctx)
				child := s.Fork()
				child.Spawn(second)
				child.Finalize()
				return nil
			})
		}},
		{"body of Run", func(s *traigo.Scope) {
			s.Finalize()
			time.Sleep(2 * time.Second)
		}},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				require.NoError(t, traigo.Run(t.Context(), func(_ context.Context, s *traigo.Scope) error {
					time.AfterFunc(1500*time.Millisecond, func() {
						assert.Equal(t, traigo.Finalizing, s.State())
						assert.NoError(t, s.Context().Err())
					})
					row.body(s)
					return nil
				}))
				assert.Equal(t, 2*time.Second, time.Since(start))
			})
		})
	}
}

func TestFinalizeEndsAnEmptyScope(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := traigo.New(t.Context())
		start := time.Now()
		s.Finalize()
		<-s.Done()
		assert.Zero(t, time.Since(start))
		assert.Equal(t, traigo.Closed, s.State())
		assert.NoError(t, s.Err())
	})
}

func TestDoneIsClosedLast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var (
			called      atomic.Bool
			doneAtClose []bool // at each event of the scope's close
		)
		s := traigo.New(t.Context(), traigo.Name("main"), traigo.Observe(seeing(func(e traigo.Event) {
			if e.Kind == traigo.ScopeClosed && e.Scope.Name() == "main" {
				doneAtClose = append(doneAtClose, closed(e.Scope.Done()))
			}
		})))
		slow := cleaning(time.Second, nil)
		task := s.Spawn(slow, traigo.OnDone(func(error) {
			time.Sleep(time.Second)
			called.Store(true)
		}))
		forked, opened := s.Fork(), traigo.New(s.Context())
		inForked, inOpened := forked.Spawn(slow), opened.Spawn(slow)

		s.Cancel(errBoom)
		synctest.Wait()
		assert.False(t, closed(s.Done()))
		assert.Equal(t, traigo.Canceling, s.State())
		require.NoError(t, s.Err(), "there is no outcome before Done")

		<-s.Done()
		assert.Equal(t, traigo.Closed, s.State())
		require.ErrorIs(t, s.Err(), errBoom)
		for _, task := range []*traigo.Task{task, inForked, inOpened} {
			assert.True(t, closed(task.Done()))
		}
		for _, child := range []*traigo.Scope{forked, opened} {
			assert.Equal(t, traigo.Closed, child.State())
			assert.True(t, closed(child.Done()))
		}
		assert.True(t, called.Load(), "OnDone has returned")
		assert.Equal(t, []bool{false}, doneAtClose, "the close has been observed, once, before Done was closed")
	})
}

func TestNormalEndPassesThroughCanceling(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var (
			st    story
			s     *traigo.Scope
			cause error
			state traigo.State
		)
		require.NoError(t, traigo.Run(t.Context(), func(_ context.Context, scope *traigo.Scope) error {
			s = scope
			s.Spawn(func(ctx context.Context) error {
				<-ctx.Done()
				cause, state = context.Cause(ctx), s.State()
				return nil
			}, traigo.Awaited(false))
			return nil
		}, traigo.Observe(&st)))
		assert.Equal(t, traigo.Canceling, state)
		assert.NotNil(t, cancellation(cause, traigo.Completed), "%v", cause)
		assert.Equal(t, []traigo.EventKind{
			traigo.ScopeOpened, traigo.ScopeFinalized, traigo.ScopeCanceled, traigo.ScopeClosed,
		}, st.ofScope(s))
	})
}

func TestFinalizeDoesNotStopTheBody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reached, ran := false, false
		require.NoError(t, traigo.Run(t.Context(), func(ctx context.Context, s *traigo.Scope) error {
			s.Finalize()
			assert.NoError(t, traigo.Sleep(ctx, time.Second))
			assert.NoError(t, s.Spawn(func(context.Context) error { ran = true; return nil }).Wait(ctx))
			reached = true
			return nil
		}))
		assert.True(t, reached)
		assert.True(t, ran, "a finalizing scope accepts")
	})
}

func TestScopeKeepsOnlyWhatIsRunning(t *testing.T) {
	const n = 300
	s := traigo.New(t.Context())
	defer s.Cancel(nil)
	tasks := map[string]func() *traigo.Task{
		"task":                      func() *traigo.Task { return s.Spawn(succeed) },
		"task with a name":          func() *traigo.Task { return s.Spawn(succeed, traigo.Name("named")) },
		"task with a timeout":       func() *traigo.Task { return s.Spawn(succeed, traigo.Timeout(time.Hour)) },
		"failure that nobody wants": func() *traigo.Task { return s.Spawn(fail, traigo.Bubble(false)) },
		"task that used its context": func() *traigo.Task {
			return s.Spawn(func(ctx context.Context) error {
				derived, cancel := context.WithCancel(ctx)
				defer cancel()
				return derived.Err()
			})
		},
		"future": func() *traigo.Task {
			future := traigo.Async(s, noAnswer)
			_, _ = future.Await(t.Context())
			return future.Task()
		},
		"future that is not received": func() *traigo.Task { return traigo.Async(s, noAnswer).Task() },
	}
	for name, spawn := range tasks {
		t.Run(name, func(t *testing.T) {
			assertCollected(t, n, func() *traigo.Task {
				task := spawn()
				<-task.Done()
				return task
			})
		})
	}
	scopes := map[string]func() *traigo.Scope{
		"fork":              func() *traigo.Scope { return s.Fork() },
		"fork with timeout": func() *traigo.Scope { return s.Fork(traigo.Timeout(time.Hour)) },
		"failed fork": func() *traigo.Scope {
			child := s.Fork(discard())
			child.Spawn(fail)
			return child
		},
		"New": func() *traigo.Scope { return traigo.New(s.Context()) },
	}
	for name, open := range scopes {
		t.Run(name, func(t *testing.T) {
			assertCollected(t, n, func() *traigo.Scope {
				child := open()
				child.Finalize()
				<-child.Done()
				return child
			})
		})
	}
}

// assertCollected checks that the garbage collector frees n values that are used no
// more, except for the 16 that a scope may keep and the few that the stacks of
// goroutines which have just ended a task may still hold.
func assertCollected[T any](t *testing.T, n int, used func() *T) {
	t.Helper()
	values := make([]weak.Pointer[T], n)
	for i := range values {
		values[i] = weak.Make(used())
	}
	kept := 0
	for range 3 {
		runtime.GC()
		kept = 0
		for _, value := range values {
			if value.Value() != nil {
				kept++
			}
		}
	}
	assert.LessOrEqual(t, kept, 16+16)
}

func TestDefaultNameOfNewAndForkIsTheID(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := traigo.New(t.Context())
		child := s.Fork()
		for _, scope := range []*traigo.Scope{s, child} {
			assert.Equal(t, fmt.Sprintf("scope#%d", scope.ID()), scope.Name())
		}
		assert.Equal(t, s.Name()+"/"+child.Name(), child.Path())
		require.NoError(t, s.Close())
	})
}

func TestNamesMakePaths(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := traigo.New(t.Context(), traigo.Name("server"))
		child := s.Fork(traigo.Name("conn"))
		task := child.Spawn(succeed, traigo.Name("read"))
		assert.Equal(t, "server", s.Path())
		assert.Equal(t, "conn", child.Name())
		assert.Equal(t, "server/conn", child.Path())
		assert.Equal(t, "read", task.Name())
		assert.Equal(t, "server/conn/read", task.Path())
		assert.Same(t, child, task.Scope())
		require.NoError(t, s.Close())
	})
}

// Path once made a text for each scope on the way up, which took n² time: n³ for all
// paths in a Snapshot, and 35 s for a depth of 4,000.
func TestPathOfADeepScopeIsMadeAtOnce(t *testing.T) {
	root := traigo.New(context.Background(), traigo.Name("s"))
	s := root
	for range 1000 {
		s = s.Fork(traigo.Name("s"))
	}
	assert.Len(t, s.Path(), 2001)
	if !raceEnabled {
		assert.LessOrEqual(t, testing.AllocsPerRun(10, func() { _ = s.Path() }), 12.0)
	}
	assert.NoError(t, root.Close())
}

func TestIDsAreUnique(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		scopes := map[uint64]bool{}
		for range 100 {
			s := traigo.New(t.Context())
			child := s.Fork()
			assert.False(t, scopes[s.ID()])
			scopes[s.ID()] = true
			assert.False(t, scopes[child.ID()])
			scopes[child.ID()] = true

			tasks := map[uint64]bool{}
			for range 10 {
				task := s.Spawn(succeed)
				assert.False(t, tasks[task.ID()])
				tasks[task.ID()] = true
			}
			require.NoError(t, s.Close())
		}
	})
}

func TestScopesKnowWhatTheyHangOn(t *testing.T) {
	err := traigo.Run(t.Context(), func(ctx context.Context, root *traigo.Scope) error {
		assert.Nil(t, root.Parent())
		assert.Nil(t, root.Opener())
		assert.Same(t, root, root.Root())
		fork := root.Fork()
		assert.Same(t, root, fork.Parent())
		assert.Same(t, root, fork.Root())
		assert.Nil(t, fork.Opener(), "a fork is opened by whoever calls Fork, not under a context")
		fork.Finalize()

		task := root.Spawn(func(ctx context.Context) error {
			return traigo.Run(ctx, func(inner context.Context, s *traigo.Scope) error {
				assert.Same(t, root, s.Parent())
				assert.Same(t, traigo.CurrentTask(ctx), s.Opener())
				assert.Same(t, root, s.Root())
				made := traigo.New(ctx)
				assert.Same(t, traigo.CurrentTask(ctx), made.Opener())
				below := traigo.New(inner)
				assert.Same(t, s, below.Parent())
				assert.Nil(t, below.Opener(), "it was opened by its parent's body, which is no task")
				shielded := traigo.New(context.WithoutCancel(inner))
				err := errors.Join(made.Close(), below.Close(), shielded.Close())
				for _, closed := range []*traigo.Scope{made, below, shielded} {
					assert.Same(t, root, closed.Root())
				}
				return err
			})
		})
		return task.Wait(ctx)
	})
	require.NoError(t, err)
}

func TestScopeSaysWhichTaskEndedIt(t *testing.T) {
	for _, row := range []struct {
		name string
		end  func(s *traigo.Scope) *traigo.Task
	}{
		{"failure", func(s *traigo.Scope) *traigo.Task { return s.Spawn(fail) }},
		{"panic", func(s *traigo.Scope) *traigo.Task { return s.Spawn(panicking("oops")) }},
		{"master", func(s *traigo.Scope) *traigo.Task { return s.Spawn(succeed, traigo.Master(true)) }},
		{"cancel", func(s *traigo.Scope) *traigo.Task { s.Cancel(errBoom); return nil }},
		{"complete", func(s *traigo.Scope) *traigo.Task { s.Finalize(); return nil }},
	} {
		synctest.Test(t, func(t *testing.T) {
			s := traigo.New(t.Context(), traigo.PanicAsError())
			assert.Nil(t, s.CanceledBy())
			below := s.Fork()
			below.Finalize()
			task := row.end(s)
			synctest.Wait()
			_ = s.Close()
			assert.Equal(t, task, s.CanceledBy(), row.name)
			assert.Nil(t, below.CanceledBy(), row.name)
		})
	}
}
