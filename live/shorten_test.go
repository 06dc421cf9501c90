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

// Siblings fold by kind and name, with numbers taken as equal, whatever their states are.
func TestTextFoldsAlikeSiblings(t *testing.T) {
	server := scope(3, "server")
	for id := range uint64(5000) {
		server.Tasks = append(server.Tasks, with(task(id+1, "worker"), func(t *traigo.TaskSnapshot) {
			t.Spawned = ago(1200*time.Millisecond + time.Duration(id)*time.Millisecond)
		}))
	}
	server.Tasks = append(server.Tasks,
		with(task(6000, "worker"), func(t *traigo.TaskSnapshot) { t.State, t.Master = "canceling", true }),
		with(task(6001, "worker"), func(t *traigo.TaskSnapshot) { t.State = "given up" }))
	for id := range uint64(5) {
		server.Scopes = append(server.Scopes, scope(10+id, fmt.Sprint("scope#", 10+id), task(1, "read 1"), task(2, "read 2")))
	}
	for id := range uint64(4) {
		server.Scopes = append(server.Scopes, scope(20+id, "few"))
	}
	text := live.Text(&live.LintState{}, at, "", server)
	assert.Equal(t, `
server (open, 1m0s)
├─ • worker [×5,002] (5,000 running, 1 canceling, 1 given up, 1s to 6.2s, ! given-up)
├─ scope# [×5] (open, 1m0s)
│  └─ • read # [×10] (running, 1s)
├─ few (open, 1m0s)
├─ few (open, 1m0s)
├─ few (open, 1m0s)
└─ few (open, 1m0s)
`, text[strings.Index(text, "\nserver ("):])
	full := live.Text(&live.LintState{}, at, "full=1", server)
	assert.Equal(t, 5000, strings.Count(full, "• worker (running, "))
	assert.Contains(t, full, "• worker (canceling, 1s, master)")
	assert.Contains(t, full, "• read 2 (running, 1s)")
}

// Serials and UUIDs are numbers too: package serials has the rule, and the page the same.
func TestNamesWithSerialsAreFolded(t *testing.T) {
	server := scope(3, "server")
	for i, serial := range []string{"9c093ccd", "1c093cce", "facade17", "00000001", "123e4567-e89b-12d3-a456-426614174000"} {
		server.Tasks = append(server.Tasks, task(uint64(i+1), "conn "+serial))
	}
	for i, word := range []string{"read", "facade", "decade", "accede", "deface"} {
		server.Tasks = append(server.Tasks, task(uint64(i+10), word))
	}
	text := live.Text(&live.LintState{}, at, "", server)
	assert.Contains(t, text, "├─ • conn # [×5] (running, 1s)\n├─ • read (running, 1s)\n├─ • facade (running, 1s)\n")
}

// serverWith returns a scope in which tasks have each opened a scope with some tasks.
func serverWith(conns int, change func(id uint64, conn *traigo.Snapshot)) traigo.Snapshot {
	server := scope(3, "server")
	for id := range uint64(conns) {
		conn := scope(10+id, "conn", task(1, "read"), task(2, "write"))
		conn.Task = id + 1
		change(id, &conn)
		server.Scopes = append(server.Scopes, conn)
		server.Tasks = append(server.Tasks, task(id+1, fmt.Sprint("serve ", id)))
	}
	return server
}

// What is below those of a group is folded too, also where it is a single one.
func TestWhatIsBelowAGroupIsFolded(t *testing.T) {
	server := serverWith(100, func(id uint64, conn *traigo.Snapshot) {
		for n := range id % 3 {
			conn.Tasks = append(conn.Tasks, task(3+n, "write"))
		}
		if id == 50 {
			conn.State, conn.Cause, conn.Deadline = traigo.Canceling, "requested", at.Add(30*time.Second)
			conn.Tasks = append(conn.Tasks, task(9, "flush"))
		}
	})
	assert.Equal(t, `101 scopes, 400 tasks, 1 canceling, 5 to recheck

server (open, 1m0s)
└─ • serve # [×100] (running, 1s)
   └─ conn [×100] (99 open, 1 canceling, 1m0s, earliest 30s left, 1 × requested)
      ├─ • read [×100] (running, 1s)
      ├─ • write [×199] (running, 1s)
      └─ • flush [×1] (running, 1s)
`, live.Text(&live.LintState{}, at, "", server))
}

// The key of a group is that of its parent and its name: it is the same whoever is in it, and
// whatever state they are in.
func TestTheKeyOfAGroupStays(t *testing.T) {
	keys := func(first, last int, state string) []string {
		server := scope(3, "server")
		for id := first; id < last; id++ {
			server.Tasks = append(server.Tasks, with(task(uint64(id), fmt.Sprint("worker ", id)), func(t *traigo.TaskSnapshot) { t.State = state }))
			inner := scope(uint64(1000+id), "inner", task(1, "read"))
			inner.Task = uint64(id)
			server.Scopes = append(server.Scopes, inner)
		}
		group := decode(t, live.JSON(&live.LintState{}, at, "", server)).Roots[0].Below[0]
		require.Equal(t, last-first, group.Count)
		return []string{group.Key, group.Below[0].Key, group.Below[0].Below[0].Key}
	}
	assert.Equal(t, keys(1, 50, "running"), keys(30, 900, "canceling"))
}

