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

// What runs on after its root has closed is what the lints are for.
func TestATrackerShowsWhatRunsOnInARootThatHasClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var scopes live.Tracker
		end := make(chan struct{})
		for i := range 60 {
			require.Error(t, traigo.Run(context.Background(), func(_ context.Context, s *traigo.Scope) error {
				s.Spawn(func(context.Context) error { <-end; return nil }, traigo.Name("deaf"))
				return errors.New("over")
			}, traigo.Name(fmt.Sprint("job ", i)), traigo.CancelTimeout(time.Second), traigo.Observe(&scopes)))
		}
		body := get(&scopes, "/").Body.String()
		assert.Contains(t, body, "! given-up")
		assert.Contains(t, body, "• deaf (given up")
		x := decode(t, get(&scopes, "/?format=json").Body.Bytes())
		assert.Equal(t, 50, x.Tasks, "the last ones")
		assert.Zero(t, x.Scopes)
		close(end)
		synctest.Wait()
		assert.Contains(t, get(&scopes, "/").Body.String(), "0 scopes, 0 tasks\n")
	})
}

// A Run on a goroutine that is no task may outlive the scope of its context.
func TestATrackerShowsAScopeThatOutlivesItsRoot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var scopes live.Tracker
		end := make(chan struct{})
		root := opened(t, traigo.Observe(&scopes))
		go func() {
			_ = traigo.Run(root.Context(), func(_ context.Context, s *traigo.Scope) error {
				s.Spawn(func(context.Context) error { <-end; return nil }, traigo.Name("deaf"))
				return nil
			}, traigo.Name("request"))
		}()
		synctest.Wait()
		require.NoError(t, root.Close())
		assert.Contains(t, get(&scopes, "/").Body.String(), "• deaf (canceling")
		close(end)
		synctest.Wait()
		assert.Contains(t, get(&scopes, "/").Body.String(), "0 scopes, 0 tasks\n")
	})
}
