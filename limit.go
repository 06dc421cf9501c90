package traigo

import (
	"context"
	"fmt"
	"log/slog"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/traigo/traigo/internal/stackdump"
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
// the first Spawn that waits. A Spawn that arrives while others wait waits behind them.
type slots struct {
	limit    int          // 0: no limit
	taken    int          // ≤ limit
	first    *blocked     // the Spawns that wait, in order of arrival
	end      **blocked    // where the next one is to be added
	waiting  atomic.Int32 // how many they are
	spare    *blocked     // of a Spawn that has waited, for the next one
	dumpedAt stamp        // when stacks were taken last, for a warning

	hasItems bool // the scope is that of a join, and its tasks lend their slots: see series
}

// A blocked is a Spawn that waits for a slot. It is counted in live and in awaited, so that
// a finalizing scope does not end. The fields are protected by the mu of the scope.
//
// The goroutine that releases a slot accepts the task, and if it is a worker, it takes the
// task next. Otherwise the task would wait for its spawner to run, and then for a worker; in
// a process with many runnable goroutines each of these takes milliseconds. But if observers
// are to be told before the task starts, or it needs a goroutine of its own, its spawner
// accepts it.
type blocked struct {
	task          *Task
	caller, admit <-chan struct{} // see Task.stops
	since         stamp
	next          *blocked
	link          **blocked     // the pointer that points to it; nil if it does not wait
	over          chan struct{} // receives when the wait is over; its capacity is 1
	isAccepted    bool
	isWarned      bool // that it takes long has been logged
}

// needsSlotLocked reports whether t needs a slot and has none.
func (s *Scope) needsSlotLocked(t *Task) bool {
	return s.ext.limit > 0 && t.flags&awaited != 0 && !t.has(hasSlot)
}

// takeSlotLocked takes a slot for t, if one is free and no Spawn waits.
func (s *Scope) takeSlotLocked(t *Task) bool {
	l := &s.ext.slots
	if l.taken >= l.limit {
		s.borrowSlotLocked()
	}
	if l.first != nil || l.taken >= l.limit {
		return false
	}
	l.taken++
	t.set(hasSlot)
	return true
}

// waitForSlot waits until t has a slot, the scope is canceled, or caller or admit is closed.
// It reports whether t has also been accepted. mu is held at the call, and when it returns.
func (s *Scope) waitForSlot(t *Task, caller, admit <-chan struct{}) (isAccepted bool) {
	l := &s.ext.slots
	w := l.spare
	if l.spare = nil; w == nil {
		w = &blocked{over: make(chan struct{}, 1)}
	}
	*w = blocked{task: t, caller: caller, admit: admit, since: now(), over: w.over}
	if l.first == nil {
		l.end = &l.first
	}
	w.link = l.end
	*l.end, l.end = w, &w.next
	l.waiting.Add(1)
	s.borrowSlotLocked() // a task that has ended an item before the line above has not seen w
	s.wakeReaperLocked(w.since, w.since.after(patience))
	s.live++
	s.awaited++
	// The goroutines that count as starting may have to wait for a processor. The one that
	// is launched last before this goroutine blocks runs next.
	launch := s.queue != nil && s.starting < maxStarters
	if launch {
		s.starting++
	}
	s.mu.Unlock()
	if launch {
		go s.worker()
	}
	w.wait()
	s.lock()
	if isAccepted = w.isAccepted; !isAccepted {
		s.live--
		s.awaited--
		l.removeLocked(w)
	}
	if w.task = nil; len(w.over) == 0 { // else a slot, or the end of the scope, came as it stopped waiting
		l.spare = w
	}
	return isAccepted
}

// wait returns when w is over, or caller or admit is closed. Its frame in a goroutine dump
// shows the address of w: see Task.call.
//
//go:noinline
func (w *blocked) wait() {
	if w.caller == nil && w.admit == nil {
		<-w.over // a select takes longer
	} else {
		select {
		case <-w.over:
		case <-w.caller:
		case <-w.admit:
		}
	}
	runtime.KeepAlive(w)
}

// removeLocked removes w, if it is there.
func (l *slots) removeLocked(w *blocked) {
	if w.link == nil {
		return
	}
	*w.link = w.next
	if w.next != nil {
		w.next.link = w.link
	} else {
		l.end = w.link
	}
	w.link, w.next = nil, nil
	l.waiting.Add(-1)
}

// borrowSlotLocked releases the slot of a task that is between two items, if there is one.
func (s *Scope) borrowSlotLocked() {
	if !s.ext.hasItems {
		return
	}
	for t := s.first; t != nil; t = t.next {
		if t.flags&runsItems != 0 && t.has(hasSlot) && t.ext.Load().series.lend() {
			s.releaseSlotLocked(t)
			return
		}
	}
}

// stops returns the Done channels of the contexts that end the wait for a slot: that of
// the caller of Start and that of AdmitBefore. Each is nil if there is no such context.
func (t *Task) stops() (caller, admit <-chan struct{}) {
	x := t.ext.Load()
	if x.start != nil {
		caller = x.start.caller.Done()
	}
	if x.admitBefore != nil {
		admit = x.admitBefore.Done()
	}
	return caller, admit
}

// releaseSlotLocked releases the slot of t and passes it on. It does nothing if t has no
// slot, or a call that t has abandoned is still running. The queue may not be empty
// afterwards: see I5 and startLocked.
func (s *Scope) releaseSlotLocked(t *Task) {
	if x := t.ext.Load(); !t.has(hasSlot) || x != nil && x.abandoned > 0 {
		return
	}
	t.clear(hasSlot)
	l := &s.ext.slots
	l.taken--
	for l.first != nil && l.taken < l.limit && s.state < Canceling {
		w := l.first
		l.removeLocked(w)
		if !isDone(w.caller) && !isDone(w.admit) {
			l.taken++
			w.task.set(hasSlot)
			w.isAccepted = !s.watched && w.task.flags&dedicated == 0
		}
		if w.isAccepted {
			s.live--
			s.awaited--
			s.reserveLocked(w.task)
			s.enqueueLocked(w.task)
		}
		w.over <- struct{}{}
	}
}

// countAbandoned adds n to the number of abandoned calls of t that are running. If t has
// ended and the number becomes 0, the slot of t is released. t may be nil.
func (t *Task) countAbandoned(n int32) {
	if t == nil {
		return
	}
	s := t.scope
	s.lock()
	x := t.ownExt()
	x.abandoned += n
	if t.has(hasEnded | givenUp) {
		s.releaseSlotLocked(t)
		s.startLocked()
	}
	s.settle()
}

// refuseBlockedLocked ends the waits for a slot, because the scope is canceled.
func (s *Scope) refuseBlockedLocked() {
	for l := &s.ext.slots; l.first != nil; {
		w := l.first
		l.removeLocked(w)
		w.over <- struct{}{}
	}
}

// warnOfFullScope logs, once for each, the Spawns that have been blocked for patience. If
// the goroutine of one is running a task, the record names it: often that is a task of the
// full scope itself.
func (s *Scope) warnOfFullScope(now stamp) {
	var long []*blocked
	s.mu.Lock()
	for w := s.ext.first; w != nil; w = w.next {
		if due := w.since.after(patience); due > now {
			s.wakeReaperLocked(now, due)
			break
		} else if !w.isWarned {
			w.isWarned = true
			long = append(long, w)
		}
	}
	limit := s.ext.limit
	isDumpDue := long != nil && (s.ext.dumpedAt == 0 || now >= s.ext.dumpedAt.after(time.Second))
	if isDumpDue {
		s.ext.dumpedAt = now
	}
	s.mu.Unlock()
	var stacks stackdump.Stacks
	if isDumpDue { // a dump stops the program, and Spawns may reach patience one after the other
		stacks = stackdump.Find(stackdump.All(), blockedFrame)
	}
	for _, w := range long {
		var attrs []slog.Attr
		if who := s.Root().partIn(findStacks([]byte(stacks.Of(w)))); who != "" {
			attrs = append(attrs, slog.String("spawner", who))
		}
		s.log(slog.LevelWarn, fmt.Sprintf("Spawn has been blocked for %v: the limit of %d is reached; a task that spawns into its own full scope waits for itself",
			patience, limit), nil, nil, attrs...)
	}
}

// addBlockedLocked adds the calls of Spawn that wait for a slot of s.
func (v *survey) addBlockedLocked(s *Scope) {
	if v.blocked == nil {
		v.blocked = make(map[uint64][]*blocked)
	}
	for w := s.ext.first; w != nil; w = w.next {
		v.blocked[s.id] = append(v.blocked[s.id], w)
	}
}

// notePart notes the path of a task or body, if its stack is in a call of Spawn that waits for
// a slot. A task comes before the bodies on its stack, and is the one that is named.
func (v *survey) notePart(stack, path string) {
	address := stackdump.ReceiverOf(stack, blockedFrame)
	if address == "" {
		return
	}
	if v.parts == nil {
		v.parts = make(map[string]string)
	}
	if v.parts[address] == "" {
		v.parts[address] = path
	}
}

// addBlocked sets Blocked of the scopes in which calls of Spawn wait for a slot.
func (shot *Snapshot) addBlocked(v *survey) {
	for _, w := range v.blocked[shot.ID] {
		if path := v.parts[fmt.Sprintf("%p", w)]; path != "" {
			shot.Blocked = append(shot.Blocked, path)
		}
	}
	for i := range shot.Scopes {
		shot.Scopes[i].addBlocked(v)
	}
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
