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

// writeText draws v: what is wrong, then the trees, then what has ended.
func (v *view) writeText(w io.Writer) {
	d := &drawing{Writer: bufio.NewWriter(w), now: v.taken}
	d.summary(v)
	for _, warning := range v.warnings {
		d.warning(warning)
	}
	if v.note != "" {
		d.line("\n", v.note)
	}
	if len(v.roots) > 0 {
		d.line()
	}
	for _, root := range v.roots {
		d.node(root, "", "")
	}
	if v.more > 0 {
		d.line("… and ", number(v.more), " more")
	}
	if v.cut > 0 {
		d.line("\n", number(v.cut), " lines are left out: ?all=1 has them, ?scope=ID or ?path=PATH a part")
	}
	if len(v.ended) > 0 {
		d.line("\nended:")
	}
	for _, e := range v.ended {
		d.line("  ", brief(v.taken.Sub(e.Ended)), " ago, after ", brief(e.Ended.Sub(e.Opened)), ": ", e.Path, e.why())
	}
	_ = d.Flush() // the client is gone: nobody is left to tell
}

// A drawing is text with a moment from which ages are counted.
type drawing struct {
	*bufio.Writer
	now time.Time
}

func (d *drawing) line(parts ...string) {
	for _, part := range parts {
		_, _ = d.WriteString(part)
	}
	_ = d.WriteByte('\n')
}

func (d *drawing) summary(v *view) {
	parts := []string{plural(v.census.Scopes, "scope"), plural(v.census.Tasks, "task")}
	if v.census.Canceling > 0 {
		parts = append(parts, number(v.census.Canceling)+" canceling")
	}
	if len(v.warnings) > 0 {
		parts = append(parts, plural(len(v.warnings), "warning"))
	}
	if v.recheck > 0 {
		parts = append(parts, number(v.recheck)+" to recheck")
	}
	d.line(strings.Join(parts, ", "))
}

func (d *drawing) warning(w warning) {
	times := ""
	if w.Count > 1 {
		times = " [×" + number(w.Count) + "]"
	}
	d.line("\n! ", w.Lint, times, ", for ", brief(d.now.Sub(w.Since)), ": ", w.Says)
	for _, path := range w.At {
		d.line("    ", path)
	}
	if left := w.Count - len(w.At); left > 0 {
		d.line("    … and ", number(left), " more")
	}
	d.line("  ", w.Do)
}

// node writes n behind the branch that leads to it, and what is below it with the stem
// that goes past it.
func (d *drawing) node(n *node, branch, stem string) {
	d.line(branch, n.title(), " (", strings.Join(d.notes(n), ", "), ")")
	if n.Stack != "" {
		bar := stem + "  "
		if len(n.Below)+n.More > 0 {
			bar = stem + "│ "
		}
		for line := range strings.Lines(n.Stack) {
			d.line(bar, strings.TrimSuffix(strings.ReplaceAll(line, "\t", "    "), "\n"))
		}
	}
	for i, below := range n.Below {
		if i == len(n.Below)-1 && n.More == 0 {
			d.node(below, stem+"└─ ", stem+"   ")
		} else {
			d.node(below, stem+"├─ ", stem+"│  ")
		}
	}
	if n.More > 0 {
		d.line(stem, "└─ … and ", number(n.More), " more")
	}
}

func (n *node) title() string {
	title := n.Name
	if n.Kind == aTask {
		title = "• " + title
	}
	if n.Count > 0 {
		title += " [×" + number(n.Count) + "]"
	}
	return title
}

func (d *drawing) notes(n *node) []string {
	age := brief(d.now.Sub(n.Since))
	if n.Count > 0 {
		if youngest := brief(d.now.Sub(n.Newest)); youngest != age {
			age = youngest + " to " + age
		}
	}
	notes := append([]string{n.State, age}, n.Flags...)
	if !n.Deadline.IsZero() && n.State != "closed" {
		notes = append(notes, left(n.Deadline.Sub(d.now)))
	}
	if n.Limit > 0 {
		notes = append(notes, "limit "+number(n.Limit))
	}
	if n.Waiting > 0 {
		notes = append(notes, number(n.Waiting)+" waiting")
	}
	if len(n.Unawaited) > 0 {
		const most = 5
		names := strings.Join(n.Unawaited[:min(most, len(n.Unawaited))], ", ")
		if more := len(n.Unawaited) - most; more > 0 {
			names += ", and " + number(more) + " more"
		}
		notes = append(notes, "failed and not awaited: "+names)
	}
	if n.Cause != "" {
		notes = append(notes, n.Cause)
	}
	for _, name := range n.Warnings {
		notes = append(notes, "! "+name)
	}
	return notes
}

func left(d time.Duration) string {
	if d < 0 {
		return brief(-d) + " late"
	}
	return brief(d) + " left"
}

// brief is d to three digits or so: a clock that was set back does not show.
func brief(d time.Duration) string {
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

func plural(n int, what string) string {
	if n != 1 {
		what += "s"
	}
	return number(n) + " " + what
}

// number writes 5000 as 5,000.
func number(n int) string {
	if n < 1000 {
		return strconv.Itoa(n)
	}
	return fmt.Sprintf("%s,%03d", number(n/1000), n%1000)
}

// Texts that users have written are shown with what could play tricks on a terminal or
// a reader replaced: control characters, changes of direction, invalid UTF-8.

const (
	longestName  = 200 // runes of a name, or a cause
	longestPath  = 1000
	longestError = 1000
)

// clean escapes s as in a Go string, and cuts it after most runes.
func clean(s string, most int) string {
	if isPlain(s) && len(s) <= most {
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

func isPlain(s string) bool {
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
