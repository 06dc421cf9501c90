package traigo

import (
	"context"
	"iter"
	"log/slog"
	"math"
	"sync"
	"sync/atomic"
	"time"
)

// items runs the items of a Map, ForEach, AsCompleted or Ordered, on goroutines of its own. A
// goroutine that has run an item pulls the next one. Before it runs that, it makes sure that
// another goroutine is about to pull, up to the limit. So every item starts without waiting
// for another one to end, and short items share a few goroutines. The rule is that of
// workers.go; the queue there would cost a task for each item.
//
// An item is a task of the scope, with a name, a context and an end of its own, for whoever
// looks at it: code that uses its context, a snapshot, an observer. As long as nobody looks,
// the items that a goroutine runs share one task: see series.
//
// The body of Run waits for the goroutines, which are not counted in the scope.
type items[In, Out any] struct {
	// Set by the join.
	fn    func(context.Context, In) (Out, error)
	pc    uintptr // entry address of the user's function
	owner owner   // of the errors of the items
	to    receiver[Out]

	scope *Scope
	limit int32  // the number of goroutines; 0: no limit
	slots *slots // of scope; nil if it has no Limit
	apart bool   // each item is to have a task of its own in any case: there are observers or wrappers

	panicked *PanicError // of in
	exited   bool        // in has called Goexit

	pulling sync.Mutex // protects the fields below; held while in runs, which may block
	in      iter.Seq[In]
	next    func() (In, bool) // nil before the first item is pulled
	stop    func()
	count   int  // of items that were pulled
	isDry   bool // in has ended
	clock   coarseClock

	isRefused atomic.Bool // an item was pulled, and then the scope refused its task

	size  atomic.Int32 // goroutines
	idle  atomic.Int32 // those of them that are about to pull
	alive sync.WaitGroup
}

// limitIn sets the limit to that of s, if it has one, and returns it.
func (c *items[In, Out]) limitIn(s *Scope) int32 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := s.ext.limit; n > 0 {
		c.limit, c.slots = int32(min(n, math.MaxInt32)), &s.ext.slots
		c.slots.hasItems = true
	}
	return c.limit
}

// start begins to run the items of in. The caller is the body of s. It must call wait.
func (c *items[In, Out]) start(s *Scope, in iter.Seq[In]) {
	c.scope, c.in = s, in
	c.apart = s.watched || s.settings.wrappers != nil
	c.limitIn(s)
	c.launch()
}

// wait waits until the goroutines have ended, and reports whether all items were pulled, and
// none refused. Meanwhile a task that has called the join waits for its tasks, as in Run.
func (c *items[In, Out]) wait() (all bool) {
	s := c.scope
	s.mu.Lock()
	s.body = bodyWaits
	s.mu.Unlock()
	c.alive.Wait()
	c.clock.stop()
	if c.next != nil && !c.isDry {
		// Not on this goroutine: it may be locked to a thread, which a coroutine does not like.
		stopped := make(chan struct{})
		go func() {
			defer close(stopped)
			c.stop()
		}()
		<-stopped
	}
	return c.isDry && !c.isRefused.Load()
}

// feed is in with its panic and Goexit caught: they cancel the scope at once, as those of a
// body, and raise continues them. iter.Pull would pass them to the goroutine that pulls, and
// without the stack.
func (c *items[In, Out]) feed(yield func(In) bool) {
	s, returned := c.scope, false
	defer func() {
		switch value := recover(); {
		case value != nil:
			p := newPanicError(s.Path()+"/"+funcName(pcOf(c.in)), value)
			if s.settings.panicAsError {
				s.recordBody(p, nil, nil)
				break
			}
			c.panicked = p
			s.log(slog.LevelError, "the iterator of a join has panicked", nil, nil, panicAttrs(p)...)
			s.recordBody(nil, p, p)
		case !returned:
			c.exited = true
			s.recordBody(ErrGoexit, nil, ErrGoexit)
		default:
			return
		}
		s.settle()
	}()
	c.in(yield)
	returned = true
}

// launch starts a goroutine, unless there are as many as the limit allows.
func (c *items[In, Out]) launch() {
	if n := c.size.Add(1); c.limit > 0 && n > c.limit {
		c.size.Add(-1)
		return
	}
	c.idle.Add(1)
	c.alive.Add(1)
	go c.work(nil)
}

