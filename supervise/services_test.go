package supervise_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
	"weak"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/supervise"
)

type blockBody = func(ctx context.Context, s *traigo.Scope, services *supervise.Services) error

// block runs body in a block named "app", with log as its logger.
func block(ctx context.Context, log *book, body blockBody, opts ...traigo.ScopeOption) error {
	return supervise.WithServices(ctx, body, append(opts, log.logger(), traigo.Name("app"))...)
}

// service returns a service that takes a second to stop, and notes in d when that begins
// and ends.
func service(d *diary, name string) func(context.Context) error {
	return func(ctx context.Context) error {
		<-ctx.Done()
		d.note("stop " + name)
		time.Sleep(time.Second)
		d.note(name + " has ended")
		return ctx.Err()
	}
}

var inOrder = []string{"task has ended", "stop b", "b has ended", "stop a", "a has ended"}

// However a block ends, its services end after its tasks, the last started first.
func TestServicesEndAfterTheTasksInReverseOrder(t *testing.T) {
	rows := []struct {
		name  string
		leave func(ctx context.Context, s *traigo.Scope, cancel func()) error // how the body ends
		text  string
		opts  []traigo.ScopeOption
	}{
		{"when all is done", func(context.Context, *traigo.Scope, func()) error { return nil }, "", nil},
		{"when the body fails", func(context.Context, *traigo.Scope, func()) error { return errBoom }, `scope "app": boom`, nil},
		{"when a task fails", func(ctx context.Context, s *traigo.Scope, _ func()) error {
			s.Spawn(always(errBoom), traigo.Name("bad"))
			return untilCanceled(ctx)
		}, `scope "app": task "bad": boom`, nil},
		{"when the outer context ends", func(ctx context.Context, _ *traigo.Scope, cancel func()) error {
			cancel()
			return untilCanceled(ctx)
		}, `scope "app": parent canceled: outer`, nil},
		{"when the time is over", func(ctx context.Context, _ *traigo.Scope, _ func()) error { return untilCanceled(ctx) },
			`scope "app": timed out after 3s`, []traigo.ScopeOption{traigo.Timeout(3 * time.Second)}},
		{"when the scope of the tasks is canceled", func(_ context.Context, s *traigo.Scope, _ func()) error {
			s.Cancel(errBang)
			return nil
		}, `scope "app": bang`, nil},
		{"when it is canceled quietly", func(_ context.Context, s *traigo.Scope, _ func()) error { s.Cancel(nil); return nil }, "", nil},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var (
					log book
					d   diary
				)
				ctx, cancel := context.WithCancelCause(t.Context())
				err := block(ctx, &log, func(ctx context.Context, s *traigo.Scope, services *supervise.Services) error {
					services.Spawn(service(&d, "a"))
					services.Spawn(service(&d, "b"))
					s.Spawn(func(ctx context.Context) error {
						_ = traigo.Sleep(ctx, time.Minute)
						time.Sleep(time.Second)
						d.note("task has ended")
						return nil
					})
					synctest.Wait()
					return row.leave(ctx, s, func() { cancel(errOuter) })
				}, row.opts...)
				if row.text == "" {
					require.NoError(t, err)
				} else {
					require.EqualError(t, err, row.text)
				}
				assert.Equal(t, inOrder, d.read())
				assert.Empty(t, log.lines())
			})
		})
	}
}

func TestOuterCancellationDoesNotCancelAService(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log book
		type key struct{}
		ctx, cancel := context.WithTimeoutCause(context.WithValue(t.Context(), key{}, "value"), time.Second, errOuter)
		defer cancel()
		var cause error
		require.ErrorIs(t, block(ctx, &log, func(_ context.Context, s *traigo.Scope, services *supervise.Services) error {
			services.Spawn(func(ctx context.Context) error {
				_, has := ctx.Deadline()
				assert.False(t, has)
				assert.Equal(t, "value", ctx.Value(key{}))
				<-ctx.Done()
				cause = context.Cause(ctx)
				return nil
			})
			s.Spawn(after(time.Minute, nil))
			return nil
		}), errOuter)
		require.EqualError(t, cause, `scope "app/TestOuterCancellationDoesNotCancelAService.func1.1.1" canceled: requested: `+
			`the tasks that needed the service have ended`)
	})
}

