package story_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo/record/history"
	"github.com/traigo/traigo/record/internal/logtest"
	"github.com/traigo/traigo/record/story"
)

// whyOf returns the account of the only span with a path, in text.
func whyOf(t *testing.T, h *history.History, path string) string {
	t.Helper()
	found := story.Find(h, path)
	require.Len(t, found, 1, path)
	return text(story.CausesOf(h).Why(h, found[0]))
}

func text(a story.Account) string {
	var b strings.Builder
	b.WriteString(a.Span.String() + "\n")
	for _, line := range a.Chain {
		b.WriteString("← " + line.String() + "\n")
	}
	for _, line := range a.Toll {
		b.WriteString("→ " + line.String() + "\n")
	}
	return b.String()
}

func TestWhyLeadsBackToTheFirstCause(t *testing.T) {
	h := outline(t, 4*s, server(0)...)
	h.Scopes[0].Tasks[0].At = "main.go:12"
	assert.Equal(t, `task server/session/read (id 5.5): spawned at 1 s, canceled at 3.3 s, after 2.3 s.
← read was told to end at 3.2 s, because its scope ended: session.
← session ended at 3.2 s, because the scope above did: server.
← server ended at 3.2 s: task accept returned “too many”.
`, strings.ReplaceAll(whyOf(t, h, "session/read"), "(id 4.5)", "(id 5.5)"))
	assert.Equal(t, `task server/accept (id 1.2): spawned at 0 s at main.go:12, failed at 3.2 s, after 3.2 s.
← accept returned “too many” at 3.2 s.
→ It ended server at 3.2 s.
→ 2 tasks and 1 scope were canceled because of it: conn, session, read.
`, strings.ReplaceAll(whyOf(t, h, "accept"), "session, conn", "conn, session"))
	assert.Equal(t, `task server/done (id 1.6): spawned at 1 s, ended well at 2 s, after 1 s.
← done returned nil at 2 s.
`, whyOf(t, h, "done"))
}

// A failure is followed down, through tasks and bodies that passed it on, to where it began.
func TestWhyFollowsAFailureDown(t *testing.T) {
	h := outline(t, 90*s,
		scope(0, "app", 0, 90*s, ends(50*s, "task failed", "import", `scope "app/batch": task "row": bad row`)),
		task(1, "import", 0, 49*s, failed(`scope "app/batch": task "row": bad row`)),
		scope(2, "batch", 0, 48*s, func(r *row) {
			ends(41*s, "task failed", "row", "bad row")(r)
			r.err = `scope "app/batch": task "row": bad row`
		}),
		task(3, "row", 0, 40*s, failed("bad row")),
		task(1, "tick", 0, 60*s, canceled),
	)
	assert.Equal(t, `scope app (id 1): opened at 0 s, failed at 50 s, closed at 1 m 30 s, after 1 m 30 s.
← app ended at 50 s: task import returned “bad row”.
← That is the failure of a scope below: batch.
← batch ended at 41 s: task row returned “bad row”.
→ 1 task was canceled because of it: tick.
`, whyOf(t, h, "app"))
	assert.Contains(t, whyOf(t, h, "import"), "← import returned the failure of a scope that it opened: batch.\n← batch ended at 41 s: task row returned “bad row”.\n")
	assert.Contains(t, whyOf(t, h, "row"), "→ It ended batch at 41 s.\n→ That ended app as well.\n→ 1 task was canceled because of it: tick.\n")
}

// The line of a panic is in what panicked, and not in the bodies that it came through.
func TestWhyOfAPanic(t *testing.T) {
	h := outline(t, 9*s,
		scope(0, "top", 0, 9*s, ends(3*s, "panicked", "", "boom")),
		scope(1, "mid", 0, 3*s, ends(2*s, "panicked", "", "boom")),
		scope(2, "low", 0, 2*s, ends(1*s, "panicked", "bad", "boom")),
		task(3, "bad", 0, 1*s, func(r *row) { r.state, r.err = history.TaskPanicked, "boom" }),
	)
	for i, at := range []string{"main.go:1", "main.go:1", "main.go:7"} {
		h.Scopes[i].Cause.At = at
	}
	assert.Contains(t, whyOf(t, h, "top"), `
← top ended at 3 s: its body panicked with “boom”.
← That is the failure of a scope below: mid.
← mid ended at 2 s: its body panicked with “boom”.
← That is the failure of a scope below: low.
← low ended at 1 s: task bad panicked at main.go:7 with “boom”.
`)
}

