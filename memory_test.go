package traigo_test

import (
	"context"
	"errors"
	"log/slog"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo"
)

// heap returns the bytes that are in use when all garbage is gone.
func heap() int64 {
	runtime.GC()
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return int64(stats.HeapAlloc)
}

// A scope keeps memory for what runs, not for what has run.
func TestScopeMemoryFollowsWhatRuns(t *testing.T) {
	tasks, forks := 10_000_000, 100_000
	if testing.Short() || raceEnabled {
		tasks, forks = 200_000, 10_000
	}
	bg := context.Background()
	errIgnored := errors.New("ignored")
	s := traigo.New(bg, traigo.Logger(slog.New(slog.DiscardHandler)))
	defer s.Close()

	round := func(tasks, forks int) {
		for i := range tasks {
			switch i % 1000 {
			case 0:
				s.Spawn(func(ctx context.Context) error { ctx.Done(); return errIgnored }, traigo.Bubble(false))
			case 1:
				s.Spawn(func(ctx context.Context) error {
					ctx, cancel := context.WithCancel(ctx)
					defer cancel()
					return traigo.Run(ctx, func(context.Context, *traigo.Scope) error { return nil })
				})
			case 2:
				_, _ = traigo.Async(s, func(context.Context) (int, error) { return 1, errIgnored }).Await(bg)
			case 3:
				s.Spawn(func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }).Cancel(nil)
			case 4:
				_ = s.Spawn(func(context.Context) error { return nil }).Wait(bg)
			default:
				s.Spawn(func(context.Context) error { return nil })
			}
		}
		for i := range forks {
			f := s.Fork()
			f.Spawn(func(context.Context) error { return errIgnored })
			if i%2 == 0 {
				f.Cancel(nil)
			}
			_ = f.Wait()
		}
		for len(s.Snapshot().Tasks) > 0 {
			runtime.Gosched()
		}
	}
	round(10_000, 1000)
	before := heap()
	round(tasks, forks)
	require.Less(t, heap()-before, int64(256<<10), "bytes more after %d tasks and %d forks", tasks, forks)
}
