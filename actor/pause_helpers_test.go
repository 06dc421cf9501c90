//go:build linux

package actor_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// What the tests of Pause share:
//
//	pausing        a running testdata/pause, on a terminal or without one
//	installed      a folder with dlv in it, for PATH
//	pauseOrder          what it is to do; testdata/pause says more

type pauseOrder struct {
	Name   string
	Path   []string
	Do     string
	Times  int
	Within time.Duration
	Grace  time.Duration
	Later  bool
	Cancel bool
}

// pauseSoon is within what time something must have happened, on a busy machine too.
const pauseSoon = 90 * time.Second

// pauseDir returns a folder that lasts as long as this test binary: go test removes it.
func pauseDir(name string) (string, error) {
	self, err := os.Executable()
	if err != nil {
		return "", err
	}
	dir := filepath.Dir(self)
	if !strings.Contains(dir, "go-build") {
		dir = os.TempDir()
	}
	return os.MkdirTemp(dir, name)
}

const delve = "github.com/go-delve/delve/cmd/dlv@v1.27.2"

var buildDelve = sync.OnceValues(func() (string, error) {
	dir, err := pauseDir("delve")
	if err != nil {
		return "", err
	}
	cmd := exec.Command("go", "install", delve)
	cmd.Dir = os.TempDir() // outside of any module
	cmd.Env = append(os.Environ(), "GOBIN="+dir, "GOFLAGS=", "GOWORK=off")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go install %s: %w: %s", delve, err, out)
	}
	return dir, nil
})

// installed returns a folder with dlv. Where it cannot be had, the test is skipped.
func installed(t *testing.T) string {
	t.Helper()
	dir, err := buildDelve()
	if err != nil {
		t.Skip("there is no debugger to test with: ", err)
	}
	return dir
}

var buildPausing = sync.OnceValues(func() (string, error) {
	dir, err := pauseDir("pause")
	if err != nil {
		return "", err
	}
	file := filepath.Join(dir, "pause")
	args := []string{"build", "-o", file}
	if pauseRace {
		args = append(args, "-race")
	}
	if out, err := exec.Command("go", append(args, "./testdata/pause")...).CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	return file, nil
})

// A pausing is a running testdata/pause, the root of a tree.
type pausing struct {
	t      *testing.T
	cmd    *exec.Cmd
	mark   string        // in the environment of its processes, the debugger's too
	master *os.File      // the other end of its terminal, or of the pipe that it writes to
	ended  chan struct{} // closed when cmd was reaped
	shell  bool          // cmd is a shell that has started the root
	state  unix.Termios  // of its terminal at first

	mu     sync.Mutex
	screen []byte
	seen   int // of screen, by expect
}

var lastPausing atomic.Uint64

// startPausing starts a tree on a terminal. path is the folder in which it finds dlv.
func startPausing(t *testing.T, path string, orders ...pauseOrder) *pausing {
	t.Helper()
	return startPausingBy(t, path, nil, true, orders...)
}

// startPausingInShell starts a tree in the foreground of a shell with job control, which stays.
func startPausingInShell(t *testing.T, path string, orders ...pauseOrder) *pausing {
	t.Helper()
	p := startPausingBy(t, path, []string{"/bin/sh", "-c", `set -m; "$0" "$1"; echo "the shell: $?"; read _`}, true, orders...)
	p.shell = true
	require.NotEqual(t, p.cmd.Process.Pid, p.root())
	return p
}

