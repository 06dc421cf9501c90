//go:build linux

package actor_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/actor"
)

// The registrar (A28), and finding (A29).

func TestFoundActorIsTheOneThatWasStarted(t *testing.T) {
	leavesNothing(t)
	require.NoError(t, runScope(t, func(ctx context.Context, s *traigo.Scope) {
		a := startDoing(ctx, t, s, "there", actor.Findable())
		b, err := actor.Find(ctx, s, "there")
		require.NoError(t, err)
		assert.Equal(t, a.ID(), b.ID())
		assert.Equal(t, "there", b.Name())
		assert.NotSame(t, a, b)
		task := b.Task()
		assert.Same(t, s, task.Scope())
		assert.False(t, task.Flags().Awaited)
		assert.False(t, task.Flags().Bubble)
		r, err := do.Run(ctx, b, order{Do: "look"})
		require.NoError(t, err)
		assert.Equal(t, a.ID(), r.ID)
		_, err = block.Run(ctx, b, "key")
		require.ErrorIs(t, err, actor.ErrNotExposed, "the allowlist holds for everybody")
	}))
}

func TestWhatIsNotFindableIsNotFound(t *testing.T) {
	leavesNothing(t)
	require.NoError(t, runScope(t, func(ctx context.Context, s *traigo.Scope) {
		_, err := actor.Find(ctx, s, "hidden")
		require.ErrorIs(t, err, actor.ErrNotFound, "there is no registrar, even")
		startDoing(ctx, t, s, "hidden")
		_, err = actor.Find(ctx, s, "hidden")
		require.ErrorIs(t, err, actor.ErrNotFound)
		assert.Contains(t, err.Error(), `"hidden"`)
		_, err = actor.Find(ctx, s, "root")
		require.ErrorIs(t, err, actor.ErrNotFound, "nor is the root")
	}))
}

func TestFindPanicsForWhatCannotBe(t *testing.T) {
	leavesNothing(t)
	require.NoError(t, runScope(t, func(ctx context.Context, s *traigo.Scope) {
		for _, find := range []func(context.Context, *traigo.Scope, string) (*actor.Actor, error){actor.Find, actor.Wait} {
			for what, f := range map[string]func(){
				"an empty name": func() { _, _ = find(ctx, s, "") },
				"a slash":       func() { _, _ = find(ctx, s, "a/b") },
				"no ctx":        func() { _, _ = find(nil, s, "a") },
				"no scope":      func() { _, _ = find(ctx, nil, "a") },
			} {
				message := panicOf(f)
				assert.True(t, strings.HasPrefix(message, "traigo: "), "%s: %q", what, message)
			}
			over, cancel := context.WithCancelCause(ctx)
			cancel(errLife)
			_, err := find(over, s, "a")
			require.ErrorIs(t, err, errLife)
		}
	}))
}

// In a scope that has ended nothing is found, and no connection is left.
func TestFindInAScopeThatHasEnded(t *testing.T) {
	leavesNothing(t)
	debug.SetGCPercent(-1) // the garbage collector closes what was forgotten
	defer debug.SetGCPercent(100)
	require.NoError(t, runScope(t, func(ctx context.Context, s *traigo.Scope) {
		startDoing(ctx, t, s, "a", actor.Findable())
		var ended *traigo.Scope
		require.NoError(t, runScope(t, func(_ context.Context, below *traigo.Scope) { ended = below }))
		before := len(descriptors())
		for range 5 {
			_, err := actor.Find(ctx, ended, "a")
			require.ErrorIs(t, err, traigo.ErrRefused)
		}
		assert.Eventually(t, func() bool { return len(descriptors()) <= before }, soon, time.Millisecond)
	}))
}

