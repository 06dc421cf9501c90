package record_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/record"
	"github.com/traigo/traigo/record/history"
)

// names returns the paths of the tasks and bodies of a group.
func names(g *history.Group) (paths []string) {
	for _, t := range g.Tasks {
		paths = append(paths, t.Path())
	}
	for _, s := range g.Bodies {
		paths = append(paths, s.Path())
	}
	return paths
}

//go:noinline
func received(free <-chan struct{}) bool {
	<-free
	return true
}

const receivedAt = "stacks_test.go:36"

// When nothing moves, the log says what is waited for, and where.
func TestCensusSaysWhatTasksWaitFor(t *testing.T) {
	for _, mode := range modes {
		synctest.Test(t, func(t *testing.T) {
			var out memory
			rec := record.New(&out, mode...)
			free := make(chan struct{})
			s := traigo.New(t.Context(), traigo.Name("s"), traigo.Observe(rec))
			for i := range 4 {
				s.Spawn(func(context.Context) error {
					_ = i%2 == 0 && received(free) || i%2 == 1 && received(free) // two addresses in one line
					return nil
				}, traigo.Name(fmt.Sprint("receive-", i)))
			}
			s.Spawn(untilCanceled, traigo.Name("other"))
			time.Sleep(9900 * time.Millisecond)
			assert.Empty(t, read(t, out.log()).Censuses)
			time.Sleep(1000 * time.Hour)
			h := read(t, out.log())
			require.Len(t, h.Censuses, 1, "one for a standstill")
			c := h.Censuses[0]
			assert.Equal(t, "nothing has moved for 10s", c.Why)
			assert.Equal(t, 10*time.Second, c.At)
			assert.Same(t, h.Processes[0], c.Process)
			assert.GreaterOrEqual(t, c.Goroutines, 5)
			assert.Zero(t, c.More)
			require.Len(t, c.Groups, 2)
			most := c.Groups[0]
			assert.Equal(t, 4, most.Count)
			assert.Equal(t, "chan receive", most.Waits)
			assert.Equal(t, receivedAt, most.At)
			assert.Contains(t, most.Stack, "TestCensusSaysWhatTasksWaitFor")
			assert.Equal(t, []string{"s/receive-0", "s/receive-1", "s/receive-2", "s/receive-3"}, names(most))
			assert.Equal(t, []string{"s/other"}, names(c.Groups[1]))
			assert.True(t, strings.HasPrefix(c.Groups[1].At, "helpers_test.go:"), c.Groups[1].At)

			for range 2 { // something moves, and then nothing again
				s.Spawn(nop)
				time.Sleep(5 * time.Second)
			}
			time.Sleep(time.Minute)
			assert.Len(t, read(t, out.log()).Censuses, 2)
			close(free)
			require.NoError(t, s.Close())
			time.Sleep(time.Minute)
			require.NoError(t, rec.Close())
			h = read(t, out.log())
			assert.Len(t, h.Censuses, 2, "nothing is alive")
			assert.Zero(t, h.Damaged)
		})
	}
}

func TestCensusIsTakenWhenAsked(t *testing.T) {
	for _, row := range []struct {
		opts []record.Option
		at   []time.Duration
	}{
		{[]record.Option{record.Census(0)}, nil},
		{[]record.Option{record.Census(3 * time.Second)}, []time.Duration{3 * time.Second}},
		{[]record.Option{record.Census(time.Hour)}, []time.Duration{time.Hour}},
		{[]record.Option{record.Census(1<<63 - 1)}, nil},
	} {
		synctest.Test(t, func(t *testing.T) {
			var out memory
			rec := record.New(&out, row.opts...)
			s := traigo.New(t.Context(), traigo.Name("s"), traigo.Observe(rec))
			s.Spawn(untilCanceled)
			time.Sleep(100 * time.Hour)
			require.NoError(t, s.Close())
			require.NoError(t, rec.Close())
			var at []time.Duration
			for _, c := range read(t, out.log()).Censuses {
				at = append(at, c.At)
			}
			assert.Equal(t, row.at, at)
		})
	}
}

