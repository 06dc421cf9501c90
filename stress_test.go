package traigo_test

import (
	"context"
	"log/slog"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo"
)

// Random trees on the real scheduler and clock, where goroutines run at the
// same time; trace_test.go runs them in bubbles. A failure names the seed.
func TestStressRandomTrees(t *testing.T) {
	runs := 400
	if testing.Short() {
		runs = 50
	}
	quiet := traigo.Logger(slog.New(slog.DiscardHandler))
	for seed := range runs {
		p, tr := newProgram(uint64(seed), 60), newTrace()
		_ = p.run(context.Background(), quiet, traigo.Observe(tr))
		require.NoError(t, p.check(), "seed %d", seed)
		require.Empty(t, tr.check(), "seed %d", seed)
	}
}

// Spawning, forking, canceling and looking, all at once: everything accepted
// runs, everything refused does not, and the scope ends.
func TestStressSpawnAgainstCancel(t *testing.T) {
	rounds := 100
	if testing.Short() || raceEnabled {
		rounds = 20
	}
	for range rounds {
		var ran, accepted atomic.Int64
		s := traigo.New(context.Background())
		var spawners sync.WaitGroup
		for range 4 {
			spawners.Go(func() {
				for {
					_, ok := s.TrySpawn(func(context.Context) error { ran.Add(1); return nil })
					if !ok {
						return
					}
					accepted.Add(1)
					_ = s.Fork(traigo.Name("f")).Close()
				}
			})
		}
		spawners.Go(func() {
			_ = s.Snapshot().String()
			s.Cancel(nil)
		})
		spawners.Wait()
		require.NoError(t, s.Wait())
		require.NoError(t, s.CheckInvariants())
		require.Equal(t, accepted.Load(), ran.Load())
	}
}

// What has been waited for is not in a snapshot any more.
func TestStressClosedForksAreNotInTheSnapshot(t *testing.T) {
	parent := traigo.New(context.Background())
	for range 2000 {
		fork := parent.Fork()
		fork.Spawn(succeed)
		require.NoError(t, fork.Wait())
		require.Empty(t, parent.Snapshot().Scopes)
	}
	require.NoError(t, parent.Close())
}

// Each task waits for the next one: none may be kept from starting by another.
func TestStressRingOfWaitingTasks(t *testing.T) {
	const size = 2000
	links := make([]chan struct{}, size+1)
	for i := range links {
		links[i] = make(chan struct{})
	}
	err := traigo.Run(context.Background(), func(ctx context.Context, s *traigo.Scope) error {
		for i := range size {
			s.Spawn(func(context.Context) error {
				<-links[i+1]
				close(links[i])
				return nil
			})
		}
		s.Spawn(func(context.Context) error { close(links[size]); return nil })
		<-links[0]
		return nil
	})
	require.NoError(t, err)
}

// Panics and Goexits take their goroutine with them, but no accepted task.
func TestStressDyingWorkersStrandNobody(t *testing.T) {
	const size = 5000
	var ran atomic.Int64
	err := traigo.Run(context.Background(), func(_ context.Context, s *traigo.Scope) error {
		for i := range size {
			s.Spawn(func(context.Context) error {
				ran.Add(1)
				switch i % 3 {
				case 0:
					runtime.Goexit()
				case 1:
					panic("dying")
				}
				return nil
			}, traigo.Bubble(false))
			if i%100 == 0 {
				runtime.Gosched()
			}
		}
		return nil
	}, traigo.PanicAsError())
	require.NoError(t, err, "nothing bubbles")
	require.EqualValues(t, size, ran.Load())
}

// A task that never yields does not keep the others from starting.
func TestStressSpinningTaskBlocksNobody(t *testing.T) {
	if runtime.GOMAXPROCS(0) == 1 {
		t.Skip("with one P the scheduler preempts a spinning goroutine only every 10 ms")
	}
	err := traigo.Run(context.Background(), func(_ context.Context, s *traigo.Scope) error {
		var stop atomic.Bool
		s.Spawn(func(context.Context) error {
			for !stop.Load() { // spin
			}
			return nil
		})
		for range 100 {
			if err := s.Spawn(func(context.Context) error { return nil }).Wait(context.Background()); err != nil {
				return err
			}
		}
		stop.Store(true)
		return nil
	})
	require.NoError(t, err)
}

// Nothing is left of a Run: no goroutine but those that are on their way out.
func TestStressLeavesNoGoroutine(t *testing.T) {
	before := runtime.NumGoroutine()
	for seed := range 20 {
		_ = newProgram(uint64(seed), 60).run(context.Background(), traigo.Logger(slog.New(slog.DiscardHandler)))
	}
	for deadline := time.Now().Add(10 * time.Second); runtime.NumGoroutine() > before; runtime.Gosched() {
		if time.Now().After(deadline) {
			stacks := make([]byte, 1<<20)
			t.Fatalf("%d goroutines before, now:\n%s", before, stacks[:runtime.Stack(stacks, true)])
		}
	}
}
