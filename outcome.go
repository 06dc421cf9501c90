package traigo

import (
	"log/slog"
	"slices"
	"time"
)

// The outcome of a scope: what ended it, and the other errors that must not be lost.

// collected is what a scope collects for its outcome. Of the errors in later it keeps
// maxKept, and counts the rest; of the tasks in unreceived and the scopes in unseen it
// keeps maxKept, and logs the oldest of more.
type collected struct {
	later     []later // errors beside the ending, in the order in which they came
	laterMore int

	unreceived []*Task  // failed tasks of Async whose error nobody has received
	unseen     []*Scope // failed forks and scopes of New whose outcome nobody has asked for

	stuck    StuckError
	panicked *PanicError // of a task, or of a scope in unseen: Run, Wait and Close panic with it
	bodyEnd  error       // what comes out of Run in place of the outcome: the body's panic, or ErrGoexit

	unseenTimer *time.Timer // of s itself: see watchUnseen
	isReported  bool        // the outcome has been logged because nobody had asked for it
}

// A later is an error that came after the ending, or that is no ending.
type later struct {
	task *Task // nil if the error is the body's
	err  error
}

func (l later) error() error {
	if l.task == nil {
		return l.err
	}
	return &TaskError{Task: l.task.Name(), Err: l.err}
}

// quiet reports whether the ending, as such, is no failure.
func (e *ending) quiet() bool {
	return e.kind == Completed || e.kind == MasterEnded || e.kind == Requested && e.err == nil
}

// keepLocked puts an error into the outcome, whatever the ending was.
func (s *Scope) keepLocked(t *Task, err error) {
	room := maxKept
	if s.state >= Canceling && s.over.Load().quiet() {
		room++ // the first becomes Err
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

// keepUnreceivedLocked keeps the error of a task of Async for whoever awaits it. It
// returns the oldest such task, if that had to make room.
func (s *Scope) keepUnreceivedLocked(t *Task) (oldest *Task) {
	x := s.ownExtLocked()
	if len(x.unreceived) >= maxKept {
		oldest = x.unreceived[0]
		oldest.set(received)
		x.unreceived = slices.Delete(x.unreceived, 0, 1)
	}
	x.unreceived = append(x.unreceived, t)
	return oldest
}

// receivedLocked records that somebody has received the error of t. What has joined
// the outcome stays there.
func (s *Scope) receivedLocked(t *Task) {
	t.set(received)
	if i := slices.Index(s.ext.unreceived, t); i >= 0 {
		s.ext.unreceived = slices.Delete(s.ext.unreceived, i, i+1)
	}
}

// joinUnreceivedLocked runs as the end of the scope is decided: the errors of Async that
// nobody has received by now join the outcome.
func (s *Scope) joinUnreceivedLocked() {
	x := s.ext
	if x == noScopeExt {
		return
	}
	unreceived := x.unreceived
	x.unreceived = nil
	for _, t := range unreceived {
		s.keepLocked(t, t.result())
	}
}

// keepUnseenLocked keeps a failed child, whose outcome nobody has asked for, until s
// closes. It returns the oldest such child, if that had to make room.
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

// raiseLocked makes the panic of a child whose outcome nobody has asked for the panic of
// s: a record in a log is not enough for a panic. It reports false if c has none.
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

// isUnseen reports whether a closed scope has failed and nobody has asked for its
// outcome. That its parent was canceled is no outcome of its own.
func (s *Scope) isUnseen() bool {
	return s.out != nil && !s.asked.Load() && !s.out.onlyParentCanceled()
}

// watchUnseen logs the outcome of a scope that has closed, when it has been there for
// some time and nobody has asked for it.
func (s *Scope) watchUnseen() {
	if !s.isUnseen() {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if x := s.ownExtLocked(); !x.isReported {
		x.unseenTimer = time.AfterFunc(patience, s.reportUnseen)
	}
}

// reportUnseen logs the outcome of a scope, once, if nobody has asked for it.
func (s *Scope) reportUnseen() {
	s.mu.Lock()
	x := s.ownExtLocked()
	first := !x.isReported && !s.asked.Load()
	x.isReported = true
	if x.unseenTimer != nil {
		x.unseenTimer.Stop()
	}
	s.mu.Unlock()
	if first {
		s.log(slog.LevelError, "failed, and nobody has asked for the outcome", nil, s.out)
	}
}

// onlyParentCanceled reports an outcome that says no more than that the parent has ended.
func (e *Error) onlyParentCanceled() bool {
	c, ok := e.Err.(*Cancellation)
	return ok && c.Kind == ParentCanceled && len(e.Others) == 0
}

// makeOutcome makes the outcome, and logs what is not in it. Nothing lives in the scope
// any more, so that what it reads does not change.
func (s *Scope) makeOutcome() {
	s.mu.Lock()
	x := s.ext
	unseen, unreceived := x.unseen, x.unreceived
	for _, c := range unseen {
		s.raiseLocked(c)
	}
	if x = s.ext; x != noScopeExt {
		x.unseen, x.unreceived = nil, nil
	}
	s.mu.Unlock()

	s.out = s.composeOutcome(x)
	for _, c := range unseen {
		c.reportUnseen()
	}
	for _, t := range unreceived {
		s.log(slog.LevelWarn, "error after the end was decided, and nobody has awaited it", t, t.result())
	}
	s.reportHidden(x)
}

// composeOutcome makes one error of what ended the scope and what came besides.
func (s *Scope) composeOutcome(x *scopeExt) *Error {
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

// reportHidden logs the part of the outcome that nobody gets to see, because a panic or
// a Goexit comes out of the scope in its place.
func (s *Scope) reportHidden(x *scopeExt) {
	shown := x.bodyEnd
	if x.panicked != nil && (shown == nil || same(shown, ErrGoexit)) {
		shown = x.panicked
	}
	if shown == nil || s.out == nil {
		return
	}
	rest := slices.DeleteFunc(s.out.Unwrap(), func(err error) bool { return same(err, shown) })
	if len(rest) == 0 {
		return
	}
	hidden := &Error{Scope: s.out.Scope, Err: rest[0], Others: rest[1:], More: s.out.More}
	if !hidden.onlyParentCanceled() {
		s.log(slog.LevelError, "errors hidden by a panic or a Goexit", nil, hidden)
	}
}

// outcome is the outcome as an error: nil, or an *Error.
func (s *Scope) outcome() error {
	if s.out == nil {
		return nil
	}
	return s.out
}

// raised is the panic that a closed scope raises; nil for none.
func (s *Scope) raised() *PanicError {
	if s.out == nil {
		return nil
	}
	return s.out.panicked
}

// returnOutcome gives the outcome to whoever waited: a panic as a panic.
func (s *Scope) returnOutcome() error {
	if p := s.raised(); p != nil {
		panic(p)
	}
	return s.outcome()
}
