package capacity_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/traigo/traigo/capacity"
)

// Acquire allocates a claim, its place in the list, the release function and the flag that
// the function has been called. Do allocates two for its context instead of the last two.
func TestCostOfUnits(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	l, ctx := capacity.New(2), context.Background()
	nothing := func(context.Context) error { return nil }
	for name, row := range map[string]struct {
		most float64
		f    func()
	}{
		"Acquire and release":    {4, func() { release, _ := l.Acquire(ctx, 1); release() }},
		"TryAcquire and release": {4, func() { release, _ := l.TryAcquire(1); release() }},
		"TryAcquire in vain":     {1, func() { _, _ = l.TryAcquire(3) }},
		"Do":                     {4, func() { _ = l.Do(ctx, 1, nothing) }},
		"SetLimit":               {0, func() { l.SetLimit(2) }},
		"Stats of no holders":    {0, func() { l.Stats() }},
	} {
		allocs := testing.AllocsPerRun(100, row.f)
		t.Log(name, allocs)
		assert.LessOrEqual(t, allocs, row.most, name)
	}
}

// The cost of a call does not grow with the number of holders.
func TestCostOfUnitsDoesNotGrow(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	l, ctx := capacity.New(2000), context.Background()
	for range 1000 {
		if _, ok := l.TryAcquire(1); !ok {
			t.Fatal(l.Stats())
		}
	}
	assert.LessOrEqual(t, testing.AllocsPerRun(100, func() { release, _ := l.Acquire(ctx, 1); release() }), 4.0)
}
