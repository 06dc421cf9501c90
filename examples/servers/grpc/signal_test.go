//go:build unix

package main

import (
	"bufio"
	"io"
	"net"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
)

// A program is the whole program: it is built, started, used, and stopped by a signal.
type program struct {
	*exec.Cmd
	t    *testing.T
	addr string
	log  *bufio.Reader
}

func execute(t *testing.T, grace string) *program {
	t.Helper()
	path := filepath.Join(t.TempDir(), "grpc")
	text, err := exec.CommandContext(t.Context(), "go", "build", "-buildvcs=false", "-o", path, ".").CombinedOutput()
	require.NoError(t, err, string(text))

	p := &program{t: t, Cmd: exec.CommandContext(t.Context(), path, "-addr", "127.0.0.1:0", "-grace", grace)}
	stderr, err := p.StderrPipe()
	require.NoError(t, err)
	p.log = bufio.NewReader(stderr)
	stdout, err := p.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, p.Start())
	line, err := bufio.NewReader(stdout).ReadString('\n')
	require.NoError(t, err)
	addr, ok := strings.CutPrefix(strings.TrimSpace(line), "listening on ")
	require.True(t, ok, line)
	p.addr = addr
	return p
}

// signal sends the first signal, and returns when the shutdown has begun.
func (p *program) signal(first syscall.Signal) {
	p.t.Helper()
	require.NoError(p.t, p.Process.Signal(first))
	line, err := p.log.ReadString('\n')
	require.NoError(p.t, err)
	require.Contains(p.t, line, `msg="shutting down"`)
}

// rest waits for the end of the program, and returns what it has printed after the start of
// the shutdown.
func (p *program) rest() (log string, exitCode int) {
	p.t.Helper()
	text, err := io.ReadAll(p.log)
	assert.NoError(p.t, err)
	_ = p.Wait() // the exit code says it
	return string(text), p.ProcessState.ExitCode()
}

// stay connects as a client of HTTP/2 that does not disconnect when the server asks for it.
func (p *program) stay() {
	p.t.Helper()
	conn, err := net.Dial("tcp", p.addr)
	require.NoError(p.t, err)
	p.t.Cleanup(func() { _ = conn.Close() })
	_, err = io.WriteString(conn, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"+"\x00\x00\x00\x04\x00\x00\x00\x00\x00")
	require.NoError(p.t, err)
	_, err = conn.Read(make([]byte, 1)) // the server has accepted it
	require.NoError(p.t, err)
}

func TestTheFirstSignalIsGraceful(t *testing.T) {
	p := execute(t, patience.String())
	watch, err := dial(t, p.addr).Watch(t.Context(), &healthpb.HealthCheckRequest{})
	require.NoError(t, err)
	resp, err := watch.Recv()
	require.NoError(t, err)
	assert.Equal(t, well, resp.GetStatus())
	p.signal(syscall.SIGTERM)
	resp, err = watch.Recv()
	assert.NoError(t, err)
	assert.Equal(t, unwell, resp.GetStatus())
	log, code := p.rest()
	assert.Zero(t, code)
	assert.Empty(t, log)
}

func TestASecondSignalCutsOff(t *testing.T) {
	p := execute(t, "1h")
	p.stay()
	p.signal(syscall.SIGTERM)
	require.NoError(t, p.Process.Signal(syscall.SIGINT))
	log, code := p.rest()
	assert.Equal(t, 128+2, code)
	assert.Equal(t, "scope \"server\": a second signal: interrupt\n", log)
}

func TestTheGracePeriodEnds(t *testing.T) {
	p := execute(t, "10ms")
	p.stay()
	p.signal(syscall.SIGTERM)
	log, code := p.rest()
	assert.Equal(t, 128+15, code)
	assert.Equal(t, "scope \"server\": signal: terminated: the grace period of 10ms is over\n", log)
}
