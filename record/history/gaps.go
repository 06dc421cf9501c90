package history

import (
	"cmp"
	"slices"
	"time"
)

// What a reader makes of a log with holes in it.

// unseen is the name of what the log mentions, but whose beginning it does not have.
const unseen = "(unseen)"

// scope returns the scope with that number. One whose beginning is missing is drawn
// from the first that is heard of it, as a root, until a census tells more.
func (rd *reader) scope(id uint64, at time.Duration) *knownScope {
	if s := rd.scopes[id]; s != nil {
		return s
	}
	s := &knownScope{Scope: newScope(id, unseen, at)}
	rd.scopes[id] = s
	rd.all = append(rd.all, s)
	rd.Scopes = append(rd.Scopes, s.Scope)
	rd.alive.scopes = append(rd.alive.scopes, s)
	return s
}

// task is likewise for a task.
func (rd *reader) task(scope, id uint64, at time.Duration) *knownTask {
	key := taskKey{scope, id}
	if t := rd.tasks[key]; t != nil {
		return t
	}
	s := rd.scope(scope, at)
	t := &knownTask{Task: newTask(id, unseen, s.Scope, at)}
	rd.tasks[key] = t
	rd.alive.tasks = append(rd.alive.tasks, t)
	return t
}

func newScope(id uint64, name string, at time.Duration) *Scope {
	return &Scope{
		ID: id, Name: name, State: ScopeOpen, Deadline: Never,
		Opened: at, Finalized: Never, Canceled: Never, Closed: Never,
	}
}

// newTask also puts the task into its scope.
func newTask(id uint64, name string, s *Scope, at time.Duration) *Task {
	t := &Task{
		ID: id, Name: name, Scope: s, State: TaskQueued,
		Spawned: at, Started: Never, Ready: Never, Stuck: Never, Ended: Never,
	}
	s.Tasks = append(s.Tasks, t)
	return t
}

// A census is the list of what is alive that follows a gap: the next lines, as many
// as it says.
type census struct {
	number  int // of this census in the log, from 1
	at      time.Duration
	left    uint64 // lines still to come
	spoiled bool   // one of them was something else, or damaged: it proves nothing
}

// alive is what a census may find missing. What has ended leaves it at the next
// census, so that many of them cost no more than what lives meanwhile.
type alive struct {
	scopes []*knownScope
	tasks  []*knownTask
}

func (rd *reader) startCensus(at time.Duration, members uint64) {
	rd.census = census{number: rd.census.number + 1, at: at, left: members}
	if members == 0 {
		rd.endCensus()
	}
}

// count takes the line at hand as the next of the census, if one is under way.
func (rd *reader) count(member bool) {
	c := &rd.census
	if c.left == 0 {
		return
	}
	c.spoiled = c.spoiled || !member
	if c.left--; c.left == 0 {
		rd.endCensus()
	}
}

// censusNumber is what a member remembers.
func (rd *reader) censusNumber() int {
	if rd.census.left == 0 {
		return 0
	}
	return rd.census.number
}

// censusTime is when a member of a census was in the state that the census tells.
func (rd *reader) censusTime(at time.Duration) time.Duration {
	if rd.census.left > 0 {
		return rd.census.at
	}
	return at
}

// endCensus closes what the census has not found alive, though it began before. One
// that is cut short by the end of the log has proved nothing, and never comes here.
func (rd *reader) endCensus() {
	c := rd.census
	if c.spoiled {
		return
	}
	rd.alive.scopes = slices.DeleteFunc(rd.alive.scopes, func(s *knownScope) bool {
		if s.Closed == Never && s.Opened < c.at && s.census != c.number {
			s.Closed, s.State = c.at, ScopeLost
		}
		return s.Closed != Never
	})
	rd.alive.tasks = slices.DeleteFunc(rd.alive.tasks, func(t *knownTask) bool {
		if t.Unfinished() && t.Spawned < c.at && t.census != c.number {
			t.Ended, t.State = c.at, TaskLost
		}
		return !t.Unfinished()
	})
}

