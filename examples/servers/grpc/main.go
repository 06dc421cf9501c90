// Grpc is a gRPC server in which every call is a task of the server's scope. It
// has the standard health service, which runs all its probes at the same time.
//
//	cd examples/servers && go run ./grpc [-addr a] [-grace d]
//	grpcurl -plaintext -d '{"service":"disk"}' 127.0.0.1:9090 grpc.health.v1.Health/Check
//
// SIGTERM or Ctrl-C shuts it down: it accepts no new calls, and the calls that run may
// finish until the grace period is over. A second signal kills the program.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"syscall"
	"time"
)

var errGraceOver = errors.New("the grace period is over")

func main() {
	addr := flag.String("addr", "127.0.0.1:9090", "`address` to listen on; port 0 picks a free one")
	grace := flag.Duration("grace", 5*time.Second, "how long calls may go on after SIGTERM")
	flag.Parse()
	if *grace < 0 || flag.NArg() > 0 {
		flag.Usage()
		os.Exit(2)
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	if err := run(*addr, *grace, log); err != nil {
		log.Error("ended", "err", err)
		os.Exit(1)
	}
}

func run(addr string, grace time.Duration, log *slog.Logger) error {
	signaled, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(signaled, stop)
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	fmt.Println("listening on", ln.Addr())

	scope := serve(context.Background(), ln, &health{log: log, probes: map[string]probe{
		"disk":   func(context.Context) error { _, err := os.Stat(os.TempDir()); return err },
		"memory": func(context.Context) error { return nil },
	}}, log)
	select {
	case <-signaled.Done():
		log.Info("shutting down", "grace", grace)
	case <-scope.Done(): // the server has failed
	}
	bound, cancel := context.WithTimeoutCause(context.Background(), grace, errGraceOver)
	defer cancel()
	return scope.Shutdown(bound)
}
