package traigo_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo"
)

// Corners that belong to no single paragraph.

// A task that shuts its own scope down gets an error instead of a deadlock, and
// the shutdown goes on without it.
func TestShutdownByAPartOfTheScopeIsAnError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		require.NoError(t, traigo.Run(t.Context(), func(ctx context.Context, s *traigo.Scope) error {
			assert.ErrorContains(t, s.Shutdown(ctx), `Shutdown of scope "main" by a part of it`)
			s.Fork(traigo.Name("below")).Spawn(func(ctx context.Context) error {
				assert.ErrorContains(t, s.Shutdown(ctx), "a part of it")
				return nil
			})
			return nil
		}, traigo.Name("main")))
	})
}

// The bare context of a scope may be anybody's.
func TestShutdownWithTheContextOfTheScopeIsNoMistake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := traigo.New(t.Context())
		s.Spawn(func(ctx context.Context) error { <-traigo.Stopping(ctx); return nil })
		ctx, cancel := context.WithTimeout(s.Context(), time.Second)
		defer cancel()
		require.NoError(t, s.Shutdown(ctx))
	})
}

func TestShutdownEndsForksThatComeLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := traigo.New(t.Context())
		s.Spawn(func(ctx context.Context) error {
			<-traigo.Stopping(ctx)
			fork := s.Fork()
			fork.Spawn(func(ctx context.Context) error { return traigo.Sleep(ctx, time.Second) })
			return nil
		})
		begin := time.Now()
		require.NoError(t, s.Shutdown(context.Background()))
		assert.Equal(t, time.Second, time.Since(begin))
	})
}

// A fork that nobody finalizes keeps its parent for ever: not without a word.
func TestForkThatNobodyFinalizesIsLogged(t *testing.T) {
	for name, row := range map[string]struct {
		busy bool
		want int
	}{"idle": {false, 1}, "busy": {true, 0}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var book logbook
				begin := time.Now()
				require.NoError(t, traigo.Run(t.Context(), func(_ context.Context, s *traigo.Scope) error {
					forgotten := s.Fork(traigo.Name("forgotten"))
					if row.busy {
						forgotten.Spawn(func(ctx context.Context) error { return traigo.Sleep(ctx, time.Minute) })
					}
					time.AfterFunc(time.Hour, forgotten.Finalize)
					return nil
				}, traigo.Name("main"), book.logger()))
				assert.Equal(t, time.Hour, time.Since(begin))
				assert.Equal(t, row.want, book.count(slog.LevelWarn, "main/forgotten"))
			})
		})
	}
}

// Among more failed forks than are kept, a panic is not let go with a log line.
func TestForkThatPanickedIsRaisedAlsoWhenItIsTheOldestOfMany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := traigo.New(t.Context(), discard())
		s.Fork().Spawn(func(context.Context) error { panic(errBoom) })
		synctest.Wait()
		for range 20 {
			s.Fork().Spawn(fail)
			synctest.Wait()
		}
		defer func() {
			err, _ := recover().(error)
			require.ErrorIs(t, err, errBoom)
		}()
		_ = s.Wait()
		t.Error("Wait has not panicked")
	})
}

func TestLimitServesMoreThanOneWaiterInTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := traigo.New(t.Context(), traigo.Limit(1))
		free := make(chan struct{})
		hold := func(context.Context) error { <-free; return nil }
		s.Spawn(hold)
		var order []int
		for i := range 3 {
			go func() {
				s.Spawn(func(context.Context) error { order = append(order, i); return nil })
			}()
			synctest.Wait()
		}
		ctx, cancel := context.WithCancel(t.Context())
		started := make(chan error)
		go func() {
			_, err := s.Start(ctx, func(context.Context, func()) error { return nil })
			started <- err
		}()
		synctest.Wait()
		assert.Equal(t, 4, s.Snapshot().Waiting)
		cancel()
		require.ErrorIs(t, <-started, context.Canceled)
		assert.Equal(t, 3, s.Snapshot().Waiting)
		s.Finalize() // which the three that wait keep from ending
		close(free)
		require.NoError(t, s.Wait())
		assert.Equal(t, []int{0, 1, 2}, order)
	})
}

