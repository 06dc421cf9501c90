package story_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/traigo/traigo/record/history"
	"github.com/traigo/traigo/record/internal/logtest"
	"github.com/traigo/traigo/record/story"
)

const (
	ms = time.Millisecond
	s  = time.Second
)

// server fails at 3.2 s, while a connection is open.
func server(level int) []row {
	return []row{
		scope(level, "server", 0, 4*s, ends(3200*ms, "task failed", "accept", "too many")),
		task(level+1, "accept", 0, 3200*ms, failed("too many")),
		task(level+1, "conn", 1*s, 3500*ms, canceled),
		scope(level+2, "session", 1*s, 3400*ms, ends(3200*ms, "parent canceled", "", "")),
		task(level+3, "read", 1*s, 3300*ms, canceled),
		task(level+1, "done", 1*s, 2*s),
	}
}

func TestTheStoryNamesTheFailureAndCountsWhatWasCanceled(t *testing.T) {
	assert.Equal(t, []string{"server failed at 3.2 s: task accept returned “too many”; 2 tasks and 1 scope were canceled because of it."}, textsOf(outline(t, 4*s, server(0)...)))
}

// Moments are on the clock of the run, and an age is called one.
func TestTheStoryTellsMoments(t *testing.T) {
	rows := []row{scope(0, "app", 0, 11*s, ends(10*s, "completed", "", "")), scope(1, "req", 10*s, 10002*ms, ends(10001400*time.Microsecond, "timeout", "", "late"))}
	assert.Contains(t, textsOf(outline(t, 11*s, rows...))[1], "app/req failed at 10 s (1.4 ms after it began): its deadline passed.")
}

// What ended the root comes first, then what took down others, and last what ended nothing
// else, however early that was.
func TestTheStoryRanksByWeight(t *testing.T) {
	lost := func(name string, at time.Duration) row {
		return scope(1, name, 0, at, ends(at, "timeout", "", "timed out"))
	}
	rows := []row{scope(0, "app", 0, 9*s, ends(8*s, "task failed", "main", "fatal")), task(1, "main", 0, 8*s, failed("fatal")), lost("early", 1*s)}
	rows = append(rows, server(1)...)
	rows = append(rows, lost("late", 6*s))
	for i := range 7 {
		rows = append(rows, lost(fmt.Sprintf("quote %d", i), 2*s))
	}
	assert.Equal(t, []string{
		"app failed at 8 s: task main returned “fatal”.",
		"app/server failed at 3.2 s: task accept returned “too many”; 2 tasks and 1 scope were canceled because of it.",
		"app/early failed at 1 s: its deadline passed.",
		"8 more failures ended nothing above them: 7 × quote #: deadline; 1 × late: deadline; the first at 2 s, the last at 6 s.",
	}, textsOf(outline(t, 9*s, rows...)))
}

func TestFailuresThatAreTheSameAreCounted(t *testing.T) {
	rows := []row{scope(0, "app", 0, 30*s, ends(29*s, "completed", "", "")), task(1, "supervisor", 0, 29*s)}
	for i := range 3 {
		begin := time.Duration(10*i) * s
		name := fmt.Sprintf("service %d", i)
		err := `scope "app/` + name + `": task "journal": disk full`
		rows = append(rows,
			scope(2, fmt.Sprintf("attempt %d", i), begin, begin+5*s, ends(begin+4*s, "body failed", "", err)),
			scope(3, name, begin, begin+4*s, ends(begin+3*s, "task failed", fmt.Sprintf("journal %d", i), "disk full")),
			task(4, fmt.Sprintf("journal %d", i), begin, begin+3*s, failed("disk full")))
		if i == 1 {
			rows = append(rows, task(4, "other", begin, begin+4*s, canceled))
		}
		rows[len(rows)-2].err = err
	}
	assert.Equal(t, []string{
		"app/attempt 1/service 1 failed at 13 s (3 s after it began): task journal 1 returned “disk full”. " +
			"That ended attempt 1 as well, and 1 task was canceled because of it; attempt 2 began at 20 s. The same happened 2 more times, last at 23 s.",
	}, textsOf(outline(t, 30*s, rows...)))
}

