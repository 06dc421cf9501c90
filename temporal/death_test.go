package temporal_test

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/temporal"
)

// Workers that are killed or frozen, and what becomes of their tasks.

// A killed worker has lost its attempt after a lease, and the task moves on. No Retry is needed.
func TestKilledWorker(t *testing.T) {
	t.Parallel()
	queue, file := queueOf(t), newGate(t)
	one, two := startWorker(t, queue), startWorker(t, queue)
	e := connect(t)
	require.NoError(t, within(t, e, queue, func(ctx context.Context, _ *traigo.Scope, r *temporal.Remote) error {
		call := calls(func() (string, error) { return waits.Run(ctx, r, gate{"a", file}) })
		first, others := holder(t, "began a attempt 1", one, two)
		killed := time.Now()
		first.signal(sigkill)
		others[0].await(t, "began a attempt 2")
		require.Less(t, time.Since(killed), leaseOf+30*time.Second)
		openGate(t, file)
		got := receive(t, call, "of a")
		require.Equal(t, "a by attempt 2", got.out)
		return got.err
	}, leases(leaseOf)))
	awaits(t, 1, "did a", one, two)
	require.Len(t, saidBy("began a", one, two), 2)
}

// A worker that is asked to end, and whose function returns, hands its task on without a lease.
func TestWorkerThatEndsHandsOn(t *testing.T) {
	t.Parallel()
	queue, file := queueOf(t), newGate(t)
	one, two := startWorker(t, queue), startWorker(t, queue)
	e := connect(t)
	require.NoError(t, within(t, e, queue, func(ctx context.Context, _ *traigo.Scope, r *temporal.Remote) error {
		call := calls(func() (string, error) { return waits.Run(ctx, r, gate{"a", file}) })
		first, others := holder(t, "began a attempt 1", one, two)
		first.signal(sigterm)
		others[0].await(t, "began a attempt 2")
		receive(t, first.exited, "the process")
		require.Len(t, first.said("ended a"), 1, "it was joined")
		openGate(t, file)
		got := receive(t, call, "of a")
		require.Equal(t, "a by attempt 2", got.out)
		return got.err
	}, leases(long)))
}

// crashes takes its worker with it.
var crashes = register(temporal.Func("crashes", func(ctx context.Context, key string) (string, error) {
	say("began %s attempt %d", key, temporal.Current(ctx).Number)
	os.Exit(7)
	return "", nil
}))

// After ten lost attempts the task has failed, so it does not take all workers.
func TestTaskThatKillsItsWorkers(t *testing.T) {
	t.Parallel()
	queue := queueOf(t)
	e := connect(t)
	killed := 0
	require.NoError(t, within(t, e, queue, func(ctx context.Context, _ *traigo.Scope, r *temporal.Remote) error {
		call := calls(func() (string, error) { return crashes.Run(ctx, r, "a") })
		for {
			w := start(t, worker, "TRAIGO_TEST_QUEUE="+queue)
			select {
			case <-w.exited:
				killed++
				require.Len(t, w.said("began a"), 1, "%q", w.said(""))
			case got := <-call:
				require.ErrorIs(t, got.err, temporal.ErrLost)
				require.ErrorContains(t, got.err, "crashes")
				require.Empty(t, w.said("began a"), "an eleventh attempt does not begin")
				return nil
			}
		}
	}, leases(leaseOf)))
	require.Equal(t, 10, killed)
}

// stubborn returns a result, also after its cancellation, of which it says how it was.
var stubborn = register(temporal.Func("stubborn", func(ctx context.Context, g gate) (int, error) {
	n := temporal.Current(ctx).Number
	say("began %s attempt %d", g.Key, n)
	if !opens(ctx, g.File) {
		say("ended %s attempt %d %s", g.Key, n, how(ctx))
	}
	return n, nil
}))

