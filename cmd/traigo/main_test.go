package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/record"
	"github.com/traigo/traigo/record/history"
)

// called runs the command and returns what came of it.
func called(t *testing.T, stdin string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = run(t.Context(), args, strings.NewReader(stdin), &out, &errs)
	return code, out.String(), errs.String()
}

// recording is a log of a program whose task "writer" has failed.
func recording(t *testing.T) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "run.jsonl")
	rec, err := record.Create(file)
	require.NoError(t, err)
	err = traigo.Run(t.Context(), func(_ context.Context, s *traigo.Scope) error {
		s.Spawn(func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }, traigo.Name("reader"))
		s.Spawn(func(context.Context) error { return errors.New("disk full") }, traigo.Name("writer"))
		return nil
	}, traigo.Name("backup"), traigo.Observe(rec))
	require.ErrorContains(t, err, "disk full")
	require.NoError(t, rec.Close())
	return file
}

func TestCommandSaysHowItIsUsed(t *testing.T) {
	for _, row := range []struct {
		args   []string
		code   int
		stdout string
		stderr string
	}{
		{nil, exitUsage, "", "usage: traigo command"},
		{[]string{"help"}, exitOK, "usage: traigo command", ""},
		{[]string{"-h"}, exitOK, "usage: traigo command", ""},
		{[]string{"help", "view"}, exitOK, "usage: traigo view", ""},
		{[]string{"view", "-h"}, exitOK, "usage: traigo view", ""},
		{[]string{"demo", "-h"}, exitOK, "-for", ""},
		{[]string{"veiw"}, exitUsage, "", `there is no command "veiw"`},
		{[]string{"view"}, exitUsage, "", "it takes one file"},
		{[]string{"tree", "a", "b"}, exitUsage, "", "there are 2"},
		{[]string{"tree", "-color", "a"}, exitUsage, "", "not defined: -color"},
		{[]string{"convert", "a"}, exitUsage, "", "sclogs, chrome, perfetto"},
		{[]string{"convert", "-to", "pdf", "a"}, exitUsage, "", `-to "pdf": it is one of sclogs`},
		{[]string{"convert", "a", "-to", "chrome"}, exitUsage, "", "flags come before the file"},
		{[]string{"demo", "-for", "-1s"}, exitUsage, "", "-for -1s: it has to run"},
		{[]string{"demo", "now"}, exitUsage, "", `flags only, not "now"`},
		{[]string{"tree", "/there/is/none"}, exitFailed, "", `there is no file "/there/is/none"; "traigo demo" makes`},
		{[]string{"view", "main.go"}, exitFailed, "", "main.go: view: "},
		{[]string{"convert", "-to", "chrome", "main.go"}, exitFailed, "", "main.go: history: "},
		{[]string{"tree", "."}, exitFailed, "", "traigo tree: "},
	} {
		code, stdout, stderr := called(t, "", row.args...)
		assert.Equal(t, row.code, code, "%v: %s", row.args, stderr)
		assert.Contains(t, stdout, row.stdout, "%v", row.args)
		assert.Contains(t, stderr, row.stderr, "%v", row.args)
		if row.stdout == "" {
			assert.Empty(t, stdout, "%v", row.args)
		}
		if row.stderr == "" {
			assert.Empty(t, stderr, "%v", row.args)
		}
	}
	_, err := os.Stat("main.html")
	assert.Error(t, err, "what cannot be read leaves nothing behind")
}

func TestTreePrintsARecording(t *testing.T) {
	file := recording(t)
	code, stdout, stderr := called(t, "", "tree", file)
	assert.Zero(t, code, stderr)
	for _, word := range []string{"backup", "reader", "writer", "disk full", "task failed"} {
		assert.Contains(t, stdout, word)
	}
	log, err := os.ReadFile(file)
	require.NoError(t, err)
	_, again, _ := called(t, string(log), "tree", "-")
	assert.Equal(t, stdout, again, "from standard input")
}

