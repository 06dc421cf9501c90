package traigo

import (
	"context"
	"fmt"
	"log/slog"
	"time"
)

// Waiting for a scope, and the soft stop.

// patience is how long this package watches something that may never end
// before it says so in the log, once.
const patience = 10 * time.Second

// join waits until everything in the scope has ended.
//
// A WaitGroup costs an allocation of 112 B less than a channel. It is told to wait only
// by the first caller, since it then belongs to the synctest bubble of that.
func (s *Scope) join() {
	s.mu.Lock()
	done := s.isDone
	if !done && !s.isJoining {
		s.isJoining = true
		s.joiner.Add(1)
	}
	s.mu.Unlock()
	if !done {
		s.joiner.Wait()
	}
}

// await is join for a caller who may be a task of the scope, and then waits for
// itself. That can be told only from its stack, so the stack is looked at when the
// wait has taken long. If stop is closed first, await returns false.
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
	done := s.done.waitLocked(false)
	s.mu.Unlock()
	long := time.NewTimer(patience)
	defer long.Stop()
	for {
		select {
		case <-done:
			return true
		case <-stop:
			return false
		case <-long.C:
			if who := s.partIn(ownStack()); who != "" {
				s.log(slog.LevelWarn, "the scope is being waited for by "+who+", which is part of it: "+
					"this will not end by itself; wait from outside", nil, nil)
			}
		}
	}
}

// waitsFor reports whether t cannot end before the code that holds ctx returns.
func (t *Task) waitsFor(ctx context.Context) bool {
	_, by := callerOf(ctx)
	for ; by != nil; by = by.scope.heldBy() {
		if by == t {
			return true
		}
	}
	return false
}

// callerOf returns the scope and task in which code holding ctx runs. Scope.Context of a
// scope from New or Fork may be held by any code, so it gives nothing.
func callerOf(ctx context.Context) (*Scope, *Task) {
	s, t := where(ctx)
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
	_, caller := where(s.outer)
	return caller
}

// Stopping returns a channel that is closed when the scope of ctx is to come to an
// end: by [Scope.Shutdown] of it or of a scope above, or by its cancellation. A task
// that serves should then take no new work. It returns nil, a channel that is never
// closed, if ctx carries no scope.
func Stopping(ctx context.Context) <-chan struct{} {
	mustHaveContext("Stopping", ctx)
	s := Current(ctx)
	if s == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ownExtLocked().stopping.waitLocked(s.isStopping)
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
	if s.isCalledBy(ctx) {
		return fmt.Errorf("traigo: Shutdown of scope %q by a part of it, which cannot wait for itself: the scope is finalizing; wait from outside", s.Path())
	}
	s.asked.Store(true)
	if !s.await(ctx.Done()) {
		s.cancelFor(reason{kind: Requested, err: causeOf(ctx)})
		s.await(nil)
	}
	return s.returnOutcome()
}

// softStop goes down the tree. Scopes opened by New or Run below end as their
// owners decide; Stopping is closed for their tasks.
func (s *Scope) softStop(finalize bool) {
	s.mu.Lock()
	s.signalStoppingLocked()
	if finalize {
		s.moveLocked(inFinalize)
	}
	below := s.belowLocked() // those of now: one that is opened later is told when it is
	s.settle()
	for _, c := range below {
		if !c.isShielded {
			c.softStop(c.how == forked)
		}
	}
}

// signalStoppingLocked closes Stopping: by Shutdown, or when the context is done.
func (s *Scope) signalStoppingLocked() {
	if !s.isStopping {
		s.isStopping = true
		s.ext.stopping.closeLocked()
	}
}

// isCalledBy reports whether the code that holds ctx is a task, or the body, of s or of a
// scope below: then s waits for it.
func (s *Scope) isCalledBy(ctx context.Context) bool {
	in, _ := callerOf(ctx)
	for in != nil && in != s {
		in = in.parent
	}
	return in == s
}
