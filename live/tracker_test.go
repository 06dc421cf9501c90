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

1 scope has failed:
  4s ago, after 3.25s: unseen/second: scope "unseen/second": task "writer": disk full; really; 1 canceled because of it

roots that have ended without a failure:
  7s ago, after 250ms: first
`, getText(&scopes))
	})
}

// The words do not say more than a Tracker knows: scopes that have ended well are not counted.
func TestATrackerSaysOnlyWhatItCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var scopes live.Tracker
		ctx, cancel := context.WithCancel(context.Background())
		root := traigo.New(ctx, traigo.Name("server"), traigo.Observe(&scopes))
		for i := range 20 {
			require.NoError(t, root.Fork(traigo.Name("conn")).Wait())
			if i%10 == 0 {
				fail(t, root, "conn", "reset", 1)
			}
		}
		text := getText(&scopes)
		assert.Contains(t, text, "\n2 scopes have failed:\n")
		assert.Contains(t, text, "; up to 1 canceled because of each\n")
		assert.NotContains(t, text, "22")

		cancel()
		require.Error(t, root.Wait())
		text = getText(&scopes)
		assert.Contains(t, text, "\n2 scopes have failed:\n")
		assert.Contains(t, text, "\nroots that have ended without a failure:\n  250ms ago, after ")
		x := getJSON(t, &scopes, "")
		assert.Equal(t, 2, x.FailedTotal)
		assert.False(t, x.Ended[0].Canceled)
		assert.True(t, x.Ended[1].Canceled, "only because its parent was")
	})
}

// inLetters returns a number without digits: endings that differ in digits alone are folded.
func inLetters(i int) string {
	return strings.Map(func(r rune) rune { return r - '0' + 'a' }, fmt.Sprint(i))
}

// fail opens a scope that ends with an error, after it has canceled n tasks.
func fail(t *testing.T, root *traigo.Scope, name, text string, n int) {
	t.Helper()
	s := root.Fork(traigo.Name(name))
	for range n {
		s.Spawn(untilCanceled)
	}
	synctest.Wait()
	s.Cancel(errors.New(text))
	require.Error(t, s.Wait())
}

func TestATrackerRemembersFiftyKinds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var scopes live.Tracker
		root := opened(t, traigo.Observe(&scopes))
		fail(t, root, "journal", "disk full", 30)
		for i := range 60 {
			require.NoError(t, root.Fork(traigo.Name("fine")).Wait())
			fail(t, root, "conn "+inLetters(i), "reset", 1)
			time.Sleep(time.Second)
		}
		x := getJSON(t, &scopes, "")
		require.Len(t, x.Ended, 50)
		assert.Equal(t, "server/journal", x.Ended[0].Path, "it has canceled the most")
		assert.Equal(t, 30, x.Ended[0].Weight)
		assert.Equal(t, "server/conn "+inLetters(59), x.Ended[1].Path)
		assert.Equal(t, "server/conn "+inLetters(11), x.Ended[49].Path)
		assert.Contains(t, x.Ended[1].Err, "reset")
		assert.Equal(t, 61, x.FailedTotal)
	})
}

func TestATrackerFoldsWhatIsAlike(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var scopes live.Tracker
		root := opened(t, traigo.Observe(&scopes))
		begin := time.Now()
		for i := range 23 {
			fail(t, root, fmt.Sprint("conn ", i), fmt.Sprintf("reset by 10.0.0.%d at 0xc000%da", i, i), i%3)
			time.Sleep(time.Second)
		}
		fail(t, root, "conn x", "reset", 0)
		x := getJSON(t, &scopes, "")
		require.Len(t, x.Ended, 2)
		conn := x.Ended[0]
		assert.Equal(t, 23, conn.Count)
		assert.Equal(t, 2, conn.Weight)
		assert.Equal(t, "server/conn 22", conn.Path)
		assert.Contains(t, conn.Err, "reset by 10.0.0.22")
		assert.True(t, conn.First.Equal(begin))
		assert.True(t, conn.Ended.Equal(begin.Add(22*time.Second)))
		assert.Equal(t, 24, x.FailedTotal)
		assert.Contains(t, getText(&scopes), " [×23 since 23.25s ago]: server/conn 22: scope \"server/conn 22\": reset by 10.0.0.22 at 0xc00022a; up to 2 canceled because of each\n")
	})
}

func TestATrackerFoldsSerials(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var scopes live.Tracker
		root := opened(t, traigo.Observe(&scopes))
		for _, serial := range []string{"9c093ccd", "1c093cce", "123e4567-e89b-12d3-a456-426614174000"} {
			fail(t, root, "conn "+serial, "no user "+serial, 0)
		}
		require.Len(t, getJSON(t, &scopes, "").Ended, 1)
	})
}

// What has failed only because of a scope below, or above, is counted there.
func TestATrackerKeepsCausesAndNotTheirConsequences(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var scopes live.Tracker
		for range 3 {
			root := traigo.New(context.Background(), traigo.Name("server"), traigo.Observe(&scopes))
			for range 10 {
				root.Fork(traigo.Name("conn")).Spawn(untilCanceled)
			}
			synctest.Wait()
			root.Spawn(func(ctx context.Context) error {
				return traigo.Run(ctx, func(ctx context.Context, s *traigo.Scope) error {
					s.Spawn(func(ctx context.Context) error {
						return traigo.Run(ctx, func(context.Context, *traigo.Scope) error { return errors.New("disk full") }, traigo.Name("rotate"))
					})
					return untilCanceled(ctx)
				}, traigo.Name("journal"))
			}, traigo.Name("journal"))
			require.Error(t, root.Wait())
		}
		x := getJSON(t, &scopes, "")
		require.Len(t, x.Ended, 1, "%v", x.Ended)
		e := x.Ended[0]
		assert.True(t, strings.HasSuffix(e.Path, "/rotate"), e.Path)
		assert.Equal(t, 3, e.Count)
		assert.Equal(t, 2, e.Above)
		assert.Equal(t, 20, e.Weight, "ten scopes with a task each")
		assert.Equal(t, 3, x.FailedTotal)
		assert.Contains(t, getText(&scopes), "disk full; and 2 scopes above; up to 20 canceled because of each\n")
	})
}

// An error that a program has put around the outcome of a scope does not hide where it is from.
func TestATrackerFindsACauseInsideAForeignError(t *testing.T) {
	for name, around := range map[string]func(error) error{
		"Errorf":           func(err error) error { return fmt.Errorf("session: %w", err) },
		"Errorf, twice":    func(err error) error { return fmt.Errorf("a: %w", fmt.Errorf("b: %w", err)) },
		"Join":             func(err error) error { return errors.Join(nil, err) },
		"a type":           func(err error) error { return foreignError{func() error { return err }} },
		"with two":         func(err error) error { return errors.Join(errors.New("flush"), err) },
		"one that panics":  func(error) error { return foreignError{func() error { panic("no") }} },
		"one in a circle":  func(error) error { e := &circle{}; e.err = e; return e },
		"a Cancellation":   func(err error) error { return &traigo.Cancellation{Err: err} },
		"a nil *Error":     func(error) error { return fmt.Errorf("x: %w", (*traigo.Error)(nil)) },
		"without any more": func(error) error { return errors.New("session") },
	} {
		synctest.Test(t, func(t *testing.T) {
			var scopes live.Tracker
			root := traigo.New(context.Background(), traigo.Name("root"), traigo.Observe(&scopes))
			for range 5 {
				root.Spawn(untilCanceled)
			}
			synctest.Wait()
			root.Spawn(func(ctx context.Context) error {
				return around(traigo.Run(ctx, func(ctx context.Context, s *traigo.Scope) error {
					s.Spawn(untilCanceled)
					synctest.Wait()
					return errors.New("disk full")
				}, traigo.Name("session")))
			}, traigo.Name("serve"))
			require.Error(t, root.Wait())
			ended := getJSON(t, &scopes, "").Ended
			switch name {
			case "Errorf", "Errorf, twice", "Join", "a type":
				require.Len(t, ended, 1, name)
				assert.Equal(t, "root/session", ended[0].Path, name)
				assert.Equal(t, 1, ended[0].Above, name)
				assert.Equal(t, 6, ended[0].Weight, name)
			default:
				require.Len(t, ended, 2, name)
			}
		})
	}
}

type foreignError struct{ unwrap func() error }

func (e foreignError) Error() string { return "foreign" }
func (e foreignError) Unwrap() error { return e.unwrap() }

type circle struct{ err error }

func (e *circle) Error() string { return "circle" }
func (e *circle) Unwrap() error { return e.err }

// What an earlier end has canceled is not counted again, though it may still run.
func TestATrackerCountsWhatIsCanceledOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var scopes live.Tracker
		root := traigo.New(context.Background(), traigo.Name("root"), traigo.Observe(&scopes))
		end := make(chan struct{})
		for i := range 3 {
			conn := root.Fork(traigo.Name("conn"))
			for range 5 {
				conn.Spawn(ignoringCancel(end))
			}
			pool := conn.Fork(traigo.Name("pool"))
			pool.Spawn(ignoringCancel(end))
			if i > 0 {
				conn.Cancel(errors.New("reset"))
			}
		}
		root.Spawn(ignoringCancel(end), traigo.Name("alone")).Cancel(nil)
		synctest.Wait()
		root.Spawn(untilCanceled)
		root.Spawn(func(context.Context) error { return errors.New("disk full") }, traigo.Name("writer"))
		synctest.Wait()
		close(end)
		require.Error(t, root.Wait())
		ended := getJSON(t, &scopes, "").Ended
		require.Len(t, ended, 2)
		weights := map[string]int{ended[0].Path: ended[0].Weight, ended[1].Path: ended[1].Weight}
		assert.Equal(t, map[string]int{"root": 9, "root/conn": 7}, weights, "a conn with its five tasks and its pool, which has one, and the task that waits")
	})
}

// A scope that has failed for two reasons is more than a consequence of one.
func TestATrackerKeepsWhatHasAReasonOfItsOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var scopes live.Tracker
		root := opened(t, traigo.Observe(&scopes))
		outer := root.Fork(traigo.Name("outer"))
		outer.Spawn(func(ctx context.Context) error { <-ctx.Done(); return errors.New("cannot flush") })
		outer.Spawn(func(ctx context.Context) error {
			return traigo.Run(ctx, func(context.Context, *traigo.Scope) error { return errors.New("disk full") }, traigo.Name("inner"))
		})
		require.Error(t, outer.Wait())
		x := getJSON(t, &scopes, "")
		require.Len(t, x.Ended, 2)
		assert.Equal(t, 2, x.FailedTotal)
	})
}

// An option of the scope itself, and one of a scope above, tell the Tracker of each end twice.
func TestATrackerCountsAnEndOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var scopes live.Tracker
		root := opened(t, traigo.Observe(&scopes))
		s := root.Fork(traigo.Name("conn"), traigo.Observe(&scopes))
		s.Cancel(errors.New("reset"))
		require.Error(t, s.Wait())
		x := getJSON(t, &scopes, "")
		assert.Equal(t, 1, x.FailedTotal)
		assert.Equal(t, 1, x.Ended[0].Count)
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
