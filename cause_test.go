package traigo_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo"
)

// everywhere opens, in s, one of each thing that the cancellation of s has to reach, and
// returns their contexts. All that it opens ends with s.
func everywhere(t *testing.T, ctx context.Context, s *traigo.Scope) map[string]context.Context {
	t.Helper()
	places := map[string]context.Context{"body": ctx, "scope": s.Context()}
	got := make(chan context.Context)
	park := func(ctx context.Context) error {
		got <- ctx
		return untilCanceled(ctx)
	}
	started := func(task *traigo.Task) context.Context {
		assert.NotNil(t, task)
		return <-got
	}
	places["task"] = started(s.Spawn(park))
	places["task nobody awaits"] = started(s.Spawn(park, traigo.Awaited(false)))
	places["task with a timeout"] = started(s.Spawn(park, traigo.Timeout(time.Hour)))
	places["task with values"] = started(s.Spawn(park, traigo.Values(context.Background())))

	s.Spawn(func(ctx context.Context) error {
		return traigo.Run(ctx, func(ctx context.Context, below *traigo.Scope) error {
			got <- ctx
			below.Spawn(park)
			return untilCanceled(ctx)
		}, traigo.Name("run"))
	})
	places["body of Run below"], places["task of Run below"] = <-got, <-got

	forked := s.Fork(traigo.Name("fork"))
	places["fork"], places["task of fork"] = forked.Context(), started(forked.Spawn(park))
	opened := traigo.New(places["task"], traigo.Name("new"), traigo.Timeout(time.Hour))
	places["New below"], places["task of New below"] = opened.Context(), started(opened.Spawn(park))
	deep := opened.Fork().Fork()
	places["deep below"], places["task deep below"] = deep.Context(), started(deep.Spawn(park))

	derived := map[string]context.Context{}
	for name, ctx := range places {
		maps.Copy(derived, derive(t, name, ctx))
	}
	maps.Copy(places, derived)
	return places
}

// derive returns a context derived from that of a place, and another derived from that.
func derive(t *testing.T, place string, ctx context.Context) map[string]context.Context {
	t.Helper()
	type key struct{}
	withCancel, cancel := context.WithCancel(ctx)
	t.Cleanup(cancel)
	withTimeout, stop := context.WithTimeout(context.WithValue(withCancel, key{}, 1), time.Hour)
	t.Cleanup(stop)
	return map[string]context.Context{place + ": WithCancel": withCancel, place + ": WithTimeout": withTimeout}
}

func TestCauseOfAScopeReachesEverythingInIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var places map[string]context.Context
		err := traigo.Run(t.Context(), func(ctx context.Context, s *traigo.Scope) error {
			places = everywhere(t, ctx, s)
			for place, ctx := range places {
				assert.NoError(t, ctx.Err(), place)
				assert.NoError(t, context.Cause(ctx), place)
			}
			s.Spawn(fail, traigo.Name("work"))
			return untilCanceled(ctx)
		}, traigo.Name("server"))
		require.ErrorIs(t, err, errBoom)
		for place, ctx := range places {
			assert.Equal(t, context.Canceled, ctx.Err(), place)
			cause := context.Cause(ctx)
			assert.ErrorIs(t, cause, errBoom, place)
			assert.ErrorIs(t, cause, context.Canceled, place)
			var c *traigo.Cancellation
			assert.ErrorAs(t, cause, &c, place)
			why := cancellation(cause, traigo.TaskFailed)
			if assert.NotNil(t, why, "%s: %v", place, cause) {
				assert.Equal(t, "server", why.Scope, place)
				assert.Equal(t, "server/work", why.Task, place)
				assert.ErrorIs(t, why, errBoom, place)
			}
		}
	})
}

