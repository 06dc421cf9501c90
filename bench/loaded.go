package bench

import (
	"sync"
	"sync/atomic"
)

// Works in a process whose processors are kept busy by other goroutines. A goroutine that
// becomes ready has to wait there until it is run, and what matters is how often a work
// depends on that.

// handOvers keeps the processors busy with pairs of goroutines that hand over to each other
// by unbuffered channels all the time, until the function that it returns is called.
func handOvers(pairs int) (stop func()) {
	var stopped atomic.Bool
	var all sync.WaitGroup
	for range pairs {
		there, back := make(chan struct{}), make(chan struct{})
		all.Go(func() {
			defer close(there)
			for !stopped.Load() {
				there <- struct{}{}
				<-back
			}
		})
		all.Go(func() {
			for range there {
				back <- struct{}{}
			}
		})
	}
	return func() {
		stopped.Store(true)
		all.Wait()
	}
}

// Loaded returns the works that are of interest in a busy process. They run in one only if
// handOvers has been called.
func Loaded() []Work {
	works := []Work{Map(1000, 0, 8), Limited(64, 8), Team(1), Team(4)}
	for _, k := range kinds {
		works = append(works, Single(k.name))
	}
	for i := range works {
		works[i].Name = "Loaded/work=" + works[i].Name
	}
	return works
}
