package proc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"reflect"
	"strings"
	"sync"
	"syscall"
	"time"
)

// A Child is a process of this program that [Launch] has started.
//
// However it ends, its process group is killed before it is reaped: its number is that of no
// other process until then. Descendants that have stayed in the group do not outlive it.
type Child struct {
	kind  string
	cmd   *exec.Cmd
	conn  *childConn
	grace time.Duration

	stderr *tail
	exited chan struct{} // closed when it was reaped, and its standard error read
	err    error         // how it ended; nil if it has exited with 0. Written before exited is closed

	memory int64 // the limit; 0 if there is none

	mu        sync.Mutex
	deadline  *time.Timer // kills the process, if it was set
	isReaped  bool        // or about to be: no signal is sent any more
	why       error       // why it was killed, if that is an error: ErrMemory, ErrNotServed
	look      *time.Timer // calls lookAtMemory while isWatched is set
	isWatched bool
}

// Launch starts this program once more as a process that serves kind, and returns when it
// does: when Serve has been called there, and so calls the function that was registered with
// [Handle] for that kind. The two are connected by a pair of sockets, which has no name. It
// is for programs that have a protocol of their own to speak with it; for functions see
// [Func].
//
// The process is asked to end by closing Conn, and killed if it has not ended within [Grace]
// after that. It is killed [KillAfter] after ctx is done. The other options that apply are
// [Memory], as long as it lives, and [Command].
//
// If the process does not start, ends before, or has not called Serve within 30 s, Launch
// returns a [*BrokenWorkerError]. If ctx is done before, it returns the cause. In a program
// that has not called Serve itself it returns [ErrNotServed], and on other systems than Linux
// errors.ErrUnsupported. Launch panics if ctx or an option is nil.
func Launch(ctx context.Context, kind string, opts ...Option) (*Child, error) {
	if ctx == nil {
		panic("traigo: proc.Launch: ctx is nil")
	}
	o := newOptions("Launch", opts)
	if o.isForPool {
		panic("traigo: proc.Launch: Limit, IdleTimeout, Init and Retire are options of a pool")
	}
	if kind == workerKind {
		return nil, errNoHandler(kind)
	}
	c, err := launch(ctx, kind, kind, &o)
	if err != nil {
		return nil, err
	}
	c.watchMemory(true)
	stop := context.AfterFunc(ctx, func() { c.killAfter(o.killAfter) })
	go func() {
		<-c.exited
		stop()
	}()
	return c, nil
}

func errNoHandler(kind string) error {
	return fmt.Errorf("traigo: proc.Launch(%q): the program has no proc.Handle for that kind", kind)
}

// markName is the environment variable that marks a process as one that Launch has started:
// "1 PID MEMORY KIND". It is removed before main begins.
const markName = "TRAIGO_PROC"

// startTimeout is within what time a process must have called Serve.
const startTimeout = 30 * time.Second

