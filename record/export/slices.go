package export

import (
	"cmp"
	"slices"
	"strconv"
	"time"

	"github.com/traigo/traigo/record/history"
	"github.com/traigo/traigo/record/story"
)

// A slice is a scope or task in the form in which trace viewers draw it: a bar from its
// beginning to its end, with marks on it and arrows to other slices.
type slice struct {
	scope      *history.Scope // the scope itself, or that of the task
	task       *history.Task  // nil for a scope
	up         *slice         // the slice that this one belongs below; nil for a root
	row        string         // the path, folded as by story.FoldName: slices with the same row share lanes
	name       string
	begin, end time.Duration
	open       bool    // unfinished: end is the end of the log
	by         culprit // of a scope
	marks      []mark
}

// A mark is a named moment of a slice, or one end of an arrow, or both.
type mark struct {
	at    time.Duration
	name  string
	arrow uint64 // number of the arrow; 0 for none
	from  bool   // the arrow begins here
	spawn bool   // the arrow leads to a scope that was opened or a task that was spawned; otherwise to a canceled scope
	far   bool   // it leads into another process
}

// slicesOf returns a slice for each scope and task, parents before children.
func slicesOf(h *history.History) []*slice {
	b := &sliceBuilder{history: h, scopes: make(map[*history.Scope]*slice, len(h.Scopes)), tasks: make(map[*history.Task]*slice), culprits: make(culprits)}
	for _, s := range h.Scopes {
		if s.Parent == nil {
			b.scope(s, nil, "", 0)
		}
	}
	for _, s := range h.Scopes {
		b.cancellation(s)
	}
	for _, sl := range b.slices {
		slices.SortStableFunc(sl.marks, func(x, y mark) int { return cmp.Compare(x.at, y.at) })
	}
	return b.slices
}

// A sliceBuilder makes the slices of a history.
type sliceBuilder struct {
	history  *history.History
	slices   []*slice
	scopes   map[*history.Scope]*slice
	tasks    map[*history.Task]*slice
	culprits culprits
	arrows   uint64
}

func (b *sliceBuilder) scope(s *history.Scope, up *slice, row string, depth int) {
	if depth < 16 { // below, rows are shared: paths of any length would take quadratic memory
		row += "/" + story.FoldName(oneLine(s.Name, 80))
	}
	sl := &slice{scope: s, up: up, row: row, name: oneLine(s.Name, 200), begin: s.Opened, end: s.Closed, by: b.culprits.of(s)}
	b.scopes[s] = sl
	b.add(sl)
	if up != nil {
		b.spawn(up, sl)
	}
	for _, at := range s.Abandoned {
		sl.addMark(at, "abandoned a call")
	}
	for _, t := range s.Tasks {
		b.task(t, sl, row, depth)
	}
	for _, c := range s.Scopes {
		if c.By == nil {
			b.scope(c, sl, row, depth+1)
		}
	}
}

func (b *sliceBuilder) task(t *history.Task, up *slice, row string, depth int) {
	sl := &slice{scope: t.Scope, task: t, up: up, row: row, name: oneLine(t.Name, 200), begin: t.Spawned, end: t.Ended}
	b.tasks[t] = sl
	b.add(sl)
	if t.Ready != history.Never {
		sl.addMark(t.Ready, "ready")
	}
	if t.Stuck != history.Never {
		sl.addMark(t.Stuck, "given up")
	}
	for _, at := range t.Abandoned {
		sl.addMark(at, "abandoned a call")
	}
	b.spawn(up, sl)
	for _, c := range t.Scopes {
		b.scope(c, sl, row, depth+1)
	}
}

func (b *sliceBuilder) add(sl *slice) {
	if sl.end == history.Never {
		sl.open, sl.end = true, max(until(b.history, sl.scope), sl.begin)
	}
	b.slices = append(b.slices, sl)
}

func (sl *slice) addMark(at time.Duration, name string) {
	sl.marks = append(sl.marks, mark{at: sl.clamp(at), name: name})
}

