package story

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"github.com/traigo/traigo/internal/stackdump"
	"github.com/traigo/traigo/record/history"
)

const standstill = 2 * time.Second // without any event, after which it is said that nothing was recorded

// stuck tells which tasks did not end when told to, and where they stand.
func (t *writer) stuck() (lines []Line) {
	var ws waitings
	n := 0
	for _, s := range t.history.Scopes {
		for _, task := range s.Tasks {
			if task.Stuck == history.Never {
				continue
			}
			n++
			at := stackdump.PlaceOf(task.Stack)
			ws.add(at.Waits, at.At, 1, Span{s, task})
		}
	}
	if n == 0 {
		return nil
	}
	all := ws.all
	bySuspicion(all)
	words := []any{Word{Text: count(n, "task"), Find: "stuck"}, " did not end when told to, and " + was(n) + " given up: "}
	words = append(words, groups(all)...)
	if s := t.told(all[0].spans[0].Task); s != nil && s.Cause != nil {
		words = append(words, ". ", pathTo(s), " was told to end at "+Duration(t.history, s.Canceled)+": ")
		words = append(words, t.ended(s)...)
	}
	return []Line{say("stuck", append(words, ".")...)}
}

// told returns the scope with whose end the cancellation of a task began; nil if it was
// canceled alone.
func (t *writer) told(task *history.Task) *history.Scope {
	if task.Cause != nil || task.Scope.Canceled == history.Never || task.Stuck < task.Scope.Canceled {
		return nil
	}
	return cmp.Or(t.causes.origin(task.Scope), task.Scope)
}

// ended says why a scope ended, also if it did not fail.
func (t *writer) ended(s *history.Scope) []any {
	c := s.Cause
	if !c.Quiet() && c.Kind != parentCanceled {
		return t.why(s)
	}
	switch {
	case c.Kind == "master ended" && c.By != nil && c.By.Master:
		return []any{"its master ", linkTo(c.By), " ended"}
	case c.Kind == "master ended" && c.By != nil: // a Race
		return []any{"task ", linkTo(c.By), " won"}
	case c.Kind == "requested":
		return []any{"it was canceled by the program" + place(" at ", c.At, "")}
	case c.Kind == "completed":
		return []any{"all that it waited for was done"}
	case s.Parent == nil && c.Kind == parentCanceled:
		return []any{"it was canceled from outside the log" + because(c.Err)}
	case c.Kind == parentCanceled:
		return []any{"a context around it was canceled" + because(c.Err)}
	default:
		return []any{flat(c.Kind)}
	}
}

// because returns the error that a context was canceled with, if that says more than that it was.
func because(err string) string {
	if err == "" || err == context.Canceled.Error() {
		return ""
	}
	return quote(": ", err)
}

// hangs tells of the processes whose logs stop short after a time in which nothing was
// recorded.
func (t *writer) hangs() (lines []Line) {
	moved := lastMoves(t.history)
	censuses := LastCensuses(t.history)
	for _, p := range t.history.Processes {
		at, known := moved[p]
		if p.Closed || !known || p.End-at < standstill || t.history.Ordinal {
			continue
		}
		left, innermost := unfinishedIn(t.history, p)
		if left == 0 {
			continue
		}
		who, in, log := "program", "", "the log"
		if len(t.history.Processes) > 1 {
			who, in, log = "process", " in "+flat(p.String()), "its log"
		}
		nothing := "nothing was recorded" + in + " after " + Duration(t.history, at)
		end := Duration(t.history, p.End)
		census := censuses[p]
		if census == nil || census.At < at || len(census.Groups) == 0 {
			words := []any{"N" + nothing[1:] + ", and " + log + " ends at " + end + ". ", Word{Text: count(left, "task"), Find: "unfinished"}, " had not ended" + word(left > len(innermost), ", the innermost ", ": ")}
			lines = append(lines, say("unfinished", append(append(words, names(innermost, len(innermost))...), ".")...))
			continue
		}
		tone, waits, seen := "unfinished", waitingIn(census), Duration(t.history, census.At)
		words := []any{"N" + nothing[1:] + ". At " + seen + " "}
		switch {
		case !slices.ContainsFunc(waits, (*waiting).blocks):
		case slices.ContainsFunc(waits, (*waiting).goesOn): // it may hold what the others wait for
			slices.SortStableFunc(waits, func(a, b *waiting) int {
				return cmp.Or(compareBool(b.blocks(), a.blocks()), compareBool(b.goesOn(), a.goesOn()))
			})
		default:
			tone, words = "stuck", []any{"The " + who + " hung: " + nothing + ", and at " + seen + " "}
			waits = slices.DeleteFunc(waits, func(w *waiting) bool { return !w.blocks() })
		}
		words = append(append(words, waitWords(waits)...), "; "+log+" ends at "+end+".")
		lines = append(lines, say(tone, words...))
	}
	return lines
}

