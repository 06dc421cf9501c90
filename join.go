package traigo

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"slices"
	"sync"
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
			s.accept(&futures[i].task, true)
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
			s.accept(&futures[i].task, true)
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
	f := newFuture(s, pc, 0, fn)
	f.task.owner = own
	f.ext.nth = i + 1
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
	lost := make([]bool, len(fns)) // it has returned a consequence of its cancellation; each is written by its task
	var path string
	var winner atomic.Pointer[T]
	err := Run(ctx, func(_ context.Context, s *Scope) error {
		path = s.Path()
		for i, fn := range fns {
			futures[i] = part(s, pcOf(fn), i, ownCallback, func(ctx context.Context) (T, error) {
				value, err := fn(ctx)
				if err != nil {
					failed, _ := futures[i].task.verdict(err)
					lost[i] = !failed
				} else if winner.Load() == nil {
					if won := value; winner.CompareAndSwap(nil, &won) {
						s.Cancel(nil)
					}
				}
				return value, err
			})
			s.accept(&futures[i].task, true)
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
		if t.id != 0 && !lost[i] {
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
func allOf(path string, outcome error, failures []error) *Error {
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
	mustBeFeedable("Map", ctx, in != nil, fn != nil, opts)
	var futures []*Future[Out]
	var path string
	var short error // it was ended before all items were pulled
	pc := pcOf(fn)
	err := Run(ctx, func(ctx context.Context, s *Scope) error {
		path = s.Path()
		w := newWindow(s)
		leave := func(error) { w.leave() }
		if !feed(ctx, w, in, func(i int, item In) {
			f := part(s, pc, i, ownScope, func(ctx context.Context) (Out, error) { return fn(ctx, item) })
			f.ext.onDone = leave
			futures = append(futures, f)
			s.accept(&f.task, true)
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

func mustBeFeedable(call string, ctx context.Context, hasItems, hasFunc bool, opts []ScopeOption) {
	mustHaveContext(call, ctx)
	mustHaveFunc(call, hasItems, "the items")
	mustHaveFunc(call, hasFunc, "the function for each item")
	for _, o := range opts {
		mustHaveOption(call, o != nil)
	}
}

// withName puts the name of a join before the options, one of which may be another.
func withName(name Option, opts []ScopeOption) []ScopeOption {
	return append([]ScopeOption{name}, opts...)
}

// A window bounds how many items of a join are under way, to the limit of its scope: so no
// item is pulled before there is a slot for its task. It is nil where there is no limit.
type window chan struct{}

func newWindow(s *Scope) window {
	if s.ext.limit == 0 {
		return nil
	}
	return make(window, s.ext.limit)
}

// enter waits until there is room for one more item. It reports false if ctx has ended.
func (w window) enter(ctx context.Context) bool {
	if w != nil {
		select {
		case w <- struct{}{}:
		case <-ctx.Done():
		}
	}
	return ctx.Err() == nil
}

func (w window) leave() {
	if w != nil {
		<-w
	}
}

// feed pulls items while ctx is alive, each when there is room for it, and reports
// whether it has pulled all of them.
func feed[In any](ctx context.Context, w window, in iter.Seq[In], spawn func(i int, item In)) bool {
	if !w.enter(ctx) {
		return false
	}
	i := 0
	for item := range in {
		if ctx.Err() != nil {
			return false
		}
		spawn(i, item)
		i++
		if !w.enter(ctx) {
			return false
		}
	}
	return true
}

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
	var failures []error
	for _, f := range c.ended {
		t := &f.task
		switch {
		case !t.has(hasFailed) || t.has(givenUp):
		case c.hasLeft:
			c.scope.log(slog.LevelDebug, "error ignored: it came after the loop was left", t, t.result())
		case first == nil:
			c.scope.logFate(suppressed, t, t.result())
		default:
			failures = append(failures, &TaskError{Task: t.Name(), Err: t.result()})
		}
	}
	switch {
	case first == nil:
	case !c.hasLeft:
		var none Out
		if len(failures) > 0 {
			outcome = capped(allOf(first.Scope, outcome, failures))
		}
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
