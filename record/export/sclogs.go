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

// SCLogs writes the history as the sc-logs.json of Python's trio-vis, which its
// visualizer sc-vis draws. It is stricter than it says, so names are made unique by
// numbers; what its format has no word for, such as errors, is in brackets behind the
// names; what outlives its scope is cut off there and called [straggler], what has no
// end ends with the log and is called [running]. A scope with nothing in it gets a
// task that stands for its body. Times are seconds.
//
// [history.ReadSCLogs] reads it back, less what is not in the format.
func SCLogs(w io.Writer, h *history.History) error {
	sc := &scWriter{history: h, names: newSCNames()}
	for _, s := range h.Scopes {
		if s.Parent == nil {
			sc.scope(s, "", 0, max(h.End, s.Opened))
		}
	}
	slices.SortFunc(sc.events, func(a, b scEvent) int { return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.turn, b.turn)) })
	return writeTo(w, func(out sink) {
		out.text("{\"config\":{\"makeDirectScopeTransparent\":true},\n\"runRecords\":[")
		var b []byte
		for i, e := range sc.events {
			b = append(b[:0], '\n')
			if i > 0 {
				b = append(b[:0], ",\n"...)
			}
			out.bytes(e.append(b))
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
		losses = append(losses, sclogs.Loss(l))
	}
	return losses
}

// An scWriter walks the tree and notes what begins and ends. The turn is the place in
// that walk: of what happens at one moment, parents come before their children where
// they begin, and after them where they end.
type scWriter struct {
	history *history.History
	names   scNames
	events  []scEvent
	turn    int
}

type scEvent struct {
	at   time.Duration
	turn int
	node *scDrawn
	ends bool
}

// An scDrawn is a name with quotes around it, and where it is.
type scDrawn struct{ name, kind, parent string }

func (e scEvent) append(b []byte) []byte {
	b = append(b, `{"time":`...)
	b = strconv.AppendFloat(b, e.at.Seconds(), 'f', -1, 64)
	if e.ends {
		b = append(b, `,"desc":"exited","name":`...)
	} else {
		b = append(b, `,"desc":"created","name":`...)
	}
	b = append(b, e.node.name...)
	b = append(b, `,"type":"`...)
	b = append(b, e.node.kind...)
	b = append(b, '"')
	if e.node.parent != "" { // absent for a root, never null
		b = append(b, `,"parent":`...)
		b = append(b, e.node.parent...)
	}
	return append(b, '}')
}

func (sc *scWriter) note(n *scDrawn, at time.Duration, ends bool) {
	sc.events = append(sc.events, scEvent{at: at, turn: sc.turn, node: n, ends: ends})
	sc.turn++
}

// scope writes a scope between lo and hi, the times of what it is in.
func (sc *scWriter) scope(s *history.Scope, parent string, lo, hi time.Duration) {
	begin := min(max(s.Opened, lo), hi)
	end, late := hi, s.Closed > hi || s.Closed == history.Never && hi < sc.history.End
	if s.Closed != history.Never {
		end = min(max(s.Closed, begin), hi)
	}
	base := scName(s.Name, "scope")
	n := &scDrawn{name: quoted(sc.names.unique(base) + scopeMarks(s, late)), kind: "scope", parent: parent}
	sc.note(n, begin, false)
	if len(s.Tasks) == 0 && len(s.Scopes) == 0 {
		sc.leaf(base+sclogs.Body, "", n.name, begin, end, nil)
	}
	for _, t := range s.Tasks {
		sc.task(t, n.name, begin, end)
	}
	for _, c := range s.Scopes {
		if !withinTask(c) {
			sc.scope(c, n.name, begin, end)
		}
	}
	sc.note(n, end, true)
}

func (sc *scWriter) task(t *history.Task, parent string, lo, hi time.Duration) {
	begin := min(max(t.Spawned, lo), hi)
	end, late := hi, t.Ended > hi || t.Unfinished() && hi < sc.history.End
	if t.Ended != history.Never {
		end = min(max(t.Ended, begin), hi)
	}
	sc.leaf(scName(t.Name, "task"), taskMarks(t, late), parent, begin, end, t.Scopes)
}

// leaf writes a task in its wrapper, which is also around the scopes that the task
// has opened: a task is the parent of nothing.
func (sc *scWriter) leaf(base, marks, parent string, begin, end time.Duration, below []*history.Scope) {
	name := sc.names.unique(base) + marks
	around := &scDrawn{name: quoted(name + sclogs.Wrapper), kind: "scope", parent: parent}
	task := &scDrawn{name: quoted(name), kind: "task", parent: around.name}
	sc.note(around, begin, false)
	sc.note(task, begin, false)
	for _, s := range below {
		if withinTask(s) {
			sc.scope(s, around.name, begin, end)
		}
	}
	sc.note(task, end, true)
	sc.note(around, end, true)
}

// withinTask reports whether the scope can be drawn inside the task that opened it.
// One of New may outlive that task, and is drawn beside it then.
func withinTask(s *history.Scope) bool {
	if s.By == nil || s.Opened < s.By.Spawned {
		return false
	}
	return s.By.Unfinished() || s.Closed != history.Never && s.Closed <= s.By.Ended
}

// scNames hands out numbers, as trio-vis does: fetch-0, fetch-1, …
type scNames map[string]int

func newSCNames() scNames { return make(scNames) }

// unique never gives the same name twice: the number is always there, so that no other
// name looks like it.
func (names scNames) unique(base string) string {
	n := names[base]
	names[base]++
	return base + "-" + strconv.Itoa(n)
}

// scName is a name without what would look like a mark.
func scName(name, otherwise string) string {
	if name == "" {
		return otherwise
	}
	return sclogs.Unmarked(oneLine(name, 200))
}

func mark(word, why string) string { return sclogs.Mark(word, oneLine(why, 80)) }

func scopeMarks(s *history.Scope, late bool) (marks string) {
	switch {
	case s.Cause != nil && s.Cause.Kind == parentCanceled:
		marks += mark(parentCanceled, "") // why is with the parent
	case s.Cause != nil && s.Cause.Kind != "completed":
		marks += mark(s.Cause.Kind, s.Cause.Err)
	case s.Err != "":
		marks += mark("failed", s.Err)
	}
	return marks + endMarks(late, s.State == history.ScopeLost, s.Closed == history.Never)
}

func taskMarks(t *history.Task, late bool) (marks string) {
	switch t.State {
	case history.TaskFailed, history.TaskPanicked:
		marks = mark(string(t.State), reason(t))
	case history.TaskQueued, history.TaskStuck, history.TaskCanceled, history.TaskExited:
		marks = mark(string(t.State), "")
	case history.TaskOK, history.TaskRunning, history.TaskLost:
	}
	return marks + endMarks(late, t.State == history.TaskLost, t.Unfinished())
}

func endMarks(late, lost, unfinished bool) (marks string) {
	if lost {
		marks += mark("lost", "")
	}
	if unfinished {
		marks += mark("running", "")
	}
	if late {
		marks += mark("straggler", "")
	}
	return marks
}
