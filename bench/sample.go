package bench

import (
	"runtime"
	"slices"
	"time"
)

// A Sample is one way of one work.
type Sample struct {
	Name string // the name of the benchmark: "Spawn/tasks=1000/grain=0s/impl=traigo"
	Op   func(n int) time.Duration
}

// Samples returns the ways of a work that have the given names, or all ways if none is
// given.
func (w Work) Samples(ways ...string) []Sample {
	var list []Sample
	for _, way := range w.Ways {
		if len(ways) == 0 || slices.Contains(ways, way.Name) {
			list = append(list, Sample{w.Impl(way.Name), way.Op})
		}
	}
	return list
}

// Impl returns the name of the benchmark for one way of w.
func (w Work) Impl(way string) string { return w.Name + "/impl=" + way }

// warmUp is for how long a sample runs before it is timed.
const warmUp = 5 * time.Millisecond

// opsOf returns how many operations take about as long as a batch should. It runs the
// sample for a while, since the first operations are slower: they have the pages of their
// stacks mapped.
func (s Sample) opsOf(batch time.Duration) int {
	fastest := s.Op(1)
	if batch == 0 {
		return 1
	}
	for begin := time.Now(); time.Since(begin) < warmUp; {
		fastest = min(fastest, s.Op(1))
	}
	return max(1, int(batch/max(fastest, 1)))
}

// time returns the nanoseconds that each of n operations takes.
func (s Sample) time(n int, e Effort) float64 {
	if e.Collect {
		runtime.GC()
	}
	time.Sleep(e.Pause)
	return float64(s.Op(n)) / float64(n)
}

// allocated returns the number of allocations of an operation, and their bytes. It compares
// a batch of more operations with one of a single one, since a batch has to be prepared.
func (s Sample) allocated(more int) (times, bytes float64) {
	once, bytesOnce := allocatedBy(func() { s.Op(1) })
	times, bytes = allocatedBy(func() { s.Op(1 + more) })
	return (times - once) / float64(more), (bytes - bytesOnce) / float64(more)
}

// allocatedBy returns the number of allocations while f runs, and their bytes.
func allocatedBy(f func()) (times, bytes float64) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return float64(after.Mallocs - before.Mallocs), float64(after.TotalAlloc - before.TotalAlloc)
}
