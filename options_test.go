package traigo_test

import (
	"context"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo"
)

// A wrong call panics with a message that names the call, and changes nothing. Methods of
// a nil *Scope or *Task are in the next test.
func TestBadInputPanicsAtTheCall(t *testing.T) {
	type ctxt = context.Context
	type scope = *traigo.Scope
	var (
		noCtx   context.Context
		noFn    func(context.Context) error
		noJoin  func(context.Context) (int, error)
		noItem  func(context.Context, int) (int, error)
		noScope traigo.ScopeOption
		noTask  traigo.TaskOption
		start   = func(context.Context, func()) error { return nil }
		item    = func(context.Context, int) (int, error) { return 0, nil }
		each    = func(context.Context, int) error { return nil }
		items   = slices.Values([]int{1})
	)
	for _, row := range []struct {
		call  string // the name that the message has to have in it
		wrong string
		do    func(ctx context.Context, s *traigo.Scope)
	}{
		{"Run", "nil body", func(ctx ctxt, _ scope) { _ = traigo.Run(ctx, nil) }},
		{"Spawn", "nil function", func(_ ctxt, s scope) { s.Spawn(noFn) }},
		{"TrySpawn", "nil function", func(_ ctxt, s scope) { s.TrySpawn(noFn) }},
		{"Start", "nil function", func(ctx ctxt, s scope) { _, _ = s.Start(ctx, nil) }},
		{"Async", "nil function", func(_ ctxt, s scope) { traigo.Async(s, noJoin) }},
		{"OnDone", "nil function", func(ctxt, scope) { traigo.OnDone(nil) }},
		{"Blocking", "nil function", func(ctxt, scope) { traigo.Blocking(nil) }},
		{"MoveOnAfter", "nil function", func(ctx ctxt, _ scope) { _, _ = traigo.MoveOnAfter(ctx, 1, noFn) }},
		{"FailAfter", "nil function", func(ctx ctxt, _ scope) { _ = traigo.FailAfter(ctx, 1, noFn) }},
		{"Shield", "nil function", func(ctx ctxt, _ scope) { _ = traigo.Shield(ctx, 1, noFn) }},
		{"All", "nil function", func(ctx ctxt, _ scope) { _, _ = traigo.All(ctx, answer, noJoin) }},
		{"Race", "nil function", func(ctx ctxt, _ scope) { _, _ = traigo.Race(ctx, answer, noJoin) }},
		{"Settle", "nil function", func(ctx ctxt, _ scope) { traigo.Settle(ctx, answer, noJoin) }},
		{"Map", "nil function", func(ctx ctxt, _ scope) { _, _ = traigo.Map(ctx, items, noItem) }},
		{"Map", "nil items", func(ctx ctxt, _ scope) { _, _ = traigo.Map(ctx, nil, item) }},
		{"AsCompleted", "nil function", func(ctx ctxt, _ scope) { traigo.AsCompleted(ctx, items, noItem) }},
		{"AsCompleted", "nil items", func(ctx ctxt, _ scope) { traigo.AsCompleted(ctx, nil, item) }},
		{"Ordered", "nil function", func(ctx ctxt, _ scope) { traigo.Ordered(ctx, items, noItem) }},
		{"Ordered", "nil items", func(ctx ctxt, _ scope) { traigo.Ordered(ctx, nil, item) }},
		{"ForEach", "nil function", func(ctx ctxt, _ scope) { _ = traigo.ForEach[int](ctx, items, nil) }},
		{"ForEach", "nil items", func(ctx ctxt, _ scope) { _ = traigo.ForEach(ctx, nil, each) }},
		{"NameOf", "nil", func(ctxt, scope) { traigo.NameOf(nil) }},
		{"NameOf", "nil function", func(ctxt, scope) { traigo.NameOf(noFn) }},
		{"NameOf", "no function", func(ctxt, scope) { traigo.NameOf(3) }},

		{"Run", "nil context", func(ctxt, scope) { _ = traigo.Run(noCtx, emptyBody) }},
		{"New", "nil context", func(ctxt, scope) { traigo.New(noCtx) }},
		{"Start", "nil context", func(_ ctxt, s scope) { _, _ = s.Start(noCtx, start) }},
		{"Shutdown", "nil context", func(_ ctxt, s scope) { _ = s.Shutdown(noCtx) }},
		{"Wait", "nil context", func(_ ctxt, s scope) { _ = s.Spawn(succeed).Wait(noCtx) }},
		{"Await", "nil context", func(_ ctxt, s scope) { _, _ = traigo.Async(s, answer).Await(noCtx) }},
		{"Current", "nil context", func(ctxt, scope) { traigo.Current(noCtx) }},
		{"CurrentTask", "nil context", func(ctxt, scope) { traigo.CurrentTask(noCtx) }},
		{"Stopping", "nil context", func(ctxt, scope) { traigo.Stopping(noCtx) }},
		{"Values", "nil context", func(ctxt, scope) { traigo.Values(noCtx) }},
		{"MoveOnAfter", "nil context", func(ctxt, scope) { _, _ = traigo.MoveOnAfter(noCtx, 1, succeed) }},
		{"FailAfter", "nil context", func(ctxt, scope) { _ = traigo.FailAfter(noCtx, 1, succeed) }},
		{"Shield", "nil context", func(ctxt, scope) { _ = traigo.Shield(noCtx, 1, succeed) }},
		{"Sleep", "nil context", func(ctxt, scope) { _ = traigo.Sleep(noCtx, 0) }},
		{"All", "nil context", func(ctxt, scope) { _, _ = traigo.All(noCtx, answer) }},
		{"Race", "nil context", func(ctxt, scope) { _, _ = traigo.Race(noCtx, answer) }},
		{"Settle", "nil context", func(ctxt, scope) { traigo.Settle(noCtx, answer) }},
		{"Map", "nil context", func(ctxt, scope) { _, _ = traigo.Map(noCtx, items, item) }},
		{"AsCompleted", "nil context", func(ctxt, scope) { traigo.AsCompleted(noCtx, items, item) }},
		{"Ordered", "nil context", func(ctxt, scope) { traigo.Ordered(noCtx, items, item) }},
		{"ForEach", "nil context", func(ctxt, scope) { _ = traigo.ForEach(noCtx, items, each) }},

		{"Run", "nil option", func(ctx ctxt, _ scope) { _ = traigo.Run(ctx, emptyBody, noScope) }},
		{"New", "nil option", func(ctx ctxt, _ scope) { traigo.New(ctx, noScope) }},
		{"Fork", "nil option", func(_ ctxt, s scope) { s.Fork(noScope) }},
		{"Spawn", "nil option", func(_ ctxt, s scope) { s.Spawn(succeed, noTask) }},
		{"TrySpawn", "nil option", func(_ ctxt, s scope) { s.TrySpawn(succeed, noTask) }},
		{"Start", "nil option", func(ctx ctxt, s scope) { _, _ = s.Start(ctx, start, noTask) }},
		{"Async", "nil option", func(_ ctxt, s scope) { traigo.Async(s, answer, noTask) }},
		{"Map", "nil option", func(ctx ctxt, _ scope) { _, _ = traigo.Map(ctx, items, item, noScope) }},
		{"AsCompleted", "nil option", func(ctx ctxt, _ scope) { traigo.AsCompleted(ctx, items, item, noScope) }},
		{"Ordered", "nil option", func(ctx ctxt, _ scope) { traigo.Ordered(ctx, items, item, noScope) }},
		{"ForEach", "nil option", func(ctx ctxt, _ scope) { _ = traigo.ForEach(ctx, items, each, noScope) }},
		{"Logger", "nil", func(ctxt, scope) { traigo.Logger(nil) }},
		{"Observe", "nil", func(ctxt, scope) { traigo.Observe(nil) }},

		{"Timeout", "negative", func(ctxt, scope) { traigo.Timeout(-1) }},
		{"CancelTimeout", "negative", func(ctxt, scope) { traigo.CancelTimeout(-1) }},
		{"SetTimeout", "negative", func(_ ctxt, s scope) { s.SetTimeout(-1) }},
		{"MoveOnAfter", "negative", func(ctx ctxt, _ scope) { _, _ = traigo.MoveOnAfter(ctx, -1, succeed) }},
		{"FailAfter", "negative", func(ctx ctxt, _ scope) { _ = traigo.FailAfter(ctx, -1, succeed) }},
		{"Shield", "negative", func(ctx ctxt, _ scope) { _ = traigo.Shield(ctx, -1, succeed) }},
		{"Sleep", "negative", func(ctx ctxt, _ scope) { _ = traigo.Sleep(ctx, -1) }},
		{"Wrap", "nil", func(ctxt, scope) { traigo.Wrap(nil) }},
		{"AdmitBefore", "nil context", func(ctxt, scope) { traigo.AdmitBefore(noCtx) }},
		{"Limit", "0", func(ctxt, scope) { traigo.Limit(0) }},
		{"Limit", "negative", func(ctxt, scope) { traigo.Limit(-1) }},

		{"Async", "nil scope", func(ctxt, scope) { traigo.Async(nil, answer) }},
		{"Spawn", "zero scope", func(ctxt, scope) { new(traigo.Scope).Spawn(succeed) }},
		{"Cancel", "zero task", func(ctxt, scope) { new(traigo.Task).Cancel(nil) }},
	} {
		t.Run(row.call+", "+row.wrong, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := traigo.New(t.Context())
				requireMisuse(t, func() { row.do(t.Context(), s) }, row.call)
				require.NoError(t, s.Spawn(succeed).Wait(t.Context()))
				require.NoError(t, s.Wait(), "the scope is unharmed")
			})
		})
	}
}

