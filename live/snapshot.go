package live

import (
	"context"
	"encoding/json"
	"math"
	"strconv"
	"sync"
	"time"

	"github.com/traigo/traigo"
)

// A look is the roots at one moment, and what there is to say of them.
type look struct {
	taken    time.Time
	roots    []*node
	census   census
	warnings []warning
	recheck  int
	ended    []ending
	note     string // what is missing

	outlined sync.Once
	mu       sync.Mutex      // guards views
	views    map[query]*view // those that streams share
}

// look takes a look without stacks. The camera calls it, never twice at a time.
func (h *handler) look() *look {
	roots, ended := h.source()
	shots := make([]traigo.Snapshot, len(roots))
	for i, root := range roots {
		// Not its Err: who asks for that takes the responsibility for the outcome.
		shots[i] = root.Snapshot()
	}
	l := newLook(shots, time.Now(), &h.memory)
	l.ended = ended
	return l
}

func newLook(shots []traigo.Snapshot, now time.Time, m *memory) *look {
	l := &look{taken: now, views: make(map[query]*view)}
	for _, shot := range shots {
		l.roots = append(l.roots, treeOf(shot, now))
	}
	l.census = count(l.roots)
	l.warnings, l.recheck = m.inspect(l.roots, now)
	return l
}

// A view is the part of a look that a client has asked for, as it is shown.
type view struct {
	*look
	query query
	roots []*node
	cut   int
	more  int // roots that are left out

	encode sync.Once
	stable []byte // the JSON without the moment: the same as long as nothing changes
	hash   string
}

// view makes the part of l that q asks for.
func (l *look) view(q query) *view {
	v := &view{look: l, query: q, roots: l.roots}
	if q.scope != 0 || q.path != "" {
		v.roots = l.find(q)
	}
	from := foldFrom
	if q.full {
		from = math.MaxInt
	}
	l.outlined.Do(func() {
		for _, root := range l.roots {
			root.outline()
		}
	})
	v.roots = fold(v.roots, "", from)
	if !q.all {
		all := len(v.roots)
		v.roots, v.cut = cut(v.roots, mostLines)
		v.more = all - len(v.roots)
	}
	return v
}

// shared is view for many clients that want the same.
func (l *look) shared(q query) *view {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.views[q] == nil {
		l.views[q] = l.view(q)
	}
	return l.views[q]
}

// find returns the nodes that have the path and the ID asked for, without those below
// others of them.
func (l *look) find(q query) (found []*node) {
	var search func(siblings []*node)
	search = func(siblings []*node) {
		for _, n := range siblings {
			if (q.scope == 0 || n.Kind == aScope && n.ID == q.scope) && (q.path == "" || n.hasPath(q.path)) {
				found = append(found, n)
			} else {
				search(n.Below)
			}
		}
	}
	search(l.roots)
	return found
}

// hasPath is true of the path as it is, and as it is shown.
func (n *node) hasPath(path string) bool {
	return n.Path == path || (len(n.Path) > longestPath || !isPlain(n.Path)) && clean(n.Path, longestPath) == path
}

// none is true if something was asked for that is not there.
func (v *view) none() bool {
	return len(v.roots) == 0 && (v.query.path != "" || v.query.scope != 0)
}

// answer is the JSON: see doc.go.
type answer struct {
	Version int       `json:"version"`
	Taken   time.Time `json:"taken,omitzero"`
	census
	Warnings []warning `json:"warnings"`
	Recheck  int       `json:"recheck,omitempty"`
	Cut      int       `json:"cut,omitempty"`
	Note     string    `json:"note,omitempty"`
	Roots    []*node   `json:"roots"`
	Ended    []ending  `json:"ended,omitempty"`
}

const version = 1

// json encodes v, with the moment or without.
func (v *view) json(dated bool) []byte {
	a := answer{
		Version: version, census: v.census, Warnings: v.warnings, Recheck: v.recheck, Cut: v.cut,
		Note: v.note, Roots: v.roots, Ended: v.ended,
	}
	if a.Warnings == nil {
		a.Warnings = []warning{}
	}
	if a.Roots == nil {
		a.Roots = []*node{}
	}
	if dated {
		a.Taken = v.taken
	}
	text, err := json.Marshal(a)
	if err != nil {
		panic("live: " + err.Error()) // a time beyond the year 9999
	}
	return text
}

// stableJSON is the same, and has the same hash, as long as nothing has changed.
func (v *view) stableJSON() (text []byte, hash string) {
	v.encode.Do(func() {
		v.stable = v.json(false)
		h := emptyHash
		for _, b := range v.stable {
			h = h.byte(b)
		}
		v.hash = strconv.FormatUint(uint64(h), 36)
	})
	return v.stable, v.hash
}

// restFactor times what a picture has cost is how long the camera then rests at least.
const restFactor = 2

// A camera takes pictures for many clients, one at a time and not too often. A client
// gets a picture that was begun after it had asked for it: so no answer is older than
// its question, and all that wait share one.
type camera[K comparable, V any] struct {
	take func(K) V
	gap  time.Duration // between the beginnings of two

	turn chan struct{} // whoever has sent into it takes the next picture
	next time.Time     // when that may be; of whoever has the turn

	mu      sync.Mutex // guards what follows
	waiting int        // clients
	begun   uint64     // pictures
	number  uint64     // of the picture that is kept; 0 if none is
	key     K
	picture V
}

func newCamera[K comparable, V any](gap time.Duration, take func(K) V) *camera[K, V] {
	return &camera[K, V]{take: take, gap: gap, turn: make(chan struct{}, 1)}
}

// get returns a picture of key. Its error is why ctx is done.
func (c *camera[K, V]) get(ctx context.Context, key K) (V, error) {
	before := c.enter()
	defer c.leave()
	var none V
	select {
	case c.turn <- struct{}{}:
	case <-ctx.Done():
		return none, context.Cause(ctx)
	}
	defer func() { <-c.turn }()
	if picture, ok := c.newerThan(before, key); ok {
		return picture, nil
	}
	if err := sleepUntil(ctx, c.next); err != nil {
		return none, err
	}
	number, began := c.begin(), time.Now()
	picture := c.take(key)
	cost := time.Since(began)
	c.next = began.Add(max(c.gap, (1+restFactor)*cost))
	c.keep(number, key, picture)
	return picture, nil
}

// enter counts a client, and tells it how many pictures were begun before it came.
func (c *camera[K, V]) enter() (before uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.waiting++
	return c.begun
}

// leave drops the picture with the last client: it may be large, and nobody who comes
// later may have it.
func (c *camera[K, V]) leave() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.waiting--; c.waiting == 0 {
		var none V
		c.number, c.picture = 0, none
	}
}

func (c *camera[K, V]) newerThan(before uint64, key K) (picture V, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.picture, c.number > before && c.key == key
}

func (c *camera[K, V]) begin() (number uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.begun++
	return c.begun
}

func (c *camera[K, V]) keep(number uint64, key K, picture V) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.number, c.key, c.picture = number, key, picture
}

// sleepUntil returns why ctx is done, if it is before t.
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
