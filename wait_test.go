package traigo_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo"
)

// serving is a task that works until it is asked to stop, and then takes d.
func serving(d time.Duration) func(context.Context) error {
	return func(ctx context.Context) error {
		select {
		case <-traigo.Stopping(ctx):
			return traigo.Sleep(ctx, d)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func TestShutdownFinalizesAndStopsAllBelow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		s := traigo.New(t.Context())
		fork := s.Fork()
		grandchild := fork.Fork()
		tasks := []*traigo.Task{
			s.Spawn(serving(time.Second)),
			fork.Spawn(serving(2 * time.Second)),
			grandchild.Spawn(serving(3 * time.Second)),
			s.Spawn(func(ctx context.Context) error {
				return traigo.Run(ctx, func(ctx context.Context, nested *traigo.Scope) error {
					nested.Spawn(serving(4 * time.Second))
					return serving(time.Second)(ctx)
				})
			}),
			s.Spawn(func(ctx context.Context) error {
				derived, cancel := context.WithCancel(ctx)
				defer cancel()
				return serving(time.Second)(derived)
			}),
		}
		time.Sleep(time.Minute)
		outcome := make(chan error, 1)
		go func() { outcome <- s.Shutdown(t.Context()) }()
		synctest.Wait()
		for _, scope := range []*traigo.Scope{s, fork, grandchild} {
			assert.Equal(t, traigo.Finalizing, scope.State())
		}
		require.NoError(t, <-outcome)
		assert.Equal(t, time.Minute+4*time.Second, time.Since(start), "it waits for all")
		for _, task := range tasks {
			require.NoError(t, task.Err(), "asked, not canceled")
		}
	})
}

func TestShutdownStopsTheBodyToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		require.NoError(t, traigo.Run(t.Context(), func(ctx context.Context, s *traigo.Scope) error {
			go func() { _ = s.Shutdown(context.Background()) }()
			<-traigo.Stopping(ctx)
			return ctx.Err()
		}))
	})
}

func TestShutdownCancelsWhenItsContextEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		s := traigo.New(t.Context(), traigo.Name("s"))
		fork := s.Fork()
		var cause error
		fork.Spawn(func(ctx context.Context) error {
			<-ctx.Done()
			assert.Equal(t, time.Second, time.Since(start))
			cause = context.Cause(ctx)
			time.Sleep(2 * time.Second)
			return nil
		})
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, errBoom)
		defer cancel()
		require.ErrorIs(t, s.Shutdown(ctx), errBoom)
		assert.Equal(t, 3*time.Second, time.Since(start), "and waits")
		require.ErrorIs(t, cause, errBoom)
		assert.Equal(t, traigo.Closed, s.State())
		assert.True(t, closed(fork.Done()))
	})
}

func TestShutdownReturnsWhatWaitWould(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := traigo.New(t.Context())
		s.Spawn(failing(time.Second, errBoom))
		err := s.Shutdown(t.Context())
		require.ErrorIs(t, err, errBoom)
		assert.Equal(t, s.Wait(), err)
		assert.Equal(t, err, s.Shutdown(t.Context()), "also when it has closed")

		s = traigo.New(t.Context())
		s.Spawn(panicking("oops"), traigo.Name("work"))
		_ = requirePanic(t, "work", func() { _ = s.Shutdown(t.Context()) })
	})
}

func TestShutdownCancelsWhatNobodyAwaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		s := traigo.New(t.Context())
		background := s.Spawn(untilCanceled, traigo.Awaited(false))
		s.Spawn(serving(time.Second))
		require.NoError(t, s.Shutdown(t.Context()))
		assert.Equal(t, time.Second, time.Since(start))
		assert.True(t, closed(background.Done()))
	})
}

func TestStoppingIsClosedByShutdownOfThisScopeOrOneAbove(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := traigo.New(t.Context())
		sibling, fork := s.Fork(), s.Fork()
		require.NotNil(t, traigo.Stopping(fork.Context()))
		assert.False(t, closed(traigo.Stopping(fork.Context())))
		fork.Spawn(lasting(time.Second))
		fork.Finalize()
		assert.False(t, closed(traigo.Stopping(fork.Context())), "Finalize asks nobody to stop")

		require.NoError(t, fork.Shutdown(t.Context()))
		assert.True(t, closed(traigo.Stopping(fork.Context())))
		assert.False(t, closed(traigo.Stopping(sibling.Context())))
		assert.False(t, closed(traigo.Stopping(s.Context())))

		require.NoError(t, sibling.Close())
		require.NoError(t, s.Shutdown(t.Context()))
		assert.True(t, closed(traigo.Stopping(s.Context())))
	})
}

func TestStoppingIsClosedForWhatComesLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := traigo.New(t.Context())
		s.Spawn(func(ctx context.Context) error {
			<-traigo.Stopping(ctx)
			s.Spawn(func(ctx context.Context) error {
				assert.True(t, closed(traigo.Stopping(ctx)))
				return traigo.Run(ctx, func(ctx context.Context, _ *traigo.Scope) error {
					assert.True(t, closed(traigo.Stopping(ctx)))
					return nil
				})
			})
			return nil
		})
		synctest.Wait()
		require.NoError(t, s.Shutdown(t.Context()))
	})
}

func TestStoppingIsClosedByCancel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := traigo.New(t.Context())
		fork := s.Fork()
		stopping, below := traigo.Stopping(s.Context()), traigo.Stopping(fork.Context())
		require.NoError(t, s.Close())
		assert.True(t, closed(stopping))
		assert.True(t, closed(below))
	})
}

// A fork that a task opens to clean up with is there for as long as the task
// needs it, and is then ended with whatever is in it.
func TestShutdownLeavesLaterForksToWhoOpensThem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := traigo.New(t.Context())
		s.Spawn(func(ctx context.Context) error {
			<-traigo.Stopping(ctx)
			synctest.Wait() // the walk down the tree is over
			fork := s.Fork()
			for range 3 {
				assert.NoError(t, fork.Spawn(succeed).Wait(ctx))
				time.Sleep(time.Second)
			}
			assert.Equal(t, traigo.Open, fork.State())
			return fork.Wait()
		})
		synctest.Wait()
		begin := time.Now()
		require.NoError(t, s.Shutdown(context.Background()))
		assert.Equal(t, 3*time.Second, time.Since(begin))
	})
}

func TestShutdownEndsLaterForksThatNobodyEnds(t *testing.T) {
	for name, leave := range map[string]func(s, fork *traigo.Scope){
		"empty":      func(_, _ *traigo.Scope) {},
		"working":    func(_, fork *traigo.Scope) { fork.Spawn(lasting(time.Second)) },
		"with forks": func(_, fork *traigo.Scope) { fork.Fork().Fork() },
		"background": func(_, fork *traigo.Scope) { fork.Spawn(untilCanceled, traigo.Awaited(false)) },
		"one in it":  func(_, fork *traigo.Scope) { fork.Spawn(func(context.Context) error { fork.Fork(); return nil }) },
		"one beside it": func(s, fork *traigo.Scope) {
			fork.Spawn(func(context.Context) error { time.Sleep(time.Second); s.Fork(); return nil })
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := traigo.New(t.Context())
				s.Spawn(func(ctx context.Context) error {
					<-traigo.Stopping(ctx)
					leave(s, s.Fork())
					return nil
				})
				synctest.Wait()
				ctx, cancel := context.WithTimeoutCause(t.Context(), time.Hour, errLate)
				defer cancel()
				require.NoError(t, s.Shutdown(ctx))
				require.NoError(t, s.CheckInvariants())
			})
		})
	}
}

func TestStoppingIsNilWithoutAScope(t *testing.T) {
	assert.Nil(t, traigo.Stopping(t.Context()))
}

// Corners that belong to no single paragraph.

// A task that shuts its own scope down gets an error instead of a deadlock, and
// the shutdown goes on without it.
func TestShutdownByAPartOfTheScopeIsAnError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		require.NoError(t, traigo.Run(t.Context(), func(ctx context.Context, s *traigo.Scope) error {
			assert.ErrorContains(t, s.Shutdown(ctx), `Shutdown of scope "main" by a part of it`)
			s.Fork(traigo.Name("below")).Spawn(func(ctx context.Context) error {
				assert.ErrorContains(t, s.Shutdown(ctx), "a part of it")
				return nil
			})
			return nil
		}, traigo.Name("main")))
	})
}

// The bare context of a scope may be anybody's.
func TestShutdownWithTheContextOfTheScopeIsNoMistake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := traigo.New(t.Context())
		s.Spawn(func(ctx context.Context) error { <-traigo.Stopping(ctx); return nil })
		ctx, cancel := context.WithTimeout(s.Context(), time.Second)
		defer cancel()
		require.NoError(t, s.Shutdown(ctx))
	})
}
