package traigo

// How a scope ends: what is decided under the lock. What follows from it, after,
// is in effects.go.

// moveLocked is the only place that assigns the state.
func (s *Scope) moveLocked(in input) {
	if to := next[s.state][in]; to != s.state {
		s.state = to
		s.announce |= 1 << to
	}
}

// endLocked ends the scope, if nothing has before, and reports whether it did
// so for the reason given. up is what outerEnded returned before the lock was
// taken: a parent that has ended wins over any reason of the scope's own, so
// that the outcome does not depend on how fast the news of it travels.
func (s *Scope) endLocked(up *ending, why reason) bool {
	if s.state >= Canceling {
		return false
	}
	own := up == nil
	if !own {
		why = up.below()
	}
	e := completed
	if why.kind != Completed {
		e = &ending{scope: s, reason: why}
	}
	s.joinUnreceivedLocked()
	s.over.Store(e)
	s.moveLocked(inCancel)
	return own
}

// hearLocked ends the scope if up, what outerEnded returned, says so.
func (s *Scope) hearLocked(up *ending) {
	if up != nil {
		s.endLocked(up, reason{})
	}
}

// completed is the ending of all scopes that have come to their normal end, as
// long as nobody asks for it: most end like that.
var completed = &ending{reason: reason{kind: Completed}}

// ending returns what has ended the scope; nil if nothing has.
func (s *Scope) ending() *ending {
	e := s.over.Load() // once: after a look that saw nothing, another may see completed
	if e == completed {
		s.over.CompareAndSwap(completed, &ending{scope: s, reason: completed.reason})
		e = s.over.Load()
	}
	return e
}

// ended returns what has ended the scope or anything it hangs on; nil while
// its context is alive.
func (s *Scope) ended() *ending {
	if e := s.ending(); e != nil {
		return e
	}
	return s.outerEnded()
}

// outerEnded asks the outer context itself, since the news of its end comes by
// another goroutine. It must not be called under a lock: the context may be
// anybody's.
func (s *Scope) outerEnded() *ending {
	switch {
	case s.upTask != nil:
		return s.upTask.ended()
	case s.upScope:
		return s.parent.ended()
	}
	if err := s.outer.Err(); err != nil {
		return outerEnding(s.outer, err)
	}
	return nil
}

// refuse closes a fork that came too late; nobody has heard of it.
func (s *Scope) refuse() {
	up := s.outerEnded()
	s.mu.Lock()
	s.endLocked(up, reason{})
	s.moveLocked(inDrained)
	s.announce = 0
	s.mu.Unlock()
	s.out = &Error{Scope: s.Path(), Err: refusal(s)}
	s.endTrace()
	s.mu.Lock()
	s.tellScopeLocked()
	s.doneLocked()
	s.mu.Unlock()
}