// LastCensuses returns the last census of each process that has one.
func LastCensuses(h *history.History) map[*history.Process]*history.Census {
	last := make(map[*history.Process]*history.Census)
	for _, c := range h.Censuses {
		if known := last[c.Process]; known == nil || c.At >= known.At {
			last[c.Process] = c
		}
	}
	return last
}

// lastMoves returns when something last happened in each process. Where lines are missing,
// something may have.
func lastMoves(h *history.History) map[*history.Process]time.Duration {
	moved := make(map[*history.Process]time.Duration)
	for _, s := range h.Scopes {
		at := max(moved[s.Process], s.Opened, s.Finalized, s.Canceled, s.Closed)
		for _, t := range s.Tasks {
			at = max(at, t.Spawned, t.Started, t.Ready, t.Stuck, t.Ended)
			for _, left := range t.Abandoned {
				at = max(at, left)
			}
		}
		moved[s.Process] = at
	}
	for _, l := range h.Losses {
		if at, known := moved[l.Process]; known {
			moved[l.Process] = max(at, l.At)
		}
	}
	return moved
}

// unfinishedIn returns the number of tasks of a process that had not ended, and those of them
// that do not only wait for scopes below them.
func unfinishedIn(h *history.History, p *history.Process) (n int, innermost []Span) {
	for _, s := range h.Scopes {
		if s.Process != p {
			continue
		}
		for _, t := range s.Tasks {
			if !t.Unfinished() {
				continue
			}
			n++
			if !slices.ContainsFunc(t.Scopes, func(below *history.Scope) bool { return below.Closed == history.Never }) {
				innermost = append(innermost, Span{s, t})
			}
		}
	}
	return n, innermost
}

// A Wait says what an unfinished task, or the body of a scope, waits for.
type Wait struct {
	Span
	What string        // "sync.Mutex.Lock at main.go:45"
	For  time.Duration // how long, at least
	At   time.Duration // when that was seen
	Of   int           // number of tasks and bodies that wait for it there
}

// Doing returns what it does in words: "waiting for sync.Mutex.Lock at main.go:45", "running at
// main.go:20".
func (w Wait) Doing() string { return doing(w.What) }

// Waits reports whether it waits for something, and neither runs nor waits for a processor.
func (w Wait) Waits() bool {
	waits, _, _ := strings.Cut(w.What, " ")
	return waits != "running" && waits != "runnable"
}

// Waits returns what unfinished spans wait for: as the last census of their process says, or
// their stacks when they were given up.
func Waits(h *history.History) (all []Wait) {
	known := make(map[Span]bool)
	add := func(w Wait) {
		isLeft := w.Task != nil && w.Task.Unfinished() || w.Task == nil && w.Scope.Closed == history.Never
		if isLeft && w.What != "" && !known[w.Span] {
			known[w.Span] = true
			all = append(all, w)
		}
	}
	censuses := LastCensuses(h)
	for _, c := range h.Censuses {
		if censuses[c.Process] != c {
			continue
		}
		counts := make(map[string]int)
		for _, w := range waitingIn(c) {
			counts[w.what()] = w.count
		}
		for _, g := range c.Groups {
			what := placeText(g.Waits, g.At)
			for _, span := range spansOf(g) {
				add(Wait{span, what, g.For, c.At, counts[what]})
			}
		}
	}
	for _, s := range h.Scopes {
		for _, t := range s.Tasks {
			if t.Stuck != history.Never && t.Stack != "" {
				what, since := standsAt(t)
				add(Wait{Span{s, t}, what, since, t.Stuck, 1})
			}
		}
	}
	return all
}

// standsAt returns what a task that was given up waited for, and for how long it had at least,
// as its stack says: "sync.Mutex.Lock at main.go:45".
func standsAt(t *history.Task) (what string, since time.Duration) {
	p := stackdump.PlaceOf(t.Stack)
	return placeText(p.Waits, p.At), p.For
}

// WaitsIn returns a line for each thing that tasks waited for at a census, with the number of
// tasks, how long they had waited at least, and the names of some.
func WaitsIn(h *history.History, c *history.Census) (lines []Line) {
	since := make(map[string]time.Duration)
	for _, g := range c.Groups {
		what := placeText(g.Waits, g.At)
		since[what] = max(since[what], g.For)
	}
	for _, w := range waitingIn(c) {
		words := []any{thousands(w.count) + " × " + w.what()}
		if d := since[w.what()]; d > 0 {
			words = append(words, ", "+Duration(h, d))
		}
		if len(w.spans) > 0 {
			words = append(append(words, ": "), names(w.spans, w.count)...)
		}
		lines = append(lines, say("unfinished", words...))
	}
	return lines
}
