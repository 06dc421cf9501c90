package traigo

import (
	"cmp"
	"fmt"
	"log/slog"
	"slices"
	"time"
)

// Tasks that do not end after they were canceled. A scope waits for them; with
// a CancelTimeout it gives them up when that has passed, and says so in its
// outcome; without one it says so in the log.

// stragglers is what a scope knows of them, and of when to look at them again.
type stragglers struct {
	leastPatience time.Duration // the shortest CancelTimeout of any task
	endedAt       time.Time     // about when the scope was canceled
	reaper        *time.Timer
	reapAt        time.Time
	bodyWarned    bool           // the body takes long, and that has been logged
	gaveUp        signal         // on a task that does not end; renewed each time
	strays        map[any]*stray // of a root: see strays.go
}

// patience is how long t is waited for once it has been canceled; 0 is for ever.
func (t *Task) patience() time.Duration {
	if x := t.rare(); x != nil && x.hasCancelTimeout {
		return x.cancelTimeout
	}
	return t.scope.settings.cancelTimeout
}

// watchStragglers sets the reaper's clock when something has been canceled.
func (s *Scope) watchStragglers() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.live == 0 {
		return
	}
	now := time.Now()
	if s.state >= Canceling && s.rare.endedAt.IsZero() {
		s.ownRareLocked().endedAt = now
	}
	wait := patience
	for _, d := range []time.Duration{s.rare.leastPatience, s.settings.cancelTimeout} {
		if d > 0 {
			wait = min(wait, d)
		}
	}
	s.wakeReaperLocked(now.Add(wait))
}

// watchForks has the reaper look at a scope that is finalizing and waits for
// nothing but forks: one that nobody finalizes keeps it for ever.
func (s *Scope) watchForks() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wakeReaperLocked(time.Now().Add(patience))
}

// warnOfForks says so, once, if all the forks that s waits for are open and
// have nothing in them.
func (s *Scope) warnOfForks() {
	s.mu.Lock()
	waiting := s.state == Finalizing && s.forks > 0 && s.awaited == s.forks
	s.mu.Unlock()
	if !waiting {
		return
	}
	var idle []string
	for _, c := range s.below() {
		c.mu.Lock()
		open, empty := c.state == Open, c.awaited == 0
		c.mu.Unlock()
		switch {
		case c.how != forked:
		case open && empty:
			idle = append(idle, c.Path())
		default:
			return // it may still end, and whoever works in it end the others
		}
	}
	s.log(slog.LevelWarn, "waits only for forks that nobody has finalized, and in which nothing runs: call Finalize, Wait or Close", nil, nil,
		slog.Any("forks", idle[:min(len(idle), maxKept)]))
}

// wakeReaperLocked makes sure that the reaper looks at the tasks by then.
func (s *Scope) wakeReaperLocked(at time.Time) {
	r := s.ownRareLocked()
	if !r.reapAt.IsZero() && !at.Before(r.reapAt) {
		return
	}
	r.reapAt = at
	if r.reaper != nil {
		r.reaper.Stop()
	}
	r.reaper = time.AfterFunc(time.Until(at), s.reap)
}

// reap gives up the tasks whose time is over and warns of those that take long.
func (s *Scope) reap() {
	s.warnOfForks()
	now := time.Now()
	s.mu.Lock()
	s.ownRareLocked().reapAt = time.Time{}
	late, slow, slowBody, again := s.stragglersLocked(now)
	if len(late) > 0 {
		s.mu.Unlock()
		below := s.dueBelow(now)
		s.mu.Lock()
		if below {
			late, again = nil, now.Add(lookAgain)
		}
	}
	if !again.IsZero() {
		s.wakeReaperLocked(again)
	}
	if len(late)+len(slow) == 0 && !slowBody {
		s.mu.Unlock()
		return
	}
	for _, t := range slow {
		t.set(warned)
	}
	s.ownRareLocked().bodyWarned = s.rare.bodyWarned || slowBody
	s.live++ // the scope stays open while stacks are looked for
	s.mu.Unlock()
	finished := false
	defer func() {
		s.mu.Lock()
		s.live--
		if !finished { // a logger or an observer has called Goexit
			s.wakeReaperLocked(time.Now())
		}
		s.settle()
	}()

	dump := readDump(goroutineDump())
	for _, t := range slow {
		s.log(slog.LevelWarn, fmt.Sprintf("a task has not ended %v after it was canceled", patience), t, nil,
			slog.String("stack", dump[addressOf(t)]))
	}
	if slowBody {
		s.log(slog.LevelWarn, fmt.Sprintf("the body has not returned %v after the scope was canceled", patience), nil, nil,
			slog.String("stack", dump[addressOf(s)]))
	}
	for _, t := range late {
		if stack := dump[addressOf(t)]; !s.spare(t, stack, now) {
			s.giveUp(t, StuckTask{Path: t.Path(), Age: t.spawned.age(), Stack: stack})
		}
	}
	finished = true
}

// lookAgain is when a task is looked at again that is due, but may not be stuck.
const lookAgain = 10 * time.Millisecond

