package errgroup_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/errgroup"
)

// Functions that fail at the same time race to be the first. Wait and context.Cause must
// not see different winners.
func TestStressWaitAndCauseAgree(t *testing.T) {
	for n := range 500 {
		g, ctx := errgroup.WithContext(t.Context())
		start := make(chan struct{})
		for i := range 8 {
			err := fmt.Errorf("%d of group %d", i, n)
			g.Go(func() error { <-start; return err })
		}
		causes := make(chan error, 1)
		go func() {
			<-ctx.Done()
			causes <- context.Cause(ctx)
		}()
		close(start)
		err := g.Wait()
		assert.Same(t, err, context.Cause(ctx))
		assert.Same(t, err, <-causes)
		assert.Same(t, err, g.Wait())
	}
}

// A function that has failed has not yet failed for the scope while observers are told.
func TestTheScopeDecidesWhichFailureIsTheFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := observerFunc(func(e traigo.Event) {
			if e.Kind == traigo.TaskEnded && errors.Is(e.Err, errLater) {
				time.Sleep(time.Minute)
			}
		})
		_ = traigo.Run(t.Context(), func(ctx context.Context, _ *traigo.Scope) error {
			g, ctx := errgroup.WithContext(ctx)
			g.Go(after(time.Second, errLater))
			g.Go(after(2*time.Second, errBoom))
			<-ctx.Done()
			assert.Same(t, errBoom, context.Cause(ctx))
			assert.Same(t, errBoom, g.Wait())
			return nil
		}, traigo.Observe(slow))
	})
}

func TestOnlyTheFirstErrorOfAFunctionIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := logged(t, slog.LevelError)
		for _, end := range []error{errBoom, nil} {
			outer, cancel := context.WithCancelCause(t.Context())
			g, ctx := errgroup.WithContext(outer)
			for i := range 40 { // more than a scope keeps
				g.Go(func() error {
					<-ctx.Done()
					time.Sleep(time.Second)
					return fmt.Errorf("consequence %d", i)
				})
			}
			g.Go(func() error { <-ctx.Done(); return ctx.Err() })
			if end != nil {
				g.Go(after(time.Second, end))
			} else {
				cancel(errOuter)
			}
			err := g.Wait()
			if end != nil {
				assert.Same(t, errBoom, err)
			} else {
				assert.Equal(t, context.Canceled, err)
				assert.Same(t, errOuter, context.Cause(ctx))
			}
			cancel(nil)
		}
		assert.Empty(t, log.String())
	})
}

// A function that does not return has its place in the order too, although it is for its
// task to say what has happened.
func TestGoexitMayComeFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := observerFunc(func(e traigo.Event) {
			if e.Kind == traigo.TaskEnded {
				time.Sleep(time.Millisecond)
			}
		})
		_ = traigo.Run(t.Context(), func(ctx context.Context, _ *traigo.Scope) error {
			g, _ := errgroup.WithContext(ctx)
			require.NoError(t, g.Wait(), "from now on functions do not bubble")
			for range 3 {
				g.Go(func() error {
					time.Sleep(time.Second)
					runtime.Goexit()
					return nil
				})
			}
			g.Go(after(2*time.Second, errBoom))
			assert.Equal(t, traigo.ErrGoexit, g.Wait())
			return nil
		}, traigo.Observe(slow))
	})
}

func TestErrorsThatCannotBeCompared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, ctx := errgroup.WithContext(t.Context())
		for i := range 3 {
			g.Go(after(time.Duration(i)*time.Second, slice{errBoom}))
		}
		var got slice
		require.ErrorAs(t, g.Wait(), &got)
		require.ErrorAs(t, context.Cause(ctx), &got)
	})
}

type slice []error

func (s slice) Error() string { return "a slice" }

// wrapped runs body below a scope with the wrapper.
func wrapped(t *testing.T, w traigo.Wrapper, body func(ctx context.Context)) {
	t.Helper()
	_ = traigo.Run(t.Context(), func(ctx context.Context, _ *traigo.Scope) error {
		body(ctx)
		return nil
	}, traigo.Wrap(w))
}

// What a Wrapper of a scope above makes of an error is the error.
func TestAWrapperReplacesAnError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		replace := func(ctx context.Context, next func(context.Context) error) error {
			if next(ctx) != nil {
				return errLater
			}
			return nil
		}
		wrapped(t, replace, func(ctx context.Context) {
			g, ctx := errgroup.WithContext(ctx)
			g.Go(after(time.Second, errBoom))
			assert.Same(t, errLater, g.Wait())
			assert.Same(t, errLater, context.Cause(ctx))
		})
	})
}

