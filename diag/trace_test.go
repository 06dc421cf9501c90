package diag_test

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"runtime/trace"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/diag"
)

var (
	traceLine  = regexp.MustCompile(`^M=.* (TaskBegin|TaskEnd|RegionBegin|RegionEnd|Log) Time=`)
	traceField = regexp.MustCompile(`(\w+)=("(?:[^"\\]|\\.)*"|\S+)`)
)

// recordTrace calls f while an execution trace is taken, and returns what it has of tasks,
// regions and logs, a line for each: "TaskBegin name < parent", "RegionBegin task: name",
// "Log task: category: message". It has go tool trace read the trace, as the parser of
// package runtime/trace is internal; that fails for regions that do not nest. f opens
// the bubbles: a goroutine of the tracer is not to be in one.
func recordTrace(t *testing.T, f func()) (events []string) {
	t.Helper()
	var recorded, stderr bytes.Buffer
	if err := trace.Start(&recorded); err != nil {
		t.Skip("another trace is being taken: ", err)
	}
	func() {
		defer trace.Stop()
		f()
	}()
	file := filepath.Join(t.TempDir(), "trace.out")
	require.NoError(t, os.WriteFile(file, recorded.Bytes(), 0o600))
	cmd := exec.Command("go", "tool", "trace", "-d=parsed", file)
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	require.NoError(t, err, "%s", stderr.Bytes())

	names := map[string]string{} // of trace tasks by ID
	for line := range strings.Lines(string(out)) {
		kind := traceLine.FindStringSubmatch(line)
		if kind == nil {
			continue
		}
		has := map[string]string{}
		for _, field := range traceField.FindAllStringSubmatch(line, -1) {
			value, err := strconv.Unquote(field[2])
			if err != nil {
				value = field[2]
			}
			has[field[1]] = value
		}
		event := kind[1]
		switch event {
		case "TaskBegin":
			names[has["ID"]] = has["Type"]
			event += " " + has["Type"] + " < " + names[has["Parent"]]
		case "TaskEnd":
			event += " " + names[has["ID"]]
		case "Log":
			event += " " + names[has["Task"]] + ": " + has["Category"] + ": " + has["Message"]
		default:
			event += " " + names[has["Task"]] + ": " + has["Type"]
		}
		events = append(events, event)
	}
	return events
}

// traced are the options of a scope with that name.
func traced(name string) []traigo.ScopeOption {
	return []traigo.ScopeOption{traigo.Name(name), traigo.Wrap(diag.RuntimeTrace), quiet()}
}

func TestRuntimeTraceShowsTasksAndBodies(t *testing.T) {
	assert.Equal(t, []string{
		"TaskBegin request < ",
		"TaskBegin server < request", "Log server: traigo.scope: server", "RegionBegin server: server",
		"Log server: user: in the body",
		"TaskBegin work < request", "Log work: traigo.scope: server", "RegionBegin work: work",
		"Log work: user: in the task", "RegionBegin work: query", "RegionEnd work: query",
		"TaskBegin nested < work", "Log nested: traigo.scope: server/nested", "RegionBegin nested: nested",
		"TaskBegin inner < work", "Log inner: traigo.scope: server/nested", "RegionBegin inner: inner",
		"RegionEnd inner: inner", "TaskEnd inner",
		"RegionEnd nested: nested", "TaskEnd nested",
		"RegionEnd work: work", "TaskEnd work",
		"TaskBegin read < request", "Log read: traigo.scope: server/conn", "RegionBegin read: read",
		"RegionEnd read: read", "TaskEnd read",
		"RegionEnd server: server", "TaskEnd server",
		"TaskEnd request",
	}, recordTrace(t, func() {
		synctest.Test(t, func(t *testing.T) {
			ctx, request := trace.NewTask(t.Context(), "request")
			defer request.End()
			require.NoError(t, traigo.Run(ctx, func(ctx context.Context, s *traigo.Scope) error {
				trace.Log(ctx, "user", "in the body")
				assert.NoError(t, s.Spawn(func(ctx context.Context) error {
					trace.Log(ctx, "user", "in the task")
					trace.WithRegion(ctx, "query", func() {})
					return traigo.Run(ctx, func(ctx context.Context, s *traigo.Scope) error {
						return s.Spawn(succeed, traigo.Name("inner"), traigo.Dedicated()).Wait(ctx)
					}, traigo.Name("nested"))
				}, traigo.Name("work")).Wait(ctx))
				fork := s.Fork(traigo.Name("conn"))
				assert.NoError(t, fork.Spawn(succeed, traigo.Name("read")).Wait(ctx))
				return fork.Wait()
			}, traced("server")...))
		})
	}))
}

