package temporal_test

import (
	"context"
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/temporal"
)

// Servers that are killed or frozen.

// at connects the test to a server.
func at(t *testing.T, s *server) *temporal.Engine {
	t.Helper()
	e, err := temporal.Connect(t.Context(), func(o *client.Options) { o.HostPort = s.address })
	require.NoError(t, err)
	t.Cleanup(e.Close)
	return e
}

// If the server is lost, a worker fences its attempts, the owner's scope ends with ErrLease, its calls
// return that, and nothing hangs.
func TestKilledServer(t *testing.T) {
	t.Parallel()
	queue := queueOf(t)
	s := ownServer(t)
	w := startWorker(t, queue, "TEMPORAL_ADDRESS="+s.address)
	e := at(t, s)
	var call <-chan returned
	err := within(t, e, queue, func(ctx context.Context, _ *traigo.Scope, r *temporal.Remote) error {
		call = calls(func() (string, error) { return holds.Run(ctx, r, "a") })
		w.await(t, "began a")
		killed := time.Now()
		s.kill()
		require.Contains(t, w.await(t, "ended a"), "lease=true")
		<-ctx.Done()
		require.ErrorIs(t, context.Cause(ctx), temporal.ErrLease)
		require.Less(t, time.Since(killed), leaseOf+30*time.Second)
		got := receive(t, call, "of a")
		require.ErrorIs(t, got.err, temporal.ErrLease)
		require.Less(t, time.Since(killed), 2*leaseOf+60*time.Second)
		return nil
	}, leases(leaseOf))
	require.ErrorIs(t, err, temporal.ErrLease)
	w.signal(sigterm)
	receive(t, w.exited, "the worker")
}

// A server that is away for less than a lease fails nothing: what runs goes on, what is started
// meanwhile starts, and what has ended is heard of.
func TestServerThatIsBrieflyAway(t *testing.T) {
	t.Parallel()
	const lease = 40 * time.Second
	queue, file := queueOf(t), newGate(t)
	s := ownServer(t)
	w := startWorker(t, queue, "TEMPORAL_ADDRESS="+s.address)
	e := at(t, s)
	require.NoError(t, within(t, e, queue, func(ctx context.Context, _ *traigo.Scope, r *temporal.Remote) error {
		ending := calls(func() (string, error) { return waits.Run(ctx, r, gate{"a", file + "-a"}) })
		running := calls(func() (string, error) { return waits.Run(ctx, r, gate{"b", file + "-b"}) })
		awaits(t, 2, "began ", w)
		s.signal(sigstop)
		openGate(t, file+"-a")
		w.await(t, "did a")
		passes(t, lease/2) // more than the SDK tells an outcome
		s.signal(sigcont)
		require.Equal(t, returned{"a by attempt 1", nil}, receive(t, ending, "of a"))

		s.signal(sigstop)
		starting := calls(func() (string, error) { return did.Run(ctx, r, "c") })
		passes(t, lease/2) // more than one beat
		s.signal(sigcont)
		require.Equal(t, returned{"c", nil}, receive(t, starting, "of c"))
		openGate(t, file+"-b")
		require.Equal(t, returned{"b by attempt 1", nil}, receive(t, running, "of b"))
		return nil
	}, leases(lease)))
	awaits(t, 3, "did ", w)
	require.Len(t, w.said("began "), 2)
	require.Len(t, w.said("did "), 3)
}

// An owner whose server is frozen for longer than a lease has lost it, and so has its worker; when
// the server goes on, what they held closes there.
func TestServerThatIsLongAway(t *testing.T) {
	t.Parallel()
	queue := queueOf(t)
	s := ownServer(t)
	w := startWorker(t, queue, "TEMPORAL_ADDRESS="+s.address)
	e := at(t, s)
	var id string
	err := within(t, e, queue, func(_ context.Context, sc *traigo.Scope, r *temporal.Remote) error {
		id = r.ID()
		sc.Spawn(func(ctx context.Context) error {
			_, err := holds.Run(ctx, r, "a")
			return err
		})
		w.await(t, "began a")
		s.signal(sigstop)
		require.Contains(t, w.await(t, "ended a"), "lease=true")
		return nil
	}, leases(leaseOf))
	require.ErrorIs(t, err, temporal.ErrLease)
	s.signal(sigcont)
	closes(t, e, id)
	closes(t, e, id+"/holds-1")
	require.Len(t, w.said("began a"), 1, "no other attempt begins")
}

// A worker that begins while the server is away waits for it.
func TestWorkWaitsForTheServer(t *testing.T) {
	t.Parallel()
	queue := queueOf(t)
	s := ownServer(t)
	e := at(t, s)
	s.signal(sigstop)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- temporal.Work(ctx, e, queue, double) }()
	select {
	case err := <-ended:
		require.Fail(t, "it has not waited", "%v", err)
	case <-time.After(12 * time.Second): // longer than the SDK waits
	}
	s.signal(sigcont)
	require.NoError(t, within(t, e, queue, func(ctx context.Context, _ *traigo.Scope, r *temporal.Remote) error {
		n, err := double.Run(ctx, r, 21)
		require.Equal(t, 42, n)
		return err
	}))
	stop()
	require.ErrorIs(t, receive(t, ended, "Work"), context.Canceled)
}

// A scope that is opened while the server is away waits for it, and for no longer than a lease.
func TestOpenWaitsForTheServer(t *testing.T) {
	t.Parallel()
	queue := queueOf(t)
	s := ownServer(t)
	startWorker(t, queue, "TEMPORAL_ADDRESS="+s.address)
	e := at(t, s)
	s.signal(sigstop)
	begun := time.Now()
	err := within(t, e, queue, func(context.Context, *traigo.Scope, *temporal.Remote) error { return nil }, leases(time.Second))
	require.ErrorIs(t, err, temporal.ErrEngine)
	require.Less(t, time.Since(begun), 30*time.Second)
	opened := calls(func() (out string, err error) {
		err = within(t, e, queue, func(ctx context.Context, _ *traigo.Scope, r *temporal.Remote) error {
			out, err = did.Run(ctx, r, "a")
			return err
		}, leases(time.Minute))
		return out, err
	})
	select {
	case got := <-opened:
		require.Fail(t, "it has not waited", "%v", got)
	case <-time.After(12 * time.Second): // longer than the SDK waits
	}
	s.signal(sigcont)
	require.Equal(t, returned{"a", nil}, receive(t, opened, "of a"))
}

func (s *server) signal(sig syscall.Signal) { _ = s.cmd.Process.Signal(sig) }

// Calls that wait for their turn, and for a worker, return as well when the server is lost.
func TestKilledServerWithQueuedCalls(t *testing.T) {
	t.Parallel()
	queue := queueOf(t)
	s := ownServer(t)
	w := startWorker(t, queue, "TEMPORAL_ADDRESS="+s.address, "TRAIGO_TEST_SLOTS=1")
	e := at(t, s)
	var all []*traigo.Task
	err := within(t, e, queue, func(_ context.Context, _ *traigo.Scope, r *temporal.Remote) error {
		for i := range 5 {
			all = append(all, holds.Spawn(r, fmt.Sprint(i)))
		}
		w.await(t, "began ")
		s.kill()
		return nil
	}, leases(leaseOf), temporal.InFlight(3))
	require.ErrorIs(t, err, temporal.ErrLease)
	for _, task := range all {
		require.ErrorIs(t, task.Err(), temporal.ErrLease)
	}
	require.Len(t, w.said("began "), 1)
}
