package traigo

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/traigo/traigo/internal/processes"
	"github.com/traigo/traigo/internal/stackdump"
)

// A Snapshot describes a scope, its tasks and the scopes below it. It is plain data
// without references to the scope, and can be encoded as JSON.
type Snapshot struct {
	ID       uint64        `json:"id"`
	Name     string        `json:"name"`
	Path     string        `json:"path"`
	Parent   uint64        `json:"parent,omitempty"` // ID of the parent of the scope; 0 for a root
	Task     uint64        `json:"task,omitempty"`   // ID of the parent's task that opened the scope (see [Scope.Opener]), or that stands for an actor; or 0
	Pid      int           `json:"pid,omitempty"`    // the process that the scope lives in; 0 if it is the one that was asked
	State    State         `json:"state"`
	Opened   time.Time     `json:"opened"`
	Age      time.Duration `json:"age"` // time since Opened, in nanoseconds
	Deadline time.Time     `json:"deadline,omitzero"`
	Cause    string        `json:"cause,omitempty"` // why the scope was canceled; "" if it was not
	Limit    int           `json:"limit,omitempty"`
	Waiting  int           `json:"waiting,omitempty"` // number of calls of Spawn that wait for a slot
	Blocked  []string      `json:"blocked,omitempty"` // paths of the tasks, and of scopes whose bodies do, that wait in those calls, as far as they are below the scope that was asked; only in a Dump
	Stack    string        `json:"stack,omitempty"`   // stack of the body of Run; only in a Dump

	// What the body of Run waits for, as in TaskSnapshot; only in a Dump.
	Waits string        `json:"waits,omitempty"`
	For   time.Duration `json:"for,omitempty"`
	At    string        `json:"at,omitempty"`

	// Unawaited has the names of the tasks of [Async] that have failed and whose error no
	// caller has received yet: at most 16.
	Unawaited []string `json:"unawaited,omitempty"`

	Tasks  []TaskSnapshot `json:"tasks,omitempty"`  // in order of spawning, except [Dedicated] tasks; then abandoned calls
	Scopes []Snapshot     `json:"scopes,omitempty"` // in the order of opening; then those of another process
}

// A TaskSnapshot describes a task, or an abandoned call of [Blocking], in a [Snapshot].
type TaskSnapshot struct {
	ID       uint64        `json:"id"`
	Scope    uint64        `json:"scope"` // ID of the task's scope; that of an abandoned call may be above the scope that lists it
	Name     string        `json:"name"`
	Path     string        `json:"path"`
	State    string        `json:"state"` // "queued", "running", "canceling", "ended", "given up" or "abandoned"
	Spawned  time.Time     `json:"spawned"`
	Age      time.Duration `json:"age"` // nanoseconds since Spawned or, for an abandoned call, since it was abandoned
	Deadline time.Time     `json:"deadline,omitzero"`
	Cause    string        `json:"cause,omitempty"` // why this task alone was canceled; "" if it was not
	Bubble   bool          `json:"bubble"`
	Master   bool          `json:"master"`
	Awaited  bool          `json:"awaited"`
	Ready    bool          `json:"ready,omitempty"` // the function of a task of [Scope.Start] has called ready
	Stack    string        `json:"stack,omitempty"` // stack of the task; only in a Dump

	// What the task waits for, and where; only in a Dump. Waits is the runtime's word for it,
	// such as "chan receive", "select", "sync.Mutex.Lock" or "IO wait"; or "running" or
	// "runnable", if it does not wait. For is how long it has waited at least, in whole
	// minutes: 0 if that is less than one, or if no garbage collection has seen it wait. At
	// is the file and line of the topmost frame of the program's own code, "main.go:45".
	Waits string        `json:"waits,omitempty"`
	For   time.Duration `json:"for,omitempty"`
	At    string        `json:"at,omitempty"`
}

// Snapshot returns the tree of scopes and tasks from s down. The scopes are read one
// after the other, each under its own lock, so they may differ by a moment. Tasks that
// have ended and scopes that are closed are not included. Tasks that were given up and
// calls that were abandoned are included until they return, and so is a closed scope that
// contains one. Where package proc has opened a scope for a call, the scopes in the process
// that runs the call are included below it, with their Pid. All such processes are asked at
// once, and those that have not answered after 100 ms are left out.
//
//nolint:contextcheck // it asks other processes, and does not wait longer than a bound of its own
func (s *Scope) Snapshot() Snapshot {
	s.check("Snapshot")
	return s.survey(context.Background(), nil)
}

