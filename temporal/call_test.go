package temporal_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/temporal"
)

var errCall = errors.New("the function has failed")

func TestWhatCannotBeEncodedIsTheErrorOfTheCall(t *testing.T) {
	t.Parallel()
	queue := queueOf(t)
	begun := &journal{}
	argument := temporal.Func("of a channel", func(context.Context, chan int) (int, error) { begun.add("argument"); return 0, nil })
	result := temporal.Func("with a function", func(context.Context, int) (func(), error) { return func() {}, nil })
	number := temporal.Func("of a number", func(context.Context, int) (int, error) { begun.add("number"); return 0, nil })
	text := temporal.Func("of a number", func(context.Context, string) (int, error) { return 0, nil })
	workHere(t, queue, argument, result, number)
	require.NoError(t, owning(t, queue, func(ctx context.Context, _ *traigo.Scope, r *temporal.Remote) error {
		_, err := argument.Run(ctx, r, make(chan int))
		require.ErrorContains(t, err, `"of a channel"`)

		_, err = result.Run(ctx, r, 1)
		require.ErrorContains(t, err, `"with a function"`)

		_, err = text.Run(ctx, r, "no number")
		require.ErrorContains(t, err, `"of a number"`)

		n, err := number.Run(ctx, r, 1)
		require.NoError(t, err)
		require.Zero(t, n)
		require.Equal(t, []string{"number"}, begun.all())
		return nil
	}))
}

func TestResultThatCannotBeDecodedIsTheErrorOfTheCall(t *testing.T) {
	t.Parallel()
	queue := queueOf(t)
	workHere(t, queue, temporal.Func("ambiguous", func(context.Context, int) (string, error) { return "text", nil }))
	number := temporal.Func("ambiguous", func(context.Context, int) (int, error) { return 1, nil })
	require.NoError(t, owning(t, queue, func(ctx context.Context, _ *traigo.Scope, r *temporal.Remote) error {
		n, err := number.Run(ctx, r, 1)
		require.ErrorContains(t, err, `"ambiguous"`)
		require.Zero(t, n)
		return nil
	}))
}

func TestArgumentMayGainFields(t *testing.T) {
	t.Parallel()
	type old struct{ A int }
	type recent struct{ A, B int }
	queue := queueOf(t)
	workHere(t, queue,
		temporal.Func("old worker", func(_ context.Context, in old) (int, error) { return in.A, nil }),
		temporal.Func("new worker", func(_ context.Context, in recent) (recent, error) { return in, nil }))
	newer := temporal.Func("old worker", func(context.Context, recent) (int, error) { return 0, nil })
	older := temporal.Func("new worker", func(context.Context, old) (recent, error) { return recent{}, nil })
	require.NoError(t, owning(t, queue, func(ctx context.Context, _ *traigo.Scope, r *temporal.Remote) error {
		n, err := newer.Run(ctx, r, recent{7, 8})
		require.NoError(t, err)
		require.Equal(t, 7, n)
		out, err := older.Run(ctx, r, old{7})
		require.NoError(t, err)
		require.Equal(t, recent{7, 0}, out)
		return nil
	}))
}

