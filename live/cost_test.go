package live_test

import (
	"context"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/live"
)

const crowd = 100_000

// crowds are scopes that are large in different ways; in the last nothing can be folded.
// Each has bounds for the lines of an answer as text, and for its bytes.
var crowds = []struct {
	name         string
	lines, bytes int
	fill         func(s *traigo.Scope, work func(context.Context) error)
}{
	{"tasks in one scope", 10, 4000, func(s *traigo.Scope, work func(context.Context) error) {
		for range crowd {
			s.Spawn(work, traigo.Name("worker"))
		}
	}},
	{"scopes with a task each", 12, 6000, func(s *traigo.Scope, work func(context.Context) error) {
		for range crowd {
			s.Fork(traigo.Name("conn")).Spawn(work, traigo.Name("read"))
		}
	}},
	{"tasks with names of their own", 2020, 1_000_000, func(s *traigo.Scope, work func(context.Context) error) {
		for i := range crowd {
			s.Spawn(work, traigo.Name("worker "+letters(i)))
		}
	}},
}

// filled returns a scope whose tasks have all started.
func filled(fill func(s *traigo.Scope, work func(context.Context) error)) *traigo.Scope {
	s := traigo.New(context.Background(), traigo.Name("server"))
	var started sync.WaitGroup
	started.Add(crowd)
	fill(s, func(ctx context.Context) error {
		started.Done()
		return untilCanceled(ctx)
	})
	started.Wait()
	return s
}

// closeCrowd closes a scope, and waits until its goroutines have gone: other tests look at all.
func closeCrowd(t *testing.T, s *traigo.Scope) {
	t.Helper()
	require.NoError(t, s.Close())
	require.Eventually(t, func() bool { return runtime.NumGoroutine() < 1000 }, time.Minute, time.Millisecond)
}

// The test bounds the sizes of answers. The times depend on the machine, and are logged.
func TestCostOfAnAnswerAboutMany(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector knows 8,128 goroutines")
	}
	for _, row := range crowds {
		t.Run(row.name, func(t *testing.T) {
			s := filled(row.fill)
			defer closeCrowd(t, s)
			h := live.Handler(s)
			for _, format := range []string{"text", "json"} {
				begin := time.Now()
				w := get(h, "/?format="+format)
				took := time.Since(begin)
				assert.Equal(t, http.StatusOK, w.Code)
				size := w.Body.Len()
				t.Logf("%s: %v, %d bytes", format, took, size)
				assert.LessOrEqual(t, size, row.bytes)
				if format == "json" {
					x := decode(t, w.Body.Bytes())
					assert.Equal(t, crowd, x.Tasks, "all are counted")
				} else {
					assert.LessOrEqual(t, strings.Count(w.Body.String(), "\n"), row.lines)
				}
			}
			w := get(h, "/?stacks=1")
			assert.Equal(t, http.StatusConflict, w.Code)
			assert.Contains(t, w.Body.String(), "stacks=force")
			assert.False(t, live.KeepsSnapshot(h))
		})
	}
}

// The number of allocations does not grow with the number of tasks that are folded.
func TestCostOfATree(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	scope := many(10_000, "worker")
	m := &live.LintState{}
	allocs := testing.AllocsPerRun(5, func() { live.Text(m, at, "", scope) })
	t.Log(allocs, "allocations for 10,000 tasks")
	assert.LessOrEqual(t, allocs, 200.0)
}

// A Tracker allocates nothing for the events of tasks.
func TestCostOfATracker(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	var scopes live.Tracker
	s := opened(t, traigo.Observe(&scopes))
	task := s.Spawn(nothing)
	for _, kind := range []traigo.EventKind{traigo.TaskSpawned, traigo.TaskStarted, traigo.TaskEnded} {
		e := traigo.Event{Kind: kind, Time: time.Now(), Scope: s, Task: task}
		assert.Zero(t, testing.AllocsPerRun(100, func() { scopes.Observe(e) }), "%v", kind)
	}
}

func nothing(context.Context) error { return nil }

func BenchmarkTracker(b *testing.B) {
	for name, opts := range map[string][]traigo.ScopeOption{"without": nil, "with": {traigo.Observe(&live.Tracker{})}} {
		b.Run(name, func(b *testing.B) {
			s := traigo.New(context.Background(), opts...)
			for b.Loop() {
				s.Spawn(nothing)
			}
			_ = s.Wait()
		})
		b.Run("fork/"+name, func(b *testing.B) {
			s := traigo.New(context.Background(), opts...)
			for b.Loop() {
				_ = s.Fork().Wait()
			}
			_ = s.Close()
		})
	}
}

// BenchmarkAnswer measures what an answer about 100,000 tasks costs: the snapshot, and the
// text that is made of it.
func BenchmarkAnswer(b *testing.B) {
	for _, row := range crowds {
		s := filled(row.fill)
		b.Run(row.name+"/snapshot", func(b *testing.B) {
			for b.Loop() {
				s.Snapshot()
			}
		})
		scope, m := s.Snapshot(), &live.LintState{}
		b.Run(row.name+"/text", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				live.Text(m, time.Now(), "", scope)
			}
		})
		_ = s.Close()
	}
}
