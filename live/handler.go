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

// Handler returns a handler that shows the roots, and all scopes and tasks below them, as
// described in the package documentation. A root that has closed is shown as closed, with
// the cause of its end. Handler panics if it is given no root, or a nil one; for roots
// that are opened later use a [Tracker].
func Handler(roots ...*traigo.Scope) http.Handler { return handlerOf("Handler", nil, roots) }

// handlerOf returns the handler of the roots. caller is the function for which it panics.
func handlerOf(caller string, take SnapshotFunc, roots []*traigo.Scope) http.Handler {
	if len(roots) == 0 {
		panic("live: " + caller + " needs a scope to show; for scopes that are opened later use a Tracker")
	}
	if slices.Contains(roots, nil) {
		panic("live: " + caller + " has been given a nil *Scope")
	}
	roots = topmost(roots)
	return newHandler(take, func() ([]*traigo.Scope, endings) { return roots, endings{} })
}

// mountPath is the path at which Register mounts the handler, next to /debug/pprof/.
const mountPath = "/debug/scopes"

// Register adds the [Handler] of the roots to mux, at /debug/scopes/, for GET and HEAD. It
// panics if mux is nil or has a handler at that path already, and where Handler does.
func Register(mux *http.ServeMux, roots ...*traigo.Scope) {
	if mux == nil {
		panic("live: Register has been given a nil *http.ServeMux")
	}
	mount(mux, Handler(roots...))
}

func mount(mux *http.ServeMux, h http.Handler) {
	mux.Handle("GET "+mountPath+"/", h)
	mux.HandleFunc("GET "+mountPath, func(w http.ResponseWriter, r *http.Request) { // so that curl, which follows no redirects, gets the tree
		own := *r
		own.Pattern += "/" // which is there
		h.ServeHTTP(w, &own)
	})
}

// topmost returns the roots without duplicates and without those below another root,
// which would be shown and counted twice.
func topmost(roots []*traigo.Scope) (top []*traigo.Scope) {
	added := make(map[*traigo.Scope]bool, len(roots)) // a map: there may be 100,000 roots
	for _, s := range roots {
		added[s] = false
	}
	for _, s := range roots {
		if !added[s] && !hasAncestor(s, func(above *traigo.Scope) bool { _, is := added[above]; return is }) {
			top = append(top, s)
		}
		added[s] = true
	}
	return top
}

// hasAncestor reports whether is returns true for a scope above s.
func hasAncestor(s *traigo.Scope, is func(*traigo.Scope) bool) bool {
	for above := s.Parent(); above != nil; above = above.Parent() {
		if is(above) {
			return true
		}
	}
	return false
}

// A handler serves a [Handler] or a [Tracker].
type handler struct {
	source    func() ([]*traigo.Scope, endings) // the roots to show, and what has ended
	taker     *taker
	looker    looker
	snapshots *throttle[struct{}, *snapshot]
	dumps     *throttle[struct{}, []traigo.Snapshot]
	lintState lintState // used by takeSnapshot only, which never runs twice at a time

	mu        sync.Mutex                                  // guards the fields below
	streams   int                                         // open streams of events
	streamsOf map[string]int                              // the same by client
	servers   map[weak.Pointer[http.Server]]chan struct{} // each closed when its server begins to shut down
}

func newHandler(take SnapshotFunc, source func() ([]*traigo.Scope, endings)) *handler {
	h := &handler{source: source, taker: newTaker(take), streamsOf: make(map[string]int), servers: make(map[weak.Pointer[http.Server]]chan struct{})}
	h.snapshots = newThrottle(250*time.Millisecond, func(struct{}) *snapshot { return h.takeSnapshot() })
	h.dumps = newThrottle(time.Second, func(struct{}) []traigo.Snapshot { return h.dump() })
	return h
}

