package traigotest_test

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/traigotest"
)

func TestRunCancelsWhatDoesNotEnd(t *testing.T) {
	var cause error
	f, took := run(t, func(_ testing.TB, _ context.Context, s *traigo.Scope) {
		time.Sleep(time.Hour) // the body has all the time it wants
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

func TestRunGivesUpWhatIsStuck(t *testing.T) {
	for name, patient := range map[string]bool{"after the patience": true, "after a failure": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				free := make(chan struct{})
				began := time.Now()
				f := try(t, func(t testing.TB) {
					traigotest.Run(t, func(_ context.Context, s *traigo.Scope) {
						s.Spawn(deaf(free), traigo.Name("deaf"))
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
				assert.True(t, strings.HasPrefix(text, `task "TestIt/deaf" has not ended after it was canceled, and is left running:`+"\n\tgoroutine "), text)
				assert.NotContains(t, text, "traigo.(*")
				assert.Equal(t, 1, strings.Count(strings.Join(f.errors, "\n"), "deafTo("), "its stack, once")
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

func TestPatienceSaysNothingToOtherScopes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		require.NoError(t, traigo.Run(t.Context(), func(_ context.Context, s *traigo.Scope) error {
			s.Spawn(func(ctx context.Context) error { return traigo.Sleep(ctx, time.Hour) })
			return nil
		}, traigotest.Patience(time.Second)))
		assert.Equal(t, time.Hour, time.Since(began))
	})
}

func TestRunFreesABodyThatHangs(t *testing.T) {
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

func TestRunFreesABodyBeforeTheDeadline(t *testing.T) {
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

// Somebody has to say it: it may be the last that is heard of the test.
func TestRunTellsOfABodyThatDoesNotReturn(t *testing.T) {
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
				deafTo(free)
			})
		})
		assert.Empty(t, f.errors, "it is not said again")
		text := f.out.String()
		assert.Regexp(t, `^patience_test\.go:\d+: the body does not return, though its context was canceled 1s ago\n`+
			`    still running in the body, `, text)
		assert.Equal(t, 1, strings.Count(text, "deafTo("), text)
		assert.Equal(t, 1, strings.Count(text, "untilCanceled("), text)
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

	synctest.Test(t, func(t *testing.T) {
		free := make(chan struct{})
		began := time.Now()
		f = try(t, func(t testing.TB) {
			traigotest.Run(t, func(_ context.Context, s *traigo.Scope) {
				s.Spawn(traigo.Blocking(func() error {
					deafTo(free)
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
	assert.Contains(t, text, "deafTo(")
	assert.NotContains(t, text, "traigo.(*")
}

// What a task does that was given up is no matter of the test any more, but is
// not lost either.
func TestRunLeavesTheLogWhenItReturns(t *testing.T) {
	before := slog.Default()
	defer slog.SetDefault(before)
	var log strings.Builder
	slog.SetDefault(slog.New(slog.NewTextHandler(&log, nil)))
	synctest.Test(t, func(t *testing.T) {
		free := make(chan struct{})
		f := try(t, func(t testing.TB) {
			traigotest.Run(t, func(_ context.Context, s *traigo.Scope) {
				s.Spawn(func(context.Context) error {
					deafTo(free)
					return errBoom
				}, traigo.Name("deaf"))
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
