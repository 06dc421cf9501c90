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
// A WaitGroup costs less than a channel. It is told only by the first who comes to
// wait, since it then belongs to that one's synctest bubble.
//
//go:noinline
func (s *Scope) join() {
	s.mu.Lock()
	done, limited := s.isDone, s.rare.limits != nil
	if !done && !s.joining {
		s.joining = true
		s.joiner.Add(1)
	}
	s.mu.Unlock()
	if done {
		return
	}
	if limited {
		defer s.lend(nil)()
	}
	s.joiner.Wait()
}

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
	done, limited := s.done.waitLocked(false), s.rare.limits != nil
	s.mu.Unlock()
	if limited {
		defer s.lend(stop)()
	}
	long := time.NewTimer(patience)
	defer long.Stop()
	for {
		select {
		case <-done:
			return true
		case <-stop:
			return false
		case <-long.C:
			if who := s.ownOnStack(); who != "" {
				s.log(slog.LevelWarn, "the scope is being waited for by "+who+", which is part of it: "+
					"this will not end by itself; wait from outside", nil, nil)
			}
		}
	}
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
