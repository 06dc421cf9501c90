package traigo

import (
	"context"
	"fmt"
	"iter"
	"log/slog"
	"runtime"
	"sync"
	"sync/atomic"
)

// AsCompleted calls fn for every item of in, concurrently, and yields the results of the
// calls in the order in which they return. For a slice, use slices.Values. A [Limit] in
// opts limits the number of calls at once. An error of fn is yielded unchanged, and does
// not cancel other calls. When the loop is left, the calls that are running are canceled
// and waited for; their errors are logged at DEBUG and dropped.
//
// No goroutine is started before the loop, and none is left after it. A result that has
// not been yielded still counts for the limit. If the scope is canceled before all calls
// have returned, by ctx or a [Timeout] for example, its outcome is yielded last, with a
// zero value. It is always an [*Error]. A panic of fn or of the loop body continues when
// all calls have returned.
//
// in runs as it does under [Map]. An item is pulled when fn can be called for it, so
// without a limit all items are pulled at once. fn is not called for an item that is
// pulled while the loop is being left. AsCompleted panics if ctx, in, fn or an option is
// nil.
func AsCompleted[In, Out any](ctx context.Context, in iter.Seq[In], fn func(context.Context, In) (Out, error), opts ...ScopeOption) iter.Seq2[Out, error] {
	mustBeFeedable("AsCompleted", ctx, in != nil, fn != nil, opts)
	return func(yield func(Out, error) bool) {
		consume(ctx, yield, in, &crew[In, Out]{fn: fn, pc: pcOf(fn)}, false, withName(asCompletedName, opts))
	}
}

// Ordered is like [AsCompleted], but yields the results in the order of the items, each as
// soon as it is there and those before it have been yielded. At most so many items as the
// [Limit] allows, or runtime.GOMAXPROCS without one, are running or wait for their turn:
// the next item is pulled when a result has been yielded. The error of an item that was
// given up, a [*StuckError], is yielded in its turn.
func Ordered[In, Out any](ctx context.Context, in iter.Seq[In], fn func(context.Context, In) (Out, error), opts ...ScopeOption) iter.Seq2[Out, error] {
	mustBeFeedable("Ordered", ctx, in != nil, fn != nil, opts)
	return func(yield func(Out, error) bool) {
		c := &crew[In, Out]{fn: fn, pc: pcOf(fn), limit: int32(runtime.GOMAXPROCS(0))}
		consume(ctx, yield, in, c, true, withName(orderedName, opts))
	}
}

func consume[In, Out any](ctx context.Context, yield func(Out, error) bool, in iter.Seq[In], items *crew[In, Out], inOrder bool, opts []ScopeOption) {
	c := &consumer[Out]{yield: yield, inOrder: inOrder, wake: make(chan struct{}, 1)}
	items.to, items.owner = c, ownCallback
	defer c.logUntaken() // if the loop panics; finish has done so otherwise
	err := Run(ctx, func(ctx context.Context, s *Scope) error {
		c.begin(s, items.limitIn(s))
		items.start(s, in)
		defer func() {
			if c.inLoop { // the loop body panics
				s.Cancel(nil)
			}
			items.wait()
		}()
		c.consume()
		return nil
	}, opts...)
	c.finish(err)
}

// A consumer is the state of one loop over an AsCompleted or Ordered.
type consumer[Out any] struct {
	yield   func(Out, error) bool
	inOrder bool // for Ordered
	scope   *Scope
	ctx     context.Context
	window  chan struct{} // holds an element for each item that was pulled and has not been yielded; nil if there is no limit
	hasLeft bool          // yield has returned false: the loop was left
	inLoop  bool          // yield is being called
	taken   int           // results

	wake chan struct{} // receives when a field below has changed

	batch, spare []result[Out] // results that are to be yielded next, and the array that they are in

	mu    sync.Mutex
	done  []result[Out] // what was not taken, in the order in which it has ended; or, for Ordered, item i at i modulo the limit
	total int           // number of items; -1 until in has ended
}