// launch is Launch without an end by ctx once the process serves. If it returns a child and an
// error, the process was started, and has ended. what is what it is to run, for the error.
func launch(ctx context.Context, kind, what string, o *options) (*Child, error) {
	if err := ready(o); err != nil {
		return nil, err
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	for tries := 1; ; tries++ {
		c := &Child{kind: kind, grace: o.grace, memory: o.memory, exited: make(chan struct{})}
		if err := c.start(o); err != nil {
			return nil, &BrokenWorkerError{Func: what, Err: err}
		}
		err := c.awaitServe(ctx, what)
		if err == nil {
			return c, nil
		}
		_ = c.conn.Conn.Close()
		if ctx.Err() != nil || !diedOf(c.cmd.ProcessState, ignored...) || tries == maxTries {
			return c, err
		}
	}
}

// maxTries is how often a process is started that dies, before it can ignore it, of a signal
// which is often sent to all processes of a service.
const maxTries = 5

// ready returns why no process can be started here; nil if one can.
func ready(o *options) error {
	if err := supported(); err != nil {
		return err
	}
	if !isServing.Load() {
		return ErrNotServed
	}
	if o.memory > 0 {
		if _, err := residentSize(os.Getpid()); err != nil {
			return fmt.Errorf("traigo: proc.Memory: the resident size of a process cannot be read: %w: %w", errors.ErrUnsupported, err)
		}
	}
	return nil
}

func (c *Child) start(o *options) error {
	path, err := self()
	if err != nil {
		return err
	}
	conn, theirs, err := socketPair()
	if err != nil {
		return err
	}
	defer func() {
		_ = theirs.Close() // as long as it is open here, no end of file comes
		if c.cmd == nil {
			_ = conn.Close()
		}
	}()
	cmd := &exec.Cmd{Path: path, Args: []string{os.Args[0]}, Stdout: os.Stdout, ExtraFiles: []*os.File{theirs}}
	for _, f := range o.commands {
		f(cmd)
	}
	mustBeIntact(cmd, theirs)
	if err := acceptable(cmd.SysProcAttr); err != nil {
		return err
	}
	cmd.Env = append(withoutMark(cmd.Environ()), markFor(c.kind, o.memory))
	cmd.WaitDelay = time.Second // for a Stdout that is not a file, and that a stranger holds
	to := cmd.Stderr
	if to == nil {
		to = os.Stderr
	}
	if isSameWriter(cmd.Stdout, to) { // os/exec promises not to call it from two goroutines then
		both := &lockedWriter{to: to}
		cmd.Stdout, to = both, both
	}
	pipe, write, err := os.Pipe()
	if err != nil {
		return err
	}
	cmd.Stderr = write
	ended, err := start(cmd)
	_ = write.Close()
	if err != nil {
		_ = pipe.Close()
		return err
	}
	c.cmd = cmd
	c.conn = &childConn{Conn: conn, child: c}
	c.stderr = &tail{to: to, pipe: pipe, done: make(chan struct{})}
	go c.stderr.copy()
	go c.reap(ended)
	return nil
}

// mustBeIntact panics if a function given to Command has changed what it must not.
func mustBeIntact(cmd *exec.Cmd, theirs *os.File) {
	if len(cmd.ExtraFiles) == 0 || cmd.ExtraFiles[0] != theirs {
		panic("traigo: proc.Command: the function has changed the first of ExtraFiles, by which the process is connected: append to them")
	}
	if len(cmd.Args) != 1 {
		panic("traigo: proc.Command: the function has changed Args: pass what the process is to know by Env, or as the argument of Init")
	}
}

func withoutMark(env []string) []string {
	kept := make([]string, 0, len(env)+1)
	for _, e := range env {
		if !strings.HasPrefix(e, markName+"=") {
			kept = append(kept, e)
		}
	}
	return kept
}

// What Serve sends first.
const (
	serving   = 's'
	unhandled = 'u' // there is no Handle for the kind
)

// awaitServe waits until the process has called Serve. If it returns an error the process has
// ended.
func (c *Child) awaitServe(ctx context.Context, what string) error {
	stop := context.AfterFunc(ctx, func() { c.kill(nil) })
	late := time.AfterFunc(startTimeout, func() { c.kill(ErrNotServed) })
	var hello [1]byte
	_, _ = io.ReadFull(c.conn, hello[:])
	isKilled := !late.Stop()
	isKilled = !stop() || isKilled
	if hello[0] == serving && !isKilled {
		return nil
	}
	if hello[0] != unhandled { // else it exits
		c.kill(nil)
	}
	<-c.exited
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	broken := c.broken(what)
	switch {
	case hello[0] == unhandled:
		broken.Err = errNoHandler(c.kind)
	case broken.Err == nil && broken.State != nil && broken.State.Exited() && broken.crashLine() == "":
		broken.Err = ErrNotServed
	}
	return broken
}

// reap waits for the end of the process, and is the only one that reaps it.
func (c *Child) reap(ended *os.File) {
	waitForEnd(c.Pid(), ended)
	c.mu.Lock()
	signalGroup(c.Pid(), syscall.SIGKILL)
	c.isReaped = true
	if c.deadline != nil {
		c.deadline.Stop()
	}
	c.mu.Unlock()
	c.watchMemory(false)
	_ = c.cmd.Wait() // what it returns is in ProcessState
	c.stderr.finish()
	stopReading(c.conn.Conn) // a stranger may hold the other end
	if broken := c.broken(""); broken.Err != nil || broken.State == nil || !broken.State.Success() {
		c.err = broken
	}
	close(c.exited)
}

// broken describes the end of the process, which was to run what.
func (c *Child) broken(what string) *BrokenWorkerError {
	c.mu.Lock()
	defer c.mu.Unlock()
	return &BrokenWorkerError{Func: what, Pid: c.Pid(), State: c.cmd.ProcessState, Stderr: c.stderr.text(), Err: c.why}
}

// Conn returns the connection with the process. Closing it asks the process to end. What the
// process has sent before its end can be read after it, so the caller of Launch has to close
// Conn in any case.
func (c *Child) Conn() net.Conn { return c.conn }

type childConn struct {
	net.Conn
	child *Child
}

func (c *childConn) Close() error {
	c.child.expire()
	return c.Conn.Close()
}

// Pid returns the number of the process.
func (c *Child) Pid() int { return c.cmd.Process.Pid }

// Signal sends a signal to the process and its group. It does nothing once the process has
// ended.
func (c *Child) Signal(sig syscall.Signal) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.isReaped {
		signalGroup(c.Pid(), sig)
	}
}

