package outerctx

import (
	"context"
	"log/slog"
	"net/http"
	"slices"
	"time"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/capacity"
	"github.com/traigo/traigo/supervise"
)

func work(ctx context.Context) error              { return ctx.Err() }
func get(ctx context.Context, n int) (int, error) { return n, ctx.Err() }

func unnamed(ctx context.Context, s *traigo.Scope) {
	s.Spawn(func(context.Context) error { return work(ctx) })                                      // want `the function given to Spawn uses ctx from outside, which is not canceled with its own context`
	s.TrySpawn(func(_ context.Context) error { return work(ctx) })                                 // want `the function given to TrySpawn uses ctx`
	_, _ = traigo.All(ctx, func(context.Context) (int, error) { return get(ctx, 1) })              // want `the function given to All uses ctx`
	_, _ = s.Start(ctx, func(_ context.Context, ready func()) error { ready(); return work(ctx) }) // want `the function given to Start uses ctx`
	s.Spawn(supervise.Restart(func(context.Context) error { return work(ctx) }))                   // want `the function given to Restart uses ctx`
}

func items(ctx context.Context, list []int) error {
	return traigo.ForEach(ctx, slices.Values(list), func(context.Context, int) error { return work(ctx) }) // want `the function given to ForEach uses ctx`
}

func named(outer context.Context) error {
	return traigo.Run(outer, func(ctx context.Context, s *traigo.Scope) error {
		s.Spawn(func(own context.Context) error {
			if err := traigo.Sleep(own, time.Second); err != nil {
				return err
			}
			return work(ctx) // want `the function given to Spawn uses ctx from outside`
		})
		_, err := traigo.Async(s, func(_ context.Context) (int, error) { return get(ctx, 1) }).Await(ctx) // want `the function given to Async uses ctx`
		return err
	})
}

func body(outer context.Context, l *capacity.Limiter) error {
	_ = l.Do(outer, 1, func(context.Context) error { return work(outer) })    // want `the function given to Do uses outer`
	return traigo.Run(outer, func(_ context.Context, s *traigo.Scope) error { // a comment
		if err := work(outer); err != nil { // want `the body of Run uses outer`
			return err
		}
		<-outer.Done()
		return work(outer)
	})
}

func limit(ctx context.Context) error {
	return traigo.FailAfter(ctx, time.Second, func(short context.Context) error {
		return work(ctx) // want `the function given to FailAfter uses ctx`
	})
}

func variable(ctx context.Context, s *traigo.Scope) {
	fn := func(context.Context) error { return work(ctx) } // want `the function given to Spawn uses ctx`
	s.Spawn(fn)
	spawn := s.Spawn
	spawn(func(context.Context) error { return work(ctx) }) // want `the function given to Spawn uses ctx`
}

func opened(ctx context.Context) error {
	s := traigo.New(ctx)
	s.Spawn(func(context.Context) error { return work(ctx) }) // want `the function given to Spawn uses ctx`
	sctx := s.Context()
	_ = sctx.Err()
	s.Spawn(func(context.Context) error { return work(sctx) }) // want `the function given to Spawn uses sctx`
	f := s.Fork()
	f.Spawn(func(context.Context) error { return work(ctx) }) // want `the function given to Spawn uses ctx`
	f.Finalize()
	return s.Wait()
}

func bothMeant(ctx context.Context, s *traigo.Scope) {
	s.Spawn(func(context.Context) error { // no fix: the first ctx is meant
		traigo.Current(ctx).Spawn(work)
		return work(ctx) // want `the function given to Spawn uses ctx`
	})
}

func waits(ctx context.Context, s *traigo.Scope, c chan int) {
	s.Spawn(func(context.Context) error {
		select {
		case <-c:
		case <-ctx.Done(): // want `the function given to Spawn uses ctx`
		}
		return nil
	})
}

// What follows is right.

func own(ctx context.Context, s *traigo.Scope) {
	s.Spawn(func(ctx context.Context) error { return work(ctx) })
	s.Spawn(func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		return work(ctx)
	})
}

func valuesOnly(ctx context.Context, s *traigo.Scope, log *slog.Logger) {
	s.Spawn(func(context.Context) error {
		log.InfoContext(ctx, "hello", "user", ctx.Value(1))
		s.Spawn(work, traigo.Values(ctx), traigo.AdmitBefore(ctx))
		<-traigo.Stopping(ctx)
		return context.Cause(ctx)
	})
}

func cleanup(ctx context.Context, s *traigo.Scope, srv *http.Server) {
	s.Spawn(func(own context.Context) error {
		<-own.Done()
		return srv.Shutdown(ctx)
	})
	s.Spawn(func(own context.Context) error {
		defer srv.Shutdown(ctx)
		if err := work(own); err != nil {
			return srv.Shutdown(ctx)
		}
		return nil
	})
}

func both(ctx context.Context) error {
	_, err := traigo.MoveOnAfter(ctx, time.Second, func(short context.Context) error {
		if _, err := get(short, 1); err != nil {
			return err
		}
		return work(ctx)
	})
	return err
}

func detached(ctx context.Context, s *traigo.Scope) error {
	apart, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	s.Spawn(func(context.Context) error { return work(apart) })
	return traigo.Run(context.WithoutCancel(ctx), func(context.Context, *traigo.Scope) error { return work(ctx) })
}

type pool struct{ scope *traigo.Scope }

// The work belongs to the pool, and is done for the caller.
func (p *pool) forTheCaller(ctx context.Context) error {
	s := traigo.New(p.scope.Context())
	s.Spawn(func(context.Context) error { return work(ctx) })
	return s.Wait()
}

func shared(s *traigo.Scope, ctx context.Context) {
	short, cancel := context.WithTimeout(ctx, time.Second)
	s.Spawn(func(context.Context) error { defer cancel(); return work(short) })
}

func callback(ctx context.Context, s *traigo.Scope, mux *http.ServeMux) {
	s.Spawn(func(context.Context) error {
		mux.HandleFunc("/", func(http.ResponseWriter, *http.Request) { _ = work(ctx) })
		return nil
	})
}

func takes(func(context.Context) error) {}

func noTask(ctx context.Context) {
	takes(func(context.Context) error { return work(ctx) })
}
