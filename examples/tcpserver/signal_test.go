//go:build unix

package main

import (
	"bufio"
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo/record"
)

// A program is the whole program: it is built, started, used, and stopped by a signal.
type program struct {
	*exec.Cmd
	t    *testing.T
	addr string
	log  bytes.Buffer // to be read after end
	file string       // the recording
}

func execute(t *testing.T, flags ...string) *program {
	t.Helper()
	dir := t.TempDir()
	path := filepath.Join(dir, "tcpserver")
	text, err := exec.CommandContext(t.Context(), "go", "build", "-buildvcs=false", "-o", path, ".").CombinedOutput()
	require.NoError(t, err, string(text))

	p := &program{t: t, file: filepath.Join(dir, "run.jsonl")}
	p.Cmd = exec.CommandContext(t.Context(), path, append(flags, "-addr", "127.0.0.1:0", "-record", p.file)...)
	p.Stderr = &p.log
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

func (p *program) signal(sig os.Signal) {
	p.t.Helper()
	require.NoError(p.t, p.Process.Signal(sig))
}

// end waits for the end of the program, and returns what it has printed last, and the exit
// code.
func (p *program) end() (last string, exitCode int) {
	p.t.Helper()
	_ = p.Wait() // the exit code says it
	lines := strings.Split(strings.TrimSuffix(p.log.String(), "\n"), "\n")
	return lines[len(lines)-1], p.ProcessState.ExitCode()
}

// assertRecorded looks for the recording, which must be complete however the program has
// ended.
func (p *program) assertRecorded() {
	p.t.Helper()
	file, err := os.Open(p.file)
	require.NoError(p.t, err)
	defer file.Close()
	history, err := record.Read(file)
	require.NoError(p.t, err)
	assert.True(p.t, history.Closed)
	assert.False(p.t, history.Truncated)
	assert.Empty(p.t, history.Losses)
}

func TestTheFirstSignalIsGraceful(t *testing.T) {
	for _, first := range []os.Signal{syscall.SIGTERM, syscall.SIGINT} {
		t.Run(first.String(), func(t *testing.T) {
			p := execute(t, "-grace", patience.String())
			ann := call(t, p.addr)
			bob := call(t, p.addr)
			ann.waitFor("* " + bob.name + " joined")
			bob.say("hello")
			assert.Equal(t, bob.name+": hello", ann.hear())
			ann.say("/slow 100ms")
			assert.Equal(t, "* working for 100ms", ann.hear())

			p.signal(first)
			last := ann.rest()
			assert.Contains(t, last, "* server is shutting down")
			assert.Contains(t, last, "* done after 100ms")
			assert.Equal(t, "* goodbye", last[len(last)-1])
			last = bob.rest()
			assert.Contains(t, last, "* server is shutting down")
			assert.Equal(t, "* goodbye", last[len(last)-1])
			_, code := p.end()
			assert.Zero(t, code)
			assert.Contains(t, p.log.String(), `msg="shutting down"`)
			assert.Contains(t, p.log.String(), "guest="+ann.name)
			assert.NotContains(t, p.log.String(), "scope", "and nothing is said about the end")
			p.assertRecorded()
		})
	}
}

func TestASecondSignalCutsOff(t *testing.T) {
	p := execute(t, "-grace", "1h")
	ann := call(t, p.addr)
	ann.say("/slow 1m")
	assert.Equal(t, "* working for 1m0s", ann.hear())
	p.signal(syscall.SIGTERM)
	assert.Equal(t, "* server is shutting down", ann.hear())
	p.signal(syscall.SIGINT)
	assert.Equal(t, []string{"* a second signal: interrupt"}, ann.rest())
	last, code := p.end()
	assert.Equal(t, 128+2, code)
	assert.Equal(t, `scope "tcpserver": a second signal: interrupt`, last)
	p.assertRecorded()
}

func TestTheGracePeriodOfASignalEnds(t *testing.T) {
	p := execute(t, "-grace", "10ms")
	ann := call(t, p.addr)
	ann.say("/slow 1m")
	assert.Equal(t, "* working for 1m0s", ann.hear())
	p.signal(syscall.SIGTERM)
	heard := ann.rest()
	assert.Equal(t, "* signal: terminated: the grace period of 10ms is over", heard[len(heard)-1])
	last, code := p.end()
	assert.Equal(t, 128+15, code)
	assert.Equal(t, `scope "tcpserver": signal: terminated: the grace period of 10ms is over`, last)
	p.assertRecorded()
}
