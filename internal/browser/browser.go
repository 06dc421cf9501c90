// Package browser runs the scripts of web/test: tests of pages, in a real browser.
//
// They need Node.js, the modules that `npm ci` puts into web/node_modules, and a
// Chromium. `make browser` sees to it, says what is missing, and sets the variable
// that turns these tests on; a plain `go test` skips them, since it runs packages at
// the same time, and pages are timed.
package browser

import (
	"cmp"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// Wanted is the environment variable that turns the tests on.
const Wanted = "TRAIGO_BROWSER"

// candidates are the names under which a Chromium may be installed.
var candidates = []string{"chromium", "chromium-browser", "google-chrome", "google-chrome-stable"}

// Run runs a script of web/test with `node --test`. The script finds the browser's
// path in CHROMIUM, and what env adds, each "KEY=value". t fails if a test of the
// script does.
func Run(t *testing.T, script string, env ...string) {
	t.Helper()
	Need(t)
	chromium, err := Find()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "node", "--test", "--test-reporter=spec", filepath.Join("test", script))
	cmd.Dir = webDir()
	cmd.Env = append(append(os.Environ(), "CHROMIUM="+chromium), env...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", script, err, out)
	}
	t.Logf("%s", out)
}

// Need skips a test unless these tests are turned on. Run calls it: a test does so itself
// before it makes something large for a script.
func Need(t testing.TB) {
	t.Helper()
	if os.Getenv(Wanted) == "" {
		t.Skipf("browser tests are run by `make browser` (it sets %s)", Wanted)
	}
}

// Find returns the path of the Chromium to test in: what CHROMIUM says, or the first
// that is installed.
func Find() (string, error) {
	for _, name := range append([]string{os.Getenv("CHROMIUM")}, candidates...) {
		if path, err := exec.LookPath(cmp.Or(name, " ")); err == nil {
			return path, nil
		}
	}
	return "", errors.New("no Chromium: install one (Debian: apt-get install chromium), or say in CHROMIUM where it is")
}

// Picture returns the path in docs/img under which a test saves a picture for the
// documentation when UPDATE is set, and one below dir otherwise.
func Picture(dir, name string) string {
	if os.Getenv("UPDATE") == "" {
		return filepath.Join(dir, name)
	}
	return filepath.Join(webDir(), "..", "docs", "img", name)
}

// webDir is found from the directory of the test, which is somewhere below the root: a
// test binary need not know where its source was.
func webDir() string {
	dir, err := os.Getwd()
	for ; err == nil; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return filepath.Join(dir, "web")
		}
		if dir == filepath.Dir(dir) {
			break
		}
	}
	return "web"
}
