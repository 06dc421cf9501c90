package traigo

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/traigo/traigo/internal/processes"
	"github.com/traigo/traigo/internal/stackdump"
)

// A Scope runs tasks and waits for them. No task outlives its scope, unless a
// [CancelTimeout] allows it, every error of a task has an owner, and a canceled scope has
// exactly one cause.
//
// A scope is opened by [Run], [New] or [Scope.Fork]. All methods may be called from any
// goroutine. They panic on the zero Scope and on a nil *Scope, which is what [Current]
// returns for a context without a scope.
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
	logsSteps  bool            // there is a logger that takes DEBUG: see takesDebug
	watched    bool            // there is an observer, or logsSteps is set
	hasLeft    bool            // parent has recorded that this scope is closed; it may still be listed: see lingers. Protected by the mu of the parent

	// Links of this scope in lists of its parent. Protected by the mu of the parent.
	hook        hook    // element of the hooks of opener or, if opener is nil, of parent
	sibling     *Scope  // the next in parent.children
	siblingLink **Scope // the pointer in parent.children that points to this scope; nil if none does

	// Why the scope was canceled; nil before. Set once, with mu held; read without mu.
	over atomic.Pointer[ending]

	// mu protects the fields below. It is a leaf lock: code that holds mu calls no
	// foreign code (user functions, methods of contexts and errors, observers, loggers)
	// and takes no other scope's lock. A method whose name ends in Locked expects mu to
	// be held. The state is changed with mu held; settle then releases mu and applies the
	// effects of the change, on one goroutine at a time and in the order of the states.
	//
	//  I1  over ≠ nil ⇔ state ≥ Canceling.
	//  I2  live counts the tasks that have neither ended nor been given up, the
	//      forks and the scopes opened by New that are not closed, the running
	//      body, the operations whose effects are being applied, and the Spawns
	//      that wait for a slot. awaited counts those of them that a finalizing
	//      scope waits for.
	//  I3  state = Closed ⇒ live = 0, permanently. Tasks that were given up and
	//      abandoned calls may still be listed.
	//  I4  In the list of tasks, those before queue have a goroutine; those from
	//      queue on, and no others, wait for one.
	//  I5  queue ≠ nil ⇒ starting > 0: a starting goroutine will take queue.
	mu                 sync.Mutex
	state              State
	enteredStates      uint8 // bit 1<<st: the scope has entered st, and the effects of that are not yet applied
	settling           bool  // a goroutine is applying effects
	starting           uint8 // how many goroutines have been launched and have not yet taken their first task
	inARow             uint8 // how many goroutines have taken their first task since a task last ended
	body               bodyState
	isDone             bool // everything has ended, and the outcome does not change any more
	hasFailed          bool // the outcome is an error; set before isDone, and then read without mu
	isCtxDone          bool // the context is done
	isStopping         bool // Shutdown has begun here or above, or the context is done
	isJoining          bool // joiner counts one
	finalizedForks     bool // finalizeForks was due, and no fork has been opened since
	wasIdle            bool // notifyIdle was due, and nothing has been spawned since
	canceledNew        bool // cancelNewScopes was due, and no scope of New has been opened since
	watchesForks       bool // watchForks was due
	lingers            bool // closed, and still listed by its parent: see stuck.go
	live               int32
	awaited            int32
	forks              int32       // open forks; counted in live and in awaited
	newScopes          int32       // child scopes opened by New that are not closed; counted in live, not in awaited
	lastTask           uint64      // ID of the last accepted task
	first, last, queue *Task       // the list of tasks, and in it the first that waits for a goroutine (see I4)
	children           *Scope      // the list of child scopes, most recently opened first
	cursor             *Task       // the task at which notifyTasks continues
	hooks              *hook       // functions to call, and scopes to cancel, when the context is done
	done               signal      // closed when isDone is set
	ctxDone            signal      // closed when isCtxDone is set
	worker             func()      // the method value s.work; nil until the first launch
	detach             func() bool // detaches the scope from outer; nil if attach registered nothing
	reaper             *time.Timer // calls reap: see stuck.go
	reapAt             stamp       // when; 0 if it has been called
	ext                *scopeExt   // fields that few scopes need; noScopeExt until one of them is written

	// The outcome, composed when it is first asked for: see outcome.
	out atomic.Pointer[Error]

	// Released when isDone is set. Used by callers that need no channel: see join.
	joiner sync.WaitGroup

	// A call of Run, Wait, Close, Shutdown or Err has returned the outcome or will return
	// it. Not protected by mu.
	asked atomic.Bool
}

// scopeExt holds the fields that few scopes need: collected errors, canceled tasks, the
// timer, the limit. They are protected by mu; those set by options are read-only once the
// scope is open.
type scopeExt struct {
	collected
	stragglers
	alarm
	slots
	stopping signal        // closed when isStopping is set
	ask      processes.Ask // for scopes of another process; nil for none
}

// noScopeExt is shared by all scopes that have written none of these fields. It is never
// written. It saves an allocation per scope.
var noScopeExt = &scopeExt{}

// ownExtLocked returns s.ext for writing: it replaces noScopeExt by a new scopeExt.
func (s *Scope) ownExtLocked() *scopeExt {
	if s.ext == noScopeExt {
		s.ext = new(scopeExt)
	}
	return s.ext
}

// pinLocked keeps the scope from closing until unpin is called.
func (s *Scope) pinLocked() { s.live++ }

func (s *Scope) unpin() {
	s.mu.Lock()
	s.live--
	s.settle()
}