// Numbers that differ are left out, in names and in errors. A sibling that a task has not opened
// next is no restart.
func TestFoldsOfDifferentNumbers(t *testing.T) {
	rows := []row{scope(0, "wide", 0, 9*s, ends(8*s, "completed", "", ""))}
	for i := range 6 {
		rows = append(rows, task(1, fmt.Sprintf("item %d", i), 0, 1*s, failed(fmt.Sprintf("item %d is bad", i))))
	}
	rows = append(rows, scope(1, "req 1", 0, 2*s, ends(1*s, "timeout", "", "late")), scope(1, "req 2", 3*s, 4*s, ends(4*s, "completed", "", "")))
	assert.Equal(t, []string{
		"wide ended well at 9 s: 6 tasks in 3 scopes.",
		"wide/req 1 failed at 1 s: its deadline passed.",
		"6 more failures ended nothing above them: 6 × item #: item # is bad; all at 1 s.",
	}, textsOf(outline(t, 9*s, rows...)))
}

// The line of what is folded says what failed first, with a link, and names are not said twice.
func TestAFoldTellsTheFirst(t *testing.T) {
	rows := []row{scope(0, "wide", 0, 9*s, ends(8*s, "completed", "", ""))}
	for _, i := range []int{3, 1, 2} {
		rows = append(rows, task(1, fmt.Sprintf("job %d", i), 0, time.Duration(i)*s, failed(fmt.Sprintf("job %d: no such object", i))))
	}
	h := outline(t, 9*s, rows...)
	lines := story.Of(h)
	assert.Equal(t, "3 failures ended nothing above them: 3 × job #: no such object; the first at 1 s, the last at 3 s.", lines[1].String())
	links := make(map[string]string)
	for _, w := range lines[1].Words {
		if w.Task != nil {
			links[w.Text] = w.Task.Name
		}
	}
	assert.Equal(t, map[string]string{"job #": "job 1", "the first": "job 1", "the last": "job 3"}, links)
}

func TestAFailureIsToldFromWhereItBegan(t *testing.T) {
	assert.Equal(t, []string{
		"app/batch failed at 41 s: task row returned “bad row”. That ended app as well.",
		"app/early failed at 5 s: its deadline passed.",
	}, textsOf(outline(t, 90*s,
		scope(0, "app", 0, 90*s, ends(50*s, "task failed", "import", "bad row")),
		scope(1, "early", 0, 9*s, ends(5*s, "timeout", "", "no")),
		task(1, "import", 0, 49*s, failed("bad row")),
		scope(2, "batch", 0, 48*s, ends(41*s, "task failed", "row", "bad row")),
		task(3, "row", 0, 40*s, failed("bad row")),
	)))
}

// The body of a scope that returns the failure of a scope in it, or of a fork.
func TestAFailureGoesThroughABody(t *testing.T) {
	err := `scope "app/fork": task "work": boom`
	assert.Equal(t, []string{"app/fork failed at 2 s (1 s after it began): task work returned “boom”. That ended app as well, and 1 task was canceled because of it."}, textsOf(outline(t, 9*s,
		scope(0, "app", 0, 9*s, ends(4*s, "body failed", "", err)),
		scope(1, "fork", 1*s, 3*s, func(r *row) { ends(2*s, "task failed", "work", "boom")(r); r.err = err }),
		task(2, "work", 1*s, 2*s, failed("boom")),
		task(1, "tick", 0, 5*s, canceled),
	)))
}

