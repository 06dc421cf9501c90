package traigo

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/traigo/traigo/internal/stackdump"
)

// Tasks that do not end after they were canceled (stragglers). A scope waits for them and
// logs a warning. If a CancelTimeout is set and has passed, the scope gives the task up:
// it no longer waits for the task, and adds a StuckError to its outcome.
//
// A task that was given up stays in the list of its scope until its function returns, so
// that snapshots show it, and so does an abandoned call of Blocking. Neither is counted
// in live. A closed scope that still has such tasks or calls lingers: its parent keeps it
// in the list of children, for snapshots only, until the last of them has ended.

// stragglers holds what a scope needs to warn of canceled tasks that are still running,
// and to give them up.
type stragglers struct {
	leastPatience time.Duration // the shortest CancelTimeout that any task set for itself; 0 for none
	bodyWarned    bool          // that the body takes long has been logged
	childLeftAt   stamp         // when a scope below has closed, after the cancellation
	forksAt       stamp         // when warnOfForks is to look at the forks; 0 if it is not
	forksWork     uint64        // what had been spawned in them when it looked last
	gaveUp        signal        // a task was given up; a new one after each
	calls         []*call       // of Blocking, abandoned
}

// maxStuck is the maximum number of tasks in a StuckError. The rest is counted.
const maxStuck = 1000

// isEmptyLocked reports whether a snapshot of the scope would show no task, call or scope
// below.
func (s *Scope) isEmptyLocked() bool {
	return s.first == nil && s.children == nil && len(s.ext.calls) == 0
}

// patience returns the CancelTimeout that applies to t; 0 means none. It is unrelated to
// the constant of the same name.
func (t *Task) patience() time.Duration {
	if x := t.ext.Load(); x != nil && x.hasCancelTimeout {
		return x.cancelTimeout
	}
	return t.scope.settings.cancelTimeout
}

// watchStragglers sets the timer for reap. It is called after the scope, or a task alone,
// was canceled.
func (s *Scope) watchStragglers() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.live == 0 {
		return
	}
	now := now()
	if e := s.ending(); e != nil && e.at == 0 {
		e.at = now
	}
	wait := patience
	for _, d := range []time.Duration{s.ext.leastPatience, s.settings.cancelTimeout} {
		if d > 0 {
			wait = min(wait, d)
		}
	}
	s.wakeReaperLocked(now, now.after(wait))
}

// watchForks sets the timer for reap, which calls warnOfForks. It is called when a
// finalizing scope waits only for forks: a fork that is never finalized would keep it
// from ending.
func (s *Scope) watchForks() {
	_, work := s.idleForks()
	s.mu.Lock()
	defer s.mu.Unlock()
	x := s.ownExtLocked()
	now := now()
	x.forksAt, x.forksWork = now.after(patience), work
	s.wakeReaperLocked(now, x.forksAt)
}

// warnOfForks logs, once, that all the forks that s waits for are idle, and nothing has
// been spawned in them since the last look. As long as s waits for forks alone it looks
// again.
func (s *Scope) warnOfForks(now stamp) {
	s.mu.Lock()
	isDue := s.ext.forksAt != 0 && now >= s.ext.forksAt
	waiting := s.state == Finalizing && s.forks > 0 && s.awaited == s.forks
	if isDue && !waiting {
		s.ownExtLocked().forksAt, s.watchesForks = 0, false
	}
	s.mu.Unlock()
	if !isDue || !waiting {
		return
	}
	idle, work := s.idleForks()
	s.mu.Lock()
	x := s.ownExtLocked()
	isSame := idle != nil && work == x.forksWork
	x.forksAt, x.forksWork = 0, work
	if !isSame {
		x.forksAt = now.after(patience)
		s.wakeReaperLocked(now, x.forksAt)
	}
	s.mu.Unlock()
	if isSame {
		s.log(slog.LevelWarn, "waits only for forks that nobody has finalized, and in which nothing runs: call Finalize, Wait or Close", nil, nil,
			slog.Any("forks", idle[:min(len(idle), maxKept)]))
	}
}

