package oteltraigo_test

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/traigo/traigo"
	oteltraigo "github.com/traigo/traigo/otel"
)

func TestSpansAreNestedAsScopesAre(t *testing.T) {
	x := newTelemetry()
	synctest.Test(t, func(t *testing.T) {
		ctx, outer := x.tracer.Start(t.Context(), "outer")
		require.NoError(t, x.run(ctx, func(ctx context.Context, s *traigo.Scope) error {
			started := func(name string) func(context.Context) error {
				return func(ctx context.Context) error {
					_, span := x.tracer.Start(ctx, name)
					span.End()
					return nil
				}
			}
			_ = started("in body")(ctx)
			s.Spawn(started("in task"), traigo.Name("task"))

			fork := s.Fork(traigo.Name("fork"))
			fork.Spawn(succeed, traigo.Name("in fork"))
			deeper := fork.Fork()
			deeper.Spawn(succeed, traigo.Name("in fork of fork"))
			assert.NoError(t, deeper.Wait())
			assert.NoError(t, fork.Wait())

			of := traigo.New(ctx, traigo.Name("new"))
			of.Spawn(succeed, traigo.Name("in new"))
			assert.NoError(t, of.Wait())

			bare := traigo.New(s.Context(), traigo.Name("new of the context of the scope"))
			bare.Spawn(succeed, traigo.Name("in new of the context of the scope"))
			assert.NoError(t, bare.Wait())

			spanned, own := x.tracer.Start(ctx, "own")
			defer own.End()
			under := traigo.New(spanned)
			under.Spawn(succeed, traigo.Name("in new under own"))
			assert.NoError(t, under.Wait())

			s.Spawn(func(ctx context.Context) error {
				return traigo.Run(ctx, func(ctx context.Context, s *traigo.Scope) error {
					s.Spawn(succeed, traigo.Name("in nested"))
					traigo.Current(ctx).Spawn(started("in nested of ctx, in task"), traigo.Name("in nested of ctx"))
					return nil
				}, traigo.Name("nested"))
			}, traigo.Name("opener"))

			other, remote := x.tracer.Start(context.Background(), "other")
			remote.End()
			s.Spawn(succeed, traigo.Name("with values"), traigo.Values(other))
			s.Spawn(succeed, traigo.Name("with values without a span"), traigo.Values(context.Background()))
			s.Spawn(func(ctx context.Context) error {
				s.Spawn(succeed, traigo.Name("with values of a task"), traigo.Values(ctx))
				return nil
			}, traigo.Name("spawner"))
			_, err := traigo.Async(s, func(context.Context) (int, error) { return 7, nil }, traigo.Name("async")).Await(ctx)
			return err
		}))
		outer.End()
		x.checkEnded(t)
	})
	assert.Equal(t, map[string]string{
		"outer":                              "",
		"root":                               "outer",
		"in body":                            "root",
		"task":                               "root",
		"in task":                            "task",
		"in fork":                            "root",
		"in fork of fork":                    "root",
		"in new":                             "root",
		"in new of the context of the scope": "root",
		"own":                                "root",
		"in new under own":                   "own",
		"opener":                             "root",
		"nested":                             "opener",
		"in nested":                          "nested",
		"in nested of ctx":                   "nested",
		"in nested of ctx, in task":          "in nested of ctx",
		"other":                              "",
		"with values":                        "other",
		"with values without a span":         "root",
		"spawner":                            "root",
		"with values of a task":              "spawner",
		"async":                              "root",
	}, x.parents())
}

// A join is a Run with its calls as tasks.
func TestJoinsAreSpansOfTheirCalls(t *testing.T) {
	double := func(_ context.Context, n int) (int, error) { return 2 * n, nil }
	const item = "TestJoinsAreSpansOfTheirCalls.func1"
	for name, join := range map[string]func(context.Context) error{
		"Map": func(ctx context.Context) error {
			_, err := traigo.Map(ctx, slices.Values([]int{1, 2, 3}), double, traigo.Limit(1))
			return err
		},
		"AsCompleted": func(ctx context.Context) error {
			var all error
			for _, err := range traigo.AsCompleted(ctx, slices.Values([]int{1, 2, 3}), double) {
				all = errors.Join(all, err)
			}
			return all
		},
	} {
		x, err := run(t, func(ctx context.Context, _ *traigo.Scope) error { return join(ctx) })
		require.NoError(t, err)
		var names []any
		for _, span := range x.spans.Ended() {
			if span.Name() == item {
				names = append(names, attrs(span.Attributes())["traigo.task.name"])
			}
		}
		assert.ElementsMatch(t, []any{item + "[0]", item + "[1]", item + "[2]"}, names)
		assert.Equal(t, map[string]string{"root": "", name: "root", item: name}, x.parents())
	}
}

