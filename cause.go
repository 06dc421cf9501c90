package traigo

import (
	"context"
	"errors"
	"reflect"
	"strconv"
	"strings"
	"sync/atomic"
)

// A CancelKind says what ended a scope, or a task alone.
type CancelKind uint8

const (
	TaskFailed     CancelKind = iota // a task failed and its error bubbled
	BodyFailed                       // the body of Run returned an error
	Requested                        // somebody called Cancel
	TimedOut                         // a Timeout expired
	ParentCanceled                   // the context it was opened under is done
	MasterEnded                      // a master task ended
	Completed                        // nothing awaited was left
	Panicked                         // a task or the body panicked
)

var cancelKindNames = [...]string{
	"task failed", "body failed", "requested", "timeout",
	"parent canceled", "master ended", "completed", "panicked",
}

// String returns the kind in words, such as "task failed".
func (k CancelKind) String() string { return nameOf(cancelKindNames[:], k, "CancelKind") }

// MarshalText makes a CancelKind its words in JSON.
func (k CancelKind) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// UnmarshalText reads the words back.
func (k *CancelKind) UnmarshalText(text []byte) error {
	return named(cancelKindNames[:], k, text, "CancelKind")
}

// A Cancellation says why a scope, or one task of it, was canceled: what
// happened, where, and the error behind it. It is what [context.Cause] returns
// for the contexts of the scope and of everything below it.
//
// errors.Is finds in it what Err of the canceled context returns
// (context.Canceled or context.DeadlineExceeded), and the error behind it.
type Cancellation struct {
	Kind  CancelKind
	Scope string // path of the scope that was canceled
	Task  string // path of the task that was the reason; "" if none was
	Err   error  // the error behind it; nil for a quiet end

	ctxErr error // what Err of the context returns, when it does not follow from Kind
}

func (c *Cancellation) Error() string {
	return "scope " + strconv.Quote(c.Scope) + " canceled: " + c.reason()
}

// reason is the text without the scope, for errors that have named it already.
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

// Unwrap returns the error behind the cancellation.
func (c *Cancellation) Unwrap() error { return c.Err }

func ctxErrOf(k CancelKind) error {
	if k == TimedOut {
		return context.DeadlineExceeded
	}
	return context.Canceled
}

// A reason is what can end a scope, or one task of it.
type reason struct {
	kind CancelKind
	task *Task   // the task that failed, panicked, or was canceled alone
	err  error   // the error behind it; for an outer context its cause
	up   *ending // the ending of the scope or task above, for ParentCanceled
}

// An ending is the reason that came first. It is recorded once, under the lock
// of the scope and before anything is canceled, and is read without that lock.
type ending struct {
	reason
	scope *Scope

	// Made when somebody asks why: most scopes end because they are complete, and nobody
	// does. A text with paths and a standard context are five allocations.
	made atomic.Pointer[explanation]
}

// An explanation is an ending in the form in which people and package context ask for it.
type explanation struct {
	cause  error           // what context.Cause returns
	std    context.Context // see standard
	ctxErr error           // what Err of the contexts returns
}

// outerEnding is the end of a context that is not ours.
func outerEnding(ctx context.Context, err error) *ending {
	e := &ending{reason: reason{kind: ParentCanceled, err: context.Cause(ctx)}}
	e.made.Store(newExplanation(e.err, err))
	return e
}

// below is the reason that e is for a scope or task under it.
func (e *ending) below() reason { return reason{kind: ParentCanceled, up: e} }

// first is the ending further out from which e follows; e itself if it follows from none.
func (e *ending) first() *ending {
	for e.up != nil {
		e = e.up
	}
	return e
}

// Cause is what context.Cause returns below: the first cause, the same value everywhere.
func (e *ending) Cause() error { return e.explain().cause }

// standard is a canceled context of package context that carries the cause:
// context.Cause asks a context for the nearest one of its own kind.
func (e *ending) standard() context.Context { return e.explain().std }

// explain returns the explanation that was made first.
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

// ctxErr is what Err of the contexts returns.
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

// failure is the error that the ending gives to the outcome of its scope: nil
// for a quiet one.
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

// isConsequence reports whether err, returned after e had ended its scope or task, says
// nothing but that: every leaf of its tree is what ctx.Err returned, a
// *Cancellation, or the cause itself.
func (e *ending) isConsequence(err error) (is bool) {
	defer func() {
		if recover() != nil { // a method of a user's error has panicked
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
		return false // whatever its value is
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

// callerErr is the error as the caller passed it to Cancel, or the cause of an outer
// context. It is nil for failures of tasks: another task that returns the same sentinel
// has failed too.
func (e *ending) callerErr() error {
	switch e = e.first(); e.kind {
	case Requested, TimedOut, ParentCanceled:
		return e.err
	default:
		return nil
	}
}

// text is the reason in words. Whoever looks at a tree must not fail by one bad error in
// it, and a log record each time would not help.
func (e *ending) text() (text string) {
	defer func() {
		if recover() != nil {
			text = e.kind.String() + ": an error whose Error panics"
		}
	}()
	return e.cancellation().reason()
}

// same is ==, also for errors of types that == would panic for.
func same(a, b error) bool {
	return a != nil && b != nil && reflect.ValueOf(b).Comparable() && a == b
}

// safeIs is errors.Is, and isStuck looks for a *StuckError, for trees in which a
// method of a user's error may panic.
func safeIs(err, target error) (is bool) {
	defer func() { _ = recover() }()
	return errors.Is(err, target)
}

func isStuck(err error) (is bool) {
	defer func() { _ = recover() }()
	_, is = errors.AsType[*StuckError](err)
	return is
}
