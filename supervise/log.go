package supervise

import (
	"context"
	"log/slog"

	"github.com/traigo/traigo"
)

// record writes a log record in the form of those of the core, with the paths of
// the scope and, if there is one, of the task. A nil logger is slog.Default().
func record(ctx context.Context, logger *slog.Logger, level slog.Level, message string, s *traigo.Scope, t *traigo.Task, err error, more ...slog.Attr) {
	defer func() { _ = recover() }() // a logger that panics cannot be reported to itself
	if logger == nil {
		logger = slog.Default()
	}
	if !logger.Enabled(ctx, level) {
		return
	}
	attrs := make([]slog.Attr, 0, 5)
	if s != nil {
		attrs = append(attrs, slog.String("scope", s.Path()))
	}
	if t != nil {
		attrs = append(attrs, slog.String("task", t.Path()))
	}
	if err != nil {
		attrs = append(attrs, slog.Any("err", err))
	}
	logger.LogAttrs(ctx, level, "traigo: "+message, append(attrs, more...)...)
}

// loggerOf finds the Logger of this package among the options of a scope: that
// of the core tells nobody which it is.
func loggerOf(opts []traigo.ScopeOption) (logger *slog.Logger) {
	for _, o := range opts {
		if l, ok := o.(loggerOption); ok {
			logger = l.logger
		}
	}
	return logger
}
