package reports_test

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

// agronholm/anyio#517: two services are being started in one group, from tasks of another.
// The first fails after 3 s, which cancels the second group; the call that waits for the
// second service, which needs 20 s, went on waiting for it. Here Start ends with the context
// of its caller, with the service joined, and the group of the services is left alone.
func TestStartUnderOneScopeInAnotherEndsWithItsCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		services := traigo.New(t.Context(), traigo.Name("services"))
		healthy := services.Spawn(untilCanceled)
		left := false
		err := traigo.Run(t.Context(), func(ctx context.Context, s *traigo.Scope) error {
			s.Spawn(func(ctx context.Context) error {
				_, err := services.Start(ctx, func(ctx context.Context, _ func()) error {
					return failAfter(3 * time.Second)(ctx)
				})
				return err
			}, traigo.Name("first"))
			_, err := services.Start(ctx, func(ctx context.Context, ready func()) error {
				defer func() { left = true }()
				if err := traigo.Sleep(ctx, 20*time.Second); err != nil {
					return err
				}
				ready()
				return nil
			})
			assert.True(t, left, "joined")
			return err
		}, traigo.Name("starts"))

		assertTook(t, 3*time.Second, start)
		outcome := requireOutcome(t, err)
		assertOf(t, outcome.Err, "first", errBoom)
		assert.Empty(t, outcome.Others)
		assert.Equal(t, traigo.Open, services.State())
		assert.Equal(t, traigo.Running, healthy.State())
		require.NoError(t, services.Close())
	})
}

// agronholm/anyio#787: where a scope further out had been canceled already, a task that failed
// did not cancel its own group. Here the outer cancellation makes no difference to a group that
// is shielded from it: its failure cancels it at once, and both ends are told.
func TestFailureCancelsItsScopeAlsoWhereAnOuterOneIsCanceled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		errStop := errors.New("stop")
		outer := traigo.New(t.Context(), traigo.Name("outer"))
		var why *traigo.Cancellation
		outer.Spawn(func(ctx context.Context) error {
			<-ctx.Done()
			start := time.Now()
			defer func() { assertTook(t, time.Second, start) }()
			return traigo.Shield(ctx, time.Hour, func(ctx context.Context) error {
				return traigo.Run(ctx, func(_ context.Context, s *traigo.Scope) error {
					s.Spawn(failAfter(time.Second), traigo.Name("flush"))
					s.Spawn(func(ctx context.Context) error {
						<-ctx.Done()
						assert.ErrorAs(t, context.Cause(ctx), &why)
						return ctx.Err()
					})
					return nil
				}, traigo.Name("cleanup"))
			})
		}, traigo.Name("worker"))

		synctest.Wait()
		outer.Cancel(errStop)
		outcome := requireOutcome(t, outer.Wait())
		assert.Equal(t, errStop, outcome.Err)
		if assert.Len(t, outcome.Others, 1) {
			assertOf(t, requireOutcome(t, outcome.Others[0]).Err, "flush", errBoom)
		}
		require.NotNil(t, why)
		assert.Equal(t, traigo.TaskFailed, why.Kind)
		assert.Equal(t, "outer/cleanup", why.Scope)
		require.ErrorIs(t, why, errBoom)
	})
}

// python-trio/trio#59: several errors arrive at fail_after together, one of them only the
// cancellation: that one is absorbed and the other goes on alone, so that nothing says that
// the time was up. Here FailAfter tells both, MoveOnAfter the error beside expired, and a
// crowd of mere cancellations is no error.
func TestTimeLimitIsToldBesideTheErrorsThatCameWithIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		group := func(fns ...func(context.Context) error) func(context.Context) error {
			return func(ctx context.Context) error {
				return traigo.Run(ctx, func(_ context.Context, s *traigo.Scope) error {
					for _, fn := range fns {
						s.Spawn(fn)
					}
					return nil
				})
			}
		}
		broken := func(ctx context.Context) error { <-ctx.Done(); return errBoom }

		err := traigo.FailAfter(t.Context(), time.Second, group(untilCanceled, broken))
		var timeout *traigo.TimeoutError
		require.ErrorAs(t, err, &timeout)
		assert.Equal(t, time.Second, timeout.After)
		require.ErrorIs(t, err, errBoom)

		expired, err := traigo.MoveOnAfter(t.Context(), time.Second, group(untilCanceled, broken))
		assert.True(t, expired)
		require.ErrorIs(t, err, errBoom)

		expired, err = traigo.MoveOnAfter(t.Context(), time.Second, group(untilCanceled, group(untilCanceled, untilCanceled)))
		assert.True(t, expired)
		require.NoError(t, err)
	})
}

