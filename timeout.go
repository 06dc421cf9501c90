package traigo

import (
	"context"
	"time"
)

// SetTimeout sets the timeout of the scope to d from now, replacing the previous one; 0
// removes it. If the scope has been canceled, SetTimeout does nothing. It panics if d is
// negative.
//
// context.WithDeadline sets no timer if the scope's deadline at that moment is earlier
// than the new one. If SetTimeout extends the scope's timeout afterwards, the derived
// context does not expire by itself, only with the scope.
func (s *Scope) SetTimeout(d time.Duration) {
	s.check("SetTimeout")
	mustNotBeNegative("SetTimeout", d)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state >= Canceling {
		return
	}
	a := &s.ownExtLocked().alarm
	a.stopTimer()
	a.turn++
	a.timeout, a.deadline = d, time.Time{}
	if d > 0 {
		a.deadline = time.Now().Add(d)
		turn := a.turn
		a.timer = time.AfterFunc(d, func() { s.timeUp(turn, false) })
	}
}

// An alarm is the timeout of a scope and its timer. It is protected by the mu of the
// scope.
type alarm struct {
	timeout  time.Duration
	deadline time.Time
	timer    *time.Timer
	turn     uint64 // number of calls of SetTimeout; a timer of an earlier turn that fires after the call is ignored
}

func (a *alarm) stopTimer() {
	if a.timer != nil {
		a.timer.Stop()
		a.timer = nil
	}
}

// timeUp is called by the timer of the scope. again is true for the second call: see
// grace.
func (s *Scope) timeUp(turn uint64, again bool) {
	path := s.Path()
	outer, outerOK := time.Time{}, false
	if !again {
		outer, outerOK = s.outer.Deadline()
	}
	s.lock()
	a := &s.ext.alarm
	switch {
	case a.turn != turn || s.state >= Canceling:
	case outerOK && !outer.After(a.deadline):
		a.timer = time.AfterFunc(grace, func() { s.timeUp(turn, true) })
	default:
		s.endLocked(reason{kind: TimedOut, err: &TimeoutError{Scope: path, After: a.timeout}})
	}
	s.settle()
}

// grace is how long timeUp waits for the outer context if the deadline of that has passed
// too: of two deadlines that pass at the same instant the outer one is the cause,
// whichever timer fires first. After grace the scope's own timeout applies: a foreign
// context may have a deadline and not end at it.
const grace = time.Second

// startClock starts the timer of a task with a Timeout, unless the task has ended.
func (t *Task) startClock(x *taskExt) {
	t.scope.mu.Lock()
	defer t.scope.mu.Unlock()
	if !t.has(hasEnded) {
		x.timer = time.AfterFunc(time.Until(x.deadline), func() { t.timeUp(x, false) })
	}
}

func (t *Task) timeUp(x *taskExt, again bool) {
	if outer, ok := t.scope.context().Deadline(); ok && !again && !outer.After(x.deadline) && t.scope.ended() == nil {
		t.scope.mu.Lock()
		defer t.scope.mu.Unlock()
		if !t.has(hasEnded) {
			x.timer = time.AfterFunc(grace, func() { t.timeUp(x, true) })
		}
		return
	}
	t.cancelFor(reason{kind: TimedOut, task: t, err: &TimeoutError{Scope: t.Path(), After: x.timeout}})
}

// MoveOnAfter, FailAfter and Shield limit the time of a function that runs on the calling
// goroutine. They correspond to Trio's cancel scopes, but open no Scope: Current(ctx) is
// unchanged in the function.

// MoveOnAfter calls fn, on the calling goroutine, with a context that expires after d. It
// reports whether the context had expired when fn returned. If so, and the error of fn
// only reports that, err is nil; otherwise err is the error of fn. If ctx was done first,
// or at the same instant, expired is false. If d is 0 the context has expired when fn is
// called. MoveOnAfter panics if ctx or fn is nil or d is negative.
func MoveOnAfter(ctx context.Context, d time.Duration, fn func(ctx context.Context) error) (expired bool, err error) {
	b := newBlock("MoveOnAfter", ctx, d, fn)
	err = b.call(fn)
	e := b.expired()
	if e == nil {
		return false, err
	}
	if e.isConsequence(err) {
		return true, nil
	}
	return true, err
}

