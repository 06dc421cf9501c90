package live

import (
	"bytes"
	"embed"
	"fmt"
	"html"
	"net/http"
	"path"
	"strings"
	"time"
)

//go:embed page
var files embed.FS

// contentTypes are the types of the page's files. mime.TypeByExtension is not used: it
// depends on the system's configuration, which may say that scripts are plain text.
var contentTypes = map[string]string{
	".html": "text/html; charset=utf-8", ".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8",
}

// servePage serves the page. The page loads its other files by relative URLs, so its own
// URL must end in a slash: one that does not is redirected, if a page is there.
func servePage(w http.ResponseWriter, r *http.Request) {
	asked := requestPath(r)
	if strings.HasSuffix(asked, "/") {
		serveFile(w, r, "index.html")
		return
	}
	// Not http.Redirect: it makes the URL absolute with r.URL.Path, from which
	// StripPrefix may have removed a part.
	to := "./" + path.Base(asked) + "/"
	if r.URL.RawQuery != "" {
		to += "?" + r.URL.RawQuery
	}
	if isMountedWithoutSlash(r, asked) {
		serveLink(w, asked, to)
		return
	}
	w.Header().Set("Location", to)
	w.WriteHeader(http.StatusTemporaryRedirect)
}

// isMountedWithoutSlash reports whether the pattern of a ServeMux that has led here is for
// this path alone, and the server does not say that something is at the path with a slash.
func isMountedWithoutSlash(r *http.Request, asked string) bool {
	if r.Pattern == "" || strings.HasSuffix(r.Pattern, "/") || strings.HasSuffix(r.Pattern, "...}") {
		return false
	}
	server, _ := r.Context().Value(http.ServerContextKey).(*http.Server)
	if server == nil {
		return true
	}
	mux, is := server.Handler.(interface {
		Handler(r *http.Request) (http.Handler, string)
	})
	if !is {
		return true
	}
	with := r.Clone(r.Context())
	with.URL.Path, with.URL.RawPath = asked+"/", ""
	_, pattern := mux.Handler(with)
	return !strings.HasSuffix(pattern, "/") || len(pattern) < len(r.Pattern)
}

// serveLink serves a page that leads to the one with a slash, and says what is wrong if that
// is not there.
func serveLink(w http.ResponseWriter, asked, to string) {
	w.Header().Set("Content-Type", contentTypes[".html"])
	_, _ = fmt.Fprintf(w, `<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="color-scheme" content="light dark"><title>scopes</title>
<p>The page is at <a href="%s">%s/</a>.
<p>If nothing is there, the handler is mounted without the slash only: mount it at <code>%[2]s/</code> too, as live.Register does.
<p>The tree is here too: <a href="?format=text">as text</a>, <a href="?format=json">as JSON</a>.
`, html.EscapeString(to), html.EscapeString(asked))
}

// requestPath returns the path that the client has sent, with what StripPrefix has
// removed from r.URL.Path.
func requestPath(r *http.Request) string {
	if r.RequestURI == "" {
		return r.URL.Path
	}
	sent, _, _ := strings.Cut(r.RequestURI, "?")
	return sent
}

// serveFile serves a file of the page.
func serveFile(w http.ResponseWriter, r *http.Request, name string) {
	text, err := files.ReadFile("page/" + name)
	if err != nil {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", contentTypes[path.Ext(name)])
	http.ServeContent(w, r, name, time.Time{}, bytes.NewReader(text))
}
