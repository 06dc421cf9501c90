package oteltraigo

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/traigo/traigo"
)

const (
	scopePathKey    = attribute.Key("traigo.scope.path")
	scopeIDKey      = attribute.Key("traigo.scope.id")
	taskNameKey     = attribute.Key("traigo.task.name")
	taskIDKey       = attribute.Key("traigo.task.id")
	taskBubbleKey   = attribute.Key("traigo.task.bubble")
	taskMasterKey   = attribute.Key("traigo.task.master")
	taskAwaitedKey  = attribute.Key("traigo.task.awaited")
	nameKey         = attribute.Key("traigo.name")
	outcomeKey      = attribute.Key("traigo.outcome")
	cancelKindKey   = attribute.Key("traigo.cancel.kind")
	cancelReasonKey = attribute.Key("traigo.cancel.reason")
	cancelScopeKey  = attribute.Key("traigo.cancel.scope")
	cancelTaskKey   = attribute.Key("traigo.cancel.task")
)

// The names of events.
const (
	readyEvent     = "traigo.ready"
	abandonedEvent = "traigo.abandoned"
	canceledEvent  = "traigo.canceled"
	exceptionEvent = "exception" // by convention
)

// A running is a task or a Run whose function has been called.
type running struct {
	ctx   context.Context //nolint:containedctx // has the span; metrics are recorded with it
	span  trace.Span
	begun time.Time
}

// wrap is the Wrapper. It starts a span, and leaves it to the Observer to end it: a Wrapper
// does not learn whether an error is a failure, and the span of a Run lasts until the
// scope is closed.
func (i *Instrumentation) wrap(ctx context.Context, next func(context.Context) error) error {
	s, t := current(ctx)
	state := i.stateOf(s)
	if state == nil || state.has(t) {
		return next(ctx)
	}
	outside := trace.SpanContextFromContext(ctx)
	r := running{ctx: state.parentFor(ctx, outside), span: noop.Span{}, begun: time.Now()}
	hasSpan := i.filter == nil || i.filter(s, t)
	if hasSpan {
		r.ctx, r.span = i.tracer.Start(r.ctx, i.spanName(s, t))
		if r.span.IsRecording() {
			r.span.SetAttributes(attributesOf(state, t)...)
		}
	}
	switch {
	case t != nil:
		if !state.add(t, r) {
			defer r.span.End() // the task was given up before it began
		}
	case hasSpan:
		state.body.Store(&body{r, outside})
	}
	return next(&spanContext{r.ctx, ctx})
}

// current returns the scope in which a wrapper with this context runs, and the task that is
// about to run, which is nil for the body of a Run.
func current(ctx context.Context) (*traigo.Scope, *traigo.Task) {
	s, t := traigo.Current(ctx), traigo.CurrentTask(ctx)
	if t != nil && t.Scope() != s {
		t = nil // it has called the Run
	}
	return s, t
}

// attributesOf returns the attributes of the span of t or, if t is nil, of the Run. They are
// set after the span has been started, so that they cost nothing if it is not sampled.
func attributesOf(s *scope, t *traigo.Task) []attribute.KeyValue {
	path := scopePathKey.String(s.path)
	if t == nil {
		return []attribute.KeyValue{path, scopeIDKey.Int64(int64(s.scope.ID()))} //nolint:gosec // it is counted from 1
	}
	attrs := append(make([]attribute.KeyValue, 0, 6), path, taskNameKey.String(t.Name()), taskIDKey.Int64(int64(t.ID()))) //nolint:gosec // as above
	flags := t.Flags()
	if !flags.Bubble {
		attrs = append(attrs, taskBubbleKey.Bool(false))
	}
	if flags.Master {
		attrs = append(attrs, taskMasterKey.Bool(true))
	}
	if !flags.Awaited {
		attrs = append(attrs, taskAwaitedKey.Bool(false))
	}
	return attrs
}

// A spanContext is the context with the span. A context type that embeds another has to
// provide AfterFunc: without it package context starts a goroutine for each context that
// is derived.
type spanContext struct {
	context.Context //nolint:containedctx // it is one, made by the tracer from outer

	outer context.Context //nolint:containedctx // has AfterFunc, which the other has not
}

func (c *spanContext) AfterFunc(f func()) (stop func() bool) {
	if ctx, ok := c.outer.(interface{ AfterFunc(f func()) func() bool }); ok {
		return ctx.AfterFunc(f)
	}
	return context.AfterFunc(c.outer, f)
}

// end ends the span of a task or a Run of state, with outcome o.
func (r running) end(state *scope, o outcome) {
	defer r.span.End()
	if !r.span.IsRecording() {
		return
	}
	if o.result != resultOK {
		r.span.SetAttributes(outcomeKey.String(o.result))
	}
	if o.cause != nil {
		r.canceled(state, o.cause)
	}
	if !o.isFailure() {
		return
	}
	text := textOf(o.err)
	exception := []attribute.KeyValue{semconv.ExceptionType(o.errorType()), semconv.ExceptionMessage(text)}
	if stack := stackOf(o.err); stack != "" {
		exception = append(exception, semconv.ExceptionStacktrace(stack))
	}
	r.span.AddEvent(exceptionEvent, trace.WithAttributes(exception...))
	r.span.SetAttributes(semconv.ErrorTypeKey.String(o.errorType()))
	r.span.SetStatus(codes.Error, text)
}

// canceled adds the event of the cancellation, and the link to the task that caused it.
func (r running) canceled(state *scope, cause error) {
	attrs := make([]attribute.KeyValue, 2, 4)
	attrs[0], attrs[1] = cancelKindKey.String(traigo.ParentCanceled.String()), cancelReasonKey.String(textOf(cause))
	var by trace.SpanContext
	if c, ok := cause.(*traigo.Cancellation); ok {
		attrs[0] = cancelKindKey.String(c.Kind.String())
		first := firstOf(c)
		attrs = append(attrs, cancelScopeKey.String(first.Scope))
		if first.Task != "" {
			attrs = append(attrs, cancelTaskKey.String(first.Task))
			by = state.causedBy(first)
		}
	}
	at := state.canceledSince(r.begun)
	r.span.AddEvent(canceledEvent, trace.WithTimestamp(at), trace.WithAttributes(attrs...))
	if by.IsValid() && by.SpanID() != r.span.SpanContext().SpanID() {
		r.span.AddLink(trace.Link{SpanContext: by, Attributes: attrs[len(attrs)-1:]})
	}
}
