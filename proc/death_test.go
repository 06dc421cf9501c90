//go:build linux

package proc_test

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/proc"
)

// What happens to processes: what a worker is to the system, and that nothing is left of it
// and of what it has started, however it ends, and however its parent ends (P14, P15, P16).
//
//	victim           a program of its own that is a parent: testdata/victim, which has the types
//	order, plan      what its jobs, and it, are to do
//	send             syscall.Kill, but never of the wrong ones
//	isAlive          whether a process exists and is no zombie
//	shell            a function that runs a script in a worker's group
//	ending           a function that starts a grandchild and ends in one of many ways
//	soon             how long to wait for what comes at once on a machine that has nothing else to do

const soon = 20 * time.Second

// order and plan are Order and Plan of testdata/victim, and report is Report.
type (
	order struct {
		Name     string
		Children int
		Noise    bool
		Depth    int
		Breadth  int
		Do       string
	}
	plan struct {
		Jobs      []order
		Limit     int
		KillAfter time.Duration
		Grace     time.Duration
		Path      string
		Env       []string
		Lone      bool
		Locked    bool
		Launch    bool
		Interrupt bool
		Init      string
	}
	report struct {
		Pid, Parent, Group int
		Args               []string
		Text               string
	}
)

func (p plan) args() []string {
	text, err := json.Marshal(p)
	if err != nil {
		panic(err)
	}
	return []string{"run", string(text)}
}

// buildOnce builds testdata/victim, with flags of go build, in the directory of the test
// binary, which go test removes.
func buildOnce(flags ...string) func() (string, error) {
	return sync.OnceValues(func() (string, error) {
		self, err := os.Executable()
		if err != nil {
			return "", err
		}
		dir := filepath.Dir(self)
		if !strings.Contains(dir, "go-build") {
			dir = os.TempDir()
		}
		if dir, err = os.MkdirTemp(dir, "victim"); err != nil {
			return "", err
		}
		file := filepath.Join(dir, "victim")
		out, err := exec.Command("go", append(append([]string{"build", "-o", file}, flags...), "./testdata/victim")...).CombinedOutput()
		if err != nil {
			return "", fmt.Errorf("%w: %s", err, out)
		}
		return file, nil
	})
}

var (
	builtVictim         = buildOnce("-ldflags=-s -w")
	builtVictimWithRace = buildOnce("-race")
)

// victimFile returns the file of a victim of the test's own, by which its processes are
// found. They are killed when the test has ended.
func victimFile(t *testing.T) string {
	t.Helper()
	if _, err := exec.LookPath("go"); err != nil {
		t.Skip("there is no go command to build the victim with")
	}
	built, err := builtVictim()
	require.NoError(t, err)
	return ownFile(t, built)
}

// ownFile returns another name of a program.
func ownFile(t *testing.T, program string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "victim")
	require.NoError(t, os.Link(program, file))
	t.Cleanup(func() {
		for _, pid := range running(file) {
			_ = send(pid, syscall.SIGKILL)
		}
	})
	return file
}

// running returns the processes, without zombies, that run a file, also if that is deleted.
func running(file string) (pids []int) {
	links, _ := filepath.Glob("/proc/[0-9]*/exe")
	for _, link := range links {
		exe, err := os.Readlink(link)
		if err == nil && strings.TrimSuffix(exe, " (deleted)") == file {
			pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(link)))
			pids = append(pids, pid)
		}
	}
	return pids
}

// requireGone waits until no process runs the file. It looks twice: one may be started while
// it looks, by one that it sees no more.
func requireGone(t *testing.T, file string, msg ...any) {
	t.Helper()
	none := func() bool { return len(append(running(file), running(file)...)) == 0 }
	if !assert.Eventually(t, none, soon, 5*time.Millisecond, msg...) {
		for _, pid := range running(file) {
			t.Logf("left: %d: %s", pid, describe(pid))
		}
		t.FailNow()
	}
}

// describe tells about a process what helps to understand why it is there.
func describe(pid int) string {
	dir := fmt.Sprintf("/proc/%d/", pid)
	args, _ := os.ReadFile(dir + "cmdline")
	stat, _ := os.ReadFile(dir + "stat")
	files, _ := filepath.Glob(dir + "fd/*")
	var open []string
	for _, file := range files {
		to, _ := os.Readlink(file)
		open = append(open, filepath.Base(file)+"="+to)
	}
	return fmt.Sprintf("%q %s %s", bytes.Split(args, []byte{0}), strings.TrimSpace(string(stat)), strings.Join(open, " "))
}

// childrenOf returns the children of a process, zombies too. It is quick.
func childrenOf(pid int) (pids []int) {
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, task := range tasks {
		text, _ := os.ReadFile(task)
		for field := range strings.FieldsSeq(string(text)) {
			child, _ := strconv.Atoi(field)
			pids = append(pids, child)
		}
	}
	return pids
}

// procStat returns what /proc/PID/stat has from the state on.
func procStat(pid int) []string {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return nil
	}
	return strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
}

// send sends a signal to a process, or to the group -pid, but never to a group that it does not
// know: 0 would be that of the tests, and -1 everybody.
func send(pid int, sig syscall.Signal) error {
	if -2 < pid && pid < 2 {
		panic(fmt.Sprint("a signal to ", pid))
	}
	return syscall.Kill(pid, sig)
}

func isAlive(pid int) bool {
	stat := procStat(pid)
	return len(stat) > 0 && stat[0] != "Z" && stat[0] != "X"
}

func isStopped(pid int) bool {
	stat := procStat(pid)
	return len(stat) > 0 && stat[0] == "T"
}

func requireStopped(t *testing.T, pid int) {
	t.Helper()
	require.Eventually(t, func() bool { return isStopped(pid) }, soon, time.Millisecond, "%d is not stopped", pid)
}

func requireDead(t *testing.T, pid int, msg string) {
	t.Helper()
	require.Greater(t, pid, 1, msg)
	if !assert.Eventually(t, func() bool { return !isAlive(pid) }, soon, 2*time.Millisecond, msg) {
		t.Logf("left: %d: %s", pid, describe(pid))
		_ = send(pid, syscall.SIGKILL)
	}
}

// A victim is a process that runs testdata/victim, and the leader of a group.
type victim struct {
	t     *testing.T
	file  string
	cmd   *exec.Cmd
	in    io.WriteCloser
	lines chan string   // of standard output, which its workers share; closed when all are gone
	errs  *output       // standard error
	quiet chan struct{} // closed when all have closed standard error
}

// output is what was written, by whomever.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.text.Len() > 8<<20 {
		o.text.Reset()
	}
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// startVictim starts a victim, after change has seen its command.
func startVictim(t *testing.T, file string, args []string, change ...func(*exec.Cmd)) *victim {
	t.Helper()
	v := &victim{t: t, file: file, cmd: exec.Command(file, args...), lines: make(chan string, 10_000), errs: new(output), quiet: make(chan struct{})}
	v.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	for _, f := range change {
		f(v.cmd)
	}
	var err error
	if v.cmd.Stdin == nil {
		v.in, err = v.cmd.StdinPipe()
		require.NoError(t, err)
	}
	if v.cmd.Stdout == nil { // it is read longer than the process lives: until all who have it are gone
		out, write, err := os.Pipe()
		require.NoError(t, err)
		defer func() { _ = write.Close() }()
		v.cmd.Stdout = write
		go v.read(out)
	}
	if v.cmd.Stderr == nil {
		out, write, err := os.Pipe()
		require.NoError(t, err)
		defer func() { _ = write.Close() }()
		v.cmd.Stderr = write
		go func() {
			defer close(v.quiet)
			_, _ = io.Copy(v.errs, out)
			_ = out.Close()
		}()
	}
	asByDefault(t, syscall.SIGINT, syscall.SIGHUP)
	require.NoError(t, v.cmd.Start())
	t.Cleanup(func() {
		_ = v.cmd.Process.Kill()
		_ = v.cmd.Wait()
		if t.Failed() {
			t.Logf("standard error of the victim: %.4000s", v.errs)
		}
	})
	return v
}

// asByDefault has processes that are started from now on not ignore signals that this process
// was started to ignore, by nohup for example.
func asByDefault(t *testing.T, signals ...os.Signal) {
	for _, sig := range signals {
		if signal.Ignored(sig) {
			c := make(chan os.Signal, 1)
			signal.Notify(c, sig) // a handler is gone after exec
			t.Cleanup(func() { signal.Ignore(sig) })
		}
	}
}

