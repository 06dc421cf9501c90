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
	"runtime"
	"strconv"
	"strings"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/serve"
)

func main() {
	workers := flag.Int("j", runtime.GOMAXPROCS(0), "factor `n` numbers at once")
	size := flag.Int("batch", 100, "write `n` results at once")
	limit := flag.Int("n", 0, "stop after `n` lines; 0 means at the end")
	path := flag.String("o", "", "write to `file`")
	flag.Usage = func() {
		fmt.Fprintln(flag.CommandLine.Output(), "usage: pipeline [flags] [FILE|-]")
		flag.PrintDefaults()
	}
	flag.Parse()
	if *workers < 1 || *size < 1 || *limit < 0 || flag.NArg() > 1 {
		flag.Usage()
		os.Exit(2)
	}
	serve.Main(func(ctx context.Context, _ *traigo.Scope) error {
		in, out, err := open(flag.Arg(0), *path)
		if err != nil {
			return err
		}
		lines, err := pipeline(ctx, in, out, *workers, *size, *limit)
		err = errors.Join(err, out.Close())
		if err != nil {
			fmt.Fprintln(os.Stderr, "lines written:", lines)
		}
		return err
	}, traigo.Name("pipeline"), serve.Grace(0))
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
