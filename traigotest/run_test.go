package traigotest_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
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

// run runs a body in a bubble, and with that in a test that may fail.
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

func TestRunSaysNothingOfAGoodTest(t *testing.T) {
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

func TestRunTellsEachErrorByItsPath(t *testing.T) {
	f, _ := run(t, func(_ testing.TB, _ context.Context, s *traigo.Scope) {
		s.Spawn(func(ctx context.Context) error {
			return traigo.Run(ctx, func(ctx context.Context, s *traigo.Scope) error {
				s.Spawn(func(ctx context.Context) error {
					<-ctx.Done()
					return errors.New("disk full")
				}, traigo.Name("write"))
				<-ctx.Done()
				return errors.New("no more")
			}, traigo.Name("download"))
		}, traigo.Name("outer"))
		s.Spawn(func(ctx context.Context) error {
			<-ctx.Done()
			return fmt.Errorf("cleaning up: %w", errBoom)
		}, traigo.Name("cleaner"))
		s.Spawn(func(context.Context) error {
			synctest.Wait()
			return errBoom
		}, traigo.Name("upload"))
	})
	assert.True(t, f.ended)
	require.Len(t, f.errors, 4)
	assert.Equal(t, `task "TestIt/upload" failed: connection reset`, f.errors[0])
	assert.ElementsMatch(t, []string{
		`task "TestIt/cleaner" failed: cleaning up: connection reset`,
		`task "TestIt/download/write" failed: disk full`,
		`scope "TestIt/download": no more`,
	}, f.errors[1:])
}

// Of a scope that ends with the one around it there is nothing to say but what
// ended that. Any other end is a failure.
func TestRunTellsWhatEndedAScopeInside(t *testing.T) {
	inside := func(t testing.TB, end func(s *traigo.Scope, cancel func())) *fake {
		f, _ := run(t.(*testing.T), func(_ testing.TB, ctx context.Context, s *traigo.Scope) {
			s.Spawn(func(ctx context.Context) error {
				ctx, cancel := context.WithCancel(ctx)
				defer cancel()
				return traigo.Run(ctx, func(ctx context.Context, s *traigo.Scope) error {
					s.Spawn(func(ctx context.Context) error {
						return traigo.Run(ctx, func(ctx context.Context, _ *traigo.Scope) error {
							<-ctx.Done()
							return errors.New("disk full")
						}, traigo.Name("b"))
					}, traigo.Name("b"))
					synctest.Wait()
					end(s, cancel)
					return nil
				}, traigo.Name("a"))
			}, traigo.Name("a"))
		})
		return f
	}
	f := inside(t, func(s *traigo.Scope, _ func()) { s.Cancel(errBoom) })
	assert.Equal(t, []string{`scope "TestIt/a": connection reset`, `scope "TestIt/a/b": disk full`}, f.errors)
	f = inside(t, func(_ *traigo.Scope, cancel func()) { cancel() })
	assert.Equal(t, []string{
		`scope "TestIt/a" canceled: parent canceled: context canceled`,
		`scope "TestIt/a/b" canceled: parent canceled: context canceled`,
		`scope "TestIt/a/b": disk full`,
	}, f.errors)
}

func TestRunCountsTheErrorsThatTheOutcomeDoesNotHold(t *testing.T) {
	f, _ := run(t, func(_ testing.TB, _ context.Context, s *traigo.Scope) {
		for range 30 {
			s.Spawn(func(ctx context.Context) error {
				<-ctx.Done()
				return errors.New("late")
			}, traigo.Name("many"))
		}
		synctest.Wait()
		s.Spawn(fail)
	})
	require.Len(t, f.errors, 18)
	assert.Equal(t, `scope "TestIt": 14 more errors`, f.errors[17])
}

func TestRunTellsOfTimeouts(t *testing.T) {
	f, _ := run(t, func(_ testing.TB, _ context.Context, s *traigo.Scope) {
		s.Spawn(untilCanceled, traigo.Timeout(time.Second), traigo.Name("slow"))
	})
	assert.Equal(t, `task "TestIt/slow" timed out after 1s`, f.onlyError(t))

	f, _ = run(t, func(_ testing.TB, _ context.Context, s *traigo.Scope) {
		s.Spawn(untilCanceled)
	}, traigo.Timeout(time.Second))
	assert.Equal(t, `scope "TestIt" timed out after 1s`, f.onlyError(t))
}

func TestRunTellsOfPanicsAndGoesOn(t *testing.T) {
	f, _ := run(t, func(_ testing.TB, _ context.Context, s *traigo.Scope) {
		s.Spawn(func(context.Context) error {
			panicOnPurpose("out of cheese")
			return nil
		}, traigo.Name("upload"))
	})
	assert.True(t, f.ended)
	text := f.onlyError(t)
	assert.True(t, strings.HasPrefix(text, `task "TestIt/upload" panicked: out of cheese`+"\n\tgoroutine "), text)
	assert.Equal(t, 1, strings.Count(text, "panicOnPurpose("), text)
	assert.NotContains(t, text, "traigo.(*", "what the library does around it")
	assert.NotContains(t, text, "runtime", "nor what the runtime does")
}

func TestRunTellsOfPanicsInForks(t *testing.T) {
	f, _ := run(t, func(_ testing.TB, _ context.Context, s *traigo.Scope) {
		f := s.Fork(traigo.Name("conn"))
		f.Spawn(func(context.Context) error {
			panicOnPurpose(errBoom)
			return nil
		}, traigo.Name("reader"))
		<-f.Done()
	})
	text := f.onlyError(t)
	assert.True(t, strings.HasPrefix(text, `task "TestIt/conn/reader" panicked: connection reset`+"\n\tgoroutine "), text)
}

func TestRunStopsTheTestWhenTheBodyPanics(t *testing.T) {
	var task *traigo.Task
	f, _ := run(t, func(_ testing.TB, _ context.Context, s *traigo.Scope) {
		task = s.Spawn(untilCanceled)
		panicOnPurpose("no milk")
	})
	assert.False(t, f.ended)
	assert.Error(t, task.Err(), "it was canceled and joined")
	text := f.onlyError(t)
	assert.True(t, strings.HasPrefix(text, `the body of "TestIt" panicked: no milk`+"\n\tgoroutine "), text)
	assert.Equal(t, 1, strings.Count(text, "panicOnPurpose("), text)
	assert.NotContains(t, text, "traigotest.(*watch)", text)
}

func TestRunTellsOfLostErrors(t *testing.T) {
	body := func(_ testing.TB, _ context.Context, s *traigo.Scope) {
		f := s.Fork(traigo.Name("conn"))
		f.Spawn(fail, traigo.Name("reader"))
		<-f.Done()
		s.Spawn(func(context.Context) error { return nil }, traigo.Name("writer"), traigo.OnDone(func(error) { panic("oops") }))
	}
	f, _ := run(t, body)
	require.Len(t, f.errors, 2)
	assert.Contains(t, f.errors[0], "oops")
	assert.Contains(t, f.errors[0], `(scope "TestIt": OnDone of task "TestIt/writer" panicked)`)
	assert.Equal(t, `task "TestIt/conn/reader" failed: connection reset`+"\n"+
		`(scope "TestIt/conn": failed, and nobody has asked for the outcome)`, f.errors[1])

	f, _ = run(t, body, traigo.Logger(slog.New(slog.DiscardHandler)))
	assert.Empty(t, f.errors, "the Logger has them")
}

func TestRunLogsWarningsToTheTest(t *testing.T) {
	f, _ := run(t, func(_ testing.TB, _ context.Context, s *traigo.Scope) {
		s.Spawn(func(ctx context.Context) error {
			<-ctx.Done()
			return errBoom
		}, traigo.Awaited(false), traigo.Name("heartbeat"))
		synctest.Wait()
	})
	assert.False(t, f.failed)
	assert.Regexp(t, `^run_test\.go:\d+: traigo: error after a quiet end, not in the outcome
    scope: TestIt
    task: TestIt/heartbeat
    err: connection reset
$`, f.out.String())
}

func TestRunTellsOfGoexitInATask(t *testing.T) {
	f, _ := run(t, func(_ testing.TB, _ context.Context, s *traigo.Scope) {
		s.Spawn(func(context.Context) error {
			runtime.Goexit()
			return nil
		}, traigo.Name("odd"))
	})
	assert.True(t, f.ended)
	assert.Equal(t, `task "TestIt/odd" called runtime.Goexit`, f.onlyError(t))
}

// A test may run a million tasks.
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

func TestRunIsMisusedLoudly(t *testing.T) {
	assert.Equal(t, "traigotest: Run: nil function; pass the body of the test",
		raised(func() { traigotest.Run(t, nil) }))
	assert.Equal(t, "traigo: Run: nil option; leave it out",
		raised(func() { traigotest.Run(t, func(context.Context, *traigo.Scope) {}, nil) }))
	assert.Equal(t, "traigotest: Patience(-1s): negative duration",
		raised(func() { traigotest.Patience(-time.Second) }))
}
