package oteltraigo

import (
	"fmt"

	"github.com/traigo/traigo"
)

// The values of traigo.outcome.
const (
	resultOK       = "ok"
	resultFailed   = "failed"
	resultTimeout  = "timeout"
	resultPanicked = "panicked"
	resultCanceled = "canceled"
	resultGivenUp  = "given_up"
)

// An outcome says how a task or a scope has ended.
type outcome struct {
	result string
	err    error  // of the function, or the outcome of the scope
	cause  error  // why it was canceled; nil if it was not
	kind   string // of the cancellation of a scope; "" if that was simply complete
}

// outcomeOf returns the outcome of a task that has ended with err.
func outcomeOf(t *traigo.Task, err error) outcome {
	o := outcome{result: resultOK, err: err, cause: t.Cause()}
	switch {
	case err == nil:
	case !t.Failed():
		o.result = resultCanceled
	case isPanic(err):
		o.result = resultPanicked
	case isTimeoutOf(t, o.cause):
		o.result = resultTimeout
	default:
		o.result = resultFailed
	}
	return o
}

// givenUp returns the outcome of a task that its scope no longer waits for.
func givenUp(t *traigo.Task, err error) outcome {
	return outcome{result: resultGivenUp, err: err, cause: t.Cause()}
}

// outcomeOfScope returns the outcome of a scope that was canceled for c, as every scope is
// before it is closed.
func outcomeOfScope(c *traigo.Cancellation, err error) outcome {
	o := outcome{result: resultOK, err: err}
	if c.Kind != traigo.Completed {
		o.cause, o.kind = c, c.Kind.String()
	}
	switch {
	case err == nil:
	case c.Kind == traigo.Panicked:
		o.result = resultPanicked
	case c.Kind == traigo.TimedOut:
		o.result = resultTimeout
	case isOnlyParentCanceled(err):
		o.result = resultCanceled
	default:
		o.result = resultFailed
	}
	return o
}

func (o outcome) isFailure() bool { return o.result != resultOK && o.result != resultCanceled }

// mayCancel reports whether a task with these flags and this outcome cancels its scope, as
// far as that can be told: under PanicAsError it may be that a panic does not.
func (o outcome) mayCancel(flags traigo.TaskFlags) bool {
	return flags.Master || o.isFailure() && (flags.Bubble || o.result == resultPanicked)
}

// errorType returns the value of error.type for a failure.
func (o outcome) errorType() string {
	if o.err == nil {
		return "_OTHER" // by convention
	}
	err := rootOf(o.err)
	if remote, ok := err.(*traigo.RemoteError); ok && remote != nil {
		return remote.Type
	}
	return fmt.Sprintf("%T", err)
}

func isPanic(err error) bool {
	_, is := err.(*traigo.PanicError)
	return is
}

// isTimeoutOf reports whether cause is that the Timeout of t itself has passed.
func isTimeoutOf(t *traigo.Task, cause error) bool {
	c, ok := cause.(*traigo.Cancellation)
	return ok && c.Kind == traigo.TimedOut && c.Task != "" && c.Task == t.Path()
}

// isOnlyParentCanceled reports whether err, the outcome of a scope, says no more than that.
func isOnlyParentCanceled(err error) bool {
	e, ok := err.(*traigo.Error)
	if !ok || len(e.Others) > 0 || e.More > 0 {
		return false
	}
	c, ok := e.Err.(*traigo.Cancellation)
	return ok && c.Kind == traigo.ParentCanceled
}

// maxDepth bounds the walk down an error, which may contain itself.
const maxDepth = 100

// rootOf returns the error that began err: of the outcome of a scope the one that canceled
// it, of joined errors the first. Of errors that wrap another it looks into those of
// package traigo, errors and fmt.
func rootOf(err error) error {
	for range maxDepth {
		inner := beganBy(err)
		if inner == nil {
			break
		}
		err = inner
	}
	return err
}

func beganBy(err error) error {
	switch e := err.(type) {
	case *traigo.Error:
		if e != nil {
			return e.Err
		}
	case *traigo.TaskError:
		if e != nil {
			return e.Err
		}
	case *traigo.Cancellation:
		if e != nil {
			return e.Err
		}
	case interface{ Unwrap() error }:
		if fmt.Sprintf("%T", err) == "*fmt.wrapError" {
			return e.Unwrap()
		}
	case interface{ Unwrap() []error }:
		if is := fmt.Sprintf("%T", err); is == "*errors.joinError" || is == "*fmt.wrapErrors" {
			return e.Unwrap()[0]
		}
	}
	return nil
}

// textOf returns the text of err. Package fmt makes it, because the Error method of a
// user's error may panic. Of a panic it is the value: the stack has an attribute of its own.
func textOf(err error) string {
	if p, ok := err.(*traigo.PanicError); ok && p != nil && p.Recovered != nil {
		return fmt.Sprintf("panic: %v", p.Recovered.Value)
	}
	if err == nil {
		return ""
	}
	return fmt.Sprint(err)
}

// stackOf returns the stack of the panic, or of the task that was given up, that began err;
// "" if there is none.
func stackOf(err error) string {
	switch e := rootOf(err).(type) {
	case *traigo.PanicError:
		if e != nil && e.Recovered != nil {
			return string(e.Recovered.Stack)
		}
	case *traigo.StuckError:
		if e != nil && len(e.Tasks) > 0 {
			return e.Tasks[0].Stack
		}
	}
	return ""
}