// ServeHTTP looks only at the last element of the path, so that it does not depend on
// where it is mounted.
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	setHeaders(w.Header())
	h.shutdownSignal(r) // registers with the server, before the first request for a stream
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "live: scopes can only be looked at: use GET", http.StatusMethodNotAllowed)
		return
	}
	last := r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:]
	if why := refusal(r, last); why != "" {
		http.Error(w, "live: "+why, http.StatusForbidden)
		return
	}
	switch last {
	case "events":
		h.serveEvents(w, r)
	case "stack":
		h.serveStack(w, r)
	default:
		if contentTypes[path.Ext(last)] != "" {
			serveFile(w, r, last)
			return
		}
		h.serveTree(w, r)
	}
}

// setHeaders sets the headers that keep other sites from reading, framing or caching an
// answer, and the page from running foreign scripts.
func setHeaders(header http.Header) {
	header.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; "+
		"base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("X-Frame-Options", "DENY")
	header.Set("Referrer-Policy", "no-referrer")
	header.Set("Cross-Origin-Resource-Policy", "same-origin")
	header.Set("Cache-Control", "no-store")
}

// serveTree serves the page, or the tree as text or JSON.
func (h *handler) serveTree(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Vary", "Accept")
	format, err := formatOf(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if format == formatHTML {
		servePage(w, r)
		return
	}
	q, err := parseQuery(r.URL.Query())
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	var s *snapshot
	if q.stacks {
		s, err = h.snapshotWithStacks(r, q)
	} else {
		s, err = h.snapshots.get(r.Context(), struct{}{})
	}
	if err != nil {
		writeError(w, err)
		return
	}
	v := s.view(q)
	if v.notFound() {
		http.Error(w, "live: nothing with that path or ID lives now", http.StatusNotFound)
		return
	}
	if format == formatJSON {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(append(v.json(true), '\n'))
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	v.writeText(w)
}

// A format is the media type of an answer.
type format int

const (
	formatText format = iota
	formatJSON
	formatHTML
)

var (
	formatsByName = map[string]format{"text": formatText, "json": formatJSON, "html": formatHTML}
	formatsByType = map[string]format{"text/plain": formatText, "application/json": formatJSON, "text/html": formatHTML}
)

// formatOf returns the format that the query names. Without one it is the type with the
// greatest weight in the Accept header, the first of equals; and text if the header names
// none of the types, such as curl's */*.
func formatOf(r *http.Request) (format, error) {
	if name := r.URL.Query().Get("format"); name != "" {
		f, known := formatsByName[name]
		if !known {
			return formatText, errors.New("live: format is text, json or html")
		}
		return f, nil
	}
	best, most := formatText, 0.0
	for part := range strings.SplitSeq(strings.Join(r.Header.Values("Accept"), ","), ",") {
		kind, params, _ := strings.Cut(part, ";")
		f, known := formatsByType[strings.ToLower(strings.TrimSpace(kind))]
		if weight := weightOf(params); known && weight > most {
			best, most = f, weight
		}
	}
	return best, nil
}

// weightOf returns the q of a type in an Accept header, which is 1 if there is none.
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

// A query says which part of the tree is wanted, and how much of it.
type query struct {
	path   string // of scopes and tasks; "" for any
	scope  uint64 // ID; 0 for any
	all    bool   // leave out no lines
	full   bool   // and fold no siblings
	stacks bool
	force  bool // dump stacks however many goroutines there are
}

func parseQuery(values url.Values) (query, error) {
	is := func(name string) bool { return values.Has(name) && values.Get(name) != "0" }
	q := query{
		path: values.Get("path"), full: is("full"), all: is("all") || is("full"),
		stacks: is("stacks"), force: values.Get("stacks") == "force",
	}
	var err error
	q.scope, err = idParam(values, "scope")
	return q, err
}

// idParam returns a parameter that is an ID; 0 if it is missing.
func idParam(values url.Values, name string) (uint64, error) {
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

// A statusError is an error with the status of its answer.
type statusError struct {
	status int
	text   string
}

func (e statusError) Error() string { return "live: " + e.text }

// writeError answers with err: with the status of a statusError, else with 503, since then
// the client's context has ended.
func writeError(w http.ResponseWriter, err error) {
	status := http.StatusServiceUnavailable
	if e, ok := err.(statusError); ok { //nolint:errorlint // this package never wraps one
		status = e.status
	}
	http.Error(w, err.Error(), status)
}
