package live_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/live"
)

// Each answer has a snapshot that was taken after the request, and no request waits longer
// than until the next snapshot may be taken.
func TestAnAnswerIsNewerThanItsRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		root := opened(t)
		h := live.Handler(root)
		for i := range 10 {
			root.Spawn(untilCanceled, traigo.Name("task "+letters(i)))
			begin := time.Now()
			assert.Contains(t, getText(h), "task "+letters(i))
			assert.LessOrEqual(t, time.Since(begin), 250*time.Millisecond)
		}
		assert.Equal(t, uint64(10), live.SnapshotsTaken(h))
	})
}

func TestAClientThatLeavesIsNotWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := live.Handler(opened(t))
		get(h, "/")
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		w := httptest.NewRecorder()
		begin := time.Now()
		h.ServeHTTP(w, request(ctx, http.MethodGet, "/"))
		assert.Equal(t, 10*time.Millisecond, time.Since(begin))
		assert.Equal(t, http.StatusServiceUnavailable, w.Code)
		assert.False(t, live.KeepsSnapshot(h))
	})
}

func TestJSONHasTheTree(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := opened(t)
		s.Spawn(func(ctx context.Context) error {
			return traigo.Run(ctx, func(_ context.Context, s *traigo.Scope) error {
				s.Spawn(untilCanceled, traigo.Name("read"))
				return nil
			}, traigo.Name("conn"))
		}, traigo.Name("accept"), traigo.Awaited(false))
		for range 7 {
			s.Spawn(untilCanceled, traigo.Name("worker"))
		}
		synctest.Wait()
		x := getJSON(t, live.Handler(s), "")
		assert.Equal(t, 1, x.Version)
		assert.True(t, time.Now().Equal(x.Taken))
		assert.Equal(t, []int{2, 9, 0}, []int{x.Scopes, x.Tasks, x.Canceling})
		require.Len(t, x.Roots, 1)
		root := x.Roots[0]
		assert.Equal(t, "scope server open", root.Kind+" "+root.Name+" "+root.State)
		require.Len(t, root.Below, 2)
		accept, workers := root.Below[0], root.Below[1]
		assert.Equal(t, "task server/accept running", accept.Kind+" "+accept.Path+" "+accept.State)
		assert.Equal(t, []string{"not awaited"}, accept.Flags)
		assert.Equal(t, s.ID(), accept.Scope)
		assert.Equal(t, "conn", accept.Below[0].Name)
		assert.Equal(t, "read", accept.Below[0].Below[0].Name)
		assert.Equal(t, 7, workers.Count)
		full := getJSON(t, live.Handler(s), "&full=1")
		assert.Len(t, full.Roots[0].Below, 8)
	})
}

func TestAPartIsFoundByPathOrID(t *testing.T) {
	server := scope(3, "server", task(1, "accept"))
	server.Scopes = []traigo.Snapshot{
		with(scope(4, "conn", task(1, "read")), func(s *traigo.Snapshot) { s.Path = "server/conn" }),
		with(scope(5, "conn", task(1, "write")), func(s *traigo.Snapshot) { s.Path = "server/conn" }),
	}
	both := live.Text(&live.LintState{}, at, "path=server/conn", server)
	assert.Contains(t, both, "\nconn (open, 1m0s)\n└─ • read (running, 1s)\nconn (open, 1m0s)\n└─ • write")
	one := live.Text(&live.LintState{}, at, "scope=5", server)
	assert.NotContains(t, one, "read")
	assert.Contains(t, one, "write")
	assert.Contains(t, live.Text(&live.LintState{}, at, "path=server/accept", server), "\n• accept (running, 1s)\n")

	strange := scope(6, "a\tb")
	for _, path := range []string{"a%09b", `a\tb`} {
		x := decode(t, live.JSON(&live.LintState{}, at, "path="+path, server, strange))
		require.Len(t, x.Roots, 1)
		assert.Equal(t, `a\tb`, x.Roots[0].Path)
	}
}

func TestALongPathIsFoundAsItIsShown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := opened(t)
		s.Fork(traigo.Name(strings.Repeat("x", 1500)))
		h := live.Handler(s)
		shown := getJSON(t, h, "").Roots[0].Below[0].Path
		w := get(h, "/?path="+url.QueryEscape(shown))
		assert.Equal(t, http.StatusOK, w.Code, w.Body.String())
	})
}

// slow returns a throttle of calls that take two seconds. The result has the number of
// the call and the key.
func slow(interval time.Duration) func(ctx context.Context, key int) (string, error) {
	calls := 0
	return live.Throttle(interval, func(key int) string {
		calls++
		number := calls
		time.Sleep(2 * time.Second)
		return fmt.Sprintf("number %d, of %d", number, key)
	})
}

// ask calls get as a client, and returns a function that waits for the client, and returns
// what it got and when.
func ask(t *testing.T, get func(context.Context, int) (string, error), key int) func() string {
	var answer string
	var client sync.WaitGroup
	begin := time.Now()
	client.Go(func() {
		result, err := get(t.Context(), key)
		assert.NoError(t, err)
		answer = fmt.Sprintf("%s, after %v", result, time.Since(begin))
	})
	synctest.Wait()
	return func() string {
		client.Wait()
		return answer
	}
}

func TestThrottleReturnsNoResultOlderThanTheRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		get := slow(time.Second)
		first := ask(t, get, 7)
		time.Sleep(time.Second)
		second, third := ask(t, get, 7), ask(t, get, 7)
		assert.Equal(t, "number 1, of 7, after 2s", first())
		// No call begins for twice as long as the last one took: from 2 s to 6 s.
		assert.Equal(t, "number 2, of 7, after 7s", second(), "the first call had begun before")
		assert.Equal(t, "number 2, of 7, after 7s", third(), "shared")
	})
}

func TestThrottleKeepsKeysApart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		get := slow(time.Second)
		first, second, third := ask(t, get, 1), ask(t, get, 2), ask(t, get, 3)
		assert.Equal(t, "number 1, of 1, after 2s", first())
		assert.Equal(t, "number 2, of 2, after 8s", second())
		assert.Equal(t, "number 3, of 3, after 14s", third())
	})
}

func TestAClientOfAThrottleNeedNotWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		get := slow(time.Minute)
		first := ask(t, get, 1)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := get(ctx, 1)
		assert.ErrorIs(t, err, context.DeadlineExceeded, "during a call")
		assert.Equal(t, "number 1, of 1, after 2s", first())
		ctx, cancel = context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err = get(ctx, 1)
		assert.ErrorIs(t, err, context.DeadlineExceeded, "between two calls")
	})
}
