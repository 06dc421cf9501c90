package bench

import (
	"context"
	"fmt"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/traigo/traigo"
)

// Works with several goroutines that spawn at the same time.

// Spawners is k goroutines that spawn n short tasks each, into one scope.
func Spawners(k, n int) Work {
	j := busy(0)
	return Work{Name: fmt.Sprintf("Spawners/spawners=%d/tasks=%d", k, n), Units: k * n, Unit: "task", Ways: []Way{
		{"traigo", timed(func() {
			must(traigo.Run(context.Background(), func(_ context.Context, s *traigo.Scope) error {
				each(k, func() {
					for range n {
						s.Spawn(j.ctx)
					}
				})
				return nil
			}))
		})},
		{"go", timed(func() {
			var wg sync.WaitGroup
			each(k, func() {
				for range n {
					wg.Add(1)
					go func() {
						defer wg.Done()
						j.plain()
					}()
				}
			})
			wg.Wait()
		})},
		{"errgroup", timed(func() {
			var g errgroup.Group
			each(k, func() {
				for range n {
					g.Go(j.err)
				}
			})
			must(g.Wait())
		})},
	}}
}

// Groups is k goroutines that spawn n short tasks each, into a scope of their own.
func Groups(k, n int) Work {
	j := busy(0)
	w := Work{Name: fmt.Sprintf("Groups/groups=%d/tasks=%d", k, n), Units: k * n, Unit: "task"}
	for _, c := range crowds {
		w.Ways = append(w.Ways, Way{c.name, timed(func() {
			each(k, func() { c.crowd(n, j, func() {}) })
		})})
	}
	return w
}

// each calls f on k goroutines at the same time.
func each(k int, f func()) {
	var wg sync.WaitGroup
	for range k {
		wg.Go(f)
	}
	wg.Wait()
}