// Of a group the JSON has the most notable, with what is below them, in the order in which
// they were spawned.
func TestTheJSONOfAGroupHasItsMostNotableMembers(t *testing.T) {
	server := serverWith(100, func(id uint64, conn *traigo.Snapshot) {
		if id == 97 {
			conn.State, conn.Cause = traigo.Canceling, "requested"
		}
	})
	for id, state := range map[int]string{50: "given up", 60: "canceling"} {
		server.Tasks[id].State = state
	}
	server.Tasks[70].Spawned = ago(time.Hour)
	group := decode(t, live.JSON(&live.LintState{}, at, "", server)).Roots[0].Below[0]
	assert.Equal(t, 100, group.Count)
	assert.Equal(t, map[string]int{"running": 98, "canceling": 1, "given up": 1}, group.States)
	assert.Equal(t, "running", group.State)
	var names []string
	for _, member := range group.Members {
		names = append(names, member.Name)
		assert.Zero(t, member.Count)
		assert.Equal(t, "conn", member.Below[0].Name)
		assert.Len(t, member.Below[0].Below, 2)
	}
	assert.Equal(t, []string{"serve 0", "serve 1", "serve 2", "serve 3", "serve 4", "serve 5", "serve 6", "serve 50", "serve 60", "serve 70"}, names)
	assert.NotContains(t, live.Text(&live.LintState{}, at, "", server), "serve 50 (")
}

// Members are bounded in all: of many groups, and of one with much below each.
func TestMembersAreBounded(t *testing.T) {
	server := scope(3, "server")
	for i := range 1000 {
		for range 6 {
			server.Tasks = append(server.Tasks, task(uint64(len(server.Tasks)+1), "kind "+letters(i)))
		}
	}
	members := func(roots ...traigo.Snapshot) (groups, most, sum int) {
		for _, b := range decode(t, live.JSON(&live.LintState{}, at, "", roots...)).Roots[0].Below {
			if lines := countBranches(b.Members); lines > 0 {
				groups, most, sum = groups+1, max(most, lines), sum+lines
			}
		}
		return groups, most, sum
	}
	groups, most, sum := members(server)
	assert.Equal(t, []int{167, 6, 1002}, []int{groups, most, sum})
	_, most, _ = members(serverWith(20, func(_ uint64, conn *traigo.Snapshot) { conn.Tasks = many(3000, "job #").Tasks }))
	assert.LessOrEqual(t, most, 10*50)
}

func countBranches(branches []branch) (sum int) {
	for _, b := range branches {
		sum += 1 + countBranches(b.Below) + countBranches(b.Members)
	}
	return sum
}

// A group says what most of those in it wait for, and where; of those that wait for what is
// below them, what that waits for.
func TestAGroupSaysWhatMostWaitFor(t *testing.T) {
	server := serverWith(100, func(id uint64, conn *traigo.Snapshot) {
		for i := range conn.Tasks {
			conn.Tasks[i].Waits, conn.Tasks[i].At, conn.Tasks[i].For = "IO wait", fmt.Sprint("conn.go:", 30+i), time.Duration(id)*time.Minute
		}
		if id%25 == 0 {
			conn.Tasks[1].Waits, conn.Tasks[1].At = "sync.Mutex.Lock", "cache.go:12"
		}
	})
	for i := range server.Tasks {
		server.Tasks[i].Waits, server.Tasks[i].At = "sync.WaitGroup.Wait", "server.go:9"
	}
	assert.Equal(t, `
server (open, 1m0s)
└─ • serve # [×100] (running, 1s)
   └─ conn [×100] (open, 1m0s)
      ├─ • read [×100] (running, 1s, 100 × IO wait at conn.go:30, ≥ 1h39m0s)
      └─ • write [×100] (running, 1s, 96 × IO wait at conn.go:31, ≥ 1h39m0s, 4 × sync.Mutex.Lock at cache.go:12, ≥ 1h15m0s)
`, strings.TrimPrefix(live.Text(&live.LintState{}, at, "", server), "101 scopes, 300 tasks\n"))
	group := decode(t, live.JSON(&live.LintState{}, at, "", server)).Roots[0].Below[0]
	assert.Equal(t, standing{"IO wait", "conn.go:30", 99 * time.Minute, 100}, group.Standing[0])
	assert.Len(t, group.Standing, 3)
}

func TestTheLengthOfAnAnswerIsLimited(t *testing.T) {
	server := many(10_000, "worker-#")
	server.Tasks[9000].State = "given up"
	text := live.Text(&live.LintState{}, at, "", server)
	assert.LessOrEqual(t, strings.Count(text, "\n"), 2020)
	assert.Contains(t, text, "worker-jaaa (given up", "the task with a warning is shown")
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
		server.Scopes = append(server.Scopes, with(many(100, "worker-#"), func(s *traigo.Snapshot) { s.ID, s.Name = uint64(i+10), "conn "+letters(i) }))
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
		roots = append(roots, scope(uint64(i+1), "root "+letters(i)))
	}
	text := live.Text(&live.LintState{}, at, "", roots...)
	assert.Contains(t, text, "\n… and 1,000 more\n")
	assert.Contains(t, text, "\n1,000 lines are left out")
}
