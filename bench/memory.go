package bench

import (
	"context"
	"runtime"
	"sync"
	"testing"

	"github.com/traigo/traigo"
)

// What tasks weigh, which needs no repetition: it is the same every time.

// BytesPerParked returns what a parked task takes with all that hangs on it: the
// stack, the goroutine, the closure, the task. It is to be called once in a
// process, since the goroutines of an earlier call would be used again.
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

// Allocations returns what a spawn of a short task allocates: how often, and how
// many bytes.
func Allocations(opts ...traigo.ScopeOption) (times, bytes float64) {
	task := func(context.Context) error { return nil }
	r := testing.Benchmark(func(b *testing.B) {
		b.ReportAllocs()
		must(traigo.Run(context.Background(), func(_ context.Context, s *traigo.Scope) error {
			for range b.N {
				s.Spawn(task)
			}
			return nil
		}, opts...))
	})
	return float64(r.MemAllocs) / float64(r.N), float64(r.MemBytes) / float64(r.N)
}
