package traigo

import (
	"context"
	"runtime"
	"runtime/pprof"
)

// How accepted tasks get goroutines. The tasks that have been accepted and have not
// started are the tail of the scope's list, from queue on. A goroutine is starting
// when it exists and has not taken its first task. Having taken one, it makes sure,
// before it runs it, that another is starting if tasks are left; having ended it, it
// takes the next instead of exiting. So every task starts without waiting for another
// to end, tasks that block have a goroutine each, and short ones share a few.
//
// The way of a task, without options and observers: Spawn, accept, reserveLocked,
// enqueueLocked, launch; on the other goroutine work, runTask, call, and retireLocked.

// maxStarters is how many goroutines may be starting at once. One is enough while
// tasks are short: it comes back for the next, and more of them would only contend
// with each other. If none comes back the tasks are long, or block; then their number
// grows, so that a crowd starts on all processors.
const maxStarters = 32

// enqueueLocked appends an accepted task to the list and reports whether a
// goroutine is to be launched.
func (s *Scope) enqueueLocked(t *Task) bool {
	if s.state >= Canceling {
		t.set(isCtxDone) // accepted before the ending, listed after the tasks were told of it
	}
	if t.flags&dedicated != 0 {
		s.linkLocked(t, s.queue) // before the queue: it does not wait in it
		t.started = true
		return true
	}
	s.linkLocked(t, nil)
	if s.queue == nil {
		s.queue = t
	}
	launch := s.starting == 0
	if launch {
		s.starting = 1
	}
	if s.worker == nil {
		s.worker = s.work // once: each `go s.work()` would allocate it again
	}
	return launch
}

// launch is called without the lock after enqueueLocked.
func (s *Scope) launch(t *Task, launch bool) {
	if x := t.ext.Load(); x != nil && x.timeout > 0 {
		t.startClock(x)
	}
	switch {
	case t.flags&dedicated != 0:
		go s.runTask(t)
	case launch:
		go s.worker()
	}
}

// linkLocked puts t before another task, or last.
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
	if s.ext.cursor == t {
		s.ext.cursor = t.next
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

// takeLocked takes the first task of the queue, and says how many goroutines the
// taker has to start before it runs that task.
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

// work is a goroutine that was starting, and runs tasks until none is left.
func (s *Scope) work() {
	s.mu.Lock()
	s.starting--
	s.inARow = min(s.inARow+1, 4*(maxStarters-1))
	t, more := s.takeLocked()
	if t == nil {
		s.settle()
		return
	}
	s.mu.Unlock() // nothing can be due: t is live, and one goroutine less that starts changes nothing
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

// runTask runs t to its end, whatever that is, and takes the next.
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

// rescue is for the panic or the Goexit of a task. This goroutine ends; another takes
// the next task.
func (s *Scope) rescue(t *Task, value any) {
	defer func() { // a callback of OnDone may call Goexit too
		next, more, due := s.retire(t)
		if next != nil {
			go s.workOn(next, more)
		}
		s.apply(due)
	}()
	switch {
	case t.has(hasEnded): // in OnDone
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
	go s.workOn(t, 0)
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

// label gives the goroutine the pprof labels of the scope's context or of
// Values: none if those have none, never those that another task has left on it.
func (t *Task) label() {
	ctx := t.scope.outer
	if x := t.ext.Load(); x != nil && x.values != nil {
		ctx = x.values
	}
	if t.has(unlabeled) {
		ctx = context.Background()
	}
	pprof.SetGoroutineLabels(ctx)
}

// needsNothing reports whether a task that returned nil can skip endTask: nobody is to be
// called, and it ends nothing.
func (s *Scope) needsNothing(t *Task) bool {
	x := t.ext.Load()
	return (x == nil || x.onDone == nil) && t.flags&master == 0 && !s.watched
}

// retire takes an ended task off the list and gives its worker the next one. The effect
// that it returns is to be applied.
func (s *Scope) retire(t *Task) (next *Task, more uint8, due effect) {
	s.mu.Lock()
	if !t.has(hasEnded) {
		if hooks := t.finishLocked(); hooks != nil {
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
	}
	due = s.claimLocked()
	s.mu.Unlock()
	return next, more, due
}

// releaseLocked takes back what an accepted task counts for.
func (s *Scope) releaseLocked(t *Task) {
	s.live--
	if t.flags&awaited != 0 {
		s.awaited--
	}
}
