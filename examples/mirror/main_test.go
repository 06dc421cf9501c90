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
	require.NoError(t, run(t.Context(), &out, 40))
	assert.True(t, strings.HasPrefix(out.String(), "40 of 40 files"), out.String())
	requireNothingLeft(t, before)
}

// The downloads that have begun are finished, so the outcome is no error.
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
