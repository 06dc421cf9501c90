package traigotest

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"github.com/traigo/traigo"
)

// A verdict is what there is to say of a scope that has closed.
type verdict struct {
	errors []string // a text for each
	note   string   // which task has ended the test
	stop   func()   // how the test is to be stopped; nil if it goes on
}

func (w *watch) verdict() (v verdict) {
	abandoned := w.close()
	w.mu.Lock()
	w.finished = true
	lost, left := w.lost, w.left
	w.mu.Unlock()

	r := reading{watch: w, told: map[string]bool{w.scope.Path(): true}}
	r.read(w.scope.Err(), w.scope.Path())
	for _, l := range lost {
		r.readLost(l)
	}
	if abandoned {
		r.addf("calls that Blocking has abandoned are still running:\n\n%v\n%s", w.scope.Snapshot(), strings.Join(callStacks(), "\n\n"))
	}
	v.errors = r.found
	switch {
	case len(left) > 0 && w.t.Failed():
		v.note, v.stop = "t.FailNow was called by "+tasks(left), w.t.FailNow
	case len(left) > 0:
		v.note, v.stop = "t.SkipNow was called by "+tasks(left), w.t.SkipNow
	case r.bodyPanicked:
		v.stop = w.t.FailNow
	}
	return v
}

// tell tells the test of it. Where the body has called t.FailNow, package testing
// finds no line of the caller's.
func (v verdict) tell(w *watch, bodyLeft bool) {
	w.t.Helper()
	for _, text := range v.errors {
		if bodyLeft {
			w.fail(text)
		} else {
			w.t.Error(text)
		}
	}
	switch {
	case bodyLeft && v.note != "":
		w.write(v.note)
	case v.note != "":
		w.t.Log(v.note)
	}
}

// fail is t.Error from somewhere else than below the call of Run.
func (w *watch) fail(text string) {
	w.t.Fail()
	w.write(text)
}

func (w *watch) write(text string) {
	_, _ = fmt.Fprintf(w.t.Output(), "%s: %s\n", w.at, strings.ReplaceAll(text, "\n", "\n    "))
}

// maxStacks is how many stacks a failure shows.
const maxStacks = 16

// describe returns what was running: the tree, and the stacks of those that are
// not shown elsewhere.
func (e *lateError) describe(elsewhere map[*traigo.Task]bool) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%v:\n\n%s", e, e.tree)
	shown := 0
	for _, s := range e.stacks {
		if elsewhere[s.task] {
			continue
		}
		shown++
		if shown > maxStacks {
			continue
		}
		who := "the body"
		if s.task != nil {
			who = fmt.Sprintf("task %q", s.task.Path())
		}
		fmt.Fprintf(&b, "\n%s:\n%s\n", who, indent(s.text))
	}
	if shown > maxStacks {
		fmt.Fprintf(&b, "\nand %d more stacks\n", shown-maxStacks)
	}
	return strings.TrimSuffix(b.String(), "\n")
}

func tasks(names []string) string {
	all := make([]string, len(names))
	for i, name := range names {
		all[i] = fmt.Sprintf("task %q", name)
	}
	return strings.Join(all, ", ")
}

// A lateError cancels the scope of a test that takes too long.
type lateError struct {
	when       string
	atDeadline bool // of the test: the process is about to be killed
	tree       string
	stacks     []stack
}

func (e *lateError) Error() string { return "still running " + e.when }

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
		if e.More > 0 {
			r.addf("scope %q: %d more errors", e.Scope, e.More)
		}
	case *traigo.TaskError:
		r.readTask(e.Err, scope+"/"+e.Task)
	case *traigo.PanicError:
		if e.Task != "" {
			r.readTask(e, e.Task)
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

// A testLog gives what the scope logs to its test.
type testLog struct{ w *watch }

// A lostError is one that the scope has logged, since nobody takes it.
type lostError struct {
	scope, why string
	err        error
}

func (testLog) Enabled(_ context.Context, level slog.Level) bool { return level >= slog.LevelWarn }

func (h testLog) WithAttrs([]slog.Attr) slog.Handler { return h }

func (h testLog) WithGroup(string) slog.Handler { return h }

func (h testLog) Handle(ctx context.Context, r slog.Record) error {
	text, lost := r.Message, lostError{why: strings.TrimPrefix(r.Message, "traigo: ")}
	r.Attrs(func(a slog.Attr) bool {
		switch v := a.Value.Any().(type) {
		case error:
			lost.err = v
		case string:
			switch a.Key {
			case "scope":
				lost.scope = v
			case "stack":
				text += "\n" + indent(ofTask(v))
				return true
			}
		}
		text += fmt.Sprintf("\n%s: %v", a.Key, a.Value)
		return true
	})
	h.w.mu.Lock()
	defer h.w.mu.Unlock()
	switch {
	case h.w.finished:
		return slog.Default().Handler().Handle(ctx, r)
	case r.Level < slog.LevelError || lost.err == nil:
		h.w.write(text)
	default:
		h.w.lost = append(h.w.lost, lost)
	}
	return nil
}
