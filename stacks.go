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

// The frames that name a task or a scope by the address of their receiver.
const (
	taskFrame = "traigo.(*Task).call("
	bodyFrame = "traigo.(*Scope).callBody("
)

// goroutineDump returns the stacks of all goroutines.
func goroutineDump() []byte {
	for size := 1 << 20; ; size *= 2 {
		dump := make([]byte, size)
		if n := runtime.Stack(dump, true); n < size || size >= 256<<20 {
			return dump[:n]
		}
	}
}

// readDump finds the stacks of tasks and bodies in a dump, by the address of
// the receiver.
func readDump(dump []byte) map[string]string {
	stacks := make(map[string]string)
	for stack := range bytes.SplitSeq(dump, []byte("\n\n")) {
		for _, frame := range []string{taskFrame, bodyFrame} {
			for rest := stack; ; {
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

// addressOf is how a dump writes a receiver.
func addressOf(receiver any) string { return fmt.Sprintf("%p", receiver) }

// isActive reports whether a goroutine with that stack runs, or waits in this
// package for something else to end. The body of a nested Run has the frame of
// its task as well.
func isActive(stack string) bool {
	head, _, _ := strings.Cut(stack, "\n")
	return stack == "" || strings.Contains(head, "[runn") || // running, runnable
		strings.Contains(stack, "traigo.(*Scope).join(") ||
		strings.Contains(stack, "traigo.(*Scope).await(") ||
		strings.Contains(stack, "traigo.(*Task).wait(")
}

// ownOnStack names the part of s that the calling goroutine is: "" if none can
// be told.
func (s *Scope) ownOnStack() string { return s.partIn(ownStack()) }

// ownStack is readDump of the calling goroutine alone.
func ownStack() map[string]string { return readDump(ownDump()) }

// ownDump has room for a hundred frames, which is all that is printed of a stack.
func ownDump() []byte {
	buf := make([]byte, 1<<16)
	return buf[:runtime.Stack(buf, false)]
}

// callingTask is the address of the task that calls; 0 if none does.
func callingTask() uintptr {
	_, after, found := bytes.Cut(ownDump(), []byte(taskFrame))
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
