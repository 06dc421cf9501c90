package traigo_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"runtime"
	"runtime/pprof"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo"
)

// labelled is how parkedLabels shows the labels of a task, or of the body, with
// others of the user's.
func labelled(scope, task string, more ...string) string {
	all := []string{fmt.Sprintf("%q:%q", "traigo.scope", scope)}
	if task != "" {
		all = append(all, fmt.Sprintf("%q:%q", "traigo.task", task))
	}
	for i := 0; i < len(more); i += 2 {
		all = append(all, fmt.Sprintf("%q:%q", more[i], more[i+1]))
	}
	slices.Sort(all)
	return "{" + strings.Join(all, ", ") + "}"
}

// labelsIn is what package pprof finds in ctx, in the same form.
func labelsIn(ctx context.Context) string {
	var all []string
	pprof.ForLabels(ctx, func(key, value string) bool {
		all = append(all, fmt.Sprintf("%q:%q", key, value))
		return true
	})
	if len(all) == 0 {
		return ""
	}
	slices.Sort(all)
	return "{" + strings.Join(all, ", ") + "}"
}

// inherited is what a go statement hands on here: the labels of this goroutine. It
// waits in the bubble until all others do.
func inherited(t *testing.T) string {
	t.Helper()
	before, release := parkedLabels(t), make(chan struct{})
	defer synctest.Wait() // until it has gone: the next call counts too
	defer close(release)
	go parkForLabels(release)
	synctest.Wait()
	for labels, n := range parkedLabels(t) {
		if n > before[labels] {
			return labels
		}
	}
	assert.Fail(t, "nobody has parked")
	return "nobody has parked"
}

type parker <-chan struct{}

func (p parker) park(context.Context) (int, error) {
	parkForLabels(p)
	return 0, nil
}

func withLabels(ctx context.Context, labels ...string) context.Context {
	return pprof.WithLabels(ctx, pprof.Labels(labels...))
}

func TestLabelsSayWhichTaskOfWhichScopeAGoroutineIs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		park := func(context.Context) error { parkForLabels(release); return nil }
		want := map[string]int{}
		spawn := func(s *traigo.Scope, name string, opts ...traigo.TaskOption) {
			want[labelled(s.Path(), name)]++
			s.Spawn(park, append(opts, traigo.Name(name))...)
		}
		s := traigo.New(t.Context(), traigo.Name("server"), traigo.PprofLabels())
		for _, name := range []string{"a", "b", "a", "i", "longer", "a", "b"} { // a and i have the same place
			spawn(s, name)
		}
		spawn(s, "alone", traigo.Dedicated())
		spawn(s, "rare", traigo.Timeout(time.Hour), traigo.Awaited(false))
		s.TrySpawn(park, traigo.Name("try"))
		want[labelled("server", "try")]++
		traigo.Async(s, func(ctx context.Context) (int, error) { return 0, park(ctx) }, traigo.Name("async"))
		want[labelled("server", "async")]++
		_, err := s.Start(t.Context(), func(ctx context.Context, ready func()) error { ready(); return park(ctx) }, traigo.Name("start"))
		require.NoError(t, err)
		want[labelled("server", "start")]++

		conn := s.Fork(traigo.Name("conn"))
		spawn(conn, "read")
		spawn(conn.Fork(traigo.Name("stream")), "send")
		spawn(traigo.New(conn.Context(), traigo.Name("kept")), "keep")

		// What a task starts by itself has its labels, and nobody's list has it.
		s.Spawn(func(context.Context) error { go parkForLabels(release); return nil }, traigo.Name("stray"))
		want[labelled("server", "stray")]++

		// A body is no task, not even of the scope whose task calls Run.
		s.Spawn(func(ctx context.Context) error {
			return traigo.Run(ctx, func(ctx context.Context, s *traigo.Scope) error {
				s.Spawn(park, traigo.Name("inner"))
				go parkForLabels(release)
				return park(ctx)
			}, traigo.Name("nested"))
		}, traigo.Name("outer"))
		want[labelled("server/nested", "")] += 2
		want[labelled("server/nested", "inner")]++

		s.Spawn(func(ctx context.Context) error {
			traigo.Settle(ctx, parker(release).park)
			return nil
		})
		want[labelled("server/Settle", "parker.park[0]")]++

		synctest.Wait()
		assert.Equal(t, want, parkedLabels(t))
		close(release)
		require.NoError(t, s.Close())
	})
}

func TestLabelsAreOffUnlessAskedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		park := func(context.Context) error { parkForLabels(release); return nil }
		root := traigo.New(t.Context(), traigo.Name("root"))
		labelledFork := root.Fork(traigo.Name("fork"), traigo.PprofLabels())
		sibling := root.Fork(traigo.Name("sibling"))
		for _, s := range []*traigo.Scope{root, labelledFork, sibling} {
			// From a goroutine with labels of this package's.
			labelledFork.Spawn(func(context.Context) error { s.Spawn(park, traigo.Name("task")); return nil })
		}
		synctest.Wait()
		assert.Equal(t, map[string]int{"": 2, labelled("root/fork", "task"): 1}, parkedLabels(t))
		assert.Empty(t, labelsIn(root.Context()))
		close(release)
		require.NoError(t, root.Close())
	})
}

// Whatever the labels of a task's goroutine are, those of its context are the same:
// or pprof.Do would take some away.
func TestLabelsOfAContextAreThoseOfItsGoroutine(t *testing.T) {
	user := withLabels(context.Background(), "tenant", "a", "user", "scope's")
	for _, row := range []struct {
		name string
		ctx  context.Context //nolint:containedctx // of a row of the table
		opts []traigo.TaskOption
		want string // of the task
		body string
	}{
		{"none of the user's", context.Background(), nil, labelled("s", "work"), labelled("s", "")},
		{
			"of the outer context", user, nil,
			labelled("s", "work", "tenant", "a", "user", "scope's"), labelled("s", "", "tenant", "a", "user", "scope's"),
		},
		{
			"of Values, in the place of the outer context's", user,
			[]traigo.TaskOption{traigo.Values(withLabels(context.Background(), "user", "values'"))},
			labelled("s", "work", "user", "values'"), labelled("s", "", "tenant", "a", "user", "scope's"),
		},
		{
			"of Values without any", user, []traigo.TaskOption{traigo.Values(context.Background())},
			labelled("s", "work"), labelled("s", "", "tenant", "a", "user", "scope's"),
		},
		{
			"forged", withLabels(context.Background(), "traigo.scope", "x", "traigo.task", "y", "traigo.zone", "z"), nil,
			labelled("s", "work", "traigo.zone", "z"), labelled("s", "", "traigo.zone", "z"),
		},
		{
			"forged by Values", context.Background(),
			[]traigo.TaskOption{traigo.Values(withLabels(context.Background(), "traigo.scope", "x", "traigo.task", "y"))},
			labelled("s", "work"), labelled("s", ""),
		},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				check := func(ctx context.Context, want string) {
					assert.Equal(t, want, labelsIn(ctx))
					assert.Equal(t, want, inherited(t))
				}
				require.NoError(t, traigo.Run(row.ctx, func(ctx context.Context, s *traigo.Scope) error {
					check(ctx, row.body)
					assert.Equal(t, row.body, labelsIn(s.Context()))
					task := s.Spawn(func(ctx context.Context) error {
						check(ctx, row.want)
						pprof.Do(ctx, pprof.Labels("zone", "b"), func(ctx context.Context) {
							check(ctx, row.want[:len(row.want)-1]+`, "zone":"b"}`)
						})
						check(ctx, row.want)
						pprof.Do(ctx, pprof.Labels("zone", "b"), func(ctx context.Context) {
							assert.NoError(t, traigo.Run(ctx, func(ctx context.Context, _ *traigo.Scope) error {
								zone, _ := pprof.Label(ctx, "zone")
								assert.Equal(t, "b", zone)
								return nil
							}))
							check(ctx, row.want[:len(row.want)-1]+`, "zone":"b"}`)
						})
						derived, cancel := context.WithCancel(ctx)
						defer cancel()
						check(derived, row.want)
						return nil
					}, append(row.opts, traigo.Name("work"))...)
					return task.Wait(ctx)
				}, traigo.Name("s"), traigo.PprofLabels()))
			})
		})
	}
}

