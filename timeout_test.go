package traigo_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo"
)

func TestTimeoutIsTheOutcome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		err := traigo.Run(t.Context(), func(ctx context.Context, _ *traigo.Scope) error {
			return untilCanceled(ctx)
		}, traigo.Name("work"), traigo.Timeout(10*time.Second))
		assert.Equal(t, 10*time.Second, time.Since(start))

		late := as[*traigo.TimeoutError](t, err)
		assert.Equal(t, traigo.TimeoutError{Scope: "work", After: 10 * time.Second}, *late)
		assert.True(t, late.Timeout())
		require.ErrorIs(t, err, context.DeadlineExceeded)

		failed := outcome(t, err)
		assert.Same(t, late, failed.Err)
		assert.Equal(t, "work", failed.Scope)
		assert.Empty(t, failed.Others, "a consequence of the timeout is no error of its own")
	})
}

func TestTimeoutRunsFromOpening(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		s := traigo.New(t.Context(), traigo.Timeout(10*time.Second))
		time.Sleep(4 * time.Second)
		s.Spawn(untilCanceled)
		s.Finalize()
		time.Sleep(3 * time.Second)
		err := s.Wait()
		assert.Equal(t, 10*time.Second, time.Since(start), "neither a task nor Finalize nor Wait restarts the clock")
		require.ErrorIs(t, err, context.DeadlineExceeded)
	})
}

func TestTimeoutOfZeroIsNone(t *testing.T) {
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

// The body returns after both deadlines, so that the time alone does not tell which one
// has ended the scope.
func TestTimeoutIsToldFromTheParents(t *testing.T) {
	const lingers = 3 * time.Second
	rows := map[string]struct {
		parent, own time.Duration
		mine        bool
	}{
		"own first":      {parent: 2 * time.Second, own: time.Second, mine: true},
		"parent's first": {parent: time.Second, own: 2 * time.Second, mine: false},
		"same instant":   {parent: time.Second, own: time.Second, mine: false},
	}
	for name, row := range rows {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), row.parent)
				defer cancel()
				start := time.Now()
				err := traigo.Run(ctx, func(ctx context.Context, s *traigo.Scope) error {
					return cleaning(time.Until(start.Add(lingers)), nil)(ctx)
				}, traigo.Name("work"), traigo.Timeout(row.own))

				require.ErrorIs(t, err, context.DeadlineExceeded, "either way")
				late, own := errors.AsType[*traigo.TimeoutError](err)
				require.Equal(t, row.mine, own, "%v", err)
				if row.mine {
					assert.Equal(t, "work", late.Scope)
				} else {
					assert.Equal(t, traigo.ParentCanceled, as[*traigo.Cancellation](t, err).Kind)
				}
			})
		})
	}
}

func TestTimeoutOfAnOuterScopeIsTheOuterScopes(t *testing.T) {
	for name, own := range map[string]time.Duration{"later": 5 * time.Second, "same instant": time.Second} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var inner error
				outer := traigo.Run(t.Context(), func(ctx context.Context, _ *traigo.Scope) error {
					inner = traigo.Run(ctx, func(ctx context.Context, _ *traigo.Scope) error {
						return untilCanceled(ctx)
					}, traigo.Name("inner"), traigo.Timeout(own))
					return nil
				}, traigo.Name("outer"), traigo.Timeout(time.Second))

				assert.Equal(t, "outer", as[*traigo.TimeoutError](t, outer).Scope)
				first := outcome(t, inner).Err
				why := as[*traigo.Cancellation](t, first)
				require.Same(t, first, why)
				assert.Equal(t, traigo.ParentCanceled, why.Kind)
				assert.Equal(t, "outer", as[*traigo.TimeoutError](t, inner).Scope, "the timeout of the outer scope, not one of its own")
				require.ErrorIs(t, inner, context.DeadlineExceeded)
			})
		})
	}
}