// From anywhere in the tree.
func TestActorsFindEachOther(t *testing.T) {
	leavesNothing(t)
	require.NoError(t, runScope(t, func(ctx context.Context, s *traigo.Scope) {
		a, b := startDoing(ctx, t, s, "a", actor.Findable()), startDoing(ctx, t, s, "b")
		r, err := do.Run(ctx, b, order{Do: "find", Name: "a", Next: &order{Do: "look"}})
		require.NoError(t, err)
		assert.Equal(t, a.ID(), r.ID)
		below, err := do.Run(ctx, b, order{Do: "child", Name: "deep", N: 1})
		require.NoError(t, err)
		deep, err := actor.Find(ctx, s, "deep")
		require.NoError(t, err)
		assert.Equal(t, below.ID, deep.ID())
		assert.Equal(t, "root/b/deep", deep.ID().Path)
		r, err = do.Run(ctx, deep, order{Do: "find", Name: "a", Next: &order{Do: "look"}})
		require.NoError(t, err)
		assert.Equal(t, a.ID(), r.ID)
		r, err = do.Run(ctx, a, order{Do: "find", Name: "a", Next: &order{Do: "look"}})
		require.NoError(t, err, "itself, too")
		assert.Equal(t, a.ID(), r.ID)
	}))
}

func TestOfSeveralTheLastIsFound(t *testing.T) {
	leavesNothing(t)
	require.NoError(t, runScope(t, func(ctx context.Context, s *traigo.Scope) {
		var all []*actor.Actor
		for range 3 {
			all = append(all, startDoing(ctx, t, s, "same", actor.Findable()))
		}
		for len(all) > 0 {
			last := all[len(all)-1]
			b, err := actor.Find(ctx, s, "same")
			require.NoError(t, err)
			assert.Equal(t, last.ID(), b.ID())
			switch len(all) {
			case 3:
				last.Cancel(nil)
			case 2:
				last.Kill()
			default:
				last.Cancel(errLife)
			}
			require.NoError(t, last.Wait(ctx))
			all = all[:len(all)-1]
		}
		_, err := actor.Find(ctx, s, "same")
		require.ErrorIs(t, err, actor.ErrNotFound, "an entry ends with its process")
	}))
}

func TestWaitReturnsWhenThereIsOne(t *testing.T) {
	leavesNothing(t)
	require.NoError(t, runScope(t, func(ctx context.Context, s *traigo.Scope) {
		type found struct {
			a   *actor.Actor
			err error
		}
		waiting := make(chan found, 5)
		for range cap(waiting) {
			go func() {
				a, err := actor.Wait(ctx, s, "late")
				waiting <- found{a, err}
			}()
		}
		startDoing(ctx, t, s, "another", actor.Findable())
		startDoing(ctx, t, s, "late") // not findable
		select {
		case f := <-waiting:
			assert.Fail(t, "there is none yet", "%v", f)
		case <-time.After(100 * time.Millisecond):
		}
		a := startDoing(ctx, t, s, "late", actor.Findable())
		for range cap(waiting) {
			f := <-waiting
			require.NoError(t, f.err)
			assert.Equal(t, a.ID(), f.a.ID())
			_, err := do.Run(ctx, f.a, order{Do: "look"})
			require.NoError(t, err)
		}
		at, err := actor.Wait(ctx, s, "late")
		require.NoError(t, err, "at once")
		assert.Equal(t, a.ID(), at.ID())
	}))
}

// There need not be an actor at all, and a Wait that is given up leaves nothing.
func TestWaitEndsWithItsContextWithoutAnyActor(t *testing.T) {
	leavesNothing(t)
	require.NoError(t, runScope(t, func(ctx context.Context, s *traigo.Scope) {
		short, cancel := context.WithTimeoutCause(ctx, 50*time.Millisecond, errLife)
		defer cancel()
		_, err := actor.Wait(short, s, "nobody")
		require.ErrorIs(t, err, errLife)
		assert.Empty(t, actor.Registrar())
	}))
}

func TestFoundActorsEndWithTheirScope(t *testing.T) {
	leavesNothing(t)
	require.NoError(t, runScope(t, func(ctx context.Context, s *traigo.Scope) {
		a := startDoing(ctx, t, s, "a", actor.Findable())
		var b *actor.Actor
		require.NoError(t, runScope(t, func(inner context.Context, below *traigo.Scope) {
			var err error
			b, err = actor.Find(inner, below, "a")
			require.NoError(t, err)
		}))
		requireClosed(t, b.Done(), "the connection is a task of its scope")
		require.NoError(t, b.Err())
		_, err := do.Run(ctx, b, order{Do: "look"})
		requireGone(t, err, a.ID())
		_, err = do.Run(ctx, a, order{Do: "look"})
		require.NoError(t, err, "the actor lives on")
	}))
}