// work is the function of a goroutine. t, if it is not nil, is a task that was accepted.
func (c *items[In, Out]) work(t *itemTask[In, Out]) {
	returned := false
	defer func() { // also if an item has called Goexit
		switch {
		case t == nil:
			c.exit(returned)
		case !t.task.has(hasEnded):
			go c.work(t) // the context has called Goexit when it was asked for labels
		case !t.task.has(givenUp):
			c.exit(returned)
		}
	}()
	for {
		for t != nil && !t.task.has(hasEnded) {
			c.scope.runTask(&t.task) // again if the context has panicked when it was asked for labels
		}
		if t != nil && (t.task.has(givenUp) || t.isDone) {
			break
		}
		var p pulled[In]
		if t != nil && t.pending.isPending {
			p = t.pending
			p.isPending = false
		} else {
			if t != nil {
				c.idle.Add(1)
			}
			if !c.take(&p) {
				break
			}
		}
		next := c.newTask(p)
		if !c.scope.accept(&next.task, true) {
			c.isRefused.Store(true)
			c.size.Add(-1)
			break
		}
		t = next
	}
	returned = true
}

// exit is called when a goroutine ends, or is not waited for any more. If it has not ended
// because there are no more items, another one may be needed.
func (c *items[In, Out]) exit(returned bool) {
	if !returned {
		c.size.Add(-1)
		if c.idle.Load() == 0 {
			c.launch()
		}
	}
	c.alive.Done()
}

// A pulled item is one that is to be run.
type pulled[In any] struct {
	item      In
	index     int
	at        stamp // when it was pulled
	isPending bool  // by a task that must not run it itself
}

// take pulls an item, and makes sure that another goroutine is about to pull the next one. The
// caller is counted as idle. It reports false if the goroutine is not needed any more, and
// has taken it out of size: before it does so with idle, since who finds nobody idle must
// find room for another one.
func (c *items[In, Out]) take(p *pulled[In]) bool {
	for {
		got := c.pull(p)
		if got != gotItem {
			c.size.Add(-1)
		}
		isLast := c.idle.Add(-1) == 0
		switch {
		case got == gotItem:
			if isLast {
				c.launch()
			}
			return true
		case got == isBusy && isLast:
			c.size.Add(1)
			c.idle.Add(1) // the other one has an item by now, and relies on this one
		default:
			return false
		}
	}
}

// The results of pull.
const (
	gotItem = iota
	isBusy  // another goroutine is pulling: it will launch one if that is needed
	noMore
)

func (c *items[In, Out]) pull(p *pulled[In]) int {
	if !c.pulling.TryLock() {
		return isBusy
	}
	defer c.pulling.Unlock() // in may call Goexit
	if c.isDry || !c.to.admit() || c.scope.ended() != nil {
		return noMore
	}
	if c.next == nil {
		c.next, c.stop = iter.Pull(c.feed)
	}
	item, ok := c.next()
	if c.isDry = !ok; ok {
		c.count++
	}
	c.to.pulled(c.count, ok)
	if !ok || c.scope.ended() != nil {
		return noMore
	}
	p.item, p.index, p.at = item, c.count-1, c.clock.now()
	return gotItem
}

// An itemTask is a task that runs items.
type itemTask[In, Out any] struct {
	task    Task
	ext     taskExt
	series  series
	items   *items[In, Out]
	value   Out        // of an item that has not been reported
	pending pulled[In] // the item that runs or, with isPending, is to be run by the next task
	isDone  bool       // the goroutine is not needed any more

	contexts []itemContext // for the next items
	lot      int           // how many were made last
}

func (c *items[In, Out]) newTask(p pulled[In]) *itemTask[In, Out] {
	m := &itemTask[In, Out]{items: c, pending: p}
	m.series.item.Store(int64(p.index)<<stateBits | isBetween)
	m.series.begin(p.index, p.at)
	m.ext.pc, m.ext.series, m.ext.onDone = c.pc, &m.series, m.ended
	t := &m.task
	t.scope, t.fn, t.flags, t.owner = c.scope, m.run, bubbles|awaited|dedicated|runsItems, c.owner
	t.ext.Store(&m.ext)
	return m
}

// run is the function of the task. It runs the item and, as long as nobody looks at the
// task, further ones.
func (m *itemTask[In, Out]) run(ctx context.Context) error {
	c := m.items
	for {
		value, err := c.fn(m.contextFor(ctx), m.pending.item)
		if err != nil || c.apart || !m.series.finish() {
			m.value = value
			return err
		}
		c.to.ended(m.pending.index, value, nil)
		if c.slots != nil && c.slots.waiting.Load() > 0 {
			return nil // a Spawn that has come before finish has not found this slot
		}
		c.idle.Add(1)
		if !c.take(&m.pending) {
			m.isDone = true
			return nil
		}
		if !m.series.begin(m.pending.index, m.pending.at) {
			m.pending.isPending = true
			return nil
		}
		m.task.label()
	}
}

