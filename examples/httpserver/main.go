// Httpserver is a web server whose requests are tasks of a scope, and so is the work that
// they leave behind.
//
//	go run ./examples/httpserver [-addr a] [-grace d] [-delay d]
//	curl 127.0.0.1:8080/offer/tea           asks two backends at once
//	curl -X POST 127.0.0.1:8080/mail/ann    answers, and then sends the mail
//	curl -N 127.0.0.1:8080/clock            streams until the server stops
//
// SIGTERM or Ctrl-C shuts it down: it accepts no new connections, and requests and mails may
// finish. A second signal, or the end of the grace period, cancels them, and the exit status
// tells of the signal.
package main

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/serve"
)

// options are those of the scope that everything runs in.
var options = []traigo.ScopeOption{
	traigo.Name("server"),
	traigo.PanicAsError(),             // a bug in one mail does not end the server
	traigo.CancelTimeout(time.Second), // a client that does not read is not waited for longer
}

func main() {
	addr := flag.String("addr", "127.0.0.1:8080", "`address` to listen on; port 0 picks a free one")
	grace := flag.Duration("grace", 8*time.Second, "how long work may go on after SIGTERM")
	delay := flag.Duration("delay", 500*time.Millisecond, "how long a backend takes to answer, and a mail to be sent")
	flag.Parse()
	if *grace < 0 || *delay < 0 || flag.NArg() > 0 {
		flag.Usage()
		os.Exit(2)
	}

	answer := func(text string) backend {
		return func(ctx context.Context, _ string) (string, error) { return text, traigo.Sleep(ctx, *delay) }
	}
	sh := &shop{
		price:    answer("3.20 a cup"),
		stock:    answer("12 left"),
		send:     func(ctx context.Context, _ string) error { return traigo.Sleep(ctx, *delay) },
		patience: 2 * time.Second,
		tick:     time.Second,
		log:      slog.New(slog.NewTextHandler(os.Stderr, nil)),
	}
	serve.Main(func(_ context.Context, s *traigo.Scope) error {
		ln, err := net.Listen("tcp", *addr)
		if err != nil {
			return err
		}
		fmt.Printf("listening on %[1]v; try\n  curl %[1]v/offer/tea\n  curl -X POST %[1]v/mail/ann\n  curl -N %[1]v/clock\n", ln.Addr())
		sh.open(s, ln)
		return nil
	}, append(options, traigo.Logger(sh.log), serve.Grace(*grace))...)
}

// open serves ln in s.
func (sh *shop) open(s *traigo.Scope, ln net.Listener) {
	serve.HTTP(s, &http.Server{
		Handler:           logged{sh.routes(), sh.log},
		ReadHeaderTimeout: 5 * time.Second,
		ErrorLog:          slog.NewLogLogger(sh.log.Handler(), slog.LevelWarn),
	}, ln)
}

// logged logs each request, and what has cut it off. It has the method Handler of the
// ServeMux, which serve.HTTP asks for the names of the tasks.
type logged struct {
	*http.ServeMux
	log *slog.Logger
}

func (l logged) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	log := l.log.With("id", id(r), "request", r.Method+" "+r.URL.Path)
	log.Info("begins")
	defer func() {
		if by := context.Cause(r.Context()); by != nil {
			log.Warn("cut off", "by", by)
		}
	}()
	l.ServeMux.ServeHTTP(w, r)
}

// id returns the number of the task that runs the request.
func id(r *http.Request) uint64 { return traigo.CurrentTask(r.Context()).ID() }
