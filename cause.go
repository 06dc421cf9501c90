package traigo

import (
	"context"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/traigo/traigo/internal/stackdump"
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

	// At is a file and line, "main.go:45": of the call of Cancel, Close or Shutdown, known
	// only if the scope has an [Observer] or a [Logger] at DEBUG; of the panic; or of the
	// beginning of the body that failed. It is "" for every other kind.
	At string

	ctxErr error         // what Err of the context returns, when it does not follow from Kind
	origin *Cancellation // the cause of a scope above, of which this is a copy: see withoutOthers
}

// Error returns one line: of a scope, or of a task that was canceled alone, with the reason.
func (c *Cancellation) Error() string {
	if c.isOfTask() {
		return "task " + strconv.Quote(c.Task) + " canceled: " + c.reason()
	}
	return "scope " + strconv.Quote(c.Scope) + " canceled: " + c.reason()
}

// isOfTask reports whether one task was canceled, and not its scope.
func (c *Cancellation) isOfTask() bool {
	return c.Task != "" && (c.Kind == Requested || c.Kind == TimedOut)
}

// reason is the text without the scope or task, for errors that have named it already.
func (c *Cancellation) reason() string {
	var b strings.Builder
	b.WriteString(c.Kind.String())
	if c.Task != "" && !c.isOfTask() {
		b.WriteString(": task ")
		b.WriteString(strconv.Quote(c.Task))
	}
	if c.Err != nil {
		b.WriteString(": ")
		b.WriteString(textOf(c.Err))
	}
	return b.String()
}

// Is reports whether target is what Err of the canceled context returns.
func (c *Cancellation) Is(target error) bool {
	if c.origin != nil && c.origin.began(target) {
		return true
	}
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
	by   string  // for Requested: file and line of the caller, if the scope is watched
	up   *ending // for ParentCanceled: why the scope or task above was canceled; nil if that is a foreign context
}

// An ending is the first reason, for which the scope or task was canceled. It is recorded
// with mu held, before any context is done. It is then immutable, except for at and made,
// and read without a lock.
type ending struct {
	reason
	scope *Scope

	at stamp // when its tasks were notified, if there were any; protected by the mu of scope

	// Made when it is first needed. It costs five allocations, and for most scopes, which
	// end complete, it is never needed.
	made atomic.Pointer[explanation]
}

// An explanation is the part of an ending that other packages see.
type explanation struct {
	cause  error           // what context.Cause returns
	short  error           // the cause as the outcomes of scopes below hold it
	std    context.Context // see standard
	ctxErr error           // what Err of the contexts returns
}

// outerEnding returns the ending for a scope whose outer context is foreign and done. err
// is what Err of that context returned.
func outerEnding(ctx context.Context, err error) *ending {
	e := &ending{reason: reason{kind: ParentCanceled, err: causeOf(ctx)}}
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
	return &explanation{cause, withoutOthers(cause), ctx, ctxErr}
}

// withoutOthers is a cause without what its error holds besides: of the outcome of a nested
// scope the error that began it is kept, and the errors that came later are not. Otherwise
// the outcome of each scope that is canceled because of it would hold them all, and each of
// those outcomes may be among the later errors of the next.
func withoutOthers(cause error) error {
	c, ok := cause.(*Cancellation)
	if !ok || c == nil || c.Err == nil {
		return cause
	}
	first := c.Err
	for inner := begunBy(first); inner != nil; inner = begunBy(first) {
		first = inner
	}
	if first = withoutOthers(first); same(first, c.Err) {
		return c
	}
	short := *c
	short.Err, short.origin = first, c
	return &short
}

// begunBy returns the error that began err, if err is the outcome of a scope, or that of a
// task whose error is such an outcome; nil otherwise.
func begunBy(err error) error {
	switch e := err.(type) {
	case *Error:
		if e != nil {
			return e.Err
		}
	case *TaskError:
		if e != nil && isA[*Error](e.Err) {
			return e.Err
		}
	}
	return nil
}

// began reports whether target is c, or one of the errors through which its Err led to the
// one that began it: they are still found in a copy without the others.
func (c *Cancellation) began(target error) bool {
	for err, n := error(c), 0; err != nil && n < maxNodes; n++ {
		if same(err, target) {
			return true
		}
		if inner, ok := err.(*Cancellation); ok && inner != nil {
			err = inner.Err
		} else {
			err = begunBy(err)
		}
	}
	return false
}

func isA[E error](err error) bool {
	_, is := err.(E)
	return is
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
		c.Err = e.explain().short
	}
	if e.task != nil {
		c.Task = e.task.Path()
	}
	switch p, _ := e.err.(*PanicError); {
	case e.kind == Panicked && p != nil && p.Recovered != nil:
		c.At = stackdump.PlaceOf(string(p.Recovered.Stack)).At
	case e.kind == BodyFailed:
		c.At = stackdump.Function(e.scope.pc)
	default:
		c.At = e.by
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

// maxNodes is how many errors of a tree are looked at. A tree with more of them, or one that
// contains itself, is a failure like any other.
const maxNodes = 10_000

// isConsequence reports whether err, returned in s after e had ended the scope or a task,
// says nothing but that: every leaf of its tree is what ctx.Err returned, a
// *Cancellation, or the cause itself, or a CanceledIf function says so. s may be nil. A
// method of a user's error that panics makes it a failure.
func (e *ending) isConsequence(err error, s *Scope, or ...*ending) (is bool) {
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
		if n == maxNodes || !e.explains(b, s, or, &pending) {
			return false
		}
	}
	return true
}

// A branch is an error in a tree, and the outermost of the errors that wrap it and nothing
// else: a CanceledIf function is asked for both.
type branch struct{ top, err error }

// explains looks at one error. What it wraps is left to the caller.
func (e *ending) explains(b branch, s *Scope, or []*ending, pending *[]branch) bool {
	if b.err == nil || e.says(b.err) || slices.ContainsFunc(or, func(e *ending) bool { return e.says(b.err) }) {
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

// says reports whether err is what Err of the contexts returns, or the cause.
func (e *ending) says(err error) bool { return same(err, e.ctxErr()) || isCause(err, e.callerErr()) }

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

// text is the reason in words.
func (e *ending) text() string { return e.cancellation().reason() }

// same reports whether a and b are the same error. Unlike == it does not panic if their
// type is not comparable. It returns false for nil.
func same(a, b error) bool {
	if a == nil || b == nil {
		return false
	}
	if of := reflect.TypeOf(a); of != reflect.TypeOf(b) {
		return false
	} else if of.Kind() != reflect.Pointer && !reflect.ValueOf(a).Comparable() { // asked second: it allocates
		return false
	}
	return a == b
}

// isCause is same, and for errors of one type that == panics for: deeply equal.
func isCause(a, b error) bool {
	if a == nil || b == nil {
		return false
	}
	if reflect.ValueOf(b).Comparable() {
		return same(a, b)
	}
	return reflect.TypeOf(a) == reflect.TypeOf(b) && reflect.DeepEqual(a, b) //nolint:govet // == panics for them, and their methods are not asked
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
