package history_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo/record/history"
)

const header = `{"traigo":1,"t0":"2026-11-21T01:02:03.000000004Z","run":"6f1c9a0e","pid":71,"go":"go1.26","program":"example.com/chat"}` + "\n"

// chat is the log that docs/log-format.md shows.
const chat = header + `{"t":1000,"k":"scope","id":3,"n":"server"}
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

func TestReadPutsTheLinesTogether(t *testing.T) {
	h, err := history.Read(strings.NewReader(chat))
	require.NoError(t, err)
	assert.Equal(t, 71, h.PID)
	assert.Equal(t, 2026, h.Started.Year())
	assert.True(t, h.Closed)
	assert.False(t, h.Truncated)
	assert.Zero(t, h.Damaged)
	assert.Equal(t, time.Duration(9901), h.End)

	require.Len(t, h.Scopes, 2)
	require.Len(t, h.Roots(), 1)
	server, conn := h.Scopes[0], h.Scopes[1]
	accept := server.Tasks[0]
	assert.Equal(t, "server/conn", conn.Path())
	assert.Same(t, accept, conn.By)
	assert.Equal(t, []*history.Scope{conn}, accept.Scopes)
	assert.Equal(t, time.Duration(5000002900), conn.Deadline)
	assert.Same(t, accept, server.Cause.By)
	assert.Equal(t, "parent canceled", conn.Cause.Kind)
	assert.True(t, accept.Bubble && accept.Master && accept.Await)
	assert.Equal(t, history.TaskFailed, accept.State)
	assert.Equal(t, history.ScopeClosed, conn.State)
	assert.Equal(t, history.Never, conn.Finalized)
}

func TestReadSaysWhatIsMissing(t *testing.T) {
	torn := chat[:strings.Index(chat, `"k":"end"`)]
	h, err := history.Read(strings.NewReader(torn))
	require.NoError(t, err)
	assert.True(t, h.Truncated)
	assert.False(t, h.Closed)
	assert.True(t, h.Scopes[0].Tasks[0].Unfinished())
	assert.Equal(t, history.TaskRunning, h.Scopes[0].Tasks[0].State)

	gap := header + `{"t":1000,"k":"scope","id":3,"n":"server"}
{"t":2000,"k":"spawn","s":3,"id":1,"n":"gone","f":"b"}
{"t":2000,"k":"spawn","s":3,"id":2,"n":"here","f":"b"}
{"t":2000,"k":"scope","id":5,"in":3,"n":"gone"}
{"t":50000,"k":"lost","n":812,"why":"the writer was too slow"}
{"t":50001,"k":"live","n":3}
{"t":1000,"k":"scope","id":3,"n":"server","st":"canceling","err":"requested: enough"}
{"t":2000,"k":"spawn","s":3,"id":2,"n":"here","f":"b","st":"running"}
{"t":40000,"k":"spawn","s":3,"id":7,"n":"new","f":"w","st":"queued"}
{"t":50002,"k":"end","s":3,"id":7,"st":"ok"}
nonsense
`
	h, err = history.Read(strings.NewReader(gap))
	require.NoError(t, err)
	assert.EqualValues(t, 812, h.Lost())
	assert.Equal(t, 1, h.Damaged)
	server := h.Scopes[0]
	assert.Equal(t, []history.TaskState{history.TaskLost, history.TaskRunning, history.TaskOK},
		[]history.TaskState{server.Tasks[0].State, server.Tasks[1].State, server.Tasks[2].State})
	assert.Equal(t, history.ScopeLost, h.Scopes[1].State)
	assert.Equal(t, "requested", server.Cause.Kind)
	assert.Equal(t, "enough", server.Cause.Err)
	assert.Equal(t, time.Duration(50001), server.Canceled)
}

func TestReadRefusesWhatItCannotRead(t *testing.T) {
	for _, row := range []struct{ log, says string }{
		{"", "empty"},
		{header[:20], "no log of traigo"},
		{"hello\n", "no log of traigo"},
		{`{"traigo":2,"run":"x"}` + "\n", "reads version 1"},
		{header + strings.Replace(header, "6f1c9a0e", "00000000", 1), "two recordings"},
	} {
		_, err := history.Read(strings.NewReader(row.log))
		assert.ErrorContains(t, err, row.says, row.log)
	}
}