// A scope that is open and runs nothing waits for nothing.
func TestCensusOfNothingIsNotWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out memory
		rec := record.New(&out)
		s := traigo.New(t.Context(), traigo.Observe(rec))
		time.Sleep(time.Hour)
		require.NoError(t, s.Close())
		require.NoError(t, rec.Close())
		_, census, _ := strings.Cut(string(out.log()), `"stacks"`)
		assert.Empty(t, census)
	})
}

// A goroutine counts once: as its task, or else as the innermost body on it.
func TestCensusCountsAGoroutineOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out memory
		rec := record.New(&out)
		wait := func(ctx context.Context, _ *traigo.Scope) error { return untilCanceled(ctx) }
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			time.Sleep(time.Hour)
			cancel()
		}()
		_ = traigo.Run(ctx, func(ctx context.Context, s *traigo.Scope) error {
			s.Spawn(func(ctx context.Context) error {
				return traigo.Run(ctx, wait, traigo.Name("in the task"))
			}, traigo.Name("task"))
			return traigo.Run(ctx, wait, traigo.Name("inner"))
		}, traigo.Name("root"), traigo.Observe(rec))
		require.NoError(t, rec.Close())
		h := read(t, out.log())
		require.Len(t, h.Censuses, 1)
		var got []string
		for _, g := range h.Censuses[0].Groups {
			assert.Equal(t, 1, g.Count)
			got = append(got, names(g)...)
		}
		assert.ElementsMatch(t, []string{"root/task", "root/inner"}, got)
	})
}

// The scopes of another process are in the recording of that.
func TestCensusLeavesOutOtherProcesses(t *testing.T) {
	const state = "running"
	there := traigo.Snapshot{
		ID: 1, Pid: 71, Stack: "goroutine 8 [select]:\nmain.main()",
		Tasks:  []traigo.TaskSnapshot{{Scope: 1, ID: 1, State: state, Stack: "goroutine 9 [select]:\nmain.f()"}},
		Scopes: []traigo.Snapshot{{ID: 2, Pid: 71, Stack: "goroutine 10 [select]:\nmain.g()"}},
	}
	here := traigo.Snapshot{
		ID: 1, Stack: "goroutine 1 [select]:\nmain.main()", Scopes: []traigo.Snapshot{there},
		Tasks: []traigo.TaskSnapshot{{Scope: 1, ID: 2, State: state, Stack: "goroutine 7 [select]:\nmain.f()"}},
	}
	assert.ElementsMatch(t, [][2]uint64{{1, 0}, {1, 2}}, record.InCensus(here))
}

// A task that was given up is in it, though its scope has closed.
func TestStackCensusHasTasksThatWereGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out memory
		rec := record.New(&out)
		free := make(chan struct{})
		s := traigo.New(t.Context(), traigo.Name("s"), traigo.Observe(rec), traigo.CancelTimeout(time.Second))
		s.Spawn(func(context.Context) error { <-free; return nil }, traigo.Name("deaf"))
		require.Error(t, s.Close())
		time.Sleep(time.Minute)
		close(free)
		require.NoError(t, rec.Close())
		h := read(t, out.log())
		require.Len(t, h.Censuses, 1)
		assert.Equal(t, []string{"s/deaf"}, names(h.Censuses[0].Groups[0]))
	})
}

// descend has 1<<bits different stacks.
//
//go:noinline
func descend(way, bits int, end <-chan struct{}) {
	switch {
	case bits == 0:
		<-end
	case way&1 == 0:
		left(way>>1, bits-1, end)
	default:
		right(way>>1, bits-1, end)
	}
}

//go:noinline
func left(way, bits int, end <-chan struct{}) { descend(way, bits, end) }

//go:noinline
func right(way, bits int, end <-chan struct{}) { descend(way, bits, end) }