// read passes on the lines of r.
func (v *victim) read(r io.ReadCloser) {
	defer close(v.lines)
	defer func() { _ = r.Close() }()
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		v.lines <- strings.TrimPrefix(strings.TrimSpace(lines.Text()), "^C") // a terminal's echo
	}
}

// expect returns the rest of the next line that begins with a word, and skips others.
func (v *victim) expect(word string) string {
	v.t.Helper()
	return v.expectWithin(word, soon)
}

func (v *victim) expectWithin(word string, d time.Duration) string {
	v.t.Helper()
	timeout := time.After(d)
	var skipped []string
	for {
		select {
		case line, ok := <-v.lines:
			require.True(v.t, ok, "no line %q came, but %q; standard error: %s", word, skipped, v.errs)
			if first, rest, _ := strings.Cut(line, " "); first == word {
				return rest
			}
			skipped = append(skipped, line)
		case <-timeout:
			require.Fail(v.t, "too late", "no line %q came, but %q; standard error: %s", word, skipped, v.errs)
		}
	}
}

// expectPids returns the numbers of n processes that are up.
func (v *victim) expectPids(n int) (pids []int) {
	v.t.Helper()
	for range n {
		pid, err := strconv.Atoi(strings.Fields(v.expect("up"))[0])
		require.NoError(v.t, err)
		pids = append(pids, pid)
	}
	return pids
}

// again has the victim make one more call.
func (v *victim) again(o order) (r report) {
	v.t.Helper()
	text, err := json.Marshal(o)
	require.NoError(v.t, err)
	v.tell("again " + string(text))
	_, result, _ := strings.Cut(v.expect("done"), " ")
	require.NoError(v.t, json.Unmarshal([]byte(result), &r))
	return r
}

func (v *victim) tell(line string) {
	v.t.Helper()
	_, err := io.WriteString(v.in, line+"\n")
	require.NoError(v.t, err)
}

func (v *victim) signal(sig syscall.Signal) {
	v.t.Helper()
	require.NoError(v.t, v.cmd.Process.Signal(sig))
}

// kill kills the victim alone, and reaps it.
func (v *victim) kill() {
	v.t.Helper()
	v.signal(syscall.SIGKILL)
	v.wait()
}

func (v *victim) wait() *os.ProcessState {
	v.t.Helper()
	_ = v.cmd.Wait()
	return v.cmd.ProcessState
}

// rest returns what else was written on standard output, when all who could write are gone.
func (v *victim) rest() (lines []string) {
	v.t.Helper()
	timeout := time.After(2 * soon)
	for {
		select {
		case line, ok := <-v.lines:
			if !ok {
				return lines
			}
			lines = append(lines, line)
		case <-timeout:
			require.Fail(v.t, "standard output is still open", "%q", lines)
		}
	}
}

// stderr returns what was written on standard error, when all who could write are gone.
func (v *victim) stderr() string {
	v.t.Helper()
	select {
	case <-v.quiet:
	case <-time.After(2 * soon):
		require.Fail(v.t, "standard error is still open")
	}
	return v.errs.String()
}

// P14: the process.

// A likeness is how a worker looks from inside.
type likeness struct {
	Pid, Parent, Group int
	Stdin              []byte
	Out, Err           [2]uint64 // device and inode
	Environ            []string
}

var looking = proc.Func("death: look", func(context.Context, int) (l likeness, err error) {
	l = likeness{Pid: os.Getpid(), Parent: os.Getppid(), Group: syscall.Getpgrp(), Environ: os.Environ()}
	if l.Stdin, err = io.ReadAll(os.Stdin); err != nil {
		return l, err
	}
	l.Out, l.Err = inodeOf(1), inodeOf(2)
	return l, nil
})

func inodeOf(fd int) [2]uint64 {
	var stat syscall.Stat_t
	_ = syscall.Fstat(fd, &stat)
	return [2]uint64{stat.Dev, stat.Ino}
}

// shell runs a script in the group of a worker, and returns what it writes.
var shell = proc.Func("death: shell", func(_ context.Context, script string) (string, error) {
	cmd := exec.Command("/bin/sh", "-c", script)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	return strings.TrimSpace(string(out)), err
})

// run calls f in a pool of its own.
func inPool(t *testing.T, body func(ctx context.Context, p *proc.Pool), opts ...proc.Option) {
	t.Helper()
	assert.NoError(t, traigo.Run(t.Context(), func(ctx context.Context, s *traigo.Scope) error {
		p := proc.Open(s, opts...)
		body(ctx, p)
		return nil
	}))
}

func TestWorkerIsAGroupOfItsOwnWithEmptyInput(t *testing.T) {
	noneLeft(t)
	l, err := looking.Run(t.Context(), 0)
	require.NoError(t, err)
	assert.Equal(t, os.Getpid(), l.Parent)
	assert.Equal(t, l.Pid, l.Group)
	assert.NotEqual(t, syscall.Getpgrp(), l.Group)
	assert.Empty(t, l.Stdin)
	assert.Equal(t, inodeOf(1), l.Out, "standard output is the parent's")
	assert.NotEqual(t, inodeOf(2), l.Err, "standard error comes by way of the parent")
}

func TestCommandCannotTakeTheGroupFromAWorker(t *testing.T) {
	noneLeft(t)
	inPool(t, func(ctx context.Context, _ *proc.Pool) {
		l, err := looking.Run(ctx, 0)
		assert.NoError(t, err)
		assert.Equal(t, l.Pid, l.Group)
	}, proc.Command(func(cmd *exec.Cmd) {
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: false, Pgid: syscall.Getpgrp(), Pdeathsig: syscall.SIGTERM}
	}))
}

func TestOutputOfWorkersIsThatOfTheParent(t *testing.T) {
	file := victimFile(t)
	v := startVictim(t, file, plan{Jobs: []order{{Name: "a", Do: "return"}}}.args())
	pid := v.expectPids(1)[0] // the worker has written it
	assert.NotEqual(t, v.cmd.Process.Pid, pid)
	v.tell("end")
	v.expect("end")
	v.wait()
	requireGone(t, file)
}

// writing writes lines to standard error, and ends as is said.
var writing = proc.Func("death: write", func(_ context.Context, what struct {
	Lines int
	How   string
}) (int, error) {
	for i := range what.Lines {
		_, _ = fmt.Fprintf(os.Stderr, "line %d %s\n", i, strings.Repeat("x", 80))
	}
	switch what.How {
	case "exit":
		os.Exit(3)
	case "kill":
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	case "child": // the last line is that of another process of the group
		cmd := exec.Command("/bin/sh", "-c", "echo line of a child >&2")
		cmd.Stderr = os.Stderr
		return 0, cmd.Run()
	}
	return os.Getpid(), nil
})

func TestStandardErrorIsCompleteWhenThePoolHasEnded(t *testing.T) {
	noneLeft(t)
	type what = struct {
		Lines int
		How   string
	}
	for _, how := range []string{"return", "exit", "kill", "child"} {
		t.Run(how, func(t *testing.T) {
			const lines = 10_000
			got := new(output)
			inPool(t, func(ctx context.Context, _ *proc.Pool) {
				_, err := writing.Run(ctx, what{lines, how})
				var broken *proc.BrokenWorkerError
				if how == "return" || how == "child" {
					assert.NoError(t, err)
				} else if assert.ErrorAs(t, err, &broken) {
					assert.LessOrEqual(t, len(broken.Stderr), 64<<10)
					assert.True(t, strings.HasSuffix(got.String(), broken.Stderr), "Stderr is the end of what was written")
					assert.Contains(t, broken.Stderr, fmt.Sprintf("line %d ", lines-1))
				}
			}, proc.Command(func(cmd *exec.Cmd) { cmd.Stderr = got }))
			all := strings.Split(strings.TrimSuffix(got.String(), "\n"), "\n")
			if how == "child" {
				assert.Equal(t, "line of a child", all[len(all)-1])
				all = all[:len(all)-1]
			}
			if assert.Len(t, all, lines) {
				for i, line := range all {
					if !assert.True(t, strings.HasPrefix(line, fmt.Sprintf("line %d ", i)), line) {
						break
					}
				}
			}
		})
	}
}

func TestStandardErrorGoesToThatOfTheParent(t *testing.T) {
	file := victimFile(t)
	const lines = 3000
	v := startVictim(t, file, plan{Jobs: []order{{Name: "a", Do: fmt.Sprint("lines ", lines)}}, Grace: time.Hour}.args())
	v.expect("idle")
	v.tell("end")
	v.expect("end")
	v.wait()
	assert.Equal(t, lines, strings.Count(v.stderr(), "\n"))
	requireGone(t, file)
}

