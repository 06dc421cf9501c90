package traigo_test

import (
	"context"
	"fmt"
	"log/slog"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo"
)

func TestRunAndNewAppearAsChildren(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		require.NoError(t, traigo.Run(t.Context(), func(ctx context.Context, s *traigo.Scope) error {
			side := traigo.New(ctx, traigo.Name("side"))
			s.Spawn(func(ctx context.Context) error {
				return traigo.Run(ctx, func(ctx context.Context, inner *traigo.Scope) error {
					assert.Equal(t, "server/conn", inner.Path())
					assert.Same(t, inner, traigo.Current(ctx))
					deep := traigo.New(ctx, traigo.Name("deep"))
					assert.Equal(t, "server/conn/deep", deep.Path())
					return traigo.Sleep(ctx, time.Second)
				}, traigo.Name("conn"))
			})
			synctest.Wait()
			assert.Equal(t, "server/side", side.Path())
			children := map[string]int{}
			for _, child := range s.Snapshot().Scopes {
				children[child.Path] = len(child.Scopes)
			}
			assert.Equal(t, map[string]int{"server/side": 0, "server/conn": 1}, children)
			return nil
		}, traigo.Name("server")))
	})
}

// If a Run were a participant of the parent, the parent would wait for it.
func TestRunIsPartOfTheTaskThatCallsIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var inner error
		book, start := newRecords(), time.Now()
		require.NoError(t, traigo.Run(t.Context(), func(_ context.Context, s *traigo.Scope) error {
			s.Spawn(func(ctx context.Context) error {
				inner = traigo.Run(ctx, func(ctx context.Context, _ *traigo.Scope) error {
					return traigo.Sleep(ctx, time.Hour)
				})
				return nil
			}, traigo.Awaited(false))
			return traigo.Sleep(s.Context(), time.Second)
		}))
		assert.Equal(t, time.Second, time.Since(start))
		require.ErrorIs(t, inner, context.Canceled)

		err := traigo.Run(t.Context(), func(_ context.Context, s *traigo.Scope) error {
			s.Spawn(func(ctx context.Context) error {
				inner = traigo.Run(ctx, func(context.Context, *traigo.Scope) error { return errBoom })
				return nil
			})
			return nil
		}, traigo.Logger(book.logger()))
		require.NoError(t, err, "the failure is the calling task's to report")
		require.ErrorIs(t, inner, errBoom)
		assert.Empty(t, book.from(slog.LevelWarn), "it was returned, so it is not lost")
	})
}

func TestRunReturnsWhenEverythingHasEnded(t *testing.T) {
	rows := []struct {
		name     string
		leave    func() error // how the body ends
		canceled bool         // whether that cancels its tasks
	}{
		{"return", func() error { return nil }, false},
		{"error", func() error { return errBoom }, true},
		{"panic", func() error { panic("boom") }, true},
		{"Goexit", func() error { runtime.Goexit(); return nil }, true},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var ended, canceled atomic.Bool
				start := time.Now()
				left := make(chan struct{})
				go func() { // a Goexit of the body ends the goroutine
					defer close(left)
					defer func() {
						assert.True(t, ended.Load(), "the task ended before Run did")
						assert.Equal(t, time.Second, time.Since(start))
					}()
					_ = raised(func() {
						_ = traigo.Run(t.Context(), func(_ context.Context, s *traigo.Scope) error {
							s.Spawn(func(ctx context.Context) error {
								time.Sleep(time.Second)
								canceled.Store(ctx.Err() != nil)
								ended.Store(true)
								return nil
							})
							return row.leave()
						})
					})
				}()
				<-left
				assert.Equal(t, row.canceled, canceled.Load())
			})
		})
	}
}

