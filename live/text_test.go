package live_test

import (
	"context"
	"errors"
	"fmt"
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
`, live.Text(&live.Memory{}, at, "", server))
}

func TestTextFoldsEqualSiblings(t *testing.T) {
	server := scope(3, "server")
	for id := range uint64(5000) {
		server.Tasks = append(server.Tasks, with(task(id+1, "worker"), func(t *traigo.TaskSnapshot) {
			t.Spawned = ago(1200*time.Millisecond + time.Duration(id)*time.Millisecond)
		}))
	}
	server.Tasks = append(server.Tasks, with(task(6000, "worker"), func(t *traigo.TaskSnapshot) { t.Master = true }))
	for id := range uint64(5) {
		server.Scopes = append(server.Scopes, scope(10+id, fmt.Sprint("scope#", 10+id), task(1, "read"), task(2, "read")))
	}
	for id := range uint64(4) {
		server.Scopes = append(server.Scopes, scope(20+id, "few"))
	}
	assert.Equal(t, `10 scopes, 5,011 tasks

server (open, 1m0s)
├─ • worker [×5,000] (running, 1.2s to 6.2s)
├─ • worker (running, 1s, master)
├─ scope# [×5] (open, 1m0s)
│  └─ • read [×10] (running, 1s)
├─ few (open, 1m0s)
├─ few (open, 1m0s)
├─ few (open, 1m0s)
└─ few (open, 1m0s)
`, live.Text(&live.Memory{}, at, "", server))
	full := live.Text(&live.Memory{}, at, "full=1", server)
	assert.Equal(t, 5000, strings.Count(full, "• worker (running, ")-1)
}

// Connections with three and with four requests are alike; one that is canceled is not.
func TestScopesOfTheSameShapeAreOne(t *testing.T) {
	server := scope(3, "server")
	for id := range uint64(100) {
		conn := scope(10+id, "conn", task(1, "read"), task(2, "write"))
		for n := range id % 3 {
			conn.Tasks = append(conn.Tasks, task(3+n, "write"))
		}
		if id == 50 {
			conn.State, conn.Cause = traigo.Canceling, "requested"
		}
		conn.Task = id + 1
		server.Scopes = append(server.Scopes, conn)
		server.Tasks = append(server.Tasks, task(id+1, "serve"))
	}
	assert.Equal(t, `101 scopes, 399 tasks, 1 canceling, 4 to recheck

server (open, 1m0s)
├─ • serve [×99] (running, 1s)
│  └─ conn [×99] (open, 1m0s)
│     ├─ • read [×99] (running, 1s)
│     └─ • write [×196] (running, 1s)
└─ • serve (running, 1s)
   └─ conn (canceling, 1m0s, requested)
      ├─ • read (running, 1s)
      ├─ • write (running, 1s)
      ├─ • write (running, 1s)
      └─ • write (running, 1s)
`, live.Text(&live.Memory{}, at, "", server))
}

func TestTextEscapesNames(t *testing.T) {
	name := "a\x1b[31m\r\nb\u202ec\u2066\x00\xff<script>é"
	server := scope(3, name, task(1, strings.Repeat("x", 10_000)))
	text := live.Text(&live.Memory{}, at, "", server)
	assert.Contains(t, text, `a\x1b[31m\r\nb\u202ec\u2066\x00\xff<script>é (open`)
	assert.Contains(t, text, "• "+strings.Repeat("x", 200)+"… (running")
	assert.Less(t, len(text), 1000)
	assert.Equal(t, "é…", live.Clean("éé", 1))
	assert.Equal(t, "ab…", live.Clean("abc", 2))
}

func TestAPartIsFoundByPathOrID(t *testing.T) {
	server := scope(3, "server", task(1, "accept"))
	server.Scopes = []traigo.Snapshot{
		with(scope(4, "conn", task(1, "read")), func(s *traigo.Snapshot) { s.Path = "server/conn" }),
		with(scope(5, "conn", task(1, "write")), func(s *traigo.Snapshot) { s.Path = "server/conn" }),
	}
	both := live.Text(&live.Memory{}, at, "path=server/conn", server)
	assert.Contains(t, both, "\nconn (open, 1m0s)\n└─ • read (running, 1s)\nconn (open, 1m0s)\n└─ • write")
	one := live.Text(&live.Memory{}, at, "scope=5", server)
	assert.NotContains(t, one, "read")
	assert.Contains(t, one, "write")
	assert.Contains(t, live.Text(&live.Memory{}, at, "path=server/accept", server), "\n• accept (running, 1s)\n")

	strange := scope(6, "a\tb")
	for _, path := range []string{"a%09b", `a\tb`} {
		x := decode(t, live.JSON(&live.Memory{}, at, "path="+path, server, strange))
		require.Len(t, x.Roots, 1)
		assert.Equal(t, `a\tb`, x.Roots[0].Path)
	}
}

// wide is a scope with n tasks that have nothing in common.
func wide(n int) traigo.Snapshot {
	server := scope(3, "server")
	for i := range n {
		server.Tasks = append(server.Tasks, task(uint64(i+1), fmt.Sprintf("worker-%d", i)))
	}
	return server
}

func TestAnAnswerHasItsLength(t *testing.T) {
	server := wide(10_000)
	server.Tasks[9000].State = "given up"
	text := live.Text(&live.Memory{}, at, "", server)
	assert.LessOrEqual(t, strings.Count(text, "\n"), 2020)
	assert.Contains(t, text, "worker-9000 (given up", "what matters is shown")
	assert.Regexp(t, `└─ … and 8,\d\d\d more\n`, text)
	assert.Regexp(t, `\n8,\d\d\d lines are left out: \?all=1`, text)
	assert.Equal(t, 10_000, strings.Count(live.Text(&live.Memory{}, at, "all=1", server), "• worker-"))

	x := decode(t, live.JSON(&live.Memory{}, at, "", server))
	require.Len(t, x.Roots, 1)
	assert.Equal(t, 10_000, len(x.Roots[0].Below)+x.Roots[0].More)
	assert.Equal(t, x.Roots[0].More, x.Cut)
	assert.Equal(t, 10_000, x.Tasks, "all are counted")
}

// And what is very deep is cut too.
func TestOfEachFamilyAsManyAreShown(t *testing.T) {
	server := scope(3, "server")
	for i := range 100 {
		server.Scopes = append(server.Scopes, with(wide(100), func(s *traigo.Snapshot) { s.ID, s.Name = uint64(i+10), fmt.Sprint("conn ", i) }))
	}
	text := live.Text(&live.Memory{}, at, "", server)
	assert.LessOrEqual(t, strings.Count(text, "\n"), 2000+110)
	assert.Equal(t, 44, strings.Count(text, "─ conn "))
	assert.Equal(t, 44*44, strings.Count(text, "• worker-"))

	deep := scope(1, "bottom")
	for i := range 9000 {
		above := scope(uint64(i+2), fmt.Sprint("level ", i))
		above.Scopes = []traigo.Snapshot{deep}
		deep = above
	}
	text = live.Text(&live.Memory{}, at, "", deep)
	assert.LessOrEqual(t, strings.Count(text, "\n"), 2010)
	assert.Contains(t, text, "… and 1 more")
}

func TestRootsAreCutToo(t *testing.T) {
	var roots []traigo.Snapshot
	for i := range 3000 {
		roots = append(roots, scope(uint64(i+1), fmt.Sprint("root ", i)))
	}
	text := live.Text(&live.Memory{}, at, "", roots...)
	assert.Contains(t, text, "\n… and 1,000 more\n")
	assert.Contains(t, text, "\n1,000 lines are left out")
}

// A future that has failed while nobody awaits it is told of, by name and with a warning.
func TestAFutureThatNobodyAwaitsIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := traigo.New(t.Context(), traigo.Name("upload"))
		defer s.Close()
		h := live.Handler(s)
		future := traigo.Async(s, func(context.Context) (int, error) { return 0, errors.New("no such file") }, traigo.Name("size"))
		synctest.Wait()
		assert.Contains(t, get(h, "/?format=text").Body.String(), "upload (open, 0s, failed and not awaited: size)")
		time.Sleep(11 * time.Second)
		text := get(h, "/?format=text").Body.String()
		assert.Contains(t, text, "never-awaited")
		assert.Contains(t, text, "Call Await for each")

		_, err := future.Await(t.Context())
		require.Error(t, err)
		time.Sleep(time.Second)
		assert.NotContains(t, get(h, "/?format=text").Body.String(), "awaited")
	})
}
