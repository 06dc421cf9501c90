package traigo

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// From the call of Spawn, Async or Start to the moment in which a task is accepted. How an
// accepted task gets a goroutine is in workers.go.

// Spawn runs fn as a task of the scope, as if by a go statement: it starts
// without waiting for any other task, on a goroutine that short tasks share
// (see [Dedicated] for code that needs one to itself). ctx of fn is done when
// the scope, or the task alone, is canceled.
//
// The error of fn is the scope's: unless options say otherwise it cancels the
// scope and becomes its outcome. The returned handle may be ignored. Spawn may
// be called from anywhere, tasks of the scope included.
//
// If the scope has been canceled or closed, fn is not run: the task that Spawn
// returns is done, and its error is [ErrRefused] with the cause. Where fn
// would release something, use [Scope.TrySpawn]. In a scope with a [Limit],
// Spawn blocks until there is a slot or the scope is canceled. It panics if fn
// is nil.
func (s *Scope) Spawn(fn func(ctx context.Context) error, opts ...TaskOption) *Task {
	s.check("Spawn")
	mustHaveFunc("Spawn", fn != nil, "the function that the task is to run")
	t := &Task{scope: s, fn: fn, flags: bubbles | awaited}
	t.configure("Spawn", opts)
	s.accept(t, true)
	return t
}

// TrySpawn is Spawn for callers that must know whether fn runs: it returns false, and
// does not run fn, if the scope has been canceled or its [Limit] is reached. It does not
// block. The task that it then returns is done, with an error that wraps [ErrRefused]
// and says why.
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
		return // it belongs to the scope
	}
	for _, o := range opts {
		mustHaveOption(call, o != nil)
		o.applyTask(t)
	}
	t.settleOwner()
}

// accept takes a new task in and has it started, or refuses it. In a full scope
// it blocks, if block is set, until there is a slot.
func (s *Scope) accept(t *Task, block bool) bool {
	s.lock()
	full := s.state < Canceling && s.needsSlotLocked(t) && !s.takeSlotLocked(t, block)
	if full || s.state >= Canceling {
		s.releaseSlotLocked(t) // it was granted too late
		limit := s.ext.limit
		s.settle()
		t.refuse(limit)
		return false
	}
	s.reserveLocked(t)
	if s.watched {
		s.mu.Unlock()
		s.emit(TaskSpawned, t, nil) // before it can start; it counts as live, so the scope stays open
		s.mu.Lock()
	}
	launch := s.enqueueLocked(t)
	s.mu.Unlock()
	s.launch(t, launch)
	return true
}

// reserveLocked is the moment in which a task is accepted: from here on it
// counts as live.
//
// Reading the clock is a fifth of what a short task costs. While tasks are
// waiting to start, as in a crowd, it is read for one in sixteen: that is exact
// enough for ages.
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

// scheduleLocked notes what the options of a task ask of the clock.
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
	t.set(received) // by the caller of Spawn
	t.finishLocked()
}

// refusal is ErrRefused with the cause of the end of s.
func refusal(s *Scope) error {
	if e := s.ended(); e != nil {
		return fmt.Errorf("%w: %w", ErrRefused, e.Cause())
	}
	return ErrRefused
}

// A Future is the result of a function that runs as a task: see [Async].
type Future[T any] struct {
	task  Task
	ext   taskExt // of task: most futures need one, and so it costs no allocation
	value T       // written by the task, read after its end
}

// Async runs fn as a task of s, as [Scope.Spawn] does, and returns its result to
// whoever awaits it.
//
// The error of fn belongs to whoever awaits: it does not cancel the scope,
// unless Bubble(true) is given. If fn fails, and nobody has received the error
// by the time the end of the scope is decided, it joins the outcome. A failure
// after that which nobody receives is logged at WARN. A scope keeps at most 16 such
// errors for whoever comes; when there are more, the oldest is logged at once.
func Async[T any](s *Scope, fn func(ctx context.Context) (T, error), opts ...TaskOption) *Future[T] {
	s.check("Async")
	mustHaveFunc("Async", fn != nil, "the function whose result is wanted")
	f := newFuture(s, pcOf(fn), forAwait, fn)
	f.task.configure("Async", opts)
	s.accept(&f.task, true)
	return f
}

// newFuture makes a future whose task is yet to be accepted. pc is the code of fn.
func newFuture[T any](s *Scope, pc uintptr, set flags, fn func(context.Context) (T, error)) *Future[T] {
	f := &Future[T]{}
	t := &f.task
	t.scope, t.flags = s, bubbles|awaited|set
	f.ext.pc = pc
	t.ext.Store(&f.ext)
	t.fn = func(ctx context.Context) (err error) {
		f.value, err = fn(ctx)
		return err
	}
	return f
}

// Await waits until the function has ended and returns what it returned: the error
// as it is, without the name of the task. If ctx ends first it returns the cause of
// that, and the task is not touched. It may be called any number of times, from any
// number of goroutines.
func (f *Future[T]) Await(ctx context.Context) (T, error) {
	mustHaveContext("Await", ctx)
	ended, err := f.task.wait(ctx)
	if !ended {
		var none T
		return none, err
	}
	return f.value, err
}

// Task returns the task that computes the result.
func (f *Future[T]) Task() *Task { return &f.task }

// A starting is what Start waits for besides the end of the task.
type starting struct {
	caller context.Context // of the caller of Start
	ready  signal          // isReady of the task
}

// Start spawns fn and returns when fn has called ready, with the task running
// on; a second call of ready has no effect. From then on the task is as one of
// [Scope.Spawn].
//
// If fn returns before that, Start returns its error, or [ErrNotReady], and the
// scope is not touched. If ctx ends before that, the task is canceled and
// joined, and Start returns the cause. Where Start returns an error the task is
// nil. It panics if fn is nil.
//
// The idea is Trio's nursery.start.
func (s *Scope) Start(ctx context.Context, fn func(ctx context.Context, ready func()) error, opts ...TaskOption) (*Task, error) {
	s.check("Start")
	mustHaveFunc("Start", fn != nil, "the function that is to call ready")
	mustHaveContext("Start", ctx)
	if ctx.Err() != nil {
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
	x.pc, x.start = pcOf(fn), &starting{caller: ctx, ready: make(signal)}
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

// leaveStart records that the caller of Start leaves because its context has ended:
// unless the task is ready or has ended already, ready has no effect from now on.
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
	case ended != nil:
		return nil, ended.Cause()
	default:
		return nil, ErrNotReady
	}
}

// ready is what the function of Start calls.
func (t *Task) ready() {
	s := t.scope
	s.mu.Lock()
	if t.has(hasEnded | isReady | callerLeft | givenUp) {
		s.mu.Unlock()
		return
	}
	t.set(isReady)
	s.live++ // until observers have been told
	s.mu.Unlock()
	s.emit(TaskReady, t, nil)
	s.mu.Lock()
	t.ext.Load().start.ready.closeLocked()
	s.live--
	s.settle()
}
