//go:build linux

package actor_test

import (
	"bytes"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

// Nothing is left (A34): what a test has to leave as it has found it.
//
//	leavesNothing    has a test fail if it leaves a process, a child that was not reaped, a
//	                 folder, a descriptor or a goroutine
//	marked           the processes that descend from the tests, wherever they have put themselves
//	isAlive          whether a process exists and is no zombie
//	send             syscall.Kill, but never of the wrong ones

// soon is how long to wait for what comes at once on a machine that has nothing else to do.
const soon = 20 * time.Second

// markVariable is in the environment of all that descends from the tests, and of nothing else.
const markVariable = "TRAIGO_LIFE"

var lifeMark = func() string {
	if mark := os.Getenv(markVariable); mark != "" {
		return mark
	}
	mark := fmt.Sprintf("%d-%d", os.Getpid(), time.Now().UnixNano())
	_ = os.Setenv(markVariable, mark)
	_ = os.Setenv("GORACE", "halt_on_error=1 atexit_sleep_ms=0") // a data race in an actor ends it, and nothing waits for its exit
	return mark
}()

// leavesNothing has the test fail if something of it is left when it has ended. It is the first
// statement of a test.
func leavesNothing(t *testing.T) {
	t.Helper()
	warmUp()
	goroutines, files, spent := runtime.NumGoroutine(), descriptors(), time.Now()
	t.Cleanup(func() {
		deadline := time.Now().Add(soon)
		var left []string
		for {
			left = leftovers(goroutines, files)
			if len(left) == 0 || time.Now().After(deadline) {
				break
			}
			time.Sleep(5 * time.Millisecond)
		}
		assert.Empty(t, left, "this is left of the test, %v after its begin", time.Since(spent))
		for _, pid := range marked() { // the next test is to have a chance
			_ = send(pid, syscall.SIGKILL)
		}
	})
}

// warmUp makes what package os and the runtime keep for ever.
func warmUp() {
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGUSR2)
	signal.Stop(c)
	if r, w, err := os.Pipe(); err == nil {
		_ = r.SetReadDeadline(time.Now())
		_, _ = r.Read(make([]byte, 1))
		_ = r.Close()
		_ = w.Close()
	}
}

func leftovers(goroutines int, files []string) (left []string) {
	for _, pid := range marked() {
		left = append(left, fmt.Sprintf("process %d: %s", pid, describe(pid)))
	}
	for _, pid := range childrenOf(os.Getpid()) {
		left = append(left, fmt.Sprintf("child %d", pid))
	}
	for _, dir := range []string{os.TempDir(), os.Getenv("XDG_RUNTIME_DIR")} {
		if dir != "" {
			folders, _ := filepath.Glob(filepath.Join(dir, fmt.Sprintf("traigo-%d-*", os.Getpid())))
			left = append(left, folders...)
		}
	}
	if now := descriptors(); len(now) > len(files) {
		left = append(left, fmt.Sprintf("descriptors: %v, before: %v", now, files))
	}
	if n := runtime.NumGoroutine(); n > goroutines {
		stacks := make([]byte, 1<<20)
		left = append(left, fmt.Sprintf("%d goroutines, before: %d\n%s", n, goroutines, stacks[:runtime.Stack(stacks, true)]))
	}
	return left
}

// descriptors returns what the descriptors of this process are.
func descriptors() (open []string) {
	files, _ := filepath.Glob("/proc/self/fd/*")
	for _, file := range files {
		if to, err := os.Readlink(file); err == nil { // not the one of the folder itself
			open = append(open, filepath.Base(file)+"="+to)
		}
	}
	return open
}

// marked returns the processes, other than this one and without zombies, that descend from the
// process that runs the tests.
func marked() (pids []int) { return markedBy(markVariable + "=" + lifeMark) }

// markedBy returns the processes that have a variable in their environment. It looks twice: one
// may be started while it looks, by one that it has looked at.
func markedBy(variable string) (pids []int) {
	for range 2 {
		files, _ := filepath.Glob("/proc/[0-9]*/environ")
		for _, file := range files {
			pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(file)))
			if pid <= 1 || pid == os.Getpid() || slices.Contains(pids, pid) {
				continue
			}
			env, err := os.ReadFile(file)
			if err == nil && slices.ContainsFunc(bytes.Split(env, []byte{0}), func(e []byte) bool { return string(e) == variable }) && isAlive(pid) {
				pids = append(pids, pid)
			}
		}
	}
	return pids
}

// hasExecuted reports whether a process runs a program of its own. Between fork and exec it has the
// memory of its parent, and a signal to it alone may harm that, as in any program in Go.
func hasExecuted(pid int) bool {
	const flags, forkedNoExec = 6, 0x40
	stat := procStat(pid)
	if len(stat) <= flags {
		return false
	}
	bits, _ := strconv.ParseUint(stat[flags], 10, 64)
	return bits&forkedNoExec == 0
}

// childrenOf returns the children of a process, zombies too.
func childrenOf(pid int) (pids []int) {
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, task := range tasks {
		text, _ := os.ReadFile(task)
		for field := range strings.FieldsSeq(string(text)) {
			child, _ := strconv.Atoi(field)
			pids = append(pids, child)
		}
	}
	return pids
}

// procStat returns what /proc/PID/stat has from the state on.
func procStat(pid int) []string {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return nil
	}
	return strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
}

func isAlive(pid int) bool {
	stat := procStat(pid)
	return len(stat) > 0 && stat[0] != "Z" && stat[0] != "X"
}

func isStopped(pid int) bool {
	stat := procStat(pid)
	return len(stat) > 0 && stat[0] == "T"
}

// ticks returns the time that a process has used, in hundredths of a second.
func ticks(pid int) (n int) {
	if stat := procStat(pid); len(stat) > 12 {
		user, _ := strconv.Atoi(stat[11])
		system, _ := strconv.Atoi(stat[12])
		n = user + system
	}
	return n
}

// describe tells about a process what helps to understand why it is there.
func describe(pid int) string {
	dir := fmt.Sprintf("/proc/%d/", pid)
	args, _ := os.ReadFile(dir + "cmdline")
	return fmt.Sprintf("%q %s", bytes.Split(args, []byte{0}), strings.Join(procStat(pid), " "))
}

// send sends a signal to a process, or to the group -pid, but never to a group that it does not
// know: 0 would be that of the tests, and -1 everybody.
func send(pid int, sig syscall.Signal) error {
	if -2 < pid && pid < 2 || pid == os.Getpid() || pid == -syscall.Getpgrp() {
		panic(fmt.Sprint("a signal to ", pid))
	}
	return syscall.Kill(pid, sig)
}
