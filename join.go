package traigo

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"math/bits"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
)

// Joins: All, Settle, Race, Map and ForEach, and in stream.go AsCompleted and Ordered. A
// join runs several functions concurrently in a scope that is named after the join, and
// returns when that scope is closed.

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
	f := &functions[T]{fns: fns, owner: ownScope}
	if err := f.runAll(ctx, allName); err != nil {
		return nil, err
	}
	all := make([]T, len(fns))
	for i := range all {
		p := &f.parts[i]
		if err := p.task.Err(); err != nil {
			// A function has ended the scope quietly, and the others have not done what they
			// were there for.
			return nil, &Error{Scope: f.scope.Path(), Err: &TaskError{Task: p.task.Name(), Err: err}}
		}
		all[i] = p.value
	}
	return all, nil
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
	f := &functions[T]{fns: fns, owner: ownCallback}
	err := f.runAll(ctx, settleName)
	if f.scope != nil && isForeign(err) {
		f.scope.log(slog.LevelError, "error of something else that was spawned in the scope of Settle", nil, err)
	}
	results := make([]Result[T], len(fns))
	for i := range results {
		results[i].Err = err // a Wrapper has not let the body run
		if f.scope != nil {
			results[i].Value, results[i].Err = f.parts[i].result()
		}
	}
	return results
}

// Variables, so that the joins do not allocate their names.
var (
	allName         = Name("All")
	settleName      = Name("Settle")
	raceName        = Name("Race")
	mapName         = Name("Map")
	forEachName     = Name("ForEach")
	asCompletedName = Name("AsCompleted")
	orderedName     = Name("Ordered")
)

// A part is a function of All, Settle or Race with its task. The parts of a join are one
// allocation, so that none can be collected before the last handle of one is.
type part[T any] struct {
	task  Task
	name  nameOption
	value T // written by the task; read after hasEnded is set
}

// functions are those of a join, and what becomes of them.
type functions[T any] struct {
	fns    []func(context.Context) (T, error)
	parts  []part[T]
	owner  owner  // of their errors
	scope  *Scope // nil if a Wrapper has not let the body run
	isRace bool
	winner atomic.Pointer[part[T]] // of a Race: the first that has succeeded
}

// runAll runs the functions as tasks of a new scope and returns when that is closed.
func (f *functions[T]) runAll(ctx context.Context, name Option) error {
	f.parts = make([]part[T], len(f.fns))
	return Run(ctx, f.spawnAll, name)
}

func (f *functions[T]) spawnAll(_ context.Context, s *Scope) error {
	f.scope = s
	run := f.run
	for i, fn := range f.fns {
		if s.settings.wrappers != nil { // which may hide the task of ctx
			run = func(ctx context.Context) error { return f.call(ctx, i) }
		}
		p := &f.parts[i]
		p.name.pc, p.name.nth = pcOf(fn), i+1
		t := &p.task
		t.scope, t.fn, t.name, t.flags, t.owner = s, run, &p.name, bubbles|awaited, f.owner
		s.accept(t, true)
	}
	return nil
}

// run is the function of all tasks, so that they need no closure each.
func (f *functions[T]) run(ctx context.Context) error {
	return f.call(ctx, (*Task)(ctx.(*taskContext)).name.nth-1)
}

func (f *functions[T]) call(ctx context.Context, i int) (err error) {
	p := &f.parts[i]
	if p.value, err = f.fns[i](ctx); err == nil && f.isRace && f.winner.CompareAndSwap(nil, p) {
		p.task.set(hasWon)
	}
	return err
}

