package supervise

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"

	"github.com/traigo/traigo"
)

// Run is [traigo.Run] for tasks of which each may fail alone: see
// [Siblings.Spawn]. It returns when all of them have ended. What failed is then in
// the [*traigo.Error] that it returns, the first 16 of them, each as a
// [*traigo.TaskError]; of more it has the number.
//
// Everything else is as in traigo.Run. An error of the body, a panic, a timeout
// and the end of ctx cancel all, and so does the failure of a task that is spawned
// in the scope itself, which is [traigo.Current] of the body's ctx. It panics if
// body or an option is nil.
//
// The idea is Kotlin's supervisorScope.
func Run(ctx context.Context, body func(ctx context.Context, s *Siblings) error, opts ...traigo.ScopeOption) error {
	mustHave("Run", body != nil, "function", "pass the body that spawns the siblings")
	s := &Siblings{logger: loggerOf(opts)}
	err := traigo.Run(ctx, func(ctx context.Context, scope *traigo.Scope) error {
		s.scope = scope
		return body(ctx, s)
	}, named(body, opts)...)
	return s.outcome(err)
}

// Siblings are tasks of which each may fail alone. They are made by [Run].
type Siblings struct {
	scope  *traigo.Scope
	logger *slog.Logger

	mu     sync.Mutex // a leaf: nothing is called under it
	failed []error
	more   int // how many failed after those
}

// maxKept is how many errors are kept, as in the core; of more only the number.
const maxKept = 16

// Spawn runs fn as a task beside the others: as [traigo.Scope.Spawn] does, with
// two differences.
//
// A failure of fn cancels nothing but what fn itself has spawned: the scope that
// its context carries is its own. The failure is logged at WARN as it happens, and
// is in the outcome of [Run]. A sibling that was canceled has not failed.
//
// An option [traigo.OnDone] makes the error that of the callback: it is then
// neither logged nor in the outcome. [traigo.Bubble] has no effect.
//
// It panics if fn or an option is nil.
func (s *Siblings) Spawn(fn func(ctx context.Context) error, opts ...traigo.TaskOption) *traigo.Task {
	mustHave("Siblings.Spawn", fn != nil, "function", "pass the one that the task is to run")
	var b sibling
	all := make([]traigo.TaskOption, 0, len(opts)+3)
	all = append(all, traigo.NameOf(fn), traigo.OnDone(func(err error) { s.ended(&b, err) }))
	all = append(all, opts...)
	return s.scope.Spawn(func(ctx context.Context) error {
		b.task = traigo.CurrentTask(ctx)
		canceled, err := alone(ctx, fn, traigo.Name(b.task.Name()))
		b.returned = true
		if canceled && err != nil {
			return &interruption{err}
		}
		return err
	}, append(all, traigo.Bubble(false))...)
}

// outcome is what Run returns. A task that was given up may still fail after that:
// then there is only the record.
func (s *Siblings) outcome(err error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return join(s.scope.Path(), err, s.failed, s.more)
}

// A sibling is what is known of one when it has ended. Only its own goroutine
// writes it.
type sibling struct {
	task     *traigo.Task
	returned bool // not by a panic or a Goexit
}

// ended hears of the end of a sibling, before the scope can close.
func (s *Siblings) ended(b *sibling, err error) {
	if err == nil || isInterruption(err) {
		return
	}
	if !b.returned && !errors.Is(err, traigo.ErrGoexit) {
		return // a panic, and not one that is an error: the scope raises it
	}
	failure := &traigo.TaskError{Task: b.task.Name(), Err: err}
	s.mu.Lock()
	if len(s.failed) < maxKept {
		s.failed = append(s.failed, failure)
	} else {
		s.more++
	}
	s.mu.Unlock()
	record(context.Background(), s.logger, slog.LevelWarn, "a task has failed, its siblings run on", b.task.Scope(), b.task, err)
}

// An interruption is what a sibling returns that has ended because it was
// canceled. It cannot be told by the cause alone: that may be any error. Where a
// Timeout of the task is behind it, the core puts its TimeoutError in its place.
type interruption struct{ cause error }

func (e *interruption) Error() string { return e.cause.Error() }
func (e *interruption) Unwrap() error { return e.cause }

func isInterruption(err error) bool {
	_, is := err.(*interruption) //nolint:errorlint // what has one of another task inside has failed
	return is
}

// named puts a default name before the options, that of the body.
func named(body any, opts []traigo.ScopeOption) []traigo.ScopeOption {
	return append([]traigo.ScopeOption{traigo.NameOf(body)}, opts...)
}

// alone runs fn in a scope of its own, so that whatever it has spawned has
// ended when alone returns, and is nobody else's.
//
// The error is that of fn, if nothing else has failed, or the outcome of the
// scope. Where fn has ended for no other reason than that ctx has, it is the
// cause of that, and canceled is true; if fn then returned nil, so does alone.
func alone(ctx context.Context, fn func(context.Context) error, opts ...traigo.ScopeOption) (canceled bool, err error) {
	var own error
	err = traigo.Run(ctx, func(ctx context.Context, _ *traigo.Scope) error {
		own = fn(ctx)
		return own
	}, opts...)
	e, failed := errors.AsType[*traigo.Error](err)
	switch {
	case !failed || len(e.Others) > 0:
		return false, err
	case ctx.Err() == nil || !isParents(e.Err):
		return false, e.Err
	case own == nil:
		return true, nil
	default:
		return true, context.Cause(ctx)
	}
}

// join adds errors to the outcome of the scope at path, and more to its count. If there
// is no outcome, the first error becomes its Err. Of more than maxKept errors join keeps
// the first, but each *traigo.StuckError before all others: the goroutine that it names
// is still running.
func join(path string, outcome error, errs []error, more int) error {
	if len(errs) == 0 && more == 0 {
		return outcome
	}
	joined := &traigo.Error{Scope: path}
	if e, ok := errors.AsType[*traigo.Error](outcome); ok {
		*joined = *e // the outcome itself may be held by others
	} else {
		joined.Err, errs = errs[0], errs[1:]
	}
	others := slices.Concat(joined.Others, errs)
	if over := len(others) - maxKept; over > 0 {
		slices.SortStableFunc(others, func(a, b error) int { return cmp.Compare(rank(a), rank(b)) })
		others, more = others[:maxKept], more+over
	}
	joined.Others = others
	joined.More += more
	return joined
}

func rank(err error) int {
	if _, stuck := errors.AsType[*traigo.StuckError](err); stuck {
		return 0
	}
	return 1
}

// isParents reports whether err, as what has ended a scope, is the end of what
// is around it.
func isParents(err error) bool {
	c, ok := err.(*traigo.Cancellation) //nolint:errorlint // that of a scope below is something else
	return ok && c.Kind == traigo.ParentCanceled
}
