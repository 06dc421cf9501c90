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

const (
	gatherFor   = 50 * time.Millisecond // how long lines gather: what is promised is 100 ms
	retryAfter  = time.Second           // how long a loss waits to be told when nothing else comes
	stuckAfter  = 50 * time.Millisecond // how long an urgent event waits for a write: on a busy machine a good one may take some time
	giveUpAfter = 10 * time.Second      // how long Close does
)

// How a line comes into the buffer, on the goroutine that makes the step.

// gather appends a line, or counts it where there is no room, and wakes the writer when
// there is something for it. Of an event that is urgent it waits until it is written.
func (r *Recorder) gather(line []byte, t int64, e traigo.Event, d *details) {
	r.mu.Lock()
	if r.closing {
		r.mu.Unlock()
		return
	}
	wake := len(r.buf) == 0
	if r.dropping || len(r.buf) > 0 && len(r.buf)+len(line) > r.half+r.extra {
		// All that comes until a round has made room: so the gap is one, and its place
		// is known.
		r.dropping = true
		r.dropped++
	} else {
		r.fitLocked(len(line), t)
		r.buf = append(r.buf, line...)
	}
	r.alive.note(t, e, d) // also what is dropped: see there
	if !r.hurry && (d.urgent || len(r.buf) >= r.enough() || r.dropping) {
		r.hurry, wake = true, true
	}
	var written <-chan struct{}
	if d.urgent {
		written = r.nextLocked()
	}
	// A writer that is woken on a busy machine waits its turn: better to give it ours
	// than to go on and find no room.
	crowded := len(r.buf) >= r.half/4*3 && !r.dropping
	r.mu.Unlock()

	if wake {
		r.nudge()
	}
	switch {
	case written != nil:
		<-written
	case crowded:
		runtime.Gosched()
	}
}

// enough is how many bytes are worth a write before their time has come.
func (r *Recorder) enough() int {
	if r.maxSize > 0 {
		return int(min(int64(r.half/2), (r.maxSize+3)/4))
	}
	return r.half / 2
}

func (r *Recorder) nudge() {
	select {
	case r.wake <- struct{}{}:
	default: // it has one to find when it looks
	}
}

// write is the recorder's goroutine. Where there is nothing to write it waits for
// nothing but lines: a synctest bubble in which all wait for ever is still found out.
func (r *Recorder) write() {
	defer close(r.finished)
	defer r.leave()
	r.err = errGone
	for first := true; ; first = false {
		if !first {
			r.awaitLines()
		}
		r.pen.Lock()
		r.round()
		last := r.isClosing()
		if last {
			r.round() // what came before it was closing
			r.finish()
		}
		r.release()
		if last {
			return
		}
	}
}

// awaitLines returns when there is something to write and it has gathered for a while,
// or cannot wait.
func (r *Recorder) awaitLines() {
	if r.isUneasy() {
		retry := time.NewTimer(retryAfter)
		defer retry.Stop()
		select {
		case <-r.wake:
		case <-retry.C:
			return
		}
	} else {
		<-r.wake
	}
	gathered := time.NewTimer(gatherFor)
	defer gathered.Stop()
	for !r.isInAHurry() {
		select {
		case <-r.wake:
		case <-gathered.C:
			return
		}
	}
}

func (r *Recorder) isInAHurry() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.hurry
}

func (r *Recorder) isClosing() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.closing
}

// A round takes what has gathered and gives it to the output. All of this holds the pen.

// A batch is what a round has taken from the buffer: a piece of the log, and what is
// alive where it ends.
type batch struct {
	lines   []byte
	dropped uint64 // lines that would follow
	at      int64  // when it was taken
	alive   alive  // only where a census is needed
	cuts    []seam // where files change, in order
}

