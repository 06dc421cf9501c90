package traigo_test

import (
	"context"
	"fmt"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo"
)

// forkThatEnds opens a fork with one task, and returns when it has closed.
func forkThatEnds(s *traigo.Scope, name string, task func(context.Context) error) *traigo.Scope {
	child := s.Fork(traigo.Name(name))
	child.Spawn(task)
	child.Finalize()
	<-child.Done()
	return child
}

func TestForkIsAwaited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		require.NoError(t, traigo.Run(t.Context(), func(_ context.Context, s *traigo.Scope) error {
			child := s.Fork()
			child.Spawn(lasting(5 * time.Second))
			child.Finalize()
			return nil
		}))
		assert.Equal(t, 5*time.Second, time.Since(start))
	})
}

func TestForkThatNobodyEndsKeepsTheParent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := traigo.New(t.Context())
		child := s.Fork()
		s.Finalize()
		time.Sleep(time.Hour)
		assert.Equal(t, traigo.Finalizing, s.State())
		assert.Equal(t, traigo.Open, child.State())
		require.NoError(t, child.Close())
		<-s.Done()
		require.NoError(t, s.Err())
	})
}

func TestForkDoesNotBubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		s := traigo.New(t.Context())
		sibling := s.Spawn(func(ctx context.Context) error { return traigo.Sleep(ctx, 5*time.Second) })
		child := s.Fork()
		child.Spawn(failing(time.Second, errBoom))
		require.ErrorIs(t, child.Wait(), errBoom)
		assert.Equal(t, traigo.Open, s.State())
		require.NoError(t, s.Wait())
		require.NoError(t, sibling.Err())
		assert.Equal(t, 5*time.Second, time.Since(start))
	})
}

func TestForkIsReachedByTheParentsCause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := traigo.New(t.Context(), traigo.Name("parent"))
		child := s.Fork(traigo.Name("child"))
		causes := make(chan error, 1)
		child.Spawn(func(ctx context.Context) error {
			<-ctx.Done()
			causes <- context.Cause(ctx)
			return ctx.Err()
		})
		s.Cancel(errBoom)

		cause := <-causes
		require.ErrorIs(t, cause, errBoom)
		why := as[*traigo.Cancellation](t, cause)
		for why.Kind == traigo.ParentCanceled { // "is, or wraps"
			why = as[*traigo.Cancellation](t, why.Err)
		}
		assert.Equal(t, traigo.Requested, why.Kind)
		assert.Equal(t, "parent", why.Scope)

		err := child.Wait()
		first, ok := as[*traigo.Error](t, err).Err.(*traigo.Cancellation) //nolint:errorlint // it must be this very one
		require.True(t, ok, "%v", err)
		assert.Equal(t, traigo.ParentCanceled, first.Kind)
		require.ErrorIs(t, err, errBoom)
		require.ErrorIs(t, err, context.Canceled)
		require.ErrorIs(t, s.Wait(), errBoom)
	})
}

func TestForkIsJoinedWhenTheParentIsCanceled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		s := traigo.New(t.Context())
		child := s.Fork()
		child.Spawn(cleaning(3*time.Second, nil))
		require.NoError(t, s.Close())
		assert.Equal(t, 3*time.Second, time.Since(start))
		assert.True(t, closed(child.Done()))
	})
}

func TestForkThatFailedUnattendedIsLogged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		book := newRecords()
		s := traigo.New(t.Context(), traigo.Name("parent"), traigo.Logger(book.logger()))
		forkThatEnds(s, "child", failing(0, errBoom))
		time.Sleep(time.Hour)
		synctest.Wait()
		assert.Empty(t, book.at(slog.LevelError), "somebody may still ask")

		require.NoError(t, s.Wait(), "it is not the parent's failure")
		lost := book.at(slog.LevelError)
		require.Len(t, lost, 1)
		assert.True(t, mentions(lost[0].Text, "parent/child", "boom"), lost[0].Text)
	})
}

func TestForkWhoseOutcomeIsAskedForIsNotLogged(t *testing.T) {
	asks := map[string]func(*traigo.Scope) error{
		"Wait":  (*traigo.Scope).Wait,
		"Close": (*traigo.Scope).Close,
		"Err":   (*traigo.Scope).Err,
	}
	for name, ask := range asks {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				book := newRecords()
				s := traigo.New(t.Context(), traigo.Logger(book.logger()))
				child := forkThatEnds(s, "child", failing(0, errBoom))
				require.ErrorIs(t, ask(child), errBoom)
				require.NoError(t, s.Close())
				assert.Empty(t, book.at(slog.LevelError))
			})
		})
	}
}

