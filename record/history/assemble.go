package history

import (
	"cmp"
	"slices"
	"time"
)

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
