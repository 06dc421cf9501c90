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

const (
	maxIndent = 60  // levels; deeper ones are not indented further
	minFold   = 5   // equal siblings that are written as one line
	maxChars  = 160 // of a name or an error
)

// Tree writes the history to w as a tree of scopes and tasks in text: how long each took,
// how it ended, and the cause of its cancellation. Five or more siblings that are equal, with
// everything below them, in all but times and errors are written as one line with their
// number. Above the tree are a line for each kind of information that is missing, and the
// scope that failed first.
//
// It is the print_task_tree of trio-vis for a recording.
func Tree(w io.Writer, h *history.History) error {
	return writeTo(w, func(out sink) {
		out.text(headline(h))
		out.text("\n")
		for _, warning := range warnings(h) {
			out.text("! " + warning + "\n")
		}
		t := &treeWriter{history: h, out: out, kinds: make(map[string]int), culprits: make(culprits)}
		if s := firstFailed(h); s != nil {
			out.text("First to fail: " + oneLine(s.Path(), maxChars) + ", after " + span(h, s.Canceled-s.Opened) + ": " + t.causeNote(s) + "\n")
		}
		out.text("\n")
		var roots []*node
		for _, s := range h.Scopes {
			if s.Parent == nil {
				roots = append(roots, t.scope(s))
			}
		}
		for _, g := range fold(roots, minFold) {
			t.write(g, "", "")
		}
	})
}

// A node is a scope or task with its children.
type node struct {
	scope    *history.Scope // the scope itself, or that of the task
	task     *history.Task  // nil for a scope
	kind     int            // equal for nodes that differ in times and errors only
	children []*node
}

// A group is one or more nodes that are written as one line.
type group []*node

// A treeWriter builds nodes and writes them.
type treeWriter struct {
	history  *history.History
	out      sink
	kinds    map[string]int
	culprits culprits
	depth    int // of the node being written
}

func (w *treeWriter) scope(s *history.Scope) *node {
	n := &node{scope: s}
	for _, t := range s.Tasks {
		n.children = append(n.children, w.task(t))
	}
	for _, c := range s.Scopes {
		if c.By == nil {
			n.children = append(n.children, w.scope(c))
		}
	}
	slices.SortStableFunc(n.children, func(a, b *node) int { return cmp.Compare(a.begin(), b.begin()) })
	cause := ""
	if s.Cause != nil {
		cause = s.Cause.Kind
	}
	process := "" // the scopes of a call may be alike in this process and in others
	if isTree(w.history) && s.BeginsProcess() {
		process = "begins one, which died: " + strconv.FormatBool(s.Process.Died())
	}
	n.kind = w.kindOf(n, "scope", s.Name, string(s.State), cause, strconv.FormatBool(s.Failed()), process)
	return n
}

func (w *treeWriter) task(t *history.Task) *node {
	n := &node{scope: t.Scope, task: t}
	for _, s := range t.Scopes {
		n.children = append(n.children, w.scope(s))
	}
	n.kind = w.kindOf(n, "task", t.Name, string(t.State), strconv.FormatBool(t.Master), "", "")
	return n
}

