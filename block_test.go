package traigo_test

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

type block = func(ctx context.Context, d time.Duration, fn func(context.Context) error) error

// moveOn is MoveOnAfter as the other two are.
func moveOn(ctx context.Context, d time.Duration, fn func(context.Context) error) error {
	_, err := traigo.MoveOnAfter(ctx, d, fn)
	return err
}

var blocks = map[string]block{"MoveOnAfter": moveOn, "FailAfter": traigo.FailAfter, "Shield": traigo.Shield}

// eachBlock runs f in a bubble of its own for each of them but those named.
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

		require.NoError(t, block(t.Context(), 5*time.Second, cleaning(0, nil)), "it made it after all")
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
				assert.Equal(t, context.DeadlineExceeded, ctx.Err(), "this very value")
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
		// Both a later deadline and, for an outer deadline, one at the same instant.
		for _, d := range []time.Duration{5 * time.Second, time.Second} {
			if d == time.Second && name != "deadline" {
				continue // which of two events at one instant comes first is decided for deadlines only
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

// What fn sees, and may return, must not depend on which timer fires first.
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

// A block does not turn its scope's cancellation into something that looks like a failure.
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

func TestBlockRefusesMisuse(t *testing.T) {
	for name, block := range blocks {
		t.Run(name, func(t *testing.T) {
			requireMisuse(t, func() { _ = block(t.Context(), -1, untilCanceled) })
			requireMisuse(t, func() { _ = block(t.Context(), 1, nil) })
		})
	}
	requireMisuse(t, func() { _ = traigo.Sleep(t.Context(), -1) })
}
