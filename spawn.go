package traigo

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Spawn, TrySpawn, Async and Start, up to the acceptance of the task. For what comes next
// see workers.go.

// Spawn runs fn as a task of the scope, like a go statement: fn does not wait for another
// task to end. Short tasks may run one after the other on the same goroutine; see
// [Dedicated]. ctx is the context of the task: it is done when the scope or the task is
// canceled, and when fn has returned.
//
// By default the error of fn belongs to the scope: it cancels the scope and becomes its
// outcome. The returned Task may be ignored. Spawn may be called from any goroutine,
// including the tasks of the scope.
//
// If the scope has been canceled, fn is not called: Spawn returns a task that has ended,
// with an error that wraps [ErrRefused] and the cause. If fn would release a resource,
// use [Scope.TrySpawn]. In a scope with a [Limit], Spawn of an awaited task blocks until
// it has a slot or the scope is canceled. Spawn panics if fn or an option is nil.
func (s *Scope) Spawn(fn func(ctx context.Context) error, opts ...TaskOption) *Task {
	s.check("Spawn")
	mustHaveFunc("Spawn", fn != nil, "the function that the task is to run")
	t := &Task{scope: s, fn: fn, flags: bubbles | awaited}
	t.configure("Spawn", opts)
	s.accept(t, true)
	return t
}

// TrySpawn is like [Scope.Spawn], but never blocks and reports whether fn will run. If
// the scope has been canceled, or its [Limit] is reached, TrySpawn does not run fn, and
// returns false and a task that has ended with an error that wraps [ErrRefused].
func (s *Scope) TrySpawn(fn func(ctx context.Context) error, opts ...TaskOption) (*Task, bool) {
	s.check("TrySpawn")
	mustHaveFunc("TrySpawn", fn != nil, "the function that the task is to run")
	t := &Task{scope: s, fn: fn, flags: bubbles | awaited}
	t.configure("TrySpawn", opts)
	ok := s.accept(t, false)
	return t, ok
}

func (t *Task) configure(call string, opts []TaskOption) {
	if len(opts) == 0 && t.flags&forAwait == 0 {
		return // t.owner is ownScope, the zero value
	}
	for _, o := range opts {
		mustHaveOption(call, o != nil)
		o.applyTask(t)
	}
	t.settleOwner()
}

// accept adds t to the scope and has it started, or refuses it, and reports which. If no
// slot is free it waits for one if block is set, and refuses t otherwise.
func (s *Scope) accept(t *Task, block bool) bool {
	var caller, admit <-chan struct{}
	if t.ext.Load() != nil {
		caller, admit = t.stops() // not under mu: their Done is foreign code
	}
	s.lock()
	if s.needsSlotLocked(t) && s.state < Canceling && !s.takeSlotLocked(t) && block {
		if s.waitForSlot(t, caller, admit) {
			s.mu.Unlock()
			s.launch(t, false)
			return true
		}
	}
	if s.needsSlotLocked(t) || s.state >= Canceling {
		s.releaseSlotLocked(t) // it has come too late
		s.startLocked()
		limit := s.ext.limit
		s.settle()
		t.refuse(limit)
		return false
	}
	s.reserveLocked(t)
	if s.watched {
		s.mu.Unlock()
		s.emit(TaskSpawned, t, nil) // before the task can start; it is counted in live, so the scope cannot close
		s.mu.Lock()
	}
	s.enqueueLocked(t)
	launch := s.needsStarterLocked()
	s.mu.Unlock()
	s.launch(t, launch)
	return true
}

// reserveLocked accepts t: it gets an ID and is counted in live.
//
// Reading the clock is a fifth of the cost of a short task. While tasks wait in the queue
// it is read for every sixteenth task only, which is exact enough for TaskSnapshot.Age.
func (s *Scope) reserveLocked(t *Task) {
	s.lastTask++
	t.id = s.lastTask
	s.wasIdle = false
	if s.queue == nil || t.id%16 == 0 {
		t.spawned = now()
	} else {
		t.spawned = s.last.spawned
	}
	s.live++
	if t.flags&awaited != 0 {
		s.awaited++
	}
	if x := t.ext.Load(); x != nil {
		s.scheduleLocked(x)
	}
}

