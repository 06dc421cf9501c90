package traigo

import (
	"context"
	"fmt"
)

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