// The scope of a connection is canceled, while a function runs by it: Run waits until it has
// returned (A10).
func TestCallOfAFoundActorIsAnsweredAlsoAtTheEndOfTheScope(t *testing.T) {
	leavesNothing(t)
	dir := t.TempDir()
	require.NoError(t, runScope(t, func(ctx context.Context, s *traigo.Scope) {
		startDoing(ctx, t, s, "a", actor.Findable())
		err := runScope(t, func(inner context.Context, below *traigo.Scope) {
			b, err := actor.Find(inner, below, "a")
			require.NoError(t, err)
			below.Spawn(func(ctx context.Context) error {
				_, err := do.Run(ctx, b, order{Do: "slowly", For: 300 * time.Millisecond, Name: dir + "/returned", Path: dir + "/up"})
				assert.FileExists(t, dir+"/returned", "the function has returned when Run does")
				return err
			})
			upIn(t, dir+"/up")
			below.Cancel(errLife)
		})
		require.ErrorIs(t, err, errLife)
		assert.Empty(t, pathsOf(err), "%v", err)
	}))
}

// A call whose own context goes on is canceled with the connection that it uses.
func TestCallOfAFoundActorIsCanceledWithItsConnection(t *testing.T) {
	leavesNothing(t)
	require.NoError(t, runScope(t, func(ctx context.Context, s *traigo.Scope) {
		startDoing(ctx, t, s, "a", actor.Findable())
		var stubborn, kind *pending
		began := time.Now()
		err := runScope(t, func(inner context.Context, below *traigo.Scope) {
			b, err := actor.Find(inner, below, "a")
			require.NoError(t, err)
			stubborn, kind = call(ctx, t, b, order{Do: "wait"}), call(ctx, t, b, order{Do: "cause"})
			below.Cancel(errLife)
		})
		require.ErrorIs(t, err, errLife)
		_, err = stubborn.wait(t)
		require.ErrorIs(t, err, errLife)
		r, err := kind.wait(t)
		require.NoError(t, err)
		assert.Contains(t, r.Text, errLife.Error())
		assert.Less(t, time.Since(began), 4*time.Second)
	}))
}

func TestCancelOfAFoundActorEndsIt(t *testing.T) {
	leavesNothing(t)
	var a *actor.Actor
	err := runScope(t, func(ctx context.Context, s *traigo.Scope) {
		a = startDoing(ctx, t, s, "a", actor.Findable())
		own := traigo.New(context.WithoutCancel(ctx))
		b, err := actor.Find(own.Context(), own, "a")
		require.NoError(t, err)
		b.Cancel(errLife)
		require.NoError(t, b.Wait(context.WithoutCancel(ctx)), "who asked has no error")
		require.NoError(t, b.Err())
		require.NoError(t, own.Close())
		requireClosed(t, a.Done(), "it has ended")
	})
	// Not by way of its own handle, but it is this process that has asked.
	require.NoError(t, err, "who asked does not get the request back")
	require.NoError(t, a.Err())
}

func TestFoundActorThatDiesHasGone(t *testing.T) {
	leavesNothing(t)
	require.NoError(t, runScope(t, func(ctx context.Context, s *traigo.Scope) {
		a := startDoing(ctx, t, s, "a", actor.Findable())
		b, err := actor.Find(ctx, s, "a")
		require.NoError(t, err)
		p := call(ctx, t, b, order{Do: "wait"})
		began := time.Now()
		a.Kill()
		_, err = p.wait(t)
		requireGone(t, err, a.ID())
		requireGone(t, b.Err(), a.ID())
		assert.Less(t, time.Since(began), 10*time.Second)
		require.NoError(t, ctx.Err(), "it does not bubble")
	}))
}