// FailAfter calls fn, on the calling goroutine, with a context that expires after d. If
// the context has expired and fn returns an error, FailAfter returns a [*TimeoutError],
// joined with the error of fn if that says more. If ctx was done first, or fn returns
// nil, FailAfter returns what fn returned. If d is 0 the context has expired when fn is
// called. FailAfter panics if ctx or fn is nil or d is negative.
func FailAfter(ctx context.Context, d time.Duration, fn func(ctx context.Context) error) error {
	return newBlock("FailAfter", ctx, d, fn).callOrFail(fn)
}

// Shield is like [FailAfter], but the context of fn is not canceled when ctx is; it has
// the values of ctx. It is meant for cleanup that must run after the scope has been
// canceled.
func Shield(ctx context.Context, d time.Duration, fn func(ctx context.Context) error) error {
	mustHaveContext("Shield", ctx)
	return newBlock("Shield", context.WithoutCancel(ctx), d, fn).callOrFail(fn)
}

// Sleep waits for d and returns nil. If ctx is done before, or at the call, it returns
// the cause of ctx at once. It panics if ctx is nil or d is negative.
func Sleep(ctx context.Context, d time.Duration) error {
	mustHaveContext("Sleep", ctx)
	mustNotBeNegative("Sleep", d)
	if err := ctx.Err(); err != nil {
		return context.Cause(ctx)
	}
	if d == 0 {
		return nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// A block is the context of a function that MoveOnAfter, FailAfter or Shield calls.
type block struct {
	context.Context // expires at deadline
	cancel          context.CancelFunc
	outer           context.Context
	late            *TimeoutError
	deadline        time.Time
}

func newBlock(call string, ctx context.Context, d time.Duration, fn func(context.Context) error) *block {
	mustHaveFunc(call, fn != nil, "the function whose time is to be limited")
	mustHaveContext(call, ctx)
	mustNotBeNegative(call, d)
	b := &block{outer: ctx, late: &TimeoutError{Scope: pathOf(ctx), After: d}, deadline: time.Now().Add(d)}
	at := b.deadline
	if outer, ok := ctx.Deadline(); ok && outer.Equal(at) {
		at = at.Add(1) // if both expire at the same instant, the outer one must be first
	}
	b.Context, b.cancel = context.WithDeadlineCause(undated{ctx}, at, b.late)
	return b
}

// Deadline returns the earlier of b.deadline and the outer deadline, which SetTimeout may
// move.
func (b *block) Deadline() (time.Time, bool) { return earlier(b.deadline, b.outer) }

func (b *block) call(fn func(context.Context) error) error {
	defer b.cancel()
	return fn(b)
}

// expired returns an ending of kind TimedOut if the deadline of b itself ended its
// context; nil if not, or if the outer deadline is not later.
func (b *block) expired() *ending {
	if context.Cause(b.Context) != error(b.late) {
		return nil
	}
	if d, ok := b.outer.Deadline(); ok && !d.After(b.deadline) {
		return nil
	}
	return &ending{reason: reason{kind: TimedOut, err: b.late}}
}

func (b *block) callOrFail(fn func(context.Context) error) error {
	err := b.call(fn)
	if e := b.expired(); e != nil && err != nil {
		return joined(e, err)
	}
	return err
}

// undated hides the deadline of a context, so that context.WithDeadline sets a timer even
// for a later deadline: SetTimeout may move the earlier one.
type undated struct{ context.Context }

func (undated) Deadline() (time.Time, bool) { return time.Time{}, false }

// AfterFunc is implemented so that package context needs no goroutine for this type.
func (u undated) AfterFunc(f func()) (stop func() bool) {
	if c, ok := u.Context.(interface{ AfterFunc(func()) func() bool }); ok {
		return c.AfterFunc(f)
	}
	return context.AfterFunc(u.Context, f)
}

// A stamp is a reading of the monotonic clock, in nanoseconds since the program started.
// It may be negative in a synctest bubble, which has its own clock. A stamp takes half
// the time of time.Now, which reads the wall clock too.
type stamp time.Duration

var epoch = time.Now()

func now() stamp { return stamp(time.Since(epoch)) }

// age returns the time since at.
func (at stamp) age() time.Duration { return time.Duration(now() - at) }

// date returns at as a wall clock time. It is computed from the current time, not from
// epoch, which is wrong in a synctest bubble.
func (at stamp) date() time.Time { return time.Now().Add(-at.age()) }
