//go:build linux

package actor_test

import (
	"context"
	"fmt"
	"os"
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
	"github.com/traigo/traigo/actor"
)

// How an actor ends (A6, A12, A13, A14, A15, A16 of a child).

// An actor that has nothing to do is asked, and has gone long before anything else would happen.
func TestIdleActorEndsAtOnce(t *testing.T) {
	leavesNothing(t)
	log := logged(t)
	var took time.Duration
	for range 5 {
		var a *actor.Actor
		require.NoError(t, runScope(t, func(ctx context.Context, s *traigo.Scope) {
			a = startDoing(ctx, t, s, "idle")
			began := time.Now()
			a.Cancel(nil)
			require.NoError(t, a.Wait(ctx))
			took = max(took, time.Since(began))
		}))
		require.NoError(t, a.Err())
		assert.False(t, isAlive(a.ID().Pid))
	}
	assert.Less(t, took, 2*time.Second, "nothing was waited for")
	assert.Empty(t, log.String())
}

func TestWhoAskedHasNoError(t *testing.T) {
	leavesNothing(t)
	log := logged(t)
	for what, end := range map[string]func(a *actor.Actor, s *traigo.Scope){
		"Cancel":             func(a *actor.Actor, _ *traigo.Scope) { a.Cancel(nil) },
		"Cancel for a cause": func(a *actor.Actor, _ *traigo.Scope) { a.Cancel(errLife) },
		"Kill":               func(a *actor.Actor, _ *traigo.Scope) { a.Kill() },
		"the task":           func(a *actor.Actor, _ *traigo.Scope) { a.Task().Cancel(errLife) },
		"the scope":          func(_ *actor.Actor, s *traigo.Scope) { s.Cancel(nil) },
		"the end":            func(*actor.Actor, *traigo.Scope) {},
	} {
		for _, doing := range []string{"wait", "cause"} {
			var a *actor.Actor
			var p *pending
			err := runScope(t, func(ctx context.Context, s *traigo.Scope) {
				a = startDoing(ctx, t, s, "a")
				p = call(context.WithoutCancel(ctx), t, a, order{Do: doing})
				end(a, s)
			})
			require.NoError(t, err, what)
			requireClosed(t, a.Done(), what)
			require.NoError(t, a.Err(), what)
			require.NoError(t, a.Wait(t.Context()), what)
			r, err := p.wait(t)
			switch {
			case what == "Kill":
				requireGone(t, err, a.ID())
			case doing == "cause":
				require.NoError(t, err, what)
				assert.Contains(t, r.Text, `actor "root/a" was canceled by "root"`, what)
				assert.Equal(t, strings.Contains(what, "cause") || what == "the task", strings.Contains(r.Text, errLife.Error()), what)
			default:
				require.Error(t, err, what)
			}
		}
	}
	assert.Empty(t, log.String())
}

func TestWaitEndsWithItsContext(t *testing.T) {
	leavesNothing(t)
	require.NoError(t, runScope(t, func(ctx context.Context, s *traigo.Scope) {
		a := startDoing(ctx, t, s, "a")
		short, cancel := context.WithCancelCause(ctx)
		cancel(errLife)
		require.ErrorIs(t, a.Wait(short), errLife)
		require.NoError(t, a.Err())
		_, err := do.Run(ctx, a, order{Do: "look"})
		require.NoError(t, err)
	}))
}

func TestCancelOfTheScopeIsNoErrorOfItsActors(t *testing.T) {
	leavesNothing(t)
	err := runScope(t, func(ctx context.Context, s *traigo.Scope) {
		for i := range 3 {
			a := startDoing(ctx, t, s, fmt.Sprint("a", i))
			call(ctx, t, a, order{Do: "wait"})
		}
		s.Cancel(errLife)
	})
	var outcome *traigo.Error
	require.ErrorAs(t, err, &outcome)
	assert.Equal(t, errLife, outcome.Err)
	assert.Empty(t, outcome.Others)
}

// The ladder.

