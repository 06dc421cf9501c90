package oteltraigo_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sort"

	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/traigo/traigo"
	oteltraigo "github.com/traigo/traigo/otel"
	"github.com/traigo/traigo/serve"
)

// A program makes one Instrumentation, and gives its options to its outermost scope. Here
// the spans are printed; a program sends them to a collector.
func Example() {
	spans := tracetest.NewInMemoryExporter()
	tracers := sdktrace.NewTracerProvider(sdktrace.WithSyncer(spans))
	telemetry := oteltraigo.New(oteltraigo.WithTracerProvider(tracers))

	_ = traigo.Run(context.Background(), func(_ context.Context, s *traigo.Scope) error {
		s.Spawn(func(ctx context.Context) error {
			<-ctx.Done()
			return ctx.Err()
		}, traigo.Name("read"))
		s.Spawn(func(context.Context) error {
			return errors.New("disk full")
		}, traigo.Name("write"))
		return nil
	}, telemetry.Options(traigo.Name("copy"))...)

	printSpans(spans.GetSpans())
	// Output:
	// copy: Error "scope \"copy\": task \"write\": disk full", linked to write
	// read, below copy: Unset, linked to write
	// write, below copy: Error "disk full"
}

// printSpans prints the spans in the order of their names.
func printSpans(spans tracetest.SpanStubs) {
	sort.Slice(spans, func(i, j int) bool { return spans[i].Name < spans[j].Name })
	names := map[any]string{}
	for _, span := range spans {
		names[span.SpanContext.SpanID()] = span.Name
	}
	for _, span := range spans {
		line := span.Name
		if parent, ok := names[span.Parent.SpanID()]; ok {
			line += ", below " + parent
		}
		line += ": " + span.Status.Code.String()
		if text := span.Status.Description; text != "" {
			line += fmt.Sprintf(" %q", text)
		}
		for _, link := range span.Links {
			line += ", linked to " + names[link.SpanContext.SpanID()]
		}
		fmt.Println(line)
	}
}

// The span is in the context: what a function starts with that is below its task.
func ExampleInstrumentation_Options() {
	spans := tracetest.NewInMemoryExporter()
	tracers := sdktrace.NewTracerProvider(sdktrace.WithSyncer(spans))
	telemetry := oteltraigo.New(oteltraigo.WithTracerProvider(tracers))
	tracer := tracers.Tracer("program")

	_ = traigo.Run(context.Background(), func(_ context.Context, s *traigo.Scope) error {
		s.Spawn(func(ctx context.Context) error {
			_, span := tracer.Start(ctx, "query")
			defer span.End()
			return nil
		}, traigo.Name("conn 17"))
		return nil
	}, telemetry.Options(traigo.Name("server"))...)

	printSpans(spans.GetSpans())
	// Output:
	// conn, below server: Unset
	// query, below conn: Unset
	// server: Unset
}

// Under package serve, each request begins a trace. What is outside of the requests runs as
// long as the program, and has no spans.
func ExampleWithFilter() {
	isRequest := func(s *traigo.Scope, t *traigo.Task) bool {
		if t == nil { // the Run of s
			s = s.Parent()
		}
		for ; s != nil; s = s.Parent() {
			if s.Name() == "requests" {
				return true
			}
		}
		return false
	}
	spans := tracetest.NewInMemoryExporter()
	tracers := sdktrace.NewTracerProvider(sdktrace.WithSyncer(spans))
	telemetry := oteltraigo.New(oteltraigo.WithTracerProvider(tracers), oteltraigo.WithFilter(isRequest))

	s := traigo.New(context.Background(), telemetry.Options(traigo.Name("shop"))...)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /orders/{id}", func(_ http.ResponseWriter, r *http.Request) {
		_, _ = traigo.All(r.Context(), func(context.Context) (int, error) { return 3, nil })
	})
	l, _ := net.Listen("tcp", "127.0.0.1:0")
	serve.HTTP(s, &http.Server{Handler: mux}, l)
	if res, err := http.Get("http://" + l.Addr().String() + "/orders/17"); err == nil {
		_ = res.Body.Close()
	}
	_ = s.Shutdown(context.Background())

	printSpans(spans.GetSpans())
	// Output:
	// All, below GET /orders/{id}: Unset
	// ExampleWithFilter.func2.1, below All: Unset
	// GET /orders/{id}: Unset
}

func ExampleWithNames() {
	reader := sdkmetric.NewManualReader()
	meters := sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader))
	telemetry := oteltraigo.New(oteltraigo.WithMeterProvider(meters), oteltraigo.WithNames())

	_ = traigo.Run(context.Background(), func(_ context.Context, s *traigo.Scope) error {
		for i := range 3 {
			s.Spawn(func(context.Context) error { return nil }, traigo.Name(fmt.Sprint("conn ", i)))
		}
		return nil
	}, telemetry.Options(traigo.Name("server"))...)

	var all metricdata.ResourceMetrics
	_ = reader.Collect(context.Background(), &all)
	for _, m := range all.ScopeMetrics[0].Metrics {
		if durations, ok := m.Data.(metricdata.Histogram[float64]); ok {
			for _, point := range durations.DataPoints {
				name, _ := point.Attributes.Value("traigo.name")
				outcome, _ := point.Attributes.Value("traigo.outcome")
				fmt.Println(m.Name, name.AsString(), outcome.AsString(), point.Count)
			}
		}
	}
	// Output:
	// traigo.task.duration conn ok 3
	// traigo.scope.duration server ok 1
}
