package traigo_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo"
)

// In each row something ends the scope first. Everything else that could end it happens
// after that, and changes nothing.
func TestFirstCauseDecidesTheOutcome(t *testing.T) {
	rows := []struct {
		name  string
		opts  []traigo.ScopeOption
		end   func(s *traigo.Scope, outer context.CancelCauseFunc) // ends the scope at 1 s; nil: its end comes by itself
		body  error                                                // what the body returns at 1 s
		first error                                                // Err of the outcome; nil: there is no error
	}{
		{"task", nil, func(s *traigo.Scope, _ context.CancelCauseFunc) {
			s.Spawn(fail, traigo.Name("first"))
		}, nil, &traigo.TaskError{Task: "first", Err: errBoom}},
		{"body", nil, nil, errBoom, errBoom},
		{"Cancel", nil, func(s *traigo.Scope, _ context.CancelCauseFunc) { s.Cancel(errBoom) }, nil, errBoom},
		{"timeout", []traigo.ScopeOption{traigo.Timeout(time.Second)}, nil, nil,
			&traigo.TimeoutError{Scope: "server", After: time.Second}},
		{"parent", nil, func(_ *traigo.Scope, outer context.CancelCauseFunc) { outer(errBoom) }, nil, errBoom},

		{"Cancel(nil)", nil, func(s *traigo.Scope, _ context.CancelCauseFunc) { s.Cancel(nil) }, nil, nil},
		{"master", nil, func(s *traigo.Scope, _ context.CancelCauseFunc) {
			s.Spawn(succeed, traigo.Master(true))
		}, nil, nil},
		{"nothing left", nil, nil, nil, nil},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				outer, cancel := context.WithCancelCause(t.Context())
				var s *traigo.Scope
				err := traigo.Run(outer, func(_ context.Context, scope *traigo.Scope) error {
					s = scope
					// It fails a second after the scope has been canceled.
					s.Spawn(cleaning(time.Second, errLate), traigo.Name("late"), traigo.Awaited(false))
					time.AfterFunc(1500*time.Millisecond, func() {
						assert.Equal(t, traigo.Canceling, s.State())
						s.Cancel(errOuter)
						s.Cancel(nil)
						cancel(errOuter)
					})
					time.Sleep(time.Second)
					if row.end != nil {
						row.end(s, cancel)
					}
					synctest.Wait()
					return row.body
				}, append(row.opts, traigo.Name("server"), discard())...)
				require.NotErrorIs(t, err, errOuter, "a later cancellation changes nothing")
				if row.first == nil {
					require.NoError(t, err)
					return
				}
				e := outcome(t, err)
				if row.name == "parent" {
					assert.NotNil(t, cancellation(e.Err, traigo.ParentCanceled))
					require.ErrorIs(t, e.Err, errBoom)
				} else {
					assert.Equal(t, row.first, e.Err)
				}
				assert.Equal(t, []error{&traigo.TaskError{Task: "late", Err: errLate}}, e.Others)
			})
		})
	}
}

func TestCauseIsRecordedBeforeAnythingIsCanceled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for range 20 {
			s := traigo.New(t.Context(), traigo.Name("server"))
			child := s.Fork(discard())
			for _, scope := range []*traigo.Scope{s, child} {
				for range 5 {
					// It fails as soon as it is canceled, which is after the first cause.
					scope.Spawn(func(ctx context.Context) error {
						<-ctx.Done()
						assert.Equal(t, traigo.Canceling, s.State())
						for _, ctx := range []context.Context{ctx, s.Context()} {
							why := cancellation(context.Cause(ctx), traigo.TaskFailed)
							if assert.NotNil(t, why, "%v", context.Cause(ctx)) {
								assert.Equal(t, "server/first", why.Task)
							}
						}
						_, ok := s.TrySpawn(succeed)
						assert.False(t, ok)
						s.Cancel(errLate)
						return errLate
					})
				}
			}
			synctest.Wait()
			s.Spawn(fail, traigo.Name("first"))
			<-s.Done()
			require.Equal(t, &traigo.TaskError{Task: "first", Err: errBoom}, outcome(t, s.Err()).Err)
			require.NotNil(t, cancellation(outcome(t, child.Err()).Err, traigo.ParentCanceled))
		}
	})
}

