package temporal_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/temporal"
)

// Owners that are killed, frozen or cut off.

// A killed owner's functions are canceled within the lease, with ErrLease; what is queued never
// begins; and the workflows close.
func TestKilledOwner(t *testing.T) {
	t.Parallel()
	queue := queueOf(t)
	w := startWorker(t, queue, "TRAIGO_TEST_SLOTS=1")
	e := connect(t)
	o, id := startOwner(t, owner, queue, leaseOf)
	w.await(t, "began ")
	for i := range 6 {
		eventually(t, func() bool { return statusOf(t, e, fmt.Sprintf("%s/holds-%d", id, i+1)) != 0 }, "task %d was not started", i)
	}
	killed := time.Now()
	o.signal(sigkill)
	require.Contains(t, w.await(t, "ended "), "lease=true")
	require.Less(t, time.Since(killed), leaseOf+30*time.Second)
	closes(t, e, id)
	for i := range 6 {
		closes(t, e, fmt.Sprintf("%s/holds-%d", id, i+1))
	}
	require.Len(t, w.said("began "), 1, "what is queued never begins")
}

// A frozen owner's scope ends on the other side; when it goes on, its own ends with ErrLease.
func TestFrozenOwner(t *testing.T) {
	t.Parallel()
	queue := queueOf(t)
	w := startWorker(t, queue)
	e := connect(t)
	o, id := startOwner(t, owner, queue, leaseOf)
	awaits(t, 6, "began ", w)
	o.signal(sigstop)
	awaits(t, 6, "ended ", w)
	for _, line := range w.said("ended ") {
		require.Contains(t, line, "lease=true")
	}
	closes(t, e, id)
	require.Empty(t, o.said("called "))
	o.signal(sigcont)
	receive(t, o.exited, "the owner")
	require.Len(t, o.said("called "), 6)
	for _, line := range o.said("called ") {
		require.Contains(t, line, "lease=true")
	}
	require.Contains(t, o.await(t, "error "), temporal.ErrLease.Error())
}

// Without a worker the engine ends the lease all the same, so nothing of a killed owner begins when
// one comes.
func TestKilledOwnerWithoutWorkers(t *testing.T) {
	t.Parallel()
	queue := queueOf(t)
	w := startWorker(t, queue)
	e := connect(t)
	o, id := startOwner(t, holdingAll, queue, leaseOf)
	awaits(t, 1, "began ", w)
	for i := range 3 {
		eventually(t, func() bool { return statusOf(t, e, fmt.Sprintf("%s/holds-%d", id, i+1)) != 0 }, "task %d was not started", i)
	}
	w.signal(sigkill)
	receive(t, w.exited, "the worker")
	o.signal(sigkill)
	receive(t, o.exited, "the owner")
	other := startWorker(t, queue)
	closes(t, e, id)
	for i := range 3 {
		closes(t, e, fmt.Sprintf("%s/holds-%d", id, i+1))
	}
	for _, line := range other.said("ended ") { // the worker was there before the lease had ended
		require.Contains(t, line, "lease=true")
	}
	require.Len(t, other.said("ended "), len(other.said("began ")))
}

// holdingAll is an owner with three tasks.
var holdingAll = role("holdingAll", func(ctx context.Context) error {
	return owns(ctx, func(_ context.Context, _ *traigo.Scope, r *temporal.Remote) error {
		for i := range 3 {
			holds.Spawn(r, fmt.Sprint(i))
		}
		return nil
	})
})

// An owner that lives keeps its lease for as long as it likes.
func TestLeaseIsKept(t *testing.T) {
	t.Parallel()
	queue, file := queueOf(t), newGate(t)
	w := startWorker(t, queue)
	e := connect(t)
	require.NoError(t, within(t, e, queue, func(ctx context.Context, _ *traigo.Scope, r *temporal.Remote) error {
		call := calls(func() (string, error) { return waits.Run(ctx, r, gate{"a", file}) })
		w.await(t, "began a")
		renewed(t, e, r.ID(), 3*leaseOf)
		openGate(t, file)
		got := receive(t, call, "of a")
		require.Equal(t, "a by attempt 1", got.out)
		return got.err
	}, leases(leaseOf)))
}
