//go:build linux

package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/png"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo/proc"
)

// The workers of these tests are processes of the test binary.
func TestMain(m *testing.M) {
	proc.Serve()
	os.Exit(m.Run())
}

// summary returns what is printed for the images of testdata, with loop for the one that never
// ends.
func summary(failed int, loop string) string {
	return fmt.Sprintf(`^4 thumbnails in \S+, %d images failed, \S+s
  bomb.rle: memory limit: more than 128 MiB
  color.rle: crashed: runtime error: index out of range \[7\] with length 3
%s  truncated.jpg: damaged: invalid JPEG format: .*
  truncated.rle: damaged: unexpected EOF
$`, failed, loop)
}

// requireThumbnails requires that the directory has the thumbnails of the images in testdata
// that are in order, and nothing else.
func requireThumbnails(t *testing.T, dir string) {
	t.Helper()
	want := map[string]image.Point{
		"flag.rle.png": image.Pt(128, 85),
		"tall.jpg.png": image.Pt(64, 128),
		"tiny.gif.png": image.Pt(48, 32),
		"wide.png.png": image.Pt(128, 85),
	}
	have := map[string]image.Point{}
	paths, err := filepath.Glob(filepath.Join(dir, "*"))
	require.NoError(t, err)
	for _, path := range paths {
		data, err := os.ReadFile(path)
		require.NoError(t, err)
		picture, err := png.Decode(bytes.NewReader(data))
		require.NoError(t, err, path)
		have[filepath.Base(path)] = picture.Bounds().Size()
	}
	assert.Equal(t, want, have)
}

// processesOf returns the numbers of the other processes that run the program. Zombies run
// none.
func processesOf(program string) (pids []int) {
	links, _ := filepath.Glob("/proc/[0-9]*/exe")
	for _, link := range links {
		pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(link)))
		if runs, err := os.Readlink(link); err == nil && runs == program && pid != os.Getpid() {
			pids = append(pids, pid)
		}
	}
	return pids
}

func testBinary(t *testing.T) string {
	t.Helper()
	path, err := os.Readlink("/proc/self/exe")
	require.NoError(t, err)
	return path
}

// built returns the path of the program.
func built(t *testing.T) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "thumbnails")
	text, err := exec.CommandContext(t.Context(), "go", "build", "-o", program, ".").CombinedOutput()
	require.NoError(t, err, string(text))
	return program
}

// The time limit is that of the images in order too, and a machine with much to do needs a
// second or two to start a worker.
func TestEachImageFailsAlone(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var out, errs bytes.Buffer
	assert.Equal(t, 1, run(t.Context(), []string{"-out", dir, "-timeout", "15s", "-memory", "128", "testdata"}, &out, &errs))
	assert.Regexp(t, summary(5, "  loop.rle: time limit: more than 15s\n"), out.String())
	assert.Contains(t, out.String(), " thumbnails in "+dir+", ")
	assert.Regexp(t, `^(\d of 9 images, \d failed\n)+$`, errs.String(), "it is not a terminal")
	requireThumbnails(t, dir)
	assert.Empty(t, processesOf(testBinary(t)))
}

func TestNothingFailsWhereAllIsInOrder(t *testing.T) {
	dir := t.TempDir()
	made := makeImages(t)
	for _, name := range []string{"flag.rle", "tall.jpg", "tiny.gif", "wide.png"} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), made[name], 0o644))
	}
	require.NoError(t, os.WriteFile(filepath.Join(dir, "notes.txt"), []byte("no image"), 0o644))
	var out, errs bytes.Buffer
	assert.Zero(t, run(t.Context(), []string{"-out", filepath.Join(dir, "made", "here"), "-timeout", "1m", dir}, &out, &errs))
	assert.Regexp(t, `^4 thumbnails in \S+/made/here, 0 images failed, \S+s\n$`, out.String())
	requireThumbnails(t, filepath.Join(dir, "made", "here"))
	assert.Empty(t, processesOf(testBinary(t)))
}