// outers are the kinds of contexts that a scope may be opened under, each with the
// function that cancels it.
var outers = []struct {
	name  string
	open  func(t *testing.T) (ctx context.Context, cancel func())
	cause error
}{
	{"context", func(t *testing.T) (context.Context, func()) {
		ctx, cancel := context.WithCancelCause(t.Context())
		return ctx, func() { cancel(errOuter) }
	}, errOuter},
	{"foreign context", func(t *testing.T) (context.Context, func()) {
		ctx := &customContext{Context: t.Context(), done: make(chan struct{})}
		return ctx, func() { ctx.end(context.Canceled) }
	}, context.Canceled},
	{"below a foreign context", func(t *testing.T) (context.Context, func()) {
		ctx := &customContext{Context: t.Context(), done: make(chan struct{})}
		return traigo.New(ctx).Context(), func() { ctx.end(context.Canceled) }
	}, context.Canceled},
	{"scope", func(t *testing.T) (context.Context, func()) {
		s := traigo.New(t.Context())
		return s.Context(), func() { s.Cancel(errOuter) }
	}, errOuter},
	{"derived from a scope", func(t *testing.T) (context.Context, func()) {
		ctx, cancel := context.WithCancelCause(traigo.New(t.Context()).Context())
		return ctx, func() { cancel(errOuter) }
	}, errOuter},
	{"task", func(t *testing.T) (context.Context, func()) {
		s := traigo.New(t.Context())
		got := make(chan context.Context)
		task := s.Spawn(func(ctx context.Context) error { got <- ctx; return untilCanceled(ctx) })
		return <-got, func() { task.Cancel(errOuter) }
	}, errOuter},
}

// The functions cancel the parent as the last thing that they do. So the scope may not
// have been canceled yet when it decides what has ended it.
func TestParentThatIsAlreadyCanceledWins(t *testing.T) {
	rows := []struct {
		name string
		body func(s *traigo.Scope, cancelOuter func()) error
		also error // kept beside the parent's cancellation
	}{
		{"nothing left", func(_ *traigo.Scope, cancelOuter func()) error { cancelOuter(); return nil }, nil},
		{"body failed", func(_ *traigo.Scope, cancelOuter func()) error { cancelOuter(); return errBoom }, errBoom},
		{"task failed", func(s *traigo.Scope, cancelOuter func()) error {
			s.Spawn(func(context.Context) error { cancelOuter(); return errBoom })
			return nil
		}, errBoom},
		{"last task ended", func(s *traigo.Scope, cancelOuter func()) error {
			s.Spawn(func(context.Context) error { cancelOuter(); return nil })
			return nil
		}, nil},
		{"master ended", func(s *traigo.Scope, cancelOuter func()) error {
			<-s.Spawn(func(context.Context) error { cancelOuter(); return nil }, traigo.Master(true)).Done()
			return nil
		}, nil},
		{"Cancel(err)", func(s *traigo.Scope, cancelOuter func()) error { cancelOuter(); s.Cancel(errLate); return nil }, nil},
		{"Cancel(nil)", func(s *traigo.Scope, cancelOuter func()) error { cancelOuter(); s.Cancel(nil); return nil }, nil},
		{"canceled before", nil, nil},
	}
	for _, outer := range outers {
		for _, row := range rows {
			t.Run(outer.name+"/"+row.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					ctx, cancel := outer.open(t)
					if row.body == nil {
						cancel()
					}
					err := traigo.Run(ctx, func(_ context.Context, s *traigo.Scope) error {
						if row.body == nil {
							return nil
						}
						return row.body(s, cancel)
					})
					e := outcome(t, err)
					assert.NotNil(t, cancellation(e.Err, traigo.ParentCanceled), "%v", err)
					require.ErrorIs(t, e.Err, outer.cause)
					require.ErrorIs(t, e.Err, context.Canceled)
					require.NotErrorIs(t, err, errLate)
					if row.also != nil {
						require.Len(t, e.Others, 1)
						require.ErrorIs(t, e.Others[0], row.also)
					} else {
						assert.Empty(t, e.Others)
					}
				})
			})
		}
	}
}

