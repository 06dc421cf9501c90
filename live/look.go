package live

import (
	"encoding/json"
	"math"
	"slices"
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

// rootOf finds the root that has the scope in it, or what is left of it.
func (l *look) rootOf(scope uint64) (root uint64, found bool) {
	i := slices.IndexFunc(l.roots, func(root *node) bool {
		isIn := false
		root.each(nil, func(n, _ *node) { isIn = isIn || n.who.scope == scope })
		return isIn
	})
	if i < 0 {
		return 0, false
	}
	return l.roots[i].ID, true
}
