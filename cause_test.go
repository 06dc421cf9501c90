package traigo_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo"
)

// Whatever ends the scope first, everything else happens to it afterwards.
func TestFirstCauseDecidesTheOutcome(t *testing.T) {
	rows := []struct {
		name  string
		opts  []traigo.ScopeOption
		end   func(s *traigo.Scope, outer context.CancelCauseFunc) // ends the scope at 1 s, or lets it be ended
		body  error                                                // what the body returns at 1 s
		first error                                                // Err of the outcome; nil: quiet
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
					// Ends with an error of its own, a second after the scope was canceled.
					s.Spawn(func(ctx context.Context) error {
						<-ctx.Done()
						time.Sleep(time.Second)
						return errLate
					}, traigo.Name("late"), traigo.Awaited(false))
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
					// Fails the moment it is told, and is too late all the same.
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

func TestQuietOutcomeStaysNil(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var (
			st   story
			book logbook
		)
		s := traigo.New(t.Context(), traigo.Observe(&st), book.logger())
		task := s.Spawn(func(ctx context.Context) error { <-ctx.Done(); return errBoom })
		synctest.Wait()
		s.Cancel(nil)
		require.NoError(t, s.Wait())
		assert.Equal(t, 1, book.count(slog.LevelWarn, "boom"), "logged")
		assert.Equal(t, []error{errBoom}, st.ended(task), "observed")
		assert.Equal(t, errBoom, task.Err())
	})
}

func TestBodysOwnErrorIsAlwaysRaised(t *testing.T) {
	quietly := map[string]func(s *traigo.Scope){
		"Cancel(nil)": func(s *traigo.Scope) { s.Cancel(nil) },
		"master":      func(s *traigo.Scope) { s.Spawn(succeed, traigo.Master(true)) },
	}
	rows := []struct {
		name    string
		returns func(ctx context.Context) error
		raised  bool
	}{
		{"real", fail, true},
		{"real, joined", func(ctx context.Context) error { return errors.Join(ctx.Err(), errBoom) }, true},
		{"ctx.Err()", context.Context.Err, false},
		{"context.Cause", context.Cause, false},
		{"wrapped", func(ctx context.Context) error { return fmt.Errorf("serve: %w", ctx.Err()) }, false},
		{"joined", func(ctx context.Context) error { return errors.Join(ctx.Err(), context.Cause(ctx)) }, false},
	}
	for how, end := range quietly {
		for _, row := range rows {
			t.Run(how+"/"+row.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					var returned error
					err := traigo.Run(t.Context(), func(ctx context.Context, s *traigo.Scope) error {
						end(s)
						<-ctx.Done()
						returned = row.returns(ctx)
						return returned
					})
					if row.raised {
						assert.Equal(t, []error{returned}, outcome(t, err).Unwrap(), "as it is")
					} else {
						require.NoError(t, err)
					}
				})
			})
		}
	}
}

func TestBodysOwnErrorIsRaisedBesideAFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := outcome(t, traigo.Run(t.Context(), func(ctx context.Context, s *traigo.Scope) error {
			s.Spawn(fail, traigo.Name("work"))
			<-ctx.Done()
			return errLate
		}))
		assert.Equal(t, []error{&traigo.TaskError{Task: "work", Err: errBoom}, errLate}, e.Unwrap())
	})
}

func TestPanicAfterAQuietEndIsRaised(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := traigo.New(t.Context(), discard())
		s.Spawn(func(ctx context.Context) error { <-ctx.Done(); panic("boom") })
		synctest.Wait()
		s.Cancel(nil)
		var raised any
		func() {
			defer func() { raised = recover() }()
			_ = s.Wait()
		}()
		assert.IsType(t, &traigo.PanicError{}, raised)
	})
}

func TestOthersAreAtMost16ThenCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, n := range []int{1, 16, 17, 20} {
			s := traigo.New(t.Context())
			for range n {
				s.Spawn(func(ctx context.Context) error { <-ctx.Done(); return errLate }, traigo.Name("late"))
			}
			consequence := s.Spawn(untilCanceled)
			synctest.Wait()
			s.Spawn(fail, traigo.Name("first"))
			e := outcome(t, s.Wait())
			assert.Equal(t, &traigo.TaskError{Task: "first", Err: errBoom}, e.Err)
			assert.Len(t, e.Others, min(n, 16))
			for _, err := range e.Others {
				assert.Equal(t, &traigo.TaskError{Task: "late", Err: errLate}, err)
			}
			assert.Len(t, e.Unwrap(), 1+min(n, 16))
			if n > 16 {
				require.ErrorContains(t, e, fmt.Sprintf("and %d more", n-16))
			} else {
				assert.NotContains(t, e.Error(), "more")
			}
			require.ErrorIs(t, consequence.Err(), context.Canceled)
			require.NotErrorIs(t, e, context.Canceled, "a bare consequence is not kept")
		}
	})
}

