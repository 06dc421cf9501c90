package main

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/traigo/traigo"
)

// A teller is an observer that tells in words what goes wrong: as lines, or for the
// screen.
type teller struct {
	began time.Time

	out io.Writer

	mu    sync.Mutex // guards what follows
	keeps bool       // lines are not written, but kept for the screen
	lines []string
}

// mostKept is how many lines are kept for the end: of a long demo nobody reads more.
const mostKept = 20

func newTeller(out io.Writer) *teller { return &teller{began: time.Now(), out: out} }

// keep keeps what is told for last and tellAgain.
func (tl *teller) keep() {
	tl.mu.Lock()
	defer tl.mu.Unlock()
	tl.keeps = true
}

// tellAgain writes what has been kept.
func (tl *teller) tellAgain() {
	tl.mu.Lock()
	defer tl.mu.Unlock()
	for _, line := range tl.lines {
		fmt.Fprintln(tl.out, line)
	}
}

// last returns the n lines that were told last, and empty ones if there are not so
// many, so that what is drawn below stays where it is.
func (tl *teller) last(n int) string {
	tl.mu.Lock()
	defer tl.mu.Unlock()
	lines := tl.lines[max(0, len(tl.lines)-n):]
	return strings.Join(lines, "\n") + strings.Repeat("\n", n-len(lines))
}

// Observe tells of scopes that end before their time.
func (tl *teller) Observe(e traigo.Event) {
	var why *traigo.Cancellation
	if e.Kind != traigo.ScopeCanceled || !errors.As(e.Err, &why) {
		return
	}
	switch why.Kind {
	case traigo.TimedOut:
		tl.tell(e, "ran out of time")
	case traigo.TaskFailed:
		tl.tell(e, fmt.Sprintf("failed: its task %s returned “%v”", e.Scope.CanceledBy().Name(), why.Err))
	case traigo.BodyFailed, traigo.Panicked:
		tl.tell(e, fmt.Sprintf("failed: %v", why.Err))
	case traigo.Requested, traigo.ParentCanceled, traigo.MasterEnded, traigo.Completed:
	}
}

func (tl *teller) tell(e traigo.Event, what string) {
	line := fmt.Sprintf("%5.1f s  %s %s", e.Time.Sub(tl.began).Seconds(), e.Scope.Name(), what)
	tl.mu.Lock()
	defer tl.mu.Unlock()
	if tl.keeps {
		tl.lines = append(tl.lines, line)
		tl.lines = tl.lines[max(0, len(tl.lines)-mostKept):]
		return
	}
	fmt.Fprintln(tl.out, line)
}
