package traigo_test

import (
	"context"
	"errors"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo"
)

// With a text for each scope on the way up it was n², and n³ for all in a snapshot: 35 s
// for a depth of 4,000.
func TestPathOfADeepScopeIsMadeAtOnce(t *testing.T) {
	root := traigo.New(context.Background(), traigo.Name("s"))
	s := root
	for range 1000 {
		s = s.Fork(traigo.Name("s"))
	}
	assert.Len(t, s.Path(), 2001)
	if !raceEnabled {
		assert.LessOrEqual(t, testing.AllocsPerRun(10, func() { _ = s.Path() }), 12.0)
	}
	assert.NoError(t, root.Close())
}

// To be looked at costs a scope nothing afterwards: it was 384 bytes each.
func TestSnapshotLeavesNothingBehind(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	const n = 10_000
	root := traigo.New(context.Background())
	for range n {
		root.Fork(traigo.Name("fork"))
	}
	heap := func() int64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc) //nolint:gosec // it is small
	}
	before := heap()
	_ = root.Snapshot()
	assert.Less(t, (heap()-before)/n, int64(50), "bytes a scope")
	assert.NoError(t, root.Close())
}

// NOT FIXED: what a given-up task has opened hangs on a scope that has closed, and is seen
// nowhere.
func TestSnapshotShowsTheScopesOfATaskThatWasGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		root := traigo.New(context.Background(), traigo.Name("root"), discard())
		end, again := make(chan struct{}), make(chan struct{})
		fork := root.Fork(traigo.Name("fork"), traigo.CancelTimeout(time.Second))
		task := fork.Spawn(func(ctx context.Context) error {
			run := func(name string, until chan struct{}) error {
				return traigo.Run(ctx, func(_ context.Context, s *traigo.Scope) error {
					s.Spawn(func(context.Context) error { <-until; return nil }, traigo.Name("inner"))
					<-until
					return nil
				}, traigo.Name(name), traigo.CancelTimeout(time.Hour))
			}
			return errors.Join(run("first", end), run("second", again))
		}, traigo.Name("outer"))
		synctest.Wait()
		fork.Cancel(nil)
		_ = fork.Wait()

		shot := root.Snapshot()
		assert.Equal(t, "given up", shot.Tasks[0].State)
		require.Len(t, shot.Scopes, 1)
		assert.Equal(t, "root/fork/first", shot.Scopes[0].Path)
		assert.Equal(t, "inner", shot.Scopes[0].Tasks[0].Name)
		assert.Equal(t, [2]uint64{fork.ID(), task.ID()}, [2]uint64{shot.Scopes[0].Parent, shot.Scopes[0].Task})

		close(end)
		synctest.Wait()
		shot = root.Snapshot()
		require.Len(t, shot.Scopes, 1, "it goes on opening scopes where its own has closed")
		assert.Equal(t, "root/fork/second", shot.Scopes[0].Path)

		close(again)
		synctest.Wait()
		assert.Empty(t, root.Snapshot().Scopes)
		assert.Empty(t, root.Snapshot().Tasks)
		_ = root.Close()
	})
}