func TestATaskThatHasSurvivedAFailureMayFailWithAnother(t *testing.T) {
	session := scope(2, "session", 0, 2*s, func(r *row) {
		ends(1*s, "task failed", "talk", "reset")(r)
		r.err = `scope "session": task "talk": reset`
	})
	rows := func(err string) []row {
		return []row{scope(0, "server", 0, 61*s, ends(60*s, "task failed", "serve", err)), task(1, "serve", 0, 60*s, failed(err)), session, task(3, "talk", 0, 1*s, failed("reset"))}
	}
	assert.Equal(t, []string{
		"server failed at 1 m 00 s: task serve returned “out of memory”.",
		"server/session failed at 1 s: task talk returned “reset”.",
	}, textsOf(outline(t, 61*s, rows("out of memory")...)))
	assert.Equal(t, []string{"server/session failed at 1 s: task talk returned “reset”. That ended server as well."},
		textsOf(outline(t, 61*s, rows(`serving: scope "session": task "talk": reset`)...)))
	alone := rows("out of memory")
	alone[0] = scope(0, "server", 0, 61*s, ends(60*s, "completed", "", ""))
	assert.Equal(t, []string{
		"server ended well at 1 m 01 s: 2 tasks in 2 scopes.",
		"server/session failed at 1 s: task talk returned “reset”.",
		"task serve returned “out of memory” at 1 m 00 s; that ended no scope.",
	}, textsOf(outline(t, 61*s, alone...)))
}

func TestTheStorySaysWhyAScopeFailed(t *testing.T) {
	for _, row := range []struct {
		kind, at, err string
		want          string
	}{
		{"body failed", "main.go:30", "no", "job failed at 2 s: its body (main.go:30) returned “no”."},
		{"body failed", "", "no", "job failed at 2 s: its body returned “no”."},
		{"panicked", "main.go:30", "nil map", "job failed at 2 s: its body panicked at main.go:30 with “nil map”."},
		{"panicked", "", "", "job failed at 2 s: its body panicked."},
		{"timeout", "", "late", "job failed at 2 s: its deadline passed."},
		{"requested", "main.go:45", "stop", "job failed at 2 s: it was canceled at main.go:45 with “stop”."},
		{"task failed", "", "no", "job failed at 2 s: a task returned “no”."},
	} {
		h := outline(t, 9*s, scope(0, "job", 0, 9*s, ends(2*s, row.kind, "", row.err)))
		h.Scopes[0].Err, h.Scopes[0].Cause.At = "x", row.at
		assert.Equal(t, []string{row.want}, textsOf(h))
	}
	h := outline(t, 9*s, scope(0, "job", 0, 9*s, func(r *row) { r.err = "boom" }))
	assert.Equal(t, []string{"job failed at 9 s: its outcome was “boom”."}, textsOf(h)[:1], "the line that says why is lost")
	h = outline(t, 9*s, scope(0, "job", 0, 9*s, ends(2*s, "requested", "", "")))
	h.Scopes[0].Cause.At = "main.go:45"
	assert.Equal(t, []string{"job was ended by the program (main.go:45) at 9 s: 0 tasks in 1 scope."}, textsOf(h))
}

// A scope that has only the error of tasks that were given up has not failed: they are told.
func TestTasksThatWereGivenUpAreTheCulprits(t *testing.T) {
	outcome := `scope "bank": canceled: requested; also: 2 tasks did not end after cancel: task "transfer", age 1s`
	h := outline(t, 9*s,
		scope(0, "bank", 0, 3*s, func(r *row) { ends(1*s, "requested", "", "")(r); r.err = "2 tasks did not end after cancel: …" }),
		task(1, "transfer", 0, never, given(2*s, stackOf("sync.Mutex.Lock"))),
		task(1, "audit", 0, never, given(2*s, stackOf("sync.Mutex.Lock, 2 minutes"))),
		task(1, "late", 0, 4*s, given(2*s, "")),
		task(1, "quick", 0, 1*s, canceled),
	)
	h.Scopes[0].Tasks[2].State = history.TaskOK
	assert.Equal(t, []string{
		"3 tasks did not end when told to, and were given up: transfer and audit, waiting for sync.Mutex.Lock at main.go:45; late. bank was told to end at 1 s: it was canceled by the program.",
		"When the recorder was closed, 2 tasks had not ended.",
	}, textsOf(h))
	h.Scopes[0].Cause, h.Scopes[0].Err = &history.Cause{Kind: "parent canceled"}, outcome
	assert.NotContains(t, textsOf(h)[0], "failed")
	h = outline(t, 9*s,
		scope(0, "app", 0, 5*s, ends(1*s, "task failed", "worker", "boom")),
		task(1, "worker", 0, 1*s, failed("boom")),
		task(1, "deaf", 0, 8*s, given(2*s, stackOf("chan receive"))),
	)
	assert.Equal(t, []string{
		"app failed at 1 s: task worker returned “boom”; 1 task was canceled because of it.",
		"1 task did not end when told to, and was given up: deaf, waiting for chan receive at main.go:45. app was told to end at 1 s: task worker returned “boom”.",
	}, textsOf(h), "what ended the root is first")
}

