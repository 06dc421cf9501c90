package history

import (
	"fmt"
	"slices"
	"time"
)

// A Process is a process whose recording is in a history. A history that [Read] returns has
// one, and one that [Merge] or [ReadDir] returns may have many.
type Process struct {
	// ID is unique in the history: the PID, or a number that no process has if another
	// recording in the history is of a process with the same PID.
	ID  uint64
	PID int

	Run     string // identifies the recording; the same in all its segments
	Segment uint64 // of a rotated recording, the number of the last segment read; otherwise 0
	Go      string // version of Go that built the program
	Program string // import path of the main package

	Starter *Starter // what has started the process, as far as its recording says; otherwise nil
	Parent  *Process // the process that has started it; nil if its recording is not in the history
	By      *Task    // the task of Parent that stands for it; nil if that is not known
	Roots   []*Scope // its scopes that are in no other scope of it, in the order of opening

	Started time.Duration // when its recorder was created
	End     time.Duration // time of the last line
	Moved   time.Duration // time of the last line that is about a scope or a task: after it nothing has happened up to End
	// Until is the time up to which the process is known to have lived, and with it what is
	// unfinished in it. In a complete recording that is the End. A recording that stops
	// short does not say how long the process lived on: but its starter may have seen it end,
	// or a process that it has started, and that ends with it, may have said more.
	Until time.Duration

	Closed    bool // the recorder was closed, so the recording is complete
	Truncated bool // the recording ends in the middle of a line
	Damaged   int  // number of lines that could not be understood
}

// A Starter says what has started a process: a task of a scope of another process.
type Starter struct {
	Run   string `json:"run"` // of the starter's recording; "" if it had none
	PID   int    `json:"pid"`
	Scope uint64 `json:"scope"`
	Task  uint64 `json:"task"` // 0 if no task stands for the process
}

// Died reports whether the process is known to have ended without closing its recorder: it
// crashed or was killed. If it returns false for a recording that is not Closed, the process
// may have crashed, may have been killed, or may still run.
func (p *Process) Died() bool { return !p.Closed && p.By != nil && !p.By.Unfinished() }

// String returns the PID of the process and the name of its first scope.
func (p *Process) String() string {
	if len(p.Roots) == 0 {
		return fmt.Sprintf("process %d", p.PID)
	}
	return fmt.Sprintf("process %d (%s)", p.PID, p.Roots[0].Name)
}

// BeginsProcess reports whether s is in no other scope of its process: it is a root, or its
// parent is in the process that has started this one.
func (s *Scope) BeginsProcess() bool { return s.Parent == nil || s.Parent.Process != s.Process }

// setProcess makes the history that of one process.
func (h *History) setProcess(by *Starter) {
	p := &Process{
		ID: uint64(max(h.PID, 0)), PID: h.PID, Run: h.Run, Segment: h.Segment, Go: h.Go, Program: h.Program, Starter: by,
		Roots: h.Roots(), End: h.End, Moved: h.End, Until: h.End,
		Closed: h.Closed, Truncated: h.Truncated, Damaged: h.Damaged,
	}
	h.Processes = []*Process{p}
	for _, s := range h.Scopes {
		s.Process = p
	}
	for i := range h.Losses {
		h.Losses[i].Process = p
	}
	for _, c := range h.Censuses {
		c.Process = p
	}
}

// setUntil sets Until of all processes. Those that have started others come first.
func setUntil(all []*Process) {
	for _, p := range all {
		p.Until = p.End
	}
	for _, p := range slices.Backward(all) { // a process lives at least as long as those below it
		if p.Parent != nil && !p.Parent.Closed {
			p.Parent.Until = max(p.Parent.Until, p.Until)
		}
	}
	for _, p := range all {
		switch {
		case p.Closed || p.By == nil:
		case p.By.Unfinished():
			p.Until = max(p.Until, p.Parent.Until)
		default:
			p.Until = max(p.End, p.By.Ended)
		}
	}
}
