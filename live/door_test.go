package live_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo/live"
)

func TestPagesOfOtherSitesGetNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := live.Handler(opened(t))
		ask := func(target, site, mode string) int {
			return get(h, target, "Sec-Fetch-Site", site, "Sec-Fetch-Mode", mode).Code
		}
		assert.Equal(t, http.StatusForbidden, ask("/", "cross-site", "no-cors"))
		assert.Equal(t, http.StatusForbidden, ask("/events", "same-site", "cors"))
		assert.Equal(t, http.StatusForbidden, ask("/?stacks=1", "cross-site", "navigate"))
		assert.Equal(t, http.StatusOK, ask("/", "cross-site", "navigate"), "a link")
		assert.Equal(t, http.StatusOK, ask("/?stacks=1", "same-origin", "navigate"))
		assert.Equal(t, http.StatusOK, ask("/?stacks=1", "none", "navigate"), "typed in")
	})
}

// A page of another site may link to the page, but must not have stacks dumped or use up
// the streams, by a link or by a frame.
func TestALinkFromAnotherSiteLeadsOnlyToTheTree(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := opened(t)
		s.Spawn(untilCanceled)
		h := live.Handler(s)
		ask := func(target, dest string) int {
			w := httptest.NewRecorder()
			h.ServeHTTP(w, request(t.Context(), http.MethodHead, target,
				"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", dest))
			return w.Code
		}
		assert.Equal(t, http.StatusForbidden, ask(fmt.Sprintf("/stack?scope=%d&task=1", s.ID()), "document"))
		assert.Equal(t, http.StatusForbidden, ask("/events", "document"))
		assert.Equal(t, http.StatusForbidden, ask("/", "iframe"))
		assert.Equal(t, http.StatusOK, ask("/", "document"))
	})
}

// askFor sends a GET request with headers: name, value, name, value.
func askFor(t *testing.T, url string, headers ...string) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	require.NoError(t, err)
	for i := 0; i < len(headers); i += 2 {
		if headers[i] == "Host" {
			r.Host = headers[i+1]
		}
		r.Header.Set(headers[i], headers[i+1])
	}
	resp, err := http.DefaultClient.Do(r)
	require.NoError(t, err)
	defer resp.Body.Close()
	return resp, readAll(t, resp.Body)
}

// A page whose own name has been made one of this machine is of another site.
func TestOnLoopbackTheHostMustBeALocalOne(t *testing.T) {
	server := httptest.NewServer(live.Handler(opened(t)))
	defer server.Close()
	for host, want := range map[string]int{
		"localhost": 200, "localhost:80": 200, "LOCALHOST.": 200, "shop.localhost:6060": 200,
		"127.0.0.1": 200, "127.0.0.1:6060": 200, "10.1.2.3": 200, "[::1]": 200, "[::1]:6060": 200, "[fe80::1%25eth0]:80": 200,
		"evil.example": 403, "evil.example:6060": 403, "localhost.evil.example": 403, "notlocalhost": 403, "127.0.0.1.evil.example": 403,
	} {
		for _, target := range []string{"/", "/?format=json", "/events?scope=x", "/live.js"} {
			resp, body := askFor(t, server.URL+target, "Host", host, "Sec-Fetch-Site", "same-origin")
			if want == http.StatusForbidden {
				assert.Equal(t, want, resp.StatusCode, "%s %s", host, target)
				assert.Contains(t, body, "live: the Host header has neither localhost nor an IP address")
			} else {
				assert.NotEqual(t, http.StatusForbidden, resp.StatusCode, "%s %s", host, target)
			}
		}
	}
	conn, err := net.Dial("tcp", server.Listener.Addr().String()) // a Host header without a value
	require.NoError(t, err)
	defer conn.Close()
	_, _ = fmt.Fprint(conn, "GET / HTTP/1.0\r\n\r\n")
	assert.Contains(t, readAll(t, conn), "200 OK")
}

