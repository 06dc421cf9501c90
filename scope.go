package traigo

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
)

// A Scope is a place where tasks live. Nothing that is started in it outlives
// it, every error of a task has an owner, and its end has one recorded cause.
//
// A scope is opened by [Run], [New] or [Scope.Fork]. All methods may be called
// from any goroutine; they panic on a nil *Scope, which is what [Current]
// returns where there is none.
type Scope struct {
	// Set while the scope is opened, before anybody else knows it; then read-only.
	id         uint64
	name       *nameOption     // nil: the default name
	pc         uintptr         // code of the body of Run, for the default name
	settings   *settings       // shared with the parent unless an option differs
	opened     stamp           // when
	parent     *Scope          // the scope above in the tree; nil for a root
	outer      context.Context // the context that the scope was opened under
	opener     *Task           // the task of parent that outer is in; nil if it is in parent's own context
	together   bool            // outer ends when the context of opener does or, without one, that of parent
	how        opening         // by Run, New or Fork
	isShielded bool            // opened under a Shield: it does not hear of a Shutdown above
	watched    bool            // there is an observer or a logger to tell of each step

	// The places of this scope in lists of its parent. Under the mu of the parent.
	hook        hook    // in the hooks of opener, or of parent
	sibling     *Scope  // the next in parent.children
	siblingLink **Scope // the pointer to this scope in that list; nil if it is not in it
	hasLeft     bool    // it has closed, and parent knows; it may linger in the list: see stuck.go

	// Why the scope has ended; nil while it has not. Set once, under mu; read
	// without it.
	over atomic.Pointer[ending]

	// mu protects the fields below. It is a leaf: while it is held nothing foreign
	// is called (no function of a user, no method of a context or an error, no
	// observer, no logger) and no other scope's lock is taken. A method whose name
	// ends in Locked expects it to be held. Decisions are made under mu; settle
	// applies what follows from them after mu is released, on one goroutine at a
	// time and in the order of the states.
	//
	//  I1  over is set ⇔ state ≥ Canceling.
	//  I2  live counts the tasks that have neither ended nor been given up, the
	//      forks and the scopes of New that have not closed, the body, the calls
	//      whose effects are under way, and the Spawns that wait for a slot.
	//      awaited counts those of them that keep a finalizing scope alive.
	//  I3  state = Closed ⇒ live = 0, for ever. Tasks that were given up, and calls
	//      that were abandoned, may still be listed.
	//  I4  In the list of tasks, those from queue on have not started; those
	//      before it have.
	//  I5  queue ≠ nil ⇒ starting > 0, and one of those goroutines will take queue.
	mu                 sync.Mutex
	state              State
	enteredStates      uint8 // a bit for each state that was entered and has not been notified
	settling           bool  // a goroutine is applying effects
	starting           uint8 // goroutines that were started and have not taken a task
	inARow             uint8 // how many in a row have taken their first task since a task ended
	inBody             bool  // the body of Run has not returned
	isDone             bool  // everything has ended, and the outcome is known
	isCtxDone          bool  // the context is done
	isStopping         bool  // Shutdown has begun here or above, or the context is done
	isJoining          bool  // joiner counts one
	finalizedForks     bool  // finalizeForks was due, and no fork has been opened since
	wasIdle            bool  // notifyIdle was due, and nothing has been spawned since
	canceledNew        bool  // cancelNewScopes was due, and no scope of New has been opened since
	watchesForks       bool  // watchForks was due
	lingers            bool  // closed, and still listed by its parent: see stuck.go
	live               int32
	awaited            int32
	forks              int32       // scopes of Fork that have not closed: in live and in awaited
	newScopes          int32       // scopes of New that have not closed: in live, not in awaited
	lastTask           uint64      // the ID of the task that was accepted last
	first, last, queue *Task       // the tasks, in the order in which they were spawned; the first that has not started
	children           *Scope      // the scopes below that are listed, the youngest first
	hooks              *hook       // what the end of the context calls
	done               signal      // isDone
	ctxDone            signal      // isCtxDone
	worker             func()      // s.work, as a value
	detach             func() bool // undoes attach
	ext                *scopeExt   // what few scopes have; noScopeExt until something is written there

	// Written by the goroutine that closes the scope, before isDone is set; read after.
	out *Error // the outcome; nil for none

	// isDone, for callers of Run and Wait who wait for nothing else: see join.
	joiner sync.WaitGroup

	// Somebody has received the outcome, or will. Read and written without mu.
	asked atomic.Bool
}