// round writes what has gathered. Where lines are missing it first says so, and lists
// what is alive; where that cannot be written, what has gathered is missing too.
func (r *Recorder) round() {
	r.mu.Lock()
	r.beginLocked()
	r.mu.Unlock()
	ready := r.ready()
	b := r.take(ready)
	settled := false
	defer func() {
		if !settled { // the writer has called runtime.Goexit
			r.lose(countLines(b.lines)+b.dropped, errExited)
		}
		r.handBack(b)
	}()
	r.settle(ready, b)
	settled = true
}

func (r *Recorder) settle(ready bool, b batch) {
	if !ready || r.loss.due && !r.census(b.alive, b.at) {
		r.lose(countLines(b.lines)+b.dropped, r.out.failure)
		r.tell()
		return
	}
	if missing, err := r.putFiles(b); err != nil {
		r.lose(missing+b.dropped, err)
		r.tell()
		return
	}
	if b.dropped > 0 {
		r.lose(b.dropped, errFull)
		_ = r.tell() && r.census(b.alive, b.at)
	}
}

// ready says whether the output can go on: it has its first line, no line of it is torn,
// and what was missing has been told.
func (r *Recorder) ready() bool {
	return r.out.begin() && r.out.mend() && r.tell() && (r.loss.owed == 0 || r.out.hasRoom())
}

// take takes the buffer. What comes from now on follows it in the log, so that what is
// alive now is what is alive at its end.
func (r *Recorder) take(ready bool) (b batch) {
	r.mu.Lock()
	defer r.mu.Unlock()
	b.lines, b.dropped = r.buf, r.dropped
	b.at = max(r.now(), r.alive.latest+1) // what has begun by then is what began before it, also where clocks stand still
	r.buf, r.spare = r.spare[:0], nil
	r.dropped, r.dropping, r.hurry = 0, false, false
	if r.isOld(len(b.lines), b.at) {
		r.cutLocked(len(b.lines), b.at)
	}
	b.cuts, r.cuts, r.held = r.cuts, nil, 0
	if ready && (r.loss.due || b.dropped > 0) {
		b.alive = r.alive.clone()
	}
	r.extra = min(r.extra, len(b.lines)) // what has come during one is to be written too
	if len(b.cuts) > 0 || !b.alive.isEmpty() {
		// A census takes its time. If more were lost meanwhile, the next would follow,
		// and so on.
		const each = 64
		r.extra = each * (len(r.alive.scopes) + len(r.alive.tasks))
	}
	r.takenLocked()
	return b
}

func (r *Recorder) handBack(b batch) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.spare = b.lines[:0]
	if cap(b.lines) > 4*r.half && !r.durable {
		r.spare = make([]byte, 0, r.half) // it had a crowd in it
	}
	r.measureLocked()
	r.endLocked()
}

// census writes what is alive, and so ends a gap. One that is cut short is to be written
// once more: a reader then goes by the last.
func (r *Recorder) census(a alive, at int64) bool {
	before := r.out.at
	if _, err := r.out.put(a.census(at), false); err != nil {
		r.out.rewind(before)
		return false
	}
	r.out.noticeIsFinal()
	r.loss.owed, r.loss.due = 0, false
	return true
}

func countLines(b []byte) uint64 { return uint64(bytes.Count(b, []byte{'\n'})) }

// finish ends the log, when all has been taken.
func (r *Recorder) finish() {
	bye := end(begin(nil, r.now(), "bye"))
	whole := r.loss.owed == 0 && !r.loss.due && r.out.begun && len(r.out.torn.rest) == 0
	if whole {
		_, err := r.out.put(bye, false)
		whole = err == nil
	}
	if !whole {
		r.loss.noteCause(r.out.failure)
		r.makeRoomFor(bye)
	}
	r.err = r.loss.error(&r.out, r.out.end())
}

