package traigo_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo"
)

// Foreign code that misbehaves: it may spoil what it is called for, and nothing
// else.

// goexitHandler is a slog.Handler that calls runtime.Goexit.
type goexitHandler struct{ slog.Handler }

func (goexitHandler) Enabled(context.Context, slog.Level) bool  { return true }
func (goexitHandler) Handle(context.Context, slog.Record) error { runtime.Goexit(); return nil }

// A callback in the middle of a step must not take the goroutine of that step away: the
// program ends with a message that says which callback did. The program is this test in a
// process of its own.
func TestGoexitOfACallbackEndsTheProgram(t *testing.T) {
	const variable = "TRAIGO_GOEXIT_OF"
	programs := map[string]func(s *traigo.Scope){
		"an observer": func(*traigo.Scope) {
			_ = traigo.New(context.Background(), traigo.Observe(seeing(func(traigo.Event) { runtime.Goexit() })))
		},
		"a logger": func(*traigo.Scope) {
			_ = traigo.New(context.Background(), traigo.Logger(slog.New(goexitHandler{})))
		},
		"a function given to AfterFunc": func(s *traigo.Scope) {
			after := s.Context().(interface{ AfterFunc(f func()) func() bool })
			after.AfterFunc(runtime.Goexit)
			s.Cancel(nil)
		},
	}
	if program := programs[os.Getenv(variable)]; program != nil {
		program(traigo.New(context.Background()))
		return
	}
	self, err := os.Executable()
	require.NoError(t, err)
	for what := range programs {
		t.Run(what, func(t *testing.T) {
			cmd := exec.CommandContext(t.Context(), self, "-test.run=^TestGoexitOfACallbackEndsTheProgram$")
			cmd.Env = append(os.Environ(), variable+"="+what)
			out, err := cmd.CombinedOutput()
			exit, ok := errors.AsType[*exec.ExitError](err)
			require.True(t, ok, "it must not end well: %v", err)
			assert.Equal(t, 2, exit.ExitCode())
			assert.Contains(t, string(out), "panic: traigo: "+what+" has called runtime.Goexit")
		})
	}
}

// vicious errors panic in every method that somebody may call on them.
type vicious struct{}

func (vicious) Error() string { panic("Error panics") }

func (vicious) Unwrap() error { panic("Unwrap panics") }

func (vicious) Is(error) bool { panic("Is panics") }

func (vicious) As(any) bool { panic("As panics") }

func (vicious) Timeout() bool { panic("Timeout panics") }

func (vicious) Temporary() bool { panic("Temporary panics") }

// An error whose methods panic counts as more than a consequence: it is kept, and the scope
// ends as with any error.
func TestErrorWhoseMethodsPanicIsAnErrorLikeAnyOther(t *testing.T) {
	asTask := func(err error) error { return &traigo.TaskError{Task: "work", Err: err} }
	for name, row := range map[string]struct {
		body func(s *traigo.Scope) error
		want []error
	}{
		"task": {func(s *traigo.Scope) error {
			s.Spawn(failing(0, vicious{}), traigo.Name("work"))
			return nil
		}, []error{asTask(vicious{})}},
		"task, after the end": {func(s *traigo.Scope) error {
			s.Spawn(cleaning(time.Second, vicious{}), traigo.Name("work"))
			synctest.Wait()
			s.Cancel(errBoom)
			return nil
		}, []error{errBoom, asTask(vicious{})}},
		"task, joined": {func(s *traigo.Scope) error {
			s.Spawn(cleaning(time.Second, errors.Join(context.Canceled, vicious{})), traigo.Name("work"))
			synctest.Wait()
			s.Cancel(errBoom)
			return nil
		}, []error{errBoom, asTask(errors.Join(context.Canceled, vicious{}))}},
		"body": {func(*traigo.Scope) error { return vicious{} }, []error{vicious{}}},
		"body, after a quiet end": {func(s *traigo.Scope) error {
			s.Spawn(cleaning(time.Second, nil))
			s.Cancel(nil)
			return vicious{}
		}, []error{vicious{}}},
		"cause": {func(s *traigo.Scope) error {
			s.Spawn(untilCanceled)
			s.Spawn(func(ctx context.Context) error { <-ctx.Done(); return context.Cause(ctx) })
			synctest.Wait()
			s.Cancel(vicious{})
			return nil
		}, []error{vicious{}}},
		"future that nobody awaits": {func(s *traigo.Scope) error {
			traigo.Async(s, func(context.Context) (int, error) { return 0, vicious{} }, traigo.Name("work"))
			synctest.Wait()
			return nil
		}, []error{asTask(vicious{})}},
		"one that nobody wants": {func(s *traigo.Scope) error {
			s.Spawn(failing(0, vicious{}), traigo.Bubble(false))
			return nil
		}, nil},
		"only logged": {func(s *traigo.Scope) error {
			s.Spawn(cleaning(time.Second, vicious{}))
			synctest.Wait()
			s.Cancel(nil)
			return nil
		}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var s *traigo.Scope
				book := newRecords()
				err := traigo.Run(t.Context(), func(_ context.Context, own *traigo.Scope) error {
					s = own
					return row.body(s)
				}, traigo.Logger(book.logger()))
				require.Equal(t, traigo.Closed, s.State())
				require.NoError(t, s.CheckInvariants())
				if row.want == nil {
					assert.NoError(t, err)
					return
				}
				// assert.Equal would call their methods to print a difference.
				assert.True(t, assert.ObjectsAreEqual(row.want, outcome(t, err).Unwrap()))
			})
		})
	}
}

