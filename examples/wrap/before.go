package main

import (
	"context"
	"sync"
)

// sizeBefore adds up the sizes of the pages with a WaitGroup, a mutex and channels. It
// reads well and has four bugs.
func sizeBefore(s *site, pages []string) (int64, error) {
	var (
		wg    sync.WaitGroup
		mu    sync.Mutex
		total int64
	)
	errs := make(chan error)
	for _, page := range pages {
		wg.Go(func() {
			size, err := s.fetch(context.Background(), page) // BUG 1: it cannot be stopped
			if err != nil {
				// BUG 2: only one error is ever received. The second goroutine that fails
				// is blocked here for ever, and so is wg.Wait.
				errs <- err // BUG 3: the error does not name the page
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
		return 0, err // BUG 4: the other goroutines still run
	case <-done:
		return total, nil
	}
}

// checkBefore asks for every page, as an errgroup does: it waits for all goroutines, and
// returns the first error.
func checkBefore(ctx context.Context, s *site, pages []string) error {
	var (
		wg    sync.WaitGroup
		once  sync.Once
		first error
	)
	for _, page := range pages {
		wg.Go(func() {
			if _, err := s.fetch(ctx, page); err != nil {
				// BUG 5: the second error is lost, and the scheduler decides which one is
				// the second.
				once.Do(func() { first = err })
			}
		})
	}
	wg.Wait()
	return first // BUG 6: again, the error does not name the page
}
