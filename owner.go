package traigo

import (
	"errors"
	"log/slog"
	"strconv"
)

// Who owns the error of a task, and what that means when it ends.

// An owner is settled at spawn, never by a race.
type owner uint8

const (
	ownScope    owner = iota // it bubbles
	ownCallback              // of OnDone, or of a join that hands it on
	ownAwaiter               // of Async
	ownNobody
)

// settleOwner is the table in the documentation of the options.
func (t *Task) settleOwner() {
	x := t.rare()
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

// endTask makes the result of t known and lets it have its consequences. t
// counts as live until it is retired. Observers hear of it first, so that the
// failure comes before what it causes; if one of them calls runtime.Goexit, the
// rest is done on the way out.
func (s *Scope) endTask(t *Task, err error, panicked *PanicError) {
	if panicked != nil {
		err = panicked
	}
	failed, err := t.verdict(err)
	if s.settings.panicAsError {
		panicked = nil
	}
	defer s.callBack(t, err)
	defer s.decide(t, err, failed, panicked)
	if failed {
		t.set(hasFailed)
		defer s.traceFailure(t, err)
	}
	s.emit(TaskEnded, t, err)
}

func (s *Scope) callBack(t *Task, err error) {
	if x := t.rare(); x != nil && x.onDone != nil {
		s.guard("OnDone of task "+strconv.Quote(t.Path()), func() { x.onDone(err) })
	}
}

// verdict says whether err, which the task's function returned, is a failure
// and not just what a cancellation looks like from inside. A task that has run
// out of its own time has failed with that.
func (t *Task) verdict(err error) (failed bool, result error) {
	if err == nil {
		return false, nil
	}
	e := t.alone()
	if e != nil && e.kind == TimedOut {
		return true, joined(e, err)
	}
	if e != nil && e.bare(err) {
		return false, err
	}
	e = t.scope.ended()
	return e == nil || !e.bare(err), err
}

// joined is the timeout of e, with what else err has to say.
func joined(e *ending, err error) error {
	switch {
	case e.bare(err):
		return e.err
	case holds(err, e.err):
		return err
	default:
		return errors.Join(e.err, err)
	}
}

// A fate is what becomes of an error that neither ends the scope nor is in its
// outcome.
type fate uint8

const (
	owned      fate = iota // it has an owner
	ignored                // nobody wants it
	suppressed             // it came after a quiet end
	lost                   // nobody is left to take it
)

// decide is where a failure finds its owner.
func (s *Scope) decide(t *Task, err error, failed bool, panicked *PanicError) {
	if m := t.more.Load(); m != nil && m.handOver != nil && panicked == nil && (failed || err != nil && s.ended() == nil) {
		failed = !m.handOver(err) && failed
	}
	up, stuck, fate := s.outerEnded(), failed && isStuck(err), owned

	s.mu.Lock()
	if err != nil {
		t.demand().err = err
	}
	switch {
	case t.has(givenUp) && panicked != nil:
		fate = lost
	case t.has(givenUp) && failed:
		fate = suppressed
	case t.has(givenUp):
	case panicked != nil:
		s.panickedLocked(up, t, panicked)
	case failed:
		fate = s.failedLocked(up, t, err, stuck)
	}
	if t.flags&master != 0 && !t.has(givenUp) {
		s.endLocked(up, reason{kind: MasterEnded, task: t})
	}
	defer s.callHooks(t.publishLocked())
	s.settle()

	switch fate {
	case owned:
	case ignored:
		s.log(slog.LevelDebug, "error ignored: the task does not bubble", t, err)
	case suppressed:
		s.log(slog.LevelWarn, "error after a quiet end, not in the outcome", t, err)
	case lost:
		s.log(slog.LevelError, "panic of a task that had been given up", t, err)
	}
}

func (s *Scope) failedLocked(up *ending, t *Task, err error, stuck bool) fate {
	if t.flags&forStart != 0 && !t.has(isReady) {
		return owned // Start returns it
	}
	switch t.owner {
	case ownScope:
		if s.endLocked(up, reason{kind: TaskFailed, task: t, err: err}) {
			return owned
		}
		// That a goroutine is left behind is not among what a quiet end silences.
		if s.over.Load().quiet() && !stuck {
			return suppressed
		}
		s.keepLocked(t, err)
	case ownAwaiter:
		if t.demand().waiters > 0 {
			t.set(received)
		} else {
			s.holdLocked(t)
		}
	case ownNobody:
		return ignored
	case ownCallback:
	}
	return owned
}

// publishLocked makes the result of t known: to those who wait for it first,
// and only then, by what settle does, to those whom it cancels. Its context is
// done with it, and so is what was derived from that: the hooks it returns are
// to be called. A scope of New outlives the task that opened it, and passes to
// the task's scope.
//
// The bits come before the channels: whoever finds Done closed finds Err set.
func (t *Task) publishLocked() (hooks *hook) {
	s, m, before := t.scope, t.more.Load(), t.bits.Load()
	bits := hasEnded | told
	if s.state < Canceling && (m == nil || m.over.Load() == nil) {
		bits |= endedAlive
	}
	t.set(bits)
	if s.rare.limits != nil && t.id != 0 && before&givenUp == 0 {
		s.leaveLimitsLocked(t)
	}
	if t.ctxDone != nil && before&told == 0 {
		close(t.ctxDone)
	}
	if m == nil {
		return nil
	}
	if m.done != nil {
		close(m.done)
	}
	if x := m.rare.Load(); x != nil && x.timer != nil {
		x.timer.Stop() // or it would keep t
	}
	for h := m.hooks; h != nil; {
		this := h
		h = h.next
		if this.scope != nil && this.scope.how == made && bits&endedAlive != 0 {
			this.removeLocked()
			this.addLocked(&s.hooks)
		}
	}
	return takeHooksLocked(&m.hooks)
}
