package oteltraigo_test

import (
	"context"
	"net"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetricgrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	collectormetrics "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	collectortrace "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	metrics "go.opentelemetry.io/proto/otlp/metrics/v1"
	trace "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"

	"github.com/traigo/traigo"
	oteltraigo "github.com/traigo/traigo/otel"
)

// A receiver is an OTLP receiver, as a collector has one.
type receiver struct {
	address string

	mu      sync.Mutex
	spans   map[string]*trace.Span
	metrics map[string]*metrics.Metric
}

func newReceiver(t *testing.T) *receiver {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	r := &receiver{address: l.Addr().String(), spans: map[string]*trace.Span{}, metrics: map[string]*metrics.Metric{}}
	server := grpc.NewServer()
	collectortrace.RegisterTraceServiceServer(server, traceService{receiver: r})
	collectormetrics.RegisterMetricsServiceServer(server, metricsService{receiver: r})
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	t.Cleanup(func() {
		server.Stop()
		assert.NoError(t, <-served)
	})
	return r
}

type traceService struct {
	collectortrace.UnimplementedTraceServiceServer
	*receiver
}

func (r traceService) Export(_ context.Context, request *collectortrace.ExportTraceServiceRequest) (*collectortrace.ExportTraceServiceResponse, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, resource := range request.GetResourceSpans() {
		for _, scope := range resource.GetScopeSpans() {
			for _, span := range scope.GetSpans() {
				r.spans[span.GetName()] = span
			}
		}
	}
	return &collectortrace.ExportTraceServiceResponse{}, nil
}

type metricsService struct {
	collectormetrics.UnimplementedMetricsServiceServer
	*receiver
}

func (r metricsService) Export(_ context.Context, request *collectormetrics.ExportMetricsServiceRequest) (*collectormetrics.ExportMetricsServiceResponse, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, resource := range request.GetResourceMetrics() {
		for _, scope := range resource.GetScopeMetrics() {
			for _, metric := range scope.GetMetrics() {
				r.metrics[metric.GetName()] = metric
			}
		}
	}
	return &collectormetrics.ExportMetricsServiceResponse{}, nil
}

// value returns the value of a sum that has one point.
func (r *receiver) value(name string) int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	points := r.metrics[name].GetSum().GetDataPoints()
	if len(points) != 1 {
		return -1
	}
	return points[0].GetAsInt()
}

func values(list []*common.KeyValue) map[string]any {
	values := map[string]any{}
	for _, kv := range list {
		switch value := kv.GetValue().GetValue().(type) {
		case *common.AnyValue_StringValue:
			values[kv.GetKey()] = value.StringValue
		case *common.AnyValue_IntValue:
			values[kv.GetKey()] = value.IntValue
		case *common.AnyValue_BoolValue:
			values[kv.GetKey()] = value.BoolValue
		}
	}
	return values
}

