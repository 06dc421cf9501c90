//go:build linux

package actor_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/traigo/traigo/actor"
)

func TestPauseStopsInADebugger(t *testing.T) {
	t.Parallel()
	dlv := installed(t)
	for name, path := range map[string][]string{"root": nil, "child": {"mid"}, "grandchild": {"mid", "leaf"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := startPausing(t, dlv, pauseOrder{Name: "a", Path: path})
			where, pid := p.expectDebugger()
			assert.Equal(t, strings.Join(append([]string{"root"}, path...), "/"), where)
			assert.Equal(t, p.expectPid("a 1"), pid)
			p.write("bt\r")
			p.expect(`main\.pauseHere`)
			p.expect(`\(dlv\) `)
			assert.NotContains(t, p.text(0), "a 1 is through")
			p.leaveDebugger()
			p.expect("a 1 is through")
			p.expect(`a: "a went on" <nil>`)
			p.wait()
			assert.Empty(t, p.stderr())
		})
	}
}

func TestTerminalIsTheRootsAgainAfterAPause(t *testing.T) {
	t.Parallel()
	p := startPausing(t, installed(t), pauseOrder{Name: "a", Path: []string{"mid"}}, pauseOrder{Name: "s", Path: []string{"stay"}, Do: "stay"})
	stays := p.expectPid("s")
	p.expectDebugger()
	debugger := p.debuggers()
	require.Len(t, debugger, 1)
	assert.Equal(t, debugger[0], p.foreground())
	assert.NotEqual(t, p.state, p.termios(), "else nothing would have to be restored")
	p.write("\x03") // a key: the debugger reads what is typed
	p.write("help exit\r")
	p.expect(`(?s)Exit the debugger.*\n\(dlv\) `)
	p.write("continue\r") // now it is a signal
	p.expect("continue\n")
	p.until(func() bool { return p.termios().Lflag&unix.ISIG != 0 }, "the process does not run")
	p.write("\x1a") // ^Z: nobody could continue the debugger
	p.write("\x03")
	p.expect(`\(dlv\) `)
	p.leaveDebugger()
	p.expect("a 1 is through")
	p.requireTerminalIsBack()
	assert.True(t, p.isAlive(stays))
	p.write("\x03") // and this one is the root's
	p.until(p.hasEnded, "the root has not ended")
	assert.Equal(t, syscall.SIGINT, p.cmd.ProcessState.Sys().(syscall.WaitStatus).Signal())
	p.requireGone()
}

// To read from the terminal in the background would stop the root, and with it everything else.
func TestRootThatReadsFromItsTerminalGoesOnDuringAPause(t *testing.T) {
	t.Parallel()
	p := startPausingInShell(t, installed(t), pauseOrder{Name: "a", Path: []string{"mid"}}, pauseOrder{Name: "r", Do: "read", Later: true})
	p.expectDebugger()
	p.signal(p.root(), syscall.SIGUSR2)
	p.expect(`r: "" .*input/output error`)
	p.leaveDebugger()
	p.expect("a 1 is through")
	p.expect("the shell: 0")
}

func TestPausesOfTwoActorsAreServedOneAfterTheOther(t *testing.T) {
	t.Parallel()
	p := startPausing(t, installed(t), pauseOrder{Name: "a", Path: []string{"mid", "a"}}, pauseOrder{Name: "b", Path: []string{"b"}})
	served := map[string]bool{}
	for range 2 {
		path, pid := p.expectDebugger()
		name := path[strings.LastIndexByte(path, '/')+1:]
		assert.Equal(t, p.expectPid(name+" 1"), pid)
		assert.Len(t, p.debuggers(), 1)
		served[path] = true
		p.leaveDebugger()
		p.expect(name + " 1 is through")
	}
	assert.Equal(t, map[string]bool{"root/mid/a": true, "root/b": true}, served)
	p.wait()
}

