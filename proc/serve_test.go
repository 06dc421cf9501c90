//go:build linux

package proc_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo/proc"
)

// Where Serve was called, and where not; and that a program can be started once more however
// it was built and started, and whatever has become of its file since (P2, P18).

// TestMain has called it.
func TestServeReturnsInAnyOtherProcess(t *testing.T) {
	noneLeft(t)
	proc.Serve()
	proc.Serve()
	_, err := looking.Run(t.Context(), 0)
	require.NoError(t, err)
}

func TestCallWithoutServeStartsNothing(t *testing.T) {
	file := victimFile(t)
	v := startVictim(t, file, []string{"unserved"}, func(cmd *exec.Cmd) {
		cmd.Env = append(os.Environ(), "VICTIM_LOST=parent")
	})
	for _, what := range []string{"lone", "source", "launch", "pool", "async"} {
		line := v.expect(what)
		assert.True(t, strings.HasPrefix(line, "notserved=true "), "%s %s", what, line)
		assert.Contains(t, line, "proc.Serve", what)
		assert.Contains(t, line, "TestMain", what)
	}
	assert.Equal(t, "commands=0 workers=0 child=false", v.expect("started"))
	assert.True(t, v.wait().Success())
	assert.Empty(t, v.rest(), "no process has run main")
	assert.Empty(t, v.stderr())
	requireGone(t, file)
}

func TestErrNotServedSaysWhatToDo(t *testing.T) {
	for _, word := range []string{"traigo: ", "proc.Serve", "main", "TestMain"} {
		assert.Contains(t, proc.ErrNotServed.Error(), word)
	}
}

// callLost makes a call whose worker does as VICTIM_LOST says, since its main does not call Serve.
func callLost(ctx context.Context, t *testing.T, file, how string, opts ...proc.Option) (output string, err error) {
	t.Helper()
	out, failed := os.CreateTemp(t.TempDir(), "out")
	require.NoError(t, failed)
	defer func() { _ = out.Close() }()
	inPool(t, func(inner context.Context, p *proc.Pool) {
		_, err = looking.Run(proc.With(ctx, p), 0)
	}, append(opts, proc.Command(func(cmd *exec.Cmd) {
		cmd.Path = file
		cmd.Env = append(cmd.Environ(), "VICTIM_LOST="+how)
		cmd.Stdout = out
	}))...)
	text, failed := os.ReadFile(out.Name())
	require.NoError(t, failed)
	return string(text), err
}

func TestWorkerThatDoesNotServeIsToldByItsExit(t *testing.T) {
	for _, code := range []int{0, 1, 3} {
		t.Run(fmt.Sprint("exit ", code), func(t *testing.T) {
			file := victimFile(t)
			out, err := callLost(t.Context(), t, file, fmt.Sprint("exit ", code))
			var broken *proc.BrokenWorkerError
			require.ErrorAs(t, err, &broken)
			require.ErrorIs(t, err, proc.ErrNotServed)
			assert.Equal(t, proc.ErrNotServed, broken.Err)
			assert.Equal(t, "death: look", broken.Func)
			assert.Equal(t, code, broken.State.ExitCode())
			assert.Equal(t, fmt.Sprintf("main %d\n", broken.Pid), out, "it has come to its own main, once")
			assert.Contains(t, err.Error(), "proc.Serve")
			requireGone(t, file)
		})
	}
}

func TestWorkerThatDoesNotServeIsKilledWithItsCall(t *testing.T) {
	file := victimFile(t)
	cause := errors.New("on purpose")
	ctx, cancel := context.WithCancelCause(t.Context())
	go func() {
		assert.Eventually(t, func() bool { return len(running(file)) > 0 }, soon, time.Millisecond)
		cancel(cause)
	}()
	_, err := callLost(ctx, t, file, "block", proc.KillAfter(10*time.Millisecond))
	assert.Equal(t, cause, err)
	requireGone(t, file)
}

func TestWorkerThatDoesNotServeIsKilledAfterThirtySeconds(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes 30 s")
	}
	t.Parallel()
	file := victimFile(t)
	v := startVictim(t, file, plan{Jobs: []order{{Name: "a", Do: "return"}}, Env: []string{"VICTIM_LOST=call"}}.args())
	v.expect("main")
	began := time.Now()
	assert.Equal(t, "true", v.expect("lost"), "a call in a worker that does not serve is ErrNotServed")
	line := v.expectWithin("failed", 30*time.Second+2*soon)
	assert.Contains(t, line, "notserved=true")
	assert.Contains(t, line, "signal: killed")
	assert.Greater(t, time.Since(began), 20*time.Second)
	v.tell("end")
	assert.True(t, v.wait().Success())
	for _, line := range v.rest() {
		assert.NotContains(t, line, "main ", "no other process was started")
	}
	requireGone(t, file)
}

