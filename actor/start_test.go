//go:build linux

package actor_test

import (
	"context"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/actor"
)

// How an actor begins (A2, A3).

func TestActorIsAProcessOfThisProgram(t *testing.T) {
	leavesNothing(t)
	require.NoError(t, runScope(t, func(ctx context.Context, s *traigo.Scope) {
		a := startDoing(ctx, t, s, "first")
		r, err := do.Run(ctx, a, order{Do: "look"})
		require.NoError(t, err)
		assert.Equal(t, a.ID(), r.ID)
		assert.Equal(t, "first", a.Name())
		assert.Equal(t, "root/first", r.ID.Path)
		assert.Equal(t, actor.ID{Path: "root", Pid: os.Getpid(), Host: r.ID.Host}, actor.Self())
		assert.NotEqual(t, os.Getpid(), r.ID.Pid)
		assert.Equal(t, os.Getpid(), r.Parent)
		assert.Equal(t, r.ID.Pid, r.Group, "a process group of its own")
		assert.Equal(t, os.Args[:1], r.Args)
		assert.Equal(t, inodeOf(1), r.Out)
		dir, err := os.Getwd()
		require.NoError(t, err)
		assert.Equal(t, dir, r.Dir)
		assert.Equal(t, "first", r.Scope, "a scope named like the actor")
		assert.True(t, r.HasStarted, "what stands before Serve")
		assert.Equal(t, actor.Registrar(), r.Registrar)
		env := os.Environ()
		slices.Sort(env)
		slices.Sort(r.Env)
		assert.Equal(t, env, r.Env, "the mark is gone from the environment, and all else is there")
	}))
}

// What an actor starts is no actor, and has no mark by which it could take itself for one.
func TestWhatAnActorStartsHasNoMark(t *testing.T) {
	leavesNothing(t)
	require.NoError(t, runScope(t, func(ctx context.Context, s *traigo.Scope) {
		a := startDoing(ctx, t, s, "a")
		r, err := do.Run(ctx, a, order{Do: "sh", Name: "tr '\\0' '\\n' </proc/$$/environ | grep '^TRAIGO_PROC'; readlink /proc/$$/fd/* | grep socket; true"})
		require.NoError(t, err)
		assert.Empty(t, r.Text, "no mark, and no socket")
	}))
}

func TestActorIsATaskThatTheScopeDoesNotWaitFor(t *testing.T) {
	leavesNothing(t)
	var a *actor.Actor
	require.NoError(t, runScope(t, func(ctx context.Context, s *traigo.Scope) {
		a = startDoing(ctx, t, s, "idle")
		task := a.Task()
		assert.Equal(t, "idle", task.Name())
		assert.Same(t, s, task.Scope())
		assert.False(t, task.Flags().Awaited)
		assert.True(t, task.Flags().Bubble)
		assert.NoError(t, a.Err())
		select {
		case <-a.Done():
			assert.Fail(t, "it has not ended")
		default:
		}
	}))
	requireClosed(t, a.Done(), "the scope has ended, and its actor with it")
	require.NoError(t, a.Err())
	require.NoError(t, a.Wait(t.Context()))
	assert.False(t, isAlive(a.ID().Pid))
}

func TestScopeWaitsForAnActorIfTaskSaysSo(t *testing.T) {
	leavesNothing(t)
	var began time.Time
	const wait = 300 * time.Millisecond
	require.NoError(t, runScope(t, func(ctx context.Context, s *traigo.Scope) {
		a := startDoing(ctx, t, s, "kept", actor.Task(traigo.Awaited(true)))
		assert.True(t, a.Task().Flags().Awaited)
		began = time.Now()
		time.AfterFunc(wait, func() { a.Cancel(nil) })
	}))
	assert.GreaterOrEqual(t, time.Since(began), wait)
}

func TestNamesMayRepeat(t *testing.T) {
	leavesNothing(t)
	require.NoError(t, runScope(t, func(ctx context.Context, s *traigo.Scope) {
		a, b := startDoing(ctx, t, s, "twin"), startDoing(ctx, t, s, "twin")
		assert.Equal(t, a.ID().Path, b.ID().Path)
		assert.NotEqual(t, a.ID(), b.ID())
		for _, each := range []*actor.Actor{a, b} {
			r, err := do.Run(ctx, each, order{Do: "look"})
			require.NoError(t, err)
			assert.Equal(t, each.ID(), r.ID)
		}
	}))
}

func TestStartPanicsForWhatCannotBe(t *testing.T) {
	leavesNothing(t)
	require.NoError(t, runScope(t, func(ctx context.Context, s *traigo.Scope) {
		for what, f := range map[string]func(){
			"an empty name":        func() { _, _ = actor.Start(ctx, s, "") },
			"a slash":              func() { _, _ = actor.Start(ctx, s, "a/b") },
			"no ctx":               func() { _, _ = actor.Start(nil, s, "a") }, //nolint:staticcheck // nil is what is tested
			"no scope":             func() { _, _ = actor.Start(ctx, nil, "a") },
			"no scope for Spawn":   func() { do.Spawn(nil, order{}) },
			"a negative Grace":     func() { actor.Grace(-1) },
			"a function that is 0": func() { actor.Expose(do, (*actor.Function[int, int])(nil)) },
			"no folder":            func() { actor.Record("") },
			"an empty Option":      func() { _, _ = actor.Start(ctx, s, "a", actor.Option{}) },
		} {
			message := panicOf(f)
			assert.True(t, strings.HasPrefix(message, "traigo: "), "%s: %q", what, message)
		}
		assert.Empty(t, childrenOf(os.Getpid()))
	}))
}

