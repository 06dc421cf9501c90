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

// What follows from a decision, done without the lock.

// An effect is something that a decision has made due.
type effect uint8

const (
	nothing         effect = iota
	tellFinalized          // observers
	complete               // decide the normal end
	dismissForks           // finalize the forks that Shutdown has not found
	watchForks             // only forks are left: are they going to end?
	tellCanceled           // observers, contexts, everything below
	dismissVisitors        // end the scopes of New that their contexts have not ended
	tellClosed             // observers, waiters, the parent
	leaveParent            // the parent alone
)

// dueLocked returns the next effect that is to be applied without the lock. The
// order of the cases is the order in which an observer hears of the states. Most
// scopes end with nobody left in them and nobody watching: what nobody would
// hear of is done right here.
func (s *Scope) dueLocked() effect {
	for {
		switch {
		case s.enteredLocked(Finalizing):
			if s.watched {
				return tellFinalized
			}
		case s.enteredLocked(Canceling):
			if s.watched || s.live > 0 || s.hooks != nil || s.over.Load().kind == TimedOut ||
				s.settings.traces && s.over.Load().kind != Completed {
				return tellCanceled
			}
			s.tellScopeLocked()
		case s.state == Finalizing && s.awaited == 0:
			return complete
		case s.state == Finalizing && s.isStopped && s.awaited == s.forks && !s.dismissedForks:
			s.dismissedForks = true
			return dismissForks
		case s.state == Finalizing && s.awaited == s.forks && !s.watchingForks:
			s.watchingForks = true
			return watchForks
		case s.state == Canceling && s.live == 0 && s.starting == 0:
			s.moveLocked(inDrained)
			s.announce = 0
			if s.watched || s.detach != nil || s.rare != nothingRare || s.isTraced() || !s.over.Load().quiet() {
				return tellClosed
			}
			s.doneLocked()
			if s.parent != nil {
				return leaveParent
			}
		case s.state == Canceling && s.live == s.visitors && !s.dismissedVisitors:
			s.dismissedVisitors = true
			return dismissVisitors
		default:
			return nothing
		}
	}
}

// enteredLocked reports, once, that the scope has come into a state.
func (s *Scope) enteredLocked(state State) bool {
	is := s.announce&(1<<state) != 0
	s.announce &^= 1 << state
	return is
}

// settle releases mu and applies what has become due. While one goroutine is
// at it, others leave their decisions to it: so effects come in order, a scope
// closes only after all of them, and an observer or a hook may call back into
// the scope.
func (s *Scope) settle() {
	due := s.claimLocked()
	s.mu.Unlock()
	if due != nothing {
		s.apply(due)
	}
}

// claimLocked returns what has become due, for the caller to apply.
func (s *Scope) claimLocked() (due effect) {
	if !s.settling && (s.state != Open || s.announce != 0) {
		due = s.dueLocked()
		s.settling = due != nothing
	}
	return due
}

func (s *Scope) apply(due effect) {
	// An observer that calls runtime.Goexit takes this goroutine with it, but
	// not the scope.
	defer func() {
		if due != nothing {
			go s.resume()
		}
	}()
	for due != nothing {
		var up *ending
		switch due {
		case nothing: // the loop ends
		case tellFinalized:
			s.emit(ScopeFinalized, nil, nil)
		case complete:
			up = s.outerEnded()
		case tellCanceled:
			s.tellCanceled()
		case dismissForks:
			s.tell(s.below(), (*Scope).finalizeFork)
		case watchForks:
			s.watchForks()
		case dismissVisitors:
			s.tell(s.below(), (*Scope).endVisitor)
		case tellClosed:
			s.tellClosed()
		case leaveParent:
			s.parent.leave(s)
		}
		s.mu.Lock()
		if due == complete && s.state == Finalizing && s.awaited == 0 { // nothing has come while up was asked
			s.endLocked(up, reason{kind: Completed})
		}
		due = s.dueLocked()
		s.settling = due != nothing
		s.mu.Unlock()
	}
}

func (s *Scope) resume() {
	s.mu.Lock()
	s.settling = false
	s.settle()
}

