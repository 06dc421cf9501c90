package traigo_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"slices"
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
	{"says so by Is", func(context.Context) error { return leafError{context.Canceled} }, false},
	{"says so by Is, wrapped", func(context.Context) error {
		return &net.OpError{Op: "dial", Net: "tcp", Err: leafError{context.Canceled}}
	}, false},
	{"a wide tree", func(ctx context.Context) error { return errors.Join(slices.Repeat([]error{ctx.Err()}, 1000)...) }, false},
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
	{"says by Is that it is another", func(context.Context) error { return leafError{context.DeadlineExceeded} }, true},
	{"contains itself", func(context.Context) error { return &endlessError{} }, true},
	{"contains itself twice", func(context.Context) error { return &endlessTwiceError{} }, true},
	{"a timeout elsewhere", func(context.Context) error { return &traigo.TimeoutError{Scope: "elsewhere", After: time.Second} }, true},
	{"uncomparable", func(context.Context) error { return uncomparable{"real"} }, true},
	{"uncomparable, joined", func(ctx context.Context) error { return errors.Join(ctx.Err(), uncomparable{"real"}) }, true},
}

// leafError wraps nothing, and says what it is by Is, as the errors of package net do.
type leafError struct{ target error }

func (leafError) Error() string { return "operation was canceled" }

func (e leafError) Is(target error) bool { return target == e.target }

// endlessError is an error whose tree has no end.
type endlessError struct{ _ int }

func (*endlessError) Error() string { return "contains itself" }

func (e *endlessError) Unwrap() error { return e }

// endlessTwiceError is one with more nodes at each depth.
type endlessTwiceError struct{ _ int }

func (*endlessTwiceError) Error() string { return "contains itself twice" }

func (e *endlessTwiceError) Unwrap() []error { return []error{e, e} }

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
		{"says so by Is", func(context.Context) error { return leafError{context.DeadlineExceeded} }, false},
		{"real", fail, true},
		{"not what ctx.Err() returned", func(context.Context) error { return context.Canceled }, true},
		{"says by Is that it is another", func(context.Context) error { return leafError{context.Canceled} }, true},
		{"a timeout elsewhere", func(context.Context) error { return &traigo.TimeoutError{Scope: "elsewhere", After: time.Second} }, true},
		{"contains itself", func(context.Context) error { return &endlessError{} }, true},
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

// An error whose tree has no end, or too many ways through it, is a failure like any other,
// also where nobody has canceled anything.
func TestErrorWithAnEndlessTreeDoesNoHarm(t *testing.T) {
	wide := context.Canceled
	for range 40 {
		wide = errors.Join(wide, wide)
	}
	for name, err := range map[string]error{
		"contains itself":       &endlessError{},
		"contains itself twice": &endlessTwiceError{},
		"two to the 40 ways":    wide,
	} {
		for how, row := range map[string]struct {
			task func(context.Context) error
			opts []traigo.TaskOption
			end  func(task *traigo.Task)
		}{
			"at once":         {func(context.Context) error { return err }, nil, func(*traigo.Task) {}},
			"own cancel":      {cleaning(0, err), nil, func(task *traigo.Task) { task.Cancel(nil) }},
			"own timeout":     {cleaning(0, err), []traigo.TaskOption{traigo.Timeout(time.Second)}, func(*traigo.Task) {}},
			"scope is failed": {cleaning(0, err), nil, func(task *traigo.Task) { task.Scope().Cancel(errBoom) }},
		} {
			t.Run(name+"/"+how, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					s := traigo.New(t.Context(), discard())
					task := s.Spawn(row.task, row.opts...)
					synctest.Wait()
					row.end(task)
					<-s.Done()
					assert.True(t, task.Failed())
					_ = outcome(t, s.Err())
				})
			})
		}
	}
}

