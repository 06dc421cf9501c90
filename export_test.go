package traigo

import (
	"context"
	"fmt"
	"unsafe"
)

// What the tests in package traigo_test need that is not exported.

// CheckInvariants says which of the invariants noted at Scope does not hold.
func (s *Scope) CheckInvariants() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if over := s.over.Load() != nil; over != (s.state >= Canceling) {
		return fmt.Errorf("I1: over %v in state %v", over, s.state)
	}
	listed, waiting, holders, queued := int32(0), int32(0), 0, false
	for t := s.first; t != nil; t = t.next {
		if !t.has(givenUp) {
			listed++
			if t.flags&awaited != 0 {
				waiting++
			}
		}
		if t.has(hasSlot) {
			holders++
		}
		queued = queued || t == s.queue
		if t.next != nil && t.next.prev != t || t.next == nil && s.last != t {
			return fmt.Errorf("the list is broken at task %d", t.id)
		}
	}
	if s.live < listed || s.awaited < waiting || s.live < s.awaited || s.newScopes < 0 {
		return fmt.Errorf("I2: live %d of %d listed, awaited %d of %d, scopes of New %d", s.live, listed, s.awaited, waiting, s.newScopes)
	}
	if s.state == Closed && (s.live != 0 || listed != 0 || s.children != nil && s.anyCounted()) {
		return fmt.Errorf("I3: closed with %d live", s.live)
	}
	if (s.queue != nil) != queued || queued && s.starting == 0 {
		return fmt.Errorf("I5: queue %v, starting %d", s.queue != nil, s.starting)
	}
	l, blocked := &s.ext.slots, int32(0)
	for w := l.first; w != nil; w = w.next {
		blocked++
	}
	switch {
	case l.taken > l.limit || l.taken < holders:
		return fmt.Errorf("%d of %d slots taken, and %d tasks have one", l.taken, l.limit, holders)
	case blocked != l.waiting.Load() || blocked > 0 && *l.end != nil:
		return fmt.Errorf("%d Spawns wait, and %d are counted", blocked, l.waiting.Load())
	case blocked > 0 && l.taken < l.limit && s.state < Canceling:
		return fmt.Errorf("%d Spawns wait, and %d of %d slots are taken", blocked, l.taken, l.limit)
	case s.live < listed+blocked || s.awaited < waiting+blocked:
		return fmt.Errorf("I2: live %d of %d, awaited %d of %d, with %d Spawns that wait", s.live, listed, s.awaited, waiting, blocked)
	}
	return nil
}

// anyCounted reports whether a scope below is one that s had to wait for.
func (s *Scope) anyCounted() bool {
	for c := s.children; c != nil; c = c.sibling {
		if c.how != ran && !c.lingers {
			return true
		}
	}
	return false
}

// StateTable is the life of a scope as docs/states.md shows it.
func StateTable() (states []State, inputs []string, to func(State, int) State) {
	for i := range inputNames {
		inputs = append(inputs, input(i).String())
	}
	for i := range next {
		states = append(states, State(i))
	}
	return states, inputs, func(s State, in int) State { return next[s][in] }
}

// SpawnLater accepts a task and leaves it in the queue until launch is called, as happens
// on a machine that is too busy to start a goroutine.
func SpawnLater(s *Scope, fn func(context.Context) error, opts ...TaskOption) (t *Task, launch func()) {
	t = &Task{scope: s, fn: fn, flags: bubbles | awaited}
	t.configure("SpawnLater", opts)
	s.mu.Lock()
	s.reserveLocked(t)
	s.enqueueLocked(t)
	due := s.needsStarterLocked()
	s.mu.Unlock()
	return t, func() { s.launch(t, due) }
}

// Sizes are those of a Task and a Scope, in bytes.
func Sizes() (task, scope uintptr) { return unsafe.Sizeof(Task{}), unsafe.Sizeof(Scope{}) }

// Starting is how many goroutines have been started and have no task yet.
func Starting(s *Scope) int32 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return int32(s.starting)
}
