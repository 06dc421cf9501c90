package traigo

import (
	"context"
	"fmt"
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

// Stopping returns a channel that is closed when whoever runs the scope of ctx
// wants it to come to an end: by [Scope.Shutdown] of it or of a scope above, or
// by its cancellation. A task that serves should then take no new work. It
// returns nil, a channel that is never closed, if ctx carries no scope.
func Stopping(ctx context.Context) <-chan struct{} {
	mustHaveContext("Stopping", ctx)
	s := Current(ctx)
	if s == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ownRareLocked().stopped.waitLocked(s.isStopped)
}

// Shutdown ends the scope in two steps. First softly: it finalizes the scope
// and every scope forked below it, closes [Stopping] for every task below, and
// waits. When ctx is done before all have ended, it cancels the scope, with the
// cause of ctx, and waits for that. It returns, or panics with, what Wait would.
//
// A fork that has nothing awaited in it at that moment ends at once, and refuses
// what its owner spawns then: so spawn first what keeps it alive. A fork that is
// opened below later is finalized when nothing else is left in its parent.
//
// A task of the scope must not call it, since it would wait for itself; where
// ctx tells, Shutdown then returns an error instead of waiting.
func (s *Scope) Shutdown(ctx context.Context) error {
	s.check("Shutdown")
	mustHaveContext("Shutdown", ctx)
	s.softStop(true)
	if s.holds(ctx) {
		return fmt.Errorf("traigo: Shutdown of scope %q by a part of it, which cannot wait for itself: the scope is finalizing; wait from outside", s.Path())
	}
	s.asked.Store(true)
	if !s.await(ctx.Done()) {
		s.stop(reason{kind: Requested, err: context.Cause(ctx)})
		s.await(nil)
	}
	return s.report()
}

// softStop goes down the tree. Scopes opened by New or Run below end as their
// owners see fit; their tasks hear of it.
func (s *Scope) softStop(finalize bool) {
	s.mu.Lock()
	s.stopLocked()
	if finalize {
		s.moveLocked(inFinalize)
	}
	below := s.belowLocked() // as they are now: what comes later knows of it
	s.settle()
	for _, c := range below {
		c.softStop(c.how == forked)
	}
}

// stopLocked closes Stopping: by Shutdown, or when the context is done.
func (s *Scope) stopLocked() {
	if !s.isStopped {
		s.isStopped = true
		s.rare.stopped.giveLocked()
	}
}

// holds reports whether ctx is that of a task, or of a body, that s waits for.
func (s *Scope) holds(ctx context.Context) bool {
	in, _ := insider(ctx)
	for in != nil && in != s {
		in = in.parent
	}
	return in == s
}

// A signal is a channel that is closed once, and made only when somebody wants
// to wait for it. Whether it has been given is known to its owner, under the
// lock of the scope.
type signal chan struct{}

func (g *signal) waitLocked(given bool) <-chan struct{} {
	if *g == nil {
		*g = make(chan struct{})
		if given {
			close(*g)
		}
	}
	return *g
}

func (g signal) giveLocked() {
	if g != nil {
		close(g)
	}
}