// kindOf returns the number of a node's kind. It depends on the kinds of the children, not
// on how many children there are of each.
func (w *treeWriter) kindOf(n *node, properties ...string) int {
	kinds := make([]int, 0, len(n.children))
	for _, c := range n.children {
		kinds = append(kinds, c.kind)
	}
	slices.Sort(kinds)
	var key strings.Builder
	for _, p := range properties {
		key.WriteString(strconv.Quote(p))
	}
	for _, kind := range slices.Compact(kinds) {
		key.WriteString(strconv.Itoa(kind))
		key.WriteByte(' ')
	}
	kind, known := w.kinds[key.String()]
	if !known {
		kind = len(w.kinds)
		w.kinds[key.String()] = kind
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

// fold groups nodes of the same kind, at the place of the first of them, if there are at
// least that many.
func fold(nodes []*node, atLeast int) (groups []group) {
	count := make(map[int]int)
	for _, n := range nodes {
		count[n.kind]++
	}
	place := make(map[int]int)
	for _, n := range nodes {
		at, known := place[n.kind]
		switch {
		case count[n.kind] < atLeast:
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

// write writes the subtree of a group. branch precedes the line of the group, and indent
// those of its children. The children of all members are folded again, in any number, as
// the members are equal.
func (w *treeWriter) write(g group, branch, indent string) {
	w.out.text(branch)
	w.out.text(w.line(g))
	w.out.text("\n")
	children, atLeast := g[0].children, minFold
	if len(g) > 1 {
		children, atLeast = nil, 1
		for _, n := range g {
			children = append(children, n.children...)
		}
	}
	groups := fold(children, atLeast)
	w.depth++
	for i, child := range groups {
		branch, below := indent+"├─ ", indent+"│  "
		if i == len(groups)-1 {
			branch, below = indent+"└─ ", indent+"   "
		}
		if w.depth > maxIndent {
			below = indent
		}
		w.write(child, branch, below)
	}
	w.depth--
}

// firstFailed returns the scope that was the first to fail by itself, or nil. If a failure
// was passed up through several scopes at one time, it is the innermost of them.
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

// failedItself reports whether the cause of the end was a failure in the scope itself, and
// not the end of another scope.
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
	parts := []string{oneLine(title(h), maxChars)}
	add := func(format string, args ...any) { parts = append(parts, fmt.Sprintf(format, args...)) }
	if !h.Started.IsZero() {
		add("%s", h.Started.UTC().Format("2006-01-02 15:04:05 UTC"))
	}
	switch {
	case isTree(h):
		add("%s", pluralOf(uint64(len(h.Processes)), "process", "processes"))
	case h.PID != 0:
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

// line returns the line of a group: the name and notes of its first member.
func (w *treeWriter) line(g group) string {
	n := g[0]
	var b strings.Builder
	if n.task != nil {
		b.WriteString(symbol(n.task) + " ")
	}
	name := n.scope.Name
	if n.task != nil {
		name = n.task.Name
	}
	b.WriteString(oneLine(name, maxChars))
	if len(g) > 1 {
		fmt.Fprintf(&b, " [×%s]", thousands(uint64(len(g))))
	}
	b.WriteString("  " + w.duration(g))
	notes := w.scopeNotes(n.scope)
	if n.task != nil {
		notes = taskNotes(n.task)
	} else if process := w.processNote(g); process != "" {
		notes = strings.TrimSuffix(process+", "+notes, ", ")
	}
	if notes != "" {
		b.WriteString("  " + notes)
		if g.differ() {
			b.WriteString(", and other errors")
		}
	}
	return b.String()
}

// processNote says which process a group of scopes begins, in a history of several.
func (w *treeWriter) processNote(g group) string {
	s := g[0].scope
	if !isTree(w.history) || !s.BeginsProcess() {
		return ""
	}
	processes := make(map[*history.Process]bool)
	died := true
	for _, n := range g {
		processes[n.scope.Process] = true
		died = died && n.scope.Process.Died()
	}
	note := "process " + strconv.Itoa(s.Process.PID)
	if len(processes) > 1 {
		note = pluralOf(uint64(len(processes)), "process", "processes")
	}
	if died {
		note += " crashed or killed"
	}
	return note
}

// differ reports whether a member has another error than the first.
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

// errOf returns the error that scopeNotes shows.
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
		notes = append(notes, unfinished(t.Scope, "running"))
	case history.TaskStuck:
		notes = append(notes, "given up, "+unfinished(t.Scope, "running"))
	case history.TaskLost:
		notes = append(notes, "ended in a gap of the log")
	default:
		note := string(t.State)
		if why := reason(t); why != "" {
			note += ": " + oneLine(why, maxChars)
		}
		notes = append(notes, note)
	}
	if n := len(t.Abandoned); n > 0 {
		notes = append(notes, "abandoned "+plural(uint64(n), "call"))
	}
	return strings.Join(notes, ", ")
}

// unfinished returns the note of a state that has not ended. It ended with its process, if
// that is known to be gone.
func unfinished(s *history.Scope, state string) string {
	if s.Process != nil && s.Process.Died() {
		return state + " when its process ended"
	}
	return "still " + state
}

func (w *treeWriter) scopeNotes(s *history.Scope) string {
	var notes []string
	switch {
	case s.State == history.ScopeLost:
		notes = append(notes, "closed in a gap of the log")
	case s.Closed == history.Never:
		notes = append(notes, unfinished(s, string(s.State)))
	}
	if s.Cause != nil && (s.Cause.Kind != "completed" || s.Cause.Err != "") {
		notes = append(notes, w.causeNote(s))
	} else if s.Err != "" {
		notes = append(notes, "failed: "+oneLine(s.Err, maxChars))
	}
	if n := strings.Count(s.Err, "; also: "); n > 0 {
		notes = append(notes, plural(uint64(n), "error")+" more")
	}
	if n := len(s.Abandoned); n > 0 {
		notes = append(notes, "abandoned "+plural(uint64(n), "call"))
	}
	return strings.Join(notes, ", ")
}

// causeNote says why s ended, and which scope or task was the cause.
func (w *treeWriter) causeNote(s *history.Scope) string {
	note := oneLine(s.Cause.Kind, maxChars)
	by := w.culprits.of(s)
	switch task, scope := by.task, by.scope; {
	case task != nil && scope != s:
		return note + " ← " + oneLine(shortPath(task.Scope)+"/"+task.Name, maxChars)
	case scope != nil && scope != s:
		return note + " ← " + oneLine(shortPath(scope), maxChars) + ": " + oneLine(scope.Cause.String(), maxChars)
	case task != nil:
		note += " ← " + oneLine(task.Name, maxChars)
	}
	if s.Cause.Err != "" {
		note += ": " + oneLine(s.Cause.Err, maxChars)
	}
	return note
}

// duration returns the range of the durations of the members, with "≥" if one of them is
// unfinished.
func (w *treeWriter) duration(g group) string {
	shortest, longest, atLeast := time.Duration(-1), time.Duration(0), ""
	for _, n := range g {
		end := n.end()
		if end == history.Never {
			end, atLeast = max(until(w.history, n.scope), n.begin()), "≥"
		}
		took := end - n.begin()
		longest = max(longest, took)
		if shortest < 0 || took < shortest {
			shortest = took
		}
	}
	low, high := span(w.history, shortest), span(w.history, longest)
	if low == high {
		return atLeast + high
	}
	return atLeast + low + "–" + high
}
