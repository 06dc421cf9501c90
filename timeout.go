package traigo

import "time"

// SetTimeout gives the scope d from now on, in place of the time it had; 0
// removes the limit. On a scope that has ended it does nothing. A context
// that package context has derived with a deadline later than the scope's had no
// timer made for it: when the scope is given more time, it ends with the scope
// all the same. It panics if d is negative.
func (s *Scope) SetTimeout(d time.Duration) {
	s.check("SetTimeout")
	mustNotBeNegative("SetTimeout", d)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state >= Canceling {
		return
	}
	if s.timer != nil {
		s.timer.Stop()
		s.timer = nil
	}
	s.alarm++ // a timer that has fired and not come through yet is void
	s.timeout, s.deadline = d, time.Time{}
	if d > 0 {
		s.deadline = time.Now().Add(d)
		alarm := s.alarm
		s.timer = time.AfterFunc(d, func() { s.timeUp(alarm, false) })
	}
}

// timeUp is what the timer of a scope calls.
func (s *Scope) timeUp(alarm uint64, again bool) {
	path := s.Path()
	up, outer, outerOK := s.outerEnded(), time.Time{}, false
	if !again {
		outer, outerOK = s.outer.Deadline()
	}
	s.mu.Lock()
	switch {
	case s.alarm != alarm || s.state >= Canceling:
	case outerOK && !outer.After(s.deadline) && up == nil:
		s.timer = time.AfterFunc(grace, func() { s.timeUp(alarm, true) })
	default:
		s.endLocked(up, reason{kind: TimedOut, err: &TimeoutError{Scope: path, After: s.timeout}})
	}
	s.settle()
}

// grace is how long a timer that finds a deadline further out due as well
// leaves the decision to that: of two that are due at the same instant the
// ancestor's wins, whichever timer runs first. It is there for contexts that
// announce a deadline and do not keep it.
const grace = time.Second

// startClock starts the timer of a task.
func (t *Task) startClock(x *rare) {
	t.scope.mu.Lock()
	defer t.scope.mu.Unlock()
	if !t.has(hasEnded) {
		x.timer = time.AfterFunc(time.Until(x.deadline), func() { t.timeUp(x, false) })
	}
}

func (t *Task) timeUp(x *rare, again bool) {
	if outer, ok := t.scope.context().Deadline(); ok && !again && !outer.After(x.deadline) && t.scope.ended() == nil {
		t.scope.mu.Lock()
		defer t.scope.mu.Unlock()
		if !t.has(hasEnded) {
			x.timer = time.AfterFunc(grace, func() { t.timeUp(x, true) })
		}
		return
	}
	t.cancel(reason{kind: TimedOut, task: t, err: &TimeoutError{Scope: t.Path(), After: x.timeout}})
}
