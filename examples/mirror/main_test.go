package main

import (
	"context"
	"net/http"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo"
)

// requireNothingLeft waits until only n goroutines are left.
func requireNothingLeft(t *testing.T, n int) {
	t.Helper()
	http.DefaultClient.CloseIdleConnections()
	for runtime.NumGoroutine() > n {
		require.NoError(t, t.Context().Err())
		runtime.Gosched()
	}
}

func TestEveryFileComesFromSomeMirror(t *testing.T) {
	before := runtime.NumGoroutine()
	var out strings.Builder
	require.NoError(t, traigo.Run(t.Context(), func(ctx context.Context, app *traigo.Scope) error {
		return run(ctx, app, &out, 40)
	}))
	assert.True(t, strings.HasPrefix(out.String(), "40 of 40 files"), out.String())
	requireNothingLeft(t, before)
}
