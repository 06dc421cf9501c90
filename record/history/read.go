package history

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

// Read reads a log of package record, or several segments of one recording, in
// their order. A log that ends in the middle of a line is read as far as it goes:
// Truncated says so. Lines that make no sense are counted in Damaged. The error is
// that of r, or says why this is no log that can be read.
func Read(r io.Reader) (*History, error) {
	in := bufio.NewReaderSize(r, 1<<16)
	rd := &reader{History: &History{Started: time.Time{}}, scopes: make(map[uint64]*Scope), tasks: make(map[taskKey]*Task)}
	for {
		text, err := in.ReadBytes('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, fmt.Errorf("history: %w", err)
		}
		torn := err != nil && len(bytes.TrimSpace(text)) > 0
		if torn && rd.Run != "" {
			rd.Truncated, rd.Closed = true, false
			break
		}
		if text = bytes.TrimSpace(text); len(text) > 0 {
			if err := rd.take(text); err != nil {
				return nil, err
			}
		}
		if err != nil {
			break
		}
	}
	if rd.Run == "" {
		return nil, errors.New("history: the log is empty: not even its first line was written")
	}
	rd.endCensus()
	rd.sort()
	return rd.History, nil
}

type taskKey struct{ scope, task uint64 }

// A reader puts lines together.
type reader struct {
	*History
	scopes map[uint64]*Scope
	tasks  map[taskKey]*Task
	census *census
}

// A census is the list of what is alive that follows a gap.
type census struct {
	at      time.Duration
	left    uint64 // lines still to come
	members map[any]bool
}

func (rd *reader) take(text []byte) error {
	if bytes.HasPrefix(text, []byte(`{"traigo":`)) || rd.Run == "" {
		return rd.begin(text)
	}
	var l line
	if err := json.Unmarshal(text, &l); err != nil || l.T == nil {
		return rd.takeCount(text)
	}
	rd.Closed = false
	if !rd.apply(&l) {
		rd.Damaged++
		return nil
	}
	rd.see(l.at())
	return nil
}

// begin takes the first line of a segment.
func (rd *reader) begin(text []byte) error {
	head, err := headerOf(text)
	switch {
	case err != nil:
		return err
	case rd.Run != "" && head.Run != rd.Run:
		return fmt.Errorf("history: the log has two recordings in it, %s and %s: read one at a time", rd.Run, head.Run)
	case head.Run == "":
		return errors.New("history: the first line of the log does not say which recording it is (run)")
	}
	rd.Started, rd.Run, rd.PID, rd.Go, rd.Program = head.T0, head.Run, head.PID, head.Go, head.Program
	return nil
}

// takeCount takes a line whose n is a number: it is about the log itself.
func (rd *reader) takeCount(text []byte) error {
	var l struct {
		T    *int64 `json:"t"`
		Kind string `json:"k"`
		Why  string `json:"why"`
		count
	}
	if err := json.Unmarshal(text, &l); err != nil || l.T == nil {
		rd.Damaged++
		return nil //nolint:nilerr // a line that makes no sense is counted, and costs no other
	}
	at := time.Duration(*l.T)
	rd.see(at)
	rd.Closed = false
	switch l.Kind {
	case "lost":
		rd.Losses = append(rd.Losses, Loss{At: at, Lines: l.N, Why: l.Why})
	case "live":
		rd.endCensus()
		rd.census = &census{at: at, left: l.N, members: make(map[any]bool)}
		if l.N == 0 {
			rd.endCensus()
		}
	default:
		rd.Damaged++
	}
	return nil
}

func (rd *reader) see(at time.Duration) { rd.End = max(rd.End, at) }

// apply takes a line about a scope or a task; false if it makes no sense.
func (rd *reader) apply(l *line) bool {
	switch l.Kind {
	case "scope":
		return rd.opened(l)
	case "spawn":
		return rd.spawned(l)
	case "bye":
		rd.Closed = true
		return true
	case "finalize", "cancel", "close":
		return l.ID != 0 && rd.scope(l.ID, l.at()).apply(l, rd)
	case "abandon":
		if l.ID == 0 && l.Scope != 0 {
			s := rd.scope(l.Scope, l.at())
			s.Abandoned = append(s.Abandoned, l.at())
			return true
		}
		fallthrough
	case "start", "ready", "end", "stuck":
		return l.ID != 0 && l.Scope != 0 && rd.task(l.Scope, l.ID, l.at()).apply(l)
	default:
		return false
	}
}

