package live

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/internal/limits"
)

// A snapshot is all roots at one moment, with the warnings about them.
type snapshot struct {
	taken    time.Time
	roots    []*node
	counts   counts
	warnings []warning
	recheck  recheck
	ended    endings
	note     string            // says what is missing, if anything is
	shots    []traigo.Snapshot // of a SnapshotFunc: what it has returned for the roots

	looked   time.Time     // when the last look was taken; zero if there is none
	places   []*placeGroup // where tasks waited then
	limiters []limits.State

	began time.Time
	cost  atomic.Int64 // nanoseconds that it took to take it, and to make views and JSON of it

	shapesOnce sync.Once
	mu         sync.Mutex      // guards views
	views      map[query]*view // shared by the streams that ask for the same
}

// takeSnapshot takes a snapshot without stacks. Only h.snapshots calls it, so it never
// runs twice at a time.
func (h *handler) takeSnapshot() *snapshot {
	began := time.Now()
	roots, ended := h.source()
	shots, notes := h.taker.snapshots(roots)
	looked := time.Now()
	look, missing := h.looker.refresh(roots)
	lookCost := time.Since(looked)
	s := newSnapshot(shots, time.Now(), look, &h.lintState)
	s.ended = ended
	s.addNotes(notes...)
	if missing != "" {
		s.addNotes(missing)
	}
	if h.taker.take != nil {
		s.shots = shots
	}
	s.limiters = limitersWaitedFor()
	s.began = began
	s.cost.Store(int64(time.Since(began) - lookCost)) // looks have a bound of their own
	return s
}

// limitersWaitedFor returns the limiters of package capacity in which somebody waits.
func limitersWaitedFor() []limits.State {
	const most = 20
	states := limits.States(most, maxExamples)
	for i := range states {
		for _, paths := range [][]string{states[i].Holders, states[i].Waiters} {
			for j, path := range paths {
				paths[j] = escape(path, maxPathLen)
			}
		}
	}
	return states
}

// addNotes adds sentences to the note. Of very many only the first are kept.
func (s *snapshot) addNotes(notes ...string) {
	const most = 5
	if left := len(notes) - most; left > 0 {
		notes = append(notes[:most:most], fmt.Sprintf("And %s more.", withCommas(left)))
	}
	if s.note != "" {
		notes = append([]string{s.note}, notes...)
	}
	s.note = strings.Join(notes, " ")
}

// newSnapshot makes the trees of the roots, adds what the look has found of them, which may
// be nil, and runs the lints with what is remembered of earlier snapshots.
func newSnapshot(roots []traigo.Snapshot, now time.Time, look *look, remembered *lintState) *snapshot {
	s := &snapshot{taken: now, views: make(map[query]*view)}
	for _, root := range roots {
		s.roots = append(s.roots, newTree(root, now))
	}
	s.addLook(look)
	s.counts = countNodes(s.roots)
	s.warnings, s.recheck = remembered.run(s.roots, now)
	return s
}

// A view is the part of a snapshot that a client asks for, folded and with lines left out
// as the query wants it.
type view struct {
	*snapshot
	query query
	roots []*node
	cut   int // lines left out
	more  int // roots left out

	encode sync.Once
	stable []byte // JSON without the time of the snapshot, which differs each time
	hash   string // of stable
}

// view returns the part of s that q asks for.
func (s *snapshot) view(q query) *view {
	v := &view{snapshot: s, query: q, roots: s.roots}
	if q.scope != 0 || q.path != "" {
		v.roots = s.find(q)
	}
	from := minFold
	if q.full {
		from = math.MaxInt
	}
	s.shapesOnce.Do(func() {
		for _, root := range s.roots {
			root.setShapes()
		}
	})
	v.roots = fold(v.roots, "", from)
	if !q.all {
		all := len(v.roots)
		v.roots, v.cut = limitLines(v.roots, maxLines)
		v.more = all - len(v.roots)
	}
	return v
}

// sharedView returns the same view to all clients with the same query.
func (s *snapshot) sharedView(q query) *view {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.views[q] == nil {
		began := time.Now()
		s.views[q] = s.view(q)
		s.cost.Add(int64(time.Since(began)))
	}
	return s.views[q]
}

// find returns the nodes with the path and the ID that q asks for, except those below
// another one.
func (s *snapshot) find(q query) (found []*node) {
	var search func(siblings []*node)
	search = func(siblings []*node) {
		for _, n := range siblings {
			if (q.scope == 0 || n.Kind == kindScope && n.ID == q.scope) && (q.path == "" || n.hasPath(q.path)) {
				found = append(found, n)
			} else {
				search(n.Below)
			}
		}
	}
	search(s.roots)
	return found
}

// hasPath reports whether path is that of n, or is what a client is shown of it: escaped
// and cut.
func (n *node) hasPath(path string) bool {
	return n.Path == path || (len(n.Path) > maxPathLen || !isPrintableASCII(n.Path)) && escape(n.Path, maxPathLen) == path
}

// notFound reports whether the query asks for a path or an ID that does not exist.
func (v *view) notFound() bool {
	return len(v.roots) == 0 && (v.query.path != "" || v.query.scope != 0)
}

// An answer is the JSON object that doc.go describes.
type answer struct {
	Version int       `json:"version"`
	Taken   time.Time `json:"taken,omitzero"`
	counts
	Looked   time.Time      `json:"looked,omitzero"`
	Warnings []warning      `json:"warnings"`
	Recheck  int            `json:"recheck,omitempty"`
	Cut      int            `json:"cut,omitempty"`
	Note     string         `json:"note,omitempty"`
	Roots    []*node        `json:"roots"`
	Places   []*placeGroup  `json:"places,omitempty"`
	Limiters []limits.State `json:"limiters,omitempty"`
	endings
}