// On another interface a program may be served under any name.
func TestOnOtherInterfacesTheHostIsNotLookedAt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := live.Handler(opened(t))
		for _, row := range []struct {
			local net.Addr
			want  int
		}{
			{&net.TCPAddr{IP: net.IPv4(10, 1, 2, 3), Port: 80}, 200},
			{&net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 80}, 403},
			{&net.TCPAddr{IP: net.IPv4(127, 0, 1, 1), Port: 80}, 403},
			{&net.TCPAddr{IP: net.IPv6loopback, Port: 80}, 403},
			{&net.UnixAddr{Name: "/run/shop.sock", Net: "unix"}, 200},
			{nil, 200},
		} {
			r := request(context.WithValue(t.Context(), http.LocalAddrContextKey, row.local), http.MethodGet, "http://shop.example/")
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			assert.Equal(t, row.want, w.Code, "%v", row.local)
		}
	})
}

// A proxy sets Host to the address that it connects to. Its prefix is unknown here.
func TestAHandlerWorksBehindAProxy(t *testing.T) {
	server := httptest.NewServer(live.Handler(opened(t)))
	defer server.Close()
	to, err := url.Parse(server.URL)
	require.NoError(t, err)
	proxy := httptest.NewServer(http.StripPrefix("/svc/a", &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(to) }, // which sets Host too
	}))
	defer proxy.Close()
	resp, body := askFor(t, proxy.URL+"/svc/a/", "Host", "shop.example", "Accept", browsers)
	assert.Equal(t, http.StatusOK, resp.StatusCode)
	assert.Contains(t, body, `src="live.js"`)
	_, body = askFor(t, proxy.URL+"/svc/a/live.js", "Host", "shop.example")
	assert.Contains(t, body, "import")
	_, body = askFor(t, proxy.URL+"/svc/a/?format=json", "Host", "shop.example")
	assert.Equal(t, 1, decode(t, []byte(body)).Scopes)
}

func TestAHandlerWorksWhereverItIsMounted(t *testing.T) {
	s := opened(t)
	mux := http.NewServeMux()
	live.Register(mux, s)
	mux.Handle("GET /admin/tree/", http.StripPrefix("/admin/tree", live.Handler(s)))
	mux.Handle("GET /exact/tree/", http.StripPrefix("/exact/tree/", live.Handler(s)))
	mux.Handle("GET /bare/tree/", live.Handler(s))
	mux.Handle("GET /", http.NotFoundHandler()) // no conflict
	server := httptest.NewServer(mux)
	defer server.Close()

	ask := func(path, accept string) (*http.Response, string) {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+path, http.NoBody)
		require.NoError(t, err)
		r.Header.Set("Accept", accept)
		resp, err := http.DefaultClient.Do(r)
		require.NoError(t, err)
		defer resp.Body.Close()
		return resp, readAll(t, resp.Body)
	}
	for _, mount := range []string{"/debug/scopes", "/admin/tree", "/exact/tree", "/bare/tree"} {
		for _, slash := range []string{"", "/"} {
			resp, body := ask(mount+slash+"?scope=1", browsers)
			assert.Equal(t, http.StatusOK, resp.StatusCode)
			assert.Equal(t, mount+"/?scope=1", resp.Request.URL.RequestURI())
			assert.Contains(t, body, `src="live.js"`)
			_, body = ask(mount+slash, "*/*")
			assert.Contains(t, body, "server (open, ")
		}
		resp, _ := ask(mount+"/live.js", "*/*")
		assert.Equal(t, http.StatusOK, resp.StatusCode)
		assert.Equal(t, "text/javascript; charset=utf-8", resp.Header.Get("Content-Type"))
		resp, _ = ask(mount+"/live.css", "*/*")
		assert.Equal(t, http.StatusOK, resp.StatusCode)
	}
	resp, err := http.Post(server.URL+"/debug/scopes/", "", http.NoBody)
	require.NoError(t, err)
	defer resp.Body.Close()
	assert.Equal(t, http.StatusMethodNotAllowed, resp.StatusCode)
	assert.Contains(t, resp.Header.Get("Allow"), "GET")
}