// startPausingBy starts a tree by a command, whose arguments are followed by those of the tree.
func startPausingBy(t *testing.T, path string, by []string, onTerminal bool, orders ...pauseOrder) *pausing {
	t.Helper()
	if _, err := exec.LookPath("go"); err != nil {
		t.Skip("there is no go command to build the program with")
	}
	program, err := buildPausing()
	require.NoError(t, err)
	plan, err := json.Marshal(orders)
	require.NoError(t, err)
	args := slices.Concat(by, []string{program, string(plan)})
	home := t.TempDir()
	p := &pausing{
		t: t, cmd: exec.Command(args[0], args[1:]...), ended: make(chan struct{}),
		mark: fmt.Sprintf("TRAIGO_PAUSE_TEST=%d-%d", os.Getpid(), lastPausing.Add(1)),
	}
	p.cmd.Env = []string{
		p.mark, "PATH=" + path + ":/usr/bin:/bin", "TERM=xterm", "HOME=" + home,
		"DELVE_PAGER=cat", "GORACE=halt_on_error=1 exitcode=66",
	}
	stderr, err := os.Create(filepath.Join(home, "stderr"))
	require.NoError(t, err)
	p.cmd.Stderr = stderr
	if onTerminal {
		p.master, err = pty.StartWithSize(p.cmd, &pty.Winsize{Rows: 60, Cols: 250})
		require.NoError(t, err)
		p.state = p.termios()
	} else {
		read, write, err := os.Pipe()
		require.NoError(t, err)
		p.master, p.cmd.Stdout = read, write
		p.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
		require.NoError(t, p.cmd.Start())
		require.NoError(t, write.Close())
	}
	require.NoError(t, stderr.Close())
	read := make(chan struct{})
	go func() {
		defer close(read)
		p.read()
	}()
	go func() {
		_ = p.cmd.Wait()
		close(p.ended)
	}()
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		<-p.ended
		p.requireGone()
		_ = p.master.Close()
		<-read
		assert.NotContains(t, p.stderr(), "DATA RACE")
		if t.Failed() {
			t.Logf("the screen:\n%s\nstandard error:\n%s", p.text(0), p.stderr())
		}
	})
	return p
}

func (p *pausing) read() {
	chunk := make([]byte, 4096)
	for {
		n, err := p.master.Read(chunk)
		p.mu.Lock()
		p.screen = append(p.screen, chunk[:n]...)
		p.mu.Unlock()
		if err != nil {
			return
		}
	}
}

var escapes = regexp.MustCompile(`\x1b\[[0-9;?]*[a-zA-Z]|\r`)

// text is what there is on the screen, without colors.
func (p *pausing) text(from int) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return escapes.ReplaceAllString(string(p.screen[from:]), "")
}

func (p *pausing) stderr() string {
	text, _ := os.ReadFile(filepath.Join(strings.TrimPrefix(p.cmd.Env[3], "HOME="), "stderr"))
	return string(text)
}

// root returns the root of the tree.
func (p *pausing) root() int {
	p.t.Helper()
	if p.shell {
		return p.expectPid("root")
	}
	return p.cmd.Process.Pid
}

// until waits until it is so.
func (p *pausing) until(isSo func() bool, what string, args ...any) {
	p.t.Helper()
	if !assert.Eventually(p.t, isSo, pauseSoon, 5*time.Millisecond) {
		p.t.Logf(what, args...)
		p.t.Logf("processes: %v, the debugger is %v", p.processes(), p.debuggers())
		p.t.FailNow()
	}
}

// expect waits until there is, behind what was expected before, text that matches. It returns the
// groups of the pattern.
func (p *pausing) expect(pattern string) []string {
	p.t.Helper()
	re := regexp.MustCompile(pattern)
	var found []string
	p.until(func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		text := escapes.ReplaceAll(p.screen, nil)
		match := re.FindSubmatchIndex(text[min(p.seen, len(text)):])
		if match == nil {
			return false
		}
		for i := 0; i < len(match); i += 2 {
			found = append(found, string(text[p.seen+match[i]:p.seen+match[i+1]]))
		}
		p.seen += match[1]
		return true
	}, "not on the screen: %s", pattern)
	return found
}

// expectPid waits for a line "name in PID", wherever it is.
func (p *pausing) expectPid(name string) int {
	p.t.Helper()
	re := regexp.MustCompile(`(?m)\b` + name + ` in (\d+)$`)
	var pid int
	p.until(func() bool {
		if match := re.FindStringSubmatch(p.text(0)); match != nil {
			pid, _ = strconv.Atoi(match[1])
		}
		return pid != 0
	}, "%s was not begun", name)
	return pid
}

// expectDebugger waits for the prompt of a debugger, and returns whom it has stopped.
func (p *pausing) expectDebugger() (path string, pid int) {
	p.t.Helper()
	found := p.expect(`traigo: actor (\S+) \(pid (\d+)\) is paused in [^\n]*\n`)
	p.expect(`=>[^\n]*actor\.Pause\(ctx\)`) // the caller is shown
	p.expect(`\(dlv\) `)                    // others may write behind it
	pid, err := strconv.Atoi(found[2])
	require.NoError(p.t, err)
	return found[1], pid
}

