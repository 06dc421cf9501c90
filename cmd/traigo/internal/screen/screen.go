// Package screen draws a text on a terminal, and redraws it in place when it changes.
package screen

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"
)

// A Screen is the part of a terminal below the lines that were printed before, in which a
// text is redrawn. It must not be used by several goroutines at a time.
type Screen struct {
	out   io.Writer
	size  func() (width, height int)
	drawn int // number of lines that Draw has written
}

// On returns a screen on the terminal f. It returns false if f is no terminal, or if the
// terminal cannot move its cursor.
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

// New returns a screen that writes to out. size returns the size of the terminal in
// characters, which may change; 0 means that it is unknown.
func New(out io.Writer, size func() (width, height int)) *Screen {
	return &Screen{out: out, size: size}
}

// Height returns how many lines a text may have that Draw draws whole.
func (s *Screen) Height() int {
	_, height := s.area()
	return max(1, height-2)
}

// Draw replaces the text drawn before. It cuts lines that are too long, and leaves out
// lines that are too many: if the terminal wrapped or scrolled, the next Draw could not
// find the beginning of the text.
func (s *Screen) Draw(text string) {
	width, _ := s.area()
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	if room := s.Height(); len(lines) > room {
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

// Clear removes the text drawn before.
func (s *Screen) Clear() {
	var b bytes.Buffer
	s.home(&b)
	b.WriteString("\x1b[J")
	s.drawn = 0
	_, _ = s.out.Write(b.Bytes())
}

// home moves the cursor to the first line of the text, as far as that is still in the
// terminal, which may have become smaller.
func (s *Screen) home(b *bytes.Buffer) {
	_, height := s.area()
	if up := min(s.drawn, height-1); up > 0 {
		fmt.Fprintf(b, "\x1b[%dA", up)
	}
	b.WriteString("\r")
}

// area returns the size of the terminal, or 80×24 if it is unknown.
func (s *Screen) area() (width, height int) {
	width, height = s.size()
	if width <= 0 || height <= 0 {
		return 80, 24
	}
	return width, height
}

// cut cuts a line to width characters, not counting escape sequences of colors.
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
