// Package history reads recordings of programs: which scopes and tasks there were, which
// was inside which, when they began and ended, and why. [Read] reads a log of package record,
// [ReadSCLogs] a file of Python's trio-vis, and [ReadAny] either. [ReadDir] reads the logs of
// the processes of a tree as one [History]. Package record/export writes it in other formats.
//
// The package knows the format of the log (docs/log-format.md) and does not link traigo. It
// also reads what a program that crashed has left.
package history

import (
	"slices"
	"strings"
	"time"
)

// Never stands for the time of an event that has not happened, or is not in the log.
const Never time.Duration = -1

// A History is the content of a log, or of those of several processes. All times in it are
// durations since Started, or [Never].
//
// Of several processes, Run, Segment, PID, Go and Program are those of the first in Processes;
// Closed, Truncated, Damaged and Losses tell of all together.
type History struct {
	Started time.Time // when the first recorder was created; zero in a file of trio-vis with relative times
	Run     string    // identifies the recording; the same in all its segments
	Segment uint64    // of a rotated recording, the number of the last segment read; otherwise 0
	PID     int
	Go      string // version of Go that built the program
	Program string // import path of the main package

	// Censuses say what tasks waited for at some moments, in the order of time.
	Censuses []*Census

	Processes []*Process    // each below the one that has started it
	Scopes    []*Scope      // all scopes, in the order of opening
	End       time.Duration // time of the last line

	// TrioVis is set if the log is a file of trio-vis. These do not say how a task ended:
	// all that have exited are TaskOK.
	TrioVis bool
	// Ordinal is set if the times in a file of trio-vis are numbers of records. Each then
	// counts as a millisecond, and only the order of times has a meaning.
	Ordinal bool

	Closed    bool   // the recorder was closed, so the log is complete; otherwise the program crashed or is still running
	Truncated bool   // the log ends in the middle of a line
	Damaged   int    // number of lines that could not be understood
	Losses    []Loss // lines that the recorder could not write

	// Skipped has the files that [ReadDir] has left out, each with the reason.
	Skipped []string
}

// A Census says what the tasks and bodies of a process waited for at one moment. Those that
// wait for the same at the same place are a group.
type Census struct {
	Process    *Process
	At         time.Duration
	Why        string // why it was taken: "nothing has moved for 10s", "SIGQUIT"
	Goroutines int    // of the process, with those that are no tasks
	Groups     []*Group
	More       int // tasks and bodies in groups that were left out, as there were too many
}

// A Group is what several tasks and bodies do at the time of a [Census].
type Group struct {
	Waits string        // the runtime's word for what they wait for, such as "sync.Mutex.Lock"; or "running", "runnable"
	For   time.Duration // how long the first of them has waited, at least
	At    string        // file and line of the topmost frame of the program's own code, "main.go:45"
	Stack string        // of one of them

	Count  int      // how many there are
	Tasks  []*Task  // those of them that are tasks, as far as the log names them
	Bodies []*Scope // those of them that are bodies of Run and in no task, likewise
}

// A Loss is a gap in the log.
type Loss struct {
	At    time.Duration
	Lines uint64 // number of lines missing; 0 if that is not known
	Why   string

	Process *Process // whose log it is a gap in
}

// Lost returns the number of lines missing in all gaps, without those of which the number
// is not known.
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

// A ScopeState is the state of a scope at the end of the log.
type ScopeState string

// The states of a scope. A scope that is not [ScopeClosed] is unfinished, except in
// [ScopeLost]: that one closed in a gap of the log.
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
	Process  *Process // the process that it lives in
	Parent   *Scope   // nil for a root; of a root of another process, the scope that has started that
	By       *Task    // the parent's task that opened the scope, or stands for its process; nil if none does
	Deadline time.Duration
	State    ScopeState
	At       string // file and line of the call that opened it, "main.go:45"; "" if the recorder did not note it

	Opened    time.Duration
	Finalized time.Duration
	Canceled  time.Duration
	Closed    time.Duration // in ScopeLost, the time of the census that did not list it

	Cause *Cause // why the scope ended; nil if Canceled is Never
	Err   string // the outcome; "" if it is nil or not known

	Abandoned []time.Duration // when the body stopped waiting for a call of Blocking
	Tasks     []*Task         // in the order of spawning
	Scopes    []*Scope        // the children, in the order of opening
}

// A Cause is the reason for which a scope ended.
type Cause struct {
	Kind string // the text of a traigo.CancelKind, such as "task failed"
	By   *Task  // the task that caused it; nil if no task of the scope did
	At   string // file and line of the call of Cancel, or of the body that failed; "" of any other kind, or if it is not known
	Err  string
}

// Quiet reports whether the cause is not a failure. A nil Cause is quiet.
func (c *Cause) Quiet() bool {
	return c == nil || c.Err == "" && (c.Kind == "completed" || c.Kind == "requested" || c.Kind == "master ended")
}

// String returns the kind of the cause and, if there is one, its error.
func (c *Cause) String() string {
	if c.Err == "" {
		return c.Kind
	}
	return c.Kind + ": " + c.Err
}

// Failed reports whether the scope failed: its outcome is an error, or, if it has not closed,
// it is ending because of a failure.
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

// A TaskState is the state of a task at the end of the log.
type TaskState string

