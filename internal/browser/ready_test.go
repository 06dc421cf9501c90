//go:build unix

package browser_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// What a machine lacks is said in one line, and the tests are skipped; under CI=true that
// is a failure.
func TestWhatIsMissingIsSaidInOneLine(t *testing.T) {
	const node, npm, browser = "exit 0", "mkdir -p node_modules; touch -d tomorrow node_modules/.package-lock.json", "exit 0"
	for _, row := range []struct {
		name  string
		tools map[string]string // scripts that are on the PATH
		says  string            // "" if nothing is missing
	}{
		{"no Node", map[string]string{"chromium": browser}, "no Node.js (20 or newer) with npm"},
		{"no npm", map[string]string{"node": node, "chromium": browser}, "no Node.js (20 or newer) with npm"},
		{"an old Node", map[string]string{"node": `[ "$1" = -v ] && echo v18.0.0; exit 1`, "npm": npm}, "Node.js is v18.0.0, 20 or newer is needed"},
		{"no registry", map[string]string{"node": node, "npm": "echo npm warn old; echo no network; exit 1", "chromium": browser}, "npm ci in web/ failed: no network"},
		{"no browser", map[string]string{"node": node, "npm": npm}, "no Chromium (Debian: apt-get install chromium)"},
		{"a browser of another name", map[string]string{"node": node, "npm": npm, "google-chrome": browser}, ""},
		{"everything", map[string]string{"node": node, "npm": npm, "chromium": browser}, ""},
	} {
		for ci, code := range map[string]int{"": 1, "true": 2} {
			got, out := ready(t, row.tools, ci)
			if row.says == "" {
				assert.Zero(t, got, "%s: %s", row.name, out)
				assert.NotContains(t, out, "SKIPPED", row.name)
				continue
			}
			assert.Equal(t, code, got, "%s, CI=%s: %s", row.name, ci, out)
			assert.Equal(t, 1, strings.Count(out, row.says), "%s: %s", row.name, out)
			assert.Equal(t, ci == "", strings.Contains(out, "SKIPPED"), out)
			for line := range strings.Lines(out) {
				assert.True(t, strings.HasPrefix(line, "browser tests: "), line)
			}
		}
	}
}

// ready runs .ci/browser in a place of its own, with these tools and a shell's.
func ready(t *testing.T, tools map[string]string, ci string) (code int, out string) {
	t.Helper()
	dir := t.TempDir()
	script, err := os.ReadFile("../../.ci/browser")
	require.NoError(t, err)
	for _, d := range []string{".ci", "web", "bin"} {
		require.NoError(t, os.Mkdir(filepath.Join(dir, d), 0o755))
	}
	write := func(name, text string) {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o755)) //nolint:gosec // they are run
	}
	write(".ci/browser", string(script))
	write("web/package-lock.json", "{}")
	for _, name := range []string{"sh", "bash", "dirname", "grep", "head", "id", "mkdir", "touch"} {
		path, err := exec.LookPath(name)
		require.NoError(t, err)
		require.NoError(t, os.Symlink(path, filepath.Join(dir, "bin", name)))
	}
	for name, text := range tools {
		write("bin/"+name, "#!/bin/sh\n"+text+"\n")
	}
	bash, err := exec.LookPath("bash")
	require.NoError(t, err)
	cmd := exec.CommandContext(t.Context(), bash, filepath.Join(dir, ".ci/browser"))
	cmd.Env = []string{"PATH=" + filepath.Join(dir, "bin"), "CI=" + ci}
	text, err := cmd.CombinedOutput()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return exit.ExitCode(), string(text)
	}
	require.NoError(t, err)
	return 0, string(text)
}
