package temporal_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/temporal"
)

// A trial is one run of a function.
type trial struct {
	number     int
	begun, end time.Time
}

// trials has the runs of a function that fails until the n-th.
type trials struct {
	mu  sync.Mutex
	all []trial
}

// try is the body of such a function.
func (l *trials) try(ctx context.Context, n int, err error) (int, error) {
	one := trial{number: temporal.Current(ctx).Number, begun: time.Now()}
	defer func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		one.end = time.Now()
		l.all = append(l.all, one)
	}()
	if one.number < n {
		return 0, err
	}
	return one.number, nil
}

func (l *trials) numbers() (numbers []int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, one := range l.all {
		numbers = append(numbers, one.number)
	}
	return numbers
}

func TestRetryRunsTheFunctionAgain(t *testing.T) {
	t.Parallel()
	queue := queueOf(t)
	var l trials
	try := temporal.Func("try", func(ctx context.Context, n int) (int, error) { return l.try(ctx, n, errCall) }, temporal.Retry(2))
	workHere(t, queue, try)
	require.NoError(t, owning(t, queue, func(ctx context.Context, _ *traigo.Scope, r *temporal.Remote) error {
		n, err := try.Run(ctx, r, 3)
		require.NoError(t, err)
		require.Equal(t, 3, n)
		return nil
	}))
	require.Equal(t, []int{1, 2, 3}, l.numbers())
	require.GreaterOrEqual(t, l.all[1].begun.Sub(l.all[0].end), time.Second)
	require.GreaterOrEqual(t, l.all[2].begun.Sub(l.all[1].end), 2*time.Second)
}

func TestRetryEndsWithTheLastError(t *testing.T) {
	t.Parallel()
	queue := queueOf(t)
	var l trials
	try := temporal.Func("try", func(ctx context.Context, n int) (int, error) {
		return l.try(ctx, n, fmt.Errorf("attempt %d has failed", temporal.Current(ctx).Number))
	}, temporal.Retry(1))
	workHere(t, queue, try)
	require.NoError(t, owning(t, queue, func(ctx context.Context, _ *traigo.Scope, r *temporal.Remote) error {
		_, err := try.Run(ctx, r, 100)
		remote, ok := err.(*traigo.RemoteError) //nolint:errorlint // it is the error itself
		require.True(t, ok, "%v", err)
		require.Equal(t, "attempt 2 has failed", remote.Msg)
		return nil
	}))
	require.Equal(t, []int{1, 2}, l.numbers())
}

// A localError does not survive a way over the engine.
type localError struct{ isTransient bool }

func (*localError) Error() string { return "known in the worker only" }

func TestRetryAsksTheErrorAsItWasReturned(t *testing.T) {
	t.Parallel()
	queue := queueOf(t)
	var transient, lasting trials
	original := &localError{true}
	var isOriginal bool
	when := func(err error) bool {
		isOriginal = isOriginal || err == original //nolint:errorlint // it is to be that
		local, ok := errors.AsType[*localError](err)
		return ok && local.isTransient
	}
	once := temporal.Func("once", func(ctx context.Context, n int) (int, error) { return transient.try(ctx, n, original) }, temporal.Retry(5, when))
	never := temporal.Func("never", func(ctx context.Context, n int) (int, error) { return lasting.try(ctx, n, &localError{}) }, temporal.Retry(5, when))
	workHere(t, queue, once, never)
	require.NoError(t, owning(t, queue, func(ctx context.Context, _ *traigo.Scope, r *temporal.Remote) error {
		n, err := once.Run(ctx, r, 2)
		require.NoError(t, err)
		require.Equal(t, 2, n)

		_, err = never.Run(ctx, r, 2)
		require.ErrorContains(t, err, "known in the worker only")
		return nil
	}))
	require.True(t, isOriginal)
	require.Equal(t, []int{1, 2}, transient.numbers())
	require.Equal(t, []int{1}, lasting.numbers())
}

// A function whose own tasks have failed, and that returns nil, has failed with the error of its scope.
func TestRetryAsksTheErrorOfTheScope(t *testing.T) {
	t.Parallel()
	queue := queueOf(t)
	var l trials
	var mu sync.Mutex
	var seen []error
	below := temporal.Func("below", func(ctx context.Context, _ int) (int, error) {
		n, err := l.try(ctx, 2, errCall)
		if err != nil {
			traigo.Current(ctx).Spawn(func(context.Context) error { return errCall })
		}
		return n, nil
	}, temporal.Retry(1, func(err error) bool {
		mu.Lock()
		defer mu.Unlock()
		seen = append(seen, err)
		return errors.Is(err, errCall)
	}))
	workHere(t, queue, below)
	require.NoError(t, owning(t, queue, func(ctx context.Context, _ *traigo.Scope, r *temporal.Remote) error {
		n, err := below.Run(ctx, r, 1)
		require.NoError(t, err)
		require.Equal(t, 2, n)
		return nil
	}))
	require.Len(t, seen, 1)
	require.ErrorIs(t, seen[0], errCall)
}

func TestRetryEndsWithACancellation(t *testing.T) {
	t.Parallel()
	queue := queueOf(t)
	var l trials
	try := temporal.Func("try", func(ctx context.Context, n int) (int, error) { return l.try(ctx, n, errCall) }, temporal.Retry(100))
	workHere(t, queue, try)
	require.NoError(t, owning(t, queue, func(_ context.Context, _ *traigo.Scope, r *temporal.Remote) error {
		task := try.Spawn(r, 1000)
		eventually(t, func() bool { return len(l.numbers()) > 0 }, "it has not begun")
		task.Cancel(errCancel)
		require.ErrorIs(t, ended(t, task), errCancel)
		require.False(t, task.Failed())
		return nil
	}))
}
