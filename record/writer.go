package record

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"runtime"
	"sync"
	"time"

	"github.com/traigo/traigo"
)

// An event takes three steps to the output. Observe formats its line without a lock. With
// mu held it then updates the set of what is alive and appends the line to the buffer
// (enqueue). A flush, with outMu held, takes the buffer and writes it, after reporting
// lost lines and changing files where necessary. Flushes run on the writer goroutine; with
// Durable each runs on the goroutine that observes (writeDurable).

const (
	flushDelay   = 50 * time.Millisecond // how long lines wait for more; with the time of a write it has to stay below the documented 100 ms
	retryDelay   = time.Second           // when to try again to report a loss if no event comes
	stuckAfter   = 50 * time.Millisecond // how long an urgent event waits for a write; on a busy machine even a good disk needs some of it
	closeTimeout = 10 * time.Second      // how long Close waits for a write
)

// enqueue appends a line to the buffer, or drops it if the buffer is full, and wakes the
// writer if there is a reason to. For an urgent event it waits until the line is written.
func (r *Recorder) enqueue(line []byte, t int64, e traigo.Event, d *details) {
	r.mu.Lock()
	if r.closing {
		r.mu.Unlock()
		return
	}
	wake := len(r.buf) == 0
	if r.dropping || len(r.buf) > 0 && len(r.buf)+len(line) > r.half+r.extra {
		// Shorter lines that would still fit are dropped as well, until a flush has taken
		// the buffer: so there is one gap, and its place in the log is known.
		r.dropping = true
		r.dropped++
	} else {
		r.reserveLocked(len(line), t)
		r.buf = append(r.buf, line...)
	}
	r.alive.apply(t, e, d) // for dropped events too: see alive
	r.moveLocked()
	if !r.flushNow && (d.urgent || len(r.buf) >= r.flushSize() || r.dropping) {
		r.flushNow, wake = true, true
	}
	var written <-chan struct{}
	if d.urgent {
		written = r.nextFlushLocked()
	}
	// On a busy machine a woken writer waits for a processor. Yielding this one lets it
	// empty the buffer before lines have to be dropped.
	crowded := len(r.buf) >= r.half/4*3 && !r.dropping
	r.mu.Unlock()

	if wake {
		r.wakeWriter()
	}
	switch {
	case written != nil:
		<-written
	case crowded:
		runtime.Gosched()
	}
}

// flushSize returns how many bytes are written at once without waiting for more.
func (r *Recorder) flushSize() int {
	if r.maxSize > 0 {
		return int(min(int64(r.half/2), (r.maxSize+3)/4))
	}
	return r.half / 2
}

func (r *Recorder) wakeWriter() {
	select {
	case r.wake <- struct{}{}:
	default: // one wake-up is pending already
	}
}

// runWriter is the writer goroutine. While there is nothing to write it blocks on wake
// alone and has no timer, so that synctest still detects a bubble in which everything is
// blocked.
func (r *Recorder) runWriter() {
	defer close(r.finished)
	defer r.stop()
	r.err = errWriterGone
	for first := true; ; first = false {
		if !first {
			r.awaitLines()
		}
		r.outMu.Lock()
		r.flush()
		last := r.isClosing()
		if last {
			r.flush() // lines that came after the flush and before closing was set
			r.finish()
		}
		r.unlockOut()
		if last {
			return
		}
	}
}

// awaitLines returns when there are lines to write and they have waited for flushDelay or
// must not wait, or when it is time to try again to report a loss.
func (r *Recorder) awaitLines() {
	if r.hasPendingLoss() {
		retry := time.NewTimer(retryDelay)
		defer retry.Stop()
		select {
		case <-r.wake:
		case <-retry.C:
			return
		}
	} else {
		<-r.wake
	}
	delay := time.NewTimer(flushDelay)
	defer delay.Stop()
	for !r.mustFlush() {
		select {
		case <-r.wake:
		case <-delay.C:
			return
		}
	}
}

func (r *Recorder) mustFlush() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.flushNow
}

func (r *Recorder) isClosing() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.closing
}

// A batch is what a flush has taken from the buffer.
type batch struct {
	lines   []byte
	dropped uint64 // number of dropped lines, which would follow lines
	at      int64  // when it was taken
	alive   alive  // what is alive after lines and dropped; empty if no census is needed
	splits  []split

	// What is no event. It is not lost if it cannot be written.
	report []byte // the next flush takes what is left of it
	beat   []byte
}

// flush writes the buffer. Lost lines are reported before it, followed by a census; if
// these cannot be written, the buffer is lost too. outMu is held.
func (r *Recorder) flush() {
	r.mu.Lock()
	r.beginFlushLocked()
	r.mu.Unlock()
	ready := r.prepareOutput()
	b := r.takeBatch(ready)
	if r.writeBatch(ready, b) {
		b.report = r.writeReport(b.report)
		r.out.writeBeat(b.beat)
	}
	r.endFlush(b)
}

