package unawaited

import (
	"context"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/proc"
)

var double = proc.Func("double", func(_ context.Context, n int) (int, error) { return 2 * n, nil })

func one(context.Context) (int, error) { return 1, nil }

func dropped(s *traigo.Scope) {
	traigo.Async(s, one)                                                // want `nobody awaits the future of Async: .* call Await, use Spawn if the result is of no interest, or give traigo.Bubble\(true\)`
	traigo.Async[int](s, one, traigo.Bubble(false), traigo.Name("one")) // want `nobody awaits the future of Async`
	double.Async(s, 1)                                                  // want `nobody awaits the future of Async`
	f := traigo.Async(s, one)                                           // want `nobody awaits f`
	_ = f
	async := traigo.Async[int]
	async(s, one) // want `nobody awaits the future of Async`
}

// What follows is right.

type answers struct{ first *traigo.Future[int] }

func used(ctx context.Context, s *traigo.Scope, a *answers) (*traigo.Future[int], error) {
	_, err := traigo.Async(s, one).Await(ctx)
	f := traigo.Async(s, one)
	s.Spawn(func(ctx context.Context) error { _, err := f.Await(ctx); return err })
	g := traigo.Async(s, one)
	<-g.Task().Done()
	a.first = traigo.Async(s, one)
	var all []*traigo.Future[int]
	all = append(all, traigo.Async(s, one))
	h := traigo.Async(s, one)
	all = append(all, h)
	_ = traigo.Async(s, one) // on purpose
	return all[0], err
}

func bubbles(s *traigo.Scope, flag bool, opt traigo.TaskOption, opts []traigo.TaskOption) {
	traigo.Async(s, one, traigo.Name("one"), traigo.Bubble(true))
	traigo.Async(s, one, traigo.Bubble(flag))
	traigo.Async(s, one, opt)
	traigo.Async(s, one, opts...)
}
