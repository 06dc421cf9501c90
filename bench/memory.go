package bench

import (
	"context"
	"runtime"
	"sync"

	"github.com/traigo/traigo"
)

// The memory of tasks is the same in each run, so it is measured once.

// BytesPerParked returns the memory that a parked task keeps alive, in bytes: its stack,
// its goroutine, its closure and the task itself. It must be called only once in a process,
// since a second call would reuse the goroutines of the first one.
func BytesPerParked(way string, n int) float64 {
	l := newLot(n)
	before := inUse()
	var after uint64
	weigh := func() {
		<-l.full
		after = inUse()
		close(l.gate)
	}
	if way == "traigo" {
		traigoCrowd(n, l.job, weigh)
	} else {
		var wg sync.WaitGroup
		for range n {
			wg.Add(1)
			go func() {
				defer wg.Done()
				l.plain()
			}()
		}
		weigh()
		wg.Wait()
	}
	return float64(after-before) / float64(n)
}

func inUse() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc + m.StackInuse
}

// Allocations returns the number of allocations of a spawn of a short task, and their
// bytes.
func Allocations(opts ...traigo.ScopeOption) (times, bytes float64) {
	const tasks = 100_000
	must(traigo.Run(context.Background(), func(_ context.Context, s *traigo.Scope) error {
		times, bytes = allocatedBy(func() {
			for range tasks {
				s.Spawn(short.ctx)
			}
		})
		return nil
	}, opts...))
	return times / tasks, bytes / tasks
}
