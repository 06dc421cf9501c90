//go:build linux

package actor_test

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"runtime/debug"
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
	"github.com/traigo/traigo/actor"
)

// What the tests of the life of processes share.
//
//	do              a function that does one of many things, as its order says
//	startDoing      starts an actor that can do that
//	call            runs do on a goroutine; its result is asked for later
//	upIn            waits until a file says that a function runs
//	root            a process of the test binary that is the root of a tree of its own
//	logged          what is logged from now on
//	written         what actors write on standard error from now on

// An order says what is to be done.
type order struct {
	Do   string
	N    int
	For  time.Duration
	Path string // a file: the process is written to it when the function runs
	Name string
	Next *order // for an actor below
}

// A report is the result of an order.
type report struct {
	ID         actor.ID
	Parent     int
	Group      int
	Args       []string
	Env        []string
	Dir        string
	Out        [2]uint64
	Scope      string
	Text       string
	Registrar  string
	Took       time.Duration
	HasStarted bool // what stands before Serve
}

var errLife = errors.New("life: it fails")

// A lifeError is one that has a value.
type lifeError struct{ N int }

func (e *lifeError) Error() string { return "life: number " + strconv.Itoa(e.N) }

// do calls itself, so it is no initialized variable.
var do *actor.Function[order, report]

var hasStarted bool

func init() {
	hasStarted = true
	traigo.RegisterError(errLife)
	traigo.RegisterErrorType[*lifeError]()
	do = actor.Func("life.do", func(ctx context.Context, o order) (report, error) {
		if o.Path != "" {
			if err := writeWhole(o.Path, strconv.Itoa(os.Getpid())); err != nil {
				return report{}, err
			}
		}
		return act(ctx, o)
	})
}

