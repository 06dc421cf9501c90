package traigo_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	rtrace "runtime/trace"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo"
)

// A traceEvent is what go tool trace reads back of a task, a region or a log.
type traceEvent struct {
	Kind     string // "TaskBegin", "TaskEnd", "RegionBegin", "RegionEnd" or "Log"
	Task     string // the name of the trace task that it is, or belongs to; "" for none
	Parent   string // of a task: the name of the one above
	Name     string // of a region; the category of a Log
	Message  string
	routine  string
	id       string
	parentID string
}

// inTrace is one line for each, in the order in which they happened.
func (e traceEvent) String() string {
	switch e.Kind {
	case "TaskBegin":
		return e.Kind + " " + e.Task + " < " + e.Parent
	case "TaskEnd":
		return e.Kind + " " + e.Task
	case "Log":
		return e.Kind + " " + e.Task + ": " + e.Name + ": " + e.Message
	default:
		return e.Kind + " " + e.Task + ": " + e.Name
	}
}

var traceField = regexp.MustCompile(`(\w+)=("(?:[^"\\]|\\.)*"|\S+)`)

// recordTrace runs f while an execution trace is recorded, and has go tool trace read
// it: the parser of package runtime/trace is not for others, and this one refuses
// a trace in which regions do not nest.
func recordTrace(t *testing.T, f func()) []traceEvent {
	t.Helper()
	var trace bytes.Buffer
	if err := rtrace.Start(&trace); err != nil {
		t.Skip("somebody else is tracing: ", err)
	}
	func() {
		defer rtrace.Stop()
		f()
	}()
	return readTrace(t, trace.Bytes())
}

func readTrace(t *testing.T, trace []byte) (events []traceEvent) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "trace.out")
	require.NoError(t, os.WriteFile(file, trace, 0o600))
	var stderr bytes.Buffer
	cmd := exec.Command("go", "tool", "trace", "-d=parsed", file)
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	require.NoError(t, err, "%s", stderr.Bytes())
	names := map[string]string{}
	for line := range strings.Lines(string(out)) {
		fields := map[string]string{}
		for _, m := range traceField.FindAllStringSubmatch(line, -1) {
			value, err := strconv.Unquote(m[2])
			if err != nil {
				value = m[2]
			}
			fields[m[1]] = value
		}
		for _, kind := range []string{"TaskBegin", "TaskEnd", "RegionBegin", "RegionEnd", "Log"} {
			if !strings.HasPrefix(line, "M=") || !strings.Contains(line, " "+kind+" Time=") {
				continue
			}
			e := traceEvent{Kind: kind, routine: fields["G"], Message: fields["Message"], Name: fields["Type"], id: fields["Task"], parentID: fields["Parent"]}
			switch kind {
			case "TaskBegin", "TaskEnd":
				e.id, e.Name = fields["ID"], ""
				names[e.id] = fields["Type"]
			case "Log":
				e.Name = fields["Category"]
			}
			e.Task, e.Parent = names[e.id], names[e.parentID]
			events = append(events, e)
		}
	}
	return events
}

func told(events []traceEvent) (all []string) {
	for _, e := range events {
		all = append(all, e.String())
	}
	return all
}

