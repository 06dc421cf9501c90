package export

import (
	"cmp"
	"encoding/json"
	"io"
	"slices"
	"strconv"
	"time"

	"github.com/traigo/traigo/record/history"
	"github.com/traigo/traigo/record/internal/sclogs"
)

// SCLogs writes the history to w as the sc-logs.json of Python's trio-vis, for its
// visualizer sc-vis.
//
// Names get numbers, as they have to be unique. The format has no place for states and
// errors: they are written in brackets after the name. A task or scope that ends after its
// scope is cut off at the end of that and marked [straggler]; an unfinished one ends with the
// log and is marked [running]. A scope with nothing in it gets a task for its body, as the
// visualizer does not draw an empty scope. Times are in seconds.
//
// [history.ReadSCLogs] reads the file back, except for what the format cannot hold.
func SCLogs(w io.Writer, h *history.History) error {
	sc := &scWriter{history: h, names: make(scNames), records: make([]scRecord, 0, maxRecords(h))}
	for _, s := range h.Scopes {
		if s.Parent == nil {
			sc.scope(s, nil, 0, max(h.End, s.Opened))
		}
	}
	slices.SortFunc(sc.records, func(a, b scRecord) int { return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.order, b.order)) })
	return writeTo(w, func(out sink) {
		out.text("{\"config\":{\"makeDirectScopeTransparent\":true},\n\"runRecords\":[")
		var b []byte
		for i, r := range sc.records {
			b = append(b[:0], '\n')
			if i > 0 {
				b = append(b[:0], ",\n"...)
			}
			out.bytes(r.append(b))
		}
		about, _ := json.Marshal(aboutOf(h))
		out.text("\n],\n\"about\":")
		out.bytes(about)
		out.text("}\n")
	})
}

func aboutOf(h *history.History) sclogs.About {
	return sclogs.About{
		Traigo: 1, Unit: "s", T0: h.Started, Run: h.Run, PID: h.PID, Go: h.Go, Program: h.Program,
		Closed: h.Closed, Truncated: h.Truncated, Damaged: h.Damaged, Lost: lossesOf(h),
	}
}

func lossesOf(h *history.History) (losses []sclogs.Loss) {
	for _, l := range h.Losses {
		losses = append(losses, sclogs.Loss{At: l.At, Lines: l.Lines, Why: l.Why})
	}
	return losses
}

// maxRecords returns how many records there can be: two for each scope, task, wrapper of a
// task, and body with its wrapper.
func maxRecords(h *history.History) (n int) {
	for _, s := range h.Scopes {
		n += 2 + 4*max(1, len(s.Tasks))
	}
	return n
}

// An scWriter collects the records of a file by walking the tree. Records are sorted by
// time, and those of the same time by their order in that walk, in which parents begin
// before their children and exit after them.
type scWriter struct {
	history *history.History
	names   scNames
	records []scRecord
}

type scRecord struct {
	at    time.Duration
	order int
	node  *scNode
	exit  bool
}

// An scNode is a scope or task of the file, or the wrapper of a task, which has the name of
// the task and more.
type scNode struct {
	name              string
	isTask, isWrapper bool
	parent            *scNode // nil for a root
}

func (n *scNode) appendName(b []byte) []byte {
	b = appendQuoted(b, n.name)
	if n.isWrapper {
		b = append(b[:len(b)-1], sclogs.Wrapper+`"`...)
	}
	return b
}

func (r scRecord) append(b []byte) []byte {
	b = append(b, `{"time":`...)
	b = strconv.AppendFloat(b, r.at.Seconds(), 'f', -1, 64)
	if r.exit {
		b = append(b, `,"desc":"exited","name":`...)
	} else {
		b = append(b, `,"desc":"created","name":`...)
	}
	b = r.node.appendName(b)
	kind := "scope"
	if r.node.isTask {
		kind = "task"
	}
	b = append(b, `,"type":"`...)
	b = append(b, kind...)
	b = append(b, '"')
	if r.node.parent != nil { // absent for a root, never null
		b = r.node.parent.appendName(append(b, `,"parent":`...))
	}
	return append(b, '}')
}

func (sc *scWriter) add(n *scNode, at time.Duration, exit bool) {
	sc.records = append(sc.records, scRecord{at: at, order: len(sc.records), node: n, exit: exit})
}

