package history_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo/record/history"
	"github.com/traigo/traigo/record/internal/logtest"
)

func TestReadTakesALogCutAnywhere(t *testing.T) {
	whole := logtest.Read(t, logtest.Chat)
	for cut := range len(logtest.Chat) {
		h, err := history.Read(strings.NewReader(logtest.Chat[:cut]))
		if cut < len(logtest.Header)-1 {
			require.Error(t, err, "cut at %d, in the first line", cut)
			continue
		}
		require.NoError(t, err, "cut at %d", cut)
		assert.Equal(t, logtest.Chat[cut-1] != '\n', h.Truncated, "cut at %d", cut)
		assert.False(t, h.Closed, "cut at %d", cut)
		assert.Zero(t, h.Damaged, "cut at %d", cut)
		assert.LessOrEqual(t, h.End, whole.End)
		logtest.Check(t, h)
	}
	assert.True(t, whole.Closed)
}

func TestReadSkipsWhatItDoesNotKnow(t *testing.T) {
	h := logtest.Read(t, logtest.Header+`{"t":1,"k":"scope","id":1,"n":"s","color":"red","deep":{"id":7}}
{"t":2,"k":"comet","id":1}
{"t":3,"k":"comet","n":12}
{"k":"scope","id":2,"n":"no time"}
{"t":"4","k":"scope","id":3}
{"t":5,"k":"scope","n":"no number"}
{"t":6,"k":"end","s":1,"st":"ok"}
[]
`+"\x00\x01\xff"+`
{"t":7,"k":"spawn","s":1,"id":1,"n":"t"}
{"t":8,"k":"end","s":1,"id":1,"st":"molten"}

{"t":9,"k":"close","id":1}
`)
	assert.Equal(t, 9, h.Damaged)
	require.Len(t, h.Scopes, 1)
	assert.Equal(t, history.ScopeClosed, h.Scopes[0].State)
	assert.Equal(t, history.TaskLost, h.Scopes[0].Tasks[0].State, "that it has ended is known")
	assert.Equal(t, time.Duration(9), h.End)
}

func TestReadTakesNothingForANegativeTime(t *testing.T) {
	h := logtest.Read(t, logtest.Header+`{"t":-1,"k":"scope","id":1,"n":"s","dl":-1}`+"\n")
	assert.Equal(t, time.Duration(0), h.Scopes[0].Opened)
	assert.Equal(t, time.Duration(0), h.Scopes[0].Deadline)
	assert.Equal(t, history.Never, h.Scopes[0].Closed)
}

func TestReadTakesLinesInAnyOrder(t *testing.T) {
	lines := strings.SplitAfter(strings.TrimPrefix(logtest.Chat, logtest.Header), "\n")
	for from := range lines {
		turned := strings.Join(lines[from:], "") + strings.Join(lines[:from], "")
		h := logtest.Read(t, logtest.Header+turned)
		require.Len(t, h.Scopes, 2)
		server, conn := h.Scopes[0], h.Scopes[1]
		assert.Equal(t, "server/conn", conn.Path(), turned)
		assert.Equal(t, "accept", conn.By.Name)
		assert.Equal(t, []time.Duration{1000, 2100, 2900}, []time.Duration{server.Opened, server.Tasks[0].Spawned, conn.Opened})
		assert.Same(t, server.Tasks[0], server.Cause.By)
		logtest.Check(t, h)
	}
}

func TestReadDrawsWhatItHasNotSeenBegin(t *testing.T) {
	h := logtest.Read(t, logtest.Header+`{"t":100,"k":"end","s":7,"id":2,"st":"ok"}
{"t":50,"k":"scope","id":9,"in":7,"by":3,"n":"below"}
{"t":120,"k":"scope","id":10,"in":99,"by":1,"n":"elsewhere"}
`)
	require.Len(t, h.Scopes, 3)
	unseen := h.Scopes[0]
	assert.EqualValues(t, 7, unseen.ID)
	assert.Equal(t, "(unseen)", unseen.Name)
	assert.Equal(t, time.Duration(50), unseen.Opened, "at least as old as what is in it")
	assert.Equal(t, "(unseen)/below", h.Scopes[1].Path())
	assert.EqualValues(t, 3, h.Scopes[1].By.ID)
	assert.Nil(t, h.Scopes[2].Parent, "its parent is not in the log")
	logtest.Check(t, h)
}

func TestReadEndsNotBeforeWhatItKnows(t *testing.T) {
	h := logtest.Read(t, logtest.Header+`{"t":5,"k":"scope","id":1,"n":"s"}
{"t":12,"k":"end","s":1,"id":4,"st":"of a later version"}
`)
	assert.Equal(t, time.Duration(12), h.End)
	assert.Equal(t, 1, h.Damaged)
	logtest.Check(t, h)
}