// A found actor that is stopped: nothing hangs that has an end of its own.
func TestFoundActorThatIsStopped(t *testing.T) {
	leavesNothing(t)
	require.NoError(t, runScope(t, func(ctx context.Context, s *traigo.Scope) {
		a := startDoing(ctx, t, s, "a", actor.Findable())
		b, err := actor.Find(ctx, s, "a")
		require.NoError(t, err)
		stop(t, a.ID().Pid)
		short, cancel := context.WithTimeoutCause(ctx, 200*time.Millisecond, errLife)
		defer cancel()
		_, err = actor.Find(short, s, "a")
		require.ErrorIs(t, err, errLife, "its entry is there, and nobody answers")
		b.Cancel(nil) // does not wait
		require.NoError(t, send(a.ID().Pid, syscall.SIGCONT))
		require.NoError(t, b.Wait(ctx))
		requireClosed(t, a.Done(), "the request was not lost")
	}))
}

// The folder and the socket.

func TestRegistrarIsForItsUserAlone(t *testing.T) {
	leavesNothing(t)
	assert.Empty(t, actor.Registrar(), "there is none without actors")
	require.NoError(t, runScope(t, func(ctx context.Context, s *traigo.Scope) {
		a := startDoing(ctx, t, s, "a")
		path := actor.Registrar()
		for _, file := range []string{path, filepath.Dir(path)} {
			info, err := os.Lstat(file)
			require.NoError(t, err)
			assert.Equal(t, os.FileMode(0o700), info.Mode().Perm(), file)
		}
		info, err := os.Lstat(path)
		require.NoError(t, err)
		assert.Equal(t, os.ModeSocket, info.Mode().Type())
		require.NoError(t, runScope(t, func(ctx context.Context, s *traigo.Scope) { startDoing(ctx, t, s, "b") }))
		assert.Equal(t, path, actor.Registrar(), "there is still an actor")
		a.Cancel(nil)
		require.NoError(t, a.Wait(ctx))
		assert.Empty(t, actor.Registrar())
		assert.NoDirExists(t, filepath.Dir(path))
		b := startDoing(ctx, t, s, "b", actor.Findable())
		c, err := actor.Find(ctx, s, "b")
		require.NoError(t, err, "there is a new one")
		assert.Equal(t, b.ID(), c.ID())
	}))
}

// shortDir returns a folder whose name fits into the address of a socket.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "life") //nolint:usetesting // see above
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func TestWhereTheRegistrarIs(t *testing.T) {
	runtime, temp := shortDir(t), shortDir(t)
	deep := filepath.Join(shortDir(t), strings.Repeat("x", 100))
	require.NoError(t, os.Mkdir(deep, 0o700))
	for name, test := range map[string]struct{ xdg, in string }{
		"XDG_RUNTIME_DIR": {runtime, runtime},
		"it is not set":   {"", temp},
		"it is too long":  {deep, temp},
		"it is not there": {runtime + "/none", temp},
		"it is not a folder": {func() string {
			file := shortDir(t) + "/file"
			require.NoError(t, os.WriteFile(file, nil, 0o600))
			return file
		}(), temp},
	} {
		t.Run(name, func(t *testing.T) {
			leavesNothing(t)
			t.Setenv("XDG_RUNTIME_DIR", test.xdg)
			t.Setenv("TMPDIR", temp)
			require.NoError(t, runScope(t, func(ctx context.Context, s *traigo.Scope) {
				startDoing(ctx, t, s, "a", actor.Findable())
				assert.Equal(t, test.in, filepath.Dir(filepath.Dir(actor.Registrar())))
				_, err := actor.Find(ctx, s, "a")
				require.NoError(t, err)
			}))
			left, err := os.ReadDir(test.in)
			require.NoError(t, err)
			assert.Empty(t, left)
		})
	}
}