// What == cannot compare is the cause if it is equal to it in depth.
func TestUncomparableCauseIsKnownByItsContent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := traigo.New(t.Context())
		task := s.Spawn(cleaning(0, uncomparable{"cause"}))
		synctest.Wait()
		task.Cancel(uncomparable{"cause"})
		require.NoError(t, s.Wait())
		assert.False(t, task.Failed())

		ctx, cancel := context.WithCancelCause(t.Context())
		err := traigo.Run(ctx, func(ctx context.Context, _ *traigo.Scope) error {
			cancel(uncomparable{"cause"})
			<-ctx.Done()
			return context.Cause(ctx)
		})
		assert.Empty(t, outcome(t, err).Others)
	})
}

// The errors of a real connection, whose deadline and dial are of a context that is done.
func TestErrorsOfPackageNetAreConsequences(t *testing.T) {
	s := traigo.New(t.Context())
	task := s.Spawn(func(ctx context.Context) error {
		<-ctx.Done()
		_, err := (&net.Dialer{}).DialContext(ctx, "tcp", "127.0.0.1:1")
		return err
	})
	task.Cancel(nil)
	require.NoError(t, s.Wait())
	assert.False(t, task.Failed())
	require.Same(t, task.Err(), as[*net.OpError](t, task.Err()), "as it was returned")
}

// A context that the user derives from a task's has its cause, and a scope below has it too.
func TestCauseIsTheSameThroughDerivedContexts(t *testing.T) {
	cleanup := func(ctx context.Context, err error) error {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		return traigo.Run(ctx, func(_ context.Context, s *traigo.Scope) error {
			s.Spawn(cleaning(0, err))
			return nil
		})
	}
	// A context that ends with the other's cause, and is not derived from it.
	handOn := func(ctx context.Context) context.Context {
		other, cancel := context.WithCancelCause(context.Background())
		context.AfterFunc(ctx, func() { cancel(context.Cause(ctx)) })
		return other
	}
	for name, row := range map[string]struct {
		task   func(ctx context.Context) error
		end    func(s *traigo.Scope)
		others int
	}{
		"handed on":                    {func(ctx context.Context) error { return cleanup(handOn(ctx), errBoom) }, func(s *traigo.Scope) { s.Cancel(errBoom) }, 0},
		"handed on, another error":     {func(ctx context.Context) error { return cleanup(handOn(ctx), errLate) }, func(s *traigo.Scope) { s.Cancel(errBoom) }, 1},
		"handed on, the same sentinel": {func(ctx context.Context) error { return cleanup(handOn(ctx), errBoom) }, func(s *traigo.Scope) { s.Spawn(fail) }, 1},
		"the cause":                    {func(ctx context.Context) error { return cleanup(ctx, errBoom) }, func(s *traigo.Scope) { s.Cancel(errBoom) }, 0},
		"another error":                {func(ctx context.Context) error { return cleanup(ctx, errLate) }, func(s *traigo.Scope) { s.Cancel(errBoom) }, 1},
		"the same sentinel":            {func(ctx context.Context) error { return cleanup(ctx, errBoom) }, func(s *traigo.Scope) { s.Spawn(fail) }, 1},
		"a cause of its own": {func(ctx context.Context) error {
			derived, cancel := context.WithCancelCause(ctx)
			cancel(errLate)
			<-ctx.Done()
			return context.Cause(derived)
		}, func(s *traigo.Scope) { s.Cancel(errBoom) }, 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := traigo.New(t.Context())
				s.Spawn(row.task)
				synctest.Wait()
				row.end(s)
				assert.Len(t, outcome(t, s.Wait()).Others, row.others)
			})
		})
	}
}

func TestSecondTaskWithTheSameSentinelHasFailedToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := traigo.New(t.Context())
		second := s.Spawn(cleaning(0, errBoom), traigo.Name("second"))
		synctest.Wait()
		s.Spawn(fail, traigo.Name("first"))
		e := outcome(t, s.Wait())
		assert.Equal(t, []error{&traigo.TaskError{Task: "first", Err: errBoom}, &traigo.TaskError{Task: "second", Err: errBoom}}, e.Unwrap())
		assert.True(t, second.Failed())
	})
}

