package traigo

import (
	"errors"
	"log/slog"
)

// The end of a task: its result goes to the owner of its error, a master cancels the
// scope, and OnDone is called. outcome.go collects the errors that the scope owns and
// those of Async that no caller has received.

// An owner is who receives the error of a task. It is fixed when the task is spawned, so
// that it does not depend on scheduling.
type owner uint8

const (
	ownScope    owner = iota // the scope: the error bubbles
	ownCallback              // the function of OnDone, or a join that returns the error itself
	ownAwaiter               // the caller of Await, Wait or Err of a task of Async
	ownNobody
)

// settleOwner sets t.owner from the flags and options, as documented at Bubble, OnDone
// and Async.
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

// endTask handles the result of t: it tells observers, records the result, cancels the
// scope if need be, and calls OnDone. Observers are told first, so that they see the end
// of t before its effects. t stays counted in live until it is retired.
func (s *Scope) endTask(t *Task, err error, panicked *PanicError) {
	if panicked != nil {
		err = panicked
	}
	if !s.watched && s.needsNothing(t) && t.gaveCtxErr(err) {
		return
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

// gaveCtxErr reports whether t was canceled with its scope, and err is what Err of its
// context returns. Most canceled tasks end like that, and then there is nothing to decide.
func (t *Task) gaveCtxErr(err error) bool {
	e := t.scope.over.Load()
	if e == nil || t.ext.Load() != nil || !same(err, e.ctxErr()) {
		return false
	}
	t.set(endedByCtx)
	return true
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

// verdict reports whether err, the error of the task's function, is a failure and not a
// consequence of a cancellation, and returns the result of the task: err, or a
// TimeoutError if the task's Timeout has expired.
func (t *Task) verdict(err error) (failed bool, result error) {
	if err == nil {
		return false, nil
	}
	e := t.alone()
	if e != nil && e.kind == TimedOut {
		return true, joined(e, err, t.scope)
	}
	scope := t.scope.ended()
	switch {
	case e != nil && scope != nil:
		return !e.isConsequence(err, t.scope, scope), err
	case scope != nil:
		e = scope
	}
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

// A fate says what is done with the error of a task. Errors that are not owned are
// logged.
type fate uint8

const (
	owned      fate = iota // an owner receives it
	ignored                // the task has Bubble(false) and no other owner
	suppressed             // the scope had ended quietly before
	late                   // the task had been given up before
	lost                   // it is a panic, and otherwise like ignored
	displaced              // dropped from the unreceived errors of Async, because there were too many
)

var fates = [...]struct {
	level slog.Level
	text  string
}{
	ignored:    {slog.LevelDebug, "error ignored: the task does not bubble"},
	suppressed: {slog.LevelWarn, "a task has failed after its scope had ended without an error, which remains so"},
	late:       {slog.LevelWarn, "error of a task that had been given up"},
	lost:       {slog.LevelError, "a task has panicked, and no call raises the panic"},
	displaced:  {slog.LevelWarn, "error that nobody has awaited"},
}

// logFate logs an error of t that is not owned.
func (s *Scope) logFate(f fate, t *Task, err error) {
	if f != owned && (s.logsSteps || fates[f].level > slog.LevelDebug) {
		s.log(fates[f].level, fates[f].text, t, err)
	}
}

func (s *Scope) logDisplaced(l later) {
	if l.task != nil {
		s.logFate(displaced, l.task, l.err)
	}
}

// decide is where the error of an ended task finds its owner. panicked is a panic that is to
// be raised; wasPanic says that there was one, also if it is to be an error.
func (s *Scope) decide(t *Task, err error, failed, wasPanic bool, panicked *PanicError) {
	stuckBelow := failed && isStuck(err)
	var f fate
	var oldest later
	s.lock()
	switch {
	case !t.has(givenUp):
		f, oldest = s.endedLocked(t, err, failed, panicked, stuckBelow)
	case panicked != nil:
		if s.state != Closed { // else it has been logged, and nobody is left to raise it
			s.panickedLocked(t, panicked)
		}
	case failed:
		f = late
	}
	t.keepResultLocked(err)
	hooks := t.finishLocked()
	s.startLocked()
	if x := t.ext.Load(); hooks == nil && (x == nil || x.onDone == nil) {
		s.mu.Unlock() // retire follows at once, and applies the effects with more of the stack left
	} else {
		s.settle()
		s.callHooks(hooks)
	}
	if wasPanic && f != owned {
		f = lost
	}
	s.logFate(f, t, err)
	s.logDisplaced(oldest)
}

// keepResultLocked stores err, the result of t, where result finds it. The two errors that a
// group of tasks most often ends with are found without a taskExt: that of the task which
// has ended the scope, and ctx.Err() of one which was canceled.
func (t *Task) keepResultLocked(err error) {
	e := t.recorded()
	switch {
	case err == nil:
	case t.ext.Load() != nil || e == nil:
		t.ownExt().err = err
	case e.task == t && e.kind == TaskFailed:
	case same(err, e.ctxErr()):
		t.set(endedByCtx)
	default:
		t.ownExt().err = err
	}
}

// endedLocked decides what follows from the end of t, or from its being given up: its
// failure comes before its being a master.
func (s *Scope) endedLocked(t *Task, err error, failed bool, panicked *PanicError, stuckBelow bool) (f fate, oldest later) {
	switch {
	case panicked != nil:
		s.panickedLocked(t, panicked)
	case failed:
		f, oldest = s.failedLocked(t, err, stuckBelow)
	}
	if t.isMaster() {
		s.endLocked(reason{kind: MasterEnded, task: t})
	}
	return f, oldest
}

// failedLocked passes the failure of t to its owner. It returns what to log: f for t, and
// displaced for oldest if that is not nil. stuckBelow says that err wraps a *StuckError,
// which goes into the outcome even after a quiet end.
func (s *Scope) failedLocked(t *Task, err error, stuckBelow bool) (f fate, oldest later) {
	if t.flags&forStart != 0 && !t.has(isReady) {
		return owned, later{} // Start returns the error
	}
	switch t.owner {
	case ownScope:
		if s.endLocked(reason{kind: TaskFailed, task: t, err: err}) {
			return owned, later{}
		}
		if s.over.Load().quiet() && !stuckBelow {
			return suppressed, later{}
		}
		s.keepLocked(t, err)
	case ownAwaiter:
		switch {
		case t.ownExt().waiters > 0:
			t.set(received)
		case stuckBelow && s.state >= Canceling:
			s.keepLocked(t, err)
		default:
			oldest = s.keepUnreceivedLocked(t, err)
		}
	case ownNobody:
		return ignored, later{}
	case ownCallback:
	}
	return owned, oldest
}

// panickedLocked records a panic: it cancels the scope and, whatever canceled the scope
// before, Run, Wait and Close panic.
func (s *Scope) panickedLocked(t *Task, p *PanicError) {
	first := s.endLocked(reason{kind: Panicked, task: t, err: p})
	if x := s.ownExtLocked(); x.panicked == nil {
		x.panicked = p
	}
	if !first {
		s.keepLocked(nil, p)
	}
}

// finishLocked makes the result of t visible and ends the context of t. It must be called
// before settle cancels other contexts, so that a waiter that is canceled because of t
// still finds the result. The caller must call the returned hooks after it has released
// mu; they cancel derived contexts. A scope that t has opened by New may outlive t: if t
// ended uncanceled, its hook moves to the hooks of the scope.
//
// The bits are set before the channels are closed, so that Err is valid once Done is
// closed.
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
		x.timer.Stop() // else the timer would keep t reachable
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

// logPanic logs the panic of a task at once, since Run or Wait panics with it only when
// the scope is closed. A panic that comes from a scope below was logged there and is not
// logged again.
func (s *Scope) logPanic(t *Task, p *PanicError) {
	if p == nil || !p.mark(isLogged) {
		return
	}
	s.log(slog.LevelError, "a task has panicked", t, nil, panicAttrs(p)...)
}
