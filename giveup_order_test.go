package traigo_test

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"weak"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo"
)

// Who is given up, who hears of it, and what it costs.

// A task that has not been started has not had its chance to end.
func TestTaskThatHasNotStartedIsNotGivenUp(t *testing.T) {
	for name, cancel := range map[string]func(s *traigo.Scope, first *traigo.Task){
		"scope":     func(s *traigo.Scope, _ *traigo.Task) { s.Cancel(nil) },
		"one alone": func(_ *traigo.Scope, first *traigo.Task) { first.Cancel(nil) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := traigo.New(t.Context(), traigo.CancelTimeout(time.Second), discard())
				ran := make([]bool, 3)
				first, launch := traigo.SpawnLater(s, func(context.Context) error { ran[0] = true; return nil })
				for i := range ran[1:] {
					traigo.SpawnLater(s, func(context.Context) error { ran[1+i] = true; return nil })
				}
				cancel(s, first)
				time.Sleep(time.Minute)
				require.NoError(t, s.CheckInvariants())
				launch()
				require.NoError(t, s.Wait())
				assert.Equal(t, []bool{true, true, true}, ran)
			})
		})
	}
}

// Once it has started it has as long as any other.
func TestTaskThatStartedLateIsGivenUpAllTheSame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release, free := newRelease()
		defer free()
		s := traigo.New(t.Context(), traigo.CancelTimeout(time.Second), discard())
		_, launch := traigo.SpawnLater(s, deaf(release), traigo.Name("late"))
		s.Cancel(nil)
		time.Sleep(time.Minute)
		launch()
		stuck := as[*traigo.StuckError](t, s.Wait())
		require.Len(t, stuck.Tasks, 1)
		assert.Contains(t, stuck.Tasks[0].Path, "/late")
	})
}

// However many are stuck, and however long it takes to say so, those who only
// wait for them are not among them.
func TestTasksThatWaitForStuckOnesAreNotGivenUp(t *testing.T) {
	for _, n := range []int{1, 100} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				release, free := newRelease()
				defer free()
				slow := seeing(func(e traigo.Event) {
					if e.Kind == traigo.TaskStuck {
						time.Sleep(5 * time.Millisecond)
					}
				})
				s := traigo.New(t.Context(), traigo.CancelTimeout(time.Second), traigo.Observe(slow), discard())
				var mu sync.Mutex
				var inner []error
				for range 3 {
					s.Spawn(func(ctx context.Context) error {
						err := traigo.Run(ctx, func(_ context.Context, s *traigo.Scope) error {
							for range n {
								s.Spawn(deaf(release))
							}
							return nil
						})
						mu.Lock()
						defer mu.Unlock()
						inner = append(inner, err)
						return nil
					})
				}
				late := traigo.CancelTimeout(2 * time.Second)
				handle := make(chan *traigo.Task, 1)
				s.Spawn(func(context.Context) error { _ = (<-handle).Wait(context.Background()); return nil }, late)
				sibling := s.Spawn(deaf(release), late)
				handle <- sibling
				synctest.Wait()
				stuck := as[*traigo.StuckError](t, s.Close())
				require.Len(t, stuck.Tasks, 1)
				assert.Equal(t, sibling.Path(), stuck.Tasks[0].Path)
				require.Len(t, inner, 3)
				for _, err := range inner {
					assert.Len(t, as[*traigo.StuckError](t, err).Tasks, n)
				}
			})
		})
	}
}

// slowToTell is a context that takes a second to say what it carries.
type slowToTell struct{ context.Context } //nolint:containedctx // it is one

func (c slowToTell) Value(key any) any {
	time.Sleep(time.Second)
	return c.Context.Value(key)
}

// The task is given up between a look at it and the wait for it: 0.5 s after
// Wait was called, which only then knows who is asking.
func TestWaiterThatComesAsTheTaskIsGivenUpHearsOfIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release, free := newRelease()
		defer free()
		s := traigo.New(t.Context(), traigo.CancelTimeout(500*time.Millisecond), discard())
		task := s.Spawn(deaf(release))
		synctest.Wait()
		s.Cancel(nil)
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		begin := time.Now()
		_ = itself[*traigo.StuckError](t, task.Wait(slowToTell{ctx}))
		assert.Equal(t, time.Second, time.Since(begin))
		require.Error(t, s.Wait())
	})
}