func TestTimeoutDeadlineIsTheCurrentOne(t *testing.T) {
	type key struct{}
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		ctx, cancel := context.WithDeadline(t.Context(), start.Add(time.Minute))
		defer cancel()
		s := traigo.New(ctx, traigo.Timeout(10*time.Second))
		defer s.Close()
		ctxs := make(chan context.Context, 1)
		s.Spawn(func(ctx context.Context) error {
			ctxs <- ctx
			return untilCanceled(ctx)
		})
		task := <-ctxs
		fork := s.Fork()
		contexts := map[string]context.Context{
			"scope":   s.Context(),
			"task":    task,
			"derived": context.WithValue(task, key{}, 1),
			"fork":    fork.Context(),
		}
		expect := func(after time.Duration) {
			t.Helper()
			for where, ctx := range contexts {
				deadline, ok := ctx.Deadline()
				assert.True(t, ok, where)
				assert.Equal(t, after, deadline.Sub(start), where)
			}
		}
		expect(10 * time.Second)
		time.Sleep(5 * time.Second)
		s.SetTimeout(10 * time.Second)
		expect(15 * time.Second)
		s.SetTimeout(time.Hour)
		expect(time.Minute) // the parent's is earlier
		s.SetTimeout(0)
		expect(time.Minute)
	})
}

func TestTimeoutRemovedLeavesNoDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := traigo.New(context.Background(), traigo.Timeout(time.Second))
		_, ok := s.Context().Deadline()
		assert.True(t, ok)
		s.SetTimeout(0)
		_, ok = s.Context().Deadline()
		assert.False(t, ok)
		require.NoError(t, s.Close())
	})
}

func TestSetTimeoutRestartsTheClock(t *testing.T) {
	rows := map[string]struct {
		first, second, want time.Duration
	}{
		"the same again": {10 * time.Second, 10 * time.Second, 14 * time.Second},
		"shorter":        {10 * time.Second, 2 * time.Second, 6 * time.Second},
		"longer":         {10 * time.Second, time.Hour, time.Hour + 4*time.Second},
		"none before":    {0, 3 * time.Second, 7 * time.Second},
	}
	for name, row := range rows {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				s := traigo.New(t.Context(), traigo.Timeout(row.first))
				s.Spawn(untilCanceled)
				time.Sleep(4 * time.Second)
				s.SetTimeout(row.second)
				late := as[*traigo.TimeoutError](t, s.Wait())
				assert.Equal(t, row.want, time.Since(start))
				assert.Equal(t, row.second, late.After)
			})
		})
	}
}

func TestSetTimeoutOfZeroRemovesIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		s := traigo.New(t.Context(), traigo.Timeout(10*time.Second))
		s.Spawn(lasting(time.Minute))
		time.Sleep(4 * time.Second)
		s.SetTimeout(0)
		require.NoError(t, s.Wait())
		assert.Equal(t, time.Minute, time.Since(start))
	})
}

func TestSetTimeoutAfterTheEndChangesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := traigo.New(t.Context())
		s.Spawn(cleaning(5*time.Second, nil))
		s.Cancel(nil)
		s.SetTimeout(time.Second)
		require.NoError(t, s.Wait(), "what ended it first stays the outcome")
		s.SetTimeout(time.Second)
		time.Sleep(time.Minute)
		require.NoError(t, s.Err())
	})
}

func TestTimeoutOfAScopeWithNothingLeftToDo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := traigo.New(t.Context(), traigo.Timeout(3*time.Second))
		s.Spawn(lasting(time.Second))
		background := s.Spawn(cleaning(5*time.Second, nil), traigo.Awaited(false))
		require.NoError(t, s.Wait(), "when the time had passed it had been canceled, and was only waiting for the rest")
		assert.True(t, closed(background.Done()))
		time.Sleep(time.Hour)
		require.NoError(t, s.Err())
	})
}

