package scopecheck_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/tools/go/analysis/analysistest"
)

// run runs the command in dir. It returns what it has written to standard error, and its status.
func run(t *testing.T, dir string, args ...string) (said string, status int) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), command, args...)
	cmd.Dir = dir
	_, err := cmd.Output()
	if exit, is := errors.AsType[*exec.ExitError](err); is {
		return string(exit.Stderr), exit.ExitCode()
	}
	require.NoError(t, err)
	return "", 0
}

func TestFixReportsWhatRemains(t *testing.T) {
	download(t, analysistest.TestData())
	dir := t.TempDir()
	require.NoError(t, os.CopyFS(dir, os.DirFS(analysistest.TestData())))
	inModule(t, dir, "mod", "edit", "-replace=github.com/traigo/traigo="+absolute(t, root))
	source := filepath.Join(dir, "program", "program.go")
	golden, err := os.ReadFile(source + ".golden")
	require.NoError(t, err)

	said, status := run(t, dir, "-fix", "./...")
	assert.Equal(t, 3, status, "there are reports without a fix, and what is fixed compiles: %s", said)
	assert.Contains(t, said, "Wait in the body of Main")
	assert.NotContains(t, said, "the goroutine that the body of Main starts", "it has been fixed")
	fixed, err := os.ReadFile(source)
	require.NoError(t, err)
	assert.Equal(t, string(golden), string(fixed))

	said, status = run(t, dir, "-selfwait=false", "-outerctx=false", "--fix", "./program")
	assert.Zero(t, status, "nothing remains")
	assert.Empty(t, said)

	said, status = run(t, dir, "-fix", "./nowhere")
	assert.Equal(t, 1, status)
	assert.Contains(t, said, "nowhere")
}