// What a killed root has left is removed by the next one, and what is alive is not.
func TestFolderOfAKilledRootIsRemovedByTheNext(t *testing.T) {
	leavesNothing(t)
	below := order{Do: "wait"}
	r := startRoot(t, order{Do: "tree", N: 1, Next: &below})
	dead := r.expect("registrar")
	other := startRoot(t, order{Do: "tree", N: 1, Next: &below}, func(cmd *exec.Cmd) {
		cmd.Env = append(cmd.Env, "XDG_RUNTIME_DIR="+r.dir)
	})
	alive := waitForRegistrar(t, r.dir, 2, dead)
	assert.NotEqual(t, dead, alive)
	r.kill()
	r.requireEmpty()
	foreign := filepath.Join(r.dir, "traigo-of-somebody")
	require.NoError(t, os.WriteFile(foreign, nil, 0o600))
	fresh := filepath.Join(r.dir, "traigo-1-fresh") // of one that is about to listen
	require.NoError(t, os.Mkdir(fresh, 0o700))
	assert.FileExists(t, dead, "it was killed, so it has left it")
	t.Setenv("XDG_RUNTIME_DIR", r.dir)
	require.NoError(t, runScope(t, func(ctx context.Context, s *traigo.Scope) {
		startDoing(ctx, t, s, "a")
		assert.NoDirExists(t, filepath.Dir(dead))
		assert.FileExists(t, alive)
		assert.FileExists(t, foreign)
		assert.DirExists(t, fresh)
	}))
	other.tell("return")
	assert.True(t, other.wait().Success())
	assert.NoFileExists(t, alive)
}

// waitForRegistrar waits until n registrars are in a folder, and returns one that is another than
// a known one.
func waitForRegistrar(t *testing.T, dir string, n int, known string) (path string) {
	t.Helper()
	require.Eventually(t, func() bool {
		all, _ := filepath.Glob(dir + "/*/registrar")
		for _, each := range all {
			if each != known {
				path = each
			}
		}
		return len(all) == n
	}, soon, time.Millisecond)
	return path
}

// TRAIGO_REGISTRAR makes one of two trees, as far as finding goes.
func TestTreesFindEachOtherByTheVariable(t *testing.T) {
	leavesNothing(t)
	below := order{Do: "wait"}
	r := startRoot(t, order{Do: "tree", N: 1, Next: &below})
	path := r.expect("registrar")
	t.Setenv("TRAIGO_REGISTRAR", path)
	require.NoError(t, runScope(t, func(ctx context.Context, s *traigo.Scope) {
		assert.Equal(t, path, actor.Registrar())
		theirs, err := actor.Wait(ctx, s, "n0")
		require.NoError(t, err)
		assert.Equal(t, "root/n0", theirs.ID().Path)
		ours := startDoing(ctx, t, s, "ours", actor.Findable())
		folders, _ := filepath.Glob(filepath.Join(os.TempDir(), fmt.Sprintf("traigo-%d-*", os.Getpid()))) //nolint:usetesting // where registrars are
		assert.Empty(t, folders, "no registrar was made")
		look, err := do.Run(ctx, theirs, order{Do: "find", Name: "ours", Next: &order{Do: "look"}})
		require.NoError(t, err)
		assert.Equal(t, ours.ID(), look.ID)
		look, err = do.Run(ctx, ours, order{Do: "find", Name: "n0", Next: &order{Do: "look"}})
		require.NoError(t, err)
		assert.Equal(t, theirs.ID(), look.ID)
		assert.Equal(t, path, look.Registrar)
		// Theirs is gone: ours lives on, without a registrar.
		r.kill()
		requireClosed(t, theirs.Done(), "its tree was killed")
		requireGone(t, theirs.Err(), theirs.ID())
		_, err = actor.Find(ctx, s, "ours")
		require.Error(t, err)
		_, err = do.Run(ctx, ours, order{Do: "look"})
		require.NoError(t, err)
		short, cancel := context.WithTimeout(ctx, soon)
		defer cancel()
		_, err = actor.Wait(short, s, "ours")
		require.Error(t, err)
		require.NoError(t, short.Err(), "at once")
		_, err = actor.Start(ctx, s, "later", actor.Findable())
		require.Error(t, err, "it could not be found")
		startDoing(ctx, t, s, "later still")
	}))
}