func (p *pausing) write(text string) {
	p.t.Helper()
	_, err := p.master.WriteString(text)
	require.NoError(p.t, err)
}

// leaveDebugger lets the process go on.
func (p *pausing) leaveDebugger() {
	p.t.Helper()
	p.write("exit\r")
	p.expect(`kill the process\? \[Y/n\] `)
	p.write("n\r")
}

// processes returns those that the tree consists of, also if their parents have died. Zombies
// have no environment.
func (p *pausing) processes() (pids []int) {
	files, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, file := range files {
		env, err := os.ReadFile(file)
		if err == nil && slices.Contains(strings.Split(string(env), "\x00"), p.mark) {
			pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(file)))
			if !p.shell || pid != p.cmd.Process.Pid {
				pids = append(pids, pid)
			}
		}
	}
	return pids
}

func (p *pausing) isAlive(pid int) bool { return slices.Contains(p.processes(), pid) }

// debuggers returns the children of the root that run dlv, which may have children itself.
func (p *pausing) debuggers() (pids []int) {
	for _, pid := range p.processes() {
		if comm, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid)); string(comm) == "dlv\n" && parentOf(pid) == p.root() {
			pids = append(pids, pid)
		}
	}
	return pids
}

// signal sends a signal to a process of the tree, and to no other.
func (p *pausing) signal(pid int, sig syscall.Signal) {
	p.t.Helper()
	require.Greater(p.t, pid, 1)
	require.True(p.t, p.isAlive(pid), "%d is no process of the tree", pid)
	require.NoError(p.t, syscall.Kill(pid, sig))
}

// parentOf returns the parent of a process, 0 if there is none.
func parentOf(pid int) int {
	status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	_, after, _ := strings.Cut(string(status), "\nPPid:\t")
	number, _, _ := strings.Cut(after, "\n")
	parent, _ := strconv.Atoi(number)
	return parent
}

// wait waits until the root has ended by itself.
func (p *pausing) wait() {
	p.t.Helper()
	p.expect("the root has ended")
	p.until(func() bool { return p.hasEnded() }, "the root has not ended")
	assert.True(p.t, p.cmd.ProcessState.Success(), "%v", p.cmd.ProcessState)
}

func (p *pausing) hasEnded() bool {
	select {
	case <-p.ended:
		return true
	default:
		return false
	}
}

// requireGone waits until none of the processes is left, and kills what is.
func (p *pausing) requireGone() {
	p.t.Helper()
	none := func() bool { return len(append(p.processes(), p.processes()...)) == 0 } // one may be started meanwhile
	if assert.Eventually(p.t, none, pauseSoon, 5*time.Millisecond, "processes are left") {
		return
	}
	for _, pid := range p.processes() {
		what, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		p.t.Logf("left: %d: %q", pid, what)
		if pid > 1 {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
	p.t.FailNow()
}

// onTerminal calls f with the terminal's descriptor.
func (p *pausing) onTerminal(f func(fd int) error) {
	p.t.Helper()
	c, err := p.master.SyscallConn()
	require.NoError(p.t, err)
	var failed error
	err = c.Control(func(fd uintptr) { failed = f(int(fd)) })
	require.NoError(p.t, errors.Join(err, failed))
}

// termios is the state of the terminal.
func (p *pausing) termios() (state unix.Termios) {
	p.t.Helper()
	p.onTerminal(func(fd int) error {
		got, err := unix.IoctlGetTermios(fd, unix.TCGETS)
		if err == nil {
			state = *got
		}
		return err
	})
	return state
}

// foreground is the group of processes in the foreground of the terminal.
func (p *pausing) foreground() (group int) {
	p.t.Helper()
	p.onTerminal(func(fd int) (err error) {
		group, err = unix.IoctlGetInt(fd, unix.TIOCGPGRP)
		return err
	})
	return group
}

// requireTerminalIsBack waits until the terminal is the root's again, as it was at first.
func (p *pausing) requireTerminalIsBack() {
	p.t.Helper()
	p.until(func() bool { return p.foreground() == p.root() }, "the root is not in the foreground: %d", p.foreground())
	p.until(func() bool { return p.termios() == p.state }, "the terminal is not as it was: %+v, not %+v", p.termios(), p.state)
}
