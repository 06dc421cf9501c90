package history

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// What the tree says in words.

// most is how much of a text is shown, in characters.
const most = 160

// title is the name of the program.
func (h *History) title() string {
	switch {
	case h.Program != "":
		return h.Program
	case h.TrioVis:
		return "a program of trio"
	default:
		return "a program"
	}
}

func (h *History) headline() string {
	parts := []string{oneLine(h.title(), most)}
	add := func(format string, args ...any) { parts = append(parts, fmt.Sprintf(format, args...)) }
	if !h.Started.IsZero() {
		add("%s", h.Started.UTC().Format("2006-01-02 15:04:05 UTC"))
	}
	if h.PID != 0 {
		add("pid %d", h.PID)
	}
	if h.Go != "" {
		add("%s", oneLine(h.Go, 40))
	}
	tasks := 0
	for _, s := range h.Scopes {
		tasks += len(s.Tasks)
	}
	add("%s", plural(uint64(len(h.Scopes)), "scope"))
	add("%s", plural(uint64(tasks), "task"))
	add("%s", h.span(h.End))
	return strings.Join(parts, ", ")
}

// warnings say what is missing, or cannot be known, a line for each.
func (h *History) warnings() (warnings []string) {
	add := func(format string, args ...any) { warnings = append(warnings, fmt.Sprintf(format, args...)) }
	if !h.Closed && !h.TrioVis {
		what, other := "has no last line", ""
		if h.Truncated {
			what = "ends in the middle of a line"
		}
		if h.Segment != 0 {
			other = "it goes on in the next file, or "
		}
		add("The log %s: %sthe program crashed, was killed, or still runs. Nothing is known after %s.", what, other, h.span(h.End))
	}
	const most = 5
	for i, l := range h.Losses {
		if i == most {
			add("… and at %s more.", plural(uint64(len(h.Losses)-most), "place"))
			break
		}
		lines := "Lines"
		if l.Lines != 0 {
			lines = plural(l.Lines, "line")
		}
		add("%s missing at %s: %s.", lines, h.span(l.At), oneLine(strings.TrimSuffix(l.Why, "."), 120))
	}
	if h.Damaged > 0 {
		add("%s of it made no sense.", plural(uint64(h.Damaged), "line"))
	}
	if h.TrioVis {
		add("trio-vis does not record how tasks end: each that has exited is shown as ok.")
	}
	if h.Ordinal {
		add("It has no times either: they are numbers of events.")
	}
	return warnings
}

// describe is the line for a group: its first member stands for all.
func (d *drawing) describe(g group) string {
	n := g[0]
	var b strings.Builder
	if n.task != nil {
		b.WriteString(symbol(n.task) + " ")
	}
	name := n.scope.Name
	if n.task != nil {
		name = n.task.Name
	}
	b.WriteString(oneLine(name, most))
	if len(g) > 1 {
		fmt.Fprintf(&b, " [×%s]", thousands(uint64(len(g))))
	}
	b.WriteString("  " + d.lasted(g))
	notes := d.scopeNotes(n.scope)
	if n.task != nil {
		notes = taskNotes(n.task)
	}
	if notes != "" {
		b.WriteString("  " + notes)
		if g.differ() {
			b.WriteString(", and other errors")
		}
	}
	return b.String()
}

// differ reports whether not all of the group have the error of the first.
func (g group) differ() bool {
	for _, n := range g {
		if n.task != nil && n.task.reason() != g[0].task.reason() {
			return true
		}
		if n.task == nil && errOf(n.scope) != errOf(g[0].scope) {
			return true
		}
	}
	return false
}

// errOf is the error that scopeNotes shows.
func errOf(s *Scope) string {
	if s.Cause != nil {
		return s.Cause.Err
	}
	return s.Err
}

func symbol(t *Task) string {
	switch t.State {
	case TaskOK:
		return "✓"
	case TaskFailed, TaskPanicked, TaskExited:
		return "✗"
	case TaskCanceled:
		return "○"
	case TaskStuck:
		return "!"
	case TaskLost:
		return "?"
	case TaskQueued, TaskRunning:
	}
	return "▶"
}