// Dump is like [Scope.Snapshot], but includes the stacks of tasks, bodies of Run and
// abandoned calls that are running, and what each of them waits for. It stops all
// goroutines of the program while the stacks are written, for about 4 ms per 1,000
// goroutines.
//
//nolint:contextcheck // it asks other processes, and does not wait longer than a bound of its own
func (s *Scope) Dump() Snapshot {
	s.check("Dump")
	return s.survey(context.Background(), findStacks(stackdump.All()))
}

// dumps returns a Dump of each scope. One dump of the goroutines serves all.
func dumps(ctx context.Context, scopes []*Scope) []Snapshot {
	stacks := findStacks(stackdump.All())
	shots := make([]Snapshot, len(scopes))
	for i, s := range scopes {
		shots[i] = s.survey(ctx, stacks)
	}
	return shots
}

// survey implements Snapshot, where stacks is nil, and Dump. It waits for other processes no
// longer than ctx.
func (s *Scope) survey(ctx context.Context, stacks stackdump.Stacks) Snapshot {
	v := survey{ctx: ctx, stacks: stacks}
	shot := s.snapshot(s.Path(), &v)
	if v.asked != nil {
		shot.add(v.answers())
	}
	if v.blocked != nil {
		shot.addBlocked(&v)
	}
	return shot
}

// snapshot describes s and what is below it. path is s.Path(), a parameter since computing it
// for each scope takes quadratic time in a deep tree.
func (s *Scope) snapshot(path string, v *survey) Snapshot {
	shot := Snapshot{ID: s.id, Name: s.Name(), Path: path, Opened: s.opened.date(), Age: s.opened.age(), Stack: v.stacks.Of(s)}
	shot.Waits, shot.For, shot.At = v.place(shot.Stack)
	v.notePart(shot.Stack, path)
	if s.parent != nil {
		shot.Parent = s.parent.id
	}
	if t := s.Opener(); t != nil {
		shot.Task = t.id
	}
	s.mu.Lock()
	x := s.ext
	shot.State, shot.Deadline, shot.Limit, shot.Waiting = s.state, x.deadline, x.limit, int(x.waiting.Load())
	calls, unawaited, children := slices.Clone(x.calls), slices.Clone(x.unreceived), s.belowLocked()
	ask := x.ask
	if v.stacks != nil && x.first != nil {
		v.addBlockedLocked(s)
	}
	shot.Tasks = s.snapshotTasks(s.first, 0, len(calls), path, v) // unlocks

	if ask != nil && shot.State != Closed {
		v.ask(s, ask)
	}
	if e := s.ending(); e != nil {
		shot.Cause = e.text()
	}
	for _, l := range unawaited {
		shot.Unawaited = append(shot.Unawaited, l.task.Name())
	}
	for _, c := range calls {
		below := c.snapshot(path, v.stacks.Of(c))
		below.Waits, below.For, below.At = v.place(below.Stack)
		shot.Tasks = append(shot.Tasks, below)
	}
	for _, c := range slices.Backward(children) {
		below := c.snapshot(path+"/"+c.Name(), v)
		if below.State != Closed || len(below.Tasks)+len(below.Scopes) > 0 {
			shot.Scopes = append(shot.Scopes, below)
		}
	}
	return shot
}