// Two cancellations explain the error of the task: its own, and that of its scope.
func TestConsequencesOfTwoCancellationsAreDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := traigo.New(t.Context())
		task := s.Spawn(cleaning(time.Second, errors.Join(errLate, errOuter)))
		synctest.Wait()
		task.Cancel(errLate)
		s.Cancel(errOuter)
		assert.Empty(t, outcome(t, s.Wait()).Others)
		assert.False(t, task.Failed())
	})
}

// A body that returns what it got from waiting adds nothing if the outcome has that error,
// and is what tells of it if the outcome does not.
func TestBodyThatReturnsWhatItGotFromWaiting(t *testing.T) {
	wait := func(task *traigo.Task) error { return task.Wait(context.Background()) }
	await := func(f *traigo.Future[int]) error {
		_, err := f.Await(context.Background())
		return err
	}
	for name, row := range map[string]struct {
		body func(s *traigo.Scope, cancelOuter func()) error
		errs []error // each in the outcome, once
	}{
		"the first failure": {func(s *traigo.Scope, _ func()) error { return wait(s.Spawn(fail)) }, []error{errBoom}},
		"a second failure": {func(s *traigo.Scope, _ func()) error {
			s.Spawn(failing(time.Second, errBoom))
			return wait(s.Spawn(failing(2*time.Second, errLate)))
		}, []error{errBoom, errLate}},
		"a second, of its cleanup": {func(s *traigo.Scope, _ func()) error {
			second := s.Spawn(cleaning(0, errLate))
			s.Spawn(fail)
			return wait(second)
		}, []error{errBoom, errLate}},
		"after the parent's end": {func(s *traigo.Scope, cancelOuter func()) error {
			task := s.Spawn(cleaning(0, errLate))
			cancelOuter()
			return wait(task)
		}, []error{errOuter, errLate}},
		"a future that bubbles": {func(s *traigo.Scope, _ func()) error { return await(traigo.Async(s, noAnswer, traigo.Bubble(true))) }, []error{errBoom}},
		"a future":              {func(s *traigo.Scope, _ func()) error { return await(traigo.Async(s, noAnswer)) }, []error{errBoom}},
		"a future that joined the outcome": {func(s *traigo.Scope, _ func()) error {
			f := traigo.Async(s, noAnswer)
			synctest.Wait()
			s.Cancel(nil)
			return await(f)
		}, []error{errBoom}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancelCause(t.Context())
				defer cancel(nil)
				err := traigo.Run(ctx, func(_ context.Context, s *traigo.Scope) error {
					return row.body(s, func() { cancel(errOuter) })
				}, discard())
				e := outcome(t, err)
				assert.Len(t, e.Others, len(row.errs)-1, "%v", err)
				for _, want := range row.errs {
					require.ErrorIs(t, err, want)
				}
			})
		})
	}
}

func TestBodyThatReturnsAnUncomparableErrorOrAPanicAddsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, fn := range []func(context.Context) error{failing(0, uncomparable{"a"}), panicking("on purpose")} {
			var s *traigo.Scope
			raised(func() {
				_ = traigo.Run(t.Context(), func(_ context.Context, own *traigo.Scope) error {
					s = own
					return own.Spawn(fn).Wait(context.Background())
				}, discard())
			})
			assert.Empty(t, outcome(t, s.Err()).Others)
		}
	})
}

func TestBodyThatReturnsAStuckErrorAddsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release, free := newRelease()
		defer free()
		err := traigo.Run(t.Context(), func(_ context.Context, s *traigo.Scope) error {
			task := s.Spawn(deaf(release))
			s.Cancel(errBoom)
			return task.Wait(context.Background())
		}, traigo.CancelTimeout(time.Second), discard())
		assert.Len(t, outcome(t, err).Others, 1, "%v", err)
		assert.Len(t, stuckTasks(err), 1)
	})
}

// Errors as other packages make them when they are told to stop.

// likeExitError has the shape of *exec.ExitError: the process was killed, and nothing that
// it wraps says why.
type likeExitError struct{ signal string }

func (e *likeExitError) Error() string { return "signal: " + e.signal }

// likeStatusError has the shape of an error of gRPC: a code that is read by a function.
type likeStatusError struct{ code uint32 }