// An error that a Wrapper has hidden cancels nothing, but Wait returns it. Many of them
// take no memory.
func TestAWrapperHidesAnError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hide := func(ctx context.Context, next func(context.Context) error) error { _ = next(ctx); return nil }
		wrapped(t, hide, func(ctx context.Context) {
			g, ctx := errgroup.WithContext(ctx)
			g.SetLimit(4)
			for range 1000 {
				g.Go(after(time.Second, errBoom))
			}
			assert.Less(t, errgroup.Undecided(g), 20)
			require.NoError(t, ctx.Err())
			assert.Same(t, errBoom, g.Wait())
			assert.Equal(t, context.Canceled, context.Cause(ctx))
		})
	})
}

// A Go that gets the slot of a function that has failed waits for what follows from that:
// here a Wrapper takes its time to say.
func TestABlockedGoWaitsForTheDecision(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, hides := range []bool{true, false} {
			slow := func(ctx context.Context, next func(context.Context) error) error {
				err := next(ctx)
				if err != nil {
					time.Sleep(time.Minute)
				}
				if hides {
					return nil
				}
				return err
			}
			wrapped(t, slow, func(ctx context.Context) {
				g, _ := errgroup.WithContext(ctx)
				g.SetLimit(1)
				g.Go(after(time.Second, errBoom))
				ran := false
				start := time.Now()
				g.Go(func() error { ran = true; return nil })
				assert.Equal(t, time.Minute+time.Second, time.Since(start))
				assert.Same(t, errBoom, g.Wait())
				assert.Equal(t, hides, ran)
				g.SetLimit(1) // no slot is lost
			})
		}
	})
}

func TestAWrapperRecoversAPanic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		catch := func(ctx context.Context, next func(context.Context) error) (err error) {
			defer func() {
				if recover() != nil {
					err = errLater
				}
			}()
			return next(ctx)
		}
		wrapped(t, catch, func(ctx context.Context) {
			g, ctx := errgroup.WithContext(ctx)
			g.Go(func() error { panic("caught") })
			<-ctx.Done()
			ran := false
			g.Go(func() error { ran = true; return nil })
			assert.Same(t, errLater, g.Wait())
			assert.Same(t, errLater, context.Cause(ctx))
			assert.True(t, ran, "it was a failure, and no panic")
		})
	})
}

// Many functions that do not return take no memory either.
func TestManyGoexits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g errgroup.Group
		for range 1000 {
			g.Go(func() error {
				runtime.Goexit()
				return nil
			})
			synctest.Wait()
		}
		assert.Less(t, errgroup.Undecided(&g), 20)
		assert.Equal(t, traigo.ErrGoexit, g.Wait())
	})
}

// The outcome of the first scope and that of a later one may both have something to say.
func TestEachScopeIsReported(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := logged(t, slog.LevelError)
		end := make(chan struct{})
		_ = traigo.Run(t.Context(), func(ctx context.Context, _ *traigo.Scope) error {
			g, ctx := errgroup.WithContext(ctx)
			stuck := func() error { <-end; return nil }
			g.Go(stuck)
			g.Go(after(time.Second, errBoom))
			<-ctx.Done()
			g.Go(stuck)
			for range 2 {
				assert.Same(t, errBoom, g.Wait())
			}
			return nil
		}, traigo.CancelTimeout(time.Second))
		assert.Equal(t, 2, strings.Count(log.String(), "behind the one that Wait returns"), log)
		close(end)
		synctest.Wait()
	})
}

// A panic that Wait raises does not hide what happened in the other scope.
func TestAPanicHidesNoOutcome(t *testing.T) {
	for name, spawn := range map[string]func(g *errgroup.Group, panics func() error){
		"of a function": func(g *errgroup.Group, panics func() error) {
			g.Go(panics)
			g.Go(after(time.Second, errBoom))
		},
		"of a task": func(g *errgroup.Group, panics func() error) {
			g.Scope().Spawn(func(context.Context) error { return panics() })
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				log := logged(t, slog.LevelError)
				end := make(chan struct{})
				_ = traigo.Run(t.Context(), func(ctx context.Context, _ *traigo.Scope) error {
					outer, cancel := context.WithCancel(ctx)
					time.AfterFunc(time.Minute, cancel)
					g, ctx := errgroup.WithContext(outer)
					spawn(g, func() error { <-ctx.Done(); panic("late") })
					<-ctx.Done()
					g.Go(func() error { <-end; return nil })
					for range 2 {
						p := raised(t, g)
						require.NotNil(t, p)
						assert.Equal(t, "late", p.Recovered.Value)
					}
					return nil
				}, traigo.CancelTimeout(time.Second))
				assert.Equal(t, 1, strings.Count(log.String(), "behind the one that Wait returns"), log)
				close(end)
				synctest.Wait()
			})
		})
	}
}

