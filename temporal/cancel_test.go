package temporal_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/temporal"
)

// In these tests the lease is an hour long, so nothing that they wait for comes with a heartbeat.

var errCancel = errors.New("nobody wants it any more")

// A quotaError is a cause with a type that both sides know.
type quotaError struct{ Left int }

func (e *quotaError) Error() string { return "the quota is used up" }

var _ = func() bool {
	traigo.RegisterError(errCancel)
	traigo.RegisterErrorType[*quotaError]()
	return true
}()

// inLine begins only if it was not canceled before.
var inLine = register(temporal.Func("inLine", func(_ context.Context, key string) (string, error) {
	say("inLine %s", key)
	return key, nil
}))

func TestCallCanceledBeforeItsFunctionBeginsReturnsAtOnce(t *testing.T) {
	t.Parallel()
	t.Run("without a worker", func(t *testing.T) {
		t.Parallel()
		queue := queueOf(t)
		e := connect(t)
		require.NoError(t, owningWith(t, e, queue, func(ctx context.Context, _ *traigo.Scope, r *temporal.Remote) error {
			early := inLine.Spawn(r, "early", traigo.Bubble(false))
			early.Cancel(errCancel)
			require.ErrorIs(t, ended(t, early), errCancel)

			late := inLine.Spawn(r, "late", traigo.Bubble(false))
			isStarted := func() bool {
				_, err := e.Client().DescribeWorkflowExecution(ctx, r.ID(), "")
				return err == nil
			}
			eventually(t, isStarted, "the scope's workflow is not there")
			late.Cancel(errCancel)
			require.ErrorIs(t, ended(t, late), errCancel)

			w := startWorker(t, queue)
			_, err := inLine.Run(ctx, r, "last")
			require.NoError(t, err)
			require.Equal(t, []string{"inLine last"}, w.said("inLine"))
			return nil
		}))
	})

	t.Run("started, without a worker", func(t *testing.T) {
		t.Parallel()
		queue := queueOf(t)
		e := connect(t)
		require.NoError(t, owningWith(t, e, queue, func(ctx context.Context, _ *traigo.Scope, r *temporal.Remote) error {
			w := startWorker(t, queue) // the lease is held, and calls go
			_, err := inLine.Run(ctx, r, "first")
			require.NoError(t, err)
			w.signal(9)
			<-w.exited

			task := inLine.Spawn(r, "second", traigo.Bubble(false))
			eventually(t, func() bool {
				_, err := e.Client().DescribeWorkflowExecution(ctx, r.ID()+"/inLine-2", "")
				return err == nil
			}, "the task is not there")
			task.Cancel(errCancel)
			require.ErrorIs(t, ended(t, task), errCancel)

			w = startWorker(t, queue)
			_, err = inLine.Run(ctx, r, "last")
			require.NoError(t, err)
			require.Equal(t, []string{"inLine last"}, w.said("inLine"))
			return nil
		}))
	})

	t.Run("with a worker that is busy", func(t *testing.T) {
		t.Parallel()
		queue := queueOf(t)
		w := startWorker(t, queue, "TRAIGO_TEST_SLOTS=1")
		e := connect(t)
		require.NoError(t, owningWith(t, e, queue, func(ctx context.Context, _ *traigo.Scope, r *temporal.Remote) error {
			busy := until.Spawn(r, "busy")
			w.await(t, "began busy")
			task := inLine.Spawn(r, "behind", traigo.Bubble(false))
			eventually(t, func() bool {
				d, err := e.Client().DescribeWorkflowExecution(ctx, r.ID()+"/inLine-2", "")
				return err == nil && len(d.GetPendingActivities()) == 1
			}, "the function does not wait for the worker")
			task.Cancel(errCancel)
			require.ErrorIs(t, ended(t, task), errCancel)
			require.Empty(t, w.said("ended busy"))

			busy.Cancel(nil)
			_ = ended(t, busy)
			_, err := inLine.Run(ctx, r, "last")
			require.NoError(t, err)
			require.Equal(t, []string{"inLine last"}, w.said("inLine"))
			return nil
		}))
	})

	t.Run("while it waits for InFlight", func(t *testing.T) {
		t.Parallel()
		queue := queueOf(t)
		w := startWorker(t, queue)
		e := connect(t)
		err := traigo.Run(t.Context(), func(ctx context.Context, s *traigo.Scope) error {
			r, err := temporal.Open(s, e, queue, temporal.InFlight(1), temporal.Lease(longLease))
			require.NoError(t, err)
			busy := until.Spawn(r, "busy")
			w.await(t, "began busy")
			task := inLine.Spawn(r, "behind", traigo.Bubble(false))
			eventually(t, func() bool { return len(find(s.Snapshot(), queue)) == 2 }, "the second task does not run")
			task.Cancel(errCancel)
			require.ErrorIs(t, ended(t, task), errCancel)
			require.Empty(t, w.said("ended busy"))

			busy.Cancel(nil)
			_ = ended(t, busy)
			_, err = inLine.Run(ctx, r, "last")
			require.NoError(t, err)
			require.Equal(t, []string{"inLine last"}, w.said("inLine"))
			return nil
		})
		require.NoError(t, err)
	})

	t.Run("while nobody knows the function", func(t *testing.T) {
		t.Parallel()
		queue := queueOf(t)
		workHere(t, queue, temporal.Func("another", func(context.Context, int) (int, error) { return 0, nil }))
		e := connect(t)
		require.NoError(t, owningWith(t, e, queue, func(ctx context.Context, _ *traigo.Scope, r *temporal.Remote) error {
			task := inLine.Spawn(r, "unknown", traigo.Bubble(false))
			eventually(t, func() bool {
				d, err := e.Client().DescribeWorkflowExecution(ctx, r.ID()+"/inLine-1", "")
				return err == nil && len(d.GetPendingActivities()) == 1 && d.GetPendingActivities()[0].GetAttempt() > 1
			}, "the function was not given back")
			task.Cancel(errCancel)
			require.ErrorIs(t, ended(t, task), errCancel)
			return nil
		}))
	})

	t.Run("with a context that is done", func(t *testing.T) {
		t.Parallel()
		queue := queueOf(t)
		w := startWorker(t, queue)
		require.NoError(t, owning(t, queue, func(ctx context.Context, _ *traigo.Scope, r *temporal.Remote) error {
			done, cancel := context.WithCancelCause(ctx)
			cancel(errCancel)
			_, err := inLine.Run(done, r, "done")
			require.ErrorIs(t, err, errCancel)
			_, err = inLine.Run(ctx, r, "last")
			require.NoError(t, err)
			require.Equal(t, []string{"inLine last"}, w.said("inLine"))
			return nil
		}))
	})

	t.Run("by the end of the scope", func(t *testing.T) {
		t.Parallel()
		queue := queueOf(t)
		err := owning(t, queue, func(_ context.Context, s *traigo.Scope, r *temporal.Remote) error {
			task := inLine.Spawn(r, "queued")
			s.Cancel(errCancel)
			require.ErrorIs(t, ended(t, task), errCancel)
			return nil
		})
		require.ErrorIs(t, err, errCancel)
	})
}

