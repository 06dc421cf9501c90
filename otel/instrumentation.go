package oteltraigo

import (
	"strings"
	"sync"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/metric"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/traigo/traigo"
)

// instrumentationName is the name of the tracer and the meter.
const instrumentationName = "github.com/traigo/traigo/otel"

// An Instrumentation makes the spans and metrics of the scopes that are opened with its
// Options, and of all scopes below them. A program needs one for all its scopes: with a
// MeterProvider, each stays registered there for as long as that exists.
type Instrumentation struct {
	tracer   trace.Tracer
	spanName func(*traigo.Scope, *traigo.Task) string
	filter   func(*traigo.Scope, *traigo.Task) bool // nil: all have spans
	metrics  metrics
	scopes   sync.Map // *traigo.Scope → *scope; those that are not closed
}

type config struct {
	tracers  trace.TracerProvider
	meters   metric.MeterProvider
	spanName func(*traigo.Scope, *traigo.Task) string
	filter   func(*traigo.Scope, *traigo.Task) bool
	names    bool
}

// An Option configures an [Instrumentation].
type Option func(*config)

// WithTracerProvider sets where spans go. The default is otel.GetTracerProvider, which may
// be set later. To have no spans, pass the provider of package trace/noop. It panics if p
// is nil.
func WithTracerProvider(p trace.TracerProvider) Option {
	mustHave("WithTracerProvider", p != nil, "nil TracerProvider; leave the option out for the global one")
	return func(c *config) { c.tracers = p }
}

// WithMeterProvider sets where metrics go. The default is otel.GetMeterProvider, which may
// be set later. To have no metrics, pass the provider of package metric/noop. It panics if
// p is nil.
func WithMeterProvider(p metric.MeterProvider) Option {
	mustHave("WithMeterProvider", p != nil, "nil MeterProvider; leave the option out for the global one")
	return func(c *config) { c.meters = p }
}

// WithSpanName sets the function that names the span of a task or, if t is nil, of the Run
// that has opened s. The names should be few: see the documentation of the package for the
// default. f is called before the function of the task, on its goroutine, and must not
// panic. WithSpanName panics if f is nil.
func WithSpanName(f func(s *traigo.Scope, t *traigo.Task) string) Option {
	mustHave("WithSpanName", f != nil, "nil function; pass one that names a span")
	return func(c *config) { c.spanName = f }
}

// WithFilter sets the function that says which tasks have a span, and, if t is nil, whether
// the Run that has opened s has one. What is inside of one without a span belongs to the span
// outside of it. A trace ends with its outermost span, so a server, which runs as long as the
// program, should have none: then each of its tasks begins a trace. The metrics include what
// has no span. f is called like the function of [WithSpanName]. WithFilter panics if f is nil.
func WithFilter(f func(s *traigo.Scope, t *traigo.Task) bool) Option {
	mustHave("WithFilter", f != nil, "nil function; leave the option out to have all spans")
	return func(c *config) { c.filter = f }
}

// WithNames adds the attribute traigo.name to the durations: the name of the span, or what
// that would be for a scope without a span. Each name is a time series of its own for each
// outcome, so names must be few.
func WithNames() Option { return func(c *config) { c.names = true } }

// New returns an Instrumentation. An error of the MeterProvider goes to otel.Handle. New
// panics if an option is nil.
func New(opts ...Option) *Instrumentation {
	c := config{tracers: otel.GetTracerProvider(), meters: otel.GetMeterProvider(), spanName: spanName}
	for _, o := range opts {
		mustHave("New", o != nil, "nil option; leave it out")
		o(&c)
	}
	i := &Instrumentation{
		tracer:   c.tracers.Tracer(instrumentationName, trace.WithSchemaURL(semconv.SchemaURL)),
		spanName: c.spanName,
		filter:   c.filter,
	}
	i.metrics.register(c.meters.Meter(instrumentationName, metric.WithSchemaURL(semconv.SchemaURL)), i.live)
	if c.names {
		i.metrics.nameOf = c.spanName
	}
	return i
}

// Options returns the options for a scope: a [traigo.Wrapper] and a [traigo.Observer],
// which need each other, and then more. Wrappers in more are called with a context that
// has the span. To give the options to a scope below again has no effect.
func (i *Instrumentation) Options(more ...traigo.ScopeOption) []traigo.ScopeOption {
	return append([]traigo.ScopeOption{traigo.Wrap(i.wrap), traigo.Observe(observer{i})}, more...)
}

// nameOf returns the name of t or, if t is nil, of s.
func nameOf(s *traigo.Scope, t *traigo.Task) string {
	if t != nil {
		return t.Name()
	}
	return s.Name()
}

// spanName is the default of [WithSpanName]: the name without a number at the end.
func spanName(s *traigo.Scope, t *traigo.Task) string {
	name, before := nameOf(s, t), " #-"
	stem, inBrackets := strings.CutSuffix(name, "]")
	if inBrackets {
		before = "["
	}
	numbered := stem
	stem = strings.TrimRight(numbered, "0123456789")
	if stem == numbered || stem == "" || !strings.Contains(before, stem[len(stem)-1:]) {
		return name
	}
	if stem = strings.TrimRight(stem[:len(stem)-1], " "); stem == "" {
		return name
	}
	return stem
}

func mustHave(call string, ok bool, what string) {
	if !ok {
		panic("traigo: otel: " + call + ": " + what)
	}
}