func TestNothingIsWrittenWhileAllIsInOrder(t *testing.T) {
	file := victimFile(t)
	v := startVictim(t, file, plan{
		Jobs:      []order{{Name: "a", Do: "return"}, {Name: "b", Do: "return"}, {Name: "c", Do: "wait"}, {Name: "d", Do: "deaf"}},
		Limit:     4,
		KillAfter: 10 * time.Millisecond,
		Grace:     time.Hour,
		Interrupt: true,
	}.args())
	v.expectPids(4)
	v.signal(syscall.SIGTERM) // cancels c and d; d is killed, a and b leave
	v.expect("end")
	assert.True(t, v.wait().Success())
	requireGone(t, file)
	assert.Empty(t, v.stderr())
}

// A process that has left the group is not the pool's, and holds nothing up.
func TestStrangerThatHoldsTheOutputsHoldsNothingUp(t *testing.T) {
	noneLeft(t)
	file := filepath.Join(t.TempDir(), "pid")
	got := new(output)
	var stranger int
	inPool(t, func(ctx context.Context, _ *proc.Pool) {
		_, err := shell.Run(ctx, fmt.Sprintf("setsid sh -c 'echo $$ >%[1]s.new; mv %[1]s.new %[1]s; exec sleep 600' >/dev/null &", file))
		assert.NoError(t, err)
		stranger = pidIn(t, file)
	}, proc.Command(func(cmd *exec.Cmd) { cmd.Stderr = got }))
	defer func() { _ = send(stranger, syscall.SIGKILL) }()
	assert.True(t, isAlive(stranger), "what puts itself into another session is its own")
}

// signaled waits until as many signals have been sent to it as are given, and says what it was asked.
var signaled = proc.Func("death: signaled", func(_ context.Context, files [2]string) (string, error) {
	if err := os.WriteFile(files[0], []byte(strconv.Itoa(os.Getpid())), 0o600); err != nil {
		return "", err
	}
	for {
		if text, err := os.ReadFile(files[1]); err == nil && len(text) > 0 {
			return string(text), nil
		}
		time.Sleep(time.Millisecond)
	}
})

// pidIn waits until a file has the number of a process.
func pidIn(t *testing.T, file string) (pid int) {
	t.Helper()
	require.Eventually(t, func() bool {
		text, _ := os.ReadFile(file)
		pid, _ = strconv.Atoi(strings.TrimSpace(string(text)))
		return pid > 1
	}, 2*soon, time.Millisecond, "no number of a process in %s", file)
	return pid
}

func TestWorkerPaysNoAttentionToSignalsForTheParent(t *testing.T) {
	noneLeft(t)
	dir := t.TempDir()
	inPool(t, func(ctx context.Context, p *proc.Pool) {
		pids := map[int]bool{}
		for round := range 2 { // the second time it was idle in between
			files := [2]string{filepath.Join(dir, fmt.Sprint("up", round)), filepath.Join(dir, fmt.Sprint("go", round))}
			var wg sync.WaitGroup
			wg.Go(func() {
				text, err := signaled.Run(ctx, files)
				assert.NoError(t, err)
				assert.Equal(t, "on", text)
			})
			pid := pidIn(t, files[0])
			pids[pid] = true
			signals := func(to int) {
				for range 20 {
					for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP} {
						assert.NoError(t, send(to, sig))
					}
				}
			}
			signals(pid)
			signals(-pid)
			assert.NoError(t, os.WriteFile(files[1], []byte("on"), 0o600))
			wg.Wait()
			signals(pid)
		}
		assert.Len(t, pids, 1)
		stats := p.Stats()
		assert.EqualValues(t, 1, stats.Started)
		assert.Zero(t, stats.Broken)
	})
}

// It may come while the worker starts, when nothing of the program runs yet but the packages
// that are initialized first.
func TestWorkerPaysNoAttentionToSignalsBeforeMain(t *testing.T) {
	file := victimFile(t)
	v := startVictim(t, file, plan{Jobs: []order{{Do: "return"}}, KillAfter: 0, Env: []string{"VICTIM_INIT=block"}}.args())
	pid, err := strconv.Atoi(v.expect("init"))
	require.NoError(t, err)
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP} {
		require.NoError(t, send(pid, sig))
	}
	require.NoError(t, send(pid, syscall.SIGSTOP)) // has come when the others have
	requireStopped(t, pid)
	require.NoError(t, send(pid, syscall.SIGCONT))
	require.Eventually(t, func() bool { return !isStopped(pid) }, soon, time.Millisecond)
	assert.True(t, isAlive(pid))
	v.kill()
	requireGone(t, file, "the worker has not noticed that its parent is dead, before main")
}

// It may come earlier still: as soon as the program has begun. Before that, between fork and exec,
// the process shares the memory of its parent, and a signal to it alone may harm that, as in any
// program in Go.
func TestSignalThatComesWhileAWorkerStartsDoesNotBreakIt(t *testing.T) {
	file := victimFile(t)
	rounds := 40
	if testing.Short() {
		rounds = 10
	}
	v := startVictim(t, file, plan{Lone: true}.args())
	v.expect("idle")
	for round := range rounds {
		v.tell(`again {"Name":"a","Do":"nap"}`)
		var pid int
		for began := time.Now(); pid == 0; {
			require.Less(t, time.Since(began), soon, "no worker was started")
			for _, child := range childrenOf(v.cmd.Process.Pid) {
				args, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", child))
				if bytes.Count(args, []byte{0}) == 1 { // unlike its parent
					pid = child
				}
			}
		}
		<-time.After(time.Duration(round%8) * 250 * time.Microsecond)
		_ = send(pid, syscall.SIGTERM)
		line, ok := <-v.lines
		for ok && !strings.HasPrefix(line, "done ") && !strings.HasPrefix(line, "failed ") {
			line, ok = <-v.lines
		}
		require.True(t, ok, "the victim has ended")
		require.True(t, strings.HasPrefix(line, "done "), "round %d: %s", round, line)
	}
	v.tell("end")
	assert.True(t, v.wait().Success())
	requireGone(t, file)
}

func TestSIGQUITIsAsItWas(t *testing.T) {
	noneLeft(t)
	dir := t.TempDir()
	got := new(output)
	inPool(t, func(ctx context.Context, p *proc.Pool) {
		files := [2]string{filepath.Join(dir, "up"), filepath.Join(dir, "go")}
		var wg sync.WaitGroup
		wg.Go(func() {
			_, err := signaled.Run(ctx, files)
			var broken *proc.BrokenWorkerError
			if assert.ErrorAs(t, err, &broken) {
				assert.Equal(t, 2, broken.State.ExitCode())
				assert.Contains(t, broken.Stderr, "SIGQUIT: quit")
			}
		})
		assert.NoError(t, send(pidIn(t, files[0]), syscall.SIGQUIT))
		wg.Wait()
		assert.EqualValues(t, 1, p.Stats().Broken)
	}, proc.Command(func(cmd *exec.Cmd) { cmd.Stderr = got }))
	assert.Contains(t, got.String(), "\ngoroutine 1 ")
}

// What a job starts has the dispositions, and the mask, of what this process starts.
func TestSignalsAreAsTheyWereAfterExec(t *testing.T) {
	noneLeft(t)
	asByDefault(t, syscall.SIGHUP, syscall.SIGINT)
	const script = "grep -E '^Sig(Blk|Ign|Cgt)' /proc/self/status"
	out, err := exec.Command("/bin/sh", "-c", script).Output()
	require.NoError(t, err)
	inPool(t, func(ctx context.Context, _ *proc.Pool) {
		text, err := shell.Run(ctx, script)
		assert.NoError(t, err)
		assert.Equal(t, strings.TrimSpace(string(out)), text)
		text, err = shell.Run(ctx, "exec 2>/dev/null; sh -c 'kill -TERM $$; echo alive'; echo $?; sh -c 'kill -HUP $$; echo alive'; echo $?")
		assert.NoError(t, err)
		assert.Equal(t, "143\n129", text)
	})
}

// nohup, say: what the parent was started with goes on to what its workers start.
func TestSignalThatWasIgnoredIsIgnoredAfterExec(t *testing.T) {
	noneLeft(t)
	inPool(t, func(ctx context.Context, _ *proc.Pool) {
		if !signal.Ignored(syscall.SIGHUP) {
			signal.Ignore(syscall.SIGHUP)
			defer signal.Reset(syscall.SIGHUP)
		}
		text, err := shell.Run(ctx, "sh -c 'kill -HUP $$; echo alive'")
		assert.NoError(t, err)
		assert.Equal(t, "alive", text)
	})
}

