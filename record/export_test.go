package record

import (
	"time"

	"github.com/traigo/traigo"
)

// LookAgain does what a tick does when nothing has moved for so long that a census is due for
// the nth time.
func LookAgain(r *Recorder, nth int) {
	r.mu.Lock()
	r.looks = nth
	roots := r.alive.roots()
	r.mu.Unlock()
	r.reportStandstill(time.Minute, roots)
	r.flushHere()
}

// LeaveBubble makes a recorder in a synctest bubble do what one outside does when nothing moves.
func LeaveBubble(r *Recorder) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.inBubble = false
}

// InCensus returns the IDs of scope and task (0 for a body) of those that a census of stacks has
// of dumps.
func InCensus(shots ...traigo.Snapshot) (ids [][2]uint64) {
	c := &stackCensus{byKey: make(map[uint64]*stackGroup)}
	c.addShots(shots)
	for _, g := range c.groups {
		for _, m := range g.of {
			ids = append(ids, [2]uint64{m.scope, m.task})
		}
	}
	return ids
}
