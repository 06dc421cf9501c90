package traigo

import (
	"context"
	"fmt"
	"time"
)

// A scope and a task are their own contexts: the same memory under another
// method set. A task therefore needs no context of its own to be made, and one
// that never asks for Done pays nothing for being cancelable.
//
// What package context derives from them it attaches by AfterFunc, without a
// goroutine; their cause it asks for by Value.
type (
	scopeContext Scope
	taskContext  Task
)

// A node is a scope or a task, as something whose end ends other contexts.
type node interface {
	home() *Scope                  // under whose lock its hooks are
	addHookLocked(h *hook) *ending // what has ended it; nil if h is in the list
	context() context.Context
}

func (s *Scope) home() *Scope             { return s }
func (t *Task) home() *Scope              { return t.scope }
func (s *Scope) context() context.Context { return (*scopeContext)(s) }
func (t *Task) context() context.Context  { return (*taskContext)(t) }

// nodeKey finds the nearest node of a context.
type nodeKey struct{}

// Current returns the scope that ctx is in: that of the task or body that ctx
// was given to. It returns nil if ctx carries none.
//
// The idea is traio's get_current: code deep in a call tree can spawn into the
// scope it runs in without having it passed along.
func Current(ctx context.Context) *Scope {
	mustHaveContext("Current", ctx)
	switch n := ctx.Value(nodeKey{}).(type) {
	case *Scope:
		return n
	case *Task:
		return n.scope
	default:
		return nil
	}
}

// CurrentTask returns the task that ctx is in. Within Run called by a task
// that is still this task. It returns nil if ctx carries none.
func CurrentTask(ctx context.Context) *Task {
	mustHaveContext("CurrentTask", ctx)
	_, t := where(ctx)
	return t
}

// where is Current and CurrentTask.
func where(ctx context.Context) (*Scope, *Task) {
	switch n := ctx.Value(nodeKey{}).(type) {
	case *Scope:
		_, t := where(n.outer)
		return n, t
	case *Task:
		return n.scope, n
	default:
		return nil, nil
	}
}

// pathOf is the path of the task or scope that ctx is in; "" if it carries none.
func pathOf(ctx context.Context) string {
	switch n := ctx.Value(nodeKey{}).(type) {
	case *Scope:
		return n.Path()
	case *Task:
		return n.Path()
	default:
		return ""
	}
}

// nodeOf returns the node that ctx is in, and whether ctx ends together with it:
// it may be the node's context, or derived from that by values alone.
func nodeOf(ctx context.Context) (n node, together bool) {
	switch c := ctx.(type) {
	case *scopeContext:
		return (*Scope)(c), true
	case *taskContext:
		return (*Task)(c), true
	}
	n, _ = ctx.Value(nodeKey{}).(node)
	if n != nil {
		d := ctx.Done()
		together = d != nil && d == n.context().Done()
	}
	return n, together
}

// attach makes the end of an outer context that is no node end the scope. Where
// it is one, admit has done so.
func (s *Scope) attach() {
	if s.together || s.outer.Done() == nil {
		return
	}
	ended := func() { s.cancelFor(reason{kind: ParentCanceled}) }
	detach := context.AfterFunc(s.outer, ended)
	s.mu.Lock()
	s.detach = detach
	closed := s.state == Closed
	s.mu.Unlock()
	switch {
	case closed: // by its parent, meanwhile: nobody else will undo it
		detach()
	case s.outer.Err() != nil:
		ended() // now, and not when the goroutine of AfterFunc runs
	}
}

// upEnded is what has ended the node whose hook s is.
func (s *Scope) upEnded() *ending {
	if s.opener != nil {
		return s.opener.contextEnded()
	}
	return s.parent.ended()
}

func (c *scopeContext) Done() <-chan struct{} {
	s := (*Scope)(c)
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ctxDone.waitLocked(s.isCtxDone)
}

// Done of a task is a channel of its own, so that Cancel can end it alone. It
// is made when somebody asks for it first, and closed if the context has ended by then.
func (c *taskContext) Done() <-chan struct{} {
	t := (*Task)(c)
	t.scope.mu.Lock()
	defer t.scope.mu.Unlock()
	if t.ctxDone == nil {
		t.ctxDone = make(chan struct{})
		if t.has(isCtxDone) {
			close(t.ctxDone)
		}
	}
	return t.ctxDone
}

func (c *scopeContext) Err() error {
	if e := (*Scope)(c).ended(); e != nil {
		return e.ctxErr()
	}
	return nil
}

func (c *taskContext) Err() error {
	if e := (*Task)(c).contextEnded(); e != nil {
		return e.ctxErr()
	}
	return nil
}

