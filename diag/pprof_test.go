package diag_test

import (
	"context"
	"fmt"
	"runtime"
	"runtime/pprof"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/diag"
)

func parkForLabels(release <-chan struct{}) { <-release }

// parkedLabels counts the goroutines in parkForLabels by their labels.
func parkedLabels(t *testing.T) map[string]int {
	t.Helper()
	var profile strings.Builder
	require.NoError(t, pprof.Lookup("goroutine").WriteTo(&profile, 1))
	counts := map[string]int{}
	for stack := range strings.SplitSeq(profile.String(), "\n\n") {
		if !strings.Contains(stack, ".parkForLabels+") {
			continue
		}
		n, labels := 0, ""
		for line := range strings.Lines(stack) {
			if rest, ok := strings.CutPrefix(line, "# labels: "); ok {
				labels = strings.TrimSpace(rest)
			} else if strings.Contains(line, " @ ") {
				_, err := fmt.Sscanf(line, "%d @", &n)
				require.NoError(t, err)
			}
		}
		counts[labels] += n
	}
	return counts
}

// goroutineLabels returns the labels of this goroutine, which are those of a goroutine
// that it starts. It waits until all others in the bubble wait.
func goroutineLabels(t *testing.T) string {
	t.Helper()
	before, release := parkedLabels(t), make(chan struct{})
	defer synctest.Wait() // until it has ended: the next call counts too
	defer close(release)
	go parkForLabels(release)
	synctest.Wait()
	for labels, n := range parkedLabels(t) {
		if n > before[labels] {
			return labels
		}
	}
	return "no goroutine in parkForLabels"
}

func ofTask(scope, task string) string {
	return fmt.Sprintf(`{"traigo.scope":%q, "traigo.task":%q}`, scope, task)
}

func ofBody(scope string) string { return fmt.Sprintf(`{"traigo.scope":%q}`, scope) }

func labeled(keysAndValues ...string) context.Context {
	return pprof.WithLabels(context.Background(), pprof.Labels(keysAndValues...))
}

func TestPprofLabelsSayWhichTaskOfWhichScopeAGoroutineIs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release, want := make(chan struct{}), map[string]int{}
		park := func(context.Context) error { parkForLabels(release); return nil }
		spawn := func(s *traigo.Scope, name string, opts ...traigo.TaskOption) {
			want[ofTask(s.Path(), name)]++
			s.Spawn(park, append(opts, traigo.Name(name))...)
		}
		s := traigo.New(t.Context(), traigo.Name("server"), traigo.Wrap(diag.PprofLabels))
		spawn(s, "a")
		spawn(s, "b\n\"")
		spawn(s, "a", traigo.Dedicated())
		conn := s.Fork(traigo.Name("conn"), traigo.Wrap(diag.PprofLabels)) // twice is as good as once
		spawn(conn, "read")
		spawn(traigo.New(conn.Context(), traigo.Name("kept")), "keep")

		// What a task starts by itself has its labels.
		s.Spawn(func(context.Context) error { go parkForLabels(release); return nil }, traigo.Name("stray"))
		want[ofTask("server", "stray")]++

		// A body is no task, also if a task calls Run.
		s.Spawn(func(ctx context.Context) error {
			return traigo.Run(ctx, func(ctx context.Context, s *traigo.Scope) error {
				s.Spawn(park, traigo.Name("inner"))
				return park(ctx)
			}, traigo.Name("nested"))
		}, traigo.Name("outer"))
		want[ofBody("server/nested")]++
		want[ofTask("server/nested", "inner")]++

		// A scope without the option has no labels, whoever spawns.
		beside := traigo.New(t.Context())
		s.Spawn(func(context.Context) error { beside.Spawn(park); return nil })
		want[""]++

		synctest.Wait()
		assert.Equal(t, want, parkedLabels(t))
		close(release)
		require.NoError(t, s.Close())
		require.NoError(t, beside.Close())
	})
}

