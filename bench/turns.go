package bench

import (
	"fmt"
	"runtime"
	"slices"
	"time"

	"golang.org/x/perf/benchmath"
)

// A Sample is one way of one work, to be timed.
type Sample struct {
	Name  string // that of the benchmark: "Spawn/tasks=1000/grain=0s/impl=traigo"
	Units int
	Op    func() time.Duration
}

// Samples are the ways of a work that have these names; without names, all.
func (w Work) Samples(ways ...string) []Sample {
	var list []Sample
	for _, way := range w.Ways {
		if len(ways) == 0 || slices.Contains(ways, way.Name) {
			list = append(list, Sample{w.Impl(way.Name), w.Units, way.Op})
		}
	}
	return list
}

// Impl is the name of the benchmark of one way of w.
func (w Work) Impl(way string) string { return w.Name + "/impl=" + way }

// Turns are the times of several samples in nanoseconds per unit, taken in turn:
// what disturbs the machine for a while disturbs all of a round, so that the
// ratios within a round are steadier than the times.
type Turns struct {
	Rounds []map[string]float64
}

// Take times the samples in turn. Each is first done once at full size, since
// the first to touch a million stacks pays for their pages. In every round the
// garbage of the others is collected first; the sample is then done for half of
// the time given, untimed, so that the heap is again as large as it keeps it,
// and timed for at least that time.
func Take(samples []Sample, rounds int, atLeast time.Duration) Turns {
	var t Turns
	long := make(map[string]bool) // an operation takes longer than that: it warms itself up
	for _, s := range samples {
		begin := time.Now()
		s.Op()
		long[s.Name] = time.Since(begin) > atLeast
	}
	for r := range rounds {
		round := make(map[string]float64, len(samples))
		for i := range samples {
			s := samples[(i+r)%len(samples)]
			runtime.GC()
			if !long[s.Name] {
				repeat(s, atLeast/2)
			}
			round[s.Name] = repeat(s, atLeast) / float64(s.Units)
		}
		t.Rounds = append(t.Rounds, round)
	}
	return t
}

// repeat does a sample for a time, and returns the mean of what it says it took.
func repeat(s Sample, atLeast time.Duration) float64 {
	var took time.Duration
	ops := 0
	for begin := time.Now(); ops == 0 || time.Since(begin) < atLeast; ops++ {
		took += s.Op()
	}
	return float64(took) / float64(ops)
}

// Median is the median of what f makes of each round, and the interval in which
// it lies with a confidence of 95 %.
func (t Turns) Median(f func(at func(name string) float64) float64) benchmath.Summary {
	var values []float64
	for _, round := range t.Rounds {
		values = append(values, f(func(name string) float64 {
			ns, ok := round[name]
			if !ok {
				panic(fmt.Sprintf("bench: %q was not measured", name))
			}
			return ns
		}))
	}
	return benchmath.AssumeNothing.Summary(benchmath.NewSample(values, &benchmath.DefaultThresholds), 0.95)
}

// Ratio is the median of a's times over b's.
func (t Turns) Ratio(a, b string) benchmath.Summary {
	return t.Median(func(at func(string) float64) float64 { return at(a) / at(b) })
}

// Time is the median of a's times.
func (t Turns) Time(a string) benchmath.Summary {
	return t.Median(func(at func(string) float64) float64 { return at(a) })
}
