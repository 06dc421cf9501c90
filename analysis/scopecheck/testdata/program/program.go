// Command program has what is reported of the body of serve.Main, which is one like that of Run.
package main

import (
	"context"
	"net"
	"net/http"
	"os"
	"os/signal"
	"time"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/serve"
)

func work(ctx context.Context) error { return ctx.Err() }
func play()                          {}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	// Without a use, the variable ctx would not compile: there is no fix.
	serve.Main(func(context.Context, *traigo.Scope) error { return work(ctx) })                  // want `the body of Main uses ctx from outside`
	serve.Main(func(context.Context, *traigo.Scope) error { return work(context.Background()) }) // want `context.Background in the body of Main is not canceled with its scope`
	serve.Main(func(ctx context.Context, s *traigo.Scope) error {
		s.Spawn(func(own context.Context) error { // it uses both
			_ = work(own)
			return work(ctx) // want `the function given to Spawn uses ctx`
		})
		go func() { // want `the goroutine that the body of Main starts`
			play()
		}()
		return s.Wait() // want `Wait in the body of Main waits for the scope that it is a part of, forever`
	}, serve.Grace(time.Second))
}

func used() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	_ = work(ctx)
	serve.Main(func(context.Context, *traigo.Scope) error { return work(ctx) }) // want `the body of Main uses ctx from outside`
}

func handlers() {
	serve.Main(func(ctx context.Context, s *traigo.Scope) error {
		mux := http.NewServeMux()
		mux.HandleFunc("GET /", func(w http.ResponseWriter, r *http.Request) {
			serve.RequestScope(r).Spawn(func(context.Context) error { return work(r.Context()) }) // want `the function given to Spawn uses r.Context\(\)`
		})
		serve.HTTP(s, &http.Server{Handler: mux}, nil)
		return work(ctx)
	})
}

func right() {
	serve.Main(func(ctx context.Context, s *traigo.Scope) error {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return err
		}
		serve.Signals(s, time.Second)
		mux := http.NewServeMux()
		mux.HandleFunc("GET /", func(w http.ResponseWriter, r *http.Request) {
			serve.RequestScope(r).Spawn(work, traigo.Values(r.Context()))
			_ = work(r.Context())
			go play() // that the handler is a task is not seen
		})
		serve.HTTP(s, &http.Server{Handler: mux}, l)
		s.Spawn(work)
		return work(ctx)
	})
}