func TestReadCutsCircles(t *testing.T) {
	h := logtest.Read(t, logtest.Header+`{"t":1,"k":"scope","id":1,"in":3,"n":"a"}
{"t":2,"k":"scope","id":2,"in":1,"n":"b"}
{"t":3,"k":"scope","id":3,"in":2,"n":"c"}
{"t":3,"k":"scope","id":4,"in":4,"n":"self"}
{"t":3,"k":"scope","id":5,"in":3,"n":"hangs on it"}
`)
	assert.Equal(t, 1, h.Damaged)
	assert.Len(t, h.Roots(), 2)
	logtest.Check(t, h)
}

func TestReadPutsSegmentsTogether(t *testing.T) {
	segment := func(n int) string {
		return strings.Replace(logtest.Header, `"pid"`, fmt.Sprintf(`"segment":%d,"pid"`, n), 1)
	}
	one := segment(1) + `{"t":1,"k":"scope","id":1,"n":"s"}
{"t":2,"k":"spawn","s":1,"id":1,"n":"a"}
{"t":3,"k":"spawn","s":1,"id":2,"n":"b"}
{"t":4,"k":"bye"}
`
	two := segment(2) + `{"t":10,"k":"live","n":2}
{"t":1,"k":"scope","id":1,"n":"s","st":"open"}
{"t":2,"k":"spawn","s":1,"id":1,"n":"a","st":"running"}
`
	h := logtest.Read(t, one+two)
	assert.False(t, h.Closed, "the second has no bye")
	assert.False(t, logtest.Read(t, one+segment(2)).Closed, "the second is empty so far")
	assert.EqualValues(t, 2, logtest.Read(t, one+segment(2)).Segment)
	assert.Empty(t, h.Losses)
	assert.Equal(t, history.TaskRunning, h.Scopes[0].Tasks[0].State)
	assert.Equal(t, history.TaskLost, h.Scopes[0].Tasks[1].State)
	assert.True(t, logtest.Read(t, one+two+`{"t":11,"k":"bye"}`+"\n").Closed)

	h = logtest.Read(t, two)
	require.Len(t, h.Losses, 1)
	assert.Contains(t, h.Losses[0].Why, "before segment 2")
	assert.Len(t, h.Scopes, 1)

	_, err := history.Read(strings.NewReader(two + one))
	assert.ErrorContains(t, err, "segment 1 of the recording comes after segment 2")
}

// A complete census ends all that it does not list.
func TestReadTrustsAWholeCensus(t *testing.T) {
	const begun = `{"t":1,"k":"scope","id":1,"n":"s"}
{"t":2,"k":"finalize","id":1}
{"t":2,"k":"spawn","s":1,"id":1,"n":"a"}
{"t":2,"k":"start","s":1,"id":1}
`
	stateOf := func(after string) (history.TaskState, time.Duration, history.ScopeState) {
		h := logtest.Read(t, logtest.Header+begun+after)
		logtest.Check(t, h)
		return h.Scopes[0].Tasks[0].State, h.Scopes[0].Tasks[0].Ended, h.Scopes[0].State
	}
	const scope = `{"t":1,"k":"scope","id":1,"n":"s","st":"finalizing"}` + "\n"
	for _, row := range []struct {
		says, log string
		task      history.TaskState
		ended     time.Duration
		scope     history.ScopeState
	}{
		{"nothing is alive", `{"t":10,"k":"live","n":0}` + "\n", history.TaskLost, 10, history.ScopeLost},
		{"the scope is", `{"t":10,"k":"live","n":1}` + "\n" + scope, history.TaskLost, 10, history.ScopeFinalizing},
		{"cut short", `{"t":10,"k":"live","n":2}` + "\n" + scope, history.TaskRunning, history.Never, history.ScopeFinalizing},
		{"damaged", `{"t":10,"k":"live","n":2}` + "\n" + scope + "???\n", history.TaskRunning, history.Never, history.ScopeFinalizing},
		{"something else among it", `{"t":10,"k":"live","n":2}` + "\n" + scope + `{"t":3,"k":"ready","s":1,"id":1}` + "\n", history.TaskRunning, history.Never, history.ScopeFinalizing},
		{"from before it began", `{"t":2,"k":"live","n":1}` + "\n" + scope, history.TaskRunning, history.Never, history.ScopeFinalizing},
		{"older than all", `{"t":1,"k":"live","n":0}` + "\n", history.TaskRunning, history.Never, history.ScopeFinalizing},
		{"its end comes after all", `{"t":10,"k":"live","n":0}` + "\n" + `{"t":9,"k":"end","s":1,"id":1,"st":"ok"}` + "\n", history.TaskOK, 9, history.ScopeLost},
		{"a sign of life comes", `{"t":10,"k":"live","n":0}` + "\n" + `{"t":9,"k":"ready","s":1,"id":1}` + "\n", history.TaskRunning, history.Never, history.ScopeLost},
		{"and then another census", `{"t":10,"k":"live","n":0}` + "\n" + `{"t":9,"k":"ready","s":1,"id":1}` + "\n" + `{"t":20,"k":"live","n":0}` + "\n", history.TaskLost, 20, history.ScopeLost},
		{"the scope comes back", `{"t":10,"k":"live","n":0}` + "\n" + `{"t":12,"k":"abandon","s":1}` + "\n", history.TaskLost, 10, history.ScopeFinalizing},
	} {
		task, ended, scope := stateOf(row.log)
		assert.Equal(t, row.task, task, row.says)
		assert.Equal(t, row.ended, ended, row.says)
		assert.Equal(t, row.scope, scope, row.says)
	}
}