// laddered runs an order in an actor with a Grace, and cancels the actor when it runs. It returns
// what Wait does, how long that took, and the outcome of the scope, which fails with errLife
// unless it is to end quietly.
func laddered(t *testing.T, grace time.Duration, o order, quietly bool, before func(a *actor.Actor)) (a *actor.Actor, took time.Duration, waitErr, outcome error) {
	t.Helper()
	outcome = runScope(t, func(ctx context.Context, s *traigo.Scope) {
		a = startDoing(ctx, t, s, "slow", actor.Grace(grace))
		if o.Do != "" {
			call(context.WithoutCancel(ctx), t, a, o)
		}
		if before != nil {
			before(a)
		}
		began := time.Now()
		if quietly {
			s.Cancel(nil)
		} else {
			s.Cancel(errLife)
		}
		waitErr = a.Wait(context.WithoutCancel(ctx))
		took = time.Since(began)
	})
	assert.False(t, isAlive(a.ID().Pid))
	return a, took, waitErr, outcome
}

func TestActorThatAcknowledgesHasItsGrace(t *testing.T) {
	leavesNothing(t)
	log := logged(t)
	const d = 400 * time.Millisecond
	_, took, waitErr, outcome := laddered(t, 20*time.Second, order{Do: "linger", For: d}, true, nil)
	require.NoError(t, waitErr)
	require.NoError(t, outcome)
	assert.GreaterOrEqual(t, took, d)
	assert.Less(t, took, 10*time.Second)
	assert.Empty(t, log.String())
}

func TestActorThatIgnoresItsCancellationIsKilledAtTheEndOfItsGrace(t *testing.T) {
	for _, how := range []string{"deaf", "spin"} {
		t.Run(how, func(t *testing.T) {
			leavesNothing(t)
			const grace = 800 * time.Millisecond
			a, took, waitErr, outcome := laddered(t, grace, order{Do: how}, false, nil)
			assert.GreaterOrEqual(t, took, grace)
			assert.Less(t, took, grace+10*time.Second)
			requireGone(t, waitErr, a.ID())
			requireGone(t, a.Err(), a.ID())
			requireGone(t, outcome, a.ID())
			require.ErrorIs(t, outcome, errLife, "what has begun it comes first")
			var first *traigo.Error
			require.ErrorAs(t, outcome, &first)
			assert.Equal(t, errLife, first.Err)
			assert.Len(t, first.Others, 1)
			assert.Contains(t, waitErr.Error(), `actor "root/slow" has gone: signal: killed`)
		})
	}
}

// After a quiet end who had to be killed is in the log.
func TestActorThatHadToBeKilledAfterAQuietEndIsLogged(t *testing.T) {
	leavesNothing(t)
	log := logged(t)
	a, _, waitErr, outcome := laddered(t, 300*time.Millisecond, order{Do: "deaf"}, true, nil)
	requireGone(t, waitErr, a.ID())
	require.NoError(t, outcome)
	assert.Contains(t, log.String(), "level=WARN")
	assert.Contains(t, log.String(), `root/slow`)
}

// SIGTERM comes after three quarters, as a last warning.
func TestSIGTERMComesBeforeSIGKILL(t *testing.T) {
	leavesNothing(t)
	const grace = 2 * time.Second
	file := t.TempDir() + "/term"
	var began time.Time
	a, took, waitErr, _ := laddered(t, grace, order{Do: "term", Name: file}, true, func(*actor.Actor) { began = time.Now() })
	requireGone(t, waitErr, a.ID())
	assert.GreaterOrEqual(t, took, grace, "it has answered the signal, so it has all of its Grace")
	text, err := os.ReadFile(file)
	require.NoError(t, err, "the signal has come")
	at, err := strconv.ParseInt(string(text), 10, 64)
	require.NoError(t, err)
	assert.GreaterOrEqual(t, time.Unix(0, at).Sub(began), grace*3/4)
}

// SIGTERM goes to the group: what an actor waits for ends, and then the actor does.
func TestSIGTERMReachesTheGroup(t *testing.T) {
	leavesNothing(t)
	const grace = 2 * time.Second
	_, took, waitErr, outcome := laddered(t, grace, order{Do: "sh", Name: "sleep 600"}, true, nil)
	require.NoError(t, waitErr, "it has ended by itself, when sleep did")
	require.NoError(t, outcome)
	assert.GreaterOrEqual(t, took, grace*3/4)
}

