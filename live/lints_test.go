package live_test

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/live"
)

// lintCases are snapshots for each lint: some in which it finds something, after some time,
// and some that are similar, in which it must not.
var lintCases = []struct {
	lint  string
	name  string
	shot  traigo.Snapshot
	after time.Duration // since the first snapshot
	count int           // of nodes; 0 if nothing is found at any time
}{
	{"straggler", "one of those canceled is left", canceled("copy"), 2 * time.Second, 1},
	{"straggler", "many are left", canceled("a", "b", "c", "d"), 5 * time.Second, 0},
	{"never-awaited", "a failure of Async", with(scope(3, "server"), func(s *traigo.Snapshot) { s.Unawaited = []string{"size"} }), 10 * time.Second, 1},
	{"ignored-cancel", "many tasks", canceled("a", "b", "c", "d"), 10 * time.Second, 4},
	{"ignored-cancel", "a body", canceled(), 10 * time.Second, 1},
	{"ignored-cancel", "not a task that waits for the scope that it has opened", with(canceled("accept"), func(s *traigo.Snapshot) {
		s.Scopes = []traigo.Snapshot{with(scope(9, "conn", task(1, "read")), func(s *traigo.Snapshot) { s.Task, s.State, s.Cause = 1, traigo.Canceling, "parent canceled" })}
	}), 10 * time.Second, 1},
	{"ignored-cancel", "a body, above a scope that has closed", with(canceled(), func(s *traigo.Snapshot) {
		s.Scopes = []traigo.Snapshot{closed("charge")}
	}), 10 * time.Second, 1},
	{"ignored-cancel", "a task, above the scope that it has opened, which has closed", with(canceled("accept"), func(s *traigo.Snapshot) {
		s.Scopes = []traigo.Snapshot{with(closed("read"), func(s *traigo.Snapshot) { s.Task = 1 })}
	}), 10 * time.Second, 1},
	{"ignored-cancel", "a task that was canceled alone", scope(3, "server", with(task(1, "fetch"), func(t *traigo.TaskSnapshot) {
		t.State, t.Cause = "canceling", "requested"
	})), 10 * time.Second, 1},
	{"ignored-cancel", "one that its timeout has ended long ago", scope(3, "server", with(task(1, "fetch"), func(t *traigo.TaskSnapshot) {
		t.State, t.Cause, t.Deadline = "canceling", "timeout: after 3s", ago(12*time.Second)
	})), 0, 1},
	{"ignored-cancel", "a scope that its timeout has ended long ago", with(canceled("a", "b"), func(s *traigo.Snapshot) {
		s.Cause, s.Deadline = "timeout: after 3s", ago(12*time.Second)
	}), 0, 2},
	{"ignored-cancel", "what runs and is not canceled", scope(3, "server", task(1, "fetch")), time.Hour, 0},
	{"given-up", "a task", scope(3, "server", with(task(1, "fetch"), func(t *traigo.TaskSnapshot) { t.State = "given up" })), 0, 1},
	{"given-up", "a task of a scope that has closed", with(scope(3, "server"), func(s *traigo.Snapshot) {
		s.Scopes = []traigo.Snapshot{closed("charge")}
	}), 0, 1},
	{"abandoned-call", "a call", scope(3, "server", with(task(1, "fetch"), func(t *traigo.TaskSnapshot) {
		t.State, t.Age = "abandoned", 11*time.Second
	})), 0, 1},
	{"abandoned-call", "one that has just been", scope(3, "server", with(task(1, "fetch"), func(t *traigo.TaskSnapshot) {
		t.State, t.Age = "abandoned", 8*time.Second
	})), 0, 0},
	{"limit-blocked", "spawns", with(scope(3, "server", with(task(1, "fetch"), func(t *traigo.TaskSnapshot) { t.Spawned = ago(time.Minute) })),
		func(s *traigo.Snapshot) { s.Limit, s.Waiting = 1, 3 }), 10 * time.Second, 1},
	{"limit-blocked", "spawns, beside a task that takes no slot", with(scope(3, "server",
		with(task(1, "fetch"), func(t *traigo.TaskSnapshot) { t.Spawned = ago(time.Minute) }),
		with(task(2, "tick"), func(t *traigo.TaskSnapshot) { t.Awaited, t.Spawned = false, at.Add(time.Hour) })),
		func(s *traigo.Snapshot) { s.Limit, s.Waiting = 1, 3 }), 10 * time.Second, 1},
	{"limit-blocked", "spawns, after a call was abandoned, which keeps the slot", with(scope(3, "server",
		with(task(1, "fetch"), func(t *traigo.TaskSnapshot) { t.State, t.Age = "abandoned", time.Second })),
		func(s *traigo.Snapshot) { s.Limit, s.Waiting = 1, 3 }), 10 * time.Second, 1},
	{"limit-blocked", "nobody waits", with(scope(3, "server", with(task(1, "fetch"), func(t *traigo.TaskSnapshot) { t.Spawned = ago(time.Minute) })),
		func(s *traigo.Snapshot) { s.Limit = 1 }), time.Hour, 0},
	{"unfinalized-forks", "two", with(scope(3, "server"), func(s *traigo.Snapshot) {
		s.State, s.Scopes = traigo.Finalizing, forks(traigo.Open, 2)
	}), 10 * time.Second, 1},
	{"unfinalized-forks", "beside a task that nobody awaits", with(scope(3, "server", with(task(1, "metrics"), func(t *traigo.TaskSnapshot) { t.Awaited = false })), func(s *traigo.Snapshot) {
		s.State, s.Scopes = traigo.Finalizing, forks(traigo.Open, 1)
	}), 10 * time.Second, 1},
	{"unfinalized-forks", "beside a fork that has closed, and a task that was given up", with(scope(3, "server", with(task(1, "fetch"), func(t *traigo.TaskSnapshot) { t.State = "given up" })), func(s *traigo.Snapshot) {
		s.State, s.Scopes = traigo.Finalizing, append(forks(traigo.Open, 1), closed("charge"))
	}), 10 * time.Second, 1},
	{"unfinalized-forks", "only one that has closed", with(scope(3, "server"), func(s *traigo.Snapshot) {
		s.State, s.Scopes = traigo.Finalizing, []traigo.Snapshot{closed("charge")}
	}), time.Hour, 0},
	{"unfinalized-forks", "one in which something runs", with(scope(3, "server"), func(s *traigo.Snapshot) {
		s.State, s.Scopes = traigo.Finalizing, append(forks(traigo.Open, 2), forks(traigo.Open, 1, task(1, "read"))...)
	}), time.Hour, 0},
	{"unfinalized-forks", "ones that are finalizing", with(scope(3, "server"), func(s *traigo.Snapshot) {
		s.State, s.Scopes = traigo.Finalizing, forks(traigo.Finalizing, 2)
	}), time.Hour, 0},
	{"finalizing-long", "that was never seen open, such as Run with a short body", with(scope(3, "server", task(1, "accept")), func(s *traigo.Snapshot) { s.State = traigo.Finalizing }), time.Hour, 0},
	{"deadline-passed", "a scope", with(scope(3, "server"), func(s *traigo.Snapshot) { s.Deadline = ago(2 * time.Second) }), 0, 1},
	{"deadline-passed", "a scope that it has ended", with(canceled("a"), func(s *traigo.Snapshot) { s.Deadline = ago(2 * time.Second) }), time.Hour, 0},
	{"deadline-passed", "one to come", with(scope(3, "server"), func(s *traigo.Snapshot) { s.Deadline = at.Add(2 * time.Hour) }), time.Hour, 0},
	{"queued", "a task", scope(3, "server", with(task(1, "a"), func(t *traigo.TaskSnapshot) { t.State = "queued" })), 0, 1},
	{"spawn-storm", "tasks", many(10_000, "worker-#"), 0, 1},
	{"spawn-storm", "nearly", many(9_999, "worker-#"), time.Hour, 0},
	{"spawn-storm", "scopes", with(scope(3, "server"), func(s *traigo.Snapshot) { s.Scopes = forks(traigo.Open, 10_000) }), 0, 1},
	{"spawn-storm", "that has a Limit", with(many(10_000, "worker-#"), func(s *traigo.Snapshot) { s.Limit = 20_000 }), time.Hour, 0},
	{"unnamed", "functions", many(50, "serve.func1.2"), 0, 1},
	{"unnamed", "functions of a join", many(50, "serve.func1[7]"), 0, 1},
	{"unnamed", "functions that have names", many(50, "serve"), time.Hour, 0},
	{"unnamed", "scopes", with(scope(3, "server"), func(s *traigo.Snapshot) {
		for _, f := range forks(traigo.Open, 50, task(1, "read")) {
			f.ID += 100
			f.Name = fmt.Sprint("scope#", f.ID)
			s.Scopes = append(s.Scopes, f)
		}
	}), 0, 1},
}

