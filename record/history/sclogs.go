package history

import (
	"fmt"
	"io"
	"math"
	"strings"
	"time"

	"github.com/traigo/traigo/record/internal/sclogs"
)

// rootName is the name of the scope for tasks that are in no nursery of the file.
const rootName = "trio.run"

// ReadSCLogs reads a sc-logs.json of Python's trio-vis, or one that package record/export
// has written.
//
// A file that ends early is read up to there, and Truncated is set. Unknown keys are
// skipped. A parent that is not in the file is taken as absent and counted in Damaged. Any
// other inconsistency is an error, which gives the index of the record.
//
// In a file of trio-vis a nursery belongs to the task that opened it; tasks without a
// parent are put into a scope "trio.run". A nursery that does not exit is closed at the end
// of its task, since trio-vis does not record the exit of every nursery. Times are
// taken as seconds, unless each time is the index of its record: see History.Ordinal.
// How tasks ended is not in the file: see History.TrioVis.
func ReadSCLogs(r io.Reader) (*History, error) {
	in := newInput(r)
	if start, _ := in.Peek(256); looksBinary(start) != "" {
		return nil, fmt.Errorf("history: this is no sc-logs.json of trio-vis%s", looksBinary(start))
	}
	file, err := sclogs.Decode(in)
	if err != nil {
		return nil, fmt.Errorf("history: %w", err)
	}
	rd := &scReader{
		History: &History{TrioVis: file.About == nil, Truncated: file.Truncated},
		records: file.Records, about: file.About,
		open: make(map[string]*scNode), known: make(map[string]*scNode),
	}
	if err := rd.build(); err != nil {
		return nil, fmt.Errorf("history: %w", err)
	}
	return rd.History, nil
}

// An scReader builds a history from records.
type scReader struct {
	*History
	records []sclogs.Record
	about   *sclogs.About

	open  map[string]*scNode // by name: nodes that have not exited
	known map[string]*scNode // by name: the last node, which may have exited
	nodes []*scNode
	root  *Scope  // for tasks without a parent; made when needed
	begin float64 // subtracted from all times
	unit  float64 // nanoseconds in a unit of time
}

// setClock determines begin and unit from the times in the file.
func (rd *scReader) setClock() error {
	rd.unit = float64(time.Second)
	ordinal, first, last := len(rd.records) > 0, math.Inf(1), 0.0
	for i, r := range rd.records {
		ordinal = ordinal && *r.Time == float64(i)
		first, last = min(first, *r.Time), max(last, *r.Time)
	}
	const years = 10 * 365 * 24 * 3600
	switch {
	case rd.about != nil:
	case ordinal:
		rd.Ordinal, rd.unit = true, float64(time.Millisecond)
	case first > years && !math.IsInf(first, 1): // seconds since 1970
		rd.begin = math.Floor(first)
		if rd.begin > math.MaxInt32*4 {
			return fmt.Errorf("the times begin at %v: too late for seconds", first)
		}
		rd.Started = time.Unix(int64(rd.begin), 0).UTC()
	}
	if (last-rd.begin)*rd.unit >= math.MaxInt64/2 {
		return fmt.Errorf("the times go up to %v: too late for seconds", last)
	}
	return nil
}

func (rd *scReader) at(r *sclogs.Record) time.Duration {
	return time.Duration(math.Round((*r.Time - rd.begin) * rd.unit))
}

// base splits a name into that of the scope or task and the marks of package export.
func (rd *scReader) base(name string) (base, marks string) {
	if rd.about == nil {
		return strings.TrimSuffix(name, sclogs.Wrapper), ""
	}
	return sclogs.SplitName(name)
}

// An scNode is what a record has created: a scope, or one of the two records of a task,
// which trio-vis wraps in a scope.
type scNode struct {
	record  int // index
	scope   *Scope
	task    *Task
	wrapper bool // the record is that of the wrapper
	hasTask bool // the record of the wrapper's task has been read
}

// build makes scopes and tasks of the records.
func (rd *scReader) build() error {
	if err := rd.setClock(); err != nil {
		return err
	}
	for i := range rd.records {
		r := &rd.records[i]
		at := rd.at(r)
		rd.End = max(rd.End, at)
		open := rd.open[*r.Name]
		switch {
		case r.Desc == "created" && open != nil:
			return fmt.Errorf("record %d: %q is created, and is still there since record %d", i, *r.Name, open.record)
		case r.Desc == "created":
			n := rd.create(r, at)
			n.record = i
			rd.open[*r.Name], rd.known[*r.Name] = n, n
			rd.nodes = append(rd.nodes, n)
		case open == nil:
			return fmt.Errorf("record %d: %q exits, and has not been created", i, *r.Name)
		default:
			delete(rd.open, *r.Name)
			open.exit(at)
		}
	}
	rd.closeNurseries()
	rd.Closed = !rd.Truncated
	if a := rd.about; a != nil {
		rd.Started, rd.Run, rd.PID, rd.Go, rd.Program = a.T0, a.Run, a.PID, a.Go, a.Program
		rd.Closed, rd.Truncated = a.Closed && !rd.Truncated, a.Truncated || rd.Truncated
		rd.Damaged += a.Damaged
		for _, l := range a.Lost {
			rd.Losses = append(rd.Losses, Loss{At: l.At, Lines: l.Lines, Why: l.Why})
		}
		rd.restore()
	}
	rd.assemble()
	rd.setProcess(nil)
	return nil
}

