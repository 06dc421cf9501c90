// Compare measures the cost of traigo beside that of the alternatives, in turn and in one
// process, and prints the ratios. With the flag -doc it also replaces the measured part of a
// page, and the plot beside the page:
//
//	go run ./cmd/compare -doc ../docs/performance.md
//
// It takes some minutes. Other programs that run at the same time widen the intervals. With
// the flag -run only those rows are measured whose name matches, which takes seconds:
//
//	go run ./cmd/compare -run 'Map|Race'
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"regexp"
	"runtime"
	"time"

	"github.com/traigo/traigo/bench"
)

func main() {
	bench.Serve()
	doc := flag.String("doc", "", "the page whose measured part is to be replaced; the plot is put beside it")
	run := flag.String("run", "", "measure only the rows whose name matches this regular expression, and no other tables")
	quick := flag.Bool("quick", false, "few and short rounds: to see that it works, not to learn something")
	weigh := flag.String("weigh", "", "print what a parked task of this way weighs (compare runs itself for this)")
	tasks := flag.Int("tasks", 10_000, "how many tasks -weigh parks")
	flag.Parse()

	if *weigh != "" {
		fmt.Println(bench.BytesPerParked(*weigh, *tasks))
		return
	}
	if err := compare(*doc, *run, *quick); err != nil {
		fmt.Fprintln(os.Stderr, "compare:", err)
		os.Exit(1)
	}
}

// processors is the number of processors for which the targets are set.
const processors = 2

func compare(doc, run string, quick bool) error {
	names, err := regexp.Compile(run)
	if err != nil {
		return err
	}
	if doc != "" && run != "" {
		return errors.New("a page has all rows: -doc and -run exclude each other")
	}
	e := bench.Thorough
	if quick {
		e = bench.Quick
	}
	runtime.GOMAXPROCS(processors)
	begin := time.Now()
	tables, err := promised(os.Stdout, names, e)
	if err != nil {
		return err
	}
	if run == "" {
		more, err := works(os.Stdout, e)
		if err != nil {
			return err
		}
		tables = append(tables, more...)
	}
	fmt.Printf("measured in %v, %s, GOMAXPROCS=%d\n", time.Since(begin).Round(time.Second), machine(), processors)
	if doc == "" {
		return nil
	}
	return write(doc, tables)
}
