package record

import "bytes"

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
