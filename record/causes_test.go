package record_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/record"
	"github.com/traigo/traigo/record/history"
)

// below returns the place so many lines below the call, "causes_test.go:45".
func below(lines int) string {
	_, _, line, _ := runtime.Caller(1)
	return fmt.Sprintf("causes_test.go:%d", line+lines)
}

// pausing returns a function that takes that long, unless it is canceled.
func pausing(d time.Duration) func(context.Context) (int, error) {
	return func(ctx context.Context) (int, error) { return 0, traigo.Sleep(ctx, d) }
}

// pauseSeconds is a function for items.
func pauseSeconds(ctx context.Context, n int) (int, error) {
	return pausing(time.Duration(n) * time.Second)(ctx)
}

// waitBody is a body that ends with its scope.
func waitBody(ctx context.Context, _ *traigo.Scope) error { return untilCanceled(ctx) }

// A told is what a log says of the end of a scope, or of a task alone.
type told struct{ kind, by, at, err string }

func toldOf(c *history.Cause) told {
	if c == nil {
		return told{}
	}
	got := told{kind: c.Kind, at: c.At, err: c.Err}
	if c.By != nil {
		got.by = c.By.Name
		if i := strings.LastIndexByte(got.by, '['); i >= 0 {
			got.by = got.by[i:] // the name of a function literal depends on what is inlined
		}
	}
	return got
}

// The log says who or what has ended a scope, and where. Each program ends one scope below the
// root.
func TestLogSaysWhatEndedAScope(t *testing.T) {
	errNo := errors.New("no")
	refuse := func(context.Context) (int, error) { return 0, errNo }
	named := func(s *traigo.Scope) *traigo.Scope {
		f := s.Fork(traigo.Name("f"), traigo.PanicAsError())
		f.Spawn(untilCanceled, traigo.Name("waits"))
		return f
	}
	for name, program := range map[string]func(ctx context.Context, s *traigo.Scope) told{
		"the winner of a race": func(ctx context.Context, _ *traigo.Scope) told {
			_, _ = traigo.Race(ctx, pausing(time.Hour), pausing(time.Second))
			return told{kind: "master ended", by: "[1]"}
		},
		"the first failure of All": func(ctx context.Context, _ *traigo.Scope) told {
			_, _ = traigo.All(ctx, pausing(time.Hour), refuse)
			return told{kind: "task failed", by: "[1]", err: "no"}
		},
		"an item of Map": func(ctx context.Context, _ *traigo.Scope) told {
			_, _ = traigo.Map(ctx, slices.Values([]int{1, 2}), func(ctx context.Context, n int) (int, error) {
				if n == 2 {
					return 0, errNo
				}
				return pauseSeconds(ctx, n)
			})
			return told{kind: "task failed", by: "[1]", err: "no"}
		},
		"a loop that is left": func(ctx context.Context, _ *traigo.Scope) told {
			at := below(1)
			for _, err := range traigo.AsCompleted(ctx, slices.Values([]int{1, 2}), pauseSeconds) {
				assert.NoError(t, err)
				break
			}
			return told{kind: "requested", at: at}
		},
		"an ordered loop that is left": func(ctx context.Context, _ *traigo.Scope) told {
			at := below(1)
			for _, err := range traigo.Ordered(ctx, slices.Values([]int{1, 2}), pauseSeconds) {
				assert.NoError(t, err)
				break
			}
			return told{kind: "requested", at: at}
		},
		"a call of Cancel": func(_ context.Context, s *traigo.Scope) told {
			f := named(s)
			f.Cancel(errNo)
			return told{kind: "requested", at: below(-1), err: "no"}
		},
		"a call of Close": func(_ context.Context, s *traigo.Scope) told {
			_ = named(s).Close()
			return told{kind: "requested", at: below(-1)}
		},
		"the end of a Shutdown": func(ctx context.Context, s *traigo.Scope) told {
			ctx, cancel := context.WithTimeout(ctx, time.Second)
			defer cancel()
			_ = named(s).Shutdown(ctx)
			return told{kind: "requested", at: below(-1), err: "context deadline exceeded"}
		},
		"a task that fails": func(_ context.Context, s *traigo.Scope) told {
			named(s).Spawn(fail, traigo.Name("fails"))
			return told{kind: "task failed", by: "fails", err: "no"}
		},
		"a task that panics": func(_ context.Context, s *traigo.Scope) told {
			named(s).Spawn(func(context.Context) error { panic("no") }, traigo.Name("panics"))
			return told{kind: "task failed", by: "panics", err: "no"}
		},
		"a task that runs out of time": func(_ context.Context, s *traigo.Scope) told {
			named(s).Spawn(untilCanceled, traigo.Name("slow"), traigo.Timeout(time.Second))
			return told{kind: "task failed", by: "slow", err: `"root/f/slow" timed out after 1s`}
		},
		"a master": func(_ context.Context, s *traigo.Scope) told {
			named(s).Spawn(nop, traigo.Name("master"), traigo.Master(true))
			return told{kind: "master ended", by: "master"}
		},
		"the timer of an option": func(ctx context.Context, _ *traigo.Scope) told {
			_ = traigo.Run(ctx, waitBody, traigo.Timeout(time.Second), traigo.Name("f"))
			return told{kind: "timeout", err: `"root/f" timed out after 1s`}
		},
		"a timer that was set": func(_ context.Context, s *traigo.Scope) told {
			named(s).SetTimeout(time.Second)
			return told{kind: "timeout", err: `"root/f" timed out after 1s`}
		},
		"a foreign context": func(ctx context.Context, _ *traigo.Scope) told {
			ctx, cancel := context.WithTimeoutCause(ctx, time.Second, errNo)
			defer cancel()
			_ = traigo.Run(ctx, waitBody)
			return told{kind: "parent canceled", err: "no"}
		},
		"a body that fails": func(ctx context.Context, _ *traigo.Scope) told {
			at := below(1)
			_ = traigo.Run(ctx, func(context.Context, *traigo.Scope) error { return errNo })
			return told{kind: "body failed", at: at, err: "no"}
		},
		"a body that panics": func(ctx context.Context, _ *traigo.Scope) (want told) {
			defer func() { _ = recover() }()
			want = told{kind: "panicked", at: below(1), err: "no"}
			_ = traigo.Run(ctx, func(context.Context, *traigo.Scope) error { panic("no") })
			return want
		},
		"its task canceled alone": func(ctx context.Context, s *traigo.Scope) told {
			task := s.Spawn(func(ctx context.Context) error { return traigo.Run(ctx, waitBody) }, traigo.Name("task"))
			synctest.Wait()
			task.Cancel(errNo)
			return told{kind: "parent canceled", err: `task "root/task" canceled: requested: no`}
		},
		"nothing left": func(_ context.Context, s *traigo.Scope) told {
			s.Fork().Finalize()
			return told{kind: "completed"}
		},
	} {
		t.Run(name, func(t *testing.T) {
			silent(t)
			for _, mode := range modes {
				synctest.Test(t, func(t *testing.T) {
					var out memory
					rec := record.New(&out, mode...)
					var want told
					_ = traigo.Run(t.Context(), func(ctx context.Context, s *traigo.Scope) error {
						want = program(ctx, s)
						return nil
					}, traigo.Name("root"), traigo.Observe(rec))
					require.NoError(t, rec.Close())
					h := read(t, out.log())
					require.Len(t, h.Scopes, 2)
					assert.Equal(t, want, toldOf(h.Scopes[1].Cause))
				})
			}
		})
	}
}