func TestRunRefusesBadArguments(t *testing.T) {
	t.Chdir(t.TempDir())
	require.NoError(t, os.WriteFile("file", nil, 0o644))
	for name, test := range map[string]struct {
		args []string
		code int
		says string
	}{
		"help":            {[]string{"-h"}, 0, "usage: thumbnails"},
		"no directory":    {nil, 2, "usage: thumbnails"},
		"two directories": {[]string{".", "."}, 2, "usage: thumbnails"},
		"unknown flag":    {[]string{"-x", "."}, 2, "flag provided but not defined: -x"},
		"no time":         {[]string{"-timeout", "0", "."}, 2, "usage: thumbnails"},
		"no memory":       {[]string{"-memory", "0", "."}, 2, "usage: thumbnails"},
		"nothing there":   {[]string{"none"}, 1, "thumbnails: open none: no such file or directory"},
		"not a directory": {[]string{"-out", "file", "."}, 1, "thumbnails: mkdir file: not a directory"},
	} {
		t.Run(name, func(t *testing.T) {
			var out, errs bytes.Buffer
			assert.Equal(t, test.code, run(t.Context(), test.args, &out, &errs))
			assert.Contains(t, errs.String(), test.says)
			assert.Empty(t, out.String())
		})
	}
}

// A worker that somebody else kills, such as the kernel when memory is short, is the failure
// of the image that it was at.
func TestWorkerThatDiesFailsItsImage(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "loop.rle"), makeImages(t)["loop.rle"], 0o644))
	var out, errs bytes.Buffer
	done := make(chan int)
	go func() { done <- run(t.Context(), []string{"-out", dir, "-timeout", "1m", dir}, &out, &errs) }()
	var pids []int
	require.Eventually(t, func() bool {
		pids = processesOf(testBinary(t))
		return len(pids) > 0
	}, time.Minute, 10*time.Millisecond)
	require.NoError(t, syscall.Kill(pids[0], syscall.SIGKILL))
	assert.Equal(t, 1, <-done)
	assert.Regexp(t, `\n  loop.rle: crashed: worker \d+ of "thumb" has ended: signal: killed\n$`, out.String())
}

func TestProgramLeavesNoProcess(t *testing.T) {
	t.Parallel()
	program, dir, out := built(t), t.TempDir(), t.TempDir()
	made := makeImages(t)
	delete(made, "loop.rle") // it takes as long as it may
	for name, data := range made {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), data, 0o644))
	}
	cmd := exec.CommandContext(t.Context(), program, "-out", out, "-timeout", "1m", "-memory", "128", dir)
	text, err := cmd.Output()
	exit, ok := errors.AsType[*exec.ExitError](err)
	require.True(t, ok, "%v", err)
	assert.Equal(t, 1, exit.ExitCode())
	assert.Regexp(t, summary(4, ""), string(text))
	assert.Regexp(t, `^(\d of 8 images, \d failed\n)+$`, string(exit.Stderr))
	requireThumbnails(t, out)
	assert.Empty(t, processesOf(program))
}

func TestCtrlCEndsTheProgram(t *testing.T) {
	t.Parallel()
	program, dir := built(t), t.TempDir()
	for _, name := range []string{"flag.rle", "loop.rle"} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), makeImages(t)[name], 0o644))
	}
	cmd := exec.CommandContext(t.Context(), program, "-out", dir, "-timeout", "1h", dir)
	var out strings.Builder
	cmd.Stdout = &out
	pipe, err := cmd.StderrPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	errs := bufio.NewReader(pipe)
	line, err := errs.ReadString('\n') // now one image is done, and the other is or will be tried
	assert.NoError(t, err)
	assert.Equal(t, "1 of 2 images, 0 failed\n", line)

	assert.NoError(t, cmd.Process.Signal(os.Interrupt))
	rest, err := io.ReadAll(errs)
	assert.NoError(t, err)
	assert.Equal(t, "interrupted: 1 image not finished\n", string(rest))
	assert.Error(t, cmd.Wait())
	assert.Equal(t, 130, cmd.ProcessState.ExitCode())
	assert.Regexp(t, `^1 thumbnail in \S+, 0 images failed, \S+s\n$`, out.String())
	assert.Empty(t, processesOf(program))
}
