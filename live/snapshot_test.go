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

// Nothing is as old as the question, and nobody waits longer than for the next look.
func TestAnAnswerIsNewerThanItsQuestion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		root := opened(t)
		h := live.Handler(root)
		for i := range 10 {
			root.Spawn(untilCanceled, traigo.Name(fmt.Sprint("task ", i)))
			begin := time.Now()
			assert.Contains(t, get(h, "/").Body.String(), fmt.Sprint("task ", i))
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
		h.ServeHTTP(w, httptest.NewRequestWithContext(ctx, http.MethodGet, "/", http.NoBody))
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
		x := decode(t, get(live.Handler(s), "/?format=json").Body.Bytes())
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
		full := decode(t, get(live.Handler(s), "/?format=json&full=1").Body.Bytes())
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
		shown := decode(t, get(h, "/?format=json").Body.Bytes()).Roots[0].Below[0].Path
		w := get(h, "/?path="+url.QueryEscape(shown))
		assert.Equal(t, http.StatusOK, w.Code, w.Body.String())
	})
}

// slow takes pictures that need two seconds, and says which it is of what.
func slow(gap time.Duration) func(ctx context.Context, key int) (string, error) {
	taken := 0
	return live.Throttle(gap, func(key int) string {
		taken++
		number := taken
		time.Sleep(2 * time.Second)
		return fmt.Sprintf("number %d, of %d", number, key)
	})
}

// ask adds what a client gets, and when.
func ask(t *testing.T, get func(context.Context, int) (string, error), key int) func() string {
	var answer string
	var client sync.WaitGroup
	begin := time.Now()
	client.Go(func() {
		picture, err := get(t.Context(), key)
		assert.NoError(t, err)
		answer = fmt.Sprintf("%s, after %v", picture, time.Since(begin))
	})
	synctest.Wait()
	return func() string {
		client.Wait()
		return answer
	}
}

func TestACameraTakesNoPictureThatIsOlderThanTheQuestion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		get := slow(time.Second)
		first := ask(t, get, 7)
		time.Sleep(time.Second)
		second, third := ask(t, get, 7), ask(t, get, 7)
		assert.Equal(t, "number 1, of 7, after 2s", first())
		// It rests for twice as long as it has worked: from 2 s to 6 s.
		assert.Equal(t, "number 2, of 7, after 7s", second(), "the first had been begun before")
		assert.Equal(t, "number 2, of 7, after 7s", third(), "shared")
	})
}

func TestACameraGivesNobodyAnothersPicture(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		get := slow(time.Second)
		first, second, third := ask(t, get, 1), ask(t, get, 2), ask(t, get, 3)
		assert.Equal(t, "number 1, of 1, after 2s", first())
		assert.Equal(t, "number 2, of 2, after 8s", second())
		assert.Equal(t, "number 3, of 3, after 14s", third())
	})
}

func TestAClientOfACameraNeedNotWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		get := slow(time.Minute)
		first := ask(t, get, 1)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := get(ctx, 1)
		assert.ErrorIs(t, err, context.DeadlineExceeded, "while another is taken")
		assert.Equal(t, "number 1, of 1, after 2s", first())
		ctx, cancel = context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err = get(ctx, 1)
		assert.ErrorIs(t, err, context.DeadlineExceeded, "while the camera rests")
	})
}
