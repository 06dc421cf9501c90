// Farm compresses 60 files on three workers, which are processes as if each had a machine of its
// own, and has bad luck on the way:
//
//	cd examples/farm && go run .               # a worker is killed in the middle
//	cd examples/farm && go run . -kill-owner   # who owns the job is, and comes back later
//
// The first build takes up to a quarter of an hour: a Temporal server is linked. The program starts
// that, the workers, and an owner, which has the files compressed. Once a second it tells who
// does what. In the end it checks each file, and how often it was made. With -kill-owner -away 1s the
// owner is back within its lease: then nothing is even interrupted.
//
// What a user of package temporal writes is in job.go. Where TEMPORAL_ADDRESS names a cluster,
//
//	farm worker          # on each machine, until a SIGTERM
//	farm owner ID DIR    # compresses DIR/in to DIR/out; what ID has done before is not done again
//
// do the same there, with a directory that all of them see.
package main

import (
	"bufio"
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"syscall"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/serve"
	"github.com/traigo/traigo/supervise"
	"github.com/traigo/traigo/temporal/embedded"
)

var (
	killOwner = flag.Bool("kill-owner", false, "kill the owner, and not a worker")
	lease     = flag.Duration("lease", 5*time.Second, "the time of silence after which somebody is taken for dead")
	away      = flag.Duration("away", 0, "how long the owner is away when it was killed (default 2s more than the lease)")
)

func main() {
	flag.Parse()
	*away = cmp.Or(*away, *lease+2*time.Second)
	if os.Getenv("FARM_CHILD") != "" {
		go func() { // standard input ends with the farm, however that comes
			_, _ = io.Copy(io.Discard, os.Stdin)
			os.Exit(1)
		}()
	}
	switch {
	case flag.NArg() == 0:
		serve.Main(farm, serve.Grace(0)) // at Ctrl-C everybody stops
	case flag.Arg(0) == "worker":
		serve.Main(work) // lets what it has in hand end
	case flag.Arg(0) == "owner" && flag.NArg() == 3:
		serve.Main(own, serve.Grace(0))
	default:
		flag.Usage()
		os.Exit(2)
	}
}

// farm makes files and a server, and removes them when all else has ended.
func farm(ctx context.Context, _ *traigo.Scope) (err error) {
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
	fmt.Println("Three workers compress 60 files. Each second: files done, and who has which.")
	a := &account{begun: time.Now()}
	err = traigo.Run(ctx, func(_ context.Context, s *traigo.Scope) error {
		for _, name := range workers {
			s.Spawn(a.process(name, server.Address(), time.Second, "worker"), traigo.Name(name), traigo.Awaited(false))
		}
		s.Spawn(a.process(owner, server.Address(), *away, "-lease", lease.String(), "owner", "farm-"+rand.Text()[:6], dir), traigo.Name(owner))
		s.Spawn(supervise.Every(time.Second, a.tell), traigo.Name("account"), traigo.Awaited(false))
		s.Spawn(a.kill, traigo.Name("bad luck"))
		return nil
	}, traigo.Name("processes"))
	if err != nil {
		return err
	}
	return a.conclude(dir)
}

// process returns a task that runs this program as a worker or an owner until it ends by itself,
// and notes what it says. If it fails, or is killed, it is started again after the pause.
func (a *account) process(name, server string, pause time.Duration, args ...string) func(context.Context) error {
	return supervise.Restart(func(ctx context.Context) error {
		program, err := os.Executable()
		if err != nil {
			return err
		}
		cmd := exec.CommandContext(ctx, program, args...)
		cmd.Env = append(os.Environ(), "FARM_CHILD=1", "TEMPORAL_ADDRESS="+server)
		cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
		cmd.WaitDelay = *lease
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // a Ctrl-C is for this process, which tells the others
		cmd.Stderr = os.Stderr
		if _, err := cmd.StdinPipe(); err != nil { // it ends with this process
			return err
		}
		out, err := cmd.StdoutPipe()
		if err != nil {
			return err
		}
		if err := cmd.Start(); err != nil {
			return err
		}
		a.note(event{Who: name, What: "started", Process: cmd.Process.Pid})
		for in := json.NewDecoder(bufio.NewReader(out)); ; {
			var e event
			if in.Decode(&e) != nil {
				break
			}
			e.Who = name
			a.note(e)
		}
		err = cmd.Wait()
		a.note(event{Who: name, What: "gone"})
		return cmp.Or(context.Cause(ctx), err)
	},
		supervise.Backoff(func() backoff.BackOff { return backoff.NewConstantBackOff(pause) }),
		supervise.Intensity(3, time.Minute),
		supervise.Logger(slog.New(slog.DiscardHandler))) // the account tells
}