func TestTasksOwnTimeoutIsAFailure(t *testing.T) {
	rows := []struct {
		name    string
		returns func(ctx context.Context) error
		fails   bool
		also    error
	}{
		{"ctx.Err()", context.Context.Err, true, nil},
		{"the cause", context.Cause, true, nil},
		{"a real error", fail, true, errBoom},
		{"nil", succeed, false, nil},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				s := traigo.New(t.Context(), traigo.Name("server"))
				task := s.Spawn(func(ctx context.Context) error {
					at, _ := ctx.Deadline()
					assert.Equal(t, start.Add(time.Second), at)
					<-ctx.Done()
					assert.Equal(t, context.DeadlineExceeded, ctx.Err())
					return row.returns(ctx)
				}, traigo.Timeout(time.Second), traigo.Name("read"))
				sibling := s.Spawn(func(ctx context.Context) error {
					time.Sleep(time.Second)
					synctest.Wait()
					return ctx.Err()
				})
				<-task.Done()
				<-sibling.Done()
				assert.Equal(t, time.Second, time.Since(start))
				if !row.fails {
					require.NoError(t, task.Err())
					require.NoError(t, sibling.Err())
					require.NoError(t, s.Wait())
					return
				}
				require.ErrorIs(t, sibling.Err(), context.Canceled)
				e := outcome(t, s.Wait())
				assert.Empty(t, e.Others)
				failed := as[*traigo.TaskError](t, e.Err)
				require.Same(t, e.Err, failed)
				assert.Equal(t, "read", failed.Task)
				for _, err := range []error{task.Err(), e.Err} {
					var timeout *traigo.TimeoutError
					require.ErrorAs(t, err, &timeout)
					assert.Equal(t, &traigo.TimeoutError{Scope: "server/read", After: time.Second}, timeout)
					require.ErrorIs(t, err, context.DeadlineExceeded)
					if row.also != nil {
						require.ErrorIs(t, err, row.also)
					}
				}
			})
		})
	}
}

func TestTasksTimeoutThatDoesNotExpireIsNoFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := traigo.New(t.Context())
		task := s.Spawn(untilCanceled, traigo.Timeout(time.Minute))
		synctest.Wait()
		require.NoError(t, s.Close())
		assert.Equal(t, context.Canceled, task.Err())
	})
}

type block = func(ctx context.Context, d time.Duration, fn func(context.Context) error) error

// moveOn is MoveOnAfter with the signature of FailAfter and Shield.
func moveOn(ctx context.Context, d time.Duration, fn func(context.Context) error) error {
	_, err := traigo.MoveOnAfter(ctx, d, fn)
	return err
}

var blocks = map[string]block{"MoveOnAfter": moveOn, "FailAfter": traigo.FailAfter, "Shield": traigo.Shield}

// eachBlock runs f in a bubble for each block function but those named.
func eachBlock(t *testing.T, f func(t *testing.T, block block), but ...string) {
	t.Helper()
	for name, block := range blocks {
		if len(but) > 0 && but[0] == name {
			continue
		}
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { f(t, block) })
		})
	}
}

func TestMoveOnAfterTellsWhetherItsTimeWasUp(t *testing.T) {
	rows := map[string]struct {
		fn      func(context.Context) error
		after   time.Duration
		expired bool
		err     error
	}{
		"in time":                     {lasting(time.Second), time.Second, false, nil},
		"in time, with an error":      {failing(time.Second, errBoom), time.Second, false, errBoom},
		"expired":                     {untilCanceled, 5 * time.Second, true, nil},
		"expired, with nil":           {cleaning(time.Second, nil), 6 * time.Second, true, nil},
		"expired, with a real error":  {cleaning(0, errBoom), 5 * time.Second, true, errBoom},
		"expired, with both":          {cleaning(0, errors.Join(context.DeadlineExceeded, errBoom)), 5 * time.Second, true, errBoom},
		"deaf, but the time has gone": {lasting(time.Minute), time.Minute, true, nil},
	}
	for name, row := range rows {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				expired, err := traigo.MoveOnAfter(t.Context(), 5*time.Second, row.fn)
				assert.Equal(t, row.after, time.Since(start))
				assert.Equal(t, row.expired, expired)
				require.ErrorIs(t, err, row.err)
			})
		})
	}
}

