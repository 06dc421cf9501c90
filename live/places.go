package live

import (
	"cmp"
	"context"
	"fmt"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/internal/limits"
	inner "github.com/traigo/traigo/internal/processes"
	"github.com/traigo/traigo/internal/stackdump"
)

// What each task waits for, and where. Only the stacks of all goroutines tell it, and the
// program stops while they are written. So snapshots are taken more often than looks: a
// snapshot shows what the last look has found.

const (
	lookInterval = time.Second
	lookIdle     = 50                     // after a look that took d, the next one begins lookIdle*d later at the earliest
	maxLookCost  = 500 * time.Millisecond // no look is taken unasked that is expected to take longer
	maxLookGap   = 30 * time.Second       // between two looks that have found a task at the same place, for it to have been there all the time
	lookGuess    = 16 * time.Microsecond  // that a look takes for each goroutine, until one has been taken
)

// A looker takes looks, and keeps the last one.
type looker struct {
	mu     sync.Mutex // guards the fields below
	last   *look      // nil before the first
	next   time.Time  // when the next one may be taken unasked
	perOne time.Duration
}

// refresh takes a look at the roots if one is due, and returns the last one, or why there is
// none. Only takeSnapshot calls it, which never runs twice at a time.
func (l *looker) refresh(roots []*traigo.Scope) (last *look, note string) {
	n := roundNumber(runtime.NumGoroutine())
	cost := l.expectedCost(n)
	if n > maxGoroutines && cost > maxLookCost {
		if last := l.get(); last != nil && time.Since(last.taken) < maxLookGap {
			return last, ""
		}
		return nil, fmt.Sprintf("With some %s goroutines nothing is said of what each task waits for, unless ?stacks=force asks for it: "+
			"that would stop the program for about %v.", withCommas(n), cost.Round(100*time.Millisecond))
	}
	if l.isDue() {
		l.dump(roots)
	}
	return l.get(), ""
}

// roundNumber returns n with two digits, so that a sentence with it does not change all the
// time.
func roundNumber(n int) int {
	unit := 1
	for n/unit >= 100 {
		unit *= 10
	}
	return (n + unit/2) / unit * unit
}

func (l *looker) isDue() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return !time.Now().Before(l.next)
}

func (l *looker) get() *look {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.last
}

// expectedCost returns how long a look at n goroutines is expected to take.
func (l *looker) expectedCost(n int) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return time.Duration(n) * cmp.Or(l.perOne, lookGuess)
}

// dump returns dumps of the roots, which are the last look from now on.
func (l *looker) dump(roots []*traigo.Scope) []traigo.Snapshot {
	n, began := runtime.NumGoroutine(), time.Now()
	dumps, _ := inner.Dumps(context.Background(), roots).([]traigo.Snapshot)
	now := newLook(dumps, time.Now())
	var gc debug.GCStats
	debug.ReadGCStats(&gc)
	now.compare(l.get(), gc.LastGC)
	cost := time.Since(began)

	l.mu.Lock()
	defer l.mu.Unlock()
	l.last, l.perOne = now, cost/time.Duration(n)
	l.next = began.Add(max(lookInterval, (1+lookIdle)*cost))
	return dumps
}

// A look is what the dumps of all roots have told at one moment.
type look struct {
	taken   time.Time
	places  map[nodeID]*place
	blocked map[uint64][]string // paths of what waits for a slot, by the ID of the scope
}

// A place is what one task, body or abandoned call waits for, and where.
type place struct {
	waits, at string
	said      time.Duration // how long it has waited as Go tells it, in whole minutes
	told      time.Time     // it has waited since then at least, as Go tells it; zero if said is 0
	since     time.Time     // looks have found it here since then: it may have gone on in between, and come back
	stood     time.Duration // from then to the look
	scanned   time.Time     // the first garbage collection that a look knows of after since
	lock      string        // address of the mutex that it waits for; "" if it waits for none
	isShared  bool          // another place is that of the same goroutine
	isHanded  bool          // another task has got the lock since the look before
}

func newLook(dumps []traigo.Snapshot, now time.Time) *look {
	l := &look{taken: now, places: make(map[nodeID]*place), blocked: make(map[uint64][]string)}
	b := lookBuilder{look: l, texts: make(map[string]string), goroutines: make(map[goroutine]bool)}
	b.addScopes(dumps)
	return l
}

// A lookBuilder reads dumps into a look.
type lookBuilder struct {
	*look
	texts      map[string]string // copies: a part of a stack would keep all of it in memory
	goroutines map[goroutine]bool
}

