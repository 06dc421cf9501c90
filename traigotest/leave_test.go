package traigotest_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"

	"github.com/traigo/traigo"
)

// Whoever owns the error of a task, when it ends the test that is the end.
func TestRunEndsWhenATaskEndsTheTest(t *testing.T) {
	spawners := map[string]func(s *traigo.Scope, fn func(context.Context) error, named traigo.TaskOption){
		"Spawn": func(s *traigo.Scope, fn func(context.Context) error, named traigo.TaskOption) {
			s.Spawn(fn, named)
		},
		"that nobody owns": func(s *traigo.Scope, fn func(context.Context) error, named traigo.TaskOption) {
			s.Spawn(fn, named, traigo.Bubble(false))
		},
		"Async": func(s *traigo.Scope, fn func(context.Context) error, named traigo.TaskOption) {
			traigo.Async(s, func(ctx context.Context) (int, error) { return 0, fn(ctx) }, named)
		},
		"Start": func(s *traigo.Scope, fn func(context.Context) error, named traigo.TaskOption) {
			_, _ = s.Start(s.Context(), func(ctx context.Context, ready func()) error { return fn(ctx) }, named)
		},
		"Blocking": func(s *traigo.Scope, fn func(context.Context) error, named traigo.TaskOption) {
			s.Spawn(traigo.Blocking(func() error { return fn(s.Context()) }), named)
		},
		"fork": func(s *traigo.Scope, fn func(context.Context) error, named traigo.TaskOption) {
			s.Fork(traigo.Name("inner")).Spawn(fn, named)
		},
		"nested": func(s *traigo.Scope, fn func(context.Context) error, named traigo.TaskOption) {
			s.Spawn(func(ctx context.Context) error {
				return traigo.Run(ctx, func(_ context.Context, s *traigo.Scope) error {
					s.Spawn(fn, named)
					return nil
				}, traigo.Name("inner"))
			})
		},
	}
	for name, spawn := range spawners {
		path := "TestIt/checker"
		if name == "fork" || name == "nested" {
			path = "TestIt/inner/checker"
		}
		t.Run(name, func(t *testing.T) {
			var other *traigo.Task
			body := func(leave func(t testing.TB)) func(t testing.TB, ctx context.Context, s *traigo.Scope) {
				return func(tb testing.TB, ctx context.Context, s *traigo.Scope) {
					other = s.Spawn(untilCanceled)
					synctest.Wait()
					spawn(s, func(context.Context) error {
						leave(tb)
						return nil
					}, traigo.Name("checker"))
					<-ctx.Done()
				}
			}
			f, took := run(t, body(func(t testing.TB) { t.FailNow() }))
			assert.Zero(t, took)
			assert.False(t, f.ended, "the test goes on")
			assert.True(t, f.failed)
			assert.Error(t, other.Err())
			assert.Empty(t, f.errors, "the task has told why")
			assert.Equal(t, []string{`t.FailNow was called by task "` + path + `"`}, f.logs)

			f, _ = run(t, body(func(t testing.TB) { t.SkipNow() }))
			assert.False(t, f.ended, "the test goes on")
			assert.True(t, f.skipped)
			assert.False(t, f.failed)
			assert.Empty(t, f.errors)
			assert.Equal(t, []string{`t.SkipNow was called by task "` + path + `"`}, f.logs)
		})
	}
}

func TestRunJoinsBeforeTheBodyEndsTheTest(t *testing.T) {
	var task *traigo.Task
	f, _ := run(t, func(tb testing.TB, _ context.Context, s *traigo.Scope) {
		task = s.Spawn(untilCanceled)
		synctest.Wait()
		tb.FailNow()
	})
	assert.False(t, f.ended)
	assert.Error(t, task.Err())
	assert.Empty(t, f.errors)
	assert.Empty(t, f.logs)
	assert.Empty(t, f.out.String(), "FailNow says nothing")

	f, _ = run(t, func(tb testing.TB, _ context.Context, s *traigo.Scope) {
		task = s.Spawn(untilCanceled)
		synctest.Wait()
		tb.SkipNow()
	})
	assert.False(t, f.ended)
	assert.Error(t, task.Err())
	assert.False(t, f.failed)
	assert.Empty(t, f.out.String())
}

// Package testing has no line of the test to show then: Run finds it.
func TestRunTellsErrorsAlsoWhenTheBodyEndsTheTest(t *testing.T) {
	f, _ := run(t, func(tb testing.TB, ctx context.Context, s *traigo.Scope) {
		s.Spawn(func(ctx context.Context) error {
			<-ctx.Done()
			return errors.New("disk\nfull")
		}, traigo.Name("download"))
		synctest.Wait()
		s.Spawn(fail, traigo.Name("upload"))
		<-ctx.Done()
		tb.FailNow()
	})
	assert.False(t, f.ended)
	assert.True(t, f.failed)
	assert.Empty(t, f.errors)
	assert.Regexp(t, `^run_test\.go:\d+: task "TestIt/upload" failed: connection reset
run_test\.go:\d+: task "TestIt/download" failed: disk
    full
$`, f.out.String())

	f, _ = run(t, func(tb testing.TB, ctx context.Context, s *traigo.Scope) {
		s.Spawn(func(context.Context) error { tb.FailNow(); return nil }, traigo.Name("checker"))
		<-ctx.Done()
		tb.FailNow()
	})
	assert.Regexp(t, `^run_test\.go:\d+: t\.FailNow was called by task "TestIt/checker"
$`, f.out.String())
}
