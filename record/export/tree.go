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
	"github.com/traigo/traigo/record/story"
)

const (
	maxIndent = 16  // levels; those below are indented by one column only, and have their number
	maxNarrow = 200 // levels; those below are not indented further
	minFold   = 5   // siblings of one name that are written as one line
	maxErrors = 3   // kinds of errors in a fold that are written
	maxPlaces = 20  // groups of a census that are written
	maxChars  = 160 // of a name or an error
	maxWay    = 50  // of a path to where a failure began
)

// Tree writes the history to w as a tree of scopes and tasks in text: how long each took, how
// it ended, and the cause of its cancellation. Above the tree is what happened, in words, as
// package story tells it, and below it what tasks waited for when the log stopped, if the log
// says so.
//
// Five or more siblings whose names differ at most in numbers are written as one line, with
// their number, the median and the 99th percentile of their times, and how many of them
// failed, were canceled, or had not ended. Lines below it, with an arrow, have the outliers:
// each kind of error with the first that has it, what had not ended, and the slowest. They
// give the ID that [story.Find] takes.
//
// It is the print_task_tree of trio-vis for a recording.
func Tree(w io.Writer, h *history.History) error {
	return writeTo(w, func(out sink) {
		t := &treeWriter{history: h, out: out, causes: story.CausesOf(h), culprits: make(culprits), slowest: make(map[*node]bool), waiting: make(map[*history.Task]story.Wait)}
		for _, wait := range story.Waits(h) {
			if wait.Task != nil {
				t.waiting[wait.Task] = wait
			}
		}
		out.text(headline(h) + "\n")
		for _, line := range t.causes.Story(h) {
			out.text(signs[line.Tone] + " " + Line(line.String()) + "\n")
		}
		out.text("\n")
		var roots []*node
		for _, s := range h.Scopes {
			if s.Parent == nil {
				roots = append(roots, scopeNode(s, nil))
			}
		}
		for _, g := range fold(roots, minFold) {
			t.write(g, "", "")
		}
		t.waits()
	})
}

// signs are what lines of the story begin with, by their tone.
var signs = map[string]string{"ok": "✓", "stopped": "□", "lost": "?", "canceled": "○", "unfinished": "▶", "stuck": "!", "failed": "✗"}

// A node is a scope or task with its children.
type node struct {
	scope    *history.Scope // the scope itself, or that of the task
	task     *history.Task  // nil for a scope
	up       *node          // nil for a root
	children []*node
}

// A group is one or more nodes that are written as one line.
type group []*node

// A treeWriter writes nodes.
type treeWriter struct {
	history  *history.History
	out      sink
	causes   *story.Causes
	culprits culprits
	depth    int                          // of the node being written
	slowest  map[*node]bool               // those that have been written as such
	waiting  map[*history.Task]story.Wait // what unfinished tasks wait for
}

func scopeNode(s *history.Scope, up *node) *node {
	n := &node{scope: s, up: up}
	for _, t := range s.Tasks {
		task := &node{scope: s, task: t, up: n}
		for _, below := range t.Scopes {
			task.children = append(task.children, scopeNode(below, task))
		}
		n.children = append(n.children, task)
	}
	for _, c := range s.Scopes {
		if c.By == nil {
			n.children = append(n.children, scopeNode(c, n))
		}
	}
	slices.SortStableFunc(n.children, func(a, b *node) int { return cmp.Compare(a.begin(), b.begin()) })
	return n
}

