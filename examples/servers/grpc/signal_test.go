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
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
)

// The whole program is built, started, used, and stopped by a signal.
func TestSIGTERMIsGraceful(t *testing.T) {
	program := filepath.Join(t.TempDir(), "grpc")
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

	watch, err := dial(t, addr).Watch(t.Context(), &healthpb.HealthCheckRequest{})
	require.NoError(t, err)
	resp, err := watch.Recv()
	require.NoError(t, err)
	assert.Equal(t, well, resp.GetStatus())
	require.NoError(t, cmd.Process.Signal(syscall.SIGTERM))
	resp, err = watch.Recv()
	assert.NoError(t, err)
	assert.Equal(t, unwell, resp.GetStatus())
	assert.NoError(t, cmd.Wait(), "exit code 0")
	assert.Contains(t, log.String(), `msg="shutting down"`)
}
