package traigo

import (
	"context"
	"iter"
	"log/slog"
	"sync/atomic"
)

// AsCompleted calls fn for every item of in (of a slice: slices.Values(items)), at
// once or as many at a time as opts limit, and yields what fn returns, in the order
// in which that comes. The error of an item is yielded with it, as fn has returned
// it, and cancels nothing. Whoever leaves the loop cancels and joins the rest, and
// does not want to know of their errors.
//
// Everything runs within the loop: nothing before it, and nothing of it is left
// after it. A result that has not been taken keeps its place under the limit. If the
// scope itself ends before its time, by ctx or a [Timeout], say, its outcome is
// yielded last, with a zero value: an [*Error], which no item's error is unless fn
// returns one. A panic of fn, or of the loop's body, continues when the rest has
// ended.
//
// in runs on a goroutine of its own, and is not pulled further than the limit
// allows, without one as fast as it goes; fn is not called for an item that comes as
// the loop is left. An in that blocks should end with ctx, or leaving the loop has
// to wait for it. It panics if in or fn is nil.
func AsCompleted[In, Out any](ctx context.Context, in iter.Seq[In], fn func(context.Context, In) (Out, error), opts ...ScopeOption) iter.Seq2[Out, error] {
	mustHaveContext("AsCompleted", ctx)
	mustHaveFunc("AsCompleted", in != nil, "the items")
	mustHaveFunc("AsCompleted", fn != nil, "the function for each item")
	return func(yield func(Out, error) bool) {
		c := &consumer[Out]{yield: yield, results: make(chan delivery[Out]), total: make(chan int, 1), atOnce: make(chan struct{})}
		close(c.atOnce)
		err := Run(ctx, func(ctx context.Context, s *Scope) error {
			c.ctx, c.scope = ctx, s
			consume(c, in, fn)
			return nil
		}, withName(asCompletedName, opts)...)
		switch first, _ := err.(*Error); {
		case c.inLoop: // with PanicAsError Run has made an error of the loop's own panic
			panic(first.ofTheBody())
		case err == nil:
		case !c.left.Load():
			var none Out
			yield(none, err)
		case !first.mere():
			c.scope.log(slog.LevelError, "error after the loop was left, so that nobody has it", nil, err)
		}
	}
}

// ofTheBody is the value with which the body panicked: the panic of a task is inside
// a TaskError. If so much came before it that it is only counted, it is the outcome.
func (e *Error) ofTheBody() any {
	for _, err := range e.Unwrap() {
		if p, ok := err.(*PanicError); ok {
			return p.Recovered.Value
		}
	}
	return e
}

// A consumer is the loop over what AsCompleted yields.
type consumer[Out any] struct {
	yield   func(Out, error) bool
	scope   *Scope
	ctx     context.Context // of scope
	results chan delivery[Out]
	total   chan int    // how many results there will be, once that is known
	left    atomic.Bool // it wants no more
	atOnce  chan struct{}
	inLoop  bool // the body of the loop has not returned
}

// A delivery is the result of an item, or the news that there will be none.
type delivery[Out any] struct {
	Result[Out]

	void bool
}

// deliver waits until the result of t has been taken, and reports false if it will
// not be: the scope has ended. There is one for each item.
func (c *consumer[Out]) deliver(t *Task, d delivery[Out]) bool {
	if t.bits.Or(delivered)&delivered != 0 {
		return false
	}
	select {
	case c.results <- d:
		return true
	case <-c.ctx.Done():
		return false
	}
}

// consume yields the results for all items, until the consumer leaves or the scope
// ends.
func consume[In, Out any](c *consumer[Out], in iter.Seq[In], fn func(context.Context, In) (Out, error)) {
	feedFrom(c, in, fn)
	for got, all := 0, -1; got != all; {
		d, total, ok := c.next()
		switch {
		case !ok:
			return
		case total >= 0:
			all = total
			continue
		}
		got++
		if d.void {
			continue
		}
		c.inLoop = true
		more := c.yield(d.Value, d.Err)
		c.inLoop = false
		if !more {
			c.left.Store(true)
			c.scope.Cancel(nil)
			return
		}
	}
}

// next waits for the next delivery, or for their total, and reports false when the
// scope has ended. A task that consumes lends what its items may need. It does not
// wait to have that back: its items keep theirs until it has taken their results.
func (c *consumer[Out]) next() (d delivery[Out], total int, ok bool) {
	select {
	case d = <-c.results:
		return d, -1, true
	default:
	}
	defer c.scope.lend(c.atOnce)()
	select {
	case d = <-c.results:
		return d, -1, true
	case total = <-c.total:
		return d, total, true
	case <-c.ctx.Done():
		return d, -1, false
	}
}

// feedFrom spawns the task that pulls the items and spawns a task for each.
func feedFrom[In, Out any](c *consumer[Out], in iter.Seq[In], fn func(context.Context, In) (Out, error)) {
	s, pc := c.scope, pcOf(fn)
	feeder := &Task{scope: s, flags: bubbles | awaited | unlimited}
	feeder.demand().pc = pcOf(in)
	feeder.fn = func(ctx context.Context) error {
		n := 0
		feed(ctx, s, in, func(i int, item In) {
			n++
			f := part(s, pc, i, ownScope, func(ctx context.Context) (Out, error) {
				value, err := fn(ctx, item)
				if err == nil {
					c.deliver(CurrentTask(ctx), delivery[Out]{Result: Result[Out]{Value: value}})
				}
				return value, err
			})
			f.more.handOver = func(err error) bool { return c.handOver(f, err) }
			s.accept(&f.task, true, nil)
		})
		c.total <- n
		return nil
	}
	s.accept(feeder, true, nil)
}

// handOver gives the error of an item to the consumer. That of one that was given up
// is in the outcome.
func (c *consumer[Out]) handOver(f *Future[Out], err error) bool {
	t := &f.task
	switch {
	case t.has(givenUp):
		c.deliver(t, delivery[Out]{void: true})
		return false
	case c.deliver(t, delivery[Out]{Result: Result[Out]{f.value, err}}):
	case c.left.Load():
		c.scope.log(slog.LevelDebug, "error ignored: it came after the loop was left", t, err)
	default:
		return false
	}
	return true
}
