package export

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/traigo/traigo/record/history"
)

// deepest is how far the tree is indented: further down it goes on at that place.
const deepest = 60

// foldFrom is how many siblings have to be alike to be drawn as one.
const foldFrom = 5

// Tree draws the tree of scopes and tasks as text: how each ended, after what
// time, and who ended it. Siblings that are alike, in all that is below them too, are
// drawn as one, with their number. What is known to be missing is said above.
//
// The idea is trio-vis's print_task_tree.
func Tree(w io.Writer, h *history.History) error {
	return writeTo(w, func(out sink) {
		out.text(headline(h))
		out.text("\n")
		for _, warning := range warnings(h) {
			out.text("! " + warning + "\n")
		}
		d := &drawing{history: h, out: out, kinds: make(map[string]int), known: make(culprits)}
		if s := firstFailed(h); s != nil {
			out.text("First to fail: " + oneLine(s.Path(), most) + ", after " + span(h, s.Canceled-s.Opened) + ": " + d.causeNote(s) + "\n")
		}
		out.text("\n")
		var roots []*node
		for _, s := range h.Scopes {
			if s.Parent == nil {
				roots = append(roots, d.scope(s))
			}
		}
		for _, g := range grouped(roots, foldFrom) {
			d.draw(g, "", "")
		}
	})
}

// A node is a scope or a task with what is below it.
type node struct {
	scope *history.Scope
	task  *history.Task // nil: it is the scope itself
	kind  int           // the same for those that look alike, apart from times and errors
	below []*node
}

// A group is some nodes that are drawn as one.
type group []*node

type drawing struct {
	history *history.History
	out     sink
	kinds   map[string]int
	known   culprits
	depth   int
}

func (d *drawing) scope(s *history.Scope) *node {
	n := &node{scope: s}
	for _, t := range s.Tasks {
		n.below = append(n.below, d.task(t))
	}
	for _, c := range s.Scopes {
		if c.By == nil {
			n.below = append(n.below, d.scope(c))
		}
	}
	slices.SortStableFunc(n.below, func(a, b *node) int { return cmp.Compare(a.begin(), b.begin()) })
	cause := ""
	if s.Cause != nil {
		cause = s.Cause.Kind
	}
	n.kind = d.kindOf(n, "scope", s.Name, string(s.State), cause, strconv.FormatBool(s.Failed()))
	return n
}

func (d *drawing) task(t *history.Task) *node {
	n := &node{scope: t.Scope, task: t}
	for _, s := range t.Scopes {
		n.below = append(n.below, d.scope(s))
	}
	n.kind = d.kindOf(n, "task", t.Name, string(t.State), strconv.FormatBool(t.Master), "")
	return n
}

// kindOf numbers how things look: what is below counts, how often does not.
func (d *drawing) kindOf(n *node, looks ...string) int {
	below := make([]int, 0, len(n.below))
	for _, b := range n.below {
		below = append(below, b.kind)
	}
	slices.Sort(below)
	var key strings.Builder
	for _, look := range looks {
		key.WriteString(strconv.Quote(look))
	}
	for _, kind := range slices.Compact(below) {
		key.WriteString(strconv.Itoa(kind))
		key.WriteByte(' ')
	}
	kind, known := d.kinds[key.String()]
	if !known {
		kind = len(d.kinds)
		d.kinds[key.String()] = kind
	}
	return kind
}

func (n *node) begin() time.Duration {
	if n.task != nil {
		return n.task.Spawned
	}
	return n.scope.Opened
}

func (n *node) end() time.Duration {
	if n.task != nil {
		return n.task.Ended
	}
	return n.scope.Closed
}

// grouped puts those that are alike together, at the place of the first, where there
// are enough of them.
func grouped(nodes []*node, enough int) (groups []group) {
	count := make(map[int]int)
	for _, n := range nodes {
		count[n.kind]++
	}
	place := make(map[int]int)
	for _, n := range nodes {
		at, known := place[n.kind]
		switch {
		case count[n.kind] < enough:
			groups = append(groups, group{n})
		case !known:
			place[n.kind] = len(groups)
			groups = append(groups, group{n})
		default:
			groups[at] = append(groups[at], n)
		}
	}
	return groups
}