func (n *node) name() string {
	if n.task != nil {
		return n.task.Name
	}
	return n.scope.Name
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

// took returns how long a node took, up to the end of its process if it had not ended.
func (w *treeWriter) took(n *node) time.Duration {
	end := n.end()
	if end == history.Never {
		end = max(until(w.history, n.scope), n.begin())
	}
	return end - n.begin()
}

// fold groups the nodes of one name, but for numbers, at the place of the first of them, if
// there are at least that many.
func fold(nodes []*node, atLeast int) (groups []group) {
	type kind struct {
		isTask, beginsProcess bool
		name                  string
	}
	keys, count := make([]kind, len(nodes)), make(map[kind]int)
	for i, n := range nodes {
		keys[i] = kind{n.task != nil, n.task == nil && n.scope.BeginsProcess(), story.FoldName(n.name())}
		count[keys[i]]++
	}
	place := make(map[kind]int)
	for i, n := range nodes {
		at, known := place[keys[i]]
		switch {
		case count[keys[i]] < atLeast:
			groups = append(groups, group{n})
		case !known:
			place[keys[i]] = len(groups)
			groups = append(groups, group{n})
		default:
			groups[at] = append(groups[at], n)
		}
	}
	return groups
}

// write writes the subtree of a group. branch precedes the line of the group, and indent
// those of its children. The children of all members are folded again, in any number.
func (w *treeWriter) write(g group, branch, indent string) {
	level := ""
	if w.depth > maxIndent {
		level = "[" + strconv.Itoa(w.depth) + "] "
	}
	w.out.text(branch + level + w.line(g) + "\n")
	children, atLeast := g[0].children, minFold
	var outliers []string
	if len(g) > 1 {
		children, atLeast = nil, 1
		for _, n := range g {
			children = append(children, n.children...)
		}
		outliers = w.outliers(g)
	}
	groups := fold(children, atLeast)
	w.depth++
	for i, text := range outliers {
		branch := indent + "├─ "
		if i == len(outliers)-1 && len(groups) == 0 {
			branch = indent + "└─ "
		}
		w.out.text(branch + "↳ " + text + "\n")
	}
	for i, child := range groups {
		branch, below := indent+"├─ ", indent+"│  "
		if i == len(groups)-1 {
			branch, below = indent+"└─ ", indent+"   "
		}
		switch {
		case w.depth >= maxNarrow:
			below = indent
		case w.depth >= maxIndent:
			below = indent + strings.TrimRight(below[len(indent):], " ")
			if i == len(groups)-1 {
				below = indent + " "
			}
		}
		w.write(child, branch, below)
	}
	w.depth--
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
	add("%s", story.Duration(h, h.End))
	return strings.Join(parts, ", ")
}

// line returns the line of a group.
func (w *treeWriter) line(g group) string {
	n := g[0]
	sign := ""
	if n.task != nil {
		sign = w.symbol(n.task) + " "
	}
	if len(g) > 1 {
		return w.foldLine(g)
	}
	line := sign + oneLine(n.name(), maxChars) + "  " + w.duration(n)
	var notes []string
	if n.task != nil {
		notes = w.taskNotes(n.task)
	} else {
		notes = append(w.processNote(g), w.scopeNotes(n.scope)...)
	}
	if len(notes) > 0 {
		line += "  " + strings.Join(notes, ", ")
	}
	return line
}

// processNote says which process a group of scopes begins, in a history of several.
func (w *treeWriter) processNote(g group) []string {
	s := g[0].scope
	if g[0].task != nil || !isTree(w.history) || !s.BeginsProcess() {
		return nil
	}
	processes, died := make(map[*history.Process]bool), 0
	for _, n := range g {
		if processes[n.scope.Process] = true; n.scope.Process.Died() {
			died++
		}
	}
	note := "process " + strconv.Itoa(s.Process.PID)
	if len(processes) > 1 {
		note = pluralOf(uint64(len(processes)), "process", "processes")
	}
	switch died {
	case 0:
	case len(g):
		note += " crashed or killed"
	default:
		note += ", " + strconv.Itoa(died) + " crashed or killed"
	}
	return []string{note}
}

func (w *treeWriter) symbol(t *history.Task) string {
	switch t.State {
	case history.TaskOK:
		if w.causes.CutShort(t) {
			return "○"
		}
		return "✓"
	case history.TaskFailed, history.TaskPanicked, history.TaskExited:
		return "✗"
	case history.TaskCanceled:
		if w.causes.Stopped(story.Span{Scope: t.Scope, Task: t}) {
			return "□"
		}
		return "○"
	case history.TaskStuck:
		return "!"
	case history.TaskLost:
		return "?"
	case history.TaskQueued, history.TaskRunning:
	}
	return "▶"
}

func (w *treeWriter) taskNotes(t *history.Task) (notes []string) {
	if t.Master {
		notes = append(notes, "master")
	}
	switch t.State {
	case history.TaskOK:
		switch {
		case t.Stuck != history.Never:
			notes = append(notes, "was given up")
		case w.causes.CutShort(t):
			notes = append(notes, "canceled, returned nil")
		}
	case history.TaskQueued:
		notes = append(notes, "never started")
	case history.TaskRunning:
		notes = append(notes, w.running(t))
	case history.TaskStuck:
		notes = append(notes, "given up, "+w.running(t))
	case history.TaskLost:
		notes = append(notes, "ended in a gap of the log")
	case history.TaskCanceled:
		if w.causes.Stopped(story.Span{Scope: t.Scope, Task: t}) {
			notes = append(notes, "stopped")
		} else {
			notes = append(notes, "canceled")
		}
	default:
		notes = append(notes, w.failure(t))
	}
	if n := len(t.Abandoned); n > 0 {
		notes = append(notes, "abandoned "+plural(uint64(n), "call"))
	}
	return notes
}

// failure says how a task failed, or where the failure is from that it passed on.
func (w *treeWriter) failure(t *history.Task) string {
	note := string(t.State)
	if _, path := w.causes.First(story.Span{Scope: t.Scope, Task: t}, maxWay); path != "" {
		return note + " ← " + Line(path)
	}
	if s := w.causes.Ended(t); s != nil && t.State == history.TaskPanicked && s.Cause.At != "" {
		note += " at " + oneLine(s.Cause.At, maxChars)
	}
	if why := reason(t); why != "" {
		note += ": " + oneLine(story.Innermost(why), maxChars)
	}
	return note
}

// running says what a task does that has started and not ended, as far as that is known.
func (w *treeWriter) running(t *history.Task) string {
	wait, note := w.waiting[t], unfinished(t.Scope, "running")
	switch {
	case wait.What == "":
		return note
	case wait.Waits():
		return note + ", in " + oneLine(wait.What, maxChars)
	case t.Scope.Process != nil && t.Scope.Process.Died():
		return note + ", " + oneLine(wait.Doing(), maxChars)
	default:
		return oneLine(wait.Doing(), maxChars)
	}
}

// unfinished returns the note of a state that has not ended. It ended with its process, if
// that is known to be gone.
func unfinished(s *history.Scope, state string) string {
	if s.Process != nil && s.Process.Died() {
		return state + " when its process ended"
	}
	return "still " + state
}

func (w *treeWriter) scopeNotes(s *history.Scope) (notes []string) {
	switch {
	case s.State == history.ScopeLost:
		notes = append(notes, "closed in a gap of the log")
	case s.Closed == history.Never:
		notes = append(notes, unfinished(s, string(s.State)))
	}
	if s.Cause != nil && (s.Cause.Kind != "completed" || s.Cause.Err != "") {
		notes = append(notes, w.causeNote(s))
	} else if s.Err != "" && !w.causes.Carries(s) {
		notes = append(notes, "failed: "+oneLine(story.Innermost(s.Err), maxChars))
	}
	if w.causes.Carries(s) {
		notes = append(notes, "its outcome is that tasks did not end")
	} else if n := strings.Count(s.Err, "; also: "); n > 0 {
		notes = append(notes, plural(uint64(n), "error")+" more")
	}
	if toll := w.causes.Toll(s); toll.Total() > 0 && w.causes.IsFirst(s) {
		notes = append(notes, toll.String()+" canceled because of it")
	}
	if n := len(s.Abandoned); n > 0 {
		notes = append(notes, "abandoned "+plural(uint64(n), "call"))
	}
	return notes
}

// causeNote says why s ended, and which scope or task was the cause. What a failure was is said
// there.
func (w *treeWriter) causeNote(s *history.Scope) string {
	note := oneLine(s.Cause.Kind, maxChars)
	if _, path := w.causes.First(story.Span{Scope: s}, maxWay); path != "" {
		return note + " ← " + Line(path)
	}
	if w.causes.Stopped(story.Span{Scope: s}) {
		note = "stopped"
	}
	by := w.culprits.of(s)
	switch task, scope := by.task, by.scope; {
	case task != nil && scope != s:
		return note + " ← " + Line(story.TaskPath(task, maxChars)) + won(scope)
	case scope != nil && scope != s:
		note += " ← " + Line(story.Path(scope, maxChars)) + ": " + oneLine(scope.Cause.Kind, maxChars)
		s = scope
	case task != nil && won(s) != "":
		note = "won by ← " + oneLine(task.Name, maxChars)
	case task != nil:
		note += " ← " + oneLine(task.Name, maxChars)
	}
	if s.Cause.At != "" {
		note += " at " + oneLine(s.Cause.At, maxChars)
	}
	if s.Cause.Err != "" && s.Cause.Kind != "timeout" {
		note += ": " + oneLine(story.Innermost(s.Cause.Err), maxChars)
	}
	return note
}

// won returns a note if a scope ended because a task of it had won, as in a Race; otherwise "".
func won(s *history.Scope) string {
	if c := s.Cause; c != nil && c.Kind == "master ended" && c.By != nil && !c.By.Master {
		return ", which won"
	}
	return ""
}

// duration returns how long a node took, with "≥" if it is unfinished.
func (w *treeWriter) duration(n *node) string {
	took := story.Duration(w.history, w.took(n))
	if n.end() == history.Never {
		return "≥" + took
	}
	return took
}

// waits writes the last census of each process whose log stops short.
func (w *treeWriter) waits() {
	censuses := story.LastCensuses(w.history)
	for _, p := range w.history.Processes {
		c := censuses[p]
		if c == nil || p.Closed {
			continue
		}
		in := ""
		if isTree(w.history) {
			in = " in " + nameOf(p)
		}
		w.out.text(fmt.Sprintf("\nWhat waited for what%s at %s (%s; %s):\n", in, story.Duration(w.history, c.At), oneLine(c.Why, maxChars), plural(uint64(max(c.Goroutines, 0)), "goroutine")))
		lines := story.WaitsIn(w.history, c)
		for i, line := range lines {
			if i == maxPlaces && len(lines) > maxPlaces+1 {
				w.out.text(fmt.Sprintf("  … and at %s more\n", plural(uint64(len(lines)-i), "place")))
				break
			}
			w.out.text("  " + Line(line.String()) + "\n")
		}
		if c.More > 0 {
			w.out.text(fmt.Sprintf("  … and %s more\n", plural(uint64(c.More), "task")))
		}
	}
}

// Line returns s for a terminal: the first line of it, in which characters that could control
// the terminal, or reverse the direction of the text around them, are escaped.
func Line(s string) string { return oneLine(s, len(s)+1) }
