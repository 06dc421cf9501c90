package bench

import (
	"math"
	"time"
)

// none is the target of a row that is only for information.
var none = math.Inf(1)

// Promises returns the rows about tasks and scopes as such. weigh returns the result of
// [BytesPerParked] in a new process.
func Promises(e Effort, weigh func(way string, n int) (float64, error)) []Row {
	heavy := e.Heavy()
	return []Row{
		versus("spawn and join 1,000 short tasks", "go", Spawn(1000, 0), "traigo", "go", 0.45, e),
		versus("spawn and join 1,000 short tasks", "errgroup", Spawn(1000, 0), "traigo", "errgroup", 0.4, e),
		versus("1,000 tasks that all park on a channel", "errgroup", Park(1000), "traigo", "errgroup", 1.3, e),
		versus("1,000 tasks that all park on ctx.Done()", "errgroup", ParkDone(1000), "traigo", "errgroup", 1.4, e),
		versus("Run with one task", "errgroup", Team(1), "traigo", "errgroup", 1.4, e),
		versus("Run with two tasks", "errgroup", Team(2), "traigo", "errgroup", 1.4, e),
		versus("Run with four tasks", "errgroup", Team(4), "traigo", "errgroup", 1.05, e),
		versus("Fork, one task, Wait", "errgroup", Team(1), "traigo-fork", "errgroup", 1.4, e),
		versus("Fork, two tasks, Wait", "errgroup", Team(2), "traigo-fork", "errgroup", 1.4, e),
		versus("Run with one task under a cancellable ctx", "errgroup", One(true), "traigo", "errgroup", 1.8, e),
		versus("100,000 parked tasks, from cancel to joined", "errgroup", Cancel(e.Large(100_000)), "traigo", "errgroup", 1.25, heavy),
		growth("a spawn among 1,000,000 live tasks, over one among 10,000", Live(e.Large(10_000)), Live(e.Large(1_000_000)), 1.5, heavy),
		growth("a fork among 100,000 live scopes, over one among 10,000", LiveScopes(e.Large(10_000)), LiveScopes(e.Large(100_000)), 1.5, heavy),
		counted("allocations of a spawn without observer and logger", "", 1, func() (float64, error) {
			times, _ := Allocations()
			return times, nil
		}),
		counted("bytes of a spawn without observer and logger", "B", 128, func() (float64, error) {
			_, bytes := Allocations()
			return bytes, nil
		}),
		memory(weigh),
		counted("allocations of an event, for a recorder", "", 0, func() (float64, error) {
			_, allocations, err := RecordedEvent()
			return allocations, err
		}),
		recording(e),
	}
}

func memory(weigh func(way string, n int) (float64, error)) Row {
	r := counted("memory of a parked task", "", 1.08, func() (float64, error) {
		const tasks = 10_000
		ours, err := weigh("traigo", tasks)
		if err != nil {
			return 0, err
		}
		bare, err := weigh("go", tasks)
		return ours / bare, err
	})
	r.Beside = "go"
	return r
}

func recording(e Effort) Row {
	return Row{What: "an event, for a recorder", Target: 250, Unit: "ns", measure: func() (Figure, error) {
		var times []float64
		for range e.AtLeast {
			ns, _, err := RecordedEvent()
			if err != nil {
				return Figure{}, err
			}
			times = append(times, ns)
		}
		return Figure{median(times), unknown, unknown}, nil
	}}
}

