package traigo_test

import (
	"context"
	"errors"
	"log/slog"
	"runtime"
	"testing"

	"github.com/stretchr/testify/assert"
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

// What it costs to spawn: one allocation, and nothing for what nobody asks for.
func TestSpawnAllocatesOnce(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	nop := func(context.Context) error { return nil }
	done := make(chan struct{})
	signal := func(context.Context) error { done <- struct{}{}; return nil }
	name := traigo.Name("named")
	for _, row := range []struct {
		name  string
		scope []traigo.ScopeOption
		task  []traigo.TaskOption
	}{
		{"plain", nil, nil},
		{"flags", nil, []traigo.TaskOption{traigo.Bubble(false), traigo.Awaited(false)}},
		{"a name", nil, []traigo.TaskOption{name}},
		{"a limit", []traigo.ScopeOption{traigo.Limit(3)}, nil},
	} {
		s := traigo.New(context.Background(), row.scope...)
		times := testing.AllocsPerRun(2000, func() {
			s.Spawn(nop, row.task...)
			s.Spawn(signal, row.task...)
			<-done
		}) / 2
		assert.InDelta(t, 1, times, 0.05, row.name)
		require.NoError(t, s.Close())
	}
}

// And to open a scope, with the task in it: the scope, the task, the function of a
// goroutine.
func TestScopeWithATaskAllocatesLittle(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	nop := func(context.Context) error { return nil }
	bg := context.Background()
	parent := traigo.New(bg)
	defer parent.Close()
	assert.LessOrEqual(t, testing.AllocsPerRun(2000, func() {
		_ = traigo.Run(bg, func(_ context.Context, s *traigo.Scope) error { s.Spawn(nop); return nil })
	}), 4.0, "Run")
	assert.LessOrEqual(t, testing.AllocsPerRun(2000, func() {
		f := parent.Fork()
		f.Spawn(nop)
		_ = f.Wait()
	}), 5.0, "Fork: a Wait that comes late needs a channel")
}

// Both are allocated in great numbers. Who makes one larger has a reason, and
// says it here.
func TestTasksAndScopesAreSmall(t *testing.T) {
	task, scope := traigo.Sizes()
	assert.LessOrEqual(t, task, uintptr(80), "bytes of a Task")
	assert.LessOrEqual(t, scope, uintptr(320), "bytes of a Scope")
}