// writeNow is what Durable does instead.
func (r *Recorder) writeNow(line []byte, t int64, e traigo.Event, d *details) {
	r.pen.Lock()
	r.mu.Lock()
	if r.closing {
		r.mu.Unlock()
		r.pen.Unlock()
		return
	}
	r.fitLocked(len(line), t)
	r.buf = append(r.buf, line...)
	r.alive.note(t, e, d)
	r.mu.Unlock()
	defer r.release() // also if the writer calls runtime.Goexit
	r.round()
}

// finishNow ends the log then. The pen may be with a writer that is stuck.
func (r *Recorder) finishNow() {
	defer close(r.finished)
	defer r.leave()
	r.err = errGone
	r.pen.Lock()
	defer r.release()
	r.round()
	r.finish()
}

// errGone is Close's if the goroutine has not come to its end.
var errGone = errors.New("record: the writer has called runtime.Goexit: the log ends there")

// leave lets go of all, as there are no more rounds: of those who wait for one, and of
// what was alive, whose observer the recorder may be for long.
func (r *Recorder) leave() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closing, r.busy = true, false
	r.buf, r.spare, r.cuts, r.alive = nil, nil, nil, alive{}
	if r.watch != nil {
		r.watch.Stop()
		r.releaseLocked()
		close(r.next)
	}
}

// A pen is a lock. It is no sync.Mutex, as in a synctest bubble time passes while
// goroutines wait for a channel.
type pen chan struct{}

func (p pen) Lock()   { p <- struct{}{} }
func (p pen) Unlock() { <-p }

// errExited is why lines are missing then.
var errExited = errors.New("the writer has called runtime.Goexit")

// awaitWriter waits until the log is finished, as long as it makes progress.
func (r *Recorder) awaitWriter() error {
	for seen := r.rounds(); ; {
		patience := time.NewTimer(giveUpAfter)
		select {
		case <-r.finished:
			patience.Stop()
			return r.err
		case <-patience.C:
			now := r.rounds()
			if now == seen {
				return fmt.Errorf("record: the writer has taken nothing for %v: the log ends before what it was to take: %w", giveUpAfter, os.ErrDeadlineExceeded)
			}
			seen = now
		}
	}
}

// waiting is how those with an urgent event wait for the round that writes it. The
// channels and the timer are of the writer's: in a synctest bubble nobody else may close
// the ones and stop the other, but all may wait. Under mu.
type waiting struct {
	next     chan struct{} // closed when what is in the buffer now has been written, or the writer is stuck
	inflight chan struct{} // the same for what a round has taken
	busy     bool          // a round is under way
	since    time.Time     // when it began
	watch    *time.Timer   // nil if whoever observes writes
	stuck    bool          // nobody waits until it has come back
	count    uint64        // of rounds that have
}

func (w *waiting) start(mu *sync.Mutex) {
	w.next = make(chan struct{})
	w.watch = time.AfterFunc(time.Hour, func() {
		mu.Lock()
		defer mu.Unlock()
		if !w.busy || time.Since(w.since) < stuckAfter {
			return // it has come back while this was on its way
		}
		w.stuck = true
		w.releaseLocked()
		close(w.next)
		w.next = make(chan struct{})
	})
	w.watch.Stop()
}

// nextLocked is what to wait for; nil where that is no use.
func (w *waiting) nextLocked() <-chan struct{} {
	if w.stuck {
		return nil
	}
	return w.next
}

func (w *waiting) beginLocked() {
	if w.watch != nil {
		w.busy, w.since = true, time.Now()
		w.watch.Reset(stuckAfter)
	}
}

func (w *waiting) takenLocked() {
	if w.watch != nil {
		w.inflight, w.next = w.next, make(chan struct{})
	}
}

func (w *waiting) endLocked() {
	if w.watch != nil {
		w.watch.Stop()
		w.releaseLocked()
		w.busy, w.stuck = false, false
	}
	w.count++
}

func (w *waiting) releaseLocked() {
	if w.inflight != nil {
		close(w.inflight)
		w.inflight = nil
	}
}

func (r *Recorder) rounds() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.count
}