// A context made by context.WithoutCancel carries the scope, but does not end with it.
func TestNewUnderAShieldedContextDoesNotOutliveItsParent(t *testing.T) {
	background := cleaning(time.Second, nil)
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		var early, late, last *traigo.Scope
		require.NoError(t, traigo.Run(t.Context(), func(ctx context.Context, s *traigo.Scope) error {
			early = traigo.New(context.WithoutCancel(ctx))
			early.Spawn(func(ctx context.Context) error {
				_ = background(ctx)
				last = traigo.New(context.WithoutCancel(s.Context())) // s is canceling, so this is canceled at once
				return nil
			})
			s.Spawn(func(ctx context.Context) error {
				<-ctx.Done() // from here on s is canceling
				time.Sleep(5 * time.Second)
				late = traigo.New(context.WithoutCancel(ctx))
				late.Spawn(background)
				return nil
			}, traigo.Awaited(false))
			return nil
		}))
		assert.Equal(t, 6*time.Second, time.Since(start))
		for _, child := range []*traigo.Scope{early, late, last} {
			assert.True(t, closed(child.Done()))
			assert.Equal(t, traigo.Closed, child.State())
		}
	})
}

func TestNewIsItsOwnersToWaitFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		require.NoError(t, traigo.Run(t.Context(), func(ctx context.Context, s *traigo.Scope) error {
			child := traigo.New(ctx)
			child.Spawn(fail)
			assert.ErrorIs(t, child.Wait(), errBoom)
			assert.NoError(t, ctx.Err(), "its failure is not the parent's")
			assert.Equal(t, traigo.Open, s.State())
			return nil
		}))
	})
}

// The end of a task ends what was derived from its context, except a scope of New: its
// owner ends it, and the scope above cancels and joins it.
func TestNewInATaskOutlivesTheTask(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := traigo.New(t.Context())
		var inner *traigo.Scope
		task := s.Spawn(func(ctx context.Context) error { inner = traigo.New(ctx); return nil })
		require.NoError(t, task.Wait(t.Context()))
		synctest.Wait()
		assert.Equal(t, traigo.Open, inner.State())
		assert.NoError(t, inner.Context().Err())
		s.Cancel(errBoom)
		assert.Error(t, inner.Context().Err(), "before Cancel returns")
		require.ErrorIs(t, s.Close(), errBoom)
		require.ErrorIs(t, inner.Close(), errBoom)
	})
}

func TestNewInATaskEndsWhenTheTaskIsCanceled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := traigo.New(t.Context())
		task := s.Spawn(func(ctx context.Context) error {
			inner := traigo.New(ctx)
			<-inner.Done()
			return inner.Err()
		})
		synctest.Wait()
		task.Cancel(errBoom)
		require.ErrorIs(t, task.Wait(t.Context()), errBoom)
		require.NoError(t, s.Close())
	})
}

func TestRunUnderAContextThatIsAlreadyCanceled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(errOuter)
		ran := false
		err := traigo.Run(ctx, func(ctx context.Context, _ *traigo.Scope) error {
			ran = true
			assert.True(t, closed(ctx.Done()))
			assert.ErrorIs(t, ctx.Err(), context.Canceled)
			assert.ErrorIs(t, context.Cause(ctx), errOuter)
			return nil
		})
		assert.True(t, ran)
		assert.NotNil(t, cancellation(outcome(t, err).Err, traigo.ParentCanceled), "%v", err)
	})
}

// Observers see the first event of a scope before the call that opens it has returned.
// What they do to the scope then happens after its opening.

// openings are the ways to open a scope below another. An observer ends the scope as it
// opens; each function returns it, and its outcome, when it has closed.
var openings = map[string]func(t *testing.T, parent *traigo.Scope, opts ...traigo.ScopeOption) (*traigo.Scope, error){
	"New": func(_ *testing.T, parent *traigo.Scope, opts ...traigo.ScopeOption) (*traigo.Scope, error) {
		s := traigo.New(parent.Context(), opts...)
		return s, s.Wait()
	},
	"Fork": func(_ *testing.T, parent *traigo.Scope, opts ...traigo.ScopeOption) (*traigo.Scope, error) {
		s := parent.Fork(opts...)
		return s, s.Wait()
	},
	"Run": func(t *testing.T, parent *traigo.Scope, opts ...traigo.ScopeOption) (s *traigo.Scope, err error) {
		ran := 0
		err = traigo.Run(parent.Context(), func(ctx context.Context, own *traigo.Scope) error {
			s = own
			ran++
			assert.ErrorIs(t, ctx.Err(), context.Canceled)
			assert.True(t, closed(ctx.Done()))
			assert.ErrorIs(t, s.Spawn(succeed).Err(), traigo.ErrRefused)
			return nil
		}, opts...)
		assert.Equal(t, 1, ran)
		return s, err
	},
}

