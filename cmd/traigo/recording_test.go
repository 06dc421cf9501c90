package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/record"
	"github.com/traigo/traigo/record/history"
)

// recording returns the file of a recording in which the task "writer" has failed.
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
	assert.Contains(t, tree, "writer", "a converted recording can be read")
}

// Two runs that append to one file are told apart, by all commands.
func TestTwoRecordingsInAFileAreAnError(t *testing.T) {
	first, second := recording(t), recording(t)
	log := read(t, first)
	torn := log[:strings.LastIndex(log, `{"t":`)+8]
	require.NoError(t, os.WriteFile(first, []byte(torn+read(t, second)), 0o600))
	for _, args := range [][]string{{"view", "-open=false"}, {"tree"}, {"convert", "-to", "chrome"}} {
		for _, file := range []string{first, filepath.Dir(first)} {
			code, stdout, stderr := called(t, "", append(args, file)...)
			assert.Equal(t, exitFailed, code, "%v", args)
			assert.Empty(t, stdout)
			assert.Regexp(t, `run\.jsonl: (history: )?the log has two recordings in it, \w+ and, from the middle of line \d+ on, \w+: cut it in two there`, stderr)
		}
	}
	assert.NoFileExists(t, strings.TrimSuffix(first, ".jsonl")+".html")
}

// Help and documentation name the viewers in which conversions have been tried with success.
func TestConvertNamesViewersThatShowIt(t *testing.T) {
	_, help, _ := called(t, "", "help", "convert")
	docs := read(t, "../../docs/seeing.md")
	for _, text := range []string{help, docs} {
		for _, viewer := range []string{"chrome://tracing", "ui.perfetto.dev", "sc-vis"} {
			assert.Contains(t, text, viewer)
		}
		assert.NotContains(t, text, "speedscope", "it shows one row at a time, and has the details of a slice in its name")
	}
}

func TestViewWritesAPage(t *testing.T) {
	t.Setenv("DISPLAY", "")
	t.Setenv("WAYLAND_DISPLAY", "")
	file := recording(t)
	page := strings.TrimSuffix(file, ".jsonl") + ".html"
	code, stdout, stderr := called(t, "", "view", file)
	assert.Zero(t, code, stderr)
	assert.Contains(t, stdout, "page "+page)
	assert.Contains(t, stdout, "open file://"+page, "there is no desktop to open it on")
	html, err := os.ReadFile(page)
	require.NoError(t, err)
	assert.Contains(t, string(html), "<html")

	code, _, stderr = called(t, "", "view", "-o", "/there/is/none.html", file)
	assert.Equal(t, exitFailed, code)
	assert.Contains(t, stderr, "traigo view: open /there/is/none.html")

	code, stdout, stderr = called(t, "", "view", "-o", "-", file)
	assert.Zero(t, code, stderr)
	assert.Equal(t, string(html), stdout, "nothing but the page")
}

// A recording of a server under load has the same content in our format, in that of trio-vis
// and in Chrome's: the same tasks in the same scopes, with the same times.
func TestOneStoryInAllFormats(t *testing.T) {
	file := recordServer(t)
	log, err := os.Open(file)
	require.NoError(t, err)
	defer log.Close()
	h, err := history.Read(log)
	require.NoError(t, err)
	require.True(t, h.Closed, "the server was shut down")
	require.Zero(t, h.Lost())

	ours := storyOf(h)
	assert.Greater(t, len(ours), 3*guests, "the server was under load")
	assert.Contains(t, strings.Join(ours, "\n"), "slow 1ms")
	assert.Contains(t, strings.Join(ours, "\n"), "timeout", "guests who said nothing")
	assert.Equal(t, ours, storyOfSCLogs(t, converted(t, "sclogs", file)))
	assert.Equal(t, ours, storyOfChrome(t, converted(t, "chrome", file)))

	again, err := history.ReadSCLogs(bytes.NewReader(converted(t, "sclogs", file)))
	require.NoError(t, err)
	assert.Equal(t, ours, storyOf(again), "the format of trio-vis can be read back")
}

// converted returns the recording in another format.
func converted(t *testing.T, format, file string) []byte {
	t.Helper()
	code, stdout, stderr := called(t, "", "convert", "-to", format, file)
	require.Zero(t, code, stderr)
	return []byte(stdout)
}

const guests = 24 // clients of the server

// recordServer runs examples/tcpserver under load, shuts it down, and returns the file of
// its recording.
func recordServer(t *testing.T) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "run.jsonl")
	binary := built(t, "../../examples/tcpserver", "tcpserver")
	server := exec.CommandContext(t.Context(), binary, "-addr", "127.0.0.1:0", "-idle", "300ms", "-grace", "5s", "-record", file)
	stdout, err := server.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, server.Start())
	line, err := bufio.NewReader(stdout).ReadString('\n')
	require.NoError(t, err)
	addr := strings.TrimSpace(strings.TrimPrefix(line, "listening on "))

	var all sync.WaitGroup
	for i := range guests {
		all.Go(func() { assert.NoError(t, visit(addr, i)) })
	}
	all.Wait()
	require.NoError(t, server.Process.Signal(os.Interrupt))
	require.NoError(t, server.Wait())
	return file
}

