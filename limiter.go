package traigo

import (
	"cmp"
	"fmt"
	"slices"
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
	waiters waitlist
	grants  uint64
	holders map[*Task]holding // nil for the limit of one scope
}

// A holding is what a task has: it may not have been accepted yet.
type holding struct {
	units int
	grant uint64 // the order in which tasks got theirs
}

var limiters atomic.Uint64

// NewLimiter returns a Limiter of n units. With 0 every Spawn waits until
// [Limiter.SetLimit] lets it. It panics if n is negative.
func NewLimiter(n int) *Limiter {
	mustBeLimit("NewLimiter", n)
	return &Limiter{number: limiters.Add(1), limit: n, holders: map[*Task]holding{}}
}

// SetLimit changes the number of units. If there are more, those who wait get
// them at once; if there are fewer than are in use, nobody is stopped: there will
// be as many once enough tasks have ended. It panics if n is negative.
func (l *Limiter) SetLimit(n int) {
	mustBeLimit("SetLimit", n)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.limit = n
	l.grantLocked()
}

// LimiterStats are what a [Limiter] says of itself.
type LimiterStats struct {
	Limit   int      // units there are
	InUse   int      // of them taken; more than Limit after SetLimit has lowered it
	Waiting int      // spawns that wait for theirs
	Tasks   []string // the paths of those who have them, in the order in which they got them
}

// Stats returns how the Limiter is doing.
func (l *Limiter) Stats() LimiterStats {
	l.mu.Lock()
	defer l.mu.Unlock()
	stats := LimiterStats{Limit: l.limit, InUse: l.used}
	for _, t := range l.tasksLocked() {
		stats.Tasks = append(stats.Tasks, t.Path())
	}
	for w := l.waiters.first; w != nil; w = w.next {
		stats.Waiting++
	}
	return stats
}

func (l *Limiter) tasksLocked() []*Task {
	var tasks []*Task
	for t := range l.holders {
		tasks = append(tasks, t)
	}
	slices.SortFunc(tasks, func(a, b *Task) int {
		return cmp.Compare(l.holders[a].grant, l.holders[b].grant)
	})
	return tasks
}

// refusal says why t has not got its units.
func (l *Limiter) refusal(t *Task) string {
	if l.never(t) {
		return fmt.Sprintf("a weight of %d is more than the limit of %d", t.units(), l.limit)
	}
	return l.blame()
}

// blame names some of those who have what others wait for.
func (l *Limiter) blame() string {
	l.mu.Lock()
	limit, tasks := l.limit, l.tasksLocked()
	l.mu.Unlock()
	text := fmt.Sprintf("the limit of %d is reached", limit)
	if len(tasks) == 0 {
		return text
	}
	var paths []string
	for _, t := range tasks[:min(len(tasks), maxKept)] {
		paths = append(paths, fmt.Sprintf("%q", t.Path()))
	}
	if more := len(tasks) - len(paths); more > 0 {
		paths = append(paths, count(more, "more task"))
	}
	return text + ", by " + strings.Join(paths, ", ")
}

// take gives t its units if they are there and nobody waits for them.
func (l *Limiter) take(t *Task) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.waiters.first != nil || l.used+t.units() > l.limit {
		return false
	}
	l.holdLocked(t)
	return true
}

// giveBack takes from t what it has. It may be called any number of times.
func (l *Limiter) giveBack(t *Task) {
	l.mu.Lock()
	defer l.mu.Unlock()
	units := t.units()
	if l.holders != nil {
		units = l.holders[t].units
		delete(l.holders, t)
	}
	l.used -= units
	l.grantLocked()
}

func (l *Limiter) holdLocked(t *Task) {
	l.used += t.units()
	if l.holders != nil {
		l.grants++
		l.holders[t] = holding{t.units(), l.grants}
	}
}

// grantLocked lets in those who wait, as long as there is enough for the first.
func (l *Limiter) grantLocked() {
	for w := l.waiters.first; w != nil && l.used+w.units() <= l.limit; w = l.waiters.first {
		l.waiters.removeLocked(w)
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
	next    *waiter
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
		l.waiters.first, w.next = w, l.waiters.first
		if w.next == nil {
			l.waiters.last = w
		}
	} else {
		l.waiters.pushLocked(w)
	}
	l.grantLocked()
	return w
}

// leave ends the waiting, and reports whether it was granted.
func (l *Limiter) leave(w *waiter) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !w.granted {
		l.waiters.removeLocked(w)
		l.grantLocked() // who waited behind may want less
	}
	return w.granted
}

// A waitlist is the queue of those who wait.
type waitlist struct{ first, last *waiter }

func (q *waitlist) pushLocked(w *waiter) {
	if q.last == nil {
		q.first = w
	} else {
		q.last.next = w
	}
	q.last = w
}

func (q *waitlist) removeLocked(w *waiter) {
	var last *waiter
	for at := &q.first; *at != nil; {
		if *at == w {
			*at = w.next
			continue
		}
		last, at = *at, &(*at).next
	}
	q.last = last
}