func TestWaitEndsWhenTheRegistrarGoes(t *testing.T) {
	leavesNothing(t)
	below := order{Do: "wait"}
	r := startRoot(t, order{Do: "tree", N: 1, Next: &below})
	t.Setenv("TRAIGO_REGISTRAR", r.expect("registrar"))
	require.NoError(t, runScope(t, func(ctx context.Context, s *traigo.Scope) {
		done := make(chan error, 1)
		go func() {
			_, err := actor.Wait(ctx, s, "nobody")
			done <- err
		}()
		select {
		case err := <-done:
			assert.Fail(t, "it did not wait", "%v", err)
		case <-time.After(200 * time.Millisecond):
		}
		r.kill()
		select {
		case err := <-done:
			require.Error(t, err)
		case <-time.After(soon):
			require.Fail(t, "it waits for a registrar that has gone")
		}
	}))
}

// Strangers.

// A stranger is a process of another user. It runs a copy of the test binary, as the binary itself
// is in a folder of ours.
const strangerVariable = "TRAIGO_LIFE_STRANGER"

type strangerOrder struct {
	Dial   string // connect, say something, and tell what comes
	Listen string // tell what comes
}

func startStranger(t *testing.T, o strangerOrder) *root {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("only root can start a process of another user")
	}
	dir := shortDir(t)
	require.NoError(t, os.Chmod(dir, 0o755))
	program := filepath.Join(dir, "stranger")
	self, err := os.Open("/proc/self/exe")
	require.NoError(t, err)
	defer func() { _ = self.Close() }()
	file, err := os.OpenFile(program, os.O_CREATE|os.O_WRONLY, 0o755)
	require.NoError(t, err)
	_, err = io.Copy(file, self)
	require.NoError(t, errors.Join(err, file.Close()))
	text, err := json.Marshal(o)
	require.NoError(t, err)
	return startRoot(t, order{}, func(cmd *exec.Cmd) {
		cmd.Path, cmd.Dir = program, "/"
		cmd.Args = []string{program, "-test.run=^TestHelperStranger$", "-test.timeout=100s"}
		cmd.Env = append(cmd.Env, strangerVariable+"="+string(text))
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: 65534, Gid: 65534}
	})
}

func TestHelperStranger(t *testing.T) {
	text := os.Getenv(strangerVariable)
	if text == "" {
		t.Skip("it is a process that other tests start")
	}
	var o strangerOrder
	require.NoError(t, json.Unmarshal([]byte(text), &o))
	say("user %d", os.Getuid())
	var conn net.Conn
	var err error
	if o.Dial != "" {
		conn, err = net.Dial("unixpacket", o.Dial)
	} else {
		var l net.Listener
		l, err = net.Listen("unixpacket", o.Listen)
		require.NoError(t, err)
		require.NoError(t, os.Chmod(o.Listen, 0o777))
		say("listening")
		conn, err = l.Accept()
	}
	if err != nil {
		say("refused %v", err)
		return
	}
	if o.Dial != "" {
		_, err = conn.Write([]byte(`{"op":"find","name":"secret"}`))
		say("wrote %v", err)
	}
	_ = conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	data, err := io.ReadAll(conn)
	say("read %q %v", data, err)
}

func TestStrangerIsNotAnswered(t *testing.T) {
	leavesNothing(t)
	require.NoError(t, runScope(t, func(ctx context.Context, s *traigo.Scope) {
		startDoing(ctx, t, s, "secret", actor.Findable())
		path := actor.Registrar()
		r := startStranger(t, strangerOrder{Dial: path})
		assert.Equal(t, "65534", r.expect("user"))
		assert.Contains(t, r.expect("refused"), "permission denied", "the folder is ours")
		r.wait()
		// Also if somebody has opened the folder.
		require.NoError(t, os.Chmod(filepath.Dir(path), 0o777))
		require.NoError(t, os.Chmod(path, 0o777))
		r = startStranger(t, strangerOrder{Dial: path})
		assert.Equal(t, "65534", r.expect("user"))
		said := r.expect("read")
		assert.True(t, strings.HasPrefix(said, `"" `), "it was answered: %s", said)
		assert.NotContains(t, said, "timeout", "it was not closed")
		r.wait()
		_, err := actor.Find(ctx, s, "secret")
		require.NoError(t, err, "others are")
	}))
}

