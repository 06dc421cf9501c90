package live_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/live"
)

const browsers = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"

func TestTheFormatIsTheOneAskedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := live.Handler(opened(t))
		for _, row := range []struct{ target, accept, want string }{
			{"/", "", "text/plain"},
			{"/", "*/*", "text/plain"},
			{"/", browsers, "text/html"},
			{"/", "application/json", "application/json"},
			{"/", "text/html;q=0.4, application/json;q=0.5", "application/json"},
			{"/", "text/html;q=0, */*", "text/plain"},
			{"/", "text/html;q=x", "text/plain"},
			{"/?format=text", browsers, "text/plain"},
			{"/?format=json", "", "application/json"},
			{"/?format=html", "", "text/html"},
			{"/live.js", "", "text/javascript"},
			{"/live.css", "", "text/css"},
		} {
			w := get(h, row.target, "Accept", row.accept)
			assert.Equal(t, http.StatusOK, w.Code)
			assert.True(t, strings.HasPrefix(w.Header().Get("Content-Type"), row.want), "%s %s: %v", row.target, row.accept, w.Header())
		}
		assert.Equal(t, http.StatusBadRequest, get(h, "/?format=xml").Code)
		assert.Equal(t, http.StatusBadRequest, get(h, "/?scope=x").Code)
		assert.Equal(t, http.StatusNotFound, get(h, "/?path=nowhere").Code)
		assert.Equal(t, http.StatusNotFound, get(h, "/other.js").Code)
	})
}

func TestEveryAnswerHasSecurityHeaders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := live.Handler(opened(t))
		for _, target := range []string{"/", "/?format=json", "/?format=html", "/?format=xml", "/live.js", "/stack", "/stack?scope=99999999"} {
			header := get(h, target).Header()
			assert.Regexp(t, `^default-src 'none';.* frame-ancestors 'none'$`, header.Get("Content-Security-Policy"))
			assert.NotContains(t, header.Get("Content-Security-Policy"), "unsafe")
			assert.Equal(t, "nosniff", header.Get("X-Content-Type-Options"))
			assert.Equal(t, "no-store", header.Get("Cache-Control"))
		}
	})
}

func TestTheHandlerOnlyReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := live.Handler(opened(t))
		for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodDelete, http.MethodOptions} {
			w := httptest.NewRecorder()
			h.ServeHTTP(w, request(t.Context(), method, "/"))
			assert.Equal(t, http.StatusMethodNotAllowed, w.Code)
			assert.Equal(t, "GET, HEAD", w.Header().Get("Allow"))
		}
		for _, target := range []string{"/", "/events", "/live.js"} {
			w := httptest.NewRecorder()
			h.ServeHTTP(w, request(t.Context(), http.MethodHead, target))
			assert.Equal(t, http.StatusOK, w.Code)
		}
	})
}

func TestRootsThatCloseAreShownAsClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, other := opened(t), opened(t, traigo.Name("other"))
		h := live.Handler(server, other, server.Fork(traigo.Name("below")), server)
		server.Spawn(func(context.Context) error { return errors.New("disk full") }, traigo.Name("writer"))
		<-server.Done()
		assert.Equal(t, `1 scope, 0 tasks

server (closed, 0s, task failed: task "server/writer": disk full)
other (open, 0s)
`, getText(h))
	})
}

// A failure is logged unless somebody asks for the outcome. To show it must not count as
// asking.
func TestTheHandlerDoesNotAskForOutcomes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log strings.Builder
		server := opened(t, traigo.Logger(loggerTo(&log)))
		conn := server.Fork(traigo.Name("conn"))
		h := live.Handler(conn)
		conn.Spawn(func(context.Context) error { return errors.New("reset") })
		<-conn.Done()
		assert.Contains(t, get(h, "/?stacks=1").Body.String(), "conn (closed, ")
		assert.Contains(t, getText(h), "conn (closed, ")
		require.NoError(t, server.Close())
		assert.Contains(t, log.String(), "nobody has asked for the outcome")
	})
}

func TestBadRootsPanic(t *testing.T) {
	s := opened(t)
	assert.PanicsWithValue(t, "live: Handler needs a scope to show; for scopes that are opened later use a Tracker", func() { live.Handler() })
	assert.PanicsWithValue(t, "live: Handler has been given a nil *Scope", func() { live.Handler(s, nil) })
	assert.PanicsWithValue(t, "live: Register has been given a nil *http.ServeMux", func() { live.Register(nil, s) })
	mux := http.NewServeMux()
	live.Register(mux, s)
	assert.Panics(t, func() { live.Register(mux, s) }, "twice")
	assert.Equal(t, http.StatusNotFound, get(http.DefaultServeMux, "/debug/scopes/").Code, "nothing is on by itself")
}

// Handler once took time quadratic in the number of roots: 2 s for these.
func TestHandlerTakesManyRoots(t *testing.T) {
	var roots []*traigo.Scope
	for range crowd {
		roots = append(roots, traigo.New(context.Background()))
	}
	begin := time.Now()
	live.Handler(roots...)
	assert.Less(t, time.Since(begin), time.Second)
}
