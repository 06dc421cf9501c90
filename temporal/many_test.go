package temporal_test

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/temporal"
)

// A scope may have any number of tasks. Each is done once where nobody is lost, and what the scope's
// own workflow keeps does not grow with them.
func TestManyTasks(t *testing.T) { // not parallel: it keeps the server busy
	for name, opts := range map[string][]temporal.OpenOption{
		"InFlight100": {temporal.InFlight(100)},
		"default":     nil,
	} {
		t.Run(name, func(t *testing.T) {
			n := 2000
			if testing.Short() || opts != nil {
				n = 500
			}
			queue := queueOf(t)
			one, two := startWorker(t, queue), startWorker(t, queue)
			e := connect(t)
			var id string
			var all []*traigo.Future[int]
			require.NoError(t, within(t, e, queue, func(ctx context.Context, _ *traigo.Scope, r *temporal.Remote) error {
				id = r.ID()
				for i := range n {
					all = append(all, notes.Async(r, i))
				}
				for i, f := range all {
					got, err := f.Await(ctx)
					require.NoError(t, err)
					require.Equal(t, -i, got)
				}
				return nil
			}, opts...))
			awaits(t, n, "note ", one, two)
			require.Len(t, saidBy("note ", one, two), n)
			seen := map[string]bool{}
			for _, line := range saidBy("note ", one, two) {
				seen[line] = true
			}
			require.Len(t, seen, n, "each once")
			require.NotEmpty(t, one.said("note "))
			require.NotEmpty(t, two.said("note "))
			d, err := e.Client().DescribeWorkflowExecution(t.Context(), id, "")
			require.NoError(t, err)
			require.Less(t, d.GetWorkflowExecutionInfo().GetHistoryLength(), int64(30))
		})
	}
}

// notes says "note N".
var notes = register(temporal.Func("notes", func(_ context.Context, n int) (int, error) {
	say("note %d", n)
	return -n, nil
}))

// At most InFlight tasks are in the engine at once.
func TestInFlight(t *testing.T) {
	t.Parallel()
	queue, file := queueOf(t), newGate(t)
	w := startWorker(t, queue)
	e := connect(t)
	require.NoError(t, within(t, e, queue, func(ctx context.Context, _ *traigo.Scope, r *temporal.Remote) error {
		var all []*traigo.Future[string]
		for i := range 12 {
			all = append(all, waits.Async(r, gate{fmt.Sprint(i), file}))
		}
		awaits(t, 5, "began ", w)
		require.Equal(t, 5, inEngine(t, e, r.ID(), "waits", 12))
		require.Len(t, w.said("began "), 5)
		openGate(t, file)
		for _, f := range all {
			_, err := f.Await(ctx)
			require.NoError(t, err)
		}
		return nil
	}, temporal.InFlight(5)))
	awaits(t, 12, "did ", w)
}

// Those that wait come in the order in which they were called.
func TestFirstComeFirstServed(t *testing.T) { // not parallel: it looks at all goroutines
	const n = 30
	queue, file := queueOf(t), newGate(t)
	w := startWorker(t, queue)
	e := connect(t)
	require.NoError(t, within(t, e, queue, func(ctx context.Context, _ *traigo.Scope, r *temporal.Remote) error {
		first := calls(func() (string, error) { return waits.Run(ctx, r, gate{"first", file}) })
		w.await(t, "began first")
		var all []<-chan returned
		for i := range n {
			all = append(all, calls(func() (string, error) { return did.Run(ctx, r, fmt.Sprintf("turn %02d", i)) }))
			eventually(t, func() bool {
				return goroutines("[select", "temporal.(*call).run(", "semaphore.(*Weighted).Acquire(") == i+1
			}, "call %d does not wait", i)
		}
		openGate(t, file)
		require.NoError(t, receive(t, first, "of first").err)
		for _, call := range all {
			require.NoError(t, receive(t, call, "of one").err)
		}
		return nil
	}, temporal.InFlight(1)))
	awaits(t, n, "did turn", w)
	for i, line := range w.said("did turn") {
		require.Equal(t, fmt.Sprintf("did turn %02d", i), line)
	}
}

// goroutines counts the goroutines of this process whose stacks contain all of the texts.
func goroutines(texts ...string) (n int) {
	for _, stack := range stacks() {
		has := true
		for _, text := range texts {
			has = has && strings.Contains(stack, text)
		}
		if has {
			n++
		}
	}
	return n
}

// stacks returns the stacks of all goroutines.
func stacks() []string {
	for size := 1 << 20; ; size *= 2 {
		text := make([]byte, size)
		if n := runtime.Stack(text, true); n < size {
			return strings.Split(string(text[:n]), "\n\n")
		}
	}
}

// inEngine counts the first n tasks of a function that the engine knows.
func inEngine(t *testing.T, e *temporal.Engine, scope, function string, n int) (known int) {
	t.Helper()
	for i := range n {
		if statusOf(t, e, fmt.Sprintf("%s/%s-%d", scope, function, i+1)) != 0 {
			known++
		}
	}
	return known
}
