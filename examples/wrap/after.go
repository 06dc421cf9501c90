package main

import (
	"context"
	"errors"
	"sync/atomic"

	"github.com/traigo/traigo"
)

// sizeAfter adds up the sizes of the pages. The first request that fails cancels the
// others, and the error names its page. When Run returns no request is running.
func sizeAfter(ctx context.Context, s *site, pages []string) (int64, error) {
	var total atomic.Int64
	err := traigo.Run(ctx, func(ctx context.Context, scope *traigo.Scope) error {
		for _, page := range pages {
			scope.Spawn(func(ctx context.Context) error {
				size, err := s.fetch(ctx, page)
				total.Add(size)
				return err
			}, traigo.Name(page))
		}
		return nil
	}, traigo.Name("size"))
	return total.Load(), err
}

// checkAfter asks for every page. It uses Async, so the errors belong to its own code and
// not to the scope: none of them cancels the other requests, and all are returned.
func checkAfter(ctx context.Context, s *site, pages []string) error {
	return traigo.Run(ctx, func(ctx context.Context, scope *traigo.Scope) error {
		var checks []*traigo.Future[int64]
		for _, page := range pages {
			checks = append(checks, traigo.Async(scope, func(ctx context.Context) (int64, error) {
				return s.fetch(ctx, page)
			}, traigo.Name(page)))
		}
		var errs []error
		for _, check := range checks {
			if _, err := check.Await(ctx); err != nil {
				errs = append(errs, &traigo.TaskError{Task: check.Task().Name(), Err: err})
			}
		}
		return errors.Join(errs...)
	}, traigo.Name("check"))
}
