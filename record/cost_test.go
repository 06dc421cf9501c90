package record_test

import (
	"context"
	"io"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/record"
)

// Recording an event without an error does not allocate.
func TestCostEventAllocatesNothing(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	all := events(t, 100)
	for _, row := range []struct {
		name string
		rec  *record.Recorder
	}{
		{"default", record.New(io.Discard)},
		{"durable", record.New(io.Discard, record.Durable())},
		{"sites", record.New(io.Discard, record.Sites())},
	} {
		i := 0
		times := testing.AllocsPerRun(20_000, func() {
			row.rec.Observe(all[i%len(all)])
			i++
		})
		assert.Zero(t, times, row.name)
		require.NoError(t, row.rec.Close())
	}
}

// In a real scope too, a recorder allocates no more than an observer that does nothing.
func TestCostSpawnUnderARecorderAllocatesOnce(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	perTask := func(o traigo.Observer) float64 {
		s := traigo.New(context.Background(), traigo.Observe(o))
		defer s.Close()
		done := make(chan struct{})
		signal := func(context.Context) error { done <- struct{}{}; return nil }
		return testing.AllocsPerRun(5000, func() {
			s.Spawn(signal)
			<-done
		})
	}
	rec := record.New(io.Discard)
	idle := perTask(observing(func(traigo.Event) {}))
	assert.LessOrEqual(t, perTask(rec), idle)
	require.NoError(t, rec.Close())
}

func BenchmarkEvent(b *testing.B) {
	all := events(b, 1000)
	run := func(name string, rec *record.Recorder) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				rec.Observe(all[i])
				if i++; i == len(all) {
					i = 0
				}
			}
		})
		if err := rec.Close(); err != nil {
			b.Log(err)
		}
	}
	file := func(opts ...record.Option) *record.Recorder {
		rec, err := record.Create(tempLog(b), opts...)
		require.NoError(b, err)
		return rec
	}
	run("discard", record.New(io.Discard))
	run("file", file())
	run("rotating", file(record.MaxSize(16<<20)))
	run("durable", file(record.Durable()))
}

// BenchmarkTask compares a short task, which has three events, under an observer that does
// nothing and under recorders.
func BenchmarkTask(b *testing.B) {
	for _, row := range []struct {
		name string
		open func() traigo.Observer
	}{
		{"nobody", func() traigo.Observer { return observing(func(traigo.Event) {}) }},
		{"recorder", func() traigo.Observer { return record.New(io.Discard) }},
		{"durable", func() traigo.Observer { return record.New(io.Discard, record.Durable()) }},
	} {
		b.Run(row.name, func(b *testing.B) {
			o := row.open()
			s := traigo.New(b.Context(), traigo.Observe(o))
			done := make(chan struct{})
			signal := func(context.Context) error { done <- struct{}{}; return nil }
			b.ReportAllocs()
			for b.Loop() {
				s.Spawn(signal)
				<-done
			}
			require.NoError(b, s.Wait())
			if rec, ok := o.(*record.Recorder); ok {
				if err := rec.Close(); err != nil {
					b.Log(err) // lines may be lost on a busy machine
				}
			}
		})
	}
}
