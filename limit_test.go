package traigo_test

import (
	"context"
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

// A heldContext keeps the spawners of a scope that was opened under it from going on: while
// hold has been called, its Err does not return to a call of Spawn or Start. A blocked Spawn
// asks it when its wait is over.
type heldContext struct {
	context.Context //nolint:containedctx // it is one
	release         atomic.Pointer[chan struct{}]
}

// hold returns a function that lets the spawners go.
func (h *heldContext) hold() (free func()) {
	release := make(chan struct{})
	h.release.Store(&release)
	return sync.OnceFunc(func() { h.release.Store(nil); close(release) })
}

func (h *heldContext) Err() error {
	if release := h.release.Load(); release != nil {
		var pcs [64]uintptr
		frames := runtime.CallersFrames(pcs[:runtime.Callers(1, pcs[:])])
		for more := true; more; {
			var f runtime.Frame
			f, more = frames.Next()
			if strings.HasSuffix(f.Function, "traigo.(*Scope).Spawn") || strings.HasSuffix(f.Function, "traigo.(*Scope).Start") {
				<-*release
				break
			}
		}
	}
	return h.Context.Err()
}

// The goroutine that releases a slot starts the task that waits for it. In a busy process
// it would take long until the spawner can do that.
func TestLimitStartsABlockedTaskBeforeItsSpawnerGoesOn(t *testing.T) {
	for name, hold := range map[string]func(release <-chan struct{}) func(context.Context) error{
		"a task that succeeds": deaf,
		"a task that fails": func(release <-chan struct{}) func(context.Context) error {
			return func(context.Context) error { deafTo(release); return errBoom }
		},
		"a task that exits": func(release <-chan struct{}) func(context.Context) error {
			return func(context.Context) error { deafTo(release); runtime.Goexit(); return nil }
		},
		"a call that was abandoned": func(release <-chan struct{}) func(context.Context) error {
			return traigo.Blocking(func() error { deafTo(release); return nil })
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx := &heldContext{Context: t.Context()}
				s := traigo.New(ctx, traigo.Limit(1))
				release, end := newRelease()
				defer end()
				task := s.Spawn(hold(release), traigo.Bubble(false))
				synctest.Wait()
				task.Cancel(nil) // which only the call hears
				var ran atomic.Int32
				var returned atomic.Bool
				go func() {
					s.Spawn(func(context.Context) error { ran.Add(1); return nil })
					returned.Store(true)
				}()
				synctest.Wait()
				free := ctx.hold()
				end()
				synctest.Wait()
				assert.EqualValues(t, 1, ran.Load())
				assert.False(t, returned.Load())
				free()
				synctest.Wait()
				assert.True(t, returned.Load())
				require.NoError(t, s.Wait())
				assert.EqualValues(t, 1, ran.Load())
			})
		})
	}
}

// A task that is accepted without its spawner may be canceled at once, and its scope may
// close before the spawner knows.
func TestLimitMayAcceptATaskThatEndsBeforeItsSpawnerGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := &heldContext{Context: t.Context()}
		s := traigo.New(ctx, traigo.Limit(1))
		s.Spawn(lasting(time.Second))
		spawned := make(chan *traigo.Task)
		go func() { spawned <- s.Spawn(lasting(time.Second), traigo.Timeout(time.Minute)) }()
		synctest.Wait()
		free := ctx.hold()
		defer free()
		time.Sleep(90 * time.Minute)
		s.Finalize()
		synctest.Wait()
		require.Empty(t, spawned)
		free()
		task := <-spawned
		require.NoError(t, task.Err())
		assert.NotZero(t, task.ID())
		require.NoError(t, s.Wait())
		require.NoError(t, s.CheckInvariants())
	})
}

// The slot comes when the contexts of those who wait have ended, before they can tell. It
// goes to the first one that still waits.
func TestLimitGivesNoSlotToWhoHasStoppedWaiting(t *testing.T) {
	spawns := map[string]func(ctx context.Context, s *traigo.Scope) error{
		"AdmitBefore": func(ctx context.Context, s *traigo.Scope) error {
			return s.Spawn(func(context.Context) error { panic("ran") }, traigo.AdmitBefore(ctx)).Err()
		},
		"Start": func(ctx context.Context, s *traigo.Scope) error {
			_, err := s.Start(ctx, func(context.Context, func()) error { panic("ran") })
			return err
		},
	}
	onThese(t, spawns, func(t *testing.T, spawn func(ctx context.Context, s *traigo.Scope) error) {
		outer := &heldContext{Context: t.Context()}
		s := traigo.New(outer, traigo.Limit(1))
		release, end := newRelease()
		defer end()
		s.Spawn(deaf(release))
		client, leave := context.WithCancelCause(t.Context())
		defer leave(nil)
		refused := make(chan error, 2)
		for range 2 {
			go func() { refused <- spawn(client, s) }()
		}
		synctest.Wait()
		var isNext atomic.Bool
		go s.Spawn(func(context.Context) error { isNext.Store(true); return nil })
		synctest.Wait()
		assert.Equal(t, 3, s.Snapshot().Waiting)

		free := outer.hold()
		defer free()
		leave(errOuter)
		synctest.Wait()
		assert.Empty(t, refused)
		end()
		synctest.Wait()
		assert.True(t, isNext.Load())
		assert.Zero(t, s.Snapshot().Waiting)
		free()
		for range 2 {
			require.ErrorIs(t, <-refused, errOuter)
		}
		require.NoError(t, s.Wait())
		require.NoError(t, s.CheckInvariants())
	})
}

