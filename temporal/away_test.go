package temporal_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/temporal"
)

// ownServer starts a server for one test, at which processes and the test connect.
func ownServer(t *testing.T) *server {
	t.Helper()
	s, err := startServer("")
	require.NoError(t, err)
	t.Cleanup(s.kill)
	return s
}

// connectTo connects the test to a server.
func connectTo(t *testing.T, s *server) *temporal.Engine {
	t.Helper()
	t.Setenv("TEMPORAL_ADDRESS", s.address)
	return connect(t)
}

// An engine that goes away does not end a worker: it goes on when there is one again. It warns
// meanwhile, and the SDK says nothing below that.
func TestWorkerOutlivesTheEngine(t *testing.T) {
	queue := queueOf(t)
	s := ownServer(t)
	e := connectTo(t, s)
	log := logged(t)
	w := startWorker(t, queue)
	ended := make(chan error, 1)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	go func() { ended <- temporal.Work(ctx, e, queue, double) }()
	doubles := func(ctx context.Context, _ *traigo.Scope, r *temporal.Remote) error {
		n, err := double.Run(ctx, r, 21)
		require.Equal(t, 42, n)
		return err
	}
	require.NoError(t, within(t, e, queue, doubles))

	s.kill()
	eventually(t, func() bool { return len(log.having("level=WARN", "poll")) > 0 }, "no warning: %q", log.having(""))
	again, err := startServer(s.address)
	require.NoError(t, err)
	t.Cleanup(again.kill)

	eventually(t, func() bool { return within(t, e, queue, doubles) == nil }, "nothing works again")
	w.signal(sigterm)
	receive(t, w.exited, "the process of the worker")
	require.NoError(t, within(t, e, queue, doubles), "the other worker as well")
	require.Empty(t, log.having("level=INFO"))
	stop()
	require.ErrorIs(t, receive(t, ended, "Work"), context.Canceled)
}

// A worker whose engine is gone ends when it is told to.
func TestWorkerEndsWithoutAnEngine(t *testing.T) {
	queue := queueOf(t)
	s := ownServer(t)
	e := connectTo(t, s)
	w := startWorker(t, queue)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	scope := traigo.New(ctx)
	work := scope.Spawn(func(ctx context.Context) error { return temporal.Work(ctx, e, queue, double) })
	require.NoError(t, within(t, e, queue, func(ctx context.Context, _ *traigo.Scope, r *temporal.Remote) error {
		_, err := double.Run(ctx, r, 1)
		return err
	}))
	s.kill()
	w.signal(sigterm)
	receive(t, w.exited, "the process of the worker")
	closed := make(chan error, 1)
	go func() { closed <- scope.Shutdown(t.Context()) }()
	require.NoError(t, receive(t, closed, "Shutdown"))
	require.NoError(t, work.Err(), "Stopping ends Work with nil")
}