// snapshotTasks releases mu, and returns the snapshots of the tasks from first on, behind room
// for those before, with capacity for more. It notes the tasks on the stack, a block in each
// call, so that only the result is allocated: of 100,000 tasks their list alone takes 1 MB.
func (s *Scope) snapshotTasks(first *Task, before, more int, path string, v *survey) (shots []TaskSnapshot) {
	var block [64]struct {
		task  *Task
		state TaskState
	}
	n := 0
	for ; first != nil && n < len(block); first = first.next {
		if first.look(); first.isIdle() {
			continue // it pulls an item, which may be the last
		}
		block[n].task, block[n].state = first, first.stateLocked()
		n++
	}
	if first != nil {
		shots = s.snapshotTasks(first, before+n, more, path, v)
	} else if s.mu.Unlock(); before+n+more > 0 {
		shots = make([]TaskSnapshot, before+n, before+n+more)
	}
	var name, taskPath string // the same for tasks that were spawned in a loop
	for i, b := range block[:n] {
		if own := b.task.Name(); own != name || i == 0 {
			name, taskPath = own, path+"/"+own
		}
		stack := v.stacks.Of(b.task)
		v.notePart(stack, taskPath)
		shot := &shots[before+i]
		*shot = b.task.snapshot(name, taskPath, b.state, stack)
		shot.Waits, shot.For, shot.At = v.place(stack)
	}
	return shots
}

