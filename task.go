package traigo

import (
	"context"
	"fmt"
	"reflect"
	"runtime"
	"strconv"
	"strings"
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
	name    *nameOption // nil: the name of the function
	id      uint64
	spawned stamp
	flags   flags
	owner   owner
	started bool // its function has been called, or is about to be; under scope.mu

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

func (t *Task) set(bit uint32) { t.bits.Or(bit) }

func (t *Task) clear(bit uint32) { t.bits.And(^bit) }

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
func (t *Task) Cancel(cause error) {
	t.check("Cancel")
	t.cancel(reason{kind: Requested, task: t, err: cause})
}

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

// The result of a task, for those who wait for it.

// Wait waits until the task has ended and returns the error of its function,
// as it was returned. If ctx ends first it returns the cause of that, and the
// task is not touched; if the task is given up, a [*StuckError]. A task that
// waits for itself, or for one that waits for it by way of Run, gets an error at
// once.
func (t *Task) Wait(ctx context.Context) error {
	t.check("Wait")
	mustHaveContext("Wait", ctx)
	_, err := t.wait(ctx)
	return err
}

// wait says as well whether the error is the task's.
func (t *Task) wait(ctx context.Context) (ended bool, err error) {
	if t.has(hasEnded) {
		return true, t.receive()
	}
	if t.has(givenUp) {
		return false, t.stuck()
	}
	if t.waitsFor(ctx) {
		return false, fmt.Errorf("traigo: task %q waits for itself", t.Path())
	}
	defer t.scope.lend(ctx.Done())()
	done, gaveUp := t.expect(+1)
	for {
		select {
		case <-done:
			return true, t.receive()
		case <-gaveUp:
			if t.has(givenUp) {
				return false, t.stuck()
			}
			_, gaveUp = t.expect(0)
		case <-ctx.Done():
			t.expect(-1)
			// The end of the task may be what has ended ctx: its result comes first.
			if t.has(hasEnded) {
				return true, t.receive()
			}
			return false, context.Cause(ctx)
		}
	}
}

// expect counts who waits, so that a task that ends knows that its error will
// be received. It returns what to wait for: the end of t, or of hope for some
// task of the scope.
func (t *Task) expect(n int32) (done, gaveUp <-chan struct{}) {
	s := t.scope
	s.mu.Lock()
	defer s.mu.Unlock()
	t.demand().waiters += n
	if t.has(givenUp) {
		closed := make(chan struct{})
		close(closed)
		return t.doneLocked(), closed
	}
	if t.patience() == 0 {
		return t.doneLocked(), nil
	}
	return t.doneLocked(), s.ownRareLocked().gaveUp.waitLocked(false)
}

// stuck is what a task that was given up has instead of a result.
func (t *Task) stuck() error {
	t.scope.mu.Lock()
	defer t.scope.mu.Unlock()
	return t.special().stuck
}

// Done returns a channel that is closed when the task's function has returned.
func (t *Task) Done() <-chan struct{} {
	t.check("Done")
	t.scope.mu.Lock()
	defer t.scope.mu.Unlock()
	return t.doneLocked()
}

func (t *Task) doneLocked() <-chan struct{} {
	m := t.demand()
	if m.done == nil {
		m.done = make(chan struct{})
		if t.has(hasEnded) {
			close(m.done)
		}
	}
	return m.done
}

// Err returns nil before the task is done, and the error of its function after:
// as it was returned, or a [*TimeoutError], a [*PanicError], [ErrGoexit], or
// [ErrRefused] with the cause.
func (t *Task) Err() error {
	t.check("Err")
	if !t.has(hasEnded) {
		return nil
	}
	return t.receive()
}

// receive returns the result to somebody who asked for it.
func (t *Task) receive() error {
	err := t.result()
	if err != nil && t.flags&forAwait != 0 && !t.has(received) {
		t.scope.mu.Lock()
		t.scope.receivedLocked(t)
		t.scope.mu.Unlock()
	}
	return err
}

// result is the error of a task that has ended.
func (t *Task) result() error {
	if m := t.more.Load(); m != nil {
		return m.err
	}
	return nil
}

// A Future is the result of a function that runs as a task: see [Async].
type Future[T any] struct {
	task  Task
	more  taskMore
	value T
}

// Async runs fn as a task of s, as [Scope.Spawn] does, and returns its result to
// whoever awaits it.
//
// The error of fn belongs to whoever awaits: it does not cancel the scope,
// unless Bubble(true) is given. If fn fails and nobody has received the error
// by the time the end of the scope is decided, it joins the outcome; a failure
// after that which nobody receives is logged.
func Async[T any](s *Scope, fn func(ctx context.Context) (T, error), opts ...TaskOption) *Future[T] {
	s.check("Async")
	mustHaveFunc("Async", fn != nil, "the function whose result is wanted")
	f := &Future[T]{}
	t := &f.task
	t.scope, t.flags = s, bubbles|awaited|forAwait
	f.more.pc = pcOf(fn)
	t.more.Store(&f.more)
	t.fn = func(ctx context.Context) (err error) {
		f.value, err = fn(ctx)
		return err
	}
	t.configure("Async", opts)
	s.accept(t, true, nil)
	return f
}

// Await waits until the function has ended and returns what it returned: the error
// as it is, without the name of the task. If ctx
// ends first it returns the cause of that, and the task is not touched. It may
// be called any number of times, from any number of goroutines.
func (f *Future[T]) Await(ctx context.Context) (T, error) {
	mustHaveContext("Await", ctx)
	ended, err := f.task.wait(ctx)
	if !ended {
		var none T
		return none, err
	}
	return f.value, err
}

// Task returns the task that computes the result.
func (f *Future[T]) Task() *Task { return &f.task }

// Scope returns the scope that the task lives in.
func (t *Task) Scope() *Scope {
	t.check("Scope")
	return t.scope
}

// ID returns the number of the task, unique in its scope.
func (t *Task) ID() uint64 {
	t.check("ID")
	return t.id
}

// Name returns the name given by [Name], or that of the task's function: in
// joins with its place among the functions or items, as in "fetch[2]".
func (t *Task) Name() string {
	t.check("Name")
	if name := t.name.String(); name != "" {
		return name
	}
	if m := t.more.Load(); m != nil && m.pc != 0 {
		if m.nth > 0 {
			return funcName(m.pc) + "[" + strconv.Itoa(m.nth-1) + "]"
		}
		return funcName(m.pc)
	}
	return funcName(pcOf(t.fn))
}

// Path returns the path of the task's scope and the task's name, joined by a
// slash.
func (t *Task) Path() string {
	t.check("Path")
	return t.scope.Path() + "/" + t.Name()
}

// pcOf is where a function's code begins.
func pcOf(fn any) uintptr { return reflect.ValueOf(fn).Pointer() }

// funcName is the name of a function without its package.
func funcName(pc uintptr) string {
	f := runtime.FuncForPC(pc)
	if f == nil {
		return "func"
	}
	name := f.Name()
	name = name[strings.LastIndexByte(name, '/')+1:]
	if _, after, ok := strings.Cut(name, "."); ok {
		name = after
	}
	return strings.TrimSuffix(name, "-fm")
}

// State returns where in its life the task is.
func (t *Task) State() TaskState {
	t.check("State")
	t.scope.mu.Lock()
	defer t.scope.mu.Unlock()
	return t.stateLocked()
}

func (t *Task) stateLocked() TaskState {
	switch {
	case t.has(hasEnded):
		return Ended
	case t.has(givenUp):
		return GivenUp
	case !t.started:
		return Queued
	case t.has(told):
		return TaskCanceling
	default:
		return Running
	}
}

// Cause returns why the context of the task is done: what [context.Cause] returns
// there. It returns nil while the context is not done, and after an end of the task
// that no cancellation came before.
func (t *Task) Cause() error {
	t.check("Cause")
	if e := t.contextEnded(); e != nil && (e.kind != Completed || e.task != t) {
		return e.Cause()
	}
	return nil
}

// TaskFlags are what the options [Bubble], [Master] and [Awaited] have fixed when a
// task was spawned.
type TaskFlags struct {
	Bubble  bool // a failure of the task ends its scope
	Master  bool // its end ends its scope
	Awaited bool // a finalizing scope stays for it
}

// Flags returns what the options have fixed when the task was spawned.
func (t *Task) Flags() TaskFlags {
	t.check("Flags")
	return TaskFlags{Bubble: t.owner == ownScope, Master: t.flags&master != 0, Awaited: t.flags&awaited != 0}
}

// Failed reports whether the task has ended by an error of its own, or a panic: not
// one that its cancellation explains. A task that was refused has not failed, for it
// never ran. When observers hear of [TaskEnded] it is known.
func (t *Task) Failed() bool {
	t.check("Failed")
	return t.has(hasFailed)
}
