package history

import (
	"fmt"
	"io"
	"math"
	"strings"
	"time"

	"github.com/traigo/traigo/record/internal/sclogs"
)

// rootName is the scope around the tasks of a file of trio-vis that are in none.
const rootName = "trio.run"

// ReadSCLogs reads a sc-logs.json of Python's trio-vis, or one that
// package export has written. A file that stops short is read as far as it
// goes: Truncated says so. Keys that it does not know are skipped, a parent that it
// does not know is none (and counted in Damaged); the error for other nonsense says
// in which record it is.
//
// In such a file a nursery belongs to the task that opened it; what has no parent is
// put into a scope "trio.run". A nursery without an end has ended with its task, since
// trio-vis forgets to say so. How a task ended is not in the file: TrioVis. Times are
// taken as seconds, or, where each is the number of its record, as such: Ordinal.
func ReadSCLogs(r io.Reader) (*History, error) {
	file, err := sclogs.Decode(r)
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

// An scReader puts records together.
type scReader struct {
	*History
	records []sclogs.Record
	about   *sclogs.About

	open  map[string]*scNode // those that have not exited
	known map[string]*scNode // the last of each name
	nodes []*scNode
	root  *Scope // for what has none
	begin float64
	unit  float64 // nanoseconds
}

// clock finds out what the times are.
func (rd *scReader) clock() error {
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
	case first > years && !math.IsInf(first, 1): // since 1970
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

// base is the name without what package export adds to it.
func (rd *scReader) base(name string) (base, marks string) {
	if rd.about == nil {
		return strings.TrimSuffix(name, sclogs.Wrapper), ""
	}
	return sclogs.SplitName(name)
}

// An scNode is what a record has created: a scope, or a task with the scope that
// trio-vis wraps it in.
type scNode struct {
	record int
	scope  *Scope
	task   *Task
	wraps  bool // it is the wrapper: its task is still to come, or has come
	whole  bool // the task of the wrapper has come
}

func (rd *scReader) build() error {
	if err := rd.clock(); err != nil {
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
	rd.closeForgotten()
	rd.Closed = !rd.Truncated
	if a := rd.about; a != nil {
		rd.Started, rd.Run, rd.PID, rd.Go, rd.Program = a.T0, a.Run, a.PID, a.Go, a.Program
		rd.Closed, rd.Truncated = a.Closed && !rd.Truncated, a.Truncated || rd.Truncated
		rd.Damaged += a.Damaged
		for _, l := range a.Lost {
			rd.Losses = append(rd.Losses, Loss(l))
		}
		rd.restore()
	}
	rd.assemble()
	return nil
}

// create takes what has begun, whatever the type of its end will be.
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
	case up != nil && up.wraps && !up.whole && r.Type == "task":
		up.whole = true
		up.task.Name, up.task.Started, up.task.State = name, at, TaskRunning
		return &scNode{task: up.task}
	}
	s := rd.scopeFor(up, at)
	if rd.about != nil && name == s.Name+sclogs.Body {
		s = newScope(0, "", at) // it is there for the viewer: the scope has no task
	}
	t := newTask(uint64(len(s.Tasks)+1), name, s, at)
	t.Await = true
	if !isWrapper {
		t.Started, t.State = at, TaskRunning
	}
	return &scNode{task: t, wraps: isWrapper}
}

// scopeFor is the scope that a task below up is in.
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

// exit takes the end: for a task the first of its two.
func (n *scNode) exit(at time.Duration) {
	switch {
	case n.scope != nil:
		n.scope.Closed, n.scope.State = at, ScopeClosed
	case n.task.Unfinished():
		n.task.Ended, n.task.State = at, TaskOK
	}
}

// closeForgotten ends the nurseries whose tasks have ended: trio-vis leaves them open
// when a task opens a second one.
func (rd *scReader) closeForgotten() {
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

// restore reads the marks that package export puts behind the names.
func (rd *scReader) restore() {
	for _, n := range rd.nodes {
		_, marks := rd.base(*rd.records[n.record].Name)
		switch {
		case n.scope != nil:
			n.scope.restore(marks)
		case n.wraps:
			n.task.restore(marks)
		}
	}
}

func (s *Scope) restore(marks string) {
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
			s.Canceled, s.Cause = s.Closed, &Cause{Kind: word, Err: why} // by then at the latest
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
