package traigo_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo"
)

// errCause is what everything in this file is canceled with. That it wraps
// another error makes a difference: the cause is the whole, not what is in it.
var (
	errWithin = errors.New("within")
	errCause  = fmt.Errorf("cause: %w", errWithin)
)

// uncomparable errors panic when they are compared with ==.
type uncomparable []string

func (e uncomparable) Error() string { return fmt.Sprint([]string(e)) }

// What a canceled task returns, and whether that is more than a consequence.
var afterCancellation = []struct {
	name    string
	returns func(ctx context.Context) error
	kept    bool
}{
	{"nil", succeed, false},
	{"ctx.Err()", context.Context.Err, false},
	{"context.Cause", context.Cause, false},
	{"the cause itself", func(context.Context) error { return errCause }, false},
	{"a Cancellation", func(context.Context) error { return &traigo.Cancellation{Kind: traigo.Requested} }, false},
	{"wrapped", func(ctx context.Context) error { return fmt.Errorf("read: %w", ctx.Err()) }, false},
	{"wrapped cause", func(context.Context) error { return fmt.Errorf("read: %w", errCause) }, false},
	{"joined", func(ctx context.Context) error { return errors.Join(ctx.Err(), errCause, context.Cause(ctx)) }, false},
	{"joined twice", func(ctx context.Context) error {
		return errors.Join(fmt.Errorf("read: %w", errors.Join(ctx.Err(), errCause)), fmt.Errorf("%w, %w", ctx.Err(), context.Cause(ctx)))
	}, false},
	{"outcome of a Run", func(ctx context.Context) error {
		return traigo.Run(ctx, func(ctx context.Context, s *traigo.Scope) error {
			s.Spawn(untilCanceled)
			return untilCanceled(ctx)
		})
	}, false},

	{"real", fail, true},
	{"real, joined", func(ctx context.Context) error { return errors.Join(ctx.Err(), errBoom) }, true},
	{"real, wrapped beside", func(ctx context.Context) error { return fmt.Errorf("%w, then %w", errCause, errBoom) }, true},
	{"real, deep", func(ctx context.Context) error {
		return errors.Join(ctx.Err(), fmt.Errorf("read: %w", errors.Join(context.Cause(ctx), errBoom)))
	}, true},
	{"real, in the outcome of a Run", func(ctx context.Context) error {
		return traigo.Run(ctx, func(context.Context, *traigo.Scope) error { return errBoom })
	}, true},
	{"within the cause", func(context.Context) error { return errWithin }, true},
	{"text of the cause", func(context.Context) error { return errors.New(errCause.Error()) }, true},
	{"not what ctx.Err() returned", func(context.Context) error { return context.DeadlineExceeded }, true},
	{"uncomparable", func(context.Context) error { return uncomparable{"real"} }, true},
	{"uncomparable, joined", func(ctx context.Context) error { return errors.Join(ctx.Err(), uncomparable{"real"}) }, true},
}

// spawnOne spawns a task that returns what its row says once it is canceled,
// and cleans up for a second first: so it ends after all decisions.
func spawnOne(s *traigo.Scope, returns func(context.Context) error) *traigo.Task {
	task := s.Spawn(func(ctx context.Context) error {
		<-ctx.Done()
		time.Sleep(time.Second)
		return returns(ctx)
	}, traigo.Name("work"))
	synctest.Wait()
	return task
}

func TestConsequencesOfATasksOwnCancelAreDropped(t *testing.T) {
	for _, row := range afterCancellation {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := traigo.New(t.Context())
				task := spawnOne(s, row.returns)
				task.Cancel(errCause)
				<-task.Done()
				synctest.Wait()
				if !row.kept {
					assert.Equal(t, traigo.Open, s.State())
					require.NoError(t, s.Wait())
					return
				}
				require.True(t, closed(s.Done()), "a real error bubbles")
				want := &traigo.TaskError{Task: "work", Err: task.Err()} // the whole of it
				assert.Equal(t, []error{want}, outcome(t, s.Err()).Unwrap())
			})
		})
	}
}