func onOpening(of string, do func(s *traigo.Scope)) traigo.ScopeOption {
	return traigo.Observe(seeing(func(e traigo.Event) {
		if e.Kind == traigo.ScopeOpened && e.Scope.Name() == of {
			do(e.Scope)
		}
	}))
}

func TestObserverMayCancelAScopeAsItOpens(t *testing.T) {
	for name, open := range openings {
		for _, cause := range []error{nil, errBoom} {
			t.Run(name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					var seen story
					root := traigo.New(t.Context(), discard())
					s, err := open(t, root, traigo.Name("below"), traigo.Observe(&seen),
						onOpening("below", func(s *traigo.Scope) { s.Cancel(cause) }))
					if cause == nil {
						require.NoError(t, err)
					} else {
						require.Equal(t, []error{cause}, outcome(t, err).Unwrap())
					}
					require.NoError(t, s.CheckInvariants())
					require.NoError(t, root.CheckInvariants())
					assert.Empty(t, root.Snapshot().Scopes)
					require.NoError(t, root.Close())
					assert.Equal(t, []traigo.EventKind{traigo.ScopeOpened, traigo.ScopeCanceled, traigo.ScopeClosed}, withoutFinalized(&seen, s))
				})
			})
		}
	}
}

// withoutFinalized lists the events of s, but not ScopeFinalized: the body of a Run
// finalizes it when it returns, which may be before or after it has closed.
func withoutFinalized(seen *story, s *traigo.Scope) (kinds []traigo.EventKind) {
	for _, kind := range seen.ofScope(s) {
		if kind != traigo.ScopeFinalized {
			kinds = append(kinds, kind)
		}
	}
	return kinds
}

func TestObserverMaySpawnIntoAScopeAsItOpens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		root := traigo.New(t.Context())
		var task *traigo.Task
		fork := root.Fork(traigo.Name("below"), onOpening("below", func(s *traigo.Scope) {
			task = s.Spawn(lasting(time.Second))
			s.Finalize()
		}))
		begin := time.Now()
		require.NoError(t, fork.Wait())
		assert.Equal(t, time.Second, time.Since(begin))
		require.NoError(t, task.Err())
		require.NoError(t, root.Close())
	})
}

// ScopeOpened is the first event that every observer receives of a scope, also if the
// scope is ended meanwhile. Its parent closes after it.
func TestOpeningIsHeardOfFirst(t *testing.T) {
	for name, row := range map[string]struct {
		end  func(root *traigo.Scope)
		want []traigo.EventKind
	}{
		"Shutdown": {func(root *traigo.Scope) { go func() { _ = root.Shutdown(context.Background()) }() },
			[]traigo.EventKind{traigo.ScopeOpened, traigo.ScopeFinalized, traigo.ScopeCanceled, traigo.ScopeClosed}},
		"Cancel": {func(root *traigo.Scope) { root.Cancel(nil) },
			[]traigo.EventKind{traigo.ScopeOpened, traigo.ScopeCanceled, traigo.ScopeClosed}},
		"timeout": {func(*traigo.Scope) {}, // the fork's own ends it
			[]traigo.EventKind{traigo.ScopeOpened, traigo.ScopeCanceled, traigo.ScopeClosed}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var seen story
				var fork *traigo.Scope
				root := traigo.New(t.Context(), traigo.Name("root"), discard(),
					onOpening("below", func(s *traigo.Scope) { fork = s; time.Sleep(time.Minute) }), traigo.Observe(&seen))
				go root.Fork(traigo.Name("below"), traigo.Timeout(time.Second))
				synctest.Wait()
				row.end(root)
				time.Sleep(30 * time.Second)
				assert.False(t, closed(root.Done()))
				assert.Empty(t, seen.ofScope(fork), "the first observer has not returned")
				time.Sleep(time.Minute)
				assert.Equal(t, row.want, seen.ofScope(fork))
				require.NoError(t, root.Close())
				last := seen.all[len(seen.all)-1]
				assert.Same(t, root, last.Scope)
				assert.Equal(t, traigo.ScopeClosed, last.Kind)
			})
		})
	}
}

