// Httpserver is a web server whose requests are tasks of a scope, and so is the work that
// they leave behind.
//
//	go run ./examples/httpserver [-addr a] [-grace d] [-delay d]
//	curl 127.0.0.1:8080/offer/tea           asks two backends at once
//	curl -X POST 127.0.0.1:8080/mail/ann    answers, and then sends the mail
//	curl -N 127.0.0.1:8080/clock            streams until the server stops
//
// SIGTERM or Ctrl-C shuts it down: it accepts no new connections, and the requests that
// run may finish. A second signal, or the end of the grace period, cancels them.
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
)

var errGraceOver = errors.New("the grace period is over")

func main() {
	addr := flag.String("addr", "127.0.0.1:8080", "`address` to listen on; port 0 picks a free one")
	grace := flag.Duration("grace", 10*time.Second, "how long work may go on after SIGTERM")
	delay := flag.Duration("delay", 500*time.Millisecond, "how long a backend takes to answer, and a mail to be sent")
	flag.Parse()
	if *grace < 0 || *delay < 0 || flag.NArg() > 0 {
		flag.Usage()
		os.Exit(2)
	}

	answer := func(text string) backend {
		return func(ctx context.Context, _ string) (string, error) { return text, traigo.Sleep(ctx, *delay) }
	}
	srv := &server{
		price:    answer("3.20 a cup"),
		stock:    answer("12 left"),
		send:     func(ctx context.Context, _ string) error { return traigo.Sleep(ctx, *delay) },
		patience: 2 * time.Second,
		tick:     time.Second,
		log:      slog.New(slog.NewTextHandler(os.Stderr, nil)),
	}
	if err := run(*addr, *grace, srv); err != nil {
		srv.log.Error("ended", "err", err)
		os.Exit(1)
	}
}

func run(addr string, grace time.Duration, srv *server) error {
	first, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	fmt.Printf("listening on %[1]v; try\n  curl %[1]v/offer/tea\n  curl -X POST %[1]v/mail/ann\n  curl -N %[1]v/clock\n", ln.Addr())

	// The scope is not opened under the context of the signal: a signal begins a shutdown,
	// and must not cancel the requests.
	scope := srv.serve(context.Background(), ln)
	select {
	case <-first.Done():
	case <-scope.Done(): // the server has failed
	}
	second, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	bound, cancel := context.WithTimeoutCause(second, grace, errGraceOver)
	defer cancel()
	srv.log.Info("shutting down", "grace", grace, "why", context.Cause(first))
	return scope.Shutdown(bound)
}
