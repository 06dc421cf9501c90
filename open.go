package traigo

import (
	"context"
	"runtime"
	"sync/atomic"
)

// Run, New and Fork, and the tree that they make.

// An opening is how a scope was opened, and so what its parent owes it.
type opening uint8

const (
	ran    opening = iota // by Run: part of the task that calls it
	made                  // by New: canceled and joined when the parent ends
	forked                // by Fork: an awaited participant of the parent
)

var lastScopeID atomic.Uint64

// Run opens a scope, calls body with it, and returns when everything in the
// scope has ended: the body, every task, every fork. The scope finalizes when
// the body returns, and is canceled when the body fails or panics. ctx of the
// body is the scope's: it is done as soon as the scope is canceled.
//
// Run returns nil, or an [*Error] that holds what ended the scope and what
// failed besides. It panics with a [*PanicError] if a task panicked, and lets
// the body's own panic or runtime.Goexit continue, in each case after all has
// ended.
//
// Under a ctx that carries a scope, the new scope is a child of that in the
// tree, and is canceled with it. It is part of the task that calls Run: the scope above
// waits for that task. On a goroutine that is no task of the scope above (a handler of
// net/http, say) nobody above waits for the new scope. ctx may have ended already: then
// the body gets a context that is done.
func Run(ctx context.Context, body func(ctx context.Context, s *Scope) error, opts ...ScopeOption) error {
	mustHaveFunc("Run", body != nil, "the body that is to run in the scope")
	s := newScope("Run", ctx, ran, opts)
	s.pc = pcOf(body)
	s.inBody, s.live, s.awaited = true, 1, 1
	s.begin()
	s.runBody(body)
	s.join()
	return s.returnOutcome()
}

// New opens a scope that has no body, for an owner that keeps it: the caller of New
// calls [Scope.Wait] or [Scope.Close] too, which return the outcome. If the scope
// fails and nobody has asked for its outcome 10 s after it has closed, the outcome is
// logged at ERROR.
//
// Under a ctx that carries a scope, the new scope is a child of that in the tree. The
// parent does not wait for it while finalizing, but cancels and joins it at
// its end; then it also logs an outcome that nobody has asked for, and raises a panic.
func New(ctx context.Context, opts ...ScopeOption) *Scope {
	s := newScope("New", ctx, made, opts)
	s.begin()
	return s
}

// Fork opens a scope below s. s waits for the fork as for an awaited task, and
// cancels it when s is canceled itself. A failure of the fork does not cancel
// s: it belongs to whoever asks the fork for its outcome, by Wait, Close or Err. If
// nobody has asked 10 s after the fork has closed, or when s closes, the outcome is
// logged at ERROR; a panic that nobody has received is raised by s.
//
// The caller of Fork finalizes it, by Finalize, Wait or Close: until then s waits for it.
// Forking a scope that is canceled or closed gives a scope that is already closed;
// its outcome is [ErrRefused] with the cause.
func (s *Scope) Fork(opts ...ScopeOption) *Scope {
	s.check("Fork")
	c := newScope("Fork", (*scopeContext)(s), forked, opts)
	c.begin()
	return c
}

// newScope makes a scope that nobody else knows yet.
func newScope(call string, ctx context.Context, how opening, opts []ScopeOption) *Scope {
	mustHaveContext(call, ctx)
	s := &Scope{id: lastScopeID.Add(1), how: how, outer: ctx, settings: noSettings, opened: now(), ext: noScopeExt}
	s.hook.scope = s
	n, together := nodeOf(ctx)
	s.together = together
	switch n := n.(type) {
	case *Scope:
		s.parent = n
	case *Task:
		s.parent, s.opener = n.scope, n
	}
	if s.parent != nil {
		s.settings = s.parent.settings
		s.isShielded = !together && isShieldOf(ctx, n)
	}
	s.asked.Store(how == ran) // Run returns the outcome
	for _, o := range opts {
		mustHaveOption(call, o != nil)
		o.applyScope(s)
	}
	s.watched = s.settings.logger != nil || len(s.settings.observers) > 0
	return s
}

// begin gives a new scope its place in the tree, the end of its outer context,
// and its clock. Any of them may end it at once: until observers have been told that it
// is open, its end is only recorded.
func (s *Scope) begin() {
	timeout := s.ext.timeout
	if s.parent == nil && !s.watched && timeout == 0 && s.outer.Done() == nil {
		return // nothing can end it from outside, and nobody is to be told
	}
	s.settling = s.watched
	var found admission
	if s.parent != nil {
		found = s.parent.admit(s)
	}
	if found.late {
		s.refuse()
		return
	}
	if found.stopping {
		s.mu.Lock()
		s.signalStoppingLocked()
		s.mu.Unlock()
	}
	if found.ended != nil {
		s.cancelFor(found.ended.below())
	}
	s.attach()
	if timeout > 0 {
		s.SetTimeout(timeout)
	}
	if s.watched {
		s.emit(ScopeOpened, nil, nil)
		s.mu.Lock()
		s.settling = false
		s.settle()
	}
}

// An admission is what a new scope finds at its parent.
type admission struct {
	late     bool    // a fork is refused: the parent has ended
	stopping bool    // Shutdown of the parent has begun
	ended    *ending // what has ended the scope already
}