// idleForks returns the paths of the forks of s that are open, if all that s waits for is
// forks in which nothing awaited is but other such forks; nil otherwise. work counts what
// has been spawned in them.
func (s *Scope) idleForks() (paths []string, work uint64) {
	s.mu.Lock()
	isIdle := s.state <= Finalizing && s.awaited == s.forks
	isOpen := s.state == Open
	work = s.lastTask
	children := s.belowLocked()
	s.mu.Unlock()
	if !isIdle {
		return nil, work
	}
	paths = []string{}
	if isOpen && s.how == forked {
		paths = append(paths, s.Path())
	}
	for _, c := range children {
		if c.how != forked || c.State() == Closed {
			continue
		}
		below, n := c.idleForks()
		work += n
		if below == nil {
			return nil, work
		}
		paths = append(paths, below...)
	}
	return paths, work
}

// wakeReaperLocked sets the timer for reap to at, unless it is set to an earlier time.
func (s *Scope) wakeReaperLocked(now, at stamp) {
	if s.reapAt != 0 && at >= s.reapAt {
		return
	}
	s.reapAt = at
	if s.reaper == nil {
		s.reaper = time.AfterFunc(time.Duration(at-now), s.reap)
	} else {
		s.reaper.Reset(time.Duration(at - now))
	}
}

// reap is called by the timer. It warns of forks and Spawns that wait for long, gives up the
// tasks whose CancelTimeout has passed, logs the others that have been canceled for
// patience, and sets the timer again.
func (s *Scope) reap() {
	now := now()
	s.mu.Lock()
	s.reapAt = 0
	s.mu.Unlock()
	s.warnOfForks(now)
	s.warnOfFullScope(now)
	s.mu.Lock()
	late, slow, slowBody, again := s.stragglersLocked(now)
	if len(late) > 0 {
		s.mu.Unlock()
		var waiting []*Task
		for _, t := range late {
			if t.isInRun() {
				waiting = append(waiting, t)
			}
		}
		below := len(waiting) < len(late) && s.dueBelow(now)
		s.mu.Lock()
		// Computed again: a Run may have returned while mu was released, and then its
		// task has more time.
		late, slow, slowBody, again = s.stragglersLocked(now)
		late = slices.DeleteFunc(late, func(t *Task) bool { return slices.Contains(waiting, t) })
		if below || s.ext.childLeftAt != 0 && now < s.ext.childLeftAt.after(lookAgain) { // a task that has waited for it may be about to return
			late, again = nil, now.after(lookAgain)
		}
	}
	if again != 0 {
		s.wakeReaperLocked(now, again)
	}
	if len(late)+len(slow) == 0 && !slowBody {
		s.mu.Unlock()
		return
	}
	for _, t := range slow {
		t.set(warned)
	}
	s.ownExtLocked().bodyWarned = s.ext.bodyWarned || slowBody
	s.pinLocked() // while stacks are looked for
	s.mu.Unlock()
	defer s.unpin()

	stacks, waits := stacksOfAll()
	for _, t := range slow {
		s.log(slog.LevelWarn, fmt.Sprintf("a task has not ended %v after it was canceled", patience), t, nil,
			slog.String("stack", stackdump.Fold(stacks.Of(t))))
	}
	if slowBody {
		s.log(slog.LevelWarn, fmt.Sprintf("the body has not returned %v after the scope was canceled", patience), nil, nil,
			slog.String("stack", stackdump.Fold(stacks.Of(s))))
	}
	for _, t := range late {
		if s.isWaitedForBelow(waits, stacks.Of(t)) || s.isJustLeft() {
			s.restartPatienceOf(t)
			continue
		}
		s.giveUp(t, StuckTask{Path: t.Path(), Age: t.since().age(), Stack: stacks.Of(t)})
	}
}

