package actor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/proc"
)

var (
	// ErrNotServed is the error of Start and Spawn in a program that has not called [Serve].
	ErrNotServed = notServed()

	// ErrNotExposed is wrapped by the error of a call of a function that the actor does not
	// [Expose], or that its program does not have.
	ErrNotExposed = registered("traigo: the function is not exposed: pass it to actor.Expose")

	// ErrNotStarted is wrapped by the error of a [Conversation] whose function has returned nil
	// without calling started.
	ErrNotStarted = registered("traigo: the function of a Dialog has returned without calling started")

	// ErrNotFound is wrapped by the error of [Find] if there is no such actor.
	ErrNotFound = registered("traigo: no actor with that name can be found: it must be started with actor.Findable")

	// ErrOverrun is the error of a stream with [Overrun] of which too many items were not taken.
	ErrOverrun = registered("traigo: more items have come than actor.Overrun allows")
)

// registered returns an error that errors.Is finds in other processes.
func registered(text string) error {
	err := errors.New(text)
	traigo.RegisterError(err)
	return err
}

type notServedError struct{}

func (*notServedError) Error() string {
	return "traigo: actor.Serve was not called: make it the first statement of main, and of TestMain in tests"
}

// Unwrap makes it the error of package proc, too: the two Serves are one function.
func (*notServedError) Unwrap() error { return proc.ErrNotServed }

func notServed() error {
	err := &notServedError{}
	traigo.RegisterError(err)
	return err
}

//nolint:gochecknoinits // errors are registered before any can come
func init() {
	traigo.RegisterErrorType[*Error]()
	traigo.RegisterErrorType[*GoneError]()
	traigo.RegisterErrorType[*Canceled]()
	traigo.RegisterErrorType[*LaggedError]()
}

// An Error is a failure in another actor.
type Error struct {
	From ID    // where it began
	Path []ID  // the actors that it has crossed: From first, the one that was asked last
	Err  error // what it was: a [*traigo.RemoteError]
}

// Error names the actor where the failure began. It also names the one that was asked, if more
// was said on the way than which scopes and tasks it has crossed.
func (e *Error) Error() string {
	text := textOf(e.Err)
	if inner := innermost(e.Err); inner != "" {
		return inner
	}
	from := prefix(e.From)
	if strings.Contains(text, from) {
		if n := len(e.Path); n > 0 && e.Path[n-1] != e.From {
			return prefix(e.Path[n-1]) + text
		}
		return text
	}
	return from + text
}

// innermost returns the text of the *Error from further away that err is, if what is around
// it are scopes and tasks alone; "" otherwise.
func innermost(err error) string {
	for range 100 {
		e, ok := err.(*traigo.RemoteError)
		if !ok || e == nil {
			return ""
		}
		switch e.Type {
		case "*actor.Error":
			return e.Msg
		case "*traigo.Error", "*traigo.TaskError":
			if len(e.Causes) != 1 {
				return ""
			}
			err = e.Causes[0]
		default:
			return ""
		}
	}
	return ""
}

func prefix(id ID) string { return fmt.Sprintf("actor %q: ", id.Path) }

// Unwrap returns Err.
func (e *Error) Unwrap() error { return e.Err }

// Format writes the error as Error does or, with %+v, with all that Err says, and the path.
func (e *Error) Format(f fmt.State, verb rune) {
	var crossed strings.Builder
	for _, id := range e.Path {
		fmt.Fprintf(&crossed, "\nby way of %v", id)
	}
	format(f, verb, e.Error(), crossed.String(), e.Err)
}

// A GoneError says that an actor has ended, or cannot be reached.
type GoneError struct {
	Actor ID
	Err   error // how it has ended, if that is known: of a child, its exit status or signal
}

// Error returns one line.
func (e *GoneError) Error() string {
	return fmt.Sprintf("actor %q has gone: %s", e.Actor.Path, textOf(e.Err))
}

// Unwrap returns Err.
func (e *GoneError) Unwrap() error { return e.Err }

