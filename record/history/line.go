package history

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"
	"unicode/utf8"
)

// Version is the version of the log format that this package reads.
const Version = 1

// A header is the first line of a log, or of a segment.
type header struct {
	Traigo  int       `json:"traigo"`
	T0      time.Time `json:"t0"`
	Run     string    `json:"run"`
	Segment uint64    `json:"segment"`
	PID     int       `json:"pid"`
	Go      string    `json:"go"`
	Program string    `json:"program"`
}

// A line is any other: see docs/log-format.md.
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
	Err      string `json:"err"`
	Stack    string `json:"stack"`
}

// A notice is a line about the log itself: its n is a number.
type notice struct {
	T    *int64 `json:"t"`
	Kind string `json:"k"`
	N    uint64 `json:"n"`
	Why  string `json:"why"`
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

// since is never below 0: what is from before the recording began with it, and -1 is Never.
func since(ns *int64) time.Duration { return max(0, time.Duration(*ns)) }

// isHeader reports whether text is meant to be the first line of a segment.
func isHeader(text []byte) bool { return bytes.HasPrefix(text, []byte(`{"traigo":`)) }

// headerOf reads the first line of a log, or says what is wrong with it.
func headerOf(text []byte) (header, error) {
	var head header
	if err := json.Unmarshal(text, &head); err != nil || head.Traigo == 0 {
		return head, fmt.Errorf(`history: this is no log of traigo: its first line is not {"traigo":%d,…}%s`, Version, looksLike(text))
	}
	if head.Traigo != Version {
		return head, fmt.Errorf("history: the log has version %d of the format, and this traigo reads version %d: use the version of traigo that wrote it, or a newer one", head.Traigo, Version)
	}
	return head, nil
}

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

// looksLike says what the file may be that begins so, for the end of an error; ""
// for what could be a log.
func looksLike(start []byte) string {
	start = bytes.TrimLeft(start, " \t\r\n")
	for _, known := range []struct{ magic, hint string }{
		{"\x1f\x8b", ": it is compressed by gzip, so gunzip it first"},
		{"\x28\xb5\x2f\xfd", ": it is compressed by zstd, so decompress it first"},
		{"PK\x03\x04", ": it is a zip file, so unpack it first"},
		{"go 1.", ": it looks like an execution trace of Go; look at that with `go tool trace`"},
		{"<", ": it looks like a page; give the log that it was made from"},
		{"[", ": it looks like a Chrome trace; look at that on ui.perfetto.dev"},
	} {
		if bytes.HasPrefix(start, []byte(known.magic)) {
			return known.hint
		}
	}
	switch firstKey(start) {
	case "traceEvents", "displayTimeUnit":
		return ": it looks like a Chrome trace; look at that on ui.perfetto.dev"
	case "t", "k":
		return ": it looks like the rest of a log of traigo whose first line is missing; the first line is needed"
	case "id", "name", "path":
		return ": it looks like a snapshot; give the log of a recorder"
	case "time", "level", "msg":
		return ": it looks like the output of a logger; give the log of a recorder"
	case "config", "runRecords":
		return ": it looks like an sc-logs.json of trio-vis; read it with ReadSCLogs"
	}
	return ""
}

// firstKey returns the first key of a JSON object, as far as it is there.
func firstKey(start []byte) string {
	dec := json.NewDecoder(bytes.NewReader(start))
	if open, err := dec.Token(); err != nil || open != json.Delim('{') {
		return ""
	}
	key, _ := dec.Token()
	name, _ := key.(string)
	return name
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\r' || c == '\n' }

// isPerfetto: the first packet begins with what would be an empty line, and goes on
// with what is no text.
func isPerfetto(start []byte) bool {
	return len(start) > 0 && start[0] == '\n' && bytes.ContainsFunc(start, func(c rune) bool {
		return c < ' ' && !isSpace(byte(c)) || c == utf8.RuneError
	})
}
