package traigo

import (
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// The outcome of a scope: its cause, and the errors that were collected besides.

// collected holds what a scope collects for its outcome. later has at most maxKept errors
// (one more after a quiet end), and the rest is counted. unreceived and unseen have at
// most maxKept elements; if there are more, the oldest is logged and removed.
type collected struct {
	later     []later // errors other than the cause, in the order of arrival
	laterMore int

	unreceived []later  // failed tasks of Async whose error no caller has received
	unseen     []*Scope // closed child scopes whose outcome no call has returned: see isUnseen

	stuck    StuckError
	panicked *PanicError // the first panic of a task, or of a scope in unseen: Run, Wait and Close panic with it
	bodyEnd  error       // what Run propagates instead of the outcome: a panic of the body, or ErrGoexit; or nil

	watch      *unseenWatch // of s itself; nil if there is none
	isReported bool         // reportUnseen has been called
}

// A later is an error of the outcome other than the cause.
type later struct {
	task *Task // nil for an error of the body and for a panic
	err  error
}

func (l later) error() error {
	if l.task == nil {
		return l.err
	}
	return &TaskError{Task: l.task.Name(), Err: l.err}
}

// quiet reports whether e is not an error by itself: the scope was complete, a master
// ended, or Cancel(nil) was called.
func (e *ending) quiet() bool {
	return e.kind == Completed || e.kind == MasterEnded || e.kind == Requested && e.err == nil
}

// keepLocked adds an error to the outcome. t is the task that err comes from, or nil.
func (s *Scope) keepLocked(t *Task, err error) {
	room := maxKept
	if s.state >= Canceling && s.over.Load().quiet() {
		room++ // after a quiet end the first of them becomes Error.Err, the others Error.Others
	}
	x := s.ownExtLocked()
	if len(x.later) >= room {
		x.laterMore++
		return
	}
	x.later = append(x.later, later{t, err})
}

// hasLocked reports whether err is in the outcome already: a body that returns what it got
// from waiting for a task adds nothing.
func (s *Scope) hasLocked(err error) bool {
	x := s.ext
	if isCause(err, s.over.Load().err) || x.panicked != nil && same(err, x.panicked) {
		return true
	}
	if stuck, ok := err.(*StuckError); ok && len(stuck.Tasks) == 1 {
		return slices.Contains(x.stuck.Tasks, stuck.Tasks[0])
	}
	return slices.ContainsFunc(x.later, func(l later) bool { return isCause(err, l.err) })
}

// keepUnreceivedLocked stores the error of a task of Async until somebody receives it. It
// returns the oldest such error, if that had to make room.
func (s *Scope) keepUnreceivedLocked(t *Task, err error) (oldest later) {
	x := s.ownExtLocked()
	if len(x.unreceived) >= maxKept {
		oldest = x.unreceived[0]
		oldest.task.set(received)
		x.unreceived = slices.Delete(x.unreceived, 0, 1)
	}
	x.unreceived = append(x.unreceived, later{t, err})
	return oldest
}

// receivedLocked records that somebody has received the error of t. An error that has
// joined the outcome stays there.
func (s *Scope) receivedLocked(t *Task) {
	t.set(received)
	if i := slices.IndexFunc(s.ext.unreceived, func(l later) bool { return l.task == t }); i >= 0 {
		s.ext.unreceived = slices.Delete(s.ext.unreceived, i, i+1)
	}
}

// joinUnreceivedLocked adds to the outcome the errors of Async that no caller has
// received. It is called when the scope is canceled.
func (s *Scope) joinUnreceivedLocked() {
	x := s.ext
	if x == noScopeExt {
		return
	}
	unreceived := x.unreceived
	x.unreceived = nil
	for _, l := range unreceived {
		s.keepLocked(l.task, l.err)
	}
}

// keepUnseenLocked adds the closed child c to unseen, if c.isUnseen. If there are too
// many it removes the oldest and returns it, for the caller to log, unless the oldest
// panicked.
func (s *Scope) keepUnseenLocked(c *Scope) (oldest *Scope) {
	if !c.isUnseen() {
		return nil
	}
	x := s.ownExtLocked()
	if len(x.unseen) >= maxKept {
		oldest = x.unseen[0]
		x.unseen = slices.Delete(x.unseen, 0, 1)
		if s.raiseLocked(oldest) {
			oldest = nil
		}
	}
	x.unseen = append(x.unseen, c)
	return oldest
}

// raiseLocked makes the panic of the closed child c a panic of s, and reports whether it
// did. It does nothing if c has not panicked or a call has returned the outcome of c.
func (s *Scope) raiseLocked(c *Scope) bool {
	p := c.raised()
	if p == nil || !c.asked.CompareAndSwap(false, true) {
		return false
	}
	s.keepLocked(nil, p)
	if x := s.ownExtLocked(); x.panicked == nil {
		x.panicked = p
	}
	return true
}

// isUnseen reports whether a closed scope has failed and no call has returned its
// outcome. An outcome that only reports the cancellation of the parent does not count.
func (s *Scope) isUnseen() bool {
	return s.hasFailed && !s.asked.Load() && !s.composed().onlyParentCanceled()
}

// An unseenWatch has the outcome of a scope logged after some time. It forgets the scope
// when it is stopped: the runtime keeps a stopped timer, and its function, for a while.
type unseenWatch struct {
	scope atomic.Pointer[Scope]
	timer *time.Timer
}

func (w *unseenWatch) stop() {
	if w != nil {
		w.timer.Stop()
		w.scope.Store(nil)
	}
}

// watchUnseen has the outcome of a closed scope logged, if it has been there for some time
// and nobody has asked for it.
func (s *Scope) watchUnseen() {
	if !s.isUnseen() {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	x := s.ownExtLocked()
	if x.isReported {
		return
	}
	w := new(unseenWatch)
	w.scope.Store(s)
	w.timer = time.AfterFunc(patience, func() {
		if s := w.scope.Load(); s != nil {
			s.reportUnseen()
		}
	})
	x.watch = w
}

// reportUnseen logs the outcome of a scope, once, if nobody has asked for it.
func (s *Scope) reportUnseen() {
	s.mu.Lock()
	x := s.ownExtLocked()
	first := !x.isReported && !s.asked.Load()
	x.isReported = true
	x.watch.stop()
	s.mu.Unlock()
	if first {
		s.log(slog.LevelError, "failed, and nobody has asked for the outcome", nil, s.composed())
	}
}

// onlyParentCanceled reports whether e only reports the cancellation of the parent.
func (e *Error) onlyParentCanceled() bool {
	c, ok := e.Err.(*Cancellation)
	return ok && c.Kind == ParentCanceled && len(e.Others) == 0
}

// besides returns the text of an error that came after the one which began e. Where it is the
// outcome of a scope below that was canceled for the same reason, the text leaves the reason out.
func (e *Error) besides(err error) string {
	text, _ := besidesOf(e.Scope, err, begin(e), 0)
	return text
}

// begin follows outcomes and cancellations from err to the error that began them.
func begin(err error) error {
	for range maxNodes {
		next := begunBy(err)
		switch e := err.(type) {
		case *TaskError:
			if e != nil {
				next = e.Err
			}
		case *Cancellation:
			if e != nil {
				next = e.Err
			}
		}
		if next == nil {
			break
		}
		err = next
	}
	return err
}

// besidesOf implements besides for errors of the scope with this path. isPlain says that the
// text names tasks by their paths, so that it needs no scope before it.
func besidesOf(path string, err, began error, depth int) (text string, isPlain bool) {
	if isA[*StuckError](err) {
		return within(path, err), true
	}
	inner, prefix := err, ""
	if task, ok := err.(*TaskError); ok && task != nil {
		inner, prefix = task.Err, "task "+strconv.Quote(task.Task)+": "
	}
	below, ok := onlyOf(inner).(*Error)
	if !ok || below == nil || len(below.Others) == 0 || depth > maxKept || !wasCanceledBy(below.Err, began) {
		return within(path, err), false
	}
	isPlain = true
	var parts []string
	for _, other := range below.Others {
		part, plain := besidesOf(below.Scope, other, began, depth+1)
		parts, isPlain = append(parts, part), isPlain && plain
	}
	if below.More > 0 {
		parts = append(parts, fmt.Sprintf("%d more", below.More))
	}
	if text = strings.Join(parts, "; also: "); isPlain {
		return text, true
	}
	return prefix + "scope " + strconv.Quote(below.Scope) + ": " + text, false
}

// wasCanceledBy reports whether err says only that a parent was canceled, which began with the
// error that is given.
func wasCanceledBy(err, began error) bool {
	c, ok := err.(*Cancellation)
	return ok && c != nil && c.Kind == ParentCanceled && (c.began(began) || c.origin != nil && c.origin.began(began))
}

// reportCollected logs the errors that are not in the outcome, and those that it hides. It is
// called when live is 0, so that the fields it reads no longer change.
func (s *Scope) reportCollected() {
	s.mu.Lock()
	x := s.ext
	if x == noScopeExt {
		s.mu.Unlock()
		return
	}
	unseen, unreceived := x.unseen, x.unreceived
	for _, c := range unseen {
		s.raiseLocked(c)
	}
	x.unseen, x.unreceived = nil, nil
	s.mu.Unlock()

	for _, c := range unseen {
		c.reportUnseen()
	}
	for _, l := range unreceived {
		s.log(slog.LevelWarn, "error after the end was decided, and nobody has awaited it", l.task, l.err)
	}
	s.reportHidden(x)
}

// hasFailedLocked reports whether the outcome of a scope with live = 0 is an error.
func (s *Scope) hasFailedLocked() bool {
	x := s.ext
	return !s.over.Load().quiet() || len(x.later) > 0 || len(x.stuck.Tasks) > 0
}

// composed returns the outcome of a scope with live = 0; nil if there is none. It is composed
// when it is first asked for: for many scopes that is in Run or Wait, by the goroutine that
// has waited, and the worker that has ended last needs no stack for it. A parent that looks at
// it with its own mu held finds it composed: watchUnseen comes before that.
func (s *Scope) composed() *Error {
	if out := s.out.Load(); out != nil {
		return out
	}
	s.mu.Lock()
	x := s.ext
	s.mu.Unlock()
	s.out.CompareAndSwap(nil, s.compose(x))
	return s.out.Load()
}

// compose returns the cause and the collected errors as one Error, or nil if there are none.
func (s *Scope) compose(x *scopeExt) *Error {
	var errs []error
	if err := s.ending().failure(); err != nil {
		errs = append(errs, err)
	}
	for _, l := range x.later {
		errs = append(errs, l.error())
	}
	more := x.laterMore
	room := 1 + maxKept
	if len(x.stuck.Tasks) > 0 {
		room--
	}
	if dropped := len(errs) - room; dropped > 0 {
		errs, more = errs[:room], more+dropped
	}
	if len(x.stuck.Tasks) > 0 {
		errs = append(errs, &x.stuck)
	}
	if len(errs) == 0 {
		return nil
	}
	out := &Error{Scope: s.Path(), Err: errs[0], More: more, panicked: x.panicked}
	if len(errs) > 1 {
		out.Others = errs[1:]
	}
	return out
}

// reportHidden logs the errors of the outcome that Run or Wait does not return, because
// it panics or calls Goexit instead.
func (s *Scope) reportHidden(x *scopeExt) {
	shown := x.bodyEnd
	if x.panicked != nil && (shown == nil || same(shown, ErrGoexit)) {
		shown = x.panicked
	}
	if shown == nil {
		return
	}
	out := s.composed()
	if out == nil {
		return
	}
	rest := slices.DeleteFunc(out.Unwrap(), func(err error) bool { return same(err, shown) })
	if len(rest) == 0 {
		return
	}
	hidden := &Error{Scope: out.Scope, Err: rest[0], Others: rest[1:], More: out.More}
	if !hidden.onlyParentCanceled() {
		s.log(slog.LevelError, "errors hidden by a panic or a Goexit", nil, hidden)
	}
}

// outcome returns composed as an error.
func (s *Scope) outcome() error {
	if out := s.composed(); out != nil {
		return out
	}
	return nil
}

// raised returns the value with which Run, Wait and Close of a closed scope panic, or
// nil.
func (s *Scope) raised() *PanicError {
	if out := s.composed(); out != nil {
		return out.panicked
	}
	return nil
}

// returnOutcome returns the outcome of a closed scope, or panics with raised.
func (s *Scope) returnOutcome() error {
	if !s.hasFailed {
		return nil
	}
	s.mu.Lock()
	s.ext.watch.stop()
	s.mu.Unlock()
	if p := s.raised(); p != nil {
		p.mark(isRaised)
		panic(p)
	}
	return s.outcome()
}