func TestFailAfterAndShieldFailWithATimeoutError(t *testing.T) {
	eachBlock(t, func(t *testing.T, block block) {
		start := time.Now()
		err := block(t.Context(), 5*time.Second, untilCanceled)
		assert.Equal(t, 5*time.Second, time.Since(start))
		assert.Equal(t, 5*time.Second, as[*traigo.TimeoutError](t, err).After)
		require.ErrorIs(t, err, context.DeadlineExceeded)

		require.NoError(t, block(t.Context(), 5*time.Second, cleaning(0, nil)), "a function that returns nil has succeeded")
		require.NoError(t, block(t.Context(), 5*time.Second, lasting(time.Second)))
		assert.Equal(t, errBoom, block(t.Context(), 5*time.Second, failing(time.Second, errBoom)))

		err = block(t.Context(), 5*time.Second, cleaning(0, errBoom))
		_ = as[*traigo.TimeoutError](t, err)
		require.ErrorIs(t, err, errBoom, "a real error is not lost")
	}, "MoveOnAfter")
}

func TestBlockContextsAreThoseOfADeadline(t *testing.T) {
	eachBlock(t, func(t *testing.T, block block) {
		start := time.Now()
		_ = block(t.Context(), 5*time.Second, func(ctx context.Context) error {
			deadline, ok := ctx.Deadline()
			assert.True(t, ok)
			assert.Equal(t, start.Add(5*time.Second), deadline)
			derived, cancel := context.WithCancel(ctx)
			defer cancel()
			<-derived.Done()
			for _, ctx := range []context.Context{ctx, derived} {
				assert.Equal(t, context.DeadlineExceeded, ctx.Err())
				_, ok = errors.AsType[*traigo.TimeoutError](context.Cause(ctx))
				assert.True(t, ok, "%v", context.Cause(ctx))
			}
			return nil
		})
	})
}

func TestBlockOfZeroHasExpiredAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		expired, err := traigo.MoveOnAfter(t.Context(), 0, untilCanceled)
		assert.True(t, expired)
		require.NoError(t, err)
		expired, err = traigo.MoveOnAfter(t.Context(), 0, func(ctx context.Context) error {
			assert.Error(t, ctx.Err(), "at once")
			return nil
		})
		assert.True(t, expired)
		require.NoError(t, err)
		_ = as[*traigo.TimeoutError](t, traigo.FailAfter(t.Context(), 0, untilCanceled))
		_ = as[*traigo.TimeoutError](t, traigo.Shield(t.Context(), 0, untilCanceled))
		require.NoError(t, traigo.Sleep(t.Context(), 0))
		assert.Zero(t, time.Since(start))
	})
}

func TestBlockLetsOuterEndsThrough(t *testing.T) {
	outers := map[string]struct {
		open func(ctx context.Context) (context.Context, context.CancelFunc)
		err  error
	}{
		"cancellation": {func(ctx context.Context) (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancelCause(ctx)
			time.AfterFunc(time.Second, func() { cancel(errBoom) })
			return ctx, func() { cancel(nil) }
		}, context.Canceled},
		"deadline": {func(ctx context.Context) (context.Context, context.CancelFunc) {
			return context.WithTimeoutCause(ctx, time.Second, errBoom)
		}, context.DeadlineExceeded},
		"scope": {func(ctx context.Context) (context.Context, context.CancelFunc) {
			s := traigo.New(ctx)
			time.AfterFunc(time.Second, func() { s.Cancel(errBoom) })
			return s.Context(), func() { _ = s.Close() }
		}, context.Canceled},
	}
	for name, outer := range outers {
		// The block's own deadline is later than the outer end, or at the same instant.
		for _, d := range []time.Duration{5 * time.Second, time.Second} {
			if d == time.Second && name != "deadline" {
				continue // of two events at one instant, it is decided only for deadlines which one wins
			}
			t.Run(name+" before "+d.String(), func(t *testing.T) {
				eachBlock(t, func(t *testing.T, block block) {
					start := time.Now()
					ctx, cancel := outer.open(t.Context())
					defer cancel()
					err := block(ctx, d, func(ctx context.Context) error {
						<-ctx.Done()
						time.Sleep(10 * time.Second) // past its own deadline too
						return ctx.Err()
					})
					assert.Equal(t, 11*time.Second, time.Since(start))
					require.ErrorIs(t, err, outer.err)
					_, own := errors.AsType[*traigo.TimeoutError](err)
					assert.False(t, own, "not what happened: %v", err)
				}, "Shield")
			})
		}
	}
}

