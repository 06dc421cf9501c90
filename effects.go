package traigo

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
)

// dueLocked returns the next effect. The order of the cases is the order in
// which an observer hears of the states.
func (s *Scope) dueLocked() effect {
	entered := func(state State) bool { return s.announce&(1<<state) != 0 }
	switch {
	case entered(Finalizing):
		s.announce &^= 1 << Finalizing
		return tellFinalized
	case entered(Canceling):
		s.announce &^= 1 << Canceling
		return tellCanceled
	case s.state == Finalizing && s.awaited == 0:
		return complete
	case s.state == Finalizing && s.stopped.fired && s.awaited == s.forks && !s.dismissedForks:
		s.dismissedForks = true
		return dismissForks
	case s.state == Finalizing && s.awaited == s.forks && !s.watchingForks:
		s.watchingForks = true
		return watchForks
	case s.state == Canceling && s.live == 0 && !s.starting:
		s.moveLocked(inDrained)
		s.announce = 0
		return tellClosed
	case s.state == Canceling && s.live == s.visitors && !s.dismissedVisitors:
		s.dismissedVisitors = true
		return dismissVisitors
	}
	return nothing
}

// settle releases mu and applies what has become due. While one goroutine is
// at it, others leave their decisions to it: so effects come in order, a scope
// closes only after all of them, and an observer or a hook may call back into
// the scope.
func (s *Scope) settle() {
	due := nothing
	if !s.settling {
		due = s.dueLocked()
		s.settling = due != nothing
	}
	s.mu.Unlock()
	if due != nothing {
		s.apply(due)
	}
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
		switch due {
		case nothing: // the loop ends
		case tellFinalized:
			s.emit(ScopeFinalized, nil, nil)
		case complete:
			s.complete()
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
		}
		s.mu.Lock()
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

// complete decides the normal end. Asking the outer context needs the lock to
// be released, and by then there may be something to wait for again.
func (s *Scope) complete() {
	up := s.outerEnded()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state == Finalizing && s.awaited == 0 {
		s.endLocked(up, reason{kind: Completed})
	}
}

// tellCanceled brings the news of the ending to observers, and then to all that
// hangs on the scope, whatever becomes of the observers.
func (s *Scope) tellCanceled() {
	defer s.cancelBelow()
	s.emitEnding()
}

func (s *Scope) cancelBelow() {
	s.mu.Lock()
	if s.timer != nil {
		s.timer.Stop()
	}
	s.ctxDone.fireLocked()
	s.stopped.fireLocked()
	s.waiters.wakeAllLocked()
	hooks := takeHooksLocked(&s.hooks)
	s.cursor = s.first
	alone := s.first == nil && hooks == nil && s.live == 0
	s.mu.Unlock()
	if alone { // most scopes end like this: everything in them has
		return
	}
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
	const few = 64
	var waiting [few]chan struct{}
	var hooks *hook
	s.mu.Lock()
	n, t := 0, s.cursor
	for ; t != nil && n < few && hooks == nil; t = t.next {
		if !t.has(told) {
			t.set(told)
			waiting[n] = t.ctxDone
			hooks = takeHooksLocked(&t.hooks)
			n++
		}
	}
	s.cursor = t
	s.mu.Unlock()
	for _, c := range waiting[:n] {
		if c != nil {
			close(c)
		}
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
	detach := s.detach
	s.mu.Unlock()
	if detach != nil {
		detach()
	}
	if s.up != nil {
		s.up.unhook(&s.hook)
	}
	s.conclude()
	s.emit(ScopeClosed, nil, s.failure())
}

func (s *Scope) shutDown() {
	s.mu.Lock()
	if s.reaper != nil {
		s.reaper.Stop()
	}
	s.done.fireLocked()
	s.mu.Unlock()
	if s.parent != nil {
		s.parent.leave(s)
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
