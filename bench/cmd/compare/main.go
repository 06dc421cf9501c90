// Compare measures the cost of traigo beside that of the alternatives, in turn and in one
// process, and prints the ratios. With the flag -doc it also replaces the measured part of a
// page, and the plot beside the page:
//
//	go run ./cmd/compare -doc ../docs/performance.md
//
// It takes some minutes. Other programs that run at the same time widen the intervals.
package main

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/traigo/traigo/bench"
)

func main() {
	doc := flag.String("doc", "", "the page whose measured part is to be replaced; the plot is put beside it")
	quick := flag.Bool("quick", false, "few and short rounds: to see that it works, not to learn something")
	weigh := flag.String("weigh", "", "print what a parked task of this way weighs (compare runs itself for this)")
	tasks := flag.Int("tasks", 10_000, "how many tasks -weigh parks")
	flag.Parse()

	if *weigh != "" {
		fmt.Println(bench.BytesPerParked(*weigh, *tasks))
		return
	}
	if err := compare(*doc, *quick); err != nil {
		fmt.Fprintln(os.Stderr, "compare:", err)
		os.Exit(1)
	}
}

// processors is the number of processors for which the targets are set.
const processors = 2

// effort says how often and how long to measure.
type effort struct {
	rounds, heavyRounds int
	sample              time.Duration
	millions            int // the number of tasks in rows that have a million
}

func compare(doc string, quick bool) error {
	e := effort{rounds: 31, heavyRounds: 7, sample: 20 * time.Millisecond, millions: 1_000_000}
	if quick {
		e = effort{rounds: 6, heavyRounds: 6, sample: time.Millisecond, millions: 20_000}
	}
	runtime.GOMAXPROCS(processors)
	begin := time.Now()

	var tables []table
	var plotted []line
	for _, measure := range []func(effort) (table, error){promises, weights, grains, crowds, spawners, scopes} {
		t, err := measure(e)
		if err != nil {
			return err
		}
		fmt.Println(t.text())
		tables = append(tables, t)
		plotted = append(plotted, t.lines...)
	}
	fmt.Printf("measured in %v, %s, GOMAXPROCS=%d\n", time.Since(begin).Round(time.Second), machine(), processors)
	if doc == "" {
		return nil
	}
	return write(doc, tables, plotted)
}

// promises returns the table of the rows that have a target.
func promises(e effort) (table, error) {
	t := table{
		title:  "What was promised",
		header: []string{"work", "over", "target", "ratio", "95 % interval", ""},
		note:   "Medians of the ratios of pairs that were timed in turn; each row on its own.",
	}
	for _, r := range bench.Rows() {
		rounds := e.rounds
		if r.Heavy {
			rounds = e.heavyRounds
		}
		s := r.Ratio(bench.Take(r.Samples, rounds, e.sample))
		t.add(r.What, r.Over, fmt.Sprintf("≤ %.2f", r.Target), fmt.Sprintf("%.2f", s.Center), interval(s), verdict(s.Center <= r.Target))
	}
	times, bytes := bench.Allocations()
	t.add("allocations of a spawn", "", "≤ 1", fmt.Sprintf("%.2f", times), "counted", verdict(times < 1.01))
	t.add("bytes of a spawn", "", "≤ 128", fmt.Sprintf("%.0f", bytes), "counted", verdict(bytes <= 128))
	ratio, err := lightness(10_000)
	if err != nil {
		return t, err
	}
	t.add("memory of a parked task", "go", "≤ 1.08", fmt.Sprintf("%.2f", ratio), "counted", verdict(ratio <= 1.08))
	err = recording(&t)
	return t, err
}

