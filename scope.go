package traigo

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// A Scope is a place where tasks live. Nothing that is started in it outlives
// it, every error of a task has an owner, and its end has one recorded cause.
//
// A scope is opened by [Run], [New] or [Scope.Fork]. All methods may be called
// from any goroutine; they panic on a nil *Scope, which is what [Current]
// returns where there is none.
type Scope struct {
	// Set at opening, then read-only.
	id       uint64
	name     *nameOption // nil: the default
	pc       uintptr     // of the body of Run, for the default name
	settings *settings
	opened   stamp
	parent   *Scope          // in the tree; nil for a root
	outer    context.Context // what it was opened under: see outerEnded
	upTask   *Task           // the task, of parent, with which outer ends; nil if it does not
	upScope  bool            // outer ends with parent
	how      opening

	// The places in the lists of its parent, under the parent's mu.
	hook        hook // in that of the node up
	sibling     *Scope
	siblingLink **Scope // what points at this scope

	// over is the ending, from the moment it has been decided. It is set under
	// mu and read without it.
	over atomic.Pointer[ending]

	// mu protects the fields below. It is a leaf: while it is held nothing
	// foreign is called (no function of a user, no context, no observer, no
	// logger) and no other scope's lock is taken, only that of a Limiter, which
	// is a leaf below it. Methods whose name ends in
	// Locked expect it to be held. They decide; what follows from a decision
	// is done by settle, after the lock is released, by one goroutine at a
	// time and in the order of the states.
	//
	//  I1  over is set ⇔ state ≥ Canceling.
	//  I2  live counts the tasks not yet ended, the forks and the scopes of New
	//      not yet closed, the body, calls whose effects are under way, and
	//      those that wait for a limit;
	//      awaited counts those of them that keep a finalizing scope alive.
	//  I3  state = Closed ⇒ live = 0, for ever.
	//  I4  the tasks from queue on have not started; those before it have.
	//  I5  queue ≠ nil ⇒ starting > 0, and one of those will take its first.
	mu                 sync.Mutex
	state              State
	announce           uint8 // a bit for each state entered whose effects are still to come
	settling           bool  // a goroutine is applying effects
	starting           uint8 // goroutines that have been started and have not yet taken a task
	inARow             uint8 // how often one has taken its first since a task last ended
	inBody             bool  // the body of Run has not returned
	watched            bool  // somebody wants to hear of its steps; set at opening
	live               int32
	awaited            int32
	lastTask           uint64
	first, last, queue *Task // all live tasks in order of spawn; the first not started

	isDone    bool   // everything has ended
	isCtxDone bool   // the context is done
	isStopped bool   // Shutdown has begun here or above, or the context is done
	done      signal // isDone
	ctxDone   signal // isCtxDone
	joining   bool   // joiner has been told to wait

	dismissedForks    bool        // as dismissForks does
	dismissedVisitors bool        // as dismissVisitors does
	watchingForks     bool        // as watchForks does
	forks             int32       // scopes of Fork: in live and in awaited
	visitors          int32       // scopes of New: in live, not in awaited
	worker            func()      // work, as a value
	detach            func() bool // undoes attach
	children          *Scope      // scopes below that have not closed
	hooks             *hook       // what the end of the context calls
	rare              *scopeRare

	out    *Error         // the outcome; set before done is given
	joiner sync.WaitGroup // isDone, for those who wait for nothing else: see join
	asked  atomic.Bool    // somebody has, or will have, received the outcome
}

// scopeRare is what few scopes have: failures, a clock, tasks to be canceled.
// All of it is under mu. Until something is written there it is the one that is
// empty, for all scopes.
type scopeRare struct {
	result
	stragglers
	alarm
	stopped      signal     // isStopped
	limits       []*Limiter // its own first, then those it shares; set at opening
	waiting      int        // spawns that wait for one of them
	warnedOfRoom bool       // see there
	cursor       *Task      // how far the news of the ending has come
	zero         time.Time  // of a root: see zero, once somebody has asked
}

var nothingRare = &scopeRare{}

// ownRareLocked returns the rare part of s for writing.
func (s *Scope) ownRareLocked() *scopeRare {
	if s.rare == nothingRare {
		s.rare = new(scopeRare)
	}
	return s.rare
}

// Finalize lets the scope end as soon as nothing awaited is left in it: tasks,
// forks, and the body of Run. Until then it accepts new ones. It does not wait.
func (s *Scope) Finalize() {
	s.check("Finalize")
	s.mu.Lock()
	s.moveLocked(inFinalize)
	s.settle()
}

