//go:build unix

package main

import (
	"bufio"
	"bytes"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The whole program is built, started, used, and stopped by a signal.
func TestSIGTERMIsGraceful(t *testing.T) {
	program := filepath.Join(t.TempDir(), "tcpserver")
	text, err := exec.CommandContext(t.Context(), "go", "build", "-buildvcs=false", "-o", program, ".").CombinedOutput()
	require.NoError(t, err, string(text))

	cmd := exec.CommandContext(t.Context(), program, "-addr", "127.0.0.1:0", "-grace", patience.String())
	var log bytes.Buffer
	cmd.Stderr = &log
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	line, err := bufio.NewReader(stdout).ReadString('\n')
	require.NoError(t, err)
	addr, ok := strings.CutPrefix(strings.TrimSpace(line), "listening on ")
	require.True(t, ok, line)

	ann := call(t, addr)
	bob := call(t, addr)
	ann.waitFor("* " + bob.name + " joined")
	bob.say("hello")
	assert.Equal(t, bob.name+": hello", ann.hear())
	ann.say("/slow 100ms")
	assert.Equal(t, "* working for 100ms", ann.hear())

	require.NoError(t, cmd.Process.Signal(syscall.SIGTERM))
	for _, c := range []*caller{ann, bob} {
		last := c.rest()
		assert.Contains(t, last, "* server is shutting down")
		assert.Equal(t, "* goodbye", last[len(last)-1])
	}
	assert.NoError(t, cmd.Wait(), "exit code 0")
	assert.Contains(t, log.String(), `msg="shutting down"`)
	assert.Contains(t, log.String(), "guest="+ann.name)
}