func TestTraceShowsScopesAsTasksAndTasksAsRegions(t *testing.T) {
	events := recordTrace(t, func() {
		synctest.Test(t, func(t *testing.T) {
			ctx, own := rtrace.NewTask(t.Context(), "request")
			defer own.End()
			require.NoError(t, traigo.Run(ctx, func(ctx context.Context, s *traigo.Scope) error {
				rtrace.Log(ctx, "user", "in the body")
				turn := s.Spawn(func(ctx context.Context) error {
					rtrace.Log(ctx, "user", "in the task")
					rtrace.WithRegion(ctx, "query", func() {})
					_, below := rtrace.NewTask(ctx, "user's own")
					below.End()
					return nil
				}, traigo.Name("work"))
				assert.NoError(t, turn.Wait(ctx))
				fork := s.Fork(traigo.Name("conn"))
				assert.NoError(t, fork.Spawn(succeed, traigo.Name("read"), traigo.Dedicated()).Wait(ctx))
				assert.NoError(t, fork.Wait())
				turn = s.Spawn(func(ctx context.Context) error {
					return traigo.Run(ctx, func(context.Context, *traigo.Scope) error { return nil }, traigo.Name("nested"))
				}, traigo.Name("outer"))
				return turn.Wait(ctx)
			}, traigo.Name("server"), traigo.RuntimeTrace()))
		})
	})
	assert.Equal(t, []string{
		"TaskBegin request < ",
		"TaskBegin server < request",
		"Log server: user: in the body",
		"RegionBegin server: work",
		"Log server: user: in the task",
		"RegionBegin server: query",
		"RegionEnd server: query",
		"TaskBegin user's own < server",
		"TaskEnd user's own",
		"RegionEnd server: work",
		"TaskBegin conn < server",
		"RegionBegin conn: read",
		"RegionEnd conn: read",
		"TaskEnd conn",
		"RegionBegin server: outer",
		"TaskBegin nested < server",
		"TaskEnd nested",
		"RegionEnd server: outer",
		"TaskEnd server",
		"TaskEnd request",
	}, told(events))
}

