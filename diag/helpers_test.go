package diag_test

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo"
)

var (
	errBoom  = errors.New("boom")
	errOuter = errors.New("outer")
)

func succeed(context.Context) error { return nil }

// quiet drops the records of scopes that fail on purpose.
func quiet() traigo.ScopeOption { return traigo.Logger(slog.New(slog.DiscardHandler)) }

// inTask runs f in a bubble, as the task "read" of a scope "server".
func inTask(t *testing.T, f func(ctx context.Context)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		require.NoError(t, traigo.Run(t.Context(), func(ctx context.Context, s *traigo.Scope) error {
			return s.Spawn(func(ctx context.Context) error { f(ctx); return nil }, traigo.Name("read")).Wait(ctx)
		}, traigo.Name("server")))
	})
}
