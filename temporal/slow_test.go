package temporal_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/temporal"
)

const slowText = "have not begun"

func TestTasksThatDoNotBeginAreLogged(t *testing.T) {
	records := logged(t)
	e := connect(t)
	nobody, busy := queueOf(t), queueOf(t)
	begun := make(chan struct{}, 1)
	hold := temporal.Func("hold", func(ctx context.Context, _ int) (int, error) {
		begun <- struct{}{}
		<-ctx.Done()
		return 0, context.Cause(ctx)
	})
	workHere(t, busy, hold, temporal.Slots(1))
	err := traigo.Run(t.Context(), func(ctx context.Context, s *traigo.Scope) error {
		open := func(queue string) *temporal.Remote {
			r, err := temporal.Open(s, e, queue, temporal.Lease(longLease))
			require.NoError(t, err)
			return r
		}
		r := open(busy)
		hold.Spawn(r, 1)
		<-begun
		for range 2 {
			hold.Spawn(r, 1)
		}
		for range 2 {
			r := open(nobody)
			for range 3 {
				hold.Spawn(r, 1)
			}
		}
		eventually(t, func() bool { return len(records.having(slowText)) == 3 }, "not all has been logged: %v", records)
		require.Len(t, records.having(slowText, "level=WARN", "queue="+busy, "all slots", "waiting=2"), 1)
		require.Len(t, records.having(slowText, "level=WARN", "queue="+nobody, "no worker", "waiting=3"), 2)
		for _, line := range records.having(slowText, nobody) {
			require.NotContains(t, line, "all slots")
		}

		// Once for each Remote: there are others that have waited for long when a new one is told of.
		hold.Spawn(open(nobody), 1)
		eventually(t, func() bool { return len(records.having(slowText)) > 3 }, "the new one has not been logged")
		require.Len(t, records.having(slowText), 4)
		require.Len(t, records.having(slowText, "waiting=1"), 1)
		s.Cancel(nil)
		return nil
	})
	require.NoError(t, err)
}

func TestTasksThatBeginAreNotLogged(t *testing.T) {
	records := logged(t)
	e := connect(t)
	queue, nobody := queueOf(t), queueOf(t)
	var j journal
	wait := waiting(&j)
	workHere(t, queue, wait)
	err := traigo.Run(t.Context(), func(_ context.Context, s *traigo.Scope) error {
		r, err := temporal.Open(s, e, queue, temporal.Lease(longLease))
		require.NoError(t, err)
		wait.Spawn(r, "runs")
		j.await(t, "begun runs")
		other, err := temporal.Open(s, e, nobody, temporal.Lease(longLease))
		require.NoError(t, err)
		wait.Spawn(other, "waits") // as long as the other runs
		eventually(t, func() bool { return len(records.having(slowText, nobody)) == 1 }, "what waits has not been logged")
		require.Empty(t, records.having(slowText, queue))
		s.Cancel(nil)
		return nil
	})
	require.NoError(t, err)
}
