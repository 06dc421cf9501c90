package story_test

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo/record/history"
	"github.com/traigo/traigo/record/internal/logtest"
	"github.com/traigo/traigo/record/story"
)

// endOf returns the scope with whose end the cancellation of s began, by going up.
func endOf(s *history.Scope) *history.Scope {
	for {
		task, by := s.EndedBy()
		switch {
		case by == nil || task != nil && by != s:
			return nil
		case by == s && s.Cause.Kind == "parent canceled":
			return nil
		case by == s:
			return s
		}
		s = by
	}
}

// tollOf counts what was canceled because of the end of one scope, span by span.
func tollOf(h *history.History, of *history.Scope) (toll story.Toll) {
	for _, s := range h.Scopes {
		if endOf(s) != of {
			continue
		}
		if s != of && s.Opened < of.Canceled {
			toll.Scopes++
		}
		for _, t := range s.Tasks {
			alive := t.Ended == never || t.Ended > s.Canceled || t.Ended == s.Canceled && t.State == history.TaskCanceled
			if alive && t.Cause == nil && t.State != history.TaskLost && t.Spawned < of.Canceled && s.Cause.By != t {
				toll.Tasks++
			}
		}
	}
	return toll
}

var (
	canceledBecause = regexp.MustCompile(`(?:; |, and )(?:([\d,]+) tasks?)?(?: and )?(?:([\d,]+) scopes?)? (?:was|were) canceled because of it`)
	times           = regexp.MustCompile(`([\d,]+) × `)
	fold            = regexp.MustCompile(`^([\d,]+) (?:more )?failures?(?: ended nothing|: )`)
	others          = regexp.MustCompile(`and ([\d,]+) others? of`)
	more            = regexp.MustCompile(`The same happened ([\d,]+) more time`)
)

func number(t *testing.T, text string) int {
	t.Helper()
	if text == "" {
		return 0
	}
	n, err := strconv.Atoi(strings.ReplaceAll(text, ",", ""))
	require.NoError(t, err)
	return n
}

// Every number in the story of random programs, and of random lines, is that of a count.
func TestNumbersInTheStoryAreCounted(t *testing.T) {
	check := func(t *testing.T, h *history.History) {
		t.Helper()
		causes := story.CausesOf(h)
		failures := 0
		carried := make(map[*history.Scope]bool)
		for _, s := range h.Scopes {
			if up := causes.FailedWith(s); up != nil {
				carried[up] = true
				require.Same(t, s.Parent, up)
				require.True(t, causes.Failed(up))
			}
		}
		for _, s := range h.Scopes {
			want := story.Toll{}
			for up := s; up != nil; up = causes.FailedWith(up) {
				one := tollOf(h, up)
				want.Tasks, want.Scopes = want.Tasks+one.Tasks, want.Scopes+one.Scopes
			}
			require.Equal(t, want, causes.Toll(s), s.Path())
			if causes.Failed(s) && !carried[s] {
				failures++
			}
			for _, task := range s.Tasks {
				passed := false
				for _, below := range task.Scopes {
					for _, err := range []string{below.Err, causeErr(below)} {
						passed = passed || err != "" && strings.Contains(task.Err, err[:min(len(err), 200)])
					}
				}
				if task.Failed() && causes.Ended(task) == nil && !passed {
					failures++
				}
			}
		}
		told := 0
		for _, line := range causes.Story(h) {
			text := line.String()
			require.NotContains(t, text, "%!")
			if line.Tone != "failed" {
				checkRest(t, h, text)
				continue
			}
			if of := fold.FindStringSubmatch(text); of != nil {
				sum := 0
				for _, n := range times.FindAllStringSubmatch(text, -1) {
					sum += number(t, n[1])
				}
				if rest := others.FindStringSubmatch(text); rest != nil {
					sum += number(t, rest[1])
				}
				require.Equal(t, number(t, of[1]), sum, text)
				told += sum
				continue
			}
			told++
			if again := more.FindStringSubmatch(text); again != nil {
				told += number(t, again[1])
			}
			if said := canceledBecause.FindStringSubmatch(text); said != nil {
				said := story.Toll{Tasks: number(t, said[1]), Scopes: number(t, said[2])}
				require.Equal(t, causes.Toll(line.Words[0].Scope), said, text)
			} else if s := line.Words[0].Scope; s != nil {
				require.Zero(t, causes.Toll(s), text)
			}
		}
		require.Equal(t, failures, told, "each failure is told or counted")
	}
	t.Run("programs", func(t *testing.T) {
		for seed := range uint64(60) {
			check(t, logtest.Read(t, logtest.Program(t, seed)))
		}
	})
	t.Run("lines", func(t *testing.T) {
		for seed := range uint64(400) {
			check(t, logtest.Read(t, logtest.Random(seed)))
		}
	})
}

