package export

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/traigo/traigo/record/history"
)

// A slice is a scope or a task as trace viewers draw it: a bar with marks on it.
type slice struct {
	scope      *history.Scope // it is this scope, or a task of it
	task       *history.Task  // nil for a scope
	up         *slice         // what it hangs below: nil for a root
	row        string         // slices of one row have much in common, and share lanes
	name       string
	begin, end time.Duration
	open       bool    // it has no end in the log
	by         culprit // of a scope
	marks      []slicemark
}

// A slicemark is a moment on a slice: an instant with a name, or an end of an arrow, or both.
type slicemark struct {
	at    time.Duration
	name  string
	arrow uint64 // 0 if there is none
	from  bool   // the arrow begins here
	spawn bool   // the arrow leads to what was spawned or opened; otherwise to what was canceled
}

// picture returns the slices, each below what it hangs on, with the arrows between them.
func picture(h *history.History) []*slice {
	p := &painter{history: h, scopes: make(map[*history.Scope]*slice, len(h.Scopes)), tasks: make(map[*history.Task]*slice), known: make(culprits)}
	for _, s := range h.Scopes {
		if s.Parent == nil {
			p.scope(s, nil, "", 0)
		}
	}
	for _, s := range h.Scopes {
		p.cancellation(s)
	}
	for _, sl := range p.slices {
		slices.SortStableFunc(sl.marks, func(a, b slicemark) int { return int(max(-1, min(1, a.at-b.at))) })
	}
	return p.slices
}

type painter struct {
	history *history.History
	slices  []*slice
	scopes  map[*history.Scope]*slice
	tasks   map[*history.Task]*slice
	known   culprits
	arrows  uint64
}

func (p *painter) scope(s *history.Scope, up *slice, row string, depth int) {
	if depth < 16 { // further down rows are shared by depth: a path for each would be too much
		row += "/" + withoutNumbers(s.Name)
	}
	sl := &slice{scope: s, up: up, row: row, name: oneLine(s.Name, 200), begin: s.Opened, end: s.Closed, by: p.known.of(s)}
	p.scopes[s] = sl
	p.add(sl)
	if up != nil {
		p.spawn(up, sl)
	}
	for _, at := range s.Abandoned {
		sl.mark(at, "abandoned a call")
	}
	for _, t := range s.Tasks {
		p.task(t, sl, row, depth)
	}
	for _, c := range s.Scopes {
		if c.By == nil {
			p.scope(c, sl, row, depth+1)
		}
	}
}

func (p *painter) task(t *history.Task, up *slice, row string, depth int) {
	sl := &slice{scope: t.Scope, task: t, up: up, row: row, name: oneLine(t.Name, 200), begin: t.Spawned, end: t.Ended}
	p.tasks[t] = sl
	p.add(sl)
	if t.Ready != history.Never {
		sl.mark(t.Ready, "ready")
	}
	if t.Stuck != history.Never {
		sl.mark(t.Stuck, "given up")
	}
	for _, at := range t.Abandoned {
		sl.mark(at, "abandoned a call")
	}
	p.spawn(up, sl)
	for _, c := range t.Scopes {
		p.scope(c, sl, row, depth+1)
	}
}

func (p *painter) add(sl *slice) {
	if sl.end == history.Never {
		sl.open, sl.end = true, max(p.history.End, sl.begin)
	}
	p.slices = append(p.slices, sl)
}

func (sl *slice) mark(at time.Duration, name string) {
	sl.marks = append(sl.marks, slicemark{at: sl.inside(at), name: name})
}

func (sl *slice) inside(at time.Duration) time.Duration { return min(max(at, sl.begin), sl.end) }

// cancellation marks the end of s, and draws the arrow from what ended it.
func (p *painter) cancellation(s *history.Scope) {
	if s.Cause == nil || s.Canceled == history.Never {
		return
	}
	from, at := p.culprit(s)
	to := p.scopes[s]
	m := slicemark{at: to.inside(s.Canceled)}
	if s.Cause.Kind != "completed" {
		m.name = "canceled: " + oneLine(s.Cause.String(), 200)
	}
	if from != nil && from.begin <= m.at {
		// Where both have the same time, some viewers take the end for the first.
		m.arrow = p.arrow(from, max(from.begin, min(at, m.at-1)), false)
	}
	if m.name != "" || m.arrow != 0 {
		to.marks = append(to.marks, m)
	}
}

// culprit is the slice that ended s, one step up, and when it did; nil if it is not here.
func (p *painter) culprit(s *history.Scope) (*slice, time.Duration) {
	switch task, scope := s.EndedBy(); {
	case task != nil && scope == s:
		if by := p.tasks[task]; by != nil {
			return by, by.end
		}
	case task != nil: // of the parent: it opened s
		return p.tasks[task], s.Canceled
	case scope != s:
		return p.scopes[scope], scope.Canceled
	}
	return nil, 0
}

// spawn draws the arrow to what has just begun.
func (p *painter) spawn(up, sl *slice) {
	if arrow := p.arrow(up, sl.begin, true); arrow != 0 {
		sl.marks = append(sl.marks, slicemark{at: sl.begin, arrow: arrow, spawn: true})
	}
}

// arrow begins one. There is none if the slice is elsewhere then: viewers tie the ends
// of arrows to the slices that they are on.
func (p *painter) arrow(from *slice, at time.Duration, spawn bool) uint64 {
	if at < from.begin || at > from.end {
		return 0
	}
	p.arrows++
	from.marks = append(from.marks, slicemark{at: at, arrow: p.arrows, from: true, spawn: spawn})
	return p.arrows
}

// withoutNumbers makes scope#17 and scope#18 the same, conn-3 and conn-4 too.
func withoutNumbers(name string) string {
	name = oneLine(name, 80)
	short := strings.TrimRight(name, "0123456789")
	if short == name || !strings.HasSuffix(short, "#") && !strings.HasSuffix(short, "-") {
		return name
	}
	return short[:len(short)-1]
}

// A fact is what a viewer shows of a slice when asked.
type fact struct {
	key, text string
	flag      bool // it is true, and has no text
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
		add("path", sl.path()+"/"+t.Name)
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
		add("path", sl.path())
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

func (sl *slice) path() string { return shortPath(sl.scope) }

// shortPath is the path from not too far up: of a chain of scopes that is endless, the
// paths would be endless squared.
func shortPath(s *history.Scope) string {
	var names []string
	for ; s != nil; s = s.Parent {
		if len(names) == 64 {
			names = append(names, "…")
			break
		}
		names = append(names, s.Name)
	}
	slices.Reverse(names)
	return strings.Join(names, "/")
}
