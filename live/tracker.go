package live

import (
	"cmp"
	"maps"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/traigo/traigo"
)

// A Tracker is a [Handler] for a program that opens and closes root scopes as it runs. It
// is also an Observer, which keeps a list of the roots that are open, and of scopes that
// have ended:
//
//	var scopes live.Tracker // its zero value is ready
//	mux.Handle("GET /debug/scopes/", &scopes)
//
//	err := traigo.Run(ctx, serve, traigo.Observe(&scopes)) // anywhere, any number of times
//
// A root, to a Tracker, is a scope that it observes while it observes none above it. The
// Tracker shows the open roots as a Handler would, and below them the last 50 scopes that
// have ended with an error, or were roots, with their outcomes.
//
// As with any observer, each step of a task becomes an event: see [traigo.Observe]. A
// Tracker keeps no reference to a scope that has closed, except to the last 50 roots in
// which a task that was given up, or a call that was abandoned, still runs. It is safe for
// concurrent use, and must not be copied after its first use.
type Tracker struct {
	// Snapshot takes the snapshots of the roots; if it is nil, Snapshot of the scope does. It
	// must not be changed after the first use.
	Snapshot SnapshotFunc

	once    sync.Once
	handler *handler

	mu          sync.Mutex // guards the fields below
	roots       map[*traigo.Scope]bool
	closedRoots []*traigo.Scope // in which a task or call still ran when last looked at
	ended       []endedScope    // the latest last
}

// maxEnded is the maximal length of Tracker.ended and of Tracker.closedRoots.
const maxEnded = 50

// An endedScope is what a Tracker keeps of a scope that has ended.
type endedScope struct {
	Path   string    `json:"path"`
	Opened time.Time `json:"opened"`
	Ended  time.Time `json:"ended"`
	Err    string    `json:"err,omitempty"`

	id uint64
}

func (e endedScope) reason() string {
	if e.Err == "" {
		return ""
	}
	return ": " + e.Err
}

// Observe implements [traigo.Observer].
func (t *Tracker) Observe(e traigo.Event) {
	switch e.Kind {
	case traigo.ScopeOpened:
		t.opened(e.Scope)
	case traigo.ScopeClosed:
		t.closed(e)
	default: // a snapshot shows the rest
	}
}

// opened adds s to the roots, unless it is shown below one: that may have closed, since a
// task that was given up can open scopes.
func (t *Tracker) opened(s *traigo.Scope) {
	t.mu.Lock()
	defer t.mu.Unlock()
	isRoot := func(s *traigo.Scope) bool { return t.roots[s] || slices.Contains(t.closedRoots, s) }
	if hasAncestor(s, isRoot) {
		return
	}
	if t.roots == nil {
		t.roots = make(map[*traigo.Scope]bool)
	}
	t.roots[s] = true
}

// closed removes a root, and remembers the scope if it was a root or has failed.
func (t *Tracker) closed(e traigo.Event) {
	wasRoot := t.removeRoot(e.Scope)
	if !wasRoot && e.Err == nil {
		return
	}
	s := e.Scope.Snapshot()
	ended := endedScope{id: s.ID, Path: escape(s.Path, maxPathLen), Opened: s.Opened, Ended: e.Time}
	if wasRoot && !isEmpty(s) {
		t.keepClosedRoot(e.Scope)
	}
	if e.Err != nil {
		ended.Err = escape(firstLine(e.Err.Error()), maxErrorLen) // Error is foreign code: not under the lock
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if slices.ContainsFunc(t.ended, func(other endedScope) bool { return other.id == ended.id }) {
		return // t observes the scope twice, by an option of its own and by one of a scope above
	}
	if len(t.ended) == maxEnded {
		t.ended = slices.Delete(t.ended, 0, 1)
	}
	t.ended = append(t.ended, ended)
}

// removeRoot removes s from the roots, and reports whether it was one.
func (t *Tracker) removeRoot(s *traigo.Scope) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	was := t.roots[s]
	delete(t.roots, s)
	return was
}

// isEmpty reports whether no task, call or scope is left in the scope.
func isEmpty(s traigo.Snapshot) bool { return len(s.Tasks)+len(s.Scopes) == 0 }

// keepClosedRoot adds a root that has closed although something in it still runs.
func (t *Tracker) keepClosedRoot(s *traigo.Scope) {
	t.dropEmptyRoots() // here too, since a request may never come
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.closedRoots) == maxEnded {
		t.closedRoots = slices.Delete(t.closedRoots, 0, 1)
	}
	t.closedRoots = append(t.closedRoots, s)
}

// dropEmptyRoots removes the closed roots in which nothing runs any more. It takes their
// snapshots without the lock, since Snapshot calls the Error methods of causes.
func (t *Tracker) dropEmptyRoots() {
	t.mu.Lock()
	roots := slices.Clone(t.closedRoots)
	t.mu.Unlock()
	empty := make(map[*traigo.Scope]bool)
	for _, s := range roots {
		empty[s] = isEmpty(s.Snapshot())
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.closedRoots = slices.DeleteFunc(t.closedRoots, func(s *traigo.Scope) bool { return empty[s] })
}

// ServeHTTP implements [http.Handler]. It serves what a [Handler] serves.
func (t *Tracker) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	t.once.Do(func() { t.handler = newHandler(t.Snapshot, t.source) })
	t.handler.ServeHTTP(w, r)
}

// source returns the roots that the handler shows, in the order of their IDs, and the
// scopes that have ended, the latest first.
func (t *Tracker) source() ([]*traigo.Scope, []endedScope) {
	t.dropEmptyRoots()
	t.mu.Lock()
	defer t.mu.Unlock()
	ended := slices.Clone(t.ended)
	slices.Reverse(ended)
	byID := func(a, b *traigo.Scope) int { return cmp.Compare(a.ID(), b.ID()) }
	roots := slices.AppendSeq(slices.Clone(t.closedRoots), maps.Keys(t.roots))
	slices.SortFunc(roots, byID)
	return roots, ended
}
