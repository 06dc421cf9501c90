package bench

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/record"
)

// What it costs to be recorded, which is no ratio: nobody else writes this.

// RecordedEvent returns what a recorder takes for an event, with the writing to a file
// that it does meanwhile: nanoseconds, and allocations. The events are those of tasks that
// are spawned, start and end; the time stamp that each has is the core's.
func RecordedEvent(dir string, opts ...record.Option) (nanoseconds, allocations float64, err error) {
	rec, err := record.Create(filepath.Join(dir, "run.jsonl"), opts...)
	if err != nil {
		return 0, 0, err
	}
	defer os.Remove(filepath.Join(dir, "run.jsonl"))
	events := someEvents(1000)
	r := testing.Benchmark(func(b *testing.B) {
		b.ReportAllocs()
		for i := range b.N {
			rec.Observe(events[i%len(events)])
		}
	})
	return float64(r.T.Nanoseconds()) / float64(r.N), float64(r.MemAllocs) / float64(r.N), rec.Close()
}

// someEvents are those of n tasks.
func someEvents(n int) (events []traigo.Event) {
	var seen kept
	must(traigo.Run(context.Background(), func(ctx context.Context, s *traigo.Scope) error {
		for range n {
			must(s.Spawn(func(context.Context) error { return nil }, traigo.Name("worker")).Wait(ctx))
		}
		return nil
	}, traigo.Observe(&seen)))
	for _, e := range seen {
		if e.Task != nil {
			events = append(events, e)
		}
	}
	return events
}

// kept keeps the events of a scope whose tasks run one after the other.
type kept []traigo.Event

func (k *kept) Observe(e traigo.Event) { *k = append(*k, e) }
