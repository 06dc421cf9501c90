package diag_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"testing/slogtest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/diag"
)

// jsonLog returns a handler, and a function that returns what it has written since the
// call before.
func jsonLog(t *testing.T) (slog.Handler, func() []map[string]any) {
	out := new(bytes.Buffer)
	return slog.NewJSONHandler(out, nil), func() (all []map[string]any) {
		for line := range bytes.Lines(out.Bytes()) {
			var record map[string]any
			require.NoError(t, json.Unmarshal(line, &record), "%s", line)
			all = append(all, record)
		}
		out.Reset()
		return all
	}
}

// withContext is a handler that gives all records the same context.
type withContext struct {
	slog.Handler

	ctx context.Context //nolint:containedctx // the one to log with
}

func (h withContext) Handle(_ context.Context, r slog.Record) error {
	return h.Handler.Handle(h.ctx, r)
}

func (h withContext) WithAttrs(attrs []slog.Attr) slog.Handler {
	return withContext{h.Handler.WithAttrs(attrs), h.ctx}
}

func (h withContext) WithGroup(name string) slog.Handler {
	return withContext{h.Handler.WithGroup(name), h.ctx}
}

// By the rules of package slog, with a scope and without.
func TestLogHandlerIsAHandler(t *testing.T) {
	h, written := jsonLog(t)
	require.NoError(t, slogtest.TestHandler(diag.LogHandler(h), written))
	inTask(t, func(ctx context.Context) {
		assert.NoError(t, slogtest.TestHandler(withContext{diag.LogHandler(h), ctx}, written))
	})
}

func TestLogHandlerSaysWhereARecordWasMade(t *testing.T) {
	h, written := jsonLog(t)
	logger := slog.New(diag.LogHandler(h))
	expect := func(ctx context.Context, scope, task any) {
		t.Helper()
		logger.InfoContext(ctx, "here")
		all := written()
		require.Len(t, all, 1)
		assert.Equal(t, scope, all[0]["scope"])
		assert.Equal(t, task, all[0]["task"])
	}
	expect(t.Context(), nil, nil)
	inTask(t, func(ctx context.Context) {
		expect(ctx, "server", "server/read")
		expect(context.WithoutCancel(ctx), "server", "server/read")
		expect(traigo.Current(ctx).Context(), "server", nil)
		assert.NoError(t, traigo.Run(ctx, func(ctx context.Context, _ *traigo.Scope) error {
			expect(ctx, "server/query", "server/read")
			return nil
		}, traigo.Name("query")))
	})
}

// Groups and attributes of the user's are what they are without LogHandler; scope and
// task are outside of them, once.
func TestLogHandlerAddsEachAttributeOnce(t *testing.T) {
	const scope, task = `"scope":"server"`, `"task":"server/read"`
	for _, row := range []struct {
		name string
		with func(*slog.Logger) *slog.Logger
		args []any
		want string
	}{
		{"plain", nil, []any{"n", 0}, `"n":0,` + scope + `,` + task},
		{
			"With", func(l *slog.Logger) *slog.Logger { return l.With("a", 1).With().With("b", 2) }, []any{"n", 0},
			`"a":1,"b":2,"n":0,` + scope + `,` + task,
		},
		{
			"groups", func(l *slog.Logger) *slog.Logger {
				return l.With("a", 1).WithGroup("g").With("b", 2).WithGroup("").WithGroup("h").With("c", 3, "d", 4).With()
			}, []any{"n", 0},
			`"a":1,` + scope + `,` + task + `,"g":{"b":2,"h":{"c":3,"d":4,"n":0}}`,
		},
		{"both in the record", nil, []any{"scope", "x", "task", "y"}, `"scope":"x","task":"y"`},
		{"one in the record", nil, []any{"scope", "x"}, `"scope":"x",` + task},
		{"in a group without a name", nil, []any{slog.Group("", "task", "y")}, `"task":"y",` + scope},
		{"in With", func(l *slog.Logger) *slog.Logger { return l.With("scope", "x", "task", "y") }, nil, `"scope":"x","task":"y"`},
		{
			"in With, before a group", func(l *slog.Logger) *slog.Logger { return l.With("task", "y").WithGroup("g") }, []any{"n", 0},
			`"task":"y",` + scope + `,"g":{"n":0}`,
		},
		{
			"in a group, where they are others", func(l *slog.Logger) *slog.Logger { return l.WithGroup("g").With("scope", "x") },
			[]any{"task", "y"}, scope + `,` + task + `,"g":{"scope":"x","task":"y"}`,
		},
		{"in a group of the record", nil, []any{slog.Group("g", "scope", "x")}, `"g":{"scope":"x"},` + scope + `,` + task},
		{
			"LogHandler twice", func(l *slog.Logger) *slog.Logger {
				return slog.New(diag.LogHandler(struct{ slog.Handler }{l.Handler()}))
			}, []any{"n", 0}, `"n":0,` + scope + `,` + task,
		},
	} {
		t.Run(row.name, func(t *testing.T) {
			inTask(t, func(ctx context.Context) {
				var out bytes.Buffer
				logger := slog.New(diag.LogHandler(slog.NewJSONHandler(&out, &slog.HandlerOptions{ReplaceAttr: withoutTime})))
				if row.with != nil {
					logger = row.with(logger)
				}
				for range 2 { // the first record leaves nothing behind
					logger.InfoContext(ctx, "x", row.args...)
					assert.Equal(t, `{"level":"INFO","msg":"x",`+row.want+"}\n", out.String())
					out.Reset()
				}
			})
		})
	}
}

