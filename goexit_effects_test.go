package traigo_test

import (
	"context"
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
