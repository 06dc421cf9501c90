package story

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/traigo/traigo/internal/stackdump"
	"github.com/traigo/traigo/record/history"
)

const (
	standstill = 2 * time.Second // without any event, after which it is said that nothing happened
	maxGroups  = 3               // groups of waiting tasks that are named
	maxNames   = 4               // tasks of a group that are named
)

// A waiting is what several spans wait for at one place.
type waiting struct {
	what  string // "sync.Mutex.Lock at main.go:45"
	waits string // "sync.Mutex.Lock"
	spans []Span // tasks, and scopes for the bodies of theirs
	count int    // of them, with those that the log does not name
}

func placeText(waits, at string) string {
	return strings.TrimSpace(waits + place(" at ", at, ""))
}

// stuck tells which tasks did not end when told to, and where they stand.
func (t *teller) stuck() (lines []Line) {
	var all []*waiting
	n := 0
	for _, s := range t.history.Scopes {
		for _, task := range s.Tasks {
			if task.Stuck == history.Never {
				continue
			}
			n++
			what, _ := standsAt(task)
			all = addTo(all, &waiting{what: what}, Span{s, task})
		}
	}
	if n == 0 {
		return nil
	}
	slices.SortStableFunc(all, func(a, b *waiting) int { return cmp.Compare(b.count, a.count) })
	words := []any{Word{Text: count(n, "task"), Find: "stuck"}, " did not end when told to, and " + was(n) + " given up: "}
	words = append(words, groups(all, func(w *waiting) string { return doing(w.what) })...)
	if s := t.told(all[0].spans[0].Task); s != nil && s.Cause != nil {
		words = append(words, ". ", pathTo(s), " was told to end at "+Duration(t.history, s.Canceled)+": ")
		words = append(words, t.ended(s)...)
	}
	return []Line{say("stuck", append(words, ".")...)}
}

// told returns the scope with whose end the cancellation of a task began; nil if it was
// canceled alone.
func (t *teller) told(task *history.Task) *history.Scope {
	if task.Cause != nil || task.Scope.Canceled == history.Never || task.Stuck < task.Scope.Canceled {
		return nil
	}
	return cmp.Or(t.causes.origin(task.Scope), task.Scope)
}

// ended says why a scope ended, also if it did not fail.
func (t *teller) ended(s *history.Scope) []any {
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
		return []any{"it was canceled from outside the log"}
	case c.Kind == parentCanceled:
		return []any{"a context around it was canceled"}
	default:
		return []any{c.Kind}
	}
}

func addTo(all []*waiting, w *waiting, span Span) []*waiting {
	i := slices.IndexFunc(all, func(known *waiting) bool { return known.what == w.what })
	if i < 0 {
		i, all = len(all), append(all, w)
	}
	all[i].spans, all[i].count = append(all[i].spans, span), all[i].count+1
	return all
}

// groups names the largest groups: "a, b and 2 more, waiting for X; c, waiting for Y".
func groups(all []*waiting, what func(*waiting) string) (words []any) {
	for i, w := range all {
		if i == maxGroups && len(all) > maxGroups+1 {
			rest := 0
			for _, w := range all[i:] {
				rest += w.count
			}
			return append(words, "; and "+count(rest, "other")+" at "+count(len(all)-i, "place"))
		}
		if i > 0 {
			words = append(words, "; ")
		}
		words = append(words, names(w.spans, w.count)...)
		words = append(words, what(w))
	}
	return words
}

func doing(what string) string {
	switch {
	case what == "":
		return ""
	case strings.HasPrefix(what, "run"): // running, runnable
		return ", " + what
	default:
		return ", waiting for " + what
	}
}

// names returns links to the first of count spans.
func names(spans []Span, count int) (words []any) {
	shown := len(spans)
	if count > maxNames {
		shown = min(shown, maxNames-1)
	}
	for i, s := range spans[:shown] {
		switch {
		case i > 0 && i == count-1:
			words = append(words, " and ")
		case i > 0:
			words = append(words, ", ")
		}
		if s.Task != nil {
			words = append(words, linkTo(s.Task))
		} else {
			words = append(words, "the body of ", linkTo(s.Scope))
		}
	}
	switch rest := count - shown; {
	case rest > 0 && shown > 0:
		words = append(words, " and "+thousands(rest)+" more")
	case rest > 0:
		words = append(words, thousands(rest)+" of them")
	}
	return words
}

