package history

import (
	"strconv"
	"strings"
)

// body follows the name of the scope in the name of the task that stands for its body.
const body = " (body)"

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
	return strings.ReplaceAll(oneLine(name, 200), " [", " (")
}

var noBrackets = strings.NewReplacer("[", "(", "]", ")")

func mark(word, why string) string {
	if why != "" {
		word += ": " + noBrackets.Replace(oneLine(why, 80))
	}
	return " [" + word + "]"
}

func (s *Scope) marks(late bool) (marks string) {
	switch {
	case s.Cause != nil && s.Cause.Kind == parentCanceled:
		marks += mark(parentCanceled, "") // why is with the parent
	case s.Cause != nil && s.Cause.Kind != "completed":
		marks += mark(s.Cause.Kind, s.Cause.Err)
	case s.Err != "":
		marks += mark("failed", s.Err)
	}
	return marks + endMarks(late, s.State == ScopeLost, s.Closed == Never)
}

func (t *Task) marks(late bool) (marks string) {
	switch t.State {
	case TaskFailed, TaskPanicked:
		marks = mark(string(t.State), t.reason())
	case TaskQueued, TaskStuck, TaskCanceled, TaskExited:
		marks = mark(string(t.State), "")
	case TaskOK, TaskRunning, TaskLost:
	}
	return marks + endMarks(late, t.State == TaskLost, t.Unfinished())
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

// eachMark takes the marks apart again: what is behind the first bracket of a name.
func eachMark(marks string, do func(word, why string)) {
	if marks == "" {
		return
	}
	for m := range strings.SplitSeq(strings.TrimSuffix(marks, "]"), "] [") {
		word, why, _ := strings.Cut(m, ": ")
		do(word, why)
	}
}

func (s *Scope) restore(marks string) {
	eachMark(marks, func(word, why string) {
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
				s.Err = s.Cause.text()
			}
		}
	})
}

func (t *Task) restore(marks string) {
	eachMark(marks, func(word, why string) {
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

// text is the cause in words.
func (c *Cause) text() string {
	if c.Err == "" {
		return c.Kind
	}
	return c.Kind + ": " + c.Err
}
