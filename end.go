package traigo

// How a scope ends. The first half decides, under the lock; the second applies what
// follows from the decisions, without it.

// moveLocked is the only place that assigns the state.
func (s *Scope) moveLocked(in input) {
	if to := next[s.state][in]; to != s.state {
		s.state = to
		s.enteredStates |= 1 << to
	}
}

// endLocked ends the scope, and reports whether it did: false if something has ended
// it before. Callers lock by lock, so that the end of a parent comes first.
func (s *Scope) endLocked(why reason) bool {
	if s.state >= Canceling {
		return false
	}
	e := completed
	if why.kind != Completed {
		e = &ending{scope: s, reason: why}
	}
	s.joinUnreceivedLocked()
	s.over.Store(e)
	s.moveLocked(inCancel)
	return true
}

// completed is the ending of all scopes that have come to their normal end, as
// long as nobody asks for it. Most scopes end like that, and an ending of their own
// would be an allocation for each.
var completed = &ending{reason: reason{kind: Completed}}

// ending returns what has ended the scope; nil if nothing has.
func (s *Scope) ending() *ending {
	e := s.over.Load() // once: a second load may return completed where the first returned nil
	if e == completed {
		s.over.CompareAndSwap(completed, &ending{scope: s, reason: completed.reason})
		e = s.over.Load()
	}
	return e
}

// ended returns what has ended the scope or anything its context depends on; nil
// while that is alive.
func (s *Scope) ended() *ending {
	if e := s.ending(); e != nil {
		return e
	}
	return s.outerEnded()
}

// outerEnded returns what has ended the outer context; nil while it is alive. It asks
// the context itself, since the hook that announces its end is called by another
// goroutine, later. It must not be called under a lock: the context may be foreign.
func (s *Scope) outerEnded() *ending {
	switch {
	case s.together && s.opener != nil:
		return s.opener.ended()
	case s.together:
		return s.parent.ended()
	}
	if err := s.outer.Err(); err != nil {
		return outerEnding(s.outer, err)
	}
	return nil
}

// An effect is something that a decision has made due.
type effect uint8

const (
	nothing         effect = iota
	notifyFinalized        // observers
	complete               // decide the normal end
	finalizeForks          // those that Shutdown has not found, if all are idle
	notifyIdle             // the parent: Shutdown has begun, and the fork has become idle
	watchForks             // only forks are left: are they going to end?
	notifyCanceled         // observers, contexts, everything below
	cancelNewScopes        // end the scopes of New that their contexts have not ended
	notifyClosed           // observers, waiters, the parent
	leaveParent            // the parent alone
	unlist                 // the parent still lists the scope, and nothing is left to be seen in it
)

// dueLocked returns the next effect that is to be applied without the lock. The
// order of the cases is the order in which an observer is told of the states. Most
// scopes end with nobody left in them and nobody watching: for those the effects on
// the scope itself are applied right here. Without that a scope with one task costs 2.3
// times as much time and two allocations more.
func (s *Scope) dueLocked() effect {
	for {
		switch {
		case s.enteredLocked(Finalizing):
			if s.watched {
				return notifyFinalized
			}
		case s.enteredLocked(Canceling):
			if s.watched || s.live > 0 || s.hooks != nil || s.over.Load().kind == TimedOut {
				return notifyCanceled
			}
			s.endContextLocked()
		case s.state == Finalizing && s.awaited == 0:
			return complete
		case s.state == Finalizing && s.isStopping && s.awaited == s.forks && !s.finalizedForks:
			s.finalizedForks = true
			return finalizeForks
		case s.state == Open && s.isStopping && s.how == forked && s.awaited == s.forks && !s.wasIdle:
			s.wasIdle = true
			return notifyIdle
		case s.state == Finalizing && s.awaited == s.forks && !s.watchesForks:
			s.watchesForks = true
			return watchForks
		case s.state == Canceling && s.live == 0 && s.starting == 0:
			s.moveLocked(inDrained)
			s.enteredStates = 0
			if !s.isUnheardLocked() {
				return notifyClosed
			}
			s.closeLocked()
			if s.parent != nil {
				return leaveParent
			}
		case s.state == Canceling && s.live == s.newScopes && !s.canceledNew:
			s.canceledNew = true
			return cancelNewScopes
		case s.lingers && s.isEmptyLocked():
			s.lingers = false
			return unlist
		default:
			return nothing
		}
	}
}

// isUnheardLocked reports whether a scope that closes has no outcome to make, no
// observer to tell, and nothing to undo.
func (s *Scope) isUnheardLocked() bool {
	return !s.watched && s.detach == nil && s.ext == noScopeExt && s.over.Load().quiet()
}

// enteredLocked reports, once, that the scope has come into a state.
func (s *Scope) enteredLocked(state State) bool {
	is := s.enteredStates&(1<<state) != 0
	s.enteredStates &^= 1 << state
	return is
}

