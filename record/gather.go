package record

import (
	"runtime"

	"github.com/traigo/traigo"
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