// P15: nothing is left.

// An end is what the function ending does: it starts a grandchild, writes its number to a
// file, and ends as is said.
type end struct{ File, How string }

var ending = proc.Func("death: end", func(ctx context.Context, e end) (int, error) {
	script := "trap '' INT TERM HUP QUIT PIPE; echo $$ >" + e.File + ".new; mv " + e.File + ".new " + e.File + "; exec sleep 600"
	if e.How == "stopped child" {
		script = "echo $$ >" + e.File + ".new; mv " + e.File + ".new " + e.File + "; kill -STOP $$; exec sleep 600"
	}
	cmd := exec.Command("/bin/sh", "-c", script)
	if e.How == "holds outputs" {
		cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	}
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	for {
		if _, err := os.Stat(e.File); err == nil {
			break
		}
		time.Sleep(time.Millisecond)
	}
	switch e.How {
	case "exit 0":
		os.Exit(0)
	case "exit 3":
		os.Exit(3)
	case "panic":
		panic("on purpose")
	case "panic elsewhere":
		go panic("on purpose")
		select {}
	case "fatal error":
		m := map[int]int{}
		for range 8 {
			go func() {
				for {
					m[1]++
				}
			}()
		}
		select {}
	case "kill":
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	case "term": // of the process alone: it does not hear it
		_ = syscall.Kill(os.Getpid(), syscall.SIGTERM)
	case "stop":
		_ = syscall.Kill(os.Getpid(), syscall.SIGSTOP)
		select {} // this thread may be the last one that stops
	case "deaf":
		select {}
	case "spin":
		for i := 0; ; i++ {
			if i < 0 {
				return i, nil
			}
		}
	case "wait":
		<-ctx.Done()
	case "main thread": // which is where Linux looks for much
		runtime.LockOSThread()
		select {}
	case "thread exit":
		runtime.LockOSThread()
		_, _, _ = syscall.RawSyscall(syscall.SYS_EXIT_GROUP, 4, 0, 0)
	}
	return os.Getpid(), nil
})

// Each call is one that ends its worker, or has it killed.
func TestGrandchildrenDoNotOutliveTheirWorker(t *testing.T) {
	noneLeft(t)
	for _, row := range []struct {
		how      string
		canceled bool // the caller cancels when the grandchild runs
		is       string
	}{
		{"exit 0", false, "broken"},
		{"exit 3", false, "broken"},
		{"panic", false, "panic"},
		{"panic elsewhere", false, "broken"},
		{"fatal error", false, "broken"},
		{"kill", false, "broken"},
		{"thread exit", false, "broken"},
		{"deaf", true, "cause"},
		{"spin", true, "cause"},
		{"stop", true, "cause"},
		{"main thread", true, "cause"},
	} {
		t.Run(row.how, func(t *testing.T) {
			if testing.Short() && row.how == "fatal error" {
				t.Skip("it is slow to print all stacks")
			}
			file := filepath.Join(t.TempDir(), "pid")
			cause := errors.New("on purpose")
			ctx, cancel := context.WithCancelCause(t.Context())
			defer cancel(nil)
			var child int
			inPool(t, func(inner context.Context, p *proc.Pool) {
				var wg sync.WaitGroup
				wg.Go(func() {
					defer func() {
						if value := recover(); value != nil {
							assert.Equal(t, "panic", row.is, value)
						}
					}()
					_, err := ending.Run(proc.With(ctx, p), end{file, row.how})
					var broken *proc.BrokenWorkerError
					switch row.is {
					case "broken":
						assert.ErrorAs(t, err, &broken)
					case "cause":
						assert.Equal(t, cause, err)
					default:
						assert.Fail(t, "no panic", "%v", err)
					}
				})
				child = pidIn(t, file)
				if row.canceled {
					if row.how == "stop" {
						requireStopped(t, p.Stats().Workers[0].Pid)
					}
					cancel(cause)
				}
				wg.Wait()
				requireDead(t, child, "the grandchild is alive, the call has returned") // while the pool goes on
			}, proc.KillAfter(10*time.Millisecond), proc.Command(func(cmd *exec.Cmd) { cmd.Stderr = io.Discard }))
		})
	}
}

func TestGrandchildrenLiveAsLongAsTheirWorker(t *testing.T) {
	noneLeft(t)
	for _, how := range []string{"return", "stopped child", "holds outputs"} {
		t.Run(how, func(t *testing.T) {
			dir := t.TempDir()
			var first, second int
			inPool(t, func(ctx context.Context, p *proc.Pool) {
				worker, err := ending.Run(ctx, end{filepath.Join(dir, "1"), how})
				assert.NoError(t, err)
				first = pidIn(t, filepath.Join(dir, "1"))
				again, err := ending.Run(ctx, end{filepath.Join(dir, "2"), how})
				assert.NoError(t, err)
				assert.Equal(t, worker, again)
				second = pidIn(t, filepath.Join(dir, "2"))
				assert.True(t, isAlive(first), "it was not its worker that has ended, but a job")
			}, proc.Grace(time.Hour), proc.Limit(1))
			requireDead(t, first, "the first one lives, the pool is closed")
			requireDead(t, second, "the second one lives, the pool is closed")
		})
	}
}

func TestGrandchildrenGoWithAWorkerThatRetires(t *testing.T) {
	noneLeft(t)
	for name, opt := range map[string]proc.Option{
		"Retire":      proc.Retire(func(proc.Worker) bool { return true }),
		"IdleTimeout": proc.IdleTimeout(time.Millisecond),
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "pid")
			inPool(t, func(ctx context.Context, _ *proc.Pool) {
				_, err := ending.Run(ctx, end{file, "return"})
				assert.NoError(t, err)
				requireDead(t, pidIn(t, file), "the grandchild lives, its worker has retired")
			}, opt)
		})
	}
}

func TestGrandchildrenGoWithTheWorkerOfALoneCall(t *testing.T) {
	noneLeft(t)
	file := filepath.Join(t.TempDir(), "pid")
	worker, err := ending.Run(t.Context(), end{file, "return"})
	require.NoError(t, err)
	assert.ErrorIs(t, send(worker, 0), syscall.ESRCH, "the worker has ended and was reaped when Run returned")
	requireDead(t, pidIn(t, file), "the grandchild lives")
}

// Nobody waits for a worker that is idle, and it is noticed all the same.
func TestGrandchildrenGoWithAnIdleWorkerThatDies(t *testing.T) {
	noneLeft(t)
	for _, sig := range []syscall.Signal{syscall.SIGKILL, syscall.SIGSEGV, syscall.SIGABRT} {
		t.Run(sig.String(), func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "pid")
			inPool(t, func(ctx context.Context, _ *proc.Pool) {
				worker, err := ending.Run(ctx, end{file, "return"})
				assert.NoError(t, err)
				assert.NoError(t, send(worker, sig))
				requireDead(t, pidIn(t, file), "the grandchild lives")
				assert.Eventually(t, func() bool { return send(worker, 0) != nil }, soon, time.Millisecond, "it is not reaped")
			}, proc.Command(func(cmd *exec.Cmd) { cmd.Stderr = io.Discard }))
		})
	}
}

// A pool ends although its worker was stopped by somebody.
func TestStoppedIdleWorkerIsGoneWithItsPool(t *testing.T) {
	noneLeft(t)
	file := filepath.Join(t.TempDir(), "pid")
	_ = traigo.Run(t.Context(), func(ctx context.Context, s *traigo.Scope) error {
		proc.Open(s, proc.Grace(50*time.Millisecond))
		worker, err := ending.Run(ctx, end{file, "return"})
		assert.NoError(t, err)
		assert.NoError(t, send(worker, syscall.SIGSTOP))
		requireStopped(t, worker)
		return nil
	})
	requireDead(t, pidIn(t, file), "the grandchild lives")
}

// The parent ends in each of these ways, while it has a worker in each of these states.

// A state is one that a worker may be in.
type state struct {
	name string
	plan plan
	stop bool   // it is stopped
	idle bool   // it has no job
	word string // what it says when it is there, if it is not in a job
	ends bool   // the pool has ended
}

