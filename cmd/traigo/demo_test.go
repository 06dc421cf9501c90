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
	assert.Contains(t, out.String(), "service failed: task journal: write journal.txt: file already closed")
	assert.Contains(t, out.String(), "look out:  at 0.8 s a log rotation")
	assert.Regexp(t, `(?m)^demo .*\n(.*\n)*.*service .*\n(.*\n)*.*load`, out.String(), "without a terminal the last tree is written")
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
func onTerminal(t *testing.T, size, length string) (drawn []string, left string) {
	t.Helper()
	script, err := exec.LookPath("script")
	if err != nil || exec.Command(script, "--version").Run() != nil {
		require.NotEqual(t, "true", os.Getenv("CI"), "under CI the demo is to be seen on a terminal: install util-linux's script")
		t.Skip("no script of util-linux, which has terminals to offer")
	}
	cmd := exec.CommandContext(t.Context(), script, "-qfec", "stty "+size+"; exec ./traigo demo -for "+length+" -o .", "/dev/null")
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

// A terminal of the smallest usual size is enough, and the failure that matters stays on it.
func TestDemoIsDrawnInItsPlaceOnATerminal(t *testing.T) {
	drawn, left := onTerminal(t, "rows 24 cols 80", "3s")
	assert.Greater(t, len(drawn), 5)
	const matters = "service failed: task journal: write journal.txt: file already closed"
	hasFailed := false
	for _, picture := range drawn[1 : len(drawn)-1] {
		assert.LessOrEqual(t, strings.Count(picture, "\n"), 22, "it would scroll:\n%s", picture)
		assert.NotContains(t, picture, "more lines", "the tree fits")
		assert.Contains(t, picture, "live page  http://")
		hasFailed = hasFailed || strings.Contains(picture, matters)
		assert.Equal(t, hasFailed, strings.Contains(picture, matters), "it stays:\n%s", picture)
		assert.NotEqual(t, hasFailed, strings.Contains(picture, "look out:"), "%s", picture)
	}
	assert.True(t, hasFailed)
	all := strings.Join(drawn, "")
	for _, text := range []string{"└─ • load", "supervisor attempt 2", red + "✗ ", "tasks and scopes were canceled for it; supervisor attempt 2 began at "} {
		assert.Contains(t, all, text)
	}
	assert.NotContains(t, left, "├─", "the tree is removed at the end")
	assert.Contains(t, left, matters, "the failures stay")
	assert.Contains(t, left, "open it    file://")
	assert.Regexp(t, `as text    \./traigo tree run\.jsonl`, left)
}

func TestDemoTreeFitsByLeavingOutItsDeepestLevels(t *testing.T) {
	tree := strings.Split("demo (open)\n├─ • supervisor\n│  └─ service\n│     ├─ • a\n│     └─ conn\n│        └─ • b\n└─ • load", "\n")
	assert.Equal(t, tree, fitted(tree, 7))
	assert.Equal(t, []string{"demo (open)", "├─ • supervisor", "│  └─ service", "│     ├─ • a", "│     └─ conn …", "└─ • load"}, fitted(tree, 6))
	assert.Equal(t, []string{"demo (open)", "├─ • supervisor", "│  └─ service …", "└─ • load"}, fitted(tree, 5))
	assert.Equal(t, []string{"demo (open)", "├─ • supervisor …", "└─ • load"}, fitted(tree, 3))
	assert.Len(t, fitted(tree, 1), 3, "the top levels stay: the screen says that it has left out lines")
	assert.Equal(t, tree, treeIn("8 scopes\n\n"+strings.Join(tree, "\n")+"\n\nended:\n  demo x"))
	assert.Nil(t, treeIn("0 scopes\n"))
}

func TestDemoPaintsWhatMattersAndWhatIsCanceling(t *testing.T) {
	t.Setenv("NO_COLOR", "")
	assert.Equal(t, red+"✗ 1.0 s  a failed"+plain+"\n"+yellow+"├─ • b (canceling, 1s)"+plain+"\n└─ • c (running, 1s)",
		paint("✗ 1.0 s  a failed\n├─ • b (canceling, 1s)\n└─ • c (running, 1s)"))
	t.Setenv("NO_COLOR", "1")
	assert.Equal(t, "✗ a", paint("✗ a"))
}

func TestDemoFoldsFailuresThatAreAlike(t *testing.T) {
	f := newFailures("/tmp/dir/")
	lines := func() string {
		matters, tolerated := f.lines()
		return strings.Join(matters, "\n") + "\n--\n" + strings.Join(tolerated, "\n")
	}
	f.note("quote", "ran out of time", time.Second, 2)
	assert.Equal(t, "\n--\n· 1.0 s  quote ran out of time", lines())
	f.note("service", "failed: task journal: write: closed", 2*time.Second, 40)
	f.note("quote", "ran out of time", 3*time.Second, 2)
	f.note("conn 17", "failed: no name 1", 4*time.Second, 2)
	f.note("conn 18", "failed: no name 2", 5*time.Second, 2)
	f.note("conn 19", "failed: no name 3", 6*time.Second, 2)
	assert.Equal(t, "✗ 2.0 s  service failed: task journal: write: closed\n"+
		"  40 tasks and scopes were canceled for it; its supervisor is to start it again\n--\n"+
		"· 3 × conn 17 failed: no name 1, last at 6.0 s\n· 2 × quote ran out of time, last at 3.0 s", lines())
	f.noteRestart("supervisor attempt 2 began at 2.5 s")
	assert.Contains(t, lines(), "40 tasks and scopes were canceled for it; supervisor attempt 2 began at 2.5 s")
}

// The command that is suggested at the end is the one that the demo was started by.
func TestDemoSuggestsTheCommandThatItWasStartedBy(t *testing.T) {
	binary := built(t, ".", "traigo")
	for name, row := range map[string]struct {
		dir, command string
		args         []string
		want         string
	}{
		"go run":          {"../..", "go", []string{"run", "./cmd/traigo"}, "go run ./cmd/traigo tree "},
		"a path":          {"", binary, nil, binary + " tree "},
		"a name in $PATH": {filepath.Dir(binary), "traigo", nil, "as text    traigo tree "},
	} {
		t.Run(name, func(t *testing.T) {
			if row.command == "traigo" {
				t.Setenv("PATH", filepath.Dir(binary)+string(filepath.ListSeparator)+os.Getenv("PATH"))
			}
			cmd := exec.CommandContext(t.Context(), row.command, append(row.args, "demo", "-for", "100ms", "-o", t.TempDir())...)
			cmd.Dir = row.dir
			out, err := cmd.CombinedOutput()
			require.NoError(t, err, "%s", out)
			assert.Contains(t, string(out), row.want)
		})
	}
}

// The address of the live page may not look local, so that a proxy is set up for it.
func TestDemoNeedsNoProxy(t *testing.T) {
	t.Setenv("HTTP_PROXY", "http://127.0.0.1:9")
	t.Setenv("http_proxy", "http://127.0.0.1:9")
	drawn, _ := onTerminal(t, "rows 36 cols 104", "1s -addr :0")
	assert.Contains(t, strings.Join(drawn, ""), "accept")
}