// scopeExt is what few scopes have: failures, a clock, tasks to be canceled, a limit.
// All of it is under mu, except that the fields that options set are read-only once
// the scope is open.
type scopeExt struct {
	collected
	stragglers
	alarm
	slots
	stopping signal // isStopping
	cursor   *Task  // the next task that notifyTasks is to tell of the ending
}

// noScopeExt is the extension, empty for ever, of all scopes that have none. An
// extension of their own would be an allocation for each of them.
var noScopeExt = &scopeExt{}

// ownExtLocked returns the extension of s for writing.
func (s *Scope) ownExtLocked() *scopeExt {
	if s.ext == noScopeExt {
		s.ext = new(scopeExt)
	}
	return s.ext
}

// lock locks mu for a decision. If the context that the scope was opened under has
// ended, the scope ends by that first: a parent that has ended wins over any reason
// of the scope's own, so that the outcome does not depend on how fast the hook of the
// parent is called. The context is asked before mu is taken, since it may be foreign.
func (s *Scope) lock() {
	up := s.outerEnded()
	s.mu.Lock()
	if up != nil {
		s.endLocked(up.below())
	}
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
// the tasks in it are expected to return. The outcome is cause; if cause is nil, the
// scope ends quietly and has no outcome of its own. Only what ends a scope first counts:
// a later Cancel does nothing. It does not wait: see [Scope.Close].
func (s *Scope) Cancel(cause error) {
	s.check("Cancel")
	s.cancelFor(reason{kind: Requested, err: cause})
}

// cancelFor ends the scope for a reason, unless something has ended it before.
func (s *Scope) cancelFor(why reason) {
	s.lock()
	s.endLocked(why)
	s.settle()
}

// Wait finalizes the scope, waits until it is done, and returns its outcome:
// nil or an [*Error]. It panics with a [*PanicError] if a task panicked. It may
// be called any number of times. A task of the scope, or its body, must not
// call it: it would wait for itself, which is logged after 10 s.
func (s *Scope) Wait() error {
	s.check("Wait")
	s.asked.Store(true)
	s.mu.Lock()
	s.moveLocked(inFinalize)
	s.settle()
	s.await(nil)
	return s.returnOutcome()
}

// Close cancels the scope quietly, waits until it is done, and returns, or
// panics with, its outcome like [Scope.Wait]. It is made for defer, which drops
// the outcome: where a failure matters, use Wait or look at the error of Close.
func (s *Scope) Close() error {
	s.check("Close")
	s.asked.Store(true)
	s.cancelFor(reason{kind: Requested})
	s.await(nil)
	return s.returnOutcome()
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
	return s.outcome()
}

// Context returns the scope's context: it carries the scope as the current
// one, is done when the scope is canceled, and has the values of the context
// that the scope was opened under.
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

// ID returns the number of the scope, unique in the process.
func (s *Scope) ID() uint64 {
	s.check("ID")
	return s.id
}

// Name returns the name given by [Name] or [NameOf], or the default one: the
// name of the body's function for Run, "scope#ID" for others.
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
	// Joined once. With a text for each scope on the way, the paths of all scopes of a
	// tree of depth n, as a snapshot wants them, would cost n³.
	names := make([]string, 0, 8)
	for ; s != nil; s = s.parent {
		names = append(names, s.Name())
	}
	slices.Reverse(names)
	return strings.Join(names, "/")
}

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
	return s.opener
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

// A signal is a channel that is closed once, and made only when somebody wants
// to wait for it. Its owner knows, under the lock of the scope, whether it has been
// closed.
type signal chan struct{}

func (g *signal) waitLocked(isClosed bool) <-chan struct{} {
	if *g == nil {
		*g = make(chan struct{})
		if isClosed {
			close(*g)
		}
	}
	return *g
}

func (g signal) closeLocked() {
	if g != nil {
		close(g)
	}
}
