package scopecheck_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/tools/go/analysis"
	"golang.org/x/tools/go/analysis/analysistest"
	"golang.org/x/tools/go/analysis/checker"
	"golang.org/x/tools/go/packages"

	"github.com/traigo/traigo/analysis/scopecheck"
)

// command is the path of the command scopecheck, built for the tests.
var command string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "scopecheck-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	command = filepath.Join(dir, "scopecheck.exe")
	code := 1
	if out, err := exec.Command("go", "build", "-o", command, "../cmd/scopecheck").CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "%v\n%s", err, out)
	} else {
		code = m.Run()
	}
	if err := os.RemoveAll(dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	os.Exit(code)
}

// The packages in testdata are a module that uses traigo itself, not a model of it: a rule that
// no longer fits a name or a signature fails here. Each has what its rule reports, with the
// result of the suggested fixes in a file .golden, and what it must not report.
func TestRules(t *testing.T) {
	download(t, analysistest.TestData())
	analysistest.RunWithSuggestedFixes(t, analysistest.TestData(), scopecheck.Analyzer, "./...")
}

func TestEachRuleCanBeSwitchedOff(t *testing.T) {
	download(t, analysistest.TestData())
	pkgs, err := packages.Load(&packages.Config{
		Mode: packages.LoadAllSyntax, Dir: analysistest.TestData(), Context: t.Context(),
	}, "./...")
	require.NoError(t, err)
	rules := []string{"unclosed", "dropped", "outerctx", "background", "endedctx", "selfwait", "unawaited", "goroutine"}
	for _, off := range [][]string{rules[:4], rules[4:]} {
		for _, rule := range off {
			require.NoError(t, scopecheck.Analyzer.Flags.Set(rule, "false"))
		}
		graph, err := checker.Analyze([]*analysis.Analyzer{scopecheck.Analyzer}, pkgs, nil)
		require.NoError(t, err)
		found := map[string]bool{}
		for _, action := range graph.Roots {
			require.NoError(t, action.Err)
			for _, d := range action.Diagnostics {
				found[d.Category] = true
			}
		}
		for _, rule := range rules {
			assert.Equal(t, !slices.Contains(off, rule), found[rule], rule)
			require.NoError(t, scopecheck.Analyzer.Flags.Set(rule, "true"))
		}
	}
}

// download makes sure that the modules are there which the module in dir needs. Where they
// cannot be had, the test is skipped.
func download(t *testing.T, dir string, args ...string) []byte {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", append([]string{"mod", "download"}, args...)...)
	cmd.Dir = filepath.FromSlash(dir)
	out, err := cmd.Output()
	if err != nil {
		t.Skipf("%s needs modules that cannot be downloaded here: %v\n%s", dir, err, out)
	}
	return out
}
