package bench

import (
	"context"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo"
)

func TestEveryCrowdRunsAllOfItsTasks(t *testing.T) {
	for _, c := range crowds {
		t.Run(c.name, func(t *testing.T) {
			var runs atomic.Int32
			between := false
			c.crowd(100, jobOf(func() { runs.Add(1) }), func() { between = true })
			assert.EqualValues(t, 100, runs.Load())
			assert.True(t, between)
		})
	}
}

// release returns only if all tasks of the lot are parked at the same time.
func TestEveryCrowdParks(t *testing.T) {
	for _, c := range crowds {
		t.Run(c.name, func(t *testing.T) {
			l := newLot(100)
			c.crowd(100, l.job, l.release)
		})
	}
}

func TestEveryFieldIsCanceled(t *testing.T) {
	for _, f := range fields {
		t.Run(f.name, func(t *testing.T) {
			var canceled atomic.Int32
			f.field(100, func(ctx context.Context) error {
				<-ctx.Done()
				canceled.Add(1)
				return nil
			}, func(cancel func()) { cancel() })
			assert.EqualValues(t, 100, canceled.Load())
			assert.False(t, parkDone(f.field, 10).IsZero())
		})
	}
}

func TestEveryWorkIsDoneAndTakesTime(t *testing.T) {
	works := []Work{
		Spawn(10, 0), Spawn(10, time.Microsecond), Park(10), ParkDone(10), Cancel(10),
		Live(10), LiveScopes(10), Spawners(2, 10), Groups(2, 10), One(false), One(true),
		Team(4), Limited(10, 2), Failing(4), All(3), Race(3), Map(10, 0, 2), AsCompleted(10, 2),
		MoveOnAfter(), Watched(10),
	}
	for _, w := range append(works, Loaded()...) {
		for _, s := range w.Samples() {
			assert.Positive(t, s.Op(2), s.Name)
		}
	}
}

func TestBusyTakesAboutTheTimeItIsGiven(t *testing.T) {
	// No upper bound: the machine may be busy with other things.
	j := busy(time.Millisecond)
	best := time.Hour
	for range 5 {
		begin := time.Now()
		j.plain()
		best = min(best, time.Since(begin))
	}
	assert.Greater(t, best, 100*time.Microsecond)
}

func TestWorksHaveNamesThatBenchstatReads(t *testing.T) {
	for name, works := range Works() {
		for _, w := range works {
			for _, s := range w.Samples() {
				parts := strings.Split(s.Name, "/")
				assert.Equal(t, name, parts[0])
				for _, part := range parts[1:] {
					assert.Regexp(t, `^[a-z]+=[^ ]+$`, part)
				}
			}
		}
	}
}

func TestWeightIsCounted(t *testing.T) {
	bytes := BytesPerParked("go", 1000)
	assert.Greater(t, bytes, 1000.0)
	times, perSpawn := Allocations()
	assert.InDelta(t, 1, times, 0.1)
	assert.Positive(t, perSpawn)
	watched, _ := Allocations(traigo.Observe(nobody{}))
	assert.InDelta(t, 1, watched, 0.1, "an observer that keeps nothing costs no allocation")
	runtime.GC()
}

func TestRecordedEventsAreMeasured(t *testing.T) {
	ns, allocations, err := RecordedEvent()
	require.NoError(t, err)
	assert.Positive(t, ns)
	assert.Less(t, allocations, 0.01)
}