func TestScopeOpenedUnderADoneContextIsHeardOfInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(errOuter)
		var seen story
		s := traigo.New(ctx, traigo.Observe(&seen))
		require.ErrorIs(t, s.Wait(), errOuter)
		assert.Equal(t, []traigo.EventKind{traigo.ScopeOpened, traigo.ScopeCanceled, traigo.ScopeClosed}, withoutFinalized(&seen, s))
	})
}

// Under a scope whose Shutdown has begun, Stopping is closed when the scope opens.
func TestStoppingTakenAsAScopeOpensIsClosed(t *testing.T) {
	for name, end := range map[string]func(root *traigo.Scope){
		"Shutdown before": func(root *traigo.Scope) {
			go func() { _ = root.Shutdown(context.Background()) }()
			synctest.Wait()
		},
		"Cancel after": func(*traigo.Scope) {},
	} {
		for how, open := range openings {
			t.Run(name+"/"+how, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					root := traigo.New(t.Context(), discard())
					hold := make(chan struct{})
					root.Spawn(func(context.Context) error { <-hold; return nil })
					end(root)
					var stopping <-chan struct{}
					_, err := open(t, root, traigo.Name("below"), onOpening("below", func(s *traigo.Scope) {
						stopping = traigo.Stopping(s.Context())
						assert.Equal(t, closed(traigo.Stopping(root.Context())), closed(stopping))
						s.Cancel(nil)
					}))
					require.NoError(t, err)
					require.NotNil(t, stopping)
					assert.True(t, closed(stopping))
					close(hold)
					require.NoError(t, root.Close())
				})
			})
		}
	}
}

func TestForkDoesNotBubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		s := traigo.New(t.Context())
		sibling := s.Spawn(func(ctx context.Context) error { return traigo.Sleep(ctx, 5*time.Second) })
		child := s.Fork()
		child.Spawn(failing(time.Second, errBoom))
		require.ErrorIs(t, child.Wait(), errBoom)
		assert.Equal(t, traigo.Open, s.State())
		require.NoError(t, s.Wait())
		require.NoError(t, sibling.Err())
		assert.Equal(t, 5*time.Second, time.Since(start))
	})
}

func TestForkIsReachedByTheParentsCause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := traigo.New(t.Context(), traigo.Name("parent"))
		child := s.Fork(traigo.Name("child"))
		causes := make(chan error, 1)
		child.Spawn(func(ctx context.Context) error {
			<-ctx.Done()
			causes <- context.Cause(ctx)
			return ctx.Err()
		})
		s.Spawn(fail, traigo.Name("work"))

		err := child.Wait()
		first := outcome(t, err).Err
		why := as[*traigo.Cancellation](t, first)
		require.Same(t, first, why)
		assert.Equal(t, traigo.ParentCanceled, why.Kind)
		require.ErrorIs(t, err, context.Canceled)
		for _, err := range []error{first, <-causes} {
			require.ErrorIs(t, err, errBoom)
			why := cancellation(err, traigo.TaskFailed)
			require.NotNil(t, why, "%v", err)
			assert.Equal(t, "parent", why.Scope)
			assert.Equal(t, "parent/work", why.Task)
		}
		require.ErrorIs(t, s.Wait(), errBoom)
	})
}

func TestForkIsJoinedWhenTheParentIsCanceled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		s := traigo.New(t.Context())
		child := s.Fork()
		child.Spawn(cleaning(3*time.Second, nil))
		require.NoError(t, s.Close())
		assert.Equal(t, 3*time.Second, time.Since(start))
		assert.True(t, closed(child.Done()))
	})
}