// draw writes a group with the branch that leads to it, and what is below it with the
// stem that goes past it.
func (d *drawing) draw(g group, branch, stem string) {
	d.out.text(branch)
	d.out.text(d.describe(g))
	d.out.text("\n")
	below, enough := g[0].below, foldFrom
	if len(g) > 1 {
		below, enough = nil, 1
		for _, n := range g {
			below = append(below, n.below...)
		}
	}
	groups := grouped(below, enough)
	d.depth++
	for i, b := range groups {
		branch, past := stem+"├─ ", stem+"│  "
		if i == len(groups)-1 {
			branch, past = stem+"└─ ", stem+"   "
		}
		if d.depth > deepest {
			past = stem
		}
		d.draw(b, branch, past)
	}
	d.depth--
}

// What failed first.

// firstFailed returns the scope that was the first to fail on its own account: where a
// failure went up through several at once, the innermost. It is nil if none failed.
func firstFailed(h *history.History) (first *history.Scope) {
	for _, s := range h.Scopes {
		if !failedItself(s) {
			continue
		}
		if first == nil || s.Canceled < first.Canceled || s.Canceled == first.Canceled && isBelow(s, first) {
			first = s
		}
	}
	return first
}

// failedItself tells a scope that failed from one that ended with what it was in.
func failedItself(s *history.Scope) bool {
	if s.Cause == nil || s.Canceled == history.Never {
		return false
	}
	switch s.Cause.Kind {
	case "task failed", "body failed", "panicked", "timeout":
		return true
	default:
		return false
	}
}

func isBelow(s, up *history.Scope) bool {
	for s = s.Parent; s != nil; s = s.Parent {
		if s == up {
			return true
		}
	}
	return false
}

func headline(h *history.History) string {
	parts := []string{oneLine(title(h), most)}
	add := func(format string, args ...any) { parts = append(parts, fmt.Sprintf(format, args...)) }
	if !h.Started.IsZero() {
		add("%s", h.Started.UTC().Format("2006-01-02 15:04:05 UTC"))
	}
	if h.PID != 0 {
		add("pid %d", h.PID)
	}
	if h.Go != "" {
		add("%s", oneLine(h.Go, 40))
	}
	tasks := 0
	for _, s := range h.Scopes {
		tasks += len(s.Tasks)
	}
	add("%s", plural(uint64(len(h.Scopes)), "scope"))
	add("%s", plural(uint64(tasks), "task"))
	add("%s", span(h, h.End))
	return strings.Join(parts, ", ")
}

// describe is the line for a group: its first member stands for all.
func (d *drawing) describe(g group) string {
	n := g[0]
	var b strings.Builder
	if n.task != nil {
		b.WriteString(symbol(n.task) + " ")
	}
	name := n.scope.Name
	if n.task != nil {
		name = n.task.Name
	}
	b.WriteString(oneLine(name, most))
	if len(g) > 1 {
		fmt.Fprintf(&b, " [×%s]", thousands(uint64(len(g))))
	}
	b.WriteString("  " + d.lasted(g))
	notes := d.scopeNotes(n.scope)
	if n.task != nil {
		notes = taskNotes(n.task)
	}
	if notes != "" {
		b.WriteString("  " + notes)
		if g.differ() {
			b.WriteString(", and other errors")
		}
	}
	return b.String()
}

// differ reports whether not all of the group have the error of the first.
func (g group) differ() bool {
	for _, n := range g {
		if n.task != nil && reason(n.task) != reason(g[0].task) {
			return true
		}
		if n.task == nil && errOf(n.scope) != errOf(g[0].scope) {
			return true
		}
	}
	return false
}

// errOf is the error that scopeNotes shows.
func errOf(s *history.Scope) string {
	if s.Cause != nil {
		return s.Cause.Err
	}
	return s.Err
}