// scheduleLocked computes the deadline of a task from its Timeout, and updates the
// shortest CancelTimeout.
func (s *Scope) scheduleLocked(x *taskExt) {
	if x.timeout > 0 {
		x.deadline = time.Now().Add(x.timeout)
	}
	if least := s.ext.leastPatience; x.cancelTimeout > 0 && (least == 0 || x.cancelTimeout < least) {
		s.ownExtLocked().leastPatience = x.cancelTimeout
	}
}

// refuse ends a task that was never run.
func (t *Task) refuse(limit int) {
	err := refusal(t.scope)
	if t.scope.ended() == nil {
		err = t.notAdmitted(limit)
	}
	t.scope.mu.Lock()
	defer t.scope.mu.Unlock()
	t.ownExt().err = err
	t.set(received) // the caller of Spawn has the handle
	t.finishLocked()
}

// refusal returns ErrRefused, with the cause if s is canceled.
func refusal(s *Scope) error {
	if e := s.ended(); e != nil {
		return fmt.Errorf("%w: %w", ErrRefused, e.Cause())
	}
	return ErrRefused
}

// A Future is the result of a function that runs as a task: see [Async].
type Future[T any] struct {
	task  Task
	ext   taskExt // the taskExt of task, here to save an allocation
	value T       // written by the task; read after hasEnded is set
}

// Async runs fn as a task of s, like [Scope.Spawn], and returns a [Future] for its
// result. It panics if s, fn or an option is nil.
//
// The error of fn belongs to the caller of [Future.Await], [Task.Wait] or [Task.Err]. It
// does not cancel the scope unless Bubble(true) is set. If none of them has returned the
// error when the scope is canceled, it is added to the outcome. A failure after that is
// logged at WARN when the scope closes, if none of them has returned it. A scope stores
// at most 16 such errors; if there are more, the oldest is logged at once and dropped.
func Async[T any](s *Scope, fn func(ctx context.Context) (T, error), opts ...TaskOption) *Future[T] {
	s.check("Async")
	mustHaveFunc("Async", fn != nil, "the function whose result is wanted")
	f := &Future[T]{}
	t := &f.task
	t.scope, t.flags = s, bubbles|awaited|forAwait
	f.ext.pc = pcOf(fn)
	t.ext.Store(&f.ext)
	t.fn = func(ctx context.Context) (err error) {
		f.value, err = fn(ctx)
		return err
	}
	t.configure("Async", opts)
	s.accept(t, true)
	return f
}

// Await waits until the task has ended and returns the value of the function and the
// error as [Task.Wait] returns it, not wrapped in a [*TaskError]. If ctx is done first,
// Await returns the zero value and the cause of ctx, and does not cancel the task. If the
// task was refused or given up, it returns the zero value and an error that wraps
// [ErrRefused], or a [*StuckError]. Await may be called any number of times and by
// several goroutines at once. It panics if ctx is nil.
func (f *Future[T]) Await(ctx context.Context) (T, error) {
	mustHaveContext("Await", ctx)
	ended, err := f.task.wait(ctx)
	if !ended {
		var none T
		return none, err
	}
	return f.value, err
}

// Task returns the task that runs the function.
func (f *Future[T]) Task() *Task { return &f.task }

// A starting is the part of a call of Start that its task shares.
type starting struct {
	caller context.Context // the ctx argument of Start
	ready  chan struct{}   // closed when isReady is set and observers have been told
}

