package record

import "time"

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