// A page without its script would be blank.
func TestAHandlerThatIsMountedWithoutASlashSaysSo(t *testing.T) {
	h := live.Handler(opened(t))
	mux := http.NewServeMux()
	mux.Handle("/only", h)
	mux.Handle("GET /both", h)
	mux.Handle("GET /both/", h)
	mux.Handle("/rest/{path...}", h)
	for _, row := range []struct {
		name    string
		handler http.Handler
		path    string
		page    bool // there is one, behind a redirect or a link
	}{
		{"a mux", mux, "/only", false},
		{"a mux with both", mux, "/both", true},
		{"a mux with the rest of a path", mux, "/rest/", true},
		{"a mux that is not seen", http.HandlerFunc(mux.ServeHTTP), "/only", false},
	} {
		server := httptest.NewServer(row.handler)
		resp, body := askFor(t, server.URL+row.path+"?scope=1", "Accept", browsers)
		assert.Equal(t, http.StatusOK, resp.StatusCode, row.name)
		if row.page {
			assert.Contains(t, body, `src="live.js"`, row.name)
		} else {
			assert.Contains(t, body, `The page is at <a href="./only/?scope=1">/only/</a>`, row.name)
			assert.Contains(t, body, "mount it at <code>/only/</code> too", row.name)
		}
		_, body = askFor(t, server.URL+row.path)
		assert.Contains(t, body, "server (open, ", row.name)
		server.Close()
	}
}

func TestThereAreNotTooManyStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := live.Handler(opened(t))
		for range 100 {
			connect(t, h, "/events")
		}
		w := get(h, "/events")
		assert.Equal(t, http.StatusServiceUnavailable, w.Code)
		assert.NotEmpty(t, w.Header().Get("Retry-After"))
		assert.Equal(t, "live: no stream to be had: 100 are open\n", w.Body.String())
		w = get(h, "/events", "Accept", "application/json")
		assert.Equal(t, http.StatusServiceUnavailable, w.Code)
		var why struct{ Error string }
		require.NoError(t, json.Unmarshal(w.Body.Bytes(), &why))
		assert.Equal(t, "100 are open", why.Error)
		assert.Equal(t, http.StatusOK, get(h, "/").Code, "other requests are not limited")
	})
}

func TestOneClientCannotTakeAllStreams(t *testing.T) {
	for name, row := range map[string]struct {
		client  func(i int) string // one, under many addresses
		another string
	}{
		"one address":                    {func(i int) string { return fmt.Sprintf("192.0.2.1:%d", 1000+i) }, "192.0.2.2:1000"},
		"the same in IPv6":               {func(i int) string { return [2]string{"192.0.2.1:80", "[::ffff:192.0.2.1]:80"}[i%2] }, "[::ffff:192.0.2.2]:80"},
		"the loopback addresses":         {func(i int) string { return fmt.Sprintf("127.0.0.%d:1000", 1+i) }, "128.0.0.1:1000"},
		"those of IPv6":                  {func(i int) string { return [3]string{"[::1]:80", "127.0.0.1:80", "[::ffff:127.0.0.9]:80"}[i%3] }, "[::2]:80"},
		"a network of IPv6":              {func(i int) string { return fmt.Sprintf("[2001:db8::%d:1]:1000", i) }, "[2001:db8:0:1::1]:1000"},
		"a network of IPv6, with a zone": {func(i int) string { return fmt.Sprintf("[fe80::%d%%eth0]:1000", i) }, "[fe81::1%eth0]:1000"},
		"a Unix socket":                  {func(int) string { return "@" }, "192.0.2.2:1000"},
	} {
		synctest.Test(t, func(t *testing.T) {
			h := live.Handler(opened(t))
			ask := func(client string) (code int, disconnect func()) {
				ctx, cancel := context.WithCancel(t.Context())
				r := request(ctx, http.MethodGet, "/events")
				r.RemoteAddr = client
				w := &stream{ResponseRecorder: httptest.NewRecorder()}
				done := make(chan struct{})
				go func() { defer close(done); h.ServeHTTP(w, r) }()
				synctest.Wait()
				return w.Code, func() { cancel(); <-done }
			}
			var ends []func()
			for i := range 25 {
				code, end := ask(row.client(i))
				ends = append(ends, end)
				assert.Equal(t, i < 20, code == http.StatusOK, "%s: %d", name, i)
			}
			code, end := ask(row.another)
			assert.Equal(t, http.StatusOK, code, "%s: another one", name)
			end()
			ends[0]()
			code, end = ask(row.client(0))
			assert.Equal(t, http.StatusOK, code, "%s: one has left", name)
			end()
			for _, end := range ends {
				end()
			}
			assert.Zero(t, live.Streams(h))
		})
	}
}
