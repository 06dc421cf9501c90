package export_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

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
	assert.Equal(t, `example.com/chat, 2026-11-21 01:02:03 UTC, pid 71, go1.26, 1,203 scopes, 3,004 tasks, 1.45s
! The log has no last line: the program crashed, was killed, or still runs. Nothing is known after 1.45s.
! 812 lines missing at 1.45s: the writer was too slow.
First to fail: server, after 1.3s: task failed ← accept: too many open files …

server  ≥1.45s  still canceling, task failed ← accept: too many open files …
├─ ✗ accept  1.3s  master, failed: too many open files …
│  ├─ conn [×1,200]  3ms
│  │  └─ ✓ request [×3,000]  500µs–1.5ms
│  └─ conn  ≥250ms  still canceling, parent canceled ← server/accept
│     ├─ ○ request  101ms  canceled
│     └─ ! upload\x1b[2J  ≥250ms  given up, still running
├─ ✗ metrics  101ms  panicked: nil map …
└─ cache  100ms  parent canceled ← server/accept
`, treeOf(t, logtest.Read(t, service())))
}

func TestTreeOfAFileOfTrioVisCountsEvents(t *testing.T) {
	h := logtest.ReadSCLogs(t, logtest.Fetch)
	assert.Equal(t, `a program of trio, 3 scopes, 3 tasks, 14 events
! trio-vis does not record how tasks end: each that has exited is shown as ok.
! It has no times either: they are numbers of events.

trio.run  13 events
└─ ✓ main-0  13 events
   ├─ nursery-0  11 events
   │  └─ ✓ get-0  2 events
   └─ nursery-1  5 events
      └─ ✓ get-1  2 events
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
		"! The log ends in the middle of a line: the program crashed, was killed, or still runs. Nothing is known after 4ns.\n",
		"! 1 line of it made no sense.\n",
		"\ns  ≥3ns  still open\n",
		"├─ ? gone  2ns  ended in a gap of the log\n",
		"└─ ▶ waits  ≥1ns  never started\n",
	} {
		assert.Contains(t, text, line)
	}
}

func TestTreeOfASegmentSaysThatTheNextMayFollow(t *testing.T) {
	segment := strings.Replace(logtest.Header, `"pid"`, `"segment":1,"pid"`, 1)
	assert.Contains(t, treeOf(t, logtest.Read(t, segment+`{"t":1,"k":"scope","id":1,"n":"s"}`+"\n")), "it goes on in the next file")
}

// Four equal siblings are written one by one, five are folded. The line of a fold says if
// there are errors other than the first.
func TestTreeFoldsWhatIsAlike(t *testing.T) {
	siblings := func(n int) string {
		var b strings.Builder
		b.WriteString(logtest.Header + `{"t":1,"k":"scope","id":1,"n":"s"}` + "\n")
		for i := 1; i <= n; i++ {
			fmt.Fprintf(&b, `{"t":%d,"k":"spawn","s":1,"id":%d,"n":"w"}`+"\n", i, i)
			fmt.Fprintf(&b, `{"t":%d,"k":"end","s":1,"id":%d,"st":"failed","err":"e%d"}`+"\n", 2*i, i, i)
		}
		return treeOf(t, logtest.Read(t, b.String()))
	}
	assert.Equal(t, 4, strings.Count(siblings(4), "✗ w"))
	two := `{"t":1,"k":"scope","id":1,"n":"s"}
{"t":1,"k":"scope","id":2,"in":1,"n":"twin"}
{"t":1,"k":"scope","id":3,"in":1,"n":"twin"}
`
	assert.Equal(t, 2, strings.Count(treeOf(t, logtest.Read(t, logtest.Header+two)), "─ twin  ≥0s"))
	assert.Contains(t, siblings(5), "└─ ✗ w [×5]  1ns–5ns  failed: e1, and other errors\n")
	assert.Contains(t, siblings(5000), "└─ ✗ w [×5,000]  1ns–5µs  failed: e1, and other errors\n")
}
