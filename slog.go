package traigo

import (
	"context"
	"log/slog"
	"slices"
)

// LogHandler returns a handler for a user's own logs that says where a record was made:
// one that is logged with a context of a scope or a task (slog.InfoContext and its like)
// gets the attributes scope, with the path of [Current], and task, with that of
// [CurrentTask], as this package's own records have them. All else goes to h as it is:
// levels, attributes, and records without a scope. It panics if h is nil; an h that
// LogHandler has made is returned as it is.
//
// The two stand at the top level, where h is, also in a logger with groups: they are
// not WithGroup's. For that a logger with a group gives h its groups and attributes
// once more for each such record: that is about 1.5 µs and 10 allocations, and a LogValuer
// among the attributes is asked again. Without a group the paths make about 0.7 µs and 2
// allocations of a record in JSON.
func LogHandler(h slog.Handler) slog.Handler {
	if h == nil {
		panic("traigo: LogHandler: nil slog.Handler, the one that is to write the records")
	}
	if _, is := h.(*logHandler); is {
		return h
	}
	return &logHandler{next: h}
}

// A logHandler adds the attributes of a scope or a task.
type logHandler struct {
	next slog.Handler // with everything that With has added

	// A handler has no way back out of a group: for an attribute that is to stay
	// outside there is the one before the first group, and what has come since.
	outside slog.Handler // nil while there is no group
	since   []func(slog.Handler) slog.Handler
}

func (h *logHandler) Enabled(ctx context.Context, level slog.Level) bool {
	return h.next.Enabled(ctx, level)
}

func (h *logHandler) Handle(ctx context.Context, r slog.Record) error {
	if ctx == nil {
		return h.next.Handle(ctx, r)
	}
	s, t := place(ctx)
	if s == nil {
		return h.next.Handle(ctx, r)
	}
	attrs := make([]slog.Attr, 1, 2)
	attrs[0] = slog.String("scope", s.Path())
	if t != nil {
		attrs = append(attrs, slog.String("task", t.Path()))
	}
	if h.outside == nil {
		r = r.Clone() // others have it as well
		r.AddAttrs(attrs...)
		return h.next.Handle(ctx, r)
	}
	next := h.outside.WithAttrs(attrs)
	for _, again := range h.since {
		next = again(next)
	}
	return next.Handle(ctx, r)
}

func (h *logHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	if len(attrs) == 0 {
		return h
	}
	return h.with(h.outside, func(to slog.Handler) slog.Handler {
		return to.WithAttrs(slices.Clone(attrs)) // a handler may do with them as it likes
	})
}

func (h *logHandler) WithGroup(name string) slog.Handler {
	if name == "" {
		return h // as package slog has it: no group
	}
	outside := h.outside
	if outside == nil {
		outside = h.next
	}
	return h.with(outside, func(to slog.Handler) slog.Handler { return to.WithGroup(name) })
}

func (h *logHandler) with(outside slog.Handler, add func(slog.Handler) slog.Handler) slog.Handler {
	with := &logHandler{next: add(h.next), outside: outside}
	if outside != nil {
		with.since = append(slices.Clip(h.since), add)
	}
	return with
}
