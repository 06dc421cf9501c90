package temporal_test

import (
	"context"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"
	"google.golang.org/grpc"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/temporal"
)

// unread makes an engine that gives no history to who asks for one. asked is closed when somebody does.
func unread(asked chan struct{}) func(*client.Options) {
	var once sync.Once
	return func(o *client.Options) {
		o.ConnectionOptions.DialOptions = append(o.ConnectionOptions.DialOptions, grpc.WithChainUnaryInterceptor(
			func(ctx context.Context, method string, in, out any, c *grpc.ClientConn, next grpc.UnaryInvoker, opts ...grpc.CallOption) error {
				if strings.HasSuffix(method, "/GetWorkflowExecutionHistory") {
					once.Do(func() { close(asked) })
					<-ctx.Done()
					return ctx.Err()
				}
				return next(ctx, method, in, out, c, opts...)
			}))
	}
}

// A worker that cannot learn whether a scope is still open begins nothing, and its end does not wait
// for that.
func TestWorkEndsWhileAnAttemptHasNotBegun(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(e *temporal.Engine, cancel context.CancelFunc){
		"its context":  func(_ *temporal.Engine, cancel context.CancelFunc) { cancel() },
		"Engine.Close": func(e *temporal.Engine, _ context.CancelFunc) { e.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			queue, asked := queueOf(t), make(chan struct{})
			e := connectWith(t, unread(asked))
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			f := temporal.Func("begins", func(context.Context, int) (int, error) {
				t.Error("it has begun")
				return 0, nil
			})
			ended := calls(func() (string, error) { return "", temporal.Work(ctx, e, queue, f) })
			err := within(t, connect(t), queue, func(_ context.Context, s *traigo.Scope, r *temporal.Remote) error {
				f.Spawn(r, 1)
				receive(t, asked, "of the history of the scope")
				end(e, cancel)
				require.Error(t, receive(t, ended, "Work").err)
				s.Cancel(errStop)
				return nil
			}, leases(leaseOf))
			require.ErrorIs(t, err, errStop)
		})
	}
}
