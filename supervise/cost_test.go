package supervise_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/stretchr/testify/assert"

	"github.com/traigo/traigo/supervise"
)

// Without an observer a restart costs the scope of the attempt, with its name, body and
// option, and the outcome of the attempt before it. The last restart costs as much as the
// first, so nothing grows.
func TestCostRestartAllocatesLittle(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	perRestart := func(restarts int) float64 {
		calls := 0
		fn := supervise.Restart(func(context.Context) error {
			if calls++; calls <= restarts {
				return errBoom
			}
			calls = 0
			return nil
		}, quiet(), supervise.Backoff(func() backoff.BackOff { return &backoff.ZeroBackOff{} }))
		ctx := context.Background()
		return testing.AllocsPerRun(100, func() { assert.NoError(t, fn(ctx)) })
	}
	once, often := perRestart(1), perRestart(101)
	t.Log("a call with one restart:", once, "allocations; a restart more:", (often-once)/100)
	assert.LessOrEqual(t, (often-once)/100, 9.0)
}

// A heartbeat runs as long as its program.
func TestCostOfATickIsNoAllocation(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	synctest.Test(t, func(t *testing.T) {
		perCall := func(ticks int) float64 {
			calls := 0
			tick := supervise.Every(time.Second, func(context.Context) error {
				if calls++; calls%ticks == 0 {
					return errBoom
				}
				return nil
			})
			ctx := context.Background()
			return testing.AllocsPerRun(10, func() { assert.Equal(t, errBoom, tick(ctx)) })
		}
		assert.InDelta(t, perCall(1), perCall(1001), 0.5)
	})
}
