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
// arguments. The first failure cancels the others; All then returns the error alone: an
// [*Error] that names the function by its place. It panics as [Run] does if a function
// panics, and at the call if a function is nil.
//
// Like all joins, All returns when everything that it has started has ended. The context
// of the functions has ended then too: a value that depends on it, the body of a
// response say, has to be read inside.
func All[T any](ctx context.Context, fns ...func(context.Context) (T, error)) ([]T, error) {
	mustBeJoinable("All", ctx, fns)
	s, futures, err := runAll(ctx, allName, ownScope, fns)
	if err != nil {
		return nil, err
	}
	return values(s.Path(), futures)
}

// A Result is what a function has returned.
type Result[T any] struct {
	Value T
	Err   error
}

// Settle runs the functions at once and returns what each has returned, in the
// order of the arguments. A failure cancels nothing. The Err of a function that did not
// start because ctx had ended is [ErrRefused], that of one that was given up is a
// [*StuckError].
//
// The idea is JavaScript's Promise.allSettled.
func Settle[T any](ctx context.Context, fns ...func(context.Context) (T, error)) []Result[T] {
	mustBeJoinable("Settle", ctx, fns)
	s, futures, err := runAll(ctx, settleName, ownCallback, fns)
	if s != nil && isForeign(err) {
		s.log(slog.LevelError, "error of something else that was spawned in the scope of Settle", nil, err)
	}
	results := make([]Result[T], len(fns))
	for i, f := range futures {
		if f == nil { // a Wrapper has not let the body run
			results[i].Err = err
			continue
		}
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

// runAll runs the functions as tasks of a scope, and returns when all have ended.
func runAll[T any](ctx context.Context, name Option, own owner, fns []func(context.Context) (T, error)) (s *Scope, futures []*Future[T], err error) {
	futures = make([]*Future[T], len(fns))
	err = Run(ctx, func(_ context.Context, opened *Scope) error {
		s = opened
		for i, fn := range fns {
			futures[i] = part(s, pcOf(fn), i, own, fn)
			s.accept(&futures[i].task, true)
		}
		return nil
	}, name)
	return s, futures, err
}

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

// values are the results of a scope that has ended without an error. If a function has ended it
// quietly, the others have not done what they were there for.
func values[T any](path string, futures []*Future[T]) ([]T, error) {
	all := make([]T, len(futures))
	for i, f := range futures {
		if err := f.task.Err(); err != nil {
			return nil, &Error{Scope: path, Err: &TaskError{Task: f.task.Name(), Err: err}}
		}
		all[i] = f.value
	}
	return all, nil
}

// Race runs the functions at once and returns the result of the first that
// succeeds. The others are canceled, and their results are dropped: a function that has
// opened something must close it itself if its ctx is done.
//
// If none succeeds, Race returns all of their errors, in the order of the
// arguments: an [*Error] with the first as Err and the others in Others. Race of no
// functions is an error too. The end of ctx before one has succeeded, and a function that
// has lost and does not end within its [CancelTimeout], are in the error as well; if one
// has won, its result comes with that error. Race panics as [Run] does if a function
// panics.
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
		if f == nil {
			continue // a Wrapper has not let the body run: err says so
		}
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

// Map calls fn for every item of in (of a slice: slices.Values(items)), at once or as many
// at a time as opts limit, and returns the results in the order of the items. The first
// failure cancels the rest, and no more items are pulled; Map then returns the error alone:
// an [*Error] that names the item by its place. It panics as [Run] does if fn panics.
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
	if err != nil {
		return nil, err
	}
	return values(path, futures)
}

// withName puts the name of a join before the options, one of which may be another.
func withName(name Option, opts []ScopeOption) []ScopeOption {
	return append([]ScopeOption{name}, opts...)
}

// A window bounds how many items of a join are under way, to the limit of its scope: so no
// item is pulled before there is a slot for its task. It is nil where there is no limit.
type window chan struct{}

func newWindow(s *Scope) window {
	s.mu.Lock() // not for limit, which does not change, but for ext
	n := s.ext.limit
	s.mu.Unlock()
	if n == 0 {
		return nil
	}
	return make(window, n)
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
