package history

import (
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