// The cause that fn sees, and may return, does not depend on which timer fires first.
func TestBlockContextHasTheOuterCause(t *testing.T) {
	for name, outer := range map[string]time.Duration{"earlier": time.Second, "at the same instant": 5 * time.Second} {
		t.Run(name, func(t *testing.T) {
			eachBlock(t, func(t *testing.T, block block) {
				ctx, cancel := context.WithTimeoutCause(t.Context(), outer, errBoom)
				defer cancel()
				err := block(ctx, 5*time.Second, func(ctx context.Context) error {
					<-ctx.Done()
					return context.Cause(ctx)
				})
				assert.Equal(t, errBoom, err)
			}, "Shield")
		})
	}
}

func TestMoveOnAfterHasNotExpiredWhenAnOuterEndCameFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var expired bool
		outerExpired, err := traigo.MoveOnAfter(t.Context(), time.Second, func(ctx context.Context) (err error) {
			expired, err = traigo.MoveOnAfter(ctx, 5*time.Second, untilCanceled)
			assert.ErrorIs(t, err, context.DeadlineExceeded)
			return err
		})
		assert.False(t, expired)
		assert.True(t, outerExpired)
		require.NoError(t, err)
	})
}

// An error that a block returns because its scope is canceled is no failure of the task.
func TestBlockInATaskThatIsCanceledIsNoFailure(t *testing.T) {
	eachBlock(t, func(t *testing.T, block block) {
		book := newRecords()
		s := traigo.New(t.Context(), traigo.Logger(book.logger()))
		s.Spawn(func(ctx context.Context) error { return block(ctx, time.Hour, untilCanceled) })
		synctest.Wait()
		require.NoError(t, s.Close())
		for _, r := range book.from(1) {
			assert.Fail(t, "logged as an error", r.Text)
		}
	}, "Shield")
}

func TestFailAfterInATaskIsAFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := traigo.New(t.Context())
		s.Spawn(func(ctx context.Context) error { return traigo.FailAfter(ctx, time.Second, untilCanceled) }, traigo.Name("work"))
		err := s.Wait()
		assert.Equal(t, "work", as[*traigo.TaskError](t, err).Task)
		_ = as[*traigo.TimeoutError](t, err)
	})
}

func TestShieldKeepsValuesAndIgnoresOuterEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		type key struct{}
		start := time.Now()
		ctx, cancel := context.WithTimeout(context.WithValue(t.Context(), key{}, "kept"), time.Second)
		defer cancel()
		fn := func(ctx context.Context) error {
			assert.Equal(t, "kept", ctx.Value(key{}))
			deadline, ok := ctx.Deadline()
			assert.True(t, ok)
			assert.Equal(t, 5*time.Second, time.Until(deadline), "its own, not the outer one")
			return traigo.Sleep(ctx, 3*time.Second)
		}
		require.NoError(t, traigo.Shield(ctx, 5*time.Second, fn), "the outer end comes within")
		require.Error(t, ctx.Err())
		require.NoError(t, traigo.Shield(ctx, 5*time.Second, fn), "the outer end was before")
		assert.Equal(t, 6*time.Second, time.Since(start))

		err := traigo.Shield(ctx, 5*time.Second, untilCanceled)
		assert.Equal(t, 5*time.Second, as[*traigo.TimeoutError](t, err).After)
		assert.Equal(t, 11*time.Second, time.Since(start))
	})
}

