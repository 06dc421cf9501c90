package traigo

import (
	"cmp"
	"context"
	"runtime"
)

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
