package traigo_test

import (
	"context"
	"maps"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo"
)

// everywhere opens one of each place that a scope's cancellation reaches and
// returns their contexts. All that it starts ends with the scope.
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

// derive derives two contexts from that of a place, the second from the first.
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
		for _, place := range []string{"body", "scope", "task", "task nobody awaits"} {
			assert.Equal(t, context.DeadlineExceeded, places[place].Err(), place)
		}
	})
}

func TestCauseOfAnOuterContextReachesEverythingAsItIs(t *testing.T) {
	rows := []struct {
		name  string
		outer func(t *testing.T) (context.Context, func())
		err   error
		cause error
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
				require.ErrorIs(t, err, row.cause)
				for place, ctx := range places {
					assert.Equal(t, row.err, ctx.Err(), place)
					assert.Equal(t, row.cause, context.Cause(ctx), place)
				}
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
