package live

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

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
