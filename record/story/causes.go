package story

import (
	"cmp"
	"iter"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/traigo/traigo/record/history"
)

// Causes says which failures went up to which scopes, and what was canceled because of them.
//
// A span, which is a scope or a task, was canceled because of the end of a scope if all of
// these hold:
//   - it was told to end by it: it is in the scope, or below at any depth, and the chain of
//     causes from its own scope leads there (see [history.Scope.EndedBy]);
//   - it had begun before the scope was canceled: what begins later begins canceled;
//   - it had not been canceled alone before that, nor ended. A task that returned nil afterwards counts, since
//     it was cut short, and so does a span that has not ended at all;
//   - it is not the task that ended the scope.
//
// A task that ended in a gap of the log does not count: whether it was told to end is not known.
type Causes struct {
	ended    map[*history.Task]*history.Scope  // the scope that the task ended
	origins  map[*history.Scope]*history.Scope // where the chain of causes begins; nil if that is no end of a scope
	failed   map[*history.Scope]bool           // failed by themselves
	passing  map[*history.Scope]bool           // did not fail, and have the error of tasks below that were given up
	from, to map[*history.Scope]*history.Scope // a failure that went up to another scope, seen from above and from below
	bottoms  map[*history.Scope]*history.Scope // where such failures began, as far as it was asked for
	levels   map[*history.Scope]int            // number of scopes above that failed because this one did
	tolls    map[*history.Scope]Toll
}

// A Toll is the number of tasks and scopes that were canceled because of the end of a scope: see
// [Causes].
type Toll struct{ Tasks, Scopes int }

// Total returns the number of tasks and scopes.
func (t Toll) Total() int { return t.Tasks + t.Scopes }

// String returns the numbers: "14 tasks and 13 scopes".
func (t Toll) String() string { return both(t.Tasks, t.Scopes) }

func (t Toll) plus(other Toll) Toll { return Toll{t.Tasks + other.Tasks, t.Scopes + other.Scopes} }

// A Span is a task, or a scope if Task is nil.
type Span struct {
	Scope *history.Scope // the scope itself, or that of the task
	Task  *history.Task
}

// ID returns the ID of the span: that of the scope, or of scope and task with a point between.
// The ID of a process other than the first comes before it, with a hyphen.
func (s Span) ID() string {
	scope, process := s.Scope.ID, ""
	if high := scope >> 32; high != 0 && s.Scope.Process != nil && high == s.Scope.Process.ID {
		scope, process = scope&(1<<32-1), strconv.FormatUint(high, 10)+"-"
	}
	id := process + strconv.FormatUint(scope, 10)
	if s.Task != nil {
		id += "." + strconv.FormatUint(s.Task.ID, 10)
	}
	return id
}

// CausesOf works out the causes of a history. It takes time in proportion to its size.
func CausesOf(h *history.History) *Causes {
	c := &Causes{
		ended:   make(map[*history.Task]*history.Scope),
		origins: make(map[*history.Scope]*history.Scope, len(h.Scopes)), failed: make(map[*history.Scope]bool), passing: make(map[*history.Scope]bool),
		from: make(map[*history.Scope]*history.Scope), to: make(map[*history.Scope]*history.Scope), tolls: make(map[*history.Scope]Toll),
		bottoms: make(map[*history.Scope]*history.Scope), levels: make(map[*history.Scope]int),
	}
	stuck := withStuckTasks(h)
	for _, s := range h.Scopes {
		if s.Cause != nil && s.Cause.By != nil {
			c.ended[s.Cause.By] = s
		}
		switch {
		case s.Err != "" && stuck[s] && (s.Cause == nil || s.Cause.Quiet() || IsFromAbove(s)) && strings.Contains(firstError(s.Err), "did not end"):
			c.passing[s] = true
		case failedItself(s):
			c.failed[s] = true
		}
	}
	for _, s := range h.Scopes {
		if below := c.passedUp(s); below != nil {
			c.from[s], c.to[below] = below, s
		}
	}
	for span, origin := range c.Canceled(h) {
		toll := c.tolls[origin]
		if span.Task != nil {
			toll.Tasks++
		} else {
			toll.Scopes++
		}
		c.tolls[origin] = toll
	}
	for _, s := range h.Scopes {
		if c.from[s] == nil || c.to[s] != nil {
			continue
		}
		for below := c.from[s]; below != nil; below = c.from[below] { // from the top of a failure down
			up := c.to[below]
			c.levels[below], c.tolls[below] = c.levels[up]+1, c.tolls[below].plus(c.tolls[up])
		}
	}
	return c
}

