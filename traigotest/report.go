package traigotest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"github.com/traigo/traigo"
)

// The report of a test whose scope has closed: the errors in the outcome of the scope,
// each with its path, and the errors and panics that the scope has logged as lost.

// A verdict is the result of a scope that has closed.
type verdict struct {
	errors []string // a message for each error
	note   string   // which tasks have called FailNow or SkipNow
	stop   func()   // FailNow or SkipNow; nil if the test goes on
}

func (w *watch) verdict() (v verdict) {
	abandoned := w.close()
	w.mu.Lock()
	w.finished = true
	lost, leavers := w.lost, w.leavers
	w.mu.Unlock()

	r := reader{watch: w, outcome: w.scope.Err(), explained: map[string]bool{w.scope.Path(): true}}
	r.read(r.outcome, w.scope.Path())
	for _, l := range lost {
		r.readLost(l)
	}
	if abandoned {
		r.addf("calls that Blocking has abandoned are still running:\n\n%v\n%s", w.scope.Snapshot(), strings.Join(callStacks(), "\n\n"))
	}
	v.errors = r.found
	switch {
	case len(leavers) > 0 && w.t.Failed():
		v.note, v.stop = "t.FailNow was called by "+tasks(leavers), w.t.FailNow
	case len(leavers) > 0:
		v.note, v.stop = "t.SkipNow was called by "+tasks(leavers), w.t.SkipNow
	case r.bodyPanicked:
		v.stop = w.t.FailNow
	}
	return v
}

// report fails the test with each error. If the body has called t.FailNow, Run is being
// unwound, and t.Error would not find the line of its call: fail writes that itself.
func (v verdict) report(w *watch, bodyLeft bool) {
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

// fail is t.Error for code that is not called by Run.
func (w *watch) fail(text string) {
	w.t.Fail()
	w.write(text)
}

func (w *watch) write(text string) {
	_, _ = fmt.Fprintf(w.t.Output(), "%s: %s\n", w.at, strings.ReplaceAll(text, "\n", "\n    "))
}

func tasks(names []string) string {
	all := make([]string, len(names))
	for i, name := range names {
		all[i] = fmt.Sprintf("task %q", name)
	}
	return strings.Join(all, ", ")
}

// A reader takes an outcome apart, and makes a message for each error in it that is not
// a mere consequence of another one.
type reader struct {
	*watch

	outcome      error // of the scope of the test
	found        []string
	explained    map[string]bool // paths of the scopes for which a message says why they ended
	bodyPanicked bool
}

func (r *reader) addf(format string, args ...any) {
	r.found = append(r.found, fmt.Sprintf(format, args...))
}

// read adds the messages for err, an error in the outcome of the scope at path scope.
// It goes by the type of err itself. An error that wraps one of these types is left
// whole, since the text that a task has put around it is part of the message.
func (r *reader) read(err error, scope string) {
	switch e := any(err).(type) {
	case nil:
	case *traigo.Error:
		r.explained[e.Scope] = true
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
		if up, ok := any(e.Err).(*traigo.Cancellation); !ok || e.Kind != traigo.ParentCanceled || !r.explained[up.Scope] {
			r.addf("%v", e)
		}
	case *traigo.TimeoutError:
		r.addf("scope %v", e)
	case *lateError:
		if !r.bodyReported {
			r.addf("%s", e.describe(r.stuck))
		}
	case *leftError: // the note says it
	default:
		if !isGoexit(err) { // of the body: the caller of FailNow or SkipNow has said why
			r.addf("scope %q: %v", scope, err)
		}
	}
}

// readTask adds the message for err, the error of the task at path.
func (r *reader) readTask(err error, path string) {
	switch e := any(err).(type) {
	case *traigo.Error: // of a scope that the task has run: its path is the longer one
		r.read(e, e.Scope)
	case *traigo.PanicError:
		r.addf("task %q panicked: %s", path, describePanic(e))
	case *traigo.TimeoutError:
		r.addf("task %q timed out after %v", path, e.After)
	default:
		switch {
		case !isGoexit(err):
			r.addf("task %q failed: %v", path, err)
		case !slices.Contains(r.leavers, path):
			r.addf("task %q called runtime.Goexit", path)
		}
	}
}

// readLost adds the messages for an error that the scope has logged, unless it is in the
// outcome of the scope of the test, which has been read already. When body calls t.FailNow
// that whole outcome is logged. The outcome of a scope that has been logged because nobody
// had asked for it may be asked for later, and be the error of a task.
func (r *reader) readLost(l lostError) {
	if e, is := any(l.err).(*traigo.Error); is && (l.scope == r.scope.Path() || errors.Is(r.outcome, e)) {
		return
	}
	if l.panicked {
		r.addf("%s: %s: %v\n%s", l.who(), l.why, l.value, indent(ofCallback(l.stack)))
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

// A lateError is the cause with which a scope is canceled that takes too long. It has
// the tree and the stacks from before the cancellation.
type lateError struct {
	when       string // completes the words "still running"
	atDeadline bool   // at the deadline of the test, where the process is killed
	tree       string
	stacks     []stack
}

func (e *lateError) Error() string { return "still running " + e.when }

// maxStacks bounds the number of stacks in a message.
const maxStacks = 16

// describe returns the tree and the stacks, without those of the tasks in elsewhere:
// these have messages of their own.
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

// A testLog is the slog.Handler of the scope. It writes warnings to the output of the
// test, and keeps lost errors for the verdict.
type testLog struct{ w *watch }

// A lostError is an error or a panic that the scope has logged at level ERROR, because
// nothing else reports it.
type lostError struct {
	scope, task string // the paths; task may be empty
	why         string // the message of the record
	err         error

	panicked bool // it is a panic: of value, with stack
	value    any
	stack    string
}

func (l lostError) who() string {
	if l.task != "" {
		return fmt.Sprintf("task %q", l.task)
	}
	return fmt.Sprintf("scope %q", l.scope)
}

func (testLog) Enabled(_ context.Context, level slog.Level) bool { return level >= slog.LevelWarn }

func (h testLog) WithAttrs([]slog.Attr) slog.Handler { return h }

func (h testLog) WithGroup(string) slog.Handler { return h }

func (h testLog) Handle(ctx context.Context, r slog.Record) error {
	text, lost := r.Message, lostError{why: strings.TrimPrefix(r.Message, "traigo: ")}
	r.Attrs(func(a slog.Attr) bool {
		switch a.Key {
		case "scope":
			lost.scope = a.Value.String()
		case "task":
			lost.task = a.Value.String()
		case "err":
			lost.err, _ = a.Value.Any().(error)
		case "panic":
			lost.panicked, lost.value = true, a.Value.Any()
		case "stack":
			lost.stack = a.Value.String()
			text += "\n" + indent(ofTask(lost.stack))
			return true
		}
		text += fmt.Sprintf("\n%s: %v", a.Key, a.Value)
		return true
	})
	h.w.mu.Lock()
	defer h.w.mu.Unlock()
	switch {
	case h.w.finished:
		return slog.Default().Handler().Handle(ctx, r)
	case r.Level < slog.LevelError || lost.err == nil && !lost.panicked:
		h.w.write(text)
	default:
		h.w.lost = append(h.w.lost, lost)
	}
	return nil
}
