//go:build linux

package actor_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/actor"
)

// A process for one call (A4), what a function leaves in its actor (A5), panics (A7), and many
// failures at once.

func TestSpawnRunsInAProcessThatEndsWithTheTask(t *testing.T) {
	leavesNothing(t)
	require.NoError(t, runScope(t, func(ctx context.Context, s *traigo.Scope) {
		f := do.Spawn(s, order{Do: "look"})
		assert.Equal(t, "life.do", f.Task().Name(), "the function's name")
		assert.True(t, f.Task().Flags().Bubble)
		assert.True(t, f.Task().Flags().Awaited)
		assert.Same(t, s, f.Task().Scope())
		r, err := f.Await(ctx)
		require.NoError(t, err)
		assert.False(t, isAlive(r.ID.Pid), "the process has ended when the task has")
		assert.Equal(t, "root/life.do", r.ID.Path)
		assert.Equal(t, os.Getpid(), r.Parent)
		assert.Equal(t, r.ID.Pid, r.Group)

		f = do.Spawn(s, order{Do: "look"}, actor.Task(traigo.Name("a/b")))
		assert.Equal(t, "a/b", f.Task().Name())
		r, err = f.Await(ctx)
		require.NoError(t, err)
		assert.Equal(t, "root/a.b", r.ID.Path, "a path has no slashes but those between names")
	}))
}

func TestScopeWaitsForWhatIsSpawned(t *testing.T) {
	leavesNothing(t)
	began := time.Now()
	require.NoError(t, runScope(t, func(_ context.Context, s *traigo.Scope) {
		do.Spawn(s, order{Do: "sleep", For: 300 * time.Millisecond})
	}))
	assert.GreaterOrEqual(t, time.Since(began), 300*time.Millisecond)
}

func TestFailureOfWhatIsSpawnedBubbles(t *testing.T) {
	leavesNothing(t)
	err := runScope(t, func(ctx context.Context, s *traigo.Scope) {
		do.Spawn(s, order{Do: "fail", N: 7})
		<-ctx.Done() // also though nobody awaits it
	})
	var remote *actor.Error
	require.ErrorAs(t, err, &remote)
	assert.Equal(t, "root/life.do", remote.From.Path)
	assert.Equal(t, []actor.ID{remote.From}, remote.Path)
	var number *lifeError
	require.ErrorAs(t, err, &number)
	assert.Equal(t, 7, number.N)
}

func TestFailureOfWhatIsSpawnedIsWhoseItIsSaidToBe(t *testing.T) {
	leavesNothing(t)
	require.NoError(t, runScope(t, func(ctx context.Context, s *traigo.Scope) {
		_, err := do.Spawn(s, order{Do: "fail", N: 8}, actor.Task(traigo.Bubble(false))).Await(ctx)
		var number *lifeError
		require.ErrorAs(t, err, &number)
		assert.Equal(t, 8, number.N)
		require.NoError(t, ctx.Err())
		startDoing(ctx, t, s, "next")
	}))
}

func TestArgumentThatCannotBeEncodedStartsNothing(t *testing.T) {
	leavesNothing(t)
	require.NoError(t, runScope(t, func(ctx context.Context, s *traigo.Scope) {
		_, err := lifeOdd.Spawn(s, odd{}, actor.Task(traigo.Bubble(false))).Await(ctx)
		require.ErrorContains(t, err, "life: this one cannot travel")
	}))
}

// odd cannot be encoded.
type odd struct{}

func (odd) MarshalJSON() ([]byte, error) { return nil, errors.New("life: this one cannot travel") }

var lifeOdd = actor.Func("life.odd", func(context.Context, odd) (int, error) { return 0, nil })

