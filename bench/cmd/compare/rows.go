package main

import (
	"fmt"
	"io"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/traigo/traigo/bench"
)

const howMeasured = "Medians of pairs of batches, some 50 µs long, that were timed in turn, each row on its own. " +
	"The last three columns are of one operation, ours / the other's. Few pairs meet the garbage collector, " +
	"so the medians leave it out: the bytes tell how much work it gets."

// promised measures the rows whose name matches, prints each one when it has been measured,
// and returns them as tables.
func promised(out io.Writer, names *regexp.Regexp, e bench.Effort) ([]table, error) {
	var tables []table
	for _, part := range []struct {
		title, note string
		rows        []bench.Row
	}{
		{"What users do all day", howMeasured + " [When it matters](#when-it-matters) is below.", bench.Daily(e)},
		{"Tasks and scopes as such", howMeasured, bench.Promises(e, weight)},
		{"Calls of other processes", howMeasured, bench.Processes(e)},
		{"Actors", howMeasured, bench.Actors(e)},
		{"Servers", howMeasured, bench.Servers(e)},
	} {
		rows := matching(part.rows, names)
		if len(rows) == 0 {
			continue
		}
		t := table{title: part.title, header: headings, note: part.note}
		widths := widthsOf(rows)
		fmt.Fprintf(out, "%s\n%s\n", t.title, aligned(headings, widths))
		for _, r := range rows {
			f, err := r.Measure()
			if err != nil {
				return nil, fmt.Errorf("%s: %w", r.What, err)
			}
			t.add(cells(r, f)...)
			fmt.Fprintln(out, aligned(cells(r, f), widths))
		}
		missesLast(t.rows)
		fmt.Fprintln(out)
		tables = append(tables, t)
	}
	return tables, nil
}

func matching(rows []bench.Row, names *regexp.Regexp) []bench.Row {
	var found []bench.Row
	for _, r := range rows {
		if names.MatchString(r.What) {
			found = append(found, r)
		}
	}
	return found
}

var headings = []string{"work", "beside", "target", "measured", "95 % interval", "", "ns", "allocations", "bytes"}

const missed = "**missed**"

// missesLast puts the rows that miss their target below the others.
func missesLast(rows [][]string) {
	slices.SortStableFunc(rows, func(a, b []string) int {
		switch misses := slices.Contains(a, missed); {
		case misses == slices.Contains(b, missed):
			return 0
		case misses:
			return 1
		default:
			return -1
		}
	})
}

// cells returns the cells of a row, in the order of the headings.
func cells(r bench.Row, f bench.Figure) []string {
	target, verdict := "", ""
	if !math.IsInf(r.Target, 1) {
		target = "≤ " + quantity(r.Target, r.Unit)
		verdict = "holds"
		if exceeds(f.Center, r.Target, r.Unit) {
			verdict = missed
		}
	}
	interval := "counted"
	if f.Lo < f.Hi {
		interval = fmt.Sprintf("%s to %s", decimals(f.Lo, r.Unit), decimals(f.Hi, r.Unit))
	}
	return []string{
		r.What, r.Beside, target, quantity(f.Center, r.Unit), interval, verdict,
		pair(f.Ours.Nanoseconds, f.Theirs.Nanoseconds),
		pair(f.Ours.Allocations, f.Theirs.Allocations),
		pair(f.Ours.Bytes, f.Theirs.Bytes),
	}
}

// exceeds compares the figures as they are printed.
func exceeds(figure, target float64, unit string) bool {
	printed, err := strconv.ParseFloat(decimals(figure, unit), 64)
	return err != nil || printed > target
}

// decimals formats a figure with as many decimals as its unit deserves.
func decimals(figure float64, unit string) string {
	if unit == "ns" || unit == "B" {
		return fmt.Sprintf("%.0f", figure)
	}
	return fmt.Sprintf("%.2f", figure)
}

func quantity(figure float64, unit string) string {
	return strings.TrimSpace(decimals(figure, unit) + " " + unit)
}

// pair formats what an operation of ours and one of the other library cost.
func pair(ours, theirs float64) string {
	if math.IsNaN(ours) {
		return ""
	}
	return rounded(ours) + " / " + rounded(theirs)
}

// rounded formats a number with three significant digits.
func rounded(x float64) string {
	digits := math.Pow10(max(0, len(strconv.Itoa(int(x)))-3))
	return number(int(math.Round(x/digits) * digits))
}

// widthsOf returns the widths of the columns, which are needed before the rows are measured.
func widthsOf(rows []bench.Row) []int {
	widths := []int{0, 0, 8, 8, 14, 6, 25, 16, 19}
	for _, r := range rows {
		widths[0] = max(widths[0], utf8.RuneCountInString(r.What))
		widths[1] = max(widths[1], utf8.RuneCountInString(r.Beside))
	}
	return widths
}

// aligned returns a line for a terminal. The first two columns are text, the others numbers.
func aligned(cells []string, widths []int) string {
	var b strings.Builder
	for i, cell := range cells {
		cell = strings.ReplaceAll(cell, "**", "")
		if i < 2 {
			fmt.Fprintf(&b, "%-*s  ", widths[i], cell)
		} else {
			fmt.Fprintf(&b, "%*s  ", widths[i], cell)
		}
	}
	return strings.TrimRight(b.String(), " ")
}