func TestForkThatFailedUnattendedIsLogged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		book := newRecords()
		s := traigo.New(t.Context(), traigo.Name("parent"), traigo.Logger(book.logger()))
		forkThatEnds(s, "child", failing(0, errBoom))
		time.Sleep(10*time.Second - 1)
		synctest.Wait()
		assert.Empty(t, book.at(slog.LevelError), "somebody may still ask")
		time.Sleep(time.Hour)
		lost := book.at(slog.LevelError)
		require.Len(t, lost, 1)
		assert.True(t, mentions(lost[0].Text, "parent/child", "boom"), lost[0].Text)

		require.NoError(t, s.Wait(), "it is not the parent's failure")
		assert.Len(t, book.at(slog.LevelError), 1, "once")
	})
}

func TestForkThatFailedUnattendedIsLoggedWhenItsParentCloses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		book := newRecords()
		s := traigo.New(t.Context(), traigo.Logger(book.logger()))
		forkThatEnds(s, "child", failing(0, errBoom))
		require.NoError(t, s.Wait())
		assert.Len(t, book.at(slog.LevelError), 1)
		time.Sleep(time.Hour)
		assert.Len(t, book.at(slog.LevelError), 1, "once")
	})
}

// Nobody waits for these scopes, and nobody may ever.
func TestNewThatFailedUnattendedIsLogged(t *testing.T) {
	opened := map[string]func(ctx context.Context, opts ...traigo.ScopeOption) *traigo.Scope{
		"a root": traigo.New,
		"below a scope": func(ctx context.Context, opts ...traigo.ScopeOption) *traigo.Scope {
			return traigo.New(traigo.New(ctx).Context(), opts...)
		},
	}
	for name, open := range opened {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				book := newRecords()
				s := open(t.Context(), traigo.Logger(book.logger()))
				s.Spawn(failing(0, errBoom))
				time.Sleep(10*time.Second - 1)
				assert.Empty(t, book.at(slog.LevelError))
				time.Sleep(time.Hour)
				require.Len(t, book.at(slog.LevelError), 1)
				assert.Contains(t, book.at(slog.LevelError)[0].Text, "boom")
			})
		})
	}
}

func TestForkWhoseOutcomeIsAskedForIsNotLogged(t *testing.T) {
	asks := map[string]func(*traigo.Scope) error{
		"Wait":  (*traigo.Scope).Wait,
		"Close": (*traigo.Scope).Close,
		"Err":   (*traigo.Scope).Err,
	}
	for name, ask := range asks {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				book := newRecords()
				s := traigo.New(t.Context(), traigo.Logger(book.logger()))
				child := forkThatEnds(s, "child", failing(0, errBoom))
				require.ErrorIs(t, ask(child), errBoom)
				require.NoError(t, s.Close())
				assert.Empty(t, book.at(slog.LevelError))
			})
		})
	}
}

// A call of Wait asks for the outcome, even if the parent closes before Wait returns.
func TestForkThatIsWaitedForAsItFailsIsNotLogged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		book := newRecords()
		s := traigo.New(t.Context(), traigo.Logger(book.logger()))
		child := s.Fork()
		child.Spawn(failing(time.Second, errBoom))
		outcome := make(chan error, 1)
		go func() { outcome <- child.Wait() }()
		require.NoError(t, s.Wait())
		assert.Empty(t, book.at(slog.LevelError))
		require.ErrorIs(t, <-outcome, errBoom)
	})
}

// Err returns nil before the end, so it does not show the failure to its caller.
func TestForkIsNotAskedByErrBeforeItsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		book := newRecords()
		s := traigo.New(t.Context(), traigo.Logger(book.logger()))
		child := s.Fork()
		child.Spawn(failing(time.Second, errBoom))
		require.NoError(t, child.Err())
		require.NoError(t, s.Wait())
		assert.Len(t, book.at(slog.LevelError), 1)
	})
}

