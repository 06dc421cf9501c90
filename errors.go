package traigo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/sourcegraph/conc/panics"

	"github.com/traigo/traigo/internal/stackdump"
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

// Error returns one line. Of scopes that have failed because of each other it names the
// innermost: the text is that of the error that began it, and then, after "; also: ", the
// errors that came later in any of them. The format %+v and [slog.LogValuer] give the rest.
func (e *Error) Error() string {
	at, others, more := e.innermost()
	var b strings.Builder
	b.WriteString("scope ")
	b.WriteString(strconv.Quote(at.Scope))
	b.WriteString(": ")
	b.WriteString(within(at.Scope, at.Err))
	for _, err := range others {
		b.WriteString("; also: ")
		b.WriteString(at.besides(err))
	}
	if more > 0 {
		fmt.Fprintf(&b, "; and %d more", more)
	}
	return b.String()
}

// innermost follows the errors that canceled e and the scopes below it to the first of
// them. It returns the errors that came later as well, and how many more there were.
func (e *Error) innermost() (at *Error, others []error, more int) {
	for at = e; ; {
		others, more = append(slices.Clip(at.Others), others...), more+at.More
		err := at.Err
		if t, ok := err.(*TaskError); ok && t != nil {
			err = t.Err
		}
		below, ok := onlyOf(err).(*Error)
		if !ok || below == nil || len(others) > maxNodes {
			return at, others, more
		}
		at = below
	}
}

// onlyOf returns the error that errors.Join was given if it was given one, as in
// errors.Join(err, file.Close()), and otherwise err.
func onlyOf(err error) error {
	if reflect.TypeOf(err) == joinType {
		if list := err.(interface{ Unwrap() []error }).Unwrap(); len(list) == 1 {
			return list[0]
		}
	}
	return err
}

var joinType = reflect.TypeOf(errors.Join(ErrRefused))

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
	switch inner := e.Err.(type) {
	case *PanicError:
		if inner != nil && strings.HasSuffix(inner.Task, "/"+e.Task) {
			return inner.line() // it names the task itself
		}
	case *TimeoutError:
		if inner != nil {
			return "task " + strconv.Quote(e.Task) + ": " + inner.brief()
		}
	}
	return "task " + strconv.Quote(e.Task) + ": " + textOf(e.Err)
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
// passes through several scopes is not wrapped again.
type PanicError struct {
	Task      string // path of the task; "" for the body of Run
	Recovered *panics.Recovered

	state uint32 // bits; accessed atomically. No atomic.Uint32, so that a PanicError can be copied
}

// Error returns one line, without the stack; or with it, once Run, Wait or Close has
// panicked with e: a crash shows no more than this text.
func (e *PanicError) Error() string {
	if atomic.LoadUint32(&e.state)&isRaised == 0 || e.Recovered == nil {
		return e.line()
	}
	return e.line() + "\n\n" + stackdump.Fold(string(e.Recovered.Stack))
}

func (e *PanicError) line() string {
	who := "the body"
	if e.Task != "" {
		who = "task " + strconv.Quote(e.Task)
	}
	if e.Recovered == nil {
		return who + " panicked"
	}
	return who + " panicked: " + oneLine(fmt.Sprint(e.Recovered.Value))
}

// The bits of the state of a PanicError.
const (
	isLogged uint32 = 1 << iota
	isRaised
)

// mark sets a bit of the state, and reports whether it was not set before.
func (e *PanicError) mark(bit uint32) bool {
	return atomic.OrUint32(&e.state, bit)&bit == 0
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

// Error returns one line that names each task and its age. Where they are comes with %+v.
func (e *StuckError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s did not end after cancel: ", count(len(e.Tasks)+e.more, "task"))
	for i, t := range e.Tasks {
		if i > 0 {
			b.WriteString("; ")
		}
		b.WriteString(t.line())
	}
	if e.more > 0 {
		fmt.Fprintf(&b, "; and %d more", e.more)
	}
	return b.String()
}

func (t StuckTask) line() string {
	return fmt.Sprintf("task %q, age %v", t.Path, t.Age.Round(time.Millisecond))
}

// String returns the path and the age of the task, and then its stack on indented lines.
func (t StuckTask) String() string { return t.line() + indented(stackdump.Fold(t.Stack)) }

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
		if e != nil && e.Scope == path {
			return e.brief()
		}
	case *Cancellation:
		if e != nil && e.Scope == path && !e.isOfTask() {
			return e.reason()
		}
	}
	return textOf(err)
}

// textOf returns the text of any error as one line. A method of the error may panic: that
// of a typed nil, for example.
func textOf(err error) (text string) {
	defer func() {
		if value := recover(); value != nil {
			text = fmt.Sprintf("%T, whose Error panics: %s", err, oneLine(fmt.Sprint(value)))
		}
	}()
	switch e := err.(type) {
	case nil:
		return "no error"
	case *PanicError:
		return e.line()
	default:
		return oneLine(err.Error())
	}
}