func TestPausesOfOneProcessAreServedInTheirOrder(t *testing.T) {
	t.Parallel()
	p := startPausing(t, installed(t),
		pauseOrder{Name: "a", Path: []string{"a"}},
		pauseOrder{Name: "b", Path: []string{"mid", "b"}, Times: 3, Later: true})
	p.expectDebugger()
	p.signal(p.root(), syscall.SIGUSR2)
	p.expect("b: all wait")
	p.leaveDebugger()
	p.expect("a 1 is through")
	for i := range 3 {
		path, _ := p.expectDebugger()
		assert.Equal(t, "root/mid/b", path)
		p.leaveDebugger()
		p.expect(fmt.Sprintf("b %d is through", i+1))
	}
	p.wait()
}

// The lock is given back, and the debugger with the terminal: it would wait for ever.
func TestPauseEndsWithItsProcess(t *testing.T) {
	t.Parallel()
	dlv := installed(t)
	for _, who := range []string{"the paused process", "its parent", "the debugger"} {
		t.Run(who, func(t *testing.T) {
			t.Parallel()
			p := startPausing(t, dlv,
				pauseOrder{Name: "a", Path: []string{"mid", "a"}},
				pauseOrder{Name: "b", Path: []string{"b"}, Later: true},
				pauseOrder{Name: "s", Path: []string{"s"}, Do: "stay", Grace: time.Millisecond, Cancel: true})
			_, pid := p.expectDebugger()
			p.signal(p.root(), syscall.SIGUSR2)
			p.expect("b 1 in")
			result := ""
			switch who {
			case "the paused process":
				p.signal(pid, syscall.SIGKILL)
				result = `a: "" [^\n]*actor "root/mid/a" has gone: signal: killed`
			case "its parent":
				p.signal(parentOf(pid), syscall.SIGKILL)
				result = `a: "" [^\n]*actor "root/mid" has gone: signal: killed`
			case "the debugger":
				p.signal(p.debuggers()[0], syscall.SIGKILL)
				result = `a: "a went on" <nil>|actor "root/mid/a" has gone: signal: trace/breakpoint trap`
			}
			path, _ := p.expectDebugger()
			assert.Equal(t, "root/b", path)
			p.leaveDebugger()
			p.expect("b 1 is through")
			p.requireTerminalIsBack()
			p.signal(p.root(), syscall.SIGUSR1)
			p.wait()
			p.requireText(result, true)
		})
	}
}

func TestRootThatIsKilledDuringAPauseLeavesNothing(t *testing.T) {
	t.Parallel()
	dlv := installed(t)
	for name, path := range map[string][]string{"root": nil, "grandchild": {"mid", "leaf"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := startPausingInShell(t, dlv, pauseOrder{Name: "a", Path: path}, pauseOrder{Name: "b", Path: []string{"b"}, Later: true})
			p.expectDebugger()
			if path != nil {
				p.signal(p.root(), syscall.SIGUSR2)
				p.expect("b 1 in")
			}
			p.signal(p.root(), syscall.SIGKILL)
			p.requireGone()
			p.expect("the shell: 137")
		})
	}
}

func TestContextEndsAPauseThatWaits(t *testing.T) {
	t.Parallel()
	p := startPausing(t, installed(t),
		pauseOrder{Name: "a", Path: []string{"a"}, Times: 2},
		pauseOrder{Name: "b", Within: 300 * time.Millisecond, Later: true},
		pauseOrder{Name: "c", Path: []string{"mid", "c"}, Within: 300 * time.Millisecond, Later: true})
	p.expectDebugger()
	p.signal(p.root(), syscall.SIGUSR2)
	for _, name := range []string{"b", "c"} {
		p.until(func() bool { return strings.Contains(p.text(0), name+`: "`+name+` went on" `) }, "%s waits", name)
		p.requireText(name+`: "[^\n]*deadline exceeded`, true)
	}
	p.leaveDebugger()
	p.expect("a 1 is through")
	path, _ := p.expectDebugger() // those that have left do not hold it up
	assert.Equal(t, "root/a", path)
	p.leaveDebugger()
	p.expect("a 2 is through")
	p.wait()
}

