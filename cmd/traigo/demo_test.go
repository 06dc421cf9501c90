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
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer busy.Close()
	tmp := t.TempDir()
	t.Setenv("TMPDIR", tmp)
	t.Setenv("TMP", tmp)
	for _, addr := range []string{"256.0.0.1:0", busy.Addr().String()} {
		code, _, stderr := called(t, "", "demo", "-addr", addr)
		assert.Equal(t, exitFailed, code)
		assert.Contains(t, stderr, "-addr takes another address")
		left, err := os.ReadDir(tmp)
		require.NoError(t, err)
		assert.Empty(t, left)
	}
}

// The test runs the demo, asks for its live page, and reads its recording.
func TestDemoShowsTheStoryOfItsRun(t *testing.T) {
	dir := t.TempDir()
	address, out, wait := startDemo(t.Context(), t, "2s", dir)
	for !strings.Contains(get(t, address+"?format=text"), "supervisor") {
		// The page is served a moment before the program starts. Each answer takes a new snapshot.
	}

	wait()
	assert.Contains(t, out.String(), "service failed: its task journal")
	assert.Contains(t, out.String(), "open it    file://"+filepath.ToSlash(dir)+"/run.html")
	assert.Regexp(t, `\d+ connections, \d+ answers in time`, out.String())
	assert.FileExists(t, filepath.Join(dir, "run.html"))
	_, err := http.Get(address) //nolint:noctx // the connection is refused
	assert.Error(t, err, "the live page has ended, too")

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

func TestDemoCanBeInterrupted(t *testing.T) {
	dir := t.TempDir()
	ctx, interrupt := context.WithCancel(t.Context())
	_, _, wait := startDemo(ctx, t, "1h", dir)
	interrupt()
	wait()
	assert.FileExists(t, filepath.Join(dir, "run.html"))
}

// startDemo starts the demo, and returns the address of its live page. wait waits for the
// end, after which out can be read.
func startDemo(ctx context.Context, t *testing.T, length, dir string) (address string, out *watched, wait func()) {
	t.Helper()
	out = &watched{found: make(chan string, 1)}
	var errs bytes.Buffer
	ended := make(chan int, 1)
	go func() { ended <- run(ctx, []string{"demo", "-for", length, "-o", dir}, nil, out, &errs) }()
	return <-out.found, out, func() {
		t.Helper()
		assert.Zero(t, <-ended, errs.String())
	}
}

// A watched is an output that sends the address of the live page when it is written.
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

// onTerminal runs the demo on a terminal, and returns all pictures that it has drawn there,
// and the text that it has left behind.
func onTerminal(t *testing.T, length string) (drawn []string, left string) {
	t.Helper()
	script, err := exec.LookPath("script")
	if err != nil || exec.Command(script, "--version").Run() != nil {
		require.NotEqual(t, "true", os.Getenv("CI"), "under CI the demo is to be seen on a terminal: install util-linux's script")
		t.Skip("no script of util-linux, which has terminals to offer")
	}
	cmd := exec.CommandContext(t.Context(), script, "-qfec", "stty rows 36 cols 104; exec ./traigo demo -for "+length+" -o .", "/dev/null")
	cmd.Dir = filepath.Dir(built(t, ".", "traigo"))
	cmd.Env = append(os.Environ(), "TERM=xterm", "NO_COLOR=")
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)

	// Each picture begins with a move up to the beginning of the last one, and ends with an
	// escape that clears the lines below it.
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
	assert.NotContains(t, left, "├─", "the tree is removed at the end")
	assert.Contains(t, left, "service failed: its task journal", "the failures stay")
	assert.Contains(t, left, "open it    file://")
}

// The address of the live page may not look local, so that a proxy is set up for it.
func TestDemoNeedsNoProxy(t *testing.T) {
	t.Setenv("HTTP_PROXY", "http://127.0.0.1:9")
	t.Setenv("http_proxy", "http://127.0.0.1:9")
	drawn, _ := onTerminal(t, "1s -addr :0")
	assert.Contains(t, strings.Join(drawn, ""), "├─ • accept (running")
}
