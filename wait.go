package traigo

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/traigo/traigo/internal/hold"
	"github.com/traigo/traigo/internal/stackdump"
)

// Waiting for a scope, Shutdown and Stopping; and Blocking, which waits for a call.

// patience is how long a wait takes before this package logs a warning that it may never
// end.
const patience = 10 * time.Second

// join waits until the scope is closed.
//
// It uses a WaitGroup, since a channel would be an allocation of 112 B. The first caller
// of join calls Add, and not newScope, since a WaitGroup belongs to the synctest bubble
// of the goroutine that first calls Add.
//
//go:noinline
func (s *Scope) join() {
	s.mu.Lock()
	done := s.isDone
	if !done && !s.isJoining {
		s.isJoining = true
		s.joiner.Add(1)
	}
	s.mu.Unlock()
	if !done {
		s.joiner.Wait()
	}
}

// await waits until the scope is closed and reports true, or until stop is closed and
// reports false. A nil stop is never closed. The caller may be a task of the scope and so
// wait for itself, which only its stack tells: after patience, await examines the stack
// and logs a warning.
//
//go:noinline
func (s *Scope) await(stop <-chan struct{}) bool {
	s.mu.Lock()
	if s.isDone {
		s.mu.Unlock()
		return true
	}
	if stop == nil && s.first == s.queue && s.children == nil && s.body == noBody {
		s.mu.Unlock()
		s.join() // no task has started, so the caller is not a part of the scope
		return true
	}
	done := s.done.waitLocked(false)
	s.mu.Unlock()
	long := time.NewTimer(patience)
	defer long.Stop()
	for {
		select {
		case <-done:
			return true
		case <-stop:
			return false
		case <-long.C:
			if who := s.partIn(ownStack()); who != "" {
				s.log(slog.LevelWarn, "the scope is waited for by "+who+", which is a part of it: "+
					"neither will end; wait for it from outside", nil, nil)
			}
		}
	}
}

// waitsMu guards the waiting fields of all tasks: a circle of tasks that wait for each
// other may go through several scopes, and their locks are not held together.
var waitsMu sync.Mutex

// waitFor records that the code that holds ctx waits for t, until done is called. done is
// nil if ctx does not tell which task that code is in. Where the
// task that waits is known by ctx, and t cannot end before that does, it returns an error
// that names the tasks of the circle.
func (t *Task) waitFor(ctx context.Context) (done func(), err error) {
	waiters := waitersOf(ctx)
	if len(waiters) == 0 {
		return nil, nil
	}
	for _, w := range waiters {
		w.scope.mu.Lock()
		w.ownExt()
		w.scope.mu.Unlock()
	}
	waitsMu.Lock()
	defer waitsMu.Unlock()
	if circle := t.pathTo(waiters, nil); circle != nil {
		return nil, circleError(circle)
	}
	for _, w := range waiters {
		x := w.ext.Load()
		x.waiting = append(x.waiting, t)
	}
	return func() {
		waitsMu.Lock()
		defer waitsMu.Unlock()
		for _, w := range waiters {
			x := w.ext.Load()
			if i := slices.Index(x.waiting, t); i >= 0 {
				x.waiting = slices.Delete(x.waiting, i, i+1)
			}
		}
	}, nil
}

// waitersOf returns the tasks that cannot end before the code that holds ctx goes on: the
// task that ctx is in, and the tasks further up that are in a Run for it. A Run does not wait
// for a task with Awaited(false), but cancels it.
func waitersOf(ctx context.Context) (tasks []*Task) {
	_, t := callerOf(ctx)
	for ; t != nil; t = t.scope.heldBy() {
		tasks = append(tasks, t)
		if t.flags&awaited == 0 {
			break
		}
	}
	return tasks
}

// pathTo returns the tasks from t to one of goals, each of which waits for the next; nil if
// there is no such path. path are the tasks before t. waitsMu is held.
func (t *Task) pathTo(goals, path []*Task) []*Task {
	path = append(path, t)
	if slices.Contains(goals, t) {
		return path
	}
	x := t.ext.Load()
	if x == nil {
		return nil
	}
	for _, next := range x.waiting {
		if slices.Contains(path, next) {
			continue
		}
		if found := next.pathTo(goals, path); found != nil {
			return found
		}
	}
	return nil
}

func circleError(circle []*Task) error {
	if len(circle) == 1 {
		return fmt.Errorf("traigo: task %q waits for itself", circle[0].Path())
	}
	var b strings.Builder
	fmt.Fprintf(&b, "traigo: tasks wait for each other: %q", circle[len(circle)-1].Path())
	for _, t := range circle {
		fmt.Fprintf(&b, " for %q", t.Path())
	}
	return errors.New(b.String())
}

