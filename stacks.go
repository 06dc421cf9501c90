package traigo

import (
	"bytes"
	"fmt"
	"runtime"
	"strconv"
	"strings"
)

// Which stack is whose: found in a dump of the goroutines, so that a task that
// behaves pays nothing for it.

// The frames that name a task, a scope or a call of Blocking by the address of their receiver.
const (
	taskFrame = "traigo.(*Task).call("
	bodyFrame = "traigo.(*Scope).callBody("
	callFrame = "traigo.(*call).run("
)

// goroutineDump returns the stacks of all goroutines.
func goroutineDump() []byte { return dumpOf(1<<20, true) }

// readDump finds the stacks of tasks and bodies in a dump, by the address of
// the receiver.
func readDump(dump []byte) map[string]string {
	stacks := make(map[string]string)
	for stack := range bytes.SplitSeq(dump, []byte("\n\n")) {
		for _, frame := range []string{taskFrame, bodyFrame, callFrame} {
			for rest := framesOf(stack); ; {
				_, after, found := bytes.Cut(rest, []byte(frame))
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

// framesOf is a stack without its first line: there, under GODEBUG=tracebacklabels=1,
// the pprof labels are, and so the names that users give, whatever they say.
func framesOf(stack []byte) []byte {
	_, frames, _ := bytes.Cut(stack, []byte("\n"))
	return frames
}

// addressOf is how a dump writes a receiver.
func addressOf(receiver any) string { return fmt.Sprintf("%p", receiver) }

// isActive reports whether a goroutine with that stack runs, or waits in this
// package for something else to end. The body of a nested Run has the frame of
// its task as well.
func isActive(stack string) bool {
	head, frames, _ := strings.Cut(stack, "\n")
	head, _, _ = strings.Cut(head, " labels:{")              // see framesOf
	return stack == "" || strings.Contains(head, "[runn") || // running, runnable
		strings.Contains(frames, "traigo.(*Scope).join(") ||
		strings.Contains(frames, "traigo.(*Scope).await(") ||
		strings.Contains(frames, "traigo.(*Task).wait(")
}

// ownOnStack names the part of s that the calling goroutine is: "" if none can
// be told.
func (s *Scope) ownOnStack() string { return s.partIn(ownStack()) }

// ownStack is readDump of the calling goroutine alone.
func ownStack() map[string]string { return readDump(ownDump()) }

// ownDump begins with room for a hundred frames, which is all that is printed of a
// stack; but there may be labels before them, of any length.
func ownDump() []byte { return dumpOf(1<<16, false) }

func dumpOf(size int, all bool) []byte {
	for ; ; size *= 2 {
		dump := make([]byte, size)
		if n := runtime.Stack(dump, all); n < size || size >= 256<<20 {
			return dump[:n]
		}
	}
}

// callingTask is the address of the task that calls; 0 if none does.
func callingTask() uintptr {
	_, after, found := bytes.Cut(framesOf(ownDump()), []byte(taskFrame))
	if !found {
		return 0
	}
	address, err := strconv.ParseUint(string(after[:endOfAddress(after)]), 0, 64)
	if err != nil {
		return 0
	}
	return uintptr(address)
}

func endOfAddress(dump []byte) int {
	return max(0, bytes.IndexFunc(dump, func(r rune) bool { return !strings.ContainsRune("0123456789abcdefx", r) }))
}

func (s *Scope) partIn(stacks map[string]string) string {
	if stacks[addressOf(s)] != "" {
		return fmt.Sprintf("the body of %q", s.Path())
	}
	s.mu.Lock()
	var own *Task
	for t := s.first; t != nil && own == nil; t = t.next {
		if stacks[addressOf(t)] != "" {
			own = t
		}
	}
	children := s.belowLocked()
	s.mu.Unlock()
	if own != nil {
		return fmt.Sprintf("task %q", own.Path())
	}
	for _, c := range children {
		if who := c.partIn(stacks); who != "" {
			return who
		}
	}
	return ""
}