// A goroutine has a number that is unique in its process.
type goroutine struct {
	pid    int
	number string
}

// addScopes adds the tasks of a scope before those of the scopes below it, so that a body of
// Run shares its place with the task that has called Run, and not the other way round.
func (b *lookBuilder) addScopes(shots []traigo.Snapshot) {
	for i := range shots {
		s := &shots[i]
		b.add(s.Pid, nodeID{scope: s.ID}, s.Waits, s.For, s.At, s.Stack)
		eachTask(s, func(id nodeID, t *traigo.TaskSnapshot) { b.add(s.Pid, id, t.Waits, t.For, t.At, t.Stack) })
		if len(s.Blocked) > 0 {
			b.blocked[s.ID] = escapeAll(s.Blocked[:min(len(s.Blocked), maxExamples)])
		}
		b.addScopes(s.Scopes)
	}
}

func (b *lookBuilder) add(pid int, id nodeID, waits string, said time.Duration, at, stack string) {
	if waits == "" {
		return
	}
	p := &place{waits: b.text(waits), at: b.text(at), said: said, since: b.taken.Add(-said), stood: said}
	if said > 0 {
		p.told = p.since
	}
	if isLockWait(waits) {
		p.lock = b.text(lockIn(stack))
	}
	if number, _, is := strings.Cut(stack, " ["); is {
		g := goroutine{pid, number}
		p.isShared = b.goroutines[g]
		b.goroutines[g] = true
	}
	b.places[id] = p
}

func (b *lookBuilder) text(s string) string {
	own, known := b.texts[s]
	if !known {
		own = escape(strings.Clone(s), maxNameLen)
		b.texts[strings.Clone(s)] = own
	}
	return own
}

func isLockWait(waits string) bool {
	return waits == "sync.Mutex.Lock" || waits == "sync.RWMutex.Lock" || waits == "sync.RWMutex.RLock"
}

// lockIn returns the address of the mutex that a goroutine waits for, or of one of its
// semaphores.
func lockIn(stack string) string {
	for _, f := range []string{"sync.(*Mutex).lockSlow(", "sync.runtime_SemacquireRWMutexR(", "sync.runtime_SemacquireRWMutex("} {
		if address := stackdump.ReceiverOf(stack, f); address != "" {
			return address
		}
	}
	return ""
}

// compare sets since of what the look before has found at the same place. gc is when the
// last garbage collection ended.
//
// A task that comes back to its place between two looks is not told from one that has not
// moved. There are two signs of it. A mutex that one of its waiters has got is not held by
// a task that does not go on, so those that wait for it wait anew. And if the garbage
// collector has seen a task wait more than a minute ago, and Go does not say so of it now,
// it has moved since.
func (l *look) compare(before *look, gc time.Time) {
	if before == nil || l.taken.Sub(before.taken) > maxLookGap {
		return
	}
	moved := make(map[string]bool) // by address
	for id, was := range before.places {
		if is := l.places[id]; was.lock != "" && (is == nil || is.lock != was.lock) {
			moved[was.lock] = true
		}
	}
	for id, is := range l.places {
		is.isHanded = moved[is.lock]
		was := before.places[id]
		if was == nil || was.waits != is.waits || was.at != is.at || was.lock != is.lock || is.isHanded {
			continue
		}
		if scanned := was.scanned; !scanned.IsZero() && l.taken.Sub(scanned) >= is.said+time.Minute+time.Second {
			continue
		}
		if !is.told.IsZero() && !was.told.IsZero() && is.told.Sub(was.told) < time.Minute {
			// Go cuts to minutes, so the times of one wait differ by less than one.
			is.told = earlier(is.told, was.told)
		}
		is.scanned = was.scanned
		if was.since.Sub(is.since) < lookInterval { // so that since is the same in all looks, whatever Go rounds
			is.since = was.since
		}
		if is.scanned.IsZero() && gc.After(is.since) && !gc.After(l.taken) { // in a bubble of synctest gc is by another clock
			is.scanned = gc
		}
		is.stood = l.taken.Sub(is.since)
	}
}

// chanSend is Go's word for a task that waits for a receiver.
const chanSend = "chan send"

// mayBeStuck reports whether p is where a task does not stay for long unless something is
// wrong. Looks cannot tell a task that has stayed from one that has gone on and come back, so
// they are no reason for a warning: only what Go says of one wait is. A channel that is full
// at each look is not even a reason for a hint: a pipeline waits so for its slowest part. An
// empty select may be there to keep a task alive.
func (p *place) mayBeStuck() bool {
	if p == nil || p.isShared || p.isHanded {
		return false
	}
	return p.waits == chanSend || isLockWait(p.waits) || strings.HasSuffix(p.waits, "(nil chan)")
}