// revive undoes that: a line of the scope has come after all.
func (rd *reader) revive(s *knownScope) {
	if s.State == ScopeLost {
		s.Closed = Never
		s.State = s.stateNow()
		rd.alive.scopes = append(rd.alive.scopes, s)
	}
}

func (rd *reader) reviveTask(t *knownTask) {
	if t.State == TaskLost {
		t.Ended = Never
		t.State = t.stateNow()
		rd.alive.tasks = append(rd.alive.tasks, t)
	}
}

// What is done when all lines are read: only now it is known what is in what.

func (rd *reader) finish() {
	for _, s := range rd.all {
		if up := rd.scopes[s.in]; up != nil && s.in != 0 {
			s.Parent = up.Scope
		} // otherwise its parent is not in this log: it is a root of it
	}
	rd.cutCircles()
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
		if !t.heard {
			t.endUnheard()
		}
	}
	rd.assemble()
}

// endUnheard is for a task that is only named, by a scope that it opened or ended. Its
// end is in a gap with its beginning, or a census would have it: all that is known is
// that it was alive as long as the scopes that it opened.
func (t *knownTask) endUnheard() {
	t.State, t.Ended = TaskLost, t.Spawned
	for _, s := range t.Scopes {
		if s.Closed == Never {
			t.State, t.Ended = TaskRunning, Never
			return
		}
		t.Ended = max(t.Ended, s.Closed)
	}
}

// assemble puts times that contradict each other right, and everything into the order
// of its beginning: lines of different scopes need not come in it.
func (h *History) assemble() {
	for _, s := range h.Scopes {
		if s.Parent == nil {
			s.beginBefore()
		}
	}
	for _, s := range h.Scopes {
		s.arrange()
		for _, t := range s.Tasks {
			t.arrange()
		}
	}
	byTime := func(a, b *Scope) int { return cmp.Or(cmp.Compare(a.Opened, b.Opened), cmp.Compare(a.ID, b.ID)) }
	slices.SortStableFunc(h.Scopes, byTime)
	for _, s := range h.Scopes {
		slices.SortStableFunc(s.Scopes, byTime)
		slices.SortStableFunc(s.Tasks, func(a, b *Task) int { return cmp.Compare(a.ID, b.ID) })
		for _, t := range s.Tasks {
			slices.SortStableFunc(t.Scopes, byTime)
		}
	}
}

// cutCircles makes a scope that is inside itself a root: only damage can say so.
func (rd *reader) cutCircles() {
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

// beginBefore sees to it that nothing begins before what it is in: what was first
// heard of by its tasks is at least as old as they are.
func (s *Scope) beginBefore() {
	for _, c := range s.Scopes {
		c.beginBefore()
		if c.By != nil {
			c.By.Spawned = min(c.By.Spawned, c.Opened)
		}
		s.Opened = min(s.Opened, c.Opened)
	}
	for _, t := range s.Tasks {
		s.Opened = min(s.Opened, t.Spawned)
	}
}

// arrange puts what happens to s between its beginning and its end.
func (s *Scope) arrange() {
	if s.Closed != Never {
		s.Closed = max(s.Closed, s.Opened)
	}
	within(s.Opened, s.Closed, &s.Finalized, &s.Canceled)
	for i := range s.Abandoned {
		within(s.Opened, s.Closed, &s.Abandoned[i])
	}
}

func (t *Task) arrange() {
	if t.Ended != Never {
		t.Ended = max(t.Ended, t.Spawned)
	}
	within(t.Spawned, t.Ended, &t.Started, &t.Ready, &t.Stuck)
	for i := range t.Abandoned {
		within(t.Spawned, t.Ended, &t.Abandoned[i])
	}
}

func within(begin, end time.Duration, times ...*time.Duration) {
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