// A result is what has become of an item. It has succeeded if task is nil.
type result[Out any] struct {
	value   Out
	task    *Task
	isThere bool
}

func (c *consumer[Out]) begin(s *Scope, limit int32) {
	c.scope, c.ctx, c.total = s, s.Context(), -1
	if limit > 0 {
		c.window = make(chan struct{}, limit)
	}
	if c.inOrder {
		c.done = make([]result[Out], limit)
	}
}

// admit waits for a place in the window.
func (c *consumer[Out]) admit() bool {
	if c.window == nil {
		return true
	}
	select {
	case c.window <- struct{}{}:
		return true
	default: // a select without cases to wait for takes less time
	}
	select {
	case c.window <- struct{}{}:
		return true
	case <-c.ctx.Done():
		return false
	}
}

func (c *consumer[Out]) yielded() {
	if c.window != nil {
		<-c.window
	}
}

func (c *consumer[Out]) pulled(n int, more bool) {
	if more {
		return
	}
	c.mu.Lock()
	c.total = n
	c.mu.Unlock()
	c.signal()
}

func (c *consumer[Out]) ended(i int, value Out, t *Task) {
	r := result[Out]{value, t, true}
	c.mu.Lock()
	if c.inOrder {
		c.done[i%len(c.done)] = r
	} else {
		c.done = append(c.done, r)
	}
	c.mu.Unlock()
	c.signal()
}

func (c *consumer[Out]) signal() {
	select {
	case c.wake <- struct{}{}:
	default: // a signal is pending
	}
}

// take returns the result that is to be yielded next, if it is there. more is false if there
// will be none.
func (c *consumer[Out]) take() (r result[Out], more bool) {
	if len(c.batch) == 0 {
		c.mu.Lock()
		c.batch, c.spare = c.spare[:0], nil
		if !c.inOrder {
			c.batch, c.done = c.done, c.batch
		}
		for at := c.taken; c.inOrder && c.done[at%len(c.done)].isThere; at++ {
			c.batch = append(c.batch, c.done[at%len(c.done)])
			c.done[at%len(c.done)] = result[Out]{}
		}
		c.spare = c.batch
		more = c.taken != c.total
		c.mu.Unlock()
	}
	if len(c.batch) == 0 {
		return r, more
	}
	r, c.batch = c.batch[0], c.batch[1:]
	c.taken++
	return r, true
}

// consume yields the results of the items until all are yielded, the loop is left, or the
// scope is canceled.
func (c *consumer[Out]) consume() {
	for c.ctx.Err() == nil {
		r, more := c.take()
		switch {
		case !more:
			return
		case !r.isThere:
			select {
			case <-c.wake:
			case <-c.ctx.Done():
			}
			continue
		}
		var err error
		if r.task != nil {
			err = r.task.result()
			if r.task.has(givenUp) {
				err = r.task.stuckError()
			}
		}
		if !c.inOrder {
			c.yielded()
			if r.task != nil && r.task.has(givenUp) {
				continue // it is in the StuckError of the outcome
			}
		}
		c.inLoop = true
		more = c.yield(r.value, err)
		c.inLoop = false
		if c.inOrder {
			c.yielded()
		}
		if !more {
			c.hasLeft = true
			c.scope.Cancel(nil)
		}
	}
}

// finish is called when the scope is closed. It yields the outcome, with the errors of
// the items that were not yielded, or logs both if the loop was left.
func (c *consumer[Out]) finish(outcome error) {
	first, _ := outcome.(*Error)
	if c.inLoop { // the loop body panicked, and PanicAsError made an error of that in Run
		panic(first.ofTheBody())
	}
	if first == nil && !c.hasLeft && c.taken != c.total {
		// An item has ended the scope quietly.
		cause := c.scope.ending().Cause()
		first = &Error{Scope: c.scope.Path(), Err: fmt.Errorf("not all items have ended: %w", cause)}
		outcome = first
	}
	switch {
	case first == nil:
	case !c.hasLeft:
		var failures []error
		for _, t := range c.untaken() {
			failures = append(failures, &TaskError{Task: t.Name(), Err: t.result()})
		}
		if len(failures) > 0 {
			outcome = capped(allOf(first.Scope, outcome, failures))
		}
		var none Out
		c.yield(none, outcome)
	case !first.onlyParentCanceled():
		c.scope.log(slog.LevelError, "error after the loop was left, so that nobody has it", nil, outcome)
	}
}