func TestFlagsOfRemoteTasks(t *testing.T) {
	t.Parallel()
	queue := queueOf(t)
	var j journal
	wait := waiting(&j)
	fail := temporal.Func("fail", func(context.Context, string) (int, error) { return 0, errCall })
	succeed := temporal.Func("succeed", func(_ context.Context, key string) (string, error) { return key, nil })
	release := make(chan struct{})
	deaf := temporal.Func("deaf", func(context.Context, string) (int, error) {
		j.add("deaf begun")
		<-release
		j.add("deaf ended")
		return 0, nil
	})
	workHere(t, queue, wait, fail, succeed, deaf)
	defer close(release) // before the worker is to end

	t.Run("Bubble", func(t *testing.T) {
		err := owning(t, queue, func(_ context.Context, s *traigo.Scope, r *temporal.Remote) error {
			task := fail.Spawn(r, "", traigo.Bubble(false))
			require.ErrorContains(t, ended(t, task), errCall.Error())
			require.Equal(t, traigo.Open, s.State())
			return nil
		})
		require.NoError(t, err)

		err = owning(t, queue, func(ctx context.Context, _ *traigo.Scope, r *temporal.Remote) error {
			fail.Spawn(r, "")
			_, err := wait.Run(ctx, r, "until another fails")
			return err
		})
		ofTask, ok := errors.AsType[*traigo.TaskError](err)
		require.True(t, ok, "%v", err)
		require.Equal(t, "fail", ofTask.Task, "by default it is named after the function")
		_, ok = errors.AsType[*traigo.RemoteError](ofTask.Err)
		require.True(t, ok, "%v", err)
	})

	t.Run("Master", func(t *testing.T) {
		err := owning(t, queue, func(_ context.Context, s *traigo.Scope, r *temporal.Remote) error {
			other := wait.Spawn(r, "beside a master")
			j.await(t, "begun beside a master")
			succeed.Spawn(r, "", traigo.Master(true))
			_ = ended(t, other)
			cancellation, ok := errors.AsType[*traigo.Cancellation](context.Cause(s.Context()))
			require.True(t, ok)
			require.Equal(t, traigo.MasterEnded, cancellation.Kind)
			require.Equal(t, "owner/succeed", cancellation.Task)
			require.Contains(t, j.all(), "ended beside a master")
			return nil
		})
		require.NoError(t, err)
	})

	t.Run("Awaited", func(t *testing.T) {
		err := owning(t, queue, func(_ context.Context, _ *traigo.Scope, r *temporal.Remote) error {
			wait.Spawn(r, "not awaited", traigo.Awaited(false))
			j.await(t, "begun not awaited")
			return nil
		})
		require.NoError(t, err)
		require.Contains(t, j.all(), "ended not awaited", "the scope has closed, and so the function has returned")
	})

	t.Run("Timeout", func(t *testing.T) {
		err := owning(t, queue, func(_ context.Context, s *traigo.Scope, r *temporal.Remote) error {
			task := wait.Spawn(r, "with a timeout", traigo.Timeout(time.Second), traigo.Bubble(false))
			timeout, ok := errors.AsType[*traigo.TimeoutError](ended(t, task))
			require.True(t, ok, "%v", task.Err())
			require.Equal(t, "owner/waiting", timeout.Scope)
			require.Equal(t, traigo.Open, s.State())
			return nil
		})
		require.NoError(t, err)
	})

	t.Run("CancelTimeout", func(t *testing.T) {
		err := owning(t, queue, func(_ context.Context, _ *traigo.Scope, r *temporal.Remote) error {
			task := deaf.Spawn(r, "", traigo.CancelTimeout(10*time.Millisecond))
			j.await(t, "deaf begun")
			task.Cancel(nil)
			err := task.Wait(t.Context())
			_, ok := errors.AsType[*traigo.StuckError](err)
			require.True(t, ok, "%v", err)
			require.NotContains(t, j.all(), "deaf ended")
			return nil
		})
		stuck, ok := errors.AsType[*traigo.StuckError](err)
		require.True(t, ok, "%v", err)
		require.Equal(t, "owner/deaf", stuck.Tasks[0].Path)
	})

	t.Run("OnDone", func(t *testing.T) {
		err := owning(t, queue, func(_ context.Context, s *traigo.Scope, r *temporal.Remote) error {
			done := make(chan error, 1)
			fail.Spawn(r, "", traigo.OnDone(func(err error) { done <- err }))
			_, ok := errors.AsType[*traigo.RemoteError](<-done)
			require.True(t, ok)
			require.Equal(t, traigo.Open, s.State())
			return nil
		})
		require.NoError(t, err)
	})

	t.Run("Name", func(t *testing.T) {
		err := owning(t, queue, func(_ context.Context, _ *traigo.Scope, r *temporal.Remote) error {
			require.Equal(t, "owner/succeed", succeed.Spawn(r, "").Path())
			require.Equal(t, "owner/succeed", succeed.Async(r, "").Task().Path())
			require.Equal(t, "owner/other", succeed.Spawn(r, "", traigo.Name("other")).Path())
			require.Equal(t, "owner/another", succeed.Async(r, "", traigo.Name("another")).Task().Path())
			return nil
		})
		require.NoError(t, err)
	})

	t.Run("Async", func(t *testing.T) {
		err := owning(t, queue, func(ctx context.Context, s *traigo.Scope, r *temporal.Remote) error {
			out, err := succeed.Async(r, "value").Await(ctx)
			require.NoError(t, err)
			require.Equal(t, "value", out)

			_, err = fail.Async(r, "").Await(ctx)
			_, ok := errors.AsType[*traigo.RemoteError](err)
			require.True(t, ok, "%v", err)
			require.Equal(t, traigo.Open, s.State(), "the error of a future is the caller's")
			return nil
		})
		require.NoError(t, err)
	})
}

