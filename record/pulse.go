package record

import (
	"fmt"
	"time"
	"weak"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/internal/stackdump"
)

// A pulse writes what the log is to have though nothing happens: a heartbeat, which says that
// the process lives, and a census of stacks, which says what it waits for. It has a timer
// and no goroutine of its own, and costs an event nothing but a store. Its fields are
// guarded by mu.
//
// In a synctest bubble a timer that always fires would keep a deadlock from being detected.
// So there the pulse rests when nothing has moved for a minute, until the next event.
type pulse struct {
	timer    *time.Timer
	inBubble bool // the recorder was created in a synctest bubble
	resting  bool // the timer is stopped until the next event

	still    bool   // no event has come since the last tick
	movedAt  int64  // the time of the last event that a tick knows of
	tickedAt int64  // the time of the last tick
	beatAt   int64  // the time of the last heartbeat
	looks    int    // censuses of stacks taken since movedAt
	seen     uint64 // the shape of the last of them

	beat   int64  // the heartbeat that the next flush writes, if it writes nothing else; 0 for none
	report []byte // the census of stacks that the next flush writes
}

const (
	beatEvery = time.Second
	restAfter = time.Minute
	minTick   = time.Millisecond
)

func (r *Recorder) startPulse() {
	weakly := weak.Make(r) // a Durable recorder may be forgotten without having been closed
	r.mu.Lock()
	defer r.mu.Unlock()
	r.inBubble = stackdump.InBubble()
	r.timer = time.AfterFunc(beatEvery, func() {
		if r := weakly.Value(); r != nil {
			r.tick()
		}
	})
}

// moveLocked notes an event.
func (p *pulse) moveLocked() {
	p.still = false
	if p.resting {
		p.resting = false
		p.timer.Reset(beatEvery)
	}
}

// tick writes what is due, and sets the timer for what is due next.
func (r *Recorder) tick() {
	now := r.now()
	r.mu.Lock()
	if r.closing {
		r.mu.Unlock()
		return
	}
	r.lookLocked(now)
	var roots []*traigo.Scope
	census := r.nextCensusLocked()
	stood := time.Duration(census - r.movedAt)
	if census != never && census <= now {
		r.looks++
		roots = r.alive.roots()
	}
	beats := r.nextBeatLocked(now) <= now
	if beats {
		r.beat, r.beatAt = now, now
	}
	r.mu.Unlock()

	if roots != nil {
		r.reportStandstill(stood, roots)
	}
	if roots != nil || beats {
		r.writeNotes()
	}

	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.closing {
		r.setTimerLocked()
	}
}

// lookLocked notes when the last event came. In general that is its own time; but that may be
// one of another clock, if the recorder observes scopes in a bubble and is not in it.
func (r *Recorder) lookLocked(now int64) {
	if !r.still {
		r.movedAt = r.alive.latest
		if r.movedAt > now || r.movedAt < r.tickedAt {
			r.movedAt = now
		}
		r.still, r.looks = true, 0
	}
	r.tickedAt = now
}

// nextBeatLocked returns when the next heartbeat is due, if nothing else is written before; or
// never.
func (r *Recorder) nextBeatLocked(now int64) int64 {
	next := max(r.movedAt, r.beatAt, min(r.alive.latest, now)) + int64(beatEvery)
	if r.inBubble && next > r.movedAt+int64(restAfter) {
		return never
	}
	return next
}

// nextCensusLocked returns when the next census of stacks is due, if nothing moves before; or never.
// Of one standstill up to three are taken, each after ten times as long as the one before.
func (r *Recorder) nextCensusLocked() int64 {
	most := 3
	if r.inBubble {
		most = 1
	}
	if r.standstill == 0 || r.looks >= most || r.alive.isEmpty() {
		return never
	}
	after := float64(r.standstill)
	for range r.looks {
		after *= 10
	}
	const century = 100 * 365 * 24 * time.Hour
	return r.movedAt + int64(min(after, float64(century)))
}

func (r *Recorder) setTimerLocked() {
	now := r.now()
	r.resting = true
	wait := beatEvery
	for _, due := range []int64{r.nextBeatLocked(now), r.nextCensusLocked()} {
		if due == never {
			continue
		}
		if left := max(time.Duration(due-now), minTick); r.resting || left < wait {
			r.resting, wait = false, left
		}
	}
	if !r.still && r.resting {
		r.resting = false // an event has come meanwhile
	}
	if !r.resting {
		r.timer.Reset(wait)
	}
}

// reportStandstill makes the census of stacks of a standstill. A second one that shows the same as the
// first is not written.
func (r *Recorder) reportStandstill(stood time.Duration, roots []*traigo.Scope) {
	c := r.takeCensus(fmt.Sprintf("nothing has moved for %v", stood), roots)
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(c.groups)+c.more == 0 || r.looks > 1 && c.shape() == r.seen {
		return
	}
	r.seen = c.shape()
	r.report = c.lines()
}

// writeNotes has the heartbeat and the census of stacks written.
func (r *Recorder) writeNotes() {
	if r.durable {
		r.flushHere()
		return
	}
	r.mu.Lock()
	r.flushNow = true
	r.mu.Unlock()
	r.wakeWriter()
}

// flushHere flushes on this goroutine.
func (r *Recorder) flushHere() {
	r.outMu.Lock()
	if r.isClosing() { // then finish may have been called
		r.outMu.Unlock()
		return
	}
	r.flush()
	r.unlockOut()
}