// Whoever waits has asked, even if the parent is gone before it has its answer.
func TestForkThatIsWaitedForAsItFailsIsNotLogged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		book := newRecords()
		s := traigo.New(t.Context(), traigo.Logger(book.logger()))
		child := s.Fork()
		child.Spawn(failing(time.Second, errBoom))
		outcome := make(chan error, 1)
		go func() { outcome <- child.Wait() }()
		require.NoError(t, s.Wait())
		assert.Empty(t, book.at(slog.LevelError))
		require.ErrorIs(t, <-outcome, errBoom)
	})
}

// Err has no outcome to give before the end: who got nil does not know.
func TestForkIsNotAskedByErrBeforeItsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		book := newRecords()
		s := traigo.New(t.Context(), traigo.Logger(book.logger()))
		child := s.Fork()
		child.Spawn(failing(time.Second, errBoom))
		require.NoError(t, child.Err())
		require.NoError(t, s.Wait())
		assert.Len(t, book.at(slog.LevelError), 1)
	})
}

func TestForkThatMerelyFollowedTheParentIsNotLogged(t *testing.T) {
	rows := map[string]struct {
		task func(context.Context) error
		lost int
	}{
		"only canceled":       {untilCanceled, 0},
		"an error of its own": {cleaning(time.Second, errBoom), 1},
	}
	for name, row := range rows {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				book := newRecords()
				s := traigo.New(t.Context(), traigo.Logger(book.logger()))
				child := s.Fork()
				child.Spawn(row.task)
				synctest.Wait()
				require.NoError(t, s.Close())
				lost := book.at(slog.LevelError)
				require.Len(t, lost, row.lost)
				for _, r := range lost {
					assert.Contains(t, r.Text, "boom")
				}
			})
		})
	}
}

func TestForkThatPanickedIsRaisedByTheParent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		s := traigo.New(t.Context())
		sibling := s.Spawn(func(ctx context.Context) error { return traigo.Sleep(ctx, 5*time.Second) })
		child := s.Fork()
		child.Spawn(panicking("oops"), traigo.Name("work"))
		<-child.Done()
		assert.Equal(t, traigo.Open, s.State(), "the parent is not canceled by it")

		value := raised(func() { _ = s.Wait() })
		require.IsType(t, (*traigo.PanicError)(nil), value)
		assert.Equal(t, "work", value.(*traigo.PanicError).Task)
		require.NoError(t, sibling.Err())
		assert.Equal(t, 5*time.Second, time.Since(start))
	})
}

func TestForkThatPanickedAndWasAskedIsNotRaisedAgain(t *testing.T) {
	asks := map[string]func(t *testing.T, child *traigo.Scope){
		"Wait": func(t *testing.T, child *traigo.Scope) {
			assert.NotNil(t, raised(func() { _ = child.Wait() }))
		},
		"Close": func(t *testing.T, child *traigo.Scope) {
			assert.NotNil(t, raised(func() { _ = child.Close() }))
		},
		"Err": func(t *testing.T, child *traigo.Scope) {
			_ = as[*traigo.PanicError](t, child.Err())
		},
	}
	for name, ask := range asks {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := traigo.New(t.Context())
				ask(t, forkThatEnds(s, "child", panicking("oops")))
				require.NoError(t, s.Close())
			})
		})
	}
}

func TestForkKeepsSixteenOutcomes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		book := newRecords()
		s := traigo.New(t.Context(), traigo.Name("parent"), traigo.Logger(book.logger()))
		fail := func(i int) {
			forkThatEnds(s, fmt.Sprintf("fork%d.", i), failing(0, errBoom))
			synctest.Wait()
		}
		for i := range 16 {
			fail(i)
		}
		require.Empty(t, book.at(slog.LevelError))
		fail(16)
		fail(17)
		lost := book.at(slog.LevelError)
		require.Len(t, lost, 2, "at once, not at the end")
		assert.Contains(t, lost[0].Text, "parent/fork0.")
		assert.Contains(t, lost[1].Text, "parent/fork1.")

		require.NoError(t, s.Close())
		lost = book.at(slog.LevelError)
		require.Len(t, lost, 18, "each of them once")
		for i := range 18 {
			count := 0
			for _, r := range lost {
				if mentions(r.Text, fmt.Sprintf("parent/fork%d.", i)) {
					count++
				}
			}
			assert.Equal(t, 1, count, "fork%d", i)
		}
	})
}

