//go:build linux

package guide_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"time"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/proc"
)

func Example_killPool() {
	err := traigo.Run(ctx, func(ctx context.Context, s *traigo.Scope) error {
		pool := proc.Open(s, proc.Limit(2), proc.Memory(512<<20), proc.KillAfter(10*time.Millisecond))
		counts, err := traigo.Map(ctx, slices.Values([]string{"one", "one two"}), words.Run)
		fmt.Println(counts, pool.Stats().Calls, "calls")
		return err
	})
	fmt.Println(err)
	// Output:
	// [1 2] 2 calls
	// <nil>
}

var words = proc.Func("words", func(_ context.Context, text string) (int, error) {
	return len(regexp.MustCompile(`\S+`).FindAllString(text, -1)), nil
})

var crash = proc.Func("crash", func(context.Context, string) (int, error) {
	os.Exit(3)
	return 0, nil
})

func Example_killCrash() {
	_, err := crash.Run(ctx, "")
	if broken, ok := errors.AsType[*proc.BrokenWorkerError](err); ok {
		fmt.Println(broken.Func, "exited with", broken.State.ExitCode())
	}
	// Output:
	// crash exited with 3
}

func Example_killCheck() {
	sum := func(ctx context.Context, n int) (total int, err error) {
		for i := range n {
			if i%1_000_000 == 0 && ctx.Err() != nil {
				return 0, context.Cause(ctx) // in time: no process is needed
			}
			total += i
		}
		return total, nil
	}
	ctx, cancel := context.WithTimeout(ctx, time.Millisecond)
	defer cancel()
	_, err := sum(ctx, 1<<62)
	fmt.Println(err)
	// Output:
	// context deadline exceeded
}