func TestFailureOfAServiceIsTheOutcome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var (
			log   book
			d     diary
			cause error
		)
		start := time.Now()
		err := block(t.Context(), &log, func(ctx context.Context, s *traigo.Scope, services *supervise.Services) error {
			services.Spawn(service(&d, "a"))
			services.Spawn(after(time.Second, errBoom), traigo.Name("db"))
			services.Spawn(service(&d, "b"))
			s.Spawn(func(ctx context.Context) error {
				<-ctx.Done()
				assert.Equal(t, time.Second, time.Since(start), "at once")
				cause = context.Cause(ctx)
				time.Sleep(time.Second)
				d.note("task has ended")
				return errBang
			}, traigo.Name("work"))
			return untilCanceled(ctx)
		})
		require.EqualError(t, err, `scope "app": task "db": boom; also: task "work": bang`)
		assert.Equal(t, &traigo.TaskError{Task: "db", Err: errBoom}, unwrapped(err)[0], "as in any other outcome")
		require.ErrorIs(t, err, errBoom)
		require.EqualError(t, cause, `scope "app" canceled: requested: task "db": boom`)
		require.ErrorIs(t, cause, errBoom)
		assert.Equal(t, inOrder, d.read())
		assert.Empty(t, log.lines())
	})
}

// Which failure was the first does not depend on the scheduler.
func TestFirstFailureOfABlockIsTheOutcome(t *testing.T) {
	for range 50 {
		synctest.Test(t, func(t *testing.T) {
			var log book
			ctx, cancel := context.WithCancelCause(t.Context())
			err := block(ctx, &log, func(_ context.Context, _ *traigo.Scope, services *supervise.Services) error {
				services.Spawn(func(ctx context.Context) error {
					traigo.Current(ctx).Cancel(errBoom)
					cancel(errOuter)
					return nil
				}, traigo.Name("db"))
				synctest.Wait()
				return nil
			})
			require.EqualError(t, err, `scope "app": boom`)

			ctx, cancel = context.WithCancelCause(t.Context())
			err = block(ctx, &log, func(_ context.Context, s *traigo.Scope, _ *supervise.Services) error {
				s.Cancel(errBang)
				cancel(errOuter)
				return nil
			})
			require.EqualError(t, err, `scope "app": bang`)
		})
	}
}

func TestErrorOfAServiceThatWasStoppedIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log book
		flush := func(ctx context.Context) error { <-ctx.Done(); return errBoom }
		body := func(result error) blockBody {
			return func(_ context.Context, _ *traigo.Scope, services *supervise.Services) error {
				services.Spawn(flush, traigo.Name("a"))
				services.Spawn(func(ctx context.Context) error { <-ctx.Done(); return context.Cause(ctx) })
				services.Spawn(func(ctx context.Context) error {
					traigo.Current(ctx).Spawn(flush, traigo.Name("part"))
					<-ctx.Done()
					time.Sleep(time.Second)
					return errBang
				}, traigo.Name("b"))
				synctest.Wait()
				return result
			}
		}
		require.EqualError(t, block(t.Context(), &log, body(nil)),
			`scope "app/b": task "part": boom; also: task "b": bang; also: task "a": boom`)
		require.EqualError(t, block(t.Context(), &log, body(errOuter)),
			`scope "app": outer; also: scope "app/b": task "part": boom; also: task "b": bang; also: task "a": boom`)
	})
}

// Of the errors that are too many a StuckError is kept.
func TestManyErrorsOfABlockAreCounted(t *testing.T) {
	fail := func(ctx context.Context) error { <-ctx.Done(); return errBang }
	for name, spawn := range map[string]func(s *traigo.Scope, services *supervise.Services){
		"of services": func(_ *traigo.Scope, services *supervise.Services) { services.Spawn(fail, traigo.Name("part")) },
		"of tasks":    func(s *traigo.Scope, _ *supervise.Services) { s.Spawn(fail, traigo.Name("part")) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var log book
				end := make(chan struct{})
				err := block(t.Context(), &log, func(_ context.Context, s *traigo.Scope, services *supervise.Services) error {
					services.Spawn(func(context.Context) error { <-end; return nil }, traigo.Name("stuck"))
					for range 20 {
						spawn(s, services)
					}
					synctest.Wait()
					return errBoom
				}, traigo.CancelTimeout(time.Second))
				close(end)
				var e *traigo.Error
				require.ErrorAs(t, err, &e)
				assert.Equal(t, errBoom, e.Err)
				assert.Len(t, e.Others, 16)
				assert.Equal(t, &traigo.TaskError{Task: "part", Err: errBang}, e.Others[15])
				assert.Equal(t, 5, e.More)
				stuck, ok := errors.AsType[*traigo.StuckError](err)
				require.True(t, ok, "%v", err)
				assert.Equal(t, "app/stuck/stuck", stuck.Tasks[0].Path)
			})
		})
	}
}

func TestServiceMayEndByItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log book
		require.NoError(t, block(t.Context(), &log, func(ctx context.Context, _ *traigo.Scope, services *supervise.Services) error {
			assert.NoError(t, services.Spawn(always(nil)).Wait(ctx))
			return traigo.Sleep(ctx, time.Second)
		}))
	})
}

func TestServiceThatHasEndedLeavesTheTree(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log book
		root := traigo.New(t.Context())
		defer root.Cancel(nil)
		ends := map[string]func(ctx context.Context) error{
			"returns":                 always(nil),
			"fails, which is ignored": always(errBoom),
			"cancels its scope":       func(ctx context.Context) error { traigo.Current(ctx).Cancel(nil); return nil },
		}
		opts := map[string][]traigo.TaskOption{
			"plain":       nil,
			"not awaited": {traigo.Awaited(false)},
			"master":      {traigo.Master(true)},
		}
		require.NoError(t, block(root.Context(), &log, func(ctx context.Context, _ *traigo.Scope, services *supervise.Services) error {
			for how, end := range ends {
				for name, opts := range opts {
					services.Spawn(end, append(opts, traigo.Bubble(false))...)
					_, err := services.Start(ctx, func(ctx context.Context, ready func()) error {
						ready()
						return end(ctx)
					}, append(opts, traigo.Bubble(false))...)
					assert.NoError(t, err)
					synctest.Wait()
					assert.Len(t, root.Snapshot().Scopes[0].Scopes, 1, "%s, %s: only the tasks are left", how, name)
				}
			}
			return nil
		}))
		assert.Empty(t, log.lines())
	})
}

// A block may run a million services, so it must keep no memory for those that have ended.
func TestServiceThatHasEndedIsForgotten(t *testing.T) {
	for name, together := range map[string]bool{"one after the other": false, "all at the same time": true} {
		t.Run(name, func(t *testing.T) {
			require.NoError(t, supervise.WithServices(t.Context(), func(ctx context.Context, _ *traigo.Scope, services *supervise.Services) error {
				const n = 1000
				var scopes [n]weak.Pointer[traigo.Scope]
				end := make(chan struct{})
				if !together {
					close(end)
				}
				for i := range n {
					task := services.Spawn(func(context.Context) error { <-end; return nil })
					scopes[i] = weak.Make(task.Scope())
					if !together {
						assert.NoError(t, task.Wait(ctx))
					}
				}
				if together {
					close(end)
				}
				for kept := n; kept > 0; {
					if ctx.Err() != nil {
						return fmt.Errorf("%d of %d services are still in memory", kept, n)
					}
					runtime.GC()
					kept = 0
					for _, scope := range scopes {
						if scope.Value() != nil {
							kept++
						}
					}
				}
				return nil
			}, quiet(), traigo.Timeout(10*time.Second)))
		})
	}
}

// The scope of a service ends as that of traigo.Run, whose body is like the function of
// the service.
func TestTaskThatAServiceLeavesWhenItReturns(t *testing.T) {
	notAwaited := traigo.Awaited(false)
	rows := []struct {
		name string
		opt  traigo.TaskOption
		stay time.Duration // how long the block goes on
		want []string
	}{
		{"runs until the turn of the service", traigo.Awaited(true), time.Minute, inOrder},
		{"ends with the service if it is not awaited", notAwaited, time.Minute,
			[]string{"stop b", "b has ended", "task has ended", "stop a", "a has ended"}},
		{"is waited for in the turn of the service", notAwaited, time.Second / 2,
			[]string{"stop b", "task has ended", "b has ended", "stop a", "a has ended"}},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var (
					log book
					d   diary
				)
				require.NoError(t, block(t.Context(), &log, func(ctx context.Context, _ *traigo.Scope, services *supervise.Services) error {
					services.Spawn(service(&d, "a"))
					services.Spawn(func(ctx context.Context) error {
						traigo.Current(ctx).Spawn(service(&d, "b"), row.opt)
						return nil
					})
					defer d.note("task has ended")
					return traigo.Sleep(ctx, row.stay)
				}))
				assert.Equal(t, row.want, d.read())
				assert.Empty(t, log.lines())
			})
		})
	}
}

