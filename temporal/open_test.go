package temporal_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"
	"google.golang.org/grpc"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/temporal"
)

func TestOpenNeedsNoWorker(t *testing.T) {
	t.Parallel()
	queue := queueOf(t)
	e := connect(t)
	var id string
	err := traigo.Run(t.Context(), func(ctx context.Context, s *traigo.Scope) error {
		r, err := temporal.Open(s, e, queue, temporal.Lease(longLease))
		require.NoError(t, err)
		id = r.ID()
		d, err := e.Client().DescribeWorkflowExecution(ctx, id, "")
		require.NoError(t, err)
		require.Equal(t, "traigo.Scope", d.GetWorkflowExecutionInfo().GetType().GetName())
		require.Len(t, find(s.Snapshot(), "remote "+queue), 1)
		require.Equal(t, s.Path()+"/remote "+queue, find(s.Snapshot(), "remote "+queue)[0].Path)
		return nil // and it does not wait for its end
	})
	require.NoError(t, err)
}

func TestScopeDoesNotWaitForItsRemote(t *testing.T) {
	t.Parallel()
	queue := queueOf(t)
	workHere(t, queue, double)
	e := connect(t)
	s := traigo.New(t.Context())
	r, err := temporal.Open(s, e, queue, temporal.Lease(longLease))
	require.NoError(t, err)
	task := double.Spawn(r, 1)
	s.Finalize() // and it accepts tasks until it ends
	_, err = temporal.Open(s, e, queue, temporal.Lease(longLease))
	if task.State() != traigo.Ended {
		require.NoError(t, err)
	}
	require.NoError(t, s.Wait())
	require.NoError(t, task.Err())
}

func TestOpenIsRefusedAfterTheEnd(t *testing.T) {
	t.Parallel()
	queue := queueOf(t)
	e := connect(t)
	s := traigo.New(t.Context(), traigo.Name("over"))
	defer func() { _ = s.Wait() }()
	hold := make(chan struct{})
	s.Spawn(func(context.Context) error { <-hold; return nil })
	reason := errors.New("the reason of the end")
	s.Cancel(reason)
	for _, state := range []traigo.State{traigo.Canceling, traigo.Closed} {
		require.Equal(t, state, s.State())
		r, err := temporal.Open(s, e, queue)
		require.Nil(t, r)
		require.ErrorIs(t, err, traigo.ErrRefused)
		require.ErrorIs(t, err, reason)
		require.ErrorContains(t, err, "over")
		if state == traigo.Canceling {
			close(hold)
			_ = s.Wait()
		}
	}
}

// A scope that ends while it is being opened is one that has ended.
func TestOpenIsRefusedWhenTheScopeEndsMeanwhile(t *testing.T) {
	t.Parallel()
	asked := make(chan struct{})
	e := connectWith(t, func(o *client.Options) {
		o.ConnectionOptions.DialOptions = append(o.ConnectionOptions.DialOptions, grpc.WithChainUnaryInterceptor(
			func(ctx context.Context, method string, in, out any, c *grpc.ClientConn, next grpc.UnaryInvoker, opts ...grpc.CallOption) error {
				if strings.HasSuffix(method, "/StartWorkflowExecution") {
					close(asked)
					<-ctx.Done()
					return ctx.Err()
				}
				return next(ctx, method, in, out, c, opts...)
			}))
	})
	s := traigo.New(t.Context())
	reason := errors.New("the reason of the end")
	opened := make(chan error, 1)
	go func() {
		_, err := temporal.Open(s, e, queueOf(t), temporal.Lease(longLease))
		opened <- err
	}()
	<-asked
	s.Cancel(reason)
	err := <-opened
	require.ErrorIs(t, err, traigo.ErrRefused)
	require.ErrorIs(t, err, reason)
	_ = s.Close()
}

func TestScopeMayHaveSeveralRemotes(t *testing.T) {
	t.Parallel()
	one, other := queueOf(t), queueOf(t)
	require.NotEqual(t, one, other)
	who := temporal.Func("who", func(ctx context.Context, _ int) (string, error) { return temporal.Current(ctx).Queue, nil })
	workHere(t, one, who)
	workHere(t, other, who)
	e := connect(t)
	err := traigo.Run(t.Context(), func(ctx context.Context, s *traigo.Scope) error {
		var remotes []*temporal.Remote
		for _, queue := range []string{one, other, one} {
			r, err := temporal.Open(s, e, queue, temporal.Lease(longLease))
			require.NoError(t, err)
			remotes = append(remotes, r)
		}
		require.NotEqual(t, remotes[0].ID(), remotes[1].ID())
		require.NotEqual(t, remotes[0].ID(), remotes[2].ID())
		for i, queue := range []string{one, other, one} {
			got, err := who.Run(ctx, remotes[i], 1)
			require.NoError(t, err)
			require.Equal(t, queue, got)
		}
		require.Len(t, find(s.Snapshot(), "remote "+one), 2)
		require.Len(t, find(s.Snapshot(), "remote "+other), 1)
		return nil
	})
	require.NoError(t, err)
}
