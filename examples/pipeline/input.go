package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"iter"
	"os"
	"strings"

	"github.com/traigo/traigo"
)

type line struct {
	number int
	text   string
}

// An input yields lines. An iter.Seq cannot say why it has ended, so that is in err, which is
// to be looked at after the loop, as with a bufio.Scanner.
type input struct {
	scanner *bufio.Scanner
	err     error
}

// lines yields all lines or, if limit is not 0, the first ones.
func (i *input) lines(ctx context.Context, limit int) iter.Seq[line] {
	return func(yield func(line) bool) {
		for n := 1; limit == 0 || n <= limit; n++ {
			more := false
			// A terminal may keep its reader waiting for ever, so ctx abandons the call.
			err := traigo.Blocking(func() error {
				more = i.scanner.Scan()
				return i.scanner.Err()
			})(ctx)
			if err != nil {
				i.err = fmt.Errorf("line %d: %w", n, err)
				return
			}
			if !more || !yield(line{n, i.scanner.Text()}) {
				return
			}
		}
	}
}

// open opens the input and the output of the program.
func open(from, to string) (in io.Reader, out io.WriteCloser, err error) {
	in, out = os.Stdin, os.Stdout
	switch from {
	case "":
		in = sample()
	case "-":
	default:
		in, err = os.Open(from)
	}
	if err == nil && to != "" {
		out, err = os.Create(to)
	}
	return in, out, err
}

// sample returns a thousand numbers that take a millisecond or so each.
func sample() io.Reader {
	var text strings.Builder
	for i := range 1000 {
		fmt.Fprintln(&text, 1_000_000_000_000+i)
	}
	return strings.NewReader(text.String())
}
