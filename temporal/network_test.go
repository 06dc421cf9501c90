package temporal_test

import (
	"context"
	"errors"
	"path"
	"testing"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"google.golang.org/grpc"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/temporal"
)

// Requests that arrive late, or whose answers do not arrive.

// intercepted connects with an interceptor of all requests.
func intercepted(t *testing.T, intercept func(ctx context.Context, method string, req any, next func(ctx context.Context) error) error) *temporal.Engine {
	t.Helper()
	return connectWith(t, func(o *client.Options) {
		o.ConnectionOptions.DialOptions = append(o.ConnectionOptions.DialOptions, grpc.WithChainUnaryInterceptor(
			func(ctx context.Context, method string, in, out any, c *grpc.ClientConn, next grpc.UnaryInvoker, opts ...grpc.CallOption) error {
				return intercept(ctx, path.Base(method), in, func(ctx context.Context) error { return next(ctx, method, in, out, c, opts...) })
			}))
	})
}

// A call may have been canceled when its start arrives at the engine. Then its function does not begin.
func TestStartThatArrivesAfterTheCancellation(t *testing.T) {
	t.Parallel()
	queue := queueOf(t)
	w := startWorker(t, queue)
	asked, late := make(chan struct{}), make(chan struct{})
	arrived := make(chan error, 1)
	e := intercepted(t, func(ctx context.Context, method string, req any, next func(context.Context) error) error {
		if r, ok := req.(*workflowservice.StartWorkflowExecutionRequest); !ok || r.GetWorkflowType().GetName() != "traigo.Task" {
			return next(ctx)
		}
		go func() {
			<-late
			arrived <- next(context.WithoutCancel(ctx))
		}()
		close(asked)
		<-ctx.Done() // the answer does not arrive
		return ctx.Err()
	})
	require.NoError(t, within(t, e, queue, func(ctx context.Context, s *traigo.Scope, r *temporal.Remote) error {
		ctx, cancel := context.WithCancel(ctx)
		call := calls(func() (string, error) { return holds.Run(ctx, r, "a") })
		receive(t, asked, "the start")
		cancel()
		require.ErrorIs(t, receive(t, call, "canceled").err, context.Canceled)
		close(late)
		require.NoError(t, receive(t, arrived, "the late start"))
		closes(t, e, r.ID()+"/holds-1")
		require.Empty(t, w.said("began "))
		return nil
	}, leases(long)))
}

// An owner that ends while another one takes over leaves the scope to that one, also if it has not heard of it.
func TestEndOfAnOwnerThatDoesNotKnowThatItWasTakenOver(t *testing.T) {
	t.Parallel()
	queue, file := queueOf(t), newGate(t)
	w := startWorker(t, queue)
	taken := make(chan struct{})
	deaf := intercepted(t, func(ctx context.Context, method string, _ any, next func(context.Context) error) error {
		if method != "GetWorkflowExecutionHistory" {
			return next(ctx)
		}
		answered := make(chan error, 1)
		go func() { answered <- next(ctx) }()
		select {
		case <-taken:
			<-ctx.Done() // the answer does not arrive
			return errors.Join(ctx.Err(), <-answered)
		case err := <-answered:
			return err
		}
	})
	first := traigo.New(t.Context())
	r, err := temporal.Open(first, deaf, queue, leases(long), temporal.Resume(queue))
	require.NoError(t, err)
	_, err = did.Run(t.Context(), r, "first")
	require.NoError(t, err)
	close(taken)
	e := connect(t)
	require.NoError(t, within(t, e, queue, func(ctx context.Context, _ *traigo.Scope, r *temporal.Remote) error {
		call := calls(func() (string, error) { return waits.Run(ctx, r, gate{"a", file}) })
		w.await(t, "began a")
		require.NoError(t, first.Close())
		openGate(t, file)
		require.Equal(t, returned{"a by attempt 1", nil}, receive(t, call, "a"))
		_, err := did.Run(ctx, r, "second")
		return err
	}, leases(long), temporal.Resume(queue)))
}
