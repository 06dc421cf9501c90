package live

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"weak"

	"github.com/traigo/traigo"
)

// Handler returns a handler that shows the roots and all that lives below them: see the
// description of the package. A root that has closed is shown as closed, with what
// ended it. It panics without roots: for those that are opened later there is [Tracker].
func Handler(roots ...*traigo.Scope) http.Handler {
	if len(roots) == 0 {
		panic("live: Handler needs a scope to show; for scopes that are opened later use a Tracker")
	}
	if slices.Contains(roots, nil) {
		panic("live: Handler has been given a nil *Scope")
	}
	roots = topmost(roots)
	return newHandler(func() ([]*traigo.Scope, []ending) { return roots, nil })
}

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

// topmost leaves out what is below another: it would be shown, and counted, twice.
func topmost(roots []*traigo.Scope) (top []*traigo.Scope) {
	given := make(map[*traigo.Scope]bool, len(roots)) // there may be many
	for _, s := range roots {
		given[s] = true
	}
	for _, s := range roots {
		if given[s] && !hasAncestor(s, func(above *traigo.Scope) bool { _, is := given[above]; return is }) {
			top = append(top, s)
		}
		given[s] = false // seen
	}
	return top
}

func hasAncestor(s *traigo.Scope, is func(*traigo.Scope) bool) bool {
	for above := s.Parent(); above != nil; above = above.Parent() {
		if is(above) {
			return true
		}
	}
	return false
}

// handler answers for a [Handler] or a [Tracker].
type handler struct {
	source func() ([]*traigo.Scope, []ending)
	looks  *camera[struct{}, *look]
	dumps  *camera[rootIDs, []traigo.Snapshot]
	memory memory // used by whoever takes a look

	mu      sync.Mutex // guards what follows
	streams int
	servers map[weak.Pointer[http.Server]]chan struct{} // closed when it shuts down
}

func newHandler(source func() ([]*traigo.Scope, []ending)) *handler {
	h := &handler{source: source, servers: make(map[weak.Pointer[http.Server]]chan struct{})}
	h.looks = newCamera(250*time.Millisecond, func(struct{}) *look { return h.look() })
	h.dumps = newCamera(time.Second, h.dump)
	return h
}

// ServeHTTP finds out what is asked for by the last element of the path: so it need not
// know where it is mounted.
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	setHeaders(w.Header())
	h.shutdownOf(r) // so that it is known before a stream is asked for
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "live: scopes can only be looked at: use GET", http.StatusMethodNotAllowed)
		return
	}
	last := r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:]
	if isForeign(r, last) {
		http.Error(w, "live: asked for by a page of another site", http.StatusForbidden)
		return
	}
	switch last {
	case "events":
		h.serveEvents(w, r)
	case "stack":
		h.serveStack(w, r)
	default:
		if types[path.Ext(last)] != "" {
			serveFile(w, r, last)
			return
		}
		h.serveTree(w, r)
	}
}

// setHeaders closes what an answer could be misused for.
func setHeaders(header http.Header) {
	header.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; "+
		"base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("X-Frame-Options", "DENY")
	header.Set("Referrer-Policy", "no-referrer")
	header.Set("Cross-Origin-Resource-Policy", "same-origin")
	header.Set("Cache-Control", "no-store")
}

// isForeign reports whether a browser asks for a page of another site. It could not read
// the answer, but make the program work for it, dump its stacks, and take the streams of
// others; only a link to the page, or to the tree, is harmless.
func isForeign(r *http.Request, last string) bool {
	if site := r.Header.Get("Sec-Fetch-Site"); site != "cross-site" && site != "same-site" {
		return false
	}
	if dest := r.Header.Get("Sec-Fetch-Dest"); dest != "document" && dest != "" {
		return true // a frame navigates too
	}
	return r.Header.Get("Sec-Fetch-Mode") != "navigate" || r.URL.Query().Has("stacks") || last == "events" || last == "stack"
}

// serveTree answers in the format that is asked for.
func (h *handler) serveTree(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Vary", "Accept")
	format, err := formatOf(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if format == asHTML {
		servePage(w, r)
		return
	}
	q, err := parseQuery(r.URL.Query())
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	var l *look
	if q.stacks {
		l, err = h.lookWithStacks(r, q)
	} else {
		l, err = h.looks.get(r.Context(), struct{}{})
	}
	if err != nil {
		fail(w, err)
		return
	}
	v := l.view(q)
	if v.none() {
		http.Error(w, "live: nothing with that path or ID lives now", http.StatusNotFound)
		return
	}
	if format == asJSON {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(append(v.json(true), '\n'))
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	v.writeText(w)
}

// What a client asks for.

type format int

const (
	asText format = iota
	asJSON
	asHTML
)

var (
	formatsByName = map[string]format{"text": asText, "json": asJSON, "html": asHTML}
	formatsByType = map[string]format{"text/plain": asText, "application/json": asJSON, "text/html": asHTML}
)

// formatOf takes ?format before the Accept header. Of that it takes the type with the
// greatest weight, the first of equals; text unless another is named: for curl, which
// accepts all.
func formatOf(r *http.Request) (format, error) {
	if name := r.URL.Query().Get("format"); name != "" {
		f, known := formatsByName[name]
		if !known {
			return asText, errors.New("live: format is text, json or html")
		}
		return f, nil
	}
	best, most := asText, 0.0
	for part := range strings.SplitSeq(strings.Join(r.Header.Values("Accept"), ","), ",") {
		kind, params, _ := strings.Cut(part, ";")
		f, known := formatsByType[strings.ToLower(strings.TrimSpace(kind))]
		if weight := weightOf(params); known && weight > most {
			best, most = f, weight
		}
	}
	return best, nil
}

func weightOf(params string) float64 {
	for param := range strings.SplitSeq(params, ";") {
		if value, found := strings.CutPrefix(strings.TrimSpace(param), "q="); found {
			weight, err := strconv.ParseFloat(value, 64)
			if err != nil {
				return 0
			}
			return weight
		}
	}
	return 1
}

// A query is which part of the tree is wanted, and how much of it.
type query struct {
	path   string
	scope  uint64
	all    bool // cut nothing
	full   bool // fold nothing either
	stacks bool
	force  bool // dump whatever it costs
}

func parseQuery(values url.Values) (query, error) {
	is := func(name string) bool { return values.Has(name) && values.Get(name) != "0" }
	q := query{
		path: values.Get("path"), full: is("full"), all: is("all") || is("full"),
		stacks: is("stacks"), force: values.Get("stacks") == "force",
	}
	var err error
	q.scope, err = numberIn(values, "scope")
	return q, err
}

// numberIn is 0 if there is none.
func numberIn(values url.Values, name string) (uint64, error) {
	text := values.Get(name)
	if text == "" {
		return 0, nil
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("live: %s is the number of one: %w", name, err)
	}
	return n, nil
}

// A refusal is an answer that is none, with its status.
type refusal struct {
	status int
	text   string
}

func (r refusal) Error() string { return "live: " + r.text }

func fail(w http.ResponseWriter, err error) {
	status := http.StatusServiceUnavailable
	if r, ok := err.(refusal); ok { //nolint:errorlint // it is made here, and never wrapped
		status = r.status
	}
	http.Error(w, err.Error(), status)
}
