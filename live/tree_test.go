package live_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/live"
)

// A task that a fork has given up is shown in the fork, which has closed. A task of the
// scope above, which has the same ID, keeps its own scopes and its own stack.
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
	assert.Equal(t, []int{2, 2}, []int{x.Scopes, x.Tasks}, "scopes that have closed are not counted")
	require.Len(t, x.Roots[0].Below, 2)
	supervisor, billing := x.Roots[0].Below[0], x.Roots[0].Below[1]
	assert.Equal(t, "supervisor", supervisor.Name)
	require.Len(t, supervisor.Below, 1)
	assert.Equal(t, "nested", supervisor.Below[0].Name)
	w := get(h, fmt.Sprintf("/stack?scope=%d&task=%d", supervisor.Scope, supervisor.ID))
	assert.NotContains(t, w.Body.String(), "deafWork")

	assert.Equal(t, "scope billing closed requested: reset", strings.Join([]string{billing.Kind, billing.Name, billing.State, billing.Cause}, " "))
	require.Len(t, billing.Below, 1)
	charge := billing.Below[0]
	assert.Equal(t, "charge given up", charge.Name+" "+charge.State)
	assert.Equal(t, []string{"given-up"}, charge.Warnings)
	assert.Empty(t, charge.Below)
	assert.Equal(t, fork.ID(), charge.Scope)
	assert.Equal(t, supervisor.ID, charge.ID)
	w = get(h, fmt.Sprintf("/stack?scope=%d&task=%d", charge.Scope, charge.ID))
	assert.Contains(t, w.Body.String(), "deafWork")
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
		synctest.Wait() // for the call to begin
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
	billing := x.Roots[0].Below[0]
	assert.Equal(t, "billing closed", billing.Name+" "+billing.State)
	require.Len(t, billing.Below, 1)
	charge := billing.Below[0]
	assert.Equal(t, "charge given up", charge.Name+" "+charge.State)
	require.Len(t, charge.Below, 1)
	assert.Equal(t, "nested canceling", charge.Below[0].Name+" "+charge.Below[0].State)
}

// A task that its scope has given up, and a call that was abandoned, keep their place and
// their keys when the scope closes: the page shows them in the same rows as before.
func TestWhatRunsOnKeepsItsPlaceWhenItsScopeCloses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := opened(t)
		h := live.Handler(s)
		end := make(chan struct{})
		fork := s.Fork(traigo.Name("billing"), traigo.CancelTimeout(time.Second))
		fork.Spawn(ignoringCancel(end), traigo.Name("charge"))
		fork.Spawn(traigo.Blocking(func() error { return deafWork(end) }), traigo.Name("call"))
		synctest.Wait()
		fork.Cancel(nil)
		synctest.Wait()
		keys := func() map[string]string {
			keys := map[string]string{}
			for _, billing := range getJSON(t, h, "").Roots[0].Below {
				keys[billing.Name] = billing.Key
				for _, b := range billing.Below {
					keys[b.Name] = b.Key
				}
			}
			return keys
		}
		before := keys()
		assert.Len(t, before, 3)
		assert.Contains(t, getText(h), "└─ billing (canceling, ")
		time.Sleep(time.Second)
		require.Error(t, fork.Wait())
		assert.Equal(t, before, keys())
		assert.Contains(t, getText(h), "└─ billing (closed, ")

		// The stack of the call is found in the scope that has closed.
		call := getJSON(t, h, "").Roots[0].Below[0].Below[1]
		assert.Equal(t, "abandoned", call.State)
		w := get(h, fmt.Sprintf("/stack?scope=%d&task=%d&call=1", call.Scope, call.ID))
		assert.Contains(t, w.Body.String(), "deafWork")
		x := getJSON(t, h, fmt.Sprintf("&scope=%d", fork.ID()))
		require.Len(t, x.Roots, 1)
		assert.Equal(t, "server/billing", x.Roots[0].Path)

		close(end)
		synctest.Wait()
		assert.Empty(t, getJSON(t, h, "").Roots[0].Below)
	})
}
