package traigo

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/sourcegraph/conc/panics"
)

var (
	// ErrRefused is wrapped by the error of a task or fork that was not accepted: its
	// function was not called. The scope had been canceled, and the error wraps the cause
	// too, or the task got no slot under a [Limit].
	ErrRefused = errors.New("traigo: refused")

	// ErrGoexit is the error of a task or body that called runtime.Goexit, directly or
	// through t.FailNow of package testing.
	ErrGoexit = errors.New("traigo: the function called runtime.Goexit")

	// ErrNotReady is returned by [Scope.Start] if the function returned nil without
	// having called ready.
	ErrNotReady = errors.New("traigo: the function returned without calling ready")
)

// maxKept is the maximum number of errors of one kind that a scope stores.
const maxKept = 16

// An Error is the outcome of a scope that failed. It has one or more errors; errors.Is
// and errors.As examine all of them. An error of a task is wrapped in a [*TaskError]; an
// error of the body is unchanged; a timeout is a [*TimeoutError], the cancellation of the
// parent a [*Cancellation], and tasks that were given up are in a [*StuckError].
type Error struct {
	Scope string // path of the scope

	// Err is the error that canceled the scope. If the scope ended quietly, by
	// Cancel(nil) for example, Err is the first error that is reported nevertheless: an
	// error of the body or of Async, a panic, or a StuckError.
	Err    error
	Others []error // errors after Err, in the order of arrival; at most 16, but Race returns all
	More   int     // number of errors after those in Others, which are not stored

	panicked *PanicError // the value with which Run, Wait and Close panic instead of returning the Error; or nil
}

func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString("scope ")
	b.WriteString(strconv.Quote(e.Scope))
	b.WriteString(": ")
	b.WriteString(within(e.Scope, e.Err))
	for _, err := range e.Others {
		b.WriteString("; also: ")
		b.WriteString(within(e.Scope, err))
	}
	if e.More > 0 {
		fmt.Fprintf(&b, "; and %d more", e.More)
	}
	return b.String()
}

// Unwrap returns Err and Others.
func (e *Error) Unwrap() []error {
	return append([]error{e.Err}, e.Others...)
}

// A TaskError says which task of a scope an error comes from.
type TaskError struct {
	Task string // the task's name
	Err  error
}

func (e *TaskError) Error() string {
	if p, ok := e.Err.(*PanicError); ok && strings.HasSuffix(p.Task, "/"+e.Task) {
		return p.Error() // the text of p names the task
	}
	text := ""
	if late, ok := e.Err.(*TimeoutError); ok {
		text = late.brief()
	} else if e.Err != nil {
		text = e.Err.Error()
	}
	return "task " + strconv.Quote(e.Task) + ": " + text
}

// Unwrap returns e.Err.
func (e *TaskError) Unwrap() error { return e.Err }

// A TimeoutError says that a timeout set by [Timeout], [Scope.SetTimeout], [MoveOnAfter],
// [FailAfter] or [Shield] has expired. errors.Is(err, context.DeadlineExceeded) is true
// for it. Deadlines of other contexts do not cause a TimeoutError.
type TimeoutError struct {
	Scope string        // path of the scope or task that timed out or called FailAfter or Shield; "" if none
	After time.Duration // the timeout
}

func (e *TimeoutError) Error() string {
	if e.Scope == "" {
		return "traigo: " + e.brief()
	}
	return strconv.Quote(e.Scope) + " " + e.brief()
}

func (e *TimeoutError) brief() string { return "timed out after " + e.After.String() }

// Is reports whether target is context.DeadlineExceeded.
func (e *TimeoutError) Is(target error) bool { return target == context.DeadlineExceeded }

// Timeout returns true. It implements the method of net.Error.
func (e *TimeoutError) Timeout() bool { return true }

// A PanicError is a recovered panic of a task or a body. Run, Wait, Close and Shutdown
// panic with it or, with [PanicAsError], return it in the outcome. A PanicError that
// passes through several scopes is not wrapped again. Its text ends with the stack of the
// original panic.
type PanicError struct {
	Task      string // path of the task; "" for the body of Run
	Recovered *panics.Recovered

	logged uint32 // 1 once logged; accessed atomically. A uint32, so that a PanicError can be copied
}

func (e *PanicError) Error() string {
	who := "the body"
	if e.Task != "" {
		who = "task " + strconv.Quote(e.Task)
	}
	if e.Recovered == nil {
		return who + " panicked"
	}
	return fmt.Sprintf("%s panicked: %v\n\n%s", who, e.Recovered.Value, e.Recovered.Stack)
}

// Unwrap returns the value of the panic if that is an error, and nil otherwise.
func (e *PanicError) Unwrap() error {
	if e.Recovered == nil {
		return nil
	}
	err, _ := e.Recovered.Value.(error)
	return err
}

// newPanicError returns a PanicError for a value that its caller's deferred function has
// recovered. If value is a *PanicError, from a scope below, it is returned unchanged.
func newPanicError(task string, value any) *PanicError {
	if e, ok := value.(*PanicError); ok {
		return e
	}
	recovered := panics.NewRecovered(2, value)
	return &PanicError{Task: task, Recovered: &recovered}
}

// A StuckError names the tasks that a scope has given up: see [CancelTimeout]. Their
// goroutines were still running at that time.
type StuckError struct {
	Tasks []StuckTask // at most 1,000

	more int // number of tasks after those, which are not stored
}

// A StuckTask is a task that did not end within its [CancelTimeout].
type StuckTask struct {
	Path  string
	Age   time.Duration // time from the acceptance of the task until it was given up
	Stack string        // stack of its goroutine when it was given up; "" if that was not found
}

func (e *StuckError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s did not end after cancel:", count(len(e.Tasks)+e.more, "task"))
	for _, t := range e.Tasks {
		fmt.Fprintf(&b, "\n%s", t)
	}
	return b.String()
}

// String returns the path and the age of the task, and then its stack on indented lines.
func (t StuckTask) String() string {
	head := fmt.Sprintf("task %q, age %v", t.Path, t.Age.Round(time.Millisecond))
	if t.Stack == "" {
		return head
	}
	return head + "\n\t" + strings.ReplaceAll(strings.TrimSpace(t.Stack), "\n", "\n\t")
}

func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// within returns the text of err, to be written after `scope "path": `, without a
// repetition of the scope.
func within(path string, err error) string {
	switch e := err.(type) {
	case nil:
		return "no error"
	case *TimeoutError:
		if e.Scope == path {
			return e.brief()
		}
	case *Cancellation:
		if e.Scope == path {
			return e.reason()
		}
	}
	return err.Error()
}
