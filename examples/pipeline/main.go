// Pipeline factors numbers, one a line, as factor(1) does, but on all processors: it reads
// lines, factors them in several workers, and writes the results in the order of the lines,
// in batches.
//
//	go run ./examples/pipeline [-j workers] [-batch n] [-n lines] [-o FILE] [FILE|-]
//
// Without FILE it makes up numbers. It ends at the first line that is no number, and on
// Ctrl-C; what comes before that is written. No stage has a goroutine or a channel of its
// own to look after: traigo.Ordered starts the workers, and they have ended when its loop
// has been left, however that was.
package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"iter"
	"os"
	"os/signal"
	"runtime"
	"strconv"
	"strings"

	"github.com/traigo/traigo"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	context.AfterFunc(ctx, stop) // a second Ctrl-C kills the program
	os.Exit(run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// run does the work of main, and returns the exit code.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("pipeline", flag.ContinueOnError)
	flags.SetOutput(stderr)
	workers := flags.Int("j", runtime.GOMAXPROCS(0), "factor `n` numbers at once")
	size := flags.Int("batch", 100, "write `n` results at once")
	limit := flags.Int("n", 0, "stop after `n` lines; 0 means at the end")
	path := flags.String("o", "", "write to `file`")
	flags.Usage = func() {
		fmt.Fprintln(stderr, "usage: pipeline [flags] [FILE|-]")
		flags.PrintDefaults()
	}
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		return 2
	case *workers < 1, *size < 1, *limit < 0, flags.NArg() > 1:
		flags.Usage()
		return 2
	}
	lines := 0
	in, out, err := open(flags.Arg(0), *path, stdin, stdout)
	if err == nil {
		lines, err = pipeline(ctx, in, out, *workers, *size, *limit)
		err = errors.Join(err, out.Close())
	}
	switch {
	case err != nil && ctx.Err() != nil:
		fmt.Fprintf(stderr, "interrupted: lines written: %d\n", lines)
		return 130
	case err != nil:
		fmt.Fprintf(stderr, "pipeline: %v (lines written: %d)\n", err, lines)
		return 1
	}
	return 0
}

// pipeline returns how many lines it has written. All workers have ended then.
func pipeline(ctx context.Context, in io.Reader, out io.Writer, workers, size, limit int) (lines int, err error) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	input := &input{scanner: bufio.NewScanner(in)}
	results := traigo.Ordered(ctx, input.lines(ctx, limit), factor, traigo.Limit(workers))
	for batch, err := range batches(results, size) {
		if _, failed := io.WriteString(out, strings.Join(batch, "")); failed != nil {
			err = failed
		} else {
			lines += len(batch)
		}
		if err != nil {
			stop() // the input may block, and whoever leaves the loop waits for it
			return lines, err
		}
	}
	return lines, input.err
}

// factor is the work. What it returns is written as it is.
func factor(ctx context.Context, l line) (string, error) {
	n, err := strconv.ParseUint(l.text, 10, 64)
	if err != nil {
		return "", fmt.Errorf("line %d: %w", l.number, err)
	}
	result := fmt.Appendf(nil, "%d:", n)
	for d := uint64(2); n > 1; d++ {
		if d > n/d {
			d = n // which is a prime
		}
		for ; n%d == 0; n /= d {
			result = fmt.Appendf(result, " %d", d)
		}
		if d%(1<<20) == 0 && ctx.Err() != nil {
			return "", ctx.Err()
		}
	}
	return string(append(result, '\n')), nil
}

// batches collects the values of seq in slices of length n. With an error it yields what has
// come before it.
func batches[V any](seq iter.Seq2[V, error], n int) iter.Seq2[[]V, error] {
	return func(yield func([]V, error) bool) {
		var batch []V
		for value, err := range seq {
			if err == nil {
				batch = append(batch, value)
			}
			if err != nil || len(batch) == n {
				if !yield(batch, err) {
					return
				}
				batch = nil
			}
		}
		if len(batch) > 0 {
			yield(batch, nil)
		}
	}
}
