//go:build linux

package actor_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The death of a parent (A16): the child and all below it are gone, whatever state they are in.

// A tree is one that is up: root, three actors, and three below each of them. Each actor has
// started another program.
const treeSize = 2 * (3 + 9)

func startTree(t *testing.T, leaf string) (*root, map[string][]int) {
	t.Helper()
	below := treeOf(1, 3, leaf)
	r := startRoot(t, order{Do: "tree", N: 3, Next: &below})
	pids := r.expectUp(treeSize)
	require.Len(t, pids, 1+3+9)
	return r, pids
}

// requireTreeGone requires that nobody of a tree is left, and that nobody has its output.
func requireTreeGone(t *testing.T, r *root, pids map[string][]int) {
	t.Helper()
	began := time.Now()
	r.requireEmpty()
	t.Logf("gone after %v", time.Since(began))
	for path, all := range pids {
		for _, pid := range all {
			assert.False(t, isAlive(pid), "%s: %s", path, describe(pid))
		}
	}
	r.rest()
}

func TestTreeIsGoneWhenItsRootIsKilled(t *testing.T) {
	for _, state := range []string{"all run", "the middle is stopped", "a leaf is stopped", "all but the root are stopped", "the root is stopped", "they spin", "sleep is stopped"} {
		t.Run(state, func(t *testing.T) {
			leavesNothing(t)
			leaf := "wait"
			if state == "they spin" {
				leaf = "spin"
			}
			r, pids := startTree(t, leaf)
			for path, all := range pids {
				level := strings.Count(path, "/")
				if state == "the middle is stopped" && path == "root/n1" || state == "a leaf is stopped" && path == "root/n0/n2" ||
					state == "all but the root are stopped" && level > 0 || state == "sleep is stopped" && path == "sleep" {
					for _, pid := range all {
						stop(t, pid)
					}
				}
			}
			if state == "the root is stopped" {
				stop(t, r.cmd.Process.Pid)
			}
			r.kill()
			requireTreeGone(t, r, pids)
		})
	}
}

func TestTreeIsGoneHoweverItsRootEnds(t *testing.T) {
	for _, how := range []string{"exit 0", "exit 3", "panic", "panic elsewhere", "fatal", "log.Fatal", "goexit", "return", "SIGTERM", "SIGINT"} {
		t.Run(how, func(t *testing.T) {
			leavesNothing(t)
			r, pids := startTree(t, "wait")
			switch how {
			case "SIGTERM":
				require.NoError(t, r.cmd.Process.Signal(syscall.SIGTERM))
			case "SIGINT":
				require.NoError(t, r.cmd.Process.Signal(syscall.SIGINT))
			default:
				r.tell(how)
			}
			r.wait()
			requireTreeGone(t, r, pids)
		})
	}
}

// Nothing runs on: who is without a parent does not even clean up.
func TestNoCodeRunsOnWithoutAParent(t *testing.T) {
	leavesNothing(t)
	dir := t.TempDir()
	leaf := order{Do: "cleanup", Name: dir + "/cleaned", Path: dir + "/up"}
	r := startRoot(t, order{Do: "tree", N: 1, Next: &order{Do: "child", Next: &leaf}})
	upIn(t, dir+"/up")
	r.kill()
	r.requireEmpty()
	assert.NoFileExists(t, dir+"/cleaned")
}

