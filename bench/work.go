package bench

import (
	"fmt"
	"time"
)

// A Work is something to measure, such as to spawn 1,000 tasks, with the ways of doing it.
type Work struct {
	Name  string // in the form that benchstat reads: "Spawn/tasks=1000/grain=0s"
	Units int    // the number of tasks or scopes in one operation
	Unit  string // "task"
	Ways  []Way  // the first one is traigo's
}

// A Way is the code that does a work with one library.
type Way struct {
	Name string
	// Op does the work once and returns how long that took, without the time for
	// preparation and for cleaning up.
	Op func() time.Duration
}

// timed returns an operation that times the whole call of f.
func timed(f func()) func() time.Duration {
	return func() time.Duration {
		begin := time.Now()
		f()
		return time.Since(begin)
	}
}

// Works returns all works by the name of their benchmark.
func Works() map[string][]Work {
	works := map[string][]Work{}
	for _, grain := range []time.Duration{0, 300 * time.Nanosecond, 3 * time.Microsecond, 30 * time.Microsecond} {
		works["Spawn"] = append(works["Spawn"], Spawn(1000, grain))
	}
	for _, n := range []int{1, 10, 100, 10_000, 100_000, 1_000_000} {
		works["Spawn"] = append(works["Spawn"], Spawn(n, 0))
	}
	for _, spawners := range []int{2, 16} {
		works["Spawners"] = append(works["Spawners"], Spawners(spawners, 1000))
		works["Groups"] = append(works["Groups"], Groups(spawners, 1000))
	}
	works["Park"] = []Work{Park(1000), Park(100_000)}
	works["ParkDone"] = []Work{ParkDone(1000)}
	works["Cancel"] = []Work{Cancel(1000), Cancel(100_000)}
	works["One"] = []Work{One(false), One(true)}
	works["Live"] = []Work{Live(10_000), Live(1_000_000)}
	works["LiveScopes"] = []Work{LiveScopes(10_000), LiveScopes(100_000)}
	return works
}

// Spawn is to start n tasks that compute for about grain each, and to wait for them.
func Spawn(n int, grain time.Duration) Work {
	return crowded(fmt.Sprintf("Spawn/tasks=%d/grain=%v", n, grain), n, func(c crowd) func() time.Duration {
		j := busy(grain)
		return timed(func() { c(n, j, func() {}) })
	})
}

// Park is to start n tasks that park on a channel, and to let them go on when all have
// parked.
func Park(n int) Work {
	return crowded(fmt.Sprintf("Park/tasks=%d", n), n, func(c crowd) func() time.Duration {
		return timed(func() {
			l := newLot(n)
			c(n, l.job, l.release)
		})
	})
}

func crowded(name string, n int, op func(crowd) func() time.Duration) Work {
	w := Work{Name: name, Units: n, Unit: "task"}
	for _, c := range crowds {
		w.Ways = append(w.Ways, Way{c.name, op(c.crowd)})
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
