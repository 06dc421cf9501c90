package traigo_test

import (
	"context"
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

func TestLimitHoldsForEveryWayToSpawn(t *testing.T) {
	ways := map[string]func(s *traigo.Scope, work func(context.Context) error){
		"Spawn": func(s *traigo.Scope, work func(context.Context) error) { s.Spawn(work) },
		"Async": func(s *traigo.Scope, work func(context.Context) error) {
			traigo.Async(s, func(ctx context.Context) (int, error) { return 0, work(ctx) })
		},
		"Start": func(s *traigo.Scope, work func(context.Context) error) {
			_, _ = s.Start(context.Background(), func(ctx context.Context, ready func()) error {
				ready()
				return work(ctx)
			})
		},
	}
	for name, spawn := range ways {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				var running, most, ran atomic.Int32
				s := traigo.New(t.Context(), traigo.Limit(2))
				for i := range 5 {
					spawn(s, func(context.Context) error {
						now := running.Add(1)
						for old := most.Load(); now > old && !most.CompareAndSwap(old, now); old = most.Load() {
						}
						time.Sleep(time.Second)
						running.Add(-1)
						ran.Add(1)
						return nil
					})
					assert.Equal(t, time.Duration(i/2)*time.Second, time.Since(start), "task %d waits for a slot", i)
				}
				require.NoError(t, s.Wait())
				assert.EqualValues(t, 5, ran.Load())
				assert.EqualValues(t, 2, most.Load())
				assert.Equal(t, 3*time.Second, time.Since(start))
			})
		})
	}
}

func TestLimitFreesTheSlotHoweverATaskEnds(t *testing.T) {
	ends := map[string]func(context.Context) error{
		"nil":    lasting(0),
		"error":  failing(0, errBoom),
		"Goexit": func(context.Context) error { runtime.Goexit(); return nil },
		"cancel": func(ctx context.Context) error { traigo.CurrentTask(ctx).Cancel(nil); return untilCanceled(ctx) },
	}
	for name, task := range ends {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := traigo.New(t.Context(), traigo.Limit(1))
				s.Spawn(task, traigo.Bubble(false))
				require.NoError(t, s.Spawn(lasting(0)).Wait(t.Context()))
				require.NoError(t, s.Wait())
			})
		})
	}
}

func TestLimitRefusesWhoIsBlockedWhenTheScopeIsCanceled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := traigo.New(t.Context(), traigo.Limit(1))
		s.Spawn(cleaning(5*time.Second, nil))
		blocked := make(chan *traigo.Task)
		go func() {
			blocked <- s.Spawn(func(context.Context) error {
				assert.Fail(t, "a refused task ran")
				return nil
			})
		}()
		time.Sleep(time.Second)
		start := time.Now()
		s.Cancel(errBoom)
		task := <-blocked
		assert.Zero(t, time.Since(start), "canceled is enough: the slot is not free yet")
		assert.True(t, closed(task.Done()))
		require.ErrorIs(t, task.Err(), traigo.ErrRefused)
		require.ErrorIs(t, task.Err(), errBoom)
		require.ErrorIs(t, s.Wait(), errBoom)
	})
}

// What ends the scope frees a slot as well: it is not for those who wait.
func TestLimitRefusesWhoIsBlockedWhenATaskEndsTheScope(t *testing.T) {
	for name, task := range map[string]struct {
		fn   func(context.Context) error
		opts []traigo.TaskOption
	}{
		"failure": {failing(time.Minute, errBoom), nil},
		"master":  {lasting(time.Minute), []traigo.TaskOption{traigo.Master(true)}},
		"master, given up": {nil, []traigo.TaskOption{
			traigo.Master(true), traigo.Timeout(time.Second), traigo.CancelTimeout(time.Second),
		}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				release, free := newRelease()
				defer free()
				if name == "master, given up" {
					task.fn = deaf(release)
				}
				s := traigo.New(t.Context(), traigo.Limit(1), discard())
				s.Spawn(task.fn, task.opts...)
				refused := make(chan error)
				for range 3 {
					go func() {
						refused <- s.Spawn(func(context.Context) error {
							assert.Fail(t, "a refused task ran")
							return nil
						}).Err()
					}()
				}
				for range 3 {
					require.ErrorIs(t, <-refused, traigo.ErrRefused)
				}
				_ = s.Close()
			})
		})
	}
}

func TestLimitDoesNotBlockTrySpawn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		s := traigo.New(t.Context(), traigo.Limit(1))
		first, ok := s.TrySpawn(lasting(time.Second))
		require.True(t, ok)
		_, ok = s.TrySpawn(func(context.Context) error {
			assert.Fail(t, "a refused task ran")
			return nil
		})
		assert.False(t, ok)
		assert.Zero(t, time.Since(start))
		<-first.Done()
		synctest.Wait()
		_, ok = s.TrySpawn(lasting(0))
		assert.True(t, ok)
		require.NoError(t, s.Wait())
	})
}

