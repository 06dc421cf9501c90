package live

import (
	"bufio"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// writeText writes v as text: the warnings, the trees, and the scopes that have ended.
func (v *view) writeText(w io.Writer) {
	t := &textWriter{Writer: bufio.NewWriter(w), now: v.taken}
	t.summary(v)
	for _, warning := range v.warnings {
		t.warning(warning)
	}
	if v.note != "" {
		t.line("\n", v.note)
	}
	if len(v.roots) > 0 {
		t.line()
	}
	for _, root := range v.roots {
		t.node(root, "", "")
	}
	if v.more > 0 {
		t.line("… and ", withCommas(v.more), " more")
	}
	if v.cut > 0 {
		t.line("\n", withCommas(v.cut), " lines are left out: ?all=1 has them, ?scope=ID or ?path=PATH a part")
	}
	t.writePlaces(v.places)
	t.writeLimiters(v.limiters)
	t.writeEndings(v.ended)
	_ = t.Flush() // an error means that the client has gone
}

// A textWriter writes the parts of a view.
type textWriter struct {
	*bufio.Writer
	now time.Time // when the snapshot was taken, for ages
}

func (t *textWriter) line(parts ...string) {
	for _, part := range parts {
		_, _ = t.WriteString(part)
	}
	_ = t.WriteByte('\n')
}

func (t *textWriter) summary(v *view) {
	parts := []string{plural(v.counts.Scopes, "scope"), plural(v.counts.Tasks, "task")}
	if v.counts.Canceling > 0 {
		parts = append(parts, withCommas(v.counts.Canceling)+" canceling")
	}
	for _, level := range []string{levelWarning, levelHint} {
		if n := v.warningsOf(level); n > 0 {
			parts = append(parts, plural(n, level))
		}
	}
	if v.recheck.all > 0 {
		parts = append(parts, withCommas(v.recheck.all)+" to recheck")
	}
	t.line(strings.Join(parts, ", "))
	if n := v.recheck.locks; n > 0 {
		t.line("\n", pluralOf(n, "task waits", "tasks wait"), " for a mutex: ask again in 10 s to see whether ", pluralWord(n, "it still does", "they still do"))
	}
}

func (v *view) warningsOf(level string) (n int) {
	for _, w := range v.warnings {
		if w.Level == level {
			n++
		}
	}
	return n
}

func (t *textWriter) warning(w warning) {
	times := ""
	if w.Count > 1 {
		times = " [×" + withCommas(w.Count) + "]"
	}
	lasted := formatDuration(t.now.Sub(w.Since))
	if w.AtLeast {
		lasted = "at least " + lasted
	}
	t.line("\n! ", w.Lint, times, ", for ", lasted, ": ", w.Says)
	for i, path := range w.At {
		detail := ""
		if i < len(w.Details) {
			detail = ": " + w.Details[i]
		}
		t.line("    ", path, detail)
	}
	if left := w.Count - len(w.At); left > 0 {
		t.line("    … and ", withCommas(left), " more")
	}
	t.line("  ", w.Do)
}

// node writes n and the nodes below it. branch is the beginning of the line of n, stem that
// of the lines below.
func (t *textWriter) node(n *node, branch, stem string) {
	t.line(branch, n.title(), " (", strings.Join(t.notes(n), ", "), ")")
	if n.Stack != "" {
		bar := stem + "  "
		if len(n.Below)+n.More > 0 {
			bar = stem + "│ "
		}
		for line := range strings.Lines(n.Stack) {
			t.line(bar, strings.TrimSuffix(strings.ReplaceAll(line, "\t", "    "), "\n"))
		}
	}
	for i, below := range n.Below {
		if i == len(n.Below)-1 && n.More == 0 {
			t.node(below, stem+"└─ ", stem+"   ")
		} else {
			t.node(below, stem+"├─ ", stem+"│  ")
		}
	}
	if n.More > 0 {
		t.line(stem, "└─ … and ", withCommas(n.More), " more")
	}
}

// title returns the name of n, with a bullet for a task and the number of folded nodes.
func (n *node) title() string {
	title := n.Name
	if n.Kind == kindTask {
		title = "• " + title
	}
	if n.Count > 0 {
		title += " [×" + withCommas(n.Count) + "]"
	}
	return title
}

// notes returns what stands in parentheses behind the title: the flags last, since a terminal
// may cut the line.
func (t *textWriter) notes(n *node) []string {
	age := formatDuration(t.now.Sub(n.Since))
	if n.Count > 0 {
		if youngest := formatDuration(t.now.Sub(n.Newest)); youngest != age {
			age = youngest + " to " + age
		}
	}
	notes := []string{n.states(), age}
	if len(n.Below)+n.More == 0 { // else it waits for what is below, which says for what
		if n.Waits != "" {
			notes = append(notes, placeText(n.Waits, n.For, n.At))
		}
		for _, s := range n.Standing {
			notes = append(notes, withCommas(s.Count)+" × "+placeText(s.Waits, s.For, s.At))
		}
	}
	switch {
	case n.Processes > 0:
		notes = append(notes, withCommas(n.Processes)+" processes")
	case n.Pid != 0:
		notes = append(notes, "process "+strconv.Itoa(n.Pid))
	}
	if !n.Deadline.IsZero() && n.State != "closed" {
		left := timeLeft(n.Deadline.Sub(t.now))
		if n.Count > 0 {
			left = "earliest " + left // not all may have one
		}
		notes = append(notes, left)
	}
	if n.Limit > 0 {
		limit := "limit " + withCommas(n.Limit)
		if len(n.Holders) > 0 {
			limit += " held by " + someOf(n.Holders, n.Limit)
		}
		notes = append(notes, limit)
	}
	if n.Waiting > 0 {
		waiting := withCommas(n.Waiting) + " waiting"
		if len(n.Blocked) > 0 {
			waiting += ": " + someOf(n.Blocked, n.Waiting)
		}
		notes = append(notes, waiting)
	}
	if len(n.Unawaited) > 0 {
		const most = 5
		names := strings.Join(n.Unawaited[:min(most, len(n.Unawaited))], ", ")
		if more := len(n.Unawaited) - most; more > 0 {
			names += ", and " + withCommas(more) + " more"
		}
		notes = append(notes, "failed and not awaited: "+names)
	}
	if n.Cause != "" {
		notes = append(notes, n.Cause)
	}
	for _, name := range n.Warnings {
		notes = append(notes, "! "+name)
	}
	return append(notes, n.Flags...)
}

// statesInOrder are the states in the order in which a group names them.
var statesInOrder = []string{
	"open", "finalizing", stateQueued, stateRunning, stateCanceling, stateGivenUp, stateAbandoned, "ended", "closed",
}

// states returns the state of n, or how many of a group have which.
func (n *node) states() string {
	if len(n.States) < 2 {
		return n.State
	}
	var counts []string
	for _, state := range statesInOrder {
		if count := n.States[state]; count > 0 {
			counts = append(counts, withCommas(count)+" "+state)
		}
	}
	return strings.Join(counts, ", ")
}

// placeText says what a task waits for, for how long at least, and where.
func placeText(waits string, d time.Duration, at string) string {
	switch waits {
	case "running":
		waits = "on a processor"
	case "runnable":
		waits = "waits for a processor"
	}
	if at != "" {
		waits += " at " + at
	}
	if d > 0 {
		waits += ", " + atLeast(d)
	}
	return waits
}

// atLeast says how long something has waited, as far as that is known.
func atLeast(d time.Duration) string { return "≥ " + formatDuration(d) }

func timeLeft(d time.Duration) string {
	if d < 0 {
		return formatDuration(-d) + " late"
	}
	return formatDuration(d) + " left"
}

// formatDuration returns d rounded to about three digits; 0s if d is negative, as it is
// after the clock was set back.
func formatDuration(d time.Duration) string {
	d = max(0, d)
	switch {
	case d >= time.Minute:
		return d.Round(time.Second).String()
	case d >= time.Second:
		return d.Round(10 * time.Millisecond).String()
	default:
		return d.Round(10 * time.Microsecond).String()
	}
}

// plural returns "1 task" or "2 tasks".
func plural(n int, what string) string { return pluralOf(n, what, what+"s") }

func pluralOf(n int, one, many string) string { return withCommas(n) + " " + pluralWord(n, one, many) }

func pluralWord(n int, one, many string) string {
	if n == 1 {
		return one
	}
	return many
}

// withCommas returns "5,000" for 5000.
func withCommas(n int) string {
	if n < 1000 {
		return strconv.Itoa(n)
	}
	return fmt.Sprintf("%s,%03d", withCommas(n/1000), n%1000)
}

// Longer texts are cut. Lengths are in runes.
const (
	maxNameLen  = 200 // also of a cause
	maxPathLen  = 1000
	maxErrorLen = 1000
)

// escape returns s with the characters escaped that strconv.Quote would escape, except
// quotes and backslashes, and cut after most runes. Names, causes and errors come from the
// program's users: they must not control a terminal, change the direction of the text
// around them, or contain invalid UTF-8.
func escape(s string, most int) string {
	if isPrintableASCII(s) && len(s) <= most {
		return s
	}
	var b strings.Builder
	for runes := 0; s != ""; runes++ {
		if runes == most {
			b.WriteString("…")
			break
		}
		r, size := utf8.DecodeRuneInString(s)
		switch {
		case r == utf8.RuneError && size == 1:
			b.WriteString(`\x` + strconv.FormatUint(uint64(s[0])|0x100, 16)[1:])
		case strconv.IsPrint(r):
			b.WriteRune(r)
		default:
			quoted := strconv.QuoteRune(r)
			b.WriteString(quoted[1 : len(quoted)-1])
		}
		s = s[size:]
	}
	return b.String()
}

func isPrintableASCII(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return line
}
