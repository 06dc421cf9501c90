package history_test

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo/record/history"
	"github.com/traigo/traigo/record/internal/logtest"
)

func TestReadSCLogsOfTrioVis(t *testing.T) {
	h, err := history.ReadSCLogs(strings.NewReader(logtest.Fetch))
	require.NoError(t, err)
	logtest.Check(t, h)
	assert.True(t, h.TrioVis && h.Ordinal && h.Closed)
	assert.True(t, h.Started.IsZero())
	assert.Equal(t, 14*time.Millisecond, h.End)

	require.Len(t, h.Scopes, 3)
	root, one, two := h.Scopes[0], h.Scopes[1], h.Scopes[2]
	assert.Equal(t, "trio.run", root.Name)
	require.Len(t, root.Tasks, 1)
	main := root.Tasks[0]
	assert.Equal(t, "main-0", main.Name)
	assert.Equal(t, []time.Duration{0, time.Millisecond, 13 * time.Millisecond}, []time.Duration{main.Spawned, main.Started, main.Ended})
	assert.Equal(t, history.TaskOK, main.State)
	assert.Same(t, main, one.By)
	assert.Same(t, main, two.By)
	assert.Same(t, root, one.Parent)
	assert.Equal(t, "trio.run/nursery-0", one.Path())
	assert.Equal(t, "get-1", two.Tasks[0].Name)
	assert.Equal(t, []time.Duration{13 * time.Millisecond, 12 * time.Millisecond}, []time.Duration{one.Closed, two.Closed}, "the first was forgotten, and ended with its task")
	assert.Equal(t, history.ScopeClosed, root.State)
}

// A scope whose name says that it was canceled, and whose exit is not in the file any more.
func TestReadSCLogsOfAnExportThatEndsEarly(t *testing.T) {
	h := logtest.ReadSCLogs(t, `{"about":{"traigo":1,"unit":"s"},"runRecords":[
{"time":1,"desc":"created","name":"s-0 [timeout: too slow]","type":"scope"},
{"time":3,"desc":"created","name":"t-0","type":"task","parent":"s-0 [timeout: too slow]"},`)
	logtest.Check(t, h)
	assert.True(t, h.Truncated)
	s := h.Scopes[0]
	assert.Equal(t, history.ScopeCanceling, s.State)
	assert.Equal(t, []time.Duration{3 * time.Second, history.Never}, []time.Duration{s.Canceled, s.Closed})
	assert.Equal(t, "timeout: too slow", s.Cause.String())
}

func TestReadSCLogsIsTolerant(t *testing.T) {
	h, err := history.ReadSCLogs(strings.NewReader(`{"more":[{}],"runRecords":[
{"time":0.5,"desc":"created","name":"s","type":"scope","parent":null,"color":"red"},
{"time":1.25,"desc":"created","name":"t","type":"task","parent":"s"},
{"time":1.25,"desc":"created","name":"below","type":"scope","parent":"t"},
{"time":1.5,"desc":"exited","name":"t","type":"scope"},
{"time":2,"desc":"created","name":"t","type":"task","parent":"nobody"},
{"time":3,"desc":"created","name":"wrapped__TRIO_VIS_Tscope","type":"scope","parent":"s"}]}`))
	require.NoError(t, err)
	logtest.Check(t, h)
	assert.False(t, h.Ordinal)
	assert.Equal(t, 1, h.Damaged, "the unknown parent")
	assert.Equal(t, "s", h.Scopes[0].Name)
	assert.Equal(t, 500*time.Millisecond, h.Scopes[0].Opened)
	assert.Equal(t, 1500*time.Millisecond, h.Scopes[0].Tasks[0].Ended)
	assert.Equal(t, "wrapped", h.Scopes[0].Tasks[1].Name, "its task was still to come")
	assert.Equal(t, history.TaskQueued, h.Scopes[0].Tasks[1].State)
	assert.Equal(t, "s/below", h.Scopes[1].Path())
	assert.Same(t, h.Scopes[0].Tasks[0], h.Scopes[1].By)
	assert.Equal(t, "trio.run/t", h.Scopes[2].Tasks[0].Path())
	assert.True(t, h.Scopes[2].Tasks[0].Unfinished())
}

func TestReadSCLogsTakesSecondsSince1970(t *testing.T) {
	h, err := history.ReadSCLogs(strings.NewReader(`{"config":{},"runRecords":[
{"time":1637000000.25,"desc":"created","name":"s","type":"scope"},{"time":1637000001.5,"desc":"exited","name":"s","type":"scope"}]}`))
	require.NoError(t, err)
	assert.Equal(t, time.Unix(1637000000, 0).UTC(), h.Started)
	assert.Equal(t, 1500*time.Millisecond, h.Scopes[0].Closed.Round(time.Microsecond))
}

func TestReadSCLogsTakesAFileCutAnywhere(t *testing.T) {
	begun := strings.Index(logtest.Fetch, "[")
	for cut := range len(logtest.Fetch) {
		h, err := history.ReadSCLogs(strings.NewReader(logtest.Fetch[:cut]))
		if cut <= begun {
			require.ErrorContains(t, err, "ends before its runRecords", "cut at %d", cut)
			continue
		}
		require.NoError(t, err, "cut at %d", cut)
		require.True(t, h.Truncated, "cut at %d", cut)
		logtest.Check(t, h)
	}
}

func TestReadSCLogsSaysWhatIsWrongAndWhere(t *testing.T) {
	file := func(records string) string { return `{"config":{},"runRecords":[` + records + `]}` }
	const made = `{"time":0,"desc":"created","name":"s","type":"scope"}`
	for says, text := range map[string]string{
		"no JSON object":                                              `[1]`,
		"it has no runRecords":                                        `{"config":{}}`,
		"are no list":                                                 `{"runRecords":{}}`,
		"record 0: it has no time":                                    file(`{}`),
		`record 1: its desc is "born", neither`:                       file(made + `,{"time":1,"desc":"born","name":"q","type":"scope"}`),
		`record 0: its type is "nursery"`:                             file(`{"time":1,"desc":"created","name":"q","type":"nursery"}`),
		"record 0: it has no name":                                    file(`{"time":1,"desc":"created","type":"scope"}`),
		"record 0: its time is -1":                                    file(`{"time":-1,"desc":"created","name":"q","type":"scope"}`),
		"record 0: its time is a string":                              file(`{"time":"1","desc":"created","name":"q","type":"scope"}`),
		`record 1: "s" is created, and is still there since record 0`: file(made + "," + made),
		`record 1: "q" exits, and has not been created`:               file(made + `,{"time":1,"desc":"exited","name":"q","type":"scope"}`),
		"too late for seconds":                                        file(`{"time":1e300,"desc":"created","name":"q","type":"scope"}`),
		"near byte 27: invalid character":                             file(`{]`),
	} {
		_, err := history.ReadSCLogs(strings.NewReader(text))
		require.ErrorContains(t, err, says)
		assert.True(t, strings.HasPrefix(err.Error(), "history: "), err.Error())
	}
}

func FuzzReadSCLogs(f *testing.F) {
	f.Add([]byte(logtest.Fetch))
	f.Fuzz(func(t *testing.T, text []byte) {
		if h, err := history.ReadSCLogs(bytes.NewReader(text)); err == nil {
			logtest.Check(t, h)
		}
		if h, err := history.ReadAny(bytes.NewReader(text)); err == nil {
			logtest.Check(t, h)
		}
	})
}
