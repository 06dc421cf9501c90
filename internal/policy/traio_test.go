package policy_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const traioDoc = "docs/traio.md"

// traioRow matches a row of the table of tests: | `test_x::test_y` | … | … |
var traioRow = regexp.MustCompile("(?m)^\\| `test_(\\w+)::test_(\\w+)` \\| (.+) \\| (.+) \\|$")

// All tests of traio are accounted for, and those that have a counterpart have
// it under the name that follows from theirs.
func TestTraioDocsNameEveryTest(t *testing.T) {
	rows := traioRow.FindAllStringSubmatch(readFile(t, traioDoc), -1)
	assert.Len(t, rows, 60)

	var named []string
	for _, row := range rows {
		group, name, inGo := row[1], row[2], row[4]
		if reason, ok := strings.CutPrefix(inGo, "none: "); ok {
			assert.NotEmpty(t, reason, "%s has no counterpart", name)
			continue
		}
		counterpart := traioCounterpart(group, name)
		assert.Equal(t, "`"+counterpart+"`", inGo)
		named = append(named, counterpart)
	}
	slices.Sort(named)
	assert.Equal(t, traioTests(t), named, "in the files of tests, and in the table")
}

// traioCounterpart says the group once: in "join", "join_task" is JoinTask.
func traioCounterpart(group, name string) string {
	words := strings.Split(name, "_")
	if words[0] == group {
		words = words[1:]
	}
	counterpart := "TestTraio"
	for _, word := range append([]string{group}, words...) {
		counterpart += strings.ToUpper(word[:1]) + word[1:]
	}
	return counterpart
}

// traioTests are the tests in the files of the groups, sorted.
func traioTests(t *testing.T) (tests []string) {
	t.Helper()
	files, err := filepath.Glob("test/traio/*_test.go")
	require.NoError(t, err)
	for _, file := range files {
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		require.NoError(t, err)
		for _, decl := range parsed.Decls {
			if fn, ok := decl.(*ast.FuncDecl); ok && strings.HasPrefix(fn.Name.Name, "Test") {
				tests = append(tests, fn.Name.Name)
			}
		}
	}
	slices.Sort(tests)
	return tests
}
