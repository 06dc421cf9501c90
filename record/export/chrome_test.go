package export_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo/record/export"
	"github.com/traigo/traigo/record/history"
	"github.com/traigo/traigo/record/internal/logtest"
)

type chromeEvent struct {
	Ph, Cat, Name, BP, S string
	PID, TID             int
	TS                   json.Number
	ID                   uint64
	Args                 map[string]any
}

func (e chromeEvent) ns(t *testing.T) int64 {
	t.Helper()
	us, err := strconv.ParseFloat(e.TS.String(), 64)
	require.NoError(t, err)
	return int64(us*1000 + 0.5)
}

func chromeOf(t *testing.T, h *history.History) []chromeEvent {
	t.Helper()
	var b bytes.Buffer
	require.NoError(t, export.Chrome(&b, h))
	var doc struct {
		DisplayTimeUnit string
		TraceEvents     []chromeEvent
	}
	require.NoError(t, json.Unmarshal(b.Bytes(), &doc), "%s", b.String())
	require.Equal(t, "ns", doc.DisplayTimeUnit)
	return doc.TraceEvents
}

// chromeCheck checks what viewers require of a trace, and that it has each scope and task
// once.
func chromeCheck(t *testing.T, h *history.History) {
	t.Helper()
	begun := map[string]int{}
	open := map[int]chromeEvent{}
	last := map[int]int64{}
	named := map[int]bool{}
	froms, tos := map[uint64]int64{}, map[uint64]int64{}
	for i, e := range chromeOf(t, h) {
		if e.Ph == "M" {
			named[e.TID] = named[e.TID] || e.Name == "thread_name"
			continue
		}
		require.True(t, named[e.TID], "event %d is on a row without a name", i)
		at := e.ns(t)
		require.GreaterOrEqual(t, at, last[e.TID], "event %d goes back in time", i)
		last[e.TID] = at
		on, isOpen := open[e.TID]
		require.Equal(t, e.Ph != "B", isOpen, "event %d (%s): slices of a row follow each other, and have the rest in them; open is %v", i, e.Ph, on)
		switch e.Ph {
		case "B":
			open[e.TID] = e
			name, unfinished := strings.CutSuffix(e.Name, " (unfinished)")
			require.Equal(t, e.Args["unfinished"] == true, unfinished)
			begun[fmt.Sprint(e.Cat, " ", name, " ", e.Args["state"], " ", at)]++
		case "E":
			require.Equal(t, on.Name, e.Name)
			delete(open, e.TID)
			if on.Args["unfinished"] == true {
				require.Equal(t, int64(h.End), at)
				delete(named, e.TID) // no slice may follow in the row of an unfinished one
			}
		case "s":
			froms[e.ID] = at
		case "f":
			require.Equal(t, "e", e.BP)
			tos[e.ID] = at
		case "i":
			require.Equal(t, "t", e.S)
		default:
			require.Fail(t, "no such phase", e.Ph)
		}
	}
	require.Empty(t, open, "each that begins ends")
	require.Len(t, tos, len(froms))
	for id, from := range froms {
		to, both := tos[id]
		require.True(t, both, "arrow %d", id)
		require.LessOrEqual(t, from, to, "arrow %d", id)
	}
	want := map[string]int{}
	for _, s := range h.Scopes {
		want[fmt.Sprint("scope ", drawable(s.Name), " ", s.State, " ", int64(s.Opened))]++
		for _, task := range s.Tasks {
			want[fmt.Sprint("task ", drawable(task.Name), " ", task.State, " ", int64(task.Spawned))]++
		}
	}
	require.Equal(t, want, begun)
}

// drawable returns a name as it is exported. Of the names in the logs, one has an escape
// sequence.
func drawable(name string) string {
	if name == "\x1b[2J" {
		return `\x1b[2J`
	}
	return name
}

func TestChromeTraceIsWhatViewersTake(t *testing.T) {
	eachHistory(t, chromeCheck)
}

func TestChromeTraceTellsTheStory(t *testing.T) {
	events := chromeOf(t, logtest.Read(t, logtest.Chat))
	var story []string
	for _, e := range events {
		story = append(story, fmt.Sprint(e.TID, " ", e.Ph, " ", e.Name, " ", e.TS))
	}
	assert.Equal(t, []string{
		"0 M process_name 0",
		"1 M thread_name 0", "1 M thread_sort_index 0",
		"1 B server 1", "1 s spawn 2.100", "1 i canceled: task failed: accept: too many open files 9.050",
		"1 f cancel 9.050", "1 s cancel 9.050", "1 E server 9.900",
		"2 M thread_name 0", "2 M thread_sort_index 0",
		"2 B accept 2.100", "2 f spawn 2.100", "2 s spawn 2.900", "2 s cancel 8.999", "2 E accept 9",
		"3 M thread_name 0", "3 M thread_sort_index 0",
		"3 B conn 2.900", "3 f spawn 2.900", "3 i canceled: parent canceled 9.051", "3 f cancel 9.051", "3 E conn 9.100",
	}, story)
	for _, e := range events {
		if e.Ph == "B" && e.Name == "conn" {
			assert.Equal(t, map[string]any{
				"path": "server/conn", "id": "4", "state": "closed", "err": "…", "cause": "parent canceled",
				"culprit": "server/accept", "deadline": "5s after its beginning",
			}, e.Args)
		}
	}
}

func TestChromeTraceHasEachWarning(t *testing.T) {
	h := logtest.Read(t, logtest.Header+`{"t":1,"k":"lost","n":3,"why":"slow"}
{"t":2,"k":"lost","n":4,"why":"full"}
{"t":`)
	var b bytes.Buffer
	require.NoError(t, export.Chrome(&b, h))
	var doc struct{ OtherData map[string]string }
	require.NoError(t, json.Unmarshal(b.Bytes(), &doc))
	assert.Contains(t, doc.OtherData["warning"], "in the middle of a line")
	assert.Contains(t, doc.OtherData["warning 2"], "3 lines")
	assert.Contains(t, doc.OtherData["warning 3"], "4 lines")
}

// Scopes with the same path share as few lanes as possible.
func TestChromeTraceSharesLanes(t *testing.T) {
	var b bytes.Buffer
	b.WriteString(logtest.Header)
	for i := 1; i <= 100; i++ {
		fmt.Fprintf(&b, `{"t":%d,"k":"scope","id":%d,"n":"scope#%d"}`+"\n", i*10, i, i)
		fmt.Fprintf(&b, `{"t":%d,"k":"close","id":%d}`+"\n", i*10+15, i)
	}
	rows := map[int]bool{}
	for _, e := range chromeOf(t, logtest.Read(t, b.String())) {
		if e.Ph == "B" {
			rows[e.TID] = true
		}
	}
	assert.Len(t, rows, 2)
}
