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

// In a dump of all goroutines the stack of a task is the one with a frame of package
// traigo whose receiver has the address of the task. The code of the user is above that
// frame.
const (
	taskFrame = "github.com/traigo/traigo.(*Task).call("
	bodyFrame = "github.com/traigo/traigo.(*Scope).callBody("
	testFrame = "github.com/traigo/traigo/traigotest.(*watch).call("
	callFrame = "github.com/traigo/traigo.(*call).run("
)

// callbackFrames are the frames by which package traigo calls functions of the user that
// are no tasks: those given to OnDone, to Observe, and to the AfterFunc of its contexts.
var callbackFrames = []string{
	"github.com/traigo/traigo.(*Scope).callBack(",
	"github.com/traigo/traigo.(*Scope).observe(",
	"github.com/traigo/traigo.(*Scope).callHook(",
}

// A stack is that of a task, or of the body if task is nil.
type stack struct {
	task *traigo.Task
	text string
}

// stacks returns the stack of the body, if it runs, and those of all running tasks in
// the order in which they were spawned.
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

// callStacks returns the stacks of all calls of Blocking that run. Some may belong to
// other tests: a stack does not say for which scope the call is.
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

// above returns the part of a goroutine's stack above a frame.
func above(goroutine, frame string) (text string, found bool) {
	text, _, found = strings.Cut(goroutine, frame)
	return strings.TrimSpace(text), found
}

// aboveOf is above for a frame with a given receiver.
func aboveOf(goroutine, frame string, receiver any) (text string, found bool) {
	text, rest, found := strings.Cut(goroutine, frame)
	address := fmt.Sprintf("%p", receiver)
	end := strings.IndexAny(rest, ",?)")
	return strings.TrimSpace(text), found && end >= 0 && rest[:end] == address
}

// ofTask returns the stack of a task, or of the body, without the frames of package
// traigo that have called it.
func ofTask(text string) string {
	text = strings.TrimSpace(text)
	for _, frame := range []string{taskFrame, testFrame} {
		if own, ok := above(text, frame); ok {
			text = own
		}
	}
	return text
}

// ofPanic returns the stack of a panic, from the function that has panicked to the
// function of the task, or the body.
func ofPanic(text string) string {
	head, _, _ := strings.Cut(text, "\n")
	_, below, found := strings.Cut(text, "\npanic(")
	if !found {
		return ofTask(text)
	}
	if _, rest, found := strings.Cut(below, "\n"); found { // skip the arguments of panic
		_, below, _ = strings.Cut(rest, "\n") // and its line in the runtime
	}
	return ofTask(head + "\n" + below)
}

// ofCallback returns the stack of a panic, from the function that has panicked to the
// function that package traigo has called.
func ofCallback(text string) string {
	text = ofPanic(text)
	for _, frame := range callbackFrames {
		if own, ok := above(text, frame); ok {
			text = own
		}
	}
	return text
}

func indent(text string) string { return "\t" + strings.ReplaceAll(text, "\n", "\n\t") }
