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

const ms = time.Millisecond

// merged reads logs, the first of which need not have begun first, and merges them.
func merged(t *testing.T, logs ...string) *history.History {
	t.Helper()
	h, err := history.Merge(histories(t, logs...)...)
	require.NoError(t, err)
	return h
}

func histories(t *testing.T, logs ...string) (all []*history.History) {
	t.Helper()
	for _, log := range logs {
		all = append(all, logtest.Read(t, log))
	}
	return all
}

// killed returns the history of a tree of three processes.
func killed(t *testing.T) *history.History {
	t.Helper()
	logs := logtest.Killed()
	return merged(t, logs["root.mid.leaf-73.jsonl"], logs["root-71.jsonl"], logs["root.mid-72.jsonl"])
}

// scopeNamed returns the only scope with a name.
func scopeNamed(t *testing.T, h *history.History, name string) (found *history.Scope) {
	t.Helper()
	for _, s := range h.Scopes {
		if s.Name == name {
			require.Nil(t, found, "two scopes are named %s", name)
			found = s
		}
	}
	require.NotNil(t, found, name)
	return found
}

func TestMergePutsAProcessBelowTheTaskThatHasStartedIt(t *testing.T) {
	h := killed(t)
	logtest.Check(t, h)
	require.Len(t, h.Roots(), 1)
	root, mid, leaf, square := scopeNamed(t, h, "root"), scopeNamed(t, h, "mid"), scopeNamed(t, h, "leaf"), scopeNamed(t, h, "square")
	assert.Equal(t, "root/mid/leaf/square", square.Path())
	assert.Same(t, root, mid.Parent)
	assert.Same(t, root.Tasks[0], mid.By)
	assert.Equal(t, []*history.Scope{mid}, root.Tasks[0].Scopes)
	assert.Same(t, mid.Tasks[0], leaf.By)

	var pids []int
	for _, p := range h.Processes {
		pids = append(pids, p.PID)
	}
	assert.Equal(t, []int{71, 72, 73}, pids)
	assert.Equal(t, []*history.Scope{leaf}, leaf.Process.Roots)
	assert.Same(t, mid.Process, leaf.Process.Parent)
	assert.Same(t, leaf.Process, square.Process)
	assert.True(t, leaf.BeginsProcess() && root.BeginsProcess())
	assert.False(t, square.BeginsProcess())
	assert.Equal(t, "process 72 (mid)", mid.Process.String())

	assert.EqualValues(t, 1, root.ID, "IDs of the first process stay")
	assert.EqualValues(t, 72<<32|1, mid.ID)
	assert.EqualValues(t, 73<<32|2, square.ID)
}

func TestMergeCountsAllTimesFromTheFirstBeginning(t *testing.T) {
	h := killed(t)
	assert.Equal(t, time.Date(2026, 11, 21, 1, 2, 3, 0, time.UTC), h.Started)
	leaf := scopeNamed(t, h, "leaf")
	assert.Equal(t, 15*ms, leaf.Process.Started)
	assert.Equal(t, 16*ms, leaf.Opened)
	assert.Equal(t, history.Never, leaf.Closed)
	assert.Equal(t, 17*ms, leaf.Tasks[0].Spawned)
	assert.Equal(t, history.Never, leaf.Tasks[0].Ended)
	assert.Equal(t, 44*ms, h.End)
}

func TestAProcessThatWasKilledHasNoEnd(t *testing.T) {
	h := killed(t)
	leaf := scopeNamed(t, h, "leaf").Process
	assert.False(t, leaf.Closed)
	assert.True(t, leaf.Died(), "the task that stands for it has ended")
	assert.Equal(t, 18*ms, leaf.End, "its last line")
	assert.Equal(t, 30*ms, leaf.Until, "its starter has seen its end")
	mid := scopeNamed(t, h, "mid").Process
	assert.True(t, mid.Closed)
	assert.False(t, mid.Died(), "its recording is complete")
	assert.False(t, h.Closed, "not all are complete")
	assert.Equal(t, "root-71", fmt.Sprintf("%s-%d", h.Roots()[0].Name, h.PID))
}

