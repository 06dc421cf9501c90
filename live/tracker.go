package live

import (
	"cmp"
	"maps"
	"net/http"
	"slices"
	"sync"

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
// Tracker shows the open roots as a Handler would, and below them which scopes have ended
// with an error, or were roots, with their outcomes. Those whose paths and errors differ in
// numbers only are counted as one kind. A scope that has failed only because its parent was
// canceled is left out; one that has failed only because one below it has is counted there.
// The Tracker keeps 50 kinds; of more it forgets roots that have ended well first, then the
// failures that have canceled the fewest tasks and scopes, the oldest first.
//
// As with any observer, each step of a task becomes an event: see [traigo.Observe]. When a
// scope is canceled because of an error, the Tracker counts what is in it, at the cost of a
// Snapshot. A Tracker keeps no reference to a scope that has closed, except to the last 50
// roots in which a task that was given up, or a call that was abandoned, still runs. It is
// safe for concurrent use, and must not be copied after its first use.
type Tracker struct {
	// Snapshot takes the snapshots of the roots; if it is nil, Snapshot of the scope does. It
	// must not be changed after the first use.
	Snapshot SnapshotFunc

	once    sync.Once
	handler *handler

	mu          sync.Mutex // guards the fields below
	roots       map[*traigo.Scope]bool
	closedRoots []*traigo.Scope // in which a task or call still ran when last looked at
	weights     map[uint64]int  // how much was canceled with each scope that is ending, by its ID
	log         endingLog
}

// Observe implements [traigo.Observer].
func (t *Tracker) Observe(e traigo.Event) {
	switch e.Kind {
	case traigo.ScopeOpened:
		t.opened(e.Scope)
	case traigo.ScopeCanceled:
		t.canceled(e)
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

// canceled remembers how much is canceled with a scope, if that is because of an error in it.
func (t *Tracker) canceled(e traigo.Event) {
	why, is := e.Err.(*traigo.Cancellation) //nolint:errorlint // it is the event's own
	if !is || why.Kind == traigo.ParentCanceled || why.Err == nil {
		return
	}
	weight := countIn(e.Scope)
	if weight == 0 {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.weights == nil {
		t.weights = make(map[uint64]int)
	}
	t.weights[e.Scope.ID()] = weight
}

// closed removes a root, and remembers the scope if it was a root or has failed.
func (t *Tracker) closed(e traigo.Event) {
	wasRoot, weight := t.remove(e.Scope)
	if !wasRoot && e.Err == nil {
		return
	}
	s := e.Scope.Snapshot()
	ended := newEnding(s, e.Time, e.Err) // calls Error, which is foreign code: not under the lock
	ended.weight = weight
	if wasRoot && !isEmpty(s) {
		t.keepClosedRoot(e.Scope)
	}
	if !wasRoot && !ended.scope.failed() {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.log.add(ended)
}

// remove removes s from the roots, and reports whether it was one, and its weight.
func (t *Tracker) remove(s *traigo.Scope) (wasRoot bool, weight int) {
	id := s.ID()
	t.mu.Lock()
	defer t.mu.Unlock()
	wasRoot, weight = t.roots[s], t.weights[id]
	delete(t.roots, s)
	delete(t.weights, id)
	return wasRoot, weight
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

// source returns the roots that the handler shows, in the order of their IDs, and what has
// ended.
func (t *Tracker) source() ([]*traigo.Scope, endings) {
	t.dropEmptyRoots()
	t.mu.Lock()
	defer t.mu.Unlock()
	byID := func(a, b *traigo.Scope) int { return cmp.Compare(a.ID(), b.ID()) }
	roots := slices.AppendSeq(slices.Clone(t.closedRoots), maps.Keys(t.roots))
	slices.SortFunc(roots, byID)
	return roots, t.log.endings()
}