// In mid, which is not paused itself, somebody ignores that he is to end.
func TestNobodyIsKilledForNotEndingDuringAPause(t *testing.T) {
	t.Parallel()
	p := startPausing(t, installed(t),
		pauseOrder{Name: "a", Path: []string{"a"}},
		pauseOrder{Name: "s", Path: []string{"mid", "s"}, Do: "stay", Grace: 300 * time.Millisecond, Cancel: true})
	stays := p.expectPid("s")
	p.expectDebugger()
	p.signal(p.root(), syscall.SIGUSR1)
	assert.Never(t, func() bool { return !p.isAlive(stays) }, 3*time.Second, 20*time.Millisecond, "it was killed")
	p.leaveDebugger()
	p.expect("a 1 is through")
	p.until(func() bool { return !p.isAlive(stays) }, "it was not killed afterwards")
	p.wait()
	p.requireText(`s: "" [^\n]*actor "root/mid/s" has gone: signal: killed`, true)
}

// An actor that is started during a Pause is told of it, and of its end.
func TestActorThatIsStartedDuringAPauseIsKilledAfterIt(t *testing.T) {
	t.Parallel()
	p := startPausing(t, installed(t),
		pauseOrder{Name: "a", Path: []string{"a"}},
		pauseOrder{Name: "s", Path: []string{"mid", "s"}, Do: "stay", Grace: 300 * time.Millisecond, Cancel: true, Later: true})
	p.expectDebugger()
	p.signal(p.root(), syscall.SIGUSR2)
	stays := p.expectPid("s")
	p.signal(p.root(), syscall.SIGUSR1)
	assert.Never(t, func() bool { return !p.isAlive(stays) }, 3*time.Second, 20*time.Millisecond, "it was killed")
	p.leaveDebugger()
	p.expect("a 1 is through")
	p.wait()
	assert.False(t, p.isAlive(stays))
}

// requireText checks what is on the screen.
func (p *pausing) requireText(pattern string, is bool) {
	p.t.Helper()
	require.Equal(p.t, is, regexp.MustCompile(pattern).MatchString(p.text(0)), pattern)
}

// requireDump checks that one dump, and only one, was written for an order.
func (p *pausing) requireDump(path, name, why string) {
	p.t.Helper()
	text := p.stderr()
	line := fmt.Sprintf("traigo: actor %s (pid %d) is paused in ", path, p.expectPid(name+" 1"))
	require.Equal(p.t, 1, strings.Count(text, line), text)
	_, text, _ = strings.Cut(text, line)
	text, _, _ = strings.Cut(text, "traigo: actor ")
	first, stacks, _ := strings.Cut(text, "\n")
	assert.Regexp(p.t, `^\S+: no debugger: `+why+`$`, strings.ReplaceAll(first, "no task", "none"))
	assert.Contains(p.t, stacks, `# labels: {"order":"`+name+`"}`)
	assert.Contains(p.t, stacks, "main.pauseHere")
}

func TestPauseWithoutADebuggerWritesADump(t *testing.T) {
	t.Parallel()
	failing, leaving, broken, none := t.TempDir(), t.TempDir(), t.TempDir(), t.TempDir()
	writeProgram(t, failing+"/dlv", "#!/bin/sh\necho 'could not attach' >&2\nexit 1\n")
	writeProgram(t, leaving+"/dlv", "#!/bin/sh\n")
	writeProgram(t, broken+"/dlv", "nonsense")
	background := []string{"/bin/sh", "-c", `set -m; "$0" "$1" & wait $!`}
	for name, c := range map[string]struct {
		dlv        string
		by         []string
		noTerminal bool
		why        string
	}{
		"no terminal":     {dlv: failing, noTerminal: true, why: "the root process has no terminal"},
		"in background":   {dlv: failing, by: background, why: "the root process is not in the foreground of its terminal"},
		"no dlv":          {dlv: none, why: "dlv is not installed"},
		"dlv fails":       {dlv: failing, why: `dlv: exit status 1 \(see what it has written to the terminal\)`},
		"dlv leaves":      {dlv: leaving, why: "dlv has left before the process stopped"},
		"no program":      {dlv: broken, why: "dlv: .*exec format error.*"},
		"exits at once":   {dlv: none, why: "dlv is not installed"},
		"several at once": {dlv: none, noTerminal: true, why: "dlv is not installed"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if path, err := exec.LookPath("dlv"); err == nil && c.dlv == none && (strings.HasPrefix(path, "/usr/bin") || strings.HasPrefix(path, "/bin")) {
				t.Skip("dlv is installed for all: ", path)
			}
			orders := []pauseOrder{{Name: "a", Path: []string{"mid", "leaf"}}}
			result := `%s: "%[1]s went on" <nil>`
			switch name {
			case "several at once":
				orders = append(orders, pauseOrder{Name: "b", Path: []string{"b"}}, pauseOrder{Name: "c"})
			case "exits at once":
				orders[0].Do = "exit"
				result = `%s: "" [^\n]*exit status 3`
			}
			p := startPausingBy(t, c.dlv, c.by, !c.noTerminal, orders...)
			p.wait()
			for _, o := range orders {
				p.requireText(fmt.Sprintf(result, o.Name), true)
				p.requireDump(strings.Join(append([]string{"root"}, o.Path...), "/"), o.Name, c.why)
			}
			assert.Equal(t, len(orders), strings.Count(p.stderr(), "no debugger"))
			if name == "dlv fails" {
				p.requireText(`could not attach`, true)
			}
		})
	}
}