// lock locks mu for a method that may cancel the scope or accept something into it. If
// s.outer is done, lock first cancels the scope for that reason. So a canceled parent
// takes precedence over every other reason, and the outcome does not depend on when the
// hook of the parent runs. s.outer is checked before mu is locked, since it may be
// foreign code.
func (s *Scope) lock() {
	up := s.outerEnded()
	s.mu.Lock()
	if up != nil {
		s.endLocked(up.below())
	}
}

// Finalize lets the scope end as soon as it contains no awaited task, no fork and no
// running body of Run. Until then the scope accepts new tasks and forks. Finalize does
// not wait. On a scope that has been finalized or canceled it does nothing.
func (s *Scope) Finalize() {
	s.check("Finalize")
	s.mu.Lock()
	s.moveLocked(inFinalize)
	s.settle()
}

// Cancel cancels the scope: it refuses new tasks and forks, its contexts are done, and
// its tasks should return. The outcome is an [*Error] whose Err is cause. If cause is nil
// the scope ends quietly: the cancellation is not an error, and later failures of tasks
// that bubble are logged at WARN instead of returned. If the scope has been canceled
// before, Cancel does nothing. Cancel does not wait; see [Scope.Close]. When it returns,
// Err of the scope's contexts is not nil; if another goroutine is applying effects of the
// scope (it is in an observer, for example), that goroutine closes the Done channels and
// cancels derived contexts afterwards.
func (s *Scope) Cancel(cause error) {
	s.check("Cancel")
	s.cancelFor(s.request(nil, cause))
}

// request returns the reason for which the caller of a method cancels s, or t alone.
func (s *Scope) request(t *Task, cause error) reason {
	why := reason{kind: Requested, task: t, err: cause}
	if s.watched && s.over.Load() == nil {
		why.by = stackdump.Caller()
	}
	return why
}

// cancelFor cancels the scope for why, unless it is canceled already.
func (s *Scope) cancelFor(why reason) {
	s.lock()
	s.endLocked(why)
	s.settle()
}

// Wait finalizes the scope, waits until it is closed, and returns its outcome: nil or an
// [*Error]. It panics with a [*PanicError] if a task panicked, or if a fork or a scope
// opened by New below panicked and no one received that. It may be called any number of
// times. A task of the scope, or its body, must not call Wait: it would wait for itself
// forever. This is logged at WARN after 10 s.
func (s *Scope) Wait() error {
	s.check("Wait")
	s.asked.Store(true)
	s.mu.Lock()
	s.moveLocked(inFinalize)
	s.settle()
	s.await(nil)
	return s.returnOutcome()
}

// Close cancels the scope like Cancel(nil), waits until it is closed, and returns, or
// panics with, its outcome like [Scope.Wait]. Like Wait it must not be called by a task
// of the scope. A deferred Close discards the outcome; where a failure matters, call Wait
// or check the error of Close.
func (s *Scope) Close() error {
	s.check("Close")
	s.asked.Store(true)
	s.cancelFor(s.request(nil, nil))
	s.await(nil)
	return s.returnOutcome()
}

// Done returns a channel that is closed when the scope is closed and its outcome is
// known. To receive from it does not count as asking for the outcome: see [Scope.Err].
func (s *Scope) Done() <-chan struct{} {
	s.check("Done")
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.done.waitLocked(s.isDone)
}

// Err returns nil before Done is closed, and the outcome afterwards: nil or an [*Error].
// Unlike Wait it does not panic: if a task panicked, the error wraps a [*PanicError].
func (s *Scope) Err() error {
	s.check("Err")
	s.mu.Lock()
	if !s.isDone {
		s.mu.Unlock()
		return nil
	}
	s.ext.watch.stop()
	s.asked.Store(true)
	s.mu.Unlock()
	return s.outcome()
}

// Context returns the context of the scope. It is done when the scope is canceled, and
// [Current] returns the scope for it. It has the values of the context that the scope was
// opened under, and the earlier of that context's deadline and the scope's.
func (s *Scope) Context() context.Context {
	s.check("Context")
	return (*scopeContext)(s)
}

// State returns the current state of the scope.
func (s *Scope) State() State {
	s.check("State")
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state
}

// ID returns the number of the scope, which is unique in the process and at least 1.
func (s *Scope) ID() uint64 {
	s.check("ID")
	return s.id
}

// Name returns the name set by [Name] or [NameOf]. The default is the name of the body
// for a scope opened by Run, and "scope#ID" for others.
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
	// The names are joined once. Concatenating parent.Path() would make the paths of all
	// scopes in a chain of depth n cost O(n³).
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

// Root returns the root of the tree of scopes that contains s. It returns s if s has no
// parent.
func (s *Scope) Root() *Scope {
	s.check("Root")
	for s.parent != nil {
		s = s.parent
	}
	return s
}

// Opener returns the task of the parent whose context s was opened under, by Run or New.
// It returns nil for a fork, for a root, and for a scope that the parent's body opened.
func (s *Scope) Opener() *Task {
	s.check("Opener")
	return s.opener
}

// CanceledBy returns the task that canceled the scope: it failed, it panicked, or it was
// a master and returned. It returns nil if the scope is not canceled or was canceled
// otherwise.
func (s *Scope) CanceledBy() *Task {
	s.check("CanceledBy")
	if e := s.over.Load(); e != nil {
		return e.task
	}
	return nil
}

// A signal is a channel that is made when a caller first waits for it, and closed at most
// once. Whether it counts as closed is kept in a bool beside it. Both are protected by
// the mu of the scope.
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