// create adds the scope or task of a record. The type in the record of its exit is not used:
// trio-vis sometimes writes a wrong one.
func (rd *scReader) create(r *sclogs.Record, at time.Duration) *scNode {
	var up *scNode
	if r.Parent != nil {
		if up = rd.known[*r.Parent]; up == nil {
			rd.Damaged++
		}
	}
	name, _ := rd.base(*r.Name)
	isWrapper := r.Type == "scope" && strings.HasSuffix(*r.Name, sclogs.Wrapper)
	switch {
	case r.Type == "scope" && !isWrapper:
		return &scNode{scope: rd.addScope(up, name, at)}
	case up != nil && up.wrapper && !up.hasTask && r.Type == "task":
		up.hasTask = true
		up.task.Name, up.task.Started, up.task.State = name, at, TaskRunning
		return &scNode{task: up.task}
	}
	s := rd.scopeFor(up, at)
	if rd.about != nil && name == s.Name+sclogs.Body {
		s = newScope(0, "", at) // the task stands for the body and is no task: it is put into a scope outside of the history
	}
	t := newTask(uint64(len(s.Tasks)+1), name, s, at)
	t.Await = true
	if !isWrapper {
		t.Started, t.State = at, TaskRunning
	}
	return &scNode{task: t, wrapper: isWrapper}
}

// scopeFor returns the scope of a task whose parent in the file is up.
func (rd *scReader) scopeFor(up *scNode, at time.Duration) *Scope {
	switch {
	case up == nil && rd.root == nil:
		rd.root = rd.addScope(nil, rootName, at)
		return rd.root
	case up == nil:
		return rd.root
	case up.scope != nil:
		return up.scope
	default:
		return up.task.Scope
	}
}

// addScope adds a scope whose parent in the file is up.
func (rd *scReader) addScope(up *scNode, name string, at time.Duration) *Scope {
	s := newScope(uint64(len(rd.Scopes)+1), name, at)
	rd.Scopes = append(rd.Scopes, s)
	switch {
	case up == nil:
		return s
	case up.scope != nil:
		s.Parent = up.scope
	default:
		s.Parent, s.By = up.task.Scope, up.task
		s.By.Scopes = append(s.By.Scopes, s)
	}
	s.Parent.Scopes = append(s.Parent.Scopes, s)
	return s
}

// exit ends a scope or task. A task has two records of its exit; the first counts.
func (n *scNode) exit(at time.Duration) {
	switch {
	case n.scope != nil:
		n.scope.Closed, n.scope.State = at, ScopeClosed
	case n.task.Unfinished():
		n.task.Ended, n.task.State = at, TaskOK
	}
}

// closeNurseries closes the nurseries of tasks that have ended, as trio-vis does not record
// the exit of a task's first nursery if the task opens a second one. It also closes the root
// that it has made, if all tasks in that have ended.
func (rd *scReader) closeNurseries() {
	for _, s := range rd.Scopes {
		if s.Closed == Never && s.By != nil && !s.By.Unfinished() {
			s.Closed, s.State = s.By.Ended, ScopeClosed
		}
	}
	if rd.root == nil {
		return
	}
	var last time.Duration
	for _, t := range rd.root.Tasks {
		if t.Unfinished() {
			return
		}
		last = max(last, t.Ended)
	}
	rd.root.Closed, rd.root.State = last, ScopeClosed
}

// restore sets states and errors from the marks in the names, in a file of package export.
func (rd *scReader) restore() {
	for _, n := range rd.nodes {
		_, marks := rd.base(*rd.records[n.record].Name)
		switch {
		case n.scope != nil:
			n.scope.restore(marks, rd.End)
		case n.wrapper:
			n.task.restore(marks)
		}
	}
}

// restore sets the state and the error of a scope. When it was canceled is not in the file, nor
// when it was closed, if that ends before.
func (s *Scope) restore(marks string, end time.Duration) {
	sclogs.EachMark(marks, func(word, why string) {
		switch word {
		case "running":
			s.Closed = Never
			s.State = s.stateNow()
		case "lost":
			s.State = ScopeLost
		case "straggler":
		case "failed":
			s.Err = why
		default:
			s.Canceled, s.Cause = s.Closed, &Cause{Kind: word, Err: why}
			if s.Closed == Never {
				s.Canceled, s.State = end, ScopeCanceling
			}
			if s.Cause.Err != "" || !s.Cause.Quiet() {
				s.Err = s.Cause.String()
			}
		}
	})
}

func (t *Task) restore(marks string) {
	sclogs.EachMark(marks, func(word, why string) {
		switch state := TaskState(word); {
		case endStates[state], state == TaskLost:
			t.State, t.Err = state, why
		case state == TaskQueued:
			t.Started = Never
		case state == TaskStuck:
			t.Stuck = t.Ended
		case state == TaskRunning:
			t.Ended = Never
			t.State = t.stateNow()
		}
	})
}
