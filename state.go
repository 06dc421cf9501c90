package traigo

import (
	"fmt"
	"slices"
)

// A State is the state of a [Scope]. It never goes back to an earlier one.
type State uint8

const (
	// Open: the scope accepts tasks and forks, and is not canceled for being empty.
	Open State = iota
	// Finalizing: the scope accepts tasks and forks, and is canceled when no awaited
	// task, no fork and no body is left.
	Finalizing
	// Canceling: the contexts are done, the scope refuses tasks and forks, and waits for
	// those that are still running.
	Canceling
	// Closed: all tasks, except those given up, have ended, and the forks and scopes
	// opened by New below are closed.
	Closed
)

// An input is an event that may change the state of a scope.
type input uint8

const (
	inFinalize input = iota // Finalize, Wait or Shutdown was called, or the body of Run has returned
	inCancel                // the scope was canceled: see CancelKind
	inDrained               // live and starting are 0
)

// next is the transition table of a scope. docs/states.md is generated from it.
var next = [...][3]State{
	//           inFinalize  inCancel   inDrained
	Open:       {Finalizing, Canceling, Open},
	Finalizing: {Finalizing, Canceling, Finalizing},
	Canceling:  {Canceling, Canceling, Closed},
	Closed:     {Closed, Closed, Closed},
}

var (
	stateNames = [...]string{"open", "finalizing", "canceling", "closed"}
	inputNames = [...]string{"finalize", "cancel", "drained"}
)

// String returns "open", "finalizing", "canceling" or "closed".
func (s State) String() string { return nameOf(stateNames[:], s, "State") }

// MarshalText returns the name, as [State.String] does.
func (s State) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText is the inverse of MarshalText. It returns an error for an unknown name.
func (s *State) UnmarshalText(text []byte) error { return named(stateNames[:], s, text, "State") }

// A TaskState is the state of a [Task].
type TaskState uint8

const (
	Queued        TaskState = iota // the task is accepted, and no goroutine has taken it yet
	Running                        // its function is running
	TaskCanceling                  // its context is done, and its function is still running
	Ended                          // its function has returned, or the task was refused
	GivenUp                        // its [CancelTimeout] has passed, and its function is still running
	Abandoned                      // its function has returned, and a call of [Blocking] that it made is still running
)

var taskStateNames = [...]string{"queued", "running", "canceling", "ended", "given up", "abandoned"}

// String returns "queued", "running", "canceling", "ended", "given up" or "abandoned".
func (s TaskState) String() string { return nameOf(taskStateNames[:], s, "TaskState") }

// MarshalText returns the name, as [TaskState.String] does.
func (s TaskState) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText is the inverse of MarshalText. It returns an error for an unknown name.
func (s *TaskState) UnmarshalText(text []byte) error {
	return named(taskStateNames[:], s, text, "TaskState")
}

// State returns the current state of the task.
func (t *Task) State() TaskState {
	t.check("State")
	t.scope.mu.Lock()
	defer t.scope.mu.Unlock()
	return t.stateLocked()
}

func (t *Task) stateLocked() TaskState {
	x := t.ext.Load()
	switch {
	case t.has(hasEnded) && x != nil && x.abandoned > 0:
		return Abandoned
	case t.has(hasEnded):
		return Ended
	case t.has(givenUp):
		return GivenUp
	case !t.started:
		return Queued
	case t.has(isCtxDone):
		return TaskCanceling
	default:
		return Running
	}
}

func (in input) String() string { return nameOf(inputNames[:], in, "input") }

func nameOf[N ~uint8](names []string, n N, kind string) string {
	if int(n) < len(names) {
		return names[n]
	}
	return fmt.Sprintf("%s(%d)", kind, n)
}

// named is the inverse of nameOf.
func named[N ~uint8](names []string, n *N, text []byte, kind string) error {
	i := slices.Index(names, string(text))
	if i < 0 {
		return fmt.Errorf("traigo: %q is no %s", text, kind)
	}
	*n = N(i)
	return nil
}