// Exited returns a channel that is closed when the process has ended and was reaped, and what
// it has written on standard error has been passed on.
func (c *Child) Exited() <-chan struct{} { return c.exited }

// Err returns nil before Exited is closed, and if the process has exited with 0. Otherwise it
// returns a [*BrokenWorkerError].
func (c *Child) Err() error {
	select {
	case <-c.exited:
		return c.err
	default:
		return nil
	}
}

// kill kills the process and its group. why, if it is not nil, is the Err of the
// BrokenWorkerError; the first one counts.
func (c *Child) kill(why error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.isReaped {
		return
	}
	if c.why == nil {
		c.why = why
	}
	signalGroup(c.Pid(), syscall.SIGKILL)
}

// expire has the process killed if it has not ended within its grace.
func (c *Child) expire() { c.killAfter(c.grace) }

// killAfter has the process killed when d has passed. The first call counts, unless d is 0.
func (c *Child) killAfter(d time.Duration) {
	if d == 0 {
		c.kill(nil)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.deadline == nil && !c.isReaped {
		c.deadline = time.AfterFunc(d, func() { c.kill(nil) })
	}
}

// lookEvery is how often the resident size of a process is looked at.
const lookEvery = 10 * time.Millisecond

// watchMemory begins, or ends, to look at the resident size, if there is a limit.
func (c *Child) watchMemory(on bool) {
	if c.memory == 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.isWatched = on
	switch {
	case !on:
		if c.look != nil {
			c.look.Stop()
		}
	case c.look == nil:
		c.look = time.AfterFunc(lookEvery, c.lookAtMemory)
	default:
		c.look.Reset(lookEvery)
	}
}

func (c *Child) lookAtMemory() {
	size, err := residentSize(c.Pid())
	if err == nil && size > c.memory {
		c.kill(ErrMemory)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.isWatched && !c.isReaped {
		c.look.Reset(lookEvery)
	}
}

// A tail passes on what a process writes on standard error, and keeps the end of it.
type tail struct {
	to   io.Writer
	pipe *os.File
	done chan struct{}

	mu   sync.Mutex
	kept []byte
}

const tailSize = 64 << 10

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	t.kept = append(t.kept, p...)
	if drop := len(t.kept) - tailSize; drop > tailSize {
		t.kept = append(t.kept[:0], t.kept[drop:]...)
	}
	t.mu.Unlock()
	_, _ = t.to.Write(p)
	return len(p), nil
}

// copy copies until all who can write have closed the pipe, or finish is called.
func (t *tail) copy() {
	defer close(t.done)
	_, _ = io.Copy(t, t.pipe)
	_ = t.pipe.SetReadDeadline(time.Time{})
	drain(t, t.pipe)
	_ = t.pipe.Close()
}

// finish is called when the process has ended. What it has written is in the pipe by then.
// Another process may hold the pipe for ever.
func (t *tail) finish() {
	_ = t.pipe.SetReadDeadline(time.Now())
	<-t.done
}

func (t *tail) text() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.kept[max(0, len(t.kept)-tailSize):])
}

// A lockedWriter may be used by several goroutines.
type lockedWriter struct {
	mu sync.Mutex
	to io.Writer
}

func (w *lockedWriter) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.to.Write(p)
}

// isSameWriter reports whether a and b are the same, and not a file, which locks itself.
func isSameWriter(a, b io.Writer) bool {
	if _, ok := a.(*os.File); ok || a == nil || b == nil {
		return false
	}
	return reflect.TypeOf(a) == reflect.TypeOf(b) && reflect.TypeOf(a).Comparable() && a == b
}
