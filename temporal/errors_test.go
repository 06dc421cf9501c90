package temporal_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/temporal"
)

// fails ends in the way that its argument says.
var fails = register(temporal.Func("fails", func(ctx context.Context, how string) (int, error) {
	switch how {
	case "plain":
		return 0, errors.New("plain")
	case "value":
		return 0, fmt.Errorf("while testing: %w", errCancel)
	case "type":
		return 0, errors.Join(errors.New("first"), &quotaError{9})
	case "known":
		return 0, fmt.Errorf("reading: %w", io.ErrUnexpectedEOF)
	case "task below":
		traigo.Current(ctx).Spawn(func(context.Context) error { return &quotaError{8} }, traigo.Name("below"))
		return 0, nil
	case "task in a scope below":
		return 0, traigo.Run(ctx, func(_ context.Context, s *traigo.Scope) error {
			s.Spawn(func(context.Context) error { return &quotaError{8} }, traigo.Name("below"))
			return nil
		}, traigo.Name("inner"))
	case "panic":
		panicsHere("of the function")
	case "panic with an error":
		panic(&quotaError{10})
	case "panic of a task below":
		traigo.Current(ctx).Spawn(func(context.Context) error { panicsHere("of a task"); return nil }, traigo.Name("below"))
		return 0, nil
	case "panic in a scope below":
		return 0, traigo.Run(ctx, func(_ context.Context, s *traigo.Scope) error {
			s.Spawn(func(context.Context) error { panicsHere("of a task"); return nil }, traigo.Name("below"))
			return nil
		}, traigo.Name("inner"))
	case "goexit":
		runtime.Goexit()
	case "pid":
		return os.Getpid(), nil
	}
	return 0, nil
}, temporal.Retry(3, func(error) bool { return false })))

func panicsHere(value string) { panic(value) }

func TestErrorsOfFunctions(t *testing.T) {
	t.Parallel()
	queue := queueOf(t)
	w := startWorker(t, queue)
	require.NoError(t, owning(t, queue, func(ctx context.Context, _ *traigo.Scope, r *temporal.Remote) error {
		fail := func(how string) *traigo.RemoteError {
			_, err := fails.Run(ctx, r, how)
			remote, ok := err.(*traigo.RemoteError) //nolint:errorlint // it is the error itself
			require.True(t, ok, "%s: %v", how, err)
			require.True(t, strings.HasSuffix(remote.Where, fmt.Sprintf("/%d", w.pid())), remote.Where)
			return remote
		}
		remote := fail("plain")
		require.Equal(t, "*errors.errorString", remote.Type)
		require.Equal(t, "plain", remote.Msg)
		require.Empty(t, remote.Stack)

		remote = fail("value")
		require.Equal(t, "*fmt.wrapError", remote.Type)
		require.Equal(t, "while testing: "+errCancel.Error(), remote.Msg)
		require.ErrorIs(t, remote, errCancel)

		quota, ok := errors.AsType[*quotaError](fail("type"))
		require.True(t, ok)
		require.Equal(t, 9, quota.Left)

		require.ErrorIs(t, fail("known"), io.ErrUnexpectedEOF)

		for _, how := range []string{"task below", "task in a scope below"} {
			remote = fail(how)
			quota, ok = errors.AsType[*quotaError](remote)
			require.True(t, ok, how)
			require.Equal(t, 8, quota.Left)
			ofTask, ok := errors.AsType[*traigo.TaskError](remote)
			require.True(t, ok, how)
			require.Equal(t, "below", ofTask.Task)
		}
		return nil
	}))
}

func TestFailureIsFinal(t *testing.T) {
	t.Parallel()
	queue := queueOf(t)
	var n atomic.Int32
	fail := temporal.Func("fail", func(context.Context, int) (int, error) { n.Add(1); return 0, errCall })
	workHere(t, queue, fail)
	e := connect(t)
	require.NoError(t, owningWith(t, e, queue, func(ctx context.Context, _ *traigo.Scope, r *temporal.Remote) error {
		_, err := fail.Run(ctx, r, 1)
		require.ErrorContains(t, err, errCall.Error())
		return nil
	}))
	require.EqualValues(t, 1, n.Load())
}