// writeWhole writes a file that nobody sees half written.
func writeWhole(path, text string) error {
	if err := os.WriteFile(path+".new", []byte(text), 0o600); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

// fileNow returns the text of a file; "" if that is not there.
func fileNow(path string) string {
	text, _ := os.ReadFile(path)
	return string(text)
}

func say(format string, args ...any) {
	_, _ = os.Stdout.WriteString(fmt.Sprintf(format, args...) + "\n")
}

func inodeOf(fd int) [2]uint64 {
	var stat syscall.Stat_t
	_ = syscall.Fstat(fd, &stat)
	return [2]uint64{stat.Dev, stat.Ino}
}

var mutex sync.Mutex

func act(ctx context.Context, o order) (r report, err error) {
	r = report{ID: actor.Self()}
	switch o.Do {
	case "look":
		r.Parent, r.Group = os.Getppid(), syscall.Getpgrp()
		r.Args, r.Env, r.Out = os.Args, os.Environ(), inodeOf(1)
		r.Dir, _ = os.Getwd()
		r.Scope = traigo.Current(ctx).Path()
		r.Registrar, r.HasStarted = actor.Registrar(), hasStarted
		return r, nil
	case "wait": // until it is canceled
		<-ctx.Done()
		return r, context.Cause(ctx)
	case "linger": // and then for a while
		<-ctx.Done()
		time.Sleep(o.For)
		return r, context.Cause(ctx)
	case "slowly": // and then it takes a while, and says so
		<-ctx.Done()
		time.Sleep(o.For)
		_ = writeWhole(o.Name, "returned")
		return r, context.Cause(ctx)
	case "note": // writes down why it was canceled
		<-ctx.Done()
		_ = writeWhole(o.Name, fmt.Sprintf("%v", context.Cause(ctx)))
		return r, context.Cause(ctx)
	case "sleep": // whether it is canceled or not
		time.Sleep(o.For)
		return r, nil
	case "complain": // it is canceled, and fails besides
		<-ctx.Done()
		return r, errors.Join(&lifeError{o.N}, context.Cause(ctx))
	case "stopping": // soft stop
		select {
		case <-traigo.Stopping(ctx):
			time.Sleep(o.For)
			r.Text = "stopped softly"
			return r, nil
		case <-ctx.Done():
			return r, context.Cause(ctx)
		}
	case "deaf":
		forever()
	case "term": // it tells when the signal comes, and does not end
		c := make(chan os.Signal, 1)
		signal.Notify(c, syscall.SIGTERM)
		<-c
		_ = writeWhole(o.Name, strconv.FormatInt(time.Now().UnixNano(), 10))
		forever()
	case "spin":
		for n := 0; ; n++ {
			o.N = n
		}
	case "fail":
		return r, &lifeError{o.N}
	case "nap": // fails a little later
		select {
		case <-time.After(o.For):
			return r, &lifeError{o.N}
		case <-ctx.Done():
			return r, context.Cause(ctx)
		}
	case "panic":
		panic("life: it panics")
	case "elsewhere": // on a goroutine that is nobody's
		go func() { panic("life: it panics elsewhere") }()
		forever()
	case "fatal":
		fmt.Fprintln(os.Stderr, "the last words")
		mutex.Unlock() // a fatal error
	case "exit":
		fmt.Fprintln(os.Stderr, "the last words")
		os.Exit(o.N)
	case "segv":
		debug.SetPanicOnFault(false)
		address := uintptr(0xdead0000)
		o.N = *(*int)(*(*unsafe.Pointer)(unsafe.Pointer(&address)))
	case "signal": // to itself alone
		fmt.Fprintln(os.Stderr, "the last words")
		_ = send2self(syscall.Signal(o.N))
		forever()
	case "task": // what is spawned in the actor's scope does what is next, and the call has ended
		scope := traigo.Current(ctx)
		scope.Spawn(func(ctx context.Context) error {
			_, err := act(ctx, *o.Next)
			return err
		}, traigo.Name("background"))
		return r, nil
	case "gated": // what is next, when a file is there
		for {
			if _, err := os.Stat(o.Name); err == nil {
				return act(ctx, *o.Next)
			}
			select {
			case <-time.After(time.Millisecond):
			case <-ctx.Done():
				return r, context.Cause(ctx)
			}
		}
	case "child": // an actor below
		return below(ctx, o)
	case "tree":
		return tree(ctx, o)
	case "find":
		a, err := actor.Find(ctx, traigo.Current(ctx), o.Name)
		if err != nil {
			return r, err
		}
		return do.Run(ctx, a, *o.Next)
	case "cancel": // another one
		a, err := actor.Find(ctx, traigo.Current(ctx), o.Name)
		if err != nil {
			return r, err
		}
		a.Cancel(errLife)
		return r, a.Wait(ctx)
	case "kill": // one that it has found
		a, err := actor.Find(ctx, traigo.Current(ctx), o.Name)
		if err != nil {
			return r, err
		}
		defer func() { r.Text = fmt.Sprint(recover()) }()
		a.Kill()
		return r, nil
	case "sh":
		cmd := exec.Command("/bin/sh", "-c", o.Name)
		cmd.Stderr = os.Stderr
		out, err := cmd.Output()
		r.Text = strings.TrimSpace(string(out))
		return r, err
	case "cleanup": // leaves a file when it is canceled
		<-ctx.Done()
		_ = writeWhole(o.Name, "cleaned up")
		return r, context.Cause(ctx)
	case "cause":
		<-ctx.Done()
		r.Text = fmt.Sprintf("%v", context.Cause(ctx))
		return r, nil
	}
	return r, fmt.Errorf("there is no %q", o.Do)
}

func forever() {
	for {
		time.Sleep(time.Hour)
	}
}

func send2self(sig syscall.Signal) error { return syscall.Kill(os.Getpid(), sig) }

// below starts an actor below this one, and has it do what is next. For is its Grace.
func below(ctx context.Context, o order) (report, error) {
	opts := []actor.Option{actor.Expose(do)}
	if o.For > 0 {
		opts = append(opts, actor.Grace(o.For))
	}
	if o.N&1 != 0 {
		opts = append(opts, actor.Findable())
	}
	a, err := actor.Start(ctx, traigo.Current(ctx), cmp.Or(o.Name, "leaf"), opts...)
	if err != nil {
		return report{}, err
	}
	if o.Next == nil {
		return report{ID: a.ID()}, nil
	}
	return do.Run(ctx, a, *o.Next)
}

// tree has N actors below this one, which have as many, as often as Next says. Each starts a
// process of another program in its group, too, and says the numbers of both. Then it does what
// Name says.
func tree(ctx context.Context, o order) (report, error) {
	say("up %d %s", os.Getpid(), actor.Self().Path)
	sleep := exec.Command("sleep", "600")
	if err := sleep.Start(); err != nil {
		return report{}, err
	}
	say("up %d sleep", sleep.Process.Pid)
	scope := traigo.Current(ctx)
	if o.Next != nil {
		for i := range o.N {
			scope.Spawn(func(ctx context.Context) error {
				a, err := actor.Start(ctx, scope, fmt.Sprintf("n%d", i), actor.Expose(do))
				if err != nil {
					return err
				}
				_, err = do.Run(ctx, a, *o.Next)
				return err
			})
		}
	}
	return act(ctx, order{Do: cmp.Or(o.Name, "wait")})
}

// treeOf is an order for a tree with so many levels below the actor that gets it.
func treeOf(levels, breadth int, leaf string) order {
	o := order{Do: "tree", N: breadth, Name: leaf}
	for range levels {
		below := o
		o = order{Do: "tree", N: breadth, Next: &below}
	}
	return o
}

// inScope runs a body in a scope, and returns its outcome.
func runScope(t *testing.T, body func(ctx context.Context, s *traigo.Scope), opts ...traigo.ScopeOption) error {
	t.Helper()
	return traigo.Run(t.Context(), func(ctx context.Context, s *traigo.Scope) error {
		body(ctx, s)
		return nil
	}, opts...)
}

// startDoing starts an actor that exposes do.
func startDoing(ctx context.Context, t *testing.T, s *traigo.Scope, name string, opts ...actor.Option) *actor.Actor {
	t.Helper()
	a, err := actor.Start(ctx, s, name, append([]actor.Option{actor.Expose(do)}, opts...)...)
	require.NoError(t, err)
	require.NotNil(t, a)
	return a
}

// A pending is a call that is under way.
type pending struct {
	done chan struct{}
	r    report
	err  error
}

// call runs do, and returns when the function runs.
func call(ctx context.Context, t *testing.T, a *actor.Actor, o order) *pending {
	t.Helper()
	p := &pending{done: make(chan struct{})}
	o.Path = cmp.Or(o.Path, t.TempDir()+"/up")
	go func() {
		defer close(p.done)
		p.r, p.err = do.Run(ctx, a, o)
	}()
	upIn(t, o.Path)
	return p
}

// wait returns the result of the call.
func (p *pending) wait(t *testing.T) (report, error) {
	t.Helper()
	requireClosed(t, p.done, "the call has not ended")
	return p.r, p.err
}

func requireClosed(t *testing.T, c <-chan struct{}, msg string) {
	t.Helper()
	select {
	case <-c:
	case <-time.After(soon):
		require.Fail(t, msg)
	}
}

// upIn waits until a file has the number of a process.
func upIn(t *testing.T, file string) (pid int) {
	t.Helper()
	require.Eventually(t, func() bool {
		text, _ := os.ReadFile(file)
		pid, _ = strconv.Atoi(strings.TrimSpace(string(text)))
		return pid > 1
	}, soon, time.Millisecond, "no number of a process in %s", file)
	return pid
}

func requireDead(t *testing.T, pid int, msg ...any) {
	t.Helper()
	require.Greater(t, pid, 1, msg...)
	if !assert.Eventually(t, func() bool { return !isAlive(pid) }, soon, time.Millisecond, msg...) {
		t.Fatalf("left: %d: %s", pid, describe(pid))
	}
}

func requireStopped(t *testing.T, pid int) {
	t.Helper()
	require.Eventually(t, func() bool { return isStopped(pid) }, soon, time.Millisecond, "%d is not stopped", pid)
}

// stop stops a child of a test.
func stop(t *testing.T, pid int) {
	t.Helper()
	require.NoError(t, send(pid, syscall.SIGSTOP))
	requireStopped(t, pid)
}

// requireGone requires that err says that the actor has gone, and returns what it says of that.
func requireGone(t *testing.T, err error, id actor.ID) (text string) {
	t.Helper()
	var gone *actor.GoneError
	require.ErrorAs(t, err, &gone)
	require.Equal(t, id, gone.Actor, "%v", err)
	return gone.Error()
}

// pathsOf returns the paths of the actors that the errors in err name, and how often.
func pathsOf(err error) map[string]int {
	paths := map[string]int{}
	var walk func(err error)
	walk = func(err error) {
		switch e := err.(type) {
		case *actor.Error:
			paths[e.From.Path]++
			return
		case *actor.GoneError:
			paths[e.Actor.Path]++
			return
		}
		switch e := err.(type) {
		case interface{ Unwrap() error }:
			walk(e.Unwrap())
		case interface{ Unwrap() []error }:
			for _, err := range e.Unwrap() {
				walk(err)
			}
		}
	}
	walk(err)
	return paths
}

// logged has what is logged from now on in a text.
func logged(t *testing.T) *output {
	t.Helper()
	o := new(output)
	before := slog.Default()
	flags, prefix, to := log.Flags(), log.Prefix(), log.Writer()
	slog.SetDefault(slog.New(slog.NewTextHandler(o, nil)))
	t.Cleanup(func() {
		slog.SetDefault(before)
		log.SetFlags(flags) // SetDefault has changed them
		log.SetPrefix(prefix)
		log.SetOutput(to)
	})
	return o
}

// written has what actors that are started from now on, and this process, write on standard error.
func written(t *testing.T) *output {
	t.Helper()
	t.Setenv(quietVariable, "") // so actors log, too
	o := new(output)
	r, w, err := os.Pipe()
	require.NoError(t, err)
	before := os.Stderr
	os.Stderr = w
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = io.Copy(o, r)
		_ = r.Close()
	}()
	t.Cleanup(func() {
		os.Stderr = before
		_ = w.Close()
		<-done
		if t.Failed() {
			t.Logf("standard error: %.8000s", o)
		}
	})
	return o
}