func TestLimitOfAScopeHoldsForRemoteTasks(t *testing.T) {
	t.Parallel()
	queue := queueOf(t)
	var now, most atomic.Int32
	count := temporal.Func("count", func(context.Context, int) (int, error) {
		defer now.Add(-1)
		if n := now.Add(1); n > most.Load() {
			most.Store(n)
		}
		return 0, nil
	})
	workHere(t, queue, count)
	e := connect(t)
	var remotes []*temporal.Remote
	err := traigo.Run(t.Context(), func(_ context.Context, s *traigo.Scope) error {
		r, err := temporal.Open(s, e, queue)
		require.NoError(t, err)
		remotes = append(remotes, r)
		for i := range 4 {
			count.Spawn(r, i)
		}
		return nil
	}, traigo.Limit(1))
	require.NoError(t, err)
	require.Len(t, remotes, 1)
	require.EqualValues(t, 1, most.Load())
}

func TestInFlightLetsOthersWaitInTheirOrder(t *testing.T) {
	t.Parallel()
	queue := queueOf(t)
	var j journal
	next := make(chan struct{})
	step := temporal.Func("step", func(_ context.Context, n int) (int, error) {
		j.add(fmt.Sprint("begun ", n))
		<-next
		return n, nil
	})
	workHere(t, queue, step)
	e := connect(t)
	err := traigo.Run(t.Context(), func(_ context.Context, s *traigo.Scope) error {
		r, err := temporal.Open(s, e, queue, temporal.InFlight(1))
		require.NoError(t, err)
		for i := range 3 {
			step.Spawn(r, i)
			// It waits for its turn when its scope is there, which is one step before.
			eventually(t, func() bool { return len(find(s.Snapshot(), queue)) == i+1 }, "task %d does not run", i)
		}
		for i := range 3 {
			j.await(t, fmt.Sprint("begun ", i))
			require.Len(t, j.all(), i+1)
			next <- struct{}{}
		}
		return nil
	})
	require.NoError(t, err)
}

func TestJoinsWorkOnRun(t *testing.T) {
	t.Parallel()
	queue := queueOf(t)
	var j journal
	wait := waiting(&j)
	square := temporal.Func("square", func(_ context.Context, n int) (int, error) {
		if n < 0 {
			return 0, errCall
		}
		return n * n, nil
	})
	workHere(t, queue, wait, square)
	err := owning(t, queue, func(ctx context.Context, _ *traigo.Scope, r *temporal.Remote) error {
		of := func(n int) func(context.Context) (int, error) {
			return func(ctx context.Context) (int, error) { return square.Run(ctx, r, n) }
		}
		all, err := traigo.All(ctx, of(1), of(2), of(3))
		assert.NoError(t, err)
		assert.Equal(t, []int{1, 4, 9}, all)

		_, err = traigo.All(ctx, of(-1), func(ctx context.Context) (int, error) {
			_, err := wait.Run(ctx, r, "all")
			return 0, err
		})
		assert.ErrorContains(t, err, errCall.Error())
		begun, ended := slices.Contains(j.all(), "begun all"), slices.Contains(j.all(), "ended all")
		assert.Equal(t, begun, ended)

		first, err := traigo.Race(ctx, func(ctx context.Context) (int, error) {
			_, err := wait.Run(ctx, r, "race")
			return 0, err
		}, func(ctx context.Context) (int, error) {
			j.await(t, "begun race")
			return square.Run(ctx, r, 5)
		})
		assert.NoError(t, err)
		assert.Equal(t, 25, first)
		assert.Contains(t, j.all(), "ended race", "the loser's function has returned when Race does")

		mapped, err := traigo.Map(ctx, slices.Values([]int{1, 2, 3, 4}), func(ctx context.Context, n int) (int, error) {
			return square.Run(ctx, r, n)
		}, traigo.Limit(2))
		assert.NoError(t, err)
		assert.Equal(t, []int{1, 4, 9, 16}, mapped)

		var completed []int
		for out, err := range traigo.AsCompleted(ctx, slices.Values([]int{1, 2, 3}), func(ctx context.Context, n int) (int, error) {
			return square.Run(ctx, r, n)
		}) {
			assert.NoError(t, err)
			completed = append(completed, out)
		}
		assert.ElementsMatch(t, []int{1, 4, 9}, completed)
		return nil
	})
	require.NoError(t, err)
}

