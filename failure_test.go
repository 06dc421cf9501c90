package traigo_test

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

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo"
)

func TestFailureOfASpawnedTaskIsTheScopes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		s := traigo.New(t.Context(), traigo.Name("server"))
		sibling := s.Spawn(untilCanceled)
		task := s.Spawn(failing(time.Second, errBoom), traigo.Name("read"))
		assert.Equal(t, errBoom, task.Wait(t.Context()), "Wait returns it too")

		<-s.Done()
		assert.Equal(t, time.Second, time.Since(start), "the failure cancels the scope, although it is open")
		require.ErrorIs(t, sibling.Err(), context.Canceled)
		e := outcome(t, s.Err())
		assert.Equal(t, "server", e.Scope)
		assert.Equal(t, &traigo.TaskError{Task: "read", Err: errBoom}, e.Err)
		assert.Empty(t, e.Others)
		assert.Equal(t, s.Err(), s.Wait())
		assert.Equal(t, s.Err(), s.Close())
	})
}

func TestWaitingDoesNotTakeAFailureFromTheScope(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		err := traigo.Run(t.Context(), func(ctx context.Context, s *traigo.Scope) error {
			assert.Equal(t, errBoom, s.Spawn(fail).Wait(context.WithoutCancel(ctx)))
			return nil
		})
		require.ErrorIs(t, err, errBoom)
	})
}

func TestFailureOfATaskThatDoesNotBubbleIsIgnored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var (
			st   story
			task *traigo.Task
		)
		book := newRecords()
		require.NoError(t, traigo.Run(t.Context(), func(ctx context.Context, s *traigo.Scope) error {
			task = s.Spawn(fail, traigo.Bubble(false))
			assert.Equal(t, errBoom, task.Wait(ctx))
			synctest.Wait()
			assert.Equal(t, traigo.Open, s.State())
			assert.NoError(t, ctx.Err())
			return nil
		}, traigo.Observe(&st), traigo.Logger(book.logger())))
		assert.Equal(t, errBoom, task.Err())
		assert.Equal(t, []error{errBoom}, st.ended(task))
		assert.NotEmpty(t, book.at(slog.LevelDebug, "boom"))
		assert.Empty(t, book.from(slog.LevelDebug+1))
	})
}

func TestFailureOfATaskWithOnDoneIsTheCallbacks(t *testing.T) {
	rows := []struct {
		name    string
		opts    []traigo.TaskOption
		bubbles bool
	}{
		{"alone", nil, false},
		{"Bubble(false)", []traigo.TaskOption{traigo.Bubble(false)}, false},
		{"Bubble(true)", []traigo.TaskOption{traigo.Bubble(true)}, true},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var got []error
				callback := traigo.OnDone(func(err error) { got = append(got, err) })
				err := traigo.Run(t.Context(), func(ctx context.Context, s *traigo.Scope) error {
					// The order of the options does not matter.
					s.Spawn(fail, append([]traigo.TaskOption{callback}, row.opts...)...)
					synctest.Wait()
					assert.Equal(t, row.bubbles, ctx.Err() != nil)
					return nil
				})
				assert.Equal(t, []error{errBoom}, got)
				if row.bubbles {
					require.ErrorIs(t, err, errBoom)
				} else {
					require.NoError(t, err)
				}

				err = traigo.Run(t.Context(), func(_ context.Context, s *traigo.Scope) error {
					s.Spawn(fail, append(row.opts, callback)...)
					return nil
				})
				assert.Equal(t, row.bubbles, err != nil, "the options in the other order")
			})
		})
	}
}

func TestOnDoneHearsOfEveryEndOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var success, canceled []error
		s := traigo.New(t.Context())
		s.Spawn(succeed, traigo.OnDone(func(err error) { success = append(success, err) }))
		s.Spawn(untilCanceled, traigo.OnDone(func(err error) { canceled = append(canceled, err) }))
		synctest.Wait()
		require.NoError(t, s.Close())
		assert.Equal(t, []error{nil}, success)
		assert.Equal(t, []error{context.Canceled}, canceled)
	})
}

