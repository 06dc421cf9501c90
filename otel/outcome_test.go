package oteltraigo_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/traigo/traigo"
)

func TestOutcomesOfTasks(t *testing.T) {
	panicHere := func(context.Context) error { panic(errBoom) }
	for _, row := range []struct {
		name   string
		fn     func(context.Context) error
		opts   []traigo.TaskOption
		want   string
		errors string // error.type
		says   string // description of the status
	}{
		{"ok", succeed, nil, "ok", "", ""},
		{"failed", fail, nil, "failed", "*errors.errorString", "boom"},
		{"wrapped", func(context.Context) error {
			return fmt.Errorf("open: %w", &fs.PathError{Op: "open", Path: "x", Err: errBoom})
		}, nil, "failed", "*fs.PathError", "open: open x: boom"},
		{"several", func(context.Context) error {
			return fmt.Errorf("%w, %w", errors.Join(&fs.PathError{Op: "open", Path: "x", Err: errBoom}), errBoom)
		}, nil, "failed", "*fs.PathError", "open x: boom, boom"},
		{"does not bubble", fail, []traigo.TaskOption{traigo.Bubble(false)}, "failed", "*errors.errorString", "boom"},
		{"callback", fail, []traigo.TaskOption{traigo.OnDone(func(error) {})}, "failed", "*errors.errorString", "boom"},
		{"canceled by nobody", func(context.Context) error { return context.Canceled }, []traigo.TaskOption{traigo.Bubble(false)}, "failed", "*errors.errorString", "context canceled"},
		{"timeout", untilCanceled, []traigo.TaskOption{traigo.Timeout(time.Second)}, "timeout", "*traigo.TimeoutError", `"root/timeout" timed out after 1s`},
		{"timeout and more", func(ctx context.Context) error { <-ctx.Done(); return errBoom }, []traigo.TaskOption{traigo.Timeout(time.Second)}, "timeout", "*traigo.TimeoutError", "\"root/timeout and more\" timed out after 1s\nboom"},
		{"timeout, but no error", func(ctx context.Context) error { <-ctx.Done(); return nil }, []traigo.TaskOption{traigo.Timeout(time.Second)}, "ok", "", ""},
		{"panic", panicHere, nil, "panicked", "*traigo.PanicError", "panic: boom"},
		{"goexit", func(context.Context) error { runtime.Goexit(); return nil }, nil, "failed", "*errors.errorString", traigo.ErrGoexit.Error()},
		{"panics itself", func(context.Context) error { return (*rude)(nil) }, nil, "failed", "*oteltraigo_test.rude", "<nil>"},
		{"contains itself", func(context.Context) error { err := &loop{}; err.error = err; return err }, nil, "failed", "*oteltraigo_test.loop", "loop"},
		{"remote", func(context.Context) error {
			return traigo.AsRemote(&fs.PathError{Op: "open", Path: "x", Err: errBoom}, "there")
		}, nil, "failed", "*fs.PathError", "open x: boom"},
		{"of a scope below", func(ctx context.Context) error {
			return traigo.Run(ctx, func(context.Context, *traigo.Scope) error { return &fs.PathError{Op: "open", Path: "x", Err: errBoom} }, traigo.Name("below"))
		}, nil, "failed", "*fs.PathError", `scope "root/below": open x: boom`},
	} {
		t.Run(row.name, func(t *testing.T) {
			x, _ := run(t, func(_ context.Context, s *traigo.Scope) error {
				s.Spawn(row.fn, append(row.opts, traigo.Name(row.name))...)
				return nil
			}, traigo.PanicAsError())
			span := x.span(t, row.name)
			attributes := attrs(span.Attributes)
			assert.Equal(t, inSpan(row.want), attributes["traigo.outcome"])
			assert.Equal(t, map[string]uint64{row.want: 1}, x.counts(t, "traigo.task.duration", "traigo.outcome"))
			exception := event(span, "exception")
			if row.errors == "" {
				assert.Equal(t, codes.Unset, span.Status.Code)
				assert.NotContains(t, attributes, "error.type")
				assert.Nil(t, exception)
				return
			}
			assert.Equal(t, codes.Error, span.Status.Code)
			assert.Equal(t, row.says, span.Status.Description)
			assert.Equal(t, row.errors, attributes["error.type"])
			assert.Equal(t, row.errors, exception["exception.type"])
			assert.Equal(t, row.says, exception["exception.message"])
			assert.Equal(t, map[string]uint64{row.errors: 1}, x.counts(t, "traigo.task.duration", "error.type"))
			if row.want == "panicked" {
				assert.Contains(t, exception["exception.stacktrace"], "TestOutcomesOfTasks")
			}
		})
	}
}

