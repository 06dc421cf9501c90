package temporal_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/temporal"
)

func TestDeadlineIsThatOfTheLocalContext(t *testing.T) {
	t.Parallel()
	queue := queueOf(t)
	deadlines := make(chan time.Time, 10)
	look := temporal.Func("look", func(ctx context.Context, n int) (bool, error) {
		deadline, has := ctx.Deadline()
		deadlines <- deadline
		if temporal.Current(ctx).Number < n {
			return has, errCall
		}
		return has, nil
	}, temporal.Retry(3))
	workHere(t, queue, look)
	require.NoError(t, owning(t, queue, func(ctx context.Context, s *traigo.Scope, r *temporal.Remote) error {
		has, err := look.Run(ctx, r, 1)
		require.NoError(t, err)
		require.False(t, has)
		require.Zero(t, <-deadlines)

		var local time.Time
		result := make(chan bool, 1)
		task := s.Spawn(func(ctx context.Context) error {
			local, _ = ctx.Deadline()
			has, err := look.Run(ctx, r, 4) // 7 s of delays are spent
			result <- has
			return err
		}, traigo.Timeout(time.Hour))
		require.NoError(t, ended(t, task))
		require.True(t, <-result)
		for range 4 {
			// What is between a decision of the engine and its arrival is not subtracted.
			require.WithinDuration(t, local, <-deadlines, 4*time.Second)
		}
		return nil
	}))
}

func TestDeadlineEndsNothing(t *testing.T) {
	t.Parallel()
	queue := queueOf(t)
	begun, moved := make(chan struct{}), make(chan struct{})
	outlive := temporal.Func("outlive", func(ctx context.Context, _ int) (bool, error) {
		deadline, has := ctx.Deadline()
		assert.True(t, has)
		begun <- struct{}{}
		<-moved
		passed := time.NewTimer(time.Until(deadline) + 100*time.Millisecond)
		defer passed.Stop()
		select {
		case <-ctx.Done():
			return false, context.Cause(ctx)
		case <-passed.C:
			return ctx.Err() == nil && time.Now().After(deadline), nil
		}
	})
	workHere(t, queue, outlive)
	require.NoError(t, owning(t, queue, func(ctx context.Context, s *traigo.Scope, r *temporal.Remote) error {
		const enough = 15 * time.Second // for the function to begin
		s.SetTimeout(enough)
		result := outlive.Async(r, 1)
		<-begun
		s.SetTimeout(time.Hour)
		moved <- struct{}{}
		ok, err := result.Await(ctx)
		require.NoError(t, err)
		require.True(t, ok)
		return nil
	}))
}

func TestEndComesFromTheOwner(t *testing.T) {
	t.Parallel()
	queue := queueOf(t)
	begun := make(chan struct{})
	type seen struct {
		cause  error
		err    error
		before bool
	}
	got := make(chan seen, 1)
	wait := temporal.Func("wait", func(ctx context.Context, _ int) (int, error) {
		deadline, has := ctx.Deadline()
		assert.True(t, has)
		begun <- struct{}{}
		<-ctx.Done()
		got <- seen{context.Cause(ctx), ctx.Err(), time.Until(deadline) > time.Minute}
		return 0, context.Cause(ctx)
	})
	workHere(t, queue, wait)
	err := owning(t, queue, func(_ context.Context, s *traigo.Scope, r *temporal.Remote) error {
		task := wait.Spawn(r, 1)
		<-begun
		s.SetTimeout(time.Millisecond)
		_ = ended(t, task)
		return nil
	}, traigo.Timeout(time.Hour))
	timeout, ok := errors.AsType[*traigo.TimeoutError](err)
	require.True(t, ok, "%v", err)
	require.Equal(t, "owner", timeout.Scope)
	s := <-got
	require.True(t, s.before, "long before the deadline that the function had seen")
	require.Equal(t, context.DeadlineExceeded, s.err)
	cancellation, ok := errors.AsType[*traigo.Cancellation](s.cause)
	require.True(t, ok, "%v", s.cause)
	require.Equal(t, traigo.TimedOut, cancellation.Kind)
	_, ok = errors.AsType[*traigo.TimeoutError](s.cause)
	require.True(t, ok, "%v", s.cause)
}
