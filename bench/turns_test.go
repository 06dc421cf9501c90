package bench

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// takes is a sample whose operations take a time that is written down.
func takes(name string, d *time.Duration) Sample {
	return Sample{name, func(n int) time.Duration { return time.Duration(n) * *d }}
}

func TestTurnsCompareWithinARound(t *testing.T) {
	a, b := 20*time.Nanosecond, 40*time.Nanosecond
	all := Turns{}
	for range 9 {
		one := Take([]Sample{takes("a", &a), takes("b", &b)}, Effort{AtLeast: 1, AtMost: 1})
		for name, times := range one {
			all[name] = append(all[name], times...)
		}
		a, b = 2*a, 2*b // the machine becomes slower and slower
	}
	assert.InDelta(t, 0.5, all.Ratio("a", "b").Center, 0.001)
	assert.InDelta(t, 0.5, all.Ratio("a", "b").Hi, 0.001)
	assert.InDelta(t, 20*16, all.Time("a"), 1, "the median")
	assert.InDelta(t, -20*16, all.Difference("a", "b").Center, 1)
	assert.Panics(t, func() { all.Time("c") }, "it was not measured")
}

func TestTurnsAlternate(t *testing.T) {
	var order string
	sample := func(name string) Sample {
		return Sample{name, func(int) time.Duration {
			order += name
			return 1
		}}
	}
	Take([]Sample{sample("a"), sample("b")}, Effort{AtLeast: 4, AtMost: 4})
	assert.Equal(t, "ab"+"abbaabba", order, "once each to warm up, and then in turn")
}

func TestTurnsKeepToTheirBudget(t *testing.T) {
	d := time.Nanosecond
	samples := []Sample{takes("a", &d)}
	assert.Len(t, Take(samples, Effort{AtLeast: 3, AtMost: 5, Budget: 0})["a"], 3)
	assert.Len(t, Take(samples, Effort{AtLeast: 3, AtMost: 5, Budget: time.Hour})["a"], 5)
}

func TestABatchHasAsManyOperationsAsFitIn(t *testing.T) {
	d := 10 * time.Microsecond
	assert.Equal(t, 5, takes("a", &d).opsOf(50*time.Microsecond))
	assert.Equal(t, 1, takes("a", &d).opsOf(5*time.Microsecond), "at least one")
	assert.Equal(t, 1, takes("a", &d).opsOf(0))
}

func TestAllocationsAreCounted(t *testing.T) {
	var kept [][]byte
	times, bytes := Sample{"a", func(n int) time.Duration {
		for range n {
			kept = append(kept[:0], make([]byte, 1024))
		}
		return 0
	}}.allocated(1000)
	assert.InDelta(t, 1, times, 0.1)
	assert.InDelta(t, 1024, bytes, 100)
	assert.Len(t, kept, 1)
}

// The least effort shows that every row can be measured.
func TestEveryRowIsMeasured(t *testing.T) {
	least := Effort{AtLeast: 1, AtMost: 1, Shrink: 1000}
	weigh := func(string, int) (float64, error) { return 1, nil }
	for _, r := range append(Promises(least, weigh), Daily(least)...) {
		f, err := r.Measure()
		require.NoError(t, err, r.What)
		assert.NotEmpty(t, r.What)
		if r.Target > 0 && r.Unit != "ns" {
			assert.Positive(t, f.Center, r.What)
		}
	}
}
