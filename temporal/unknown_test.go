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

// What counts is since when no worker has had the function: that another one did not have it in an
// earlier deployment is forgotten.
func TestFunctionThatIsUnknownNowAndThen(t *testing.T) {
	t.Parallel()
	queue := queueOf(t)
	began := make(chan struct{})
	none := temporal.Func("older", func(context.Context, int) (int, error) { return 0, nil })
	waits := temporal.Func("newer", func(ctx context.Context, _ int) (string, error) {
		close(began)
		<-ctx.Done()
		return "", context.Cause(ctx)
	})
	newest := temporal.Func("newer", func(context.Context, int) (string, error) { return "has it", nil })
	older := workHere(t, queue, none)
	e := connect(t)
	require.NoError(t, owningWith(t, e, queue, func(ctx context.Context, _ *traigo.Scope, r *temporal.Remote) error {
		result := waits.Async(r, 1)
		attempt := func() (n int32) {
			d, err := e.Client().DescribeWorkflowExecution(ctx, r.ID()+"/newer-1", "")
			if err == nil && len(d.GetPendingActivities()) == 1 {
				n = d.GetPendingActivities()[0].GetAttempt()
			}
			return n
		}
		eventually(t, func() bool { return attempt() > 1 }, "the older worker has not given it back")
		newer := workHere(t, queue, waits)
		receive(t, began, "the first attempt")
		passes(t, 11*time.Second)
		n := attempt()
		newer.Cancel(nil)
		eventually(t, func() bool { k := attempt(); return k > n+1 || k == 0 }, "the older worker has not given it back again")
		older.Cancel(nil)
		_ = older.Wait()
		workHere(t, queue, newest)
		out, err := result.Await(ctx)
		require.NoError(t, err)
		require.Equal(t, "has it", out)
		return nil
	}))
}