// Format writes the error as Error does or, with %+v, with what the actor has written on
// standard error.
func (e *GoneError) Format(f fmt.State, verb rune) { format(f, verb, e.Error(), "", e.Err) }

// A Canceled says that an actor, or one call in it, was canceled, and by whom. It is found in
// context.Cause of what was canceled, and is the error of those who use an actor that somebody
// else has canceled. errors.Is matches it with context.Canceled.
type Canceled struct {
	Actor ID
	By    ID    // who asked: the zero ID for a signal, Actor itself if its own scope has failed
	Err   error // the cause, which holds a *Canceled of its own if By was canceled itself

	isOwn bool // nobody has asked: the scope that it is in has ended
}

// Error returns one line.
func (e *Canceled) Error() string {
	by := fmt.Sprintf("by %q", e.By.Path)
	switch e.By {
	case ID{}:
		by = "by a signal"
	case e.Actor:
		by = "by its own failure"
	}
	text := fmt.Sprintf("actor %q was canceled %s", e.Actor.Path, by)
	if e.Err != nil {
		text += ": " + textOf(e.Err)
	}
	return text
}

// Unwrap returns Err.
func (e *Canceled) Unwrap() error { return e.Err }

// Is reports whether target is context.Canceled.
func (e *Canceled) Is(target error) bool { return target == context.Canceled }

// Format writes the error as Error does or, with %+v, with all that Err says.
func (e *Canceled) Format(f fmt.State, verb rune) { format(f, verb, e.Error(), "", e.Err) }

// A LaggedError is what a reader of a [Shared] gets instead of the items that it was too slow
// for.
type LaggedError struct{ Missed int }

// Error returns one line.
func (e *LaggedError) Error() string {
	return fmt.Sprintf("traigo: the reader was too slow: %d items were dropped", e.Missed)
}

// textOf returns the text of an error in one line; it may be nil.
func textOf(err error) string {
	if err == nil {
		return "for no reason that is known"
	}
	return strings.Join(strings.FieldsFunc(err.Error(), func(r rune) bool { return r == '\n' || r == '\r' }), " ")
}

func format(f fmt.State, verb rune, line, more string, inner error) {
	switch {
	case verb == 'v' && f.Flag('+'):
		_, _ = io.WriteString(f, line+indented(more))
		if inner != nil {
			_, _ = io.WriteString(f, indented("\n"+strings.TrimRight(fmt.Sprintf("%+v", inner), "\n")))
		}
	case verb == 'q':
		_, _ = fmt.Fprintf(f, "%q", line)
	default:
		_, _ = io.WriteString(f, line)
	}
}

func indented(text string) string { return strings.ReplaceAll(text, "\n", "\n\t") }

// failedIn returns the error of a failure that the actor with that id has told of.
func failedIn(id ID, remote *traigo.RemoteError) error {
	failure := &Error{From: id, Path: []ID{id}, Err: remote}
	if below, ok := errors.AsType[*Error](remote); ok {
		failure.From = below.From
		failure.Path = append(slices.Clone(below.Path), id)
		if remote.Type == fmt.Sprintf("%T", below) && below.Err != nil {
			failure.Err = below.Err // nothing was added on the way
		}
	}
	return failure
}

// foundIn is errors.AsType for errors that functions have made: one that contains itself, or whose
// methods panic, harms nothing.
func foundIn[T error](err error) (found T, ok bool) {
	left := 1000
	ok = foundWithin(err, &found, &left)
	return found, ok
}

func foundWithin[T error](err error, found *T, left *int) (ok bool) {
	defer func() { _ = recover() }()
	if *left--; err == nil || *left < 0 {
		return false
	}
	if *found, ok = err.(T); ok {
		return true
	}
	switch e := err.(type) {
	case interface{ Unwrap() error }:
		return foundWithin(e.Unwrap(), found, left)
	case interface{ Unwrap() []error }:
		return slices.ContainsFunc(e.Unwrap(), func(err error) bool { return foundWithin(err, found, left) })
	}
	return false
}

