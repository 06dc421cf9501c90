package main

import (
	"fmt"
	"io"
	"runtime"
	"time"

	"github.com/traigo/traigo/bench"
)

// works measures the tables in which many libraries are beside each other, and prints each
// one when it is complete.
func works(out io.Writer, e bench.Effort) ([]table, error) {
	memory, err := weights(e)
	if err != nil {
		return nil, err
	}
	fmt.Fprintln(out, memory.text())
	tables := []table{memory}
	for _, m := range []matrix{grains(), crowds(e), spawners(), scopes()} {
		t := m.measure(e)
		fmt.Fprintln(out, t.text())
		tables = append(tables, t)
	}
	return tables, nil
}

// A matrix is a table with a row for each work and a column for each way.
type matrix struct {
	title, corner, note string
	rows                []labeled
	plotted             bool
}

// A labeled is a work with the name of its row.
type labeled struct {
	label      string
	work       bench.Work
	processors int // if it is not the usual number
}

func grains() matrix {
	return matrix{
		title:  "1,000 tasks that compute, by how long they do",
		corner: "each computes",
		note:   "Nanoseconds per task, from the first spawn until all have ended; the computing, which two processors share, is in it.",
		rows: []labeled{
			{label: "0s", work: bench.Spawn(1000, 0)},
			{label: "300ns", work: bench.Spawn(1000, 300*time.Nanosecond)},
			{label: "3µs", work: bench.Spawn(1000, 3*time.Microsecond)},
			{label: "30µs", work: bench.Spawn(1000, 30*time.Microsecond)},
			{label: "0s, on one processor", work: bench.Spawn(1000, 0), processors: 1},
			{label: "parks on a channel", work: bench.Park(1000)},
		},
	}
}

func crowds(e bench.Effort) matrix {
	m := matrix{
		title:   "Short tasks, by their number",
		corner:  "tasks",
		note:    "Nanoseconds per task, from opening the scope (or the group, or the pool) until all have ended.",
		plotted: true,
	}
	for n := 1; n <= e.Large(1_000_000); n *= 10 {
		m.rows = append(m.rows, labeled{label: number(n), work: bench.Spawn(n, 0)})
	}
	return m
}

func spawners() matrix {
	return matrix{
		title:  "Several spawners at once",
		corner: "1,000 short tasks each",
		note:   "Nanoseconds per task.",
		rows: []labeled{
			{label: "1 into one scope", work: bench.Spawners(1, 1000)},
			{label: "1, a scope each", work: ownGroups(1)},
			{label: "2 into one scope", work: bench.Spawners(2, 1000)},
			{label: "2, a scope each", work: ownGroups(2)},
			{label: "16 into one scope", work: bench.Spawners(16, 1000)},
			{label: "16, a scope each", work: ownGroups(16)},
		},
	}
}

func ownGroups(k int) bench.Work { return bench.Groups(k, 1000).Only(bench.Spawners(k, 1000)) }

func scopes() matrix {
	return matrix{
		title:  "A scope with one task",
		corner: "under",
		note: "Nanoseconds from opening to the end. traigo-fork is Fork, one task, Wait; dropin is package errgroup of traigo; " +
			"go has a context with a cancel of its own.",
		rows: []labeled{
			{label: "context.Background()", work: bench.One(false)},
			{label: "a cancellable context", work: bench.One(true)},
		},
	}
}

func (m matrix) measure(e bench.Effort) table {
	t := table{title: m.title, note: m.note, header: []string{m.corner}}
	for _, way := range m.rows[0].work.Ways {
		t.header = append(t.header, way.Name)
		t.lines = append(t.lines, line{name: way.Name})
	}
	for _, r := range m.rows {
		row := []string{r.label}
		for i, ns := range r.measure(e) {
			row = append(row, fmt.Sprintf("%.0f", ns))
			t.lines[i].add(r.work.Units, ns)
		}
		t.add(row...)
	}
	if !m.plotted {
		t.lines = nil
	}
	return t
}

// measure returns the nanoseconds per unit for each way.
func (r labeled) measure(e bench.Effort) []float64 {
	if r.work.Units > 10_000 {
		e = e.Heavy()
	}
	if r.processors > 0 {
		defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(r.processors))
	}
	bench.Forget()
	turns := bench.Take(r.work.Samples(), e)
	var times []float64
	for _, way := range r.work.Ways {
		times = append(times, turns.Time(r.work.Impl(way.Name))/float64(r.work.Units))
	}
	return times
}
