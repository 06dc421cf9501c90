package history

import "time"

// What a reader makes of a log with holes in it.

// unseen is the name of what the log mentions, but whose beginning it does not have.
const unseen = "(unseen)"

// scope returns the scope with that number. One whose beginning is missing is drawn
// from the first that is heard of it, as a root, until a census tells more.
func (rd *reader) scope(id uint64, at time.Duration) *Scope {
	if s := rd.scopes[id]; s != nil {
		return s
	}
	return rd.addScope(id, at)
}

// task is likewise for a task.
func (rd *reader) task(scope, id uint64, at time.Duration) *Task {
	if t := rd.tasks[taskKey{scope, id}]; t != nil {
		return t
	}
	return rd.addTask(scope, id, at)
}

func (rd *reader) addScope(id uint64, at time.Duration) *Scope {
	s := &Scope{
		ID: id, Name: unseen, State: ScopeOpen, Deadline: Never,
		Opened: at, Finalized: Never, Canceled: Never, Closed: Never,
	}
	rd.scopes[id] = s
	rd.Scopes = append(rd.Scopes, s)
	return s
}

func (rd *reader) addTask(scope, id uint64, at time.Duration) *Task {
	s := rd.scope(scope, at)
	t := &Task{
		ID: id, Name: unseen, Scope: s, State: TaskQueued,
		Spawned: at, Started: Never, Ready: Never, Stuck: Never, Ended: Never,
	}
	rd.tasks[taskKey{scope, id}] = t
	s.Tasks = append(s.Tasks, t)
	return t
}

// count takes a scope or a task as a member of the census that is under way.
func (rd *reader) count(member any) {
	c := rd.census
	if c == nil {
		return
	}
	c.members[member] = true
	if c.left--; c.left == 0 {
		rd.endCensus()
	}
}

func (rd *reader) censusTime(at time.Duration) time.Duration {
	if rd.census != nil {
		return rd.census.at
	}
	return at
}

// endCensus closes what the census has not found alive, though it began before. A
// census that is cut short by the end of the log proves nothing.
func (rd *reader) endCensus() {
	c := rd.census
	rd.census = nil
	if c == nil || c.left > 0 {
		return
	}
	for _, s := range rd.Scopes {
		if s.Closed == Never && s.Opened < c.at && !c.members[s] {
			s.Closed, s.State = c.at, ScopeLost
		}
		for _, t := range s.Tasks {
			if t.Unfinished() && t.Spawned < c.at && !c.members[t] {
				t.Ended, t.State = c.at, TaskLost
			}
		}
	}
}

// revive undoes that: a line of it has come after all.
func (s *Scope) revive() {
	if s.State == ScopeLost {
		s.State, s.Closed = ScopeOpen, Never
	}
}

func (t *Task) revive() {
	if t.State == TaskLost {
		t.State, t.Ended = TaskRunning, Never
	}
}
