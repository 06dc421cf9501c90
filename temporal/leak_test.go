package temporal_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/workflowservice/v1"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/temporal"
)

// ours returns the stacks of goroutines of ours, of the SDK and of its connections.
func ours() []string {
	return slices.DeleteFunc(stacks(), func(stack string) bool {
		return !strings.Contains(stack, "traigo/temporal.") && !strings.Contains(stack, "go.temporal.io/") &&
			!strings.Contains(stack, "google.golang.org/grpc") && !strings.Contains(stack, "traigo/traigo.")
	})
}

// sockets counts the sockets of this process.
func sockets(t *testing.T) (n int) {
	t.Helper()
	all, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skip("there is no /proc/self/fd here")
	}
	for _, fd := range all {
		if to, err := os.Readlink(filepath.Join("/proc/self/fd", fd.Name())); err == nil && strings.HasPrefix(to, "socket:") {
			n++
		}
	}
	return n
}

// openIn returns the IDs of the workflows that are open and contain text.
func openIn(t *testing.T, e *temporal.Engine, text string) (ids []string) {
	t.Helper()
	ctx := context.WithoutCancel(t.Context()) // it is also asked when the test has failed
	var token []byte
	for {
		answer, err := e.Client().ListWorkflow(ctx, &workflowservice.ListWorkflowExecutionsRequest{
			Query: "ExecutionStatus = 'Running'", NextPageToken: token,
		})
		if err != nil {
			return []string{err.Error()}
		}
		for _, w := range answer.GetExecutions() {
			if id := w.GetExecution().GetWorkflowId(); strings.Contains(id, text) {
				ids = append(ids, id)
			}
		}
		if token = answer.GetNextPageToken(); len(token) == 0 {
			return ids
		}
	}
}

var errStop = errors.New("stop")

// A leak is a test of what is left of one use of the package.
type leak struct {
	*testing.T
	e     *temporal.Engine
	queue string // and name of scopes
}

// seen waits until n workflows of the test are open.
func (l leak) seen(n int) {
	l.Helper()
	eventually(l.T, func() bool { return len(openIn(l.T, l.e, l.queue)) == n }, "not %d workflows are open", n)
}

// within runs body in a scope with a Remote.
func (l leak) within(body func(ctx context.Context, s *traigo.Scope, r *temporal.Remote) error, opts ...temporal.OpenOption) error {
	return traigo.Run(l.Context(), func(ctx context.Context, s *traigo.Scope) error {
		r, err := temporal.Open(s, l.e, l.queue, opts...)
		require.NoError(l, err)
		return body(ctx, s, r)
	}, traigo.Name(l.queue))
}

// working runs body beside a worker in this process.
func (l leak) working(body func()) {
	l.Helper()
	ctx, stop := context.WithCancel(l.Context())
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- temporal.Work(ctx, l.e, l.queue, holds, did) }()
	body()
	stop()
	require.ErrorIs(l, receive(l.T, ended, "Work"), context.Canceled)
}

var leaks = map[string]func(l leak){
	"connected": func(leak) {},
	"done": func(l leak) {
		l.working(func() {
			require.NoError(l, l.within(func(ctx context.Context, _ *traigo.Scope, r *temporal.Remote) error {
				_, err := did.Run(ctx, r, "a")
				l.seen(1)
				return err
			}))
		})
	},
	"canceled": func(l leak) {
		l.working(func() {
			require.ErrorIs(l, l.within(func(_ context.Context, s *traigo.Scope, r *temporal.Remote) error {
				for range 5 {
					holds.Spawn(r, "a")
				}
				l.seen(6)
				s.Cancel(errStop)
				return nil
			}), errStop)
		})
	},
	"handed over": func(l leak) {
		l.working(func() {
			require.ErrorIs(l, l.within(func(_ context.Context, s *traigo.Scope, r *temporal.Remote) error {
				holds.Spawn(r, "a")
				l.seen(2)
				s.Cancel(errDeploy)
				return nil
			}, temporal.Resume(l.queue), leases(long)), temporal.ErrHandover)
			require.Len(l, openIn(l.T, l.e, l.queue), 2, "what was handed over is there")
			require.NoError(l, l.within(func(ctx context.Context, _ *traigo.Scope, r *temporal.Remote) error {
				_, err := did.Run(ctx, r, "b")
				return err
			}, temporal.Resume(l.queue), leases(long)))
			l.seen(0) // the heir has not called holds, so nobody waits for its end
		})
	},
	"nobody works": func(l leak) {
		require.ErrorIs(l, l.within(func(_ context.Context, s *traigo.Scope, r *temporal.Remote) error {
			for range 5 {
				holds.Spawn(r, "a")
			}
			l.seen(1) // no task is sent before the lease is held
			s.Cancel(errStop)
			return nil
		}), errStop)
	},
	"nobody works any more": func(l leak) {
		require.ErrorIs(l, l.within(func(ctx context.Context, s *traigo.Scope, r *temporal.Remote) error {
			l.working(func() {
				_, err := did.Run(ctx, r, "a")
				require.NoError(l, err)
			})
			for range 5 {
				holds.Spawn(r, "a")
			}
			l.seen(6)
			s.Cancel(errStop)
			return nil
		}), errStop)
	},
	"nothing is called": func(l leak) {
		require.NoError(l, l.within(func(context.Context, *traigo.Scope, *temporal.Remote) error { return nil }))
	},
	"terminated": func(l leak) {
		l.working(func() {
			require.ErrorIs(l, l.within(func(_ context.Context, _ *traigo.Scope, r *temporal.Remote) error {
				holds.Spawn(r, "a")
				l.seen(2)
				return l.e.Client().TerminateWorkflow(l.Context(), r.ID(), "", "by an operator")
			}), temporal.ErrLease)
		})
	},
	"closed first": func(l leak) {
		w := startWorker(l.T, l.queue)
		require.ErrorIs(l, l.within(func(_ context.Context, _ *traigo.Scope, r *temporal.Remote) error {
			holds.Spawn(r, "a")
			w.await(l.T, "began a")
			l.e.Close()
			return nil
		}, leases(leaseOf)), temporal.ErrLease)
		require.Contains(l, w.await(l.T, "ended a"), "lease=true")
	},
}

// After the end of scopes and of Work, and after Close, nothing is left: no goroutine, no connection,
// and no workflow.
func TestNothingIsLeft(t *testing.T) { // not parallel: it looks at all goroutines
	watching := connect(t)
	for name, body := range leaks {
		t.Run(name, func(t *testing.T) {
			before, held, queue := len(ours()), sockets(t), strings.ReplaceAll(queueOf(t), "_", "-")
			e, err := temporal.Connect(t.Context())
			require.NoError(t, err)
			body(leak{t, e, queue})
			e.Close()
			e.Close()
			eventually(t, func() bool { return len(ours()) <= before }, "goroutines are left:\n%v", later(func() string { return strings.Join(ours(), "\n\n") }))
			eventually(t, func() bool { return sockets(t) <= held }, "connections are left")
			eventually(t, func() bool { return len(openIn(t, watching, queue)) == 0 }, "workflows are left: %v", later(func() string { return strings.Join(openIn(t, watching, queue), " ") }))
		})
	}
}

// A later is a value that is asked for when it is printed.
type later func() string

func (f later) String() string { return f() }
