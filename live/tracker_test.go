package live_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/live"
)

func TestATrackerKnowsTheRootsThatAreOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var scopes live.Tracker
		assert.Equal(t, "0 scopes, 0 tasks\n", getText(&scopes))

		first := opened(t, traigo.Name("first"), traigo.Observe(&scopes))
		parent := opened(t, traigo.Name("unseen"))
		second := parent.Fork(traigo.Name("second"), traigo.Observe(&scopes))
		_ = second.Fork(traigo.Name("inner"), traigo.Observe(&scopes))
		assert.Equal(t, "3 scopes, 0 tasks\n\nfirst (open, 250ms)\nsecond (open, 250ms)\n└─ inner (open, 250ms)\n", getText(&scopes))

		require.NoError(t, first.Close())
		time.Sleep(3 * time.Second)
		second.Spawn(func(context.Context) error { return errors.New("disk full\nreally") }, traigo.Name("writer"))
		require.Error(t, second.Wait())
		time.Sleep(4 * time.Second)
		assert.Equal(t, `0 scopes, 0 tasks

ended:
  4s ago, after 3.25s: unseen/second: scope "unseen/second": task "writer": disk full; really
  4s ago, after 3.25s: unseen/second/inner: scope "unseen/second/inner": parent canceled: scope "unseen/second" canceled: task failed: task "unseen/second/writer": disk full; really
  7s ago, after 250ms: first
`, getText(&scopes))
	})
}

func TestATrackerRemembersTheLastFifty(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var scopes live.Tracker
		root := opened(t, traigo.Observe(&scopes))
		for i := range 60 {
			require.NoError(t, root.Fork(traigo.Name("fine")).Wait())
			s := root.Fork(traigo.Name(fmt.Sprint("conn ", i)))
			s.Cancel(errors.New("reset"))
			require.Error(t, s.Wait())
		}
		x := getJSON(t, &scopes, "")
		require.Len(t, x.Ended, 50)
		assert.Equal(t, "server/conn 59", x.Ended[0].Path)
		assert.Equal(t, "server/conn 10", x.Ended[49].Path)
		assert.Contains(t, x.Ended[0].Err, "reset")
	})
}

// An observer is called for many scopes at the same time.
func TestATrackerIsSafeToShare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var scopes live.Tracker
		assert.NoError(t, traigo.Run(t.Context(), func(ctx context.Context, s *traigo.Scope) error {
			for range 20 {
				s.Spawn(func(context.Context) error {
					for range 20 {
						root := traigo.New(context.Background(), traigo.Observe(&scopes))
						root.Spawn(untilCanceled)
						assert.Equal(t, http.StatusOK, get(&scopes, "/").Code)
						_ = root.Close()
					}
					return nil
				})
			}
			return nil
		}))
		assert.Contains(t, getText(&scopes), "0 scopes, 0 tasks\n")
	})
}

// A task that still runs after its root has closed is something to warn about.
func TestATrackerShowsWhatRunsOnInARootThatHasClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var scopes live.Tracker
		end := make(chan struct{})
		for i := range 60 {
			require.Error(t, traigo.Run(context.Background(), func(_ context.Context, s *traigo.Scope) error {
				s.Spawn(ignoringCancel(end), traigo.Name("stuck"))
				return errors.New("over")
			}, traigo.Name(fmt.Sprint("job ", i)), traigo.CancelTimeout(time.Second), traigo.Observe(&scopes)))
		}
		body := getText(&scopes)
		assert.Contains(t, body, "! given-up")
		assert.Contains(t, body, "• stuck [×50] (given up")
		x := getJSON(t, &scopes, "")
		assert.Equal(t, 50, x.Tasks, "the last ones")
		assert.Zero(t, x.Scopes)
		close(end)
		synctest.Wait()
		assert.Contains(t, getText(&scopes), "0 scopes, 0 tasks\n")
	})
}

// A task that was given up can open a scope when its own has closed. The scope is shown
// once: below the root of the task.
func TestATrackerShowsAScopeInARootThatHasClosedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var scopes live.Tracker
		run, end := make(chan struct{}), make(chan struct{})
		root := opened(t, traigo.Observe(&scopes), traigo.CancelTimeout(time.Second))
		root.Spawn(func(ctx context.Context) error {
			<-run
			return traigo.Run(ctx, func(context.Context, *traigo.Scope) error { return deafWork(end) }, traigo.Name("late"))
		}, traigo.Name("stuck"))
		require.Error(t, root.Close())
		close(run)
		synctest.Wait()
		body := getText(&scopes)
		assert.Contains(t, body, "server (closed, ")
		assert.Contains(t, body, "└─ • stuck (given up, ")
		assert.Equal(t, 1, strings.Count(body, "late (canceling, "), body)
		close(end)
		synctest.Wait()
		assert.Contains(t, getText(&scopes), "0 scopes, 0 tasks\n")
	})
}

// A Run on a goroutine that is no task of the scope may outlive it.
func TestATrackerShowsAScopeThatOutlivesItsRoot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var scopes live.Tracker
		end := make(chan struct{})
		root := opened(t, traigo.Observe(&scopes))
		go func() {
			_ = traigo.Run(root.Context(), func(_ context.Context, s *traigo.Scope) error {
				s.Spawn(ignoringCancel(end), traigo.Name("stuck"))
				return nil
			}, traigo.Name("request"))
		}()
		synctest.Wait()
		require.NoError(t, root.Close())
		assert.Contains(t, getText(&scopes), "• stuck (canceling")
		close(end)
		synctest.Wait()
		assert.Contains(t, getText(&scopes), "0 scopes, 0 tasks\n")
	})
}
