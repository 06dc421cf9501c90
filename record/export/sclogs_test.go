package export_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo/record/export"
	"github.com/traigo/traigo/record/history"
	"github.com/traigo/traigo/record/internal/logtest"
)

func scLogs(t *testing.T, h *history.History) []byte {
	t.Helper()
	var b bytes.Buffer
	require.NoError(t, export.SCLogs(&b, h))
	return b.Bytes()
}

func TestSCLogsAreWhatTheVisualizerTakes(t *testing.T) {
	eachHistory(t, func(t *testing.T, h *history.History) {
		t.Helper()
		require.NoError(t, visCheck(scLogs(t, h)))
	})
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
	assert.Equal(t, golden, strings.Split(string(scLogs(t, logtest.Read(t, logtest.Chat))), "\n"))
}

func TestSCLogsSayWhatTheFormatHasNoWordFor(t *testing.T) {
	text := string(scLogs(t, logtest.Read(t, logtest.Header+`{"t":0,"k":"scope","id":1,"n":"s"}
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
		log := logtest.Program(t, seed)
		for _, log := range []string{log, log[:len(log)*2/3]} {
			h := logtest.Read(t, log)
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

// inventory counts scopes and tasks by the properties that the format of trio-vis keeps.
// Times are not among them, as those of stragglers are cut off.
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
	h := logtest.Read(t, logtest.Header+`{"t":2592000000000001,"k":"scope","id":1,"n":"s"}`+"\n")
	require.Equal(t, at, h.Scopes[0].Opened)
	back, err := history.ReadSCLogs(bytes.NewReader(scLogs(t, h)))
	require.NoError(t, err)
	assert.Equal(t, at, back.Scopes[0].Opened)
}

// visCheck and its parts do what sc-vis, the visualizer of trio-vis, does with a file: check
// the schema, build a tree, and draw it. A file that sc-vis accepts but draws wrongly is an
// error here too.

type visRecord struct {
	Time   float64
	Desc   string
	Name   string
	Type   string
	Parent *string
}

type visNode struct {
	name, kind string
	start, end float64
	frozen     bool
	parent     *visNode
	children   []*visNode
}

func visCheck(text []byte) error {
	records, err := visSchema(text)
	if err != nil {
		return err
	}
	if err := visOpen(records); err != nil {
		return err
	}
	root, err := visTree(records)
	if err != nil {
		return err
	}
	return visDraw(root)
}

func visSchema(text []byte) ([]visRecord, error) {
	var doc map[string]json.RawMessage
	if err := json.Unmarshal(text, &doc); err != nil {
		return nil, err
	}
	var config map[string]any
	if json.Unmarshal(doc["config"], &config) != nil || config == nil {
		return nil, errors.New("config is missing")
	}
	for key, value := range config {
		if _, ok := value.(bool); !ok || key != "makeDirectScopeTransparent" {
			return nil, fmt.Errorf("config has %s", key)
		}
	}
	var rows []map[string]any
	if json.Unmarshal(doc["runRecords"], &rows) != nil || doc["runRecords"] == nil {
		return nil, errors.New("runRecords are missing")
	}
	records := make([]visRecord, len(rows))
	for i, row := range rows {
		r := &records[i]
		var ok [4]bool
		r.Time, ok[0] = row["time"].(float64)
		r.Desc, ok[1] = row["desc"].(string)
		r.Name, ok[2] = row["name"].(string)
		r.Type, ok[3] = row["type"].(string)
		known := 4
		if up, has := row["parent"]; has {
			parent, isText := up.(string)
			if !isText {
				return nil, fmt.Errorf("record %d: the parent is no string", i)
			}
			r.Parent, known = &parent, 5
		}
		if ok != [4]bool{true, true, true, true} || len(row) != known {
			return nil, fmt.Errorf("record %d: the keys are not those of the schema", i)
		}
		if !slices.Contains([]string{"created", "exited"}, r.Desc) || !slices.Contains([]string{"task", "scope"}, r.Type) {
			return nil, fmt.Errorf("record %d: no such desc or type", i)
		}
	}
	return records, nil
}

func visOpen(records []visRecord) error {
	open, ever, last := map[string]bool{}, map[string]bool{}, 0.0
	for i, r := range records {
		switch {
		case r.Time < 0:
			return fmt.Errorf("record %d: negative time", i)
		case r.Time < last:
			return fmt.Errorf("record %d: not in the order of time", i)
		case r.Desc == "created" && ever[r.Name]:
			return fmt.Errorf("record %d: the name is not unique", i)
		case r.Desc == "exited" && !open[r.Name]:
			return fmt.Errorf("record %d: exits, and is not there", i)
		}
		last = r.Time
		ever[r.Name] = true
		open[r.Name] = r.Desc == "created"
	}
	for name, is := range open {
		if is {
			return fmt.Errorf("%s: not closed", name)
		}
	}
	return nil
}

func visTree(records []visRecord) (*visNode, error) {
	root := &visNode{kind: "scope"}
	nodes := map[string]*visNode{}
	for i, r := range records {
		if r.Desc == "exited" {
			n := nodes[r.Name]
			if n.kind != r.Type || (r.Parent == nil) != (n.parent == root) {
				return nil, fmt.Errorf("record %d: is another than was created", i)
			}
			for up, end := n, r.Time; up != nil && (up == n || end > up.end); up = up.parent {
				if up.frozen {
					return nil, fmt.Errorf("record %d: a child outlives its parent", i)
				}
				up.end = end
			}
			n.frozen = true
			continue
		}
		up := root
		if r.Parent != nil {
			if up = nodes[*r.Parent]; up == nil {
				return nil, fmt.Errorf("record %d: unknown parent", i)
			}
		}
		if up.kind == "task" || up.start > r.Time || up.frozen {
			return nil, fmt.Errorf("record %d: %s cannot be its parent", i, up.name)
		}
		n := &visNode{name: r.Name, kind: r.Type, start: r.Time, end: r.Time, parent: up}
		up.children = append(up.children, n)
		nodes[r.Name] = n
	}
	return root, nil
}

func visDraw(root *visNode) error {
	var tasks func(n *visNode) (int, error)
	tasks = func(n *visNode) (count int, err error) {
		if n.kind == "task" {
			return 1, nil
		}
		for _, c := range n.children {
			k, err := tasks(c)
			if err != nil {
				return 0, err
			}
			count += k
		}
		if count == 0 && n != root {
			return 0, fmt.Errorf("%s: a scope without a task is not drawn, or blanks the page", n.name)
		}
		return count, nil
	}
	_, err := tasks(root)
	return err
}

// visCheck itself can fail.
func TestVisCheckRefusesWhatTheVisualizerCannotDraw(t *testing.T) {
	const config = `"config":{"makeDirectScopeTransparent":true}`
	file := func(records string) string { return `{` + config + `,"runRecords":[` + records + `]}` }
	const (
		scope  = `{"time":0,"desc":"created","name":"s","type":"scope"}`
		task   = `{"time":1,"desc":"created","name":"t","type":"task","parent":"s"}`
		ended  = `{"time":2,"desc":"exited","name":"t","type":"task","parent":"s"}`
		closed = `{"time":3,"desc":"exited","name":"s","type":"scope"}`
	)
	require.NoError(t, visCheck([]byte(file(scope+","+task+","+ended+","+closed))))
	require.NoError(t, visCheck([]byte(`{"about":1,`+config+`,"runRecords":[]}`)), "extra keys at the top are fine")
	for says, text := range map[string]string{
		"config is missing": `{"runRecords":[]}`,
		"config has":        `{"config":{"x":true},"runRecords":[]}`,
		"runRecords":        `{` + config + `}`,
		"of the schema":     file(`{"time":0,"desc":"created","name":"s","type":"scope","x":1}`),
		"no string":         file(`{"time":0,"desc":"created","name":"s","type":"scope","parent":null}`),
		"no such":           file(`{"time":0,"desc":"born","name":"s","type":"scope"}`),
		"not closed":        file(scope + "," + task + "," + closed),
		"not unique":        file(scope + "," + task + "," + task),
		"not there":         file(ended),
		"negative":          file(`{"time":-1,"desc":"created","name":"s","type":"scope"}`),
		"order of time":     file(scope + "," + closed + "," + `{"time":1,"desc":"created","name":"q","type":"scope"}`),
		"outlives":          file(scope + "," + task + `,{"time":1,"desc":"exited","name":"s","type":"scope"},` + ended),
		"unknown parent":    file(task + "," + ended),
		"cannot be its parent": file(scope + "," + task + `,{"time":1,"desc":"created","name":"u","type":"scope","parent":"t"},` +
			`{"time":1,"desc":"exited","name":"u","type":"scope","parent":"t"},` + ended + "," + closed),
		"without a task": file(scope + "," + closed),
		"is another":     file(scope + "," + task + "," + ended + `,{"time":3,"desc":"exited","name":"s","type":"task"}`),
	} {
		assert.ErrorContains(t, visCheck([]byte(text)), says)
	}
}
