package live_test

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo"
)

// Snapshots that tests write by hand: their parts, and the time when they were taken.

// at is when the snapshots were taken.
var at = time.Date(2026, 11, 21, 15, 4, 5, 0, time.UTC)

func ago(d time.Duration) time.Time { return at.Add(-d) }

// scope returns a snapshot of a scope that was opened a minute ago.
func scope(id uint64, name string, tasks ...traigo.TaskSnapshot) traigo.Snapshot {
	return traigo.Snapshot{ID: id, Name: name, Path: name, Opened: ago(time.Minute), Age: time.Minute, Tasks: tasks}
}

// task returns a snapshot of a task that has run for a second.
func task(id uint64, name string) traigo.TaskSnapshot {
	return traigo.TaskSnapshot{
		ID: id, Name: name, Path: "server/" + name, State: "running", Spawned: ago(time.Second), Age: time.Second,
		Bubble: true, Awaited: true,
	}
}

// with returns x after change.
func with[T any](x T, change func(*T)) T {
	change(&x)
	return x
}

// canceled returns a scope that was canceled, with tasks that still run.
func canceled(names ...string) traigo.Snapshot {
	s := with(scope(3, "upload"), func(s *traigo.Snapshot) { s.State, s.Cause = traigo.Canceling, "requested" })
	for i, name := range names {
		s.Tasks = append(s.Tasks, with(task(uint64(i+1), name), func(t *traigo.TaskSnapshot) { t.State = "canceling" }))
	}
	return s
}

// closed returns a scope that has closed, with a task that it has given up.
func closed(name string) traigo.Snapshot {
	givenUp := with(task(1, name), func(t *traigo.TaskSnapshot) { t.State = "given up" })
	return with(scope(8, "billing", givenUp), func(s *traigo.Snapshot) { s.State, s.Cause = traigo.Closed, "requested" })
}

// forks returns n scopes, each with the tasks.
func forks(state traigo.State, n int, tasks ...traigo.TaskSnapshot) (scopes []traigo.Snapshot) {
	for i := range n {
		scopes = append(scopes, with(scope(uint64(10+i), "fork", tasks...), func(s *traigo.Snapshot) { s.State = state }))
	}
	return scopes
}

// many returns a scope with n tasks of a name, in which # stands for letters that differ.
func many(n int, name string) traigo.Snapshot {
	s := scope(3, "server")
	for i := range n {
		s.Tasks = append(s.Tasks, task(uint64(i+1), strings.ReplaceAll(name, "#", letters(i))))
	}
	return s
}

// letters returns the number i in letters: names that differ in digits alone would be folded.
func letters(i int) string {
	return strings.Map(func(r rune) rune { return r - '0' + 'a' }, strconv.Itoa(i))
}

// Scopes that run, and their tasks.

// opened opens a scope that is closed at the end of the test.
func opened(t *testing.T, opts ...traigo.ScopeOption) *traigo.Scope {
	t.Helper()
	s := traigo.New(context.Background(), append([]traigo.ScopeOption{traigo.Name("server")}, opts...)...)
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func untilCanceled(ctx context.Context) error {
	<-ctx.Done()
	return ctx.Err()
}

// waitHere and waitThere do the same, and differ in their stacks.
func waitHere(ctx context.Context) error  { return untilCanceled(ctx) }
func waitThere(ctx context.Context) error { return untilCanceled(ctx) }

// ignoringCancel returns a task function that returns only when end is closed.
func ignoringCancel(end chan struct{}) func(context.Context) error {
	return func(context.Context) error { return deafWork(end) }
}

// deafWork is found by its name in the stack of what calls it.
//
//go:noinline
func deafWork(end chan struct{}) error { <-end; return nil }

func loggerTo(w io.Writer) *slog.Logger { return slog.New(slog.NewTextHandler(w, nil)) }

// Requests and answers.

// request returns a request with headers: name, value, name, value.
func request(ctx context.Context, method, target string, headers ...string) *http.Request {
	r := httptest.NewRequestWithContext(ctx, method, target, http.NoBody)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	return r
}

// get returns the handler's answer to a GET request.
func get(h http.Handler, target string, headers ...string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, request(context.Background(), http.MethodGet, target, headers...))
	return w
}

// getText returns the tree as text.
func getText(h http.Handler) string { return get(h, "/").Body.String() }

// getJSON returns the tree that a query asks for, from its JSON.
func getJSON(t *testing.T, h http.Handler, query string) tree {
	t.Helper()
	return decode(t, get(h, "/?format=json"+query).Body.Bytes())
}

func readAll(t *testing.T, r io.Reader) string {
	t.Helper()
	text, err := io.ReadAll(r)
	require.NoError(t, err)
	return string(text)
}

// A tree is what tests read of the JSON.
type tree struct {
	Version                  int
	Taken                    time.Time
	Scopes, Tasks, Canceling int
	Warnings                 []struct {
		Lint, Level, Says, Do string
		Count                 int
		Since                 time.Time
		AtLeast               bool
		At, Details           []string
	}
	Recheck, Cut int
	Note         string
	Roots        []branch
	Looked       time.Time
	Places       []group
	Limiters     []limiter
	Ended        []ended
	FailedTotal  int
}

// A group is tasks that wait at the same place.
type group struct {
	Waits, At    string
	From         time.Time
	For          time.Duration
	Count        int
	Paths, Names []string
}

// A limiter is one of package capacity.
type limiter struct {
	Limit, InUse, Waiting int
	Holders, Waiters      []string
}

// An ended is a kind of scopes that have ended.
type ended struct {
	Path, Err            string
	Opened, First, Ended time.Time
	Count, Weight, Above int
	Canceled             bool
}

// A branch is a node.
type branch struct {
	Key, Kind, Name, Path, State, Cause, Stack string
	ID, Scope                                  uint64
	Count, More, Pid, Processes                int
	Flags, Warnings, Blocked, Holders          []string
	States                                     map[string]int
	Waiting                                    int
	Waits, At                                  string
	From                                       time.Time
	For                                        time.Duration
	Standing                                   []standing
	Below, Members                             []branch
}

// A standing is a place where some of a group wait.
type standing struct {
	Waits, At string
	For       time.Duration
	Count     int
}

func decode(t *testing.T, text []byte) (x tree) {
	t.Helper()
	require.NoError(t, json.Unmarshal(text, &x), "%s", text)
	return x
}