func TestTimeoutOfAScopeReachesEverythingInIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var places map[string]context.Context
		err := traigo.Run(t.Context(), func(ctx context.Context, s *traigo.Scope) error {
			places = everywhere(t, ctx, s)
			return untilCanceled(ctx)
		}, traigo.Name("server"), traigo.Timeout(time.Second), discard())
		require.ErrorIs(t, err, context.DeadlineExceeded)
		for place, ctx := range places {
			assert.Equal(t, context.DeadlineExceeded, ctx.Err(), place)
			cause := context.Cause(ctx)
			assert.ErrorIs(t, cause, context.DeadlineExceeded, place)
			var timeout *traigo.TimeoutError
			if assert.ErrorAs(t, cause, &timeout, place) {
				assert.Equal(t, "server", timeout.Scope, place)
			}
			why := cancellation(cause, traigo.TimedOut)
			if assert.NotNil(t, why, "%s: %v", place, cause) {
				assert.Equal(t, "server", why.Scope, place)
				assert.Empty(t, why.Task, place)
			}
		}
	})
}

// The outcome has that cause wrapped in a *Cancellation.
func TestCauseOfAnOuterContextReachesEverythingAsItIs(t *testing.T) {
	rows := []struct {
		name  string
		outer func(t *testing.T) (context.Context, func())
		err   error // what ctx.Err() of the outer context returns
		cause error // what its cause is, or wraps
	}{
		{"canceled with a cause", func(t *testing.T) (context.Context, func()) {
			ctx, cancel := context.WithCancelCause(t.Context())
			return ctx, func() { cancel(errOuter) }
		}, context.Canceled, errOuter},
		{"canceled", func(t *testing.T) (context.Context, func()) {
			return context.WithCancel(t.Context())
		}, context.Canceled, context.Canceled},
		{"deadline", func(t *testing.T) (context.Context, func()) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			t.Cleanup(cancel)
			return ctx, func() { time.Sleep(time.Second) }
		}, context.DeadlineExceeded, context.DeadlineExceeded},
		{"deadline with a cause", func(t *testing.T) (context.Context, func()) {
			ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, errOuter)
			t.Cleanup(cancel)
			return ctx, func() { time.Sleep(time.Second) }
		}, context.DeadlineExceeded, errOuter},
		{"scope", func(t *testing.T) (context.Context, func()) {
			s := traigo.New(t.Context())
			return s.Context(), func() { s.Cancel(errOuter) }
		}, context.Canceled, errOuter},
		{"scope's timeout", func(t *testing.T) (context.Context, func()) {
			s := traigo.New(t.Context(), traigo.Timeout(time.Second), discard())
			return s.Context(), func() { time.Sleep(time.Second) }
		}, context.DeadlineExceeded, context.DeadlineExceeded},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				outer, cancel := row.outer(t)
				var places map[string]context.Context
				err := traigo.Run(outer, func(ctx context.Context, s *traigo.Scope) error {
					places = everywhere(t, ctx, s)
					cancel()
					return untilCanceled(ctx)
				})
				for place, ctx := range places {
					assert.Equal(t, row.err, ctx.Err(), place)
					assert.Equal(t, context.Cause(outer), context.Cause(ctx), place)
				}
				require.ErrorIs(t, context.Cause(outer), row.cause)

				e := outcome(t, err)
				assert.Empty(t, e.Others)
				why := as[*traigo.Cancellation](t, e.Err)
				require.Same(t, e.Err, why)
				assert.Equal(t, traigo.ParentCanceled, why.Kind)
				require.ErrorIs(t, err, row.err)
				require.ErrorIs(t, err, row.cause)
				assert.Equal(t, errors.Is(row.err, context.DeadlineExceeded), errors.Is(err, context.DeadlineExceeded))
			})
		})
	}
}

func TestContextDerivedAfterTheCancellationHasTheCause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := traigo.New(t.Context(), traigo.Name("server"))
		s.Spawn(func(ctx context.Context) error {
			<-ctx.Done()
			derived, cancel := context.WithTimeout(ctx, time.Hour)
			defer cancel()
			assert.Equal(t, context.Canceled, derived.Err())
			assert.ErrorIs(t, context.Cause(derived), errBoom)
			assert.NotNil(t, cancellation(context.Cause(derived), traigo.Requested))
			return nil
		})
		synctest.Wait()
		s.Cancel(errBoom)
		require.ErrorIs(t, s.Wait(), errBoom)
	})
}