// hangs tells of the processes whose logs stop short after a time in which nothing happened.
func (t *teller) hangs() (lines []Line) {
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
		in := ""
		if len(t.history.Processes) > 1 {
			in = " in " + flat(p.String())
		}
		words := []any{"Nothing happened" + in + " after " + Duration(t.history, at)}
		census := censuses[p]
		if census == nil || census.At < at {
			words = append(words, ": the log goes on until "+Duration(t.history, p.End)+". ", Word{Text: count(left, "task"), Find: "unfinished"}, " had not ended"+word(left > len(innermost), ", the innermost ", ": "))
			lines = append(lines, say("unfinished", append(append(words, names(innermost, len(innermost))...), ".")...))
			continue
		}
		waits := waitingIn(census)
		locked := slices.DeleteFunc(slices.Clone(waits), func(w *waiting) bool { return !blocks[w.waits] })
		tone := "unfinished"
		if len(locked) > 0 {
			tone, waits = "stuck", locked
			words = append(words, ": the program hung until its log ends at "+Duration(t.history, p.End)+". ")
		} else {
			words = append(words, ", up to "+Duration(t.history, p.End)+", where its log ends. ")
		}
		lines = append(lines, say(tone, append(append(words, waitWords(waits)...), ".")...))
	}
	return lines
}

// noun counts what waits.
func (w *waiting) noun() string {
	bodies := 0
	for _, s := range w.spans {
		if s.Task == nil {
			bodies++
		}
	}
	switch bodies {
	case 0:
		return count(w.count, "task")
	case w.count:
		return countOf(bodies, "body", "bodies")
	default:
		return count(w.count-bodies, "task") + " and " + countOf(bodies, "body", "bodies")
	}
}

// waitWords says what tasks wait for: "4 tasks wait for X: a, b, c and d; 1 task waits for Y: e".
func waitWords(all []*waiting) (words []any) {
	for i, w := range all {
		if i == maxGroups && len(all) > maxGroups+1 {
			rest := 0
			for _, w := range all[i:] {
				rest += w.count
			}
			return append(words, "; "+count(rest, "other")+" at "+count(len(all)-i, "other place"))
		}
		if i > 0 {
			words = append(words, "; ")
		}
		what := word(w.count == 1, " waits for ", " wait for ") + w.what
		if strings.HasPrefix(w.waits, "run") {
			what = word(w.count == 1, " is ", " are ") + w.what
		}
		words = append(words, w.noun()+what)
		if len(w.spans) > 0 {
			words = append(words, ": ")
			words = append(words, names(w.spans, w.count)...)
		}
	}
	return words
}

// blocks has what a task waits for only if another goroutine of the program lets it go on, or
// for ever. A channel is not among them: whoever waits for work may wait at one for hours.
var blocks = map[string]bool{
	"sync.Mutex.Lock": true, "sync.RWMutex.Lock": true, "sync.RWMutex.RLock": true,
	"chan send (nil chan)": true, "chan receive (nil chan)": true, "select (no cases)": true,
}

// waitingIn returns what tasks waited for at a census, the most first. Groups that differ only
// in what is below the topmost frame of the program are one.
func waitingIn(c *history.Census) (all []*waiting) {
	for _, g := range c.Groups {
		w := &waiting{what: placeText(g.Waits, g.At), waits: g.Waits}
		i := slices.IndexFunc(all, func(known *waiting) bool { return known.what == w.what })
		if i < 0 {
			i, all = len(all), append(all, w)
		}
		for _, task := range g.Tasks {
			all[i].spans = append(all[i].spans, Span{task.Scope, task})
		}
		for _, s := range g.Bodies {
			all[i].spans = append(all[i].spans, Span{Scope: s})
		}
		all[i].count += max(g.Count, len(g.Tasks)+len(g.Bodies))
	}
	slices.SortStableFunc(all, func(a, b *waiting) int {
		return cmp.Or(compareBool(blocks[b.waits], blocks[a.waits]), cmp.Compare(b.count, a.count))
	})
	return all
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
			counts[w.what] = w.count
		}
		for _, g := range c.Groups {
			what := placeText(g.Waits, g.At)
			for _, t := range g.Tasks {
				add(Wait{Span{t.Scope, t}, what, g.For, c.At, counts[what]})
			}
			for _, s := range g.Bodies {
				add(Wait{Span{Scope: s}, what, g.For, c.At, counts[what]})
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
		words := []any{thousands(w.count) + " × " + w.what}
		if d := since[w.what]; d > 0 {
			words = append(words, ", "+Duration(h, d))
		}
		if len(w.spans) > 0 {
			words = append(append(words, ": "), names(w.spans, w.count)...)
		}
		lines = append(lines, say("unfinished", words...))
	}
	return lines
}
