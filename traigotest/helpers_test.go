package traigotest_test

import (
	"context"
	"errors"
	"io"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var errBoom = errors.New("connection reset")

// untilCanceled has a name to be found in stacks.
//
//go:noinline
func untilCanceled(ctx context.Context) error {
	<-ctx.Done()
	return ctx.Err()
}

func fail(context.Context) error { return errBoom }

// deafTo ignores everything but free. It has a name to be found in stacks.
//
//go:noinline
func deafTo(free <-chan struct{}) { <-free }

func deaf(free <-chan struct{}) func(context.Context) error {
	return func(context.Context) error {
		deafTo(free)
		return nil
	}
}

// panicOnPurpose has a name to be found in stacks.
//
//go:noinline
func panicOnPurpose(value any) { panic(value) }

func raised(f func()) (value any) {
	defer func() { value = recover() }()
	f()
	return nil
}

// fake is a test that may fail without failing the real one.
type fake struct {
	testing.TB

	ended bool // it was not left by FailNow or SkipNow

	mu              sync.Mutex
	failed, skipped bool
	errors, logs    []string
	out             strings.Builder
}

// try runs a test to its end.
func try(t *testing.T, test func(t testing.TB)) *fake {
	t.Helper()
	f := &fake{TB: t}
	f.run(f, test)
	return f
}

// run needs a goroutine of its own for FailNow. as is what the test has for a t.
func (f *fake) run(as testing.TB, test func(t testing.TB)) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		test(as)
		f.ended = true
	}()
	<-done
}

// onlyError is the one with which the test has failed.
func (f *fake) onlyError(t *testing.T) string {
	t.Helper()
	require.Len(t, f.errors, 1, "%s", f.out.String())
	return f.errors[0]
}

func (f *fake) Name() string      { return "TestIt" }
func (f *fake) Output() io.Writer { return f }
func (f *fake) Failed() bool      { f.mu.Lock(); defer f.mu.Unlock(); return f.failed }
func (f *fake) Skipped() bool     { f.mu.Lock(); defer f.mu.Unlock(); return f.skipped }
func (f *fake) Fail()             { f.mu.Lock(); defer f.mu.Unlock(); f.failed = true }
func (f *fake) FailNow()          { f.Fail(); runtime.Goexit() }

func (f *fake) SkipNow() {
	f.mu.Lock()
	f.skipped = true
	f.mu.Unlock()
	runtime.Goexit()
}

func (f *fake) Write(text []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.out.Write(text)
}

func (f *fake) Log(args ...any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.logs = append(f.logs, args[0].(string))
}

func (f *fake) Error(args ...any) {
	f.Fail()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.errors = append(f.errors, args[0].(string))
}

// fakeT has a deadline, as a *testing.T has.
type fakeT struct {
	*fake

	at time.Time
}

func (f fakeT) Deadline() (time.Time, bool) { return f.at, true }
