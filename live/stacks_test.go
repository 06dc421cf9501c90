package live_test

import (
	"context"
	"fmt"
	"net/http"
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

func TestStacksAreShownWhenAskedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := opened(t)
		for range 6 {
			s.Spawn(waitHere, traigo.Name("worker"))
		}
		s.Spawn(waitThere, traigo.Name("worker"))
		synctest.Wait()
		h := live.Handler(s)
		assert.NotContains(t, getText(h), "goroutine ")

		text := get(h, "/?stacks=1").Body.String()
		assert.Regexp(t, `├─ • worker \[×6\] \(running, 250ms, 6 × chan receive at helpers_test.go:\d+\)\n│    goroutine `, text)
		assert.Regexp(t, `└─ • worker \(running, 250ms, chan receive at helpers_test.go:\d+\)\n     goroutine `, text, "a task with another stack is not folded")
		assert.Equal(t, 1, strings.Count(text, "live_test.waitHere("))
		assert.Equal(t, 1, strings.Count(text, "live_test.waitThere("))

		x := decode(t, get(h, "/?stacks=1&format=json").Body.Bytes())
		assert.Contains(t, x.Roots[0].Below[0].Stack, "live_test.waitHere(")
	})
}

func TestOneStackCanBeAskedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, other := opened(t), opened(t)
		conn := s.Fork()
		task := conn.Spawn(waitHere)
		synctest.Wait()
		h := live.Handler(other, s)
		ask := func(scope, task uint64) (int, string) {
			w := get(h, fmt.Sprintf("/stack?scope=%d&task=%d", scope, task))
			return w.Code, w.Body.String()
		}
		code, text := ask(conn.ID(), task.ID())
		assert.Equal(t, http.StatusOK, code)
		assert.Regexp(t, `^goroutine (.|\n)*live_test.waitHere`, text)
		code, _ = ask(conn.ID(), task.ID()+1)
		assert.Equal(t, http.StatusNotFound, code)
		code, text = ask(s.ID(), 0)
		assert.Equal(t, http.StatusNotFound, code)
		assert.Contains(t, text, "no stack of its own")
		require.NoError(t, conn.Close())
		code, text = ask(conn.ID(), task.ID())
		assert.Equal(t, http.StatusNotFound, code)
		assert.Contains(t, text, "the scope has closed")
		assert.Equal(t, http.StatusBadRequest, get(h, "/stack").Code)
		assert.Equal(t, http.StatusBadRequest, get(h, "/stack?scope=1&task=x").Code)
		assert.Equal(t, http.StatusBadRequest, get(h, "/stack?scope=x").Code)
	})
}

func TestTheBodyOfRunHasAStack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		assert.NoError(t, traigo.Run(t.Context(), func(_ context.Context, s *traigo.Scope) error {
			text := get(live.Handler(s), fmt.Sprintf("/stack?scope=%d", s.ID())).Body.String()
			assert.Contains(t, text, "TestTheBodyOfRunHasAStack")
			return nil
		}))
	})
}

// A dump stops the program: there is one a second, however many clients ask.
func TestDumpsAreRare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := opened(t)
		task := s.Spawn(waitHere)
		synctest.Wait()
		h := live.Handler(s)
		begin := time.Now()
		var clients sync.WaitGroup
		for range 20 {
			clients.Go(func() {
				for range 3 {
					w := get(h, fmt.Sprintf("/stack?scope=%d&task=%d", s.ID(), task.ID()))
					assert.Equal(t, http.StatusOK, w.Code, "%s", w.Body)
				}
			})
		}
		clients.Wait()
		assert.GreaterOrEqual(t, time.Since(begin), 2*time.Second)
		assert.LessOrEqual(t, time.Since(begin), 4*time.Second, "clients share a dump")
	})
}

// One dump serves all roots.
func TestManyRootsAreDumpedAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var roots []*traigo.Scope
		for range 10 {
			root := opened(t)
			root.Spawn(waitHere)
			roots = append(roots, root)
		}
		synctest.Wait()
		h := live.Handler(roots...)
		text := get(h, "/?stacks=1&full=1").Body.String()
		assert.Equal(t, 10, strings.Count(text, "live_test.waitHere("))
		text = get(h, fmt.Sprintf("/?stacks=1&full=1&scope=%d", roots[9].ID())).Body.String()
		assert.Equal(t, 1, strings.Count(text, "live_test.waitHere("))
	})
}

// The stack of an abandoned call is not that of its task, in a Dump and when asked for.
func TestAnAbandonedCallHasItsOwnStack(t *testing.T) {
	s := opened(t)
	h := live.Handler(s)
	end := make(chan struct{})
	defer close(end)
	in, left := make(chan struct{}), make(chan struct{})
	c := s.Spawn(func(ctx context.Context) error {
		_ = traigo.Blocking(func() error { close(in); return deafWork(end) })(ctx)
		close(left)
		<-end // cleans up
		return nil
	}, traigo.Name("call"))
	<-in
	c.Cancel(nil)
	<-left
	for _, x := range s.Dump().Tasks {
		assert.Equal(t, x.State == "abandoned", strings.Contains(x.Stack, "deafWork"), x.State)
	}
	at := fmt.Sprintf("/stack?scope=%d&task=%d", s.ID(), c.ID())
	assert.NotContains(t, get(h, at).Body.String(), "deafWork")
	w := get(h, at+"&call=1")
	assert.Contains(t, w.Body.String(), "deafWork")
	assert.NotContains(t, w.Body.String(), "(*call).run")
}
