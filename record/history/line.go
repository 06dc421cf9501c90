package history

import (
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

// A count is a line whose n is a number.
type count struct {
	N uint64 `json:"n"`
}

func (l *line) at() time.Duration { return time.Duration(*l.T) }

func (l *line) deadline() time.Duration {
	if l.Deadline == nil {
		return Never
	}
	return time.Duration(*l.Deadline)
}

// headerOf reads the first line of a log, or says what is wrong with it.
func headerOf(text []byte) (header, error) {
	var head header
	if err := json.Unmarshal(text, &head); err != nil || head.Traigo == 0 {
		return head, fmt.Errorf(`history: this is no log of traigo: its first line is not {"traigo":%d,…}`, Version)
	}
	if head.Traigo != Version {
		return head, fmt.Errorf("history: the log has version %d of the format, and this traigo reads version %d: use the version of traigo that wrote it, or a newer one", head.Traigo, Version)
	}
	return head, nil
}
