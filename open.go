package traigo

import (
	"cmp"
	"context"
	"runtime"
	"sync/atomic"
)

// How a scope comes to be, and finds its place in the tree.

// An opening is how a scope came to be, and so what its parent owes it.
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
// ended. Under a ctx that carries a scope, the new one is its child in the
// tree and ends with it. It is part of the task that calls Run: the scope above
// waits for that task. On a goroutine that is no task (of a net/http handler,
// say) nobody above waits for it.
func Run(ctx context.Context, body func(ctx context.Context, s *Scope) error, opts ...ScopeOption) error {
	mustHaveFunc("Run", body != nil, "the body that is to run in the scope")
	s := newScope("Run", ctx, ran, opts)
	s.pc = pcOf(body)
	s.inBody, s.live, s.awaited = true, 1, 1
	s.begin()
	if s.settings.labels {
		return s.runLabelled(body)
	}
	return s.run(body)
}

func (s *Scope) run(body func(context.Context, *Scope) error) error {
	s.runBody(body)
	s.join()
	return s.report()
}

// New opens a scope that has no body, for an owner that keeps it: whoever
// calls New calls [Scope.Wait] or [Scope.Close] (by defer, most often), which
// return its outcome.
//
// Under a ctx that carries a scope, the new one is its child in the tree. That
// parent does not wait for it while finalizing, but cancels and joins it at
// its end.
func New(ctx context.Context, opts ...ScopeOption) *Scope {
	s := newScope("New", ctx, made, opts)
	s.begin()
	return s
}

// Fork opens a scope below s, which waits for it as for an awaited task and
// cancels it when it is canceled itself. A failure of the fork does not cancel
// s: it belongs to whoever asks the fork for it, by Wait, Close or Err. If
// nobody has by the time s closes, it is logged as an error, and a panic in it
// is raised by s.
//
// Forking a scope that is canceled or closed gives one that is already closed;
// its outcome is [ErrRefused] with the cause.
func (s *Scope) Fork(opts ...ScopeOption) *Scope {
	s.check("Fork")
	c := newScope("Fork", (*scopeContext)(s), forked, opts)
	c.begin()
	return c
}

// newScope makes a scope that nobody knows of yet.
func newScope(call string, ctx context.Context, how opening, opts []ScopeOption) *Scope {
	mustHaveContext(call, ctx)
	s := &Scope{id: lastScopeID.Add(1), how: how, outer: ctx, settings: noSettings, opened: now(), rare: nothingRare}
	s.hook.scope = s
	n, together := nodeOf(ctx)
	switch n := n.(type) {
	case *Scope:
		s.parent, s.upScope = n, together
	case *Task:
		s.parent = n.scope
		if together {
			s.upTask = n
		}
	}
	if s.parent != nil {
		s.settings = s.parent.settings
	}
	s.asked.Store(how == ran) // Run returns the outcome
	for _, o := range opts {
		mustHaveOption(call, o != nil)
		o.applyScope(s)
	}
	s.watched = s.settings.logger != nil || len(s.settings.observers) > 0
	return s
}