const version = 1

// json encodes v, with the time of the snapshot or without.
func (v *view) json(withTime bool) []byte {
	addMembers(v.roots, maxMemberLines)
	a := answer{
		Version: version, counts: v.counts, Warnings: v.warnings, Recheck: v.recheck.all, Cut: v.cut,
		Note: v.note, Roots: v.roots, Places: v.places, Limiters: v.limiters, endings: v.ended,
	}
	if a.Warnings == nil {
		a.Warnings = []warning{}
	}
	if a.Roots == nil {
		a.Roots = []*node{}
	}
	if withTime {
		a.Taken, a.Looked = v.taken, v.looked
	} else {
		a.Places = withoutFor(v.roots, v.places)
	}
	text, err := json.Marshal(a)
	if err != nil {
		panic("live: " + err.Error()) // only a time after the year 9999 cannot be encoded
	}
	return text
}

// withoutFor sets For to zero where From says the same, and does not change all the time. The
// nodes are those of one view, which nothing else uses; the places are copied.
func withoutFor(nodes []*node, places []*placeGroup) (stable []*placeGroup) {
	for _, n := range nodes {
		if !n.From.IsZero() {
			n.For = 0
		}
		for i := range n.Standing {
			if s := &n.Standing[i]; !s.From.IsZero() {
				s.For = 0
			}
		}
		withoutFor(n.Below, nil)
		withoutFor(n.Members, nil)
	}
	for _, g := range places {
		group := *g
		group.For = 0
		stable = append(stable, &group)
	}
	return stable
}

// stableJSON returns JSON that is the same in each snapshot as long as nothing changes,
// and its hash. It is encoded once for all streams that share v.
func (v *view) stableJSON() (text []byte, hash string) {
	v.encode.Do(func() {
		began := time.Now()
		v.stable = v.json(false)
		h := emptyHash
		for _, b := range v.stable {
			h = h.byte(b)
		}
		v.hash = strconv.FormatUint(uint64(h), 36)
		v.cost.Add(int64(time.Since(began)))
	})
	return v.stable, v.hash
}

// idleFactor bounds the share of one processor that a throttle uses: after a call that
// took d, the next one begins at least idleFactor*d later.
const idleFactor = 2

// A throttle calls a function for many clients, one call at a time and not too often. A
// client gets the result of a call that began after the client had asked, so that no
// answer is older than its request. Clients that wait for the same key share one result.
type throttle[K comparable, V any] struct {
	call     func(K) V
	interval time.Duration // at least, between the beginnings of two calls

	turn      chan struct{} // a semaphore of one: its holder makes the next call
	notBefore time.Time     // when the next call may begin; guarded by turn

	mu           sync.Mutex // guards the fields below
	clients      int        // in get, and streams
	started      uint64     // number of calls so far
	resultNumber uint64     // which call result is from; 0 if there is no result
	resultKey    K
	result       V
}

func newThrottle[K comparable, V any](interval time.Duration, call func(K) V) *throttle[K, V] {
	return &throttle[K, V]{call: call, interval: interval, turn: make(chan struct{}, 1)}
}

// get returns the result of a call with key that begins after get was called. When ctx
// ends first, it returns the cause.
func (t *throttle[K, V]) get(ctx context.Context, key K) (V, error) {
	before := t.addClient()
	defer t.removeClient()
	result, _, err := t.getAfter(ctx, key, before)
	return result, err
}

// getAfter returns the result of a call with key that began after call number before, and its
// number, to a client that addClient has counted.
func (t *throttle[K, V]) getAfter(ctx context.Context, key K, before uint64) (result V, number uint64, err error) {
	var none V
	select {
	case t.turn <- struct{}{}:
	case <-ctx.Done():
		return none, 0, context.Cause(ctx)
	}
	defer func() { <-t.turn }()
	if result, number, ok := t.resultAfter(before, key); ok {
		return result, number, nil
	}
	if err := sleepUntil(ctx, t.notBefore); err != nil {
		return none, 0, err
	}
	number = t.startCall()
	began := time.Now()
	result = t.call(key)
	cost := time.Since(began)
	t.notBefore = began.Add(max(t.interval, (1+idleFactor)*cost))
	t.store(number, key, result)
	return result, number, nil
}

// addClient counts a client, and returns how many calls have begun so far: the client may
// have the results of later ones only.
func (t *throttle[K, V]) addClient() (before uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.clients++
	return t.started
}

// removeClient drops the result when the last client leaves: it may be large, and is too
// old for any client that comes later.
func (t *throttle[K, V]) removeClient() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.clients--; t.clients == 0 {
		var none V
		t.resultNumber, t.result = 0, none
	}
}

func (t *throttle[K, V]) resultAfter(before uint64, key K) (result V, number uint64, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.result, t.resultNumber, t.resultNumber > before && t.resultKey == key
}

func (t *throttle[K, V]) startCall() (number uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.started++
	return t.started
}

func (t *throttle[K, V]) store(number uint64, key K, result V) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.resultNumber, t.resultKey, t.result = number, key, result
}

// sleepUntil sleeps until t. When ctx ends first, it returns the cause.
func sleepUntil(ctx context.Context, t time.Time) error {
	wait := time.Until(t)
	if wait <= 0 {
		return nil
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