func (c *scopeContext) Deadline() (time.Time, bool) {
	s := (*Scope)(c)
	s.mu.Lock()
	own := s.ext.deadline
	s.mu.Unlock()
	if s.together && s.opener != nil && s.opener.has(endedUncanceled) {
		return earlier(own, s.opener.scope.context()) // a scope of New has outlived the task that opened it
	}
	return earlier(own, s.outer)
}

func (c *taskContext) Deadline() (time.Time, bool) {
	t := (*Task)(c)
	var own time.Time
	if x := t.ext.Load(); x != nil {
		own = x.deadline
	}
	return earlier(own, t.scope.context())
}

// earlier is own, or the deadline of the context further out if that is earlier.
func earlier(own time.Time, outer context.Context) (time.Time, bool) {
	d, ok := outer.Deadline()
	if !own.IsZero() && (!ok || own.Before(d)) {
		return own, true
	}
	return d, ok
}

func (c *scopeContext) Value(key any) any {
	s := (*Scope)(c)
	if key == (nodeKey{}) {
		return s
	}
	return valueOf(key, s.ending(), s.outer)
}

func (c *taskContext) Value(key any) any {
	t := (*Task)(c)
	if key == (nodeKey{}) {
		return t
	}
	if x := t.ext.Load(); x != nil && x.values != nil {
		if v := x.values.Value(key); v != nil {
			return v
		}
	}
	own := t.alone()
	if t.has(endedUncanceled) {
		own = t.contextEnded()
	}
	return valueOf(key, own, t.scope.context())
}

// valueOf looks in outer, but lets package context find the cause of e where
// it looks for its own kind: the standard context of e has no other values.
func valueOf(key any, e *ending, outer context.Context) any {
	if e != nil {
		if v := e.standard().Value(key); v != nil {
			return v
		}
	}
	return outer.Value(key)
}

// AfterFunc is how package context attaches the contexts that it derives: f is called
// once the context is done. If that is already so, f gets a goroutine of its own,
// because package context holds a lock of its own during this call. Otherwise
// whoever ends the scope or task calls f, so that a derived context is canceled
// when Cancel returns. f must not block, and must not call runtime.Goexit.
func (c *scopeContext) AfterFunc(f func()) (stop func() bool) { return afterFunc((*Scope)(c), f) }

// AfterFunc is as for the scope's context.
func (c *taskContext) AfterFunc(f func()) (stop func() bool) { return afterFunc((*Task)(c), f) }

func afterFunc(n node, f func()) (stop func() bool) {
	h := &hook{f: f}
	s := n.home()
	s.mu.Lock()
	e := n.addHookLocked(h)
	s.mu.Unlock()
	if e != nil {
		go s.callHook(f)
		return func() bool { return false }
	}
	return func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return h.removeLocked()
	}
}

func (c *scopeContext) String() string { return fmt.Sprintf("traigo.Scope(%q)", (*Scope)(c).Path()) }
func (c *taskContext) String() string  { return fmt.Sprintf("traigo.Task(%q)", (*Task)(c).Path()) }

// A hook is called when the context of a node ends. It is in a list of that node, under
// the lock of the node's scope.
type hook struct {
	next  *hook
	link  **hook // the pointer to this hook; nil when it is in no list
	f     func()
	scope *Scope // in place of f: a scope to end
}

func (h *hook) addLocked(list **hook) {
	h.next, h.link = *list, list
	if h.next != nil {
		h.next.link = &h.next
	}
	*list = h
}

func (h *hook) removeLocked() bool {
	if h.link == nil {
		return false
	}
	*h.link = h.next
	if h.next != nil {
		h.next.link = h.link
	}
	h.link = nil
	return true
}

// takeHooksLocked empties the list: from now on nobody can stop its hooks.
func takeHooksLocked(list **hook) *hook {
	first := *list
	*list = nil
	for h := first; h != nil; h = h.next {
		h.link = nil
	}
	return first
}

// callHooks calls the hooks of a list that was taken.
func (s *Scope) callHooks(h *hook) {
	for h != nil {
		this := h
		h = h.next
		this.next = nil
		if c := this.scope; c != nil {
			c.cancelFor(c.upEnded().below())
		} else {
			s.callHook(this.f)
		}
	}
}

func (s *Scope) callHook(f func()) {
	const what = "a function given to AfterFunc"
	returned := false
	defer s.returnedOrPanicked(what, &returned)
	f()
	returned = true
}

func (s *Scope) addHookLocked(h *hook) *ending {
	if s.state < Canceling {
		h.addLocked(&s.hooks)
	}
	return s.ending()
}

func (t *Task) addHookLocked(h *hook) *ending {
	switch {
	case t.alone() != nil:
		return t.alone()
	case t.has(endedUncanceled):
		return t.ownEndLocked()
	case t.scope.state < Canceling:
		h.addLocked(&t.ownExt().hooks)
	}
	return t.scope.ending()
}
