package traigotest

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
)

// A testLog gives what the scope logs to its test.
type testLog struct{ w *watch }

// A lostError is one that the scope has logged, since nobody takes it.
type lostError struct {
	scope, why string
	err        error
}

func (testLog) Enabled(_ context.Context, level slog.Level) bool { return level >= slog.LevelWarn }

func (h testLog) WithAttrs([]slog.Attr) slog.Handler { return h }

func (h testLog) WithGroup(string) slog.Handler { return h }

func (h testLog) Handle(ctx context.Context, r slog.Record) error {
	text, lost := r.Message, lostError{why: strings.TrimPrefix(r.Message, "traigo: ")}
	r.Attrs(func(a slog.Attr) bool {
		switch v := a.Value.Any().(type) {
		case error:
			lost.err = v
		case string:
			switch a.Key {
			case "scope":
				lost.scope = v
			case "stack":
				text += "\n" + indent(ofTask(v))
				return true
			}
		}
		text += fmt.Sprintf("\n%s: %v", a.Key, a.Value)
		return true
	})
	h.w.mu.Lock()
	defer h.w.mu.Unlock()
	switch {
	case h.w.finished:
		return slog.Default().Handler().Handle(ctx, r)
	case r.Level < slog.LevelError || lost.err == nil:
		h.w.write(text)
	default:
		h.w.lost = append(h.w.lost, lost)
	}
	return nil
}
