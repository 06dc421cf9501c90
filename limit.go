package traigo

import (
	"fmt"
	"log/slog"
	"strconv"
	"time"
)

// How the tasks of a scope come by what limits them: the scope's own Limit, and
// what it shares with others. What a task needs it has when it is accepted, and
// gives back when it has ended.

// units is how much of every limit t takes.
func (t *Task) units() int {
	if x := t.rare(); x != nil && x.weight > 0 {
		return x.weight
	}
	return 1
}

// acceptLimited is accept, with the lock held, in a scope that has limits.
func (s *Scope) acceptLimited(t *Task, block bool, stop <-chan struct{}) bool {
	missing, back := s.enterLocked(t, block, stop)
	defer back()
	switch ended := s.state >= Canceling; {
	case missing != nil && !ended:
		s.settle()
		t.refuse(missing)
		return false
	case missing == nil && ended: // while it waited
		s.leaveLimitsLocked(t)
	}
	return s.takeInLocked(t)
}

// enterLocked gets t what it needs of all limits, and returns the one that it has
// not got, nil if there is none. To wait for room it releases the lock and takes
// it again. back is to be called when t has been launched, or refused.
func (s *Scope) enterLocked(t *Task, block bool, stop <-chan struct{}) (missing *Limiter, back func()) {
	back = func() {}
	limits := s.rare.limits
	if l := limits[0]; l.never(t) {
		s.mu.Unlock()
		panic(fmt.Sprintf("traigo: a weight of %d is more than the Limit(%d) of scope %q: the task would never run", t.units(), l.limit, s.Path()))
	}
	for i, l := range limits {
		if l.take(t) {
			continue
		}
		if block {
			ok, lent := s.waitForLocked(l, t, t.flags&awaited != 0, stop)
			back = both(back, lent)
			if ok {
				continue
			}
		}
		for _, l := range limits[:i] {
			l.giveBack(t)
		}
		return l, back
	}
	return nil, back
}

// never reports that t is too large for the limit of a scope, which stays what it is.
func (l *Limiter) never(t *Task) bool { return l.holders == nil && t.units() > l.limit }

// leaveLimitsLocked gives back what t has got.
func (s *Scope) leaveLimitsLocked(t *Task) {
	if t.flags&unlimited != 0 {
		return
	}
	for _, l := range s.rare.limits {
		l.giveBack(t)
	}
}

// waitForLocked waits until l has room for t, the scope has ended, or stop is
// closed. Who waits counts as live: a scope that is finalizing stays for it.
func (s *Scope) waitForLocked(l *Limiter, t *Task, awaited bool, stop <-chan struct{}) (ok bool, back func()) {
	ended := s.ctxDone.waitLocked(s.isCtxDone)
	s.live++
	if awaited {
		s.awaited++
	}
	s.ownRareLocked().waiting++
	s.mu.Unlock()

	w := l.enqueue(t, false)
	back = s.lend(stop)
	l.wait(w, s, ended, stop, "Spawn has been blocked for")
	ok = l.leave(w)

	up := s.outerEnded()
	s.mu.Lock()
	s.hearLocked(up)
	s.rare.waiting--
	s.live--
	if awaited {
		s.awaited--
	}
	return ok, back
}

// wait waits for w to be granted, and says so in the log if that takes long.
func (l *Limiter) wait(w *waiter, s *Scope, ended, stop <-chan struct{}, what string) {
	long := time.NewTimer(patience)
	defer long.Stop()
	for {
		select {
		case <-w.c:
			return
		case <-ended:
			return
		case <-stop:
			return
		case <-long.C:
			if w.task == nil && !s.mayWarnOfRoom(l) {
				continue
			}
			// On a goroutine of its own: a logger that calls runtime.Goexit would
			// leave what w has got to nobody.
			go s.log(slog.LevelWarn, what+" "+patience.String()+": "+l.blame(w.units()), nil, nil)
		}
	}
}

// mayWarnOfRoom says whether it is worth a warning that no item is pulled. In a
// scope that is slow that is nothing, but what is shared may be held by somebody who
// waits for this: once.
func (s *Scope) mayWarnOfRoom(l *Limiter) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	first := !s.rare.warnedOfRoom && l.holders != nil
	s.ownRareLocked().warnedOfRoom = s.rare.warnedOfRoom || first
	return first
}

// awaitRoom waits until there is room for one more task, or the scope has ended.
func (s *Scope) awaitRoom() {
	s.mu.Lock()
	defer s.settle()
	for _, l := range s.rare.limits {
		if s.state < Canceling && !l.hasRoom() {
			_, back := s.waitForLocked(l, nil, false, nil)
			s.mu.Unlock()
			back()
			s.mu.Lock()
		}
	}
}

func (l *Limiter) hasRoom() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.waiters.Len() == 0 && l.used < l.limit
}

// lend gives others all that the calling task has, if some of it is of what s
// shares, until back is called: the task is going to wait for something in s. So it
// does not wait for ever for tasks that need the same. All, since whoever gets some of
// it might wait for the rest. Which task calls is told by its stack.
func (s *Scope) lend(stop <-chan struct{}) (back func()) {
	back = func() {}
	t := s.callingHolder()
	if t == nil {
		return back
	}
	t.scope.mu.Lock()
	limits := t.scope.rare.limits
	t.scope.mu.Unlock()
	for _, l := range limits {
		if l.holder(t.address()) != nil {
			l.giveBack(t)
			back = both(back, func() { l.takeBack(t, stop) })
		}
	}
	return back
}

// callingHolder is the task that calls, if it holds some of what s shares.
func (s *Scope) callingHolder() *Task {
	s.mu.Lock()
	limits := s.rare.limits
	s.mu.Unlock()
	var address uintptr
	for _, l := range limits {
		l.mu.Lock()
		held := len(l.holders) > 0
		l.mu.Unlock()
		if held && address == 0 {
			address = callingTask()
		}
		if held {
			if t := l.holder(address); t != nil {
				return t
			}
		}
	}
	return nil
}

// takeBack is for a task that has lent what it has, and goes on: it comes before
// all who wait. It does not wait itself once it has been canceled, or stop is closed.
func (l *Limiter) takeBack(t *Task, stop <-chan struct{}) {
	w := l.enqueue(t, true)
	l.wait(w, t.scope, (*taskContext)(t).Done(), stop, "task "+strconv.Quote(t.Name())+" has lent its part of a limit and has not had it back for")
	if !l.leave(w) {
		l.mu.Lock()
		l.holdLocked(t)
		l.mu.Unlock()
	}
	if t.has(givenUp) {
		l.giveBack(t)
	}
}

// both returns a function that calls a and then b.
func both(a, b func()) func() {
	return func() { a(); b() }
}
