package bench

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/record"
)

// The cost of a recorder is no ratio: there is nothing to compare it with.

// RecordedEvent returns the cost of a call of Observe, in nanoseconds and in allocations. The
// events are those of tasks that are spawned, start and end. Their time stamps are not part
// of the cost, since package traigo takes them. The events come in bursts, and after each
// burst the recorder writes them to its file: a processor that only makes events makes more
// of them than the recorder can write.
func RecordedEvent() (nanoseconds, allocations float64, err error) {
	const bursts = 200
	dir, err := os.MkdirTemp("", "traigo-bench-")
	if err != nil {
		return 0, 0, err
	}
	defer os.RemoveAll(dir)
	rec, err := record.Create(filepath.Join(dir, "run.jsonl"))
	if err != nil {
		return 0, 0, err
	}
	events, failure := someEvents(1000)
	burst := func() {
		for _, e := range events {
			rec.Observe(e)
		}
	}
	var took time.Duration
	for range bursts {
		began := time.Now()
		burst()
		took += time.Since(began)
		rec.Observe(failure) // returns when all events are written
	}
	allocations = testing.AllocsPerRun(1, burst)
	n := float64(len(events))
	return float64(took.Nanoseconds()) / n / bursts, allocations / n, rec.Close()
}

// someEvents returns the events of n tasks that succeed, and the end of one that fails.
func someEvents(n int) (events []traigo.Event, failure traigo.Event) {
	var seen kept
	must(traigo.Run(context.Background(), func(ctx context.Context, s *traigo.Scope) error {
		for range n {
			must(s.Spawn(func(context.Context) error { return nil }, traigo.Name("worker")).Wait(ctx))
		}
		s.Spawn(func(context.Context) error { return errors.New("no") }, traigo.Bubble(false))
		return nil
	}, traigo.Observe(&seen)))
	for _, e := range seen.events {
		switch {
		case e.Kind == traigo.TaskEnded && e.Err != nil:
			failure = e
		case e.Task != nil && len(events) < 3*n:
			events = append(events, e)
		}
	}
	return events, failure
}

// kept records the events of a scope.
type kept struct {
	mu     sync.Mutex
	events []traigo.Event
}

func (k *kept) Observe(e traigo.Event) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.events = append(k.events, e)
}
