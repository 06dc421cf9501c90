package policy_test

import (
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A source file of the core is a chapter: a type, its methods and its helpers stand
// together. A new file needs an idea that none of the chapters has.
const (
	mostChapters  = 24
	shortestLines = 150
	longestLines  = 450
)

// shortChapters may be shorter than others.
var shortChapters = []string{"state.go", "doc.go"}

// testsOfNoChapter are test files of the core that belong to no source file: what they
// test, and what tests share, is named by them.
var testsOfNoChapter = []string{
	"panic_test.go", "foreign_test.go", "stress_test.go", "synctest_test.go", "cost_test.go",
	"race_test.go", "norace_test.go", "helpers_test.go", "export_test.go",
}

func TestLayoutOfTheCoreIsABookOfChapters(t *testing.T) {
	chapters := chaptersOfTheCore(t)
	assert.LessOrEqual(t, len(chapters), mostChapters, "a new file needs an idea that none of the chapters has")
	for _, file := range chapters {
		lines := strings.Count(readFile(t, file), "\n")
		assert.LessOrEqual(t, lines, longestLines, "%s is too long for one chapter", file)
		if !slices.Contains(shortChapters, file) {
			assert.GreaterOrEqual(t, lines, shortestLines, "%s is too short: in which chapter would a reader look for it?", file)
		}
	}
}

// doc.go ends with the chapters, in the order in which they are to be read.
func TestLayoutIsListedInTheDocumentation(t *testing.T) {
	_, list, found := strings.Cut(readFile(t, "doc.go"), "// # The files\n")
	require.True(t, found)
	var listed []string
	for _, match := range regexp.MustCompile(`(?m)^//\t(\w+\.go) {2,}\S`).FindAllStringSubmatch(list, -1) {
		listed = append(listed, match[1])
	}
	assert.Equal(t, "scope.go", listed[0], "the order is that of reading")
	slices.Sort(listed)
	assert.Equal(t, slices.DeleteFunc(chaptersOfTheCore(t), func(file string) bool { return file == "doc.go" }), listed)
}

func TestLayoutOfTestsFollowsTheChapters(t *testing.T) {
	chapters := chaptersOfTheCore(t)
	files, err := filepath.Glob("*_test.go")
	require.NoError(t, err)
	for _, file := range files {
		source := strings.TrimSuffix(file, "_test.go") + ".go"
		if strings.HasPrefix(file, "example_") || slices.Contains(testsOfNoChapter, file) {
			continue
		}
		assert.Contains(t, chapters, source, "%s tests no file of that name", file)
	}
}

// chaptersOfTheCore are the source files of the core, sorted.
func chaptersOfTheCore(t *testing.T) (files []string) {
	t.Helper()
	all, err := filepath.Glob("*.go")
	require.NoError(t, err)
	for _, file := range all {
		if !strings.HasSuffix(file, "_test.go") {
			files = append(files, file)
		}
	}
	return files
}
