package live_test

import (
	"context"
	"encoding/json"
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