func (p *place) String() string { return strings.TrimSuffix(p.waits+" at "+p.at, " at ") }

// maxPlaces is the maximal number of places in an answer.
const maxPlaces = 50

// A placeGroup is several tasks that wait at the same place.
type placeGroup struct {
	Waits string        `json:"waits"`
	At    string        `json:"at"`
	From  time.Time     `json:"from,omitzero"`
	For   time.Duration `json:"for,omitempty"`
	Count int           `json:"count"`
	Paths []string      `json:"paths"`
	Names []string      `json:"names"`

	longest   []*node // at most maxExamples
	moreNames bool    // than are in Names
}

// addLook gives the nodes what the look has found of them, and groups those that wait.
func (s *snapshot) addLook(l *look) {
	if l == nil {
		return
	}
	s.looked = l.taken
	type where struct{ waits, at string }
	groups := make(map[where]*placeGroup)
	for _, root := range s.roots {
		root.walk(nil, func(n, _ *node) {
			if blocked := l.blocked[n.ID]; blocked != nil && n.Kind == kindScope {
				n.Blocked = blocked
			}
			p := l.places[n.nodeID]
			if p == nil {
				return
			}
			n.place, n.Waits, n.At, n.From, n.For = p, p.waits, p.at, p.since, p.stood.Truncate(time.Second)
			if p.isShared || p.waits == "running" || p.waits == "runnable" {
				return
			}
			g := groups[where{p.waits, p.at}]
			if g == nil {
				g = &placeGroup{Waits: p.waits, At: p.at}
				groups[where{p.waits, p.at}] = g
			}
			g.add(n)
		})
	}
	for _, g := range groups {
		s.places = append(s.places, g)
	}
	slices.SortFunc(s.places, func(a, b *placeGroup) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(b.For, a.For), cmp.Compare(a.At, b.At), cmp.Compare(a.Waits, b.Waits))
	})
	s.places = s.places[:min(len(s.places), maxPlaces)]
	for _, g := range s.places {
		for _, n := range g.longest {
			g.Paths = append(g.Paths, escape(n.Path, maxPathLen))
		}
	}
}

// add adds a task, and keeps the first of those that have waited longest.
func (g *placeGroup) add(n *node) {
	g.Count++
	g.From, g.For = earlier(g.From, n.From), max(g.For, n.For)
	switch {
	case slices.Contains(g.Names, n.Name):
	case len(g.Names) < maxExamples:
		g.Names = append(g.Names, n.Name)
	default:
		g.moreNames = true
	}
	at, _ := slices.BinarySearchFunc(g.longest, n, func(has, n *node) int {
		if has.place.since.After(n.place.since) {
			return 1
		}
		return -1
	})
	if at < maxExamples {
		g.longest = slices.Insert(g.longest[:min(len(g.longest), maxExamples-1)], at, n)
	}
}

// writePlaces writes the places at which several tasks wait.
func (t *textWriter) writePlaces(groups []*placeGroup) {
	const most = 10
	groups = slices.DeleteFunc(slices.Clone(groups), func(g *placeGroup) bool { return g.Count < 2 })
	if len(groups) == 0 {
		return
	}
	t.line("\nwaiting at the same place:")
	for _, g := range groups[:min(len(groups), most)] {
		line := withCommas(g.Count) + " × " + (&place{waits: g.Waits, at: g.At}).String()
		if g.For > 0 {
			line += ", " + atLeast(g.For)
		}
		line += ": " + strings.Join(g.Names, ", ")
		if g.moreNames {
			line += ", …"
		}
		t.line("  ", line)
	}
	if left := len(groups) - most; left > 0 {
		t.line("  … and ", withCommas(left), " more places")
	}
}

// writeLimiters writes the limiters of package capacity in which somebody waits.
func (t *textWriter) writeLimiters(limiters []limits.State) {
	if len(limiters) > 0 {
		t.line("\nwaiting for units of a capacity.Limiter:")
	}
	for _, l := range limiters {
		t.line("  ", withCommas(l.InUse), " of ", withCommas(l.Limit), " in use, held by ", someOf(l.Holders, 0), "; ",
			withCommas(l.Waiting), " waiting: ", someOf(l.Waiters, l.Waiting))
	}
}

// someOf lists what is known of all, or of more.
func someOf(known []string, all int) string {
	list := strings.Join(known, ", ")
	if list == "" {
		return "what has no name"
	}
	if all > len(known) {
		list += ", …"
	}
	return list
}
