package story

import (
	"cmp"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/traigo/traigo/internal/serials"
	"github.com/traigo/traigo/record/history"
)

// Duration formats a duration with three significant digits: 3.2 s, 45.6 ms, 2 m 03 s. In a
// history without times it is a number of steps.
func Duration(h *history.History, d time.Duration) string {
	if h.Ordinal {
		return count(int(d.Round(time.Millisecond)/time.Millisecond), "step")
	}
	switch seconds := int(d.Round(time.Second) / time.Second); {
	case d < 0:
		return "−" + Duration(h, -d)
	case seconds >= 86400:
		return fmt.Sprintf("%d d %d h", seconds/86400, seconds%86400/3600)
	case seconds >= 3600:
		return fmt.Sprintf("%d h %02d m", seconds/3600, seconds%3600/60)
	case seconds >= 60:
		return fmt.Sprintf("%d m %02d s", seconds/60, seconds%60)
	}
	for _, unit := range []struct {
		size time.Duration
		name string
	}{{time.Second, " s"}, {time.Millisecond, " ms"}, {time.Microsecond, " µs"}, {1, " ns"}} {
		if n := float64(d) / float64(unit.size); n >= 0.9995 {
			digits := max(0, 2-int(math.Floor(math.Log10(n)+1e-9)))
			scale := math.Pow10(digits)
			return strconv.FormatFloat(math.Round(n*scale)/scale, 'f', -1, 64) + unit.name
		}
	}
	return "0 s"
}

// Path returns the path of a scope in at most about room characters. Names in its middle are
// left out before those at its ends: "root/level 1/…/level 59/level 60".
func Path(s *history.Scope, room int) string {
	const most = 256 // names at each end: there is no room for more
	depth := 0
	for up := s; up != nil; up = up.Parent {
		depth++
	}
	var names []string // the last first
	for i := range depth {
		switch {
		case i < most || i >= depth-most:
			names = append(names, flat(s.Name))
		case i == most:
			names = append(names, "…")
		}
		s = s.Parent
	}
	slices.Reverse(names)
	return elidePath(names, room)
}

// TaskPath returns the path of a task, as Path does.
func TaskPath(t *history.Task, room int) string {
	name := flat(t.Name)
	return Path(t.Scope, max(room-utf8.RuneCountInString(name)-1, 8)) + "/" + elide(name, room)
}

func elidePath(names []string, room int) string {
	n := len(names)
	whole := strings.Join(names, "/")
	if utf8.RuneCountInString(whole) <= room {
		return whole
	}
	last := names[n-1]
	if n == 1 {
		return elide(last, room)
	}
	join := func(head, tail int) string {
		return strings.Join(names[:head], "/") + "/…/" + strings.Join(names[n-tail:], "/")
	}
	fits := func(head, tail int) bool { return utf8.RuneCountInString(join(head, tail)) <= room }
	head, tail := 1, 1
	switch {
	case n == 2:
		return elide(names[0], max(room-utf8.RuneCountInString(last)-1, 8)) + "/" + elide(last, room)
	case !fits(head, tail):
		return "…/" + elide(last, max(room-2, 8))
	}
	for head+tail < n-1 && (fits(head, tail+1) || fits(head+1, tail)) {
		if tail <= head && fits(head, tail+1) || !fits(head+1, tail) {
			tail++
		} else {
			head++
		}
	}
	return join(head, tail)
}

// elide returns s with its middle left out, if it has more than n characters.
func elide(s string, n int) string {
	all := []rune(s)
	if len(all) <= n {
		return s
	}
	head := (n - 1) * 3 / 5
	return string(all[:head]) + "…" + string(all[len(all)-(n-1-head):])
}

// short returns the first n characters of s.
func short(s string, n int) string {
	all := []rune(s)
	if len(all) <= n {
		return s
	}
	return string(all[:n-1]) + "…"
}

// flat returns s on one line, or that it is empty.
func flat(s string) string { return cmp.Or(oneLine(s), "(no name)") }

// oneLine returns s without the white space around it, and with spaces for that in it.
func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

// within is a scope or task through which an error has come.
var within = regexp.MustCompile(`(?:^|: )(?:(?:scope|task) "(?:[^"\\]|\\.)*": )+`)

// isCut has what is left where a log has cut an error within the name of a scope or task.
var isCut = regexp.MustCompile(`^(?:s|sc|sco|scop|scope|t|ta|tas|task)?(?: "[^"]*)?[ .…]*$`)

// Innermost returns what an error says at its innermost: without the scopes and tasks that it
// came through, the errors beside it, and a stack.
func Innermost(err string) string {
	err = firstError(err)
	if at := within.FindAllStringIndex(err, -1); at != nil {
		if rest := err[at[len(at)-1][1]:]; !isCut.MatchString(rest) {
			err = rest
		}
	}
	if _, value, found := strings.Cut(err, " panicked: "); found && strings.HasPrefix(err, "task ") {
		err = value
	}
	line, _, _ := strings.Cut(err, "\n")
	return line
}

// firstError returns the first error of an outcome, without those that came after it.
func firstError(err string) string {
	first, _, _ := strings.Cut(err, "; also: ")
	return first
}

// FoldName returns a name in which each number and each serial is a #.
func FoldName(name string) string { return serials.Fold(name) }

func thousands(n int) string {
	s := strconv.Itoa(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

func count(n int, one string) string { return countOf(n, one, one+"s") }

func countOf(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return thousands(n) + " " + many
}

// was returns the verb for a number of things.
func was(n int) string {
	if n == 1 {
		return "was"
	}
	return "were"
}