func TestLintsFindWhatTheyAreFor(t *testing.T) {
	seen := map[string]bool{"finalizing-long": true, "blocked": true, "maybe-blocked": true} // have tests of their own
	for _, row := range lintCases {
		t.Run(row.lint+": "+row.name, func(t *testing.T) {
			m := &live.LintState{}
			found, recheck := live.Lints(m, at, row.shot)
			if row.count == 0 || row.after > 0 {
				assert.NotContains(t, found, row.lint, "at once")
			}
			if row.count > 0 && row.after > 0 {
				assert.Positive(t, recheck)
				found, _ = live.Lints(m, at.Add(row.after-time.Millisecond), row.shot)
				assert.NotContains(t, found, row.lint, "early")
			}
			found, _ = live.Lints(m, at.Add(row.after), row.shot)
			assert.Equal(t, row.count, found[row.lint], "%v", found)
		})
		seen[row.lint] = seen[row.lint] || row.count > 0
	}
	for name, advice := range live.LintAdvice() {
		assert.True(t, seen[name], "%s is never found", name)
		assert.Regexp(t, `^[A-Z].*\.$`, advice, "%s says what to do in sentences", name)
	}
}

// A task that is a straggler, and later ignores its cancellation, has one warning at a time.
func TestAStragglerHasOneWarningAtATime(t *testing.T) {
	m := &live.LintState{}
	shot := canceled("copy")
	for _, row := range []struct {
		after time.Duration
		want  map[string]int
	}{
		{0, map[string]int{}}, {3 * time.Second, map[string]int{"straggler": 1}}, {10 * time.Second, map[string]int{"ignored-cancel": 1}},
	} {
		found, _ := live.Lints(m, at.Add(row.after), shot)
		assert.Equal(t, row.want, found)
	}
}