func TestWhySaysWhoCanceled(t *testing.T) {
	h := outline(t, 9*s,
		scope(0, "app", 0, 9*s, ends(8*s, "completed", "", "")),
		scope(1, "Race", 0, 4*s, ends(3*s, "master ended", "winner", "")),
		task(2, "winner", 0, 3*s),
		task(2, "loser", 0, 4*s, canceled),
		scope(1, "closed", 0, 5*s, ends(5*s, "requested", "", "")),
		scope(1, "foreign", 0, 5*s, ends(5*s, "parent canceled", "", "")),
		task(1, "alone", 0, 5*s, canceled),
		scope(2, "in it", 0, 5*s, ends(5*s, "parent canceled", "", "")),
		task(1, "late", 0, 6*s, failed("late")),
		task(1, "left", 0, never),
	)
	h.Scopes[2].Cause.At = "main.go:45"
	h.Scopes[0].Tasks[0].Cause = &history.Cause{Kind: "requested", At: "main.go:50"}
	h.Scopes[0].Tasks[1].Cause = &history.Cause{Kind: "timeout"}
	h.Scopes[0].Tasks[2].At = "main.go:60"
	for path, want := range map[string]string{
		"loser":   "← Race ended at 3 s: task winner won.\n",
		"winner":  "→ It ended Race at 3 s.\n→ 1 task was stopped because of it: loser.\n",
		"closed":  "← closed ended at 5 s: it was canceled by the program at main.go:45.\n",
		"foreign": "← foreign ended at 5 s: a context around it was canceled.\n",
		"alone":   "← alone was canceled alone at main.go:50.\n",
		"in it":   "← in it ended at 5 s, because a task was canceled: alone, which opened it.\n← alone was canceled alone at main.go:50.\n",
		"late":    "← late was canceled alone: its own deadline passed.\n",
		"left":    "spawned at 0 s at main.go:60, still running at 9 s, when the recorder was closed, after 9 s.\n← left was told to end at 8 s, because its scope ended: app.\n",
	} {
		assert.Contains(t, whyOf(t, h, path), want)
	}
}

func TestWhyOfAHang(t *testing.T) {
	h := hung(t)
	census(h, groupOf(h, "sync.Mutex.Lock", "main.go:45", "a", "b", "c", "d"))
	assert.Equal(t, `task bank/c (id 1.4): spawned at 1 ms, still running at 8.1 s, when the log stops, after 8.1 s. At 6 s it is waiting for sync.Mutex.Lock at main.go:45, for 2 m 00 s at least, as 3 others are.
← c has not been told to end.
`, whyOf(t, h, "c"))
}

func TestWhySaysWithWhatAContextWasCanceled(t *testing.T) {
	for _, err := range []struct{ err, want string }{{"operator", ": “operator”.\n"}, {"context canceled", ".\n"}, {"context deadline exceeded", ": “context deadline exceeded”.\n"}} {
		h := outline(t, 9*s,
			scope(0, "app", 0, 9*s, ends(8*s, "parent canceled", "", err.err)),
			scope(1, "foreign", 0, 5*s, ends(5*s, "parent canceled", "", err.err)),
		)
		assert.Contains(t, whyOf(t, h, "app"), "← app ended at 8 s: it was canceled from outside the log"+err.want)
		assert.Contains(t, whyOf(t, h, "foreign"), "← foreign ended at 5 s: a context around it was canceled"+err.want)
	}
}

