package export_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo/record/export"
	"github.com/traigo/traigo/record/history"
	"github.com/traigo/traigo/record/internal/logtest"
)

func readDir(t *testing.T, files map[string]string) *history.History {
	t.Helper()
	h, err := history.ReadDir(logtest.Dir(t, files))
	require.NoError(t, err)
	return h
}

func TestTreeOfProcessesSaysWhichOneDied(t *testing.T) {
	files := logtest.Killed()
	files["app.jsonl"] = "hello\n"
	assert.Equal(t, `example.com/chat, 2026-11-21 01:02:03 UTC, 3 processes, go1.26, 4 scopes, 4 tasks, 44 ms
✗ root/mid failed at 31 ms (20 ms after it began): task leaf returned “actor root/mid/leaf is gone: signal: killed”. That ended root as well, and 1 task was canceled because of it.
▶ The log of process 73, leaf, stops at 18 ms without its last line: it crashed or was killed. 1 task and 2 scopes in it had not ended.
? 1 file is left out: app.jsonl: this is no log of traigo: its first line is not {"traigo":2,…}.

root  42 ms  process 71, task failed ← mid/leaf
├─ ✗ mid  38 ms  failed ← mid/leaf
│  └─ mid  21 ms  process 72, task failed ← leaf, 1 task canceled because of it
│     └─ ✗ leaf  18 ms  failed: actor root/mid/leaf is gone: signal: killed
│        └─ leaf  ≥14 ms  process 73 crashed or killed, open when its process ended
│           └─ ▶ compute  ≥13 ms  running when its process ended
│              └─ square  ≥12 ms  open when its process ended
└─ ○ work  39 ms  canceled
`, treeOf(t, readDir(t, files)))
}

// crew returns the logs of a process that has started n others, all alike. Of these the last
// two were killed.
func crew(n int) map[string]string {
	var root strings.Builder
	root.WriteString(logtest.ProcessHeader("aaaaaaaa", 100, 0, "") + `{"t":0,"k":"scope","id":1,"n":"root"}` + "\n")
	files := map[string]string{}
	for i := 1; i <= n; i++ {
		fmt.Fprintf(&root, `{"t":%d,"k":"spawn","s":1,"id":%d,"n":"worker"}`+"\n"+`{"t":9000000,"k":"end","s":1,"id":%d,"st":"ok"}`+"\n", i, i, i)
		log := logtest.ProcessHeader(fmt.Sprintf("bbbb%04d", i), 100+i, i, fmt.Sprintf(`{"run":"aaaaaaaa","pid":100,"scope":1,"task":%d}`, i)) +
			`{"t":1,"k":"scope","id":1,"n":"worker"}` + "\n"
		if i < n-1 {
			log += `{"t":2000000,"k":"close","id":1}` + "\n" + `{"t":2000000,"k":"bye"}` + "\n"
		}
		files[fmt.Sprintf("root.worker-%d.jsonl", 100+i)] = log
	}
	files["root-100.jsonl"] = root.String() + `{"t":9000000,"k":"close","id":1}` + "\n" + `{"t":9000000,"k":"bye"}` + "\n"
	return files
}

func TestTreeFoldsProcessesThatAreAlike(t *testing.T) {
	text := treeOf(t, readDir(t, crew(9)))
	assert.Contains(t, text, `└─ ✓ worker [×9]  9 ms
   └─ worker [×9]  2 ms, 9 processes, 2 crashed or killed, 2 unfinished
      └─ ↳ 2 unfinished, first worker (id 108-1) at 8 ms
`)
	assert.Equal(t, 2, strings.Count(text, "it crashed or was killed"))

	files := crew(20)
	for name, log := range files {
		files[name] = strings.Replace(log, `"k":"bye"`, `"k":"lost","n":1,"why":"slow"`, 1)
	}
	text = treeOf(t, readDir(t, files))
	assert.Contains(t, text, "▶ So do the logs of 18 processes more.\n")
	assert.Contains(t, text, "? 19 lines of the log are lost in 19 places, first at 3 ms in process 101: slow.")
}

// Each process is one of the trace, and arrows lead from one to the other.
func TestChromeHasTheProcesses(t *testing.T) {
	h := readDir(t, logtest.Killed())
	chromeOfProcesses(t, h)
	names, labels, froms, tos := map[int]string{}, map[int]string{}, map[uint64]int{}, map[uint64]int{}
	ends := map[string]string{}
	for _, e := range chromeOf(t, h) {
		switch {
		case e.Name == "process_name":
			names[e.PID], _ = e.Args["name"].(string)
		case e.Name == "process_labels":
			labels[e.PID], _ = e.Args["labels"].(string)
		case e.Ph == "s" && e.Name == "spawn":
			froms[e.ID] = e.PID
		case e.Ph == "f" && e.Name == "spawn":
			tos[e.ID] = e.PID
		case e.Ph == "E":
			ends[e.Name] = e.TS.String()
		}
	}
	assert.Equal(t, map[int]string{71: "root (example.com/chat)", 72: "root/mid (example.com/chat)", 73: "root/mid/leaf (example.com/chat)"}, names)
	assert.Len(t, labels, 1)
	assert.Contains(t, labels[73], "crashed or was killed")
	assert.Equal(t, "30000", ends["compute (unfinished)"], "its starter has seen the end of the process, long before that of the log")
	crossings := map[string]int{}
	for id, from := range froms {
		if from != tos[id] {
			crossings[fmt.Sprintf("%d→%d", from, tos[id])]++
		}
	}
	assert.Equal(t, map[string]int{"71→72": 1, "72→73": 1}, crossings)
}