// The first error of all is that of a task in the scope, and the functions say only that
// they were canceled.
func TestATaskOfTheScopeFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := logged(t, slog.LevelError)
		g, ctx := errgroup.WithContext(t.Context())
		g.Go(func() error { <-ctx.Done(); return nil })
		g.Scope().Spawn(func(context.Context) error { time.Sleep(time.Second); return errBoom })
		<-ctx.Done()
		c, ok := context.Cause(ctx).(*traigo.Cancellation) //nolint:errorlint // that itself
		require.True(t, ok)
		assert.Equal(t, traigo.TaskFailed, c.Kind)
		g.Go(mustNotRun(t))
		err := g.Wait()
		require.ErrorIs(t, err, traigo.ErrRefused)
		require.ErrorIs(t, err, errBoom)
		assert.Contains(t, log.String(), "behind the one that Wait returns")
	})
}

// Functions and tasks of the scope that fail after the first error are told apart, also if
// they are too many for the scope to keep.
func TestErrorsOfOtherTasksAreLogged(t *testing.T) {
	for name, row := range map[string]struct {
		function func(ctx context.Context) error
		logs     string
	}{
		"they fail":    {func(context.Context) error { return errLater }, "and 4 more"},
		"they do not":  {func(ctx context.Context) error { return fmt.Errorf("read: %w", ctx.Err()) }, "other"},
		"they succeed": {func(context.Context) error { return nil }, "other"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				log := logged(t, slog.LevelError)
				g, ctx := errgroup.WithContext(t.Context())
				for range 19 {
					g.Go(func() error { <-ctx.Done(); return row.function(ctx) })
				}
				g.Scope().Spawn(func(context.Context) error { time.Sleep(2 * time.Second); return errOther })
				g.Go(after(time.Second, errBoom))
				assert.Same(t, errBoom, g.Wait())
				assert.Equal(t, 1, strings.Count(log.String(), "behind the one that Wait returns"), log)
				assert.Contains(t, log.String(), row.logs)
			})
		})
	}
}

// Whatever the order of the goroutines, each function that Go accepts runs once, and Wait
// waits for it. With a limit, Wait says so if one was not run.
func TestStressGoWhileTheContextEnds(t *testing.T) {
	for n := range 600 {
		outer, cancel := context.WithCancelCause(t.Context())
		g, ctx := errgroup.WithContext(outer)
		fails, limited := n%2 == 0, n%3 == 0
		if limited {
			g.SetLimit(3)
		}
		var ran, ended atomic.Int32
		var all sync.WaitGroup
		for range 4 {
			all.Go(func() {
				for range 10 {
					g.Go(func() error {
						ran.Add(1)
						runtime.Gosched()
						ended.Add(1)
						return nil
					})
				}
			})
		}
		all.Go(func() {
			if fails {
				g.Go(func() error { return errBoom })
			} else {
				cancel(errOuter)
			}
		})
		all.Wait()
		err := g.Wait()
		assert.Equal(t, ran.Load(), ended.Load())
		if ran.Load() < 40 {
			assert.True(t, limited)
			require.Error(t, err)
		}
		if fails && !errors.Is(err, traigo.ErrRefused) {
			assert.Same(t, errBoom, err)
			assert.Same(t, errBoom, context.Cause(ctx))
		}
		if !fails {
			assert.Same(t, errOuter, context.Cause(ctx))
		}
		cancel(nil)
	}
}

// Wait returns the first error unchanged, so it has to log an error of the scope.
func TestWaitLogsWhatItDoesNotReturn(t *testing.T) {
	for name, spawn := range map[string]func(g *errgroup.Group, end <-chan struct{}){
		"a task of the scope": func(g *errgroup.Group, _ <-chan struct{}) {
			g.Scope().Spawn(func(ctx context.Context) error { <-ctx.Done(); return errOther })
		},
		"a function that does not end": func(g *errgroup.Group, end <-chan struct{}) {
			g.Go(func() error { <-end; return nil })
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				text := logged(t, slog.LevelError)
				end := make(chan struct{})
				_ = traigo.Run(t.Context(), func(ctx context.Context, _ *traigo.Scope) error {
					g, _ := errgroup.WithContext(ctx)
					spawn(g, end)
					g.Go(func() error { time.Sleep(time.Second); return errBoom })
					assert.Same(t, errBoom, g.Wait())
					assert.Same(t, errBoom, g.Wait())
					return nil
				}, traigo.CancelTimeout(time.Second))
				assert.Equal(t, 1, strings.Count(text.String(), "behind the one that Wait returns"), text.String())
				close(end)
				synctest.Wait()
			})
		})
	}
}

// A group whose context is that of a group that has failed still runs functions, as in x/sync.
func TestGroupInAFailedGroupGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		outer, ctx := errgroup.WithContext(context.Background())
		inner, _ := errgroup.WithContext(ctx)
		outer.Go(func() error { return errors.New("boom") })
		ran := 0
		for range 3 {
			time.Sleep(time.Second)
			inner.Go(func() error { ran++; return nil })
		}
		assert.NoError(t, inner.Wait())
		assert.Equal(t, 3, ran)
		_ = outer.Wait()
	})
}