func TestSpansHaveAttributes(t *testing.T) {
	var id int64
	x, err := run(t, func(_ context.Context, s *traigo.Scope) error {
		id = int64(s.ID())
		s.Spawn(succeed, traigo.Name("conn 17"))
		s.Spawn(succeed, traigo.Name("flags"), traigo.Bubble(false), traigo.Awaited(false))
		s.Spawn(succeed, traigo.Name("master"), traigo.Master(true))
		return nil
	})
	require.NoError(t, err)
	root := x.span(t, "root")
	assert.Equal(t, trace.SpanKindInternal, root.SpanKind)
	assert.Equal(t, codes.Unset, root.Status.Code)
	assert.Equal(t, "github.com/traigo/traigo/otel", root.InstrumentationScope.Name)
	assert.Contains(t, root.InstrumentationScope.SchemaURL, "opentelemetry.io/schemas")
	assert.Equal(t, map[string]any{"traigo.scope.path": "root", "traigo.scope.id": id, "traigo.cancel.kind": "master ended"}, attrs(root.Attributes))
	assert.Equal(t, map[string]any{
		"traigo.scope.path": "root",
		"traigo.task.name":  "conn 17", "traigo.task.id": int64(1),
	}, attrs(x.span(t, "conn").Attributes))
	flags := attrs(x.span(t, "flags").Attributes)
	assert.Equal(t, false, flags["traigo.task.bubble"])
	assert.Equal(t, false, flags["traigo.task.awaited"])
	assert.NotContains(t, flags, "traigo.task.master")
	assert.Equal(t, true, attrs(x.span(t, "master").Attributes)["traigo.task.master"])
}

// A span of a Run has the time of its tasks in it, and ends before Run returns.
func TestSpansOfScopesLastUntilTheyAreClosed(t *testing.T) {
	x, err := run(t, func(_ context.Context, s *traigo.Scope) error {
		s.Spawn(func(ctx context.Context) error { return traigo.Sleep(ctx, time.Second) }, traigo.Name("task"))
		return nil
	})
	require.NoError(t, err)
	root, task := x.span(t, "root"), x.span(t, "task")
	assert.Equal(t, time.Second, task.EndTime.Sub(task.StartTime))
	assert.False(t, task.StartTime.Before(root.StartTime))
	assert.False(t, task.EndTime.After(root.EndTime))
}

// The contexts end as they do without a span: what is derived from them ends with them, for
// the same cause, and costs no goroutine.
func TestSpansLeaveContextsAsTheyAre(t *testing.T) {
	type key struct{}
	other := traigo.Wrap(func(ctx context.Context, next func(context.Context) error) error {
		return next(context.WithValue(ctx, key{}, true)) // with it, whatever is around, a derived context costs a goroutine
	})
	check := func(t *testing.T, ctx context.Context, cancel func()) {
		synctest.Wait()
		goroutines := runtime.NumGoroutine()
		derived, stop := context.WithCancel(ctx)
		defer stop()
		called := make(chan struct{})
		context.AfterFunc(ctx, func() { close(called) })
		if ctx.Value(key{}) == nil {
			assert.LessOrEqual(t, runtime.NumGoroutine(), goroutines)
		}
		cancel()
		<-called
		<-derived.Done()
		assert.ErrorIs(t, context.Cause(derived), errBoom)
	}
	for _, outside := range [][]traigo.ScopeOption{nil, {other}} {
		x := newTelemetry()
		synctest.Test(t, func(t *testing.T) {
			err := traigo.Run(t.Context(), func(ctx context.Context, s *traigo.Scope) error {
				assert.NoError(t, s.Spawn(func(ctx context.Context) error {
					check(t, ctx, func() { traigo.CurrentTask(ctx).Cancel(errBoom) })
					return nil
				}).Wait(ctx))
				check(t, ctx, func() { s.Cancel(errBoom) })
				return nil
			}, slices.Concat(outside, x.Options(quiet()))...)
			assert.ErrorIs(t, err, errBoom)
		})
		assert.Len(t, x.spans.Ended(), 2)
	}
}

// A sampler sees the name and the parent; what it drops is not recorded, and its
// children know.
func TestSpansThatAreNotSampled(t *testing.T) {
	x := newTelemetry()
	sampler := &recordingSampler{}
	i := oteltraigo.New(
		oteltraigo.WithTracerProvider(sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(x.spans), sdktrace.WithSampler(sampler))),
		oteltraigo.WithMeterProvider(x.meters),
	)
	require.NoError(t, traigo.Run(t.Context(), func(ctx context.Context, _ *traigo.Scope) error {
		assert.True(t, trace.SpanContextFromContext(ctx).IsValid())
		assert.False(t, trace.SpanContextFromContext(ctx).IsSampled())
		return nil
	}, i.Options(traigo.Name("root"))...))
	assert.Empty(t, x.spans.Ended())
	assert.Equal(t, "root", sampler.seen.Name)
	assert.Equal(t, map[string]uint64{"ok": 1}, x.counts(t, "traigo.scope.duration", "traigo.outcome"))
}

type recordingSampler struct{ seen sdktrace.SamplingParameters }

func (s *recordingSampler) ShouldSample(p sdktrace.SamplingParameters) sdktrace.SamplingResult {
	s.seen = p
	return sdktrace.SamplingResult{Decision: sdktrace.Drop}
}
func (s *recordingSampler) Description() string { return "drop" }

func TestWithoutSpansThereAreMetrics(t *testing.T) {
	x := newTelemetry(oteltraigo.WithTracerProvider(noop.NewTracerProvider()))
	require.Error(t, x.run(t.Context(), func(_ context.Context, s *traigo.Scope) error {
		s.Spawn(fail)
		return nil
	}))
	assert.Empty(t, x.spans.Started())
	assert.Equal(t, map[string]uint64{"failed": 1}, x.counts(t, "traigo.task.duration", "traigo.outcome"))
}