func TestConsequencesOfTheScopesCancellationAreDropped(t *testing.T) {
	// Each cancels the scope and says what its outcome begins with.
	ways := []struct {
		name  string
		under func(t *testing.T) (*traigo.Scope, func())
		first func(t *testing.T, first error)
	}{
		{"Cancel", func(t *testing.T) (*traigo.Scope, func()) {
			s := traigo.New(t.Context())
			return s, func() { s.Cancel(errCause) }
		}, func(t *testing.T, first error) { assert.Equal(t, errCause, first) }},
		{"outer context", func(t *testing.T) (*traigo.Scope, func()) {
			ctx, cancel := context.WithCancelCause(t.Context())
			return traigo.New(ctx), func() { cancel(errCause) }
		}, func(t *testing.T, first error) { assert.NotNil(t, cancellation(first, traigo.ParentCanceled)) }},
		{"parent scope", func(t *testing.T) (*traigo.Scope, func()) {
			parent := traigo.New(t.Context())
			return parent.Fork(), func() { parent.Cancel(errCause) }
		}, func(t *testing.T, first error) { assert.NotNil(t, cancellation(first, traigo.ParentCanceled)) }},
	}
	for _, way := range ways {
		for _, row := range afterCancellation {
			t.Run(way.name+"/"+row.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					s, cancel := way.under(t)
					task := spawnOne(s, row.returns)
					cancel()
					e := outcome(t, s.Wait())
					way.first(t, e.Err)
					if row.kept {
						assert.Equal(t, []error{&traigo.TaskError{Task: "work", Err: task.Err()}}, e.Others)
					} else {
						assert.Empty(t, e.Others)
					}
				})
			})
		}
	}
}

func TestConsequencesOfATimeoutAreDropped(t *testing.T) {
	rows := []struct {
		name    string
		returns func(ctx context.Context) error
		kept    bool
	}{
		{"ctx.Err()", context.Context.Err, false},
		{"the constant", func(context.Context) error { return context.DeadlineExceeded }, false},
		{"context.Cause", context.Cause, false},
		{"joined", func(ctx context.Context) error { return errors.Join(ctx.Err(), context.Cause(ctx)) }, false},
		{"real", fail, true},
		{"not what ctx.Err() returned", func(context.Context) error { return context.Canceled }, true},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := traigo.New(t.Context(), traigo.Timeout(time.Second), discard())
				task := spawnOne(s, row.returns)
				e := outcome(t, s.Wait())
				_ = itself[*traigo.TimeoutError](t, e.Err)
				if row.kept {
					assert.Equal(t, []error{&traigo.TaskError{Task: "work", Err: task.Err()}}, e.Others)
				} else {
					assert.Empty(t, e.Others)
				}
			})
		})
	}
}

func TestCancellationErrorsOfATaskThatNobodyCanceledAreOrdinary(t *testing.T) {
	for _, err := range []error{
		context.Canceled,
		context.DeadlineExceeded,
		&traigo.Cancellation{Kind: traigo.Requested, Scope: "elsewhere"},
		fmt.Errorf("client: %w", context.Canceled),
	} {
		t.Run(err.Error(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				s := traigo.New(t.Context())
				s.Spawn(func(ctx context.Context) error { return traigo.Sleep(ctx, time.Hour) })
				s.Spawn(func(context.Context) error { return err }, traigo.Name("work"))
				e := outcome(t, s.Wait())
				assert.Equal(t, []error{&traigo.TaskError{Task: "work", Err: err}}, e.Unwrap())
				assert.Zero(t, time.Since(start), "it cancels the scope")
			})
		})
	}
}

func TestCancellationOfAnotherScopeIsAnOrdinaryError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		other := traigo.New(t.Context(), traigo.Name("other"))
		s := traigo.New(t.Context())
		s.Spawn(func(context.Context) error {
			<-other.Context().Done()
			return context.Cause(other.Context())
		})
		synctest.Wait()
		other.Cancel(nil)
		require.NoError(t, other.Wait())
		err := s.Wait()
		require.Error(t, err)
		why := cancellation(err, traigo.Requested)
		require.NotNil(t, why, "%v", err)
		assert.Equal(t, "other", why.Scope)
	})
}

func TestUncomparableCauseDoesNoHarm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cause := uncomparable{"cause"}
		s := traigo.New(t.Context())
		alone := s.Spawn(func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() })
		s.Spawn(func(ctx context.Context) error { <-ctx.Done(); return context.Cause(ctx) })
		// Whether this is the cause itself nobody can tell.
		s.Spawn(func(ctx context.Context) error { <-ctx.Done(); return cause }, traigo.Bubble(false))
		synctest.Wait()
		alone.Cancel(cause)
		<-alone.Done()
		s.Cancel(cause)
		e := outcome(t, s.Wait())
		assert.Equal(t, []error{cause}, e.Unwrap())
	})
}
