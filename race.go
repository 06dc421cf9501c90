package traigo

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
)

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
		all.Err, all.more, all.panicked = first.Err, first.more, first.panicked
		failures = append(slices.Clip(first.Others), failures...)
	} else {
		all.Err, failures = failures[0], failures[1:]
	}
	all.Others = failures
	return all
}
