package story_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/traigo/traigo/record/history"
	"github.com/traigo/traigo/record/story"
)

// hung is the history of a program in which nothing happens after 0.8 s, and that is killed
// later. Its tasks wait as groups says; without any there is no census.
func hung(t *testing.T, groups ...*history.Group) *history.History {
	t.Helper()
	h := outline(t, 8100*ms,
		scope(0, "bank", 0, never),
		task(1, "a", 1*ms, never), task(1, "b", 1*ms, never), task(1, "c", 1*ms, never), task(1, "d", 800*ms, never),
		task(1, "opens", 1*ms, never), scope(2, "inner", 2*ms, never), task(3, "in it", 3*ms, never),
	)
	h.Closed, h.Processes[0].Closed = false, false
	if len(groups) > 0 {
		h.Censuses = []*history.Census{{Process: h.Processes[0], At: 6 * s, Why: "nothing has moved for 5s", Goroutines: 9, Groups: groups}}
	}
	return h
}

func groupOf(h *history.History, waits, at string, names ...string) *history.Group {
	g := &history.Group{Waits: waits, At: at, Count: len(names), For: 2 * time.Minute}
	for _, s := range h.Scopes {
		for _, t := range s.Tasks {
			for _, name := range names {
				if t.Name == name {
					g.Tasks = append(g.Tasks, t)
				}
			}
		}
	}
	return g
}

// census gives a history a census.
func census(h *history.History, groups ...*history.Group) *history.History {
	h.Censuses = append(h.Censuses, &history.Census{Process: h.Processes[0], At: 6 * s, Why: "nothing has moved for 5s", Goroutines: 9, Groups: groups})
	return h
}

const stopped = "The log stops at 8.1 s without its last line: the program crashed, was killed, or still runs. 6 tasks and 2 scopes had not ended."

func TestAHangIsSaidWithItsPlace(t *testing.T) {
	h := hung(t)
	census(h, groupOf(h, "select", "main.go:50", "in it"), groupOf(h, "sync.Mutex.Lock", "main.go:45", "a", "b", "c", "d"))
	assert.Equal(t, []string{
		"The program hung: nothing was recorded after 800 ms, and at 6 s 4 tasks waited for sync.Mutex.Lock at main.go:45: a, b, c and d; the log ends at 8.1 s.",
		stopped,
	}, textsOf(h))
}

// What waits for one thing is counted together, and the places are told apart.
func TestAHangOfSeveralPlaces(t *testing.T) {
	h := hung(t)
	census(h, groupOf(h, "chan receive", "main.go:50", "in it"), groupOf(h, "sync.Mutex.Lock", "main.go:45", "a", "b"), groupOf(h, "select (no cases)", "main.go:9", "opens"),
		groupOf(h, "sync.Mutex.Lock", "main.go:163", "c"), groupOf(h, "sync.Mutex.Lock", "main.go:171", "d"))
	assert.Equal(t, "The program hung: nothing was recorded after 800 ms, and at 6 s 4 tasks waited for sync.Mutex.Lock: a and b at main.go:45, c at main.go:163 and d at main.go:171; the log ends at 8.1 s.", textsOf(h)[0])
	var many []*history.Group
	for i := range 6 {
		many = append(many, &history.Group{Waits: "sync.Mutex.Lock", At: fmt.Sprintf("main.go:%d", i), Count: 7})
	}
	h.Censuses[0].Groups = many
	assert.Contains(t, textsOf(h)[0], "42 tasks waited for sync.Mutex.Lock: 7 of them at main.go:0, 7 of them at main.go:1, 7 of them at main.go:2 and 21 others at 3 other places; the log")
}

// The more suspicious comes first, whatever the numbers, in the story and in the list.
func TestWaitsAreOrderedBySuspicion(t *testing.T) {
	order := []string{
		"sync.RWMutex.RLock", "chan receive (nil chan)", "select (no cases)", "chan send", "sync.WaitGroup.Wait", "chan receive", "something new", "sleep", "IO wait", "syscall", "running",
	}
	h := hung(t)
	var groups []*history.Group
	for i, waits := range order {
		groups = append([]*history.Group{{Waits: waits, At: "main.go:1", Count: i + 1}}, groups...)
	}
	census(h, groups...)
	for i, line := range story.WaitsIn(h, h.Censuses[0]) {
		assert.Equal(t, fmt.Sprintf("%d × %s at main.go:1", i+1, order[i]), line.String())
	}
	h.Censuses[0].Groups = groups[:8]
	assert.Contains(t, textsOf(h)[0], "Nothing was recorded after 800 ms. At 6 s 4 tasks waited for chan send at main.go:1; 5 tasks", "which may be no hang")
}

