package traigo_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo"
)

// The first event of a scope shows it to observers before whoever opens it has
// it: what they do to it then comes after its opening.

// openings are the ways to open a scope below another, each with what it gives
// once the scope, ended by an observer, has closed.
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

// withoutFinalized: the body of a Run finalizes it when it returns, which may
// be before or after it has closed.
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

// However it is ended meanwhile, the opening of a scope is what its observers
// hear of first, and its parent closes after it.
func TestOpeningIsHeardOfFirst(t *testing.T) {
	for name, row := range map[string]struct {
		end  func(root *traigo.Scope)
		want []traigo.EventKind
	}{
		"Shutdown": {func(root *traigo.Scope) { go func() { _ = root.Shutdown(context.Background()) }() },
			[]traigo.EventKind{traigo.ScopeOpened, traigo.ScopeFinalized, traigo.ScopeCanceled, traigo.ScopeClosed}},
		"Cancel": {func(root *traigo.Scope) { root.Cancel(nil) },
			[]traigo.EventKind{traigo.ScopeOpened, traigo.ScopeCanceled, traigo.ScopeClosed}},
		"timeout": {func(*traigo.Scope) {}, // of the fork itself
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
				assert.Empty(t, seen.ofScope(fork), "the first observer is still at it")
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

// Under a Shutdown that has begun, Stopping is closed from the first moment.
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
