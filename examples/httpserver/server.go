package main

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/traigo/traigo"
)

// A server has one scope for everything that it starts:
//
//	server              tasks "serve", "drain", one for each request, one for each mail
//	└ offer             tasks "price" and "stock", during one request
type server struct {
	price, stock backend
	send         func(ctx context.Context, to string) error
	patience     time.Duration // the timeout of the backends
	tick         time.Duration // the interval of the clock
	log          *slog.Logger
	requests     atomic.Uint64
}

type backend func(ctx context.Context, item string) (string, error)

// serve answers requests on ln until the scope that it returns is shut down or
// canceled. When that scope is done, everything has ended.
func (srv *server) serve(ctx context.Context, ln net.Listener) *traigo.Scope {
	scope := traigo.New(ctx, traigo.Name("server"), traigo.Logger(srv.log),
		traigo.PanicAsError(),               // a bug in one job does not end the others
		traigo.CancelTimeout(5*time.Second), // a job that ignores the cancellation is given up
	)
	web := &http.Server{
		Handler:           srv.present(srv.routes()),
		BaseContext:       func(net.Listener) context.Context { return scope.Context() },
		ReadHeaderTimeout: 5 * time.Second,
		ErrorLog:          slog.NewLogLogger(srv.log.Handler(), slog.LevelWarn),
	}
	scope.Spawn(func(context.Context) error {
		if err := web.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	}, traigo.Name("serve"))
	scope.Spawn(func(ctx context.Context) error {
		<-traigo.Stopping(ctx)   // closed by Shutdown, and when the scope is canceled
		err := web.Shutdown(ctx) // ctx is done when the grace period is over
		return errors.Join(err, web.Close())
	}, traigo.Name("drain"))
	return scope
}

// present makes the scope wait for requests. Package net/http runs handlers on goroutines
// that no scope knows, so present spawns a task that lasts as long as the handler runs.
func (srv *server) present(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		gone := make(chan struct{})
		defer close(gone)
		standIn := func(context.Context) error {
			<-gone
			return nil
		}
		scope, name := traigo.Current(r.Context()), r.Method+" "+r.URL.Path
		if _, ok := scope.TrySpawn(standIn, traigo.Name(name)); !ok {
			http.Error(w, "the server has stopped", http.StatusServiceUnavailable)
			return
		}

		ctx := context.WithValue(r.Context(), idKey{}, srv.requests.Add(1))
		srv.log.Info("request", "id", requestID(ctx), "for", name)
		defer func() {
			// The cause of ctx would not do: the connection may have been closed first.
			if by := context.Cause(scope.Context()); by != nil {
				srv.log.Warn("cut off", "id", requestID(ctx), "request", name, "by", by)
			}
		}()
		next.ServeHTTP(w, r.WithContext(ctx))
	})
}

type idKey struct{}

func requestID(ctx context.Context) uint64 {
	id, _ := ctx.Value(idKey{}).(uint64)
	return id
}