// recording adds the cost of a recorder, in nanoseconds: the median of some runs.
func recording(t *table) error {
	dir, err := os.MkdirTemp("", "traigo-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	var times []float64
	var allocations float64
	for range 7 {
		ns, allocs, err := bench.RecordedEvent(dir)
		if err != nil {
			return err
		}
		times, allocations = append(times, ns), max(allocations, allocs)
	}
	slices.Sort(times)
	median := times[len(times)/2]
	t.add("an event, for a recorder", "", "≤ 250 ns", fmt.Sprintf("%.0f ns", median), fmt.Sprintf("%.0f to %.0f", times[0], times[len(times)-1]), verdict(median <= 250))
	t.add("allocations of an event, for a recorder", "", "0", fmt.Sprintf("%.2f", allocations), "counted", verdict(allocations < 0.01))
	return nil
}

func verdict(holds bool) string {
	if holds {
		return "holds"
	}
	return "**missed**"
}

// lightness returns the memory of a parked task over that of a bare goroutine.
func lightness(n int) (float64, error) {
	own, err := weight("traigo", n)
	if err != nil {
		return 0, err
	}
	bare, err := weight("go", n)
	return own / bare, err
}

// weight measures in a new process, which has no goroutines that could be reused.
func weight(way string, n int) (float64, error) {
	self, err := os.Executable()
	if err != nil {
		return 0, err
	}
	out, err := exec.Command(self, "-weigh", way, "-tasks", strconv.Itoa(n)).Output()
	if err != nil {
		return 0, fmt.Errorf("weigh %d tasks of %s: %w", n, way, err)
	}
	return strconv.ParseFloat(strings.TrimSpace(string(out)), 64)
}

func weights(e effort) (table, error) {
	t := table{
		title:  "Memory of parked tasks",
		header: []string{"tasks", "traigo, bytes a task", "go, bytes a goroutine", "ratio"},
		note:   "Everything that a parked task keeps alive (its stack, the goroutine, the closure, the task), in a new process each.",
	}
	for _, n := range []int{1000, 100_000, e.millions} {
		own, err := weight("traigo", n)
		if err != nil {
			return t, err
		}
		bare, err := weight("go", n)
		if err != nil {
			return t, err
		}
		t.add(number(n), fmt.Sprintf("%.0f", own), fmt.Sprintf("%.0f", bare), fmt.Sprintf("%.2f", own/bare))
	}
	return t, nil
}

// matrix returns a table with a row for each work and a column for each way.
func matrix(t table, works []bench.Work, label func(bench.Work) string, e effort) table {
	t.header = []string{t.header[0]}
	for _, way := range works[0].Ways {
		t.header = append(t.header, way.Name)
	}
	for _, w := range works {
		rounds := e.rounds / 3
		if w.Units > 10_000 {
			rounds = e.heavyRounds
		}
		turns := bench.Take(w.Samples(), rounds, e.sample)
		row := []string{label(w)}
		for _, way := range w.Ways {
			row = append(row, fmt.Sprintf("%.0f", turns.Time(w.Impl(way.Name)).Center))
		}
		t.add(row...)
	}
	return t
}

func grains(e effort) (table, error) {
	t := table{
		title:  "1,000 tasks that compute, by how long they do",
		header: []string{"each computes"},
		note:   "Nanoseconds per task, from the first spawn until all have ended; the computing, which two processors share, is in it.",
	}
	var works []bench.Work
	labels := map[string]string{}
	for _, d := range []time.Duration{0, 300 * time.Nanosecond, 3 * time.Microsecond, 30 * time.Microsecond} {
		w := bench.Spawn(1000, d)
		labels[w.Name] = d.String()
		works = append(works, w)
	}
	t = matrix(t, works, func(w bench.Work) string { return labels[w.Name] }, e)

	w := bench.Spawn(1000, 0)
	runtime.GOMAXPROCS(1)
	turns := bench.Take(w.Samples(), e.rounds/3, e.sample)
	runtime.GOMAXPROCS(processors)
	row := []string{"0s, on one processor"}
	for _, way := range w.Ways {
		row = append(row, fmt.Sprintf("%.0f", turns.Time(w.Impl(way.Name)).Center))
	}
	t.add(row...)
	park := bench.Park(1000)
	return matrix(table{title: t.title, header: t.header, note: t.note, rows: t.rows}, []bench.Work{park},
		func(bench.Work) string { return "parks on a channel" }, e), nil
}

func crowds(e effort) (table, error) {
	t := table{
		title:  "Short tasks, by their number",
		header: []string{"tasks"},
		note:   "Nanoseconds per task, from opening the scope (or the group, or the pool) until all have ended.",
	}
	var works []bench.Work
	for n := 1; n <= e.millions; n *= 10 {
		works = append(works, bench.Spawn(n, 0))
	}
	t = matrix(t, works, func(w bench.Work) string { return number(w.Units) }, e)
	t.lines = linesOf(t, works)
	return t, nil
}

func spawners(e effort) (table, error) {
	t := table{
		title:  "Several spawners at once",
		header: []string{"1,000 short tasks each"},
		note:   "Nanoseconds per task.",
	}
	var works []bench.Work
	labels := map[string]string{}
	for _, k := range []int{1, 2, 16} {
		into, own := bench.Spawners(k, 1000), bench.Groups(k, 1000).Only(bench.Spawners(k, 1000))
		labels[into.Name], labels[own.Name] = fmt.Sprintf("%d into one scope", k), fmt.Sprintf("%d, a scope each", k)
		works = append(works, into, own)
	}
	return matrix(t, works, func(w bench.Work) string { return labels[w.Name] }, e), nil
}

func scopes(e effort) (table, error) {
	t := table{
		title:  "A scope with one task",
		header: []string{"under"},
		note:   "Nanoseconds from opening to the end. traigo-fork is Fork, one task, Wait; go has a context with a cancel of its own.",
	}
	return matrix(t, []bench.Work{bench.One(false), bench.One(true)}, func(w bench.Work) string {
		if strings.HasSuffix(w.Name, "true") {
			return "a cancellable context"
		}
		return "context.Background()"
	}, e), nil
}
