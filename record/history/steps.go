package history

// The steps in the lives of scopes and tasks, once they are known.

func (rd *reader) scopeStep(l *line) {
	s := rd.scopes[l.ID]
	switch l.Kind {
	case "finalize":
		s.Finalized = l.at()
	case "cancel":
		s.Canceled, s.Cause = l.at(), &Cause{Kind: l.Why, Err: l.Err}
		if l.By != 0 {
			s.Cause.By = rd.task(l.ID, l.By, l.at()).Task
		}
	case "close":
		s.Closed, s.Err = l.at(), l.Err
	}
	s.State = s.stateNow()
}

// stateNow is what the times say.
func (s *Scope) stateNow() ScopeState {
	switch {
	case s.Closed != Never:
		return ScopeClosed
	case s.Canceled != Never:
		return ScopeCanceling
	case s.Finalized != Never:
		return ScopeFinalizing
	default:
		return ScopeOpen
	}
}

// step takes a step in the life of t; false if it makes no sense.
func (t *Task) step(l *line) bool {
	switch l.Kind {
	case "start":
		t.Started = l.at()
	case "ready":
		t.Ready = l.at()
	case "abandon":
		t.Abandoned = append(t.Abandoned, l.at())
	case "stuck":
		t.Stuck = l.at()
		if t.Stack == "" {
			t.Stack = l.Stack
		}
	case "end":
		t.Ended, t.State, t.Err = l.at(), TaskState(l.State), l.Err
		if l.Stack != "" {
			t.Stack = l.Stack
		}
		if !endStates[t.State] {
			t.State = TaskLost // that it has ended is worth more than nothing
			return false
		}
	}
	if t.Unfinished() {
		t.State = t.stateNow()
	}
	return true
}

// stateNow is what the times say of a task that has not ended.
func (t *Task) stateNow() TaskState {
	switch {
	case t.Stuck != Never:
		return TaskStuck
	case t.Started != Never:
		return TaskRunning
	default:
		return TaskQueued
	}
}

var endStates = map[TaskState]bool{
	TaskOK: true, TaskFailed: true, TaskCanceled: true, TaskPanicked: true, TaskExited: true,
}