func TestForkThatMerelyFollowedTheParentIsNotLogged(t *testing.T) {
	rows := map[string]struct {
		task func(context.Context) error
		lost int
	}{
		"only canceled":       {untilCanceled, 0},
		"an error of its own": {cleaning(time.Second, errBoom), 1},
	}
	for name, row := range rows {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				book := newRecords()
				s := traigo.New(t.Context(), traigo.Logger(book.logger()))
				child := s.Fork()
				child.Spawn(row.task)
				synctest.Wait()
				require.NoError(t, s.Close())
				lost := book.at(slog.LevelError)
				require.Len(t, lost, row.lost)
				for _, r := range lost {
					assert.Contains(t, r.Text, "boom")
				}
			})
		})
	}
}

func TestForkThatPanickedIsRaisedByTheParent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		s := traigo.New(t.Context())
		sibling := s.Spawn(func(ctx context.Context) error { return traigo.Sleep(ctx, 5*time.Second) })
		child := s.Fork()
		work := child.Spawn(panicking("oops"), traigo.Name("work"))
		<-child.Done()
		assert.Equal(t, traigo.Open, s.State(), "the parent is not canceled by it")

		value := raised(func() { _ = s.Wait() })
		require.IsType(t, (*traigo.PanicError)(nil), value)
		assert.Equal(t, work.Path(), value.(*traigo.PanicError).Task)
		require.NoError(t, sibling.Err())
		assert.Equal(t, 5*time.Second, time.Since(start))
	})
}

func TestForkThatPanickedAndWasAskedIsNotRaisedAgain(t *testing.T) {
	asks := map[string]func(t *testing.T, child *traigo.Scope){
		"Wait": func(t *testing.T, child *traigo.Scope) {
			assert.NotNil(t, raised(func() { _ = child.Wait() }))
		},
		"Close": func(t *testing.T, child *traigo.Scope) {
			assert.NotNil(t, raised(func() { _ = child.Close() }))
		},
		"Err": func(t *testing.T, child *traigo.Scope) {
			_ = as[*traigo.PanicError](t, child.Err())
		},
	}
	for name, ask := range asks {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := traigo.New(t.Context())
				ask(t, forkThatEnds(s, "child", panicking("oops")))
				require.NoError(t, s.Close())
			})
		})
	}
}

func TestForkKeepsSixteenOutcomes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		book := newRecords()
		s := traigo.New(t.Context(), traigo.Name("parent"), traigo.Logger(book.logger()))
		fail := func(i int) {
			forkThatEnds(s, fmt.Sprintf("fork%d.", i), failing(0, errBoom))
			synctest.Wait()
		}
		for i := range 16 {
			fail(i)
		}
		require.Empty(t, book.at(slog.LevelError))
		fail(16)
		fail(17)
		lost := book.at(slog.LevelError)
		require.Len(t, lost, 2, "at once, not at the end")
		assert.Contains(t, lost[0].Text, "parent/fork0.")
		assert.Contains(t, lost[1].Text, "parent/fork1.")

		require.NoError(t, s.Close())
		lost = book.at(slog.LevelError)
		require.Len(t, lost, 18, "each of them once")
		for i := range 18 {
			assert.Len(t, book.at(slog.LevelError, fmt.Sprintf("parent/fork%d.", i)), 1)
		}
	})
}

