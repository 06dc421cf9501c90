package traigo

import (
	"context"
	"log/slog"
	"runtime"
	"runtime/pprof"
)

// How tasks get to run. Tasks that have been accepted and not started form the
// tail of the scope's list. A goroutine is starting when it exists and has not
// taken its first task. Having taken one, it makes sure, before it runs it, that
// another is starting if tasks are left; having ended it, it takes the next
// instead of exiting. So every task starts without waiting for another to end,
// tasks that block have a goroutine each, and short ones share a few.

// maxStarters is how many goroutines may be starting at once. One is enough while
// tasks are short: it comes back for the next, and more of them would only be in
// each other's way. If none comes back the tasks are long, or park; then there
// are more and more, so that a crowd starts on all processors.
const maxStarters = 32

// enqueueLocked appends an accepted task to the list and reports whether a
// goroutine is to be launched.
func (s *Scope) enqueueLocked(t *Task) bool {
	if s.state >= Canceling {
		t.set(told) // accepted before the ending, listed after the news went round
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
	if x := t.rare(); x != nil && x.timeout > 0 {
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
	if s.rare.cursor == t {
		s.rare.cursor = t.next
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
	s.mu.Unlock() // nothing can be due: t is live, and no longer starting changes nothing
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

// A stage is how far a goroutine has come with a task.
type stage uint8

const (
	labelling   stage = iota // a context is asked for its values
	introducing              // an observer is called
	running                  // the task's function has been entered
)

// runTask runs t to its end, whatever that is, and takes the next.
func (s *Scope) runTask(t *Task) (next *Task, more uint8) {
	at := labelling
	defer func() {
		if t != nil {
			s.rescue(t, at, recover())
		}
	}()
	t.label()
	at = introducing
	if s.watched && !t.has(introduced) {
		t.set(introduced)
		s.emit(TaskStarted, t, nil)
	}
	at = running
	var err error
	if s.isTracing() {
		err = t.callInRegion()
	} else {
		err = t.call()
	}
	if err != nil || !s.plain(t) {
		s.endTask(t, err, nil)
	}
	s.mu.Lock()
	next, more, hooks := s.retireLocked(t)
	due := s.claimLocked()
	s.mu.Unlock()
	t = nil
	if next != nil && (hooks != nil || due != nothing) {
		go s.workOn(next, more) // what is called now may take long, or this goroutine away
		next = nil
	}
	if hooks != nil {
		defer s.callHooks(hooks)
	}
	if due != nothing {
		s.apply(due)
	}
	return next, more
}

// rescue is for a panic or a Goexit, of the task or of a callback around it.
// This goroutine ends, and hands over to a new one: with the same task, if its
// function was not reached.
func (s *Scope) rescue(t *Task, at stage, value any) {
	if at == labelling {
		t.set(unlabelled)
	}
	if at != running {
		defer func() { go s.workOn(t, 0) }()
		if value != nil {
			const what = "Value of the task's context"
			s.log(slog.LevelError, what+" panicked: no pprof labels", t, newPanicError(what, value))
		}
		return
	}
	defer func() {
		s.mu.Lock()
		next, more, hooks := s.retireLocked(t)
		if next != nil {
			go s.workOn(next, more)
		}
		defer s.callHooks(hooks)
		s.settle()
	}()
	switch {
	case t.has(hasEnded):
	case value != nil:
		s.endTask(t, nil, newPanicError(t.Path(), value))
	default:
		s.endTask(t, ErrGoexit, nil)
	}
}

// call runs the task's function. A dump of all goroutines shows the address of
// t in the frame of this method: so the stack of a task is found without the
// task having paid for it.
//
//go:noinline
func (t *Task) call() error {
	err := t.fn((*taskContext)(t))
	runtime.KeepAlive(t)
	return err
}

// label gives the goroutine the pprof labels of the scope's context or of
// Values, and with PprofLabels those of the task itself: never those that another
// task has left on it.
func (t *Task) label() {
	ctx := t.scope.outer
	x := t.rare()
	if x != nil && x.values != nil {
		ctx = x.values
	}
	switch {
	case t.has(unlabelled):
		ctx = context.Background()
	case x != nil && t.scope.settings.labels:
		x.values = t.labels(x.values)
		ctx = x.values
	}
	pprof.SetGoroutineLabels(ctx)
}

// plain reports whether t, having returned nil, needs nothing but to be retired.
func (s *Scope) plain(t *Task) bool {
	return t.rare() == nil && t.flags&master == 0 && !s.watched
}

// retireLocked takes an ended task off the list and gives its worker the next
// one. The hooks that it returns are to be called.
func (s *Scope) retireLocked(t *Task) (next *Task, more uint8, hooks *hook) {
	if !t.has(hasEnded) {
		hooks = t.publishLocked()
	}
	if t.has(givenUp) {
		go s.Root().forget(t) // another scope's lock: not now
	} else {
		s.unlinkLocked(t)
		s.releaseLocked(t)
	}
	if t.flags&dedicated == 0 {
		s.inARow = 0
		next, more = s.takeLocked()
	}
	return next, more, hooks
}

// releaseLocked takes back what an accepted task counts for.
func (s *Scope) releaseLocked(t *Task) {
	s.live--
	if t.flags&awaited != 0 {
		s.awaited--
	}
}
