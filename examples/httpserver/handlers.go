package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/traigo/traigo"
)

func (srv *server) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /offer/{item}", srv.offer)
	mux.HandleFunc("POST /mail/{to}", srv.mail)
	mux.HandleFunc("GET /clock", srv.clock)
	return mux
}

// offer asks two backends at the same time, under the context of the request. It ends
// when the client hangs up, and when the server's scope ends.
func (srv *server) offer(w http.ResponseWriter, r *http.Request) {
	item := r.PathValue("item")
	var price, stock string
	err := traigo.Run(r.Context(), func(_ context.Context, s *traigo.Scope) error {
		s.Spawn(func(ctx context.Context) (err error) {
			price, err = srv.price(ctx, item)
			return err
		}, traigo.Name("price"))
		s.Spawn(func(ctx context.Context) (err error) {
			stock, err = srv.stock(ctx, item)
			return err
		}, traigo.Name("stock"))
		return nil
	}, traigo.Name("offer"), traigo.Timeout(srv.patience))

	switch {
	case err == nil:
		fmt.Fprintf(w, "%s: %s, %s\n", item, price, stock)
		return
	case r.Context().Err() != nil:
		http.Error(w, "cut off", http.StatusServiceUnavailable)
	case errors.Is(err, context.DeadlineExceeded):
		http.Error(w, "too slow", http.StatusGatewayTimeout)
	default:
		http.Error(w, "no offer", http.StatusBadGateway)
	}
	srv.log.Warn("no offer", "id", requestID(r.Context()), "err", err)
}

// mail starts a task that outlives the request, but not the server. The task has the
// values of the request's context, and does not end with it.
func (srv *server) mail(w http.ResponseWriter, r *http.Request) {
	ctx, to := r.Context(), r.PathValue("to")
	send := func(ctx context.Context) error { return srv.send(ctx, to) }
	sent := func(err error) {
		if err != nil {
			srv.log.Error("mail not sent", "id", requestID(ctx), "to", to, "err", err)
			return
		}
		srv.log.Info("mail sent", "id", requestID(ctx), "to", to)
	}
	// With OnDone the error belongs to the callback: it does not end the server.
	if _, ok := traigo.Current(ctx).TrySpawn(send, traigo.Name("mail to "+to), traigo.Values(ctx), traigo.OnDone(sent)); !ok {
		http.Error(w, "cut off", http.StatusServiceUnavailable)
		return
	}
	w.WriteHeader(http.StatusAccepted)
}

// clock streams for ever. A shutdown waits for all requests, so clock returns when Stopping
// is closed.
func (srv *server) clock(w http.ResponseWriter, r *http.Request) {
	ctx := r.Context()
	for {
		fmt.Fprintln(w, time.Now().Format(time.TimeOnly))
		if http.NewResponseController(w).Flush() != nil {
			return // the client has gone
		}
		select {
		case <-time.After(srv.tick):
		case <-traigo.Stopping(ctx):
			fmt.Fprintln(w, "the server stops")
			return
		case <-ctx.Done():
			return
		}
	}
}
