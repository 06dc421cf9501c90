package scopecheck_test

import (
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/tools/go/analysis/analysistest"

	"github.com/traigo/traigo/analysis/scopecheck"
)

// The packages in testdata are a module that uses traigo itself, not a model of it: a rule that
// no longer fits a name or a signature fails here.
func TestRules(t *testing.T) {
	dir := fetched(t, analysistest.TestData())
	for _, rule := range []string{
		"unclosed", "dropped", "outerctx", "background", "endedctx", "selfwait", "unawaited", "goroutine", "ignored",
	} {
		t.Run(rule, func(t *testing.T) {
			analysistest.RunWithSuggestedFixes(t, dir, scopecheck.Analyzer, "./"+rule)
		})
	}
}

// fetched makes sure that the modules which the module in dir needs are there, and returns dir.
func fetched(t *testing.T, dir string) string {
	t.Helper()
	dir, err := filepath.Abs(dir)
	require.NoError(t, err)
	cmd := exec.CommandContext(t.Context(), "go", "mod", "download")
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Skipf("%s needs modules that cannot be downloaded here: %v\n%s", dir, err, out)
	}
	return dir
}