func TestRunReturnsWhenTheFunctionHasReturned(t *testing.T) {
	t.Parallel()
	queue := queueOf(t)
	begun, canceled, proceed := make(chan struct{}, 2), make(chan struct{}, 2), make(chan struct{})
	var hasReturned atomic.Int32
	clean := temporal.Func("clean", func(ctx context.Context, _ int) (int, error) {
		defer hasReturned.Add(1)
		begun <- struct{}{}
		<-ctx.Done()
		canceled <- struct{}{}
		<-proceed
		return 0, context.Cause(ctx)
	})
	workHere(t, queue, clean)
	ends := map[string]func(s *traigo.Scope, task *traigo.Task){
		"task":  func(_ *traigo.Scope, task *traigo.Task) { task.Cancel(errCancel) },
		"scope": func(s *traigo.Scope, _ *traigo.Task) { s.Cancel(errCancel) },
	}
	for name, end := range ends {
		hasReturned.Store(0)
		_ = owning(t, queue, func(_ context.Context, s *traigo.Scope, r *temporal.Remote) error {
			task := clean.Spawn(r, 0, traigo.Bubble(false))
			<-begun
			end(s, task)
			<-canceled
			require.NotEqual(t, traigo.Ended, task.State(), name)
			proceed <- struct{}{}
			require.ErrorIs(t, ended(t, task), errCancel, name)
			require.EqualValues(t, 1, hasReturned.Load(), name)
			return nil
		})
	}
}