func TestCauseTellsWhatEndedTheScope(t *testing.T) {
	rows := []struct {
		kind traigo.CancelKind
		opts []traigo.ScopeOption
		body func(s *traigo.Scope) error
		task string // path
		err  error
	}{
		{traigo.TaskFailed, nil, func(s *traigo.Scope) error {
			s.Spawn(fail, traigo.Name("work"))
			return untilCanceled(s.Context())
		}, "server/work", errBoom},
		{traigo.TaskFailed, nil, func(s *traigo.Scope) error {
			s.Spawn(fail, traigo.Name("work"), traigo.Master(true))
			return untilCanceled(s.Context())
		}, "server/work", errBoom},
		{traigo.BodyFailed, nil, func(*traigo.Scope) error { return errBoom }, "", errBoom},
		{traigo.Requested, nil, func(s *traigo.Scope) error { s.Cancel(errBoom); return nil }, "", errBoom},
		{traigo.Requested, nil, func(s *traigo.Scope) error { s.Cancel(nil); return nil }, "", nil},
		{traigo.TimedOut, []traigo.ScopeOption{traigo.Timeout(time.Second)}, func(s *traigo.Scope) error {
			return untilCanceled(s.Context())
		}, "", context.DeadlineExceeded},
		{traigo.MasterEnded, nil, func(s *traigo.Scope) error {
			s.Spawn(succeed, traigo.Name("work"), traigo.Master(true))
			return untilCanceled(s.Context())
		}, "server/work", nil},
		{traigo.Completed, nil, func(*traigo.Scope) error { return nil }, "", nil},
	}
	for _, row := range rows {
		t.Run(row.kind.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var ctxErr, cause error
				_ = traigo.Run(t.Context(), func(_ context.Context, s *traigo.Scope) error {
					s.Spawn(func(ctx context.Context) error {
						<-ctx.Done()
						ctxErr, cause = ctx.Err(), context.Cause(ctx)
						return nil
					}, traigo.Awaited(false))
					synctest.Wait()
					return row.body(s)
				}, append(row.opts, traigo.Name("server"), discard())...)
				why := cancellation(cause, row.kind)
				require.NotNil(t, why, "%v", cause)
				assert.Equal(t, "server", why.Scope)
				assert.Equal(t, row.task, why.Task)
				require.ErrorIs(t, cause, ctxErr)
				if row.err != nil {
					require.ErrorIs(t, cause, row.err)
				} else {
					require.NoError(t, why.Err)
				}
			})
		})
	}
}

// errCause is the cause of the cancellations below. It wraps another error, which by
// itself is not the cause.
var (
	errWithin = errors.New("within")
	errCause  = fmt.Errorf("cause: %w", errWithin)
)

