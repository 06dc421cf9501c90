// Tcpserver is a chat server in which every connection has a scope of its own.
//
//	go run ./examples/tcpserver [-addr a] [-grace d] [-idle d] [-record run.jsonl]
//	nc 127.0.0.1 5000
//
// SIGTERM or Ctrl-C shuts it down: it accepts no new connections, tells all guests, and
// lets commands that run finish until the grace period is over, or a second signal comes. With
// -record it writes a recording, which this shows: go run ./cmd/traigo view run.jsonl
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"os"
	"time"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/record"
	"github.com/traigo/traigo/serve"
)

func main() {
	addr := flag.String("addr", "127.0.0.1:5000", "`address` to listen on; port 0 picks a free one")
	grace := flag.Duration("grace", 5*time.Second, "how long commands may go on after SIGTERM")
	idle := flag.Duration("idle", 5*time.Minute, "say goodbye to who is silent for this long; 0 means never")
	file := flag.String("record", "", "`file` to record all scopes and tasks in")
	flag.Parse()
	if *grace < 0 || *idle < 0 || flag.NArg() > 0 {
		flag.Usage()
		os.Exit(2)
	}

	srv := &server{idle: *idle, queue: 256, log: slog.New(slog.NewTextHandler(os.Stderr, nil))}
	serve.Main(func(ctx context.Context, _ *traigo.Scope) error {
		return recorded(ctx, *file, func(_ context.Context, s *traigo.Scope) error {
			ln, err := net.Listen("tcp", *addr)
			if err != nil {
				return err
			}
			fmt.Println("listening on", ln.Addr())
			srv.serve(s, ln)
			return nil
		}, traigo.Name("server"), traigo.Logger(srv.log))
	}, serve.Grace(*grace), traigo.Name("tcpserver"))
}

// recorded runs body in a scope, and records the scope if a file is given. The scope of Main
// is one further out, since Main does not return from an error, and the recording has to be
// closed.
func recorded(ctx context.Context, file string, body func(ctx context.Context, s *traigo.Scope) error, opts ...traigo.ScopeOption) error {
	if file == "" {
		return traigo.Run(ctx, body, opts...)
	}
	rec, err := record.Create(file)
	if err != nil {
		return err
	}
	err = traigo.Run(ctx, body, append(opts, traigo.Observe(rec))...)
	return errors.Join(err, rec.Close())
}
