package traigo_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo"
)

func TestPanicOfATaskIsRaisedAgain(t *testing.T) {
	waits := map[string]func(t *testing.T){
		"Run": func(t *testing.T) {
			_ = traigo.Run(t.Context(), func(ctx context.Context, s *traigo.Scope) error {
				s.Spawn(panicking("oops"), traigo.Name("work"))
				return untilCanceled(ctx)
			})
		},
		"Wait": func(t *testing.T) {
			s := traigo.New(t.Context())
			s.Spawn(panicking("oops"), traigo.Name("work"))
			_ = s.Wait()
		},
		"Close": func(t *testing.T) {
			s := traigo.New(t.Context())
			s.Spawn(panicking("oops"), traigo.Name("work"))
			<-s.Done()
			_ = s.Close()
		},
		"Shutdown": func(t *testing.T) {
			s := traigo.New(t.Context())
			s.Spawn(panicking("oops"), traigo.Name("work"))
			_ = s.Shutdown(t.Context())
		},
	}
	for name, wait := range waits {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				panicked := requirePanic(t, "work", func() { wait(t) })
				assert.Equal(t, "oops", panicked.Recovered.Value)
				assert.Contains(t, panicked.Error(), "oops")
			})
		})
	}
}

func TestPanicOfATaskCancelsAtOnceAndIsRaisedAtTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		s := traigo.New(t.Context(), traigo.Name("s"))
		s.Spawn(func(ctx context.Context) error {
			<-ctx.Done()
			assert.Equal(t, time.Second, time.Since(start))
			why, ok := errors.AsType[*traigo.Cancellation](context.Cause(ctx))
			if assert.True(t, ok) {
				assert.Equal(t, traigo.Panicked, why.Kind)
				assert.Equal(t, "s", why.Scope)
				assert.Equal(t, "s/work", why.Task)
			}
			assert.ErrorIs(t, context.Cause(ctx), errBoom)
			time.Sleep(3 * time.Second)
			return nil
		})
		s.Spawn(func(context.Context) error {
			time.Sleep(time.Second)
			panic(errBoom)
		}, traigo.Name("work"))
		require.NotNil(t, raised(func() { _ = s.Wait() }))
		assert.Equal(t, 4*time.Second, time.Since(start), "when everything has ended")
		_ = as[*traigo.PanicError](t, s.Err())
	})
}

func TestPanicCrossesScopesAsTheOneItWas(t *testing.T) {
	nest := func(inner func(ctx context.Context) error) func(context.Context) error {
		return func(ctx context.Context) error {
			return traigo.Run(ctx, func(ctx context.Context, s *traigo.Scope) error {
				s.Spawn(inner, traigo.Name("around"))
				return nil
			})
		}
	}
	rows := map[string]func(ctx context.Context){
		"tasks of tasks": func(ctx context.Context) {
			work := func(ctx context.Context) error {
				return traigo.Run(ctx, func(_ context.Context, s *traigo.Scope) error {
					s.Spawn(panicking(errBoom), traigo.Name("work"))
					return nil
				})
			}
			_ = nest(nest(work))(ctx)
		},
		"bodies of bodies": func(ctx context.Context) {
			_ = traigo.Run(ctx, func(ctx context.Context, _ *traigo.Scope) error {
				return traigo.Run(ctx, func(_ context.Context, s *traigo.Scope) error {
					s.Spawn(panicking(errBoom), traigo.Name("work"))
					return nil
				})
			})
		},
		"forks of forks": func(ctx context.Context) {
			_ = traigo.Run(ctx, func(_ context.Context, s *traigo.Scope) error {
				child := s.Fork()
				grandchild := child.Fork()
				grandchild.Spawn(panicking(errBoom), traigo.Name("work"))
				grandchild.Finalize()
				child.Finalize()
				return nil
			})
		},
	}
	for name, row := range rows {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				book := defaultLog(t)
				panicked := requirePanic(t, "work", func() { row(t.Context()) })
				require.ErrorIs(t, panicked, errBoom)
				said := book.from(slog.LevelWarn)
				require.Len(t, said, 1, "at once, and once; it is raised: nothing is lost")
				assert.True(t, mentions(said[0].Text, "a task has panicked", "/work", "boom", "panicOnPurpose"), said[0].Text)
				assert.Equal(t, slog.LevelError, said[0].Level)
			})
		})
	}
}