// output is what was written, by whomever.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// A root is a process that runs TestHelperRoot, and that is the leader of a group.
type root struct {
	t     *testing.T
	cmd   *exec.Cmd
	in    io.WriteCloser
	lines chan string   // of standard output, which its actors share; closed when all are gone
	errs  *output       // standard error
	quiet chan struct{} // closed when all have closed standard error
	mark  string
	dir   string // where its registrar has its folder
}

const (
	rootVariable = "TRAIGO_LIFE_ROOT"  // what a root is to do
	treeVariable = "TRAIGO_LIFE_TREE"  // by which the processes of a tree are found
	initVariable = "TRAIGO_LIFE_BEGIN" // what its actors do before main
)

// rootArgs makes the test binary a root.
var rootArgs = []string{"-test.run=^TestHelperRoot$", "-test.timeout=300s", "-test.count=1"}

// startRoot starts a root, after change has seen its command.
func startRoot(t *testing.T, o order, change ...func(*exec.Cmd)) *root {
	t.Helper()
	text, err := json.Marshal(o)
	require.NoError(t, err)
	r := &root{
		t: t, cmd: exec.Command("/proc/self/exe", rootArgs...), lines: make(chan string, 10_000), errs: new(output),
		quiet: make(chan struct{}), mark: fmt.Sprintf("%d-%d", os.Getpid(), time.Now().UnixNano()),
	}
	r.dir = shortDir(t)
	r.cmd.Env = append(os.Environ(), rootVariable+"="+string(text), treeVariable+"="+r.mark, "XDG_RUNTIME_DIR="+r.dir)
	r.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	for _, f := range change {
		f(r.cmd)
	}
	r.in, err = r.cmd.StdinPipe()
	require.NoError(t, err)
	out, write, err := os.Pipe() // read longer than the process lives: until all who have it are gone
	require.NoError(t, err)
	defer func() { _ = write.Close() }()
	r.cmd.Stdout = write
	errs, writeErrs, err := os.Pipe()
	require.NoError(t, err)
	defer func() { _ = writeErrs.Close() }()
	r.cmd.Stderr = writeErrs
	go r.read(out)
	go func() {
		defer close(r.quiet)
		_, _ = io.Copy(r.errs, errs)
		_ = errs.Close()
	}()
	require.NoError(t, r.cmd.Start())
	t.Cleanup(func() {
		_ = r.cmd.Process.Kill()
		_ = r.cmd.Wait()
		_ = r.in.Close()
		for _, pid := range r.tree() {
			_ = send(pid, syscall.SIGKILL)
		}
		if t.Failed() {
			t.Logf("standard error of the root: %.4000s", r.errs)
		}
	})
	return r
}

