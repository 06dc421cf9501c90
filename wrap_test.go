package traigo_test

import (
	"context"
	"errors"
	"runtime"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo"
)

// noting is a wrapper that notes its name and the function that it is called around.
func noting(notes *[]string, name string) traigo.ScopeOption {
	return traigo.Wrap(func(ctx context.Context, next func(context.Context) error) error {
		what := "body of " + traigo.Current(ctx).Name()
		if task := traigo.CurrentTask(ctx); task != nil && task.Scope() == traigo.Current(ctx) {
			what = "task " + task.Name()
		}
		*notes = append(*notes, name+": "+what)
		defer func() { *notes = append(*notes, name+": end of "+what) }()
		return next(ctx)
	})
}

func TestWrapIsCalledAroundTasksAndBodies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var notes []string
		err := traigo.Run(t.Context(), func(ctx context.Context, s *traigo.Scope) error {
			return s.Spawn(func(ctx context.Context) error {
				return traigo.Run(ctx, emptyBody, traigo.Name("inner"), noting(&notes, "B"), noting(&notes, "C"))
			}, traigo.Name("work")).Wait(ctx)
		}, traigo.Name("outer"), noting(&notes, "A"))
		require.NoError(t, err)
		assert.Equal(t, []string{
			"A: body of outer",
			"A: task work",
			"A: body of inner", "B: body of inner", "C: body of inner",
			"C: end of body of inner", "B: end of body of inner", "A: end of body of inner",
			"A: end of task work",
			"A: end of body of outer",
		}, notes)
	})
}

func TestWrapIsCalledAroundEveryKindOfTask(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var notes []string
		s := traigo.New(t.Context(), noting(&notes, "A"))
		fork := s.Fork()
		for _, wait := range []func(){
			func() { require.NoError(t, s.Spawn(succeed).Wait(t.Context())) },
			func() { require.NoError(t, fork.Spawn(succeed).Wait(t.Context())) },
			func() { _, _ = traigo.Async(s, answer).Await(t.Context()) },
			func() { require.NoError(t, s.Spawn(succeed, traigo.Dedicated()).Wait(t.Context())) },
			func() { task, ok := s.TrySpawn(succeed); assert.True(t, ok); <-task.Done() },
			func() {
				_, err := s.Start(t.Context(), func(_ context.Context, ready func()) error { ready(); return nil })
				require.NoError(t, err)
			},
			func() { _, _ = traigo.All(s.Context(), answer) }, // the body of All, and its function
		} {
			wait()
			synctest.Wait()
		}
		assert.Len(t, notes, 2*8)
		require.NoError(t, s.Close())
	})
}

func TestWrapMayAddValuesAndReplaceTheError(t *testing.T) {
	type key struct{}
	synctest.Test(t, func(t *testing.T) {
		var got any
		s := traigo.New(t.Context(), traigo.Wrap(func(ctx context.Context, next func(context.Context) error) error {
			return errors.Join(next(context.WithValue(ctx, key{}, "value")), errLate)
		}))
		task := s.Spawn(func(ctx context.Context) error {
			got = ctx.Value(key{})
			assert.Same(t, s, traigo.Current(ctx))
			return traigo.Run(ctx, func(_ context.Context, below *traigo.Scope) error {
				assert.Same(t, s, below.Parent())
				assert.Same(t, traigo.CurrentTask(ctx), below.Opener())
				return errBoom
			})
		})
		err := s.Wait()
		assert.Equal(t, "value", got)
		require.ErrorIs(t, err, errLate)
		require.ErrorIs(t, err, errBoom)
		require.ErrorIs(t, task.Err(), errLate)
	})
}

func TestWrapDoesNotHideACancellation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		type key struct{}
		s := traigo.New(t.Context(), traigo.Wrap(func(ctx context.Context, next func(context.Context) error) error {
			return next(context.WithValue(ctx, key{}, 1))
		}))
		s.Spawn(untilCanceled)
		inner := make(chan error, 1)
		s.Spawn(func(ctx context.Context) error {
			inner <- traigo.Run(ctx, func(ctx context.Context, _ *traigo.Scope) error { return untilCanceled(ctx) })
			return nil
		})
		synctest.Wait()
		s.Cancel(errBoom)
		require.ErrorIs(t, s.Wait(), errBoom)
		assert.NotNil(t, cancellation(<-inner, traigo.ParentCanceled))
	})
}

func TestWrapSeesPanicAndGoexitByDefer(t *testing.T) {
	for name, leave := range map[string]func(){"panic": func() { panicOnPurpose("oops") }, "Goexit": runtime.Goexit} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ended := 0
				s := traigo.New(t.Context(), discard(), traigo.Wrap(func(ctx context.Context, next func(context.Context) error) error {
					defer func() { ended++ }()
					return next(ctx)
				}))
				s.Spawn(func(context.Context) error { leave(); return nil }, traigo.Name("work"))
				if name == "panic" {
					_ = requirePanic(t, "work", func() { _ = s.Wait() })
				} else {
					require.ErrorIs(t, s.Wait(), traigo.ErrGoexit)
				}
				assert.Equal(t, 1, ended)
			})
		})
	}
}

// The function runs at most once, and never unseen.
func TestWrapThatDoesNotCallNextOnceFailsTheTask(t *testing.T) {
	rows := map[string]struct {
		wrapper traigo.Wrapper
		runs    int
		says    string
	}{
		"never": {func(context.Context, func(context.Context) error) error { return nil }, 0, "has not called next"},
		"twice": {func(ctx context.Context, next func(context.Context) error) error {
			return errors.Join(next(ctx), next(ctx))
		}, 1, "a second time"},
		"twice, and silent": {func(ctx context.Context, next func(context.Context) error) error {
			_ = next(ctx)
			_ = next(ctx)
			return nil
		}, 1, "a second time"},
		"leaves early": {func(ctx context.Context, next func(context.Context) error) error {
			go func() { _ = next(ctx) }()
			synctest.Wait()
			return nil
		}, 1, "returned before next"},
		"after it has returned": {func(ctx context.Context, next func(context.Context) error) error {
			go func() {
				<-ctx.Done()
				_ = next(ctx)
			}()
			return nil
		}, 0, "has not called next"},
	}
	for name, row := range rows {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				runs := 0
				release, free := newRelease()
				defer free()
				s := traigo.New(t.Context(), traigo.Wrap(row.wrapper))
				s.Spawn(func(context.Context) error {
					runs++
					if name == "leaves early" {
						<-release
					}
					return nil
				}, traigo.Name("work"))
				err := s.Wait()
				require.ErrorContains(t, err, row.says)
				require.ErrorContains(t, err, "traigo: a Wrapper")
				free()
				synctest.Wait()
				assert.Equal(t, row.runs, runs)
			})
		})
	}
}

func TestWrapThatPassesNoContextPanics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := traigo.New(t.Context(), discard(), traigo.Wrap(func(_ context.Context, next func(context.Context) error) error {
			var none context.Context
			return next(none)
		}))
		s.Spawn(succeed)
		value := raised(func() { _ = s.Wait() })
		require.NotNil(t, value)
		assert.Contains(t, value.(error).Error(), "traigo: next of a Wrapper: nil context")
	})
}

func TestWrapOfARunThatFailsIsTheBodysFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		err := traigo.Run(t.Context(), emptyBody, traigo.Wrap(func(ctx context.Context, next func(context.Context) error) error {
			return errors.Join(next(ctx), errBoom)
		}))
		assert.ErrorIs(t, outcome(t, err).Err, errBoom)
	})
}
