//go:build unix

package main

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The program that is tested is the test binary: to link the server again takes long.
func TestMain(m *testing.M) {
	if os.Getenv("FARM_TEST") != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// program returns a farm that is to be run, and the directory in which its files are.
func program(t *testing.T, args ...string) (cmd *exec.Cmd, dir string) {
	t.Helper()
	dir = t.TempDir()
	cmd = exec.CommandContext(t.Context(), os.Args[0], args...)
	cmd.Env = append(os.Environ(), "FARM_TEST=1", "TMPDIR="+dir)
	cmd.Stderr = &logWriter{t}
	return cmd, dir
}

type logWriter struct{ t *testing.T }

func (w *logWriter) Write(b []byte) (int, error) {
	w.t.Logf("%s", bytes.TrimSpace(b))
	return len(b), nil
}

// finish runs a farm that must succeed, and returns what it has printed.
func finish(t *testing.T, args ...string) string {
	t.Helper()
	cmd, dir := program(t, args...)
	out, err := cmd.Output()
	text := string(out)
	require.NoError(t, err, text)
	requireNothingLeft(t, text, dir)
	assert.Contains(t, text, "60 of 60 files are there, and checked. Made once: 60, twice: 0.\n")
	for line := range strings.Lines(text) {
		assert.LessOrEqual(t, len(line), 81, line)
	}
	return text
}

var processes = regexp.MustCompile(`started, process (\d+)`)

// requireNothingLeft waits until the processes that were started are gone: those whose parent was
// killed are a moment behind it.
func requireNothingLeft(t *testing.T, text, dir string) {
	t.Helper()
	started := processes.FindAllStringSubmatch(text, -1)
	require.GreaterOrEqual(t, len(started), 4, text)
	for _, match := range started {
		pid, err := strconv.Atoi(match[1])
		require.NoError(t, err)
		require.Eventually(t, func() bool { return errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) }, time.Minute, 10*time.Millisecond, match[0])
	}
	if dir != "" {
		entries, err := os.ReadDir(dir)
		require.NoError(t, err)
		require.Empty(t, entries)
	}
}

func TestAWorkerIsKilled(t *testing.T) {
	text := finish(t)
	lost := regexp.MustCompile(`worker 2: lost with (\d\d)`).FindStringSubmatch(text)
	require.NotNil(t, lost, text)
	assert.Regexp(t, `worker \d: has page-`+lost[1]+` now, attempt 2\n`, text)
	assert.GreaterOrEqual(t, len(processes.FindAllString(text, -1)), 5, text)
}

func TestTheOwnerIsKilledAndIsBackAfterItsLease(t *testing.T) {
	text := finish(t, "-kill-owner")
	assert.Regexp(t, `worker \d: stops page-\d\d, because\n  traigo: the lease is lost: .*"farm-\w+" was silent`, text)
	assert.Regexp(t, `Made before: 1\d, meanwhile: \d+,\nafter: [1-9]\d*\. Attempts that were stopped: [1-9]`, text)
}

func TestTheOwnerIsKilledAndIsBackInTime(t *testing.T) {
	text := finish(t, "-kill-owner", "-lease", "30s", "-away", "500ms")
	assert.Contains(t, text, "Attempts that were stopped: 0.\n")
}

// untilItWorks returns what a farm prints until some files are done.
func untilItWorks(t *testing.T, out io.Reader) string {
	t.Helper()
	var text strings.Builder
	for in := bufio.NewScanner(out); in.Scan(); {
		text.WriteString(in.Text() + "\n")
		if regexp.MustCompile(`[1-9] done`).MatchString(in.Text()) {
			return text.String()
		}
	}
	require.Fail(t, "it has ended", text.String())
	return ""
}

func TestAtCtrlCNothingIsLeft(t *testing.T) {
	cmd, dir := program(t)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	text := untilItWorks(t, out)
	require.NoError(t, cmd.Process.Signal(os.Interrupt))
	rest, err := io.ReadAll(out)
	require.NoError(t, err)
	require.Error(t, cmd.Wait())
	assert.Equal(t, 128+int(syscall.SIGINT), cmd.ProcessState.ExitCode())
	requireNothingLeft(t, text+string(rest), dir)
}

func TestAFarmThatIsKilledTakesItsProcessesAlong(t *testing.T) {
	cmd, _ := program(t)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	text := untilItWorks(t, out)
	require.NoError(t, cmd.Process.Kill())
	require.Error(t, cmd.Wait())
	requireNothingLeft(t, text, "")
}
