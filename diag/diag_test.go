package diag_test

import (
	"context"
	"runtime"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/diag"
)

// The contexts of tasks and bodies have the values of the context outside, and end as
// they do without a wrapper: what is derived from them ends with them, for the same
// cause, and costs no goroutine.
func TestWrappersLeaveContextsAsTheyAre(t *testing.T) {
	type (
		key      struct{}
		otherKey struct{}
	)
	other := func(ctx context.Context, next func(context.Context) error) error {
		return next(context.WithValue(ctx, otherKey{}, true))
	}
	check := func(t *testing.T, ctx context.Context, value string, want error, cancel func()) {
		assert.Equal(t, value, ctx.Value(key{}))
		assert.Nil(t, ctx.Value("nothing"))
		synctest.Wait() // until what ran before has ended
		goroutines := runtime.NumGoroutine()
		derived, stop := context.WithCancel(ctx)
		defer stop()
		detached, stop := context.WithCancel(ctx)
		stop()
		called := make(chan struct{})
		context.AfterFunc(ctx, func() { close(called) })
		if ctx.Value(otherKey{}) == nil { // a context of WithValue costs a goroutine, whatever is around it
			assert.LessOrEqual(t, runtime.NumGoroutine(), goroutines)
		}
		cancel()
		<-called
		<-derived.Done()
		assert.ErrorIs(t, context.Cause(derived), want)
		assert.NotErrorIs(t, context.Cause(detached), want)
	}
	test := func(name string, wrappers ...traigo.Wrapper) {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				opts := []traigo.ScopeOption{quiet()}
				for _, w := range wrappers {
					opts = append(opts, traigo.Wrap(w))
				}
				ctx := context.WithValue(t.Context(), key{}, "scope")
				assert.ErrorIs(t, traigo.Run(ctx, func(ctx context.Context, s *traigo.Scope) error {
					task := s.Spawn(func(ctx context.Context) error {
						check(t, ctx, "task", errBoom, func() { traigo.CurrentTask(ctx).Cancel(errBoom) })
						return nil
					}, traigo.Values(context.WithValue(t.Context(), key{}, "task")))
					assert.NoError(t, task.Wait(ctx))
					check(t, ctx, "scope", errOuter, func() { s.Cancel(errOuter) })
					return nil
				}, opts...), errOuter)
			})
		})
	}
	test("labels", diag.PprofLabels)
	test("labels inside of another", other, diag.PprofLabels)
	recordTrace(t, func() {
		test("traces", diag.RuntimeTrace)
		test("both", diag.PprofLabels, diag.RuntimeTrace, diag.PprofLabels)
	})
}

func TestWrappersOutsideOfAScopeOnlyCallNext(t *testing.T) {
	next := func(ctx context.Context) error {
		assert.Equal(t, t.Context(), ctx)
		return errBoom
	}
	assert.Empty(t, recordTrace(t, func() {
		assert.Equal(t, errBoom, diag.PprofLabels(t.Context(), next))
		assert.Equal(t, errBoom, diag.RuntimeTrace(t.Context(), next))
	}))
}

// A panic of the function arrives with its own value and stack.
func TestWrappersLetPanicsPass(t *testing.T) {
	recordTrace(t, func() {
		synctest.Test(t, func(t *testing.T) {
			err := traigo.Run(t.Context(), func(_ context.Context, s *traigo.Scope) error {
				s.Spawn(func(context.Context) error { panicHere(); return nil })
				return nil
			}, traigo.Wrap(diag.PprofLabels), traigo.Wrap(diag.RuntimeTrace), traigo.PanicAsError(), quiet())
			var p *traigo.PanicError
			require.ErrorAs(t, err, &p)
			assert.Equal(t, errBoom, p.Recovered.Value)
			assert.Contains(t, string(p.Recovered.Stack), "diag_test.panicHere")
		})
	})
}

func panicHere() { panic(errBoom) }
