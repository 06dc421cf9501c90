package traigo

import (
	"context"
	"fmt"
	"reflect"
	"time"
)

// scopeContext and taskContext are the contexts of a scope and a task: the same struct
// with another method set. So a context costs no allocation, and a task that never calls
// Done pays nothing for being cancelable.
//
// Package context attaches derived contexts by the AfterFunc methods, without a
// goroutine, and finds the cause by Value.
type (
	scopeContext Scope
	taskContext  Task
)

// A node is a *Scope or a *Task, as the owner of a context that other contexts and scopes
// derive from.
type node interface {
	home() *Scope                  // the scope whose mu protects the hooks
	addHookLocked(h *hook) *ending // adds h and returns nil or, if the context is done, returns why
	context() context.Context
}

func (s *Scope) home() *Scope             { return s }
func (t *Task) home() *Scope              { return t.scope }
func (s *Scope) context() context.Context { return (*scopeContext)(s) }
func (t *Task) context() context.Context  { return (*taskContext)(t) }

// nodeKey is the key for which Value of a context returns its nearest node.
type nodeKey struct{}

// Current returns the innermost scope that ctx carries: that of the task or body to which
// ctx, or the context it derives from, was passed. It returns nil if ctx carries no
// scope, and panics if ctx is nil.
//
// The idea is from traio's get_current: code deep in a call tree can spawn tasks without
// being passed the scope.
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

// CurrentTask returns the innermost task that ctx carries. In the body of a Run that a
// task calls, it returns that task. It returns nil if ctx carries no task, and panics if
// ctx is nil.
func CurrentTask(ctx context.Context) *Task {
	mustHaveContext("CurrentTask", ctx)
	_, t := where(ctx)
	return t
}

// where returns Current(ctx) and CurrentTask(ctx).
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

// pathOf returns the path of the innermost task or scope that ctx carries, or "".
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

// nodeOf returns the innermost node that ctx carries, or nil. together reports whether
// ctx is done exactly when the context of the node is: ctx is that context or derives
// from it by values only.
func nodeOf(ctx context.Context) (n node, together bool) {
	switch c := ctx.(type) {
	case *scopeContext:
		return (*Scope)(c), true
	case *taskContext:
		return (*Task)(c), true
	case *itemContext:
		return c.node(), true
	}
	n, _ = ctx.Value(nodeKey{}).(node)
	if n != nil {
		d := ctx.Done()
		together = d != nil && d == n.context().Done()
	}
	return n, together
}

// attach registers the scope with its outer context, so that the scope is canceled when
// that is done. It does nothing if s.together: admit has added a hook then.
func (s *Scope) attach() {
	if s.together || s.outer.Done() == nil {
		return
	}
	outer := s.outer
	if !isStandard(outer) {
		outer = steady{outer}
	}
	ended := func() { s.cancelFor(outerEnding(s.outer, outer.Err()).below()) }
	detach := context.AfterFunc(outer, ended)
	s.mu.Lock()
	s.detach = detach
	closed := s.state == Closed
	s.mu.Unlock()
	switch {
	case closed: // the parent closed the scope meanwhile, when s.detach was nil
		detach()
	case outer.Err() != nil:
		ended() // at once, and not when the goroutine of AfterFunc runs
	}
}

// A steady context has been canceled if it is done and its Err is nil again, as that of a
// context that is used a second time: package context panics over one.
type steady struct{ context.Context }

func (c steady) Err() error {
	err := c.Context.Err()
	if err == nil && isDone(c.Done()) {
		err = context.Canceled
	}
	return err
}

// AfterFunc keeps package context from starting a goroutine for a wrapper it
// does not know.
func (c steady) AfterFunc(f func()) (stop func() bool) {
	if a, ok := c.Context.(interface{ AfterFunc(func()) func() bool }); ok {
		return a.AfterFunc(f)
	}
	return context.AfterFunc(foreign{c}, f)
}

// isStandard reports whether package context has made ctx by WithCancel, WithDeadline and
// their like: its Err does not change.
func isStandard(ctx context.Context) bool {
	t := reflect.TypeOf(ctx)
	return t == cancelCtxType || t == timerCtxType
}

var cancelCtxType, timerCtxType = func() (c, t reflect.Type) {
	cancelCtx, cancel := context.WithCancel(context.Background())
	defer cancel()
	timerCtx, cancel := context.WithTimeout(cancelCtx, time.Hour)
	defer cancel()
	return reflect.TypeOf(cancelCtx), reflect.TypeOf(timerCtx)
}()

// A foreign context has no method AfterFunc, so that package context does not call it again.
type foreign struct{ context.Context }

// upEnded returns why the context that has the hook of s is done.
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

// Done returns a channel per task, so that Task.Cancel can close it alone. It makes the
// channel on the first call, closed if the context is done already.
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

// earlier returns the earlier of own, if it is not zero, and the deadline of outer, if it
// has one.
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

// valueOf returns outer.Value(key). If e is not nil, the private keys by which package
// context finds its own contexts are answered by e.standard first, so that context.Cause
// returns the cause of e. e.standard has no other values.
func valueOf(key any, e *ending, outer context.Context) any {
	if e != nil {
		if v := e.standard().Value(key); v != nil {
			return v
		}
	}
	return outer.Value(key)
}

// AfterFunc implements an optional interface of package context, which uses it to cancel
// derived contexts. f is called once, after the context is done. If the context is done
// already, f runs on a new goroutine, since package context holds a lock during this
// call. Otherwise the goroutine that applies the effects of the cancellation calls f;
// usually that is the caller of Cancel. f must not block or call runtime.Goexit. stop
// reports whether it prevented the call of f.
func (c *scopeContext) AfterFunc(f func()) (stop func() bool) { return afterFunc((*Scope)(c), f) }

// AfterFunc is like scopeContext.AfterFunc.
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

// A hook is a function to call, or a scope to cancel, when the context of a node is done.
// It is an element of the node's list, which the mu of the node's scope protects.
type hook struct {
	next  *hook
	link  **hook // the pointer that points to this hook; nil if the hook is in no list
	f     func()
	scope *Scope // if not nil: a scope to cancel; f is nil then
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

// takeHooksLocked empties the list and returns its hooks for callHooks. They can no
// longer be removed.
func takeHooksLocked(list **hook) *hook {
	first := *list
	*list = nil
	for h := first; h != nil; h = h.next {
		h.link = nil
	}
	return first
}

// cancelDerived calls the hooks through which the outer context of s, derived by package
// context from that of a task or scope of ours, is to be canceled, if that has ended and
// they have not been called: an observer that is told of the end first may take its time.
// It reports whether it has called any. Otherwise it would depend on that time whether a
// failure in s comes before or after the end of its parent.
func (s *Scope) cancelDerived() bool {
	p, t := s.parent, s.opener
	if t != nil && t.ended() == nil || t == nil && p.ended() == nil {
		return false
	}
	p.lock()
	list := &p.hooks
	if t != nil {
		list = &t.ownExt().hooks
	}
	var taken *hook
	for h := *list; h != nil; {
		this := h
		h = h.next
		if this.f != nil {
			this.removeLocked()
			this.addLocked(&taken)
		}
	}
	taken = takeHooksLocked(&taken)
	p.mu.Unlock()
	p.callHooks(taken)
	return taken != nil
}

// callHooks calls the hooks that takeHooksLocked has returned. mu must not be held.
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
