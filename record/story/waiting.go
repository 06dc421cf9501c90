package story

import (
	"cmp"
	"slices"
	"strings"

	"github.com/traigo/traigo/record/history"
)

const (
	maxGroups = 3 // groups of waiting tasks that are named
	maxNames  = 4 // tasks of a group that are named
)

// A waiting is what several spans wait for at one place.
type waiting struct {
	waits string // "sync.Mutex.Lock"
	at    string // "main.go:45"
	spans []Span // tasks, and scopes for the bodies of theirs
	count int    // of them, with those that the log does not name
}

// what returns what they wait for with the place: "sync.Mutex.Lock at main.go:45".
func (w *waiting) what() string { return placeText(w.waits, w.at) }

func placeText(waits, at string) string {
	return strings.TrimSpace(oneLine(waits) + place(" at ", at, ""))
}

// A waitings is what tasks wait for, each place once.
type waitings struct {
	all    []*waiting
	byWhat map[string]*waiting
}

// add adds a number of spans, and those of them that are known.
func (ws *waitings) add(waits, at string, count int, spans ...Span) {
	what := placeText(waits, at)
	w := ws.byWhat[what]
	if w == nil {
		if ws.byWhat == nil {
			ws.byWhat = make(map[string]*waiting)
		}
		w = &waiting{waits: oneLine(waits), at: oneLine(at)}
		ws.all, ws.byWhat[what] = append(ws.all, w), w
	}
	w.spans, w.count = append(w.spans, spans...), w.count+max(count, len(spans))
}

// spansOf returns the tasks and bodies of a group that the log names.
func spansOf(g *history.Group) (spans []Span) {
	for _, t := range g.Tasks {
		spans = append(spans, Span{t.Scope, t})
	}
	for _, s := range g.Bodies {
		spans = append(spans, Span{Scope: s})
	}
	return spans
}

const emptySelect = "select (no cases)"

// suspects has what tasks wait for in the order in which it deserves a look when nothing moves.
var suspects = func() map[string]int {
	order := make(map[string]int)
	for i, group := range [][]string{
		{"sync.Mutex.Lock", "sync.RWMutex.Lock", "sync.RWMutex.RLock"},
		{"chan send (nil chan)", "chan receive (nil chan)"},
		{emptySelect},
		{"chan send"},
		{"sync.WaitGroup.Wait", "sync.Cond.Wait", "semacquire"},
		{"chan receive", "select"},
		{}, // what is not listed
		{"sleep"},
		{"IO wait"},
		{"syscall"},
		{"running", "runnable"},
	} {
		for _, waits := range group {
			order[waits] = i - 6
		}
	}
	return order
}()

// blocks reports whether the tasks go on only if another goroutine of the program lets them, or
// never. A channel does not count: a task may wait for work at one for hours. Nor does a select
// without cases, with which a program is kept alive.
func (w *waiting) blocks() bool {
	return suspects[w.waits] < suspects["chan send"] && w.waits != emptySelect
}

// goesOn reports whether the tasks go on by themselves. One of them may be what others wait for.
func (w *waiting) goesOn() bool {
	switch w.waits {
	case "running", "runnable", "syscall", "sleep":
		return true
	default:
		return false
	}
}

// bySuspicion sorts what tasks wait for: the most suspicious first, of equals that at which most
// tasks wait.
func bySuspicion(all []*waiting) {
	slices.SortStableFunc(all, func(a, b *waiting) int {
		return cmp.Or(cmp.Compare(suspects[a.waits], suspects[b.waits]), cmp.Compare(b.count, a.count))
	})
}

// waitingIn returns what tasks waited for at a census, the most suspicious first. Groups that
// differ only in what is below the topmost frame of the program are one.
func waitingIn(c *history.Census) []*waiting {
	var ws waitings
	for _, g := range c.Groups {
		ws.add(g.Waits, g.At, g.Count, spansOf(g)...)
	}
	bySuspicion(ws.all)
	return ws.all
}

// groups names the first groups: "a, b and 2 more, waiting for X; c, waiting for Y".
func groups(all []*waiting) (words []any) {
	for i, w := range all {
		if i == maxGroups && len(all) > maxGroups+1 {
			return append(words, "; and "+count(counted(all[i:]), "other")+" at "+count(len(all)-i, "place"))
		}
		if i > 0 {
			words = append(words, "; ")
		}
		words = append(words, names(w.spans, w.count)...)
		if what := w.what(); what != "" {
			words = append(words, ", "+doing(what))
		}
	}
	return words
}

func counted(all []*waiting) (n int) {
	for _, w := range all {
		n += w.count
	}
	return n
}

// doing says what a task does that waits for something at a place: "waiting for sync.Mutex.Lock
// at main.go:45", "running at main.go:20".
func doing(what string) string {
	switch waits, _, _ := strings.Cut(what, " "); waits {
	case "running":
		return what
	case "runnable":
		return "waiting for a processor" + what[len(waits):]
	case "sleep":
		return "sleeping" + what[len(waits):]
	case "syscall":
		return "in a system call" + what[len(waits):]
	default:
		return "waiting for " + what
	}
}

// waitWords says what tasks waited for: "4 tasks waited for X at main.go:45: a, b, c and d; 1
// task waited for Y at main.go:50: e". What is the same but for the place is counted together:
// "2 tasks waited for X: a at main.go:45 and b at main.go:50".
func waitWords(all []*waiting) (words []any) {
	for told := 0; len(all) > 0; told++ {
		if told == maxGroups && len(all) > 1 {
			return append(words, "; "+count(counted(all), "other")+" at "+count(len(all), "other place"))
		}
		if told > 0 {
			words = append(words, "; ")
		}
		var same, others []*waiting
		for _, w := range all {
			if w.waits == all[0].waits {
				same = append(same, w)
			} else {
				others = append(others, w)
			}
		}
		words = append(words, places(same)...)
		all = others
	}
	return words
}

// places says how many waited for one thing, and which of them where.
func places(all []*waiting) (words []any) {
	at := all[0].at
	if len(all) > 1 {
		at = ""
	}
	words = append(words, noun(all)+did(all[0].waits, counted(all))+place(" at ", at, ""))
	if len(all) == 1 {
		if len(all[0].spans) > 0 {
			words = append(append(words, ": "), names(all[0].spans, all[0].count)...)
		}
		return words
	}
	words = append(words, ": ")
	for i, w := range all {
		if i == maxGroups && len(all) > maxGroups+1 {
			return append(words, " and "+count(counted(all[i:]), "other")+" at "+count(len(all)-i, "other place"))
		}
		words = append(words, word(i == 0, "", word(i == len(all)-1, " and ", ", ")))
		words = append(append(words, names(w.spans, w.count)...), place(" at ", w.at, ""))
	}
	return words
}

// did says what a number of tasks did, in the runtime's words for it as far as they go.
func did(waits string, n int) string {
	switch waits {
	case "sleep":
		return " slept"
	case "IO wait":
		return " waited for IO"
	case "running":
		return word(n == 1, " was ", " were ") + waits
	case "runnable":
		return " waited for a processor"
	case "syscall":
		return word(n == 1, " was", " were") + " in a system call"
	default:
		return " waited for " + waits
	}
}

// noun counts what waits.
func noun(all []*waiting) string {
	n, bodies := counted(all), 0
	for _, w := range all {
		for _, s := range w.spans {
			if s.Task == nil {
				bodies++
			}
		}
	}
	switch bodies {
	case 0:
		return count(n, "task")
	case n:
		return countOf(bodies, "body", "bodies")
	default:
		return count(n-bodies, "task") + " and " + countOf(bodies, "body", "bodies")
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
