//go:build linux

package actor_test

import (
	"context"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/actor"
)

// The tree as it is: A32.

// throng spawns tasks with long names.
var throng = exposed(actor.Func("snapshot.throng", func(ctx context.Context, n int) (none, error) {
	name := traigo.Name(strings.Repeat("n", 16<<10))
	for range n {
		traigo.Current(ctx).Spawn(func(ctx context.Context) error {
			<-ctx.Done()
			return nil
		}, name)
	}
	return none{}, nil
}))

func TestSnapshotThatIsTooLargeHarmsNothing(t *testing.T) {
	withActor(t, func(ctx context.Context, s *traigo.Scope, a *actor.Actor) {
		_, err := throng.Run(ctx, a, 3000) // each is in it by its name, and by its path
		require.NoError(t, err)
		for range 2 {
			_, err = actor.Snapshot(ctx, s)
			assert.ErrorContains(t, err, "root/mid")
			time.Sleep(2 * time.Second) // for the answer that is late
		}
		require.NoError(t, ctx.Err())
		require.NoError(t, a.Err())
		_, err = notedFunc.Run(ctx, a, "")
		require.NoError(t, err)
	})
}

// grown starts actors below: some of its own, the last of which has a task.
var grown = exposed(actor.Func("snapshot.grown", func(ctx context.Context, names []string) (none, error) {
	for _, name := range names {
		if _, err := actor.Start(ctx, traigo.Current(ctx), name, actor.Expose(pidFunc)); err != nil {
			return none{}, err
		}
	}
	return none{}, nil
}))

var pidFunc = exposed(actor.Func("snapshot.pid", func(context.Context, none) (int, error) { return os.Getpid(), nil }))

// Each actor is below the task that stands for it, with IDs and paths that nobody else has.
func TestSnapshotHasTheTreesOfAllActors(t *testing.T) {
	inScope(t, func(ctx context.Context, s *traigo.Scope) {
		a, b := start(ctx, t, s, "a"), start(ctx, t, s, "b")
		_, err := grown.Run(ctx, a, []string{"x", "y"})
		require.NoError(t, err)
		shot, err := actor.Snapshot(ctx, s)
		require.NoError(t, err)
		require.Len(t, shot.Scopes, 2)
		seen := map[uint64]string{shot.ID: shot.Path}
		var check func(above traigo.Snapshot)
		check = func(above traigo.Snapshot) {
			for _, c := range above.Scopes {
				assert.NotZero(t, c.Pid)
				assert.Equal(t, uint64(c.Pid), c.ID>>32, "%s", c.Path)
				assert.Equal(t, above.ID, c.Parent)
				assert.Equal(t, above.Path+"/"+c.Name, c.Path)
				assert.Empty(t, seen[c.ID], "%s", c.Path)
				seen[c.ID] = c.Path
				require.True(t, slices.ContainsFunc(above.Tasks, func(task traigo.TaskSnapshot) bool { return task.ID == c.Task && task.Name == c.Name }))
				for _, task := range c.Tasks {
					assert.Equal(t, c.ID, task.Scope)
					assert.Equal(t, c.Path+"/"+task.Name, task.Path)
				}
				check(c)
			}
		}
		check(shot)
		assert.Len(t, seen, 5)
		for _, c := range shot.Scopes {
			assert.Equal(t, map[string]int{"a": a.ID().Pid, "b": b.ID().Pid}[c.Name], c.Pid)
		}
		fork := s.Fork()
		defer func() { assert.NoError(t, fork.Close()) }()
		below, err := actor.Snapshot(ctx, fork)
		require.NoError(t, err)
		assert.Empty(t, below.Scopes, "those of other scopes are not asked")
	})
}

// An actor that does not answer is left out, and named. The others are there, and nobody waits for long.
func TestSnapshotLeavesOutWhoDoesNotAnswer(t *testing.T) {
	inScope(t, func(ctx context.Context, s *traigo.Scope) {
		a, b := start(ctx, t, s, "a"), start(ctx, t, s, "b")
		stop(t, a.ID().Pid)
		defer func() { require.NoError(t, send(a.ID().Pid, syscall.SIGCONT)) }()
		shot, err := actor.Snapshot(ctx, s)
		require.ErrorContains(t, err, "root/a")
		assert.NotContains(t, err.Error(), "root/b")
		require.Len(t, shot.Scopes, 1)
		assert.Equal(t, b.ID().Pid, shot.Scopes[0].Pid)

		over, cancel := context.WithCancel(ctx)
		cancel()
		shot, err = actor.Snapshot(over, s)
		require.Error(t, err)
		assert.Len(t, shot.Tasks, 2, "this process is there all the same")
	})
}