func (e *likeStatusError) Error() string { return fmt.Sprintf("rpc error: code = %d", e.code) }

func (e *likeStatusError) Code() uint32 { return e.code }

// A CanceledIf function knows errors that nothing else tells to be consequences.
func TestCanceledIfDropsErrorsAfterACancellationOnly(t *testing.T) {
	isClosed := func(err error) bool { return err == net.ErrClosed } //nolint:errorlint // a leaf
	isKilled := func(err error) bool {
		exit, ok := err.(*likeExitError) //nolint:errorlint // a leaf
		return ok && exit.signal == "killed"
	}
	isStatus := func(err error) bool {
		status, ok := err.(interface{ Code() uint32 })
		return ok && status.Code() == 1
	}
	for name, row := range map[string]struct {
		is          func(error) bool
		told, other error // what is a consequence, what is not
	}{
		"closed connection": {isClosed, &net.OpError{Op: "read", Net: "tcp", Err: net.ErrClosed}, &net.OpError{Op: "read", Net: "tcp", Err: io.ErrUnexpectedEOF}},
		"process":           {isKilled, fmt.Errorf("convert: %w", &likeExitError{"killed"}), &likeExitError{"segmentation fault"}},
		"status":            {isStatus, &likeStatusError{1}, &likeStatusError{13}},
	} {
		option := traigo.CanceledIf(row.is)
		others := func(t *testing.T, err error, opts ...traigo.ScopeOption) []error {
			t.Helper()
			s := traigo.New(t.Context(), opts...)
			s.Spawn(cleaning(0, err))
			synctest.Wait()
			s.Cancel(errBoom)
			return outcome(t, s.Wait()).Others
		}
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				assert.Len(t, others(t, row.told), 1, "nobody knows it")
				assert.Empty(t, others(t, row.told, option))
				assert.Empty(t, others(t, errors.Join(row.told, context.Canceled), option), "as one of several")
				assert.Len(t, others(t, row.other, option), 1)
				assert.Len(t, others(t, errors.Join(row.told, row.other), option), 1, "a real error among them")

				s := traigo.New(t.Context(), option)
				task := s.Spawn(cleaning(0, row.told))
				synctest.Wait()
				task.Cancel(nil)
				require.NoError(t, s.Wait(), "canceled alone")
				assert.False(t, task.Failed())
				assert.Equal(t, row.told, task.Err(), "as it was returned")

				err := traigo.Run(t.Context(), func(ctx context.Context, s *traigo.Scope) error {
					s.Cancel(nil)
					<-ctx.Done()
					return row.told
				}, option)
				require.NoError(t, err, "the body's")

				asked := false
				s = traigo.New(t.Context(), traigo.CanceledIf(func(err error) bool { asked = true; return row.is(err) }))
				s.Spawn(failing(0, row.told))
				require.ErrorIs(t, s.Wait(), row.told, "nobody has canceled it")
				assert.False(t, asked)
			})
		})
	}
}

// The functions of the scope and of those above are asked, the scope's own first, and not
// those of scopes below.
func TestCanceledIfIsAskedFromTheScopeUpward(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked []string
		know := func(name string, answer bool) traigo.ScopeOption {
			return traigo.CanceledIf(func(error) bool { asked = append(asked, name); return answer })
		}
		root := traigo.New(t.Context(), know("root", true))
		below := root.Fork(know("below", false))
		_ = below.Fork(know("further below", true))
		task := below.Spawn(cleaning(0, errLate))
		synctest.Wait()
		below.Cancel(errBoom)
		<-task.Done()
		assert.False(t, task.Failed())
		assert.Equal(t, []string{"below", "root"}, slices.Compact(asked))
		assert.Empty(t, outcome(t, below.Wait()).Others)
		require.NoError(t, root.Close())
	})
}

func TestCanceledIfThatPanicsMakesAFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := traigo.New(t.Context(), traigo.CanceledIf(func(error) bool { panic("on purpose") }))
		s.Spawn(cleaning(0, errLate))
		synctest.Wait()
		s.Cancel(errBoom)
		require.Len(t, outcome(t, s.Wait()).Others, 1)
	})
}