// Start spawns fn and returns its task when fn has called ready; fn keeps running. From
// then on the task is like a task of [Scope.Spawn]. ready may be called from any
// goroutine; calls after the first do nothing.
//
// If fn returns before it calls ready, Start returns a nil task and the error of fn, or
// [ErrNotReady] if that is nil; the error does not cancel the scope. If ctx is done
// before fn calls ready, Start cancels the task, waits for it, and returns nil and the
// cause of ctx. If ctx is done at the call, or the scope has been canceled, fn is not
// called, and Start returns nil and the cause of ctx or an error that wraps [ErrRefused].
// Where several of these are true at once, the first counts: ready; a real error of fn; the
// cause of ctx; that of the end of the task or the scope; ErrNotReady. Start panics if ctx,
// fn or an option is nil.
//
// The idea is from Trio's nursery.start.
func (s *Scope) Start(ctx context.Context, fn func(ctx context.Context, ready func()) error, opts ...TaskOption) (*Task, error) {
	s.check("Start")
	mustHaveFunc("Start", fn != nil, "the function that is to call ready")
	mustHaveContext("Start", ctx)
	if ctx.Err() != nil || isDone(ctx.Done()) {
		return nil, causeOf(ctx)
	}
	t := &Task{scope: s, flags: bubbles | awaited | forStart}
	t.fn = func(ctx context.Context) error {
		err := fn(ctx, t.ready)
		if err == nil && !t.has(isReady) && t.ended() == nil {
			err = ErrNotReady
		}
		return err
	}
	x := t.ownExt()
	x.pc, x.start = pcOf(fn), &starting{caller: ctx, ready: make(chan struct{})}
	t.configure("Start", opts)
	if !s.accept(t, true) {
		return t.startResult(ctx)
	}
	done, gaveUp := t.expect(0)
	for {
		select {
		case <-x.start.ready:
			return t.startResult(ctx)
		case <-done:
			return t.startResult(ctx)
		case <-gaveUp:
			if t.has(givenUp) {
				return t.startResult(ctx)
			}
			_, gaveUp = t.expect(0)
		case <-ctx.Done():
			if t.leaveStart() {
				t.Cancel(causeOf(ctx))
				_ = t.Wait(context.Background())
			}
			return t.startResult(ctx)
		}
	}
}

// leaveStart makes ready have no effect from now on, because the ctx of Start is done. It
// reports false if the task is ready or has ended already.
func (t *Task) leaveStart() bool {
	t.scope.mu.Lock()
	defer t.scope.mu.Unlock()
	if t.has(isReady | hasEnded) {
		return false
	}
	t.set(callerLeft)
	return true
}

// startResult is what Start returns when its task is ready, has ended, was given up or
// refused. Of several things that are true at once the first of these counts, whichever
// the caller has seen first: ready, a real error, the end of the caller's context, that of
// the task or the scope, and that the function has not called ready.
func (t *Task) startResult(ctx context.Context) (*Task, error) {
	if t.has(isReady) {
		return t, nil
	}
	err := t.Err()
	failed, _ := t.verdict(err)
	ended := t.ended()
	switch {
	case t.has(givenUp) && isDone(ctx.Done()):
		return nil, errors.Join(causeOf(ctx), t.stuckError())
	case t.has(givenUp):
		return nil, t.stuckError()
	case t.id != 0 && failed && !same(err, ErrNotReady):
		return nil, err
	case isDone(ctx.Done()):
		return nil, causeOf(ctx)
	case t.id == 0:
		return nil, err // refused
	case ended != nil && !same(err, ErrNotReady): // that was so when the function returned
		return nil, ended.Cause()
	default:
		return nil, ErrNotReady
	}
}

// ready is passed to the function of Start.
func (t *Task) ready() {
	s := t.scope
	s.mu.Lock()
	if t.has(hasEnded | isReady | callerLeft | givenUp) {
		s.mu.Unlock()
		return
	}
	t.set(isReady)
	s.pinLocked() // until observers have been told
	s.mu.Unlock()
	s.emit(TaskReady, t, nil)
	close(t.ext.Load().start.ready)
	s.unpin()
}
