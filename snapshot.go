package traigo

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/traigo/traigo/internal/stackdump"
)

// A Snapshot is a scope, and all that lives below it, at one moment. It is
// plain data: it can be kept, compared, and encoded as JSON.
type Snapshot struct {
	ID       uint64        `json:"id"`
	Name     string        `json:"name"`
	Path     string        `json:"path"`
	Parent   uint64        `json:"parent,omitempty"` // ID of its parent: further down than here, if that has closed
	Task     uint64        `json:"task,omitempty"`   // ID of the parent's task that opened it: see [Scope.Opener]
	State    State         `json:"state"`
	Opened   time.Time     `json:"opened"`
	Age      time.Duration `json:"age"` // since it was opened, in nanoseconds
	Deadline time.Time     `json:"deadline,omitzero"`
	Cause    string        `json:"cause,omitempty"` // why it was canceled
	Limit    int           `json:"limit,omitempty"`
	Waiting  int           `json:"waiting,omitempty"` // spawns blocked on the limit
	Stack    string        `json:"stack,omitempty"`   // of the body of Run: only in a Dump

	// Unawaited are the names of tasks of [Async] that have failed, and whose error
	// nobody has received so far: at most 16.
	Unawaited []string `json:"unawaited,omitempty"`

	Tasks  []TaskSnapshot `json:"tasks,omitempty"`  // in the order of their spawning
	Scopes []Snapshot     `json:"scopes,omitempty"` // in the order of their opening
}

// A TaskSnapshot is a task in a [Snapshot].
type TaskSnapshot struct {
	ID       uint64        `json:"id"`
	Scope    uint64        `json:"scope"` // ID of its scope: further down than here, if that has closed
	Name     string        `json:"name"`
	Path     string        `json:"path"`
	State    string        `json:"state"` // "queued", "running", "canceling", "ended", "given up" or "abandoned"
	Spawned  time.Time     `json:"spawned"`
	Age      time.Duration `json:"age"` // since it was spawned (or abandoned), in nanoseconds
	Deadline time.Time     `json:"deadline,omitzero"`
	Cause    string        `json:"cause,omitempty"` // why it was canceled alone
	Bubble   bool          `json:"bubble"`
	Master   bool          `json:"master"`
	Awaited  bool          `json:"awaited"`
	Ready    bool          `json:"ready,omitempty"` // of Start: it has called ready
	Stack    string        `json:"stack,omitempty"` // only in a Dump
}

// Snapshot returns the live tree below s. Each scope is looked at under its own
// lock, one after the other: the scopes of one snapshot may be a moment apart.
// Tasks and scopes that have ended are not in it. Calls that were abandoned and tasks that
// were given up are, each in its own scope, as long as they run; a scope that has closed
// is there as long as it has one.
func (s *Scope) Snapshot() Snapshot {
	s.check("Snapshot")
	return s.snapshot(s.Path(), nil)
}

// Dump is [Scope.Snapshot] with the stack of each task, of each body of Run, and of each
// call that was abandoned, as far as it has one at that moment. It stops the whole program
// while the stacks are written: some 4 ms for each 1,000 goroutines.
func (s *Scope) Dump() Snapshot {
	s.check("Dump")
	return s.snapshot(s.Path(), findStacks(stackdump.All()))
}

// snapshot is given the path of s: to go up for each would take long in a deep tree. Of
// stacks, nil in a mere Snapshot, it takes those of its tasks.
func (s *Scope) snapshot(path string, stacks stackdump.Stacks) Snapshot {
	shot := Snapshot{ID: s.id, Name: s.Name(), Path: path, Opened: s.opened.date(), Age: s.opened.age(), Stack: stacks.Of(s)}
	if s.parent != nil {
		shot.Parent = s.parent.id
	}
	if t := s.Opener(); t != nil {
		shot.Task = t.id
	}
	s.mu.Lock()
	x := s.ext
	shot.State, shot.Deadline, shot.Limit, shot.Waiting = s.state, x.deadline, x.limit, x.waiting.Len()
	tasks := make([]*Task, 0, s.live)
	states := make([]TaskState, 0, s.live)
	for t := s.first; t != nil; t = t.next {
		tasks, states = append(tasks, t), append(states, t.stateLocked())
	}
	calls, unawaited, children := slices.Clone(x.calls), slices.Clone(x.unreceived), s.belowLocked()
	s.mu.Unlock()

	if e := s.ending(); e != nil {
		shot.Cause = e.text()
	}
	for _, t := range unawaited {
		shot.Unawaited = append(shot.Unawaited, t.Name())
	}
	for i, t := range tasks {
		shot.Tasks = append(shot.Tasks, t.snapshot(path, states[i], stacks.Of(t)))
	}
	for _, c := range calls {
		shot.Tasks = append(shot.Tasks, c.snapshot(path, stacks.Of(c)))
	}
	for _, c := range slices.Backward(children) {
		below := c.snapshot(path+"/"+c.Name(), stacks)
		if below.State != Closed || len(below.Tasks)+len(below.Scopes) > 0 {
			shot.Scopes = append(shot.Scopes, below)
		}
	}
	return shot
}