// panicOf returns the text that f panics with.
func panicOf(f func()) (text string) {
	defer func() { text, _ = recover().(string) }()
	f()
	return ""
}

// In a scope that has ended, or with a context that has, nothing is started.
func TestStartWithAContextThatHasEndedStartsNothing(t *testing.T) {
	leavesNothing(t)
	require.NoError(t, runScope(t, func(ctx context.Context, s *traigo.Scope) {
		over, cancel := context.WithCancelCause(ctx)
		cancel(errLife)
		a, err := actor.Start(over, s, "a")
		require.ErrorIs(t, err, errLife)
		assert.Nil(t, a)
		assert.Empty(t, childrenOf(os.Getpid()))
	}))
	var ended *traigo.Scope
	_ = runScope(t, func(_ context.Context, s *traigo.Scope) { ended = s })
	_, err := actor.Start(t.Context(), ended, "a")
	require.ErrorIs(t, err, traigo.ErrRefused)
	assert.Empty(t, childrenOf(os.Getpid()))
	_, err = do.Spawn(ended, order{Do: "look"}).Await(t.Context())
	require.ErrorIs(t, err, traigo.ErrRefused)
}

// startThatHangs starts an actor that does not come to its main, and ends what it is told to when
// its process is there. It returns the process, what Start has, and the outcome of the scope.
func startThatHangs(t *testing.T, how string, end func(cancel context.CancelCauseFunc, s *traigo.Scope)) (pid int, err, outcome error) {
	t.Helper()
	t.Setenv(initVariable, how)
	outcome = traigo.Run(t.Context(), func(ctx context.Context, s *traigo.Scope) error {
		own, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
		defer cancel(nil)
		go func() {
			for pid == 0 || !isAlive(pid) {
				for _, child := range childrenOf(os.Getpid()) {
					pid = child
				}
				time.Sleep(time.Millisecond)
			}
			if how == "stop" {
				for !isStopped(pid) {
					time.Sleep(time.Millisecond)
				}
			}
			end(cancel, s)
		}()
		_, err = actor.Start(own, s, "late")
		assert.Empty(t, childrenOf(os.Getpid()), "the process was reaped when Start returns")
		return nil
	})
	return pid, err, outcome
}

func TestStartEndsWithItsContext(t *testing.T) {
	for _, how := range []string{"block", "stop"} {
		t.Run(how, func(t *testing.T) {
			leavesNothing(t)
			began := time.Now()
			pid, err, outcome := startThatHangs(t, how, func(cancel context.CancelCauseFunc, _ *traigo.Scope) { cancel(errLife) })
			assert.Equal(t, errLife, err, "the cause, and nothing else")
			require.NoError(t, outcome)
			assert.False(t, isAlive(pid))
			assert.Less(t, time.Since(began), 20*time.Second)
		})
	}
}

func TestStartEndsWithItsScope(t *testing.T) {
	for _, how := range []string{"block", "stop"} {
		t.Run(how, func(t *testing.T) {
			leavesNothing(t)
			_, err, outcome := startThatHangs(t, how, func(_ context.CancelCauseFunc, s *traigo.Scope) { s.Cancel(errLife) })
			require.ErrorIs(t, err, errLife)
			var gone *actor.GoneError
			assert.NotErrorAs(t, err, &gone)
			require.ErrorIs(t, outcome, errLife)
			assert.NotErrorAs(t, outcome, &gone)
		})
	}
}

// It serves, but it is not ready: the registrar at which it is to register does not answer.
func TestStartEndsWithItsContextAlsoWhenTheActorServes(t *testing.T) {
	leavesNothing(t)
	path := shortDir(t) + "/registrar"
	l, err := net.ListenUnix("unixpacket", &net.UnixAddr{Name: path, Net: "unixpacket"})
	require.NoError(t, err)
	t.Setenv("TRAIGO_REGISTRAR", path)
	for _, stopped := range []bool{false, true} {
		require.NoError(t, runScope(t, func(ctx context.Context, s *traigo.Scope) {
			own, cancel := context.WithCancelCause(ctx)
			defer cancel(nil)
			accepted := make(chan struct{})
			go func() {
				defer close(accepted)
				conn, err := l.AcceptUnix()
				if !assert.NoError(t, err) {
					return
				}
				defer func() { _ = conn.Close() }()
				_, _ = conn.Read(make([]byte, 1000)) // it registers, and is not answered
				if stopped {
					pid := childrenOf(os.Getpid())[0]
					assert.NoError(t, send(pid, syscall.SIGSTOP))
					assert.Eventually(t, func() bool { return isStopped(pid) }, soon, time.Millisecond)
				}
				cancel(errLife)
				_, _ = conn.Read(make([]byte, 1000)) // its end
			}()
			_, err = actor.Start(own, s, "late", actor.Findable())
			assert.Empty(t, childrenOf(os.Getpid()), "it was reaped")
			assert.Equal(t, errLife, err)
			<-accepted
		}))
	}
	require.NoError(t, l.Close())
}

