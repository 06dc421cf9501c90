package temporal_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/temporal"
)

// A place is how far a function has come.
type place struct {
	Step int
	At   string
}

func TestSavedValueIsThereForTheNextAttempt(t *testing.T) {
	t.Parallel()
	queue := queueOf(t)
	advance := temporal.Func("advance", func(ctx context.Context, _ int) ([]place, error) {
		a := temporal.Current(ctx)
		var at place
		found, err := a.Load(&at)
		assert.NoError(t, err)
		assert.Equal(t, a.Number > 1, found)
		switch a.Number {
		case 1: // the lease is an hour long: the failure has to bring it
			assert.NoError(t, a.Save(place{1, "overwritten"}))
			assert.NoError(t, a.Save(place{1, "first"}))
			return nil, errCall
		case 2:
			assert.Equal(t, place{1, "first"}, at)
			assert.Error(t, a.Save(make(chan int)))
			return nil, errCall
		}
		assert.Equal(t, place{1, "first"}, at, "what could not be saved changes nothing, and what was not is still there")
		var wrong []string
		_, err = a.Load(&wrong)
		assert.ErrorContains(t, err, `"advance"`)
		return []place{at}, nil
	}, temporal.Retry(2))
	workHere(t, queue, advance)
	require.NoError(t, owning(t, queue, func(ctx context.Context, _ *traigo.Scope, r *temporal.Remote) error {
		all, err := advance.Run(ctx, r, 1)
		require.NoError(t, err)
		require.Equal(t, []place{{1, "first"}}, all)
		return nil
	}))
}

// saver saves, and waits until it is killed; the next attempt returns what it finds.
var saver = register(temporal.Func("saver", func(ctx context.Context, _ int) (place, error) {
	a := temporal.Current(ctx)
	var at place
	if found, err := a.Load(&at); found || err != nil {
		return at, err
	}
	if err := a.Save(place{2, "before it was killed"}); err != nil {
		return at, err
	}
	say("saved")
	<-ctx.Done()
	return at, context.Cause(ctx)
}))

func TestSavedValueIsSentWithTheNextHeartbeat(t *testing.T) {
	t.Parallel()
	queue := queueOf(t)
	w := startWorker(t, queue)
	e := connect(t)
	err := traigo.Run(t.Context(), func(ctx context.Context, s *traigo.Scope) error {
		r, err := temporal.Open(s, e, queue, temporal.Lease(12*time.Second))
		require.NoError(t, err)
		result := saver.Async(r, 1)
		w.await(t, "saved")
		eventually(t, func() bool {
			d, err := e.Client().DescribeWorkflowExecution(ctx, r.ID()+"/saver-1", "")
			return err == nil && len(d.GetPendingActivities()) == 1 && len(d.GetPendingActivities()[0].GetHeartbeatDetails().GetPayloads()) == 2
		}, "no heartbeat has brought it")
		w.signal(9)
		<-w.exited
		startWorker(t, queue)
		at, err := result.Await(ctx)
		require.NoError(t, err)
		require.Equal(t, place{2, "before it was killed"}, at)
		return nil
	})
	require.NoError(t, err)
}

func TestSavedValueSurvivesTheEndOfItsWorker(t *testing.T) {
	t.Parallel()
	queue := queueOf(t)
	w := startWorker(t, queue)
	require.NoError(t, owning(t, queue, func(ctx context.Context, _ *traigo.Scope, r *temporal.Remote) error {
		result := saver.Async(r, 1)
		w.await(t, "saved")
		w.signal(15)
		<-w.exited
		startWorker(t, queue)
		at, err := result.Await(ctx)
		require.NoError(t, err)
		require.Equal(t, place{2, "before it was killed"}, at)
		return nil
	}))
}
