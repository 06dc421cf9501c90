package export_test

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo/record/export"
	"github.com/traigo/traigo/record/history"
	"github.com/traigo/traigo/record/internal/logtest"
)

func treeOf(t *testing.T, h *history.History) string {
	t.Helper()
	var b bytes.Buffer
	require.NoError(t, export.Tree(&b, h))
	return b.String()
}

// service returns the log of a server with many connections whose master fails.
func service() string {
	var b strings.Builder
	b.WriteString(logtest.Header)
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	const ms = 1_000_000
	line(`{"t":0,"k":"scope","id":1,"n":"server"}`)
	line(`{"t":0,"k":"spawn","s":1,"id":1,"n":"accept","f":"bmw"}`)
	line(`{"t":0,"k":"start","s":1,"id":1}`)
	for i := range 1200 {
		line(`{"t":%d,"k":"scope","id":%d,"in":1,"by":1,"n":"conn"}`, i*ms, 2+i)
		for r := range 2 + i%2 {
			line(`{"t":%d,"k":"spawn","s":%d,"id":%d,"n":"request","f":"bw"}`, i*ms, 2+i, 1+r)
			line(`{"t":%d,"k":"start","s":%d,"id":%d}`, i*ms, 2+i, 1+r)
			line(`{"t":%d,"k":"end","s":%d,"id":%d,"st":"ok"}`, i*ms+(r+1)*ms/2, 2+i, 1+r)
		}
		line(`{"t":%d,"k":"cancel","id":%d,"why":"completed"}`, (i+3)*ms, 2+i)
		line(`{"t":%d,"k":"close","id":%d}`, (i+3)*ms, 2+i)
	}
	line(`{"t":%d,"k":"scope","id":5000,"in":1,"by":1,"n":"conn"}`, 1200*ms)
	line(`{"t":%d,"k":"spawn","s":5000,"id":1,"n":"request","f":"bw"}`, 1200*ms)
	line(`{"t":%d,"k":"start","s":5000,"id":1}`, 1200*ms)
	line(`{"t":%d,"k":"spawn","s":5000,"id":2,"n":"upload\u001b[2J","f":"bw"}`, 1200*ms)
	line(`{"t":%d,"k":"start","s":5000,"id":2}`, 1200*ms)
	line(`{"t":%d,"k":"spawn","s":1,"id":2,"n":"metrics","f":"b"}`, 1201*ms)
	line(`{"t":%d,"k":"start","s":1,"id":2}`, 1201*ms)
	line(`{"t":%d,"k":"scope","id":5001,"in":1,"n":"cache"}`, 1202*ms)
	line(`{"t":%d,"k":"end","s":1,"id":1,"st":"failed","err":"too many open files\nand more"}`, 1300*ms)
	line(`{"t":%d,"k":"cancel","id":1,"why":"task failed","by":1,"err":"too many open files\nand more"}`, 1300*ms+1)
	line(`{"t":%d,"k":"cancel","id":5000,"why":"parent canceled"}`, 1300*ms+2)
	line(`{"t":%d,"k":"cancel","id":5001,"why":"parent canceled"}`, 1300*ms+2)
	line(`{"t":%d,"k":"end","s":5000,"id":1,"st":"canceled","err":"context canceled"}`, 1301*ms)
	line(`{"t":%d,"k":"end","s":1,"id":2,"st":"panicked","err":"task \"metrics\" panicked: nil map\n\ngoroutine 7"}`, 1302*ms)
	line(`{"t":%d,"k":"close","id":5001,"err":"x"}`, 1302*ms)
	line(`{"t":%d,"k":"stuck","s":5000,"id":2}`, 1400*ms)
	line(`{"t":%d,"k":"lost","n":812,"why":"the writer was too slow"}`, 1450*ms)
	return b.String()
}

