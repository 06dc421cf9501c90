// Package stackdump finds in a dump of goroutines which stack belongs to which value: by
// the address of the receiver of a method that is on the stack.
package stackdump

import (
	"bytes"
	"fmt"
	"runtime"
	"strings"
)

// All returns the stacks of all goroutines. The program stops while they are written:
// some 4 ms for each 1,000.
func All() []byte {
	const perGoroutine = 1 << 12 // more than most need: to write all of it twice takes longer
	return dump(min(max(1<<16, perGoroutine*runtime.NumGoroutine()), maxDump), true)
}

// maxDump is the size of a dump at which the rest of it is cut off.
const maxDump = 256 << 20

// Own returns the stack of the calling goroutine. It begins with room for a hundred
// frames, as many as the runtime prints of a stack; but there may be labels before them,
// of any length.
func Own() []byte { return dump(1<<16, false) }

func dump(size int, all bool) []byte {
	for ; ; size *= 2 {
		text := make([]byte, size)
		if n := runtime.Stack(text, all); n < size || size >= maxDump {
			return text[:n]
		}
	}
}

// Stacks are stacks by the address of a receiver, as a dump writes it.
type Stacks map[string]string

// Find returns the stacks in dump that have a frame of one of these methods. A method is
// given as a dump writes it up to the receiver, "traigo.(*Task).call(" say, and must not
// be inlined.
func Find(dump []byte, methods ...string) Stacks {
	stacks := make(Stacks)
	for stack := range bytes.SplitSeq(dump, []byte("\n\n")) {
		for _, method := range methods {
			for rest := frames(stack); ; {
				_, after, found := bytes.Cut(rest, []byte(method))
				if !found {
					break
				}
				stacks[string(after[:endOfAddress(after)])] = string(stack)
				rest = after
			}
		}
	}
	return stacks
}

// Of returns the stack on which a method of receiver is; "" if there is none.
func (s Stacks) Of(receiver any) string {
	if s == nil {
		return ""
	}
	return s[fmt.Sprintf("%p", receiver)]
}

// ReceiverOf returns the address of the receiver of a method in a stack, as a dump writes it;
// "" if the method is not on the stack.
func ReceiverOf(stack, method string) string {
	_, after, found := strings.Cut(stack, method)
	if !found {
		return ""
	}
	return after[:endOfAddress([]byte(after[:min(len(after), 20)]))]
}

// frames is a stack without its first line. Under GODEBUG=tracebacklabels=1 the pprof
// labels stand there, and so text that users choose.
func frames(stack []byte) []byte {
	_, frames, _ := bytes.Cut(stack, []byte("\n"))
	return frames
}

func endOfAddress(text []byte) int {
	return max(0, bytes.IndexFunc(text, func(r rune) bool { return !strings.ContainsRune("0123456789abcdefx", r) }))
}

// Fold returns a stack with the frames of the user. Each run of frames of this module's
// packages, of the package that recovers panics for them, and of the runtime becomes one
// line.
func Fold(stack string) string {
	var b strings.Builder
	folded := 0
	flush := func() {
		switch {
		case folded == 1:
			b.WriteString("… 1 frame of traigo and the runtime\n")
		case folded > 1:
			fmt.Fprintf(&b, "… %d frames of traigo and the runtime\n", folded)
		}
		folded = 0
	}
	lines := strings.Split(strings.TrimSpace(stack), "\n")
	for i := 0; i < len(lines); i++ {
		line := lines[i]
		hasPlace := i+1 < len(lines) && strings.HasPrefix(lines[i+1], "\t")
		switch {
		case hasPlace && isFolded(line):
			folded++
			i++
		case hasPlace:
			flush()
			fmt.Fprintf(&b, "%s\n%s\n", line, lines[i+1])
			i++
		default:
			flush()
			fmt.Fprintln(&b, line)
		}
	}
	flush()
	return b.String()
}

// isFolded reports whether a frame is one that a user does not look for. line is the first
// of its two: the function with its arguments.
func isFolded(line string) bool {
	name := strings.TrimPrefix(line, "created by ")
	for _, pkg := range []string{
		"runtime.", "runtime/debug.", "internal/", "panic(", "testing.", "github.com/sourcegraph/conc/panics.",
		"github.com/traigo/traigo.", "github.com/traigo/traigo/errgroup.", "github.com/traigo/traigo/supervise.",
		"github.com/traigo/traigo/capacity.", "github.com/traigo/traigo/diag.", "github.com/traigo/traigo/proc.", "github.com/traigo/traigo/actor.", "github.com/traigo/traigo/temporal.",
		"github.com/traigo/traigo/serve.", "github.com/traigo/traigo/internal/inplace.", "github.com/traigo/traigo/traigotest.",
	} {
		if strings.HasPrefix(name, pkg) {
			return true
		}
	}
	return false
}
