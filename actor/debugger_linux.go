package actor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strconv"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
	"golang.org/x/term"
)

// turns are the Pauses of the tree in the root, which gives them their turn one after the other.
type turns struct {
	mu      sync.Mutex
	current map[pauseID]*turn
	last    <-chan struct{} // closed when the turn is over that was asked for last; nil if there was none
}

// A turn is a Pause, in the root. It has a goroutine of its own.
type turn struct {
	id    pauseID
	task  string
	steps chan pauseRequest // holds one
	ended chan struct{}     // closed when the Pause has ended, or its process
	over  chan struct{}     // closed when the next one may begin
}

// take does what a step asks for.
func (ts *turns) take(req pauseRequest) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	t := ts.current[req.Pause]
	switch {
	case req.Step == stepAsk && t == nil:
		if ts.current == nil {
			ts.current = map[pauseID]*turn{}
		}
		t = &turn{
			id: req.Pause, task: req.Task,
			steps: make(chan pauseRequest, 1), ended: make(chan struct{}), over: make(chan struct{}),
		}
		ts.current[t.id] = t
		go t.run(ts.last)
		ts.last = t.over
	case t == nil: // its process has died
	case req.Step == stepEnd:
		delete(ts.current, t.id)
		close(t.ended)
	default:
		select {
		case t.steps <- req:
		default: // it has not waited for its answer, which this package never does
		}
	}
}

// run waits for the turn before, and holds the lock of the tree until the Pause has ended. The
// clocks of the tree are told by nobody else, so they are told in order.
func (t *turn) run(before <-chan struct{}) {
	defer close(t.over)
	if before != nil {
		<-before
	}
	if t.hasEnded() {
		return
	}
	here.tellPause(true)
	defer here.tellPause(false)
	var why string
	if tty, err := terminal(); err != nil {
		why = err.Error()
	} else {
		_ = tty.Close()
	}
	t.answer(pauseAnswer{Root: os.Getpid(), Why: why})
	for {
		select {
		case req := <-t.steps:
			switch req.Step {
			case stepTrace:
				t.answer(pauseAnswer{Why: t.debug()})
			case stepDump:
				_, _ = os.Stderr.WriteString(req.Dump)
				t.answer(pauseAnswer{})
			}
		case <-t.ended:
			return
		}
	}
}

func (t *turn) answer(a pauseAnswer) {
	a.Pause = t.id
	here.pauses.down(a)
}

func (t *turn) hasEnded() bool {
	select {
	case <-t.ended:
		return true
	default:
		return false
	}
}

const debugger = "dlv"

// terminal opens the terminal of this process for the debugger. It returns an error if the
// debugger cannot run there.
func terminal() (*os.File, error) {
	if _, err := exec.LookPath(debugger); err != nil {
		return nil, errors.New("dlv is not installed")
	}
	// os.Open would make it non-blocking, for the debugger too.
	fd, err := unix.Open("/dev/tty", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, errors.New("the root process has no terminal")
	}
	tty := os.NewFile(uintptr(fd), "/dev/tty")
	if group, err := unix.IoctlGetInt(fd, unix.TIOCGPGRP); err != nil || group != unix.Getpgrp() {
		_ = tty.Close()
		return nil, errors.New("the root process is not in the foreground of its terminal")
	}
	return tty, nil
}

// debug runs the debugger on the terminal until it leaves. It returns how it has left, in case it
// has not stopped the process. If the process dies, the debugger is killed: it would not notice
// the end while it waits for what is typed, and as long as it traces the process nobody can reap it.
func (t *turn) debug() (why string) {
	tty, err := terminal()
	if err != nil {
		return err.Error()
	}
	defer func() { _ = tty.Close() }()
	commands, err := prepared(fmt.Sprintf("continue\nup %d\n", framesBelowPause))
	if err != nil {
		return err.Error()
	}
	defer func() { _ = commands.Close() }()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		defer cancel()
		select {
		case <-t.ended:
		case <-ctx.Done():
		}
	}()
	cmd := exec.CommandContext(ctx, debugger, "attach", strconv.Itoa(t.id.Actor.Pid), "--init", "/proc/self/fd/3")
	// All three: if this process is the one that is stopped, it cannot pass on what is written.
	cmd.Stdin, cmd.Stdout, cmd.Stderr = tty, tty, tty
	cmd.ExtraFiles = []*os.File{commands}
	fmt.Fprintf(tty, "traigo: actor %s (pid %d) is paused in %s\n", t.id.Actor.Path, t.id.Actor.Pid, t.task)
	if err := runInForeground(cmd, tty); err != nil {
		return fmt.Sprintf("dlv: %v (see what it has written to the terminal)", err)
	}
	return "dlv has left before the process stopped"
}

// prepared returns a file that holds a text. It is the end of a pipe, so that nothing is left if
// this process is killed.
func prepared(text string) (*os.File, error) {
	read, write, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer func() { _ = write.Close() }()
	if _, err := write.WriteString(text); err != nil {
		_ = read.Close()
		return nil, err
	}
	return read, nil
}

// runInForeground runs a command in the foreground of the terminal, so that what is typed there,
// ^C too, goes to it alone. Then the terminal is as it was before.
func runInForeground(cmd *exec.Cmd, tty *os.File) error {
	fd := int(tty.Fd())
	// This process is in the background meanwhile. By SIGTTIN it would be stopped when it reads
	// from the terminal, and could pass on nothing any more; when the signal is ignored that is an
	// error. By SIGTTOU it would be stopped when it comes back to the foreground. The command
	// inherits what is ignored: if ^Z stopped it, nobody could continue it. A signal.Notify that
	// the program has for one of the three is lost.
	defer ignore(syscall.SIGTTIN, syscall.SIGTTOU, syscall.SIGTSTP)()
	if state, err := term.GetState(fd); err == nil {
		defer func() { _ = term.Restore(fd, state) }() // a debugger that is killed leaves it as it is
	}
	defer func() { _ = unix.IoctlSetPointerInt(fd, unix.TIOCSPGRP, unix.Getpgrp()) }()
	cmd.SysProcAttr = &syscall.SysProcAttr{Foreground: true, Ctty: fd, Pdeathsig: syscall.SIGKILL}
	runtime.LockOSThread() // Pdeathsig comes when this thread ends, which must not be before
	defer runtime.UnlockOSThread()
	return cmd.Run()
}

// ignore has signals ignored until the function that it returns is called.
func ignore(signals ...os.Signal) (restore func()) {
	var changed []os.Signal
	for _, sig := range signals {
		if !signal.Ignored(sig) {
			signal.Ignore(sig)
			changed = append(changed, sig)
		}
	}
	return func() {
		for _, sig := range changed {
			signal.Reset(sig)
		}
	}
}
