package errgroup_test

import (
	"context"
	"runtime"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo/errgroup"
)

// A function costs two allocations: its task, and the closure that wraps it. The option with
// its name is made once for all closures of the same code.
func TestCostOfAFunctionIsTwoAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	done := make(chan struct{})
	signal := func() error { done <- struct{}{}; return nil }
	for name, limit := range map[string]int{"no limit": -1, "a limit": 3} {
		var g errgroup.Group
		g.SetLimit(limit)
		assert.InDelta(t, 2, testing.AllocsPerRun(2000, func() {
			g.Go(signal)
			<-done
		}), 0.05, name)
		assert.InDelta(t, 2, testing.AllocsPerRun(2000, func() {
			for !g.TryGo(signal) {
				runtime.Gosched() // the function before this one still holds its slot
			}
			<-done
		}), 0.05, name+", TryGo")
		require.NoError(t, g.Wait())
	}
}

// A group is itself and its scope; the first function adds the function of a goroutine.
// The context and the names of functions cost nothing, and neither does Wait.
func TestCostOfAGroupIsSmall(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	nop := func() error { return nil }
	for _, row := range []struct {
		name string
		most float64
		f    func()
	}{
		{"zero, nothing", 1, func() { _ = new(errgroup.Group).Wait() }},
		{"zero, one function", 5, func() {
			g := new(errgroup.Group)
			g.Go(nop)
			_ = g.Wait()
		}},
		{"context, nothing", 2, func() {
			g, _ := errgroup.WithContext(context.Background())
			_ = g.Wait()
		}},
		{"context, one function", 5, func() {
			g, _ := errgroup.WithContext(context.Background())
			g.Go(nop)
			_ = g.Wait()
		}},
		{"context, four functions of two kinds", 11, func() {
			g, _ := errgroup.WithContext(context.Background())
			for range 2 {
				g.Go(nop)
				g.Go(func() error { return nil })
			}
			_ = g.Wait()
		}},
		{"context, a limit", 16, func() {
			g, _ := errgroup.WithContext(context.Background())
			g.SetLimit(4)
			for range 4 {
				g.Go(nop)
			}
			_ = g.Wait()
		}},
	} {
		assert.LessOrEqual(t, testing.AllocsPerRun(2000, row.f), row.most, row.name)
	}
}