// The test finds the methods by reflection, so that it has those that are added later.
func TestEveryMethodOfANilScopeOrTaskPanics(t *testing.T) {
	for name, none := range map[string]reflect.Value{
		"Scope": reflect.ValueOf(traigo.Current(t.Context())),
		"Task":  reflect.ValueOf(traigo.CurrentTask(t.Context())),
	} {
		require.True(t, none.IsNil())
		require.NotZero(t, none.NumMethod())
		for i := range none.NumMethod() {
			method := none.Type().Method(i).Name
			if method == "CheckInvariants" {
				continue // of export_test.go
			}
			t.Run(name+"."+method, func(t *testing.T) {
				requireMisuse(t, func() { none.Method(i).Call(goodArguments(t, none.Method(i).Type())) }, method, "nil *"+name)
			})
		}
	}
}

// goodArguments returns arguments for a method of this type, of which none is wrong.
func goodArguments(t *testing.T, method reflect.Type) (args []reflect.Value) {
	t.Helper()
	for in := range method.Ins() {
		switch {
		case method.IsVariadic() && len(args) == method.NumIn()-1: // no options
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
	return args
}

// server has methods to name tasks after.
type server struct{}

func (server) serve(context.Context) error { return nil }

func (*server) stop(context.Context) error { return nil }

func TestNameOfIsTheNameOfTheFunction(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		wrap := func(fn func(context.Context) error) func(context.Context) error {
			return func(ctx context.Context) error { return fn(ctx) }
		}
		s := traigo.New(t.Context(), traigo.NameOf(emptyBody))
		assert.Equal(t, "emptyBody", s.Name())
		assert.Equal(t, "emptyBody/answer", s.Fork(traigo.NameOf(answer)).Path())
		require.NoError(t, traigo.Run(t.Context(), func(_ context.Context, s *traigo.Scope) error {
			assert.Equal(t, "Cut", s.Name())
			return nil
		}, traigo.NameOf(strings.Cut)))

		assert.Contains(t, s.Spawn(wrap(succeed)).Name(), ".func", "the name of the function that wraps")
		for want, fn := range map[string]any{
			"succeed":        succeed,
			"server.serve":   server{}.serve,
			"(*server).stop": new(server).stop,
			"Cut":            strings.Cut,
		} {
			assert.Equal(t, want, s.Spawn(wrap(succeed), traigo.NameOf(fn)).Name())
		}
		assert.Equal(t, "emptyBody/succeed", s.Spawn(wrap(succeed), traigo.NameOf(succeed)).Path())
		assert.Equal(t, "succeed", s.Spawn(wrap(succeed), traigo.Name("named"), traigo.NameOf(succeed)).Name(), "the last one counts")
		assert.Equal(t, "named", s.Spawn(wrap(succeed), traigo.NameOf(succeed), traigo.Name("named")).Name(), "the last one counts")
		assert.Equal(t, "succeed", traigo.Async(s, answer, traigo.NameOf(succeed)).Task().Name())
		require.NoError(t, s.Close())
	})
}
