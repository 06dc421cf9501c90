package traigo

import (
	"context"
	"runtime"
	"runtime/pprof"
	"sync"

	"github.com/traigo/traigo/internal/hold"
	"github.com/traigo/traigo/internal/inplace"
	"github.com/traigo/traigo/internal/stackdump"
)

// The goroutines that run accepted tasks. The queue, the accepted tasks that have not
// started, is the tail of the scope's list from s.queue on. A goroutine counts as
// starting from its launch until it takes its first task. A goroutine that has taken a
// task first makes sure that another one is starting if the queue is not empty, and then
// runs the task. When the task has ended it takes the next one instead of exiting. So
// every task starts without waiting for another task to end, tasks that block have a
// goroutine each, and short tasks share a few goroutines.
//
// Without options and observers a task passes through Spawn, accept, reserveLocked,
// enqueueLocked and launch on the goroutine of the caller, and through work, workOn,
// runTask, call and retireLocked on its own.

// maxStarters is the maximum number of goroutines that are starting at once. One is
// enough while tasks are short: it soon takes the next task, and others would only
// contend for mu. If goroutines keep taking their first task without any task ending
// (inARow), the tasks are long or block, and takeLocked launches more, so that many tasks
// start on all processors.
const maxStarters = 32

// enqueueLocked adds an accepted task to the list.
func (s *Scope) enqueueLocked(t *Task) {
	if s.state >= Canceling {
		t.set(isCtxDone) // canceled between reserveLocked and here: notifyTasks may have passed
	}
	if t.flags&dedicated != 0 {
		s.linkLocked(t, s.queue) // before the queue: it has a goroutine at once
		t.started = true
		return
	}
	s.linkLocked(t, nil)
	if s.queue == nil {
		s.queue = t
	}
	if s.worker == nil {
		s.worker = s.work // once per scope: each `go s.work()` would allocate the method value
	}
}

// needsStarterLocked reports whether the caller must launch a goroutine for the queue: see
// I5. It counts that as starting.
func (s *Scope) needsStarterLocked() bool {
	if s.queue == nil || s.starting > 0 {
		return false
	}
	s.starting = 1
	return true
}

// startLocked is for those who are not about to take a task themselves.
func (s *Scope) startLocked() {
	if s.needsStarterLocked() {
		go s.worker()
	}
}

// launch starts the timer of t, if it has one, and a goroutine if t is dedicated or launch is
// set. mu must not be held.
func (s *Scope) launch(t *Task, launch bool) {
	if x := t.ext.Load(); x != nil && x.timeout > 0 {
		t.startClock(x)
	}
	switch {
	case t.flags&(runsItems|inPlace) != 0: // the caller runs it
	case t.flags&dedicated != 0:
		go s.runTask(t)
	case launch:
		go s.worker()
	}
}

// linkLocked inserts t into the list before the task before, or at the end if before is
// nil.
func (s *Scope) linkLocked(t, before *Task) {
	t.next = before
	if before != nil {
		t.prev, before.prev = before.prev, t
	} else {
		t.prev, s.last = s.last, t
	}
	if t.prev != nil {
		t.prev.next = t
	} else {
		s.first = t
	}
}

func (s *Scope) unlinkLocked(t *Task) {
	if s.cursor == t {
		s.cursor = t.next
	}
	if t.prev != nil {
		t.prev.next = t.next
	} else {
		s.first = t.next
	}
	if t.next != nil {
		t.next.prev = t.prev
	} else {
		s.last = t.prev
	}
	t.prev, t.next = nil, nil
}

// takeLocked removes the first task from the queue. The caller must launch more
// goroutines before it runs the task.
func (s *Scope) takeLocked() (t *Task, more uint8) {
	t = s.queue
	if t == nil {
		return nil, 0
	}
	s.queue = t.next
	t.started = true
	if may := 1 + s.inARow/4; s.queue != nil && s.starting < may {
		more = min(2, may-s.starting)
		s.starting += more
	}
	return t, more
}

