package traigo

import (
	"context"
	"iter"
	"log/slog"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// A crew is the goroutines that run the items of a Map, ForEach, AsCompleted or Ordered. A
// goroutine that has run an item pulls the next one. Before it runs that, it sees to it that
// another goroutine is about to pull, up to the limit. So every item starts without waiting
// for another one to end, and short items share a few goroutines. The rule is that of
// workers.go; the queue there would cost a task for each item.
//
// An item is a task of the scope, with a name, a context and an end of its own, for whoever
// looks at it: code that uses its context, a snapshot, an observer. As long as nobody looks,
// the items that a goroutine runs share one task: see series.
//
// The body of Run waits for the goroutines, which are not counted in the scope.
type crew[In, Out any] struct {
	// Set by the join.
	fn    func(context.Context, In) (Out, error)
	pc    uintptr // entry address of the user's function
	owner owner   // of the errors of the items
	to    receiver[Out]

	scope   *Scope
	limit   int32         // the number of goroutines; 0: no limit
	blocked *atomic.Int32 // how many Spawns wait for a slot of the scope; nil without a Limit
	apart   bool          // each item is to have a task of its own in any case: there are observers or wrappers
	stop    func()
	thrown  any  // what in has panicked with
	exited  bool // in has called Goexit

	pulling sync.Mutex // protects next and the fields below; held while in runs, which may block
	next    func() (In, bool)
	count   int         // of items that were pulled
	clock   stamp       // the last reading
	stale   *time.Timer // clears isFresh
	isDry   bool        // in has ended

	isFresh atomic.Bool // clock is not older than freshness

	idle atomic.Int32 // goroutines that are about to pull
	size atomic.Int32 // goroutines
	here sync.WaitGroup
}

// A receiver is told what becomes of the items of a crew.
type receiver[Out any] interface {
	admit() bool                     // waits until one more item may be pulled; false if none is wanted
	pulled(n int, more bool)         // n items have been pulled; unless more is set, in has ended. Called with pulling held
	ended(i int, value Out, t *Task) // item i has ended: if t is nil without an error, otherwise t has its result
}

// limitIn sets the limit to that of s, if it has one, and returns it.
func (c *crew[In, Out]) limitIn(s *Scope) int32 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := s.ext.limit; n > 0 {
		c.limit, c.blocked = int32(n), &s.ext.waiting
	}
	return c.limit
}

// start begins to run the items of in. The caller is the body of s. It must call wait.
func (c *crew[In, Out]) start(s *Scope, in iter.Seq[In]) {
	c.scope = s
	c.limitIn(s)
	c.apart = s.watched || s.settings.wrappers != nil
	c.next, c.stop = iter.Pull(func(yield func(In) bool) {
		returned := false
		defer func() {
			value := recover()
			switch {
			case value != nil:
				c.thrown = value
				// The body is going to panic with the value, but without this stack.
				s.log(slog.LevelError, "the iterator of a join has panicked", nil, nil, panicAttrs(newPanicError("", value))...)
				kind := Panicked
				if s.settings.panicAsError {
					kind = BodyFailed
				}
				s.cancelFor(reason{kind: kind})
			case !returned:
				c.exited = true
				s.Cancel(ErrGoexit)
			}
		}()
		in(yield)
		returned = true
	})
	c.hire()
}

// wait waits until the goroutines have ended and reports whether all items were pulled. A
// panic of in, and a Goexit, continue here.
func (c *crew[In, Out]) wait() (all bool) {
	c.here.Wait()
	c.stop()
	if c.stale != nil {
		c.stale.Stop()
	}
	switch {
	case c.thrown != nil:
		panic(c.thrown)
	case c.exited:
		runtime.Goexit()
	}
	return c.isDry
}

// A member is a task of a crew.
type member[In, Out any] struct {
	task   Task
	ext    taskExt
	series series
	crew   *crew[In, Out]
	item   In
	value  Out // of an item that has not been reported
}

// hire starts a goroutine, unless there are as many as the limit allows.
func (c *crew[In, Out]) hire() {
	if n := c.size.Add(1); c.limit > 0 && n > c.limit {
		c.size.Add(-1)
		return
	}
	c.idle.Add(1)
	c.here.Add(1)
	go c.work()
}

// leave is called when a goroutine ends, or is not waited for any more. If it has not ended
// because there are no more items, another one may be needed.
func (c *crew[In, Out]) leave(returned bool) {
	c.size.Add(-1)
	if !returned && c.idle.Load() == 0 {
		c.hire()
	}
	c.here.Done()
}

// work is the function of a goroutine.
func (c *crew[In, Out]) work() {
	var m *member[In, Out]
	returned := false
	defer func() { // also if an item has panicked or called Goexit
		if m == nil || !m.task.has(givenUp) {
			c.leave(returned)
		}
	}()
	for {
		item, i, at, ok := c.take()
		if !ok {
			break
		}
		m = c.newMember(item, i, at)
		if !c.scope.accept(&m.task, true) {
			break
		}
		c.scope.runTask(&m.task)
		if m.task.has(givenUp) || m.series.isBetween() {
			break
		}
		c.idle.Add(1)
	}
	returned = true
}

