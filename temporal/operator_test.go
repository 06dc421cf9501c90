package temporal_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/temporal"
)

// Operators who cancel or terminate our workflows by the engine's own tools.

var operations = map[string]func(t *testing.T, e *temporal.Engine, id string){
	"cancel": func(t *testing.T, e *temporal.Engine, id string) {
		t.Helper()
		require.NoError(t, e.Client().CancelWorkflow(t.Context(), id, ""))
	},
	"terminate": func(t *testing.T, e *temporal.Engine, id string) {
		t.Helper()
		require.NoError(t, e.Client().TerminateWorkflow(t.Context(), id, "", "by an operator"))
	},
}

// A task whose workflow an operator ends has failed with ErrLost, and its function is canceled.
func TestOperatorEndsTask(t *testing.T) {
	t.Parallel()
	for name, end := range operations {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			queue := queueOf(t)
			w := startWorker(t, queue)
			e := connect(t)
			require.NoError(t, within(t, e, queue, func(ctx context.Context, s *traigo.Scope, r *temporal.Remote) error {
				call := calls(func() (string, error) { return holds.Run(ctx, r, "a") })
				w.await(t, "began a")
				end(t, e, r.ID()+"/holds-1")
				got := receive(t, call, "of a")
				require.ErrorIs(t, got.err, temporal.ErrLost)
				require.NotErrorIs(t, got.err, temporal.ErrLease)
				w.await(t, "ended a")
				out, err := did.Run(ctx, r, "b") // the scope goes on
				require.Equal(t, "b", out)
				return err
			}, leases(leaseOf)))
			require.Len(t, w.said("began a"), 1)
		})
	}
}

// The same before its function has begun, which it then never does.
func TestOperatorEndsTaskThatWaits(t *testing.T) {
	t.Parallel()
	for name, end := range operations {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			queue, file := queueOf(t), newGate(t)
			w := startWorker(t, queue, "TRAIGO_TEST_SLOTS=1")
			e := connect(t)
			require.NoError(t, within(t, e, queue, func(ctx context.Context, s *traigo.Scope, r *temporal.Remote) error {
				first := calls(func() (string, error) { return waits.Run(ctx, r, gate{"a", file}) })
				w.await(t, "began a")
				second := calls(func() (string, error) { return holds.Run(ctx, r, "b") })
				eventually(t, func() bool { return statusOf(t, e, r.ID()+"/holds-2") != 0 }, "b was not started")
				end(t, e, r.ID()+"/holds-2")
				require.ErrorIs(t, receive(t, second, "of b").err, temporal.ErrLost)
				openGate(t, file)
				require.NoError(t, receive(t, first, "of a").err)
				_, err := did.Run(ctx, r, "c")
				return err
			}, leases(long)))
			require.Empty(t, w.said("began b"))
		})
	}
}

// If an operator ends the scope's workflow, functions are canceled at once with ErrLease, and so is
// the scope of the owner.
func TestOperatorEndsScope(t *testing.T) {
	t.Parallel()
	for name, end := range operations {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			queue := queueOf(t)
			w := startWorker(t, queue)
			e := connect(t)
			var calls []*traigo.Task
			var id string
			err := within(t, e, queue, func(ctx context.Context, s *traigo.Scope, r *temporal.Remote) error {
				id = r.ID()
				for _, key := range []string{"a", "b", "c"} {
					calls = append(calls, holds.Spawn(r, key))
				}
				awaits(t, 3, "began ", w)
				end(t, e, id)
				<-ctx.Done()
				require.ErrorIs(t, context.Cause(ctx), temporal.ErrLease)
				return nil
			}, leases(long))
			require.ErrorIs(t, err, temporal.ErrLease)
			for _, call := range calls {
				require.ErrorIs(t, call.Err(), temporal.ErrLease)
			}
			awaits(t, 3, "ended ", w)
			for _, line := range w.said("ended ") {
				require.Contains(t, line, "lease=true")
			}
			closes(t, e, id)
			for _, task := range []string{"-1", "-2", "-3"} {
				closes(t, e, id+"/holds"+task)
			}
		})
	}
}
