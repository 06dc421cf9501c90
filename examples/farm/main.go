// Farm compresses 60 files on three workers, each a process of its own as if it were a machine of
// its own, and has some bad luck on the way:
//
//	cd examples/farm && go run .               # a worker is killed in the middle
//	cd examples/farm && go run . -kill-owner   # the owner of the job is, and comes back later
//
// It starts a Temporal server, the workers, and an owner, which has the files compressed. It tells
// once a second who does what, kills, and checks in the end that each file was compressed, and how
// often. With -away 1s the owner is back within its lease: then nothing is even interrupted.
//
// What a user of package temporal writes is in job.go. Here and in farm.go is what is otherwise done
// by those who run it. On a real cluster, where TEMPORAL_ADDRESS names the server,
//
//	farm worker                  # on each machine, until a SIGTERM
//	farm owner ID DIR            # compresses DIR/in; what ID has done before is not done again
//
// does the same with a directory that all of them see.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/serve"
	"github.com/traigo/traigo/temporal/embedded"
)

func main() {
	killOwner := flag.Bool("kill-owner", false, "kill the owner, and not a worker")
	away := flag.Duration("away", lease+2*time.Second, "how long the owner is away when it was killed")
	flag.Parse()
	switch args := flag.Args(); {
	case len(args) == 0:
		serve.Main(func(ctx context.Context, _ *traigo.Scope) error {
			return start(ctx, os.Stdout, *killOwner, *away)
		}, traigo.Name("farm"), serve.Grace(0)) // at Ctrl-C everybody stops
	case len(args) == 1 && args[0] == "worker":
		part(work)
	case len(args) == 3 && args[0] == "owner":
		part(func(ctx context.Context, _ *traigo.Scope) error { return own(ctx, args[1], args[2]) }, serve.Grace(0))
	default:
		flag.Usage()
		os.Exit(2)
	}
}

// part is main in a worker or an owner. It ends by a SIGTERM, or when its standard input does, which
// it has from who has started it. A Ctrl-C at the terminal is for that one only.
func part(body func(ctx context.Context, s *traigo.Scope) error, opts ...traigo.ScopeOption) {
	signal.Ignore(os.Interrupt)
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		_ = syscall.Kill(os.Getpid(), syscall.SIGTERM)
	}()
	serve.Main(body, opts...)
}

// start makes the server and the files, and removes them when all else has ended.
func start(ctx context.Context, out io.Writer, killOwner bool, away time.Duration) (err error) {
	dir, err := os.MkdirTemp("", "farm")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if err := makeFiles(dir); err != nil {
		return err
	}
	server, err := embedded.Start()
	if err != nil {
		return err
	}
	defer server.Stop()
	fmt.Fprintf(out, "A Temporal server runs at %s, in this process.\n", server.Address())
	f := &farm{out: out, dir: dir, address: server.Address(), killOwner: killOwner, away: away}
	return f.run(ctx)
}