// A task that was canceled alone does not count among those that the end of its scope canceled.
func TestATaskThatWasCanceledAloneIsNotCanceledAgain(t *testing.T) {
	for _, row := range []struct{ kind, err, want string }{{"task failed", "boom", "canceled at 4 s"}, {"completed", "", "canceled at 4 s"}} {
		h := outline(t, 9*s,
			scope(0, "app", 0, 9*s, ends(3*s, row.kind, word(row.err != "", "bad", ""), row.err)),
			task(1, "bad", 0, 3*s, failed("boom")), task(1, "alone", 0, 4*s, canceled), task(1, "with it", 0, 4*s, canceled),
			task(1, "alone, and slow", 0, 5*s, failed("flush")),
		)
		for _, i := range []int{1, 3} {
			h.Scopes[0].Tasks[i].Cause = &history.Cause{Kind: "requested", At: "main.go:137"}
		}
		causes := story.CausesOf(h)
		assert.Equal(t, story.Toll{Tasks: 1}, causes.Toll(h.Scopes[0]))
		assert.False(t, causes.Stopped(story.Span{Scope: h.Scopes[0], Task: h.Scopes[0].Tasks[1]}))
		assert.Contains(t, whyOf(t, h, "alone"), row.want)
		assert.Contains(t, whyOf(t, h, "alone"), "← alone was canceled alone at main.go:137.\n")
		assert.Contains(t, whyOf(t, h, "alone, and slow"), "← alone, and slow was canceled alone at main.go:137; then it returned “flush” at 5 s.\n")
	}
}

func word(is bool, yes, no string) string {
	if is {
		return yes
	}
	return no
}

// A task may fail with an error of its own after it was told to end.
func TestWhyOfATaskThatFailsAsItEnds(t *testing.T) {
	h := outline(t, 9*s,
		scope(0, "app", 0, 9*s, ends(2*s, "task failed", "bad", "boom")),
		task(1, "bad", 0, 2*s, failed("boom")), task(1, "flush", 0, 3*s, failed("disk full")),
		task(1, "close", 0, 4*s, func(r *row) { r.state, r.err = history.TaskPanicked, "nil map" }),
		task(1, "exit", 0, 4*s, func(r *row) { r.state = history.TaskExited }),
	)
	for name, want := range map[string]string{"flush": "returned “disk full” at 3 s", "close": "panicked with “nil map” at 4 s", "exit": "called runtime.Goexit at 4 s"} {
		assert.Contains(t, whyOf(t, h, name), "← "+name+" was told to end at 2 s, because its scope ended: app; then it "+want+".\n← app ended at 2 s: task bad returned “boom”.\n")
	}
}

// Whatever a log has in it, a line is one.
func TestALineIsOne(t *testing.T) {
	const bad = "\n"
	rows := []row{scope(0, "app", 0, 9*s, ends(2*s, "a"+bad+"b", "", ""))}
	for i, kind := range []string{"body failed", "panicked", "requested", "parent canceled", bad, "x" + bad + "y"} {
		for _, err := range []string{"", "no" + bad + "never"} {
			rows = append(rows, scope(1, fmt.Sprintf("child%c%s", 'a'+i, word(err == "", "", "+")), 0, 9*s, ends(2*s, kind, "", err)))
		}
	}
	h := outline(t, 9*s, rows...)
	for _, scope := range h.Scopes {
		scope.Cause.At, scope.At = "main.go:1"+bad+"2", bad
	}
	h.Scopes[0].Tasks = []*history.Task{{ID: 1, Name: bad, Scope: h.Scopes[0], State: history.TaskStuck, Stuck: 3 * s, Ended: never, Stack: stackOf("chan" + "\r" + "receive")}}
	census(h, &history.Group{Waits: "sync.Mutex.Lock" + bad, At: "main.go:1" + bad + "2", Count: 2, Tasks: h.Scopes[0].Tasks})
	h.Closed, h.Processes[0].Closed = false, false
	for _, s := range h.Scopes {
		s.Closed, s.Process = never, h.Processes[0]
	}
	lines := story.Of(h)
	causes := story.CausesOf(h)
	for _, s := range h.Scopes {
		a := causes.Why(h, story.Span{Scope: s})
		lines = append(append(append(lines, a.Span), a.Chain...), a.Toll...)
	}
	assert.Contains(t, fmt.Sprint(textsOf(h)), "The program hung: nothing was recorded after 3 s, and at 6 s 2 tasks waited for sync.Mutex.Lock at main.go:1 2: ")
	lines = append(lines, story.WaitsIn(h, h.Censuses[0])...)
	for _, line := range lines {
		assert.NotRegexp(t, `[\n\r]`, line.String())
	}
	assert.Contains(t, whyOf(t, h, "childc+"), "childc+ ended at 2 s: it was canceled at main.go:1 2 with “no”.")
	assert.Contains(t, whyOf(t, h, "childf"), "childf ended at 2 s: x y an error.")
}