func TestTheStoryCountsOneWay(t *testing.T) {
	h := outline(t, 9*s,
		scope(0, "app", 0, 9*s, ends(2*s, "task failed", "bad", "boom")),
		task(1, "bad", 0, 2*s, failed("boom")),
		task(1, "cut short", 0, 3*s),
		task(1, "fails while it ends", 0, 3*s, failed("cleaning up")),
		task(1, "never ends", 0, never),
		task(1, "done before", 0, 1*s),
		task(1, "done at that moment", 0, 2*s),
		task(1, "tells that it was canceled", 0, 2*s, canceled),
		task(1, "opens one later", 0, 4*s, canceled),
		scope(2, "born canceled", 3*s, 4*s, ends(3*s, "parent canceled", "", "")),
		task(3, "born in it", 3*s, 4*s, canceled),
		task(1, "shields", 0, 4*s, canceled),
		scope(2, "shield", 0, 4*s, ends(4*s, "completed", "", "")),
		task(3, "shielded", 0, 4*s),
		scope(1, "unfinished", 0, never, ends(2*s, "parent canceled", "", "")),
	)
	assert.Contains(t, textsOf(h)[0], "; 6 tasks and 1 scope were canceled because of it.")
	causes := story.CausesOf(h)
	assert.Equal(t, story.Toll{Tasks: 6, Scopes: 1}, causes.Toll(named(t, h, "app")))
	assert.True(t, causes.CutShort(h.Scopes[0].Tasks[1]))
	assert.False(t, causes.CutShort(h.Scopes[0].Tasks[4]))
}

func TestErrorsAreToldFromTheInside(t *testing.T) {
	for err, want := range map[string]string{
		`scope "root/level 1": task "t \"x\"": bottom reached`:                                  "bottom reached",
		`scope "a": task "b": scope "c": boom; also: other`:                                     "boom",
		`serving: scope "session": task "talk": reset`:                                          "reset",
		`actor root/mid: scope "mid": task "leaf": actor root/mid/leaf is gone: signal: killed`: "actor root/mid/leaf is gone: signal: killed",
		`task "metrics" panicked: nil map` + "\n\ngoroutine 7":                                  "nil map",
		`there is no task "x": y`:                                                               `there is no task "x": y`,
		`scope "a": `:                                                                           `scope "a": `,
		"":                                                                                      "",
	} {
		assert.Equal(t, want, story.Innermost(err))
	}
}

func TestPathsAreCutInTheMiddle(t *testing.T) {
	rows := []row{scope(0, "root", 0, 9*s)}
	for i := 1; i <= 60; i++ {
		rows = append(rows, scope(i, fmt.Sprintf("level %d", i), 0, 9*s))
	}
	h := outline(t, 9*s, rows...)
	last := h.Scopes[60]
	assert.Equal(t, "root/level 1/…/level 59/level 60", story.Path(last, 38))
	assert.Equal(t, "root/…/level 60", story.Path(last, 16))
	assert.Equal(t, "…/level 60", story.Path(last, 12))
	assert.Equal(t, "root/level 1/level 2", story.Path(h.Scopes[2], 20))
	for room := 12; room < 700; room++ {
		path := story.Path(last, room)
		assert.LessOrEqual(t, len([]rune(path)), room)
		assert.Regexp(t, "level 60$", path)
	}
}

