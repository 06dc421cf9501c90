package temporal_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/temporal"
)

// A nest says on which queue a nested function runs its own.
type nest struct{ Queue, Key string }

// outer runs inner in a scope of its own, and returns what that does.
var outer = register(temporal.Func("outer", func(ctx context.Context, in nest) (asked, error) {
	var out asked
	err := traigo.Run(ctx, func(ctx context.Context, s *traigo.Scope) error {
		r, err := temporal.Open(s, temporal.Current(ctx).Engine(), in.Queue, temporal.Lease(longLease))
		if err != nil {
			return err
		}
		say("outer %s %s", in.Key, r.ID())
		if in.Key == "fails" {
			_, err = fails.Run(ctx, r, "type")
			return err
		}
		if in.Key == "panics" {
			_, err = fails.Run(ctx, r, "panic")
			return err
		}
		out, err = asks.Run(ctx, r, in.Key)
		return err
	}, traigo.Name("nested"))
	if out.HasCancellation {
		return out, nil // what inner saw is to be returned, and not that this scope was canceled as well
	}
	return out, err
}))

func TestNestedRemote(t *testing.T) {
	t.Parallel()
	near, far := queueOf(t), queueOf(t)+"-far"
	first, second := startWorker(t, near), startWorker(t, far)
	e := connect(t)

	ends := map[string]struct {
		end         func(s *traigo.Scope, task *traigo.Task)
		scope, task string
	}{
		"task":  {func(_ *traigo.Scope, task *traigo.Task) { task.Cancel(errors.Join(errCancel, &quotaError{5})) }, "owner", "owner/asking"},
		"scope": {func(s *traigo.Scope, _ *traigo.Task) { s.Cancel(errors.Join(errCancel, &quotaError{5})) }, "owner", ""},
	}
	for key, test := range ends {
		t.Run(key, func(t *testing.T) {
			_ = owningWith(t, e, near, func(_ context.Context, s *traigo.Scope, r *temporal.Remote) error {
				result := make(chan asked, 1)
				task := s.Spawn(func(ctx context.Context) error {
					a, err := outer.Run(ctx, r, nest{far, key})
					result <- a
					return err
				}, traigo.Name("asking"))
				second.await(t, "asks "+key)
				test.end(s, task)
				require.NoError(t, ended(t, task))
				a := <-result
				t.Log(a.Text)
				require.True(t, a.HasCancellation)
				require.Equal(t, traigo.Requested, a.Kind)
				require.Equal(t, test.scope, a.Scope)
				require.Equal(t, test.task, a.Task)
				require.True(t, a.IsValue)
				require.Equal(t, 5, a.Left)
				return nil
			})
		})
	}

	t.Run("errors", func(t *testing.T) {
		require.NoError(t, owningWith(t, e, near, func(ctx context.Context, _ *traigo.Scope, r *temporal.Remote) error {
			_, err := outer.Run(ctx, r, nest{far, "fails"})
			quota, ok := errors.AsType[*quotaError](err)
			require.True(t, ok, "%v", err)
			require.Equal(t, 9, quota.Left)

			task := outer.Spawn(r, nest{far, "panics"}, traigo.Bubble(false))
			p, ok := errors.AsType[*traigo.PanicError](ended(t, task))
			require.True(t, ok, "%v", task.Err())
			t.Log(p.Task)
			require.ErrorContains(t, p, "of the function")
			return nil
		}, traigo.PanicAsError()))
	})
	require.NotEmpty(t, first.said("outer"))
}

// What a function has opened ends with its attempt, whether or not it waits for that.
func TestNestedRemoteEndsWithItsAttempt(t *testing.T) {
	t.Parallel()
	near, far := queueOf(t), queueOf(t)+"-far"
	var j journal
	wait := waiting(&j)
	workHere(t, far, wait)
	ids := make(chan string, 2)
	leave := temporal.Func("leave", func(ctx context.Context, _ int) (int, error) {
		a := temporal.Current(ctx)
		r, err := temporal.Open(traigo.Current(ctx), a.Engine(), far, temporal.Lease(longLease))
		if err != nil {
			return 0, err
		}
		ids <- r.ID()
		if a.Number == 2 {
			return 2, nil
		}
		wait.Spawn(r, "left", traigo.Awaited(false))
		for begun := false; !begun; {
			if ctx.Err() != nil {
				return 0, context.Cause(ctx)
			}
			_ = traigo.Sleep(ctx, 10*time.Millisecond)
			for _, entry := range j.all() {
				begun = begun || entry == "begun left"
			}
		}
		return 0, errCall
	}, temporal.Retry(1))
	workHere(t, near, leave)
	e := connect(t)
	require.NoError(t, owningWith(t, e, near, func(ctx context.Context, _ *traigo.Scope, r *temporal.Remote) error {
		n, err := leave.Run(ctx, r, 1)
		require.NoError(t, err)
		require.Equal(t, 2, n)
		require.Contains(t, j.all(), "ended left")
		first, second := <-ids, <-ids
		require.NotEqual(t, first, second, "the next attempt opens anew")
		for _, id := range []string{first, second} {
			d, err := e.Client().DescribeWorkflowExecution(ctx, id, "")
			require.NoError(t, err)
			require.NotNil(t, d.GetWorkflowExecutionInfo().GetCloseTime(), "it has closed")
		}
		return nil
	}))
}

// The owner of a nested Remote is the worker: when that dies its lease ends what it has opened.
func TestNestedRemoteOfAWorkerThatDies(t *testing.T) {
	t.Parallel()
	near, far := queueOf(t), queueOf(t)+"-far"
	first, second := startWorker(t, near), startWorker(t, far)
	e := connect(t)
	err := traigo.Run(t.Context(), func(_ context.Context, s *traigo.Scope) error {
		r, err := temporal.Open(s, e, near, temporal.Lease(6*time.Second))
		require.NoError(t, err)
		task := shortNest.Spawn(r, nest{far, "orphan"})
		second.await(t, "began orphan attempt 1")
		first.signal(9)
		<-first.exited
		require.Contains(t, second.await(t, "ended orphan"), temporal.ErrLease.Error())
		task.Cancel(nil)
		return nil
	})
	require.NoError(t, err)
}

var shortNest = register(temporal.Func("shortNest", func(ctx context.Context, in nest) (string, error) {
	r, err := temporal.Open(traigo.Current(ctx), temporal.Current(ctx).Engine(), in.Queue, temporal.Lease(6*time.Second))
	if err != nil {
		return "", err
	}
	return until.Run(ctx, r, in.Key)
}))
