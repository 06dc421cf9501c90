package traigo

import (
	"errors"
	"log/slog"
	"strconv"
)

// Who owns the error of a task. It is settled at spawn, by flags; this file
// only looks it up.

// endTask makes the result of t known and lets it have its consequences. t
// counts as live until it is retired. Observers hear of it first, so that the
// failure comes before what it causes.
func (s *Scope) endTask(t *Task, err error, panicked *PanicError) {
	if panicked != nil {
		err = panicked
	}
	failed, err := t.verdict(err)
	if s.settings.panicAsError {
		panicked = nil
	}
	func() {
		defer s.decide(t, err, failed, panicked)
		s.emit(TaskEnded, t, err)
	}()
	if x := t.rare.Load(); x != nil && x.onDone != nil {
		s.guard("OnDone of task "+strconv.Quote(t.Path()), func() { x.onDone(err) })
	}
}

// verdict says whether err, which the task's function returned, is a failure
// and not just what a cancellation looks like from inside.
func (t *Task) verdict(err error) (failed bool, result error) {
	if err == nil {
		return false, nil
	}
	if e := t.alone(); e != nil {
		bare := e.bare(err)
		if e.kind != TimedOut {
			if bare {
				return false, err
			}
		} else {
			switch {
			case bare:
				return true, e.err
			case errors.Is(err, e.err):
				return true, err
			default:
				return true, errors.Join(e.err, err)
			}
		}
	}
	if e := t.scope.ended(); e != nil && e.bare(err) {
		return false, err
	}
	return true, err
}

// decide is where a failure finds its owner.
func (s *Scope) decide(t *Task, err error, failed bool, panicked *PanicError) {
	up := s.outerEnded()
	fate := owned

	s.mu.Lock()
	t.publishLocked(err)
	switch {
	case t.has(givenUp):
		fate = ignored
		if panicked != nil {
			fate = lost
		} else if failed {
			fate = suppressed
		}
	case panicked != nil:
		s.panickedLocked(up, t, panicked)
	case !failed:
	case t.flags&forStart != 0 && !t.has(isReady): // Start returns it
	case t.flags&bubbles != 0:
		if !s.endLocked(up, reason{kind: TaskFailed, task: t, err: err}) {
			fate = s.laterLocked(t, err)
		}
	case t.has(isReady) || t.flags&forAwait == 0:
		if x := t.rare.Load(); x == nil || x.onDone == nil {
			fate = ignored
		}
	case t.waiters > 0:
		t.set(received)
	default:
		if x := t.rare.Load(); x == nil || x.onDone == nil {
			s.holdLocked(t)
		}
	}
	if t.flags&master != 0 && !t.has(givenUp) {
		s.endLocked(up, reason{kind: MasterEnded, task: t})
	}
	s.settle()

	switch fate {
	case owned:
	case ignored:
		if failed {
			s.log(slog.LevelDebug, "error ignored: the task does not bubble", t, err)
		}
	case suppressed:
		s.log(slog.LevelWarn, "error after a quiet end, not in the outcome", t, err)
	case lost:
		s.log(slog.LevelError, "panic of a task that had been given up", t, err)
	}
}

// A fate is what becomes of an error that did not end the scope.
type fate uint8

const (
	owned      fate = iota // it is in the outcome, or with its owner
	ignored                // nobody wants it
	suppressed             // it came after a quiet end
	lost                   // nobody is left to take it
)

// publishLocked makes the result of t known: to those who wait for it first,
// and only then, by what settle does, to those whom it cancels.
func (t *Task) publishLocked(err error) {
	t.err = err
	if t.ctxDone != nil && !t.has(told) {
		close(t.ctxDone)
	}
	t.set(hasEnded | told)
	if t.done != nil {
		close(t.done)
	}
	if x := t.rare.Load(); x != nil && x.timer != nil {
		x.timer.Stop() // or it would keep t
	}
	// What was derived from the task's context and is still in use (the body
	// of a response, a scope of New) lives on until the scope is canceled.
	if t.hooks != nil {
		moveHooksLocked(&t.hooks, &t.scope.hooks)
	}
}