func (t *Task) snapshot(scope string, state TaskState, stack string) TaskSnapshot {
	name := t.Name()
	shot := TaskSnapshot{
		ID: t.id, Scope: t.scope.id, Name: name, Path: scope + "/" + name, State: state.String(),
		Spawned: t.spawned.date(), Age: t.spawned.age(), Stack: stack,
		Bubble: t.owner == ownScope, Master: t.flags&master != 0, Awaited: t.flags&awaited != 0,
		Ready: t.has(isReady),
	}
	if x := t.ext.Load(); x != nil {
		shot.Deadline = x.deadline
	}
	if e := t.alone(); e != nil && e.kind != Completed {
		shot.Cause = e.text()
	}
	return shot
}

// snapshot shows an abandoned call as the task that has abandoned it. A body that has
// done so is in no task of its scope: then the name is that of the scope.
func (c *call) snapshot(scope, stack string) TaskSnapshot {
	shot := TaskSnapshot{Scope: c.scope.id, Name: c.scope.Name(), Path: scope}
	if t := c.task; t != nil {
		shot = t.snapshot(t.scope.Path(), Abandoned, stack)
	}
	shot.State, shot.Age, shot.Stack = Abandoned.String(), c.since.age(), stack
	return shot
}

// String draws the tree, a line for each scope and task.
func (shot Snapshot) String() string {
	var b strings.Builder
	shot.draw(&b, "", "")
	return b.String()
}

// draw writes the scope with the branch that leads to it, and what is below it
// with the stem that goes past it.
func (shot Snapshot) draw(b *strings.Builder, branch, stem string) {
	fmt.Fprintf(b, "%s%s (%v, %s", branch, shot.Name, shot.State, brief(shot.Age))
	if !shot.Deadline.IsZero() {
		fmt.Fprintf(b, ", %s left", brief(shot.Deadline.Sub(shot.Opened)-shot.Age))
	}
	if shot.Limit > 0 {
		fmt.Fprintf(b, ", limit %d", shot.Limit)
	}
	if shot.Waiting > 0 {
		fmt.Fprintf(b, ", %d waiting", shot.Waiting)
	}
	if len(shot.Unawaited) > 0 {
		fmt.Fprintf(b, ", failed and not awaited: %s", strings.Join(shot.Unawaited, ", "))
	}
	if shot.Cause != "" {
		fmt.Fprintf(b, ", %s", firstLine(shot.Cause))
	}
	b.WriteString(")\n")
	left := len(shot.Tasks) + len(shot.Scopes)
	turn := func() (branch, below string) {
		if left--; left == 0 {
			return stem + "└─ ", stem + "   "
		}
		return stem + "├─ ", stem + "│  "
	}
	for _, t := range shot.Tasks {
		branch, _ := turn()
		fmt.Fprintf(b, "%s%s\n", branch, t)
	}
	for _, c := range shot.Scopes {
		branch, below := turn()
		c.draw(b, branch, below)
	}
}

// String returns the task's name and what there is to say of it.
func (t TaskSnapshot) String() string {
	notes := []string{t.State, brief(t.Age)}
	if t.Master {
		notes = append(notes, "master")
	}
	if !t.Awaited {
		notes = append(notes, "not awaited")
	}
	if t.Ready {
		notes = append(notes, "ready")
	}
	if t.Cause != "" {
		notes = append(notes, firstLine(t.Cause))
	}
	return fmt.Sprintf("• %s (%s)", t.Name, strings.Join(notes, ", "))
}

func brief(d time.Duration) string {
	switch {
	case d >= time.Minute:
		return d.Round(time.Second).String()
	case d >= time.Second:
		return d.Round(10 * time.Millisecond).String()
	default:
		return d.Round(10 * time.Microsecond).String()
	}
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return line
}
