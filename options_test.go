package traigo_test

import (
	"context"
	"reflect"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo"
)

func TestBadInputPanicsAtTheCall(t *testing.T) {
	type ctxt = context.Context
	rows := []struct {
		name string
		call func(ctx context.Context, s *traigo.Scope)
	}{
		{"Run nil", func(ctx ctxt, _ *traigo.Scope) { _ = traigo.Run(ctx, nil) }},
		{"Spawn nil", func(_ ctxt, s *traigo.Scope) { s.Spawn(nil) }},
		{"TrySpawn nil", func(_ ctxt, s *traigo.Scope) { _, _ = s.TrySpawn(nil) }},
		{"Start nil", func(ctx ctxt, s *traigo.Scope) { _, _ = s.Start(ctx, nil) }},
		{"Async nil", func(_ ctxt, s *traigo.Scope) { traigo.Async[int](s, nil) }},
		{"OnDone nil", func(_ ctxt, s *traigo.Scope) { s.Spawn(succeed, traigo.OnDone(nil)) }},
		{"Blocking nil", func(_ ctxt, s *traigo.Scope) { s.Spawn(traigo.Blocking(nil)) }},
		{"MoveOnAfter nil", func(ctx ctxt, _ *traigo.Scope) { _, _ = traigo.MoveOnAfter(ctx, time.Second, nil) }},
		{"FailAfter nil", func(ctx ctxt, _ *traigo.Scope) { _ = traigo.FailAfter(ctx, time.Second, nil) }},
		{"Shield nil", func(ctx ctxt, _ *traigo.Scope) { _ = traigo.Shield(ctx, time.Second, nil) }},

		{"Spawn Timeout", func(_ ctxt, s *traigo.Scope) { s.Spawn(succeed, traigo.Timeout(-1)) }},
		{"Fork Timeout", func(_ ctxt, s *traigo.Scope) { s.Fork(traigo.Timeout(-1)) }},
		{"Spawn CancelTimeout", func(_ ctxt, s *traigo.Scope) { s.Spawn(succeed, traigo.CancelTimeout(-1)) }},
		{"New CancelTimeout", func(ctx ctxt, _ *traigo.Scope) { traigo.New(ctx, traigo.CancelTimeout(-1)) }},
		{"SetTimeout", func(_ ctxt, s *traigo.Scope) { s.SetTimeout(-1) }},
		{"MoveOnAfter", func(ctx ctxt, _ *traigo.Scope) { _, _ = traigo.MoveOnAfter(ctx, -1, succeed) }},
		{"FailAfter", func(ctx ctxt, _ *traigo.Scope) { _ = traigo.FailAfter(ctx, -1, succeed) }},
		{"Shield", func(ctx ctxt, _ *traigo.Scope) { _ = traigo.Shield(ctx, -1, succeed) }},
		{"Sleep", func(ctx ctxt, _ *traigo.Scope) { _ = traigo.Sleep(ctx, -1) }},

		{"Run no context", func(ctxt, *traigo.Scope) { _ = traigo.Run(nil, emptyBody) }},                  //nolint:staticcheck // on purpose
		{"New no context", func(ctxt, *traigo.Scope) { traigo.New(nil) }},                                 //nolint:staticcheck // on purpose
		{"Start no context", func(_ ctxt, s *traigo.Scope) { _, _ = s.Start(nil, nil) }},                  //nolint:staticcheck // on purpose
		{"Shutdown no context", func(_ ctxt, s *traigo.Scope) { _ = s.Shutdown(nil) }},                    //nolint:staticcheck // on purpose
		{"Wait no context", func(_ ctxt, s *traigo.Scope) { _ = s.Spawn(succeed).Wait(nil) }},             //nolint:staticcheck // on purpose
		{"Await no context", func(_ ctxt, s *traigo.Scope) { _, _ = traigo.Async(s, answer).Await(nil) }}, //nolint:staticcheck // on purpose
		{"Sleep no context", func(ctxt, *traigo.Scope) { _ = traigo.Sleep(nil, 0) }},                      //nolint:staticcheck // on purpose
		{"Shield no context", func(ctxt, *traigo.Scope) { _ = traigo.Shield(nil, 0, succeed) }},           //nolint:staticcheck // on purpose
		{"Current no context", func(ctxt, *traigo.Scope) { traigo.Current(nil) }},                         //nolint:staticcheck // on purpose
		{"Values no context", func(_ ctxt, s *traigo.Scope) { s.Spawn(succeed, traigo.Values(nil)) }},     //nolint:staticcheck // on purpose
		{"Observe nil", func(ctx ctxt, _ *traigo.Scope) { traigo.New(ctx, traigo.Observe(nil)) }},
		{"Logger nil", func(ctx ctxt, _ *traigo.Scope) { traigo.New(ctx, traigo.Logger(nil)) }},
		{"Spawn nil option", func(_ ctxt, s *traigo.Scope) { s.Spawn(succeed, nil) }},
		{"Fork nil option", func(_ ctxt, s *traigo.Scope) { s.Fork(nil) }},
		{"zero Scope", func(ctxt, *traigo.Scope) { new(traigo.Scope).Spawn(succeed) }},
		{"Limit 0", func(ctx ctxt, _ *traigo.Scope) { traigo.New(ctx, traigo.Limit(0)) }},
		{"Limit -1", func(ctx ctxt, _ *traigo.Scope) { traigo.New(ctx, traigo.Limit(-1)) }},
		{"Async nil scope", func(ctxt, *traigo.Scope) { traigo.Async(nil, answer) }},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := traigo.New(t.Context())
				requireMisuse(t, func() { row.call(t.Context(), s) })
				require.NoError(t, s.Spawn(succeed).Wait(t.Context()))
				require.NoError(t, s.Wait(), "the scope is unharmed")
			})
		})
	}
}

// Through reflection, so that a method that is added is not forgotten.
func TestEveryMethodOfANilScopePanics(t *testing.T) {
	none := reflect.ValueOf(traigo.Current(t.Context()))
	require.True(t, none.IsNil())
	require.NotZero(t, none.NumMethod())
	for i := range none.NumMethod() {
		if none.Type().Method(i).Name == "CheckInvariants" {
			continue // the tests' own
		}
		t.Run(none.Type().Method(i).Name, func(t *testing.T) {
			method := none.Method(i).Type()
			// Good arguments: nothing but the receiver is to be complained of.
			var args []reflect.Value
			for in := range method.Ins() {
				switch {
				case method.IsVariadic() && len(args) == method.NumIn()-1:
				case in == reflect.TypeFor[context.Context]():
					args = append(args, reflect.ValueOf(t.Context()))
				case in.Kind() == reflect.Func:
					args = append(args, reflect.MakeFunc(in, func([]reflect.Value) []reflect.Value {
						return []reflect.Value{reflect.Zero(in.Out(0))}
					}))
				default:
					args = append(args, reflect.Zero(in))
				}
			}
			requireMisuse(t, func() { none.Method(i).Call(args) })
		})
	}
}

func TestTimeoutZeroMeansNone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		require.NoError(t, traigo.Run(t.Context(), func(ctx context.Context, s *traigo.Scope) error {
			_, limited := ctx.Deadline()
			assert.False(t, limited)
			s.Spawn(func(ctx context.Context) error {
				_, limited := ctx.Deadline()
				assert.False(t, limited)
				return traigo.Sleep(ctx, 1000*time.Hour)
			}, traigo.Timeout(0))
			return nil
		}, traigo.Timeout(0)))
		assert.Equal(t, 1000*time.Hour, time.Since(start))
	})
}
