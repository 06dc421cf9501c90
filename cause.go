package traigo

import (
	"context"
	"errors"
	"reflect"
	"strconv"
	"strings"
	"sync/atomic"
)

// A CancelKind says what canceled a scope, or a single task.
type CancelKind uint8

const (
	TaskFailed     CancelKind = iota // a task failed and its error bubbled
	BodyFailed                       // the body of Run returned an error
	Requested                        // Cancel, Close or Shutdown was called
	TimedOut                         // a Timeout expired
	ParentCanceled                   // the context that the scope was opened under is done
	MasterEnded                      // a master task ended
	Completed                        // the scope was finalized, and nothing awaited was left in it
	Panicked                         // a task or the body panicked
)

var cancelKindNames = [...]string{
	"task failed", "body failed", "requested", "timeout",
	"parent canceled", "master ended", "completed", "panicked",
}

// String returns the kind in words, such as "task failed".
func (k CancelKind) String() string { return nameOf(cancelKindNames[:], k, "CancelKind") }

// MarshalText returns the words, as [CancelKind.String] does.
func (k CancelKind) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// UnmarshalText is the inverse of MarshalText. It returns an error for unknown words.
func (k *CancelKind) UnmarshalText(text []byte) error {
	return named(cancelKindNames[:], k, text, "CancelKind")
}

// A Cancellation says why a scope, or a single task, was canceled. [context.Cause]
// returns it for the contexts of the scope or task and for all contexts below.
//
// errors.Is matches a Cancellation with what Err of the canceled context returns, that is
// context.Canceled or context.DeadlineExceeded, and with the errors that Err wraps.
type Cancellation struct {
	Kind  CancelKind
	Scope string // path of the scope that was canceled
	Task  string // path of the task that failed, panicked, was a master, or was canceled alone; "" if no task was the reason
	Err   error  // the error that canceled the scope; nil for a quiet end

	ctxErr error // what Err of the context returns; nil if Kind determines it
}

func (c *Cancellation) Error() string {
	return "scope " + strconv.Quote(c.Scope) + " canceled: " + c.reason()
}

// reason returns the text of c without the scope, for callers that have named the scope.
func (c *Cancellation) reason() string {
	var b strings.Builder
	b.WriteString(c.Kind.String())
	if c.Task != "" {
		b.WriteString(": task ")
		b.WriteString(strconv.Quote(c.Task))
	}
	if c.Err != nil {
		b.WriteString(": ")
		b.WriteString(c.Err.Error())
	}
	return b.String()
}

// Is reports whether target is what Err of the canceled context returns.
func (c *Cancellation) Is(target error) bool {
	if c.ctxErr != nil {
		return same(target, c.ctxErr)
	}
	return target == ctxErrOf(c.Kind)
}

// Unwrap returns c.Err.
func (c *Cancellation) Unwrap() error { return c.Err }

func ctxErrOf(k CancelKind) error {
	if k == TimedOut {
		return context.DeadlineExceeded
	}
	return context.Canceled
}

// A reason is a possible cause of the cancellation of a scope or a task.
type reason struct {
	kind CancelKind
	task *Task   // the task that failed, panicked, ended as a master, or was canceled alone; or nil
	err  error   // the error of the task, the body or the caller of Cancel; the cause of a foreign context; or nil
	up   *ending // for ParentCanceled: why the scope or task above was canceled; nil if that is a foreign context
}

// An ending is the first reason, for which the scope or task was canceled. It is recorded
// with mu held, before any context is done. It is then immutable, except for made, and
// read without a lock.
type ending struct {
	reason
	scope *Scope

	// Made when it is first needed. It costs five allocations, and for most scopes, which
	// end complete, it is never needed.
	made atomic.Pointer[explanation]
}

// An explanation is the part of an ending that other packages see.
type explanation struct {
	cause  error           // what context.Cause returns for the canceled contexts
	std    context.Context // a canceled context of package context: see standard
	ctxErr error           // what Err of the canceled contexts returns
}

// outerEnding returns the ending for a scope whose outer context is foreign and done. err
// is what Err of that context returned.
func outerEnding(ctx context.Context, err error) *ending {
	e := &ending{reason: reason{kind: ParentCanceled, err: context.Cause(ctx)}}
	e.made.Store(newExplanation(e.err, err))
	return e
}

