package traigo

import (
	"context"
	"sync/atomic"
	"time"
)

// A Task is a function that runs in a [Scope]. [Scope.Spawn] returns it as a handle; a
// caller that does not need the handle may ignore it. All methods may be called from any
// goroutine. They panic on the zero Task and on a nil *Task, which is what [CurrentTask]
// returns for a context without a task.
type Task struct {
	// A Task is kept small, since allocating and collecting it is half the cost of a
	// short task. Fields that few tasks need are in taskExt.

	// Set before the task is accepted; read-only afterwards.
	scope   *Scope
	fn      func(context.Context) error
	name    *nameOption // nil: the name of the function
	id      uint64      // 0 if the task was refused
	spawned stamp       // when it was accepted; approximate: see reserveLocked
	flags   flags
	owner   owner

	started bool // a goroutine has taken the task from the queue; protected by scope.mu

	// Written with scope.mu held, read without.
	bits atomic.Uint32
	ext  atomic.Pointer[taskExt]

	// Protected by scope.mu.
	prev, next *Task         // in the list of the scope
	ctxDone    chan struct{} // the channel of the context's Done; nil until Done is called
}

// flags are the properties of a task that its options and the function that spawned it
// determine. For the owner of the error see owner.
type flags uint16

const (
	bubbles flags = 1 << iota
	bubbleGiven
	master
	awaited
	dedicated
	forAwait  // spawned by Async
	forStart  // spawned by Start: until ready is called, Start returns the error
	runsItems // accepted by the goroutine that runs it; it may run a series of items
	inPlace   // accepted by the goroutine that runs it, which is not one of the scope's
)

// The bits of a task record its history. A bit is never cleared, except hasSlot.
const (
	hasEnded        uint32 = 1 << iota // the result stands
	hasFailed                          // by an error that its cancellation does not explain
	isCtxDone                          // its context is done; ctxDone, if it was made, is closed
	endedUncanceled                    // it ended before its context was canceled, and its context ended with it
	isReady                            // of Start: ready was called
	callerLeft                         // of Start: the caller has left before ready was called
	givenUp                            // it has not ended in time, and its scope goes on without it
	warned                             // a warning about it has been logged
	received                           // somebody has its error
	unlabeled                          // its context could not be asked for pprof labels
	hasWon                             // of Race: it ends the scope like a master
	endedByCtx                         // its function has returned what Err of its context does
	hasSlot                            // of the limit of its scope; cleared when it gives the slot back
)

func (t *Task) has(bit uint32) bool { return t.bits.Load()&bit != 0 }
func (t *Task) set(bit uint32)      { t.bits.Or(bit) }
func (t *Task) isMaster() bool      { return t.flags&master != 0 || t.has(hasWon) }

func (t *Task) clear(bit uint32) { t.bits.And(^bit) }

// taskExt holds the fields that few tasks need: tasks that fail, that a caller waits for,
// whose context has derived contexts, or that have rare options.
type taskExt struct {
	// Set before the task is accepted; read-only afterwards.
	pc               uintptr         // entry address of the user's function, if fn is a wrapper around it
	series           *series         // of a task that runs items of a join
	inPlace          *inPlaceTask    // of a task that runs in place
	values           context.Context // set by Values
	admitBefore      context.Context // set by AdmitBefore
	onDone           func(error)
	timeout          time.Duration
	deadline         time.Time // set when the task is accepted
	cancelTimeout    time.Duration
	hasCancelTimeout bool
	start            *starting

	// Written with scope.mu held, before hasEnded is set; read after it is set.
	err error

	// Why this task alone was canceled: by Cancel or by its Timeout. For a task that
	// ended uncanceled, an ending of kind Completed, made on demand. Set once, with
	// scope.mu held; read without.
	over atomic.Pointer[ending]

	// Protected by scope.mu.
	hooks     *hook         // functions to call, and scopes to cancel, when the context is done
	done      chan struct{} // the channel of Task.Done; nil until a caller needs it
	waiting   []*Task       // the tasks that it waits for, itself or in a Run; under waitsMu
	waiters   int32         // how many callers are in Wait or Await
	abandoned int32         // how many calls of Blocking the task has abandoned that are still running
	timer     *time.Timer
	endedAt   stamp // when it was canceled alone, or when a Run that it then waited in has returned
	stuck     error // set when the task is given up: a *StuckError, with a TimeoutError of its own if that came first
}

