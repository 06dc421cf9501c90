package history

import (
	"cmp"
	"slices"
	"time"
)

// A log may have gaps, and its lines may contradict each other. This file has the rules for
// what is known of a scope or task whose lines are missing: from a single mention, from
// a census, and from what is inside it.

// unseen is the name of scopes and tasks whose beginning is not in the log.
const unseen = "(unseen)"

// scope returns the scope with an ID. If it is not known yet, it becomes a root that was
// opened at that time; its own line, or a census, corrects this later.
func (rd *reader) scope(id uint64, at time.Duration) *knownScope {
	if s := rd.scopes[id]; s != nil {
		return s
	}
	s := &knownScope{Scope: newScope(id, unseen, at)}
	rd.scopes[id] = s
	rd.all = append(rd.all, s)
	rd.Scopes = append(rd.Scopes, s.Scope)
	rd.live.scopes = append(rd.live.scopes, s)
	return s
}

// task returns the task with an ID, as scope does.
func (rd *reader) task(scope, id uint64, at time.Duration) *knownTask {
	key := taskKey{scope, id}
	if t := rd.tasks[key]; t != nil {
		return t
	}
	s := rd.scope(scope, at)
	t := &knownTask{Task: newTask(id, unseen, s.Scope, at)}
	rd.tasks[key] = t
	rd.live.tasks = append(rd.live.tasks, t)
	return t
}

func newScope(id uint64, name string, at time.Duration) *Scope {
	return &Scope{
		ID: id, Name: name, State: ScopeOpen, Deadline: Never,
		Opened: at, Finalized: Never, Canceled: Never, Closed: Never,
	}
}

// newTask returns a task and appends it to those of its scope.
func newTask(id uint64, name string, s *Scope, at time.Duration) *Task {
	t := &Task{
		ID: id, Name: name, Scope: s, State: TaskQueued,
		Spawned: at, Started: Never, Ready: Never, Stuck: Never, Ended: Never,
	}
	s.Tasks = append(s.Tasks, t)
	return t
}

// A census is the list of what is alive that follows a gap: a line with the number of
// members, followed by a line for each.
type census struct {
	number  int // counts the censuses of a log, from 1
	at      time.Duration
	left    uint64 // lines still to come
	invalid bool   // a line was damaged or no member: then nothing follows from absence
}

// live has the scopes and tasks that the next census may find ended: those that the last
// census left, and all later ones. So the cost of a census does not grow with the log.
type live struct {
	scopes []*knownScope
	tasks  []*knownTask
}

func (rd *reader) startCensus(at time.Duration, members uint64) {
	rd.census = census{number: rd.census.number + 1, at: at, left: members}
	if members == 0 {
		rd.endCensus()
	}
}

// countInCensus counts the current line as the next member of the census, if one is being
// read.
func (rd *reader) countInCensus(member bool) {
	c := &rd.census
	if c.left == 0 {
		return
	}
	c.invalid = c.invalid || !member
	if c.left--; c.left == 0 {
		rd.endCensus()
	}
}

// censusNumber returns the number of the census being read, or 0.
func (rd *reader) censusNumber() int {
	if rd.census.left == 0 {
		return 0
	}
	return rd.census.number
}

// censusTime returns the time at which a member had the state in its line: that of the
// census if one is being read, otherwise at.
func (rd *reader) censusTime(at time.Duration) time.Duration {
	if rd.census.left > 0 {
		return rd.census.at
	}
	return at
}

// endCensus ends all scopes and tasks that began before the census and are not in it. It is
// not called for a census that is cut off by the end of the log, from which nothing follows.
func (rd *reader) endCensus() {
	c := rd.census
	if c.invalid {
		return
	}
	rd.live.scopes = slices.DeleteFunc(rd.live.scopes, func(s *knownScope) bool {
		if s.Closed == Never && s.Opened < c.at && s.census != c.number {
			s.Closed, s.State = c.at, ScopeLost
		}
		return s.Closed != Never
	})
	rd.live.tasks = slices.DeleteFunc(rd.live.tasks, func(t *knownTask) bool {
		if t.Unfinished() && t.Spawned < c.at && t.census != c.number {
			t.Ended, t.State = c.at, TaskLost
		}
		return !t.Unfinished()
	})
}

// reopenScope undoes endCensus for a scope, because another line of it has come.
func (rd *reader) reopenScope(s *knownScope) {
	if s.State == ScopeLost {
		s.Closed = Never
		s.State = s.stateNow()
		rd.live.scopes = append(rd.live.scopes, s)
	}
}

