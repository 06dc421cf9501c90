package record_test

import (
	"context"
	"fmt"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/record"
)

// here returns the file and line so many lines below the call.
func here(below int) string {
	_, _, line, _ := runtime.Caller(1)
	return fmt.Sprintf("%s:%d", thisFile(), line+below)
}

func thisFile() string { return "sites_test.go" }

// spawnInline is inlined into its caller: both are frames of one address.
func spawnInline(s *traigo.Scope, name string) *traigo.Task {
	return s.Spawn(nop, traigo.Name(name))
}

func TestSitesSayWhereTasksAndScopesBegan(t *testing.T) {
	for _, mode := range modes {
		synctest.Test(t, func(t *testing.T) {
			var out memory
			rec := record.New(&out, append(mode, record.Sites())...)
			want := map[string]string{"root": here(1)}
			_ = traigo.Run(t.Context(), func(ctx context.Context, s *traigo.Scope) error {
				for range 2 { // the second time from what is remembered
					want["spawned"] = here(1)
					s.Spawn(nop, traigo.Name("spawned"))
					want["inlined"] = "sites_test.go:28"
					spawnInline(s, "inlined")
					want["async"] = here(1)
					_, err := traigo.Async(s, func(context.Context) (int, error) { return 0, nil }, traigo.Name("async")).Await(ctx)
					require.NoError(t, err)
					want["fork"] = here(1)
					s.Fork(traigo.Name("fork")).Finalize()
				}
				want["All"] = here(1)
				_, err := traigo.All(ctx, func(context.Context) (int, error) { return 0, nil })
				return err
			}, traigo.Name("root"), traigo.Observe(rec))
			require.NoError(t, rec.Close())
			h := read(t, out.log())
			got := map[string]string{}
			for _, s := range h.Scopes {
				got[s.Name] = s.At
				for _, task := range s.Tasks {
					if s.Name == "root" {
						got[task.Name] = task.At
					}
				}
			}
			assert.Equal(t, want, got)
		})
	}
}

// A census after the beginning of a file has the lines as well.
func TestSitesAreInEachFile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := tempLog(t)
		rec, err := record.Create(path, record.Sites(), record.MaxAge(time.Minute), record.Keep(0))
		require.NoError(t, err)
		at := here(1)
		s := traigo.New(t.Context(), traigo.Name("s"), traigo.Observe(rec))
		s.Spawn(untilCanceled, traigo.Name("parked"))
		time.Sleep(time.Hour)
		flush(s)
		h, _ := readFile(t, path)
		assert.Equal(t, at, h.Scopes[0].At)
		assert.Equal(t, fmt.Sprintf("sites_test.go:%d", lineOf(t, at)+1), taskOf(h, "s/parked").At)
		require.NoError(t, s.Close())
		require.NoError(t, rec.Close())
	})
}

func lineOf(t *testing.T, at string) (line int) {
	t.Helper()
	_, err := fmt.Sscanf(at, thisFile()+":%d", &line)
	require.NoError(t, err)
	return line
}

// Without the option there are none.
func TestSitesAreAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out memory
		rec := record.New(&out)
		chat(rec)
		require.NoError(t, rec.Close())
		assert.NotContains(t, string(out.log()), `"at"`)
	})
}
