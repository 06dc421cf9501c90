package bench

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/record"
)

// What it costs to be recorded, which is no ratio: nobody else writes this.

// RecordedEvent returns what a recorder takes from whoever makes an event: nanoseconds, and
// allocations. The events are those of tasks that are spawned, start and end; the time
// stamp that each has is the core's. They come in bursts, with pauses in which the recorder
// writes them to its file: a processor that does nothing else makes more of them than
// are written.
func RecordedEvent(dir string) (nanoseconds, allocations float64, err error) {
	const bursts = 200
	log := filepath.Join(dir, "run.jsonl")
	defer os.Remove(log)
	rec, err := record.Create(log)
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
		rec.Observe(failure) // returns when all is written
	}
	allocations = testing.AllocsPerRun(1, burst)
	n := float64(len(events))
	return float64(took.Nanoseconds()) / n / bursts, allocations / n, rec.Close()
}

// someEvents are those of n tasks that end well, and the end of one that fails.
func someEvents(n int) (events []traigo.Event, failure traigo.Event) {
	var seen kept
	must(traigo.Run(context.Background(), func(ctx context.Context, s *traigo.Scope) error {
		for range n {
			must(s.Spawn(func(context.Context) error { return nil }, traigo.Name("worker")).Wait(ctx))
		}
		s.Spawn(func(context.Context) error { return errors.New("no") }, traigo.Bubble(false))
		return nil
	}, traigo.Observe(&seen)))
	for _, e := range seen {
		switch {
		case e.Kind == traigo.TaskEnded && e.Err != nil:
			failure = e
		case e.Task != nil && len(events) < 3*n:
			events = append(events, e)
		}
	}
	return events, failure
}

// kept keeps the events of a scope whose tasks run one after the other.
type kept []traigo.Event

func (k *kept) Observe(e traigo.Event) { *k = append(*k, e) }
