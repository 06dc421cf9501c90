package traigotest_test

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"weak"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/traigotest"
)

// run calls traigotest.Run in a bubble, with a fake as the test, and returns the fake and
// the time it took.
func run(t *testing.T, body func(t testing.TB, ctx context.Context, s *traigo.Scope), opts ...traigo.ScopeOption) (f *fake, took time.Duration) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		f = try(t, func(t testing.TB) {
			traigotest.Run(t, func(ctx context.Context, s *traigo.Scope) { body(t, ctx, s) }, opts...)
		})
		took = time.Since(began)
	})
	return f, took
}

func TestRunReportsNothingAboutAGoodTest(t *testing.T) {
	ended := false
	f, took := run(t, func(tb testing.TB, ctx context.Context, s *traigo.Scope) {
		assert.Equal(t, "TestIt", s.Path())
		assert.Same(t, s, traigo.Current(ctx))
		s.Spawn(untilCanceled, traigo.Awaited(false))
		s.Spawn(func(ctx context.Context) error {
			ended = traigo.Sleep(ctx, 9*time.Second) == nil
			return nil
		})
	})
	assert.True(t, ended)
	assert.Equal(t, 9*time.Second, took)
	assert.True(t, f.ended)
	assert.False(t, f.failed)
	assert.Empty(t, f.errors)
	assert.Empty(t, f.logs)
	assert.Empty(t, f.out.String())
}

func TestRunDerivesTheContextFromThatOfTheTest(t *testing.T) {
	type key struct{}
	f := &fake{TB: t}
	ctx, cancel := context.WithCancel(context.WithValue(t.Context(), key{}, "there"))
	f.run(withContext{f, ctx}, func(t testing.TB) {
		traigotest.Run(t, func(ctx context.Context, s *traigo.Scope) {
			assert.Equal(t, "there", ctx.Value(key{}))
			cancel()
			<-ctx.Done()
		})
	})
	assert.Equal(t, `scope "TestIt" canceled: parent canceled: context canceled`, f.onlyError(t))
}

type withContext struct {
	*fake

	ctx context.Context //nolint:containedctx // it stands for the context of a test
}

func (f withContext) Context() context.Context { return f.ctx }

// A test may run a million tasks, so Run must keep no memory for those that have ended.
func TestRunForgetsTasksThatHaveEnded(t *testing.T) {
	traigotest.Run(t, func(ctx context.Context, s *traigo.Scope) {
		var tasks [100]weak.Pointer[traigo.Task]
		for i := range tasks {
			task := s.Spawn(func(context.Context) error { return nil })
			assert.NoError(t, task.Wait(ctx))
			tasks[i] = weak.Make(task)
		}
		runtime.GC()
		kept := 0
		for _, task := range tasks {
			if task.Value() != nil {
				kept++
			}
		}
		assert.Less(t, kept, 10)
	})
}

func TestRunTakesItsOptions(t *testing.T) {
	f, _ := run(t, func(_ testing.TB, ctx context.Context, s *traigo.Scope) {
		assert.Equal(t, "other", s.Path())
		assert.Equal(t, 3, s.Snapshot().Limit)
	}, traigo.Name("other"), traigotest.Patience(0), traigo.Limit(3))
	assert.False(t, f.failed)
}

func TestRunPanicsWhenMisused(t *testing.T) {
	assert.Equal(t, "traigotest: Run: nil function; pass the body of the test",
		raised(func() { traigotest.Run(t, nil) }))
	assert.Equal(t, "traigo: Run: nil option; leave it out",
		raised(func() { traigotest.Run(t, func(context.Context, *traigo.Scope) {}, nil) }))
	assert.Equal(t, "traigotest: Patience(-1s): negative duration",
		raised(func() { traigotest.Patience(-time.Second) }))
}

