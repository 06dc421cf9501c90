package traigo_test

import (
	"context"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo"
)

func TestAcceptedTaskRunsExactlyOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const spawners, each = 4, 200
		var (
			s        = traigo.New(t.Context())
			runs     [spawners * each]atomic.Int32
			accepted [spawners * each]bool
			wg       sync.WaitGroup
		)
		for i := range spawners {
			wg.Go(func() {
				for j := range each {
					n := i*each + j
					_, accepted[n] = s.TrySpawn(func(context.Context) error { runs[n].Add(1); return nil })
					if n == each/2 {
						s.Cancel(nil)
					}
				}
			})
		}
		wg.Wait()
		require.NoError(t, s.Wait())
		for n, ok := range accepted {
			want := int32(0)
			if ok {
				want = 1
			}
			assert.Equal(t, want, runs[n].Load(), "task %d", n)
		}
		assert.False(t, accepted[each-1], "spawned after the cancellation")
	})
}

func TestTaskAcceptedJustBeforeTheEndRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for range 100 {
			s := traigo.New(t.Context())
			ran := 0
			task := s.Spawn(func(context.Context) error { ran++; return errBoom }, traigo.Bubble(false))
			task.Cancel(nil)
			s.Cancel(nil)
			require.NoError(t, s.Wait())
			require.Equal(t, 1, ran)
			require.ErrorIs(t, task.Err(), errBoom)
		}
	})
}

func TestRefusedTaskNeverRuns(t *testing.T) {
	outer, cancel := context.WithCancelCause(t.Context())
	cancel(errOuter)
	rows := []struct {
		name  string
		state traigo.State
		cause error // found in the refusal
		kind  traigo.CancelKind
		open  func(t *testing.T) *traigo.Scope
	}{
		{"canceling", traigo.Canceling, errOuter, traigo.Requested, func(t *testing.T) *traigo.Scope {
			s := traigo.New(t.Context())
			s.Spawn(cleaning(time.Second, nil))
			s.Cancel(errOuter)
			return s
		}},
		{"closed", traigo.Closed, errOuter, traigo.Requested, func(t *testing.T) *traigo.Scope {
			s := traigo.New(t.Context())
			s.Cancel(errOuter)
			<-s.Done()
			return s
		}},
		{"closed quietly", traigo.Closed, context.Canceled, traigo.Completed, func(t *testing.T) *traigo.Scope {
			s := traigo.New(t.Context())
			_ = s.Wait()
			return s
		}},
		{"closed by its parent", traigo.Closed, errOuter, traigo.ParentCanceled, func(*testing.T) *traigo.Scope {
			s := traigo.New(outer)
			<-s.Done()
			return s
		}},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := row.open(t)
				require.Equal(t, row.state, s.State())
				fn := func(context.Context) error {
					assert.Fail(t, "a refused task ran")
					return errBoom
				}
				task := s.Spawn(fn, traigo.Name("refused"))
				require.True(t, closed(task.Done()))
				require.ErrorIs(t, task.Err(), traigo.ErrRefused)
				require.ErrorIs(t, task.Err(), row.cause)
				if row.kind != traigo.ParentCanceled {
					assert.NotNil(t, cancellation(task.Err(), row.kind), "%v", task.Err())
				}
				assert.Equal(t, task.Err(), task.Wait(t.Context()))
				assert.Equal(t, "refused", task.Name())
				assert.Same(t, s, task.Scope())

				_, ok := s.TrySpawn(fn)
				assert.False(t, ok)

				_, err := traigo.Async(s, func(ctx context.Context) (int, error) { return 0, fn(ctx) }).Await(t.Context())
				require.ErrorIs(t, err, traigo.ErrRefused)

				<-s.Done()
				require.NotErrorIs(t, s.Err(), traigo.ErrRefused, "a refusal is no failure of the scope")
			})
		})
	}
}

func TestTrySpawnRunsWhatItAccepts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := traigo.New(t.Context())
		task, ok := s.TrySpawn(fail, traigo.Name("work"))
		require.True(t, ok)
		assert.Equal(t, "work", task.Name())
		require.ErrorIs(t, task.Wait(t.Context()), errBoom)
		require.ErrorIs(t, s.Wait(), errBoom)
	})
}

func TestSpawnIsLegalFromAnywhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var (
			mu   sync.Mutex
			ran  []string
			root *traigo.Scope
		)
		spawn := func(from string) {
			task := root.Spawn(func(context.Context) error {
				mu.Lock()
				defer mu.Unlock()
				ran = append(ran, from)
				return nil
			})
			assert.NotErrorIs(t, task.Err(), traigo.ErrRefused)
		}
		require.NoError(t, traigo.Run(t.Context(), func(ctx context.Context, s *traigo.Scope) error {
			root = s
			spawn("body")
			s.Spawn(func(ctx context.Context) error {
				spawn("task")
				return traigo.Run(ctx, func(_ context.Context, inner *traigo.Scope) error {
					spawn("body below")
					inner.Spawn(func(context.Context) error { spawn("task below"); return nil })
					return nil
				})
			})
			go spawn("goroutine")
			time.AfterFunc(time.Millisecond, func() { spawn("timer") })
			context.AfterFunc(s.Fork(traigo.Timeout(time.Millisecond)).Context(), func() { spawn("AfterFunc") })
			s.Spawn(succeed, traigo.OnDone(func(error) { spawn("OnDone") }))
			s.Spawn(succeed, traigo.Name("observed"))
			return traigo.Sleep(ctx, time.Second)
		}, traigo.Observe(seeing(func(e traigo.Event) {
			if e.Kind == traigo.TaskStarted && e.Task.Name() == "observed" {
				spawn("Observer")
			}
		})), discard()))
		assert.ElementsMatch(t, []string{
			"body", "task", "body below", "task below", "goroutine", "timer", "AfterFunc", "OnDone", "Observer",
		}, ran)
	})
}

func TestStartReturnsWhenReady(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		seen := new(story)
		s := traigo.New(t.Context(), traigo.Name("s"), traigo.Observe(seen))
		task, err := s.Start(t.Context(), func(_ context.Context, ready func()) error {
			time.Sleep(time.Second)
			ready()
			ready() // again: no effect
			time.Sleep(time.Second)
			ready()
			return nil
		}, traigo.Name("server"))
		require.NoError(t, err)
		assert.Equal(t, time.Second, time.Since(start))
		assert.Equal(t, "s/server", task.Path())
		assert.False(t, closed(task.Done()), "it runs on")
		require.NoError(t, s.Wait())
		require.NoError(t, task.Err())
		assert.Equal(t, 2*time.Second, time.Since(start))

		events := seen.events(traigo.TaskReady)
		require.Len(t, events, 1)
		assert.Same(t, task, events[0].Task)
		assert.Equal(t, start.Add(time.Second), events[0].Time)
	})
}

func TestStartErrorAfterReadyBubbles(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := traigo.New(t.Context())
		task, err := s.Start(t.Context(), func(_ context.Context, ready func()) error {
			ready()
			time.Sleep(time.Second)
			return errBoom
		})
		require.NoError(t, err)
		require.ErrorIs(t, s.Wait(), errBoom)
		require.ErrorIs(t, task.Err(), errBoom)
	})
}

func TestStartErrorBeforeReadyIsTheCallers(t *testing.T) {
	rows := map[string]struct {
		fn   func(context.Context, func()) error
		want error
	}{
		"error":   {func(context.Context, func()) error { return errBoom }, errBoom},
		"nothing": {func(context.Context, func()) error { return nil }, traigo.ErrNotReady},
		"Goexit":  {func(context.Context, func()) error { runtime.Goexit(); return nil }, traigo.ErrGoexit},
	}
	for name, row := range rows {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := traigo.New(t.Context())
				sibling := s.Spawn(func(ctx context.Context) error { return traigo.Sleep(ctx, time.Minute) })
				task, err := s.Start(t.Context(), row.fn)
				require.ErrorIs(t, err, row.want)
				assert.Nil(t, task)
				assert.Equal(t, traigo.Open, s.State())
				require.NoError(t, s.Wait(), "it does not bubble")
				require.NoError(t, sibling.Err())
			})
		})
	}
}

func TestStartPanicBeforeReadyIsRaisedByTheScope(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := traigo.New(t.Context())
		_, err := s.Start(t.Context(), func(context.Context, func()) error {
			panicOnPurpose(errBoom)
			return nil
		}, traigo.Name("work"))
		_ = as[*traigo.PanicError](t, err)
		_ = requirePanic(t, "work", func() { _ = s.Wait() })
	})
}

func TestStartCancelsAndJoinsWhenItsCallerGoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		s := traigo.New(t.Context())
		sibling := s.Spawn(func(ctx context.Context) error { return traigo.Sleep(ctx, time.Minute) })
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, errBoom)
		defer cancel()
		canceled, ended := time.Duration(0), false
		task, err := s.Start(ctx, func(ctx context.Context, _ func()) error {
			<-ctx.Done()
			canceled = time.Since(start)
			time.Sleep(2 * time.Second)
			ended = true
			return ctx.Err()
		})
		require.ErrorIs(t, err, errBoom, "waiting with a ctx that ends gives its cause")
		assert.Nil(t, task)
		assert.Equal(t, time.Second, canceled)
		assert.True(t, ended, "joined")
		assert.Equal(t, 3*time.Second, time.Since(start))
		require.NoError(t, s.Wait())
		require.NoError(t, sibling.Err())
	})
}