func TestReadTakesAStateFromTheCensus(t *testing.T) {
	h := logtest.Read(t, logtest.Header+`{"t":10,"k":"live","n":3}
{"t":1,"k":"scope","id":1,"n":"s","dl":99,"st":"canceling","err":"task failed: task \"s/x\": boom"}
{"t":2,"k":"spawn","s":1,"id":1,"n":"a","f":"m","st":"given up"}
{"t":3,"k":"spawn","s":1,"id":2,"n":"b","st":"queued"}
`)
	s := h.Scopes[0]
	assert.Equal(t, history.Cause{Kind: "task failed", Err: `task "s/x": boom`}, *s.Cause)
	assert.Equal(t, []time.Duration{1, 10, 99}, []time.Duration{s.Opened, s.Canceled, s.Deadline})
	assert.Equal(t, history.TaskStuck, s.Tasks[0].State)
	assert.True(t, s.Tasks[0].Master)
	assert.Equal(t, history.TaskQueued, s.Tasks[1].State)
	logtest.Check(t, h)
}

// A census lists a closed scope if a task in it that was given up has not ended. It does not
// list a task that has ended, and does not name it with the scope that the task opened.
func TestReadKnowsWhatTheCensusLeavesOut(t *testing.T) {
	const census = `{"t":20,"k":"live","n":3}
{"t":1,"k":"scope","id":1,"n":"s","st":"closed"}
{"t":2,"k":"spawn","s":1,"id":2,"n":"deaf","st":"stuck"}
{"t":3,"k":"scope","id":2,"in":1,"n":"below","st":"open"}
`
	for _, before := range []string{"", `{"t":1,"k":"scope","id":1,"n":"s"}
{"t":2,"k":"spawn","s":1,"id":1,"n":"opens"}
{"t":3,"k":"scope","id":2,"in":1,"by":1,"n":"below"}
`} {
		h := logtest.Read(t, logtest.Header+before+census+strings.ReplaceAll(census, "20", "30"))
		logtest.Check(t, h)
		s, below := h.Scopes[0], h.Scopes[1]
		assert.Equal(t, history.ScopeLost, s.State)
		assert.Equal(t, history.TaskStuck, s.Tasks[len(s.Tasks)-1].State)
		assert.Same(t, s, below.Parent)
		if before != "" {
			require.NotNil(t, below.By)
			assert.Equal(t, "opens", below.By.Name)
			assert.Equal(t, history.TaskLost, below.By.State)
			assert.Equal(t, time.Duration(20), s.Closed, "when it was first found closed")
		}
	}
}

// A task of which all lines are lost is known from the scopes that it ended or opened.
func TestTaskThatIsOnlyNamedIsLost(t *testing.T) {
	h, err := history.Read(strings.NewReader(logtest.Header + `{"t":1,"k":"scope","id":3,"n":"server"}
{"t":8,"k":"lost","n":2,"why":"disk full"}
{"t":9,"k":"live","n":1}
{"t":1,"k":"scope","id":3,"n":"server","st":"open"}
{"t":10,"k":"cancel","id":3,"why":"task failed","by":10,"err":"no"}
{"t":11,"k":"scope","id":4,"in":3,"by":11,"n":"below"}
{"t":12,"k":"scope","id":5,"in":3,"by":12,"n":"open"}
{"t":20,"k":"close","id":4}
`))
	require.NoError(t, err)
	var seen []string
	for _, task := range h.Scopes[0].Tasks {
		seen = append(seen, fmt.Sprintf("%d %s %v", task.ID, task.State, task.Ended))
	}
	assert.Equal(t, []string{"10 lost 10ns", "11 lost 20ns", "12 running -1ns"}, seen)
	assert.Same(t, h.Scopes[0].Tasks[0], h.Scopes[0].Cause.By)
}