func TestCancelOfWhatIsSpawnedEndsItsProcess(t *testing.T) {
	leavesNothing(t)
	for _, what := range []order{{Do: "wait"}, {Do: "linger", For: 200 * time.Millisecond}} {
		path := t.TempDir() + "/up"
		what.Path = path
		require.NoError(t, runScope(t, func(ctx context.Context, s *traigo.Scope) {
			f := do.Spawn(s, what)
			pid := upIn(t, path)
			began := time.Now()
			f.Task().Cancel(errLife)
			_, err := f.Await(ctx)
			require.ErrorIs(t, err, errLife)
			var gone *actor.GoneError
			require.NotErrorAs(t, err, &gone, "it was not killed")
			assert.GreaterOrEqual(t, time.Since(began), what.For)
			assert.False(t, isAlive(pid))
			require.NoError(t, ctx.Err(), "who is canceled has not failed")
		}))
	}
}

// What a function says besides, when it is canceled, is a failure of its own.
func TestFailureBesideACancellationIsKept(t *testing.T) {
	leavesNothing(t)
	path := t.TempDir() + "/up"
	err := runScope(t, func(ctx context.Context, s *traigo.Scope) {
		do.Spawn(s, order{Do: "complain", N: 9, Path: path})
		upIn(t, path)
		s.Cancel(errLife)
	})
	require.ErrorIs(t, err, errLife)
	var number *lifeError
	require.ErrorAs(t, err, &number)
	assert.Equal(t, 9, number.N)
	assert.Equal(t, map[string]int{"root/life.do": 1}, pathsOf(err))
}

func TestWhatDoesNotEndIsKilledAndInTheOutcome(t *testing.T) {
	leavesNothing(t)
	const grace = 600 * time.Millisecond
	path := t.TempDir() + "/up"
	var began time.Time
	err := runScope(t, func(ctx context.Context, s *traigo.Scope) {
		do.Spawn(s, order{Do: "spin", Path: path}, actor.Grace(grace))
		upIn(t, path)
		began = time.Now()
		s.Cancel(errLife)
	})
	assert.GreaterOrEqual(t, time.Since(began), grace)
	require.ErrorIs(t, err, errLife)
	var gone *actor.GoneError
	require.ErrorAs(t, err, &gone)
	assert.Equal(t, "root/life.do", gone.Actor.Path)
	assert.Contains(t, err.Error(), `actor "root/life.do" has gone: signal: killed`)
}

// What a function leaves in its actor's scope outlives the call; the actor of Spawn has only that
// one call.
func TestWhatASpawnedFunctionLeavesBehindIsCanceledWithItsActor(t *testing.T) {
	leavesNothing(t)
	dir := t.TempDir()
	require.NoError(t, runScope(t, func(ctx context.Context, s *traigo.Scope) {
		_, err := do.Spawn(s, order{Do: "task", Next: &order{Do: "cleanup", Name: dir + "/cleaned"}}).Await(ctx)
		require.NoError(t, err)
	}))
	assert.FileExists(t, dir+"/cleaned", "it was asked to end, and not killed")
}

func TestFailureOfATaskInAnActorFailsTheActor(t *testing.T) {
	leavesNothing(t)
	var a *actor.Actor
	err := runScope(t, func(ctx context.Context, s *traigo.Scope) {
		a = startDoing(ctx, t, s, "host")
		p := call(ctx, t, a, order{Do: "wait"})
		_, err := do.Run(ctx, a, order{Do: "task", Next: &order{Do: "nap", N: 5, For: 50 * time.Millisecond}})
		require.NoError(t, err, "the call has ended by then")
		_, err = p.wait(t)
		require.Error(t, err)
		requireClosed(t, a.Done(), "the actor has failed")
		<-ctx.Done()
	})
	for _, err := range []error{err, a.Err(), a.Wait(t.Context())} {
		var remote *actor.Error
		require.ErrorAs(t, err, &remote)
		assert.Equal(t, a.ID(), remote.From)
		var number *lifeError
		require.ErrorAs(t, err, &number)
		assert.Equal(t, 5, number.N)
		assert.Contains(t, err.Error(), `"root/host"`)
	}
}

func TestErrorOfACallIsTheCallersAndNobodyElses(t *testing.T) {
	leavesNothing(t)
	require.NoError(t, runScope(t, func(ctx context.Context, s *traigo.Scope) {
		a := startDoing(ctx, t, s, "a")
		_, err := do.Run(ctx, a, order{Do: "fail", N: 1})
		require.Error(t, err)
		_, err = do.Run(ctx, a, order{Do: "look"})
		require.NoError(t, err, "the actor lives on")
	}))
}