func TestStartThatIsReadyIsNoLongerItsCallers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		s := traigo.New(t.Context())
		ctx, cancel := context.WithCancel(t.Context())
		task, err := s.Start(ctx, func(ctx context.Context, ready func()) error {
			ready()
			return traigo.Sleep(ctx, time.Minute)
		})
		require.NoError(t, err)
		cancel()
		require.NoError(t, task.Wait(t.Context()))
		assert.Equal(t, time.Minute, time.Since(start))
		require.NoError(t, s.Wait())
	})
}

func TestStartEndsWithItsScope(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := traigo.New(t.Context())
		time.AfterFunc(time.Second, func() { s.Cancel(nil) })
		task, err := s.Start(t.Context(), func(ctx context.Context, _ func()) error { return untilCanceled(ctx) })
		require.ErrorIs(t, err, context.Canceled)
		assert.Nil(t, task)
		require.NoError(t, s.Wait())
	})
}

func TestStartOnAnEndedScopeIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := traigo.New(t.Context())
		s.Cancel(errBoom)
		task, err := s.Start(t.Context(), func(context.Context, func()) error {
			assert.Fail(t, "a refused task ran")
			return nil
		})
		require.ErrorIs(t, err, traigo.ErrRefused)
		require.ErrorIs(t, err, errBoom)
		assert.Nil(t, task)
		require.ErrorIs(t, s.Wait(), errBoom)
	})
}

// If the context has ended before the call, Start does not run fn, and returns the cause.
func TestStartUnderAnEndedContextStartsNothing(t *testing.T) {
	for name, fn := range map[string]func(ctx context.Context, ready func()) error{
		"ready": func(ctx context.Context, ready func()) error { ready(); return untilCanceled(ctx) },
		"fails": func(context.Context, func()) error { return errBoom },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := traigo.New(t.Context())
				ctx, cancel := context.WithCancelCause(t.Context())
				cancel(errOuter)
				for range 20 {
					task, err := s.Start(ctx, func(ctx context.Context, ready func()) error {
						assert.Fail(t, "it ran")
						return fn(ctx, ready)
					})
					require.Equal(t, errOuter, err)
					require.Nil(t, task)
				}
				synctest.Wait()
				assert.Empty(t, s.Snapshot().Tasks)
				require.NoError(t, s.Close())
			})
		})
	}
}

// The context of Start's caller ends, so Start returns the cause. A call of ready after
// that has no effect. An error of the task that is more than a consequence of its
// cancellation is returned beside the cause.
func TestStartIsNotReadyAfterItsCallerHasLeft(t *testing.T) {
	for name, row := range map[string]struct {
		end  error
		want []error
	}{
		"canceled": {nil, []error{errOuter}},
		"fails":    {errBoom, []error{errBoom}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				seen := new(story)
				s := traigo.New(t.Context(), traigo.Observe(seen))
				ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, errOuter)
				defer cancel()
				task, err := s.Start(ctx, func(ctx context.Context, ready func()) error {
					<-ctx.Done()
					ready()
					if row.end != nil {
						return row.end
					}
					return ctx.Err()
				})
				assert.Nil(t, task)
				for _, want := range row.want {
					require.ErrorIs(t, err, want)
				}
				if row.end == nil {
					assert.Equal(t, errOuter, err)
				}
				assert.Empty(t, seen.events(traigo.TaskReady))
				require.NoError(t, s.Close(), "it is the caller's")
			})
		})
	}
}