// A task that calls FailNow or SkipNow ends the test, whoever owns the task's error.
func TestRunEndsWhenATaskEndsTheTest(t *testing.T) {
	spawners := map[string]func(s *traigo.Scope, fn func(context.Context) error, named traigo.TaskOption){
		"Spawn": func(s *traigo.Scope, fn func(context.Context) error, named traigo.TaskOption) {
			s.Spawn(fn, named)
		},
		"that nobody owns": func(s *traigo.Scope, fn func(context.Context) error, named traigo.TaskOption) {
			s.Spawn(fn, named, traigo.Bubble(false))
		},
		"Async": func(s *traigo.Scope, fn func(context.Context) error, named traigo.TaskOption) {
			traigo.Async(s, func(ctx context.Context) (int, error) { return 0, fn(ctx) }, named)
		},
		"Start": func(s *traigo.Scope, fn func(context.Context) error, named traigo.TaskOption) {
			_, _ = s.Start(s.Context(), func(ctx context.Context, ready func()) error { return fn(ctx) }, named)
		},
		"Blocking": func(s *traigo.Scope, fn func(context.Context) error, named traigo.TaskOption) {
			s.Spawn(traigo.Blocking(func() error { return fn(s.Context()) }), named)
		},
		"fork": func(s *traigo.Scope, fn func(context.Context) error, named traigo.TaskOption) {
			s.Fork(traigo.Name("inner")).Spawn(fn, named)
		},
		"nested": func(s *traigo.Scope, fn func(context.Context) error, named traigo.TaskOption) {
			s.Spawn(func(ctx context.Context) error {
				return traigo.Run(ctx, func(_ context.Context, s *traigo.Scope) error {
					s.Spawn(fn, named)
					return nil
				}, traigo.Name("inner"))
			})
		},
	}
	for name, spawn := range spawners {
		path := "TestIt/checker"
		if name == "fork" || name == "nested" {
			path = "TestIt/inner/checker"
		}
		t.Run(name, func(t *testing.T) {
			var other *traigo.Task
			body := func(leave func(t testing.TB)) func(t testing.TB, ctx context.Context, s *traigo.Scope) {
				return func(tb testing.TB, ctx context.Context, s *traigo.Scope) {
					other = s.Spawn(untilCanceled)
					synctest.Wait()
					spawn(s, func(context.Context) error {
						leave(tb)
						return nil
					}, traigo.Name("checker"))
					<-ctx.Done()
				}
			}
			f, took := run(t, body(func(t testing.TB) { t.FailNow() }))
			assert.Zero(t, took)
			assert.False(t, f.ended, "the test goes on")
			assert.True(t, f.failed)
			assert.Error(t, other.Err())
			assert.Empty(t, f.errors, "the task has told why")
			assert.Equal(t, []string{`t.FailNow was called by task "` + path + `"`}, f.logs)

			f, _ = run(t, body(func(t testing.TB) { t.SkipNow() }))
			assert.False(t, f.ended, "the test goes on")
			assert.True(t, f.skipped)
			assert.False(t, f.failed)
			assert.Empty(t, f.errors)
			assert.Equal(t, []string{`t.SkipNow was called by task "` + path + `"`}, f.logs)
		})
	}
}

func TestRunJoinsBeforeTheBodyEndsTheTest(t *testing.T) {
	for name, leave := range map[string]func(testing.TB){
		"FailNow": testing.TB.FailNow,
		"SkipNow": testing.TB.SkipNow,
	} {
		var task *traigo.Task
		f, _ := run(t, func(tb testing.TB, _ context.Context, s *traigo.Scope) {
			task = s.Spawn(untilCanceled)
			synctest.Wait()
			leave(tb)
		})
		assert.False(t, f.ended, name)
		assert.Error(t, task.Err(), name)
		assert.Equal(t, name == "FailNow", f.failed)
		assert.Empty(t, f.errors, name)
		assert.Empty(t, f.logs, name)
		assert.Empty(t, f.out.String(), "the caller of %s has said why", name)
	}
}

