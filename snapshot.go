package traigo

import (
	"fmt"
	"slices"
	"strings"
	"time"
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
// Tasks and scopes that have ended are not in it, except calls that were
// abandoned and tasks that were given up, as long as they run.
func (s *Scope) Snapshot() Snapshot {
	s.check("Snapshot")
	return s.snapshot(s.Path(), surroundings{zero: s.zero(), strays: s.straysBelow()})
}

// Dump is [Scope.Snapshot] with the stack of each task, of each body of Run, and of each
// call that was abandoned, as far as it has one at that moment. It stops the whole program
// while the stacks are written: some 4 ms for each 1,000 goroutines.
func (s *Scope) Dump() Snapshot {
	s.check("Dump")
	return s.snapshot(s.Path(), surroundings{zero: s.zero(), strays: s.straysBelow(), stacks: readDump(goroutineDump())})
}

// surroundings are what a snapshot needs beside the scopes.
type surroundings struct {
	zero   time.Time // the date of the stamp 0
	strays map[*Scope][]stray
	stacks map[string]string // by address; nil in a mere Snapshot
}

func (around surroundings) date(at stamp) time.Time { return around.zero.Add(time.Duration(at)) }

func (around surroundings) stackOf(receiver any) string {
	if around.stacks == nil {
		return ""
	}
	return around.stacks[addressOf(receiver)]
}

// snapshot is given the path of s: to go up for each would take long in a deep tree.
func (s *Scope) snapshot(path string, around surroundings) Snapshot {
	shot := Snapshot{ID: s.id, Name: s.Name(), Path: path, Opened: around.date(s.opened), Age: s.opened.age(), Stack: around.stackOf(s)}
	if s.parent != nil {
		shot.Parent = s.parent.id
	}
	if t := s.Opener(); t != nil {
		shot.Task = t.id
	}
	s.mu.Lock()
	shot.State, shot.Deadline = s.state, s.rare.deadline
	tasks := make([]*Task, 0, s.live)
	for t := s.first; t != nil; t = t.next {
		tasks = append(tasks, t)
	}
	if limits := s.rare.limits; limits != nil && limits[0].holders == nil {
		shot.Limit = limits[0].limit
	}
	shot.Waiting = s.rare.waiting
	unawaited := slices.Clone(s.rare.unreceived)
	children := s.belowLocked()
	s.mu.Unlock()

	if e := s.ending(); e != nil {
		shot.Cause = e.text()
	}
	for _, t := range unawaited {
		shot.Unawaited = append(shot.Unawaited, t.Name())
	}
	for _, t := range tasks {
		below := t.snapshot(path, around)
		below.Stack = around.stackOf(t)
		shot.Tasks = append(shot.Tasks, below)
	}
	for _, x := range around.strays[s] {
		below := x.snapshot(around)
		if x.call != nil {
			below.Stack = around.stackOf(x.call) // the task has another, or has ended
		} else {
			below.Stack = around.stackOf(x.task)
		}
		shot.Tasks = append(shot.Tasks, below)
	}
	shot.addScopes(path, children, around)
	// What a task has opened that was given up is below a scope that has closed.
	seen := map[*Scope]bool{s: true}
	for _, x := range around.strays[s] {
		if !seen[x.scope] {
			seen[x.scope] = true
			shot.addScopes(x.scope.Path(), x.scope.below(), around)
		}
	}
	return shot
}

// addScopes adds the children of a scope with that path. Their list has the youngest
// first.
func (shot *Snapshot) addScopes(path string, children []*Scope, around surroundings) {
	for _, c := range slices.Backward(children) {
		if below := c.snapshot(path+"/"+c.Name(), around); below.State != Closed {
			shot.Scopes = append(shot.Scopes, below)
		}
	}
}

// text is the reason in words. Whoever looks at a tree must not fail by one bad error in
// it, and it is no news each time.
func (e *ending) text() (text string) {
	defer func() {
		if recover() != nil {
			text = e.kind.String() + ": an error whose Error panics"
		}
	}()
	return e.cancellation().reason()
}

// zero is the date of the stamp 0. It is kept, or every snapshot would tell another
// nanosecond; by the root, so that to be looked at costs the other scopes nothing. It is
// worked out again when the clock has been set, or has gone on while the machine slept.
func (s *Scope) zero() time.Time {
	const same = time.Second
	zero := stamp(0).date().Round(0) // without the monotonic clock, which knows of neither
	root := s.Root()
	root.mu.Lock()
	defer root.mu.Unlock()
	if kept := root.rare.zero; !kept.IsZero() && kept.Sub(zero).Abs() < same {
		return kept
	}
	root.ownRareLocked().zero = zero
	return zero
}

func (t *Task) snapshot(scope string, around surroundings) TaskSnapshot {
	name := t.Name()
	shot := TaskSnapshot{
		ID: t.id, Scope: t.scope.id, Name: name, Path: scope + "/" + name, State: t.State().String(),
		Spawned: around.date(t.spawned), Age: t.spawned.age(),
		Bubble: t.owner == ownScope, Master: t.flags&master != 0, Awaited: t.flags&awaited != 0,
		Ready: t.has(isReady),
	}
	if x := t.rare(); x != nil {
		shot.Deadline = x.deadline
	}
	if e := t.alone(); e != nil {
		shot.Cause = e.text()
	}
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
