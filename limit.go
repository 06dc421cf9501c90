package traigo

import (
	"fmt"
	"log/slog"
)

// A waitlist is the queue of spawns that wait for a slot of a scope's Limit.
type waitlist struct{ first, last *waiter }

type waiter struct {
	next    *waiter
	c       chan struct{} // closed when it is granted a slot, or the scope ends
	granted bool
}

// acquireLocked takes a slot and reports whether it got one. To wait for it, it
// releases the lock and takes it again.
func (s *Scope) acquireLocked(block bool) bool {
	if s.running < s.limit {
		s.running++
		return true
	}
	if !block {
		return false
	}
	w := &waiter{c: make(chan struct{})}
	s.waiters.pushLocked(w)
	s.mu.Unlock()
	if !waitBriefly(w.c) {
		s.log(slog.LevelWarn, fmt.Sprintf("Spawn has been blocked for %v: the limit of %d running tasks is reached; "+
			"a task that spawns into its own full scope waits for itself", patience, s.limit), nil, nil)
		<-w.c
	}
	s.mu.Lock()
	return w.granted
}

func (l *waitlist) pushLocked(w *waiter) {
	if l.last == nil {
		l.first = w
	} else {
		l.last.next = w
	}
	l.last = w
}

func (l *waitlist) popLocked() *waiter {
	w := l.first
	if w != nil {
		l.first = w.next
		if l.first == nil {
			l.last = nil
		}
	}
	return w
}

// grantLocked hands the slot of a task that has ended to the first in the
// queue, or gives it back.
func (l *waitlist) grantLocked(s *Scope) {
	if w := l.popLocked(); w != nil {
		w.granted = true
		close(w.c)
		return
	}
	s.running--
}

// wakeAllLocked sends everybody away: the scope has ended.
func (l *waitlist) wakeAllLocked() {
	for w := l.popLocked(); w != nil; w = l.popLocked() {
		close(w.c)
	}
}