// spare lets a task off once that is not stuck itself: its goroutine runs, or
// waits for another task or scope. That one may have been given up just now, and
// then this one ends.
func (s *Scope) spare(t *Task, stack string, now time.Time) bool {
	if t.has(spared) || !isActive(stack) {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	t.set(spared)
	s.wakeReaperLocked(now.Add(lookAgain))
	return true
}

// dueBelow reports whether a scope below s is about to give tasks up: it comes
// first, for a task of s may be waiting for nothing but that.
func (s *Scope) dueBelow(now time.Time) bool {
	for _, c := range s.below() {
		c.mu.Lock()
		late, _, _, _ := c.stragglersLocked(now)
		c.mu.Unlock()
		if len(late) > 0 || c.dueBelow(now) {
			return true
		}
	}
	return false
}

// stragglersLocked sorts the canceled tasks that still run: those to give up,
// those to warn of, and when to look again.
func (s *Scope) stragglersLocked(now time.Time) (late, slow []*Task, slowBody bool, again time.Time) {
	due := func(at time.Time) bool {
		if !at.After(now) {
			return true
		}
		if again.IsZero() || at.Before(again) {
			again = at
		}
		return false
	}
	queued := false
	for t := s.first; t != nil; t = t.next {
		queued = queued || t == s.queue
		since, wait := s.rare.endedAt, t.patience()
		if x := t.rare(); x != nil && !x.endedAt.IsZero() {
			since = x.endedAt
		}
		switch {
		case since.IsZero() || t.has(hasEnded):
		case queued:
			due(now.Add(max(wait, lookAgain))) // the machine is busy: it has not had its chance
		case wait > 0 && due(since.Add(wait)):
			late = append(late, t)
		case !t.has(warned) && due(since.Add(patience)):
			slow = append(slow, t)
		}
	}
	slowBody = s.inBody && !s.rare.endedAt.IsZero() && !s.rare.bodyWarned && due(s.rare.endedAt.Add(patience))
	return late, slow, slowBody, again
}

// giveUp lets the scope go on without t, unless t has ended after all. What
// would have followed from the end of t follows now: a task that has run out of
// its own time has failed, and a master is a master.
func (s *Scope) giveUp(t *Task, stuck StuckTask) {
	up := s.outerEnded()
	s.mu.Lock()
	if t.has(hasEnded | givenUp) {
		s.mu.Unlock()
		return
	}
	alone := s.state < Canceling
	t.set(givenUp)
	err := &StuckError{Tasks: []StuckTask{stuck}}
	t.special().stuck = err
	if r := s.ownRareLocked(); len(r.stuck.Tasks) < maxStuck {
		r.stuck.Tasks = append(r.stuck.Tasks, stuck)
	} else {
		r.stuck.more++
	}
	s.unlinkLocked(t)
	s.releaseLocked(t)
	s.ownRareLocked().gaveUp.giveLocked()
	s.rare.gaveUp = nil // the next is for the next
	if e := t.alone(); e != nil && e.kind == TimedOut && t.flags&bubbles != 0 {
		s.endLocked(up, reason{kind: TaskFailed, task: t, err: e.err})
	}
	if t.flags&master != 0 {
		s.endLocked(up, reason{kind: MasterEnded, task: t})
	}
	s.leaveLimitsLocked(t)
	s.mu.Unlock() // reap settles, when observers have heard

	if m := t.more.Load(); m != nil && m.handOver != nil {
		go m.handOver(err) // nobody may wait here for a loop
	}
	s.Root().remember(t, stray{scope: s, task: t, state: "given up", since: t.spawned})
	if alone {
		s.log(slog.LevelWarn, "a task that was canceled has not ended and is given up", t, nil)
	}
	s.traceFailure(t, err)
	s.emit(TaskStuck, t, err)
}

// maxStuck is how many stuck tasks a scope names; of more it keeps the count.
const maxStuck = 1000

// A stray is something that its scope could not wait for: a call that Blocking
// has abandoned, or a task that was given up. While it runs it is in every
// snapshot, also when its scope has closed: so the root of the tree keeps it.
type stray struct {
	scope *Scope
	task  *Task // nil for a call made by a body
	call  *call // nil for a task that was given up
	state string
	since stamp
}

// remember and forget take a *call or a *Task for the key. Whichever comes
// first wins: what has ended already is not remembered.
func (s *Scope) remember(key any, x stray) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ended := s.rare.strays[key]; ended {
		delete(s.rare.strays, key)
		return
	}
	s.straysLocked()[key] = &x
}

func (s *Scope) forget(key any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, known := s.rare.strays[key]; known {
		delete(s.rare.strays, key)
		return
	}
	s.straysLocked()[key] = nil // it ended before it was remembered, which is under way
}

func (s *Scope) straysLocked() map[any]*stray {
	r := s.ownRareLocked()
	if r.strays == nil {
		r.strays = make(map[any]*stray)
	}
	return r.strays
}

// straysBelow returns the strays of s and of what was opened below it, each
// under the nearest scope above it that is still open, or s itself.
func (s *Scope) straysBelow() map[*Scope][]stray {
	root := s.Root()
	root.mu.Lock()
	all := make([]stray, 0, len(root.rare.strays))
	for _, x := range root.rare.strays {
		if x != nil {
			all = append(all, *x)
		}
	}
	root.mu.Unlock()
	slices.SortFunc(all, func(a, b stray) int { return cmp.Compare(a.since, b.since) })

	at := make(map[*Scope][]stray, len(all))
	for _, x := range all {
		home := x.scope
		for home != nil && home != s && home.State() == Closed {
			home = home.parent
		}
		at[home] = append(at[home], x)
	}
	return at
}

func (x stray) snapshot(around surroundings) TaskSnapshot {
	shot := TaskSnapshot{Scope: x.scope.id, Name: x.scope.Name(), Path: x.scope.Path()}
	if x.task != nil {
		shot = x.task.snapshot(x.scope.Path(), around)
	}
	shot.State, shot.Age = x.state, x.since.age()
	return shot
}