func TestRunCancelsWhatDoesNotEnd(t *testing.T) {
	var cause error
	f, took := run(t, func(_ testing.TB, _ context.Context, s *traigo.Scope) {
		time.Sleep(time.Hour) // the time of the body is not limited
		s.Spawn(func(ctx context.Context) error {
			err := untilCanceled(ctx)
			cause = context.Cause(ctx)
			return err
		}, traigo.Name("reader"))
		s.Spawn(untilCanceled, traigo.Name("heartbeat"), traigo.Awaited(false))
		s.Fork(traigo.Name("conn")).Spawn(untilCanceled, traigo.Name("writer"))
		synctest.Wait()
	})
	assert.True(t, f.ended)
	assert.Equal(t, time.Hour+10*time.Second, took)
	text := f.onlyError(t)
	head, stacks, _ := strings.Cut(text, "\n\ntask ")
	assert.Equal(t, `still running 10s after the body returned (traigotest.Patience says how long they may):

TestIt (finalizing, 1h0m10s)
├─ • reader (running, 10s)
├─ • heartbeat (running, 10s, not awaited)
└─ conn (open, 10s)
   └─ • writer (running, 10s)`, head)
	assert.Equal(t, 3, strings.Count(stacks, "untilCanceled("), text)
	for _, path := range []string{"TestIt/reader", "TestIt/heartbeat", "TestIt/conn/writer"} {
		assert.Equal(t, 1, strings.Count("task "+stacks, `task "`+path+`":`+"\n\tgoroutine "), text)
	}
	assert.NotContains(t, text, "traigo.(*", "what the library does around it")
	assert.Contains(t, fmt.Sprint(cause), "still running 10s after the body returned")
}

func TestRunGivesUpWhatIsStuck(t *testing.T) {
	for name, patient := range map[string]bool{"after the patience": true, "after a failure": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				free := make(chan struct{})
				began := time.Now()
				f := try(t, func(t testing.TB) {
					traigotest.Run(t, func(_ context.Context, s *traigo.Scope) {
						s.Spawn(blockedOn(free), traigo.Name("stuck"))
						synctest.Wait()
						if !patient {
							s.Spawn(fail)
						}
					}, traigotest.Patience(time.Minute), traigo.CancelTimeout(3*time.Second))
				})
				took := time.Since(began)
				close(free)
				want := 3 * time.Second
				if patient {
					want += time.Minute
				}
				assert.Equal(t, want, took)
				require.Len(t, f.errors, 2)
				text := f.errors[1]
				assert.True(t, strings.HasPrefix(text, `task "TestIt/stuck" has not ended after it was canceled, and is left running:`+"\n\tgoroutine "), text)
				assert.NotContains(t, text, "traigo.(*")
				assert.Equal(t, 1, strings.Count(strings.Join(f.errors, "\n"), "blockOn("), "its stack, once")
			})
		})
	}
}

func TestRunGivesACanceledTaskOneSecond(t *testing.T) {
	for _, row := range []struct {
		cleanup time.Duration
		errors  int
	}{{990 * time.Millisecond, 0}, {1100 * time.Millisecond, 1}} {
		synctest.Test(t, func(t *testing.T) {
			f := try(t, func(t testing.TB) {
				traigotest.Run(t, func(_ context.Context, s *traigo.Scope) {
					s.Spawn(func(ctx context.Context) error {
						<-ctx.Done()
						time.Sleep(row.cleanup)
						return nil
					}, traigo.Awaited(false))
					synctest.Wait()
				})
			})
			time.Sleep(time.Second)
			assert.Len(t, f.errors, row.errors, row.cleanup)
		})
	}
}

