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

// Joins: All, Settle, Race, Map, and in stream.go AsCompleted. A join runs several
// functions concurrently in a scope that is named after the join, and returns when that
// scope is closed.

// All runs the functions concurrently and returns their results in the order of the
// arguments. If a function fails, All cancels the others and returns nil and an [*Error],
// which names the function by its index. Without functions it returns an empty slice. It
// panics with a [*PanicError], when all functions have returned, if one panics, and at
// once if ctx or a function is nil.
//
// Like all joins, All returns when all functions have returned. Their context is done
// then, so a result must not depend on it: read the body of an HTTP response, for
// example, inside the function.
func All[T any](ctx context.Context, fns ...func(context.Context) (T, error)) ([]T, error) {
	mustBeJoinable("All", ctx, fns)
	s, futures, err := runAll(ctx, allName, ownScope, fns)
	if err != nil {
		return nil, err
	}
	return values(s.Path(), futures)
}

// A Result is what a function of [Settle] has returned.
type Result[T any] struct {
	Value T
	Err   error
}

// Settle runs the functions concurrently and returns what each of them has returned, in
// the order of the arguments. A failure does not cancel the others. If a function was not
// started, because ctx was done, its Err wraps [ErrRefused]; if it was given up, its Err
// is a [*StuckError]. Settle panics like [All].
//
// The idea is from JavaScript's Promise.allSettled.
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

// Variables, so that the joins do not allocate their names.
var (
	allName         = Name("All")
	settleName      = Name("Settle")
	raceName        = Name("Race")
	mapName         = Name("Map")
	asCompletedName = Name("AsCompleted")
)

// runAll runs the functions as tasks of a new scope and returns when that is closed. own
// is the owner of their errors.
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

// part returns a future for the i-th function or item of a join. Its task is not yet
// accepted. pc is the entry address of the user's function.
func part[T any](s *Scope, pc uintptr, i int, own owner, fn func(context.Context) (T, error)) *Future[T] {
	f := newFuture(s, pc, 0, fn)
	f.task.owner = own
	f.ext.nth = i + 1
	return f
}

// isForeign reports whether outcome, of the scope of Settle, contains an error that no
// Result has: other than the end of ctx and a *StuckError.
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

// Race runs the functions concurrently and returns the result of the first one that
// succeeds. It cancels the others, waits for them, and drops their results: a function
// that returns a resource must release it if its ctx is done.
//
// If no function succeeds, Race returns the zero value and an [*Error] with all their
// errors in the order of the arguments, the first as Err and the rest in Others. Without
// functions it returns an error. The error also contains the cause of ctx, if ctx was
// done before a function succeeded, and a [*StuckError] if a function did not return
// within its [CancelTimeout]. If a function succeeded, its result is returned even if the
// error is not nil. Race panics like [All].
func Race[T any](ctx context.Context, fns ...func(context.Context) (T, error)) (T, error) {
	mustBeJoinable("Race", ctx, fns)
	if len(fns) == 0 {
		var none T
		return none, errors.New("traigo: Race: no functions, so none can succeed")
	}
	futures := make([]*Future[T], len(fns))
	lost := make([]bool, len(fns)) // lost[i]: function i returned a consequence of its cancellation; set by its task
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
			continue // given up: err contains the StuckError
		}
		all = append(all, &TaskError{Task: t.Name(), Err: t.Err()})
		if t.id != 0 && !lost[i] {
			failures = append(failures, all[len(all)-1])
		}
	}
	if err == nil && len(failures) == 0 {
		failures = all // a function ended the scope quietly, and the errors of all are consequences of that
	}
	var none T
	return none, allOf(path, err, failures)
}

// allOf returns outcome, which is nil or an *Error, with failures added. One of the two
// must not be empty.
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

// Map calls fn for every item of in, concurrently, and returns the results in the order
// of the items. For a slice, use slices.Values. A [Limit] in opts limits the number of
// calls at once. If a call fails, Map cancels the others, pulls no more items, and
// returns nil and an [*Error] that names the item by its index. It panics with a
// [*PanicError], when all calls have returned, if fn panics.
//
// in runs on the goroutine of the caller. With a [Limit] an item is pulled only when fn
// can be called for it. No item is pulled after ctx is done. Map panics at once if ctx,
// in, fn or an option is nil.
func Map[In, Out any](ctx context.Context, in iter.Seq[In], fn func(context.Context, In) (Out, error), opts ...ScopeOption) ([]Out, error) {
	mustBeFeedable("Map", ctx, in != nil, fn != nil, opts)
	var futures []*Future[Out]
	var path string
	var short error // set if ctx was done before all items were pulled
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
		err = short // a function ended the scope quietly
	}
	if err != nil {
		return nil, err
	}
	return values(path, futures)
}

// withName returns opts with name before them, so that a Name in opts takes precedence.
func withName(name Option, opts []ScopeOption) []ScopeOption {
	return append([]ScopeOption{name}, opts...)
}

// A window is a semaphore with the Limit of the scope of a join. An item is pulled after
// enter, so that Spawn does not block for it. It is nil if there is no limit.
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

// enter waits until one more item may be pulled. It reports false if ctx is done.
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

// feed pulls items from in and calls spawn for each, until in ends or ctx is done. It
// reports whether in has ended.
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