func TestErrorThatAnEndedServiceHasLeftIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log book
		err := block(t.Context(), &log, func(ctx context.Context, _ *traigo.Scope, services *supervise.Services) error {
			services.Spawn(func(ctx context.Context) error {
				traigo.Async(traigo.Current(ctx), func(context.Context) (int, error) { return 0, errBang }, traigo.Name("part"))
				return traigo.Sleep(ctx, time.Second)
			})
			return traigo.Sleep(ctx, time.Minute)
		})
		require.EqualError(t, err, `scope "app": task "part": bang`)
	})
}

// Some services end by themselves while the block stops them, and others start too late.
func TestStressServicesEndWhileTheBlockEnds(t *testing.T) {
	for range 200 {
		synctest.Test(t, func(t *testing.T) {
			var log book
			var others sync.WaitGroup
			require.NoError(t, block(t.Context(), &log, func(ctx context.Context, _ *traigo.Scope, services *supervise.Services) error {
				end := make(chan struct{})
				for range 8 {
					services.Spawn(func(ctx context.Context) error {
						select {
						case <-end:
						case <-ctx.Done():
						}
						return nil
					})
					others.Go(func() {
						<-end
						services.Spawn(always(nil))
					})
				}
				close(end)
				return nil
			}))
			others.Wait()
			assert.Empty(t, log.lines())
		})
	}
}

func TestStartWaitsUntilTheServiceIsReady(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var (
			log book
			d   diary
		)
		start := time.Now()
		slow := func(name string) func(context.Context, func()) error {
			return func(ctx context.Context, ready func()) error {
				time.Sleep(time.Second)
				ready()
				return service(&d, name)(ctx)
			}
		}
		require.NoError(t, block(t.Context(), &log, func(ctx context.Context, _ *traigo.Scope, services *supervise.Services) error {
			for _, name := range []string{"a", "b"} {
				task, err := services.Start(ctx, slow(name), traigo.Name(name))
				assert.NoError(t, err)
				assert.Equal(t, "app/"+name+"/"+name, task.Path())
			}
			assert.Equal(t, 2*time.Second, time.Since(start))
			d.note("task has ended")
			return nil
		}))
		assert.Equal(t, inOrder, d.read())
	})
}

func TestErrorOfAServiceThatDoesNotStartBelongsToTheCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log book
		root := traigo.New(t.Context())
		defer root.Cancel(nil)
		require.NoError(t, block(root.Context(), &log, func(ctx context.Context, s *traigo.Scope, services *supervise.Services) error {
			_, err := services.Start(ctx, func(context.Context, func()) error { return errBoom })
			assert.Equal(t, errBoom, err)
			_, err = services.Start(ctx, func(context.Context, func()) error { return nil })
			assert.Equal(t, traigo.ErrNotReady, err)

			startCtx, cancel := context.WithTimeoutCause(ctx, time.Second, errOuter)
			defer cancel()
			_, err = services.Start(startCtx, func(ctx context.Context, _ func()) error { return untilCanceled(ctx) })
			assert.Equal(t, errOuter, err)
			assert.NoError(t, ctx.Err(), "nothing has ended")
			assert.Equal(t, traigo.Open, s.State())
			assert.Len(t, root.Snapshot().Scopes[0].Scopes, 1, "only the tasks: nothing is left of it")
			return nil
		}))
		assert.Empty(t, log.lines())
	})
}

func TestFailureBelowAServiceThatDoesNotStartIsTheOutcome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log book
		err := block(t.Context(), &log, func(ctx context.Context, _ *traigo.Scope, services *supervise.Services) error {
			_, err := services.Start(ctx, func(ctx context.Context, _ func()) error {
				traigo.Current(ctx).Spawn(always(errBang), traigo.Name("part"))
				return untilCanceled(ctx)
			})
			assert.Error(t, err)
			return nil
		})
		require.EqualError(t, err, `scope "app": task "part": bang`)
		assert.Equal(t, &traigo.TaskError{Task: "part", Err: errBang}, unwrapped(err)[0])
		assert.Empty(t, log.lines())
	})
}