// When a whole tree is killed, a process has lived as long as those that end with it.
func TestAProcessHasLivedAsLongAsWhatItHasStarted(t *testing.T) {
	logs := logtest.Killed()
	cut := func(log, at string) string { return log[:strings.Index(log, at)] }
	root := cut(logs["root-71.jsonl"], `{"t":40000000`)
	mid := cut(logs["root.mid-72.jsonl"], `{"t":20000000`)
	h := merged(t, root, mid, logs["root.mid.leaf-73.jsonl"])
	for _, p := range h.Processes {
		assert.False(t, p.Died(), "nobody has seen its end")
		assert.Equal(t, 18*ms, p.Until, p)
	}
	h = merged(t, root, mid+`{"t":15000000,"k":"spawn","s":1,"id":2,"n":"later"}`+"\n", logs["root.mid.leaf-73.jsonl"])
	for _, p := range h.Processes {
		assert.Equal(t, 25*ms, p.Until, "%v: when mid wrote its last line, neither root nor leaf had ended", p)
	}
	h = merged(t, root, logs["root.mid-72.jsonl"], logs["root.mid.leaf-73.jsonl"])
	assert.Equal(t, 33*ms, h.Processes[0].Until)
	assert.Equal(t, 30*ms, h.Processes[2].Until)
}

func TestAProcessWhoseStarterIsNotThereIsARoot(t *testing.T) {
	logs := logtest.Killed()
	h := merged(t, logs["root.mid.leaf-73.jsonl"], logs["root-71.jsonl"])
	logtest.Check(t, h)
	leaf := scopeNamed(t, h, "leaf")
	assert.Nil(t, leaf.Parent)
	assert.Nil(t, leaf.Process.Parent)
	assert.Equal(t, &history.Starter{Run: "bbbbbbbb", PID: 72, Scope: 1, Task: 1}, leaf.Process.Starter)
	assert.Len(t, h.Roots(), 2)
	assert.False(t, leaf.Process.Died(), "nobody has seen its end")
}

const (
	oneScope = `{"t":1000000,"k":"scope","id":1,"n":"%[1]s"}
{"t":2000000,"k":"spawn","s":1,"id":1,"n":"task of %[1]s"}
`
)

func TestAStarterIsFoundByItsRunElseByItsPID(t *testing.T) {
	log := func(name, run string, pid, at int, by string) string {
		return logtest.ProcessHeader(run, pid, at, by) + fmt.Sprintf(oneScope, name)
	}
	earlier, starter, later := log("earlier", "aaaaaaaa", 7, 0, ""), log("starter", "bbbbbbbb", 7, 100, ""), log("later", "cccccccc", 7, 300, "")
	for _, row := range []struct{ says, by, want string }{
		{"by its run", `{"run":"aaaaaaaa","pid":7,"scope":1,"task":1}`, "earlier"},
		{"by its PID, if it has no recording: the last before it", `{"pid":7,"scope":1,"task":1}`, "starter"},
		{"or if that is elsewhere", `{"run":"dddddddd","pid":7,"scope":1,"task":1}`, "starter"},
		{"by no run of another process", `{"run":"bbbbbbbb","pid":8,"scope":1,"task":1}`, ""},
		{"no such scope", `{"run":"bbbbbbbb","pid":7,"scope":5,"task":1}`, ""},
		{"nothing", `{}`, ""},
	} {
		h := merged(t, later, log("child", "eeeeeeee", 9, 200, row.by), earlier, starter)
		logtest.Check(t, h)
		child, got := scopeNamed(t, h, "child"), ""
		if child.Parent != nil {
			got = child.Parent.Name
			assert.Equal(t, "task of "+got, child.By.Name, row.says)
		}
		assert.Equal(t, row.want, got, row.says)
	}

	noTask := merged(t, starter, log("child", "eeeeeeee", 9, 200, `{"run":"bbbbbbbb","pid":7,"scope":1,"task":4}`))
	assert.Equal(t, "starter", scopeNamed(t, noTask, "child").Parent.Name, "the lines of the task may be lost")
	assert.Nil(t, scopeNamed(t, noTask, "child").By)
}

// IDs stay unique if a PID comes again, and a circle of processes has a beginning.
func TestMergeTakesWhatNoTreeWouldWrite(t *testing.T) {
	log := func(name, run string, at int, by string) string {
		return logtest.ProcessHeader(run, 7, at, by) + fmt.Sprintf(oneScope, name)
	}
	h := merged(t,
		log("a", "aaaaaaaa", 0, `{"run":"cccccccc","pid":7,"scope":1,"task":1}`),
		log("b", "bbbbbbbb", 10, `{"run":"aaaaaaaa","pid":7,"scope":1,"task":1}`),
		log("c", "cccccccc", 20, `{"run":"bbbbbbbb","pid":7,"scope":1,"task":1}`),
		log("d", "dddddddd", 30, `{"run":"dddddddd","pid":7,"scope":1,"task":1}`))
	logtest.Check(t, h)
	ids, scopes := map[uint64]bool{}, map[uint64]bool{}
	for _, s := range h.Scopes {
		ids[s.Process.ID], scopes[s.ID] = true, true
	}
	assert.Len(t, ids, 4)
	assert.Len(t, scopes, 4)
	assert.Equal(t, "a/b/c", scopeNamed(t, h, "c").Path())
	assert.Nil(t, scopeNamed(t, h, "d").Parent)
}

