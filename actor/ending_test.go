//go:build linux

package actor_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/actor"
)

// What is asked of an actor that ends is refused at once, and does not hold up its end.
func TestACallOfAnActorThatEndsDoesNotHoldItUp(t *testing.T) {
	for name, end := range map[string]func(ctx context.Context, a *actor.Actor){
		"canceled": func(_ context.Context, a *actor.Actor) { a.Cancel(nil) },
		"panics":   func(ctx context.Context, a *actor.Actor) { _, _ = crashing.Run(ctx, a, none{}) },
	} {
		t.Run(name, func(t *testing.T) {
			leavesNothing(t)
			for range 5 {
				_ = runScope(t, func(ctx context.Context, s *traigo.Scope) {
					a := start(ctx, t, s, "a", actor.Findable(), actor.Task(traigo.Bubble(false)))
					found, err := actor.Find(ctx, s, "a")
					require.NoError(t, err)
					began := time.Now()
					end(ctx, a)
					for _, handle := range []*actor.Actor{a, found} {
						_, _ = square.Run(ctx, handle, 2) // which may be in time
					}
					<-a.Done()
					<-found.Done()
					assert.Less(t, time.Since(began), 900*time.Millisecond, "a second is how long an actor waits for those who use it")
				})
			}
		})
	}
}

// An actor that is killed is not found any more, and Wait returns the one that comes after it.
func TestWhatHasBeenKilledIsNotFound(t *testing.T) {
	leavesNothing(t)
	require.NoError(t, runScope(t, func(ctx context.Context, s *traigo.Scope) {
		for range 10 {
			a := start(ctx, t, s, "a", actor.Findable())
			first, err := actor.Wait(ctx, s, "a")
			require.NoError(t, err)
			assert.Equal(t, a.ID(), first.ID())
			a.Kill()
			if b, err := actor.Find(ctx, s, "a"); err == nil {
				_, err = square.Run(ctx, b, 2) // it has died since
				require.Error(t, err)
			} else {
				require.ErrorIs(t, err, actor.ErrNotFound)
			}
			next := traigo.Async(s, func(ctx context.Context) (*actor.Actor, error) { return actor.Wait(ctx, s, "a") })
			b := start(ctx, t, s, "a", actor.Findable())
			found, err := next.Await(ctx)
			require.NoError(t, err)
			assert.Equal(t, b.ID(), found.ID())
			b.Cancel(nil)
			require.NoError(t, b.Wait(ctx))
			_, err = actor.Find(ctx, s, "a")
			require.ErrorIs(t, err, actor.ErrNotFound, "also when it was the last one")
		}
	}))
}

type hiding struct{ a int }

// Nothing of a value whose type has no exported field would arrive.
func TestATypeWithoutExportedFieldsCannotTravel(t *testing.T) {
	requireMisuse(t, hidingFunc)
	assert.Equal(t, hiding{1}, hiding{a: 1})
}

var hidingFunc = recovered(func() {
	actor.Func("ending.hiding", func(context.Context, hiding) (none, error) { return none{}, nil })
})