// opened takes the beginning of a scope: in a census that of one that may be known.
func (rd *reader) opened(l *line) bool {
	if l.ID == 0 {
		return false
	}
	s := rd.scope(l.ID, l.at())
	if s.Name == "" || s.Name == unseen {
		s.Name, s.Opened = l.Name, l.at()
	}
	s.Deadline = l.deadline()
	if l.In != 0 && l.In != l.ID && s.Parent == nil {
		rd.hang(s, l)
	}
	switch ScopeState(l.State) {
	case ScopeFinalizing, ScopeCanceling:
		if s.State != ScopeClosed {
			s.State = ScopeState(l.State)
		}
		if l.State == string(ScopeCanceling) && s.Cause == nil {
			kind, err := splitReason(l.Err)
			s.Cause = &Cause{Kind: kind, Err: err}
			s.Canceled = rd.censusTime(l.at())
		}
	}
	rd.count(s)
	return true
}

// hang puts s where it belongs in the tree.
func (rd *reader) hang(s *Scope, l *line) {
	parent := rd.scopes[l.In]
	if parent == nil || parent.isBelow(s) {
		return // it is not in this log: s is a root of it
	}
	s.Parent = parent
	parent.Scopes = append(parent.Scopes, s)
	if l.By == 0 {
		return
	}
	s.By = rd.task(l.In, l.By, l.at())
	s.By.Scopes = append(s.By.Scopes, s)
}

func (s *Scope) isBelow(up *Scope) bool {
	for ; s != nil; s = s.Parent {
		if s == up {
			return true
		}
	}
	return false
}

func (rd *reader) spawned(l *line) bool {
	if l.ID == 0 || l.Scope == 0 {
		return false
	}
	t := rd.task(l.Scope, l.ID, l.at())
	if t.Name == "" || t.Name == unseen {
		t.Name, t.Spawned = l.Name, l.at()
	}
	t.Bubble, t.Master, t.Await = strings.Contains(l.Flags, "b"), strings.Contains(l.Flags, "m"), strings.Contains(l.Flags, "w")
	if l.State != "" && l.State != string(TaskQueued) && t.State == TaskQueued {
		t.State, t.Started = TaskRunning, l.at()
	}
	rd.count(t)
	return true
}

// splitReason undoes what a snapshot makes of a cause: "task failed: …".
func splitReason(text string) (kind, err string) {
	kind, err, _ = strings.Cut(text, ": ")
	return kind, err
}

func (s *Scope) apply(l *line, rd *reader) bool {
	s.revive()
	switch l.Kind {
	case "finalize":
		s.Finalized = l.at()
		if s.State == ScopeOpen {
			s.State = ScopeFinalizing
		}
	case "cancel":
		s.Canceled, s.Cause = l.at(), &Cause{Kind: l.Why, Err: l.Err}
		if l.By != 0 {
			s.Cause.By = rd.tasks[taskKey{l.ID, l.By}]
		}
		if s.State != ScopeClosed {
			s.State = ScopeCanceling
		}
	case "close":
		s.Closed, s.State, s.Err = l.at(), ScopeClosed, l.Err
	}
	return true
}

func (t *Task) apply(l *line) bool {
	t.revive()
	switch l.Kind {
	case "start":
		t.Started = l.at()
		if t.State == TaskQueued {
			t.State = TaskRunning
		}
	case "ready":
		t.Ready = l.at()
	case "abandon":
		t.Abandoned = append(t.Abandoned, l.at())
	case "stuck":
		t.Stuck = l.at()
		if t.Unfinished() {
			t.State, t.Stack = TaskStuck, l.Stack
		}
	case "end":
		if !endStates[TaskState(l.State)] {
			return false
		}
		t.Ended, t.State, t.Err = l.at(), TaskState(l.State), l.Err
		if l.Stack != "" {
			t.Stack = l.Stack
		}
	}
	return true
}

var endStates = map[TaskState]bool{
	TaskOK: true, TaskFailed: true, TaskCanceled: true, TaskPanicked: true, TaskExited: true,
}