func TestFunctionThatReturnsAfterACancellation(t *testing.T) {
	t.Parallel()
	queue := queueOf(t)
	var j journal
	after := temporal.Func("after", func(ctx context.Context, how string) (string, error) {
		j.add("begun " + how)
		<-ctx.Done()
		switch how {
		case "cause":
			return "", context.Cause(ctx)
		case "error of the context":
			return "", ctx.Err()
		case "error":
			return "", &quotaError{7}
		}
		return "made all the same", nil
	})
	workHere(t, queue, after)
	run := func(how string) (out string, task *traigo.Task, outcome error) {
		outcome = owning(t, queue, func(_ context.Context, s *traigo.Scope, r *temporal.Remote) error {
			task = s.Spawn(func(ctx context.Context) (err error) {
				out, err = after.Run(ctx, r, how)
				return err
			})
			j.await(t, "begun "+how)
			task.Cancel(errCancel)
			_ = ended(t, task)
			return nil
		})
		return out, task, outcome
	}

	for _, how := range []string{"cause", "error of the context"} {
		_, task, outcome := run(how)
		require.NoError(t, outcome, how)
		require.False(t, task.Failed(), how)
		require.ErrorIs(t, task.Err(), errCancel, how)
		cancellation, ok := errors.AsType[*traigo.Cancellation](task.Err())
		require.True(t, ok, how)
		require.Equal(t, traigo.Requested, cancellation.Kind, how)
	}

	_, task, outcome := run("error")
	require.True(t, task.Failed())
	quota, ok := errors.AsType[*quotaError](outcome)
	require.True(t, ok, "%v", outcome)
	require.Equal(t, 7, quota.Left)

	out, task, outcome := run("result")
	require.NoError(t, outcome)
	require.NoError(t, task.Err())
	require.Equal(t, "made all the same", out)
}

// asked is what a function saw of its cause.
type asked struct {
	Text                   string
	HasCancellation        bool
	Kind                   traigo.CancelKind
	Scope, Task            string
	IsValue, HasType       bool
	Left                   int
	IsCanceled, IsDeadline bool
	Err                    string
}

// asks says "asks KEY", waits for its context, and returns what it sees in the cause.
var asks = register(temporal.Func("asks", func(ctx context.Context, key string) (asked, error) {
	say("asks %s", key)
	<-ctx.Done()
	cause := context.Cause(ctx)
	a := asked{
		Text: cause.Error(), IsValue: errors.Is(cause, errCancel), Err: ctx.Err().Error(),
		IsCanceled: errors.Is(cause, context.Canceled), IsDeadline: errors.Is(cause, context.DeadlineExceeded),
	}
	if c, ok := errors.AsType[*traigo.Cancellation](cause); ok {
		a.HasCancellation, a.Kind, a.Scope, a.Task = true, c.Kind, c.Scope, c.Task
	}
	if q, ok := errors.AsType[*quotaError](cause); ok {
		a.HasType, a.Left = true, q.Left
	}
	return a, nil
}))

