package scopecheck_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const root = "../.." // of the repository

// A finding is a diagnostic, with the file relative to the directory that was loaded.
type finding struct {
	rule, file, line, message string
}

func (f finding) String() string {
	return fmt.Sprintf("%s:%s: %s (%s)", f.file, f.line, f.message, f.rule)
}

// findings runs the command as a tool of go vet, which keeps what it knows of dependencies, on
// packages of the module in dir, with their tests.
func findings(t *testing.T, dir string, patterns ...string) (found []finding) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", append([]string{"vet", "-json", "-vettool=" + command}, patterns...)...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	comments := regexp.MustCompile(`(?m)^#.*$`) // before the findings of each package is its path
	for dec := json.NewDecoder(bytes.NewReader(comments.ReplaceAll(out, nil))); ; {
		var ofPackages map[string]map[string][]struct{ Category, Posn, Message string }
		err := dec.Decode(&ofPackages)
		if errors.Is(err, io.EOF) {
			return found
		}
		require.NoError(t, err, "%s", out)
		for _, ofAnalyzers := range ofPackages {
			for _, d := range ofAnalyzers["scopecheck"] {
				parts := regexp.MustCompile(`^(.*):(\d+):\d+$`).FindStringSubmatch(d.Posn)
				require.NotNil(t, parts, d.Posn)
				file, err := filepath.Rel(absolute(t, dir), parts[1])
				require.NoError(t, err)
				found = append(found, finding{d.Category, filepath.ToSlash(file), parts[2], d.Message})
			}
		}
	}
}

// onPurpose are files that do what a rule reports, because of what they test.
var onPurpose = []struct {
	why, rule string
	files     []string
}{
	{
		"scopes end with one above, with a context, or by a failure, which is what is tested", "unclosed",
		[]string{
			"cause_test.go", "cost_test.go", "end_test.go", "foreign_test.go", "open_test.go", "options_test.go", "scope_test.go",
			"task_test.go", "timeout_test.go", "wait_test.go", "live/cost_test.go", "live/snapshot_test.go", "live/tracker_test.go",
			"record/alive_test.go", "record/line_test.go", "supervise/services_test.go", "traigotest/run_test.go",
			"otel/observer_test.go", "otel/outcome_test.go",
		},
	},
	{"a program that is killed, or leaves to chance what it does", "unclosed", []string{"record/writer_unix_test.go", "record/quit_unix_test.go", "record/internal/logtest/program.go"}},
	{"240 connections that live as long as the server", "unclosed", []string{"live/example_test.go"}},
	{
		"what the tasks did is looked at, and not the outcome", "dropped",
		[]string{"context_test.go", "cost_test.go", "timeout_test.go", "live/text_test.go", "record/cost_test.go"},
	},
	{"wrong arguments are what is tested, and not the outcome", "dropped", []string{"serve/http_test.go", "serve/signals_test.go"}},
	{"an example of an error that is dropped", "dropped", []string{"docs/guide/stop_test.go"}},
	{"an example of a future that nobody awaits", "unawaited", []string{"docs/guide/fan_out_test.go"}},
	{"contexts of other trees are what is tested", "background", []string{"join_test.go", "proc/example_test.go", "proc/worker_test.go", "record/starter_test.go"}},
	{"the context of another process, which the test has ended", "outerctx", []string{"actor/dialog_test.go"}},
	{"what the end of the scope does is tested by a call that does not end with it", "outerctx", []string{"actor/share_test.go"}},
	{"what is left of a context after its end is tested", "endedctx", []string{"capacity/capacity_test.go"}},
	{"waiting for oneself is tested", "selfwait", []string{"synctest_test.go", "wait_test.go"}},
	{
		"errors of futures that nobody awaits are tested", "unawaited",
		[]string{
			"failure_test.go", "foreign_test.go", "limit_test.go", "options_test.go", "snapshot_test.go", "stuck_test.go", "supervise/services_test.go",
			"task_test.go", "test/traio/misuse_test.go", "traigotest/report_test.go",
		},
	},
	{
		"what comes from outside of all scopes is tested", "goroutine",
		[]string{
			"context_test.go", "limit_test.go", "spawn_test.go", "diag/pprof_test.go", "proc/call_test.go", "proc/death_test.go",
			"serve/conns_test.go",
			"actor/dialog_test.go", "actor/life_test.go", "actor/start_test.go", "actor/stream_test.go",
		},
	},
}

