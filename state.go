package traigo

import (
	"fmt"
	"slices"
)

// A State is where a [Scope] is in its life. It only ever moves forward.
type State uint8

const (
	// Open: the scope accepts tasks and forks and does not end by itself.
	Open State = iota
	// Finalizing: it still accepts, and ends when nothing awaited is left.
	Finalizing
	// Canceling: its contexts are done, it refuses, and waits for what still runs.
	Canceling
	// Closed: everything in it has ended.
	Closed
)

// An input is what can happen to a scope as a whole.
type input uint8

const (
	inFinalize input = iota // Finalize was called, or the body of Run has returned
	inCancel                // something ended the scope: see CancelKind
	inDrained               // nothing is left in it
)

// next is the life of a scope. docs/states.md is made from it.
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

// MarshalText makes a State its name in JSON.
func (s State) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads the name back.
func (s *State) UnmarshalText(text []byte) error { return named(stateNames[:], s, text, "State") }

// A TaskState is where a [Task] is in its life.
type TaskState uint8

const (
	Queued        TaskState = iota // accepted, and its function has not been called
	Running                        // its function runs
	TaskCanceling                  // its context is done, and its function has not returned
	Ended                          // its function has returned, or was never called: the task was refused
	GivenUp                        // it has not ended within its [CancelTimeout], and still runs
	Abandoned                      // its function has returned, but a call of [Blocking] that it made still runs
)

var taskStateNames = [...]string{"queued", "running", "canceling", "ended", "given up", "abandoned"}

// String returns "queued", "running", "canceling", "ended", "given up" or "abandoned".
func (s TaskState) String() string { return nameOf(taskStateNames[:], s, "TaskState") }

// MarshalText makes a TaskState its name in JSON.
func (s TaskState) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads the name back.
func (s *TaskState) UnmarshalText(text []byte) error {
	return named(taskStateNames[:], s, text, "TaskState")
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