// With Values a task finds values of two contexts: what is in the second only
// is still found, and the labels hide nothing.
func TestLabelsHideNoValue(t *testing.T) {
	type key string
	synctest.Test(t, func(t *testing.T) {
		outer := context.WithValue(t.Context(), key("a"), "scope's")
		outer = context.WithValue(outer, key("b"), "scope's")
		require.NoError(t, traigo.Run(outer, func(ctx context.Context, s *traigo.Scope) error {
			look := func(a, b any) func(context.Context) error {
				return func(ctx context.Context) error {
					assert.Equal(t, a, ctx.Value(key("a")))
					assert.Equal(t, b, ctx.Value(key("b")))
					assert.Same(t, s, traigo.Current(ctx))
					return nil
				}
			}
			s.Spawn(look("scope's", "scope's"))
			s.Spawn(look("values'", "scope's"), traigo.Values(context.WithValue(context.Background(), key("a"), "values'")))
			return look("scope's", "scope's")(ctx)
		}, traigo.PprofLabels(), traigo.RuntimeTrace()))
	})
}

// The context of a scope that shows itself is as good as another: what ends it ends
// what hangs on it, says why, and needs no goroutine for that.
func TestLabelsLeaveCancellationAsItIs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		outer, cancel := context.WithCancelCause(context.Background())
		s := traigo.New(foreign{outer}, traigo.Name("s"), traigo.PprofLabels(), traigo.RuntimeTrace(), discard())
		var derived []context.Context
		s.Spawn(func(ctx context.Context) error {
			assert.NoError(t, traigo.Run(ctx, func(ctx context.Context, s *traigo.Scope) error {
				inner, stop := context.WithCancel(ctx)
				defer stop()
				derived = append(derived, inner, ctx)
				s.Cancel(nil)
				return nil
			}))
			inner, stop := context.WithCancel(ctx)
			defer stop()
			derived = append(derived, inner, ctx)
			<-inner.Done()
			return ctx.Err()
		})
		synctest.Wait()
		goroutines := runtime.NumGoroutine()
		more, stop := context.WithCancel(s.Context())
		defer stop()
		assert.Equal(t, goroutines, runtime.NumGoroutine())
		cancel(errOuter)
		synctest.Wait()
		assert.ErrorIs(t, context.Cause(more), errOuter)
		assert.ErrorIs(t, s.Wait(), errOuter)
		require.Len(t, derived, 4)
		assert.NotNil(t, cancellation(context.Cause(derived[0]), traigo.Requested))
		for _, ctx := range derived[2:] {
			assert.ErrorIs(t, context.Cause(ctx), errOuter)
			assert.ErrorIs(t, ctx.Err(), context.Canceled)
		}
	})
}

// foreign is a context that package context does not know, and which knows AfterFunc.
type foreign struct {
	context.Context //nolint:containedctx // it is one
}

func (f foreign) AfterFunc(fn func()) func() bool { return context.AfterFunc(f.Context, fn) }

// Short tasks share goroutines: what they leave there reaches nobody.
func TestLabelsOfAnotherTaskAreNeverInherited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 30
		pprof.SetGoroutineLabels(withLabels(context.Background(), "who", "spawner"))
		defer pprof.SetGoroutineLabels(context.Background())
		s := traigo.New(withLabels(context.Background(), "who", "scope"), traigo.Name("s"), traigo.PprofLabels())
		release := make(chan struct{})
		stain := func(context.Context) error {
			pprof.SetGoroutineLabels(withLabels(context.Background(), "who", "another task", "traigo.task", "another"))
			return nil
		}
		park := func(context.Context) error { parkForLabels(release); return nil }
		want := map[string]int{}
		for i := range n {
			name := fmt.Sprint("park ", i%12)
			want[labelled("s", name, "who", "scope")] += 2
			s.Spawn(stain)
			s.Spawn(park, traigo.Name(name))
			s.Spawn(func(ctx context.Context) error {
				s.Spawn(park, traigo.Name(name))
				return stain(ctx)
			})
		}
		synctest.Wait()
		assert.Equal(t, want, parkedLabels(t))
		close(release)
		require.NoError(t, s.Wait())
	})
}

