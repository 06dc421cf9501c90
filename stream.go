package traigo

import (
	"context"
	"fmt"
	"iter"
	"log/slog"
	"sync"
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
// in runs on a goroutine of its own. An item is pulled when fn can be called for it, so
// without a limit all items are pulled at once. fn is not called for an item that is
// pulled while the loop is being left. If in blocks, it should end when ctx is done: the
// loop waits for it. AsCompleted panics if ctx, in, fn or an option is nil.
func AsCompleted[In, Out any](ctx context.Context, in iter.Seq[In], fn func(context.Context, In) (Out, error), opts ...ScopeOption) iter.Seq2[Out, error] {
	mustBeFeedable("AsCompleted", ctx, in != nil, fn != nil, opts)
	return func(yield func(Out, error) bool) {
		c := &consumer[Out]{yield: yield, total: -1, wake: make(chan struct{}, 1)}
		defer c.logUntaken() // if the loop panics; finish has done so otherwise
		err := Run(ctx, func(ctx context.Context, s *Scope) error {
			c.scope, c.window = s, newWindow(s)
			spawnFeeder(c, in, fn)
			c.consume(ctx)
			return nil
		}, withName(asCompletedName, opts)...)
		c.finish(err)
	}
}

// spawnFeeder spawns a task, not awaited and so without a slot, that pulls the items and
// spawns a task for each.
func spawnFeeder[In, Out any](c *consumer[Out], in iter.Seq[In], fn func(context.Context, In) (Out, error)) {
	s, pc := c.scope, pcOf(fn)
	feeder := &Task{scope: s, flags: bubbles}
	feeder.ownExt().pc = pcOf(in)
	feeder.fn = func(ctx context.Context) error {
		n := 0
		feed(ctx, c.window, in, func(i int, item In) {
			n++
			f := part(s, pc, i, ownCallback, func(ctx context.Context) (Out, error) { return fn(ctx, item) })
			f.ext.onDone = func(error) { c.add(f) }
			s.accept(&f.task, true)
		})
		c.setTotal(n)
		return nil
	}
	s.accept(feeder, true)
}

// A consumer is the state of one loop over an AsCompleted.
type consumer[Out any] struct {
	yield   func(Out, error) bool
	scope   *Scope
	window  window
	hasLeft bool // yield has returned false: the loop was left
	inLoop  bool // yield is being called

	wake  chan struct{} // receives when a field below has changed
	mu    sync.Mutex
	ended []*Future[Out] // items whose calls have ended, in that order, without those that were taken
	taken int
	total int // number of items; -1 until in has ended
}

// add appends f to ended. It is the OnDone of each item.
func (c *consumer[Out]) add(f *Future[Out]) {
	c.mu.Lock()
	c.ended = append(c.ended, f)
	c.mu.Unlock()
	c.signal()
}

func (c *consumer[Out]) setTotal(n int) {
	c.mu.Lock()
	c.total = n
	c.mu.Unlock()
	c.signal()
}

func (c *consumer[Out]) signal() {
	select {
	case c.wake <- struct{}{}:
	default: // a signal is pending
	}
}

// take returns the next item that has ended, or nil if there is none. more is false if no
// item is left.
func (c *consumer[Out]) take() (f *Future[Out], more bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.ended) == 0 {
		return nil, c.taken != c.total
	}
	f = c.ended[0]
	c.ended = c.ended[1:]
	c.taken++
	return f, true
}

// consume yields the results of the items until all are yielded, the loop is left, or ctx
// is done.
func (c *consumer[Out]) consume(ctx context.Context) {
	for ctx.Err() == nil {
		f, more := c.take()
		switch {
		case !more:
			return
		case f == nil:
			select {
			case <-c.wake:
			case <-ctx.Done():
			}
			continue
		}
		c.window.leave()
		if f.task.has(givenUp) {
			continue // it is in the StuckError of the outcome
		}
		c.inLoop = true
		more = c.yield(f.value, f.task.result())
		c.inLoop = false
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
		for _, f := range c.untaken() {
			failures = append(failures, &TaskError{Task: f.task.Name(), Err: f.task.result()})
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

// untaken returns the items that have failed and that the loop has not taken, once.
func (c *consumer[Out]) untaken() (failed []*Future[Out]) {
	for _, f := range c.ended {
		if f.task.has(hasFailed) && !f.task.has(givenUp) {
			failed = append(failed, f)
		}
	}
	c.ended = nil
	return failed
}

// logUntaken logs the errors that the loop has not taken, because it was left or has
// panicked.
func (c *consumer[Out]) logUntaken() {
	for _, f := range c.untaken() {
		t := &f.task
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