var states = []state{
	{name: "waits", plan: plan{Jobs: []order{{Do: "wait", Children: 1}}}},
	{name: "spins", plan: plan{Jobs: []order{{Do: "spin", Children: 1}, {Do: "spin"}, {Do: "spin"}}, Limit: 3}},
	{name: "spins on one processor", plan: plan{Jobs: []order{{Do: "spin", Children: 1}}, Env: []string{"GOMAXPROCS=1"}}},
	{name: "writes", plan: plan{Jobs: []order{{Do: "deaf", Children: 1, Noise: true}}}},
	{name: "lone", plan: plan{Jobs: []order{{Do: "deaf", Children: 2}}, Lone: true}},
	{name: "idle", plan: plan{Jobs: []order{{Do: "return", Children: 1}, {Do: "return", Children: 1}}}, idle: true},
	{name: "stopped", plan: plan{Jobs: []order{{Do: "deaf", Children: 1}}}, stop: true},
	{name: "stopped idle", plan: plan{Jobs: []order{{Do: "return", Children: 1}}}, idle: true, stop: true},
	{name: "has workers", plan: plan{Jobs: []order{{Do: "wait", Depth: 1, Breadth: 2, Children: 1}}}},
	{name: "stopped with workers", plan: plan{Jobs: []order{{Do: "wait", Depth: 1, Breadth: 2, Children: 1}}}, stop: true},
	{name: "started by a thread that has ended", plan: plan{Jobs: []order{{Do: "return", Children: 1}}, Locked: true}, idle: true, stop: true},
	{name: "starts", plan: plan{Jobs: []order{{Do: "return"}}, Env: []string{"VICTIM_INIT=block"}}, word: "init"},
	{name: "stopped while it starts", plan: plan{Jobs: []order{{Do: "return"}}, Env: []string{"VICTIM_INIT=block"}}, word: "init", stop: true},
	{name: "does not serve", plan: plan{Jobs: []order{{Do: "return"}}, Env: []string{"VICTIM_LOST=block"}}, word: "main"},
	{name: "is in Init", plan: plan{Jobs: []order{{Do: "return"}}, Init: "block"}, word: "initial"},
	{name: "leaves", plan: plan{Jobs: []order{{Do: "return", Children: 1}}, Init: "stay"}, idle: true, ends: true},
	{name: "leaves and is stopped", plan: plan{Jobs: []order{{Do: "return", Children: 1}}, Init: "stay"}, idle: true, ends: true, stop: true},
	{name: "has a job when the pool has ended", plan: plan{Jobs: []order{{Do: "deaf", Children: 1}}, KillAfter: time.Hour, Interrupt: true}, ends: true},
	{name: "launched", plan: plan{Jobs: []order{{Do: "return"}}, Launch: true}},
	{name: "launched and stopped", plan: plan{Jobs: []order{{Do: "return"}}, Launch: true}, stop: true},
	{name: "launched with children", plan: plan{Jobs: []order{{Do: "return", Children: 1}}, Launch: true}},
}

// put starts a victim and brings its workers into the state.
func (s state) put(t *testing.T, file string) *victim {
	t.Helper()
	s.plan.Grace = time.Hour
	v := startVictim(t, file, s.plan.args())
	var pids []int
	switch {
	case s.word != "":
		pid, err := strconv.Atoi(v.expect(s.word))
		require.NoError(t, err)
		pids = []int{pid}
	default:
		n := len(s.plan.Jobs)
		for _, o := range s.plan.Jobs {
			for level, of := 1, o.Breadth; level <= o.Depth; level, of = level+1, of*o.Breadth {
				n += of
			}
		}
		pids = v.expectPids(n)
		if s.idle {
			v.expect("idle")
		}
	}
	switch {
	case s.ends && s.idle:
		v.tell("end")
		v.expect("leaving")
	case s.ends: // the worker is told
		v.signal(syscall.SIGTERM)
	}
	if s.stop {
		for _, pid := range pids {
			require.NoError(t, send(-pid, syscall.SIGSTOP))
		}
		for _, pid := range pids {
			requireStopped(t, pid)
		}
	}
	return v
}

func TestNothingIsLeftWhenTheParentIsKilled(t *testing.T) {
	for _, s := range states {
		t.Run(s.name, func(t *testing.T) {
			file := victimFile(t)
			v := s.put(t, file)
			bystander := v.bystander()
			v.kill()
			requireGone(t, file)
			v.rest()
			assert.True(t, isAlive(bystander), "what is in the group of the parent, and not its own, was killed")
		})
	}
}

// bystander starts a process in the group of the victim: of one pipeline, say.
func (v *victim) bystander() (pid int) {
	v.t.Helper()
	cmd := exec.Command("sleep", "600")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pgid: v.cmd.Process.Pid}
	require.NoError(v.t, cmd.Start())
	v.t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	return cmd.Process.Pid
}

// The race detector has a program take a second for its exit, so that a worker can be caught in
// that.
func TestOnlyWorkersGoWithAParentThatIsKilledWhileTheyLeave(t *testing.T) {
	t.Parallel()
	goCommand(t)
	requireRace(t)
	built, err := builtVictimWithRace()
	require.NoError(t, err)
	file := ownFile(t, built)
	for round := range 12 {
		v := startVictim(t, file, plan{Jobs: []order{{Do: "return", Children: 1}}, Grace: time.Hour, Launch: round%4 == 3}.args(), func(cmd *exec.Cmd) {
			cmd.Env = append(os.Environ(), "GORACE=atexit_sleep_ms=500")
		})
		bystander := v.bystander()
		v.expectPids(1)
		if round%4 != 3 {
			v.expect("idle")
			v.tell("end")
			<-time.After(time.Duration(round) * 20 * time.Millisecond)
		}
		v.kill()
		requireGone(t, file, "round %d", round)
		v.rest()
		require.True(t, isAlive(bystander), "round %d: what is in the group of the parent, and not its own, was killed", round)
	}
}

// Its grace covers the exit too.
func TestWorkerThatDoesNotComeToTheEndOfItsExitIsKilledAfterItsGrace(t *testing.T) {
	t.Parallel()
	goCommand(t)
	requireRace(t)
	built, err := builtVictimWithRace()
	require.NoError(t, err)
	file := ownFile(t, built)
	for range 5 { // its exit is not slow each time
		v := startVictim(t, file, plan{
			Jobs:  []order{{Do: "return", Children: 1}},
			Grace: 300 * time.Millisecond,
			Env:   []string{"GORACE=atexit_sleep_ms=100000"},
		}.args(), func(cmd *exec.Cmd) { cmd.Env = append(os.Environ(), "GORACE=atexit_sleep_ms=0") })
		v.expect("idle")
		v.tell("end")
		v.expect("end")
		v.wait()
		requireGone(t, file)
	}
}

func TestNothingIsLeftHoweverTheParentEnds(t *testing.T) {
	some := []state{states[0], states[1], states[6], states[8]}
	if testing.Short() {
		some = some[:1]
	}
	for _, s := range some {
		for _, how := range []string{"exit 0", "exit 3", "panic", "fatal", "segv", "return", "exec", "SIGTERM", "SIGHUP", "SIGSTOP"} {
			t.Run(s.name+" "+how, func(t *testing.T) {
				file := victimFile(t)
				v := s.put(t, file)
				switch how {
				case "SIGTERM":
					v.signal(syscall.SIGTERM)
				case "SIGHUP":
					v.signal(syscall.SIGHUP)
				case "SIGSTOP":
					v.signal(syscall.SIGSTOP)
					requireStopped(t, v.cmd.Process.Pid)
					v.signal(syscall.SIGKILL)
				default:
					v.tell(how)
				}
				if how != "exec" { // that process goes on, as another program
					v.wait()
				} else if s.name == "stopped" {
					// Nobody has died, so nothing wakes the worker. It ends when somebody does. If
					// the thread that has started it was another than the one that execs, it has
					// been woken.
					waitUntil(t, func() bool { return !slices.Contains(running(file), v.cmd.Process.Pid) })
					for _, pid := range running(file) {
						_ = send(pid, syscall.SIGCONT)
					}
				}
				requireGone(t, file)
			})
		}
	}
}

// A worker writes to a pipe that nobody reads any more, and must not die of that before it
// has ended its group.
func TestGrandchildrenOfAWorkerThatWritesGoWithTheParent(t *testing.T) {
	file := victimFile(t)
	rounds := 20
	if testing.Short() {
		rounds = 4
	}
	for round := range rounds {
		v := startVictim(t, file, plan{Jobs: []order{{Do: "deaf", Children: 2, Noise: true}}}.args())
		v.expectPids(1)
		v.kill()
		requireGone(t, file, "round %d", round)
	}
}

