package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/serve"
)

// A shop has the handlers, and what they need.
type shop struct {
	price, stock backend
	send         func(ctx context.Context, to string) error
	patience     time.Duration // the timeout of the backends
	tick         time.Duration // the interval of the clock
	log          *slog.Logger
}

type backend func(ctx context.Context, item string) (string, error)

func (sh *shop) routes() *http.ServeMux {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /offer/{item}", sh.offer)
	mux.HandleFunc("POST /mail/{to}", sh.mail)
	mux.HandleFunc("GET /clock", sh.clock)
	return mux
}

// offer asks two backends at the same time, under the context of the request. It ends
// when the client hangs up, and when the server is cut off.
func (sh *shop) offer(w http.ResponseWriter, r *http.Request) {
	item := r.PathValue("item")
	var price, stock string
	err := traigo.Run(r.Context(), func(_ context.Context, s *traigo.Scope) error {
		s.Spawn(func(ctx context.Context) (err error) {
			price, err = sh.price(ctx, item)
			return err
		}, traigo.Name("price"))
		s.Spawn(func(ctx context.Context) (err error) {
			stock, err = sh.stock(ctx, item)
			return err
		}, traigo.Name("stock"))
		return nil
	}, traigo.Name("offer"), traigo.Timeout(sh.patience))

	switch {
	case err == nil:
		fmt.Fprintf(w, "%s: %s, %s\n", item, price, stock)
		return
	case r.Context().Err() != nil: // which is logged for every request
		http.Error(w, "cut off", http.StatusServiceUnavailable)
		return
	case errors.Is(err, context.DeadlineExceeded):
		http.Error(w, "too slow", http.StatusGatewayTimeout)
	default:
		http.Error(w, "no offer", http.StatusBadGateway)
	}
	sh.log.Warn("no offer", "id", id(r), "err", err)
}

// mail starts a task that outlives the request, but not the server: the scope is that of
// all requests.
func (sh *shop) mail(w http.ResponseWriter, r *http.Request) {
	to := r.PathValue("to")
	log := sh.log.With("id", id(r), "to", to)
	send := func(ctx context.Context) error { return sh.send(ctx, to) }
	sent := func(err error) {
		if err != nil {
			log.Error("mail not sent", "err", err)
			return
		}
		log.Info("mail sent")
	}
	// With OnDone the error belongs to the callback: it does not end the server.
	if _, ok := serve.RequestScope(r).TrySpawn(send, traigo.Name("mail to "+to), traigo.OnDone(sent)); !ok {
		http.Error(w, "cut off", http.StatusServiceUnavailable)
		return
	}
	w.WriteHeader(http.StatusAccepted)
}

// clock streams for ever. A shutdown waits for all requests, so clock returns when Stopping
// is closed.
func (sh *shop) clock(w http.ResponseWriter, r *http.Request) {
	ctx := r.Context()
	for {
		fmt.Fprintln(w, time.Now().Format(time.TimeOnly))
		if http.NewResponseController(w).Flush() != nil {
			return // the client has gone
		}
		select {
		case <-time.After(sh.tick):
		case <-traigo.Stopping(ctx):
			fmt.Fprintln(w, "the server stops")
			return
		case <-ctx.Done():
			return
		}
	}
}
