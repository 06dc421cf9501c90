//go:build unix

package main

import (
	"bufio"
	"bytes"
	"io"
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The program waits for a line that never comes.
func TestCtrlCEndsTheProgram(t *testing.T) {
	cmd := program(t, "-batch", "1", "-")
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
	assert.Equal(t, "lines written: 1\nscope \"pipeline\": signal: interrupt\n", errs.String())
}