func TestServiceThatFailsAfterItWasReadyEndsTheBlock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log book
		err := block(t.Context(), &log, func(ctx context.Context, _ *traigo.Scope, services *supervise.Services) error {
			_, err := services.Start(ctx, func(_ context.Context, ready func()) error {
				ready()
				time.Sleep(time.Second)
				return errBoom
			}, traigo.Name("db"))
			assert.NoError(t, err)
			return untilCanceled(ctx)
		})
		require.EqualError(t, err, `scope "app": task "db": boom`)
	})
}

func TestServiceIsRefusedWhenTheTasksAreCanceled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log book
		var left *supervise.Services
		refused := func(err error) {
			t.Helper()
			assert.ErrorIs(t, err, traigo.ErrRefused)
		}
		run := func(context.Context) error { assert.Fail(t, "it runs"); return nil }
		require.ErrorIs(t, block(t.Context(), &log, func(ctx context.Context, s *traigo.Scope, services *supervise.Services) error {
			left = services
			services.Spawn(func(ctx context.Context) error {
				<-ctx.Done()
				refused(services.Spawn(run).Err())
				return nil
			})
			s.Cancel(errBoom)
			refused(services.Spawn(run).Err())
			_, err := services.Start(context.WithoutCancel(ctx), func(ctx context.Context, _ func()) error { return run(ctx) })
			refused(err)
			return nil
		}), errBoom)
		refused(left.Spawn(run).Err())
	})
}

func TestStuckServiceIsGivenUpAndTheRestStopped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var (
			log book
			d   diary
		)
		end := make(chan struct{})
		ctx, cancel := context.WithCancelCause(t.Context())
		stuck := func(context.Context) error { <-end; return nil }
		start := time.Now()
		err := block(ctx, &log, func(_ context.Context, s *traigo.Scope, services *supervise.Services) error {
			services.Spawn(service(&d, "a"))
			services.Spawn(stuck, traigo.Name("b"))
			s.Spawn(stuck, traigo.Name("task"))
			synctest.Wait()
			cancel(errOuter)
			return nil
		}, traigo.CancelTimeout(5*time.Second))
		assert.Equal(t, 11*time.Second, time.Since(start), "five for the task, five for b, one for a")
		require.ErrorIs(t, err, errOuter)
		var paths []string
		for _, err := range unwrapped(err) {
			if stuck, ok := errors.AsType[*traigo.StuckError](err); ok {
				paths = append(paths, stuck.Tasks[0].Path)
			}
		}
		assert.Equal(t, []string{"app/tasks/task", "app/b/b"}, paths)
		assert.Equal(t, []string{"stop a", "a has ended"}, d.read())
		close(end)
	})
}

func TestPanicInABlockStopsServicesInOrder(t *testing.T) {
	rows := []struct {
		name   string
		logged int // a panic of a task is logged at once, one of the body goes to the caller at once
		body   blockBody
	}{
		{"of the body", 0, func(context.Context, *traigo.Scope, *supervise.Services) error { panic("oh") }},
		{"of a task", 1, func(ctx context.Context, s *traigo.Scope, _ *supervise.Services) error {
			s.Spawn(func(context.Context) error { panic("oh") })
			return untilCanceled(ctx)
		}},
		{"of a service", 1, func(ctx context.Context, _ *traigo.Scope, services *supervise.Services) error {
			services.Spawn(func(context.Context) error { panic("oh") })
			return untilCanceled(ctx)
		}},
		{"of a service that is stopped", 1, func(ctx context.Context, _ *traigo.Scope, services *supervise.Services) error {
			services.Spawn(func(ctx context.Context) error { <-ctx.Done(); panic("oh") })
			synctest.Wait()
			return nil
		}},
		{"of a service that starts", 1, func(ctx context.Context, _ *traigo.Scope, services *supervise.Services) error {
			_, err := services.Start(ctx, func(context.Context, func()) error { panic("oh") })
			return err
		}},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var (
					log book
					d   diary
				)
				body := func(ctx context.Context, s *traigo.Scope, services *supervise.Services) error {
					services.Spawn(service(&d, "a"))
					services.Spawn(service(&d, "b"))
					synctest.Wait()
					defer d.note("task has ended")
					return row.body(ctx, s, services)
				}
				value := raised(t, func() { _ = block(t.Context(), &log, body) })
				assert.Equal(t, 1, strings.Count(fmt.Sprint(value), "oh"), "%v", value)
				assert.Equal(t, inOrder, d.read())
				panics := log.saying("a task has panicked", "")
				assert.Len(t, panics, row.logged)
				for _, line := range log.lines() {
					if !slices.Contains(panics, line) {
						// Package traigo takes the cause of the stop for an error that the panic hides.
						assert.Contains(t, line, "the tasks that needed the service have ended")
					}
				}

				d, log = diary{}, book{}
				require.ErrorContains(t, block(t.Context(), &log, body, traigo.PanicAsError()), "oh")
				assert.Equal(t, inOrder, d.read())
				assert.Empty(t, log.lines())
			})
		})
	}
}

