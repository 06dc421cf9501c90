package history

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"
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