// Of a task that was canceled alone, the log says why and where.
func TestLogSaysWhatEndedATaskAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out memory
		rec := record.New(&out)
		s := traigo.New(t.Context(), traigo.Name("s"), traigo.Observe(rec))
		canceled := s.Spawn(func(ctx context.Context) error {
			return traigo.Run(ctx, func(_ context.Context, s *traigo.Scope) error {
				s.Spawn(untilCanceled, traigo.Name("below it"))
				return nil
			})
		}, traigo.Name("canceled"))
		quiet := s.Spawn(untilCanceled, traigo.Name("quiet"))
		s.Spawn(untilCanceled, traigo.Name("timed out"), traigo.Timeout(time.Second), traigo.Bubble(false))
		s.Spawn(fail, traigo.Name("failed"), traigo.Bubble(false))
		s.Spawn(untilCanceled, traigo.Name("with the scope"))
		synctest.Wait()
		want := map[string]told{
			"canceled":  {kind: "requested", at: below(5), err: "enough"},
			"quiet":     {kind: "requested", at: below(5)},
			"timed out": {kind: "timeout", err: `"s/timed out" timed out after 1s`},
			"failed":    {}, "with the scope": {}, "below it": {},
		}
		canceled.Cancel(errors.New("enough"))
		quiet.Cancel(nil)
		time.Sleep(2 * time.Second)
		require.NoError(t, s.Close())
		require.NoError(t, rec.Close())
		h := read(t, out.log())
		got := map[string]told{}
		for _, s := range h.Scopes {
			for _, task := range s.Tasks {
				got[task.Name] = toldOf(task.Cause)
			}
		}
		assert.Equal(t, want, got)
	})
}