// afterCancellation has what a canceled task may return, and whether the scope keeps that
// because it is more than a consequence of the cancellation.
var afterCancellation = []struct {
	name    string
	returns func(ctx context.Context) error
	kept    bool
}{
	{"nil", succeed, false},
	{"ctx.Err()", context.Context.Err, false},
	{"context.Cause", context.Cause, false},
	{"the cause itself", func(context.Context) error { return errCause }, false},
	{"a Cancellation", func(context.Context) error { return &traigo.Cancellation{Kind: traigo.Requested} }, false},
	{"wrapped", func(ctx context.Context) error { return fmt.Errorf("read: %w", ctx.Err()) }, false},
	{"wrapped cause", func(context.Context) error { return fmt.Errorf("read: %w", errCause) }, false},
	{"joined", func(ctx context.Context) error { return errors.Join(ctx.Err(), errCause, context.Cause(ctx)) }, false},
	{"joined twice", func(ctx context.Context) error {
		return errors.Join(fmt.Errorf("read: %w", errors.Join(ctx.Err(), errCause)), fmt.Errorf("%w, %w", ctx.Err(), context.Cause(ctx)))
	}, false},
	{"outcome of a Run", func(ctx context.Context) error {
		return traigo.Run(ctx, func(ctx context.Context, s *traigo.Scope) error {
			s.Spawn(untilCanceled)
			return untilCanceled(ctx)
		})
	}, false},

	{"real", fail, true},
	{"real, joined", func(ctx context.Context) error { return errors.Join(ctx.Err(), errBoom) }, true},
	{"real, wrapped beside", func(ctx context.Context) error { return fmt.Errorf("%w, then %w", errCause, errBoom) }, true},
	{"real, deep", func(ctx context.Context) error {
		return errors.Join(ctx.Err(), fmt.Errorf("read: %w", errors.Join(context.Cause(ctx), errBoom)))
	}, true},
	{"real, in the outcome of a Run", func(ctx context.Context) error {
		return traigo.Run(ctx, func(context.Context, *traigo.Scope) error { return errBoom })
	}, true},
	{"within the cause", func(context.Context) error { return errWithin }, true},
	{"text of the cause", func(context.Context) error { return errors.New(errCause.Error()) }, true},
	{"not what ctx.Err() returned", func(context.Context) error { return context.DeadlineExceeded }, true},
	{"uncomparable", func(context.Context) error { return uncomparable{"real"} }, true},
	{"uncomparable, joined", func(ctx context.Context) error { return errors.Join(ctx.Err(), uncomparable{"real"}) }, true},
}

// spawnOne spawns a task that, a second after it has been canceled, returns what its row
// says. So it ends when the end of its scope has been decided.
func spawnOne(s *traigo.Scope, returns func(context.Context) error) *traigo.Task {
	task := s.Spawn(func(ctx context.Context) error {
		<-ctx.Done()
		time.Sleep(time.Second)
		return returns(ctx)
	}, traigo.Name("work"))
	synctest.Wait()
	return task
}

func TestConsequencesOfATasksOwnCancelAreDropped(t *testing.T) {
	for _, row := range afterCancellation {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := traigo.New(t.Context())
				task := spawnOne(s, row.returns)
				task.Cancel(errCause)
				<-task.Done()
				synctest.Wait()
				if !row.kept {
					assert.Equal(t, traigo.Open, s.State())
					require.NoError(t, s.Wait())
					return
				}
				require.True(t, closed(s.Done()), "a real error bubbles")
				want := &traigo.TaskError{Task: "work", Err: task.Err()} // the whole of it
				assert.Equal(t, []error{want}, outcome(t, s.Err()).Unwrap())
			})
		})
	}
}

func TestConsequencesOfTheScopesCancellationAreDropped(t *testing.T) {
	// Each way opens a scope, cancels it, and checks the first error of its outcome.
	ways := []struct {
		name  string
		under func(t *testing.T) (*traigo.Scope, func())
		first func(t *testing.T, first error)
	}{
		{"Cancel", func(t *testing.T) (*traigo.Scope, func()) {
			s := traigo.New(t.Context())
			return s, func() { s.Cancel(errCause) }
		}, func(t *testing.T, first error) { assert.Equal(t, errCause, first) }},
		{"outer context", func(t *testing.T) (*traigo.Scope, func()) {
			ctx, cancel := context.WithCancelCause(t.Context())
			return traigo.New(ctx), func() { cancel(errCause) }
		}, func(t *testing.T, first error) { assert.NotNil(t, cancellation(first, traigo.ParentCanceled)) }},
		{"parent scope", func(t *testing.T) (*traigo.Scope, func()) {
			parent := traigo.New(t.Context())
			return parent.Fork(), func() { parent.Cancel(errCause) }
		}, func(t *testing.T, first error) { assert.NotNil(t, cancellation(first, traigo.ParentCanceled)) }},
	}
	for _, way := range ways {
		for _, row := range afterCancellation {
			t.Run(way.name+"/"+row.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					s, cancel := way.under(t)
					task := spawnOne(s, row.returns)
					cancel()
					e := outcome(t, s.Wait())
					way.first(t, e.Err)
					if row.kept {
						assert.Equal(t, []error{&traigo.TaskError{Task: "work", Err: task.Err()}}, e.Others)
					} else {
						assert.Empty(t, e.Others)
					}
				})
			})
		}
	}
}