// A program that is kept alive by a select without cases may have nothing to do.
func TestAProgramThatIsKeptAliveDidNotHang(t *testing.T) {
	h := hung(t)
	census(h, groupOf(h, "select (no cases)", "main.go:9", "opens"), groupOf(h, "chan receive", "main.go:20", "a", "b"))
	assert.Equal(t, []string{
		"Nothing was recorded after 800 ms. At 6 s 1 task waited for select (no cases) at main.go:9: opens; 2 tasks waited for chan receive at main.go:20: a and b; the log ends at 8.1 s.",
		stopped,
	}, textsOf(h))
}

// One that holds a mutex and computes, or comes back from a sleep, may let it go.
func TestAProgramThatComputesDidNotHang(t *testing.T) {
	for waits, did := range map[string]string{"running": "was running", "runnable": "waited for a processor", "syscall": "was in a system call", "sleep": "slept"} {
		h := hung(t)
		census(h, groupOf(h, "sync.Mutex.Lock", "main.go:45", "a", "b"), groupOf(h, "chan receive", "main.go:60", "c"), groupOf(h, "select", "main.go:70", "d"), groupOf(h, waits, "main.go:50", "in it"))
		assert.Equal(t, []string{
			"Nothing was recorded after 800 ms. At 6 s 2 tasks waited for sync.Mutex.Lock at main.go:45: a and b; 1 task " + did + " at main.go:50: in it; " +
				"1 task waited for chan receive at main.go:60: c; 1 task waited for select at main.go:70: d; the log ends at 8.1 s.",
			stopped,
		}, textsOf(h))
	}
}

func TestManyPlacesAreCountedFast(t *testing.T) {
	const places = 100_000
	rows := []row{scope(0, "app", 0, never)}
	for i := range places {
		rows = append(rows, task(1, "t", 0, never, given(1*s, fmt.Sprintf("goroutine 9 [chan receive]:\nmain.f()\n\t/home/gopher/main.go:%d +0x2d", i))))
	}
	h := outline(t, 9*s, rows...)
	var groups []*history.Group
	for i := range places {
		groups = append(groups, &history.Group{Waits: "chan receive", At: fmt.Sprintf("main.go:%d", i), Count: 1})
	}
	census(h, groups...)
	began := time.Now()
	assert.Len(t, story.WaitsIn(h, h.Censuses[0]), places)
	assert.Contains(t, textsOf(h)[0], "100,000 tasks did not end when told to")
	assert.Less(t, time.Since(began), 20*s)
}

// An idle server that was killed did not hang.
func TestAnIdleProgramDidNotHang(t *testing.T) {
	h := hung(t)
	census(h, groupOf(h, "IO wait", "server.go:12", "a"), groupOf(h, "select", "server.go:30", "b", "c"), groupOf(h, "chan receive", "server.go:40", "d"),
		groupOf(h, "sleep", "server.go:44", "in it"), groupOf(h, "running", "server.go:50", "opens"))
	assert.Equal(t, []string{
		"Nothing was recorded after 800 ms. At 6 s 2 tasks waited for select at server.go:30: b and c; " +
			"1 task waited for chan receive at server.go:40: d; 1 task slept at server.go:44: in it; 2 others at 2 other places; the log ends at 8.1 s.",
		stopped,
	}, textsOf(h))
}

