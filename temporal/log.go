package temporal

import (
	"context"
	"log/slog"
	"strings"
)

// warnings is the handler of slog.Default as it is at each record, from WARN on.
type warnings struct {
	with func() slog.Handler // adds attributes and groups to that handler; nil: there are none
}

func (w warnings) handler() slog.Handler {
	if w.with == nil {
		return slog.Default().Handler()
	}
	return w.with()
}

func (warnings) Enabled(ctx context.Context, level slog.Level) bool {
	return level >= slog.LevelWarn && slog.Default().Enabled(ctx, level)
}

func (w warnings) Handle(ctx context.Context, r slog.Record) error {
	if isOrdinary(r) {
		return nil
	}
	return w.handler().Handle(ctx, r)
}

func (w warnings) WithAttrs(attrs []slog.Attr) slog.Handler {
	return warnings{func() slog.Handler { return w.handler().WithAttrs(attrs) }}
}

func (w warnings) WithGroup(name string) slog.Handler {
	return warnings{func() slog.Handler { return w.handler().WithGroup(name) }}
}

// isOrdinary reports whether a record warns of what happens at the end of each worker.
func isOrdinary(r slog.Record) (is bool) {
	if r.Message != "Failed to poll for task." {
		return false
	}
	r.Attrs(func(a slog.Attr) bool {
		is = is || a.Key == "Error" && strings.Contains(a.Value.String(), "worker stopping")
		return !is
	})
	return is
}
