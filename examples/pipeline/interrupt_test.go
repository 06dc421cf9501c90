//go:build unix

package main

import (
	"bufio"
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The program waits for a line that never comes.
func TestCtrlCEndsTheProgram(t *testing.T) {
	program := filepath.Join(t.TempDir(), "pipeline")
	text, err := exec.CommandContext(t.Context(), "go", "build", "-o", program, ".").CombinedOutput()
	require.NoError(t, err, string(text))

	cmd := exec.CommandContext(t.Context(), program, "-batch", "1", "-")
	var errs bytes.Buffer
	cmd.Stderr = &errs
	keyboard, err := cmd.StdinPipe()
	require.NoError(t, err)
	pipe, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	_, err = io.WriteString(keyboard, "12\n")
	assert.NoError(t, err)
	line, err := bufio.NewReader(pipe).ReadString('\n')
	assert.NoError(t, err)
	assert.Equal(t, "12: 2 2 3\n", line)

	assert.NoError(t, cmd.Process.Signal(os.Interrupt))
	assert.Error(t, cmd.Wait())
	assert.Equal(t, 130, cmd.ProcessState.ExitCode())
	assert.Equal(t, "interrupted: lines written: 1\n", errs.String())
}