func TestStoppedActorIsKilled(t *testing.T) {
	t.Run("after a second or so", func(t *testing.T) {
		leavesNothing(t)
		const grace = time.Second // half of it for the acknowledgement, and the rest for that of the signal
		a, took, waitErr, outcome := laddered(t, grace, order{}, false, func(a *actor.Actor) { stop(t, a.ID().Pid) })
		requireGone(t, waitErr, a.ID())
		requireGone(t, outcome, a.ID())
		assert.GreaterOrEqual(t, took, grace)
		assert.Less(t, took, 10*time.Second)
	})
	t.Run("long before a long Grace has passed", func(t *testing.T) {
		leavesNothing(t)
		const grace = 10 * time.Minute
		a, took, waitErr, _ := laddered(t, grace, order{Do: "wait"}, true, func(a *actor.Actor) { stop(t, a.ID().Pid) })
		requireGone(t, waitErr, a.ID())
		assert.GreaterOrEqual(t, took, 3*time.Second, "2 s for the acknowledgement, 1 s for the signal")
		assert.Less(t, took, 30*time.Second)
	})
}

// It is woken during the ladder, and ends well.
func TestStoppedActorThatIsWokenIsNotKilled(t *testing.T) {
	leavesNothing(t)
	_, _, waitErr, outcome := laddered(t, 60*time.Second, order{Do: "wait"}, true, func(a *actor.Actor) {
		stop(t, a.ID().Pid)
		time.AfterFunc(300*time.Millisecond, func() { _ = send(a.ID().Pid, syscall.SIGCONT) })
	})
	require.NoError(t, waitErr)
	require.NoError(t, outcome)
}

func TestGraceOfZeroKillsAtOnce(t *testing.T) {
	leavesNothing(t)
	log := logged(t)
	file := t.TempDir() + "/cleaned"
	a, took, waitErr, outcome := laddered(t, 0, order{Do: "cleanup", Name: file}, true, nil)
	require.NoError(t, waitErr, "that is what was asked for")
	require.NoError(t, outcome)
	require.NoError(t, a.Err())
	assert.Less(t, took, 2*time.Second)
	assert.NoFileExists(t, file, "it was not asked")
	assert.Empty(t, log.String())
}

// Each level has three quarters of what the one above has, so that it can still end those below,
// and tell of it.
func TestEachLevelEndsTheOneBelow(t *testing.T) {
	leavesNothing(t)
	log := written(t)
	dir := t.TempDir()
	const grace = 3 * time.Second
	var a *actor.Actor
	var leaf int
	var took time.Duration
	err := runScope(t, func(ctx context.Context, s *traigo.Scope) {
		a = startDoing(ctx, t, s, "top", actor.Grace(grace))
		call(context.WithoutCancel(ctx), t, a, order{
			Do: "child", Name: "mid", For: time.Hour, Path: dir + "/top",
			Next: &order{Do: "child", Name: "leaf", For: time.Hour, Path: dir + "/mid", Next: &order{Do: "deaf", Path: dir + "/leaf"}},
		})
		leaf = upIn(t, dir+"/leaf")
		began := time.Now()
		a.Cancel(nil)
		_ = a.Wait(ctx)
		took = time.Since(began)
	})
	require.NoError(t, err, "neither top nor mid had to be killed")
	require.NoError(t, a.Err())
	assert.False(t, isAlive(leaf))
	assert.GreaterOrEqual(t, took, grace*9/16, "the leaf has had its time")
	assert.Less(t, took, grace, "which is less than that of those above")
	assert.Contains(t, log.String(), `actor \"root/top/mid/leaf\" has gone: signal: killed`, "that the leaf had to be killed is in the log of the one above")
}

// Signals.

