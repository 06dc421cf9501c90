package main

import (
	"bytes"
	"context"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo/record/history"
)

func TestDemoLeavesNothingWhereItCannotStart(t *testing.T) {
	tmp := t.TempDir()
	t.Setenv("TMPDIR", tmp)
	t.Setenv("TMP", tmp)
	code, _, stderr := called(t, "", "demo", "-addr", "256.0.0.1:0")
	assert.Equal(t, exitFailed, code)
	assert.Contains(t, stderr, "-addr takes another address")
	left, err := os.ReadDir(tmp)
	require.NoError(t, err)
	assert.Empty(t, left)
}

// The demo is a program: it is run, its live page looked at, and its recording read.
func TestDemoShowsTheStoryOfItsRun(t *testing.T) {
	dir := t.TempDir()
	out := &watched{found: make(chan string, 1)}
	var errs bytes.Buffer
	ended := make(chan int, 1)
	go func() {
		ended <- run(t.Context(), []string{"demo", "-for", "2s", "-o", dir}, nil, out, &errs)
	}()
	address := <-out.found
	for !strings.Contains(get(t, address+"?format=text"), "supervisor") {
		// The page is there a moment before the program: each answer is a look of its own.
	}

	assert.Zero(t, <-ended, errs.String())
	assert.Contains(t, out.String(), "service failed: its task journal")
	assert.Contains(t, out.String(), "open it    file://"+filepath.ToSlash(dir)+"/run.html")
	assert.Regexp(t, `\d+ connections, \d+ answers in time`, out.String())
	assert.FileExists(t, filepath.Join(dir, "run.html"))
	_, err := http.Get(address) //nolint:noctx // it is to be refused
	assert.Error(t, err, "the live page has ended with the rest")

	log, err := os.Open(filepath.Join(dir, "run.jsonl"))
	require.NoError(t, err)
	defer log.Close()
	h, err := history.Read(log)
	require.NoError(t, err)
	assert.True(t, h.Closed)
	assert.Zero(t, h.Lost())
	services := 0
	for _, s := range h.Scopes {
		assert.Equal(t, history.ScopeClosed, s.State, s.Path())
		if s.Name == "service" {
			services++
		}
	}
	assert.Equal(t, 2, services, "one attempt failed, the next went on to the end")
}

func TestDemoThatCannotBeginLeavesNothing(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer ln.Close()
	tmp := t.TempDir()
	t.Setenv("TMPDIR", tmp)
	code, _, stderr := called(t, "", "demo", "-addr", ln.Addr().String())
	assert.Equal(t, exitFailed, code)
	assert.Contains(t, stderr, "-addr takes another address")
	left, err := os.ReadDir(tmp)
	require.NoError(t, err)
	assert.Empty(t, left)
}

func TestDemoCanBeInterrupted(t *testing.T) {
	dir := t.TempDir()
	ctx, interrupt := context.WithCancel(t.Context())
	out := &watched{found: make(chan string, 1)}
	var errs bytes.Buffer
	ended := make(chan int, 1)
	go func() { ended <- run(ctx, []string{"demo", "-for", "1h", "-o", dir}, nil, out, &errs) }()
	<-out.found
	interrupt()
	assert.Zero(t, <-ended, errs.String())
	assert.FileExists(t, filepath.Join(dir, "run.html"))
}

// watched is an output in which the address of the live page is waited for.
type watched struct {
	text  bytes.Buffer
	found chan string
}

var liveAddress = regexp.MustCompile(`http://\S+`)

func (w *watched) Write(p []byte) (int, error) {
	if address := liveAddress.Find(p); address != nil && len(w.found) == 0 {
		w.found <- string(address)
	}
	return w.text.Write(p)
}

func (w *watched) String() string { return w.text.String() }

func get(t *testing.T, address string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, http.NoBody)
	require.NoError(t, err)
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	var text bytes.Buffer
	_, err = text.ReadFrom(resp.Body)
	require.NoError(t, err)
	return text.String()
}

// onTerminal runs the demo on a terminal of its own, and returns each picture that it has
// drawn there, and what it has left on it.
func onTerminal(t *testing.T, length string) (drawn []string, left string) {
	t.Helper()
	script, err := exec.LookPath("script")
	if err != nil || exec.Command(script, "--version").Run() != nil {
		require.NotEqual(t, "true", os.Getenv("CI"), "under CI the demo is to be seen on a terminal: install util-linux's script")
		t.Skip("no script of util-linux, which has terminals to offer")
	}
	dir := t.TempDir()
	binary := filepath.Join(dir, "traigo")
	out, err := exec.CommandContext(t.Context(), "go", "build", "-o", binary, ".").CombinedOutput()
	require.NoError(t, err, "%s", out)

	cmd := exec.CommandContext(t.Context(), script, "-qfec", "stty rows 36 cols 104; exec ./traigo demo -for "+length+" -o .", "/dev/null")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "TERM=xterm", "NO_COLOR=")
	out, err = cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)

	// Each picture begins by going up to where the last one began, and ends by clearing
	// what is below it.
	text := strings.ReplaceAll(string(out), "\r\n", "\n")
	for _, picture := range regexp.MustCompile(`\x1b\[\d+A\r`).Split(text, -1) {
		picture, after, _ := strings.Cut(picture, "\x1b[J")
		drawn, left = append(drawn, strings.ReplaceAll(picture, "\x1b[K", "")), after
	}
	return drawn, left
}

func TestDemoIsDrawnInItsPlaceOnATerminal(t *testing.T) {
	drawn, left := onTerminal(t, "2s")
	assert.Greater(t, len(drawn), 5)
	for _, picture := range drawn[:len(drawn)-1] {
		assert.LessOrEqual(t, strings.Count(picture, "\n"), 35, "it would scroll:\n%s", picture)
	}
	all := strings.Join(drawn, "")
	for _, text := range []string{"├─ • accept (running", "supervisor attempt 2", red + "  ", yellow, "service failed: its task journal"} {
		assert.Contains(t, all, text)
	}
	assert.NotContains(t, left, "├─", "the tree is gone with what it showed")
	assert.Contains(t, left, "service failed: its task journal", "what was told stays")
	assert.Contains(t, left, "open it    file://")
}

// A proxy is for what is elsewhere: the address of the live page may not look local.
func TestDemoNeedsNoProxy(t *testing.T) {
	t.Setenv("HTTP_PROXY", "http://127.0.0.1:9")
	t.Setenv("http_proxy", "http://127.0.0.1:9")
	drawn, _ := onTerminal(t, "1s -addr :0")
	assert.Contains(t, strings.Join(drawn, ""), "├─ • accept (running")
}
