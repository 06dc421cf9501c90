// Package history is what a recording says: which scopes and tasks there were, what
// was inside what, when things happened and why they ended. [Read] reads the log of
// package record, [ReadSCLogs] a file of Python's trio-vis, [ReadAny] either; a
// [History] writes itself for other viewers, and as text.
//
// It knows the format of the log (docs/log-format.md), not the program that wrote it:
// a history can be read where traigo is not linked, and of a program that has crashed.
package history

import (
	"slices"
	"strings"
	"time"
)

// Never is the time of what has not happened.
const Never time.Duration = -1

// A History is what a log says. Times are durations since Started, and [Never] for
// what has not happened.
type History struct {
	Started time.Time // the first moment of the recording
	Run     string    // which recording it is: the same in all its segments
	Segment uint64    // of a rotated recording: the last that was read; 0 if there is but one file
	PID     int
	Go      string // the version that the program was built with
	Program string // path of its main package

	Scopes []*Scope      // all of them, in the order of opening
	End    time.Duration // of the last line: what is unfinished was alive then

	// Of a file of trio-vis, which records neither how things ended nor the time of day.
	TrioVis bool // it is one: a task that has exited counts as ok
	Ordinal bool // its times are the numbers of its records, a millisecond each: only their order means something

	// What is known to be missing.
	Closed    bool   // the recorder was closed, so that the log is whole: otherwise the program crashed, or still runs
	Truncated bool   // the log ends in the middle of a line
	Damaged   int    // lines that make no sense
	Losses    []Loss // what the recorder could not write
}

// A Loss is a place where lines are missing from the log.
type Loss struct {
	At    time.Duration
	Lines uint64 // 0 if nobody knows how many
	Why   string
}

// Lost returns how many lines are missing altogether, as far as the recorder could
// still say.
func (h *History) Lost() (lines uint64) {
	for _, l := range h.Losses {
		lines += l.Lines
	}
	return lines
}

// Roots returns the scopes that have no parent in the log.
func (h *History) Roots() []*Scope {
	roots := slices.Clone(h.Scopes)
	return slices.DeleteFunc(roots, func(s *Scope) bool { return s.Parent != nil })
}

// A ScopeState is where a scope was in its life when the log ended.
type ScopeState string

// The states of a scope. One that is not [ScopeClosed] is unfinished, or, in
// [ScopeLost], closed in a gap of the log.
const (
	ScopeOpen       ScopeState = "open"
	ScopeFinalizing ScopeState = "finalizing"
	ScopeCanceling  ScopeState = "canceling"
	ScopeClosed     ScopeState = "closed"
	ScopeLost       ScopeState = "lost"
)

// A Scope is a scope of the program.
type Scope struct {
	ID       uint64
	Name     string
	Parent   *Scope // nil for a root
	By       *Task  // of the parent, which opened it with its context; nil if none did
	Deadline time.Duration
	State    ScopeState

	Opened    time.Duration
	Finalized time.Duration
	Canceled  time.Duration
	Closed    time.Duration // for ScopeLost: it was found closed then

	Cause *Cause // why it ended; nil while Canceled is Never
	Err   string // its outcome; "" if that is nil, or not known

	Abandoned []time.Duration // when its body stopped waiting for a call of Blocking
	Tasks     []*Task         // in the order of spawning
	Scopes    []*Scope        // those below, in the order of opening
}

// A Cause is why a scope ended.
type Cause struct {
	Kind string // as traigo.CancelKind has it, such as "task failed"
	By   *Task  // which caused it; nil if no task of the scope did
	Err  string
}

// Quiet reports whether the end of the scope was no failure.
func (c *Cause) Quiet() bool {
	return c == nil || c.Err == "" && (c.Kind == "completed" || c.Kind == "requested" || c.Kind == "master ended")
}

// String returns the kind of the cause and its error.
func (c *Cause) String() string {
	if c.Err == "" {
		return c.Kind
	}
	return c.Kind + ": " + c.Err
}

// Failed reports whether the scope failed.
func (s *Scope) Failed() bool {
	return s.Err != "" || s.Closed == Never && !s.Cause.Quiet()
}