func TestForkOfAnEndedScopeIsClosed(t *testing.T) {
	rows := map[traigo.State]func(*traigo.Scope){
		traigo.Canceling: func(s *traigo.Scope) { s.Spawn(cleaning(time.Second, nil)); s.Cancel(errBoom) },
		traigo.Closed:    func(s *traigo.Scope) { s.Cancel(errBoom); <-s.Done() },
	}
	for state, end := range rows {
		t.Run(state.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := traigo.New(t.Context())
				end(s)
				require.Equal(t, state, s.State())

				child := s.Fork()
				assert.Equal(t, traigo.Closed, child.State())
				assert.True(t, closed(child.Done()))
				assert.Error(t, child.Context().Err())
				assert.True(t, closed(child.Context().Done()))
				assert.True(t, closed(traigo.Stopping(child.Context())))
				require.ErrorIs(t, child.Err(), traigo.ErrRefused)
				require.ErrorIs(t, child.Wait(), traigo.ErrRefused)
				require.ErrorIs(t, child.Close(), traigo.ErrRefused)

				task := child.Spawn(func(context.Context) error {
					assert.Fail(t, "a refused task ran")
					return nil
				})
				assert.True(t, closed(task.Done()))
				require.ErrorIs(t, task.Err(), traigo.ErrRefused)
				require.ErrorIs(t, s.Wait(), errBoom)
				require.NotErrorIs(t, s.Err(), traigo.ErrRefused, "the refusal of a fork is not part of the parent's outcome")
			})
		})
	}
}

func TestNewUnderAScopeIsNotWaitedForButJoined(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		var side *traigo.Scope
		var canceled time.Duration
		require.NoError(t, traigo.Run(t.Context(), func(ctx context.Context, s *traigo.Scope) error {
			side = traigo.New(ctx, traigo.Name("side"))
			side.Spawn(func(ctx context.Context) error {
				<-ctx.Done()
				canceled = time.Since(start)
				time.Sleep(3 * time.Second)
				return nil
			})
			s.Spawn(lasting(2 * time.Second))
			return nil
		}, traigo.Name("parent")))
		assert.Equal(t, 2*time.Second, canceled, "when the rest was done: the parent does not wait for it while finalizing")
		assert.Equal(t, 5*time.Second, time.Since(start), "the parent joins it")
		assert.Equal(t, "parent/side", side.Path())
		assert.Equal(t, traigo.Closed, side.State())
		assert.True(t, closed(side.Done()))
		assert.Equal(t, traigo.ParentCanceled, as[*traigo.Cancellation](t, side.Err()).Kind)
	})
}

func TestNewUnderAScopeIsJoinedWhenTheParentFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		s := traigo.New(t.Context())
		side := traigo.New(s.Context())
		side.Spawn(cleaning(3*time.Second, nil))
		s.Cancel(errBoom)
		require.ErrorIs(t, s.Wait(), errBoom)
		assert.Equal(t, 3*time.Second, time.Since(start))
		require.ErrorIs(t, side.Err(), errBoom)
	})
}

// Run returns its outcome to its caller. So the parent neither logs nor raises it.
func TestForkRulesAreNotForRun(t *testing.T) {
	rows := map[string]func(ctx context.Context) error{
		"a failure that is dealt with": func(ctx context.Context) error {
			assert.ErrorIs(t, traigo.Run(ctx, func(context.Context, *traigo.Scope) error { return errBoom }), errBoom)
			return nil
		},
		"a panic of a task that is recovered": func(ctx context.Context) error {
			assert.NotNil(t, raised(func() {
				_ = traigo.Run(ctx, func(_ context.Context, s *traigo.Scope) error {
					s.Spawn(panicking("oops"))
					return nil
				})
			}))
			return nil
		},
		"a panic of a body that is recovered": func(ctx context.Context) error {
			assert.NotNil(t, raised(func() {
				_ = traigo.Run(ctx, func(context.Context, *traigo.Scope) error { panic("oops") })
			}))
			return nil
		},
	}
	for name, row := range rows {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				book := newRecords()
				s := traigo.New(t.Context(), traigo.Logger(book.logger()))
				s.Spawn(row)
				require.Nil(t, raised(func() { assert.NoError(t, s.Wait()) }))
				for _, r := range book.from(slog.LevelWarn) {
					assert.Contains(t, r.Text, "a task has panicked")
				}
			})
		})
	}
}