// clamp moves a time between the beginning and the end of the slice.
func (sl *slice) clamp(at time.Duration) time.Duration { return min(max(at, sl.begin), sl.end) }

// cancellation adds a mark where s was canceled, and an arrow from the cause.
func (b *sliceBuilder) cancellation(s *history.Scope) {
	if s.Cause == nil || s.Canceled == history.Never {
		return
	}
	from, at := b.cause(s)
	to := b.scopes[s]
	m := mark{at: to.clamp(s.Canceled)}
	if s.Cause.Kind != "completed" {
		m.name = "canceled: " + oneLine(s.Cause.String(), 200)
	}
	if from != nil && from.begin <= m.at {
		// At least 1 ns apart: of two ends of an arrow at the same time, some viewers take
		// the wrong one for its beginning.
		m.arrow = b.arrow(from, max(from.begin, min(at, m.at-1)), false)
	}
	if m.name != "" || m.arrow != 0 {
		to.marks = append(to.marks, m)
	}
}

// cause returns the slice that caused the end of s, and when. It returns nil if the cause is
// not a scope or task.
func (b *sliceBuilder) cause(s *history.Scope) (*slice, time.Duration) {
	switch task, scope := s.EndedBy(); {
	case task != nil && scope == s:
		if by := b.tasks[task]; by != nil {
			return by, by.end
		}
	case task != nil: // of the parent: the task that opened s
		return b.tasks[task], s.Canceled
	case scope != s:
		return b.scopes[scope], scope.Canceled
	}
	return nil, 0
}

// spawn adds the arrow to a slice from the one that opened or spawned it.
func (b *sliceBuilder) spawn(up, sl *slice) {
	if arrow := b.arrow(up, sl.begin, true); arrow != 0 {
		far := up.scope.Process != sl.scope.Process
		up.marks[len(up.marks)-1].far = far
		sl.marks = append(sl.marks, mark{at: sl.begin, arrow: arrow, spawn: true, far: far})
	}
}

// arrow begins an arrow and returns its number. It returns 0 if the slice does not exist at
// that time, as viewers find the slice of an arrow's end by its time.
func (b *sliceBuilder) arrow(from *slice, at time.Duration, spawn bool) uint64 {
	if at < from.begin || at > from.end {
		return 0
	}
	b.arrows++
	from.marks = append(from.marks, mark{at: at, arrow: b.arrows, from: true, spawn: spawn})
	return b.arrows
}

// A fact is a property of a slice that a viewer shows when the slice is selected.
type fact struct {
	key, text string
	flag      bool // the value is true; text is not used
}

func (sl *slice) facts() (facts []fact) {
	add := func(key, text string) {
		if text != "" {
			facts = append(facts, fact{key: key, text: text})
		}
	}
	flag := func(key string, is bool) {
		if is {
			facts = append(facts, fact{key: key, flag: true})
		}
	}
	if t := sl.task; t != nil {
		add("path", shortPath(sl.scope)+"/"+t.Name)
		add("id", strconv.FormatUint(t.ID, 10))
		add("state", string(t.State))
		add("err", t.Err)
		flag("bubble", t.Bubble)
		flag("master", t.Master)
		flag("awaited", t.Await)
		if t.Started > t.Spawned {
			add("queued", (t.Started - t.Spawned).String())
		}
		add("stack", t.Stack)
		flag("lost", t.State == history.TaskLost)
	} else {
		s := sl.scope
		add("path", shortPath(sl.scope))
		add("id", strconv.FormatUint(s.ID, 10))
		add("state", string(s.State))
		add("err", s.Err)
		if s.Cause != nil {
			add("cause", s.Cause.String())
			if by := sl.by; by.task != nil {
				add("culprit", shortPath(by.task.Scope)+"/"+by.task.Name)
			} else if by.scope != nil && by.scope != s {
				add("culprit", shortPath(by.scope))
			}
		}
		if s.Deadline != history.Never {
			add("deadline", (s.Deadline-s.Opened).String()+" after its beginning")
		}
		flag("lost", s.State == history.ScopeLost)
	}
	flag("unfinished", sl.open)
	return facts
}
