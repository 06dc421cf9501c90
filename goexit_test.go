package traigo_test

import (
	"context"
	"runtime"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo"
)

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