// reopenTask does the same for a task.
func (rd *reader) reopenTask(t *knownTask) {
	if t.State == TaskLost {
		t.Ended = Never
		t.State = t.stateNow()
		rd.live.tasks = append(rd.live.tasks, t)
	}
}

// finish links scopes and tasks after all lines have been read. A line may name a scope or
// task whose own lines come later.
func (rd *reader) finish() {
	for _, s := range rd.all {
		if up := rd.scopes[s.in]; up != nil && s.in != 0 {
			s.Parent = up.Scope
		} // otherwise the parent is not in this log: the scope is a root
	}
	rd.breakCycles()
	for _, s := range rd.all {
		if s.Parent == nil {
			continue
		}
		s.Parent.Scopes = append(s.Parent.Scopes, s.Scope)
		if s.by != 0 {
			s.By = rd.task(s.in, s.by, s.Opened).Task
			s.By.Scopes = append(s.By.Scopes, s.Scope)
		}
	}
	for _, t := range rd.tasks {
		if !t.hasLine {
			t.endUnseen()
		}
	}
	rd.finishCensuses()
	rd.assemble()
}

// endUnseen sets the end of a task that is only named by scopes that it opened or ended.
// Beginning and end must both be in one gap: otherwise a census would list the task. It is
// known only that it lived as long as the scopes that it opened.
func (t *knownTask) endUnseen() {
	t.State, t.Ended = TaskLost, t.Spawned
	for _, s := range t.Scopes {
		if s.Closed == Never {
			t.State, t.Ended = TaskRunning, Never
			return
		}
		t.Ended = max(t.Ended, s.Closed)
	}
}

// assemble makes times consistent and sorts scopes and tasks by their beginning, as the
// lines of different scopes may come in any order.
func (h *History) assemble() {
	for _, s := range h.Scopes {
		if s.Parent == nil {
			s.openBeforeContents()
		}
	}
	for _, s := range h.Scopes {
		s.clampTimes()
		for _, t := range s.Tasks {
			t.clampTimes()
		}
	}
	slices.SortStableFunc(h.Scopes, byTime)
	for _, s := range h.Scopes {
		slices.SortStableFunc(s.Scopes, byTime)
		slices.SortStableFunc(s.Tasks, func(a, b *Task) int { return cmp.Compare(a.ID, b.ID) })
		for _, t := range s.Tasks {
			slices.SortStableFunc(t.Scopes, byTime)
		}
	}
}

func byTime(a, b *Scope) int {
	return cmp.Or(cmp.Compare(a.Opened, b.Opened), cmp.Compare(a.ID, b.ID))
}

// breakCycles makes a scope that is its own ancestor a root. Only a damaged log has one.
func (rd *reader) breakCycles() {
	const onPath, done = 1, 2
	seen := make(map[*Scope]int, len(rd.all))
	var path []*Scope
	for _, s := range rd.all {
		path = path[:0]
		x := s.Scope
		for ; x != nil && seen[x] == 0; x = x.Parent {
			seen[x] = onPath
			path = append(path, x)
		}
		if x != nil && seen[x] == onPath {
			path[len(path)-1].Parent = nil
			rd.Damaged++
		}
		for _, x := range path {
			seen[x] = done
		}
	}
}

// openBeforeContents moves the beginning of a scope, and of tasks that opened scopes, to
// the first beginning inside it: if its own line is lost, it is first known from those.
func (s *Scope) openBeforeContents() {
	for _, c := range s.Scopes {
		c.openBeforeContents()
		if c.By != nil {
			c.By.Spawned = min(c.By.Spawned, c.Opened)
		}
		s.Opened = min(s.Opened, c.Opened)
	}
	for _, t := range s.Tasks {
		s.Opened = min(s.Opened, t.Spawned)
	}
}

// clampTimes moves all times of s between its beginning and its end.
func (s *Scope) clampTimes() {
	if s.Closed != Never {
		s.Closed = max(s.Closed, s.Opened)
	}
	clamp(s.Opened, s.Closed, &s.Finalized, &s.Canceled)
	for i := range s.Abandoned {
		clamp(s.Opened, s.Closed, &s.Abandoned[i])
	}
}

func (t *Task) clampTimes() {
	if t.Ended != Never {
		t.Ended = max(t.Ended, t.Spawned)
	}
	clamp(t.Spawned, t.Ended, &t.Started, &t.Ready, &t.Stuck)
	for i := range t.Abandoned {
		clamp(t.Spawned, t.Ended, &t.Abandoned[i])
	}
}

func clamp(begin, end time.Duration, times ...*time.Duration) {
	for _, at := range times {
		if *at == Never {
			continue
		}
		*at = max(*at, begin)
		if end != Never {
			*at = min(*at, end)
		}
	}
}