func (r *root) read(out io.ReadCloser) {
	defer close(r.lines)
	defer func() { _ = out.Close() }()
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		r.lines <- strings.TrimSpace(lines.Text())
	}
}

// tree returns the processes of the tree, the root too.
func (r *root) tree() []int { return markedBy(treeVariable + "=" + r.mark) }

// expect returns the rest of the next line that begins with a word, and skips others.
func (r *root) expect(word string) string {
	r.t.Helper()
	timeout := time.After(soon)
	var skipped []string
	for {
		select {
		case line, ok := <-r.lines:
			require.True(r.t, ok, "no line %q came, but %q; standard error: %s", word, skipped, r.errs)
			if first, rest, _ := strings.Cut(line, " "); first == word {
				return rest
			}
			skipped = append(skipped, line)
		case <-timeout:
			require.Fail(r.t, "too late", "no line %q came, but %q; standard error: %s", word, skipped, r.errs)
		}
	}
}

// expectUp returns the numbers of n processes that are up, by their paths.
func (r *root) expectUp(n int) (pids map[string][]int) {
	r.t.Helper()
	pids = map[string][]int{}
	for range n {
		number, path, _ := strings.Cut(r.expect("up"), " ")
		pid, err := strconv.Atoi(number)
		require.NoError(r.t, err)
		pids[path] = append(pids[path], pid)
	}
	return pids
}