// callerOf returns the scope and task that code with the context ctx must be a part of;
// nil if ctx does not tell, as for Scope.Context of a scope opened by New or Fork, which
// any code may use.
func callerOf(ctx context.Context) (*Scope, *Task) {
	s, t := where(ctx)
	if s != nil && s.how != ran && (t == nil || t.scope != s) {
		return nil, nil
	}
	return s, t
}

// heldBy returns the task that is in the Run that waits for s; nil if there is none.
func (s *Scope) heldBy() *Task {
	for s.how == forked {
		s = s.parent
	}
	if s.how != ran {
		return nil
	}
	_, caller := where(s.outer)
	return caller
}

// Stopping returns a channel that is closed when [Scope.Shutdown] is called on the scope
// of ctx or on a scope above, or when the scope of ctx is canceled. A server should then
// accept no new work. If ctx carries no scope, Stopping returns nil, a channel that is
// never closed. It panics if ctx is nil.
func Stopping(ctx context.Context) <-chan struct{} {
	mustHaveContext("Stopping", ctx)
	s := Current(ctx)
	if s == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ownExtLocked().stopping.waitLocked(s.isStopping)
}

// Shutdown finalizes the scope and all forks below it, closes the channels of [Stopping]
// for the scope and all scopes below, and waits until the scope is closed. If ctx is done
// before, Shutdown cancels the scope with the cause of ctx and keeps waiting. It returns,
// or panics with, the outcome like [Scope.Wait].
//
// A fork without an awaited task ends at once and then refuses tasks. A fork that is
// opened after Shutdown was called is finalized when only forks are left in its parent.
//
// A task of the scope, or its body, must not call Shutdown: it would wait for itself. If
// ctx is the context of such a task, Shutdown returns an error after it has finalized the
// scope. Shutdown panics if ctx is nil.
func (s *Scope) Shutdown(ctx context.Context) error {
	s.check("Shutdown")
	mustHaveContext("Shutdown", ctx)
	s.softStop(true)
	if s.isCalledBy(ctx) {
		return fmt.Errorf("traigo: Shutdown of scope %q by a part of it, which cannot wait for itself: the scope is finalizing; wait from outside", s.Path())
	}
	s.asked.Store(true)
	if !s.await(ctx.Done()) {
		s.cancelFor(s.request(nil, causeOf(ctx)))
		s.await(nil)
	}
	return s.returnOutcome()
}

// softStop closes Stopping for s and all scopes below, and finalizes s, if finalize is
// set, and the forks below. Scopes opened by Run or New below are not finalized.
func (s *Scope) softStop(finalize bool) {
	s.mu.Lock()
	s.signalStoppingLocked()
	if finalize {
		s.moveLocked(inFinalize)
	}
	below := s.belowLocked() // a scope that is opened later gets isStopping from admit
	s.settle()
	for _, c := range below {
		if !c.isShielded {
			c.softStop(c.how == forked)
		}
	}
}

// signalStoppingLocked closes the channel of Stopping.
func (s *Scope) signalStoppingLocked() {
	if !s.isStopping {
		s.isStopping = true
		s.ext.stopping.closeLocked()
	}
}

// isCalledBy reports whether the code that runs with ctx is part of a task or body of s
// or of a scope below, so that s waits for it.
func (s *Scope) isCalledBy(ctx context.Context) bool {
	in, _ := callerOf(ctx)
	for in != nil && in != s {
		in = in.parent
	}
	return in == s
}

// ownStack returns the stack of the calling goroutine.
func ownStack() stackdump.Stacks { return findStacks(stackdump.Own()) }

// partIn describes the body or task of s, or of a scope below, whose frame is in stacks;
// "" if there is none.
func (s *Scope) partIn(stacks stackdump.Stacks) string {
	if stacks.Of(s) != "" {
		return fmt.Sprintf("the body of %q", s.Path())
	}
	s.mu.Lock()
	var own *Task
	for t := s.first; t != nil && own == nil; t = t.next {
		if stacks.Of(t) != "" {
			own = t
		}
	}
	children := s.belowLocked()
	s.mu.Unlock()
	if own != nil {
		return fmt.Sprintf("task %q", own.Path())
	}
	for _, c := range children {
		if who := c.partIn(stacks); who != "" {
			return who
		}
	}
	return ""
}

