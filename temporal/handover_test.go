package temporal_test

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/temporal"
)

var errDeploy = fmt.Errorf("a deployment: %w", temporal.ErrHandover)

// Calls of a scope that is handed over return at once, the remote side goes on, and the next owner
// joins what runs.
func TestHandover(t *testing.T) { // not parallel: it reads the log
	queue, file := queueOf(t), newGate(t)
	w := startWorker(t, queue)
	e := connect(t)
	log := logged(t)
	err := within(t, e, queue, func(_ context.Context, s *traigo.Scope, r *temporal.Remote) error {
		task := waits.Spawn(r, gate{"a", file})
		w.await(t, "began a")
		s.Cancel(errDeploy)
		receive(t, task.Done(), "of a")
		require.ErrorIs(t, task.Err(), temporal.ErrHandover)
		return nil
	}, leases(long), temporal.Resume(queue))
	require.ErrorIs(t, err, temporal.ErrHandover)
	require.Len(t, log.having("level=INFO", "id="+queue), 1)
	require.Empty(t, w.said("ended a"))
	require.NoError(t, within(t, e, queue, func(ctx context.Context, _ *traigo.Scope, r *temporal.Remote) error {
		call := calls(func() (string, error) { return waits.Run(ctx, r, gate{"a", file}) })
		openGate(t, file)
		got := receive(t, call, "of a")
		require.Equal(t, "a by attempt 1", got.out)
		return got.err
	}, leases(long), temporal.Resume(queue)))
	require.Len(t, w.said("began a"), 1)
	require.Len(t, log.having("level=INFO", "id="+queue), 1, "an ordinary end is not a handover")
	closes(t, e, queue)
}

// handing is an owner that hands its scope over when it is told to end.
var handing = role("handing", func(ctx context.Context) error {
	return owns(context.WithoutCancel(ctx), func(_ context.Context, s *traigo.Scope, r *temporal.Remote) error {
		waits.Spawn(r, gate{"waits", os.Getenv("TRAIGO_TEST_GATE")})
		<-ctx.Done()
		return errDeploy
	})
})

// The process of the old owner may end before the next one comes.
func TestHandoverToAnotherProcess(t *testing.T) {
	t.Parallel()
	queue, file := queueOf(t), newGate(t)
	w := startWorker(t, queue)
	env := []string{"TRAIGO_TEST_ID=" + queue, "TRAIGO_TEST_GATE=" + file}
	first, id := startOwner(t, handing, queue, long, env...)
	w.await(t, "began waits")
	first.signal(sigterm)
	require.Contains(t, first.await(t, "error "), temporal.ErrHandover.Error())
	receive(t, first.exited, "the first owner")
	second, _ := startOwner(t, resumer, queue, long, env...)
	second.await(t, "result fails")
	openGate(t, file)
	require.Contains(t, second.await(t, "result waits"), "waits by attempt 1 lease=false <nil>")
	receive(t, second.exited, "the second owner")
	require.Len(t, w.said("began waits"), 1)
	require.Empty(t, w.said("ended waits"))
	closes(t, connect(t), id)
}

// If no owner comes, the lease ends the remote side.
func TestHandoverToNobody(t *testing.T) {
	t.Parallel()
	queue, file := queueOf(t), newGate(t)
	w := startWorker(t, queue)
	e := connect(t)
	first, id := startOwner(t, handing, queue, leaseOf, "TRAIGO_TEST_ID="+queue, "TRAIGO_TEST_GATE="+file)
	w.await(t, "began waits")
	first.signal(sigterm)
	receive(t, first.exited, "the owner")
	require.Contains(t, w.await(t, "ended waits"), "lease=true")
	closes(t, e, id)
}

// Without Resume it is an ordinary cancellation, and so it is if it is that of one call.
func TestHandoverWithoutResume(t *testing.T) { // not parallel: it reads the log
	queue := queueOf(t)
	w := startWorker(t, queue)
	e := connect(t)
	log := logged(t)
	err := within(t, e, queue, func(_ context.Context, s *traigo.Scope, r *temporal.Remote) error {
		holds.Spawn(r, "a")
		w.await(t, "began a")
		s.Cancel(errDeploy)
		return nil
	}, leases(long))
	require.ErrorIs(t, err, temporal.ErrHandover)
	require.Contains(t, w.await(t, "ended a"), "handover=true")
	require.Empty(t, log.having("level=INFO"))
}

