// Package serials says which names differ only in numbers, so that what has them is folded into
// one line. The page of package live has the same rule, in live/page/fold.js.
package serials

import "strings"

// Fold returns a name with # in place of each number: a run of digits, six or more hexadecimal
// digits that are a word and not all letters, a word that begins with 0x, and a UUID. A #
// before a number is part of it, so that a name that was folded stays as it is.
func Fold(name string) string {
	if !strings.ContainsAny(name, "0123456789") {
		return name
	}
	var b strings.Builder
	for i := 0; i < len(name); {
		var c byte
		c, i = Next(name, i)
		b.WriteByte(c)
	}
	return b.String()
}

// Next returns the byte of Fold(name) that stands for what begins at index i of the name, and
// the index behind that.
func Next(name string, i int) (c byte, next int) {
	c = name[i]
	if c == '#' && i+1 < len(name) {
		if n := number(name, i+1); n > 0 {
			return c, i + 1 + n
		}
	}
	if n := number(name, i); n > 0 {
		return '#', i + n
	}
	return c, i + 1
}

// number returns the length of the number that begins at index i; 0 if none does.
func number(name string, i int) int {
	if !isHex(name[i]) {
		return 0
	}
	rest := name[i:]
	if i == 0 || !isWord(name[i-1]) {
		if n := serial(rest); n > 0 && strings.ContainsAny(rest[:n], "0123456789") {
			return n
		}
	}
	n := 0
	for n < len(rest) && isDigit(rest[n]) {
		n++
	}
	return n
}

// serial returns the length of the UUID or the hexadecimal number, as a word, with which s
// begins; 0 if it does with none.
func serial(s string) int {
	if n := uuid(s); n > 0 {
		return n
	}
	if strings.HasPrefix(s, "0x") {
		if n := 2 + hexDigits(s[2:]); n > 2 && endsWord(s, n) {
			return n
		}
		return 0
	}
	if n := hexDigits(s); n >= 6 && endsWord(s, n) {
		return n
	}
	return 0
}

func uuid(s string) int {
	n := 0
	for i, most := range [...]int{8, 4, 4, 4, 12} {
		if i > 0 {
			if n == len(s) || s[n] != '-' {
				return 0
			}
			n++
		}
		if hexDigits(s[n:min(len(s), n+most)]) < most {
			return 0
		}
		n += most
	}
	if !endsWord(s, n) {
		return 0
	}
	return n
}

func hexDigits(s string) (n int) {
	for n < len(s) && isHex(s[n]) {
		n++
	}
	return n
}

func endsWord(s string, n int) bool { return n == len(s) || !isWord(s[n]) }

func isDigit(c byte) bool { return '0' <= c && c <= '9' }
func isHex(c byte) bool   { return isDigit(c) || 'a' <= c|0x20 && c|0x20 <= 'f' }
func isWord(c byte) bool  { return isDigit(c) || 'a' <= c|0x20 && c|0x20 <= 'z' || c == '_' }
