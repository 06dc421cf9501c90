package traigo

import (
	"context"
	"log/slog"
	"slices"
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
