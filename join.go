package traigo

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"slices"
	"sync/atomic"
)

// Joins: several functions, run at once in a scope that is named after the join
// and has ended when it returns.

// All runs the functions at once and returns their results in the order of the
// arguments. The first failure cancels the others; All returns nothing then but
// the error: an [*Error] that names the function, by its place. It panics as
// [Run] does if a function panics.
//
// The context of the functions ends when All returns: what hangs on it, the body of
// a response say, has to be read inside. That is so in all joins.
//
// Like all joins it returns when everything it has started has ended, and it
// panics if a function is nil.
func All[T any](ctx context.Context, fns ...func(context.Context) (T, error)) ([]T, error) {
	mustBeJoinable("All", ctx, fns)
	futures := make([]*Future[T], len(fns))
	var path string
	err := Run(ctx, func(_ context.Context, s *Scope) error {
		path = s.Path()
		for i, fn := range fns {
			futures[i] = part(s, pcOf(fn), i, ownScope, fn)
			s.accept(&futures[i].task, true, nil)
		}
		return nil
	}, allName)
	return values(path, err, futures)
}

// A Result is what a function has returned.
type Result[T any] struct {
	Value T
	Err   error
}

// Settle runs the functions at once and returns what each has returned, in the
// order of the arguments. A failure cancels nothing. What ctx has ended before it
// could start has [ErrRefused]; what was given up has a [*StuckError].
//
// The idea is JavaScript's Promise.allSettled.
func Settle[T any](ctx context.Context, fns ...func(context.Context) (T, error)) []Result[T] {
	mustBeJoinable("Settle", ctx, fns)
	futures := make([]*Future[T], len(fns))
	var scope *Scope
	err := Run(ctx, func(_ context.Context, s *Scope) error {
		scope = s
		for i, fn := range fns {
			futures[i] = part(s, pcOf(fn), i, ownCallback, fn)
			s.accept(&futures[i].task, true, nil)
		}
		return nil
	}, settleName)
	if isForeign(err) {
		scope.log(slog.LevelError, "error of something else that was spawned in the scope of Settle", nil, err)
	}
	results := make([]Result[T], len(fns))
	for i, f := range futures {
		results[i].Value, results[i].Err = f.Await(context.Background())
	}
	return results
}

// One value each, so that they cost no allocation.
var (
	allName         = Name("All")
	settleName      = Name("Settle")
	raceName        = Name("Race")
	mapName         = Name("Map")
	asCompletedName = Name("AsCompleted")
)

// part is fn, whose code is at pc, as a task of a join that is to be accepted.
func part[T any](s *Scope, pc uintptr, i int, own owner, fn func(context.Context) (T, error)) *Future[T] {
	f := &Future[T]{}
	t := &f.task
	t.scope, t.flags, t.owner = s, bubbles|awaited, own
	f.more.pc, f.more.nth = pc, i+1
	t.more.Store(&f.more)
	t.fn = func(ctx context.Context) (err error) {
		f.value, err = fn(ctx)
		return err
	}
	return f
}

// isForeign reports that the outcome of Settle's scope has more to say than the
// results do: they know of the end of ctx, and of what was given up.
func isForeign(outcome error) bool {
	all, _ := outcome.(*Error)
	return all != nil && slices.ContainsFunc(all.Unwrap(), func(err error) bool {
		switch err.(type) {
		case *Cancellation, *StuckError:
			return false
		}
		return true
	})
}

// values are the results of a scope that has ended. If a function has ended it
// quietly, the others have not done what they were there for.
func values[T any](path string, outcome error, futures []*Future[T]) ([]T, error) {
	if outcome != nil {
		return nil, outcome
	}
	all := make([]T, len(futures))
	for i, f := range futures {
		if err := f.task.Err(); err != nil {
			return nil, &Error{Scope: path, Err: &TaskError{Task: f.task.Name(), Err: err}}
		}
		all[i] = f.value
	}
	return all, nil
}

func mustBeJoinable[T any](call string, ctx context.Context, fns []func(context.Context) (T, error)) {
	mustHaveContext(call, ctx)
	for _, fn := range fns {
		mustHaveFunc(call, fn != nil, "functions to run")
	}
}

