package bench

import "golang.org/x/perf/benchmath"

// A Row is a promise: a ratio and a target that it must not exceed.
type Row struct {
	What   string
	Over   string // the library that traigo is compared with
	Target float64
	Heavy  bool // an operation takes long, so only a few rounds are run

	Samples []Sample
	Ratio   func(Turns) benchmath.Summary
}

// Rows returns the promises about time. (Those about memory and allocations are in
// memory.go.)
func Rows() []Row {
	return []Row{
		versus("spawn and join 1,000 short tasks", Spawn(1000, 0), "traigo", "go", 0.45),
		versus("spawn and join 1,000 short tasks", Spawn(1000, 0), "traigo", "errgroup", 0.40),
		versus("1,000 tasks that all park on a channel", Park(1000), "traigo", "errgroup", 1.3),
		versus("1,000 tasks that all park on ctx.Done()", ParkDone(1000), "traigo", "errgroup", 1.4),
		versus("Run with one task", One(false), "traigo", "errgroup", 1.25),
		versus("Fork, one task, Wait", One(false), "traigo-fork", "errgroup", 1.4),
		versus("Run with one task under a cancellable ctx", One(true), "traigo", "errgroup", 2),
		heavy(versus("100,000 parked tasks, from cancel to joined", Cancel(100_000), "traigo", "errgroup", 1.25)),
		heavy(growth("a spawn among 1,000,000 live tasks, over one among 10,000", Live(10_000), Live(1_000_000), 1.5)),
		heavy(growth("a fork among 100,000 live scopes, over one among 10,000", LiveScopes(10_000), LiveScopes(100_000), 1.5)),
	}
}

// versus compares two ways of a work.
func versus(what string, w Work, a, b string, target float64) Row {
	return Row{What: what, Over: b, Target: target, Samples: w.Samples(a, b), Ratio: func(t Turns) benchmath.Summary {
		return t.Ratio(w.Impl(a), w.Impl(b))
	}}
}

// growth compares two ratios: the cost of a unit in the big work over that in the small
// one, with traigo and with bare goroutines.
func growth(what string, small, big Work, target float64) Row {
	samples := append(small.Samples("traigo", "go"), big.Samples("traigo", "go")...)
	return Row{What: what, Over: "the growth of go", Target: target, Samples: samples, Ratio: func(t Turns) benchmath.Summary {
		return t.Median(func(at func(string) float64) float64 {
			return at(big.Impl("traigo")) / at(small.Impl("traigo")) / (at(big.Impl("go")) / at(small.Impl("go")))
		})
	}}
}

func heavy(r Row) Row {
	r.Heavy = true
	return r
}
