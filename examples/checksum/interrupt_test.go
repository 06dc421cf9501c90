//go:build unix

package main

import (
	"bufio"
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Opening a pipe blocks until some process opens it for writing.
func TestPipesAreNotRead(t *testing.T) {
	t.Chdir(t.TempDir())
	require.NoError(t, syscall.Mkfifo("pipe", 0o644))
	require.NoError(t, os.WriteFile("a.txt", []byte("hello\n"), 0o644))

	var out, errs bytes.Buffer
	assert.Zero(t, run(t.Context(), nil, &out, &errs))
	assert.Equal(t, helloSum+"  a.txt\n", out.String())
}

func TestCtrlCEndsTheProgram(t *testing.T) {
	program := filepath.Join(t.TempDir(), "checksum")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", program, ".")
	text, err := build.CombinedOutput()
	require.NoError(t, err, string(text))

	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "a.txt"), []byte("hello\n"), 0o644))
	// A sparse file of a terabyte takes no space, and a quarter of an hour to read.
	require.NoError(t, os.WriteFile(filepath.Join(dir, "b.img"), nil, 0o644))
	require.NoError(t, os.Truncate(filepath.Join(dir, "b.img"), 1<<40))

	cmd := exec.CommandContext(t.Context(), program, "-timeout", "0", ".")
	cmd.Dir = dir
	var errs bytes.Buffer
	cmd.Stderr = &errs
	pipe, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	out := bufio.NewReader(pipe)
	line, err := out.ReadString('\n') // now the program has digested one file and reads the other
	assert.NoError(t, err)
	assert.Equal(t, helloSum+"  a.txt\n", line)

	assert.NoError(t, cmd.Process.Signal(os.Interrupt))
	_, err = out.ReadString('\n')
	assert.Error(t, err, "nothing more is printed")
	assert.Error(t, cmd.Wait())
	assert.Equal(t, 130, cmd.ProcessState.ExitCode())
	assert.Equal(t, "interrupted: 1 file, 6 B digested\n", errs.String())
}
