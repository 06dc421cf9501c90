package traigo

import (
	"context"
	"fmt"
	"iter"
	"log/slog"
	"maps"
	"runtime"
	"slices"
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
// in runs as it does under [Map]. An item is pulled when fn can be called for it, so
// without a limit all items are pulled at once. fn is not called for an item that is
// pulled while the loop is being left. Whoever leaves the loop also waits for in, which
// does not learn of it: if in may block, let it listen to a context, and cancel that one
// before the loop is left. AsCompleted panics if ctx, in, fn or an option is nil.
func AsCompleted[In, Out any](ctx context.Context, in iter.Seq[In], fn func(context.Context, In) (Out, error), opts ...ScopeOption) iter.Seq2[Out, error] {
	mustBeFeedable("AsCompleted", ctx, in != nil, fn != nil, opts)
	return func(yield func(Out, error) bool) {
		consume(ctx, yield, in, &items[In, Out]{fn: fn, pc: pcOf(fn)}, false, withName(asCompletedName, opts))
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
		c := &items[In, Out]{fn: fn, pc: pcOf(fn), limit: int32(runtime.GOMAXPROCS(0))}
		consume(ctx, yield, in, c, true, withName(orderedName, opts))
	}
}

func consume[In, Out any](ctx context.Context, yield func(Out, error) bool, in iter.Seq[In], list *items[In, Out], inOrder bool, opts []ScopeOption) {
	c := &consumer[Out]{yield: yield, wake: make(chan struct{}, 1)}
	if inOrder {
		c.later = map[int]result[Out]{}
	}
	list.to, list.owner = c, ownCallback
	defer c.logUntaken() // if the loop panics; finish has done so otherwise
	err := Run(ctx, func(ctx context.Context, s *Scope) error {
		c.begin(s, list.limitIn(s))
		list.start(s, in)
		defer func() {
			if c.inLoop { // the loop body panics
				s.Cancel(nil)
			}
			list.wait()
		}()
		c.consume()
		return nil
	}, opts...)
	list.raise()
	c.finish(err)
}

// A consumer is the state of one loop over an AsCompleted or Ordered.
type consumer[Out any] struct {
	yield   func(Out, error) bool
	scope   *Scope
	ctx     context.Context
	window  chan struct{} // holds an element for each item that was pulled and has not been yielded; nil if there is no limit
	hasLeft bool          // yield has returned false: the loop was left
	inLoop  bool          // yield is being called
	taken   int           // results

	wake chan struct{} // receives when a field below has changed

	batch, spare []result[Out] // results that are to be yielded next, and the array that they are in

	mu    sync.Mutex
	done  []result[Out]       // what was not taken, in the order in which it has ended
	later map[int]result[Out] // the same for Ordered, by the index of the item; nil for AsCompleted
	total int                 // number of items; -1 until in has ended
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
	if c.later != nil {
		c.later[i] = r
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
		c.moveDueLocked()
		c.batch, c.done, c.spare = c.done, c.spare[:0], c.done
		more = c.taken != c.total
		c.mu.Unlock()
	}
	if len(c.batch) == 0 {
		return r, more
	}
	r, c.batch[0] = c.batch[0], result[Out]{} // the array is used again, and must not keep the value
	c.batch = c.batch[1:]
	c.taken++
	return r, true
}

// moveDueLocked moves to done, for Ordered, the results whose turn it is.
func (c *consumer[Out]) moveDueLocked() {
	for i := c.taken; ; i++ {
		r, ok := c.later[i]
		if !ok {
			return
		}
		delete(c.later, i)
		c.done = append(c.done, r)
	}
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
		if c.later == nil {
			c.yielded()
			if r.task != nil && r.task.has(givenUp) {
				continue // it is in the StuckError of the outcome
			}
		}
		c.inLoop = true
		more = c.yield(r.value, err)
		c.inLoop = false
		if c.later != nil {
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
	rest := slices.Concat(c.batch, c.done)
	for _, i := range slices.Sorted(maps.Keys(c.later)) {
		rest = append(rest, c.later[i])
	}
	for _, r := range rest {
		if t := r.task; t != nil && t.has(hasFailed) && !t.has(givenUp) {
			failed = append(failed, t)
		}
	}
	c.batch, c.done = nil, nil
	clear(c.later)
	return failed
}

// logUntaken logs the errors that the loop has not taken, because it was left or has
// panicked. A panic was logged when it happened, unless it is an ordinary error.
func (c *consumer[Out]) logUntaken() {
	for _, t := range c.untaken() {
		if _, panicked := t.result().(*PanicError); panicked && !c.scope.settings.panicAsError {
			continue
		}
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
