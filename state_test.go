package traigo_test

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo"
)

var update = flag.Bool("update", false, "rewrite the files that are made from the code")

// Whatever comes, a scope's state never moves backward, Closed is for ever, and
// two inputs end any scope.
func TestStateTableOnlyMovesForward(t *testing.T) {
	states, inputs, next := traigo.StateTable()
	require.Equal(t, []string{"finalize", "cancel", "drained"}, inputs)
	for _, from := range states {
		for in := range inputs {
			to := next(from, in)
			assert.GreaterOrEqual(t, to, from, "%v on %s", from, inputs[in])
			if from == traigo.Closed {
				assert.Equal(t, traigo.Closed, to)
			}
		}
		assert.Equal(t, traigo.Closed, next(next(from, 1), 2), "cancel and drained close a scope that is %v", from)
		assert.NotEqual(t, traigo.Closed, next(traigo.Open, 2), "an open scope does not close for being empty")
	}
}

func TestKindsHaveNames(t *testing.T) {
	for want, got := range map[string]fmt.Stringer{
		"open": traigo.Open, "finalizing": traigo.Finalizing, "canceling": traigo.Canceling, "closed": traigo.Closed,
		"task failed": traigo.TaskFailed, "body failed": traigo.BodyFailed, "requested": traigo.Requested,
		"timeout": traigo.TimedOut, "parent canceled": traigo.ParentCanceled, "master ended": traigo.MasterEnded,
		"completed": traigo.Completed, "panicked": traigo.Panicked,
		"State(99)": traigo.State(99), "CancelKind(99)": traigo.CancelKind(99), "EventKind(99)": traigo.EventKind(99),
	} {
		assert.Equal(t, want, got.String())
	}
}

func TestKindsReadBackFromText(t *testing.T) {
	for i := range traigo.Closed + 1 {
		var got traigo.State
		require.NoError(t, got.UnmarshalText([]byte(i.String())))
		assert.Equal(t, i, got)
	}
	for i := range traigo.Panicked + 1 {
		var got traigo.CancelKind
		require.NoError(t, got.UnmarshalText([]byte(i.String())))
		assert.Equal(t, i, got)
	}
	for i := range traigo.TaskAbandoned + 1 {
		var got traigo.EventKind
		require.NoError(t, got.UnmarshalText([]byte(i.String())))
		assert.Equal(t, i, got)
	}
	var s traigo.State
	require.ErrorContains(t, s.UnmarshalText([]byte("ajar")), `"ajar" is no State`)
}

// docs/states.md is made from the table: -update rewrites it.
func TestStatesDocumentIsTheTable(t *testing.T) {
	const path = "docs/states.md"
	want := statesDocument()
	if *update {
		require.NoError(t, os.WriteFile(path, []byte(want), 0o644))
	}
	got, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, want, string(got), "%s is out of date: go test -run TestStatesDocument . -update", path)
}

func statesDocument() string {
	states, inputs, next := traigo.StateTable()
	var b strings.Builder
	b.WriteString(`# The life of a scope

Made from the table in state.go by ` + "`go test -run TestStatesDocument . -update`" + `; do not edit.

` + "```mermaid\nstateDiagram-v2\n    [*] --> open\n")
	for _, from := range states {
		for in, name := range inputs {
			if to := next(from, in); to != from {
				fmt.Fprintf(&b, "    %v --> %v : %s\n", from, to, name)
			}
		}
	}
	b.WriteString("    closed --> [*]\n```\n\n| state | " + strings.Join(inputs, " | ") + " |\n|---|---|---|---|\n")
	for _, from := range states {
		fmt.Fprintf(&b, "| %v |", from)
		for in := range inputs {
			if to := next(from, in); to != from {
				fmt.Fprintf(&b, " **%v** |", to)
			} else {
				b.WriteString(" · |")
			}
		}
		b.WriteString("\n")
	}
	b.WriteString(`
| state | accepts tasks and forks | its contexts | ends |
|---|---|---|---|
| open | yes | alive | never by itself |
| finalizing | yes | alive | when nothing awaited is left: tasks, forks, the body of Run |
| canceling | no | done | when everything in it has ended |
| closed | no | done | |

| input | comes when |
|---|---|
| finalize | ` + "`Finalize`, `Wait` or `Shutdown` is called, or the body of `Run` has returned" + ` |
| cancel | the first of: a failure that bubbles, the body's error, a panic, ` + "`Cancel` or `Close`" + `, the timeout, the end of the parent, the end of a master, nothing awaited left |
| drained | nothing lives in the scope, and what the cancel had to do is done |

Every scope passes through canceling, also one whose work is complete: that is
how tasks that nobody awaits are stopped.
`)
	return b.String()
}
