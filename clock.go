package traigo

import "time"

// A stamp is a moment on the monotonic clock, in nanoseconds since the program
// began; in a synctest bubble, which has a clock of its own, it may be negative.
// It takes half as long to read as time.Now, which asks for the date too.
type stamp time.Duration

var epoch = time.Now()

func now() stamp { return stamp(time.Since(epoch)) }

// age is how long ago that was.
func (at stamp) age() time.Duration { return time.Duration(now() - at) }

// date is when it was. It is worked out from now on backwards: so the clock of
// a synctest bubble, which has an epoch of its own, tells the date too.
func (at stamp) date() time.Time { return time.Now().Add(-at.age()) }