func TestCallsAfterTheEndOfTheScopeAreRefused(t *testing.T) {
	t.Parallel()
	queue := queueOf(t)
	var begun atomic.Int32
	count := temporal.Func("count", func(context.Context, int) (int, error) { begun.Add(1); return 0, nil })
	workHere(t, queue, count)
	reason := errors.New("the reason of the end")
	refused := func(r *temporal.Remote) {
		_, err := count.Run(t.Context(), r, 1)
		require.ErrorIs(t, err, traigo.ErrRefused)
		require.ErrorIs(t, ended(t, count.Spawn(r, 1)), traigo.ErrRefused)
		_, err = count.Async(r, 1).Await(t.Context())
		require.ErrorIs(t, err, traigo.ErrRefused)
	}
	var remote *temporal.Remote
	err := owning(t, queue, func(_ context.Context, s *traigo.Scope, r *temporal.Remote) error {
		remote = r
		s.Cancel(reason)
		refused(r)
		return nil
	})
	require.ErrorIs(t, err, reason)
	refused(remote)

	require.NoError(t, owning(t, queue, func(_ context.Context, _ *traigo.Scope, r *temporal.Remote) error {
		remote = r
		return nil
	}))
	refused(remote)

	// What was refused would have been taken before this one.
	require.NoError(t, owning(t, queue, func(ctx context.Context, _ *traigo.Scope, r *temporal.Remote) error {
		_, err := count.Run(ctx, r, 1)
		return err
	}))
	require.EqualValues(t, 1, begun.Load())
}

func TestCurrentTellsOfTheAttempt(t *testing.T) {
	t.Parallel()
	require.Nil(t, temporal.Current(t.Context()))
	queue := queueOf(t)
	got := make(chan temporal.Attempt, 2)
	look := temporal.Func("look", func(ctx context.Context, key string) (string, error) {
		a := temporal.Current(ctx)
		err := traigo.Run(ctx, func(ctx context.Context, s *traigo.Scope) error {
			s.Spawn(func(ctx context.Context) error {
				assert.Same(t, a, temporal.Current(ctx))
				return nil
			})
			return nil
		})
		got <- *a
		if a.Number == 1 {
			return "", errCall
		}
		return key, err
	}, temporal.Retry(1))
	workHere(t, queue, look)
	require.NoError(t, owning(t, queue, func(ctx context.Context, _ *traigo.Scope, r *temporal.Remote) error {
		_, err := look.Run(ctx, r, "key")
		require.NoError(t, err)
		first, second := <-got, <-got
		require.Equal(t, 1, first.Number)
		require.Equal(t, 2, second.Number)
		for _, a := range []temporal.Attempt{first, second} {
			require.Equal(t, r.ID()+"/look-1", a.Task)
			require.Equal(t, r.ID(), a.Scope)
			require.Equal(t, "look", a.Func)
			require.Equal(t, queue, a.Queue)
			require.Equal(t, "here", a.Worker)
		}
		require.Equal(t, "look", look.Name())
		return nil
	}))
}