func TestMergeRefusesWhatItCannotMerge(t *testing.T) {
	chat := func() *history.History { return logtest.Read(t, logtest.Chat) }
	undated := logtest.Read(t, `{"traigo":1,"run":"6f1c9a0f","pid":71}`+"\n")
	old := logtest.Read(t, `{"traigo":1,"run":"6f1c9a0f","pid":71,"t0":"1826-11-21T01:02:03Z"}`+"\n")
	tree := killed(t)
	for _, row := range []struct {
		hs   []*history.History
		says string
	}{
		{nil, "no recording to merge"},
		{[]*history.History{chat(), nil}, "nil *History"},
		{[]*history.History{chat(), chat()}, "6f1c9a0e of process 71 is there twice"},
		{[]*history.History{chat(), logtest.ReadSCLogs(t, logtest.Fetch)}, "trio-vis"},
		{[]*history.History{tree, chat()}, "not of one process"},
		{[]*history.History{chat(), undated}, "when it began"},
		{[]*history.History{chat(), old}, "a century apart"},
	} {
		_, err := history.Merge(row.hs...)
		require.ErrorContains(t, err, row.says)
		assert.True(t, strings.HasPrefix(err.Error(), "history: "), err)
	}
	one, err := history.Merge(chat())
	require.NoError(t, err)
	assert.Equal(t, chat().Scopes[0].ID, one.Scopes[0].ID)
}

func TestWhatIsMissingIsToldOfEachProcess(t *testing.T) {
	lost := func(run string, pid, at int) string {
		return logtest.ProcessHeader(run, pid, at, "") + `{"t":5000000,"k":"lost","n":812,"why":"the writer was too slow"}` + "\nnonsense\n{\"t\":6"
	}
	again := strings.Replace(lost("aaaaaaaa", 7, 0), "nonsense", `{"t":90000000,"k":"lost","n":1,"why":"slow"}`+"\nnonsense", 1)
	h := merged(t, lost("bbbbbbbb", 8, 10), again, logtest.ProcessHeader("cccccccc", 9, 30, ""))
	require.Len(t, h.Losses, 3)
	assert.Equal(t, 90*ms, h.Losses[2].At, "in the order of time")
	assert.Equal(t, 5*ms, h.Losses[0].At)
	assert.Equal(t, 7, h.Losses[0].Process.PID)
	assert.Equal(t, 15*ms, h.Losses[1].At)
	assert.Equal(t, 8, h.Losses[1].Process.PID)
	assert.EqualValues(t, 2*812+1, h.Lost())
	assert.Equal(t, 2, h.Damaged)
	assert.True(t, h.Truncated)
	assert.Equal(t, []bool{true, true, false}, []bool{h.Processes[0].Truncated, h.Processes[1].Truncated, h.Processes[2].Truncated})
	assert.Equal(t, []int{1, 1, 0}, []int{h.Processes[0].Damaged, h.Processes[1].Damaged, h.Processes[2].Damaged})
}

