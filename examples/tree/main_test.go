package main

import (
	"bytes"
	"errors"
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

func TestTheErrorNamesTheLeafAndItsPath(t *testing.T) {
	var out bytes.Buffer
	err := run(t.Context(), "root/branch-2/leaf-3", &out)
	failure, ok := errors.AsType[*actor.Error](err)
	require.True(t, ok, "%v", err)
	assert.Equal(t, "root/branch-2/leaf-3", failure.From.Path)
	var path []string
	for _, id := range failure.Path {
		path = append(path, id.Path)
	}
	assert.Equal(t, []string{"root/branch-2/leaf-3", "root/branch-2"}, path)
	assert.ErrorContains(t, err, `actor "root/branch-2/leaf-3": `)
	assert.ErrorContains(t, err, errWind.Error())
	assert.Equal(t, 0, strings.Count(err.Error(), "\n"))
	assert.Equal(t, breadth*breadth, strings.Count(out.String(), "• leaf ("), "all are drawn:\n%s", out.String())
}

func TestAllLeavesAreCountedIfNoneFails(t *testing.T) {
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), "", &out))
	assert.Contains(t, out.String(), "root: 9 leaves\n")
}