func TestQuietOutcomeStaysNil(t *testing.T) {
	for name, end := range map[string]func(s *traigo.Scope){
		"Cancel(nil)":  func(s *traigo.Scope) { s.Cancel(nil) },
		"master":       func(s *traigo.Scope) { s.Spawn(succeed, traigo.Master(true)) },
		"nothing left": func(s *traigo.Scope) { s.Finalize() },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var st story
				book := newRecords()
				s := traigo.New(t.Context(), traigo.Observe(&st), traigo.Logger(book.logger()))
				task := s.Spawn(cleaning(0, errBoom), traigo.Awaited(false))
				synctest.Wait()
				end(s)
				require.NoError(t, s.Wait())
				assert.Len(t, book.at(slog.LevelWarn, "boom"), 1, "logged")
				assert.Equal(t, []error{errBoom}, st.ended(task), "observed")
				assert.Equal(t, errBoom, task.Err())
			})
		})
	}
}

func TestBodysOwnErrorIsAlwaysRaised(t *testing.T) {
	quietly := map[string]func(s *traigo.Scope){
		"Cancel(nil)": func(s *traigo.Scope) { s.Cancel(nil) },
		"master":      func(s *traigo.Scope) { s.Spawn(succeed, traigo.Master(true)) },
	}
	rows := []struct {
		name    string
		returns func(ctx context.Context) error
		raised  bool
	}{
		{"real", fail, true},
		{"real, joined", func(ctx context.Context) error { return errors.Join(ctx.Err(), errBoom) }, true},
		{"ctx.Err()", context.Context.Err, false},
		{"context.Cause", context.Cause, false},
		{"wrapped", func(ctx context.Context) error { return fmt.Errorf("serve: %w", ctx.Err()) }, false},
		{"joined", func(ctx context.Context) error { return errors.Join(ctx.Err(), context.Cause(ctx)) }, false},
	}
	for how, end := range quietly {
		for _, row := range rows {
			t.Run(how+"/"+row.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					var returned error
					err := traigo.Run(t.Context(), func(ctx context.Context, s *traigo.Scope) error {
						end(s)
						<-ctx.Done()
						returned = row.returns(ctx)
						return returned
					})
					if row.raised {
						assert.Equal(t, []error{returned}, outcome(t, err).Unwrap(), "as it is")
					} else {
						require.NoError(t, err)
					}
				})
			})
		}
	}
}

func TestBodysOwnErrorIsRaisedBesideAFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := outcome(t, traigo.Run(t.Context(), func(ctx context.Context, s *traigo.Scope) error {
			s.Spawn(fail, traigo.Name("work"))
			<-ctx.Done()
			return errLate
		}))
		assert.Equal(t, []error{&traigo.TaskError{Task: "work", Err: errBoom}, errLate}, e.Unwrap())
	})
}

func TestOthersAreAtMost16ThenCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, n := range []int{1, 16, 17, 20} {
			s := traigo.New(t.Context())
			for range n {
				s.Spawn(cleaning(0, errLate), traigo.Name("late"))
			}
			consequence := s.Spawn(untilCanceled)
			synctest.Wait()
			s.Spawn(fail, traigo.Name("first"))
			e := outcome(t, s.Wait())
			assert.Equal(t, &traigo.TaskError{Task: "first", Err: errBoom}, e.Err)
			assert.Len(t, e.Others, min(n, 16))
			for _, err := range e.Others {
				assert.Equal(t, &traigo.TaskError{Task: "late", Err: errLate}, err)
			}
			assert.Len(t, e.Unwrap(), 1+min(n, 16))
			if n > 16 {
				require.ErrorContains(t, e, fmt.Sprintf("and %d more", n-16))
			} else {
				assert.NotContains(t, e.Error(), "more")
			}
			require.ErrorIs(t, consequence.Err(), context.Canceled)
			require.NotErrorIs(t, e, context.Canceled, "a bare consequence is not kept")
		}
	})
}

func TestLaterErrorsThatDoNotBubbleAreNotKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := traigo.New(t.Context(), discard())
		late := cleaning(0, errLate)
		s.Spawn(late, traigo.Bubble(false))
		s.Spawn(late, traigo.OnDone(func(error) {}))
		synctest.Wait()
		s.Cancel(errBoom)
		assert.Equal(t, []error{errBoom}, outcome(t, s.Wait()).Unwrap())
	})
}

// Errors that the outcome does not have are logged. Those beyond 16 are counted.