func TestLabelsOfTheCallerAreBackWhenRunIsOver(t *testing.T) {
	body := func(err error, end func()) func(context.Context, *traigo.Scope) error {
		return func(_ context.Context, s *traigo.Scope) error {
			s.Spawn(succeed)
			if end != nil {
				end()
			}
			return err
		}
	}
	for name, body := range map[string]func(context.Context, *traigo.Scope) error{
		"returns":      body(nil, nil),
		"fails":        body(errBoom, nil),
		"panics":       body(nil, func() { panic(errBoom) }),
		"calls Goexit": body(nil, runtime.Goexit),
		"a task panics": func(_ context.Context, s *traigo.Scope) error {
			s.Spawn(func(context.Context) error { panic(errBoom) })
			return nil
		},
		"a task panics, then it calls Goexit": func(ctx context.Context, s *traigo.Scope) error {
			s.Spawn(func(context.Context) error { panic(errBoom) })
			<-ctx.Done()
			runtime.Goexit()
			return nil
		},
	} {
		for _, caller := range []string{"", "caller"} {
			t.Run(name+"/"+caller, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					ctx, want := t.Context(), ""
					if caller != "" {
						ctx, want = withLabels(ctx, "who", caller), `{"who":"caller"}`
					}
					done := make(chan struct{})
					go func() {
						defer close(done)
						defer func() {
							_ = recover()
							assert.Equal(t, want, inherited(t))
						}()
						pprof.SetGoroutineLabels(ctx)
						_ = traigo.Run(ctx, body, traigo.PprofLabels(), discard())
					}()
					<-done
				})
			})
		}
	}
}

// Names are the users', and so are labels.
func TestLabelsMayHaveAnyName(t *testing.T) {
	long := strings.Repeat("long", 2500)
	for _, name := range []string{
		long, "a\xff\xfe\x00z", "two\n\nlines", `{"a":"b", "c":"d"}`, "goroutine 1 [running]:\n", "\u2028 世界", "\x7f\x80", " ", "%d%s",
	} {
		t.Run(fmt.Sprintf("%.12q", name), func(t *testing.T) {
			t.Setenv("GODEBUG", "tracebacklabels=1")
			synctest.Test(t, func(t *testing.T) {
				release := make(chan struct{})
				s := traigo.New(t.Context(), traigo.Name(name), traigo.PprofLabels(), traigo.CancelTimeout(time.Second), discard())
				s.Spawn(func(ctx context.Context) error {
					assert.Equal(t, labelled(name, name), labelsIn(ctx))
					parkForLabels(release)
					return nil
				}, traigo.Name(name))
				synctest.Wait()
				assert.Equal(t, map[string]int{labelled(name, name): 1}, parkedLabels(t))
				var profile bytes.Buffer
				assert.NoError(t, pprof.Lookup("goroutine").WriteTo(&profile, 0))
				require.Len(t, s.Dump().Tasks, 1)
				assert.Contains(t, s.Dump().Tasks[0].Stack, "parkForLabels")
				s.Cancel(nil)
				stuck := itself[*traigo.StuckError](t, outcome(t, s.Wait()).Err)
				assert.Contains(t, stuck.Tasks[0].Stack, "parkForLabels")
				assert.Contains(t, stuck.Tasks[0].Stack, "labels:{")
				close(release)
			})
		})
	}
}

