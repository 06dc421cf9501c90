package live_test

import (
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo/live"
)

// A handler that is mounted without a final slash serves text, and redirects browsers.
func TestWithoutASlashThePageRedirects(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := live.Handler(opened(t))
		w := get(h, "/a/b:c?scope=3", "Accept", browsers)
		assert.Equal(t, http.StatusTemporaryRedirect, w.Code)
		assert.Equal(t, "./b:c/?scope=3", w.Header().Get("Location"))
		assert.Equal(t, http.StatusOK, get(h, "/a/b").Code)
	})
}

// Modules that import each other in a circle can be neither understood nor tested alone,
// and which of them runs first depends on which one the page loads. The modules of package
// view's page are checked here too.
func TestModulesOfAPageDoNotImportInACircle(t *testing.T) {
	for _, row := range []struct{ pattern, module, imported string }{
		{"page/*.js", "live.js", "tree.js"},
		{"../web/view/*.ts*", "main.tsx", "app.tsx"},
	} {
		imports := importsIn(t, row.pattern)
		assert.Contains(t, imports[row.module], row.imported, "imports are read")
		assert.Empty(t, importCircle(imports), "%s", row.pattern)
	}
	assert.Equal(t, []string{"b", "c", "b"}, importCircle(map[string][]string{"a": {"b"}, "b": {"c", "d"}, "c": {"d", "b"}, "d": nil}))
}

// moduleImport matches an import of, or an export from, a module in the same directory.
var moduleImport = regexp.MustCompile(`(?m)^(?:import|export)\s[^'";]*['"]\./([^'"]+)['"]`)

// importsIn returns what each file that matches the pattern imports, by file name.
func importsIn(t *testing.T, pattern string) map[string][]string {
	t.Helper()
	files, err := filepath.Glob(pattern)
	require.NoError(t, err)
	imports := map[string][]string{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		var names []string
		for _, match := range moduleImport.FindAllStringSubmatch(string(text), -1) {
			names = append(names, match[1])
		}
		imports[filepath.Base(file)] = names
	}
	return imports
}

// importCircle returns a path of imports from a module back to itself; nil if there is none.
func importCircle(imports map[string][]string) []string {
	done := map[string]bool{} // modules that lead into no circle
	var visit func(path []string) []string
	visit = func(path []string) []string {
		module := path[len(path)-1]
		if first := slices.Index(path, module); first < len(path)-1 {
			return path[first:]
		}
		if done[module] {
			return nil
		}
		for _, next := range imports[module] {
			if circle := visit(append(slices.Clip(path), next)); circle != nil {
				return circle
			}
		}
		done[module] = true
		return nil
	}
	for _, module := range slices.Sorted(maps.Keys(imports)) {
		if circle := visit([]string{module}); circle != nil {
			return circle
		}
	}
	return nil
}
