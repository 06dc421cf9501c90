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

// One tree of scopes, of which parts are used in synctest bubbles. A channel, a timer and a
// WaitGroup belong to the bubble in which they were made, and their use outside of it ends
// the process. So a scope makes them only when code in its bubble asks for them.

// busy opens a fork with a task that runs for a second, and has started.
func busy(s *traigo.Scope) *traigo.Scope {
	f := s.Fork()
	f.Spawn(lasting(time.Second))
	synctest.Wait()
	return f
}

func TestBubbleMayEndAScopeFromOutside(t *testing.T) {
	s := traigo.New(context.Background())
	synctest.Test(t, func(t *testing.T) { require.NoError(t, s.Close()) })
	require.NoError(t, s.Wait())
}

func TestBubbleMayLeaveAScopeToTheOutside(t *testing.T) {
	s := traigo.New(context.Background())
	var f *traigo.Scope
	synctest.Test(t, func(*testing.T) { f = s.Fork() })
	require.NoError(t, s.Close())
	require.Equal(t, traigo.Closed, f.State())
}

func TestBubbleMayForkAScopeFromOutside(t *testing.T) {
	s := traigo.New(context.Background())
	for range 2 {
		synctest.Test(t, func(t *testing.T) { require.NoError(t, busy(s).Wait()) })
	}
	require.NoError(t, s.Close())
}

func TestBubbleMayRunUnderAScopeFromOutside(t *testing.T) {
	require.NoError(t, traigo.Run(context.Background(), func(ctx context.Context, _ *traigo.Scope) error {
		synctest.Test(t, func(t *testing.T) {
			require.NoError(t, traigo.Run(ctx, func(_ context.Context, s *traigo.Scope) error {
				return busy(s).Wait()
			}))
		})
		return nil
	}))
}

// Each bubble has its own clock. A wait in one of them does not hold up the other.
func TestBubblesMayShareAScope(t *testing.T) {
	s := traigo.New(context.Background())
	waiting, hour := make(chan struct{}), make(chan struct{})
	t.Run("both", func(t *testing.T) {
		t.Run("one waits", func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				f, end := s.Fork(), make(chan struct{})
				f.Spawn(func(context.Context) error { <-end; return nil })
				synctest.Wait()
				go func() { assert.NoError(t, f.Wait()) }()
				synctest.Wait()
				waiting <- struct{}{}
				<-hour // made outside of the bubble, so that its clock stands still
				close(end)
			})
		})
		t.Run("the other has time", func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				<-waiting
				f := s.Fork()
				f.Spawn(lasting(time.Hour))
				synctest.Wait()
				require.NoError(t, f.Wait())
				hour <- struct{}{}
			})
		})
	})
	require.NoError(t, s.Close())
}

// One watcher warns of all that wait too long. That of a bubble which has ended does not
// keep another bubble from having one.
func TestBubbleDoesNotSilenceTheWarningOfAnother(t *testing.T) {
	book := newRecords()
	s := traigo.New(context.Background(), traigo.Logger(book.logger()))
	synctest.Test(t, func(t *testing.T) { require.NoError(t, busy(s).Wait()) })
	synctest.Test(t, func(t *testing.T) {
		f := s.Fork(traigo.Name("circle"), traigo.CancelTimeout(time.Second))
		f.Spawn(func(context.Context) error { return f.Wait() })
		time.Sleep(time.Minute)
		warned := book.from(slog.LevelWarn)
		require.Len(t, warned, 1)
		assert.Contains(t, warned[0].Text, "waited for by")
		require.Error(t, f.Close(), "given up")
	})
	require.NoError(t, s.Close())
}