func TestSIGTERMIsACancelByNobody(t *testing.T) {
	leavesNothing(t)
	var a *actor.Actor
	var callErr error
	var r report
	err := runScope(t, func(ctx context.Context, s *traigo.Scope) {
		a = startDoing(ctx, t, s, "victim")
		own := context.WithoutCancel(ctx)
		p, q := call(own, t, a, order{Do: "wait"}), call(own, t, a, order{Do: "cause"})
		require.NoError(t, send(a.ID().Pid, syscall.SIGTERM))
		_, callErr = p.wait(t)
		var err error
		r, err = q.wait(t)
		require.NoError(t, err)
		requireClosed(t, a.Done(), "the actor has ended")
		<-ctx.Done()
	})
	for what, err := range map[string]error{"outcome": err, "Err": a.Err(), "Wait": a.Wait(t.Context()), "the call": callErr} {
		var canceled *actor.Canceled
		require.ErrorAs(t, err, &canceled, "%s: %v", what, err)
		assert.Equal(t, a.ID(), canceled.Actor, what)
		assert.Zero(t, canceled.By, what)
		require.ErrorIs(t, err, context.Canceled, what)
		assert.Contains(t, err.Error(), `actor "root/victim" was canceled by a signal`, what)
	}
	assert.Contains(t, r.Text, `actor "root/victim" was canceled by a signal`, "the cause in the function")
}

func TestSIGINTDoesNotReachAFunction(t *testing.T) {
	leavesNothing(t)
	require.NoError(t, runScope(t, func(ctx context.Context, s *traigo.Scope) {
		a := startDoing(ctx, t, s, "a")
		short, cancel := context.WithCancelCause(ctx)
		p := call(short, t, a, order{Do: "cause"})
		for range 3 {
			require.NoError(t, send(a.ID().Pid, syscall.SIGINT))
			require.NoError(t, send(-a.ID().Pid, syscall.SIGINT))
		}
		_, err := do.Run(ctx, a, order{Do: "look"})
		require.NoError(t, err)
		cancel(errLife)
		r, err := p.wait(t)
		require.NoError(t, err)
		assert.Contains(t, r.Text, errLife.Error())
	}))
}

// Somebody else.

func TestActorThatAnotherOneCancels(t *testing.T) {
	leavesNothing(t)
	var a, peer *actor.Actor
	var callErr error
	err := runScope(t, func(ctx context.Context, s *traigo.Scope) {
		a = startDoing(ctx, t, s, "victim", actor.Findable())
		peer = startDoing(ctx, t, s, "peer")
		own := context.WithoutCancel(ctx)
		p := call(own, t, a, order{Do: "wait"})
		_, err := do.Run(own, peer, order{Do: "cancel", Name: "victim"})
		require.NoError(t, err, "who has asked has no error")
		_, callErr = p.wait(t)
		requireClosed(t, a.Done(), "it has ended")
		<-ctx.Done()
	})
	for what, err := range map[string]error{"outcome": err, "Err": a.Err(), "the call": callErr} {
		var canceled *actor.Canceled
		require.ErrorAs(t, err, &canceled, "%s: %v", what, err)
		assert.Equal(t, a.ID(), canceled.Actor, what)
		assert.Equal(t, peer.ID(), canceled.By, what)
		require.ErrorIs(t, err, errLife, what)
		assert.Contains(t, err.Error(), `actor "root/victim" was canceled by "root/peer": life: it fails`, what)
	}
	require.NoError(t, peer.Err())
}

func TestKillOfWhatIsNoChildPanics(t *testing.T) {
	leavesNothing(t)
	require.NoError(t, runScope(t, func(ctx context.Context, s *traigo.Scope) {
		startDoing(ctx, t, s, "found", actor.Findable())
		b, err := actor.Find(ctx, s, "found")
		require.NoError(t, err)
		assert.Contains(t, panicOf(b.Kill), "traigo: ")
		r, err := do.Run(ctx, startDoing(ctx, t, s, "other"), order{Do: "kill", Name: "found"})
		require.NoError(t, err)
		assert.Contains(t, r.Text, "traigo: ")
		_, err = do.Run(ctx, b, order{Do: "look"})
		require.NoError(t, err)
	}))
}

// Soft stop.