// begin gives a new scope its place in the tree, the ear of its outer context,
// and its clock. Any of them may end it at once: until its observers know that it
// is open, it only records that.
func (s *Scope) begin() {
	if s.settings.labels || s.settings.traces {
		s.equip()
	}
	timeout := s.rare.timeout
	if s.parent == nil && !s.watched && timeout == 0 && s.outer.Done() == nil {
		return // nobody knows of it
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
	opened := false
	defer func() {
		if !opened { // an observer has called Goexit: nobody will have the scope
			s.disown()
		}
		if s.watched {
			s.resume()
		}
	}()
	if found.stopping {
		s.mu.Lock()
		s.stopLocked()
		s.mu.Unlock()
	}
	if found.ended != nil {
		s.stop(found.ended.below())
	}
	s.attach()
	if timeout > 0 {
		s.SetTimeout(timeout)
	}
	s.emit(ScopeOpened, nil, nil)
	opened = true
}

// disown ends a scope whose opener does not live to use it.
func (s *Scope) disown() {
	if s.how == ran {
		s.bodyEnded(ErrGoexit, nil, ErrGoexit)
	}
	s.stop(reason{kind: Requested})
}

// An admission is what a new scope finds at its parent.
type admission struct {
	late     bool    // a fork is turned away: the parent has ended
	stopping bool    // Shutdown has come by
	ended    *ending // what has ended the scope already
}

// admit takes c among the children of s, and in among what ends with c's outer
// context. In a scope that has closed nothing counts any more: what New opens there must
// not live. Run counts nowhere; a task that was given up may call it there, and it is in
// the tree to be seen.
func (s *Scope) admit(c *Scope) (found admission) {
	up := s.outerEnded()
	s.mu.Lock()
	defer s.settle()
	s.hearLocked(up)
	if c.how == forked && s.state >= Canceling {
		return admission{late: true}
	}
	found.stopping = s.isStopped
	switch {
	case c.upTask != nil:
		found.ended = c.upTask.addHookLocked(&c.hook)
	case c.upScope:
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

// countLocked counts a child, or counts it out: one of Run is part of the task
// that called it.
func (s *Scope) countLocked(c *Scope, n int32) {
	switch c.how {
	case ran:
	case forked:
		s.live += n
		s.awaited += n
		s.forks += n
		s.dismissedForks = s.dismissedForks && n < 0
	case made:
		s.live += n
		s.visitors += n
		s.dismissedVisitors = s.dismissedVisitors && n < 0
	}
}

// leave is called by a child that has closed.
func (s *Scope) leave(c *Scope) {
	var evicted *Scope
	s.mu.Lock()
	c.hook.removeLocked()
	if c.siblingLink != nil {
		*c.siblingLink = c.sibling
		if c.sibling != nil {
			c.sibling.siblingLink = c.siblingLink
		}
		c.siblingLink, c.sibling = nil, nil
		evicted = s.inheritLocked(c)
		s.countLocked(c, -1)
	}
	s.settle()
	s.reportUnasked(evicted)
}

// The body of Run: a participant of the scope that runs on the goroutine of
// the caller.

// runBody calls body and takes account of how it ended. When body panics or
// calls Goexit it waits for the scope itself, since Run will not return.
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
	err := body((*scopeContext)(s), s)
	runtime.KeepAlive(s)
	return err
}

// bodyEnded accounts for the end of the body: an error of its own is always in
// the outcome, also of a scope that ended quietly before. shown is what comes out
// of Run instead of the outcome, if anything does.
func (s *Scope) bodyEnded(err error, panicked *PanicError, shown error) {
	up, e := s.outerEnded(), s.ending()
	if e == nil {
		e = up
	}
	consequence := err == nil || e != nil && (e.bare(err) || e.kind == TaskFailed && same(err, e.err))
	defer s.leaveBody(up, err, panicked, shown, consequence) // also if the text of an error takes this goroutine away
	if !consequence || panicked != nil {
		s.traceFailure(nil, cmp.Or(shown, err))
	}
}

// leaveBody is what the end of the body does to the scope. up was asked before.
func (s *Scope) leaveBody(up *ending, err error, panicked *PanicError, shown error, consequence bool) {
	s.mu.Lock()
	if shown != nil {
		s.ownRareLocked().bodyEnd = shown
	}
	s.inBody = false
	s.live--
	s.awaited--
	switch {
	case panicked != nil:
		if !s.endLocked(up, reason{kind: Panicked, err: panicked}) {
			s.keepLocked(nil, panicked)
		}
	case err == nil:
	case !s.endLocked(up, reason{kind: BodyFailed, err: err}) && !consequence:
		s.keepLocked(nil, err)
	}
	s.moveLocked(inFinalize)
	s.settle()
}
