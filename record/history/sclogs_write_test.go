package history_test

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo/record/history"
)

func readLog(t *testing.T, text string) *history.History {
	t.Helper()
	h, err := history.Read(strings.NewReader(text))
	require.NoError(t, err)
	return h
}

func scLogs(t *testing.T, h *history.History) []byte {
	t.Helper()
	var b bytes.Buffer
	require.NoError(t, h.WriteSCLogs(&b))
	return b.Bytes()
}

func TestSCLogsAreWhatTheVisualizerTakes(t *testing.T) {
	require.NoError(t, visCheck(scLogs(t, readLog(t, header))))
	require.NoError(t, visCheck(scLogs(t, readLog(t, chat))))
	for seed := range uint64(100) {
		text := randomLog(seed)
		require.NoError(t, visCheck(scLogs(t, readLog(t, text))), "seed %d\n%s", seed, text)
	}
	for seed := range uint64(10) {
		tp := record(t, seed)
		log := tp.log()
		require.NoError(t, visCheck(scLogs(t, tp.read(t))), "seed %d\n%s", seed, log)
		for cut := len(header) + 200; cut < len(log); cut += 2999 {
			require.NoError(t, visCheck(scLogs(t, readLog(t, log[:cut]))), "seed %d, cut at %d", seed, cut)
		}
	}
}

func TestSCLogsAreAGoldenFile(t *testing.T) {
	golden := strings.Split(`{"config":{"makeDirectScopeTransparent":true},
"runRecords":[
{"time":0.000001,"desc":"created","name":"server-0 [task failed: accept: too many open files]","type":"scope"},
{"time":0.0000021,"desc":"created","name":"accept-0 [failed: accept: too many open files]__TRIO_VIS_Tscope","type":"scope","parent":"server-0 [task failed: accept: too many open files]"},
{"time":0.0000021,"desc":"created","name":"accept-0 [failed: accept: too many open files]","type":"task","parent":"accept-0 [failed: accept: too many open files]__TRIO_VIS_Tscope"},
{"time":0.0000029,"desc":"created","name":"conn-0 [parent canceled]","type":"scope","parent":"server-0 [task failed: accept: too many open files]"},
{"time":0.0000029,"desc":"created","name":"conn (body)-0__TRIO_VIS_Tscope","type":"scope","parent":"conn-0 [parent canceled]"},
{"time":0.0000029,"desc":"created","name":"conn (body)-0","type":"task","parent":"conn (body)-0__TRIO_VIS_Tscope"},
{"time":0.000009,"desc":"exited","name":"accept-0 [failed: accept: too many open files]","type":"task","parent":"accept-0 [failed: accept: too many open files]__TRIO_VIS_Tscope"},
{"time":0.000009,"desc":"exited","name":"accept-0 [failed: accept: too many open files]__TRIO_VIS_Tscope","type":"scope","parent":"server-0 [task failed: accept: too many open files]"},
{"time":0.0000091,"desc":"exited","name":"conn (body)-0","type":"task","parent":"conn (body)-0__TRIO_VIS_Tscope"},
{"time":0.0000091,"desc":"exited","name":"conn (body)-0__TRIO_VIS_Tscope","type":"scope","parent":"conn-0 [parent canceled]"},
{"time":0.0000091,"desc":"exited","name":"conn-0 [parent canceled]","type":"scope","parent":"server-0 [task failed: accept: too many open files]"},
{"time":0.0000099,"desc":"exited","name":"server-0 [task failed: accept: too many open files]","type":"scope"}
],
"about":{"traigo":1,"unit":"s","t0":"2026-11-21T01:02:03.000000004Z","run":"6f1c9a0e","pid":71,"go":"go1.26","program":"example.com/chat","closed":true}}
`, "\n")
	assert.Equal(t, golden, strings.Split(string(scLogs(t, readLog(t, chat))), "\n"))
}

func TestSCLogsSayWhatTheFormatHasNoWordFor(t *testing.T) {
	text := string(scLogs(t, readLog(t, header+`{"t":0,"k":"scope","id":1,"n":"s"}
{"t":1,"k":"spawn","s":1,"id":1,"n":"deaf"}
{"t":1,"k":"spawn","s":1,"id":2,"n":"gone"}
{"t":2,"k":"live","n":2}
{"t":0,"k":"scope","id":1,"n":"s","st":"open"}
{"t":1,"k":"spawn","s":1,"id":1,"n":"deaf","st":"running"}
{"t":3,"k":"close","id":1,"err":"stuck"}
{"t":9,"k":"end","s":1,"id":1,"st":"ok"}
{"t":9,"k":"scope","id":2,"n":"other"}
{"t":9,"k":"spawn","s":2,"id":1,"n":"waits"}
`)))
	for _, name := range []string{`"deaf-0 [straggler]"`, `"gone-0 [lost]"`, `"s-0 [failed: stuck]"`, `"other-0 [running]"`, `"waits-0 [queued] [running]"`} {
		assert.Contains(t, text, name)
	}
	assert.Contains(t, text, `{"time":0.000000003,"desc":"exited","name":"deaf-0 [straggler]"`, "cut off at the end of its scope")
}

func TestSCLogsReadBack(t *testing.T) {
	for seed := range uint64(10) {
		log := record(t, seed).log()
		for _, log := range []string{log, log[:len(log)*2/3]} {
			h := readLog(t, log)
			back, err := history.ReadSCLogs(bytes.NewReader(scLogs(t, h)))
			require.NoError(t, err, "seed %d", seed)
			assert.Equal(t, h.Started, back.Started)
			assert.Equal(t, h.Closed, back.Closed)
			assert.Equal(t, h.Truncated, back.Truncated)
			assert.False(t, back.TrioVis)
			require.Equal(t, inventory(h), inventory(back), "seed %d", seed)
		}
	}
}

// inventory counts what there is, by what the format of trio-vis can tell of it. Times
// are not in it: those of stragglers are cut.
func inventory(h *history.History) map[string]int {
	all := map[string]int{}
	name := func(name string) string { return strings.ReplaceAll(name, " [", " (") }
	for _, s := range h.Scopes {
		up := ""
		if s.Parent != nil {
			up = name(s.Parent.Name)
		}
		state := string(s.State)
		if s.Closed == history.Never {
			state = "unfinished"
		}
		all["scope "+name(s.Name)+" in "+up+" "+state]++
		for _, t := range s.Tasks {
			all["task "+name(t.Name)+" in "+name(s.Name)+" "+string(t.State)]++
		}
	}
	return all
}

func TestSCLogsKeepNanosecondsForWeeks(t *testing.T) {
	at := 30*24*time.Hour + 1
	h := readLog(t, header+`{"t":2592000000000001,"k":"scope","id":1,"n":"s"}`+"\n")
	require.Equal(t, at, h.Scopes[0].Opened)
	back, err := history.ReadSCLogs(bytes.NewReader(scLogs(t, h)))
	require.NoError(t, err)
	assert.Equal(t, at, back.Scopes[0].Opened)
}