func writeProgram(t *testing.T, file, text string) {
	t.Helper()
	require.NoError(t, os.WriteFile(file, []byte(text), 0o700)) //nolint:gosec // it is executed
}

// The root itself is paused, in which another debugger is.
func TestProcessThatIsTracedAlreadyWritesADump(t *testing.T) {
	t.Parallel()
	dlv := installed(t)
	p := startPausing(t, dlv, pauseOrder{Name: "a", Later: true})
	p.expect(`root in`)
	root := p.root()
	other := exec.Command(dlv+"/dlv", "attach", strconv.Itoa(root), "--headless", "--continue", "--accept-multiclient", "--listen=unix:"+t.TempDir()+"/socket")
	other.Env = append(other.Environ(), p.mark)
	said, err := os.CreateTemp(t.TempDir(), "other")
	require.NoError(t, err)
	other.Stdout, other.Stderr = said, said
	defer func() {
		text, _ := os.ReadFile(said.Name())
		_ = said.Close()
		t.Logf("the other debugger: %s", text)
	}()
	require.NoError(t, other.Start())
	defer func() { _ = other.Wait() }()
	defer func() { _ = other.Process.Kill() }()
	p.until(func() bool { return tracerOf(root) == other.Process.Pid && !isHeld(root) }, "it is not traced")
	p.signal(root, syscall.SIGUSR2)
	p.wait()
	p.requireDump("root", "a", fmt.Sprintf("process %d traces it already", other.Process.Pid))
	p.requireText("could not attach", false)
}

// tracerOf returns the process that traces all threads of another one, 0 if there is none.
func tracerOf(pid int) (tracer int) {
	for _, status := range threadStatus(pid) {
		tracer, _ = strconv.Atoi(status["TracerPid"])
		if tracer == 0 {
			return 0
		}
	}
	return tracer
}

// isHeld reports whether a thread of a process is stopped.
func isHeld(pid int) bool {
	for _, status := range threadStatus(pid) {
		if strings.HasPrefix(strings.ToLower(status["State"]), "t") {
			return true
		}
	}
	return false
}

func threadStatus(pid int) (all []map[string]string) {
	files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", pid))
	for _, file := range files {
		text, _ := os.ReadFile(file)
		status := map[string]string{}
		for line := range strings.Lines(string(text)) {
			name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
			status[name] = strings.TrimSpace(value)
		}
		all = append(all, status)
	}
	return all
}

func TestPauseWithAnEndedContextReturnsItsCause(t *testing.T) {
	cause := errors.New("on purpose")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(cause)
	assert.Equal(t, cause, actor.Pause(ctx))
}

func TestPauseWithoutAContextPanics(t *testing.T) {
	assert.PanicsWithValue(t, "traigo: actor.Pause: ctx is nil", func() { _ = actor.Pause(nil) }) //nolint:staticcheck // that is the misuse
}
