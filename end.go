package traigo

// How a scope is canceled and closed. The first half of the file changes the state, with
// mu held. The second half applies the effects of the changes, with mu released.

// moveLocked changes the state as the table next says, and records that the new state was
// entered. Nothing else assigns s.state.
func (s *Scope) moveLocked(in input) {
	if to := next[s.state][in]; to != s.state {
		s.state = to
		s.enteredStates |= 1 << to
	}
}

// endLocked cancels the scope for why and reports true, or reports false if the scope is
// canceled already. Callers lock by s.lock, not s.mu.Lock, so that a canceled parent
// takes precedence.
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

// completed stands for the ending of every scope that was canceled because it was
// complete, until s.ending is called and replaces it. Most scopes end like that:
// completed saves each of them an allocation.
var completed = &ending{reason: reason{kind: Completed}}

// ending returns why the scope was canceled; nil if it was not, or if only its outer
// context is done and the scope has not recorded that yet.
func (s *Scope) ending() *ending {
	e := s.over.Load() // loaded once: between two loads over may change from nil to completed
	if e == completed {
		s.over.CompareAndSwap(completed, &ending{scope: s, reason: completed.reason})
		e = s.over.Load()
	}
	return e
}

// ended returns why the context of the scope is done; nil if it is not. Unlike ending it
// also checks the outer context. It must not be called with a lock held.
func (s *Scope) ended() *ending {
	if e := s.ending(); e != nil {
		return e
	}
	return s.outerEnded()
}

// outerEnded returns why the outer context is done; nil if it is not. It checks the
// context itself, since the hook that reports it may not have run yet. It must not be
// called with a lock held: the context may be foreign code.
func (s *Scope) outerEnded() *ending {
	switch {
	case s.together && s.opener != nil:
		return s.opener.ended()
	case s.together:
		return s.parent.ended()
	}
	err := s.outer.Err()
	if err == nil && s.parent != nil && s.cancelDerived() {
		err = s.outer.Err()
	}
	if err != nil {
		return outerEnding(s.outer, err)
	}
	return nil
}

// An effect is work that follows from a change of the state and is done with mu released.
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

// dueLocked returns the next effect for the caller to apply with mu released, or nothing.
// The order of the cases is the order in which observers see the states. Most scopes are
// empty when they are canceled, and have no observer. Their effects need no foreign code,
// so dueLocked applies them itself. Without that a scope with one task takes 2.3 times as
// long and two more allocations.
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

// isUnheardLocked reports whether a scope that closes has no observer, nothing to detach, no
// errors to report, and no failure that might remain unseen, so that notifyClosed is not
// needed.
func (s *Scope) isUnheardLocked() bool {
	return !s.watched && s.detach == nil && s.ext == noScopeExt && (s.over.Load().quiet() || s.asked.Load())
}

// enteredLocked reports whether the scope has entered state since the last call for that
// state.
func (s *Scope) enteredLocked(state State) bool {
	is := s.enteredStates&(1<<state) != 0
	s.enteredStates &^= 1 << state
	return is
}

// settle releases mu and applies the effects that are due. At most one goroutine applies
// effects of a scope at a time (settling). If another one is doing so, settle just
// unlocks, and that goroutine applies the new effects too. So effects are applied in
// order, a scope closes after all of them, and an observer or a hook may call methods of
// the scope.
func (s *Scope) settle() {
	due := s.claimLocked()
	s.mu.Unlock()
	if due != nothing {
		s.apply(due)
	}
}

// claimLocked returns the effect that is due, and sets settling if there is one: the
// caller must then call apply. It returns nothing if another goroutine is applying
// effects.
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
		case nothing: // not reached
		case notifyFinalized:
			s.emit(ScopeFinalized, nil, nil)
		case complete:
			s.complete()
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
		s.mu.Lock()
		due = s.dueLocked()
		s.settling = due != nothing
		s.mu.Unlock()
	}
}

// complete ends a scope that has nothing awaited left, unless something has come, or the
// parent has ended, since that was found.
func (s *Scope) complete() {
	s.lock()
	if s.state == Finalizing && s.awaited == 0 {
		s.endLocked(reason{kind: Completed})
	}
	s.mu.Unlock()
}

// notifyCanceled tells observers that the scope is canceled. It then ends the context of
// the scope and of its tasks, calls their hooks, which cancel derived contexts and the
// scopes below, and sets the reaper's timer.
func (s *Scope) notifyCanceled() {
	s.emitEnding()
	s.mu.Lock()
	hooks := s.endContextLocked()
	s.cursor = s.first
	s.mu.Unlock()
	s.callHooks(hooks)
	for s.notifyTasks() {
	}
	s.watchStragglers()
}

// endContextLocked ends the context of the scope. The caller must call the returned hooks
// after it has released mu.
func (s *Scope) endContextLocked() (hooks *hook) {
	if s.ext.timer != nil {
		s.ext.stopTimer()
	}
	s.isCtxDone = true
	s.ctxDone.closeLocked()
	s.signalStoppingLocked()
	s.refuseBlockedLocked()
	return takeHooksLocked(&s.hooks)
}

// notifyTasks ends the contexts of the next tasks and reports whether there are more.
// Closing a channel wakes its receivers, which takes time, and they then need mu to end.
// So it works in batches and closes the channels with mu released.
func (s *Scope) notifyTasks() (more bool) {
	const few, many = 8, 1024 // the channels are on the stack, which may be that of a short task
	var waiting [few]chan struct{}
	var hooks *hook
	s.mu.Lock()
	n, t := 0, s.cursor
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
	s.cursor = t
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

// notifyClosed is the last effect of a scope. It logs the errors that nobody will return
// and tells observers before it closes done. It then tells the parent, in whose live the
// scope was counted until now.
func (s *Scope) notifyClosed() {
	s.mu.Lock()
	detach := s.detach
	s.mu.Unlock()
	if detach != nil {
		detach()
	}
	s.reportCollected()
	if s.watched {
		s.emit(ScopeClosed, nil, s.outcome())
	}
	s.mu.Lock()
	s.closeLocked()
	s.mu.Unlock()
	s.watchUnseen()
	if s.parent != nil {
		s.parent.leave(s)
	}
}

// closeLocked releases the waiters: it sets isDone and closes done.
func (s *Scope) closeLocked() {
	if s.reaper != nil {
		s.reaper.Stop()
	}
	s.hasFailed = s.hasFailedLocked()
	s.isDone = true
	s.done.closeLocked()
	if s.isJoining {
		s.joiner.Done()
	}
	s.lingers = s.parent != nil && !s.isEmptyLocked()
}