func TestPanicsOfFunctions(t *testing.T) {
	t.Parallel()
	queue := queueOf(t)
	w := startWorker(t, queue)
	e := connect(t)
	for how, path := range map[string]string{
		"panic":                  "owner/fails",
		"panic with an error":    "owner/fails",
		"panic of a task below":  "owner/fails/below",
		"panic in a scope below": "owner/fails/inner/below",
	} {
		var task *traigo.Task
		err := owningWith(t, e, queue, func(_ context.Context, _ *traigo.Scope, r *temporal.Remote) error {
			task = fails.Spawn(r, how)
			_ = ended(t, task)
			return nil
		}, traigo.PanicAsError())
		p, ok := errors.AsType[*traigo.PanicError](task.Err())
		require.True(t, ok, "%s: %v", how, task.Err())
		require.Equal(t, path, p.Task)
		require.ErrorIs(t, err, p)
		remote, ok := errors.AsType[*traigo.RemoteError](p)
		require.True(t, ok, "%s: %v", how, p)
		require.True(t, strings.HasSuffix(remote.Where, fmt.Sprintf("/%d", w.pid())), remote.Where)
		if strings.Contains(how, "error") {
			quota, ok := errors.AsType[*quotaError](p)
			require.True(t, ok)
			require.Equal(t, 10, quota.Left)
		} else {
			require.Contains(t, remote.Stack, "panicsHere")
		}

		require.Panics(t, func() {
			_ = owningWith(t, e, queue, func(_ context.Context, _ *traigo.Scope, r *temporal.Remote) error {
				fails.Spawn(r, how)
				return nil
			})
		}, "without PanicAsError, as any panic of a task")
	}
	require.NoError(t, owningWith(t, e, queue, func(ctx context.Context, _ *traigo.Scope, r *temporal.Remote) error {
		pid, err := fails.Run(ctx, r, "pid")
		require.NoError(t, err)
		require.Equal(t, w.pid(), pid, "the worker has survived")
		return nil
	}))
}

func TestPanicIsNotTriedAgain(t *testing.T) {
	t.Parallel()
	queue := queueOf(t)
	var panicked, exited, asked atomic.Int32
	burst := temporal.Func("burst", func(context.Context, int) (int, error) { panicked.Add(1); panic("burst") }, temporal.Retry(5))
	leave := temporal.Func("leave", func(context.Context, int) (int, error) { exited.Add(1); runtime.Goexit(); return 0, nil }, temporal.Retry(5))
	confused := temporal.Func("confused", func(context.Context, int) (int, error) { return 0, errCall },
		temporal.Retry(5, func(error) bool { asked.Add(1); panic("confused") }))
	workHere(t, queue, burst, leave, confused)
	require.NoError(t, owning(t, queue, func(ctx context.Context, _ *traigo.Scope, r *temporal.Remote) error {
		require.Panics(t, func() { _, _ = burst.Run(ctx, r, 1) })
		_, err := leave.Run(ctx, r, 1)
		require.ErrorIs(t, err, traigo.ErrGoexit)
		require.Panics(t, func() { _, _ = confused.Run(ctx, r, 1) }, "that of when is one too")
		return nil
	}))
	require.EqualValues(t, 1, panicked.Load())
	require.EqualValues(t, 1, exited.Load())
	require.EqualValues(t, 1, asked.Load())
}

func TestGoexitOfAFunction(t *testing.T) {
	t.Parallel()
	queue := queueOf(t)
	w := startWorker(t, queue)
	require.NoError(t, owning(t, queue, func(ctx context.Context, _ *traigo.Scope, r *temporal.Remote) error {
		task := fails.Spawn(r, "goexit", traigo.Bubble(false))
		require.ErrorIs(t, ended(t, task), traigo.ErrGoexit)
		pid, err := fails.Run(ctx, r, "pid")
		require.NoError(t, err)
		require.Equal(t, w.pid(), pid)
		return nil
	}))
}

// A bundle is an error whose type can be compared, and whose values cannot.
type bundle struct{ error }

type several []string

func (e several) Error() string { return strings.Join(e, ", ") }

func TestErrorThatCannotBeCompared(t *testing.T) {
	t.Parallel()
	queue := queueOf(t)
	var n atomic.Int32
	f := temporal.Func("bundles", func(context.Context, int) (int, error) {
		n.Add(1)
		return 0, bundle{several{"one", "two"}}
	})
	workHere(t, queue, f)
	require.NoError(t, owning(t, queue, func(ctx context.Context, _ *traigo.Scope, r *temporal.Remote) error {
		_, err := f.Run(ctx, r, 1)
		require.ErrorContains(t, err, "one, two")
		require.NotErrorIs(t, err, temporal.ErrLost)
		require.EqualValues(t, 1, n.Load())
		return nil
	}))
}