// settle releases mu and applies what has become due. While one goroutine does
// that, others leave their decisions to it: so effects come in order, a scope
// closes only after all of them, and an observer or a hook may call methods of
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
	if !s.settling && (s.state != Open || s.enteredStates != 0 || s.isStopping) {
		due = s.dueLocked()
		s.settling = due != nothing
	}
	return due
}

func (s *Scope) apply(due effect) {
	for due != nothing {
		switch due {
		case nothing: // the loop ends
		case notifyFinalized:
			s.emit(ScopeFinalized, nil, nil)
		case complete: // below, with the lock
		case notifyCanceled:
			s.notifyCanceled()
		case finalizeForks:
			s.finalizeForks()
		case notifyIdle:
			s.parent.lookAtForks()
		case watchForks:
			s.watchForks()
		case cancelNewScopes:
			s.cancelNewScopes()
		case notifyClosed:
			s.notifyClosed()
		case leaveParent:
			s.parent.leave(s)
		case unlist:
			s.parent.unlist(s)
		}
		if due == complete {
			s.lock()
			if s.state == Finalizing && s.awaited == 0 { // nothing has come while the parent was asked
				s.endLocked(reason{kind: Completed})
			}
		} else {
			s.mu.Lock()
		}
		due = s.dueLocked()
		s.settling = due != nothing
		s.mu.Unlock()
	}
}

// notifyCanceled tells observers that the scope was canceled, then cancels its
// contexts, the contexts derived from them, its tasks and the scopes below.
func (s *Scope) notifyCanceled() {
	s.emitEnding()
	s.mu.Lock()
	hooks := s.endContextLocked()
	s.ownExtLocked().cursor = s.first
	s.mu.Unlock()
	s.callHooks(hooks)
	for s.notifyTasks() {
	}
	s.watchStragglers()
}

// endContextLocked ends the context of the scope itself. The hooks that it returns are
// to be called.
func (s *Scope) endContextLocked() (hooks *hook) {
	if s.ext.timer != nil {
		s.ext.stopTimer()
	}
	s.isCtxDone = true
	s.ctxDone.closeLocked()
	s.signalStoppingLocked()
	return takeHooksLocked(&s.hooks)
}

// notifyTasks ends the contexts of a few tasks and reports whether more are left. Many
// goroutines may wait for them, and to wake these takes time: so it does that in
// batches, and not under the lock that those goroutines need to end.
func (s *Scope) notifyTasks() (more bool) {
	const few, many = 64, 1024
	var waiting [few]chan struct{}
	var hooks *hook
	s.mu.Lock()
	n, t := 0, s.ext.cursor
	for seen := 0; t != nil && n < few && seen < many && hooks == nil; t = t.next {
		seen++
		if t.has(isCtxDone) {
			continue
		}
		t.set(isCtxDone)
		if t.ctxDone != nil {
			waiting[n] = t.ctxDone
			n++
		}
		if x := t.ext.Load(); x != nil {
			hooks = takeHooksLocked(&x.hooks)
		}
	}
	s.ext.cursor = t
	s.mu.Unlock()
	for _, c := range waiting[:n] {
		close(c)
	}
	s.callHooks(hooks)
	return t != nil
}

// finalizeForks finalizes the forks that were opened after Shutdown had passed, when
// nobody is left in the scope, or in one of them, who would: all are idle. A fork that
// becomes idle later has its parent look again.
func (s *Scope) finalizeForks() {
	if idle, _ := s.idleForks(); idle == nil {
		return
	}
	for _, c := range s.below() {
		if c.how == forked {
			c.Finalize()
		}
	}
}

// lookAtForks is called by a fork that has become idle.
func (s *Scope) lookAtForks() {
	s.mu.Lock()
	s.finalizedForks = false
	s.wasIdle = false // if s is idle too, its own parent is to look
	s.settle()
}

// cancelNewScopes ends the scopes of New whose contexts did not end with that of
// their parent (a shielded one, say): they must not outlive it.
func (s *Scope) cancelNewScopes() {
	for _, c := range s.below() {
		if c.how == made {
			c.cancelFor(s.ended().below())
		}
	}
}

// notifyClosed is the last that happens in a scope: when done is closed the
// outcome stands and observers have been told everything. The parent, which has
// counted this scope as live until now, is told after that.
func (s *Scope) notifyClosed() {
	s.mu.Lock()
	detach, plain := s.detach, s.ext == noScopeExt && s.over.Load().quiet()
	s.mu.Unlock()
	if detach != nil {
		detach()
	}
	if !plain {
		s.makeOutcome()
	}
	s.emit(ScopeClosed, nil, s.outcome())

	s.mu.Lock()
	if s.ext.reaper != nil {
		s.ext.reaper.Stop()
	}
	s.closeLocked()
	s.mu.Unlock()
	s.watchUnseen()
	if s.parent != nil {
		s.parent.leave(s)
	}
}

// closeLocked is the last that happens under the lock.
func (s *Scope) closeLocked() {
	s.isDone = true
	s.done.closeLocked()
	if s.isJoining {
		s.joiner.Done()
	}
	s.lingers = s.parent != nil && !s.isEmptyLocked()
}
