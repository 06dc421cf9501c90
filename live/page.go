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

// types does not ask the system, which may have it that scripts are plain text.
var types = map[string]string{
	".html": "text/html; charset=utf-8", ".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8",
}

// servePage answers with the page, which finds the rest by relative addresses: for that
// its own must end in a slash.
func servePage(w http.ResponseWriter, r *http.Request) {
	if at := pathAsked(r); !strings.HasSuffix(at, "/") {
		// http.Redirect would make it absolute, by a path that StripPrefix has cut.
		to := "./" + path.Base(at) + "/"
		if r.URL.RawQuery != "" {
			to += "?" + r.URL.RawQuery
		}
		w.Header().Set("Location", to)
		w.WriteHeader(http.StatusTemporaryRedirect)
		return
	}
	serveFile(w, r, "index.html")
}

// pathAsked is the path as the client has written it, whatever was stripped from it.
func pathAsked(r *http.Request) string {
	if r.RequestURI == "" {
		return r.URL.Path
	}
	at, _, _ := strings.Cut(r.RequestURI, "?")
	return at
}

func serveFile(w http.ResponseWriter, r *http.Request, name string) {
	text, err := files.ReadFile("page/" + name)
	if err != nil {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", types[path.Ext(name)])
	http.ServeContent(w, r, name, time.Time{}, bytes.NewReader(text))
}