func (r *root) tell(line string) {
	r.t.Helper()
	_, err := io.WriteString(r.in, line+"\n")
	require.NoError(r.t, err)
}

// kill kills the root alone, and reaps it.
func (r *root) kill() {
	r.t.Helper()
	require.NoError(r.t, r.cmd.Process.Signal(syscall.SIGKILL))
	_ = r.cmd.Wait()
}

func (r *root) wait() *os.ProcessState {
	r.t.Helper()
	_ = r.cmd.Wait()
	return r.cmd.ProcessState
}

// requireEmpty waits until no process of the tree is left.
func (r *root) requireEmpty() {
	r.t.Helper()
	if !assert.Eventually(r.t, func() bool { return len(r.tree()) == 0 }, soon, 2*time.Millisecond) {
		for _, pid := range r.tree() {
			r.t.Logf("left: %d: %s", pid, describe(pid))
		}
		r.t.FailNow()
	}
}

// rest returns what else was written on standard output, when all who could write are gone.
func (r *root) rest() (lines []string) {
	r.t.Helper()
	timeout := time.After(soon)
	for {
		select {
		case line, ok := <-r.lines:
			if !ok {
				return lines
			}
			lines = append(lines, line)
		case <-timeout:
			require.Fail(r.t, "standard output is still open", "%q", lines)
		}
	}
}

