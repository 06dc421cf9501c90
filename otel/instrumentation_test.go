package oteltraigo_test

import (
	"context"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/traigo/traigo"
	oteltraigo "github.com/traigo/traigo/otel"
)

func spanIn(ctx context.Context) trace.SpanContext { return trace.SpanContextFromContext(ctx) }

func TestNamesOfSpansHaveNoNumberAtTheEnd(t *testing.T) {
	x := newTelemetry()
	for name, want := range map[string]string{
		"conn 17": "conn", "conn#17": "conn", "conn-17": "conn", "conn[17]": "conn", "conn #17": "conn",
		"http2": "http2", "main.func1": "main.func1", "17": "17", "#17": "#17", "[17]": "[17]", " 17": " 17", "a[b]": "a[b]", "a[]": "a[]", "a]": "a]",
		"GET /orders/{id}": "GET /orders/{id}", "127.0.0.1:80": "127.0.0.1:80",
	} {
		x.spans.Reset()
		require.NoError(t, traigo.Run(t.Context(), func(context.Context, *traigo.Scope) error { return nil }, x.Options(traigo.Name(name))...))
		assert.Equal(t, want, x.spans.Ended()[0].Name())
	}
}

func TestWithSpanName(t *testing.T) {
	x := newTelemetry(oteltraigo.WithSpanName(func(s *traigo.Scope, task *traigo.Task) string {
		if task == nil {
			return "scope of " + s.Path()
		}
		return "task of " + s.Path()
	}))
	require.NoError(t, x.run(t.Context(), func(_ context.Context, s *traigo.Scope) error {
		s.Spawn(succeed)
		return nil
	}))
	assert.Equal(t, map[string]string{"scope of root": "", "task of root": "scope of root"}, x.parents())
}

// What has no span leaves that of the context outside in place, but is measured.
func TestWithFilter(t *testing.T) {
	x := newTelemetry(oteltraigo.WithFilter(func(s *traigo.Scope, task *traigo.Task) bool {
		if task != nil {
			return task.Name() != "unseen"
		}
		return s.Name() != "server"
	}))
	ended := func(name string) func(context.Context) error {
		return func(ctx context.Context) error {
			_, span := x.tracer.Start(ctx, name)
			span.End()
			return nil
		}
	}
	require.NoError(t, traigo.Run(t.Context(), func(_ context.Context, s *traigo.Scope) error {
		s.Spawn(ended("in conn"), traigo.Name("conn"))
		s.Spawn(ended("in unseen of server"), traigo.Name("unseen"))
		s.Spawn(func(ctx context.Context) error {
			return traigo.Run(ctx, func(_ context.Context, s *traigo.Scope) error {
				s.Spawn(ended("in unseen"), traigo.Name("unseen"))
				return nil
			}, traigo.Name("session"))
		}, traigo.Name("other conn"))
		return nil
	}, x.Options(traigo.Name("server"))...))
	x.checkEnded(t)
	assert.Equal(t, map[string]string{
		"conn": "", "in conn": "conn", "in unseen of server": "",
		"other conn": "", "session": "other conn", "in unseen": "session",
	}, x.parents())
	assert.Equal(t, map[string]uint64{"ok": 4}, x.counts(t, "traigo.task.duration", "traigo.outcome"))
	assert.Equal(t, map[string]uint64{"ok": 2}, x.counts(t, "traigo.scope.duration", "traigo.outcome"))
}

// Without options the providers are the global ones, also if they are set later.
func TestGlobalProviders(t *testing.T) {
	i := oteltraigo.New()
	run := func() {
		require.NoError(t, traigo.Run(t.Context(), func(context.Context, *traigo.Scope) error { return nil }, i.Options(traigo.Name("root"))...))
	}
	run()
	spans := globalSpans()
	spans.Reset()
	run()
	require.Len(t, spans.Ended(), 1)
	assert.Equal(t, "root", spans.Ended()[0].Name())
}

// globalSpans sets the global TracerProvider, to which what was made before leads only once in
// a process.
var globalSpans = sync.OnceValue(func() *tracetest.SpanRecorder {
	spans := tracetest.NewSpanRecorder()
	otel.SetTracerProvider(sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans)))
	return spans
})

func TestWrongArgumentsPanic(t *testing.T) {
	for call, f := range map[string]func(){
		"WithTracerProvider: nil TracerProvider": func() { oteltraigo.WithTracerProvider(nil) },
		"WithMeterProvider: nil MeterProvider":   func() { oteltraigo.WithMeterProvider(nil) },
		"WithSpanName: nil function":             func() { oteltraigo.WithSpanName(nil) },
		"WithFilter: nil function":               func() { oteltraigo.WithFilter(nil) },
		"New: nil option":                        func() { oteltraigo.New(nil) },
	} {
		func() {
			defer func() { assert.Contains(t, recover(), "traigo: otel: "+call) }()
			f()
		}()
	}
}
