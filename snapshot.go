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
	Stack    string        `json:"stack,omitempty"`   // stack of the body of Run; only in a Dump

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
	return s.survey(context.Background(), false)
}

// Dump is like [Scope.Snapshot], but includes the stacks of tasks, bodies of Run and
// abandoned calls that are running. It stops all goroutines of the program while the
// stacks are written, for about 4 ms per 1,000 goroutines.
//
//nolint:contextcheck // it asks other processes, and does not wait longer than a bound of its own
func (s *Scope) Dump() Snapshot {
	s.check("Dump")
	return s.survey(context.Background(), true)
}

// survey implements Snapshot and Dump. It waits for other processes no longer than ctx.
func (s *Scope) survey(ctx context.Context, withStacks bool) Snapshot {
	v := survey{ctx: ctx, withStacks: withStacks}
	if withStacks {
		v.stacks = findStacks(stackdump.All())
	}
	shot := s.snapshot(s.Path(), &v)
	if v.asked != nil {
		shot.add(v.answers())
	}
	return shot
}

// snapshot describes s and what is below it. path is s.Path(), a parameter since computing it
// for each scope takes quadratic time in a deep tree.
func (s *Scope) snapshot(path string, v *survey) Snapshot {
	shot := Snapshot{ID: s.id, Name: s.Name(), Path: path, Opened: s.opened.date(), Age: s.opened.age(), Stack: v.stacks.Of(s)}
	if s.parent != nil {
		shot.Parent = s.parent.id
	}
	if t := s.Opener(); t != nil {
		shot.Task = t.id
	}
	s.mu.Lock()
	x := s.ext
	shot.State, shot.Deadline, shot.Limit, shot.Waiting = s.state, x.deadline, x.limit, int(x.waiting.Load())
	tasks := make([]*Task, 0, s.live)
	states := make([]TaskState, 0, s.live)
	for t := s.first; t != nil; t = t.next {
		if t.look(); t.isIdle() {
			continue // it pulls an item, which may be the last
		}
		tasks, states = append(tasks, t), append(states, t.stateLocked())
	}
	calls, unawaited, children := slices.Clone(x.calls), slices.Clone(x.unreceived), s.belowLocked()
	ask := x.ask
	s.mu.Unlock()

	if ask != nil && shot.State != Closed {
		v.ask(s, ask)
	}
	if e := s.ending(); e != nil {
		shot.Cause = e.text()
	}
	for _, l := range unawaited {
		shot.Unawaited = append(shot.Unawaited, l.task.Name())
	}
	if n := len(tasks) + len(calls); n > 0 {
		shot.Tasks = make([]TaskSnapshot, 0, n)
	}
	var name, taskPath string // the same for tasks that were spawned in a loop
	for i, t := range tasks {
		if n := t.Name(); n != name || i == 0 {
			name, taskPath = n, path+"/"+n
		}
		shot.Tasks = append(shot.Tasks, t.snapshot(name, taskPath, states[i], v.stacks.Of(t)))
	}
	for _, c := range calls {
		shot.Tasks = append(shot.Tasks, c.snapshot(path, v.stacks.Of(c)))
	}
	for _, c := range slices.Backward(children) {
		below := c.snapshot(path+"/"+c.Name(), v)
		if below.State != Closed || len(below.Tasks)+len(below.Scopes) > 0 {
			shot.Scopes = append(shot.Scopes, below)
		}
	}
	return shot
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
	ctx        context.Context // done when no answer is waited for any more
	cancel     func()          // releases ctx; nil if nothing has been asked
	withStacks bool
	stacks     stackdump.Stacks // nil without
	asked      []question
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
	ctx, withStacks := v.ctx, v.withStacks
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
		return scope.(*Scope).survey(ctx, stacks)
	},
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

// The frames by which the stack of a task, of a body, or of a call of Blocking is
// recognized in a dump. They must name Task.call, Scope.callBody and call.run.
const (
	taskFrame = "traigo.(*Task).call("
	bodyFrame = "traigo.(*Scope).callBody("
	callFrame = "traigo.(*call).run("

	blockedFrame = "traigo.(*blocked).wait("

	awaitFrame = "traigo.(*Scope).await("
	joinFrame  = "traigo.(*Scope).join("
)

func findStacks(dump []byte) stackdump.Stacks {
	return stackdump.Find(dump, taskFrame, bodyFrame, callFrame)
}
