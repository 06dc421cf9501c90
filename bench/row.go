package bench

import (
	"math"
	"runtime"

	"golang.org/x/perf/benchmath"
)

// A Row is a promise: a figure, and a target that it must not exceed.
type Row struct {
	What    string
	Beside  string  // what traigo is compared with; "" if the figure is no comparison
	Target  float64 // math.Inf(1) if there is none
	Unit    string  // of the figure: "" for a ratio
	measure func() (Figure, error)
}

// Measure returns the figure of the row.
func (r Row) Measure() (Figure, error) {
	Forget()
	return r.measure()
}

// Forget collects the garbage of what has run before. The stacks of new goroutines are then
// as small as in a new process: the collector makes them as large as those that it finds.
func Forget() { runtime.GC() }

// A Figure is what has been measured for a row.
type Figure struct {
	benchmath.Summary      // Lo and Hi are those of Center if it was counted, and not timed
	Ours, Theirs      Cost // of an operation
}

// A Cost is what an operation costs. What is not known is NaN.
type Cost struct {
	Nanoseconds, Allocations, Bytes float64
}

var unknown = took(math.NaN())

// took is a cost of which only the time is known.
func took(nanoseconds float64) Cost { return Cost{nanoseconds, math.NaN(), math.NaN()} }

// versus compares way a of a work, which is traigo's, with way b.
func versus(what, beside string, w Work, a, b string, target float64, e Effort) Row {
	return Row{What: what, Beside: beside, Target: target, measure: func() (Figure, error) {
		t := Take(w.Samples(a, b), e)
		return Figure{t.Ratio(w.Impl(a), w.Impl(b)), w.cost(a, t), w.cost(b, t)}, nil
	}}
}

// extra tells how many nanoseconds more a unit of a work takes in way a than in way b.
func extra(what, beside string, w Work, a, b string, target float64, e Effort) Row {
	return Row{What: what, Beside: beside, Target: target, Unit: "ns", measure: func() (Figure, error) {
		t := Take(w.Samples(a, b), e)
		more := scaled(t.Difference(w.Impl(a), w.Impl(b)), 1/float64(w.Units))
		return Figure{more, w.cost(a, t), w.cost(b, t)}, nil
	}}
}

// growth compares two ratios: the cost of a unit in the big work over that in the small
// one, with traigo and with bare goroutines.
func growth(what string, small, big Work, target float64, e Effort) Row {
	return Row{What: what, Beside: "the growth of go", Target: target, measure: func() (Figure, error) {
		t := Take(append(small.Samples("traigo", "go"), big.Samples("traigo", "go")...), e)
		ratio := t.Median(func(at func(string) float64) float64 {
			return at(big.Impl("traigo")) / at(small.Impl("traigo")) / (at(big.Impl("go")) / at(small.Impl("go")))
		})
		return Figure{ratio, unknown, unknown}, nil
	}}
}

// counted is a figure that is the same each time.
func counted(what, unit string, target float64, count func() (float64, error)) Row {
	return Row{What: what, Target: target, Unit: unit, measure: func() (Figure, error) {
		n, err := count()
		return Figure{benchmath.Summary{Center: n, Lo: n, Hi: n}, unknown, unknown}, err
	}}
}

// loaded returns rows that are measured in a busy process.
func loaded(where string, rows []Row) []Row {
	for i, r := range rows {
		rows[i].What = where + ": " + r.What
		rows[i].measure = func() (Figure, error) {
			defer handOvers(4)()
			return r.measure()
		}
	}
	return rows
}

// cost returns what an operation of one way costs, when its times are known.
func (w Work) cost(way string, t Turns) Cost {
	s := w.Samples(way)[0]
	ns := t.Time(s.Name)
	const long = 5e6 // nanoseconds
	allocations, bytes := s.allocated(int(min(max(1, long/ns), 100)))
	return Cost{ns, allocations, bytes}
}

// scaled returns s in another unit.
func scaled(s benchmath.Summary, by float64) benchmath.Summary {
	s.Center, s.Lo, s.Hi = s.Center*by, s.Lo*by, s.Hi*by
	return s
}