func TestShutdownReachesActors(t *testing.T) {
	leavesNothing(t)
	s := traigo.New(t.Context())
	dir := t.TempDir()
	a := startDoing(t.Context(), t, s, "a")
	f := do.Spawn(s, order{Do: "stopping", For: 200 * time.Millisecond, Path: dir + "/spawned"}, actor.Task(traigo.Bubble(false)))
	var started, below report
	s.Spawn(func(ctx context.Context) (err error) {
		started, err = do.Run(ctx, a, order{Do: "stopping", Path: dir + "/started"})
		return err
	})
	s.Spawn(func(ctx context.Context) (err error) {
		below, err = do.Run(ctx, a, order{Do: "child", Next: &order{Do: "stopping", Path: dir + "/below"}})
		return err
	})
	for _, name := range []string{"/spawned", "/started", "/below"} {
		upIn(t, dir+name)
	}
	require.NoError(t, s.Shutdown(t.Context()))
	r, err := f.Await(t.Context())
	require.NoError(t, err)
	for _, r := range []report{r, started, below} {
		assert.Equal(t, "stopped softly", r.Text)
	}
	require.NoError(t, a.Err())
	requireClosed(t, a.Done(), "it has ended")
}

func TestShutdownThatTakesTooLongCancels(t *testing.T) {
	leavesNothing(t)
	s := traigo.New(t.Context())
	path := t.TempDir() + "/up"
	f := do.Spawn(s, order{Do: "wait", Path: path}, actor.Task(traigo.Bubble(false)))
	upIn(t, path)
	short, cancel := context.WithTimeoutCause(t.Context(), 200*time.Millisecond, errLife)
	defer cancel()
	require.ErrorIs(t, s.Shutdown(short), errLife)
	_, err := f.Await(t.Context())
	require.ErrorIs(t, err, errLife)
}

// Death.

func TestDeathOfAChildNamesIt(t *testing.T) {
	for name, death := range map[string]struct {
		o    order
		want []string
	}{
		"exit 0":        {order{Do: "exit", N: 0}, []string{"exit status 0"}},
		"exit 3":        {order{Do: "exit", N: 3}, []string{"exit status 3", "the last words"}},
		"panic":         {order{Do: "elsewhere"}, []string{"exit status 2", "panic: life: it panics elsewhere"}},
		"fatal error":   {order{Do: "fatal"}, []string{"exit status 2", "fatal error: sync: unlock of unlocked mutex"}},
		"SIGKILL":       {order{Do: "signal", N: 9}, []string{"signal: killed", "the last words"}},
		"SIGABRT":       {order{Do: "signal", N: 6}, []string{"exit status 2", "SIGABRT: abort"}},
		"fault":         {order{Do: "segv"}, []string{"exit status 2", "fault"}},
		"SIGSEGV":       {order{Do: "signal", N: 11}, []string{"exit status 2", "SIGSEGV"}},
		"SIGKILL inner": {order{Do: "task", Next: &order{Do: "signal", N: 9}}, []string{"signal: killed", "the last words"}},
	} {
		t.Run(name, func(t *testing.T) {
			leavesNothing(t)
			written(t)
			var a *actor.Actor
			var callErr, otherErr error
			var took time.Duration
			outcome := runScope(t, func(ctx context.Context, s *traigo.Scope) {
				a = startDoing(ctx, t, s, "mortal")
				own := context.WithoutCancel(ctx)
				other := call(own, t, a, order{Do: "wait"})
				s.Spawn(func(ctx context.Context) error { // is not quicker than what it is about
					_, err := do.Run(ctx, a, order{Do: "deaf"})
					return err
				})
				began := time.Now()
				_, callErr = do.Run(own, a, death.o)
				_, otherErr = other.wait(t)
				select {
				case <-a.Done():
				default:
					assert.Fail(t, "the task has ended before the calls have")
				}
				took = time.Since(began)
				<-ctx.Done()
			})
			if name == "SIGKILL inner" && callErr == nil {
				callErr = otherErr
			}
			for what, err := range map[string]error{"outcome": outcome, "Err": a.Err(), "the call": callErr, "the other call": otherErr} {
				gone := requireGone(t, err, a.ID())
				assert.Contains(t, err.Error(), `actor "root/mortal" has gone: `, what)
				for _, text := range death.want {
					assert.Contains(t, gone, text, what)
				}
				assert.NotContains(t, err.Error(), "\n", what)
			}
			var first *traigo.Error
			require.ErrorAs(t, outcome, &first)
			var task *traigo.TaskError
			require.ErrorAs(t, first.Err, &task)
			assert.Equal(t, "mortal", task.Task, "the outcome names the actor, not the quickest call")
			assert.Empty(t, first.Others)
			if !strings.Contains(name, "KILL") && !strings.Contains(name, "exit") {
				assert.Contains(t, fmt.Sprintf("%+v", a.Err()), "goroutine ", "all that is known of the standard error")
			}
			assert.Less(t, took, 10*time.Second)
		})
	}
}