// below returns the reason for a scope or task that is canceled because of e.
func (e *ending) below() reason { return reason{kind: ParentCanceled, up: e} }

// first follows e.up to the outermost ending and returns it; e itself if e.up is nil.
func (e *ending) first() *ending {
	for e.up != nil {
		e = e.up
	}
	return e
}

// Cause returns what context.Cause returns for the contexts that e canceled: the same
// value for all of them.
func (e *ending) Cause() error { return e.explain().cause }

// standard returns a context, made by package context, that was canceled with the cause.
// context.Cause finds it by Value: see valueOf.
func (e *ending) standard() context.Context { return e.explain().std }

// explain returns the explanation of e.first, and makes it on the first call.
func (e *ending) explain() *explanation {
	e = e.first()
	if x := e.made.Load(); x != nil {
		return x
	}
	e.made.CompareAndSwap(nil, newExplanation(e.cancellation(), ctxErrOf(e.kind)))
	return e.made.Load()
}

func newExplanation(cause, ctxErr error) *explanation {
	ctx, cancel := context.WithCancelCause(context.Background())
	cancel(cause)
	return &explanation{cause, ctx, ctxErr}
}

// ctxErr returns what Err of the canceled contexts returns.
func (e *ending) ctxErr() error {
	e = e.first()
	if e.kind == ParentCanceled {
		return e.explain().ctxErr
	}
	return ctxErrOf(e.kind)
}

func (e *ending) cancellation() *Cancellation {
	c := &Cancellation{Kind: e.kind, Scope: e.scope.Path(), Err: e.err, ctxErr: e.ctxErr()}
	if e.kind == ParentCanceled && e.up != nil {
		c.Err = e.up.Cause()
	}
	if e.task != nil {
		c.Task = e.task.Path()
	}
	return c
}

// failure returns the error that e adds to the outcome of its scope; nil if e is quiet.
func (e *ending) failure() error {
	switch e.kind {
	case ParentCanceled:
		return e.cancellation()
	case TaskFailed:
		return &TaskError{Task: e.task.Name(), Err: e.err}
	default:
		return e.err
	}
}

// isConsequence reports whether err, returned by a task or body that e has canceled, only
// reports that cancellation: every leaf of the tree of err is e.ctxErr, the error passed
// to Cancel, or a *Cancellation.
func (e *ending) isConsequence(err error) (is bool) {
	defer func() {
		if recover() != nil { // a method of an error in the tree panicked
			is = false
		}
	}()
	return e.explains(err)
}

func (e *ending) explains(err error) bool {
	if err == nil || same(err, e.ctxErr()) || same(err, e.callerErr()) {
		return true
	}
	switch x := err.(type) {
	case *Cancellation:
		return true
	case *PanicError:
		return false // also if its value is an error that e explains
	case interface{ Unwrap() error }:
		inner := x.Unwrap()
		return inner != nil && e.explains(inner)
	case interface{ Unwrap() []error }:
		inner := x.Unwrap()
		for _, err := range inner {
			if !e.explains(err) {
				return false
			}
		}
		return len(inner) > 0
	}
	return false
}

// callerErr returns the error that was passed to Cancel, the TimeoutError, or the cause
// of a foreign context. It returns nil if a task or the body failed: another task that
// returns the same error value has failed too.
func (e *ending) callerErr() error {
	switch e = e.first(); e.kind {
	case Requested, TimedOut, ParentCanceled:
		return e.err
	default:
		return nil
	}
}

// text returns the reason in words, for snapshots. It recovers from a panic of an error's
// Error method, so that one bad error does not break a snapshot.
func (e *ending) text() (text string) {
	defer func() {
		if recover() != nil {
			text = e.kind.String() + ": an error whose Error panics"
		}
	}()
	return e.cancellation().reason()
}

// same reports whether a and b are the same error. Unlike == it does not panic if their
// type is not comparable. It returns false for nil.
func same(a, b error) bool {
	return a != nil && b != nil && reflect.ValueOf(b).Comparable() && a == b
}

// safeIs is errors.Is, but returns false if a method of an error in the tree panics.
// isStuck does the same for errors.AsType[*StuckError].
func safeIs(err, target error) (is bool) {
	defer func() { _ = recover() }()
	return errors.Is(err, target)
}

func isStuck(err error) (is bool) {
	defer func() { _ = recover() }()
	_, is = errors.AsType[*StuckError](err)
	return is
}
