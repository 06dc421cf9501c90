package traigotest_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/traigotest"
)

func TestRunReportsEachErrorByItsPath(t *testing.T) {
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

// If a scope ended with the scope above it, only the cause of the latter is reported.
// Any other cancellation of a scope is a failure.
func TestRunReportsWhatEndedAScopeInside(t *testing.T) {
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

	f, _ = run(t, func(_ testing.TB, _ context.Context, s *traigo.Scope) {
		s.Spawn(func(context.Context) error { return errors.New("no milk; and 3 more") }, traigo.Name("shop"))
	})
	assert.Equal(t, `task "TestIt/shop" failed: no milk; and 3 more`, f.onlyError(t), "the text of an error is no count")
}

func TestRunReportsTimeouts(t *testing.T) {
	f, _ := run(t, func(_ testing.TB, _ context.Context, s *traigo.Scope) {
		s.Spawn(untilCanceled, traigo.Timeout(time.Second), traigo.Name("slow"))
	})
	assert.Equal(t, `task "TestIt/slow" timed out after 1s`, f.onlyError(t))

	f, _ = run(t, func(_ testing.TB, _ context.Context, s *traigo.Scope) {
		s.Spawn(untilCanceled)
	}, traigo.Timeout(time.Second))
	assert.Equal(t, `scope "TestIt" timed out after 1s`, f.onlyError(t))
}

func TestRunReportsPanicsAndGoesOn(t *testing.T) {
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

func TestRunReportsPanicsInForks(t *testing.T) {
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

func TestRunReportsThePanicOfAnAbandonedCall(t *testing.T) {
	f, _ := run(t, func(_ testing.TB, _ context.Context, s *traigo.Scope) {
		s.Spawn(traigo.Blocking(func() error {
			time.Sleep(995 * time.Millisecond)
			panicOnPurpose("out of cheese")
			return nil
		}), traigo.Name("read"), traigo.Awaited(false))
		synctest.Wait()
	})
	text := f.onlyError(t)
	assert.True(t, strings.HasPrefix(text, `task "TestIt/read" panicked: out of cheese`+"\n\tgoroutine "), text)
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

func TestRunReportsLostErrors(t *testing.T) {
	body := func(_ testing.TB, _ context.Context, s *traigo.Scope) {
		f := s.Fork(traigo.Name("conn"))
		f.Spawn(fail, traigo.Name("reader"))
		<-f.Done()
		s.Spawn(func(context.Context) error { return nil }, traigo.Name("writer"), traigo.OnDone(func(error) { panicOnPurpose("oops") }))
	}
	f, _ := run(t, body)
	require.Len(t, f.errors, 2)
	assert.True(t, strings.HasPrefix(f.errors[0], `task "TestIt/writer": OnDone panicked: oops`+"\n\tgoroutine "), f.errors[0])
	assert.Equal(t, `task "TestIt/conn/reader" failed: connection reset`+"\n"+
		`(scope "TestIt/conn": failed, and nobody has asked for the outcome)`, f.errors[1])

	f, _ = run(t, body, traigo.Logger(slog.New(slog.DiscardHandler)))
	assert.Empty(t, f.errors, "the Logger has them")
}

// observing makes an observer of a function.
type observing func(traigo.Event)

func (f observing) Observe(e traigo.Event) { f(e) }

// Each panic fails the test, once, whatever its value, and wherever it is raised.
func TestRunReportsEachPanicOnce(t *testing.T) {
	boom := func() { panicOnPurpose(errBoom) }
	once := func(kind traigo.EventKind) traigo.ScopeOption {
		return traigo.Observe(observing(func(e traigo.Event) {
			if e.Kind == kind {
				boom()
			}
		}))
	}
	for name, row := range map[string]struct {
		body func(ctx context.Context, s *traigo.Scope)
		opt  traigo.ScopeOption
		want string
	}{
		"of a task": {func(_ context.Context, s *traigo.Scope) {
			s.Spawn(func(context.Context) error { boom(); return nil }, traigo.Name("job"))
		}, traigo.Name("TestIt"), `task "TestIt/job" panicked: `},
		"of a task in a Run": {func(_ context.Context, s *traigo.Scope) {
			s.Spawn(func(ctx context.Context) error {
				return traigo.Run(ctx, func(_ context.Context, s *traigo.Scope) error {
					s.Spawn(func(context.Context) error { boom(); return nil }, traigo.Name("job"))
					return nil
				}, traigo.Name("inner"))
			})
		}, traigo.Name("TestIt"), `task "TestIt/inner/job" panicked: `},
		"of a task that does not bubble": {func(_ context.Context, s *traigo.Scope) {
			s.Spawn(func(context.Context) error { boom(); return nil }, traigo.Name("job"), traigo.Bubble(false))
		}, traigo.Name("TestIt"), `task "TestIt/job" panicked: `},
		"of a future": {func(_ context.Context, s *traigo.Scope) {
			traigo.Async(s, func(context.Context) (int, error) { boom(); return 0, nil }, traigo.Name("job"))
		}, traigo.Name("TestIt"), `task "TestIt/job" panicked: `},
		"of OnDone": {func(_ context.Context, s *traigo.Scope) {
			s.Spawn(func(context.Context) error { return nil }, traigo.Name("job"), traigo.OnDone(func(error) { boom() }))
		}, traigo.Name("TestIt"), `task "TestIt/job": OnDone panicked: `},
		"of a function given to the AfterFunc of the context": {func(ctx context.Context, _ *traigo.Scope) {
			ctx.(interface{ AfterFunc(f func()) func() bool }).AfterFunc(boom)
		}, traigo.Name("TestIt"), `scope "TestIt": a function given to AfterFunc panicked: `},
		"of an observer":                {func(context.Context, *traigo.Scope) {}, once(traigo.ScopeFinalized), `scope "TestIt": an observer panicked: `},
		"of an observer, after the end": {func(context.Context, *traigo.Scope) {}, once(traigo.ScopeClosed), `scope "TestIt": an observer panicked: `},
	} {
		t.Run(name, func(t *testing.T) {
			f, _ := run(t, func(_ testing.TB, ctx context.Context, s *traigo.Scope) { row.body(ctx, s) }, row.opt)
			assert.True(t, f.ended)
			text := f.onlyError(t)
			assert.True(t, strings.HasPrefix(text, row.want+"connection reset\n\tgoroutine "), text)
			assert.Equal(t, 1, strings.Count(text, "panicOnPurpose("), text)
			assert.NotContains(t, text, "traigo.(*", "what the library does around it")
			assert.Empty(t, f.out.String(), "it is not written besides")
		})
	}
}

// The outcome of a fork that nobody has asked for in time is reported once, also if somebody
// asks for it later.
func TestRunReportsTheErrorOfAForkOnce(t *testing.T) {
	for name, row := range map[string]struct {
		pause  time.Duration
		use    func(err error) error
		errors []string
	}{
		"asked for in time": {9 * time.Second, func(error) error { return nil }, nil},
		"asked for late": {11 * time.Second, func(error) error { return nil }, []string{
			`task "TestIt/conn/reader" failed: connection reset` + "\n" + `(scope "TestIt/conn": failed, and nobody has asked for the outcome)`,
		}},
		"returned late": {11 * time.Second, func(err error) error { return err }, []string{
			`task "TestIt/conn/reader" failed: connection reset`,
		}},
		"wrapped late": {11 * time.Second, func(err error) error { return fmt.Errorf("in vain: %w", err) }, []string{
			`task "TestIt/owner" failed: in vain: scope "TestIt/conn": task "reader": connection reset`,
		}},
	} {
		t.Run(name, func(t *testing.T) {
			f, _ := run(t, func(_ testing.TB, ctx context.Context, s *traigo.Scope) {
				fork := s.Fork(traigo.Name("conn"))
				fork.Spawn(fail, traigo.Name("reader"))
				_ = s.Spawn(func(ctx context.Context) error {
					assert.NoError(t, traigo.Sleep(ctx, row.pause))
					return row.use(fork.Wait())
				}, traigo.Name("owner")).Wait(ctx)
			})
			assert.Equal(t, row.errors, f.errors)
		})
	}
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
	assert.Regexp(t, `^run_test\.go:\d+: traigo: a task has failed after its scope had ended without an error, which remains so
    scope: TestIt
    task: TestIt/heartbeat
    err: connection reset
$`, f.out.String())
}

func TestRunReportsGoexitInATask(t *testing.T) {
	f, _ := run(t, func(_ testing.TB, _ context.Context, s *traigo.Scope) {
		s.Spawn(func(context.Context) error {
			runtime.Goexit()
			return nil
		}, traigo.Name("odd"))
	})
	assert.True(t, f.ended)
	assert.Equal(t, `task "TestIt/odd" called runtime.Goexit`, f.onlyError(t))
}

func TestRunShowsOnlySomeStacks(t *testing.T) {
	f, _ := run(t, func(_ testing.TB, _ context.Context, s *traigo.Scope) {
		for range 20 {
			s.Spawn(untilCanceled)
		}
	})
	text := f.onlyError(t)
	assert.Equal(t, 16, strings.Count(text, "\n\tgoroutine "))
	assert.True(t, strings.HasSuffix(text, "\n\nand 4 more stacks"), text)
}

// The report comes while the body still runs: it may be the last output of the test.
func TestRunReportsABodyThatDoesNotReturn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		free := make(chan struct{})
		f := &fake{TB: t}
		go func() {
			time.Sleep(365*24*time.Hour + 999*time.Millisecond)
			assert.False(t, f.Failed())
			time.Sleep(2 * time.Millisecond)
			assert.True(t, f.Failed())
			close(free)
		}()
		f.run(f, func(t testing.TB) {
			traigotest.Run(t, func(_ context.Context, s *traigo.Scope) {
				s.Spawn(untilCanceled, traigo.Name("reader"))
				blockOn(free)
			})
		})
		assert.Empty(t, f.errors, "it is not said again")
		text := f.out.String()
		assert.Regexp(t, `^report_test\.go:\d+: the body does not return, though its context was canceled 1s ago\n`+
			`    still running in the body, `, text)
		assert.Equal(t, 1, strings.Count(text, "blockOn("), text)
		assert.Equal(t, 1, strings.Count(text, "untilCanceled("), text)
	})
}

// The error of a task that was given up is logged to slog.Default if the test is over.
func TestRunWritesNothingToTheTestAfterItHasReturned(t *testing.T) {
	before := slog.Default()
	defer slog.SetDefault(before)
	var log strings.Builder
	slog.SetDefault(slog.New(slog.NewTextHandler(&log, nil)))
	synctest.Test(t, func(t *testing.T) {
		free := make(chan struct{})
		f := try(t, func(t testing.TB) {
			traigotest.Run(t, func(_ context.Context, s *traigo.Scope) {
				s.Spawn(func(context.Context) error {
					blockOn(free)
					return errBoom
				}, traigo.Name("stuck"))
				synctest.Wait()
				s.Cancel(nil)
			})
		})
		f.onlyError(t)
		close(free)
		synctest.Wait()
		assert.Empty(t, f.out.String())
		assert.Contains(t, log.String(), "connection reset")
	})
}

// Package testing cannot find the line of the test then, so Run writes it.
func TestRunReportsErrorsAlsoWhenTheBodyEndsTheTest(t *testing.T) {
	f, _ := run(t, func(tb testing.TB, ctx context.Context, s *traigo.Scope) {
		s.Spawn(func(ctx context.Context) error {
			<-ctx.Done()
			return errors.New("disk\nfull")
		}, traigo.Name("download"))
		synctest.Wait()
		s.Spawn(fail, traigo.Name("upload"))
		<-ctx.Done()
		tb.FailNow()
	})
	assert.False(t, f.ended)
	assert.True(t, f.failed)
	assert.Empty(t, f.errors)
	assert.Regexp(t, `^run_test\.go:\d+: task "TestIt/upload" failed: connection reset
run_test\.go:\d+: task "TestIt/download" failed: disk
    full
$`, f.out.String())

	f, _ = run(t, func(tb testing.TB, ctx context.Context, s *traigo.Scope) {
		s.Spawn(func(context.Context) error { tb.FailNow(); return nil }, traigo.Name("checker"))
		<-ctx.Done()
		tb.FailNow()
	})
	assert.Regexp(t, `^run_test\.go:\d+: t\.FailNow was called by task "TestIt/checker"
$`, f.out.String())
}

const childVariable = "TRAIGOTEST_CHILD"

// failing are tests that fail, with parts of the output that each must produce.
var failing = map[string]struct {
	test func(t *testing.T)
	want []string
}{
	"leak": {func(t *testing.T) {
		traigotest.Run(t, func(ctx context.Context, s *traigo.Scope) {
			_, err := s.Start(ctx, func(ctx context.Context, ready func()) error {
				ready()
				return untilCanceled(ctx)
			}, traigo.Name("reader"))
			assert.NoError(t, err)
		}, traigotest.Patience(time.Millisecond))
	}, []string{"still running 1ms after the body returned", "└─ • reader (running, ", `/reader":`, "goroutine ", "traigotest_test.init."}},

	"panic": {func(t *testing.T) {
		traigotest.Run(t, func(_ context.Context, s *traigo.Scope) {
			s.Spawn(func(context.Context) error {
				panicOnPurpose("out of cheese")
				return nil
			}, traigo.Name("upload"))
		})
	}, []string{`/upload" panicked: out of cheese`, "panicOnPurpose("}},

	"require in a task": {func(t *testing.T) {
		traigotest.Run(t, func(ctx context.Context, s *traigo.Scope) {
			s.Spawn(untilCanceled)
			s.Spawn(func(context.Context) error {
				require.Equal(t, 1, 2, "it is one")
				return nil
			}, traigo.Name("checker"))
			<-ctx.Done()
		})
		t.Log("not to be seen")
	}, []string{"Messages:   \tit is one", `: t.FailNow was called by task "`, `/checker"`}},

	"require in the body": {func(t *testing.T) {
		traigotest.Run(t, func(ctx context.Context, s *traigo.Scope) {
			require.NoError(t, s.Spawn(fail, traigo.Name("upload")).Wait(ctx), "it is sent")
		})
		t.Log("not to be seen")
	}, []string{"Messages:   \tit is sent", `/upload" failed: connection reset`}},
}

// The other tests use a fake in place of package testing. This one runs real tests that
// fail, in a process of its own.
func TestRunFailsARealTest(t *testing.T) {
	if os.Getenv(childVariable) != "" {
		for name, row := range failing {
			t.Run(name, func(t *testing.T) {
				t.Run("outside", row.test)
				t.Run("inside", func(t *testing.T) { synctest.Test(t, row.test) })
			})
		}
		return
	}
	self, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.CommandContext(t.Context(), self, "-test.run=^"+t.Name()+"$")
	cmd.Env = append(os.Environ(), childVariable+"=1")
	out, err := cmd.CombinedOutput()
	require.Error(t, err)
	text := string(out)
	assert.NotContains(t, text, "not to be seen")
	assert.NotContains(t, text, "panic:", "the process has lived on")
	assert.NotContains(t, text, "ERROR", "nothing was logged besides")
	for name, row := range failing {
		for _, where := range []string{"outside", "inside"} {
			_, part, found := strings.Cut(text, "--- FAIL: "+t.Name()+"/"+strings.ReplaceAll(name, " ", "_")+"/"+where+" ")
			require.True(t, found, "%s", text)
			part, _, _ = strings.Cut(part, "--- FAIL")
			for _, want := range row.want {
				assert.Contains(t, part, want, "%s, %s", name, where)
			}
			for line := range strings.Lines(part) {
				assert.NotRegexp(t, `^ +(run|report|stacks|sequence)\.go:`, line, "a failure points at the test")
			}
		}
	}
}