// The parent is canceled when the slot comes, and the scope has not heard of it.
func TestLimitRefusesWhoIsBlockedWhenTheParentHasBeenCanceled(t *testing.T) {
	rows := map[string]func(t *testing.T) (s *traigo.Scope, cancel func()){
		"an observer takes its time": func(t *testing.T) (*traigo.Scope, func()) {
			inObserver, leave := newRelease()
			parent := traigo.New(t.Context(), traigo.Observe(seeing(func(e traigo.Event) {
				if e.Kind == traigo.ScopeCanceled && e.Scope.Name() == "parent" {
					<-inObserver
				}
			})), traigo.Name("parent"))
			t.Cleanup(func() {
				leave()
				_ = parent.Close()
			})
			return parent.Fork(traigo.Limit(1)), func() { go parent.Cancel(errOuter) }
		},
		"a context takes its time": func(t *testing.T) (*traigo.Scope, func()) {
			ctx := &customContext{Context: t.Context(), done: make(chan struct{})}
			return traigo.New(ctx, traigo.Limit(1)), func() {
				ctx.mu.Lock()
				defer ctx.mu.Unlock()
				ctx.err = errOuter // without closing done
			}
		},
	}
	onThese(t, rows, func(t *testing.T, open func(t *testing.T) (*traigo.Scope, func())) {
		s, cancel := open(t)
		release, end := newRelease()
		defer end()
		s.Spawn(deaf(release))
		refused := make(chan error, 1)
		go func() { refused <- s.Spawn(func(context.Context) error { panic("ran") }).Err() }()
		synctest.Wait()
		cancel()
		synctest.Wait()
		assert.Empty(t, refused)
		end()
		err := <-refused
		require.ErrorIs(t, err, traigo.ErrRefused)
		require.ErrorIs(t, err, errOuter)
		require.ErrorIs(t, s.Close(), errOuter)
	})
}

// The slot comes when a Spawn has stopped waiting for it. That is no slot for the next one that
// has to wait.
func TestLimitKeepsWhoIsBlockedUntilThereIsASlot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		outer := &heldContext{Context: t.Context()}
		s := traigo.New(outer, traigo.Limit(1))
		s.Spawn(lasting(time.Second))
		client, leave := context.WithCancel(t.Context())
		go s.Spawn(func(context.Context) error { panic("ran") }, traigo.AdmitBefore(client))
		synctest.Wait()
		free := outer.hold()
		leave()
		time.Sleep(time.Minute)
		free()
		synctest.Wait()

		s.Spawn(lasting(time.Second))
		begin := time.Now()
		assert.NoError(t, s.Spawn(succeed).Wait(t.Context()))
		assert.Equal(t, time.Second, time.Since(begin))
		require.NoError(t, s.Wait())
	})
}

func TestLimitTellsObserversOfABlockedTaskBeforeItStarts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr, seen := newTrace(), new(story)
		s := traigo.New(t.Context(), traigo.Limit(2), traigo.Observe(tr), traigo.Observe(seen))
		for range 20 {
			s.Spawn(lasting(time.Second))
		}
		require.NoError(t, s.Wait())
		require.Empty(t, tr.check())
		for _, kind := range []traigo.EventKind{traigo.TaskSpawned, traigo.TaskStarted, traigo.TaskEnded} {
			assert.Len(t, seen.events(kind), 20, kind)
		}
	})
}

func TestLimitStartsABlockedDedicatedTaskOnItsOwnGoroutine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var of [3]string
		note := func(i int) func(context.Context) error {
			return func(context.Context) error {
				time.Sleep(time.Second)
				of[i] = goroutineID()
				return nil
			}
		}
		s := traigo.New(t.Context(), traigo.Limit(1))
		requireTime(t, 3*time.Second, func() {
			s.Spawn(note(0))
			s.Spawn(note(1), traigo.Dedicated())
			s.Spawn(note(2))
			require.NoError(t, s.Wait())
		})
		assert.NotEqual(t, of[0], of[1])
		assert.NotEqual(t, of[1], of[2])
	})
}

