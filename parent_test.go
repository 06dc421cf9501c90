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

// unkindred is a context that package context knows nothing of: what is derived
// from it learns of its end a little later.
type unkindred struct {
	context.Context //nolint:containedctx // it is one
	done            chan struct{}
}

func (c unkindred) Done() <-chan struct{} { return c.done }

func (unkindred) Value(any) any { return nil }

func (c unkindred) Err() error {
	if closed(c.done) {
		return context.Canceled
	}
	return nil
}

// outers are all that a scope may be under, with what ends each.
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
		ctx := unkindred{t.Context(), make(chan struct{})}
		return ctx, func() { close(ctx.done) }
	}, context.Canceled},
	{"below a foreign context", func(t *testing.T) (context.Context, func()) {
		ctx := unkindred{t.Context(), make(chan struct{})}
		return traigo.New(ctx).Context(), func() { close(ctx.done) }
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

// Nothing lies between the parent's cancellation and the decision but the end
// of a function: the scope may not have heard of it yet.
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
	// Each gives the outcome of a scope called lower, due at d like what it is under.
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

// hidden is a context whose kin package context cannot see.
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
