package traigo

import (
	"fmt"
	"log/slog"
	"time"
)

// A limiter is the Limit of a scope, under its mu.
type limiter struct {
	limit   int
	running int // tasks that hold a slot
	waiters waitlist
}

// A waitlist is the queue of spawns that wait for a slot.
type waitlist struct{ first, last *waiter }

// A waiter is a spawn that waits. It is decided exactly once, by whoever takes
// it off the list: granted by a task that ends, turned away by the end of the
// scope, or given up by its caller.
type waiter struct {
	next    *waiter
	task    *Task
	c       chan struct{} // closed when it is granted or turned away
	granted bool
}

// acquireLocked takes t in where there is room, and reports whether it has. To
// wait for room it releases the lock and takes it again; when stop is closed it
// gives up.
func (s *Scope) acquireLocked(t *Task, stop <-chan struct{}) bool {
	w := &waiter{task: t, c: make(chan struct{})}
	s.rare.limiter.waiters.pushLocked(w)
	s.mu.Unlock()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	for waiting := true; waiting; {
		select {
		case <-w.c:
			waiting = false
		case <-stop:
			waiting = false
		case <-timer.C:
			// On a goroutine of its own: a logger that calls runtime.Goexit would
			// leave a slot to nobody.
			go s.log(slog.LevelWarn, fmt.Sprintf("Spawn has been blocked for %v: the limit of %d running tasks is reached; "+
				"a task that spawns into its own full scope waits for itself", patience, s.rare.limiter.limit), nil, nil)
		}
	}
	s.mu.Lock()
	if !w.granted {
		s.rare.limiter.waiters.removeLocked(w)
	}
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

func (l *waitlist) removeLocked(w *waiter) {
	var last *waiter
	for at := &l.first; *at != nil; {
		if *at == w {
			*at = w.next
			continue
		}
		last, at = *at, &(*at).next
	}
	l.last = last
}

// grantLocked hands the slot of a task that has ended to the first in the
// queue, or gives it back. Whoever gets it counts as live from here on: a scope
// that is finalizing stays for it. In one that has ended nobody gets it, also
// where the waiters have not heard of that.
func (s *Scope) grantLocked() {
	var w *waiter
	if s.state < Canceling {
		w = s.rare.limiter.waiters.popLocked()
	}
	if w == nil {
		s.rare.limiter.running--
		return
	}
	w.granted = true
	s.reserveLocked(w.task)
	close(w.c)
}

// wakeAllLocked sends everybody away: the scope has ended.
func (l *waitlist) wakeAllLocked() {
	for w := l.popLocked(); w != nil; w = l.popLocked() {
		close(w.c)
	}
}