// lookAgain is how long reap waits before it considers a task again that is due, but must
// not be given up yet.
const lookAgain = 10 * time.Millisecond

// dueBelow reports whether a scope below s has tasks to give up. They are given up first,
// since a task of s may only be waiting for that scope.
func (s *Scope) dueBelow(now stamp) bool {
	for _, c := range s.below() {
		c.mu.Lock()
		late, _, _, _ := c.stragglersLocked(now)
		c.mu.Unlock()
		late = slices.DeleteFunc(late, (*Task).isInRun)
		if len(late) > 0 || c.dueBelow(now) {
			return true
		}
	}
	return false
}

// isInRun reports whether t is waiting in a Run: the body has returned, or is itself
// waiting in a Run, and the scope has not left its parent. Then the tasks of that scope are
// what does not end, and their CancelTimeout applies. The time of t begins when the scope
// leaves: see restartPatience.
func (t *Task) isInRun() bool {
	return slices.ContainsFunc(t.scope.runsOf(t), (*Scope).isWaitedForInRun)
}

func (s *Scope) isWaitedForInRun() bool {
	s.mu.Lock()
	runs := s.body == bodyRuns
	s.mu.Unlock()
	return !runs || slices.ContainsFunc(s.runsOf(nil), (*Scope).isWaitedForInRun)
}

// runsOf returns the scopes that t, or the body of s if t is nil, has opened by Run and
// that have not left.
func (s *Scope) runsOf(t *Task) (runs []*Scope) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := s.children; c != nil; c = c.sibling {
		if c.how == ran && c.opener == t && !c.hasLeft {
			runs = append(runs, c)
		}
	}
	return runs
}

// restartPatience is called when a scope of Run, c, has left s. If a canceled task has been
// waiting for it, the time that the task has to end begins now. A scope that was
// opened after the cancellation gives its task no more time: the task could go on for
// ever by opening one after the other.
func (s *Scope) restartPatience(c *Scope) {
	t := c.opener
	for ; t == nil; s = s.parent { // the body of s has called Run
		if s.how != ran || s.parent == nil {
			return
		}
		t = s.opener
	}
	s = t.scope
	s.mu.Lock()
	defer s.mu.Unlock()
	since := s.canceledAtLocked(t)
	switch {
	case since == 0 || t.has(hasEnded|givenUp):
	case c.opened > since:
		now := now()
		s.wakeReaperLocked(now, now) // it may have been passed over while it was in Run
	default:
		s.restartPatienceLocked(t)
	}
}

// restartPatienceOf gives t its time once more: it waits for a scope below, by Wait, Close
// or Shutdown, and the tasks of that scope are what does not end.
func (s *Scope) restartPatienceOf(t *Task) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.restartPatienceLocked(t)
}

func (s *Scope) restartPatienceLocked(t *Task) {
	wait := patience
	if d := t.patience(); d > 0 {
		wait = min(wait, d)
	}
	now := now()
	t.ownExt().endedAt = now
	s.wakeReaperLocked(now, now.after(wait))
}

// isWaitedForBelow reports whether the goroutine with that stack waits for a scope below s.
func (s *Scope) isWaitedForBelow(waits stackdump.Stacks, stack string) bool {
	return stack != "" && slices.ContainsFunc(s.below(), func(c *Scope) bool {
		return waits.Of(c) == stack || c.isWaitedForBelow(waits, stack) // also if c has closed since
	})
}

// isJustLeft reports whether a scope below has closed a moment ago, so that a task that has
// waited for it may be about to return.
func (s *Scope) isJustLeft() bool {
	s.mu.Lock()
	at, leaving := s.ext.childLeftAt, []*Scope(nil)
	for c := s.children; c != nil; c = c.sibling {
		if !c.hasLeft {
			leaving = append(leaving, c)
		}
	}
	s.mu.Unlock()
	return at != 0 && now() < at.after(lookAgain) ||
		slices.ContainsFunc(leaving, func(c *Scope) bool { return c.State() == Closed })
}

