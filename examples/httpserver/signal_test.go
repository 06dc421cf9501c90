//go:build unix

package main

import (
	"bufio"
	"io"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A program is the whole program: it is built, started, used, and stopped by a signal.
type program struct {
	*exec.Cmd
	t    *testing.T
	url  string
	web  *http.Client
	log  *bufio.Reader
	seen strings.Builder
}

func execute(t *testing.T, flags ...string) *program {
	t.Helper()
	path := filepath.Join(t.TempDir(), "httpserver")
	text, err := exec.CommandContext(t.Context(), "go", "build", "-buildvcs=false", "-o", path, ".").CombinedOutput()
	require.NoError(t, err, string(text))

	p := &program{t: t, Cmd: exec.CommandContext(t.Context(), path, append(flags, "-addr", "127.0.0.1:0")...)}
	stderr, err := p.StderrPipe()
	require.NoError(t, err)
	stdout, err := p.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, p.Start())
	line, err := bufio.NewReader(stdout).ReadString('\n')
	require.NoError(t, err)
	addr, ok := strings.CutPrefix(strings.TrimSuffix(line, "; try\n"), "listening on ")
	require.True(t, ok, line)
	p.url, p.log = "http://"+addr, bufio.NewReader(stderr)
	p.web = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: patience}
	return p
}

// waitFor reads the log up to the first line that contains text.
func (p *program) waitFor(text string) {
	p.t.Helper()
	for {
		line, err := p.log.ReadString('\n')
		p.seen.WriteString(line)
		require.NoError(p.t, err, "no %q in the log:\n%s", text, &p.seen)
		if strings.Contains(line, text) {
			return
		}
	}
}

// rest waits for the end of the program and returns all that it has logged.
func (p *program) rest() (log string, exitCode int) {
	p.t.Helper()
	text, err := io.ReadAll(p.log)
	assert.NoError(p.t, err)
	_ = p.Wait() // the exit code says it
	return p.seen.String() + string(text), p.ProcessState.ExitCode()
}

func (p *program) mail(to string) {
	p.t.Helper()
	resp, err := p.web.Post(p.url+"/mail/"+to, "", nil)
	require.NoError(p.t, err)
	resp.Body.Close()
	assert.Equal(p.t, http.StatusAccepted, resp.StatusCode)
}

func TestSIGTERMIsGraceful(t *testing.T) {
	p := execute(t, "-delay", "100ms", "-grace", patience.String())
	clock, err := p.web.Get(p.url + "/clock")
	require.NoError(t, err)
	defer clock.Body.Close()
	p.mail("ann")
	offers := make(chan string, 1)
	go func() {
		resp, err := p.web.Get(p.url + "/offer/tea")
		if !assert.NoError(t, err) {
			close(offers)
			return
		}
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		assert.NoError(t, err)
		offers <- string(text)
	}()
	p.waitFor("GET /offer/tea")

	require.NoError(t, p.Process.Signal(syscall.SIGTERM))
	text, err := io.ReadAll(clock.Body)
	assert.NoError(t, err)
	assert.True(t, strings.HasSuffix(string(text), "\nthe server stops\n"), string(text))
	assert.Equal(t, "tea: 3.20 a cup, 12 left\n", <-offers)
	log, code := p.rest()
	assert.Zero(t, code, log)
	assert.Contains(t, log, `msg="mail sent" id=2 to=ann`)
	assert.Contains(t, log, `msg="shutting down"`)
	assert.Contains(t, log, "terminated")
	assert.NotContains(t, log, "cut off")
}

func TestTheGracePeriodEnds(t *testing.T) {
	p := execute(t, "-delay", "1h", "-grace", "10ms")
	p.mail("ann")
	require.NoError(t, p.Process.Signal(syscall.SIGTERM))
	log, code := p.rest()
	assert.Equal(t, 1, code, log)
	assert.Contains(t, log, `msg="mail not sent" id=1 to=ann`)
	assert.Contains(t, log, `msg=ended err="scope \"server\": the grace period is over"`)
}

func TestASecondSignalCutsOff(t *testing.T) {
	p := execute(t, "-delay", "1h", "-grace", "1h")
	p.mail("ann")
	require.NoError(t, p.Process.Signal(syscall.SIGTERM))
	p.waitFor("shutting down")
	require.NoError(t, p.Process.Signal(syscall.SIGINT))
	log, code := p.rest()
	assert.Equal(t, 1, code, log)
	assert.Contains(t, log, `msg="mail not sent" id=1 to=ann`)
	assert.Contains(t, log, `msg=ended err="scope \"server\": interrupt signal received"`)
}
