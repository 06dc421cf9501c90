package traigotest

import (
	"fmt"
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
