package temporal

import (
	"context"
	"log/slog"
	"strings"
)

// warnings is the handler of slog.Default as it is at each record, from WARN on.
type warnings struct{}

func (warnings) Enabled(ctx context.Context, level slog.Level) bool {
	return level >= slog.LevelWarn && slog.Default().Enabled(ctx, level)
}

func (warnings) Handle(ctx context.Context, r slog.Record) error {
	if isOrdinary(r) {
		return nil
	}
	return slog.Default().Handler().Handle(ctx, r)
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

func (warnings) WithAttrs(attrs []slog.Attr) slog.Handler {
	return warningsWith{func(h slog.Handler) slog.Handler { return h.WithAttrs(attrs) }}
}

func (warnings) WithGroup(name string) slog.Handler {
	return warningsWith{func(h slog.Handler) slog.Handler { return h.WithGroup(name) }}
}

// warningsWith is warnings with attributes or groups.
type warningsWith struct {
	add func(slog.Handler) slog.Handler
}

func (w warningsWith) Enabled(ctx context.Context, level slog.Level) bool {
	return warnings{}.Enabled(ctx, level)
}

func (w warningsWith) Handle(ctx context.Context, r slog.Record) error {
	if isOrdinary(r) {
		return nil
	}
	return w.add(slog.Default().Handler()).Handle(ctx, r)
}

func (w warningsWith) WithAttrs(attrs []slog.Attr) slog.Handler {
	return warningsWith{func(h slog.Handler) slog.Handler { return w.add(h).WithAttrs(attrs) }}
}

func (w warningsWith) WithGroup(name string) slog.Handler {
	return warningsWith{func(h slog.Handler) slog.Handler { return w.add(h).WithGroup(name) }}
}
