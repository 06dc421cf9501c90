package oteltraigo

import (
	"context"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"

	"github.com/traigo/traigo"
)

// metrics are the instruments. What is live is counted when it is asked for.
type metrics struct {
	taskDuration, scopeDuration metric.Float64Histogram

	nameOf func(*traigo.Scope, *traigo.Task) string // see WithNames; nil without it

	ended map[string][]metric.RecordOption // by the result of a task that is no failure
}

// A census is what is live.
type census struct {
	tasks, scopes int64
	oldest        time.Time // when the task that has been running for longest began; zero if there is none
}

// register makes the instruments. live is called when the metrics are collected.
func (m *metrics) register(meter metric.Meter, live func() census) {
	seconds := func(name, what string) metric.Float64Histogram {
		h, err := meter.Float64Histogram(name, metric.WithUnit("s"), metric.WithDescription(what),
			metric.WithExplicitBucketBoundaries(0.001, 0.005, 0.025, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60, 600, 3600))
		handle(err)
		return h
	}
	m.taskDuration = seconds("traigo.task.duration", "Duration of tasks that have ended, from the call of the function.")
	m.scopeDuration = seconds("traigo.scope.duration", "Duration of scopes that are closed.")

	tasks, err := meter.Int64ObservableUpDownCounter("traigo.task.live",
		metric.WithUnit("{task}"), metric.WithDescription("Number of tasks that are running."))
	handle(err)
	scopes, err := meter.Int64ObservableUpDownCounter("traigo.scope.live",
		metric.WithUnit("{scope}"), metric.WithDescription("Number of scopes that are not closed."))
	handle(err)
	oldest, err := meter.Float64ObservableGauge("traigo.task.oldest",
		metric.WithUnit("s"), metric.WithDescription("Age of the task that has been running for longest."))
	handle(err)
	_, err = meter.RegisterCallback(func(_ context.Context, to metric.Observer) error {
		now := live()
		to.ObserveInt64(tasks, now.tasks)
		to.ObserveInt64(scopes, now.scopes)
		if !now.oldest.IsZero() {
			to.ObserveFloat64(oldest, time.Since(now.oldest).Seconds())
		}
		return nil
	}, tasks, scopes, oldest)
	handle(err)

	m.ended = make(map[string][]metric.RecordOption)
	for _, result := range []string{resultOK, resultCanceled} {
		m.ended[result] = with(outcomeKey.String(result))
	}
}

func handle(err error) {
	if err != nil {
		otel.Handle(err)
	}
}

func with(attrs ...attribute.KeyValue) []metric.RecordOption {
	return []metric.RecordOption{metric.WithAttributeSet(attribute.NewSet(attrs...))}
}

// live counts what is live.
func (i *Instrumentation) live() (now census) {
	i.scopes.Range(func(_, value any) bool {
		s := value.(*scope)
		now.scopes++
		s.mu.Lock()
		defer s.mu.Unlock()
		now.tasks += int64(len(s.tasks))
		for _, r := range s.tasks {
			if now.oldest.IsZero() || r.begun.Before(now.oldest) {
				now.oldest = r.begun
			}
		}
		return true
	})
	return now
}

func (m *metrics) taskEnded(t *traigo.Task, r running, o outcome) {
	if !m.taskDuration.Enabled(r.ctx) {
		return
	}
	options := m.ended[o.result]
	if options == nil || m.nameOf != nil {
		options = with(m.attributes(t.Scope(), t, o)...)
	}
	m.taskDuration.Record(r.ctx, time.Since(r.begun).Seconds(), options...)
}

func (m *metrics) scopeClosed(ctx context.Context, s *scope, o outcome) {
	if !m.scopeDuration.Enabled(ctx) {
		return
	}
	options := m.ended[o.result]
	if options == nil || o.kind != "" || m.nameOf != nil {
		options = with(m.attributes(s.scope, nil, o)...)
	}
	m.scopeDuration.Record(ctx, time.Since(s.opened).Seconds(), options...)
}

func (m *metrics) attributes(s *traigo.Scope, t *traigo.Task, o outcome) []attribute.KeyValue {
	attrs := append(make([]attribute.KeyValue, 0, 4), outcomeKey.String(o.result))
	if o.kind != "" {
		attrs = append(attrs, cancelKindKey.String(o.kind))
	}
	if o.isFailure() {
		attrs = append(attrs, semconv.ErrorTypeKey.String(o.errorType()))
	}
	if m.nameOf != nil {
		attrs = append(attrs, nameKey.String(m.nameOf(s, t)))
	}
	return attrs
}