// If the body panics or calls runtime.Goexit, Run does not return the outcome.
func TestWhatThePanicOrGoexitOfTheBodyHidesIsLogged(t *testing.T) {
	const hidden = "hidden by a panic or a Goexit"
	for name, before := range map[string]func(ctx context.Context, s *traigo.Scope){
		"task failed": func(ctx context.Context, s *traigo.Scope) {
			s.Spawn(fail)
			<-ctx.Done()
		},
		"Cancel(err)": func(_ context.Context, s *traigo.Scope) { s.Cancel(errBoom) },
		"future that nobody awaited": func(_ context.Context, s *traigo.Scope) {
			traigo.Async(s, noAnswer)
			synctest.Wait()
		},
		"task that fails after": func(_ context.Context, s *traigo.Scope) {
			s.Spawn(cleaning(time.Second, errBoom))
			synctest.Wait()
		},
	} {
		for how, end := range map[string]func(){
			"panic":  func() { panic("of the body") },
			"Goexit": runtime.Goexit,
		} {
			t.Run(name+"/"+how, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					book := newRecords()
					var value any
					done := make(chan struct{})
					go func() {
						defer close(done)
						value = raised(func() {
							_ = traigo.Run(t.Context(), func(ctx context.Context, s *traigo.Scope) error {
								before(ctx, s)
								end()
								return nil
							}, traigo.Logger(book.logger()))
						})
					}()
					<-done
					if how == "panic" {
						assert.Equal(t, "of the body", value)
					}
					assert.Len(t, book.at(slog.LevelError), 1)
					assert.Len(t, book.at(slog.LevelError, hidden), 1)
					assert.Len(t, book.at(slog.LevelError, "boom"), 1)
				})
			})
		}
	}
}

// Run panics with the value of the body's panic. The panic of the task is logged.
func TestPanicOfATaskThatTheBodysPanicHidesIsLogged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		book := newRecords()
		require.Equal(t, "of the body", raised(func() {
			_ = traigo.Run(t.Context(), func(ctx context.Context, s *traigo.Scope) error {
				s.Spawn(panicking("of the task"))
				<-ctx.Done()
				panic("of the body")
			}, traigo.Logger(book.logger()))
		}))
		assert.Len(t, book.at(slog.LevelError, "hidden by a panic or a Goexit"), 1)
		assert.Len(t, book.at(slog.LevelError, "of the task"), 2, "at once, and as what is hidden")
	})
}

func TestPanicThatHidesNothingIsNotLogged(t *testing.T) {
	for name, body := range map[string]func(ctx context.Context, s *traigo.Scope) error{
		"body": func(context.Context, *traigo.Scope) error { panic("on purpose") },
		"task": func(_ context.Context, s *traigo.Scope) error { s.Spawn(panicking("on purpose")); return nil },
		"body, after a quiet end": func(_ context.Context, s *traigo.Scope) error {
			s.Spawn(untilCanceled)
			s.Cancel(nil)
			panic("on purpose")
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				book := newRecords()
				require.NotNil(t, raised(func() { _ = traigo.Run(t.Context(), body, traigo.Logger(book.logger())) }))
				assert.Empty(t, book.at(slog.LevelError, "hidden"))
			})
		})
	}
}

// Of twenty failures that nobody has received, sixteen wait for a receiver or join the
// outcome; the four that are oldest are logged as soon as there are more than sixteen.
func TestFuturesBeyondSixteenAreLoggedAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		book := newRecords()
		s := traigo.New(t.Context(), traigo.Logger(book.logger()))
		failed := func(i int) *traigo.Future[int] {
			return traigo.Async(s, func(context.Context) (int, error) { return 0, fmt.Errorf("error <%d>", i) })
		}
		var futures []*traigo.Future[int]
		for i := range 20 {
			futures = append(futures, failed(i))
			synctest.Wait()
		}
		const logged = "nobody has awaited"
		assert.Len(t, book.at(slog.LevelWarn, logged), 4, "the oldest, before the scope ends")
		assert.Len(t, book.at(slog.LevelWarn, "error <0>"), 1)
		assert.Empty(t, book.at(slog.LevelWarn, "error <4>"))
		_, err := futures[5].Await(t.Context())
		require.ErrorContains(t, err, "error <5>")
		_, err = futures[1].Await(t.Context())
		require.ErrorContains(t, err, "error <1>", "what was logged is still there")

		e := outcome(t, s.Close())
		assert.Zero(t, e.More)
		for i := range 20 {
			isIn := strings.Contains(e.Error(), fmt.Sprintf("error <%d>", i))
			assert.Equal(t, i > 3 && i != 5, isIn, i)
		}
		assert.Len(t, book.at(slog.LevelWarn, logged), 4)
	})
}

