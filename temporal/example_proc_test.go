package temporal_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/proc"
	"github.com/traigo/traigo/temporal"
)

// oddPerfect looks for an odd number that is the sum of its divisors. Nobody has found one, and it
// ignores its ctx. First it writes the number of its process to a file.
var oddPerfect = proc.Func("oddPerfect", func(_ context.Context, file string) (int, error) {
	if err := os.WriteFile(file, fmt.Appendln(nil, os.Getpid()), 0o600); err != nil {
		return 0, err
	}
	for n := 3; ; n += 2 {
		sum := 1
		for d := 3; d < n; d += 2 {
			if n%d == 0 {
				sum += d
			}
		}
		if sum == n {
			return n, nil
		}
	}
})

// killable runs oddPerfect where it can be killed: in a process below the worker. main of the worker
// begins with proc.Serve().
var killable = register(temporal.Func("killable", func(ctx context.Context, file string) (int, error) {
	proc.Open(traigo.Current(ctx), proc.KillAfter(100*time.Millisecond))
	return oddPerfect.Run(ctx, file)
}))

// Work that ignores its context runs in a process of its own, by package proc. When the task is
// canceled, or its lease is lost, that is killed, and the task ends.
func ExampleFunc_proc() {
	dir, err := os.MkdirTemp("", "killable")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "pid")

	inOneProcess("numbers at large", killable, func(ctx context.Context, engine *temporal.Engine) error {
		err := traigo.Run(ctx, func(ctx context.Context, s *traigo.Scope) error {
			remote, err := temporal.Open(s, engine, "numbers at large")
			if err != nil {
				return err
			}
			task := killable.Spawn(remote, file, traigo.Bubble(false))
			for pidIn(file) == 0 {
				if err := traigo.Sleep(ctx, 10*time.Millisecond); err != nil {
					return err
				}
			}
			fmt.Println("it runs:", isAlive(pidIn(file)))
			task.Cancel(errors.New("it takes too long"))
			<-task.Done()
			return nil
		})
		fmt.Println("it runs:", isAlive(pidIn(file)))
		return err
	})
	// Output:
	// it runs: true
	// it runs: false
}

// pidIn returns the number that oddPerfect has written; 0 if it has not yet.
func pidIn(file string) int {
	text, _ := os.ReadFile(file)
	line, isWhole := strings.CutSuffix(string(text), "\n")
	if !isWhole {
		return 0
	}
	pid, _ := strconv.Atoi(line)
	return pid
}
