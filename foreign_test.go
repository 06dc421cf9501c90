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

// seeing is an Observer made of a function.
type seeing func(e traigo.Event)

func (see seeing) Observe(e traigo.Event) { see(e) }

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
			context.AfterFunc(s.Context(), func() { time.Sleep(0) }) // has a goroutine of its own
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

// An observer may call back into the scope whose step it sees.
func TestObserverMayCallBackIntoTheScope(t *testing.T) {
	for kind := traigo.ScopeOpened; kind <= traigo.TaskEnded; kind++ {
		if kind == traigo.TaskReady {
			continue // of Start only
		}
		t.Run(kind.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				calls := 0
				var lateTasks []*traigo.Task
				back := seeing(func(e traigo.Event) {
					if e.Kind != kind || calls > 0 {
						return
					}
					calls++
					s := e.Scope
					assert.NotEmpty(t, s.Snapshot().String())
					s.SetTimeout(time.Hour)
					fork := s.Fork()
					fork.Finalize()
					lateTasks = append(lateTasks, s.Spawn(untilCanceled), s.Spawn(succeed), fork.Spawn(succeed))
					s.Finalize()
					s.Cancel(nil)
				})
				s := traigo.New(t.Context(), traigo.Observe(back))
				s.Spawn(succeed)
				synctest.Wait()
				require.NoError(t, s.Wait())
				require.NoError(t, s.CheckInvariants())
				assert.Equal(t, 1, calls)
				for _, task := range lateTasks {
					assert.True(t, closed(task.Done()))
				}
			})
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

// What cannot be looked into is not a mere consequence: it is kept, and the
// scope ends as ever.
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
				var book logbook
				err := traigo.Run(t.Context(), func(_ context.Context, own *traigo.Scope) error {
					s = own
					return row.body(s)
				}, book.logger())
				require.Equal(t, traigo.Closed, s.State())
				require.NoError(t, s.CheckInvariants())
				if row.want == nil {
					assert.NoError(t, err)
					return
				}
				// assert.Equal would print them, were they to differ.
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
		late := as[*traigo.TimeoutError](t, itself[*traigo.TaskError](t, outcome(t, err).Err).Err)
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

// A context of a foreign make may end with an error that == panics for.
func TestContextThatEndsWithAnUncomparableErrorDoesNoHarm(t *testing.T) {
	for name, body := range map[string]func(ctx context.Context, s *traigo.Scope) error{
		"nil":         nobody,
		"ctx.Err()":   func(ctx context.Context, _ *traigo.Scope) error { return ctx.Err() },
		"the context": func(ctx context.Context, _ *traigo.Scope) error { return context.Cause(ctx) },
		"another":     func(context.Context, *traigo.Scope) error { return uncomparable{"another"} },
		"task": func(_ context.Context, s *traigo.Scope) error {
			return s.Spawn(succeed).Err()
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				outer := &odd{Context: t.Context(), done: make(chan struct{})}
				outer.end(uncomparable{"outer"})
				e := outcome(t, traigo.Run(outer, body))
				assert.Equal(t, traigo.ParentCanceled, itself[*traigo.Cancellation](t, e.Err).Kind)
				assert.Equal(t, uncomparable{"outer"}, as[uncomparable](t, e))
				assert.NotErrorIs(t, e, uncomparable{"outer"}, "nobody can tell")
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
		"panic": func() { panic("no labels for you") },
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

func TestGoexitOfOnDoneHangsNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ran := 0
		require.NoError(t, traigo.Run(t.Context(), func(_ context.Context, s *traigo.Scope) error {
			for range 3 {
				s.Spawn(func(context.Context) error { return errBoom }, traigo.OnDone(func(error) {
					ran++
					runtime.Goexit()
				}))
				synctest.Wait()
			}
			return nil
		}))
		assert.Equal(t, 3, ran)
	})
}

// Nobody gets the outcome of a Run whose body calls Goexit: what is in it
// besides is logged.
func TestGoexitOfTheBodyLosesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var book logbook
		done := make(chan struct{})
		go func() {
			defer close(done)
			_ = traigo.Run(t.Context(), func(_ context.Context, s *traigo.Scope) error {
				s.Spawn(func(ctx context.Context) error { <-ctx.Done(); return errLate })
				runtime.Goexit()
				return nil
			}, book.logger())
		}()
		<-done
		assert.Equal(t, 1, book.count(8, "late"))
	})
}

// The scopes to finalize are those that are there when Stopping is closed.
func TestShutdownDoesNotEndAForkThatOpensMeanwhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := traigo.New(t.Context(), traigo.Observe(seeing(func(e traigo.Event) {
			if e.Kind == traigo.ScopeFinalized && e.Scope.Name() == "main" {
				time.Sleep(time.Second)
			}
		})), traigo.Name("main"))
		s.Spawn(func(ctx context.Context) error {
			<-traigo.Stopping(ctx)
			fork := s.Fork()
			time.Sleep(2 * time.Second)
			assert.NoError(t, fork.Spawn(succeed).Wait(ctx))
			return fork.Wait()
		})
		synctest.Wait()
		require.NoError(t, s.Shutdown(context.Background()))
	})
}