// A worker that crashes before it comes to main says why itself.
func TestWorkerThatCrashesBeforeServeIsNotToldThatItDoesNotServe(t *testing.T) {
	file := victimFile(t)
	v := startVictim(t, file, plan{Jobs: []order{{Name: "a", Do: "return"}}, Env: []string{"VICTIM_INIT=panic"}}.args())
	line := v.expect("failed")
	assert.Contains(t, line, "panic: in init")
	assert.Contains(t, line, "notserved=false")
	v.tell("end")
	assert.True(t, v.wait().Success())
	requireGone(t, file)
}

func TestWorkerHasNoArguments(t *testing.T) {
	file := victimFile(t)
	for _, name := range []string{file, "a name", "-flag", "./victim"} {
		t.Run(name, func(t *testing.T) {
			v := startVictim(t, file, plan{Jobs: []order{{Do: "return"}}}.args(), func(cmd *exec.Cmd) { cmd.Args[0] = name })
			v.expect("idle")
			assert.Equal(t, []string{name}, v.again(order{Do: "return"}).Args)
			v.tell("end")
			assert.True(t, v.wait().Success())
			requireGone(t, file)
		})
	}
}

// Nothing of this has to do with the file that the program was started from.
func TestProgramWhoseFileHasChangedStartsWorkers(t *testing.T) {
	for name, change := range map[string]func(t *testing.T, file string){
		"deleted": func(t *testing.T, file string) { require.NoError(t, os.Remove(file)) },
		"renamed": func(t *testing.T, file string) { require.NoError(t, os.Rename(file, file+" of old")) },
		"replaced": func(t *testing.T, file string) { // as an upgrade does
			require.NoError(t, os.WriteFile(file+".new", []byte("#!/bin/sh\necho replaced\n"), 0o755))
			require.NoError(t, os.Rename(file+".new", file))
		},
		"made unreadable": func(t *testing.T, file string) {
			require.NoError(t, os.Chmod(filepath.Dir(file), 0))
			t.Cleanup(func() { _ = os.Chmod(filepath.Dir(file), 0o755) })
		},
		"deleted with its directory": func(t *testing.T, file string) { require.NoError(t, os.RemoveAll(filepath.Dir(file))) },
	} {
		t.Run(name, func(t *testing.T) {
			file := victimFile(t)
			v := startVictim(t, file, plan{Limit: 1, KillAfter: time.Hour, Grace: time.Hour}.args(), func(cmd *exec.Cmd) { cmd.Dir = filepath.Dir(file) })
			v.expect("idle")
			change(t, file)
			r := v.again(order{Do: "return", Depth: 1, Breadth: 1}) // a worker starts one too
			assert.Equal(t, v.cmd.Process.Pid, r.Parent)
			assert.Equal(t, []string{file}, r.Args)
			v.tell("end")
			assert.Equal(t, "started=1 broken=0 killed=0 calls=1", v.expect("stats"))
			assert.True(t, v.wait().Success())
			requireGone(t, file)
			requireGone(t, file+" of old")
			for _, line := range v.rest() {
				assert.NotContains(t, line, "replaced")
			}
		})
	}
}

