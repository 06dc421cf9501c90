package temporal_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/temporal"
)

func TestWorkerShowsItsTasks(t *testing.T) {
	t.Parallel()
	queue := queueOf(t)
	var j journal
	wait := waiting(&j)
	process := workHere(t, queue, wait)
	require.NoError(t, owning(t, queue, func(_ context.Context, _ *traigo.Scope, r *temporal.Remote) error {
		one, two := wait.Spawn(r, "one"), wait.Spawn(r, "two")
		j.await(t, "begun one")
		j.await(t, "begun two")
		workers := find(process.Snapshot(), "worker "+queue)
		require.Len(t, workers, 1)
		var names []string
		for _, task := range workers[0].Tasks {
			require.Equal(t, "running", task.State)
			names = append(names, task.Name)
		}
		require.ElementsMatch(t, []string{"waiting-1", "waiting-2"}, names)

		one.Cancel(nil)
		_ = ended(t, one)
		eventually(t, func() bool { return len(find(process.Snapshot(), "worker "+queue)[0].Tasks) == 1 }, "the task is still there")
		two.Cancel(nil)
		_ = ended(t, two)
		return nil
	}))
}

func TestWorkerThatIsToStopFinishesWhatRuns(t *testing.T) {
	t.Parallel()
	queue := queueOf(t)
	begun, proceed := make(chan struct{}, 1), make(chan struct{})
	var hasStopped, isCanceled atomic.Bool
	slow := temporal.Func("slow", func(ctx context.Context, _ int) (string, error) {
		begun <- struct{}{}
		<-proceed
		isCanceled.Store(ctx.Err() != nil)
		return "first", nil
	})
	process := traigo.New(t.Context(), traigo.Name("worker process"))
	e := connect(t)
	first := connectWith(t, identity("first"))
	work := process.Spawn(func(ctx context.Context) error {
		err := temporal.Work(ctx, first, queue, slow)
		hasStopped.Store(true)
		return err
	})
	require.NoError(t, owningWith(t, e, queue, func(ctx context.Context, _ *traigo.Scope, r *temporal.Remote) error {
		running := slow.Async(r, 1)
		<-begun
		down := make(chan error, 1)
		go func() { down <- process.Shutdown(context.WithoutCancel(ctx)) }()
		eventually(t, func() bool { return process.State() == traigo.Finalizing }, "it does not stop")

		// It takes nothing more: another one runs what comes now, while the first still runs.
		second := temporal.Func("slow", func(context.Context, int) (string, error) { return "second", nil })
		workWith(t, connectWith(t, identity("second")), queue, second)
		for range 5 {
			who, err := slow.Run(ctx, r, 2)
			require.NoError(t, err)
			require.Equal(t, "second", who)
		}
		require.False(t, hasStopped.Load())
		close(proceed)
		who, err := running.Await(ctx)
		require.NoError(t, err)
		require.Equal(t, "first", who)
		require.NoError(t, <-down)
		return nil
	}))
	require.NoError(t, work.Err())
	require.False(t, isCanceled.Load())
}

func TestWorkerThatIsCanceledHandsOn(t *testing.T) {
	t.Parallel()
	queue := queueOf(t)
	begun, proceed := make(chan struct{}), make(chan struct{})
	var hasReturned atomic.Bool
	stop := errors.New("the worker is to stop")
	causes := make(chan error, 1)
	move := temporal.Func("move", func(ctx context.Context, _ int) (string, error) {
		begun <- struct{}{}
		<-ctx.Done()
		causes <- context.Cause(ctx)
		<-proceed
		hasReturned.Store(true)
		return "", errors.New("an error of the end")
	})
	ctx, cancel := context.WithCancelCause(t.Context())
	e := connect(t)
	worked := make(chan error, 1)
	first := connectWith(t, identity("first"))
	go func() {
		err := temporal.Work(ctx, first, queue, move)
		if !hasReturned.Load() {
			err = errors.Join(err, errors.New("it has not joined the function"))
		}
		worked <- err
	}()
	require.NoError(t, owningWith(t, e, queue, func(ctx context.Context, _ *traigo.Scope, r *temporal.Remote) error {
		result := move.Async(r, 1)
		<-begun
		cancel(stop)
		require.ErrorIs(t, <-causes, stop)
		close(proceed)
		require.ErrorIs(t, <-worked, stop)

		other := temporal.Func("move", func(ctx context.Context, _ int) (string, error) {
			require.Equal(t, 2, temporal.Current(ctx).Number)
			return temporal.Current(ctx).Worker, nil
		})
		workWith(t, connectWith(t, identity("second")), queue, other)
		who, err := result.Await(ctx) // within the lease of an hour
		require.NoError(t, err)
		require.Equal(t, "second", who)
		return nil
	}))
}

func TestWorkerEndsWithItsEngine(t *testing.T) {
	t.Parallel()
	queue := queueOf(t)
	e := connectWith(t)
	worked := make(chan error, 1)
	go func() { worked <- temporal.Work(t.Context(), e, queue, double) }()
	require.NoError(t, owning(t, queue, func(ctx context.Context, _ *traigo.Scope, r *temporal.Remote) error {
		_, err := double.Run(ctx, r, 1)
		return err
	}))
	e.Close()
	require.ErrorIs(t, <-worked, temporal.ErrEngine)
}