func TestConvertWritesWhatOthersRead(t *testing.T) {
	file := recording(t)
	for _, format := range []string{"sclogs", "chrome"} {
		code, stdout, stderr := called(t, "", "convert", "-to", format, file)
		assert.Zero(t, code, stderr)
		assert.True(t, json.Valid([]byte(stdout)), format)
		assert.Contains(t, stdout, "writer", format)
	}
	out := filepath.Join(t.TempDir(), "run.pftrace")
	code, stdout, stderr := called(t, "", "convert", "-to", "perfetto", "-o", out, file)
	assert.Zero(t, code, stderr)
	assert.Empty(t, stdout)
	trace, err := os.ReadFile(out)
	require.NoError(t, err)
	assert.Contains(t, string(trace), "writer")

	_, sclogs, _ := called(t, "", "convert", "-to", "sclogs", file)
	_, tree, _ := called(t, sclogs, "tree", "-")
	assert.Contains(t, tree, "writer", "what was converted is read again")
}

func TestViewWritesAPage(t *testing.T) {
	t.Setenv("DISPLAY", "")
	t.Setenv("WAYLAND_DISPLAY", "")
	file := recording(t)
	page := strings.TrimSuffix(file, ".jsonl") + ".html"
	code, stdout, stderr := called(t, "", "view", file)
	assert.Zero(t, code, stderr)
	assert.Contains(t, stdout, "page "+page)
	assert.Contains(t, stdout, "open file://"+page, "nobody is there to open it for")
	html, err := os.ReadFile(page)
	require.NoError(t, err)
	assert.Contains(t, string(html), "<html")

	code, _, stderr = called(t, "", "view", "-o", "/there/is/none.html", file)
	assert.Equal(t, exitFailed, code)
	assert.Contains(t, stderr, "traigo view: open /there/is/none.html")

	code, stdout, stderr = called(t, "", "view", "-o", "-", file)
	assert.Zero(t, code, stderr)
	assert.Equal(t, string(html), stdout, "the page and nothing else")
}

func TestARecordingIsNotOverwritten(t *testing.T) {
	file := recording(t)
	before, err := os.ReadFile(file)
	require.NoError(t, err)
	link := filepath.Join(t.TempDir(), "link")
	require.NoError(t, os.Symlink(file, link))
	for _, args := range [][]string{
		{"view", "-open=false", "-o", file, file},
		{"view", "-open=false", "-o", link, file},
		{"convert", "-to", "chrome", "-o", file, link},
	} {
		code, _, stderr := called(t, "", args...)
		assert.Equal(t, exitFailed, code, "%v", args)
		assert.Contains(t, stderr, "-o takes another file", "%v", args)
		after, err := os.ReadFile(file)
		require.NoError(t, err)
		assert.Equal(t, before, after, "%v", args)
	}
}

func TestEachRecordingHasAPageOfItsOwn(t *testing.T) {
	for file, page := range map[string]string{
		"-":                  "traigo.html",
		"run.jsonl":          "run.html",
		"run.jsonl.1":        "run.jsonl.1.html",
		"run.jsonl.2":        "run.jsonl.2.html",
		"sc-logs.json":       "sc-logs.html",
		"logs/v1.2":          "logs/v1.2.html",
		"run.html":           "run.html.html",
		"log.d/run":          "log.d/run.html",
		"log.jsonl/server.1": "log.jsonl/server.1.html",
	} {
		assert.Equal(t, page, pageOf(file), file)
	}
}

func TestHalfAFileIsRemoved(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("no limit on the size of files to run into")
	}
	dir := t.TempDir()
	binary, page := filepath.Join(dir, "traigo"), filepath.Join(dir, "run.html")
	out, err := exec.CommandContext(t.Context(), "go", "build", "-o", binary, ".").CombinedOutput()
	require.NoError(t, err, "%s", out)
	limited := "trap '' XFSZ; ulimit -f 8; exec \"$0\" view -open=false -o \"$1\" \"$2\""
	out, err = exec.CommandContext(t.Context(), "sh", "-c", limited, binary, page, recording(t)).CombinedOutput()
	require.Error(t, err)
	assert.Contains(t, string(out), "traigo view: ")
	assert.NoFileExists(t, page)
}

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