func causeErr(s *history.Scope) string {
	if s.Cause == nil {
		return ""
	}
	return s.Cause.Err
}

var (
	unended = regexp.MustCompile(`(?:\. |, )(?:([\d,]+) tasks?)?(?: and )?(?:([\d,]+) scopes?)? had not ended\.$`)
	gaveUp  = regexp.MustCompile(`^([\d,]+) tasks? did not end when told to`)
)

// checkRest checks the numbers of what had not ended, and of what was given up.
func checkRest(t *testing.T, h *history.History, text string) {
	t.Helper()
	tasks, scopes, stuck := 0, 0, 0
	for _, s := range h.Scopes {
		if s.Closed == never {
			scopes++
		}
		for _, task := range s.Tasks {
			if task.Unfinished() {
				tasks++
			}
			if task.Stuck != never {
				stuck++
			}
		}
	}
	if said := unended.FindStringSubmatch(text); said != nil && !strings.HasPrefix(text, "Nothing happened") {
		assert.Equal(t, []int{tasks, scopes}, []int{number(t, said[1]), number(t, said[2])}, text)
	}
	if said := gaveUp.FindStringSubmatch(text); said != nil {
		assert.Equal(t, stuck, number(t, said[1]), text)
	}
}

func TestTheStoryOfALargeHistoryIsToldFast(t *testing.T) {
	rows := []row{scope(0, "root", 0, 9*s, ends(5*s, "timeout", "", "late"))}
	for i := range 10_000 {
		rows = append(rows, scope(1, fmt.Sprintf("conn %d", i), 0, 6*s, ends(5*s, "parent canceled", "", "")), task(2, "t", 0, 6*s, canceled))
	}
	assert.Equal(t, []string{"root failed at 5 s: its deadline passed; 10,000 tasks and 10,000 scopes were canceled because of it."}, textsOf(outline(t, 9*s, rows...)))
	deep := []row{scope(0, "root", 0, 9*s, ends(5*s, "timeout", "", "late"))}
	for i := 1; i < 20_000; i++ {
		deep = append(deep, scope(i, "level", 0, 6*s, ends(5*s, "parent canceled", "", "")))
	}
	assert.Equal(t, []string{"root failed at 5 s: its deadline passed; 19,999 scopes were canceled because of it."}, textsOf(outline(t, 9*s, deep...)))
}

func TestFirstIsWhereAFailureBegan(t *testing.T) {
	err := `scope "app/batch": task "row": bad row`
	rows := []row{
		scope(0, "app", 0, 90*s, ends(50*s, "task failed", "import", err)), task(1, "import", 0, 49*s, failed(err)),
		scope(2, "batch", 0, 48*s, func(r *row) { ends(41*s, "task failed", "row", "bad row")(r); r.err = err }), task(3, "row", 0, 40*s, failed("bad row")),
		scope(1, "quote", 0, 9*s, ends(1*s, "timeout", "", "late")),
	}
	h := outline(t, 90*s, rows...)
	causes := story.CausesOf(h)
	app, batch, quote := story.Span{Scope: h.Scopes[0]}, story.Span{Scope: h.Scopes[1]}, story.Span{Scope: h.Scopes[2]}
	imports, bad := story.Span{Scope: app.Scope, Task: app.Scope.Tasks[0]}, story.Span{Scope: batch.Scope, Task: batch.Scope.Tasks[0]}
	for span, want := range map[story.Span]string{app: "batch/row", imports: "batch/row", batch: "row", bad: "", quote: ""} {
		first, path := causes.First(span, 50)
		assert.Equal(t, want, path)
		if path != "" {
			assert.Equal(t, bad, first)
		} else {
			assert.Equal(t, span, first)
		}
	}

	rows = nil
	for i := range 300 {
		rows = append(rows, scope(i, fmt.Sprintf("level %d", i), 0, 90*s, ends(time.Duration(300-i)*ms, "body failed", "", "boom")))
	}
	h = outline(t, 90*s, rows...)
	causes = story.CausesOf(h)
	for i, above := range h.Scopes[:299] {
		first, path := causes.First(story.Span{Scope: above}, 50)
		assert.Equal(t, h.Scopes[299], first.Scope)
		assert.LessOrEqual(t, len([]rune(path)), 50)
		assert.Regexp(t, fmt.Sprintf("^level %d(/.*)?$", i+1), path)
		assert.Regexp(t, "level 299$", path)
	}
}