// admit takes c among the children of s, and into the hooks of what ends with c's outer
// context. In a scope that has closed nothing counts any more: a scope that New opens
// there must not live. Run counts nowhere: a task that was given up may call it there,
// and its scope is listed to be seen.
func (s *Scope) admit(c *Scope) (found admission) {
	s.lock()
	defer s.settle()
	if c.how == forked && s.state >= Canceling {
		return admission{late: true}
	}
	found.stopping = s.isStopping && !c.isShielded
	switch {
	case !c.together:
	case c.opener != nil:
		found.ended = c.opener.addHookLocked(&c.hook)
	default:
		found.ended = s.addHookLocked(&c.hook)
	}
	if s.state == Closed && c.how == made {
		found.ended = s.ending()
		return found
	}
	s.countLocked(c, +1)
	c.sibling, c.siblingLink = s.children, &s.children
	if s.children != nil {
		s.children.siblingLink = &c.sibling
	}
	s.children = c
	return found
}

// countLocked counts n children more, of the kind of c. One of Run is part of the task
// that called it.
func (s *Scope) countLocked(c *Scope, n int32) {
	switch c.how {
	case ran:
	case forked:
		s.live += n
		s.awaited += n
		s.forks += n
		s.finalizedForks = false
	case made:
		s.live += n
		s.newScopes += n
		s.canceledNew = s.canceledNew && n < 0
	}
}

// leave is called by a child that has closed.
func (s *Scope) leave(c *Scope) {
	lingers := c.lingers // only this goroutine, which applies the effects of c, writes it
	var oldest *Scope
	s.mu.Lock()
	c.hook.removeLocked()
	c.hasLeft = true
	if c.siblingLink != nil {
		oldest = s.keepUnseenLocked(c)
		s.countLocked(c, -1)
	}
	if !lingers {
		s.unlistLocked(c)
	}
	s.settle()
	if c.how == ran {
		s.restartPatience(c)
	}
	if oldest != nil {
		oldest.reportUnseen()
	}
}

// unlist is called by a child that has lingered, when nothing is left to be seen in it.
func (s *Scope) unlist(c *Scope) {
	s.mu.Lock()
	s.unlistLocked(c)
	s.settle()
}

func (s *Scope) unlistLocked(c *Scope) {
	if c.siblingLink == nil {
		return
	}
	*c.siblingLink = c.sibling
	if c.sibling != nil {
		c.sibling.siblingLink = c.siblingLink
	}
	c.siblingLink, c.sibling = nil, nil
}

// below returns the scopes right below that s lists, the youngest first.
func (s *Scope) below() []*Scope {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.belowLocked()
}

func (s *Scope) belowLocked() []*Scope {
	var all []*Scope
	for c := s.children; c != nil; c = c.sibling {
		all = append(all, c)
	}
	return all
}

// refuse closes a fork that was opened too late; nobody else knows it.
func (s *Scope) refuse() {
	s.lock()
	s.moveLocked(inDrained)
	s.enteredStates = 0
	s.mu.Unlock()
	s.out = &Error{Scope: s.Path(), Err: refusal(s)}
	s.mu.Lock()
	s.endContextLocked()
	s.closeLocked()
	s.mu.Unlock()
}

// runBody calls the body, on the goroutine of the caller of Run, and accounts for its end.
// If the body panics or calls Goexit, runBody waits for the scope itself, since Run will
// not return.
func (s *Scope) runBody(body func(context.Context, *Scope) error) {
	returned := false
	defer func() {
		if returned {
			return
		}
		switch value := recover(); {
		case value == nil:
			s.bodyEnded(ErrGoexit, nil, ErrGoexit)
			s.join()
			if p := s.raised(); p != nil {
				panic(p) // of a task: always raised
			}
		case s.settings.panicAsError:
			s.bodyEnded(newPanicError("", value), nil, nil)
		default:
			panicked := newPanicError("", value)
			s.bodyEnded(nil, panicked, panicked)
			s.join()
			// The frames of the first panic are still on the stack: a crash
			// prints them.
			panic(value)
		}
	}()
	err := s.callBody(body)
	returned = true
	s.bodyEnded(err, nil, nil)
}

// callBody runs the body in a frame that names the scope: see Task.call.
//
//go:noinline
func (s *Scope) callBody(body func(context.Context, *Scope) error) error {
	var err error
	if s.settings.wrappers == nil {
		err = body((*scopeContext)(s), s)
	} else {
		err = wrap((*scopeContext)(s), s.settings.wrappers, func(ctx context.Context) error { return body(ctx, s) })
	}
	runtime.KeepAlive(s)
	return err
}

// bodyEnded accounts for the end of the body: an error of its own is always in
// the outcome, also of a scope that ended quietly before. shown is what comes out
// of Run in place of the outcome, if anything does.
func (s *Scope) bodyEnded(err error, panicked *PanicError, shown error) {
	if err != nil {
		s.expire(nil)
	}
	e := s.ended()
	follows := e != nil && e.isConsequence(err, s)
	s.lock()
	if shown != nil {
		s.ownExtLocked().bodyEnd = shown
	}
	s.inBody = false
	s.live--
	s.awaited--
	switch {
	case panicked != nil:
		if !s.endLocked(reason{kind: Panicked, err: panicked}) {
			s.keepLocked(nil, panicked)
		}
	case err == nil:
	case !s.endLocked(reason{kind: BodyFailed, err: err}) && !follows && !s.hasLocked(err):
		s.keepLocked(nil, err)
	}
	s.moveLocked(inFinalize)
	s.settle()
}
