package screen_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo/cmd/traigo/internal/screen"
)

// A terminal understands the escape sequences that Screen writes, and no others.
type terminal struct {
	t     *testing.T
	lines [][]rune
	row   int
	col   int
}

func (tm *terminal) Write(p []byte) (int, error) {
	text := []rune(string(p))
	for i := 0; i < len(text); i++ {
		for len(tm.lines) <= tm.row {
			tm.lines = append(tm.lines, nil)
		}
		switch r := text[i]; r {
		case '\n':
			tm.row, tm.col = tm.row+1, 0
		case '\r':
			tm.col = 0
		case '\x1b':
			end := i + 1 + strings.IndexAny(string(text[i+1:]), "AJKm")
			tm.escape(string(text[i+1 : end+1]))
			i = end
		default:
			line := append(tm.lines[tm.row][:tm.col:tm.col], r)
			tm.lines[tm.row] = line
			tm.col++
		}
	}
	return len(p), nil
}

func (tm *terminal) escape(code string) {
	switch {
	case code == "[K":
		tm.lines[tm.row] = tm.lines[tm.row][:tm.col]
	case code == "[J":
		tm.lines = tm.lines[:tm.row+1]
		tm.lines[tm.row] = tm.lines[tm.row][:tm.col]
	case strings.HasSuffix(code, "A"):
		var n int
		_, err := fmt.Sscanf(code, "[%dA", &n)
		require.NoError(tm.t, err)
		tm.row -= n
		require.GreaterOrEqual(tm.t, tm.row, 0, "above the first line")
	case strings.HasSuffix(code, "m"):
	default:
		tm.t.Fatalf("escape %q", code)
	}
}

// shows returns the lines on the terminal.
func (tm *terminal) shows() string {
	var b strings.Builder
	for _, line := range tm.lines {
		b.WriteString(string(line) + "\n")
	}
	return strings.TrimRight(b.String(), "\n")
}

func TestScreenDrawsInItsPlace(t *testing.T) {
	tm := &terminal{t: t}
	height := 10
	s := screen.New(tm, func() (int, int) { return 20, height })
	_, err := tm.Write([]byte("before\n"))
	require.NoError(t, err)

	s.Draw("one\ntwo\nthree\n")
	assert.Equal(t, "before\none\ntwo\nthree", tm.shows())
	s.Draw("four\nfive")
	assert.Equal(t, "before\nfour\nfive", tm.shows())

	s.Draw(strings.Repeat("x", 100) + "\n" + strings.Repeat("é", 18) + "\n" + strings.Repeat("é", 19))
	assert.Equal(t, "before\n"+strings.Repeat("x", 18)+"…\n"+strings.Repeat("é", 18)+"\n"+strings.Repeat("é", 19), tm.shows(),
		"no line reaches the last column, where terminals wrap")

	s.Draw(strings.Repeat("line\n", 50))
	assert.Equal(t, "before\n"+strings.Repeat("line\n", 7)+"… and 43 more lines", tm.shows())
	s.Clear()
	assert.Equal(t, "before", tm.shows())
	s.Draw("after")
	assert.Equal(t, "before\nafter", tm.shows())
}

// The size of a terminal may be unknown, and its window may be one column wide.
func TestScreenOfATerminalWithoutASize(t *testing.T) {
	tm := &terminal{t: t}
	s := screen.New(tm, func() (int, int) { return 0, 0 })
	for range 3 {
		s.Draw("one\ntwo\n" + strings.Repeat("x", 100))
	}
	assert.Equal(t, "one\ntwo\n"+strings.Repeat("x", 78)+"…", tm.shows())

	tm = &terminal{t: t}
	s = screen.New(tm, func() (int, int) { return 1, 10 })
	s.Draw("one\ntwo\n")
	assert.Empty(t, tm.shows(), "it would wrap")
}

func TestScreenKeepsColorsWhole(t *testing.T) {
	var out bytes.Buffer
	s := screen.New(&out, func() (int, int) { return 6, 10 })
	s.Draw("\x1b[31mred\x1b[0m")
	assert.Contains(t, out.String(), "\x1b[31mred\x1b[0m\x1b[K", "three characters, not counting the escapes")
	out.Reset()
	s.Draw("\x1b[31mred and more\x1b[0m")
	assert.Contains(t, out.String(), "\x1b[31mred …\x1b[0m\x1b[K", "the color ends where the line is cut")
}

func TestScreenNeedsATerminal(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "out"))
	require.NoError(t, err)
	defer f.Close()
	_, ok := screen.On(f)
	assert.False(t, ok)
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	require.NoError(t, err)
	defer null.Close()
	_, ok = screen.On(null)
	assert.False(t, ok, "a device that is no terminal")
}