func TestErrorWhoseMethodsPanicDoesNotHideATimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		err := traigo.Run(t.Context(), func(_ context.Context, s *traigo.Scope) error {
			s.Spawn(func(ctx context.Context) error { <-ctx.Done(); return vicious{} }, traigo.Timeout(time.Second))
			return nil
		}, discard())
		late := as[*traigo.TimeoutError](t, outcome(t, err).Err)
		assert.Equal(t, time.Second, late.After)
	})
}

func TestPanicWithAnErrorWhoseMethodsPanicIsRaised(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		value := raised(func() {
			_ = traigo.Run(t.Context(), func(_ context.Context, s *traigo.Scope) error {
				s.Spawn(func(ctx context.Context) error { <-ctx.Done(); panic(vicious{}) })
				synctest.Wait()
				s.Cancel(nil)
				return nil
			}, discard())
		})
		panicked, ok := value.(*traigo.PanicError)
		require.True(t, ok, "%T", value)
		assert.Equal(t, vicious{}, panicked.Recovered.Value)
	})
}

// A context of a type that this package does not know may end with an error that ==
// panics for.
func TestContextThatEndsWithAnUncomparableErrorDoesNoHarm(t *testing.T) {
	for name, body := range map[string]func(ctx context.Context, s *traigo.Scope) error{
		"nil":         emptyBody,
		"ctx.Err()":   func(ctx context.Context, _ *traigo.Scope) error { return ctx.Err() },
		"the context": func(ctx context.Context, _ *traigo.Scope) error { return context.Cause(ctx) },
		"another":     func(context.Context, *traigo.Scope) error { return uncomparable{"another"} },
		"task": func(_ context.Context, s *traigo.Scope) error {
			return s.Spawn(succeed).Err()
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				outer := &customContext{Context: t.Context(), done: make(chan struct{})}
				outer.end(uncomparable{"outer"})
				e := outcome(t, traigo.Run(outer, body))
				assert.Equal(t, traigo.ParentCanceled, as[*traigo.Cancellation](t, e.Err).Kind)
				assert.Equal(t, uncomparable{"outer"}, as[uncomparable](t, e))
				assert.NotErrorIs(t, e, uncomparable{"outer"}, "== panics, so that it cannot be found")
			})
		})
	}
}

func TestBodyMayReturnTheUncomparableErrorOfATask(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		err := traigo.Run(t.Context(), func(ctx context.Context, s *traigo.Scope) error {
			task := s.Spawn(failing(0, uncomparable{"work"}), traigo.Name("work"))
			return task.Wait(context.WithoutCancel(ctx))
		})
		assert.Equal(t, &traigo.TaskError{Task: "work", Err: uncomparable{"work"}}, outcome(t, err).Err)
	})
}

// hostile is a context whose Value misbehaves when package pprof looks for labels.
type hostile struct {
	context.Context //nolint:containedctx // it is one
	misbehave       func()
}

func (h hostile) Value(key any) any {
	if strings.HasPrefix(fmt.Sprintf("%T", key), "pprof.") {
		h.misbehave()
	}
	return h.Context.Value(key)
}

// An accepted task runs exactly once, whatever it takes to find its labels.
func TestContextThatCannotBeAskedForLabelsKeepsNoTaskFromRunning(t *testing.T) {
	for name, misbehave := range map[string]func(){
		"panic":  func() { panic("no labels for you") },
		"Goexit": runtime.Goexit,
	} {
		for where, open := range map[string]func(ctx context.Context, book *records) (*traigo.Scope, []traigo.TaskOption){
			"scope": func(ctx context.Context, book *records) (*traigo.Scope, []traigo.TaskOption) {
				return traigo.New(ctx, traigo.Logger(book.logger())), nil
			},
			"Values": func(ctx context.Context, book *records) (*traigo.Scope, []traigo.TaskOption) {
				return traigo.New(context.Background(), traigo.Logger(book.logger())), []traigo.TaskOption{traigo.Values(ctx)}
			},
			"Dedicated": func(ctx context.Context, book *records) (*traigo.Scope, []traigo.TaskOption) {
				return traigo.New(ctx, traigo.Logger(book.logger())), []traigo.TaskOption{traigo.Dedicated()}
			},
		} {
			t.Run(name+"/"+where, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					book := newRecords()
					s, opts := open(hostile{context.Background(), misbehave}, book)
					var runs atomic.Int32
					for range 10 {
						s.Spawn(func(context.Context) error { runs.Add(1); return nil }, opts...)
					}
					require.NoError(t, s.Wait())
					assert.EqualValues(t, 10, runs.Load())
					if name == "panic" {
						said := book.from(slog.LevelError)
						require.Len(t, said, 10)
						assert.True(t, mentions(said[0].Text, "panicked", "labels", "no labels for you"), said[0].Text)
					}
				})
			})
		}
	}
}