func TestPanicErrorLooksIntoTheValue(t *testing.T) {
	rows := map[string]struct {
		value any
		found func(error) bool
	}{
		"an error":        {errBoom, func(err error) bool { return errors.Is(err, errBoom) }},
		"an error's type": {&os.PathError{Err: errBoom}, func(err error) bool { _, ok := errors.AsType[*os.PathError](err); return ok }},
		"nil":             {nil, func(err error) bool { _, ok := errors.AsType[*runtime.PanicNilError](err); return ok }},
		"no error":        {42, func(err error) bool { return errors.Unwrap(err) == nil }},
	}
	for name, row := range rows {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := traigo.New(t.Context())
				s.Spawn(panicking(row.value), traigo.Name("work"))
				assert.True(t, row.found(requirePanic(t, "work", func() { _ = s.Wait() })))
			})
		})
	}
}

func TestPanicOfTheBodyContinuesAfterTheJoin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		var task *traigo.Task
		var cause error
		value := new(int)
		got := raised(func() {
			_ = traigo.Run(t.Context(), func(_ context.Context, s *traigo.Scope) error {
				task = s.Spawn(func(ctx context.Context) error {
					<-ctx.Done()
					cause = context.Cause(ctx)
					time.Sleep(3 * time.Second)
					return nil
				})
				panic(value)
			})
		})
		assert.Same(t, value, got, "its own value, not one around it")
		assert.True(t, closed(task.Done()))
		assert.Equal(t, 3*time.Second, time.Since(start))
		assert.Equal(t, traigo.Panicked, as[*traigo.Cancellation](t, cause).Kind)
	})
}

func TestPanicAsErrorMakesItAnOrdinaryFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var cause error
		watch := func(ctx context.Context) error {
			<-ctx.Done()
			cause = context.Cause(ctx)
			return nil
		}
		err := traigo.Run(t.Context(), func(_ context.Context, s *traigo.Scope) error {
			s.Spawn(watch)
			s.Spawn(panicking(errBoom), traigo.Name("work"))
			return nil
		}, traigo.PanicAsError())
		assert.Equal(t, "work", as[*traigo.TaskError](t, err).Task)
		assert.Equal(t, "work", path.Base(as[*traigo.PanicError](t, err).Task))
		require.ErrorIs(t, err, errBoom)
		assert.NotContains(t, err.Error(), "\n")
		assert.Equal(t, 1, strings.Count(fmt.Sprintf("%+v", err), "panicOnPurpose"), "%+v", err)
		assert.Equal(t, traigo.TaskFailed, as[*traigo.Cancellation](t, cause).Kind)

		err = traigo.Run(t.Context(), func(_ context.Context, s *traigo.Scope) error {
			s.Spawn(watch)
			panicOnPurpose(errBoom)
			return nil
		}, traigo.PanicAsError())
		_ = as[*traigo.PanicError](t, err)
		require.ErrorIs(t, err, errBoom)
		assert.NotContains(t, err.Error(), "\n")
		assert.Equal(t, 1, strings.Count(fmt.Sprintf("%+v", err), "panicOnPurpose"), "%+v", err)
		assert.Equal(t, traigo.BodyFailed, as[*traigo.Cancellation](t, cause).Kind)
	})
}

// With PanicAsError the panic of a task is a failure. Who returns that error further up
// has not panicked.
func TestPanicAsErrorThatIsPassedOnStaysAnError(t *testing.T) {
	rows := map[string]func(ctx context.Context, s *traigo.Scope, below *traigo.Task) error{
		"by a task": func(_ context.Context, s *traigo.Scope, below *traigo.Task) error {
			s.Spawn(func(ctx context.Context) error { return below.Wait(ctx) })
			return nil
		},
		"by the body": func(ctx context.Context, _ *traigo.Scope, below *traigo.Task) error {
			return below.Wait(ctx)
		},
	}
	for name, row := range rows {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var err error
				value := raised(func() {
					err = traigo.Run(t.Context(), func(ctx context.Context, s *traigo.Scope) error {
						child := s.Fork(traigo.PanicAsError(), discard())
						below := child.Spawn(panicking(errBoom))
						assert.ErrorIs(t, child.Wait(), errBoom)
						return row(ctx, s, below)
					})
				})
				require.Nil(t, value, "raised, though nothing here panicked")
				require.ErrorIs(t, err, errBoom)
			})
		})
	}
}

func TestInheritedPanicAsErrorReachesDownOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := traigo.New(t.Context(), traigo.PanicAsError())
		below := s.Fork().Fork()
		below.Spawn(panicking("oops"))
		_ = as[*traigo.PanicError](t, below.Wait())
		require.NoError(t, s.Close())

		s = traigo.New(t.Context())
		child := s.Fork(traigo.PanicAsError())
		child.Spawn(panicking("oops"))
		_ = as[*traigo.PanicError](t, child.Wait())
		s.Spawn(panicking("oops"), traigo.Name("work"))
		_ = requirePanic(t, "work", func() { _ = s.Wait() })
	})
}

func TestPanicIsNotHiddenByWhoOwnsTheError(t *testing.T) {
	spawns := map[string]func(s *traigo.Scope) *traigo.Task{
		"Bubble(false)": func(s *traigo.Scope) *traigo.Task {
			return s.Spawn(panicking("oops"), traigo.Bubble(false), traigo.Name("work"))
		},
		"OnDone": func(s *traigo.Scope) *traigo.Task {
			return s.Spawn(panicking("oops"), traigo.OnDone(func(error) {}), traigo.Name("work"))
		},
		"Awaited(false)": func(s *traigo.Scope) *traigo.Task {
			return s.Spawn(panicking("oops"), traigo.Awaited(false), traigo.Name("work"))
		},
		"Async": func(s *traigo.Scope) *traigo.Task {
			f := traigo.Async(s, func(context.Context) (int, error) {
				panicOnPurpose("oops")
				return 1, nil
			}, traigo.Name("work"))
			_, _ = f.Await(context.Background())
			return f.Task()
		},
	}
	for name, spawn := range spawns {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := traigo.New(t.Context())
				task := spawn(s)
				<-s.Done()
				_ = as[*traigo.PanicError](t, task.Err())
				_ = requirePanic(t, "work", func() { _ = s.Wait() })
			})
		})
	}
}

func TestPanicInAQuietEndIsRaised(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := traigo.New(t.Context())
		s.Spawn(func(ctx context.Context) error {
			<-ctx.Done()
			panicOnPurpose("oops")
			return nil
		}, traigo.Name("work"))
		synctest.Wait()
		_ = requirePanic(t, "work", func() { _ = s.Close() })
	})
}

func TestPanicOfABlockingCallIsTheTasks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := traigo.New(t.Context())
		s.Spawn(traigo.Blocking(func() error {
			panicOnPurpose(errBoom)
			return nil
		}), traigo.Name("work"))
		require.ErrorIs(t, requirePanic(t, "work", func() { _ = s.Wait() }), errBoom)
	})
}

func TestGoexitOfATaskIsAFailure(t *testing.T) {
	rows := map[string]func(context.Context) error{
		"task": func(context.Context) error {
			runtime.Goexit()
			return nil
		},
		"Blocking": traigo.Blocking(func() error {
			runtime.Goexit()
			return nil
		}),
	}
	for name, task := range rows {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := traigo.New(t.Context())
				sibling := s.Spawn(untilCanceled)
				gone := s.Spawn(task, traigo.Name("work"))
				err := s.Wait()
				require.ErrorIs(t, err, traigo.ErrGoexit)
				assert.Equal(t, "work", as[*traigo.TaskError](t, err).Task)
				require.ErrorIs(t, gone.Err(), traigo.ErrGoexit)
				require.ErrorIs(t, gone.Wait(t.Context()), traigo.ErrGoexit)
				assert.True(t, closed(sibling.Done()))
			})
		})
	}
}