// A parent waits for ever for a fork that nobody finalizes, and says so in the log.
func TestForkThatNobodyFinalizesIsLogged(t *testing.T) {
	for name, row := range map[string]struct {
		open  func(s *traigo.Scope) (forgotten *traigo.Scope)
		fork  string
		after time.Duration // since nothing is awaited but idle forks
	}{
		"idle": {func(s *traigo.Scope) *traigo.Scope { return s.Fork(traigo.Name("forgotten")) }, "main/forgotten", 10 * time.Second},
		"busy for a time": {func(s *traigo.Scope) *traigo.Scope {
			fork := s.Fork(traigo.Name("forgotten"))
			fork.Spawn(lasting(15 * time.Second))
			return fork
		}, "main/forgotten", 30 * time.Second},
		"beside one that ends": {func(s *traigo.Scope) *traigo.Scope {
			busy := s.Fork()
			busy.Spawn(lasting(11 * time.Second))
			busy.Finalize()
			return s.Fork(traigo.Name("forgotten"))
		}, "main/forgotten", 30 * time.Second},
		"only background in it": {func(s *traigo.Scope) *traigo.Scope {
			fork := s.Fork(traigo.Name("forgotten"))
			fork.Spawn(untilCanceled, traigo.Awaited(false))
			return fork
		}, "main/forgotten", 10 * time.Second},
		"one in another": {func(s *traigo.Scope) *traigo.Scope {
			fork := s.Fork(traigo.Name("forgotten"))
			time.AfterFunc(time.Hour, fork.Fork(traigo.Name("below")).Finalize)
			return fork
		}, "main/forgotten", 10 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				book, begin := newRecords(), time.Now()
				require.NoError(t, traigo.Run(t.Context(), func(_ context.Context, s *traigo.Scope) error {
					time.AfterFunc(time.Hour, row.open(s).Finalize)
					time.AfterFunc(row.after+time.Second, func() {
						assert.Len(t, book.at(slog.LevelWarn, row.fork), 1, "in time")
					})
					return nil
				}, traigo.Name("main"), traigo.Logger(book.logger())))
				assert.Equal(t, time.Hour, time.Since(begin))
				assert.Len(t, book.at(slog.LevelWarn, row.fork), 1, "once")
			})
		})
	}
}

func TestForkThatIsFinalizedInTimeIsNotLogged(t *testing.T) {
	for name, opts := range map[string][]traigo.ScopeOption{"": nil, "with CancelTimeout": {traigo.CancelTimeout(time.Millisecond)}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				book := newRecords()
				s := traigo.New(t.Context(), append(opts, traigo.Logger(book.logger()))...)
				fork, task := s.Fork(), s.Spawn(untilCanceled)
				s.Finalize()
				time.Sleep(time.Minute) // not only idle forks are waited for
				task.Cancel(nil)
				time.Sleep(9 * time.Second)
				synctest.Wait()
				fork.Finalize()
				require.NoError(t, s.Wait())
				assert.Empty(t, book.from(slog.LevelWarn))
			})
		})
	}
}

// On a goroutine that is no task of the parent nobody above waits for a Run; it is canceled
// with the parent.
func TestRunOfAForeignGoroutineIsCanceledAndNotWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := traigo.New(t.Context())
		ended := make(chan error, 1)
		go func() {
			ended <- traigo.Run(s.Context(), func(ctx context.Context, _ *traigo.Scope) error {
				return cleaning(time.Minute, nil)(ctx)
			})
		}()
		synctest.Wait()
		begin := time.Now()
		s.Cancel(errBoom)
		require.ErrorIs(t, s.Wait(), errBoom)
		assert.Zero(t, time.Since(begin))
		assert.Empty(t, ended)
		require.ErrorIs(t, <-ended, errBoom)
		assert.Equal(t, time.Minute, time.Since(begin))
	})
}

// The parent keeps the outcomes of 16 failed forks. A panic is kept beyond that.
func TestForkThatPanickedIsRaisedAlsoWhenItIsTheOldestOfMany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := traigo.New(t.Context(), discard())
		s.Fork().Spawn(panicking(errBoom))
		synctest.Wait()
		for range 20 {
			s.Fork().Spawn(fail)
			synctest.Wait()
		}
		err, _ := raised(func() { _ = s.Wait() }).(error)
		require.ErrorIs(t, err, errBoom)
	})
}
