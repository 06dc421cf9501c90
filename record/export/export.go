package export

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/traigo/traigo/record/history"
)

// What all the writers need.

// A sink keeps its first error to itself until all is written.
type sink struct{ buffer *bufio.Writer }

func (s sink) text(text string) { _, _ = s.buffer.WriteString(text) }

func (s sink) bytes(text []byte) { _, _ = s.buffer.Write(text) }

// writeTo calls write with a sink in front of w.
func writeTo(w io.Writer, write func(sink)) error {
	out := bufio.NewWriterSize(w, 1<<16)
	write(sink{out})
	if err := out.Flush(); err != nil {
		return fmt.Errorf("export: %w", err)
	}
	return nil
}

// appendQuoted appends s as a string of JSON.
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

// oneLine is the first line of s, as far as most characters, with escapes for what is
// no letter, sign or space: a name must not be able to drive a terminal, nor to hide
// itself by writing from the right.
func oneLine(s string, most int) string {
	line, _, more := strings.Cut(s, "\n")
	var b strings.Builder
	for i := 0; i < len(line); most-- {
		r, size := utf8.DecodeRuneInString(line[i:])
		switch {
		case most == 0:
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

// What the tree says in words.

// most is how much of a text is shown, in characters.
const most = 160

// title is the name of the program.
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

// warnings say what is missing, or cannot be known, a line for each.
func warnings(h *history.History) (all []string) {
	add := func(format string, args ...any) { all = append(all, fmt.Sprintf(format, args...)) }
	if !h.Closed && !h.TrioVis {
		what, other := "has no last line", ""
		if h.Truncated {
			what = "ends in the middle of a line"
		}
		if h.Segment != 0 {
			other = "it goes on in the next file, or "
		}
		add("The log %s: %sthe program crashed, was killed, or still runs. Nothing is known after %s.", what, other, span(h, h.End))
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
		add("%s missing at %s: %s.", lines, span(h, l.At), oneLine(strings.TrimSuffix(l.Why, "."), 120))
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

// span is a time in words, or the number of events.
func span(h *history.History, d time.Duration) string {
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

// parentCanceled is the kind of a cause that lies further up.
const parentCanceled = "parent canceled"

// A culprit is what Culprit returns.
type culprit struct {
	task  *history.Task
	scope *history.Scope
}

// culprits remembers them: of a chain of scopes each would be looked for along all of it.
type culprits map[*history.Scope]culprit

func (known culprits) of(s *history.Scope) culprit {
	var way []*history.Scope
	for {
		if c, ok := known[s]; ok {
			return known.remember(c, way)
		}
		way = append(way, s)
		task, scope := s.EndedBy()
		if task != nil || scope == nil || scope == s {
			return known.remember(culprit{task, scope}, way)
		}
		s = scope
	}
}

func (known culprits) remember(c culprit, way []*history.Scope) culprit {
	for _, s := range way {
		known[s] = c
	}
	return c
}
