package actor

import (
	"sync"
	"time"
)

// A clock stands still while a [Pause] holds somewhere in the tree: whoever looks at a process
// by a debugger does not want it to be killed meanwhile because it does not answer.
type clock struct {
	mu       sync.Mutex
	isPaused bool
	pausedAt time.Time
	stood    time.Duration // for how long it has stood still before
	running  map[*timer]struct{}
}

// A timer calls a function on a goroutine of its own.
type timer struct {
	clock *clock
	f     func()

	// Protected by the mu of the clock.
	left   time.Duration // when it began to run
	began  time.Time
	timer  *time.Timer // nil while the clock stands still
	isOver bool
}

// after calls f when d has passed by the clock.
func (c *clock) after(d time.Duration, f func()) *timer {
	t := &timer{clock: c, f: f, left: d}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.running == nil {
		c.running = map[*timer]struct{}{}
	}
	c.running[t] = struct{}{}
	if !c.isPaused {
		t.runLocked()
	}
	return t
}

func (t *timer) runLocked() {
	t.began = time.Now()
	t.timer = time.AfterFunc(t.left, func() {
		t.clock.mu.Lock()
		isDue := !t.isOver && t.timer != nil && time.Since(t.began) >= t.left
		if isDue {
			t.isOver = true
			delete(t.clock.running, t)
		}
		t.clock.mu.Unlock()
		if isDue {
			t.f()
		}
	})
}

// stop stops the timer. It does not wait for f.
func (t *timer) stop() {
	t.clock.mu.Lock()
	defer t.clock.mu.Unlock()
	t.isOver = true
	if t.timer != nil {
		t.timer.Stop()
	}
	delete(t.clock.running, t)
}

// pause stops the clock, or lets it go on.
func (c *clock) pause(on bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.isPaused == on {
		return
	}
	if c.isPaused = on; on {
		c.pausedAt = time.Now()
	} else {
		c.stood += time.Since(c.pausedAt)
	}
	for t := range c.running {
		if !on {
			t.runLocked()
			continue
		}
		t.timer.Stop()
		t.left -= time.Since(t.began)
		t.timer = nil
	}
}

// wait returns when d has passed by the clock, or one of the channels is closed, which is nil
// if there is none. It reports whether one was closed.
func (c *clock) wait(d time.Duration, first, second <-chan struct{}) bool {
	late := make(chan struct{})
	t := c.after(max(d, 0), func() { close(late) })
	defer t.stop()
	select {
	case <-first:
		return true
	case <-second:
		return true
	case <-late:
		return false
	}
}

func (c *clock) paused() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.isPaused
}

// stopwatch returns a function that returns how much time has passed by the clock.
func (c *clock) stopwatch() func() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	began := c.nowLocked()
	return func() time.Duration {
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.nowLocked() - began
	}
}

var epoch = time.Now()

// nowLocked is the time by the clock.
func (c *clock) nowLocked() time.Duration {
	now := time.Since(epoch) - c.stood
	if c.isPaused {
		now -= time.Since(c.pausedAt)
	}
	return now
}