// oneLine joins the lines of a text.
func oneLine(text string) string {
	if !strings.ContainsAny(text, "\n\r") {
		return text
	}
	var lines []string
	for line := range strings.FieldsFuncSeq(text, func(r rune) bool { return r == '\n' || r == '\r' }) {
		if line = strings.TrimSpace(line); line != "" {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "; ")
}

// detail returns a text of several lines, if there is more to say than textOf does: each
// error of an outcome, or of errors.Join, on a line of its own, and the stacks.
func detail(err error) string {
	switch e := err.(type) {
	case *Error:
		if e == nil {
			break
		}
		first := detail(e.Err)
		if len(e.Others)+e.More == 0 && !strings.Contains(first, "\n") {
			return e.Error() // there is no more to say
		}
		var b strings.Builder
		b.WriteString("scope " + strconv.Quote(e.Scope) + ":" + indented(first))
		for _, other := range e.Others {
			b.WriteString(indented(detail(other)))
		}
		if e.More > 0 {
			b.WriteString(indented(fmt.Sprintf("and %d more", e.More)))
		}
		return b.String()
	case *TaskError:
		if e == nil || isA[*PanicError](e.Err) {
			break
		}
		inner := detail(e.Err)
		if strings.Contains(inner, "\n") {
			return "task " + strconv.Quote(e.Task) + ":" + indented(inner)
		}
	case *PanicError:
		if e != nil && e.Recovered != nil {
			return e.line() + indented(stackdump.Fold(string(e.Recovered.Stack)))
		}
	case *StuckError:
		if e == nil {
			break
		}
		var b strings.Builder
		b.WriteString(count(len(e.Tasks)+e.more, "task") + " did not end after cancel:")
		for _, t := range e.Tasks {
			b.WriteString(indented(t.String()))
		}
		return b.String()
	case *Cancellation:
		if e == nil || e.Err == nil {
			break
		}
		if inner := detail(e.Err); strings.Contains(inner, "\n") {
			short := *e
			short.Err = nil
			return short.Error() + ":" + indented(inner)
		}
	case *RemoteError:
		if left := maxRemote; e != nil {
			return e.detail("", &left)
		}
	case fmt.Formatter: // of another package, which may have stacks, or the standard error of a process
		return strings.TrimSpace(fmt.Sprintf("%+v", e))
	case interface{ Unwrap() []error }:
		var lines []string
		for _, inner := range e.Unwrap() {
			lines = append(lines, detail(inner))
		}
		return strings.Join(lines, "\n")
	}
	if t, ok := err.(*TaskError); ok && t != nil && isA[*PanicError](t.Err) {
		return detail(t.Err)
	}
	return textOf(err)
}

// indented is text on lines of its own, further in.
func indented(text string) string {
	text = strings.TrimSpace(text)
	if text == "" {
		return ""
	}
	return "\n\t" + strings.ReplaceAll(text, "\n", "\n\t")
}

// safeDetail is detail for a tree that may contain itself, or whose methods may panic.
func safeDetail(err error) (text string) {
	defer func() {
		if recover() != nil {
			text = textOf(err)
		}
	}()
	if nodes := 0; find(err, func(error) bool { nodes++; return nodes == maxNodes }) {
		return textOf(err)
	}
	return detail(err)
}

// format implements fmt.Formatter for the errors of this package: %+v is the detail.
func format(f fmt.State, verb rune, err error) {
	switch {
	case verb == 'v' && f.Flag('+'):
		_, _ = io.WriteString(f, safeDetail(err))
	case verb == 'q':
		_, _ = io.WriteString(f, strconv.Quote(err.Error()))
	default:
		_, _ = io.WriteString(f, err.Error())
	}
}

// Format writes the error as Error does or, with %+v, with each error on a line of its own,
// and the stacks.
func (e *Error) Format(f fmt.State, verb rune) { format(f, verb, e) }

// LogValue returns the text of the format %+v.
func (e *Error) LogValue() slog.Value { return slog.StringValue(safeDetail(e)) }

// Format writes the error as Error does or, with %+v, with each error on a line of its own,
// and the stacks.
func (e *TaskError) Format(f fmt.State, verb rune) { format(f, verb, e) }

// LogValue returns the text of the format %+v.
func (e *TaskError) LogValue() slog.Value { return slog.StringValue(safeDetail(e)) }

// Format writes the error as Error does or, with %+v, with each error on a line of its own,
// and the stacks.
func (e *PanicError) Format(f fmt.State, verb rune) { format(f, verb, e) }

// LogValue returns the text of the format %+v.
func (e *PanicError) LogValue() slog.Value { return slog.StringValue(safeDetail(e)) }

// Format writes the error as Error does or, with %+v, with each error on a line of its own,
// and the stacks.
func (e *StuckError) Format(f fmt.State, verb rune) { format(f, verb, e) }

// LogValue returns the text of the format %+v.
func (e *StuckError) LogValue() slog.Value { return slog.StringValue(safeDetail(e)) }