// writeBatch writes the lines of a batch, and reports whether others can follow.
func (r *Recorder) writeBatch(ready bool, b batch) bool {
	if !ready || r.loss.censusDue && !r.writeCensus(b.alive, b.at) {
		r.addLoss(countLines(b.lines)+b.dropped, r.out.lastErr)
		r.reportLoss()
		return false
	}
	if missing, err := r.writeSegments(b); err != nil {
		r.addLoss(missing+b.dropped, err)
		r.reportLoss()
		return false
	}
	if b.dropped > 0 {
		r.addLoss(b.dropped, errBufferFull)
		_ = r.reportLoss() && r.writeCensus(b.alive, b.at)
	}
	return r.loss.isReported()
}

// writeReport writes a census of stacks, and returns what is still to be written of it. If files
// rotate a census stays cut short: a file must not begin with the rest of it.
func (r *Recorder) writeReport(lines []byte) (rest []byte) {
	missing, _ := r.out.writeLines(lines, false)
	all := countLines(lines)
	if missing < all && r.out.segment > 0 {
		return nil
	}
	rest = lines
	for range all - missing {
		rest = rest[bytes.IndexByte(rest, '\n')+1:]
	}
	return rest
}

// prepareOutput reports whether lines can be written now: the header is written, no line
// is torn, and lost lines are reported. It makes up for what is missing of that.
func (r *Recorder) prepareOutput() bool {
	return r.out.writeHeader() && r.out.completeTorn() && r.reportLoss() && (r.loss.unreported == 0 || r.out.hasRoom())
}

// takeBatch exchanges the buffers. Later events follow the batch in the log, so the copy of
// what is alive is exact for the place where the batch ends.
func (r *Recorder) takeBatch(ready bool) (b batch) {
	r.mu.Lock()
	defer r.mu.Unlock()
	b.lines, b.dropped = r.buf, r.dropped
	b.at = max(r.now(), r.alive.latest+1) // later than all that has begun: a reader compares times, and clocks may stand still
	r.takeNotesLocked(&b)
	r.buf, r.spare = r.spare[:0], nil
	r.dropped, r.dropping, r.flushNow = 0, false, false
	if more := len(b.lines) + len(b.report); more > 0 && r.isOverAge(more, b.at) {
		r.splitLocked(len(b.lines), b.at)
	}
	b.splits, r.splits, r.held = r.splits, nil, 0
	if ready && (r.loss.censusDue || b.dropped > 0) {
		b.alive = r.alive.clone()
	}
	r.extra = min(r.extra, len(b.lines)) // lines that came during a census have to be written as well
	if len(b.splits) > 0 || !b.alive.isEmpty() {
		// Writing a census takes time. If lines were dropped during it, another census
		// would have to follow, and so on without end: so the buffer may grow meanwhile.
		const perEntry = 64
		r.extra = perEntry * (len(r.alive.scopes) + len(r.alive.tasks))
	}
	r.linesTakenLocked()
	return b
}

// takeNotesLocked takes the census of stacks, and the heartbeat if nothing else is to be written.
func (r *Recorder) takeNotesLocked(b *batch) {
	if b.report, r.report = r.report, nil; len(b.report) > 0 {
		r.reserveLocked(len(b.report), b.at)
	}
	if r.beat > 0 && len(b.lines)+len(b.report) == 0 {
		b.beat = endLine(beginLine(nil, r.beat, "beat"))
	}
	r.beat = 0
}

// endFlush gives the memory of the batch back, and a census of stacks that could not be written,
// and releases those who wait for the flush.
func (r *Recorder) endFlush(b batch) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.report) == 0 {
		r.report = b.report
	}
	r.spare = b.lines[:0]
	if cap(b.lines) > 4*r.half && !r.durable {
		r.spare = make([]byte, 0, r.half) // it had grown for a census of very many
	}
	r.updateRoomLocked()
	r.endFlushLocked()
}

// writeCensus writes the list of what is alive, which ends a gap. A census that is cut
// short is written again as a whole later; a reader uses the last one.
func (r *Recorder) writeCensus(a alive, at int64) bool {
	before := r.out.at
	if _, err := r.out.writeLines(a.census(at), false); err != nil {
		r.out.truncate(before)
		return false
	}
	r.out.keepNotice()
	r.loss.unreported, r.loss.censusDue = 0, false
	return true
}

func countLines(b []byte) uint64 { return uint64(bytes.Count(b, []byte{'\n'})) }

// finish writes the last line and closes the output, after the last flush.
func (r *Recorder) finish() {
	bye := endLine(beginLine(nil, r.now(), "bye"))
	complete := r.loss.isReported() && r.out.hasHeader && !r.out.isTorn()
	if complete {
		_, err := r.out.writeLines(bye, false)
		complete = err == nil
	}
	if !complete {
		r.loss.noteCause(r.out.lastErr)
		r.overwriteEnd(bye)
	}
	r.err = r.loss.closeError(&r.out, r.out.close())
}