func TestTreeShowsWhatAServiceDid(t *testing.T) {
	assert.Equal(t, `example.com/chat, 2026-11-21 01:02:03 UTC, pid 71, go1.26, 1,203 scopes, 3,004 tasks, 1.45 s
✗ server failed at 1.3 s: task accept returned “too many open files”; 3 tasks and 2 scopes were canceled because of it.
✗ task metrics panicked with “nil map” at 1.3 s (101 ms after it began); that ended no scope.
! 1 task did not end when told to, and was given up: upload\x1b[2J. server was told to end at 1.3 s: task accept returned “too many open files”.
▶ The log stops at 1.45 s without its last line: the program crashed, was killed, or still runs. 1 task and 2 scopes had not ended.
? 812 lines of the log are lost at 1.45 s: the writer was too slow. What happened then is shown as far as it is known.

server  ≥1.45 s  still canceling, task failed ← accept, 3 tasks and 2 scopes canceled because of it
├─ ✗ accept  1.3 s  master, failed: too many open files
│  └─ conn [×1,201]  3 ms, 1 unfinished
│     ├─ ↳ unfinished, conn (id 5000) at 1.2 s
│     ├─ • request [×3,001]  median 1 ms, p99 1.5 ms, 1 canceled
│     │  └─ ↳ slowest 101 ms: request (id 5000.1) at 1.2 s
│     └─ ! upload\x1b[2J  ≥250 ms  given up, still running
├─ ✗ metrics  101 ms  panicked: nil map
└─ cache  100 ms  parent canceled ← server/accept
`, treeOf(t, logtest.Read(t, service())))
}

func TestTreeOfAFileOfTrioVisCountsSteps(t *testing.T) {
	h := logtest.ReadSCLogs(t, logtest.Fetch)
	assert.Equal(t, `a program of trio, 3 scopes, 3 tasks, 14 steps
✓ trio.run ended at 13 steps: 3 tasks in 3 scopes.
? This is a file of trio-vis: it does not say how tasks ended, and its times are steps, not seconds.

trio.run  13 steps
└─ ✓ main-0  13 steps
   ├─ nursery-0  11 steps
   │  └─ ✓ get-0  2 steps
   └─ nursery-1  5 steps
      └─ ✓ get-1  2 steps
`, treeOf(t, h))
}

func TestTreeSaysWhatIsMissing(t *testing.T) {
	text := treeOf(t, logtest.Read(t, logtest.Header+`{"t":1,"k":"scope","id":1,"n":"s"}
{"t":2,"k":"spawn","s":1,"id":1,"n":"gone"}
{"t":3,"k":"spawn","s":1,"id":2,"n":"waits"}
{"t":4,"k":"live","n":2}
{"t":1,"k":"scope","id":1,"n":"s","st":"open"}
{"t":3,"k":"spawn","s":1,"id":2,"n":"waits","st":"queued"}
nonsense
{"t":5,"k":"scope","id":`))
	for _, line := range []string{
		"▶ The log stops at 4 ns without its last line: the program crashed, was killed, or still runs. 1 task and 1 scope had not ended.\n",
		"? The log is cut in the middle of a line.\n",
		"? 1 line of the log makes no sense and was left out.\n",
		"\ns  ≥3 ns  still open\n",
		"├─ ? gone  2 ns  ended in a gap of the log\n",
		"└─ ▶ waits  ≥1 ns  never started\n",
	} {
		assert.Contains(t, text, line)
	}
}

func TestTreeOfASegmentSaysThatTheNextMayFollow(t *testing.T) {
	segment := strings.Replace(logtest.Header, `"pid"`, `"segment":1,"pid"`, 1)
	assert.Contains(t, treeOf(t, logtest.Read(t, segment+`{"t":1,"k":"scope","id":1,"n":"s"}`+"\n")), "it goes on in the next file")
}

// siblings returns a log of n tasks; the one that is number i ends after i ns, as end says.
func siblings(n int, end func(i int) string) string {
	var b strings.Builder
	b.WriteString(logtest.Header + `{"t":1,"k":"scope","id":1,"n":"s"}` + "\n")
	for i := 1; i <= n; i++ {
		fmt.Fprintf(&b, `{"t":%d,"k":"spawn","s":1,"id":%d,"n":"w %d"}`+"\n", i, i, i)
		if state := end(i); state != "" {
			fmt.Fprintf(&b, `{"t":%d,"k":"end","s":1,"id":%d,%s}`+"\n", 2*i, i, state)
		}
	}
	return b.String()
}