func TestPanicEndsTheActorAndIsNotRaisedAgain(t *testing.T) {
	leavesNothing(t)
	written(t)
	var a *actor.Actor
	var callErr, otherErr error
	err := runScope(t, func(ctx context.Context, s *traigo.Scope) {
		a = startDoing(ctx, t, s, "brittle")
		own := context.WithoutCancel(ctx) // what is seen without the end of the scope
		other := call(own, t, a, order{Do: "wait"})
		_, callErr = do.Run(own, a, order{Do: "panic"})
		_, otherErr = other.wait(t)
		requireClosed(t, a.Done(), "the actor has ended")
		<-ctx.Done()
	})
	for what, err := range map[string]error{"outcome": err, "Err": a.Err(), "the call": callErr, "the other call": otherErr} {
		var remote *actor.Error
		require.ErrorAs(t, err, &remote, what)
		assert.Equal(t, a.ID(), remote.From, what)
		assert.Contains(t, err.Error(), "life: it panics", what)
		assert.NotContains(t, err.Error(), "\n", what)
		assert.Contains(t, fmt.Sprintf("%+v", remote), "life_test.go", "%s has the stack", what)
	}
}

func TestPanicOfWhatIsSpawned(t *testing.T) {
	leavesNothing(t)
	written(t)
	err := runScope(t, func(_ context.Context, s *traigo.Scope) { do.Spawn(s, order{Do: "panic"}) })
	var remote *actor.Error
	require.ErrorAs(t, err, &remote)
	assert.Equal(t, "root/life.do", remote.From.Path)
	assert.Contains(t, err.Error(), "life: it panics")
	assert.Contains(t, fmt.Sprintf("%+v", remote), "life_test.go")
}

// all has an outcome that keeps each failure.
func all(ctx context.Context, fns []func(context.Context) error) error {
	errs := make([]error, len(fns))
	err := traigo.Run(ctx, func(ctx context.Context, s *traigo.Scope) error {
		for i, fn := range fns {
			s.Spawn(func(ctx context.Context) error { errs[i] = fn(ctx); return nil })
		}
		return nil
	})
	return errors.Join(errors.Join(errs...), err)
}

// 25 children that fail at once: each with an error, or by dying.
func TestManyFailuresAtOnce(t *testing.T) {
	const n = 25
	for what, o := range map[string]order{"errors": {Do: "fail"}, "panics": {Do: "panic"}, "exits": {Do: "exit", N: 3}} {
		t.Run(what, func(t *testing.T) {
			leavesNothing(t)
			logged(t)
			written(t)
			began := time.Now()
			// A barrier: all run when the first one fails.
			gate := t.TempDir() + "/go"
			err := runScope(t, func(ctx context.Context, s *traigo.Scope) {
				var actors []*actor.Actor
				for i := range n {
					actors = append(actors, startDoing(ctx, t, s, fmt.Sprint("child", i)))
				}
				for i, a := range actors {
					next := o
					if what == "errors" {
						next.N = i
					}
					s.Spawn(func(ctx context.Context) error {
						_, err := do.Run(ctx, a, order{Do: "task", Next: &order{Do: "gated", Name: gate, Next: &next}})
						return err
					})
				}
				for _, a := range actors {
					_, err := do.Run(ctx, a, order{Do: "look"})
					assert.NoError(t, err)
				}
				require.NoError(t, writeWhole(gate, "go"))
				<-ctx.Done()
			})
			var outcome *traigo.Error
			require.ErrorAs(t, err, &outcome)
			paths := pathsOf(err)
			t.Logf("%d named, and %d more, in %v", len(paths), outcome.More, time.Since(began))
			assert.NotEmpty(t, paths)
			for i := range n {
				delete(paths, fmt.Sprint("root/child", i))
			}
			assert.Empty(t, paths, "nobody else has failed")
			assert.Less(t, time.Since(began), 40*time.Second)
		})
	}
}