// inSpan is what a span has for an outcome.
func inSpan(outcome string) any {
	if outcome == "ok" {
		return nil
	}
	return outcome
}

// An error whose methods panic.
type rude struct{ text string }

func (e *rude) Error() string { return e.text }

// An error that contains itself.
type loop struct{ error }

func (e *loop) Error() string { return "loop" }
func (e *loop) Unwrap() error { return e.error }

func TestOutcomesOfScopes(t *testing.T) {
	nothing := func(context.Context, *traigo.Scope) error { return nil }
	spawn := func(fn func(context.Context) error, opts ...traigo.TaskOption) func(context.Context, *traigo.Scope) error {
		return func(_ context.Context, s *traigo.Scope) error {
			s.Spawn(fn, opts...)
			return nil
		}
	}
	for _, row := range []struct {
		name       string
		body       func(context.Context, *traigo.Scope) error
		opts       []traigo.ScopeOption
		want, kind string
		says       string
	}{
		{"ok", nothing, nil, "ok", "", ""},
		{"body failed", func(context.Context, *traigo.Scope) error { return errBoom }, nil, "failed", "body failed", `scope "root": boom`},
		{"task failed", spawn(fail, traigo.Name("t")), nil, "failed", "task failed", `scope "root": task "t": boom`},
		{"requested", func(_ context.Context, s *traigo.Scope) error { s.Cancel(errBoom); return nil }, nil, "failed", "requested", `scope "root": boom`},
		{"quiet", func(_ context.Context, s *traigo.Scope) error { s.Cancel(nil); return nil }, nil, "ok", "requested", ""},
		{"quiet, but the body failed", func(_ context.Context, s *traigo.Scope) error { s.Cancel(nil); return errBoom }, nil, "failed", "requested", `scope "root": boom`},
		{"master", spawn(succeed, traigo.Master(true)), nil, "ok", "master ended", ""},
		{"timeout", spawn(untilCanceled), []traigo.ScopeOption{traigo.Timeout(time.Second)}, "timeout", "timeout", `scope "root": timed out after 1s`},
		{"panic", spawn(func(context.Context) error { panic(errBoom) }, traigo.Name("t")), nil, "panicked", "panicked", ""},
		{"panic of the body", func(context.Context, *traigo.Scope) error { panic(errBoom) }, nil, "panicked", "panicked", ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			x := newTelemetry()
			synctest.Test(t, func(t *testing.T) {
				defer func() { assert.Equal(t, row.want == "panicked", recover() != nil) }()
				_ = x.run(t.Context(), row.body, row.opts...)
			})
			x.checkEnded(t)
			span := x.span(t, "root")
			attributes := attrs(span.Attributes)
			assert.Equal(t, inSpan(row.want), attributes["traigo.outcome"])
			assert.Equal(t, map[string]uint64{row.want: 1}, x.counts(t, "traigo.scope.duration", "traigo.outcome"))
			assert.Equal(t, map[string]uint64{row.kind: 1}, x.counts(t, "traigo.scope.duration", "traigo.cancel.kind"))
			if row.kind == "" {
				assert.NotContains(t, attributes, "traigo.cancel.kind")
				assert.Empty(t, span.Events)
			} else {
				assert.Equal(t, row.kind, attributes["traigo.cancel.kind"])
				assert.Equal(t, row.kind, event(span, "traigo.canceled")["traigo.cancel.kind"])
			}
			if row.want == "ok" {
				assert.Equal(t, codes.Unset, span.Status.Code)
				return
			}
			assert.Equal(t, codes.Error, span.Status.Code)
			assert.Contains(t, span.Status.Description, row.says)
			if row.want == "panicked" {
				assert.Contains(t, event(span, "exception")["exception.stacktrace"], "TestOutcomesOfScopes")
			}
		})
	}
}

func TestGoexitOfTheBodyEndsItsSpan(t *testing.T) {
	x := newTelemetry()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = x.run(context.Background(), func(_ context.Context, s *traigo.Scope) error {
			s.Spawn(untilCanceled, traigo.Name("task"))
			runtime.Goexit()
			return nil
		})
	}()
	<-ended
	x.checkEnded(t)
	assert.Equal(t, codes.Error, x.span(t, "root").Status.Code)
	assert.Equal(t, "canceled", attrs(x.span(t, "task").Attributes)["traigo.outcome"])
	assert.Zero(t, x.live(t, "traigo.scope.live"))
}

