package diag_test

import (
	"context"
	"io"
	"log/slog"
	"runtime/trace"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/diag"
)

func through(ctx context.Context, next func(context.Context) error) error { return next(ctx) }

// What a wrapper costs beside one that does nothing. That one costs two allocations.
func TestCostOfTheWrappersIsSmall(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	perTask := func(w traigo.Wrapper) float64 {
		s := traigo.New(context.Background(), traigo.Name("s"), traigo.Wrap(w))
		name, done := traigo.Name("work"), make(chan struct{})
		signal := func(context.Context) error { done <- struct{}{}; return nil }
		allocs := testing.AllocsPerRun(2000, func() {
			s.Spawn(succeed, name)
			s.Spawn(signal, name)
			<-done
		}) / 2
		require.NoError(t, s.Close())
		return allocs
	}
	none := perTask(through)
	assert.InDelta(t, 4, perTask(diag.PprofLabels)-none, 0.1, "PprofLabels")
	assert.InDelta(t, 0, perTask(diag.RuntimeTrace)-none, 0.1, "RuntimeTrace")
	if err := trace.Start(io.Discard); err != nil {
		t.Skip("another trace is being taken: ", err)
	}
	defer trace.Stop()
	assert.InDelta(t, 4, perTask(diag.RuntimeTrace)-perTask(through), 0.1, "RuntimeTrace while a trace is taken")
}

func TestCostOfLogHandlerIsSmall(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	logger := slog.New(diag.LogHandler(slog.NewJSONHandler(io.Discard, nil))) //nolint:sloglint // what it does is measured
	perRecord := func(ctx context.Context, logger *slog.Logger) float64 {
		return testing.AllocsPerRun(2000, func() { logger.LogAttrs(ctx, slog.LevelInfo, "x", slog.Int("n", 1)) })
	}
	grouped := logger.WithGroup("g").With("a", 1)
	inTask(t, func(ctx context.Context) {
		assert.LessOrEqual(t, perRecord(ctx, logger), 2.0)
		assert.LessOrEqual(t, perRecord(ctx, grouped), 15.0, "with a group")
	})
	assert.Zero(t, perRecord(t.Context(), logger))
	assert.Zero(t, perRecord(t.Context(), grouped))
}

func BenchmarkWrappers(b *testing.B) {
	perTask := func(b *testing.B, w traigo.Wrapper) {
		b.ReportAllocs()
		s := traigo.New(context.Background(), traigo.Name("s"), traigo.Wrap(w))
		name := traigo.Name("work")
		for b.Loop() {
			s.Spawn(succeed, name)
		}
		_ = s.Wait()
	}
	b.Run("none", func(b *testing.B) { perTask(b, through) })
	b.Run("labels", func(b *testing.B) { perTask(b, diag.PprofLabels) })
	b.Run("no trace", func(b *testing.B) { perTask(b, diag.RuntimeTrace) })
	if err := trace.Start(io.Discard); err != nil {
		b.Skip("another trace is being taken: ", err)
	}
	defer trace.Stop()
	b.Run("none, while a trace is taken", func(b *testing.B) { perTask(b, through) })
	b.Run("trace", func(b *testing.B) { perTask(b, diag.RuntimeTrace) })
}

func BenchmarkLogHandler(b *testing.B) {
	perRecord := func(b *testing.B, h slog.Handler, with func(*slog.Logger) *slog.Logger) {
		b.ReportAllocs()
		logger := with(slog.New(h))
		_ = traigo.Run(context.Background(), func(ctx context.Context, s *traigo.Scope) error {
			return s.Spawn(func(ctx context.Context) error {
				for b.Loop() {
					logger.LogAttrs(ctx, slog.LevelInfo, "x", slog.Int("n", 1))
				}
				return nil
			}, traigo.Name("read")).Wait(ctx)
		}, traigo.Name("server"))
	}
	h := slog.NewJSONHandler(io.Discard, nil) //nolint:sloglint // what it does is measured
	for name, with := range map[string]func(*slog.Logger) *slog.Logger{
		"plain": func(l *slog.Logger) *slog.Logger { return l },
		"group": func(l *slog.Logger) *slog.Logger { return l.WithGroup("g").With("a", 1) },
	} {
		b.Run(name+"/without", func(b *testing.B) { perRecord(b, h, with) })
		b.Run(name+"/with", func(b *testing.B) { perRecord(b, diag.LogHandler(h), with) })
	}
}
