package diag

import (
	"context"
	"log/slog"
	"reflect"
	"slices"

	"github.com/traigo/traigo"
)

// The keys of the attributes, which package traigo uses in its own records.
const (
	scopeAttr = "scope"
	taskAttr  = "task"
)

// LogHandler returns a handler that adds to each record where it was made. A record that
// is logged with the context of a task or a body, by slog.InfoContext and its like, gets
// the attributes scope, which is the path of [traigo.Current], and task, which is the
// path of [traigo.CurrentTask]; in the body of a Run that a task calls, that is this task.
// Everything else goes to h as it is: levels, other attributes, and records without a
// scope.
//
// The two attributes are at the top level, also if the logger has groups, and each of them
// is there once: if the record or the logger's With has an attribute of that name at the
// top level, as the records of package traigo have, LogHandler does not add another. It
// cannot see attributes that h had before.
//
// A record with a scope costs about 0.4 µs and 2 to 4 allocations more than with h
// alone. If the logger has a group, each such record gives h the groups and attributes of
// the logger anew; that costs about 2 µs and 15 allocations in JSON, and a
// [slog.LogValuer] among them is asked each time. A record without a scope costs nothing.
//
// LogHandler panics if h is nil, and if h is the handler with which slog begins, that of
// slog.Default before slog.SetDefault. That handler writes to package log, and SetDefault
// with a handler around it makes package log write to slog: then log and slog would wait
// for each other at the first record. LogHandler does not recognize that handler inside
// of another one. If h was made by LogHandler, h is returned as it is.
func LogHandler(h slog.Handler) slog.Handler {
	switch {
	case h == nil:
		panic("traigo: diag.LogHandler: nil slog.Handler; give the one that is to write the records, such as slog.NewTextHandler(os.Stderr, nil)")
	case isSlogsDefault(h):
		panic("traigo: diag.LogHandler: the handler is slog's own default one, which writes to package log; " +
			"slog.SetDefault with a handler around it makes log write to slog, and the two would wait for each other; " +
			"give another handler, such as slog.NewTextHandler(os.Stderr, nil)")
	}
	if h, ok := h.(*logHandler); ok {
		return h
	}
	return &logHandler{next: h}
}

// isSlogsDefault goes by the name of the type, which slog does not export. It cannot
// compare h with the handler of slog.Default: that may be another one by now, and h may
// be what With has made of it.
func isSlogsDefault(h slog.Handler) bool {
	t := reflect.TypeOf(h)
	return t.Kind() == reflect.Pointer && t.Elem().PkgPath() == "log/slog" && t.Elem().Name() == "defaultHandler"
}

// A logHandler adds the attributes of a scope and a task.
type logHandler struct {
	next slog.Handler // with all attributes and groups of the logger
	has  attrSet      // of the logger, outside of groups

	// A handler puts all that it is given after WithGroup into the group. So there is the
	// handler from before the first group, nil if there is no group, and the calls of
	// WithGroup and WithAttrs since then.
	outside slog.Handler
	since   []func(slog.Handler) slog.Handler
}

func (h *logHandler) Enabled(ctx context.Context, level slog.Level) bool {
	return h.next.Enabled(ctx, level)
}

func (h *logHandler) Handle(ctx context.Context, r slog.Record) error {
	attrs := h.attrsFor(ctx, r)
	switch {
	case len(attrs) == 0:
		return h.next.Handle(ctx, r)
	case h.outside == nil:
		r = r.Clone() // other handlers may have the same record
		r.AddAttrs(attrs...)
		return h.next.Handle(ctx, r)
	}
	next := h.outside.WithAttrs(attrs)
	for _, call := range h.since {
		next = call(next)
	}
	return next.Handle(ctx, r)
}

// attrsFor returns the attributes that the record is to get.
func (h *logHandler) attrsFor(ctx context.Context, r slog.Record) (attrs []slog.Attr) {
	if ctx == nil {
		return nil // Current would panic
	}
	has := h.has
	if h.outside == nil {
		r.Attrs(func(a slog.Attr) bool { has |= setOf(a); return true })
	}
	if s := traigo.Current(ctx); s != nil && has&hasScope == 0 {
		attrs = append(make([]slog.Attr, 0, 2), slog.String(scopeAttr, s.Path()))
	}
	if t := traigo.CurrentTask(ctx); t != nil && has&hasTask == 0 {
		attrs = append(attrs, slog.String(taskAttr, t.Path()))
	}
	return attrs
}

func (h *logHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	if len(attrs) == 0 {
		return h
	}
	with := h.with(func(next slog.Handler) slog.Handler {
		return next.WithAttrs(slices.Clone(attrs)) // a handler may change them
	})
	if h.outside == nil {
		with.has |= setOf(attrs...)
	}
	return with
}

func (h *logHandler) WithGroup(name string) slog.Handler {
	if name == "" {
		return h // by the rules of package slog
	}
	grouped := *h
	if grouped.outside == nil {
		grouped.outside = h.next
	}
	return grouped.with(func(next slog.Handler) slog.Handler { return next.WithGroup(name) })
}

// with returns a copy of h to which call has been applied.
func (h *logHandler) with(call func(slog.Handler) slog.Handler) *logHandler {
	with := *h
	with.next = call(h.next)
	if h.outside != nil {
		with.since = append(slices.Clip(h.since), call)
	}
	return &with
}

// An attrSet says which of the two attributes are there.
type attrSet uint8

const (
	hasScope attrSet = 1 << iota
	hasTask
)

// setOf looks into groups without a name as well: handlers write their attributes as if
// there were no group.
func setOf(attrs ...slog.Attr) (set attrSet) {
	for _, a := range attrs {
		switch {
		case a.Key == scopeAttr:
			set |= hasScope
		case a.Key == taskAttr:
			set |= hasTask
		case a.Key == "" && a.Value.Kind() == slog.KindGroup:
			set |= setOf(a.Value.Group()...)
		}
	}
	return set
}