// work is the function of a goroutine that launch or workOn started.
func (s *Scope) work() {
	s.mu.Lock()
	s.starting--
	s.inARow = min(s.inARow+1, 4*(maxStarters-1))
	t, more := s.takeLocked()
	if t == nil {
		s.settle()
		return
	}
	s.mu.Unlock() // no settle: t is live, so the change of starting cannot make an effect due
	s.workOn(t, more)
}

func (s *Scope) workOn(t *Task, more uint8) {
	for t != nil {
		for range more {
			go s.worker()
		}
		t, more = s.runTask(t)
	}
}

// runTask runs t, retires it, and returns the next task for this goroutine. If the
// function of t panics or calls Goexit, runTask does not return: see rescue.
//
//nolint:contextcheck // the function of a task gets a context of its own, which carries the scope
func (s *Scope) runTask(t *Task) (next *Task, more uint8) {
	labeled := false
	defer func() {
		switch {
		case t == nil:
		case !labeled:
			s.retryUnlabeled(t, recover())
		default:
			s.rescue(t, recover())
		}
	}()
	t.label()
	labeled = true
	if s.watched {
		s.emit(TaskStarted, t, nil)
	}
	if err := t.call(); err != nil || !s.needsNothing(t) {
		s.endTask(t, err, nil)
	} else if s.watched {
		s.emit(TaskEnded, t, nil)
	}
	next, more, due := s.retire(t)
	t = nil
	if due != nothing {
		if next != nil {
			go s.workOn(next, more) // the functions that are called now may take long
		}
		s.apply(due)
		return nil, 0
	}
	return next, more
}

// rescue ends a task whose function, or whose OnDone, has panicked (value is not nil) or
// called Goexit. This goroutine exits; the next task gets a new one.
func (s *Scope) rescue(t *Task, value any) {
	defer func() { // a callback of OnDone may call Goexit too
		next, more, due := s.retire(t)
		if next != nil {
			go s.workOn(next, more)
		}
		s.apply(due)
	}()
	switch {
	case t.has(hasEnded): // OnDone panicked or called Goexit: the result is recorded already
	case value != nil:
		s.endTask(t, nil, newPanicError(t.Path(), value))
	default:
		s.endTask(t, ErrGoexit, nil)
	}
}

// retryUnlabeled is for a context that cannot be asked for labels, because its Value panics
// or calls Goexit. This goroutine ends; another runs the task, without labels.
func (s *Scope) retryUnlabeled(t *Task, value any) {
	t.set(unlabeled)
	if value != nil {
		s.logRecovered("Value of the context whose pprof labels the task is to have", t, value)
	}
	if t.flags&runsItems == 0 { // else who has called runTask does
		go s.workOn(t, 0)
	}
}

// call runs the task's function. A dump of all goroutines shows the address of
// t in the frame of this method: so the stack of a task is found without a cost for
// those that nobody looks for.
//
//go:noinline
func (t *Task) call() error {
	var err error
	if wrappers := t.scope.settings.wrappers; wrappers == nil {
		err = t.fn((*taskContext)(t))
	} else {
		err = wrap((*taskContext)(t), wrappers, t.fn)
	}
	runtime.KeepAlive(t)
	return err
}

// label sets the pprof labels of the goroutine to those of Values or, without Values, of
// the scope's outer context. It also removes labels that the previous task on this
// goroutine set. The labels of a goroutine that is not the scope's remain.
func (t *Task) label() {
	if t.flags&inPlace != 0 {
		return
	}
	ctx := t.scope.outer
	if x := t.ext.Load(); x != nil && x.values != nil {
		ctx = x.values
	}
	if t.has(unlabeled) {
		ctx = context.Background()
	}
	pprof.SetGoroutineLabels(ctx)
}

// An inPlaceTask is a task with what else runInPlace needs, to save allocations.
type inPlaceTask struct {
	task Task
	ext  taskExt
	of   inplace.Task
}

