package history

import "bytes"

// The lines that a recorder writes are simple, and there are many of them: reading them
// by hand takes a fifth of the time. Whatever is not as simple as that is left to
// encoding/json, so that both never disagree: an escape, a space, a key that is unknown.

// scan reads a line into l, which is empty; false if it is not simple.
func (l *line) scan(text []byte) bool {
	if len(text) < 2 || text[0] != '{' || text[len(text)-1] != '}' {
		return false
	}
	rest := text[1:]
	for {
		key, after, ok := plain(rest)
		if !ok || len(after) == 0 || after[0] != ':' {
			return false
		}
		if rest, ok = l.scanValue(string(key), after[1:]); !ok || len(rest) == 0 {
			return false
		}
		next := rest[0]
		if rest = rest[1:]; next != ',' {
			return next == '}' && len(rest) == 0
		}
	}
}

func (l *line) scanValue(key string, text []byte) (rest []byte, ok bool) {
	if field := l.text(key); field != nil {
		value, rest, ok := plain(text)
		*field = string(value)
		return rest, ok
	}
	n, rest, ok := digits(text)
	if field := l.number(key); field != nil {
		*field = n
		return rest, ok
	}
	at := int64(n) // of at most 18 digits
	switch key {
	case "t":
		l.T = &at
	case "dl":
		l.Deadline = &at
	default:
		return nil, false
	}
	return rest, ok
}

func (l *line) text(key string) *string {
	switch key {
	case "k":
		return &l.Kind
	case "n":
		return &l.Name
	case "f":
		return &l.Flags
	case "st":
		return &l.State
	case "why":
		return &l.Why
	case "err":
		return &l.Err
	case "stack":
		return &l.Stack
	}
	return nil
}

func (l *line) number(key string) *uint64 {
	switch key {
	case "id":
		return &l.ID
	case "in":
		return &l.In
	case "by":
		return &l.By
	case "s":
		return &l.Scope
	}
	return nil
}

// plain takes a string that stands for itself.
func plain(text []byte) (value, rest []byte, ok bool) {
	if len(text) == 0 || text[0] != '"' {
		return nil, nil, false
	}
	text = text[1:]
	end := bytes.IndexByte(text, '"')
	if end < 0 {
		return nil, nil, false
	}
	for _, c := range text[:end] {
		if c < ' ' || c > '~' || c == '\\' {
			return nil, nil, false
		}
	}
	return text[:end], text[end+1:], true
}

// digits takes a number that is not negative.
func digits(text []byte) (n uint64, rest []byte, ok bool) {
	i := 0
	for i < len(text) && '0' <= text[i] && text[i] <= '9' {
		n = n*10 + uint64(text[i]-'0')
		i++
	}
	leadingZero := i > 1 && text[0] == '0'
	return n, text[i:], 0 < i && i <= 18 && !leadingZero
}