func TestGoexitOfTheBodyContinuesAfterTheJoin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		var task *traigo.Task
		returned := false
		gone := make(chan struct{})
		go func() {
			defer close(gone)
			_ = traigo.Run(t.Context(), func(_ context.Context, s *traigo.Scope) error {
				task = s.Spawn(cleaning(3*time.Second, nil))
				runtime.Goexit()
				return nil
			})
			returned = true
		}()
		<-gone
		assert.False(t, returned, "Run must not stop a Goexit")
		assert.True(t, closed(task.Done()))
		assert.Equal(t, 3*time.Second, time.Since(start))
	})
}

func TestPanicOfAnObserverHarmsNobodyElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		before, after, book := new(story), new(story), newRecords()
		var task *traigo.Task
		err := traigo.Run(t.Context(), func(_ context.Context, s *traigo.Scope) error {
			task = s.Spawn(lasting(time.Second))
			child := s.Fork()
			child.Spawn(failing(0, errBoom))
			assert.ErrorIs(t, child.Wait(), errBoom)
			return nil
		}, traigo.Observe(before), traigo.Observe(seeing(func(traigo.Event) { panic("bad observer") })),
			traigo.Observe(after), traigo.Logger(book.logger()))
		require.NoError(t, err)
		require.NoError(t, task.Err())
		assert.Len(t, before.events(traigo.ScopeClosed), 2)
		assert.Len(t, before.events(traigo.TaskEnded), 2)
		assert.Len(t, after.events(), len(before.events()))
		warned := book.from(slog.LevelWarn)
		require.NotEmpty(t, warned, "nothing is lost")
		assert.Contains(t, warned[0].Text, "bad observer")
	})
}

func TestPanicOfOnDoneHarmsNobodyElse(t *testing.T) {
	rows := map[string]func(error){
		"panic":  func(error) { panic("bad callback") },
		"Goexit": func(error) { runtime.Goexit() },
	}
	for name, callback := range rows {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				book := newRecords()
				s := traigo.New(t.Context(), traigo.Logger(book.logger()))
				sibling := s.Spawn(func(ctx context.Context) error { return traigo.Sleep(ctx, time.Minute) })
				called := 0
				count := func(err error) { called++; callback(err) }
				for range 3 {
					s.Spawn(fail, traigo.OnDone(count))
					synctest.Wait()
				}
				task := s.Spawn(succeed, traigo.OnDone(count))
				synctest.Wait()
				assert.Equal(t, 4, called)
				require.NoError(t, task.Err(), "the task itself has succeeded")
				// Wait may raise the panic of the callback, or log it. It must return.
				var err error
				value := raised(func() { err = s.Wait() })
				assert.True(t, closed(sibling.Done()))
				require.NoError(t, sibling.Err(), "nobody else is harmed")
				if name == "panic" && value == nil && err == nil {
					warned := book.from(slog.LevelWarn)
					require.NotEmpty(t, warned, "nothing is lost")
					assert.Contains(t, warned[0].Text, "bad callback")
				}
			})
		})
	}
}