func TestShieldOutlivesTheCancellationOfItsScopeButNotTheScope(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		s := traigo.New(t.Context())
		flushed := false
		s.Spawn(func(ctx context.Context) error {
			<-ctx.Done()
			return traigo.Shield(ctx, time.Minute, func(ctx context.Context) error {
				err := traigo.Sleep(ctx, 3*time.Second)
				flushed = err == nil
				return err
			})
		})
		synctest.Wait()
		require.NoError(t, s.Close())
		assert.True(t, flushed)
		assert.Equal(t, 3*time.Second, time.Since(start))
	})
}

func TestBlockLeavesCurrentAlone(t *testing.T) {
	eachBlock(t, func(t *testing.T, block block) {
		s := traigo.New(t.Context())
		s.Spawn(func(ctx context.Context) error {
			task := traigo.CurrentTask(ctx)
			return block(ctx, time.Second, func(ctx context.Context) error {
				assert.Same(t, s, traigo.Current(ctx))
				assert.NotNil(t, task)
				assert.Same(t, task, traigo.CurrentTask(ctx))
				assert.NotNil(t, traigo.Stopping(ctx))
				return nil
			})
		})
		require.NoError(t, s.Wait())
		require.NoError(t, block(t.Context(), time.Second, func(ctx context.Context) error {
			assert.Nil(t, traigo.Current(ctx))
			assert.Nil(t, traigo.CurrentTask(ctx))
			return nil
		}))
	})
}

func TestSleepEndsEarlyWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		require.NoError(t, traigo.Sleep(t.Context(), time.Second))
		assert.Equal(t, time.Second, time.Since(start))

		s := traigo.New(t.Context())
		time.AfterFunc(time.Second, func() { s.Cancel(nil) })
		require.ErrorIs(t, traigo.Sleep(s.Context(), time.Hour), context.Canceled)
		assert.Equal(t, 2*time.Second, time.Since(start))
		require.ErrorIs(t, traigo.Sleep(s.Context(), time.Hour), context.Canceled, "already over")
		assert.Equal(t, 2*time.Second, time.Since(start))
		require.NoError(t, s.Close())
	})
}

func TestBlockErrorThatContainsItsTimeoutIsNotDoubled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		err := traigo.FailAfter(t.Context(), time.Second, func(ctx context.Context) error {
			<-ctx.Done()
			return errors.Join(context.Cause(ctx), errBoom)
		})
		require.ErrorIs(t, err, errBoom)
		assert.Equal(t, "traigo: timed out after 1s\nboom", err.Error())
	})
}

// Deadlines are decided by the clock, not by the order in which timers are served.
func TestTimeoutIsDecidedByTheClock(t *testing.T) {
	type program = func(ctx context.Context, s *traigo.Scope) error
	read := func(ctx context.Context) error {
		here, there := net.Pipe()
		defer there.Close()
		deadline, _ := ctx.Deadline()
		_ = here.SetDeadline(deadline)
		_, err := here.Read(make([]byte, 1))
		return err
	}
	sleep := func(ctx context.Context) error { return traigo.Sleep(ctx, time.Second) }
	inBody := func(fn func(context.Context) error) program {
		return func(ctx context.Context, _ *traigo.Scope) error { return fn(ctx) }
	}
	inTask := func(fn func(context.Context) error, opts ...traigo.TaskOption) program {
		return func(_ context.Context, s *traigo.Scope) error { s.Spawn(fn, opts...); return nil }
	}
	rows := map[string]program{
		"a connection, in the body":  inBody(read),
		"a connection, in a task":    inTask(read),
		"a connection, in a Run":     inTask(func(ctx context.Context) error { return traigo.Run(ctx, inBody(read)) }),
		"a connection, in a wrapper": inTask(func(ctx context.Context) error { return fmt.Errorf("reading: %w", read(ctx)) }),
		"Sleep, in the body":         inBody(sleep),
		"Sleep, in a task":           inTask(sleep),
		"Sleep, in a Run":            inTask(func(ctx context.Context) error { return traigo.Run(ctx, inBody(sleep)) }),
		"an error at that instant":   inTask(failing(time.Second, errBoom)),
		"a scope further in with the same time": inTask(func(ctx context.Context) error {
			return traigo.Run(ctx, inBody(read), traigo.Timeout(time.Second))
		}),
		"a task with the same time": inTask(read, traigo.Timeout(time.Second)),
	}
	for name, body := range rows {
		t.Run(name, func(t *testing.T) {
			for range 20 {
				synctest.Test(t, func(t *testing.T) {
					err := traigo.Run(t.Context(), body, traigo.Timeout(time.Second), traigo.Name("s"))
					first := outcome(t, err).Err
					timeout := as[*traigo.TimeoutError](t, first)
					require.Same(t, first, timeout, "%v", err)
					assert.Equal(t, "s", timeout.Scope)
				})
			}
		})
	}
}

