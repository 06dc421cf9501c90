package bench

import (
	"fmt"
	"time"
)

// A Work is something to measure, such as to spawn 1,000 tasks, with the ways of doing it.
type Work struct {
	Name  string // in the form that benchstat reads: "Spawn/tasks=1000/grain=0s"
	Units int    // the number of tasks, items or scopes in one operation
	Unit  string // "task"
	Ways  []Way  // the first one is traigo's
}

// A Way is the code that does a work with one library.
type Way struct {
	Name string
	// Op does the work n times and returns how long that took, without the time for
	// preparation and for cleaning up.
	Op func(n int) time.Duration
}

// timed returns an operation that times all calls of f together: a single one may take no
// longer than the clock takes to be read.
func timed(f func()) func(n int) time.Duration {
	return func(n int) time.Duration {
		begin := time.Now()
		for range n {
			f()
		}
		return time.Since(begin)
	}
}

// summed returns an operation whose time is the sum of those that f returns.
func summed(f func() time.Duration) func(n int) time.Duration {
	return func(n int) (took time.Duration) {
		for range n {
			took += f()
		}
		return took
	}
}

// Works returns all works by the name of their benchmark.
func Works() map[string][]Work {
	works := map[string][]Work{
		"Spawn":       {Spawn(1000, 0), Spawn(1000, 300*time.Nanosecond), Spawn(1000, 3*time.Microsecond), Spawn(1000, 30*time.Microsecond)},
		"Park":        {Park(1000), Park(100_000)},
		"ParkDone":    {ParkDone(1000)},
		"Cancel":      {Cancel(1000), Cancel(100_000)},
		"Live":        {Live(10_000), Live(1_000_000)},
		"LiveScopes":  {LiveScopes(10_000), LiveScopes(100_000)},
		"One":         {One(false), One(true)},
		"Team":        {Team(1), Team(2), Team(4), Team(1000)},
		"Limited":     {Limited(64, 8), Limited(1000, 8)},
		"Failing":     {Failing(4)},
		"All":         {All(3)},
		"Race":        {Race(3)},
		"Map":         {Map(1000, 0, 8), Map(200, 20*time.Microsecond, 2)},
		"AsCompleted": {AsCompleted(1000, 8)},
		"MoveOnAfter": {MoveOnAfter()},
		"Watched":     {Watched(1000)},
		"Loaded":      Loaded(),
	}
	for _, n := range []int{1, 10, 100, 10_000, 100_000, 1_000_000} {
		works["Spawn"] = append(works["Spawn"], Spawn(n, 0))
	}
	for _, spawners := range []int{2, 16} {
		works["Spawners"] = append(works["Spawners"], Spawners(spawners, 1000))
		works["Groups"] = append(works["Groups"], Groups(spawners, 1000))
	}
	for _, k := range kinds {
		works["Single"] = append(works["Single"], Single(k.name))
	}
	return works
}

// Spawn is to start n tasks that compute for about grain each, and to wait for them.
func Spawn(n int, grain time.Duration) Work {
	return crowded(fmt.Sprintf("Spawn/tasks=%d/grain=%v", n, grain), n, func(c crowd) func() {
		j := busy(grain)
		return func() { c(n, j, func() {}) }
	})
}

// Park is to start n tasks that park on a channel, and to let them go on when all have
// parked.
func Park(n int) Work {
	return crowded(fmt.Sprintf("Park/tasks=%d", n), n, func(c crowd) func() {
		return func() {
			l := newLot(n)
			c(n, l.job, l.release)
		}
	})
}

func crowded(name string, n int, op func(crowd) func()) Work {
	w := Work{Name: name, Units: n, Unit: "task"}
	for _, c := range crowds {
		w.Ways = append(w.Ways, Way{c.name, timed(op(c.crowd))})
	}
	return w
}

// Only returns w with only those ways that the other work has as well.
func (w Work) Only(other Work) Work {
	var ways []Way
	for _, way := range w.Ways {
		for _, o := range other.Ways {
			if way.Name == o.Name {
				ways = append(ways, way)
			}
		}
	}
	w.Ways = ways
	return w
}
