package history_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo/record/history"
	"github.com/traigo/traigo/record/internal/logtest"
)

// hang is the log of a program that hung and was killed.
const hang = logtest.Header + `{"t":1000,"k":"scope","id":3,"n":"bank","at":"main.go:12"}
{"t":2100,"k":"spawn","s":3,"id":1,"n":"a to b","at":"main.go:20","f":"bw"}
{"t":2200,"k":"start","s":3,"id":1}
{"t":2300,"k":"spawn","s":3,"id":2,"n":"b to a","at":"main.go:21","f":"bw"}
{"t":2400,"k":"start","s":3,"id":2}
{"t":2500,"k":"spawn","s":3,"id":4,"n":"alone","f":"w"}
{"t":3000,"k":"end","s":3,"id":4,"st":"canceled","why":"requested","at":"main.go:30","cause":"enough","err":"context canceled"}
{"t":10000002500,"k":"stacks","n":2,"why":"nothing has moved for 10s","goroutines":7,"more":5}
{"t":10000002500,"k":"group","n":2,"waits":"sync.Mutex.Lock","for":120000000000,"at":"bank.go:45","stack":"goroutine 8 [sync.Mutex.Lock]:\nsync…","of":[3,1,3,2,77,1,3,99]}
{"t":10000002500,"k":"group","n":1,"waits":"select","stack":"goroutine 1 [select]:","of":[3,0,88,0]}
{"t":13000002500,"k":"beat"}
`

func TestReadSaysThatAProgramHung(t *testing.T) {
	h := logtest.Read(t, hang)
	assert.Zero(t, h.Damaged)
	assert.False(t, h.Closed)
	p := h.Processes[0]
	assert.Equal(t, 13000002500*time.Nanosecond, p.End)
	assert.Equal(t, p.End, p.Until)
	assert.Equal(t, 3000*time.Nanosecond, p.Moved)

	bank := h.Scopes[0]
	require.Len(t, bank.Tasks, 3, "a census makes no task known")
	assert.Equal(t, "main.go:12", bank.At)
	assert.Equal(t, "main.go:21", bank.Tasks[1].At)
	assert.Equal(t, &history.Cause{Kind: "requested", At: "main.go:30", Err: "enough"}, bank.Tasks[2].Cause)
	assert.Nil(t, bank.Tasks[0].Cause)

	require.Len(t, h.Censuses, 1)
	assert.Equal(t, &history.Census{
		Process: p, At: 10000002500, Why: "nothing has moved for 10s", Goroutines: 7, More: 5,
		Groups: []*history.Group{
			{Waits: "sync.Mutex.Lock", For: 2 * time.Minute, At: "bank.go:45", Stack: "goroutine 8 [sync.Mutex.Lock]:\nsync…", Count: 2, Tasks: bank.Tasks[:2]},
			{Waits: "select", Stack: "goroutine 1 [select]:", Count: 1, Bodies: []*history.Scope{bank}},
		},
	}, h.Censuses[0])
	logtest.Check(t, h)
}

// Lines of a census that are damaged are counted, and harm nothing.
func TestReadSkipsDamagedCensuses(t *testing.T) {
	for _, line := range []string{
		`{"t":5,"k":"group","n":1,"of":[1]}`, `{"t":5,"k":"group","n":0,"of":[]}`, `{"t":5,"k":"group","n":-1}`,
		`{"t":5,"k":"group","n":1,"of":[-1,2]}`, `{"t":5,"k":"group","n":1,"of":"1,2"}`, `{"t":5,"k":"group","n":1,"of":[1.5,2]}`,
		`{"t":5,"k":"group","n":99999999999999999999}`, `{"t":5,"k":"group","n":9999999999999}`, `{"t":5,"k":"group","n":"one"}`,
		`{"t":5,"k":"stacks","n":1,"goroutines":"many"}`, `{"t":5,"k":"stacks","n":"x","why":"y"}`, `{"k":"stacks","n":1}`,
	} {
		h := logtest.Read(t, hang+line+"\n")
		assert.Equal(t, 1, h.Damaged, line)
		assert.Len(t, h.Censuses, 1, line)
		assert.Len(t, h.Censuses[0].Groups, 2, line)
		logtest.Check(t, h)
	}
	h := logtest.Read(t, logtest.Header+`{"t":5,"k":"group","n":1,"of":[1,1]}`+"\n")
	assert.Equal(t, 1, h.Damaged, "a group without a census")
	h = logtest.Read(t, hang+`{"t":5,"k":"stacks","n":0,"goroutines":-5,"more":-7}`+"\n"+`{"t":6,"k":"group","n":1,"for":-9,"of":[18446744073709551615,18446744073709551615]}`+"\n")
	assert.Zero(t, h.Damaged)
	assert.Equal(t, &history.Census{Process: h.Processes[0], At: 5, Groups: []*history.Group{{Count: 1}}}, h.Censuses[0], "in the order of time")
}

// A gap moves: what is lost in it has happened.
func TestReadTakesLostLinesForMovement(t *testing.T) {
	h := logtest.Read(t, hang+`{"t":14000000000,"k":"lost","n":2,"why":"slow"}
{"t":14000000001,"k":"live","n":1}
{"t":1000,"k":"scope","id":3,"n":"bank","st":"open"}
{"t":15000000000,"k":"beat"}
`)
	assert.Equal(t, 14*time.Second, h.Processes[0].Moved)
	assert.Equal(t, 15*time.Second, h.Processes[0].Until)
}

// A log of version 1 reads as before.
func TestReadTakesVersion1(t *testing.T) {
	one := logtest.Read(t, strings.Replace(logtest.Chat, `{"traigo":2`, `{"traigo":1`, 1))
	two := logtest.Read(t, logtest.Chat)
	assert.Equal(t, two, one)
	assert.Equal(t, 9900*time.Nanosecond, one.Processes[0].Moved)
	assert.Equal(t, 9901*time.Nanosecond, one.Processes[0].End)
}

// What the censuses of several processes say is put in the order of time.
func TestMergeKeepsCensuses(t *testing.T) {
	read := func(run string, pid, ms int) *history.History {
		return logtest.Read(t, logtest.ProcessHeader(run, pid, ms, "")+strings.TrimPrefix(hang, logtest.Header))
	}
	h, err := history.Merge(read("aaaaaaaa", 71, 500), read("bbbbbbbb", 72, 0))
	require.NoError(t, err)
	require.Len(t, h.Censuses, 2)
	for i, c := range h.Censuses {
		assert.Same(t, h.Processes[i], c.Process)
		assert.Equal(t, time.Duration(i)*500*time.Millisecond+10000002500, c.At)
		assert.Equal(t, time.Duration(i)*500*time.Millisecond+3000, c.Process.Moved)
		assert.Same(t, c.Process, c.Groups[0].Tasks[0].Scope.Process)
	}
	logtest.CheckLinks(t, h)
}