// Cancel ends the scope: its contexts are done, it accepts nothing more, and
// what runs in it is expected to return. The outcome is cause, or with a nil
// cause none: the scope ends quietly. Only what ends a scope first counts; a
// later Cancel does nothing. It does not wait: see [Scope.Close].
func (s *Scope) Cancel(cause error) {
	s.check("Cancel")
	s.stop(reason{kind: Requested, err: cause})
}

// stop ends the scope for a reason, unless something has ended it before.
func (s *Scope) stop(why reason) {
	up := s.outerEnded()
	s.mu.Lock()
	s.endLocked(up, why)
	s.settle()
}

// Wait finalizes the scope, waits until it is done, and returns its outcome:
// nil or an [*Error]. It panics with a [*PanicError] if a task panicked. It may
// be called any number of times. A task of the scope, or its body, must not
// call it: it would wait for itself.
func (s *Scope) Wait() error {
	s.check("Wait")
	s.asked.Store(true)
	s.mu.Lock()
	s.moveLocked(inFinalize)
	s.settle()
	s.await(nil)
	return s.report()
}

// Close cancels the scope quietly, waits until it is done, and returns (or
// panics with) its outcome like [Scope.Wait]: made for defer.
func (s *Scope) Close() error {
	s.check("Close")
	s.asked.Store(true)
	s.stop(reason{kind: Requested})
	s.await(nil)
	return s.report()
}

// Done returns a channel that is closed when everything in the scope has ended
// and its outcome is known.
func (s *Scope) Done() <-chan struct{} {
	s.check("Done")
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.done.waitLocked(s.isDone)
}

// Err returns nil before the scope is done, and its outcome after: nil or an
// [*Error]. Unlike Wait it does not panic: a panic is a [*PanicError] in it.
func (s *Scope) Err() error {
	s.check("Err")
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.isDone {
		return nil
	}
	s.asked.Store(true)
	return s.failure()
}

// Context returns the scope's context: it carries the scope as the current
// one, is done when the scope is canceled, and has the values of the context
// the scope was opened under.
func (s *Scope) Context() context.Context {
	s.check("Context")
	return (*scopeContext)(s)
}

// State returns where in its life the scope is.
func (s *Scope) State() State {
	s.check("State")
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state
}

// What scopes and tasks are called. Default names are worked out when somebody
// asks for them.

// ID returns the number of the scope, unique in the process.
func (s *Scope) ID() uint64 {
	s.check("ID")
	return s.id
}

// Name returns the name given by [Name], or the default one: the body's
// function for Run, "scope#ID" for others.
func (s *Scope) Name() string {
	s.check("Name")
	name := s.name.String()
	switch {
	case name != "":
		return name
	case s.pc != 0:
		return funcName(s.pc)
	default:
		return "scope#" + strconv.FormatUint(s.id, 10)
	}
}

// Path returns the names of the scopes from the root down to this one, joined
// by slashes.
func (s *Scope) Path() string {
	s.check("Path")
	if s.parent == nil {
		return s.Name()
	}
	// Joined once: with a text for each scope on the way a tree of depth n would cost n³
	// where all are asked, as in a snapshot.
	names := make([]string, 0, 8)
	for ; s != nil; s = s.parent {
		names = append(names, s.Name())
	}
	slices.Reverse(names)
	return strings.Join(names, "/")
}

// What hangs on what: for observers that draw the tree, such as package record.

// Parent returns the scope above s in the tree; nil for a root.
func (s *Scope) Parent() *Scope {
	s.check("Parent")
	return s.parent
}

// Root returns the scope at the top of the tree that s is in: s itself if it has no
// parent.
func (s *Scope) Root() *Scope {
	s.check("Root")
	for s.parent != nil {
		s = s.parent
	}
	return s
}

// Opener returns the task of the parent whose context s was opened under, by Run or
// New. It returns nil if no task of the parent has opened s: that is so for a fork,
// for a root, and for a scope that was opened by the parent's body.
func (s *Scope) Opener() *Task {
	s.check("Opener")
	// Not by where: what is further out than the parent cannot be the parent's.
	if t, is := s.outer.Value(nodeKey{}).(*Task); is && t.scope == s.parent {
		return t
	}
	return nil
}

// CanceledBy returns the task that ended the scope: by failing, by panicking, or
// as its master. It is nil while the scope has not ended, and if something else
// has ended it.
func (s *Scope) CanceledBy() *Task {
	s.check("CanceledBy")
	if e := s.over.Load(); e != nil {
		return e.task
	}
	return nil
}