// ended is called when the task has ended or was given up.
func (m *itemTask[In, Out]) ended(error) {
	t := &m.task
	switch {
	case t.has(givenUp):
		var none Out
		m.items.to.ended(m.series.index(), none, t)
		m.items.exit(false)
	case !m.series.isBetween():
		m.items.to.ended(m.series.index(), m.value, t)
	}
}

// A series is the items that a task runs one after the other. Each of them is to be a task of
// its own. But if nobody has looked at the task while one of them ran, nobody can tell
// whether the next one is another task: so it is the same.
type series struct {
	// The index of the item that runs or has run last, and before it stateBits of state.
	item  atomic.Int64
	began atomic.Int64 // the stamp of when it has begun; to within freshness
}

const (
	isLookedAt = 1 << iota // somebody has looked at the task since the item began: it runs no other
	isBetween              // the item has ended, and the next one has not begun
	isLent                 // between the two, a Spawn has taken the slot of the task: it runs no other
	stateBits  = iota
)

// begin begins item i, and reports false if the task has no slot for it any more. A look
// that has come between two items is kept.
func (x *series) begin(i int, at stamp) bool {
	x.began.Store(int64(at))
	for {
		item := x.item.Load()
		if item&isLent != 0 {
			return false
		}
		if x.item.CompareAndSwap(item, int64(i)<<stateBits|item&isLookedAt) {
			return true
		}
	}
}

// lend reports whether the task is between two items, and lets the caller have its slot: to
// pull an item may take long, and needs none.
func (x *series) lend() bool {
	for {
		item := x.item.Load()
		if item&isBetween == 0 || item&isLent != 0 {
			return false
		}
		if x.item.CompareAndSwap(item, item|isLent) {
			return true
		}
	}
}

// finish ends the item, and reports false if somebody has looked at the task.
func (x *series) finish() bool {
	item := x.item.Load() &^ isLookedAt
	return x.item.CompareAndSwap(item, item|isBetween)
}

func (x *series) index() int      { return int(x.item.Load() >> stateBits) }
func (x *series) isBetween() bool { return x.item.Load()&isBetween != 0 }

// lookAt reports whether item i is the one that runs, or the last one of its task; the task is
// then that of no other.
func (x *series) lookAt(i int) bool {
	for {
		item := x.item.Load()
		if item>>stateBits != int64(i) || item&isBetween != 0 {
			return false
		}
		if item&isLookedAt != 0 || x.item.CompareAndSwap(item, item|isLookedAt) {
			return true
		}
	}
}

// look is called when somebody learns of a task otherwise than by the context of its item.
func (t *Task) look() {
	if t.flags&runsItems != 0 {
		t.ext.Load().series.item.Or(isLookedAt)
	}
}

// isIdle reports whether t is between two items.
func (t *Task) isIdle() bool { return t.flags&runsItems != 0 && t.ext.Load().series.isBetween() }

// An itemContext is the context of an item: that of its task if it is used while the item runs,
// and otherwise that of a task which has ended.
type itemContext struct {
	task  *Task
	index int
	late  atomic.Pointer[Task]
}

// contextFor returns the context for the item that m is about to run. They are made in lots
// that grow, since each is an allocation otherwise, and most items need only one.
func (m *itemTask[In, Out]) contextFor(ctx context.Context) context.Context {
	if m.items.apart {
		return ctx // no other item runs in this task
	}
	if len(m.contexts) == 0 {
		m.lot = min(max(1, 2*m.lot), 32)
		m.contexts = make([]itemContext, m.lot)
	}
	c := &m.contexts[0]
	m.contexts = m.contexts[1:]
	c.task, c.index = &m.task, m.pending.index
	return c
}

// node returns the task of the item.
func (c *itemContext) node() *Task {
	if c.task.ext.Load().series.lookAt(c.index) {
		return c.task
	}
	if c.late.Load() == nil {
		s := c.task.scope
		t := &Task{scope: s, fn: c.task.fn, name: &nameOption{pc: c.task.ext.Load().pc, nth: c.index + 1}, started: true}
		t.set(hasEnded | isCtxDone | endedUncanceled)
		s.mu.Lock()
		s.lastTask++
		t.id = s.lastTask
		s.mu.Unlock()
		c.late.CompareAndSwap(nil, t)
	}
	return c.late.Load()
}

func (c *itemContext) context() *taskContext { return (*taskContext)(c.node()) }

func (c *itemContext) Deadline() (time.Time, bool)           { return c.context().Deadline() }
func (c *itemContext) Done() <-chan struct{}                 { return c.context().Done() }
func (c *itemContext) Err() error                            { return c.context().Err() }
func (c *itemContext) Value(key any) any                     { return c.context().Value(key) }
func (c *itemContext) AfterFunc(f func()) (stop func() bool) { return c.context().AfterFunc(f) }