// The states of a task. In [TaskQueued], [TaskRunning] and [TaskStuck] it is unfinished.
const (
	TaskQueued   TaskState = "queued"   // spawned, and not started
	TaskRunning  TaskState = "running"  // started, and not ended
	TaskStuck    TaskState = "stuck"    // given up by its scope, and not ended
	TaskOK       TaskState = "ok"       // returned nil
	TaskFailed   TaskState = "failed"   // returned an error of its own
	TaskCanceled TaskState = "canceled" // returned an error that is a consequence of its cancellation
	TaskPanicked TaskState = "panicked"
	TaskExited   TaskState = "exited" // called runtime.Goexit
	TaskLost     TaskState = "lost"   // ended in a gap of the log; how is not known
)

// A Task is a task of the program.
type Task struct {
	ID     uint64 // unique in its scope
	Name   string
	Scope  *Scope
	Bubble bool // a failure ends the scope
	Master bool // its end, with or without an error, ends the scope
	Await  bool // a finalizing scope waits for it
	State  TaskState
	At     string // file and line of the call that spawned it, "main.go:45"; "" if the recorder did not note it

	Spawned time.Duration
	Started time.Duration
	Ready   time.Duration // when a task of Scope.Start called ready
	Stuck   time.Duration // when its scope gave it up
	Ended   time.Duration // in TaskLost, the time of the census that did not list it

	Cause     *Cause // why it was canceled alone, by Task.Cancel or its own timeout; nil if it was not, or if that is not known
	Err       string
	Stack     string          // of its panic, or of its goroutine when it was given up
	Abandoned []time.Duration // when it stopped waiting for a call of Blocking
	Scopes    []*Scope        // the scopes it opened by Run or New, or the roots of the process that it stands for, in the order of opening
}

// Failed reports whether the task ended with an error of its own, a panic or runtime.Goexit.
func (t *Task) Failed() bool {
	return t.State == TaskFailed || t.State == TaskPanicked || t.State == TaskExited
}

// Unfinished reports whether the task had not ended at the end of the log.
func (t *Task) Unfinished() bool { return t.Ended == Never }

// Path returns the path of the task's scope and the task's name, joined by a slash.
func (t *Task) Path() string { return t.Scope.Path() + "/" + t.Name }

// parentCanceled is the kind of a cause that is an ancestor's, or an outer context's.
const parentCanceled = "parent canceled"

// requested is the kind of a cause that is a call of Cancel.
const requested = "requested"

// Culprit returns the first cause of the end of the scope: it follows causes of kind
// "parent canceled" to the ancestors, in other processes too (see [Scope.EndedBy]). The result is the scope that ended first, which is s
// or an ancestor of s, and the task that ended it; the task is nil if it was no task but,
// for instance, a timeout or a call of Cancel.
//
// A scope may also end because the task that opened it was canceled alone. Then the
// result is that task and its scope, the parent, which has not ended. Both results are
// nil if s has not ended, or if the log does not say why.
func (s *Scope) Culprit() (*Task, *Scope) {
	for {
		task, scope := s.EndedBy()
		if task != nil || scope == nil || scope == s {
			return task, scope
		}
		s = scope
	}
}

// EndedBy returns the immediate cause of the end of the scope, in the form of
// [Scope.Culprit]. If the scope ended because its parent did, the result is nil and the
// parent.
//
// The root of a process whose parent is in another process has no context in common with
// it. When the parent ends, or the task that stands for the process is canceled, the process
// is asked to end: its root then ends as "requested". So it counts as ended by the parent
// if that had ended before, and not if the request came first.
func (s *Scope) EndedBy() (*Task, *Scope) {
	switch {
	case s.Cause == nil:
		return nil, nil
	case s.Cause.Kind != parentCanceled && !s.wasAskedToEnd():
		return s.Cause.By, s
	case s.Parent == nil:
		return nil, s // a context outside of all scopes was canceled
	case s.endedWithParent():
		return nil, s.Parent
	case s.endedWithTask():
		return s.By, s.Parent
	default:
		return nil, s // a context between s and its parent was canceled
	}
}

// endedWithParent reports whether s, with a cause of kind "parent canceled", ended because
// its parent did, and not because a context between the two was canceled: then it has an error
// of its own, also if the parent had ended before. In general the parent's line comes first. It
// may come a moment later if s was about to end anyway and asked its parent; then the error
// names the parent.
func (s *Scope) endedWithParent() bool {
	at := s.Parent.Canceled
	if at == Never || s.Closed != Never && at > s.Closed {
		return false
	}
	if own := s.Cause.Err; own != "" && !strings.HasPrefix(own, "scope ") && s.Parent.Cause != nil && own != s.Parent.Cause.Err && !s.BeginsProcess() {
		return false
	}
	return at <= s.Canceled || !s.BeginsProcess() && strings.HasPrefix(s.Cause.Err, "scope ")
}

// wasAskedToEnd reports whether s is the root of a process that another one has started,
// and ended because of a request that no task of the process has made.
func (s *Scope) wasAskedToEnd() bool {
	return s.Cause.Kind == requested && s.Cause.By == nil && s.Parent != nil && s.BeginsProcess()
}

// endedWithTask reports whether the cancellation of the task that opened s, if it was not
// that of the parent, may be the cause. It was not, if the task was canceled with its scope,
// after s.
func (s *Scope) endedWithTask() bool {
	t := s.By
	if t == nil || t.State != TaskCanceled {
		return false
	}
	at := t.Scope.Canceled
	return t.Cause != nil || at == Never || at <= s.Canceled || at > t.Ended
}