// At any moment of a start: SIGKILL comes a little later each time.
func TestNothingIsLeftWhenTheParentIsKilledWhileItStartsAWorker(t *testing.T) {
	t.Parallel()
	file := victimFile(t)
	rounds := 60
	if testing.Short() {
		rounds = 8
	}
	// How long does a start take, here and now?
	v := startVictim(t, file, plan{Jobs: []order{{Do: "deaf"}}}.args())
	v.expect("begin")
	began := time.Now()
	v.expectPids(1)
	span := max(6*time.Millisecond, time.Since(began)*3/2)
	v.kill()
	requireGone(t, file)
	t.Logf("a start takes %v", time.Since(began))

	for _, row := range []struct {
		name         string
		plan         plan
		stopsParent  bool
		stopsWorkers bool
	}{
		{"", plan{Jobs: []order{{Do: "deaf"}}}, false, false},
		{"the parent is stopped first", plan{Jobs: []order{{Do: "deaf"}}}, true, false},
		{"there are grandchildren", plan{Jobs: []order{{Do: "deaf", Children: 2}, {Do: "deaf", Depth: 1, Breadth: 1, Children: 1}}}, false, false},
		{"workers are stopped", plan{Jobs: []order{{Do: "deaf", Children: 1}, {Do: "deaf", Children: 1}}}, false, true},
		{"all are stopped", plan{Jobs: []order{{Do: "deaf", Children: 1}}, Lone: true}, true, true},
	} {
		t.Run(cmp.Or(row.name, "the parent is killed"), func(t *testing.T) {
			for round := range rounds {
				delay := span * time.Duration(round) / time.Duration(rounds)
				v := startVictim(t, file, row.plan.args())
				v.expect("begin")
				<-time.After(delay)
				if row.stopsParent {
					v.signal(syscall.SIGSTOP)
				}
				if row.stopsWorkers {
					for _, pid := range running(file) {
						if pid != v.cmd.Process.Pid && send(pid, syscall.SIGSTOP) == nil {
							require.Eventually(t, func() bool { return isStopped(pid) || !isAlive(pid) }, soon, time.Millisecond)
						}
					}
				}
				v.kill()
				requireGone(t, file, "killed %v after the start", delay)
			}
		})
	}
}

// late writes a program that waits until its parent is dead, and then becomes the victim: a
// worker for whose start the parent has not lived long enough.
func late(t *testing.T, file string) (script string) {
	t.Helper()
	script = filepath.Join(t.TempDir(), "late")
	text := fmt.Sprintf("#!/bin/sh\nparent=$PPID\necho late $$\nwhile [ -d /proc/$parent ]; do sleep 0.01; done\nexec %s\n", file)
	require.NoError(t, os.WriteFile(script, []byte(text), 0o700))
	return script
}

func TestWorkerWhoseParentHasDiedEndsBeforeMain(t *testing.T) {
	file := victimFile(t)
	script := late(t, file)
	for _, env := range []string{"", "VICTIM_LOST=block"} { // with and without Serve
		v := startVictim(t, file, plan{Jobs: []order{{Do: "return"}}, Path: script, Env: []string{env, "VICTIM_INIT=block"}}.args())
		pid, err := strconv.Atoi(v.expect("late"))
		require.NoError(t, err)
		v.kill()
		assert.Empty(t, v.rest(), "it must not even come to the packages that are initialized after proc, let alone to main")
		requireDead(t, pid, "the worker lives")
		requireGone(t, file)
	}
}

// Path is another program that has the same functions.
func TestWorkersMayRunAnotherProgram(t *testing.T) {
	file, other := victimFile(t), victimFile(t)
	v := startVictim(t, file, plan{Jobs: []order{{Do: "return"}}, Limit: 1, Path: other}.args())
	v.expect("idle")
	r := v.again(order{Do: "return"})
	assert.Equal(t, []int{r.Pid}, running(other))
	assert.Equal(t, []int{v.cmd.Process.Pid}, running(file))
	assert.Equal(t, v.cmd.Process.Pid, r.Parent)
	assert.Equal(t, []string{file}, r.Args, "argv[0] is the parent's")
	v.kill()
	requireGone(t, other)
}

// The signal at the death of the parent comes too early where the thread that has started the
// worker ends. It must do no harm.
func TestWorkerOutlivesTheThreadThatStartedIt(t *testing.T) {
	file := victimFile(t)
	v := startVictim(t, file, plan{Jobs: []order{{Do: "return"}}, Locked: true, Limit: 1}.args())
	v.expect("idle")
	first := v.again(order{Do: "return"})
	for range 5 {
		assert.Equal(t, first.Pid, v.again(order{Do: "return"}).Pid)
	}
	assert.Equal(t, v.cmd.Process.Pid, first.Parent)
	v.tell("end")
	assert.Equal(t, "started=1 broken=0 killed=0 calls=7", v.expect("stats"))
	v.wait()
	requireGone(t, file)
}

func TestTreeOfFifteenIsGoneWithItsTop(t *testing.T) {
	for _, stopped := range []bool{false, true} {
		t.Run(fmt.Sprint("stopped=", stopped), func(t *testing.T) {
			file := victimFile(t)
			o := order{Do: "wait", Depth: 2, Breadth: 2}
			v := startVictim(t, file, plan{Jobs: []order{o, o}, Limit: 2}.args())
			pids := v.expectPids(14)
			require.Len(t, running(file), 15)
			if stopped { // the middle
				for _, pid := range pids {
					if stat := procStat(pid); len(stat) > 1 && stat[1] == strconv.Itoa(v.cmd.Process.Pid) {
						require.NoError(t, send(pid, syscall.SIGSTOP))
						requireStopped(t, pid)
					}
				}
			}
			began := time.Now()
			v.signal(syscall.SIGKILL)
			for len(running(file)) > 0 && time.Since(began) < soon {
				runtime.Gosched()
			}
			t.Logf("gone after %v", time.Since(began))
			v.wait()
			requireGone(t, file)
		})
	}
}

func TestTreeIsGoneWhenItsMiddleIsKilled(t *testing.T) {
	file := victimFile(t)
	v := startVictim(t, file, plan{Jobs: []order{{Do: "wait", Depth: 2, Breadth: 2, Children: 1}}, Limit: 1}.args())
	v.expectPids(7)
	for _, pid := range running(file) {
		if stat := procStat(pid); len(stat) > 1 && stat[1] == strconv.Itoa(v.cmd.Process.Pid) {
			require.NoError(t, send(pid, syscall.SIGKILL))
		}
	}
	assert.Contains(t, v.expect("failed"), "killed")
	require.Eventually(t, func() bool { return slices.Equal(running(file), []int{v.cmd.Process.Pid}) }, soon, time.Millisecond)
	v.tell("end")
	assert.True(t, v.wait().Success())
}

// In a container a program is often the process with the number 1.
func TestParentMayBeTheFirstProcess(t *testing.T) {
	unshare, err := exec.LookPath("unshare")
	if err != nil {
		t.Skip("there is no unshare")
	}
	args := []string{"--pid", "--fork", "--mount-proc", "--kill-child"}
	if os.Getuid() != 0 {
		args = append(args, "--user", "--map-root-user")
	}
	if out, err := exec.Command(unshare, append(args, "true")...).CombinedOutput(); err != nil {
		t.Skipf("a namespace cannot be made: %v: %s", err, out)
	}
	file := victimFile(t)
	p := plan{Jobs: []order{{Name: "a", Do: "return", Depth: 1, Breadth: 2, Children: 1}}, Limit: 1, KillAfter: time.Hour, Grace: time.Hour}
	v := startVictim(t, unshare, append(append(args, file), p.args()...))
	v.expectPids(3)
	var r report
	require.NoError(t, json.Unmarshal([]byte(strings.TrimPrefix(v.expect("done"), "a ")), &r))
	assert.Equal(t, 1, r.Parent)
	v.tell("end")
	assert.Equal(t, "started=1 broken=0 killed=0 calls=1", v.expect("stats"))
	assert.True(t, v.wait().Success())
	requireGone(t, file)
}

// Counts is what the victim says it has.
type counts struct{ Files, Goroutines, Threads, Children int }

func (v *victim) expectCounts(word string) (c counts) {
	v.t.Helper()
	require.NoError(v.t, json.Unmarshal([]byte(v.expect(word)), &c))
	return c
}

func TestThreeHundredKillsLeaveNothing(t *testing.T) {
	file := victimFile(t)
	n := 300
	if testing.Short() {
		n = 30
	}
	v := startVictim(t, file, []string{"kills", strconv.Itoa(n)})
	before := v.expectCounts("before")
	assert.Equal(t, "busy=0 idle=0 workers=0", v.expect("stats"))
	assert.Equal(t, fmt.Sprint(n, " <nil>"), v.expect("ended"))
	after := v.expectCounts("after")
	assert.LessOrEqual(t, after.Files, before.Files, "files")
	assert.LessOrEqual(t, after.Goroutines, before.Goroutines, "goroutines")
	assert.Zero(t, after.Children, "processes, or zombies")
	v.wait()
	requireGone(t, file)
}