// canceledAtLocked returns when t was canceled, alone or with the scope, or when its
// CancelTimeout was restarted. It returns 0 if t is not canceled. t may be nil, for the body.
func (s *Scope) canceledAtLocked(t *Task) stamp {
	if t != nil {
		if x := t.ext.Load(); x != nil && x.endedAt != 0 {
			return x.endedAt
		}
	}
	if e := s.over.Load(); e != nil {
		return e.at
	}
	return 0
}

// stragglersLocked returns the canceled tasks to give up (late) and to warn of (slow),
// whether to warn of the body, and when to look again, or 0.
func (s *Scope) stragglersLocked(now stamp) (late, slow []*Task, slowBody bool, again stamp) {
	due := func(at stamp) bool {
		if at <= now {
			return true
		}
		if again == 0 || at < again {
			again = at
		}
		return false
	}
	isItem := false // the body of a join waits for a task, which will be warned of
	for t := s.first; t != nil; t = t.next {
		since, wait := s.canceledAtLocked(t), t.patience()
		isItem = isItem || s.body == bodyWaits && !t.isIdle()
		switch {
		case since == 0 || t.has(hasEnded|givenUp) || t.isIdle():
		case !t.started:
			due(now.after(max(wait, lookAgain))) // a task that has not started is not given up
		case wait > 0 && due(since.after(wait)):
			late = append(late, t)
		case !t.has(warned) && due(since.after(patience)):
			slow = append(slow, t)
		}
	}
	since := s.canceledAtLocked(nil)
	slowBody = s.body != noBody && !isItem && since != 0 && !s.ext.bodyWarned && due(since.after(patience))
	return late, slow, slowBody, again
}

// giveUp makes the scope stop waiting for t, unless t has ended meanwhile. It has the
// effects of the end of t: if the Timeout of t has expired, t has failed with that, and
// the error goes to its owner; if t is a master, the scope is canceled; the slot is
// released.
func (s *Scope) giveUp(t *Task, stuck StuckTask) {
	stuckErr := &StuckError{Tasks: []StuckTask{stuck}}
	s.lock()
	if t.look(); t.has(hasEnded|givenUp) || t.isIdle() {
		s.settle()
		return
	}
	isAlone := s.state < Canceling
	t.set(givenUp)
	x := t.ownExt()
	x.stuck = stuckErr
	s.keepStuckLocked(stuck)
	s.releaseLocked(t)
	var late error
	if e := t.alone(); e != nil && e.kind == TimedOut {
		late = e.err
		x.err, x.stuck = late, errors.Join(late, stuckErr)
	}
	f, oldest := s.endedLocked(t, late, late != nil, nil, false)
	stuckOrLate := x.stuck
	s.ownExtLocked().gaveUp.closeLocked()
	s.ext.gaveUp = nil // a closed signal is used once
	s.releaseSlotLocked(t)
	s.startLocked()
	s.mu.Unlock() // no settle: reap holds a count in live and settles after observers have been told

	if isAlone {
		s.log(slog.LevelWarn, "a task that was canceled has not ended and is given up", t, nil)
	}
	s.emit(TaskStuck, t, stuckErr)
	if x.onDone != nil {
		s.callBackApart(t, stuckOrLate)
	}
	s.logFate(f, t, late)
	s.logDisplaced(oldest)
}

func (s *Scope) keepStuckLocked(stuck StuckTask) {
	x := s.ownExtLocked()
	if len(x.stuck.Tasks) < maxStuck {
		x.stuck.Tasks = append(x.stuck.Tasks, stuck)
	} else {
		x.stuck.more++
	}
}

// callBackApart calls OnDone of a task that was given up, on a new goroutine, since the
// function may call runtime.Goexit. The scope waits for that goroutine.
func (s *Scope) callBackApart(t *Task, err error) {
	s.mu.Lock()
	s.pinLocked()
	s.mu.Unlock()
	go func() {
		defer s.unpin()
		s.callBack(t, err)
	}()
}
