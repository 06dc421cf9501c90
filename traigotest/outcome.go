package traigotest

import (
	"fmt"
	"slices"
	"strings"

	"github.com/traigo/traigo"
)

// A reading takes an outcome apart: a text for each error that says something of
// its own.
type reading struct {
	*watch

	found        []string
	told         map[string]bool // the scopes of which it is told why they have ended
	bodyPanicked bool
}

func (r *reading) addf(format string, args ...any) {
	r.found = append(r.found, fmt.Sprintf(format, args...))
}

// read looks at what an error is, not at what it wraps: a text that a task has
// put around an error is part of what it says.
func (r *reading) read(err error, scope string) {
	switch e := any(err).(type) {
	case nil:
	case *traigo.Error:
		r.told[e.Scope] = true
		for _, err := range e.Unwrap() {
			r.read(err, e.Scope)
		}
		r.readMore(e)
	case *traigo.TaskError:
		r.readTask(e.Err, scope+"/"+e.Task)
	case *traigo.PanicError:
		if e.Task != "" {
			r.readTask(e, scope+"/"+e.Task)
			return
		}
		r.bodyPanicked = r.bodyPanicked || scope == r.scope.Path()
		r.addf("the body of %q panicked: %s", scope, describePanic(e))
	case *traigo.StuckError:
		for _, t := range e.Tasks {
			r.addf("task %q has not ended after it was canceled, and is left running:\n%s", t.Path, indent(ofTask(t.Stack)))
		}
	case *traigo.Cancellation:
		if up, ok := any(e.Err).(*traigo.Cancellation); !ok || e.Kind != traigo.ParentCanceled || !r.told[up.Scope] {
			r.addf("%v", e)
		}
	case *traigo.TimeoutError:
		r.addf("scope %v", e)
	case *lateError:
		if !r.toldBody {
			r.addf("%s", e.describe(r.stuck))
		}
	case *leftError:
	default:
		if !isGoexit(err) { // of the body: FailNow and SkipNow speak for themselves
			r.addf("scope %q: %v", scope, err)
		}
	}
}

// readTask looks at the error of a task.
func (r *reading) readTask(err error, path string) {
	switch e := any(err).(type) {
	case *traigo.Error: // of a scope inside, which has a longer path
		r.read(e, e.Scope)
	case *traigo.PanicError:
		r.addf("task %q panicked: %s", path, describePanic(e))
	case *traigo.TimeoutError:
		r.addf("task %q timed out after %v", path, e.After)
	default:
		switch {
		case !isGoexit(err):
			r.addf("task %q failed: %v", path, err)
		case !slices.Contains(r.left, path):
			r.addf("task %q called runtime.Goexit", path)
		}
	}
}

// readMore finds the count of the errors that an outcome does not hold: only its
// text has it.
func (r *reading) readMore(e *traigo.Error) {
	text := e.Error()
	_, count, found := strings.Cut(text[max(0, strings.LastIndex(text, "; and ")):], "; and ")
	if found && strings.HasSuffix(count, " more") && len(strings.Fields(count)) == 2 {
		r.addf("scope %q: %s errors", e.Scope, count)
	}
}

// readLost looks at an error that the scope has logged. The outcome of the scope
// itself, which is logged when body calls t.FailNow, has been looked at already.
func (r *reading) readLost(l lostError) {
	if _, is := any(l.err).(*traigo.Error); is && l.scope == r.scope.Path() {
		return
	}
	before := len(r.found)
	r.read(l.err, l.scope)
	for i := range r.found[before:] {
		r.found[before+i] += fmt.Sprintf("\n(scope %q: %s)", l.scope, l.why)
	}
}

// describePanic returns the value and the stack of a panic.
func describePanic(p *traigo.PanicError) string {
	if p.Recovered == nil {
		return "with nothing recorded"
	}
	return fmt.Sprintf("%v\n%s", p.Recovered.Value, indent(ofPanic(string(p.Recovered.Stack))))
}
