package traigo

import (
	"context"
	"fmt"
	"iter"
	"log/slog"
	"sync"
)

// AsCompleted calls fn for every item of in (of a slice: slices.Values(items)), at
// once or as many at a time as opts limit, and yields what fn returns, in the order
// in which the calls end. The error of an item is yielded with it, as fn has returned
// it, and cancels nothing. To leave the loop cancels the rest, and waits for it; its
// errors are dropped.
//
// Everything runs within the loop: nothing before it, and nothing of it is left
// after it. A result that the loop has not taken keeps its place under the limit. If the
// scope itself ends before all items have, by ctx or a [Timeout], say, its outcome is
// yielded last, with a zero value: it is an [*Error], and so it can be told from the
// error of an item. A panic of fn, or of the loop's body, continues when the rest has
// ended.
//
// in runs on a goroutine of its own, and is not pulled further than the limit
// allows, without one as fast as it goes; fn is not called for an item that comes as
// the loop is left. An in that blocks should end with ctx, or leaving the loop has
// to wait for it. It panics if in or fn is nil.
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

// spawnFeeder spawns the task that pulls the items and spawns a task for each. It takes no
// slot under the limit, and the loop does not wait for it.
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

// A consumer is the loop over what AsCompleted yields.
type consumer[Out any] struct {
	yield   func(Out, error) bool
	scope   *Scope
	window  window
	hasLeft bool // it wants no more
	inLoop  bool // the body of the loop has not returned

	wake  chan struct{} // something below has changed
	mu    sync.Mutex
	ended []*Future[Out] // items that have ended and have not been taken
	taken int
	total int // of the items; -1 until that is known
}

// add is called at the end of an item.
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
	default: // the loop has not yet seen the last change
	}
}

// take returns the next item that has ended; nil if there is none, and then whether there
// will be others.
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

// consume yields the results of all items, until the consumer leaves or the scope ends.
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
			continue // the outcome of the scope names it
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

// finish yields or logs the outcome of the scope, and the errors of items that the loop
// has not taken.
func (c *consumer[Out]) finish(outcome error) {
	first, _ := outcome.(*Error)
	if c.inLoop { // with PanicAsError Run has made an error of the loop's own panic
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

// capped is e with no more than maxKept errors in Others: the rest is counted.
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