// Nothing is reported of this repository, but for what is done on purpose.
func TestNothingIsReportedOfThisRepository(t *testing.T) {
	meant := map[string]bool{} // whether it was found
	for _, row := range onPurpose {
		for _, file := range row.files {
			meant[row.rule+" "+file] = false
		}
	}
	skipped := false
	for _, module := range modules(t) {
		skipped = !t.Run(module, func(t *testing.T) {
			download(t, filepath.Join(root, module))
			for _, f := range findings(t, filepath.Join(root, module), "./...") {
				f.file = filepath.ToSlash(filepath.Join(module, f.file))
				key := f.rule + " " + f.file
				if _, is := meant[key]; !is {
					t.Error(f)
				}
				meant[key] = true
			}
		}) || skipped
	}
	for key, found := range meant {
		assert.True(t, found || skipped, "%s: there is nothing there any more that is done on purpose", key)
	}
}

// modules are the directories in the repository that have a go.mod.
func modules(t *testing.T) (dirs []string) {
	t.Helper()
	require.NoError(t, filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && slices.Contains([]string{".git", "node_modules", "testdata"}, entry.Name()):
			return filepath.SkipDir
		case entry.Name() == "go.mod":
			dir, err := filepath.Rel(root, filepath.Dir(path))
			dirs = append(dirs, dir)
			return err
		}
		return nil
	}))
	require.Greater(t, len(dirs), 3)
	return dirs
}

// Two code bases that use golang.org/x/sync/errgroup are made to use the errgroup of traigo.
// They were written without it in mind, so nothing is to be reported of them.
func TestNothingIsReportedOfUsersOfErrgroup(t *testing.T) {
	for _, row := range []struct {
		module, version string
		packages        int // that import errgroup
	}{
		{"oras.land/oras-go/v2", "v2.7.0", 7},
		{"github.com/google/go-containerregistry", "v0.22.1", 4},
	} {
		t.Run(row.module, func(t *testing.T) {
			var module struct{ Dir string }
			require.NoError(t, json.Unmarshal(download(t, ".", "-json", row.module+"@"+row.version), &module))
			dir := t.TempDir()
			changed := copyWithOurErrgroup(t, module.Dir, dir)
			require.Len(t, changed, row.packages)
			inModule(t, dir, "mod", "edit", "-require=github.com/traigo/traigo@v0.0.0", "-replace=github.com/traigo/traigo="+absolute(t, root))
			inModule(t, dir, "mod", "tidy")
			for _, f := range findings(t, dir, changed...) {
				t.Error(f)
			}
		})
	}
}

// copyWithOurErrgroup copies a module, and returns the packages that it has changed.
func copyWithOurErrgroup(t *testing.T, from, to string) (changed []string) {
	t.Helper()
	imported := regexp.MustCompile(`"golang\.org/x/sync/errgroup"`)
	require.NoError(t, filepath.WalkDir(from, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if strings.HasSuffix(path, ".go") && imported.Match(content) {
			changed = append(changed, "./"+filepath.ToSlash(filepath.Dir(rel)))
			content = imported.ReplaceAll(content, []byte(`"github.com/traigo/traigo/errgroup"`))
		}
		target := filepath.Join(to, rel)
		if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
			return err
		}
		return os.WriteFile(target, content, 0o600)
	}))
	slices.Sort(changed)
	return slices.Compact(changed)
}

func inModule(t *testing.T, dir string, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", args...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "go %s: %s", strings.Join(args, " "), out)
}

func absolute(t *testing.T, path string) string {
	t.Helper()
	path, err := filepath.Abs(path)
	require.NoError(t, err)
	return path
}