func TestPatienceOfZeroWaitsForTheDeadline(t *testing.T) {
	for _, left := range []time.Duration{time.Hour, 9 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			began := time.Now()
			f := fakeT{&fake{TB: t}, began.Add(left)}
			f.run(f, func(t testing.TB) {
				traigotest.Run(t, func(_ context.Context, s *traigo.Scope) {
					s.Spawn(untilCanceled, traigo.Name("reader"))
				}, traigotest.Patience(time.Second), traigotest.Patience(0))
			})
			assert.Equal(t, left-min(5*time.Second, left/3), time.Since(began))
			assert.Contains(t, f.onlyError(t), "still running shortly before the deadline of the test:\n\nTestIt (finalizing, ")
		})
	}
}

func TestPatienceHasNoEffectOnOtherScopes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		require.NoError(t, traigo.Run(t.Context(), func(_ context.Context, s *traigo.Scope) error {
			s.Spawn(func(ctx context.Context) error { return traigo.Sleep(ctx, time.Hour) })
			return nil
		}, traigotest.Patience(time.Second)))
		assert.Equal(t, time.Hour, time.Since(began))
	})
}

func TestRunCancelsABodyThatHangs(t *testing.T) {
	f, _ := run(t, func(tb testing.TB, ctx context.Context, s *traigo.Scope) {
		assert.Error(t, s.Spawn(untilCanceled, traigo.Name("reader")).Wait(ctx))
	})
	assert.True(t, f.ended)
	text := f.onlyError(t)
	assert.Contains(t, text, "still running in the body, after a year of the test's clock (so it is blocked for ever):\n\nTestIt (open, ")
	assert.Contains(t, text, "\n\nthe body:\n\tgoroutine ")
	assert.Contains(t, text, "traigo.(*Task).Wait(")
	assert.Contains(t, text, "\n\ntask \"TestIt/reader\":\n\tgoroutine ")
	assert.NotContains(t, text, "traigotest.(*watch)")
}

func TestRunCancelsABodyBeforeTheDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		f := fakeT{&fake{TB: t}, began.Add(time.Hour)}
		f.run(f, func(t testing.TB) {
			traigotest.Run(t, func(ctx context.Context, s *traigo.Scope) { <-ctx.Done() })
		})
		assert.Equal(t, time.Hour-5*time.Second, time.Since(began))
		assert.Contains(t, f.onlyError(t), "still running shortly before the deadline of the test:\n\nTestIt (open, ")
	})
}

func TestRunWaitsForAbandonedCalls(t *testing.T) {
	f, took := run(t, func(_ testing.TB, _ context.Context, s *traigo.Scope) {
		s.Spawn(traigo.Blocking(func() error {
			time.Sleep(6995 * time.Millisecond)
			return nil
		}), traigo.Awaited(false))
		synctest.Wait()
	})
	assert.False(t, f.failed)
	assert.Equal(t, 7*time.Second, took)

	f, took = run(t, func(_ testing.TB, ctx context.Context, s *traigo.Scope) {
		fork := s.Fork(traigo.Name("conn"))
		fork.Spawn(traigo.Blocking(func() error {
			time.Sleep(6995 * time.Millisecond)
			return nil
		}))
		synctest.Wait()
		assert.NoError(t, fork.Close())
	})
	assert.False(t, f.failed)
	assert.Equal(t, 7*time.Second, took, "also for those of a scope that has closed")

	synctest.Test(t, func(t *testing.T) {
		free := make(chan struct{})
		began := time.Now()
		f = try(t, func(t testing.TB) {
			traigotest.Run(t, func(_ context.Context, s *traigo.Scope) {
				s.Spawn(traigo.Blocking(func() error {
					blockOn(free)
					return nil
				}), traigo.Awaited(false), traigo.Name("read"))
				synctest.Wait()
			})
		})
		close(free)
		assert.Equal(t, 10*time.Second, time.Since(began))
	})
	text := f.onlyError(t)
	assert.True(t, strings.HasPrefix(text, "calls that Blocking has abandoned are still running:\n\n"+
		"TestIt (closed, 10s, completed)\n└─ • read (abandoned, 10s, not awaited)\n\n\tgoroutine "), text)
	assert.Contains(t, text, "blockOn(")
	assert.NotContains(t, text, "traigo.(*")
}