// What the function returned besides is kept.
func TestTimeoutKeepsWhatTheFunctionReturned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		err := traigo.Run(t.Context(), func(_ context.Context, s *traigo.Scope) error {
			s.Spawn(failing(time.Second, errBoom))
			return nil
		}, traigo.Timeout(time.Second))
		require.ErrorIs(t, err, errBoom)
		first := outcome(t, err).Err
		assert.Same(t, first, as[*traigo.TimeoutError](t, first))

		err = traigo.Run(t.Context(), func(_ context.Context, s *traigo.Scope) error {
			s.Spawn(lasting(time.Second), traigo.Timeout(time.Second))
			return nil
		})
		require.NoError(t, err, "a function that returned nil has succeeded")
	})
}

// What has passed has passed: an outer deadline cannot be moved any more at its instant.
func TestTimeoutThatHasPassedIsNotMoved(t *testing.T) {
	for range 20 {
		synctest.Test(t, func(t *testing.T) {
			outer := traigo.New(t.Context(), traigo.Name("outer"), traigo.Timeout(time.Second))
			inner := outer.Fork(traigo.Name("inner"), traigo.Timeout(time.Second))
			inner.Spawn(untilCanceled)
			time.Sleep(time.Second)
			outer.SetTimeout(time.Hour)
			assert.Equal(t, &traigo.TimeoutError{Scope: "outer", After: time.Second}, outcome(t, outer.Wait()).Err)
			c := as[*traigo.Cancellation](t, inner.Err())
			assert.Equal(t, traigo.ParentCanceled, c.Kind)
			assert.Equal(t, 1, strings.Count(c.Error(), "timed out"))
		})
	}
}

func TestFailAfterAndMoveOnAfterAreDecidedByTheClock(t *testing.T) {
	for range 20 {
		synctest.Test(t, func(t *testing.T) {
			err := traigo.FailAfter(t.Context(), time.Second, failing(time.Second, errBoom))
			assert.IsType(t, (*traigo.TimeoutError)(nil), as[*traigo.TimeoutError](t, err))
			require.ErrorIs(t, err, errBoom)
			expired, err := traigo.MoveOnAfter(t.Context(), time.Second, func(ctx context.Context) error {
				return traigo.Sleep(ctx, time.Second)
			})
			assert.True(t, expired)
			require.NoError(t, err)
			expired, err = traigo.MoveOnAfter(t.Context(), 2*time.Second, func(ctx context.Context) error {
				return traigo.Sleep(ctx, time.Second)
			})
			assert.False(t, expired)
			require.NoError(t, err)
		})
	}
}

