package oteltraigo_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/sdk/metric/metricdata/metricdatatest"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/traigo/traigo"
	oteltraigo "github.com/traigo/traigo/otel"
)

func TestMetricsOfWhatIsLive(t *testing.T) {
	x := newTelemetry()
	oldest := func() []metricdata.DataPoint[float64] {
		gauge, _ := x.collect(t)["traigo.task.oldest"].Data.(metricdata.Gauge[float64])
		return gauge.DataPoints
	}
	synctest.Test(t, func(t *testing.T) {
		assert.Zero(t, x.live(t, "traigo.task.live"))
		assert.Empty(t, oldest())
		require.NoError(t, x.run(t.Context(), func(ctx context.Context, s *traigo.Scope) error {
			old := s.Spawn(untilCanceled)
			_ = traigo.Sleep(ctx, time.Minute)
			fork := s.Fork()
			fork.Spawn(untilCanceled)
			_ = traigo.Sleep(ctx, time.Second)
			assert.EqualValues(t, 2, x.live(t, "traigo.task.live"))
			assert.EqualValues(t, 2, x.live(t, "traigo.scope.live"))
			require.Len(t, oldest(), 1)
			assert.InDelta(t, 61, oldest()[0].Value, 1e-9)

			old.Cancel(nil)
			synctest.Wait()
			assert.InDelta(t, 1, oldest()[0].Value, 1e-9)
			return fork.Close()
		}))
		assert.Zero(t, x.live(t, "traigo.task.live"))
		assert.Zero(t, x.live(t, "traigo.scope.live"))
		assert.Empty(t, oldest())
	})
}

func TestMetricsFollowTheConventions(t *testing.T) {
	x, _ := run(t, func(_ context.Context, s *traigo.Scope) error {
		s.Spawn(after(3*time.Second, errBoom))
		return nil
	})
	metrics := x.collect(t)
	units := map[string]string{}
	for name, m := range metrics {
		units[name] = m.Unit
		assert.NotEmpty(t, m.Description, name)
	}
	assert.Equal(t, map[string]string{
		"traigo.task.duration": "s", "traigo.scope.duration": "s", "traigo.task.live": "{task}", "traigo.scope.live": "{scope}",
	}, units) // oldest has no value
	duration := metrics["traigo.task.duration"].Data.(metricdata.Histogram[float64])
	assert.Equal(t, metricdata.CumulativeTemporality, duration.Temporality)
	require.Len(t, duration.DataPoints, 1)
	point := duration.DataPoints[0]
	assert.InDelta(t, 3, point.Sum, 1e-9)
	metricdatatest.AssertHasAttributes(t, metrics["traigo.task.duration"], attribute.String("traigo.outcome", "failed"), attribute.String("error.type", "*errors.errorString"))
	assert.Equal(t, 2, point.Attributes.Len())

	// The measurement leads to the span of the task.
	require.Len(t, point.Exemplars, 1)
	for _, span := range x.spans.Ended() {
		id := span.SpanContext().SpanID()
		if span.Parent().IsValid() {
			assert.Equal(t, id[:], point.Exemplars[0].SpanID)
		}
	}
	assert.False(t, metrics["traigo.task.live"].Data.(metricdata.Sum[int64]).IsMonotonic)
}

func TestMetricsByName(t *testing.T) {
	x := newTelemetry(oteltraigo.WithNames())
	require.NoError(t, x.run(t.Context(), func(_ context.Context, s *traigo.Scope) error {
		s.Spawn(succeed, traigo.Name("conn 1"))
		s.Spawn(succeed, traigo.Name("conn 2"))
		s.Spawn(succeed, traigo.Name("accept"))
		return s.Fork(traigo.Name("fork-9")).Wait()
	}))
	assert.Equal(t, map[string]uint64{"conn": 2, "accept": 1}, x.counts(t, "traigo.task.duration", "traigo.name"))
	assert.Equal(t, map[string]uint64{"root": 1, "fork": 1}, x.counts(t, "traigo.scope.duration", "traigo.name"))
}

// What is live is counted when the metrics are collected: 100,000 tasks, quickly enough.
func BenchmarkCollect(b *testing.B) {
	x := newTelemetry(oteltraigo.WithTracerProvider(noop.NewTracerProvider()))
	s := traigo.New(b.Context(), x.Options()...)
	for range 100_000 {
		s.Spawn(untilCanceled)
	}
	var all metricdata.ResourceMetrics
	for b.Loop() {
		_ = x.reader.Collect(b.Context(), &all)
	}
	_ = s.Close()
}
