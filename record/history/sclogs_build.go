package history

import (
	"fmt"
	"strings"
	"time"
)

// rootName is the scope around the tasks of a file of trio-vis that are in none.
const rootName = "trio.run"

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
		rd.Losses = a.Lost
		rd.restore()
	}
	rd.assemble()
	return nil
}

// create takes what has begun, whatever the type of its end will be.
func (rd *scReader) create(r *scRecord, at time.Duration) *scNode {
	var up *scNode
	if r.Parent != nil {
		if up = rd.known[*r.Parent]; up == nil {
			rd.Damaged++
		}
	}
	name, _ := rd.base(*r.Name)
	isWrapper := r.Type == "scope" && strings.HasSuffix(*r.Name, wrapper)
	switch {
	case r.Type == "scope" && !isWrapper:
		return &scNode{scope: rd.addScope(up, name, at)}
	case up != nil && up.wraps && !up.whole && r.Type == "task":
		up.whole = true
		up.task.Name, up.task.Started, up.task.State = name, at, TaskRunning
		return &scNode{task: up.task}
	}
	s := rd.scopeFor(up, at)
	if rd.about != nil && name == s.Name+body {
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

// restore reads the marks that WriteSCLogs puts behind the names.
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
