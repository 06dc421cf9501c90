package main

import (
	"context"
	"sync"
)

// sizeBefore adds up the sizes of the pages with what the language has: a
// WaitGroup, a mutex and channels. It reads well and has four bugs.
func sizeBefore(s *site, pages []string) (int64, error) {
	var (
		wg    sync.WaitGroup
		mu    sync.Mutex
		total int64
	)
	errs := make(chan error)
	for _, page := range pages {
		wg.Go(func() {
			size, err := s.fetch(context.Background(), page) // BUG 1: nobody can stop it
			if err != nil {
				// BUG 2: only one error is ever received. Who fails second stays here
				// for ever, and wg.Wait with it.
				errs <- err // BUG 3: which page was it?
				return
			}
			mu.Lock()
			defer mu.Unlock()
			total += size
		})
	}

	done := make(chan struct{})
	go func() {
		wg.Wait()
		close(done)
	}()
	select {
	case err := <-errs:
		return 0, err // BUG 4: the other goroutines are still at work
	case <-done:
		return total, nil
	}
}

// checkBefore asks for every page in the way of an errgroup: all goroutines are
// waited for, and the first error is returned.
func checkBefore(ctx context.Context, s *site, pages []string) error {
	var (
		wg    sync.WaitGroup
		once  sync.Once
		first error
	)
	for _, page := range pages {
		wg.Go(func() {
			if _, err := s.fetch(ctx, page); err != nil {
				// BUG 5: the second error is lost, and which is the second is up to
				// the scheduler.
				once.Do(func() { first = err })
			}
		})
	}
	wg.Wait()
	return first // BUG 6: again, which page was it?
}
