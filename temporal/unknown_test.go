package temporal_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/temporal"
)

func TestFunctionThatNoWorkerHas(t *testing.T) {
	t.Parallel()
	queue := queueOf(t)
	has := func(name string) *temporal.Function[int, int] {
		return temporal.Func(name, func(context.Context, int) (int, error) { return 0, nil })
	}
	workHere(t, queue, has("known.one"), has("known.other"))
	require.NoError(t, owning(t, queue, func(ctx context.Context, _ *traigo.Scope, r *temporal.Remote) error {
		began := time.Now()
		_, err := has("missing").Run(ctx, r, 1)
		require.ErrorIs(t, err, temporal.ErrUnknown)
		// By the clock of the engine, from the first time it was given back.
		require.GreaterOrEqual(t, time.Since(began), 9*time.Second)
		for _, text := range []string{"missing", queue, "known.one", "known.other"} {
			require.ErrorContains(t, err, text)
		}
		return nil
	}))
}

func TestFunctionThatANewerWorkerHas(t *testing.T) {
	t.Parallel()
	queue := queueOf(t)
	older := temporal.Func("older", func(context.Context, int) (int, error) { return 0, nil })
	newer := temporal.Func("newer", func(context.Context, int) (string, error) { return "has it", nil })
	workHere(t, queue, older)
	e := connect(t)
	require.NoError(t, owningWith(t, e, queue, func(ctx context.Context, _ *traigo.Scope, r *temporal.Remote) error {
		result := newer.Async(r, 1)
		eventually(t, func() bool {
			d, err := e.Client().DescribeWorkflowExecution(ctx, r.ID()+"/newer-1", "")
			return err == nil && len(d.GetPendingActivities()) == 1 && d.GetPendingActivities()[0].GetAttempt() > 1
		}, "the older worker has not given it back")
		workHere(t, queue, older, newer)
		out, err := result.Await(ctx)
		require.NoError(t, err)
		require.Equal(t, "has it", out)
		return nil
	}))
}
