package history

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"
)

// Version is the latest version of the log format that this package reads. It also reads all
// earlier ones.
const Version = 2

// A header is the first line of a segment.
type header struct {
	Traigo  int       `json:"traigo"`
	T0      time.Time `json:"t0"`
	Run     string    `json:"run"`
	Segment uint64    `json:"segment"`
	PID     int       `json:"pid"`
	Go      string    `json:"go"`
	Program string    `json:"program"`
	By      *Starter  `json:"by"`
}

// A line is a line about a scope or a task: see docs/log-format.md.
type line struct {
	T        *int64 `json:"t"`
	Kind     string `json:"k"`
	ID       uint64 `json:"id"`
	In       uint64 `json:"in"`
	By       uint64 `json:"by"`
	Scope    uint64 `json:"s"`
	Name     string `json:"n"`
	Flags    string `json:"f"`
	Deadline *int64 `json:"dl"`
	State    string `json:"st"`
	Why      string `json:"why"`
	At       string `json:"at"`
	Cause    string `json:"cause"`
	Err      string `json:"err"`
	Stack    string `json:"stack"`
}

// A notice is a line about the log itself, or of a census of stacks. Its n is a number, not a
// name.
type notice struct {
	T    *int64 `json:"t"`
	Kind string `json:"k"`
	N    uint64 `json:"n"`
	Why  string `json:"why"`

	Goroutines int    `json:"goroutines"`
	More       int    `json:"more"`
	Waits      string `json:"waits"`
	For        int64  `json:"for"`
	At         string `json:"at"`
	Stack      string `json:"stack"`

	Of []uint64 `json:"of"` // pairs: the ID of a scope, and that of its task or 0
}

// parse reports whether text is a line with a time.
func (l *line) parse(text []byte) bool {
	*l = line{}
	if !l.scan(text) {
		*l = line{}
		if json.Unmarshal(text, l) != nil {
			return false
		}
	}
	return l.T != nil
}

func (l *notice) parse(text []byte) bool { return json.Unmarshal(text, l) == nil && l.T != nil }

func (l *line) at() time.Duration { return since(l.T) }

func (l *line) deadline() time.Duration {
	if l.Deadline == nil {
		return Never
	}
	return since(l.Deadline)
}

// since returns a time of a line, at least 0: a negative time would be taken for Never.
func since(ns *int64) time.Duration { return max(0, time.Duration(*ns)) }

// isHeader reports whether text looks like the first line of a segment.
func isHeader(text []byte) bool { return bytes.HasPrefix(text, []byte(`{"traigo":`)) }

// headerOf decodes the first line of a log. The error says what else the file may be.
func headerOf(text []byte) (header, error) {
	var head header
	if err := json.Unmarshal(text, &head); err != nil || head.Traigo == 0 {
		return head, fmt.Errorf(`history: this is no log of traigo: its first line is not {"traigo":%d,…}%s`, Version, looksLike(text))
	}
	if head.Traigo < 1 || head.Traigo > Version {
		return head, fmt.Errorf("history: the log has version %d of the format, and this traigo reads versions 1 to %d: use the version of traigo that wrote it, or a newer one", head.Traigo, Version)
	}
	return head, nil
}

// scan parses a line of the form that a recorder writes in nearly all cases, in a fifth of the
// time of encoding/json. It returns false for any other form (an escape, a space, an
// unknown key …), so that encoding/json decides what such a line means. l must be zero.
func (l *line) scan(text []byte) bool {
	if len(text) < 2 || text[0] != '{' || text[len(text)-1] != '}' {
		return false
	}
	rest := text[1:]
	for {
		key, after, ok := quotedText(rest)
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
		value, rest, ok := quotedText(text)
		*field = string(value)
		return rest, ok
	}
	n, rest, ok := digits(text)
	if field := l.number(key); field != nil {
		*field = n
		return rest, ok
	}
	at := int64(n) // cannot overflow with at most 18 digits
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
	case "at":
		return &l.At
	case "cause":
		return &l.Cause
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

// quotedText parses a string without escapes, in printable ASCII.
func quotedText(text []byte) (value, rest []byte, ok bool) {
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

// digits parses a number that is not negative, of at most 18 digits.
func digits(text []byte) (n uint64, rest []byte, ok bool) {
	i := 0
	for i < len(text) && '0' <= text[i] && text[i] <= '9' {
		n = n*10 + uint64(text[i]-'0')
		i++
	}
	leadingZero := i > 1 && text[0] == '0'
	return n, text[i:], 0 < i && i <= 18 && !leadingZero
}
