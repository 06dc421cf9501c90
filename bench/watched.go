package bench

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"runtime"
	"runtime/debug"
	"sync/atomic"
	"time"

	"golang.org/x/perf/benchmath"

	"github.com/traigo/traigo"
)

// The cost of being watched: tasks with and without an observer or a logger, and a snapshot
// of a scope with many tasks: its memory, and how long it keeps others from the lock of the
// scope.

// nobody is an observer that does nothing.
type nobody struct{}

func (nobody) Observe(traigo.Event) {}

// Watched is n short tasks in a scope with nothing that watches it, with an observer that
// does nothing, and with a logger that writes nothing below the level WARN.
func Watched(n int) Work {
	warnings := slog.New(slog.NewTextHandler(io.Discard, &slog.HandlerOptions{Level: slog.LevelWarn})) //nolint:sloglint // the handler that discards all is not enabled for warnings either
	body := spawns(n, short.ctx)
	return Work{Name: fmt.Sprintf("Watched/tasks=%d", n), Units: n, Unit: "task", Ways: []Way{
		{"unwatched", timed(func() { must(traigo.Run(context.Background(), body)) })},
		{"observer", timed(func() { must(traigo.Run(context.Background(), body, traigo.Observe(nobody{}))) })},
		{"logger", timed(func() { must(traigo.Run(context.Background(), body, traigo.Logger(warnings))) })},
	}}
}

// SnapshotBytes returns the bytes that a snapshot of n tasks allocates, per task.
func SnapshotBytes(n int) (bytes float64) {
	parked(n, func(s *traigo.Scope) {
		_, bytes = allocatedBy(func() { s.Snapshot() })
	})
	return bytes / float64(n)
}

// SnapshotStall returns for how long a goroutine that needs the lock of a scope with n
// tasks has to wait for it at worst while a snapshot is taken, and for how long it is held
// up at worst in the same time without a snapshot: by the machine, that is. Both are
// medians of some tries, in nanoseconds.
//
// The garbage is collected before and not meanwhile: the pauses for that have nothing to do
// with the lock.
func SnapshotStall(n, tries int) (during, without benchmath.Summary) {
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	var with, control []float64
	parked(n, func(s *traigo.Scope) {
		for range tries {
			runtime.GC()
			var took time.Duration
			with = append(with, longestStall(s, func() {
				begin := time.Now()
				s.Snapshot()
				took = time.Since(begin)
			}))
			control = append(control, longestStall(s, func() { busy(took).plain() }))
		}
	})
	return median(with), median(control)
}

// parked calls f with a scope in which n tasks are parked.
func parked(n int, f func(*traigo.Scope)) {
	l := newLot(n)
	must(traigo.Run(context.Background(), func(_ context.Context, s *traigo.Scope) error {
		for range n {
			s.Spawn(l.ctx)
		}
		<-l.full
		f(s)
		close(l.gate)
		return nil
	}))
}

// longestStall takes the lock of s again and again while f runs, and returns the longest
// time between two calls, in nanoseconds.
func longestStall(s *traigo.Scope, f func()) float64 {
	var stop atomic.Bool
	begun, longest := make(chan struct{}), make(chan time.Duration)
	go func() {
		close(begun)
		var worst time.Duration
		for last := time.Now(); !stop.Load(); {
			s.State()
			now := time.Now()
			worst, last = max(worst, now.Sub(last)), now
		}
		longest <- worst
	}()
	<-begun
	f()
	stop.Store(true)
	return float64(<-longest)
}
