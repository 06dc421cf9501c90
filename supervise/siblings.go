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

// Run is [traigo.Run] for tasks whose failures cancel no other task: see
// [Siblings.Spawn]. It returns when body and all tasks have ended. Its error is nil, or
// a [*traigo.Error] that holds the errors of the tasks that have failed, each as a
// [*traigo.TaskError]: at most 16 of them, in the order in which they came, and the number
// of the rest.
//
// Everything else is as in traigo.Run. An error of body, a panic, a timeout, and the end
// of ctx cancel all tasks. So does the failure of a task that is spawned in the scope
// itself, which [traigo.Current] returns for the ctx of body. Run panics if body or an
// option is nil.
//
// The idea is that of Kotlin's supervisorScope.
func Run(ctx context.Context, body func(ctx context.Context, s *Siblings) error, opts ...traigo.ScopeOption) error {
	mustHave("Run", body != nil, "function", "pass the body that spawns the siblings")
	s := &Siblings{logger: loggerOf(opts)}
	err := traigo.Run(ctx, func(ctx context.Context, scope *traigo.Scope) error {
		s.scope = scope
		return body(ctx, s)
	}, named(body, opts)...)
	return s.outcome(err)
}

// named puts a default name, that of body, before the options.
func named(body any, opts []traigo.ScopeOption) []traigo.ScopeOption {
	return append([]traigo.ScopeOption{traigo.NameOf(body)}, opts...)
}

// Siblings are the tasks of a [Run], which makes them. Its method may be called from any
// goroutine.
type Siblings struct {
	scope  *traigo.Scope
	logger *slog.Logger

	mu     sync.Mutex // a leaf: nothing is called while it is held
	failed []error
	more   int // how many have failed after those
}

// maxKept is how many errors are kept, as in package traigo. The others are counted.
const maxKept = 16

// Spawn runs fn as a task of the scope of [Run]. It does what [traigo.Scope.Spawn] does,
// with two differences.
//
// A failure of fn cancels only the tasks that fn itself has spawned: the context of fn
// carries a scope that belongs to fn alone. And the failure is logged at level WARN when
// it happens, and added to the error of [Run]. A sibling that was canceled has not failed.
//
// With the option [traigo.OnDone] the error belongs to the callback; it is neither logged
// nor added. [traigo.Bubble] has no effect. Spawn panics if fn or an option is nil.
func (s *Siblings) Spawn(fn func(ctx context.Context) error, opts ...traigo.TaskOption) *traigo.Task {
	mustHave("Siblings.Spawn", fn != nil, "function", "pass the one that the task is to run")
	var b sibling
	all := make([]traigo.TaskOption, 0, len(opts)+3)
	all = append(all, traigo.NameOf(fn), traigo.OnDone(func(err error) { s.ended(&b, err) }))
	all = append(all, opts...)
	return s.scope.Spawn(func(ctx context.Context) error {
		b.task = traigo.CurrentTask(ctx)
		canceled, err := runInScope(ctx, fn, traigo.Name(b.task.Name()))
		b.returned = true
		if canceled && err != nil {
			return &interruption{err}
		}
		return err
	}, append(all, traigo.Bubble(false))...)
}

// outcome returns the error of Run. A task that was given up may fail later; that
// failure is only logged.
func (s *Siblings) outcome(err error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return join(s.scope.Path(), err, s.failed, s.more)
}

// A sibling is how a task has ended. Only the goroutine of the task uses it.
type sibling struct {
	task     *traigo.Task
	returned bool // and has not panicked or called Goexit
}

// ended is called when a sibling has ended, while the scope still waits for it.
func (s *Siblings) ended(b *sibling, err error) {
	if err == nil || isInterruption(err) {
		return
	}
	if !b.returned && !errors.Is(err, traigo.ErrGoexit) {
		return // a panic, which the scope raises
	}
	failure := &traigo.TaskError{Task: b.task.Name(), Err: err}
	s.mu.Lock()
	if len(s.failed) < maxKept {
		s.failed = append(s.failed, failure)
	} else {
		s.more++
	}
	s.mu.Unlock()
	log(context.Background(), s.logger, slog.LevelWarn, "a task has failed, its siblings run on", b.task.Scope(), b.task, err)
}

// An interruption is the error of a sibling that has ended because it was canceled. Its
// cause can be any error, so it needs a type by which ended can distinguish it from a
// failure. If the timeout of the task has canceled the sibling, package traigo replaces the
// interruption by a TimeoutError.
type interruption struct{ cause error }

func (e *interruption) Error() string { return e.cause.Error() }
func (e *interruption) Unwrap() error { return e.cause }

func isInterruption(err error) bool {
	_, is := err.(*interruption) //nolint:errorlint // an error that wraps the one of another task is a failure
	return is
}

// runInScope runs fn in a scope of its own, and returns when everything in the scope has
// ended. No other scope gets an error of it.
//
// It returns the error of the scope, or the scope's whole outcome if there are several.
// If the end of ctx has ended the scope, and nothing has failed, canceled is true, and
// the error is nil if fn has returned nil, and otherwise the cause of ctx.
func runInScope(ctx context.Context, fn func(context.Context) error, opts ...traigo.ScopeOption) (canceled bool, err error) {
	var own error
	err = traigo.Run(ctx, func(ctx context.Context, _ *traigo.Scope) error {
		own = fn(ctx)
		return own
	}, opts...)
	e, failed := errors.AsType[*traigo.Error](err)
	switch {
	case !failed || len(e.Others) > 0:
		return false, err
	case ctx.Err() == nil || !isParentCanceled(e.Err):
		return false, e.Err
	case own == nil:
		return true, nil
	default:
		return true, context.Cause(ctx)
	}
}

// isParentCanceled reports whether err, the Err of an outcome, says that the scope has
// ended with its parent.
func isParentCanceled(err error) bool {
	c, ok := err.(*traigo.Cancellation) //nolint:errorlint // one that is wrapped comes from another scope
	return ok && c.Kind == traigo.ParentCanceled
}

// join adds errors to the outcome of the scope at path, and more to its count. If there
// is no outcome, the first error becomes its Err. If Others gets too long, join keeps the
// first maxKept errors, but every *traigo.StuckError before all others: it names
// goroutines that still run.
func join(path string, outcome error, errs []error, more int) error {
	if len(errs) == 0 && more == 0 {
		return outcome
	}
	joined := &traigo.Error{Scope: path}
	if e, ok := errors.AsType[*traigo.Error](outcome); ok {
		*joined = *e // a copy: other code may hold the outcome
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
