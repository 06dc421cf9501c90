package temporal_test

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/record"
	"github.com/traigo/traigo/temporal"
)

func TestSnapshotShowsTheAttempt(t *testing.T) {
	t.Parallel()
	queue := queueOf(t)
	w := startWorker(t, queue)
	require.NoError(t, owning(t, queue, func(_ context.Context, s *traigo.Scope, r *temporal.Remote) error {
		task := until.Spawn(r, "seen", traigo.Name("task"))
		w.await(t, "began seen")
		seen := func() bool {
			below := find(s.Snapshot(), queue)
			return len(below) == 1 && len(below[0].Tasks) == 1 && below[0].Tasks[0].State == "running"
		}
		eventually(t, seen, "the attempt is not shown")
		below := find(s.Snapshot(), queue)[0]
		require.Equal(t, task.ID(), below.Task, "it is below the task")
		attempt := below.Tasks[0]
		require.True(t, strings.HasPrefix(attempt.Name, "attempt 1 on "), attempt.Name)
		require.True(t, strings.HasSuffix(attempt.Name, fmt.Sprintf("/%d", w.pid())), attempt.Name)
		require.Equal(t, "running", attempt.State)
		task.Cancel(nil)
		return nil
	}))
}

// A shownTask is a task of a recording.
type shownTask struct {
	name, state string
	ended       time.Duration
}

// recorded records a scope, and returns the tasks of the scope named after the queue, below the task.
func recorded(t *testing.T, queue, task string, body remoteBody) (tasks []shownTask) {
	t.Helper()
	var log bytes.Buffer
	rec := record.New(&log)
	_ = owning(t, queue, body, traigo.Observe(rec), traigo.PanicAsError())
	require.NoError(t, rec.Close())
	h, err := record.Read(&log)
	require.NoError(t, err)
	for _, s := range h.Scopes {
		if s.Name == queue && s.By != nil && s.By.Name == task {
			for _, shown := range s.Tasks {
				tasks = append(tasks, shownTask{shown.Name, string(shown.State), shown.Ended})
			}
			return tasks
		}
	}
	require.Fail(t, "there is no scope named after the queue")
	return nil
}

func TestRecordingShowsShortAttempts(t *testing.T) {
	t.Parallel()
	queue := queueOf(t)
	short := temporal.Func("short", func(ctx context.Context, how string) (int, error) {
		switch how {
		case "fails":
			return 0, errCall
		case "panics":
			panic("short")
		}
		return 1, nil
	})
	workHere(t, queue, short)
	for how, state := range map[string]string{"returns": "ok", "fails": "failed", "panics": "panicked"} {
		tasks := recorded(t, queue, "short", func(_ context.Context, _ *traigo.Scope, r *temporal.Remote) error {
			_ = ended(t, short.Spawn(r, how))
			return nil
		})
		require.Len(t, tasks, 1, how)
		require.Equal(t, "attempt 1 on here", tasks[0].name, how)
		require.Equal(t, state, tasks[0].state, how)
	}
}

// An attempt that has failed is one that has been, however short it was.
func TestRecordingShowsAllAttempts(t *testing.T) {
	t.Parallel()
	queue := queueOf(t)
	short := temporal.Func("short", func(ctx context.Context, n int) (int, error) {
		if temporal.Current(ctx).Number < n {
			return 0, errCall
		}
		return 1, nil
	}, temporal.Retry(2))
	workHere(t, queue, short)
	tasks := recorded(t, queue, "short", func(_ context.Context, _ *traigo.Scope, r *temporal.Remote) error {
		require.NoError(t, ended(t, short.Spawn(r, 3)))
		return nil
	})
	var names []string
	for _, task := range tasks {
		names = append(names, task.name)
	}
	require.Equal(t, []string{"attempt 1 on here", "attempt 2 on here", "attempt 3 on here"}, names)
	require.Equal(t, "failed", tasks[0].state)
	require.Equal(t, "failed", tasks[1].state)
	require.Equal(t, "ok", tasks[2].state)
}

func TestRecordingShowsLostAttempts(t *testing.T) {
	t.Parallel()
	queue := queueOf(t)
	w := startWorker(t, queue)
	tasks := recorded(t, queue, "until", func(_ context.Context, s *traigo.Scope, r *temporal.Remote) error {
		task := until.Spawn(r, "moves")
		w.await(t, "began moves")
		shows := func(prefix string) {
			eventually(t, func() bool {
				below := find(s.Snapshot(), queue)
				if len(below) != 1 {
					return false
				}
				for _, task := range below[0].Tasks {
					if strings.HasPrefix(task.Name, prefix) {
						return true
					}
				}
				return false
			}, "it does not show %s", prefix)
		}
		shows("attempt 1 on ")
		w.signal(15)
		<-w.exited
		startWorker(t, queue)
		shows("attempt 2 on ")
		task.Cancel(nil)
		return nil
	})
	require.Len(t, tasks, 2)
	require.True(t, strings.HasSuffix(tasks[0].name, fmt.Sprintf("/%d", w.pid())), tasks[0].name)
	require.Equal(t, "failed", tasks[0].state)
	require.Equal(t, "canceled", tasks[1].state)
	require.LessOrEqual(t, tasks[0].ended, tasks[1].ended)
}
