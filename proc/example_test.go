package proc_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/proc"
)

var errEmpty = errors.New("empty")

func init() { traigo.RegisterError(errEmpty) } //nolint:gochecknoinits // so that it is known in every process

// Package variables, so that this process and its workers know the same functions.
var (
	words = proc.Func("words", func(_ context.Context, text string) (int, error) {
		if text == "" {
			return 0, errEmpty
		}
		return len(strings.Fields(text)), nil
	})
	stuck = proc.Func("stuck", func(context.Context, string) (int, error) {
		for { //nolint:staticcheck // a loop that does not listen
		}
	})
	crash = proc.Func("crash", func(context.Context, string) (int, error) {
		os.Exit(3)
		return 0, nil
	})
	squares = proc.Source("squares", func(_ context.Context, n int) iter.Seq2[int, error] {
		return func(yield func(int, error) bool) {
			for i := range n {
				if !yield(i*i, nil) {
					return
				}
			}
		}
	})
)

// The first statement of main, here of TestMain, is proc.Serve().
func ExampleFunc() {
	n, err := words.Run(context.Background(), "as good as gold")
	fmt.Println(n, err)

	_, err = words.Run(context.Background(), "")
	fmt.Println(errors.Is(err, errEmpty))
	// Output:
	// 4 <nil>
	// true
}

// A pool keeps its workers for the next call.
func ExampleOpen() {
	err := traigo.Run(context.Background(), func(ctx context.Context, s *traigo.Scope) error {
		pool := proc.Open(s, proc.Limit(2))
		counts, err := traigo.Map(ctx, slices.Values([]string{"one", "one two", "one two three"}), words.Run)
		fmt.Println(counts, pool.Stats().Calls, "calls")
		return err
	})
	fmt.Println(err)
	// Output:
	// [1 2 3] 3 calls
	// <nil>
}

// A loop that does not listen is killed when the time is over, and the rest goes on.
func ExampleKillAfter() {
	err := traigo.Run(context.Background(), func(ctx context.Context, s *traigo.Scope) error {
		proc.Open(s, proc.KillAfter(0))
		f := stuck.Async(s, "", traigo.Timeout(50*time.Millisecond))
		_, err := f.Await(ctx)
		fmt.Println(errors.Is(err, context.DeadlineExceeded))

		n, err := words.Run(ctx, "life goes on")
		fmt.Println(n, err)
		return nil
	})
	fmt.Println(err)
	// Output:
	// true
	// 3 <nil>
	// <nil>
}

// A worker that dies breaks its own call and no other.
func ExampleBrokenWorkerError() {
	_, err := crash.Run(context.Background(), "")
	if broken, ok := errors.AsType[*proc.BrokenWorkerError](err); ok {
		fmt.Println(broken.Func, broken.State)
	}
	// Output: crash exit status 3
}

func ExampleSource() {
	for n, err := range squares.Run(context.Background(), 1_000_000) {
		if err != nil {
			fmt.Println(err)
		}
		if n > 10 {
			break // the worker stops
		}
		fmt.Println(n)
	}
	// Output:
	// 0
	// 1
	// 4
	// 9
}

// Calls under a context of another tree, such as that of an HTTP request, can use the pool
// as well.
func ExampleWith() {
	err := traigo.Run(context.Background(), func(_ context.Context, s *traigo.Scope) error {
		pool := proc.Open(s)
		request := proc.With(context.Background(), pool)
		n, err := words.Run(request, "from elsewhere")
		fmt.Println(n, pool.Stats().Calls)
		return err
	})
	fmt.Println(err)
	// Output:
	// 2 1
	// <nil>
}