// goCommand returns a go command that is run in the directory of these tests.
func goCommand(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	if testing.Short() {
		t.Skip("it builds a program")
	}
	if _, err := exec.LookPath("go"); err != nil {
		t.Skip("there is no go command")
	}
	cmd := exec.Command("go", args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return cmd
}

func TestGoRunStartsWorkers(t *testing.T) {
	t.Parallel()
	cmd := goCommand(t, append([]string{"run", "./testdata/victim"}, plan{Jobs: []order{{Name: "a", Do: "return"}}}.args()...)...)
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	_, err = in.Write([]byte("end\n")) // is read when it is idle
	require.NoError(t, err)
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	assert.Contains(t, string(out), "\ndone a {")
	assert.Contains(t, string(out), "\nstats started=1 broken=0 killed=0 calls=1\n")
}

func TestGoTestStartsWorkers(t *testing.T) {
	t.Parallel()
	for _, flags := range [][]string{nil, {"-race"}, {"-cover"}, {"-cover", "-coverpkg=./..."}} {
		t.Run(strings.Join(flags, " "), func(t *testing.T) {
			args := append([]string{"test", "-count=1", "-v"}, flags...)
			cmd := goCommand(t, append(args, "./testdata/tested")...)
			if len(flags) > 0 && flags[0] == "-race" {
				requireRace(t)
			}
			out, err := cmd.CombinedOutput()
			require.NoError(t, err, "%s", out)
			assert.Contains(t, string(out), "--- PASS: TestWorkerOfATestHasNoArguments")
			assert.NotContains(t, string(out), "DATA RACE")
		})
	}
}

func requireRace(t *testing.T) {
	t.Helper()
	out, err := exec.Command("go", "env", "CGO_ENABLED").Output()
	if err != nil || strings.TrimSpace(string(out)) != "1" {
		t.Skip("there is no C compiler for the race detector")
	}
}

// A race between what proc does in a worker, or in its parent, would be told at the end.
func TestRaceDetectorHasNothingToSayOfWorkers(t *testing.T) {
	t.Parallel()
	goCommand(t)
	requireRace(t)
	built, err := builtVictimWithRace()
	require.NoError(t, err)
	file := ownFile(t, built)
	v := startVictim(t, file, plan{
		Jobs:      []order{{Do: "wait", Depth: 1, Breadth: 2}, {Do: "return"}, {Do: "deaf"}, {Do: "lines 100"}, {Do: "spin", Children: 1}},
		Limit:     5,
		Interrupt: true,
		KillAfter: time.Second,
		Grace:     time.Hour,
	}.args())
	v.expectPids(7)
	v.signal(syscall.SIGINT)
	v.expect("end")
	assert.True(t, v.wait().Success(), "it exits with 66 if there were races")
	requireGone(t, file)
	assert.NotContains(t, v.stderr(), "DATA RACE")
}

// What runs in workers is covered too, since they exit as programs do.
func TestCoverageOfWorkersIsWritten(t *testing.T) {
	t.Parallel()
	goCommand(t)
	built, err := buildOnce("-cover", "-coverpkg=./testdata/victim")()
	require.NoError(t, err)
	file, dir := ownFile(t, built), t.TempDir()
	v := startVictim(t, file, plan{Jobs: []order{{Do: "return"}}, Limit: 1, Grace: time.Hour}.args(), func(cmd *exec.Cmd) {
		cmd.Env = append(os.Environ(), "GOCOVERDIR="+dir)
	})
	worker := v.expectPids(1)[0]
	v.expect("idle")
	v.tell("end")
	assert.True(t, v.wait().Success())
	requireGone(t, file)
	assert.Empty(t, v.stderr())
	for _, pid := range []int{worker, v.cmd.Process.Pid} {
		files, err := filepath.Glob(filepath.Join(dir, fmt.Sprintf("covcounters.*.%d.*", pid)))
		require.NoError(t, err)
		assert.Len(t, files, 1, "of process %d", pid)
	}
}

// P18: it builds elsewhere, and says there that it can do nothing.

func TestItBuildsElsewhere(t *testing.T) {
	t.Parallel()
	for _, system := range []string{"darwin", "windows"} {
		t.Run(system, func(t *testing.T) {
			cmd := goCommand(t, "build", ".", "./testdata/elsewhere")
			cmd.Env = append(os.Environ(), "GOOS="+system, "GOARCH=amd64", "CGO_ENABLED=0")
			out, err := cmd.CombinedOutput()
			require.NoError(t, err, "%s", out)
		})
	}
}

// Of other systems, Node.js is one on which a program can be run here.
func TestElsewhereCallsAreUnsupported(t *testing.T) {
	t.Parallel()
	cmd := goCommand(t, "run", "-exec", filepath.Join(runtime.GOROOT(), "lib/wasm/go_js_wasm_exec"), "./testdata/elsewhere") //nolint:staticcheck // go is in the PATH
	if _, err := exec.LookPath("node"); err != nil {
		t.Skip("there is no Node.js")
	}
	cmd.Env = append(os.Environ(), "GOOS=js", "GOARCH=wasm")
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	assert.Equal(t, "lone: unsupported, named\nsource: unsupported, named\nlaunch: unsupported, named\npool: unsupported, named\n", string(out))
}