func TestManyFailuresWhileOthersStillStart(t *testing.T) {
	leavesNothing(t)
	logged(t)
	written(t)
	const n = 25
	began := time.Now()
	tasks := make([]*traigo.Task, n)
	err := runScope(t, func(_ context.Context, s *traigo.Scope) {
		for i := range n {
			o := order{Do: "nap", N: i, For: time.Duration(i%5) * 5 * time.Millisecond}
			tasks[i] = do.Spawn(s, o, actor.Task(traigo.Name(fmt.Sprint("child", i)))).Task()
		}
	})
	var outcome *traigo.Error
	require.ErrorAs(t, err, &outcome)
	paths, failed := pathsOf(err), 0
	for i, task := range tasks {
		if !task.Failed() {
			assert.NotContains(t, paths, fmt.Sprint("root/child", i))
			continue
		}
		failed++
		var remote *actor.Error
		var number *lifeError
		require.ErrorAs(t, task.Err(), &remote)
		require.ErrorAs(t, task.Err(), &number)
		assert.Equal(t, fmt.Sprint("root/child", i), remote.From.Path)
		assert.Equal(t, i, number.N)
	}
	assert.Positive(t, failed)
	assert.Equal(t, failed, 1+len(outcome.Others)+outcome.More, "the outcome has each failure, and nothing else")
	assert.Len(t, paths, 1+len(outcome.Others))
	assert.Less(t, time.Since(began), 40*time.Second)
}

// The same where none of them is canceled for the others: all 25 are told.
func TestManyFailuresAreAllTold(t *testing.T) {
	leavesNothing(t)
	written(t)
	const n = 25
	var outcome error
	require.NoError(t, runScope(t, func(_ context.Context, s *traigo.Scope) {
		var fns []func(context.Context) error
		for i := range n {
			fns = append(fns, func(ctx context.Context) error {
				o := []order{{Do: "fail", N: i}, {Do: "panic"}, {Do: "exit", N: 3}, {Do: "signal", N: 9}}[i%4]
				_, err := do.Spawn(s, o, actor.Task(traigo.Name(fmt.Sprint("child", i)), traigo.Bubble(false))).Await(ctx)
				return err
			})
		}
		outcome = all(t.Context(), fns)
	}))
	paths := pathsOf(outcome)
	assert.Len(t, paths, n)
	for i := range n {
		assert.Equal(t, 1, paths[fmt.Sprint("root/child", i)], "child%d", i)
	}
}

var errKilled = errors.New("killed")

func init() { traigo.RegisterError(errKilled) }

// undead fails, and leaves something that does not end.
var undead = exposed(actor.Func("spawn.undead", func(ctx context.Context, _ none) (none, error) {
	traigo.Current(ctx).Spawn(func(context.Context) error {
		forever()
		return nil
	})
	return none{}, errKilled
}))

// The text of the one error is in that of the other.
func TestFailureOfAnActorThatHadToBeKilledIsKept(t *testing.T) {
	inScope(t, func(ctx context.Context, s *traigo.Scope) {
		_, err := undead.Spawn(s, none{}, actor.Grace(200*time.Millisecond), actor.Task(traigo.Bubble(false))).Await(ctx)
		require.ErrorIs(t, err, errKilled)
		var gone *actor.GoneError
		require.ErrorAs(t, err, &gone)
	})
}

// doubly fails, and so does its actor, with a text that has the other one in it.
var doubly = exposed(actor.Func("spawn.doubly", func(ctx context.Context, _ none) (none, error) {
	traigo.Current(ctx).Spawn(func(context.Context) error { return errors.New("it was killed outright") })
	<-ctx.Done()
	return none{}, errKilled
}))

func TestFailureOfAFunctionIsKeptBesideThatOfItsActor(t *testing.T) {
	inScope(t, func(ctx context.Context, s *traigo.Scope) {
		_, err := doubly.Spawn(s, none{}, actor.Task(traigo.Bubble(false))).Await(ctx)
		require.ErrorIs(t, err, errKilled)
		require.ErrorContains(t, err, "it was killed outright")
	})
}
