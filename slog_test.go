package traigo_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"maps"
	"sync"
	"testing"
	"testing/slogtest"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo"
)

// in gives every record the context of a scope or a task.
type in struct {
	slog.Handler

	ctx context.Context //nolint:containedctx // the one to log with
}

func (h in) Handle(_ context.Context, r slog.Record) error { return h.Handler.Handle(h.ctx, r) }
func (h in) WithAttrs(attrs []slog.Attr) slog.Handler      { return in{h.Handler.WithAttrs(attrs), h.ctx} }
func (h in) WithGroup(name string) slog.Handler            { return in{h.Handler.WithGroup(name), h.ctx} }

// inTask runs f as a task of a scope.
func inTask(t *testing.T, f func(ctx context.Context)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		require.NoError(t, traigo.Run(t.Context(), func(ctx context.Context, s *traigo.Scope) error {
			return s.Spawn(func(ctx context.Context) error { f(ctx); return nil }, traigo.Name("read")).Wait(ctx)
		}, traigo.Name("server")))
	})
}

// jsonLog is a handler with what it has written.
func jsonLog() (slog.Handler, func(t *testing.T) []map[string]any) {
	out := new(bytes.Buffer)
	return slog.NewJSONHandler(out, &slog.HandlerOptions{Level: slog.LevelDebug}), func(t *testing.T) (all []map[string]any) {
		t.Helper()
		for line := range bytes.Lines(out.Bytes()) {
			var m map[string]any
			require.NoError(t, json.Unmarshal(line, &m), "%s", line)
			all = append(all, m)
		}
		out.Reset()
		return all
	}
}

// By the rules of package slog, with a scope and without.
func TestLogHandlerIsAHandler(t *testing.T) {
	t.Run("outside", func(t *testing.T) {
		h, written := jsonLog()
		require.NoError(t, slogtest.TestHandler(traigo.LogHandler(h), func() []map[string]any { return written(t) }))
	})
	t.Run("in a task", func(t *testing.T) {
		inTask(t, func(ctx context.Context) {
			h, written := jsonLog()
			assert.NoError(t, slogtest.TestHandler(in{traigo.LogHandler(h), ctx}, func() []map[string]any {
				all := written(t)
				for _, m := range all {
					assert.Equal(t, "server", m["scope"])
					assert.Equal(t, "server/read", m["task"])
				}
				return all
			}))
		})
	})
}

func TestLogHandlerSaysWhereARecordWasMade(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, written := jsonLog()
		logger := slog.New(traigo.LogHandler(h))
		say := func(ctx context.Context) { logger.InfoContext(ctx, "here") }
		expect := func(scope, task any) {
			t.Helper()
			all := written(t)
			require.Len(t, all, 1)
			assert.Equal(t, scope, all[0]["scope"])
			assert.Equal(t, task, all[0]["task"])
		}
		say(t.Context())
		expect(nil, nil)
		require.NoError(t, traigo.Run(t.Context(), func(ctx context.Context, s *traigo.Scope) error {
			say(ctx)
			expect("server", nil)
			logger.Info("without a context")
			expect(nil, nil)
			return s.Spawn(func(ctx context.Context) error {
				say(ctx)
				expect("server", "server/read")
				derived, cancel := context.WithTimeout(ctx, time.Second)
				defer cancel()
				say(derived)
				expect("server", "server/read")
				say(context.WithoutCancel(ctx))
				expect("server", "server/read")
				say(s.Context())
				expect("server", nil)
				return traigo.Run(ctx, func(ctx context.Context, _ *traigo.Scope) error {
					say(ctx)
					expect("server/query", "server/read")
					return nil
				}, traigo.Name("query"))
			}, traigo.Name("read")).Wait(ctx)
		}, traigo.Name("server")))
	})
}

// Groups and attributes of the user's are what they would be without the handler;
// scope and task stand outside them.
func TestLogHandlerStaysOutsideGroups(t *testing.T) {
	type m = map[string]any
	for _, row := range []struct {
		name string
		with func(*slog.Logger) *slog.Logger
		want m
	}{
		{"With", func(l *slog.Logger) *slog.Logger { return l.With("a", 1.0).With("b", 2.0) }, m{"a": 1.0, "b": 2.0, "n": 0.0}},
		{"a group", func(l *slog.Logger) *slog.Logger { return l.WithGroup("g") }, m{"g": m{"n": 0.0}}},
		{
			"groups and attributes in turn",
			func(l *slog.Logger) *slog.Logger {
				return l.With("a", 1.0).WithGroup("g").With("b", 2.0).WithGroup("").WithGroup("h").With("c", 3.0, "d", 4.0).With()
			},
			m{"a": 1.0, "g": m{"b": 2.0, "h": m{"c": 3.0, "d": 4.0, "n": 0.0}}},
		},
	} {
		t.Run(row.name, func(t *testing.T) {
			inTask(t, func(ctx context.Context) {
				h, written := jsonLog()
				logger := row.with(slog.New(traigo.LogHandler(h)))
				for range 2 { // the first leaves nothing behind
					logger.InfoContext(ctx, "x", "n", 0.0)
					logger.Info("x", "n", 0.0)
				}
				all := written(t)
				assert.Len(t, all, 4)
				for i, got := range all {
					delete(got, "time")
					want := m{"level": "INFO", "msg": "x"}
					maps.Copy(want, row.want)
					if i%2 == 0 {
						want["scope"], want["task"] = "server", "server/read"
					}
					assert.Equal(t, want, got)
				}
			})
		})
	}
}