// The root is killed while the tree starts, a little later each time.
func TestTreeIsGoneWhenItsRootIsKilledWhileItStarts(t *testing.T) {
	leavesNothing(t)
	began := time.Now()
	r, _ := startTree(t, "wait")
	span := time.Since(began) * 5 / 4
	r.kill()
	r.requireEmpty()
	rounds := 16
	if testing.Short() {
		rounds = 4
	}
	most := 0
	for round := range rounds {
		below := treeOf(1, 3, "wait")
		r := startRoot(t, order{Do: "tree", N: 3, Next: &below})
		delay := span * time.Duration(round) / time.Duration(rounds)
		<-time.After(delay)
		n := len(r.tree())
		most = max(most, n)
		if round%4 == 3 { // somebody in the middle, or just begun, is stopped
			for _, pid := range r.tree() {
				if pid != r.cmd.Process.Pid && pid%3 == 0 && hasExecuted(pid) {
					_ = send(pid, syscall.SIGSTOP)
				}
			}
		}
		r.kill()
		if !assert.Eventually(t, func() bool { return len(r.tree()) == 0 }, soon, 2*time.Millisecond) {
			for _, pid := range r.tree() {
				t.Logf("left: %d: %s", pid, describe(pid))
			}
			t.Fatalf("round %d: killed %v after the start, when %d were there", round, delay, n)
		}
	}
	assert.Greater(t, most, 6, "some rounds were late enough")
}

// So it is while the tree ends.
func TestTreeIsGoneWhenItsRootIsKilledWhileItEnds(t *testing.T) {
	leavesNothing(t)
	rounds := 4
	for round := range rounds {
		r, pids := startTree(t, "deaf")
		r.tell("cancel")
		r.expect("canceled")
		<-time.After(time.Duration(round) * 700 * time.Millisecond) // before, during and after its acknowledgement
		r.kill()
		requireTreeGone(t, r, pids)
	}
}

// A middle process dies: what was below it is gone, and the root knows whom to name.
func TestMiddleThatDiesTakesThoseBelowWithIt(t *testing.T) {
	for _, state := range []string{"all run", "a leaf is stopped", "it is stopped"} {
		t.Run(state, func(t *testing.T) {
			leavesNothing(t)
			r, pids := startTree(t, "wait")
			middle := pids["root/n1"][0]
			switch state {
			case "a leaf is stopped":
				stop(t, pids["root/n1/n0"][0])
			case "it is stopped":
				stop(t, middle)
			}
			require.NoError(t, send(middle, syscall.SIGKILL))
			for path, all := range pids {
				if strings.HasPrefix(path, "root/n1") {
					for _, pid := range all {
						requireDead(t, pid, path)
					}
				}
			}
			text := r.expect("outcome")
			paths := countOf(t, text)
			assert.Equal(t, map[string]int{"root/n1": 1}, paths, text)
			assert.Contains(t, text, `actor "root/n1" has gone: signal: killed`)
			r.wait()
			requireTreeGone(t, r, pids)
		})
	}
}

// countOf returns which actors an outcome names, and how often.
func countOf(t *testing.T, text string) (paths map[string]int) {
	t.Helper()
	require.NoError(t, json.NewDecoder(strings.NewReader(text)).Decode(&paths), text)
	return paths
}

// Whoever dies, at whatever moment, is the one that is named. If it is a leaf, its parent has failed
// because of it.
func TestWhoDiesIsNamed(t *testing.T) {
	for _, path := range []string{"root/n2", "root/n0/n1", "root/n2/n2"} {
		t.Run(path, func(t *testing.T) {
			leavesNothing(t)
			r, pids := startTree(t, "wait")
			require.NoError(t, send(pids[path][0], syscall.SIGKILL))
			text := r.expect("outcome")
			_, text, _ = strings.Cut(text, " ")
			assert.Contains(t, text, fmt.Sprintf(`actor %q has gone: signal: killed`, path))
			for other := range pids {
				if other != path && strings.Contains(text, fmt.Sprintf("%q has gone", other)) {
					assert.Fail(t, "somebody else is said to have gone", "%s: %s", other, text)
				}
			}
			r.wait()
			requireTreeGone(t, r, pids)
		})
	}
}

// The root's end leaves nothing in the file system, if it ends by itself.
func TestRootLeavesNoFolder(t *testing.T) {
	leavesNothing(t)
	r, pids := startTree(t, "wait")
	folders, err := filepath.Glob(r.dir + "/*")
	require.NoError(t, err)
	require.Len(t, folders, 1)
	r.tell("return")
	assert.True(t, r.wait().Success())
	requireTreeGone(t, r, pids)
	left, err := os.ReadDir(r.dir)
	require.NoError(t, err)
	assert.Empty(t, left)
}