// runInPlace runs a task of the scope on this goroutine: see package inplace.
func runInPlace(scope any, of inplace.Task) (ok bool) {
	s, p := scope.(*Scope), &inPlaceTask{of: of}
	p.ext.inPlace, p.ext.values = p, context.WithoutCancel(hold.Without(of.Values()))
	t := &p.task
	t.scope, t.fn, t.flags = s, of.Run, awaited|dedicated|inPlace
	t.ext.Store(&p.ext)
	t.settleOwner()
	if !s.accept(t, false) {
		return false
	}
	s.runTask(t)
	return true
}

var _ = inplace.Provide(runInPlace)

// needsNothing reports whether nothing follows from the end of a task that returned nil: it
// has no OnDone and is no master.
func (s *Scope) needsNothing(t *Task) bool {
	x := t.ext.Load()
	return (x == nil || x.onDone == nil) && !t.isMaster()
}

// retire takes an ended task off the list and gives its worker the next one. The effect
// that it returns is to be applied.
func (s *Scope) retire(t *Task) (next *Task, more uint8, due effect) {
	s.mu.Lock()
	if s.ext.waiting.Load() > 0 {
		s.mu.Unlock()
		s.lock() // a Spawn that waits is not to be accepted if the parent has been canceled
	}
	if !t.has(hasEnded) {
		if hooks := t.finishLocked(); hooks != nil {
			s.startLocked()
			s.mu.Unlock() // t counts as live until they have been called
			s.callHooks(hooks)
			s.mu.Lock()
		}
	}
	s.unlinkLocked(t)
	if !t.has(givenUp) {
		s.releaseLocked(t)
	}
	if t.flags&dedicated == 0 {
		s.inARow = 0
		next, more = s.takeLocked()
	} else {
		s.startLocked()
	}
	due = s.claimLocked()
	s.mu.Unlock()
	return next, more, due
}

// releaseLocked undoes the counting of reserveLocked.
func (s *Scope) releaseLocked(t *Task) {
	s.live--
	if t.flags&awaited != 0 {
		s.awaited--
	}
}

// The frames by which the stack of a task, of a body, or of a call of Blocking is
// recognized in a dump. They must name Task.call, Scope.callBody and call.run.
const (
	taskFrame = "traigo.(*Task).call("
	bodyFrame = "traigo.(*Scope).callBody("
	callFrame = "traigo.(*call).run("

	blockedFrame = "traigo.(*blocked).wait("
	waitFrame    = "traigo.(*call).wait("

	awaitFrame = "traigo.(*Scope).await("
	joinFrame  = "traigo.(*Scope).join("
)

func findStacks(dump []byte) stackdump.Stacks {
	return stackdump.Find(dump, taskFrame, bodyFrame, callFrame)
}

// A stackCensus is what several scopes that look at the same time find in one dump. Hundreds of scopes
// are canceled together, and the program stops for each dump, for longer with each of them.
type stackCensus struct {
	take          sync.Once
	stacks, waits stackdump.Stacks
}

var stackCensuses struct {
	taking sync.Mutex // one at a time

	mu   sync.Mutex
	next *stackCensus // that has not begun; nil: nobody waits for one
}

// stacksOfAll returns the stacks of tasks and scopes, and those that wait, from a dump that has begun
// after the call.
func stacksOfAll() (stacks, waits stackdump.Stacks) {
	all := &stackCensuses
	all.mu.Lock()
	if all.next == nil {
		all.next = &stackCensus{}
	}
	c := all.next
	all.mu.Unlock()
	c.take.Do(func() {
		all.taking.Lock()
		defer all.taking.Unlock()
		all.mu.Lock()
		all.next = nil // who comes from here on gets another one
		all.mu.Unlock()
		dump := stackdump.All()
		c.stacks, c.waits = findStacks(dump), stackdump.Find(dump, awaitFrame, joinFrame)
	})
	return c.stacks, c.waits
}
