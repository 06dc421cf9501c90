//go:build linux

package actor_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/actor"
)

// The functions of the tests run in processes of the test binary.
func TestMain(m *testing.M) {
	if version, err := strconv.Atoi(os.Getenv(protocolVariable)); err == nil {
		actor.SetProtocol(version)
	}
	if os.Getenv(quietVariable) != "" {
		slog.SetDefault(slog.New(slog.DiscardHandler)) // what the tests do on purpose
	}
	actor.Serve()
	_ = os.Setenv(quietVariable, "1")
	os.Exit(m.Run())
}

const quietVariable = "TRAIGO_TEST_QUIET"

// What the tests share.
//
//	none                argument or result of functions that need none
//	exposed             remembers what is registered: actors of the tests expose all of it
//	inScope             runs the body of a test in a scope, and requires that nothing is left after it
//	withActor           inScope with an actor that exposes everything
//	start               starts an actor that exposes everything
//	note, notes         what a function tells of itself, and how a test learns of it
//	waitForNotes        waits until there are so many of them
//	waitUntil           waits for a condition
//	recovered           the value that a function panics with
//	within              calls a function and requires that it returns before long

type none = struct{}

var everything []actor.Exposable

func exposed[E actor.Exposable](fn E) E {
	everything = append(everything, fn)
	return fn
}

const long = 60 * time.Second // what takes longer is taken for something that does not end

func inScope(t *testing.T, body func(ctx context.Context, s *traigo.Scope), opts ...traigo.ScopeOption) {
	t.Helper()
	require.NoError(t, outcomeOf(t, body, opts...))
}

// outcomeOf is inScope for a scope that may fail.
func outcomeOf(t *testing.T, body func(ctx context.Context, s *traigo.Scope), opts ...traigo.ScopeOption) error {
	t.Helper()
	leavesNothing(t)
	ctx, cancel := context.WithTimeout(t.Context(), 2*long)
	defer cancel()
	return traigo.Run(ctx, func(ctx context.Context, s *traigo.Scope) error {
		body(ctx, s)
		return nil
	}, append([]traigo.ScopeOption{traigo.Name("test")}, opts...)...)
}

func withActor(t *testing.T, body func(ctx context.Context, s *traigo.Scope, a *actor.Actor), opts ...actor.Option) {
	t.Helper()
	inScope(t, func(ctx context.Context, s *traigo.Scope) { body(ctx, s, start(ctx, t, s, "mid", opts...)) })
}

func start(ctx context.Context, t *testing.T, s *traigo.Scope, name string, opts ...actor.Option) *actor.Actor {
	t.Helper()
	a, err := actor.Start(ctx, s, name, append([]actor.Option{actor.Expose(everything...)}, opts...)...)
	require.NoError(t, err)
	return a
}

var noted = struct {
	sync.Mutex
	of map[string][]string
}{of: map[string][]string{}}

func note(key, text string) {
	noted.Lock()
	defer noted.Unlock()
	noted.of[key] = append(noted.of[key], text)
}

var notedFunc = exposed(actor.Func("main.noted", func(_ context.Context, key string) ([]string, error) {
	noted.Lock()
	defer noted.Unlock()
	return slices.Clone(noted.of[key]), nil
}))

func notes(ctx context.Context, t *testing.T, a *actor.Actor, key string) []string {
	t.Helper()
	all, err := notedFunc.Run(ctx, a, key)
	assert.NoError(t, err)
	return all
}

func waitForNotes(ctx context.Context, t *testing.T, a *actor.Actor, key string, n int) []string {
	t.Helper()
	var all []string
	waitUntil(t, func() bool {
		all = notes(ctx, t, a, key)
		return len(all) >= n
	}, "%s", key)
	return all
}

// waitUntil calls condition on the goroutine of the test.
func waitUntil(t *testing.T, condition func() bool, what ...any) {
	t.Helper()
	for late := time.Now().Add(long); !condition(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(late) {
			assert.Fail(t, "the condition does not come true", what...)
			return
		}
	}
}

// within requires that f returns before long. If it does not, the test binary ends with the
// stacks of all goroutines, since nothing could end f.
func within(f func()) {
	late := time.AfterFunc(long, func() { panic("it does not return") })
	defer late.Stop()
	f()
}

func recovered(f func()) (value any) {
	defer func() { value = recover() }()
	f()
	return nil
}

// requireMisuse requires that value is what a wrong call panics with.
func requireMisuse(t *testing.T, value any) {
	t.Helper()
	require.NotNil(t, value, "it does not panic")
	assert.True(t, strings.HasPrefix(fmt.Sprint(value), "traigo: "), "%v", value)
}