// withStuckTasks returns the scopes that have, at any depth, a task that was given up.
func withStuckTasks(h *history.History) map[*history.Scope]bool {
	has := make(map[*history.Scope]bool)
	for _, s := range h.Scopes {
		for _, t := range s.Tasks {
			if t.Stuck == history.Never {
				continue
			}
			for up := s; up != nil && !has[up]; up = up.Parent {
				has[up] = true
			}
			break
		}
	}
	return has
}

// IsFromAbove reports whether what ended s is not in s.
func IsFromAbove(s *history.Scope) bool {
	if s.Cause == nil {
		return false
	}
	_, by := s.EndedBy()
	return s.Cause.Kind == parentCanceled || by != s
}

func failedItself(s *history.Scope) bool { return s.Failed() && !IsFromAbove(s) }

// failedAt returns when a scope failed. If its cause is no failure, its outcome is one, and it
// failed at its end.
func failedAt(s *history.Scope) time.Duration {
	if s.Cause.Quiet() {
		return s.Closed
	}
	return s.Canceled
}

// passedUp returns the scope below s whose failure is that of s: the task or the body that
// ended s returned the outcome of that scope, or an error that contains it.
func (c *Causes) passedUp(s *history.Scope) *history.Scope {
	if !c.failed[s] || s.Cause == nil {
		return nil
	}
	by, err := s.Cause.By, s.Cause.Err
	switch {
	case by != nil:
		err = cmp.Or(by.Err, err)
	case s.Cause.Kind != "body failed" && s.Cause.Kind != "panicked":
		return nil
	}
	var last *history.Scope
	for _, below := range s.Scopes {
		// The error of a fork may be returned by whoever waits for it.
		if below.By != by && below.By != nil || !c.failed[below] && !c.passing[below] || failedAt(below) > s.Canceled || !contains(err, below) {
			continue
		}
		if last == nil || below.By == by && last.By != by || below.By == last.By && failedAt(below) >= failedAt(last) {
			last = below
		}
	}
	return last
}

// contains reports whether an error contains that of a scope.
func contains(err string, s *history.Scope) bool {
	const most = 200 // long errors are cut in the log
	has := func(part string) bool {
		return part != "" && strings.Contains(err, part[:min(len(part), most)])
	}
	return has(s.Err) || s.Cause != nil && has(s.Cause.Err)
}

// origin returns the scope with whose end the cancellation of s began; nil if s was not
// canceled, or for a task that was canceled alone, or by a context outside of all scopes.
func (c *Causes) origin(s *history.Scope) *history.Scope {
	var path []*history.Scope
	var found *history.Scope
	for known := false; !known; {
		if found, known = c.origins[s]; known {
			break
		}
		path = append(path, s)
		task, by := s.EndedBy()
		switch {
		case by == s && s.Cause.Kind != parentCanceled:
			found, known = s, true
		case by == s || by == nil || task != nil:
			known = true
		default:
			s = by
		}
	}
	for _, s := range path {
		c.origins[s] = found
	}
	return found
}

// Canceled returns the spans that were canceled because of the end of a scope, each with that
// scope.
func (c *Causes) Canceled(h *history.History) iter.Seq2[Span, *history.Scope] {
	return func(yield func(Span, *history.Scope) bool) {
		for _, s := range h.Scopes {
			origin := c.origin(s)
			if origin == nil {
				continue
			}
			if s != origin && s.Opened < origin.Canceled && !yield(Span{Scope: s}, origin) {
				return
			}
			for _, t := range s.Tasks {
				if isCanceled(t, origin) && !yield(Span{s, t}, origin) {
					return
				}
			}
		}
	}
}

// isCanceled reports whether a task was canceled because of the end of origin, which led to
// that of its scope. Of two things at one moment, the cancellation is first if the task says
// that it was canceled.
func isCanceled(t *history.Task, origin *history.Scope) bool {
	switch at := t.Scope.Canceled; {
	case t.State == history.TaskLost, t.Cause != nil, t.Spawned >= origin.Canceled, t == t.Scope.Cause.By:
		return false
	case t.Ended == at:
		return t.State == history.TaskCanceled
	default:
		return t.Unfinished() || t.Ended > at
	}
}

// Failed reports whether the scope failed by itself: not because it was canceled from above,
// and not only because tasks below it were given up.
func (c *Causes) Failed(s *history.Scope) bool { return c.failed[s] }

