package bench

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"time"

	"github.com/traigo/traigo"
)

// Works beside many tasks or scopes that exist already. The millionth spawn should cost as
// much as the first.

// more is the number of tasks or scopes that are started while it is timed.
const more = 10_000

// Live is to spawn tasks that park, in a scope with n parked tasks.
func Live(n int) Work {
	return Work{Name: fmt.Sprintf("Live/tasks=%d", n), Units: more, Unit: "task", Ways: []Way{
		{"traigo", summed(func() (took time.Duration) {
			must(traigo.Run(context.Background(), func(_ context.Context, s *traigo.Scope) error {
				took = among(n, func(l *lot) { s.Spawn(l.ctx) })
				return nil
			}))
			return took
		})},
		{"go", summed(func() (took time.Duration) {
			var all sync.WaitGroup
			took = among(n, func(l *lot) {
				all.Add(1)
				go func() {
					defer all.Done()
					l.plain()
				}()
			})
			all.Wait()
			return took
		})},
	}}
}

// among starts n tasks and returns how long it takes to start more tasks after that.
// Before it takes the time, as many tasks have run and ended, so that the pages of their
// stacks are mapped, and the garbage has been collected.
func among(n int, start func(*lot)) time.Duration {
	first, before, then := newLot(n), newLot(more), newLot(more)
	for range n {
		start(first)
	}
	<-first.full
	runtime.GC()
	for range more {
		start(before)
	}
	before.release()
	for before.left.Load() > 0 {
		runtime.Gosched()
	}
	begin := time.Now()
	for range more {
		start(then)
	}
	<-then.full
	took := time.Since(begin)
	close(first.gate)
	close(then.gate)
	return took
}

// LiveScopes is to open forks with a parked task each, in a scope that has n such forks
// already. A bare goroutine has a context of its own instead of the fork.
func LiveScopes(n int) Work {
	return Work{Name: fmt.Sprintf("LiveScopes/scopes=%d", n), Units: more, Unit: "scope", Ways: []Way{
		{"traigo", summed(func() (took time.Duration) {
			must(traigo.Run(context.Background(), func(_ context.Context, s *traigo.Scope) error {
				took = among(n, func(l *lot) {
					f := s.Fork()
					f.Spawn(l.ctx)
					f.Finalize()
				})
				return nil
			}))
			return took
		})},
		{"go", summed(func() time.Duration {
			parent, cancel := context.WithCancel(context.Background())
			defer cancel()
			var all sync.WaitGroup
			defer all.Wait()
			return among(n, func(l *lot) {
				ctx, cancel := context.WithCancel(parent)
				all.Add(1)
				go func() {
					defer all.Done()
					defer cancel()
					_ = l.ctx(ctx)
				}()
			})
		})},
	}}
}
