// Command pause is the program that the tests of Pause start: a tree of actors, some of which
// pause. What it says goes to standard output, which is a terminal mostly.
//
// Its processes end by themselves after some minutes, whatever a test leaves behind.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"runtime/pprof"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/actor"
)

// An Order is something to do in an actor.
type Order struct {
	Name   string
	Path   []string      // from the root, which is not in it, to the actor; each is started for this order
	Do     string        // ""; exit: at once, after its Pauses; stay: it does not end when it is asked to; read: from standard input
	Times  int           // how many Pauses there are, one behind the other; 0: one
	Within time.Duration // of Pause; 0: without a limit
	Grace  time.Duration // of the last actor of the path
	Later  bool          // it begins when the root gets SIGUSR2
	Cancel bool          // it is canceled when the root gets SIGUSR1
}

var run, pass *actor.Function[Order, string]

func init() {
	run = actor.Func("run", do)
	pass = actor.Func("pass", below)
}

func main() {
	time.AfterFunc(5*time.Minute, func() { os.Exit(9) })
	actor.Serve()
	var orders []Order
	if err := json.Unmarshal([]byte(os.Args[1]), &orders); err != nil {
		panic(err)
	}
	canceled, cancel := context.WithCancel(context.Background())
	later := make(chan struct{})
	on(syscall.SIGUSR1, cancel)
	on(syscall.SIGUSR2, func() { close(later) })
	say("root in %d", os.Getpid())
	var all sync.WaitGroup
	for _, o := range orders {
		all.Go(func() {
			if o.Later {
				<-later
			}
			ctx := context.Background()
			if o.Cancel {
				ctx = canceled
			}
			result, err := below(ctx, o)
			say("%s: %q %v", o.Name, result, err)
		})
	}
	all.Wait()
	say("the root has ended")
}

// on calls f when a signal has come for the first time.
func on(sig os.Signal, f func()) {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, sig)
	go func() {
		<-signals
		f()
	}()
}

// say writes a line at once: others write to the same file.
func say(format string, args ...any) { _, _ = os.Stdout.WriteString(fmt.Sprintf(format+"\n", args...)) }

// below does what is ordered in the actor at the end of the path.
func below(ctx context.Context, o Order) (result string, err error) {
	if len(o.Path) == 0 {
		return do(ctx, o)
	}
	err = traigo.Run(ctx, func(ctx context.Context, s *traigo.Scope) error {
		name := o.Path[0]
		o.Path = o.Path[1:]
		next, opts := pass, []actor.Option{actor.Expose(run, pass)}
		if len(o.Path) == 0 {
			next = run
			if o.Grace > 0 {
				opts = append(opts, actor.Grace(o.Grace))
			}
		}
		a, err := actor.Start(ctx, s, name, opts...)
		if err != nil {
			return err
		}
		result, err = next.Run(ctx, a, o)
		return err
	}, traigo.Name("below"))
	return result, err
}

func do(ctx context.Context, o Order) (string, error) {
	switch o.Do {
	case "stay":
		say("%s in %d", o.Name, os.Getpid())
		select {}
	case "read":
		var text [1]byte
		_, err := os.Stdin.Read(text[:])
		return "", err
	}
	var all sync.WaitGroup
	var mu sync.Mutex
	var failed error
	for i := range max(o.Times, 1) {
		all.Go(func() {
			pprof.Do(ctx, pprof.Labels("order", o.Name), func(ctx context.Context) {
				if err := pauseHere(ctx, o, i+1); err != nil {
					mu.Lock()
					defer mu.Unlock()
					failed = err
				}
			})
		})
		for o.Times > 1 && pausing() <= i {
			time.Sleep(time.Millisecond)
		}
	}
	if o.Times > 1 {
		say("%s: all wait", o.Name)
	}
	all.Wait()
	if o.Do == "exit" {
		os.Exit(3)
	}
	return o.Name + " went on", failed
}

// pausing is how many goroutines wait in Pause.
func pausing() int {
	stacks := make([]byte, 1<<20)
	return strings.Count(string(stacks[:runtime.Stack(stacks, true)]), "actor.Pause(")
}

func pauseHere(ctx context.Context, o Order, number int) error {
	if o.Within > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, o.Within)
		defer cancel()
	}
	say("%s %d in %d", o.Name, number, os.Getpid())
	if err := actor.Pause(ctx); err != nil {
		return err
	}
	say("%s %d is through", o.Name, number)
	return nil
}
