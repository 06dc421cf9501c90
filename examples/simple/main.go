// Simple prints what happens in a kitchen in two seconds. It shows scopes inside scopes,
// a task that is not awaited, a master, and a timeout that is changed while it runs.
//
//	go run ./examples/simple
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/traigo/traigo"
)

const ms = time.Millisecond

func main() {
	if err := morning(context.Background(), newTeller(os.Stdout)); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// morning opens the scope that contains all others. When Run returns, everything in it has
// ended.
func morning(ctx context.Context, tell teller) error {
	defer tell("the kitchen is empty")
	return traigo.Run(ctx, func(ctx context.Context, kitchen *traigo.Scope) error {
		// The radio is not awaited: it is canceled when everything else has ended.
		kitchen.Spawn(func(ctx context.Context) error {
			for traigo.Sleep(ctx, 400*ms) == nil {
				tell("the radio plays")
			}
			tell("the radio is turned off")
			return nil
		}, traigo.Name("radio"), traigo.Awaited(false))

		// This task prints the tree while breakfast is being made.
		kitchen.Spawn(func(ctx context.Context) error {
			err := traigo.Sleep(ctx, 200*ms)
			for line := range strings.Lines(kitchen.Snapshot().String()) {
				tell("| %s", strings.TrimSuffix(line, "\n"))
			}
			return err
		}, traigo.Name("look"))

		// The fork runs beside the rest of the body, and the kitchen waits for it.
		dishes := kitchen.Fork(traigo.Name("dishes"))
		dishes.Spawn(chore(tell, "the plates are clean", 1500*ms), traigo.Name("plates"))
		dishes.Spawn(chore(tell, "the forks are clean", 1700*ms), traigo.Name("forks"))
		dishes.Finalize() // no more tasks: the fork ends when these two have

		if err := breakfast(ctx, tell); err != nil {
			return err
		}
		tell("breakfast is ready")
		tell("the guests: %v", guests(ctx, tell))
		return nil
	}, traigo.Name("kitchen"))
}

// breakfast opens a scope below the one that ctx carries.
func breakfast(ctx context.Context, tell teller) error {
	return traigo.Run(ctx, func(ctx context.Context, s *traigo.Scope) error {
		s.Spawn(chore(tell, "the toast is done", 300*ms), traigo.Name("toast"))
		s.Spawn(func(ctx context.Context) error { return tea(ctx, tell) }, traigo.Name("tea"))
		return nil
	}, traigo.Name("breakfast"))
}

// tea ends when the kettle whistles, because that task is the master of the scope.
func tea(ctx context.Context, tell teller) error {
	return traigo.Run(ctx, func(ctx context.Context, s *traigo.Scope) error {
		s.Spawn(chore(tell, "the kettle whistles", 600*ms), traigo.Name("kettle"), traigo.Master(true))
		s.Spawn(func(ctx context.Context) error {
			<-ctx.Done()
			tell("nobody watches the kettle any more: %v", context.Cause(ctx))
			return nil
		}, traigo.Name("watch"))
		return nil
	}, traigo.Name("pot"))
}

// guests begins with a timeout of an hour, and changes it to 0.3 seconds.
func guests(ctx context.Context, tell teller) error {
	return traigo.Run(ctx, func(ctx context.Context, s *traigo.Scope) error {
		s.Spawn(func(ctx context.Context) error {
			return traigo.Sleep(ctx, time.Hour)
		}, traigo.Name("chat"))

		err := traigo.Sleep(ctx, 100*ms)
		tell("the guests must leave in 0.3 s")
		s.SetTimeout(300 * ms)
		return err
	}, traigo.Name("guests"), traigo.Timeout(time.Hour))
}

// chore returns a task function that sleeps for d and prints line.
func chore(tell teller, line string, d time.Duration) func(context.Context) error {
	return func(ctx context.Context) error {
		err := traigo.Sleep(ctx, d)
		if err == nil {
			tell(line)
		}
		return err
	}
}

// A teller prints a line, with the time since the teller was made.
type teller func(format string, args ...any)

func newTeller(w io.Writer) teller {
	var mu sync.Mutex // several tasks may print at the same time
	start := time.Now()
	return func(format string, args ...any) {
		mu.Lock()
		defer mu.Unlock()
		fmt.Fprintf(w, "%.1fs  %s\n", time.Since(start).Seconds(), fmt.Sprintf(format, args...))
	}
}