// Several things are true at once when Start returns: whichever it has seen first, it tells
// the first of these.
func TestStartTellsTheFirstOfSeveralThingsThatAreTrue(t *testing.T) {
	nothing := func(context.Context) error { return nil }
	notReady := func(context.Context) error { return traigo.ErrNotReady }
	late := func(context.Context) error { return errLate }
	rows := map[string]struct {
		returns       func(ctx context.Context) error // when the task is canceled
		caller, scope bool                            // ends with errOuter, with errBoom
		alone         bool                            // the task is canceled with errBoom
		full          bool                            // there is no slot
		want          error
		exactly       bool
	}{
		"real error, caller and scope": {returns: late, caller: true, scope: true, want: errLate, exactly: true},
		"real error and caller":        {returns: late, caller: true, want: errLate, exactly: true},
		"real error and scope":         {returns: late, scope: true, want: errLate, exactly: true},
		"caller and scope":             {returns: nothing, caller: true, scope: true, want: errOuter, exactly: true},
		"caller and scope, ctx.Err()":  {returns: context.Context.Err, caller: true, scope: true, want: errOuter, exactly: true},
		"caller and scope, no slot":    {returns: nothing, caller: true, scope: true, full: true, want: errOuter, exactly: true},
		"caller, returns nil":          {returns: nothing, caller: true, want: errOuter, exactly: true},
		"caller, ErrNotReady":          {returns: notReady, caller: true, want: errOuter, exactly: true},
		"scope, returns nil":           {returns: nothing, scope: true, want: errBoom},
		"scope, ctx.Err()":             {returns: context.Context.Err, scope: true, want: errBoom},
		"scope, the cause":             {returns: context.Cause, scope: true, want: errBoom},
		"scope, no slot":               {returns: nothing, scope: true, full: true, want: traigo.ErrRefused},
		"task alone, returns nil":      {returns: nothing, alone: true, want: errBoom},
		"task alone, ctx.Err()":        {returns: context.Context.Err, alone: true, want: errBoom},
	}
	for name, row := range rows {
		t.Run(name, func(t *testing.T) {
			for range 20 {
				synctest.Test(t, func(t *testing.T) {
					s := traigo.New(t.Context(), traigo.Limit(2))
					s.Spawn(untilCanceled)
					if row.full {
						s.Spawn(untilCanceled)
					}
					ctx, cancel := context.WithCancelCause(t.Context())
					defer cancel(nil)
					go func() {
						synctest.Wait()
						if row.caller {
							cancel(errOuter)
						}
						if row.scope {
							s.Cancel(errBoom)
						}
					}()
					task, err := s.Start(ctx, func(ctx context.Context, _ func()) error {
						if row.alone {
							traigo.CurrentTask(ctx).Cancel(errBoom)
						}
						<-ctx.Done()
						return row.returns(ctx)
					})
					require.Nil(t, task)
					require.ErrorIs(t, err, row.want)
					if row.exactly {
						require.Equal(t, row.want, err)
					}
					s.Cancel(nil)
					<-s.Done()
				})
			}
		})
	}
}

func TestStartIsReadyWhateverElseIsTrue(t *testing.T) {
	for range 20 {
		synctest.Test(t, func(t *testing.T) {
			s := traigo.New(t.Context())
			ctx, cancel := context.WithCancelCause(t.Context())
			task, err := s.Start(ctx, func(_ context.Context, ready func()) error {
				ready()
				cancel(errOuter)
				s.Cancel(errBoom)
				return errLate
			})
			require.NoError(t, err)
			require.NotNil(t, task)
			require.Equal(t, errLate, task.Wait(t.Context()))
			require.ErrorIs(t, s.Wait(), errBoom)
		})
	}
}

// The caller is a task of the scope, so that both end with one cancellation.
func TestStartByATaskOfTheScopeTellsItsCause(t *testing.T) {
	for range 20 {
		synctest.Test(t, func(t *testing.T) {
			s := traigo.New(t.Context())
			var err error
			s.Spawn(func(ctx context.Context) error {
				_, err = s.Start(ctx, func(ctx context.Context, _ func()) error { return untilCanceled(ctx) })
				return nil
			})
			synctest.Wait()
			s.Cancel(errBoom)
			require.ErrorIs(t, s.Wait(), errBoom)
			require.ErrorIs(t, err, errBoom)
			require.NotErrorIs(t, err, traigo.ErrNotReady)
			require.NotNil(t, cancellation(err, traigo.Requested))
		})
	}
}

// On the real scheduler Start sees the end of the task and that of its caller in any order.
func TestStressStartTellsTheSameEachTime(t *testing.T) {
	rounds := 3000
	if testing.Short() {
		rounds = 300
	}
	for name, row := range map[string]struct{ returns, want error }{
		"nothing":    {nil, errOuter},
		"real error": {errBoom, errBoom},
	} {
		t.Run(name, func(t *testing.T) {
			for range rounds {
				s := traigo.New(context.Background(), discard())
				ctx, cancel := context.WithCancelCause(context.Background())
				in := make(chan struct{})
				go func() { <-in; cancel(errOuter) }()
				_, err := s.Start(ctx, func(ctx context.Context, _ func()) error {
					close(in)
					<-ctx.Done()
					return row.returns
				})
				require.Equal(t, row.want, err)
				require.NoError(t, s.Close())
			}
		})
	}
	t.Run("the scope is the caller's", func(t *testing.T) {
		for range rounds {
			s := traigo.New(context.Background(), discard())
			_, err := s.Start(s.Context(), func(ctx context.Context, _ func()) error {
				go s.Cancel(nil) // a failure that is asked for later leaves a timer for 10 s
				<-ctx.Done()
				return nil
			})
			require.NotErrorIs(t, err, traigo.ErrNotReady)
			require.NotNil(t, cancellation(err, traigo.Requested))
			require.NoError(t, s.Close())
		}
	})
}