// A task that was canceled has not failed; its span says when and why.
func TestCanceledTasksHaveNotFailed(t *testing.T) {
	for _, row := range []struct {
		name   string
		body   func(context.Context, *traigo.Scope) error
		kind   string
		reason string
		task   any
		linked bool
	}{
		{"sibling failed", func(_ context.Context, s *traigo.Scope) error {
			s.Spawn(after(time.Second, errBoom), traigo.Name("culprit"))
			return nil
		}, "task failed", `scope "root" canceled: task failed: task "root/culprit": boom`, "root/culprit", true},
		{"sibling panicked", func(_ context.Context, s *traigo.Scope) error {
			s.Spawn(func(ctx context.Context) error { _ = traigo.Sleep(ctx, time.Second); panic("no") }, traigo.Name("culprit"), traigo.Bubble(true))
			return nil
		}, "task failed", `scope "root" canceled: task failed: task "root/culprit": task "root/culprit" panicked: no`, "root/culprit", true},
		{"master ended", func(_ context.Context, s *traigo.Scope) error {
			s.Spawn(after(time.Second, nil), traigo.Name("culprit"), traigo.Master(true))
			return nil
		}, "master ended", `scope "root" canceled: master ended: task "root/culprit"`, "root/culprit", true},
		{"quietly", func(ctx context.Context, s *traigo.Scope) error {
			_ = traigo.Sleep(ctx, time.Second)
			s.Cancel(nil)
			return nil
		}, "requested", `scope "root" canceled: requested`, nil, false},
		{"complete", func(ctx context.Context, s *traigo.Scope) error {
			return traigo.Sleep(ctx, time.Second)
		}, "completed", `scope "root" canceled: completed`, nil, false},
		{"timeout of the scope", func(ctx context.Context, s *traigo.Scope) error {
			s.SetTimeout(time.Second)
			s.Spawn(succeed)
			return untilCanceled(ctx)
		}, "timeout", `scope "root" canceled: timeout: "root" timed out after 1s`, nil, false},
		{"alone", func(ctx context.Context, s *traigo.Scope) error {
			_ = traigo.Sleep(ctx, time.Second)
			for _, snapshot := range s.Snapshot().Tasks {
				assert.Equal(t, "victim", snapshot.Name)
			}
			victims(ctx).Cancel(errBoom)
			return nil
		}, "requested", `task "root/victim" canceled: requested: boom`, "root/victim", false},
	} {
		t.Run(row.name, func(t *testing.T) {
			x, _ := run(t, func(ctx context.Context, s *traigo.Scope) error {
				victim := s.Spawn(untilCanceled, traigo.Name("victim"), traigo.Awaited(false))
				return row.body(context.WithValue(ctx, victimKey{}, victim), s)
			}, traigo.PanicAsError())
			span := x.span(t, "victim")
			assert.Equal(t, codes.Unset, span.Status.Code)
			assert.Equal(t, "canceled", attrs(span.Attributes)["traigo.outcome"])
			assert.Nil(t, event(span, "exception"))
			canceled := event(span, "traigo.canceled")
			assert.Equal(t, row.kind, canceled["traigo.cancel.kind"])
			assert.Equal(t, row.reason, canceled["traigo.cancel.reason"])
			assert.Equal(t, "root", canceled["traigo.cancel.scope"])
			assert.Equal(t, row.task, canceled["traigo.cancel.task"])
			assert.Equal(t, time.Second, span.Events[0].Time.Sub(span.StartTime))
			if !row.linked {
				assert.Empty(t, span.Links)
				return
			}
			culprit := x.span(t, "culprit")
			assertLinked(t, culprit, span)
			assertLinked(t, culprit, x.span(t, "root"))
			assert.Empty(t, culprit.Links)
		})
	}
}

type victimKey struct{}

func victims(ctx context.Context) *traigo.Task { return ctx.Value(victimKey{}).(*traigo.Task) }

// after returns a function that returns err after d.
func after(d time.Duration, err error) func(context.Context) error {
	return func(ctx context.Context) error {
		_ = traigo.Sleep(ctx, d)
		return err
	}
}

func assertLinked(t *testing.T, to, from tracetest.SpanStub) {
	t.Helper()
	require.Len(t, from.Links, 1, "links of %q", from.Name)
	assert.Equal(t, to.SpanContext.SpanID(), from.Links[0].SpanContext.SpanID())
	assert.Equal(t, to.SpanContext.TraceID(), from.Links[0].SpanContext.TraceID())
	assert.Equal(t, map[string]any{"traigo.cancel.task": "root/" + to.Name}, attrs(from.Links[0].Attributes))
}

func TestPanicsAreLinkedTo(t *testing.T) {
	x := newTelemetry()
	synctest.Test(t, func(t *testing.T) {
		assert.Panics(t, func() {
			_ = x.run(t.Context(), func(_ context.Context, s *traigo.Scope) error {
				s.Spawn(untilCanceled, traigo.Name("victim"))
				s.Spawn(func(ctx context.Context) error { _ = traigo.Sleep(ctx, time.Second); panic("no") }, traigo.Name("culprit"), traigo.Bubble(false))
				return nil
			})
		})
	})
	x.checkEnded(t)
	assertLinked(t, x.span(t, "culprit"), x.span(t, "victim"))
	assert.Equal(t, "panicked", event(x.span(t, "victim"), "traigo.canceled")["traigo.cancel.kind"])
}

