package live_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/live"
)

// A task that a fork has given up is shown in the scope above the fork, where another task
// may have the same ID. It must not get the scopes or the stack of that task.
func TestATaskThatWasGivenUpIsNotTakenForAnother(t *testing.T) {
	s := opened(t)
	h := live.Handler(s)
	end := make(chan struct{})
	defer close(end)
	in := make(chan struct{})
	s.Spawn(func(ctx context.Context) error {
		return traigo.Run(ctx, func(ctx context.Context, s *traigo.Scope) error {
			close(in)
			<-ctx.Done()
			return nil
		}, traigo.Name("nested"))
	}, traigo.Name("supervisor"))
	fork := s.Fork(traigo.Name("billing"), traigo.CancelTimeout(time.Millisecond))
	fork.Spawn(ignoringCancel(end), traigo.Name("charge"))
	<-in
	fork.Cancel(errors.New("reset"))
	require.Error(t, fork.Wait())
	x := getJSON(t, h, "")
	for _, b := range x.Roots[0].Below {
		switch b.Name {
		case "charge":
			assert.Empty(t, b.Below)
			assert.Equal(t, fork.ID(), b.Scope)
			w := get(h, fmt.Sprintf("/stack?scope=%d&task=%d", b.Scope, b.ID))
			assert.Contains(t, w.Body.String(), "deafWork")
		case "supervisor":
			require.Len(t, b.Below, 1)
			assert.Equal(t, "nested", b.Below[0].Name)
			w := get(h, fmt.Sprintf("/stack?scope=%d&task=%d", b.Scope, b.ID))
			assert.NotContains(t, w.Body.String(), "deafWork")
		default:
			t.Error(b.Name)
		}
	}
}

// The key of an abandoned call does not depend on the other tasks of the scope.
func TestTheKeyOfAnAbandonedCallStays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := opened(t)
		h := live.Handler(s)
		other := s.Spawn(untilCanceled, traigo.Name("other"))
		end := make(chan struct{})
		defer close(end)
		c := s.Spawn(traigo.Blocking(func() error { <-end; return nil }), traigo.Name("call"))
		c.Cancel(nil)
		synctest.Wait()
		key := func() (key string) {
			for _, b := range getJSON(t, h, "").Roots[0].Below {
				if b.State == "abandoned" {
					key = b.Key
				}
			}
			return key
		}
		before := key()
		require.NotEmpty(t, before)
		other.Cancel(nil)
		synctest.Wait()
		assert.Equal(t, before, key())
	})
}

// A scope that the task has opened by Run is shown below it, also when its own scope has
// closed.
func TestATaskThatWasGivenUpHasItsScopes(t *testing.T) {
	s := opened(t)
	end, in := make(chan struct{}), make(chan struct{})
	defer close(end)
	fork := s.Fork(traigo.Name("billing"), traigo.CancelTimeout(time.Millisecond))
	fork.Spawn(func(ctx context.Context) error {
		return traigo.Run(ctx, func(context.Context, *traigo.Scope) error {
			close(in)
			return deafWork(end)
		}, traigo.Name("nested"))
	}, traigo.Name("charge"))
	<-in
	fork.Cancel(nil)
	require.Error(t, fork.Wait())
	x := getJSON(t, live.Handler(s), "")
	require.Len(t, x.Roots[0].Below, 1)
	charge := x.Roots[0].Below[0]
	assert.Equal(t, "charge", charge.Name)
	require.Len(t, charge.Below, 1)
	assert.Equal(t, "nested", charge.Below[0].Name)
}
