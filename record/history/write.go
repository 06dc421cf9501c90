package history

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
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
		return fmt.Errorf("history: %w", err)
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
