package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo/bench"
)

func sample(t *testing.T) table {
	t.Helper()
	tb := table{title: "Title", header: []string{"tasks", "traigo", "go"}, note: "A note."}
	tb.add("1", "20", "**30**")
	tb.add("1,000", "2", "3")
	return tb
}

func TestTableForATerminal(t *testing.T) {
	assert.Equal(t, "Title\ntasks  traigo  go\n1      20      30\n1,000  2       3\n", sample(t).text())
}

func TestTableForAPage(t *testing.T) {
	assert.Equal(t, "### Title\n\n| tasks | traigo | go |\n| --- | --: | --: |\n| 1 | 20 | **30** |\n| 1,000 | 2 | 3 |\n\nA note.\n",
		sample(t).markdown())
}

func TestNumbersAreGroupedByThousands(t *testing.T) {
	for n, s := range map[int]string{1: "1", 999: "999", 1000: "1,000", 1_000_000: "1,000,000"} {
		assert.Equal(t, s, number(n))
	}
}

// The measured part of the page in the repository can be replaced, and the text around it
// is kept.
func TestPageIsReplacedInItsMeasuredPart(t *testing.T) {
	page, err := os.ReadFile("../../../docs/performance.md")
	require.NoError(t, err)
	doc := filepath.Join(t.TempDir(), "performance.md")
	require.NoError(t, os.WriteFile(doc, page, 0o600))

	tb := table{header: []string{"tasks", "traigo", "go"}}
	tb.add("1", "20", "30")
	tb.add("10", "2", "3")
	lines := linesOf(tb, []bench.Work{bench.Spawn(1, 0), bench.Spawn(10, 0)})
	require.NoError(t, write(doc, []table{sample(t)}, lines))
	require.NoError(t, write(doc, []table{sample(t)}, lines), "again")

	got, err := os.ReadFile(doc)
	require.NoError(t, err)
	assert.Contains(t, string(got), "| 1,000 | 2 | 3 |")
	assert.NotContains(t, string(got), "conc-pool |", "the old figures are gone")
	assert.Contains(t, string(got), "# What a scope costs")
	svg, err := os.ReadFile(filepath.Join(filepath.Dir(doc), "performance.svg"))
	require.NoError(t, err)
	assert.Contains(t, string(svg), "<svg")
}

func TestPageWithoutAMeasuredPartIsLeftAlone(t *testing.T) {
	_, err := replaced("# A page\n", "figures")
	assert.ErrorContains(t, err, from)
}
