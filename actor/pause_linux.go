package actor

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
	"golang.org/x/term"

	"github.com/traigo/traigo"
)

// Pause stops this process in a debugger, and returns when the debugger has left. Of all
// processes of the tree one is paused at a time; the others wait, first come, first served. The
// root process runs "dlv attach" on its terminal. While a Pause holds no actor is killed for not
// ending in time.
//
// If the root has no terminal, dlv is not installed, or the process may not be traced, one dump of
// all stacks, with their labels, is written to the root's standard error, and Pause returns.
//
// If ctx ends while others are paused, Pause returns its cause. On other systems than Linux it
// returns errors.ErrUnsupported. It panics if ctx is nil.
func Pause(ctx context.Context) error {
	if ctx == nil {
		panic("traigo: actor.Pause: ctx is nil")
	}
	w := here.pauses.ask(nil, 0, pauseRequest{Step: stepLock, ID: Self(), Task: taskOf(ctx)})
	defer here.pauses.end(w)
	var answer pauseAnswer
	select {
	case answer = <-w.answers:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	why := answer.Why
	if why == "" {
		why = w.debug(answer.Tracer)
	}
	if why != "" {
		w.say(pauseRequest{Step: stepDump, Dump: dump(taskOf(ctx), why)})
		<-w.answers // it was written
	}
	return nil
}

func taskOf(ctx context.Context) string {
	if t := traigo.CurrentTask(ctx); t != nil {
		return t.Path()
	}
	if s := traigo.Current(ctx); s != nil {
		return s.Path()
	}
	return "no task"
}

// The steps of a Pause.
const (
	stepLock  = "lock"  // it wants to be paused; answered when its turn has come
	stepAllow = "allow" // it may be traced; answered if no debugger comes
	stepDump  = "dump"  // it has made a dump; answered when that is written
)

type pauseRequest struct {
	Step string `json:"step"`
	ID   ID     `json:"id,omitzero"`
	Task string `json:"task,omitempty"`
	Dump string `json:"dump,omitempty"`
}

type pauseAnswer struct {
	Tracer int    `json:"tracer,omitempty"` // the process whose child will be the debugger
	Why    string `json:"why,omitempty"`    // there is none
}

// debug waits until a debugger is there, stops in it, and returns when it has left. It returns why
// there is none.
func (w *pauseWaiter) debug(tracer int) (why string) {
	if by := tracedBy(); by != 0 {
		return fmt.Sprintf("it is traced by process %d already", by)
	}
	_ = unix.Prctl(unix.PR_SET_PTRACER, uintptr(tracer), 0, 0, 0) // fails where there is no Yama, which is well
	defer func() { _ = unix.Prctl(unix.PR_SET_PTRACER, 0, 0, 0, 0) }()
	w.say(pauseRequest{Step: stepAllow})
	poll := time.NewTicker(5 * time.Millisecond)
	defer poll.Stop()
	for tracedBy() == 0 {
		select {
		case answer := <-w.answers:
			if tracedBy() == 0 {
				return answer.Why
			}
		case <-poll.C:
		}
	}
	runtime.Breakpoint() // the signal ends the process if the debugger has left since
	for tracedBy() != 0 {
		<-poll.C
	}
	return ""
}

// tracedBy returns the number of the process that traces this one, 0 if there is none.
func tracedBy() int {
	status, _ := os.ReadFile("/proc/self/status")
	_, after, _ := strings.Cut(string(status), "\nTracerPid:\t")
	number, _, _ := strings.Cut(after, "\n")
	pid, _ := strconv.Atoi(number)
	return pid
}

func dump(task, why string) string {
	var b bytes.Buffer
	fmt.Fprintf(&b, "traigo: actor %s (pid %d) is paused in %s: no debugger: %s\n", Self().Path, os.Getpid(), task, why)
	_ = pprof.Lookup("goroutine").WriteTo(&b, 1)
	return b.String()
}

// pauses are the requests to be paused that this process knows of: its own, and those of the
// actors below it. The root serves them, others pass them on.
type pauses struct {
	mu      sync.Mutex
	lastID  uint64
	waiters map[uint64]*pauseWaiter
	queue   []*pauseWaiter // in the root; the first one holds the lock
}

type pauseWaiter struct {
	id      uint64
	child   *Actor // who has asked; nil: this process
	childID uint64 // the number there
	who     ID
	answers chan pauseAnswer // of this process
}

// ask begins a Pause.
func (p *pauses) ask(child *Actor, childID uint64, req pauseRequest) *pauseWaiter {
	p.mu.Lock()
	p.lastID++
	w := &pauseWaiter{id: p.lastID, child: child, childID: childID, who: req.ID, answers: make(chan pauseAnswer, 4)}
	if p.waiters == nil {
		p.waiters = map[uint64]*pauseWaiter{}
	}
	p.waiters[w.id] = w
	p.mu.Unlock()
	w.say(req)
	return w
}

// say passes a step on to the root, or takes it there.
func (w *pauseWaiter) say(req pauseRequest) {
	if parent := here.parent.Load(); parent != nil {
		parent.outbox.post(askPause, w.id, req)
		return
	}
	here.pauses.take(w, req)
}

// reply passes an answer on to who has asked.
func (w *pauseWaiter) reply(answer pauseAnswer) {
	if w.child != nil {
		w.child.link.outbox.post(answerPause, w.childID, answer)
		return
	}
	w.answers <- answer
}

// answer handles an answer of the parent.
func (p *pauses) answer(id uint64, payload []byte) {
	var answer pauseAnswer
	_ = decodeJSON(payload, &answer)
	p.mu.Lock()
	w := p.waiters[id]
	p.mu.Unlock()
	if w != nil {
		w.reply(answer)
	}
}

// relayPause handles what a child says about its own Pause, or one below it.
func (p *process) relayPause(child *Actor, kind control, id uint64, payload []byte) {
	var req pauseRequest
	if kind == askPause {
		_ = decodeJSON(payload, &req)
	}
	p.pauses.mu.Lock()
	var known *pauseWaiter
	for _, w := range p.pauses.waiters {
		if w.child == child && w.childID == id {
			known = w
		}
	}
	p.pauses.mu.Unlock()
	switch {
	case kind == endPause && known != nil:
		p.pauses.end(known)
	case kind == endPause:
	case known != nil:
		known.say(req)
	default:
		p.pauses.ask(child, id, req)
	}
}

// end ends a Pause, or a wait for one.
func (p *pauses) end(w *pauseWaiter) {
	p.mu.Lock()
	_, was := p.waiters[w.id]
	delete(p.waiters, w.id)
	p.mu.Unlock()
	if !was {
		return
	}
	if parent := here.parent.Load(); parent != nil {
		parent.outbox.post(endPause, w.id, nil)
		return
	}
	p.unlock(w)
}

// release ends the pauses of a child that has gone, and of all below it.
func (p *pauses) release(child *Actor) {
	p.mu.Lock()
	var all []*pauseWaiter
	for _, w := range p.waiters {
		if w.child == child {
			all = append(all, w)
		}
	}
	p.mu.Unlock()
	for _, w := range all {
		p.end(w)
	}
}

// take is the root's part of a step.
func (p *pauses) take(w *pauseWaiter, req pauseRequest) {
	switch req.Step {
	case stepLock:
		p.mu.Lock()
		p.queue = append(p.queue, w)
		isFirst := len(p.queue) == 1
		p.mu.Unlock()
		if isFirst {
			here.tellPause(true)
			w.reply(offer())
		}
	case stepAllow:
		go p.runDebugger(w)
	case stepDump:
		_, _ = os.Stderr.WriteString(req.Dump)
		w.reply(pauseAnswer{})
	}
}

// unlock gives the lock to the next one.
func (p *pauses) unlock(w *pauseWaiter) {
	p.mu.Lock()
	var next *pauseWaiter
	held := len(p.queue) > 0 && p.queue[0] == w
	for i, other := range p.queue {
		if other == w {
			p.queue = append(p.queue[:i:i], p.queue[i+1:]...)
			break
		}
	}
	if held && len(p.queue) > 0 {
		next = p.queue[0]
	}
	p.mu.Unlock()
	switch {
	case next != nil:
		next.reply(offer())
	case held:
		here.tellPause(false)
	}
}

// tellPause stops the clocks of this process and all below, or lets them go on.
func (p *process) tellPause(on bool) {
	p.clock.pause(on)
	for _, a := range p.all() {
		a.link.outbox.post(tellPause, 0, on)
	}
}

const debugger = "dlv"

// offer says whether there can be a debugger.
func offer() pauseAnswer {
	if !term.IsTerminal(int(os.Stdin.Fd())) {
		return pauseAnswer{Why: "the root process has no terminal"}
	}
	if _, err := exec.LookPath(debugger); err != nil {
		return pauseAnswer{Why: "dlv is not installed"}
	}
	return pauseAnswer{Tracer: os.Getpid()}
}

// runDebugger runs the debugger on the terminal until it leaves.
func (p *pauses) runDebugger(w *pauseWaiter) {
	why := "dlv has left at once"
	if err := attach(w.who.Pid); err != nil {
		why = err.Error()
	}
	w.reply(pauseAnswer{Why: why}) // which is read only if no debugger has come
}

// attach runs the debugger in the foreground of the terminal, so that what is typed there, ^C
// too, goes to it alone. The terminal is then as it was before.
func attach(pid int) error {
	tty := os.Stdin
	fd := int(tty.Fd())
	dir, err := os.MkdirTemp("", "traigo-pause-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	script := filepath.Join(dir, "init") // lets the process come to the breakpoint
	if err := os.WriteFile(script, []byte("continue\n"), 0o600); err != nil {
		return err
	}
	var said tailWriter
	cmd := exec.Command(debugger, "attach", strconv.Itoa(pid), "--init", script)
	cmd.Stdin, cmd.Stdout = tty, os.Stdout
	cmd.Stderr = &said
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	if before, err := unix.IoctlGetInt(fd, unix.TIOCGPGRP); err == nil && before == unix.Getpgrp() {
		cmd.SysProcAttr.Foreground, cmd.SysProcAttr.Ctty = true, fd
		defer foreground(fd)
	}
	if state, err := term.GetState(fd); err == nil {
		defer func() { _ = term.Restore(fd, state) }()
	}
	runtime.LockOSThread() // Pdeathsig comes when the thread ends
	defer runtime.UnlockOSThread()
	err = cmd.Run()
	if line := said.last(); err != nil && line != "" {
		return errors.New("dlv: " + line)
	}
	return err
}

// foreground makes the group of this process that of the terminal again.
func foreground(fd int) {
	ignored := signal.Ignored(syscall.SIGTTOU)
	signal.Ignore(syscall.SIGTTOU) // it would stop this process
	_ = unix.IoctlSetPointerInt(fd, unix.TIOCSPGRP, unix.Getpgrp())
	if !ignored {
		signal.Reset(syscall.SIGTTOU)
	}
}

// A tailWriter passes on what is written, and keeps the end.
type tailWriter struct {
	mu   sync.Mutex
	kept []byte
}

func (t *tailWriter) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.kept = append(t.kept, p...)
	t.kept = t.kept[max(0, len(t.kept)-4096):]
	return os.Stderr.Write(p)
}

func (t *tailWriter) last() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return lastLine(string(t.kept))
}
