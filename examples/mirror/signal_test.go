//go:build unix

package main

import (
	"bufio"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The downloads that have begun are finished, so the exit code is 0.
func TestASignalEndsItGracefully(t *testing.T) {
	program := filepath.Join(t.TempDir(), "mirror")
	text, err := exec.CommandContext(t.Context(), "go", "build", "-buildvcs=false", "-o", program, ".").CombinedOutput()
	require.NoError(t, err, string(text))

	cmd := exec.CommandContext(t.Context(), program, "-files", "1000000")
	var out strings.Builder
	cmd.Stdout = &out
	pipe, err := cmd.StderrPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	log := bufio.NewReader(pipe)
	line, err := log.ReadString('\n') // some files have been downloaded when the first mirror fails
	require.NoError(t, err)
	assert.Contains(t, line, "is to be restarted")

	require.NoError(t, cmd.Process.Signal(os.Interrupt))
	_, err = io.Copy(io.Discard, log)
	assert.NoError(t, err)
	assert.NoError(t, cmd.Wait(), "exit code 0")
	assert.Regexp(t, `^[1-9]\d* of 1000000 files`, out.String())
	assert.False(t, strings.HasPrefix(out.String(), "1000000 "), out.String())
}
