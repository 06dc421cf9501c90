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

func TestScopeEndsWithItsMaster(t *testing.T) {
	second := func(result error) func(context.Context) error {
		return func(context.Context) error { time.Sleep(time.Second); return result }
	}
	tired := func(ctx context.Context) error {
		traigo.CurrentTask(ctx).Cancel(errBoom)
		return ctx.Err()
	}
	rows := []struct {
		name string
		fn   func(context.Context) error
		opts []traigo.TaskOption
		want []error // of the outcome
	}{
		{"success", second(nil), nil, nil},
		{"failure", second(errBoom), nil, []error{&traigo.TaskError{Task: "master", Err: errBoom}}},
		{"failure that does not bubble", second(errBoom), []traigo.TaskOption{traigo.Bubble(false)}, nil},
		{"failure for a callback", second(errBoom), []traigo.TaskOption{traigo.OnDone(func(error) {})}, nil},
		{"canceled alone", func(ctx context.Context) error { _ = second(nil)(ctx); return tired(ctx) }, nil, nil},
		{"not awaited", second(nil), []traigo.TaskOption{traigo.Awaited(false)}, nil},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				s := traigo.New(t.Context(), traigo.Name("server"))
				other := s.Spawn(untilCanceled)
				s.Spawn(row.fn, append(row.opts, traigo.Master(true), traigo.Name("master"))...)
				<-s.Done() // although nobody finalizes
				assert.Equal(t, time.Second, time.Since(start))
				require.ErrorIs(t, other.Err(), context.Canceled, "the rest is canceled")
				if row.want == nil {
					require.NoError(t, s.Err())
				} else {
					assert.Equal(t, row.want, outcome(t, s.Err()).Unwrap())
				}
			})
		})
	}
}

func TestMasterEndsTheBodyToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		require.NoError(t, traigo.Run(t.Context(), func(ctx context.Context, s *traigo.Scope) error {
			s.Spawn(func(ctx context.Context) error { return traigo.Sleep(ctx, time.Second) }, traigo.Master(true))
			<-ctx.Done()
			assert.Equal(t, time.Second, time.Since(start))
			return ctx.Err()
		}))
	})
}

func TestTaskIsNoMasterByDefault(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, opts := range [][]traigo.TaskOption{nil, {traigo.Master(false)}} {
			s := traigo.New(t.Context())
			require.NoError(t, s.Spawn(succeed, opts...).Wait(t.Context()))
			synctest.Wait()
			assert.Equal(t, traigo.Open, s.State())
			require.NoError(t, s.Close())
		}
	})
}

// The end of the master also ends the context its waiters wait with.
func TestWaiterOnTheMasterReceivesItsTrueResult(t *testing.T) {
	rows := []struct {
		name    string
		result  error
		bubbles bool
	}{
		{"success", nil, true},
		{"failure", errBoom, true},
		{"failure that does not bubble", errBoom, false},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				for range 20 {
					err := traigo.Run(t.Context(), func(ctx context.Context, s *traigo.Scope) error {
						master := traigo.Async(s, func(ctx context.Context) (int, error) {
							_ = traigo.Sleep(ctx, time.Second)
							return 42, row.result
						}, traigo.Master(true), traigo.Bubble(row.bubbles))
						for range 5 {
							s.Spawn(func(ctx context.Context) error {
								assert.Equal(t, row.result, master.Task().Wait(ctx))
								return nil
							})
							s.Spawn(func(ctx context.Context) error {
								_, err := master.Await(ctx)
								assert.Equal(t, row.result, err)
								return nil
							})
						}
						_, err := master.Await(ctx)
						assert.Equal(t, row.result, err)
						// The context is done by now, the result there all the same.
						<-ctx.Done()
						_, err = master.Await(ctx)
						assert.Equal(t, row.result, err)
						return nil
					})
					if row.result != nil && row.bubbles {
						require.ErrorIs(t, err, errBoom)
					} else {
						require.NoError(t, err)
					}
				}
			})
		})
	}
}

func TestTaskThatNobodyAwaitsDoesNotKeepAScopeAlive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		var (
			told  time.Duration
			cause error
			ended bool
		)
		require.NoError(t, traigo.Run(t.Context(), func(_ context.Context, s *traigo.Scope) error {
			s.Spawn(func(ctx context.Context) error {
				<-ctx.Done()
				told, cause = time.Since(start), context.Cause(ctx)
				time.Sleep(time.Second)
				ended = true
				return ctx.Err()
			}, traigo.Awaited(false))
			s.Spawn(func(context.Context) error { time.Sleep(time.Minute); return nil }, traigo.Awaited(true))
			return nil
		}))
		assert.Equal(t, time.Minute, told, "it is canceled when the rest is done, not before")
		assert.NotNil(t, cancellation(cause, traigo.Completed), "%v", cause)
		assert.True(t, ended, "it is joined")
		assert.Equal(t, time.Minute+time.Second, time.Since(start))
	})
}

func TestTaskThatNobodyAwaitsRunsInAnOpenScope(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := traigo.New(t.Context())
		background := s.Spawn(untilCanceled, traigo.Awaited(false))
		time.Sleep(time.Hour)
		assert.False(t, closed(background.Done()))
		start := time.Now()
		require.NoError(t, s.Wait())
		assert.Zero(t, time.Since(start))
	})
}

func TestTaskThatNobodyAwaitsBubbles(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := traigo.New(t.Context())
		s.Spawn(untilCanceled)
		s.Spawn(func(context.Context) error {
			time.Sleep(time.Second)
			return errBoom
		}, traigo.Awaited(false), traigo.Name("background"))
		s.Finalize()
		<-s.Done()
		assert.Equal(t, []error{&traigo.TaskError{Task: "background", Err: errBoom}}, outcome(t, s.Err()).Unwrap())
	})
}

func TestTaskThatNobodyAwaitsFailsAfterTheEndUnraised(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var book logbook
		require.NoError(t, traigo.Run(t.Context(), func(_ context.Context, s *traigo.Scope) error {
			s.Spawn(func(ctx context.Context) error { <-ctx.Done(); return errBoom }, traigo.Awaited(false))
			return nil
		}, book.logger()))
		assert.Equal(t, 1, book.count(slog.LevelWarn, "boom"))
	})
}