// TestHelperRoot is no test: it is what the process of a root does.
func TestHelperRoot(t *testing.T) {
	text := os.Getenv(rootVariable)
	if text == "" {
		t.Skip("it is a root that other tests start")
	}
	_ = os.Unsetenv(rootVariable)
	time.AfterFunc(4*time.Minute, func() { os.Exit(99) })
	var o order
	require.NoError(t, json.Unmarshal([]byte(text), &o))
	said := make(chan string)
	go func() {
		lines := bufio.NewScanner(os.Stdin)
		for lines.Scan() {
			said <- lines.Text()
		}
		close(said)
	}()
	f := rootDoes[o.Do]
	require.NotNil(t, f, o.Do)
	f(o, said)
}

// rootDoes is what roots can do. What they are told comes on a channel.
var rootDoes = map[string]func(o order, said <-chan string){
	// One actor that does not come to its main.
	"late": func(o order, _ <-chan string) {
		_ = os.Setenv(initVariable, o.Name)
		began := time.Now()
		err := traigo.Run(context.Background(), func(ctx context.Context, s *traigo.Scope) error {
			_, err := actor.Start(ctx, s, "late")
			var gone *actor.GoneError
			say("late %d %t %d %v", time.Since(began).Milliseconds(), errors.As(err, &gone), len(childrenOf(os.Getpid())), err)
			return ctx.Err()
		})
		say("outcome %v", err)
	},
	// N actors do what is next; the root does what it is told.
	"tree": func(o order, said <-chan string) {
		err := traigo.Run(context.Background(), func(ctx context.Context, s *traigo.Scope) error {
			for i := range o.N {
				s.Spawn(func(ctx context.Context) error {
					a, err := actor.Start(ctx, s, fmt.Sprintf("n%d", i), actor.Expose(do), actor.Grace(cmp.Or(o.For, 5*time.Second)), actor.Findable())
					if err != nil {
						return err
					}
					if i == 0 {
						say("registrar %s", actor.Registrar())
					}
					_, err = do.Run(ctx, a, *o.Next)
					return err
				})
			}
			for {
				select {
				case line := <-said:
					switch line {
					case "exit 0":
						os.Exit(0)
					case "exit 3":
						os.Exit(3)
					case "panic":
						panic("life: the root panics")
					case "panic elsewhere":
						go panic("life: the root panics elsewhere")
						forever()
					case "fatal":
						mutex.Unlock() // a fatal error
					case "log.Fatal":
						log.Fatal("life: the root has had enough")
					case "goexit":
						runtime.Goexit()
					case "cancel":
						s.Cancel(errLife)
						say("canceled")
					case "return":
						s.Cancel(nil)
						return nil
					}
				case <-ctx.Done():
					return nil
				}
			}
		}, traigo.Name("root"))
		paths, _ := json.Marshal(pathsOf(err))
		say("outcome %s %v", paths, err)
	},
}

// What actors do before main, if a test has said so. The tests and roots have set the variable
// after that.
var _ = func() bool {
	switch os.Getenv(initVariable) {
	case "block":
		say("up %d begin", os.Getpid())
		forever()
	case "stop":
		say("up %d begin", os.Getpid())
		_ = send2self(syscall.SIGSTOP)
	case "exit":
		fmt.Fprintln(os.Stderr, "words before main")
		os.Exit(3)
	case "return":
		os.Exit(0)
	case "panic":
		panic("before main")
	case "killed":
		fmt.Fprintln(os.Stderr, "words before main")
		_ = send2self(syscall.SIGKILL)
		forever()
	case "unserved": // Serve is called later, if at all
		tellUnserved()
		os.Exit(0)
	}
	return true
}()

// tellUnserved says what Start and Spawn return where Serve was not called.
func tellUnserved() {
	f := actor.Func("life.unserved", func(context.Context, int) (int, error) { return 0, nil })
	err := traigo.Run(context.Background(), func(ctx context.Context, s *traigo.Scope) error {
		_, err := actor.Start(ctx, s, "a")
		say("start %t %v", errors.Is(err, actor.ErrNotServed), err)
		_, err = f.Spawn(s, 1).Await(ctx)
		say("spawn %t %v", errors.Is(err, actor.ErrNotServed), err)
		return nil
	})
	say("children %v %v", childrenOf(os.Getpid()), err)
}