// A frozen worker has lost its attempt, and the task moves on. When it goes on, the attempt hears
// that its lease is lost, and what it returns is dropped.
func TestFrozenWorker(t *testing.T) {
	t.Parallel()
	queue, file := queueOf(t), newGate(t)
	one, two := startWorker(t, queue), startWorker(t, queue)
	e := connect(t)
	require.NoError(t, within(t, e, queue, func(ctx context.Context, _ *traigo.Scope, r *temporal.Remote) error {
		type result struct {
			n   int
			err error
		}
		call := make(chan result, 1)
		go func() {
			n, err := stubborn.Run(ctx, r, gate{"a", file})
			call <- result{n, err}
		}()
		first, others := holder(t, "began a attempt 1", one, two)
		first.signal(sigstop)
		frozen := time.Now()
		// The open polls of the frozen process may swallow two attempts.
		others[0].await(t, "began a attempt")
		require.Less(t, time.Since(frozen), 3*leaseOf+60*time.Second)
		first.signal(sigcont)
		require.Contains(t, first.await(t, "ended a attempt 1"), "lease=true")
		select {
		case got := <-call:
			require.Fail(t, "the stale result was taken", "%v", got)
		default:
		}
		openGate(t, file)
		got := receive(t, call, "of a")
		require.NotEqual(t, 1, got.n, "the result is that of the other attempt")
		return got.err
	}, leases(leaseOf)))
}

// Heartbeats are sent for the function, also while it cleans up: neither a long function nor a long
// end is taken for a lost worker.
func TestWorkerBeatsWhileItCleansUp(t *testing.T) {
	t.Parallel()
	queue := queueOf(t)
	w := startWorker(t, queue)
	e := connect(t)
	err := within(t, e, queue, func(_ context.Context, s *traigo.Scope, r *temporal.Remote) error {
		call := cleansUp.Spawn(r, "a")
		w.await(t, "began a attempt 1")
		call.Cancel(errStop)
		<-call.Done()
		return nil
	}, leases(leaseOf))
	require.NoError(t, err)
	w.await(t, "cleaned a")
	require.Len(t, w.said("began a"), 1, "no attempt was lost")
}

// cleansUp takes longer than a lease to end.
var cleansUp = register(temporal.Func("cleansUp", func(ctx context.Context, key string) (string, error) {
	say("began %s attempt %d", key, temporal.Current(ctx).Number)
	<-ctx.Done()
	<-time.After(3 * leaseOf / 2)
	say("cleaned %s", key)
	return "", context.Cause(ctx)
}))

// A retry is counted apart from losses: a function that may not be run again after a failure is
// run again after a loss.
func TestLossIsNoFailure(t *testing.T) {
	t.Parallel()
	queue := queueOf(t)
	one, two := startWorker(t, queue), startWorker(t, queue)
	e := connect(t)
	require.NoError(t, within(t, e, queue, func(ctx context.Context, _ *traigo.Scope, r *temporal.Remote) error {
		file := newGate(t)
		call := calls(func() (string, error) { return failsThen.Run(ctx, r, gate{"a", file}) })
		first, others := holder(t, "began a attempt 1", one, two)
		first.signal(sigkill)
		others[0].await(t, "began a attempt 2")
		openGate(t, file)
		got := receive(t, call, "of a")
		require.ErrorContains(t, got.err, "it fails")
		require.NotErrorIs(t, got.err, temporal.ErrLost)
		return nil
	}, leases(leaseOf)))
	awaits(t, 3, "began a", one, two)
	begun := saidBy("began a", one, two)
	require.Len(t, begun, 3, "one is lost, one fails, and one more fails: %s", strings.Join(begun, ", "))
}

// failsThen fails when its gate is open.
var failsThen = register(temporal.Func("failsThen", func(ctx context.Context, g gate) (string, error) {
	say("began %s attempt %d", g.Key, temporal.Current(ctx).Number)
	if !opens(ctx, g.File) {
		return "", context.Cause(ctx)
	}
	return "", errors.New("it fails")
}, temporal.Retry(1)))
