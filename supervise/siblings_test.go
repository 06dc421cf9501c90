package supervise_test

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/supervise"
)

// family runs body with siblings in a scope named "app", with log as its logger.
func family(ctx context.Context, log *book, body func(ctx context.Context, s *supervise.Siblings) error, opts ...traigo.ScopeOption) error {
	return supervise.Run(ctx, body, append(opts, log.logger(), traigo.Name("app"))...)
}

func TestSiblingFailsAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log book
		start, reached := time.Now(), false
		err := family(t.Context(), &log, func(_ context.Context, s *supervise.Siblings) error {
			s.Spawn(always(errBoom), traigo.Name("a"))
			s.Spawn(func(ctx context.Context) error {
				reached = true
				return traigo.Sleep(ctx, time.Minute)
			})
			s.Spawn(after(time.Second, errBang), traigo.Name("b"))
			return nil
		})
		require.EqualError(t, err, `scope "app": task "a": boom; also: task "b": bang`)
		require.ErrorIs(t, err, errBoom)
		require.ErrorIs(t, err, errBang)
		assert.True(t, reached)
		assert.Equal(t, time.Minute, time.Since(start), "the others run on")
		assert.Equal(t, []string{
			`level=WARN msg="traigo: a task has failed, its siblings run on" scope=app task=app/a err=boom`,
			`level=WARN msg="traigo: a task has failed, its siblings run on" scope=app task=app/b err=bang`,
		}, log.lines())
	})
}

func TestSiblingsThatSucceedAreNoError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log book
		require.NoError(t, family(t.Context(), &log, func(_ context.Context, s *supervise.Siblings) error {
			s.Spawn(always(nil))
			return nil
		}))
		assert.Empty(t, log.lines())
	})
}

func TestSiblingIsLoggedAsItFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log book
		require.Error(t, family(t.Context(), &log, func(ctx context.Context, s *supervise.Siblings) error {
			s.Spawn(always(errBoom))
			synctest.Wait()
			assert.Len(t, log.lines(), 1)
			return traigo.Sleep(ctx, time.Second)
		}))
	})
}

func TestManyFailuresOfSiblingsAreCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log book
		err := family(t.Context(), &log, func(_ context.Context, s *supervise.Siblings) error {
			for n := range 20 {
				s.Spawn(after(time.Duration(n), fmt.Errorf("error %d", n)))
			}
			return nil
		})
		var e *traigo.Error
		require.ErrorAs(t, err, &e)
		require.Len(t, e.Unwrap(), 16)
		require.ErrorContains(t, e.Unwrap()[15], "error 15")
		require.Equal(t, 4, e.More)
		assert.Len(t, log.lines(), 20, "all of them are logged")
	})
}

// The errors that package traigo has counted are still counted when those of siblings are
// added.
func TestCountOfTheScopeItselfIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log book
		err := family(t.Context(), &log, func(ctx context.Context, s *supervise.Siblings) error {
			s.Spawn(always(errBang), traigo.Name("a"))
			for range 20 {
				traigo.Current(ctx).Spawn(func(ctx context.Context) error { <-ctx.Done(); return errBang }, traigo.Name("core"))
			}
			synctest.Wait()
			return errBoom
		})
		var e *traigo.Error
		require.ErrorAs(t, err, &e)
		require.Len(t, e.Others, 16)
		require.Equal(t, 5, e.More, "four that the core has counted, and the sibling")
		require.True(t, strings.HasSuffix(err.Error(), `; also: task "core": bang; and 5 more`), "%v", err)
	})
}

func TestBodyOfSiblingsCancelsAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log book
		err := family(t.Context(), &log, func(_ context.Context, s *supervise.Siblings) error {
			s.Spawn(always(errBang), traigo.Name("a"))
			s.Spawn(untilCanceled)
			synctest.Wait()
			return errBoom
		})
		require.EqualError(t, err, `scope "app": boom; also: task "a": bang`)
		assert.Len(t, log.lines(), 1, "who was canceled has not failed")
	})
}

func TestOuterCancellationReachesSiblings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log book
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(time.Second, func() { cancel(errOuter) })
		err := family(ctx, &log, func(_ context.Context, s *supervise.Siblings) error {
			s.Spawn(untilCanceled)
			s.Spawn(func(ctx context.Context) error { <-ctx.Done(); return context.Cause(ctx) })
			s.Spawn(func(ctx context.Context) error { <-ctx.Done(); return fmt.Errorf("flush: %w", errBang) }, traigo.Name("b"))
			return nil
		})
		require.EqualError(t, err, `scope "app": parent canceled: outer; also: task "b": scope "app/b": flush: bang`)
		assert.Len(t, log.lines(), 1)
	})
}

func TestSiblingThatWasCanceledHasNotFailed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log book
		require.NoError(t, family(t.Context(), &log, func(ctx context.Context, s *supervise.Siblings) error {
			task := s.Spawn(untilCanceled)
			synctest.Wait()
			task.Cancel(errOuter)
			assert.ErrorIs(t, task.Wait(ctx), errOuter)
			return nil
		}))
		assert.Empty(t, log.lines())
	})
}

func TestTimeoutOfASiblingIsAFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log book
		// MoveOnAfter cancels with a TimeoutError too, which must not be mistaken for the one
		// of the task.
		_, err := traigo.MoveOnAfter(t.Context(), time.Hour, func(ctx context.Context) error {
			return family(ctx, &log, func(_ context.Context, s *supervise.Siblings) error {
				s.Spawn(untilCanceled, traigo.Name("late"), traigo.Timeout(time.Second))
				s.Spawn(func(ctx context.Context) error { <-ctx.Done(); return nil }, traigo.Timeout(time.Second))
				s.Spawn(untilCanceled, traigo.Name("canceled"))
				return nil
			})
		})
		require.ErrorContains(t, err, `task "late": timed out after 1s`)
		require.NotContains(t, err.Error(), `task "canceled"`)
		assert.Len(t, log.lines(), 1)
	})
}

