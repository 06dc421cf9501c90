package traigo_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
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

// Code of users that misbehaves, in observers, loggers, contexts and errors. It harms
// only what it is called for.

// goexitOn is an observer that calls runtime.Goexit on that event of the scope
// of that name, each time.
func goexitOn(kind traigo.EventKind, name string) traigo.ScopeOption {
	return traigo.Observe(seeing(func(e traigo.Event) {
		if e.Kind == kind && e.Scope.Name() == name {
			runtime.Goexit()
		}
	}))
}

// requireCloses closes s from a goroutine of its own, which may be taken away.
func requireCloses(t *testing.T, s *traigo.Scope) {
	t.Helper()
	go func() { _ = s.Close() }()
	time.Sleep(time.Minute)
	require.Equal(t, traigo.Closed, s.State())
	assert.True(t, closed(s.Done()))
	require.NoError(t, s.CheckInvariants())
}

func TestGoexitAtTheOpeningOfAScopeHangsNobodyAbove(t *testing.T) {
	for name, open := range map[string]func(s *traigo.Scope){
		"Fork": func(s *traigo.Scope) { s.Fork(traigo.Name("below")) },
		"New":  func(s *traigo.Scope) { traigo.New(s.Context(), traigo.Name("below")) },
		"Run":  func(s *traigo.Scope) { _ = traigo.Run(s.Context(), nobody, traigo.Name("below")) },
		"Run in a task": func(s *traigo.Scope) {
			s.Spawn(func(ctx context.Context) error { return traigo.Run(ctx, nobody, traigo.Name("below")) }, traigo.Bubble(false))
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := traigo.New(t.Context(), goexitOn(traigo.ScopeOpened, "below"), discard())
				go open(s)
				synctest.Wait()
				assert.Equal(t, traigo.Open, s.State())
				requireCloses(t, s)
			})
		})
	}
}

// The observer of one scope takes away who brings the news of an end, but not
// the news.
func TestGoexitAtTheEndOfAScopeBelowReachesTheOthers(t *testing.T) {
	fork := func(s *traigo.Scope) { s.Fork(traigo.Name("below")).Spawn(untilCanceled) }
	for name, row := range map[string]struct {
		on   traigo.EventKind
		open func(s *traigo.Scope)
		end  func(s *traigo.Scope)
	}{
		"forks": {traigo.ScopeCanceled, fork, func(s *traigo.Scope) { s.Cancel(nil) }},
		"scopes under a shield": {traigo.ScopeCanceled, func(s *traigo.Scope) {
			traigo.New(context.WithoutCancel(s.Context()), traigo.Name("below"))
		}, func(s *traigo.Scope) { s.Cancel(nil) }},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := traigo.New(t.Context(), goexitOn(row.on, "below"), discard())
				for range 3 {
					row.open(s)
				}
				synctest.Wait()
				go row.end(s)
				time.Sleep(time.Minute)
				require.Equal(t, traigo.Closed, s.State())
				require.NoError(t, s.CheckInvariants())
			})
		})
	}
}

// The function runs, its own error counts, and its callback hears of it.
func TestGoexitOfAnObserverLeavesTheTaskWhatItIs(t *testing.T) {
	for _, kind := range []traigo.EventKind{traigo.TaskStarted, traigo.TaskEnded} {
		t.Run(kind.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ran := 0
				var heard []error
				err := traigo.Run(t.Context(), func(_ context.Context, s *traigo.Scope) error {
					s.Spawn(func(context.Context) error { ran++; return errBoom }, traigo.Name("work"), traigo.Bubble(true),
						traigo.OnDone(func(err error) { heard = append(heard, err) }))
					return nil
				}, goexitOn(kind, "main"), traigo.Name("main"))
				assert.Equal(t, []error{&traigo.TaskError{Task: "work", Err: errBoom}}, outcome(t, err).Unwrap())
				assert.Equal(t, 1, ran)
				assert.Equal(t, []error{errBoom}, heard)
			})
		})
	}
}

// lethal is a slog.Handler that calls runtime.Goexit on its nth record.
type lethal struct{ left atomic.Int64 }

func (*lethal) Enabled(context.Context, slog.Level) bool { return true }

func (l *lethal) WithAttrs([]slog.Attr) slog.Handler { return l }

func (l *lethal) WithGroup(string) slog.Handler { return l }

func (l *lethal) Handle(context.Context, slog.Record) error {
	if l.left.Add(-1) == 0 {
		runtime.Goexit()
	}
	return nil
}