// isOnly reports whether err says nothing but that its context has ended, or that other has
// happened.
func isOnly(err, other error) bool {
	left := 100
	return isOnlyWithin(err, other, &left)
}

func isOnlyWithin(err, other error, left *int) (is bool) {
	defer func() {
		if recover() != nil { // a method of the error
			is = false
		}
	}()
	if *left--; err == nil || *left < 0 {
		return false
	}
	if same(err, other) || err == context.Canceled || err == context.DeadlineExceeded {
		return true
	}
	switch e := err.(type) {
	case *Canceled, *traigo.Cancellation:
		return true
	case interface{ Unwrap() error }:
		return isOnlyWithin(e.Unwrap(), other, left)
	case interface{ Unwrap() []error }:
		all := e.Unwrap()
		return len(all) > 0 && !slices.ContainsFunc(all, func(err error) bool { return !isOnlyWithin(err, other, left) })
	}
	return false
}

// same reports whether two errors are one. Of a type that == panics for, they are if they are
// deeply equal.
func same(a, b error) (is bool) {
	defer func() {
		if recover() != nil {
			is = reflect.DeepEqual(a, b) //nolint:govet // errors of values, as section 3 of the scopes has it
		}
	}()
	return a == b
}

// hasFailure reports whether err says more than that something was canceled, or that time is
// over.
func hasFailure(err error) bool {
	left := 100
	return hasFailureWithin(err, &left)
}

func hasFailureWithin(err error, left *int) (has bool) {
	defer func() {
		if recover() != nil { // a method of the error
			has = true
		}
	}()
	if *left--; err == nil || *left < 0 || err == context.Canceled || err == context.DeadlineExceeded {
		return false
	}
	var inner []error
	switch e := err.(type) {
	case *Canceled:
		inner = []error{e.Err}
	case *traigo.Cancellation:
		inner = []error{e.Err}
	case interface{ Unwrap() error }:
		if inner = []error{e.Unwrap()}; inner[0] == nil {
			return true
		}
	case interface{ Unwrap() []error }:
		if inner = e.Unwrap(); len(inner) == 0 {
			return true
		}
	default:
		return true
	}
	return slices.ContainsFunc(inner, func(err error) bool { return hasFailureWithin(err, left) })
}

// An exit is how the process of an actor has ended.
type exit struct{ broken *proc.BrokenWorkerError }

// Error returns the status, and what the process has said about it: the line that reports a
// crash, or else the last line on its standard error.
func (e *exit) Error() string {
	b := e.broken
	status := "it did not start"
	if b.State != nil {
		status = b.State.String()
	}
	switch line := lastLine(b.Stderr); {
	case b.Err != nil && !errors.Is(b.Err, proc.ErrNotServed): // that is said by who wraps this
		status += ": " + textOf(b.Err)
	case line != "":
		status += ": " + line
	}
	return status
}

// Unwrap returns the error of package proc.
func (e *exit) Unwrap() error { return e.broken }

// Format writes, for %+v, all that is kept of the standard error.
func (e *exit) Format(f fmt.State, verb rune) { format(f, verb, e.Error(), "", e.broken) }

// lastLine returns the line by which a program reports its crash, or else the last one. What was
// logged before is no such report.
func lastLine(text string) (last string) {
	var crash string
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if isCrash(line) {
			crash = line
		}
		if line != "" {
			last = line
		}
	}
	return cmp.Or(crash, last)
}

// isCrash reports whether the runtime reports a crash by a line: "panic: …", "fatal error: …",
// "SIGSEGV: segmentation violation".
func isCrash(line string) bool {
	kind, _, ok := strings.Cut(line, ": ")
	return ok && (kind == "panic" || kind == "fatal error" || strings.HasPrefix(kind, "SIG") && kind == strings.ToUpper(kind) && !strings.Contains(kind, " "))
}