// Loggers that come from one do not share what With gives them.
func TestLogHandlerDerivesLoggersFromOne(t *testing.T) {
	inTask(t, func(ctx context.Context) {
		h, written := jsonLog()
		base := slog.New(traigo.LogHandler(h)).WithGroup("g").With("a", 1.0).With("b", 1.0)
		left, right := base.With("left", 1.0), base.With("right", 1.0)
		left.InfoContext(ctx, "x")
		right.InfoContext(ctx, "x")
		all := written(t)
		assert.Len(t, all, 2)
		assert.Equal(t, map[string]any{"a": 1.0, "b": 1.0, "left": 1.0}, all[0]["g"])
		assert.Equal(t, map[string]any{"a": 1.0, "b": 1.0, "right": 1.0}, all[1]["g"])
	})
}

// greedy is a handler that uses its rights: what it is given by WithAttrs is its own.
type greedy struct {
	slog.Handler

	records *[]slog.Record
}

func (h greedy) WithAttrs(attrs []slog.Attr) slog.Handler {
	next := greedy{h.Handler.WithAttrs(attrs), h.records}
	for i := range attrs {
		attrs[i] = slog.String("eaten", "up")
	}
	return next
}

func (h greedy) WithGroup(name string) slog.Handler {
	return greedy{h.Handler.WithGroup(name), h.records}
}

func (h greedy) Handle(ctx context.Context, r slog.Record) error {
	*h.records = append(*h.records, r)
	return errors.Join(h.Handler.Handle(ctx, r), errBoom)
}

func TestLogHandlerLeavesToOthersWhatIsTheirs(t *testing.T) {
	inTask(t, func(ctx context.Context) {
		h, written := jsonLog()
		var records []slog.Record
		wrapped := traigo.LogHandler(greedy{h, &records})
		logger := slog.New(wrapped).WithGroup("g").With("a", 1.0)
		logger.InfoContext(ctx, "x")
		logger.InfoContext(ctx, "x")
		for _, got := range written(t) {
			assert.Equal(t, map[string]any{"a": 1.0}, got["g"])
		}

		r := slog.NewRecord(time.Now(), slog.LevelInfo, "shared", 0)
		for i := range 10 {
			r.AddAttrs(slog.Int("n", i))
		}
		for range 2 {
			assert.ErrorIs(t, wrapped.Handle(ctx, r), errBoom)
		}
		for _, got := range written(t) {
			assert.NotContains(t, got, "!BUG", "package slog has found a record that two have written to")
		}
		assert.Equal(t, 10, r.NumAttrs())
	})
}

func TestLogHandlerKnowsItself(t *testing.T) {
	inTask(t, func(ctx context.Context) {
		h, written := jsonLog()
		var all bytes.Buffer
		once := traigo.LogHandler(slog.NewTextHandler(&all, nil))
		assert.Same(t, once, traigo.LogHandler(once))
		twice := traigo.LogHandler(traigo.LogHandler(h).WithGroup("g"))
		slog.New(twice).InfoContext(ctx, "x", "a", 1.0)
		got := written(t)
		assert.Len(t, got, 1)
		assert.Equal(t, "server", got[0]["scope"])
		assert.Equal(t, map[string]any{"a": 1.0}, got[0]["g"])
	})
}

// With levels of its own, a handler without a context, and no handler at all.
func TestLogHandlerCorners(t *testing.T) {
	var level slog.LevelVar
	level.Set(slog.LevelWarn)
	h := traigo.LogHandler(slog.NewJSONHandler(new(bytes.Buffer), &slog.HandlerOptions{Level: &level}))
	assert.False(t, h.Enabled(t.Context(), slog.LevelInfo))
	assert.True(t, h.WithGroup("g").Enabled(t.Context(), slog.LevelWarn))
	assert.Same(t, h, h.WithAttrs(nil))
	assert.Same(t, h, h.WithGroup(""))
	assert.NotPanics(t, func() {
		_ = h.Handle(nil, slog.NewRecord(time.Now(), slog.LevelError, "no context", 0)) //nolint:staticcheck // it may happen
	})
	assert.PanicsWithValue(t, "traigo: LogHandler: nil slog.Handler, the one that is to write the records", func() { traigo.LogHandler(nil) })
}

// Records of this package have the attributes already: a logger that has the handler
// does not get them twice.
func TestLogHandlerAddsNothingToThisPackagesRecords(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out syncBuffer
		logger := slog.New(traigo.LogHandler(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug})))
		require.NoError(t, traigo.Run(t.Context(), func(_ context.Context, s *traigo.Scope) error {
			s.Spawn(succeed, traigo.Name("read"))
			return nil
		}, traigo.Name("server"), traigo.Logger(logger)))
		assert.NotEmpty(t, out.String())
		for line := range bytes.Lines(out.Bytes()) {
			assert.Equal(t, 1, bytes.Count(line, []byte("scope=")), "%s", line)
		}
	})
}

type syncBuffer struct {
	mu sync.Mutex
	bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.Write(p)
}