// tellCanceled brings the news of the ending to observers, and then to all that
// hangs on the scope, whatever becomes of the observers.
func (s *Scope) tellCanceled() {
	defer s.cancelBelow()
	s.emitEnding()
}

// tellScopeLocked brings it to those who wait on the scope itself. The hooks that
// it returns are to be called.
func (s *Scope) tellScopeLocked() (hooks *hook) {
	if s.rare.timer != nil {
		s.rare.stop()
	}
	s.isCtxDone = true
	s.ctxDone.giveLocked()
	s.stopLocked()
	return takeHooksLocked(&s.hooks)
}

func (s *Scope) cancelBelow() {
	s.mu.Lock()
	hooks := s.tellScopeLocked()
	s.ownRareLocked().cursor = s.first
	s.mu.Unlock()
	defer s.tellAllTasks()
	s.callHooks(hooks)
}

func (s *Scope) tellAllTasks() {
	more := true
	// A hook may end a scope below whose observer calls runtime.Goexit.
	defer func() {
		if more {
			go s.tellAllTasks()
		}
	}()
	for more {
		more = s.tellTasks()
	}
	s.watchStragglers()
}

// tellTasks brings it to a few tasks and reports whether more are left. Many
// may wait for it, and waking them takes time: so in batches, and not under
// the lock that they need to end.
func (s *Scope) tellTasks() (more bool) {
	const few, many = 64, 1024
	var waiting [few]chan struct{}
	var hooks *hook
	s.mu.Lock()
	n, t := 0, s.rare.cursor
	for seen := 0; t != nil && n < few && seen < many && hooks == nil; t = t.next {
		seen++
		if t.has(told) {
			continue
		}
		t.set(told)
		if t.ctxDone != nil {
			waiting[n] = t.ctxDone
			n++
		}
		if m := t.more.Load(); m != nil {
			hooks = takeHooksLocked(&m.hooks)
		}
	}
	s.rare.cursor = t
	s.mu.Unlock()
	for _, c := range waiting[:n] {
		close(c)
	}
	s.callHooks(hooks)
	return t != nil
}

// tell does something to each of the scopes below, on another goroutine if an
// observer takes this one away.
func (s *Scope) tell(below []*Scope, what func(*Scope)) {
	defer func() {
		if len(below) > 0 {
			go s.tell(below, what)
		}
	}()
	for len(below) > 0 {
		c := below[0]
		below = below[1:]
		what(c)
	}
}

// finalizeFork ends a fork that was opened after Shutdown had come by, when
// nobody is left in the parent who would.
func (s *Scope) finalizeFork() {
	if s.how == forked {
		s.Finalize()
	}
}

// endVisitor ends what New has opened with a context that did not hear of the
// ending of its parent (a shielded one, say): it must not outlive that.
func (s *Scope) endVisitor() {
	if s.how == made {
		s.stop(s.parent.ended().below())
	}
}

// tellClosed is the last that happens in a scope: when done is closed the
// outcome stands and observers have heard of everything; the parent, which has
// counted this scope as live until now, is told after that.
func (s *Scope) tellClosed() {
	defer s.shutDown()
	s.mu.Lock()
	detach, nothing := s.detach, s.rare == nothingRare && s.over.Load().quiet()
	s.mu.Unlock()
	if detach != nil {
		detach()
	}
	if !nothing {
		s.conclude()
	}
	if s.watched {
		s.emit(ScopeClosed, nil, s.failure())
	}
}

func (s *Scope) shutDown() {
	s.endTrace()
	s.mu.Lock()
	if s.rare.reaper != nil {
		s.rare.reaper.Stop()
	}
	s.doneLocked()
	s.mu.Unlock()
	if s.parent != nil {
		s.parent.leave(s)
	}
}

// doneLocked is the last that happens under the lock.
func (s *Scope) doneLocked() {
	s.isDone = true
	s.done.giveLocked()
	if s.joining {
		s.joiner.Done()
	}
}

// below returns the scopes right below that have not closed.
func (s *Scope) below() []*Scope {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.belowLocked()
}

func (s *Scope) belowLocked() []*Scope {
	var all []*Scope
	for c := s.children; c != nil; c = c.sibling {
		all = append(all, c)
	}
	return all
}