func TestFuturesThatFailAfterTheEndWasDecidedAreLogged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		book := newRecords()
		s := traigo.New(t.Context(), traigo.Logger(book.logger()))
		for range 20 {
			traigo.Async(s, func(ctx context.Context) (int, error) { <-ctx.Done(); return 0, errLate })
		}
		synctest.Wait()
		require.NoError(t, s.Close())
		assert.Len(t, book.at(slog.LevelWarn, "late"), 20)
	})
}

func TestOthersAreAtMostSixteenWithTheStuckError(t *testing.T) {
	for name, row := range map[string]struct {
		failing int
		others  int
		more    string
	}{
		"room for it":     {15, 16, ""},
		"just no room":    {16, 16, "and 1 more"},
		"and counted too": {30, 16, "and 15 more"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				release, free := newRelease()
				defer free()
				s := traigo.New(t.Context(), traigo.CancelTimeout(time.Second), discard())
				for range row.failing {
					s.Spawn(cleaning(0, errLate))
				}
				s.Spawn(deaf(release))
				synctest.Wait()
				s.Cancel(errBoom)
				e := outcome(t, s.Wait())
				assert.Equal(t, errBoom, e.Err)
				require.Len(t, e.Others, row.others)
				require.Same(t, e.Others[row.others-1], as[*traigo.StuckError](t, e.Others[row.others-1]))
				if row.more == "" {
					assert.NotContains(t, e.Error(), " more")
				} else {
					require.ErrorContains(t, e, row.more)
				}
			})
		})
	}
}

// A panic is no consequence of the cancellation, also if its value is what the context
// says.
func TestPanicWithTheErrorOfTheContextIsKept(t *testing.T) {
	for name, value := range map[string]func(ctx context.Context) error{
		"ctx.Err()":     context.Context.Err,
		"context.Cause": context.Cause,
		"joined":        func(ctx context.Context) error { return errors.Join(ctx.Err(), context.Cause(ctx)) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				run := func(opts ...traigo.ScopeOption) error {
					return traigo.Run(t.Context(), func(_ context.Context, s *traigo.Scope) error {
						s.Spawn(func(ctx context.Context) error {
							<-ctx.Done()
							panicOnPurpose(value(ctx))
							return nil
						}, traigo.Name("work"))
						synctest.Wait()
						s.Cancel(errBoom)
						return nil
					}, append(opts, discard())...)
				}
				e := outcome(t, run(traigo.PanicAsError()))
				assert.Equal(t, errBoom, e.Err)
				require.Len(t, e.Others, 1)
				require.Same(t, e.Others[0], as[*traigo.TaskError](t, e.Others[0]))
				require.ErrorIs(t, as[*traigo.PanicError](t, e.Others[0]), context.Canceled)
				_ = requirePanic(t, "work", func() { _ = run() })
			})
		})
	}
}

// Failures that nobody has received and panics of forks come before what fits into Others.
func TestOthersAreAtMostSixteenHoweverTheyCome(t *testing.T) {
	for name, row := range map[string]struct {
		futures, forks int
		stuck          bool
	}{
		"futures, then panics of forks":          {16, 48, false},
		"futures, panics of forks and one stuck": {16, 32, true},
		"panics of forks alone":                  {0, 33, false},
		"panics of forks and one stuck":          {0, 33, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				release, free := newRelease()
				defer free()
				s := traigo.New(t.Context(), traigo.CancelTimeout(time.Second), discard())
				for range row.futures {
					traigo.Async(s, noAnswer)
				}
				synctest.Wait()
				for range row.forks {
					s.Fork().Spawn(panicking("on purpose"))
					synctest.Wait()
				}
				want := row.futures + row.forks
				if row.stuck {
					s.Spawn(deaf(release))
					synctest.Wait()
					want++
				}
				s.Cancel(nil)
				<-s.Done()
				e := outcome(t, s.Err())
				assert.LessOrEqual(t, len(e.Others), 16)
				assert.Equal(t, want, 1+len(e.Others)+e.More, "none is lost from the count")
				if row.stuck {
					last := e.Others[len(e.Others)-1]
					require.Same(t, last, as[*traigo.StuckError](t, last))
				}
			})
		})
	}
}