// writeDurable writes an event and returns when the operating system has it.
func (r *Recorder) writeDurable(line []byte, t int64, e traigo.Event, d *details) {
	r.outMu.Lock()
	r.mu.Lock()
	if r.closing {
		r.mu.Unlock()
		r.outMu.Unlock()
		return
	}
	r.reserveLocked(len(line), t)
	r.buf = append(r.buf, line...)
	r.alive.apply(t, e, d)
	r.moveLocked()
	r.mu.Unlock()
	r.flush()
	r.unlockOut()
}

// finishDurable completes the log of a Durable recorder. It runs on a goroutine of its
// own, because a blocked write may hold outMu.
func (r *Recorder) finishDurable() {
	defer close(r.finished)
	defer r.stop()
	r.err = errWriterGone
	r.outMu.Lock()
	defer r.unlockOut()
	r.flush()
	r.finish()
}

// errWriterGone is the result of Close if the goroutine that calls the writer has not
// reached finish.
var errWriterGone = errors.New("record: the writer has called runtime.Goexit: the log ends there")

// stop releases all memory and everyone who waits for a flush, as there will be none. A
// long-lived scope may keep the recorder as its observer; it must not keep what was alive.
func (r *Recorder) stop() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closing, r.flushing = true, false
	r.buf, r.spare, r.splits, r.alive, r.report = nil, nil, nil, alive{}, nil
	r.timer.Stop()
	if r.watchdog != nil {
		r.watchdog.Stop()
		r.releaseLocked()
		close(r.next)
	}
}

// awaitFinish waits until the log is complete, as long as flushes end.
func (r *Recorder) awaitFinish() error {
	for seen := r.flushCount(); ; {
		timeout := time.NewTimer(closeTimeout)
		select {
		case <-r.finished:
			timeout.Stop()
			return r.err
		case <-timeout.C:
			now := r.flushCount()
			if now == seen {
				return fmt.Errorf("record: the writer has taken nothing for %v: the log ends before what it was to take: %w", closeTimeout, os.ErrDeadlineExceeded)
			}
			seen = now
		}
	}
}

func (r *Recorder) flushCount() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.flushes
}

// A chanMutex is a mutex. A sync.Mutex would stop the clock of a synctest bubble while a
// goroutine waits for it; a channel does not, so a writer that sleeps in a bubble wakes up.
type chanMutex chan struct{}

func (m chanMutex) Lock()   { m <- struct{}{} }
func (m chanMutex) Unlock() { <-m }

// waiters lets goroutines with an urgent event wait for the flush that writes it. Its
// fields are guarded by mu.
//
// Only the writer goroutine and the timer close the channels and stop the timer: in a
// synctest bubble nothing from another bubble may do so, though it may receive.
type waiters struct {
	next     chan struct{} // closed when the lines now in buf are written, or the writer is stuck
	inFlight chan struct{} // likewise for the lines that the current flush has taken
	flushing bool          // a flush is under way
	began    time.Time     // when it began
	watchdog *time.Timer   // fires stuckAfter that; nil with Durable, where nobody waits
	stuck    bool          // the watchdog has fired: nobody waits until the flush has ended
	flushes  uint64        // flushes that have ended
}

func (w *waiters) startWatchdog(mu *sync.Mutex) {
	w.next = make(chan struct{})
	w.watchdog = time.AfterFunc(time.Hour, func() {
		mu.Lock()
		defer mu.Unlock()
		if !w.flushing || time.Since(w.began) < stuckAfter {
			return // the flush ended between the timer and the lock
		}
		w.stuck = true
		w.releaseLocked()
		close(w.next)
		w.next = make(chan struct{})
	})
	w.watchdog.Stop()
}

// nextFlushLocked returns the channel to wait on, or nil if the writer is stuck.
func (w *waiters) nextFlushLocked() <-chan struct{} {
	if w.stuck {
		return nil
	}
	return w.next
}

func (w *waiters) beginFlushLocked() {
	if w.watchdog != nil {
		w.flushing, w.began = true, time.Now()
		w.watchdog.Reset(stuckAfter)
	}
}

func (w *waiters) linesTakenLocked() {
	if w.watchdog != nil {
		w.inFlight, w.next = w.next, make(chan struct{})
	}
}

func (w *waiters) endFlushLocked() {
	if w.watchdog != nil {
		w.watchdog.Stop()
		w.releaseLocked()
		w.flushing, w.stuck = false, false
	}
	w.flushes++
}

func (w *waiters) releaseLocked() {
	if w.inFlight != nil {
		close(w.inFlight)
		w.inFlight = nil
	}
}