// ownExt returns t.ext, which it allocates if it is nil. Once the task is accepted,
// scope.mu must be held.
func (t *Task) ownExt() *taskExt {
	x := t.ext.Load()
	if x == nil {
		x = new(taskExt)
		t.ext.Store(x)
	}
	return x
}

// since returns when the task was accepted or, if it runs a series of items, when the item
// has begun.
func (t *Task) since() stamp {
	if t.flags&runsItems != 0 {
		return stamp(t.ext.Load().series.began.Load())
	}
	return t.spawned
}

// alone returns why the context of this task alone is done; nil if it is not, or if the
// whole scope is canceled.
func (t *Task) alone() *ending {
	if x := t.ext.Load(); x != nil {
		return x.over.Load()
	}
	return nil
}

// ended returns why the task is canceled, alone or with a scope above; nil if it is not.
// It does not say whether the function has returned: that is hasEnded.
func (t *Task) ended() *ending {
	if e := t.alone(); e != nil && e.kind != Completed {
		return e
	}
	return t.scope.ended()
}

// contextEnded returns why the context of the task is done: because the task was
// canceled, or because it ended before that. It returns nil if the context is not done.
// Once the result is not nil it does not change. If an outer context is done and the
// scope has not yet recorded that, contextEnded records it (s.lock); the effects are
// applied by the hook of the outer context, which runs soon.
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

// ownEndLocked returns the ending of the context of a task that ended uncanceled. It
// makes it on the first call.
func (t *Task) ownEndLocked() *ending {
	x := t.ownExt()
	if x.over.Load() == nil {
		x.over.Store(&ending{scope: t.scope, reason: reason{kind: Completed, task: t}})
	}
	return x.over.Load()
}

// Cancel cancels this task alone: its context is done, and [context.Cause] returns a
// [*Cancellation] that names the task and wraps cause, which may be nil. An error that
// the task then returns is not a failure if it only reports the cancellation. Cancel does
// nothing if the task has ended, has been canceled, or its scope has been canceled. It
// does not wait; see [Task.Wait].
func (t *Task) Cancel(cause error) {
	t.check("Cancel")
	t.cancelFor(t.scope.request(t, cause))
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
	x.endedAt = now()
	x.over.Store(e)
	t.set(isCtxDone)
	waiting, hooks := t.ctxDone, takeHooksLocked(&x.hooks)
	s.pinLocked() // until the effects have been applied
	s.mu.Unlock()

	if waiting != nil {
		close(waiting)
	}
	s.callHooks(hooks)
	s.watchStragglers()
	s.logTaskCanceled(t, e)
	s.unpin()
}

// Wait waits until the task has ended and returns what [Task.Err] returns then. If ctx is
// done first, Wait returns the cause of ctx and does not cancel the task. If the task is
// given up, Wait returns a [*StuckError]. If the caller is the task itself, or runs in a
// scope opened by Run that the task waits for, Wait returns an error at once. It panics
// if ctx is nil.
func (t *Task) Wait(ctx context.Context) error {
	t.check("Wait")
	mustHaveContext("Wait", ctx)
	_, err := t.wait(ctx)
	return err
}

