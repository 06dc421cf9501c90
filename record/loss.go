package record

import (
	"errors"
	"fmt"
	"log/slog"
)

// Lines that are missing, and how the log says so.

// errFull is why lines are missing that found no room in the buffer.
var errFull = errors.New("the buffer was full: the writer was too slow")

// A loss is what is missing. Guarded by the pen.
type loss struct {
	owed  uint64 // lines that the log does not yet say are missing, or says in a line that may still change
	why   error  // of the first of them
	due   bool   // the log has to say what is alive
	total uint64 // lines that are missing altogether
	cause error  // a failed write, if there was one
}

func (r *Recorder) lose(n uint64, why error) {
	if n == 0 {
		return
	}
	l := &r.loss
	if l.owed == 0 {
		l.why = why
	}
	l.owed, l.total, l.due = l.owed+n, l.total+n, true
	l.noteCause(why)
}

func (l *loss) noteCause(why error) {
	if l.cause == nil || l.cause == errFull { //nolint:errorlint // it is never wrapped
		l.cause = why
	}
}

// tell writes how many lines are missing here.
func (r *Recorder) tell() bool {
	l := &r.loss
	if l.owed == 0 {
		return true
	}
	if !r.out.begun {
		return false
	}
	if r.out.file != nil {
		cut, err := r.out.replaceEnd(l.owed, r.lostLine)
		l.owed, l.total = l.owed+cut.lines(), l.total+cut.events
		return err == nil
	}
	missing, err := r.out.put(r.lostLine(l.owed), false)
	l.owed *= missing // it is one line
	return err == nil
}

func (r *Recorder) lostLine(n uint64) []byte {
	if n == 0 {
		return nil
	}
	b := appendNumber(begin(nil, r.now(), "lost"), "n", n)
	why, _ := textOf(r.loss.why)
	return end(appendKey(b, "why", why))
}

// makeRoomFor is the end of a log on a disk that has stayed full: lines at its end give
// way to those that say what is missing, and what is alive.
func (r *Recorder) makeRoomFor(bye []byte) {
	if r.out.file == nil || !r.out.begun {
		return
	}
	r.mu.Lock()
	left, at := r.alive.clone(), max(r.now(), r.alive.latest+1)
	r.mu.Unlock()
	l := &r.loss
	if l.owed == 0 {
		l.why = l.cause // of what gives way
	}
	rest := append(left.census(at), bye...)
	cut, err := r.out.replaceEnd(l.owed, func(n uint64) []byte { return append(r.lostLine(n), rest...) })
	l.owed, l.total = l.owed+cut.lines(), l.total+cut.events
	if err != nil {
		r.tell()
	}
}

// error is what Close says. out may have a line that never got its end.
func (l *loss) error(out *output, closing error) error {
	if out.torn.isEvent {
		l.total++
	}
	switch {
	case l.total > 0:
		return fmt.Errorf("record: %d lines of %s are missing: %w", l.total, out.name(), l.cause)
	case l.cause != nil:
		return fmt.Errorf("record: the end of %s could not be written: %w", out.name(), l.cause)
	case closing != nil:
		return fmt.Errorf("record: %w", closing)
	default:
		return nil
	}
}

// isUneasy reports a loss that the log has not yet told.
func (r *Recorder) isUneasy() bool {
	r.pen.Lock()
	defer r.pen.Unlock()
	return r.loss.owed > 0 || r.loss.due || len(r.out.torn.rest) > 0
}

// release gives the pen back, and logs the first loss: without the pen, for a handler may
// be anybody's.
func (r *Recorder) release() {
	if r.loss.total == 0 || r.warned {
		r.pen.Unlock()
		return
	}
	r.warned = true
	lines, cause, name := r.loss.total, r.loss.cause, r.out.name()
	r.pen.Unlock()

	// A handler may bring about an urgent event, which must not wait for this goroutine.
	r.mu.Lock()
	r.beginLocked()
	r.mu.Unlock()
	defer func() {
		_ = recover()
		r.mu.Lock()
		r.endLocked()
		r.mu.Unlock()
	}()
	slog.Default().Warn("record: lines are missing from a log; it says how many, if it can be written again",
		"log", name, "lines", lines, "err", cause)
}
