package main

import (
	"fmt"
	"strconv"
	"strings"
	"text/tabwriter"
)

// A table is printed to the terminal and written to the page.
type table struct {
	title, note string
	header      []string
	rows        [][]string
	lines       []line // its lines in the plot
}

func (t *table) add(row ...string) { t.rows = append(t.rows, row) }

// text returns the table for a terminal.
func (t table) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n", t.title)
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, row := range append([][]string{t.header}, t.rows...) {
		fmt.Fprintln(w, strings.Join(row, "\t"))
	}
	w.Flush()
	return b.String()
}

// markdown returns the table for a page. The first column is text, the others are numbers.
func (t table) markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "### %s\n\n", t.title)
	row := func(cells []string) { fmt.Fprintf(&b, "| %s |\n", strings.Join(cells, " | ")) }
	row(t.header)
	row(append([]string{"---"}, strings.Split(strings.Repeat("--: ", len(t.header)-1), " ")[:len(t.header)-1]...))
	for _, cells := range t.rows {
		row(cells)
	}
	fmt.Fprintf(&b, "\n%s\n", t.note)
	return b.String()
}

// number formats 1000000 as 1,000,000.
func number(n int) string {
	s := strconv.Itoa(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
