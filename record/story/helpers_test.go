package story_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo/record/history"
	"github.com/traigo/traigo/record/story"
)

// A row is a scope or a task of an outline. Those that follow with a higher level are in it.
type row struct {
	level      int
	kind       byte // s or t
	name       string
	begin, end time.Duration
	more       func(*row)

	state      history.TaskState
	err        string
	cause      *history.Cause
	by         string // name of the task that is the cause
	at         time.Duration
	stuck      time.Duration
	stack      string
	notAwaited bool
}

const never = history.Never

// failed makes the row that of a task that failed, or a scope whose outcome is an error.
func failed(err string) func(*row) {
	return func(r *row) { r.state, r.err = history.TaskFailed, err }
}

func canceled(r *row) { r.state = history.TaskCanceled }

// ends says when and why a scope ended; err is also its outcome.
func ends(at time.Duration, kind, by, err string) func(*row) {
	return func(r *row) { r.at, r.cause, r.by, r.err = at, &history.Cause{Kind: kind, Err: err}, by, err }
}

// given makes the row that of a task that was given up.
func given(at time.Duration, stack string) func(*row) {
	return func(r *row) { r.stuck, r.stack, r.state = at, stack, history.TaskStuck }
}

// outline makes a history of rows. Its log is closed, and ends at end.
func outline(t *testing.T, end time.Duration, rows ...row) *history.History {
	t.Helper()
	p := &history.Process{PID: 71, End: end, Until: end, Closed: true}
	h := &history.History{PID: 71, End: end, Closed: true, Processes: []*history.Process{p}}
	type up struct {
		scope *history.Scope
		task  *history.Task
	}
	var path []up
	tasks := make(map[string]*history.Task)
	causes := make(map[*history.Scope]string)
	for i, r := range rows {
		r.stuck = never
		if r.more != nil {
			r.more(&r)
		}
		path = path[:r.level]
		var above up
		if r.level > 0 {
			above = path[r.level-1]
		}
		if r.kind == 's' {
			s := &history.Scope{
				ID: uint64(i + 1), Name: r.name, Process: p, Parent: above.scope, By: above.task, Deadline: never, State: history.ScopeOpen,
				Opened: r.begin, Finalized: never, Canceled: never, Closed: r.end, Err: r.err, Cause: r.cause,
			}
			if r.cause != nil {
				s.Canceled, s.State = r.at, history.ScopeCanceling
				causes[s] = r.by
			}
			if r.end != never {
				s.State = history.ScopeClosed
			}
			if above.scope != nil {
				above.scope.Scopes = append(above.scope.Scopes, s)
			} else {
				p.Roots = append(p.Roots, s)
			}
			if above.task != nil {
				above.task.Scopes = append(above.task.Scopes, s)
			}
			h.Scopes = append(h.Scopes, s)
			path = append(path, up{s, nil})
			continue
		}
		require.NotNil(t, above.scope, "a task is in a scope")
		state := r.state
		switch {
		case state != "":
		case r.end == never:
			state = history.TaskRunning
		default:
			state = history.TaskOK
		}
		task := &history.Task{
			ID: uint64(i + 1), Name: r.name, Scope: above.scope, Bubble: true, Await: !r.notAwaited, State: state,
			Spawned: r.begin, Started: r.begin, Ready: never, Stuck: r.stuck, Ended: r.end, Err: r.err, Stack: r.stack,
		}
		above.scope.Tasks = append(above.scope.Tasks, task)
		tasks[r.name] = task
		path = append(path, up{above.scope, task})
	}
	for s, by := range causes {
		if by != "" {
			require.Contains(t, tasks, by)
			s.Cause.By = tasks[by]
		}
	}
	return h
}

func scope(level int, name string, begin, end time.Duration, more ...func(*row)) row {
	return row{level: level, kind: 's', name: name, begin: begin, end: end, more: all(more)}
}

func task(level int, name string, begin, end time.Duration, more ...func(*row)) row {
	return row{level: level, kind: 't', name: name, begin: begin, end: end, more: all(more)}
}

func all(fns []func(*row)) func(*row) {
	return func(r *row) {
		for _, fn := range fns {
			fn(r)
		}
	}
}

// textsOf returns the story in text.
func textsOf(h *history.History) (texts []string) {
	for _, line := range story.Of(h) {
		texts = append(texts, line.String())
	}
	return texts
}

// named returns the scope of that name.
func named(t *testing.T, h *history.History, name string) *history.Scope {
	t.Helper()
	for _, s := range h.Scopes {
		if s.Name == name {
			return s
		}
	}
	require.Fail(t, "no scope "+name)
	return nil
}

// stackOf is the stack of a goroutine that waits at main.go:45.
func stackOf(waits string) string {
	return "goroutine 9 [" + waits + "]:\n" + strings.Join([]string{
		"internal/sync.runtime_SemacquireMutex(0x1)", "\t/go/src/runtime/sema.go:95 +0x25", "main.transfer(...)", "\t/home/gopher/main.go:45 +0x2d",
	}, "\n")
}
