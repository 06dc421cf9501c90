package traigo_test

import (
	"context"
	"fmt"
	"runtime/pprof"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo"
)

func namedBody(_ context.Context, s *traigo.Scope) error {
	if s.Name() != "namedBody" {
		return fmt.Errorf("Run is named %q", s.Name())
	}
	return nil
}

func namedAnswer(context.Context) (int, error) { return 42, nil }

func TestDefaultNameIsTheFunctions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		require.NoError(t, traigo.Run(t.Context(), namedBody))
		s := traigo.New(t.Context())
		assert.Equal(t, "succeed", s.Spawn(succeed).Name())
		tried, _ := s.TrySpawn(succeed)
		assert.Equal(t, "succeed", tried.Name())
		assert.Equal(t, "namedAnswer", traigo.Async(s, namedAnswer).Task().Name())
		closure := s.Spawn(func(context.Context) error { return nil }).Name()
		assert.Regexp(t, `^TestDefaultNameIsTheFunctions\.func`, closure)
		require.NoError(t, s.Wait())
		assert.Equal(t, "succeed", s.Spawn(succeed).Name(), "a refused task has a name")
	})
}

func TestDefaultNameOfNewAndForkIsTheID(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := traigo.New(t.Context())
		child := s.Fork()
		for _, scope := range []*traigo.Scope{s, child} {
			assert.Equal(t, fmt.Sprintf("scope#%d", scope.ID()), scope.Name())
		}
		assert.Equal(t, s.Name()+"/"+child.Name(), child.Path())
		require.NoError(t, s.Close())
	})
}

func TestNamesMakePaths(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := traigo.New(t.Context(), traigo.Name("server"))
		child := s.Fork(traigo.Name("conn"))
		task := child.Spawn(succeed, traigo.Name("read"))
		assert.Equal(t, "server", s.Path())
		assert.Equal(t, "conn", child.Name())
		assert.Equal(t, "server/conn", child.Path())
		assert.Equal(t, "read", task.Name())
		assert.Equal(t, "server/conn/read", task.Path())
		assert.Same(t, child, task.Scope())
		require.NoError(t, s.Close())
	})
}

func TestIDsAreUnique(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		scopes := map[uint64]bool{}
		for range 100 {
			s := traigo.New(t.Context())
			child := s.Fork()
			assert.False(t, scopes[s.ID()])
			scopes[s.ID()] = true
			assert.False(t, scopes[child.ID()])
			scopes[child.ID()] = true

			tasks := map[uint64]bool{}
			for range 10 {
				task := s.Spawn(succeed)
				assert.False(t, tasks[task.ID()])
				tasks[task.ID()] = true
			}
			require.NoError(t, s.Close())
		}
	})
}

func parkForLabels(release <-chan struct{}) { <-release }

// parkedLabels counts the goroutines in parkForLabels by their labels.
func parkedLabels(t *testing.T) map[string]int {
	t.Helper()
	var profile strings.Builder
	require.NoError(t, pprof.Lookup("goroutine").WriteTo(&profile, 1))
	counts := map[string]int{}
	for record := range strings.SplitSeq(profile.String(), "\n\n") {
		if !strings.Contains(record, ".parkForLabels+") {
			continue
		}
		n, labels := 0, ""
		for line := range strings.Lines(record) {
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

func TestTaskBeginsWithTheLabelsOfItsContext(t *testing.T) {
	who := func(who string) context.Context {
		if who == "" {
			return context.Background()
		}
		return pprof.WithLabels(context.Background(), pprof.Labels("who", who))
	}
	rows := []struct {
		name  string
		scope string // label of its context
		opts  []traigo.TaskOption
		want  string
	}{
		{"no labels", "", nil, ""},
		{"the scope's", "scope", nil, `{"who":"scope"}`},
		{"Values'", "scope", []traigo.TaskOption{traigo.Values(who("values"))}, `{"who":"values"}`},
		{"Values' in a scope without", "", []traigo.TaskOption{traigo.Values(who("values"))}, `{"who":"values"}`},
		{"Values without", "scope", []traigo.TaskOption{traigo.Values(who(""))}, ""},
		{"a goroutine's own", "scope", []traigo.TaskOption{traigo.Dedicated()}, `{"who":"scope"}`},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const n = 30
				// A go statement would hand these on.
				pprof.SetGoroutineLabels(who("spawner"))
				defer pprof.SetGoroutineLabels(context.Background())

				s := traigo.New(who(row.scope))
				stain := func(context.Context) error { pprof.SetGoroutineLabels(who("another task")); return nil }
				release := make(chan struct{})
				park := func(context.Context) error { parkForLabels(release); return nil }
				for range n {
					s.Spawn(stain, row.opts...)
				}
				synctest.Wait()
				for range n {
					s.Spawn(stain, row.opts...)
					s.Spawn(park, row.opts...)
				}
				// And from a task, whose goroutine may take the next task itself.
				for range n {
					s.Spawn(func(ctx context.Context) error {
						s.Spawn(park, row.opts...)
						return stain(ctx)
					}, row.opts...)
				}
				synctest.Wait()
				assert.Equal(t, map[string]int{row.want: 2 * n}, parkedLabels(t))
				close(release)
				require.NoError(t, s.Wait())
			})
		})
	}
}
