package traigo_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo"
)

func TestTaskStartsWithoutWaitingForAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 300
		require.NoError(t, traigo.Run(t.Context(), func(_ context.Context, s *traigo.Scope) error {
			var barrier sync.WaitGroup
			barrier.Add(n)
			for range n {
				s.Spawn(func(context.Context) error {
					barrier.Done()
					barrier.Wait()
					return nil
				})
			}
			return nil
		}))
	})
}

func TestTaskStartsWhileItsSpawnerRunsOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		require.NoError(t, traigo.Run(t.Context(), func(_ context.Context, s *traigo.Scope) error {
			s.Spawn(func(context.Context) error {
				for range 3 {
					started := make(chan struct{})
					s.Spawn(func(context.Context) error { close(started); return nil })
					<-started
				}
				return nil
			})
			return nil
		}))
	})
}

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
			s.Spawn(func(ctx context.Context) error { <-ctx.Done(); time.Sleep(time.Second); return nil })
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

// spawner spawns from within an observation.
type spawner struct{ spawn func() }

func (o spawner) Observe(e traigo.Event) {
	if e.Kind == traigo.TaskStarted && e.Task.Name() == "observed" {
		o.spawn()
	}
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
		}, traigo.Observe(spawner{func() { spawn("Observer") }}), discard()))
		assert.ElementsMatch(t, []string{
			"body", "task", "body below", "task below", "goroutine", "timer", "AfterFunc", "OnDone", "Observer",
		}, ran)
	})
}

func TestTaskContextIsTheScopes(t *testing.T) {
	type key struct{}
	synctest.Test(t, func(t *testing.T) {
		deadline := time.Now().Add(time.Minute)
		outer := context.WithValue(t.Context(), key{}, "value")
		s := traigo.New(outer, traigo.Timeout(time.Minute))
		var task *traigo.Task
		spawned := make(chan struct{})
		task = s.Spawn(func(ctx context.Context) error {
			<-spawned
			assert.Equal(t, "value", ctx.Value(key{}))
			at, ok := ctx.Deadline()
			assert.True(t, ok)
			assert.Equal(t, deadline, at)
			assert.Same(t, s, traigo.Current(ctx))
			assert.Same(t, task, traigo.CurrentTask(ctx))
			assert.NoError(t, ctx.Err())
			<-ctx.Done()
			assert.ErrorIs(t, context.Cause(ctx), errBoom)
			return nil
		})
		close(spawned)
		time.Sleep(time.Second)
		s.Cancel(errBoom)
		require.ErrorIs(t, s.Wait(), errBoom)
		assert.Nil(t, traigo.Current(outer))
		assert.Nil(t, traigo.CurrentTask(outer))
	})
}

func TestValuesAreTakenAndCancellationIsNot(t *testing.T) {
	type key struct{}
	synctest.Test(t, func(t *testing.T) {
		other := traigo.New(context.WithValue(t.Context(), key{}, "request"), traigo.Timeout(time.Second), discard())
		got := make(chan context.Context, 1)
		other.Spawn(func(ctx context.Context) error { got <- ctx; return nil })
		otherCtx, cancel := context.WithTimeout(<-got, time.Second)
		defer cancel()
		other.Cancel(errBoom)
		<-other.Done()
		require.Error(t, otherCtx.Err())

		s := traigo.New(context.WithValue(t.Context(), key{}, "scope"), traigo.Name("here"))
		task := s.Spawn(func(ctx context.Context) error {
			assert.Equal(t, "request", ctx.Value(key{}))
			assert.NoError(t, ctx.Err())
			assert.False(t, closed(ctx.Done()))
			_, ok := ctx.Deadline()
			assert.False(t, ok, "a deadline is cancellation too")
			assert.Same(t, s, traigo.Current(ctx))
			assert.Equal(t, "here/work", traigo.CurrentTask(ctx).Path())

			derived, cancel := context.WithTimeout(ctx, time.Hour)
			defer cancel()
			assert.NoError(t, derived.Err())
			<-derived.Done()
			assert.ErrorIs(t, context.Cause(derived), errOuter)
			return nil
		}, traigo.Values(otherCtx), traigo.Name("work"))
		synctest.Wait()
		s.Cancel(errOuter)
		require.NoError(t, task.Wait(t.Context()))
		require.ErrorIs(t, s.Wait(), errOuter)
	})
}
