// Package screen shows a text that changes: in its place, where there is a terminal.
package screen

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"
)

// A Screen is the part of a terminal that is drawn again and again, below what was
// printed before. One goroutine uses it.
type Screen struct {
	out   io.Writer
	size  func() (width, height int)
	drawn int // lines on the terminal that are ours
}

// On returns a screen on a terminal; false if f is none, or one that cannot move its
// cursor.
func On(f *os.File) (*Screen, bool) {
	if !term.IsTerminal(int(f.Fd())) || os.Getenv("TERM") == "dumb" {
		return nil, false
	}
	return New(f, func() (int, int) {
		width, height, err := term.GetSize(int(f.Fd()))
		if err != nil {
			return 0, 0
		}
		return width, height
	}), true
}

// New returns a screen of a given size.
func New(out io.Writer, size func() (width, height int)) *Screen {
	return &Screen{out: out, size: size}
}

// Draw replaces what was drawn before. Lines that are too long, or too many, are
// cut: a terminal that wraps or scrolls would not know any more where they begin.
func (s *Screen) Draw(text string) {
	width, height := s.area()
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	if room := max(1, height-2); len(lines) > room {
		lines = append(lines[:room-1:room-1], fmt.Sprintf("… and %d more lines", len(lines)-room+1))
	}
	var b bytes.Buffer
	s.home(&b)
	for _, line := range lines {
		b.WriteString(cut(line, width-1))
		b.WriteString("\x1b[K\n")
	}
	b.WriteString("\x1b[J")
	s.drawn = len(lines)
	_, _ = s.out.Write(b.Bytes())
}

// Clear takes away what was drawn.
func (s *Screen) Clear() {
	var b bytes.Buffer
	s.home(&b)
	b.WriteString("\x1b[J")
	s.drawn = 0
	_, _ = s.out.Write(b.Bytes())
}

// home moves to the first line that is ours. The terminal may have become lower since.
func (s *Screen) home(b *bytes.Buffer) {
	_, height := s.area()
	if up := min(s.drawn, height-1); up > 0 {
		fmt.Fprintf(b, "\x1b[%dA", up)
	}
	b.WriteString("\r")
}

// area is the size of the terminal: the usual one where it does not know its own, as one
// that nobody has set up.
func (s *Screen) area() (width, height int) {
	width, height = s.size()
	if width <= 0 || height <= 0 {
		return 80, 24
	}
	return width, height
}

// cut shortens a line to so many characters, not counting colors.
func cut(line string, width int) string {
	if width < 1 {
		return ""
	}
	n, inEscape := 0, false
	for i, r := range line {
		switch {
		case r == '\x1b':
			inEscape = true
		case inEscape:
			inEscape = r != 'm'
		case n == width-1 && len(line[i:]) > len(string(r)):
			return line[:i] + "…\x1b[0m"
		default:
			n++
		}
	}
	return line
}
