// Bench measures what package temporal costs beside the same by hand on the SDK: a workflow with
// one activity. Both run in turn, in pairs, against one server and with the same two worker
// processes, so that what else the machine does meets both. It prints a table in Markdown.
//
//	cd temporal && go run ./bench
//
// The server is the one at TEMPORAL_ADDRESS, the binary TRAIGO_TEMPORAL_SERVER, or one that is built
// from ../embedded: the first time that takes up to a quarter of an hour. It is a process of its
// own, the workers are two, and this one is the owner, except where an owner is killed.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"runtime/pprof"
	"strings"
	"time"
)

type settings struct {
	ones, fifties, thousands, cancels, kills int // how often each is measured
	inFlight                                 int
	only, profile                            string
}

func main() {
	if role := os.Getenv(roleVariable); role != "" {
		os.Exit(play(role))
	}
	var s settings
	flag.IntVar(&s.ones, "ones", 30, "pairs of one task")
	flag.IntVar(&s.fifties, "fifties", 5, "pairs of 50 at once")
	flag.IntVar(&s.thousands, "thousands", 3, "pairs of 1,000 at once")
	flag.IntVar(&s.cancels, "cancels", 20, "cancellations, of one task and of a scope each")
	flag.IntVar(&s.kills, "kills", 5, "owners killed, for each lease")
	flag.IntVar(&s.inFlight, "inflight", 500, "tasks of a scope that are in the engine at once")
	flag.StringVar(&s.only, "only", "", "which: bare or traigo; both if empty")
	flag.StringVar(&s.profile, "profile", "", "`file` for a CPU profile of the owner")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, s)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, s settings) error {
	server, err := findServer(ctx)
	if err != nil {
		return err
	}
	defer server.end()
	workers := make([]*process, 2)
	for i := range workers {
		if workers[i], err = start(ctx, "worker"); err != nil {
			return err
		}
		defer workers[i].end()
	}
	for _, w := range workers {
		if _, err := w.await(ctx, "ready"); err != nil {
			return err
		}
	}
	if s.profile != "" {
		file, err := os.Create(s.profile)
		if err != nil {
			return err
		}
		defer file.Close()
		if err := pprof.StartCPUProfile(file); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
	}
	b := &bench{settings: s, server: server, workers: workers}
	fmt.Fprintf(os.Stdout, "%s, %d processors, load %s, %s\n\n", time.Now().Format(time.DateOnly), runtime.NumCPU(), load(), runtime.Version())
	fmt.Fprint(os.Stdout, "| | bare SDK | traigo | |\n|---|---|---|---|\n")
	if err := b.all(ctx); err != nil {
		return err
	}
	fmt.Fprintln(os.Stdout, "\nload at the end:", load())
	return nil
}

// load returns the load average of the machine, where that can be read.
func load() string {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	one, _, _ := strings.Cut(string(text), " ")
	return one
}