func TestErrorsHiddenByAPanicAreLogged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log book
		value := raised(t, func() {
			_ = block(t.Context(), &log, func(_ context.Context, _ *traigo.Scope, services *supervise.Services) error {
				services.Spawn(func(ctx context.Context) error { <-ctx.Done(); return errBang }, traigo.Name("a"))
				services.Spawn(func(ctx context.Context) error { <-ctx.Done(); panic("second") }, traigo.Name("b"))
				synctest.Wait()
				panic("first")
			})
		})
		assert.Equal(t, "first", value)
		assert.Len(t, log.saying("a task has panicked", "scope=app/b task=app/b/b panic=second "), 1)
		hidden := log.saying("errors hidden by a panic or a Goexit", "scope=app ")
		require.Len(t, hidden, 1)
		assert.Contains(t, hidden[0], "level=ERROR")
		assert.Contains(t, hidden[0], "bang")
		assert.Contains(t, hidden[0], "second")
	})
}

func TestSecondPanicOfServicesIsLogged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log book
		value := raised(t, func() {
			_ = block(t.Context(), &log, func(_ context.Context, _ *traigo.Scope, services *supervise.Services) error {
				services.Spawn(func(ctx context.Context) error { <-ctx.Done(); panic("second") })
				services.Spawn(func(ctx context.Context) error { <-ctx.Done(); panic("first") })
				synctest.Wait()
				return errBoom
			})
		})
		assert.Contains(t, fmt.Sprint(value), "first")
		assert.Len(t, log.saying("a task has panicked", ""), 2)
		hidden := log.saying("errors hidden by a panic or a Goexit", "scope=app ")
		require.NotEmpty(t, hidden)
		assert.Contains(t, hidden[0], "second")
		assert.Contains(t, hidden[0], "boom")
	})
}

// The outcome of a service that has failed belongs to the caller of WithServices, and is not
// logged, however long the tasks and the other services take to end.
func TestFailureOfAServiceIsNotLoggedWhileOthersEnd(t *testing.T) {
	for name, slow := range map[string]func(s *traigo.Scope, services *supervise.Services){
		"a task":          func(s *traigo.Scope, _ *supervise.Services) { s.Spawn(after(time.Minute, nil)) },
		"another service": func(_ *traigo.Scope, services *supervise.Services) { services.Spawn(after(time.Minute, nil)) },
	} {
		for _, panics := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s ends late, panics: %v", name, panics), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					var log book
					run := func() error {
						return block(t.Context(), &log, func(_ context.Context, s *traigo.Scope, services *supervise.Services) error {
							services.Spawn(func(context.Context) error {
								time.Sleep(time.Second)
								if panics {
									panic(errBoom)
								}
								return errBoom
							})
							slow(s, services)
							return traigo.Sleep(s.Context(), time.Hour)
						})
					}
					start := time.Now()
					if panics {
						assert.Contains(t, fmt.Sprint(raised(t, func() { _ = run() })), "boom")
					} else {
						require.ErrorIs(t, run(), errBoom)
					}
					assert.Equal(t, time.Minute, time.Since(start))
					assert.Empty(t, log.saying("failed, and nobody has asked for the outcome", ""))
				})
			})
		}
	}
}

func TestGoexitOfTheBodyStopsServicesInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var (
			log book
			d   diary
		)
		left := make(chan struct{})
		go func() {
			defer close(left)
			_ = block(t.Context(), &log, func(_ context.Context, _ *traigo.Scope, services *supervise.Services) error {
				services.Spawn(service(&d, "a"))
				services.Spawn(service(&d, "b"))
				synctest.Wait()
				d.note("task has ended")
				runtime.Goexit()
				return nil
			})
			assert.Fail(t, "it goes on")
		}()
		<-left
		assert.Equal(t, inOrder, d.read())
		assert.Empty(t, log.lines())
	})
}

func TestScopesOfServicesAreBelowTheScopeOfTheBlock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log book
		var names []string
		require.NoError(t, traigo.Run(t.Context(), func(ctx context.Context, root *traigo.Scope) error {
			return block(ctx, &log, func(_ context.Context, s *traigo.Scope, services *supervise.Services) error {
				services.Spawn(untilCanceled, traigo.Name("db"))
				s.Spawn(untilCanceled, traigo.Awaited(false), traigo.Name("work"))
				synctest.Wait()
				for _, shot := range root.Snapshot().Scopes[0].Scopes {
					names = append(names, shot.Path+": "+shot.Tasks[0].Name)
				}
				return nil
			})
		}, traigo.Name("root")))
		assert.Equal(t, []string{"root/app/tasks: work", "root/app/db: db"}, names)
	})
}

func TestServiceUnderRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log book
		fn, calls := failing(errBoom, errBoom)
		require.NoError(t, block(t.Context(), &log, func(ctx context.Context, _ *traigo.Scope, services *supervise.Services) error {
			services.Spawn(supervise.Restart(fn, quiet(), every(time.Second)))
			return traigo.Sleep(ctx, time.Minute)
		}))
		assert.Equal(t, int32(3), calls.Load())
	})
}

func TestServiceThatDoesNotStartInTimeEndsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		err := supervise.WithServices(t.Context(), func(ctx context.Context, s *traigo.Scope, sv *supervise.Services) error {
			_, err := sv.Start(ctx, func(ctx context.Context, _ func()) error { <-ctx.Done(); return ctx.Err() }, traigo.Name("db"), traigo.Timeout(time.Second))
			assert.ErrorIs(t, err, context.DeadlineExceeded)
			return traigo.Sleep(ctx, time.Second) // the block goes on without the service
		}, quiet())
		require.NoError(t, err)
	})
}

func TestServiceThatHasEndedHasNoTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		err := supervise.WithServices(t.Context(), func(ctx context.Context, s *traigo.Scope, sv *supervise.Services) error {
			sv.Spawn(func(ctx context.Context) error { return nil }, traigo.Name("warmup"), traigo.Timeout(5*time.Second))
			synctest.Wait()
			return traigo.Sleep(ctx, time.Minute)
		}, quiet())
		require.NoError(t, err)
	})
}

func TestLimitsOfABlockAreForItsTasks(t *testing.T) {
	for name, opt := range map[string]traigo.ScopeOption{"Limit": traigo.Limit(1)} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var now, most atomic.Int32
				start := time.Now()
				require.NoError(t, supervise.WithServices(t.Context(), func(_ context.Context, s *traigo.Scope, services *supervise.Services) error {
					services.Spawn(untilCanceled)
					services.Spawn(untilCanceled)
					for range 5 {
						s.Spawn(func(ctx context.Context) error {
							most.Store(max(most.Load(), now.Add(1)))
							defer now.Add(-1)
							return traigo.Sleep(ctx, time.Second)
						})
					}
					return nil
				}, opt, quiet()))
				assert.EqualValues(t, 1, most.Load())
				assert.Equal(t, 5*time.Second, time.Since(start))
			})
		})
	}
}

func TestErrorOfTheBodyThatWrapsGoexitComesFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		err := supervise.WithServices(t.Context(), func(ctx context.Context, s *traigo.Scope, sv *supervise.Services) error {
			sv.Spawn(func(ctx context.Context) error { _ = traigo.Sleep(ctx, 2*time.Second); return errBang })
			s.Spawn(func(ctx context.Context) error { time.Sleep(5 * time.Second); return nil })
			_ = traigo.Sleep(ctx, time.Second)
			return fmt.Errorf("body failed first: %w", traigo.ErrGoexit)
		}, quiet())
		first, ok := errors.AsType[*traigo.Error](err)
		require.True(t, ok)
		require.ErrorContains(t, first.Err, "body failed first")
	})
}
