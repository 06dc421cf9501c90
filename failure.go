package traigo

import (
	"errors"
	"log/slog"
	"sync/atomic"
)

// An error of a task finds its owner when the task ends. The errors that the scope owns,
// and those that nobody has received, are collected in outcome.go.

// An owner is settled at spawn, never by a race.
type owner uint8

const (
	ownScope    owner = iota // it bubbles
	ownCallback              // of OnDone, or of a join that reports the error itself
	ownAwaiter               // of Async
	ownNobody
)

// settleOwner is the table in the documentation of the options.
func (t *Task) settleOwner() {
	x := t.ext.Load()
	switch {
	case t.flags&(bubbles|bubbleGiven) == bubbles|bubbleGiven:
		t.owner = ownScope
	case x != nil && x.onDone != nil:
		t.owner = ownCallback
	case t.flags&forAwait != 0:
		t.owner = ownAwaiter
	case t.flags&bubbles != 0:
		t.owner = ownScope
	default:
		t.owner = ownNobody
	}
}

// endTask makes the result of t visible and lets it have its consequences. t
// counts as live until it is retired. Observers are told first, so that the
// failure comes before what it causes.
func (s *Scope) endTask(t *Task, err error, panicked *PanicError) {
	if panicked != nil {
		err = panicked
	}
	if err != nil {
		s.expire(t) // a deadline that has passed comes before the failure
	}
	failed, err := t.verdict(err)
	wasPanic := panicked != nil
	if s.settings.panicAsError {
		panicked = nil
	}
	if failed {
		t.set(hasFailed)
	}
	s.emit(TaskEnded, t, err)
	s.logPanic(t, panicked)
	s.decide(t, err, failed, wasPanic, panicked)
	if !t.has(givenUp) { // or the callback has been called with that
		s.callBack(t, err)
	}
}

func (s *Scope) callBack(t *Task, err error) {
	if x := t.ext.Load(); x != nil && x.onDone != nil {
		defer func() {
			if value := recover(); value != nil {
				s.logRecovered("OnDone", t, value)
			}
		}()
		x.onDone(err)
	}
}

// verdict says whether err, which the task's function returned, is a failure
// and not just a consequence of a cancellation. A task that has run out of its own
// time has failed with that.
func (t *Task) verdict(err error) (failed bool, result error) {
	if err == nil {
		return false, nil
	}
	e := t.alone()
	if e != nil && e.kind == TimedOut {
		return true, joined(e, err, t.scope)
	}
	if e != nil && e.isConsequence(err, t.scope) {
		return false, err
	}
	e = t.scope.ended()
	return e == nil || !e.isConsequence(err, t.scope), err
}

// joined is the timeout of e, together with what else err has to say.
func joined(e *ending, err error, s *Scope) error {
	switch {
	case e.isConsequence(err, s):
		return e.err
	case safeIs(err, e.err):
		return err
	default:
		return errors.Join(e.err, err)
	}
}

// A fate is what becomes of the error of a task.
type fate uint8

const (
	owned      fate = iota // it has an owner
	ignored                // it belongs to nobody
	suppressed             // it came after a quiet end
	late                   // its task had been given up
	lost                   // a panic that nobody raises
	displaced              // another error had to make room for it
)

var fates = [...]struct {
	level slog.Level
	text  string
}{
	ignored:    {slog.LevelDebug, "error ignored: the task does not bubble"},
	suppressed: {slog.LevelWarn, "error after a quiet end, not in the outcome"},
	late:       {slog.LevelWarn, "error of a task that had been given up"},
	lost:       {slog.LevelError, "panic of a task, raised by nobody"},
	displaced:  {slog.LevelWarn, "error that nobody has awaited"},
}

// logFate logs what the outcome of s does not contain.
func (s *Scope) logFate(f fate, t *Task, err error) {
	if f != owned {
		s.log(fates[f].level, fates[f].text, t, err)
	}
}

func (s *Scope) logDisplaced(t *Task) {
	if t != nil {
		s.logFate(displaced, t, t.result())
	}
}

