// Grpc is a gRPC server in which every call is a task of the server's scope. It
// has the standard health service, which runs all its probes at the same time.
//
//	cd examples/servers && go run ./grpc [-addr a] [-grace d]
//	grpcurl -plaintext -d '{"service":"disk"}' 127.0.0.1:9090 grpc.health.v1.Health/Check
//
// SIGTERM or Ctrl-C shuts it down: it accepts no new calls, and the calls that run may
// finish until the grace period is over, or a second signal comes.
package main

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"os"
	"time"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/serve"
)

// options are those of the scope that everything runs in.
var options = []traigo.ScopeOption{
	traigo.Name("server"),
	traigo.PanicAsError(), // a bug in one call does not end the others
}

func main() {
	addr := flag.String("addr", "127.0.0.1:9090", "`address` to listen on; port 0 picks a free one")
	grace := flag.Duration("grace", 5*time.Second, "how long calls may go on after SIGTERM")
	flag.Parse()
	if *grace < 0 || flag.NArg() > 0 {
		flag.Usage()
		os.Exit(2)
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	serve.Main(func(_ context.Context, s *traigo.Scope) error {
		ln, err := net.Listen("tcp", *addr)
		if err != nil {
			return err
		}
		fmt.Println("listening on", ln.Addr())
		open(s, ln, &health{log: log, probes: map[string]probe{
			"disk":   func(context.Context) error { _, err := os.Stat(os.TempDir()); return err },
			"memory": func(context.Context) error { return nil },
		}}, log)
		return nil
	}, append(options, traigo.Logger(log), serve.Grace(*grace))...)
}
