package live_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/live"
)

func TestTextShowsTheTreeAsItIs(t *testing.T) {
	server := scope(3, "server",
		with(task(1, "accept"), func(t *traigo.TaskSnapshot) { t.Master, t.Ready = true, true }),
		with(task(2, "metrics"), func(t *traigo.TaskSnapshot) { t.Awaited, t.Bubble = false, false }),
	)
	conn := with(scope(4, "conn", task(1, "read")), func(s *traigo.Snapshot) {
		s.Task, s.Deadline, s.Limit, s.Waiting = 1, at.Add(1500*time.Millisecond), 1000, 2
	})
	jobs := with(scope(5, "jobs"), func(s *traigo.Snapshot) {
		s.State, s.Cause = traigo.Canceling, "task failed: task \"server/jobs/x\": boom\nand more"
	})
	server.Scopes = []traigo.Snapshot{conn, jobs}

	assert.Equal(t, `3 scopes, 3 tasks, 1 canceling, 1 to recheck

server (open, 1m0s)
├─ • accept (running, 1s, master, ready)
│  └─ conn (open, 1m0s, 1.5s left, limit 1,000, 2 waiting)
│     └─ • read (running, 1s)
├─ • metrics (running, 1s, not awaited, no bubble)
└─ jobs (canceling, 1m0s, task failed: task "server/jobs/x": boom)
`, live.Text(&live.LintState{}, at, "", server))
}

// What a task waits for stands beside it, unless that is what is below it.
func TestTextSaysWhatEachTaskWaitsFor(t *testing.T) {
	at45 := func(waits string, d time.Duration) func(*traigo.TaskSnapshot) {
		return func(t *traigo.TaskSnapshot) { t.Waits, t.At, t.For = waits, "main.go:45", d }
	}
	server := scope(3, "server",
		with(task(1, "serve"), at45("sync.WaitGroup.Wait", 0)),
		with(task(2, "lock"), at45("sync.Mutex.Lock", 12*time.Minute)),
		with(task(3, "spin"), at45("running", 0)),
		with(task(4, "next"), at45("runnable", 0)),
		with(task(5, "evil"), func(t *traigo.TaskSnapshot) { t.Waits, t.At = "select", "\x1b[31m.go:1" }),
		with(task(6, "side"), func(t *traigo.TaskSnapshot) { // a terminal may cut the line: the place comes first
			t.Waits, t.At, t.Awaited, t.Bubble = "select", "main.go:45", false, false
		}))
	server.Scopes = []traigo.Snapshot{with(scope(4, "session"), func(s *traigo.Snapshot) { s.Task, s.Waits, s.At = 1, "select", "session.go:9" })}
	server.Blocked, server.Waiting, server.Limit = []string{"server/accept", "server/b\tc"}, 2, 4
	assert.Equal(t, `2 scopes, 6 tasks

server (open, 1m0s, limit 4, 2 waiting: server/accept, server/b\tc)
├─ • serve (running, 1s)
│  └─ session (open, 1m0s, select at session.go:9)
├─ • lock (running, 1s, sync.Mutex.Lock at main.go:45, ≥ 12m0s)
├─ • spin (running, 1s, on a processor at main.go:45)
├─ • next (running, 1s, waits for a processor at main.go:45)
├─ • evil (running, 1s, select at \x1b[31m.go:1)
└─ • side (running, 1s, select at main.go:45, not awaited, no bubble)
`, live.Text(&live.LintState{}, at, "", server))
}

func TestTextEscapesNames(t *testing.T) {
	name := "a\x1b[31m\r\nb\u202ec\u2066\x00\xff<script>é"
	server := scope(3, name, task(1, strings.Repeat("x", 10_000)))
	text := live.Text(&live.LintState{}, at, "", server)
	assert.Contains(t, text, `a\x1b[31m\r\nb\u202ec\u2066\x00\xff<script>é (open`)
	assert.Contains(t, text, "• "+strings.Repeat("x", 200)+"… (running")
	assert.Less(t, len(text), 1000)
	assert.Equal(t, "é…", live.Escape("éé", 1))
	assert.Equal(t, "ab…", live.Escape("abc", 2))
}

// A future that has failed, and that nobody awaits, is shown by name and with a warning.
func TestAFailedFutureThatNobodyAwaitsIsShown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := traigo.New(t.Context(), traigo.Name("upload"))
		defer s.Close()
		h := live.Handler(s)
		future := traigo.Async(s, func(context.Context) (int, error) { return 0, errors.New("no such file") }, traigo.Name("size"))
		synctest.Wait()
		assert.Contains(t, getText(h), "upload (open, 0s, failed and not awaited: size)")
		time.Sleep(11 * time.Second)
		text := getText(h)
		assert.Contains(t, text, "never-awaited")
		assert.Contains(t, text, "Call Await for each")

		_, err := future.Await(t.Context())
		require.Error(t, err)
		time.Sleep(time.Second)
		assert.NotContains(t, getText(h), "awaited")
	})
}

type badError struct{}

func (badError) Error() string { panic("bad Error") }

func TestAnErrorThatPanicsHidesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		end := make(chan struct{})
		s := opened(t)
		fork := s.Fork(traigo.Name("fork"))
		fork.Spawn(ignoringCancel(end), traigo.Name("stuck"))
		fork.Cancel(badError{})
		body := getText(live.Handler(s))
		assert.Contains(t, body, "fork (canceling, 0s, requested: live_test.badError, whose Error panics: bad Error)")
		assert.Contains(t, body, "stuck")
		close(end)
		synctest.Wait()
	})
}
