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
	a := &s.ownRareLocked().alarm
	a.stop()
	a.turn++
	a.timeout, a.deadline = d, time.Time{}
	if d > 0 {
		a.deadline = time.Now().Add(d)
		turn := a.turn
		a.timer = time.AfterFunc(d, func() { s.timeUp(turn, false) })
	}
}

// An alarm is the clock of a scope.
type alarm struct {
	timeout  time.Duration
	deadline time.Time
	timer    *time.Timer
	turn     uint64 // counts the times it was set: a timer that fires late is void
}

func (a *alarm) stop() {
	if a.timer != nil {
		a.timer.Stop()
		a.timer = nil
	}
}

// timeUp is what the timer of a scope calls.
func (s *Scope) timeUp(turn uint64, again bool) {
	path := s.Path()
	up, outer, outerOK := s.outerEnded(), time.Time{}, false
	if !again {
		outer, outerOK = s.outer.Deadline()
	}
	s.mu.Lock()
	a := &s.rare.alarm
	switch {
	case a.turn != turn || s.state >= Canceling:
	case outerOK && !outer.After(a.deadline) && up == nil:
		a.timer = time.AfterFunc(grace, func() { s.timeUp(turn, true) })
	default:
		s.endLocked(up, reason{kind: TimedOut, err: &TimeoutError{Scope: path, After: a.timeout}})
	}
	s.settle()
}

// grace is how long a timer that finds a deadline further out due as well
// leaves the decision to that: of two that are due at the same instant the
// ancestor's wins, whichever timer runs first. It is there for contexts that
// announce a deadline and do not keep it.
const grace = time.Second

// startClock starts the timer of a task.
func (t *Task) startClock(x *taskRare) {
	t.scope.mu.Lock()
	defer t.scope.mu.Unlock()
	if !t.has(hasEnded) {
		x.timer = time.AfterFunc(time.Until(x.deadline), func() { t.timeUp(x, false) })
	}
}

func (t *Task) timeUp(x *taskRare, again bool) {
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