// Daily returns the rows about what users do all day, beside what they would write
// without package traigo.
func Daily(e Effort) []Row {
	rows := []Row{
		versus("errgroup drop-in, 1 function", "x/sync errgroup", Team(1), "dropin", "errgroup", 1.8, e),
		versus("errgroup drop-in, 4 functions", "x/sync errgroup", Team(4), "dropin", "errgroup", 1.4, e),
		versus("errgroup drop-in, 1,000 functions", "x/sync errgroup", Team(1000), "dropin", "errgroup", 0.6, e),
		versus("errgroup drop-in, 1,000 functions, SetLimit(8)", "x/sync errgroup", Limited(1000, 8), "dropin", "errgroup", 0.8, e),
		versus("a group of 4 that fails, Run", "errgroup", Failing(4), "traigo", "errgroup", 2.7, e),
		versus("a group of 4 that fails, drop-in", "x/sync errgroup", Failing(4), "dropin", "errgroup", 3, e),
		versus("1,000 short tasks, Limit(8)", "errgroup, SetLimit(8)", Limited(1000, 8), "traigo", "errgroup", 0.8, e),
		versus("All of 3", "errgroup and a slice", All(3), "traigo", "errgroup", 1.35, e),
		versus("Race of 3", "goroutines and a channel", Race(3), "traigo", "hand", 1.9, e),
		versus("Map of 1,000 short items, Limit(8)", "errgroup, SetLimit(8)", Map(1000, 0, 8), "traigo", "errgroup", 0.4, e),
		versus("Map of 1,000 short items, Limit(8)", "conc, iter.Mapper of 8", Map(1000, 0, 8), "traigo", "conc-iter", 12, e),
		versus("Map of 200 items of 20 µs, Limit(2)", "errgroup, SetLimit(2)", Map(200, 20*time.Microsecond, 2), "traigo", "errgroup", 1.05, e),
		versus("AsCompleted of 1,000 short items, Limit(8)", "8 workers and 2 channels", AsCompleted(1000, 8), "traigo", "hand", 1.2, e),
		versus("Async and Await", "a goroutine and a channel", Single("Async"), "traigo", "go", 1.5, e),
		versus("Async and Await, or the scope ends", "the same, and a select", Single("AsyncSelect"), "traigo", "go", none, e),
		versus("MoveOnAfter", "context.WithTimeout", MoveOnAfter(), "traigo", "context", 1.35, e),
	}
	atOnce, paused := e.loaded(), e.loaded().paused()
	rows = append(rows, loaded("in a busy process", groupRows(atOnce, 1.5))...)
	rows = append(rows, loaded("in a busy process", singleRows(atOnce))...)
	rows = append(rows, loaded("in a busy process, after a pause", groupRows(paused, none))...)
	return append(rows, watching(e)...)
}

// groupRows returns rows about groups of tasks.
func groupRows(e Effort, target float64) []Row {
	return []Row{
		versus("Map of 1,000 short items, Limit(8)", "errgroup, SetLimit(8)", Map(1000, 0, 8), "traigo", "errgroup", target, e),
		versus("64 short tasks, Limit(8)", "errgroup, SetLimit(8)", Limited(64, 8), "traigo", "errgroup", target, e),
		versus("Run with four tasks", "errgroup", Team(4), "traigo", "errgroup", target, e),
	}
}

// singleRows returns a row for each way to start a task.
func singleRows(e Effort) []Row {
	return []Row{
		versus("Spawn and Wait", "a goroutine and a channel", Single("Spawn"), "traigo", "go", none, e),
		versus("TrySpawn and Wait", "a goroutine and a channel", Single("TrySpawn"), "traigo", "go", none, e),
		versus("Async and Await", "a goroutine and a channel", Single("Async"), "traigo", "go", none, e),
		versus("Start and Wait", "a goroutine and 2 channels", Single("Start"), "traigo", "go", none, e),
		versus("errgroup drop-in, 1 function", "x/sync errgroup", Team(1), "dropin", "errgroup", none, e),
	}
}

// watching returns the rows about snapshots, observers and loggers.
func watching(e Effort) []Row {
	tasks := e.Large(100_000)
	return []Row{
		counted("Snapshot of 100,000 tasks, a task", "B", 200, func() (float64, error) { return SnapshotBytes(tasks), nil }),
		{What: "Snapshot of 100,000 tasks, wait for the lock", Beside: "without", Target: 5, Unit: "ms", measure: func() (Figure, error) {
			with, without := SnapshotStall(tasks, e.AtLeast)
			return Figure{scaled(with, 1e-6), took(with.Center), took(without.Center)}, nil
		}},
		extra("an Observer that does nothing, a task of 1,000", "without", Watched(1000), "observer", "unwatched", 150, e),
		extra("a Logger at WARN, a task of 1,000", "without", Watched(1000), "logger", "unwatched", 20, e),
	}
}
