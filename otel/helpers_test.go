package oteltraigo_test

import (
	"context"
	"errors"
	"log/slog"
	"runtime"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/traigo/traigo"
	oteltraigo "github.com/traigo/traigo/otel"
)

var errBoom = errors.New("boom")

func succeed(context.Context) error { return nil }

func fail(context.Context) error { return errBoom }

func untilCanceled(ctx context.Context) error {
	<-ctx.Done()
	return context.Cause(ctx)
}

// quiet drops the records of scopes that fail on purpose.
func quiet() traigo.ScopeOption { return traigo.Logger(slog.New(slog.DiscardHandler)) }

// A telemetry is an Instrumentation with the SDK behind it.
type telemetry struct {
	*oteltraigo.Instrumentation

	spans  *tracetest.SpanRecorder
	tracer trace.Tracer // of the program
	reader *sdkmetric.ManualReader
	meters *sdkmetric.MeterProvider
}

func newTelemetry(opts ...oteltraigo.Option) *telemetry {
	x := &telemetry{spans: tracetest.NewSpanRecorder(), reader: sdkmetric.NewManualReader()}
	tracers := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(x.spans))
	x.meters = sdkmetric.NewMeterProvider(sdkmetric.WithReader(x.reader))
	x.tracer = tracers.Tracer("program")
	x.Instrumentation = oteltraigo.New(append([]oteltraigo.Option{
		oteltraigo.WithTracerProvider(tracers), oteltraigo.WithMeterProvider(x.meters),
	}, opts...)...)
	return x
}

// run runs body in a bubble, in an instrumented scope "root", and returns its outcome.
// Every span that was started has ended once.
func run(t *testing.T, body func(ctx context.Context, s *traigo.Scope) error, opts ...traigo.ScopeOption) (*telemetry, error) {
	t.Helper()
	x := newTelemetry()
	var err error
	synctest.Test(t, func(t *testing.T) {
		err = x.run(t.Context(), body, opts...)
		x.checkEnded(t)
	})
	return x, err
}

func (x *telemetry) run(ctx context.Context, body func(ctx context.Context, s *traigo.Scope) error, opts ...traigo.ScopeOption) error {
	return traigo.Run(ctx, body, x.Options(append(opts, traigo.Name("root"), quiet())...)...)
}

func (x *telemetry) checkEnded(t *testing.T) {
	t.Helper()
	ended := map[trace.SpanID]int{}
	for _, span := range x.spans.Ended() {
		ended[span.SpanContext().SpanID()]++
	}
	for _, span := range x.spans.Started() {
		assert.Equal(t, 1, ended[span.SpanContext().SpanID()], "ends of %q", span.Name())
	}
}

// span returns the span with this name, of which there must be one.
func (x *telemetry) span(t *testing.T, name string) tracetest.SpanStub {
	t.Helper()
	var found []tracetest.SpanStub
	for _, span := range tracetest.SpanStubsFromReadOnlySpans(x.spans.Ended()) {
		if span.Name == name {
			found = append(found, span)
		}
	}
	require.Len(t, found, 1, "spans named %q", name)
	return found[0]
}

// parents returns the name of the parent of each span: "" for a root.
func (x *telemetry) parents() map[string]string {
	names, parents := map[trace.SpanID]string{}, map[string]string{}
	for _, span := range x.spans.Ended() {
		names[span.SpanContext().SpanID()] = span.Name()
	}
	for _, span := range x.spans.Ended() {
		parents[span.Name()] = names[span.Parent().SpanID()]
	}
	return parents
}

// attrs returns attributes as a map.
func attrs(list []attribute.KeyValue) map[string]any {
	values := map[string]any{}
	for _, kv := range list {
		values[string(kv.Key)] = kv.Value.AsInterface()
	}
	return values
}

// event returns the attributes of the event of this name, nil if there is none.
func event(span tracetest.SpanStub, name string) map[string]any {
	for _, e := range span.Events {
		if e.Name == name {
			return attrs(e.Attributes)
		}
	}
	return nil
}

func (x *telemetry) collect(t *testing.T) map[string]metricdata.Metrics {
	t.Helper()
	var all metricdata.ResourceMetrics
	require.NoError(t, x.reader.Collect(context.Background(), &all))
	metrics := map[string]metricdata.Metrics{}
	for _, scope := range all.ScopeMetrics {
		for _, m := range scope.Metrics {
			metrics[m.Name] = m
		}
	}
	return metrics
}

// live returns the value of one of the two counters of what is live.
func (x *telemetry) live(t *testing.T, name string) int64 {
	t.Helper()
	sum, ok := x.collect(t)[name].Data.(metricdata.Sum[int64])
	require.True(t, ok, name)
	require.Len(t, sum.DataPoints, 1)
	return sum.DataPoints[0].Value
}

// counts returns how many durations a histogram has, by the values of the key.
func (x *telemetry) counts(t *testing.T, name, key string) map[string]uint64 {
	t.Helper()
	histogram, ok := x.collect(t)[name].Data.(metricdata.Histogram[float64])
	require.True(t, ok, name)
	counts := map[string]uint64{}
	for _, point := range histogram.DataPoints {
		value, _ := point.Attributes.Value(attribute.Key(key))
		counts[value.AsString()] += point.Count
	}
	return counts
}

func heapAfterGC() uint64 {
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return stats.HeapAlloc
}