// Blocking returns a task function that calls fn, a function without a context, on a new
// goroutine, and returns its error. A panic of fn is a panic of the task. If the context
// is done first, the task function abandons fn, which cannot be stopped: it returns the
// cause at once. Observers get the event [TaskAbandoned], and snapshots list the call
// until fn returns. Until then the slot of the task under a [Limit] is not released. An
// error that an abandoned fn returns is logged at WARN, a panic at ERROR. If the context
// is done at the start, fn is not called. Blocking panics if fn is nil.
//
// To be able to stop such work, run it in another process: see package proc.
func Blocking(fn func() error) func(ctx context.Context) error {
	mustHaveFunc("Blocking", fn != nil, "the call that blocks")
	return func(ctx context.Context) error {
		if ctx.Err() != nil || isDone(ctx.Done()) {
			return causeOf(ctx)
		}
		c := newCall(ctx, fn)
		go c.run()
		if c.wait(ctx) || !c.abandon(ctx) {
			<-c.done
			return c.result()
		}
		if c.scope != nil {
			c.scope.emit(TaskAbandoned, c.task, nil)
		}
		return causeOf(ctx)
	}
}

// A call is a running call of the function passed to Blocking.
type call struct {
	fn    func() error
	scope *Scope // the scope of the caller's context; nil if it carries none
	task  *Task  // the task of the caller's context, which may be in a scope above; nil if it carries none
	done  chan struct{}
	err   error // written before done is closed, read afterwards

	// mu decides whether the call ends first or is abandoned first. It points to scope.mu
	// or, if scope is nil, to own.
	mu          *sync.Mutex
	own         sync.Mutex
	hasEnded    bool
	isAbandoned bool
	since       stamp  // when the call was abandoned
	release     func() // releases what hold.Keep has kept for the call; set when the call is abandoned
}

func newCall(ctx context.Context, fn func() error) *call {
	c := &call{fn: fn, done: make(chan struct{}), err: ErrGoexit}
	c.scope, c.task = where(ctx)
	c.mu = &c.own
	if c.scope != nil {
		c.mu = &c.scope.mu
	}
	return c
}

// run calls the function. Its frame in a goroutine dump shows the address of c: see
// Task.call.
//
//go:noinline
func (c *call) run() {
	defer func() {
		if value := recover(); value != nil {
			path := ""
			if c.task != nil {
				path = c.task.Path()
			}
			c.err = newPanicError(path, value)
		}
		abandoned := c.end()
		close(c.done)
		if abandoned {
			c.reportLate()
		}
	}()
	c.err = c.fn()
}

// wait reports whether the call has ended; if not, ctx is done. In a goroutine dump its frame
// says which call the task waits for.
//
//go:noinline
func (c *call) wait(ctx context.Context) (ended bool) {
	select {
	case <-c.done:
		ended = true
	case <-ctx.Done():
	}
	runtime.KeepAlive(c)
	return ended
}

// result returns the error of the call, or panics if the call has panicked. It is called
// on the goroutine of the task.
func (c *call) result() error {
	if p, ok := c.err.(*PanicError); ok {
		panic(p)
	}
	return c.err
}

// abandon marks the call as abandoned, so that the caller can return. It reports false if
// the call has ended meanwhile. Units that the caller has acquired for the call, such as
// those of a capacity.Limiter, stay acquired until the call ends: hold.Keep is called
// before the caller can release them.
func (c *call) abandon(ctx context.Context) bool {
	release := hold.Keep(ctx)
	c.task.countAbandoned(+1)
	c.mu.Lock()
	if c.hasEnded {
		c.mu.Unlock()
		c.task.countAbandoned(-1)
		release()
		return false
	}
	c.isAbandoned, c.since, c.release = true, now(), release
	if c.scope != nil {
		x := c.scope.ownExtLocked()
		x.calls = append(x.calls, c)
	}
	c.mu.Unlock()
	return true
}

// end records that the call has ended, releases what it kept if it was abandoned, and
// reports whether it was.
func (c *call) end() bool {
	c.mu.Lock()
	c.hasEnded = true
	abandoned := c.isAbandoned
	if abandoned && c.scope != nil {
		x := c.scope.ownExtLocked()
		x.calls = slices.DeleteFunc(x.calls, func(other *call) bool { return other == c })
		c.scope.settle()
	} else {
		c.mu.Unlock()
	}
	if abandoned {
		c.task.countAbandoned(-1)
		c.release()
	}
	return abandoned
}

// reportLate logs the result of an abandoned call.
func (c *call) reportLate() {
	switch _, panicked := c.err.(*PanicError); {
	case panicked:
		c.scope.log(slog.LevelError, "panic of an abandoned call", c.task, c.err)
	case c.err != nil:
		c.scope.log(slog.LevelWarn, "error of an abandoned call", c.task, c.err)
	default:
		c.scope.log(slog.LevelDebug, "abandoned call ended", c.task, nil)
	}
}
