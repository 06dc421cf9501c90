package reports_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo"
)

// golang/go#27837, a comment of 2020-04-09: who acquires a semaphore before errgroup's Go,
// under the context of the group, and returns when that fails, reports "context canceled"
// and not the error of the function that canceled the group. Here the body may return what
// the semaphore gave it: the outcome is the failure behind it.
func TestBodyThatOnlyMeetsTheCancellationDoesNotHideItsCause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		semaphore := make(chan struct{}, 2)
		acquire := func(ctx context.Context) error {
			select {
			case semaphore <- struct{}{}:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		var met error
		err := traigo.Run(t.Context(), func(ctx context.Context, s *traigo.Scope) error {
			for _, work := range []func(context.Context) error{untilCanceled, failAfter(time.Second), untilCanceled} {
				if met = acquire(ctx); met != nil {
					return met
				}
				s.Spawn(work, traigo.Name("work")) // it releases nothing, so the body meets its context
			}
			return nil
		}, traigo.Name("batch"))

		require.Equal(t, context.Canceled, met, "the body has met the cancellation")
		outcome := requireOutcome(t, err)
		assertOf(t, outcome.Err, "work", errBoom)
		assert.Empty(t, outcome.Others)
		require.EqualError(t, err, `scope "batch": task "work": boom`)
		require.NotErrorIs(t, err, context.Canceled)
	})
}

// golang/go#53757 and rudderlabs/rudder-server#6011: errgroup 0.15 kept a panic until Wait,
// and a service that calls Wait only at its shutdown ran on without a sign of it; the change
// was reverted. Here the panic is logged and cancels the rest when it happens, and whoever
// waits, however late, panics with it.
func TestPanicIsSaidAtOnceAlsoWhereNobodyWaitsYet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log journal
		s := traigo.New(t.Context(), traigo.Name("service"), log.option())
		other := s.Spawn(untilCanceled)
		reader := s.Spawn(func(context.Context) error {
			time.Sleep(time.Second)
			panic(errBoom)
		}, traigo.Name("reader"))

		time.Sleep(time.Second)
		said := log.read()
		assert.Contains(t, said, "level=ERROR")
		assert.Contains(t, said, "service/reader")
		assert.Contains(t, said, "go_test.go", "the stack")
		<-other.Done()
		assert.Same(t, reader, s.CanceledBy())
		task, ran := s.TrySpawn(untilCanceled)
		assert.False(t, ran, "nothing new starts in what is broken")
		require.ErrorIs(t, task.Err(), traigo.ErrRefused)

		time.Sleep(time.Hour)
		defer func() {
			var panicked *traigo.PanicError
			raised, _ := recover().(error)
			require.ErrorAs(t, raised, &panicked)
			assert.Equal(t, "service/reader", panicked.Task)
			require.ErrorIs(t, panicked, errBoom)
			assert.Equal(t, 1, strings.Count(log.read(), "a task has panicked"), "said once")
		}()
		err := s.Wait()
		assert.Fail(t, "Wait has returned", "%v", err)
	})
}

// coinbase/mesh-sdk-go#90: the context of errgroup.WithContext was passed on to code that
// used it after Wait, and functions returned at once because it was canceled.
// Here it is a parameter of the body, so the outer one keeps its name; and if it is kept
// all the same, its cause says which scope has ended, and nothing starts there.
func TestContextThatOutlivesItsScopeSaysWhichScopeHasEnded(t *testing.T) {
	ctx := t.Context()
	keep := make(chan context.Context, 1)
	require.NoError(t, traigo.Run(ctx, func(ctx context.Context, s *traigo.Scope) error {
		keep <- ctx
		s.Spawn(func(context.Context) error { return nil })
		return nil
	}, traigo.Name("sync"), traigo.Timeout(time.Hour)))
	require.NoError(t, ctx.Err())

	kept := <-keep
	derived, cancel := context.WithCancel(kept)
	defer cancel()
	for _, late := range []context.Context{kept, derived} {
		require.Equal(t, context.Canceled, late.Err(), "and no deadline")
		var why *traigo.Cancellation
		require.ErrorAs(t, context.Cause(late), &why)
		assert.Equal(t, traigo.Completed, why.Kind)
		assert.Equal(t, "sync", why.Scope)
		assert.Contains(t, why.Error(), "sync")

		task := traigo.Current(late).Spawn(func(context.Context) error { panic("has run") })
		require.ErrorIs(t, task.Err(), traigo.ErrRefused)
		require.ErrorAs(t, task.Err(), &why)
	}
}

// sourcegraph/conc#88: ten tasks of a pool of ten wait for the cancellation, the task that
// would fail and cancel them is the eleventh, and the program is a deadlock that the pool
// cannot end. Here it is the same mistake; but it is said after 10 s, with the path of the
// scope, and a time limit of the scope reaches whoever is blocked.
func TestTaskThatWaitsForASlotOfThoseWhoWaitForItIsNoSilentDeadlock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log journal
		start, refused, outcome := time.Now(), 0, make(chan error, 1)
		go func() {
			outcome <- traigo.Run(t.Context(), func(_ context.Context, s *traigo.Scope) error {
				for i := range 90 {
					fn := untilCanceled
					if i == 10 {
						fn = failAfter(0)
					}
					if task := s.Spawn(fn); task.ID() == 0 {
						assert.ErrorIs(t, task.Err(), traigo.ErrRefused)
						assert.ErrorIs(t, task.Err(), context.DeadlineExceeded, "the cause")
						refused++
					}
				}
				return nil
			}, traigo.Name("pool"), traigo.Limit(10), traigo.Timeout(time.Minute), log.option())
		}()

		time.Sleep(9 * time.Second)
		assert.Empty(t, log.read())
		time.Sleep(50 * time.Second)
		said := log.read()
		assert.Contains(t, said, "level=WARN")
		assert.Contains(t, said, "pool")

		err := <-outcome
		assertTook(t, time.Minute, start)
		assert.Equal(t, 80, refused)
		var timeout *traigo.TimeoutError
		require.ErrorAs(t, requireOutcome(t, err).Err, &timeout)
		assert.Equal(t, "pool", timeout.Scope)
		require.NotErrorIs(t, err, errBoom, "the eleventh has not run")
	})
}

// thejerf/suture#34: a supervisor that was stopped right after RemoveAndWait of a service
// waited for its whole stop timeout, and then reported a service that had long stopped.
// Here a scope waits for what runs: it ends with its last task, and names nobody as stuck.
func TestScopeDoesNotWaitForATaskThatWasStoppedJustBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := func(ctx context.Context) error {
			<-ctx.Done()
			time.Sleep(time.Second)
			return ctx.Err()
		}
		var log journal
		s := traigo.New(t.Context(), log.option(), traigo.CancelTimeout(10*time.Second))
		removed, stays := s.Spawn(slow), s.Spawn(slow)
		start := time.Now()
		removed.Cancel(nil)
		require.ErrorIs(t, removed.Wait(t.Context()), context.Canceled)
		assertTook(t, time.Second, start)
		assert.Equal(t, traigo.Running, stays.State())

		require.NoError(t, s.Close())
		assertTook(t, 2*time.Second, start)
		assert.Equal(t, traigo.Ended, removed.State())
		assert.Equal(t, traigo.Ended, stays.State())
		time.Sleep(time.Minute)
		assert.Empty(t, log.read(), "nobody was stuck")
	})
}