// The other way round: a registrar of somebody else is not told anything.
func TestRegistrarOfAStrangerIsNotAsked(t *testing.T) {
	leavesNothing(t)
	dir := shortDir(t)
	require.NoError(t, os.Chmod(dir, 0o777))
	path := filepath.Join(dir, "registrar")
	r := startStranger(t, strangerOrder{Listen: path})
	r.expect("listening")
	t.Setenv("TRAIGO_REGISTRAR", path)
	require.NoError(t, runScope(t, func(ctx context.Context, s *traigo.Scope) {
		_, err := actor.Find(ctx, s, "anybody")
		require.Error(t, err)
		require.NotErrorIs(t, err, actor.ErrNotFound)
		assert.Contains(t, err.Error(), "another user")
		said := r.expect("read")
		assert.True(t, strings.HasPrefix(said, `"" `), "it was told: %s", said)
	}))
	r.wait()
}

// What does not speak the language of the registrar harms nothing.
func TestNonsenseHarmsNoRegistrar(t *testing.T) {
	leavesNothing(t)
	require.NoError(t, runScope(t, func(ctx context.Context, s *traigo.Scope) {
		startDoing(ctx, t, s, "a", actor.Findable())
		for _, text := range []string{"", "x", "{}", `{"op":"find"}`, `{"op":"wait","name":"none"}`, `{"op":"register"}`, `{"op":"connect","name":"a"}`, strings.Repeat("y", 60_000)} {
			conn, err := net.Dial("unixpacket", actor.Registrar())
			require.NoError(t, err)
			_, err = conn.Write([]byte(text))
			require.NoError(t, err)
			_ = conn.Close()
			_, err = actor.Find(ctx, s, "a")
			require.NoError(t, err, text)
		}
		conn, err := net.Dial("unixpacket", actor.Registrar()) // and says nothing
		require.NoError(t, err)
		defer func() { _ = conn.Close() }()
		_, err = actor.Find(ctx, s, "a")
		require.NoError(t, err)
	}))
}

// Many that look for one, while others come and go.
func TestManyFind(t *testing.T) {
	leavesNothing(t)
	require.NoError(t, runScope(t, func(ctx context.Context, s *traigo.Scope) {
		a := startDoing(ctx, t, s, "a", actor.Findable())
		for range 4 {
			s.Spawn(func(ctx context.Context) error {
				for range 25 {
					err := runScope(t, func(ctx context.Context, s *traigo.Scope) {
						b, err := actor.Find(ctx, s, "a")
						if assert.NoError(t, err) {
							r, err := do.Run(ctx, b, order{Do: "look"})
							assert.NoError(t, err)
							assert.Equal(t, a.ID(), r.ID)
						}
					})
					assert.NoError(t, err)
				}
				return nil
			})
		}
	}))
}

func TestFoundActorMayBeCanceledTwice(t *testing.T) {
	leavesNothing(t)
	require.NoError(t, runScope(t, func(ctx context.Context, s *traigo.Scope) {
		a := startDoing(ctx, t, s, "twice", actor.Findable())
		b, err := actor.Find(ctx, s, "twice")
		require.NoError(t, err)
		dir := t.TempDir()
		p := call(context.WithoutCancel(ctx), t, a, order{Do: "linger", For: time.Second, Path: dir + "/up"})
		told := call(context.WithoutCancel(ctx), t, a, order{Do: "note", Name: dir + "/told", Path: dir + "/up too"})
		upIn(t, dir+"/up")
		upIn(t, dir+"/up too")
		b.Cancel(errLife)
		_, _ = told.wait(t) // the actor has heard of it
		b.Cancel(nil)       // and has not ended yet
		require.NoError(t, b.Wait(ctx))
		_, _ = p.wait(t)
	}))
}

func TestWaitEndsWithItsScope(t *testing.T) {
	leavesNothing(t)
	s := traigo.New(context.Background())
	time.AfterFunc(20*time.Millisecond, func() { s.Cancel(errLife) })
	within(func() {
		_, err := actor.Wait(context.Background(), s, "nobody")
		require.ErrorIs(t, err, errLife)
	})
	require.ErrorIs(t, s.Close(), errLife)
}
