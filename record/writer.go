package record

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"time"
)

const (
	gatherFor   = 50 * time.Millisecond // how long lines gather: what is promised is 100 ms
	retryAfter  = time.Second           // how long a loss waits to be told when nothing else comes
	stuckAfter  = 50 * time.Millisecond // how long an urgent event waits for a write: on a busy machine a good one may take some time
	giveUpAfter = 10 * time.Second      // how long Close does
)

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
