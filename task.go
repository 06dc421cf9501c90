package traigo

import (
	"context"
	"sync/atomic"
	"time"
)

// A Task is one function running in a [Scope]: the handle that Spawn returns.
// It may be ignored; the scope waits for the function in any case.
type Task struct {
	// It is small because most tasks are short: allocating a task, and collecting it,
	// is half of what it costs. What only some tasks need comes with the first who
	// asks for it.

	// Set at spawn, then read-only.
	scope   *Scope
	fn      func(context.Context) error
	name    *string // nil: the name of the function
	id      uint64
	spawned stamp
	flags   flags
	owner   owner

	// Written under scope.mu, read without it.
	bits atomic.Uint32
	more atomic.Pointer[taskMore]

	// Under scope.mu.
	prev, next *Task
	ctxDone    chan struct{} // Done of the task's context; made when asked for
}

// flags are what the options of Spawn have fixed.
type flags uint16

const (
	bubbles flags = 1 << iota
	bubbleGiven
	master
	awaited
	dedicated
	forAwait  // of Async: the error belongs to whoever awaits
	forStart  // of Start: until it is ready the error belongs to the caller
	unlimited // of a join: it feeds the tasks that the limits are for
)

// Bits are what has happened to a task.
const (
	unlabelled uint32 = 1 << iota // its context has no labels to give: it panicked
	introduced                    // observers have been shown that it starts
	hasEnded                      // the result stands
	hasFailed                     // by an error that its cancellation does not explain
	told                          // its context is done: ctxDone, if made, is closed
	endedAlive                    // it ended before its context did, which so ended with it
	isReady                       // of Start: ready was called
	startLeft                     // of Start: the caller has left before
	givenUp                       // it did not end in time, and its scope has gone on
	warned                        // a warning about it has been logged
	spared                        // it was due to be given up, but waited for another
	received                      // somebody has its error
	unreceived                    // its error is kept for whoever comes
	counted                       // its error is only counted: too many are kept
	delivered                     // of AsCompleted: its result has been handed over, or never will be
	heldLate                      // that was after the end of the scope had been decided
)

func (t *Task) has(bit uint32) bool { return t.bits.Load()&bit != 0 }
func (t *Task) set(bit uint32)      { t.bits.Or(bit) }
func (t *Task) clear(bit uint32)    { t.bits.And(^bit) }

// taskMore is what a task has that fails, that somebody waits for, or from whose
// context another was derived.
type taskMore struct {
	pc  uintptr // of the user's function, where fn wraps it; set at spawn
	nth int     // of a join: its place among the functions or items, from 1; set at spawn
	// handOver of AsCompleted offers an error to the loop; if it does not take it, it has
	// the owner that any has. A task that was given up is offered as well. Set at spawn.
	handOver func(error) bool

	hooks   *hook         // what the end of the task's context calls
	done    chan struct{} // Done of the task; made when asked for
	err     error         // written before hasEnded is set
	waiters int32

	// over is the ending of this task alone, by its Cancel or its Timeout. It
	// is set once under scope.mu and read without it.
	over atomic.Pointer[ending]
	rare atomic.Pointer[taskRare] // likewise
}

// demand returns the part of t that not every task has. Before t is spawned it
// needs no lock; afterwards that of the scope.
func (t *Task) demand() *taskMore {
	m := t.more.Load()
	if m == nil {
		m = new(taskMore)
		t.more.Store(m)
	}
	return m
}

// taskRare is what few tasks have: those with a clock or with rare options.
type taskRare struct {
	// Set at spawn, then read-only.
	values           context.Context // and the labels of the task: see label
	onDone           func(error)
	timeout          time.Duration
	deadline         time.Time
	cancelTimeout    time.Duration
	hasCancelTimeout bool
	weight           int // 0 is 1
	start            *starting

	// Under scope.mu.
	timer   *time.Timer
	endedAt time.Time   // when over was set
	stuck   *StuckError // when it was given up
	past    *ending     // see pastLocked
}

// special returns the rare part of t for writing, as demand does.
func (t *Task) special() *taskRare {
	m := t.demand()
	x := m.rare.Load()
	if x == nil {
		x = new(taskRare)
		m.rare.Store(x)
	}
	return x
}

// rare returns the rare part of t, nil if it has none.
func (t *Task) rare() *taskRare {
	if m := t.more.Load(); m != nil {
		return m.rare.Load()
	}
	return nil
}

// ended returns what has ended the context of the task: its own ending, or one
// further out.
func (t *Task) ended() *ending {
	if e := t.alone(); e != nil {
		return e
	}
	return t.scope.ended()
}

func (t *Task) alone() *ending {
	if m := t.more.Load(); m != nil {
		return m.over.Load()
	}
	return nil
}

// contextEnded is ended, or the end of the task itself, which ends its context:
// a watcher that it has left behind may go home.
func (t *Task) contextEnded() *ending {
	if !t.has(endedAlive) {
		e := t.ended()
		if e == nil || t.alone() != nil || t.scope.ending() != nil {
			return e
		}
		return t.past(e) // the scope has not heard of it, and t may end before
	}
	return t.past(nil)
}

// past is what is said of the end of t's context from now on: e, or if it is
// nil, that t has ended.
func (t *Task) past(e *ending) *ending {
	t.scope.mu.Lock()
	defer t.scope.mu.Unlock()
	return t.pastLocked(e)
}

func (t *Task) pastLocked(e *ending) *ending {
	x := t.special()
	if x.past == nil {
		if e == nil || t.has(endedAlive) {
			e = &ending{scope: t.scope, reason: reason{kind: Completed, task: t}}
		}
		x.past = e
	}
	return x.past
}

// Cancel ends this task alone: its context is done, with a [*Cancellation]
// that names it as the cause. What the task then returns because of that is no
// failure. A task that has ended, or whose scope has been canceled, is left as
// it is. It does not wait: see [Task.Wait].
func (t *Task) Cancel(cause error) { t.cancel(reason{kind: Requested, task: t, err: cause}) }

func (t *Task) cancel(why reason) {
	s := t.scope
	up := s.outerEnded()
	s.mu.Lock()
	s.hearLocked(up)
	if s.state >= Canceling || t.has(hasEnded) || t.alone() != nil {
		s.settle()
		return
	}
	e := &ending{scope: s, reason: why}
	t.special().endedAt = time.Now()
	m := t.demand()
	m.over.Store(e)
	t.set(told)
	waiting, hooks := t.ctxDone, takeHooksLocked(&m.hooks)
	s.live++ // until the effects have been applied
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		s.live--
		s.settle()
	}()

	if waiting != nil {
		close(waiting)
	}
	s.callHooks(hooks)
	s.watchStragglers()
	s.logTaskCanceled(t, e)
}