func TestActorThatDiesBeforeItIsReadyIsAGoneErrorOfStart(t *testing.T) {
	for how, want := range map[string][]string{
		"exit":   {"exit status 3", "words before main"},
		"panic":  {"exit status 2", "panic: before main"},
		"killed": {"signal: killed", "words before main"},
		"return": {"exit status 0", "actor.Serve"},
	} {
		t.Run(how, func(t *testing.T) {
			leavesNothing(t)
			written(t)
			require.NoError(t, runScope(t, func(ctx context.Context, s *traigo.Scope) {
				t.Setenv(initVariable, how)
				a, err := actor.Start(ctx, s, "early")
				require.NoError(t, os.Unsetenv(initVariable))
				assert.Nil(t, a)
				var gone *actor.GoneError
				require.ErrorAs(t, err, &gone)
				assert.Equal(t, "root/early", gone.Actor.Path)
				assert.NotZero(t, gone.Actor.Pid)
				assert.Contains(t, err.Error(), `actor "root/early" has gone`)
				for _, text := range want {
					assert.Contains(t, err.Error(), text)
				}
				assert.NotContains(t, err.Error(), "\n")
				if how == "return" {
					assert.ErrorIs(t, err, actor.ErrNotServed)
				}
				assert.Empty(t, childrenOf(os.Getpid()))
				require.NoError(t, ctx.Err(), "what Start returns is the caller's alone")
				startDoing(ctx, t, s, "next")
			}))
		})
	}
}

func TestWithoutServeNothingIsStarted(t *testing.T) {
	leavesNothing(t)
	cmd := exec.Command("/proc/self/exe", rootArgs...)
	cmd.Env = append(os.Environ(), initVariable+"=unserved")
	out, err := cmd.CombinedOutput()
	require.NoError(t, err)
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	require.Len(t, lines, 3)
	assert.True(t, strings.HasPrefix(lines[0], "start true traigo: actor.Serve was not called"), lines[0])
	assert.True(t, strings.HasPrefix(lines[1], "spawn true traigo: actor.Serve was not called"), lines[1])
	assert.True(t, strings.HasPrefix(lines[2], "children [] "), lines[2])
}

// A process that has nothing to do costs nothing: neither the actor, nor who has it.
func TestIdleActorUsesNoTime(t *testing.T) {
	leavesNothing(t)
	require.NoError(t, runScope(t, func(ctx context.Context, s *traigo.Scope) {
		a := startDoing(ctx, t, s, "idle", actor.Findable())
		b, err := actor.Find(ctx, s, "idle")
		require.NoError(t, err)
		short, cancel := context.WithCancel(ctx)
		p := call(short, t, b, order{Do: "wait"})
		cancel()
		_, err = p.wait(t)
		require.ErrorIs(t, err, context.Canceled)
		const d = 700 * time.Millisecond
		theirs, ours := ticks(a.ID().Pid), ticks(os.Getpid())
		time.Sleep(d)
		assert.LessOrEqual(t, ticks(a.ID().Pid)-theirs, 15, "hundredths of a second, of 70")
		assert.LessOrEqual(t, ticks(os.Getpid())-ours, 15)
	}))
}

func TestManyActorsStartAtOnce(t *testing.T) {
	leavesNothing(t)
	const n = 20
	ids := make([]actor.ID, n)
	require.NoError(t, runScope(t, func(ctx context.Context, s *traigo.Scope) {
		for i := range n {
			s.Spawn(func(ctx context.Context) error {
				a, err := actor.Start(ctx, s, "many", actor.Expose(do))
				if !assert.NoError(t, err) {
					return nil
				}
				r, err := do.Run(ctx, a, order{Do: "look"})
				ids[i] = r.ID
				return err
			})
		}
	}))
	slices.SortFunc(ids, func(a, b actor.ID) int { return a.Pid - b.Pid })
	assert.Len(t, slices.Compact(ids), n)
	for _, id := range ids {
		assert.False(t, isAlive(id.Pid))
	}
}

// The terminal's goes to the root alone.
func TestSIGINTIsIgnored(t *testing.T) {
	leavesNothing(t)
	require.NoError(t, runScope(t, func(ctx context.Context, s *traigo.Scope) {
		for range 5 {
			a := startDoing(ctx, t, s, "a")
			require.NoError(t, send(a.ID().Pid, syscall.SIGINT))
			require.NoError(t, send(-a.ID().Pid, syscall.SIGINT))
			_, err := do.Run(ctx, a, order{Do: "look"})
			require.NoError(t, err)
		}
	}))
}
