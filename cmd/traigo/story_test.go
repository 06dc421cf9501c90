package main

import (
	"bufio"
	"bytes"
	"encoding/json"
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

	"github.com/traigo/traigo/record/history"
)

// A server under load, seen through our log, trio-vis's schema and Chrome's, tells one
// story: the same tasks in the same scopes, from when to when.
func TestOneStoryInAllFormats(t *testing.T) {
	file := recordServer(t)
	log, err := os.Open(file)
	require.NoError(t, err)
	defer log.Close()
	h, err := history.Read(log)
	require.NoError(t, err)
	require.True(t, h.Closed, "it was shut down in order")
	require.Zero(t, h.Lost())

	ours := storyOf(h)
	assert.Greater(t, len(ours), 3*guests, "it was under load")
	assert.Contains(t, strings.Join(ours, "\n"), "slow 1ms")
	assert.Contains(t, strings.Join(ours, "\n"), "timeout", "guests who said nothing")
	assert.Equal(t, ours, storyOfSCLogs(t, converted(t, "sclogs", file)))
	assert.Equal(t, ours, storyOfChrome(t, converted(t, "chrome", file)))

	again, err := history.ReadSCLogs(bytes.NewReader(converted(t, "sclogs", file)))
	require.NoError(t, err)
	assert.Equal(t, ours, storyOf(again), "and trio-vis's schema is read back")
}

func converted(t *testing.T, format, file string) []byte {
	t.Helper()
	code, stdout, stderr := called(t, "", "convert", "-to", format, file)
	require.Zero(t, code, stderr)
	return []byte(stdout)
}

const guests = 24

// recordServer runs examples/tcpserver under load until it is told to stop, and
// returns its recording.
func recordServer(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	binary, file := filepath.Join(dir, "tcpserver"), filepath.Join(dir, "run.jsonl")
	out, err := exec.CommandContext(t.Context(), "go", "build", "-o", binary, "../../examples/tcpserver").CombinedOutput()
	require.NoError(t, err, "%s", out)

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

// visit is one guest: some talk and quit, some break off, some say nothing.
func visit(addr string, i int) error {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	switch i % 4 {
	case 0: // silent until the server has had enough
	case 1:
		_, err = fmt.Fprint(conn, "hello\n")
		return err
	case 2:
		_, err = fmt.Fprint(conn, "hello\n/who\n/slow 1ms\n/slow 20ms\n/quit\n")
	default:
		_, err = fmt.Fprint(conn, strings.Repeat("too long ", 1000), "\n")
	}
	_, _ = io.Copy(io.Discard, conn) // a server that hangs up in the middle of a line resets the connection
	return err
}

// A story has a line for each scope and task: what it is, in which scope, and when it began
// and ended, in microseconds; for scopes that failed, why.
func line(kind, name, in string, begin, end float64, why string) string {
	if why == "completed" || why == "requested" {
		why = ""
	}
	return strings.TrimSpace(fmt.Sprintf("%s %s in %q, %.0f to %.0f %s", kind, name, in, math.Round(begin), math.Round(end), why))
}

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

func us(nanoseconds int64) float64 { return float64(nanoseconds) / 1e3 }

// storyOfSCLogs reads the schema of trio-vis without our help: names end in a number, and
// say in brackets what the schema has no place for.
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

// storyOfChrome pairs the beginnings and ends of each row.
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
