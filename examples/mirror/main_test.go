package main

import (
	"context"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// requireNothingLeft waits for the goroutines that were started since there were n.
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
	require.NoError(t, run(t.Context(), &out, 40))
	assert.True(t, strings.HasPrefix(out.String(), "40 of 40 files"), out.String())
	requireNothingLeft(t, before)
}

// What has been begun is finished: the outcome is no failure.
func TestSignalEndsItGracefully(t *testing.T) {
	before := runtime.NumGoroutine()
	signaled, stop := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer stop()
	var out strings.Builder
	require.NoError(t, run(signaled, &out, 1_000_000))
	assert.Regexp(t, `^\d+ of 1000000 files`, out.String())
	assert.False(t, strings.HasPrefix(out.String(), "1000000 "))
	requireNothingLeft(t, before)
}