// Race runs the functions at once and returns the result of the first that
// succeeds; the others are canceled, and what they return is dropped. Whoever
// gets hold of something that has to be closed looks at its ctx before it returns
// it: canceled, it has lost.
//
// If none succeeds, Race returns all of their errors, in the order of the
// arguments: an [*Error] with the first as Err and the others in Others. With no
// functions at all it returns an error too. If ctx ends before one has succeeded,
// or if one that has lost does not end within its [CancelTimeout], it returns that
// as well; where one has won, its result comes with the error. It panics as [Run]
// does if a function panics.
func Race[T any](ctx context.Context, fns ...func(context.Context) (T, error)) (T, error) {
	mustBeJoinable("Race", ctx, fns)
	if len(fns) == 0 {
		var none T
		return none, errors.New("traigo: Race: no functions, so none can succeed")
	}
	futures := make([]*Future[T], len(fns))
	mere := make([]bool, len(fns)) // it has returned only that it was canceled; each is written by its task
	var path string
	var winner atomic.Pointer[T]
	err := Run(ctx, func(_ context.Context, s *Scope) error {
		path = s.Path()
		for i, fn := range fns {
			futures[i] = part(s, pcOf(fn), i, ownCallback, func(ctx context.Context) (T, error) {
				value, err := fn(ctx)
				if err != nil {
					failed, _ := futures[i].task.verdict(err)
					mere[i] = !failed
				} else if winner.Load() == nil {
					if won := value; winner.CompareAndSwap(nil, &won) {
						s.Cancel(nil)
					}
				}
				return value, err
			})
			s.accept(&futures[i].task, true, nil)
		}
		return nil
	}, raceName)
	if value := winner.Load(); value != nil {
		return *value, err
	}
	var failures, all []error
	for i, f := range futures {
		t := &f.task
		if !t.has(hasEnded) {
			continue // given up: err says so
		}
		all = append(all, &TaskError{Task: t.Name(), Err: t.Err()})
		if t.id != 0 && !mere[i] {
			failures = append(failures, all[len(all)-1])
		}
	}
	if err == nil && len(failures) == 0 {
		failures = all // one of them has ended the scope quietly
	}
	var none T
	return none, allOf(path, err, failures)
}

// allOf is the outcome of a scope, nil or an *Error, with more failures.
func allOf(path string, outcome error, failures []error) error {
	all := &Error{Scope: path}
	if first, ok := outcome.(*Error); ok {
		all.Err, all.More, all.panicked = first.Err, first.More, first.panicked
		failures = append(slices.Clip(first.Others), failures...)
	} else {
		all.Err, failures = failures[0], failures[1:]
	}
	all.Others = failures
	return all
}

// Map calls fn for every item of in (of a slice: slices.Values(items)), at once or as many at a time as opts limit,
// and returns the results in the order of the items. The first failure cancels
// the rest, and nothing more is pulled; Map then returns nothing but the error: an
// [*Error] that names the item by its place. It panics as [Run] does if fn panics.
//
// in runs on the goroutine of the caller. With a [Limit] the next item is pulled
// when there is room for it, and none after ctx has ended. It panics if in or fn is
// nil.
func Map[In, Out any](ctx context.Context, in iter.Seq[In], fn func(context.Context, In) (Out, error), opts ...ScopeOption) ([]Out, error) {
	mustHaveContext("Map", ctx)
	mustHaveFunc("Map", in != nil, "the items")
	mustHaveFunc("Map", fn != nil, "the function for each item")
	var futures []*Future[Out]
	var path string
	var short error // it was ended before all items were pulled
	pc := pcOf(fn)
	err := Run(ctx, func(ctx context.Context, s *Scope) error {
		path = s.Path()
		if !feed(ctx, s, in, func(i int, item In) {
			f := part(s, pc, i, ownScope, func(ctx context.Context) (Out, error) { return fn(ctx, item) })
			futures = append(futures, f)
			s.accept(&f.task, true, nil)
		}) {
			short = &Error{Scope: path, Err: fmt.Errorf("not all items were pulled: %w", context.Cause(ctx))}
		}
		return nil
	}, withName(mapName, opts)...)
	if err == nil {
		err = short // a function has ended the scope quietly
	}
	return values(path, err, futures)
}

// feed pulls items while the scope lives, each when there is room for its task, and
// reports whether it has pulled all of them.
func feed[In any](ctx context.Context, s *Scope, in iter.Seq[In], spawn func(i int, item In)) bool {
	if s.awaitRoom(); ctx.Err() != nil {
		return false
	}
	i := 0
	for item := range in {
		if ctx.Err() != nil {
			return false
		}
		spawn(i, item)
		i++
		if s.awaitRoom(); ctx.Err() != nil {
			return false
		}
	}
	return true
}

// withName puts the name of a join before the options, one of which may be another.
func withName(name Option, opts []ScopeOption) []ScopeOption {
	return append([]ScopeOption{name}, opts...)
}

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
