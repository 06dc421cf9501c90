package main

import (
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/perf/benchmath"

	"github.com/traigo/traigo/bench"
)

func sample(t *testing.T) table {
	t.Helper()
	tb := table{title: "Title", header: []string{"tasks", "traigo", "go"}, note: "A note."}
	tb.add("1", "20", "30")
	tb.add("1,000", "2", "3")
	return tb
}

func TestTableForATerminal(t *testing.T) {
	assert.Equal(t, "Title\ntasks  traigo  go\n1      20      30\n1,000  2       3\n", sample(t).text())
}

func TestTableForAPage(t *testing.T) {
	assert.Equal(t, "### Title\n\n| tasks | traigo | go |\n| --- | --: | --: |\n| 1 | 20 | 30 |\n| 1,000 | 2 | 3 |\n\nA note.\n",
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

	var l line
	l.add(1, 20)
	l.add(10, 2)
	tb := sample(t)
	tb.lines = []line{l}
	require.NoError(t, write(doc, []table{tb}))
	require.NoError(t, write(doc, []table{tb}), "again")

	got, err := os.ReadFile(doc)
	require.NoError(t, err)
	assert.Contains(t, string(got), "| 1,000 | 2 | 3 |")
	assert.NotContains(t, string(got), "conc-pool |", "the old figures are gone")
	assert.Contains(t, string(got), "# What a scope costs")
	svg, err := os.ReadFile(filepath.Join(filepath.Dir(doc), "performance.svg"))
	require.NoError(t, err)
	assert.Contains(t, string(svg), "<svg")
}

func TestRowIsJudgedByWhatIsPrinted(t *testing.T) {
	r := bench.Row{What: "Run", Beside: "errgroup", Target: 1.4}
	f := bench.Figure{
		Summary: benchmath.Summary{Center: 1.404, Lo: 1.3, Hi: 1.5},
		Ours:    bench.Cost{Nanoseconds: 1234.5, Allocations: 3, Bytes: 416},
		Theirs:  bench.Cost{Nanoseconds: 447, Allocations: 4, Bytes: 184},
	}
	assert.Equal(t, []string{"Run", "errgroup", "≤ 1.40", "1.40", "1.30 to 1.50", "holds", "1,230 / 447", "3 / 4", "416 / 184"}, cells(r, f))
	f.Center = 1.406
	assert.Equal(t, "**missed**", cells(r, f)[5])

	r = bench.Row{What: "bytes", Target: 128, Unit: "B"}
	f = bench.Figure{
		Summary: benchmath.Summary{Center: 80, Lo: 80, Hi: 80},
		Ours:    bench.Cost{Nanoseconds: math.NaN(), Allocations: math.NaN(), Bytes: math.NaN()},
	}
	assert.Equal(t, []string{"bytes", "", "≤ 128 B", "80 B", "counted", "holds", "", "", ""}, cells(r, f))

	r.Target = math.Inf(1)
	assert.Equal(t, []string{"", "80 B", "counted", ""}, cells(r, f)[2:6], "only for information")
}

func TestNumbersHaveThreeDigits(t *testing.T) {
	for x, s := range map[float64]string{0: "0", 0.4: "0", 41.7: "42", 999.4: "999", 1234: "1,230", 1_235_678: "1,240,000"} {
		assert.Equal(t, s, rounded(x))
	}
}

func TestOnlyRowsThatMatchAreMeasured(t *testing.T) {
	var out strings.Builder
	tables, err := promised(&out, regexp.MustCompile("^Run with two|^All"), bench.Quick)
	require.NoError(t, err)
	require.Len(t, tables, 2)
	assert.Len(t, tables[0].rows, 1)
	assert.Len(t, tables[1].rows, 1)
	lines := strings.Split(out.String(), "\n")
	assert.Equal(t, "What users do all day", lines[0])
	assert.Regexp(t, "^work +beside +target +measured", lines[1])
	assert.Regexp(t, "^All of 3  errgroup and a slice +≤ 1.35 ", lines[2])
	assert.Regexp(t, "^Run with two tasks  errgroup +≤ 1.40 ", lines[6])
}

func TestMissesStandBelow(t *testing.T) {
	rows := [][]string{{"a", missed}, {"b", "holds"}, {"c", missed}, {"d", ""}}
	missesLast(rows)
	assert.Equal(t, [][]string{{"b", "holds"}, {"d", ""}, {"a", missed}, {"c", missed}}, rows)
}

func TestWorksAreBesideEachOther(t *testing.T) {
	m := matrix{title: "Title", corner: "tasks", rows: []labeled{{label: "10", work: bench.Spawn(10, 0)}}, plotted: true}
	got := m.measure(bench.Quick)
	assert.Equal(t, []string{"tasks", "traigo", "go"}, got.header[:3])
	assert.Len(t, got.rows[0], len(got.header))
	require.Len(t, got.lines, len(got.header)-1)
	assert.InDelta(t, 10, got.lines[0].points[0].X, 0)
}

func TestPageWithoutAMeasuredPartIsLeftAlone(t *testing.T) {
	_, err := replaced("# A page\n", "figures")
	assert.ErrorContains(t, err, from)
}
