package bench

import (
	"fmt"
	"runtime"
	"slices"
	"time"

	"golang.org/x/perf/benchmath"
)

// A Sample is one way of one work.
type Sample struct {
	Name  string // the name of the benchmark: "Spawn/tasks=1000/grain=0s/impl=traigo"
	Units int
	Op    func() time.Duration
}

// Samples returns the ways of a work that have the given names, or all ways if none is
// given.
func (w Work) Samples(ways ...string) []Sample {
	var list []Sample
	for _, way := range w.Ways {
		if len(ways) == 0 || slices.Contains(ways, way.Name) {
			list = append(list, Sample{w.Impl(way.Name), w.Units, way.Op})
		}
	}
	return list
}

// Impl returns the name of the benchmark for one way of w.
func (w Work) Impl(way string) string { return w.Name + "/impl=" + way }

// Turns are the times of several samples in nanoseconds per unit, taken in turn. Other load
// on the machine affects all samples of a round, so the ratios within a round vary less
// than the times.
type Turns struct {
	Rounds []map[string]float64
}

// Take times the samples in turn. It runs each sample once before that, because the first
// one that uses a million stacks has their pages mapped. In each round Take collects the
// garbage of the other samples, runs the sample for half of atLeast without timing it, so
// that the heap has the size that the sample needs, and then times it for at least atLeast.
func Take(samples []Sample, rounds int, atLeast time.Duration) Turns {
	var t Turns
	long := make(map[string]bool) // an operation takes longer than atLeast, and so needs no warm-up
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

// repeat runs a sample for at least the given time, and returns the mean of the times that
// its operations report, in nanoseconds.
func repeat(s Sample, atLeast time.Duration) float64 {
	var took time.Duration
	ops := 0
	for begin := time.Now(); ops == 0 || time.Since(begin) < atLeast; ops++ {
		took += s.Op()
	}
	return float64(took) / float64(ops)
}

// Median returns the median of the results of f for all rounds, with its 95 % confidence
// interval.
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

// Ratio returns the median of the ratios of a's time to b's.
func (t Turns) Ratio(a, b string) benchmath.Summary {
	return t.Median(func(at func(string) float64) float64 { return at(a) / at(b) })
}

// Time returns the median of a's times.
func (t Turns) Time(a string) benchmath.Summary {
	return t.Median(func(at func(string) float64) float64 { return at(a) })
}