// Four siblings of one name are written one by one, and five are folded, whatever became of
// them. Numbers in the name do not count.
func TestTreeFoldsByName(t *testing.T) {
	tree := func(n int, end func(i int) string) string { return treeOf(t, logtest.Read(t, siblings(n, end))) }
	ok := func(int) string { return `"st":"ok"` }
	assert.Equal(t, 4, strings.Count(tree(4, ok), "✓ w"))
	assert.Contains(t, tree(5, ok), "\n└─ ✓ w # [×5]  median 3 ns, p99 5 ns\n")
	assert.Contains(t, tree(200, ok), "\n└─ ✓ w # [×200]  median 100 ns, p99 198 ns\n")
	assert.Contains(t, tree(2000, func(i int) string {
		switch {
		case i%100 == 7:
			return `"st":"failed","err":"conn ` + strconv.Itoa(i) + ` reset"`
		case i == 50:
			return `"st":"failed","err":"rare"`
		case i%100 == 9:
			return `"st":"canceled","err":"context canceled"`
		case i == 99:
			return ""
		}
		return `"st":"ok"`
	}), `
└─ • w # [×2,000]  median 1 µs, p99 1.98 µs, 21 failed, 1 unfinished, 20 canceled
   ├─ ↳ 20 failed, first w 7 (id 1.7) at 7 ns: conn 7 reset
   ├─ ↳ failed, w 50 (id 1.50) at 50 ns: rare
   └─ ↳ unfinished, w 99 (id 1.99) at 99 ns
`)
	assert.Contains(t, tree(30, func(i int) string { return `"st":"failed","err":"` + string(rune('a'+i%6)) + `"` }), "   └─ ↳ 15 failed with 3 other errors\n")
	assert.Contains(t, tree(6, func(int) string { return "" }), "\n└─ • w # [×6]  median ≥2 ns, p99 ≥5 ns, all unfinished\n")
	assert.Contains(t, tree(6, func(i int) string {
		if i < 5 {
			return `"st":"failed","err":"w ` + strconv.Itoa(i) + `: no such object"`
		}
		return ""
	}), `
└─ • w # [×6]  median 2 ns, p99 4 ns, 4 failed, 2 unfinished
   ├─ ↳ 4 failed, first w 1 (id 1.1) at 1 ns: no such object
   └─ ↳ 2 unfinished, first w 5 (id 1.5) at 5 ns
`, "times are of those that have ended, and the error does not say the name again")
}

// The slowest is told where it is much slower than the others, and once.
func TestTreeShowsTheSlowest(t *testing.T) {
	var b strings.Builder
	b.WriteString(logtest.Header + `{"t":1,"k":"scope","id":1,"n":"s"}` + "\n")
	for i := 2; i < 22; i++ {
		end := 5_000_000 * (1 + i/21*9)
		fmt.Fprintf(&b, `{"t":1,"k":"scope","id":%d,"in":1,"n":"conn"}
{"t":1,"k":"spawn","s":%[1]d,"id":1,"n":"read"}
{"t":%[2]d,"k":"end","s":%[1]d,"id":1,"st":"ok"}
{"t":%[2]d,"k":"close","id":%[1]d}
`, i, end)
	}
	assert.Contains(t, treeOf(t, logtest.Read(t, b.String())), `
└─ conn [×20]  median 5 ms, p99 50 ms
   ├─ ↳ slowest 50 ms: conn (id 21) at 1 ns
   └─ ✓ read [×20]  median 5 ms, p99 50 ms
`)
}

// Numbers of levels tell them apart where indentation does not.
func TestTreeOfSixtyLevels(t *testing.T) {
	var b strings.Builder
	b.WriteString(logtest.Header)
	inner := `task \"work\": bottom reached`
	for i := range 60 {
		fmt.Fprintf(&b, `{"t":%d,"k":"scope","id":%d,"in":%d,"n":"level %[2]d"}`+"\n", i, i+1, i)
	}
	b.WriteString(`{"t":60,"k":"spawn","s":60,"id":1,"n":"work"}` + "\n" + `{"t":70,"k":"end","s":60,"id":1,"st":"failed","err":"bottom reached"}` + "\n")
	fmt.Fprintf(&b, `{"t":71,"k":"cancel","id":60,"why":"task failed","by":1,"err":"bottom reached"}`+"\n"+`{"t":72,"k":"close","id":60,"err":"%s"}`+"\n", inner)
	for i := 59; i > 0; i-- {
		inner = `scope \"level ` + strconv.Itoa(i+1) + `\": ` + inner
		fmt.Fprintf(&b, `{"t":%d,"k":"cancel","id":%d,"why":"body failed","err":"%s"}`+"\n"+`{"t":%[1]d,"k":"close","id":%[2]d,"err":"%[3]s"}`+"\n", 140-i, i, inner)
	}
	text := treeOf(t, logtest.Read(t, b.String()))
	assert.Contains(t, text, "✗ level 1/level 2/level 3/level 4/…/level 58/level 59/level 60 failed at 71 ns (12 ns after it began): task work returned “bottom reached”. "+
		"That ended the 59 scopes around it as well, up to level 1.\n")
	assert.Contains(t, text, "[59] level 60  13 ns  task failed ← work\n")
	assert.Contains(t, text, "[40] level 41  59 ns  body failed ← level 42/level 43/…/level 59/level 60/work\n")
	assert.Contains(t, text, "\n"+strings.Repeat(" ", 15*3+21)+"└─ [37] level 38  ", "each level is further right than the one above")
	assert.Equal(t, 2, strings.Count(text, "bottom reached"), "in the story, and where it began")
	for line := range strings.Lines(text) {
		if strings.Contains(line, "level ") && !strings.HasPrefix(line, "✗") {
			assert.Less(t, len([]rune(line)), 180)
		}
	}
}