// Each record in turn takes away the goroutine on which it is written; the
// first is written by New, and then there is no scope to go on with.
func TestGoexitOfALoggerHangsNobody(t *testing.T) {
	n := 2
	for more := true; more && !t.Failed(); n++ {
		t.Run(fmt.Sprint("record ", n), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				handler := new(lethal)
				handler.left.Store(int64(n))
				root := traigo.New(t.Context(), discard())
				s := traigo.New(root.Context(), traigo.Logger(slog.New(handler)))
				var alone *traigo.Task
				for _, step := range []func(){
					func() { s.Spawn(succeed) },
					func() { s.Spawn(fail, traigo.Bubble(false)) },
					func() { alone = s.Spawn(untilCanceled) },
					func() {
						if alone != nil {
							alone.Cancel(nil)
						}
					},
					func() { s.Spawn(untilCanceled, traigo.Timeout(time.Second), traigo.Bubble(false)) },
					func() { s.Fork().Spawn(fail) },
					func() { s.Spawn(cleaning(time.Second, errLate)) },
					func() { s.SetTimeout(2 * time.Second) },
				} {
					go step()
					synctest.Wait()
				}
				time.Sleep(time.Minute)
				more = handler.left.Load() <= 0
				requireCloses(t, root)
				assert.Equal(t, traigo.Closed, s.State())
			})
		})
	}
	assert.Greater(t, n, 20, "there was something to log")
}

// What hangs on a context are functions of others.
func TestGoexitOfAnAfterFuncReachesTheOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := traigo.New(t.Context())
		derived := func() context.Context {
			ctx, cancel := context.WithCancel(s.Context())
			t.Cleanup(cancel)
			return ctx
		}
		before := derived()
		type afterFuncer interface {
			AfterFunc(f func()) (stop func() bool)
		}
		s.Context().(afterFuncer).AfterFunc(runtime.Goexit)
		after := derived()
		task := s.Spawn(untilCanceled)
		go s.Cancel(nil)
		synctest.Wait()
		require.Error(t, before.Err())
		require.Error(t, after.Err())
		require.True(t, closed(task.Done()))
		requireCloses(t, s)
	})
}

// A vicious error panics in every method that code may look for in an error.
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

// hostile is a context whose Value panics, say, when package pprof asks for labels.
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

// An accepted task runs exactly once, also if the context has no labels to give.
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

// dying is an observer that calls runtime.Goexit (t.FailNow, say) on one kind
// of event, once.
type dying struct {
	on   traigo.EventKind
	dead bool
}

func (d *dying) Observe(e traigo.Event) {
	if e.Kind == d.on && !d.dead {
		d.dead = true
		runtime.Goexit()
	}
}

// It takes the goroutine it was called on with it, but not the scope.
func TestGoexitOfAnObserverHangsNobody(t *testing.T) {
	for kind := traigo.ScopeFinalized; kind <= traigo.TaskEnded; kind++ {
		t.Run(kind.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := traigo.New(t.Context(), traigo.Observe(&dying{on: kind}), discard())
				var ran bool
				go func() {
					_, _ = s.Start(t.Context(), func(_ context.Context, ready func()) error { ready(); return nil })
				}()
				synctest.Wait()
				go func() {
					s.Spawn(func(context.Context) error { ran = true; return nil })
				}()
				synctest.Wait()
				go s.Finalize()
				synctest.Wait()
				require.Equal(t, traigo.Closed, s.State())
				assert.True(t, closed(s.Done()))
				if s.Err() == nil {
					assert.True(t, ran)
				} else { // the function that called ready went with the observer
					assert.Equal(t, traigo.TaskReady, kind)
					assert.ErrorIs(t, s.Err(), traigo.ErrGoexit)
				}
				require.NoError(t, s.CheckInvariants())
			})
		})
	}
}

func goexitOnce(kind traigo.EventKind) traigo.ScopeOption { return traigo.Observe(&dying{on: kind}) }

// The goroutine of a task that has just been retired applies the effects: if an
// observer takes it away there, the task must not be counted out a second time.
func TestGoexitAsATaskIsRetiredWaitsForTheOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := traigo.New(t.Context(), goexitOnce(traigo.ScopeCanceled), discard())
		s.Spawn(lasting(time.Second))
		running := s.Spawn(cleaning(time.Minute, nil), traigo.Awaited(false))
		s.Finalize()
		begin := time.Now()
		require.NoError(t, s.Wait())
		assert.Equal(t, 61*time.Second, time.Since(begin))
		assert.True(t, closed(running.Done()))
		<-running.Done()
		synctest.Wait()
		require.NoError(t, s.CheckInvariants())
	})
}