// The size of a census is bounded.
func TestCensusIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := tempLog(t)
		rec, err := record.Create(path, record.MaxSize(20_000), record.Keep(1000))
		require.NoError(t, err)
		var observed counting
		s := traigo.New(t.Context(), traigo.Name("s"), traigo.Observe(rec), traigo.Observe(&observed))
		end := make(chan struct{})
		for i := range 300 {
			s.Spawn(func(context.Context) error { descend(i%128, 7, end); return nil })
		}
		s.Spawn(func(context.Context) error { descend(0, 500, end); return nil }, traigo.Name("deep"))
		time.Sleep(time.Hour)
		close(end)
		require.NoError(t, s.Wait())
		require.NoError(t, rec.Close())
		h := whole(t, bytes.Join(segments(t, path), nil), observed.Load())
		require.Len(t, h.Censuses, 1)
		c := h.Censuses[0]
		require.Len(t, c.Groups, 100)
		counted := 0
		for i, g := range c.Groups {
			counted += g.Count
			assert.LessOrEqual(t, len(g.Stack), 4200)
			assert.Len(t, g.Tasks, g.Count)
			if i > 0 {
				assert.LessOrEqual(t, g.Count, c.Groups[i-1].Count, "the largest come first")
			}
		}
		assert.Equal(t, 3, c.Groups[0].Count)
		assert.Equal(t, 301, counted+c.More)
		for _, log := range segments(t, path) {
			census := bytes.Count(log, []byte(`"k":"group"`)) * 4000
			assert.Less(t, len(log), 80_000+census)
		}
	})
}

// A file that has no room for a census ends before it.
func TestCensusMayBeginAFile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := tempLog(t)
		const size = 20_000
		rec, err := record.Create(path, record.MaxSize(size))
		require.NoError(t, err)
		s := traigo.New(t.Context(), traigo.Name("s"), traigo.Observe(rec))
		for log := []byte(nil); len(log) < size-500; log, _ = os.ReadFile(path) {
			require.NoError(t, s.Spawn(nop).Wait(t.Context()))
			flush(s)
		}
		s.Spawn(untilCanceled)
		time.Sleep(time.Hour)
		all := segments(t, path)
		require.Len(t, all, 2)
		assert.LessOrEqual(t, len(all[0]), size)
		assert.Empty(t, read(t, all[0]).Censuses)
		h := read(t, all[1])
		require.Len(t, h.Censuses, 1)
		assert.Equal(t, []string{"s/untilCanceled"}, names(h.Censuses[0].Groups[0]))
		require.NoError(t, s.Close())
		require.NoError(t, rec.Close())
	})
}

// Above 10,000 goroutines the program is not stopped for a dump: the census has no names.
func TestCensusOfVeryMany(t *testing.T) {
	defer func() { // a later test must not find so many: their goroutines end after their tasks
		for runtime.NumGoroutine() > 1000 {
			runtime.Gosched()
		}
	}()
	synctest.Test(t, func(t *testing.T) {
		var out memory
		rec := record.New(&out, record.Buffer(1<<25))
		s := traigo.New(t.Context(), traigo.Name("s"), traigo.Observe(rec))
		end := make(chan struct{})
		for range 10_050 {
			s.Spawn(func(context.Context) error { <-end; return nil })
		}
		s.Spawn(func(context.Context) error {
			select {
			case <-end:
			case <-s.Done():
			}
			return nil
		})
		go descend(0, 1, end) // no task
		time.Sleep(time.Minute)
		close(end)
		require.NoError(t, s.Wait())
		require.NoError(t, rec.Close())
		h := read(t, out.log())
		require.Len(t, h.Censuses, 1)
		c := h.Censuses[0]
		assert.Greater(t, c.Goroutines, 10_050)
		require.GreaterOrEqual(t, len(c.Groups), 2)
		most := c.Groups[0]
		assert.Equal(t, 10_050, most.Count)
		assert.Equal(t, "chan receive", most.Waits)
		assert.True(t, strings.HasPrefix(most.At, "stacks_test.go:"), most.At)
		assert.Contains(t, most.Stack, "TestCensusOfVeryMany")
		assert.Empty(t, most.Tasks)
		found := false
		for _, g := range c.Groups {
			found = found || g.Waits == "select" && g.Count == 1 && strings.HasPrefix(g.At, "stacks_test.go:")
			assert.NotContains(t, g.Stack, "descend")
		}
		assert.True(t, found)
	})
}

