package background

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/traigo/traigo"
)

func work(ctx context.Context) error { return ctx.Err() }

func tasks(s *traigo.Scope) {
	s.Spawn(func(ctx context.Context) error { return work(context.Background()) })                       // want `context.Background in the function given to Spawn is not canceled with its scope, .* traigo.Shield`
	s.Spawn(func(_ context.Context) error { return work(context.TODO()) })                               // want `context.TODO in the function given to Spawn`
	s.Spawn(func(context.Context) error { return work(context.Background()) })                           // want `context.Background in`
	_ = traigo.Async(s, func(own context.Context) (int, error) { return 1, work(context.Background()) }) // want `context.Background in the function given to Async`
	_, _ = s.Start(context.Background(), func(_ context.Context, ready func()) error {                   // the caller's may be
		ready()
		bg := context.Background() // want `context.Background in the function given to Start`
		return work(bg)
	})
}

func limits(ctx context.Context) error {
	return traigo.Run(ctx, func(_ context.Context, s *traigo.Scope) error {
		short, cancel := context.WithTimeout(context.Background(), time.Second) // want `context.Background in the body of Run`
		defer cancel()
		return work(short)
	})
}

func hidden(s *traigo.Scope) {
	s.Spawn(func(ctx context.Context) error {
		{
			ctx := 1
			_ = ctx
			return work(context.Background()) // want `context.Background in the function given to Spawn`
		}
	})
}

func unbounded(s *traigo.Scope, srv *http.Server) {
	s.Spawn(func(ctx context.Context) error {
		<-ctx.Done()
		return srv.Shutdown(context.Background()) // want `context.Background in the function given to Spawn`
	})
}

// What follows is right.

func bounded(s *traigo.Scope, srv *http.Server) {
	s.Spawn(func(ctx context.Context) error {
		<-ctx.Done()
		short, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		return srv.Shutdown(short)
	})
	s.Spawn(func(ctx context.Context) error {
		<-ctx.Done()
		return traigo.Shield(ctx, time.Second, srv.Shutdown)
	})
}

func others(t *testing.T, s *traigo.Scope, mux *http.ServeMux) {
	s.Spawn(func(ctx context.Context) error {
		mux.HandleFunc("/", func(http.ResponseWriter, *http.Request) { _ = work(context.Background()) })
		t.Cleanup(func() { _ = work(context.Background()) })
		return work(context.WithoutCancel(ctx))
	})
}

func waits(ctx context.Context) error {
	return traigo.Run(ctx, func(_ context.Context, s *traigo.Scope) error {
		f := traigo.Async(s, func(context.Context) (int, error) { return 1, nil })
		_, _ = f.Await(context.Background())
		apart := traigo.New(context.Background())
		_ = apart.Shutdown(context.Background())
		return s.Spawn(work).Wait(context.Background())
	})
}

func outside() error { return work(context.Background()) }
