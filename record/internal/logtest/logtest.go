// Package logtest has logs for tests: logs written by hand, logs of random programs, and logs of
// random lines.
package logtest

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo/record/history"
)

// Header is the first line of a log.
const Header = `{"traigo":2,"t0":"2026-11-21T01:02:03.000000004Z","run":"6f1c9a0e","pid":71,"go":"go1.26","program":"example.com/chat"}` + "\n"

// Chat is the log shown in docs/log-format.md.
const Chat = Header + `{"t":1000,"k":"scope","id":3,"n":"server"}
{"t":2100,"k":"spawn","s":3,"id":1,"n":"accept","f":"bwm"}
{"t":2300,"k":"start","s":3,"id":1}
{"t":2900,"k":"scope","id":4,"in":3,"by":1,"n":"conn","dl":5000002900}
{"t":9000,"k":"end","s":3,"id":1,"st":"failed","err":"accept: too many open files"}
{"t":9050,"k":"cancel","id":3,"why":"task failed","by":1,"err":"accept: too many open files"}
{"t":9051,"k":"cancel","id":4,"why":"parent canceled"}
{"t":9100,"k":"close","id":4,"err":"…"}
{"t":9900,"k":"close","id":3,"err":"scope \"server\": task \"accept\": accept: too many open files"}
{"t":9901,"k":"bye"}
`

// Read reads a log.
func Read(t *testing.T, text string) *history.History {
	t.Helper()
	h, err := history.Read(strings.NewReader(text))
	require.NoError(t, err)
	return h
}

// ReadSCLogs reads a file of trio-vis.
func ReadSCLogs(t *testing.T, text string) *history.History {
	t.Helper()
	h, err := history.ReadSCLogs(strings.NewReader(text))
	require.NoError(t, err)
	return h
}

// Check checks that a history is consistent, as each is, whatever the log was.
func Check(t *testing.T, h *history.History) {
	t.Helper()
	CheckLinks(t, h)
	for _, s := range h.Scopes {
		for _, c := range s.Scopes {
			require.LessOrEqual(t, s.Opened, c.Opened)
		}
	}
}

// CheckLinks is Check without the times of different scopes: those of two processes depend
// on what their logs say of their beginning.
func CheckLinks(t *testing.T, h *history.History) {
	t.Helper()
	for _, p := range h.Processes {
		require.LessOrEqual(t, p.Moved, p.End)
	}
	for i, c := range h.Censuses {
		require.True(t, slices.Contains(h.Processes, c.Process))
		require.True(t, i == 0 || h.Censuses[i-1].At <= c.At)
		for _, g := range c.Groups {
			require.Positive(t, g.Count)
			require.NotContains(t, g.Tasks, (*history.Task)(nil))
			require.NotContains(t, g.Bodies, (*history.Scope)(nil))
		}
	}
	all := map[*history.Scope]bool{}
	for i, s := range h.Scopes {
		require.False(t, all[s], "twice")
		all[s] = true
		if i > 0 {
			require.LessOrEqual(t, h.Scopes[i-1].Opened, s.Opened)
		}
	}
	children, opened := 0, 0
	for _, s := range h.Scopes {
		ordered(t, s.Opened, s.Finalized, s.Closed)
		ordered(t, s.Opened, s.Canceled, s.Closed)
		require.Equal(t, s.Closed == history.Never, s.State != history.ScopeClosed && s.State != history.ScopeLost)
		require.Equal(t, s.Canceled == history.Never, s.Cause == nil)
		require.True(t, slices.Contains(h.Processes, s.Process))
		depth := 0
		for up := s; up != nil; up = up.Parent {
			require.True(t, all[up])
			depth++
			require.LessOrEqual(t, depth, len(h.Scopes), "a circle")
		}
		_, ender := s.Culprit()
		require.True(t, ender == nil || s.Cause != nil)
		for _, c := range s.Scopes {
			require.Same(t, s, c.Parent)
			children++
		}
		if s.By != nil {
			require.Same(t, s.Parent, s.By.Scope)
			require.Contains(t, s.By.Scopes, s)
			opened++
		}
		for i, task := range s.Tasks {
			require.Same(t, s, task.Scope)
			require.LessOrEqual(t, s.Opened, task.Spawned)
			if i > 0 {
				require.Less(t, s.Tasks[i-1].ID, task.ID)
			}
			ordered(t, task.Spawned, task.Started, task.Ended)
			ordered(t, task.Spawned, task.Stuck, task.Ended)
			ordered(t, task.Spawned, task.Ready, task.Ended)
			opened -= len(task.Scopes)
		}
	}
	require.Equal(t, len(h.Scopes)-len(h.Roots()), children)
	require.Zero(t, opened, "who opened what is said on both sides")
}

func ordered(t *testing.T, times ...time.Duration) {
	t.Helper()
	last := time.Duration(0)
	for _, at := range times {
		if at != history.Never {
			require.LessOrEqual(t, last, at)
			last = at
		}
	}
}

// TrioVis returns a file as trio-vis writes it. Each line stands for a record: "+name parent"
// for created and "-name parent" for exited. A colon before a name makes it a task, and @
// stands for the suffix of a wrapper. The last record has the wrong type, as in real files.
func TrioVis(lines ...string) string {
	var b strings.Builder
	b.WriteString("{\n    \"config\": {\n        \"makeDirectScopeTransparent\": true\n    },\n    \"runRecords\": [")
	for i, line := range lines {
		name, parent, _ := strings.Cut(line[1:], " ")
		kind, desc := "scope", "created"
		if bare, ok := strings.CutPrefix(name, ":"); ok {
			name, kind = bare, "task"
		}
		if line[0] == '-' {
			desc = "exited"
			if i == len(lines)-1 {
				kind = "task"
			}
		}
		if i > 0 {
			b.WriteString(",")
		}
		name, parent = strings.ReplaceAll(name, "@", "__TRIO_VIS_Tscope"), strings.ReplaceAll(parent, "@", "__TRIO_VIS_Tscope")
		fmt.Fprintf(&b, "\n        {\n            \"time\": %d,\n            \"desc\": %q,\n            \"name\": %q,\n            \"type\": %q", i, desc, name, kind)
		if parent != "" {
			fmt.Fprintf(&b, ",\n            \"parent\": %q", parent)
		}
		b.WriteString("\n        }")
	}
	b.WriteString("\n    ]\n}")
	return b.String()
}

// Fetch is the file of a main task with two nurseries, without the exit of the first.
var Fetch = TrioVis(
	"+main-0@", "+:main-0 main-0@",
	"+nursery-0 main-0@", "+get-0@ nursery-0", "+:get-0 get-0@", "-:get-0 get-0@", "-get-0@ nursery-0",
	"+nursery-1 main-0@", "+get-1@ nursery-1", "+:get-1 get-1@", "-:get-1 get-1@", "-get-1@ nursery-1",
	"-nursery-1 main-0@", "-:main-0 main-0@", "-main-0@",
)
