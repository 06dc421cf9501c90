package traio_test

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

// The tests of traio, written again in Go: one for each, in files named after traio's.
// docs/traio.md has the table. In traio the clock is real, and times are compared within
// limits. Here the clock is that of a bubble, and elapsed times are exact.

const ms = time.Millisecond

var errTraio = errors.New("boom")

// traioLong is a task that takes long and heeds its context.
func traioLong(ctx context.Context) error { return traigo.Sleep(ctx, 10*time.Second) }

// traioSleep is a task that succeeds after d.
func traioSleep(d time.Duration) func(context.Context) error {
	return func(ctx context.Context) error { return traigo.Sleep(ctx, d) }
}

// traioFail is a task that fails after d.
func traioFail(d time.Duration) func(context.Context) error {
	return func(ctx context.Context) error {
		if err := traigo.Sleep(ctx, d); err != nil {
			return err
		}
		return errTraio
	}
}

// traioNasty is a task that fails because it is canceled.
func traioNasty(ctx context.Context) error {
	<-ctx.Done()
	return errTraio
}

// traioCleanUp is a task that notes that it has cleaned up after itself.
func traioCleanUp(done *bool) func(context.Context) error {
	return func(ctx context.Context) error {
		defer func() { *done = true }()
		return traioLong(ctx)
	}
}

// assertTook compares with the time that has passed in the bubble.
func assertTook(t *testing.T, want time.Duration, start time.Time) {
	t.Helper()
	assert.Equal(t, want, time.Since(start), "elapsed time")
}

// requireOutcome returns the outcome of a scope that failed.
func requireOutcome(t *testing.T, err error) *traigo.Error {
	t.Helper()
	var outcome *traigo.Error
	require.ErrorAs(t, err, &outcome)
	require.Same(t, err, outcome, "an outcome is never wrapped")
	return outcome
}

// requireTaskFailed wants an outcome whose first error is that of a task.
func requireTaskFailed(t *testing.T, err, want error) {
	t.Helper()
	assertTaskError(t, requireOutcome(t, err).Err, want)
}

// assertTaskError wants exactly want, as the error of a task.
func assertTaskError(t *testing.T, err, want error) {
	t.Helper()
	var failed *traigo.TaskError
	if assert.ErrorAs(t, err, &failed) {
		assert.Equal(t, want, failed.Err)
	}
}

// requireTimedOut wants an outcome that begins with the scope's own timeout.
func requireTimedOut(t *testing.T, err error, after time.Duration) {
	t.Helper()
	outcome := requireOutcome(t, err)
	assert.Equal(t, &traigo.TimeoutError{Scope: outcome.Scope, After: after}, outcome.Err)
	assert.ErrorIs(t, err, context.DeadlineExceeded)
}

// requireParentCanceled wants an outcome that begins with the end of what the
// scope was opened under.
func requireParentCanceled(t *testing.T, err, cause error) {
	t.Helper()
	var why *traigo.Cancellation
	require.ErrorAs(t, requireOutcome(t, err).Err, &why)
	assert.Equal(t, traigo.ParentCanceled, why.Kind)
	assert.ErrorIs(t, err, cause)
}

// assertOthers wants exactly these errors of tasks, after the first.
func assertOthers(t *testing.T, err error, want ...error) {
	t.Helper()
	others := requireOutcome(t, err).Others
	if assert.Len(t, others, len(want)) {
		for i, err := range others {
			assertTaskError(t, err, want[i])
		}
	}
}

// waitWithin waits for a scope as asyncio.wait_for does, except that it does not cancel a
// scope that takes too long.
func waitWithin(s *traigo.Scope, d time.Duration) error {
	select {
	case <-s.Done():
		return s.Err()
	case <-time.After(d):
		return context.DeadlineExceeded
	}
}

// eachWait runs f in a bubble for each way to wait for a scope.
func eachWait(t *testing.T, f func(t *testing.T, wait func(*traigo.Scope) error)) {
	t.Helper()
	for name, wait := range map[string]func(*traigo.Scope) error{
		"wait":        (*traigo.Scope).Wait,
		"wait within": func(s *traigo.Scope) error { return waitWithin(s, time.Second) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { f(t, wait) })
		})
	}
}