// Whatever becomes of a task or a body: its region, and the task of its scope, end.
func TestTraceTellsFailuresAndWhyAScopeWasCanceled(t *testing.T) {
	const head = "TaskBegin s < "
	region := func(more ...string) []string {
		return append(append([]string{head, "RegionBegin s: work", "RegionEnd s: work"}, more...), "TaskEnd s")
	}
	work := func(f func(context.Context) error, opts ...traigo.TaskOption) func(context.Context, *traigo.Scope) error {
		return func(ctx context.Context, s *traigo.Scope) error {
			_ = s.Spawn(f, append(opts, traigo.Name("work"))...).Wait(context.WithoutCancel(ctx))
			return nil
		}
	}
	rows := []struct {
		name     string
		body     func(context.Context, *traigo.Scope) error
		opts     []traigo.ScopeOption
		want     []string
		anyOrder bool // the task may be faster than whoever tells of its cancellation
	}{
		{"a task fails", work(fail), nil, region(
			`Log s: traigo.failed: task "s/work": boom`,
			`Log s: traigo.canceled: scope "s" canceled: task failed: task "s/work": boom`), false},
		{"that does not bubble", work(fail, traigo.Bubble(false)), nil, region(
			`Log s: traigo.failed: task "s/work": boom`), false},
		{"a task panics", work(func(context.Context) error { panic("ouch") }), nil, region(
			`Log s: traigo.failed: task "s/work": *`,
			`Log s: traigo.canceled: scope "s" canceled: panicked: task "s/work": *`), false},
		{"a task calls Goexit", work(func(context.Context) error { runtime.Goexit(); return nil }), nil, region(
			`Log s: traigo.failed: task "s/work": `+traigo.ErrGoexit.Error(),
			`Log s: traigo.canceled: scope "s" canceled: task failed: task "s/work": `+traigo.ErrGoexit.Error()), false},
		{"a master ends", work(succeed, traigo.Master(true)), nil, region(
			`Log s: traigo.canceled: scope "s" canceled: master ended: task "s/work"`), false},
		{"a task runs out of time", work(untilCanceled, traigo.Timeout(time.Second), traigo.Bubble(false)), nil, []string{
			head, "RegionBegin s: work",
			`Log s: traigo.canceled: timeout: task "s/work": "s/work" timed out after 1s`,
			"RegionEnd s: work",
			`Log s: traigo.failed: task "s/work": "s/work" timed out after 1s`, "TaskEnd s",
		}, true},
		{"the scope runs out of time", work(untilCanceled), []traigo.ScopeOption{traigo.Timeout(time.Second)}, []string{
			head, "RegionBegin s: work",
			`Log s: traigo.canceled: scope "s" canceled: timeout: "s" timed out after 1s`,
			"RegionEnd s: work", "TaskEnd s",
		}, false},
		{"the body fails", func(context.Context, *traigo.Scope) error { return errBoom }, nil, []string{
			head, `Log s: traigo.failed: body of "s": boom`, `Log s: traigo.canceled: scope "s" canceled: body failed: boom`, "TaskEnd s",
		}, false},
		{"the body fails later", func(_ context.Context, s *traigo.Scope) error { s.Cancel(nil); return errBoom }, nil, []string{
			head, `Log s: traigo.canceled: scope "s" canceled: requested`, `Log s: traigo.failed: body of "s": boom`, "TaskEnd s",
		}, false},
		{"the body panics", func(context.Context, *traigo.Scope) error { panic("ouch") }, nil, []string{
			head, `Log s: traigo.failed: body of "s": *`, `Log s: traigo.canceled: scope "s" canceled: panicked: *`, "TaskEnd s",
		}, false},
		{"the body calls Goexit", func(context.Context, *traigo.Scope) error { runtime.Goexit(); return nil }, nil, []string{
			head, `Log s: traigo.failed: body of "s": ` + traigo.ErrGoexit.Error(),
			`Log s: traigo.canceled: scope "s" canceled: body failed: ` + traigo.ErrGoexit.Error(), "TaskEnd s",
		}, false},
		{"somebody cancels", func(_ context.Context, s *traigo.Scope) error { s.Cancel(errOuter); return nil }, nil, []string{
			head, `Log s: traigo.canceled: scope "s" canceled: requested: outer`, "TaskEnd s",
		}, false},
		{"a fork comes too late", func(_ context.Context, s *traigo.Scope) error {
			s.Cancel(nil)
			_ = s.Fork(traigo.Name("late")).Wait()
			return nil
		}, nil, []string{
			head, `Log s: traigo.canceled: scope "s" canceled: requested`, "TaskBegin late < s", "TaskEnd late", "TaskEnd s",
		}, false},
		{"the body's error cannot say what it is", func(context.Context, *traigo.Scope) error { return mute{} }, nil, []string{
			head, "TaskEnd s",
		}, false},
		{"an error cannot say what it is", work(func(context.Context) error { return mute{} }, traigo.Bubble(false)), nil, region(), false},
	}
	name := func(i int) string { return "s" + strconv.Itoa(i) }
	events := recordTrace(t, func() {
		for i, row := range rows {
			synctest.Test(t, func(*testing.T) {
				done := make(chan struct{})
				go func() {
					defer close(done)
					defer func() { assert.NotEqual(t, "no text for you", recover(), row.name) }()
					_ = traigo.Run(context.Background(), row.body, append(row.opts, traigo.Name(name(i)), traigo.RuntimeTrace(), discard())...)
				}()
				<-done
			})
		}
	})
	got, at := make([][]string, len(rows)), -1
	for _, line := range told(events) {
		if strings.HasPrefix(line, "TaskBegin "+name(at+1)+" <") {
			at++
		}
		require.GreaterOrEqual(t, at, 0)
		got[at] = append(got[at], strings.ReplaceAll(line, name(at), "s"))
	}
	for i, row := range rows {
		for _, line := range row.want { // a panic brings its stack
			before, _, cut := strings.Cut(line, "*")
			like := func(s string) bool { return strings.HasPrefix(s, before) && strings.Contains(s, "ouch") }
			if k := slices.IndexFunc(got[i], like); cut && k >= 0 {
				got[i][k] = line
			}
		}
		if row.anyOrder {
			assert.ElementsMatch(t, row.want, got[i], row.name)
		} else {
			assert.Equal(t, row.want, got[i], row.name)
		}
	}
}

