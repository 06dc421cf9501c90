package traigo

import (
	"bytes"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
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
	bodyWarned    bool // the body takes long, and that has been logged
	strays        []*stray
}

// watchStragglers sets the reaper's clock when something has been canceled.
func (s *Scope) watchStragglers() {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	if s.state >= Canceling && s.endedAt.IsZero() {
		s.endedAt = now
	}
	if s.live == 0 {
		return
	}
	wait := patience
	for _, d := range []time.Duration{s.leastPatience, s.settings.cancelTimeout} {
		if d > 0 {
			wait = min(wait, d)
		}
	}
	s.wakeReaperLocked(now.Add(wait))
}

// wakeReaperLocked makes sure that the reaper looks at the tasks by then.
func (s *Scope) wakeReaperLocked(at time.Time) {
	if !s.reapAt.IsZero() && !at.Before(s.reapAt) {
		return
	}
	s.reapAt = at
	if s.reaper != nil {
		s.reaper.Stop()
	}
	s.reaper = time.AfterFunc(time.Until(at), s.reap)
}

// reap gives up the tasks whose time is over and warns of those that take long.
func (s *Scope) reap() {
	now := time.Now()
	s.mu.Lock()
	s.reapAt = time.Time{}
	late, slow, slowBody, again := s.stragglersLocked(now)
	if !again.IsZero() {
		s.wakeReaperLocked(again)
	}
	if len(late)+len(slow) == 0 && !slowBody {
		s.mu.Unlock()
		return
	}
	s.live++ // the scope stays open while stacks are looked for
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		s.live--
		s.settle()
	}()

	dump := goroutineDump()
	for _, t := range slow {
		s.log(slog.LevelWarn, fmt.Sprintf("a task has not ended %v after it was canceled", patience), t, nil,
			slog.String("stack", t.stackIn(dump)))
	}
	if slowBody {
		s.log(slog.LevelWarn, fmt.Sprintf("the body has not returned %v after the scope was canceled", patience), nil, nil,
			slog.String("stack", stackIn(dump, bodyFrame, s)))
	}
	for _, t := range late {
		if stack := t.stackIn(dump); !s.spare(t, stack, now) {
			s.giveUp(t, StuckTask{Path: t.Path(), Age: t.age(), Stack: stack})
		}
	}
}

// spare lets a task off once that is not stuck itself: its goroutine runs, or
// waits for another task or scope. At the very same instant that one may be
// given up, and then this one ends. The more levels of scopes are below, the
// longer it is spared: so it is decided from the bottom of the tree up.
func (s *Scope) spare(t *Task, stack string, now time.Time) bool {
	if t.has(spared) || !isWaiting(stack) {
		return false
	}
	height := max(1, s.height())
	s.mu.Lock()
	defer s.mu.Unlock()
	t.set(spared)
	s.wakeReaperLocked(now.Add(time.Duration(height) * 10 * time.Millisecond))
	return true
}

// height is how many levels of scopes are open below s.
func (s *Scope) height() int {
	height := 0
	for _, c := range s.below() {
		height = max(height, 1+c.height())
	}
	return height
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
	for t := s.first; t != nil; t = t.next {
		since, wait := s.endedAt, s.settings.cancelTimeout
		if x := t.rare.Load(); x != nil {
			if x.hasCancelTimeout {
				wait = x.cancelTimeout
			}
			if !x.endedAt.IsZero() {
				since = x.endedAt
			}
		}
		switch {
		case since.IsZero() || t.has(hasEnded):
		case wait > 0 && due(since.Add(wait)):
			late = append(late, t)
		case !t.has(warned) && due(since.Add(patience)):
			t.set(warned)
			slow = append(slow, t)
		}
	}
	if s.inBody && !s.endedAt.IsZero() && !s.bodyWarned && due(s.endedAt.Add(patience)) {
		s.bodyWarned, slowBody = true, true
	}
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
	s.stuck = append(s.stuck, stuck)
	s.unlinkLocked(t)
	s.releaseLocked(t)
	s.strays = append(running(s.strays), &stray{scope: s, task: t, state: "given up", since: s.opened.Add(t.spawned), done: t.doneLocked()})
	s.gaveUp.fireLocked()
	s.gaveUp = signal{} // for the next
	if e := t.alone(); e != nil && e.kind == TimedOut && t.flags&bubbles != 0 {
		s.endLocked(up, reason{kind: TaskFailed, task: t, err: e.err})
	}
	if t.flags&master != 0 {
		s.endLocked(up, reason{kind: MasterEnded, task: t})
	}
	s.mu.Unlock() // reap settles, when observers have heard

	if alone {
		s.log(slog.LevelWarn, "a task that was canceled has not ended and is given up", t, nil)
	}
	s.emit(TaskStuck, t, err)
}

// The frames that name a task or a scope by the address of their receiver.
const (
	taskFrame = "traigo.(*Task).call("
	bodyFrame = "traigo.(*Scope).callBody("
)

// goroutineDump returns the stacks of all goroutines.
func goroutineDump() []byte {
	for size := 1 << 20; ; size *= 2 {
		dump := make([]byte, size)
		if n := runtime.Stack(dump, true); n < size || size >= 256<<20 {
			return dump[:n]
		}
	}
}

func (t *Task) stackIn(dump []byte) string { return stackIn(dump, taskFrame, t) }

// stackIn returns the stack of the goroutine that has the frame with that
// receiver; "" if there is none, as when the function has not yet been called.
func stackIn(dump []byte, frame string, receiver any) string {
	want := fmt.Appendf(nil, "%s%p", frame, receiver)
	for stack := range bytes.SplitSeq(dump, []byte("\n\n")) {
		for rest := stack; ; {
			i := bytes.Index(rest, want)
			if i < 0 {
				break
			}
			rest = rest[i+len(want):]
			if len(rest) > 0 && !isHex(rest[0]) {
				return string(stack)
			}
		}
	}
	return ""
}

// isWaiting reports whether a goroutine with that stack runs, or waits in this
// package for something else to end.
func isWaiting(stack string) bool {
	head, _, _ := strings.Cut(stack, "\n")
	return stack == "" || strings.Contains(head, "[runn") || // running, runnable
		strings.Contains(stack, "traigo.(*Scope).join(") ||
		strings.Contains(stack, "traigo.(*Scope).await(") ||
		strings.Contains(stack, "traigo.(*Task).wait(")
}

func isHex(c byte) bool { return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' }

// ownOnStack names the part of s that the calling goroutine is: "" if none can
// be told.
func (s *Scope) ownOnStack() string {
	buf := make([]byte, 1<<16)
	return s.partIn(buf[:runtime.Stack(buf, false)])
}

func (s *Scope) partIn(stack []byte) string {
	if stackIn(stack, bodyFrame, s) != "" {
		return fmt.Sprintf("the body of %q", s.Path())
	}
	s.mu.Lock()
	var own *Task
	for t := s.first; t != nil && own == nil; t = t.next {
		if t.stackIn(stack) != "" {
			own = t
		}
	}
	children := s.belowLocked()
	s.mu.Unlock()
	if own != nil {
		return fmt.Sprintf("task %q", own.Path())
	}
	for _, c := range children {
		if who := c.partIn(stack); who != "" {
			return who
		}
	}
	return ""
}