// A census that finds no room on the disk is no loss; lines written over by others are not
// counted as events.
func TestCensusOnAFullDisk(t *testing.T) {
	_, err := os.Stat("/dev/full")
	if err != nil {
		t.Skip(err)
	}
	synctest.Test(t, func(t *testing.T) {
		file, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
		require.NoError(t, err)
		defer file.Close()
		var out memory
		var full atomic.Bool
		rec := record.New(writing(func(p []byte) (int, error) {
			if full.Load() {
				return file.Write(p)
			}
			return out.Write(p)
		}))
		s := traigo.New(t.Context(), traigo.Observe(rec))
		s.Spawn(untilCanceled)
		time.Sleep(time.Second / 2)
		full.Store(true)
		time.Sleep(30 * time.Second)
		full.Store(false)
		require.NoError(t, s.Close())
		require.NoError(t, rec.Close())
		h := read(t, out.log())
		assert.Zero(t, h.Lost())
		assert.True(t, h.Closed)
	})
}

// A second look at the same standstill is written only if it shows something else.
func TestCensusIsRepeatedIfItDiffers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out memory
		rec := record.New(&out, record.Durable(), record.Census(0))
		s := traigo.New(t.Context(), traigo.Name("s"), traigo.Observe(rec))
		first, second := make(chan struct{}), make(chan struct{})
		s.Spawn(func(context.Context) error {
			<-first
			<-second // no event tells of it
			return nil
		})
		synctest.Wait()
		censuses := func() int { return len(read(t, out.log()).Censuses) }
		record.LookAgain(rec, 1)
		assert.Equal(t, 1, censuses())
		record.LookAgain(rec, 2)
		assert.Equal(t, 1, censuses())
		close(first)
		synctest.Wait()
		record.LookAgain(rec, 3)
		assert.Equal(t, 2, censuses())
		record.LookAgain(rec, 1)
		assert.Equal(t, 3, censuses(), "the first of another standstill")
		close(second)
		require.NoError(t, s.Wait())
		require.NoError(t, rec.Close())
	})
}

// Outside of a bubble the recorder looks again after 10 and 100 times as long, and then no more.
func TestCensusLooksAgainTwice(t *testing.T) {
	for _, mode := range modes {
		synctest.Test(t, func(t *testing.T) {
			var out memory
			rec := record.New(&out, append(mode, record.Census(10*time.Second))...)
			record.LeaveBubble(rec)
			s := traigo.New(t.Context(), traigo.Name("s"), traigo.Observe(rec))
			s.Spawn(func(ctx context.Context) error {
				tick := time.Tick(7 * time.Second)
				for n := 0; ctx.Err() == nil; n++ { // it has another stack each time, and no event
					descend(n%100, 7, afterTick(ctx, tick))
				}
				return nil
			})
			time.Sleep(20_000 * time.Second)
			require.NoError(t, s.Close())
			require.NoError(t, rec.Close())
			var at []time.Duration
			var why []string
			for _, c := range read(t, out.log()).Censuses {
				at, why = append(at, c.At.Round(time.Second)), append(why, c.Why)
			}
			assert.Equal(t, []time.Duration{10 * time.Second, 100 * time.Second, 1000 * time.Second}, at)
			assert.Equal(t, []string{"nothing has moved for 10s", "nothing has moved for 1m40s", "nothing has moved for 16m40s"}, why)
		})
	}
}

// afterTick returns a channel that is closed at the next tick.
func afterTick(ctx context.Context, tick <-chan time.Time) <-chan struct{} {
	end := make(chan struct{})
	go func() {
		defer close(end)
		select {
		case <-tick:
		case <-ctx.Done():
		}
	}()
	return end
}
