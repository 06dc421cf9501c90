package oteltraigo_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/traigo/traigo"
	oteltraigo "github.com/traigo/traigo/otel"
)

func TestEventsOfTasks(t *testing.T) {
	release := make(chan struct{})
	x, err := run(t, func(ctx context.Context, s *traigo.Scope) error {
		_, err := s.Start(ctx, func(ctx context.Context, ready func()) error {
			_ = traigo.Sleep(ctx, time.Second)
			ready()
			ready()
			return nil
		}, traigo.Name("start"))
		assert.NoError(t, err)

		release = make(chan struct{}) // of the bubble
		call := s.Spawn(traigo.Blocking(func() error { <-release; return nil }), traigo.Name("blocking"))
		synctest.Wait()
		call.Cancel(nil)
		assert.Error(t, call.Wait(ctx))

		inBody, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		assert.Error(t, traigo.Blocking(func() error { <-release; return nil })(inBody))
		close(release)
		return nil
	})
	require.NoError(t, err)
	start := x.span(t, "start")
	require.Len(t, start.Events, 1)
	assert.Equal(t, "traigo.ready", start.Events[0].Name)
	assert.Equal(t, time.Second, start.Events[0].Time.Sub(start.StartTime))
	assert.NotNil(t, event(x.span(t, "blocking"), "traigo.abandoned"))
	assert.NotNil(t, event(x.span(t, "root"), "traigo.abandoned"))
}

// The span of a task that is given up ends then, as an error, and only once; its scope
// does not wait for it, and the task that caused this can be found.
func TestTasksThatAreGivenUp(t *testing.T) {
	x := newTelemetry()
	synctest.Test(t, func(t *testing.T) {
		release, returned := make(chan struct{}), make(chan struct{})
		err := x.run(t.Context(), func(_ context.Context, s *traigo.Scope) error {
			s.Spawn(func(context.Context) error {
				defer close(returned)
				<-release
				return errBoom
			}, traigo.Name("stuck"))
			s.Spawn(after(time.Second, errBoom), traigo.Name("culprit"))
			return nil
		}, traigo.CancelTimeout(time.Minute))
		var stuck *traigo.StuckError
		require.ErrorAs(t, err, &stuck)
		x.checkEnded(t)
		assert.Zero(t, x.live(t, "traigo.task.live"))
		close(release)
		<-returned
		synctest.Wait()
	})
	x.checkEnded(t)
	span := x.span(t, "stuck")
	assert.Equal(t, 61*time.Second, span.EndTime.Sub(span.StartTime))
	assert.Equal(t, codes.Error, span.Status.Code)
	assert.Equal(t, "given_up", attrs(span.Attributes)["traigo.outcome"])
	assert.Equal(t, "*traigo.StuckError", attrs(span.Attributes)["error.type"])
	assert.Contains(t, event(span, "exception")["exception.stacktrace"], "TestTasksThatAreGivenUp")
	assertLinked(t, x.span(t, "culprit"), span)
	assert.Equal(t, map[string]uint64{"given_up": 1, "failed": 1}, x.counts(t, "traigo.task.duration", "traigo.outcome"))
}

// A master that was given up has canceled its scope.
func TestMasterThatIsGivenUpIsLinkedTo(t *testing.T) {
	x := newTelemetry()
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		_ = x.run(t.Context(), func(_ context.Context, s *traigo.Scope) error {
			s.Spawn(untilCanceled, traigo.Name("victim"))
			s.Spawn(func(context.Context) error { <-release; return nil },
				traigo.Name("culprit"), traigo.Master(true), traigo.Timeout(time.Second), traigo.Bubble(false))
			return nil
		}, traigo.CancelTimeout(time.Minute))
		close(release)
	})
	x.checkEnded(t)
	assertLinked(t, x.span(t, "culprit"), x.span(t, "victim"))
}

type observerFunc func(traigo.Event)

func (f observerFunc) Observe(e traigo.Event) { f(e) }

// A task may be given up before its function is called, while another Observer takes its time.
// The span that it then has ends at the latest with its scope.
func TestTaskThatIsGivenUpBeforeItBegins(t *testing.T) {
	x := newTelemetry()
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		_ = x.run(t.Context(), func(_ context.Context, s *traigo.Scope) error {
			s.Spawn(func(context.Context) error { <-release; return nil }, traigo.Name("late"))
			s.Spawn(func(context.Context) error { time.Sleep(4 * time.Minute); return nil }, traigo.Name("slow"), traigo.CancelTimeout(time.Hour))
			s.Cancel(nil)
			return nil
		}, traigo.CancelTimeout(time.Minute), traigo.Observe(observerFunc(func(e traigo.Event) {
			if e.Kind == traigo.TaskStarted && e.Task.Name() == "late" {
				time.Sleep(2 * time.Minute)
			}
		})))
		x.checkEnded(t)
		close(release)
		synctest.Wait()
	})
	x.checkEnded(t)
	late := x.span(t, "late")
	assert.Equal(t, "given_up", attrs(late.Attributes)["traigo.outcome"])
	assert.Equal(t, "_OTHER", attrs(late.Attributes)["error.type"])
	assert.Equal(t, 2*time.Minute, late.EndTime.Sub(late.StartTime))
}

