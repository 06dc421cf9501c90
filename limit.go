package traigo

import (
	"container/list"
	"context"
	"fmt"
	"log/slog"
	"time"
)

// Limit(n): at most n awaited tasks of a scope run at once. A task takes a slot when
// it is accepted, and keeps it until it has ended or is given up, and until the calls
// of Blocking that it has abandoned have ended. Tasks with Awaited(false) take none.

type limitOption int

// Limit lets at most n awaited tasks of the scope run at once. Spawn then blocks until
// there is a slot or the scope is canceled; slots are given out in the order of the
// calls. A task with Awaited(false), a heartbeat beside the work say, takes no slot. A
// task that spawns into its own full scope waits for itself: use TrySpawn there, or a
// fork. The limit is not inherited: forks have limits of their own. It panics if n is
// less than 1.
//
// For a limit that several scopes share, or that a task holds for a part of its work,
// there is package capacity.
func Limit(n int) ScopeOption {
	if n < 1 {
		panic(fmt.Sprintf("traigo: Limit(%d): a limit is at least 1; leave the option out for none", n))
	}
	return limitOption(n)
}

func (o limitOption) applyScope(s *Scope) { s.ownExtLocked().limit = int(o) }

type admitBeforeOption struct{ ctx context.Context }

// AdmitBefore bounds the time for which Spawn blocks in a scope with a [Limit]: if it has
// to wait for a slot, it waits no longer than ctx is alive. Then the task is refused: its
// error, which Err, Wait and Await return, wraps [ErrRefused] and the cause of ctx. A
// task that finds a slot at once is accepted, whatever ctx says.
func AdmitBefore(ctx context.Context) TaskOption {
	mustHaveContext("AdmitBefore", ctx)
	return admitBeforeOption{ctx}
}

func (o admitBeforeOption) applyTask(t *Task) { t.ownExt().admitBefore = o.ctx }

// slots are those of one scope, under its mu. A Spawn that finds none waits, first
// come first served: a slot that becomes free goes to the first that waits, and who
// comes meanwhile waits behind it.
type slots struct {
	limit   int       // 0: no limit
	taken   int       // ≤ limit
	waiting list.List // of *slotWaiter, in the order in which they came
}

// A slotWaiter is a Spawn that waits for a slot.
type slotWaiter struct {
	granted   chan struct{} // closed when it has one
	isGranted bool          // under the scope's mu
}

// needsSlotLocked reports whether t takes one.
func (s *Scope) needsSlotLocked(t *Task) bool { return s.ext.limit > 0 && t.flags&awaited != 0 }

// takeSlotLocked gets a slot for t, and reports whether it did. If block is set it
// waits for one until the scope has ended, or t.stops says that the caller gives up;
// meanwhile it releases the lock, and a scope that is finalizing stays for it.
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

// waitForSlot returns when w has a slot, the scope has ended, or the caller gives up.
// It says so in the log if that takes long.
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

// stops returns what ends the wait of a Spawn for a slot beside the end of the scope:
// the context of the caller of Start, and that of AdmitBefore. Both may be nil.
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

// warnOfFullScope names the task that is blocked in Spawn where that can be told from
// the stack: most often it is a task of the full scope itself, which waits for a slot
// that it holds.
func (s *Scope) warnOfFullScope() {
	var attrs []slog.Attr
	if t := s.Root().taskIn(ownStack()); t != nil {
		attrs = append(attrs, slog.String("spawner", t.Path()))
	}
	s.mu.Lock()
	n := s.ext.limit
	s.mu.Unlock()
	s.log(slog.LevelWarn, fmt.Sprintf("Spawn has been blocked for %v: the limit of %d is reached; a task that spawns into its own full scope waits for itself",
		patience, n), nil, nil, attrs...)
}

// releaseSlotLocked gives the slot of t back, if t has one and no call that it has
// abandoned still runs.
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
