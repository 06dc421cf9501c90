// Simple tells what happens in a kitchen in two seconds: scopes inside scopes,
// work in the background, a master, a timeout that changes its mind.
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

// morning opens the scope that all the others are in. Whatever happens in it,
// it is over when Run returns.
func morning(ctx context.Context, tell teller) error {
	defer tell("the kitchen is empty")
	return traigo.Run(ctx, func(ctx context.Context, kitchen *traigo.Scope) error {
		// Nobody waits for the radio: when the rest is done it is turned off.
		kitchen.Spawn(func(ctx context.Context) error {
			for traigo.Sleep(ctx, 400*ms) == nil {
				tell("the radio plays")
			}
			tell("the radio is turned off")
			return nil
		}, traigo.Name("radio"), traigo.Awaited(false))

		// Somebody looks in while breakfast is being made.
		kitchen.Spawn(func(ctx context.Context) error {
			err := traigo.Sleep(ctx, 200*ms)
			for line := range strings.Lines(kitchen.Snapshot().String()) {
				tell("| %s", strings.TrimSuffix(line, "\n"))
			}
			return err
		}, traigo.Name("look"))

		// The fork goes on beside what follows, and the kitchen waits for it.
		dishes := kitchen.Fork(traigo.Name("dishes"))
		dishes.Spawn(chore(tell, "the plates are clean", 1500*ms), traigo.Name("plates"))
		dishes.Spawn(chore(tell, "the forks are clean", 1700*ms), traigo.Name("forks"))
		dishes.Finalize() // that is all: it ends when they are done

		if err := breakfast(ctx, tell); err != nil {
			return err
		}
		tell("breakfast is ready")
		tell("the guests: %v", guests(ctx, tell))
		return nil
	}, traigo.Name("kitchen"))
}

// breakfast is a scope in the scope it is called from: it finds it in ctx.
func breakfast(ctx context.Context, tell teller) error {
	return traigo.Run(ctx, func(ctx context.Context, s *traigo.Scope) error {
		s.Spawn(chore(tell, "the toast is done", 300*ms), traigo.Name("toast"))
		s.Spawn(func(ctx context.Context) error { return tea(ctx, tell) }, traigo.Name("tea"))
		return nil
	}, traigo.Name("breakfast"))
}

// tea is over when the kettle whistles, because that task is the master.
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

// guests have an hour, until somebody looks at the clock.
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

// chore returns a task function that takes a while and says when it is done.
func chore(tell teller, line string, d time.Duration) func(context.Context) error {
	return func(ctx context.Context) error {
		err := traigo.Sleep(ctx, d)
		if err == nil {
			tell(line)
		}
		return err
	}
}

// A teller prints a line with the time since it was made.
type teller func(format string, args ...any)

func newTeller(w io.Writer) teller {
	var mu sync.Mutex // tasks tell at the same time
	start := time.Now()
	return func(format string, args ...any) {
		mu.Lock()
		defer mu.Unlock()
		fmt.Fprintf(w, "%.1fs  %s\n", time.Since(start).Seconds(), fmt.Sprintf(format, args...))
	}
}
