package oteltraigo_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/assert"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	nometric "go.opentelemetry.io/otel/metric/noop"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/traigo/traigo"
	oteltraigo "github.com/traigo/traigo/otel"
)

// A discard is a SpanProcessor that drops spans: what is measured is their making.
type discard struct{}

func (discard) OnStart(context.Context, sdktrace.ReadWriteSpan) {}
func (discard) OnEnd(sdktrace.ReadOnlySpan)                     {}
func (discard) Shutdown(context.Context) error                  { return nil }
func (discard) ForceFlush(context.Context) error                { return nil }

func tracerProvider(sampler sdktrace.Sampler) trace.TracerProvider {
	return sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(discard{}), sdktrace.WithSampler(sampler))
}

// A subject is a way to run tasks: a scope with options, and the function.
type subject struct {
	name string
	opts []traigo.ScopeOption
	fn   func(context.Context) error
}

func byHand(tracers trace.TracerProvider) func(context.Context) error {
	tracer := tracers.Tracer("program")
	return func(ctx context.Context) error {
		_, span := tracer.Start(ctx, "work")
		defer span.End()
		return nil
	}
}

func byHandWithAttributes(tracers trace.TracerProvider) func(context.Context) error {
	tracer := tracers.Tracer("program")
	return func(ctx context.Context) error {
		ctx, span := tracer.Start(ctx, "work")
		defer span.End()
		if span.IsRecording() {
			span.SetAttributes(attribute.String("path", traigo.Current(ctx).Path()),
				attribute.String("name", traigo.CurrentTask(ctx).Name()), attribute.Int64("id", int64(traigo.CurrentTask(ctx).ID()))) //nolint:gosec // it is counted from 1
		}
		return nil
	}
}

func with(tracers trace.TracerProvider, meters metric.MeterProvider) []traigo.ScopeOption {
	return oteltraigo.New(oteltraigo.WithTracerProvider(tracers), oteltraigo.WithMeterProvider(meters)).Options()
}

func subjects() []subject {
	on, off := tracerProvider(sdktrace.AlwaysSample()), tracerProvider(sdktrace.NeverSample())
	none := nometric.NewMeterProvider()
	measured := sdkmetric.NewMeterProvider(sdkmetric.WithReader(sdkmetric.NewManualReader()))
	through := func(ctx context.Context, next func(context.Context) error) error { return next(ctx) }
	return []subject{
		{"nothing", nil, succeed},
		{"a Wrapper and an Observer that do nothing", []traigo.ScopeOption{traigo.Wrap(through), traigo.Observe(nobody{})}, succeed},
		{"bare span", nil, byHand(on)},
		{"bare span with the same attributes", nil, byHandWithAttributes(on)},
		{"bare span, not sampled", nil, byHand(off)},
		{"spans", with(on, none), succeed},
		{"spans, not sampled", with(off, none), succeed},
		{"spans and metrics", with(on, measured), succeed},
	}
}

type nobody struct{}

func (nobody) Observe(traigo.Event) {}

func (x subject) open() (spawn func(), done func()) {
	s := traigo.New(context.Background(), append(x.opts, traigo.Name("server"))...)
	name := traigo.Name("work")
	return func() { s.Spawn(x.fn, name) }, func() { _ = s.Wait() }
}

// The allocations of a task: beside those of the same span made by hand in it.
func TestCostOfASpanIsSmall(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	allocs := map[string]float64{}
	for _, x := range subjects() {
		const n = 200
		allocs[x.name] = testing.AllocsPerRun(20, func() {
			spawn, done := x.open()
			for range n {
				spawn()
			}
			done()
		}) / n
		t.Logf("%-45s %5.2f allocations", x.name, allocs[x.name])
	}
	assert.LessOrEqual(t, allocs["spans"]-allocs["bare span with the same attributes"], 3.3)
	assert.LessOrEqual(t, allocs["spans, not sampled"]-allocs["bare span, not sampled"], 3.3)
	assert.LessOrEqual(t, allocs["spans and metrics"]-allocs["spans"], 0.3)
}

func BenchmarkTask(b *testing.B) {
	for _, x := range subjects() {
		b.Run(x.name, func(b *testing.B) {
			b.ReportAllocs()
			spawn, done := x.open()
			for b.Loop() {
				spawn()
			}
			done()
		})
	}
}
