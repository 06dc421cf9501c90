package traigo

import (
	"fmt"
	"log/slog"
	"slices"
	"sync/atomic"
)

// The outcome of a scope: what ended it, and what must not be lost besides.

// A result is what a scope collects for its outcome. All lists are short: of
// more than maxKept it keeps the count.
type result struct {
	later     []later // besides the ending, in the order in which they came
	laterMore int

	unreceived     []*Task // failed tasks of Async whose error nobody has yet
	unreceivedMore int

	stuck    StuckError
	panicked *PanicError // of a task or a fork: Run, Wait and Close panic with it
	unasked  []*Scope    // failed forks whose outcome nobody may have asked for
	asked    atomic.Bool // somebody has, or will have, received this outcome
	bodyEnd  error       // what comes out of Run instead of the outcome: the body's panic, or ErrGoexit
	out      *Error      // the outcome, once it is concluded
}

// A later is an error that came after the ending, or that no ending has.
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
	if s.state >= Canceling && s.end.quiet() {
		room++ // the first becomes Err
	}
	if len(s.later) >= room {
		s.laterMore++
		return
	}
	s.later = append(s.later, later{t, err})
}

// panickedLocked records a panic: it ends the scope and is always raised.
func (s *Scope) panickedLocked(up *ending, t *Task, p *PanicError) {
	first := s.endLocked(up, reason{kind: Panicked, task: t, err: p})
	if s.panicked == nil {
		s.panicked = p
	}
	if !first {
		s.keepLocked(nil, p)
	}
}

// holdLocked keeps the error of a task of Async for whoever awaits it.
func (s *Scope) holdLocked(t *Task) {
	if s.state >= Canceling {
		t.set(heldLate)
	}
	if len(s.unreceived) >= maxKept {
		s.unreceivedMore++
		t.set(counted)
		return
	}
	t.set(unreceived)
	s.unreceived = append(s.unreceived, t)
}

// receivedLocked takes it out again: somebody has it. What has joined the
// outcome stays there.
func (s *Scope) receivedLocked(t *Task) {
	switch {
	case t.has(unreceived):
		s.unreceived = slices.DeleteFunc(s.unreceived, func(u *Task) bool { return u == t })
	case t.has(counted) && t.has(heldLate) == (s.state >= Canceling):
		s.unreceivedMore--
	}
	t.clear(unreceived | counted)
	t.set(received)
}

// joinUnreceivedLocked runs as the end of the scope is decided: what nobody has
// received by now joins the outcome.
func (s *Scope) joinUnreceivedLocked() {
	for _, t := range s.unreceived {
		t.clear(unreceived)
		s.later = append(s.later, later{t, t.err})
	}
	s.laterMore += s.unreceivedMore
	s.unreceived, s.unreceivedMore = nil, 0
}

// inheritLocked takes over what a closed child leaves: the outcome of a fork
// that nobody has asked for, to be looked at when s closes. It returns one that
// had to make room.
func (s *Scope) inheritLocked(c *Scope) (evicted *Scope) {
	if c.out == nil || c.asked.Load() || c.out.mere() {
		return nil
	}
	if len(s.unasked) >= maxKept {
		evicted, s.unasked = s.unasked[0], append(s.unasked[:0:0], s.unasked[1:]...)
		if evicted.panicked != nil && s.panicked == nil && !evicted.asked.Load() {
			s.panicked = evicted.panicked // a log line is not enough for a panic
			s.keepLocked(nil, evicted.panicked)
			evicted = nil
		}
	}
	s.unasked = append(s.unasked, c)
	return evicted
}

// mere reports an outcome that only says that the parent has ended.
func (e *Error) mere() bool {
	c, ok := e.Err.(*Cancellation)
	return ok && c.Kind == ParentCanceled && len(e.Others) == 0
}

// reportUnasked logs the outcome of a fork that nobody has asked for.
func (s *Scope) reportUnasked(c *Scope) {
	if c != nil && !c.asked.Load() {
		c.log(slog.LevelError, "failed, and nobody has asked for the outcome", nil, c.out)
	}
}

// conclude makes the outcome. Nothing lives in the scope any more, so that what
// it reads does not change.
func (s *Scope) conclude() {
	s.mu.Lock()
	unasked, unreceived, unreceivedMore := s.unasked, s.unreceived, s.unreceivedMore
	s.unasked, s.unreceived = nil, nil
	for _, c := range unasked {
		if c.panicked != nil && !c.asked.Load() {
			c.asked.Store(true)
			s.keepLocked(nil, c.panicked)
			if s.panicked == nil {
				s.panicked = c.panicked
			}
		}
	}
	kept := s.later
	s.mu.Unlock()

	s.out = s.compose(kept) // first: a logger may take this goroutine away
	for _, c := range unasked {
		s.reportUnasked(c)
	}
	for _, t := range unreceived {
		s.log(slog.LevelWarn, "error after the end was decided, and nobody has awaited it", t, t.err)
	}
	if unreceivedMore > 0 {
		s.log(slog.LevelWarn, fmt.Sprintf("%s more like it", count(unreceivedMore, "error")), nil, nil)
	}
	s.reportHidden()
}

// compose makes one error of what ended the scope and what came besides.
func (s *Scope) compose(kept []later) *Error {
	var errs []error
	if err := s.end.failure(); err != nil {
		errs = append(errs, err)
	}
	for _, l := range kept {
		errs = append(errs, l.error())
	}
	more := s.laterMore
	if len(s.stuck.Tasks) > 0 {
		if len(errs) > maxKept { // Others has no room for it
			errs, more = errs[:maxKept], more+1
		}
		errs = append(errs, &s.stuck)
	}
	if len(errs) == 0 && more > 0 {
		// Those that were kept have been received since, these were only counted.
		errs = append(errs, fmt.Errorf("%s of tasks that nobody has awaited, more than were kept", count(more, "error")))
		more = 0
	}
	if len(errs) == 0 {
		return nil
	}
	out := &Error{Scope: s.Path(), Err: errs[0], more: more}
	if len(errs) > 1 {
		out.Others = errs[1:]
	}
	return out
}

// reportHidden logs what nobody gets to see of the outcome, because a panic or
// a Goexit is what comes out of the scope.
func (s *Scope) reportHidden() {
	shown := s.bodyEnd
	if s.panicked != nil && (shown == nil || same(shown, ErrGoexit)) {
		shown = s.panicked
	}
	if shown == nil || s.out == nil {
		return
	}
	rest := slices.DeleteFunc(s.out.Unwrap(), func(err error) bool { return same(err, shown) })
	if len(rest) > 0 {
		hidden := &Error{Scope: s.out.Scope, Err: rest[0], Others: rest[1:], more: s.out.more}
		s.log(slog.LevelError, "errors hidden by a panic or a Goexit", nil, hidden)
	}
}

// failure is the outcome as an error: nil, or an *Error.
func (s *Scope) failure() error {
	if s.out == nil {
		return nil
	}
	return s.out
}

// report gives the outcome to whoever waited: a panic as a panic.
func (s *Scope) report() error {
	if s.panicked != nil {
		panic(s.panicked)
	}
	return s.failure()
}