// Who knows that a task has ended finds its slot free: from its Done, from its
// context, and in its callback.
func TestLimitHasASlotForWhoKnowsThatATaskHasEnded(t *testing.T) {
	for name, spawn := range map[string]func(s *traigo.Scope, fn func(context.Context) error) *traigo.Task{
		"plain": func(s *traigo.Scope, fn func(context.Context) error) *traigo.Task { return s.Spawn(fn) },
		"failing": func(s *traigo.Scope, fn func(context.Context) error) *traigo.Task {
			return s.Spawn(func(ctx context.Context) error { _ = fn(ctx); return errBoom }, traigo.Bubble(false))
		},
		"timeout": func(s *traigo.Scope, fn func(context.Context) error) *traigo.Task {
			return s.Spawn(fn, traigo.Timeout(time.Hour))
		},
		"async": func(s *traigo.Scope, fn func(context.Context) error) *traigo.Task {
			return traigo.Async(s, func(ctx context.Context) (int, error) { return 0, fn(ctx) }).Task()
		},
		"dedicated": func(s *traigo.Scope, fn func(context.Context) error) *traigo.Task {
			return s.Spawn(fn, traigo.Dedicated())
		},
		"watched": func(s *traigo.Scope, fn func(context.Context) error) *traigo.Task {
			return s.Fork(traigo.Limit(1), traigo.Observe(new(story))).Spawn(fn)
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				root := traigo.New(t.Context(), traigo.Limit(1))
				defer root.Close()
				for range 50 {
					ended := make(chan bool, 1)
					// Its slot goes back to the scope that has it.
					task := spawn(root, func(ctx context.Context) error {
						s := traigo.Current(ctx)
						context.AfterFunc(ctx, func() {
							next, ok := s.TrySpawn(succeed)
							<-next.Done()
							ended <- ok
						})
						return nil
					})
					require.True(t, <-ended)
					<-task.Done()
					next, ok := task.Scope().TrySpawn(succeed)
					require.True(t, ok)
					<-next.Done()
				}
			})
		})
	}
}

func TestLimitHasASlotForTheCallback(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := traigo.New(t.Context(), traigo.Limit(1))
		next := false
		s.Spawn(fail, traigo.OnDone(func(error) { _, next = s.TrySpawn(succeed) }))
		require.NoError(t, s.Wait())
		assert.True(t, next)
	})
}

func TestLimitIsNotInherited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		s := traigo.New(t.Context(), traigo.Limit(1))
		child := s.Fork()
		for range 3 {
			child.Spawn(lasting(time.Second))
		}
		s.Spawn(lasting(time.Second)) // nor do the child's count here
		assert.Zero(t, time.Since(start))
		require.NoError(t, child.Wait())
		require.NoError(t, s.Wait())
		assert.Equal(t, time.Second, time.Since(start))
	})
}

func TestLimitLetsStartsCallerGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		s := traigo.New(t.Context(), traigo.Limit(1), discard())
		s.Spawn(lasting(time.Minute))
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, errBoom)
		defer cancel()
		task, err := s.Start(ctx, func(context.Context, func()) error {
			assert.Fail(t, "nobody waits for it any more")
			return nil
		})
		require.ErrorIs(t, err, errBoom)
		assert.Nil(t, task)
		assert.Equal(t, time.Second, time.Since(start))
		require.NoError(t, s.Wait())
	})
}

func TestLimitIsAtLeastOne(t *testing.T) {
	requireMisuse(t, func() { traigo.Limit(0) })
	requireMisuse(t, func() { traigo.Limit(-1) })
}

func TestLimitServesMoreThanOneWaiterInTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := traigo.New(t.Context(), traigo.Limit(1))
		free := make(chan struct{})
		hold := func(context.Context) error { <-free; return nil }
		s.Spawn(hold)
		var order []int
		for i := range 3 {
			go func() {
				s.Spawn(func(context.Context) error { order = append(order, i); return nil })
			}()
			synctest.Wait()
		}
		ctx, cancel := context.WithCancel(t.Context())
		started := make(chan error)
		go func() {
			_, err := s.Start(ctx, func(context.Context, func()) error { return nil })
			started <- err
		}()
		synctest.Wait()
		assert.Equal(t, 4, s.Snapshot().Waiting)
		cancel()
		require.ErrorIs(t, <-started, context.Canceled)
		assert.Equal(t, 3, s.Snapshot().Waiting)
		s.Finalize() // which the three that wait keep from ending
		close(free)
		require.NoError(t, s.Wait())
		assert.Equal(t, []int{0, 1, 2}, order)
	})
}

