package live

import (
	"net/http"

	"github.com/traigo/traigo"
)

// where is the place in a mux, next to /debug/pprof/.
const where = "/debug/scopes"

// Register adds the [Handler] of the roots to mux, at /debug/scopes/. It panics if
// something is registered there already, as mux does.
func Register(mux *http.ServeMux, roots ...*traigo.Scope) {
	if mux == nil {
		panic("live: Register has been given a nil *http.ServeMux")
	}
	h := Handler(roots...)
	mux.Handle("GET "+where, h) // curl need not follow a redirection
	mux.Handle("GET "+where+"/", h)
}