// Each name in a path is followed by that of its child, or by a gap.
func TestAPathOfManyLevelsHasNoFalseParents(t *testing.T) {
	for _, depth := range []int{255, 256, 257, 511, 512, 513, 514, 900} {
		var rows []row
		for i := range depth {
			rows = append(rows, scope(i, fmt.Sprintf("level %d", i), 0, 9*s))
		}
		h := outline(t, 9*s, rows...)
		last := h.Scopes[depth-1]
		assert.Equal(t, fmt.Sprintf("level 0/level 1/…/level %d/level %d", depth-2, depth-1), story.Path(last, 37))
		for _, room := range []int{60, 240, 3000, 100_000} {
			path := story.Path(last, room)
			at := -1
			for name := range strings.SplitSeq(path, "/") {
				if name == "…" {
					at = -1
					continue
				}
				var level int
				_, err := fmt.Sscanf(name, "level %d", &level)
				assert.NoError(t, err)
				assert.True(t, at < 0 || level == at+1, path)
				at = level
			}
			assert.Equal(t, depth-1, at)
		}
	}
}

func TestNamesAreFolded(t *testing.T) {
	for name, want := range map[string]string{
		"conn": "conn", "conn 17": "conn #", "thing.cached[0]": "thing.cached[#]", "facade": "facade", "0xDEADBEEF": "#",
		"req 3f2a9c01": "req #", "user 123e4567-e89b-12d3-a456-426614174000": "user #", "v2.10": "v#.#",
	} {
		assert.Equal(t, want, story.FoldName(name))
	}
}

func TestDurationsHaveThreeDigits(t *testing.T) {
	h := &history.History{}
	for d, want := range map[time.Duration]string{
		0: "0 s", 7: "7 ns", 1500: "1.5 µs", 45600 * time.Microsecond: "45.6 ms", 3200 * ms: "3.2 s", 123 * s: "2 m 03 s", 7384 * s: "2 h 03 m",
		999700 * time.Microsecond: "1 s", 90000 * s: "1 d 1 h", 10740 * ms: "10.7 s", 401 * ms: "401 ms",
	} {
		assert.Equal(t, want, story.Duration(h, d))
	}
	assert.Equal(t, "3 steps", story.Duration(&history.History{Ordinal: true}, 3*ms))
}

func TestTheStoryDoesNotHideWhatIsMissing(t *testing.T) {
	assert.Equal(t, []string{
		"The log stops at 1.05 s without its last line: the program crashed, was killed, or still runs. 1 task and 1 scope had not ended.",
		"812 lines of the log are lost at 50 ms: the writer was too slow. What happened then is shown as far as it is known.",
		"The log is cut in the middle of a line.",
		"1 line of the log makes no sense and was left out.",
	}, textsOf(logtest.Read(t, logtest.Header+`{"t":1000,"k":"scope","id":1,"n":"a"}
{"t":2000,"k":"spawn","s":1,"id":1,"n":"b"}
{"t":50000000,"k":"lost","n":812,"why":"the writer was too slow"}
nonsense
{"t":1050000000,"k":"start","s":1,"id":1}
{"t":1060000000,"k":"en`)))
	assert.Equal(t, []string{"Nothing happened: the log has a first line, and no scope was opened."}, textsOf(logtest.Read(t, logtest.Header+`{"t":1,"k":"bye"}`+"\n")))
}

func TestTheStoryOfProcesses(t *testing.T) {
	h, err := history.ReadDir(logtest.Dir(t, logtest.Killed()))
	assert.NoError(t, err)
	assert.Equal(t, []string{
		"root/mid failed at 31 ms (20 ms after it began): task leaf returned “actor root/mid/leaf is gone: signal: killed”. That ended root as well, and 1 task was canceled because of it.",
		"The log of process 73, leaf, stops at 18 ms without its last line: it crashed or was killed. 1 task and 2 scopes in it had not ended.",
	}, textsOf(h))
}

func TestACalmProgram(t *testing.T) {
	assert.Equal(t, []string{"job ended well at 10 s: 1 task in 1 scope."}, textsOf(outline(t, 11*s,
		scope(0, "job", 0, 10*s, ends(9*s, "completed", "", "")), task(1, "heartbeat", 0, 10*s, canceled))))
	assert.Equal(t, []string{"1 root scope ended because of something outside the log; 0 tasks in 1 scope."}, textsOf(outline(t, 11*s,
		scope(0, "job", 0, 10*s, ends(9*s, "parent canceled", "", "")))))
}
