package supervise_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/supervise"
)

func TestServiceThatDoesNotStartInTimeEndsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		err := supervise.WithServices(t.Context(), func(ctx context.Context, s *traigo.Scope, sv *supervise.Services) error {
			_, err := sv.Start(ctx, func(ctx context.Context, _ func()) error { <-ctx.Done(); return ctx.Err() }, traigo.Name("db"), traigo.Timeout(time.Second))
			assert.ErrorIs(t, err, context.DeadlineExceeded)
			return traigo.Sleep(ctx, time.Second) // goes on without it
		}, quiet())
		require.NoError(t, err)
	})
}

func TestServiceThatHasEndedHasNoTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		err := supervise.WithServices(t.Context(), func(ctx context.Context, s *traigo.Scope, sv *supervise.Services) error {
			sv.Spawn(func(ctx context.Context) error { return nil }, traigo.Name("warmup"), traigo.Timeout(5*time.Second))
			synctest.Wait()
			return traigo.Sleep(ctx, time.Minute)
		}, quiet())
		require.NoError(t, err)
	})
}

func TestLimitsOfABlockAreForItsTasks(t *testing.T) {
	for name, opt := range map[string]traigo.ScopeOption{"Limit": traigo.Limit(1), "LimitedBy": traigo.LimitedBy(traigo.NewLimiter(1))} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var now, most atomic.Int32
				_ = supervise.WithServices(t.Context(), func(ctx context.Context, s *traigo.Scope, sv *supervise.Services) error {
					for range 5 {
						s.Spawn(func(ctx context.Context) error {
							most.Store(max(most.Load(), now.Add(1)))
							defer now.Add(-1)
							return traigo.Sleep(ctx, time.Second)
						})
					}
					return nil
				}, opt, quiet())
				assert.EqualValues(t, 1, most.Load())
			})
		})
	}
}

func TestErrorOfTheBodyThatWrapsGoexitComesFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		err := supervise.WithServices(t.Context(), func(ctx context.Context, s *traigo.Scope, sv *supervise.Services) error {
			sv.Spawn(func(ctx context.Context) error { _ = traigo.Sleep(ctx, 2*time.Second); return errBang })
			s.Spawn(func(ctx context.Context) error { time.Sleep(5 * time.Second); return nil })
			_ = traigo.Sleep(ctx, time.Second)
			return fmt.Errorf("body failed first: %w", traigo.ErrGoexit)
		}, quiet())
		first, ok := errors.AsType[*traigo.Error](err)
		require.True(t, ok)
		require.ErrorContains(t, first.Err, "body failed first")
	})
}
