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

// untilCanceled is a named function, so that a test finds it in a stack.
//
//go:noinline
func untilCanceled(ctx context.Context) error {
	<-ctx.Done()
	return ctx.Err()
}

func fail(context.Context) error { return errBoom }

// blockOn is a named function, so that a test finds it in a stack.
//
//go:noinline
func blockOn(free <-chan struct{}) { <-free }

// blockedOn returns a task function that ignores its context until free is closed.
func blockedOn(free <-chan struct{}) func(context.Context) error {
	return func(context.Context) error {
		blockOn(free)
		return nil
	}
}

// panicOnPurpose is a named function, so that a test finds it in a stack.
//
//go:noinline
func panicOnPurpose(value any) { panic(value) }

func raised(f func()) (value any) {
	defer func() { value = recover() }()
	f()
	return nil
}

// fake is a testing.TB that records what a test does to it. It may fail without failing
// the real test.
type fake struct {
	testing.TB

	ended bool // the test has returned, and not called FailNow or SkipNow

	mu              sync.Mutex
	failed, skipped bool
	errors, logs    []string
	out             strings.Builder
}

// try calls test with a fake, and returns the fake when test has ended.
func try(t *testing.T, test func(t testing.TB)) *fake {
	t.Helper()
	f := &fake{TB: t}
	f.run(f, test)
	return f
}

// run calls test on a goroutine of its own, which FailNow may end. The test gets as,
// which is f or wraps f.
func (f *fake) run(as testing.TB, test func(t testing.TB)) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		test(as)
		f.ended = true
	}()
	<-done
}

// onlyError returns the error of the test. It fails the real test if there is none, or
// more than one.
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

// fakeT is a fake that has a deadline, as a *testing.T has.
type fakeT struct {
	*fake

	at time.Time
}

func (f fakeT) Deadline() (time.Time, bool) { return f.at, true }