// Nobody hears of the end of a scope in which nothing runs, but for the trace.
func TestTraceTellsWhyAnEmptyScopeWasCanceled(t *testing.T) {
	events := recordTrace(t, func() {
		s := traigo.New(context.Background(), traigo.Name("s"), traigo.RuntimeTrace())
		s.Cancel(errOuter)
		assert.ErrorIs(t, s.Close(), errOuter)
		assert.NoError(t, traigo.New(context.Background(), traigo.Name("quiet"), traigo.RuntimeTrace()).Wait())
	})
	assert.Equal(t, []string{
		"TaskBegin s < ", `Log s: traigo.canceled: scope "s" canceled: requested: outer`, "TaskEnd s",
		"TaskBegin quiet < ", "TaskEnd quiet",
	}, told(events))
}

// mute is an error whose text nobody gets.
type mute struct{}

func (mute) Error() string { panic("no text for you") }

// A region ends on the goroutine on which it began, and regions nest there.
func TestTraceRegionsOfManyTasksNest(t *testing.T) {
	const n = 200
	events := recordTrace(t, func() {
		synctest.Test(t, func(t *testing.T) {
			s := traigo.New(t.Context(), traigo.Name("s"), traigo.RuntimeTrace(), discard())
			for i := range n {
				s.Spawn(func(ctx context.Context) error {
					defer rtrace.StartRegion(ctx, "inner").End()
					switch i % 5 {
					case 0:
						return errBoom
					case 1:
						runtime.Goexit()
					case 2:
						time.Sleep(time.Millisecond)
					}
					return nil
				}, traigo.Name("work"), traigo.Bubble(false))
			}
			require.NoError(t, s.Wait())
		})
	})
	open := map[string][]string{}
	count := map[string]int{}
	for _, e := range events {
		count[e.Kind+" "+e.Name]++
		switch e.Kind {
		case "RegionBegin":
			open[e.routine] = append(open[e.routine], e.Name)
		case "RegionEnd":
			at := open[e.routine]
			require.NotEmpty(t, at)
			require.Equal(t, at[len(at)-1], e.Name)
			open[e.routine] = at[:len(at)-1]
		}
	}
	for routine, names := range open {
		assert.Empty(t, names, routine)
	}
	assert.Equal(t, map[string]int{
		"TaskBegin ": 1, "TaskEnd ": 1, "Log traigo.failed": 2 * n / 5,
		"RegionBegin work": n, "RegionEnd work": n, "RegionBegin inner": n, "RegionEnd inner": n,
	}, count)
}

// A scope may be older than the trace, and younger; tracing may stop in the middle.
func TestTraceMayBeginAndEndAtAnyTime(t *testing.T) {
	// In no bubble: the tracer's own goroutine would be in it, and on the clock.
	ctx := context.Background()
	old := traigo.New(ctx, traigo.Name("old"), traigo.RuntimeTrace(), discard())
	var middle *traigo.Scope
	running, release := make(chan struct{}), make(chan struct{})
	events := recordTrace(t, func() {
		assert.NoError(t, old.Spawn(func(ctx context.Context) error {
			return traigo.Run(ctx, func(context.Context, *traigo.Scope) error { return nil }, traigo.Name("young"))
		}, traigo.Name("work")).Wait(ctx))
		middle = old.Fork(traigo.Name("middle"))
		middle.Spawn(func(context.Context) error { close(running); <-release; return errBoom }, traigo.Name("long"))
		<-running
	})
	assert.Equal(t, []string{
		"RegionBegin : work",
		"TaskBegin young < ",
		"TaskEnd young",
		"RegionEnd : work",
		"TaskBegin middle < ",
		"RegionBegin middle: long",
	}, told(events))
	events = recordTrace(t, func() {
		close(release)
		assert.ErrorIs(t, middle.Wait(), errBoom)
		old.Cancel(errOuter)
		assert.ErrorIs(t, old.Wait(), errOuter)
	})
	kinds := map[string]int{}
	for _, e := range events {
		kinds[e.Kind]++
	}
	assert.Equal(t, map[string]int{"RegionEnd": 1, "Log": 3, "TaskEnd": 1}, kinds)
}

