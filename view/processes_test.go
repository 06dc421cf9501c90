package view_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo/record/history"
	"github.com/traigo/traigo/view"
)

// tree returns the page of a tree of four processes: root has started mid and idle, and mid
// has started leaf. Leaf is killed, for which mid fails and then root, which asks idle to end.
func tree(t *testing.T) string {
	t.Helper()
	head := func(run string, pid, ms int, by string) string {
		if by != "" {
			by = `,"by":` + by
		}
		return fmt.Sprintf(`{"traigo":1,"t0":"2026-11-21T01:02:03.%03dZ","run":%q,"pid":%d,"go":"go1.26","program":"example.com/chat"%s}`+"\n", ms, run, pid, by)
	}
	dir := t.TempDir()
	for name, log := range map[string]string{
		"root-71.jsonl": head("aaaaaaaa", 71, 0, "") + `{"t":1000000,"k":"scope","id":1,"n":"root"}
{"t":2000000,"k":"spawn","s":1,"id":1,"n":"start mid","f":"b"}
{"t":2000000,"k":"spawn","s":1,"id":2,"n":"start idle","f":"b"}
{"t":400000000,"k":"end","s":1,"id":1,"st":"failed","err":"actor root/mid: actor leaf is gone: signal: killed"}
{"t":410000000,"k":"cancel","id":1,"why":"task failed","by":1,"err":"actor root/mid: actor leaf is gone: signal: killed"}
{"t":430000000,"k":"end","s":1,"id":2,"st":"ok"}
{"t":440000000,"k":"close","id":1,"err":"actor root/mid: actor leaf is gone: signal: killed"}
{"t":440000000,"k":"bye"}
`,
		"root.mid-72.jsonl": head("bbbbbbbb", 72, 10, `{"run":"aaaaaaaa","pid":71,"scope":1,"task":1}`) + `{"t":1000000,"k":"scope","id":1,"n":"mid"}
{"t":2000000,"k":"spawn","s":1,"id":1,"n":"start leaf","f":"b"}
{"t":290000000,"k":"end","s":1,"id":1,"st":"failed","err":"actor leaf is gone: signal: killed"}
{"t":300000000,"k":"cancel","id":1,"why":"task failed","by":1,"err":"actor leaf is gone: signal: killed"}
{"t":310000000,"k":"close","id":1,"err":"actor leaf is gone: signal: killed"}
{"t":310000000,"k":"bye"}
`,
		"root.mid.leaf-4194303.jsonl": head("cccccccc", 4194303, 20, `{"run":"bbbbbbbb","pid":72,"scope":1,"task":1}`) + `{"t":1000000,"k":"scope","id":1,"n":"leaf"}
{"t":2000000,"k":"spawn","s":1,"id":1,"n":"compute","f":"bw"}
{"t":2000000,"k":"start","s":1,"id":1}
{"t":200000000,"k":"scope","id":2,"in":1,"by":1,"n":"square"}
{"t":200000000,"k":"sco`,
		"root.idle-73.jsonl": head("dddddddd", 73, 15, `{"run":"aaaaaaaa","pid":71,"scope":1,"task":2}`) + `{"t":1000000,"k":"scope","id":1,"n":"idle"}
{"t":405000000,"k":"cancel","id":1,"why":"requested","err":"canceled by root"}
{"t":406000000,"k":"close","id":1,"err":"canceled by root"}
{"t":407000000,"k":"bye"}
`,
		"app.jsonl": "hello\n",
	} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(log), 0o600))
	}
	h, err := history.ReadDir(dir)
	require.NoError(t, err)
	var b strings.Builder
	require.NoError(t, view.WriteHistory(&b, h))
	return b.String()
}

func TestWriteHistoryCarriesTheProcesses(t *testing.T) {
	c := unpack(t, tree(t))
	assert.Equal(t, []string{"root", "start mid", "mid", "start leaf", "leaf", "compute", "square", "start idle", "idle"}, c.names())
	assert.Equal(t, []int{-1, 0, 1, 2, 3, 4, 5, 0, 7}, c.Parent)
	assert.Equal(t, [][2]int{{0, 0}, {2, 1}, {4, 2}, {8, 3}}, c.Process)
	assert.Equal(t, []uint64{1, 1, 1, 1, 1, 1, 2, 2, 1}, c.ID, "as they are in the process")
	require.Len(t, c.Processes, 4)
	leaf := c.Processes[2]
	assert.Equal(t, 4194303, leaf.PID)
	assert.True(t, leaf.Died && leaf.Truncated && !leaf.Closed)
	assert.EqualValues(t, 220_000_000, leaf.End)
	assert.EqualValues(t, 300_000_000, leaf.Until)
	require.Len(t, c.Skipped, 1)
	assert.Contains(t, c.Skipped[0], "app.jsonl: ")
	assert.Len(t, unpack(t, page(t, small(t))).Processes, 1)
}

func TestWriteHistoryIsWhatWriteDoes(t *testing.T) {
	log := crawl(t)
	h, err := history.Read(strings.NewReader(string(log)))
	require.NoError(t, err)
	var b strings.Builder
	require.NoError(t, view.WriteHistory(&b, h))
	assert.Equal(t, page(t, log), b.String())
	require.ErrorIs(t, view.WriteHistory(&full{100}, h), errFull)
	assert.PanicsWithValue(t, "view: WriteHistory to a nil io.Writer", func() { _ = view.WriteHistory(nil, h) })
	assert.PanicsWithValue(t, "view: WriteHistory of a nil *history.History", func() { _ = view.WriteHistory(&b, nil) })
}