// scope adds a scope, cut off at lo and hi, the times of its parent.
func (sc *scWriter) scope(s *history.Scope, parent *scNode, lo, hi time.Duration) {
	begin := min(max(s.Opened, lo), hi)
	end, late := min(hi, max(until(sc.history, s), begin)), s.Closed > hi || s.Closed == history.Never && hi < until(sc.history, s)
	if s.Closed != history.Never {
		end = min(max(s.Closed, begin), hi)
	}
	base := scName(s.Name, "scope")
	n := &scNode{name: sc.names.unique(base) + scopeMarks(s, late), parent: parent}
	sc.add(n, begin, false)
	if len(s.Tasks) == 0 && len(s.Scopes) == 0 {
		sc.leaf(base+sclogs.Body, "", n, begin, end, nil)
	}
	for _, t := range s.Tasks {
		sc.task(t, n, begin, end)
	}
	for _, c := range s.Scopes {
		if !withinTask(c) {
			sc.scope(c, n, begin, end)
		}
	}
	sc.add(n, end, true)
}

func (sc *scWriter) task(t *history.Task, parent *scNode, lo, hi time.Duration) {
	begin := min(max(t.Spawned, lo), hi)
	end, late := min(hi, max(until(sc.history, t.Scope), begin)), t.Ended > hi || t.Unfinished() && hi < until(sc.history, t.Scope)
	if t.Ended != history.Never {
		end = min(max(t.Ended, begin), hi)
	}
	sc.leaf(scName(t.Name, "task"), taskMarks(t, late), parent, begin, end, t.Scopes)
}

// leaf adds a task in its wrapper. The wrapper is also the parent of the scopes that the
// task has opened, as a task cannot be a parent in this format.
func (sc *scWriter) leaf(base, marks string, parent *scNode, begin, end time.Duration, below []*history.Scope) {
	name := sc.names.unique(base) + marks
	around := &scNode{name: name, isWrapper: true, parent: parent}
	task := &scNode{name: name, isTask: true, parent: around}
	sc.add(around, begin, false)
	sc.add(task, begin, false)
	for _, s := range below {
		if withinTask(s) {
			sc.scope(s, around, begin, end)
		}
	}
	sc.add(task, end, true)
	sc.add(around, end, true)
}

// withinTask reports whether the scope can be put into the task that opened it. A scope of
// New may end after that task; it is put beside the task.
func withinTask(s *history.Scope) bool {
	if s.By == nil || s.Opened < s.By.Spawned {
		return false
	}
	return s.By.Unfinished() || s.Closed != history.Never && s.Closed <= s.By.Ended
}

// scNames makes names unique by numbers, as trio-vis does: fetch-0, fetch-1, …
type scNames map[string]int

// unique returns a name that it has not returned before. It always appends a number, so that
// a name that ends in a number cannot equal the result for another name.
func (names scNames) unique(base string) string {
	n := names[base]
	names[base]++
	return base + "-" + strconv.Itoa(n)
}

// scName returns a name without parts that look like marks; ifEmpty if there is none.
func scName(name, ifEmpty string) string {
	if name == "" {
		return ifEmpty
	}
	return sclogs.Unmarked(oneLine(name, 200))
}

func scMark(word, why string) string { return sclogs.Mark(word, oneLine(why, 80)) }

func scopeMarks(s *history.Scope, late bool) (marks string) {
	switch {
	case s.Cause != nil && s.Cause.Kind == parentCanceled:
		marks += scMark(parentCanceled, "") // the parent's mark has the error
	case s.Cause != nil && s.Cause.Kind != "completed":
		marks += scMark(s.Cause.Kind, s.Cause.Err)
	case s.Err != "":
		marks += scMark("failed", s.Err)
	}
	return marks + endMarks(late, s.State == history.ScopeLost, s.Closed == history.Never)
}

func taskMarks(t *history.Task, late bool) (marks string) {
	switch t.State {
	case history.TaskFailed, history.TaskPanicked:
		marks = scMark(string(t.State), reason(t))
	case history.TaskQueued, history.TaskStuck, history.TaskCanceled, history.TaskExited:
		marks = scMark(string(t.State), "")
	case history.TaskOK, history.TaskRunning, history.TaskLost:
	}
	return marks + endMarks(late, t.State == history.TaskLost, t.Unfinished())
}

func endMarks(late, lost, unfinished bool) (marks string) {
	if lost {
		marks += scMark("lost", "")
	}
	if unfinished {
		marks += scMark("running", "")
	}
	if late {
		marks += scMark("straggler", "")
	}
	return marks
}