func TestTraceIsOffUnlessAskedFor(t *testing.T) {
	events := recordTrace(t, func() {
		synctest.Test(t, func(t *testing.T) {
			s := traigo.New(t.Context(), traigo.Name("off"), discard())
			s.Fork(traigo.Name("on"), traigo.RuntimeTrace()).Spawn(succeed, traigo.Name("seen")).Scope().Finalize()
			s.Fork(traigo.Name("beside")).Spawn(succeed, traigo.Name("unseen")).Scope().Finalize()
			s.Spawn(fail)
			assert.ErrorIs(t, s.Wait(), errBoom)
		})
	})
	for _, e := range events {
		if e.Kind != "Log" {
			assert.Equal(t, "on", e.Task, e)
		}
	}
	assert.NotEmpty(t, events)
}

// The tracer cuts what is too long; names that are no text come through as they are.
func TestTraceTakesAnyName(t *testing.T) {
	odd, long := "a\xff\x00\n\"z", strings.Repeat("long", 2500)
	events := recordTrace(t, func() {
		synctest.Test(t, func(t *testing.T) {
			for _, name := range []string{odd, long} {
				_ = traigo.Run(t.Context(), func(_ context.Context, s *traigo.Scope) error {
					s.Spawn(func(context.Context) error { return errors.New(name) }, traigo.Name(name))
					return nil
				}, traigo.Name(name), traigo.RuntimeTrace(), discard())
			}
		})
	})
	require.NotEmpty(t, events)
	assert.Equal(t, odd, events[0].Task)
	assert.Equal(t, "RegionBegin "+odd+": "+odd, events[1].String())
	seen := false
	for _, e := range events {
		seen = seen || len(e.Task) >= 1000 && strings.HasPrefix(long, e.Task)
	}
	assert.True(t, seen)
}

// A task given up is a failure; its region is open as long as it runs.
func TestTraceTellsOfAStuckTask(t *testing.T) {
	events := recordTrace(t, func() {
		synctest.Test(t, func(t *testing.T) {
			release := make(chan struct{})
			s := traigo.New(t.Context(), traigo.Name("s"), traigo.RuntimeTrace(), traigo.CancelTimeout(time.Second), discard())
			task := s.Spawn(deaf(release), traigo.Name("deaf"))
			synctest.Wait()
			s.Cancel(nil)
			assert.NotNil(t, itself[*traigo.StuckError](t, outcome(t, s.Wait()).Err))
			close(release)
			<-task.Done()
			synctest.Wait()
		})
	})
	lines := told(events)
	require.Len(t, lines, 6)
	assert.Regexp(t, `^Log s: traigo.failed: task "s/deaf": 1 task did not end`, lines[3])
	assert.Equal(t, []string{"TaskEnd s", "RegionEnd s: deaf"}, lines[4:])
}

// A context that cannot be asked is no reason not to run: not for the scope, and not
// for its tasks.
func TestTraceOfAContextThatPanicsIsLeftOut(t *testing.T) {
	events := recordTrace(t, func() {
		synctest.Test(t, func(t *testing.T) {
			ran := false
			bad := untraceable{t.Context()}
			require.NoError(t, traigo.Run(bad, func(ctx context.Context, s *traigo.Scope) error {
				return s.Spawn(func(context.Context) error { ran = true; return nil }, traigo.Name("work")).Wait(ctx)
			}, traigo.RuntimeTrace(), discard()))
			assert.True(t, ran)
		})
	})
	assert.Equal(t, []string{"RegionBegin : work", "RegionEnd : work"}, told(events))
}

type untraceable struct {
	context.Context //nolint:containedctx // it is one
}

func (u untraceable) Value(key any) any {
	if strings.HasPrefix(fmt.Sprintf("%T", key), "trace.") {
		panic("no trace for you")
	}
	return u.Context.Value(key)
}