// What is refused has no span, and is not counted.
func TestRefusedTasks(t *testing.T) {
	x, err := run(t, func(_ context.Context, s *traigo.Scope) error {
		s.Cancel(nil)
		_, ok := s.TrySpawn(succeed, traigo.Name("refused"))
		assert.False(t, ok)
		assert.ErrorIs(t, s.Spawn(succeed).Err(), traigo.ErrRefused)
		assert.ErrorIs(t, s.Fork().Err(), traigo.ErrRefused)
		return nil
	})
	require.NoError(t, err)
	assert.Len(t, x.spans.Started(), 1)
	assert.NotContains(t, x.collect(t), "traigo.task.duration")
	assert.Zero(t, x.live(t, "traigo.scope.live"))
}

func TestOptionsGivenAgainHaveNoEffect(t *testing.T) {
	x := newTelemetry()
	require.NoError(t, x.run(t.Context(), func(ctx context.Context, s *traigo.Scope) error {
		s.Spawn(func(ctx context.Context) error {
			return traigo.Run(ctx, func(_ context.Context, s *traigo.Scope) error {
				s.Spawn(succeed, traigo.Name("inner"))
				return nil
			}, x.Options(traigo.Name("nested"))...)
		}, traigo.Name("outer"))
		return nil
	}, x.Options()...))
	x.checkEnded(t)
	assert.Equal(t, map[string]string{"root": "", "outer": "root", "nested": "outer", "inner": "nested"}, x.parents())
	assert.Len(t, x.spans.Ended(), 4)
	assert.Equal(t, map[string]uint64{"ok": 2}, x.counts(t, "traigo.task.duration", "traigo.outcome"))
	assert.Equal(t, map[string]uint64{"ok": 2}, x.counts(t, "traigo.scope.duration", "traigo.outcome"))
}

// Wrappers of the user's own see the span.
func TestOtherWrappersAreInside(t *testing.T) {
	x, err := run(t, func(context.Context, *traigo.Scope) error { return nil }, traigo.Wrap(
		func(ctx context.Context, next func(context.Context) error) error {
			assert.True(t, spanIn(ctx).IsValid())
			return next(ctx)
		}))
	require.NoError(t, err)
	assert.Len(t, x.spans.Ended(), 1)
}

// Many tasks fail at once: each span ends once, and each link leads to the task that the
// scope says has canceled it.
func TestManyFailuresAtOnce(t *testing.T) {
	x := newTelemetry()
	for range 50 {
		var scope *traigo.Scope
		_ = x.run(t.Context(), func(_ context.Context, s *traigo.Scope) error {
			scope = s
			start := make(chan struct{})
			for range 8 {
				s.Spawn(func(ctx context.Context) error { <-start; return errBoom }, traigo.Name("fails"))
				s.Spawn(untilCanceled, traigo.Name("waits"))
				s.Fork().Spawn(untilCanceled, traigo.Name("waits"))
			}
			close(start)
			return nil
		})
		byID := map[any]any{}
		for _, span := range x.spans.Ended() {
			a := attrs(span.Attributes())
			if span.Name() == "fails" {
				byID[span.SpanContext().SpanID()] = a["traigo.task.id"]
			}
		}
		for _, span := range x.spans.Ended() {
			if span.Name() == "waits" {
				require.Len(t, span.Links(), 1)
				require.EqualValues(t, scope.CanceledBy().ID(), byID[span.Links()[0].SpanContext.SpanID()])
			}
		}
		x.checkEnded(t)
		x.spans.Reset()
	}
}

// Only what runs takes memory, and what was many does not stay large.
func TestMemoryIsThatOfWhatRuns(t *testing.T) {
	many := 100_000
	if raceEnabled {
		many = 10_000 // it is ten times as slow
	}
	x := newTelemetry()
	server := traigo.New(t.Context(), x.Options(quiet(), traigo.Limit(64), traigo.Name("server"))...)
	batch := func(n int) {
		for j := range n {
			fn := succeed
			if j%2 == 0 {
				fn = fail
			}
			server.Spawn(fn, traigo.Bubble(false), traigo.Name("task"))
			if j%100 == 0 {
				_ = traigo.Run(server.Context(), func(_ context.Context, s *traigo.Scope) error { s.Spawn(fail); return nil })
				_, _ = server.Start(t.Context(), func(context.Context, func()) error { return errBoom })
				x.spans.Reset()
			}
		}
		x.spans.Reset()
	}
	batch(many / 10)
	before := heapAfterGC()
	batch(many)
	after := heapAfterGC()
	assert.Less(t, float64(after)-float64(before), 200e3, "bytes more after %d tasks", many)
	assert.NoError(t, server.Close())
	assert.Zero(t, x.live(t, "traigo.task.live"))
	assert.Zero(t, x.live(t, "traigo.scope.live"))
}

// A scope in which many tasks have been running does not stay large.
func TestMemoryAfterManyTasksAtOnce(t *testing.T) {
	many := 20_000
	if raceEnabled {
		many = 5_000 // it is ten times as slow
	}
	x := newTelemetry(oteltraigo.WithTracerProvider(noop.NewTracerProvider()))
	burst := func(s *traigo.Scope) {
		release := make(chan struct{})
		var begun sync.WaitGroup
		var tasks []*traigo.Task
		for range many {
			begun.Add(1)
			tasks = append(tasks, s.Spawn(func(context.Context) error { begun.Done(); <-release; return nil }))
		}
		begun.Wait()
		close(release)
		for _, task := range tasks {
			assert.NoError(t, task.Wait(t.Context()))
		}
	}
	bare := traigo.New(t.Context())
	burst(bare) // the runtime keeps what it has for goroutines
	server := traigo.New(t.Context(), x.Options()...)
	before := heapAfterGC()
	burst(server)
	after := heapAfterGC()
	assert.Less(t, float64(after)-float64(before), float64(25*many))
	require.NoError(t, server.Close())
	require.NoError(t, bare.Close())
}
