package traigo

import (
	"log/slog"
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

// enterLocked gets t what it needs of all limits, and returns the one that it has
// not got, nil if there is none. To wait for room it releases the lock and takes
// it again. back is to be called when t has been launched, or refused.
func (s *Scope) enterLocked(t *Task, block bool, stop <-chan struct{}) (missing *Limiter, back func()) {
	limits := s.rare.limits
	for i, l := range limits {
		if l.take(t) {
			continue
		}
		if block && !l.never(t) {
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
	back = l.lend()
	l.wait(w, s, ended, stop, "Spawn has been blocked for")
	ok = l.leave(w)

	s.mu.Lock()
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
			if w.task == nil {
				continue // who pulls items may wait for as long as it takes
			}
			// On a goroutine of its own: a logger that calls runtime.Goexit would
			// leave what w has got to nobody.
			go s.log(slog.LevelWarn, what+" "+patience.String()+": "+l.blame()+
				"; a task that spawns into its own full scope waits for itself", nil, nil)
		}
	}
}

// awaitRoom waits until there is room for one more task, or the scope has ended.
func (s *Scope) awaitRoom() {
	s.mu.Lock()
	defer s.settle()
	for _, l := range s.rare.limits {
		if s.state < Canceling {
			if _, back := s.waitForLocked(l, nil, false, nil); back != nil {
				s.mu.Unlock()
				back()
				s.mu.Lock()
			}
		}
	}
}

// lend gives others what the calling task has of l, until back is called: it is
// going to wait. So a task that waits for tasks of its own, which need the same,
// does not wait for ever. Which task calls is told by its stack.
func (l *Limiter) lend() (back func()) {
	l.mu.Lock()
	holders := l.tasksLocked()
	l.mu.Unlock()
	if len(holders) == 0 {
		return nil
	}
	stacks := ownStack()
	for _, t := range holders {
		if stacks[addressOf(t)] != "" {
			l.giveBack(t)
			return func() { l.takeBack(t) }
		}
	}
	return nil
}

// takeBack is for a task that has lent what it has, and goes on: it comes before
// all who wait. A task that has been canceled, or given up, does not wait.
func (l *Limiter) takeBack(t *Task) {
	w := l.enqueue(t, true)
	l.wait(w, t.scope, (*taskContext)(t).Done(), nil, "a task that has lent its part of a limit has waited to have it back for")
	if !l.leave(w) {
		l.mu.Lock()
		l.holdLocked(t)
		l.mu.Unlock()
	}
	if t.has(givenUp) {
		l.giveBack(t)
	}
}

// lend gives others what the calling task has of the limits that s shares, while
// it waits for something in s.
func (s *Scope) lend() (back func()) {
	s.mu.Lock()
	limits := s.rare.limits
	s.mu.Unlock()
	back = func() {}
	for _, l := range limits {
		if own := l.lend(); own != nil {
			back = both(back, own)
		}
	}
	return back
}

// both returns a function that calls a and then b; each of them may be nil.
func both(a, b func()) func() {
	switch {
	case a == nil:
		return b
	case b == nil:
		return a
	}
	return func() { a(); b() }
}
