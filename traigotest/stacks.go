package traigotest

import (
	"cmp"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strings"

	"github.com/traigo/traigo"
)

// Which stack is whose is seen by frames of package traigo that have the address
// of a task or a scope.
const (
	taskFrame = "github.com/traigo/traigo.(*Task).call("
	bodyFrame = "github.com/traigo/traigo.(*Scope).callBody("
	testFrame = "github.com/traigo/traigo/traigotest.(*watch).call("
	callFrame = "github.com/traigo/traigo.(*call).run("
)

// A stack is what a task does, or the body if task is nil.
type stack struct {
	task *traigo.Task
	text string
}

// stacks returns those of the body, if it runs, and of all running tasks, in the
// order of their spawning.
func (w *watch) stacks() (found []stack) {
	w.mu.Lock()
	inBody, tasks := w.inBody, slices.Collect(maps.Keys(w.running))
	w.mu.Unlock()
	slices.SortFunc(tasks, func(a, b *traigo.Task) int {
		return cmp.Or(cmp.Compare(a.Scope().ID(), b.Scope().ID()), cmp.Compare(a.ID(), b.ID()))
	})
	goroutines := dump()
	if inBody {
		for _, g := range goroutines {
			if text, ok := aboveOf(g, bodyFrame, w.scope); ok {
				found = append(found, stack{nil, ofTask(text)})
			}
		}
	}
	for _, t := range tasks {
		for _, g := range goroutines {
			if text, ok := aboveOf(g, taskFrame, t); ok {
				found = append(found, stack{t, text})
			}
		}
	}
	return found
}

// callStacks returns those of all calls of Blocking that are under way, also for
// other tests: nothing says whose they are.
func callStacks() (found []string) {
	for _, g := range dump() {
		if text, ok := above(g, callFrame); ok {
			found = append(found, indent(text))
		}
	}
	return found
}

func dump() (goroutines []string) {
	for size := 1 << 20; ; size *= 2 {
		buf := make([]byte, size)
		if n := runtime.Stack(buf, true); n < size || size >= 256<<20 {
			return strings.Split(string(buf[:n]), "\n\n")
		}
	}
}

// above returns the part of a goroutine's stack above a frame: what lies below
// is package traigo at work.
func above(goroutine, frame string) (text string, found bool) {
	text, _, found = strings.Cut(goroutine, frame)
	return strings.TrimSpace(text), found
}

// aboveOf is above for the frame that has a certain receiver.
func aboveOf(goroutine, frame string, receiver any) (text string, found bool) {
	text, rest, found := strings.Cut(goroutine, frame)
	address := fmt.Sprintf("%p", receiver)
	end := strings.IndexAny(rest, ",?)")
	return strings.TrimSpace(text), found && end >= 0 && rest[:end] == address
}

// ofTask is the stack of a task without what package traigo adds to it.
func ofTask(text string) string {
	text = strings.TrimSpace(text)
	for _, frame := range []string{taskFrame, testFrame} {
		if own, ok := above(text, frame); ok {
			text = own
		}
	}
	return text
}

// ofPanic is the stack of a panic, from what has panicked down to the function
// of the task, or the body.
func ofPanic(text string) string {
	head, _, _ := strings.Cut(text, "\n")
	_, below, found := strings.Cut(text, "\npanic(")
	if !found {
		return ofTask(text)
	}
	if _, rest, found := strings.Cut(below, "\n"); found { // the arguments
		_, below, _ = strings.Cut(rest, "\n") // the line in the runtime
	}
	return ofTask(head + "\n" + below)
}

func indent(text string) string { return "\t" + strings.ReplaceAll(text, "\n", "\n\t") }
