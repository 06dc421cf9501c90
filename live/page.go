package live

import (
	"bytes"
	"embed"
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
// URL must end in a slash: one that does not is redirected.
func servePage(w http.ResponseWriter, r *http.Request) {
	if asked := requestPath(r); !strings.HasSuffix(asked, "/") {
		// Not http.Redirect: it makes the URL absolute with r.URL.Path, from which
		// StripPrefix may have removed a part.
		to := "./" + path.Base(asked) + "/"
		if r.URL.RawQuery != "" {
			to += "?" + r.URL.RawQuery
		}
		w.Header().Set("Location", to)
		w.WriteHeader(http.StatusTemporaryRedirect)
		return
	}
	serveFile(w, r, "index.html")
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
