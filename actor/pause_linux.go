package actor

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"runtime"
	"runtime/pprof"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/traigo/traigo"
)

// Pause stops this process in a debugger, and returns when the debugger has left. Of all
// processes of the tree one is paused at a time; the others wait, first come, first served. The
// root process runs "dlv attach" on its terminal; its command "exit" asks whether this process is
// to be killed. While a Pause holds no actor is killed for not ending in time, and the root gets an
// error if it reads from its terminal itself.
//
// If the root is not in the foreground of a terminal, dlv is not installed, or the process may not
// be traced, one dump of all stacks, with their labels, is written to the root's standard error,
// and Pause returns.
//
// If ctx ends while others are paused, Pause returns its cause. On other systems than Linux it
// returns errors.ErrUnsupported. It panics if ctx is nil.
func Pause(ctx context.Context) error {
	if ctx == nil {
		panic("traigo: actor.Pause: ctx is nil")
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	task := taskOf(ctx)
	p := here.pauses.newPause()
	p.say(pauseRequest{Step: stepAsk, Task: task})
	defer p.say(pauseRequest{Step: stepEnd})
	var turn pauseAnswer
	select {
	case turn = <-p.answers:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	why := turn.Why
	if why == "" {
		why = p.stop(turn.Root)
	}
	if why != "" {
		p.say(pauseRequest{Step: stepDump, Dump: dump(task, why)})
		<-p.answers // the program may end at once after Pause, so the dump is written before it returns
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

// framesBelowPause is how many frames there are from the breakpoint to the caller of Pause: stop,
// and Pause. The debugger shows the caller.
const framesBelowPause = 2

// stop asks for the debugger, stops in it, and returns when it has left. If the process was not
// stopped, stop returns why.
func (p *ownPause) stop(root int) (why string) {
	// A debugger traces threads, one after the other. A breakpoint in a thread that it does not
	// trace ends the process. So the thread that looks for its tracer is the one that stops.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if by := tracer(); by != 0 {
		return fmt.Sprintf("process %d traces it already", by)
	}
	// Under Yama a process is traced by its ancestors only, unless it allows somebody else and
	// those below: here the root, whose child the debugger is. Without Yama this is an error.
	_ = unix.Prctl(unix.PR_SET_PTRACER, uintptr(root), 0, 0, 0)
	defer func() { _ = unix.Prctl(unix.PR_SET_PTRACER, 0, 0, 0, 0) }()
	p.say(pauseRequest{Step: stepTrace})
	poll := time.NewTicker(5 * time.Millisecond)
	defer poll.Stop()
	seen, hasStopped := 0, false
	for {
		select {
		case left := <-p.answers: // the debugger has left, and the terminal is as it was
			if hasStopped {
				return ""
			}
			return left.Why
		case <-poll.C:
		}
		if hasStopped || tracer() == 0 {
			continue
		}
		// A thread may see its tracer for an instant before it is stopped for it. It sees it once
		// more only when the debugger has told all threads to continue, and waits for a breakpoint.
		if seen++; seen == 2 {
			hasStopped = true
			// A debugger that is killed from here on takes the process with it, by the signal of a
			// breakpoint: Go's runtime lets nobody handle that. One that leaves does not.
			runtime.Breakpoint()
		}
	}
}

// tracer returns the number of the process that traces this thread, 0 if there is none.
func tracer() int {
	status, _ := os.ReadFile("/proc/thread-self/status")
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

// What a paused process says to the root, step by step.
const (
	stepAsk   = "ask"   // it waits for its turn; answered when that has come
	stepTrace = "trace" // it may be traced; answered when the debugger has left
	stepDump  = "dump"  // it has made a dump; answered when that is written
	stepEnd   = "end"   // of the Pause, at any time; not answered
)

type pauseRequest struct {
	Pause pauseID `json:"pause"`
	Step  string  `json:"step"`
	Task  string  `json:"task,omitempty"` // of stepAsk
	Dump  string  `json:"dump,omitempty"`
}

type pauseAnswer struct {
	Pause pauseID `json:"pause"`
	Root  int     `json:"root,omitempty"` // the process whose child the debugger will be
	Why   string  `json:"why,omitempty"`  // there is no debugger, or it has left without a stop
}

// A pauseID says which Pause of the tree is meant.
type pauseID struct {
	Actor  ID     `json:"actor"`
	Number uint64 `json:"number"` // within its process
}

// pauses are the Pauses of this process and of the actors below it, as far as this process has to
// do with them: it passes on what they say, towards the root, and what the root answers.
type pauses struct {
	turns turns // in the root

	mu     sync.Mutex
	lastID uint64
	begun  map[pauseID]pauseRoute
}

// A pauseRoute is where the answers to a Pause go.
type pauseRoute struct {
	child *Actor    // nil if this process is paused itself
	own   *ownPause // nil otherwise
}

// An ownPause is a Pause of this process.
type ownPause struct {
	id      pauseID
	answers chan pauseAnswer // holds one: after each step but stepEnd the process waits for its answer
}

func (p *pauses) newPause() *ownPause {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.lastID++
	return &ownPause{id: pauseID{Self(), p.lastID}, answers: make(chan pauseAnswer, 1)}
}

func (p *ownPause) say(req pauseRequest) {
	req.Pause = p.id
	here.pauses.up(pauseRoute{own: p}, req)
}

// up takes a step of a Pause on its way to the root.
func (p *pauses) up(from pauseRoute, req pauseRequest) {
	p.mu.Lock()
	switch req.Step {
	case stepAsk:
		if p.begun == nil {
			p.begun = map[pauseID]pauseRoute{}
		}
		p.begun[req.Pause] = from
	case stepEnd:
		delete(p.begun, req.Pause)
	}
	p.mu.Unlock()
	if parent := here.parent.Load(); parent != nil {
		parent.outbox.post(askPause, 0, req)
		return
	}
	p.turns.take(req)
}

// down takes an answer of the root on its way to the process that is paused.
func (p *pauses) down(answer pauseAnswer) {
	p.mu.Lock()
	to := p.begun[answer.Pause]
	p.mu.Unlock()
	switch {
	case to.child != nil:
		to.child.link.outbox.post(answerPause, 0, answer)
	case to.own != nil:
		to.own.answers <- answer
	default: // it has ended meanwhile
	}
}

// hear handles what a child says.
func (p *pauses) hear(child *Actor, payload []byte) {
	var req pauseRequest
	_ = decodeJSON(payload, &req)
	p.up(pauseRoute{child: child}, req)
}

// answer handles what the parent says.
func (p *pauses) answer(payload []byte) {
	var answer pauseAnswer
	_ = decodeJSON(payload, &answer)
	p.down(answer)
}

// lose ends the Pauses of a child that has gone, and of all actors below it. It is called when
// nothing can be heard of the child any more, so no Pause of it begins later.
func (p *pauses) lose(child *Actor) {
	p.mu.Lock()
	var ended []pauseID
	for id, route := range p.begun {
		if route.child == child {
			ended = append(ended, id)
		}
	}
	p.mu.Unlock()
	for _, id := range ended {
		p.up(pauseRoute{}, pauseRequest{Pause: id, Step: stepEnd})
	}
}

// tellPause stops the clocks of this process and of all below it, or lets them go on.
func (p *process) tellPause(on bool) {
	p.clock.pause(on)
	for _, a := range p.all() {
		a.link.outbox.post(tellPause, 0, on)
	}
}
