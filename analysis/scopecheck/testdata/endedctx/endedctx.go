package endedctx

import (
	"context"
	"log/slog"
	"time"

	"github.com/traigo/traigo"
)

func work(ctx context.Context) error { return ctx.Err() }

func waited(ctx context.Context) error {
	s := traigo.New(ctx)
	sctx := s.Context()
	if err := s.Wait(); err != nil {
		_ = work(sctx)
		return err
	}
	if err := work(s.Context()); err != nil { // want `s.Context\(\) is done here, since s.Wait has returned`
		return err
	}
	return work(sctx) // want `sctx is done here, since s.Wait has returned`
}

func closed(ctx context.Context, n int) error {
	switch s := traigo.New(ctx); n {
	case 1:
		_ = s.Close()
		return traigo.Sleep(s.Context(), time.Second) // want `s.Context\(\) is done here, since s.Close has returned`
	default:
		return s.Shutdown(ctx)
	}
}

func stored(ctx context.Context) error {
	var inner, scope context.Context
	err := traigo.Run(ctx, func(ctx context.Context, s *traigo.Scope) error {
		inner = ctx
		return nil
	})
	if err != nil {
		return err
	}
	_, err = traigo.MoveOnAfter(ctx, time.Second, func(ctx context.Context) error {
		scope = ctx
		return nil
	})
	_ = work(scope)    // want `scope is done here, since MoveOnAfter has returned`
	return work(inner) // want `inner is done here, since Run has returned`
}

// What follows is right.

func asked(ctx context.Context, log *slog.Logger) error {
	s := traigo.New(ctx)
	_ = s.Wait()
	log.ErrorContext(s.Context(), "ended")
	if s.Context().Err() != nil {
		return context.Cause(s.Context())
	}
	return work(context.WithoutCancel(s.Context()))
}

func before(ctx context.Context) error {
	s := traigo.New(ctx)
	defer func() { _ = s.Close() }()
	return work(s.Context())
}

func conditional(ctx context.Context, is bool) error {
	s := traigo.New(ctx)
	if is {
		return s.Close()
	}
	_ = work(s.Context())
	return s.Wait()
}

func again(ctx context.Context) error {
	s := traigo.New(ctx)
	_ = s.Wait()
	s = traigo.New(ctx)
	_ = work(s.Context())
	return s.Wait()
}

func later(ctx context.Context) error {
	s := traigo.New(ctx)
	defer func() { _ = s.Close() }()
	go func() { _ = s.Wait() }()
	return work(s.Context())
}

func reset(ctx context.Context) error {
	inner := ctx
	err := traigo.Run(ctx, func(ctx context.Context, s *traigo.Scope) error {
		inner = ctx
		return nil
	})
	if err != nil {
		return err
	}
	return work(inner) // what is in it is not known
}
