package live_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/live"
)

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
`, live.Text(&live.LintState{}, at, "", server))
	full := live.Text(&live.LintState{}, at, "full=1", server)
	assert.Equal(t, 5000, strings.Count(full, "• worker (running, ")-1)
}

// Connections with three and with four tasks have the same shape; one that is canceled
// does not.
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
`, live.Text(&live.LintState{}, at, "", server))
}

func TestTheLengthOfAnAnswerIsLimited(t *testing.T) {
	server := many(10_000, "worker-#")
	server.Tasks[9000].State = "given up"
	text := live.Text(&live.LintState{}, at, "", server)
	assert.LessOrEqual(t, strings.Count(text, "\n"), 2020)
	assert.Contains(t, text, "worker-9000 (given up", "the task with a warning is shown")
	assert.Regexp(t, `└─ … and 8,\d\d\d more\n`, text)
	assert.Regexp(t, `\n8,\d\d\d lines are left out: \?all=1`, text)
	assert.Equal(t, 10_000, strings.Count(live.Text(&live.LintState{}, at, "all=1", server), "• worker-"))

	x := decode(t, live.JSON(&live.LintState{}, at, "", server))
	require.Len(t, x.Roots, 1)
	assert.Equal(t, 10_000, len(x.Roots[0].Below)+x.Roots[0].More)
	assert.Equal(t, x.Roots[0].More, x.Cut)
	assert.Equal(t, 10_000, x.Tasks, "all are counted")
}

// Of a tree that is too deep, the lowest levels are left out.
func TestTheSameNumberOfSiblingsIsShownEverywhere(t *testing.T) {
	server := scope(3, "server")
	for i := range 100 {
		server.Scopes = append(server.Scopes, with(many(100, "worker-#"), func(s *traigo.Snapshot) { s.ID, s.Name = uint64(i+10), fmt.Sprint("conn ", i) }))
	}
	text := live.Text(&live.LintState{}, at, "", server)
	assert.LessOrEqual(t, strings.Count(text, "\n"), 2000+110)
	assert.Equal(t, 44, strings.Count(text, "─ conn "))
	assert.Equal(t, 44*44, strings.Count(text, "• worker-"))

	deep := scope(1, "bottom")
	for i := range 9000 {
		above := scope(uint64(i+2), fmt.Sprint("level ", i))
		above.Scopes = []traigo.Snapshot{deep}
		deep = above
	}
	text = live.Text(&live.LintState{}, at, "", deep)
	assert.LessOrEqual(t, strings.Count(text, "\n"), 2010)
	assert.Contains(t, text, "… and 1 more")
}

func TestRootsAreLeftOutToo(t *testing.T) {
	var roots []traigo.Snapshot
	for i := range 3000 {
		roots = append(roots, scope(uint64(i+1), fmt.Sprint("root ", i)))
	}
	text := live.Text(&live.LintState{}, at, "", roots...)
	assert.Contains(t, text, "\n… and 1,000 more\n")
	assert.Contains(t, text, "\n1,000 lines are left out")
}
