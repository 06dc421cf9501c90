// Command elsewhere is a program for systems on which package proc starts no processes.
package main

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net"
	"runtime"
	"strings"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/proc"
)

var twice = proc.Func("twice", func(_ context.Context, n int) (int, error) { return 2 * n, nil })

var upTo = proc.Source("upTo", func(_ context.Context, n int) iter.Seq2[int, error] {
	return func(yield func(int, error) bool) {
		for i := range n {
			if !yield(i, nil) {
				return
			}
		}
	}
})

var _ = func() bool {
	proc.Handle("kind", func(net.Conn) {})
	return true
}()

func main() {
	proc.Serve()
	_, err := twice.Run(context.Background(), 1)
	tell("lone", err)
	for _, err := range upTo.Run(context.Background(), 3) {
		tell("source", err)
	}
	_, err = proc.Launch(context.Background(), "kind")
	tell("launch", err)
	err = traigo.Run(context.Background(), func(ctx context.Context, s *traigo.Scope) error {
		proc.Open(s, proc.Limit(3), proc.Memory(1<<30))
		_, err := twice.Run(ctx, 1)
		return err
	})
	tell("pool", err)
}

func tell(what string, err error) {
	how, named := "no error", ""
	if errors.Is(err, errors.ErrUnsupported) {
		how = "unsupported"
		if strings.Contains(err.Error(), runtime.GOOS) {
			named = ", named"
		}
	}
	fmt.Printf("%s: %s%s\n", what, how, named)
}