// What was stopped ended early with a scope that ended without a failure.
func TestStoppedIsNotCanceled(t *testing.T) {
	h := outline(t, 9*s,
		scope(0, "app", 0, 9*s, ends(8*s, "completed", "", "")),
		task(1, "not awaited", 0, 9*s, canceled), task(1, "canceled before", 0, 7*s, canceled), task(1, "done", 0, 9*s),
		scope(1, "Race", 0, 4*s, ends(3*s, "master ended", "winner", "")),
		task(2, "winner", 0, 3*s), task(2, "loser", 0, 4*s, canceled),
		scope(3, "in loser", 0, 4*s, ends(3*s, "parent canceled", "", "")), task(4, "at work", 0, 4*s, canceled),
		scope(3, "still open", 0, never, ends(3*s, "parent canceled", "", "")),
		scope(1, "failing", 0, 4*s, ends(3*s, "task failed", "bad", "no")),
		task(2, "bad", 0, 3*s, failed("no")), task(2, "cut off", 0, 4*s, canceled),
		scope(3, "below", 0, 4*s, ends(3*s, "parent canceled", "", "")),
	)
	causes := story.CausesOf(h)
	var stopped []string
	for _, s := range h.Scopes {
		if causes.Stopped(story.Span{Scope: s}) {
			stopped = append(stopped, s.Name)
		}
		for _, task := range s.Tasks {
			if causes.Stopped(story.Span{Scope: s, Task: task}) {
				stopped = append(stopped, task.Name)
			}
		}
	}
	assert.ElementsMatch(t, []string{"not awaited", "loser", "in loser", "at work"}, stopped)
	assert.Contains(t, whyOf(t, h, "loser"), "stopped at 4 s, after 4 s.")
	assert.Contains(t, whyOf(t, h, "in loser"), "stopped at 3 s, closed at 4 s, after 4 s.")
	assert.Contains(t, whyOf(t, h, "cut off"), "canceled at 4 s, after 4 s.")
}

// The numbers of a failure that went up through all scopes are known at once for each of them: to
// go up from each takes minutes.
func TestTheTollOfADeepFailureIsCountedOnce(t *testing.T) {
	const depth = 50_000
	var rows []row
	for i := range depth {
		rows = append(rows, scope(i, "level", 0, time.Duration(depth+1)*ms, ends(time.Duration(depth-i)*ms, "body failed", "", "boom")))
	}
	h := outline(t, 9*s, rows...)
	for i, s := range h.Scopes {
		by := &history.Task{Scope: s, State: history.TaskFailed, Err: "boom", Stuck: never, Ended: s.Canceled}
		s.Tasks, s.Cause.By = []*history.Task{by}, by
		if i+1 < depth {
			by.Scopes, h.Scopes[i+1].By = h.Scopes[i+1:i+2], by
		}
	}
	began := time.Now()
	causes := story.CausesOf(h)
	var spans []story.Span
	for _, s := range h.Scopes {
		require.Zero(t, causes.Toll(s))
		spans = append(spans, story.Span{Scope: s, Task: s.Cause.By})
	}
	causes.Sort(spans)
	assert.Same(t, h.Scopes[depth-1], spans[0].Scope)
	assert.Less(t, time.Since(began), 20*s)
}