func TestHandoverOfOneCall(t *testing.T) {
	t.Parallel()
	queue := queueOf(t)
	w := startWorker(t, queue)
	e := connect(t)
	require.NoError(t, within(t, e, queue, func(ctx context.Context, _ *traigo.Scope, r *temporal.Remote) error {
		alone, cancel := context.WithCancelCause(ctx)
		call := calls(func() (string, error) { return holds.Run(alone, r, "a") })
		w.await(t, "began a")
		cancel(errDeploy)
		require.ErrorIs(t, receive(t, call, "of a").err, temporal.ErrHandover)
		require.Contains(t, w.await(t, "ended a"), "handover=true")
		return nil
	}, leases(long), temporal.Resume(queue)))
}

// Calls that wait for their turn, or for a worker, return at once as well.
func TestHandoverOfCallsThatWait(t *testing.T) {
	t.Parallel()
	queue := queueOf(t)
	e := connect(t)
	var all []*traigo.Task
	begun := time.Now()
	err := within(t, e, queue, func(_ context.Context, s *traigo.Scope, r *temporal.Remote) error {
		for i := range 6 {
			all = append(all, did.Spawn(r, fmt.Sprint(i)))
		}
		s.Cancel(errDeploy)
		return nil
	}, leases(long), temporal.Resume(queue), temporal.InFlight(2))
	require.ErrorIs(t, err, temporal.ErrHandover)
	require.Less(t, time.Since(begun), patience)
	for _, task := range all {
		require.ErrorIs(t, task.Err(), temporal.ErrHandover)
	}
	w := startWorker(t, queue)
	resumes(t, e, queue, "0", "1", "2", "3", "4", "5")
	awaits(t, 6, "did ", w)
	require.Len(t, w.said("did "), 6)
}

// A scope that is handed over before a worker has come is there for the next owner when one does.
func TestHandoverBeforeAWorkerCame(t *testing.T) {
	t.Parallel()
	queue := queueOf(t)
	e := connect(t)
	require.ErrorIs(t, within(t, e, queue, func(context.Context, *traigo.Scope, *temporal.Remote) error {
		return errDeploy
	}, leases(long), temporal.Resume(queue)), temporal.ErrHandover)
	startWorker(t, queue)
	eventually(t, func() bool {
		d, err := e.Client().DescribeWorkflowExecution(t.Context(), queue, "")
		return err == nil && len(d.GetPendingActivities()) > 0 && d.GetPendingActivities()[0].GetState() == enumspb.PENDING_ACTIVITY_STATE_STARTED
	}, "the lease is not held")
	for range 3 { // whatever this process has answered has been heard when calls of other scopes have been made
		require.NoError(t, within(t, e, queue, func(ctx context.Context, _ *traigo.Scope, r *temporal.Remote) error {
			_, err := did.Run(ctx, r, "other")
			return err
		}, leases(long)))
	}
	d, err := e.Client().DescribeWorkflowExecution(t.Context(), queue, "")
	require.NoError(t, err)
	run := d.GetWorkflowExecutionInfo().GetExecution().GetRunId()
	require.NoError(t, within(t, e, queue, func(ctx context.Context, _ *traigo.Scope, r *temporal.Remote) error {
		out, err := did.Run(ctx, r, "a")
		require.Equal(t, "a", out)
		return err
	}, leases(long), temporal.Resume(queue)))
	d, err = e.Client().DescribeWorkflowExecution(t.Context(), queue, "")
	require.NoError(t, err)
	require.Equal(t, run, d.GetWorkflowExecutionInfo().GetExecution().GetRunId(), "it was taken over, and not opened anew")
}

// Calls of an engine that was closed can learn nothing more, and do not wait for their lease.
func TestClosedEngineEndsItsCalls(t *testing.T) {
	t.Parallel()
	queue := queueOf(t)
	w := startWorker(t, queue)
	e, err := temporal.Connect(t.Context())
	require.NoError(t, err)
	err = within(t, e, queue, func(ctx context.Context, _ *traigo.Scope, r *temporal.Remote) error {
		call := calls(func() (string, error) { return holds.Run(ctx, r, "a") })
		w.await(t, "began a")
		e.Close()
		require.ErrorIs(t, receive(t, call, "of a").err, temporal.ErrLease)
		return nil
	}, leases(long))
	require.ErrorIs(t, err, temporal.ErrLease)
}
