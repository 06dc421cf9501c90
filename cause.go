package traigo

import (
	"context"
	"reflect"
	"slices"
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

	ctxErr error         // what Err of the context returns, when it does not follow from Kind
	origin *Cancellation // the cause of a scope above, of which this is a copy: see withoutOthers
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
	if c.origin != nil && target == error(c.origin) {
		return true
	}
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
	short  error           // the cause as the outcomes of scopes below hold it
	std    context.Context // see standard
	ctxErr error           // what Err of the contexts returns
}

// outerEnding is the end of a context that is not ours.
func outerEnding(ctx context.Context, err error) *ending {
	e := &ending{reason: reason{kind: ParentCanceled, err: causeOf(ctx)}}
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
	return &explanation{cause, withoutOthers(cause), ctx, ctxErr}
}

// withoutOthers is a cause without what its error holds besides: of the outcome of a nested scope
// the error that began it is kept, and the errors that came later are not. Otherwise the
// outcome of each scope that is canceled because of it would hold them all, and each of
// those outcomes may be among the later errors of the next.
func withoutOthers(cause error) error {
	c, ok := cause.(*Cancellation)
	if !ok {
		return cause
	}
	err := c.Err
	for {
		if inner, ok := err.(*Error); ok && inner != nil && inner.Err != nil {
			err = inner.Err
		} else if inner, ok := err.(*TaskError); ok && inner != nil && isA[*Error](inner.Err) {
			err = inner.Err
		} else if inner, ok := err.(*Cancellation); ok && inner != nil && inner != c {
			err = withoutOthers(inner)
			break
		} else {
			break
		}
	}
	if same(err, c.Err) {
		return c
	}
	short := *c
	short.Err, short.origin = err, c
	return &short
}

func isA[E error](err error) bool {
	_, is := err.(E)
	return is
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
		c.Err = e.explain().short
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

// maxNodes is how many errors of a tree are looked at. A tree with more of them, or one that
// contains itself, is a failure like any other.
const maxNodes = 10_000

// isConsequence reports whether err, returned in s after e had ended the scope or a task,
// says nothing but that: every leaf of its tree is what ctx.Err returned, a
// *Cancellation, or the cause itself, or a CanceledIf function says so. s may be nil. A
// method of a user's error that panics makes it a failure.
func (e *ending) isConsequence(err error, s *Scope) (is bool) {
	if err == nil || same(err, e.ctxErr()) {
		return true
	}
	defer func() {
		if recover() != nil {
			is = false
		}
	}()
	pending := []branch{{err, err}}
	for n := 0; len(pending) > 0; n++ {
		b := pending[len(pending)-1]
		pending = pending[:len(pending)-1]
		if n == maxNodes || !e.explains(b, s, &pending) {
			return false
		}
	}
	return true
}

// A branch is an error in a tree, and the outermost of the errors that wrap it and nothing
// else: a CanceledIf function is asked for both.
type branch struct{ top, err error }

// explains looks at one error. What it wraps is left to the caller.
func (e *ending) explains(b branch, s *Scope, pending *[]branch) bool {
	if b.err == nil || same(b.err, e.ctxErr()) || isCause(b.err, e.callerErr()) {
		return true
	}
	switch x := b.err.(type) {
	case *Cancellation:
		return true
	case *PanicError, *TimeoutError:
		return s.isCanceledIf(b) // whatever the value of the panic is
	case interface{ Unwrap() error }:
		if inner := x.Unwrap(); inner != nil {
			*pending = append(*pending, branch{b.top, inner})
			return true
		}
	case interface{ Unwrap() []error }:
		inner := x.Unwrap()
		for _, err := range inner {
			*pending = append(*pending, branch{err, err})
		}
		if len(inner) > 0 {
			return true
		}
	}
	if x, ok := b.err.(interface{ Is(target error) bool }); ok && x.Is(e.ctxErr()) {
		return true // the errors of package net, for instance
	}
	return s.isCanceledIf(b)
}

// isCanceledIf asks the CanceledIf functions, from the scope upward.
func (s *Scope) isCanceledIf(b branch) bool {
	if s == nil {
		return false
	}
	for _, is := range slices.Backward(s.settings.canceledIf) {
		if is(b.err) || !same(b.top, b.err) && is(b.top) {
			return true
		}
	}
	return false
}

// callerErr is the error as the caller passed it to Cancel, or the cause of an outer
// context, also where that was derived from a context of ours. It is nil for failures of
// tasks: another task that returns the same sentinel has failed too.
func (e *ending) callerErr() error {
	e = e.first()
	switch e.kind {
	case Requested, TimedOut, ParentCanceled:
	default:
		return nil
	}
	err := e.err
	for range maxNodes {
		c, ok := err.(*Cancellation)
		if !ok || c == nil || c.Err == nil || c.Kind != Requested && c.Kind != TimedOut && c.Kind != ParentCanceled {
			break
		}
		err = c.Err
	}
	return err
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
	return a != nil && b != nil && reflect.ValueOf(b).Comparable() && reflect.ValueOf(a).Comparable() && a == b
}

// isCause is same, and for errors of one type that == panics for: deeply equal.
func isCause(a, b error) bool {
	if a == nil || b == nil {
		return false
	}
	if reflect.ValueOf(b).Comparable() {
		return same(a, b)
	}
	return reflect.TypeOf(a) == reflect.TypeOf(b) && reflect.DeepEqual(a, b)
}

// find reports whether is holds for an error in the tree of err. It is errors.Is or
// errors.As for trees that may contain themselves, and whose methods may panic.
func find(err error, is func(error) bool) (found bool) {
	defer func() { _ = recover() }()
	pending := []error{err}
	for n := 0; len(pending) > 0 && n < maxNodes; n++ {
		err := pending[len(pending)-1]
		pending = pending[:len(pending)-1]
		if err == nil {
			continue
		}
		if is(err) {
			return true
		}
		switch x := err.(type) {
		case interface{ Unwrap() error }:
			pending = append(pending, x.Unwrap())
		case interface{ Unwrap() []error }:
			pending = append(pending, x.Unwrap()...)
		}
	}
	return false
}

func safeIs(err, target error) bool {
	return find(err, func(err error) bool { return same(err, target) })
}

func isStuck(err error) bool { return find(err, isA[*StuckError]) }

// causeOf is context.Cause of a context that is done. One whose Err is nil again, because
// it is used a second time, was canceled.
func causeOf(ctx context.Context) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return context.Canceled
}