// Rows with the same path are not shared by processes.
func TestChromeKeepsProcessesApart(t *testing.T) {
	pids := map[int]bool{}
	for _, e := range chromeOf(t, readDir(t, crew(9))) {
		if e.Ph == "B" && e.Cat == "scope" {
			pids[e.PID] = true
		}
	}
	assert.Len(t, pids, 10)
}

// A scope that begins a process is not folded with those of this one that are alike.
func TestTreeDoesNotFoldScopesOfTwoKindsOfProcess(t *testing.T) {
	root := logtest.ProcessHeader("aaaaaaaa", 100, 0, "") + `{"t":0,"k":"scope","id":1,"n":"root"}` + "\n"
	files := map[string]string{}
	for i := range 4 {
		root += fmt.Sprintf(`{"t":1,"k":"scope","id":%d,"in":1,"n":"part"}`+"\n"+`{"t":2,"k":"close","id":%d}`+"\n", 10+i, 10+i)
		files[fmt.Sprintf("part-%d.jsonl", i)] = logtest.ProcessHeader(fmt.Sprintf("bbbb%04d", i), 101+i, 0, `{"run":"aaaaaaaa","pid":100,"scope":1}`) +
			`{"t":1,"k":"scope","id":1,"n":"part"}` + "\n" + `{"t":2,"k":"close","id":1}` + "\n" + `{"t":2,"k":"bye"}` + "\n"
	}
	files["root.jsonl"] = root
	text := treeOf(t, readDir(t, files))
	assert.NotContains(t, text, "[×")
	assert.Equal(t, 4, strings.Count(text, "part  1 ns  process 10"), "%s", text)
}

// chromeOfProcesses checks that no row has slices of two processes.
func chromeOfProcesses(t *testing.T, h *history.History) {
	t.Helper()
	owner := map[int]int{}
	for _, e := range chromeOf(t, h) {
		if e.TID == 0 {
			continue
		}
		pid, known := owner[e.TID]
		require.True(t, !known || pid == e.PID, "row %d is of processes %d and %d", e.TID, pid, e.PID)
		owner[e.TID] = e.PID
	}
}

func TestPerfettoHasTheProcesses(t *testing.T) {
	h := readDir(t, logtest.Killed())
	tracks, from, to := perfettoOf(t, h)
	processes, named := map[uint64]string{}, map[string]*pfTrack{}
	for uuid, track := range tracks {
		if track.cat == "process" {
			processes[uuid] = track.name
		} else {
			named[track.cat+" "+track.name] = track
		}
	}
	assert.Len(t, processes, 3)
	assert.Equal(t, "root/mid (example.com/chat)", processes[named["scope mid"].parent])
	assert.Equal(t, "root/mid/leaf (example.com/chat)", processes[named["scope leaf"].parent])
	assert.Equal(t, "leaf", tracks[named["task compute"].parent].name)
	assert.Nil(t, named["task compute"].end)
	assert.Contains(t, named["scope leaf"].marks, "started")
	assert.Contains(t, named["task leaf"].marks, "starts a process")
	assert.Len(t, from, len(to))
}

// A file of trio-vis has no place for processes: their scopes are in each other.
func TestSCLogsOfProcessesIsOneTree(t *testing.T) {
	h := readDir(t, logtest.Killed())
	var b bytes.Buffer
	require.NoError(t, export.SCLogs(&b, h))
	require.NoError(t, visCheck(b.Bytes()))
	var file struct {
		RunRecords []struct {
			Time       float64
			Desc, Name string
		}
	}
	require.NoError(t, json.Unmarshal(b.Bytes(), &file))
	for _, r := range file.RunRecords {
		if strings.HasPrefix(r.Name, "compute-0") && r.Desc == "exited" {
			assert.InDelta(t, 0.030, r.Time, 1e-9, "when its process ended")
			assert.Contains(t, r.Name, "[running]")
			assert.NotContains(t, r.Name, "straggler")
		}
	}
	back, err := history.ReadSCLogs(&b)
	require.NoError(t, err)
	assert.Len(t, back.Scopes, len(h.Scopes))
}

// What holds for each history holds for those of several processes.
func TestProcessesCanBeExported(t *testing.T) {
	for seed := range uint64(30) {
		files := map[string]string{}
		for i := range 4 {
			by := ""
			if i > 0 {
				by = fmt.Sprintf(`{"run":"run0000%d","pid":%d,"scope":%d,"task":%d}`, (i-1)/2, 100+(i-1)/2, 1+seed%3, seed%3)
			}
			header := logtest.ProcessHeader(fmt.Sprintf("run0000%d", i), 100+i, i, by)
			files[fmt.Sprintf("p%d.jsonl", i)] = header + logtest.Random(seed*4 + uint64(i))[len(logtest.Header):]
		}
		h := readDir(t, files)
		logtest.CheckLinks(t, h)
		chromeOfProcesses(t, h)
		perfettoOf(t, h)
		for name, write := range writers {
			var b bytes.Buffer
			require.NoError(t, write(&b, h), name)
			if name == "sclogs" {
				require.NoError(t, visCheck(b.Bytes()), "seed %d", seed)
			}
		}
	}
}