// What a crash prints can be seen only in a process of its own.
func TestPanicThatNobodyRecoversCrashesTheProcess(t *testing.T) {
	const variable = "TRAIGO_TEST_CRASH"
	inATask := func(s *traigo.Scope) { s.Spawn(panicking(errBoom), traigo.Name("work")) }
	crashes := map[string]func(ctx context.Context, s *traigo.Scope) error{
		"task": func(_ context.Context, s *traigo.Scope) error {
			inATask(s)
			return nil
		},
		"nested": func(_ context.Context, s *traigo.Scope) error {
			s.Spawn(func(ctx context.Context) error {
				return traigo.Run(ctx, func(_ context.Context, s *traigo.Scope) error {
					inATask(s)
					return nil
				})
			})
			return nil
		},
		"body": func(context.Context, *traigo.Scope) error {
			panicOnPurpose(errBoom)
			return nil
		},
	}
	if crash := crashes[os.Getenv(variable)]; crash != nil {
		slog.SetDefault(slog.New(slog.DiscardHandler)) // where the panic is logged at once
		// On a goroutine of its own: package testing has words to say on panics of tests.
		// On a goroutine of its own, so that package testing adds nothing to the panic.
		done := make(chan struct{})
		go func() {
			defer close(done)
			_ = traigo.Run(context.Background(), crash)
		}()
		<-done
		select {} // until the crash ends the process: it has run the deferred call already
	}

	self, err := os.Executable()
	require.NoError(t, err)
	for name := range crashes {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cmd := exec.CommandContext(t.Context(), self, "-test.run=^TestPanicThatNobodyRecoversCrashesTheProcess$")
			cmd.Env = append(os.Environ(), variable+"="+name, "GOTRACEBACK=single")
			out, err := cmd.CombinedOutput()
			assert.NotZero(t, as[*exec.ExitError](t, err).ExitCode())
			text := string(out)
			assert.Contains(t, text, "panic: ")
			assert.Contains(t, text, "boom")
			assert.Equal(t, 1, strings.Count(text, "panicOnPurpose"), "its stack, once:\n%s", text)
			if name != "body" {
				assert.Equal(t, 1, strings.Count(text, `/work"`), "its path, once:\n%s", text)
			}
		})
	}
}

// A Goexit of the body continues, unless a task has panicked.
func TestGoexitOfTheBodyRaisesThePanicOfATask(t *testing.T) {
	for name, body := range map[string]func(ctx context.Context, s *traigo.Scope){
		"before": func(ctx context.Context, s *traigo.Scope) {
			s.Spawn(panicking("oops"), traigo.Name("work"))
			<-ctx.Done()
		},
		"after": func(_ context.Context, s *traigo.Scope) {
			s.Spawn(func(ctx context.Context) error { <-ctx.Done(); panicOnPurpose("oops"); return nil }, traigo.Name("work"))
			synctest.Wait()
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				value := make(chan any, 1)
				go func() {
					defer func() { value <- recover() }()
					_ = traigo.Run(t.Context(), func(ctx context.Context, s *traigo.Scope) error {
						body(ctx, s)
						runtime.Goexit()
						return nil
					}, discard())
				}()
				got := <-value
				require.IsType(t, (*traigo.PanicError)(nil), got)
				require.ErrorContains(t, got.(error), "oops")
			})
		})
	}
}

// Where PanicAsError leaves a panic to nobody, it is logged as an error, once.
func TestPanicAsErrorThatIsLeftToNobodyIsLogged(t *testing.T) {
	late := func(ctx context.Context) error { <-ctx.Done(); panicOnPurpose("oops"); return nil }
	for name, spawn := range map[string]func(s *traigo.Scope){
		"Bubble(false)":                  func(s *traigo.Scope) { s.Spawn(panicking("oops"), traigo.Bubble(false)) },
		"Bubble(false), its own timeout": func(s *traigo.Scope) { s.Spawn(late, traigo.Bubble(false), traigo.Timeout(time.Second)) },
		"after a quiet end": func(s *traigo.Scope) {
			s.Spawn(late)
			synctest.Wait()
			s.Cancel(nil)
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				book := newRecords()
				s := traigo.New(t.Context(), traigo.PanicAsError(), traigo.Logger(book.logger()))
				spawn(s)
				require.NoError(t, s.Wait())
				assert.Len(t, book.at(slog.LevelError, "oops"), 1)
			})
		})
	}
}

// A mere end of the parent is nothing that a panic could hide.
func TestPanicHidesNoEndOfTheParent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		book := newRecords()
		ctx, cancel := context.WithCancelCause(t.Context())
		s := traigo.New(ctx, traigo.Logger(book.logger()))
		s.Spawn(func(ctx context.Context) error { <-ctx.Done(); panicOnPurpose("oops"); return nil }, traigo.Name("work"))
		cancel(errOuter)
		_ = requirePanic(t, "work", func() { _ = s.Wait() })
		assert.Empty(t, book.at(slog.LevelError, "hidden"))
		assert.Len(t, book.at(slog.LevelError, "oops"), 1, "at once")
	})
}
