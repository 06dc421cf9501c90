package traigo

import (
	"context"
	"log/slog"
	"time"
)

// patience is how long this package looks at something that may never end
// before it says so in the log, once.
const patience = 10 * time.Second

// join waits until everything in the scope has ended. isActive looks for its frame.
//
//go:noinline
func (s *Scope) join() { s.joiner.Wait() }

// await is join for a caller who may be a task of the scope, and then waits for
// itself. Who it is can be told only from its stack, so that is looked at when
// it has taken long. If stop is closed first, it reports false.
func (s *Scope) await(stop <-chan struct{}) bool {
	s.mu.Lock()
	if s.isDone {
		s.mu.Unlock()
		return true
	}
	if stop == nil && s.first == s.queue && s.children == nil && !s.inBody {
		s.mu.Unlock()
		s.join() // nothing in the scope has started: the caller is no part of it
		return true
	}
	ended := s.joined.waitLocked(false)
	if s.waitedSince == 0 {
		s.waitedSince = now()
	}
	s.mu.Unlock()
	s.root().watchWaits(patience)

	for warned := false; ; warned = true {
		select {
		case _, long := <-ended:
			if !long {
				return true
			}
		case <-stop:
			return false
		}
		if who := s.ownOnStack(); who != "" && !warned {
			s.log(slog.LevelWarn, "the scope is being waited for by "+who+", which is part of it: "+
				"this will not end by itself; wait from outside", nil, nil)
		}
	}
}

// watchWaits has the waits below a root looked at after a time: who has waited
// long gets a value through joined. It is one timer for the whole tree, since most
// waits are short and a timer costs more than they do.
func (s *Scope) watchWaits(after time.Duration) {
	if !s.watching.Load() && s.watching.CompareAndSwap(false, true) {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.state != Closed {
			s.ownRareLocked().watchdog = time.AfterFunc(after, func() {
				s.watching.Store(false) // first: who begins to wait from now on may not be seen
				if next := s.wakeWaiters(now()); next > 0 {
					s.watchWaits(next)
				}
			})
		}
	}
}

// wakeWaiters wakes those who have waited long for s or a scope below, and
// returns when it is to be called again: never, if that is 0.
func (s *Scope) wakeWaiters(now stamp) (next time.Duration) {
	s.mu.Lock()
	if since := s.waitedSince; since != 0 && !s.isDone {
		if next = patience - time.Duration(now-since); next <= 0 {
			next, s.waitedSince = 0, 0 // once
			for woken := true; woken; {
				select {
				case s.joined <- struct{}{}:
				default:
					woken = false
				}
			}
		}
	}
	below := s.belowLocked()
	s.mu.Unlock()
	for _, c := range below {
		if n := c.wakeWaiters(now); n > 0 && (next == 0 || n < next) {
			next = n
		}
	}
	return next
}

// waitsFor reports whether t cannot end before whoever has ctx returns.
func (t *Task) waitsFor(ctx context.Context) bool {
	_, by := insider(ctx)
	for ; by != nil; by = by.scope.heldBy() {
		if by == t {
			return true
		}
	}
	return false
}

// insider is place, but nothing for the bare context of a scope of New or Fork:
// that may be anybody's.
func insider(ctx context.Context) (*Scope, *Task) {
	s, t := place(ctx)
	if s != nil && s.how != ran && (t == nil || t.scope != s) {
		return nil, nil
	}
	return s, t
}

// heldBy returns the task that cannot end before s has.
func (s *Scope) heldBy() *Task {
	for s.how == forked {
		s = s.parent
	}
	if s.how != ran {
		return nil
	}
	_, caller := place(s.outer)
	return caller
}
