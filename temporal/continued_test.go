package temporal_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/temporal"
)

// Scopes with so many cancellations of single tasks that their histories are started anew.

// forgetful is a worker for which a history is long after few events.
var forgetful = role("forgetful", func(ctx context.Context) error {
	temporal.SetMaxEvents(20)
	return roles[worker](ctx)
})

func startForgetful(t *testing.T, queue string) *process {
	t.Helper()
	p := start(t, forgetful, "TRAIGO_TEST_QUEUE="+queue)
	p.await(t, "worker ")
	return p
}

// runOf returns the current run of a workflow.
func runOf(t *testing.T, e *temporal.Engine, id string) string {
	t.Helper()
	d, err := e.Client().DescribeWorkflowExecution(t.Context(), id, "")
	require.NoError(t, err)
	return d.GetWorkflowExecutionInfo().GetExecution().GetRunId()
}

// cancelOne calls a function, cancels the call when the function has begun, and waits for its end.
func cancelOne(ctx context.Context, t *testing.T, w *process, r *temporal.Remote, key string) {
	t.Helper()
	errOne := errors.New("not " + key)
	alone, cancel := context.WithCancelCause(ctx)
	call := calls(func() (string, error) { return holds.Run(alone, r, key) })
	w.await(t, "began "+key+" ")
	cancel(errOne)
	require.ErrorIs(t, receive(t, call, "of "+key).err, errOne)
	require.Contains(t, w.await(t, "ended "+key+" "), "not "+key, "the cause comes with it")
}

// A heartbeat comes after hours: what is canceled earlier was told by the history of the scope.
func TestContinuedScopePushesCancellations(t *testing.T) {
	t.Parallel()
	queue, file := queueOf(t), newGate(t)
	w := startForgetful(t, queue)
	e := connect(t)
	var id string
	var runs []string
	require.NoError(t, within(t, e, queue, func(ctx context.Context, _ *traigo.Scope, r *temporal.Remote) error {
		id = r.ID()
		old := calls(func() (string, error) { return waits.Run(ctx, r, gate{"old", file}) })
		alone, cancel := context.WithCancelCause(ctx)
		oldAlone := calls(func() (string, error) { return holds.Run(alone, r, "oldAlone") })
		w.await(t, "began old ")
		w.await(t, "began oldAlone ")
		for i := range 25 {
			cancelOne(ctx, t, w, r, fmt.Sprintf("one%d", i))
			if run := runOf(t, e, r.ID()); !slices.Contains(runs, run) {
				runs = append(runs, run)
			}
		}
		require.Greater(t, len(runs), 2, "the history was started anew")

		// A task that was there before all that is canceled alone, and another one goes on.
		cancel(errDeploy)
		require.ErrorIs(t, receive(t, oldAlone, "of oldAlone").err, errDeploy)
		openGate(t, file)
		got := receive(t, old, "of old")
		require.Equal(t, "old by attempt 1", got.out)
		return got.err
	}, leases(long)))
	for _, run := range runs {
		d, err := e.Client().DescribeWorkflowExecution(t.Context(), id, run)
		require.NoError(t, err)
		require.Less(t, d.GetWorkflowExecutionInfo().GetHistoryLength(), int64(60))
	}
}

// The lease goes on through all runs: the owner renews each, for longer than a lease.
func TestContinuedScopeKeepsItsLease(t *testing.T) {
	t.Parallel()
	queue, file := queueOf(t), newGate(t)
	w := startForgetful(t, queue)
	e := connect(t)
	var id string
	require.NoError(t, within(t, e, queue, func(ctx context.Context, _ *traigo.Scope, r *temporal.Remote) error {
		id = r.ID()
		first := runOf(t, e, id)
		old := calls(func() (string, error) { return waits.Run(ctx, r, gate{"old", file}) })
		w.await(t, "began old ")
		begun := time.Now()
		for i := 0; time.Since(begun) < 2*leaseOf; i++ {
			cancelOne(ctx, t, w, r, fmt.Sprintf("one%d", i))
		}
		require.NotEqual(t, first, runOf(t, e, id))
		last := runOf(t, e, id)
		renewed(t, e, id, leaseOf)
		require.Equal(t, last, runOf(t, e, id))
		openGate(t, file)
		return receive(t, old, "of old").err
	}, leases(leaseOf)))
	closes(t, e, id)
	require.Len(t, w.said("began old "), 1)
}

// The owner of a continued scope is killed, or taken over, as any other.
func TestContinuedScopeOfKilledOwner(t *testing.T) {
	t.Parallel()
	queue, file := queueOf(t), newGate(t)
	w := startForgetful(t, queue)
	e := connect(t)
	env := []string{"TRAIGO_TEST_ID=" + queue, "TRAIGO_TEST_GATE=" + file}
	first, id := startOwner(t, canceler, queue, leaseOf, env...)
	before := runOf(t, e, id)
	first.await(t, "canceled 20")
	require.NotEqual(t, before, runOf(t, e, id))
	second, _ := startOwner(t, canceler, queue, leaseOf, env...)
	require.Contains(t, first.await(t, "error "), temporal.ErrLease.Error())
	second.await(t, "canceled 20")
	require.Empty(t, w.said("ended waits"))
	second.signal(sigkill)
	require.Contains(t, w.await(t, "ended waits"), "lease=true")
	closes(t, e, id)
	require.Len(t, w.said("began waits"), 1)
}

// canceler is an owner that has one task, and cancels others, and says how many.
var canceler = role("canceler", func(ctx context.Context) error {
	return owns(ctx, func(ctx context.Context, s *traigo.Scope, r *temporal.Remote) error {
		waits.Spawn(r, gate{"waits", os.Getenv("TRAIGO_TEST_GATE")})
		for i := range 20 {
			alone, cancel := context.WithCancel(ctx)
			task := traigo.Async(s, func(context.Context) (string, error) { return holds.Run(alone, r, fmt.Sprint(i)) }, traigo.Bubble(false))
			if i%2 == 0 { // one that has begun, as the one that waits has; the others mostly have not
				for strings.Count(s.Snapshot().String(), "attempt 1 on") < 2 && ctx.Err() == nil {
					<-time.After(10 * time.Millisecond)
				}
			}
			cancel()
			<-task.Task().Done()
			say("canceled %d", i+1)
		}
		return nil
	})
})