func TestOfTwoDeadlinesAtOneInstantTheAncestorsWins(t *testing.T) {
	const d = 2 * time.Second
	wait := func(ctx context.Context, s *traigo.Scope) error {
		s.Spawn(untilCanceled)
		return untilCanceled(ctx)
	}
	below := func(s *traigo.Scope) error {
		s.Spawn(untilCanceled)
		return s.Wait()
	}
	limit, name := traigo.Timeout(d), traigo.Name("lower")
	// Each row returns the outcome of a scope called lower. Its timeout, and the deadline of
	// what it is under, are both at d.
	rows := []struct {
		name string
		run  func(t *testing.T) error
	}{
		{"context over Run", func(t *testing.T) error {
			ctx, cancel := context.WithTimeout(t.Context(), d)
			defer cancel()
			return traigo.Run(ctx, wait, limit, name)
		}},
		{"foreign context over Run", func(t *testing.T) error {
			inner, cancel := context.WithTimeout(t.Context(), d)
			defer cancel()
			return traigo.Run(hidden{inner}, wait, limit, name)
		}},
		{"Run over Run", func(t *testing.T) (inner error) {
			e := outcome(t, traigo.Run(t.Context(), func(ctx context.Context, _ *traigo.Scope) error {
				inner = traigo.Run(ctx, wait, limit, name)
				return inner
			}, limit, traigo.Name("upper"), discard()))
			assert.Equal(t, []error{&traigo.TimeoutError{Scope: "upper", After: d}}, e.Unwrap())
			return inner
		}},
		{"New over Fork", func(t *testing.T) error {
			return below(traigo.New(t.Context(), limit, discard()).Fork(limit, name))
		}},
		{"New over New", func(t *testing.T) error {
			return below(traigo.New(traigo.New(t.Context(), limit, discard()).Context(), limit, name))
		}},
		{"New over New over Fork", func(t *testing.T) error {
			return below(traigo.New(traigo.New(t.Context(), limit, discard()).Context(), limit).Fork(limit, name))
		}},
		{"set later on the upper", func(t *testing.T) error {
			upper := traigo.New(t.Context(), discard())
			lower := upper.Fork(limit, name)
			time.Sleep(time.Second)
			upper.SetTimeout(d - time.Second)
			return below(lower)
		}},
		{"set later on the lower", func(t *testing.T) error {
			lower := traigo.New(t.Context(), limit, discard()).Fork(name)
			time.Sleep(time.Second)
			lower.SetTimeout(d - time.Second)
			return below(lower)
		}},
		{"task over Run", func(t *testing.T) (inner error) {
			s := traigo.New(t.Context(), discard())
			s.Spawn(func(ctx context.Context) error {
				inner = traigo.Run(ctx, wait, limit, name)
				return nil
			}, limit)
			assert.NoError(t, s.Wait())
			return inner
		}},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				err := row.run(t)
				assert.Equal(t, d, time.Since(start))
				e := outcome(t, err)
				assert.NotNil(t, cancellation(e.Err, traigo.ParentCanceled), "%v", err)
				require.ErrorIs(t, err, context.DeadlineExceeded)
				assert.Empty(t, e.Others)
				if timeout, ok := errors.AsType[*traigo.TimeoutError](err); ok {
					assert.NotContains(t, timeout.Scope, "lower")
				}
			})
		})
	}
}

// hidden is a context that hides from package context which context it was made from.
type hidden struct {
	context.Context //nolint:containedctx // it is one
}

func (hidden) Value(any) any { return nil }

func TestOfATasksAndItsScopesDeadlineTheScopesWins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := traigo.New(t.Context(), traigo.Timeout(time.Second), traigo.Name("server"), discard())
		task := s.Spawn(untilCanceled, traigo.Timeout(time.Second))
		e := outcome(t, s.Wait())
		assert.Equal(t, []error{&traigo.TimeoutError{Scope: "server", After: time.Second}}, e.Unwrap())
		assert.Equal(t, context.DeadlineExceeded, task.Err(), "what the function returned")
	})
}

func TestScopeEndsWithItsMaster(t *testing.T) {
	second := func(result error) func(context.Context) error {
		return func(context.Context) error { time.Sleep(time.Second); return result }
	}
	tired := func(ctx context.Context) error {
		traigo.CurrentTask(ctx).Cancel(errBoom)
		return ctx.Err()
	}
	rows := []struct {
		name string
		fn   func(context.Context) error
		opts []traigo.TaskOption
		want []error // of the outcome
	}{
		{"success", second(nil), nil, nil},
		{"failure", second(errBoom), nil, []error{&traigo.TaskError{Task: "master", Err: errBoom}}},
		{"failure that does not bubble", second(errBoom), []traigo.TaskOption{traigo.Bubble(false)}, nil},
		{"failure for a callback", second(errBoom), []traigo.TaskOption{traigo.OnDone(func(error) {})}, nil},
		{"canceled alone", func(ctx context.Context) error { _ = second(nil)(ctx); return tired(ctx) }, nil, nil},
		{"not awaited", second(nil), []traigo.TaskOption{traigo.Awaited(false)}, nil},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				s := traigo.New(t.Context(), traigo.Name("server"))
				other := s.Spawn(untilCanceled)
				s.Spawn(row.fn, append(row.opts, traigo.Master(true), traigo.Name("master"))...)
				<-s.Done() // although nobody finalizes
				assert.Equal(t, time.Second, time.Since(start))
				require.ErrorIs(t, other.Err(), context.Canceled, "the rest is canceled")
				if row.want == nil {
					require.NoError(t, s.Err())
				} else {
					assert.Equal(t, row.want, outcome(t, s.Err()).Unwrap())
				}
			})
		})
	}
}

func TestMasterEndsTheBodyToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		require.NoError(t, traigo.Run(t.Context(), func(ctx context.Context, s *traigo.Scope) error {
			s.Spawn(func(ctx context.Context) error { return traigo.Sleep(ctx, time.Second) }, traigo.Master(true))
			<-ctx.Done()
			assert.Equal(t, time.Second, time.Since(start))
			return ctx.Err()
		}))
	})
}

func TestTaskIsNoMasterByDefault(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, opts := range [][]traigo.TaskOption{nil, {traigo.Master(false)}} {
			s := traigo.New(t.Context())
			require.NoError(t, s.Spawn(succeed, opts...).Wait(t.Context()))
			synctest.Wait()
			assert.Equal(t, traigo.Open, s.State())
			require.NoError(t, s.Close())
		}
	})
}

// The end of the master also ends the context with which the others wait for it.
func TestWaiterOnTheMasterReceivesItsTrueResult(t *testing.T) {
	rows := []struct {
		name    string
		result  error
		bubbles bool
	}{
		{"success", nil, true},
		{"failure", errBoom, true},
		{"failure that does not bubble", errBoom, false},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				for range 20 {
					err := traigo.Run(t.Context(), func(ctx context.Context, s *traigo.Scope) error {
						master := traigo.Async(s, func(ctx context.Context) (int, error) {
							_ = traigo.Sleep(ctx, time.Second)
							return 42, row.result
						}, traigo.Master(true), traigo.Bubble(row.bubbles))
						for range 5 {
							s.Spawn(func(ctx context.Context) error {
								assert.Equal(t, row.result, master.Task().Wait(ctx))
								return nil
							})
							s.Spawn(func(ctx context.Context) error {
								_, err := master.Await(ctx)
								assert.Equal(t, row.result, err)
								return nil
							})
						}
						_, err := master.Await(ctx)
						assert.Equal(t, row.result, err)
						// The context is done now, and Await still returns the result.
						<-ctx.Done()
						_, err = master.Await(ctx)
						assert.Equal(t, row.result, err)
						return nil
					})
					if row.result != nil && row.bubbles {
						require.ErrorIs(t, err, errBoom)
					} else {
						require.NoError(t, err)
					}
				}
			})
		})
	}
}

func TestTaskThatNobodyAwaitsDoesNotKeepAScopeAlive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		var (
			told  time.Duration
			cause error
			ended bool
		)
		require.NoError(t, traigo.Run(t.Context(), func(_ context.Context, s *traigo.Scope) error {
			s.Spawn(func(ctx context.Context) error {
				<-ctx.Done()
				told, cause = time.Since(start), context.Cause(ctx)
				time.Sleep(time.Second)
				ended = true
				return ctx.Err()
			}, traigo.Awaited(false))
			s.Spawn(lasting(time.Minute), traigo.Awaited(true))
			return nil
		}))
		assert.Equal(t, time.Minute, told, "it is canceled when the rest is done, not before")
		assert.NotNil(t, cancellation(cause, traigo.Completed), "%v", cause)
		assert.True(t, ended, "it is joined")
		assert.Equal(t, time.Minute+time.Second, time.Since(start))
	})
}

func TestTaskThatNobodyAwaitsRunsInAnOpenScope(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := traigo.New(t.Context())
		background := s.Spawn(untilCanceled, traigo.Awaited(false))
		time.Sleep(time.Hour)
		assert.False(t, closed(background.Done()))
		start := time.Now()
		require.NoError(t, s.Wait())
		assert.Zero(t, time.Since(start))
	})
}

func TestTaskThatNobodyAwaitsBubbles(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := traigo.New(t.Context())
		s.Spawn(untilCanceled)
		s.Spawn(failing(time.Second, errBoom), traigo.Awaited(false), traigo.Name("background"))
		s.Finalize()
		<-s.Done()
		assert.Equal(t, []error{&traigo.TaskError{Task: "background", Err: errBoom}}, outcome(t, s.Err()).Unwrap())
	})
}
