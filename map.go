package traigo

import (
	"context"
	"fmt"
	"iter"
)

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
