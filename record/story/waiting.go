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
	what  string // "sync.Mutex.Lock at main.go:45"
	waits string // "sync.Mutex.Lock"
	at    string // "main.go:45"
	spans []Span // tasks, and scopes for the bodies of theirs
	count int    // of them, with those that the log does not name
}

func placeText(waits, at string) string {
	return strings.TrimSpace(waits + place(" at ", at, ""))
}

// suspects has what tasks wait for in the order in which it deserves a look when nothing moves.
var suspects = func() map[string]int {
	order := make(map[string]int)
	for i, group := range [][]string{
		{"sync.Mutex.Lock", "sync.RWMutex.Lock", "sync.RWMutex.RLock"},
		{"chan send (nil chan)", "chan receive (nil chan)"},
		{"select (no cases)"},
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
// never. A channel does not count: a task may wait for work at one for hours.
func (w *waiting) blocks() bool { return suspects[w.waits] < suspects["chan send"] }

// bySuspicion sorts what tasks wait for: the most suspicious first, of equals that at which most
// tasks wait.
func bySuspicion(all []*waiting) {
	slices.SortStableFunc(all, func(a, b *waiting) int {
		return cmp.Or(cmp.Compare(suspects[a.waits], suspects[b.waits]), cmp.Compare(b.count, a.count))
	})
}

func addTo(all []*waiting, w *waiting, span Span) []*waiting {
	i := slices.IndexFunc(all, func(known *waiting) bool { return known.what == w.what })
	if i < 0 {
		i, all = len(all), append(all, w)
	}
	all[i].spans, all[i].count = append(all[i].spans, span), all[i].count+1
	return all
}

// waitingIn returns what tasks waited for at a census, the most suspicious first. Groups that
// differ only in what is below the topmost frame of the program are one.
func waitingIn(c *history.Census) (all []*waiting) {
	for _, g := range c.Groups {
		w := &waiting{what: placeText(g.Waits, g.At), waits: g.Waits, at: g.At}
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
	bySuspicion(all)
	return all
}

// groups names the first groups: "a, b and 2 more, waiting for X; c, waiting for Y".
func groups(all []*waiting, what func(*waiting) string) (words []any) {
	for i, w := range all {
		if i == maxGroups && len(all) > maxGroups+1 {
			return append(words, "; and "+count(counted(all[i:]), "other")+" at "+count(len(all)-i, "place"))
		}
		if i > 0 {
			words = append(words, "; ")
		}
		words = append(words, names(w.spans, w.count)...)
		words = append(words, what(w))
	}
	return words
}

func counted(all []*waiting) (n int) {
	for _, w := range all {
		n += w.count
	}
	return n
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
	switch {
	case waits == "sleep":
		return " slept"
	case waits == "IO wait":
		return " waited for IO"
	case strings.HasPrefix(waits, "run"): // running, runnable
		return word(n == 1, " was ", " were ") + waits
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