func (c *crew[In, Out]) newMember(item In, i int, at stamp) *member[In, Out] {
	m := &member[In, Out]{crew: c, item: item}
	m.series.begin(i, at)
	m.ext.pc, m.ext.series, m.ext.onDone = c.pc, &m.series, m.ended
	t := &m.task
	t.scope, t.fn, t.flags, t.owner = c.scope, m.run, bubbles|awaited|dedicated|ofCrew, c.owner
	t.ext.Store(&m.ext)
	return m
}

// take pulls an item and sees to it that another goroutine is about to pull the next one.
// The caller is counted as idle. It reports false if the goroutine is not needed any more.
func (c *crew[In, Out]) take() (item In, i int, at stamp, ok bool) {
	for {
		item, i, at, state := c.pull()
		isLast := c.idle.Add(-1) == 0
		switch {
		case state == gotItem:
			if isLast {
				c.hire()
			}
			return item, i, at, true
		case state == isBusy && isLast:
			c.idle.Add(1) // the other one has an item by now, and relies on this one
		default:
			return item, 0, 0, false
		}
	}
}

// The results of pull.
const (
	gotItem = iota
	isBusy  // another goroutine is pulling: it will hire one if it is needed
	noMore
)

func (c *crew[In, Out]) pull() (item In, i int, at stamp, state int) {
	if !c.pulling.TryLock() {
		return item, 0, 0, isBusy
	}
	defer c.pulling.Unlock() // in may call Goexit
	if c.isDry || !c.to.admit() || c.scope.ended() != nil {
		return item, 0, 0, noMore
	}
	item, ok := c.next()
	if c.isDry = !ok; ok {
		c.count++
	}
	c.to.pulled(c.count, ok)
	if !ok || c.scope.ended() != nil {
		return item, 0, 0, noMore
	}
	return item, c.count - 1, c.now(), gotItem
}

// freshness is how long a reading of the clock serves for the items that are pulled.
const freshness = 5 * time.Millisecond

// now returns the time to within freshness. To read the clock for each item would take a
// fifth of the time of a short one. In a synctest bubble, where a stamp is negative, the time
// is exact. The caller holds pulling.
func (c *crew[In, Out]) now() stamp {
	if c.isFresh.Load() {
		return c.clock
	}
	c.clock = now()
	switch {
	case c.clock < 0:
		return c.clock
	case c.stale == nil:
		c.stale = time.AfterFunc(freshness, func() { c.isFresh.Store(false) })
	default:
		c.stale.Reset(freshness)
	}
	c.isFresh.Store(true)
	return c.clock
}

// run is the function of the task. It runs the item and, as long as nobody looks at the
// task, further ones.
func (m *member[In, Out]) run(ctx context.Context) error {
	c := m.crew
	for {
		value, err := c.fn(ctx, m.item)
		if err != nil || c.apart || c.blocked != nil && c.blocked.Load() > 0 || !m.series.finish() {
			m.value = value
			return err
		}
		c.to.ended(m.series.index(), value, nil)
		c.idle.Add(1)
		item, i, at, ok := c.take()
		if !ok {
			return nil
		}
		m.item = item
		m.task.label()
		m.series.begin(i, at)
	}
}

// ended is called when the task has ended or was given up.
func (m *member[In, Out]) ended(error) {
	t := &m.task
	switch {
	case t.has(givenUp):
		var none Out
		m.crew.to.ended(m.series.index(), none, t)
		m.crew.leave(false)
	case !m.series.isBetween():
		m.crew.to.ended(m.series.index(), m.value, t)
	}
}

// A series is the items of a join that a task runs one after the other. Each of them is to
// be a task of its own. But if nobody has looked at the task while one of them ran, nobody
// can tell whether the next one is another task: so it is the same.
type series struct {
	// The index of the item that runs or has run last, times 4; with isLookedAt and
	// isBetween.
	item  atomic.Int64
	began atomic.Int64 // the stamp of when it has begun; to within freshness
}

const (
	isLookedAt = 1 // somebody has looked at the task since the item began: it runs no other
	isBetween  = 2 // the item has ended, and the next one has not begun
)

// look is called when somebody learns of a task: whoever uses its context, say.
func (t *Task) look() {
	if t.flags&ofCrew != 0 {
		t.ext.Load().series.item.Or(isLookedAt)
	}
}

// isIdle reports whether t is about to pull an item.
func (t *Task) isIdle() bool { return t.flags&ofCrew != 0 && t.ext.Load().series.isBetween() }

func (x *series) begin(i int, at stamp) {
	x.began.Store(int64(at))
	x.item.Add(int64(i)<<2 - x.item.Load()&^isLookedAt)
}

func (x *series) index() int      { return int(x.item.Load() >> 2) }
func (x *series) isBetween() bool { return x.item.Load()&isBetween != 0 }

// finish ends the item, and reports false if somebody has looked at the task.
func (x *series) finish() bool {
	item := x.item.Load() &^ isLookedAt
	return x.item.CompareAndSwap(item, item|isBetween)
}