// IsFirst reports whether the scope failed by itself and its failure is not that of a scope
// below.
func (c *Causes) IsFirst(s *history.Scope) bool { return c.failed[s] && c.from[s] == nil }

// Carries reports whether the scope did not fail, though its outcome is an error: it is that
// of tasks in it or below that did not end.
func (c *Causes) Carries(s *history.Scope) bool { return c.passing[s] }

// CutShort reports whether the task returned nil after it was canceled because of a failure.
func (c *Causes) CutShort(t *history.Task) bool {
	if t.State != history.TaskOK || t.Scope.Cause == nil {
		return false
	}
	origin := c.origin(t.Scope)
	return origin != nil && !origin.Cause.Quiet() && isCanceled(t, origin)
}

// Stopped reports whether a span ended early, and because its scope ended without a failure:
// when another task had won, a master had ended, all was done, or the program canceled it.
func (c *Causes) Stopped(span Span) bool {
	s := span.Scope
	origin := c.origin(s)
	if origin == nil || !origin.Cause.Quiet() {
		return false
	}
	if span.Task != nil {
		return span.Task.State == history.TaskCanceled && span.Task.Cause == nil && span.Task.Ended >= s.Canceled
	}
	return IsFromAbove(s) && s.State == history.ScopeClosed && !c.passing[s]
}

// First returns the span at which the failure of another began, and the path that leads there,
// in at most about room characters: the task that failed, or the scope whose body failed or
// whose deadline passed. The path begins below the span. It is "" if the failure of the span is
// its own.
func (c *Causes) First(span Span, room int) (first Span, path string) {
	const most = maxPath // names at each end: there is no room for more
	next := c.from[span.Scope]
	if span.Task != nil {
		if next = failedBelow(span.Task); next == nil {
			return span, ""
		}
	}
	bottom := c.bottom(cmp.Or(next, span.Scope))
	var head, tail []string
	for ; next != nil && len(head) < most; next = c.from[next] {
		head = append(head, flat(next.Name))
	}
	if next != nil {
		for s := bottom; s != next.Parent && len(tail) < most; s = s.Parent {
			tail = append(tail, flat(s.Name))
		}
	}
	slices.Reverse(tail)
	names := append(head, tail...)
	first = Span{Scope: bottom}
	if by := c.culprit(bottom); by != nil && by != span.Task {
		first.Task = by
		names = append(names, flat(by.Name))
	}
	if len(names) == 0 {
		return span, ""
	}
	return first, elidePath(names, room)
}

// bottom returns the scope below s, or s itself, at which the failure of s began.
func (c *Causes) bottom(s *history.Scope) *history.Scope {
	var path []*history.Scope
	for c.from[s] != nil {
		if known := c.bottoms[s]; known != nil {
			s = known
			break
		}
		path = append(path, s)
		s = c.from[s]
	}
	for _, above := range path {
		c.bottoms[above] = s
	}
	return s
}

// culprit returns the task whose own failure is that of s, or nil.
func (c *Causes) culprit(s *history.Scope) *history.Task {
	if !c.failed[s] || s.Cause == nil || s.Cause.By == nil || !s.Cause.By.Failed() || failedBelow(s.Cause.By) != nil {
		return nil
	}
	return s.Cause.By
}

// failedBelow returns the scope that a task opened whose failure it returned, or nil.
func failedBelow(task *history.Task) *history.Scope {
	if !task.Failed() {
		return nil
	}
	for _, s := range slices.Backward(task.Scopes) {
		if contains(task.Err, s) {
			return s
		}
	}
	return nil
}

// Ended returns the scope that the task ended, or nil.
func (c *Causes) Ended(t *history.Task) *history.Scope { return c.ended[t] }

// FailedWith returns the scope above s that failed because s did, or nil.
func (c *Causes) FailedWith(s *history.Scope) *history.Scope { return c.to[s] }

// Toll returns what was canceled because of the end of s, and of those of the scopes above
// that failed because s did.
func (c *Causes) Toll(s *history.Scope) Toll { return c.tolls[s] }

// path returns s and the scopes above it that failed because of it.
func (c *Causes) path(s *history.Scope) (path []*history.Scope) {
	for ; s != nil; s = c.to[s] {
		path = append(path, s)
	}
	return path
}

// passesOn reports whether the error of a task is that of a scope that it opened.
func passesOn(t *history.Task) bool {
	return slices.ContainsFunc(t.Scopes, func(s *history.Scope) bool { return contains(t.Err, s) })
}

// parentCanceled is the kind of a cause that is an ancestor's, or an outer context's.
const parentCanceled = "parent canceled"
