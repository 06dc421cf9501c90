package bench

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"time"

	"github.com/traigo/traigo"
)

// Works among many that live already: what the first costs, the millionth
// should.

// more is how many are started among those that live.
const more = 10_000

// Live is spawning tasks that park, in a scope in which n are parked already.
func Live(n int) Work {
	return Work{Name: fmt.Sprintf("Live/tasks=%d", n), Units: more, Unit: "task", Ways: []Way{
		{"traigo", func() (took time.Duration) {
			must(traigo.Run(context.Background(), func(_ context.Context, s *traigo.Scope) error {
				took = among(n, func(l *lot) { s.Spawn(l.ctx) })
				return nil
			}))
			return took
		}},
		{"go", func() (took time.Duration) {
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
		}},
	}}
}

// among starts n, and returns how long it then takes to start some more. As many
// have run and ended just before: the pages of their stacks are there, and no
// collection of garbage is under way.
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

// LiveScopes is opening forks with a parked task each, in a scope that has n of
// them already; a bare goroutine has a context of its own instead.
func LiveScopes(n int) Work {
	return Work{Name: fmt.Sprintf("LiveScopes/scopes=%d", n), Units: more, Unit: "scope", Ways: []Way{
		{"traigo", func() (took time.Duration) {
			must(traigo.Run(context.Background(), func(_ context.Context, s *traigo.Scope) error {
				took = among(n, func(l *lot) {
					f := s.Fork()
					f.Spawn(l.ctx)
					f.Finalize()
				})
				return nil
			}))
			return took
		}},
		{"go", func() time.Duration {
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
		}},
	}}
}
