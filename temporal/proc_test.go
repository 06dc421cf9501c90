package temporal_test

import (
	"context"
	"errors"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/temporal"
)

// isAlive reports whether there is such a process.
func isAlive(pid int) bool { return !errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) }

// When the call has returned, the process is gone.
func TestWorkThatIgnoresItsContextIsKilledWhenItsTaskIsCanceled(t *testing.T) {
	queue, file := queueOf(t), filepath.Join(t.TempDir(), "pid")
	startWorker(t, queue)
	e := connect(t)
	cause := errors.New("enough")
	require.NoError(t, traigo.Run(t.Context(), func(_ context.Context, s *traigo.Scope) error {
		r, err := temporal.Open(s, e, queue)
		require.NoError(t, err)
		task := killable.Spawn(r, file, traigo.Bubble(false))
		eventually(t, func() bool { return pidIn(file) != 0 }, "it has not begun")
		pid := pidIn(file)
		require.True(t, isAlive(pid))
		task.Cancel(cause)
		<-task.Done()
		require.False(t, isAlive(pid))
		require.ErrorIs(t, task.Err(), cause)
		return nil
	}))
}

// The worker cannot reach the engine any more.
func TestWorkThatIgnoresItsContextIsKilledWhenItsAttemptIsFenced(t *testing.T) {
	server, err := startServer("")
	require.NoError(t, err)
	t.Cleanup(server.kill)
	queue, file := queueOf(t), filepath.Join(t.TempDir(), "pid")
	startWorker(t, queue, "TEMPORAL_ADDRESS="+server.address)
	e, err := temporal.Connect(t.Context(), func(o *client.Options) { o.HostPort = server.address })
	require.NoError(t, err)
	t.Cleanup(e.Close)
	logged(t) // the SDK complains
	err = traigo.Run(t.Context(), func(_ context.Context, s *traigo.Scope) error {
		r, err := temporal.Open(s, e, queue, temporal.Lease(5*time.Second))
		require.NoError(t, err)
		killable.Spawn(r, file, traigo.Bubble(false))
		eventually(t, func() bool { return pidIn(file) != 0 }, "it has not begun")
		pid := pidIn(file)
		require.True(t, isAlive(pid))
		server.kill()
		eventually(t, func() bool { return !isAlive(pid) }, "it runs")
		return nil
	})
	require.ErrorIs(t, err, temporal.ErrLease)
}
