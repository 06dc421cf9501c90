package traigo_test

import (
	"context"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo"
)

func TestRunAndNewAppearAsChildren(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		require.NoError(t, traigo.Run(t.Context(), func(ctx context.Context, s *traigo.Scope) error {
			side := traigo.New(ctx, traigo.Name("side"))
			s.Spawn(func(ctx context.Context) error {
				return traigo.Run(ctx, func(ctx context.Context, inner *traigo.Scope) error {
					assert.Equal(t, "server/conn", inner.Path())
					assert.Same(t, inner, traigo.Current(ctx))
					deep := traigo.New(ctx, traigo.Name("deep"))
					assert.Equal(t, "server/conn/deep", deep.Path())
					return traigo.Sleep(ctx, time.Second)
				}, traigo.Name("conn"))
			})
			synctest.Wait()
			assert.Equal(t, "server/side", side.Path())
			children := map[string]int{}
			for _, child := range s.Snapshot().Scopes {
				children[child.Path] = len(child.Scopes)
			}
			assert.Equal(t, map[string]int{"server/side": 0, "server/conn": 1}, children)
			return nil
		}, traigo.Name("server")))
	})
}

// A Run that were a participant of its own would keep the parent alive.
func TestRunIsPartOfTheTaskThatCallsIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var (
			book  logbook
			inner error
		)
		start := time.Now()
		require.NoError(t, traigo.Run(t.Context(), func(_ context.Context, s *traigo.Scope) error {
			s.Spawn(func(ctx context.Context) error {
				inner = traigo.Run(ctx, func(ctx context.Context, _ *traigo.Scope) error {
					return traigo.Sleep(ctx, time.Hour)
				})
				return nil
			}, traigo.Awaited(false))
			return traigo.Sleep(s.Context(), time.Second)
		}))
		assert.Equal(t, time.Second, time.Since(start))
		require.ErrorIs(t, inner, context.Canceled)

		err := traigo.Run(t.Context(), func(_ context.Context, s *traigo.Scope) error {
			s.Spawn(func(ctx context.Context) error {
				inner = traigo.Run(ctx, func(context.Context, *traigo.Scope) error { return errBoom })
				return nil
			})
			return nil
		}, book.logger())
		require.NoError(t, err, "the failure is the calling task's to report")
		require.ErrorIs(t, inner, errBoom)
		assert.Zero(t, book.count(slog.LevelWarn, ""))
		assert.Zero(t, book.count(slog.LevelError, ""), "it was returned, so it is not lost")
	})
}

func TestNewIsCanceledAndJoinedByItsParent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		var (
			child *traigo.Scope
			told  time.Duration
		)
		require.NoError(t, traigo.Run(t.Context(), func(ctx context.Context, s *traigo.Scope) error {
			child = traigo.New(ctx)
			child.Spawn(func(ctx context.Context) error {
				<-ctx.Done()
				told = time.Since(start)
				time.Sleep(time.Second)
				return nil
			})
			s.Spawn(func(context.Context) error { time.Sleep(time.Second); return nil })
			return nil
		}))
		assert.Equal(t, time.Second, told, "the parent does not wait for it while finalizing")
		assert.Equal(t, 2*time.Second, time.Since(start), "the parent joins it")
		assert.Equal(t, traigo.Closed, child.State())
		assert.True(t, closed(child.Done()))
	})
}

// context.WithoutCancel hands on the scope and keeps its end to itself.
func TestNewUnderAShieldedContextDoesNotOutliveItsParent(t *testing.T) {
	background := func(ctx context.Context) error {
		<-ctx.Done()
		time.Sleep(time.Second)
		return nil
	}
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		var early, late, last *traigo.Scope
		require.NoError(t, traigo.Run(t.Context(), func(ctx context.Context, s *traigo.Scope) error {
			early = traigo.New(context.WithoutCancel(ctx))
			early.Spawn(func(ctx context.Context) error {
				_ = background(ctx)
				last = traigo.New(context.WithoutCancel(s.Context())) // canceled at once: nothing else is left
				return nil
			})
			s.Spawn(func(ctx context.Context) error {
				<-ctx.Done() // from here on s is canceling
				time.Sleep(5 * time.Second)
				late = traigo.New(context.WithoutCancel(ctx))
				late.Spawn(background)
				return nil
			}, traigo.Awaited(false))
			return nil
		}))
		assert.Equal(t, 6*time.Second, time.Since(start))
		for _, child := range []*traigo.Scope{early, late, last} {
			assert.True(t, closed(child.Done()))
			assert.Equal(t, traigo.Closed, child.State())
		}
	})
}

func TestNewIsItsOwnersToWaitFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		require.NoError(t, traigo.Run(t.Context(), func(ctx context.Context, s *traigo.Scope) error {
			child := traigo.New(ctx)
			child.Spawn(fail)
			assert.ErrorIs(t, child.Wait(), errBoom)
			assert.NoError(t, ctx.Err(), "its failure is not the parent's")
			assert.Equal(t, traigo.Open, s.State())
			return nil
		}))
	})
}

func TestRunUnderAContextThatIsAlreadyCanceled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(errOuter)
		ran := false
		err := traigo.Run(ctx, func(ctx context.Context, _ *traigo.Scope) error {
			ran = true
			assert.True(t, closed(ctx.Done()))
			assert.ErrorIs(t, ctx.Err(), context.Canceled)
			assert.ErrorIs(t, context.Cause(ctx), errOuter)
			return nil
		})
		assert.True(t, ran)
		assert.NotNil(t, cancellation(outcome(t, err).Err, traigo.ParentCanceled), "%v", err)
	})
}
