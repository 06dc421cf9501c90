package temporal_test

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/temporal"
)

// What an attempt leaves for the next one.

// saves returns what earlier attempts have left, and then leaves two values, and waits for its gate.
var saves = register(temporal.Func("saves", func(ctx context.Context, g gate) ([]string, error) {
	a := temporal.Current(ctx)
	var all []string
	found, err := a.Load(&all)
	if err != nil {
		return nil, err
	}
	if found != (a.Number > 1) {
		return nil, errors.New("what was left is not there, or something is there that nobody has left")
	}
	for _, next := range []string{"first", "last"} {
		if err := a.Save(append(all, next)); err != nil {
			return nil, err
		}
	}
	say("saved attempt %d", a.Number)
	if !opens(ctx, g.File) {
		return nil, context.Cause(ctx)
	}
	return all, nil
}))

// hasBeaten waits until the engine has what an attempt of a task has left.
func hasBeaten(t *testing.T, e *temporal.Engine, task string, attempt int32) {
	t.Helper()
	eventually(t, func() bool {
		d, err := e.Client().DescribeWorkflowExecution(t.Context(), task, "")
		if err != nil || len(d.GetPendingActivities()) == 0 {
			return false
		}
		a := d.GetPendingActivities()[0]
		// The first value of the details is ours.
		return a.GetAttempt() == attempt && len(a.GetHeartbeatDetails().GetPayloads()) > 1 && a.GetLastHeartbeatTime() != nil &&
			a.GetLastHeartbeatTime().AsTime().After(a.GetLastStartedTime().AsTime())
	}, "no heartbeat of %s", task)
}

// What was saved last comes with the next heartbeat, and outlives the worker.
func TestSaveOutlivesTheWorker(t *testing.T) {
	t.Parallel()
	queue, file := queueOf(t), newGate(t)
	all := []*process{startWorker(t, queue), startWorker(t, queue), startWorker(t, queue)}
	e := connect(t)
	require.NoError(t, within(t, e, queue, func(ctx context.Context, _ *traigo.Scope, r *temporal.Remote) error {
		call := saves.Async(r, gate{"a", file})
		first, others := holder(t, "saved attempt 1", all...)
		hasBeaten(t, e, r.ID()+"/saves-1", 1)
		first.signal(sigkill)
		second, others := holder(t, "saved attempt 2", others...)
		hasBeaten(t, e, r.ID()+"/saves-1", 2)
		second.signal(sigkill)
		others[0].await(t, "saved attempt 3")
		openGate(t, file)
		got, err := call.Await(ctx)
		require.Equal(t, []string{"last", "last"}, got)
		return err
	}, leases(leaseOf)))
}

// What was saved is sent at once when the attempt fails, or its worker ends.
var savesAndFails = register(temporal.Func("savesAndFails", func(ctx context.Context, _ string) (int, error) {
	a := temporal.Current(ctx)
	n := 0
	if _, err := a.Load(&n); err != nil || a.Number == 3 {
		return n, err
	}
	if err := a.Save(n + a.Number*10); err != nil {
		return 0, err
	}
	return 0, errors.New("it fails")
}, temporal.Retry(2)))

func TestSaveBeforeFailure(t *testing.T) {
	t.Parallel()
	queue := queueOf(t)
	startWorker(t, queue)
	e := connect(t)
	require.NoError(t, within(t, e, queue, func(ctx context.Context, _ *traigo.Scope, r *temporal.Remote) error {
		n, err := savesAndFails.Run(ctx, r, "a")
		require.Equal(t, 30, n)
		return err
	}, leases(long)))
}

func TestSaveBeforeTheWorkerEnds(t *testing.T) {
	t.Parallel()
	queue, file := queueOf(t), newGate(t)
	one, two := startWorker(t, queue), startWorker(t, queue)
	e := connect(t)
	require.NoError(t, within(t, e, queue, func(ctx context.Context, _ *traigo.Scope, r *temporal.Remote) error {
		call := saves.Async(r, gate{"a", file})
		first, others := holder(t, "saved attempt 1", one, two)
		first.signal(sigterm)
		others[0].await(t, "saved attempt 2")
		openGate(t, file)
		got, err := call.Await(ctx)
		require.Equal(t, []string{"last"}, got)
		return err
	}, leases(long)))
}