func TestBlockingCallThatPanicsAfterItWasAbandonedIsLogged(t *testing.T) {
	for name, row := range map[string]struct {
		end   func() error
		level slog.Level
	}{
		"panic": {func() error { panic(errLate) }, slog.LevelError},
		"error": {func() error { return errLate }, slog.LevelWarn},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var book logbook
				release := make(chan struct{})
				s := traigo.New(t.Context(), book.logger())
				s.Spawn(traigo.Blocking(func() error { <-release; return row.end() }))
				synctest.Wait()
				require.NoError(t, s.Close())
				close(release)
				synctest.Wait()
				assert.Equal(t, 1, book.count(row.level, "late"))
			})
		})
	}
}

func TestEventKindsAreWordsInJSON(t *testing.T) {
	text, err := json.Marshal(map[string]any{"event": traigo.TaskEnded, "cause": traigo.TimedOut})
	require.NoError(t, err)
	assert.JSONEq(t, `{"event": "task ended", "cause": "timeout"}`, string(text))
}

func TestBlockErrorThatContainsItsTimeoutIsNotDoubled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		err := traigo.FailAfter(t.Context(), time.Second, func(ctx context.Context) error {
			<-ctx.Done()
			return errors.Join(context.Cause(ctx), errBoom)
		})
		require.ErrorIs(t, err, errBoom)
		assert.Equal(t, "traigo: timed out after 1s\nboom", err.Error())
	})
}

// An observer, or anybody, may literally write these errors.
func TestErrorsOfAnyMakeHaveTexts(t *testing.T) {
	for want, err := range map[string]error{
		`scope "s": no error`:          &traigo.Error{Scope: "s"},
		`scope "s": boom; also: late`:  &traigo.Error{Scope: "s", Err: errBoom, Others: []error{errLate}},
		`task "t": timed out after 1s`: &traigo.TaskError{Task: "t", Err: &traigo.TimeoutError{Scope: "s/t", After: time.Second}},
		`"s" timed out after 1s`:       &traigo.TimeoutError{Scope: "s", After: time.Second},
		`task "t" panicked`:            &traigo.PanicError{Task: "t"},
		`the body panicked`:            &traigo.PanicError{},
		"2 tasks did not end after cancel:\ntask \"a\", age 0s\ntask \"b\", age 0s": &traigo.StuckError{Tasks: []traigo.StuckTask{{Path: "a"}, {Path: "b"}}},
		`scope "s" canceled: task failed: task "s/t": boom`:                         &traigo.Cancellation{Kind: traigo.TaskFailed, Scope: "s", Task: "s/t", Err: errBoom},
	} {
		assert.EqualError(t, err, want)
	}
	assert.NoError(t, (&traigo.PanicError{}).Unwrap())
	assert.ErrorIs(t, &traigo.Cancellation{Kind: traigo.TimedOut}, context.DeadlineExceeded)
	assert.ErrorIs(t, &traigo.Cancellation{Kind: traigo.Requested}, context.Canceled)
}

// goroutineID is the number that a stack trace begins with.
func goroutineID() string {
	var head [64]byte
	return strings.Fields(string(head[:runtime.Stack(head[:], false)]))[1]
}

// Short tasks share goroutines; nothing else runs on a dedicated one.
func TestDedicatedTaskHasAGoroutineToItself(t *testing.T) {
	const tasks = 200
	var mu sync.Mutex
	used := map[string]int{}
	note := func(context.Context) error {
		mu.Lock()
		defer mu.Unlock()
		used[goroutineID()]++
		return nil
	}
	require.NoError(t, traigo.Run(t.Context(), func(_ context.Context, s *traigo.Scope) error {
		for range tasks {
			s.Spawn(note, traigo.Dedicated())
		}
		return nil
	}))
	assert.Len(t, used, tasks)
	clear(used)
	require.NoError(t, traigo.Run(t.Context(), func(ctx context.Context, s *traigo.Scope) error {
		for range tasks {
			_ = s.Spawn(note).Wait(ctx) // one after the other
		}
		var dedicated string
		_ = s.Spawn(func(context.Context) error { dedicated = goroutineID(); return nil }, traigo.Dedicated()).Wait(ctx)
		for range tasks {
			_ = s.Spawn(note).Wait(ctx)
		}
		mu.Lock()
		defer mu.Unlock()
		assert.NotContains(t, used, dedicated)
		return nil
	}))
}
