package traigo

import (
	"cmp"
	"container/list"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
)

// A Limiter is a number of units that the tasks of all scopes opened with
// [LimitedBy] share: connections, memory, the licenses of a service. A task takes
// one, or as many as [Weight] says, when it is spawned, and gives them back when
// it has ended. Who comes first is served first, also if less would do for others.
//
// The idea is Trio's CapacityLimiter.
type Limiter struct {
	number uint64 // the order in which several are taken: so nobody waits in a circle

	// mu may be taken under the lock of a scope. Under it nothing else is: it is a
	// leaf in the place of theirs.
	mu      sync.Mutex
	limit   int
	used    int
	waiters list.List // of *waiter
	grants  uint64
	holders map[uintptr]holding // by the address of the task; nil for the limit of one scope
}

// A holding is what a task has: it may not have been accepted yet.
type holding struct {
	task  *Task
	units int
	grant uint64 // the order in which tasks got theirs
}

var limiters atomic.Uint64

// NewLimiter returns a Limiter of n units. With 0 every Spawn waits until
// [Limiter.SetLimit] lets it. It panics if n is negative.
func NewLimiter(n int) *Limiter {
	mustBeLimit("NewLimiter", n)
	return &Limiter{number: limiters.Add(1), limit: n, holders: map[uintptr]holding{}}
}

// SetLimit changes the number of units. If there are more, those who wait get
// them at once; if there are fewer than are in use, nobody is stopped: there will
// be as many once enough tasks have ended. It panics if n is negative.
func (l *Limiter) SetLimit(n int) {
	l.check("SetLimit")
	mustBeLimit("SetLimit", n)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.limit = n
	l.grantLocked()
}

// LimiterStats are what a [Limiter] says of itself.
type LimiterStats struct {
	Limit   int      // units there are
	InUse   int      // of them taken; more than Limit after SetLimit has lowered it, or a canceled task had lent its own
	Waiting int      // how many wait: spawns, and tasks that have lent what they have
	Tasks   []string // the paths of those who have them, in the order in which they got them
}

// Stats returns how the Limiter is doing.
func (l *Limiter) Stats() LimiterStats {
	l.check("Stats")
	l.mu.Lock()
	stats := LimiterStats{Limit: l.limit, InUse: l.used, Waiting: l.waiters.Len()}
	holdings := slices.Collect(maps.Values(l.holders))
	l.mu.Unlock()
	stats.Tasks = pathsOf(holdings)
	return stats
}

func pathsOf(holdings []holding) (paths []string) {
	slices.SortFunc(holdings, func(a, b holding) int { return cmp.Compare(a.grant, b.grant) })
	for _, h := range holdings {
		paths = append(paths, h.task.Path())
	}
	return paths
}

// blame says why somebody does not get so many units, and names some of those who
// have them.
func (l *Limiter) blame(units int) string {
	l.mu.Lock()
	limit, used := l.limit, l.used
	holdings := slices.Collect(maps.Values(l.holders))
	l.mu.Unlock()
	text := fmt.Sprintf("the limit of %d is reached", limit)
	switch {
	case units > limit:
		text = fmt.Sprintf("a weight of %d is more than the limit of %d, only SetLimit can let it in", units, limit)
	case l.holders == nil:
		return text + "; a task that spawns into its own full scope waits for itself"
	}
	if used == 0 {
		return text
	}
	var paths []string
	for _, path := range pathsOf(holdings) {
		paths = append(paths, strconv.Quote(path))
	}
	more := len(paths) - maxKept
	if more > 0 {
		paths = append(paths[:maxKept], count(more, "more task"))
	}
	return fmt.Sprintf("%s, %d in use by [%s]", text, used, strings.Join(paths, ", "))
}

// take gives t its units if they are there and nobody waits for them.
func (l *Limiter) take(t *Task) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.waiters.Len() > 0 || l.used+t.units() > l.limit {
		return false
	}
	l.holdLocked(t)
	return true
}

// giveBack takes from t what it has. Of a shared limit that may be nothing any more.
func (l *Limiter) giveBack(t *Task) {
	l.mu.Lock()
	defer l.mu.Unlock()
	units := t.units()
	if l.holders != nil {
		units = l.holders[t.address()].units
		delete(l.holders, t.address())
	}
	l.used -= units
	l.grantLocked()
}

func (l *Limiter) holdLocked(t *Task) {
	l.used += t.units()
	if l.holders != nil {
		l.grants++
		l.holders[t.address()] = holding{t, t.units(), l.grants}
	}
}

// holder returns the task at that address, if it has units.
func (l *Limiter) holder(address uintptr) *Task {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.holders[address].task
}

func (t *Task) address() uintptr { return reflect.ValueOf(t).Pointer() }

// grantLocked lets in those who wait, as long as there is enough for the first.
func (l *Limiter) grantLocked() {
	for e := l.waiters.Front(); e != nil; e = l.waiters.Front() {
		w, _ := e.Value.(*waiter)
		if l.used+w.units() > l.limit {
			return
		}
		l.waiters.Remove(e)
		w.granted = true
		if w.task != nil {
			l.holdLocked(w.task)
		}
		close(w.c)
	}
}

// A waiter is somebody who waits for the units of a task, or, if there is none,
// for the moment in which there is one.
type waiter struct {
	place   *list.Element
	task    *Task
	c       chan struct{} // closed when it is granted
	granted bool          // under the Limiter's mu
}

func (w *waiter) units() int {
	if w.task == nil {
		return 1
	}
	return w.task.units()
}

// enqueue has somebody wait: a task that has been here before at the head.
func (l *Limiter) enqueue(t *Task, again bool) *waiter {
	w := &waiter{task: t, c: make(chan struct{})}
	l.mu.Lock()
	defer l.mu.Unlock()
	if again {
		w.place = l.waiters.PushFront(w)
	} else {
		w.place = l.waiters.PushBack(w)
	}
	l.grantLocked()
	return w
}

// leave ends the waiting, and reports whether it was granted.
func (l *Limiter) leave(w *waiter) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !w.granted {
		l.waiters.Remove(w.place)
		l.grantLocked() // who waited behind may want less
	}
	return w.granted
}
