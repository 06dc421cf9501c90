package live_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo"
)

// at is the moment of the snapshots that tests write by hand.
var at = time.Date(2026, 11, 21, 15, 4, 5, 0, time.UTC)

func ago(d time.Duration) time.Time { return at.Add(-d) }

// scope is a snapshot of one that is open since a minute.
func scope(id uint64, name string, tasks ...traigo.TaskSnapshot) traigo.Snapshot {
	return traigo.Snapshot{ID: id, Name: name, Path: name, Opened: ago(time.Minute), Age: time.Minute, Tasks: tasks}
}

// task is a snapshot of one that runs since a second.
func task(id uint64, name string) traigo.TaskSnapshot {
	return traigo.TaskSnapshot{
		ID: id, Name: name, Path: "server/" + name, State: "running", Spawned: ago(time.Second), Age: time.Second,
		Bubble: true, Awaited: true,
	}
}

// with changes a value a little.
func with[T any](x T, change func(*T)) T {
	change(&x)
	return x
}

func untilCanceled(ctx context.Context) error {
	<-ctx.Done()
	return ctx.Err()
}

func opened(t *testing.T, opts ...traigo.ScopeOption) *traigo.Scope {
	t.Helper()
	s := traigo.New(context.Background(), append([]traigo.ScopeOption{traigo.Name("server")}, opts...)...)
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// get asks a handler; the headers are name, value, name, value.
func get(h http.Handler, target string, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodGet, target, http.NoBody)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// tree is the JSON, as far as tests look at it.
type tree struct {
	Version                  int
	Taken                    time.Time
	Scopes, Tasks, Canceling int
	Warnings                 []struct {
		Lint, Says, Do string
		Count          int
		At             []string
	}
	Recheck, Cut int
	Note         string
	Roots        []branch
	Ended        []struct{ Path, Err string }
}

type branch struct {
	Key, Kind, Name, Path, State, Cause, Stack string
	ID, Scope                                  uint64
	Count, More                                int
	Flags, Warnings                            []string
	Below                                      []branch
}

func decode(t *testing.T, text []byte) (x tree) {
	t.Helper()
	require.NoError(t, json.Unmarshal(text, &x), "%s", text)
	return x
}

// canceled is a scope that was, with tasks that do not mind.
func canceled(names ...string) traigo.Snapshot {
	s := with(scope(3, "upload"), func(s *traigo.Snapshot) { s.State, s.Cause = traigo.Canceling, "requested" })
	for i, name := range names {
		s.Tasks = append(s.Tasks, with(task(uint64(i+1), name), func(t *traigo.TaskSnapshot) { t.State = "canceling" }))
	}
	return s
}

func forks(state traigo.State, n int, tasks ...traigo.TaskSnapshot) (scopes []traigo.Snapshot) {
	for i := range n {
		scopes = append(scopes, with(scope(uint64(10+i), "fork", tasks...), func(s *traigo.Snapshot) { s.State = state }))
	}
	return scopes
}

func nameless(n int, name string) traigo.Snapshot {
	s := scope(3, "server")
	for i := range n {
		s.Tasks = append(s.Tasks, task(uint64(i+1), name))
	}
	return s
}

// wide is a scope with n tasks that have nothing in common.
func wide(n int) traigo.Snapshot {
	server := scope(3, "server")
	for i := range n {
		server.Tasks = append(server.Tasks, task(uint64(i+1), fmt.Sprintf("worker-%d", i)))
	}
	return server
}

//go:noinline
func deafWork(end chan struct{}) error { <-end; return nil }

func waitHere(ctx context.Context) error  { return untilCanceled(ctx) }
func waitThere(ctx context.Context) error { return untilCanceled(ctx) }

func readAll(t *testing.T, r io.Reader) string {
	t.Helper()
	text, err := io.ReadAll(r)
	require.NoError(t, err)
	return string(text)
}

func loggerTo(w io.Writer) *slog.Logger { return slog.New(slog.NewTextHandler(w, nil)) }