// The current scope of a sibling belongs to that sibling alone. Otherwise the failure of a
// task in it would cancel the other siblings.
func TestWhatASiblingSpawnsFailsWithIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log book
		start := time.Now()
		err := family(t.Context(), &log, func(_ context.Context, s *supervise.Siblings) error {
			s.Spawn(func(ctx context.Context) error {
				traigo.Current(ctx).Spawn(always(errBoom), traigo.Name("part"))
				return untilCanceled(ctx)
			}, traigo.Name("a"))
			s.Spawn(func(ctx context.Context) error { return traigo.Sleep(ctx, time.Second) })
			return nil
		})
		require.EqualError(t, err, `scope "app": task "a": task "part": boom`)
		assert.Equal(t, time.Second, time.Since(start))
	})
}

func TestTaskOfTheScopeItselfIsNoSibling(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log book
		start := time.Now()
		err := family(t.Context(), &log, func(ctx context.Context, s *supervise.Siblings) error {
			s.Spawn(untilCanceled)
			traigo.Current(ctx).Spawn(after(time.Second, errBoom), traigo.Name("core"))
			return nil
		})
		require.EqualError(t, err, `scope "app": task "core": boom`)
		assert.Equal(t, time.Second, time.Since(start))
	})
}

func TestSiblingBubblesNever(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log book
		start := time.Now()
		err := family(t.Context(), &log, func(_ context.Context, s *supervise.Siblings) error {
			s.Spawn(always(errBoom), traigo.Name("a"), traigo.Bubble(true))
			s.Spawn(after(time.Second, nil))
			return nil
		})
		require.EqualError(t, err, `scope "app": task "a": boom`)
		assert.Equal(t, time.Second, time.Since(start))
	})
}

func TestCallbackOwnsTheErrorOfASibling(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log book
		var got error
		require.NoError(t, family(t.Context(), &log, func(_ context.Context, s *supervise.Siblings) error {
			s.Spawn(always(errBoom), traigo.OnDone(func(err error) { got = err }))
			return nil
		}))
		assert.Equal(t, errBoom, got)
		assert.Empty(t, log.lines())
	})
}

func TestPanicOfASiblingIsRaised(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log book
		body := func(_ context.Context, s *supervise.Siblings) error {
			s.Spawn(untilCanceled)
			s.Spawn(func(context.Context) error { panic(errBoom) }, traigo.Name("a"))
			return nil
		}
		p, ok := raised(t, func() { _ = family(t.Context(), &log, body) }).(*traigo.PanicError)
		require.True(t, ok)
		require.ErrorIs(t, p, errBoom)
		require.Len(t, log.lines(), 1, "it is logged when it happens, and then only raised")
		assert.Contains(t, log.lines()[0], `level=ERROR msg="traigo: a task has panicked" scope=app task=app/a panic=boom `)
	})
}

func TestPanicOfASiblingCanBeAnError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log book
		start := time.Now()
		err := family(t.Context(), &log, func(_ context.Context, s *supervise.Siblings) error {
			s.Spawn(func(context.Context) error { panic(errBoom) }, traigo.Name("a"))
			s.Spawn(after(time.Second, nil))
			return nil
		}, traigo.PanicAsError())
		require.ErrorIs(t, err, errBoom)
		require.ErrorContains(t, err, `task "a": the body panicked: boom`)
		assert.Equal(t, time.Second, time.Since(start))
	})
}

func TestGoexitOfASiblingIsAFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log book
		err := family(t.Context(), &log, func(_ context.Context, s *supervise.Siblings) error {
			s.Spawn(func(context.Context) error { runtime.Goexit(); return nil })
			s.Spawn(after(time.Second, nil))
			return nil
		})
		require.ErrorIs(t, err, traigo.ErrGoexit)
		assert.Len(t, log.lines(), 1)
	})
}

func TestStuckSiblingIsNamed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log book
		end := make(chan struct{})
		err := family(t.Context(), &log, func(_ context.Context, s *supervise.Siblings) error {
			s.Spawn(func(context.Context) error { <-end; return errBang }, traigo.Name("stuck"))
			synctest.Wait()
			return errBoom
		}, traigo.CancelTimeout(time.Second))
		var stuck *traigo.StuckError
		require.ErrorAs(t, err, &stuck)
		assert.Equal(t, "app/stuck", stuck.Tasks[0].Path)
		require.NotErrorIs(t, err, errBang)
		close(end)
		synctest.Wait()
		require.NotErrorIs(t, err, errBang, "the outcome stands")
		assert.NotEmpty(t, log.lines(), "what came later is logged")
	})
}

func sibling(context.Context) error { return errBoom }

func TestSiblingIsNamedAfterItsFunction(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var seen opened
		err := supervise.Run(t.Context(), func(_ context.Context, s *supervise.Siblings) error {
			s.Spawn(sibling)
			return nil
		}, quiet(), traigo.Observe(&seen))
		require.ErrorContains(t, err, `task "sibling": boom`)
		assert.Equal(t, []string{
			"TestSiblingIsNamedAfterItsFunction.func1.1",
			"TestSiblingIsNamedAfterItsFunction.func1.1/sibling",
		}, seen.read())
	})
}