// Stacks are found by what is in them, and with tracebacklabels=1 a name is, too.
func TestLabelsThatLookLikeAStackFoolNobody(t *testing.T) {
	t.Setenv("GODEBUG", "tracebacklabels=1")
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		s := traigo.New(t.Context(), traigo.Name("s"), traigo.PprofLabels(), traigo.CancelTimeout(time.Second), discard())
		innocent := s.Spawn(func(context.Context) error { parkForLabels(release); return nil }, traigo.Name("innocent"))
		s.Spawn(func(context.Context) error { <-release; return nil }, // not the stack of innocent
			traigo.Name(fmt.Sprintf("github.com/traigo/traigo.(*Task).call(%p) [running] traigo.(*Scope).join(", innocent)))
		synctest.Wait()
		for _, task := range s.Dump().Tasks {
			assert.Equal(t, task.Name == "innocent", strings.Contains(task.Stack, "parkForLabels"), task.Stack)
		}
		start := time.Now()
		s.Cancel(nil)
		_ = s.Wait()
		assert.Equal(t, time.Second, time.Since(start), "neither looks as if it ran, or waited for another scope")
		close(release)
	})
}

// Who lends its part of a limit is found by its stack: labels before it, of whatever
// length, must not hide it, or the task below would wait for ever.
func TestLabelsThatAreLongHideNoStack(t *testing.T) {
	t.Setenv("GODEBUG", "tracebacklabels=1")
	synctest.Test(t, func(t *testing.T) {
		limiter := traigo.NewLimiter(1)
		ctx := withLabels(t.Context(), "user's", strings.Repeat("x", 200_000))
		s := traigo.New(ctx, traigo.LimitedBy(limiter), traigo.PprofLabels())
		ran := false
		s.Spawn(func(ctx context.Context) error {
			return traigo.Run(ctx, func(_ context.Context, s *traigo.Scope) error {
				s.Spawn(func(context.Context) error { ran = true; return nil })
				return nil
			}, traigo.LimitedBy(limiter))
		}, traigo.Name(strings.Repeat("y", 10_000)))
		require.NoError(t, s.Wait())
		assert.True(t, ran)
	})
}

// As without labels: a context that cannot be asked keeps nothing from running.
func TestLabelsOfAContextThatPanicsAreLeftOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		book := newRecords()
		bad := hostile{context.Background(), func() { panic("no labels for you") }}
		var runs atomic.Int32
		require.NoError(t, traigo.Run(bad, func(ctx context.Context, s *traigo.Scope) error {
			assert.Equal(t, labelled("s", ""), labelsIn(ctx))
			for range 3 {
				task := s.Spawn(func(ctx context.Context) error {
					assert.Equal(t, labelled("s", "work"), labelsIn(ctx))
					assert.Equal(t, labelled("s", "work"), inherited(t))
					runs.Add(1)
					return nil
				}, traigo.Name("work"))
				assert.NoError(t, task.Wait(ctx))
			}
			for range 3 {
				s.Spawn(func(context.Context) error { runs.Add(1); return nil }, traigo.Values(bad))
			}
			return nil
		}, traigo.Name("s"), traigo.PprofLabels(), traigo.Logger(book.logger())))
		assert.EqualValues(t, 6, runs.Load())
		said := book.from(slog.LevelError)
		assert.Len(t, said, 5, "at the opening, at the end of Run, and for each of Values")
		for _, r := range said {
			assert.True(t, mentions(r.Text, "panicked", "no labels for you"), r.Text)
		}
	})
}

// A loop that is left early, and its panic, leave the labels of the goroutine alone.
func TestLabelsAreBackAfterALoopOverAsCompleted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := withLabels(t.Context(), "who", "caller")
		pprof.SetGoroutineLabels(ctx)
		defer pprof.SetGoroutineLabels(context.Background())
		item := func(context.Context, int) (int, error) { return 1, nil }
		for _, err := range traigo.AsCompleted(ctx, slices.Values([]int{1, 2, 3}), item, traigo.PprofLabels()) {
			require.NoError(t, err)
			break
		}
		assert.JSONEq(t, `{"who":"caller"}`, inherited(t))
		assert.Panics(t, func() {
			for _, err := range traigo.AsCompleted(ctx, slices.Values([]int{1, 2, 3}), item, traigo.PprofLabels()) {
				require.NoError(t, err)
				panic(errBoom)
			}
		})
		assert.JSONEq(t, `{"who":"caller"}`, inherited(t))
	})
}
