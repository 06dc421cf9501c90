// Package export writes the history of a program in other formats: as a file of trio-vis,
// as traces for Chrome's trace viewer and Perfetto, and as a tree in text.
//
// Each function returns the first error of its writer.
package export

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/traigo/traigo/record/history"
	"github.com/traigo/traigo/record/story"
)

// A sink is a buffered writer whose errors are returned at the end, by writeTo.
type sink struct{ buffer *bufio.Writer }

func (s sink) text(text string)  { _, _ = s.buffer.WriteString(text) }
func (s sink) bytes(text []byte) { _, _ = s.buffer.Write(text) }

// writeTo calls write with a sink for w and returns the first error of w.
func writeTo(w io.Writer, write func(sink)) error {
	out := bufio.NewWriterSize(w, 1<<16)
	write(sink{out})
	if err := out.Flush(); err != nil {
		return fmt.Errorf("export: %w", err)
	}
	return nil
}

// appendQuoted appends s as a JSON string.
func appendQuoted(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c == '"' || c == '\\' || c > '~' {
			text, _ := json.Marshal(s) // a string cannot fail
			return append(b, text...)
		}
	}
	b = append(b, '"')
	b = append(b, s...)
	return append(b, '"')
}

func quoted(s string) string { return string(appendQuoted(nil, s)) }

// oneLine returns the first limit characters of the first line of s, with escapes for
// characters that could control a terminal, or reverse the direction of the text around them.
func oneLine(s string, limit int) string {
	line, _, more := strings.Cut(s, "\n")
	var b strings.Builder
	for i := 0; i < len(line); limit-- {
		r, size := utf8.DecodeRuneInString(line[i:])
		switch {
		case limit == 0:
			b.WriteString("…")
			return b.String()
		case r == utf8.RuneError && size == 1:
			fmt.Fprintf(&b, `\x%02x`, line[i])
		case unicode.IsGraphic(r):
			b.WriteRune(r)
		default:
			b.WriteString(strings.Trim(strconv.QuoteRune(r), "'"))
		}
		i += size
	}
	if more {
		b.WriteString(" …")
	}
	return b.String()
}

// title returns the name of the program.
func title(h *history.History) string {
	switch {
	case h.Program != "":
		return h.Program
	case h.TrioVis:
		return "a program of trio"
	default:
		return "a program"
	}
}

// processTitle returns the name of a process: that of the program and, where there are
// several, the path of its first scope.
func processTitle(h *history.History, p *history.Process) string {
	if !isTree(h) {
		return oneLine(title(h), 200)
	}
	switch {
	case len(p.Roots) == 0:
		return oneLine(p.Program, 200)
	case p.Program == "":
		return oneLine(shortPath(p.Roots[0]), 160)
	default:
		return oneLine(shortPath(p.Roots[0]), 160) + " (" + oneLine(p.Program, 80) + ")"
	}
}

const maxOfKind = 5 // warnings of one kind that are written

// warnings returns a sentence for each kind of information that is missing from the history.
func warnings(h *history.History) (all []string) {
	add := func(format string, args ...any) { all = append(all, fmt.Sprintf(format, args...)) }
	short := slices.DeleteFunc(slices.Clone(h.Processes), func(p *history.Process) bool { return p.Closed || h.TrioVis })
	for i, p := range short {
		if i == maxOfKind {
			add("… and so do the logs of %s more.", pluralOf(uint64(len(short)-maxOfKind), "process", "processes"))
			break
		}
		all = append(all, stopsShort(h, p))
	}
	for i, l := range h.Losses {
		if i == maxOfKind {
			add("… and at %s more.", plural(uint64(len(h.Losses)-maxOfKind), "place"))
			break
		}
		lines, in := "Lines", ""
		if l.Lines != 0 {
			lines = plural(l.Lines, "line")
		}
		if isTree(h) && l.Process != nil {
			in = " in the log of " + nameOf(l.Process)
		}
		add("%s missing at %s%s: %s.", lines, story.Duration(h, l.At), in, oneLine(strings.TrimSuffix(l.Why, "."), 120))
	}
	for i, text := range h.Skipped {
		if i == maxOfKind {
			add("… and %s more.", plural(uint64(len(h.Skipped)-maxOfKind), "file"))
			break
		}
		add("Left out: %s.", oneLine(text, 200))
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
	return all
}

// stopsShort says what it means that the log of a process has no last line.
func stopsShort(h *history.History, p *history.Process) string {
	what, other, of, why := "has no last line", "", "", "the program crashed, was killed, or still runs"
	if p.Truncated {
		what = "ends in the middle of a line"
	}
	if p.Segment != 0 {
		other = "it goes on in the next file, or "
	}
	if isTree(h) {
		of = " of " + nameOf(p)
	}
	if p.Died() {
		other, why = "", "it crashed or was killed"
	}
	return fmt.Sprintf("The log%s %s: %s%s. Nothing is known after %s.", of, what, other, why, story.Duration(h, p.End))
}

// isTree reports whether the history is of several processes.
func isTree(h *history.History) bool { return len(h.Processes) > 1 }

func nameOf(p *history.Process) string { return oneLine(p.String(), 80) }

// until returns the end of what is unfinished in a scope: of the log, or of its process, if
// that is known to have ended before the log.
func until(h *history.History, s *history.Scope) time.Duration {
	if s.Process == nil {
		return h.End
	}
	return s.Process.Until
}

func plural(n uint64, what string) string { return pluralOf(n, what, what+"s") }

func pluralOf(n uint64, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return thousands(n) + " " + many
}

func thousands(n uint64) string {
	s := strconv.FormatUint(n, 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// parentCanceled is the kind of a cause that is an ancestor's, or an outer context's.
const parentCanceled = "parent canceled"

// A culprit is the result of Scope.Culprit.
type culprit struct {
	task  *history.Task
	scope *history.Scope
}

// culprits caches the results of Scope.Culprit. Without it a chain of n nested scopes would
// take n² steps.
type culprits map[*history.Scope]culprit

func (cache culprits) of(s *history.Scope) culprit {
	var path []*history.Scope
	for {
		if c, ok := cache[s]; ok {
			return cache.add(c, path)
		}
		path = append(path, s)
		task, scope := s.EndedBy()
		if task != nil || scope == nil || scope == s {
			return cache.add(culprit{task, scope}, path)
		}
		s = scope
	}
}

func (cache culprits) add(c culprit, path []*history.Scope) culprit {
	for _, s := range path {
		cache[s] = c
	}
	return c
}

// shortPath returns the path of a scope from at most 63 levels up: with full paths, a
// chain of n nested scopes would take n² names.
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

// reason returns the error of a task that has failed or panicked, as far as it adds to the
// task's name and state.
func reason(t *history.Task) string {
	switch t.State {
	case history.TaskFailed:
		return t.Err
	case history.TaskPanicked:
		if _, value, found := strings.Cut(t.Err, " panicked: "); found {
			return value
		}
		return t.Err
	default:
		return ""
	}
}