func TestForkOfAnEndedScopeIsClosed(t *testing.T) {
	rows := map[traigo.State]func(*traigo.Scope){
		traigo.Canceling: func(s *traigo.Scope) { s.Spawn(cleaning(time.Second, nil)); s.Cancel(errBoom) },
		traigo.Closed:    func(s *traigo.Scope) { s.Cancel(errBoom); <-s.Done() },
	}
	for state, end := range rows {
		t.Run(state.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := traigo.New(t.Context())
				end(s)
				require.Equal(t, state, s.State())

				child := s.Fork()
				assert.Equal(t, traigo.Closed, child.State())
				assert.True(t, closed(child.Done()))
				assert.Error(t, child.Context().Err())
				assert.True(t, closed(child.Context().Done()))
				assert.True(t, closed(traigo.Stopping(child.Context())))
				require.ErrorIs(t, child.Err(), traigo.ErrRefused)
				require.ErrorIs(t, child.Wait(), traigo.ErrRefused)
				require.ErrorIs(t, child.Close(), traigo.ErrRefused)

				task := child.Spawn(func(context.Context) error {
					assert.Fail(t, "a refused task ran")
					return nil
				})
				assert.True(t, closed(task.Done()))
				require.ErrorIs(t, task.Err(), traigo.ErrRefused)
				require.ErrorIs(t, s.Wait(), errBoom)
				require.NotErrorIs(t, s.Err(), traigo.ErrRefused, "it is no matter of the parent's")
			})
		})
	}
}

func TestForkOfAFinalizingScopeIsAccepted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		s := traigo.New(t.Context())
		s.Spawn(func(context.Context) error {
			time.Sleep(time.Second)
			child := s.Fork()
			child.Spawn(lasting(time.Second))
			child.Finalize()
			return nil
		})
		require.NoError(t, s.Wait())
		assert.Equal(t, 2*time.Second, time.Since(start))
	})
}

func TestNewUnderAScopeIsNotWaitedForButJoined(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		var side *traigo.Scope
		require.NoError(t, traigo.Run(t.Context(), func(ctx context.Context, s *traigo.Scope) error {
			side = traigo.New(ctx, traigo.Name("side"))
			side.Spawn(cleaning(3*time.Second, nil))
			s.Spawn(lasting(2 * time.Second))
			return nil
		}, traigo.Name("parent")))
		assert.Equal(t, 5*time.Second, time.Since(start), "canceled when the rest was done, then joined")
		assert.Equal(t, "parent/side", side.Path())
		assert.True(t, closed(side.Done()))
		assert.Equal(t, traigo.ParentCanceled, as[*traigo.Cancellation](t, side.Err()).Kind)
	})
}

func TestNewUnderAScopeIsJoinedWhenTheParentFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		s := traigo.New(t.Context())
		side := traigo.New(s.Context())
		side.Spawn(cleaning(3*time.Second, nil))
		s.Cancel(errBoom)
		require.ErrorIs(t, s.Wait(), errBoom)
		assert.Equal(t, 3*time.Second, time.Since(start))
		require.ErrorIs(t, side.Err(), errBoom)
	})
}

func TestNewUnderAShieldedContextIsJoinedAllTheSame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		var side *traigo.Scope
		require.NoError(t, traigo.Run(t.Context(), func(ctx context.Context, _ *traigo.Scope) error {
			side = traigo.New(context.WithoutCancel(ctx))
			side.Spawn(cleaning(3*time.Second, nil))
			return nil
		}))
		assert.True(t, closed(side.Done()))
		assert.Equal(t, 3*time.Second, time.Since(start))
	})
}

// Run gives its outcome to its caller: the parent has no part in it.
func TestForkRulesAreNotForRun(t *testing.T) {
	rows := map[string]func(ctx context.Context) error{
		"a failure that is dealt with": func(ctx context.Context) error {
			assert.ErrorIs(t, traigo.Run(ctx, func(context.Context, *traigo.Scope) error { return errBoom }), errBoom)
			return nil
		},
		"a panic of a task that is recovered": func(ctx context.Context) error {
			assert.NotNil(t, raised(func() {
				_ = traigo.Run(ctx, func(_ context.Context, s *traigo.Scope) error {
					s.Spawn(panicking("oops"))
					return nil
				})
			}))
			return nil
		},
		"a panic of a body that is recovered": func(ctx context.Context) error {
			assert.NotNil(t, raised(func() {
				_ = traigo.Run(ctx, func(context.Context, *traigo.Scope) error { panic("oops") })
			}))
			return nil
		},
	}
	for name, row := range rows {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				book := newRecords()
				s := traigo.New(t.Context(), traigo.Logger(book.logger()))
				s.Spawn(row)
				require.Nil(t, raised(func() { assert.NoError(t, s.Wait()) }))
				assert.Empty(t, book.from(slog.LevelWarn))
			})
		})
	}
}
