package record

import (
	"errors"
	"fmt"
	"log/slog"
)

// errBufferFull is the cause of lines that were dropped because the buffer was full.
var errBufferFull = errors.New("the buffer was full: the writer was too slow")

// A loss counts the lines that are missing from the log. Guarded by outMu.
type loss struct {
	unreported uint64 // lines that the log does not report yet, or in a line that can still be replaced
	why        error  // the cause of the first of them
	censusDue  bool   // the log has to list what is alive before it can go on
	total      uint64
	cause      error // the first failed write; errBufferFull if there was none
}

func (l *loss) isReported() bool { return l.unreported == 0 && !l.censusDue }

func (r *Recorder) addLoss(n uint64, why error) {
	if n == 0 {
		return
	}
	l := &r.loss
	if l.unreported == 0 {
		l.why = why
	}
	l.unreported, l.total, l.censusDue = l.unreported+n, l.total+n, true
	l.noteCause(why)
}

func (l *loss) noteCause(why error) {
	if l.cause == nil || l.cause == errBufferFull { //nolint:errorlint // it is never wrapped
		l.cause = why
	}
}

// reportLoss writes the line with the number of lost lines, if there are any. In a regular
// file it replaces the line that the last call wrote, as long as that is the last line.
func (r *Recorder) reportLoss() bool {
	l := &r.loss
	if l.unreported == 0 {
		return true
	}
	if !r.out.hasHeader {
		return false
	}
	if r.out.file != nil {
		gone, err := r.out.replaceTail(l.unreported, r.lostLine)
		l.unreported, l.total = l.unreported+gone.lines(), l.total+gone.events
		return err == nil
	}
	missing, err := r.out.writeLines(r.lostLine(l.unreported), false)
	l.unreported *= missing // 0 or 1: it is one line
	return err == nil
}

func (r *Recorder) lostLine(n uint64) []byte {
	if n == 0 {
		return nil
	}
	b := appendNumber(beginLine(nil, r.now(), "lost"), "n", n)
	why, _ := textOf(r.loss.why)
	return endLine(appendString(b, "why", why))
}

// overwriteEnd completes a log on a disk that is still full: the number of lost lines, a
// census and the last line overwrite lines at the end of the file.
func (r *Recorder) overwriteEnd(bye []byte) {
	if r.out.file == nil || !r.out.hasHeader {
		return
	}
	r.mu.Lock()
	left, at := r.alive.clone(), max(r.now(), r.alive.latest+1)
	r.mu.Unlock()
	l := &r.loss
	if l.unreported == 0 {
		l.why = l.cause // the cause of the lines to be overwritten
	}
	rest := append(left.census(at), bye...)
	gone, err := r.out.replaceTail(l.unreported, func(n uint64) []byte { return append(r.lostLine(n), rest...) })
	l.unreported, l.total = l.unreported+gone.lines(), l.total+gone.events
	if err != nil {
		r.reportLoss()
	}
}

// closeError returns the result of Close. closing is the error of closing out, in which a
// line may be torn for good.
func (l *loss) closeError(out *output, closing error) error {
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

// hasPendingLoss reports whether something is to be written though no event comes.
func (r *Recorder) hasPendingLoss() bool {
	r.outMu.Lock()
	defer r.outMu.Unlock()
	return !r.loss.isReported() || r.out.isTorn()
}

// unlockOut unlocks outMu and logs the first loss. It logs without outMu, as the handler of
// the logger is foreign code.
func (r *Recorder) unlockOut() {
	if r.loss.total == 0 || r.warned {
		r.outMu.Unlock()
		return
	}
	r.warned = true
	lines, cause, name := r.loss.total, r.loss.cause, r.out.name()
	r.outMu.Unlock()

	// The handler may cause an urgent event, which would wait for this goroutine. As if it
	// were a flush, the watchdog ends that wait.
	r.mu.Lock()
	r.beginFlushLocked()
	r.mu.Unlock()
	defer func() {
		_ = recover()
		r.mu.Lock()
		r.endFlushLocked()
		r.mu.Unlock()
	}()
	slog.Default().Warn("record: lines are missing from a log; it says how many, if it can be written again",
		"log", name, "lines", lines, "err", cause)
}
