//go:build unix

package main

import (
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// asUser makes a command run as a user who may not write everywhere.
func asUser(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	if os.Getuid() != 0 {
		return
	}
	require.NoError(t, os.Chmod(filepath.Dir(cmd.Path), 0o755))
	require.NoError(t, os.Chmod(filepath.Dir(filepath.Dir(cmd.Path)), 0o755))
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	help := exec.CommandContext(t.Context(), cmd.Path, "help")
	help.SysProcAttr = cmd.SysProcAttr
	if err := help.Run(); err != nil {
		t.Skip("there is no other user who may run it: ", err)
	}
}

// A file that may be written is written, where it cannot be replaced.
func TestAFileThatCannotBeReplacedIsWritten(t *testing.T) {
	traigo, file := built(t, ".", "traigo"), recording(t)
	require.NoError(t, os.Chmod(filepath.Dir(file), 0o755))
	for _, row := range []struct {
		name string
		mode os.FileMode // of the directory
	}{
		{"a directory that may not be written", 0o555},
		{"a directory in which each may remove only what is his", 0o777 | os.ModeSticky}, // renaming fails
	} {
		t.Run(row.name, func(t *testing.T) {
			dir := t.TempDir()
			require.NoError(t, os.Chmod(filepath.Dir(dir), 0o755))
			page := filepath.Join(dir, "page.html")
			require.NoError(t, os.WriteFile(page, make([]byte, 10<<20), 0o600))
			require.NoError(t, os.Chmod(page, 0o666))
			require.NoError(t, os.Chmod(dir, row.mode))
			defer func() { assert.NoError(t, os.Chmod(dir, 0o700)) }()
			before, err := os.Stat(page)
			require.NoError(t, err)
			cmd := exec.CommandContext(t.Context(), traigo, "view", "-open=false", "-o", page, file)
			asUser(t, cmd)
			out, err := cmd.CombinedOutput()
			require.NoError(t, err, "%s", out)
			assert.Contains(t, read(t, page), "<title>traigo")
			assert.NotContains(t, read(t, page), "\x00", "nothing is left of what was there")
			after, err := os.Stat(page)
			require.NoError(t, err)
			if os.Getuid() == 0 {
				assert.True(t, os.SameFile(before, after))
			}
			assertNothingLeft(t, dir)
		})
	}
}

// A file over which another one is mounted can be written, and not be renamed.
func TestAMountedFileIsWritten(t *testing.T) {
	traigo, file := built(t, ".", "traigo"), recording(t)
	dir := filepath.Dir(file)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "page.html"), nil, 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "mounted"), []byte("old"), 0o600))
	const mount = `mount --bind mounted page.html`
	if out, err := shell(t, dir, `unshare -m sh -c '`+mount+`'`); err != nil {
		t.Skip("nothing can be mounted: ", out)
	}
	out, err := shell(t, dir, `unshare -m sh -c '`+mount+` && exec "$0" view -open=false -o page.html run.jsonl' "$0"`, traigo)
	require.NoError(t, err, out)
	assert.Contains(t, read(t, filepath.Join(dir, "mounted")), "<title>traigo")
	assertNothingLeft(t, dir)
}

// All names of a file show what was written. If nothing could be made, they show what was there.
func TestAFileKeepsItsOtherNames(t *testing.T) {
	traigo, file := built(t, ".", "traigo"), recording(t)
	dir := filepath.Dir(file)
	page, other := filepath.Join(dir, "page.html"), filepath.Join(dir, "other.html")
	require.NoError(t, os.WriteFile(page, []byte("old"), 0o600))
	require.NoError(t, os.Link(page, other))
	out, err := shell(t, dir, `trap '' XFSZ; ulimit -f 8; exec "$0" view -open=false -o page.html run.jsonl`, traigo)
	require.Error(t, err, out)
	assert.Equal(t, "old", read(t, other))
	code, _, stderr := called(t, "", "view", "-open=false", "-o", page, file)
	require.Zero(t, code, stderr)
	assert.Contains(t, read(t, other), "<title>traigo")
	assertNothingLeft(t, dir)
}

// To open a pipe takes until there is somebody at its other end: the page beside a recording is
// none, and of what is asked for a signal ends the wait.
func TestAPipeDoesNotHangACommand(t *testing.T) {
	traigo, file := built(t, ".", "traigo"), recording(t)
	pipe := filepath.Join(filepath.Dir(file), "run.html")
	require.NoError(t, syscall.Mkfifo(pipe, 0o600))
	code, _, stderr := called(t, "", "view", "-open=false", file)
	assert.Equal(t, exitFailed, code)
	assert.Contains(t, stderr, "run.html is there, and is no regular file: say with -o which file to write")

	long := read(t, file) + strings.Repeat(`{"t":99999999999,"k":"beat"}`+"\n", 1<<14)
	for _, sig := range []os.Signal{syscall.SIGTERM, os.Interrupt} {
		if signal.Ignored(sig) {
			continue // the command has inherited that
		}
		for _, args := range [][]string{{"view", "-open=false", "-o", pipe, "-"}, {"tree", "-"}} {
			cmd := exec.CommandContext(t.Context(), traigo, args...)
			in, err := cmd.StdinPipe()
			require.NoError(t, err)
			require.NoError(t, cmd.Start())
			_, err = io.WriteString(in, long) // main has begun when it has read some of that
			require.NoError(t, err)
			if args[0] == "view" {
				require.NoError(t, in.Close())
			}
			require.NoError(t, cmd.Process.Signal(sig))
			hangs := time.AfterFunc(10*time.Second, func() { _ = cmd.Process.Kill() })
			_ = cmd.Wait()
			hangs.Stop()
			assert.Equal(t, sig, cmd.ProcessState.Sys().(syscall.WaitStatus).Signal(), "%v", args) //nolint:forcetypeassert // so it is on Unix
		}
	}
}

// An interrupted command leaves no temporary file.
func TestASignalLeavesNoTemporaryFile(t *testing.T) {
	dir := t.TempDir()
	page := filepath.Join(dir, "page.html")
	if os.Getenv("TRAIGO_TEST_PAGE") != "" {
		_ = target{name: os.Getenv("TRAIGO_TEST_PAGE")}.write(func(io.Writer) error { select {} })
		return
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run", "^"+t.Name()+"$")
	cmd.Env = append(os.Environ(), "TRAIGO_TEST_PAGE="+page)
	require.NoError(t, cmd.Start())
	require.Eventually(t, func() bool {
		made, _ := filepath.Glob(filepath.Join(dir, ".traigo*"))
		return len(made) == 1
	}, 10*time.Second, time.Millisecond)
	require.NoError(t, cmd.Process.Signal(syscall.SIGTERM))
	assert.Error(t, cmd.Wait())
	assertNothingLeft(t, dir)
	assert.NoFileExists(t, page)
}
