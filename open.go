package traigo

import (
	"context"
	"runtime"
	"sync/atomic"
)

// Run, New and Fork, the tree of scopes, and the body of Run.

// An opening says which function opened a scope. It determines whether the parent waits
// for the scope and cancels it.
type opening uint8

const (
	ran    opening = iota // by Run: the calling task waits for it
	made                  // by New: the canceled parent cancels it and waits for it
	forked                // by Fork: the parent waits for it as for an awaited task
)

// A bodyState says what the body of Run does.
type bodyState uint8

const (
	noBody    bodyState = iota // there is none, or it has returned
	bodyRuns                   // it has not returned
	bodyWaits                  // it is that of a join, and waits for the goroutines that run the items
)

var lastScopeID atomic.Uint64

// Run opens a scope, calls body on the calling goroutine, and returns when the scope is
// closed: the body, every task and every fork have returned. The scope is finalized when
// the body returns nil, and canceled when the body returns an error or panics. The
// context passed to body is [Scope.Context].
//
// Run returns nil, or an [*Error] with the cause and the failures that came after it. If
// a task panicked, Run panics with a [*PanicError]. A panic or a runtime.Goexit of the
// body continues. In each of these cases Run first waits until the scope is closed. Run
// panics at once if ctx, body or an option is nil.
//
// If ctx carries a scope, that scope is the parent of the new one, and the new one is
// canceled when ctx is. The parent does not wait for the new scope itself but for the
// task that calls Run. On a goroutine that is not a task of the parent, such as an HTTP
// handler, the parent does not wait. If ctx is already done, body is called nevertheless,
// with a context that is done.
func Run(ctx context.Context, body func(ctx context.Context, s *Scope) error, opts ...ScopeOption) error {
	mustHaveFunc("Run", body != nil, "the body that is to run in the scope")
	s := newScope("Run", ctx, ran, opts)
	s.pc = pcOf(body)
	s.body, s.live, s.awaited = bodyRuns, 1, 1
	s.begin()
	s.runBody(body)
	s.join()
	return s.returnOutcome()
}

// New opens a scope without a body. The caller must call [Scope.Wait], [Scope.Close] or
// [Scope.Shutdown], which return the outcome. If the scope failed and 10 s after it has
// closed none of them, nor Err, has been called, the outcome is logged at ERROR. New
// panics if ctx or an option is nil.
//
// If ctx carries a scope, that scope is the parent of the new one. The parent does not
// wait for the new scope while finalizing. When the parent is canceled, it cancels the
// new scope and waits for it. When the parent closes, it logs an outcome of the new scope
// that no call has returned, or, if that is a panic, panics with it.
func New(ctx context.Context, opts ...ScopeOption) *Scope {
	s := newScope("New", ctx, made, opts)
	s.begin()
	return s
}

// Fork opens a scope below s. A finalizing s waits for the fork as for an awaited task,
// and a canceled s cancels it. A failure of the fork does not cancel s. It is returned by
// Wait, Close, Shutdown or Err of the fork. If none of them has been called 10 s after
// the fork has closed, or when s closes, the outcome is logged at ERROR; a panic becomes
// a panic of s instead.
//
// The caller of Fork must call Finalize, Wait, Close or Shutdown on the fork: otherwise a
// finalizing s waits forever, which is logged after 10 s. If s has been canceled, the
// returned scope is already closed, and its outcome wraps [ErrRefused] and the cause.
// Fork panics if an option is nil.
//
//nolint:contextcheck // a fork is opened under the context of s
func (s *Scope) Fork(opts ...ScopeOption) *Scope {
	s.check("Fork")
	c := newScope("Fork", (*scopeContext)(s), forked, opts)
	c.begin()
	return c
}

// newScope returns a scope that is not yet in the tree: no other goroutine can reach it.
// call names the exported function, for panics.
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
	s.asked.Store(how == ran) // the outcome of Run is always received
	for _, o := range opts {
		mustHaveOption(call, o != nil)
		o.applyScope(s)
	}
	s.logsSteps = s.settings.logger != nil && s.takesDebug()
	s.watched = s.logsSteps || len(s.settings.observers) > 0
	return s
}

