// Tcpserver is a chat server in which every connection has a scope of its own.
//
//	go run ./examples/tcpserver [-addr a] [-grace d] [-idle d] [-record run.jsonl]
//	nc 127.0.0.1 5000
//
// SIGTERM or Ctrl-C shuts it down: it accepts no new connections, tells all guests, and
// lets commands that run finish until the grace period is over. With -record it writes a
// recording, which this shows: go run ./cmd/traigo view run.jsonl
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

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/record"
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

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal kills the program
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	srv := &server{grace: *grace, idle: *idle, queue: 256, log: log}
	if err := recorded(srv, *file, func() error { return listenAndServe(ctx, *addr, srv) }); err != nil {
		log.Error("ended", "err", err)
		os.Exit(1)
	}
}

// recorded calls serve, and records the scopes of srv if a file is given.
func recorded(srv *server, file string, serve func() error) error {
	if file == "" {
		return serve()
	}
	rec, err := record.Create(file)
	if err != nil {
		return err
	}
	srv.watch = append(srv.watch, traigo.Observe(rec))
	return errors.Join(serve(), rec.Close())
}

func listenAndServe(ctx context.Context, addr string, srv *server) error {
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	fmt.Println("listening on", ln.Addr())
	return srv.serve(ctx, ln)
}