// Nor does it let a join return before its items have ended.
func TestContextThatCannotBeAskedForLabelsKeepsNoItemFromRunning(t *testing.T) {
	for name, misbehave := range map[string]func(){
		"panic":  func() { panic("no labels for you") },
		"Goexit": runtime.Goexit,
	} {
		t.Run(name, func(t *testing.T) {
			onItemJoins(t, func(t *testing.T, join overItems) {
				var runs atomic.Int32
				require.NoError(t, join(hostile{context.Background(), misbehave}, upTo(100), func(context.Context, int) error {
					runtime.Gosched()
					runs.Add(1)
					return nil
				}, traigo.Limit(4), discard()))
				assert.EqualValues(t, 100, runs.Load())
			})
		})
	}
}

// panickingHandler is a slog.Handler that panics.
type panickingHandler struct{ slog.Handler }

func (panickingHandler) Enabled(context.Context, slog.Level) bool { return true }

func (panickingHandler) Handle(context.Context, slog.Record) error { panic("of the handler") }

func (h panickingHandler) WithAttrs([]slog.Attr) slog.Handler { return h }

func (h panickingHandler) WithGroup(string) slog.Handler { return h }

func TestPanicOfALoggerIsLoggedElsewhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		book := defaultLog(t)
		s := traigo.New(t.Context(), traigo.Logger(slog.New(panickingHandler{})))
		s.Spawn(succeed)
		require.NoError(t, s.Wait())
		assert.NotEmpty(t, book.at(slog.LevelError, "of the handler"))
	})
}

// Whether the context is done already or not.
func TestPanicOfAnAfterFuncIsLogged(t *testing.T) {
	for name, open := range map[string]func(s *traigo.Scope){
		"before the end": func(*traigo.Scope) {},
		"after the end":  func(s *traigo.Scope) { _ = s.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				book := newRecords()
				s := traigo.New(t.Context(), traigo.Logger(book.logger()))
				open(s)
				s.Context().(interface{ AfterFunc(f func()) func() bool }).AfterFunc(func() { panic("oops") })
				require.NoError(t, s.Close())
				synctest.Wait()
				assert.Len(t, book.at(slog.LevelError, "oops"), 1)
			})
		})
	}
}

// Every callback misbehaves at once, and the scope closes all the same.
func TestTasksEndThoughEveryCallbackMisbehaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := traigo.New(t.Context(), discard(), traigo.Observe(seeing(func(traigo.Event) { panic("of an observer") })))
		var heard error
		task := s.Spawn(func(context.Context) error { runtime.Goexit(); return nil }, traigo.OnDone(func(err error) {
			heard = err
			panic("of OnDone")
		}))
		s.Spawn(panicking("of a task"), traigo.OnDone(func(error) { runtime.Goexit() }))
		synctest.Wait()
		s.Cancel(nil)
		synctest.Wait()
		assert.True(t, closed(s.Done()))
		require.ErrorIs(t, task.Err(), traigo.ErrGoexit)
		require.ErrorIs(t, heard, traigo.ErrGoexit)
	})
}

// A typed nil, whose Error panics, is an error: it can be logged and be the cause.
func TestTypedNilIsAnErrorLikeAnyOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		book := newRecords()
		s := traigo.New(t.Context(), traigo.Logger(book.logger()))
		s.Spawn(cleaning(0, (*typedNilError)(nil)))
		synctest.Wait()
		require.NoError(t, s.Close())
		assert.Len(t, book.from(slog.LevelWarn), 1)

		s = traigo.New(t.Context())
		s.Spawn(failing(0, (*typedNilError)(nil)), traigo.Name("work"))
		err := s.Wait()
		assert.NotPanics(t, func() { assert.Contains(t, err.Error(), "work") })

		s = traigo.New(t.Context(), traigo.Name("s"))
		s.Cancel((*typedNilError)(nil))
		assert.NotPanics(t, func() { assert.Contains(t, context.Cause(s.Context()).Error(), "s") })
	})
}