func TestCauseReachesTheFunction(t *testing.T) {
	t.Parallel()
	queue := queueOf(t)
	w := startWorker(t, queue)
	tests := map[string]struct {
		end         func(above, s *traigo.Scope, task *traigo.Task)
		kind        traigo.CancelKind
		scope, task string
		isValue     bool
		left        int
		isDeadline  bool
	}{
		"task, value": {
			end:  func(_, _ *traigo.Scope, task *traigo.Task) { task.Cancel(errCancel) },
			kind: traigo.Requested, scope: "above/owner", task: "above/owner/asking", isValue: true,
		},
		"task, type": {
			end:  func(_, _ *traigo.Scope, task *traigo.Task) { task.Cancel(&quotaError{3}) },
			kind: traigo.Requested, scope: "above/owner", task: "above/owner/asking", left: 3,
		},
		"scope, value": {
			end:  func(_, s *traigo.Scope, _ *traigo.Task) { s.Cancel(errCancel) },
			kind: traigo.Requested, scope: "above/owner", isValue: true,
		},
		"scope, nothing": {
			end:  func(_, s *traigo.Scope, _ *traigo.Task) { s.Cancel(nil) },
			kind: traigo.Requested, scope: "above/owner",
		},
		"sibling": {
			end: func(_, s *traigo.Scope, _ *traigo.Task) {
				s.Spawn(func(context.Context) error { return &quotaError{4} }, traigo.Name("sibling"))
			},
			kind: traigo.TaskFailed, scope: "above/owner", task: "above/owner/sibling", left: 4,
		},
		"scope, timeout": {
			end:  func(_, s *traigo.Scope, _ *traigo.Task) { s.SetTimeout(time.Millisecond) },
			kind: traigo.TimedOut, scope: "above/owner", isDeadline: true,
		},
		"scope above": {
			end:  func(above, _ *traigo.Scope, _ *traigo.Task) { above.Cancel(errCancel) },
			kind: traigo.Requested, scope: "above", isValue: true,
		},
	}
	e := connect(t)
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			above := traigo.New(t.Context(), traigo.Name("above"))
			s := above.Fork(traigo.Name("owner"))
			r, err := temporal.Open(s, e, queue, temporal.Lease(longLease))
			require.NoError(t, err)
			result := make(chan asked, 1)
			task := s.Spawn(func(ctx context.Context) error {
				a, err := asks.Run(ctx, r, name)
				result <- a
				return err
			}, traigo.Name("asking"))
			w.await(t, "asks "+name)
			test.end(above, s, task)
			require.NoError(t, ended(t, task))
			a := <-result
			t.Log(a.Text)
			require.True(t, a.HasCancellation)
			require.Equal(t, test.kind, a.Kind)
			require.Equal(t, test.scope, a.Scope)
			require.Equal(t, test.task, a.Task)
			require.Equal(t, test.isValue, a.IsValue)
			require.Equal(t, test.left, a.Left)
			require.Equal(t, test.isDeadline, a.IsDeadline)
			require.Equal(t, !test.isDeadline, a.IsCanceled)
			if test.isDeadline {
				require.Equal(t, context.DeadlineExceeded.Error(), a.Err)
			} else {
				require.Equal(t, context.Canceled.Error(), a.Err)
			}
			above.Cancel(nil)
			_ = above.Close()
		})
	}
}

func TestCancellationOfOneTaskLeavesOthersAlone(t *testing.T) {
	t.Parallel()
	queue := queueOf(t)
	var j journal
	wait := waiting(&j)
	workHere(t, queue, wait)
	require.NoError(t, owning(t, queue, func(_ context.Context, _ *traigo.Scope, r *temporal.Remote) error {
		one, other := wait.Spawn(r, "one"), wait.Spawn(r, "other")
		j.await(t, "begun one")
		j.await(t, "begun other")
		one.Cancel(errCancel)
		require.ErrorIs(t, ended(t, one), errCancel)
		require.NotContains(t, j.all(), "ended other")
		require.NotEqual(t, traigo.Ended, other.State())
		other.Cancel(nil)
		return nil
	}))
}

// The bound is that of a machine with much else to do; on an idle one it takes tens of milliseconds.
func TestCancellationIsPushed(t *testing.T) {
	t.Parallel()
	queue := queueOf(t)
	begun, heard := make(chan struct{}), make(chan time.Time, 1)
	wait := temporal.Func("hear", func(ctx context.Context, _ int) (int, error) {
		begun <- struct{}{}
		<-ctx.Done()
		heard <- time.Now()
		return 0, context.Cause(ctx)
	})
	workHere(t, queue, wait)
	require.NoError(t, owning(t, queue, func(_ context.Context, _ *traigo.Scope, r *temporal.Remote) error {
		var fastest time.Duration
		for range 5 {
			task := wait.Spawn(r, 0)
			<-begun
			since := time.Now()
			task.Cancel(nil)
			if took := (<-heard).Sub(since); fastest == 0 || took < fastest {
				fastest = took
			}
			_ = ended(t, task)
		}
		t.Log("the fastest of 5 took", fastest)
		require.Less(t, fastest, 5*time.Second)
		return nil
	}))
}

func TestCancellationIsNotWorthAWarning(t *testing.T) {
	queue := queueOf(t)
	records := logged(t)
	var j journal
	wait := waiting(&j)
	workHere(t, queue, wait)
	require.NoError(t, owning(t, queue, func(_ context.Context, s *traigo.Scope, r *temporal.Remote) error {
		task := wait.Spawn(r, "task")
		j.await(t, "begun task")
		task.Cancel(nil)
		_ = ended(t, task)
		task = wait.Spawn(r, "scope")
		j.await(t, "begun scope")
		s.Cancel(nil)
		_ = ended(t, task)
		return nil
	}))
	require.Empty(t, records.having("level=WARN"))
	require.Empty(t, records.having("level=ERROR"))
}