// mute is an error that has no text.
type mute struct{}

func (mute) Error() string { panic("no text") }

// unequal is an error for which == panics.
type unequal []string

func (e unequal) Error() string { return e[0] }

// However a task or a body ends, its region and its trace task end.
func TestRuntimeTraceTellsFailuresAndCauses(t *testing.T) {
	const (
		exited   = "panicked or called runtime.Goexit"
		canceled = `traigo.canceled: scope "s" canceled: requested: outer`
	)
	onceCanceled := func(end func(ctx context.Context) error) func(context.Context) error {
		return func(ctx context.Context) error { <-ctx.Done(); return end(ctx) }
	}
	rows := []struct {
		end    func(context.Context) error
		logged string // of the task or body WHO
	}{
		{succeed, ""},
		{func(context.Context) error { return errBoom }, "traigo.failed: WHO: boom"},
		{func(context.Context) error { panic("ouch") }, "traigo.failed: WHO: " + exited},
		{func(context.Context) error { runtime.Goexit(); return nil }, "traigo.failed: WHO: " + exited},
		{func(context.Context) error { return mute{} }, "traigo.failed: WHO: %!v(PANIC=Error method: no text)"},
		{onceCanceled(context.Context.Err), canceled},
		{onceCanceled(context.Cause), canceled},
		{onceCanceled(succeed), canceled},
		{onceCanceled(func(context.Context) error { return unequal{"odd"} }), canceled + "; ended with: odd"},
		{onceCanceled(func(context.Context) error { return mute{} }), canceled + "; ended with: %!v(PANIC=Error method: no text)"},
		{onceCanceled(func(context.Context) error { panic("ouch") }), canceled + "; ended with: " + exited},
	}
	var want []string
	run := func(name, logged string, open func() error) {
		want = append(want, "TaskBegin "+name+" < ", "RegionBegin "+name+": "+name)
		if logged != "" {
			want = append(want, "Log "+name+": "+logged)
		}
		want = append(want, "RegionEnd "+name+": "+name, "TaskEnd "+name)
		synctest.Test(t, func(t *testing.T) {
			done := make(chan struct{})
			go func() {
				defer close(done)
				defer func() { assert.NotEqual(t, "no text", recover()) }()
				_ = open()
			}()
			<-done
		})
	}
	ctx := context.Background()
	events := recordTrace(t, func() {
		for _, row := range rows {
			run("work", strings.Replace(row.logged, "WHO", `task "s/work"`, 1), func() error {
				s := traigo.New(ctx, traced("s")...)
				s.Spawn(row.end, traigo.Name("work"))
				time.AfterFunc(time.Second, func() { s.Cancel(errOuter) })
				return s.Wait()
			})
			run("s", strings.Replace(row.logged, "WHO", `body of "s"`, 1), func() error {
				return traigo.Run(ctx, func(ctx context.Context, s *traigo.Scope) error {
					time.AfterFunc(time.Second, func() { s.Cancel(errOuter) })
					return row.end(ctx)
				}, traced("s")...)
			})
		}
	})
	assert.Equal(t, want, withoutPaths(events))
}

func withoutPaths(events []string) []string {
	return slices.DeleteFunc(events, func(e string) bool { return strings.Contains(e, ": traigo.scope: ") })
}

// A task is in the trace if it begins while the trace is taken. In no bubble, since the
// trace begins and ends in the middle.
func TestRuntimeTraceMayBeginAndEndAtAnyTime(t *testing.T) {
	s := traigo.New(context.Background(), traced("s")...)
	spawn := func(name string) (end func()) {
		running, release := make(chan struct{}), make(chan struct{})
		task := s.Spawn(func(context.Context) error { close(running); <-release; return errBoom }, traigo.Name(name), traigo.Bubble(false))
		<-running
		return func() {
			close(release)
			assert.ErrorIs(t, task.Wait(context.Background()), errBoom)
		}
	}
	before, during := spawn("before"), func() {}
	assert.Equal(t, []string{
		"TaskBegin during < ", "RegionBegin during: during",
		"TaskBegin short < ", "RegionBegin short: short",
		`Log short: traigo.failed: task "s/short": boom`, "RegionEnd short: short", "TaskEnd short",
	}, withoutPaths(recordTrace(t, func() {
		during = spawn("during")
		spawn("short")()
		before()
	})))
	during()
	require.NoError(t, s.Wait())
}