// A quiet end silences errors of tasks, but not that goroutines are left behind,
// also where that was found out further down.
func TestStuckErrorSurvivesAQuietEnd(t *testing.T) {
	for name, end := range map[string]func(s *traigo.Scope){
		"Cancel(nil)":  func(s *traigo.Scope) { s.Cancel(nil) },
		"master":       func(s *traigo.Scope) { s.Spawn(succeed, traigo.Master(true)) },
		"nothing left": func(s *traigo.Scope) { s.Finalize() },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				release, free := newRelease()
				defer free()
				s := traigo.New(t.Context(), traigo.Name("outer"), traigo.CancelTimeout(time.Second), discard())
				s.Spawn(func(ctx context.Context) error {
					return traigo.Run(ctx, func(_ context.Context, s *traigo.Scope) error {
						s.Spawn(deaf(release), traigo.Name("stuck"))
						return nil
					}, traigo.Name("inner"))
				}, traigo.Name("caller"), traigo.Awaited(false))
				s.Spawn(cleaning(500*time.Millisecond, errLate), traigo.Awaited(false)) // which is silenced
				synctest.Wait()
				end(s)
				e := outcome(t, s.Wait())
				assert.Equal(t, "caller", itself[*traigo.TaskError](t, e.Err).Task)
				assert.Empty(t, e.Others)
				stuck := as[*traigo.StuckError](t, e)
				require.Len(t, stuck.Tasks, 1)
				assert.Equal(t, "outer/inner/stuck", stuck.Tasks[0].Path)
			})
		})
	}
}

func TestStuckErrorNamesAThousandAndCountsTheRest(t *testing.T) {
	const n = 1003
	synctest.Test(t, func(t *testing.T) {
		release, free := newRelease()
		defer free()
		s := traigo.New(t.Context(), traigo.CancelTimeout(time.Second), discard())
		for range n {
			s.Spawn(deaf(release))
		}
		synctest.Wait()
		stuck := as[*traigo.StuckError](t, s.Close())
		assert.Len(t, stuck.Tasks, 1000)
		require.ErrorContains(t, stuck, "1003 tasks did not end after cancel")
	})
}

// What has been left behind is forgotten when it ends, and not only when
// somebody looks.
func TestWhatWasLeftBehindIsForgottenWhenItEnds(t *testing.T) {
	type payload [1 << 10]byte
	for name, leave := range map[string]func(call func()) func(context.Context) error{
		"abandoned": func(call func()) func(context.Context) error {
			return traigo.Blocking(func() error { call(); return nil })
		},
		"given up": func(call func()) func(context.Context) error {
			return func(context.Context) error { call(); return nil }
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				release, free := newRelease()
				defer free()
				s := traigo.New(t.Context(), traigo.CancelTimeout(time.Second), discard())
				var held []weak.Pointer[payload]
				for range 20 {
					p := new(payload)
					held = append(held, weak.Make(p))
					task := s.Spawn(leave(func() { <-release; runtime.KeepAlive(p) }))
					synctest.Wait()
					task.Cancel(nil)
				}
				time.Sleep(time.Minute)
				require.Len(t, s.Snapshot().Tasks, 20)
				free()
				synctest.Wait()
				runtime.GC()
				kept := 0
				for _, p := range held {
					if p.Value() != nil {
						kept++
					}
				}
				assert.LessOrEqual(t, kept, 1, "the last may still be in a register")
				_ = s.Close()
			})
		})
	}
}

// Four times as many cost about four times as much; what is quadratic costs
// sixteen times as much. A machine that has other things to do may spoil a
// measurement, but not all.
func TestCostOfLeavingManyBehindIsNotQuadratic(t *testing.T) {
	for name, row := range map[string]struct {
		n     int
		leave func(call func()) func(context.Context) error
	}{
		"abandoned": {2000, func(call func()) func(context.Context) error {
			return traigo.Blocking(func() error { call(); return nil })
		}},
		"given up": {500, func(call func()) func(context.Context) error {
			return func(context.Context) error { call(); return nil }
		}},
	} {
		t.Run(name, func(t *testing.T) {
			cost := func(n int) time.Duration {
				begin := time.Now() // the clock outside the bubble
				synctest.Test(t, func(t *testing.T) {
					release, free := newRelease()
					s := traigo.New(t.Context(), traigo.CancelTimeout(time.Second), discard())
					for range n {
						s.Spawn(row.leave(func() { <-release }))
					}
					synctest.Wait()
					_ = s.Close()
					free()
				})
				return time.Since(begin)
			}
			var ratios []float64
			for range 5 {
				ratio := float64(cost(4*row.n)) / float64(cost(row.n))
				if ratio < 9 {
					return
				}
				ratios = append(ratios, ratio)
			}
			require.Fail(t, "four times as many cost too much", "%v", ratios)
		})
	}
}