// visit is guest i: some talk and quit, some disconnect, some send nothing.
func visit(addr string, i int) error {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	switch i % 4 {
	case 0: // sends nothing until the server disconnects
	case 1:
		_, err = fmt.Fprint(conn, "hello\n")
		return err
	case 2:
		_, err = fmt.Fprint(conn, "hello\n/who\n/slow 1ms\n/slow 20ms\n/quit\n")
	default:
		_, err = fmt.Fprint(conn, strings.Repeat("too long ", 1000), "\n")
	}
	_, _ = io.Copy(io.Discard, conn) // an error is expected: a server that disconnects in the middle of a line resets the connection
	return err
}

// line returns the line of a scope or task in a story: its kind, its name, the scope it is
// in, when it began and ended in microseconds, and for scopes that failed the kind of cause.
func line(kind, name, in string, begin, end float64, why string) string {
	if why == "completed" || why == "requested" {
		why = ""
	}
	return strings.TrimSpace(fmt.Sprintf("%s %s in %q, %.0f to %.0f %s", kind, name, in, math.Round(begin), math.Round(end), why))
}

// storyOf returns a sorted line for each scope and task of a recording.
func storyOf(h *history.History) (story []string) {
	for _, s := range h.Scopes {
		in, why := "", ""
		if s.Parent != nil {
			in = s.Parent.Name
		}
		if s.Cause != nil {
			why = s.Cause.Kind
		}
		story = append(story, line("scope", s.Name, in, us(s.Opened.Nanoseconds()), us(s.Closed.Nanoseconds()), why))
		for _, task := range s.Tasks {
			story = append(story, line("task", task.Name, s.Name, us(task.Spawned.Nanoseconds()), us(task.Ended.Nanoseconds()), ""))
		}
	}
	slices.Sort(story)
	return story
}

// us returns microseconds.
func us(nanoseconds int64) float64 { return float64(nanoseconds) / 1e3 }

// storyOfSCLogs reads the format of trio-vis without the code of this module. Names end in
// a number, and have in brackets what the format has no place for.
func storyOfSCLogs(t *testing.T, text []byte) (story []string) {
	t.Helper()
	var file struct {
		RunRecords []struct {
			Time             float64
			Desc, Name, Type string
			Parent           string
		}
	}
	require.NoError(t, json.Unmarshal(text, &file))
	const wrapper = "__TRIO_VIS_Tscope"
	plain := func(name string) string {
		return regexp.MustCompile(`-\d+( \[.*\])?$`).ReplaceAllString(name, "")
	}
	begin, up := map[string]float64{}, map[string]string{}
	scopeAbove := func(name string) string {
		for name = up[name]; strings.HasSuffix(name, wrapper); {
			name = up[name]
		}
		return plain(name)
	}
	for _, r := range file.RunRecords {
		if r.Desc == "created" {
			begin[r.Name], up[r.Name] = r.Time*1e6, r.Parent
			continue
		}
		why := ""
		if m := regexp.MustCompile(` \[(timeout|task failed|parent canceled|body failed)`).FindStringSubmatch(r.Name); m != nil && r.Type == "scope" {
			why = m[1]
		}
		if !strings.HasSuffix(r.Name, wrapper) {
			story = append(story, line(r.Type, plain(r.Name), scopeAbove(r.Name), begin[r.Name], r.Time*1e6, why))
		}
	}
	slices.Sort(story)
	return story
}

// storyOfChrome reads Chrome's format: it pairs the beginnings and ends of each row.
func storyOfChrome(t *testing.T, text []byte) (story []string) {
	t.Helper()
	var file struct {
		TraceEvents []struct {
			Ph, Cat, Name string
			Tid           int
			Ts            float64
			Args          struct{ Path, Cause string }
		}
	}
	require.NoError(t, json.Unmarshal(text, &file))
	open := map[int][]int{}
	for i, e := range file.TraceEvents {
		switch e.Ph {
		case "B":
			open[e.Tid] = append(open[e.Tid], i)
		case "E":
			row := open[e.Tid]
			b := file.TraceEvents[row[len(row)-1]]
			open[e.Tid] = row[:len(row)-1]
			above := strings.Split(b.Args.Path, "/")
			in := ""
			if len(above) > 1 {
				in = above[len(above)-2]
			}
			why, _, _ := strings.Cut(b.Args.Cause, ":")
			if b.Cat == "task" {
				why = ""
			}
			story = append(story, line(b.Cat, b.Name, in, b.Ts, e.Ts, why))
		}
	}
	slices.Sort(story)
	return story
}