func TestTreeEndsWithWhatWaitedForWhat(t *testing.T) {
	h := logtest.Read(t, siblings(6, func(int) string { return "" }))
	tasks := h.Scopes[0].Tasks
	h.Censuses = []*history.Census{{Process: h.Processes[0], At: 20 * time.Second, Why: "nothing has moved for 10s", Goroutines: 31, More: 7, Groups: []*history.Group{
		{Waits: "select", At: "main.go:50", Count: 1, Tasks: tasks[:1]},
		{Waits: "sync.Mutex.Lock", At: "main.go:45", For: 2 * time.Minute, Count: 5, Tasks: tasks[1:]},
	}}}
	assert.Contains(t, treeOf(t, h), `
What waited for what at 20 s (nothing has moved for 10s; 31 goroutines):
  5 × sync.Mutex.Lock at main.go:45, 2 m 00 s: w 2, w 3, w 4 and 2 more
  1 × select at main.go:50: w 1
  … and 7 tasks more
`)
	h.Closed, h.Processes[0].Closed = true, true
	assert.NotContains(t, treeOf(t, h), "What waited")
}

func TestTreeSaysWhatARunningTaskDoes(t *testing.T) {
	h := logtest.Read(t, siblings(4, func(int) string { return "" }))
	tasks := h.Scopes[0].Tasks
	for _, task := range tasks {
		task.State = history.TaskRunning
	}
	tasks[2].State, tasks[2].Stuck = history.TaskStuck, 3
	h.Censuses = []*history.Census{{Process: h.Processes[0], At: 20 * time.Second, Groups: []*history.Group{
		{Waits: "runnable", At: "main.go:20", Count: 1, Tasks: tasks[:1]},
		{Waits: "running", At: "main.go:30", Count: 1, Tasks: tasks[1:2]},
		{Waits: "running", At: "main.go:40", Count: 1, Tasks: tasks[2:3]},
		{Waits: "select", At: "main.go:50", Count: 1, Tasks: tasks[3:]},
	}}}
	assert.Regexp(t, `
├─ ▶ w 1  \S+ ns  waiting for a processor at main.go:20
├─ ▶ w 2  \S+ ns  running at main.go:30
├─ ! w 3  \S+ ns  given up, running at main.go:40
└─ ▶ w 4  \S+ s  still running, in select at main.go:50
`, treeOf(t, h))
}

// A scope that has only the error of tasks that were given up has not failed.
func TestTreeOfTasksThatWereGivenUp(t *testing.T) {
	text := treeOf(t, logtest.Read(t, logtest.Header+`{"t":1,"k":"scope","id":1,"n":"bank"}
{"t":2,"k":"spawn","s":1,"id":1,"n":"transfer"}
{"t":3,"k":"cancel","id":1,"why":"requested"}
{"t":4,"k":"stuck","s":1,"id":1,"stack":"goroutine 9 [sync.Mutex.Lock, 2 minutes]:\nmain.transfer()\n\t/x/main.go:45 +0x1"}
{"t":5,"k":"close","id":1,"err":"scope \"bank\": 1 task did not end after cancel: task \"transfer\", age 1ns"}
{"t":6,"k":"bye"}
`))
	assert.Contains(t, text, "! 1 task did not end when told to, and was given up: transfer, waiting for sync.Mutex.Lock at main.go:45.")
	assert.Contains(t, text, `
bank  4 ns  requested, its outcome is that tasks did not end
└─ ! transfer  ≥4 ns  given up, still running, in sync.Mutex.Lock at main.go:45
`)
	assert.NotContains(t, text, "fail")
}

