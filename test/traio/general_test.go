package traio_test

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/traigo/traigo"
)

func TestTraioGeneralLogging(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		logOf := func(level slog.Level) string {
			var log bytes.Buffer
			handler := slog.NewTextHandler(&log, &slog.HandlerOptions{Level: level})
			err := traigo.Run(t.Context(), func(_ context.Context, s *traigo.Scope) error {
				s.Spawn(traioSleep(10*ms), traigo.Name("task"))
				return s.Fork(traigo.Name("fork")).Wait()
			}, traigo.Name("scope"), traigo.Logger(slog.New(handler)))
			assert.NoError(t, err)
			return log.String()
		}

		log := logOf(slog.LevelDebug)
		for line := range strings.Lines(log) {
			assert.Contains(t, line, "level=DEBUG")
		}
		assert.Contains(t, log, "scope=scope")
		assert.Contains(t, log, "scope=scope/fork", "a fork inherits the logger")
		assert.Contains(t, log, "scope/task")
		assert.Empty(t, logOf(slog.LevelInfo), "without debug a scope that ends well is silent")
	})
}

func TestTraioGeneralEmpty(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		err := traigo.Run(t.Context(), func(context.Context, *traigo.Scope) error { return nil })
		assert.NoError(t, err)
		assertTook(t, 0, start)
	})
}

func TestTraioGeneralEmptyTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		err := traigo.Run(t.Context(), func(context.Context, *traigo.Scope) error { return nil },
			traigo.Timeout(100*ms))
		assert.NoError(t, err)
		assertTook(t, 0, start)
	})
}

func TestTraioGeneralSimple(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		called := false
		err := traigo.Run(t.Context(), func(_ context.Context, s *traigo.Scope) error {
			s.Spawn(func(ctx context.Context) error {
				err := traigo.Sleep(ctx, 10*ms)
				called = true
				return err
			})
			return nil
		})
		assert.NoError(t, err)
		assert.True(t, called)
		assertTook(t, 10*ms, start)
	})
}

// Go's bare future is a channel: a task waits for it like for anything else.
func TestTraioGeneralFuture(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		err := traigo.Run(t.Context(), func(_ context.Context, s *traigo.Scope) error {
			future := make(chan struct{})
			s.Spawn(func(ctx context.Context) error {
				select {
				case <-future:
					return nil
				case <-ctx.Done():
					return ctx.Err()
				}
			})
			close(future)
			return nil
		}, traigo.Timeout(100*ms))
		assert.NoError(t, err)
		assertTook(t, 0, start)
	})
}

func TestTraioGeneralBlockRaises(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		err := traigo.Run(t.Context(), func(context.Context, *traigo.Scope) error { return errTraio })
		assert.Equal(t, errTraio, requireOutcome(t, err).Err)
		assertOthers(t, err)
	})
}

func TestTraioGeneralTaskRaises(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		err := traigo.Run(t.Context(), func(_ context.Context, s *traigo.Scope) error {
			s.Spawn(traioFail(10 * ms))
			return nil
		})
		requireTaskFailed(t, err, errTraio)
		assertTook(t, 10*ms, start)
	})
}

func TestTraioGeneralTaskCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		err := traigo.Run(t.Context(), func(ctx context.Context, outer *traigo.Scope) error {
			for i := 1; i <= 10; i++ {
				outer.Spawn(traioLong)
				assert.Len(t, outer.Snapshot().Tasks, i)
			}
			inner := outer.Fork()
			for range 3 {
				inner.Spawn(traioLong)
			}
			all := outer.Snapshot()
			assert.Len(t, all.Tasks, 10)
			if assert.Len(t, all.Scopes, 1, "a fork is listed beside the tasks") {
				assert.Len(t, all.Scopes[0].Tasks, 3)
			}
			assert.Len(t, inner.Snapshot().Tasks, 3)

			outer.Cancel(nil) // ends both
			return inner.Wait()
		})
		assert.NoError(t, err)
		assertTook(t, 0, start)
	})
}