// result is what the function of p has returned, once the scope is closed.
func (p *part[T]) result() (T, error) {
	if t := &p.task; !t.has(hasEnded) {
		var none T // the function may still write the value
		return none, t.stuckError()
	}
	return p.value, p.task.result()
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
	f := &functions[T]{fns: fns, owner: ownCallback, isRace: true}
	err := f.runAll(ctx, raceName)
	if p := f.winner.Load(); p != nil {
		return p.value, err
	}
	var none T
	if f.scope == nil {
		return none, err // a Wrapper has not let the body run
	}
	var failures, all []error
	for i := range f.parts {
		t := &f.parts[i].task
		if !t.has(hasEnded) {
			continue // given up: err contains the StuckError
		}
		all = append(all, &TaskError{Task: t.Name(), Err: t.Err()})
		if t.has(hasFailed) {
			failures = append(failures, all[len(all)-1])
		}
	}
	if err == nil && len(failures) == 0 {
		failures = all // a function ended the scope quietly, and the errors of all are consequences of that
	}
	return none, allOf(f.scope.Path(), err, failures)
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
// returns an [*Error] that names the item by its index. Beside the error it returns what
// has succeeded, and zero values elsewhere, for as many items as it has pulled. It panics
// with a [*PanicError], when all calls have returned, if fn panics.
//
// in runs on a goroutine of its own. A goroutine that has called fn for an item asks it for
// the next one, so with a [Limit] an item is pulled only when fn can be called for it. No
// item is pulled after ctx is done. If in blocks, it should return when ctx is done, since
// Map waits for it. If it panics or calls runtime.Goexit, so does Map, when all calls have
// returned. Map panics at once if ctx, in, fn or an option is nil.
func Map[In, Out any](ctx context.Context, in iter.Seq[In], fn func(context.Context, In) (Out, error), opts ...ScopeOption) ([]Out, error) {
	mustBeFeedable("Map", ctx, in != nil, fn != nil, opts)
	var all cells[Out]
	err := mapTo(&all, ctx, in, &items[In, Out]{fn: fn, pc: pcOf(fn)}, withName(mapName, opts))
	return all.list(), err
}

// ForEach is [Map] without results.
func ForEach[In any](ctx context.Context, in iter.Seq[In], fn func(context.Context, In) error, opts ...ScopeOption) error {
	mustBeFeedable("ForEach", ctx, in != nil, fn != nil, opts)
	none := func(ctx context.Context, item In) (struct{}, error) { return struct{}{}, fn(ctx, item) }
	var all cells[struct{}]
	return mapTo(&all, ctx, in, &items[In, struct{}]{fn: none, pc: pcOf(fn)}, withName(forEachName, opts))
}

func mapTo[In, Out any](all *cells[Out], ctx context.Context, in iter.Seq[In], c *items[In, Out], opts []ScopeOption) error {
	c.to = all
	isShort := false
	var path string
	err := Run(ctx, func(ctx context.Context, s *Scope) error {
		path = s.Path()
		c.start(s, in)
		isShort = !c.wait() // ctx was done before all items were pulled and accepted
		return nil
	}, opts...)
	c.raise()
	switch {
	case err != nil:
		return err
	case all.failed != nil: // a function has ended the scope quietly
		return &Error{Scope: path, Err: &TaskError{Task: all.failed.Name(), Err: all.failed.Err()}}
	case isShort:
		return &Error{Scope: path, Err: fmt.Errorf("not all items were pulled: %w", c.scope.ending().Cause())}
	}
	return nil
}

// raise continues a panic of in, or its Goexit, when the scope is closed.
func (c *items[In, Out]) raise() {
	switch {
	case c.panicked != nil:
		panic(c.panicked.Recovered.Value)
	case c.exited:
		runtime.Goexit()
	}
}

// withName returns opts with name before them, so that a Name in opts takes precedence.
func withName(name Option, opts []ScopeOption) []ScopeOption {
	return append([]ScopeOption{name}, opts...)
}

// A receiver is told what becomes of items.
type receiver[Out any] interface {
	admit() bool                     // waits until one more item may be pulled; false if none is wanted
	pulled(n int, more bool)         // n items have been pulled; unless more is set, in has ended. Called with pulling held
	ended(i int, value Out, t *Task) // item i has ended: if t is nil without an error, otherwise t has its result
}

// cells are the results of a Map by index, in chunks that do not move: so a result is written
// without a lock.
type cells[T any] struct {
	chunks [40][]T // chunk k has firstChunk<<k cells
	n      int     // items pulled

	mu     sync.Mutex
	failed *Task // of the first item that has failed
	first  int   // its index
}

const firstChunk = 16

func chunkOf(i int) int { return bits.Len(uint(i/firstChunk+1)) - 1 }

func (c *cells[T]) at(i int) *T {
	k := chunkOf(i)
	return &c.chunks[k][i-firstChunk*(1<<k-1)]
}

func (c *cells[T]) admit() bool { return true }

func (c *cells[T]) pulled(n int, more bool) {
	if !more {
		return
	}
	c.n = n
	if k := chunkOf(n - 1); c.chunks[k] == nil {
		c.chunks[k] = make([]T, firstChunk<<k)
	}
}

func (c *cells[T]) ended(i int, value T, t *Task) {
	if t == nil {
		*c.at(i) = value
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case t.has(givenUp): // its function may still be running, but what it returns gets nowhere: the cell stays zero
	case t.result() == nil:
		*c.at(i) = value
	case c.failed == nil || i < c.first:
		c.failed, c.first = t, i
	}
}

// list returns the results of all items that were pulled.
func (c *cells[T]) list() []T {
	all := make([]T, c.n)
	for i := range all {
		all[i] = *c.at(i)
	}
	return all
}