func TestAScopeThatWasOpenForLongAndFinalizesForLong(t *testing.T) {
	m := &live.LintState{}
	shot := scope(3, "server", task(1, "accept"))
	for second := range 3 {
		found, _ := live.Lints(m, at.Add(time.Duration(second)*time.Second), shot)
		assert.Empty(t, found)
	}
	shot.State = traigo.Finalizing
	begun := at.Add(time.Hour)
	for _, after := range []time.Duration{0, 30 * time.Second, 59 * time.Second} {
		found, recheck := live.Lints(m, begun.Add(after), shot)
		assert.Empty(t, found)
		assert.Equal(t, 1, recheck)
	}
	found, _ := live.Lints(m, begun.Add(time.Minute), shot)
	assert.Equal(t, map[string]int{"finalizing-long": 1}, found)
}

// A condition that may have ended between two snapshots that are far apart begins again.
func TestLintsDoNotAssumeWhatNoSnapshotHas(t *testing.T) {
	idle := with(scope(3, "server"), func(s *traigo.Snapshot) { s.State, s.Scopes = traigo.Finalizing, forks(traigo.Open, 2) })
	m := &live.LintState{}
	_, _ = live.Lints(m, at, idle)
	found, _ := live.Lints(m, at.Add(time.Hour), idle)
	assert.Empty(t, found)
	found, _ = live.Lints(m, at.Add(time.Hour+10*time.Second), idle)
	assert.Equal(t, map[string]int{"unfinalized-forks": 1}, found)

	// A cancellation cannot have ended in between.
	m = &live.LintState{}
	_, _ = live.Lints(m, at, canceled("copy"))
	found, _ = live.Lints(m, at.Add(time.Hour), canceled("copy"))
	assert.Equal(t, map[string]int{"ignored-cancel": 1}, found)

	// A scope that is missing from a snapshot is forgotten.
	m = &live.LintState{}
	_, _ = live.Lints(m, at, canceled("copy"))
	_, _ = live.Lints(m, at.Add(time.Second), scope(4, "other"))
	found, recheck := live.Lints(m, at.Add(10*time.Second), canceled("copy"))
	assert.Empty(t, found)
	assert.Equal(t, 1, recheck)
}

func TestWarningsSayHowManyAndWhere(t *testing.T) {
	m := &live.LintState{}
	shot := canceled("a", "b", "c", "d", "e", "f", "g\n")
	_ = live.Text(m, at, "", shot)
	text := live.Text(m, at.Add(12*time.Second), "", shot)
	assert.Contains(t, text, `1 scope, 7 tasks, 8 canceling, 1 warning

! ignored-cancel [×7], for 12s: was canceled, and still runs
    server/a
    server/b
    server/c
    server/d
    server/e
    … and 2 more
  Its function must return when ctx is done: `)
	assert.Contains(t, text, "• a (canceling, 13s, ! ignored-cancel)")

	x := decode(t, live.JSON(m, at.Add(12*time.Second), "", shot))
	require.Len(t, x.Warnings, 1)
	assert.Equal(t, 7, x.Warnings[0].Count)
	assert.Len(t, x.Warnings[0].At, 5)
	assert.Equal(t, []string{"ignored-cancel"}, x.Roots[0].Below[0].Warnings)
}

// The list in the package documentation has all lints of the table.
func TestLintsAreInTheDocumentation(t *testing.T) {
	doc, err := os.ReadFile("doc.go")
	require.NoError(t, err)
	_, list, found := strings.Cut(string(doc), "# Lints")
	require.True(t, found)
	for name := range live.LintAdvice() {
		assert.Contains(t, list, "//\t"+name+" ", "%s", name)
	}
}
