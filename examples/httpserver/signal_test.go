//go:build unix

package main

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"os"
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

func build(t *testing.T) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "httpserver")
	text, err := exec.CommandContext(t.Context(), "go", "build", "-buildvcs=false", "-o", path, ".").CombinedOutput()
	require.NoError(t, err, string(text))
	return path
}

func execute(t *testing.T, flags ...string) *program {
	t.Helper()
	p := &program{t: t, Cmd: exec.CommandContext(t.Context(), build(t), append(flags, "-addr", "127.0.0.1:0")...)}
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

// signal sends the first signal, and returns when it has begun the shutdown, which a stream
// tells.
func (p *program) signal(first os.Signal) {
	p.t.Helper()
	clock, err := p.web.Get(p.url + "/clock")
	require.NoError(p.t, err)
	defer clock.Body.Close()
	require.NoError(p.t, p.Process.Signal(first))
	text, err := io.ReadAll(clock.Body)
	require.NoError(p.t, err, "the stream has a proper end")
	require.True(p.t, strings.HasSuffix(string(text), "\nthe server stops\n"), string(text))
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

func TestTheFirstSignalIsGraceful(t *testing.T) {
	for _, first := range []os.Signal{syscall.SIGTERM, syscall.SIGINT} {
		t.Run(first.String(), func(t *testing.T) {
			p := execute(t, "-delay", "100ms", "-grace", patience.String())
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

			p.signal(first)
			assert.Equal(t, "tea: 3.20 a cup, 12 left\n", <-offers)
			log, code := p.rest()
			assert.Zero(t, code, log)
			assert.Contains(t, log, `msg="mail sent" id=1 to=ann`)
			assert.NotContains(t, log, "cut off")
			assert.NotContains(t, log, "scope", "and nothing is said about the end")
		})
	}
}

func TestTheGracePeriodEnds(t *testing.T) {
	p := execute(t, "-delay", "1h", "-grace", "10ms")
	p.mail("ann")
	require.NoError(t, p.Process.Signal(syscall.SIGTERM))
	log, code := p.rest()
	assert.Equal(t, 128+15, code, log)
	assert.Contains(t, log, `msg="mail not sent" id=1 to=ann`)
	assert.True(t, strings.HasSuffix(log, "\nscope \"server\": signal: terminated: the grace period of 10ms is over\n"), log)
}

func TestASecondSignalCutsOff(t *testing.T) {
	p := execute(t, "-delay", "1h", "-grace", "1h")
	p.mail("ann")
	p.signal(syscall.SIGTERM)
	require.NoError(t, p.Process.Signal(syscall.SIGINT))
	log, code := p.rest()
	assert.Equal(t, 128+2, code, log)
	assert.Contains(t, log, `msg="mail not sent" id=1 to=ann`)
	assert.True(t, strings.HasSuffix(log, "\nscope \"server\": a second signal: interrupt\n"), log)
}

func TestAnAddressInUseIsAnError(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer ln.Close()
	var stdout, stderr strings.Builder
	cmd := exec.CommandContext(t.Context(), build(t), "-addr", ln.Addr().String())
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	assert.Error(t, cmd.Run())
	assert.Equal(t, 1, cmd.ProcessState.ExitCode())
	assert.Empty(t, stdout.String())
	assert.Regexp(t, `^scope "server": listen tcp .*: address already in use\n$`, stderr.String())
}
