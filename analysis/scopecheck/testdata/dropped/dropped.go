package dropped

import (
	"context"
	"log"
	"slices"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/supervise"
)

func work(ctx context.Context) error { return ctx.Err() }

func deferred(ctx context.Context) {
	s := traigo.New(ctx)
	defer s.Close() // want `nobody looks at the error that Close returns: if a task has failed, it is lost here; return it, log it, or say by _ = that it is of no interest`
	s.Spawn(work)
}

func named(ctx context.Context) (n int, err error) {
	s := traigo.New(ctx)
	defer s.Close() // want `join it with the error that the function returns`
	s.Spawn(work)
	return 1, nil
}

func namedInALiteral(ctx context.Context) func() error {
	return func() (failure error) {
		s := traigo.New(ctx)
		defer s.Wait() // want `nobody looks at the error that Wait returns`
		s.Spawn(work)
		return nil
	}
}

func hidden(ctx context.Context) (err error) {
	{
		err := work(ctx)
		s := traigo.New(ctx)
		defer s.Close() // want `nobody looks`
		log.Print(err)
	}
	return nil
}

func statement(ctx context.Context) {
	s := traigo.New(ctx)
	s.Spawn(work)
	s.Wait() // want `nobody looks at the error that Wait returns`
	f := s.Fork()
	f.Shutdown(ctx) // want `nobody looks at the error that Shutdown returns`
}

func once(ctx context.Context) {
	s := traigo.New(ctx)
	defer s.Close() // want `nobody looks at the error that Close returns`
	s.Spawn(work)
	s.Wait()
}

func ran(ctx context.Context, items []int) {
	traigo.Run(ctx, func(ctx context.Context, s *traigo.Scope) error { return nil })                               // want `nobody looks at the error that Run returns`
	traigo.ForEach(ctx, slices.Values(items), func(context.Context, int) error { return nil })                     // want `nobody looks at the error that ForEach returns`
	supervise.Run(ctx, func(ctx context.Context, s *supervise.Siblings) error { return nil })                      // want `nobody looks`
	go supervise.WithServices(ctx, func(context.Context, *traigo.Scope, *supervise.Services) error { return nil }) // want `nobody looks`
}

// What follows is right.

func net(ctx context.Context) error {
	s := traigo.New(ctx)
	defer s.Close() // for the case that what follows panics
	s.Spawn(work)
	return s.Wait()
}

func looked(ctx context.Context) {
	s := traigo.New(ctx)
	defer s.Close()
	s.Spawn(work)
	<-s.Done()
	log.Print(s.Err())
}

func onPurpose(ctx context.Context) {
	s := traigo.New(ctx)
	defer func() { _ = s.Close() }()
	s.Spawn(work)
	_ = traigo.Run(ctx, func(ctx context.Context, s *traigo.Scope) error { return nil })
}

func others(ctx context.Context) {
	s := traigo.New(ctx)
	defer s.Close()
	serve(s) // may look at it
}

func serve(s *traigo.Scope) { s.Close() }

type server struct{ scope *traigo.Scope }

func (srv *server) close() { srv.scope.Close() }

func current(ctx context.Context) { traigo.Current(ctx).Fork().Close() }