// wait implements Wait. ended reports whether the task has ended, so that err is its
// result.
func (t *Task) wait(ctx context.Context) (ended bool, err error) {
	if t.has(hasEnded) {
		return true, t.receive()
	}
	if t.has(givenUp) {
		return false, t.stuckError()
	}
	stopWaiting, err := t.waitFor(ctx)
	if err != nil {
		return false, err
	}
	if stopWaiting != nil {
		defer stopWaiting()
	}
	done, gaveUp := t.expect(+1)
	if gaveUp == nil && ctx.Done() == nil {
		<-done // a select takes longer
		return true, t.receive()
	}
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

// expect adds n to the number of callers that wait for t, so that a failure of t is known
// to be received. It returns two channels: done is closed when t ends, gaveUp when any
// task of the scope is given up; the caller then checks whether that was t.
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

// stuckError returns the result of waiting for a task that was given up.
func (t *Task) stuckError() error {
	t.scope.mu.Lock()
	defer t.scope.mu.Unlock()
	return t.ownExt().stuck
}

// Done returns a channel that is closed when the task has ended: its function has
// returned, or the task was refused. For a task that was given up that is when the
// function returns after all. Done is closed before the function of [OnDone] is called.
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

// Err returns nil before Done is closed. Afterwards it returns the error that the
// function returned, unchanged, with these exceptions: a [*TimeoutError], joined with the
// error if that says more, if the Timeout of the task expired and the function returned
// an error; a [*PanicError] if it panicked; [ErrGoexit] if it called runtime.Goexit; an
// error that wraps [ErrRefused] if the task was refused.
func (t *Task) Err() error {
	t.check("Err")
	if !t.has(hasEnded) {
		return nil
	}
	return t.receive()
}

// receive returns the result and records that a caller has received it.
func (t *Task) receive() error {
	err := t.result()
	if err != nil && t.flags&forAwait != 0 && !t.has(received) {
		t.scope.mu.Lock()
		t.scope.receivedLocked(t)
		t.scope.mu.Unlock()
	}
	return err
}

// result returns the error of a task that has ended.
func (t *Task) result() error {
	if x := t.ext.Load(); x != nil && x.err != nil {
		return x.err
	}
	e := t.recorded()
	switch {
	case e == nil:
		return nil
	case t.has(endedByCtx):
		return e.ctxErr()
	case e.task == t && e.kind == TaskFailed:
		return e.err
	}
	return nil
}

// recorded returns the ending that has been recorded for the task alone or else for its scope.
func (t *Task) recorded() *ending {
	if e := t.alone(); e != nil {
		return e
	}
	return t.scope.over.Load()
}

// Failed reports whether the task has ended with an error or a panic that is not a
// consequence of its cancellation. It returns false before the task has ended and for a
// task that was refused. The result is valid from the event [TaskEnded] on.
func (t *Task) Failed() bool {
	t.check("Failed")
	return t.has(hasFailed)
}

// Cause returns why the task was canceled, as [context.Cause] returns it for the task's
// context. It returns nil if the task is not canceled, and if it ended before it was
// canceled.
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

// TaskFlags are the properties of a task that [Bubble], [Master] and [Awaited] set.
type TaskFlags struct {
	Bubble  bool // a failure of the task cancels its scope
	Master  bool // the scope is canceled when the task ends
	Awaited bool // a finalizing scope waits for the task
}

// Flags returns the properties with which the task was spawned, including defaults.
func (t *Task) Flags() TaskFlags {
	t.check("Flags")
	return TaskFlags{Bubble: t.owner == ownScope, Master: t.flags&master != 0, Awaited: t.flags&awaited != 0}
}

// Scope returns the scope of the task.
func (t *Task) Scope() *Scope {
	t.check("Scope")
	return t.scope
}

// ID returns the number of the task, which is unique in its scope and at least 1. It is 0
// if the task was refused.
func (t *Task) ID() uint64 {
	t.check("ID")
	return t.id
}

// Name returns the name set by [Name] or [NameOf]. The default is the name of the task's
// function. In joins an index is appended, counted from 0, as in "fetch[2]".
func (t *Task) Name() string {
	t.check("Name")
	if name := t.name.String(); name != "" {
		return name
	}
	x := t.ext.Load()
	switch {
	case x != nil && x.inPlace != nil:
		return x.inPlace.of.Name()
	case x == nil || x.pc == 0:
		return funcName(pcOf(t.fn))
	case x.series != nil:
		t.look()
		if t.isIdle() {
			return funcName(x.pc)
		}
		return itemName(x.pc, x.series.index())
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
