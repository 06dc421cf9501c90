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
	// ErrRefused is the error of a task or a fork that was not accepted, and of which
	// nothing was run: its scope had been canceled, or it got no slot under a [Limit]. The
	// error wraps the cause as well.
	ErrRefused = errors.New("traigo: refused")

	// ErrGoexit is the error of a task that ended by runtime.Goexit, as
	// t.FailNow of package testing does.
	ErrGoexit = errors.New("traigo: the function called runtime.Goexit")

	// ErrNotReady is what Start returns for a function that returned without
	// an error and without having called ready.
	ErrNotReady = errors.New("traigo: the function returned without calling ready")
)

// maxKept is how many errors of one sort a scope keeps; of more it keeps the count.
const maxKept = 16

// An Error is the outcome of a scope that failed, whatever the number of
// errors. errors.Is and errors.As look into all of them. The error of a task is in it
// as a [*TaskError], the body's own as it was returned, a timeout as a
// [*TimeoutError], the end of the parent as a [*Cancellation].
type Error struct {
	Scope string // path of the scope

	// Err ended the scope. Where the scope ended quietly, by Cancel(nil), say, it is the
	// first error that is kept all the same: the body's own, a panic, a StuckError.
	Err    error
	Others []error // errors that came after Err: at most 16, in their order
	More   int     // how many came after those

	panicked *PanicError // the panic that Run, Wait and Close raise in place of the error
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
		return p.Error() // it names the task itself
	}
	text := ""
	if late, ok := e.Err.(*TimeoutError); ok {
		text = late.brief()
	} else if e.Err != nil {
		text = e.Err.Error()
	}
	return "task " + strconv.Quote(e.Task) + ": " + text
}

// Unwrap returns the error that the task's function returned.
func (e *TaskError) Unwrap() error { return e.Err }

// A TimeoutError says that a deadline set through this package has passed. errors.Is finds
// context.DeadlineExceeded in it, as in the error of any deadline; errors.As finds a
// TimeoutError only where the time of a scope, of a task, or of FailAfter and Shield is
// up, and Scope says whose.
type TimeoutError struct {
	Scope string        // path of the scope, or of the task, that ran out of time
	After time.Duration // how long it was given
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

// Timeout returns true, as net.Error has it.
func (e *TimeoutError) Timeout() bool { return true }

// A PanicError is a panic of a task on its way to whoever waits for the scope.
// It is the value with which Run, Wait and Close panic, or, with
// [PanicAsError], an error like any other. Its text has the stack of the panic
// once, however many scopes it has crossed.
type PanicError struct {
	Task      string // path of the task; "" for the body of Run
	Recovered *panics.Recovered

	logged uint32 // 1 once it has been logged; atomic, and no atomic.Bool, so that a PanicError can be copied
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

// Unwrap returns the value of the panic if it is an error.
func (e *PanicError) Unwrap() error {
	if e.Recovered == nil {
		return nil
	}
	err, _ := e.Recovered.Value.(error)
	return err
}

// newPanicError wraps what a deferred function has recovered: once, so that a
// panic that comes up through a nested scope stays the one it was.
func newPanicError(task string, value any) *PanicError {
	if e, ok := value.(*PanicError); ok {
		return e
	}
	recovered := panics.NewRecovered(2, value)
	return &PanicError{Task: task, Recovered: &recovered}
}

// A StuckError names the tasks that a scope gave up waiting for. Their
// goroutines are still running: Go has no way to stop one.
type StuckError struct {
	Tasks []StuckTask // at most 1,000

	more int // how many came after those
}

// A StuckTask is a task that did not end in time after it was canceled.
type StuckTask struct {
	Path  string
	Age   time.Duration // since it was spawned
	Stack string        // of its goroutine, when it was given up
}

func (e *StuckError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s did not end after cancel:", count(len(e.Tasks)+e.more, "task"))
	for _, t := range e.Tasks {
		fmt.Fprintf(&b, "\n%s", t)
	}
	return b.String()
}

// String returns the path and the age of the task, and its stack below them.
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

// within is the text of an error behind the words `scope "path": `, which the
// error then need not say again.
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