func TestNoThreadIsHeldPerWorker(t *testing.T) {
	file := victimFile(t)
	n := 40
	if testing.Short() {
		n = 24
	}
	v := startVictim(t, file, []string{"threads", strconv.Itoa(n)})
	before, after := v.expectCounts("before"), v.expectCounts("after")
	require.Equal(t, n, after.Children)
	started := after.Children - before.Children
	assert.Less(t, after.Threads-before.Threads, started/2, "%d workers, and threads from %d to %d", started, before.Threads, after.Threads)
	v.expect("end")
	assert.True(t, v.wait().Success())
	requireGone(t, file)
}

// P14: signals of a terminal reach jobs through the parent.

// openPty returns the two ends of a pseudo terminal.
func openPty(t *testing.T) (master, slave *os.File) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Skip("no pseudo terminal: ", err)
	}
	t.Cleanup(func() { _ = master.Close() })
	var unlock, number int32
	raw, err := master.SyscallConn()
	require.NoError(t, err)
	require.NoError(t, raw.Control(func(fd uintptr) {
		_, _, errno := syscall.Syscall(syscall.SYS_IOCTL, fd, syscall.TIOCSPTLCK, uintptr(unsafe.Pointer(&unlock)))
		assert.Zero(t, errno)
		_, _, errno = syscall.Syscall(syscall.SYS_IOCTL, fd, syscall.TIOCGPTN, uintptr(unsafe.Pointer(&number)))
		assert.Zero(t, errno)
	}))
	slave, err = os.OpenFile(fmt.Sprint("/dev/pts/", number), os.O_RDWR|syscall.O_NOCTTY, 0)
	require.NoError(t, err)
	return master, slave
}

// startOnPty starts a victim as the leader of a session with a terminal, and returns the
// terminal's other end.
func startOnPty(t *testing.T, file string, p plan) (*victim, *os.File) {
	t.Helper()
	master, slave := openPty(t)
	v := startVictim(t, file, p.args(), func(cmd *exec.Cmd) {
		cmd.Stdin, cmd.Stdout, cmd.Stderr = slave, slave, slave
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true, Ctty: 0}
	})
	require.NoError(t, slave.Close())
	go v.read(io.NopCloser(master))
	return v, master
}

func TestControlCReachesJobsThroughTheParent(t *testing.T) {
	file := victimFile(t)
	v, master := startOnPty(t, file, plan{
		Jobs:      []order{{Name: "a", Do: "wait"}, {Name: "b", Do: "wait", Depth: 1, Breadth: 1}},
		Limit:     2,
		KillAfter: time.Hour,
		Grace:     time.Hour,
		Interrupt: true,
	})
	v.expectPids(3)
	_, err := master.WriteString("\x03")
	require.NoError(t, err)
	var heard []string
	for range 3 {
		heard = append(heard, strings.Fields(v.expect("heard"))[0])
	}
	slices.Sort(heard)
	assert.Equal(t, []string{"a", "b", "b"}, heard)
	assert.Equal(t, "started=2 broken=0 killed=0 calls=2", v.expect("stats"), "the workers have answered")
	v.wait()
	requireGone(t, file)
}

func TestNothingIsLeftWhenTheTerminalIsGone(t *testing.T) {
	file := victimFile(t)
	v, master := startOnPty(t, file, plan{Jobs: []order{{Do: "wait", Children: 1}, {Do: "deaf"}}, Limit: 2, KillAfter: time.Hour, Grace: time.Hour})
	v.expectPids(2)
	require.NoError(t, master.Close())
	state := v.wait()
	assert.Equal(t, "signal: hangup", state.String())
	requireGone(t, file)
}

// systemctl stop, say, sends the signal to all processes of a service.
func TestSignalToAllProcessesReachesJobsThroughTheParent(t *testing.T) {
	file := victimFile(t)
	v := startVictim(t, file, plan{
		Jobs:      []order{{Name: "a", Do: "wait"}, {Name: "b", Do: "wait", Depth: 1, Breadth: 1}},
		Limit:     2,
		KillAfter: time.Hour,
		Grace:     time.Hour,
		Interrupt: true,
	}.args())
	workers := v.expectPids(3)
	for _, pid := range append(workers, v.cmd.Process.Pid) {
		require.NoError(t, send(pid, syscall.SIGTERM))
	}
	for range 3 {
		v.expect("heard")
	}
	assert.Equal(t, "started=2 broken=0 killed=0 calls=2", v.expect("stats"), "the workers have answered")
	assert.True(t, v.wait().Success())
	requireGone(t, file)
	assert.Empty(t, v.stderr())
}

// P16: who is a worker.

// markOf returns the environment variables by which a victim marks its worker, and by what
// number it calls itself there. The victim is dead.
func markOf(t *testing.T) (mark []string, parent int) {
	t.Helper()
	dir, file := t.TempDir(), victimFile(t)
	script, dump := filepath.Join(dir, "dump"), filepath.Join(dir, "environ")
	text := fmt.Sprintf("#!/bin/sh\ncat /proc/$$/environ >%[1]s.new\nmv %[1]s.new %[1]s\nexec %[2]s\n", dump, file)
	require.NoError(t, os.WriteFile(script, []byte(text), 0o700))
	v := startVictim(t, file, plan{Jobs: []order{{Do: "deaf"}}, Path: script}.args())
	v.expectPids(1) // by way of the script it is a worker
	all, err := os.ReadFile(dump)
	require.NoError(t, err)
	v.kill()
	requireGone(t, file)
	have := os.Environ()
	for e := range strings.SplitSeq(strings.TrimSuffix(string(all), "\x00"), "\x00") {
		if !slices.Contains(have, e) && e != "" {
			mark = append(mark, e)
		}
	}
	require.NotEmpty(t, mark)
	require.Contains(t, strings.Join(mark, " "), strconv.Itoa(v.cmd.Process.Pid), "the mark names who has made the socket")
	return mark, v.cmd.Process.Pid
}

// renamed returns the mark with another number for the parent.
func renamed(mark []string, parent int, to string) (other []string) {
	for _, e := range mark {
		other = append(other, strings.ReplaceAll(e, strconv.Itoa(parent), to))
	}
	return other
}

// socketFiles returns a pair of sockets that this process has made.
func socketFiles(t *testing.T) (ours, theirs *os.File) {
	t.Helper()
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	require.NoError(t, err)
	ours, theirs = os.NewFile(uintptr(fds[0]), "ours"), os.NewFile(uintptr(fds[1]), "theirs")
	t.Cleanup(func() { _, _ = ours.Close(), theirs.Close() })
	return ours, theirs
}

func TestMarkerAloneMakesNoWorker(t *testing.T) {
	mark, parent := markOf(t)
	self := strconv.Itoa(os.Getpid())
	file := victimFile(t)
	pipe, write, err := os.Pipe()
	require.NoError(t, err)
	defer func() { _, _ = pipe.Close(), write.Close() }()
	regular, err := os.CreateTemp(t.TempDir(), "regular")
	require.NoError(t, err)
	defer func() { _ = regular.Close() }()
	_, socket := socketFiles(t)

	for _, row := range []struct {
		name string
		mark []string
		fd   *os.File
	}{
		{"nothing at fd 3", mark, nil},
		{"nothing at fd 3, and this process is named", renamed(mark, parent, self), nil},
		{"a pipe", renamed(mark, parent, self), pipe},
		{"a file", renamed(mark, parent, self), regular},
		{"a socket of another process than is named", mark, socket},
		{"a socket, and process 0 is named", renamed(mark, parent, "0"), socket},
		{"a socket, and process 1 is named", renamed(mark, parent, "1"), socket},
		{"a socket, and process -1 is named", renamed(mark, parent, "-1"), socket},
		{"a socket, and nobody is named", renamed(mark, parent, ""), socket},
		{"a socket, and no number is named", renamed(mark, parent, "x"), socket},
		{"a socket, and a large number is named", renamed(mark, parent, "99999999999999999999"), socket},
	} {
		t.Run(row.name, func(t *testing.T) {
			v := startVictim(t, file, []string{"plain"}, func(cmd *exec.Cmd) {
				cmd.Env = append(os.Environ(), row.mark...)
				if row.fd != nil {
					cmd.ExtraFiles = []*os.File{row.fd}
				}
			})
			line := v.expect("plain")
			assert.True(t, strings.HasPrefix(line, `args=["plain"] `), line)
			if row.fd != nil {
				assert.Contains(t, line, fmt.Sprintf("fd3=%d closed=false", inodeOf(int(row.fd.Fd()))[1]), "the descriptor is the program's own")
			}
			assert.Contains(t, line, "ours=true call=<nil>", "it can have workers")
			assert.True(t, v.wait().Success())
			requireGone(t, file)
		})
	}
}