// capped moves all but maxKept errors of e.Others into the count e.More, and returns e.
func capped(e *Error) *Error {
	if more := len(e.Others) - maxKept; more > 0 {
		e.Others, e.More = e.Others[:maxKept], e.More+more
	}
	return e
}

// untaken returns the tasks of the items that have failed and that the loop has not taken,
// once.
func (c *consumer[Out]) untaken() (failed []*Task) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, r := range append(c.batch, c.done...) {
		if t := r.task; t != nil && t.has(hasFailed) && !t.has(givenUp) {
			failed = append(failed, t)
		}
	}
	c.batch, c.done = nil, nil
	return failed
}

// logUntaken logs the errors that the loop has not taken, because it was left or has
// panicked.
func (c *consumer[Out]) logUntaken() {
	for _, t := range c.untaken() {
		if c.hasLeft {
			c.scope.log(slog.LevelDebug, "error ignored: it came after the loop was left", t, t.result())
		} else {
			c.scope.log(slog.LevelWarn, "error of an item that the loop has not taken", t, t.result())
		}
	}
}

// ofTheBody is the value with which the body panicked: the panic of a task is inside
// a TaskError. If so many errors came before it that it is only counted, the outcome
// stands for it.
func (e *Error) ofTheBody() any {
	for _, err := range e.Unwrap() {
		if p, ok := err.(*PanicError); ok {
			return p.Recovered.Value
		}
	}
	return e
}

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
	count   int  // of items that were pulled
	isDry   bool // in has ended

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
		item, i, ok := c.take()
		if !ok {
			break
		}
		m = c.newMember(item, i)
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

func (c *crew[In, Out]) newMember(item In, i int) *member[In, Out] {
	m := &member[In, Out]{crew: c, item: item}
	m.series.begin(i)
	m.ext.pc, m.ext.series, m.ext.onDone = c.pc, &m.series, m.ended
	t := &m.task
	t.scope, t.fn, t.flags, t.owner = c.scope, m.run, bubbles|awaited|dedicated|ofCrew, c.owner
	t.ext.Store(&m.ext)
	return m
}

// take pulls an item and sees to it that another goroutine is about to pull the next one.
// The caller is counted as idle. It reports false if the goroutine is not needed any more.
func (c *crew[In, Out]) take() (item In, i int, ok bool) {
	for {
		item, i, state := c.pull()
		isLast := c.idle.Add(-1) == 0
		switch {
		case state == gotItem:
			if isLast {
				c.hire()
			}
			return item, i, true
		case state == isBusy && isLast:
			c.idle.Add(1) // the other one has an item by now, and relies on this one
		default:
			return item, 0, false
		}
	}
}

// The results of pull.
const (
	gotItem = iota
	isBusy  // another goroutine is pulling: it will hire one if it is needed
	noMore
)

func (c *crew[In, Out]) pull() (item In, i, state int) {
	if !c.pulling.TryLock() {
		return item, 0, isBusy
	}
	defer c.pulling.Unlock() // in may call Goexit
	if c.isDry || !c.to.admit() || c.scope.ended() != nil {
		return item, 0, noMore
	}
	item, ok := c.next()
	if c.isDry = !ok; ok {
		c.count++
	}
	c.to.pulled(c.count, ok)
	if !ok || c.scope.ended() != nil {
		return item, 0, noMore
	}
	return item, c.count - 1, gotItem
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
		item, i, ok := c.take()
		if !ok {
			return nil
		}
		m.item = item
		m.task.label()
		m.series.begin(i)
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