func TestGoexitAsTheScopeClosesLeavesTheCountRight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := traigo.New(t.Context(), goexitOnce(traigo.ScopeClosed), discard())
		s.Spawn(lasting(time.Second))
		require.NoError(t, s.Wait())
		synctest.Wait()
		require.NoError(t, s.CheckInvariants())
	})
}

// There is more than one to give up, and the reaper goes on.
func TestGoexitAsATaskIsGivenUpGivesUpTheNext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release, free := newRelease()
		defer free()
		s := traigo.New(t.Context(), traigo.CancelTimeout(time.Second), goexitOnce(traigo.TaskStuck), discard())
		s.Spawn(deaf(release))
		s.Spawn(deaf(release))
		synctest.Wait()
		s.Cancel(nil)
		time.Sleep(time.Hour)
		require.Equal(t, traigo.Closed, s.State())
	})
}

// What hangs on the context of a task that has just ended is called by a
// goroutine that might have taken the next: it has left that to another.
func TestGoexitOfAHookStrandsNoTask(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := traigo.New(t.Context())
		var runs atomic.Int32
		var tooLate func()
		s.Spawn(func(ctx context.Context) error {
			opened := make(chan struct{})
			go func() {
				_ = traigo.Run(ctx, func(ctx context.Context, _ *traigo.Scope) error {
					close(opened)
					return untilCanceled(ctx)
				}, goexitOnce(traigo.ScopeCanceled))
			}()
			<-opened
			_, tooLate = traigo.SpawnLater(s, func(context.Context) error { runs.Add(1); return nil })
			return nil
		})
		synctest.Wait()
		assert.EqualValues(t, 1, runs.Load())
		tooLate()
		require.NoError(t, s.Wait())
		assert.EqualValues(t, 1, runs.Load())
	})
}

// The goroutine that starts a task may find effects that nobody is applying: it
// has better things to do.
func TestGoexitAsATaskIsGivenUpStrandsNoTask(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release, free := newRelease()
		defer free()
		var launch func()
		told := make(chan struct{})
		s := traigo.New(t.Context(), discard(), traigo.Observe(seeing(func(e traigo.Event) {
			switch e.Kind {
			case traigo.TaskStuck:
				launch()
				select {
				case <-told:
				case <-time.After(time.Second):
				}
			case traigo.ScopeCanceled:
				close(told)
				runtime.Goexit()
			default:
			}
		})))
		s.Spawn(deaf(release), traigo.Timeout(time.Second), traigo.CancelTimeout(time.Second))
		time.Sleep(1500 * time.Millisecond)
		var runs atomic.Int32
		_, launch = traigo.SpawnLater(s, func(context.Context) error { runs.Add(1); return nil })
		<-s.Done()
		assert.EqualValues(t, 1, runs.Load())
	})
}

type lethalOn struct {
	*lethal
	text string
}

func (l lethalOn) Handle(_ context.Context, r slog.Record) error {
	if strings.Contains(r.Message, l.text) {
		runtime.Goexit()
	}
	return nil
}

// The outcome is made before anything is logged of it.
func TestGoexitOfALoggerDoesNotLoseTheOutcome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := traigo.New(t.Context(), traigo.Logger(slog.New(lethalOn{new(lethal), "nobody has asked"})))
		s.Fork().Spawn(fail)
		synctest.Wait()
		go s.Cancel(errLate)
		synctest.Wait()
		require.ErrorIs(t, s.Wait(), errLate)
	})
}

// Its caller does not live to run the body.
func TestGoexitAsARunOpensLeavesNothingInTheTree(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := traigo.New(t.Context(), discard())
		s.Spawn(func(ctx context.Context) error {
			return traigo.Run(ctx, nobody, goexitOnce(traigo.ScopeOpened))
		}, traigo.Bubble(false))
		synctest.Wait()
		assert.Empty(t, s.Snapshot().Scopes)
		require.NoError(t, s.Close())
		assert.Empty(t, s.Snapshot().Scopes)
	})
}

func TestGoexitBelowWhileTasksEndHangsNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := traigo.New(t.Context(), goexitOn(traigo.ScopeCanceled, "below"), discard())
		for range 3 {
			s.Spawn(func(ctx context.Context) error {
				traigo.New(ctx, traigo.Name("below"))
				return untilCanceled(ctx)
			})
		}
		synctest.Wait()
		go s.Cancel(nil)
		time.Sleep(time.Minute)
		require.Equal(t, traigo.Closed, s.State())
		require.NoError(t, s.CheckInvariants())
	})
}
