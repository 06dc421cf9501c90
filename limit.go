package traigo

import (
	"container/list"
	"context"
	"fmt"
	"log/slog"
	"time"
)

// Limit and AdmitBefore. An awaited task of a scope with a Limit takes a slot before it
// is accepted. The slot is released when the task has ended or is given up, and all calls
// of Blocking that it has abandoned have returned. Spawns that find no free slot wait in
// a queue. This is not the queue of accepted tasks in workers.go.

type limitOption int

// Limit sets the maximum number of awaited tasks of the scope that exist at once to n.
// When n tasks exist, Spawn blocks until one has ended or the scope is canceled; blocked
// calls proceed in the order in which they were made. A task with Awaited(false) does not
// count. A task that spawns into its own full scope may wait for itself: it should use
// TrySpawn or a fork. The limit is not inherited by child scopes. Limit panics if n is
// less than 1.
//
// Package capacity provides a limit that several scopes share, or that applies to a part
// of a task.
func Limit(n int) ScopeOption {
	if n < 1 {
		panic(fmt.Sprintf("traigo: Limit(%d): a limit is at least 1; leave the option out for none", n))
	}
	return limitOption(n)
}

func (o limitOption) applyScope(s *Scope) { s.ownExtLocked().limit = int(o) }

type admitBeforeOption struct{ ctx context.Context }

// AdmitBefore limits how long Spawn blocks in a scope with a [Limit]. If ctx is done
// before the task has a slot, the task is refused: its error, which Err, Wait and Await
// return, wraps [ErrRefused] and the cause of ctx. If a slot is free at the call, the
// task is accepted even if ctx is done. ctx has no other effect on the task. AdmitBefore
// panics if ctx is nil.
func AdmitBefore(ctx context.Context) TaskOption {
	mustHaveContext("AdmitBefore", ctx)
	return admitBeforeOption{ctx}
}

func (o admitBeforeOption) applyTask(t *Task) { t.ownExt().admitBefore = o.ctx }

// slots are the slots of a scope, protected by its mu. A slot that is released passes to
// the first waiter. A Spawn that arrives while others wait waits behind them.
type slots struct {
	limit   int       // 0: no limit
	taken   int       // ≤ limit
	waiting list.List // of *slotWaiter, in order of arrival
}

// A slotWaiter is a Spawn that waits for a slot.
type slotWaiter struct {
	granted   chan struct{} // closed when the waiter has been assigned a slot
	isGranted bool          // protected by the scope's mu
}

// needsSlotLocked reports whether t takes one.
func (s *Scope) needsSlotLocked(t *Task) bool { return s.ext.limit > 0 && t.flags&awaited != 0 }

// takeSlotLocked takes a slot for t and reports whether it did. If no slot is free and
// block is set, it releases mu and waits until it has a slot, the scope is canceled, or a
// channel of t.stops is closed. Meanwhile the call is counted in live and awaited, so
// that a finalizing scope does not end. mu is held when it returns.
func (s *Scope) takeSlotLocked(t *Task, block bool) bool {
	l := &s.ext.slots
	if l.waiting.Len() == 0 && l.taken < l.limit {
		l.taken++
		t.set(hasSlot)
		return true
	}
	if !block {
		return false
	}
	w := &slotWaiter{granted: make(chan struct{})}
	place := l.waiting.PushBack(w)
	ended := s.ctxDone.waitLocked(s.isCtxDone)
	s.live++
	s.awaited++
	s.mu.Unlock()

	s.waitForSlot(t, w, ended)

	caller, admit := t.stops()
	gone := isDone(caller) || isDone(admit) // also if a slot has come as well: by then it was too late
	s.lock()
	s.live--
	s.awaited--
	if !w.isGranted {
		l.waiting.Remove(place)
		return false
	}
	t.set(hasSlot)
	return !gone
}

// waitForSlot waits until w has a slot, ended is closed, or a channel of t.stops is
// closed. It logs a warning after patience.
func (s *Scope) waitForSlot(t *Task, w *slotWaiter, ended <-chan struct{}) {
	caller, admit := t.stops()
	long := time.NewTimer(patience)
	defer long.Stop()
	for {
		select {
		case <-w.granted:
		case <-ended:
		case <-caller:
		case <-admit:
		case <-long.C:
			s.warnOfFullScope()
			continue
		}
		return
	}
}

// stops returns the Done channels of the contexts that end the wait for a slot: that of
// the caller of Start and that of AdmitBefore. Each is nil if there is no such context.
func (t *Task) stops() (caller, admit <-chan struct{}) {
	x := t.ext.Load()
	if x == nil {
		return nil, nil
	}
	if x.start != nil {
		caller = x.start.caller.Done()
	}
	if x.admitBefore != nil {
		admit = x.admitBefore.Done()
	}
	return caller, admit
}

// warnOfFullScope logs that Spawn has been blocked for patience. If the calling goroutine
// is running a task, the record names it: often that is a task of the full scope itself.
func (s *Scope) warnOfFullScope() {
	var attrs []slog.Attr
	if who := s.Root().partIn(ownStack()); who != "" {
		attrs = append(attrs, slog.String("spawner", who))
	}
	s.mu.Lock()
	n := s.ext.limit
	s.mu.Unlock()
	s.log(slog.LevelWarn, fmt.Sprintf("Spawn has been blocked for %v: the limit of %d is reached; a task that spawns into its own full scope waits for itself",
		patience, n), nil, nil, attrs...)
}

// releaseSlotLocked releases the slot of t, or passes it to the first waiter. It does
// nothing if t has no slot, or a call that t has abandoned is still running.
func (s *Scope) releaseSlotLocked(t *Task) {
	if !t.has(hasSlot) {
		return
	}
	if x := t.ext.Load(); x != nil && x.abandoned > 0 {
		return
	}
	t.clear(hasSlot)
	l := &s.ext.slots
	first := l.waiting.Front()
	if first == nil {
		l.taken--
		return
	}
	w, _ := l.waiting.Remove(first).(*slotWaiter)
	w.isGranted = true
	close(w.granted)
}

// notAdmitted is the error of a task that has got no slot in a scope that goes on.
func (t *Task) notAdmitted(limit int) error {
	err := fmt.Errorf("%w: the limit of %d of scope %q is reached", ErrRefused, limit, t.scope.Path())
	if x := t.ext.Load(); x != nil && x.admitBefore != nil && isDone(x.admitBefore.Done()) {
		return fmt.Errorf("%w: %w", err, causeOf(x.admitBefore))
	}
	return err
}

func isDone(done <-chan struct{}) bool {
	select {
	case <-done:
		return true
	default:
		return false
	}
}
