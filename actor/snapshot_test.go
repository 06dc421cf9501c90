//go:build linux

package actor_test

import (
	"context"
	"strings"
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