// Kotlin/kotlinx.coroutines#3504: a block under withTimeout or withContext that has opened a
// socket as its time was up has its result dropped, and nobody can close the socket. Here who
// returns without an error has succeeded, however late, and the result of a task is there for
// the next who asks.
func TestResourceThatIsOpenedTooLateIsNotLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		opened := 0
		open := func(context.Context) (*int, error) { // it does not look at its context
			time.Sleep(2 * time.Second)
			opened++
			return &opened, nil
		}
		var socket *int
		into := func(ctx context.Context) (err error) { socket, err = open(ctx); return err }

		require.NoError(t, traigo.FailAfter(t.Context(), time.Second, into))
		assert.NotNil(t, socket)
		expired, err := traigo.MoveOnAfter(t.Context(), time.Second, into)
		require.NoError(t, err)
		assert.True(t, expired, "it was late, and has its result")

		require.NoError(t, traigo.Run(t.Context(), func(ctx context.Context, s *traigo.Scope) error {
			late := traigo.Async(s, open, traigo.Timeout(time.Second))
			hasty, cancel := context.WithTimeout(ctx, time.Second)
			defer cancel()
			got, err := late.Await(hasty)
			assert.ErrorIs(t, err, context.DeadlineExceeded)
			assert.Nil(t, got)
			got, err = late.Await(ctx)
			assert.NotNil(t, got)
			return err
		}))
		assert.Equal(t, 3, opened)
	})
}

// tokio-rs/tokio#4853: abort of a task that was started with spawn_blocking does not stop it,
// which its user had expected: the call ticks on. It cannot be stopped here either; but who waits
// for the task is let go, and observers, the tree and the log tell what became of the call.
func TestBlockingCallThatIsCanceledIsLeftBehindInSight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log journal
		var abandoned []string
		ticks := 0
		s := traigo.New(t.Context(), traigo.Name("app"), log.option(), traigo.Observe(observer(func(e traigo.Event) {
			if e.Kind == traigo.TaskAbandoned {
				abandoned = append(abandoned, e.Task.Path())
			}
		})))
		start := time.Now()
		task := s.Spawn(traigo.Blocking(func() error {
			for range 6 {
				time.Sleep(time.Second)
				ticks++
			}
			return errBoom
		}), traigo.Name("ticker"))

		time.Sleep(3500 * time.Millisecond)
		task.Cancel(nil)
		require.ErrorIs(t, task.Wait(t.Context()), context.Canceled)
		assertTook(t, 3500*time.Millisecond, start)
		assert.False(t, task.Failed())
		synctest.Wait()
		assert.Equal(t, []string{"app/ticker"}, abandoned)
		assert.Contains(t, s.Snapshot().String(), "ticker", "still there")
		assert.Equal(t, traigo.Open, s.State())
		assert.Empty(t, log.read())

		time.Sleep(3 * time.Second)
		said := log.read()
		assert.Equal(t, 6, ticks)
		assert.Contains(t, said, "level=WARN")
		assert.Contains(t, said, "boom", "its error has nobody else")
		assert.NotContains(t, s.Snapshot().String(), "ticker")
		require.NoError(t, s.Close())
	})
}

type observer func(traigo.Event)

func (o observer) Observe(e traigo.Event) { o(e) }