func symbol(t *history.Task) string {
	switch t.State {
	case history.TaskOK:
		return "✓"
	case history.TaskFailed, history.TaskPanicked, history.TaskExited:
		return "✗"
	case history.TaskCanceled:
		return "○"
	case history.TaskStuck:
		return "!"
	case history.TaskLost:
		return "?"
	case history.TaskQueued, history.TaskRunning:
	}
	return "▶"
}

func taskNotes(t *history.Task) string {
	var notes []string
	if t.Master {
		notes = append(notes, "master")
	}
	switch t.State {
	case history.TaskOK:
		if t.Stuck != history.Never {
			notes = append(notes, "was given up")
		}
	case history.TaskQueued:
		notes = append(notes, "never started")
	case history.TaskRunning:
		notes = append(notes, "still running")
	case history.TaskStuck:
		notes = append(notes, "given up, still running")
	case history.TaskLost:
		notes = append(notes, "ended in a gap of the log")
	default:
		note := string(t.State)
		if why := reason(t); why != "" {
			note += ": " + oneLine(why, most)
		}
		notes = append(notes, note)
	}
	if n := len(t.Abandoned); n > 0 {
		notes = append(notes, "abandoned "+plural(uint64(n), "call"))
	}
	return strings.Join(notes, ", ")
}

// reason is the error, if it says more than the name and the state do.
func reason(t *history.Task) string {
	switch t.State {
	case history.TaskFailed:
		return t.Err
	case history.TaskPanicked:
		if _, value, found := strings.Cut(t.Err, " panicked: "); found {
			return value
		}
		return t.Err
	default:
		return ""
	}
}

func (d *drawing) scopeNotes(s *history.Scope) string {
	var notes []string
	switch {
	case s.State == history.ScopeLost:
		notes = append(notes, "closed in a gap of the log")
	case s.Closed == history.Never:
		notes = append(notes, "still "+string(s.State))
	}
	if s.Cause != nil && (s.Cause.Kind != "completed" || s.Cause.Err != "") {
		notes = append(notes, d.causeNote(s))
	} else if s.Err != "" {
		notes = append(notes, "failed: "+oneLine(s.Err, most))
	}
	if n := strings.Count(s.Err, "; also: "); n > 0 {
		notes = append(notes, plural(uint64(n), "error")+" more")
	}
	if n := len(s.Abandoned); n > 0 {
		notes = append(notes, "abandoned "+plural(uint64(n), "call"))
	}
	return strings.Join(notes, ", ")
}

// causeNote says why s ended, and who was it.
func (d *drawing) causeNote(s *history.Scope) string {
	note := oneLine(s.Cause.Kind, most)
	by := d.known.of(s)
	switch task, scope := by.task, by.scope; {
	case s.Cause.Kind == parentCanceled && task != nil:
		return note + " ← " + oneLine(shortPath(task.Scope)+"/"+task.Name, most)
	case s.Cause.Kind == parentCanceled && scope != nil && scope != s:
		return note + " ← " + oneLine(shortPath(scope), most) + ": " + oneLine(scope.Cause.String(), most)
	case task != nil:
		note += " ← " + oneLine(task.Name, most)
	}
	if s.Cause.Err != "" {
		note += ": " + oneLine(s.Cause.Err, most)
	}
	return note
}

// lasted is how long the group took, each for itself: at least, where it had not ended.
func (d *drawing) lasted(g group) string {
	shortest, longest, least := time.Duration(-1), time.Duration(0), ""
	for _, n := range g {
		end := n.end()
		if end == history.Never {
			end, least = max(d.history.End, n.begin()), "≥"
		}
		took := end - n.begin()
		longest = max(longest, took)
		if shortest < 0 || took < shortest {
			shortest = took
		}
	}
	low, high := span(d.history, shortest), span(d.history, longest)
	if low == high {
		return least + high
	}
	return least + low + "–" + high
}
