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

// A mount without a final slash, and without anything below it, still does for text.
func TestWithoutASlashThePageRedirects(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := live.Handler(opened(t))
		w := get(h, "/a/b:c?scope=3", "Accept", browsers)
		assert.Equal(t, http.StatusTemporaryRedirect, w.Code)
		assert.Equal(t, "./b:c/?scope=3", w.Header().Get("Location"))
		assert.Equal(t, http.StatusOK, get(h, "/a/b").Code)
	})
}

// In a circle of imports no module can be read, or tested, without the others, and which
// of them runs first depends on where the browser begins. The page of package view is
// checked here too, since its modules have no Go package.
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

// importCircle returns a way along imports from a module back to itself; nil if there is none.
func importCircle(imports map[string][]string) []string {
	done := map[string]bool{} // leads into no circle
	var visit func(way []string) []string
	visit = func(way []string) []string {
		module := way[len(way)-1]
		if first := slices.Index(way, module); first < len(way)-1 {
			return way[first:]
		}
		if done[module] {
			return nil
		}
		for _, next := range imports[module] {
			if circle := visit(append(slices.Clip(way), next)); circle != nil {
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