func withoutTime(groups []string, a slog.Attr) slog.Attr {
	if len(groups) == 0 && a.Key == slog.TimeKey {
		return slog.Attr{}
	}
	return a
}

// The records of package traigo have the attributes, whatever context they come with.
func TestLogHandlerAddsNothingTwiceToTraigosRecords(t *testing.T) {
	var out lockedBuffer
	text := slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug})
	inTask(t, func(ctx context.Context) {
		assert.NoError(t, traigo.Run(ctx, func(_ context.Context, s *traigo.Scope) error {
			s.Spawn(succeed)
			return nil
		}, traigo.Logger(slog.New(withContext{diag.LogHandler(text), ctx}))))
	})
	require.NotEmpty(t, out.String())
	for line := range bytes.Lines(out.Bytes()) {
		assert.Equal(t, 1, bytes.Count(line, []byte(" scope=")), "%s", line)
		assert.Equal(t, 1, bytes.Count(line, []byte(" task=")), "%s", line)
	}
}

type lockedBuffer struct {
	mu sync.Mutex
	bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.Write(p)
}

// greedy is a handler that changes the attributes that it is given, which it may.
type greedy struct{ slog.Handler }

func (h greedy) WithGroup(name string) slog.Handler { return greedy{h.Handler.WithGroup(name)} }

func (h greedy) WithAttrs(attrs []slog.Attr) slog.Handler {
	with := greedy{h.Handler.WithAttrs(attrs)}
	clear(attrs)
	return with
}

// Loggers that are made of one share no attributes, and handlers share no record.
func TestLogHandlerSharesNothing(t *testing.T) {
	inTask(t, func(ctx context.Context) {
		h, written := jsonLog(t)
		handler := diag.LogHandler(greedy{h})
		base := slog.New(handler).WithGroup("g").With("a", 1.0).With("b", 1.0)
		left, right := base.With("left", 1.0), base.With("right", 1.0)
		left.InfoContext(ctx, "x")
		left.InfoContext(ctx, "x")
		right.InfoContext(ctx, "x")
		var groups []any
		for _, r := range written() {
			groups = append(groups, r["g"])
		}
		l, r := map[string]any{"a": 1.0, "b": 1.0, "left": 1.0}, map[string]any{"a": 1.0, "b": 1.0, "right": 1.0}
		assert.Equal(t, []any{l, l, r}, groups)

		shared := slog.NewRecord(time.Now(), slog.LevelInfo, "shared", 0)
		for i := range 10 {
			shared.AddAttrs(slog.Int(fmt.Sprint(i), i))
		}
		assert.NoError(t, handler.Handle(ctx, shared))
		assert.NoError(t, handler.Handle(ctx, shared))
		for _, r := range written() {
			assert.NotContains(t, r, "!BUG", "package slog has found a record that was changed twice")
		}
		assert.Equal(t, 10, shared.NumAttrs())
	})
}

func TestLogHandlerPassesOnWhatItDoesNotNeed(t *testing.T) {
	h := diag.LogHandler(slog.NewJSONHandler(new(bytes.Buffer), &slog.HandlerOptions{Level: slog.LevelWarn}))
	assert.False(t, h.Enabled(t.Context(), slog.LevelInfo))
	assert.True(t, h.WithGroup("g").Enabled(t.Context(), slog.LevelWarn))
	assert.Same(t, h, h.WithAttrs(nil))
	assert.Same(t, h, h.WithGroup(""))
	assert.Same(t, h, diag.LogHandler(h))
	assert.NotPanics(t, func() {
		_ = h.Handle(nil, slog.NewRecord(time.Now(), slog.LevelError, "no context", 0)) //nolint:staticcheck // a handler in between may do it
	})
}

// If this fails with a new version of Go, isSlogsDefault has to learn another name.
func TestLogHandlerRefusesSlogsDefaultHandler(t *testing.T) {
	first := slog.Default()
	defer slog.SetDefault(first)
	for _, h := range []slog.Handler{first.Handler(), first.With("a", 1).Handler(), first.WithGroup("g").Handler()} {
		text := fmt.Sprint(raised(func() { diag.LogHandler(h) }))
		assert.Regexp(t, "^traigo: diag.LogHandler: .*default.* wait for each other; give another handler", text)
	}
	assert.Regexp(t, "^traigo: diag.LogHandler: nil slog.Handler; ", raised(func() { diag.LogHandler(nil) }))
	assert.NotPanics(t, func() { diag.LogHandler(&defaultHandler{slog.DiscardHandler}) })
}

// defaultHandler has the name of slog's.
type defaultHandler struct{ slog.Handler }

func raised(f func()) (value any) {
	defer func() { value = recover() }()
	f()
	return nil
}