// Processes, descriptors, goroutines and threads are as before.
func TestManyActorsLeaveNothing(t *testing.T) {
	leavesNothing(t)
	threads := func() int {
		all, err := os.ReadDir("/proc/self/task")
		require.NoError(t, err)
		return len(all)
	}
	some := func(n int) {
		for i := range n {
			require.NoError(t, runScope(t, func(ctx context.Context, s *traigo.Scope) {
				a := startDoing(ctx, t, s, "a", actor.Findable())
				b, err := actor.Find(ctx, s, "a")
				require.NoError(t, err)
				_, err = do.Run(ctx, b, order{Do: "look"})
				require.NoError(t, err)
				if i%2 == 0 {
					a.Kill()
				}
			}))
		}
	}
	some(10)
	before := threads()
	some(50)
	assert.LessOrEqual(t, threads(), before+10, "no thread is held for an actor")
}

// What an actor has started in its group goes with it, however it ends.
func TestWhatAnActorHasStartedGoesWithIt(t *testing.T) {
	for _, how := range []string{"cancel", "kill", "die", "exit"} {
		t.Run(how, func(t *testing.T) {
			leavesNothing(t)
			written(t)
			logged(t)
			file := t.TempDir() + "/pid"
			script := fmt.Sprintf("(trap '' TERM INT HUP; echo $$ >%[1]s.new; sleep 600 & echo $! >%[1]s.new; mv %[1]s.new %[1]s; exec sleep 600) >/dev/null 2>&1 &", file)
			var pid int
			_ = runScope(t, func(ctx context.Context, s *traigo.Scope) {
				a := startDoing(ctx, t, s, "parent")
				_, err := do.Run(ctx, a, order{Do: "sh", Name: script})
				require.NoError(t, err)
				pid = upIn(t, file)
				require.True(t, isAlive(pid))
				switch how {
				case "cancel":
					a.Cancel(nil)
				case "kill":
					a.Kill()
				case "die":
					require.NoError(t, send(a.ID().Pid, syscall.SIGKILL))
				case "exit":
					_, _ = do.Run(ctx, a, order{Do: "exit", N: 0})
				}
				requireClosed(t, a.Done(), "it has ended")
				requireDead(t, pid)
			})
		})
	}
}

// A function that spins.
func TestFunctionThatSpinsIsGivenUpAndTheActorLivesOn(t *testing.T) {
	leavesNothing(t)
	var a *actor.Actor
	const grace = 500 * time.Millisecond
	err := runScope(t, func(ctx context.Context, s *traigo.Scope) {
		a = startDoing(ctx, t, s, "busy", actor.Grace(grace))
		short, cancel := context.WithCancelCause(ctx)
		p := call(short, t, a, order{Do: "spin"})
		began := time.Now()
		cancel(errLife)
		_, err := p.wait(t)
		assert.GreaterOrEqual(t, time.Since(began), grace)
		require.ErrorIs(t, err, errLife)
		var stuck *traigo.StuckError
		require.ErrorAs(t, err, &stuck)
		require.Len(t, stuck.Tasks, 1)
		assert.Equal(t, "root/busy/life.do", stuck.Tasks[0].Path)
		_, err = do.Run(ctx, a, order{Do: "look"})
		require.NoError(t, err, "the actor lives on")
		s.Cancel(errLife)
	})
	requireGone(t, err, a.ID())
	requireGone(t, a.Err(), a.ID())
}