func TestWithoutACensusAHangIsNotClaimed(t *testing.T) {
	want := []string{"Nothing was recorded after 800 ms, and the log ends at 8.1 s. 6 tasks had not ended, the innermost a, b, c and 2 more.", stopped}
	assert.Equal(t, want, textsOf(hung(t)))
	h := hung(t)
	census(h, groupOf(h, "sync.Mutex.Lock", "main.go:45", "a"))
	h.Censuses[0].At = 700 * ms
	assert.Equal(t, want, textsOf(h), "a census from before the last move says nothing")
	moving := hung(t)
	moving.Scopes[0].Tasks[3].Spawned = 7 * s
	assert.Equal(t, []string{stopped}, textsOf(moving))
	closed := hung(t)
	closed.Closed, closed.Processes[0].Closed = true, true
	assert.Equal(t, []string{"No scope failed: 6 tasks in 2 scopes.", "When the recorder was closed, 6 tasks and 2 scopes had not ended."}, textsOf(closed))
	lost := hung(t)
	lost.Losses = []history.Loss{{At: 7 * s, Process: lost.Processes[0]}}
	assert.Equal(t, stopped, textsOf(lost)[0], "something may have happened where lines are missing")
}

func TestAFailureComesBeforeAHang(t *testing.T) {
	h := hung(t)
	census(h, groupOf(h, "sync.Mutex.Lock", "main.go:45", "a", "b"))
	bodies := h.Censuses[0].Groups[0]
	bodies.Bodies, bodies.Count = []*history.Scope{h.Scopes[1]}, 3
	assert.Contains(t, textsOf(h)[0], "2 tasks and 1 body waited for sync.Mutex.Lock at main.go:45: a, b and the body of inner;")
	h.Scopes[0].Cause, h.Scopes[0].Canceled = &history.Cause{Kind: "timeout", Err: "late"}, 500*ms
	texts := textsOf(h)
	assert.Contains(t, texts[0], "bank failed at 500 ms: its deadline passed; ")
	assert.Contains(t, texts[1], "The program hung: ")
}

// A failure that took nothing down comes after a hang, and after a log that stops short.
func TestAHangComesBeforeWhatWasTolerated(t *testing.T) {
	h := hung(t)
	census(h, groupOf(h, "sync.Mutex.Lock", "main.go:45", "a", "b"))
	h.Scopes[0].Tasks[2].State, h.Scopes[0].Tasks[2].Ended, h.Scopes[0].Tasks[2].Err = history.TaskFailed, 10*ms, "no"
	texts := textsOf(h)
	assert.Contains(t, texts[0], "The program hung: ")
	assert.Contains(t, texts[1], "The log stops at 8.1 s")
	assert.Equal(t, "task c returned “no” at 10 ms (9 ms after it began); that ended no scope.", texts[2])
}

func TestWaits(t *testing.T) {
	h := hung(t)
	census(h, groupOf(h, "sync.Mutex.Lock", "main.go:45", "a", "b", "c"), groupOf(h, "select", "main.go:50", "in it"))
	census(h, groupOf(h, "sync.Mutex.Lock", "main.go:45", "a", "b"), groupOf(h, "sync.Mutex.Lock", "main.go:45", "c"))
	h.Scopes[0].Tasks[3].Stuck, h.Scopes[0].Tasks[3].Stack = 5*s, stackOf("chan receive, 3 minutes")
	h.Scopes[0].Tasks[1].Ended = 7 * s
	got := make(map[string]story.Wait)
	for _, w := range story.Waits(h) {
		got[w.Task.Name], w.Span = story.Wait{What: w.What, For: w.For, At: w.At, Of: w.Of}, story.Span{}
	}
	locked := story.Wait{What: "sync.Mutex.Lock at main.go:45", For: 2 * time.Minute, At: 6 * s, Of: 3}
	assert.Equal(t, map[string]story.Wait{"a": locked, "c": locked, "d": {What: "chan receive at main.go:45", For: 3 * time.Minute, At: 5 * s, Of: 1}}, got,
		"of the last census, of those that had not ended")
	for what, want := range map[string]string{"running at main.go:20": "", "runnable at main.go:20": "waiting for a processor at main.go:20", "select": "waiting for select", "sleep at main.go:20": "sleeping at main.go:20", "syscall": "in a system call"} {
		wait := story.Wait{What: what}
		assert.Equal(t, word(want == "", what, want), wait.Doing())
		assert.Equal(t, !strings.HasPrefix(what, "run"), wait.Waits())
	}
	assert.Equal(t, "3 × sync.Mutex.Lock at main.go:45, 2 m 00 s: a, b and c", story.WaitsIn(h, h.Censuses[1])[0].String())
}
