package traio_test

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/traigo/traigo"
)

func TestTraioExecutor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		err := traigo.Run(t.Context(), func(ctx context.Context, s *traigo.Scope) error {
			n, err := traigo.Async(s, traioJob(42, nil)).Await(ctx)
			assert.Equal(t, 42, n)
			return err
		}, traigo.Timeout(time.Second))
		assert.NoError(t, err)
		assertTook(t, 200*ms, start)
	})
}

func TestTraioExecutorRaises(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		err := traigo.Run(t.Context(), func(ctx context.Context, s *traigo.Scope) error {
			_, err := traigo.Async(s, traioJob(0, errTraio)).Await(ctx)
			assert.Equal(t, errTraio, err)
			return nil
		}, traigo.Timeout(time.Second))
		assert.NoError(t, err, "the error was the waiter's")
		assertTook(t, 200*ms, start)
	})
}

// traioJob makes a task with a result of a call that knows no context.
func traioJob(n int, err error) func(context.Context) (int, error) {
	return func(ctx context.Context) (int, error) {
		var result int
		call := traigo.Blocking(func() error {
			time.Sleep(200 * ms)
			result = n
			return err
		})
		if err := call(ctx); err != nil {
			return 0, err // the call may still be writing to result
		}
		return result, nil
	}
}

func TestTraioExecutorTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		var begun, ended atomic.Bool
		var seen traioAbandoned
		err := traigo.Run(t.Context(), func(_ context.Context, s *traigo.Scope) error {
			s.Spawn(traigo.Blocking(func() error {
				begun.Store(true)
				time.Sleep(300 * ms)
				ended.Store(true)
				return nil
			}))
			return nil
		}, traigo.Timeout(100*ms), traigo.Observe(&seen))

		requireTimedOut(t, err, 100*ms)
		assertTook(t, 100*ms, start)
		assert.True(t, begun.Load())
		assert.False(t, ended.Load(), "the call runs on")
		assert.EqualValues(t, 1, seen.n.Load(), "and is reported as abandoned")

		time.Sleep(200*ms + 1)
		assert.True(t, ended.Load())
	})
}

// traioAbandoned counts calls that nobody waits for any more.
type traioAbandoned struct{ n atomic.Int32 }

func (a *traioAbandoned) Observe(e traigo.Event) {
	if e.Kind == traigo.TaskAbandoned {
		a.n.Add(1)
	}
}
