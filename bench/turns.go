package bench

import (
	"fmt"
	"time"

	"golang.org/x/perf/benchmath"
)

// An Effort says how much is measured.
type Effort struct {
	Batch           time.Duration // how long a batch takes; 0 for batches of one operation
	Budget          time.Duration // no round begins later than this, beyond the fewest
	AtLeast, AtMost int           // rounds
	Collect         bool          // collect the garbage before each batch
	Pause           time.Duration // sleep before each batch
	Shrink          int           // what large works are divided by
}

// Thorough is for figures that are to be believed, Quick for a look whether all works run.
//
// A batch of 50 µs is long beside the reading of the clock, and short enough to fit between
// two interruptions by other programs: most pairs are then undisturbed, and the median is
// that of an idle machine.
var (
	Thorough = Effort{Batch: 50 * time.Microsecond, Budget: 2 * time.Second, AtLeast: 15, AtMost: 2000, Shrink: 1}
	Quick    = Effort{Batch: 50 * time.Microsecond, Budget: 10 * time.Millisecond, AtLeast: 6, AtMost: 20, Shrink: 100}
)

// Heavy returns the effort for works with so many tasks that one operation takes long and
// leaves much garbage.
func (e Effort) Heavy() Effort {
	e.Batch, e.Collect = 0, true
	e.AtLeast, e.AtMost = 7, 7
	return e
}

// loaded returns the effort for works in a busy process. The times of an operation differ
// so much there that a number of operations for a batch could not be found.
func (e Effort) loaded() Effort {
	e.Batch = 0
	e.Budget *= 2
	return e
}

// unbatched returns the effort for operations that time themselves: a part of what they do.
func (e Effort) unbatched() Effort {
	e.Batch = 0
	return e
}

// paused returns the effort for works that do not follow each other at once.
func (e Effort) paused() Effort {
	e.Pause = 300 * time.Microsecond
	return e
}

// Large returns the size of a work that Thorough does with n tasks or scopes.
func (e Effort) Large(n int) int { return n / e.Shrink }

// Turns are the times of samples, in nanoseconds per operation, by the name of the sample.
// They are taken in turn: the i-th times of all samples are those of one round. Other load
// on the machine affects all samples of a round, so the ratios within a round vary less
// than the times.
type Turns map[string][]float64

// Take times a batch of each sample in each round. With each round another sample is the
// first.
func Take(samples []Sample, e Effort) Turns {
	ops := make([]int, len(samples))
	t := make(Turns, len(samples))
	for i, s := range samples {
		ops[i] = s.opsOf(e.Batch)
		t[s.Name] = make([]float64, 0, e.AtMost)
	}
	begin := time.Now()
	for r := 0; r < e.AtMost && (r < e.AtLeast || time.Since(begin) < e.Budget); r++ {
		for i := range samples {
			i := (i + r) % len(samples)
			t[samples[i].Name] = append(t[samples[i].Name], samples[i].time(ops[i], e))
		}
	}
	return t
}

// Median returns the median of the results of f for all rounds, with its 95 % confidence
// interval.
func (t Turns) Median(f func(at func(name string) float64) float64) benchmath.Summary {
	var values []float64
	for r := range t.rounds() {
		values = append(values, f(func(name string) float64 {
			times, ok := t[name]
			if !ok {
				panic(fmt.Sprintf("bench: %q was not measured", name))
			}
			return times[r]
		}))
	}
	return median(values)
}

func (t Turns) rounds() int {
	for _, times := range t {
		return len(times)
	}
	return 0
}

// Ratio returns the median of the ratios of a's time to b's.
func (t Turns) Ratio(a, b string) benchmath.Summary {
	return t.Median(func(at func(string) float64) float64 { return at(a) / at(b) })
}

// Difference returns the median of the differences between a's time and b's.
func (t Turns) Difference(a, b string) benchmath.Summary {
	return t.Median(func(at func(string) float64) float64 { return at(a) - at(b) })
}

// Time returns the median of a's times.
func (t Turns) Time(a string) float64 {
	return t.Median(func(at func(string) float64) float64 { return at(a) }).Center
}

func median(values []float64) benchmath.Summary {
	return benchmath.AssumeNothing.Summary(benchmath.NewSample(values, &benchmath.DefaultThresholds), 0.95)
}