func TestLimitDoesNotCountTasksThatAreNotAwaited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := traigo.New(t.Context(), traigo.Limit(1))
		for range 3 {
			_, ok := s.TrySpawn(untilCanceled, traigo.Awaited(false))
			require.True(t, ok, "a heartbeat beside the work")
		}
		_, ok := s.TrySpawn(untilCanceled)
		require.True(t, ok, "the only slot is free")
		_, ok = s.TrySpawn(succeed)
		require.False(t, ok)
		_, ok = s.TrySpawn(succeed, traigo.Awaited(false))
		require.True(t, ok)
		require.NoError(t, s.Close())
	})
}

func TestAdmitBeforeBoundsTheWaitForASlot(t *testing.T) {
	spawns := map[string]func(ctx context.Context, s *traigo.Scope, opts ...traigo.TaskOption) error{
		"Spawn, Err": func(_ context.Context, s *traigo.Scope, opts ...traigo.TaskOption) error {
			return s.Spawn(succeed, opts...).Err()
		},
		"Spawn, Wait": func(ctx context.Context, s *traigo.Scope, opts ...traigo.TaskOption) error {
			return s.Spawn(succeed, opts...).Wait(ctx)
		},
		"Async, Await": func(ctx context.Context, s *traigo.Scope, opts ...traigo.TaskOption) error {
			_, err := traigo.Async(s, answer, opts...).Await(ctx)
			return err
		},
		"Start": func(ctx context.Context, s *traigo.Scope, opts ...traigo.TaskOption) error {
			_, err := s.Start(ctx, func(_ context.Context, ready func()) error { ready(); return nil }, opts...)
			return err
		},
	}
	for name, spawn := range spawns {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ran := false
				s := traigo.New(t.Context(), traigo.Limit(1), traigo.Wrap(func(ctx context.Context, next func(context.Context) error) error {
					ran = ran || traigo.CurrentTask(ctx).ID() > 1
					return next(ctx)
				}))
				s.Spawn(untilCanceled)
				client, cancel := context.WithTimeoutCause(t.Context(), time.Second, errOuter)
				defer cancel()
				start := time.Now()
				err := spawn(t.Context(), s, traigo.AdmitBefore(client))
				assert.Equal(t, time.Second, time.Since(start))
				require.ErrorIs(t, err, traigo.ErrRefused)
				require.ErrorIs(t, err, errOuter)

				err = spawn(t.Context(), s, traigo.AdmitBefore(client))
				require.ErrorIs(t, err, errOuter, "a context that has ended already")
				assert.Equal(t, time.Second, time.Since(start))
				assert.False(t, ran, "a refused task never runs")
				require.NoError(t, s.Close())
			})
		})
	}
}

func TestAdmitBeforeDoesNotMatterWhereThereIsASlot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		over, cancel := context.WithCancel(t.Context())
		cancel()
		for _, opts := range [][]traigo.ScopeOption{nil, {traigo.Limit(1)}} {
			s := traigo.New(t.Context(), opts...)
			require.NoError(t, s.Spawn(succeed, traigo.AdmitBefore(over)).Wait(t.Context()))
			require.NoError(t, s.Wait())
		}
	})
}

// Who gives up waiting leaves its place to those behind it, and takes no slot with it.
func TestAdmitBeforeLeavesTheQueueInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := traigo.New(t.Context(), traigo.Limit(1))
		s.Spawn(lasting(10 * time.Second))
		client, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		var order []string
		note := func(name string) func(context.Context) error {
			return func(context.Context) error { order = append(order, name); return nil }
		}
		go s.Spawn(note("first"))
		synctest.Wait()
		go s.Spawn(note("leaves"), traigo.AdmitBefore(client))
		synctest.Wait()
		go s.Spawn(note("third"))
		synctest.Wait()
		assert.Equal(t, 3, s.Snapshot().Waiting)
		require.NoError(t, s.Wait())
		assert.Equal(t, []string{"first", "third"}, order)
	})
}

func TestLimitWarningNamesTheTaskThatIsBlocked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		book := newRecords()
		s := traigo.New(t.Context(), traigo.Name("crawl"), traigo.Limit(1), traigo.Logger(book.logger()))
		s.Spawn(func(context.Context) error {
			s.Spawn(succeed)
			return nil
		}, traigo.Name("page"))
		time.Sleep(time.Minute)
		warned := book.at(slog.LevelWarn)
		require.Len(t, warned, 1, "once")
		assert.Equal(t, `task "crawl/page"`, warned[0].Attrs["spawner"])
		assert.True(t, mentions(warned[0].Text, "Spawn has been blocked for 10s", "crawl"), warned[0].Text)
		require.NoError(t, s.Close())
	})
}