// Async owns its error by itself: Bubble(false) takes nothing from it.
func TestFutureThatDoesNotBubbleIsAFutureLikeAnyOther(t *testing.T) {
	for name, opts := range map[string][]traigo.TaskOption{"by default": nil, "Bubble(false)": {traigo.Bubble(false)}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				book := newRecords()
				s := traigo.New(t.Context(), traigo.Logger(book.logger()))
				received := traigo.Async(s, noAnswer, opts...)
				_, err := received.Await(t.Context())
				assert.Equal(t, errBoom, err)
				synctest.Wait()
				assert.Equal(t, traigo.Open, s.State())
				traigo.Async(s, func(context.Context) (int, error) { return 0, errOuter }, append(opts, traigo.Name("f"))...)
				traigo.Async(s, func(ctx context.Context) (int, error) { <-ctx.Done(); return 0, errLate }, opts...)
				synctest.Wait()
				e := outcome(t, s.Close())
				assert.Equal(t, []error{&traigo.TaskError{Task: "f", Err: errOuter}}, e.Unwrap(), "that nobody received in time")
				assert.Len(t, book.at(slog.LevelWarn, "late"), 1, "and later it is logged")
			})
		})
	}
}

// held opens a scope "outer" whose end has been recorded, and has not come down to the
// scope "inner" below it yet, when ended is closed: an observer holds the news for 2 s. body
// is that of inner, which is opened under a context made by derive. held returns what
// was logged and the outcome of inner.
func held(t *testing.T, derive func(context.Context) (context.Context, context.CancelFunc), body func(s *traigo.Scope, ended <-chan struct{}) error) (book *records, inner error) {
	t.Helper()
	book = newRecords()
	ended, end := newRelease()
	s := traigo.New(t.Context(), traigo.Name("outer"), traigo.Logger(book.logger()), traigo.Observe(seeing(func(e traigo.Event) {
		if e.Kind == traigo.ScopeCanceled && e.Scope.Name() == "outer" {
			end()
			time.Sleep(2 * time.Second)
		}
	})))
	s.Spawn(func(ctx context.Context) error {
		ctx, cancel := derive(ctx)
		defer cancel()
		inner = traigo.Run(ctx, func(_ context.Context, s *traigo.Scope) error { return body(s, ended) }, traigo.Name("inner"))
		return inner
	})
	synctest.Wait()
	s.Cancel(errOuter)
	_ = s.Wait()
	return book, inner
}

// derivations are ways to make a context from that of a scope or task.
var derivations = map[string]func(context.Context) (context.Context, context.CancelFunc){
	"direct":     func(ctx context.Context) (context.Context, context.CancelFunc) { return ctx, func() {} },
	"WithCancel": context.WithCancel,
	"WithValue": func(ctx context.Context) (context.Context, context.CancelFunc) {
		type key struct{}
		return context.WithValue(ctx, key{}, 1), func() {}
	},
}

// A parent that has ended has decided, whether or not the news has come down: a failure
// that comes then is no first cause.
func TestFailureBelowAParentThatHasEndedIsTheParentsEnd(t *testing.T) {
	for name, derive := range derivations {
		for where, body := range map[string]func(s *traigo.Scope, ended <-chan struct{}) error{
			"body": func(_ *traigo.Scope, ended <-chan struct{}) error { deafTo(ended); return errBoom },
			"task": func(s *traigo.Scope, ended <-chan struct{}) error {
				s.Spawn(func(context.Context) error { deafTo(ended); return errBoom })
				return nil
			},
		} {
			t.Run(name+"/"+where, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					_, inner := held(t, derive, body)
					e := outcome(t, inner)
					require.Same(t, e.Err, as[*traigo.Cancellation](t, e.Err))
					assert.Equal(t, traigo.ParentCanceled, as[*traigo.Cancellation](t, e.Err).Kind)
					require.ErrorIs(t, e.Err, errOuter)
					require.Len(t, e.Others, 1, "and the failure is kept")
					require.ErrorIs(t, e.Others[0], errBoom)
				})
			})
		}
	}
}

// The same for a future that nobody receives: that end was decided, so it is logged.
func TestFutureThatFailsBelowAParentThatHasEndedIsLogged(t *testing.T) {
	for name, derive := range derivations {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				book, inner := held(t, derive, func(s *traigo.Scope, ended <-chan struct{}) error {
					traigo.Async(s, func(context.Context) (int, error) { deafTo(ended); return 0, errLate })
					return nil
				})
				require.ErrorIs(t, inner, errOuter)
				require.NotErrorIs(t, inner, errLate)
				assert.Empty(t, outcome(t, inner).Others)
				assert.Len(t, book.at(slog.LevelWarn, "late"), 1)
			})
		})
	}
}