// How an actor has ended, and what it has answered, arrives at everybody who is connected.
func TestEndOfAnActorIsToldToWhoHasFoundIt(t *testing.T) {
	for name, test := range map[string]struct {
		o     order
		check func(t *testing.T, err error)
	}{
		"fails": {order{Do: "task", Next: &order{Do: "nap", N: 4}}, func(t *testing.T, err error) {
			var number *lifeError
			require.ErrorAs(t, err, &number)
			assert.Equal(t, 4, number.N)
		}},
		"panics": {order{Do: "panic"}, func(t *testing.T, err error) { assert.ErrorContains(t, err, "life: it panics") }},
		"dies": {order{Do: "signal", N: 9}, func(t *testing.T, err error) {
			var gone *actor.GoneError
			assert.ErrorAs(t, err, &gone)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			leavesNothing(t)
			written(t)
			logged(t)
			err := runScope(t, func(ctx context.Context, s *traigo.Scope) {
				a := startDoing(ctx, t, s, "told", actor.Findable())
				own := context.WithoutCancel(ctx)
				b, err := actor.Find(own, s, "told")
				require.NoError(t, err)
				p := call(own, t, b, order{Do: "wait"})
				_, _ = do.Run(own, a, test.o)
				_, err = p.wait(t)
				require.Error(t, err)
				requireClosed(t, b.Done(), "the connection has ended")
				if ctx.Err() == nil || b.Err() != nil { // the end of the scope is quicker, perhaps
					test.check(t, b.Err())
					test.check(t, err)
				}
				<-ctx.Done()
			})
			test.check(t, err)
		})
	}
}

// One that has found the actor, and is stopped, does not hold up its end.
func TestStoppedPeerDoesNotHoldUpTheEnd(t *testing.T) {
	leavesNothing(t)
	log := logged(t)
	dir := t.TempDir()
	require.NoError(t, runScope(t, func(ctx context.Context, s *traigo.Scope) {
		a := startDoing(ctx, t, s, "used", actor.Findable(), actor.Grace(20*time.Second))
		peer := startDoing(ctx, t, s, "peer")
		call(ctx, t, peer, order{Do: "find", Name: "used", Next: &order{Do: "linger", Path: dir + "/up"}})
		upIn(t, dir+"/up")
		stop(t, peer.ID().Pid)
		began := time.Now()
		a.Cancel(nil)
		require.NoError(t, a.Wait(ctx), "it had not to be killed")
		assert.Less(t, time.Since(began), 10*time.Second)
		require.NoError(t, send(peer.ID().Pid, syscall.SIGCONT))
	}))
	assert.Empty(t, log.String())
}

// Whoever does not take the items of an actor that is to end does not have it killed.
func TestSlowReaderDoesNotHaveAnActorKilled(t *testing.T) {
	withActor(t, func(ctx context.Context, _ *traigo.Scope, a *actor.Actor) {
		own := context.WithoutCancel(ctx)
		for _, err := range flowing.Run(own, a, flow{Key: "slow", N: -1}) {
			if err != nil {
				break
			}
			a.Cancel(nil)
			require.NoError(t, a.Wait(own))
		}
	}, actor.Grace(time.Second))
}

// A call that comes when the scope of the actor has ended waits for the end of the actor, which must
// not wait for the call.
func TestCallsDoNotHoldUpTheEndOfAnActor(t *testing.T) {
	inScope(t, func(ctx context.Context, s *traigo.Scope) {
		own := context.WithoutCancel(ctx)
		for range 5 {
			a := start(ctx, t, s, "busy", actor.Grace(20*time.Second))
			var callers sync.WaitGroup
			var calls atomic.Int64
			for range 4 {
				callers.Go(func() {
					for err := error(nil); err == nil; calls.Add(1) {
						_, err = notedFunc.Run(own, a, "")
					}
				})
			}
			waitUntil(t, func() bool { return calls.Load() > 20 }, "calls are under way")
			began := time.Now()
			a.Cancel(nil)
			require.NoError(t, a.Wait(ctx))
			callers.Wait()
			assert.Less(t, time.Since(began), time.Second)
		}
	})
}
