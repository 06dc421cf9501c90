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

// A Tracker is a handler for a program whose roots come and go. It is an Observer that
// knows the roots that are open, and the scopes that have failed lately:
//
//	var scopes live.Tracker // its zero value is ready
//	mux.Handle("GET /debug/scopes/", &scopes)
//
//	err := traigo.Run(ctx, serve, traigo.Observe(&scopes)) // anywhere, any number of times
//
// It shows what a [Handler] shows. Of scopes that have ended it remembers the last 50
// that failed, or were roots, with their outcomes.
//
// As any observer it makes each step of a task an event: see [traigo.Observe]. It holds
// no scope that has closed, but for the last 50 in which something runs on: a task that
// was given up, a call that was abandoned.
type Tracker struct {
	once    sync.Once
	handler *handler

	mu      sync.Mutex // guards what follows
	roots   map[*traigo.Scope]bool
	haunted []*traigo.Scope // roots that have closed, and in which something ran on
	ended   []ending        // the latest last
}

// mostEnded is how many scopes that have ended are remembered, and how many of those in
// which something runs on.
const mostEnded = 50

// An ending is what is remembered of a scope.
type ending struct {
	Path   string    `json:"path"`
	Opened time.Time `json:"opened"`
	Ended  time.Time `json:"ended"`
	Err    string    `json:"err,omitempty"`

	id uint64
}

func (e ending) why() string {
	if e.Err == "" {
		return ""
	}
	return ": " + e.Err
}

// Observe makes a Tracker a [traigo.Observer].
func (t *Tracker) Observe(e traigo.Event) {
	switch e.Kind {
	case traigo.ScopeOpened:
		t.opened(e.Scope)
	case traigo.ScopeClosed:
		t.closed(e)
	default: // what else is to be known is in a snapshot
	}
}

// opened adds s, unless it is below a root already: all that is below one is observed too.
func (t *Tracker) opened(s *traigo.Scope) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if hasAncestor(s, func(above *traigo.Scope) bool { return t.roots[above] }) {
		return
	}
	if t.roots == nil {
		t.roots = make(map[*traigo.Scope]bool)
	}
	t.roots[s] = true
}

func (t *Tracker) closed(e traigo.Event) {
	wasRoot := t.drop(e.Scope)
	if !wasRoot && e.Err == nil {
		return
	}
	shot := e.Scope.Snapshot()
	past := ending{id: shot.ID, Path: clean(shot.Path, longestPath), Opened: shot.Opened, Ended: e.Time}
	if wasRoot && !isEmpty(shot) {
		t.haunt(e.Scope)
	}
	if e.Err != nil {
		past.Err = clean(firstLine(e.Err.Error()), longestError) // a user's method: not under the lock
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if slices.ContainsFunc(t.ended, func(known ending) bool { return known.id == past.id }) {
		return // it was given to a scope, and to another below it
	}
	if len(t.ended) == mostEnded {
		t.ended = slices.Delete(t.ended, 0, 1)
	}
	t.ended = append(t.ended, past)
}

// drop reports whether s was a root.
func (t *Tracker) drop(s *traigo.Scope) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	was := t.roots[s]
	delete(t.roots, s)
	return was
}

func isEmpty(shot traigo.Snapshot) bool { return len(shot.Tasks)+len(shot.Scopes) == 0 }

// haunt keeps a root that has closed as long as something runs in it.
func (t *Tracker) haunt(s *traigo.Scope) {
	t.lay() // also if nobody ever looks
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.haunted) == mostEnded {
		t.haunted = slices.Delete(t.haunted, 0, 1)
	}
	t.haunted = append(t.haunted, s)
}

// lay forgets those in which nothing runs any more. A snapshot calls methods of errors:
// it is not taken under the lock.
func (t *Tracker) lay() {
	t.mu.Lock()
	haunted := slices.Clone(t.haunted)
	t.mu.Unlock()
	over := make(map[*traigo.Scope]bool)
	for _, s := range haunted {
		over[s] = isEmpty(s.Snapshot())
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.haunted = slices.DeleteFunc(t.haunted, func(s *traigo.Scope) bool { return over[s] })
}

// ServeHTTP makes a Tracker an [http.Handler].
func (t *Tracker) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	t.once.Do(func() { t.handler = newHandler(t.now) })
	t.handler.ServeHTTP(w, r)
}

// now is what the handler shows.
func (t *Tracker) now() ([]*traigo.Scope, []ending) {
	t.lay()
	t.mu.Lock()
	defer t.mu.Unlock()
	ended := slices.Clone(t.ended)
	slices.Reverse(ended)
	byID := func(a, b *traigo.Scope) int { return cmp.Compare(a.ID(), b.ID()) }
	roots := slices.AppendSeq(slices.Clone(t.haunted), maps.Keys(t.roots))
	slices.SortFunc(roots, byID)
	return roots, ended
}
