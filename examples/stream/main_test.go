package main

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo/actor"
)

func TestMain(m *testing.M) {
	_ = os.Setenv("GORACE", "atexit_sleep_ms=0 "+os.Getenv("GORACE")) // of the actors
	actor.Serve()
	os.Exit(m.Run())
}

func TestEitherSideEndsTheDialog(t *testing.T) {
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), &out))
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	require.Len(t, lines, 6)
	assert.Equal(t, "asker: apples at 100", lines[0])
	assert.Contains(t, out.String(), "asker: pears at ", "it was asked for while prices came in")
	assert.Contains(t, lines[5], errClosed.Error())
	assert.Contains(t, lines[5], `actor "root/exchange": `)
}