func taskNotes(t *Task) string {
	var notes []string
	if t.Master {
		notes = append(notes, "master")
	}
	switch t.State {
	case TaskOK:
		if t.Stuck != Never {
			notes = append(notes, "was given up")
		}
	case TaskQueued:
		notes = append(notes, "never started")
	case TaskRunning:
		notes = append(notes, "still running")
	case TaskStuck:
		notes = append(notes, "given up, still running")
	case TaskLost:
		notes = append(notes, "ended in a gap of the log")
	default:
		note := string(t.State)
		if why := t.reason(); why != "" {
			note += ": " + oneLine(why, most)
		}
		notes = append(notes, note)
	}
	if n := len(t.Abandoned); n > 0 {
		notes = append(notes, "abandoned "+plural(uint64(n), "call"))
	}
	return strings.Join(notes, ", ")
}

// reason is the error, if it says more than the name and the state do.
func (t *Task) reason() string {
	switch t.State {
	case TaskFailed:
		return t.Err
	case TaskPanicked:
		if _, value, found := strings.Cut(t.Err, " panicked: "); found {
			return value
		}
		return t.Err
	default:
		return ""
	}
}

func (d *drawing) scopeNotes(s *Scope) string {
	var notes []string
	switch {
	case s.State == ScopeLost:
		notes = append(notes, "closed in a gap of the log")
	case s.Closed == Never:
		notes = append(notes, "still "+string(s.State))
	}
	if s.Cause != nil && (s.Cause.Kind != "completed" || s.Cause.Err != "") {
		notes = append(notes, d.causeNote(s))
	} else if s.Err != "" {
		notes = append(notes, "failed: "+oneLine(s.Err, most))
	}
	if n := strings.Count(s.Err, "; also: "); n > 0 {
		notes = append(notes, plural(uint64(n), "error")+" more")
	}
	if n := len(s.Abandoned); n > 0 {
		notes = append(notes, "abandoned "+plural(uint64(n), "call"))
	}
	return strings.Join(notes, ", ")
}

// causeNote says why s ended, and who was it.
func (d *drawing) causeNote(s *Scope) string {
	note := oneLine(s.Cause.Kind, most)
	by := d.known.of(s)
	switch task, scope := by.task, by.scope; {
	case s.Cause.Kind == parentCanceled && task != nil:
		return note + " ← " + oneLine(task.Scope.shortPath()+"/"+task.Name, most)
	case s.Cause.Kind == parentCanceled && scope != nil && scope != s:
		return note + " ← " + oneLine(scope.shortPath(), most) + ": " + oneLine(scope.Cause.text(), most)
	case task != nil:
		note += " ← " + oneLine(task.Name, most)
	}
	if s.Cause.Err != "" {
		note += ": " + oneLine(s.Cause.Err, most)
	}
	return note
}

// lasted is how long the group took, each for itself: at least, where it had not ended.
func (d *drawing) lasted(g group) string {
	shortest, longest, least := time.Duration(-1), time.Duration(0), ""
	for _, n := range g {
		end := n.end()
		if end == Never {
			end, least = max(d.history.End, n.begin()), "≥"
		}
		took := end - n.begin()
		longest = max(longest, took)
		if shortest < 0 || took < shortest {
			shortest = took
		}
	}
	low, high := d.history.span(shortest), d.history.span(longest)
	if low == high {
		return least + high
	}
	return least + low + "–" + high
}

// span is a time in words, or the number of events.
func (h *History) span(d time.Duration) string {
	if h.Ordinal {
		return plural(uint64(d/time.Millisecond), "event")
	}
	unit := time.Duration(1)
	for d/unit >= 1000 { // three digits are enough
		unit *= 10
	}
	if d >= time.Minute {
		unit = time.Second
	}
	return d.Round(unit).String()
}

func plural(n uint64, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return thousands(n) + " " + what + "s"
}

func thousands(n uint64) string {
	s := strconv.FormatUint(n, 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
