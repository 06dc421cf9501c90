package record

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/traigo/traigo"
)

// maxText is how many bytes of a name, an error or a stack are written.
const maxText = 4096

// appendText appends s as a JSON string, cut where it is too long.
func appendText(b []byte, s string) []byte {
	s, more := head(s)
	b = appendEscaped(append(b, '"'), s)
	if more > 0 {
		b = append(b, "… ("...)
		b = strconv.AppendInt(b, int64(more), 10)
		b = append(b, " bytes more)"...)
	}
	return append(b, '"')
}

// head is as much of s as is written, and how much more there is.
func head(s string) (begin string, more int) {
	if len(s) <= maxText {
		return s, 0
	}
	end := maxText
	for end > maxText-utf8.UTFMax && !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end], len(s) - end
}

// shortened is what appendText would write.
func shortened(s string) string {
	s, more := head(s)
	if more == 0 {
		return s
	}
	return s + "… (" + strconv.Itoa(more) + " bytes more)"
}

// printable is one line of s, as far as most characters, with escapes for what is no
// letter, sign or space: a name must not be able to drive a terminal.
func printable(s string, most int) string {
	var b strings.Builder
	for ; s != ""; most-- {
		if most == 0 {
			b.WriteString("…")
			break
		}
		r, size := utf8.DecodeRuneInString(s)
		switch {
		case r == utf8.RuneError && size == 1:
			fmt.Fprintf(&b, `\x%02x`, s[0])
		case unicode.IsGraphic(r):
			b.WriteRune(r)
		default:
			b.WriteString(strings.Trim(strconv.QuoteRune(r), "'"))
		}
		s = s[size:]
	}
	return b.String()
}

// appendEscaped leaves as it is what JSON and JavaScript may have in a string. What is
// not UTF-8 becomes U+FFFD.
func appendEscaped(b []byte, s string) []byte {
	const hex = "0123456789abcdef"
	done := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= ' ' && c < utf8.RuneSelf && c != '"' && c != '\\' && c != 0x7f {
			i++
			continue
		}
		size := 1
		if c >= utf8.RuneSelf {
			var r rune
			r, size = utf8.DecodeRuneInString(s[i:])
			if r != '\u2028' && r != '\u2029' && (r != utf8.RuneError || size > 1) {
				i += size
				continue
			}
			b = append(b, s[done:i]...)
			b = append(b, '\\', 'u', hex[r>>12], hex[r>>8&15], hex[r>>4&15], hex[r&15])
		} else {
			b = append(b, s[done:i]...)
			switch c {
			case '"', '\\':
				b = append(b, '\\', c)
			case '\n':
				b = append(b, '\\', 'n')
			case '\t':
				b = append(b, '\\', 't')
			default:
				b = append(b, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
			}
		}
		i += size
		done = i
	}
	return append(b, s[done:]...)
}

// textOf is the text of an error, and the stack if it is a panic. Both come from code
// that may be anybody's: no lock is held here. One that panics has its panic as text.
func textOf(err error) (text, stack string) {
	switch x := err.(type) { //nolint:errorlint // what it is, not what it has inside
	case nil:
		return "", ""
	case *traigo.PanicError:
		if x.Recovered == nil {
			return "panicked", ""
		}
		return some(fmt.Sprint(x.Recovered.Value)), string(x.Recovered.Stack) // fmt recovers
	default:
		return some(messageOf(err)), ""
	}
}

func messageOf(err error) (text string) {
	defer func() {
		if value := recover(); value != nil {
			text = fmt.Sprintf("(the Error method of a %T panicked: %v)", err, value)
		}
	}()
	return err.Error()
}

// some is s, or says that it is nothing: an error without a text is still one.
func some(s string) string {
	if s == "" {
		return "(no text)"
	}
	return s
}