// Path returns the names of the scopes from the root down to s, joined by slashes.
func (s *Scope) Path() string {
	var names []string
	for ; s != nil; s = s.Parent {
		names = append(names, s.Name)
	}
	slices.Reverse(names)
	return strings.Join(names, "/")
}

// A TaskState is how a task ended, or how far it had come when the log did.
type TaskState string

// The states of a task. Those from [TaskQueued] to [TaskStuck] are unfinished.
const (
	TaskQueued   TaskState = "queued"   // spawned, and not started
	TaskRunning  TaskState = "running"  // started, and not ended
	TaskStuck    TaskState = "stuck"    // given up, and not ended
	TaskOK       TaskState = "ok"       // returned nil
	TaskFailed   TaskState = "failed"   // returned an error of its own
	TaskCanceled TaskState = "canceled" // returned what its cancellation explains
	TaskPanicked TaskState = "panicked"
	TaskExited   TaskState = "exited" // called runtime.Goexit
	TaskLost     TaskState = "lost"   // ended in a gap of the log: nobody knows how
)

// A Task is a task of the program.
type Task struct {
	ID     uint64 // unique in its scope
	Name   string
	Scope  *Scope
	Bubble bool // a failure of it ends the scope
	Master bool // its end is the end of the scope
	Await  bool // the scope waits for it
	State  TaskState

	Spawned time.Duration
	Started time.Duration
	Ready   time.Duration // of Start: it called ready
	Stuck   time.Duration // it was given up
	Ended   time.Duration // for TaskLost: it was found ended then

	Err       string
	Stack     string          // of its panic, or of its goroutine when it was given up
	Abandoned []time.Duration // when it stopped waiting for a call of Blocking
	Scopes    []*Scope        // those that it opened by Run or New, in the order of opening
}

// Failed reports whether the task ended by an error of its own, or a panic.
func (t *Task) Failed() bool {
	return t.State == TaskFailed || t.State == TaskPanicked || t.State == TaskExited
}

// Unfinished reports whether the task had not ended when the log did.
func (t *Task) Unfinished() bool { return t.Ended == Never }

// Path returns the path of the task's scope and the task's name, joined by a slash.
func (t *Task) Path() string { return t.Scope.Path() + "/" + t.Name }

// parentCanceled is the kind of a cause that lies further up.
const parentCanceled = "parent canceled"

// Culprit says what really ended the scope: it follows "parent canceled" upward to the
// first cause. The scope is the one that was ended first, s itself or one above it;
// the task is what ended that one, nil if no task did (a timeout, say, or a call of
// Cancel).
//
// A scope may have ended with the task that opened it while its parent went on: that
// task is the culprit then, and the scope is the parent, which it belongs to. Both are
// nil as long as s has not ended, or if the log does not tell why.
func (s *Scope) Culprit() (*Task, *Scope) {
	for {
		task, scope := s.EndedBy()
		if task != nil || scope == nil || scope == s {
			return task, scope
		}
		s = scope
	}
}

// EndedBy returns what ended the scope, as [Scope.Culprit] does, but looks up one step
// only: for a scope that ended because its parent did, it returns nil and the parent.
func (s *Scope) EndedBy() (*Task, *Scope) {
	switch {
	case s.Cause == nil:
		return nil, nil
	case s.Cause.Kind != parentCanceled:
		return s.Cause.By, s
	case s.Parent == nil:
		return nil, s // a context from outside
	case s.endedWithParent():
		return nil, s.Parent
	case s.endedWithTask():
		return s.By, s.Parent
	default:
		return nil, s // a context in between
	}
}

// endedWithParent reports whether it was the parent's end that s calls "parent
// canceled", not that of a context in between: the parent's is told first. Only a scope
// that was about to end anyway may learn of it and tell its own a moment before.
func (s *Scope) endedWithParent() bool {
	at := s.Parent.Canceled
	if at == Never || s.Closed != Never && at > s.Closed {
		return false
	}
	return at <= s.Canceled || strings.HasPrefix(s.Cause.Err, "scope ")
}

// endedWithTask reports whether it was that of the task that opened it, if not the parent's.
func (s *Scope) endedWithTask() bool { return s.By != nil && s.By.State == TaskCanceled }