// The labels of a goroutine and of its context are the same: otherwise pprof.Do would take some away.
func TestPprofLabelsOfAContextAreThoseOfItsGoroutine(t *testing.T) {
	for _, row := range []struct {
		scope, values context.Context //nolint:containedctx // of a row of the table
		task, body    string
	}{
		{context.Background(), nil, ofTask("s", "work"), ofBody("s")},
		{labeled("a", "1"), nil, `{"a":"1", ` + ofTask("s", "work")[1:], `{"a":"1", ` + ofBody("s")[1:]},
		{labeled("a", "1"), labeled("a", "2"), `{"a":"2", ` + ofTask("s", "work")[1:], `{"a":"1", ` + ofBody("s")[1:]},
		{labeled("traigo.scope", "x", "traigo.task", "y"), nil, ofTask("s", "work"), ofBody("s")},
	} {
		synctest.Test(t, func(t *testing.T) {
			check := func(ctx context.Context, want string) {
				assert.Equal(t, want, goroutineLabels(t))
				pprof.SetGoroutineLabels(ctx)
				assert.Equal(t, want, goroutineLabels(t))
			}
			require.NoError(t, traigo.Run(row.scope, func(ctx context.Context, s *traigo.Scope) error {
				opts := []traigo.TaskOption{traigo.Name("work")}
				if row.values != nil {
					opts = append(opts, traigo.Values(row.values))
				}
				check(ctx, row.body)
				task := s.Spawn(func(ctx context.Context) error {
					check(ctx, row.task)
					pprof.Do(ctx, pprof.Labels("z", "0"), func(ctx context.Context) {
						inZ := strings.TrimSuffix(row.task, "}") + `, "z":"0"}`
						check(ctx, inZ)
						assert.NoError(t, traigo.Run(ctx, func(ctx context.Context, _ *traigo.Scope) error {
							z, _ := pprof.Label(ctx, "z")
							assert.Equal(t, "0", z)
							return nil
						}))
						assert.Equal(t, inZ, goroutineLabels(t))
					})
					assert.Equal(t, row.task, goroutineLabels(t))
					return nil
				}, opts...)
				return task.Wait(ctx)
			}, traigo.Name("s"), traigo.Wrap(diag.PprofLabels)))
		})
	}
}

// Short tasks share goroutines.
func TestPprofLabelsDoNotReachTheNextTask(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release, want := make(chan struct{}), map[string]int{}
		park := func(context.Context) error { parkForLabels(release); return nil }
		s := traigo.New(t.Context(), traigo.Name("s"), traigo.Wrap(diag.PprofLabels))
		for i := range 30 {
			name := traigo.Name(fmt.Sprint("park ", i%3))
			want[ofTask("s", fmt.Sprint("park ", i%3))] += 2
			s.Spawn(func(context.Context) error {
				pprof.SetGoroutineLabels(labeled("who", "another", "traigo.task", "another"))
				s.Spawn(park, name)
				return nil
			})
			s.Spawn(park, name)
		}
		synctest.Wait()
		assert.Equal(t, want, parkedLabels(t))
		close(release)
		require.NoError(t, s.Wait())
	})
}

func TestPprofLabelsOfTheCallerAreBackAfterRun(t *testing.T) {
	for _, end := range []func() error{
		func() error { return errBoom },
		func() error { panic(errBoom) },
		func() error { runtime.Goexit(); return nil },
	} {
		synctest.Test(t, func(t *testing.T) {
			done, caller := make(chan struct{}), labeled("who", "caller")
			go func() {
				defer close(done)
				defer func() {
					_ = recover()
					assert.JSONEq(t, `{"who":"caller"}`, goroutineLabels(t))
				}()
				_ = traigo.Run(caller, func(_ context.Context, s *traigo.Scope) error {
					s.Spawn(succeed)
					return end()
				}, traigo.Wrap(diag.PprofLabels), quiet())
			}()
			<-done
		})
	}
}