func (t *Task) snapshot(name, path string, state TaskState, stack string) TaskSnapshot {
	shot := TaskSnapshot{
		ID: t.id, Scope: t.scope.id, Name: name, Path: path, State: state.String(),
		Spawned: t.since().date(), Age: t.since().age(), Stack: stack,
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

// snapshot describes an abandoned call by the task that abandoned it. If c.task is nil,
// because a body without a task around it has abandoned the call, Name is that of the
// scope.
func (c *call) snapshot(scope, stack string) TaskSnapshot {
	shot := TaskSnapshot{Scope: c.scope.id, Name: c.scope.Name(), Path: scope}
	if t := c.task; t != nil {
		shot = t.snapshot(t.Name(), t.Path(), Abandoned, stack)
	}
	shot.State, shot.Age, shot.Stack = Abandoned.String(), c.since.age(), stack
	return shot
}

// processTimeout is how long Snapshot waits for the scopes of other processes.
const processTimeout = 100 * time.Millisecond

// A survey is one call of Snapshot or Dump.
type survey struct {
	ctx     context.Context  // done when no answer is waited for any more
	cancel  func()           // releases ctx; nil if nothing has been asked
	stacks  stackdump.Stacks // nil without
	asked   []question
	blocked map[uint64][]*blocked // the calls of Spawn that wait for a slot, by the ID of the scope
	parts   map[string]string     // the path of the task or body in such a call, by the address of the blocked
}

// A question has been asked about the scopes that live in another process.
type question struct {
	scope  uint64            // ID of the scope that they are below
	answer <-chan []Snapshot // buffers one, and is closed
}

// ask begins to ask for the scopes of another process that are to be below s.
func (v *survey) ask(s *Scope, ask processes.Ask) {
	if v.asked == nil {
		v.ctx, v.cancel = context.WithTimeout(v.ctx, processTimeout)
	}
	answer := make(chan []Snapshot, 1)
	v.asked = append(v.asked, question{s.id, answer})
	ctx, withStacks := v.ctx, v.stacks != nil
	go func() {
		defer close(answer)
		defer func() {
			if value := recover(); value != nil {
				s.logRecovered("the function that asks another process for its scopes", nil, value)
			}
		}()
		scopes, _ := ask(ctx, withStacks).([]Snapshot)
		answer <- scopes
	}()
}

// answers waits for the answers, and returns those that have come in time, by the ID of the
// scope that they belong to.
func (v *survey) answers() map[uint64][]Snapshot {
	defer v.cancel()
	all := map[uint64][]Snapshot{}
	for _, q := range v.asked {
		select {
		case all[q.scope] = <-q.answer:
		case <-v.ctx.Done():
			select {
			case all[q.scope] = <-q.answer: // it has come while another one was waited for
			default:
			}
		}
	}
	return all
}

// add appends the answers to the scopes that they belong to. IDs in them are those of
// another process.
func (shot *Snapshot) add(answers map[uint64][]Snapshot) {
	for i := range shot.Scopes {
		shot.Scopes[i].add(answers)
	}
	for _, below := range answers[shot.ID] {
		below.Parent, below.Task = shot.ID, 0
		shot.Scopes = append(shot.Scopes, below)
	}
}

type askOption processes.Ask

func (o askOption) applyScope(s *Scope) { s.ownExtLocked().ask = processes.Ask(o) }

var _ = processes.Provide(processes.Functions{
	Option: func(ask processes.Ask) any { return askOption(ask) },
	Snapshot: func(ctx context.Context, scope any, stacks bool) any {
		if stacks {
			return dumps(ctx, []*Scope{scope.(*Scope)})[0]
		}
		return scope.(*Scope).survey(ctx, nil)
	},
	Dumps: func(ctx context.Context, scopes any) any { return dumps(ctx, scopes.([]*Scope)) },
})

// String returns the tree as text, with one line per scope and task.
func (shot Snapshot) String() string {
	var b strings.Builder
	shot.draw(&b, "", "")
	return b.String()
}

// draw writes the scope with the branch that leads to it, and what is below it
// with the stem that goes past it. A scope stands below the task that opened it, if that
// still runs.
func (shot Snapshot) draw(b *strings.Builder, branch, stem string) {
	fmt.Fprintf(b, "%s%s (%v, %s", branch, escaped(shot.Name), shot.State, brief(shot.Age))
	if shot.Pid != 0 {
		fmt.Fprintf(b, ", process %d", shot.Pid)
	}
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
		fmt.Fprintf(b, ", failed and not awaited: %s", escaped(strings.Join(shot.Unawaited, ", ")))
	}
	if shot.Cause != "" {
		fmt.Fprintf(b, ", %s", escaped(firstLine(shot.Cause)))
	}
	b.WriteString(")\n")
	openers := map[uint64]bool{}
	for _, t := range shot.Tasks {
		openers[t.ID] = true
	}
	opened := map[uint64][]Snapshot{}
	for _, c := range shot.Scopes {
		by := c.Task
		if !openers[by] {
			by = 0
		}
		opened[by] = append(opened[by], c)
	}
	left := len(shot.Tasks) + len(opened[0])
	turn := func() (branch, below string) {
		if left--; left == 0 {
			return stem + "└─ ", stem + "   "
		}
		return stem + "├─ ", stem + "│  "
	}
	for _, t := range shot.Tasks {
		branch, below := turn()
		fmt.Fprintf(b, "%s%s\n", branch, t)
		inner := opened[t.ID]
		delete(opened, t.ID) // an abandoned call has the ID of its task
		for i, c := range inner {
			if i == len(inner)-1 {
				c.draw(b, below+"└─ ", below+"   ")
			} else {
				c.draw(b, below+"├─ ", below+"│  ")
			}
		}
	}
	for _, c := range opened[0] {
		branch, below := turn()
		c.draw(b, branch, below)
	}
}

// String returns the task's name and what there is to say of it, as one line.
func (t TaskSnapshot) String() string {
	notes := []string{t.State, brief(t.Age)}
	if t.Master {
		notes = append(notes, "master")
	}
	if !t.Awaited {
		notes = append(notes, "not awaited")
	}
	if !t.Bubble {
		notes = append(notes, "no bubble")
	}
	if t.Ready {
		notes = append(notes, "ready")
	}
	if t.Cause != "" {
		notes = append(notes, escaped(firstLine(t.Cause)))
	}
	if t.Waits != "" {
		notes = append(notes, strings.TrimSpace(escaped(t.Waits+" "+t.At)))
	}
	return fmt.Sprintf("• %s (%s)", escaped(t.Name), strings.Join(notes, ", "))
}

// escaped is text for a terminal: control characters, and others that are not seen, are
// written as Go writes them in a string.
func escaped(text string) string {
	if strings.IndexFunc(text, func(r rune) bool { return !strconv.IsPrint(r) }) < 0 {
		return text
	}
	var b strings.Builder
	for _, r := range text {
		if strconv.IsPrint(r) {
			b.WriteRune(r)
		} else {
			quoted := strconv.QuoteRune(r)
			b.WriteString(quoted[1 : len(quoted)-1])
		}
	}
	return b.String()
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

// place returns what a goroutine waits for. One that waits for a call of Blocking waits for
// what the call waits for.
func (v *survey) place(stack string) (waits string, since time.Duration, at string) {
	if call := v.stacks[stackdump.ReceiverOf(stack, waitFrame)]; call != "" {
		stack = call
	}
	p := stackdump.PlaceOf(stack)
	return p.Waits, p.For, p.At
}