// What arrives at a collector, over OTLP.
func TestOverOTLP(t *testing.T) {
	r, ctx := newReceiver(t), t.Context()
	spans, err := otlptracegrpc.New(ctx, otlptracegrpc.WithEndpoint(r.address), otlptracegrpc.WithInsecure())
	require.NoError(t, err)
	tracers := sdktrace.NewTracerProvider(sdktrace.WithBatcher(spans))
	exporter, err := otlpmetricgrpc.New(ctx, otlpmetricgrpc.WithEndpoint(r.address), otlpmetricgrpc.WithInsecure())
	require.NoError(t, err)
	meters := sdkmetric.NewMeterProvider(sdkmetric.WithReader(sdkmetric.NewPeriodicReader(exporter)))

	i := oteltraigo.New(oteltraigo.WithTracerProvider(tracers), oteltraigo.WithMeterProvider(meters))
	err = traigo.Run(ctx, func(ctx context.Context, s *traigo.Scope) error {
		s.Spawn(untilCanceled, traigo.Name("victim"))
		isOpen := make(chan struct{})
		s.Spawn(func(ctx context.Context) error {
			return traigo.Run(ctx, func(ctx context.Context, _ *traigo.Scope) error {
				close(isOpen)
				return untilCanceled(ctx)
			}, traigo.Name("nested"))
		}, traigo.Name("opener"))
		<-isOpen
		_, err := s.Start(ctx, func(_ context.Context, ready func()) error { ready(); return nil }, traigo.Name("started"))
		assert.NoError(t, err)

		assert.NoError(t, meters.ForceFlush(ctx))
		assert.Positive(t, r.value("traigo.task.live"))
		assert.Equal(t, int64(2), r.value("traigo.scope.live"))
		s.Spawn(fail, traigo.Name("culprit"))
		return nil
	}, i.Options(traigo.Name("root"), quiet())...)
	require.ErrorIs(t, err, errBoom)
	require.NoError(t, tracers.Shutdown(ctx))
	require.NoError(t, meters.Shutdown(ctx))

	r.mu.Lock()
	defer r.mu.Unlock()
	root, culprit, victim, opener, nested := r.spans["root"], r.spans["culprit"], r.spans["victim"], r.spans["opener"], r.spans["nested"]
	require.NotNil(t, root)
	assert.Empty(t, root.GetParentSpanId())
	assert.Equal(t, root.GetSpanId(), culprit.GetParentSpanId())
	assert.Equal(t, root.GetSpanId(), victim.GetParentSpanId())
	assert.Equal(t, opener.GetSpanId(), nested.GetParentSpanId())
	assert.Equal(t, root.GetTraceId(), nested.GetTraceId())

	assert.Equal(t, trace.Status_STATUS_CODE_ERROR, root.GetStatus().GetCode())
	assert.Equal(t, `scope "root": task "culprit": boom`, root.GetStatus().GetMessage())
	assert.Equal(t, trace.Status_STATUS_CODE_ERROR, culprit.GetStatus().GetCode())
	require.Len(t, culprit.GetEvents(), 1)
	assert.Equal(t, "exception", culprit.GetEvents()[0].GetName())
	assert.Equal(t, map[string]any{"exception.type": "*errors.errorString", "exception.message": "boom"}, values(culprit.GetEvents()[0].GetAttributes()))
	for _, span := range []*trace.Span{victim, opener, nested} {
		assert.Equal(t, trace.Status_STATUS_CODE_UNSET, span.GetStatus().GetCode())
		assert.Equal(t, "canceled", values(span.GetAttributes())["traigo.outcome"])
		require.Len(t, span.GetLinks(), 1)
		assert.Equal(t, culprit.GetSpanId(), span.GetLinks()[0].GetSpanId())
		assert.Equal(t, culprit.GetTraceId(), span.GetLinks()[0].GetTraceId())
		assert.Equal(t, "root/culprit", values(span.GetLinks()[0].GetAttributes())["traigo.cancel.task"])
		assert.Equal(t, "traigo.canceled", span.GetEvents()[0].GetName())
	}
	assert.Equal(t, "traigo.ready", r.spans["started"].GetEvents()[0].GetName())

	duration := r.metrics["traigo.task.duration"]
	assert.Equal(t, "s", duration.GetUnit())
	counts := map[any]uint64{}
	for _, point := range duration.GetHistogram().GetDataPoints() {
		counts[values(point.GetAttributes())["traigo.outcome"]] = point.GetCount()
	}
	assert.Equal(t, map[any]uint64{"ok": 1, "failed": 1, "canceled": 2}, counts)
	assert.Len(t, r.metrics["traigo.scope.duration"].GetHistogram().GetDataPoints(), 2)
	assert.False(t, r.metrics["traigo.task.live"].GetSum().GetIsMonotonic())
	points := r.metrics["traigo.task.live"].GetSum().GetDataPoints()
	require.Len(t, points, 1)
	assert.Zero(t, points[0].GetAsInt())
}