// What the test above shows is worth something if the rest of the mark is right.
func TestMarkerAndSocketOfOneProcessMakeAWorker(t *testing.T) {
	mark, parent := markOf(t)
	file := victimFile(t)
	ours, theirs := socketFiles(t)
	v := startVictim(t, file, []string{"plain"}, func(cmd *exec.Cmd) {
		cmd.Env = append(os.Environ(), renamed(mark, parent, strconv.Itoa(os.Getpid()))...)
		cmd.ExtraFiles = []*os.File{theirs}
	})
	require.NoError(t, theirs.Close())
	var hello [1]byte
	_, err := io.ReadFull(ours, hello[:])
	require.NoError(t, err)
	require.NoError(t, ours.Close())
	assert.Equal(t, "signal: killed", v.wait().String(), "its parent has gone")
	assert.Empty(t, v.rest())
}

func TestAnotherUserIsNoWorker(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can start a process of another user")
	}
	const nobody = 65534
	file := victimFile(t)
	for _, row := range []struct {
		name   string
		change func(*exec.Cmd)
	}{
		{"another user", func(cmd *exec.Cmd) {
			cmd.Path = file
			cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
		}},
		{"set-uid", func(cmd *exec.Cmd) { cmd.Path = setID(t, file, nobody, nobody, os.ModeSetuid) }},
		{"set-gid", func(cmd *exec.Cmd) { cmd.Path = setID(t, file, 0, nobody, os.ModeSetgid) }},
	} {
		t.Run(row.name, func(t *testing.T) {
			dir := filepath.Dir(file)
			require.NoError(t, os.Chmod(dir, 0o755))
			require.NoError(t, os.Chmod(filepath.Dir(dir), 0o755)) // both are of this test
			for ; dir != "/"; dir = filepath.Dir(dir) {
				if info, err := os.Stat(dir); err != nil || info.Mode().Perm()&1 == 0 {
					t.Skip("others cannot start a program in ", dir)
				}
			}
			out, err := os.CreateTemp(t.TempDir(), "out")
			require.NoError(t, err)
			defer func() { _ = out.Close() }()
			inPool(t, func(ctx context.Context, _ *proc.Pool) {
				_, err := looking.Run(ctx, 0)
				var broken *proc.BrokenWorkerError
				assert.ErrorAs(t, err, &broken)
				assert.ErrorIs(t, err, proc.ErrNotServed)
			}, proc.Command(func(cmd *exec.Cmd) {
				cmd.Stdout = out
				row.change(cmd)
			}))
			text, err := os.ReadFile(out.Name())
			require.NoError(t, err)
			if row.name == "another user" {
				assert.Empty(t, string(text), "nothing is started: it would run main as well")
				return
			}
			assert.Contains(t, string(text), "main ", "it has run as a program of its own, to its end")
		})
	}
}

// setID returns a copy of a program that runs with the rights of its owner, or its group.
func setID(t *testing.T, program string, uid, gid int, bit os.FileMode) string {
	t.Helper()
	data, err := os.ReadFile(program)
	require.NoError(t, err)
	file := filepath.Join(filepath.Dir(program), fmt.Sprint("set", uid, gid))
	require.NoError(t, os.WriteFile(file, data, 0o755))
	require.NoError(t, os.Chown(file, uid, gid))
	require.NoError(t, os.Chmod(file, 0o755|bit))
	return file
}

func TestMarkerAndSocketDoNotReachGrandchildren(t *testing.T) {
	noneLeft(t)
	inPool(t, func(ctx context.Context, _ *proc.Pool) {
		l, err := looking.Run(ctx, 0)
		assert.NoError(t, err)
		assert.ElementsMatch(t, ownEnviron(os.Environ()), ownEnviron(l.Environ), "of the worker itself")

		text, err := shell.Run(ctx, "cat /proc/$$/environ | tr '\\0' '\\n'")
		assert.NoError(t, err)
		assert.ElementsMatch(t, ownEnviron(os.Environ()), ownEnviron(strings.Split(text, "\n")))

		text, err = shell.Run(ctx, "exec 4</proc/self/fd; ls -l /proc/$$/fd")
		assert.NoError(t, err)
		assert.NotContains(t, text, "socket:")
		assert.NotContains(t, text, " 3 ->")
	})
}

// A package may start processes when it is initialized, before main has called Serve.
func TestMarkerAndSocketDoNotReachWhatIsStartedBeforeMain(t *testing.T) {
	file := victimFile(t)
	v := startVictim(t, file, plan{Jobs: []order{{Do: "return"}}, Env: []string{"VICTIM_INIT=start"}}.args())
	line := v.expect("inherited")
	assert.Contains(t, line, "VICTIM_INIT=start")
	assert.NotContains(t, line, "socket:")
	pid := v.cmd.Process.Pid
	for field := range strings.FieldsSeq(strings.Trim(line, `"`)) {
		if name, value, ok := strings.Cut(field, "="); ok && os.Getenv(name) != value {
			assert.NotContains(t, value, strconv.Itoa(pid), "the mark names the parent")
			assert.NotContains(t, name, "TRAIGO")
		}
	}
	v.expect("idle") // it is a worker itself
	v.tell("end")
	assert.True(t, v.wait().Success())
	requireGone(t, file)
}

// ownEnviron leaves out of an environment what other tests of this program set in all its processes.
func ownEnviron(env []string) []string {
	return slices.DeleteFunc(env, func(e string) bool { return strings.HasPrefix(e, "GORACE=") })
}

// A process of the same program that a job starts by hand is one that was started by hand.
func TestProgramThatAJobStartsIsNoWorker(t *testing.T) {
	file := victimFile(t)
	v := startVictim(t, file, plan{Jobs: []order{{Do: "return"}}}.args())
	v.expect("idle")
	r := v.again(order{Name: "a", Do: "plain"})
	assert.Contains(t, r.Text, `plain args=["plain"] `)
	assert.Contains(t, r.Text, "ours=true call=<nil>")
	v.tell("end")
	v.wait()
	requireGone(t, file)
}

// The pair of sockets has no name, and nobody listens.
func TestWorkerHasNoAddress(t *testing.T) {
	noneLeft(t)
	listening := func(pid int) (names []string) {
		links, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
		for _, file := range []string{"unix", "tcp", "tcp6", "udp", "udp6"} {
			table, _ := os.ReadFile(fmt.Sprintf("/proc/%d/net/%s", pid, file))
			for line := range strings.SplitSeq(string(table), "\n") {
				fields := strings.Fields(line)
				for _, link := range links {
					to, _ := os.Readlink(link)
					inode := strings.TrimSuffix(strings.TrimPrefix(to, "socket:["), "]")
					if inode == to || !slices.Contains(fields, inode) {
						continue
					}
					if file != "unix" || len(fields) > 7 {
						names = append(names, line)
					}
				}
			}
		}
		return names
	}
	before := listening(os.Getpid())
	inPool(t, func(ctx context.Context, p *proc.Pool) {
		_, err := looking.Run(ctx, 0)
		assert.NoError(t, err)
		assert.Empty(t, listening(p.Stats().Workers[0].Pid))
		assert.ElementsMatch(t, before, listening(os.Getpid()))
	})
}

// A worker has only what was registered in it.
func TestOnlyRegisteredNamesRun(t *testing.T) {
	file := victimFile(t)
	v := startVictim(t, file, plan{
		Jobs: []order{{Name: "a", Do: "return"}},
		Env:  []string{"VICTIM_EXTRA="},
	}.args(), func(cmd *exec.Cmd) { cmd.Env = append(os.Environ(), "VICTIM_EXTRA=1") })
	v.expect("idle")
	v.tell("extra")
	line := v.expect("extra")
	assert.Contains(t, line, `\"extra\"`, "the error names it")
	assert.Contains(t, line, "notserved=false")
	v.again(order{Do: "return"}) // the worker is as good as before
	v.tell("end")
	assert.Equal(t, "started=1 broken=0 killed=0 calls=3", v.expect("stats"))
	v.wait()
	requireGone(t, file)
}