// Of several deadlines that have passed when a task fails, the earliest decides; of equal
// ones the outermost.
func TestTimeoutOfTheEarliestDeadlineDecides(t *testing.T) {
	for name, row := range map[string]struct {
		own, scope   time.Duration
		first, tasks string // paths in the TimeoutErrors of the outcome and of the task
	}{
		"the task's":                 {time.Second, 2 * time.Second, "s", "s/t"},
		"the scope's":                {2 * time.Second, time.Second, "s", ""},
		"the scope's, of equal ones": {time.Second, time.Second, "s", ""},
		"the task's alone":           {3 * time.Second, time.Hour, "s/t", "s/t"},
	} {
		t.Run(name, func(t *testing.T) {
			for range 20 {
				synctest.Test(t, func(t *testing.T) {
					s := traigo.New(t.Context(), traigo.Timeout(row.scope), traigo.Name("s"))
					task := s.Spawn(failing(3*time.Second, errBoom), traigo.Timeout(row.own), traigo.Name("t"))
					e := outcome(t, s.Wait())
					require.ErrorIs(t, e, errBoom, "kept")
					require.Equal(t, row.first, as[*traigo.TimeoutError](t, e.Err).Scope)
					if row.tasks != "" {
						require.Equal(t, row.tasks, as[*traigo.TimeoutError](t, task.Err()).Scope)
					}
				})
			}
		})
	}
}

// The deadline of an outer context is at the instant at which the body fails.
func TestTimeoutOfAForeignContextIsDecidedByTheClock(t *testing.T) {
	for name, opts := range map[string][]traigo.ScopeOption{"alone": nil, "with the same timeout": {traigo.Timeout(time.Second)}} {
		t.Run(name, func(t *testing.T) {
			for range 20 {
				synctest.Test(t, func(t *testing.T) {
					ctx, cancel := context.WithTimeout(t.Context(), time.Second)
					defer cancel()
					err := traigo.Run(ctx, func(context.Context, *traigo.Scope) error {
						time.Sleep(time.Second)
						return errBoom
					}, opts...)
					e := outcome(t, err)
					require.Same(t, e.Err, as[*traigo.Cancellation](t, e.Err))
					require.ErrorIs(t, e.Err, context.DeadlineExceeded)
					require.ErrorIs(t, err, errBoom)
				})
			}
		})
	}
}

// detached was detached from its end by hand, and has kept its deadline, which is none then.
type detached struct {
	context.Context //nolint:containedctx // it is one
	deadline        time.Time
}

func (d detached) Deadline() (time.Time, bool) { return d.deadline, true }

func TestTimeoutUnderADetachedContextIsTheOwn(t *testing.T) {
	for name, use := range map[string]func(ctx context.Context) error{
		"scope": func(ctx context.Context) error {
			return traigo.Run(ctx, func(ctx context.Context, _ *traigo.Scope) error { return untilCanceled(ctx) }, traigo.Timeout(2*time.Second))
		},
		"task": func(ctx context.Context) error {
			s := traigo.New(ctx)
			s.Spawn(untilCanceled, traigo.Timeout(2*time.Second))
			return s.Wait()
		},
		"FailAfter": func(ctx context.Context) error { return traigo.FailAfter(ctx, 2*time.Second, untilCanceled) },
		"MoveOnAfter": func(ctx context.Context) error {
			expired, err := traigo.MoveOnAfter(ctx, 2*time.Second, untilCanceled)
			if expired && err == nil {
				return &traigo.TimeoutError{}
			}
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				begin := time.Now()
				_ = as[*traigo.TimeoutError](t, use(detached{context.Background(), begin.Add(time.Second)}))
				assert.Less(t, time.Since(begin)-2*time.Second, time.Microsecond)
				assert.GreaterOrEqual(t, time.Since(begin), 2*time.Second)
			})
		})
	}
}

func TestMoveOnAfterTakesAnErrorThatSaysItIsTheDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		expired, err := traigo.MoveOnAfter(t.Context(), time.Second, func(ctx context.Context) error {
			<-ctx.Done()
			return &net.OpError{Op: "dial", Net: "tcp", Err: leafError{context.DeadlineExceeded}}
		})
		assert.True(t, expired)
		require.NoError(t, err)
	})
}