// decide is where the error of an ended task finds its owner. panicked is a panic that is to
// be raised; wasPanic says that there was one, also if it is to be an error.
func (s *Scope) decide(t *Task, err error, failed, wasPanic bool, panicked *PanicError) {
	stuckBelow := failed && isStuck(err)
	var f fate
	var oldest *Task
	s.lock()
	if err != nil {
		t.ownExt().err = err
	}
	switch gone := t.has(givenUp); {
	case panicked != nil && gone && s.state == Closed: // it has been logged, and nobody is left to raise it
	case panicked != nil:
		s.panickedLocked(t, panicked)
	case failed && gone:
		f = late
	case failed:
		f, oldest = s.failedLocked(t, err, stuckBelow)
	}
	if t.flags&master != 0 && !t.has(givenUp) {
		s.endLocked(reason{kind: MasterEnded, task: t})
	}
	hooks := t.finishLocked()
	s.settle()

	s.callHooks(hooks)
	if wasPanic && f != owned {
		f = lost
	}
	s.logFate(f, t, err)
	s.logDisplaced(oldest)
}

// failedLocked hands the failure of t to its owner. stuckBelow says that a goroutine below
// was left behind: a quiet end does not silence that.
func (s *Scope) failedLocked(t *Task, err error, stuckBelow bool) (f fate, oldest *Task) {
	if t.flags&forStart != 0 && !t.has(isReady) {
		return owned, nil // Start returns it
	}
	switch t.owner {
	case ownScope:
		if s.endLocked(reason{kind: TaskFailed, task: t, err: err}) {
			return owned, nil
		}
		if s.over.Load().quiet() && !stuckBelow {
			return suppressed, nil
		}
		s.keepLocked(t, err)
	case ownAwaiter:
		switch {
		case t.ownExt().waiters > 0:
			t.set(received)
		case stuckBelow && s.state >= Canceling:
			s.keepLocked(t, err)
		default:
			oldest = s.keepUnreceivedLocked(t)
		}
	case ownNobody:
		return ignored, nil
	case ownCallback:
	}
	return owned, oldest
}

// panickedLocked records a panic: it ends the scope and is always raised.
func (s *Scope) panickedLocked(t *Task, p *PanicError) {
	first := s.endLocked(reason{kind: Panicked, task: t, err: p})
	if x := s.ownExtLocked(); x.panicked == nil {
		x.panicked = p
	}
	if !first {
		s.keepLocked(nil, p)
	}
}

// finishLocked makes the result of t visible. It must run before settle cancels
// anything, so that a waiter that is canceled by this end still finds the result. The
// context of t ends with it, and so do the contexts derived from that: the hooks that it
// returns are to be called. A scope of New may outlive the task that opened it, and
// passes to the task's scope.
//
// The bits are set before the channels are closed: whoever finds Done closed finds Err
// set.
func (t *Task) finishLocked() (hooks *hook) {
	s, x, before := t.scope, t.ext.Load(), t.bits.Load()
	bits := hasEnded | isCtxDone
	if s.state < Canceling && (x == nil || x.over.Load() == nil) {
		bits |= endedUncanceled
	}
	t.set(bits)
	s.releaseSlotLocked(t)
	if t.ctxDone != nil && before&isCtxDone == 0 {
		close(t.ctxDone)
	}
	if x == nil {
		return nil
	}
	if x.done != nil {
		close(x.done)
	}
	if x.timer != nil {
		x.timer.Stop() // or it would keep t
	}
	for h := x.hooks; h != nil; {
		this := h
		h = h.next
		if this.scope != nil && this.scope.how == made && bits&endedUncanceled != 0 {
			this.removeLocked()
			this.addLocked(&s.hooks)
		}
	}
	return takeHooksLocked(&x.hooks)
}

// logPanic logs the panic of a task at once: until everything in the scope has ended
// it is raised nowhere. A panic that comes up through a nested scope has been logged
// there.
func (s *Scope) logPanic(t *Task, p *PanicError) {
	if p == nil || !atomic.CompareAndSwapUint32(&p.logged, 0, 1) {
		return
	}
	s.log(slog.LevelError, "a task has panicked", t, nil, panicAttrs(p)...)
}