func TestConsequencesOfATimeoutAreDropped(t *testing.T) {
	rows := []struct {
		name    string
		returns func(ctx context.Context) error
		kept    bool
	}{
		{"ctx.Err()", context.Context.Err, false},
		{"the constant", func(context.Context) error { return context.DeadlineExceeded }, false},
		{"context.Cause", context.Cause, false},
		{"joined", func(ctx context.Context) error { return errors.Join(ctx.Err(), context.Cause(ctx)) }, false},
		{"real", fail, true},
		{"not what ctx.Err() returned", func(context.Context) error { return context.Canceled }, true},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := traigo.New(t.Context(), traigo.Timeout(time.Second), discard())
				task := spawnOne(s, row.returns)
				e := outcome(t, s.Wait())
				require.Same(t, e.Err, as[*traigo.TimeoutError](t, e.Err))
				if row.kept {
					assert.Equal(t, []error{&traigo.TaskError{Task: "work", Err: task.Err()}}, e.Others)
				} else {
					assert.Empty(t, e.Others)
				}
			})
		})
	}
}

func TestCancellationErrorsOfATaskThatNobodyCanceledAreOrdinary(t *testing.T) {
	for _, err := range []error{
		context.Canceled,
		context.DeadlineExceeded,
		&traigo.Cancellation{Kind: traigo.Requested, Scope: "elsewhere"},
		fmt.Errorf("client: %w", context.Canceled),
	} {
		t.Run(err.Error(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				s := traigo.New(t.Context())
				s.Spawn(func(ctx context.Context) error { return traigo.Sleep(ctx, time.Hour) })
				s.Spawn(func(context.Context) error { return err }, traigo.Name("work"))
				e := outcome(t, s.Wait())
				assert.Equal(t, []error{&traigo.TaskError{Task: "work", Err: err}}, e.Unwrap())
				assert.Zero(t, time.Since(start), "it cancels the scope")
			})
		})
	}
}

func TestCancellationOfAnotherScopeIsAnOrdinaryError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		other := traigo.New(t.Context(), traigo.Name("other"))
		s := traigo.New(t.Context())
		s.Spawn(func(context.Context) error {
			<-other.Context().Done()
			return context.Cause(other.Context())
		})
		synctest.Wait()
		other.Cancel(nil)
		require.NoError(t, other.Wait())
		err := s.Wait()
		require.Error(t, err)
		why := cancellation(err, traigo.Requested)
		require.NotNil(t, why, "%v", err)
		assert.Equal(t, "other", why.Scope)
	})
}

func TestUncomparableCauseDoesNoHarm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cause := uncomparable{"cause"}
		s := traigo.New(t.Context())
		alone := s.Spawn(untilCanceled)
		s.Spawn(func(ctx context.Context) error { <-ctx.Done(); return context.Cause(ctx) })
		// Whether this error is the cause cannot be found out by ==.
		s.Spawn(func(ctx context.Context) error { <-ctx.Done(); return cause }, traigo.Bubble(false))
		synctest.Wait()
		alone.Cancel(cause)
		<-alone.Done()
		s.Cancel(cause)
		e := outcome(t, s.Wait())
		assert.Equal(t, []error{cause}, e.Unwrap())
	})
}

func TestCancellationIsWhatTheContextReturned(t *testing.T) {
	requested := &traigo.Cancellation{Kind: traigo.Requested, Err: errBoom}
	require.ErrorIs(t, requested, context.Canceled)
	require.NotErrorIs(t, requested, context.DeadlineExceeded)
	require.ErrorIs(t, requested, errBoom)
	timedOut := &traigo.Cancellation{Kind: traigo.TimedOut}
	require.ErrorIs(t, timedOut, context.DeadlineExceeded)
	require.NotErrorIs(t, timedOut, context.Canceled)
}