func TestSpansAreFoundByTheEndOfTheirPath(t *testing.T) {
	h := outline(t, 9*s,
		scope(0, "app", 0, 9*s, ends(8*s, "completed", "", "")),
		scope(1, "GET /orders", 0, 9*s), task(2, "read", 0, 1*s),
		scope(1, "conn", 0, 9*s), task(2, "read", 0, 2*s), task(2, "ready", 0, 1*s),
	)
	ids := func(spans []story.Span) (ids []string) {
		for _, s := range spans {
			ids = append(ids, s.ID())
		}
		return ids
	}
	for path, want := range map[string][]string{
		"read": {"2.3", "4.5"}, "conn/read": {"4.5"}, "app/conn/read": {"4.5"}, "/app/conn/read/": {"4.5"}, "GET /orders/read": {"2.3"}, "orders/read": nil,
		"app": {"1"}, "x/app": nil, "ead": nil, "conn": {"4"}, "": nil,
	} {
		assert.Equal(t, want, ids(story.Find(h, path)), path)
		for _, id := range want {
			span, known := story.FindID(h, id)
			assert.True(t, known)
			assert.Equal(t, id, span.ID())
		}
	}
	for _, id := range []string{"", "7", "1.9", "x", "4.5.1", "4."} {
		_, known := story.FindID(h, id)
		assert.False(t, known, id)
	}
	assert.Equal(t, []string{"app/GET /orders/read", "app/conn/ready"}, story.Nearest(h, "conn/reax", 2))
	assert.Empty(t, story.Nearest(h, "something else entirely", 5))
}

func TestTheSpanWithMostToSayComesFirst(t *testing.T) {
	rows := []row{scope(0, "app", 0, 20*s, ends(19*s, "completed", "", ""))}
	add := func(i int, more ...func(*row)) {
		rows = append(rows, scope(1, fmt.Sprintf("conn %d", i), 0, 9*s), task(2, "talk", 0, s*9, more...))
	}
	add(0)
	add(1, canceled)
	add(2, failed("no"))
	rows = append(rows, scope(1, "conn 3", 0, 9*s, ends(5*s, "task failed", "ender", "no")), task(2, "ender", 0, 5*s, failed("no")), task(2, "hang up", 0, 6*s, canceled))
	h := outline(t, 20*s, rows...)
	named(t, h, "conn 3").Tasks[0].Name = "talk"
	found := story.Find(h, "talk")
	causes := story.CausesOf(h)
	causes.Sort(found)
	var order []string
	for _, s := range found {
		order = append(order, s.Scope.Name)
	}
	assert.Equal(t, []string{"conn 3", "conn 2", "conn 1", "conn 0"}, order)
	assert.Equal(t, "2 failed, 1 canceled, 1 ended well", causes.States(h, found))
}

// Whatever the log, each span has an account, and it ends.
func TestEachSpanHasAnAccount(t *testing.T) {
	for seed := range uint64(300) {
		h := logtest.Read(t, logtest.Random(seed))
		causes := story.CausesOf(h)
		for _, s := range h.Scopes {
			spans := []story.Span{{Scope: s}}
			for _, task := range s.Tasks {
				spans = append(spans, story.Span{Scope: s, Task: task})
			}
			for _, span := range spans {
				a := causes.Why(h, span)
				require.NotContains(t, text(a), "%!")
				require.LessOrEqual(t, len(a.Chain), 4*len(h.Scopes)+2)
			}
		}
	}
}