func TestLimitCountsTheTimeOfABlockedTaskFromItsAcceptance(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := traigo.New(t.Context(), traigo.Limit(1), discard())
		s.Spawn(lasting(time.Hour))
		begin := time.Now()
		task := s.Spawn(func(ctx context.Context) error {
			deadline, _ := ctx.Deadline()
			assert.Equal(t, begin.Add(time.Hour+time.Minute), deadline)
			return untilCanceled(ctx)
		}, traigo.Timeout(time.Minute), traigo.Bubble(false))
		err := task.Wait(t.Context())
		assert.Equal(t, time.Minute, as[*traigo.TimeoutError](t, err).After)
		assert.Equal(t, time.Hour+time.Minute, time.Since(begin))
		require.NoError(t, s.Wait())
	})
}

func TestLimitRefusesWhoIsBlockedWhenTheScopeTimesOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := traigo.New(t.Context(), traigo.Limit(1), traigo.Timeout(time.Second), discard())
		s.Spawn(cleaning(time.Second, nil))
		requireTime(t, time.Second, func() {
			err := s.Spawn(func(context.Context) error { panic("ran") }).Err()
			require.ErrorIs(t, err, traigo.ErrRefused)
			require.ErrorIs(t, err, context.DeadlineExceeded)
		})
		require.ErrorIs(t, s.Wait(), context.DeadlineExceeded)
	})
}

// Each Spawn that is blocked is warned of when it has waited for 10 s, once. One that has got
// its slot by then is not.
func TestLimitWarnsOfEachSpawnThatIsBlocked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		book := newRecords()
		root := traigo.New(t.Context(), traigo.Name("root"), traigo.Logger(book.logger()))
		s := root.Fork(traigo.Name("full"), traigo.Limit(1))
		s.Spawn(lasting(5 * time.Second))
		at := func(seconds int, name string, opts ...traigo.TaskOption) {
			root.Spawn(func(context.Context) error {
				time.Sleep(time.Duration(seconds) * time.Second)
				s.Spawn(lasting(time.Hour), opts...)
				return nil
			}, traigo.Name(name))
		}
		client, cancel := context.WithTimeout(t.Context(), 12*time.Second)
		defer cancel()
		at(0, "lucky")
		at(1, "first")
		at(4, "impatient", traigo.AdmitBefore(client))
		at(6, "second")
		at(30, "third")

		want := map[time.Duration]string{11: "first", 16: "second", 40: "third"}
		for second := time.Duration(1); second < 300; second++ {
			before := len(book.from(slog.LevelWarn))
			time.Sleep(time.Second)
			synctest.Wait()
			said := book.from(slog.LevelWarn)[before:]
			if want[second] == "" {
				assert.Empty(t, said, "after %d s", second)
				continue
			}
			require.Len(t, said, 1, "after %d s", second)
			assert.Equal(t, `task "root/`+want[second]+`"`, said[0].Attrs["spawner"])
			assert.True(t, mentions(said[0].Text, "blocked for 10s", "root/full"), said[0].Text)
		}
		assert.Equal(t, 3, s.Snapshot().Waiting)
		require.NoError(t, root.Close())
	})
}

// A task may have abandoned several calls. Its slot is free when the last of them has ended,
// for one other task.
func TestLimitFreesTheSlotOfATaskWithItsLastAbandonedCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := traigo.New(t.Context(), traigo.Limit(1))
		call := func(d time.Duration) func(context.Context) error {
			return traigo.Blocking(func() error { time.Sleep(d); return nil })
		}
		task := s.Spawn(func(ctx context.Context) error {
			go func() { _ = call(5 * time.Second)(ctx) }()
			return call(3 * time.Second)(ctx)
		})
		synctest.Wait()
		task.Cancel(nil)
		begin := time.Now()
		for range 2 {
			go s.Spawn(lasting(time.Second))
		}
		synctest.Wait()
		for _, waiting := range []int{2, 2, 2, 2, 2, 1, 0} {
			assert.Equal(t, waiting, s.Snapshot().Waiting, "after %v", time.Since(begin))
			assert.NoError(t, s.CheckInvariants())
			time.Sleep(time.Second)
			synctest.Wait()
		}
		require.NoError(t, s.Wait())
		assert.Equal(t, 7*time.Second, time.Since(begin))
	})
}