// begin inserts a new scope into the tree, connects it to its outer context, and sets its
// timer. Each of these may cancel it at once. settling is set meanwhile, so that the
// effects of the cancellation come after the event ScopeOpened.
func (s *Scope) begin() {
	timeout := s.ext.timeout
	if s.parent == nil && !s.watched && timeout == 0 && s.outer.Done() == nil {
		return // no parent, no timer, no cancelable context, no observer
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

// An admission is the result of admit.
type admission struct {
	late     bool    // the fork is refused: the parent has been canceled
	stopping bool    // isStopping of the parent
	ended    *ending // if not nil: why the new scope must be canceled at once
}

// admit adds c to the children of s and, if c.together, to the hooks that cancel c. A
// closed s cannot wait for c any more, so a scope opened by New is not added but
// canceled. A scope opened by Run is added to a closed s too, for snapshots: a task that
// was given up may call Run, and s does not wait for such a scope anyway.
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

// countLocked adds n to the counts in which c takes part. A scope opened by Run is in
// none: its task is counted.
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

// leave records in s that its child c has closed. It is called by the goroutine that
// applies the effects of c.
func (s *Scope) leave(c *Scope) {
	lingers := c.lingers // without c.mu: only the calling goroutine writes c.lingers
	var oldest *Scope
	s.mu.Lock()
	c.hook.removeLocked()
	c.hasLeft = true
	if s.canceledAtLocked(nil) != 0 {
		s.ownExtLocked().childLeftAt = now()
	}
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

// unlist removes c, a closed child that lingered, from the children of s.
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

// below returns the children of s, most recently opened first.
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

// refuse closes a fork that its parent has refused. No other goroutine can reach it yet.
func (s *Scope) refuse() {
	s.lock()
	s.moveLocked(inDrained)
	s.enteredStates = 0
	s.mu.Unlock()
	s.out.Store(&Error{Scope: s.Path(), Err: refusal(s)})
	s.mu.Lock()
	s.endContextLocked()
	s.closeLocked()
	s.mu.Unlock()
}

// runBody calls the body, on the goroutine of the caller of Run, and records its result.
// If the body panics or calls Goexit, runBody also waits until the scope is closed, since
// control does not return to Run.
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
				p.mark(isRaised)
				panic(p) // a panic of a task takes precedence over the Goexit
			}
		case s.settings.panicAsError:
			s.bodyEnded(newPanicError("", value), nil, nil)
		default:
			panicked := newPanicError("", value)
			s.bodyEnded(nil, panicked, panicked)
			s.join()
			// The deferred call runs on top of the frames of the original panic, so a
			// crash prints them.
			panic(value)
		}
	}()
	err := s.callBody(body)
	returned = true
	s.bodyEnded(err, nil, nil)
}

// callBody calls the body. Its frame in a goroutine dump shows the address of s: see
// Task.call.
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

// bodyEnded records the result of the body: see recordBody.
func (s *Scope) bodyEnded(err error, panicked *PanicError, shown error) {
	s.recordBody(err, panicked, shown)
	s.body = noBody
	s.live--
	s.awaited--
	s.moveLocked(inFinalize)
	s.settle()
}

// recordBody records that the body, or the iterator of a join, has returned err, or panicked.
// An error that is not a consequence of the cancellation is always part of the outcome, even
// if the scope ended quietly before. shown, if not nil, is what Run propagates instead of the
// outcome: a panic or ErrGoexit. recordBody returns with mu held.
func (s *Scope) recordBody(err error, panicked *PanicError, shown error) {
	if err != nil {
		s.expire(nil)
	}
	e := s.ended()
	follows := e != nil && e.isConsequence(err, s)
	s.lock()
	if shown != nil {
		s.ownExtLocked().bodyEnd = shown
	}
	switch {
	case panicked != nil:
		if !s.endLocked(reason{kind: Panicked, err: panicked}) {
			s.keepLocked(nil, panicked)
		}
	case err == nil:
	case !s.endLocked(reason{kind: BodyFailed, err: err}) && !follows && !s.hasLocked(err):
		s.keepLocked(nil, err)
	}
}