// A failure cancels what is in the scopes below: the spans there have a link to the one that
// began it, however deep they are.
func TestLinksLeadToTheBeginningFromScopesBelow(t *testing.T) {
	x, err := run(t, func(_ context.Context, s *traigo.Scope) error {
		fork := s.Fork(traigo.Name("fork"))
		fork.Spawn(func(ctx context.Context) error {
			return traigo.Run(ctx, func(ctx context.Context, s *traigo.Scope) error {
				s.Spawn(untilCanceled, traigo.Name("in nested"))
				derived, stop := context.WithCancel(ctx)
				defer stop()
				return traigo.Run(derived, func(ctx context.Context, _ *traigo.Scope) error { return untilCanceled(ctx) }, traigo.Name("deepest"))
			}, traigo.Name("nested"))
		}, traigo.Name("in fork"))
		s.Spawn(after(time.Second, errBoom), traigo.Name("culprit"))
		return nil
	})
	require.ErrorIs(t, err, errBoom)
	culprit := x.span(t, "culprit")
	assert.Equal(t, codes.Error, culprit.Status.Code)
	for _, name := range []string{"in fork", "nested", "in nested", "deepest"} {
		span := x.span(t, name)
		assert.Equal(t, codes.Unset, span.Status.Code, name)
		assert.Equal(t, "canceled", attrs(span.Attributes)["traigo.outcome"], name)
		assert.Equal(t, "root", event(span, "traigo.canceled")["traigo.cancel.scope"], name)
		assertLinked(t, culprit, span)
	}
	assert.Equal(t, "parent canceled", attrs(x.span(t, "deepest").Attributes)["traigo.cancel.kind"])
	assert.Equal(t, codes.Error, x.span(t, "root").Status.Code)
}

func TestCancellationFromOutside(t *testing.T) {
	x := newTelemetry()
	ctx, cancel := context.WithCancelCause(t.Context())
	err := x.run(ctx, func(_ context.Context, s *traigo.Scope) error {
		s.Spawn(func(ctx context.Context) error { cancel(errBoom); return untilCanceled(ctx) }, traigo.Name("task"))
		return nil
	})
	require.ErrorIs(t, err, errBoom)
	for _, name := range []string{"task", "root"} {
		span := x.span(t, name)
		assert.Equal(t, codes.Unset, span.Status.Code)
		assert.Equal(t, "canceled", attrs(span.Attributes)["traigo.outcome"])
		assert.Equal(t, "parent canceled", event(span, "traigo.canceled")["traigo.cancel.kind"])
		assert.Contains(t, event(span, "traigo.canceled")["traigo.cancel.reason"], "boom")
		assert.Empty(t, span.Links)
	}
}

// An error that says more than the cancellation is a failure, as for the scope.
func TestFailureAfterACancellation(t *testing.T) {
	x, _ := run(t, func(_ context.Context, s *traigo.Scope) error {
		s.Spawn(after(time.Second, errBoom), traigo.Name("culprit"))
		s.Spawn(func(ctx context.Context) error { <-ctx.Done(); return errors.New("disk full") }, traigo.Name("second"))
		s.Spawn(func(ctx context.Context) error { <-ctx.Done(); return nil }, traigo.Name("finished"))
		return nil
	})
	second := x.span(t, "second")
	assert.Equal(t, codes.Error, second.Status.Code)
	assert.Equal(t, "disk full", second.Status.Description)
	assertLinked(t, x.span(t, "culprit"), second)
	assert.NotContains(t, attrs(x.span(t, "finished").Attributes), "traigo.outcome")
	assertLinked(t, x.span(t, "culprit"), x.span(t, "finished"))
}

// A CanceledIf function decides what is a failure, and the span says the same.
func TestStatusKnowsCanceledIf(t *testing.T) {
	killed := errors.New("signal: killed")
	x, _ := run(t, func(_ context.Context, s *traigo.Scope) error {
		s.Spawn(func(ctx context.Context) error { <-ctx.Done(); return killed }, traigo.Name("victim"))
		s.Cancel(nil)
		return nil
	}, traigo.CanceledIf(func(err error) bool { return errors.Is(err, killed) }))
	assert.Equal(t, "canceled", attrs(x.span(t, "victim").Attributes)["traigo.outcome"])
	assert.Equal(t, codes.Unset, x.span(t, "victim").Status.Code)
}