func TestLaterErrorsThatDoNotBubbleAreNotKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := traigo.New(t.Context(), discard())
		late := func(ctx context.Context) error { <-ctx.Done(); return errLate }
		s.Spawn(late, traigo.Bubble(false))
		s.Spawn(late, traigo.OnDone(func(error) {}))
		synctest.Wait()
		s.Cancel(errBoom)
		assert.Equal(t, []error{errBoom}, outcome(t, s.Wait()).Unwrap())
	})
}

func TestParentsCancellationIsTheOutcome(t *testing.T) {
	rows := []struct {
		name  string
		outer func(t *testing.T) (context.Context, func())
		err   error // what the parent's ctx.Err() returns
		cause error
	}{
		{"canceled with a cause", func(t *testing.T) (context.Context, func()) {
			ctx, cancel := context.WithCancelCause(t.Context())
			return ctx, func() { cancel(errOuter) }
		}, context.Canceled, errOuter},
		{"canceled", func(t *testing.T) (context.Context, func()) {
			ctx, cancel := context.WithCancel(t.Context())
			return ctx, cancel
		}, context.Canceled, context.Canceled},
		{"deadline with a cause", func(t *testing.T) (context.Context, func()) {
			ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, errOuter)
			t.Cleanup(cancel)
			return ctx, func() { time.Sleep(time.Second) }
		}, context.DeadlineExceeded, errOuter},
		{"deadline", func(t *testing.T) (context.Context, func()) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			t.Cleanup(cancel)
			return ctx, func() { time.Sleep(time.Second) }
		}, context.DeadlineExceeded, context.DeadlineExceeded},
		{"scope", func(t *testing.T) (context.Context, func()) {
			s := traigo.New(t.Context())
			return s.Context(), func() { s.Cancel(errOuter) }
		}, context.Canceled, errOuter},
		{"scope's timeout", func(t *testing.T) (context.Context, func()) {
			s := traigo.New(t.Context(), traigo.Timeout(time.Second), discard())
			return s.Context(), func() { time.Sleep(time.Second) }
		}, context.DeadlineExceeded, context.DeadlineExceeded},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				outer, cancel := row.outer(t)
				s := traigo.New(outer, traigo.Name("below"))
				s.Spawn(untilCanceled)
				cancel()
				err := s.Wait()
				e := outcome(t, err)
				assert.Empty(t, e.Others)
				assert.Equal(t, traigo.ParentCanceled, itself[*traigo.Cancellation](t, e.Err).Kind)
				require.ErrorIs(t, err, row.err)
				require.ErrorIs(t, err, row.cause)
				assert.Equal(t, errors.Is(row.cause, context.DeadlineExceeded) || errors.Is(row.err, context.DeadlineExceeded),
					errors.Is(err, context.DeadlineExceeded))
			})
		})
	}
}

func TestParentsFailureIsFoundInTheOutcome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		parent := traigo.New(t.Context(), traigo.Name("server"))
		child := parent.Fork(traigo.Name("conn"))
		child.Spawn(untilCanceled)
		parent.Spawn(fail, traigo.Name("accept"))
		err := child.Wait()
		require.ErrorIs(t, err, errBoom)
		require.ErrorIs(t, err, context.Canceled)
		why := cancellation(outcome(t, err).Err, traigo.TaskFailed)
		require.NotNil(t, why, "%v", err)
		assert.Equal(t, "server", why.Scope)
		assert.Equal(t, "server/accept", why.Task)
		require.ErrorIs(t, parent.Wait(), errBoom)
	})
}

func TestCancelKindsHaveNames(t *testing.T) {
	for kind, name := range map[traigo.CancelKind]string{
		traigo.TaskFailed:     "task failed",
		traigo.BodyFailed:     "body failed",
		traigo.Requested:      "requested",
		traigo.TimedOut:       "timeout",
		traigo.ParentCanceled: "parent canceled",
		traigo.MasterEnded:    "master ended",
		traigo.Completed:      "completed",
		traigo.Panicked:       "panicked",
	} {
		assert.Equal(t, name, kind.String())
	}
}

func TestCancellationIsWhatTheContextReturned(t *testing.T) {
	requested := &traigo.Cancellation{Kind: traigo.Requested, Err: errBoom}
	require.ErrorIs(t, requested, context.Canceled)
	require.NotErrorIs(t, requested, context.DeadlineExceeded)
	require.ErrorIs(t, requested, errBoom)
	timedOut := &traigo.Cancellation{Kind: traigo.TimedOut}
	require.ErrorIs(t, timedOut, context.DeadlineExceeded)
	require.NotErrorIs(t, timedOut, context.Canceled)
}