// A process is asked to end by the one that has started it. That its root was canceled then
// has its cause there.
func TestCulpritIsFoundAcrossProcesses(t *testing.T) {
	const parent = `{"t":1,"k":"scope","id":1,"n":"root"}
{"t":2,"k":"spawn","s":1,"id":1,"n":"actor"}
{"t":2,"k":"spawn","s":1,"id":2,"n":"work"}
`
	const child = `{"t":3,"k":"scope","id":1,"n":"served"}
{"t":3,"k":"spawn","s":1,"id":1,"n":"call"}
{"t":4,"k":"scope","id":2,"in":1,"n":"inner"}
{"t":9,"k":"cancel","id":2,"why":"parent canceled"}
`
	for _, row := range []struct{ says, parent, child, want string }{
		{"the scope of the starter failed before", `{"t":5,"k":"cancel","id":1,"why":"task failed","by":2}`, `{"t":8,"k":"cancel","id":1,"why":"requested","err":"canceled by root"}`, "task work of root"},
		{"it ended well", `{"t":5,"k":"cancel","id":1,"why":"completed"}`, `{"t":8,"k":"cancel","id":1,"why":"requested"}`, "scope root"},
		{"it ended before, and a context told", `{"t":5,"k":"cancel","id":1,"why":"timeout"}`, `{"t":8,"k":"cancel","id":1,"why":"parent canceled","err":"canceled"}`, "scope root"},
		{"the request came first", `{"t":8,"k":"cancel","id":1,"why":"completed"}`, `{"t":7,"k":"cancel","id":1,"why":"requested","err":"scope \"root\" canceled"}`, "scope served"},
		{"a context told first", `{"t":8,"k":"cancel","id":1,"why":"completed"}`, `{"t":7,"k":"cancel","id":1,"why":"parent canceled","err":"scope \"root\" canceled"}`, "scope served"},
		{"nothing but a request", ``, `{"t":7,"k":"cancel","id":1,"why":"requested"}`, "scope served"},
		{"the task alone was canceled", `{"t":9,"k":"end","s":1,"id":1,"st":"canceled"}`, `{"t":7,"k":"cancel","id":1,"why":"requested"}`, "task actor of root"},
		{"it failed by itself", `{"t":5,"k":"cancel","id":1,"why":"completed"}`, `{"t":7,"k":"cancel","id":1,"why":"task failed","by":1}`, "task call of served"},
		{"a task of its own has requested it", `{"t":5,"k":"cancel","id":1,"why":"completed"}`, `{"t":7,"k":"cancel","id":1,"why":"requested","by":1}`, "task call of served"},
	} {
		h := merged(t, logtest.ProcessHeader("aaaaaaaa", 7, 0, "")+parent+row.parent+"\n",
			logtest.ProcessHeader("bbbbbbbb", 8, 0, `{"run":"aaaaaaaa","pid":7,"scope":1,"task":1}`)+child+row.child+"\n")
		task, scope := scopeNamed(t, h, "inner").Culprit()
		got := "scope " + scope.Name
		if task != nil {
			got = "task " + task.Name + " of " + scope.Name
		}
		assert.Equal(t, row.want, got, row.says)
	}

	alone := logtest.Read(t, logtest.Header+child+`{"t":8,"k":"cancel","id":1,"why":"requested"}`+"\n")
	_, scope := alone.Scopes[1].Culprit()
	assert.Equal(t, "served", scope.Name, "in a recording of one process a root has no parent")
}

// Any histories can be merged, and the result is consistent within each process.
func FuzzMerge(f *testing.F) {
	for seed := range uint64(10) {
		f.Add([]byte(logtest.Random(seed)[len(logtest.Header):]), []byte(logtest.Random(seed + 10)[len(logtest.Header):]), uint64(1), uint64(1))
	}
	f.Fuzz(func(t *testing.T, one, two []byte, scope, task uint64) {
		first, err := history.Read(strings.NewReader(logtest.ProcessHeader("aaaaaaaa", 7, 0, "") + string(one)))
		if err != nil {
			return
		}
		by := fmt.Sprintf(`{"run":"aaaaaaaa","pid":7,"scope":%d,"task":%d}`, scope, task)
		second, err := history.Read(strings.NewReader(logtest.ProcessHeader("bbbbbbbb", 8, 1000, by) + string(two)))
		if err != nil {
			return
		}
		scopes := len(first.Scopes) + len(second.Scopes)
		h, err := history.Merge(first, second)
		if err != nil {
			return // a header among the lines has another time
		}
		require.Len(t, h.Scopes, scopes)
		logtest.CheckLinks(t, h)
	})
}

func BenchmarkMerge(b *testing.B) {
	const processes = 100
	var logs []string
	for i := range processes {
		by := ""
		if i > 0 {
			by = fmt.Sprintf(`{"run":"run%05d","pid":%d,"scope":1,"task":0}`, i/2, i/2+1)
		}
		logs = append(logs, strings.Replace(logtest.Big(1000, false), logtest.Header, logtest.ProcessHeader(fmt.Sprintf("run%05d", i), i+1, i, by), 1))
	}
	for b.Loop() {
		b.StopTimer()
		var hs []*history.History
		for _, log := range logs {
			h, err := history.Read(strings.NewReader(log))
			require.NoError(b, err)
			hs = append(hs, h)
		}
		b.StartTimer()
		h, err := history.Merge(hs...)
		require.NoError(b, err)
		require.Len(b, h.Roots(), 1)
	}
}
