package record_test

import (
	"context"
	"fmt"
	"reflect"
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
					want["inlined"] = "sites_test.go:29"
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

// passing is an observer of a user that passes its events on.
type passing struct{ o traigo.Observer }

func (p passing) Observe(e traigo.Event) { p.o.Observe(e) }

// An observer around the recorder is none that spawns or opens.
func TestSitesAreNotInAnObserver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out memory
		rec := record.New(&out, record.Sites())
		opened := here(1)
		s := traigo.New(t.Context(), traigo.Name("s"), traigo.Observe(passing{passing{rec}}))
		var spawned string
		for range 2 {
			spawned = here(1)
			s.Spawn(nop, traigo.Name("spawned"))
		}
		require.NoError(t, s.Wait())
		require.NoError(t, rec.Close())
		h := read(t, out.log())
		assert.Equal(t, opened, h.Scopes[0].At)
		for _, task := range h.Scopes[0].Tasks {
			assert.Equal(t, spawned, task.At)
		}
	})
}

// The code of the user is found below very many frames of libraries, too.
func TestSitesBelowLibraries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out memory
		rec := record.New(&out, record.Sites())
		s := traigo.New(t.Context(), traigo.Name("s"), traigo.Observe(rec))
		call, args := reflect.ValueOf(s.Spawn), []reflect.Value{reflect.ValueOf(nop), reflect.ValueOf(traigo.Name("spawned"))}
		for range 3 { // each calls the one before, which takes some frames of package reflect
			call, args = reflect.ValueOf(call.Call), []reflect.Value{reflect.ValueOf(args)}
		}
		spawned := here(1)
		call.Call(args)
		require.NoError(t, s.Wait())
		require.NoError(t, rec.Close())
		assert.Equal(t, spawned, taskOf(read(t, out.log()), "s/spawned").At)
	})
}
