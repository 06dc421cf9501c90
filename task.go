package traigo

import (
	"context"
	"fmt"
	"reflect"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// A Task is one function running in a [Scope]: the handle that Spawn returns.
// It may be ignored; the scope waits for the function in any case. All methods may
// be called from any goroutine; they panic on a nil *Task, which is what
// [CurrentTask] returns where there is none.
type Task struct {
	// A Task is small because most tasks are short: to allocate and to collect one
	// is half of what such a task costs. What only some tasks need is in ext.

	// Set at spawn, then read-only.
	scope   *Scope
	fn      func(context.Context) error
	name    *nameOption // nil: the name of the function
	id      uint64      // 0 if the task was refused
	spawned stamp       // when
	flags   flags
	owner   owner

	started bool // a goroutine has taken it to run fn. Under scope.mu

	// Written under scope.mu, read without it.
	bits atomic.Uint32
	ext  atomic.Pointer[taskExt]

	// Under scope.mu.
	prev, next *Task         // in the list of the scope
	ctxDone    chan struct{} // Done of the task's context; made when somebody asks for it
}

// flags are what the options of Spawn have fixed.
type flags uint16

const (
	bubbles flags = 1 << iota
	bubbleGiven
	master
	awaited
	dedicated
	forAwait // of Async: the error belongs to whoever awaits
	forStart // of Start: until ready is called the error belongs to the caller
)

// Bits are what has happened to a task. Each is set once, unless it says otherwise.
const (
	introduced      uint32 = 1 << iota // observers were told that it starts
	hasEnded                           // the result stands
	hasFailed                          // by an error that its cancellation does not explain
	isCtxDone                          // its context is done; ctxDone, if it was made, is closed
	endedUncanceled                    // it ended before its context was canceled, and its context ended with it
	isReady                            // of Start: ready was called
	callerLeft                         // of Start: the caller has left before ready was called
	givenUp                            // it has not ended in time, and its scope goes on without it
	warned                             // a warning about it has been logged
	received                           // somebody has its error
	unlabeled                          // its context could not be asked for pprof labels
	hasSlot                            // of the limit of its scope; cleared when it gives the slot back
)

func (t *Task) has(bit uint32) bool { return t.bits.Load()&bit != 0 }
func (t *Task) set(bit uint32)      { t.bits.Or(bit) }
func (t *Task) clear(bit uint32)    { t.bits.And(^bit) }

// taskExt is what few tasks have: those that fail, that somebody waits for, from whose
// context another was derived, or that were spawned with rare options.
type taskExt struct {
	// Set at spawn, then read-only.
	pc               uintptr         // code of the user's function, where fn wraps it
	nth              int             // of a join: its place among the functions or items, from 1
	values           context.Context // of Values
	admitBefore      context.Context // of AdmitBefore
	onDone           func(error)
	timeout          time.Duration
	deadline         time.Time // set when the task is accepted
	cancelTimeout    time.Duration
	hasCancelTimeout bool
	start            *starting

	// Written under scope.mu before hasEnded is set, read after it.
	err error

	// The ending of this task alone: by its Cancel, by its Timeout, or, where somebody
	// asks after the task has ended, by its own end. Set once under scope.mu, read
	// without it.
	over atomic.Pointer[ending]

	// Under scope.mu.
	hooks     *hook         // what the end of the task's context calls
	done      chan struct{} // Done of the task; made when somebody asks for it
	waiters   int32         // callers of Wait and Await
	abandoned int32         // calls of Blocking that it has abandoned and that still run
	timer     *time.Timer
	endedAt   time.Time // when it was canceled alone, or when a Run that it then waited in has returned
	stuck     error     // set when the task is given up: a *StuckError, with a TimeoutError of its own if that came first
}

// ownExt returns t's extension, allocating it. Before spawn: no lock. After: scope.mu.
func (t *Task) ownExt() *taskExt {
	x := t.ext.Load()
	if x == nil {
		x = new(taskExt)
		t.ext.Store(x)
	}
	return x
}

// alone returns what has ended the context of this task and of no other.
func (t *Task) alone() *ending {
	if x := t.ext.Load(); x != nil {
		return x.over.Load()
	}
	return nil
}

// ended returns what has canceled the task: it alone, or something further out; nil if
// nothing has.
func (t *Task) ended() *ending {
	if e := t.alone(); e != nil && e.kind != Completed {
		return e
	}
	return t.scope.ended()
}

// contextEnded returns what has ended the context of the task: what has canceled it, or,
// if it has ended before anything did, its own end. The answer does not change once it is
// not nil: if the scope is yet to be told that something further out has ended, that is
// decided here, and the effects are left to the hook that is about to be called.
func (t *Task) contextEnded() *ending {
	s := t.scope
	if e := t.alone(); e != nil {
		return e
	}
	isOver := s.over.Load() != nil // before the bit: a task that ends after it does not set that
	if !t.has(endedUncanceled) {
		if isOver {
			return s.ending()
		}
		if s.outerEnded() == nil {
			return nil
		}
	}
	s.lock()
	defer s.mu.Unlock()
	if t.has(endedUncanceled) {
		return t.ownEndLocked()
	}
	return s.ending()
}

// ownEndLocked returns the ending that the end of t itself is for its context. It is
// made when somebody asks.
func (t *Task) ownEndLocked() *ending {
	x := t.ownExt()
	if x.over.Load() == nil {
		x.over.Store(&ending{scope: t.scope, reason: reason{kind: Completed, task: t}})
	}
	return x.over.Load()
}

// Cancel ends this task alone: its context is done, with a [*Cancellation]
// that names the task as the cause. What the task then returns because of that is no
// failure. cause may be nil. A task that has ended, or whose scope has been canceled,
// is left as it is. It does not wait: see [Task.Wait].
func (t *Task) Cancel(cause error) {
	t.check("Cancel")
	t.cancelFor(reason{kind: Requested, task: t, err: cause})
}

func (t *Task) cancelFor(why reason) {
	s := t.scope
	s.lock()
	if s.state >= Canceling || t.has(hasEnded) || t.alone() != nil {
		s.settle()
		return
	}
	e := &ending{scope: s, reason: why}
	x := t.ownExt()
	x.endedAt = time.Now()
	x.over.Store(e)
	t.set(isCtxDone)
	waiting, hooks := t.ctxDone, takeHooksLocked(&x.hooks)
	s.live++ // until the effects have been applied
	s.mu.Unlock()

	if waiting != nil {
		close(waiting)
	}
	s.callHooks(hooks)
	s.watchStragglers()
	s.logTaskCanceled(t, e)

	s.mu.Lock()
	s.live--
	s.settle()
}

// Wait waits until the task has ended and returns the error of its function,
// as it was returned. If ctx ends first it returns the cause of that, and the
// task is not touched; if the task is given up, it returns a [*StuckError]. A task that
// waits for itself, or for one that waits for it by way of Run, gets an error at
// once.
func (t *Task) Wait(ctx context.Context) error {
	t.check("Wait")
	mustHaveContext("Wait", ctx)
	_, err := t.wait(ctx)
	return err
}

// wait is Wait. It also reports whether the error is what the function returned.
func (t *Task) wait(ctx context.Context) (ended bool, err error) {
	if t.has(hasEnded) {
		return true, t.receive()
	}
	if t.has(givenUp) {
		return false, t.stuckError()
	}
	if t.waitsFor(ctx) {
		return false, fmt.Errorf("traigo: task %q waits for itself", t.Path())
	}
	done, gaveUp := t.expect(+1)
	for {
		select {
		case <-done:
			return true, t.receive()
		case <-gaveUp:
			if t.has(givenUp) {
				return false, t.stuckError()
			}
			_, gaveUp = t.expect(0)
		case <-ctx.Done():
			t.expect(-1)
			// The end of the task may be what has ended ctx: its result comes first.
			switch {
			case t.has(hasEnded):
				return true, t.receive()
			case t.has(givenUp):
				return false, t.stuckError()
			}
			return false, causeOf(ctx)
		}
	}
}

// expect counts n more callers who wait, so that a task that ends knows that its error
// will be received. It returns two channels: done is closed at the end of t, gaveUp
// when some task of the scope is given up.
func (t *Task) expect(n int32) (done, gaveUp <-chan struct{}) {
	s := t.scope
	s.mu.Lock()
	defer s.mu.Unlock()
	t.ownExt().waiters += n
	if t.has(givenUp) {
		closed := make(chan struct{})
		close(closed)
		return t.doneLocked(), closed
	}
	if t.patience() == 0 {
		return t.doneLocked(), nil
	}
	return t.doneLocked(), s.ownExtLocked().gaveUp.waitLocked(false)
}

// stuckError is what a task that was given up has instead of a result.
func (t *Task) stuckError() error {
	t.scope.mu.Lock()
	defer t.scope.mu.Unlock()
	return t.ownExt().stuck
}

// Done returns a channel that is closed when the task's function has returned.
func (t *Task) Done() <-chan struct{} {
	t.check("Done")
	t.scope.mu.Lock()
	defer t.scope.mu.Unlock()
	return t.doneLocked()
}

func (t *Task) doneLocked() <-chan struct{} {
	x := t.ownExt()
	if x.done == nil {
		x.done = make(chan struct{})
		if t.has(hasEnded) {
			close(x.done)
		}
	}
	return x.done
}

// Err returns nil before the task is done, and the error of its function after:
// as it was returned, or a [*TimeoutError], a [*PanicError], [ErrGoexit], or
// [ErrRefused] with the cause.
func (t *Task) Err() error {
	t.check("Err")
	if !t.has(hasEnded) {
		return nil
	}
	return t.receive()
}

// receive returns the result to a caller who asked for it.
func (t *Task) receive() error {
	err := t.result()
	if err != nil && t.flags&forAwait != 0 && !t.has(received) {
		t.scope.mu.Lock()
		t.scope.receivedLocked(t)
		t.scope.mu.Unlock()
	}
	return err
}

// result is the error of a task that has ended.
func (t *Task) result() error {
	if x := t.ext.Load(); x != nil {
		return x.err
	}
	return nil
}

// Failed reports whether the task has ended by an error of its own, or a panic: not
// by one that its cancellation explains. A task that was refused has not failed, for it
// never ran. It is known when observers are told [TaskEnded].
func (t *Task) Failed() bool {
	t.check("Failed")
	return t.has(hasFailed)
}

// State returns where in its life the task is.
func (t *Task) State() TaskState {
	t.check("State")
	t.scope.mu.Lock()
	defer t.scope.mu.Unlock()
	return t.stateLocked()
}

func (t *Task) stateLocked() TaskState {
	x := t.ext.Load()
	switch {
	case t.has(hasEnded) && x != nil && x.abandoned > 0:
		return Abandoned
	case t.has(hasEnded):
		return Ended
	case t.has(givenUp):
		return GivenUp
	case !t.started:
		return Queued
	case t.has(isCtxDone):
		return TaskCanceling
	default:
		return Running
	}
}

// Cause returns why the context of the task is done: what [context.Cause] returns
// there. It returns nil while the context is not done, and after an end of the task
// that no cancellation came before.
func (t *Task) Cause() error {
	t.check("Cause")
	if t.has(endedUncanceled) {
		return nil
	}
	if e := t.contextEnded(); e != nil {
		return e.Cause()
	}
	return nil
}

// TaskFlags are what the options [Bubble], [Master] and [Awaited] have fixed when a
// task was spawned.
type TaskFlags struct {
	Bubble  bool // a failure of the task ends its scope
	Master  bool // its end ends its scope
	Awaited bool // a finalizing scope stays for it
}

// Flags returns what the options have fixed when the task was spawned.
func (t *Task) Flags() TaskFlags {
	t.check("Flags")
	return TaskFlags{Bubble: t.owner == ownScope, Master: t.flags&master != 0, Awaited: t.flags&awaited != 0}
}

// Scope returns the scope that the task lives in.
func (t *Task) Scope() *Scope {
	t.check("Scope")
	return t.scope
}

// ID returns the number of the task, unique in its scope; 0 if it was refused.
func (t *Task) ID() uint64 {
	t.check("ID")
	return t.id
}

// Name returns the name given by [Name] or [NameOf], or that of the task's function:
// in joins with its place among the functions or items, as in "fetch[2]".
func (t *Task) Name() string {
	t.check("Name")
	if name := t.name.String(); name != "" {
		return name
	}
	x := t.ext.Load()
	switch {
	case x == nil || x.pc == 0:
		return funcName(pcOf(t.fn))
	case x.nth > 0:
		return funcName(x.pc) + "[" + strconv.Itoa(x.nth-1) + "]"
	default:
		return funcName(x.pc)
	}
}

// Path returns the path of the task's scope and the task's name, joined by a
// slash.
func (t *Task) Path() string {
	t.check("Path")
	return t.scope.Path() + "/" + t.Name()
}

// pcOf is where the code of a function begins.
func pcOf(fn any) uintptr { return reflect.ValueOf(fn).Pointer() }

// funcName is the name of a function without its package.
func funcName(pc uintptr) string {
	f := runtime.FuncForPC(pc)
	if f == nil {
		return "func"
	}
	name := f.Name()
	name = name[strings.LastIndexByte(name, '/')+1:]
	if _, after, ok := strings.Cut(name, "."); ok {
		name = after
	}
	return strings.TrimSuffix(name, "-fm")
}