// What ended with its scope, without a failure, was stopped. What a failure ended was canceled.
func TestTreeTellsStoppedFromCanceled(t *testing.T) {
	var b strings.Builder
	b.WriteString(logtest.Header + `{"t":0,"k":"scope","id":1,"n":"app"}` + "\n")
	race := func(id int, cancel, outcome string) {
		fmt.Fprintf(&b, `{"t":1,"k":"scope","id":%[1]d,"in":1,"n":"Race"}
{"t":1,"k":"spawn","s":%[1]d,"id":1,"n":"cached[0]"}
{"t":1,"k":"spawn","s":%[1]d,"id":2,"n":"market[1]"}
{"t":2,"k":"scope","id":%[2]d,"in":%[1]d,"by":2,"n":"inner"}
{"t":5,"k":"end","s":%[1]d,"id":1,%[3]s}
{"t":7,"k":"cancel","id":%[2]d,"why":"parent canceled"}
{"t":8,"k":"close","id":%[2]d,"err":"x"}
{"t":8,"k":"end","s":%[1]d,"id":2,"st":"canceled","err":"context canceled"}
{"t":9,"k":"close","id":%[1]d%[4]s}
`, id, id+1, fmt.Sprintf(cancel, id), outcome)
	}
	const (
		won  = `"st":"ok"}` + "\n" + `{"t":6,"k":"cancel","id":%d,"why":"master ended","by":1`
		lost = `"st":"failed","err":"no"}` + "\n" + `{"t":6,"k":"cancel","id":%d,"why":"task failed","by":1,"err":"no"`
	)
	race(2, won, "")
	race(4, lost, `,"err":"no"`)
	assert.Contains(t, treeOf(t, logtest.Read(t, b.String())), `
├─ Race  8 ns  won by ← cached[0]
│  ├─ ✓ cached[0]  4 ns
│  └─ □ market[1]  7 ns  stopped
│     └─ inner  6 ns  stopped ← app/Race/cached[0], which won
└─ Race  8 ns  task failed ← cached[0], 1 task and 1 scope canceled because of it
   ├─ ✗ cached[0]  4 ns  failed: no
   └─ ○ market[1]  7 ns  canceled
      └─ inner  6 ns  parent canceled ← app/Race/cached[0]
`)
	for id := 6; id < 20; id += 2 {
		race(id, won, "")
	}
	assert.Contains(t, treeOf(t, logtest.Read(t, b.String())), `
   ├─ • cached[0] [×9]  4 ns, 1 failed
   │  └─ ↳ failed, cached[0] (id 4.1) at 1 ns: no
   └─ • market[1] [×9]  7 ns, 1 canceled, 8 stopped
      └─ inner [×9]  6 ns, 1 canceled, 8 stopped
`)
}

// A panic is told where it was, with its line, and the levels above lead there.
func TestTreeTellsAPanicOnce(t *testing.T) {
	text := treeOf(t, logtest.Read(t, logtest.Header+`{"t":1,"k":"scope","id":1,"n":"nest"}
{"t":2,"k":"scope","id":2,"in":1,"n":"level 2"}
{"t":3,"k":"spawn","s":2,"id":1,"n":"boom"}
{"t":4,"k":"end","s":2,"id":1,"st":"panicked","err":"task \"nest/level 2/boom\" panicked: nil map"}
{"t":5,"k":"cancel","id":2,"why":"panicked","at":"main.go:113","by":1,"err":"nil map"}
{"t":6,"k":"close","id":2,"err":"scope \"nest/level 2\": task \"nest/level 2/boom\" panicked: nil map"}
{"t":7,"k":"cancel","id":1,"why":"panicked","at":"main.go:117","err":"nil map"}
{"t":8,"k":"close","id":1,"err":"scope \"nest\": task \"nest/level 2/boom\" panicked: nil map"}
`))
	assert.Contains(t, text, "✗ nest/level 2 failed at 5 ns (3 ns after it began): task boom panicked at main.go:113 with “nil map”.")
	assert.Contains(t, text, `
nest  7 ns  panicked ← level 2/boom
└─ level 2  4 ns  panicked ← boom
   └─ ✗ boom  1 ns  panicked at main.go:113: nil map
`)
}
